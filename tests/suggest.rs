//! Suggestions from what was really approved: they are policies, they do what they say, and nothing is installed.

use crate::support::{assert_nothing_left, both, sh};
use serde_json::Value;

const SCHEMA: &str = include_str!("../crates/cli/schemas/suggest.schema.json");

/// Each by its own program, which announces nothing by name.
const CHANGES: &str = "echo $RANDOM$$ >> notes.txt; echo $$ >> ~/.bashrc; echo $$ > tool; chmod +x tool";

both! {
    fn what_was_applied_again_and_again_is_suggested_and_nothing_else(world) {
        world.script("work.sh", CHANGES).file("notes.txt", "");
        for _ in 0..3 {
            sh(world, "never", "./work.sh").run().success();
            world.belljar(["apply", "--yes"]).run().success();
        }
        let rules = |args: &[&str]| {
            let run = world.belljar(["policy", "suggest", "--json"].iter().chain(args)).run();
            let document = run.success().json();
            let schema: Value = serde_json::from_str(SCHEMA).unwrap();
            assert_eq!(crate::check::misfit(&document, &schema, &schema, ""), None, "{document:#}");
            document
        };
        // All on one day.
        assert_eq!(rules(&[])["rules"].as_array().unwrap().len(), 0);
        assert_eq!(rules(&["--days", "1", "--min", "4"])["rules"].as_array().unwrap().len(), 0);
        let document = rules(&["--days", "1"]);
        let about: Vec<&str> = document["rules"].as_array().unwrap().iter().map(|rule| rule["about"].as_str().unwrap()).collect();
        assert!(about.len() == 1 && about[0].contains("notes.txt modified"), "{document:#}");
        assert_eq!(document["rules"][0]["times"], 3);
        assert_eq!(document["inexact"], 0);
        let not: Vec<&str> = document["not"].as_array().unwrap().iter().map(|not| not["why"].as_str().unwrap()).collect();
        assert!(not.contains(&"high"), "{document:#}");

        let run = world.belljar(["policy", "suggest", "--days", "1", "-o", "suggested.cedar"]).run();
        run.success().stdout_is("").stderr_has("nothing is installed").stderr_has("approved 3 times on 1 day");
        assert_eq!(world.read("suggested.cedar").as_deref(), document["policy"].as_str());
        world.belljar(["policy", "check", "suggested.cedar"]).run().success();
        assert!(!world.has(world.home().join(".config/belljar/policies")));

        // In force, nothing of it has to be suggested any more.
        let policies = world.home().join(".config/belljar/policies");
        world.file(policies.join("suggested.cedar"), document["policy"].as_str().unwrap());
        assert_eq!(rules(&["--days", "1"])["rules"].as_array().unwrap().len(), 0);
        // What was taken back does not count.
        std::fs::remove_file(policies.join("suggested.cedar")).unwrap();
        world.belljar(["undo", "--yes"]).run().success();
        assert_eq!(rules(&["--days", "1"])["rules"].as_array().unwrap().len(), 0);
        assert_eq!(rules(&["--days", "1", "--min", "2"])["rules"].as_array().unwrap().len(), 1);
        world.belljar(["discard"]).run().success();
        assert_nothing_left(world);
    }
}
