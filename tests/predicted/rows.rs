//! The rows of the command tables, read from their sources, so that a new row is tried without a word here.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use syn::visit::{self, Visit};

/// Families whose programs are for other machines, registries and clusters.
const ELSEWHERE: &[&str] = &["package", "network", "cloud", "mod"];
/// Programs with a small language of their own, which the grammar speaks; and those that wait for a person.
const SPOKEN: &[&str] = &[
    "find", "sed", "gsed", "dd", "awk", "gawk", "mawk", "sqlite3", "jq", "top", "htop", "less", "more", "vim", "vi",
    "ex", "view", "nano", "emacs", "watch", "script", "screen", "tmux", "expect", "entr", "belljar", "bwrap", "su",
    "passwd", "man", "info", "zless",
];

/// One row as the generator needs it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// `ls`, or `git log`.
    pub(crate) name: String,
    pub(crate) options: Vec<Opt>,
    pub(crate) operands: String,
    /// Stands in front of another command.
    pub(crate) wraps: bool,
}

/// One option with all its names.
#[derive(Clone, Debug)]
pub(crate) struct Opt {
    pub(crate) names: Vec<String>,
    pub(crate) takes: Takes,
    /// What the value is; empty when the table does not say.
    pub(crate) role: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    Nothing,
    Value,
    Attached,
}

/// The rows whose programs are installed in `bins`.
pub(crate) fn rows(tables: &Path, bins: &[&Path]) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(tables).unwrap().map(|item| item.unwrap().path()).collect();
    files.sort();
    for path in files {
        let family = path.file_stem().unwrap().to_string_lossy().into_owned();
        if ELSEWHERE.contains(&family.as_str()) {
            continue;
        }
        let file = syn::parse_file(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let mut found = Found::default();
        found.visit_file(&file);
        rows.extend(found.rows());
    }
    let installed = |row: &Row| {
        let program = row.name.split(' ').next().unwrap();
        !SPOKEN.contains(&program) && bins.iter().any(|bin| bin.join(program).exists())
    };
    rows.retain(installed);
    rows
}

#[derive(Default)]
struct Found {
    consts: HashMap<String, String>,
    calls: Vec<(String, Vec<Option<Word>>)>,
}

enum Word {
    Text(String),
    Name(String),
}

impl Found {
    fn rows(&self) -> Vec<Row> {
        let text = |word: Option<&Option<Word>>| match word {
            Some(Some(Word::Text(text))) => text.clone(),
            Some(Some(Word::Name(name))) => self.consts.get(name).cloned().unwrap_or_default(),
            _ => String::new(),
        };
        let row = |(call, words): &(String, Vec<Option<Word>>)| {
            let wraps = call != "row";
            let operands = if wraps { "cmd".to_owned() } else { text(words.get(2)) };
            let options = text(words.get(1)).split_ascii_whitespace().map(option).collect();
            Row { name: text(words.first()), options, operands, wraps }
        };
        self.calls.iter().map(row).filter(|row| !row.name.is_empty()).collect()
    }
}

impl<'a> Visit<'a> for Found {
    fn visit_item_const(&mut self, item: &'a syn::ItemConst) {
        if let Some(Word::Text(text)) = word(&item.expr) {
            self.consts.insert(item.ident.to_string(), text);
        }
        visit::visit_item_const(self, item);
    }

    fn visit_expr_call(&mut self, call: &'a syn::ExprCall) {
        if let syn::Expr::Path(path) = &*call.func
            && let Some(name) = path.path.get_ident().map(ToString::to_string)
            && ["row", "wrap", "feed"].contains(&name.as_str())
        {
            self.calls.push((name, call.args.iter().map(word).collect()));
        }
        visit::visit_expr_call(self, call);
    }
}

fn word(expr: &syn::Expr) -> Option<Word> {
    match expr {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(Word::Text(text.value())),
        syn::Expr::Path(path) => path.path.get_ident().map(|name| Word::Name(name.to_string())),
        _ => None,
    }
}

/// One word of the option notation of a row.
fn option(text: &str) -> Opt {
    let (head, acts) = text.split_once(':').unwrap_or((text, ""));
    let (names, takes) = match (head.strip_suffix('='), head.strip_suffix('?')) {
        (Some(names), _) => (names, Takes::Value),
        (_, Some(names)) if !names.ends_with('-') => (names, Takes::Attached),
        _ => (head, Takes::Nothing),
    };
    let role = acts.split('+').find(|act| !act.starts_with("bj") && !act.contains('-')).unwrap_or("");
    Opt { names: names.split(',').map(str::to_owned).collect(), takes, role: role.to_owned() }
}

/// The options that a program's own help lists.
pub(crate) fn from_help(help: &str) -> Vec<Opt> {
    let mut all = BTreeMap::new();
    for line in help.lines().map(str::trim_start).filter(|line| line.starts_with('-')) {
        let mut names = Vec::new();
        let mut takes = Takes::Nothing;
        // The names end where two blanks begin the explanation.
        for part in line.split("  ").next().unwrap().split(',').map(str::trim) {
            let end = part.find(['=', '[', ' ']).unwrap_or(part.len());
            let (name, value) = part.split_at(end);
            let sound = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if sound && name.len() > 1 && name.starts_with('-') && !name.trim_matches('-').is_empty() {
                names.push(name.to_owned());
            }
            if value.starts_with('[') {
                takes = Takes::Attached;
            } else if value.len() > 1 && takes == Takes::Nothing {
                takes = Takes::Value;
            }
        }
        if let Some(first) = names.first() {
            all.insert(first.clone(), Opt { names, takes, role: String::new() });
        }
    }
    all.into_values().collect()
}
