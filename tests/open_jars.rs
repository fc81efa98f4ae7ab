//! Open jars: many commands in one jar whose namespaces and view are made once.

use crate::support::{assert_nothing_left, both};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use testkit::{Child, Output, World, until};

/// What came of `commands` in the jar `name`, and what came of the jar.
#[track_caller]
fn open(world: &World, name: &str, apply: &str, commands: &[Value]) -> (Vec<Value>, Value) {
    let lines: String = commands.iter().map(|command| format!("{command}\n")).collect();
    let run = world.belljar(["run", "--jar", name, "--apply", apply, "--jsonl", "-"]).stdin(lines).run();
    run.success();
    let mut answers = answers(&run);
    let end = answers.pop().unwrap();
    assert_eq!((answers.len(), &end["schema"]), (commands.len(), &json!("belljar.run/1")), "{}", run.report());
    (answers, end)
}

fn answers(run: &Output) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sh(text: &str) -> Value {
    json!({ "cmd": text })
}

/// A pipe that stays open while this is held, and a jar that reads its commands from it.
fn fed(world: &World, name: &str) -> (File, Child) {
    let pipe: PathBuf = world.base().join("commands");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    std::os::unix::fs::chown(&pipe, Some(world.owner().0), Some(world.owner().1)).unwrap();
    let feed = File::options().read(true).write(true).open(&pipe).unwrap();
    let words = ["run", "--jar", name, "--apply", "never", "--jsonl", pipe.to_str().unwrap()];
    (feed, world.belljar(words).in_own_group().spawn())
}

both! {
    fn commands_share_a_jar_and_each_has_its_answer(world) {
        world.file("a", "old\n").dir("d");
        let before = world.snapshot();
        let cwd = world.workspace().join("d");
        let (told, end) = open(world, "work", "never", &[
            json!({"id": "x", "cmd": "echo new > a; cat a; echo bad >&2; exit 3"}),
            json!({"id": [2], "argv": ["cat", "a"]}),
            json!({"cmd": "pwd; echo $ONE; cat", "cwd": cwd, "env": {"ONE": "1"}, "stdin": "given\n"}),
            sh("echo kept > /tmp/t; sleep 60 & echo $ONE"),
            sh("cat /tmp/t; set -- /proc/[0-9]*; echo $#"),
            sh("printf '\\377\\000'"),
            sh("kill -9 $$"),
        ]);
        assert_eq!((&told[0]["id"], &told[0]["exit"]["value"], &told[0]["number"]), (&json!("x"), &json!(3), &json!(1)));
        assert_eq!((&told[0]["stdout"], &told[0]["stderr"]), (&json!("new\n"), &json!("bad\n")));
        assert_eq!((&told[1]["id"], &told[1]["stdout"]), (&json!([2]), &json!("new\n")));
        assert_eq!(told[2]["stdout"], json!(format!("{}\n1\ngiven\n", cwd.display())));
        assert_eq!(told[3]["stdout"], "\n", "a variable is for one command");
        // pid 1 and the shell: nothing of a command runs on.
        assert_eq!(told[4]["stdout"], "kept\n2\n");
        assert_eq!((&told[5]["stdout_hex"], told[5].get("stdout")), (&json!("ff00"), None));
        assert_eq!(told[6]["exit"], json!({"type": "signal", "value": 9}));
        assert!(told.iter().all(|told| told["changes"] == 1), "{told:#?}");
        assert_eq!((&end["runs"].as_array().unwrap().len(), &end["settled"]["outcome"]), (&7, &json!("left")));
        world.assert_untouched(&before);

        // It is a jar like any other: gone on with, rewound, applied.
        world.belljar(["run", "--jar", "work", "--apply", "never", "--", "sh", "-c", "cat a; echo more >> a"]).run().success().stdout_is("new\n");
        let (told, _) = open(world, "work", "never", &[sh("cat a; rm a"), sh("test -e a")]);
        assert_eq!((&told[0]["stdout"], &told[0]["number"]), (&json!("new\nmore\n"), &json!(9)));
        assert_eq!(told[1]["exit"]["value"], 1);
        world.belljar(["rewind", "work", "--to", "9", "--yes"]).run().success();
        world.belljar(["apply", "work", "--yes"]).run().success();
        assert_eq!(world.read("a").unwrap(), "new\nmore\n");
        world.belljar(["audit", "verify"]).run().success();
    }

    fn what_waits_is_settled_when_the_jar_is_closed(world) {
        let (told, end) = open(world, "work", "auto", &[sh("echo x > made"), sh("echo y > .git-hook; mkdir -p .git/hooks; echo z > .git/hooks/pre-commit")]);
        assert_eq!((&told[0]["disposition"], &told[0]["flags"]), (&json!("keep"), &json!([])));
        assert_ne!(told[1]["flags"], json!([]), "a hook is shown in red");
        assert_eq!(end["settled"]["outcome"], "applied");
        assert_eq!(world.read("made").unwrap(), "x\n");
        assert!(!world.has(".git/hooks/pre-commit"));
        world.belljar(["discard", "work"]).run().success();
    }

    /// Each command is judged for itself, and what is tried is told of the command that tried.
    fn one_refused_command_leaves_the_others(world) {
        world.file(world.home().join(".ssh/id_rsa"), "secret");
        let (told, _) = open(world, "work", "never", &[
            sh("cat ~/.ssh/id_rsa"),
            json!({"cmd": "true", "cwd": "/nowhere"}),
            json!({"argv": ["/nowhere/x"]}),
            sh("echo harmless\u{1b}[8m; touch ran"),
            sh("echo on; ls"),
        ]);
        assert!(told[0]["attempts"].to_string().contains("secrets/ssh"), "{told:#?}");
        assert_eq!(told[1]["error"]["kind"], "sandbox");
        assert!(told[1]["error"]["message"].as_str().unwrap().contains("/nowhere"));
        assert_eq!((&told[2]["exit"]["value"], &told[2]["exec_errno"]), (&json!(127), &json!(2)));
        assert_eq!((&told[3]["error"]["kind"], &told[3]["error"]["exit_code"]), (&json!("refused"), &json!(126)));
        assert_eq!((&told[4]["stdout"], &told[4]["attempts"]), (&json!("on\n"), &json!([])));
        let shown = world.belljar(["show", "work", "--json"]).run().json();
        assert_eq!(shown["runs"].as_array().unwrap().len(), 3, "what could not be started is no run");
        world.belljar(["discard", "work"]).run().success();
        assert_nothing_left(world);
    }

    fn lines_that_are_no_command_are_told_in_their_place(world) {
        let lines = "nonsense\n{}\n{\"cmd\":\"true\",\"argv\":[\"true\"]}\n{\"id\":1,\"cmd\":7}\n{\"cmd\":\"echo on\"}";
        let run = world.belljar(["run", "--jar", "work", "--jsonl", "-"]).stdin(lines).run();
        run.code(2);
        let answers = answers(&run);
        assert_eq!(answers.len(), 6, "{}", run.report());
        for (number, answer) in (1..).zip(&answers[..4]) {
            assert_eq!((&answer["error"]["kind"], &answer["error"]["line"]), (&json!("input"), &json!(number)));
        }
        assert_eq!((&answers[3]["id"], &answers[4]["stdout"]), (&json!(1), &json!("on\n")));
        for (words, about) in [
            (vec!["run", "--jsonl", "-"], "--jar"),
            (vec!["run", "--jar", "w", "--jsonl", "-", "--", "true"], "--jsonl"),
            (vec!["run", "--jar", "w", "--jsonl", "/nowhere"], "/nowhere"),
            (vec!["run", "--jar", "w", "--apply", "ask", "--jsonl", "-"], "--apply"),
        ] {
            let run = world.belljar(words).run();
            assert_ne!(run.status.code(), Some(0));
            assert!(run.report().contains(about), "{}", run.report());
        }
        world.belljar(["discard", "work"]).run().success();
        assert_nothing_left(world);
    }

    fn limits_end_a_command_and_not_its_jar(world) {
        let lines = "{\"cmd\":\"yes\"}\n{\"cmd\":\"kill -STOP $$\"}\n{\"cmd\":\"echo on\"}\n";
        let words = ["run", "--jar", "work", "--limit", "output=64K,time=1s", "--jsonl", "-"];
        let run = world.belljar(words).stdin(lines).run();
        run.success();
        let told = answers(&run);
        assert_eq!((&told[0]["limit"], told[0]["stdout"].as_str().unwrap().len()), (&json!("output"), 64 << 10));
        assert_eq!((&told[1]["limit"], &told[1]["exit"]["value"]), (&json!("wall"), &json!(9)));
        assert_eq!((&told[2]["limit"], &told[2]["stdout"]), (&Value::Null, &json!("on\n")));
    }

    /// Also where a control group keeps them, which lives as long as the jar.
    fn limits_on_processes_and_their_time_are_each_commands_own(world) {
        let count = "import os, time\nfor n in range(1000):\n  try: child = os.fork()\n  except OSError: break\n  \
            child or time.sleep(60)\nprint(n)\ntime.sleep(0.3)";
        world.file("count.py", count);
        let spin = "{\"cmd\":\"while :; do :; done\"}\n";
        let forks = "{\"cmd\":\"exec python3 count.py\"}\n";
        let lines = format!("{forks}{{\"cmd\":\"echo on\"}}\n{spin}{{\"cmd\":\"echo on\"}}\n{spin}{forks}{{\"cmd\":\"echo off\"}}\n");
        let words = ["run", "--jar", "work", "--limit", "pids=300,cpu=1s", "--jsonl", "-"];
        let run = world.belljar(words).stdin(lines).run();
        run.success();
        let told = answers(&run);
        let [pids, cpu, none] = [json!("processes"), json!("cpu"), Value::Null];
        for (number, limit) in [(0, &pids), (1, &none), (2, &cpu), (3, &none), (4, &cpu), (5, &pids), (6, &none)] {
            // Without a group nobody may have looked at the moment when the last one was there.
            let unseen = *limit == pids && !world.is_root() && told[number]["limit"] == none;
            assert!(told[number]["limit"] == *limit || unseen, "{number}{}", run.report());
        }
        assert_eq!((&told[3]["stdout"], &told[6]["stdout"]), (&json!("on\n"), &json!("off\n")));
        let shown = world.belljar(["show", "work", "--json"]).run().json();
        let layers = shown["containment"]["active"].as_array().unwrap();
        let how = |layer: &str| {
            let found = layers.iter().find(|one| one["layer"] == layer);
            found.unwrap_or_else(|| panic!("{layer}: {layers:#?}"))["detail"].as_str().unwrap().to_owned()
        };
        let exact = how("process-limit").contains("cgroup") || !world.is_root();
        for one in [&told[0], &told[5]] {
            let started: u32 = one["stdout"].as_str().unwrap().trim().parse().unwrap();
            assert!(if exact { started == 299 } else { started <= 600 }, "{started}, {}", how("process-limit"));
        }
        assert!(how("cpu-limit").starts_with("1 s, "));
        // Where one command has one, an open jar has one too.
        let alone = world.belljar(["run", "--limit", "pids=300,cpu=1s", "--apply", "discard", "--json", "--", "true"]).run().json();
        for layer in ["process-limit", "cpu-limit"] {
            let of_one = alone["containment"]["active"].as_array().unwrap().iter().find(|one| one["layer"] == layer).unwrap();
            assert_eq!(of_one["detail"].as_str().unwrap(), how(layer));
        }
        world.belljar(["discard", "work"]).run().success();
        assert_nothing_left(world);
    }

    fn a_kill_loses_nothing_and_leaves_nothing(world) {
        let before = world.snapshot();
        let (mut feed, mut jar) = fed(world, "work");
        feed.write_all(b"{\"cmd\":\"echo one > a\"}\n").unwrap();
        jar.expect("\"number\":1");
        // Nobody else can have it meanwhile.
        world.belljar(["run", "--jar", "work", "--", "true"]).run().code(125).stderr_has("hint:");
        feed.write_all(b"{\"cmd\":\"echo two > b; sleep 60\"}\n").unwrap();
        assert!(until(Duration::from_secs(20), || {
            let shown = world.belljar(["trials", "--json"]).run().json();
            shown.to_string().contains("\"runs\":2")
        }));
        std::thread::sleep(Duration::from_millis(300));
        jar.kill();
        assert!(until(Duration::from_millis(100), || world.leftovers().processes.is_empty()));
        world.assert_untouched(&before);
        let shown = world.belljar(["show", "work", "--json"]).run().json();
        assert_eq!((shown["runs"].as_array().unwrap().len(), &shown["runs"][1]["exit"]), (2, &Value::Null));
        assert_eq!(shown["changes"].as_array().unwrap().len(), 2, "{shown:#}");
        let (told, _) = open(world, "work", "never", &[sh("cat a b")]);
        assert_eq!(told[0]["stdout"], "one\ntwo\n");
        world.belljar(["discard", "work"]).run().success();
        assert_nothing_left(world);
    }

    fn a_signal_between_two_commands_closes_the_jar(world) {
        let (mut feed, mut jar) = fed(world, "work");
        feed.write_all(b"{\"cmd\":\"echo one > a\"}\n").unwrap();
        jar.expect("\"number\":1");
        std::thread::sleep(Duration::from_millis(100));
        jar.signal(Signal::SIGTERM);
        jar.expect("belljar.run/1");
        use std::os::unix::process::ExitStatusExt as _;
        assert_eq!(jar.wait().signal(), Some(Signal::SIGTERM as i32));
        world.belljar(["apply", "work", "--yes"]).run().success();
        assert_eq!(world.read("a").unwrap(), "one\n");
    }
}
