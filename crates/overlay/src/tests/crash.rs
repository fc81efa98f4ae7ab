//! An apply or an undo that dies at every point where the state differs, in a process of its own, and is resumed; and
//! both killed from outside at moments nobody chose.

use crate::settle::apply::LayerState;
use crate::settle::plan::Selection;
use crate::testing::{Bench, native_tree, whole_tree};
use crate::tests::laws::without_counts;
use nix::fcntl::RenameFlags;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Set for the process that dies: bench directory, store, and how many points it survives.
const DIR: &str = "BELLJAR_TEST_CRASH_DIR";
const STORE: &str = "BELLJAR_TEST_CRASH_STORE";
const POINT: &str = "BELLJAR_TEST_CRASH_POINT";
/// `apply` or `undo`.
const VERB: &str = "BELLJAR_TEST_CRASH_VERB";
/// No apply of these benches has more points.
const POINTS_MAX: u32 = 200;

pub(super) fn prepare(bench: &Bench) {
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
    let undo = std::env::var(VERB).is_ok_and(|verb| verb == "undo");
    match overlay.state().unwrap() {
        LayerState::AtRest if undo => overlay.undo_with(overlay.plan_undo().unwrap(), &die).map(drop).unwrap(),
        LayerState::AtRest => overlay.apply_with(overlay.plan_apply(&Selection::All).unwrap(), &die).map(drop).unwrap(),
        LayerState::Applying => overlay.resume_with(&die).map(drop).unwrap(),
        LayerState::Undoing => overlay.resume_undo_with(&die).map(drop).unwrap(),
    }
}

fn command(bench: &Bench, verb: &str, point: u32) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "tests::crash::child", "--test-threads=1"]).env(VERB, verb);
    command.env(DIR, &bench.dir).env(STORE, &bench.store).env(POINT, point.to_string());
    command
}

/// Whether the process came to its end before `point`.
fn run_child(bench: &Bench, verb: &str, point: u32) -> bool {
    command(bench, verb, point).output().unwrap().status.success()
}

pub(super) fn each_file_is_old_or_new(
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
        let ended = run_child(&bench, "apply", point);
        each_file_is_old_or_new(&native_tree(&bench.host()), &old, &new);
        let overlay = bench.overlay();
        if overlay.state().unwrap() == LayerState::AtRest && !ended {
            // It died before the journal was written: nothing happened.
            assert_eq!(native_tree(&bench.host()), old, "point {point}");
            let plan = overlay.plan_apply(&Selection::All).unwrap();
            overlay.apply(plan).unwrap();
        } else {
            // A second death on the way must not matter either.
            run_child(&bench, "apply", point / 2);
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

/// What must not have changed after an apply and its undo; inode numbers only where nothing had to be copied.
struct Start {
    host: BTreeMap<String, String>,
    changes: Vec<String>,
    near: bool,
}

impl Start {
    fn of(bench: &Bench) -> Start {
        use std::os::unix::fs::MetadataExt as _;
        let device = |path: &Path| fs::metadata(path).unwrap().dev();
        let near = device(&bench.host()) == device(&bench.store);
        Start { changes: bench.changes(), host: whole_tree(&bench.host(), near), near }
    }

    #[track_caller]
    fn check(&self, bench: &Bench, what: &str) {
        assert_eq!(whole_tree(&bench.host(), self.near), self.host, "{what}");
        assert_eq!(bench.changes(), self.changes, "{what}");
    }
}

fn apply_all(bench: &Bench) {
    let overlay = bench.overlay();
    overlay.apply(overlay.plan_apply(&Selection::All).unwrap()).unwrap();
}

fn crash_undo_everywhere(make: impl Fn() -> Bench) {
    for point in 0..POINTS_MAX {
        let bench = make();
        prepare(&bench);
        let start = Start::of(&bench);
        let (old, new) = (native_tree(&bench.host()), without_counts(bench.view().tree()));
        apply_all(&bench);
        let applied = native_tree(&bench.host());
        assert_eq!(without_counts(applied.clone()), new);
        let ended = run_child(&bench, "undo", point);
        each_file_is_old_or_new(&native_tree(&bench.host()), &applied, &old);
        let overlay = bench.overlay();
        if overlay.state().unwrap() == LayerState::AtRest && !ended {
            assert_eq!(native_tree(&bench.host()), applied, "point {point}");
            overlay.undo(overlay.plan_undo().unwrap()).unwrap();
        } else if !ended && point % 3 == 2 {
            // Thrown away instead: the host is one or the other, and nothing of ours stays on it.
            bench.overlay().discard().unwrap();
            let now = native_tree(&bench.host());
            assert!(now == old || now == applied, "point {point}: {now:?}");
            continue;
        } else {
            run_child(&bench, "undo", point / 2);
            bench.overlay().resume_undo().unwrap();
        }
        start.check(&bench, &format!("point {point}"));
        assert_eq!(bench.overlay().state().unwrap(), LayerState::AtRest);
        apply_all(&bench);
        assert_eq!(native_tree(&bench.host()), applied, "point {point}");
        if ended {
            assert!(point > 20, "only {point} points");
            return;
        }
    }
    panic!("more than {POINTS_MAX} points");
}

#[test]
fn undo_on_one_file_system() {
    crash_undo_everywhere(Bench::new);
}

#[test]
fn undo_across_file_systems() {
    let Some(stores) = other_file_system() else { return };
    let next = Cell::new(0);
    crash_undo_everywhere(|| far_bench(stores.path(), &next));
}

fn far_bench(stores: &Path, next: &Cell<u32>) -> Bench {
    next.set(next.get() + 1);
    let mut bench = Bench::new();
    bench.store = stores.join(next.get().to_string());
    bench
}

fn other_file_system() -> Option<tempfile::TempDir> {
    let shm = Path::new("/dev/shm");
    let other = |path: &Path| std::os::unix::fs::MetadataExt::dev(&fs::metadata(path).unwrap());
    let differs = shm.is_dir() && other(shm) != other(&std::env::temp_dir());
    differs.then(|| tempfile::tempdir_in(shm).unwrap())
}

/// How many times each verb is killed; a thousand by `BELLJAR_KILLS=1000`.
fn kills(usual: u32) -> u32 {
    std::env::var("BELLJAR_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// A small pseudo-random sequence (Steele, Lea, Flood 2014): no two kills at the same moment, and the same ones each time.
fn scattered(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Starts `verb` in a process of its own, and kills it `after` it has begun to write its journal. Whether that met it.
fn killed(bench: &Bench, verb: &str, after: Duration) -> bool {
    let mut child = command(bench, verb, u32::MAX).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let journal = bench.store.join(if verb == "apply" { "journal.json" } else { "undo.json" });
    let began = Instant::now();
    while !journal.exists() && child.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(20) {
        std::hint::spin_loop();
    }
    let moment = Instant::now();
    while moment.elapsed() < after {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    bench.overlay().state().unwrap() != LayerState::AtRest
}

/// There and back again on one bench, each way killed once before it is finished.
fn kill_both_ways(bench: &Bench, rounds: u32) {
    prepare(bench);
    for n in 0..24 {
        fs::write(bench.host().join(format!("d/many{n}")), "old").unwrap();
        bench.view().write(&format!("d/many{n}"), b"new").unwrap();
    }
    let start = Start::of(bench);
    let old = native_tree(&bench.host());
    apply_all(bench);
    let new = native_tree(&bench.host());
    let overlay = bench.overlay();
    overlay.undo(overlay.plan_undo().unwrap()).unwrap();
    // As long as a whole one takes, in microseconds; it follows what the machine is busy with.
    let mut span = [4_000_u64, 4_000];
    let mut met = [0, 0];
    let mut random = 1;
    for round in 0..rounds {
        for (way, verb) in ["apply", "undo"].into_iter().enumerate() {
            let (from, to) = if way == 0 { (&old, &new) } else { (&new, &old) };
            let interrupted = killed(bench, verb, Duration::from_micros(scattered(&mut random) % span[way]));
            each_file_is_old_or_new(&native_tree(&bench.host()), from, to);
            met[way] += u32::from(interrupted);
            let ended = !interrupted && native_tree(&bench.host()) == *to && bench.overlay().undoable().unwrap() > 0;
            span[way] = if ended { span[way] * 19 / 20 } else { span[way] + span[way] / 50 + 1 };
            let overlay = bench.overlay();
            match overlay.state().unwrap() {
                LayerState::Applying => {
                    overlay.resume().unwrap();
                }
                LayerState::Undoing => {
                    overlay.resume_undo().unwrap();
                }
                LayerState::AtRest if native_tree(&bench.host()) == *to => {}
                LayerState::AtRest if way == 0 => apply_all(bench),
                LayerState::AtRest => {
                    overlay.undo(overlay.plan_undo().unwrap()).unwrap();
                }
            }
            assert_eq!(native_tree(&bench.host()), *to, "round {round}, {verb}");
        }
        start.check(bench, &format!("round {round}"));
    }
    eprintln!("{rounds} kills each; {} met an apply and {} an undo under way", met[0], met[1]);
    assert!(met.iter().all(|met| *met > rounds / 4), "too few kills met the work itself: {met:?}");
}

#[test]
fn killed_at_random_on_one_file_system() {
    kill_both_ways(&Bench::new(), kills(40));
}

#[test]
fn killed_at_random_across_file_systems() {
    let Some(stores) = other_file_system() else { return };
    kill_both_ways(&far_bench(stores.path(), &Cell::new(0)), kills(10));
}

#[test]
fn on_one_file_system() {
    crash_everywhere(Bench::new);
}

#[test]
fn across_file_systems() {
    let Some(stores) = other_file_system() else { return };
    let next = Cell::new(0);
    crash_everywhere(|| far_bench(stores.path(), &next));
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

/// A disk that is not mounted leaves an empty directory in its place: discarding there must not throw away what the
/// interrupted apply had exchanged.
#[test]
fn discarded_over_another_root_nothing_of_the_host_is_lost() {
    let mut refused = 0;
    for point in 0..POINTS_MAX {
        let bench = Bench::new();
        fs::create_dir(bench.host().join("d")).unwrap();
        for file in ["d/a", "d/b", "d/c"] {
            fs::write(bench.host().join(file), "old").unwrap();
            bench.view().write(file, b"new").unwrap();
        }
        let (old, new) = (native_tree(&bench.host()), bench.view().tree());
        if run_child(&bench, "apply", point) {
            assert!(refused > 2, "only {refused} refusals in {point} points");
            return;
        }
        if bench.overlay().state().unwrap() == LayerState::AtRest {
            continue;
        }
        let elsewhere = bench.dir.join("elsewhere");
        fs::rename(bench.host(), &elsewhere).unwrap();
        fs::create_dir(bench.host()).unwrap();
        refused += u32::from(bench.overlay().discard().is_err());
        fs::remove_dir(bench.host()).unwrap();
        fs::rename(&elsewhere, bench.host()).unwrap();
        if bench.store.exists() {
            bench.overlay().discard().unwrap();
        }
        let now = native_tree(&bench.host());
        assert!(now == old || now == new, "point {point}: {now:?}");
    }
    panic!("more than {POINTS_MAX} points");
}
