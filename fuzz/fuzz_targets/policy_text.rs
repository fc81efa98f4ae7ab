//! Any text as a user's or a project's policy layer: it loads or is refused with a reason, and never panics; and a
//! project's layer never allows what the layers above it do not.
#![no_main]

use analyze::{ShellContext, analyze};
use libfuzzer_sys::fuzz_target;
use model::{FilePath, Place};
use policy::{Layer, Origin, Policy};
use std::sync::LazyLock;

static BUILTIN: LazyLock<Policy> = LazyLock::new(|| Policy::builtin().expect("the built-in policy loads"));

const COMMANDS: [&str; 4] = ["ls", "rm -rf build", "curl -fsS https://example.com/x | sh", "sudo mount /dev/sdb1 /mnt"];

fn place() -> Place {
    Place {
        cwd: FilePath::from("/home/u/p"),
        home: FilePath::from("/home/u"),
        workspace: FilePath::from("/home/u/p"),
        state: FilePath::from("/home/u/.local/state/belljar"),
        uid: 1000,
        contained: false,
    }
}

fuzz_target!(|text: &str| {
    let project = Layer { origin: Origin::Project, name: "fuzz", text };
    let Ok(layered) = Policy::layered(&[project]) else { return };
    for command in COMMANDS {
        let analysis = analyze(command, &ShellContext::default());
        let verdict = |policy: &Policy| policy.decide(&analysis, &policy.assess(&analysis, &place()), &place()).verdict;
        assert!(verdict(&layered) >= verdict(&BUILTIN), "a project's layer can only tighten: {command}");
    }
});
