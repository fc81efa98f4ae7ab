//! `pyproject.toml` and `Cargo.toml`.

use super::{BACKEND, Item, Named, Note, REGISTRY, SCRIPT, changed, shown, strange_sources};
use crate::content::Judge;
use model::Risk;
use std::collections::BTreeMap;
use toml::{Table, Value};

/// Build backends of Python that run no code of the project by themselves. `setuptools` runs `setup.py`, which is red by
/// its name.
const BACKENDS: &[&str] = &[
    "flit_core.buildapi",
    "hatchling.build",
    "maturin",
    "mesonpy",
    "pdm.backend",
    "poetry.core.masonry.api",
    "scikit_build_core.build",
    "setuptools.build_meta",
    "setuptools.build_meta:__legacy__",
    "uv_build",
];
const GONE: &str = "(gone)";

fn parse(text: &str) -> Result<Table, String> {
    text.parse::<Table>().map_err(|error| error.message().to_owned())
}

fn at<'t>(table: &'t Table, path: &[&str]) -> Option<&'t Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.as_table()?.get(*key))
}

/// A value in one line.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string(other).unwrap_or_else(|_| format!("{other:?}")),
    }
}

/// Parts that differ, each with what it is now; one that is gone is `(gone)`.
fn differing(before: &Table, after: &Table, paths: &[&[&str]]) -> Vec<(String, String)> {
    let differs = paths.iter().filter(|path| at(before, path) != at(after, path));
    differs.map(|path| (path.join("."), at(after, path).map_or_else(|| GONE.to_owned(), text))).collect()
}

fn told(risk: Risk, rule: &'static str, what: &str, parts: &[(String, String)]) -> Option<Note> {
    let items: Vec<Item> = parts.iter().map(|(name, now)| Item::new(name.clone(), shown(now))).collect();
    let lines: Vec<String> = items.iter().map(|item| format!("{} = {}", item.name, item.says)).collect();
    (!items.is_empty()).then(|| Note::new(risk, rule, format!("{what}: {}", super::some(&lines)), items))
}

pub(super) fn pyproject(before: Option<&str>, after: &str, _: &mut Judge<'_>) -> Result<Vec<Note>, String> {
    let after = parse(after)?;
    let before = before.and_then(|text| parse(text).ok()).unwrap_or_default();
    let backend: &[&[&str]] =
        &[&["build-system", "requires"], &["tool", "hatch", "build", "hooks"], &["tool", "pdm", "build"]];
    // What an install runs then is the project's own code, or nobody's that is known.
    let own: &[&[&str]] = &[
        &["build-system", "backend-path"],
        &["tool", "hatch", "build", "hooks", "custom"],
        &["tool", "setuptools", "cmdclass"],
        &["tool", "poetry", "build"],
        &["tool", "pdm", "build", "custom-hook"],
    ];
    let name: &[&[&str]] = &[&["build-system", "build-backend"]];
    let known = at(&after, &["build-system", "build-backend"]).and_then(Value::as_str);
    let known = known.is_none_or(|name| BACKENDS.contains(&name));
    let (backend, own) = match known {
        true => ([backend, name].concat(), own.to_vec()),
        false => (backend.to_vec(), [own, name].concat()),
    };
    let mut runs = differing(&before, &after, &own);
    let targets = at(&after, &["tool", "hatch", "build", "targets"]).and_then(Value::as_table);
    for target in targets.into_iter().flat_map(Table::keys) {
        runs.extend(differing(&before, &after, &[&["tool", "hatch", "build", "targets", target, "hooks", "custom"]]));
    }
    runs.retain(|(_, now)| now != GONE);
    let registry: &[&[&str]] = &[
        &["tool", "uv", "index"],
        &["tool", "uv", "index-url"],
        &["tool", "uv", "extra-index-url"],
        &["tool", "poetry", "source"],
        &["tool", "pdm", "source"],
    ];
    let wishes = python_wishes(&after);
    let wishes = Named { what: "dependency", before: python_wishes(&before), after: &wishes };
    let (mut parts, mut items) = (Vec::new(), Vec::new());
    wishes.tell(&mut parts, &mut items);
    let others: &[&[&str]] = &[
        &["project", "scripts"],
        &["project", "gui-scripts"],
        &["project", "entry-points"],
        &["tool", "poetry", "scripts"],
        &["tool", "pytest"],
        &["tool", "uv", "sources"],
    ];
    for (name, now) in differing(&before, &after, others) {
        parts.push(format!("{name} changed"));
        items.push(Item::new(name, shown(&now)));
    }
    let fresh =
        wishes.fresh().filter_map(|(name, wish, _)| Some((name.to_owned(), wish.split_once("@ ")?.1.to_owned())));
    let tables = [&["tool", "uv", "sources"][..], &["tool", "poetry", "dependencies"]];
    let sources = tables.iter().flat_map(|path| table_sources(&before, &after, path));
    let notes = [
        told(Risk::High, REGISTRY, "packages come from", &differing(&before, &after, registry)),
        told(Risk::High, BACKEND, "an install runs code of the project", &runs),
        told(Risk::Medium, BACKEND, "the build runs other code", &differing(&before, &after, &backend)),
        strange_sources(fresh.chain(sources)),
        changed(&parts, items),
    ];
    Ok(notes.into_iter().flatten().collect())
}

/// Dependencies as they are written, by name.
fn python_wishes(of: &Table) -> BTreeMap<String, String> {
    let lists = [at(of, &["project", "dependencies"])].into_iter().flatten();
    let groups = ["optional-dependencies"].iter().filter_map(|name| at(of, &["project", name])?.as_table());
    let groups = groups.chain(at(of, &["dependency-groups"]).and_then(Value::as_table)).flat_map(Table::values);
    let texts = lists.chain(groups).filter_map(Value::as_array).flatten().filter_map(Value::as_str);
    let named = texts.map(|wish| {
        let end = wish.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.[],".contains(c))).unwrap_or(wish.len());
        let (name, rest) = wish.split_at_checked(end).unwrap_or((wish, ""));
        (name.to_owned(), rest.trim().to_owned())
    });
    let poetry = at(of, &["tool", "poetry", "dependencies"]).and_then(Value::as_table).into_iter().flatten();
    named.chain(poetry.map(|(name, value)| (name.clone(), text(value)))).collect()
}

/// Entries of a table of dependencies that say where from, new or changed.
fn table_sources(before: &Table, after: &Table, path: &[&str]) -> Vec<(String, String)> {
    let Some(now) = at(after, path).and_then(Value::as_table) else { return Vec::new() };
    let was = at(before, path).and_then(Value::as_table);
    let fresh = now.iter().filter(|(name, value)| was.and_then(|was| was.get(*name)) != Some(value));
    fresh.filter_map(|(name, value)| Some((name.clone(), place(value)?))).collect()
}

fn place(value: &Value) -> Option<String> {
    let table = value.as_table()?;
    let of = |key: &str| table.get(key).and_then(Value::as_str);
    let remote = of("git").or_else(|| of("url")).map(str::to_owned);
    let registry = of("registry").or_else(|| of("index")).map(|name| format!("registry:{name}"));
    remote.or(registry).or_else(|| of("path").map(|path| format!("file:{path}")))
}

pub(super) fn cargo(before: Option<&str>, after: &str, _: &mut Judge<'_>) -> Result<Vec<Note>, String> {
    let after = parse(after)?;
    let before = before.and_then(|text| parse(text).ok()).unwrap_or_default();
    let wishes = cargo_wishes(&after);
    let wishes = Named { what: "dependency", before: cargo_wishes(&before), after: &wishes };
    let (mut parts, mut items) = (Vec::new(), Vec::new());
    wishes.tell(&mut parts, &mut items);
    let others: &[&[&str]] =
        &[&["package", "build"], &["package", "links"], &["lib", "proc-macro"], &["profile"], &["patch"], &["replace"]];
    for (name, now) in differing(&before, &after, others) {
        parts.push(format!("{name} changed"));
        items.push(Item::new(name, shown(&now)));
    }
    let mut sources = Vec::new();
    for path in cargo_tables(&after) {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        sources.extend(table_sources(&before, &after, &path));
    }
    let mut runs = differing(&before, &after, &[&["package", "build"]]);
    // `true`, and the name that is red by itself, are what cargo does anyway; `false` is less.
    runs.retain(|(_, now)| !["true", "false", "build.rs", GONE].contains(&now.as_str()));
    let notes = [
        told(Risk::High, SCRIPT, "cargo runs it on every build", &runs),
        strange_sources(sources.into_iter()),
        changed(&parts, items),
    ];
    Ok(notes.into_iter().flatten().collect())
}

/// Where tables of dependencies may stand.
fn cargo_tables(of: &Table) -> Vec<Vec<String>> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let plain = KINDS.iter().map(|kind| vec![(*kind).to_owned()]);
    let shared = [vec!["workspace".to_owned(), "dependencies".to_owned()]];
    let names = |key: &str| of.get(key).and_then(Value::as_table).into_iter().flat_map(Table::keys).cloned();
    let targets =
        names("target").flat_map(|target| KINDS.map(|kind| vec!["target".to_owned(), target.clone(), kind.to_owned()]));
    let patches = names("patch").map(|place| vec!["patch".to_owned(), place]);
    plain.chain(shared).chain(targets).chain(patches).chain([vec!["replace".to_owned()]]).collect()
}

fn cargo_wishes(of: &Table) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for path in cargo_tables(of) {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let table = at(of, &path).and_then(Value::as_table).into_iter().flatten();
        out.extend(table.map(|(name, value)| (name.clone(), text(value))));
    }
    out
}
