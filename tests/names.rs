//! Secrets that only a name tells: those of other projects are not seen, and everything else is.

use crate::support::{assert_nothing_left, both};
use crate::withheld::withheld;
use testkit::{Output, World};

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n";

/// In the home, beside the workspace.
const SECRETS: [&str; 10] = [
    "other/.env",
    "other/web/deep/.env.local",
    "other/id_rsa",
    "other/terraform.tfstate",
    "other/.netrc",
    "other/server.pem",
    "other/app.jks",
    "other/.ENV",
    "backup/.ssh/work",
    "logs/.bash_history",
];

/// What looks like one, or lies near, and is needed.
const NEEDED: [&str; 12] = [
    "other/.env.example",
    "other/id_rsa.pub",
    "other/main.c",
    "other/node_modules/tls/test/server-key.pem",
    "venvs/a/lib/python3.12/site-packages/certifi/cacert.pem",
    ".cargo/registry/src/index-1/openssl-0.10.1/test/identity.p12",
    ".cargo/registry/src/index-1/openssl-0.10.1/test/key.pem",
    ".cache/pip/http-v2/a/b/c.pem",
    ".pyenv/versions/3.12.1/lib/python3.12/site-packages/pip/_vendor/certifi/cacert.pem",
    ".nvm/versions/node/v22.1.0/lib/node_modules/npm/.npmrc",
    "go/pkg/mod/example.org/x@v1/testdata/id_rsa",
    ".android/debug.keystore",
];

fn furnish(world: &World) {
    for path in SECRETS.iter().chain(&NEEDED) {
        world.file(world.home().join(path), format!("{KEY}{path}\n"));
    }
    world.file(world.home().join("certificates/ca.pem"), CERTIFICATE);
    world.file(".env", "own\n").file("deep/id_rsa", "own\n");
}

/// Prints what can be read of the home's files, a name a line.
fn script() -> String {
    let all = SECRETS.iter().chain(&NEEDED).chain(&["certificates/ca.pem"]);
    let read = all.map(|path| format!("cat ~/{path} >/dev/null 2>&1 && echo {path}; "));
    read.collect::<String>()
        + "cat .env deep/id_rsa; ls /etc/ssl/certs/*.pem >/dev/null && cat /etc/ssl/certs/*.pem | wc -l"
}

fn assert_only_what_is_needed(run: &Output) {
    run.success();
    let seen: Vec<&str> = run.stdout.lines().collect();
    for path in SECRETS {
        assert!(!seen.contains(&path), "{path} is seen{}", run.report());
    }
    for path in NEEDED.into_iter().chain(["certificates/ca.pem"]) {
        assert!(seen.contains(&path), "{path} is not seen{}", run.report());
    }
    assert_eq!(seen.iter().filter(|line| **line == "own").count(), 2, "{}", run.report());
    assert!(seen.last().unwrap().trim().parse::<u64>().unwrap() > 100, "{}", run.report());
}

both! {
    fn other_projects_keep_their_secrets_and_the_own_one_has_its(world) {
        furnish(world);
        for options in [&[][..], &["--backend", "kernel"], &["--profile", "untrusted-repo"], &["--jar", "j"]] {
            let apply = if options.contains(&"--jar") { "never" } else { "discard" };
            let words = [&["run", "--apply", apply], options, &["--", "sh", "-c"]].concat();
            let words: Vec<String> = words.into_iter().map(str::to_owned).chain([script()]).collect();
            assert_only_what_is_needed(&world.belljar(words).run());
        }
        let script = script();
        let bare = withheld("docker", world.belljar(["run", "--apply", "discard", "--", "sh", "-c", &script])).run();
        assert_only_what_is_needed(&bare);
        world.belljar(["discard", "j"]).run().success();
        assert_nothing_left(world);
    }

    fn who_is_refused_one_is_told_how_to_have_it(world) {
        furnish(world);
        let own = |path: &str| world.home().join(path).to_str().unwrap().to_owned();
        let (env, ssh) = (own("other/.env"), own("backup/.ssh"));
        let script = format!("cat {env}; cat {ssh}/work");
        let words = ["run", "--apply", "never", "--", "sh", "-c", &script];
        for run in [world.belljar(words).run(), withheld("docker", world.belljar(words)).run()] {
            run.code(1);
            run.stderr_has(&format!("BLOCKED tried to read {env}: refused [secrets/dotenv]  (--read {env})"));
            run.stderr_has(&format!("[secrets/ssh]  (--read {ssh})"));
        }
        let words = ["run", "--apply", "discard", "--read", &env, "--read", &ssh, "--", "sh", "-c", &script];
        for run in [world.belljar(words).run(), withheld("docker", world.belljar(words)).run()] {
            run.success().stdout_has("backup/.ssh/work");
        }
        assert_nothing_left(world);
    }

    /// Where the home itself is the workspace there is no project that could have secrets of its own.
    fn a_home_is_no_project(world) {
        furnish(world);
        let home = world.home();
        let run = world.belljar(["run", "--apply", "discard", "--", "sh", "-c", "cat other/.env other/main.c; true"]);
        let run = run.cwd(&home).run();
        assert!(!run.stdout.contains("other/.env") && run.stdout.contains("other/main.c"), "{}", run.report());
        assert_nothing_left(world);
    }

    fn work_on_another_project_is_as_it_is_bare_but_for_its_secrets(world) {
        furnish(world);
        let other = world.home().join("other");
        let git = "git init -q . && git add main.c .env.example && git -c user.name=a -c user.email=a@b commit -qm x && \
            mkdir -p a/b && mv a moved && cp -r web copied; git status --short; ls -A";
        let script = format!("cd {} && {git}", other.display());
        let run = world.belljar(["run", "--apply", "discard", "--", "bash", "-c", &script]).run();
        run.success().stdout_has("main.c");
        assert!(!run.stdout.lines().any(|line| line == ".env"), "{}", run.report());
        // What it makes there itself it can read; what the host has under that name stays.
        let script = format!("cd {} && echo mine > .env && cat .env", other.display());
        let run = world.belljar(["run", "--apply", "always", "--", "sh", "-c", &script]).run();
        run.stdout_has("mine");
        assert!(world.read(other.join(".env")).unwrap().contains("hush"), "{}", run.report());
        world.belljar(["discard"]).run().success();
        assert_nothing_left(world);
    }
}
