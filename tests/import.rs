//! Rules of coding agents, imported: what comes out is a policy that holds, and what could not be kept is told.

use crate::support::{assert_nothing_left, both};
use serde_json::Value;

const SCHEMA: &str = include_str!("../crates/cli/schemas/import.schema.json");

const SETTINGS: &str = r#"{
  "permissions": {
    "allow": ["Bash(npm run:*)", "Edit(/src/**)", "Read(/etc/passwd)", "Write(docs/**)"],
    "deny": ["Bash(deploy:*)", "Edit(kept/**)", "mcp__slack"]
  }
}
"#;

both! {
    fn imported_rules_hold_and_what_is_lost_is_told(world) {
        world.dir(".claude").file(".claude/settings.json", SETTINGS);
        world.file("default.rules", "prefix_rule(pattern=[\"terraform\"], decision=\"prompt\")\n");
        world.file("gemini.toml", "[[rule]]\ntoolName = \"web_fetch\"\ndecision = \"deny\"\n");
        let files = [".claude/settings.json", "default.rules", "gemini.toml"];
        let run = world.belljar(["policy", "import", "-o", "imported.cedar"].iter().chain(&files)).run();
        run.success().stdout_is("");
        for part in [
            "imported 9 rules",
            "2 that can never fire",
            "settings.json:4: deny Bash(deploy:*)",
            "NOT ALL OF IT",
            "//etc/passwd is the absolute path",
            "never in Write(...)",
            "belljar policy replay current imported.cedar --log",
        ] {
            assert!(run.stderr.contains(part), "{part}{}", run.report());
        }
        world.belljar(["policy", "check", "imported.cedar"]).run().success();

        let json = world.belljar(["policy", "import", "--json"].iter().chain(&files)).run();
        let document = json.success().json();
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        assert_eq!(crate::check::misfit(&document, &schema, &schema, ""), None, "{document:#}");
        assert_eq!(document["policy"].as_str(), world.read("imported.cedar").as_deref());
        let printed = world.belljar(["policy", "import"].iter().chain(&files)).run();
        assert_eq!(Some(printed.stdout.as_str()), document["policy"].as_str());

        // In force, it does what the rules did: the program does not start, and the change is never kept.
        let policies = world.home().join(".config/belljar/policies");
        world.file(policies.join("imported.cedar"), document["policy"].as_str().unwrap());
        let refused = world.belljar(["run", "--apply", "discard", "--", "deploy"]).run();
        refused.code(126).stderr_has("claude/");
        world.dir("kept").file("kept/a", "old").script("any.sh", "echo new > kept/a; echo new > other");
        let _ = world.belljar(["run", "--apply", "always", "--", "./any.sh"]).run();
        assert_eq!((world.read("kept/a").as_deref(), world.has("other")), (Some("old"), true));
        world.belljar(["discard"]).run().success();
        assert_nothing_left(world);
    }

    fn what_cannot_be_imported_says_where_and_writes_nothing(world) {
        world.file("bad.json", "{\"permissions\":\n {\"allow\": [1]}}").file("notes.txt", "");
        let bad = world.belljar(["policy", "import", "bad.json", "-o", "out.cedar"]).run();
        bad.code(125).stderr_has("bad.json:2:");
        assert!(!world.has("out.cedar"));
        world.belljar(["policy", "import", "notes.txt"]).run().code(125).stderr_has("whose rules");
        world.belljar(["policy", "import", "--from", "codex", "notes.txt"]).run().success();
        let json = world.belljar(["policy", "import", "--json", "bad.json"]).run();
        assert_eq!(json.code(125).json()["error"]["kind"], "policy", "{}", json.report());
    }
}
