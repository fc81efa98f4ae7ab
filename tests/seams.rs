//! Where undo, rewind, hunks, merges and expiry meet, driven from outside.

use crate::support::{assert_nothing_left, backdate, both, only_trial, sh};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Run, World, until};

fn jar<'w>(world: &'w World, script: &str) -> Run<'w> {
    world.belljar(["run", "--jar", "work", "--apply", "never", "--", "sh", "-c", script])
}

fn show(world: &World, what: &str) -> Value {
    world.belljar(["show", what, "--json"]).run().json()
}

fn id_of(world: &World, what: &str) -> String {
    show(world, what)["trial"].as_str().unwrap().to_owned()
}

/// The changed names of a trial, below the workspace.
fn changed(world: &World, what: &str) -> Vec<String> {
    let root = format!("{}/", world.workspace().display());
    let changes = show(world, what)["changes"].clone();
    changes.as_array().unwrap().iter().map(|change| change["path"].as_str().unwrap().replace(&root, "")).collect()
}

fn numbered(count: usize) -> String {
    (1..=count).map(|n| format!("{n}\n")).collect()
}

/// Three hunks in a file of forty lines, made by the command itself.
const THREE: &str = "sed -i -e '1i top' -e 's/^20$/twenty/' -e '$a 41' f";

fn record(world: &World, id: &str) -> String {
    let path = world.state().join("belljar/trials").join(id).join("trial.json");
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Kills `verb` while it is at work on `id`, which its record then says; begun again and again until that is met.
fn half_done(world: &World, verb: &str, id: &str, state: &str, mut again: impl FnMut()) {
    let said = format!("\"state\":\"{state}\"");
    for step in 0..40u32 {
        let before = record(world, id);
        let mut run = world.belljar([verb, id, "--yes"]).spawn();
        until(Duration::from_secs(20), || record(world, id) != before);
        std::thread::sleep(Duration::from_micros(300) * (step % 8));
        run.kill();
        if record(world, id).contains(&said) {
            return;
        }
        again();
    }
    panic!("no kill met the {verb} itself");
}

/// Many files that a command changes, so that an apply or undo of it takes a while.
const MANY: &str = "for n in $(seq 200); do echo new > f$n; done";

fn many(world: &World) {
    for n in 1..=200 {
        world.file(format!("f{n}"), "old\n");
    }
}

/// Bytes of everything kept of a trial.
fn kept(world: &World, id: &str) -> usize {
    let layers = std::fs::read_dir(world.state().join("belljar/trials").join(id)).unwrap();
    let pre = layers.map(|layer| layer.unwrap().path().join("pre"));
    pre.filter_map(|pre| std::fs::read_dir(pre).ok()).map(Iterator::count).sum()
}

both! {
    fn hunks_and_merges_are_undone(world) {
        let old = numbered(40);
        world.file("f", &old).file("g", &old);
        sh(world, "never", &format!("{THREE}; sed -i 's/^5$/five/' g")).run().success();
        let trial = only_trial(world);
        world.belljar(["apply", &trial, "f@2"]).run().success();
        world.belljar(["apply", &trial, "f@1"]).run().success();
        assert_eq!(world.read("f").unwrap(), format!("top\n{old}").replace("\n20\n", "\ntwenty\n"));
        world.belljar(["undo", "--yes"]).run().success();
        assert_eq!(world.read("f").unwrap(), old);
        assert_eq!(changed(world, &trial), ["f", "g"]);
        let hunks = world.belljar(["diff", "--json", &trial, "f"]).run().json();
        assert_eq!(hunks["changes"][0]["preview"]["hunks"].as_array().unwrap().len(), 3);

        let theirs = old.replace("\n30\n", "\nthirty\n");
        world.file("g", &theirs);
        for _ in 0..2 {
            // An undo of a merge does not make the host's edits the jar's to overwrite.
            world.belljar(["apply", &trial, "--yes"]).run().code(125).stderr_has("g (the host's file was changed meanwhile)");
            world.belljar(["apply", &trial, "--merge", "--yes"]).run().success();
            assert_eq!(world.read("g").unwrap(), theirs.replace("\n5\n", "\nfive\n"));
            // A second one finds nothing to do, and keeps what undo needs.
            world.belljar(["apply", &trial, "--merge", "--yes"]).run().success().stdout_has("nothing had changed");
            world.belljar(["undo", &trial, "--yes"]).run().success();
            assert_eq!((world.read("f").unwrap(), world.read("g").unwrap()), (old.clone(), theirs.clone()));
        }
        world.belljar(["discard", &trial, "--yes"]).run().success();
        assert_eq!(world.read("g").unwrap(), theirs);
        assert_nothing_left(world);
    }

    fn an_edit_between_two_applies_stays(world) {
        world.file("a", "old\n");
        jar(world, "echo one > a").run().success();
        world.belljar(["apply", "work", "--yes"]).run().success();
        world.file("a", "edited outside\n");
        jar(world, "cat a; echo two > a; echo b > b").run().success().stdout_is("edited outside\n");
        world.belljar(["apply", "work", "--yes"]).run().success();
        let undo = world.belljar(["undo", "work", "--yes"]).run();
        undo.success().stdout_has("2 changes of").stdout_has("1 change of earlier applies stay real");
        assert_eq!((world.read("a").unwrap().as_str(), world.has("b")), ("edited outside\n", false));
        assert_eq!(changed(world, "work"), ["a", "b"]);
        world.belljar(["undo", "work", "--yes"]).run().code(125).stderr_has("/a (");
        assert_eq!(world.read("a").unwrap(), "edited outside\n");
        world.belljar(["apply", "work", "--yes"]).run().success();
        assert_eq!(world.read("a").unwrap(), "two\n");
        world.belljar(["discard", "work", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    fn a_jar_is_applied_undone_and_gone_on_with(world) {
        world.file("a", "old\n").file("d/x", "x\n");
        let before = world.snapshot();
        jar(world, "echo one > a").run().success();
        jar(world, "echo two >> a; mkdir made; mv d made/d").run().success();
        let waiting = show(world, "work")["changes"].clone();
        world.belljar(["apply", "work", "--yes"]).run().success();
        assert_eq!(show(world, "work")["runs"][1]["applied"], true);
        world.belljar(["undo", "--yes"]).run().success().stdout_has("real no more");
        world.assert_untouched(&before);
        let shown = show(world, "work");
        assert_eq!(shown["changes"], waiting);
        for run in shown["runs"].as_array().unwrap() {
            assert_eq!((&run["applied"], &run["checkpoint"]), (&json!(false), &Value::Null), "{run:#}");
        }
        world.belljar(["rewind", "work", "--yes"]).run().code(125).stderr_has("changes were applied or undone since");
        // What waits again is seen by the next command, which can be taken back.
        jar(world, "cat a made/d/x; echo three > a; rm -r made").run().success().stdout_is("one\ntwo\nx\n");
        assert_eq!(changed(world, "work"), ["a", "d"]);
        world.belljar(["rewind", "work", "--yes"]).run().success();
        assert_eq!(show(world, "work")["changes"], waiting);
        world.belljar(["apply", "work", "--yes"]).run().success();
        assert_eq!(world.read("a").unwrap(), "one\ntwo\n");
        // What came after an apply is in the way of its undo until it is taken back.
        jar(world, "mv made later").run().success();
        world.belljar(["undo", "work", "--yes"]).run().code(125).stderr_has("later");
        world.belljar(["rewind", "work", "--yes"]).run().success();
        world.belljar(["undo", "work", "--yes"]).run().success();
        world.assert_untouched(&before);
        world.belljar(["discard", "work", "--yes"]).run().success();
        assert_nothing_left(world);
        world.belljar(["audit", "verify"]).run().success();
    }

    fn half_done_there_is_one_way_on(world) {
        many(world);
        let before = world.snapshot();
        jar(world, MANY).run().success();
        let id = id_of(world, "work");
        half_done(world, "apply", &id, "applying", || {
            world.belljar(["undo", &id, "--yes"]).run().success();
        });
        for refused in [&["rewind", "work", "--yes"][..], &["rewind", "work", "--to", "1", "--yes"], &["undo", "work", "--yes"]] {
            world.belljar(refused).run().code(125).stderr_has("apply").stderr_has("was interrupted").stderr_has(&format!("belljar apply {id}"));
        }
        jar(world, "true").run().code(125).stderr_has("was interrupted").stderr_has(&format!("belljar apply {id}"));
        world.belljar(["apply", "work"]).run().success();
        assert_eq!(world.read("f200").unwrap(), "new\n");
        half_done(world, "undo", &id, "undoing", || {
            drop(world.belljar(["apply", &id, "--yes"]).run());
        });
        for refused in [&["rewind", "work", "--yes"][..], &["rewind", "work", "--to", "1", "--yes"], &["apply", "work", "--yes"]] {
            world.belljar(refused).run().code(125).stderr_has("an undo of trial").stderr_has(&format!("belljar undo {id}"));
        }
        jar(world, "true").run().code(125).stderr_has("an undo of trial").stderr_has(&format!("belljar undo {id}"));
        world.belljar(["undo", "work"]).run().success();
        world.assert_untouched(&before);
        jar(world, "cat f1; echo newer > f1").run().success().stdout_is("new\n");
        world.belljar(["rewind", "work", "--yes"]).run().success();
        assert_eq!(changed(world, "work").len(), 200);
        world.belljar(["discard", "work", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    fn discarded_in_every_state(world) {
        many(world);
        let one_of_both = |world: &World| {
            let all: Vec<String> = (1..=200).map(|n| world.read(format!("f{n}")).unwrap()).collect();
            assert!(all.iter().all(|text| text == "old\n") || all.iter().all(|text| text == "new\n"), "{all:?}");
            let names = std::fs::read_dir(world.workspace()).unwrap().map(|entry| entry.unwrap().file_name());
            assert!(!names.into_iter().any(|name| name.to_string_lossy().contains(".belljar")));
            assert_nothing_left(world);
            assert_eq!(world.belljar(["doctor", "--json"]).run().json()["leftovers"], json!([]));
            many(world);
        };
        for state in ["pending", "partly", "applying", "applied", "undoing", "empty", "interrupted"] {
            jar(world, MANY).run().success();
            let id = id_of(world, "work");
            match state {
                "partly" => drop(world.belljar(["apply", &id, "f1", "--yes"]).run().success()),
                "applying" => half_done(world, "apply", &id, state, || {
                    world.belljar(["undo", &id, "--yes"]).run().success();
                }),
                "applied" => drop(world.belljar(["apply", &id, "--yes"]).run().success()),
                "undoing" => {
                    world.belljar(["apply", &id, "--yes"]).run().success();
                    half_done(world, "undo", &id, state, || drop(world.belljar(["apply", &id, "--yes"]).run()));
                }
                "empty" => drop(world.belljar(["rewind", &id, "--yes"]).run().success()),
                "interrupted" => {
                    let mut run = jar(world, "echo two > f1; echo ready; sleep 300").spawn();
                    run.expect("ready");
                    run.kill();
                    assert!(until(Duration::from_secs(5), || world.leftovers().is_empty()));
                }
                _ => {}
            }
            world.belljar(["discard", &id, "--yes"]).run().success();
            if state == "partly" {
                assert_eq!((world.read("f1").unwrap().as_str(), world.read("f2").unwrap().as_str()), ("new\n", "old\n"));
                world.file("f1", "old\n");
            }
            one_of_both(world);
        }
    }

    fn jars_expire_to_their_name(world) {
        world.file("a", "old\n").file("b", "old\n");
        jar(world, "echo one > a").run().success();
        let id = id_of(world, "work");
        // Nothing of it is real: nothing of it expires, however old it is.
        backdate(world, &id, "created_ms", 400);
        let expire = || world.belljar(["trials", "--expire=0", "--json"]).run().json()["expired"].clone();
        assert_eq!((expire(), changed(world, "work")), (json!([]), vec!["a".to_owned()]));
        world.belljar(["apply", "work", "--yes"]).run().success();
        // A part waits: neither it nor the way back goes.
        jar(world, "echo two > b").run().success();
        backdate(world, &id, "applied_ms", 400);
        assert_eq!((expire(), changed(world, "work")), (json!([]), vec!["b".to_owned()]));
        assert!(kept(world, &id) > 0);
        world.belljar(["rewind", "work", "--yes"]).run().success();
        assert_eq!(world.trials()[0]["state"], "empty");
        world.belljar(["trials"]).run().success().stdout_has(&format!("belljar undo {id}"));
        assert!(!world.belljar(["trials"]).run().stdout.contains("older than"));
        // All of it is real: what undo needs goes, the jar stays for its next command.
        assert_eq!(world.belljar(["trials", "--expire=401", "--json"]).run().json()["expired"], json!([]));
        assert_eq!((expire(), kept(world, &id)), (json!([id]), 0));
        assert_eq!(expire(), json!([]));
        world.belljar(["undo", "work", "--yes"]).run().code(125).stderr_has("can be undone");
        assert_eq!(world.read("a").unwrap(), "one\n");
        jar(world, "cat a; echo three > b").run().success().stdout_is("one\n");
        assert_eq!((expire(), changed(world, "work")), (json!([]), vec!["b".to_owned()]));
        world.belljar(["rewind", "work", "--yes"]).run().success();
        assert!(!world.belljar(["trials"]).run().stdout.contains("older than"));
        world.belljar(["discard", "work"]).run().success();
        assert_nothing_left(world);
    }

    /// Who did what was taken back is nobody's author any more; who did what waits again is.
    fn authors_after_a_way_back(world) {
        world.file("a", "old\n").file("tool.sh", "echo \"$1\" >> a\n").file("other.sh", "echo \"$1\" >> a; touch \"$1\"\n");
        jar(world, "sh tool.sh first").run().success();
        jar(world, "sh other.sh second; mv tool.sh moved.sh").run().success();
        assert_eq!(last_author(world, "a"), Some("sh other.sh second".into()));
        world.belljar(["rewind", "work", "--yes"]).run().success();
        let all = world.belljar(["show", "work", "--who", "--json"]).run();
        assert!(!all.stdout.contains("other.sh"), "{}", all.report());
        assert_eq!(last_author(world, "a"), Some("sh tool.sh first".into()));
        // The next command has the number of the one before it, and is told apart from it.
        jar(world, "touch second").run().success();
        assert_eq!(last_author(world, "second"), Some("touch second".into()));
        let all = world.belljar(["show", "work", "--who", "--json"]).run();
        assert!(!all.stdout.contains("other.sh"), "{}", all.report());
        world.belljar(["apply", "work", "--yes"]).run().success();
        world.belljar(["undo", "work", "--yes"]).run().success();
        assert_eq!(last_author(world, "a"), Some("sh tool.sh first".into()));
        assert_eq!(last_author(world, "second"), Some("touch second".into()));
        world.belljar(["discard", "work", "--yes"]).run().success();
        assert_nothing_left(world);
    }
}

/// The words of the process that touched `path` last.
fn last_author(world: &World, path: &str) -> Option<String> {
    let shown = world.belljar(["show", "work", "--who", "--json"]).run();
    shown.success();
    let path = world.workspace().join(path);
    let changes = shown.json()["changes"].as_array().unwrap().clone();
    let change = changes.iter().find(|change| change["path"] == path.to_str().unwrap())?.clone();
    let words = change["authors"][0]["process"]["argv"].as_array()?.clone();
    Some(words.iter().map(|word| word.as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" "))
}
