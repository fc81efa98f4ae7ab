//! What checkpoints cost: `cargo bench -p belljar-overlay --bench checkpoint`. Needs root. Set `TMPDIR` to a file system
//! with a journal.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code
)]

#[path = "../tests/common/mod.rs"]
mod common;

use belljar_overlay::Served;
use common::{Bench, sh};
use nix::mount::{MntFlags, MsFlags};
use nix::sched::CloneFlags;
use std::path::Path;
use std::time::{Duration, Instant};

const CHECKPOINTS: usize = 1_000;
const FILES: usize = 5_000;
/// Runs of each.
const RUNS: usize = 15;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn best(times: &[Duration]) -> Duration {
    *times.iter().min().unwrap()
}

/// A host with files, of which every fifth will be changed.
fn bench() -> Bench {
    let bench = Bench::new();
    sh(&bench.host(), "for d in $(seq 50); do mkdir $d; for f in $(seq 100); do echo $d $f > $d/f$f; done; done");
    bench
}

fn mounted<T>(bench: &Bench, inside: impl FnOnce(&Path, &Served) -> T) -> T {
    let host = bench.host();
    let served = common::serve_on(&bench.overlay(), &host);
    let result = inside(&host, &served);
    nix::mount::umount2(&host, MntFlags::MNT_DETACH).unwrap();
    served.finish().unwrap();
    result
}

/// Changes a file for each checkpoint, and takes it or not; how long each took.
fn change(bench: &Bench, with: bool) -> Vec<Duration> {
    mounted(bench, |root, served| {
        let mut times = Vec::new();
        for n in 0..CHECKPOINTS {
            if with {
                let start = Instant::now();
                served.checkpoint().unwrap();
                times.push(start.elapsed());
            }
            let file = root.join(format!("{}/f{}", n % 50 + 1, n % 100 + 1));
            std::fs::write(file, format!("changed {n}")).unwrap();
            std::fs::write(root.join(format!("{}/new{n}", n % 50 + 1)), b"new").unwrap();
        }
        times
    })
}

/// Processor time of this process, which asks and answers. What others do on the machine moves it little.
fn processor() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap().into()
}

/// A cold stat of every file by name: each is a LOOKUP.
fn look(bench: &Bench) -> Duration {
    mounted(bench, |root, _| {
        let start = processor();
        for n in 0..FILES {
            std::fs::symlink_metadata(root.join(format!("{}/f{}", n / 100 + 1, n % 100 + 1))).unwrap();
        }
        processor() - start
    })
}

/// Creates files, writes into those of the host, removes some.
fn work(bench: &Bench, checkpoint: bool) -> Duration {
    mounted(bench, |root, served| {
        sh(root, "mkdir old; for f in $(seq 500); do echo $f > old/$f; done");
        if checkpoint {
            served.checkpoint().unwrap();
        }
        let start = Instant::now();
        for n in 0..1_000 {
            std::fs::write(root.join(format!("{}/created{n}", n % 50 + 1)), b"created").unwrap();
        }
        for n in 1..=500 {
            std::fs::write(root.join(format!("old/{n}")), b"changed").unwrap();
        }
        for n in 1..=250 {
            std::fs::remove_file(root.join(format!("old/{n}"))).unwrap();
        }
        start.elapsed()
    })
}

fn main() {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            nix::sched::unshare(CloneFlags::CLONE_NEWNS).unwrap();
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
            measure();
        });
    });
}

fn measure() {
    let (plain, many) = (bench(), bench());
    change(&plain, false);
    let mut taken = change(&many, true);
    taken.sort();
    let at = |share: usize| taken[taken.len() * share / 1_000];
    println!("checkpoint, served: median {:.1?}, 99% {:.1?}, worst {:.1?}", at(500), at(990), taken[taken.len() - 1]);

    // Two layers without checkpoints say how far the measurement itself can be trusted.
    let control = bench();
    change(&control, false);
    let layers = [&plain, &many, &control];
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for run in 0..3 * RUNS {
        for turn in 0..3 {
            times[(run + turn) % 3].push(look(layers[(run + turn) % 3]));
        }
    }
    let [without, with, control] = times.map(median);
    let ratio = |time: Duration| time.as_secs_f64() / without.as_secs_f64();
    println!(
        "{FILES} cold lookups, processor time: {without:.1?}; behind {CHECKPOINTS} checkpoints {with:.1?}, {:.3}; again without {control:.1?}, {:.3}",
        ratio(with),
        ratio(control)
    );

    let overlay = many.overlay();
    let start = Instant::now();
    overlay.rewind(u64::try_from(CHECKPOINTS).unwrap()).unwrap();
    println!("rewind of 1 of {CHECKPOINTS}: {:.1?}", start.elapsed());
    let start = Instant::now();
    overlay.rewind(1).unwrap();
    println!("rewind of the other {}: {:.1?}", CHECKPOINTS - 1, start.elapsed());
    assert!(overlay.is_untouched().unwrap());

    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        without.push(work(&bench(), false));
        with.push(work(&bench(), true));
    }
    let (without, with) = (best(&without), best(&with));
    let ratio = with.as_secs_f64() / without.as_secs_f64();
    println!("1750 creations, rewrites, removals: {without:.1?} without, {with:.1?} after a checkpoint, {ratio:.3}");
}
