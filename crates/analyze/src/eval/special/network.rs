//! `curl`, `wget`, `ssh`, `rsync`, `scp`: what comes in, what goes out.

use super::unknown;
use crate::commands;
use crate::eval::run::Start;
use crate::eval::value::{Field, Value};
use crate::eval::{Eval, Output};
use model::{Action, PathScope};

impl Eval<'_> {
    /// `curl` and `wget`: the row, then what is remembered: downloaded files, data that leaves.
    pub(super) fn download(&mut self, program: &str, args: &[Field], start: &Start) -> Option<Output> {
        let (family, row) = commands::find(program)?;
        let parsed = commands::options::parse(row, args);
        for hit in &parsed.hits {
            let Some(value) = &hit.value else { continue };
            let saves = hit.is("-o") || hit.is("-O") || hit.is("--output-document");
            if let Some(name) = value.known().filter(|_| saves) {
                let paths: Vec<_> = self.resolve(name).into_iter().map(|(path, _)| path).collect();
                self.state.downloaded.extend(paths);
            }
            if ["-d", "--data-binary", "--data-urlencode", "-F", "--json"].iter().any(|name| hit.is(name)) {
                self.uploaded(value, program);
            }
        }
        let named_by_url = parsed.hits.iter().any(|hit| program == "curl" && hit.is("-O")) || program == "wget";
        if named_by_url {
            for url in &parsed.operands {
                let name = url.value.prefix().rsplit('/').next().unwrap_or("").to_owned();
                let paths: Vec<_> = self.resolve(&name).into_iter().map(|(path, _)| path).collect();
                self.state.downloaded.extend(paths);
            }
        }
        let out = self.apply(family, row, args, start).1;
        Some(Output { value: out.value, fetched: true })
    }

    /// `-d @file` sends a file.
    fn uploaded(&mut self, value: &Field, program: &str) {
        let text = value.value.prefix().to_owned();
        let file = text.split_once('@').map(|(_, file)| file.split(';').next().unwrap_or(file).to_owned());
        if let Some(file) = file.filter(|file| !file.is_empty() && file != "-") {
            let known = value.known().is_some();
            let field =
                Field { value: if known { Value::Known(file) } else { Value::starting(&file) }, ..value.clone() };
            self.on_path(Action::Read, &field, PathScope::Exact, program);
        }
    }

    /// `ssh HOST CMD`: everything behind the host runs over there.
    pub(super) fn ssh(&mut self, args: &[Field], start: &Start) -> Output {
        let Some((family, row)) = commands::find("ssh") else { return unknown() };
        let out = self.apply(family, row, args, start).1;
        let parsed = commands::options::parse(row, args);
        for field in parsed.hits.iter().filter(|hit| hit.is("-o")).filter_map(|hit| hit.value.as_ref()) {
            let name = field.value.prefix().split(['=', ' ']).next().unwrap_or("").to_lowercase();
            if matches!(name.as_str(), "proxycommand" | "localcommand" | "knownhostscommand" | "permitlocalcommand") {
                self.executes("ssh", start);
            }
        }
        if let Some(command) = parsed.operands.get(1..).filter(|command| !command.is_empty()) {
            self.text_elsewhere(&crate::eval::apply::joined(command), "on the other machine", start);
        }
        out
    }

    /// `rsync` and `scp`: sources are read, only the last is written.
    pub(super) fn copy_remote(&mut self, program: &str, args: &[Field], start: &Start) -> Option<Output> {
        let (family, row) = commands::find(program)?;
        let parsed = commands::options::parse(row, args);
        for source in parsed.operands.iter().rev().skip(1).filter(|field| !field.value.prefix().contains(':')) {
            self.on_path(Action::Read, source, PathScope::Tree, program);
        }
        // Sources are known by their values: inside `sh -c` all words have one span.
        let mut sources = parsed.operands.iter().rev().skip(1).collect::<Vec<_>>().into_iter().rev().peekable();
        let mut kept: Vec<Field> = Vec::new();
        for field in args {
            let source = sources.next_if(|source| source.value == field.value && source.span == field.span);
            if source.is_none() || field.value.prefix().contains(':') {
                kept.push(field.clone());
            }
        }
        if parsed.hits.iter().any(|hit| hit.is("-n"))
            && parsed.operands.iter().all(|field| !field.value.prefix().contains(':'))
        {
            return Some(unknown());
        }
        self.apply(family, row, &kept, start);
        Some(unknown())
    }
}
