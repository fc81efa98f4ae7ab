//! What a project says of itself: it tightens until it is trusted, and trust ends with any change. And the tools of those
//! who write policies: `policy test`, `policy explain`.

use crate::support::{assert_nothing_left, both};
use testkit::{Output, World};

const SCHEMA: &str = include_str!("../crates/cli/schemas/policy.schema.json");

const LOOSE: &str =
    "[files]\nhide = [\"private\"]\nread = [\"~/.ssh\"]\n[network]\nallow = [\"a.example:443\"]\n[limits]\npids = 99\n";

fn run(world: &World, script: &str) -> Output {
    world.belljar(["run", "--apply", "discard", "--json", "--", "sh", "-c", script]).run()
}

both! {
    fn an_untrusted_project_only_tightens(world) {
        world.file("private/x", "p").file(world.home().join(".ssh/id"), "key").file(".belljar/profile.toml", LOOSE);
        let report = run(world, "cat private/x ~/.ssh/id; true").json();
        let project = &report["profile"]["project"];
        assert_eq!((&project["trusted"], report["limits"]["processes"].as_u64()), (&false.into(), Some(99)));
        assert_eq!(project["refused"], serde_json::json!(["files.read ~/.ssh", "network.allow a.example:443"]));
        assert_eq!(report["allow_net"], serde_json::json!([]));
        let told = world.belljar(["run", "--apply", "discard", "--", "cat", "private/x"]).run();
        told.code(1).stderr_has("NOT GIVEN the project's .belljar/ asks for files.read ~/.ssh").stderr_has("belljar trust");

        let shown = world.belljar(["trust"]).run();
        shown.code(126).stderr_has(".belljar/profile.toml").stderr_has("--yes");
        world.belljar(["trust", "--yes"]).run().success().stdout_has("any change ends it");
        let seen = run(world, "cat ~/.ssh/id; cat private/x; true");
        assert!(seen.stderr.contains("key") && !seen.stderr.contains("pkey"), "{}", seen.report());
        assert_eq!(seen.json()["profile"]["project"]["trusted"], true);
        world.belljar(["trust", "--list"]).run().stdout_has("trusted ").stdout_has("/home/project since ");

        world.file(".belljar/policies/new.cedar", "// a comment is a change too\n");
        assert_eq!(run(world, "true").json()["profile"]["project"]["trusted"], false);
        world.belljar(["trust", "--list", "--json"]).run().stdout_has("\"unchanged\":false");
        world.belljar(["trust", "--yes", ".belljar/profile.toml"]).run().success();
        assert_eq!(run(world, "true").json()["profile"]["project"]["trusted"], true);
        world.belljar(["trust", "--revoke"]).run().success().stdout_has("trusted no more");
        assert_eq!(run(world, "true").json()["profile"]["project"]["trusted"], false);
        assert_nothing_left(world);
    }

    fn its_rules_forbid_and_do_not_permit(world) {
        world.file(".belljar/policies/a.cedar", "@id(\"no\")\nforbid (principal, action == Action::\"execute\", resource is Program)\n\
            when { resource.name == \"deploy\" };\n");
        let denied = world.belljar(["run", "--", "deploy"]).run();
        denied.code(126).stderr_has(".belljar/policies/a.cedar:no");
        world.file(".belljar/policies/b.cedar", "@id(\"all\")\npermit (principal, action, resource);\n");
        let refused = world.belljar(["run", "--", "true"]).run();
        refused.code(125).stderr_has("may only forbid").stderr_has("trust");
        world.belljar(["policy", "check"]).run().code(125).stdout_has("may only forbid");
        std::fs::remove_file(world.workspace().join(".belljar/policies/b.cedar")).unwrap();
        assert_nothing_left(world);
    }

    fn what_is_no_plain_directory_stops_everything(world) {
        world.file(".belljar/profile.toml", "[run]\naccept-weak = [\"landlock\"]\n");
        let weak = world.belljar(["run", "--", "true"]).run();
        weak.code(125).stderr_has(".belljar/profile.toml:2:16: a project may not have a jar without one of its layers");
        world.belljar(["trust", "--yes"]).run().code(125);
        std::fs::remove_file(world.workspace().join(".belljar/profile.toml")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", world.workspace().join(".belljar/profile.toml")).unwrap();
        world.belljar(["run", "--", "true"]).run().code(125).stderr_has("neither a file nor a directory");
        std::fs::remove_file(world.workspace().join(".belljar/profile.toml")).unwrap();
        world.belljar(["trust"]).cwd(world.home()).run().code(125).stderr_has("it has no .belljar/");
        assert_nothing_left(world);
    }

    fn a_projects_profile_by_name_is_held_to_the_same(world) {
        world.file(".belljar/profiles/build.toml", LOOSE);
        let report = world.belljar(["run", "--profile", "build", "--apply", "discard", "--json", "--", "true"]).run().json();
        assert_eq!((&report["profile"]["origin"], &report["allow_net"]), (&"project".into(), &serde_json::json!([])));
        let path = ".belljar/profiles/build.toml";
        let by_path = world.belljar(["run", "--profile", path, "--apply", "discard", "--json", "--", "true"]).run().json();
        assert_eq!((&by_path["profile"]["origin"], &by_path["allow_net"]), (&"project".into(), &serde_json::json!([])));
        assert_nothing_left(world);
    }

    fn cases_are_run_and_what_fails_is_told(world) {
        let builtin = world.belljar(["policy", "test"]).run();
        builtin.success();
        assert_eq!(builtin.stdout.lines().count(), 7, "{}", builtin.report());
        world.file("p.toml", "[files]\nhome = \"read-only\"\n").file("p.test.toml", "[[confine]]\nsays = \"the home is a copy\"\n\
            path = \"~/x\"\nis = \"copy\"\n\n[[decide]]\nsays = \"a build runs\"\neffects = [\"execute program make\"]\n\
            verdict = \"ask\"\nrule = \"run/approved\"\n");
        let failed = world.belljar(["policy", "test", "p.toml"]).run();
        failed.code(125).stdout_has("failed").stdout_has("2 of 2 cases").stdout_has("line 1: the home is a copy");
        failed.stdout_has("access: expected copy, is read-only").stdout_has("verdict: expected ask, is allow");
        failed.stdout_has("rule: expected run/approved, is run/contained").stdout_has("run/contained decides on: execute make");
        let json = world.belljar(["policy", "test", "--json", "p.test.toml"]).run().json();
        assert_eq!(json["files"][0]["cases"][0]["wrong"][0]["actual"], "allow", "{json:#}");
        assert_eq!(world.belljar(["policy", "test", "--json"]).run().json()["holds"], true);
        world.file("q.cedar", "@id(\"a\")\nforbid (principal, action, resource);\n");
        world.belljar(["policy", "test", "q.cedar"]).run().code(125).stdout_has("write q.test.toml beside it");
        world.file("q.test.toml", "[[decide]]\nsays = \"nothing runs\"\nverdict = \"deny\"\nrule = \"a\"\n");
        world.belljar(["policy", "test", "q.cedar"]).run().success();
        world.file("r.test.toml", "");
        world.belljar(["policy", "test", "r.test.toml"]).run().code(125).stdout_has("neither r.toml nor r.cedar");
        world.belljar(["policy", "test", "absent.toml"]).run().code(125);
        assert_nothing_left(world);
    }

    fn documents_fit_their_schema(world) {
        world.file(".belljar/profile.toml", LOOSE).file("p.toml", "[run]\nunattended = 1\n");
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        for args in [
            &["policy", "check", "--json"][..],
            &["policy", "check", "--json", "p.toml"],
            &["policy", "test", "--json"],
            &["policy", "test", "--json", "p.toml"],
            &["policy", "explain", "--json", "--profile", "strict", "curl https://a.example"],
            &["policy", "explain", "--json", "--bare", "ls"],
            &["trust", "--json", "--yes"],
            &["trust", "--json", "--list"],
            &["trust", "--json", "--revoke"],
        ] {
            let told = world.belljar(args).run().json();
            assert_eq!(crate::check::misfit(&told, &schema, &schema, ""), None, "{args:?} {told:#}");
        }
        assert_nothing_left(world);
    }

    fn an_explanation_names_rules_layers_and_ways_out(world) {
        let strict = world.belljar(["policy", "explain", "--profile", "strict", "curl https://a.example"]).run();
        strict.code(10).stdout_has("ASK in a jar, under profile strict").stdout_has("strict:network");
        strict.stdout_has("built-in: allow [run/contained]").stdout_has("without the rules of strict it would be allowed");
        let bare = world.belljar(["policy", "explain", "--bare", "--json", "rm -rf /"]).run();
        bare.code(20);
        let bare = bare.json();
        assert!(bare["parts"][0]["rules"].to_string().contains("deny/root"), "{bare:#}");
        assert!(bare["parts"][0]["would_change"].to_string().contains("in a jar"), "{bare:#}");
        let ci = world.belljar(["policy", "explain", "--profile", "ci", "ls\u{b}x"]).run();
        ci.code(20).stdout_has("the profile ci asks nobody");
        world.belljar(["policy", "explain", "ls"]).run().code(0).stdout_has("ALLOW");
        assert_nothing_left(world);
    }
}
