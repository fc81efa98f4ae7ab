//! Apply and undo of many changed files against `cp -a` of the same files, in turns: `cargo bench -p belljar-overlay
//! --bench apply`. Needs root. Set `TMPDIR` to a file system with a journal: ext4 without one does not use fresh inodes
//! again, so that creating after deleting is slow on either side.
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

use belljar_overlay::Selection;
use common::{Bench, sh};
use std::path::Path;
use std::time::{Duration, Instant};

/// Rounds; the median counts.
const ROUNDS: usize = 5;
const DIRS: usize = 100;
const FILES: usize = 100;

/// 10,000 files of about 4 KB in 100 directories.
fn plant(root: &Path, text: &str) {
    for dir in 0..DIRS {
        let dir = root.join(format!("d{dir}"));
        std::fs::create_dir_all(&dir).unwrap();
        for file in 0..FILES {
            std::fs::write(dir.join(format!("f{file}")), format!("{text} {file}\n").repeat(400)).unwrap();
        }
    }
}

/// Processor time of this process and of those it has waited for, in ticks of 10 ms (proc_pid_stat(5)).
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    fields.skip(11).take(4).map(|field| field.parse::<u64>().unwrap()).sum()
}

/// Wall time, and processor time: on a busy machine only the second says much.
type Time = (Duration, Duration);

fn timed<T>(times: &mut Vec<Time>, work: impl FnOnce() -> T) -> T {
    let (start, before) = (Instant::now(), ticks());
    let done = work();
    times.push((start.elapsed(), Duration::from_millis(10 * (ticks() - before))));
    done
}

fn median(times: &[Time], of: fn(&Time) -> Duration) -> Duration {
    let mut times: Vec<Duration> = times.iter().map(of).collect();
    times.sort();
    times[times.len() / 2]
}

fn main() {
    let names = ["cp -a over", "cp -a fresh", "diff", "plan", "apply", "plan undo", "undo"];
    let mut times: Vec<Vec<Time>> = vec![Vec::new(); names.len()];
    // Data that must reach the disk anyway, in either case, is not what is compared: it is synced before.
    for _ in 0..ROUNDS {
        let bench = Bench::new();
        let (twin, changed) = (bench.dir.path().join("twin"), bench.dir.path().join("changed"));
        plant(&bench.host(), "old");
        plant(&twin, "old");
        plant(&changed, "new");
        bench.run("for f in d*/f*; do echo new >> $f; done");
        sh(bench.dir.path(), "sync -f .");
        timed(&mut times[0], || sh(bench.dir.path(), "cp -a changed/. twin/"));
        timed(&mut times[1], || sh(bench.dir.path(), "cp -a changed fresh"));
        sh(bench.dir.path(), "sync -f .");
        let overlay = bench.overlay();
        timed(&mut times[2], || assert_eq!(overlay.changes().unwrap().changes.len(), DIRS * FILES));
        let plan = timed(&mut times[3], || overlay.plan_apply(&Selection::All).unwrap());
        timed(&mut times[4], || overlay.apply(plan).unwrap());
        let plan = timed(&mut times[5], || overlay.plan_undo().unwrap());
        timed(&mut times[6], || overlay.undo(plan).unwrap());
        overlay.discard().unwrap();
    }
    for (name, times) in names.iter().zip(&times) {
        let (wall, processor) = (median(times, |time| time.0), median(times, |time| time.1));
        println!("{name:<12} {wall:>9.1?} wall, {processor:>9.1?} processor (medians of {ROUNDS})");
    }
    for (kind, of) in [("wall", (|time| time.0) as fn(&Time) -> Duration), ("processor", |time| time.1)] {
        let time = |at: usize| median(&times[at], of).as_secs_f64();
        let (apply, undo) = (time(3) + time(4), time(5) + time(6));
        println!("{kind}: apply, plan and all, {:.2}x as fast as cp -a over the old files", time(0) / apply);
        println!("{kind}: apply, plan and all, {:.2}x as fast as cp -a into a fresh tree", time(1) / apply);
        println!("{kind}: undo, plan and all, {:.2}x as fast as cp -a over the old files", time(0) / undo);
    }
}
