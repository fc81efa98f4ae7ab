//! Places that are not a login shell on a whole machine: containers, services, cron. It works as ever, or says what to do.

use crate::support::{EXE, assert_nothing_left, both, sh};
use testkit::World;

/// `Belljar` under a shell line that prepares the place; in it `$0` is Belljar.
fn line(world: &World, line: &str) -> testkit::Output {
    world.command("bash").args(["-c", line]).args([world.exe()]).run()
}

both! {
    fn without_what_a_login_gives(world) {
        let run = "\"$0\" run --apply discard -- sh -c 'exit 5'";
        for before in ["unset TERM", "unset LANG LC_ALL USER LOGNAME SHELL", "exec < /dev/null", "exec <&-", "exec >&-", "exec 2>&-",
            "exec <&- >&- 2>&-", "umask 077", "ulimit -c 0", "set -m"] {
            line(world, &format!("{before}; {run}")).code(5).stderr_lacks("panicked");
        }
        assert_nothing_left(world);
    }

    /// Then that of the user's account, if there is one, holds the secrets to hide and Belljar's state.
    fn without_a_home_it_works_or_asks_for_one(world) {
        for home in [None, Some(""), Some("/no/such/home"), Some("relative")] {
            let run = sh(world, "discard", "exit 5").unset("XDG_STATE_HOME");
            let run = match home {
                None => run.unset("HOME").run(),
                Some(home) => run.env("HOME", home).run(),
            };
            run.stderr_lacks("panicked");
            match run.status.code() {
                Some(5) => assert!(world.is_root() && home != Some("/no/such/home"), "{}", run.report()),
                Some(125) => assert!(run.stderr.contains("HOME"), "{}", run.report()),
                _ => panic!("{}", run.report()),
            }
        }
        assert_nothing_left(world);
    }

    fn the_umask_is_the_commands_and_hides_nothing_from_us(world) {
        let out = line(world, "umask 077; \"$0\" run --apply always -- sh -c 'umask; echo x > f; mkdir d'; stat -c '%a %n' d f");
        out.success().stdout_is("0077\n700 d\n600 f\n");
        world.belljar(["undo", "--yes"]).run().success();
        assert!(!world.has("f") && !world.has("d"));
        world.belljar(["discard", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    /// As nohup-like programs and some daemons leave it: no child's end is told to anybody.
    fn a_caller_that_ignores_its_children(world) {
        let start = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])";
        let exe = world.exe().to_str().unwrap();
        for (script, code) in [("exit 3", 3), ("sleep 0.1 & wait; exit 4", 4), ("(sleep 0.1; exit 6) || exit $?", 6)] {
            let args = ["-c", start, exe, "run", "--apply", "discard", "--", "sh", "-c", script];
            world.command("/usr/bin/python3").args(args).run().code(code);
        }
        assert_nothing_left(world);
    }

    /// The command has the few it was given; what serves its files takes more for itself.
    fn a_soft_limit_of_few_open_files(world) {
        let many = "for n in $(seq 200); do echo $n > f$n; done; cat f* | wc -l; ulimit -Sn";
        let out = line(world, &format!("ulimit -Sn 64; \"$0\" run --apply always -- bash -c '{many}'; ls | wc -l; ulimit -Sn"));
        out.success().stdout_is("200\n64\n200\n64\n");
        let out = line(world, "ulimit -n 64; \"$0\" run --apply discard -- true");
        out.code(125).stderr_has("ulimit -Hn").stderr_lacks("panicked");
        world.belljar(["undo", "--yes"]).run().success();
        world.belljar(["discard", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    fn a_directory_whose_name_is_no_text(world) {
        let out = line(world, "mkdir $'caf\\xe9' && cd $'caf\\xe9' && \"$0\" run --apply always -- sh -c 'echo x > a; pwd | tail -c 2 | od -An -tx1' && cat a");
        out.success().stdout_is(" e9 0a\nx\n");
        line(world, "cd $'caf\\xe9' && \"$0\" undo --yes && ls && \"$0\" discard --yes").success();
        assert_nothing_left(world);
    }

    /// The kernel takes 4095 bytes in a path. Below that everything works, and beyond it nothing is guessed.
    fn a_very_long_working_directory(world) {
        let deep = |levels: usize| format!("
import os, sys
for n in range({levels}):
    os.makedirs('d' * 120, exist_ok=True); os.chdir('d' * 120)
os.execv(sys.argv[1], sys.argv[1:])");
        let exe = world.exe().to_str().unwrap();
        let run = |levels: usize| {
            let args = ["-c", &deep(levels), exe, "run", "--apply", "discard", "--", "sh", "-c", "echo x > a && cat a"];
            world.command("/usr/bin/python3").args(args).run()
        };
        run(28).success().stdout_is("x\n");
        let out = run(40);
        out.code(125).stderr_has("working directory").stderr_lacks("panicked");
        assert_nothing_left(world);
    }
}

#[test]
fn as_root_a_user_whom_nobody_knows() {
    let world = World::root(EXE);
    let base = world.base().display();
    let exe = world.exe().display();
    let script = format!(
        "d=$(mktemp -d /var/tmp/nobody.XXXXXX); chown 54321:54321 $d; cd $d
         setpriv --reuid 54321 --regid 54321 --clear-groups env HOME=$d XDG_STATE_HOME=$d/state \
             {exe} run --apply always -- sh -c 'id -u; echo x > made; exit 4'; echo $?; stat -c '%u %n' made; cd /; rm -rf $d; ls -d {base}"
    );
    let out = world.command("bash").args(["-c", &script]).run();
    assert!(out.stdout.starts_with("54321\n4\n54321 made\n"), "{}", out.report());
}

/// What container programs do to a mount namespace before they start somebody in it.
const CONTAINERS: [(&str, &str, bool); 4] = [
    ("without /sys", "umount -R /sys 2>/dev/null || mount -t tmpfs none /sys", true),
    ("a read-only root", "mount --bind $W $W; mount --bind $S $S; mount -o remount,bind,ro /", true),
    (
        "masked parts of /proc",
        "for f in kcore interrupts timer_list; do test ! -e /proc/$f || mount --bind /dev/null /proc/$f; done",
        false,
    ),
    ("a read-only /proc/sys", "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys", false),
];

#[test]
fn as_root_in_containers() {
    for user in [false, true] {
        let world = if user { World::user(EXE) } else { World::root(EXE) };
        let (workspace, state) = (world.workspace().display().to_string(), world.state().display().to_string());
        std::fs::create_dir_all(world.state()).unwrap();
        let (uid, gid) = world.owner();
        std::os::unix::fs::chown(world.state(), Some(uid), Some(gid)).unwrap();
        for (name, before, works) in CONTAINERS {
            let before = before.replace("$W", &workspace).replace("$S", &state);
            let become_user = format!("exec setpriv --reuid {uid} --regid {gid} --clear-groups \"$@\"");
            let script = format!("{before}\ncd {workspace}\n{}", if user { &become_user } else { "exec \"$@\"" });
            let own = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", &script, "sh"];
            let run =
                sh(&world, "discard", "echo x > made; cat made; ls /proc/self/comm; exit 5").as_root().under(own).run();
            run.stderr_lacks("panicked");
            match works {
                true => run.code(5).stdout_is("x\n/proc/self/comm\n"),
                // The kernel shows nobody a new /proc that shows more than the one there is.
                false => run.code(125).stderr_has("/proc").stderr_has("systempaths=unconfined"),
            };
            assert!(world.leftovers().is_empty(), "{name}: {:#?}", world.leftovers());
        }
        assert_nothing_left(&world);
    }
}
