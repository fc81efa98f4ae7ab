//! Files in which a project says what it needs and what runs when: what of it changed, in one line, and what of that runs
//! by itself or comes from a strange place.

mod composer;
mod npm;
mod settings;
mod tables;
mod targets;

use super::Judge;
use super::note::{Item, Note, count, shown, some};
use model::Risk;
use std::collections::BTreeMap;

/// People write these.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 1 << 20;

pub(crate) const INSTALL_SCRIPT: &str = "manifest/install-script";
pub(crate) const SCRIPT: &str = "manifest/script";
pub(crate) const SOURCE: &str = "manifest/source";
pub(crate) const REGISTRY: &str = "manifest/registry";
pub(crate) const BACKEND: &str = "manifest/build-backend";
pub(crate) const CHANGED: &str = "manifest/changed";
pub(crate) const NOT_UNDERSTOOD: &str = "manifest/not-understood";

pub(crate) type Reader = fn(Option<&str>, &str, &mut Judge<'_>) -> Result<Vec<Note>, String>;

/// The reader for a file, by its last name in lower case and that of its directory.
pub(crate) fn reader(directory: &str, name: &str) -> Option<Reader> {
    match (directory, name) {
        (_, "package.json") => Some(npm::read),
        (_, "composer.json") => Some(composer::read),
        (_, "pyproject.toml") => Some(tables::pyproject),
        (_, "cargo.toml") => Some(tables::cargo),
        (_, ".npmrc" | ".yarnrc" | ".yarnrc.yml" | "pip.conf" | ".condarc" | ".pypirc" | "bunfig.toml")
        | (".cargo", "config" | "config.toml")
        | (".bundle", "config") => Some(settings::read),
        (_, "makefile" | "gnumakefile" | "justfile") => Some(targets::read),
        (
            _,
            "setup.py" | "setup.cfg" | "build.rs" | "conftest.py" | "noxfile.py" | "hatch_build.py" | "pdm_build.py"
            | "extconf.rb" | "binding.gyp" | "rakefile" | "taskfile.yml" | "cmakelists.txt" | "build.gradle"
            | "build.gradle.kts",
        ) => Some(targets::lines_of),
        _ => None,
    }
}

/// What became of such a file.
pub(crate) fn notes(read: Reader, before: Option<&str>, after: &str, judge: &mut Judge<'_>) -> Vec<Note> {
    match read(before, after, judge) {
        Ok(notes) => notes,
        Err(why) => {
            vec![not_understood(&why)]
        }
    }
}

/// Nobody knows what it says, and it may say what runs: red as a script is that is there.
pub(crate) fn not_understood(why: &str) -> Note {
    Note::new(Risk::High, NOT_UNDERSTOOD, format!("it is not understood: {}", shown(why)), vec![])
}

/// Named texts of one kind, before and after: dependencies, scripts.
struct Named<'t> {
    /// In the singular.
    what: &'static str,
    before: BTreeMap<String, String>,
    after: &'t BTreeMap<String, String>,
}

impl Named<'_> {
    /// New ones and changed ones.
    fn fresh(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        let changed = self.after.iter().filter(|(name, text)| self.before.get(*name) != Some(text));
        changed.map(|(name, text)| (name.as_str(), text.as_str(), self.before.contains_key(name)))
    }

    /// `2 scripts new (a, b), 1 changed (c), 1 gone (d)`; each an item.
    fn tell(&self, parts: &mut Vec<String>, items: &mut Vec<Item>) {
        let (mut new, mut changed, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for (name, text, was_there) in self.fresh() {
            let (name, text) = (shown(name), shown(text));
            let before = self.before.get(&name).map(|was| format!("{} -> {text}", shown(was)));
            let says =
                format!("{} {}: {}", self.what, if was_there { "changed" } else { "new" }, before.unwrap_or(text));
            items.push(Item::new(name.clone(), says));
            if was_there { changed.push(name) } else { new.push(name) }
        }
        for name in self.before.keys().filter(|name| !self.after.contains_key(*name)) {
            items.push(Item::new(shown(name), format!("{} gone", self.what)));
            gone.push(shown(name));
        }
        let told = [(new, "new"), (changed, "changed"), (gone, "gone")];
        let told = told.iter().filter(|(names, _)| !names.is_empty());
        parts.extend(told.map(|(names, word)| format!("{} {word} ({})", count(names.len(), self.what), some(names))));
    }
}

/// A note that gathers what changed; nothing for a file in which nothing of it did.
fn changed(parts: &[String], items: Vec<Item>) -> Option<Note> {
    (!parts.is_empty()).then(|| Note::new(Risk::Low, CHANGED, parts.join("; "), items))
}

/// Scripts that are new or changed, as the analyser judges them bare: somebody will run them so. Those that run by
/// themselves are red whatever they say, the others where they are not proven to change nothing.
fn scripts(named: &Named<'_>, by_itself: impl Fn(&str) -> bool, judge: &mut Judge<'_>) -> [Option<Note>; 2] {
    let (mut own, mut asked) = (Scripts::default(), Scripts::default());
    for (name, text, was_there) in named.fresh() {
        let (tier, why) = judge(text);
        let why = if why.is_empty() { String::new() } else { format!("; {why}") };
        let word = if was_there { "changed" } else { "new" };
        let says = format!("{word}: `{}` ({tier}{why})", shown(text));
        match by_itself(name) {
            true => own.add(name, says),
            false if tier > Risk::Low => asked.add(name, says),
            false => {}
        }
    }
    [own.note(INSTALL_SCRIPT, "runs by itself on install"), asked.note(SCRIPT, "runs when it is asked for by name")]
}

#[derive(Default)]
struct Scripts {
    items: Vec<Item>,
    lines: Vec<String>,
}

impl Scripts {
    fn add(&mut self, name: &str, says: String) {
        self.lines.push(format!("{} {says}", shown(name)));
        self.items.push(Item::new(shown(name), says));
    }

    fn note(self, rule: &'static str, when: &str) -> Option<Note> {
        let says = format!("{when}: {}", some(&self.lines));
        (!self.items.is_empty()).then(|| Note::new(Risk::High, rule, says, self.items))
    }
}

/// Dependencies that come from no registry. One that lies in the project is named and not red.
fn strange_sources(fresh: impl Iterator<Item = (String, String)>) -> Option<Note> {
    let (mut risk, mut items, mut lines) = (Risk::Low, Vec::new(), Vec::new());
    for (name, place) in fresh {
        let Some(tier) = strange(&place) else { continue };
        risk = risk.max(tier);
        lines.push(format!("{} from {}", shown(&name), shown(&place)));
        items.push(Item::new(shown(&name), format!("from {}", shown(&place))));
    }
    let says = format!("{} from no registry: {}", count(items.len(), "dependency"), some(&lines));
    (!items.is_empty()).then(|| Note::new(risk, SOURCE, says, items))
}

/// How strange a wish is: a version is none.
fn strange(wish: &str) -> Option<Risk> {
    let lower = wish.to_ascii_lowercase();
    let local = ["file:", "link:", "portal:", "workspace:"].iter().find_map(|scheme| lower.strip_prefix(scheme));
    if let Some(path) = local {
        let inside = !super::lock::leaves(path);
        return if lower.starts_with("workspace:") {
            None
        } else {
            Some(if inside { Risk::Medium } else { Risk::High })
        };
    }
    if lower.starts_with("npm:") || lower.starts_with("catalog:") || lower.starts_with("patch:") {
        return None;
    }
    // `user/repository` is one of GitHub's.
    let remote = lower.contains("://") || lower.starts_with("git") || lower.contains(':') || lower.contains('/');
    remote.then_some(Risk::High)
}
