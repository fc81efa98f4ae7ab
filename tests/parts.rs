//! Parts of a trial, and others at work on the same files: hunks, merges, two jars over one workspace, edits outside.

use crate::support::{assert_nothing_left, both, only_trial, sh};
use testkit::World;

fn numbered(count: usize) -> String {
    (1..=count).map(|n| format!("{n}\n")).collect()
}

/// Three hunks in a file of forty lines, made by the command itself.
const THREE: &str = "sed -i -e '1i top' -e 's/^20$/twenty/' -e '$a 41' f";

fn trials(world: &World) -> Vec<String> {
    world.trials().iter().map(|trial| trial["id"].as_str().unwrap().to_owned()).collect()
}

/// Runs `script` and leaves its changes; the new trial.
fn left(world: &World, script: &str) -> String {
    let before = trials(world);
    sh(world, "never", script).run().success();
    trials(world).into_iter().find(|id| !before.contains(id)).expect("a trial waits")
}

both! {
    fn hunks_are_applied_one_by_one(world) {
        let old = numbered(40);
        world.file("f", &old);
        let trial = left(world, &format!("{THREE}; echo new > g"));
        let diff = world.belljar(["diff", "--json", &trial, "f"]).run().json();
        let hunks = diff["changes"][0]["preview"]["hunks"].as_array().unwrap();
        let numbers: Vec<_> = hunks.iter().map(|hunk| (hunk["number"].as_u64().unwrap(), hunk["old_start"].as_u64().unwrap())).collect();
        assert_eq!(numbers, [(1, 1), (2, 17), (3, 38)], "{diff:#}");
        world.belljar(["diff", &trial, "f"]).run().success().stdout_has("@@ -17,7 +18,7 @@ hunk 2");

        world.belljar(["apply", &trial, "f@2"]).run().success().stdout_has("2 wait");
        assert_eq!(world.read("f").unwrap(), old.replace("\n20\n", "\ntwenty\n"));
        assert!(!world.has("g"));
        let rest = world.belljar(["diff", &trial, "f"]).run();
        assert!(rest.stdout.contains("hunk 2") && !rest.stdout.contains("hunk 3") && !rest.stdout.contains("+twenty"), "{}", rest.report());
        world.belljar(["apply", &trial, "f", "--hunk", "1-2"]).run().success();
        assert_eq!(world.read("f").unwrap(), format!("top\n{}41\n", old.replace("\n20\n", "\ntwenty\n")));
        world.belljar(["apply", &trial]).run().success();
        assert_nothing_left(world);
    }

    fn what_has_no_such_hunk_is_told(world) {
        world.file("f", numbered(40)).file("binary", b"a\0b").file("at@2", "a name\n");
        let trial = left(world, &format!("{THREE}; printf 'a\\000c' > binary; echo new > new; echo other > at@2"));
        for (what, told) in [
            ("f@4", "select hunk 4 of"),
            ("binary@1", "it is not text"),
            ("new@1", "it can be applied as a whole only"),
        ] {
            let run = world.belljar(["apply", &trial, what]).run();
            assert_ne!(run.status.code(), Some(0), "{}", run.report());
            run.stderr_has(told);
        }
        let run = world.belljar(["apply", &trial, "f", "binary", "--hunk", "1"]).run();
        assert_eq!(run.status.code(), Some(2), "{}", run.report());
        assert_eq!((world.read("f").unwrap(), world.read("at@2").unwrap().as_str()), (numbered(40), "a name\n"));
        world.belljar(["apply", &trial, "at@2"]).run().success();
        assert_eq!(world.read("at@2").unwrap(), "other\n", "a name is a name before it is anything else");
        world.belljar(["discard", "--yes", &trial]).run().success();
        assert_nothing_left(world);
    }

    fn hunks_can_be_chosen_on_the_terminal(world) {
        let old = numbered(40);
        world.file("f", &old);
        let mut pty = world.belljar(["run", "--", "sh", "-c", THREE]).on_terminal();
        let mut answer = |question: &str, keys: &str| {
            pty.expect(question).expect("]");
            std::thread::sleep(std::time::Duration::from_millis(200));
            pty.send(keys);
        };
        answer("Make it real?", "c");
        answer("Apply which?", "1@\n");
        answer("Apply which hunks of f?", "1,3\n");
        pty.expect("applied:").expect("1 wait");
        assert!(pty.wait().success(), "{}", pty.screen());
        assert_eq!(world.read("f").unwrap(), format!("top\n{old}41\n"));
        world.belljar(["discard", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    fn an_edit_outside_is_merged_when_asked(world) {
        let old = numbered(40);
        world.file("f", &old);
        let trial = left(world, THREE);
        let theirs = old.replace("\n30\n", "\nthirty\n");
        world.file("f", &theirs);
        let run = world.belljar(["apply", &trial]).run();
        assert_ne!(run.status.code(), Some(0), "{}", run.report());
        run.stderr_has("f (the host's file was changed meanwhile)").stderr_has("--merge");
        assert_eq!(world.read("f").unwrap(), theirs);
        world.belljar(["apply", "--merge", &trial]).run().success();
        assert_eq!(world.read("f").unwrap(), format!("top\n{}41\n", theirs.replace("\n20\n", "\ntwenty\n")));
        assert_nothing_left(world);
    }

    fn edits_of_the_same_lines_are_told_and_nothing_is_changed(world) {
        let old = numbered(40);
        world.file("f", &old);
        let trial = left(world, &format!("{THREE}; echo new > g"));
        let theirs = old.replace("\n20\n", "\nzwanzig\n");
        world.file("f", &theirs);
        let run = world.belljar(["apply", "--merge", &trial]).run();
        assert_ne!(run.status.code(), Some(0), "{}", run.report());
        run.stderr_has("the jar's line 21 against the host's line 20");
        assert_eq!(world.read("f").unwrap(), theirs);
        assert!(!world.has("g"));
        world.belljar(["discard", "--yes", &trial]).run().success();
        assert_nothing_left(world);
    }

    fn two_jars_are_applied_one_after_the_other(world) {
        let old = numbered(40);
        world.file("f", &old).file("d/x", "x\n").file("gone", "g\n");
        let one = left(world, "sed -i 's/^5$/five/' f; echo one > one; echo x1 >> d/x; rm gone");
        let two = left(world, "sed -i 's/^35$/thirty-five/' f; echo two > two; echo x2 >> d/x; echo g2 > gone");
        world.belljar(["apply", &one, "--yes"]).run().success();
        let run = world.belljar(["apply", &two]).run();
        assert_ne!(run.status.code(), Some(0), "{}", run.report());
        run.stderr_has("3 place(s)").stderr_has("f (").stderr_has("d/x (").stderr_has("gone (the host no longer has it)");
        assert!(!world.has("two"), "nothing is changed");
        // What does not conflict can be had by name, what was changed apart by a merge; the rest waits.
        world.belljar(["apply", &two, "two"]).run().success();
        world.belljar(["apply", "--merge", &two, "f"]).run().success();
        let both = old.replace("\n5\n", "\nfive\n").replace("\n35\n", "\nthirty-five\n");
        assert_eq!((world.read("f").unwrap(), world.read("two").unwrap().as_str()), (both, "two\n"));
        assert_eq!(world.read("d/x").unwrap(), "x\nx1\n");
        let run = world.belljar(["apply", "--merge", &two]).run();
        assert_ne!(run.status.code(), Some(0), "{}", run.report());
        run.stderr_has("both sides changed the same place");
        world.belljar(["discard", "--yes", &two]).run().success();
        assert_eq!(world.read("d/x").unwrap(), "x\nx1\n");
        assert_nothing_left(world);
    }

    fn two_jars_at_the_same_time_do_not_see_each_other(world) {
        let old = numbered(40);
        world.file("f", &old);
        let start = |line: &str| {
            let script = format!("sed -i 's/^{line}$/jar {line}/' f; echo ready; read answer; cat f");
            world.belljar(["run", "--apply", "never", "--", "sh", "-c", &script]).on_terminal()
        };
        let (mut one, mut two) = (start("5"), start("35"));
        for pty in [&mut one, &mut two] {
            pty.expect("ready");
        }
        for (pty, own, other) in [(&mut one, "jar 5\r", "jar 35\r"), (&mut two, "jar 35\r", "jar 5\r")] {
            pty.send("\n");
            pty.expect(own);
            assert!(pty.wait().success(), "{}", pty.screen());
            assert!(!pty.screen().contains(other), "{}", pty.screen());
        }
        assert_eq!(world.read("f").unwrap(), old);
        for trial in trials(world) {
            world.belljar(["apply", "--merge", &trial]).run().success();
        }
        assert_eq!(world.read("f").unwrap(), old.replace("\n5\n", "\njar 5\n").replace("\n35\n", "\njar 35\n"));
        assert_nothing_left(world);
    }

    /// The host's edits of what the jar has changed already do not show in it and stop an apply; a merge takes both.
    fn edits_outside_while_the_jar_lives(world) {
        let old = numbered(40);
        world.file("f", &old).file("other", "before\n");
        let script = "sed -i 's/^5$/five/' f; echo more >> other; echo ready; read answer; sed -i 's/^10$/ten/' f";
        let mut pty = world.belljar(["run", "--apply", "never", "--", "sh", "-c", script]).on_terminal();
        pty.expect("ready");
        world.file("f", old.replace("\n35\n", "\nthirty-five\n")).file("aside", "of the host\n");
        std::fs::remove_file(world.workspace().join("other")).unwrap();
        pty.send("\n");
        assert!(pty.wait().success(), "{}", pty.screen());
        let trial = only_trial(world);
        let run = world.belljar(["apply", "--merge", &trial]).run();
        assert_ne!(run.status.code(), Some(0), "{}", run.report());
        run.stderr_has("other (the host no longer has it)");
        world.belljar(["apply", "--merge", &trial, "f"]).run().success();
        let all = old.replace("\n5\n", "\nfive\n").replace("\n10\n", "\nten\n").replace("\n35\n", "\nthirty-five\n");
        assert_eq!(world.read("f").unwrap(), all);
        assert_eq!((world.has("other"), world.read("aside").unwrap().as_str()), (false, "of the host\n"));
        world.belljar(["discard", "--yes", &trial]).run().success();
        assert_nothing_left(world);
    }

    fn what_tools_make_is_one_line_and_what_matters_is_not(world) {
        world.file(".gitignore", "out/\n").file("node_modules/kept/index.js", "1\n").file("out/old", "old\n");
        world.git_init();
        world.command("git").args(["add", "-f", "node_modules/kept/index.js"]).run().success();
        let script = "mkdir -p node_modules/a node_modules/b out; echo 1 > node_modules/a/x; echo 1 > node_modules/b/x; \
                      echo 2 > node_modules/kept/index.js; echo 1 > out/x; echo 1 > out/y; rm out/old; echo s > source";
        let trial = left(world, script);
        let shown = world.belljar(["diff", "--summary", &trial]).run();
        shown.success().stdout_has("node_modules/: 4 created (made by tools").stdout_has("out/: 2 created (ignored by git");
        shown.stdout_has("changed  node_modules/kept/index.js").stdout_has("deleted  out/old").stdout_has("created  source");
        assert!(!shown.stdout.contains("node_modules/a/x"), "{}", shown.report());
        let whole = world.belljar(["show", "--json", &trial]).run().json();
        assert!(whole["changes"].to_string().contains("node_modules/a/x"), "a program is told everything");
        world.belljar(["diff", &trial]).run().success().stdout_has("node_modules/a/x");
        world.belljar(["discard", "--yes", &trial]).run().success();
        assert_nothing_left(world);
    }

    fn a_renamed_file_and_a_new_link_are_told_as_such(world) {
        world.file("a", "a\n").file("l", "l\n");
        let trial = left(world, "mv a b; echo more >> b; ln l m");
        world.belljar(["show", &trial]).run().success()
            .stdout_has("renamed, changed b (was a)").stdout_has("linked   m (one file with l)");
        world.belljar(["apply", "--yes", &trial]).run().success();
        assert_eq!((world.has("a"), world.read("b").unwrap().as_str()), (false, "a\nmore\n"));
        let file = |name: &str| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(world.workspace().join(name)).unwrap());
        assert_eq!(file("l"), file("m"));
        assert_nothing_left(world);
    }
}
