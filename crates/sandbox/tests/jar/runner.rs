//! A small Belljar: `jar-run CONFINEMENT -- COMMAND ...` ends as the command ended.

use belljar_sandbox::{Ended, KernelRoot, Mounted, Request, Running, SandboxError, Serve, standby, start};
use model::{Confinement, Exit, FilePath};
use std::ffi::OsString;

pub fn main(arguments: &[OsString]) {
    let confinement: Confinement = serde_json::from_str(arguments[0].to_str().unwrap()).unwrap();
    let argv = arguments[2..].to_vec();
    let accept_weak = std::env::var("JAR_ACCEPT").map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default();
    let kernel = std::env::var_os("JAR_KERNEL").map(kernel_root).into_iter().collect();
    let allow_nested = std::env::var_os("JAR_NESTED").is_some();
    let limits = model::Limits::default();
    let watch_files = std::env::var_os("JAR_WATCH_FILES").is_some();
    let request = Request { accept_weak, kernel, limits, allow_nested, watch_files, ..Request::new(confinement, argv) };
    let refuse = std::env::var_os("JAR_REFUSE_TO_SERVE").is_some();
    let mut serve = |_: usize, mounted: Mounted<'_>| match mounted {
        _ if refuse => Err(std::io::Error::other("refused")),
        Mounted::Fuse { connection, instead, .. } => {
            instead.into_iter().for_each(|why| eprintln!("instead: {why}"));
            crate::overlay::serve(connection)
        }
        Mounted::Kernel => Ok(()),
    };
    let running = match std::env::var("JAR_LEAVE").as_deref() {
        Ok(word) => start_held(&request, word, &mut serve),
        Err(_) => start(&request, &mut serve),
    };
    match running.and_then(Running::wait) {
        Ok(ended) => finish(&ended),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("failed to {error}{cause}\nhint: {}", error.hint().unwrap_or("none"));
            std::process::exit(125);
        }
    }
}

/// The command is held back; after a while it has leave to begin, or never.
fn start_held(request: &Request, word: &str, serve: &mut Serve<'_>) -> Result<Running, SandboxError> {
    let mut building = standby(request)?.build(request)?;
    let leave = building.hold().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(300));
            eprintln!("{word}");
            if word == "given" { leave.give() } else { drop(leave) }
        });
        building.start(serve)
    })
}

/// The kernel keeps the first root, in `upper` and `work` of this directory.
fn kernel_root(store: OsString) -> KernelRoot {
    let store = FilePath::new(store);
    let or_fuse = std::env::var_os("JAR_OR_FUSE").is_some();
    KernelRoot { index: 0, upper: store.join("upper"), work: store.join("work"), or_fuse }
}

fn finish(ended: &Ended) -> ! {
    if let Some(path) = std::env::var_os("JAR_REPORT") {
        let report = serde_json::json!({
            "exit": ended.exit, "exec_error": ended.exec_error, "containment": ended.containment,
            "attempts": ended.attempts,
        });
        std::fs::write(path, report.to_string()).unwrap();
    }
    match ended.exit {
        Exit::Code(code) => std::process::exit(code),
        Exit::Signal(signal) => belljar_sandbox::die_of(signal),
    }
    std::process::exit(125)
}
