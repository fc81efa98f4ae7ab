//! Grants at the review: a place that was granted there is not asked about again, and nothing else is silenced by it.

use crate::support::{answer, assert_nothing_left, both};
use serde_json::{Value, json};
use testkit::{Pty, World};

/// A program that announces nothing: what it changes is MEDIUM where nothing makes it worse.
fn tool(world: &World, script: &str) {
    world.file("gen.sh", script);
}

fn run(world: &World, mode: &str) -> Value {
    world.belljar(["run", "--apply", mode, "--json", "--", "sh", "gen.sh"]).run().success().json()
}

fn on_terminal(world: &World) -> Pty {
    world.belljar(["run", "--", "sh", "gen.sh"]).on_terminal()
}

fn grants(world: &World) -> Vec<Value> {
    world.belljar(["grants", "--json"]).run().json()["grants"].as_array().unwrap().clone()
}

fn grant(world: &World, effect: &str, more: &[&str]) -> String {
    let made =
        world.belljar(["grants", "add", effect, "--changes", "--yes", "--json"]).args(more).run().success().json();
    made["grants"][0]["id"].as_str().unwrap().to_owned()
}

fn discard(world: &World) {
    let _ = world.belljar(["discard", "--all", "--yes"]).run();
}

const DOCS: &str = "mkdir -p docs/deep; echo $$ > docs/a.md; echo $$ > docs/deep/b.md\n";

both! {
    /// One answer at the review, with the directory; from then on nobody is asked about it, in this project.
    fn what_was_granted_at_the_review_is_not_asked_again(world) {
        tool(world, DOCS);
        let mut pty = on_terminal(world);
        answer(&mut pty, "Make it real?", "g");
        pty.expect("Not asked again for 30 days").expect("docs/a.md").expect("docs/deep/b.md");
        answer(&mut pty, "Grant that with your answer?", "d");
        pty.expect("docs and all below it");
        answer(&mut pty, "Grant that with your answer?", "p");
        answer(&mut pty, "Make it real, and not ask again?", "a");
        pty.expect("granted:");
        assert_eq!(pty.wait().code(), Some(0), "{}", pty.screen());
        assert!(world.has("docs/deep/b.md"));
        let all = grants(world);
        let docs = format!("write {} and all below it", world.workspace().join("docs").display());
        assert_eq!((all.len(), &all[0]["door"], &all[0]["words"]), (1, &json!("review"), &json!([docs])));
        assert_eq!(all[0]["scope"], json!({"type": "project", "path": world.workspace()}));
        assert!(all[0]["shown"].as_array().unwrap().iter().any(|line| line.as_str().unwrap().contains("docs/a.md")), "{all:#?}");
        let id = all[0]["id"].as_str().unwrap().to_owned();

        tool(world, "echo again > docs/a.md; echo new > docs/c.md\n");
        let mut pty = on_terminal(world);
        pty.expect(&format!("not asked, it was granted: {id}"));
        assert_eq!(pty.wait().code(), Some(0), "{}", pty.screen());
        assert!(!pty.screen().contains("Make it real?") && world.has("docs/c.md"), "{}", pty.screen());
        tool(world, "echo auto > docs/a.md\n");
        let report = run(world, "auto");
        assert_eq!((&report["settled"]["outcome"], &report["grants"]["used"]), (&json!("applied"), &json!([id])), "{report:#}");
        assert_eq!(report["grants"]["paths"], json!([world.workspace().join("docs/a.md")]));
        let log = world.belljar(["audit", "log", "--json"]).run().stdout;
        let settling: Vec<Value> = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(|row| row["stage"] == "settling").collect();
        let by: Vec<&str> = settling.iter().map(|row| row["by"].as_str().unwrap()).collect();
        assert_eq!(by, ["person".to_owned(), format!("grant {id}"), format!("grant {id}")]);
        assert_eq!(settling[2]["granted"], json!([world.workspace().join("docs/a.md")]));
        let receipt = world.belljar(["audit", "receipt", report["trial"].as_str().unwrap()]).run().success().json();
        assert_eq!((&receipt["predicate"]["chosen_by"], &receipt["predicate"]["grants"]["grants"]), (&json!("grant"), &json!([id])));
        world.belljar(["audit", "log"]).run().stdout_has(&format!("chosen by grant {id}")).stdout_has("granted changes");

        // More than that is asked about; of what is granted nothing waits for the rest where a mode decides.
        tool(world, "echo x > docs/d.md; echo x > other.txt; rm docs/c.md\n");
        assert_eq!(run(world, "auto")["grants"]["paths"], json!([world.workspace().join("docs/d.md")]));
        assert!(world.has("docs/d.md") && !world.has("other.txt") && world.has("docs/c.md"), "writing is not deleting");
        let mut pty = on_terminal(world);
        answer(&mut pty, "Make it real?", "d");
        pty.wait();
        // Nor in another project, nor once it is taken back.
        world.dir("../elsewhere").file(world.home().join("elsewhere/gen.sh"), DOCS);
        let there = world.belljar(["run", "--apply", "auto", "--json", "--", "sh", "gen.sh"]).cwd(world.home().join("elsewhere")).run().success().json();
        assert_eq!((&there["settled"]["outcome"], &there["grants"]["used"]), (&json!("left"), &json!([])), "{there:#}");
        world.belljar(["grants"]).run().stdout_has("changes become real: write");
        world.belljar(["grants", "revoke", &id]).run().success();
        tool(world, "echo revoked > docs/a.md\n");
        assert_eq!(run(world, "auto")["settled"]["outcome"], "left");
        world.belljar(["audit", "verify"]).run().success();
        discard(world);
        assert_nothing_left(world);
    }

    /// Whatever was granted, and by whatever scope: what is red or has more to tell than its place waits for a person.
    fn no_grant_answers_for_what_is_red(world) {
        world.dir("docs").file("docs/old.sh", "#!/bin/sh\n").mode("docs/old.sh", 0o755);
        grant(world, "write docs/", &["--scope", "always"]);
        grant(world, "delete docs/", &["--scope", "always"]);
        for (effect, why) in [
            ("write .github/workflows/", "other programs run or trust"),
            ("write ~/.bashrc", "other programs run or trust"),
            ("write ./", "everything"),
            ("write ~/", "everything"),
            ("execute make", "more than one plain file"),
            ("connect a.example:443", "more than one plain file"),
        ] {
            world.belljar(["grants", "add", effect, "--changes", "--yes"]).run().code(2).stderr_has(why);
        }
        let token = ["npm_", "Q3xW8eR1tY6uI0oP5aS2dF7gH4jK9lZcVbNm"].concat();
        let red = ["docs/CLAUDE.md", "docs/.github/workflows/ci.yml", "docs/Makefile", "docs/build.rs", "docs/package.json", "docs/secret.md",
            "docs/logo.png", "docs/tool", "docs/new.sh", "docs/link", "docs/setuid", "docs/.env"];
        tool(world, &format!("cd docs; mkdir -p .github/workflows; echo x > fine.md; echo x > CLAUDE.md; echo x > .github/workflows/ci.yml; \
            echo x > Makefile; echo x > build.rs; echo '{{\"scripts\":{{\"postinstall\":\"node x\"}}}}' > package.json; echo {token} > secret.md; \
            cp /bin/true logo.png; cp /bin/true tool; printf '#!/bin/sh\\n' > new.sh; chmod +x new.sh; ln -s /etc/passwd link; \
            cp /bin/true setuid; chmod u+s setuid; echo x > .env; echo '#!/bin/sh -e' > old.sh\n"));
        let report = run(world, "auto");
        assert_eq!(report["grants"]["paths"], json!([world.workspace().join("docs/fine.md")]), "{report:#}");
        assert!(world.has("docs/fine.md") && red.iter().all(|path| !world.has(path)), "{report:#}");
        assert_eq!(world.read("docs/old.sh").unwrap(), "#!/bin/sh\n");
        let mut pty = on_terminal(world);
        answer(&mut pty, "Make it real?", "d");
        pty.wait();
        discard(world);

        // A rule that keeps it for a person, and a profile under which nobody can be asked.
        tool(world, "echo rule > docs/fine.md\n");
        let kept = world.home().join("kept.toml");
        world.file(&kept, "rules = '''\n@id(\"k\")\nforbid (principal, action == Action::\"apply\", resource) when { !context.approved };\n'''\n");
        let alone = world.home().join("alone.toml");
        world.file(&alone, "[run]\nunattended = true\n");
        for profile in [&kept, &alone] {
            let report = world.belljar(["run", "--profile", profile.to_str().unwrap(), "--apply", "auto", "--json", "--", "sh", "gen.sh"]).run().success().json();
            assert_eq!((&report["settled"]["outcome"], &report["grants"]["used"]), (&json!("left"), &json!([])), "{report:#}");
        }
        assert_eq!(run(world, "auto")["settled"]["outcome"], "applied");
        discard(world);
        assert_nothing_left(world);
    }

    /// What was granted before a command runs says nothing about its changes, nor the other way round; what expired or lies
    /// in a file that others may write grants nothing, and that is told.
    fn each_door_has_grants_of_its_own(world) {
        world.dir("docs");
        world.belljar(["grants", "add", "write docs/", "--yes"]).run().success();
        tool(world, "echo x > docs/a.md\n");
        assert_eq!(run(world, "auto")["grants"]["used"], json!([]));
        let writes = world.home().join("writes.toml");
        world.file(&writes, "rules = '''\n@id(\"w\")\nforbid (principal, action == Action::\"write\", resource is Path) when { !context.approved };\n'''\n");
        let write = || world.belljar(["run", "--apply", "discard", "--profile", writes.to_str().unwrap(), "--", "sh", "-c", "echo x > docs/a"]).run().status.code();
        assert_eq!(write(), Some(0));
        world.belljar(["grants", "revoke", "--all"]).run().success();
        grant(world, "write docs/", &[]);
        assert_eq!(write(), Some(126));
        let path = world.state().join("belljar/grants.json");
        world.mode(&path, 0o666);
        let report = run(world, "auto");
        assert_eq!(report["settled"]["outcome"], "left");
        assert!(report["grants"]["unread"].as_str().unwrap().contains("others may write it"), "{report:#}");
        world.belljar(["run", "--apply", "auto", "--", "sh", "gen.sh"]).run().success().stderr_has("no grant counted:");
        world.mode(&path, 0o600);
        let mut all: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for field in ["made_ms", "expires_ms"] {
            all["grants"][0][field] = (all["grants"][0][field].as_u64().unwrap() - 31 * 86_400_000).into();
        }
        std::fs::write(&path, all.to_string()).unwrap();
        assert_eq!(run(world, "auto")["settled"]["outcome"], "left");
        discard(world);
        assert_nothing_left(world);
    }

    /// In a jar, and only there; an answer that decides later, or goes back, grants nothing.
    fn a_jar_has_grants_for_its_changes(world) {
        tool(world, DOCS);
        let jar = |name: &str, mode: &str| world.belljar(["run", "--jar", name, "--apply", mode, "--json", "--", "sh", "gen.sh"]).run().success().json();
        let terminal = || world.belljar(["run", "--jar", "one", "--apply", "ask", "--", "sh", "gen.sh"]).on_terminal();
        for last in ["\r", "x"] {
            let mut pty = terminal();
            answer(&mut pty, "Make it real?", "g");
            answer(&mut pty, "Grant that with your answer?", if last == "x" { "x" } else { "j" });
            answer(&mut pty, "Make it real", "\r");
            pty.wait();
            assert_eq!(grants(world), Vec::<Value>::new());
        }
        let mut pty = terminal();
        answer(&mut pty, "Make it real?", "g");
        answer(&mut pty, "Grant that with your answer?", "j");
        answer(&mut pty, "Make it real, and not ask again?", "a");
        pty.wait();
        assert_eq!(grants(world)[0]["scope"]["type"], "jar");
        assert_eq!(grants(world)[0]["expires_ms"], Value::Null);
        tool(world, "echo next > docs/a.md\n");
        assert_eq!(jar("two", "auto")["settled"]["outcome"], "left");
        assert_eq!(jar("one", "auto")["grants"]["paths"], json!([world.workspace().join("docs/a.md")]));
        tool(world, "echo last > docs/a.md\n");
        let lines = format!("{}\n", json!({"argv": ["sh", "gen.sh"]}));
        let open = world.belljar(["run", "--jar", "one", "--apply", "auto", "--jsonl", "-"]).stdin(lines).run();
        let last: Value = serde_json::from_str(open.stdout.lines().last().unwrap()).unwrap();
        assert_eq!((&last["settled"]["outcome"], last["grants"]["used"].as_array().unwrap().len()), (&json!("applied"), 1), "{last:#}");
        for jar in ["one", "two"] {
            world.belljar(["discard", jar, "--yes"]).run().success();
        }
        assert_nothing_left(world);
    }
}
