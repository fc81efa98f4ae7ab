//! Whole processes side by side: `true` alone, in namespaces alone, under the peers that are installed with their usual
//! options, under Belljar, and as one more command in an open jar of Belljar.
//!
//! One after the other in each round, so that whatever the machine does meanwhile hits all of them alike. Prints
//! medians and ratios. `BELLJAR_BENCH_ROUNDS` sets the number of rounds, `BELLJAR_BENCH_DIR` the directory: each run makes
//! and removes some files there, which a disk without a journal does slowly and unevenly. Peers that npm installs are
//! looked for in `BELLJAR_PEERS`, by default `/opt/peers/node_modules/.bin` (see `tests/escape.sh`).

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Enough for a median that moves by a few percent only.
const ROUNDS: usize = 100;
/// The first rounds fill caches.
const WARM_UP: usize = 5;

/// Words of a command line; `{peers}` is where npm installed.
const CONTENDERS: &[(&str, &str)] = &[
    ("bare", "true"),
    ("unshare", "unshare -Urpmfnui true"),
    ("bwrap", "bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --unshare-all --die-with-parent true"),
    ("firejail", "firejail --quiet --noprofile --net=none --private-tmp --seccomp --caps.drop=all true"),
    ("nsjail", "nsjail -Mo -q --chroot / -- /bin/true"),
    ("srt", "{peers}/srt -- true"),
    ("codex", "{peers}/codex sandbox -- true"),
];

struct Contender {
    name: &'static str,
    argv: Vec<String>,
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
    let mut contenders = contenders(dir.path(), is_bench);
    let mut open = OpenJar::new(dir.path());
    let mut in_open = Contender { name: "open jar", argv: Vec::new(), times: Vec::new() };
    for round in 0..rounds + WARM_UP {
        for contender in &mut contenders {
            let time = once(&contender.argv, dir.path());
            contender.times.extend((round >= WARM_UP).then_some(time));
        }
        let time = open.once();
        in_open.times.extend((round >= WARM_UP).then_some(time));
    }
    open.close();
    contenders.push(in_open);
    report(&mut contenders, rounds);
}

/// Those that are installed and work here.
fn contenders(dir: &Path, tell: bool) -> Vec<Contender> {
    let peers = std::env::var("BELLJAR_PEERS").unwrap_or_else(|_| "/opt/peers/node_modules/.bin".into());
    let mut all: Vec<Contender> = Vec::new();
    for (name, line) in CONTENDERS {
        let argv: Vec<String> = line.split(' ').map(|word| word.replace("{peers}", &peers)).collect();
        match command(&argv, dir).status() {
            Ok(status) if status.success() => all.push(Contender { name, argv, times: Vec::new() }),
            other if tell => eprintln!("startup: no {name} to compare with: {other:?}"),
            _ => {}
        }
    }
    let belljar = [env!("CARGO_BIN_EXE_belljar"), "run", "--apply", "discard", "--", "true"];
    all.push(Contender { name: "belljar", argv: belljar.map(str::to_owned).to_vec(), times: Vec::new() });
    all
}

fn command(argv: &[String], dir: &Path) -> Command {
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

fn once(argv: &[String], dir: &Path) -> Duration {
    let mut command = command(argv, dir);
    let start = Instant::now();
    let status = command.status().unwrap_or_else(|e| panic!("start {}: {e}", argv[0]));
    let time = start.elapsed();
    assert!(status.success(), "{argv:?}: {status}");
    time
}

/// A jar that stays open, and takes commands line by line.
struct OpenJar {
    belljar: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl OpenJar {
    fn new(dir: &Path) -> OpenJar {
        let argv = [env!("CARGO_BIN_EXE_belljar"), "run", "--jar", "bench", "--apply", "never", "--jsonl", "-"];
        let argv = argv.map(str::to_owned);
        let started = command(&argv, dir).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut belljar = started.expect("open a jar");
        let commands = belljar.stdin.take().expect("a pipe");
        let answers = BufReader::new(belljar.stdout.take().expect("a pipe"));
        OpenJar { belljar, commands, answers }
    }

    /// From the line that asks to the line that answers: judged, approved, recorded, run and looked at.
    fn once(&mut self) -> Duration {
        let mut answer = String::new();
        let start = Instant::now();
        self.commands.write_all(b"{\"argv\":[\"true\"]}\n").expect("ask");
        self.answers.read_line(&mut answer).expect("hear");
        let time = start.elapsed();
        assert!(answer.contains("\"value\":0"), "{answer}");
        time
    }

    fn close(mut self) {
        drop(self.commands);
        assert!(self.belljar.wait().expect("wait for the jar").success());
    }
}

fn report(contenders: &mut [Contender], rounds: usize) {
    println!("{rounds} rounds, interleaved\n{:10} {:>10} {:>10} {:>10}", "", "median", "p10", "p90");
    for contender in contenders.iter_mut() {
        contender.times.sort_unstable();
        let [p10, p50, p90] = [10, 50, 90].map(|p| at(&contender.times, p));
        println!("{:10} {:>7.2} ms {:>7.2} ms {:>7.2} ms", contender.name, ms(p50), ms(p10), ms(p90));
    }
    let median = |name: &str| contenders.iter().find(|c| c.name == name).map(|c| ms(at(&c.times, 50)));
    for (one, other) in [("belljar", "bwrap"), ("open jar", "bwrap"), ("open jar", "bare")] {
        if let (Some(own), Some(peer)) = (median(one), median(other)) {
            println!("{one} / {other}: {:.2}", own / peer);
        }
    }
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
