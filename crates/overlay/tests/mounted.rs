//! The view over a real FUSE mount, used by real programs.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code
)]

mod common;

use common::{Bench, sh};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn what_is_written_stays_above() {
    let bench = Bench::new();
    sh(&bench.host(), "mkdir -p d/e; echo old > d/f; echo two > d/e/g; ln -s f d/l; chmod 640 d/f");
    let before = sh(&bench.host(), "find . -printf '%p %y %m %s %T@\n' | sort");
    bench.run(
        "test \"$(cat d/f)\" = old; echo new >> d/f; test \"$(cat d/f)\" = 'old
new'; test $(stat -c %a d/f) = 640
         rm d/e/g; rmdir d/e; no test -e d/e; mkdir d/e; test -z \"$(ls d/e)\"
         mv d D; test -e D/f; no test -e d; test \"$(readlink D/l)\" = f
         echo x > y; ln y z; test $(stat -c %h z) = 2; rm y; test \"$(cat z)\" = x",
    );
    assert_eq!(sh(&bench.host(), "find . -printf '%p %y %m %s %T@\n' | sort"), before);
    bench.run(
        "test \"$(tail -1 D/f)\" = new; test -d D/e; test -z \"$(ls D/e)\"; test \"$(ls)\" = 'D
z'",
    );
}

/// A git repository with a few hundred files, one commit.
fn repository() -> Bench {
    let bench = Bench::new();
    sh(
        &bench.host(),
        "git init -q .; git config user.email a@b; git config user.name n; git config core.untrackedCache false
         for d in 1 2 3 4 5 6 7 8; do mkdir -p src/$d; for f in 1 2 3 4 5 6 7 8 9; do echo $d$f > src/$d/$f; done; done
         git add -A; git commit -qm one; sleep 1; git status --porcelain",
    );
    bench
}

#[test]
fn git_works_and_its_index_stays_valid() {
    let bench = repository();
    let before = sh(&bench.host(), "git status --porcelain; git rev-parse HEAD; git fsck --strict 2>&1");
    bench.run(
        "# A refreshed index is written only when something did not fit it.
         cp .git/index /tmp/.index.$$; git status --porcelain; cmp .git/index /tmp/.index.$$; rm /tmp/.index.$$
         git checkout -qb topic; echo more >> src/1/1; echo new > src/new; git rm -q src/2/2; git mv src/3 src/three
         git add -A; git commit -qm two; test -z \"$(git status --porcelain)\"; git fsck --strict
         git checkout -q -; test -z \"$(git status --porcelain)\"; test -e src/3/1; git merge -q topic
         git gc -q; git clone -q . clone; git -C clone log --oneline | wc -l; git stash list; git worktree prune",
    );
    assert_eq!(sh(&bench.host(), "git status --porcelain; git rev-parse HEAD; git fsck --strict 2>&1"), before);
    let overlay = bench.overlay();
    let plan = overlay.plan_apply(&belljar_overlay::Selection::All).unwrap();
    assert_eq!(overlay.apply(plan).unwrap().left, 0);
    assert_eq!(
        sh(&bench.host(), "git status --porcelain; git log --format=%s; git fsck --strict"),
        "?? clone/\ntwo\none\n"
    );
}

#[test]
fn tar_make_cp_and_rm() {
    let bench = repository();
    let expected = sh(&bench.host(), "tar cf - --sort=name src | sha256sum");
    bench.run(
        "tar cf /tmp/.t.$$ src; mkdir out; tar xf /tmp/.t.$$ -C out; rm /tmp/.t.$$; diff -r src out/src
         cp -a src copy; diff -r src copy
         printf 'all: a.o b.o\n\tcat a.o b.o > all\n%%.o: %%.c\n\tcp $< $@\n' > Makefile; echo a > a.c; echo b > b.c
         make -s; test \"$(cat all)\" = 'a
b'; make -s | grep -q 'up to date\\|Nothing' || test -z \"$(make -s)\"; touch -d '1 hour' a.c; make -s 2>/dev/null
         rm -rf copy out; test ! -e copy; rm -rf src; test ! -e src; mkdir src; test -z \"$(ls -A src)\"",
    );
    assert_eq!(sh(&bench.host(), "tar cf - --sort=name src | sha256sum"), expected);
}

#[test]
fn shared_memory_locks_holes_and_open_files() {
    let bench = Bench::new();
    std::fs::write(bench.host().join("low"), vec![b'.'; 10_000]).unwrap();
    let script = r#"
import mmap, os, fcntl, errno, stat
# A shared writable mapping of a host file: what is written through it is in the file.
f = os.open("low", os.O_RDWR)
m = mmap.mmap(f, 10000)
m[5000:5005] = b"HELLO"
m.flush()
assert open("low", "rb").read()[5000:5005] == b"HELLO"
os.unlink("low")
m[0:2] = b"ab"; m.flush()
assert os.pread(f, 2, 0) == b"ab" and os.fstat(f).st_nlink == 0
assert os.fstat(f).st_size == 10000
m.close(); os.close(f)
# Locks between two descriptors.
a, b = os.open("lock", os.O_RDWR | os.O_CREAT), os.open("lock", os.O_RDWR)
fcntl.flock(a, fcntl.LOCK_EX)
try:
    fcntl.flock(b, fcntl.LOCK_EX | fcntl.LOCK_NB); assert False
except BlockingIOError:
    pass
pid = os.fork()
if pid == 0:
    c = os.open("plock", os.O_RDWR | os.O_CREAT); fcntl.lockf(c, fcntl.LOCK_EX); os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
# Holes.
h = os.open("holes", os.O_RDWR | os.O_CREAT)
os.ftruncate(h, 1 << 20); os.pwrite(h, b"x", 900000)
assert os.lseek(h, 0, os.SEEK_DATA) > 800000 or os.environ.get("BELLJAR_TEST_MODE") == "write-back"
assert os.fstat(h).st_blocks < 100
os.posix_fallocate(h, 0, 8192); assert os.fstat(h).st_blocks >= 16
# A read-only new file stays writable for its creator, even with many others open.
g = os.open("object", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o444)
for n in range(300):
    os.close(os.open("f%d" % n, os.O_WRONLY | os.O_CREAT)); open("f%d" % n, "w").write("x")
os.write(g, b"late"); assert open("object").read() == "late"
assert stat.S_IMODE(os.fstat(g).st_mode) == 0o444
# A removed directory one stands in.
os.mkdir("cwd"); os.chdir("cwd"); os.rmdir("../cwd")
assert os.listdir(".") == []
try:
    open("no", "w"); assert False
except FileNotFoundError:
    pass
os.chdir("..")if False else os.chdir(os.environ["ROOT"])
# No temporary file without a name here: a clean refusal.
try:
    os.open(".", os.O_TMPFILE | os.O_RDWR); assert False
except OSError as e:
    assert e.errno == errno.EOPNOTSUPP
# fifo, socket, copy_file_range, append, xattrs, times
os.mkfifo("fifo"); assert stat.S_ISFIFO(os.lstat("fifo").st_mode)
import socket
s = socket.socket(socket.AF_UNIX); s.bind("sock"); s.listen(1)
t = socket.socket(socket.AF_UNIX); t.connect("sock"); t.close(); s.close()
i, o = os.open("object", os.O_RDONLY), os.open("copy", os.O_RDWR | os.O_CREAT)
assert os.copy_file_range(i, o, 4) == 4 and open("copy").read() == "late"
ap = os.open("copy", os.O_WRONLY | os.O_APPEND)
for n in range(100): os.write(ap, b"!")
assert os.path.getsize("copy") == 104
os.setxattr("copy", "user.k", b"v"); assert os.getxattr("copy", "user.k") == b"v" and os.listxattr("copy") == ["user.k"]
try:
    os.setxattr("copy", "user.overlay.opaque", b"y"); assert False
except PermissionError:
    pass
os.utime("copy", ns=(-1500000000, 1234567890123456789)); assert os.stat("copy").st_mtime_ns == 1234567890123456789
try:
    os.mknod("dev", stat.S_IFCHR | 0o600, 0); assert False
except PermissionError:
    pass
names = ["d%d" % n for n in range(3000)]
os.mkdir("many")
for n in names: open("many/" + n, "w").close()
assert sorted(os.listdir("many")) == sorted(names)
for n, e in enumerate(os.scandir("many")):
    os.unlink(e.path)
assert os.listdir("many") == []
"#;
    bench.mounted(|root| {
        std::fs::write(root.join("t.py"), script).unwrap();
        sh(root, "ROOT=$PWD python3 t.py");
    });
    assert_eq!(std::fs::read(bench.host().join("low")).unwrap(), vec![b'.'; 10_000]);
}

#[test]
fn an_unlinked_file_is_still_a_whole_file() {
    let bench = Bench::new();
    sh(&bench.host(), "for n in $(seq 300); do echo low > l$n; done");
    let script = r#"
import os, stat
def use(f, text):
    s = os.fstat(f)
    assert s.st_nlink == 0 and os.pread(f, 100, 0) == text, (s, text)
    os.fchmod(f, 0); os.utime(f, ns=(5, 7)); os.setxattr(f, "user.k", b"v"); os.pwrite(f, b"more", 3); os.fsync(f)
    s = os.fstat(f)
    assert stat.S_IMODE(s.st_mode) == 0 and os.getxattr(f, "user.k") == b"v" and os.listxattr(f) == ["user.k"]
    assert os.pread(f, 100, 0) == text[:3] + b"more", os.pread(f, 100, 0)
    os.ftruncate(f, 2); assert os.fstat(f).st_size == 2 and os.pread(f, 9, 0) == text[:2]
    os.fchown(f, os.getuid(), os.getgid()); os.close(f)
# More than are kept by a descriptor: new ones, and the host's.
new = [os.open("n%d" % n, os.O_RDWR | os.O_CREAT) for n in range(300)]
for n, f in enumerate(new): os.write(f, b"new"); os.unlink("n%d" % n)
low = [os.open("l%d" % n, os.O_RDWR) for n in range(1, 301)]
for n in range(1, 301): os.unlink("l%d" % n)
# Replaced by a rename.
old = []
for n in range(200):
    with open("r", "w") as f: f.write("old%d" % n)
    old.append(os.open("r", os.O_RDWR))
    with open("t", "w") as f: f.write("x")
    os.rename("t", "r")
for f in new: use(f, b"new")
for f in low: use(f, b"low\n")
for n, f in enumerate(old): use(f, b"old%d" % n)
assert os.listdir(".") == ["r"] and os.stat("r").st_nlink == 1
# One of two names goes, comes back by the other.
open("a", "w").write("both"); os.link("a", "b"); f = os.open("a", os.O_RDWR); os.unlink("a")
assert os.fstat(f).st_nlink == 1; os.unlink("b"); use(f, b"both")
"#;
    bench.mounted(|root| {
        let out = std::process::Command::new("python3").arg("-c").arg(script).current_dir(root).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    });
}

/// This program's own tests once more, as if every view were served in `mode`.
fn in_mode(mode: belljar_overlay::Mode) {
    let again = [
        "what_is_written_stays_above",
        "git_works_and_its_index_stays_valid",
        "tar_make_cp_and_rm",
        "shared_memory_locks_holes_and_open_files",
        "an_unlinked_file_is_still_a_whole_file",
        "large_files_change_under_their_readers",
    ];
    let exe = std::env::current_exe().unwrap();
    let output = std::process::Command::new("timeout")
        .arg("300")
        .arg(exe)
        .args(["--exact", "--test-threads=2"])
        .args(again)
        .env(common::MODE, mode.name())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("6 passed"), "{said}");
}

#[test]
fn also_with_opens_told() {
    in_mode(belljar_overlay::Mode::WriteThrough);
}

#[test]
fn also_with_the_kernels_write_cache() {
    in_mode(belljar_overlay::Mode::WriteBack);
}

#[test]
fn also_with_passthrough() {
    in_mode(belljar_overlay::Mode::Passthrough);
}

#[test]
fn thousands_of_files_and_few_descriptors() {
    const INSIDE: &str = "BELLJAR_TEST_FEW_DESCRIPTORS";
    if std::env::var_os(INSIDE).is_none() {
        let output = std::process::Command::new("timeout")
            .args(["300", "prlimit", "--nofile=512:512", "--"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "thousands_of_files_and_few_descriptors"])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        return assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let bench = Bench::new();
    for dir in 0..1_000 {
        let dir = bench.host().join(format!("d{dir}"));
        std::fs::create_dir(&dir).unwrap();
        (0..4).for_each(|n| std::fs::write(dir.join(n.to_string()), b"x").unwrap());
    }
    bench.run(
        "test $(find . -type f -size -2 | wc -l) = 4000; test $(grep -rl x d1 d22 d333 | wc -l) = 12
         for d in d1?? d2?? d3?? d4?? d5??; do echo y >> $d/1; mkdir $d/new; echo z > $d/new/z; done; rm d*/2
         mv d1/3 d100/new; test $(cat d*/1 | grep -c y) = 500; test $(cat d*/new/z d*/new/3 | wc -c) = 1001
         rm -rf d??; test $(find . -type f | wc -l) = 3230",
    );
}

#[test]
fn large_files_change_under_their_readers() {
    let bench = Bench::new();
    for name in ["big", "cut", "gone", "moved"] {
        std::fs::write(bench.host().join(name), vec![b'.'; 3 << 20]).unwrap();
    }
    let script = r#"
import os, mmap
def reader(name): return os.open(name, os.O_RDONLY)
early = {name: reader(name) for name in ["big", "cut", "gone", "moved"]}
for f in early.values(): assert os.pread(f, 3, 1 << 20) == b"..." and os.fstat(f).st_size == 3 << 20
# Written while somebody reads it: every later open sees it, and what was written stays.
w = os.open("big", os.O_RDWR); os.pwrite(w, b"new", 1 << 20)
late = reader("big")
assert os.pread(late, 3, 1 << 20) == b"new" and os.pread(w, 3, 1 << 20) == b"new"
m = mmap.mmap(w, 3 << 20); m[0:3] = b"map"; m.flush()
assert os.pread(late, 3, 0) == b"map"; m.close()
os.ftruncate(w, 2 << 20); assert os.fstat(late).st_size == 2 << 20 and os.stat("big").st_size == 2 << 20
os.close(w)
w = os.open("big", os.O_WRONLY | os.O_APPEND); os.write(w, b"tail"); os.close(w)
assert os.pread(late, 9, 2 << 20) == b"tail" and os.stat("big").st_size == (2 << 20) + 4
os.truncate("cut", 5); assert os.stat("cut").st_size == 5 and open("cut", "rb").read() == b"....."
with open("cut", "r+b") as f: f.write(b"CUT")
assert open("cut", "rb").read() == b"CUT.."
os.unlink("gone"); assert os.pread(early["gone"], 3, 0) == b"..." and not os.path.exists("gone")
os.rename("moved", "there"); w = os.open("there", os.O_RDWR); os.pwrite(w, b"x", 7); os.close(w)
assert open("there", "rb").read(9) == b".......x." and os.listdir(".").count("there") == 1
for f in early.values(): os.fstat(f); os.pread(f, 3, 0); os.close(f)
# New and large, then by other names and descriptors.
with open("new", "wb") as f:
    for n in range(8): f.write(bytes([n]) * (1 << 20))
os.link("new", "new2"); r = reader("new2"); w = os.open("new", os.O_RDWR)
assert os.pread(r, 1, 5 << 20) == bytes([5]); os.pwrite(w, b"!", 5 << 20)
assert os.pread(r, 1, 5 << 20) == b"!" and open("new2", "rb").read()[5 << 20] == 33
os.unlink("new"); os.unlink("new2"); os.pwrite(w, b"?", 0); assert os.pread(r, 1, 0) == b"?"
"#;
    bench.mounted(|root| {
        let out = std::process::Command::new("python3").arg("-c").arg(script).current_dir(root).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    });
    let overlay = bench.overlay();
    let plan = overlay.plan_apply(&belljar_overlay::Selection::All).unwrap();
    assert_eq!(overlay.apply(plan).unwrap().left, 0);
    assert_eq!(sh(&bench.host(), "ls; head -c 5 cut; stat -c %s big"), "big\ncut\nthere\nCUT..2097156\n");
}

#[test]
fn hidden_paths_are_not_there_and_tries_are_told() {
    let mut bench = Bench::new();
    sh(&bench.host(), "mkdir .ssh; echo key > .ssh/id; echo pw > .netrc; echo ok > seen");
    let hide = |path: &str, rule: &str| model::Hidden { path: bench.host().join(path).into(), rule: rule.into() };
    bench.hidden = vec![hide(".ssh", "secrets/ssh"), hide(".netrc", "secrets/netrc")];
    let (out, observed) = bench.mounted(|root| {
        sh(root, "ls -A; find . >/dev/null; no cat .netrc 2>/dev/null; no cat .ssh/id 2>/dev/null; test -z \"$(ls -A .ssh)\"; no rmdir .ssh 2>/dev/null; echo mine > .netrc")
    });
    assert_eq!(out, ".ssh\nseen\n");
    let seen: Vec<_> = observed.attempts.iter().map(|a| (a.target.to_string(), a.rule.as_str())).collect();
    let root = bench.host().display().to_string();
    for (path, rule) in [(".netrc", "secrets/netrc"), (".ssh", "secrets/ssh"), (".ssh/id", "secrets/ssh")] {
        assert!(seen.contains(&(format!("{root}/{path}"), rule)), "{seen:?}");
    }
    let overlay = bench.overlay();
    let refused = overlay.plan_apply(&belljar_overlay::Selection::All).unwrap_err();
    assert!(matches!(refused, belljar_overlay::ApplyError::Conflicts(_)), "{refused:?}");
    assert_eq!(sh(&bench.host(), "cat .netrc .ssh/id"), "pw\nkey\n");
}

#[test]
fn edits_of_the_host_are_seen() {
    let bench = Bench::new();
    sh(&bench.host(), "echo one > f; mkdir d; ln f g");
    let host = bench.host();
    // The host as everybody else sees it, not under the mount.
    let outside = nix::fcntl::open(&host, nix::fcntl::OFlag::O_PATH, nix::sys::stat::Mode::empty()).unwrap();
    let outside = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&outside));
    bench.mounted(|root| {
        assert_eq!(sh(root, "cat f; ls d"), "one\n");
        sh(
            std::path::Path::new("/"),
            &format!("echo second > {outside}/f; echo n > {outside}/d/new; rm {outside}/g; echo r > {outside}/g"),
        );
        std::thread::sleep(std::time::Duration::from_millis(5_200));
        assert_eq!(sh(root, "cat f; cat d/new; ls d; cat g"), "second\nn\nnew\nr\n");
    });
}

#[test]
fn two_views_nest_in_one_process() {
    let outer = Bench::new();
    sh(&outer.host(), "mkdir -p src/ws; echo o > src/o; echo w > src/ws/w");
    let stores = tempfile::tempdir().unwrap();
    let ws = outer.host().join("src/ws");
    let make = |root: &std::path::Path, name: &str, nested: Vec<model::FilePath>| {
        belljar_overlay::Overlay::create(&belljar_overlay::Spec {
            root: root.into(),
            dir: stores.path().join(name),
            hidden: Vec::new(),
            nested,
            id: name.into(),
        })
        .unwrap()
    };
    let (home, inner) = (make(&outer.host(), "home", vec![ws.clone().into()]), make(&ws, "ws", Vec::new()));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
            let private = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
            nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
            let first = common::serve_on(&home, &outer.host());
            let second = common::serve_on(&inner, &ws);
            sh(&outer.host(), "echo O > src/o; echo W > src/ws/w; no mv src moved 2>/dev/null; no rmdir src/ws 2>/dev/null; cat src/ws/w");
            for root in [&ws, &outer.host()] {
                nix::mount::umount2(root, nix::mount::MntFlags::MNT_DETACH).unwrap();
            }
            first.finish().unwrap();
            second.finish().unwrap();
        });
    });
    let names = |overlay: &belljar_overlay::Overlay| {
        overlay.changes().unwrap().changes.iter().map(|c| c.path.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&home), [outer.host().join("src/o").display().to_string()]);
    assert_eq!(names(&inner), [ws.join("w").display().to_string()]);
}

/// What is applied to a directory that is itself a view goes to that view's layer, and from there to the host.
#[test]
fn a_view_over_a_view() {
    const CHANGE: &str =
        "echo more >> a; mkdir n; echo n > n/n; mv d e; rm -r gone; ln a a2; chmod 600 kept; ln -s a l";
    const LIST: &str = "find . -type d -printf '%p %m\\n' -o -printf '%p %y %m %n %s %l\\n' | sort; cat a";
    let outer = Bench::new();
    let fill = "mkdir -p ws/d ws/gone/x; cd ws; echo old > a; echo f > d/f; echo g > gone/g; echo k > kept";
    sh(&outer.host(), fill);
    let twin = tempfile::tempdir().unwrap();
    sh(twin.path(), fill);
    sh(&twin.path().join("ws"), CHANGE);
    let tree = |root: &std::path::Path| sh(root, &format!("{LIST}; cat n/n e/f kept"));
    let ws = outer.host().join("ws");
    let old = sh(&ws, LIST);
    let stores = tempfile::tempdir().unwrap();
    outer.mounted(|_| {
        let inner = belljar_overlay::Overlay::create(&belljar_overlay::Spec {
            root: ws.clone().into(),
            dir: stores.path().join("inner"),
            hidden: Vec::new(),
            nested: Vec::new(),
            id: "inner".into(),
        })
        .unwrap();
        let served = common::serve_on(&inner, &ws);
        sh(&ws, CHANGE);
        let seen = tree(&ws);
        nix::mount::umount2(&ws, nix::mount::MntFlags::MNT_DETACH).unwrap();
        served.finish().unwrap();
        assert_eq!(seen, tree(&twin.path().join("ws")));
        let all = belljar_overlay::Selection::All;
        inner.apply(inner.plan_apply(&all).unwrap()).unwrap();
        inner.undo(inner.plan_undo().unwrap()).unwrap();
        assert_eq!(sh(&ws, LIST), old, "undone");
        inner.apply(inner.plan_apply(&all).unwrap()).unwrap();
        assert_eq!(tree(&ws), seen, "in the outer view");
    });
    assert_eq!(sh(&ws, LIST), old, "nothing of it is on the host yet");
    let overlay = outer.overlay();
    overlay.apply(overlay.plan_apply(&belljar_overlay::Selection::All).unwrap()).unwrap();
    assert_eq!(tree(&ws), tree(&twin.path().join("ws")));
}

/// Does something to a view that is mounted where nobody else sees it.
fn while_mounted(bench: &Bench, f: impl FnOnce(belljar_overlay::Served) + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
            let private = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
            nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
            f(common::serve_on(&bench.overlay(), &bench.host()));
            nix::mount::umount2(&bench.host(), nix::mount::MntFlags::MNT_DETACH).unwrap();
        });
    });
}

#[test]
fn a_view_that_stays_mounted_is_frozen() {
    let bench = Bench::new();
    sh(&bench.host(), "echo one > f");
    while_mounted(&bench, |served| {
        let ended = served.finish();
        assert!(matches!(ended, Err(belljar_overlay::OverlayError::StillMounted { .. })));
        assert!(std::fs::write(bench.host().join("f"), "late").is_err());
    });
    assert!(bench.overlay().is_untouched().unwrap());
}

/// What processes wrote that have ended is there, though the view is mounted; whoever comes later is refused.
#[test]
fn a_view_that_nobody_uses_is_not_waited_for() {
    const SCRIPT: &str = "echo two > f; rm gone; mkdir d; python3 -c '
import mmap, os
os.ftruncate(fd := os.open(\"mapped\", os.O_RDWR | os.O_CREAT), 4096)
mmap.mmap(fd, 4096)[:5] = b\"three\"
os._exit(0)'";
    let bench = Bench::new();
    sh(&bench.host(), "echo one > f; echo x > gone");
    while_mounted(&bench, |served| {
        sh(&bench.host(), SCRIPT);
        served.finish_unused().unwrap();
        for late in ["f", "d/late", "mapped"] {
            assert!(std::fs::write(bench.host().join(late), "late").is_err(), "{late}");
        }
    });
    let overlay = bench.overlay();
    let found: Vec<String> = overlay.changes().unwrap().changes.iter().map(|change| change.path.to_string()).collect();
    let found: Vec<&str> = found.iter().filter_map(|path| path.rsplit('/').next()).collect();
    assert_eq!(found, ["d", "f", "gone", "mapped"]);
    overlay.apply(overlay.plan_apply(&belljar_overlay::Selection::All).unwrap()).unwrap();
    assert_eq!(std::fs::read_to_string(bench.host().join("f")).unwrap(), "two\n");
    assert!(std::fs::read(bench.host().join("mapped")).unwrap().starts_with(b"three\0"));
}

/// The view as an ordinary run has it: mounted and served inside a user namespace, without any right outside.
#[test]
fn in_a_user_namespace() {
    const INSIDE: &str = "BELLJAR_TEST_IN_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        let bench = Bench::new();
        sh(&bench.host(), "mkdir ro; echo x > ro/f; chmod 555 ro; echo y > g; chmod 400 g");
        bench.run(
            "chmod u+w g; echo z >> g; rm -f ro/f || true; mkdir d; chmod 000 d; chmod 700 d; echo k > d/k
             git init -q r; cd r; git config user.email a@b; git config user.name n; echo 1 > f; git add f; git commit -qm m; cd ..
             rm -rf r; mv d D; no mknod c c 0 0 2>/dev/null",
        );
        let overlay = bench.overlay();
        let plan = overlay.plan_apply(&belljar_overlay::Selection::All).unwrap();
        assert_eq!(overlay.apply(plan).unwrap().left, 0);
        assert_eq!(sh(&bench.host(), "cat g D/k"), "y\nz\nk\n");
        return;
    }
    let exe = std::env::current_exe().unwrap();
    let output = std::process::Command::new("timeout")
        .args(["120", "unshare", "--user", "--map-root-user", "--mount", "--"])
        .arg(exe)
        .args(["--exact", "in_a_user_namespace", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Mounted in a user namespace by another process, served from outside it, as a jar is.
#[test]
fn served_from_outside_the_namespace() {
    use rustix::net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    };
    use std::io::{IoSlice, IoSliceMut};
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd as _;
    const SPACE: usize = rustix::cmsg_space!(ScmRights(1));
    const AT: &str = "BELLJAR_TEST_MOUNT_AT";
    if let Some(at) = std::env::var_os(AT) {
        let at = std::path::PathBuf::from(at);
        let fuse = common::mount_fuse(&at);
        let socket = std::os::unix::net::UnixStream::connect(at.with_file_name("socket")).unwrap();
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [fuse.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        rustix::net::sendmsg(&socket, &[IoSlice::new(b"f")], &mut control, SendFlags::empty()).unwrap();
        drop(fuse);
        sh(
            &at,
            "test \"$(cat f)\" = one; echo two > f; mkdir d; echo x > d/y; cp -a d e; mv d D; rm -rf e; test $(stat -c %u f) = 0; test $(stat -c %u D/y) = 0",
        );
        return;
    }
    let bench = Bench::new();
    sh(&bench.host(), "echo one > f");
    let listener = std::os::unix::net::UnixListener::bind(bench.host().with_file_name("socket")).unwrap();
    let child = std::process::Command::new("timeout")
        .args(["60", "unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "served_from_outside_the_namespace", "--test-threads=1"])
        .env(AT, bench.host())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let (socket, _) = listener.accept().unwrap();
    let (mut byte, mut space) = ([0; 1], [MaybeUninit::uninit(); SPACE]);
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(&socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let Some(RecvAncillaryMessage::ScmRights(mut fds)) = control.drain().next() else { panic!("no descriptor") };
    let fuse = fds.next().unwrap();
    let served = bench.overlay().serve(fuse).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    served.finish().unwrap();
    let changes = bench.overlay().changes().unwrap().changes;
    let names: Vec<_> = changes.iter().map(|c| c.path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["D", "y", "f"]);
    assert_eq!(sh(&bench.host(), "cat f"), "one\n");
}

/// Access lists of the host: the child sees mode bits and is told that there are no lists, and what it changes still has
/// its list on the host afterwards.
#[test]
fn access_lists_of_the_host_survive() {
    let bench = Bench::new();
    let host = bench.host();
    sh(
        &host,
        "mkdir d e; echo old > f; echo old > d/g; echo old > moved
         setfacl -m u:1234:rw,g:2345:r f d/g moved; setfacl -m u:1234:rwx d; setfacl -d -m u:1234:rwx,g:2345:rx d",
    );
    let lists = |files: &str| sh(&host, &format!("getfacl -n --absolute-names {files} | grep -v '^# file'"));
    let before = lists("f d/g moved d");
    bench.run(
        "echo new > f; echo more >> d/g; mv moved e/moved; echo n > d/n; touch d
         if setfacl -m u:1234:r f 2>/dev/null; then exit 1; fi
         if getfacl -c f | grep -q 1234; then exit 2; fi; cp -a f copy; test $(stat -c %a copy) = 664",
    );
    assert_eq!(lists("f d/g moved d"), before);
    let overlay = bench.overlay();
    let plan = overlay.plan_apply(&belljar_overlay::Selection::All).unwrap();
    assert_eq!(overlay.apply(plan).unwrap().left, 0);
    assert_eq!(lists("f d/g e/moved d"), before);
    // A new file takes part in the list of its directory, as far as its mode lets it.
    assert!(lists("d/n").contains("user:1234:rwx"), "{}", lists("d/n"));
    assert_eq!(sh(&host, "cat f d/g e/moved"), "new\nold\nmore\nold\n");
}

/// `BELLJAR_ENTRIES=1000000` for the long run, which takes five minutes; tells its times there.
fn entries() -> usize {
    std::env::var("BELLJAR_ENTRIES").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000)
}

/// A host directory with very many names: listed whole, each name once, while some go and others come; and one as large
/// that the jar makes.
#[test]
fn a_directory_of_very_many_names() {
    let bench = Bench::new();
    let script = r#"
import os, sys, time
count, few = int(sys.argv[2]), 1000
begun = time.time()
def tell(what):
    global begun
    now = time.time()
    sys.stderr.write("%s %.2f s\n" % (what, now - begun))
    begun = now
def fill(where, names):
    os.mkdir(where)
    dir = os.open(where, os.O_RDONLY)
    for n in names:
        os.mknod("%07d" % n, 0o644, dir_fd=dir)
    os.close(dir)
if sys.argv[1] == "host":
    fill("big", range(count))
    tell("made %d" % count)
    sys.exit()
names = os.listdir("big")
assert len(names) == count and len(set(names)) == count, len(names)
tell("listed %d" % count)
assert len(os.listdir("big")) == count
tell("listed again")
assert not os.path.exists("big/absent") and os.stat("big/%07d" % (count - 1)).st_size == 0
try:
    os.rmdir("big"); assert False
except OSError as e:
    pass
tell("lookups and a refused rmdir")
# A reader at work while names come and go: those that stay are told once each.
seen = []
with os.scandir("big") as reader:
    for n, entry in enumerate(reader):
        seen.append(entry.name)
        if n == 10:
            for k in range(few):
                os.unlink("big/%07d" % k)
                os.mknod("big/new%d" % k, 0o600)
                os.rename("big/%07d" % (few + k), "big/moved%d" % k)
stayed = [name for name in seen if name.isdigit() and int(name) >= 2 * few]
assert len(stayed) == len(set(stayed)) == count - 2 * few, (len(stayed), len(set(stayed)))
tell("listed while %d changed" % (3 * few))
open("big/%07d" % (count // 2), "w").write("x")
names = set(os.listdir("big"))
assert len(names) == count and "moved7" in names and "new7" in names and "0000007" not in names
tell("listed after it")
mine = min(count, 100_000)
fill("own", range(mine))
assert len(os.listdir("own")) == mine
tell("made and listed %d in the view" % mine)
for name in os.listdir("own"):
    os.unlink("own/" + name)
os.rmdir("own")
tell("removed them")
os.rename("big", "large")
assert len(os.listdir("large")) == count
tell("renamed and listed it")
"#;
    let path = bench.dir.path().join("s.py");
    std::fs::write(&path, script).unwrap();
    let count = entries();
    let told = |what: &str| format!("python3 -B {} {what} {count} 2>&1", path.display());
    let mut lines = sh(&bench.host(), &told("host"));
    lines += &bench.run(&told("view"));
    let overlay = bench.overlay();
    let begun = std::time::Instant::now();
    let changes = overlay.changes().unwrap().changes.len();
    lines += &format!("{changes} changes told {:.2?}\n", begun.elapsed());
    // The rename of the directory; in it 1,000 names gone, 1,000 new, 1,000 renamed, which are a new name and one that
    // is gone below a directory that was renamed itself, and one written.
    assert_eq!(changes, 4_002);
    let begun = std::time::Instant::now();
    let plan = overlay.plan_apply(&belljar_overlay::Selection::All).unwrap();
    assert_eq!(overlay.apply(plan).unwrap().left, 0);
    lines += &format!("applied {:.2?}\n", begun.elapsed());
    let names = std::fs::read_dir(bench.host().join("large")).unwrap().count();
    assert_eq!((names, bench.host().join("big").exists()), (count, false));
    eprint!("{lines}");
}

/// As many names as the file system below lets one file have, then the error of link(2); ext4 has 65,000.
#[test]
#[ignore = "some 65,000 links; takes a minute or two"]
fn as_many_links_as_there_may_be() {
    let bench = Bench::new();
    let script = "
import os, errno
os.mkdir('links'); open('links/f', 'w').write('x')
n = 1
try:
    while n < 66_000:
        os.link('links/f', 'links/%d' % n); n += 1
    print(n, os.stat('links/f').st_nlink, 'no limit')
except OSError as e:
    print(n, os.stat('links/f').st_nlink, errno.errorcode[e.errno])
for k in range(1, n):
    os.unlink('links/%d' % k)
print(os.stat('links/f').st_nlink, open('links/f').read())
";
    let path = bench.dir.path().join("s.py");
    std::fs::write(&path, script).unwrap();
    let twin = bench.dir.path().join("twin");
    std::fs::create_dir(&twin).unwrap();
    let native = sh(&twin, &format!("python3 -B {}", path.display()));
    assert_eq!(bench.run(&format!("python3 -B {}", path.display())), native);
    eprintln!("{native}");
}

/// Runs scripts beside the view, in the host directory that it covers.
struct HostSide {
    dir: std::fs::File,
}

impl HostSide {
    fn of(bench: &Bench) -> HostSide {
        HostSide { dir: std::fs::File::open(bench.host()).unwrap() }
    }

    fn sh(&self, script: &str) -> String {
        sh(Path::new(&format!("/proc/self/fd/{}", self.dir.as_raw_fd())), script)
    }
}

/// Waits until the script succeeds in the view; how long that took.
#[track_caller]
fn seen(root: &Path, script: &str) -> Duration {
    let start = Instant::now();
    while !common::sh_output(root, script).status.success() {
        assert!(start.elapsed() < Duration::from_secs(3), "not seen: {script}");
    }
    start.elapsed()
}

#[test]
fn what_the_host_changes_is_seen_at_once() {
    let bench = Bench::new();
    sh(
        &bench.host(),
        "mkdir -p d/e/f moved/in; echo one > d/e/file; echo two > d/other; echo low > d/kept; echo x > moved/in/x
         echo top > top; ln d/other d/e/linked; echo old > d/target",
    );
    let host = HostSide::of(&bench);
    bench.mounted(|root| {
        // Nothing is watched for what a short command asks.
        std::thread::sleep(Duration::from_millis(350));
        let warm = "find . -ls >/dev/null; cat d/e/file d/kept moved/in/x top >/dev/null; no test -e d/absent
             no test -e absent; no test -e d/e/f/absent; ls . d d/e d/e/f >/dev/null; test $(stat -c %a d/e/file) = 644";
        sh(root, &format!("echo own >> d/kept; {warm}; {warm}"));
        let mut open = std::fs::File::open(root.join("d/e/file")).unwrap();
        let edits = [
            // Content, in place and with the same size.
            ("echo uno > d/e/file", "test $(cat d/e/file) = uno"),
            // Attributes.
            ("chmod 600 d/e/file", "test $(stat -c %a d/e/file) = 600"),
            ("chmod 700 d/e", "test $(stat -c %a d/e) = 700"),
            // A name that was absent.
            ("echo here > d/absent", "test $(cat d/absent) = here; ls d | grep -q absent"),
            ("mkdir absent; echo 1 > absent/1", "test $(cat absent/1) = 1; ls | grep -q absent"),
            ("echo deep > d/e/f/absent", "test $(cat d/e/f/absent) = deep; test $(ls d/e/f) = absent"),
            // Another file under the name.
            ("echo new > tmp; mv tmp d/target", "test $(cat d/target) = new"),
            ("rm d/absent", "no test -e d/absent; no sh -c 'ls d | grep -q absent'"),
            ("rm top", "no test -e top; no sh -c 'ls | grep -q top'"),
            // Directories that go and come back with other content.
            ("mv moved away; echo y > away/in/y; rm away/in/x", "test $(cat away/in/y) = y; no test -e moved"),
            ("mv away moved", "test $(cat moved/in/y) = y; no test -e moved/in/x; test $(ls moved/in) = y"),
            ("rm -r d/e/f", "no test -e d/e/f"),
            ("mkdir -p d/e/f/g; echo h > d/e/f/g/h", "test $(cat d/e/f/g/h) = h"),
            ("ln -s d link", "test $(readlink link) = d"),
        ];
        let mut slowest = Duration::ZERO;
        for (edit, check) in edits {
            host.sh(edit);
            slowest = slowest.max(seen(root, &format!("{check}; find . -ls >/dev/null")));
            sh(root, "test \"$(cat d/kept)\" = 'low\nown'");
        }
        // Well below what is believed without a watch.
        assert!(slowest < Duration::from_secs(2), "{slowest:?}");
        // Who has the file open sees it too.
        host.sh("printf more >> d/e/file");
        let start = Instant::now();
        while open.metadata().unwrap().len() != 8 {
            assert!(start.elapsed() < Duration::from_secs(3));
        }
        let mut text = String::new();
        open.read_to_string(&mut text).unwrap();
        assert_eq!(text, "uno\nmore");
        // What the jar has of its own is its own.
        host.sh("echo host > d/kept; chmod 600 d/kept; rm d/kept; echo again > d/kept");
        std::thread::sleep(Duration::from_millis(150));
        sh(root, "test \"$(cat d/kept)\" = 'low\nown'; test $(stat -c %a d/kept) = 644");
    });
}

#[test]
fn the_host_s_changes_do_not_disturb_who_stands_in_a_directory() {
    let bench = Bench::new();
    sh(&bench.host(), "mkdir -p d/e; echo one > d/e/file");
    let host = HostSide::of(&bench);
    bench.mounted(|root| {
        std::thread::sleep(Duration::from_millis(350));
        let mut inside = Command::new("sh")
            .arg("-euc")
            .arg("cd d/e; ls >/dev/null; cat file >/dev/null; ls >/dev/null; echo ready; read line; test \"$(/bin/pwd)\" = \"$1/d/e\"; cat file; echo more >> file; ls ../e")
            .args(["sh", root.to_str().unwrap()])
            .current_dir(root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(inside.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        host.sh("chmod 750 d/e; touch d d/e; echo two > d/e/file; touch d/e/x; rm d/e/x");
        std::thread::sleep(Duration::from_millis(150));
        writeln!(inside.stdin.take().unwrap()).unwrap();
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert!(inside.wait().unwrap().success());
        assert_eq!(rest, "two\nfile\n");
    });
    assert_eq!(std::fs::read_to_string(bench.host().join("d/e/file")).unwrap(), "two\n");
}
