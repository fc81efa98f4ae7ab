//! Profiles as people use them: by name, from a file, of an organisation, of a project that is trusted or not.

use crate::support::{assert_nothing_left, both, only_trial};
use serde_json::Value;
use testkit::{Output, World};

/// Tries what the shipped profiles differ in, a line each.
const TRIES: &str = "echo x > made && echo workspace written; \
    (echo x >> ~/.bashrc) 2>/dev/null && echo home written; \
    test -e ~/notes && echo home seen; \
    cat ~/.ssh/id 2>/dev/null && echo secret seen; \
    test -n \"$CARGO_HOME\" && echo tools known; true";

fn profile(world: &World, name: &str) -> std::path::PathBuf {
    world.home().join(".config/belljar/profiles").join(name)
}

fn tried(world: &World, name: &str) -> Output {
    world.file(world.home().join(".bashrc"), "rc\n").file(world.home().join("notes"), "n");
    world.file(world.home().join(".ssh/id"), "key");
    let args = ["run", "--profile", name, "--apply", "discard", "--", "sh", "-c", TRIES];
    let run = world.belljar(args).env("CARGO_HOME", "/x").run();
    assert!(!run.stdout.contains("secret"), "{}", run.report());
    run
}

/// The report of a run under a profile.
fn reported(world: &World, args: &[&str]) -> Value {
    let args = ["run", "--json", "--apply", "discard"].iter().chain(args);
    world.belljar(args.chain(&["--", "true"])).run().json()
}

fn refused(world: &World, text: &str) -> Output {
    world.file("p.toml", text);
    let run = world.belljar(["run", "--profile", "./p.toml", "--apply", "discard", "--", "touch", "ran"]).run();
    run.code(125);
    assert!(!world.has("ran"));
    run
}

both! {
    fn the_shipped_ones_hold_what_they_say(world) {
        let all = ["workspace written", "home written", "home seen", "tools known"];
        for (name, expected) in [
            ("workspace", &all[..]),
            ("agent", &all),
            ("permissive-with-review", &all),
            ("untrusted-repo", &["workspace written", "home seen"]),
            ("ci", &["workspace written", "home seen"]),
            ("strict", &["workspace written"]),
        ] {
            let run = tried(world, name);
            assert_eq!(run.stdout.lines().collect::<Vec<_>>(), expected, "{name}{}", run.report());
        }
        assert_eq!(world.read(world.home().join(".bashrc")).as_deref(), Some("rc\n"));
        assert_nothing_left(world);
    }

    fn the_shipped_ones_work_on_a_terminal(world) {
        for name in ["workspace", "agent", "permissive-with-review", "untrusted-repo", "ci", "strict"] {
            let mut pty = world.belljar(["run", "--profile", name, "--apply", "discard", "--", "echo", "done here"]).on_terminal();
            assert!(pty.expect("done here").wait().success(), "{name}: {}", pty.screen());
        }
        assert_nothing_left(world);
    }

    fn name_and_digest_are_in_the_report_the_record_and_the_log(world) {
        let text = "says = \"mine\"\n[limits]\npids = 77\n";
        world.file(profile(world, "mine.toml"), text);
        let sum = world.command("sha256sum").stdin(text).run().stdout.split(' ').next().unwrap().to_owned();
        let args = ["run", "--profile", "mine", "--limit", "fds=99", "--json", "--", "touch", "made"];
        let report = world.belljar(args).run().json();
        assert_eq!(report["profile"]["name"], "mine");
        assert_eq!((&report["profile"]["origin"], report["profile"]["digest"].as_str()), (&"user".into(), Some(sum.as_str())));
        assert_eq!((report["limits"]["processes"].as_u64(), report["limits"]["open_files"].as_u64()), (Some(77), Some(99)));
        let show = world.belljar(["show"]).run();
        show.stdout_has("under profile mine (user, ");
        let log = world.belljar(["audit", "log", "--json"]).run();
        assert!(log.stdout.lines().next().unwrap().contains(&format!("\"profile\":{{\"name\":\"mine\",\"origin\":\"user\",\"digest\":\"{sum}\"")));
        world.belljar(["audit", "log"]).run().stdout_has(" under mine, approved by policy");
        let default = reported(world, &[]);
        assert_eq!((&default["profile"]["name"], &default["profile"]["origin"]), (&"workspace".into(), &"shipped".into()));
        world.belljar(["discard", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    fn what_is_wrong_with_one_is_said_and_nothing_runs(world) {
        for (text, told) in [
            ("[files]\nwirte = [\"x\"]\n", "p.toml:2:1: unknown field `wirte`"),
            ("[network]\nallow = [\"https://x.example\"]\n", "p.toml:2:10: network.allow"),
            ("[limits]\nmem = \"lots\"\n", "p.toml:2:7: limits.mem = lots wants bytes"),
            ("rules = '''\n@id(\"a\")\nforbid (principal, action == Action::\"conect\", resource);\n'''\n", "p.toml:3:"),
            ("rules = '''\npermit (principal, action, resource);\n'''\n", "p.toml:2: a rule without an @id"),
        ] {
            let run = refused(world, text);
            run.stderr_has(told).stderr_has("hint:");
            let check = world.belljar(["policy", "check", "p.toml"]).run();
            check.code(125).stdout_has(told);
        }
        let run = refused(world, "[files]\nwrite = [\"~/absent\"]\n");
        run.stderr_has("/absent writable, as the profile ./p.toml says").stderr_has("make the directory");
        let run = world.belljar(["run", "--profile", "nope", "--", "true"]).run();
        run.code(125).stderr_has("there is no profile nope").stderr_has("untrusted-repo");
        world.belljar(["run", "--profile", "../x y", "--", "true"]).run().code(125);
        world.belljar(["run", "--profile", "a b", "--", "true"]).run().code(125).stderr_has("is no name of a profile");
        world.file("p.toml", "says = \"fine\"\n");
        world.belljar(["policy", "check", "p.toml"]).run().success().stdout_has("ok ");
        assert_nothing_left(world);
    }

    fn rules_of_a_profile_decide_and_still_hold_when_it_is_gone(world) {
        let rules = "rules = '''\n@id(\"no-notes\")\nforbid (principal, action == Action::\"apply\", resource is Change)\n\
            when { resource.name == \"notes.txt\" };\n@id(\"no-deploy\")\n\
            forbid (principal, action == Action::\"execute\", resource is Program) when { resource.name == \"deploy\" };\n'''\n";
        world.file(profile(world, "mine.toml"), rules);
        let deploy = world.belljar(["run", "--profile", "mine", "--", "deploy"]).run();
        deploy.code(126).stderr_has("mine.toml:no-deploy");
        world.belljar(["check", "--profile", "mine", "deploy"]).run().code(20);
        world.belljar(["check", "--contained", "deploy"]).run().code(0);
        let script = "echo x > notes.txt; echo x > fine.txt";
        let run = world.belljar(["run", "--profile", "mine", "--apply", "always", "--", "sh", "-c", script]).run();
        run.success();
        assert!(world.has("fine.txt") && !world.has("notes.txt"), "{}", run.report());
        std::fs::remove_file(profile(world, "mine.toml")).unwrap();
        let shown = world.belljar(["show", "--json"]).run().json();
        assert_eq!(shown["review"]["disposition"], "discard", "{shown:#}");
        world.belljar(["discard", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    fn what_a_rule_keeps_for_a_person_no_mode_applies(world) {
        let run = world.belljar(["run", "--profile", "permissive-with-review", "--apply", "always", "--", "touch", "a"]).run();
        run.success();
        assert!(!world.has("a"), "{}", run.report());
        world.belljar(["apply", &only_trial(world), "--yes"]).run().success();
        assert!(world.has("a"));
        assert_nothing_left(world);
    }

    fn where_nobody_is_asked_it_is_denied(world) {
        // A text that deceives its reader is asked about, in a jar too.
        let text = "ls\u{b}x";
        world.belljar(["check", "--profile", "workspace", text]).run().code(10);
        world.belljar(["check", "--profile", "ci", text]).run().code(20);
        let rule = "rules = '''\n@id(\"ask\")\nforbid (principal, action == Action::\"execute\", resource is Program)\n\
            when { resource.name == \"deploy\" && !context.approved };\n'''\n[run]\nunattended = true\n";
        world.file(profile(world, "alone.toml"), rule);
        let mut pty = world.belljar(["run", "--profile", "alone", "--", "deploy"]).on_terminal();
        pty.expect("denied by policy");
        pty.wait();
        assert_nothing_left(world);
    }

    fn a_profile_that_keeps_the_home_is_no_profile_for_the_home(world) {
        let run = world.belljar(["run", "--profile", "untrusted-repo", "--", "true"]).cwd(world.home()).run();
        run.code(125).stderr_has("the profile does not let the home be written").stderr_has("change to a project");
        world.belljar(["run", "--profile", "strict", "--", "true"]).cwd(world.home()).run().code(125);
        assert_nothing_left(world);
    }
}

/// The organisation's directory is the machine's, so it is made where only this test sees it.
#[test]
fn as_root_the_organisations_wins() {
    let world = World::root(crate::support::EXE);
    world.file(profile(&world, "house.toml"), "[limits]\npids = 11\n");
    let made = "mkdir -p \"$1/u\" \"$1/w\" && mount -t overlay o -o lowerdir=/etc,upperdir=\"$1/u\",workdir=\"$1/w\" /etc \
        && mkdir -p /etc/belljar/profiles && printf '[limits]\\npids = 22\\n' > /etc/belljar/profiles/house.toml \
        && shift && exec \"$@\"";
    let base = world.base().join("etc");
    std::fs::create_dir(&base).unwrap();
    let base = base.to_str().unwrap().to_owned();
    let wrapper = ["unshare", "--mount", "--propagation", "private", "sh", "-c", made, "sh", &base];
    let args = ["run", "--profile", "house", "--json", "--apply", "discard", "--", "true"];
    let report = world.belljar(args).under(wrapper).run().json();
    assert_eq!(
        (&report["profile"]["origin"], report["limits"]["processes"].as_u64()),
        (&"organisation".into(), Some(22))
    );
    assert_nothing_left(&world);
}
