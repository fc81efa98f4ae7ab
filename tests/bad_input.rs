//! Bad input and bad machines: a clear error with a next step, and nothing touched or left.

use crate::support::{EXE, assert_nothing_left, both, only_trial, sh};
use testkit::{Output, World};

/// Asserts that Belljar itself failed, in words a person can use.
#[track_caller]
fn failed_clearly(run: &Output, about: &str) {
    run.code(125).stderr_has(about).stderr_lacks("panicked");
    assert!(run.stderr.lines().count() >= 2, "an error and a hint{}", run.report());
}

/// Runs the rest of the command line in a mount namespace of its own after `setup`. As root only.
fn after(setup: &str) -> Vec<String> {
    ["unshare", "--mount", "--propagation", "private", "sh", "-ec", &format!("{setup}\nexec \"$@\""), "sh"]
        .map(str::to_owned)
        .to_vec()
}

both! {
    fn no_command_and_no_terminal_is_usage(world) {
        world.belljar(["run"]).run().code(2);
        world.belljar(["run", "--"]).run().code(2);
        assert_nothing_left(world);
    }

    /// A log that does not end as it must is told apart from one that does not follow, also for programs.
    fn an_unexpected_head_of_the_audit_log_is_named(world) {
        sh(world, "discard", "true").run().success();
        let head = world.belljar(["audit", "verify", "--json"]).run().json()["found"]["head"].as_str().unwrap().to_owned();
        for (expected, sound) in [(head.as_str(), true), ("0000", false)] {
            let verified = world.belljar(["audit", "verify", "--json", "--expected-head", expected]).run();
            verified.code(if sound { 0 } else { 125 });
            let document = verified.json();
            assert_eq!((&document["sound"], &document["head_as_expected"]), (&sound.into(), &sound.into()), "{document}");
        }
    }

    /// A slip in the name of what is to be hidden must not leave it in sight.
    fn what_is_to_be_hidden_must_be_there(world) {
        world.file("keys/one", "secret\n");
        for (path, there) in [("keys/one", true), ("keys", true), ("kesy/one", false)] {
            let run = world.belljar(["run", "--apply", "discard", "--hide", path, "--", "cat", "keys/one"]).run();
            assert!(!there || !run.stdout.contains("secret"), "{}", run.report());
            assert!(there || run.stdout.is_empty(), "{}", run.report());
            if !there {
                failed_clearly(&run, "kesy/one");
            }
        }
        assert_nothing_left(world);
    }

    fn a_working_directory_that_is_gone_is_an_error(world) {
        world.dir("gone");
        let line = "cd gone && rmdir ../gone && exec \"$0\" run --apply discard -- true";
        let run = world.command("sh").args(["-c", line]).args([world.exe()]).run();
        failed_clearly(&run, "working directory");
        assert_nothing_left(world);
    }

    fn a_home_that_is_not_there_is_an_error(world) {
        let run = sh(world, "discard", "true").env("HOME", "/no/such/home").unset("XDG_STATE_HOME").run();
        failed_clearly(&run, "/no/such/home");
    }

    fn a_trial_that_is_not_there_is_an_error(world) {
        for verb in ["show", "diff", "apply", "discard"] {
            let run = world.belljar([verb, "no-such-trial"]).run();
            assert_ne!(run.status.code(), Some(0), "{verb}{}", run.report());
            run.stderr_has("no-such-trial").stderr_lacks("panicked");
        }
        assert_nothing_left(world);
    }

    fn hostile_names_are_never_shown_raw(world) {
        let run = sh(world, "never", "touch \"$(printf 'a\\033[2Jb')\" \"$(printf 'x\\nrm y')\" \"$(printf '\\377')\"").run();
        run.success();
        for output in [run, world.belljar(["show"]).run(), world.belljar(["trials"]).run(), world.belljar(["diff"]).run()] {
            let all = format!("{}{}", output.stdout, output.stderr);
            assert!(!all.contains('\u{1b}'), "an escape sequence{}", output.report());
            assert!(!all.lines().any(|line| line.starts_with("rm y")), "a line break{}", output.report());
        }
        world.belljar(["discard", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    fn a_report_that_cannot_be_written_stops_the_run(world) {
        let run = world.belljar(["run", "--json=/no/such/dir/report", "--", "touch", "a"]).run();
        failed_clearly(&run, "write the report /no/such/dir/report");
        assert_nothing_left(world);
    }

    fn a_further_directory_that_is_not_there_is_an_error(world) {
        let run = world.belljar(["run", "--write", "/no/such/dir", "--", "true"]).run();
        failed_clearly(&run, "/no/such/dir");
        assert_nothing_left(world);
    }

    /// The log shows what ran, letter by letter; a log that was altered is told in one line.
    fn the_audit_log_is_told_as_it_is(world) {
        for _ in 0..3 {
            sh(world, "discard", "echo LOUD > a").run().success();
        }
        world.belljar(["audit", "log"]).run().success().stdout_has("echo LOUD");
        let log = world.state().join("belljar/audit/log.jsonl");
        let text = world.read(&log).unwrap();
        world.file(&log, text.replacen("LOUD", "QUIET", 1));
        let verified = world.belljar(["audit", "verify"]).run();
        verified.code(125).stdout_has("NOT SOUND");
        assert_eq!(verified.stdout.matches("BROKEN").count(), 1, "{}", verified.report());
    }

    /// A file whose name begins the id of a trial is that file, never the whole trial.
    fn a_short_name_is_a_path_and_no_trial(world) {
        sh(world, "never", "for name in a b c d e f g h i j k m n p q r s t u v w x y z 2 3 4 5 6 7 8 9 other; do touch $name; done")
            .run()
            .success();
        let id = only_trial(world);
        world.belljar(["apply", &id[..1]]).run().success();
        assert!(world.has(&id[..1]) && !world.has("other"));
        world.belljar(["apply", &id[..4]]).run().success();
        assert!(world.has("other"));
        assert_nothing_left(world);
    }

    /// Answering nothing is not yes: what is HIGH does not become real without a terminal and without `--yes`.
    fn apply_without_yes_and_without_a_terminal_makes_nothing_dangerous_real(world) {
        sh(world, "never", "echo x > x; echo x >> ~/.bashrc").run().success();
        world.belljar(["apply"]).run().code(126).stderr_has("--yes");
        assert!(!world.has("x") && !world.has(world.home().join(".bashrc")));
        world.belljar(["apply", "x"]).run().success();
        assert!(world.has("x") && !world.has(world.home().join(".bashrc")));
        world.belljar(["discard"]).run().success();
        assert_nothing_left(world);
    }

    /// What the host changed meanwhile is not overwritten.
    fn a_conflict_with_the_host_changes_nothing(world) {
        world.file("a", "old\n").file("b", "old\n");
        sh(world, "never", "echo jar > a; echo jar > b; echo jar > c").run().success();
        world.file("a", "host, longer than before\n").file("c", "host\n");
        let run = world.belljar(["apply", "--yes"]).run();
        assert_ne!(run.status.code(), Some(0), "{}", run.report());
        assert!(run.stderr.contains('a') && run.stderr.contains("host has changed"), "{}", run.report());
        assert_eq!(world.read("b").unwrap(), "old\n");
        assert_eq!((world.read("a").unwrap().as_str(), world.read("c").unwrap().as_str()), ("host, longer than before\n", "host\n"));
        world.belljar(["discard", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    fn what_nobody_may_read_is_listed_applied_and_discarded(world) {
        use std::os::unix::fs::PermissionsExt;
        let script = "mkdir -p x/y; echo 1 > x/y/z; chmod 000 x/y; echo 2 > f; chmod 000 f";
        sh(world, "never", script).run().success();
        let trial = only_trial(world);
        for verb in ["show", "diff"] {
            world.belljar([verb, &trial]).run().success().stdout_has("x/y");
        }
        world.belljar(["apply", &trial, "--yes"]).run().success();
        for path in ["x/y", "f"] {
            let mode = std::fs::metadata(world.workspace().join(path)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0, "{path}");
        }
        sh(world, "never", "mkdir -p p/q; echo 1 > p/q/z; chmod 000 p/q p").run().success();
        world.belljar(["trials"]).run().success().stderr_lacks("damaged");
        world.belljar(["discard"]).run().success();
        assert_nothing_left(world);
    }

    fn a_shell_leaves_the_hidden_history_alone(world) {
        let history = world.home().join(".bash_history");
        std::fs::write(&history, "old\n").unwrap();
        let line = "printf 'echo hi\\nexit\\n' | bash -i 2> /dev/null";
        sh(world, "never", line).run().success();
        assert!(world.trials().is_empty(), "the session changed something: {:?}", world.trials());
        assert_eq!(std::fs::read_to_string(&history).unwrap(), "old\n");
    }

    fn a_workspace_with_strange_entries_is_only_looked_at(world) {
        world.file("real", "x").dir("closed");
        let made = world.command("sh").args(["-c", "mkfifo pipe; ln -s /nowhere dangling; ln -s . loop; chmod 000 closed"]).run();
        made.success();
        let before = Vec::from(["pipe", "dangling", "loop", "closed", "real"].map(|name| world.has(name)));
        sh(world, "discard", "ls -la; cat real; test -p pipe && test -L dangling && test -L loop").run().success();
        assert_eq!(before, [true; 5]);
        world.mode("closed", 0o755);
        assert_nothing_left(world);
    }
}

#[test]
fn as_root_a_read_only_workspace_can_be_worked_on_and_not_applied_to() {
    let world = World::root(EXE);
    world.file("a", "old\n");
    let workspace = world.workspace().display().to_string();
    let read_only =
        format!("mount --bind {workspace} {workspace} && mount -o remount,bind,ro {workspace} && cd {workspace}");
    // Reading and writing under glass works; only making it real cannot.
    sh(&world, "discard", "cat a && echo new > a && cat a")
        .under(after(&read_only))
        .run()
        .success()
        .stdout_is("old\nnew\n");
    assert_nothing_left(&world);
    let run =
        world.belljar(["run", "--apply", "never", "--", "sh", "-c", "echo new > a"]).under(after(&read_only)).run();
    run.success();
    let apply = world.belljar(["apply", "--yes"]).under(after(&read_only)).run();
    assert_ne!(apply.status.code(), Some(0), "{}", apply.report());
    apply.stderr_lacks("panicked");
    assert_eq!(world.read("a").unwrap(), "old\n");
    // Nothing is lost: where it can be written it still applies.
    world.belljar(["apply", "--yes"]).run().success();
    assert_eq!(world.read("a").unwrap(), "new\n");
    assert_nothing_left(&world);
}

/// The upper layer cannot live on the workspace's file system, so apply copies instead of renaming.
#[test]
fn as_root_a_workspace_on_another_file_system_works() {
    let world = World::root(EXE);
    let workspace = world.workspace().display().to_string();
    let script = format!(
        "mount -t tmpfs -o size=64m none {workspace} && cd {workspace} && echo old > a && mkdir d && echo x > d/x
         \"$1\" run --apply never -- sh -c 'echo new > a; rm -r d; mkdir e; echo y > e/y; ln -s y e/l'
         test \"$(cat a)\" = old && test -e d/x
         \"$1\" apply --yes >&2
         cat a e/y; readlink e/l; ls"
    );
    let own = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", &script, "sh"];
    let run = world.command(world.exe()).under(own).run();
    run.success().stdout_is("new\ny\ny\na\ne\n");
    assert_nothing_left(&world);
}

#[test]
fn as_root_without_dev_fuse_it_says_so() {
    let world = World::root(EXE);
    let hide = "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9";
    let run = sh(&world, "discard", "true").under(after(hide)).run();
    failed_clearly(&run, "/dev/fuse");
    assert_nothing_left(&world);
    let doctor = world.belljar(["doctor"]).under(after(hide)).run();
    assert_ne!(doctor.status.code(), Some(0), "{}", doctor.report());
    assert!(format!("{}{}", doctor.stdout, doctor.stderr).contains("/dev/fuse"), "{}", doctor.report());
}

#[test]
fn as_root_a_closed_dev_fuse_is_named_to_an_ordinary_user() {
    let world = World::user(EXE);
    let (uid, gid) = world.owner();
    let drop = format!(
        "mknod -m 600 /run/belljar-fuse c 10 229; mount --bind /run/belljar-fuse /dev/fuse; rm /run/belljar-fuse
        exec setpriv --reuid {uid} --regid {gid} --clear-groups \"$@\""
    );
    let mut closed = after("mount -t tmpfs none /run");
    closed.extend(["sh", "-ec", &drop, "sh"].map(str::to_owned));
    let run = sh(&world, "discard", "true").as_root().under(closed).run();
    failed_clearly(&run, "/dev/fuse");
    assert_nothing_left(&world);
}

both! {
    /// In a user namespace whose limit on further ones is 0, as some distributions and containers have it.
    fn without_user_namespaces_it_says_so(world) {
        let closed = ["unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-ec",
            "echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --inh-caps=-all --ambient-caps=-all --bounding-set=-all \"$@\"", "sh"];
        let run = sh(world, "discard", "true").under(closed).run();
        run.success().stderr_has("tier T2, without namespaces");
        assert_nothing_left(world);
    }
}

#[test]
fn as_root_a_full_disk_loses_nothing() {
    let world = World::root(EXE);
    world.file("a", "old\n");
    let before = world.snapshot();
    let state = world.state().display().to_string();
    let small = |pages: u32| {
        format!(
            "mkdir -p {state} && mount -t tmpfs -o size={}k none {state} && cd {}",
            pages * 4,
            world.workspace().display()
        )
    };
    // From "not even the audit record fits" to "only the command's own writes do not".
    for pages in [1, 2, 3, 4, 6, 8, 12, 16, 32, 64, 256] {
        let run = sh(&world, "discard", "head -c 8M /dev/zero > a && echo it fitted").under(after(&small(pages))).run();
        assert_ne!(run.status.code(), Some(0), "{pages} pages{}", run.report());
        run.stderr_lacks("panicked");
        assert!(!run.stdout.contains("it fitted"), "{pages} pages{}", run.report());
        let told = run.stderr.to_lowercase();
        assert!(told.contains("space"), "{pages} pages: the reason is named{}", run.report());
        assert!(world.leftovers().is_empty(), "{pages} pages: {:#?}", world.leftovers());
    }
    std::fs::remove_dir_all(world.state()).unwrap();
    world.assert_untouched(&before);
}

/// Discarding is what makes room: it works where nothing more can be written.
#[test]
fn as_root_a_trial_that_filled_the_disk_can_be_discarded() {
    let world = World::root(EXE);
    let (state, workspace) = (world.state().display().to_string(), world.workspace().display().to_string());
    let script = format!(
        "mkdir -p {state} && mount -t tmpfs -o size=1m none {state} && cd {workspace}
         \"$1\" run --backend fuse --apply never -- sh -c 'head -c 8M /dev/zero > a'
         \"$1\" trials >&2 && \"$1\" discard >&2 && \"$1\" trials && ls -A {state}/belljar/trials"
    );
    let own = ["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, "sh"];
    let run = world.command(world.exe()).under(own).run();
    run.success().stderr_has("NO ROOM").stderr_has("discarded:").stdout_is("no trial waits for a decision\n");
    assert_nothing_left(&world);
}
