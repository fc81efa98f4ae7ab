//! Replays as people and programs run them: of the log, of requests, and in parts.

use crate::support::{assert_nothing_left, both};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use testkit::World;

/// Requests as a fleet would record them.
#[allow(dead_code)]
#[path = "../crates/policy/examples/requests.rs"]
mod generator;

const SCHEMA: &str = include_str!("../crates/cli/schemas/replay.schema.json");

#[track_caller]
fn assert_fits(document: &Value) {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    assert_eq!(crate::check::misfit(document, &schema, &schema, ""), None, "{document:#}");
}

const NO_DEPLOY: &str = "@id(\"mine/no-deploy\")\nforbid (principal, action == Action::\"execute\", resource is Program)\n\
    when { resource.name == \"./deploy\" || resource.name == \"deploy\" };\n\
    @id(\"mine/ask\")\nforbid (principal, action in Action::\"change\", resource is Path)\n\
    when { resource.path like \"*/kept-*\" }\nunless { context.approved };\n";

fn count(document: &Value, from: &str, to: &str) -> u64 {
    let rows = document["transitions"].as_array().unwrap();
    rows.iter().filter(|row| row["from"] == from && row["to"] == to).map(|row| row["count"].as_u64().unwrap()).sum()
}

fn replay(world: &World, args: &[&str]) -> Value {
    let run = world.belljar(["policy", "replay", "--json"].iter().chain(args)).run();
    let document = run.success().json();
    assert_fits(&document);
    document
}

both! {
    fn the_log_is_replayed_and_so_are_its_requests(world) {
        world.file("new.cedar", NO_DEPLOY);
        for text in ["touch made", "touch kept-1", "touch kept-22 kept-3", "deploy now"] {
            let _ = world.belljar(["run", "--apply", "discard", "--", "sh", "-c", text]).run();
        }
        let secret = "touch made-ghp_0123456789abcdefghij0123456789abcdef";
        let _ = world.belljar(["run", "--apply", "discard", "--", "sh", "-c", secret]).run();

        let document = replay(world, &["current", "new.cedar", "--log"]);
        assert_eq!(document["requests"], 5);
        assert_eq!(document["inexact"], json!([{"why": "redacted", "count": 1}]));
        let (same, ask, deny) =
            (count(&document, "allow", "allow"), count(&document, "allow", "ask"), count(&document, "allow", "deny"));
        assert_eq!((same, ask, deny), (1, 2, 1), "{document:#}");
        let asked = document["transitions"].as_array().unwrap().iter().find(|row| row["to"] == "ask").unwrap();
        // The smaller one comes first.
        assert!(asked["witnesses"][0]["command"].as_str().unwrap().contains("kept-1"), "{asked:#}");
        assert_eq!(asked["witnesses"][0]["b"]["rules"], json!(["new.cedar:mine/ask"]));

        // The same from what was exported, by file and by standard input.
        let export = world.belljar(["audit", "export", "--format", "requests"]).run();
        let lines = export.success().stdout.clone();
        for line in lines.lines() {
            assert_fits(&serde_json::from_str(line).unwrap());
        }
        world.file("requests.jsonl", &lines);
        assert_eq!(replay(world, &["current", "new.cedar", "requests.jsonl"]), document);
        let piped = world.belljar(["policy", "replay", "--json", "current", "new.cedar"]).stdin(&lines).run();
        assert_eq!(piped.success().json(), document);

        // Who looks at a time in which nothing was decided is told so; who replays nothing at all may have meant the log.
        assert_eq!(replay(world, &["current", "new.cedar", "--since", "2100-01-01"])["requests"], 0);
        let nothing = world.belljar(["policy", "replay", "current", "new.cedar", "-"]).stdin("").run();
        nothing.code(125);
        assert!(nothing.stderr.contains("no request") && nothing.stderr.contains("--log"), "{}", nothing.report());

        let told = world.belljar(["policy", "replay", "built-in", "new.cedar", "requests.jsonl"]).run();
        for part in ["5 decisions", "2 stricter", "cannot be replayed exactly", "allow -> ask", "new.cedar:mine/ask"] {
            let part = if part == "2 stricter" { "3 stricter" } else { part };
            assert!(told.stdout.contains(part), "{part}{}", told.report());
        }
        assert_nothing_left(world);
    }

    fn sides_are_files_profiles_and_directories_and_what_is_none_says_so(world) {
        world.dir("dir").file("dir/one.cedar", NO_DEPLOY).file("dir/notes.txt", "no policy");
        world.file("profile.toml", format!("rules = '''\n{NO_DEPLOY}'''\n"));
        world.file("wrong.cedar", "permit (principal, action, resource");
        let request = "{\"v\":1,\"contained\":true,\"parts\":[{\"do\":\"execute\",\"on\":{\"program\":\"deploy\"},\"risk\":1}]}\n";
        // What is called like a profile is the profile.
        world.dir("strict").file("strict/two.cedar", NO_DEPLOY).dir("none");
        let own = world.home().join(".config/belljar");
        world.file(own.join("policies/mine.cedar"), NO_DEPLOY);
        world.file(own.join("profiles/careful.toml"), format!("rules = '''\n{NO_DEPLOY}'''\n"));
        let same = world.belljar(["policy", "replay", "--json", "built-in", "strict"]).stdin(request).run();
        assert_eq!(count(&same.success().json(), "allow", "deny"), 0);
        for b in ["dir", "profile.toml", "dir/one.cedar", "./strict", "careful", "current"] {
            let run = world.belljar(["policy", "replay", "--json", "built-in", b]).stdin(request).run();
            let document = run.success().json();
            assert_fits(&document);
            assert_eq!(count(&document, "allow", "deny"), 1, "{b}: {document:#}");
        }
        for wrong in ["wrong.cedar", "absent.cedar", "absent", "none", "./absent"] {
            let run = world.belljar(["policy", "replay", "built-in", wrong]).stdin(request).run();
            run.code(125);
            assert!(run.stderr.contains(wrong), "{}", run.report());
        }
        let corrupt = format!("{request}{request}{{\"v\":1}}\n");
        let run = world.belljar(["policy", "replay", "built-in", "dir"]).stdin(corrupt).run();
        run.code(125);
        assert!(run.stderr.contains("standard input: line 3:"), "{}", run.report());
    }
}

/// Cut into 1, 2, 7 and 50 parts and shuffled, for workers of their own: what Spark does, without Spark.
#[test]
fn every_partitioning_gives_the_same_table() {
    let dir = tempfile::tempdir().unwrap();
    let (requests, policy) = (dir.path().join("requests.jsonl"), dir.path().join("policy.cedar"));
    let mut lines = Vec::new();
    generator::write(1500, 3, &mut lines);
    std::fs::write(&requests, lines).unwrap();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay");
    std::fs::copy(tests.join("policy.cedar"), &policy).unwrap();
    let mut command = Command::new("/usr/bin/python3");
    command.arg("-B").arg(tests.join("partitions.py")).arg(crate::support::EXE).args([&policy, &requests]);
    let run = command.output().unwrap();
    assert!(run.status.success(), "{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
}
