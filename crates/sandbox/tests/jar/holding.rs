//! The jar as a whole: signals go in, nothing stays behind, what stands is reported, what is missing is an error.

use crate::world::{User, World};
use crate::{Scene, scene};
use model::Layer;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

pub fn scenes() -> Vec<Scene> {
    vec![
        scene("holding/signals sent to the parent reach the command", |world| each(world, signals)),
        scene("holding/an ignored hangup stays ignored", |world| each(world, nohup)),
        scene("holding/what the command leaves behind ends with it", |world| each(world, orphans)),
        scene("holding/kill -9 of the parent ends everything within 100 ms", |world| each(world, killed)),
        scene("holding/a killed pid 1 is an error", |world| each(world, init_killed)),
        scene("holding/every layer stands and is reported", |world| each(world, layers)),
        scene("holding/attempts to connect are seen", |world| each(world, attempts)),
        scene("holding/a command killed while it connects", |world| each(world, killed_connecting)),
        scene("holding/many jars at once", |world| each(world, many)),
        scene("holding/nothing is left on the host", |world| each(world, nothing_left)),
        scene("holding/a probe tells what running needs", probe),
        scene("holding/a missing layer is an error unless accepted", missing_layer),
    ]
}

fn each(world: &World, play: fn(&World, User)) {
    for user in world.users() {
        play(world, user);
    }
}

/// A command in a jar that has said its first line.
fn begin(world: &World, user: User, script: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = world.jar(user).command(&["sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    (child, stdout)
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

fn signals(world: &World, user: User) {
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2] {
        let name = signal.as_str().strip_prefix("SIG").unwrap();
        let script = format!("trap 'echo caught; exit 7' {name}; echo ready; while :; do sleep 0.02; done");
        let (mut child, mut stdout) = begin(world, user, &script);
        kill(pid(&child), signal).unwrap();
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("caught\n", Some(7)), "{signal}");
    }
    let (mut child, _stdout) = begin(world, user, "echo ready; exec sleep 100");
    kill(pid(&child), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(15), "dies of what its command died of");
}

fn nohup(world: &World, user: User) {
    let jar = world.jar(user).command(&["sh", "-c", "sed -n 's/^SigIgn.*\\(.......\\)$/\\1/p' /proc/self/status"]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "trap '' HUP INT; exec \"$@\"", "sh"]).arg(jar.get_program()).args(jar.get_args());
    let told = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert_eq!(told, "0000003\n");
}

/// How many processes there are that a jar of these scenes made: marked commands, and first processes, whose command line is
/// overwritten or says what they are.
fn marked() -> usize {
    let own = std::process::id().to_string();
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let others = entries.filter(|entry| entry.file_name().to_str() != Some(&own));
    others
        .filter(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let overwritten = !line.is_empty() && line.iter().all(|byte| *byte == 0);
            let has = |word: &[u8]| line.windows(word.len()).any(|part| part == word);
            overwritten || has(b"98765\0") || has(b"belljar-stage\0")
        })
        .count()
}

fn orphans(world: &World, user: User) {
    let script = "setsid sleep 98765 & (trap '' TERM HUP; sleep 98765 &) ; sleep 0.05; exit 4";
    assert_eq!(world.jar(user).output(&["sh", "-c", script]).status.code(), Some(4));
    assert_eq!(marked(), 0);
}

fn killed(world: &World, user: User) {
    let script = "setsid sleep 98765 & sleep 98765 & echo ready; while :; do :; done";
    let (mut child, _stdout) = begin(world, user, script);
    let begin = Instant::now();
    // Both sleeps may not be executed yet when that is said.
    while marked() < 3 {
        assert!(begin.elapsed() < Duration::from_secs(20), "{} processes of 3", marked());
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let begin = Instant::now();
    while marked() > 0 {
        assert!(begin.elapsed() < Duration::from_millis(100), "{} processes left", marked());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn init_killed(world: &World, user: User) {
    let (mut child, _stdout) = begin(world, user, "echo ready; sleep 98765");
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    // The stage may not have been waited for yet; pid 1 is the younger one.
    let children = std::fs::read_to_string(children).unwrap();
    let init: i32 = children.split_whitespace().last().unwrap().parse().unwrap();
    kill(Pid::from_raw(init), Signal::SIGKILL).unwrap();
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(125));
    assert!(errors.contains("first process was killed by signal 9"), "{errors}");
}

fn report(world: &World, user: User, accept: &[Layer], argv: &[&str]) -> serde_json::Value {
    let path = world.path(&format!("report-{user:?}"));
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let mut command = world.jar(user).report(&path).command(argv);
    command.env("JAR_ACCEPT", serde_json::to_string(accept).unwrap());
    let output = command.output().unwrap();
    assert_ne!(output.status.code(), Some(125), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn layers(world: &World, user: User) {
    let report = report(world, user, &[], &["true"]);
    let active = report["containment"]["active"].as_array().unwrap();
    let mut names: Vec<&str> = active.iter().map(|layer| layer["layer"].as_str().unwrap()).collect();
    names.sort_unstable();
    let expected = [
        "cgroup-namespace",
        "clean-descriptors",
        "ipc-namespace",
        "landlock",
        "mount-namespace",
        "net-namespace",
        "network-watch",
        "no-capabilities",
        "no-new-privs",
        "pid-namespace",
        "process-limit",
        "seccomp",
        "user-namespace",
        "uts-namespace",
    ];
    assert_eq!(names, expected);
    assert_eq!(report["containment"]["missing"].as_array().unwrap().len(), 0);
}

const KNOCK: &str = "for i in 1 2 3; do (exec 3<>/dev/tcp/192.0.2.7/443) 2>/dev/null; done; \
    (echo x > /dev/udp/2001:db8::1/53) 2>/dev/null; (exec 3<>/dev/tcp/127.0.0.1/1) 2>/dev/null; exit 0";

fn attempts(world: &World, user: User) {
    let report = report(world, user, &[], &["bash", "-c", KNOCK]);
    let seen = report["attempts"].as_array().unwrap();
    let told: Vec<String> =
        seen.iter().map(|attempt| format!("{} {} {}", attempt["target"], attempt["rule"], attempt["times"])).collect();
    assert_eq!(seen.len(), 2, "{told:?}");
    assert!(
        told[0].contains("192.0.2.7") && told[0].contains("443") && told[0].ends_with("\"network/none\" 3"),
        "{told:?}"
    );
    assert!(told[1].contains("2001:db8::1"), "{told:?}");
}

fn killed_connecting(world: &World, user: User) {
    let script =
        "(while :; do exec 3<>/dev/tcp/192.0.2.7/443; done) 2>/dev/null & sleep 0.2; kill -9 $!; wait $!; exit 5";
    let begin = Instant::now();
    assert_eq!(world.jar(user).output(&["bash", "-c", script]).status.code(), Some(5));
    assert!(begin.elapsed() < Duration::from_secs(5));
}

fn many(world: &World, user: User) {
    let mut children: Vec<Child> =
        (0..16).map(|n| world.jar(user).command(&["sh", "-c", &format!("exit {n}")]).spawn().unwrap()).collect();
    for (n, child) in children.iter_mut().enumerate() {
        assert_eq!(child.wait().unwrap().code(), Some(i32::try_from(n).unwrap()));
    }
}

fn nothing_left(world: &World, user: User) {
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    world.jar(user).output(&["sh", "-c", "touch /tmp/left /var/tmp/left /dev/shm/left /run/left"]);
    assert_eq!(mounts(), before);
    for place in ["/tmp/left", "/var/tmp/left", "/dev/shm/left", "/run/left"] {
        assert!(!std::path::Path::new(place).exists(), "{place}");
    }
    assert_eq!(marked(), 0);
}

fn probe(world: &World) {
    let facts = belljar_sandbox::probe();
    for fact in &facts.items {
        assert!(fact.available || !fact.why.is_empty(), "{fact:?}");
    }
    for name in ["user namespaces", "a proc of the jar's own", "landlock", "seccomp filters", "mount_setattr"] {
        assert!(facts.get(name).unwrap().available, "{:?}: jars run here", facts.get(name));
    }
    let fuse = facts.get("/dev/fuse").unwrap();
    assert_eq!(fuse.available, facts.get("fuse in a user namespace").unwrap().available);
    assert!(fuse.available || !fuse.remedy.is_empty() || !world.root);
}

/// With the limit on cgroup namespaces at zero, making one fails with ENOSPC. Only root may say so, only for a moment,
/// and only in a user namespace of its own.
fn missing_layer(world: &World) {
    if !world.root {
        return;
    }
    let run = |accept: &str| {
        let jar = world.jar(User::Root).command(&["sh", "-c", "exit 6"]);
        let mut command = std::process::Command::new("unshare");
        command.args([
            "-U",
            "-r",
            "-m",
            "sh",
            "-c",
            "echo 0 > /proc/sys/user/max_cgroup_namespaces && exec \"$@\"",
            "sh",
        ]);
        command.arg(jar.get_program()).args(jar.get_args()).env("JAR_ACCEPT", accept).output().unwrap()
    };
    let refused = run("[]");
    let errors = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(125), "{errors}");
    assert!(errors.contains("max_user_namespaces"), "{errors}");
    let accepted = run("[\"cgroup-namespace\"]");
    assert_eq!(accepted.status.code(), Some(6), "{}", String::from_utf8_lossy(&accepted.stderr));
}
