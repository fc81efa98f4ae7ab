//! Whole processes side by side: `true` alone, under bubblewrap with its usual options, and under Belljar.
//!
//! One after the other in each round, so that whatever the machine does meanwhile hits all of them alike. Prints
//! medians and ratios. `BELLJAR_BENCH_ROUNDS` sets the number of rounds, `BELLJAR_BENCH_DIR` the directory: each run makes
//! and removes some files there, which a disk without a journal does slowly and unevenly.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Enough for a median that moves by a few percent only.
const ROUNDS: usize = 100;
/// The first rounds fill caches.
const WARM_UP: usize = 5;

const BWRAP: [&str; 12] = [
    "--ro-bind",
    "/",
    "/",
    "--dev",
    "/dev",
    "--proc",
    "/proc",
    "--tmpfs",
    "/tmp",
    "--unshare-all",
    "--die-with-parent",
    "true",
];

struct Contender {
    name: &'static str,
    program: &'static str,
    args: Vec<&'static str>,
    times: Vec<Duration>,
}

fn main() {
    // `cargo test --benches` starts benches too, to see that they work.
    let is_bench = std::env::args().any(|arg| arg == "--bench");
    let asked = std::env::var("BELLJAR_BENCH_ROUNDS").ok().and_then(|n| n.parse().ok());
    let rounds = if is_bench { asked.unwrap_or(ROUNDS) } else { 1 };

    let dir = tempfile::tempdir_in(std::env::var_os("BELLJAR_BENCH_DIR").unwrap_or_else(|| "/var/tmp".into()))
        .expect("make a workspace");
    for below in ["home/project/.git", "home/.config"] {
        std::fs::create_dir_all(dir.path().join(below)).expect("make a workspace");
    }
    let mut contenders = contenders();
    for round in 0..rounds + WARM_UP {
        for contender in &mut contenders {
            let time = once(contender, dir.path());
            if round >= WARM_UP {
                contender.times.push(time);
            }
        }
    }
    report(&mut contenders, rounds);
}

fn contenders() -> Vec<Contender> {
    let belljar = env!("CARGO_BIN_EXE_belljar");
    let new =
        |name, program, args: &[&'static str]| Contender { name, program, args: args.to_vec(), times: Vec::new() };
    let mut all = vec![new("bare", "true", &[])];
    if Command::new("bwrap").arg("--version").stdout(Stdio::null()).status().is_ok() {
        all.push(new("bwrap", "bwrap", &BWRAP));
    } else {
        eprintln!("startup: no bwrap (Debian package bubblewrap), so there is nothing to compare with");
    }
    all.push(new("belljar", belljar, &["run", "--apply", "discard", "--", "true"]));
    all
}

fn once(contender: &Contender, dir: &Path) -> Duration {
    let home = dir.join("home");
    let mut command = Command::new(contender.program);
    command.args(&contender.args).current_dir(home.join("project"));
    command
        .env("HOME", &home)
        .env("XDG_STATE_HOME", home.join(".local/state"))
        .env("XDG_CONFIG_HOME", home.join(".config"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status().unwrap_or_else(|e| panic!("start {}: {e}", contender.name));
    let time = start.elapsed();
    assert!(status.success(), "{}: {status}", contender.name);
    time
}

fn report(contenders: &mut [Contender], rounds: usize) {
    println!("{rounds} rounds, interleaved\n{:10} {:>10} {:>10} {:>10}", "", "median", "p10", "p90");
    for contender in contenders.iter_mut() {
        contender.times.sort_unstable();
        let [p10, p50, p90] = [10, 50, 90].map(|p| at(&contender.times, p));
        println!("{:10} {:>7.2} ms {:>7.2} ms {:>7.2} ms", contender.name, ms(p50), ms(p10), ms(p90));
    }
    let median = |name: &str| contenders.iter().find(|c| c.name == name).map(|c| ms(at(&c.times, 50)));
    if let (Some(belljar), Some(bwrap)) = (median("belljar"), median("bwrap")) {
        println!("belljar / bwrap: {:.2}", belljar / bwrap);
    }
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
