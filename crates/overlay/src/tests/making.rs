//! A layer comes into being with the first write: nothing is left of a view that nobody wrote into, whoever writes first
//! makes all of it, and half of one is nothing.

use crate::error::OverlayError;
use crate::fs::{at, xattr};
use crate::overlay::Overlay;
use crate::settle::apply::{Applied, LayerState};
use crate::settle::plan::Selection;
use crate::store::making;
use crate::testing::{Bench, native_tree};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};

/// What the host and the store lie in has only these names.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_view_that_is_only_read_leaves_nothing() {
    let bench = Bench::new();
    fs::create_dir(bench.host().join("d")).unwrap();
    fs::write(bench.host().join("d/f"), "text").unwrap();
    fs::hard_link(bench.host().join("d/f"), bench.host().join("second")).unwrap();
    let overlay = bench.overlay();
    let taken = overlay.store.lock().unwrap();
    overlay.store.clean_work().unwrap();
    let view = crate::testing::View { layers: overlay.layers().unwrap() };
    assert_eq!(view.read("d/f").unwrap(), b"text");
    assert_eq!(view.stat("second").unwrap().stat.st_nlink, 2);
    assert_eq!(view.names("").unwrap(), ["d", "second"]);
    assert_eq!(view.stat("absent").unwrap_err(), Errno::ENOENT);
    assert!(view.layers.list_xattr(1).unwrap().is_empty());
    assert_eq!(view.unlink("absent").unwrap_err(), Errno::ENOENT);
    assert_eq!(view.mkdir("d").unwrap_err(), Errno::EEXIST);
    view.layers.sync(1, false).unwrap();
    assert!(view.layers.statfs().unwrap().blocks > 0);
    assert_eq!(view.whole_tree().len(), view.tree().len());
    view.layers.freeze();
    drop((view, taken));
    overlay.settle().unwrap();
    assert!(overlay.is_untouched().unwrap() && !overlay.has_layer());
    assert_eq!(overlay.changes_and_conflicts().unwrap(), (model::ChangeSet::default(), Vec::new()));
    assert_eq!((overlay.size().unwrap(), overlay.kept_bytes().unwrap()), ((0, 0), 0));
    assert_eq!((overlay.state().unwrap(), overlay.undoable().unwrap()), (LayerState::AtRest, 0));
    assert!(overlay.checkpoints().unwrap().is_empty() && overlay.undo_paths().unwrap().is_empty());
    assert_eq!(overlay.authors(&[]).unwrap(), None);
    assert!(overlay.fold_copy().unwrap().is_empty());
    let nothing = overlay.plan_apply(&Selection::All).unwrap();
    assert_eq!(overlay.apply(nothing).unwrap(), Applied::default());
    overlay.forget_applied().unwrap();
    overlay.discard().unwrap();
    assert_eq!(names(&bench.dir), ["host"]);
}

#[test]
fn one_that_dies_over_it_leaves_nothing_or_all() {
    let (mut nothing, mut all) = (0, 0);
    for point in 0.. {
        let bench = Bench::new();
        fs::write(bench.host().join("f"), "old").unwrap();
        let left = Cell::new(point);
        let die = || match left.get() {
            0 => resume_unwind(Box::new("died")),
            n => left.set(n - 1),
        };
        let dying = bench.overlay();
        let make = || making::make(&bench.store, dying.store.begun.as_ref().unwrap(), &die).map(drop);
        let ended = catch_unwind(AssertUnwindSafe(make)).is_ok();
        drop(dying);
        // A layer is whole where it is, and the next one to write makes it where it is not.
        if bench.store.exists() {
            all += 1;
            assert_eq!(names(&bench.dir), ["host", "store"], "point {point}");
            assert!(Overlay::open(&bench.store).unwrap().is_untouched().unwrap(), "point {point}");
        } else {
            nothing += 1;
        }
        let view = bench.view();
        view.write("f", b"new").unwrap();
        view.write("g", b"new").unwrap();
        drop(view);
        assert_eq!(names(&bench.dir), ["host", "store"], "point {point}");
        assert_eq!(names(&bench.store.join("work")), ["whiteout"], "point {point}");
        assert_eq!(bench.changes(), ["M f c", "A g"], "point {point}");
        let overlay = bench.overlay();
        overlay.apply(overlay.plan_apply(&Selection::All).unwrap()).unwrap();
        assert_eq!(fs::read(bench.host().join("f")).unwrap(), b"new", "point {point}");
        if ended {
            break;
        }
    }
    assert!(nothing > 6 && all == 2, "{nothing} died before it was there, {all} after");
}

#[test]
fn of_several_that_write_at_once_one_makes_it() {
    const WRITERS: usize = 4;
    for round in 0..20 {
        let bench = Bench::new();
        for writer in 0..WRITERS {
            fs::create_dir(bench.host().join(writer.to_string())).unwrap();
            fs::write(bench.host().join(format!("{writer}/old")), "old").unwrap();
        }
        let (overlay, start) = (bench.overlay(), Barrier::new(WRITERS + 1));
        let view = crate::testing::View { layers: overlay.layers().unwrap() };
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (view, start) = (&view, &start);
                scope.spawn(move || {
                    start.wait();
                    // Some come through the tree, and some by something that was hidden below.
                    match writer % 2 {
                        0 => view.write(&format!("{writer}/new"), b"new").unwrap(),
                        _ => view.unlink(&format!("{writer}/old")).unwrap(),
                    }
                });
            }
            start.wait();
            let first: *const making::Parts = overlay.store.parts().unwrap();
            assert!(std::ptr::eq(first, overlay.store.parts().unwrap()));
        });
        drop(view);
        assert_eq!(names(&bench.dir), ["host", "store"], "round {round}");
        let expected = ["A 0/new", "D 1/old 0", "A 2/new", "D 3/old 0"];
        assert_eq!(bench.changes(), expected, "round {round}");
    }
}

#[test]
fn somebody_elses_layer_is_neither_taken_nor_lost() {
    let bench = Bench::new();
    let (one, other) = (bench.overlay(), bench.overlay());
    let view = crate::testing::View { layers: one.layers().unwrap() };
    view.write("f", b"mine").unwrap();
    let late = crate::testing::View { layers: other.layers().unwrap() };
    assert_eq!(late.write("f", b"late").unwrap_err(), Errno::EBUSY);
    assert_eq!(names(&bench.dir), ["host", "store"]);
    assert_eq!(fs::read(bench.store.join("upper/f")).unwrap(), b"mine");
}

#[test]
fn what_is_taken_before_it_is_there_stays_taken() {
    let bench = Bench::new();
    let overlay = bench.overlay();
    let busy = |overlay: &Overlay| matches!(overlay.store.lock(), Err(OverlayError::Busy { .. }));
    let taken = overlay.store.lock().unwrap();
    assert!(busy(&overlay));
    overlay.store.parts().unwrap();
    let other = Overlay::open(&bench.store).unwrap();
    assert!(busy(&overlay) && busy(&other));
    drop(taken);
    let taken = other.store.lock().unwrap();
    assert!(busy(&overlay) && busy(&other));
    drop(taken);
    assert!(!busy(&overlay) && !busy(&other));
}

/// What the host does to its root before the first write is seen as it is where the layer was there from the beginning.
#[test]
fn the_root_counts_as_it_was_when_the_view_began() {
    let look = |eager: bool| {
        let bench = Bench::new();
        let root = at::open_root(&bench.host()).unwrap();
        xattr::set(&root, at::dot(), OsStr::new("user.kept"), b"1", 0).unwrap();
        let overlay = bench.overlay();
        if eager {
            overlay.store.parts().unwrap();
        }
        let view = crate::testing::View { layers: overlay.layers().unwrap() };
        let before = view.stat("").unwrap().stat;
        fs::set_permissions(bench.host(), Permissions::from_mode(0o701)).unwrap();
        xattr::set(&root, at::dot(), OsStr::new("user.kept"), b"2", 0).unwrap();
        xattr::set(&root, at::dot(), OsStr::new("user.later"), b"3", 0).unwrap();
        fs::write(bench.host().join("of the host"), "").unwrap();
        let shown = |stat: &at::Stat| {
            let times = (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
            (stat.st_mode, stat.st_ino, stat.st_nlink, times)
        };
        assert_eq!(shown(&view.stat("").unwrap().stat), shown(&before));
        assert_eq!(view.names("").unwrap(), ["of the host"]);
        // A copy below the root is no change of the root itself.
        fs::create_dir(bench.host().join("d")).unwrap();
        fs::write(bench.host().join("d/f"), "").unwrap();
        view.write("d/f", b"changed").unwrap();
        assert_eq!(shown(&view.stat("").unwrap().stat), shown(&before));
        let (_, conflicts) = overlay.changes_and_conflicts().unwrap();
        let host = model::FilePath::from(bench.host());
        let of_root: Vec<_> =
            conflicts.into_iter().filter(|conflict| conflict.path == host).map(|it| it.kind).collect();
        (bench.changes(), format!("{of_root:?}"))
    };
    let (eager, lazy) = (look(true), look(false));
    assert_eq!(lazy, eager);
    assert!(
        eager.0.iter().any(|line| line.starts_with("M  ") && line.contains('m') && line.contains('x')),
        "{eager:?}"
    );
    assert_ne!(eager.1, "[]");
}

/// Nor does the making count as a change of the host's directory.
#[test]
fn the_root_keeps_its_times_in_the_layer() {
    let bench = Bench::new();
    fs::create_dir(bench.host().join("d")).unwrap();
    let before = native_tree(&bench.host());
    let view = bench.view();
    view.write("d/f", b"x").unwrap();
    let own = fs::metadata(bench.store.join("upper")).unwrap();
    assert_eq!(own.modified().unwrap(), fs::metadata(bench.host()).unwrap().modified().unwrap());
    assert_eq!(native_tree(&bench.host()), before);
}

/// One that an earlier version made, with what that wrote, and a whiteout for each name of its own.
#[test]
fn a_layer_of_an_earlier_version_opens() {
    let bench = Bench::new();
    fs::write(bench.host().join("gone"), "").unwrap();
    for dir in ["upper", "work"] {
        fs::create_dir_all(bench.store.join(dir)).unwrap();
    }
    let root = bench.host().into_os_string().into_string().unwrap();
    let meta = format!(r#"{{"format":1,"id":"old","root":"{root}","hidden":[],"nested":[]}}"#);
    fs::write(bench.store.join("meta.json"), meta).unwrap();
    fs::write(bench.store.join("origins"), "").unwrap();
    fs::write(bench.store.join("upper/new"), "new").unwrap();
    let upper = at::open_root(&bench.store.join("upper")).unwrap();
    at::mknod_whiteout(&upper, OsStr::new("gone")).unwrap();
    let overlay = bench.overlay();
    assert_eq!(overlay.id(), "old");
    assert_eq!(bench.changes(), ["D gone 0", "A new"]);
    let view = bench.view();
    view.write("more", b"more").unwrap();
    assert_eq!(view.names("").unwrap(), ["more", "new"]);
}

#[test]
fn whether_layers_can_be_held_is_tried_out_once() {
    let dir = tempfile::tempdir().unwrap();
    let (above, below) = (dir.path().join("trials"), dir.path().join("trials/one"));
    fs::create_dir_all(&below).unwrap();
    let absent = PathBuf::from("/nonexistent/trial");
    assert!(Overlay::can_hold(&absent, &above).is_err());
    Overlay::can_hold(&below, &above).unwrap();
    assert!(names(&below).is_empty());
    Overlay::can_hold(&absent, &above).unwrap();
    // A mark that came with a copy says nothing of the place the copy is in.
    let copy = dir.path().join("copy");
    fs::create_dir(&copy).unwrap();
    let (from, to) = (at::open_root(&above).unwrap(), at::open_root(&copy).unwrap());
    let mark = xattr::get(&from, at::dot(), OsStr::new(xattr::FORMAT)).unwrap().unwrap();
    xattr::set(&to, at::dot(), OsStr::new(xattr::FORMAT), &mark, 0).unwrap();
    assert!(Overlay::can_hold(&absent, &copy).is_err());
}

#[test]
fn a_file_system_that_cannot_hold_layers_is_told_before_anything_is_written() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("needs root to mount a file system without attributes");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = Arc::new(dir.path().to_owned());
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        mount(Some("none"), at.as_path(), Some("ramfs"), MsFlags::empty(), None::<&str>).unwrap();
        let one = at.join("one");
        fs::create_dir(&one).unwrap();
        let refused = Overlay::can_hold(&one, &at).unwrap_err();
        assert!(matches!(refused, OverlayError::Attributes { source: Errno::EOPNOTSUPP, .. }), "{refused}");
        assert!(names(&one).is_empty());
        let bench = Bench::new();
        let bench = Bench::at(&bench.dir, &one.join("store"));
        fs::create_dir_all(bench.host()).unwrap();
        let view = bench.view();
        assert_eq!(view.write("f", b"x").unwrap_err(), Errno::EOPNOTSUPP);
        assert!(names(&one).is_empty());
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap();
}
