//! Trees made to confuse: odd names, marks planted on the host, directories swapped for links, deep and turned trees.
//! Each goes all the way: view, diff, apply, undo, discard.

use crate::fs::{at, xattr};
use crate::settle::plan::Selection;
use crate::testing::{Bench, View, native_tree, owner, whole_tree};
use nix::errno::Errno;
use nix::fcntl::RenameFlags;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

fn apply(bench: &Bench) {
    let overlay = bench.overlay();
    let plan = overlay.plan_apply(&Selection::All).unwrap();
    assert_eq!(overlay.apply(plan).unwrap().left, 0);
    assert!(bench.changes().is_empty());
}

fn undo(bench: &Bench) {
    let overlay = bench.overlay();
    let plan = overlay.plan_undo().unwrap();
    overlay.undo(plan).unwrap();
}

/// Names that mean something to a shell, a terminal, a line-wise journal, an overlay or the store.
fn odd_names() -> Vec<OsString> {
    let long = [b'n'; 255];
    let names: [&[u8]; 24] = [
        &long,
        b"new\nline",
        b"\r",
        b"\t",
        b"\x1b[31m\x1b]0;t\x07",
        b"\x7f",
        b"\xff\xfe",
        b"\xc3(",
        b" ",
        b" .",
        b"...",
        b"-rf",
        b"*",
        b"\\",
        b"\"quoted\\n\"",
        b"'",
        b"$(x)",
        "\u{202e}txt".as_bytes(),
        b".wh.f",
        b".wh..wh..opq",
        b"trusted.overlay.opaque",
        b"work",
        b"meta.json",
        b"upper",
    ];
    names.iter().map(|name| OsStr::from_bytes(name).to_owned()).collect()
}

fn hold(view: &View, dir: &str) -> u64 {
    view.hold(dir).unwrap()
}

fn put(view: &View, dir: &str, name: &OsStr, bytes: &[u8]) {
    let parent = hold(view, dir);
    let number = match view.layers.lookup(parent, name) {
        Ok(attr) => attr.number,
        Err(Errno::ENOENT) => view.layers.create(parent, name, 0o640, owner()).unwrap().number,
        Err(errno) => panic!("{name:?} {errno}"),
    };
    view.layers.write_data(number, 0, bytes, false).unwrap();
}

#[test]
fn odd_names_go_all_the_way_and_back() {
    let bench = Bench::new();
    let host = bench.host();
    for dir in ["mod", "del", "old", "new", "ren", "dirs"] {
        fs::create_dir(host.join(dir)).unwrap();
    }
    for name in odd_names() {
        for dir in ["mod", "del", "old"] {
            fs::write(host.join(dir).join(&name), dir).unwrap();
        }
        fs::create_dir_all(host.join("dirs").join(&name).join(&name)).unwrap();
    }
    let listed = |dir: &str| {
        let mut names: Vec<_> = fs::read_dir(host.join(dir)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let mut all = odd_names();
    all.sort();
    let before = fs::metadata(&host).unwrap();
    let view = bench.view();
    for name in odd_names() {
        put(&view, "mod", &name, b"MOD");
        put(&view, "new", &name, b"new");
        view.layers.unlink(hold(&view, "del"), &name).unwrap();
        let spot = |dir: &str| hold(&view, dir);
        let (from, to) = (spot("old"), spot("ren"));
        let old = crate::view::rename::Spot { parent: from, name: &name };
        view.layers.rename(old, crate::view::rename::Spot { parent: to, name: &name }, RenameFlags::empty()).unwrap();
        let outer = view.layers.lookup(spot("dirs"), &name).unwrap().number;
        view.layers.symlink(outer, "link".as_ref(), &name, owner()).unwrap();
        view.layers.rmdir(outer, &name).unwrap();
    }
    assert!(view.names("del").unwrap().is_empty() && view.names("old").unwrap().is_empty());
    assert_eq!((view.names("new").unwrap(), view.names("ren").unwrap()), (all.clone(), all.clone()));
    drop(view);
    // One change each of mod, del, new and ren, two in dirs.
    let changes = bench.overlay().changes().unwrap().changes.len();
    assert_eq!(changes, 6 * all.len());
    for round in 0..2 {
        apply(&bench);
        assert!(listed("del").is_empty() && listed("old").is_empty(), "round {round}");
        assert_eq!((listed("new"), listed("ren"), listed("mod")), (all.clone(), all.clone(), all.clone()));
        for name in &all {
            assert_eq!(fs::read(host.join("mod").join(name)).unwrap(), b"MOD");
            assert_eq!(fs::read(host.join("ren").join(name)).unwrap(), b"old");
            assert_eq!(fs::read_link(host.join("dirs").join(name).join("link")).unwrap(), Path::new(name));
            assert!(!host.join("dirs").join(name).join(name).exists());
        }
        undo(&bench);
        assert_eq!((listed("old"), listed("del"), listed("mod")), (all.clone(), all.clone(), all.clone()));
        assert!(listed("new").is_empty() && listed("ren").is_empty());
        for name in &all {
            assert_eq!(fs::read(host.join("mod").join(name)).unwrap(), b"mod");
            assert!(host.join("dirs").join(name).join(name).is_dir());
            assert!(!host.join("dirs").join(name).join("link").is_symlink());
        }
        assert_eq!(bench.overlay().changes().unwrap().changes.len(), changes, "round {round}");
    }
    bench.overlay().discard().unwrap();
    assert_eq!(
        std::os::unix::fs::MetadataExt::ino(&before),
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(&host).unwrap())
    );
}

/// A project may hold the storage of a container engine: what is an overlay's mark there is an ordinary thing here.
#[test]
fn marks_on_the_host_mean_nothing() {
    let bench = Bench::new();
    let host = bench.host();
    fs::create_dir_all(host.join("opaque/in")).unwrap();
    fs::create_dir_all(host.join("redirected")).unwrap();
    fs::create_dir_all(host.join("elsewhere")).unwrap();
    fs::write(host.join("elsewhere/secret"), "s").unwrap();
    for file in ["opaque/a", "opaque/in/b", "redirected/own", "counted"] {
        fs::write(host.join(file), file).unwrap();
    }
    let root = at::open_root(&host).unwrap();
    let mark = |path: &str, name: &str, value: &[u8]| {
        let (parent, last) = at::split(Path::new(path)).unwrap();
        let parent = at::open_beneath(&root, parent).unwrap();
        xattr::set(&parent, last, name.as_ref(), value, 0).unwrap();
    };
    mark("opaque", xattr::OPAQUE, b"y");
    mark("opaque", xattr::TIMES, b"y");
    mark("redirected", xattr::REDIRECT, b"/elsewhere");
    mark("counted", xattr::LINKS, b"41");
    mark("counted", xattr::NODE, b"c:1:3");
    mark("counted", xattr::ORIGIN, b"nonsense");
    let whiteout = nix::unistd::geteuid().is_root();
    if whiteout {
        at::mknod(&root, "no_whiteout".as_ref(), libc::S_IFCHR | 0o600).unwrap();
    }
    let before = native_tree(&host);
    let view = bench.view();
    assert_eq!(view.tree(), before);
    // Every one of them is copied up.
    for path in ["opaque", "redirected", "opaque/in"] {
        view.chmod(path, 0o750).unwrap();
    }
    view.overwrite("counted", b"C").unwrap();
    view.rename("opaque", "moved", RenameFlags::empty()).unwrap();
    drop(view);
    let view = bench.view();
    assert_eq!(view.names("moved").unwrap(), ["a", "in"]);
    assert_eq!(view.read("moved/in/b").unwrap(), b"opaque/in/b");
    assert_eq!(view.names("redirected").unwrap(), ["own"]);
    assert_eq!(view.stat("counted").unwrap().stat.st_nlink, 1);
    assert_eq!(at::kind_of(&view.stat("counted").unwrap().stat), libc::S_IFREG);
    if whiteout {
        assert_eq!(at::kind_of(&view.stat("no_whiteout").unwrap().stat), libc::S_IFCHR);
        view.unlink("no_whiteout").unwrap();
        assert_eq!(view.stat("no_whiteout").unwrap_err(), Errno::ENOENT);
    }
    let expected = view.tree();
    drop(view);
    apply(&bench);
    assert_eq!(native_tree(&host), expected);
    undo(&bench);
    assert_eq!(native_tree(&host), before);
    bench.overlay().discard().unwrap();
    assert_eq!(native_tree(&host), before);
}

/// The host swaps a directory for a link while the jar works in it: the jar goes on with the directory or gets an error,
/// and nothing of where the link leads is ever shown, copied or written.
#[test]
fn a_directory_swapped_for_a_link_while_the_jar_works() {
    let bench = Bench::new();
    let host = bench.host();
    let outside = bench.dir.join("outside");
    for (dir, body) in [(host.join("d/e"), "mine"), (outside.join("e"), "secret")] {
        fs::create_dir_all(&dir).unwrap();
        for file in ["../f", "g", "w"] {
            fs::write(dir.join(file), body).unwrap();
        }
    }
    let left_outside = whole_tree(&outside, true);
    let view = bench.view();
    let held = [hold(&view, "d/f"), hold(&view, "d/e/g")];
    fs::rename(host.join("d"), host.join("was")).unwrap();
    std::os::unix::fs::symlink(&outside, host.join("d")).unwrap();
    for wait in [Duration::ZERO, Duration::from_millis(1_100)] {
        // Descriptors of the host's directories are believed for a second.
        std::thread::sleep(wait);
        for number in held {
            let read = view.layers.read_data(number, 0, 100);
            assert!(read.as_ref().map_or(true, |bytes| bytes == b"mine"), "{read:?}");
        }
        for path in ["d/e/w", "d/f", "d/e/g"] {
            let number = view.hold(path);
            if let Ok(number) = number {
                assert_ne!(view.layers.read_data(number, 0, 100).unwrap_or_default(), b"secret", "{path}");
                let written = view.layers.write_data(number, 0, b"W", false);
                assert!(written.is_ok() || written.is_err_and(|errno| errno != Errno::EIO), "{path}");
            }
        }
    }
    drop(view);
    let overlay = bench.overlay();
    if let Ok(plan) = overlay.plan_apply(&Selection::All) {
        // What is left to apply never lies behind the link.
        let _refused_or_beside = overlay.apply(plan);
    }
    assert_eq!(whole_tree(&outside, true), left_outside);
    assert_eq!(fs::read(host.join("was/f")).unwrap(), b"mine");
    bench.overlay().discard().unwrap();
    assert_eq!(whole_tree(&outside, true), left_outside);
}

/// The same between an apply and its undo.
#[test]
fn a_directory_swapped_for_a_link_before_an_undo() {
    let bench = Bench::new();
    let host = bench.host();
    let outside = bench.dir.join("outside");
    fs::create_dir_all(host.join("d/e")).unwrap();
    fs::write(host.join("d/e/f"), "old").unwrap();
    fs::write(host.join("d/e/gone"), "gone").unwrap();
    fs::create_dir_all(outside.join("e")).unwrap();
    fs::write(outside.join("e/f"), "new").unwrap();
    fs::write(outside.join("e/added"), "a").unwrap();
    let view = bench.view();
    view.write("d/e/f", b"new").unwrap();
    view.write("d/e/added", b"a").unwrap();
    view.unlink("d/e/gone").unwrap();
    drop(view);
    apply(&bench);
    let left_outside = whole_tree(&outside, true);
    fs::rename(host.join("d"), host.join("was")).unwrap();
    std::os::unix::fs::symlink(&outside, host.join("d")).unwrap();
    let overlay = bench.overlay();
    assert!(matches!(overlay.plan_undo(), Err(crate::UndoError::Conflicts(_))));
    assert_eq!(whole_tree(&outside, true), left_outside);
    assert_eq!(fs::read(host.join("was/e/f")).unwrap(), b"new");
    // Swapped back it is as if nothing had been.
    fs::remove_file(host.join("d")).unwrap();
    fs::rename(host.join("was"), host.join("d")).unwrap();
    drop(overlay);
    undo(&bench);
    assert_eq!(fs::read(host.join("d/e/f")).unwrap(), b"old");
    assert_eq!(fs::read(host.join("d/e/gone")).unwrap(), b"gone");
    assert!(!host.join("d/e/added").exists());
    assert_eq!(whole_tree(&outside, true), left_outside);
}

/// A chain of directories is turned inside out, and two branches change places with their own children.
#[test]
fn ancestors_and_descendants_change_places() {
    let bench = Bench::new();
    let host = bench.host();
    for dir in ["a/b/c/d", "x/y", "p/q"] {
        fs::create_dir_all(host.join(dir)).unwrap();
    }
    for file in ["a/1", "a/b/2", "a/b/c/3", "a/b/c/d/4", "x/5", "x/y/6", "p/7", "p/q/8"] {
        fs::write(host.join(file), file).unwrap();
    }
    let before = native_tree(&host);
    let view = bench.view();
    let rename = |from: &str, to: &str, flags: RenameFlags| view.rename(from, to, flags);
    let plain = RenameFlags::empty();
    // d/c/b/a instead of a/b/c/d.
    rename("a/b/c/d", "d", plain).unwrap();
    rename("a/b/c", "d/c", plain).unwrap();
    rename("a/b", "d/c/b", plain).unwrap();
    rename("a", "d/c/b/a", plain).unwrap();
    // y takes x's name and x becomes its child.
    rename("x/y", "t", plain).unwrap();
    rename("x", "t/y", plain).unwrap();
    rename("t", "x", plain).unwrap();
    // Round and round, and an exchange across branches at last.
    for _ in 0..5 {
        rename("p/q", "q", plain).unwrap();
        rename("p", "q/p", plain).unwrap();
        rename("q/p", "p", plain).unwrap();
        rename("q", "p/q", plain).unwrap();
    }
    rename("p/q", "d/c", RenameFlags::RENAME_EXCHANGE).unwrap();
    for (from, to) in [("d", "d/c"), ("x", "x/y"), ("p", "p/q/b/a")] {
        assert_eq!(rename(from, to, plain).unwrap_err(), Errno::EINVAL, "{from} {to}");
        assert_eq!(rename(from, to, RenameFlags::RENAME_EXCHANGE).unwrap_err(), Errno::EINVAL, "{from} {to}");
    }
    view.write("p/q/b/a/1", b"edited").unwrap();
    let expected = view.tree();
    drop(view);
    assert_eq!(bench.view().tree(), expected);
    for round in 0..2 {
        apply(&bench);
        assert_eq!(native_tree(&host), expected, "round {round}");
        undo(&bench);
        assert_eq!(native_tree(&host), before, "round {round}");
    }
    bench.overlay().discard().unwrap();
    assert_eq!(native_tree(&host), before);
}

/// Deeper than any recursion should go, and beyond what a path can name.
#[test]
fn a_very_deep_tree_goes_all_the_way_and_back() {
    const DEPTH: usize = 300;
    let bench = Bench::new();
    // On the host already to its half.
    let mut dir = at::open_root(&bench.host()).unwrap();
    for _ in 0..DEPTH / 2 {
        at::mkdir(&dir, "dd".as_ref(), 0o755).unwrap();
        dir = at::open_dir(&dir, "dd".as_ref()).unwrap();
    }
    drop(dir);
    let view = bench.view();
    let mut parent = 1;
    for depth in 0..DEPTH {
        parent = match view.layers.lookup(parent, "dd".as_ref()) {
            Ok(attr) => attr.number,
            Err(errno) => {
                assert_eq!((errno, depth >= DEPTH / 2), (Errno::ENOENT, true));
                view.layers.mkdir(parent, "dd".as_ref(), 0o755, owner()).unwrap().number
            }
        };
    }
    view.layers.create(parent, "leaf".as_ref(), 0o644, owner()).unwrap();
    view.rename("dd", "moved", RenameFlags::empty()).unwrap();
    drop(view);
    let depth_of_host = |name: &str| {
        let mut dir = at::open_dir(at::open_root(&bench.host()).unwrap(), name.as_ref())?;
        let mut depth = 1;
        while let Ok(next) = at::open_dir(&dir, "dd".as_ref()) {
            (dir, depth) = (next, depth + 1);
        }
        Ok::<_, Errno>((depth, at::stat_opt(&dir, "leaf".as_ref())?.is_some()))
    };
    let changes = bench.overlay().changes().unwrap().changes.len();
    assert_eq!(changes, DEPTH / 2 + 2);
    apply(&bench);
    assert_eq!(depth_of_host("moved"), Ok((DEPTH, true)));
    assert_eq!(depth_of_host("dd"), Err(Errno::ENOENT));
    undo(&bench);
    assert_eq!(depth_of_host("dd"), Ok((DEPTH / 2, false)));
    assert_eq!(depth_of_host("moved"), Err(Errno::ENOENT));
    bench.overlay().discard().unwrap();
    assert!(!bench.store.exists());
}
