//! Diff and apply: single cases.

use crate::changes::preview::Preview;
use crate::error::{ApplyError, ConflictKind};
use crate::settle::plan::Selection;
use crate::testing::{Bench, native_tree};
use model::FilePath;
use nix::fcntl::RenameFlags;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

fn plain() -> RenameFlags {
    RenameFlags::empty()
}

/// A host with a few of everything.
fn furnished() -> Bench {
    let bench = Bench::new();
    let host = bench.host();
    for dir in ["d/e", "gone/deep", "ren/sub"] {
        fs::create_dir_all(host.join(dir)).unwrap();
    }
    for (file, body) in [
        ("a", "a"),
        ("d/b", "b"),
        ("d/e/c", "c"),
        ("gone/x", "x"),
        ("gone/deep/y", "y"),
        ("ren/r", "r"),
        ("ren/sub/s", "s"),
    ] {
        fs::write(host.join(file), body).unwrap();
    }
    std::os::unix::fs::symlink("a", host.join("link")).unwrap();
    bench
}

fn change_much(bench: &Bench) {
    let view = bench.view();
    view.write("a", b"A").unwrap();
    view.chmod("d/b", 0o600).unwrap();
    view.write("d/new", b"n").unwrap();
    view.mkdir("tree").unwrap();
    view.mkdir("tree/in").unwrap();
    view.write("tree/in/f", b"f").unwrap();
    view.remove_tree("gone").unwrap();
    view.rename("ren", "moved", plain()).unwrap();
    view.write("moved/sub/s", b"S").unwrap();
    view.unlink("moved/r").unwrap();
    view.unlink("link").unwrap();
    view.mkdir("link").unwrap();
    view.write("link/inside", b"i").unwrap();
    view.chmod("d/e", 0o700).unwrap();
}

const MUCH: [&str; 14] = [
    "M a c",
    "M d/b m",
    "M d/e m",
    "A d/new",
    "D gone 3",
    "X link",
    "A link/inside",
    "R moved < ren",
    "D moved/r 0",
    "M moved/sub/s c",
    "A tree",
    "A tree/in",
    "A tree/in/f",
    "",
];

fn all(bench: &Bench) -> crate::Applied {
    let overlay = bench.overlay();
    let plan = overlay.plan_apply(&Selection::All).unwrap();
    overlay.apply(plan).unwrap()
}

fn paths(bench: &Bench, paths: &[&str]) -> Selection {
    Selection::Paths(paths.iter().map(|path| FilePath::from(bench.host().join(path))).collect())
}

#[test]
fn the_diff_tells_every_kind() {
    let bench = furnished();
    change_much(&bench);
    assert_eq!(bench.changes(), MUCH[..13]);
}

#[test]
fn apply_makes_the_host_the_view() {
    let bench = furnished();
    change_much(&bench);
    let expected = bench.view().tree();
    let applied = all(&bench);
    assert_eq!((applied.applied, applied.left), (13, 0));
    assert_eq!(native_tree(&bench.host()), expected);
    assert!(bench.changes().is_empty());
    assert!(bench.overlay().is_untouched().unwrap());
    assert!(bench.overlay().store.parts().unwrap().origins.get("a".as_ref()).is_none());
}

#[test]
fn no_mark_of_ours_reaches_the_host() {
    let bench = furnished();
    change_much(&bench);
    all(&bench);
    let mut waiting = vec![bench.host()];
    while let Some(path) = waiting.pop() {
        let parent = crate::fs::at::open_root(path.parent().unwrap()).unwrap();
        let names = crate::fs::xattr::list(&parent, path.file_name().unwrap()).unwrap();
        assert!(!names.iter().any(|name| crate::fs::xattr::is_reserved(name)), "{path:?} {names:?}");
        if path.is_dir() && !path.is_symlink() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

#[test]
fn the_jar_goes_on_after_an_apply() {
    let bench = furnished();
    change_much(&bench);
    all(&bench);
    let view = bench.view();
    view.write("a", b"again").unwrap();
    view.remove_tree("moved").unwrap();
    view.chmod("d/e", 0o755).unwrap();
    assert_eq!(bench.changes(), ["M a c", "M d/e m", "D moved 2"]);
    assert_eq!(all(&bench).left, 0);
    assert_eq!(fs::read(bench.host().join("a")).unwrap(), b"again");
    assert!(!bench.host().join("moved").exists());
}

#[test]
fn rewriting_the_same_bytes_is_no_content_change() {
    let bench = furnished();
    let view = bench.view();
    view.write("a", b"a").unwrap();
    view.write("d/b", b"other").unwrap();
    view.write("d/b", b"b").unwrap();
    let changes = bench.changes();
    assert_eq!(changes, ["M a t", "M d/b t"]);
    view.chmod("ren/r", 0o640).unwrap();
    view.chmod("ren/r", 0o644).unwrap();
    assert_eq!(bench.changes(), changes);
}

#[test]
fn a_directory_made_again_is_compared_name_by_name() {
    let bench = furnished();
    let view = bench.view();
    view.remove_tree("gone").unwrap();
    view.mkdir("gone").unwrap();
    view.write("gone/x", b"new x").unwrap();
    view.write("gone/z", b"z").unwrap();
    assert_eq!(bench.changes(), ["D gone/deep 1", "M gone/x c", "A gone/z"]);
    let overlay = bench.overlay();
    let plan = overlay.plan_apply(&paths(&bench, &["gone/z"])).unwrap();
    assert_eq!(overlay.apply(plan).unwrap().left, 2);
    assert_eq!(bench.changes(), ["D gone/deep 1", "M gone/x c"]);
    assert_eq!(fs::read(bench.host().join("gone/deep/y")).unwrap(), b"y");
    assert_eq!(all(&bench).left, 0);
    assert_eq!(native_tree(&bench.host().join("gone")).keys().collect::<Vec<_>>(), ["x", "z"]);
}

#[test]
fn a_part_is_applied_and_the_rest_waits() {
    let bench = furnished();
    change_much(&bench);
    let expected = bench.view().tree();
    let overlay = bench.overlay();
    let plan = overlay.plan_apply(&paths(&bench, &["tree/in/f", "gone", "moved/sub/s"])).unwrap();
    let applied = overlay.apply(plan).unwrap();
    assert_eq!(fs::read(bench.host().join("tree/in/f")).unwrap(), b"f");
    assert!(!bench.host().join("gone").exists() && !bench.host().join("ren").exists());
    assert_eq!(bench.view().tree(), expected, "the view does not change");
    let left: Vec<_> = MUCH[..13]
        .iter()
        .filter(|line| line.starts_with("M a") || line.contains(" d/") || line.contains(" link"))
        .copied()
        .collect();
    assert_eq!(bench.changes(), left);
    assert_eq!(applied.left, u64::try_from(left.len()).unwrap());
    assert_eq!(all(&bench).left, 0);
    assert_eq!(native_tree(&bench.host()), expected);
}

#[test]
fn each_path_can_be_applied_by_itself() {
    let bench = furnished();
    change_much(&bench);
    let expected = bench.view().tree();
    loop {
        let changes = bench.overlay().changes().unwrap().changes;
        let Some(last) = changes.last() else { break };
        let overlay = bench.overlay();
        let plan = overlay.plan_apply(&Selection::Paths(vec![last.path.clone()])).unwrap();
        let left = overlay.apply(plan).unwrap().left;
        assert!(left < u64::try_from(changes.len()).unwrap(), "{:?}", last.path);
        assert_eq!(bench.view().tree(), expected, "after {:?}", last.path);
    }
    assert_eq!(native_tree(&bench.host()), expected);
}

#[test]
fn swapped_and_nested_renames() {
    let bench = furnished();
    fs::create_dir(bench.host().join("empty")).unwrap();
    let view = bench.view();
    view.rename("d", "ren", RenameFlags::RENAME_EXCHANGE).unwrap();
    view.rename("ren/e", "e", plain()).unwrap();
    view.rename("gone", "e/gone", plain()).unwrap();
    view.mkdir("gone").unwrap();
    view.write("gone/now", b"now").unwrap();
    view.rename("e/gone/deep", "empty", plain()).unwrap();
    let expected = view.tree();
    assert_eq!(
        bench.changes(),
        [
            "R d < ren",
            "R e < d/e",
            "R e/gone < gone",
            "D empty 0",
            "R empty < gone/deep",
            "A gone",
            "A gone/now",
            "R ren < d"
        ]
    );
    assert_eq!(all(&bench).left, 0);
    assert_eq!(native_tree(&bench.host()), expected);
}

#[test]
fn a_renamed_directory_keeps_its_new_mode() {
    let bench = furnished();
    let view = bench.view();
    view.rename("ren", "x", plain()).unwrap();
    view.chmod("x", 0o700).unwrap();
    view.set_xattr("x", "user.k", "v").unwrap();
    assert_eq!(all(&bench).left, 0);
    assert_eq!(fs::metadata(bench.host().join("x")).unwrap().permissions().mode() & 0o7777, 0o700);
    assert!(bench.changes().is_empty());
}

#[test]
fn a_rename_there_and_back_is_nothing() {
    let bench = furnished();
    let view = bench.view();
    view.rename("ren", "x", plain()).unwrap();
    view.rename("x", "ren", plain()).unwrap();
    assert_eq!(view.names("ren").unwrap(), ["r", "sub"]);
    assert!(bench.changes().is_empty(), "{:?}", bench.changes());
}

#[test]
fn the_host_changed_meanwhile() {
    let bench = furnished();
    change_much(&bench);
    let host = bench.host();
    fs::write(host.join("a"), "edited on the host").unwrap();
    fs::write(host.join("gone/unseen"), "u").unwrap();
    fs::write(host.join("d/new"), "also").unwrap();
    fs::remove_file(host.join("d/b")).unwrap();
    let before = native_tree(&host);
    let Err(ApplyError::Conflicts(found)) = bench.overlay().plan_apply(&Selection::All) else { panic!() };
    let found: Vec<_> = found
        .iter()
        .map(|c| (c.path.as_path().strip_prefix(&host).unwrap().to_str().unwrap(), c.kind.clone()))
        .collect();
    assert_eq!(
        found,
        [
            ("a", ConflictKind::Changed),
            ("d/b", ConflictKind::Gone),
            ("d/new", ConflictKind::Appeared),
            ("gone/unseen", ConflictKind::Unseen)
        ]
    );
    assert_eq!(native_tree(&host), before);
    let overlay = bench.overlay();
    let plan = overlay.plan_apply(&paths(&bench, &["tree"])).unwrap();
    fs::create_dir(host.join("tree")).unwrap();
    assert!(matches!(overlay.apply(plan), Err(ApplyError::Conflicts(_))));
    assert!(matches!(overlay.plan_apply(&paths(&bench, &["nothing"])), Err(ApplyError::NotAChange(_))));
}

#[test]
fn a_directory_swapped_for_a_link_is_not_followed() {
    let bench = furnished();
    let outside = bench.dir.join("outside");
    fs::create_dir(&outside).unwrap();
    let view = bench.view();
    view.write("d/evil", b"e").unwrap();
    view.write("d/b", b"E").unwrap();
    let overlay = bench.overlay();
    let plan = overlay.plan_apply(&Selection::All).unwrap();
    fs::rename(bench.host().join("d"), bench.host().join("d.real")).unwrap();
    std::os::unix::fs::symlink(&outside, bench.host().join("d")).unwrap();
    assert!(overlay.apply(plan).is_err());
    assert!(matches!(overlay.plan_apply(&Selection::All), Err(ApplyError::Conflicts(_))));
    assert!(fs::read_dir(&outside).unwrap().next().is_none());
    assert_eq!(fs::read(bench.host().join("d.real/b")).unwrap(), b"b");
}

#[test]
fn links_that_leave_are_links() {
    let bench = Bench::new();
    let secret = bench.dir.join("secret");
    fs::write(&secret, "s").unwrap();
    let view = bench.view();
    view.symlink(secret.to_str().unwrap(), "out").unwrap();
    view.symlink("..", "up").unwrap();
    assert_eq!(bench.overlay().changes().unwrap().changes[0].after.as_ref().unwrap().link, Some(secret.clone().into()));
    assert_eq!(all(&bench).left, 0);
    bench.overlay().discard().unwrap();
    assert_eq!(fs::read(&secret).unwrap(), b"s");
    assert_eq!(fs::read_link(bench.host().join("out")).unwrap(), secret);
}

#[test]
fn set_id_bits_need_consent() {
    for allow in [false, true] {
        let bench = Bench::new();
        fs::write(bench.host().join("old"), "x").unwrap();
        let view = bench.view();
        view.mkdir("d").unwrap();
        for path in ["tool", "d/tool", "old"] {
            view.write(path, b"#!").unwrap();
            view.chmod(path, 0o6755).unwrap();
        }
        let overlay = bench.overlay();
        let plan = overlay.plan_apply(&Selection::All).unwrap().allow_setid(allow);
        overlay.apply(plan).unwrap();
        for path in ["tool", "d/tool", "old"] {
            let mode = fs::metadata(bench.host().join(path)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, if allow { 0o6755 } else { 0o755 }, "{path}");
        }
    }
}

#[test]
fn discard_is_the_identity() {
    let bench = furnished();
    let before = native_tree(&bench.host());
    change_much(&bench);
    let view = bench.view();
    view.chmod("tree/in", 0).unwrap();
    view.chmod("tree", 0).unwrap();
    drop(view);
    bench.overlay().discard().unwrap();
    assert!(!bench.store.exists());
    assert_eq!(native_tree(&bench.host()), before);
}

#[test]
fn a_linked_file_that_is_applied_under_one_name_is_parted() {
    let bench = Bench::new();
    let view = bench.view();
    view.write("a", b"1").unwrap();
    view.link("a", "b").unwrap();
    let overlay = bench.overlay();
    let plan = overlay.plan_apply(&paths(&bench, &["a"])).unwrap();
    overlay.apply(plan).unwrap();
    bench.view().write("b", b"2").unwrap();
    assert_eq!(fs::read(bench.host().join("a")).unwrap(), b"1");
    assert_eq!(bench.changes(), ["A b"]);
}

#[test]
fn a_whole_set_of_links_arrives_linked() {
    let bench = Bench::new();
    let view = bench.view();
    view.write("a", b"1").unwrap();
    view.link("a", "b").unwrap();
    let expected = view.tree();
    all(&bench);
    assert_eq!(native_tree(&bench.host()), expected);
}

#[test]
fn previews() {
    let bench = furnished();
    let view = bench.view();
    view.write("a", b"one\ntwo\n").unwrap();
    view.write("bin", b"\0\x01").unwrap();
    view.chmod("d/b", 0o600).unwrap();
    view.rename("ren", "moved", plain()).unwrap();
    view.write("moved/r", b"R\n").unwrap();
    let overlay = bench.overlay();
    let changes = overlay.changes().unwrap().changes;
    let preview = |path: &str| {
        let path: PathBuf = bench.host().join(path);
        overlay.preview(changes.iter().find(|c| c.path.as_path() == path).unwrap()).unwrap()
    };
    let text = |path: &str| match preview(path) {
        Preview::Text { diff, .. } => String::from_utf8(diff).unwrap(),
        other => panic!("{other:?}"),
    };
    let diff = text("a");
    assert!(diff.contains("-a\n") && diff.contains("+one\n+two\n"), "{diff}");
    let diff = text("moved/r");
    assert!(diff.contains("-r\n") && diff.contains("+R\n"), "{diff}");
    assert_eq!(preview("bin"), Preview::Binary { before: None, after: Some(2) });
    assert_eq!(preview("d/b"), Preview::NoContent);
}

#[test]
fn a_busy_store_is_refused() {
    let bench = furnished();
    bench.view().write("a", b"x").unwrap();
    let overlay = bench.overlay();
    let plan = overlay.plan_apply(&Selection::All).unwrap();
    let lock = overlay.store.lock().unwrap();
    assert!(matches!(overlay.apply(plan), Err(ApplyError::Overlay(crate::OverlayError::Busy { .. }))));
    drop(lock);
    assert!(overlay.size().unwrap().1 >= 1);
}

#[test]
fn a_hard_link_applied_alone_leaves_its_other_names_to_be_applied() {
    let bench = Bench::new();
    let host = bench.host();
    fs::write(host.join("b"), "old").unwrap();
    fs::hard_link(host.join("b"), host.join("c")).unwrap();
    let view = bench.view();
    assert_eq!(view.unlink("c/a").unwrap_err(), nix::errno::Errno::ENOTDIR);
    view.write("b", b"new").unwrap();
    drop(view);
    assert_eq!(bench.changes(), ["M b c", "M c c"]);
    for name in ["b", "c"] {
        let overlay = bench.overlay();
        let plan = overlay.plan_apply(&paths(&bench, &[name])).unwrap();
        overlay.apply(plan).unwrap();
    }
    assert_eq!(fs::read(host.join("c")).unwrap(), b"new");
}
