//! Who changed what: every change names the process that made it, as it was at the time.

use crate::support::{both, only_trial};
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use testkit::World;

fn sh<'w>(world: &'w World, mode: &str, script: &str) -> testkit::Run<'w> {
    world.belljar(["run", "--who", "--apply", mode, "--", "sh", "-c", script])
}

/// The authors of `path` (below the workspace), last first: the words of each, with those of its ancestors before it.
#[track_caller]
fn authors(world: &World, path: &str) -> Vec<Vec<String>> {
    let shown = world.belljar(["show", "--who", "--json"]).run();
    shown.success();
    let document = shown.json();
    assert_eq!((&document["watched"], &document["incomplete"]), (&Value::Bool(true), &Value::Null));
    let path = world.workspace().join(path);
    let changes = document["changes"].as_array().unwrap();
    let change = changes.iter().find(|change| change["path"] == path.to_str().unwrap());
    let change = change.unwrap_or_else(|| panic!("{} is not listed: {changes:#?}", path.display()));
    change["authors"].as_array().unwrap().iter().map(line).collect()
}

fn line(author: &Value) -> Vec<String> {
    let ancestors = author["ancestors"].as_array().unwrap();
    ancestors.iter().chain([&author["process"]]).map(words).collect()
}

fn words(process: &Value) -> String {
    let words = process["argv"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
    words.collect::<Vec<_>>().join(" ")
}

/// Asserts that `path` was last touched by a process with these words, started by the command.
#[track_caller]
fn assert_by(world: &World, path: &str, words: &str) {
    let all = authors(world, path);
    let last = all.first().unwrap_or_else(|| panic!("nobody is on record for {path}"));
    assert_eq!(last.last().unwrap(), words, "{path}: {all:#?}");
    assert!(last[0].starts_with("sh -c") || last[0] == words, "{path}: {all:#?}");
}

both! {
    fn each_child_is_named_for_what_it_did(world) {
        world.file("old", "old\n").file("gone", "x").file("tree/a", "x").file("tree/b/c", "x").file("from", "x");
        world.file("log", "x").file("whole/a", "x").file("whole/b/c", "x").file("times", "x").file("mode", "x");
        world.file("append.py", "import sys\nopen(sys.argv[1], 'a').write('more\\n')\n");
        let script = "
            python3 append.py old
            rm gone
            rm -r tree
            mv from to
            sort old > sorted
            cp -a whole copy
            tar cf - whole | tar xf - -C copy
            chmod 600 mode
            ln -s to link
            mkdir made
            echo in the shell >> log
            sh -c 'echo first > one'
            sh -c 'echo second > two'";
        sh(world, "never", script).run().success();
        for (path, words) in [
            ("old", "python3 append.py old"),
            ("gone", "rm gone"),
            ("tree", "rm -r tree"),
            ("to", "mv from to"),
            ("sorted", "sort old"),
            ("copy", "cp -a whole copy"),
            ("copy/a", "cp -a whole copy"),
            ("copy/b/c", "cp -a whole copy"),
            ("copy/whole/b/c", "tar xf - -C copy"),
            ("mode", "chmod 600 mode"),
            ("link", "ln -s to link"),
            ("made", "mkdir made"),
            ("one", "sh -c echo first > one"),
            ("two", "sh -c echo second > two"),
        ] {
            assert_by(world, path, words);
        }
        // What the shell does itself is the shell's, and a redirection's file is opened by the shell.
        assert_eq!(authors(world, "log")[0].len(), 1);
        assert!(authors(world, "sorted").iter().any(|line| line.last().unwrap().starts_with("sh -c")));

        let shown = world.belljar(["show", "--who", "old", "tree"]).run();
        shown.success();
        assert!(shown.stdout.contains("> python3 append.py old ("), "{}", shown.report());
        assert!(!shown.stdout.contains("created  sorted"), "only what was asked for{}", shown.report());
        world.belljar(["show", "--who", "nothing"]).run().code(125);
        world.belljar(["discard", "--yes"]).run().success();
    }

    /// Many at once, each with files of its own and one they all write to.
    fn processes_at_the_same_time(world) {
        let worker = "for i in 1 2 3 4 5 6 7 8; do echo x > $1.$i; echo $1 >> all; mkdir d$1.$i; mv $1.$i d$1.$i/f; done\n";
        world.file("worker.sh", worker).file("main.sh", "for n in 1 2 3 4 5 6; do sh worker.sh $n & done; wait\n");
        sh(world, "never", "sh main.sh").run().success();
        for n in 1..=6 {
            for i in [1, 8] {
                let writers = authors(world, &format!("d{n}.{i}/f"));
                let writers: Vec<&str> = writers.iter().map(|line| line.last().unwrap().as_str()).collect();
                assert_eq!(writers, [format!("mv {n}.{i} d{n}.{i}/f"), format!("sh worker.sh {n}")], "d{n}.{i}/f");
            }
        }
        assert_eq!(authors(world, "all").len(), 6);
        world.belljar(["discard", "--yes"]).run().success();
    }

    /// The kernel's overlayfs knows nobody: that is said, with how to have it otherwise.
    fn what_the_kernel_kept_was_not_recorded(world) {
        world.file("a", "old\n");
        world.belljar(["run", "--apply", "never", "--", "tee", "a"]).stdin("new\n").run().success();
        let shown = world.belljar(["show", "--who"]).run();
        shown.success();
        assert!(shown.stdout.contains("was not recorded") && shown.stdout.contains("run --who"), "{}", shown.report());
        assert!(!shown.stdout.contains("unknown process"), "{}", shown.report());
        let document = world.belljar(["show", "--who", "--json"]).run().json();
        assert_eq!(document["unwatched"], json!([world.workspace()]), "{document:#}");
        world.belljar(["discard", "--yes"]).run().success();
    }

    /// What the host had is on record with what was done to it.
    fn the_host_s_side_is_identified(world) {
        world.file("gone", "four");
        sh(world, "never", "rm gone; echo x > new").run().success();
        let journal = world.state().join("belljar/trials").join(only_trial(world));
        let layers = std::fs::read_dir(journal).unwrap().map(|layer| layer.unwrap().path().join("effects"));
        let lines: Vec<String> = layers.filter_map(|path| std::fs::read_to_string(path).ok()).collect();
        let lines: Vec<Value> = lines.iter().flat_map(|text| text.lines()).map(|line| serde_json::from_str(line).unwrap()).collect();
        let effect = |path: &str| lines.iter().find(|line| line["effect"]["path"] == path).unwrap()["effect"].clone();
        let (gone, stat) = (effect("gone"), std::fs::metadata(world.workspace().join("gone")).unwrap());
        assert_eq!(gone["op"], "unlink");
        let was = json!({"dev": stat.dev(), "ino": stat.ino(), "size": 4, "mode": stat.mode(), "ctime_ns": stat.ctime() * 1_000_000_000 + stat.ctime_nsec()});
        assert_eq!(gone["was"], was);
        assert_eq!(effect("new")["was"], Value::Null);
        world.belljar(["discard", "--yes"]).run().success();
    }

    /// The same process number, another program.
    fn a_process_that_executes_another_program(world) {
        let script = "echo a > a; exec sh -c 'echo b > b; exec sh -c \"echo c > c\"'";
        sh(world, "never", script).run().success();
        assert_by(world, "b", "sh -c echo b > b; exec sh -c \"echo c > c\"");
        assert_by(world, "c", "sh -c echo c > c");
        assert_eq!(authors(world, "a")[0].len(), 1);
        world.belljar(["discard", "--yes"]).run().success();
    }

    /// Whoever started it is gone: the process itself is known all the same, and it is said that its line is not.
    fn a_process_without_a_parent(world) {
        const ALONE: &str = "p=0; n=0; while [ $p != 1 ] && [ $n -lt 1000 ]; do n=$((n+1)); sleep 0.01; read a b c p d < /proc/$$/stat; done";
        const UNTIL: &str = "n=0; while ! [ -s done ] && [ $n -lt 1000 ]; do n=$((n+1)); sleep 0.01; done";
        let inner = format!("echo $$ > started; {ALONE}; echo x > late; echo x > done");
        let parent = "sh -c \"$0\" & while ! [ -s started ]; do sleep 0.01; done";
        let script = format!("sh -c '{parent}' '{inner}'; {UNTIL}");
        sh(world, "never", &script).run().success();
        let line = authors(world, "late").remove(0);
        assert_eq!(line.last().unwrap(), &format!("sh -c {inner}"));
        // It was first seen while its parent lived, so its line is known up to the command.
        assert!(line.len() >= 3 && line[0].contains("while ! [ -s done ]"), "{line:#?}");

        let orphan = format!("{ALONE}; echo x > orphan; echo x > done");
        let script = format!("(sh -c '{orphan}' &); {UNTIL}");
        world.belljar(["discard", "--yes"]).run().success();
        sh(world, "never", &script).run().success();
        let line = authors(world, "orphan").remove(0);
        assert_eq!(line, [format!("sh -c {orphan}")]);
        let shown = world.belljar(["show", "--who"]).run();
        assert!(shown.stdout.contains("(its parent had ended) > sh -c"), "{}", shown.report());
        world.belljar(["discard", "--yes"]).run().success();
    }

    fn git_and_a_hook_that_is_red(world) {
        world.file("a", "a\n");
        world.git_init();
        world.file("hook.py", "open('.git/hooks/pre-commit', 'w').write('#!/bin/sh\\n')\n");
        let run = sh(world, "never", "echo b >> a; git commit -qam two; python3 hook.py").run();
        run.success();
        assert!(run.stderr.contains("; by `python3 hook.py`"), "{}", run.report());
        assert_by(world, ".git/hooks/pre-commit", "python3 hook.py");
        let all = authors(world, ".git/refs/heads/main");
        assert!(all[0].last().unwrap().starts_with("git commit"), "{all:#?}");
        world.belljar(["discard", "--yes"]).run().success();
    }

    /// A name or an argument of a stranger never reaches the terminal raw.
    fn what_a_process_calls_itself_is_escaped(world) {
        sh(world, "never", "python3 -c 'open(\"f\", \"w\")' \"$(printf '\\033[2J\\nbelljar: fine')\"").run().success();
        let shown = world.belljar(["show", "--who"]).run();
        assert!(shown.stdout.contains("\\033[2J\\012belljar: fine"), "{}", shown.report());
        assert!(!shown.stdout.contains('\u{1b}'), "{}", shown.report());
        world.belljar(["discard", "--yes"]).run().success();
    }

    /// A program that does the same thing over and over does not make the journal grow with it.
    fn a_journal_grows_with_what_is_new_only(world) {
        let program = "import os\nfor n in range(3000):\n    open('t','w').write('x')\n    os.rename('t','f')\n    open('g','a').write('x')\n";
        world.file("loop.py", program);
        sh(world, "never", "python3 loop.py").run().success();
        let trial = world.state().join("belljar/trials").join(only_trial(world));
        let bytes = |layer: usize| trial.join(format!("layer-{layer}/effects")).metadata().map_or(0, |meta| meta.len());
        // The home and the workspace, of which nothing was changed in the first.
        let (home, workspace) = (bytes(0), bytes(1));
        assert_eq!(home, 0, "a journal of nothing");
        assert!(workspace > 0 && workspace < 16_000, "{workspace} bytes for 12,000 effects");
        for name in ["f", "g"] {
            assert_by(world, name, "python3 loop.py");
        }
        world.belljar(["discard", "--yes"]).run().success();
    }

    /// A thread is shown as its process, and what a mapping brings to the disk later harms nothing.
    fn threads_and_mappings(world) {
        world.file("m", "0000\n");
        let program = "import threading, mmap
def work(name):
    open(name, 'w').write('x')
for t in [threading.Thread(target=work, args=('t%d' % n,)) for n in range(4)]:
    t.start(); t.join()
f = open('m', 'r+b'); m = mmap.mmap(f.fileno(), 4); m[0:4] = b'1111'; m.flush(); m.close()
";
        world.file("threads.py", program);
        sh(world, "never", "python3 threads.py").run().success();
        for n in 0..4 {
            assert_by(world, &format!("t{n}"), "python3 threads.py");
        }
        // The kernel brings a mapping to the disk for nobody in particular.
        assert_eq!(authors(world, "m"), [[""]]);
        let shown = world.belljar(["show", "--who", "m"]).run();
        assert!(shown.stdout.contains("unknown process"), "{}", shown.report());
        world.belljar(["discard", "--yes"]).run().success();
    }

    /// The program lays its arguments into a file of the view: to read them we would have to answer ourselves.
    fn arguments_in_a_file_of_the_view(world) {
        world.file("trap.py", TRAP);
        let mut run = sh(world, "never", "python3 trap.py").spawn();
        assert!(run.wait_at_most(std::time::Duration::from_secs(30)).success());
        assert!(world.belljar(["diff", "trap-set"]).run().stdout.contains("+0"), "the trap was not set");
        assert_eq!(authors(world, "after").len(), 1);
        world.belljar(["discard", "--yes"]).run().success();
    }
}

/// `PR_SET_MM_MAP` (prctl(2)) points `arg_start` into a mapping of a file that nobody has read yet.
const TRAP: &str = r"
import ctypes, mmap, os, struct, sys
open('page', 'wb').write(b'x' * 1048576)
os.sync()
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
f = os.open('page', os.O_RDONLY)
at = libc.mmap(None, 1048576, 1, 1, f, 0)
os.posix_fadvise(f, 0, 0, os.POSIX_FADV_DONTNEED)
stat = open('/proc/self/stat').read().rsplit(')', 1)[1].split()
field = lambda n: int(stat[n - 3])
m = struct.pack('=11Q', field(26), field(27), field(45), field(46), field(47), field(47), field(28),
                at, at + 4096, field(50), field(51)) + struct.pack('=QIi', 0, 0, -1)
buf = ctypes.create_string_buffer(m)
done = libc.prctl(35, 14, buf, len(m), 0)
open('trap-set', 'w').write(str(done))
open('after', 'w').write('x')
";
