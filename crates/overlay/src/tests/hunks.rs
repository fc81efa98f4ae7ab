//! Hunks and merges: files composed for an apply.

use crate::changes::preview::Preview;
use crate::error::{ApplyError, Conflict, ConflictKind};
use crate::settle::plan::{Pick, Selection};
use crate::testing::Bench;
use model::FilePath;
use nix::fcntl::RenameFlags;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

pub(super) fn numbered(count: usize) -> String {
    (1..=count).map(|n| format!("{n}\n")).collect()
}

/// Three hunks in a file of forty lines.
pub(super) fn three(old: &str) -> String {
    format!("top\n{}", old.replace("\n20\n", "\ntwenty\n").replace("\n40\n", "\n40\n41\n"))
}

pub(super) fn picks(bench: &Bench, picks: &[(&str, &[u32])]) -> Selection {
    let pick = |(path, hunks): &(&str, &[u32])| Pick { path: path_of(bench, path), hunks: hunks.to_vec() };
    Selection::Picks(picks.iter().map(pick).collect())
}

fn path_of(bench: &Bench, path: &str) -> FilePath {
    FilePath::from(bench.host()).join(path)
}

fn apply(bench: &Bench, selection: &Selection) -> Result<u64, ApplyError> {
    let overlay = bench.overlay();
    let plan = overlay.plan_apply(selection)?;
    Ok(overlay.apply(plan)?.left)
}

pub(super) fn merge(bench: &Bench) -> Result<u64, ApplyError> {
    let overlay = bench.overlay();
    let plan = overlay.plan_merge(&Selection::All)?;
    Ok(overlay.apply(plan)?.left)
}

pub(super) fn read(bench: &Bench, path: &str) -> String {
    fs::read_to_string(bench.host().join(path)).unwrap()
}

pub(super) fn shown(bench: &Bench, path: &str) -> (String, usize) {
    let overlay = bench.overlay();
    let all = overlay.changes().unwrap().changes;
    let change = all.iter().find(|change| change.path == path_of(bench, path)).unwrap();
    match overlay.preview(change).unwrap() {
        Preview::Text { diff, hunks } => (String::from_utf8_lossy(&diff).into_owned(), hunks.len()),
        other => panic!("{other:?}"),
    }
}

/// A host file `f` and what the jar makes of it.
fn changed(old: &[u8], new: &[u8]) -> Bench {
    let bench = Bench::new();
    fs::write(bench.host().join("f"), old).unwrap();
    bench.view().write("f", new).unwrap();
    bench
}

#[test]
fn hunks_become_real_one_after_the_other() {
    let old = numbered(40);
    let bench = changed(old.as_bytes(), three(&old).as_bytes());
    let before = fs::metadata(bench.host().join("f")).unwrap();
    assert_eq!(shown(&bench, "f").1, 3);
    assert_eq!(apply(&bench, &picks(&bench, &[("f", &[2])])).unwrap(), 1);
    assert_eq!(read(&bench, "f"), old.replace("\n20\n", "\ntwenty\n"));
    assert!(fs::metadata(bench.host().join("f")).unwrap().mtime() >= before.mtime());
    let (rest, hunks) = shown(&bench, "f");
    assert!(hunks == 2 && !rest.contains("twenty\n-") && !rest.contains("+twenty"), "{rest}");
    assert_eq!(apply(&bench, &picks(&bench, &[("f", &[2, 2])])).unwrap(), 1);
    assert_eq!(apply(&bench, &picks(&bench, &[("f", &[1])])).unwrap(), 0);
    assert_eq!(read(&bench, "f"), three(&old));
    assert!(bench.changes().is_empty());
    assert_eq!(bench.view().read("f").unwrap(), three(&old).as_bytes());
}

#[test]
fn every_byte_counts() {
    for (old, new) in [
        (&b"a\r\nb\r\nc"[..], &b"a\nb\r\nc\n"[..]),
        (b"", b"new\n"),
        (b"old", b""),
        (b"\xff\xfe\n1\n2\n3\n4\n5\n6\n7\n8\n\xc3(\n", b"\xff\xfd\n1\n2\n3\n4\n5\n6\n7\n8\n\xc3)\n"),
        (&[b'x'; 200_000], &[b'y'; 200_000]),
    ] {
        let bench = changed(old, new);
        let mut left = shown(&bench, "f").1;
        while left > 0 {
            apply(&bench, &picks(&bench, &[("f", &[u32::try_from(left).unwrap()])])).unwrap();
            left -= 1;
            assert_eq!(if left > 0 { shown(&bench, "f").1 } else { 0 }, left);
        }
        assert_eq!(fs::read(bench.host().join("f")).unwrap(), new);
        assert!(bench.changes().is_empty());
    }
}

#[test]
fn attributes_go_with_the_whole_file() {
    let old = numbered(40);
    let bench = Bench::new();
    fs::write(bench.host().join("f"), &old).unwrap();
    fs::set_permissions(bench.host().join("f"), fs::Permissions::from_mode(0o640)).unwrap();
    bench.view().write("f", three(&old).as_bytes()).unwrap();
    bench.view().chmod("f", 0o755).unwrap();
    bench.view().set_xattr("f", "user.note", "jar").unwrap();
    assert_eq!(bench.changes(), ["M f cmx"]);
    assert_eq!(apply(&bench, &picks(&bench, &[("f", &[1, 2, 3])])).unwrap(), 1);
    assert_eq!(read(&bench, "f"), three(&old));
    assert_eq!(fs::metadata(bench.host().join("f")).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(bench.changes(), ["M f mx"], "the rest waits");
    assert_eq!(apply(&bench, &picks(&bench, &[("f", &[])])).unwrap(), 0);
    assert_eq!(fs::metadata(bench.host().join("f")).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn what_has_no_hunks_says_so_and_nothing_happens() {
    let bench = Bench::new();
    let host = bench.host();
    fs::write(host.join("binary"), b"a\0b").unwrap();
    fs::write(host.join("gone"), "x").unwrap();
    fs::write(host.join("mode"), "x").unwrap();
    fs::write(host.join("two"), "x\n").unwrap();
    fs::hard_link(host.join("two"), host.join("names")).unwrap();
    fs::write(host.join("text"), "x\n").unwrap();
    let view = bench.view();
    view.write("binary", b"a\0c").unwrap();
    view.unlink("gone").unwrap();
    view.chmod("mode", 0o600).unwrap();
    view.write("two", b"y\n").unwrap();
    view.write("new", b"n").unwrap();
    view.write("text", b"y\n").unwrap();
    drop(view);
    for path in ["binary", "gone", "mode", "two", "new"] {
        let refused = apply(&bench, &picks(&bench, &[("text", &[1]), (path, &[1])])).unwrap_err();
        assert!(
            matches!(&refused, ApplyError::NoHunks { path: at, .. } if *at == path_of(&bench, path)),
            "{refused:?}"
        );
    }
    let refused = apply(&bench, &picks(&bench, &[("text", &[1, 2])])).unwrap_err();
    assert!(matches!(refused, ApplyError::NoHunk { number: 2, hunks: 1, .. }), "{refused:?}");
    let refused = apply(&bench, &picks(&bench, &[("nothing", &[1])])).unwrap_err();
    assert!(matches!(refused, ApplyError::NotAChange(_)), "{refused:?}");
    assert_eq!(read(&bench, "text"), "x\n");
}

#[test]
fn hunks_and_whole_paths_in_one() {
    let old = numbered(40);
    let bench = changed(old.as_bytes(), three(&old).as_bytes());
    bench.view().write("g", b"new").unwrap();
    let left = apply(&bench, &picks(&bench, &[("f", &[1]), ("g", &[])])).unwrap();
    assert_eq!((left, read(&bench, "f"), read(&bench, "g")), (1, format!("top\n{old}"), "new".into()));
    // Whole wins.
    assert_eq!(apply(&bench, &picks(&bench, &[("f", &[1]), ("f", &[])])).unwrap(), 0);
    assert_eq!(read(&bench, "f"), three(&old));
}

#[test]
fn a_conflict_is_no_place_for_hunks() {
    let old = numbered(40);
    let bench = changed(old.as_bytes(), three(&old).as_bytes());
    let edited = old.replace("\n30\n", "\nthirty\n");
    fs::write(bench.host().join("f"), &edited).unwrap();
    for merge in [false, true] {
        let overlay = bench.overlay();
        let chosen = picks(&bench, &[("f", &[1])]);
        let refused = if merge { overlay.plan_merge(&chosen) } else { overlay.plan_apply(&chosen) }.unwrap_err();
        assert!(matches!(refused, ApplyError::Conflicts(_)), "{refused:?}");
    }
    assert_eq!(read(&bench, "f"), edited);
}

pub(super) fn conflicts(error: ApplyError) -> Vec<Conflict> {
    match error {
        ApplyError::Conflicts(conflicts) => conflicts,
        other => panic!("{other:?}"),
    }
}

/// The ways in which programs change a file: in place, by a new file in its place, and by removing it first.
pub(super) fn ways() -> [fn(&Bench, &str, &[u8]); 4] {
    [
        |bench, path, bytes| bench.view().write(path, bytes).unwrap(),
        |bench, path, bytes| {
            bench.view().write("spare", bytes).unwrap();
            bench.view().rename("spare", path, RenameFlags::empty()).unwrap();
        },
        |bench, path, bytes| {
            bench.view().unlink(path).unwrap();
            bench.view().write(path, bytes).unwrap();
        },
        |bench, path, bytes| {
            bench.view().truncate(path, 0).unwrap();
            bench.view().write(path, bytes).unwrap();
        },
    ]
}

#[test]
fn what_both_sides_changed_apart_is_merged() {
    for way in ways() {
        let old = numbered(40);
        let bench = Bench::new();
        fs::write(bench.host().join("f"), &old).unwrap();
        way(&bench, "f", three(&old).as_bytes());
        let theirs = old.replace("\n30\n", "\nthirty\n");
        fs::write(bench.host().join("f"), &theirs).unwrap();
        let found = conflicts(apply(&bench, &Selection::All).unwrap_err());
        assert_eq!(found, [Conflict { path: path_of(&bench, "f"), kind: ConflictKind::Changed }]);
        assert_eq!(read(&bench, "f"), theirs, "nothing is changed unasked");
        assert_eq!(merge(&bench).unwrap(), 0);
        assert_eq!(read(&bench, "f"), three(&theirs));
        assert!(bench.changes().is_empty());
    }
}

#[test]
fn what_overlaps_is_told_and_nothing_is_changed() {
    let old = numbered(40);
    let bench = changed(old.as_bytes(), three(&old).as_bytes());
    bench.view().write("other", b"new").unwrap();
    let theirs = old.replace("\n20\n", "\nzwanzig\n");
    fs::write(bench.host().join("f"), &theirs).unwrap();
    let found = conflicts(merge(&bench).unwrap_err());
    let [Conflict { kind: ConflictKind::Overlap(clashes), .. }] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(clashes.len(), 1);
    assert_eq!((clashes[0].jar.clone(), clashes[0].host.clone()), (20..21, 19..20));
    assert!(found[0].kind.describe().contains("the jar's line 21 against the host's line 20"));
    assert_eq!(read(&bench, "f"), theirs);
    assert!(!bench.host().join("other").exists());
}

#[test]
fn a_merge_of_attributes_takes_both_sides_or_none() {
    let old = numbered(40);
    for (host_mode, expected) in [(0o644, Some(0o700)), (0o700, Some(0o700)), (0o600, None)] {
        let bench = Bench::new();
        let file = bench.host().join("f");
        fs::write(&file, &old).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        bench.view().write("f", three(&old).as_bytes()).unwrap();
        bench.view().chmod("f", 0o700).unwrap();
        fs::write(&file, old.replace("\n30\n", "\nthirty\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(host_mode)).unwrap();
        match (merge(&bench), expected) {
            (Ok(0), Some(mode)) => assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, mode),
            (Err(error), None) => {
                assert!(matches!(conflicts(error).as_slice(), [Conflict { kind: ConflictKind::Unmergeable(_), .. }]));
            }
            (other, _) => panic!("{host_mode:o}: {other:?}"),
        }
    }
}

#[test]
fn what_cannot_be_merged_says_why() {
    let bench = Bench::new();
    let host = bench.host();
    fs::write(host.join("binary"), b"a\0b").unwrap();
    fs::write(host.join("gone"), "x").unwrap();
    bench.view().write("binary", b"a\0c").unwrap();
    bench.view().write("gone", b"y").unwrap();
    fs::write(host.join("binary"), b"a\0dd").unwrap();
    fs::remove_file(host.join("gone")).unwrap();
    let found = conflicts(merge(&bench).unwrap_err());
    assert!(matches!(found[0].kind, ConflictKind::Unmergeable(_)), "{found:?}");
    assert_eq!(found[1].kind, ConflictKind::Gone);
}

#[test]
fn after_some_hunks_the_rest_can_be_merged() {
    let old = numbered(40);
    let bench = changed(old.as_bytes(), three(&old).as_bytes());
    apply(&bench, &picks(&bench, &[("f", &[1])])).unwrap();
    let theirs = format!("top\n{old}").replace("\n30\n", "\nthirty\n");
    fs::write(bench.host().join("f"), &theirs).unwrap();
    assert_eq!(merge(&bench).unwrap(), 0);
    assert_eq!(read(&bench, "f"), three(&old).replace("\n30\n", "\nthirty\n"));
}

#[test]
fn a_base_that_was_not_kept_is_no_reason_to_fail() {
    let bench = Bench::new();
    fs::write(bench.host().join("f"), vec![b'x'; 3 << 20]).unwrap();
    bench.view().write("f", b"small now").unwrap();
    fs::write(bench.host().join("f"), "small too").unwrap();
    let found = conflicts(merge(&bench).unwrap_err());
    assert!(found[0].kind.describe().contains("what it was before is not known"), "{found:?}");
}

/// A file of which one hunk is applied, one that is merged and one that is whole.
fn three_ways(bench: &Bench) -> Selection {
    let old = numbered(40);
    for file in ["hunk", "merge"] {
        fs::write(bench.host().join(file), &old).unwrap();
        bench.view().write(file, three(&old).as_bytes()).unwrap();
    }
    bench.view().write("whole", b"new").unwrap();
    fs::write(bench.host().join("merge"), old.replace("\n30\n", "\nthirty\n")).unwrap();
    picks(bench, &[("hunk", &[1]), ("merge", &[]), ("whole", &[])])
}

/// Dies at every point where a crash leaves another state; `store` says where the layers are.
fn dying_everywhere(make: impl Fn() -> Bench) {
    let old = numbered(40);
    let merged = three(&old).replace("\n30\n", "\nthirty\n");
    for point in 0..100 {
        let bench = make();
        let chosen = three_ways(&bench);
        let left = std::cell::Cell::new(point);
        let die = || match left.get() {
            0 => std::panic::resume_unwind(Box::new("dies here")),
            n => left.set(n - 1),
        };
        let overlay = bench.overlay();
        let plan = overlay.plan_merge(&chosen).unwrap();
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| overlay.apply_with(plan, &die))).is_ok();
        drop(overlay);
        for (file, new) in [("hunk", &format!("top\n{old}")), ("merge", &merged)] {
            let now = read(&bench, file);
            assert!(now == *new || now == old || now == old.replace("\n30\n", "\nthirty\n"), "{point}: {file}: {now}");
        }
        let overlay = bench.overlay();
        if overlay.state().unwrap() == crate::LayerState::AtRest && !ended {
            overlay.apply(overlay.plan_merge(&chosen).unwrap()).unwrap();
        } else {
            overlay.resume().unwrap();
        }
        assert_eq!((read(&bench, "hunk"), read(&bench, "merge")), (format!("top\n{old}"), merged.clone()), "{point}");
        assert_eq!(bench.changes(), ["M hunk c"], "{point}");
        assert_eq!(apply(&bench, &Selection::All).unwrap(), 0);
        assert_eq!(read(&bench, "hunk"), three(&old));
        if ended {
            assert!(point > 5, "only {point} points");
            return;
        }
    }
    panic!("it never ended");
}

#[test]
fn a_crash_at_any_point_leaves_old_or_new() {
    dying_everywhere(Bench::new);
}

#[test]
fn a_crash_at_any_point_across_file_systems() {
    let shm = std::path::Path::new("/dev/shm");
    if !shm.is_dir() || fs::metadata(shm).unwrap().dev() == fs::metadata(std::env::temp_dir()).unwrap().dev() {
        return;
    }
    let stores = tempfile::tempdir_in(shm).unwrap();
    let next = std::cell::Cell::new(0);
    dying_everywhere(|| {
        next.set(next.get() + 1);
        let mut bench = Bench::new();
        bench.store = stores.path().join(next.get().to_string());
        bench
    });
}

#[test]
fn a_step_that_fails_takes_hunks_and_merges_back() {
    let bench = Bench::new();
    let chosen = three_ways(&bench);
    let (hunk, merge) = (read(&bench, "hunk"), read(&bench, "merge"));
    let changes = bench.changes();
    let overlay = bench.overlay();
    let plan = overlay.plan_merge(&chosen).unwrap();
    let block = || {
        // Somebody makes the new name after the check; that step is the last one.
        let _ = fs::create_dir(bench.host().join("whole"));
    };
    let failed = overlay.apply_with(plan, &block).unwrap_err();
    assert!(matches!(failed, ApplyError::RolledBack { .. }), "{failed:?}");
    fs::remove_dir(bench.host().join("whole")).unwrap();
    assert_eq!((read(&bench, "hunk"), read(&bench, "merge")), (hunk, merge));
    assert_eq!(bench.changes(), changes);
    overlay.apply(overlay.plan_merge(&chosen).unwrap()).unwrap();
}
