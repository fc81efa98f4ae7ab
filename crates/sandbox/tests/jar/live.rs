//! A jar that lives over many commands.

use crate::world::{User, World};
use crate::{Scene, scene};
use belljar_sandbox::{Command, Live, Mounted, Request, SandboxError, Streams, standby};
use model::{Confinement, Exit, FilePath, Limits};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Enough for what the scenes print.
const KEPT_BYTES: u64 = 1 << 20;

/// `jar-live CONFINEMENT LIMITS`: runs the shell lines of standard input one after the other in one jar, and prints what
/// became of each as JSON. A line `@DIR TEXT` runs in that directory.
pub fn main(arguments: &[OsString]) {
    let confinement: Confinement = serde_json::from_str(arguments[0].to_str().unwrap()).unwrap();
    let limits: Limits = serde_json::from_str(arguments[1].to_str().unwrap()).unwrap();
    let env = confinement.env.clone();
    let request = Request { limits, ..Request::new(confinement, vec![]) };
    let mut serve = |_: usize, mounted: Mounted<'_>| match mounted {
        Mounted::Fuse { connection, .. } => crate::overlay::serve(connection),
        Mounted::Kernel => Ok(()),
    };
    let mut live = standby(&request).unwrap().live(&request, &mut serve).unwrap();
    let empty = nix::sys::memfd::memfd_create(c"empty", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).unwrap();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (cwd, text) = line.strip_prefix('@').and_then(|line| line.split_once(' ')).unwrap_or(("/", &line));
        let (argv, cwd) = (["sh", "-c", text].map(OsString::from), FilePath::from(cwd));
        let output = Streams::Kept(KEPT_BYTES);
        let told = told(live.run(&Command { argv: &argv, env: &env, cwd: &cwd, input: empty.as_fd(), output }));
        println!("{told}");
    }
}

fn told(done: Result<belljar_sandbox::Done, SandboxError>) -> Value {
    let done = match done {
        Ok(done) => done,
        Err(error) => return json!({ "error": error.to_string() }),
    };
    let kept = done.kept.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    json!({
        "exit": done.exit, "out": text(&kept[0]), "err": text(&kept[1]), "limit": done.limit,
        "attempts": done.attempts,
    })
}

pub fn scenes() -> Vec<Scene> {
    vec![
        scene("live/commands run one after the other in one jar", |world| each(world, one_after_the_other)),
        scene("live/a command may be as long as it likes", |world| each(world, long)),
        scene("live/nothing of a command runs on", |world| each(world, nothing_runs_on)),
        scene("live/what is wrong with one command leaves the jar as it is", |world| each(world, wrong)),
        scene("live/limits are for each command", |world| each(world, limits)),
        scene("live/what is tried is told of the command that tried", |world| each(world, attempts)),
        scene("live/no command reaches the streams of belljar or of another", |world| each(world, streams)),
        scene("live/kill -9 of the parent ends everything within 100 ms", |world| each(world, killed)),
        scene("live/a killed pid 1 is an error", |world| each(world, init_killed)),
        scene("live/nothing of the host is a stream", host_streams),
    ]
}

fn each(world: &World, play: fn(&World, User)) {
    for user in world.users() {
        play(world, user);
    }
}

fn begin(world: &World, user: User, limits: &Limits) -> std::process::Child {
    let confinement = serde_json::to_string(&world.jar(user).confinement).unwrap();
    let limits = serde_json::to_string(limits).unwrap();
    let mut command = world.bare(user, &[world.program().to_str().unwrap(), "jar-live", &confinement, &limits]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

#[track_caller]
fn run(world: &World, user: User, limits: &Limits, lines: &[&str]) -> Vec<Value> {
    let mut child = begin(world, user, limits);
    child.stdin.take().unwrap().write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    let told = String::from_utf8(output.stdout).unwrap();
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), lines.len(), "{told:?}");
    told
}

fn code(told: &Value) -> Option<Exit> {
    serde_json::from_value(told["exit"].clone()).ok()
}

/// Around the length of a message, and far beyond it.
fn long(world: &World, user: User) {
    let lines: Vec<String> =
        [7000, 7500, 8000, 8192, 9000, 100_000].map(|length| format!("echo {} | wc -c", "x".repeat(length - 1))).into();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let told = run(world, user, &Limits::default(), &lines);
    let counted: Vec<&str> = told.iter().map(|told| told["out"].as_str().unwrap().trim()).collect();
    assert_eq!(counted, ["7000", "7500", "8000", "8192", "9000", "100000"]);
}

fn one_after_the_other(world: &World, user: User) {
    let lines = [
        "echo one; echo bad >&2; exit 3",
        "echo kept > /tmp/x; readlink /proc/self/ns/mnt",
        "cat /tmp/x; readlink /proc/self/ns/mnt",
        "@/usr pwd",
        "kill -9 $$",
        "echo $$",
        "umask; cat /proc/self/comm",
    ];
    let told = run(world, user, &Limits::default(), &lines);
    assert_eq!(
        (code(&told[0]), &told[0]["out"], &told[0]["err"]),
        (Some(Exit::Code(3)), &json!("one\n"), &json!("bad\n"))
    );
    let namespace = told[1]["out"].as_str().unwrap();
    assert_eq!(told[2]["out"], json!(format!("kept\n{namespace}")));
    assert_eq!(told[3]["out"], json!("/usr\n"));
    assert_eq!(code(&told[4]), Some(Exit::Signal(9)));
    assert_eq!(code(&told[5]), Some(Exit::Code(0)));
    assert_eq!(told[6]["out"], json!("0022\ncat\n"));
}

fn nothing_runs_on(world: &World, user: User) {
    let lines = ["(setsid sleep 97 &) ; (sleep 97 &) ; sleep 97 & true", "set -- /proc/[0-9]*; echo $#"];
    let told = run(world, user, &Limits::default(), &lines);
    // pid 1 and the shell.
    assert_eq!(told[1]["out"], json!("2\n"), "{told:?}");
}

fn wrong(world: &World, user: User) {
    let told = run(world, user, &Limits::default(), &["@/nowhere true", "echo on", "exec /nowhere/x", "echo on"]);
    assert!(told[0]["error"].as_str().unwrap().contains("/nowhere"), "{told:?}");
    assert_eq!(
        (&told[1]["out"], code(&told[2]), &told[3]["out"]),
        (&json!("on\n"), Some(Exit::Code(127)), &json!("on\n"))
    );
}

fn limits(world: &World, user: User) {
    let limits = Limits { wall_s: Some(1), cpu_s: Some(1), ..Limits::default() };
    let spin = "timeout 0.7 sh -c 'while :; do :; done'; echo done";
    let began = Instant::now();
    let told = run(world, user, &limits, &["sleep 60", "echo on", spin, spin, "yes", "echo on"]);
    assert!(began.elapsed() < Duration::from_secs(20));
    let ended = |told: &Value| (code(told), told["limit"].clone());
    assert_eq!(ended(&told[0]), (Some(Exit::Signal(9)), json!("wall")));
    assert_eq!((&told[1]["out"], &told[1]["limit"]), (&json!("on\n"), &Value::Null));
    // Together they take more than one command may.
    for spun in [&told[2], &told[3]] {
        assert_eq!((&spun["out"], &spun["limit"]), (&json!("done\n"), &Value::Null), "{told:?}");
    }
    assert_eq!(ended(&told[4]), (Some(Exit::Signal(9)), json!("output")));
    assert_eq!(told[4]["out"].as_str().unwrap().len() as u64, KEPT_BYTES);
    assert_eq!(told[5]["out"], json!("on\n"));
}

fn attempts(world: &World, user: User) {
    let call = "python3 -c 'import socket; socket.create_connection((\"192.0.2.7\", 443), 1)' 2>/dev/null; true";
    let told = run(world, user, &Limits::default(), &["true", call, "true"]);
    assert_eq!((&told[0]["attempts"], &told[2]["attempts"]), (&json!([]), &json!([])));
    assert!(told[1]["attempts"].to_string().contains("192.0.2.7"), "{told:?}");
}

fn streams(world: &World, user: User) {
    let look = "for p in /proc/[0-9]*; do for f in $p/fd/*; do readlink $f; done; done 2>/dev/null | grep -v -e pipe: -e '^/proc' -e /dev/null; cat /proc/1/environ 2>&1 | wc -c; echo x > /proc/1/fd/1 || echo refused";
    let told = run(world, user, &Limits::default(), &[look]);
    assert_eq!(told[0]["out"].as_str().unwrap().lines().last(), Some("refused"), "{told:?}");
    // Its own input, which is empty, and nothing of where its output is kept.
    assert!(!told[0]["out"].as_str().unwrap().contains("belljar"), "{told:?}");
}

fn killed(world: &World, user: User) {
    let mut child = begin(world, user, &Limits::default());
    let mark = format!("{}.5", 4000 + child.id() % 1000);
    child.stdin.as_mut().unwrap().write_all(format!("sleep {mark}\n").as_bytes()).unwrap();
    let runs = || {
        let found = std::process::Command::new("pgrep")
            .args(["-f", &format!("^sleep {mark}")])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        found.success()
    };
    let began = Instant::now();
    while !runs() {
        assert!(began.elapsed() < Duration::from_secs(10), "it never ran");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    std::thread::sleep(Duration::from_millis(100));
    assert!(!runs());
}

fn init_killed(world: &World, user: User) {
    let mut child = begin(world, user, &Limits::default());
    let init = || {
        let out = std::process::Command::new("pgrep").args(["-P", &child.id().to_string()]).output().unwrap();
        String::from_utf8(out.stdout).unwrap().split_whitespace().next().and_then(|pid| pid.parse().ok())
    };
    child.stdin.as_ref().unwrap().write_all(b"sleep 9\n").unwrap();
    let began = Instant::now();
    let init: i32 = loop {
        assert!(began.elapsed() < Duration::from_secs(10), "no pid 1");
        std::thread::sleep(Duration::from_millis(50));
        if let Some(pid) = init() {
            break pid;
        }
    };
    std::thread::sleep(Duration::from_millis(100));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(init), nix::sys::signal::Signal::SIGKILL).unwrap();
    child.stdin.take().unwrap().write_all(b"true\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.lines().all(|line| line.contains("error")) && told.lines().count() == 2, "{told}");
}

fn host_streams(world: &World) {
    let confinement = world.jar(User::Own).confinement;
    let env = confinement.env.clone();
    let request = Request::new(confinement, vec![]);
    let mut live: Live = standby(&request).unwrap().live(&request, &mut |_, _| Ok(())).unwrap();
    let file = |path: &str| File::open(path).unwrap();
    let memory = File::from(nix::sys::memfd::memfd_create(c"test", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).unwrap());
    let mut run = |input: &File, out: &File| {
        let (argv, cwd) = ([OsString::from("true")], FilePath::from("/"));
        let output = Streams::To(out.as_fd(), memory.as_fd());
        live.run(&Command { argv: &argv, env: &env, cwd: &cwd, input: input.as_fd(), output }).map(|done| done.exit)
    };
    for path in ["/", "/dev/null", "/etc/hostname"] {
        assert!(
            matches!(run(&file(path), &memory), Err(SandboxError::Request(why)) if why.contains("input")),
            "{path}"
        );
        assert!(
            matches!(run(&memory, &file(path)), Err(SandboxError::Request(why)) if why.contains("output")),
            "{path}"
        );
    }
    assert_eq!(run(&memory, &memory).unwrap(), Exit::Code(0));
}
