//! A rewind brings back the layer as it was: the tree with its inodes, the view and the diff. Also when it dies.

use crate::fs::{at, xattr};
use crate::testing::{Bench, View};
use crate::tests::laws::without_counts;
use crate::view::setattr::Changes;
use nix::errno::Errno;
use nix::fcntl::RenameFlags;
use nix::sys::time::TimeSpec;
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::Command;

/// One operation on paths of a small name space, so that they meet.
#[derive(Clone, Debug)]
enum Op {
    Write(String, u8),
    Patch(String, u8),
    Mkdir(String),
    Symlink(String),
    Link(String, String),
    Unlink(String),
    RemoveTree(String),
    Rename(String, String, u8),
    Chmod(String, u32),
    Chown(String, u32),
    Touch(String, u8),
    Truncate(String, u8),
    Punch(String),
    Attribute(String, u8),
    Bare(String),
    /// Opens it for good; later writes go to it, whatever became of its name.
    Hold(String),
    WriteHeld(u8),
    Look(String),
    Checkpoint,
    /// The daemon ends and another one serves the same layer.
    Reopen,
}

fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof!["a", "b", "c"], 1..=3).prop_map(|parts| parts.join("/"))
}

fn host_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (path(), any::<u8>()).prop_map(|(p, n)| Op::Write(p, n)),
        4 => path().prop_map(Op::Mkdir),
        1 => path().prop_map(Op::Symlink),
        2 => (path(), path()).prop_map(|(a, b)| Op::Link(a, b)),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (path(), any::<u8>()).prop_map(|(p, n)| Op::Write(p, n)),
        4 => (path(), any::<u8>()).prop_map(|(p, n)| Op::Patch(p, n)),
        4 => path().prop_map(Op::Mkdir),
        1 => path().prop_map(Op::Symlink),
        3 => (path(), path()).prop_map(|(a, b)| Op::Link(a, b)),
        4 => path().prop_map(Op::Unlink),
        2 => path().prop_map(Op::RemoveTree),
        8 => (path(), path(), 0..4u8).prop_map(|(a, b, f)| Op::Rename(a, b, f)),
        1 => (path(), prop_oneof![Just(0o700), Just(0o4755), Just(0o000)]).prop_map(|(p, m)| Op::Chmod(p, m)),
        1 => (path(), 0..3u32).prop_map(|(p, u)| Op::Chown(p, u)),
        1 => (path(), any::<u8>()).prop_map(|(p, n)| Op::Touch(p, n)),
        2 => (path(), any::<u8>()).prop_map(|(p, n)| Op::Truncate(p, n)),
        1 => path().prop_map(Op::Punch),
        2 => (path(), any::<u8>()).prop_map(|(p, n)| Op::Attribute(p, n)),
        1 => path().prop_map(Op::Bare),
        2 => path().prop_map(Op::Hold),
        3 => any::<u8>().prop_map(Op::WriteHeld),
        1 => path().prop_map(Op::Look),
        4 => Just(Op::Checkpoint),
        2 => Just(Op::Reopen),
    ]
}

/// Fills the host; what cannot be done is left out.
fn furnish(root: &Path, ops: &[Op]) {
    let at = |path: &str| root.join(path);
    for op in ops {
        let _ = match op {
            Op::Write(p, n) => fs::write(at(p), [*n; 5]),
            Op::Mkdir(p) => fs::create_dir(at(p)),
            Op::Symlink(p) => std::os::unix::fs::symlink("to", at(p)),
            Op::Link(a, b) => fs::hard_link(at(a), at(b)),
            _ => Ok(()),
        };
    }
}

/// A view with files that somebody has open.
struct Session {
    view: View,
    held: Option<u64>,
}

impl Session {
    fn new(bench: &Bench) -> Session {
        Session { view: bench.view(), held: None }
    }

    /// Does it where it can be done.
    fn run(&mut self, op: &Op) -> Result<(), Errno> {
        let view = &self.view;
        let set = |p: &str, changes| view.layers.setattr(view.hold(p)?, changes).map(drop);
        match op {
            Op::Write(p, n) => view.write(p, &[*n; 9]),
            Op::Patch(p, n) => view.layers.write_data(view.hold(p)?, u64::from(n % 7), &[*n], true).map(drop),
            Op::Mkdir(p) => view.mkdir(p),
            Op::Symlink(p) => view.symlink("elsewhere", p),
            Op::Link(a, b) => view.link(a, b),
            Op::Unlink(p) => view.unlink(p),
            Op::RemoveTree(p) => view.remove_tree(p),
            Op::Rename(a, b, 3) => view.rename(a, b, RenameFlags::RENAME_EXCHANGE),
            Op::Rename(a, b, _) => view.rename(a, b, RenameFlags::empty()),
            Op::Chmod(p, m) => set(p, Changes { mode: Some(*m), ..Changes::default() }),
            Op::Chown(p, u) => set(p, Changes { uid: Some(*u), gid: Some(*u), ..Changes::default() }),
            Op::Touch(p, n) => set(p, Changes { mtime: Some(TimeSpec::new((*n).into(), 5)), ..Changes::default() }),
            Op::Truncate(p, n) => set(p, Changes { size: Some((*n).into()), ..Changes::default() }),
            Op::Punch(p) => {
                let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
                view.layers.allocate(view.hold(p)?, mode, 1, 3)
            }
            Op::Attribute(p, n) => view.set_xattr(p, "user.note", &n.to_string()),
            Op::Bare(p) => view.layers.remove_xattr(view.hold(p)?, OsStr::new("user.note")),
            Op::Hold(p) => {
                self.held = Some(view.hold(p)?);
                Ok(())
            }
            Op::WriteHeld(n) => view.layers.write_data(self.held.ok_or(Errno::EBADF)?, 0, &[*n; 3], false).map(drop),
            Op::Look(p) => view.hold(p).map(drop),
            Op::Checkpoint | Op::Reopen => Ok(()),
        }
    }
}

/// Everything that makes the layer what it is, and what is seen of it.
#[derive(Debug, PartialEq)]
struct State {
    upper: BTreeMap<String, String>,
    index: BTreeMap<String, u64>,
    origins: String,
}

fn object(dir: &Path, name: &OsStr, open: &BTreeMap<u64, u64>) -> String {
    let path = dir.join(name);
    let meta = fs::symlink_metadata(&path).unwrap();
    let fd = at::open_root(dir).unwrap();
    let mut attributes = xattr::everything(&fd, name).unwrap();
    attributes.sort();
    let body = if meta.is_file() {
        format!("{:?}", fs::read(&path).unwrap())
    } else if meta.is_symlink() {
        format!("{:?}", fs::read_link(&path).unwrap())
    } else {
        String::new()
    };
    // All whiteouts are links to one object, and a directory's own links and size tell nothing.
    let (ino, nlink) = match meta.mode() & libc::S_IFMT {
        libc::S_IFCHR => return "whiteout".into(),
        libc::S_IFDIR => (meta.ino(), 0),
        // A file that somebody has open has a name in `work` until it is closed.
        _ => (meta.ino(), meta.nlink() - open.get(&meta.ino()).unwrap_or(&0)),
    };
    let (mode, owner, time) = (meta.mode(), (meta.uid(), meta.gid()), (meta.mtime(), meta.mtime_nsec()));
    format!("{ino} {nlink} {mode:o} {owner:?} {time:?} {attributes:?} {body}")
}

fn state(bench: &Bench) -> State {
    let upper = bench.store.join("upper");
    let mut out = State { upper: BTreeMap::new(), index: BTreeMap::new(), origins: String::new() };
    let mut open = BTreeMap::new();
    for entry in fs::read_dir(bench.store.join("work")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_str().unwrap().starts_with('t') {
            *open.entry(entry.metadata().unwrap().ino()).or_default() += 1;
        }
    }
    out.upper.insert(String::new(), object(&upper, OsStr::new("."), &open));
    let mut waiting = vec![upper.clone()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let rel = entry.path().strip_prefix(&upper).unwrap().to_str().unwrap().to_owned();
            out.upper.insert(rel, object(&dir, &entry.file_name(), &open));
            if entry.file_type().unwrap().is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    for entry in fs::read_dir(bench.store.join("work")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with('l') {
            let ino = fs::metadata(bench.store.join("work").join(&name)).unwrap().ino();
            out.index.insert(name, ino);
        }
    }
    out.origins = fs::read_to_string(bench.store.join("origins")).unwrap();
    out
}

/// Names the store has for checkpoints alone.
fn kept(bench: &Bench) -> usize {
    let names = fs::read_dir(bench.store.join("work")).unwrap();
    names.filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with(['k', 'c'])).count()
}

/// Runs `ops`, beginning with a checkpoint; the state at each, by number.
fn run(bench: &Bench, ops: &[Op]) -> Vec<State> {
    let mut states = Vec::new();
    let mut session = Session::new(bench);
    // The first checkpoint makes the layer, and is compared with it.
    session.view.layers.store.parts().unwrap();
    for op in std::iter::once(&Op::Checkpoint).chain(ops) {
        match op {
            Op::Checkpoint => {
                let before = state(bench);
                session.view.layers.checkpoint(0).unwrap();
                states.push(before);
            }
            Op::Reopen => {
                drop(session);
                bench.overlay().store.clean_work().unwrap();
                session = Session::new(bench);
            }
            op => {
                let _ = session.run(op);
            }
        }
    }
    states
}

/// Rewinds, dying at the fault point `point` if there are as many. Whether it came through.
fn rewind_until(bench: &Bench, to: u64, point: u32) -> bool {
    let left = Cell::new(point);
    let die = || match left.get() {
        0 => resume_unwind(Box::new("died")),
        n => left.set(n - 1),
    };
    let overlay = bench.overlay();
    catch_unwind(AssertUnwindSafe(|| overlay.rewind_with(to, &die).unwrap())).is_ok()
}

fn check(bench: &Bench, expected: &State) -> Result<(), TestCaseError> {
    let now = state(bench);
    let differing = |(path, then): (&String, &String)| {
        let now = now.upper.get(path);
        (now != Some(then)).then(|| format!("{path}: {then} is now {now:?}"))
    };
    let differences: Vec<_> = expected.upper.iter().filter_map(differing).collect();
    prop_assert!(differences.is_empty(), "{differences:#?}");
    prop_assert_eq!(&now, expected);
    Ok(())
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn each_checkpoint_can_be_gone_back_to(
        before in proptest::collection::vec(host_op(), 0..24),
        ops in proptest::collection::vec(op(), 1..60),
    ) {
        let bench = Bench::new();
        furnish(&bench.host(), &before);
        let states = run(&bench, &ops);
        for (index, expected) in states.iter().enumerate().rev() {
            let to = u64::try_from(index + 1).unwrap();
            bench.overlay().rewind(to).unwrap();
            check(&bench, expected)?;
            prop_assert_eq!(bench.overlay().checkpoints().unwrap().len(), index + 1);
            // Twice is once.
            bench.overlay().rewind(to).unwrap();
            check(&bench, expected)?;
        }
        prop_assert_eq!(kept(&bench), 0);
    }

    #[test]
    fn view_and_diff_are_what_they_were(
        before in proptest::collection::vec(host_op(), 0..24),
        first in proptest::collection::vec(op(), 0..30),
        second in proptest::collection::vec(op(), 1..40),
    ) {
        let bench = Bench::new();
        furnish(&bench.host(), &before);
        run(&bench, &first);
        let (tree, changes) = (without_counts(bench.view().tree()), bench.changes());
        let to = bench.overlay().checkpoint().unwrap();
        run(&bench, &second);
        bench.overlay().rewind(to).unwrap();
        prop_assert_eq!(without_counts(bench.view().tree()), tree);
        prop_assert_eq!(bench.changes(), changes);
    }

    /// History is linear: what was taken back is gone, and another history follows.
    #[test]
    fn another_history_can_follow(
        before in proptest::collection::vec(host_op(), 0..16),
        first in proptest::collection::vec(op(), 1..40),
        second in proptest::collection::vec(op(), 1..40),
        pick in any::<prop::sample::Index>(),
    ) {
        let bench = Bench::new();
        furnish(&bench.host(), &before);
        let mut states = run(&bench, &first);
        let back = pick.index(states.len());
        bench.overlay().rewind(u64::try_from(back + 1).unwrap()).unwrap();
        check(&bench, &states[back])?;
        states.truncate(back + 1);
        states.extend(run(&bench, &second));
        for (index, expected) in states.iter().enumerate().rev().step_by(2) {
            bench.overlay().rewind(u64::try_from(index + 1).unwrap()).unwrap();
            check(&bench, expected)?;
        }
    }

    #[test]
    fn a_rewind_that_dies_is_finished_by_the_next(
        before in proptest::collection::vec(host_op(), 0..16),
        ops in proptest::collection::vec(op(), 1..40),
        points in proptest::collection::vec(0..60u32, 1..6),
        pick in any::<prop::sample::Index>(),
    ) {
        let bench = Bench::new();
        furnish(&bench.host(), &before);
        let states = run(&bench, &ops);
        let index = pick.index(states.len());
        let to = u64::try_from(index + 1).unwrap();
        for point in points {
            if rewind_until(&bench, to, point) {
                break;
            }
            let overlay = bench.overlay();
            if overlay.rewinding().unwrap().is_some() {
                let refused = overlay.checkpoint();
                prop_assert!(matches!(refused, Err(crate::OverlayError::Unfinished { what: "rewind" })), "{refused:?}");
            }
        }
        bench.overlay().rewind(to).unwrap();
        check(&bench, &states[index])?;
    }
}

fn rich(bench: &Bench) {
    let host = bench.host();
    fs::create_dir_all(host.join("d/e")).unwrap();
    for name in ["a", "d/b", "d/e/c"] {
        fs::write(host.join(name), name).unwrap();
    }
    fs::hard_link(host.join("a"), host.join("d/a2")).unwrap();
}

fn change_everything(view: &View) {
    let _ = view.remove_tree("new");
    view.write("a", b"A").unwrap();
    view.unlink("d/a2").unwrap();
    view.mkdir("new").unwrap();
    view.rename("d/e", "new/e", RenameFlags::empty()).unwrap();
    view.rename("d", "new/e/d", RenameFlags::empty()).unwrap();
    view.mkdir("d").unwrap();
    view.rename("new/e/c", "d/c", RenameFlags::empty()).unwrap();
    view.rename("a", "new", RenameFlags::RENAME_EXCHANGE).unwrap();
}

/// Dies at every point there is, each time on a fresh layer.
#[test]
fn every_point_of_a_rewind() {
    for point in 0..500 {
        let bench = Bench::new();
        rich(&bench);
        bench.view().write("d/b", b"first").unwrap();
        let expected = state(&bench);
        let to = bench.overlay().checkpoint().unwrap();
        let view = bench.view();
        change_everything(&view);
        view.layers.checkpoint(0).unwrap();
        view.write("new", b"second").unwrap();
        view.remove_tree("a").unwrap();
        drop(view);
        let through = rewind_until(&bench, to, point);
        bench.overlay().rewind(to).unwrap();
        check(&bench, &expected).unwrap();
        if through {
            assert!(point > 20, "only {point} points");
            return;
        }
    }
    panic!("more than 500 points");
}

/// Set for the process that dies: bench directory.
const DIR: &str = "BELLJAR_TEST_REWIND_DIR";

/// Changes one thing after the other until it is killed. Without its variable it is nobody's business.
#[test]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let dir = Path::new(&dir);
    let bench = Bench::at(dir, &dir.join("store"));
    let mut session = Session::new(&bench);
    let paths = ["a", "d", "d/a2", "d/b", "d/e", "d/e/c", "new", "new/x", "new/e"];
    for round in 0u32.. {
        let pick = |salt: u32| paths[(round.wrapping_mul(2_654_435_761).rotate_left(salt) % 9) as usize].to_owned();
        let byte = u8::try_from(round % 251).unwrap();
        let (p, q) = (pick(3), pick(17));
        for op in [
            Op::Patch(p.clone(), byte),
            Op::Rename(p.clone(), q.clone(), byte % 4),
            Op::Write(q.clone(), byte),
            Op::Mkdir(p.clone()),
            Op::Link(q.clone(), p.clone()),
            Op::Attribute(q, byte),
            Op::Unlink(p),
        ] {
            let _ = session.run(&op);
        }
        if round % 9 == 0 {
            session.view.layers.checkpoint(0).unwrap();
        }
    }
}

#[test]
fn killed_while_it_changes_things() {
    for round in 0..24u64 {
        let bench = Bench::new();
        rich(&bench);
        bench.view().write("d/b", b"first").unwrap();
        let expected = state(&bench);
        let to = bench.overlay().checkpoint().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::rewind::child", "--test-threads=1"])
            .env(DIR, &bench.dir)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20 + round * 7));
        child.kill().unwrap();
        child.wait().unwrap();
        bench.overlay().rewind(to).unwrap();
        check(&bench, &expected).unwrap();
        assert_eq!(kept(&bench), 0);
    }
}

#[test]
fn a_write_after_a_checkpoint_does_not_slip_by_on_an_open_descriptor() {
    let bench = Bench::new();
    rich(&bench);
    let view = bench.view();
    let file = view.hold("a").unwrap();
    view.layers.write_data(file, 0, b"one", false).unwrap();
    let first = view.layers.checkpoint(0).unwrap();
    view.layers.write_data(file, 0, b"two", false).unwrap();
    let second = view.layers.checkpoint(0).unwrap();
    view.layers.write_data(file, 0, b"six", false).unwrap();
    view.layers.write_data(file, 0, b"ten", false).unwrap();
    drop(view);
    for (to, body) in [(second, b"two"), (first, b"one")] {
        bench.overlay().rewind(to).unwrap();
        assert_eq!(bench.view().read("a").unwrap(), body);
        assert_eq!(bench.view().read("d/a2").unwrap(), body, "its other name");
    }
}

#[test]
fn only_the_first_write_of_a_generation_is_kept() {
    let bench = Bench::new();
    rich(&bench);
    let view = bench.view();
    view.write("a", b"old").unwrap();
    view.layers.checkpoint(0).unwrap();
    for n in 0..50 {
        view.write("a", &[n]).unwrap();
        view.write("new", &[n]).unwrap();
        view.unlink("new").unwrap();
    }
    assert_eq!(kept(&bench), 1, "what is new is not kept, and what is old once");
    assert!(bench.overlay().kept_bytes().unwrap() > 0);
}

#[test]
fn no_checkpoint_no_trace() {
    let bench = Bench::new();
    rich(&bench);
    change_everything(&bench.view());
    assert_eq!(kept(&bench), 0);
    for name in ["undo", "checkpoints", "rewind"] {
        assert!(!bench.store.join(name).exists(), "{name}");
    }
}

#[test]
fn an_apply_ends_the_checkpoints_before_it() {
    let bench = Bench::new();
    rich(&bench);
    bench.overlay().checkpoint().unwrap();
    change_everything(&bench.view());
    assert!(kept(&bench) > 0 || bench.store.join("undo").exists());
    let overlay = bench.overlay();
    let plan = overlay.plan_apply(&crate::settle::plan::Selection::All).unwrap();
    overlay.apply(plan).unwrap();
    assert_eq!(overlay.checkpoints().unwrap(), Vec::<u64>::new());
    assert_eq!(kept(&bench), 0);
    assert!(matches!(bench.overlay().rewind(1), Err(crate::OverlayError::NoCheckpoint { number: 1 })));
    // Counting begins anew.
    assert_eq!(bench.overlay().checkpoint().unwrap(), 1);
}

#[test]
fn not_while_somebody_works_with_it() {
    let bench = Bench::new();
    let overlay = bench.overlay();
    overlay.checkpoint().unwrap();
    let _held = overlay.store.lock().unwrap();
    assert!(matches!(bench.overlay().rewind(1), Err(crate::OverlayError::Busy { .. })));
    assert!(matches!(bench.overlay().checkpoint(), Err(crate::OverlayError::Busy { .. })));
}

/// Loud where time is measured: `cargo test --release -- --nocapture how_long`.
#[test]
fn how_long_a_checkpoint_takes() {
    let bench = Bench::new();
    let view = bench.view();
    view.layers.checkpoint(0).unwrap();
    let mut worst = std::time::Duration::ZERO;
    let began = std::time::Instant::now();
    for n in 0..1_000u32 {
        view.write(&format!("f{}", n % 50), &n.to_le_bytes()).unwrap();
        let one = std::time::Instant::now();
        view.layers.checkpoint(0).unwrap();
        worst = worst.max(one.elapsed());
    }
    println!("worst {worst:?}, all with their writes {:?}", began.elapsed());
    drop(view);
    bench.overlay().rewind(1).unwrap();
    assert_eq!(bench.view().tree(), BTreeMap::new());
    assert_eq!(kept(&bench), 0);
}
