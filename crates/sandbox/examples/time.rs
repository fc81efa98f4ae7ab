//! Where the time of a one-shot jar goes: medians over many runs of `/bin/true`, in microseconds.

use belljar_sandbox::{Request, SandboxError, stage_entry, start};
use model::{Confinement, FilePath, Network};
use std::time::Instant;

const RUNS: usize = 300;

fn main() -> Result<(), SandboxError> {
    stage_entry();
    let cwd = FilePath::from("/");
    let confinement =
        Confinement { roots: vec![], hidden: vec![], network: Network::None, env: vec![], env_withheld: vec![], cwd };
    let request = Request {
        confinement,
        argv: vec!["/bin/true".into()],
        accept_weak: vec![],
        kernel: vec![],
        allow_nested: false,
        copies: None,
        limits: model::Limits::default(),
    };
    let (mut building, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let begin = Instant::now();
        let running = start(&request, &mut |_, _| Ok(()))?;
        building.push(begin.elapsed().as_micros());
        running.wait()?;
        whole.push(begin.elapsed().as_micros());
    }
    println!("start to ready   {}", median(building));
    println!("start to the end {}", median(whole));
    Ok(())
}

fn median(mut values: Vec<u128>) -> u128 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}
