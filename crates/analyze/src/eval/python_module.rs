//! `python -m MODULE`: modules that are tools, and those that run code or a file they are given.

use super::Eval;
use super::interpreter::INTERPRETERS;
use super::run::Start;
use super::value::Field;
use model::{Action, PathScope, Reversibility};

impl Eval<'_> {
    /// `python -m MODULE`
    pub(super) fn python_module(&mut self, program: &str, given: &[Field], args: &[Field], start: &Start) {
        let Some((module, rest)) = given.split_first() else { return };
        let top = module.known().map(|name| name.split('.').next().unwrap_or(name).to_owned());
        self.shadows(&top.into_iter().collect::<Vec<_>>(), args, start.span);
        let row = match module.known() {
            Some("venv") => crate::commands::find("virtualenv"),
            Some(
                name @ ("pip" | "pytest" | "black" | "mypy" | "twine" | "uv" | "poetry" | "virtualenv" | "pipx" | "tox"
                | "nox" | "flake8" | "pylint" | "isort" | "ruff" | "conda"),
            ) => crate::commands::find(name),
            Some("json.tool") => {
                self.json_tool(program, rest);
                return;
            }
            Some("http.server") => {
                self.thing(Action::Listen, "a network port", Reversibility::Never, start.span, program);
                None
            }
            _ => None,
        };
        match row {
            Some((family, row)) => {
                self.apply(family, row, rest, start);
            }
            None => {
                let tool = format!("-m:{}", module.known().unwrap_or(""));
                self.verb_tells(&tool, rest, true, start);
                self.module_code(&tool, program, rest, start);
                self.opaque_program(program, rest, start);
            }
        }
    }

    /// Modules that run code or a file they are given: `timeit`, debuggers and profilers.
    fn module_code(&mut self, tool: &str, program: &str, rest: &[Field], start: &Start) {
        let Some(python) = INTERPRETERS.first() else { return };
        let operands: Vec<&Field> = rest.iter().filter(|field| !field.value.prefix().starts_with('-')).collect();
        match tool {
            "-m:timeit" => operands.iter().for_each(|code| self.inline_code(python, program, code, (&[], &[]), start)),
            "-m:cProfile" | "-m:profile" | "-m:trace" | "-m:pdb" | "-m:coverage" => {
                let file = operands
                    .iter()
                    .find(|field| field.value.prefix().contains('/') || field.value.suffix().ends_with(".py"));
                if let Some(file) = file.map(|file| (*file).clone()) {
                    self.run_file(&file, program, start);
                }
            }
            "-m:tarfile" | "-m:zipfile"
                if rest.first().is_some_and(|first| {
                    first.value.prefix().starts_with("-e") || first.value.prefix().starts_with("--e")
                }) =>
            {
                if let Some(target) = operands.get(1) {
                    self.on_path(Action::Write, target, PathScope::Tree, program);
                }
            }
            _ => {}
        }
    }

    /// `python -m json.tool [IN [OUT]]`
    fn json_tool(&mut self, program: &str, rest: &[Field]) {
        let files = rest.iter().filter(|field| !field.value.prefix().starts_with('-') || field.known() == Some("-"));
        for (at, file) in files.enumerate() {
            let action = if at == 0 { Action::Read } else { Action::Write };
            if file.known() != Some("-") {
                self.on_path(action, file, PathScope::Exact, program);
            }
        }
        let known = |text: &str| {
            matches!(
                text,
                "-" | "--sort-keys"
                    | "--no-ensure-ascii"
                    | "--json-lines"
                    | "--tab"
                    | "--no-indent"
                    | "--compact"
                    | "-h"
                    | "--help"
            )
        };
        for field in rest.iter().filter(|field| field.value.prefix().starts_with('-')) {
            if !field.known().is_some_and(known) {
                self.out.unexplained(field.span);
            }
        }
    }
}
