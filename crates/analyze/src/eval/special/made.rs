//! Programs that make up names: `mktemp`, `rename`, and `zip` and `unzip`, whose archives have names inside.

use crate::commands;
use crate::eval::run::Start;
use crate::eval::value::{Field, Value};
use crate::eval::{Eval, Output};
use model::{Action, PathScope};

impl Eval<'_> {
    /// `mktemp`: a template whose last X are filled, in a directory for such files or here.
    pub(super) fn mktemp(&mut self, args: &[Field], start: &Start) -> Option<Output> {
        let (family, row) = commands::find("mktemp")?;
        let parsed = commands::options::parse(row, args);
        let hit = |name: &str| parsed.hits.iter().rev().find(|hit| hit.is(name));
        if !parsed.hits.iter().any(|hit| hit.is("-u") || hit.is("--help") || hit.is("--version")) {
            let suffix = hit("--suffix").and_then(|hit| hit.value.as_ref()).map(|field| field.known().unwrap_or("*"));
            let template = match parsed.operands.first() {
                Some(field) => field.known().map(|text| filled(text, suffix.unwrap_or(""))),
                None => Some(format!("tmp.*{}", suffix.unwrap_or(""))),
            };
            let place = match hit("-p").or(hit("--tmpdir")).map(|hit| &hit.value) {
                Some(Some(field)) => field.known().filter(|text| !text.is_empty()).map(str::to_owned),
                Some(None) => Some("/tmp".to_owned()),
                None if parsed.operands.is_empty() || hit("-t").is_some() => Some("/tmp".to_owned()),
                None => Some(String::new()),
            };
            let value = match (place, template) {
                (Some(place), Some(name)) if place.is_empty() => Value::Known(name),
                (Some(place), Some(name)) => Value::Known(format!("{}/{name}", place.trim_end_matches('/'))),
                _ => Value::Unknown,
            };
            let made = Field { glob: true, value, ..Field::constant("", start.span) };
            self.on_path(Action::Write, &made, PathScope::Exact, "mktemp");
        }
        Some(self.apply(family, row, args, start).1)
    }

    /// `rename`, of Perl or of util-linux: the new names stand beside the old ones, where no code decides.
    pub(super) fn rename(&mut self, args: &[Field], start: &Start) -> Option<Output> {
        let (family, row) = commands::find("rename")?;
        let parsed = commands::options::parse(row, args);
        let (first, files) = parsed.operands.split_first()?;
        if !first.known().is_some_and(only_substitutes) {
            self.opaque_code(first.span, "perl", start);
        }
        let out = self.apply(family, row, args, start).1;
        if !parsed.hits.iter().any(|hit| hit.is("-n")) {
            for file in files {
                self.beside(file, "rename");
            }
        }
        Some(out)
    }

    /// `zip`: an archive without an ending gets one; `-m` removes what is in it then.
    pub(super) fn zip(&mut self, args: &[Field], start: &Start) -> Option<Output> {
        let (family, row) = commands::find("zip")?;
        let parsed = commands::options::parse(row, args);
        let (archive, files) = parsed.operands.split_first()?;
        let bare = |text: &String| !text.rsplit('/').next().unwrap_or("").contains('.');
        if let Some(names) = archive.value.choices().filter(|all| all.iter().any(bare)) {
            let value = Value::any_of(names.iter().map(|text| format!("{text}.zip")).collect());
            self.on_path(Action::Write, &Field { value, ..archive.clone() }, PathScope::Exact, "zip");
        }
        if parsed.hits.iter().any(|hit| hit.is("-m")) {
            self.may += 1;
            for file in files {
                self.on_path(Action::Delete, file, PathScope::Tree, "zip");
            }
            self.may -= 1;
        }
        Some(self.apply(family, row, args, start).1)
    }

    /// `unzip` takes everything out here, unless it is told to look only.
    pub(super) fn unzip(&mut self, args: &[Field], start: &Start) -> Option<Output> {
        const LOOKS: &[&str] = &["-l", "-t", "-Z", "-p", "-c", "-v", "-z", "-h"];
        let (family, row) = commands::find("unzip")?;
        let parsed = commands::options::parse(row, args);
        let has = |name: &str| parsed.hits.iter().any(|hit| hit.is(name));
        let looks = LOOKS.iter().any(|name| has(name)) || parsed.operands.is_empty();
        let out = self.apply(family, row, args, start).1;
        if !looks && !has("-d") {
            self.facts("write:.", &[], start.span, "unzip");
        }
        Some(out)
    }
}

/// The template with its last X, at least three, as a star.
fn filled(template: &str, suffix: &str) -> String {
    let end = template.rfind('X').map_or(template.len(), |at| at + 1);
    let (body, own) = template.split_at(end);
    format!("{}*{own}{suffix}", body.trim_end_matches('X'))
}

/// `s/a/b/`, `y/a-z/A-Z/` of plain characters, or what util-linux takes: text.
fn only_substitutes(text: &str) -> bool {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-^$\\+*?[]() ".contains(c));
    let flags = text.rsplit('/').next().unwrap_or("");
    let code =
        text.contains('/') && (!text.starts_with(['s', 'y']) || flags.contains('e') || text.matches('/').count() != 3);
    plain && !code && !text.contains("$_") && !text.contains("(?")
}
