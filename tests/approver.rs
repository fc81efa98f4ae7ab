//! A person behind another program: `run --ask-at`. The front end is a real program (`approver/frontend.py`), which answers
//! rightly, or in all the ways that are no answer.

use crate::support::{assert_nothing_left, both};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use testkit::{Child, Output, World};

const SCHEMA: &str = include_str!("../crates/cli/schemas/approver.schema.json");
const FRONT_END: &str = include_str!("approver/frontend.py");

/// Asks about connecting and about writing into the workspace.
const ASKS: &str = "rules = '''
@id(\"network\")
forbid (principal, action == Action::\"connect\", resource) when { !context.approved };
'''
";

/// A place for channels beside the home: of the world's user, and no jar writes there.
fn room(world: &World) -> PathBuf {
    let dir = world.base().join("asking");
    world.dir(&dir).mode(&dir, 0o700);
    dir
}

/// A front end that runs until it is dropped.
struct FrontEnd {
    child: Child,
    at: String,
    log: PathBuf,
}

impl FrontEnd {
    fn start(world: &World, kind: &str, mode: &str, fields: &Value) -> FrontEnd {
        let room = room(world);
        let program = room.join("frontend.py");
        world.file(&program, FRONT_END);
        let (path, log) = (room.join(format!("{kind}-{mode}")), room.join(format!("{kind}-{mode}.log")));
        let _ = std::fs::remove_file(&log);
        if kind == "dir" {
            world.dir(&path).mode(&path, 0o700);
        } else {
            let _ = std::fs::remove_file(&path);
        }
        let at = format!("{kind}:{}", path.display());
        let words = [program.to_str().unwrap(), &at, mode, log.to_str().unwrap(), &fields.to_string()];
        let mut child = world.command("/usr/bin/python3").args(words).spawn();
        child.expect("ready");
        FrontEnd { child, at, log }
    }

    /// What it was asked.
    fn asked(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for FrontEnd {
    fn drop(&mut self) {
        self.child.kill();
    }
}

/// A command that is asked about, with the changes thrown away unless `args` say otherwise.
fn run(world: &World, at: &str, args: &[&str], script: &str) -> Output {
    let profile = world.home().join("asks.toml");
    world.file(&profile, ASKS);
    world
        .belljar(["run", "--profile", profile.to_str().unwrap(), "--ask-at", at, "--ask-within", "2"])
        .args(args)
        .args(["--", "sh", "-c", script])
        .run()
}

const CURL: &str = "curl -sS --max-time 5 https://registry.example.org/x";

both! {
    fn it_is_asked_and_its_answer_counts(world) {
        for kind in ["unix", "dir"] {
            let yes = FrontEnd::start(world, kind, "right", &json!({"answer": "yes"}));
            run(world, &yes.at, &["--apply", "discard"], CURL).code(6);
            let question = &yes.asked()[0];
            assert_eq!((&question["schema"], &question["kind"]), (&json!("belljar.question/1"), &json!("run")));
            assert!(question["explanation"].as_array().unwrap().iter().any(|line| line.as_str().unwrap().starts_with("HIGH: connect to registry.example.org:443")), "{question}");
            assert_eq!(question["grant"]["words"], json!(["connect to registry.example.org:443"]));
            assert_eq!(question["scopes"], json!(["once", "project", "always"]));
            let schema: Value = serde_json::from_str(SCHEMA).unwrap();
            let known = schema["$defs"]["run"]["properties"].as_object().unwrap();
            assert_eq!(question.as_object().unwrap().keys().collect::<BTreeSet<_>>(), known.keys().collect::<BTreeSet<_>>());
            // What needs nobody is not asked about.
            run(world, &yes.at, &["--apply", "discard"], "true").success();
            assert_eq!(yes.asked().len(), 1);
            drop(yes);
            let no = FrontEnd::start(world, kind, "right", &json!({"answer": "no"}));
            run(world, &no.at, &["--apply", "discard"], CURL).code(126).stderr_has("not approved");
        }
        let by = world.belljar(["audit", "query", "approvals", "--json"]).run().json();
        assert_eq!(by["rows"].as_array().unwrap().iter().filter(|row| row["by"].as_str().unwrap().starts_with("person at ")).count(), 2, "{by}");
        assert_nothing_left(world);
    }

    fn it_can_grant_what_is_offered_and_no_more(world) {
        let front = FrontEnd::start(world, "unix", "right", &json!({"answer": "yes", "scope": "jar"}));
        run(world, &front.at, &["--apply", "discard"], CURL).code(126);
        drop(front);
        let front = FrontEnd::start(world, "unix", "right", &json!({"answer": "yes", "scope": "project", "days": 3}));
        for _ in 0..2 {
            run(world, &front.at, &["--apply", "discard"], CURL).code(6);
        }
        assert_eq!(front.asked().len(), 1, "the second time a grant answers");
        let grants = world.belljar(["grants", "--json"]).run().json();
        let grant = &grants["grants"][0];
        assert_eq!(grant["expires_ms"].as_u64().unwrap() - grant["made_ms"].as_u64().unwrap(), 3 * 86_400_000);
        drop(front);
        assert_nothing_left(world);
    }

    /// Late, wrong, malformed, twice, or none at all: a no, and nothing is left in the directory.
    fn everything_else_is_a_no(world) {
        let no = |kind: &str, mode: &str| {
            let front = FrontEnd::start(world, kind, mode, &json!({"answer": "yes"}));
            let run = run(world, &front.at, &["--apply", "discard"], &format!("{CURL}; echo it ran"));
            run.code(126);
            assert!(!run.stdout.contains("it ran"), "{kind} {mode}: {}", run.report());
            assert_eq!(front.asked().len(), 1, "{kind} {mode}");
            if let Some(dir) = front.at.strip_prefix("dir:") {
                let left: Vec<_> = std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap()).collect();
                assert!(!left.iter().any(|name| name.starts_with("question")), "{mode}: {left:?}");
            }
        };
        for mode in ["silent", "late", "nonce", "id", "cut", "garbage", "empty", "list", "more", "no-nonce", "huge", "twice"] {
            no("unix", mode);
            no("dir", mode);
        }
        for mode in ["link", "hard", "fifo", "directory", "open"] {
            no("dir", mode);
        }
        if world.is_root() {
            // The socket is root's, and who listens on it is not.
            let front = FrontEnd::start(world, "unix", "stranger", &json!({"answer": "yes"}));
            run(world, &front.at, &["--apply", "discard"], CURL).code(126).stderr_has("somebody else");
            assert_eq!(front.asked().len(), 0);
        }
        let answers = world.belljar(["audit", "query", "approvals", "--json"]).run().json();
        assert_eq!(answers["rows"], json!([]));
        assert_nothing_left(world);
    }

    /// Where others, or the command itself, could answer, nobody is asked and nothing runs.
    fn a_place_that_others_can_write_is_refused(world) {
        let room = room(world);
        let refused = |at: &str, why: &str| {
            run(world, at, &["--apply", "discard"], CURL).code(2).stderr_has(why).stderr_has("hint:");
        };
        refused("tcp:1", "neither a socket nor a directory");
        refused("unix:", "neither a socket nor a directory");
        refused(&format!("unix:{}", room.join("none").display()), "No such file");
        world.file(room.join("plain"), "");
        refused(&format!("unix:{}", room.join("plain").display()), "no socket");
        let open = FrontEnd::start(world, "unix", "open", &json!({"answer": "yes"}));
        refused(&open.at, "others may write to it");
        drop(open);
        for (name, mode, why) in [("wide", 0o777, "others may change"), ("seen", 0o755, "others may look")] {
            let dir = room.join(name);
            world.dir(&dir).mode(&dir, mode);
            refused(&format!("dir:{}", dir.display()), why);
        }
        let below = room.join("wide/below");
        world.dir(&below).mode(&below, 0o700);
        refused(&format!("dir:{}", below.display()), "others may change");
        world.dir(room.join("own")).mode(room.join("own"), 0o700);
        std::os::unix::fs::symlink(room.join("own"), room.join("link")).unwrap();
        refused(&format!("dir:{}", room.join("link").display()), "symbolic link");
        // Within a command's reach: the workspace, the home, and what --write adds.
        for dir in [world.workspace().join("ask"), world.home().join("ask")] {
            world.dir(&dir).mode(&dir, 0o700);
            refused(&format!("dir:{}", dir.display()), "commands may write below");
        }
        let own = room.join("own");
        let given = format!("dir:{}", own.display());
        let write = run(world, &given, &["--apply", "discard", "--write", own.to_str().unwrap()], CURL);
        write.code(2).stderr_has("commands may write below");
        world.belljar(["run", "--profile", "ci", "--ask-at", &given, "--", "true"]).run().code(2).stderr_has("lets nobody be asked");
        if world.is_root() {
            std::os::unix::fs::chown(room.join("own"), Some(65534), None).unwrap();
            refused(&given, "others may change");
        }
        assert_nothing_left(world);
    }

    /// A command in the jar that finds the channel: it cannot answer the question about itself, nor that about its changes.
    fn the_command_cannot_answer_for_the_person(world) {
        let tries = |at: &str| {
            let path = at.split_once(':').unwrap().1;
            format!("import os, socket\n\
                try:\n  s = socket.socket(socket.AF_UNIX); s.connect('{path}'); s.send(b'{{\"kind\": \"run\"}}\\n')\nexcept OSError as e: print(e)\n\
                for name in ['answer-x.json', 'question-x.json']:\n\
                \x20 try: open('{path}/' + name, 'w').write('x'); print('written')\n\
                \x20 except OSError as e: print(e)\n\
                open('red', 'w')\nif os.fork() == 0:\n  while True:\n    try: open('{path}/answer-' + os.listdir('{path}')[0][9:], 'w')\n    except (OSError, IndexError): pass\nos.makedirs('.git/hooks', exist_ok=True)\nopen('.git/hooks/pre-commit', 'w').write('x')\n")
        };
        let dir = FrontEnd::start(world, "dir", "silent", &json!({}));
        world.file("tries.py", tries(&dir.at));
        let run_it = run(world, &dir.at, &["--apply", "ask"], "/usr/bin/python3 tries.py");
        assert!(!run_it.stdout.contains("written"), "{}", run_it.report());
        assert!(!world.has("red") && !world.has(".git/hooks/pre-commit"));
        assert_eq!(dir.asked().len(), 1, "about the changes, from Belljar alone");
        drop(dir);
        world.belljar(["discard", "--all", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    /// The second door: what becomes of the changes; what is HIGH only for who says how much of it there is.
    fn it_decides_on_the_changes(world) {
        let make = "mkdir -p .git/hooks; echo x > plain; echo x > .git/hooks/pre-commit";
        let settle = |kind: &str, fields: Value| {
            let front = FrontEnd::start(world, kind, "right", &fields);
            run(world, &front.at, &[], make).success();
            let asked = front.asked();
            assert_eq!((asked.len(), &asked[0]["kind"], &asked[0]["high"]), (1, &json!("settle"), &json!(1)), "{asked:#?}");
            (world.has("plain"), world.has(".git/hooks/pre-commit"))
        };
        assert_eq!(settle("unix", json!({"settle": {"answer": "discard"}})), (false, false));
        assert_eq!(settle("dir", json!({"settle": {"answer": "leave"}})), (false, false));
        assert_eq!(settle("unix", json!({"settle": {"answer": "apply", "high": 0}})), (false, false));
        assert_eq!(settle("unix", json!({"settle": {"answer": "yes"}})), (false, false));
        world.belljar(["discard", "--all", "--yes"]).run().success();
        assert_eq!(settle("unix", json!({"settle": {"answer": "apply-safe"}})), (true, false));
        world.belljar(["discard", "--all", "--yes"]).run().success();
        assert_eq!(settle("dir", json!({})), (true, true));
        assert_nothing_left(world);
    }

    /// With an answer about changes such changes can be granted, no wider than was offered.
    fn it_grants_with_an_answer_about_changes(world) {
        world.file("gen.sh", "mkdir -p docs; echo $0 $1 > docs/a.md");
        let settle = |fields: Value| {
            let front = FrontEnd::start(world, "dir", "right", &json!({"settle": fields}));
            run(world, &front.at, &[], "sh gen.sh").success();
            let asked = front.asked();
            let granted = world.belljar(["grants", "--json"]).run().json()["grants"].clone();
            (asked[0].clone(), granted.as_array().unwrap().clone())
        };
        for wrong in [
            json!({"answer": "apply", "scope": "jar"}),
            json!({"answer": "apply", "scope": "once"}),
            json!({"answer": "apply", "grant": "files"}),
            json!({"answer": "apply", "scope": "project", "grant": "everything"}),
            json!({"answer": "leave", "scope": "project"}),
        ] {
            let (_, granted) = settle(wrong.clone());
            assert!(granted.is_empty() && !world.has("docs"), "{wrong}: {granted:#?}");
        }
        let (question, granted) = settle(json!({"answer": "apply", "scope": "project", "grant": "directories", "days": 7}));
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let required = schema["$defs"]["settle"]["required"].as_array().unwrap().clone();
        assert!(required.iter().all(|field| question.get(field.as_str().unwrap()).is_some()), "{question:#}");
        assert_eq!(question["scopes"], json!(["project", "always"]));
        assert_eq!((&granted[0]["words"], &granted[0]["door"]), (&question["grant"]["directories"]["words"], &json!("review")));
        assert_eq!(granted[0]["expires_ms"].as_u64().unwrap() - granted[0]["made_ms"].as_u64().unwrap(), 7 * 86_400_000);
        assert!(world.has("docs/a.md"));
        world.belljar(["discard", "--all", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    /// An open jar asks too, each command for itself.
    fn an_open_jar_asks_through_it(world) {
        let front = FrontEnd::start(world, "unix", "right", &json!({"answer": "yes"}));
        let profile = world.home().join("asks.toml");
        world.file(&profile, ASKS);
        let lines = format!("{}\n{}\n", json!({"cmd": CURL}), json!({"cmd": "echo x > made"}));
        let open = |at: &str| world.belljar(["run", "--profile", profile.to_str().unwrap(), "--jar", "open", "--apply", "ask", "--ask-within", "2", "--jsonl", "-", "--ask-at", at]).stdin(lines.clone()).run();
        let output = open(&front.at);
        let told: Vec<Value> = output.success().stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&told[0]["exit"]["value"], &told[2]["settled"]["outcome"]), (&json!(6), &json!("applied")), "{told:#?}");
        assert_eq!(front.asked().iter().map(|asked| asked["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>(), ["run", "settle"]);
        assert!(world.has("made"));
        world.belljar(["discard", "open", "--yes"]).run().success();
        drop(front);
        assert_nothing_left(world);
    }
}
