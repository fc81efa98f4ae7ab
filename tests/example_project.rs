//! The example project: its install script does its work and much besides; all of it is held, told, and undone.

use crate::gates::checkout;
use crate::support::{assert_nothing_left, both, only_trial};
use serde_json::Value;
use testkit::World;

const SECRET: &str = "demo-not-a-secret";

fn plant(world: &World) {
    let home = world.home();
    world.copy_in(&checkout().join("examples/untrusted-project"), "");
    world.git_init();
    world.file(home.join(".belljar-demo-home"), "");
    world.file(home.join(".bashrc"), "# my shell\n").file(home.join(".profile"), "# my login\n");
    world.file(home.join(".aws/credentials"), format!("aws_secret_access_key = {SECRET}\n"));
    world.file(home.join(".ssh/id_ed25519"), format!("key {SECRET}\n")).mode(home.join(".ssh/id_ed25519"), 0o600);
}

fn install<'w>(world: &'w World, mode: &str) -> testkit::Run<'w> {
    world.belljar(["run", "--apply", mode, "--json", "--", "./install.sh"])
}

/// The change of `path`, with the tier the review gave it and the rules that flagged it.
fn judged(report: &Value, path: &std::path::Path) -> (String, String, Vec<String>) {
    let path = path.to_str().unwrap();
    let changes = report["changes"].as_array().unwrap();
    let at = changes.iter().position(|change| change["path"] == path);
    let at = at.unwrap_or_else(|| panic!("{path} is not listed: {changes:#?}"));
    let flags = report["review"]["flags"].as_array().unwrap().iter();
    let rules = flags.filter(|flag| flag["change"] == at).map(|flag| flag["rule"].as_str().unwrap().to_owned());
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned();
    (text(&changes[at]["kind"]["type"]), text(&report["review"]["risks"][at]), rules.collect())
}

fn attempted(report: &Value, action: &str, part: &str) -> bool {
    let attempts = report["attempts"].as_array().unwrap().iter();
    attempts.filter(|attempt| attempt["action"] == action).any(|attempt| attempt["target"].to_string().contains(part))
}

both! {
    fn every_hostile_effect_is_contained_listed_and_gone_after_discard(world) {
        plant(world);
        let before = world.snapshot();
        let run = install(world, "never").run();
        run.success().stderr_has("wordcount is installed");
        for harm in ["bytes of secrets", "sent them", "wrote /etc", SECRET] {
            assert!(!run.stdout.contains(harm) && !run.stderr.contains(harm), "{harm}{}", run.report());
        }
        world.assert_untouched(&before);
        assert!(world.leftovers().is_empty(), "the process it left is gone: {:#?}", world.leftovers());

        let report = run.json();
        let home = world.home();
        for (path, kind, rule) in [
            (home.join(".bashrc"), "modified", "protected/"),
            (home.join(".profile"), "modified", "protected/"),
            (home.join("project/.git/hooks/post-checkout"), "added", "protected/git-hook"),
        ] {
            let (told, risk, rules) = judged(&report, &path);
            assert_eq!((told.as_str(), risk.as_str()), (kind, "high"), "{}", path.display());
            assert!(rules.iter().any(|told| told.starts_with(rule)), "{}: {rules:?}", path.display());
        }
        let (_, risk, rules) = judged(&report, &home.join(".local/bin/ls"));
        assert!(risk != "low" && !rules.is_empty(), "a program early on the path: {risk} {rules:?}");
        let (kind, risk, rules) = judged(&report, &home.join("project/docs"));
        assert!(kind == "deleted" && risk != "low" && !rules.is_empty(), "docs: {kind} {risk} {rules:?}");
        let (kind, risk, _) = judged(&report, &home.join("project/bin/wordcount"));
        assert!(kind == "added" && risk != "high", "its real work: {kind} {risk}");

        assert!(attempted(&report, "read", ".aws"), "{:#}", report["attempts"]);
        assert!(attempted(&report, "read", ".ssh"), "{:#}", report["attempts"]);
        assert!(attempted(&report, "connect", "203.0.113.7"), "{:#}", report["attempts"]);

        world.belljar(["discard", "--yes"]).run().success();
        world.assert_untouched(&before);
        assert_nothing_left(world);
    }

    fn what_is_shown_to_a_person_names_every_effect(world) {
        plant(world);
        let run = world.belljar(["run", "--apply", "never", "--", "./install.sh"]).run();
        run.success();
        let shown = world.belljar(["show"]).run();
        shown.success();
        let told = format!("{}{}", shown.stdout, shown.stderr);
        for name in [".bashrc", ".profile", "post-checkout", ".local/bin/ls", "docs", "bin/wordcount", ".aws", "203.0.113.7"] {
            assert!(told.contains(name), "show names {name}{}", shown.report());
            assert!(name == "bin/wordcount" || run.stderr.contains(name), "the summary names {name}{}", run.report());
        }
        let diff = world.belljar(["diff"]).run();
        diff.success().stdout_has("+export PATH=\"$HOME/.local/bin:$PATH\"  # wordcount");
        world.belljar(["discard", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    fn after_a_partial_apply_only_what_was_chosen_is_there(world) {
        plant(world);
        let before = world.snapshot();
        install(world, "never").run().success();
        let trial = only_trial(world);
        world.belljar(["apply", &trial, "bin", "--yes"]).run().success();
        let changed = before.difference(&world.snapshot());
        let paths: Vec<_> = changed.iter().filter_map(|line| line.split(' ').nth(1)).collect();
        let chosen: Vec<_> = paths.into_iter().filter(|path| !path.starts_with(".local")).collect();
        assert_eq!(chosen, ["project/bin", "project/bin/wordcount"], "{changed:#?}");
        let counted = world.command("./bin/wordcount").args(["-"]).stdin("a b a\n").run();
        counted.success().stdout_is("2 a\n1 b\n");

        // The rest still waits, and goes.
        assert_eq!(only_trial(world), trial);
        world.belljar(["discard", &trial, "--yes"]).run().success();
        assert_eq!(before.difference(&world.snapshot()), changed);
        assert_nothing_left(world);
    }

    fn applied_as_a_whole_it_is_as_if_it_had_run_bare(world) {
        plant(world);
        install(world, "never").run().success();
        world.belljar(["apply", "--yes"]).run().success();
        assert!(world.read(world.home().join(".bashrc")).unwrap().ends_with("# wordcount\n"));
        assert!(world.has(".git/hooks/post-checkout") && world.has(world.home().join(".local/bin/ls")));
        assert!(!world.has("docs") && world.has("bin/wordcount"));
        assert_eq!(world.read(world.home().join(".ssh/id_ed25519")).unwrap(), format!("key {SECRET}\n"));
        assert_nothing_left(world);
    }

    /// A mode chosen beforehand never makes the dangerous part real.
    fn applying_without_a_person_leaves_what_needs_one(world) {
        plant(world);
        let before = world.snapshot();
        for mode in ["auto", "always"] {
            install(world, mode).run().success();
            let changed = before.difference(&world.snapshot()).join("\n");
            for held in [".bashrc", ".profile", "post-checkout"] {
                assert!(!changed.contains(held), "--apply {mode}: {held} is real\n{changed}");
            }
            assert_eq!(world.has("bin/wordcount"), mode == "always", "--apply {mode}\n{changed}");
            for trial in world.trials() {
                world.belljar(["discard", trial["id"].as_str().unwrap(), "--yes"]).run().success();
            }
        }
        assert_nothing_left(world);
    }

    fn discarded_at_once_nothing_remains(world) {
        plant(world);
        let before = world.snapshot();
        install(world, "discard").run().success();
        world.assert_untouched(&before);
        assert_nothing_left(world);
    }

    fn outside_a_demo_home_the_script_does_nothing(world) {
        plant(world);
        std::fs::remove_file(world.home().join(".belljar-demo-home")).unwrap();
        let before = world.snapshot();
        world.command("./install.sh").run().code(1).stderr_has("not a demo home");
        world.assert_untouched(&before);
    }
}

/// The control: what the scenarios above find held does happen without Belljar. In namespaces of its own, so that
/// neither its process nor its call nor its file in /etc can stay.
#[test]
fn as_root_bare_the_script_does_all_of_it() {
    let world = World::root(crate::support::EXE);
    plant(&world);
    let own = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c"];
    let cover = "mount -t tmpfs none /etc/cron.d && mount --bind /etc/cron.d /etc && exec \"$0\"";
    let run = world.command("./install.sh").under(own.iter().chain(&[cover])).run();
    run.success().stdout_has("bytes of secrets").stdout_has("wrote /etc/wordcount.conf");
    assert!(world.read(world.home().join(".bashrc")).unwrap().contains("# wordcount"));
    assert!(world.has(".git/hooks/post-checkout") && !world.has("docs"));
}
