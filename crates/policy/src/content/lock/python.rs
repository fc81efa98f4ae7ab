//! `Pipfile.lock`, and requirement files of pip as far as they pin.

use super::{Lock, Place, Read};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Pipfile {
    #[serde(rename = "_meta")]
    meta: Meta,
    #[serde(flatten)]
    groups: BTreeMap<String, BTreeMap<String, Package>>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    sources: Vec<Source>,
}

#[derive(Deserialize)]
struct Source {
    name: String,
    url: String,
}

#[derive(Deserialize)]
struct Package {
    version: Option<String>,
    #[serde(default)]
    hashes: Vec<String>,
    index: Option<String>,
    git: Option<String>,
    r#ref: Option<String>,
    file: Option<String>,
    path: Option<String>,
}

pub(super) fn pipfile(text: &str) -> Read<Lock> {
    let file: Pipfile = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut lock = Lock::default();
    let first = file.meta.sources.first();
    for (name, package) in file.groups.values().flatten() {
        let entry = lock.entry(name, package.version.as_deref().unwrap_or("-"));
        package.hashes.iter().for_each(|hash| entry.sum(hash));
        entry.sum_of("commit", package.r#ref.as_deref().unwrap_or_default());
        let named = |index: &String| file.meta.sources.iter().find(|source| source.name == *index);
        match (&package.git, &package.file, &package.path) {
            (Some(git), ..) => entry.place(Place::Repository(git.clone())),
            (_, Some(file), _) => entry.place(match Place::of(file) {
                Place::Registry { address, .. } => Place::Address(address),
                place => place,
            }),
            (_, _, Some(path)) if super::npm::leaves(path) => entry.place(Place::File(path.clone())),
            (_, _, Some(_)) => {}
            _ => {
                let source = package.index.as_ref().map_or(first, named);
                if let Some(source) = source {
                    entry.place(Place::registry(&source.url));
                }
            }
        }
    }
    Ok(lock)
}

/// <https://pip.pypa.io/en/stable/reference/requirements-file-format/>
pub(super) fn requirements(text: &str) -> Read<Lock> {
    let mut lock = Lock::default();
    let mut line = String::new();
    for part in text.lines() {
        let comment = if part.trim_start().starts_with('#') { Some(0) } else { part.find(" #") };
        let part = comment.map_or(part, |at| part.get(..at).unwrap_or_default());
        match part.trim_end().strip_suffix('\\') {
            Some(more) => {
                line.push_str(more);
                line.push(' ');
                continue;
            }
            None => line.push_str(part),
        }
        requirement(&mut lock, &std::mem::take(&mut line))?;
    }
    requirement(&mut lock, &line)?;
    Ok(lock)
}

fn requirement(lock: &mut Lock, line: &str) -> Read<()> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(());
    }
    if line.starts_with('-') {
        option(lock, line);
        return Ok(());
    }
    if line.chars().any(char::is_control) {
        return Err(format!("`{line}`"));
    }
    let (spec, options) = line.split_once(" --").map_or((line, ""), |(spec, rest)| (spec, rest));
    let (wanted, _) = spec.split_once(';').unwrap_or((spec, ""));
    let wanted = wanted.trim();
    let (name, version, place) = match wanted.split_once(" @ ").or_else(|| wanted.split_once("@ ")) {
        Some((name, place)) => (name.trim(), "-", Some(place.trim())),
        None if wanted.contains("://") || wanted.contains('/') => (wanted, "-", Some(wanted)),
        None => {
            let end = wanted.find(|c: char| "=<>!~ ".contains(c)).unwrap_or(wanted.len());
            let (name, version) = wanted.split_at_checked(end).unwrap_or((wanted, ""));
            (name, version.trim(), None)
        }
    };
    let name = name.split('[').next().unwrap_or_default().to_ascii_lowercase().replace(['_', '.'], "-");
    let entry = lock.entry(&name, if version.is_empty() { "any" } else { version });
    if let Some(place) = place {
        entry.place(elsewhere(place));
    }
    for hash in options.split("hash=").skip(1) {
        entry.sum(hash.split_ascii_whitespace().next().unwrap_or_default());
    }
    Ok(())
}

/// An address that is given in full is no registry.
fn elsewhere(place: &str) -> Place {
    match Place::of(place) {
        Place::Registry { address, .. } => Place::Address(address),
        place => place,
    }
}

/// Where packages are looked for is told like a package; other files, and how pip works, is not.
fn option(lock: &mut Lock, line: &str) {
    let at = line.find(['=', ' ']).unwrap_or(line.len());
    let (name, value) = line.split_at_checked(at).unwrap_or((line, ""));
    let value = value.trim_start_matches(['=', ' ']).trim();
    match name {
        "-i" | "--index-url" | "--extra-index-url" => lock.entry(name, value).place(Place::registry(value)),
        "-f" | "--find-links" => lock.entry(name, value).place(elsewhere(value)),
        "-e" | "--editable" => {
            let entry = lock.entry(value, "editable");
            if value.contains("://") || super::npm::leaves(value) {
                entry.place(elsewhere(value));
            }
        }
        _ => {}
    }
}
