//! Words the scenarios share.

use serde_json::Value;
use std::time::Duration;
use testkit::{Pty, World};

/// The built program.
pub const EXE: &str = env!("CARGO_BIN_EXE_belljar");

/// Defines each scenario twice: `name::as_root` and `name::as_user`.
macro_rules! both {
    ($($(#[$doc:meta])* fn $name:ident($world:ident) $body:block)*) => { $(
        $(#[$doc])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn scenario($world: &mut testkit::World) $body

            #[test]
            fn as_root() {
                scenario(&mut testkit::World::root($crate::support::EXE));
            }

            #[test]
            fn as_user() {
                scenario(&mut testkit::World::user($crate::support::EXE));
            }
        }
    )* };
}
pub(crate) use both;

/// `belljar run --apply MODE -- sh -c SCRIPT`.
pub fn sh<'w>(world: &'w World, mode: &str, script: &str) -> testkit::Run<'w> {
    world.belljar(["run", "--apply", mode, "--", "sh", "-c", script])
}

/// The id of the only trial there is.
#[track_caller]
pub fn only_trial(world: &World) -> String {
    let trials = world.trials();
    assert_eq!(trials.len(), 1, "{trials:#?}");
    trials[0]["id"].as_str().expect("a trial has an id").to_owned()
}

/// Changes a field of a trial's record on the disk, as if it had been written at another time.
pub fn backdate(world: &World, id: &str, field: &str, days: u64) {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    let path = world.state().join("belljar/trials").join(id).join("trial.json");
    let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let then = record[field].as_u64().unwrap() - days * DAY_MS - 1;
    record[field] = then.into();
    std::fs::write(&path, record.to_string()).unwrap();
}

/// Asserts that no trial waits and no process, mount or directory is left. What an applied trial keeps is what `undo`
/// will need: its record says so.
#[track_caller]
pub fn assert_nothing_left(world: &World) {
    assert_eq!(world.trials(), Vec::<Value>::new());
    let all = world.belljar(["trials", "--all", "--json"]).run().json();
    let known: Vec<&str> = all["trials"].as_array().unwrap().iter().filter_map(|trial| trial["id"].as_str()).collect();
    let store = world.state().join("belljar/trials");
    let names = std::fs::read_dir(&store).map(|dir| dir.flatten().map(|item| item.file_name()).collect::<Vec<_>>());
    for name in names.unwrap_or_default() {
        assert!(known.iter().any(|id| name == *id), "{name:?} is no trial");
    }
    let left = world.leftovers();
    assert!(left.is_empty(), "{left:#?}");
}

/// Waits for `question` with its keys and presses one. Keys pressed before it listens are dropped on purpose, and when it
/// begins to listen does not show on the screen: hence the moment.
pub(crate) fn answer(pty: &mut Pty, question: &str, key: &str) {
    pty.expect(question).expect("]");
    std::thread::sleep(Duration::from_millis(300));
    pty.send(key);
}
