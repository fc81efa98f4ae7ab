//! `run --learn`: the profile it writes lets the command do what it did, and nothing it did not.

use crate::support::{assert_nothing_left, both};
use testkit::{Run, World};

/// A tool that keeps a cache in the home, makes a lock file there that is gone when it ends, and writes the project.
const TOOL: &str = "mkdir -p ~/.cache/tool/deep && echo x > ~/.cache/tool/deep/a && \
    touch ~/.config/tool/lock && rm ~/.config/tool/lock && echo y > out.txt";

fn learn<'w>(world: &'w World, options: &[&str], script: &str) -> Run<'w> {
    let shell = ["--", "sh", "-c", script];
    let args = ["run", "--apply", "discard"].iter().chain(options).chain(&shell);
    world.belljar(args.copied().collect::<Vec<_>>())
}

fn profile(world: &World) -> String {
    world.read("learned.toml").expect("a profile was written")
}

both! {
    fn it_allows_what_was_done_and_no_more(world) {
        world.dir(world.home().join(".cache")).dir(world.home().join(".config/tool")).dir(world.home().join("other"));
        let run = learn(world, &["--learn"], TOOL).run();
        run.success().stderr_has("learned: learned.toml");
        let text = profile(world);
        assert!(text.contains("home = \"read-only\""), "{text}");
        assert!(text.contains("write = [\n  \"~/.cache\",\n  \"~/.config/tool\",\n]"), "{text}");
        assert!(!text.contains("workspace ="), "{text}");
        world.belljar(["policy", "check", "learned.toml"]).run().success().stdout_has("ok ");

        let with = |script: &str| learn(world, &["--profile", "learned.toml"], script).run();
        with(TOOL).success();
        with("echo x > ~/other/x").code(2).stderr_has("Read-only file system");
        with("echo x > ~/.bashrc").code(2);
        assert_nothing_left(world);
    }

    fn what_wrote_nothing_needs_nothing(world) {
        learn(world, &["--learn"], "cat /etc/hosts >/dev/null; ls").run().success();
        let text = profile(world);
        assert!(text.contains("home = \"read-only\"") && text.contains("workspace = \"read-only\""), "{text}");
        let again = learn(world, &["--profile", "learned.toml"], "ls; touch x").run();
        again.code(1).stderr_has("Read-only file system");
        assert_nothing_left(world);
    }

    fn what_was_refused_stays_refused_until_a_person_says_otherwise(world) {
        world.file(world.home().join(".ssh/id"), "key");
        let script = "cat ~/.ssh/id; python3 -c 'import socket; socket.create_connection((\"192.0.2.7\", 443), 1)'; true";
        learn(world, &["--learn=mine.toml"], script).run().success();
        let text = world.read("mine.toml").unwrap();
        assert!(text.contains("  # \"192.0.2.7:443\",  # refused: network/none\n"), "{text}");
        assert!(text.contains("  # \"~/.ssh\",  # refused: secrets/ssh\n") || text.contains("  # \"~/.ssh/id\",  # refused: secrets/ssh\n"), "{text}");
        let again = learn(world, &["--profile", "mine.toml", "--json"], "cat ~/.ssh/id").run();
        assert!(!again.stderr.contains("key\n"), "{}", again.report());
        let opened = text.replace("  # \"~/.ssh", "  \"~/.ssh");
        world.file("open.toml", opened);
        learn(world, &["--profile", "open.toml"], "cat ~/.ssh/id").run().success().stdout_is("key");
        assert_nothing_left(world);
    }

    fn limits_are_near_what_was_measured_and_never_wider(world) {
        let options = ["--learn", "--limit", "mem=512M,time=30s,files=50"];
        let script = "python3 -c 'x = bytearray(200 << 20); import time; time.sleep(0.4)'; for i in 1 2 3; do echo > f$i; done";
        learn(world, &options, script).run().success();
        let text = profile(world);
        assert!(text.contains("mem = \"512M\"  # 2"), "some 200 MiB were measured: {text}");
        assert!(text.contains("time = \"30s\"  # ") && text.contains("files = 50  # 3 measured"), "{text}");
        assert!(text.contains("pids = 64  # ") && text.contains("disk = \"64M\"  # "), "{text}");
        assert_nothing_left(world);
    }

    fn it_overwrites_only_when_told(world) {
        world.file("learned.toml", "mine");
        let run = learn(world, &["--learn"], "touch ran").run();
        run.code(2).stderr_has("--learn would overwrite learned.toml; nothing has run").stderr_has("--overwrite");
        assert_eq!(world.read("learned.toml").as_deref(), Some("mine"));
        learn(world, &["--learn", "--overwrite"], "true").run().success();
        assert!(profile(world).contains("says = \"What"));
        learn(world, &["--learn=/absent/x.toml"], "true").run().code(125).stderr_has("nothing has run");
        assert_nothing_left(world);
    }

    fn values_of_variables_and_options_are_told_apart(world) {
        world.file("p.toml", "rules = '''\n@id(\"no\")\nforbid (principal, action == Action::\"execute\", resource is Program)\n\
            when { resource.name == \"deploy\" };\n'''\n[environment]\nset = { MODE = \"safe\" }\n[files]\nhide = [\"private\"]\n");
        let options = ["--profile", "./p.toml", "--learn", "--env", "SECRET=hunter2", "--env", "AWS_PROFILE"];
        learn(world, &options, "echo $MODE $SECRET").run().success().stdout_is("safe hunter2\n");
        let text = profile(world);
        assert!(!text.contains("hunter2") && text.contains("MODE = \"safe\"") && text.contains("not written down: SECRET"), "{text}");
        assert!(text.contains("pass = [\"AWS_PROFILE\"]") && text.contains("hide = [\"~/project/private\"]"), "{text}");
        let denied = world.belljar(["run", "--profile", "learned.toml", "--", "deploy"]).run();
        denied.code(126).stderr_has("learned.toml:no");
        assert_nothing_left(world);
    }

    fn the_same_run_twice_gives_the_same_profile_but_for_figures(world) {
        let lines = |world: &World| -> Vec<String> {
            learn(world, &["--learn", "--overwrite"], TOOL).run().success();
            profile(world).lines().map(|line| line.split("  # ").next().unwrap_or_default().to_owned()).collect()
        };
        world.dir(world.home().join(".cache")).dir(world.home().join(".config/tool"));
        assert_eq!(lines(world), lines(world));
        assert_nothing_left(world);
    }
}
