//! Whole processes side by side: `true` alone, in namespaces alone, under the peers that are installed with their usual
//! options, in a jar without an overlay, under Belljar, and as one more command in an open jar, with all that Belljar does
//! around it and without.
//!
//! One after the other in each round, so that whatever the machine does meanwhile hits all of them alike. Prints
//! medians and ratios. `BELLJAR_BENCH_ROUNDS` sets the number of rounds, `BELLJAR_BENCH_DIR` the directory: each run makes
//! and removes some files there, which a disk without a journal does slowly and unevenly. Peers that npm installs are
//! looked for in `BELLJAR_PEERS`, by default `/opt/peers/node_modules/.bin` (see `tests/escape.sh`). `BELLJAR` is the program
//! to measure, such as a release build, which is optimised over crates; by default the one built with the benches.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/mod.rs"]
mod support;

use model::{Confinement, FilePath};
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::{OpenJar, command, median_ratio, ms, place, quantile, rounds};

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

/// The argument by which this program is a jar without an overlay around `true`, and nothing else.
const NO_OVERLAY: &str = "--no-overlay";

/// What is aimed at: one's time as a multiple of another's, at most.
const TARGETS: &[(&str, &str, f64)] =
    &[("no overlay", "bwrap", 0.7), ("belljar", "bwrap", 1.0), ("in a live jar", "fork+exec", 1.1)];

struct Contender {
    name: &'static str,
    argv: Vec<String>,
    times: Vec<Duration>,
}

fn main() {
    sandbox::stage_entry();
    if std::env::args().any(|arg| arg == NO_OVERLAY) {
        return without_overlay();
    }
    let (rounds, dir) = (rounds(ROUNDS), place());
    let mut contenders = contenders(dir.path(), rounds > 1);
    let mut open = OpenJar::new(dir.path());
    let measured = |name| Contender { name, argv: Vec::new(), times: Vec::new() };
    let (mut in_open, mut in_live, mut forked) =
        (measured("open jar"), measured("in a live jar"), measured("fork+exec"));
    let mut live = LiveJar::new();
    for round in 0..rounds + WARM_UP {
        for contender in &mut contenders {
            let time = once(&contender.argv, dir.path());
            contender.times.extend((round >= WARM_UP).then_some(time));
        }
        let in_jar = open.run("true");
        // Whoever comes second finds the caches full of the same program, so they take turns.
        let first = (round % 2 == 0).then(fork_and_exec);
        let living = live.once();
        let bare = first.unwrap_or_else(fork_and_exec);
        for (times, time) in [(&mut in_open.times, in_jar), (&mut in_live.times, living), (&mut forked.times, bare)] {
            times.extend((round >= WARM_UP).then_some(time));
        }
    }
    open.close();
    contenders.extend([in_open, forked, in_live]);
    report(&contenders, rounds);
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
    let own = std::env::current_exe().expect("this program").to_string_lossy().into_owned();
    all.push(Contender { name: "no overlay", argv: vec![own, NO_OVERLAY.to_owned()], times: Vec::new() });
    let program = std::env::var("BELLJAR").unwrap_or_else(|_| env!("CARGO_BIN_EXE_belljar").to_owned());
    // It is started in another directory.
    let program = std::path::absolute(program).expect("a working directory").to_string_lossy().into_owned();
    let belljar = [&program, "run", "--apply", "discard", "--", "true"];
    all.push(Contender { name: "belljar", argv: belljar.map(str::to_owned).to_vec(), times: Vec::new() });
    all
}

fn once(argv: &[String], dir: &Path) -> Duration {
    let mut command = command(argv, dir);
    let start = Instant::now();
    let status = command.status().unwrap_or_else(|e| panic!("start {}: {e}", argv[0]));
    let time = start.elapsed();
    assert!(status.success(), "{argv:?}: {status}");
    time
}

/// A jar with every layer but the overlay, and nothing around it: no judgement, no record.
fn jar() -> sandbox::Request {
    let confinement = Confinement::closed(FilePath::from("/"));
    sandbox::Request::new(confinement, vec![OsString::from("/bin/true")])
}

fn without_overlay() {
    let running = sandbox::start(&jar(), &mut |_, _| Ok(())).expect("a jar");
    let ended = running.wait().expect("the end of the jar");
    assert_eq!(ended.exit, model::Exit::Code(0));
}

fn fork_and_exec() -> Duration {
    let start = Instant::now();
    let status = Command::new("/bin/true").env_clear().status().expect("start true");
    let time = start.elapsed();
    assert!(status.success(), "true is false");
    time
}

/// The same jar, which stays for the next command.
struct LiveJar {
    live: sandbox::Live,
    nothing: File,
}

impl LiveJar {
    fn new() -> LiveJar {
        let live = sandbox::standby(&jar()).and_then(|standby| standby.live(&jar(), &mut |_, _| Ok(())));
        LiveJar { live: live.expect("a live jar"), nothing: tempfile::tempfile().expect("a file without a name") }
    }

    fn once(&mut self) -> Duration {
        let (argv, cwd) = ([OsString::from("/bin/true")], FilePath::from("/"));
        let [input, out, err] = [self.nothing.as_fd(); 3];
        let output = sandbox::Streams::To(out, err);
        let command = sandbox::Command { argv: &argv, env: &[], cwd: &cwd, input, output };
        let start = Instant::now();
        let done = self.live.run(&command).expect("run in a live jar");
        let time = start.elapsed();
        assert_eq!(done.exit, model::Exit::Code(0));
        time
    }
}

fn report(contenders: &[Contender], rounds: usize) {
    // In each round everybody ran once: the ratio of a round has what the machine did meanwhile on both sides.
    let to = |name: &str, of: &Contender| -> Option<f64> {
        let other = contenders.iter().find(|c| c.name == name)?;
        median_ratio(&of.times, &other.times)
    };
    let shown = |ratio: Option<f64>| ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
    println!("{rounds} rounds, interleaved");
    println!("{:14} {:>10} {:>10} {:>10} {:>9} {:>9}", "", "median", "p10", "p90", "of bwrap", "of bare");
    for contender in contenders.iter() {
        let [p10, p50, p90] = [10, 50, 90].map(|p| ms(quantile(&contender.times, p)));
        let (bwrap, bare) = (shown(to("bwrap", contender)), shown(to("bare", contender)));
        println!("{:14} {p50:>7.2} ms {p10:>7.2} ms {p90:>7.2} ms {bwrap:>9} {bare:>9}", contender.name);
    }
    for (one, other, most) in TARGETS {
        if let Some(ratio) = contenders.iter().find(|c| c.name == *one).and_then(|own| to(other, own)) {
            println!("{one} / {other}: {ratio:.2}, to be {most} at most");
        }
    }
}
