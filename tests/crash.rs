//! kill -9 at any time: nothing half done on the host, nothing running or mounted, and a way on.

use crate::support::{assert_nothing_left, both, only_trial, sh};
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::{Entry, Signal, Snapshot, World, until};

/// How long a jar may outlive its Belljar.
const GONE: Duration = Duration::from_secs(2);

fn state_of(world: &World, id: &str) -> String {
    let trials = world.trials();
    let trial =
        trials.iter().find(|trial| trial["id"] == id).unwrap_or_else(|| panic!("{id} is not listed: {trials:#?}"));
    trial["state"].as_str().unwrap().to_owned()
}

/// With roots that are served: the kernel's overlayfs has its layer from the beginning.
fn fuse<'w>(world: &'w World, script: &str) -> testkit::Run<'w> {
    world.belljar(["run", "--apply", "never", "--backend", "fuse", "--", "sh", "-c", script])
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.collect();
    names.sort();
    names
}

both! {
    fn killed_while_the_command_runs(world) {
        world.file("a", "old\n");
        let before = world.snapshot();
        let mut run = sh(world, "never", "echo new > a; echo b > b; sync; sleep 300 & echo ready; sleep 300").spawn();
        run.expect("ready");
        let trial = only_trial(world);
        run.kill();
        assert!(until(GONE, || world.leftovers().is_empty()), "{:#?}", world.leftovers());
        world.assert_untouched(&before);

        let doctor = world.belljar(["doctor", "--json"]).run();
        assert!(doctor.json()["leftovers"].to_string().contains(&trial), "{}", doctor.report());
        assert_eq!(state_of(world, &trial), "interrupted");
        // What the command had written is whole and can still be had ...
        world.belljar(["apply", &trial, "a", "--yes"]).run().success();
        assert_eq!(world.read("a").unwrap(), "new\n");
        // ... or thrown away.
        world.belljar(["discard", &trial, "--yes"]).run().success();
        assert!(!world.has("b"));
        assert_nothing_left(world);
        assert_eq!(world.belljar(["doctor", "--json"]).run().json()["leftovers"], serde_json::json!([]));
    }

    /// At any moment of the way in: either nothing ever was, or a trial is listed and can be discarded.
    fn killed_while_the_jar_is_built(world) {
        world.file("a", "old\n");
        let before = world.snapshot();
        for step in 0..12u64 {
            let mut run = sh(world, "never", "echo new > a; sleep 300").spawn();
            std::thread::sleep(Duration::from_millis(step * 8));
            run.kill();
            assert!(until(GONE, || world.leftovers().is_empty()), "step {step}: {:#?}", world.leftovers());
            world.assert_untouched(&before);
            for trial in world.trials() {
                world.belljar(["discard", trial["id"].as_str().unwrap(), "--yes"]).run().success();
            }
            assert_nothing_left(world);
        }
    }

    /// A layer is made by the first write into it. Without one there is nothing to keep and nothing to lose.
    fn killed_before_anything_was_written(world) {
        world.file("a", "old\n");
        let before = world.snapshot();
        let mut run = fuse(world, "cat a; echo ready; sleep 300").spawn();
        run.expect("ready");
        let trial = only_trial(world);
        let dir = world.state().join("belljar/trials").join(&trial);
        assert_eq!(names(&dir), ["trial.json"]);
        run.kill();
        assert!(until(GONE, || world.leftovers().is_empty()), "{:#?}", world.leftovers());
        world.assert_untouched(&before);
        assert_eq!(state_of(world, &trial), "interrupted");
        // Nor does what a kill in the middle of the making leaves count for anything.
        world.dir(dir.join("layer-0.belljar-new")).dir(dir.join("layer-0.belljar-new/upper"));
        let shown = world.belljar(["show", &trial, "--json"]).run();
        assert_eq!(shown.success().json()["changes"].as_array().map(Vec::len), Some(0), "{}", shown.report());
        world.belljar(["apply", &trial, "--yes"]).run().success();
        if world.trials().iter().any(|listed| listed["id"] == trial.as_str()) {
            world.belljar(["discard", &trial, "--yes"]).run().success();
        }
        world.assert_untouched(&before);
        assert!(!dir.exists());
        assert_nothing_left(world);
    }

    /// Only what was written into has a layer, and without the other one goes what goes with it.
    fn each_root_has_a_layer_when_it_is_written(world) {
        for (script, file) in [("echo x > file", "file"), ("mkdir -p ~/.cache && echo x > ~/.cache/file", "../.cache/file")] {
            fuse(world, script).run().success();
            let trial = only_trial(world);
            let held = names(&world.state().join("belljar/trials").join(&trial));
            assert_eq!(held.iter().filter(|name| name.starts_with("layer-")).count(), 1, "{script}: {held:?}");
            world.belljar(["apply", &trial, "--yes"]).run().success();
            assert_eq!(world.read(file).as_deref(), Some("x\n"), "{script}");
            world.belljar(["undo", &trial, "--yes"]).run().success();
            assert!(!world.has(file), "{script}");
            world.belljar(["discard", &trial, "--yes"]).run().success();
            assert_nothing_left(world);
        }
    }

    /// A signal that can be caught ends the command and leaves its changes to a decision.
    fn terminated_while_the_command_runs(world) {
        world.file("a", "old\n");
        for signal in [Signal::SIGTERM, Signal::SIGHUP] {
            let mut run = sh(world, "never", "echo new > a; echo ready; exec sleep 300").spawn();
            run.expect("ready");
            run.signal(signal);
            let status = run.wait_at_most(Duration::from_secs(20));
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(signal as i32), "{status}");
            let trial = only_trial(world);
            assert_eq!(state_of(world, &trial), "pending");
            assert_eq!(world.read("a").unwrap(), "old\n");
            world.belljar(["discard", &trial, "--yes"]).run().success();
            assert_nothing_left(world);
        }
    }
}

/// Each writer appends numbered lines to a file of its own, and replaces another file whole, as fast as it can.
const WRITERS: &str = r#"
import os, sys
for who in range(4):
    if os.fork() == 0:
        log, n = os.open('log%d' % who, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), 0
        while True:
            n += 1
            os.write(log, b'%08d %d\n' % (n, who))
            with open('t%d' % who, 'w') as new:
                new.write('%d\n' % n * 3000)
            os.rename('t%d' % who, 'whole%d' % who)
            if n == 20:
                open('up%d' % who, 'w').close()
while not all(os.path.exists('up%d' % who) for who in range(4)):
    pass
print('ready', flush=True)
os.wait()
"#;

/// Everything that was written, in order and nothing else: a prefix of what the writer wrote.
fn assert_prefix(log: &str, who: usize) {
    let whole = &log[..log.rfind('\n').map_or(0, |end| end + 1)];
    assert!(whole.lines().count() >= 20, "what had been written is there");
    for (n, line) in whole.lines().enumerate() {
        assert_eq!(line, format!("{:08} {who}", n + 1));
    }
    assert!(format!("{:08} {who}\n", whole.lines().count() + 1).starts_with(&log[whole.len()..]));
}

both! {
    fn killed_while_many_write(world) {
        world.file("writers.py", WRITERS);
        for who in 0..4 {
            world.file(format!("whole{who}"), "old\n").file(format!("log{who}"), "");
        }
        for step in 0..4u64 {
            let before = world.snapshot();
            let mut run = sh(world, "never", "exec python3 writers.py").spawn();
            run.expect("ready");
            std::thread::sleep(Duration::from_millis(step * 37));
            let trial = world.belljar(["trials", "--json"]).run().json()["trials"][0]["id"].as_str().unwrap().to_owned();
            run.kill();
            assert!(until(GONE, || world.leftovers().is_empty()), "{:#?}", world.leftovers());
            world.assert_untouched(&before);
            assert_eq!(state_of(world, &trial), "interrupted");

            let shown = world.belljar(["show", &trial]).run();
            assert!(shown.stdout.contains("was interrupted: belljar did not see its end"), "{}", shown.report());
            world.belljar(["diff", &trial]).run().success();
            // What the journal had in hand is lost with its keeper; then nobody is on record, but the change is listed.
            let who = world.belljar(["show", &trial, "--who", "--json"]).run();
            let changes = who.json()["changes"].as_array().unwrap().clone();
            let path = world.workspace().join("log0");
            assert!(changes.iter().any(|change| change["path"] == path.to_str().unwrap()), "{}", who.report());
            if step % 2 == 1 {
                world.belljar(["discard", &trial, "--yes"]).run().success();
                world.assert_untouched(&before);
                continue;
            }
            world.belljar(["apply", &trial, "--yes"]).run().success();
            for who in 0..4 {
                assert_prefix(&world.read(format!("log{who}")).unwrap(), who);
                let whole = world.read(format!("whole{who}")).unwrap();
                let first = whole.lines().next().unwrap();
                assert_eq!(whole, format!("{first}\n").repeat(3_000), "replaced whole or not at all");
                world.file(format!("whole{who}"), "old\n").file(format!("log{who}"), "");
                for name in [format!("t{who}"), format!("up{who}")] {
                    let _ = std::fs::remove_file(world.workspace().join(name));
                }
            }
            assert_nothing_left(world);
        }
    }
}

const FILES: usize = 150;
/// Kills of one scenario.
const STEPS: u32 = 10;

/// A tree in which every file is `old`, and a pending trial that makes every file `new`, removes some and adds some.
fn plant(world: &World) -> String {
    for n in 0..FILES {
        world.file(format!("d{}/f{n}", n % 7), "old\n");
    }
    for n in 0..20 {
        world.file(format!("gone/g{n}"), "old\n");
    }
    let script = "for f in d*/f*; do echo new > $f; done; rm -r gone; mkdir -p more/deep; for n in 1 2 3 4 5 6 7 8 9; do echo new > more/deep/m$n; done; mv d0 moved";
    sh(world, "never", script).run().success();
    only_trial(world)
}

/// Every file is as it was or as it is to be, and none is in between.
fn assert_old_or_new(world: &World, old: &Snapshot, new: &Snapshot) {
    for (path, entry) in &Snapshot::take(&world.workspace(), &[]).0 {
        // The directory `d0` becomes `moved` as a whole; its files are old or new there as well.
        let before = path.strip_prefix("moved").map_or_else(|_| path.clone(), |rest| Path::new("d0").join(rest));
        let is = |then: &Entry| then.content == entry.content && then.kind == entry.kind;
        let known = |tree: &Snapshot| [path, &before].into_iter().any(|name| tree.0.get(name).is_some_and(is));
        let staged = path.to_string_lossy().contains(".belljar-");
        assert!(staged || known(old) || known(new), "{} is neither: {entry:?}", path.display());
    }
}

fn contents(world: &World) -> String {
    Snapshot::take(&world.workspace(), &[]).render()
}

/// Waits until the record of `trial` says that its apply is under way. `false` when the apply was faster than a look.
fn begins_to_apply(world: &World, trial: &str) -> bool {
    let record = world.state().join("belljar/trials").join(trial).join("trial.json");
    let mut found = false;
    until(Duration::from_secs(20), || {
        let state = std::fs::read_to_string(&record).unwrap_or_default();
        found = state.contains("\"state\":\"applying\"");
        found || state.is_empty() || state.contains("\"state\":\"applied\"")
    });
    found
}

/// Kills applies at moments spread over the time a whole one takes here, then goes on by `verb`.
fn killed_at_every_moment(world: &World, verb: &str) {
    let trial = plant(world);
    let old = Snapshot::take(&world.workspace(), &[]);
    let mut whole = world.belljar(["apply", "--yes"]).spawn();
    begins_to_apply(world, &trial);
    let began = Instant::now();
    assert!(whole.wait().success());
    let takes = began.elapsed();
    let new = Snapshot::take(&world.workspace(), &[]);
    assert_nothing_left(world);

    let mut interrupted = 0;
    for step in 0..STEPS {
        std::fs::remove_dir_all(world.workspace()).unwrap();
        world.dir("");
        let trial = plant(world);
        let mut apply = world.belljar(["apply", &trial, "--yes"]).spawn();
        begins_to_apply(world, &trial);
        std::thread::sleep(takes * step / STEPS);
        apply.kill();
        assert_old_or_new(world, &old, &new);

        let waits = world.trials().iter().any(|listed| listed["id"] == trial.as_str());
        if waits && state_of(world, &trial) == "applying" {
            interrupted += 1;
            let doctor = world.belljar(["doctor", "--json"]).run();
            assert!(doctor.json()["leftovers"].to_string().contains(&trial), "step {step}{}", doctor.report());
        }
        if waits {
            world.belljar([verb, &trial, "--yes"]).run().success();
        }
        if verb == "apply" || !waits {
            assert_eq!(contents(world), new.render(), "step {step}");
        } else {
            assert_old_or_new(world, &old, &new);
        }
        let all = contents(world);
        assert!(!all.contains(".belljar-"), "step {step}: a stage file stays\n{all}");
        assert_nothing_left(world);
    }
    assert!(interrupted > 0, "no kill met the apply itself, so this proved nothing");
}

/// Kills applies of two directories out of many, then goes on without naming them again.
fn killed_in_a_part(world: &World) {
    let mut interrupted = 0;
    for step in 0..STEPS {
        std::fs::remove_dir_all(world.workspace()).unwrap();
        world.dir("");
        let trial = plant(world);
        let old = Snapshot::take(&world.workspace(), &[]);
        let mut apply = world.belljar(["apply", &trial, "d1", "d2", "--yes"]).spawn();
        begins_to_apply(world, &trial);
        std::thread::sleep(Duration::from_micros(500) * step);
        apply.kill();
        let applying = state_of(world, &trial) == "applying";
        if applying {
            interrupted += 1;
            let other = world.belljar(["apply", &trial, "d3", "--yes"]).run();
            other.code(125);
            assert!(other.stderr.contains("interrupted"), "{}", other.report());
            world.belljar(["apply", &trial]).run().success();
            assert_eq!(state_of(world, &trial), "pending", "the rest still waits");
        }
        let chosen = |path: &Path| path.starts_with("d1") || path.starts_with("d2");
        for (path, entry) in &Snapshot::take(&world.workspace(), &[]).0 {
            let same = old.0.get(path).is_some_and(|then| then.content == entry.content);
            assert!(same || chosen(path), "step {step}: {} was not chosen", path.display());
            let file = path.components().count() == 2;
            assert!(!(applying && chosen(path) && file && same), "step {step}: {} is old", path.display());
        }
        world.belljar(["discard", &trial, "--yes"]).run().success();
        assert_nothing_left(world);
    }
    assert!(interrupted > 0, "no kill met the apply itself, so this proved nothing");
}

/// Kills an apply and takes the workspace away: a discard must not throw away what the apply had put aside.
fn killed_and_moved_away(world: &World) {
    let elsewhere = world.base().join("elsewhere");
    for step in 0..STEPS {
        std::fs::remove_dir_all(world.workspace()).unwrap();
        world.dir("");
        let trial = plant(world);
        let old = Snapshot::take(&world.workspace(), &[]);
        let mut apply = world.belljar(["apply", &trial, "--yes"]).spawn();
        let store = world.state().join("belljar/trials").join(&trial);
        // The layer of the home has nothing to apply, and its root stays.
        let under_way = || {
            let layers = std::fs::read_dir(&store).into_iter().flatten().flatten();
            let mut journals =
                layers.filter_map(|layer| std::fs::read_to_string(layer.path().join("journal.json")).ok());
            journals.any(|journal| !journal.contains("\"steps\":[]"))
        };
        let record = || std::fs::read_to_string(store.join("trial.json")).unwrap_or_default();
        let begun = until(Duration::from_secs(20), || under_way() || record().contains("\"state\":\"applied\""));
        apply.kill();
        if !begun || !under_way() {
            world.belljar(["discard", "--all", "--yes"]).run().success();
            continue;
        }
        std::fs::rename(world.workspace(), &elsewhere).unwrap();
        let refused = world.belljar(["discard", &trial]).cwd(world.home()).run();
        refused.code(125).stderr_has("keeps files of the host").stderr_has("put the workspace back");
        let listed = world.belljar(["trials", "--json"]).cwd(world.home()).run();
        let document = listed.success().json();
        assert_eq!(document["damaged"][0]["id"], trial.as_str(), "{document:#}");
        std::fs::rename(&elsewhere, world.workspace()).unwrap();
        world.belljar(["discard", &trial]).run().success();
        // Taken back whole, or it had got to where only going on is right.
        let now = Snapshot::take(&world.workspace(), &[]);
        assert!(!world.has("gone") || contents(world) == old.render(), "step {step}\n{}", now.render());
        assert_nothing_left(world);
        return;
    }
    panic!("no kill met the apply itself, so this proved nothing");
}

both! {
    fn killed_while_applying_a_part_goes_on_with_that_part(world) {
        killed_in_a_part(world);
    }

    fn killed_while_applying_then_resumed(world) {
        killed_at_every_moment(world, "apply");
    }

    fn killed_while_applying_then_discarded(world) {
        killed_at_every_moment(world, "discard");
    }

    fn killed_while_applying_then_moved_away(world) {
        killed_and_moved_away(world);
    }

    fn killed_while_discarding(world) {
        let before = contents(world);
        for step in 0..5u64 {
            sh(world, "never", "for n in $(seq 100); do mkdir -p x$n; echo $n > x$n/f; done").run().success();
            let trial = only_trial(world);
            let mut discard = world.belljar(["discard", &trial, "--yes"]).spawn();
            std::thread::sleep(Duration::from_millis(step * 6));
            discard.kill();
            for listed in world.trials() {
                world.belljar(["discard", listed["id"].as_str().unwrap(), "--yes"]).run().success();
            }
            assert_eq!(contents(world), before);
            assert_nothing_left(world);
        }
    }
}
