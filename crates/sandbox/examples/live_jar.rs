//! One jar for many commands: each line of standard input is run by a shell in it. Building a jar takes some ten milliseconds,
//! and a command in one that is open little more than a fork. When a command has ended nothing of it runs any more; what it
//! wrote to `/tmp` stays for the next.

use belljar_sandbox::{Command, Request, Streams, by_kernel, model, stage_entry, standby};
use model::{EnvVar, FilePath};
use std::error::Error;
use std::io::BufRead as _;
use std::os::fd::AsFd as _;

/// A command that prints more is ended.
const PRINTED_MAX: u64 = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    stage_entry();
    // Of this request the command does not count.
    let request = Request::builder(["true"]).build();
    let mut jar = standby(&request)?.live(&request, &mut by_kernel)?;
    let (nothing, writing) = std::io::pipe()?;
    drop(writing);
    let env = [EnvVar { name: "PATH".into(), value: "/usr/bin:/bin".into() }];
    for line in std::io::stdin().lock().lines() {
        let argv = ["sh", "-c", line?.as_str()].map(Into::into);
        let (cwd, output) = (FilePath::from("/tmp"), Streams::Kept(PRINTED_MAX));
        let done = jar.run(&Command { argv: &argv, env: &env, cwd: &cwd, input: nothing.as_fd(), output })?;
        let [printed, errors] = done.kept.unwrap_or_default();
        print!("{}{}", String::from_utf8_lossy(&printed), String::from_utf8_lossy(&errors));
        println!("-> {:?}{}", done.exit, done.limit.map(|limit| format!(", met {limit:?}")).unwrap_or_default());
    }
    Ok(())
}
