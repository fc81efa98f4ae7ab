//! Lock files: which packages another machine will fetch, from where, and what must come out.
//!
//! A reader per format makes a [`Lock`] of the text, or says that it is not understood: what a reader cannot follow to
//! its end may hide anything, so a line it does not know is never skipped. Two locks are then compared.

mod composer;
mod gem;
mod go;
mod npm;
mod pnpm;
mod python;
mod tables;
mod yarn;

pub(crate) use npm::leaves;

use super::note::{Item, Note, count, shown, some};
use model::Risk;
use std::collections::{BTreeMap, BTreeSet};

/// Lock files of large projects have some megabytes.
pub(crate) const LOCK_BYTES_MAX: u64 = 8 << 20;

pub(crate) const SOURCE: &str = "lockfile/source";
pub(crate) const INTEGRITY: &str = "lockfile/integrity";
pub(crate) const INSTALL_SCRIPT: &str = "lockfile/install-script";
pub(crate) const CHANGED: &str = "lockfile/changed";
pub(crate) const NOT_UNDERSTOOD: &str = "lockfile/not-understood";

/// Why a lock file was not understood, in words.
pub(crate) type NotUnderstood = String;
pub(crate) type Read<T> = Result<T, NotUnderstood>;

/// One format.
pub(crate) struct Format {
    read: fn(&str) -> Read<Lock>,
    /// Where packages of this kind usually come from.
    usual: &'static [&'static str],
    /// A version is many files, for each machine its own.
    many: bool,
}

const NPM: Format =
    Format { read: npm::read, usual: &["https://registry.npmjs.org", "https://registry.yarnpkg.com"], many: false };
const PYTHON: &[&str] = &[
    "https://pypi.org",
    "https://pypi.org/simple",
    "https://pypi.python.org/simple",
    "https://files.pythonhosted.org",
];

/// The format of a file, by its last name in lower case.
pub(crate) fn format(name: &str) -> Option<Format> {
    let python = |read| Some(Format { read, usual: PYTHON, many: true });
    match name {
        "package-lock.json" | "npm-shrinkwrap.json" => Some(NPM),
        "yarn.lock" => Some(Format { read: yarn::read, ..NPM }),
        "pnpm-lock.yaml" => Some(Format { read: pnpm::read, ..NPM }),
        "cargo.lock" => Some(Format {
            read: tables::cargo,
            usual: &["https://github.com/rust-lang/crates.io-index", "https://index.crates.io"],
            many: false,
        }),
        "poetry.lock" => python(tables::poetry),
        "uv.lock" => python(tables::uv),
        "pipfile.lock" => python(python::pipfile),
        name if name.starts_with("requirements") && name.ends_with(".txt") => python(python::requirements),
        "go.sum" => Some(Format { read: go::sum, usual: &[], many: false }),
        "go.mod" => Some(Format { read: go::module, usual: &[], many: false }),
        "composer.lock" => Some(Format {
            read: composer::read,
            usual: &["https://api.github.com", "https://codeload.github.com", "https://repo.packagist.org"],
            many: false,
        }),
        "gemfile.lock" => {
            Some(Format { read: gem::read, usual: &["https://rubygems.org", "https://index.rubygems.org"], many: true })
        }
        _ => None,
    }
}

/// What a lock file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lock {
    /// By name and version; the same may be there several times.
    packages: BTreeMap<(String, String), Entry>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Entry {
    places: BTreeSet<Place>,
    sums: BTreeSet<Sum>,
    /// Its own code runs when it is installed.
    script: bool,
}

/// Where a package comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// From a registry; the address, where it is told, and the package that the address names, where that is another one.
    Registry { base: String, address: String, other: Option<String> },
    /// From a repository of git or another version control.
    Repository(String),
    /// From any other address.
    Address(String),
    /// A file or a directory.
    File(String),
}

/// A checksum: algorithm and value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sum {
    algorithm: String,
    value: String,
}

impl Lock {
    /// The entry of a package; one more of the same adds to it.
    fn entry(&mut self, name: &str, version: &str) -> &mut Entry {
        self.packages.entry((name.to_owned(), version.to_owned())).or_default()
    }

    fn has_script(&self, name: &str) -> bool {
        self.of(name).any(|(_, entry)| entry.script)
    }

    fn of(&self, name: &str) -> impl Iterator<Item = (&str, &Entry)> {
        let from = (name.to_owned(), String::new());
        let all = self.packages.range(from..).map(|((name, version), entry)| (name, version.as_str(), entry));
        all.take_while(move |(known, ..)| *known == name).map(|(_, version, entry)| (version, entry))
    }
}

impl Entry {
    /// `text`: `ALGORITHM-VALUE` or `ALGORITHM:VALUE`, several of them between spaces.
    fn sum(&mut self, text: &str) {
        for one in text.split_ascii_whitespace() {
            let (algorithm, value) = one.split_once(['-', ':', '=']).unwrap_or(("", one));
            self.sum_of(algorithm, value);
        }
    }

    fn sum_of(&mut self, algorithm: &str, value: &str) {
        if !value.is_empty() {
            self.sums.insert(Sum { algorithm: algorithm.to_ascii_lowercase(), value: value.to_owned() });
        }
    }

    fn place(&mut self, place: Place) {
        self.places.insert(place);
    }
}

impl Place {
    /// A place as lock files write it: an address, `git+...`, `file:...`. Its registry is what stands before the path.
    fn of(text: &str) -> Place {
        let lower = text.to_ascii_lowercase();
        let is = |starts: &[&str]| starts.iter().any(|start| lower.starts_with(start));
        if is(&[
            "git+",
            "git:",
            "git@",
            "git://",
            "ssh:",
            "ssh://",
            "hg+",
            "svn+",
            "bzr+",
            "github:",
            "gitlab:",
            "bitbucket:",
            "gist:",
        ]) {
            return Place::Repository(text.to_owned());
        }
        if !is(&["http://", "https://"]) {
            return Place::File(text.to_owned());
        }
        let without = text.split(['#', '?']).next().unwrap_or_default();
        let path = lower.split(['#', '?']).next().unwrap_or_default();
        if path.ends_with(".git") {
            return Place::Repository(text.to_owned());
        }
        Place::Registry { base: origin(&lower), address: without.to_owned(), other: None }
    }

    /// A registry that is told by its whole address.
    fn registry(address: &str) -> Place {
        let address = address.trim_end_matches('/').to_owned();
        Place::Registry { base: address.to_ascii_lowercase(), address, other: None }
    }

    /// The same place under another of its names is the same.
    fn plain(&self) -> String {
        match self {
            Place::Registry { address, .. } => {
                address.replacen("https://registry.yarnpkg.com/", "https://registry.npmjs.org/", 1)
            }
            Place::Repository(text) | Place::Address(text) | Place::File(text) => text.clone(),
        }
    }

    /// What is wrong with it, if anything.
    fn strange(&self, usual: &BTreeSet<&str>) -> Option<String> {
        match self {
            Place::Registry { other: Some(other), .. } => {
                Some(format!("its address is that of another package, {}", shown(other)))
            }
            Place::Registry { base, .. } if !usual.contains(base.as_str()) => Some(format!("from {}", shown(base))),
            Place::Registry { .. } => None,
            Place::Repository(text) => Some(format!("from a repository, {}", shown(text))),
            Place::Address(text) => Some(format!("from {}", shown(text))),
            Place::File(text) => Some(format!("from a file, {}", shown(text))),
        }
    }
}

/// Scheme, host and port of an address, without who logs in.
fn origin(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}")
}

/// What became of a lock file. `before` is `None` where there was none.
pub(crate) fn notes(format: &Format, before: Option<&str>, after: &str) -> Vec<Note> {
    let after = match (format.read)(after) {
        Ok(lock) => lock,
        Err(why) => return vec![not_understood(&why)],
    };
    match before.map(format.read) {
        None => compare(&Lock::default(), &after, format),
        Some(Ok(before)) => compare(&before, &after, format),
        Some(Err(why)) => {
            // What is new cannot be told; what is strange can.
            let mut notes = vec![not_understood(&format!("as it was before: {why}"))];
            notes.extend(compare(&Lock::default(), &after, format));
            notes
        }
    }
}

/// Nobody knows what it would install.
pub(crate) fn not_understood(why: &str) -> Note {
    Note::new(Risk::Medium, NOT_UNDERSTOOD, format!("what it would install is not understood: {}", shown(why)), vec![])
}

fn compare(before: &Lock, after: &Lock, format: &Format) -> Vec<Note> {
    let known = before.packages.values().flat_map(|entry| &entry.places);
    let bases = known.filter_map(|place| match place {
        Place::Registry { base, .. } => Some(base.as_str()),
        _ => None,
    });
    let usual: BTreeSet<&str> = bases.chain(format.usual.iter().copied()).collect();
    [
        sources(before, after, &usual, format.many),
        sums(before, after, format.many),
        scripts(before, after),
        packages(before, after),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Packages from where they did not come from before.
fn sources(before: &Lock, after: &Lock, usual: &BTreeSet<&str>, many: bool) -> Option<Note> {
    let mut items = Vec::new();
    for (key, entry) in &after.packages {
        let was = before.packages.get(key);
        let plain = |entry: &Entry| -> BTreeSet<String> { entry.places.iter().map(Place::plain).collect() };
        let had = was.map(&plain).unwrap_or_default();
        let fresh = entry.places.iter().filter(|place| !had.contains(&place.plain()));
        for place in fresh {
            let moved = !had.is_empty();
            let strange = place.strange(usual);
            let says = match (&strange, moved) {
                (Some(strange), false) => strange.clone(),
                // The mirrors of one file are many, and its checksums are compared on their own.
                (None, false) => continue,
                (Some(strange), true) => format!("the same version as before, {strange}"),
                (None, true) if many => continue,
                (None, true) => format!("the same version as before, from another address, {}", shown(&place.plain())),
            };
            items.push(Item::new(title(key), says));
        }
    }
    let lines: Vec<String> = items.iter().map(|item| format!("{} {}", item.name, item.says)).collect();
    let says = format!("{} from an unusual place: {}", count(items.len(), "package"), some(&lines));
    (!items.is_empty()).then(|| Note::new(Risk::High, SOURCE, says, items))
}

/// Packages of which the same version is to have another content.
fn sums(before: &Lock, after: &Lock, many: bool) -> Option<Note> {
    let mut items = Vec::new();
    for (key, entry) in &after.packages {
        let Some(was) = before.packages.get(key).filter(|was| !was.sums.is_empty()) else { continue };
        if entry.sums.is_empty() {
            items.push(Item::new(title(key), "its checksum is gone"));
        } else if is_other(&was.sums, &entry.sums, many) {
            items.push(Item::new(title(key), "the same version with another checksum"));
        }
    }
    let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
    let says =
        format!("the checksum of the same version differs for {}: {}", count(items.len(), "package"), some(&names));
    (!items.is_empty()).then(|| Note::new(Risk::High, INTEGRITY, says, items))
}

/// Whether what was promised is not any more. More checksums of more files promise no less; stronger ones than before
/// cannot be compared.
fn is_other(was: &BTreeSet<Sum>, now: &BTreeSet<Sum>, many: bool) -> bool {
    let of = |sums: &BTreeSet<Sum>| -> BTreeSet<String> { sums.iter().map(|sum| sum.algorithm.clone()).collect() };
    let (algorithms, later) = (of(was), of(now));
    if algorithms.is_disjoint(&later) {
        return algorithms.iter().any(|one| !is_weak(one));
    }
    let more = now.iter().any(|sum| !many && algorithms.contains(&sum.algorithm) && !was.contains(sum));
    more || was.iter().any(|sum| later.contains(&sum.algorithm) && !now.contains(sum))
}

/// Whether tools replace checksums of this kind by better ones. Those of yarn are numbered by the version of its cache.
fn is_weak(algorithm: &str) -> bool {
    matches!(algorithm, "md5" | "sha1") || algorithm.starts_with(|first: char| first.is_ascii_digit())
}

/// Packages whose own code runs on install, as no version of them did before.
fn scripts(before: &Lock, after: &Lock) -> Option<Note> {
    let fresh = after.packages.iter().filter(|((name, _), entry)| entry.script && !before.has_script(name));
    let items: Vec<Item> =
        fresh.map(|(key, _)| Item::new(title(key), "runs a script of its own when it is installed")).collect();
    let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
    let says = format!("{} with an install script: {}", items.len(), some(&names));
    (!items.is_empty()).then(|| Note::new(Risk::Medium, INSTALL_SCRIPT, says, items))
}

fn title((name, version): &(String, String)) -> String {
    shown(&format!("{name} {version}"))
}

/// New, changed and removed packages.
fn packages(before: &Lock, after: &Lock) -> Option<Note> {
    let names: BTreeSet<&str> =
        before.packages.keys().chain(after.packages.keys()).map(|(name, _)| name.as_str()).collect();
    let (mut new, mut moved, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for name in names {
        let versions =
            |lock: &Lock| -> BTreeSet<String> { lock.of(name).map(|(version, _)| version.to_owned()).collect() };
        let (was, now) = (versions(before), versions(after));
        let joined = |set: &BTreeSet<String>, other: &BTreeSet<String>| -> String {
            shown(&set.difference(other).cloned().collect::<Vec<_>>().join(", "))
        };
        let (came, went) = (joined(&now, &was), joined(&was, &now));
        let name = shown(name);
        if was == now {
            continue;
        } else if was.is_empty() {
            new.push(Item::new(name, came));
        } else if now.is_empty() {
            gone.push(Item::new(name, went));
        } else if went.is_empty() {
            moved.push(Item::new(name, format!("{came} too")));
        } else if came.is_empty() {
            moved.push(Item::new(name, format!("no more {went}")));
        } else {
            moved.push(Item::new(name, format!("{went} -> {came}")));
        }
    }
    if before.packages == after.packages && before.packages.is_empty() {
        return None;
    }
    let part = |items: &[Item], says: &dyn Fn(usize) -> String| {
        let lines: Vec<String> = items.iter().map(|item| format!("{} {}", item.name, item.says)).collect();
        (!items.is_empty()).then(|| format!("{} ({})", says(items.len()), some(&lines)))
    };
    let parts: Vec<String> = [
        part(&new, &|number| format!("+{}", count(number, "package"))),
        part(&moved, &|number| format!("{number} in another version")),
        part(&gone, &|number| format!("-{}", count(number, "package"))),
    ]
    .into_iter()
    .flatten()
    .collect();
    let says = if parts.is_empty() { "the same packages in the same versions".to_owned() } else { parts.join(", ") };
    let told = |items: Vec<Item>, word: &'static str| {
        items.into_iter().map(move |item| Item { says: format!("{word}: {}", item.says), ..item })
    };
    let items = told(new, "new").chain(told(moved, "version")).chain(told(gone, "gone")).collect();
    Some(Note::new(Risk::Low, CHANGED, says, items))
}
