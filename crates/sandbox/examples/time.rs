//! Where the time of a jar goes: medians over many runs of `/bin/true`, in microseconds, one kind after the other in
//! each round.

use belljar_sandbox::{Command, Live, Request, SandboxError, Streams, stage_entry, standby, start};
use model::{Confinement, FilePath};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::time::Instant;

const RUNS: usize = 300;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    stage_entry();
    let request = request();
    let mut live = standby(&request)?.live(&request, &mut |_, _| Ok(()))?;
    let null = File::from(memfd_create(c"time", MFdFlags::MFD_CLOEXEC)?);
    let [mut bare, mut in_live, mut ready, mut whole] = [const { Vec::new() }; 4];
    for _ in 0..RUNS {
        let begin = Instant::now();
        let command = std::process::Command::new("/bin/true").env_clear().status()?;
        bare.push(begin.elapsed().as_micros());
        assert!(command.success(), "true is false");

        let begin = Instant::now();
        in_jar(&mut live, &null)?;
        in_live.push(begin.elapsed().as_micros());

        let begin = Instant::now();
        let running = start(&request, &mut |_, _| Ok(()))?;
        ready.push(begin.elapsed().as_micros());
        running.wait()?;
        whole.push(begin.elapsed().as_micros());
    }
    let bare = median(bare);
    for (name, times) in [("in a live jar", in_live), ("one shot: ready", ready), ("one shot: over", whole)] {
        let time = median(times);
        #[expect(clippy::cast_precision_loss, reason = "times of some milliseconds")]
        let ratio = time as f64 / bare as f64;
        println!("{name:16} {time:6}  {ratio:.2} of bare ({bare})");
    }
    Ok(())
}

fn request() -> Request {
    let cwd = FilePath::from("/");
    let confinement = Confinement::closed(cwd);
    Request::new(confinement, vec!["/bin/true".into()])
}

fn in_jar(live: &mut Live, null: &File) -> Result<(), SandboxError> {
    let (argv, cwd) = ([OsString::from("/bin/true")], FilePath::from("/"));
    let output = Streams::To(null.as_fd(), null.as_fd());
    live.run(&Command { argv: &argv, env: &[], cwd: &cwd, input: null.as_fd(), output }).map(drop)
}

fn median(mut values: Vec<u128>) -> u128 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}
