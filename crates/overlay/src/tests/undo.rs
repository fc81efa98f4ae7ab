//! Undo: the host as it was, the layer as it was, and nobody's later work lost.

use crate::error::{ConflictKind, UndoError};
use crate::settle::apply::LayerState;
use crate::settle::plan::Selection;
use crate::testing::{Bench, View, native_tree, whole_tree};
use crate::tests::laws::{self, op, run_both, without_counts};
use model::FilePath;
use nix::fcntl::RenameFlags;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn plain() -> RenameFlags {
    RenameFlags::empty()
}

/// A host with a few of everything.
pub(super) fn furnished() -> Bench {
    let bench = Bench::new();
    furnish(&bench);
    bench
}

fn furnish(bench: &Bench) {
    let host = bench.host();
    for dir in ["d/e", "gone/deep", "ren/sub", "ren/old"] {
        fs::create_dir_all(host.join(dir)).unwrap();
    }
    for file in ["a", "d/b", "d/e/c", "gone/x", "gone/deep/y", "ren/r", "ren/sub/s", "ren/old/o", "was", "l1"] {
        fs::write(host.join(file), file).unwrap();
    }
    fs::hard_link(host.join("l1"), host.join("d/l2")).unwrap();
    std::os::unix::fs::symlink("a", host.join("link")).unwrap();
    fs::set_permissions(host.join("d/b"), fs::Permissions::from_mode(0o640)).unwrap();
    for path in ["a", "d/e", "gone/x", "d/b"] {
        let parent = crate::fs::at::open_root(host.join(path).parent().unwrap()).unwrap();
        let name = Path::new(path).file_name().unwrap();
        crate::fs::xattr::set(&parent, name, "user.k".as_ref(), path.as_bytes(), 0).unwrap();
    }
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(host.join("gone/deep/y"), Some(1234), Some(4321)).unwrap();
        std::os::unix::fs::chown(host.join("a"), Some(1234), Some(4321)).unwrap();
    }
    // Times that no clock gives by chance.
    for (n, path) in ["", "d", "d/e", "gone", "gone/deep", "ren", "ren/sub", "ren/old", "a"].iter().enumerate() {
        let dir = crate::fs::at::open_root(&host).unwrap();
        let moment = nix::sys::time::TimeSpec::new(1_000_000_000 + i64::try_from(n).unwrap(), 7);
        let flags = nix::sys::stat::UtimensatFlags::NoFollowSymlink;
        nix::sys::stat::utimensat(&dir, &Path::new(".").join(path), &moment, &moment, flags).unwrap();
    }
}

pub(super) fn change_much(view: &View) {
    view.write("a", b"A").unwrap();
    view.chmod("d/b", 0o600).unwrap();
    view.write("d/new", b"n").unwrap();
    view.mkdir("tree").unwrap();
    view.mkdir("tree/in").unwrap();
    view.write("tree/in/f", b"f").unwrap();
    view.write("tree/tool", b"#!").unwrap();
    view.chmod("tree/tool", 0o4755).unwrap();
    view.remove_tree("gone").unwrap();
    view.rename("ren", "moved", plain()).unwrap();
    view.write("moved/sub/s", b"S").unwrap();
    view.unlink("moved/r").unwrap();
    view.rename("moved/old", "tree/old", plain()).unwrap();
    view.chmod("moved", 0o700).unwrap();
    view.unlink("link").unwrap();
    view.mkdir("link").unwrap();
    view.write("link/inside", b"i").unwrap();
    view.unlink("was").unwrap();
    view.mkdir("was").unwrap();
    view.rename("d/e/c", "was/c", plain()).unwrap();
    view.chmod("d/e", 0o700).unwrap();
    view.set_xattr("d/e", "user.k", "other").unwrap();
    view.set_xattr("d", "user.more", "v").unwrap();
    view.write("l1", b"linked").unwrap();
    view.link("d/new", "hard").unwrap();
}

/// What must be the same after apply and undo.
pub(super) struct Stock {
    host: BTreeMap<String, String>,
    changes: Vec<String>,
    view: Vec<(String, String)>,
    inodes: bool,
}

/// Without link counts: a fresh server does not know names it never looked up.
fn view_of(bench: &Bench) -> Vec<(String, String)> {
    without_counts(bench.view().tree())
}

impl Stock {
    pub(super) fn of(bench: &Bench, inodes: bool) -> Stock {
        // Taking stock completes hard links, which is a change of the layer and not of this test.
        let changes = bench.changes();
        Stock { host: whole_tree(&bench.host(), inodes), changes, view: view_of(bench), inodes }
    }

    #[track_caller]
    pub(super) fn check(&self, bench: &Bench, what: &str) {
        let now = whole_tree(&bench.host(), self.inodes);
        let differs: Vec<_> = self
            .host
            .iter()
            .filter(|(path, line)| now.get(*path) != Some(line))
            .map(|(path, line)| (path, line, now.get(path)))
            .collect();
        assert!(differs.is_empty(), "{what}: {differs:#?}");
        assert_eq!(now.len(), self.host.len(), "{what}: {:?}", now.keys());
        assert_eq!(bench.changes(), self.changes, "{what}");
        assert_eq!(view_of(bench), self.view, "{what}");
    }
}

fn host_of(bench: &Bench) -> Vec<(String, String)> {
    without_counts(native_tree(&bench.host()))
}

/// What an apply without consent makes of it.
fn without_setid(tree: Vec<(String, String)>) -> Vec<(String, String)> {
    tree.into_iter().map(|(path, line)| (path, line.replacen("1047", "1007", 1))).collect()
}

pub(super) fn apply(bench: &Bench, selection: &Selection) {
    let overlay = bench.overlay();
    let plan = overlay.plan_apply(selection).unwrap();
    overlay.apply(plan).unwrap();
}

pub(super) fn undo(bench: &Bench) -> crate::Undone {
    let overlay = bench.overlay();
    let plan = overlay.plan_undo().unwrap();
    overlay.undo(plan).unwrap()
}

pub(super) fn paths(bench: &Bench, paths: &[&str]) -> Selection {
    Selection::Paths(paths.iter().map(|path| FilePath::from(bench.host().join(path))).collect())
}

fn refused(bench: &Bench) -> Vec<(String, ConflictKind)> {
    let Err(UndoError::Conflicts(found)) = bench.overlay().plan_undo() else { panic!("no conflict") };
    let short = |path: &FilePath| path.as_path().strip_prefix(bench.host()).unwrap().to_str().unwrap().to_owned();
    found.iter().map(|conflict| (short(&conflict.path), conflict.kind.clone())).collect()
}

fn there_and_back(bench: &Bench, inodes: bool) {
    change_much(&bench.view());
    let stock = Stock::of(bench, inodes);
    let expected = without_setid(view_of(bench));
    for round in 0..3 {
        apply(bench, &Selection::All);
        assert_eq!(host_of(bench), expected, "round {round}");
        assert!(bench.changes().is_empty());
        let applied = bench.overlay().undoable().unwrap();
        let undone = undo(bench);
        assert_eq!((undone.undone, undone.left), (applied, stock.changes.len() as u64));
        stock.check(bench, &format!("round {round}"));
        assert_eq!(bench.overlay().undoable().unwrap(), 0);
        assert!(matches!(bench.overlay().plan_undo(), Err(UndoError::Nothing)));
    }
    bench.overlay().discard().unwrap();
    assert_eq!(whole_tree(&bench.host(), inodes), stock.host);
}

#[test]
fn undo_is_the_way_back() {
    there_and_back(&furnished(), true);
}

/// Files, links and directories of the host that were renamed into a directory that took the place of something else: they
/// leave their old places, and of directories the host's own content comes along.
fn make_room(bench: &Bench) {
    let view = bench.view();
    view.unlink("was").unwrap();
    view.mkdir("was").unwrap();
    view.rename("ren", "was/ren", plain()).unwrap();
    view.rename("a", "was/a", plain()).unwrap();
    view.link("l1", "was/l3").unwrap();
    view.write("was/new", b"new").unwrap();
    view.unlink("link").unwrap();
    view.mkdir("link").unwrap();
    view.rename("was/ren/sub", "link/sub", plain()).unwrap();
}

#[test]
fn what_was_renamed_into_what_took_anothers_place_is_not_lost() {
    for across in [false, true] {
        let stores = other_file_system();
        let mut bench = Bench::new();
        match &stores {
            Some(stores) if across => bench.store = stores.path().join("store"),
            _ if across => return,
            _ => {}
        }
        furnish(&bench);
        make_room(&bench);
        let stock = Stock::of(&bench, !across);
        let expected = view_of(&bench);
        for round in 0..2 {
            apply(&bench, &Selection::All);
            assert_eq!(host_of(&bench), expected, "round {round}, across {across}");
            assert_eq!(bench.changes(), Vec::<String>::new(), "round {round}, across {across}");
            undo(&bench);
            stock.check(&bench, &format!("round {round}, across {across}"));
        }
    }
}

#[test]
fn undo_is_the_way_back_across_file_systems() {
    let Some(stores) = other_file_system() else { return };
    let mut bench = Bench::new();
    bench.store = stores.path().join("store");
    furnish(&bench);
    there_and_back(&bench, false);
}

pub(super) fn other_file_system() -> Option<tempfile::TempDir> {
    let shm = Path::new("/dev/shm");
    let other = |path: &Path| std::os::unix::fs::MetadataExt::dev(&fs::metadata(path).unwrap());
    let differs = shm.is_dir() && other(shm) != other(&std::env::temp_dir());
    differs.then(|| tempfile::tempdir_in(shm).unwrap())
}

#[test]
fn parts_that_were_applied_one_after_the_other() {
    let bench = furnished();
    change_much(&bench.view());
    let stock = Stock::of(&bench, true);
    let torn = bench.overlay().plan_apply(&paths(&bench, &["moved"]));
    assert!(matches!(torn, Err(crate::ApplyError::Inseparable { .. })), "{torn:?}");
    for part in [&["tree/in/f", "gone"][..], &["moved", "tree/old", "was", "hard"], &["a", "l1"], &["d"]] {
        apply(&bench, &paths(&bench, part));
        let undone = undo(&bench);
        assert!(undone.undone >= part.len() as u64, "{part:?}");
        stock.check(&bench, &format!("{part:?} alone"));
    }
    for part in [&["tree/in/f", "gone"][..], &["moved", "tree/old", "was", "hard"], &["a", "l1"]] {
        apply(&bench, &paths(&bench, part));
        assert_eq!(without_setid(view_of(&bench)), without_setid(stock.view.clone()));
    }
    undo(&bench);
    stock.check(&bench, "three parts");
    apply(&bench, &paths(&bench, &["moved", "tree/old"]));
    apply(&bench, &Selection::All);
    undo(&bench);
    stock.check(&bench, "a part and the rest");
}

#[test]
fn the_jar_went_on_after_the_apply() {
    let bench = furnished();
    change_much(&bench.view());
    let host = whole_tree(&bench.host(), true);
    apply(&bench, &Selection::All);
    let view = bench.view();
    view.write("a", b"again").unwrap();
    view.write("tree/in/g", b"g").unwrap();
    view.unlink("tree/in/f").unwrap();
    view.write("d/new", b"newer").unwrap();
    view.unlink("link/inside").unwrap();
    drop(view);
    assert!(refused(&bench).iter().all(|(_, kind)| *kind == ConflictKind::ChangedAgain), "{:?}", refused(&bench));
    let expected = view_of(&bench);
    apply(&bench, &Selection::All);
    undo(&bench);
    assert_eq!(whole_tree(&bench.host(), true), host);
    assert_eq!(without_setid(view_of(&bench)), expected, "the newest state of the view");
    apply(&bench, &Selection::All);
    assert_eq!(host_of(&bench), expected);
}

#[test]
fn what_was_renamed_after_it_was_applied_is_not_torn_apart() {
    let bench = furnished();
    let view = bench.view();
    view.mkdir("tree").unwrap();
    view.write("tree/f", b"f").unwrap();
    drop(view);
    apply(&bench, &Selection::All);
    bench.view().rename("tree", "bush", plain()).unwrap();
    assert!(refused(&bench).contains(&("bush".to_owned(), ConflictKind::ChangedAgain)), "{:?}", refused(&bench));
    apply(&bench, &Selection::All);
    let before = whole_tree(&bench.host(), true);
    assert!(refused(&bench).contains(&("tree".to_owned(), ConflictKind::ChangedAgain)), "{:?}", refused(&bench));
    assert_eq!(whole_tree(&bench.host(), true), before);
}

#[test]
fn later_edits_are_conflicts_and_nothing_is_touched() {
    type Edit = fn(&Path);
    let edits: [(Edit, &[(&str, ConflictKind)]); 12] = [
        (|host| fs::write(host.join("a"), "B").unwrap(), &[("a", ConflictKind::Changed)]),
        (|host| fs::write(host.join("tree/in/f"), "B").unwrap(), &[("tree/in/f", ConflictKind::Changed)]),
        (|host| fs::write(host.join("tree/in/theirs"), "B").unwrap(), &[("tree/in/theirs", ConflictKind::Unseen)]),
        (|host| fs::create_dir(host.join("tree/theirs")).unwrap(), &[("tree/theirs", ConflictKind::Unseen)]),
        (|host| fs::write(host.join("link/theirs"), "B").unwrap(), &[("link/theirs", ConflictKind::Unseen)]),
        (
            |host| fs::remove_file(host.join("d/new")).unwrap(),
            &[("d/new", ConflictKind::Gone), ("hard", ConflictKind::Changed)],
        ),
        (|host| fs::write(host.join("gone"), "B").unwrap(), &[("gone", ConflictKind::Appeared)]),
        (|host| fs::create_dir(host.join("ren")).unwrap(), &[("ren", ConflictKind::Appeared)]),
        (|host| fs::write(host.join("moved/r"), "B").unwrap(), &[("moved/r", ConflictKind::Appeared)]),
        (
            |host| fs::set_permissions(host.join("d/e"), fs::Permissions::from_mode(0o711)).unwrap(),
            &[("d/e", ConflictKind::Changed)],
        ),
        (
            |host| {
                let parent = crate::fs::at::open_root(&host.join("tree/in")).unwrap();
                crate::fs::xattr::set(&parent, "f".as_ref(), "user.late".as_ref(), b"x", 0).unwrap();
            },
            &[("tree/in/f", ConflictKind::Changed)],
        ),
        (
            |host| {
                fs::rename(host.join("d.real"), host.join("d"))
                    .or_else(|_| {
                        fs::rename(host.join("d"), host.join("d.real"))?;
                        std::os::unix::fs::symlink("d.real", host.join("d"))
                    })
                    .unwrap()
            },
            &[("d", ConflictKind::Changed)],
        ),
    ];
    for (edit, expected) in edits {
        let bench = furnished();
        change_much(&bench.view());
        apply(&bench, &Selection::All);
        let overlay = bench.overlay();
        let plan = overlay.plan_undo().unwrap();
        edit(&bench.host());
        let before = whole_tree(&bench.host(), true);
        let Err(UndoError::Conflicts(_)) = overlay.undo(plan) else { panic!("{expected:?}") };
        assert_eq!(overlay.state().unwrap(), LayerState::AtRest);
        let found = refused(&bench);
        for (path, kind) in expected {
            assert!(found.contains(&((*path).to_owned(), kind.clone())), "{path} {kind:?}: {found:?}");
        }
        assert_eq!(whole_tree(&bench.host(), true), before);
    }
}

#[test]
fn others_may_work_beside_what_was_applied() {
    let bench = furnished();
    change_much(&bench.view());
    let stock = Stock::of(&bench, true);
    apply(&bench, &Selection::All);
    let host = bench.host();
    for path in ["theirs", "d/theirs", "moved/theirs", "moved/sub/theirs"] {
        fs::write(host.join(path), "theirs").unwrap();
    }
    let root_time = fs::metadata(host.join("d")).unwrap().modified().unwrap();
    undo(&bench);
    for path in ["theirs", "d/theirs", "ren/theirs", "ren/sub/theirs"] {
        assert_eq!(fs::read(host.join(path)).unwrap(), b"theirs", "{path}");
    }
    assert!(fs::metadata(host.join("d")).unwrap().modified().unwrap() >= root_time, "their change still shows");
    assert_eq!(bench.changes(), stock.changes);
}

#[test]
fn a_later_trial_over_the_same_files_must_go_first() {
    let bench = furnished();
    let other = Bench::at(&bench.dir, &bench.dir.join("other"));
    bench.view().write("a", b"one").unwrap();
    let start = whole_tree(&bench.host(), true);
    apply(&bench, &Selection::All);
    other.view().write("a", b"two").unwrap();
    apply(&other, &Selection::All);
    assert_eq!(refused(&bench), [("a".to_owned(), ConflictKind::Changed)]);
    let undone = undo(&other);
    assert_eq!(fs::read(bench.host().join("a")).unwrap(), b"one");
    // It went there and back: the inode is the one that was applied, its change time is not.
    assert_eq!(refused(&bench), [("a".to_owned(), ConflictKind::Changed)]);
    bench.overlay().follow(&undone.returned).unwrap();
    let overlay = bench.overlay();
    let plan = overlay.plan_undo().unwrap();
    overlay.undo(plan).unwrap();
    assert_eq!(whole_tree(&bench.host(), true), start);
}

#[test]
fn set_id_bits_wait_again() {
    let bench = furnished();
    let view = bench.view();
    view.mkdir("bin").unwrap();
    view.write("bin/tool", b"#!").unwrap();
    view.chmod("bin/tool", 0o6755).unwrap();
    view.chmod("a", 0o4711).unwrap();
    drop(view);
    let stock = Stock::of(&bench, true);
    for allow in [false, true] {
        let overlay = bench.overlay();
        let plan = overlay.plan_apply(&Selection::All).unwrap().allow_setid(allow);
        overlay.apply(plan).unwrap();
        undo(&bench);
        stock.check(&bench, &format!("allowed {allow}"));
    }
}

#[test]
fn a_directory_that_became_a_file_is_seen_through_before_it_goes() {
    let bench = furnished();
    let view = bench.view();
    view.remove_tree("gone").unwrap();
    view.write("gone", b"a file").unwrap();
    drop(view);
    fs::write(bench.host().join("gone/unseen"), "theirs").unwrap();
    let Err(crate::ApplyError::Conflicts(found)) = bench.overlay().plan_apply(&Selection::All) else { panic!() };
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].kind, ConflictKind::Unseen);
    fs::remove_file(bench.host().join("gone/unseen")).unwrap();
    let host = native_tree(&bench.host());
    apply(&bench, &Selection::All);
    undo(&bench);
    assert_eq!(native_tree(&bench.host()), host);
}

#[test]
fn a_step_that_cannot_be_undone_brings_back_the_apply() {
    let bench = furnished();
    change_much(&bench.view());
    let stock = Stock::of(&bench, true);
    apply(&bench, &Selection::All);
    let applied = native_tree(&bench.host());
    let overlay = bench.overlay();
    let block = bench.host().join("tree/late");
    for at in [2, 5, 9, 12, 15, 18] {
        let plan = overlay.plan_undo().unwrap();
        let count = std::cell::Cell::new(0);
        let late = || {
            count.set(count.get() + 1);
            if count.get() == at {
                fs::write(bench.host().join("ren"), "late").unwrap();
                let _ = fs::write(&block, "late");
            }
        };
        let failed = overlay.undo_with(plan, &late).unwrap_err();
        assert!(matches!(failed, UndoError::RolledBack { .. }), "{failed:?}");
        fs::remove_file(bench.host().join("ren")).unwrap();
        let _ = fs::remove_file(&block);
        assert_eq!(native_tree(&bench.host()), applied, "blocked at {at}");
        assert_eq!(overlay.state().unwrap(), LayerState::AtRest);
    }
    undo(&bench);
    assert_eq!(bench.changes(), stock.changes);
    assert_eq!(native_tree(&bench.host()).len() + 1, stock.host.len());
}

/// Owner, attributes and times that differ from object to object.
fn dress(root: &Path, seed: u32) {
    let objects: Vec<_> = whole_tree(root, false).into_keys().collect();
    for (n, path) in objects.iter().enumerate() {
        let n = u32::try_from(n).unwrap().wrapping_mul(7).wrapping_add(seed);
        let path = root.join(path);
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::lchown(&path, Some(n % 5), Some(n % 7)).unwrap();
        }
        let dir = crate::fs::at::open_root(path.parent().unwrap()).unwrap();
        let name = path.file_name().unwrap();
        let kind = path.symlink_metadata().unwrap().file_type();
        if (kind.is_file() || kind.is_dir()) && n % 3 == 0 {
            crate::fs::xattr::set(&dir, name, "user.n".as_ref(), n.to_string().as_bytes(), 0).unwrap();
        }
        let moment = nix::sys::time::TimeSpec::new(1_000_000_000 + i64::from(n), i64::from(n));
        crate::fs::at::set_times(&dir, name, moment, moment).unwrap();
    }
}

/// A line of [`native_tree`] without the number of links.
fn without_links(line: &str) -> String {
    let mut words = line.splitn(3, ' ');
    format!("{} {}", words.next().unwrap(), words.nth(1).unwrap())
}

/// Changes of owner, attribute and time in the view.
fn redress(bench: &Bench, picks: &[(prop::sample::Index, u8)]) {
    let view = bench.view();
    let objects: Vec<String> = view.tree().into_keys().collect();
    for (pick, kind) in picks.iter().filter(|_| !objects.is_empty()) {
        let path = pick.get(&objects);
        let of = crate::fs::at::kind_of(&view.stat(path).unwrap().stat);
        if of == libc::S_IFLNK {
            continue;
        }
        let number = view.hold(path).unwrap();
        let changes = crate::view::setattr::Changes::default;
        match kind {
            // Pipes have no attributes.
            0 | 1 if of == libc::S_IFIFO => {}
            0 => view.set_xattr(path, "user.n", "changed").unwrap(),
            1 => view.set_xattr(path, "user.new", "new").unwrap(),
            2 if nix::unistd::geteuid().is_root() => {
                let owner = crate::view::setattr::Changes { uid: Some(77), gid: Some(88), ..changes() };
                view.layers.setattr(number, owner).map(drop).unwrap();
            }
            _ => view.chmod(path, 0o750).unwrap(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn undo_after_apply_is_the_identity(
        before in proptest::collection::vec(op(), 0..24),
        ops in proptest::collection::vec(op(), 1..24),
        seed in 0..1000u32,
        dressed in proptest::collection::vec((any::<prop::sample::Index>(), 0..4u8), 0..6),
        parts in proptest::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let bench = Bench::new();
        let twin = bench.dir.join("twin");
        fs::create_dir(&twin).unwrap();
        laws::furnish(&[&bench.host(), &twin], &before);
        dress(&bench.host(), seed);
        run_both(&bench, &twin, &ops)?;
        redress(&bench, &dressed);
        let stock = Stock::of(&bench, true);
        for part in &parts {
            let changes = bench.overlay().changes().unwrap().changes;
            if changes.is_empty() {
                break;
            }
            let overlay = bench.overlay();
            let mut chosen = vec![part.get(&changes).path.clone()];
            let plan = loop {
                match overlay.plan_apply(&Selection::Paths(chosen.clone())) {
                    Err(crate::ApplyError::Inseparable { other, .. }) => chosen.push(other),
                    planned => break planned.unwrap(),
                }
            };
            overlay.apply(plan).unwrap();
        }
        apply(&bench, &Selection::All);
        // Applied in parts, names of one file arrive as files of their own.
        let in_parts = !parts.is_empty();
        let expected = native_tree(&bench.host());
        if bench.overlay().undoable().unwrap() > 0 {
            let overlay = bench.overlay();
            let plan = overlay.plan_undo().map_err(|e| TestCaseError::fail(format!("{e:?} {:?}", stock.changes)))?;
            overlay.undo(plan).map_err(|e| TestCaseError::fail(format!("{e:?} {:?}", stock.changes)))?;
        }
        stock.check(&bench, "undone");
        apply(&bench, &Selection::All);
        let told = |tree: std::collections::BTreeMap<String, String>| match in_parts {
            true => tree.into_iter().map(|(path, line)| (path, without_links(&line))).collect(),
            false => tree,
        };
        prop_assert_eq!(told(native_tree(&bench.host())), told(expected), "applied again");
    }
}
