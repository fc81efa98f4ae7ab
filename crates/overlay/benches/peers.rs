//! The view beside its peers, in interleaved runs on a loop ext4 with a journal: native, kernel overlayfs, every
//! fuse-overlayfs that is found, and ours in its modes. Prints for each workload the median and the least of the ratios to native.
//!
//! Needs root: `cargo bench -p belljar-overlay --bench peers [-- WORKLOAD...]`. Fetches nothing. From the environment:
//! - `BELLJAR_BENCH_PEERS`: names of the columns, comma-separated; all that are found otherwise.
//! - `BELLJAR_BENCH_FUSE_OVERLAYFS`: programs of fuse-overlayfs, colon-separated, beside the one on the `PATH`.
//! - `BELLJAR_BENCH_RUNS`: runs of each workload (7). `BELLJAR_BENCH_SECONDS`: no workload begins after this (900).
//! - `BELLJAR_BENCH_OLDER`: another build of this bench, which then serves the column `zero-message`: two builds of ours in
//!   one run. That column has to be among the wanted ones.
//! - `BELLJAR_BENCH_FILES`: files of the tree below (20000). `TMPDIR`: where the image of the file system lies, 4 GiB sparse.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code
)]

#[path = "../tests/common/mod.rs"]
mod common;

use belljar_overlay::{Mode, Overlay, Spec, Tuning};
use common::sh;
use nix::mount::{MntFlags, MsFlags};
use nix::sched::CloneFlags;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// First argument of this program when it is one session of one peer.
const SESSION: &str = "--session";

/// A file system that shows a changeable copy of the tree below.
#[derive(Clone)]
struct Peer {
    name: String,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Native,
    Kernel,
    FuseOverlayfs(PathBuf),
    Ours { mode: Mode, user_namespace: bool },
}

impl Peer {
    fn named(name: &str, kind: Kind) -> Peer {
        Peer { name: name.into(), kind }
    }
}

/// All that can be had here.
fn peers() -> Vec<Peer> {
    let ours = |mode, user_namespace| Kind::Ours { mode, user_namespace };
    let mut found = vec![Peer::named("native", Kind::Native), Peer::named("kernel", Kind::Kernel)];
    let extra = std::env::var_os("BELLJAR_BENCH_FUSE_OVERLAYFS").unwrap_or_default();
    let on_path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|dir| dir.join("fuse-overlayfs"))
        .find(|program| program.exists());
    for program in on_path.into_iter().chain(std::env::split_paths(&extra)).filter(|p| p.exists()) {
        let version = Command::new(&program).arg("--version").output().unwrap();
        let said = String::from_utf8_lossy(&version.stdout).into_owned() + &String::from_utf8_lossy(&version.stderr);
        let number = said
            .lines()
            .filter(|line| line.contains("fuse-overlayfs"))
            .flat_map(|line| line.split_whitespace())
            .find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        let name = format!("fo-{}", number.unwrap_or("unknown"));
        found.push(Peer { name, kind: Kind::FuseOverlayfs(program) });
    }
    found.push(Peer::named("user", ours(Mode::default(), true)));
    found.push(Peer::named("root", ours(Mode::default(), false)));
    found.extend(Mode::ALL.map(|mode| Peer::named(mode.name(), ours(mode, false))));
    let Ok(wanted) = std::env::var("BELLJAR_BENCH_PEERS") else {
        found.retain(|peer| !matches!(peer.name.as_str(), "zero-message" | "write-through"));
        return found;
    };
    found.retain(|peer| peer.name == "native" || wanted.split(',').any(|name| name == peer.name));
    found
}

/// Where the parts of a bench lie.
struct Ground {
    disk: PathBuf,
}

impl Ground {
    fn below(&self) -> PathBuf {
        self.disk.join("below")
    }

    fn private(&self, peer: &Peer) -> PathBuf {
        self.disk.join("peers").join(&peer.name)
    }

    /// Where the peer's tree is seen.
    fn seen(&self, peer: &Peer) -> PathBuf {
        self.private(peer).join("seen")
    }
}

/// A shell in the mount namespace of one peer.
struct Session {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    fn start(ground: &Ground, peer: &Peer) -> Session {
        let older = std::env::var_os("BELLJAR_BENCH_OLDER").filter(|_| peer.name == "zero-message");
        let exe = older.map_or_else(|| std::env::current_exe().unwrap(), PathBuf::from);
        let mut command = match &peer.kind {
            Kind::Ours { user_namespace: true, .. } => {
                let mut unshare = Command::new("unshare");
                unshare.args(["--user", "--map-root-user", "--mount", "--"]).arg(exe);
                unshare
            }
            _ => Command::new(exe),
        };
        command.arg(SESSION).arg(&ground.disk).arg(&peer.name);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut session = Session { process, input, output };
        session.run("true").unwrap();
        session
    }

    /// Runs a script; how long that took, unless it failed: a peer that cannot do it gets no figure.
    fn run(&mut self, script: &str) -> Option<Duration> {
        let start = Instant::now();
        writeln!(self.input, "(set -e\n{script}\n) </dev/null >&2; echo done $?").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let took = start.elapsed();
        (line == "done 0\n").then_some(took)
    }

    fn end(mut self) {
        drop(self.input);
        assert!(self.process.wait().unwrap().success());
    }
}

/// The life of a session process: mounts the peer, hands over to a shell, unmounts.
fn be_session(disk: PathBuf, name: &str) {
    let ground = Ground { disk };
    let peer = peers_by_name(name);
    private_namespace();
    let (below, own, seen) = (ground.below(), ground.private(&peer), ground.seen(&peer));
    for part in ["seen", "upper", "work"] {
        std::fs::create_dir_all(own.join(part)).unwrap();
    }
    let layers = format!(
        "lowerdir={},upperdir={},workdir={}",
        below.display(),
        own.join("upper").display(),
        own.join("work").display()
    );
    let detach = || nix::mount::umount2(&seen, MntFlags::MNT_DETACH).unwrap();
    match &peer.kind {
        Kind::Native => shell(&seen),
        Kind::Kernel => {
            nix::mount::mount(Some("overlay"), &seen, Some("overlay"), MsFlags::empty(), Some(layers.as_str()))
                .unwrap();
            shell(&seen);
            detach();
        }
        Kind::FuseOverlayfs(program) => {
            let mut daemon =
                Command::new(program).args(["-f", "-o", &layers]).arg(&seen).stdout(Stdio::null()).spawn().unwrap();
            while std::fs::symlink_metadata(seen.join("ready")).is_err() {
                std::thread::sleep(Duration::from_millis(1));
            }
            shell(&seen);
            detach();
            daemon.wait().unwrap();
        }
        Kind::Ours { mode, .. } => {
            let overlay = our_overlay(&below, &own.join("store"));
            let listed = seen.clone();
            let served = overlay.serve_with(common::mount_fuse(&seen), Tuning::from(*mode)).unwrap();
            std::thread::spawn(move || read_ahead(listed));
            shell(&seen);
            detach();
            served.finish().unwrap();
        }
    }
}

/// Lists the tree as pid 1 of a jar does beside its command.
fn read_ahead(seen: PathBuf) {
    std::thread::sleep(Duration::from_millis(20));
    let mut waiting = std::collections::VecDeque::from([seen]);
    let mut count = 0;
    while let Some(dir) = waiting.pop_front() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            count += 1;
            if count > 50_000 {
                return;
            }
            if count % 64 == 0 {
                let _ = entry.metadata();
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push_back(entry.path());
            }
        }
    }
}

fn peers_by_name(name: &str) -> Peer {
    // The session must find any peer the bench found.
    peers().into_iter().find(|peer| peer.name == name).unwrap()
}

fn our_overlay(below: &Path, store: &Path) -> Overlay {
    if store.exists() {
        return Overlay::open(store).unwrap();
    }
    let spec =
        Spec { root: below.into(), dir: store.to_owned(), hidden: Vec::new(), nested: Vec::new(), id: "bench".into() };
    Overlay::create(&spec).unwrap()
}

fn shell(seen: &Path) {
    assert!(Command::new("sh").current_dir(seen).env("LC_ALL", "C").status().unwrap().success());
}

fn private_namespace() {
    nix::sched::unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
}

/// What is timed.
struct Workload {
    name: &'static str,
    /// Untimed, before each run.
    before: &'static str,
    timed: &'static str,
    /// Each run in a fresh mount.
    fresh: bool,
    /// How long that mount has been there.
    rest: Duration,
    /// A program it cannot do without.
    needs: &'static str,
}

const fn workload(name: &'static str, before: &'static str, timed: &'static str) -> Workload {
    Workload { name, before, timed, fresh: false, rest: Duration::ZERO, needs: "sh" }
}

const WORKLOADS: &[Workload] = &[
    Workload { fresh: true, needs: "git", ..workload("git status, cold", "", "git status --porcelain") },
    Workload {
        fresh: true,
        rest: Duration::from_secs(1),
        needs: "git",
        ..workload("git status, cold, 1 s later", "", "git status --porcelain")
    },
    Workload { needs: "git", ..workload("git status, warm", "git status --porcelain", "git status --porcelain") },
    Workload {
        needs: "git",
        ..workload(
            "git status, 10 s later",
            "git status --porcelain; git status --porcelain; sleep 10",
            "git status --porcelain",
        )
    },
    Workload { needs: "rg", ..workload("rg, warm", "rg -c nothing . || true", "rg -c nothing . || true") },
    workload("grep -r, warm", "grep -rq nothing src || true", "grep -rq nothing src || true"),
    Workload { fresh: true, ..workload("find, cold", "", "find . -size +1M") },
    workload("tar x, 10000 files", "rm -rf out; mkdir out", "tar xf $DISK/tree.tar -C out"),
    workload("rm -rf, 10000 new", "rm -rf out; mkdir out; tar xf $DISK/tree.tar -C out", "rm -rf out"),
    workload("cp -a, 10000 files", "rm -rf copy", "cp -a part copy"),
    Workload { fresh: true, ..workload("rm -rf, 10000 host", "rm -rf part; tar xf $DISK/part.tar", "rm -rf part") },
    Workload { needs: "git", ..workload("git clone", "rm -rf clone", "git clone -q --no-hardlinks . clone") },
    Workload { needs: "cargo", ..workload("cargo build", "rm -rf crate/target", "cd crate; cargo build --offline -q") },
    Workload {
        needs: "npm",
        ..workload(
            "npm install",
            "rm -rf app/node_modules app/package-lock.json app/cache",
            "cd app; npm install --offline --no-audit --no-fund --silent --cache ./cache ../packages/*.tgz",
        )
    },
    Workload { fresh: true, ..workload("read 128 MB, cold", "", "cat large >/dev/null") },
    workload("read 128 MB, warm", "cat large >/dev/null", "cat large >/dev/null"),
    workload("write 128 MB", "rm -f new; sync -f .", "dd if=/dev/zero of=new bs=1M count=128 status=none"),
    workload(
        "overwrite 128 MB",
        "rm -f new; test -e old || cp large old; sync -f .",
        "dd if=/dev/zero of=old bs=1M conv=notrunc count=128 status=none",
    ),
    Workload {
        needs: "fio",
        ..workload(
            "random read 4k",
            "",
            "fio --name=r --filename=large --rw=randread --bs=4k --size=128m --io_size=64m --ioengine=psync --invalidate=0 --readonly",
        )
    },
    Workload {
        needs: "fio",
        ..workload(
            "random write 4k",
            "test -e old || cp large old",
            "fio --name=w --filename=old --rw=randwrite --bs=4k --size=128m --io_size=32m --ioengine=psync --invalidate=0",
        )
    },
    workload(
        "append 20000 lines",
        "rm -f log",
        "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done >> log",
    ),
];

/// The tree below: a git repository, a part without history, one large file, a crate, packages.
fn build(ground: &Ground, files: usize) {
    let below = ground.below();
    std::fs::create_dir_all(&below).unwrap();
    for (tree, count) in [("src", files), ("part", 10_000)] {
        for n in 0..count {
            let dir = below.join(format!("{tree}/d{}/e{}", n / 1_000, n / 100 % 10));
            if n % 100 == 0 {
                std::fs::create_dir_all(&dir).unwrap();
            }
            let line = format!("{tree} {n} some words of a line, as in a source file\n");
            std::fs::write(dir.join(format!("file{n}.txt")), line.repeat(1 + n * 7 % 60)).unwrap();
        }
    }
    sh(
        &below,
        "touch ready
         mkdir -p crate/src app packages/make
         printf '[package]\\nname = \"small\"\\nversion = \"0.1.0\"\\nedition = \"2021\"\\n[workspace]\\n' > crate/Cargo.toml
         for n in $(seq 40); do
             printf 'pub fn f(x: u64) -> Vec<u64> { (0..x).map(|y| y * %d).collect() }\\n' $n > crate/src/m$n.rs
             printf 'mod m%d;\\n' $n >> crate/src/main.rs
         done
         printf 'fn main() { println!(\"{}\", m1::f(3).len()) }\\n' >> crate/src/main.rs
         echo '{\"name\":\"app\",\"version\":\"1.0.0\"}' > app/package.json
         for n in $(seq 20); do
             rm -rf packages/make/package; mkdir -p packages/make/package/lib
             echo \"{\\\"name\\\":\\\"local-$n\\\",\\\"version\\\":\\\"1.0.0\\\"}\" > packages/make/package/package.json
             for f in $(seq 40); do echo \"module.exports = $f;\" > packages/make/package/lib/f$f.js; done
             tar czf packages/p$n.tgz -C packages/make package
         done
         rm -rf packages/make
         dd if=/dev/urandom of=large bs=1M count=128 status=none
         tar cf ../tree.tar -C part .; tar cf ../part.tar part",
    );
    if has("git") {
        sh(
            &below,
            "printf 'part\\nlarge\\napp\\npackages\\nout\\ncopy\\nclone\\nnew\\nold\\nlog\\ncrate/target\\n' > .gitignore
             git init -q .; git config user.email a@b; git config user.name n; git config gc.auto 0
             git add -A; git commit -qm one; git gc -q; sleep 1.1; git status --porcelain",
        );
    }
    sh(&ground.disk, "sync -f .");
}

fn has(program: &str) -> bool {
    let found = |dir: PathBuf| dir.join(program).exists();
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(found)
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    let mut args: Vec<OsString> = std::env::args_os().skip(1).filter(|arg| arg != "--bench").collect();
    if args.first().is_some_and(|arg| arg == SESSION) {
        let name = args.pop().unwrap();
        return be_session(PathBuf::from(args.pop().unwrap()), name.to_str().unwrap());
    }
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("the bench of peers mounts file systems: run it as root");
    }
    private_namespace();
    let dir = tempfile::tempdir().unwrap();
    let ground = Ground { disk: dir.path().join("disk") };
    std::fs::create_dir(&ground.disk).unwrap();
    sh(
        dir.path(),
        "truncate -s 4G image; mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 image; mount -o loop image disk",
    );
    let words: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let done = std::panic::catch_unwind(|| compare(&ground, &words));
    nix::mount::umount2(&ground.disk, MntFlags::MNT_DETACH).unwrap();
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

fn compare(ground: &Ground, words: &[String]) {
    let began = Instant::now();
    let (runs, seconds) = (number("BELLJAR_BENCH_RUNS", 7), number("BELLJAR_BENCH_SECONDS", 900));
    build(ground, number("BELLJAR_BENCH_FILES", 20_000));
    let peers = peers();
    for peer in &peers {
        std::fs::create_dir_all(ground.private(peer)).unwrap();
    }
    let native = ground.seen(&peers[0]);
    sh(&ground.disk, &format!("cp -a below {0}; cd {0}; test ! -d .git || git status --porcelain", native.display()));
    print!("{:<28}{:>10}", "median (least) of x native", "native ms");
    peers.iter().skip(1).for_each(|peer| print!("{:>16}", peer.name));
    println!();
    for workload in WORKLOADS.iter().filter(|w| has(w.needs)) {
        let chosen = words.is_empty() || words.iter().any(|word| workload.name.contains(word.as_str()));
        if chosen && began.elapsed() < Duration::from_secs(seconds as u64) {
            row(ground, &peers, workload, runs);
        }
    }
}

/// Times one workload on every peer in turn, several times over, and prints the ratios.
fn row(ground: &Ground, peers: &[Peer], workload: &Workload, runs: usize) {
    let script = |text: &str| format!("DISK={}\n{text}", ground.disk.display());
    let (before, timed) = (script(workload.before), script(workload.timed));
    let mut sessions: Vec<Option<Session>> = peers.iter().map(|peer| Some(Session::start(ground, peer))).collect();
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); peers.len()];
    for _ in 0..runs {
        for (n, peer) in peers.iter().enumerate() {
            let mut session = sessions[n].take().unwrap();
            let mut ready = session.run(&before);
            if workload.fresh {
                session.end();
                session = Session::start(ground, peer);
                std::thread::sleep(workload.rest);
            }
            ready = ready.and_then(|_| session.run(&timed));
            times[n].push(ready.map_or(f64::NAN, |time| time.as_secs_f64()));
            sessions[n] = Some(session);
        }
    }
    sessions.into_iter().flatten().for_each(Session::end);
    print!("{:<28}{:>10.1}", workload.name, middle(times[0].clone()) * 1e3);
    for own in times.iter().skip(1) {
        let ratios: Vec<f64> = own.iter().zip(&times[0]).map(|(own, native)| own / native).collect();
        if ratios.iter().any(|ratio| ratio.is_nan()) {
            print!("{:>16}", "failed");
            continue;
        }
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        print!("{:>16}", format!("{:.2} ({least:.2})", middle(ratios)));
    }
    println!();
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
