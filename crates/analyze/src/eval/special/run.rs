//! Programs that run what they are told in ways a wrapper's row cannot say: `parallel`, containers, task runners.

use super::unknown;
use crate::commands::{self, options};
use crate::eval::run::Start;
use crate::eval::value::{Field, Value};
use crate::eval::{Eval, Output};
use model::{Action, PathScope};

/// What separates the command of `parallel` from its arguments.
const SOURCES: &[&str] = &[":::", ":::+", "::::", "::::+"];

/// What stands for an argument or a part of it.
const PLACES: &[&str] = &["{}", "{.}", "{/}", "{//}", "{/.}", "{#}", "{%}"];

/// What stands before the first and behind the last of [`PLACES`] in a word that has one.
pub(super) fn around_places(text: &str) -> Option<(&str, &str)> {
    let at = PLACES.iter().filter_map(|place| text.find(place)).min()?;
    let end = PLACES.iter().filter_map(|place| Some(text.rfind(place)? + place.len())).max()?;
    Some((text.get(..at)?, text.get(end..)?))
}

impl Eval<'_> {
    /// `parallel CMD ::: A B`: the command once for each argument.
    pub(super) fn parallel(&mut self, args: &[Field], start: &Start) -> Option<Output> {
        let (_, row) = commands::find("parallel")?;
        let cut = args.iter().position(|field| field.known().is_some_and(|text| SOURCES.contains(&text)));
        let cut = cut.unwrap_or(args.len());
        let (before, given) = (args.get(..cut).unwrap_or(&[]), args.get(cut + 1..).unwrap_or(&[]));
        let parsed = options::parse(row, before);
        self.options(row, &parsed, start);
        self.facts("write:~/.parallel", &[], start.span, "parallel");
        // Without a source the arguments are read from standard input.
        let from_files =
            cut == args.len() || args.get(cut).and_then(Field::known).is_some_and(|text| text.starts_with("::::"));
        let sources = given.iter().filter(|field| !field.known().is_some_and(|text| SOURCES.contains(&text)));
        let known: Option<Vec<&str>> =
            sources.map(|field| field.known().filter(|_| !field.glob && !from_files)).collect();
        let value = known.map_or(Value::Unknown, |all| Value::any_of(all.into_iter().map(str::to_owned).collect()));
        if parsed.operands.is_empty() {
            return None;
        }
        let argument = Field { value, many: false, ..Field::constant("", start.span) };
        let mut argv: Vec<Field> = Vec::new();
        let mut placed = false;
        for field in &parsed.operands {
            let text = field.known().unwrap_or("");
            let around = around_places(text);
            placed |= around.is_some();
            argv.push(match around {
                _ if text == "{}" => Field { span: field.span, ..argument.clone() },
                Some((head, tail)) => Field { value: Value::shape(head, tail), ..field.clone() },
                None => field.clone(),
            });
        }
        if !placed {
            argv.push(argument);
        }
        self.may += 1;
        match argv.as_slice() {
            // One word with blanks is shell text.
            [text, rest @ ..] if text.known().is_some_and(|text| text.contains(char::is_whitespace)) => {
                let whole = crate::eval::apply::joined(&[std::slice::from_ref(text), rest].concat());
                self.shell_text(&whole, start);
            }
            _ => {
                let inner = Start { unwrapped: start.unwrapped + 1, past_functions: true, ..start.clone() };
                self.in_subshell(|eval| eval.run(&argv, inner));
            }
        }
        self.may -= 1;
        Some(unknown())
    }

    /// `docker exec|run`, `podman`, `kubectl exec`: the row, then the command in the container.
    pub(super) fn container(&mut self, program: &str, args: &[Field], start: &Start) -> Option<Output> {
        let (family, row) = commands::find(program)?;
        let out = self.apply(family, row, args, start).1;
        let parsed = options::parse(row, args);
        let (verb, rest) = parsed.operands.split_first()?;
        let changes = verb.known().and_then(|verb| commands::find(&format!("{program} {verb}")));
        if program == "kubectl" && changes.is_some_and(|(_, row)| !row.does.is_empty()) {
            for hit in parsed.hits.iter().filter(|hit| hit.is("--context") || hit.is("--cluster") || hit.is("--user")) {
                self.out.find(20, hit.span, "changes another cluster than the one that is set");
            }
        }
        let verb = verb.known().filter(|verb| matches!(*verb, "exec" | "run"))?;
        let base = if program == "podman" { "docker" } else { program };
        let (_, row) = commands::find(&format!("{base} {verb}"))?;
        let parsed = options::parse(row, rest);
        let inner: Vec<Field> = match parsed.operands.iter().position(|field| field.known() == Some("--")) {
            Some(dashes) => parsed.operands.get(dashes + 1..).unwrap_or(&[]).to_vec(),
            None => parsed.operands.get(1..).unwrap_or(&[]).to_vec(),
        };
        self.elsewhere(&inner, "in the container", start);
        Some(out)
    }

    /// `npx`, `uv run`, `poetry run`, `direnv exec`: the row, then what the words behind it give away.
    pub(super) fn runner(&mut self, program: &str, args: &[Field], start: &Start) -> Option<Output> {
        // `npm run` alone lists the scripts.
        if matches!(program, "npm" | "pnpm") && matches!(args, [only] if only.known() == Some("run")) {
            self.on_path(Action::Read, &Field::constant("package.json", start.span), PathScope::Exact, program);
            return Some(unknown());
        }
        let (family, row) = commands::find(program)?;
        let out = self.apply(family, row, args, start).1;
        let verb = args.iter().position(|field| {
            field.known().is_some_and(|text| matches!(text, "run" | "exec" | "x" | "dlx" | "-c" | "--call"))
        });
        let rest = match (program, verb) {
            ("npx" | "bunx" | "uvx" | "pipx" | "nix-shell" | "sg", _) => Some(args),
            (_, Some(at)) => args.get(at + 1..),
            (_, None) => None,
        };
        if let Some(rest) = rest {
            self.arguments_tell(program, rest, start);
        }
        Some(out)
    }
}
