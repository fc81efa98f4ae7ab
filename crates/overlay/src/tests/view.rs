//! The view: single cases.

use crate::fs::at;
use crate::testing::Bench;
use model::Hidden;
use nix::errno::Errno;
use nix::fcntl::RenameFlags;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

#[test]
fn a_touched_nothing_is_untouched() {
    let bench = Bench::new();
    fs::write(bench.host().join("a"), "x").unwrap();
    let view = bench.view();
    assert_eq!(view.read("a").unwrap(), b"x");
    assert!(bench.overlay().is_untouched().unwrap());
    assert!(bench.changes().is_empty());
    view.write("b", b"y").unwrap();
    assert!(!bench.overlay().is_untouched().unwrap());
}

#[test]
fn a_changed_root_directory_is_a_change() {
    let bench = Bench::new();
    fs::set_permissions(bench.host(), fs::Permissions::from_mode(0o750)).unwrap();
    let view = bench.view();
    view.chmod("", 0o700).unwrap();
    assert!(!bench.overlay().is_untouched().unwrap());
    assert_eq!(bench.changes(), ["M  m"]);
}

#[test]
fn inode_number_and_change_time_survive_copy_up() {
    let bench = Bench::new();
    fs::create_dir_all(bench.host().join("a/b")).unwrap();
    fs::write(bench.host().join("a/b/f"), "x").unwrap();
    let native = |path: &str| fs::metadata(bench.host().join(path)).unwrap();
    let view = bench.view();
    view.write("a/b/new", b"1").unwrap();
    for path in ["a", "a/b", "a/b/f"] {
        assert_eq!(view.stat(path).unwrap().stat.st_ino, native(path).ino(), "{path}");
    }
    let (shown, host) = (view.stat("a").unwrap().stat, native("a"));
    assert_eq!((shown.st_ctime, shown.st_ctime_nsec), (host.ctime(), host.ctime_nsec()));
    assert_eq!((shown.st_mtime, shown.st_mtime_nsec), (host.mtime(), host.mtime_nsec()));
    view.write("a/b/f", b"changed").unwrap();
    assert_eq!(view.stat("a/b/f").unwrap().stat.st_ino, native("a/b/f").ino());
    // Also for the next process that serves it.
    assert_eq!(bench.view().stat("a/b/f").unwrap().stat.st_ino, native("a/b/f").ino());
}

#[test]
fn an_unlinked_file_stays_open_and_goes_with_the_last_reference() {
    let bench = Bench::new();
    fs::write(bench.host().join("lower"), "low").unwrap();
    let view = bench.view();
    view.write("upper", b"up").unwrap();
    for (path, body) in [("lower", b"low".as_slice()), ("upper", b"up")] {
        let open = view.hold(path).unwrap();
        view.unlink(path).unwrap();
        assert_eq!(view.stat(path).unwrap_err(), Errno::ENOENT);
        assert_eq!(view.layers.read_data(open, 0, 10).unwrap(), body);
        view.layers.write_data(open, 0, b"XYZ", false).unwrap();
        assert_eq!(view.layers.read_data(open, 0, 10).unwrap(), b"XYZ");
        assert_eq!(view.layers.getattr(open).unwrap().stat.st_nlink, 0);
        view.layers.forget(open, 1_000).unwrap();
    }
    let left = at::list(&view.layers.store.parts().unwrap().work).unwrap().into_iter().map(|entry| entry.name);
    assert_eq!(left.collect::<Vec<_>>(), ["whiteout"]);
    assert_eq!(fs::read(bench.host().join("lower")).unwrap(), b"low");
    assert_eq!(bench.changes(), ["D lower 0"]);
}

#[test]
fn a_replaced_file_stays_open_too() {
    let bench = Bench::new();
    fs::write(bench.host().join("old"), "old").unwrap();
    let view = bench.view();
    view.write("new", b"new").unwrap();
    let open = view.hold("old").unwrap();
    view.rename("new", "old", RenameFlags::empty()).unwrap();
    assert_eq!(view.read("old").unwrap(), b"new");
    assert_eq!(view.layers.read_data(open, 0, 10).unwrap(), b"old");
    view.write("again", b"again").unwrap();
    let second = view.hold("old").unwrap();
    view.rename("again", "old", RenameFlags::empty()).unwrap();
    assert_eq!(view.layers.read_data(second, 0, 10).unwrap(), b"new");
    assert_eq!(bench.changes(), ["M old c"]);
}

#[test]
fn host_hard_links_stay_linked() {
    let bench = Bench::new();
    fs::create_dir(bench.host().join("d")).unwrap();
    fs::write(bench.host().join("a"), "x").unwrap();
    for other in ["b", "d/c"] {
        fs::hard_link(bench.host().join("a"), bench.host().join(other)).unwrap();
    }
    let view = bench.view();
    view.hold("b").unwrap();
    view.write("a", b"changed").unwrap();
    for path in ["b", "d/c"] {
        assert_eq!(view.read(path).unwrap(), b"changed", "{path}");
        assert_eq!(view.stat(path).unwrap().stat.st_nlink, 3, "{path}");
        assert_eq!(view.stat(path).unwrap().number, view.stat("a").unwrap().number);
    }
    assert_eq!(bench.changes(), ["M a c", "M b c", "M d/c c"]);
}

#[test]
fn names_nobody_looked_up_are_changed_too() {
    let bench = Bench::new();
    fs::write(bench.host().join("a"), "x").unwrap();
    fs::create_dir(bench.host().join("d")).unwrap();
    fs::hard_link(bench.host().join("a"), bench.host().join("d/b")).unwrap();
    bench.view().write("a", b"changed").unwrap();
    assert_eq!(bench.changes(), ["M a c", "M d/b c"]);
    let plan = bench.overlay().plan_apply(&crate::Selection::All).unwrap();
    bench.overlay().apply(plan).unwrap();
    assert_eq!(fs::read(bench.host().join("d/b")).unwrap(), b"changed");
    let ino = |path: &str| fs::metadata(bench.host().join(path)).unwrap().ino();
    assert_eq!(ino("a"), ino("d/b"));
}

#[test]
fn the_child_cannot_plant_marks() {
    let bench = Bench::new();
    fs::write(bench.host().join("f"), "x").unwrap();
    let view = bench.view();
    for name in [
        "user.overlay.opaque",
        "user.overlay.redirect",
        "user.belljar.origin",
        "trusted.overlay.opaque",
        "security.capability",
    ] {
        assert_eq!(view.set_xattr("f", name, "y").unwrap_err(), Errno::EPERM, "{name}");
    }
    view.set_xattr("f", "user.note", "mine").unwrap();
    let number = view.hold("f").unwrap();
    assert_eq!(view.layers.list_xattr(number).unwrap(), ["user.note"]);
    assert_eq!(view.layers.get_xattr(number, "user.belljar.origin".as_ref()).unwrap(), None);
    for kind in [libc::S_IFCHR, libc::S_IFBLK] {
        let refused = view.layers.mknod(1, "dev".as_ref(), kind | 0o600, 0, crate::testing::owner());
        assert_eq!(refused.unwrap_err(), Errno::EPERM);
    }
    assert_eq!(bench.changes(), ["M f x"]);
}

#[test]
fn hidden_paths_do_not_exist() {
    let mut bench = Bench::new();
    fs::create_dir_all(bench.host().join("home/.ssh")).unwrap();
    fs::write(bench.host().join("home/.ssh/id"), "key").unwrap();
    fs::write(bench.host().join("home/.netrc"), "pw").unwrap();
    let hide = |path: &str, rule: &str| Hidden { path: bench.host().join(path).into(), rule: rule.into() };
    bench.hidden = vec![hide("home/.ssh", "secrets/ssh"), hide("home/.netrc", "secrets/netrc"), hide("home/none", "x")];
    let view = bench.view();
    assert_eq!(view.names("home").unwrap(), [".ssh"]);
    assert!(view.layers.hidden.attempts().is_empty(), "listing the parent is no attempt");
    assert_eq!(view.stat("home/.ssh").unwrap().stat.st_mode, libc::S_IFDIR | 0o700);
    assert!(view.names("home/.ssh").unwrap().is_empty());
    assert_eq!(view.read("home/.ssh/id").unwrap_err(), Errno::ENOENT);
    assert_eq!(view.read("home/.netrc").unwrap_err(), Errno::ENOENT);
    let rules: Vec<_> = view.layers.hidden.attempts().into_iter().map(|a| a.rule).collect();
    assert_eq!(rules, ["secrets/netrc", "secrets/ssh", "secrets/ssh"]);
    // It stays, whatever is done to it or above it.
    assert_eq!(view.rmdir("home/.ssh").unwrap_err(), Errno::EPERM);
    assert_eq!(view.chmod("home/.ssh", 0o777).unwrap_err(), Errno::EPERM);
    assert_eq!(view.rename("home/.ssh", "x", RenameFlags::empty()).unwrap_err(), Errno::EPERM);
    // A rename above it, once real, would show it to the next jar.
    view.mkdir("other").unwrap();
    assert_eq!(view.rename("home", "moved", RenameFlags::empty()).unwrap_err(), Errno::EBUSY);
    assert_eq!(view.rename("other", "home", RenameFlags::RENAME_EXCHANGE).unwrap_err(), Errno::EBUSY);
    // What the child makes there is its own.
    view.write("home/.ssh/config", b"c").unwrap();
    view.write("home/.netrc", b"mine").unwrap();
    assert_eq!(view.names("home/.ssh").unwrap(), ["config"]);
    view.unlink("home/.netrc").unwrap();
    assert_eq!(view.read("home/.netrc").unwrap_err(), Errno::ENOENT);
}

#[test]
fn a_directory_that_looks_empty_stays_for_what_is_hidden_in_it() {
    let mut bench = Bench::new();
    fs::create_dir_all(bench.host().join("a/b")).unwrap();
    fs::create_dir(bench.host().join("c")).unwrap();
    fs::write(bench.host().join("a/b/token"), "t").unwrap();
    let hide = |path: &str| Hidden { path: bench.host().join(path).into(), rule: "x".into() };
    bench.hidden = vec![hide("a/b/token"), hide("c/none")];
    let view = bench.view();
    for path in ["a/b", "a"] {
        assert!(matches!(view.rmdir(path).unwrap_err(), Errno::EBUSY | Errno::ENOTEMPTY), "{path}");
        assert_eq!(view.rename(path, "x", RenameFlags::empty()).unwrap_err(), Errno::EBUSY, "{path}");
    }
    view.rename("c", "x", RenameFlags::empty()).unwrap();
    view.rmdir("x").unwrap();
}

#[test]
fn the_store_inside_the_root_is_hidden() {
    let mut bench = Bench::new();
    bench.store = bench.host().join(".belljar-store");
    let view = bench.view();
    assert_eq!(view.names(".belljar-store").unwrap_err(), Errno::ENOENT);
    view.write("f", b"x").unwrap();
    assert!(view.names(".belljar-store").unwrap().is_empty());
    assert_eq!(bench.changes(), ["A f"]);
}

#[test]
fn mount_points_of_other_roots_stay_where_they_are() {
    let mut bench = Bench::new();
    fs::create_dir_all(bench.host().join("src/ws")).unwrap();
    bench.nested = vec![bench.host().join("src/ws").into()];
    let view = bench.view();
    for path in ["src", "src/ws"] {
        assert_eq!(view.rename(path, "x", RenameFlags::empty()).unwrap_err(), Errno::EBUSY, "{path}");
    }
    assert_eq!(view.rmdir("src/ws").unwrap_err(), Errno::EBUSY);
}

#[test]
fn holes_stay_holes() {
    let bench = Bench::new();
    let file = fs::File::create(bench.host().join("sparse")).unwrap();
    file.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, b"end", (64 << 20) - 3).unwrap();
    let view = bench.view();
    let number = view.hold("sparse").unwrap();
    view.layers.write_data(number, 0, b"begin", false).unwrap();
    let stat = view.stat("sparse").unwrap().stat;
    assert_eq!(stat.st_size, 64 << 20);
    assert!(stat.st_blocks < 2_000, "{} blocks", stat.st_blocks);
    assert_eq!(view.layers.seek(number, 1 << 20, libc::SEEK_DATA).unwrap() >> 20, 63);
    assert_eq!(view.layers.read_data(number, (64 << 20) - 3, 10).unwrap(), b"end");
}

#[test]
fn a_file_the_host_replaces_is_looked_up_again() {
    let bench = Bench::new();
    fs::write(bench.host().join("f"), "one").unwrap();
    let view = bench.view();
    let old = view.hold("f").unwrap();
    fs::write(bench.host().join("g"), "two").unwrap();
    fs::rename(bench.host().join("g"), bench.host().join("f")).unwrap();
    assert_eq!(view.layers.getattr(old).unwrap_err(), Errno::ESTALE);
    assert_eq!(view.read("f").unwrap(), b"two");
}

#[test]
fn odd_names_are_just_names() {
    let bench = Bench::new();
    let long = "n".repeat(255);
    let view = bench.view();
    for name in [long.as_str(), "new\nline", ".wh.f", "trusted.overlay.opaque", "-rf", "日本"] {
        view.write(name, b"x").unwrap();
        assert_eq!(view.read(name).unwrap(), b"x");
    }
    assert_eq!(view.write(&format!("{long}n"), b"x").unwrap_err(), Errno::ENAMETOOLONG);
    let raw = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff\xfe");
    view.layers.create(1, raw, 0o600, crate::testing::owner()).unwrap();
    assert_eq!(bench.overlay().changes().unwrap().changes.len(), 7);
}

#[test]
fn a_deep_tree_works() {
    let bench = Bench::new();
    let view = bench.view();
    let mut parent = 1;
    let name = "d".repeat(200);
    for _ in 0..60 {
        parent = view.layers.mkdir(parent, name.as_ref(), 0o755, crate::testing::owner()).unwrap().number;
    }
    view.layers.create(parent, "leaf".as_ref(), 0o644, crate::testing::owner()).unwrap();
    assert_eq!(bench.overlay().changes().unwrap().changes.len(), 61);
    let plan = bench.overlay().plan_apply(&crate::Selection::All).unwrap();
    assert_eq!(bench.overlay().apply(plan).unwrap().left, 0);
    assert!(bench.changes().is_empty());
    bench.overlay().discard().unwrap();
    assert!(!bench.store.exists());
}
