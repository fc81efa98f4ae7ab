//! `pnpm-lock.yaml`, versions 5 to 9 (<https://github.com/pnpm/spec/tree/master/lockfile>).

use super::npm::{leaves, of_package};
use super::yarn::after_scope;
use super::{Entry, Lock, Place, Read};
use crate::content::indented::{Line, Style, bare, lines, pairs};

pub(super) fn read(text: &str) -> Read<Lock> {
    let lines = lines(text, Style::Yaml)?;
    let mut lock = Lock::default();
    let (mut section, mut version) = ("", None);
    let (mut package, mut field): (Option<(String, String)>, &str) = (None, "");
    for line in &lines {
        match (line.indent, section) {
            (0, _) if line.key.is_empty() => return Err(odd(line)),
            (0, _) => {
                if line.key == "lockfileVersion" {
                    version = Some(bare(line.value));
                }
                if line.key == "packages" && (section == "packages" || !matches!(line.value, "" | "{}")) {
                    return Err(odd(line));
                }
                (section, package) = (line.key, None);
            }
            (2, "packages") => {
                let (name, version) = named(line.key);
                if line.key.is_empty() || !line.value.is_empty() {
                    return Err(odd(line));
                }
                lock.entry(&name, &version);
                (package, field) = (Some((name, version)), "");
            }
            (4, "packages") => {
                let (name, version) = package.as_ref().ok_or_else(|| odd(line))?;
                field = line.key;
                take(lock.entry(name, version), name, line)?;
            }
            (6, "packages") if field == "resolution" => {
                let (name, version) = package.as_ref().ok_or_else(|| odd(line))?;
                resolve(lock.entry(name, version), name, line.key, bare(line.value));
            }
            (6.., "packages") if package.is_some() && field != "resolution" => {}
            (_, "packages" | "") => return Err(odd(line)),
            _ => {}
        }
    }
    match version {
        Some(version) if version.starts_with(['5', '6', '9']) => Ok(lock),
        _ => Err("it has no lockfileVersion that is known".to_owned()),
    }
}

fn odd(line: &Line<'_>) -> String {
    format!("line {}", line.number)
}

/// `/a/1.0.0_peer`, `/a@1.0.0(peer)`, `@s/a@1.0.0`, or an address or a directory.
fn named(key: &str) -> (String, String) {
    let plain = key.split('(').next().unwrap_or_default();
    let rest = plain.strip_prefix('/').unwrap_or(plain);
    let at = after_scope(rest);
    if at < rest.len() {
        return (rest.get(..at).unwrap_or_default().to_owned(), rest.get(at + 1..).unwrap_or_default().to_owned());
    }
    match rest.rsplit_once('/') {
        Some((name, version)) if plain.starts_with('/') => {
            (name.to_owned(), version.split('_').next().unwrap_or_default().to_owned())
        }
        _ => (key.to_owned(), "-".to_owned()),
    }
}

fn take(entry: &mut Entry, name: &str, line: &Line<'_>) -> Read<()> {
    match line.key {
        "resolution" if line.value.is_empty() => Ok(()),
        "resolution" => {
            for (key, value) in pairs(line.value).ok_or_else(|| odd(line))? {
                resolve(entry, name, key, value);
            }
            Ok(())
        }
        "requiresBuild" => {
            entry.script |= line.value == "true";
            Ok(())
        }
        _ => Ok(()),
    }
}

fn resolve(entry: &mut Entry, name: &str, key: &str, value: &str) {
    match key {
        "integrity" => entry.sum(value),
        "tarball" if value.starts_with("file:") => entry.place(Place::File(value.to_owned())),
        "tarball" => entry.place(of_package(value, name)),
        "repo" => entry.place(Place::Repository(value.to_owned())),
        "commit" => entry.sum_of("commit", value),
        "directory" if leaves(value) => entry.place(Place::File(value.to_owned())),
        _ => {}
    }
}
