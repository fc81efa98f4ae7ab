//! Jars: one command goes on where the last one stopped, and each can be taken back.

use crate::support::{assert_nothing_left, both};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Output, Pty, Run, Snapshot, World, until};

/// `belljar run --jar NAME --apply never -- sh -c SCRIPT`.
fn jar<'w>(world: &'w World, name: &str, script: &str) -> Run<'w> {
    world.belljar(["run", "--jar", name, "--apply", "never", "--", "sh", "-c", script])
}

fn show(world: &World, name: &str) -> Value {
    world.belljar(["show", name, "--json"]).run().json()
}

/// The changed names of a jar, without the workspace before them.
#[track_caller]
fn changed(world: &World, name: &str) -> Vec<String> {
    let root = format!("{}/", world.workspace().display());
    let changes = show(world, name)["changes"].clone();
    let path = |change: &Value| change["path"].as_str().unwrap().replace(&root, "");
    changes.as_array().unwrap().iter().map(path).collect()
}

fn discard(world: &World, name: &str) {
    world.belljar(["discard", name]).run().success();
    assert_nothing_left(world);
}

#[track_caller]
fn failed(run: &Output, code: i32, about: &str) {
    run.code(code).stderr_has(about).stderr_has("hint:").stderr_lacks("panicked");
}

both! {
    /// Where the layers of a jar hold nothing yet, programs are looked for on the host; afterwards they may be in a layer.
    fn programs_are_found_where_the_host_or_a_layer_has_them(world) {
        const PROGRAM: &str = "#!/bin/sh\necho $1 ${0##*/}\n";
        let path = [world.home().join("bin"), world.workspace().join("tools"), "/usr/bin".into(), "/bin".into()];
        let path = std::env::join_paths(path).unwrap();
        let run = |jar: &str, words: &[&str]| {
            let options = ["run", "--jar", jar, "--apply", "never", "--"];
            world.belljar(options.iter().chain(words)).env("PATH", &path).run()
        };
        run("a", &["made", "first"]).code(127);
        discard(world, "a");
        world.script("tools/given", PROGRAM);
        assert_eq!(run("b", &["given", "host"]).stdout, "host given\n");
        world.file(world.home().join("bin/true"), "not to be executed").mode(world.home().join("bin/true"), 0o644);
        run("b", &["true"]).success();
        let make = format!("mkdir -p ~/bin; printf '{}' > ~/bin/made; chmod 755 ~/bin/made", PROGRAM.replace('\n', "\\n"));
        run("b", &["sh", "-c", &make]).success();
        assert_eq!(run("b", &["made", "layer"]).stdout, "layer made\n");
        discard(world, "b");
        run("c", &["made", "again"]).code(127);
        discard(world, "c");
    }

    fn commands_go_on_where_the_last_one_stopped_and_can_be_taken_back(world) {
        world.file("a", "old\n").file("d/x", "x\n");
        let before = world.snapshot();
        jar(world, "work", "echo one > a; mkdir made; ln d/x made/link").run().success();
        jar(world, "work", "cat a; echo two >> a; mv d moved; rm made/link").run().success().stdout_is("one\n");
        jar(world, "work", "cat a; echo three > a; echo y > moved/x; rm -r made; chmod 000 moved").run().success().stdout_is("one\ntwo\n");
        world.assert_untouched(&before);
        let shown = show(world, "work");
        assert_eq!((shown["jar"].as_str(), shown["runs"].as_array().unwrap().len()), (Some("work"), 3));
        assert_eq!(shown["runs"][1]["checkpoint"], 2);
        let trials = world.trials();
        assert_eq!((trials.len(), &trials[0]["jar"], &trials[0]["runs"]), (1, &json!("work"), &json!(3)));
        world.belljar(["trials"]).run().success().stdout_has("jar work (3 commands)");
        world.belljar(["show", "work"]).run().success().stdout_has("moved/x; rm -r made").stdout_has("rewind work --to 3");

        // Without a name it is the last one here.
        let rewound = world.belljar(["rewind", "--yes", "--json"]).run().json();
        assert_eq!((&rewound["to"], &rewound["commands"]), (&json!(3), &json!(1)));
        assert_eq!(changed(world, "work"), ["a", "made", "moved"]);
        world.belljar(["diff", "work", "a"]).run().success().stdout_has("+one").stdout_has("+two");
        jar(world, "work", "cat a moved/x; ls made").run().success().stdout_is("one\ntwo\nx\n");

        world.belljar(["rewind", "work", "--to", "2", "--yes"]).run().success().stdout_has("taken back: 2 commands");
        assert_eq!(changed(world, "work"), ["a", "made", "made/link"]);
        jar(world, "work", "cat a made/link d/x").run().success().stdout_is("one\nx\nx\n");
        world.belljar(["rewind", "work", "--to", "1", "--yes"]).run().success().stdout_has("nothing waits in it");
        assert_eq!(changed(world, "work"), Vec::<String>::new());
        failed(&world.belljar(["rewind", "work", "--yes"]).run(), 125, "no command is left in the jar");
        jar(world, "work", "cat a d/x; echo again > a").run().success().stdout_is("old\nx\n");
        world.assert_untouched(&before);
        world.belljar(["apply", "work", "--yes"]).run().success();
        assert_eq!(world.read("a").unwrap(), "again\n");
        let log = world.belljar(["audit", "log"]).run();
        log.success().stdout_has("rewind to before command 3: 1 command").stdout_has("rewound to before command 1, 0 changes left");
        world.belljar(["audit", "verify"]).run().success();
        discard(world, "work");
    }

    fn killed_in_the_middle_of_the_second_command(world) {
        world.file("a", "old\n").file("b", "old\n");
        jar(world, "work", "echo one > a; echo new > c").run().success();
        let (first, changes) = (show(world, "work"), changed(world, "work"));
        let mut run = jar(world, "work", "echo two > a; rm b c; mkdir c; echo in > c/x; sync; echo ready; sleep 300").spawn();
        run.expect("ready");
        run.kill();
        assert!(until(Duration::from_secs(5), || world.leftovers().is_empty()), "{:#?}", world.leftovers());
        assert_eq!(world.trials()[0]["state"], "interrupted");
        world.belljar(["show", "work"]).run().success().stdout_has("was interrupted");
        world.belljar(["rewind", "--yes"]).run().success();
        assert_eq!(changed(world, "work"), changes);
        let now = show(world, "work");
        assert_eq!((&now["changes"], &now["runs"], &now["exit"]), (&first["changes"], &first["runs"], &first["exit"]));
        jar(world, "work", "cat a b c").run().success().stdout_is("one\nold\nnew\n");
        discard(world, "work");
    }

    fn what_was_applied_is_real_and_stays(world) {
        world.file("a", "old\n").file("b", "old\n");
        jar(world, "work", "echo one > a").run().success();
        jar(world, "work", "echo one > b; echo one > c").run().success();
        world.belljar(["apply", "work", "a", "--yes"]).run().success();
        assert_eq!(world.read("a").unwrap(), "one\n");
        assert_eq!(changed(world, "work"), ["b", "c"]);
        // What the commands began with cannot be had any more, and that is said.
        let refused = world.belljar(["rewind", "work", "--yes"]).run();
        failed(&refused, 125, "changes were applied or undone since");
        world.belljar(["show", "work"]).run().success().stdout_has("no way back");
        assert_eq!(changed(world, "work"), ["b", "c"]);
        // The next command can be taken back, to what waited when it began.
        jar(world, "work", "cat a b c; echo three > a; rm b").run().success().stdout_is("one\none\none\n");
        failed(&world.belljar(["rewind", "work", "--to", "2", "--yes"]).run(), 125, "changes were applied or undone since");
        world.belljar(["rewind", "--yes"]).run().success();
        assert_eq!(changed(world, "work"), ["b", "c"]);
        world.belljar(["apply", "work", "--yes"]).run().success();
        assert_eq!(world.read("c").unwrap(), "one\n");
        // Empty now, and it goes on.
        assert_eq!(world.trials()[0]["state"], "empty");
        jar(world, "work", "cat a b; echo four > c").run().success().stdout_is("one\none\n");
        assert_eq!(changed(world, "work"), ["c"]);
        assert_eq!(show(world, "work")["runs"].as_array().unwrap().len(), 3);
        discard(world, "work");
        assert_eq!(world.read("c").unwrap(), "one\n");
    }

    fn a_discarded_jar_is_gone_and_its_name_is_free(world) {
        let before = world.snapshot();
        jar(world, "work", "echo 1 > a").run().success();
        jar(world, "other", "echo 2 > a").run().success();
        assert_eq!((changed(world, "work"), world.trials().len()), (vec!["a".to_owned()], 2));
        world.belljar(["discard", "work"]).run().success();
        failed(&world.belljar(["show", "work"]).run(), 125, "no trial is called");
        jar(world, "work", "ls").run().success().stdout_is("");
        assert_eq!(show(world, "work")["runs"].as_array().unwrap().len(), 1);
        // It changed nothing and stays all the same; only what waits is meant by --all.
        world.belljar(["discard", "--all", "--yes"]).run().success();
        assert_eq!((world.trials().len(), &world.trials()[0]["jar"]), (1, &json!("work")));
        discard(world, "work");
        world.assert_untouched(&before);
    }

    fn one_command_at_a_time(world) {
        jar(world, "work", "echo 1 > a").run().success();
        let mut run = jar(world, "work", "echo ready; exec sleep 300").spawn();
        run.expect("ready");
        let all = world.belljar(["discard", "--all", "--yes"]).run();
        all.success();
        assert!(all.stdout.contains("is in use by another belljar and stays"), "{}", all.report());
        failed(&jar(world, "work", "echo 2 > b").run(), 125, "a command runs in the jar work already");
        failed(&world.belljar(["rewind", "work", "--yes"]).run(), 125, "in use by another belljar");
        run.kill();
        assert!(until(Duration::from_secs(5), || world.leftovers().is_empty()));
        // An interrupted command is no reason not to go on.
        jar(world, "work", "cat a").run().success().stdout_is("1\n");
        assert_eq!(show(world, "work")["runs"].as_array().unwrap().len(), 3);
        discard(world, "work");
    }

    fn names_and_options_of_jars(world) {
        for name in ["", "../x", "a/b", "1st", "-x", "abcdefgh", "a b", "a\u{202e}b", &"a".repeat(65)] {
            let run = world.belljar(["run", &format!("--jar={name}"), "--", "true"]).run();
            failed(&run, 2, "--jar");
        }
        failed(&world.belljar(["run", "--jar", "j", "--apply", "discard", "--", "true"]).run(), 2, "earlier commands");
        failed(&world.belljar(["rewind"]).run(), 125, "no jar here");
        assert_nothing_left(world);
        jar(world, "j", "echo 1 > a").run().success();
        // Taking back needs a person, or their word.
        failed(&world.belljar(["rewind", "j"]).run(), 126, "would be gone");
        failed(&world.belljar(["rewind", "j", "--to", "7", "--yes"]).run(), 125, "there is no command 7");
        // Other roots would be other layers.
        world.dir(world.base().join("more"));
        let more = world.base().join("more");
        let run = world.belljar(["run", "--jar", "j", "--apply", "never", "--write", more.to_str().unwrap(), "--", "true"]).run();
        failed(&run, 125, "other writable roots");
        assert_eq!(show(world, "j")["runs"].as_array().unwrap().len(), 1);
        // A word that is a jar and a file could mean either; alone it means the jar where no path may stand.
        world.file("j", "a file\n");
        failed(&world.belljar(["apply", "j", "--yes"]).run(), 125, "is a jar and a file here");
        assert_eq!(changed(world, "j"), ["a"]);
        std::fs::remove_file(world.workspace().join("j")).unwrap();
        // A trial of one command has nothing to go back to.
        world.belljar(["run", "--apply", "never", "--", "sh", "-c", "echo 2 > b"]).run().success();
        let one = world.trials().into_iter().find(|trial| trial["jar"].is_null()).unwrap();
        failed(&world.belljar(["rewind", one["id"].as_str().unwrap(), "--yes"]).run(), 125, "is no jar");
        world.belljar(["discard", "--all", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    /// What one command announced does not surprise when it is judged with the next.
    fn surprises_are_those_of_all_its_commands(world) {
        world.belljar(["run", "--jar", "work", "--apply", "never", "--", "touch", "a"]).run().success();
        world.belljar(["run", "--jar", "work", "--apply", "never", "--", "touch", "b"]).run().success();
        assert_eq!(show(world, "work")["review"]["surprises"], json!([]));
        world.belljar(["rewind", "--yes"]).run().success();
        // Not b any more: who makes it without a word of it surprises.
        world.script("sly", "#!/bin/sh\n: > b\n");
        world.belljar(["run", "--jar", "work", "--apply", "never", "--", "./sly"]).run().success();
        let shown = show(world, "work");
        let surprises = shown["review"]["surprises"].as_array().unwrap();
        assert_eq!(surprises.len(), 1, "{shown:#}");
        assert!(surprises[0].to_string().contains("/b\""), "{surprises:#?}");
        discard(world, "work");
    }

    /// kill -9 at any moment of a rewind: the next look at the jar finishes it.
    fn killed_while_it_is_taken_back(world) {
        for n in 0..300 {
            world.file(format!("d{}/f{n}", n % 7), "old\n");
        }
        let before = world.snapshot();
        jar(world, "work", "for f in d*/f*; do echo one > $f; done; mkdir m; mv d0 m").run().success();
        let first = show(world, "work")["changes"].clone();
        for step in 0..5u64 {
            jar(world, "work", "for f in d*/f*; do echo two > $f; done; rm -r d1 d2; mv m/d0 d1; mv m d2; mkdir d0").run().success();
            let mut rewind = world.belljar(["rewind", "--yes"]).spawn();
            std::thread::sleep(Duration::from_millis(2 + step * 8));
            rewind.kill();
            let runs = show(world, "work")["runs"].as_array().unwrap().len();
            if runs == 2 {
                // It was killed before it began.
                world.belljar(["rewind", "--yes"]).run().success();
            }
            assert_eq!(show(world, "work")["changes"], first, "step {step}");
            assert_eq!(show(world, "work")["runs"].as_array().unwrap().len(), 1);
        }
        jar(world, "work", "cat d*/f* m/d0/f* | sort | uniq -c | tr -d ' '").run().success().stdout_is("300one\n");
        world.assert_untouched(&before);
        discard(world, "work");
    }

    fn on_a_terminal_it_says_what_goes_and_asks(world) {
        jar(world, "work", "echo 1 > a").run().success();
        jar(world, "work", "echo 2 > secret-plan").run().success();
        let ask = |key: &str| -> (Pty, std::process::ExitStatus) {
            let mut pty = world.belljar(["rewind"]).on_terminal();
            pty.expect("secret-plan").expect("Take back what the 1 command above did?").expect("]");
            std::thread::sleep(Duration::from_millis(200));
            pty.send(key);
            let status = pty.wait();
            (pty, status)
        };
        let (pty, status) = ask("n");
        assert_eq!(status.code(), Some(126), "{}", pty.screen());
        assert_eq!(changed(world, "work"), ["a", "secret-plan"]);
        let (pty, status) = ask("y");
        assert!(status.success(), "{}", pty.screen());
        assert_eq!(changed(world, "work"), ["a"]);
        discard(world, "work");
    }
}

/// The same tree after a command and its rewind, whatever the command did.
#[test]
fn a_workload_and_back() {
    let world = World::root(crate::support::EXE);
    world.file("seed", "seed\n");
    let list =
        "find . -exec stat -c '%n %a %u %g %h %s %Y' {} + | grep -v '^. ' | sort; find . -type f | sort | xargs md5sum";
    let make = "for d in a b c; do mkdir $d; for f in 1 2 3 4; do echo $d$f > $d/$f; done; done; ln a/1 b/one; ln -s a c/link; mkfifo pipe; chmod 640 a/2";
    jar(&world, "work", make).run().success();
    let then = jar(&world, "work", list).run().stdout.clone();
    let spoil = "mv a c/a; mv b a; rm -r c/a/3 c/1; echo more >> a/one; truncate -s 0 a/2; chmod 4755 a/3; mkdir b; ln a/4 b/four; \
                 rm pipe seed; mkdir seed; ln -sfn b c/link; cp -r . /tmp/copy; rm -r a c; tar c b | tar x -C seed; touch -d 2001-01-01 b/four";
    jar(&world, "work", spoil).run().success();
    world.belljar(["rewind", "--yes"]).run().success();
    jar(&world, "work", list).run().success().stdout_is(&then);
    let host = Snapshot::take(&world.workspace(), &[]).render();
    assert!(host.contains("seed") && !host.contains("pipe"), "{host}");
    discard(&world, "work");
}
