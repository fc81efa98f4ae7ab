//! What a jar may take: ENOSPC inside, a clear line outside, and the trial is as good as any other.

use crate::support::{assert_nothing_left, both, only_trial};
use serde_json::{Value, json};
use testkit::{Output, World};

/// A run in the workspace whose report is beside it.
fn run(world: &World, limit: &str, script: &str) -> (Output, Value) {
    let report = world.home().join("report.json");
    let json = format!("--json={}", report.display());
    let out = world.belljar(["run", "--apply", "never", "--limit", limit, &json, "--", "sh", "-uc", script]).run();
    let report = serde_json::from_str(&std::fs::read_to_string(&report).unwrap()).unwrap();
    (out, report)
}

/// Bytes on standard error that the command wrote and not Belljar.
fn own_output(out: &Output) -> usize {
    out.stderr.split_inclusive('\n').filter(|line| line.trim_matches(['y', '\n']).is_empty()).map(str::len).sum()
}

const REFUSED: &str = "No space left on device";

both! {
    fn bytes(world) {
        world.file("keep", "x");
        let fill = "head -c 10M /dev/zero > big; echo $?; stat -c %s big; rm big; head -c 3M /dev/zero > again && echo room; exit 7";
        let out = world.belljar(["run", "--apply", "never", "--limit", "disk=4M", "--", "sh", "-uc", fill]).run();
        out.code(7);
        assert!(out.stderr.contains(REFUSED), "{}", out.report());
        assert!(out.stderr.contains("the command hit the disk limit of 4M: some of its writes were refused; see belljar show"), "{}", out.report());
        let lines: Vec<&str> = out.stdout.lines().collect();
        let size: u64 = lines[1].parse().unwrap();
        assert!(lines[0] == "1" && ((4 << 20) - 65_536..=4 << 20).contains(&size), "{}", out.report());
        assert_eq!(lines[2], "room", "what was removed can be used again{}", out.report());

        let id = only_trial(world);
        world.belljar(["show", &id]).run().success();
        assert!(world.belljar(["show", &id]).run().stdout.contains("hit the disk limit of 4M"));
        let log = world.belljar(["audit", "log", "--json"]).run();
        assert!(log.stdout.contains("\"limits_hit\":[\"disk\"]"), "{}", log.report());
        world.belljar(["apply", &id, "--yes"]).run().success();
        assert_eq!(world.read("again").unwrap().len(), 3 << 20);
        assert_nothing_left(world);
    }

    /// What takes nothing is not counted, what takes something is.
    fn what_counts_as_bytes(world) {
        world.file("three", "x".repeat(3 << 20)).file("three2", "x".repeat(3 << 20));
        for (script, fits) in [
            ("truncate -s 1G sparse", true),
            ("head -c 3M /dev/zero > a; ln a b; ln a c; ln a d", true),
            ("head -c 3M /dev/zero > a; mv a b; mv b c; head -c 900K /dev/zero > d", true),
            ("for n in 1 2 3 4 5 6; do head -c 3M /dev/zero > a || exit 1; done", true),
            ("for n in 1 2 3 4 5 6; do head -c 1500K /dev/zero > t$n || exit 1; mv t$n a; done", true),
            ("for n in 1 2 3 4 5 6; do head -c 3M /dev/zero > a || exit 1; rm a; done", true),
            ("head -c 3M /dev/zero > a; truncate -s 0 a; head -c 3M /dev/zero > b", true),
            ("head -c 3M /dev/zero > a; fallocate -p -o 0 -l 3M a; head -c 3M /dev/zero > b", true),
            ("fallocate -l 3M a", true),
            ("fallocate -l 5M a", false),
            ("echo > a; fallocate -n -l 5M a", false),
            ("head -c 3M /dev/zero > a; head -c 3M /dev/zero > b", false),
            ("head -c 3M /dev/zero > a; exec 3<a; rm a; head -c 3M /dev/zero > b", false),
            ("head -c 3M /dev/zero > a; cp --reflink=never a b", false),
            // What a file system has no blocks for is counted too: attributes, a block each here.
            ("for n in $(seq 3000); do : > $n; setfattr -n user.x -v $(head -c 3000 /dev/zero | tr '\\0' y) $n || exit 1; done", false),
            ("echo more >> three", true),
            ("chmod 600 three", true),
            ("echo more >> three; echo more >> three2", false),
            ("echo short > three; echo short > three2", true),
            ("rm three three2; head -c 3M /dev/zero > a", true),
            ("mv three moved; head -c 3M /dev/zero > a", false),
        ] {
            let (out, report) = run(world, "disk=4M", &format!("set -e; {script}"));
            assert_eq!(out.status.success(), fits, "{script}{}", out.report());
            let hit = if fits { json!([]) } else { json!(["disk"]) };
            assert_eq!(report["limits_hit"], hit, "{script}{}", out.report());
            assert_eq!(report["limits"]["disk"], 4 << 20, "{script}");
            for trial in world.trials() {
                world.belljar(["discard", trial["id"].as_str().unwrap(), "--yes"]).run().success();
            }
        }
        assert_eq!(world.read("three").unwrap(), "x".repeat(3 << 20));
    }

    /// At the limit a file can still be rewritten in place, and a torn copy is never seen.
    fn at_the_limit(world) {
        world.file("three", "x".repeat(3 << 20));
        let script = "head -c 2M /dev/zero > a
            head -c 2M /dev/urandom | dd of=a conv=notrunc bs=64K status=none && echo rewritten
            echo more >> three && exit 1
            test $(stat -c %s three) = 3145728 && test -z \"$(tr -d x < three | head -c 9)\" && echo whole
            df -B1 --output=size . | tail -1";
        let (out, _) = run(world, "disk=4M", script);
        let words: Vec<&str> = out.stdout.split_whitespace().collect();
        assert_eq!(words, ["rewritten", "whole", "4194304"], "{}", out.report());
        world.belljar(["discard", "--yes"]).run().success();
    }

    fn files(world) {
        for n in 0..20 {
            world.file(format!("old/{n}"), "x");
        }
        let script = "rm -r old; mkdir d; for n in 1 2 3 4 5 6 7 8 9; do echo > d/$n || exit 1; done; echo ten; echo > d/10 || true
            ln d/1 d/link || echo no link; rm d/1 && ln d/2 d/link && echo linked; rm d/link && echo > d/again && echo again; df --output=itotal . | tail -1";
        let (out, report) = run(world, "files=10", script);
        let words: Vec<&str> = out.stdout.split_whitespace().collect();
        assert_eq!(words, ["ten", "no", "link", "linked", "again", "10"], "{}", out.report());
        assert_eq!(report["limits_hit"], json!(["files"]));
        assert!(out.stderr.contains(REFUSED), "{}", out.report());
        world.belljar(["discard", "--yes"]).run().success();

        let out = world.belljar(["run", "--apply", "never", "--limit", "files=3", "--", "mkdir", "1", "2", "3", "4"]).run();
        assert!(out.stderr.contains("the command hit the limit of 3 files"), "{}", out.report());
        world.belljar(["discard", "--yes"]).run().success();
    }

    /// One account for all roots of a jar.
    fn over_all_roots_together(world) {
        let script = "head -c 3M /dev/zero > a && head -c 3M /dev/zero > ~/b";
        let (out, report) = run(world, "disk=4M", script);
        assert!(!out.status.success(), "{}", out.report());
        assert_eq!(report["limits_hit"], json!(["disk"]));
        world.belljar(["discard", "--yes"]).run().success();
    }

    fn a_limit_that_is_wrong_stops_the_run(world) {
        for (limit, words) in [("output=1h", "wants bytes"), ("disk=lots", "wants bytes"), ("speed=9", "names no limit")] {
            let out = world.belljar(["run", "--limit", limit, "--", "touch", "ran"]).run();
            out.code(2);
            assert!(out.stderr.contains(words), "{}", out.report());
        }
        assert_nothing_left(world);
    }
}

/// Belljar's state on a disk of its own, from one on which nothing fits to one on which all does. Whatever did not fit:
/// the host is as it was, and with more room the trial, if there is one, can be applied whole.
#[test]
fn as_root_small_disks_lose_nothing() {
    let world = World::root(crate::support::EXE);
    world.file("three", "x".repeat(300_000)).file("gone", "x");
    let (state, workspace) = (world.state().display().to_string(), world.workspace().display().to_string());
    let mut stages = std::collections::BTreeSet::new();
    for kib in [8, 16, 24, 32, 40, 48, 64, 80, 96, 128, 192, 256, 320, 384, 448, 512, 640, 768, 1_024, 2_048] {
        let command =
            "rm gone; echo more >> three; for n in 1 2 3 4 5; do head -c 50K /dev/zero | tr '\\0' n > n$n; done; true";
        let script = format!(
            "mkdir -p {state} && mount -t tmpfs -o size={kib}k none {state} && cd {workspace}
             \"$1\" run --apply never -- sh -c \"$2\"; echo run=$?
             \"$1\" trials --json > /dev/null; echo trials=$?
             for id in $(ls {state}/belljar/trials 2> /dev/null); do
                 \"$1\" diff $id > /dev/null; echo diff=$?
                 \"$1\" show --who $id > /dev/null; echo who=$?
                 mount -o remount,size=4m {state}
                 \"$1\" apply $id --yes > /dev/null; echo apply=$?
             done; ls {state}/belljar/trials 2> /dev/null | wc -l"
        );
        let before = world.snapshot();
        let own = ["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, "sh"];
        let run = world.command(world.exe()).args([command]).under(own).run();
        run.stderr_lacks("panicked");
        let stage: Vec<&str> = run.stdout.lines().filter(|line| line.contains('=')).collect();
        stages.insert(stage.join(" "));
        assert!(
            !stage.iter().any(|line| line.starts_with("diff=1") || line.starts_with("who=1")),
            "{kib}{}",
            run.report()
        );
        let told = run.stderr.to_lowercase();
        let three = world.read("three").unwrap();
        if stage.contains(&"apply=0") {
            // Old, or with what was added: never a part.
            let more = three.strip_suffix("more\n");
            assert!(three.len() == 300_000 || more.is_some_and(|old| old.len() == 300_000), "{kib}{}", run.report());
            assert!(!world.has("gone"), "{kib}{}", run.report());
        } else {
            assert!(told.contains("space") || told.contains("no room"), "{kib}: the reason is named{}", run.report());
            world.assert_untouched(&before);
        }
        for n in 1..=5 {
            let file = world.read(format!("n{n}")).unwrap_or_default();
            assert!(file.bytes().all(|byte| byte == b'n') && file.len() <= 50 << 10, "{kib}");
            let _ = std::fs::remove_file(world.workspace().join(format!("n{n}")));
        }
        world.file("three", "x".repeat(300_000)).file("gone", "x");
        assert!(world.leftovers().is_empty(), "{kib}: {:#?}", world.leftovers());
    }
    assert!(stages.len() >= 3, "the sizes all ended alike, so this proved nothing: {stages:#?}");
}

/// Somebody else takes the last of the disk while the command runs, the reserve too: its own writes fail, and so does
/// Belljar's record of its end. When there is room again, the trial is there.
#[test]
fn as_root_a_disk_that_somebody_else_fills() {
    let world = World::root(crate::support::EXE);
    world.file("big", "x".repeat(200_000));
    let (state, workspace) = (world.state().display().to_string(), world.workspace().display().to_string());
    let command = "echo kept > kept; echo up > up; sleep 2; echo more >> big && echo it fitted; wc -c < big; exit 3";
    let script = format!(
        "mkdir -p {state} && mount -t tmpfs -o size=4m none {state} && cd {workspace}
         \"$1\" run --apply never -- sh -c \"$2\" & belljar=$!
         n=0; until [ -n \"$(find {state} -name up -size +0)\" ] || [ $n -gt 500 ]; do n=$((n+1)); sleep 0.01; done
         cat /dev/zero > {state}/filler 2> /dev/null
         wait $belljar; echo run=$?
         \"$1\" trials > /dev/null; echo trials=$?
         rm {state}/filler
         \"$1\" show --who | grep -c 'created  kept'; \"$1\" apply --yes > /dev/null; echo apply=$?"
    );
    let own = ["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, "sh"];
    let run = world.command(world.exe()).args([command]).under(own).run();
    run.stderr_lacks("panicked");
    assert!(!run.stdout.contains("it fitted") && run.stdout.contains("200000"), "{}", run.report());
    assert!(run.stderr.to_lowercase().contains("no space left on device"), "{}", run.report());
    assert!(run.stdout.contains("trials=0\n1\napply=0"), "{}", run.report());
    assert_eq!((world.read("kept").unwrap().as_str(), world.read("big").unwrap().len()), ("kept\n", 200_000));
}

/// Limits on the whole jar, whoever in it takes: what ends it is told, the host goes on, and nothing is left.
const HOGS: [(&str, &str, &str, &str); 7] = [
    ("mem=300M", "memory", "memory than 300M", "python3 -c 'x = bytearray(2 << 30)'"),
    (
        "mem=300M",
        "memory",
        "memory than 300M",
        "for n in 1 2 3 4 5 6 7 8; do python3 -c 'import time; x = bytearray(90 << 20); time.sleep(60)' & done; wait",
    ),
    ("cpu=1", "cpu", "1 s of processor time", "while :; do :; done"),
    ("cpu=1", "cpu", "1 s of processor time", "(setsid sh -c 'while :; do :; done' &); sleep 60"),
    // Each lives shorter than the time between two looks.
    ("cpu=1", "cpu", "1 s of processor time", "while :; do python3 -S -c 'sum(range(100000))'; done"),
    ("time=1", "wall", "it ran for 1 s", "sleep 60"),
    ("time=1", "wall", "it ran for 1 s", "trap '' TERM INT; (setsid sleep 61 &) ; sleep 60"),
];

both! {
    fn what_takes_too_much_is_ended_and_told(world) {
        for (limit, name, told, script) in HOGS {
            let (out, report) = run(world, limit, &format!("echo before; echo x > made; {script}; echo survived"));
            assert_eq!(report["limits_hit"], json!([name]), "{limit} {script}{}", out.report());
            assert_eq!(report["exit"], json!({"type": "signal", "value": 9}), "{script}");
            assert_eq!(out.stdout, "before\n", "{script}");
            // What it did before waits like anything else.
            let id = only_trial(world);
            let show = world.belljar(["show", &id]).run();
            assert!(show.stdout.contains(told) && show.stdout.contains("made"), "{told}{}", show.report());
            world.belljar(["discard", &id, "--yes"]).run().success();
        }
        assert_nothing_left(world);
    }

    fn a_flood_of_output_is_ended_and_what_may_pass_arrives_whole(world) {
        let flood = "echo x > made; yes & yes 1>&2 & wait";
        for (limit, script) in [("output=100K", flood), ("output=100K", "echo x > made; head -c 102401 /dev/zero")] {
            let (out, report) = run(world, limit, script);
            assert_eq!((&report["limits_hit"], out.stdout.len() + own_output(&out)), (&json!(["output"]), 102_400), "{script}");
            let id = only_trial(world);
            world.belljar(["show", &id]).run().stdout_has("it printed more than 100K");
            world.belljar(["discard", &id, "--yes"]).run().success();
        }
        let (out, report) = run(world, "output=100K", "head -c 102000 /dev/zero | tr '\\0' x; exit 3");
        assert_eq!((&report["limits_hit"], out.code(3).stdout.len()), (&json!([]), 102_000));
        assert_nothing_left(world);
    }

    /// What ends in one place keeps its order, and who writes where nobody reads any more dies of it as ever.
    fn counted_output_is_a_pipe_like_any_other(world) {
        let exe = world.exe().display();
        let script = |command: &str| format!("{exe} run --apply discard --limit output=1M -- {command}");
        let order = "sh -c 'for n in 1 2 3 4 5 6 7 8 9; do echo o$n; echo e$n >&2; done' 2>&1";
        let expected: String = (1..=9).map(|n| format!("o{n}\ne{n}\n")).collect();
        world.command("sh").args(["-c", &script(order)]).run().success().stdout_is(&expected);
        let broken = format!("({}; echo code $? >&2) | head -c 3", script("sh -c 'while echo abc; do :; done'"));
        let out = world.command("sh").args(["-c", &broken]).run();
        out.success().stdout_is("abc").stderr_has("code 141");
        assert_nothing_left(world);
    }

    fn output_to_a_terminal_is_not_counted_in_silence(world) {
        let ask = |options: &str| {
            let script = format!("{} run --apply discard --limit output=10 {options} -- sh -c 'test -t 1 && echo a long line here'", world.exe().display());
            let mut pty = world.command("sh").args(["-c", &script]).on_terminal();
            let status = pty.wait();
            (status.code(), pty.screen())
        };
        let (code, screen) = ask("");
        assert!(code == Some(125) && screen.contains("what goes to a terminal is not counted"), "{code:?} {screen}");
        let (code, screen) = ask("--accept-weak output-limit");
        assert!(code == Some(0) && screen.contains("a long line here") && screen.contains("without output limit"), "{code:?} {screen}");
        assert_nothing_left(world);
    }

    fn a_fork_bomb_stops_at_its_limit(world) {
        // Bounded by itself, too: each generation of 2 lives for a while, at most 4096 are tried. A shell that cannot fork
        // ends, and the outermost one is to tell.
        let bomb = "bomb() { [ $1 -gt 11 ] || { bomb $(($1 + 1)) & bomb $(($1 + 1)) & } ; sleep 3; }; (bomb 0) 2>/dev/null; echo over";
        world.file("bomb.sh", bomb);
        run(world, "pids=400", "sh bomb.sh").0.success();
        // Itself and so many others, for as long as somebody has time to look; where numbers keep the limit, as many more
        // as are given once.
        let count = "import os, time\nfor n in range(1000):\n  try: child = os.fork()\n  except OSError: break\n  child or time.sleep(60)\nprint(n)\ntime.sleep(1)";
        let (out, report) = run(world, "pids=400", &format!("exec python3 -c '{count}'"));
        assert_eq!(report["limits_hit"], json!(["processes"]), "{}", out.report());
        let layers = report["containment"]["active"].as_array().unwrap();
        let layer = layers.iter().find(|layer| layer["layer"] == "process-limit").unwrap();
        let told = layer["detail"].as_str().unwrap();
        assert!(told.starts_with("400, "), "{layer}");
        let started: u32 = out.stdout.trim().parse().unwrap_or(0);
        let exact = told.contains("cgroup") || told.contains("RLIMIT_NPROC");
        assert!(exact || world.is_root(), "an ordinary user's limit is always exact: {told}");
        assert!(if exact { started == 399 } else { started <= 700 }, "{started}, {told}{}", out.report());
        for trial in world.trials() {
            world.belljar(["discard", trial["id"].as_str().unwrap(), "--yes"]).run().success();
        }
        assert_nothing_left(world);
    }

    /// Too short for anybody to look, and never too many at once.
    fn a_limit_on_processes_that_is_met_for_a_moment_is_told(world) {
        let met = "import os\nr, w = os.pipe()\nn = 0\nwhile True:\n  try: child = os.fork()\n  except OSError: break\n  if not child:\n    os.close(w); os.read(r, 1); os._exit(0)\n  n += 1\nos.close(w)\nfor _ in range(n): os.wait()\nprint(n)";
        let not_met = "import os\nfor _ in range(60):\n  if not os.fork(): os._exit(0)\n  os.wait()\nprint(1)";
        for _ in 0..4 {
            let (out, report) = run(world, "pids=12", &format!("exec python3 -c '{met}'"));
            let layers = report["containment"]["active"].as_array().unwrap();
            let layer = layers.iter().find(|layer| layer["layer"] == "process-limit").unwrap();
            let told = layer["detail"].as_str().unwrap();
            let exact = told.contains("cgroup") || told.contains("RLIMIT_NPROC");
            assert!(exact || world.is_root(), "an ordinary user's limit is always exact: {told}");
            if exact {
                out.stdout_is("11\n");
                assert_eq!(report["limits_hit"], json!(["processes"]), "{told}{}", out.report());
            }
            let (out, report) = run(world, "pids=12", &format!("exec python3 -c '{not_met}'"));
            out.success().stdout_is("1\n");
            assert_eq!(report["limits_hit"], json!([]), "{told}{}", out.report());
        }
        for trial in world.trials() {
            world.belljar(["discard", trial["id"].as_str().unwrap(), "--yes"]).run().success();
        }
        assert_nothing_left(world);
    }

    fn without_a_word_processes_are_limited_and_nothing_else(world) {
        let (out, report) = run(world, "disk=1G", "ulimit -n; echo $(($(cat /proc/sys/kernel/pid_max) > 8000))");
        assert_eq!(report["limits_hit"], json!([]), "{}", out.report());
        let layers = report["containment"]["active"].as_array().unwrap();
        assert!(layers.iter().any(|layer| layer["layer"] == "process-limit"), "{layers:#?}");
        assert!(out.stdout.ends_with("\n1\n"), "{}", out.report());
    }

    fn what_stays_below_its_limits_knows_nothing_of_them(world) {
        let all = "mem=2G,pids=1000,cpu=5m,time=10m,disk=1G,files=10000,fds=77";
        let (out, report) = run(world, all, "ulimit -n; head -c 20M /dev/zero | sha256sum | cut -c1-8; exit 3");
        out.code(3);
        assert!(out.stdout.starts_with("77\n"), "{}", out.report());
        assert_eq!(report["limits_hit"], json!([]));
    }
}
