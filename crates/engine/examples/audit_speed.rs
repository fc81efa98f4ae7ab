//! How fast the audit log is: `cargo run --release -p belljar-engine --example audit_speed [DIR [LINES]]`.
//!
//! Appending is compared with a plain append and fdatasync(2) of as many bytes on the same file system, in turns.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing)]

use belljar_engine::AuditLog;
use belljar_engine::audit::Durability;
use model::Stage;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn stage(n: usize) -> Stage {
    Stage::Failed { error: format!("record no. {n} of a log that is measured") }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn timed(times: &mut Vec<Duration>, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    times.push(start.elapsed());
}

fn append(dir: &Path, with_key: bool) {
    let state = tempfile::tempdir_in(dir).unwrap();
    let log = AuditLog::new(state.path());
    if with_key {
        log.set_up_key().unwrap();
    }
    let mut plain = OpenOptions::new().append(true).create(true).open(state.path().join("plain")).unwrap();
    let (mut lazy, mut synced, mut fresh, mut bare, mut bare_lazy) = (vec![], vec![], vec![], vec![], vec![]);
    for n in 0..400 {
        timed(&mut bare_lazy, || plain.write_all(&[b'x'; 200]).unwrap());
        timed(&mut bare, || {
            plain.write_all(&[b'x'; 800]).unwrap();
            plain.sync_data().unwrap();
        });
        timed(&mut lazy, || drop(log.append(None, stage(n), Durability::Lazy).unwrap()));
        timed(&mut synced, || drop(log.append(None, stage(n), Durability::Synced).unwrap()));
        // What a process does that comes, appends once and goes.
        timed(&mut fresh, || drop(AuditLog::new(state.path()).append(None, stage(n), Durability::Lazy).unwrap()));
    }
    let (bare, synced, lazy) = (median(bare), median(synced), median(lazy));
    println!("append, key: {with_key}");
    println!(
        "  synced {synced:?}, plain append and fdatasync {bare:?}: {:.2}",
        synced.as_secs_f64() / bare.as_secs_f64()
    );
    println!(
        "  lazy {lazy:?}, plain append {:?}; once and with the checkpoint at the end {:?}",
        median(bare_lazy),
        median(fresh)
    );
}

fn verify(dir: &Path, lines: usize) {
    let state = tempfile::tempdir_in(dir).unwrap();
    let log = AuditLog::new(state.path());
    let key = log.set_up_key().unwrap();
    for n in 0..lines {
        log.append(None, stage(n), Durability::Lazy).unwrap();
    }
    drop(log);
    let log = AuditLog::new(state.path());
    let bytes: u64 = std::fs::read_dir(log.dir()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    for key in [None, Some(key.as_str())] {
        let mut times = Vec::new();
        for _ in 0..5 {
            timed(&mut times, || assert!(log.verify(key).unwrap().is_sound()));
        }
        let time = median(times);
        let per_second = |count: f64| count / time.as_secs_f64() / 1e6;
        let (rate, volume) = (per_second(lines as f64), per_second(bytes as f64));
        println!("verify {lines} lines, seals: {}: {time:?}, {rate:.2} M lines/s, {volume:.0} MB/s", key.is_some());
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = args.next().map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    let lines = args.next().map_or(200_000, |count| count.parse().unwrap());
    File::open(&dir).unwrap();
    for with_key in [false, true] {
        append(&dir, with_key);
    }
    verify(&dir, lines);
}
