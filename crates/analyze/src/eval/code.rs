//! Shells and awk, and what understood code of any language does (BJ013).

use super::run::Start;
use super::value::{Field, Value};
use super::{Eval, Output, Stdin};
use crate::code::{self, Facts};
use crate::commands::Row;
use crate::commands::{options, row};
use crate::limits::CODE_BYTES_A_NODE;
use model::{Action, PathScope, Reversibility, Risk, Span, Target};

const SHELLS: &[&str] =
    &["bash", "sh", "dash", "zsh", "ksh", "mksh", "ash", "rbash", "fish", "csh", "tcsh", "yash", "posh", "pdksh"];

/// The options of gawk(1), which mawk and the others have some of. The code itself is read elsewhere.
static AWK: Row = row(
    "awk",
    "-F,--field-separator= -v,--assign= -f,--file=:exec+bj013 -E,--exec=:exec+bj013 -e,--source= -i,--include=:exec+bj013 \
     -l,--load=:exec+bj013 -o,--pretty-print?:write -d,--dump-variables?:write -p,--profile?:write -D,--debug?:bj013 -W=:bj013 \
     -b,--characters-as-bytes -c,--traditional -C,--copyright:noop -g,--gen-pot -h,--help:noop -I,--trace -k,--csv \
     -L,--lint? -M,--bignum -N,--use-lc-numeric -n,--non-decimal-data -O,--optimize -P,--posix -r,--re-interval \
     -s,--no-optimize -S,--sandbox -t,--lint-old -V,--version:noop",
    "+data read*",
    "",
);

/// Whether `program` is a shell.
pub(super) fn is_shell(program: &str) -> bool {
    SHELLS.contains(&program)
}

impl Eval<'_> {
    /// Runs `program` if it is an interpreter.
    pub(super) fn interpreter(&mut self, program: &str, args: &[Field], start: &Start) -> Option<Output> {
        if SHELLS.contains(&program) {
            return Some(self.shell(program, args, start));
        }
        if matches!(program, "awk" | "gawk" | "mawk" | "nawk") {
            return Some(self.awk(args, start));
        }
        self.language(program, args, start)
    }

    /// A shell: `-c TEXT`, a script, or text on standard input.
    fn shell(&mut self, program: &str, args: &[Field], start: &Start) -> Output {
        let mut rest = args.iter();
        let mut code = false;
        let mut interactive = false;
        let mut reads_stdin = false;
        let mut operand = None;
        while let Some(field) = rest.next() {
            match field.known() {
                Some("--version" | "--help") if args.len() == 1 => {
                    return Output { value: Value::Unknown, fetched: false };
                }
                Some("--rcfile" | "--init-file") => {
                    if let Some(file) = rest.next() {
                        self.run_file(&file.clone(), program, start);
                    }
                }
                Some("-o" | "+o" | "-O" | "+O") => {
                    rest.next();
                }
                Some("--") => {
                    operand = rest.next();
                    break;
                }
                Some("-") => reads_stdin = true,
                Some(text) if text.starts_with("--") => {}
                Some(text) if text.starts_with(['-', '+']) => {
                    code |= text.contains('c');
                    interactive |= text.contains('i') || text.contains('l');
                    reads_stdin |= text.contains('s');
                    if text.ends_with('o') {
                        rest.next();
                    }
                }
                _ => {
                    operand = Some(field);
                    break;
                }
            }
        }
        // `bash -n SCRIPT`: commands are read and not run.
        if let [option, script] = args
            && option.known() == Some("-n")
            && script.known().is_some_and(|text| !text.starts_with(['-', '+']))
        {
            self.on_path(Action::Read, script, PathScope::Exact, program);
            return Output { value: Value::Unknown, fetched: false };
        }
        if interactive {
            self.opaque_program(program, &[], start);
        }
        match operand {
            Some(text) if code => {
                let mut arguments = rest.clone();
                arguments.next();
                let outer = self.state.positional.take();
                let out = self.text_here(&text.clone(), start, true);
                self.state.positional = outer;
                out
            }
            Some(file) if !reads_stdin => {
                self.on_path(Action::Read, file, PathScope::Exact, program);
                if file.known() == Some("/dev/stdin") {
                    self.shell_stdin(program, start)
                } else {
                    self.shell_file(file, program, start)
                }
            }
            _ => self.shell_stdin(program, start),
        }
    }

    fn shell_file(&mut self, file: &Field, program: &str, start: &Start) -> Output {
        self.run_file(&file.clone(), program, start);
        Output { value: Value::Unknown, fetched: false }
    }

    fn shell_stdin(&mut self, program: &str, start: &Start) -> Output {
        let text = match &start.stdin {
            Stdin::Text(value) => Field { value: value.clone(), ..Field::constant("", start.span) },
            Stdin::Pipe(out) => {
                Field { value: out.value.clone(), fetched: out.fetched, ..Field::constant("", start.span) }
            }
            Stdin::File(Some(file)) => {
                let file = file.clone();
                return self.shell_file(&file, program, start);
            }
            Stdin::Inherited | Stdin::File(None) => {
                self.out.find(13, start.span, &format!("{program} takes commands from whoever is at its input"));
                return self.opaque_program(program, &[], start);
            }
        };
        if text.value.choices().is_none() && !text.fetched {
            self.out.find(13, start.span, &format!("{program} runs what another command prints"));
        }
        self.text_here(&text, start, true)
    }

    /// `awk`: the program is read for what can leave awk.
    fn awk(&mut self, args: &[Field], start: &Start) -> Output {
        let parsed = options::parse(&AWK, args);
        if self.options(&AWK, &parsed, start) {
            return Output { value: Value::Unknown, fetched: false };
        }
        let mut operands = parsed.operands.as_slice();
        let given: Vec<&Field> =
            parsed.hits.iter().filter(|hit| hit.is("-e")).filter_map(|hit| hit.value.as_ref()).collect();
        for code in &given {
            self.awk_code(code, start);
        }
        let in_file = parsed.hits.iter().any(|hit| hit.is("-f") || hit.is("-E"));
        if given.is_empty()
            && !in_file
            && let Some((code, rest)) = operands.split_first()
        {
            self.awk_code(code, start);
            operands = rest;
        }
        for field in operands {
            if !field.known().is_some_and(|text| text.contains('=') && !text.contains('/')) {
                self.role("read", field, false, "awk", start);
            }
        }
        Output { value: Value::Unknown, fetched: false }
    }

    /// What code that is understood as a whole does. Whether and how often is not known.
    pub(super) fn code_does(&mut self, facts: &Facts, span: Span, by: &str, start: &Start) {
        let mut on = |action, names: &[String], scope| {
            for name in names {
                self.on_path(action, &Field::constant(name, span), scope, by);
            }
        };
        on(Action::Read, &facts.reads, PathScope::Exact);
        on(Action::Write, &facts.writes, PathScope::Exact);
        on(Action::Delete, &facts.deletes, PathScope::Exact);
        on(Action::Delete, &facts.trees_deleted, PathScope::Tree);
        if facts.variables.iter().any(|name| crate::names::is_secret_variable(name)) {
            self.out.find(17, span, "shows a variable that may be a secret");
        }
        for text in facts.shell.iter().chain(&facts.pipes) {
            self.runs_inside(13, &Field::constant(text, span), by, start);
        }
        for module in &facts.modules {
            self.executes(&format!("the module {module} of {by}"), start);
        }
        if !facts.shell.is_empty() {
            self.out.find_as(13, Risk::Medium, span, &format!("{by} runs a command"));
        }
    }

    fn awk_code(&mut self, code: &Field, start: &Start) {
        let text = code.known().filter(|text| self.may_read(text.len() / CODE_BYTES_A_NODE, code.span));
        match text.and_then(code::awk::read) {
            Some(facts) => self.code_does(&facts, code.span, "awk", start),
            None => self.opaque_code(code.span, "awk", start),
        }
    }

    /// The effect of running an unknown program by a known one.
    pub(super) fn executes(&mut self, name: &str, start: &Start) {
        self.effect(
            Action::Execute,
            Target::Program { name: name.to_owned() },
            Reversibility::Harmless,
            start.span,
            name,
        );
        self.out.unexplained(start.span);
    }
}
