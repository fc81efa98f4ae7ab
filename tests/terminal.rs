//! On a terminal: the question at the end, Ctrl-C and Ctrl-Z, shells and job control, as bare.

use crate::support::{answer, assert_nothing_left, both, only_trial};
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
        let mut pty = ask(world, "trap 'echo caught' INT; (echo ready; exec sleep 300); echo on; exit 5");
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

    fn applied_by_one_key(world) {
        let mut pty = ask(world, "echo hi > new.txt");
        pty.expect("new.txt");
            answer(&mut pty, "Make it real?", "a");
        pty.expect("applied:");
        assert!(pty.wait().success(), "{}", pty.screen());
        assert_eq!(world.read("new.txt").unwrap(), "hi\n");
        assert_nothing_left(world);
    }

    fn looked_at_and_discarded(world) {
        let mut pty = ask(world, "echo hi > new.txt; exit 3");
        answer(&mut pty, "Make it real?", "l");
        pty.expect("+hi");
            answer(&mut pty, "Make it real?", "d");
        pty.expect("discarded:");
        assert_eq!(pty.wait().code(), Some(3), "{}", pty.screen());
        assert!(!world.has("new.txt"));
        assert_nothing_left(world);
    }

    fn chosen_by_number_the_rest_waits(world) {
        let mut pty = ask(world, "echo 1 > a; echo 2 > b; echo 3 > c; echo 4 > d");
        answer(&mut pty, "Make it real?", "c");
        answer(&mut pty, "Apply which?", "9\n");
        pty.expect("9 is no number");
            answer(&mut pty, "Make it real?", "c");
        answer(&mut pty, "Apply which?", "1 3-4\n");
        pty.expect("applied:");
        assert!(pty.wait().success(), "{}", pty.screen());
        assert_eq!(["a", "b", "c", "d"].map(|name| world.has(name)), [true, false, true, true]);
        let trial = only_trial(world);
        world.belljar(["apply", &trial, "--yes"]).run().success();
        assert!(world.has("b"));
        assert_nothing_left(world);
    }

    /// What is HIGH takes a second key; type-ahead is no answer.
    fn red_changes_take_a_second_yes(world) {
        world.git_init();
        let hook = "mkdir -p .git/hooks && echo x > .git/hooks/pre-commit && echo ok > plain";
        let mut pty = ask(world, hook);
        pty.expect("HIGH").expect("pre-commit");
            answer(&mut pty, "Make it real?", "a");
        answer(&mut pty, "Apply them too?", "n");
        answer(&mut pty, "Make it real?", "s");
        pty.expect("applied:");
        pty.wait();
        assert!(world.has("plain") && !world.has(".git/hooks/pre-commit"));
        let trial = only_trial(world);
        let mut pty = world.belljar(["apply", &trial]).on_terminal();
        answer(&mut pty, "Apply them all the same?", "y");
        assert!(pty.wait().success(), "{}", pty.screen());
        assert!(world.has(".git/hooks/pre-commit"));
        assert_nothing_left(world);

        let mut pty = ask(world, "echo later > late; sleep 1");
        pty.send("aaaa");
        answer(&mut pty, "Make it real?", "d");
        pty.expect("discarded:");
        pty.wait();
        assert!(!world.has("late"));
        assert_nothing_left(world);
    }

    /// Choosing a new directory chooses the dangerous file in it, which takes the second key as well.
    fn choosing_a_directory_asks_for_what_is_red_in_it(world) {
        world.git_init();
        let mut pty = ask(world, "mkdir -p .git/hooks new && rm -r .git/hooks && mkdir .git/hooks && echo x > .git/hooks/pre-push; echo y > new/y");
        answer(&mut pty, "Make it real?", "c");
        pty.expect("Apply which?").expect("]");
        let list = pty.screen();
        let numbers: Vec<&str> = list.lines().filter_map(|line| line.trim_start().split_once("  ")).map(|(n, _)| n).collect();
        let all = format!("1-{}\n", numbers.iter().filter_map(|n| n.parse::<u32>().ok()).max().unwrap());
        pty.send(&all);
        answer(&mut pty, "Apply them too?", "n");
        answer(&mut pty, "Make it real?", "d");
        pty.expect("discarded:");
        pty.wait();
        assert!(!world.has(".git/hooks/pre-push") && !world.has("new"));
        assert_nothing_left(world);
    }

    /// What a command leaves switched on must not hide or swallow the words about it: concealment, line drawing, a
    /// scrolling region, a title that never ends.
    fn a_command_cannot_hide_the_question(world) {
        let leaves = "echo hi > new.txt; stty raw -echo; printf '\\033[8m\\033(0\\033[5;6r\\033[?1049h\\033]0;'";
        let mut asked = ask(world, leaves);
        answer(&mut asked, "Make it real?", "q");
        assert!(asked.wait().success(), "{}", asked.screen());
        let mut told = world.belljar(["run", "--apply", "never", "--", "sh", "-c", leaves]).on_terminal();
        assert!(told.wait().success(), "{}", told.screen());
        for screen in [asked.screen(), told.screen()] {
            let (_, after) = screen.split_once("\x1b]0;").unwrap();
            let (between, _) = after.split_once("belljar:").unwrap();
            for ends in ["\x18\x1b\\", "\x1b[r", "\x1b[0m", "\x1b(B", "\x1b[?25h", "\x1b[?47l"] {
                assert!(between.contains(ends), "{ends:?}: {screen:?}");
            }
        }
        world.belljar(["discard", "--all", "--yes"]).run().success();
        // With nothing to tell the terminal stays as the command left it.
        let mut silent = world.belljar(["run", "--apply", "discard", "--", "printf", "'\\033[8m.'"]).on_terminal();
        assert!(silent.wait().success(), "{}", silent.screen());
        assert!(!silent.screen().contains("\x1b[0m"), "{:?}", silent.screen());
        assert_nothing_left(world);
    }

    /// Ctrl-C, end of input and Enter decide nothing.
    fn no_answer_leaves_the_changes_to_wait(world) {
        for key in [CTRL_C, CTRL_D, "\r"] {
            let mut pty = ask(world, "echo hi > new.txt");
            pty.expect("new.txt");
            answer(&mut pty, "Make it real?", key);
            assert!(pty.wait().success(), "{}", pty.screen());
            assert!(!world.has("new.txt"));
            let trial = only_trial(world);
            world.belljar(["discard", &trial]).run().success();
            assert_nothing_left(world);
        }
    }

    /// The terminal itself goes away.
    fn hanging_up_at_the_question_leaves_the_changes_to_wait(world) {
        let mut pty = ask(world, "echo hi > new.txt");
        pty.expect("Make it real?");
        let _ = pty.hang_up();
        assert!(world.leftovers().is_empty(), "{:#?}", world.leftovers());
        assert!(!world.has("new.txt"));
        let trial = only_trial(world);
        world.belljar(["discard", &trial]).run().success();
        assert_nothing_left(world);
    }
}
