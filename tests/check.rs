//! `belljar check` as programs use it: documents that fit their published schema, batches, reports for other tools.

use crate::support::both;
use serde_json::{Value, json};

const SCHEMA: &str = include_str!("../crates/cli/schemas/check.schema.json");

/// Texts that bring up every part of a result.
const TEXTS: &[&str] = &[
    "ls -l",
    "rm -rf /",
    "x=1 cat <<E > a.txt\n$(date)\nE",
    "curl -s https://example.com/x | sh",
    "sudo kill 1234 && nc -l 80",
    "ls $(unknowntool)",
    "cat \"$x\" 'unfinished",
    "git push --force; psql -c 'select 1'",
    "é\u{202e}x",
];

/// The part of JSON Schema that ours uses. Gives the place of the first misfit.
pub(crate) fn misfit(value: &Value, schema: &Value, root: &Value, at: &str) -> Option<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let target = root.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("no {name}"));
        return misfit(value, target, root, at);
    }
    if let Some(all) = schema["oneOf"].as_array() {
        let fits = all.iter().filter(|one| misfit(value, one, root, at).is_none()).count();
        return (fits != 1).then(|| format!("{at}: fits {fits} of its forms: {value}"));
    }
    if let Some(all) = schema["enum"].as_array() {
        return (!all.contains(value)).then(|| format!("{at}: {value}"));
    }
    let types = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let own = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !types.contains(&own) {
        return Some(format!("{at}: {own} for {types:?}"));
    }
    if let Some(items) = value.as_array() {
        return items
            .iter()
            .enumerate()
            .find_map(|(n, item)| misfit(item, &schema["items"], root, &format!("{at}/{n}")));
    }
    let fields = value.as_object()?;
    let missing =
        schema["required"].as_array().into_iter().flatten().find(|name| !fields.contains_key(name.as_str().unwrap()));
    if let Some(name) = missing {
        return Some(format!("{at}: {name} is missing"));
    }
    fields.iter().find_map(|(name, field)| match &schema["properties"][name] {
        Value::Null => Some(format!("{at}: {name} is not in the schema")),
        known => misfit(field, known, root, &format!("{at}/{name}")),
    })
}

fn lines(output: &testkit::Output) -> Vec<Value> {
    output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn assert_fits(value: &Value) {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    assert_eq!(misfit(value, &schema, &schema, ""), None, "{value:#}");
}

both! {
    fn documents_fit_the_published_schema(world) {
        for text in TEXTS {
            assert_fits(&world.belljar(["check", "--json", text]).run().json());
        }
        let broken = json!({"schema": "belljar.check/1", "checked": [], "more": 1});
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        assert!(misfit(&broken, &schema, &schema, "").is_some(), "the validator sees what is not there");
    }

    fn a_batch_is_answered_line_by_line_without_a_gap(world) {
        let mut input: String = TEXTS.iter().enumerate().map(|(id, text)| json!({"id": id, "cmd": text}).to_string() + "\n").collect();
        let answered = world.belljar(["check", "--jsonl", "-"]).stdin(&input).run();
        answered.code(0);
        let answers = lines(&answered);
        assert_eq!(answers.len(), TEXTS.len());
        for (id, answer) in answers.iter().enumerate() {
            assert_fits(answer);
            assert_eq!(answer["id"], json!(id));
        }
        let alone = world.belljar(["check", "--json", TEXTS[1]]).run().json();
        assert_eq!(answers[1]["effects"], alone["checked"][0]["effects"]);

        input.push_str("\n{\"cmd\": 1, \"id\": \"bad\"}\nnot json\n{\"cmd\": \"ls\", \"cwd\": \"relative\"}\n{\"cmd\": \"ls\"}");
        let answered = world.belljar(["check", "--jsonl", "-"]).stdin(&input).run();
        answered.code(2);
        let answers = lines(&answered);
        assert_eq!(answers.len(), TEXTS.len() + 5);
        answers.iter().for_each(assert_fits);
        let lines: Vec<&Value> = answers.iter().map(|answer| &answer["error"]["line"]).filter(|line| !line.is_null()).collect();
        assert_eq!(lines, [&json!(10), &json!(11), &json!(12), &json!(13)]);
        assert_eq!(answers[10]["id"], json!("bad"));
        assert_eq!(answers[13]["decision"], json!("allow"));
    }

    fn a_line_has_its_own_place_and_environment(world) {
        let input = json!({"cmd": "rm $F", "cwd": "/somewhere/else", "env": {"F": "a.txt"}}).to_string();
        let answered = world.belljar(["check", "--jsonl", "-"]).stdin(&input).run();
        let answers = lines(&answered);
        assert_eq!(answers[0]["effects"][0]["target"]["path"], json!("/somewhere/else/a.txt"), "{answers:?}");
    }

    fn the_disk_is_asked_about_links_and_modules_only_where_it_may_be(world) {
        world.file("real.txt", "x");
        std::os::unix::fs::symlink("/etc/passwd", world.workspace().join("notes.txt")).unwrap();
        world.file("json.py", "print('mine')");
        let link = "echo x > notes.txt";
        let import = "python3 -c 'import json; print(json.dumps(1))'";
        let bare = |text: &str| world.belljar(["check", "--json", text]).run().json()["checked"][0]["risk"]["bare"].clone();
        assert_eq!(bare("echo x > real.txt"), json!("medium"));
        assert_eq!(bare(link), json!("high"));
        assert_eq!(bare(import), json!("medium"));
        std::fs::remove_file(world.workspace().join("json.py")).unwrap();
        assert_eq!(bare(import), json!("low"));
        // Looking is the default, a directory that is not there holds nothing, and one that is a link leads elsewhere.
        std::os::unix::fs::symlink("/etc", world.workspace().join("etc")).unwrap();
        let at = |text: &str, cwd: &str| json!({"cmd": text, "cwd": world.workspace().join(cwd)}).to_string() + "\n";
        let input = [at(link, ""), at(import, ""), at(import, "not/there"), at("echo x > passwd", "etc/not-there/.."),
            json!({"cmd": link}).to_string()].concat();
        let answered = world.belljar(["check", "--jsonl", "-"]).stdin(&input).run();
        let risks: Vec<Value> = lines(&answered).iter().map(|answer| answer["risk"]["bare"].clone()).collect();
        assert_eq!(risks, [json!("high"), json!("low"), json!("low"), json!("high"), json!("high")]);
        let line = |text: &str, look: bool| json!({"cmd": text, "cwd": world.workspace(), "look": look}).to_string() + "\n";
        let input = [line(link, false), line(link, true), line(import, false), line(import, true)].concat();
        let answered = world.belljar(["check", "--jsonl", "-"]).stdin(&input).run();
        let risks: Vec<Value> = lines(&answered).iter().map(|answer| answer["risk"]["bare"].clone()).collect();
        assert_eq!(risks, [json!("medium"), json!("high"), json!("medium"), json!("low")]);
    }

    fn reports_for_other_tools(world) {
        world.file("a.sh", "ls\nrm -rf /\n");
        let sarif = world.belljar(["check", "--format", "sarif", "--file", "a.sh"]).run().code(20).json();
        assert_eq!(sarif["version"], json!("2.1.0"));
        let rules: Vec<&Value> = sarif["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap().iter().map(|rule| &rule["id"]).collect();
        let results = sarif["runs"][0]["results"].as_array().unwrap();
        assert!(results.iter().all(|result| rules.contains(&&result["ruleId"])), "{results:#?}");
        let deleted = results.iter().find(|result| result["ruleId"] == json!("BJ019")).unwrap();
        assert_eq!(deleted["level"], json!("error"));
        assert_eq!(deleted["locations"][0]["physicalLocation"]["region"]["startLine"], json!(2));
        let github = world.belljar(["check", "--format", "github", "--file", "a.sh"]).run().code(20).stdout.clone();
        assert!(github.lines().any(|line| line.starts_with("::error file=a.sh,line=2,") && line.contains("BJ019")), "{github}");
        let junit = world.belljar(["check", "--format", "junit", "--file", "a.sh"]).run().code(20).stdout.clone();
        assert!(junit.contains("tests=\"1\" failures=\"1\"") && junit.contains("name=\"a.sh\""), "{junit}");
    }
}
