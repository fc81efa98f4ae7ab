//! Everyday things: what a command sees, says and returns in the jar is what it is bare.
#![allow(unsafe_code, clippy::multiple_unsafe_ops_per_block)]

use crate::world::{User, World};
use crate::{Scene, scene};
use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::ffi::OsStringExt;
use std::process::Stdio;

/// Shell lines whose output, errors and exit code must be the same bare and in the jar.
const SAME: &[(&str, &str)] = &[
    ("exit 0", "exit 0"),
    ("exit 1", "exit 1"),
    ("exit 255", "exit 255"),
    ("output and errors", "echo out; echo err >&2; exit 3"),
    ("a pipeline", "seq 1000 | sort -r | head -3 | tr '\\n' ' '"),
    ("a subshell and a signal", "(kill -TERM $BASHPID $$ 2>/dev/null); sh -c 'kill -9 $$'; echo $?"),
    ("a broken pipe", "yes | head -1; sh -c 'yes; echo $? >&2' | head -1"),
    ("id", "id -u; id -g; whoami"),
    ("modes of files", "stat -c '%a %s %n' /etc/passwd /usr/bin /bin/sh"),
    ("environment", "env | grep -v -E '^(_|PWD|SHLVL|OLDPWD)=' | sort"),
    ("umask", "umask; umask 027; umask"),
    ("limits", "ulimit -n; ulimit -s; ulimit -c; ulimit -u"),
    ("working directory", "pwd; cd /usr; pwd; ls -d ."),
    ("signals as they were", "sed -n -E 's/^(Sig(Blk|Ign)).*(.{7})$/\\1 \\3/p' /proc/self/status"),
    ("here documents", "cat <<X\nhello\nX"),
    ("temporary files", "f=$(mktemp) && echo x > $f && cat $f && rm $f && ls /var/tmp >/dev/null && echo ok"),
    ("shared memory", "echo x > /dev/shm/t.$$ && cat /dev/shm/t.$$ && rm /dev/shm/t.$$"),
    (
        "/dev/null and friends",
        "echo x > /dev/null; head -c4 /dev/zero | wc -c; head -c4 /dev/urandom | wc -c; echo x > /dev/full",
    ),
    (
        "/dev/stdout and /dev/stderr",
        "echo a > /dev/stdout; echo b > /dev/stderr; echo c | cat /dev/stdin; echo d > /proc/self/fd/1",
    ),
    ("process substitution", "bash -c 'diff <(echo a) <(echo b)'"),
    ("named pipes", "p=/tmp/p.$$; mkfifo $p; (echo x > $p &); cat $p; rm $p"),
    ("file locks", "flock /tmp flock -n /tmp true; echo $?"),
    ("hard and soft links", "cd /tmp; d=$(mktemp -d); cd $d; echo a > a; ln a b; ln -s a c; cat b c; stat -c %h a"),
    ("times and modes", "cd /tmp; d=$(mktemp -d); cd $d; touch -d @1000 a; chmod 640 a; stat -c '%Y %a' a"),
    ("renames", "cd /tmp; d=$(mktemp -d); cd $d; mkdir x y; echo a > x/a; mv x/a y/b; mv y z; cat z/b"),
    ("tar", "cd /tmp; d=$(mktemp -d); cd $d; mkdir x; echo a > x/a; tar cf t.tar x; rm -r x; tar xf t.tar; cat x/a"),
    (
        "git",
        "cd /tmp; d=$(mktemp -d); cd $d; git init -q .; git config user.name n; git config user.email e@x; echo a > a; git add a; git commit -qm m; git status --short; git log --format=%s",
    ),
    ("background jobs", "sleep 0.05 & wait $!; echo $?"),
    ("traps", "trap 'echo got' USR1; kill -USR1 $$; echo after"),
    ("nice", "nice -n 5 nice"),
    ("setsid", "setsid -w sh -c 'echo in session'"),
    ("timeout", "timeout 0.1 sleep 5; echo $?"),
    ("processor count", "nproc"),
    ("time zone", "TZ=UTC date -d @0"),
    ("memory information", "grep -c MemTotal /proc/meminfo; grep -c processor /proc/cpuinfo >/dev/null && echo ok"),
    ("own process in /proc", "cat /proc/self/comm; readlink /proc/self/exe; readlink /proc/$$/cwd"),
    ("host name", "hostname; uname -srm"),
    (
        "python",
        "if test -x /usr/bin/python3; then /usr/bin/python3 -c 'import os,threading,multiprocessing as m; print(m.Pool(2).map(abs,[-1,-2]), os.cpu_count()>0)'; fi",
    ),
    ("strace", "if command -v strace >/dev/null; then strace -f -o /dev/null sh -c 'echo traced; true'; fi"),
    ("loopback", "$J jar-everyday loopback"),
    ("unix sockets", "$J jar-everyday unix"),
    ("threads", "$J jar-everyday threads"),
    ("pseudo-terminals", "$J jar-everyday pty"),
];

pub fn scenes(world: &World) -> Vec<Scene> {
    let mut scenes = Vec::new();
    for user in world.users() {
        for (name, script) in SAME {
            scenes.push(scene(format!("everyday/{user:?}/{name}"), move |world| same(world, user, script)));
        }
        scenes.extend(exits(user));
        scenes.extend(passing(user));
    }
    scenes
}

#[track_caller]
fn same(world: &World, user: User, script: &str) {
    let program = world.program().to_str().unwrap();
    let bare = world.bare(user, &["sh", "-c", script]).env("J", program).output().unwrap();
    let jar = world.jar(user).env("J", program).output(&["sh", "-c", script]);
    let text = |output: &std::process::Output| {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        format!("{:?}\n{out}---\n{err}", output.status)
    };
    assert_eq!(text(&jar), text(&bare));
}

fn exits(user: User) -> Vec<Scene> {
    let named = |name: &str| format!("everyday/{user:?}/{name}");
    vec![
        scene(named("death by each signal"), move |world| {
            for signal in ["HUP", "INT", "QUIT", "ABRT", "KILL", "PIPE", "ALRM", "TERM", "USR1", "SEGV", "XCPU"] {
                let script = format!("ulimit -c 0; kill -{signal} $$");
                let bare = world.bare(user, &["sh", "-c", &script]).output().unwrap();
                let jar = world.jar(user).output(&["sh", "-c", &script]);
                assert_eq!(jar.status, bare.status, "{signal}");
            }
        }),
        scene(named("a command that does not exist"), move |world| {
            let report = world.path(&format!("report-{user:?}"));
            report_for(world, user, &report);
            let output = world.jar(user).report(&report).output(&["no-such-command"]);
            assert_eq!(output.status.code(), Some(127));
            assert!(std::fs::read_to_string(&report).unwrap().contains("\"exec_error\":2"));
        }),
        scene(named("a command that cannot be executed"), move |world| {
            assert_eq!(world.jar(user).output(&["/etc/passwd"]).status.code(), Some(126));
            assert_eq!(world.jar(user).output(&["/etc"]).status.code(), Some(126));
        }),
        scene(named("a script without an interpreter line"), move |world| {
            let script = world.path("script");
            std::fs::write(&script, "echo script $1\n").unwrap();
            std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            assert_eq!(world.jar(user).stdout(&[script.to_str().unwrap(), "x"]), "script x\n");
        }),
        scene(named("a working directory that is not there"), move |world| {
            let output = world.jar(user).cwd("/tmp/nowhere").output(&["true"]);
            let errors = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(125), "{errors}");
            assert!(errors.contains("enter /tmp/nowhere") && errors.contains("--write"), "{errors}");
        }),
        scene(named("hidden paths that are not there, not reachable or links"), move |world| {
            if user == User::Own {
                return;
            }
            let deep = world.path("closed/deep");
            std::fs::create_dir_all(&deep).unwrap();
            std::fs::write(deep.join("key"), crate::world::SECRET).unwrap();
            std::fs::set_permissions(world.path("closed"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
                .unwrap();
            let (link, around) = (world.path(&format!("hid-{user:?}")), world.path(&format!("loop-{user:?}")));
            std::os::unix::fs::symlink("hidden", &link).unwrap();
            std::os::unix::fs::symlink(&around, &around).unwrap();
            let jar = world.jar(user).hide("/no/such/path").hide(deep.join("key")).hide(&link).hide(&around);
            let looks = format!("cat {}/key {}/key; echo looked", link.display(), world.path("hidden").display());
            assert_eq!(jar.stdout(&["sh", "-c", &format!("({looks}) 2>/dev/null")]), "looked\n");
        }),
        scene(named("a directory as standard input is refused"), move |world| {
            let mut command = world.jar(user).command(&["true"]);
            let output = command.stdin(std::fs::File::open("/").unwrap()).output().unwrap();
            assert_eq!(output.status.code(), Some(125));
        }),
    ]
}

fn report_for(world: &World, user: User, report: &std::path::Path) {
    std::fs::write(report, "").unwrap();
    let mode = if world.root { 0o666 } else { 0o600 };
    std::fs::set_permissions(report, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    assert!(user != User::Own || !world.root);
}

fn passing(user: User) -> Vec<Scene> {
    let named = |name: &str| format!("everyday/{user:?}/{name}");
    vec![
        scene(named("owners of files"), move |world| {
            // An ordinary user's namespace maps only himself: others' files belong to nobody (65534).
            let others = if user == User::Root { "0" } else { "65534" };
            let own = world.jar(user).stdout(&["sh", "-c", "touch /tmp/x; stat -c %u /usr /tmp/x; id -u"]);
            let lines: Vec<&str> = own.lines().collect();
            assert_eq!((lines[0], lines[1]), (others, lines[2]));
        }),
        scene(named("any bytes through pipes"), move |world| {
            let bytes: Vec<u8> = (0..1_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
            let mut command = world.jar(user).command(&["cat"]);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            let sent = bytes.clone();
            let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
            assert!(child.wait_with_output().unwrap().stdout == bytes);
            writer.join().unwrap();
        }),
        scene(named("any bytes in arguments and environment"), move |world| {
            let mut jar = world.jar(user);
            let raw = model::FilePath::from(b"\xff\xfe=\n\\x".to_vec());
            jar.confinement.env.push(model::EnvVar { name: "RAW".into(), value: raw });
            let mut command = jar.command(&["sh", "-c", "printf %s \"$0$RAW\"; printf %s \"$1\" | wc -c"]);
            command.arg(OsString::from_vec(b"\x80\xc3".to_vec())).arg("");
            assert_eq!(command.output().unwrap().stdout, b"\x80\xc3\xff\xfe=\n\\x0\n");
        }),
        scene(named("standard output into a file, reopened"), move |world| {
            let file = world.path(&format!("out-{user:?}"));
            report_for(world, user, &file);
            let out = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
            let script = "echo one; echo two >> /dev/stdout; echo three >&2";
            let mut command = world.jar(user).command(&["sh", "-c", script]);
            let status = command.stdout(out.try_clone().unwrap()).stderr(out).status().unwrap();
            assert!(status.success());
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "one\ntwo\nthree\n");
        }),
        scene(named("only the standard descriptors"), move |world| {
            assert_eq!(world.jar(user).stdout(&["sh", "-c", "ls /proc/self/fd"]), "0\n1\n2\n3\n");
        }),
        scene(named("closed standard descriptors"), move |world| {
            let jar = world.jar(user).command(&["sh", "-c", "echo x"]);
            let words: Vec<&str> = jar.get_args().map(|word| word.to_str().unwrap()).collect();
            let line = format!("exec {} \"$@\" <&- >&-", jar.get_program().to_str().unwrap());
            let status = std::process::Command::new("sh").args(["-c", &line, "sh"]).args(words).status().unwrap();
            assert_ne!(status.code(), Some(125));
        }),
    ]
}

/// The parts that need a program.
pub fn main(arguments: &[OsString]) {
    match arguments[0].to_str().unwrap() {
        "loopback" => loopback(),
        "unix" => unix(),
        "threads" => threads(),
        "pty" => pty(),
        other => panic!("{other}"),
    }
}

fn loopback() {
    use std::io::Read as _;
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = std::net::TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let client = std::thread::spawn(move || std::net::TcpStream::connect(address).unwrap().write_all(b"hello"));
        let mut text = String::new();
        listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
        client.join().unwrap().unwrap();
        println!("{text}");
    }
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"datagram", socket.local_addr().unwrap()).unwrap();
    println!("{}", socket.recv(&mut [0; 100]).unwrap());
}

fn unix() {
    let path = format!("/tmp/socket-{}", std::process::id());
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::os::unix::net::UnixStream::connect(&path).unwrap();
    listener.accept().unwrap();
    std::fs::remove_file(path).unwrap();
    println!("connected");
}

fn threads() {
    let threads: Vec<_> = (0..8).map(|n| std::thread::spawn(move || n * n)).collect();
    let sum: i32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    println!("{sum}");
}

fn pty() {
    let pair = nix::pty::openpty(None, None).unwrap();
    nix::unistd::write(&pair.master, b"line\n").unwrap();
    let mut bytes = [0; 16];
    let length = nix::unistd::read(&pair.slave, &mut bytes).unwrap();
    println!("{:?} {}", &bytes[..length], nix::unistd::isatty(&pair.slave).unwrap());
}
