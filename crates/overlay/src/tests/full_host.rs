//! The disk is full from some point of an apply or an undo on: nothing is lost, it is said, and it goes on when there is
//! room again.

use crate::settle::apply::LayerState;
use crate::settle::plan::Selection;
use crate::testing::{Bench, native_tree, whole_tree};
use crate::tests::crash::{each_file_is_old_or_new, prepare};
use crate::{ApplyError, UndoError};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::cell::Cell;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Points that are tried; no apply or undo of these benches has more.
const POINTS_MAX: u32 = 400;
const SMALL: &str = "size=4m,nr_inodes=600";

/// Two small file systems that only the calling thread sees. `None` without the right to mount.
fn disks(base: &Path) -> Option<[PathBuf; 2]> {
    unshare(CloneFlags::CLONE_NEWNS).ok()?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).ok()?;
    let disks = ["one", "two"].map(|name| base.join(name));
    for disk in &disks {
        fs::create_dir(disk).unwrap();
        mount(Some("tmpfs"), disk, Some("tmpfs"), MsFlags::empty(), Some(SMALL)).ok()?;
    }
    Some(disks)
}

/// Takes every byte and every inode that is left.
fn fill(disk: &Path) {
    let filler = disk.join("filler");
    fs::create_dir_all(&filler).unwrap();
    let mut file = fs::File::create(filler.join("bytes")).unwrap();
    for chunk in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![1; chunk]).is_ok() {}
    }
    for n in 0.. {
        if fs::File::create(filler.join(n.to_string())).is_err() {
            return;
        }
    }
}

fn make_room(disk: &Path) {
    let _ = fs::remove_dir_all(disk.join("filler"));
}

fn is_full(errno: Errno) -> bool {
    matches!(errno, Errno::ENOSPC | Errno::EDQUOT)
}

/// An error that says that the disk is full, and how to go on.
fn says_so(hint: Option<&str>, error: &(dyn std::error::Error + 'static)) {
    assert!(hint.is_some(), "{error:?}");
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<Errno>().is_some_and(|errno| is_full(*errno)) {
            return;
        }
        cause = error.source();
    }
    panic!("{error:?} does not say that the disk is full");
}

/// Runs apply and undo once for every point at which the disk may become full.
fn full_everywhere(host: &Path, store: &Path) {
    let mut failures = [0, 0];
    for point in 0..POINTS_MAX {
        let dir = host.join(format!("p{point}"));
        fs::create_dir_all(dir.join("host")).unwrap();
        let bench = Bench::at(&dir, &store.join(format!("s{point}")));
        prepare(&bench);
        let changes = bench.changes();
        let start = whole_tree(&bench.host(), host == store);
        let old = native_tree(&bench.host());
        let mut ended = [true, true];
        let mut new = old.clone();
        for way in [0, 1] {
            let left = Cell::new(point);
            let full = || match left.get() {
                0 => {
                    left.set(u32::MAX);
                    fill(host);
                    fill(store);
                }
                n => left.set(n - 1),
            };
            let overlay = bench.overlay();
            let failed: Option<(Option<&'static str>, Box<dyn std::error::Error>)> = if way == 0 {
                let done = overlay.apply_with(overlay.plan_apply(&Selection::All).unwrap(), &full);
                done.err().map(|error: ApplyError| (error.hint(), error.into()))
            } else {
                let done = overlay.undo_with(overlay.plan_undo().unwrap(), &full);
                done.err().map(|error: UndoError| (error.hint(), error.into()))
            };
            let reached = left.get() > POINTS_MAX;
            ended[way] = !reached;
            if let Some((hint, error)) = &failed {
                assert!(reached, "{error:?}");
                says_so(*hint, error.as_ref());
                failures[way] += 1;
            }
            drop(overlay);
            if way == 0 && failed.is_none() {
                new = native_tree(&bench.host());
            } else if way == 1 {
                each_file_is_old_or_new(&native_tree(&bench.host()), &new, &old);
            }
            // What can be read can be read on a full disk too, and then there is room again.
            bench.overlay().state().unwrap();
            make_room(host);
            make_room(store);
            let overlay = bench.overlay();
            match overlay.state().unwrap() {
                LayerState::Applying => {
                    overlay.resume().unwrap();
                }
                LayerState::Undoing => {
                    overlay.resume_undo().unwrap();
                }
                LayerState::AtRest if failed.is_none() => {}
                LayerState::AtRest if way == 0 => {
                    assert_eq!(native_tree(&bench.host()), old, "point {point}");
                    overlay.apply(overlay.plan_apply(&Selection::All).unwrap()).unwrap();
                }
                LayerState::AtRest => {
                    assert_eq!(native_tree(&bench.host()), new, "point {point}");
                    overlay.undo(overlay.plan_undo().unwrap()).unwrap();
                }
            }
            if way == 0 {
                new = native_tree(&bench.host());
                assert!(bench.changes().is_empty(), "point {point}: {:?}", bench.changes());
                assert!(new.get("a").is_some_and(|line| line.ends_with('A')) && !new.contains_key("gone"), "{new:?}");
            }
        }
        assert_eq!(whole_tree(&bench.host(), host == store), start, "point {point}");
        assert_eq!(bench.changes(), changes, "point {point}");
        bench.overlay().discard().unwrap();
        assert_eq!(native_tree(&bench.host()), old);
        fs::remove_dir_all(&dir).unwrap();
        if ended == [true, true] {
            assert!(point > 20 && failures.iter().all(|count| *count > 0), "{point} points, {failures:?} failures");
            return;
        }
    }
    panic!("more than {POINTS_MAX} points");
}

fn in_own_namespace(test: impl FnOnce([PathBuf; 2]) + Send) {
    std::thread::scope(|scope| {
        let run = || {
            let base = tempfile::tempdir().unwrap();
            if let Some(disks) = disks(base.path()) {
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(disks.clone())));
                disks.iter().for_each(|disk| nix::mount::umount2(disk, nix::mount::MntFlags::MNT_DETACH).unwrap());
                result.unwrap();
            }
        };
        scope.spawn(run).join().unwrap();
    });
}

#[test]
fn a_full_disk_loses_nothing() {
    in_own_namespace(|[one, _]| full_everywhere(&one, &one));
}

#[test]
fn two_full_disks_lose_nothing() {
    in_own_namespace(|[one, two]| full_everywhere(&one, &two));
}
