//! Undo from outside: what was applied goes back, waits again, and nobody's later work is lost. And what goes by itself.

use crate::support::{assert_nothing_left, backdate, both, only_trial, sh};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use testkit::{Snapshot, World};

fn plant(world: &World) {
    world.file("a", "old\n").file("gone/g", "g\n").file("ren/r", "r\n").file("kept", "k\n");
}

const MUCH: &str = "echo new > a; rm -r gone; mv ren moved; mkdir -p more/deep; echo m > more/deep/m; chmod 600 kept";

fn record(world: &World, id: &str) -> Value {
    world.belljar(["show", id, "--json"]).run().json()
}

/// The workspace as it stands, with modes.
fn tree(world: &World) -> String {
    let snapshot = Snapshot::take(&world.workspace(), &[]);
    let mode = |path: &Path| world.workspace().join(path).symlink_metadata().unwrap().permissions().mode();
    let modes: Vec<String> = snapshot.0.keys().map(|path| format!("{:o} {}", mode(path), path.display())).collect();
    format!("{}\n{}", snapshot.render(), modes.join("\n"))
}

fn sweep_is_due(world: &World) {
    let _ = std::fs::remove_file(world.state().join("belljar/swept"));
}

fn audited(world: &World, verb: &str) -> bool {
    let log = world.belljar(["audit", "log", "--json"]).run();
    log.success();
    log.stdout.lines().any(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["stage"] == "settling" && line["verb"] == verb
    })
}

both! {
    fn what_was_applied_waits_again(world) {
        plant(world);
        let before = tree(world);
        sh(world, "never", MUCH).run().success();
        let trial = only_trial(world);
        let shown = record(world, &trial)["changes"].clone();
        world.belljar(["apply", &trial, "--yes"]).run().success();
        let applied = tree(world);
        assert_ne!(applied, before);
        assert!(world.trials().is_empty());
        world.belljar(["trials", "--all"]).run().success().stdout_has(&format!("belljar undo {trial} takes"));
        world.belljar(["show", &trial]).run().success().stdout_has(&format!("belljar undo {trial} takes them back"));

        // Applying again finds nothing, and must not throw away what undo needs.
        world.belljar(["apply", &trial, "--yes"]).run().success().stdout_has("nothing had changed");
        let undo = world.belljar(["undo", "--yes", "--json"]).run();
        undo.success();
        assert_eq!(undo.json()["trial"], trial.as_str());
        let settled = &undo.json()["settled"];
        assert_eq!((&settled["outcome"], &settled["undone"], &settled["left"]), (&"undone".into(), &7.into(), &7.into()), "{settled}");
        assert_eq!(tree(world), before);
        assert_eq!(only_trial(world), trial);
        assert_eq!(record(world, &trial)["changes"], shown);
        assert!(audited(world, "undo"));

        world.belljar(["apply", &trial, "--yes"]).run().success();
        assert_eq!(tree(world), applied);
        world.belljar(["undo", &trial, "-y"]).run().success().stdout_has("real no more");
        world.belljar(["discard", &trial]).run().success();
        assert_eq!(tree(world), before);
        assert_nothing_left(world);
        world.belljar(["audit", "verify"]).run().success();
    }

    /// As in Go's module cache. An ordinary user cannot move such a directory without giving himself the right to.
    fn read_only_directories_go_there_and_back(world) {
        world.file("old/sub/f", "old\n").mode("old/sub", 0o555);
        let before = tree(world);
        let script = "mkdir -p new/ro/in; echo f > new/ro/in/f; chmod 555 new/ro/in new/ro new; mkdir x; chmod 500 x; echo a > old/g";
        sh(world, "always", script).run().success();
        let applied = tree(world);
        assert!(applied.contains("40555 new/ro/in"), "{applied}");
        world.belljar(["undo", "--yes"]).run().success();
        assert_eq!(tree(world), before);
        world.belljar(["apply", "--yes"]).run().success();
        assert_eq!(tree(world), applied);
        for dir in ["new/ro/in", "new/ro", "new", "old/sub"] {
            world.mode(dir, 0o755);
        }
    }

    fn a_part_is_undone_and_the_rest_still_waits(world) {
        plant(world);
        let before = tree(world);
        sh(world, "never", MUCH).run().success();
        let trial = only_trial(world);
        world.belljar(["apply", &trial, "a", "more", "--yes"]).run().success();
        world.belljar(["trials"]).run().success().stdout_has("of it are real: belljar undo");
        world.belljar(["apply", &trial, "gone", "--yes"]).run().success();
        world.belljar(["undo", "--yes"]).run().success();
        assert_eq!(tree(world), before);
        let changes = record(world, &trial)["changes"].as_array().unwrap().len();
        assert_eq!(changes, 7);
        world.belljar(["undo", &trial, "--yes"]).run().code(125).stderr_has("can be undone");
        world.belljar(["undo", "--yes"]).run().code(125).stderr_has("nothing that was applied here");
        world.belljar(["discard", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    fn undo_needs_a_person_or_yes(world) {
        plant(world);
        sh(world, "always", "echo new > a").run().success();
        let undo = world.belljar(["undo"]).run();
        undo.code(126).stderr_has("--yes");
        assert_eq!(world.read("a").unwrap(), "new\n");
        for (key, left) in [("n", "new\n"), ("\r", "new\n"), ("y", "old\n")] {
            let mut pty = world.belljar(["undo"]).on_terminal();
            pty.expect("Take back 1 change").expect("]");
            std::thread::sleep(std::time::Duration::from_millis(200));
            pty.send(key);
            assert_eq!(pty.wait().success(), key == "y", "{}", pty.screen());
            assert_eq!(world.read("a").unwrap(), left);
        }
    }

    fn later_edits_are_not_destroyed(world) {
        plant(world);
        sh(world, "always", "echo new > a; mkdir made; echo f > made/f").run().success();
        world.file("made/theirs", "work\n");
        let before = tree(world);
        let undo = world.belljar(["undo", "--yes", "--json"]).run();
        undo.code(125);
        assert!(undo.json()["error"]["message"].as_str().unwrap().contains("made/theirs"), "{}", undo.report());
        assert_eq!(tree(world), before);
        std::fs::remove_file(world.workspace().join("made/theirs")).unwrap();
        world.belljar(["undo", "--yes"]).run().success();
        assert_eq!(world.read("a").unwrap(), "old\n");
        assert!(!world.has("made"));
    }

    fn what_was_applied_last_goes_first(world) {
        plant(world);
        let before = tree(world);
        sh(world, "never", "echo one > a").run().success();
        let first = only_trial(world);
        world.belljar(["apply", &first, "--yes"]).run().success();
        sh(world, "never", "echo two > a").run().success();
        let second = only_trial(world);
        world.belljar(["apply", &second, "--yes"]).run().success();
        let undo = world.belljar(["undo", &first, "--yes"]).run();
        undo.code(125).stderr_has(&format!("belljar undo {second}")).stderr_has("applied over it since");
        assert_eq!(world.read("a").unwrap(), "two\n");
        world.belljar(["undo", "--yes"]).run().success().stdout_has(&second);
        assert_eq!(world.read("a").unwrap(), "one\n");
        // The second one waits again and starts from what the first one made of it.
        world.belljar(["apply", &second, "--yes"]).run().success();
        world.belljar(["undo", &second, "--yes"]).run().success();
        world.belljar(["undo", &first, "--yes"]).run().success();
        assert_eq!(tree(world), before);
    }

    fn a_trial_that_waits_does_not_notice_another_that_came_and_went(world) {
        plant(world);
        sh(world, "never", "echo one > a").run().success();
        let waiting = only_trial(world);
        sh(world, "always", "echo two > a").run().success();
        world.belljar(["undo", "--yes"]).run().success();
        world.belljar(["apply", &waiting, "--yes"]).run().success();
        assert_eq!(world.read("a").unwrap(), "one\n");
    }

    fn killed_while_undoing_then_resumed_or_discarded(world) {
        for n in 0..150 {
            world.file(format!("d{}/f{n}", n % 7), "old\n");
        }
        let old = tree(world);
        let script = "for f in d*/f*; do echo new > $f; done; rm -r d1; mkdir -p more/deep; echo m > more/deep/m; mv d0 moved";
        let mut interrupted = 0;
        for step in 0..12u32 {
            sh(world, "never", script).run().success();
            let trial = only_trial(world);
            world.belljar(["apply", &trial, "--yes"]).run().success();
            let new = tree(world);
            let record = world.state().join("belljar/trials").join(&trial).join("trial.json");
            let mut undo = world.belljar(["undo", &trial, "--yes"]).spawn();
            testkit::until(std::time::Duration::from_secs(20), || {
                !std::fs::read_to_string(&record).unwrap_or_default().contains("\"state\":\"applied\"")
            });
            std::thread::sleep(std::time::Duration::from_micros(700) * step);
            undo.kill();
            if std::fs::read_to_string(&record).unwrap().contains("\"state\":\"undoing\"") {
                interrupted += 1;
                world.belljar(["apply", &trial, "--yes"]).run().code(125).stderr_has("belljar undo");
                world.belljar(["show", &trial]).run().success().stdout_has("half undone");
                let doctor = world.belljar(["doctor", "--json"]).run();
                assert!(doctor.json()["leftovers"].to_string().contains(&trial), "step {step}{}", doctor.report());
            }
            if step % 3 == 2 {
                world.belljar(["discard", &trial, "--yes"]).run().success();
                let now = tree(world);
                assert!(now == old || now == new, "step {step}\n{now}");
                if now == new {
                    std::fs::remove_dir_all(world.workspace()).unwrap();
                    world.dir("");
                    for n in 0..150 {
                        world.file(format!("d{}/f{n}", n % 7), "old\n");
                    }
                }
                assert_nothing_left(world);
                continue;
            }
            // Without `--yes`: it was agreed to.
            if only_state(world, &trial) == "undoing" {
                world.belljar(["undo"]).run().success();
            } else if only_state(world, &trial) == "applied" {
                world.belljar(["undo", &trial, "--yes"]).run().success();
            }
            assert_eq!(tree(world), old, "step {step}");
            world.belljar(["discard", &trial, "--yes"]).run().success();
            assert_nothing_left(world);
        }
        assert!(interrupted > 0, "no kill met the undo itself, so this proved nothing");
    }

    fn only_what_is_wholly_applied_expires(world) {
        plant(world);
        sh(world, "always", "echo new > a").run().success();
        let applied = all(world)[0]["id"].as_str().unwrap().to_owned();
        sh(world, "never", "echo x > x; echo y > y").run().success();
        let waiting = only_trial(world);
        world.belljar(["apply", &waiting, "x", "--yes"]).run().success();
        for days in [13, 2] {
            backdate(world, &applied, "applied_ms", days);
            backdate(world, &waiting, "applied_ms", 40);
            backdate(world, &waiting, "created_ms", 40);
            sweep_is_due(world);
            let run = sh(world, "discard", "true").run();
            run.success();
            if days == 13 {
                run.stderr_lacks("expired");
                assert_eq!(all(world).len(), 2);
            } else {
                run.stderr_has("expired").stderr_has(&applied);
            }
        }
        assert_eq!(only_trial(world), waiting);
        assert_eq!(all(world).len(), 1);
        assert!(audited(world, "expire"));
        world.belljar(["trials"]).run().success().stdout_has("older than 30 days").stdout_has("belljar discard");
        assert_eq!(world.trials()[0]["old"], true);
        // Once a day is enough.
        sh(world, "discard", "true").run().success().stderr_lacks("expired");
        world.belljar(["trials", "--expire=0"]).run().success().stdout_has("nothing expired");
        world.belljar(["apply", &waiting, "--yes"]).run().success();
        assert_eq!(world.belljar(["trials", "--expire=0", "--json"]).run().json()["expired"], serde_json::json!([waiting]));
        assert_nothing_left(world);
        assert_eq!(world.read("a").unwrap(), "new\n");
        assert!(all(world).is_empty() && Path::new(&world.workspace()).join("y").exists());
    }
}

fn all(world: &World) -> Vec<Value> {
    world.belljar(["trials", "--all", "--json"]).run().json()["trials"].as_array().unwrap().clone()
}

fn only_state(world: &World, id: &str) -> String {
    let all = all(world);
    all.iter().find(|trial| trial["id"] == id).unwrap()["state"].as_str().unwrap().to_owned()
}

/// A directory of somebody else can be renamed where it stands, but not be taken out of the way while others are. What
/// cannot be applied is taken back whole, and the trial is as good as before.
#[test]
fn what_cannot_be_renamed_on_the_host_is_taken_back_and_can_be_discarded() {
    let world = World::user(crate::support::EXE);
    world.file("a", "old\n").file("gone", "old\n").file("theirs/x", "x");
    for path in ["theirs/x", "theirs"] {
        std::os::unix::fs::chown(world.workspace().join(path), Some(0), Some(0)).unwrap();
    }
    let before = tree(&world);
    sh(&world, "never", "mv theirs mine; echo new > a; rm gone").run().success();
    let trial = only_trial(&world);
    for _ in 0..2 {
        world.belljar(["apply", &trial, "--yes"]).run().code(125).stderr_has("everything was taken back");
        assert_eq!(tree(&world), before);
    }
    assert_eq!(record(&world, &trial)["changes"].as_array().unwrap().len(), 3);
    world.belljar(["discard", &trial]).run().success();
    assert_eq!(tree(&world), before);
    assert_nothing_left(&world);
}
