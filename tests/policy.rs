//! Policy files as their authors meet them: what is wrong is said with where, and nothing runs under half a policy.

use crate::support::{assert_nothing_left, both};
use testkit::World;

const GOOD: &str = "@id(\"mine/no-deploy\")\nforbid (principal, action == Action::\"execute\", resource is Program)\n\
    when { resource.name == \"deploy\" };\n";

/// A file, what is wrong with it, and what must be said.
const WRONG: [(&str, &str); 8] = [
    ("@id(\"a\")\npermit (principal, action, resource", ":2:"),
    ("@id(\"a\")\nforbid (principal, action == Action::\"conect\", resource);\n", "conect"),
    (
        "@id(\"a\")\nforbid (principal, action in Action::\"change\", resource is Path)\nwhen { resource.pth like \"*\" };\n",
        ":3:",
    ),
    ("forbid (principal, action, resource);\n", "a rule without an @id"),
    (
        "@id(\"a\")\nforbid (principal, action, resource);\n@id(\"a\")\nforbid (principal, action, resource);\n",
        "two rules are called `a`",
    ),
    ("@id(\"a\")\nforbid (principal == ?principal, action, resource);\n", "a template"),
    (
        "@id(\"a\")\nforbid (principal, action == Action::\"read\", resource is Path)\nwhen { resource.path like \"~/.ssh/*\" };\n",
        "p.cedar:3:8: rule `a`: no path is `~/.ssh/*`: the home is written out",
    ),
    ("@id(\"a\")\nforbid (principal, action == Action::\"apply\", resource is Path);\n", "it never applies"),
];

fn policies(world: &World) -> std::path::PathBuf {
    world.home().join(".config/belljar/policies")
}

both! {
    fn a_wrong_policy_says_where_and_what(world) {
        for (text, told) in WRONG {
            world.file("p.cedar", text);
            let check = world.belljar(["policy", "check", "p.cedar"]).run();
            assert_eq!(check.status.code(), Some(125), "{text}{}", check.report());
            assert!(check.stdout.starts_with("wrong") && check.stdout.contains("p.cedar"), "{text}{}", check.report());
            assert!(check.stdout.contains(told), "{told}{}", check.report());
            // What to do stands below.
            let next = check.stdout.lines().nth(1).unwrap_or_default();
            assert!(next.starts_with("        ") && next.len() > 20, "{}", check.report());
            let json = world.belljar(["policy", "check", "--json", "p.cedar"]).run().json();
            assert!(json["files"][0]["fault"].as_str().unwrap().contains(told), "{json:#}");
        }
        world.belljar(["policy", "check", "absent.cedar"]).run().code(125);
        assert_nothing_left(world);
    }

    fn what_is_in_force_is_checked_and_nothing_runs_under_what_is_wrong(world) {
        let none = world.belljar(["policy", "check"]).run();
        none.success();
        assert!(none.stdout.contains("built-in"), "{}", none.report());

        world.file(policies(world).join("mine.cedar"), GOOD);
        let good = world.belljar(["policy", "check"]).run();
        good.success();
        assert!(good.stdout.starts_with("ok ") && good.stdout.contains("mine.cedar"), "{}", good.report());
        let refused = world.belljar(["run", "--apply", "discard", "--", "deploy"]).run();
        assert!(refused.stderr.contains("mine/no-deploy"), "{}", refused.report());

        world.file(policies(world).join("other.cedar"), WRONG[1].0);
        let wrong = world.belljar(["policy", "check"]).run();
        wrong.code(125);
        assert!(wrong.stdout.lines().count() == 3 && wrong.stdout.contains("other.cedar:2:"), "{}", wrong.report());
        let run = world.belljar(["run", "--apply", "discard", "--", "touch", "made"]).run();
        run.code(125);
        assert!(run.stderr.contains("other.cedar:2:"), "{}", run.report());
        std::fs::remove_file(policies(world).join("other.cedar")).unwrap();
        assert!(!world.has("made"));
        assert_nothing_left(world);
    }

    fn a_project_may_only_forbid(world) {
        world.file("permits.cedar", "@id(\"a\")\npermit (principal, action, resource);\n").file("forbids.cedar", GOOD);
        world.belljar(["policy", "check", "permits.cedar"]).run().success();
        let held = world.belljar(["policy", "check", "--project", "forbids.cedar", "permits.cedar"]).run();
        held.code(125);
        assert!(held.stdout.starts_with("ok ") && held.stdout.contains("may only forbid"), "{}", held.report());
        assert_nothing_left(world);
    }
}
