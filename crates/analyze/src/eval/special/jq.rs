//! `jq`: options that take two words, then a program that only computes.

use super::unknown;
use crate::commands::{self, options};
use crate::eval::run::Start;
use crate::eval::value::Field;
use crate::eval::{Eval, Output};
use model::{Action, PathScope, Risk};

impl Eval<'_> {
    pub(super) fn jq(&mut self, program: &str, args: &[Field], start: &Start) -> Option<Output> {
        let (family, row) = commands::find(program)?;
        let mut rest = args.iter();
        let mut kept: Vec<Field> = Vec::new();
        while let Some(field) = rest.next() {
            match field.known() {
                Some("--arg" | "--argjson") => {
                    rest.next();
                    rest.next();
                }
                Some("--slurpfile" | "--rawfile" | "--argfile") => {
                    rest.next();
                    if let Some(file) = rest.next() {
                        self.on_path(Action::Read, file, PathScope::Exact, program);
                    }
                }
                // What follows is data, but for options and, where there is none yet, the program.
                Some("--args" | "--jsonargs") => {
                    let words: Vec<Field> = rest.by_ref().cloned().collect();
                    let parsed = options::parse(row, &kept);
                    let has_program = !parsed.operands.is_empty() || parsed.hits.iter().any(|hit| hit.is("-f"));
                    let options = words.iter().filter(|field| field.value.prefix().starts_with('-')).cloned();
                    let first = words.iter().find(|field| !field.value.prefix().starts_with('-')).cloned();
                    kept.extend(options);
                    kept.extend(first.filter(|_| !has_program));
                }
                _ => kept.push(field.clone()),
            }
        }
        let parsed = options::parse(row, &kept);
        let from_file = parsed.hits.iter().any(|hit| hit.is("-f"));
        if from_file {
            // The language cannot leave its process, but it may show the environment.
            self.out.unexplained(start.span);
        } else if let Some(code) = parsed.operands.first() {
            self.jq_program(program, code, start);
        }
        let out = self.apply(family, row, &kept, start).1;
        Some(Output { fetched: out.fetched, ..unknown() })
    }

    fn jq_program(&mut self, program: &str, code: &Field, start: &Start) {
        match code.known().map(crate::jq::read) {
            Some(Some(facts)) => {
                if facts.loads {
                    self.out.find_as(13, Risk::Medium, code.span, &format!("{program} takes code from other files"));
                    self.out.unexplained(code.span);
                }
                if facts.environment {
                    self.out.find_as(
                        17,
                        Risk::Medium,
                        code.span,
                        "shows variables of the environment, which may be secret",
                    );
                }
            }
            // The language cannot leave its process; a program that is not known may still show the environment.
            Some(None) | None if code.value.prefix().contains("env") || code.known().is_some() => {
                self.opaque_code(code.span, program, start);
            }
            _ => {}
        }
    }
}
