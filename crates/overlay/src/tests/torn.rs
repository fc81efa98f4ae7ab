//! Copy-up while somebody on the host rewrites the files: each copy is one state of its file.

use crate::testing::Bench;
use nix::errno::Errno;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Large enough that a rewrite in one write(2) takes its time.
const FILE_BYTES: usize = 1 << 20;
const FILES: u64 = 100;
const WRITERS: u64 = 2;

/// `BELLJAR_TORN_FILES=1000` for the long run.
fn files() -> u64 {
    std::env::var("BELLJAR_TORN_FILES").ok().and_then(|n| n.parse().ok()).unwrap_or(FILES)
}

fn open(host: &Path, number: u64) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(host.join(number.to_string())).unwrap()
}

/// Whether every byte is the same, as each rewrite makes it.
fn is_whole(bytes: &[u8]) -> bool {
    bytes.len() == FILE_BYTES && bytes.iter().all(|byte| *byte == bytes[0])
}

#[test]
fn a_copy_is_never_torn() {
    let bench = Bench::new();
    let view = bench.view();
    let (current, stop, rewrites) = (AtomicU64::new(0), AtomicBool::new(false), AtomicU64::new(0));
    for number in 0..files() {
        open(&bench.host(), number).write_all_at(&vec![b'0'; FILE_BYTES], 0).unwrap();
    }
    let rewrite = |file: &File, generation: &mut u8| {
        *generation = generation.wrapping_add(1);
        file.write_all_at(&vec![*generation; FILE_BYTES], 0).unwrap();
        rewrites.fetch_add(1, Ordering::Relaxed);
    };
    let write = |mut generation: u8| {
        while !stop.load(Ordering::Relaxed) {
            let number = current.load(Ordering::Relaxed);
            let file = open(&bench.host(), number);
            // A burst and a pause: a file that never stands still is refused, not copied.
            for _ in 0..3 {
                rewrite(&file, &mut generation);
            }
            std::thread::sleep(std::time::Duration::from_millis(u64::from(generation % 7)));
        }
    };
    let (mut torn, mut busy) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || write(u8::try_from(writer).unwrap() * 100));
        }
        for number in 0..files() {
            current.store(number, Ordering::Relaxed);
            std::thread::sleep(std::time::Duration::from_millis(number % 5));
            let name = number.to_string();
            loop {
                match view.chmod(&name, 0o600) {
                    Err(Errno::EBUSY) => busy += 1,
                    done => break done.unwrap(),
                }
            }
            if !is_whole(&view.layers.read_data(view.hold(&name).unwrap(), 0, 2 * FILE_BYTES).unwrap()) {
                torn.push(number);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let rewrites = rewrites.into_inner();
    eprintln!("{} files, {rewrites} rewrites meanwhile, {} torn, {busy} refused and tried again", files(), torn.len());
    assert!(rewrites > files(), "the writers did not get to write");
    assert!(torn.is_empty(), "torn: {torn:?}");
}
