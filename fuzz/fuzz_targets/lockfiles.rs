//! Any bytes under any name that a reader knows: no panic, nothing raw in what is told, and never silence about a lock file
//! that is not understood. The input is a number for the name, the text before, a zero byte, the text after.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::FilePath;
use policy::content::notes_of;

#[path = "../../crates/policy/tests/lockfiles/names.rs"]
mod names;

use names::NAMES;

const LOCKS: usize = 13;

fuzz_target!(|input: &[u8]| {
    let Some((number, rest)) = input.split_first() else { return };
    let index = usize::from(*number) % NAMES.len();
    let path = FilePath::new(format!("/w/{}", NAMES[index]));
    let (before, after) = match rest.iter().position(|byte| *byte == 0) {
        Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
        None => (None, rest),
    };
    let notes = notes_of(&path, before, after);
    let printable = |text: &str| !text.chars().any(model::escape::is_deceptive);
    for note in &notes {
        assert!(printable(&note.says), "{note:?}");
        assert!(note.items.iter().all(|item| printable(&item.name) && printable(&item.says)), "{note:?}");
    }
    if index < LOCKS && std::str::from_utf8(after).is_err() {
        assert!(notes.iter().any(|note| note.rule == "lockfile/not-understood"), "{notes:?}");
    }
});
