//! On a terminal: the question at the end, Ctrl-C and Ctrl-Z, shells and job control, as bare.

use crate::support::{assert_nothing_left, both, only_trial};
use std::os::unix::process::ExitStatusExt;
use testkit::{Pty, World};

const CTRL_C: &str = "\x03";
const CTRL_Z: &str = "\x1a";
const CTRL_BACKSLASH: &str = "\x1c";
const CTRL_D: &str = "\x04";

fn ask(world: &World, script: &str) -> Pty {
    world.belljar(["run", "--", "sh", "-c", script]).on_terminal()
}

/// An interactive bash without the settings of the machine, with a prompt that nothing else prints.
fn shell(world: &World, program: &[&str]) -> Pty {
    world.file(world.home().join(".bashrc"), "PS1='[%]'\nbind 'set enable-bracketed-paste off' 2>/dev/null\n");
    let mut pty = world.command(program[0]).args(&program[1..]).on_terminal();
    pty.expect("[%]");
    pty
}

both! {
    fn ctrl_c_ends_the_command_as_it_would_bare(world) {
        let mut pty = ask(world, "echo ready; exec sleep 300");
        pty.expect("ready").send(CTRL_C);
        assert_eq!(pty.wait().signal(), Some(2), "{}", pty.screen());
        assert_nothing_left(world);
        let mut pty = ask(world, "ulimit -c 0; echo ready; exec sleep 300");
        pty.expect("ready").send(CTRL_BACKSLASH);
        assert_eq!(pty.wait().signal(), Some(3), "{}", pty.screen());
        assert_nothing_left(world);
    }

    fn a_command_that_catches_ctrl_c_goes_on(world) {
        let mut pty = ask(world, "trap 'echo caught' INT; echo ready; sleep 300; echo on; exit 5");
        pty.expect("ready").send(CTRL_C);
        pty.expect("caught").expect("on");
        assert_eq!(pty.wait().code(), Some(5), "{}", pty.screen());
        assert_nothing_left(world);
    }

    fn the_terminal_is_the_childs_own(world) {
        let mut pty = ask(world, "test -t 0 && test -t 1 && test -t 2 && stty size && tty >/dev/null && echo yes > /dev/tty; read line < /dev/tty; echo got $line");
        pty.expect("40 160").expect("yes").send("words\n");
        pty.expect("got words");
        assert!(pty.wait().success(), "{}", pty.screen());
        assert_nothing_left(world);
    }

    /// Ctrl-Z stops Belljar with the command; the shell outside takes the terminal back; `fg` goes on.
    fn ctrl_z_and_fg_work_from_the_shell_outside(world) {
        let mut pty = shell(world, &["bash", "-i"]);
        let exe = world.exe().display();
        pty.send(&format!("{exe} run --apply discard -- sh -c 'echo ready; sleep 1; echo slept; exec sleep 300'\n"));
        pty.expect("ready\r\n").expect("slept").send(CTRL_Z);
        pty.expect("Stopped").expect("[%]").send("echo outside $((40 + 2))\n");
        pty.expect("outside 42").expect("[%]").send("fg\n");
        pty.expect("run --apply discard");
        std::thread::sleep(std::time::Duration::from_millis(300));
        pty.send(CTRL_C);
        pty.expect("[%]").send("echo code $?; exit\n");
        pty.expect("code 130");
        pty.wait();
        assert_nothing_left(world);
    }

    /// No command means a shell: line editing, jobs, and its own exit code.
    fn a_shell_under_glass_has_job_control(world) {
        let exe = world.exe().display().to_string();
        let mut pty = shell(world, &[&exe, "run", "--apply", "discard"]);
        pty.send("sleep 300\n");
        std::thread::sleep(std::time::Duration::from_millis(500));
        pty.send(CTRL_Z);
        pty.expect("Stopped").expect("[%]").send("jobs\n");
        pty.expect("Stopped").expect("sleep 300").expect("[%]").send("bg\n");
        pty.expect("sleep 300 &").expect("[%]").send("fg\n");
        pty.expect("sleep 300");
        std::thread::sleep(std::time::Duration::from_millis(300));
        pty.send(CTRL_C);
        pty.expect("[%]").send("echo x > inside; cat inside; false\n");
        pty.expect("x\r\n").expect("[%]").send(CTRL_D);
        assert_eq!(pty.wait().code(), Some(1), "{}", pty.screen());
        assert!(!world.has("inside"));
        assert_nothing_left(world);
    }

    fn ctrl_c_at_the_question_leaves_the_changes_to_wait(world) {
        let mut pty = ask(world, "echo hi > new.txt");
        pty.expect("new.txt").expect("apply");
        pty.send(CTRL_C);
        pty.wait();
        assert!(!world.has("new.txt"));
        let trial = only_trial(world);
        world.belljar(["discard", &trial, "--yes"]).run().success();
        assert_nothing_left(world);
    }
}
