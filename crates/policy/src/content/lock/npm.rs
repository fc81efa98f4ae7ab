//! `package-lock.json` and `npm-shrinkwrap.json`, versions 1 to 3
//! (<https://docs.npmjs.com/cli/configuring-npm/package-lock-json>).

use super::{Lock, Place, Read};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct File {
    #[serde(rename = "lockfileVersion")]
    version: Option<u32>,
    packages: Option<BTreeMap<String, Package>>,
    dependencies: Option<BTreeMap<String, Old>>,
}

#[derive(Deserialize)]
struct Package {
    name: Option<String>,
    version: Option<String>,
    resolved: Option<Resolved>,
    integrity: Option<String>,
    #[serde(default)]
    link: bool,
    #[serde(default, rename = "hasInstallScript")]
    script: bool,
}

/// An entry of version 1, and of version 2 for older clients.
#[derive(Deserialize)]
struct Old {
    version: Option<String>,
    resolved: Option<Resolved>,
    integrity: Option<String>,
    dependencies: Option<BTreeMap<String, Old>>,
}

/// `false`: npm leaves it out on purpose.
#[derive(Deserialize)]
#[serde(untagged)]
enum Resolved {
    At(String),
    #[allow(dead_code)]
    Left(bool),
}

pub(super) fn read(text: &str) -> Read<Lock> {
    let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if !matches!(file.version, Some(1..=3)) {
        return Err(match file.version {
            Some(version) => format!("lockfileVersion {version} is not known"),
            None => "it has no lockfileVersion".to_owned(),
        });
    }
    let mut lock = Lock::default();
    for (key, package) in file.packages.iter().flatten() {
        // The project itself, and its own parts, are what it is about.
        let Some((_, installed)) = key.rsplit_once("node_modules/") else { continue };
        let name = package.name.as_deref().unwrap_or(installed);
        add(&mut lock, name, package)?;
    }
    let mut open: Vec<&BTreeMap<String, Old>> = file.dependencies.iter().collect();
    while let Some(some) = open.pop() {
        for (name, old) in some {
            add_old(&mut lock, name, old)?;
            open.extend(&old.dependencies);
        }
    }
    Ok(lock)
}

fn add(lock: &mut Lock, name: &str, package: &Package) -> Read<()> {
    let resolved = at(package.resolved.as_ref());
    if package.link {
        let target = resolved.unwrap_or_default();
        let entry = lock.entry(name, "link");
        // A part of the project is no stranger; what lies outside of it is.
        if leaves(target) {
            entry.place(Place::File(target.to_owned()));
        }
        return Ok(());
    }
    let version = package.version.as_deref().ok_or_else(|| format!("{name} has no version"))?;
    let entry = lock.entry(name, version);
    entry.script |= package.script;
    entry.sum(package.integrity.as_deref().unwrap_or_default());
    if let Some(place) = resolved {
        entry.place(of_package(place, name));
    }
    Ok(())
}

fn add_old(lock: &mut Lock, name: &str, old: &Old) -> Read<()> {
    let version = old.version.as_deref().ok_or_else(|| format!("{name} has no version"))?;
    // `npm:NAME@VERSION` is another package under this name.
    let (name, version) = match version.strip_prefix("npm:").and_then(|alias| alias.rsplit_once('@')) {
        Some((other, version)) => (other, version),
        None => (name, version),
    };
    if let Some(target) = version.strip_prefix("file:")
        && old.resolved.is_none()
        && old.integrity.is_none()
    {
        let entry = lock.entry(name, "link");
        if leaves(target) {
            entry.place(Place::File(target.to_owned()));
        }
        return Ok(());
    }
    let is_place = version.contains(':');
    let entry = lock.entry(name, version);
    entry.sum(old.integrity.as_deref().unwrap_or_default());
    if let Some(place) = at(old.resolved.as_ref()) {
        entry.place(of_package(place, name));
    } else if is_place {
        entry.place(Place::of(version));
    }
    Ok(())
}

fn at(resolved: Option<&Resolved>) -> Option<&str> {
    match resolved {
        Some(Resolved::At(place)) => Some(place),
        _ => None,
    }
}

/// Whether a relative directory is outside of the project.
pub(crate) fn leaves(target: &str) -> bool {
    target.starts_with(['/', '~', '\\']) || target.contains(':') || target.split(['/', '\\']).any(|part| part == "..")
}

/// An address of a registry names the package: `/NAME/-/FILE.tgz`.
pub(super) fn of_package(address: &str, name: &str) -> Place {
    let mut place = Place::of(address);
    if let Place::Registry { base, address, other } = &mut place
        && matches!(base.as_str(), "https://registry.npmjs.org" | "https://registry.yarnpkg.com")
    {
        let path = address.get(base.len()..).unwrap_or_default().replace("%2f", "/").replace("%2F", "/");
        let named = path.split("/-/").next().unwrap_or_default().trim_start_matches('/');
        *other = (named != name || !path.contains("/-/")).then(|| named.to_owned());
    }
    place
}
