//! An apply that dies at every point where the state differs, in a process of its own, and is resumed.

use crate::settle::apply::LayerState;
use crate::settle::plan::Selection;
use crate::testing::{Bench, native_tree};
use nix::fcntl::RenameFlags;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Set for the process that dies: bench directory, store, and how many points it survives.
const DIR: &str = "BELLJAR_TEST_CRASH_DIR";
const STORE: &str = "BELLJAR_TEST_CRASH_STORE";
const POINT: &str = "BELLJAR_TEST_CRASH_POINT";
/// No apply of these benches has more points.
const POINTS_MAX: u32 = 200;

fn prepare(bench: &Bench) {
    let host = bench.host();
    for dir in ["d/e", "gone/deep", "ren/sub", "other"] {
        fs::create_dir_all(host.join(dir)).unwrap();
    }
    for file in ["a", "d/b", "gone/x", "gone/deep/y", "ren/r", "ren/sub/s", "other/o"] {
        fs::write(host.join(file), file).unwrap();
    }
    let view = bench.view();
    view.write("a", b"A").unwrap();
    view.write("new", b"n").unwrap();
    view.mkdir("tree").unwrap();
    view.write("tree/f", b"f").unwrap();
    view.remove_tree("gone").unwrap();
    view.rename("ren", "other", RenameFlags::RENAME_EXCHANGE).unwrap();
    view.write("other/sub/s", b"S").unwrap();
    view.unlink("ren/o").unwrap();
    view.chmod("d/e", 0o700).unwrap();
    view.unlink("d/b").unwrap();
    view.mkdir("d/b").unwrap();
    view.write("d/b/in", b"i").unwrap();
}

/// The body of the dying process. Without its variables it is nobody's business.
#[test]
fn child() {
    let (Ok(dir), Ok(store), Ok(point)) = (std::env::var(DIR), std::env::var(STORE), std::env::var(POINT)) else {
        return;
    };
    let left = Cell::new(point.parse::<u32>().unwrap());
    let die = || match left.get() {
        0 => std::process::abort(),
        n => left.set(n - 1),
    };
    let overlay = Bench::at(Path::new(&dir), Path::new(&store)).overlay();
    match overlay.state().unwrap() {
        LayerState::AtRest => overlay.apply_with(overlay.plan_apply(&Selection::All).unwrap(), &die).map(drop).unwrap(),
        LayerState::Applying => overlay.resume_with(&die).map(drop).unwrap(),
        LayerState::Undoing => overlay.resume_undo_with(&die).map(drop).unwrap(),
    }
}

/// Whether the process came to its end before `point`.
fn run_child(bench: &Bench, point: u32) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::crash::child", "--test-threads=1"])
        .env(DIR, &bench.dir)
        .env(STORE, &bench.store)
        .env(POINT, point.to_string())
        .output()
        .unwrap()
        .status;
    status.success()
}

fn each_file_is_old_or_new(
    now: &BTreeMap<String, String>,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) {
    for (path, body) in now.iter().filter(|(path, _)| !path.contains(".belljar-stage")) {
        // Between its steps a directory's link count and mode may be either; a file's content may not be a third.
        let known = |tree: &BTreeMap<String, String>| tree.get(path).is_some_and(|b| b == body);
        let moved = old.values().chain(new.values()).any(|b| b == body);
        assert!(known(old) || known(new) || moved, "{path}: {body}");
    }
}

fn crash_everywhere(make: impl Fn() -> Bench) {
    for point in 0..POINTS_MAX {
        let bench = make();
        prepare(&bench);
        let (old, new) = (native_tree(&bench.host()), bench.view().tree());
        let ended = run_child(&bench, point);
        each_file_is_old_or_new(&native_tree(&bench.host()), &old, &new);
        let overlay = bench.overlay();
        if overlay.state().unwrap() == LayerState::AtRest && !ended {
            // It died before the journal was written: nothing happened.
            assert_eq!(native_tree(&bench.host()), old, "point {point}");
            let plan = overlay.plan_apply(&Selection::All).unwrap();
            overlay.apply(plan).unwrap();
        } else {
            // A second death on the way must not matter either.
            run_child(&bench, point / 2);
            overlay.resume().unwrap();
        }
        assert_eq!(native_tree(&bench.host()), new, "point {point}");
        assert_eq!(overlay.state().unwrap(), LayerState::AtRest);
        assert!(bench.changes().is_empty(), "point {point}: {:?}", bench.changes());
        if ended {
            assert!(point > 10, "only {point} points");
            return;
        }
    }
    panic!("more than {POINTS_MAX} points");
}

#[test]
fn on_one_file_system() {
    crash_everywhere(Bench::new);
}

#[test]
fn across_file_systems() {
    let shm = Path::new("/dev/shm");
    let other = |path: &Path| std::os::unix::fs::MetadataExt::dev(&fs::metadata(path).unwrap());
    if !shm.is_dir() || other(shm) == other(&std::env::temp_dir()) {
        return;
    }
    let stores = tempfile::tempdir_in(shm).unwrap();
    let next = Cell::new(0);
    crash_everywhere(|| {
        next.set(next.get() + 1);
        let mut bench = Bench::new();
        bench.store = stores.path().join(next.get().to_string());
        bench
    });
}

#[test]
fn a_step_that_cannot_be_done_is_taken_back() {
    let bench = Bench::new();
    prepare(&bench);
    let old = native_tree(&bench.host());
    let changes = bench.changes();
    let overlay = bench.overlay();
    let plan = overlay.plan_apply(&Selection::All).unwrap();
    // Somebody creates the last of the new names after the check.
    let block = bench.host().join("tree");
    let count = Cell::new(0);
    let late = || {
        count.set(count.get() + 1);
        if count.get() == 2 {
            fs::create_dir(&block).unwrap();
        }
    };
    let failed = overlay.apply_with(plan, &late).unwrap_err();
    assert!(matches!(failed, crate::ApplyError::RolledBack { .. }), "{failed:?}");
    fs::remove_dir(&block).unwrap();
    assert_eq!(native_tree(&bench.host()), old);
    assert_eq!(overlay.state().unwrap(), LayerState::AtRest);
    assert_eq!(bench.changes(), changes);
    let plan = overlay.plan_apply(&Selection::All);
    overlay.apply(plan.unwrap()).unwrap();
}
