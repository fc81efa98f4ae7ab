//! Settings of package managers: whom they ask for packages, and as whom. Values of other keys may be secrets and are not
//! told.

use super::{Item, Note, REGISTRY, changed, shown};
use crate::content::Judge;
use model::Risk;
use std::collections::BTreeMap;

/// Parts of a key whose value is an address to get packages from, or a program.
const TELLING: &[&str] = &[
    "registry",
    "index-url",
    "index_url",
    "extra-index-url",
    "find-links",
    "replace-with",
    "npmregistryserver",
    "proxy",
    "channels",
    "channel_alias",
    "repository",
    "runner",
    "linker",
    "rustc",
    "rustc-wrapper",
    "rustc-workspace-wrapper",
    "script-shell",
    "yarnpath",
    "yarn-path",
    "ignore-scripts",
    "enablescripts",
    "strict-ssl",
    "trusted-host",
    "cafile",
    "git",
    "node-options",
    "onload-script",
    "mirror",
    "plugins",
    "index",
    "preload",
    "url",
];

pub(super) fn read(before: Option<&str>, after: &str, _: &mut Judge<'_>) -> Result<Vec<Note>, String> {
    let (was, now) = (before.map(keys).unwrap_or_default(), keys(after));
    let (mut telling, mut others) = (Vec::new(), Vec::new());
    for (key, value) in now.iter().filter(|(key, value)| was.get(*key) != Some(value)) {
        if is_telling(key) { telling.push(Item::new(shown(key), shown(value))) } else { others.push(shown(key)) }
    }
    for key in was.keys().filter(|key| !now.contains_key(*key)) {
        if is_telling(key) {
            telling.push(Item::new(shown(key), "(gone)"))
        } else {
            others.push(format!("{} gone", shown(key)))
        }
    }
    let lines: Vec<String> = telling.iter().map(|item| format!("{} = {}", item.name, item.says)).collect();
    let says = format!("packages or programs come from elsewhere: {}", super::some(&lines));
    let red = (!telling.is_empty()).then(|| Note::new(Risk::High, REGISTRY, says, telling));
    let parts = if others.is_empty() { vec![] } else { vec![format!("settings changed: {}", super::some(&others))] };
    let items = others.into_iter().map(|key| Item::new(key, "changed")).collect();
    Ok([red, changed(&parts, items)].into_iter().flatten().collect())
}

fn is_telling(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    // `//registry.example/:_authToken` is a secret of a registry, and no address.
    let last = lower.rsplit([':', '.', ' ']).next().unwrap_or_default().trim_matches(['"', '\'']);
    TELLING.contains(&last)
}

/// `key = value`, `key: value` and `key value`, with the section or the keys above in front. What is below a key by
/// indentation is its value too.
fn keys(text: &str) -> BTreeMap<String, String> {
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    let (mut section, mut above) = (String::new(), String::new());
    for line in text.lines() {
        let body = line.trim();
        if body.is_empty() || body.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = body.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.trim_matches(['[', ']']).to_owned();
            continue;
        }
        let indented = line.starts_with([' ', '\t']);
        let parted = body
            .split_once('=')
            .or_else(|| body.split_once(": "))
            .or_else(|| body.strip_suffix(':').map(|key| (key, "")));
        let parted = parted.or_else(|| body.split_once(' ')).unwrap_or((body, ""));
        let (key, value) = (parted.0.trim().trim_matches(['"', '\'']), parted.1.trim().trim_matches(['"', '\'']));
        if !indented {
            above = key.to_owned();
        }
        let full = match (section.is_empty(), indented && !above.is_empty()) {
            (_, true) if key.starts_with('-') || value.is_empty() => above.clone(),
            (_, true) => format!("{above}.{key}"),
            (true, _) => key.to_owned(),
            (false, _) => format!("{section}.{key}"),
        };
        let cell = out.entry(full).or_default();
        if !cell.is_empty() {
            cell.push_str(", ");
        }
        cell.push_str(if value.is_empty() { if indented { body } else { "" } } else { value });
    }
    out
}
