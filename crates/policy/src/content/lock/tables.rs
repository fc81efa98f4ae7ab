//! Lock files in TOML: `Cargo.lock`, `poetry.lock`, `uv.lock`.

use super::npm::leaves;
use super::{Entry, Lock, Place, Read};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

fn parse<T: DeserializeOwned>(text: &str) -> Read<T> {
    toml::from_str(text).map_err(|error| error.message().to_owned())
}

#[derive(Deserialize)]
struct Cargo {
    #[serde(default)]
    package: Vec<CargoPackage>,
    /// Checksums, before version 2.
    #[serde(default)]
    metadata: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize)]
struct CargoPackage {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

pub(super) fn cargo(text: &str) -> Read<Lock> {
    let file: Cargo = parse(text)?;
    let mut lock = Lock::default();
    for package in &file.package {
        let entry = lock.entry(&package.name, &package.version);
        entry.sum_of("sha256", package.checksum.as_deref().unwrap_or_default());
        let Some(source) = &package.source else { continue };
        match source.split_once('+') {
            Some(("registry" | "sparse", address)) => entry.place(Place::registry(address)),
            Some(("git", address)) => repository(entry, address),
            _ => entry.place(Place::Address(source.clone())),
        }
    }
    for (key, value) in &file.metadata {
        // `checksum NAME VERSION (SOURCE)`
        let mut words = key.split(' ').skip(1);
        if let (Some(name), Some(version), Some(sum)) = (words.next(), words.next(), value.as_str())
            && let Some(entry) = lock.packages.get_mut(&(name.to_owned(), version.to_owned()))
        {
            entry.sum_of("sha256", sum);
        }
    }
    Ok(lock)
}

/// Where a repository is and, behind `#`, the commit, which is what is promised.
fn repository(entry: &mut Entry, address: &str) {
    let (place, commit) = address.rsplit_once('#').unwrap_or((address, ""));
    entry.sum_of("commit", commit);
    entry.place(Place::Repository(place.to_owned()));
}

#[derive(Deserialize)]
struct Poetry {
    #[serde(default)]
    package: Vec<PoetryPackage>,
    #[serde(default)]
    metadata: PoetryMetadata,
}

#[derive(Deserialize, Default)]
struct PoetryMetadata {
    /// Checksums, before version 1.5.
    #[serde(default)]
    files: BTreeMap<String, Vec<PoetryFile>>,
}

#[derive(Deserialize)]
struct PoetryPackage {
    name: String,
    version: String,
    source: Option<PoetrySource>,
    #[serde(default)]
    files: Vec<PoetryFile>,
}

#[derive(Deserialize)]
struct PoetryFile {
    hash: String,
}

#[derive(Deserialize)]
struct PoetrySource {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    url: String,
    resolved_reference: Option<String>,
}

pub(super) fn poetry(text: &str) -> Read<Lock> {
    let file: Poetry = parse(text)?;
    let mut lock = Lock::default();
    for package in &file.package {
        let entry = lock.entry(&package.name, &package.version);
        let old = file.metadata.files.get(&package.name).into_iter().flatten();
        package.files.iter().chain(old).for_each(|file| entry.sum(&file.hash));
        let Some(source) = &package.source else { continue };
        match source.kind.as_str() {
            "" | "legacy" => entry.place(Place::registry(&source.url)),
            "git" | "hg" | "svn" => {
                entry.sum_of("commit", source.resolved_reference.as_deref().unwrap_or_default());
                entry.place(Place::Repository(source.url.clone()));
            }
            "directory" => local(entry, &source.url),
            "file" => entry.place(Place::File(source.url.clone())),
            _ => entry.place(Place::Address(source.url.clone())),
        }
    }
    Ok(lock)
}

/// A directory of the project is no stranger.
fn local(entry: &mut Entry, directory: &str) {
    if leaves(directory) {
        entry.place(Place::File(directory.to_owned()));
    }
}

#[derive(Deserialize)]
struct Uv {
    #[serde(default)]
    package: Vec<UvPackage>,
}

#[derive(Deserialize)]
struct UvPackage {
    name: String,
    version: Option<String>,
    source: UvSource,
    sdist: Option<UvFile>,
    #[serde(default)]
    wheels: Vec<UvFile>,
}

#[derive(Deserialize)]
struct UvSource {
    registry: Option<String>,
    git: Option<String>,
    url: Option<String>,
    path: Option<String>,
    directory: Option<String>,
    editable: Option<String>,
    r#virtual: Option<String>,
}

#[derive(Deserialize)]
struct UvFile {
    url: Option<String>,
    path: Option<String>,
    hash: Option<String>,
}

pub(super) fn uv(text: &str) -> Read<Lock> {
    let file: Uv = parse(text)?;
    let mut lock = Lock::default();
    for package in &file.package {
        let source = &package.source;
        let entry = lock.entry(&package.name, package.version.as_deref().unwrap_or("-"));
        if let Some(registry) = &source.registry {
            entry.place(if registry.contains("://") {
                Place::registry(registry)
            } else {
                Place::File(registry.clone())
            });
        }
        if let Some(git) = &source.git {
            repository(entry, git);
        }
        if let Some(url) = &source.url {
            entry.place(Place::Address(url.clone()));
        }
        if let Some(path) = &source.path {
            entry.place(Place::File(path.clone()));
        }
        let own = [&source.directory, &source.editable, &source.r#virtual];
        own.into_iter().flatten().for_each(|directory| local(entry, directory));
        for file in package.sdist.iter().chain(&package.wheels) {
            entry.sum(file.hash.as_deref().unwrap_or_default());
            // Files of one version have many addresses: what counts is the host.
            if let (Some(url), None) = (&file.url, &source.url) {
                entry.place(Place::registry(&super::origin(url)));
            }
            if let (Some(path), None) = (&file.path, &source.path) {
                entry.place(Place::File(path.clone()));
            }
        }
    }
    Ok(lock)
}
