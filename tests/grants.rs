//! Grants: made with an answer or by hand, for effects; used, listed, expired, taken back. And the question itself: one
//! screen, and nothing but a key that was pressed then and there says yes.

use crate::support::{answer, assert_nothing_left, both};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Output, Pty, Run, World};

const SCHEMA: &str = include_str!("../crates/cli/schemas/grants.schema.json");

/// The rules of `strict` that ask, without its limits: what goes to a terminal cannot be counted.
const ASKS: &str = "rules = '''
@id(\"network\")
forbid (principal, action == Action::\"connect\", resource) when { !context.approved };
@id(\"not-understood\")
forbid (principal, action == Action::\"run\", resource is Command) when { !resource.understood && !context.approved };
'''
";

/// A run under a profile that asks.
fn asking<'w>(world: &'w World, args: &[&str]) -> Run<'w> {
    let profile = world.home().join("asks.toml");
    world.file(&profile, ASKS).belljar(["run", "--profile", profile.to_str().unwrap()]).args(args)
}

/// `curl` with addresses, where nobody can be asked. 126: it needed a person; 6: it ran, and in the jar there is no network.
fn curl(world: &World, urls: &str) -> Output {
    asking(world, &["--apply", "discard", "--", "curl", "-sS", "--max-time", "5"]).args(urls.split(' ')).run()
}

fn ran(output: &Output) -> bool {
    output.code(6);
    true
}

fn asked(world: &World, args: &[&str]) -> Pty {
    asking(world, &["--apply", "discard"]).args(args).on_terminal()
}

fn grants(world: &World) -> Vec<Value> {
    world.belljar(["grants", "--json"]).run().json()["grants"].as_array().unwrap().clone()
}

fn approvals(world: &World) -> Vec<String> {
    let rows = world.belljar(["audit", "query", "approvals", "--json"]).run().json();
    rows["rows"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["verb"] == "run")
        .map(|row| row["by"].as_str().unwrap().to_owned())
        .collect()
}

/// Changes the grants on the disk, as if they had been made at another time.
fn backdate(world: &World, days: u64) {
    let path = world.state().join("belljar/grants.json");
    let mut all: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for grant in all["grants"].as_array_mut().unwrap() {
        for field in ["made_ms", "expires_ms"] {
            grant[field] = (grant[field].as_u64().unwrap() - days * 86_400_000).into();
        }
    }
    std::fs::write(&path, all.to_string()).unwrap();
}

const URL: &str = "https://registry.example.org/x";

both! {
    /// One key grants what was shown, in this project, and nothing besides it.
    fn granted_with_an_answer_and_used_until_it_is_taken_back(world) {
        curl(world, URL).code(126);
        let mut pty = asked(world, &["--", "curl", "-sS", "--max-time", "5", URL]);
        pty.expect("connect to registry.example.org:443");
        answer(&mut pty, "Run it under glass?", "p");
        pty.expect("Not asked again in").expect("for 30 days").expect("connect to registry.example.org:443");
        answer(&mut pty, "Grant that, and run it?", "y");
        assert_eq!(pty.wait().code(), Some(6), "{}", pty.screen());
        let all = grants(world);
        let grant = &all[0];
        assert_eq!((all.len(), &grant["words"]), (1, &json!(["connect to registry.example.org:443"])));
        assert_eq!(grant["scope"], json!({"type": "project", "path": world.workspace()}));
        assert_eq!(grant["expires_ms"].as_u64().unwrap() - grant["made_ms"].as_u64().unwrap(), 30 * 86_400_000);
        assert!(grant["shown"][0].as_str().unwrap().contains("curl -sS"), "{grant}");

        assert!(ran(&curl(world, URL)), "another path of the same peer is the same effect");
        assert!(ran(&curl(world, "https://registry.example.org/other")));
        let report = asking(world, &["--apply", "discard", "--json", "--", "curl", "-sS", URL]).run().json();
        assert_eq!((&report["approved_by"], &report["decision"]["verdict"]), (&json!(format!("grant {}", grant["id"].as_str().unwrap())), &json!("ask")));
        for other in ["https://example.org/x", "https://registry.example.org:444/", "http://registry.example.org/", "https://registry.example.org.evil.net/"] {
            curl(world, other).code(126);
        }
        // More than what was granted is asked about, and so is the same in another project.
        curl(world, &format!("{URL} https://other.example/")).code(126);
        world.dir("../elsewhere");
        let there = asking(world, &["--apply", "discard", "--", "curl", URL]).cwd(world.home().join("elsewhere")).run();
        there.code(126);

        let id = grant["id"].as_str().unwrap().to_owned();
        let mut pty = asked(world, &["--", "curl", "-sS", URL]);
        pty.expect(&format!("not asked, it was granted: {id}"));
        pty.wait();
        let by = approvals(world);
        assert_eq!(by, ["person".to_owned(), format!("grant {id}"), format!("grant {id}"), format!("grant {id}"), format!("grant {id}")]);
        world.belljar(["grants"]).run().success().stdout_has(&id).stdout_has("connect to registry.example.org:443").stdout_has("until 2");
        world.belljar(["audit", "log"]).run().stdout_has(&format!("granted {id}: connect to registry.example.org:443"));
        world.belljar(["grants", "revoke", &id[..4]]).run().success().stdout_has("revoked:");
        curl(world, URL).code(126);
        assert_eq!(grants(world), Vec::<Value>::new());
        world.belljar(["audit", "log"]).run().stdout_has(&format!("revoked {id}"));
        world.belljar(["audit", "verify"]).run().success();
        world.belljar(["grants", "revoke", &id]).run().code(125).stderr_has("there is no grant").stderr_has("`belljar grants`");
        assert_nothing_left(world);
    }

    fn one_that_expired_is_listed_and_does_not_count(world) {
        world.belljar(["grants", "add", "connect registry.example.org:443", "--scope", "always", "--expires", "1w", "--yes"]).run().success();
        assert!(ran(&curl(world, URL)));
        backdate(world, 8);
        curl(world, URL).code(126);
        world.belljar(["grants", "list"]).run().success().stdout_has("expired, counts no more");
        assert_eq!(grants(world)[0]["expired"], true);
        world.belljar(["grants", "revoke", "--all"]).run().success();
        assert_eq!(grants(world), Vec::<Value>::new());
        world.belljar(["grants", "revoke", "--all"]).run().success().stdout_has("there was no grant");
        assert_nothing_left(world);
    }

    /// `check` tells which grant would answer, until when, and exits as `run` would go on.
    fn check_says_which_grant_would_answer(world) {
        let profile = world.home().join("asks.toml");
        let check = |more: &[&str], text: &str| world.file(&profile, ASKS).belljar(["check"]).args(more).args(["--", text]).run();
        let under = |more: &[&str], text: &str| {
            let args: Vec<&str> = ["--profile", profile.to_str().unwrap()].iter().chain(more).copied().collect();
            check(&args, text)
        };
        let text = format!("curl -sS {URL}");
        let row = |output: &Output| output.json()["checked"][0].clone();
        let asked = row(under(&["--json"], &text).code(10));
        assert_eq!((&asked["decision"], &asked["answer"], &asked["granted"]), (&json!("ask"), &json!("ask"), &json!([])));
        let made = world.belljar(["grants", "add", "connect registry.example.org:443", "--yes", "--json"]).run().json()["grants"][0].clone();
        let id = made["id"].as_str().unwrap().to_owned();
        let granted = row(under(&["--json"], &text).code(0));
        assert_eq!((&granted["decision"], &granted["answer"]), (&json!("ask"), &json!("allow")));
        let expected = json!([{"id": id, "words": ["connect to registry.example.org:443"], "scope": made["scope"], "expires_ms": made["expires_ms"]}]);
        assert_eq!(granted["granted"], expected);
        under(&[], &text).code(0).stdout_has("ASK").stdout_has(&format!("granted nobody is asked: {id}  connect to registry.example.org:443, in ")).stdout_has("until 2");
        under(&["--format", "junit"], &text).code(0).stdout_has("failures=\"0\"");
        // Part of it is not all of it, and on the bare machine a grant counts for nothing.
        let more = row(under(&["--json"], &format!("{text} https://other.example/")).code(10));
        assert_eq!((&more["answer"], &more["granted"]), (&json!("ask"), &json!([])));
        let bare = row(check(&["--json"], &text).code(10));
        assert_eq!((&bare["answer"], &bare["granted"]), (&json!("ask"), &json!([])), "there the built-in policy asks nothing in a jar");
        let lines = format!("{}\n{}\n", json!({"cmd": text, "id": 1}), json!({"cmd": text, "id": 2, "look": false}));
        let batch = world.belljar(["check", "--profile", profile.to_str().unwrap(), "--jsonl", "-"]).stdin(lines).run();
        let told: Vec<Value> = batch.success().stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&told[0]["answer"], &told[0]["granted"], &told[1]["answer"]), (&json!("allow"), &expected, &json!("ask")));
        // As `run` has it: a profile under which nobody can be asked denies, one that expired answers nothing, and a file that
        // others may write is an error.
        let alone = world.home().join("alone.toml");
        world.file(&alone, format!("{ASKS}[run]\nunattended = true\n"));
        assert_eq!(row(world.belljar(["check", "--profile", alone.to_str().unwrap(), "--json", "--", &text]).run().code(20))["granted"], json!([]));
        let path = world.state().join("belljar/grants.json");
        world.mode(&path, 0o666);
        under(&[], &text).code(125).stderr_has("others may write it");
        world.mode(&path, 0o600);
        backdate(world, 31);
        under(&[], &text).code(10);
        curl(world, URL).code(126);
        assert_nothing_left(world);
    }

    /// On the bare machine `check` says what a grant answers in a jar, and exits as for that machine.
    fn check_of_the_bare_machine_tells_of_the_jar(world) {
        let rules = world.workspace().join(".belljar/policies/asks.cedar");
        world.file(&rules, "@id(\"c\")\nforbid (principal, action == Action::\"connect\", resource) when { !context.approved };\n");
        let text = format!("curl -sS {URL}");
        world.belljar(["grants", "add", "connect registry.example.org:443", "--yes"]).run().success();
        let check = world.belljar(["check", "--", &text]).run();
        check.code(10).stdout_has("granted in a jar nobody is asked:");
        let row = world.belljar(["check", "--json", "--", &text]).run().json()["checked"][0].clone();
        assert_eq!((&row["answer"], row["granted"].as_array().unwrap().len()), (&json!("ask"), 1));
        world.belljar(["check", "--contained", "--", &text]).run().code(0).stdout_has("granted nobody is asked:");
        assert_nothing_left(world);
    }

    /// What is granted for a jar is granted for no other, and an open jar uses it as any command does.
    fn a_jar_has_grants_of_its_own(world) {
        let args = ["--jar", "one", "--apply", "never", "--", "curl", "-sS", "--max-time", "5", URL];
        let mut pty = asking(world, &args).on_terminal();
        answer(&mut pty, "Run it under glass?", "j");
        pty.expect("Not asked again in this jar");
        answer(&mut pty, "Grant that, and run it?", "y");
        pty.wait();
        assert_eq!(grants(world)[0]["scope"]["type"], "jar");
        curl(world, URL).code(126);
        let open = |jar: &str| {
            let line = format!("{}\n", json!({"argv": ["curl", "-sS", "--max-time", "5", URL]}));
            let run = asking(world, &["--jar", jar, "--apply", "never", "--jsonl", "-"]).stdin(line).run();
            serde_json::from_str::<Value>(run.stdout.lines().next().unwrap()).unwrap()
        };
        assert_eq!(open("one")["exit"]["value"], 6);
        assert_eq!(open("two")["error"]["kind"], "refused");
        let id = grants(world)[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(open("one")["approved_by"], format!("grant {id}"));
        assert_eq!(approvals(world), ["person".to_owned(), format!("grant {id}"), format!("grant {id}")]);
        world.belljar(["discard", "one", "--yes"]).run().success();
        assert_eq!(open("one")["error"]["kind"], "refused", "another jar of the same name");
        for jar in ["one", "two"] {
            world.belljar(["discard", jar, "--yes"]).run().success();
        }
        assert_nothing_left(world);
    }

    /// Text that deceives is asked about whatever was granted; what a rule forbids stays forbidden.
    fn no_grant_reaches_deception_or_a_denial(world) {
        world.belljar(["grants", "add", "connect registry.example.org:443", "--scope", "always", "--yes"]).run().success();
        world.belljar(["grants", "add", "execute curl", "--scope", "always", "--yes"]).run().success();
        assert!(ran(&curl(world, URL)));
        curl(world, "https://registry.example.org/\u{202e}x").code(126);
        let mut pty = asked(world, &["--", "curl", "-sS", "https://registry.example.org/\u{202e}x"]);
        pty.expect("y = yes, d = details, any other key = no]");
        std::thread::sleep(Duration::from_millis(300));
        pty.send("d");
        pty.expect("asked every time");
        answer(&mut pty, "Run it under glass?", "a");
        assert_eq!(pty.wait().code(), Some(126), "{}", pty.screen());
        assert!(pty.screen().contains("\\u{202e}") && !pty.screen().contains('\u{202e}'), "{}", pty.screen());

        // The same effect, where something says that it is not all there is to it.
        let turned = |script: &str| asking(world, &["--apply", "discard", "--", "sh", "-c", script]).run().status.code();
        assert_eq!(turned(&format!("curl -sS {URL}")), Some(6));
        for script in [format!("https_proxy=http://other.example curl -sS {URL}"), format!("PATH=.:$PATH curl -sS {URL}"), format!("curl -sS -K settings {URL}")] {
            assert_eq!(turned(&script), Some(126), "{script}");
        }
        world.file(".belljar/policies/no.cedar", "@id(\"no\")\nforbid (principal, action == Action::\"connect\", resource);\n");
        curl(world, URL).code(126).stderr_has("denied by policy");
        std::fs::remove_file(world.workspace().join(".belljar/policies/no.cedar")).unwrap();
        let ci = world.home().join("ci.toml");
        world.file(&ci, "rules = '''\n@id(\"n\")\nforbid (principal, action == Action::\"connect\", resource) when { !context.approved };\n'''\n[run]\nunattended = true\n");
        let run = world.belljar(["run", "--apply", "discard", "--profile", ci.to_str().unwrap(), "--", "curl", "-sS", URL]).run();
        run.code(126).stderr_has("denied by policy");
        assert_nothing_left(world);
    }

    fn only_what_can_be_named_is_granted_by_hand(world) {
        world.dir("target").dir("src").file(world.home().join(".ssh/id"), "k");
        std::os::unix::fs::symlink(world.home().join(".ssh"), world.workspace().join("link")).unwrap();
        for (effect, why) in [
            ("write .git/hooks/", "other programs run or trust"),
            ("write ~/.bashrc", "other programs run or trust"),
            ("read link/id", "it holds secrets"),
            ("write ~/", "everything"),
            ("write /", "everything"),
            ("connect *.example.org:443", "is not known"),
            ("connect example.org", "HOST:PORT"),
            ("signal 1", "no verb"),
            ("write", "no effect"),
            ("execute /usr/bin/make", "leave its directory out"),
            ("execute make all", "is not known"),
        ] {
            let refused = world.belljar(["grants", "add", effect, "--yes"]).run();
            refused.code(2).stderr_has(why);
        }
        for days in ["0", "-1", "x", "400d", "99999999999"] {
            world.belljar(["grants", "add", "write target/", "--yes", &format!("--expires={days}")]).run().code(2);
        }
        world.belljar(["grants", "add", "write target/"]).run().code(126).stderr_has("--yes");
        world.belljar(["grants", "add", "write target/", "--yes", "--expires", "3"]).run().success().stdout_has("and all below it");
        let grant = &grants(world)[0];
        assert_eq!(grant["effects"][0]["target"], json!({"type": "path", "path": world.workspace().join("target"), "scope": "tree"}));
        let programs = world.home().join("programs.toml");
        world.file(&programs, "rules = '''\n@id(\"x\")\nforbid (principal, action == Action::\"execute\", resource) when { !context.approved };\n'''\n");
        world.script("tools/run.sh", "#!/bin/sh\n").script("run.sh", "#!/bin/sh\n");
        let execute = |program: &str| world.belljar(["run", "--apply", "discard", "--profile", programs.to_str().unwrap(), "--", program]).run().status.code();
        assert_eq!((execute("tools/run.sh"), execute("./run.sh")), (Some(126), Some(126)));
        world.belljar(["grants", "add", "execute tools/", "--yes"]).run().success();
        assert_eq!((execute("./tools/run.sh"), execute("./run.sh")), (Some(0), Some(126)));
        // A rule that asks about every write: what lies below is covered, what is beside, protected or behind a link is not.
        let rules = world.home().join("writes.toml");
        world.file(&rules, "rules = '''\n@id(\"w\")\nforbid (principal, action == Action::\"write\", resource is Path) when { !context.approved };\n'''\n");
        std::os::unix::fs::symlink(world.workspace().join("src"), world.workspace().join("target/out")).unwrap();
        let write = |path: &str| world.belljar(["run", "--apply", "discard", "--profile", rules.to_str().unwrap(), "--", "sh", "-c"]).args([format!("echo x > {path}")]).run().status.code();
        assert_eq!(write("target/a"), Some(0));
        assert_eq!(write("./target/./../target/c"), Some(0));
        for path in ["src/a", "target/../src/a", "target/out/a", "target/.env", "targets/a", "Target/a", "target/.git/hooks/pre-commit", "target/*"] {
            assert_eq!(write(path), Some(126), "{path}");
        }
        assert_nothing_left(world);
    }

    /// Type-ahead, the output of the command that asks, other keys and the end of input say no.
    fn nothing_but_a_key_pressed_at_the_question_says_yes(world) {
        let refuse = |pty: &mut Pty| {
            assert_eq!(pty.wait().code(), Some(126), "{}", pty.screen());
            assert!(pty.screen().contains("not approved"), "{}", pty.screen());
        };
        for key in ["n", "\r", "q", " ", "x", "\x1b", "\x1b[A", "\x03", "\x04", "ÿ", "j", "é"] {
            let mut pty = asked(world, &["--", "curl", "-sS", URL]);
            answer(&mut pty, "Run it under glass?", key);
            refuse(&mut pty);
        }
        // Typed before the question stood there: it is not even seen.
        let mut pty = world.command("sh").args(["-c", "stty -echo; echo ready; sleep 1; exec \"$@\"", "sh"])
            .args([world.exe().to_str().unwrap(), "run", "--profile", world.home().join("asks.toml").to_str().unwrap(), "--", "curl", URL]).on_terminal();
        pty.expect("ready").send("yyyyypyayjy");
        answer(&mut pty, "Run it under glass?", "n");
        refuse(&mut pty);
        // A grant that is begun and not confirmed.
        let mut pty = asked(world, &["--", "curl", "-sS", URL]);
        answer(&mut pty, "Run it under glass?", "a");
        answer(&mut pty, "Grant that, and run it?", "n");
        refuse(&mut pty);
        assert_eq!(grants(world), Vec::<Value>::new());
        assert_eq!(approvals(world), Vec::<String>::new());
        // In the jar, a command that writes `y` to its terminal, or pushes it into the input, answers nothing.
        let pushes = "import fcntl, termios, sys\nprint('y')\nfor c in b'aaaay':\n  try: fcntl.ioctl(0, termios.TIOCSTI, bytes([c]))\n  except OSError as error: print('no push')\nopen('made', 'w')";
        let mut pty = world.belljar(["run", "--", "/usr/bin/python3", "-c", pushes]).on_terminal();
        pty.expect("no push");
        answer(&mut pty, "Make it real?", "d");
        pty.expect("discarded:");
        pty.wait();
        assert!(!world.has("made"));
        assert_nothing_left(world);
    }

    /// However much there is to say: one screen, what is cut is told, and `d` shows it.
    fn the_question_fits_on_a_screen_and_has_details(world) {
        let urls: Vec<String> = (0..40).map(|n| format!("https://h{n}.example/")).collect();
        let long = "x".repeat(3000);
        let args: Vec<&str> = ["--", "curl", "-H", &long].into_iter().chain(urls.iter().map(String::as_str)).collect();
        let mut pty = asked(world, &args);
        pty.expect("more characters: d").expect("of them HIGH").expect("Run it under glass?").expect("]");
        let lines = pty.screen().lines().count();
        assert!(lines <= 20, "{lines} lines: {}", pty.screen());
        std::thread::sleep(Duration::from_millis(300));
        pty.send("d");
        pty.expect("h39.example:443: what is sent cannot be taken back");
        answer(&mut pty, "Run it under glass?", "n");
        assert_eq!(pty.wait().code(), Some(126));
        assert_nothing_left(world);
    }

    /// Its own state is out of a jar's reach, and a file that others may have written grants nothing.
    fn no_jar_reaches_the_grants(world) {
        world.belljar(["grants", "add", "connect registry.example.org:443", "--yes"]).run().success();
        let path = world.state().join("belljar/grants.json");
        let before = std::fs::read(&path).unwrap();
        let tries = format!("cat {0}; echo '{{}}' > {0}; rm -rf {1}; mkdir -p {1}; echo x > {0}; ls {1}; true", path.display(), world.state().join("belljar").display());
        let run = world.belljar(["run", "--apply", "always", "--", "sh", "-c", &tries]).run();
        assert!(!run.stdout.contains("registry.example.org"), "{}", run.report());
        let _ = world.belljar(["discard", "--all", "--yes"]).run();
        assert_eq!(std::fs::read(&path).unwrap(), before);
        let inside = world.belljar(["run", "--apply", "discard", "--"]).args([world.exe().to_str().unwrap(), "grants", "add", "execute x", "--yes"]).run();
        assert_eq!(grants(world).len(), 1, "{}", inside.report());
        world.mode(&path, 0o666);
        curl(world, URL).code(125).stderr_has("others may write it").stderr_has("hint:");
        world.mode(&path, 0o600);
        assert!(ran(&curl(world, URL)));
        assert_nothing_left(world);
    }

    fn the_documents_are_those_of_the_schema(world) {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let fields = |name: &str| {
            let properties = schema["$defs"][name]["properties"].as_object().unwrap();
            properties.keys().cloned().collect::<std::collections::BTreeSet<_>>()
        };
        let made = world.belljar(["grants", "add", "execute make", "--yes", "--json"]).run().json();
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(keys(&made), fields("grants"));
        assert_eq!(keys(&made["grants"][0]), fields("grant"));
        let gone = world.belljar(["grants", "revoke", "--all", "--json"]).run().json();
        assert_eq!((gone["schema"].as_str(), keys(&gone)), (Some("belljar.grants-revoked/1"), fields("grants")));
    }
}
