//! Mounts a view for test suites that know nothing of Belljar, and stays until it is unmounted or gets SIGTERM.
//!
//! ```text
//! mount [--mode MODE] [--devices] [--nodev] LOWER STORE MOUNTPOINT
//! mount --create LOWER STORE
//! mount --modes
//! ```
//! A store that exists is opened again; `--create` makes one and mounts nothing. As root in the namespaces of the host, or as root of a user namespace.
//! Exit code 0 after a clean end, 1 otherwise.

use belljar_overlay::{Mode, Overlay, OverlayError, Served, Spec};
use model::FilePath;
use nix::mount::{MntFlags, MsFlags};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::error::Error;
use std::ffi::OsString;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How often signals and the mount are looked at.
const GLANCE: Duration = Duration::from_millis(20);
/// How long an earlier server of the same store may take to end.
const BUSY_WAIT: Duration = Duration::from_secs(10);

type Failure = Box<dyn Error>;

struct Options {
    mode: Mode,
    devices: bool,
    flags: MsFlags,
    lower: PathBuf,
    store: PathBuf,
    /// Nothing is mounted where it is missing.
    at: Option<PathBuf>,
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--modes") {
        println!("{}", Mode::ALL.map(Mode::name).join(" "));
        return ExitCode::SUCCESS;
    }
    let done = options(std::env::args_os().skip(1)).and_then(|options| run(&options));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(next) = cause {
                text = format!("{text}: {next}");
                cause = next.source();
            }
            eprintln!("mount: {text}");
            ExitCode::FAILURE
        }
    }
}

fn options(arguments: impl Iterator<Item = OsString>) -> Result<Options, Failure> {
    let mut arguments = arguments;
    let mut mode = Mode::default();
    let (mut devices, mut create, mut flags, mut paths) = (false, false, MsFlags::empty(), Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--mode") => {
                let name = arguments.next().ok_or("--mode wants a name")?;
                mode = name.to_string_lossy().parse()?;
            }
            Some("--devices") => devices = true,
            Some("--create") => create = true,
            Some("--nodev") => flags |= MsFlags::MS_NODEV | MsFlags::MS_NOSUID,
            _ => paths.push(PathBuf::from(argument)),
        }
    }
    let (lower, store, at) = match paths.as_slice() {
        [lower, store] if create => (lower, store, None),
        [lower, store, at] if !create => (lower, store, Some(at.canonicalize()?)),
        _ => return Err("give LOWER STORE MOUNTPOINT".into()),
    };
    Ok(Options { mode, devices, flags, lower: lower.canonicalize()?, store: store.clone(), at })
}

fn run(options: &Options) -> Result<(), Failure> {
    // Before any thread starts, so that all of them leave these signals to the descriptor.
    let ends = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    ends.thread_block()?;
    let signals = SignalFd::with_flags(&ends, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let overlay = open(options)?;
    let Some(at) = &options.at else {
        return Ok(());
    };
    let served = serve(&overlay, at, options)?;
    while signals.read_signal()?.is_none() && is_mounted(at)? {
        std::thread::sleep(GLANCE);
    }
    if is_mounted(at)? {
        nix::mount::umount2(at, MntFlags::MNT_DETACH)?;
    }
    served.finish()?;
    Ok(())
}

fn open(options: &Options) -> Result<Overlay, OverlayError> {
    let overlay = if options.store.join("meta.json").exists() {
        Overlay::open(&options.store)?
    } else {
        Overlay::create(&Spec {
            root: FilePath::from(options.lower.as_path()),
            dir: options.store.clone(),
            hidden: Vec::new(),
            nested: Vec::new(),
            id: "suite".into(),
        })?
    };
    Ok(if options.devices { overlay.allow_devices() } else { overlay })
}

/// Mounts and serves, waiting for a server of the same store that is just ending.
fn serve(overlay: &Overlay, at: &Path, options: &Options) -> Result<Served, Failure> {
    let begun = Instant::now();
    loop {
        let fuse = mount(at, options.flags)?;
        match overlay.serve_with(fuse, options.mode.into()) {
            Err(OverlayError::Busy { .. }) if begun.elapsed() < BUSY_WAIT => {
                nix::mount::umount2(at, MntFlags::MNT_DETACH)?;
                std::thread::sleep(GLANCE);
            }
            other => return Ok(other?),
        }
    }
}

fn mount(at: &Path, flags: MsFlags) -> Result<OwnedFd, Failure> {
    let fuse: OwnedFd = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse")?.into();
    let options = format!(
        "fd={},rootmode=40000,user_id={},group_id={},default_permissions,allow_other",
        fuse.as_raw_fd(),
        nix::unistd::getuid(),
        nix::unistd::getgid()
    );
    nix::mount::mount(Some("belljar"), at, Some("fuse.belljar"), flags, Some(options.as_str()))?;
    Ok(fuse)
}

/// Whether a view is mounted there. Read from the list of mounts: a stat(2) of the place would keep it busy.
fn is_mounted(at: &Path) -> Result<bool, Failure> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let ours = |line: &str| line.split(' ').nth(4) == at.to_str() && line.contains(" - fuse.belljar ");
    Ok(mounts.lines().any(ours))
}
