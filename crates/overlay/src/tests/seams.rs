//! Where undo meets what was built beside it: hunks, merges, renamed files, hard links, checkpoints.

use crate::error::{ApplyError, ConflictKind, OverlayError};
use crate::settle::apply::LayerState;
use crate::settle::plan::Selection;
use crate::testing::{Bench, native_tree};
use crate::tests::hunks::{conflicts, merge, numbered, picks, read, shown, three, ways};
use crate::tests::undo::{Stock, apply, change_much, furnished, other_file_system, paths, undo};
use nix::fcntl::RenameFlags;
use proptest::prelude::*;
use std::cell::Cell;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

/// A bench on one file system and one across two.
fn benches(check: impl Fn(Bench, bool)) {
    check(Bench::new(), true);
    let Some(stores) = other_file_system() else { return };
    let mut far = Bench::new();
    far.store = stores.path().join("store");
    check(far, false);
}

/// A host file `f` of forty lines of which the jar changed three places.
fn three_hunks(bench: &Bench) -> String {
    let old = numbered(40);
    fs::write(bench.host().join("f"), &old).unwrap();
    bench.view().write("f", three(&old).as_bytes()).unwrap();
    old
}

#[test]
fn hunks_that_were_applied_one_after_the_other() {
    benches(|bench, near| {
        let old = three_hunks(&bench);
        let stock = Stock::of(&bench, near);
        for round in 0..2 {
            apply(&bench, &picks(&bench, &[("f", &[2])]));
            apply(&bench, &picks(&bench, &[("f", &[1])]));
            assert_eq!(read(&bench, "f"), format!("top\n{old}").replace("\n20\n", "\ntwenty\n"));
            assert_eq!((undo(&bench).undone, shown(&bench, "f").1), (2, 3));
            stock.check(&bench, &format!("two hunks, near {near}, round {round}"));
            // All of it, the last part whole.
            apply(&bench, &picks(&bench, &[("f", &[3])]));
            apply(&bench, &Selection::All);
            assert_eq!(read(&bench, "f"), three(&old));
            assert!(bench.changes().is_empty());
            undo(&bench);
            stock.check(&bench, &format!("a hunk and the rest, near {near}, round {round}"));
        }
        // What it starts from is known again: it merges, and it applies.
        let theirs = old.replace("\n30\n", "\nthirty\n");
        apply(&bench, &picks(&bench, &[("f", &[1])]));
        undo(&bench);
        fs::write(bench.host().join("f"), &theirs).unwrap();
        assert_eq!(merge(&bench).unwrap(), 0);
        assert_eq!(read(&bench, "f"), three(&theirs));
    });
}

#[test]
fn a_merge_is_undone_and_merged_again() {
    for way in ways() {
        benches(|bench, near| {
            let old = numbered(40);
            fs::write(bench.host().join("f"), &old).unwrap();
            way(&bench, "f", three(&old).as_bytes());
            let theirs = old.replace("\n30\n", "\nthirty\n");
            fs::write(bench.host().join("f"), &theirs).unwrap();
            let stock = Stock::of(&bench, near);
            for round in 0..3 {
                // The host's edit is nobody's to overwrite unasked, now and after an undo.
                let found = conflicts(bench.overlay().plan_apply(&Selection::All).map(drop).unwrap_err());
                assert_eq!(found.len(), 1, "round {round}");
                assert_eq!(found[0].kind, ConflictKind::Changed);
                assert_eq!(merge(&bench).unwrap(), 0, "round {round}");
                assert_eq!(read(&bench, "f"), three(&theirs));
                let undone = undo(&bench);
                assert_eq!((undone.undone, undone.left), (1, 1));
                stock.check(&bench, &format!("near {near}, round {round}"));
                assert_eq!(read(&bench, "f"), theirs);
            }
        });
    }
}

/// A file that is merged, one of which a hunk is applied and one that is whole; what the host has then.
fn three_ways(bench: &Bench) -> (Selection, [String; 2]) {
    let old = numbered(40);
    for file in ["hunk", "merge"] {
        fs::write(bench.host().join(file), &old).unwrap();
        bench.view().write(file, three(&old).as_bytes()).unwrap();
    }
    bench.view().write("whole", b"new").unwrap();
    let theirs = old.replace("\n30\n", "\nthirty\n");
    fs::write(bench.host().join("merge"), &theirs).unwrap();
    let chosen = picks(bench, &[("hunk", &[1]), ("merge", &[]), ("whole", &[])]);
    (chosen, [format!("top\n{old}"), three(&theirs)])
}

fn dies_at(point: u32) -> impl Fn() {
    let left = Cell::new(point);
    move || match left.get() {
        0 => resume_unwind(Box::new("dies here")),
        n => left.set(n - 1),
    }
}

/// Dies at every point of the undo of a merge, then goes on or throws it away.
fn dying_everywhere(make: impl Fn() -> Bench, near: bool) {
    for point in 0..200 {
        let bench = make();
        let (chosen, applied) = three_ways(&bench);
        let stock = Stock::of(&bench, near);
        let before = ["hunk", "merge"].map(|file| read(&bench, file));
        let overlay = bench.overlay();
        overlay.apply(overlay.plan_merge(&chosen).unwrap()).unwrap();
        let plan = overlay.plan_undo().unwrap();
        let die = dies_at(point);
        let ended = catch_unwind(AssertUnwindSafe(|| overlay.undo_with(plan, &die).unwrap())).is_ok();
        drop(overlay);
        for (n, file) in ["hunk", "merge"].into_iter().enumerate() {
            let now = read(&bench, file);
            assert!(now == before[n] || now == applied[n], "{point}: {file}: {now}");
        }
        let overlay = bench.overlay();
        match overlay.state().unwrap() {
            LayerState::AtRest if ended => {}
            LayerState::AtRest => drop(overlay.undo(overlay.plan_undo().unwrap()).unwrap()),
            _ if point % 4 == 3 => {
                overlay.discard().unwrap();
                let now = ["hunk", "merge"].map(|file| read(&bench, file));
                assert!(now == before || now == applied, "{point}: {now:?}");
                let names = fs::read_dir(bench.host()).unwrap().map(|entry| entry.unwrap().file_name());
                assert!(!names.into_iter().any(|name| name.to_string_lossy().contains(".belljar")), "{point}");
                continue;
            }
            LayerState::Undoing => {
                // A second death on the way must not matter either.
                let die = dies_at(point / 2);
                let again = catch_unwind(AssertUnwindSafe(|| overlay.resume_undo_with(&die).unwrap())).is_ok();
                let overlay = bench.overlay();
                assert!(again == (overlay.state().unwrap() == LayerState::AtRest), "{point}");
                overlay.resume_undo().unwrap();
            }
            LayerState::Applying => panic!("{point}: an undo is no apply"),
        }
        stock.check(&bench, &format!("point {point}"));
        let found = conflicts(bench.overlay().plan_apply(&Selection::All).map(drop).unwrap_err());
        assert_eq!((found.len(), &found[0].kind), (1, &ConflictKind::Changed), "point {point}");
        let overlay = bench.overlay();
        overlay.apply(overlay.plan_merge(&chosen).unwrap()).unwrap();
        assert_eq!(["hunk", "merge"].map(|file| read(&bench, file)), applied, "point {point}");
        if ended {
            assert!(point > 12, "only {point} points");
            return;
        }
    }
    panic!("it never ended");
}

#[test]
fn an_undo_of_a_merge_that_dies_anywhere() {
    dying_everywhere(Bench::new, true);
}

#[test]
fn an_undo_of_a_merge_that_dies_anywhere_across_file_systems() {
    let Some(stores) = other_file_system() else { return };
    let next = Cell::new(0);
    let make = || {
        next.set(next.get() + 1);
        let mut bench = Bench::new();
        bench.store = stores.path().join(next.get().to_string());
        bench
    };
    dying_everywhere(make, false);
}

/// Removing a directory takes many steps: what is half removed beside its place must not become the pre-image.
#[test]
fn a_pre_image_is_whole_when_its_original_is_half_removed() {
    let Some(stores) = other_file_system() else { return };
    let mut bench = Bench::new();
    bench.store = stores.path().join("store");
    let host = bench.host();
    fs::create_dir_all(host.join("gone/deep")).unwrap();
    fs::write(host.join("gone/x"), "x").unwrap();
    fs::write(host.join("gone/deep/y"), "y").unwrap();
    bench.view().remove_tree("gone").unwrap();
    let stock = Stock::of(&bench, false);
    let beside = || {
        let names = fs::read_dir(&host).unwrap().map(|entry| entry.unwrap().path());
        names.into_iter().find(|path| path.to_string_lossy().contains(".belljar-stage") && path.join("x").exists())
    };
    let kept = || {
        fs::read_dir(bench.store.join("pre/0")).unwrap().any(|entry| {
            let entry = entry.unwrap();
            entry.file_name().to_string_lossy().starts_with('p') && entry.path().join("deep/y").exists()
        })
    };
    let die = || {
        if let Some(stage) = beside().filter(|_| kept()) {
            fs::remove_file(stage.join("x")).unwrap();
            resume_unwind(Box::new("dies here"));
        }
    };
    let overlay = bench.overlay();
    let plan = overlay.plan_apply(&Selection::All).unwrap();
    catch_unwind(AssertUnwindSafe(|| overlay.apply_with(plan, &die).map(drop))).unwrap_err();
    bench.overlay().resume().unwrap();
    assert!(!host.join("gone").exists());
    undo(&bench);
    stock.check(&bench, "resumed and undone");
}

#[test]
fn a_merge_that_was_killed_and_resumed_is_undone_as_well() {
    for point in 0..200 {
        let bench = Bench::new();
        let (chosen, applied) = three_ways(&bench);
        let stock = Stock::of(&bench, true);
        let overlay = bench.overlay();
        let plan = overlay.plan_merge(&chosen).unwrap();
        let die = dies_at(point);
        let ended = catch_unwind(AssertUnwindSafe(|| overlay.apply_with(plan, &die).unwrap())).is_ok();
        let overlay = bench.overlay();
        match overlay.state().unwrap() {
            LayerState::AtRest if !ended => drop(overlay.apply(overlay.plan_merge(&chosen).unwrap()).unwrap()),
            _ => drop(overlay.resume().unwrap()),
        }
        assert_eq!(["hunk", "merge"].map(|file| read(&bench, file)), applied, "point {point}");
        undo(&bench);
        stock.check(&bench, &format!("point {point}"));
        if ended {
            assert!(point > 5, "only {point} points");
            return;
        }
    }
    panic!("it never ended");
}

#[test]
fn an_undo_of_a_merge_that_fails_leaves_it_merged() {
    let bench = Bench::new();
    let (chosen, applied) = three_ways(&bench);
    let overlay = bench.overlay();
    overlay.apply(overlay.plan_merge(&chosen).unwrap()).unwrap();
    // Somebody replaces what is taken back last, after the check.
    let hunk = bench.host().join("hunk");
    let (aside, count) = (bench.dir.join("aside"), Cell::new(0));
    let block = || {
        count.set(count.get() + 1);
        if count.get() == 2 {
            fs::rename(&hunk, &aside).unwrap();
            fs::write(&hunk, "theirs").unwrap();
        }
    };
    let failed = overlay.undo_with(overlay.plan_undo().unwrap(), &block).unwrap_err();
    assert!(matches!(failed, crate::UndoError::RolledBack { .. }), "{failed:?}");
    assert_eq!(read(&bench, "hunk"), "theirs");
    fs::rename(&aside, &hunk).unwrap();
    assert_eq!(["hunk", "merge"].map(|file| read(&bench, file)), applied);
    let moved = bench.overlay().plan_undo();
    // Being moved aside and back by somebody else shows in its change time, and is somebody else's doing.
    assert!(matches!(moved, Err(crate::UndoError::Conflicts(_))), "{moved:?}");
}

#[test]
fn what_others_made_between_two_applies_is_not_undone_with_them() {
    type Edit = fn(&std::path::Path);
    let edits: [(Edit, Option<&str>); 5] = [
        (|f| fs::write(f, numbered(40).replace("\n30\n", "\nthirty\n")).unwrap(), Some("thirty")),
        (|f| fs::set_permissions(f, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap(), Some("top")),
        (
            |f| {
                let dir = crate::fs::at::open_root(f.parent().unwrap()).unwrap();
                crate::fs::xattr::set(&dir, f.file_name().unwrap(), "user.late".as_ref(), b"x", 0).unwrap();
            },
            Some("top"),
        ),
        (
            |f| {
                let aside = f.with_extension("new");
                fs::write(&aside, numbered(40).replace("\n30\n", "\nthirty\n")).unwrap();
                fs::rename(&aside, f).unwrap();
            },
            Some("thirty"),
        ),
        (|f| fs::remove_file(f).unwrap(), None),
    ];
    for (edit, held) in edits {
        benches(|bench, near| {
            three_hunks(&bench);
            let file = bench.host().join("f");
            apply(&bench, &Selection::All);
            edit(&file);
            let theirs = native_tree(&bench.host());
            // The jar goes on from what it sees, and that becomes real too.
            let view = bench.view();
            if held.is_some() {
                view.unlink("f").unwrap();
            }
            view.write("f", b"whole\n").unwrap();
            view.write("other", b"new").unwrap();
            drop(view);
            apply(&bench, &Selection::All);
            let overlay = bench.overlay();
            let plan = overlay.plan_undo().unwrap();
            assert_eq!(plan.stays(), 1);
            assert_eq!(overlay.undo(plan).unwrap().undone, 2);
            assert_eq!(native_tree(&bench.host()), theirs, "near {near}");
            assert!(held.is_none_or(|held| read(&bench, "f").contains(held)));
            assert_eq!(overlay.undoable().unwrap(), 1);
            // Now it is an edit of what was applied, like any other.
            let refused = bench.overlay().plan_undo();
            assert!(matches!(refused, Err(crate::UndoError::Conflicts(_))), "{refused:?}");
            bench.overlay().discard().unwrap();
            assert_eq!(native_tree(&bench.host()), theirs);
        });
    }
}

#[test]
fn hunks_then_a_merge_of_the_rest_and_an_undo_of_that_alone() {
    benches(|bench, near| {
        let old = three_hunks(&bench);
        apply(&bench, &picks(&bench, &[("f", &[1])]));
        let theirs = format!("top\n{old}").replace("\n30\n", "\nthirty\n");
        fs::write(bench.host().join("f"), &theirs).unwrap();
        let stock = Stock::of(&bench, near);
        for _ in 0..2 {
            assert_eq!(merge(&bench).unwrap(), 0);
            let overlay = bench.overlay();
            let plan = overlay.plan_undo().unwrap();
            assert_eq!((plan.changes(), plan.stays()), (1, 1));
            overlay.undo(plan).unwrap();
            stock.check(&bench, &format!("near {near}"));
            assert_eq!(read(&bench, "f"), theirs);
        }
        // With their edit gone, what is older can be undone as well.
        assert_eq!(merge(&bench).unwrap(), 0);
        assert_eq!(read(&bench, "f"), three(&old).replace("\n30\n", "\nthirty\n"));
    });
}

/// Inode numbers are used again: what was recorded of a file that is gone must not hide where another one came from.
#[test]
fn a_number_that_is_used_again_hides_no_rename() {
    let bench = Bench::new();
    fs::write(bench.host().join("a"), "a").unwrap();
    fs::write(bench.host().join("zzz"), "z").unwrap();
    let view = bench.view();
    view.rename("a", "b", RenameFlags::empty()).unwrap();
    view.write("zzz", b"Z").unwrap();
    drop(view);
    assert_eq!(bench.changes(), ["R b < a", "M zzz c"]);
    let overlay = bench.overlay();
    let (a, zzz) = (Path::new("a"), Path::new("zzz"));
    let (one, two) = (
        overlay.store.parts().unwrap().origins.get(a).unwrap(),
        overlay.store.parts().unwrap().origins.get(zzz).unwrap(),
    );
    overlay.store.parts().unwrap().origins.forget(zzz, false).unwrap();
    let reused = crate::store::origin::Identity { ino: one.ino, ..two };
    overlay.store.parts().unwrap().origins.cover_all(&[(zzz.to_owned(), reused)]).unwrap();
    assert_eq!(bench.changes(), ["R b < a", "M zzz c"]);
}

#[test]
fn renamed_files_and_new_links_in_parts() {
    benches(|bench, near| {
        let host = bench.host();
        fs::create_dir(host.join("d")).unwrap();
        for file in ["a", "c", "d/e", "l", "x"] {
            fs::write(host.join(file), file).unwrap();
        }
        fs::hard_link(host.join("x"), host.join("y")).unwrap();
        let view = bench.view();
        view.rename("a", "b", RenameFlags::empty()).unwrap();
        view.write("b", b"moved and changed").unwrap();
        view.rename("d/e", "e", RenameFlags::empty()).unwrap();
        view.link("l", "m").unwrap();
        view.link("l", "d/n").unwrap();
        view.rename("c", "l2", RenameFlags::empty()).unwrap();
        view.link("x", "z").unwrap();
        view.write("y", b"all three").unwrap();
        drop(view);
        let stock = Stock::of(&bench, near);
        let parts: [&[&str]; 8] = [&["b"], &["a"], &["m"], &["d/n", "e"], &["l2"], &["z"], &["d"], &["x"]];
        for part in parts {
            let overlay = bench.overlay();
            match overlay.plan_apply(&paths(&bench, part)) {
                Ok(plan) => drop(overlay.apply(plan).unwrap()),
                Err(ApplyError::Inseparable { .. } | ApplyError::NotAChange(_)) => continue,
                Err(other) => panic!("{part:?}: {other:?}"),
            }
            undo(&bench);
            stock.check(&bench, &format!("{part:?}, near {near}"));
        }
        for part in [&["b"][..], &["m"], &["z"]] {
            apply(&bench, &paths(&bench, part));
        }
        assert!(!host.join("a").exists() && host.join("b").exists());
        let ino = |name: &str| fs::metadata(host.join(name)).unwrap().ino();
        assert_eq!(ino("l"), ino("m"), "a new name of what stays as it is");
        assert_ne!(ino("x"), ino("z"), "what the others hold waits, so it left as a file of its own");
        apply(&bench, &Selection::All);
        undo(&bench);
        stock.check(&bench, &format!("three parts and the rest, near {near}"));
    });
}

#[test]
fn times_of_directories_go_there_and_back() {
    benches(|bench, near| {
        let host = bench.host();
        for dir in ["set", "names", "ren/in"] {
            fs::create_dir_all(host.join(dir)).unwrap();
        }
        fs::write(host.join("names/old"), "old").unwrap();
        let view = bench.view();
        view.write("names/new", b"new").unwrap();
        view.unlink("names/old").unwrap();
        view.mkdir("made").unwrap();
        view.write("made/f", b"f").unwrap();
        view.set_mtime("made", 1_111_111_111).unwrap();
        view.write("set/f", b"f").unwrap();
        view.set_mtime("set", 1_222_222_222).unwrap();
        view.rename("ren", "moved", RenameFlags::empty()).unwrap();
        view.write("moved/in/f", b"f").unwrap();
        view.set_mtime("moved/in", 1_333_333_333).unwrap();
        let shown = |path: &str| view.stat(path).unwrap().stat.st_mtime;
        let expected = ["made", "set", "moved/in", "names"].map(|path| (path, shown(path)));
        drop(view);
        let stock = Stock::of(&bench, near);
        for round in 0..2 {
            apply(&bench, &Selection::All);
            for (path, time) in expected {
                assert_eq!(fs::metadata(host.join(path)).unwrap().mtime(), time, "{path}, near {near}, round {round}");
            }
            undo(&bench);
            stock.check(&bench, &format!("near {near}, round {round}"));
        }
        for part in [&["names/new"][..], &["set/f", "made"], &["moved"]] {
            apply(&bench, &paths(&bench, part));
        }
        undo(&bench);
        stock.check(&bench, &format!("in parts, near {near}"));
    });
}

#[test]
fn nothing_is_rewound_while_something_is_half_done() {
    for undoing in [false, true] {
        let bench = furnished();
        bench.view().write("a", b"before").unwrap();
        let overlay = bench.overlay();
        if !undoing {
            overlay.checkpoint().unwrap();
        }
        change_much(&bench.view());
        let overlay = bench.overlay();
        let die = dies_at(4);
        if undoing {
            apply(&bench, &Selection::All);
            let plan = overlay.plan_undo().unwrap();
            catch_unwind(AssertUnwindSafe(|| overlay.undo_with(plan, &die).map(drop))).unwrap_err();
        } else {
            let plan = overlay.plan_apply(&Selection::All).unwrap();
            catch_unwind(AssertUnwindSafe(|| overlay.apply_with(plan, &die).map(drop))).unwrap_err();
        }
        let overlay = bench.overlay();
        let what = if undoing { "undo" } else { "apply" };
        assert_ne!(overlay.state().unwrap(), LayerState::AtRest);
        let refused = |result: Result<(), OverlayError>| match result {
            Err(OverlayError::Unfinished { what: told }) => assert_eq!(told, what),
            other => panic!("{what}: {other:?}"),
        };
        refused(overlay.rewind(1));
        refused(overlay.checkpoint().map(drop));
    }
}

#[test]
fn what_a_jar_did_since_is_rewound_and_then_the_rest_undone() {
    benches(|bench, near| {
        fs::create_dir(bench.host().join("d")).unwrap();
        fs::write(bench.host().join("d/f"), "old").unwrap();
        let view = bench.view();
        view.write("d/f", b"one").unwrap();
        view.mkdir("tree").unwrap();
        view.write("tree/t", b"t").unwrap();
        drop(view);
        let stock = Stock::of(&bench, near);
        apply(&bench, &Selection::All);
        // The numbers begin anew: what was before the apply cannot be had.
        let to = bench.overlay().checkpoint().unwrap();
        let view = bench.view();
        view.rename("tree", "bush", RenameFlags::empty()).unwrap();
        view.write("d/f", b"two").unwrap();
        drop(view);
        let refused = bench.overlay().plan_undo();
        assert!(matches!(refused, Err(crate::UndoError::Conflicts(_))), "{refused:?}");
        bench.overlay().rewind(to).unwrap();
        assert!(bench.changes().is_empty());
        undo(&bench);
        stock.check(&bench, &format!("near {near}"));
        // The checkpoints are forgotten, and new ones work.
        assert_eq!(bench.overlay().checkpoints().unwrap(), Vec::<u64>::new());
        assert!(matches!(bench.overlay().rewind(to), Err(OverlayError::NoCheckpoint { .. })));
        let to = bench.overlay().checkpoint().unwrap();
        change_all(&bench);
        bench.overlay().rewind(to).unwrap();
        stock.check(&bench, &format!("rewound, near {near}"));
        apply(&bench, &Selection::All);
        assert_eq!(read(&bench, "d/f"), "one");
    });
}

fn change_all(bench: &Bench) {
    let view = bench.view();
    view.write("d/f", b"later").unwrap();
    view.remove_tree("tree").unwrap();
    view.rename("d", "tree", RenameFlags::empty()).unwrap();
    view.write("new", b"new").unwrap();
}

/// The lines of a file of twelve, each kept, changed or doubled.
fn edits() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![6 => Just(0_u8), 1 => Just(1_u8), 1 => Just(2_u8)], 36)
}

fn edited(by: &str, edits: &[u8]) -> String {
    let line = |(n, edit): (usize, &u8)| match edit {
        0 => format!("{n}\n"),
        1 => format!("{n} {by}\n"),
        _ => format!("{n}\n{n} {by}\n"),
    };
    edits.iter().enumerate().map(line).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn hunks_and_merges_undone_are_the_identity(
        jar in edits(),
        host in edits(),
        edit_first in any::<bool>(),
        hunks in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
        near in any::<bool>(),
    ) {
        let mut bench = Bench::new();
        let stores = other_file_system();
        if let Some(stores) = stores.as_ref().filter(|_| !near) {
            bench.store = stores.path().join("store");
        }
        fs::write(bench.host().join("f"), edited("", &[0; 36])).unwrap();
        bench.view().write("f", edited("jar", &jar).as_bytes()).unwrap();
        if edit_first {
            fs::write(bench.host().join("f"), edited("host", &host)).unwrap();
        }
        let stock = Stock::of(&bench, near);
        for hunk in hunks.iter().filter(|_| !edit_first) {
            let overlay = bench.overlay();
            let Some(change) = overlay.changes().unwrap().changes.into_iter().next() else { break };
            let crate::changes::preview::Preview::Text { hunks, .. } = overlay.preview(&change).unwrap() else { panic!() };
            let number = hunks[hunk.index(hunks.len())].number;
            overlay.apply(overlay.plan_apply(&picks(&bench, &[("f", &[number])])).unwrap()).unwrap();
        }
        let merged = merge(&bench);
        prop_assert!(matches!(merged, Ok(_) | Err(ApplyError::Conflicts(_))), "{merged:?}");
        let then = read(&bench, "f");
        if bench.overlay().undoable().unwrap() > 0 {
            undo(&bench);
        }
        stock.check(&bench, "undone");
        let again = merge(&bench);
        prop_assert_eq!(again.is_ok(), merged.is_ok());
        prop_assert_eq!(read(&bench, "f"), then, "merged again");
    }
}
