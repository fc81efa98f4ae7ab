//! `package.json` (<https://docs.npmjs.com/cli/configuring-npm/package-json>).

use super::{Item, Named, Note, SCRIPT, changed, scripts as scripts_of, strange_sources};
use crate::content::Judge;
use model::Risk;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Scripts that package managers run without being asked for them by name.
const LIFECYCLE: &[&str] = &[
    "preinstall",
    "install",
    "postinstall",
    "preprepare",
    "prepare",
    "postprepare",
    "prepublish",
    "prepublishonly",
    "prepack",
    "postpack",
    "dependencies",
    "pnpm:devpreinstall",
    "preuninstall",
    "uninstall",
    "postuninstall",
];
/// Parts whose commands git's hooks run, or that make an install compile.
const HOOKS: &[&str] = &["gypfile", "husky", "lint-staged", "pre-commit", "simple-git-hooks"];
const DEPENDENCIES: &[&str] = &["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];
/// Other parts that decide what is installed or run.
const PARTS: &[&str] = &[
    "overrides",
    "resolutions",
    "pnpm",
    "packageManager",
    "workspaces",
    "bin",
    "bundleDependencies",
    "bundledDependencies",
    "trustedDependencies",
    "engines",
    "imports",
];

pub(super) fn read(before: Option<&str>, after: &str, judge: &mut Judge<'_>) -> Result<Vec<Note>, String> {
    let after = object(after)?;
    // What was not understood before has nothing to compare with: all is new.
    let before = before.and_then(|text| object(text).ok()).unwrap_or_default();
    let scripts = texts(&after, &["scripts"]);
    let wishes = texts(&after, DEPENDENCIES);
    let scripts = Named { what: "script", before: texts(&before, &["scripts"]), after: &scripts };
    let wishes = Named { what: "dependency", before: texts(&before, DEPENDENCIES), after: &wishes };
    let (mut parts, mut items) = (Vec::new(), Vec::new());
    scripts.tell(&mut parts, &mut items);
    wishes.tell(&mut parts, &mut items);
    for part in PARTS.iter().filter(|part| before.get(**part) != after.get(**part)) {
        parts.push(format!("{part} changed"));
        items.push(Item::new(*part, "changed"));
    }
    let runs = |name: &str| LIFECYCLE.contains(&name.to_ascii_lowercase().as_str());
    let fresh = wishes.fresh().map(|(name, wish, _)| (name.to_owned(), wish.to_owned()));
    let overridden = texts_below(&after, &["overrides", "resolutions"]);
    let was = texts_below(&before, &["overrides", "resolutions"]);
    let fresh = fresh.chain(overridden.into_iter().filter(|pair| !was.contains(pair)));
    let [own, asked] = scripts_of(&scripts, runs, judge);
    let notes = [own, asked, hooks(&before, &after), strange_sources(fresh), changed(&parts, items)];
    Ok(notes.into_iter().flatten().collect())
}

/// What else runs by itself; what is gone runs no more.
fn hooks(before: &Map<String, Value>, after: &Map<String, Value>) -> Option<Note> {
    let fresh = HOOKS.iter().filter(|part| after.contains_key(**part) && before.get(**part) != after.get(**part));
    let items: Vec<Item> = fresh.map(|part| Item::new(*part, "new or changed")).collect();
    let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
    let says = format!("what git's hooks or an install run: {}", names.join(", "));
    (!items.is_empty()).then(|| Note::new(Risk::High, SCRIPT, says, items))
}

pub(super) fn object(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err("it is no object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Names and texts in some fields. Lists are their texts.
pub(super) fn texts(of: &Map<String, Value>, fields: &[&str]) -> BTreeMap<String, String> {
    let fields = fields.iter().filter_map(|field| of.get(*field)?.as_object()).flatten();
    fields.map(|(name, value)| (name.clone(), text(value))).collect()
}

/// A value as text: what is no text stands as JSON.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join("; "),
        other => other.to_string(),
    }
}

/// Every text below some fields, with its name.
fn texts_below(of: &Map<String, Value>, fields: &[&str]) -> Vec<(String, String)> {
    let mut open: Vec<(&String, &Value)> =
        fields.iter().filter_map(|field| of.get(*field)?.as_object()).flatten().collect();
    let mut out = Vec::new();
    while let Some((name, value)) = open.pop() {
        match value {
            Value::String(text) => out.push((name.clone(), text.clone())),
            Value::Object(fields) => open.extend(fields),
            _ => {}
        }
    }
    out
}
