//! Everyday tools in a real repository, unmodified, and their work real after apply.

use crate::support::{assert_nothing_left, both, sh};
use testkit::World;

/// Runs `script` under glass, checks that the host stayed as it was, applies, and checks that nothing is left.
#[track_caller]
fn work(world: &World, script: &str) -> String {
    let before = world.snapshot();
    let run = sh(world, "never", script).run();
    run.success();
    world.assert_untouched(&before);
    if !world.trials().is_empty() {
        world.belljar(["apply", "--yes"]).run().success();
    }
    assert_nothing_left(world);
    run.stdout
}

fn bare(world: &World, script: &str) -> String {
    let run = world.command("sh").args(["-c", script]).run();
    run.success();
    run.stdout
}

both! {
    fn git_status_shows_no_phantoms_and_changes_nothing(world) {
        world.file("a.txt", "one\n").file("src/b.txt", "two\n").git_init();
        world.file("a.txt", "changed\n").file("new.txt", "new\n");
        let expected = bare(world, "git status --porcelain");
        assert_eq!(expected, " M a.txt\n?? new.txt\n");
        assert_eq!(work(world, "git status --porcelain"), expected);
        assert_eq!(work(world, "git log --format=%s && git diff --stat"), bare(world, "git log --format=%s && git diff --stat"));
    }

    fn a_commit_made_under_glass_is_a_commit(world) {
        world.file("a.txt", "one\n").git_init();
        work(world, "echo two >> a.txt && mkdir d && echo x > d/x && git add -A && git commit -qm second && git tag v1");
        assert_eq!(bare(world, "git log --format=%s; git status --porcelain; git tag"), "second\nstart\nv1\n");
        bare(world, "git fsck --strict");
        work(world, "git checkout -q -b side HEAD~1 && echo s > s.txt && git add . && git commit -qm side && git checkout -q main && git merge -q --no-edit side");
        assert_eq!(bare(world, "git status --porcelain; ls"), "a.txt\nd\ns.txt\n");
        bare(world, "git fsck --strict");
    }

    fn make_builds_and_rebuilds_only_what_is_old(world) {
        world.file("main.c", "#include <stdio.h>\nint answer(void);\nint main(void){printf(\"%d\\n\",answer());return 0;}\n");
        world.file("answer.c", "int answer(void){return 42;}\n");
        world.file("Makefile", "prog: main.o answer.o\n\tcc -o $@ $^\n%.o: %.c\n\tcc -c -o $@ $<\n").git_init();
        work(world, "make && ./prog");
        assert_eq!(bare(world, "./prog && make -q && echo up to date"), "42\nup to date\n");
        world.file("answer.c", "int answer(void){return 43;}\n");
        let made = work(world, "make");
        assert!(made.contains("answer.c") && !made.contains("main.c"), "{made}");
        assert_eq!(bare(world, "./prog"), "43\n");
    }

    fn cargo_builds_and_tests_offline(world) {
        world.with_rust();
        world.file("Cargo.toml", "[package]\nname = \"demo\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
        world.file("src/main.rs", "fn main() { println!(\"built\"); }\n#[test]\nfn works() { assert_eq!(2 + 2, 4); }\n");
        world.file(".gitignore", "/target\n").git_init();
        work(world, "cargo build --offline -q && cargo test --offline -q");
        assert_eq!(bare(world, "./target/debug/demo"), "built\n");
        // Times survived apply: cargo has nothing to do.
        let again = world.command("cargo").args(["build", "--offline", "-v"]).run();
        again.success().stderr_has("Fresh demo");
    }

    fn npm_installs_a_local_package_with_its_script(world) {
        world.file("package.json", r#"{"name":"app","version":"1.0.0","dependencies":{"left":"file:left"}}"#);
        world.file("left/package.json", r#"{"name":"left","version":"1.0.0","main":"index.js","scripts":{"install":"node -e \"require('fs').writeFileSync('built','yes')\""}}"#);
        world.file("left/index.js", "module.exports = s => s.padStart(8)\n");
        world.file("use.js", "console.log(require('left')('x'))\n").git_init();
        work(world, "npm install --no-audit --no-fund --install-links=true --offline");
        assert_eq!(bare(world, "node use.js; cat node_modules/left/built"), "       x\nyes");
    }

    fn a_virtual_environment_runs_tests(world) {
        world.file("calc.py", "def add(a, b):\n    return a + b\n");
        world.file("test_calc.py", "import unittest, calc\nclass T(unittest.TestCase):\n    def test_add(self):\n        self.assertEqual(calc.add(1, 2), 3)\n");
        world.git_init();
        work(world, "/usr/bin/python3 -m venv .venv && .venv/bin/python -m unittest -q && .venv/bin/pip --version");
        bare(world, ".venv/bin/python -m unittest -q");
    }

    fn archives_copies_and_removals_keep_everything(world) {
        world.file("d/one", "1\n").script("d/run", "#!/bin/sh\necho ran\n").mode("d/one", 0o640).git_init();
        bare(world, "ln -s one d/link && ln d/one d/hard && touch -d '2001-02-03 04:05:06' d/one");
        work(world, "tar cf d.tar d && mkdir out && tar xf d.tar -C out && cp -a d copy && rm -r d d.tar && mv copy d2");
        let of = |dir: &str| bare(world, &format!("cd {dir} && stat -c '%n %a %Y %F %s' one run link && readlink link && ./run"));
        assert_eq!(of("d2"), of("out/d"));
        assert!(of("d2").starts_with("one 640 981173106 regular file 2\n"), "{}", of("d2"));
        assert!(!world.has("d") && !world.has("d.tar"));
    }
}
