//! A jar inside a jar, through the whole program: what it changes stays in the outer jar, what the outer one covers
//! stays covered, what is given up for it is told, and killing either leaves nothing.

use crate::support::{assert_nothing_left, both, only_trial};
use serde_json::Value;
use std::time::Duration;
use testkit::{Run, World, until};

/// How long a jar may outlive its Belljar.
const GONE: Duration = Duration::from_secs(2);

/// The program where a jar can see it: in the home. In a script it is `$B`.
fn bring(world: &World) {
    std::fs::hard_link(world.exe(), world.home().join("belljar")).unwrap();
}

/// `belljar run --allow-nested --apply MODE -- sh -c SCRIPT`.
fn open<'w>(world: &'w World, mode: &str, script: &str) -> Run<'w> {
    let script = format!("B=$HOME/belljar; {script}");
    world.belljar(["run", "--allow-nested", "--apply", mode, "--", "sh", "-c", &script])
}

fn missing(containment: &Value) -> Vec<&str> {
    let gaps = containment["missing"].as_array().unwrap();
    gaps.iter().map(|gap| gap["layer"].as_str().unwrap()).collect()
}

/// The environment, memory, descriptors and root of the process that is called `sleep 4321`, wherever it is seen.
const PROBE: &str = r#"
    for d in /proc/[0-9]*; do
        tr '\0' ' ' < $d/cmdline 2> /dev/null | grep -q '^sleep 432[1]' || continue
        echo seen
        ( : < $d/environ ) && echo environ
        ( : < $d/mem ) && echo mem
        ( : < $d/maps ) && echo maps
        ls $d/root/etc > /dev/null && echo root
        ls $d/cwd/ > /dev/null && echo cwd
        ls $d/fd > /dev/null && echo fd
        readlink $d/exe > /dev/null && echo exe
        readlink $d/ns/user > /dev/null && echo ns
    done 2> /dev/null
    true"#;

/// A file system that answers everything but a read, in a user namespace of its own; then a call that shows the network
/// watch an address in a page of it.
const STALL: &str = r#"
import ctypes, mmap, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def must(code):
    if code < 0: sys.exit(os.strerror(ctypes.get_errno()))
def put(path, text):
    fd = os.open(path, os.O_WRONLY); os.write(fd, text.encode()); os.close(fd)
uid, gid = os.geteuid(), os.getegid()
if uid == 0: must(libc.setns(os.open("/run/belljar-inside/userns", os.O_RDONLY), 0x10000000))
must(libc.unshare(0x10000000 | 0x20000))
put("/proc/self/setgroups", "deny"); put("/proc/self/uid_map", f"0 {uid} 1"); put("/proc/self/gid_map", f"0 {gid} 1")
os.mkdir("/tmp/m")
fuse = os.open("/dev/fuse", os.O_RDWR)
must(libc.mount(b"none", b"/tmp/m", b"fuse", 6, f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()))
if os.fork() == 0:
    attr = lambda ino, mode: struct.pack("<QQQQQQIIIIIIIIII", ino, 4096, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
    while True:
        data = os.read(fuse, 1 << 18)
        _, op, unique, node = struct.unpack("<IIQQ", data[:24])
        mode = 0o40755 if node == 1 else 0o100644
        answer = {
            26: struct.pack("<IIIIHHIIHHIIIIIIIII", 7, 31, 0, 0, 0, 0, 4096, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)[:64],
            1: struct.pack("<QQQQII", 2, 0, 9, 9, 0, 0) + attr(2, 0o100644),
            3: struct.pack("<QII", 9, 0, 0) + attr(node, mode),
            14: struct.pack("<QII", 1, 0, 0),
        }.get(op)
        if op == 15:
            print("stalled", flush=True)
        elif answer is not None:
            os.write(fuse, struct.pack("<IiQ", 16 + len(answer), 0, unique) + answer)
        elif op not in (2, 42):
            os.write(fuse, struct.pack("<IiQ", 16, -38, unique))
# Whoever holds the device and waits for its own file system can be ended by nobody.
os.close(fuse)
libc.mmap.restype = ctypes.c_void_p
at = libc.mmap(None, ctypes.c_size_t(4096), 1, 2, os.open("/tmp/m/f", os.O_RDONLY), ctypes.c_long(0))
libc.connect(socket.socket().fileno(), ctypes.c_void_p(at), 16)
"#;

both! {
    /// The watch waits for memory that never comes, and can then not be killed; the jar can.
    fn a_command_that_stalls_its_belljar_is_ended_with_it(world) {
        world.file("stall.py", STALL);
        let mut run = world.belljar(["run", "--allow-nested", "--apply", "never", "--", "/usr/bin/python3", "stall.py"]).spawn();
        run.expect("stalled");
        let trial = only_trial(world);
        run.kill();
        assert!(until(GONE, || world.leftovers().is_empty()), "{:#?}", world.leftovers());
        world.belljar(["discard", &trial, "--yes"]).run().success();
        assert_nothing_left(world);
    }

    fn what_an_inner_jar_discards_leaves_the_outer_view_untouched(world) {
        bring(world);
        world.file("a", "old\n").file("d/f", "old\n");
        let before = world.snapshot();
        let script = "
            $B run --apply discard -- sh -c 'echo new > a; rm -r d; echo b > b; ln a l; mv b c; echo x > ~/x; cat a' || exit
            cat a d/f; ls; ls ~/x; $B trials";
        let run = open(world, "never", script).run();
        run.success().stdout_is("new\nold\nold\na\nd\nno trial waits for a decision\n");
        assert_eq!(world.trials(), Vec::<Value>::new(), "the outer trial changed nothing{}", run.report());
        world.assert_untouched(&before);
        assert_nothing_left(world);
    }

    fn what_an_inner_jar_applies_is_what_the_outer_trial_shows_and_makes_real(world) {
        bring(world);
        world.file("a", "old\n").file("d/f", "old\n").file("e/g", "old\n").file("keep", "old\n");
        let before = world.snapshot();
        let inner = "echo new >> a; rm -r d; mv e moved; mkdir -p n/m; echo x > n/m/x; ln -s a link; chmod 600 keep";
        let script = format!("
            $B run --apply never -- sh -c '{inner}' || exit
            cat a; test -d d || exit
            $B show --json > /tmp/inner || exit; $B diff > /dev/null || exit
            $B apply --yes || exit
            cat a; ls; $B undo --yes || exit; ls; $B apply --yes || exit; $B trials; cat /tmp/inner >&2");
        let run = open(world, "never", &script).run();
        run.success();
        world.assert_untouched(&before);
        let trial = only_trial(world);
        let shown = world.belljar(["show", &trial, "--json"]).run().json();
        let paths = |of: &Value| -> Vec<String> {
            let changes = of["changes"].as_array().unwrap();
            changes.iter().map(|change| change["path"].as_str().unwrap().to_owned()).collect()
        };
        // Of the directory whose names changed the outer trial may tell the time that the inner apply gave it.
        let home = world.workspace().display().to_string();
        let outer: Vec<String> = paths(&shown).into_iter().filter(|path| *path != home).collect();
        let inner = run.stderr.lines().find(|line| line.starts_with('{')).unwrap();
        assert_eq!(outer, paths(&serde_json::from_str(inner).unwrap()), "{shown:#}");
        world.belljar(["apply", &trial, "--yes"]).run().success();
        world.assert_tree("
            a = old\\nnew
            keep = old
            link -> a
            moved/
            moved/g = old
            n/
            n/m/
            n/m/x = x");
        let mode = std::fs::metadata(world.workspace().join("keep")).unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o7777, 0o600);
        world.belljar(["undo", &trial, "--yes"]).run().success();
        world.belljar(["discard", &trial, "--yes"]).run().success();
        assert_nothing_left(world);
    }

    fn a_third_level_only_where_the_second_allows_it(world) {
        bring(world);
        let script = "
            $B run --apply discard -- $B run --apply discard -- true; echo $?
            $B run --allow-nested --apply never -- $B run --apply never -- sh -c 'echo deep > deep; id -u' && ls
            $B run --allow-nested --apply always -- sh -c \"$B run --apply always -- sh -c 'echo deep > deep'\" > /dev/null && cat deep";
        let run = open(world, "never", script).run();
        run.success().stdout_is(&format!("125\n{}\ndeep\n", world.owner().0));
        assert!(run.stderr.contains("inside another belljar"), "{}", run.report());
        assert!(run.stderr.contains("--allow-nested"), "the refusal names the way{}", run.report());
        assert!(!world.has("deep"));
        world.belljar(["apply", "--yes"]).run().success();
        assert_eq!(world.read("deep").unwrap(), "deep\n");
        world.belljar(["undo", "--yes"]).run().success();
        world.belljar(["discard", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    fn what_is_given_up_is_told_everywhere_and_nothing_else_is(world) {
        bring(world);
        let run = world.belljar(["run", "--allow-nested", "--apply", "discard", "--json", "--", "true"]).run();
        let containment = run.success().json()["containment"].clone();
        assert_eq!(missing(&containment), ["landlock", "seccomp"], "{containment:#}");
        let active = containment["active"].to_string();
        for layer in ["user-namespace", "mount-namespace", "pid-namespace", "ipc-namespace", "uts-namespace", "net-namespace",
            "cgroup-namespace", "overlay", "no-capabilities", "no-new-privs", "clean-descriptors", "network-watch",
            "scopes only", "open for jars inside"] {
            assert!(active.contains(layer), "{layer} is not in {active}");
        }
        let words = open(world, "discard", "true").run();
        assert!(words.stderr.contains("WEAKER without landlock: --allow-nested"), "{}", words.report());
        assert!(words.stderr.contains("WEAKER without seccomp: --allow-nested"), "{}", words.report());
        let audit = world.belljar(["audit", "log", "--json"]).run().stdout;
        assert!(audit.contains("--allow-nested: user namespaces"), "{audit}");

        let doctor = open(world, "discard", "$B doctor").run();
        doctor.success();
        assert!(doctor.stdout.contains("this jar allows them") && doctor.stdout.contains("can build a full jar"), "{}", doctor.report());

        let inner = open(world, "discard", "$B run --apply discard --json -- true").run();
        let containment = inner.success().json()["containment"].clone();
        assert_eq!(missing(&containment), ["network-watch"], "{containment:#}");
        assert!(containment["active"].to_string().contains("landlock"), "{containment:#}");
        // The outer watch sees what the inner jar tries.
        world.file("call.sh", "exec 3<>/dev/tcp/203.0.113.7/443\n");
        let command = ["run", "--allow-nested", "--apply", "discard", "--json", "--", "../belljar", "run", "--apply", "discard", "--"];
        let tried = world.belljar(command).args(["bash", "call.sh"]).run();
        assert!(tried.json()["attempts"].to_string().contains("203.0.113.7"), "{}", tried.report());
        assert_nothing_left(world);
    }

    /// The kernel's overlay is not for such a jar, and that is said where such things are said.
    fn what_only_the_outer_jar_can_have_is_said(world) {
        bring(world);
        for (option, why) in [("--allow-net web.test", "has no network"), ("--limit mem=1G", "are the outer jar's")] {
            let run = open(world, "discard", &format!("$B run {option} -- true; echo $?")).run();
            run.success().stdout_is("125\n");
            assert!(run.stderr.contains(why), "{}", run.report());
        }
        assert_nothing_left(world);
    }

    fn fuse_keeps_a_jar_that_allows_others(world) {
        bring(world);
        world.file("a", "old\n");
        let auto = world.belljar(["run", "--allow-nested", "--apply", "discard", "--json", "--", "touch", "a"]).run();
        let backends = auto.success().json()["containment"]["backends"].clone();
        assert!(backends.as_array().unwrap().iter().all(|root| root["backend"] == "fuse"), "{backends:#}");
        assert!(backends.to_string().contains("jars are allowed inside"), "{backends:#}");
        let asked = world.belljar(["run", "--allow-nested", "--backend", "kernel", "--", "touch", "a"]).run();
        asked.code(125);
        assert!(asked.stderr.contains("jars are allowed inside"), "{}", asked.report());
        // Inside, the outer view is no layer for the kernel.
        let inner = open(world, "discard", "$B run --backend kernel -- touch a").run();
        inner.code(125);
        assert!(inner.stderr.contains("local file system"), "{}", inner.report());
        assert_nothing_left(world);
    }

    /// Root's inner jar has the /proc of the outer one, which shows it its own processes alone.
    fn of_the_outer_jars_processes_nothing_can_be_had(world) {
        bring(world);
        world.file("probe.sh", PROBE);
        let outer = open(world, "discard", "sleep 4321 & sleep 0.1; sh probe.sh").run();
        outer.success().stdout_is("seen\nenviron\nmem\nmaps\nroot\ncwd\nfd\nexe\nns\n");
        let inner = open(world, "discard", "sleep 4321 & sleep 0.1; $B run --apply discard -- sh probe.sh").run();
        inner.success().stdout_is("");
        assert_nothing_left(world);
    }

    /// What is hidden stays hidden two levels down; the host's state is neither seen nor touched, and the inner Belljar
    /// keeps one of its own that ends with the outer jar.
    fn secrets_and_the_hosts_state_stay_out_of_reach(world) {
        bring(world);
        for secret in [".ssh/id_ed25519", ".aws/credentials", ".netrc"] {
            world.file(world.home().join(secret), "hush-hush\n");
        }
        world.belljar(["run", "--apply", "never", "--", "sh", "-c", "echo waits > waits"]).run().success();
        let waiting = only_trial(world);
        let probe = "cat ~/.ssh/id_ed25519 ~/.aws/credentials ~/.netrc; ls ~/.local/state/belljar/ /run/belljar-inside/state/; head -c 1 /etc/shadow; env";
        let script = format!("
            $B trials; ls ~/.local/state/belljar/ | grep .
            $B run --apply never -- sh -c '{probe}'; $B trials | wc -l; $B discard --yes > /dev/null; $B audit verify");
        let run = open(world, "discard", &script).env("AWS_SECRET_ACCESS_KEY", "hush-hush").run();
        assert!(!run.stdout.contains("hush-hush") && !run.stderr.contains("hush-hush"), "{}", run.report());
        assert!(!run.stdout.contains("trials\n") && !run.stdout.contains(&waiting), "{}", run.report());
        world.belljar(["audit", "verify"]).run().success();
        assert_eq!(only_trial(world), waiting);
        world.belljar(["discard", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    fn killing_the_inner_belljar_leaves_nothing_of_its_jar(world) {
        bring(world);
        // `$!` is the inner Belljar; what it held must be gone while the outer jar goes on.
        let script = "
            $B run --apply never -- sh -c 'echo x > x; sleep 4321 & setsid sleep 4322 & echo ready; sleep 4323' > out &
            n=0; until grep -qs ready out; do sleep 0.05; n=$((n+1)); test $n -lt 200 || exit 3; done
            runs() { for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $f | grep '^sleep 432'; done 2> /dev/null | wc -l; }
            until test $(runs) = 3; do sleep 0.05; n=$((n+1)); test $n -lt 300 || exit 5; done
            kill -9 $!; wait $!; n=0
            until test $(runs) = 0; do sleep 0.05; n=$((n+1)); test $n -lt 40 || exit 4; done
            test ! -e x && $B trials | grep -c interrupted; $B discard --yes > /dev/null && $B trials";
        let run = open(world, "discard", script).run();
        run.success().stdout_is("1\nno trial waits for a decision\n");
        assert_nothing_left(world);
    }

    fn killing_the_outer_belljar_leaves_nothing_at_all(world) {
        bring(world);
        world.file("a", "old\n");
        let before = world.snapshot();
        let script = "$B run --apply never -- sh -c 'echo new > a; sleep 4321 & setsid sleep 4322 & echo ready; sleep 4323'";
        let mut run = open(world, "never", script).spawn();
        run.expect("ready");
        let trial = only_trial(world);
        run.kill();
        assert!(until(GONE, || world.leftovers().is_empty()), "{:#?}", world.leftovers());
        world.assert_untouched(&before);
        world.belljar(["discard", &trial, "--yes"]).run().success();
        assert_nothing_left(world);
    }
}
