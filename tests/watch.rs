//! `run --watch files`: what the command tried on files and asked of the kernel in vain is told, with what would allow it;
//! and nothing is allowed by it.

use crate::support::{assert_nothing_left, both};
use serde_json::Value;
use testkit::World;

/// Tries to write outside, to read a secret, and a call that the filter refuses (bpf(2), by its number on x86-64).
const TRIES: &str = "import os, ctypes\n\
    def attempt(f):\n    try:\n        f()\n    except OSError as e:\n        print(e.strerror)\n\
    attempt(lambda: open('/etc/made', 'w'))\n\
    attempt(lambda: os.mkdir('/usr/made'))\n\
    attempt(lambda: os.unlink('/usr/bin/env'))\n\
    os.chdir('/usr')\n\
    attempt(lambda: open('lib/made', 'w'))\n\
    attempt(lambda: open(os.path.expanduser('~/.ssh/id')))\n\
    libc = ctypes.CDLL(None, use_errno=True)\n\
    print(libc.syscall(321, 0, 0, 0), os.strerror(ctypes.get_errno()))\n\
    open('/tmp/fine', 'w').write('x')\n\
    open(os.path.expanduser('~/project/fine'), 'w').write('x')\n";

fn attempts(report: &Value) -> Vec<String> {
    let told = |attempt: &Value| {
        let target = &attempt["target"];
        let what = target["path"].as_str().or(target["what"].as_str()).unwrap_or_default();
        let name = what.rsplit_once("/home/").map_or(what, |(_, rest)| rest);
        format!("{} {name} {}", attempt["action"].as_str().unwrap(), attempt["rule"].as_str().unwrap())
    };
    let mut all: Vec<String> = report["attempts"].as_array().unwrap().iter().map(told).collect();
    all.sort();
    all
}

fn run(world: &World, options: &[&str]) -> testkit::Output {
    world.file(world.home().join(".ssh/id"), "key").file("tries.py", TRIES);
    let command = ["--", "python3", "tries.py"];
    let args = ["run", "--apply", "never"].iter().chain(options).chain(&command);
    world.belljar(args.copied().collect::<Vec<_>>()).run()
}

both! {
    fn what_was_refused_is_told_and_refused_all_the_same(world) {
        let plain = run(world, &[]);
        plain.success();
        let watched = run(world, &["--watch", "files", "--json"]);
        watched.success();
        assert_eq!(watched.stderr.lines().collect::<Vec<_>>(), plain.stdout.lines().collect::<Vec<_>>(), "the same happens");
        let all = attempts(&watched.json());
        for expected in [
            "create /usr/made files/read-only",
            "delete /usr/bin/env files/read-only",
            "privilege the system call bpf calls/refused",
            "read .ssh/id secrets/ssh",
            "write /etc/made files/read-only",
            "write /usr/lib/made files/read-only",
        ] {
            assert!(all.iter().any(|line| line == expected), "{expected}: {all:#?}");
        }
        assert!(!all.iter().any(|line| line.contains("fine")), "{all:#?}");
        let times: u64 = watched.json()["attempts"].as_array().unwrap().len() as u64;
        assert!(times < 20, "{all:#?}");
        world.belljar(["discard", "--all", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    fn a_secret_is_told_where_nobody_serves_the_home(world) {
        let told = run(world, &["--profile", "untrusted-repo", "--watch", "files"]);
        told.stderr_has("/.ssh/id: refused [secrets/ssh]");
        let shown = world.belljar(["show"]).run();
        shown.stdout_has("tried to read ").stdout_has("/.ssh/id: refused [secrets/ssh]").stdout_has("/.ssh)");
        world.belljar(["discard", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    fn a_flood_is_bounded(world) {
        let script = "for i in $(seq 2000); do true > /usr/x$i; done 2>/dev/null; true";
        let run = world.belljar(["run", "--watch", "files", "--apply", "discard", "--json", "--", "sh", "-c", script]).run();
        let report = run.json();
        let attempts = report["attempts"].as_array().unwrap();
        assert!(attempts.len() < 300, "{}", attempts.len());
        let times: u64 = attempts.iter().map(|attempt| attempt["times"].as_u64().unwrap()).sum();
        assert!(times >= 2000, "{times}");
        assert_nothing_left(world);
    }
}
