//! `go.sum` and `go.mod` (<https://go.dev/ref/mod>).

use super::npm::leaves;
use super::{Lock, Place, Read};

pub(super) fn sum(text: &str) -> Read<Lock> {
    let mut lock = Lock::default();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [module, version, hash] = words.as_slice() else { return Err(format!("line {}", at + 1)) };
        // The module, and its `go.mod` alone: each has a sum.
        let (version, part) = version.split_once('/').unwrap_or((version, ""));
        let (algorithm, value) = hash.split_once(':').ok_or_else(|| format!("line {}", at + 1))?;
        lock.entry(module, version).sum_of(&format!("{algorithm}/{part}"), value);
    }
    Ok(lock)
}

pub(super) fn module(text: &str) -> Read<Lock> {
    let mut lock = Lock::default();
    let mut block: Option<&str> = None;
    for (at, line) in text.lines().enumerate() {
        let line = line.split("//").next().unwrap_or_default().trim();
        let odd = || format!("line {}", at + 1);
        if line.is_empty() {
            continue;
        }
        if line == ")" {
            block.take().ok_or_else(odd)?;
            continue;
        }
        let (verb, rest) = match block {
            Some(verb) => (verb, line),
            None => line.split_once(char::is_whitespace).ok_or_else(odd)?,
        };
        if block.is_none() && rest.trim() == "(" {
            block = Some(verb);
            continue;
        }
        let words: Vec<&str> = rest.split_ascii_whitespace().map(|word| word.trim_matches(['"', '`'])).collect();
        match (verb, words.as_slice()) {
            ("require", [module, version]) => drop(lock.entry(module, version)),
            ("tool", [module]) => drop(lock.entry(module, "tool")),
            ("toolchain" | "go", [version]) => drop(lock.entry(verb, version)),
            ("replace", [from, .., "=>", to]) => {
                let entry = lock.entry(from, "replaced by a directory");
                if leaves(to) {
                    entry.place(Place::File((*to).to_owned()));
                }
            }
            ("replace", [from, .., "=>", to, version]) => {
                lock.entry(from, "replaced").place(Place::Address(format!("{to} {version}")));
            }
            ("module" | "exclude" | "retract" | "godebug" | "ignore", _) => {}
            _ => return Err(odd()),
        }
    }
    if block.is_some() { Err("a block without its end".to_owned()) } else { Ok(lock) }
}
