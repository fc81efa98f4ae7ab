//! What the benches of whole commands share: a home to work in, a jar that stays open, and medians.

// Each bench is a program of its own and needs a part of it.
#![allow(dead_code)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How many rounds: `BELLJAR_BENCH_ROUNDS`, else `usual`. `cargo test --benches` starts benches too, to see that they work:
/// one is enough there.
pub(crate) fn rounds(usual: usize) -> usize {
    let asked = std::env::var("BELLJAR_BENCH_ROUNDS").ok().and_then(|n| n.parse().ok());
    if std::env::args().any(|arg| arg == "--bench") { asked.unwrap_or(usual) } else { 1 }
}

/// A directory with a home and a project in it, on the file system that `BELLJAR_BENCH_DIR` names.
pub(crate) fn place() -> TempDir {
    let on = std::env::var_os("BELLJAR_BENCH_DIR").unwrap_or_else(|| "/var/tmp".into());
    let dir = tempfile::tempdir_in(on).expect("make a workspace");
    for below in ["home/project/.git", "home/.config"] {
        std::fs::create_dir_all(dir.path().join(below)).expect("make a workspace");
    }
    dir
}

/// A program in the project of a [`place`], without streams.
pub(crate) fn command(argv: &[String], dir: &Path) -> Command {
    let home = dir.join("home");
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).current_dir(home.join("project"));
    command
        .env("HOME", &home)
        .env("XDG_STATE_HOME", home.join(".local/state"))
        .env("XDG_CONFIG_HOME", home.join(".config"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A jar that stays open, and takes commands line by line.
pub(crate) struct OpenJar {
    belljar: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl OpenJar {
    pub(crate) fn new(dir: &Path) -> OpenJar {
        let argv = [env!("CARGO_BIN_EXE_belljar"), "run", "--jar", "bench", "--apply", "never", "--jsonl", "-"];
        let argv = argv.map(str::to_owned);
        let started = command(&argv, dir).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut belljar = started.expect("open a jar");
        let commands = belljar.stdin.take().expect("a pipe");
        let answers = BufReader::new(belljar.stdout.take().expect("a pipe"));
        OpenJar { belljar, commands, answers }
    }

    /// From the line that asks to the line that answers: judged, approved, recorded, run and looked at.
    pub(crate) fn run(&mut self, cmd: &str) -> Duration {
        let asked = format!("{}\n", serde_json::json!({ "cmd": cmd }));
        let mut answer = String::new();
        let start = Instant::now();
        self.commands.write_all(asked.as_bytes()).expect("ask");
        self.answers.read_line(&mut answer).expect("hear");
        let time = start.elapsed();
        assert!(answer.contains("\"value\":0"), "{cmd}: {answer}");
        time
    }

    pub(crate) fn close(mut self) {
        drop(self.commands);
        assert!(self.belljar.wait().expect("wait for the jar").success());
    }
}

/// The median over rounds of `one` as a multiple of `other`: the ratio of a round has what the machine did meanwhile on both
/// sides.
pub(crate) fn median_ratio(one: &[Duration], other: &[Duration]) -> Option<f64> {
    let mut ratios: Vec<f64> = one.iter().zip(other).map(|(one, other)| ms(*one) / ms(*other)).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied()
}

/// The time that `percent` of these do not exceed.
pub(crate) fn quantile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() - 1) * percent / 100]
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
