//! Machines that withhold namespaces: jars of tier T2 there, held by Landlock, a filter and its supervisor, on a copy.
//! What is withheld is taken away by a filter of our own, see `tests/withheld/filter.py`.

use crate::fidelity;
use crate::support::{assert_nothing_left, both, only_trial};
use serde_json::Value;
use std::time::{Duration, Instant};
use testkit::{Run, World, until};

pub(crate) const FILTER: &str = include_str!("withheld/filter.py");
const KINDS: [&str; 3] = ["docker", "apparmor", "sysctl"];

/// Everyday things that are different without namespaces, with the reason.
const DIFFERENT: [(&str, &str); 4] = [
    ("inotify", "the supervisor would need pidfd_getfd(2), which Docker refuses too"),
    ("abstract socket", "without a network namespace abstract names are the host's"),
    ("shared memory", "/dev/shm is the host's"),
    ("process pool", "sem_open(3) is in /dev/shm, which is the host's"),
];

pub(crate) fn withheld<'w>(kind: &str, run: Run<'w>) -> Run<'w> {
    run.under(["/usr/bin/python3", "-c", FILTER, kind])
}

fn belljar<'w, const N: usize>(world: &'w World, words: [&str; N]) -> Run<'w> {
    withheld("docker", world.belljar(words))
}

fn sh<'w>(world: &'w World, mode: &str, script: &str) -> Run<'w> {
    belljar(world, ["run", "--apply", mode, "--", "sh", "-c", script])
}

both! {
    fn wherever_namespaces_are_withheld_a_jar_does_without_and_says_so(world) {
        world.file("old.txt", "old\n");
        world.file("gone.txt", "x\n");
        for kind in KINDS {
            let before = world.snapshot();
            let script = "echo more >> old.txt; rm gone.txt; mkdir d; echo new > d/new.txt; chmod 600 d/new.txt; exit 3";
            let run = withheld(kind, world.belljar(["run", "--apply", "never", "--json", "--", "sh", "-c", script])).run();
            run.code(3);
            let report = run.json();
            assert_eq!(report["containment"]["tier"], "T2", "{kind}: {report:#}");
            assert_eq!(report["containment"]["backends"][0]["backend"], "copy", "{kind}");
            let missing = report["containment"]["missing"].as_array().unwrap();
            for layer in ["user-namespace", "mount-namespace", "pid-namespace", "net-namespace"] {
                assert!(missing.iter().any(|gap| gap["layer"] == layer), "{kind}: {layer} is not told");
            }
            world.assert_untouched(&before);
            let trial = report["trial"].as_str().unwrap();
            world.belljar(["apply", "--yes", trial]).run().success();
            assert_eq!(std::fs::read_to_string(world.workspace().join("d/new.txt")).unwrap(), "new\n");
            world.belljar(["undo", "--yes", trial]).run().success();
            world.assert_untouched(&before);
            world.belljar(["discard", trial]).run().success();
        }
        assert_nothing_left(world);
    }

    fn it_is_one_line_on_the_screen_and_the_audit_log_has_it(world) {
        let run = sh(world, "discard", "true").run();
        run.success();
        assert_eq!(run.stderr.lines().filter(|line| line.starts_with("WEAKER")).count(), 1, "{}", run.stderr);
        assert!(run.stderr.contains("tier T2, without namespaces"), "{}", run.stderr);
        let log = world.belljar(["audit", "log", "--json"]).run().stdout;
        assert!(log.contains("\"tier\":\"T2\""), "{log}");
        let plain = world.belljar(["run", "--apply", "discard", "--", "true"]).run();
        assert_eq!(plain.success().stderr, "", "a jar with namespaces has nothing to tell");
        assert_nothing_left(world);
    }

    fn the_doctor_and_the_plan_say_which_tier(world) {
        let run = belljar(world, ["doctor", "--json"]).run();
        run.success();
        let report = run.json();
        assert_eq!((&report["tier"], &report["able"]), (&Value::from("T2"), &Value::from(false)));
        let plain = world.belljar(["doctor", "--json"]).run().json();
        assert_eq!(plain["tier"], "T1");
        let plan = belljar(world, ["run", "--print-plan", "--", "true"]).run();
        plan.success();
        for word in ["landlock: write only below", "/copy0", "supervisor"] {
            assert!(plan.stdout.contains(word), "{}", plan.stdout);
        }
        assert!(!plan.stdout.contains("mount proc"), "{}", plan.stdout);
        let plan = world.belljar(["run", "--print-plan", "--", "true"]).run();
        assert!(plan.stdout.contains("mount proc"), "{}", plan.stdout);
    }

    fn what_it_cannot_do_is_refused_with_what_to_do(world) {
        let cases: [(&[&str], &str); 5] = [
            (&["--allow-nested"], "--allow-nested"),
            (&["--backend", "fuse"], "nothing can be mounted"),
            (&["--backend", "kernel"], "nothing can be mounted"),
            (&["--who"], "--who needs fuse"),
            (&["--limit", "disk=1G"], "limits on disk"),
        ];
        for (options, why) in cases {
            let words = ["run", "--apply", "discard"].into_iter().chain(options.iter().copied()).chain(["--", "touch", "ran"]);
            let run = withheld("docker", world.belljar(words.collect::<Vec<_>>())).run();
            run.code(125);
            assert!(run.stderr.contains(why), "{options:?}: {}", run.stderr);
        }
        assert_nothing_left(world);
    }

    fn endings_are_the_commands_own(world) {
        sh(world, "discard", "exit 37").run().code(37);
        sh(world, "discard", "kill -TERM $$").run().killed_by(15);
        belljar(world, ["run", "--apply", "discard", "--", "no-such-command"]).run().code(127);
        belljar(world, ["run", "--apply", "discard", "--", "/etc/passwd"]).run().code(126);
        let late = belljar(world, ["run", "--apply", "discard", "--limit", "time=1s", "--", "sleep", "60"]);
        let began = Instant::now();
        let _ = late.run();
        assert!(began.elapsed() < Duration::from_secs(8));
        let loud = belljar(world, ["run", "--apply", "discard", "--limit", "output=64K", "--", "yes"]).run();
        assert!(loud.stdout.len() <= 128 << 10, "{} bytes", loud.stdout.len());
        assert_nothing_left(world);
    }

    fn what_is_left_behind_ends_with_the_command(world) {
        let script = "setsid sh -c 'setsid sleep 300 & sleep 300 & sleep 300' >/dev/null 2>&1 & sleep 0.2";
        sh(world, "discard", script).run().success();
        assert_nothing_left(world);
    }

    fn a_killed_belljar_leaves_no_process_and_its_changes_wait(world) {
        let script = "echo kept > kept.txt; setsid sleep 300 & setsid sh -c 'sleep 300 & sleep 300' & echo ready; sleep 300";
        let mut run = sh(world, "never", script).spawn();
        run.expect("ready");
        run.signal(testkit::Signal::SIGKILL);
        run.wait();
        assert!(until(Duration::from_millis(500), || world.leftovers().processes.is_empty()), "{:?}", world.leftovers());
        let id = only_trial(world);
        world.belljar(["apply", "--yes", &id]).run().success();
        world.assert_tree("kept.txt = kept\n");
    }

    fn a_fork_bomb_is_stopped(world) {
        world.file("bomb.py", "import os, time\nend = time.time() + 1\nwhile time.time() < end:\n    try: os.fork()\n    except OSError: pass\n");
        let words = ["run", "--apply", "discard", "--json", "--limit", "pids=60", "--", "/usr/bin/python3", "bomb.py"];
        let run = belljar(world, words).run();
        assert_eq!(run.json()["limits_hit"][0], "processes", "{}", run.stdout);
        assert_nothing_left(world);
    }

    fn a_jar_goes_on_and_goes_back(world) {
        world.file("a.txt", "0\n");
        let step = |script: &str| belljar(world, ["run", "--jar", "work", "--apply", "never", "--", "sh", "-c", script]).run();
        step("echo 1 >> a.txt; mkdir d; echo x > d/x").success();
        step("cat a.txt; echo 2 >> a.txt; rm d/x; rmdir d").success().stdout_is("0\n1\n");
        world.belljar(["rewind", "--yes", "work"]).run().success();
        step("cat a.txt d/x").success().stdout_is("0\n1\nx\n");
        world.belljar(["discard", "work"]).run().success();
        assert_nothing_left(world);
    }

    fn everyday_things_are_as_they_are_bare_but_for_what_is_known(world) {
        world.file("cases.sh", fidelity::script());
        let exe = world.exe().to_str().unwrap().to_owned();
        let words = ["/usr/bin/python3", "-c", FILTER, "docker", &exe, "run", "--apply", "discard", "--", "bash", "cases.sh"];
        let jar = fidelity::run(world, &words);
        let bare = fidelity::run(world, &["bash", "cases.sh"]);
        let mut wrong = Vec::new();
        for (number, (name, _)) in fidelity::CASES.iter().enumerate() {
            let (bare, jar) = (bare.get(&number).cloned().unwrap_or_default(), jar.get(&number).cloned().unwrap_or_default());
            let known = DIFFERENT.iter().any(|(known, _)| known == name);
            if (bare == jar) == known {
                wrong.push(format!("{name}{}\n  bare {bare:?}\n  jar  {jar:?}", if known { " is the same now" } else { "" }));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_nothing_left(world);
    }

    fn on_a_terminal_it_is_the_commands_own(world) {
        let on = |script: &str| sh(world, "discard", script).on_terminal();
        let mut pty = on("echo ready; exec sleep 300");
        pty.expect("ready").send("\x03");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&pty.wait()), Some(2), "{}", pty.screen());
        let mut pty = on("trap 'echo caught' INT; (echo ready; exec sleep 300); echo on; exit 5");
        pty.expect("ready").send("\x03");
        pty.expect("caught").expect("on");
        assert_eq!(pty.wait().code(), Some(5), "{}", pty.screen());
        let mut pty = on("test -t 0 && stty size && tty >/dev/null && echo yes > /dev/tty; read line < /dev/tty; echo got $line");
        pty.expect("40 160").expect("yes").send("words\n");
        pty.expect("got words");
        assert!(pty.wait().success(), "{}", pty.screen());
        world.file(world.home().join(".bashrc"), "PS1='[%]'\nbind 'set enable-bracketed-paste off' 2>/dev/null\n");
        let mut pty = belljar(world, ["run", "--apply", "discard", "--", "bash", "-i"]).on_terminal();
        pty.expect("[%]").send("sleep 300 &\n");
        pty.expect("[1]").expect("[%]").send("fg\n");
        pty.expect("sleep 300");
        // The shell says so before it gives the terminal away.
        std::thread::sleep(Duration::from_millis(300));
        pty.send("\x1a");
        pty.expect("Stopped").expect("[%]").send("fg\n");
        pty.expect("sleep 300");
        std::thread::sleep(Duration::from_millis(300));
        pty.send("\x03");
        pty.expect("[%]").send("exit 0\n");
        assert!(pty.wait().success(), "{}", pty.screen());
        assert_nothing_left(world);
    }

    fn unix_sockets_are_for_those_inside(world) {
        let outside = world.home().join("outside.sock");
        let listener = std::os::unix::net::UnixListener::bind(&outside).unwrap();
        std::fs::set_permissions(&outside, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        listener.set_nonblocking(true).unwrap();
        world.file("try.py", format!("
import os, socket, sys
def way(connect):
    try: connect(); print('through')
    except OSError as error: print(error.errno)
def stream(): return socket.socket(socket.AF_UNIX)
server = stream(); server.bind('s'); server.listen()
client = stream(); client.connect(os.path.abspath('s')); server.accept()[0].send(b'inside')
print(client.recv(6), oct(os.stat('s').st_mode & 0o777))
os.symlink({outside:?}, 'way')
for path in [{outside:?}, 'way']: way(lambda: stream().connect(path))
way(lambda: stream().connect('\\0some'))
way(lambda: stream().bind('\\0some'))
way(lambda: stream().bind({outside:?} + '2'))
way(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
way(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
way(lambda: socket.create_connection(('127.0.0.1', 9), 5))
", outside = outside.to_str().unwrap()));
        let run = belljar(world, ["run", "--apply", "discard", "--json", "--", "/usr/bin/python3", "try.py"]).run();
        run.success();
        let said = "b'inside' 0o755\n13\n13\n111\n1\n13\n93\n93\n111\n";
        assert!(run.stderr.contains(said), "{}", run.stderr);
        let tried = run.json()["attempts"].to_string();
        assert!(tried.contains("jar/socket") && tried.contains("outside.sock") && tried.contains("network/none"), "{tried}");
        assert!(listener.accept().is_err(), "somebody came through");
        std::fs::remove_file(outside).unwrap();
        assert_nothing_left(world);
    }
}
