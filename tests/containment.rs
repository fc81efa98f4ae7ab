//! What must not be possible inside, through the whole program: hidden files by every name, the caller's environment
//! and descriptors, other processes, sockets, the kernel's doors. Each probe is shown to
//! succeed bare, so that a probe that cannot succeed proves nothing. Each probe undoes what it did, and root's run in
//! a mount namespace of the test, so that a jar with a hole harms nobody.

use crate::support::{assert_nothing_left, both};
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};
use testkit::World;

/// Where a probe succeeds without Belljar.
#[derive(Clone, Copy, PartialEq)]
enum Bare {
    Anybody,
    Root,
    /// Machines differ, so the control does not try.
    Untried,
}

use Bare::{Anybody, Root, Untried};

/// Name, script (exit 0 = it got through), and where it succeeds bare. `$HOST_PID`, `$PORT` and `$SOCKET` are the
/// host's.
const PROBES: [(&str, &str, Bare); 30] = [
    ("secret by its name", "cat ~/.ssh/id_ed25519", Anybody),
    ("secret by a detour", "cd ~/project && cat ../.ssh/.././.ssh//id_ed25519", Anybody),
    ("secret through a link", "ln -s ~/.ssh way && cat way/id_ed25519; s=$?; rm way; exit $s", Anybody),
    ("secret through a hard link", "ln ~/.ssh/id_ed25519 hard && cat hard; s=$?; rm -f hard; exit $s", Anybody),
    ("secret after renaming", "mv ~/.ssh ~/x && cat ~/x/id_ed25519; s=$?; mv ~/x ~/.ssh; exit $s", Anybody),
    ("secret through /proc", "cat /proc/self/root$HOME/.ssh/id_ed25519", Anybody),
    ("secret by listing", "ls ~/.aws | grep .", Anybody),
    ("secret in a single file", "cat ~/.netrc", Anybody),
    ("state of belljar", "ls ~/.local/state/belljar | grep .", Anybody),
    ("secret in the environment", "test -n \"$AWS_SECRET_ACCESS_KEY\"", Anybody),
    ("agent socket in the environment", "test -n \"$SSH_AUTH_SOCK\"", Anybody),
    ("environment of any process", "cat /proc/[0-9]*/environ 2>/dev/null | grep -aq hush-hush", Anybody),
    ("inherited descriptor", "bash -c 'cat <&9' | grep -q hush", Anybody),
    ("processes of the host", "test -d /proc/$HOST_PID", Anybody),
    ("signals to the host", "kill -0 $HOST_PID", Anybody),
    ("loopback of the host", "bash -c 'exec 3<>/dev/tcp/127.0.0.1/'$PORT", Anybody),
    (
        "unix socket in the home",
        "/usr/bin/python3 -c 'import socket,sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' $SOCKET",
        Anybody,
    ),
    ("a further user namespace", "unshare --user true", Anybody),
    ("a set-user-id file", "cp /bin/true suid && chmod 4755 suid && test -u suid", Anybody),
    (
        "a key of the session keyring",
        "/usr/bin/python3 -c 'import ctypes,sys; sys.exit(ctypes.CDLL(None).syscall(250,0,-3,1) < 0)'",
        Anybody,
    ),
    ("a packet socket", "/usr/bin/python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'", Root),
    ("a device node", "mknod node c 1 5", Root),
    ("password hashes", "head -c 1 /etc/shadow | grep -q .", Root),
    ("the sysrq trigger", "true >> /proc/sysrq-trigger", Untried),
    ("the core pattern", "true >> /proc/sys/kernel/core_pattern", Root),
    ("a mount", "mount -t tmpfs none /mnt && umount /mnt", Root),
    ("a system directory", "touch /usr/belljar-probe && rm /usr/belljar-probe", Root),
    ("the configuration of the machine", "touch /etc/belljar-probe && rm /etc/belljar-probe", Root),
    (
        "a module",
        "/usr/bin/python3 -c 'import ctypes,sys; l=ctypes.CDLL(None,use_errno=True); l.syscall(313,-1,b\"\",0); sys.exit(ctypes.get_errno() != 9)'",
        Untried,
    ),
    (
        "an io_uring",
        "/usr/bin/python3 -c 'import ctypes,sys; sys.exit(ctypes.CDLL(None).syscall(425,1,ctypes.create_string_buffer(120)) < 0)'",
        Untried,
    ),
];

/// One script that tries every probe `wanted` and prints the names of those that got through.
fn script(wanted: impl Fn(Bare) -> bool) -> String {
    let tried = PROBES.iter().filter(|(.., bare)| wanted(*bare));
    let lines = tried.map(|(name, probe, _)| format!("( {probe} ) >/dev/null 2>&1 && echo '{name}'\n"));
    format!("{}exit 0\n", lines.collect::<String>())
}

/// The process called so that is a child of `belljar`, once it is.
fn first_process(belljar: i32) -> i32 {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(20) {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let Some((name, rest)) = stat.rsplit_once(") ") else { continue };
            if name.ends_with("(belljar-init") && rest.split(' ').nth(1) == Some(&belljar.to_string()) {
                return entry.file_name().to_str().unwrap().parse().unwrap();
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("no first process of a jar appears");
}

/// A user namespace with the same ids in which no cgroup namespace can be made; then the rest of the words.
const WITHOUT_CGROUP_NAMESPACES: &str = "
import ctypes, os, sys
(made, making), (mapped, mapping) = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    ctypes.CDLL(None).unshare(0x10000000)
    os.write(making, b'x'); os.read(mapped, 1)
    open('/proc/sys/user/max_cgroup_namespaces', 'w').write('0')
    os.execvp(sys.argv[1], sys.argv[1:])
os.read(made, 1)
for kind in 'ug': open(f'/proc/{pid}/{kind}id_map', 'w').write('0 0 65536')
os.write(mapping, b'x')
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";

both! {
    fn nothing_forbidden_gets_through(world) {
        let home = world.home();
        for secret in [".ssh/id_ed25519", ".aws/credentials", ".netrc"] {
            world.file(home.join(secret), "hush-hush\n");
        }
        world.file(home.join(".cache/note"), "").file("hush", "hush\n");
        world.belljar(["run", "--apply", "discard", "--", "true"]).run().success();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = home.join(".cache/host.sock");
        let _unix = UnixListener::bind(&socket).unwrap();
        world.mode(&socket, 0o777);
        let host = world.command("sleep").args(["300"]).spawn();
        let root = world.is_root();
        let safe = move |bare| bare == Anybody || (bare == Root && root);
        world.file("probes.sh", script(|_| true)).file("safe.sh", script(safe));
        let before = world.snapshot();

        let run = |world: &World, line: &str| {
            let command = world.command("bash").args(["-c", line, "bash"]).args([world.exe()]);
            let command = command.env("AWS_SECRET_ACCESS_KEY", "hush-hush").env("SSH_AUTH_SOCK", &socket);
            let command = command.env("PORT", tcp.local_addr().unwrap().port().to_string());
            let own: &[&str] = if world.is_root() { &["unshare", "--mount", "--propagation", "private"] } else { &[] };
            let done = command.under(own).env("HOST_PID", host.pid().to_string()).env("SOCKET", &socket).run();
            done.success();
            done.stdout
        };
        let hand_on = "--env HOST_PID --env PORT --env SOCKET";
        let jar = format!("exec 9<hush; exec \"$1\" run --apply discard {hand_on} -- sh probes.sh");
        assert_eq!(run(world, &jar), "", "these got through");
        world.assert_untouched(&before);

        let expected: String = PROBES.iter().filter(|(.., bare)| safe(*bare)).map(|(name, ..)| format!("{name}\n")).collect();
        assert_eq!(run(world, "exec 9<hush; exec sh safe.sh"), expected, "the control, bare");
        drop(host);
        assert_nothing_left(world);
    }

    /// It is a copy of Belljar, and nothing of what the caller keeps to himself is in the copy.
    fn the_first_process_of_a_jar_holds_no_secret_of_the_caller(world) {
        let secret = ["hush", "in", "the", "environment"].join("-");
        let words = ["run", "--apply", "discard", "--hide", "hush", "--", "sh", "-c", "echo ready >here; exec sleep 60"];
        world.file("hush", "");
        let belljar = world.belljar(words).env("AWS_SECRET_ACCESS_KEY", &secret).spawn();
        let first = first_process(belljar.pid());
        let looked = std::fs::read(format!("/proc/{first}/environ"));
        if looked.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied) {
            // Not even its own user may look, only root.
            assert!(!nix::unistd::Uid::effective().is_root());
            return;
        }
        let of = |name: &str| std::fs::read(format!("/proc/{first}/{name}")).unwrap();
        for name in ["environ", "cmdline"] {
            assert!(of(name).iter().all(|byte| *byte == 0), "{name}: {}", String::from_utf8_lossy(&of(name)));
        }
        let holds = |pid: i32| {
            let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
            let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
            maps.lines().filter(|line| line.contains(" rw")).any(|line| {
                let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
                let [from, to] = [from, to].map(|place| u64::from_str_radix(place, 16).unwrap());
                let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
                let read = memory.read_at(&mut bytes, from).unwrap_or(0);
                bytes[..read].windows(secret.len()).any(|window| window == secret.as_bytes())
            })
        };
        assert!(holds(belljar.pid()), "the control: Belljar has its environment");
        assert!(!holds(first), "a secret is in the memory of the first process");
    }

    fn the_jar_is_told_layer_by_layer(world) {
        let run = world.belljar(["run", "--apply", "discard", "--json", "--", "true"]).run();
        run.success();
        let containment = &run.json()["containment"];
        assert_eq!(containment["missing"], serde_json::json!([]), "{containment:#}");
        let active: Vec<_> = containment["active"].as_array().unwrap().iter().map(|state| state["layer"].as_str().unwrap()).collect();
        for layer in ["user-namespace", "mount-namespace", "pid-namespace", "ipc-namespace", "uts-namespace",
            "net-namespace", "overlay", "landlock", "seccomp", "no-capabilities", "no-new-privs", "clean-descriptors"] {
            assert!(active.contains(&layer), "{layer} is not among {active:?}");
        }
    }

    fn a_plan_is_printed_and_nothing_runs(world) {
        let words = ["run", "--print-plan", "--allow-net", "a.example:443",
            "--allow-net", "[2001:db8::/32]:53/udp", "--limit", "pids=50", "--", "touch", "made"];
        let plan = world.belljar(words).run();
        plan.success();
        for line in ["namespaces user namespace, ", "limit processes and threads to 50\n",
            "bring connections and datagrams to 198.18.0.0/15 [2001:db8::/32] to the broker\n",
            "seal every mount", "landlock: write only below", "drop every capability", "execute touch made"] {
            assert!(plan.stdout.contains(line), "{line}{}", plan.report());
        }
        assert!(!world.has("made"));
        assert_nothing_left(world);
    }

    /// The host refuses a namespace: that is an error, until its loss is accepted by name, and then it is told.
    fn a_missing_layer_is_an_error_until_its_loss_is_accepted(world) {
        let (uid, gid) = world.owner();
        let (uid, gid) = (uid.to_string(), gid.to_string());
        let refused = ["/usr/bin/python3", "-c", WITHOUT_CGROUP_NAMESPACES, "setpriv", "--reuid", &uid, "--regid", &gid, "--clear-groups"];
        let run = world.belljar(["run", "--apply", "never", "--", "true"]).as_root().under(refused).run();
        assert_eq!(run.status.code(), Some(125), "{}", run.report());

        let words = ["run", "--apply", "discard", "--json", "--accept-weak", "cgroup-namespace", "--", "true"];
        let run = world.belljar(words).as_root().under(refused).run();
        run.success();
        assert_eq!(run.json()["containment"]["missing"][0]["layer"], "cgroup-namespace", "{}", run.report());
        let words = ["run", "--apply", "discard", "--accept-weak", "cgroup-namespace", "--", "true"];
        let run = world.belljar(words).as_root().under(refused).run();
        run.success();
        assert!(run.stderr.contains("WEAKER without cgroup namespace"), "{}", run.report());

        for layer in ["user-namespace", "overlay", "nonsense"] {
            let run = world.belljar(["run", "--accept-weak", layer, "--", "touch", "made"]).run();
            run.code(2);
            assert!(run.stderr.contains("network-watch") && run.stderr.contains(layer), "{}", run.report());
        }
        assert!(!world.has("made"));
        assert_nothing_left(world);
    }

    fn what_is_left_running_ends_with_the_command(world) {
        let script = "sleep 300 & (setsid sleep 301 &) ; nohup sleep 302 >/dev/null 2>&1 & echo started";
        world.belljar(["run", "--apply", "discard", "--", "sh", "-c", script]).run().success().stdout_is("started\n");
        assert_nothing_left(world);
    }

    fn everyday_things_still_work(world) {
        let script = "
            echo tmp > /tmp/x && cat /tmp/x                     # a private /tmp
            : > /dev/null && head -c 4 /dev/urandom | wc -c      # devices
            python3 -c 'import socket; s=socket.socket(); s.bind((\"127.0.0.1\",0)); s.listen(); c=socket.create_connection(s.getsockname()); print(\"loopback\")'
            python3 -c 'import socket; s=socket.socket(socket.AF_UNIX); s.bind(\"sock\"); s.listen(); c=socket.socket(socket.AF_UNIX); c.connect(\"sock\"); print(\"unix\")'
            python3 -c 'import multiprocessing.shared_memory as m; s=m.SharedMemory(create=True,size=9); s.unlink(); print(\"shm\")'
            (sleep 0.1; echo bg) & wait
            id -u && getent passwd $(id -u) >/dev/null && hostname >/dev/null && date +%Y >/dev/null && echo system
            test -w . && test -w ~ && mktemp >/dev/null && echo writable";
        let run = world.belljar(["run", "--apply", "discard", "--", "bash", "-ec", script]).run();
        let uid = world.owner().0;
        run.success().stdout_is(&format!("tmp\n4\nloopback\nunix\nshm\nbg\n{uid}\nsystem\nwritable\n"));
        assert_nothing_left(world);
    }
}

/// A host that replaces a covered file (as useradd(8) replaces /etc/shadow) takes the cover off a mount of that file
/// alone. In a mount namespace of its own with an /etc of its own, so that no account of the machine is touched.
#[test]
fn as_root_a_covered_file_stays_covered_when_the_host_replaces_it() {
    let world = World::root(crate::support::EXE);
    let script = "
        # Other tests make and remove users meanwhile, and with them files that are gone before they are copied.
        cp -a /etc /run/etc-copy 2> /dev/null || test -d /run/etc-copy
        for name in passwd shadow; do echo 'root:*:' > /run/etc-copy/$name; done
        mount --bind /run/etc-copy /etc
        mkfifo /run/go
        \"$1\" run --apply discard -- sh -c 'echo up; read go; cat /etc/shadow; ls /etc' < /run/go > /run/out &
        exec 3> /run/go
        until grep -q up /run/out; do sleep 0.05; done
        echo leaked > /etc/shadow.new; mv /etc/shadow.new /etc/shadow; echo go >&3; wait $! || true; cat /run/out";
    let own = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-ec",
        &format!("mount -t tmpfs none /run\n{script}"),
        "sh",
    ];
    let run = world.command(world.exe()).under(own).run();
    assert!(!run.stdout.contains("leaked"), "the replaced file is readable{}", run.report());
    assert!(run.stderr.contains("/etc/shadow"), "the command got to the file at all{}", run.report());
    assert!(run.stdout.contains("passwd"), "the rest of the directory is there{}", run.report());
}

/// What a command can do to a file that it was only given to read. Each succeeds bare.
const ON_INPUT: [&str; 7] = [
    "chmod 640 /proc/self/fd/0",
    "python3 -c 'import os; os.fchmod(0, 0o640)'",
    "touch -d 2001-01-01 /dev/stdin",
    "python3 -c 'import os; os.setxattr(0, \"user.planted\", b\"x\")'",
    "echo bad > /proc/self/fd/0",
    "truncate -s 0 /proc/self/fd/0",
    "python3 -c 'open(\"/dev/stdin\", \"r+b\").write(b\"bad\")'",
];

both! {
    /// It lies on a mount of the host, which no view makes read-only.
    fn a_file_that_is_read_is_only_read(world) {
        let input = world.home().join("input").display().to_string();
        let state = format!("stat -c '%a %Y %s' {input}; getfattr -d {input} 2> /dev/null; cat {input}; true");
        let state = |world: &World| world.command("sh").args(["-c", &state]).run().stdout;
        for attack in ON_INPUT {
            world.command("sh").args(["-c", &format!("rm -f {input}; echo input > {input}; chmod 644 {input}")]).run().success();
            let before = state(world);
            let exe = world.exe().display();
            let line = format!("exec < {input}; {exe} run --apply discard -- sh -c '{}'", attack.replace('\'', "'\\''"));
            let run = world.command("sh").args(["-c", &line]).run();
            assert_eq!(state(world), before, "{attack}{}", run.report());
            assert!(!matches!(run.status.code(), Some(0 | 125 | 126)), "{attack}{}", run.report());
            world.command("sh").args(["-c", &format!("exec < {input}; {attack}")]).run().success();
            assert_ne!(state(world), before, "{attack} does nothing bare");
        }
        assert_nothing_left(world);
    }

    /// Though the jar has descriptors of its own for it.
    fn who_reads_on_finds_the_place(world) {
        world.file("lines", "1\n2\n3\n4\n");
        let exe = world.exe().display();
        let line = format!("{{ read a; {exe} run --apply discard -- sh -c 'read b; echo $b'; read c; echo $a $c; }} < lines");
        world.command("sh").args(["-c", &line]).run().stdout_is("2\n1 3\n");
        // What has no name any more, as a long here document, stays as it is.
        let line = format!("exec < lines; rm lines; {exe} run --apply discard -- cat");
        world.command("sh").args(["-c", &line]).run().success().stdout_is("1\n2\n3\n4\n").stderr_lacks("without");
        world.file("lines", "1\n2\n");
        let line = format!("exec < lines; mv lines moved; echo other > lines; {exe} run --apply discard -- cat");
        world.command("sh").args(["-c", &line]).run().success().stdout_is("1\n2\n").stderr_lacks("without");
        assert_nothing_left(world);
    }
}

/// The host's own device is root's, and everybody's.
#[test]
fn as_root_the_null_device_stays_everybodys() {
    let world = World::root(crate::support::EXE);
    let exe = world.exe().display();
    let line = format!(
        "d=$PWD/null; mknod -m 666 $d c 1 3; exec < $d > $d
         {exe} run --apply discard -- sh -c 'chmod 600 /proc/self/fd/0; chmod 600 /proc/self/fd/1; echo written && cat'
         stat -c %a $d >&2"
    );
    world.command("sh").args(["-c", &line]).run().success().stderr_has("666");
}
