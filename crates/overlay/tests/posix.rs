//! POSIX by comparison: the operations of `posix.py`, on a native directory and in a view over its twin, must tell the
//! same story, as root and as an ordinary user; and so must a server that starts anew on what they left.
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
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use std::ffi::OsString;
use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/posix.py");
/// Names another copy of it, which an ordinary user can reach.
const TABLE_AT: &str = "BELLJAR_POSIX_TABLE";
/// How long a jar may take to be there.
const JAR_WAIT: Duration = Duration::from_secs(60);
/// An id nobody has; the ordinary user need not exist.
const USER: &str = "47110";

fn table_path() -> OsString {
    std::env::var_os(TABLE_AT).unwrap_or_else(|| TABLE.into())
}

fn table(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("timeout")
        .args(["-s", "KILL", "180", "python3", "-B"])
        .arg(table_path())
        .args(arguments)
        .current_dir(dir)
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?} {}\n{out}\n{err}", output.status);
    out.into_owned()
}

fn cases() -> Vec<String> {
    table(Path::new("/"), &["cases"]).lines().map(str::to_owned).collect()
}

/// A bench and its twin, filled alike, and what is in both.
fn furnished() -> (Bench, PathBuf, String) {
    let bench = Bench::new();
    let twin = bench.dir.path().join("twin");
    std::fs::create_dir(&twin).unwrap();
    let both = [bench.host(), twin.clone()].map(|dir| dir.to_str().unwrap().to_owned());
    let listed = table(Path::new("/"), &["furnish", &both[0], &both[1]]);
    (bench, twin, listed)
}

/// What differs between two stories, line by line.
fn differences(who: &str, case: &str, native: &str, view: &str) -> Vec<String> {
    let mut out = Vec::new();
    let (mut left, mut right) = (native.lines(), view.lines());
    loop {
        match (left.next(), right.next()) {
            (None, None) => return out,
            (a, b) if a == b => {}
            (a, b) => {
                let side = |line: Option<&str>| line.unwrap_or("nothing").to_owned();
                out.push(format!("{who}, {case}:\n  native {}\n  view   {}", side(a), side(b)));
            }
        }
    }
}

/// Runs every case; `view` tells the story of one in the view and the one of a fresh server after it.
fn compare(who: &str, view: impl Fn(&Bench, &str) -> (String, String)) {
    let wanted = std::env::var("BELLJAR_POSIX_CASE").ok();
    let mut wrong = Vec::new();
    for case in cases().into_iter().filter(|case| wanted.as_ref().is_none_or(|wanted| wanted == case)) {
        let begun = Instant::now();
        let (bench, twin, host) = furnished();
        let native = table(&twin, &["both", &case]);
        let (native, left) = native.split_once("== after\n").unwrap();
        let (story, rest) = view(&bench, &case);
        wrong.extend(differences(who, &case, native, &story));
        wrong.extend(differences(who, &format!("after {case}"), left, &rest));
        wrong.extend(differences(who, &format!("host under {case}"), &host, &table(&bench.host(), &["after"])));
        // Whatever modes and depths are left, all of it can be removed.
        bench.overlay().discard().unwrap();
        eprintln!("{who} {case} {:?}", begun.elapsed());
        sh(bench.dir.path(), "chmod -R u+rwX . 2>/dev/null || true; rm -rf host twin");
    }
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn like_a_native_directory_for_root() {
    compare("root", |bench, case| {
        let story = bench.mounted(|root| table(root, &["run", case])).0;
        (story, bench.mounted(|root| table(root, &["after"])).0)
    });
}

/// The view as a jar of an ordinary user has it: mounted in a user namespace that maps one id, served from outside by a
/// process with no rights, used by one without any capability.
#[test]
fn like_a_native_directory_for_an_ordinary_user() {
    const INSIDE: &str = "BELLJAR_POSIX_USER";
    const NAME: &str = "like_a_native_directory_for_an_ordinary_user";
    match std::env::var(INSIDE).as_deref() {
        Ok("serve") => {
            return compare("user", |bench, case| {
                (served(bench, NAME, INSIDE, &["run", case]), served(bench, NAME, INSIDE, &["after"]))
            });
        }
        Ok("others") => return compare_others(NAME, INSIDE),
        Ok("jar") => return jar(),
        _ => {}
    }
    as_user(NAME, INSIDE, "serve", Path::new("/tmp"));
    let prepared = tempfile::tempdir().unwrap();
    let places = ["host", "twin"].map(|name| prepared.path().join(name).to_str().unwrap().to_owned());
    sh(prepared.path(), &format!("mkdir host twin; chmod 755 .; chown {USER}:{USER} ."));
    table(Path::new("/"), &["foreign", USER, &places[0], &places[1]]);
    as_user(NAME, INSIDE, "others", prepared.path());
}

/// What others own: root has prepared it, so it is moved under the bench.
fn compare_others(name: &str, inside: &str) {
    const CASE: &str = "of_others";
    let (bench, twin) = (Bench::new(), std::env::temp_dir().join("twin"));
    std::fs::rename(std::env::temp_dir().join("host"), bench.host()).unwrap();
    let native = table(&twin, &["run", CASE]);
    let view = served(&bench, name, inside, &["run", CASE]);
    let wrong = differences("user", CASE, &native, &view);
    assert!(wrong.is_empty() && native.len() > 1_000, "{} differences\n{}", wrong.len(), wrong.join("\n"));
    bench.overlay().discard().unwrap();
}

/// Runs the half `part` of this test as an ordinary user, with a `/dev/fuse` to open: that of the machine may be root's.
fn as_user(name: &str, inside: &str, part: &str, temporary: &Path) {
    let dev = tempfile::tempdir().unwrap();
    // What is built and checked out may lie where only root gets to.
    let tools = tempfile::tempdir().unwrap();
    std::fs::set_permissions(tools.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (program, table) = (tools.path().join("posix"), tools.path().join("posix.py"));
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    std::fs::copy(TABLE, &table).unwrap();
    let output = Command::new("timeout")
        .args(["-s", "KILL", "600", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-euc"])
        .arg(
            "mount -t tmpfs -o mode=0755 dev \"$1\"; mknod -m 0666 \"$1/fuse\" c 10 229; mount --bind \"$1/fuse\" /dev/fuse
             exec setpriv --reuid \"$2\" --regid \"$2\" --clear-groups -- \"$3\" --exact \"$4\" --test-threads=1 --nocapture",
        )
        .arg("sh")
        .arg(dev.path())
        .arg(USER)
        .arg(&program)
        .arg(name)
        .env(TABLE_AT, &table)
        .env(inside, part)
        .env("TMPDIR", temporary)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{told}", String::from_utf8_lossy(&output.stdout));
}

/// Serves the view of `bench` for a process in a namespace of its own; what that tells.
fn served(bench: &Bench, name: &str, inside: &str, arguments: &[&str]) -> String {
    let dir = bench.dir.path();
    let listener = UnixListener::bind(dir.join("socket")).unwrap();
    let mut child = Command::new("unshare")
        .args(["--user", "--map-user", USER, "--map-group", USER, "--keep-caps", "--mount", "--pid", "--fork"])
        .args(["--kill-child", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads=1", "--nocapture"])
        .env(inside, "jar")
        .env("BELLJAR_POSIX_DIR", dir)
        .env("BELLJAR_POSIX_ARGUMENTS", arguments.join(" "))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let Some(socket) = accepted(&listener, &mut child) else {
        let output = child.wait_with_output().unwrap();
        panic!("no jar: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    };
    let served = bench.overlay().serve(receive(&socket)).unwrap();
    let output = child.wait_with_output().unwrap();
    served.finish().unwrap();
    std::fs::remove_file(dir.join("socket")).unwrap();
    let told = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}{}", told.0, told.1);
    let story = std::fs::read_to_string(dir.join("story")).unwrap();
    std::fs::remove_file(dir.join("story")).unwrap();
    story
}

/// The connection of `child`; `None` when it ends before, or takes too long.
fn accepted(listener: &UnixListener, child: &mut Child) -> Option<UnixStream> {
    listener.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    loop {
        match listener.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(false).unwrap();
                return Some(socket);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
        if begun.elapsed() > JAR_WAIT {
            child.kill().unwrap();
        }
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Mounts the view, then runs the table without capabilities.
fn jar() {
    let dir = PathBuf::from(std::env::var_os("BELLJAR_POSIX_DIR").unwrap());
    let host = dir.join("host");
    let fuse = common::mount_fuse(&host);
    let socket = UnixStream::connect(dir.join("socket")).unwrap();
    send(&socket, &fuse);
    drop(fuse);
    let arguments = std::env::var("BELLJAR_POSIX_ARGUMENTS").unwrap();
    let output = Command::new("setpriv")
        .args(["--ambient-caps=-all", "--inh-caps=-all", "--bounding-set=-all", "--", "timeout", "-s", "KILL", "180"])
        .args(["python3", "-B"])
        .arg(table_path())
        .args(arguments.split(' '))
        .current_dir(&host)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments} {}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(dir.join("story"), output.stdout).unwrap();
}

const SPACE: usize = rustix::cmsg_space!(ScmRights(1));

fn send(socket: &UnixStream, fd: &OwnedFd) {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    rustix::net::sendmsg(socket, &[IoSlice::new(b"f")], &mut control, SendFlags::empty()).unwrap();
}

fn receive(socket: &UnixStream) -> OwnedFd {
    let (mut byte, mut space) = ([0; 1], [MaybeUninit::uninit(); SPACE]);
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let Some(RecvAncillaryMessage::ScmRights(mut fds)) = control.drain().next() else { panic!("no descriptor") };
    fds.next().unwrap()
}
