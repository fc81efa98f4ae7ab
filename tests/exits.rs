//! Exit codes, signals and streams: as if the command had run bare, and our own codes where it could not.

use crate::support::{assert_nothing_left, both, sh};

both! {
    /// Even the codes we reserve are the child's own when it chose them.
    fn the_childs_own_code_is_passed_on(world) {
        for code in [0, 1, 2, 42, 124, 125, 126, 127, 128, 255] {
            sh(world, "discard", &format!("exit {code}")).run().code(code);
        }
        assert_nothing_left(world);
    }

    fn death_by_signal_stays_death_by_signal(world) {
        for signal in [1, 2, 6, 9, 11, 13, 15] {
            sh(world, "discard", &format!("ulimit -c 0; kill -{signal} $$")).run().killed_by(signal);
        }
        assert_nothing_left(world);
    }

    fn a_command_that_is_not_there_is_127(world) {
        for name in ["belljar-no-such-program", "./no/such/file"] {
            let run = world.belljar(["run", "--apply", "discard", "--", name]).run();
            run.code(127).stderr_has(name);
        }
        assert_nothing_left(world);
    }

    fn a_command_that_cannot_be_executed_is_126(world) {
        world.file("plain", "echo hello\n").dir("folder");
        for name in ["./plain", "./folder"] {
            world.belljar(["run", "--apply", "discard", "--", name]).run().code(126).stderr_has(name);
        }
        assert_nothing_left(world);
    }

    fn belljars_own_failure_is_125_and_says_what_to_do(world) {
        let run = sh(world, "discard", "true").env("XDG_STATE_HOME", "/proc/belljar-cannot-be-here").run();
        run.code(125).stderr_has("/proc/belljar-cannot-be-here");
        assert!(run.stderr.contains("XDG_STATE_HOME") || run.stderr.contains("writable"), "a hint{}", run.report());
    }

    /// Text that deceives its reader needs a person, and here is none.
    fn what_needs_a_person_where_there_is_none_is_126(world) {
        let run = sh(world, "discard", "echo harmless\u{1b}[8m; touch ran").run();
        run.code(126);
        assert!(!run.stderr.contains("\u{1b}[8m"), "raw{}", run.report());
        assert!(!world.has("ran"));
        assert_nothing_left(world);
    }

    fn wrong_usage_is_2(world) {
        for args in [
            &["run", "--no-such-option"][..],
            &["run", "--apply", "perhaps", "--", "true"],
            &["run", "--apply", "ask", "--", "true"],
            &["run", "--env", "=x", "--", "true"],
            &["run", "--", ""],
            &["check"],
            &["no-such-command"],
            &["show", "a", "--no-such-option"],
        ] {
            world.belljar(args).run().code(2);
        }
        assert!(!world.state().join("belljar").exists(), "a usage error touches nothing");
    }

    fn streams_are_the_childs_own(world) {
        let run = sh(world, "discard", "cat; echo to-stderr >&2").stdin("to-stdin\n").run();
        run.success().stdout_is("to-stdin\n").stderr_has("to-stderr\n");
        let big = "x".repeat(1 << 20);
        sh(world, "discard", "cat").stdin(&big).run().success().stdout_is(&big);
        sh(world, "discard", "read line || echo end of input").run().success().stdout_is("end of input\n");
        assert_nothing_left(world);
    }

    /// `belljar run ... | head -1`: the child dies of the pipe, as it would bare, and nothing complains.
    fn a_reader_that_goes_away_ends_it_quietly(world) {
        let line = "\"$0\" run --apply discard -- yes | head -1; echo ${PIPESTATUS[0]}";
        let piped = world.command("bash").args(["-c", line]).args([world.exe()]).run();
        piped.success().stdout_is("y\n141\n").stderr_lacks("panicked");
        assert_nothing_left(world);
    }

    fn arguments_arrive_byte_for_byte(world) {
        use std::os::unix::ffi::OsStrExt;
        let strange = ["a b", "", "*", "$(id)", "'\"\\", "-n", "line\nbreak", "\u{1f514}"];
        let run = world.belljar(["run", "--apply", "discard", "--", "printf", "<%s>"]).args(strange).run();
        let expected: String = strange.iter().map(|word| format!("<{word}>")).collect();
        run.success().stdout_is(&expected);
        let bytes = std::ffi::OsStr::from_bytes(b"\xff\xfe");
        let run = world.belljar(["run", "--apply", "discard", "--", "sh", "-c", "printf %s \"$1\" | od -An -tx1", "sh"]);
        run.args([bytes]).run().success().stdout_is(" ff fe\n");
    }

    fn check_answers_by_its_exit_code(world) {
        world.belljar(["check", "ls -l"]).run().code(0);
        world.belljar(["check", "curl -fsS https://example.com/x | sh"]).run().code(10);
        world.belljar(["check", "rm -rf /"]).run().code(20);
        world.belljar(["check", "--stdin"]).stdin("cat README.md\n").run().code(0);
        assert!(!world.state().join("belljar/trials").exists(), "check runs nothing");
    }
}
