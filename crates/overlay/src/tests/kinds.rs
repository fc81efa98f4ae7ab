//! Every kind of change, told by the diff and brought by apply, on one file system and across two.

use crate::settle::plan::Selection;
use crate::testing::{Bench, View, native_whole_tree};
use model::FilePath;
use nix::fcntl::RenameFlags;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// A bench on one file system, and one whose store is on another, where there is one.
fn benches() -> Vec<(Bench, Option<tempfile::TempDir>)> {
    let mut all = vec![(Bench::new(), None)];
    let shm = Path::new("/dev/shm");
    if shm.is_dir() && fs::metadata(shm).unwrap().dev() != fs::metadata(std::env::temp_dir()).unwrap().dev() {
        let stores = tempfile::tempdir_in(shm).unwrap();
        let mut bench = Bench::new();
        bench.store = stores.path().join("store");
        all.push((bench, Some(stores)));
    }
    all
}

/// What `change` does to what `make` made is told as `expected`, and applied the host is what the view was.
fn told_and_brought(make: impl Fn(&Path), change: impl Fn(&View), expected: &[&str]) -> Vec<Bench> {
    let mut done = Vec::new();
    for (bench, stores) in benches() {
        make(&bench.host());
        change(&bench.view());
        assert_eq!(bench.changes(), expected);
        let shown = bench.view().whole_tree();
        let overlay = bench.overlay();
        assert_eq!(overlay.apply(overlay.plan_apply(&Selection::All).unwrap()).unwrap().left, 0);
        let now = native_whole_tree(&bench.host());
        let cut = |text: &String| text.chars().take(200).collect::<String>();
        for (path, body) in &shown {
            assert!(now.get(path) == Some(body), "{path}: {:?} is not {}", now.get(path).map(cut), cut(body));
        }
        assert_eq!(now.len(), shown.len());
        assert!(bench.changes().is_empty());
        drop(stores);
        done.push(bench);
    }
    done
}

fn files(host: &Path, names: &[&str]) {
    for name in names {
        let path = host.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{name}\n")).unwrap();
    }
}

fn plain() -> RenameFlags {
    RenameFlags::empty()
}

#[test]
fn respects_in_which_a_file_differs() {
    told_and_brought(
        |host| files(host, &["c", "m", "x", "t", "all"]),
        |view| {
            view.write("c", b"other\n").unwrap();
            view.chmod("m", 0o600).unwrap();
            view.set_xattr("x", "user.note", "n").unwrap();
            view.set_mtime("t", 1_000_000_000).unwrap();
            view.write("all", b"other\n").unwrap();
            view.chmod("all", 0o640).unwrap();
            view.set_xattr("all", "user.note", "n").unwrap();
            view.set_mtime("all", 1_000_000_001).unwrap();
        },
        &["M all cmx", "M c c", "M m m", "M t t", "M x x"],
    );
}

#[test]
fn an_owner_is_told_and_brought() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    told_and_brought(
        |host| files(host, &["d/f", "g"]),
        |view| {
            view.chown("d/f", 4242, 4243).unwrap();
            view.chown("d", 4242, 4243).unwrap();
            view.chown("g", 4242, 4243).unwrap();
        },
        &["M d o", "M d/f o", "M g o"],
    );
}

#[test]
fn a_renamed_file_is_one_change() {
    let make = |host: &Path| files(host, &["a", "d/b", "d/c", "e/f", "keep/k"]);
    let benches = told_and_brought(
        make,
        |view| {
            view.rename("a", "new-a", plain()).unwrap();
            view.rename("d/b", "e/b", plain()).unwrap();
            view.write("e/b", b"edited after the move\n").unwrap();
            view.rename("d/c", "keep/c", plain()).unwrap();
            view.chmod("keep/c", 0o600).unwrap();
        },
        &["R e/b < d/b c", "R keep/c < d/c m", "R new-a < a"],
    );
    assert!(!benches[0].host().join("a").exists());
}

#[test]
fn either_name_chooses_a_renamed_file_with_both_its_ends() {
    for name in ["a", "b"] {
        let bench = Bench::new();
        files(&bench.host(), &["a", "other"]);
        bench.view().rename("a", "b", plain()).unwrap();
        bench.view().write("other", b"O").unwrap();
        let overlay = bench.overlay();
        let chosen = Selection::Paths(vec![FilePath::from(bench.host()).join(name)]);
        assert_eq!(overlay.apply(overlay.plan_apply(&chosen).unwrap()).unwrap().left, 1);
        assert!(!bench.host().join("a").exists() && bench.host().join("b").exists());
    }
}

#[test]
fn a_file_that_leaves_a_directory_before_it_is_removed() {
    told_and_brought(
        |host| files(host, &["d/a", "d/b"]),
        |view| {
            view.rename("d/a", "saved", plain()).unwrap();
            view.remove_tree("d").unwrap();
        },
        &["D d 2", "R saved < d/a"],
    );
}

#[test]
fn a_renamed_file_whose_host_changed_is_a_conflict() {
    let bench = Bench::new();
    files(&bench.host(), &["a"]);
    bench.view().rename("a", "b", plain()).unwrap();
    fs::write(bench.host().join("a"), "changed outside").unwrap();
    let refused = bench.overlay().plan_apply(&Selection::All).unwrap_err();
    assert!(matches!(refused, crate::ApplyError::Conflicts(_)), "{refused:?}");
}

#[test]
fn a_renamed_directory_with_edits() {
    told_and_brought(
        |host| files(host, &["d/a", "d/b", "d/deep/c"]),
        |view| {
            view.rename("d", "e", plain()).unwrap();
            view.write("e/deep/c", b"C\n").unwrap();
            view.chmod("e", 0o700).unwrap();
            view.unlink("e/a").unwrap();
        },
        &["R e < d", "D e/a 0", "M e/deep/c c"],
    );
}

#[test]
fn types_change() {
    told_and_brought(
        |host| {
            files(host, &["file", "dir/in", "link-was"]);
            std::os::unix::fs::symlink("file", host.join("link")).unwrap();
        },
        |view| {
            view.unlink("file").unwrap();
            view.mkdir("file").unwrap();
            view.write("file/in", b"i").unwrap();
            view.remove_tree("dir").unwrap();
            view.write("dir", b"d").unwrap();
            view.unlink("link").unwrap();
            view.mkfifo("link").unwrap();
            view.unlink("link-was").unwrap();
            view.symlink("elsewhere", "link-was").unwrap();
        },
        &["X dir", "X file", "A file/in", "X link", "X link-was"],
    );
}

#[test]
fn a_directory_that_was_emptied_and_made_again_is_opaque() {
    told_and_brought(
        |host| files(host, &["d/a", "d/b", "d/sub/c"]),
        |view| {
            view.remove_tree("d").unwrap();
            view.mkdir("d").unwrap();
            view.write("d/b", b"new b").unwrap();
        },
        &["D d/a 0", "M d/b c", "D d/sub 1"],
    );
}

#[test]
fn new_links_are_told_as_links_and_stay_links() {
    let benches = told_and_brought(
        |host| files(host, &["a", "c", "e"]),
        |view| {
            view.link("a", "b").unwrap();
            view.unlink("c").unwrap();
            view.link("a", "c").unwrap();
            view.write("n1", b"n").unwrap();
            view.mkdir("d").unwrap();
            view.link("n1", "d/n2").unwrap();
            view.link("e", "d/e2").unwrap();
            view.write("e", b"edited under one of its names\n").unwrap();
        },
        &["L b = a", "L c = a", "A d", "L d/e2 = e", "A d/n2", "M e c", "L n1 = d/n2"],
    );
    for bench in benches {
        let links = |name: &str| fs::metadata(bench.host().join(name)).unwrap().nlink();
        assert_eq!((links("a"), links("b"), links("n1"), links("e")), (3, 3, 2, 2));
    }
}

#[test]
fn links_of_the_host_stay_links_when_one_is_written() {
    let benches = told_and_brought(
        |host| {
            files(host, &["a"]);
            fs::hard_link(host.join("a"), host.join("b")).unwrap();
        },
        |view| view.write("a", b"A\n").unwrap(),
        &["M a c", "M b c"],
    );
    for bench in benches {
        assert_eq!(fs::metadata(bench.host().join("b")).unwrap().nlink(), 2);
    }
}

#[test]
fn links_inside_a_new_directory_stay_links() {
    let benches = told_and_brought(
        |_| {},
        |view| {
            view.mkdir("d").unwrap();
            view.write("d/a", b"a").unwrap();
            view.mkdir("d/e").unwrap();
            view.link("d/a", "d/e/b").unwrap();
        },
        &["A d", "A d/a", "A d/e", "L d/e/b = d/a"],
    );
    for bench in benches {
        assert_eq!(fs::metadata(bench.host().join("d/e/b")).unwrap().nlink(), 2);
    }
}

#[test]
fn one_link_alone_becomes_a_file_of_its_own() {
    let bench = Bench::new();
    bench.view().write("a", b"a").unwrap();
    bench.view().link("a", "b").unwrap();
    let overlay = bench.overlay();
    let chosen = Selection::Paths(vec![FilePath::from(bench.host()).join("b")]);
    assert_eq!(overlay.apply(overlay.plan_apply(&chosen).unwrap()).unwrap().left, 1);
    assert_eq!(fs::metadata(bench.host().join("b")).unwrap().nlink(), 1);
    assert_eq!(bench.changes(), ["A a"]);
}

#[test]
fn holes_stay_holes() {
    let benches = told_and_brought(
        |host| {
            let file = fs::File::create(host.join("sparse")).unwrap();
            file.set_len(1 << 20).unwrap();
        },
        |view| {
            view.overwrite("sparse", b"head").unwrap();
            view.write("new", b"x").unwrap();
            view.truncate("new", 1 << 20).unwrap();
        },
        &["A new", "M sparse c"],
    );
    for bench in benches {
        for name in ["sparse", "new"] {
            let meta = fs::metadata(bench.host().join(name)).unwrap();
            assert!(meta.len() == 1 << 20 && meta.blocks() * 512 < 1 << 18, "{name}: {} blocks", meta.blocks());
        }
    }
}

#[test]
fn links_pipes_and_sockets() {
    let benches = told_and_brought(
        |host| {
            std::os::unix::fs::symlink("old", host.join("link")).unwrap();
        },
        |view| {
            view.unlink("link").unwrap();
            view.symlink("new target", "link").unwrap();
            view.symlink("\u{1b}[31m", "escape").unwrap();
            view.mkfifo("pipe").unwrap();
            view.mksocket("socket").unwrap();
        },
        &["A escape", "M link c", "A pipe", "A socket"],
    );
    for bench in benches {
        let kind = |name: &str| fs::symlink_metadata(bench.host().join(name)).unwrap().file_type();
        assert!(kind("pipe").is_fifo() && kind("socket").is_socket());
    }
}

#[test]
fn times_of_files_and_directories_arrive() {
    let benches = told_and_brought(
        |host| {
            files(host, &["d/a", "set/s"]);
            fs::set_permissions(host.join("d"), fs::Permissions::from_mode(0o755)).unwrap();
        },
        |view| {
            view.write("d/new", b"n").unwrap();
            view.set_mtime("d/new", 1_000_000_000).unwrap();
            view.set_mtime("set", 1_000_000_001).unwrap();
            view.mkdir("made").unwrap();
            view.write("made/in", b"i").unwrap();
            view.set_mtime("made", 1_000_000_002).unwrap();
        },
        &["A d/new", "A made", "A made/in", "M set t"],
    );
    for bench in benches {
        let time = |name: &str| fs::metadata(bench.host().join(name)).unwrap().mtime();
        assert_eq!((time("d/new"), time("set"), time("made")), (1_000_000_000, 1_000_000_001, 1_000_000_002));
    }
}

#[test]
fn a_directory_the_host_changed_later_keeps_its_time() {
    let bench = Bench::new();
    files(&bench.host(), &["d/a"]);
    bench.view().write("d/new", b"n").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    fs::write(bench.host().join("d/other"), "by the host").unwrap();
    let before = fs::metadata(bench.host().join("d")).unwrap();
    let overlay = bench.overlay();
    overlay.apply(overlay.plan_apply(&Selection::All).unwrap()).unwrap();
    let after = fs::metadata(bench.host().join("d")).unwrap();
    assert!((after.mtime(), after.mtime_nsec()) > (before.mtime(), before.mtime_nsec()));
}
