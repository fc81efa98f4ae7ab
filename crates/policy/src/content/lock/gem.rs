//! `Gemfile.lock`: sections that say from where, with their gems below `specs:`.

use super::{Lock, Place, Read};

pub(super) fn read(text: &str) -> Read<Lock> {
    let mut lock = Lock::default();
    let (mut section, mut remote, mut in_specs) = ("", String::new(), false);
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let odd = || format!("line {}", at + 1);
        let body = line.trim_start_matches(' ');
        match (line.len() - body.len(), section) {
            (0, _) => {
                let known = body.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b' ');
                (section, remote, in_specs) = (if known { body } else { return Err(odd()) }, String::new(), false);
            }
            (2, "GEM" | "GIT" | "PATH" | "PLUGIN SOURCE") => match body.split_once(':') {
                Some(("remote", place)) => remote = place.trim().to_owned(),
                Some(("specs", _)) => in_specs = true,
                Some(_) => {}
                None => return Err(odd()),
            },
            (4, "GEM" | "GIT" | "PATH" | "PLUGIN SOURCE") if in_specs => {
                let (name, version) = gem(body).ok_or_else(odd)?;
                let entry = lock.entry(name, version);
                match section {
                    "GEM" if !remote.is_empty() => entry.place(Place::registry(&remote)),
                    "GIT" => entry.place(Place::Repository(remote.clone())),
                    "PATH" if super::npm::leaves(&remote) => entry.place(Place::File(remote.clone())),
                    "PLUGIN SOURCE" => entry.place(Place::Address(remote.clone())),
                    _ => {}
                }
            }
            // What a gem needs.
            (6, "GEM" | "GIT" | "PATH" | "PLUGIN SOURCE") if in_specs => {}
            (2, "CHECKSUMS") => {
                let (name, rest) = body.split_once(" (").ok_or_else(odd)?;
                let (version, sums) = rest.split_once(')').ok_or_else(odd)?;
                let known = lock.packages.get_mut(&(name.to_owned(), version.to_owned()));
                if let Some(entry) = known {
                    sums.split([' ', ',']).for_each(|sum| entry.sum(sum));
                }
            }
            (_, "PLATFORMS" | "DEPENDENCIES" | "BUNDLED WITH" | "RUBY VERSION") => {}
            _ => return Err(odd()),
        }
    }
    Ok(lock)
}

/// `name (version)`
fn gem(text: &str) -> Option<(&str, &str)> {
    text.strip_suffix(')')?.split_once(" (")
}
