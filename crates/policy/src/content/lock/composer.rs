//! `composer.lock`.

use super::{Lock, Place, Read};
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    packages: Vec<Package>,
    #[serde(default, rename = "packages-dev")]
    dev: Option<Vec<Package>>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    #[serde(rename = "type", default)]
    kind: String,
    source: Option<From>,
    dist: Option<From>,
}

#[derive(Deserialize)]
struct From {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    url: String,
    reference: Option<String>,
    shasum: Option<String>,
}

pub(super) fn read(text: &str) -> Read<Lock> {
    let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut lock = Lock::default();
    for package in file.packages.iter().chain(file.dev.iter().flatten()) {
        let reference =
            [&package.dist, &package.source].into_iter().flatten().find_map(|from| from.reference.as_deref());
        let reference = reference.unwrap_or_default();
        // A branch moves on under its name.
        let moving = package.version.starts_with("dev-") || package.version.ends_with("-dev");
        let version = match moving {
            true => format!("{}#{}", package.version, reference.get(..8).unwrap_or(reference)),
            false => package.version.clone(),
        };
        let entry = lock.entry(&package.name, &version);
        // Plug-ins of composer run in composer.
        entry.script |= package.kind == "composer-plugin" || package.kind == "composer-installer";
        entry.sum_of("commit", reference);
        for from in [&package.dist, &package.source].into_iter().flatten() {
            entry.sum_of("sha1", from.shasum.as_deref().unwrap_or_default());
            match from.kind.as_str() {
                "path" if super::npm::leaves(&from.url) => entry.place(Place::File(from.url.clone())),
                "path" => {}
                // The source of packages of packagist is a repository at the host of their archive.
                "git" if package.dist.is_some() && from.url.starts_with("https://github.com/") => {
                    let name = from.url.trim_start_matches("https://github.com/").trim_end_matches(".git");
                    entry.place(Place::Registry {
                        base: "https://api.github.com".to_owned(),
                        address: format!("https://api.github.com/{name}"),
                        other: None,
                    });
                }
                "git" | "hg" | "svn" | "fossil" => entry.place(Place::Repository(from.url.clone())),
                _ => entry.place(Place::of(&from.url)),
            }
        }
    }
    Ok(lock)
}
