//! Simple commands: assignments, redirections, then the program by name, through wrappers, to a row.

use super::redirect::Redirected;
use super::state::Var;
use super::value::{Field, Value};
use super::{Eval, Output, Stdin};
use crate::commands::{self, wrapper};
use crate::environment;
use crate::limits::{VALUES_MAX, WRAPPER_DEPTH_MAX};
use crate::syntax::ast::{Assign, AssignValue, Command, Part, QuoteStyle, Simple, Word};
use model::{Action, Certificate, Invocation, PathScope, Reversibility, Risk, Span, Target};
use std::collections::BTreeSet;
use std::rc::Rc;

/// Directories whose programs are the system's own.
const SYSTEM_BIN: &[&str] = &["/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin", "/usr/local/sbin"];

/// One program start on its way through wrappers.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) stdin: Stdin,
    pub(super) span: Span,
    /// Wrappers taken off so far.
    pub(super) unwrapped: usize,
    /// A wrapper looks the program up past functions and builtins.
    pub(super) past_functions: bool,
}

/// Marks before a command, to see what it added.
struct Mark {
    effects: usize,
    findings: usize,
    unexplained: usize,
}

impl Eval<'_> {
    pub(super) fn simple(&mut self, simple: &Simple, command: &Command, stdin: Stdin) -> Output {
        let outer = std::mem::take(&mut self.shown);
        let argv: Vec<Field> = simple.words.iter().flat_map(|word| self.expand(word)).collect();
        let shown = std::mem::replace(&mut self.shown, outer);
        let by = argv.first().and_then(Field::known).unwrap_or("").to_owned();
        let (stdin, redirected) = self.redirects(&command.redirects, stdin, &by);
        let env: Vec<(String, Value, Span)> =
            simple.assigns.iter().map(|assign| self.assignment(assign, argv.is_empty())).collect();
        for (name, value, span) in &env {
            self.check_environment(name, value, *span, !argv.is_empty());
        }
        self.note_emptied(&argv, &redirected, command.span);
        if argv.is_empty() {
            // `$(< file)` is what stands in the file.
            let reads = matches!(stdin, Stdin::File(_)) && !command.redirects.is_empty();
            return if reads { Output::unknown() } else { Output::nothing() };
        }
        self.out.canonical.push(Invocation {
            argv: argv.iter().map(|field| self.shown(field)).collect(),
            redirects: redirected.canonical.clone(),
            env: env
                .iter()
                .map(|(name, value, span)| {
                    format!(
                        "{name}={}",
                        value.known().map_or_else(|| format!("‹{}›", self.source(*span)), str::to_owned)
                    )
                })
                .collect(),
            span: command.span,
        });
        for field in argv.iter().skip(1) {
            self.note_disguised_option(field);
        }
        // In nested text spans say nothing about the words; elsewhere the name itself is looked at by its span.
        simple.words.iter().skip(usize::from(self.nesting == 0)).for_each(|word| self.note_disguised_word(word));
        // `v=1 declare v=2`: bash puts the old value back, whatever the builtin assigned.
        let before: Vec<(String, Option<Var>)> =
            env.iter().map(|(name, ..)| (name.clone(), self.state.vars.get(name).cloned())).collect();
        // What a builtin or function itself sees: `IFS=, read a b`.
        for (name, value, _) in &env {
            self.state.set(name, value.clone());
        }
        let given: Vec<Option<Var>> = env.iter().map(|(name, ..)| self.state.vars.get(name).cloned()).collect();
        let outer = std::mem::replace(&mut self.shown, shown);
        let safe = |(name, value, _): &(String, Value, Span)| {
            name == "PYTHONSAFEPATH" && value.known().is_some_and(|text| !text.is_empty())
        };
        let outer_safe = std::mem::replace(&mut self.safe_path, env.iter().any(safe));
        let without = redirected.may_fail.then(|| self.state.clone());
        let out = self.run(&argv, Start { stdin, span: command.span, unwrapped: 0, past_functions: false });
        let out = match without {
            Some(without) => self.perhaps_not_run(without, out),
            None => out,
        };
        self.shown = outer;
        self.safe_path = outer_safe;
        self.note_written(&redirected, &out);
        let mut back: BTreeSet<String> = BTreeSet::new();
        for ((name, value), given) in before.into_iter().zip(given) {
            if !back.insert(name.clone()) {
                continue;
            }
            // Some builtins assign the variable of the shell, others this one that goes away.
            let value =
                if self.state.vars.get(&name) == given.as_ref() { value } else { Some(Var::Scalar(Value::Unknown)) };
            match value {
                Some(value) => self.state.vars.insert(name, value),
                None => self.state.vars.remove(&name),
            };
        }
        out
    }

    /// Evaluates an assignment; where no command follows the variable keeps the value.
    fn assignment(&mut self, assign: &Assign, keep: bool) -> (String, Value, Span) {
        if let Some(subscript) = &assign.subscript {
            self.subscript(subscript, assign.span);
        }
        let value = match &assign.value {
            AssignValue::Scalar(word) => {
                let value = self.text_of(word);
                if assign.append {
                    self.state.scalar(&assign.name).unwrap_or(Value::Unknown).concat(&value)
                } else {
                    value
                }
            }
            AssignValue::Array(words) => {
                let fields: Vec<Field> = words.iter().flat_map(|word| self.expand(word)).collect();
                let plain = !assign.append && !self.state.altered.contains(&assign.name);
                if keep && plain && !fields.iter().any(|field| field.many || field.glob) {
                    let values = fields.into_iter().map(|field| field.value).collect();
                    self.state.vars.insert(assign.name.clone(), Var::Array(values));
                } else if keep {
                    self.state.set(&assign.name, Value::Unknown);
                }
                return (assign.name.clone(), Value::Unknown, assign.span);
            }
        };
        if self.state.integers.contains(&assign.name) {
            self.evaluated_number(&value, assign.span);
        }
        if keep {
            let value = if assign.subscript.is_some() { Value::Unknown } else { value.clone() };
            self.state.set(&assign.name, value);
        }
        (assign.name.clone(), value, assign.span)
    }

    /// BJ012: variables that decide which program or which code runs.
    pub(super) fn check_environment(&mut self, name: &str, value: &Value, span: Span, exported: bool) {
        if let Some((severity, why)) = environment::hijack(name, value, exported) {
            self.out.find_as(12, severity, span, &format!("{name} {why}"));
        }
    }

    /// `> file` with no command to fill it empties the file.
    fn note_emptied(&mut self, argv: &[Field], redirected: &Redirected, span: Span) {
        let fills = argv.first().is_some_and(|name| !matches!(name.known(), Some(":" | "true")));
        let dev_null = argv.get(1).and_then(Field::known) == Some("/dev/null")
            && argv.first().and_then(Field::known) == Some("cat");
        if fills && !dev_null {
            return;
        }
        for target in &redirected.truncated {
            if !target.known().is_some_and(crate::names::is_sink) {
                self.out.find(19, span, "a file is emptied");
            }
        }
    }

    /// Runs one argument vector.
    pub(super) fn run(&mut self, argv: &[Field], start: Start) -> Output {
        let Some((name, args)) = argv.split_first() else { return Output::nothing() };
        if start.unwrapped > WRAPPER_DEPTH_MAX {
            self.out.find(90, start.span, "too many wrappers around a command");
            return Output::unknown();
        }
        let choices = match name.value.choices() {
            Some(all) if !name.many && !name.glob && all.len() <= VALUES_MAX => all.to_vec(),
            _ => return self.unknown_program(name, args, &start),
        };
        let alternatives = choices.len() > 1;
        self.may += usize::from(alternatives);
        let mut out = Output::nothing();
        for choice in &choices {
            out = self.program(choice, name, args, start.clone());
        }
        self.may -= usize::from(alternatives);
        if alternatives { Output::unknown() } else { out }
    }

    fn unknown_program(&mut self, name: &Field, args: &[Field], start: &Start) -> Output {
        self.out.find(11, name.span, "which program runs depends on a value that is not known");
        self.out.unexplained(name.span);
        let text = self.source(name.span);
        self.effect(Action::Execute, Target::Unknown { text }, Reversibility::Harmless, start.span, "");
        if name.fetched {
            self.out.find(15, name.span, "the program to run comes from the network");
        }
        let _ = args;
        Output::unknown()
    }

    fn program(&mut self, called: &str, name: &Field, args: &[Field], start: Start) -> Output {
        if called.is_empty() {
            return Output::nothing();
        }
        if called.contains(|c: char| model::escape::is_deceptive(c) && !c.is_control()) {
            self.out.find(4, name.span, "a program whose name has a character that is not seen");
        }
        if !start.past_functions
            && let Some(body) = self.state.functions.get(called).map(Rc::clone)
        {
            if self.state.either.contains(called) {
                self.out.find(7, name.span, "which body of a function runs depends on what ran before");
                self.out.unexplained(name.span);
            }
            let known = !args.iter().any(|field| field.many);
            let arguments = known.then(|| args.iter().map(|field| field.value.clone()).collect());
            let outer = std::mem::replace(&mut self.ambient, super::shared(&start.stdin));
            let mark = self.mark();
            let out = self.call(called, &body, arguments);
            self.certify(&format!("function/{called}"), &mark, start.span);
            self.ambient = outer;
            return out;
        }
        let Some(program) = system_name(called) else { return self.local_program(called, name, args, &start) };
        self.note_disguise(&program, name);
        let mark = self.mark();
        let outer = std::mem::replace(&mut self.since, mark.effects);
        let known = self.known_program(&program, args, &start);
        self.since = outer;
        self.verb_tells(&program, args, known.is_none(), &start);
        self.inner_tells(&program, args, &start);
        match known {
            Some((row, out)) => {
                self.certify(&row, &mark, start.span);
                out
            }
            None if tells_version(&program, args) => {
                self.certify(&format!("version/{program}"), &mark, start.span);
                Output::unknown()
            }
            None => self.opaque_program(&program, args, &start),
        }
    }

    /// BJ006: a program name put together from quotes reads differently from what it is.
    fn note_disguise(&mut self, program: &str, name: &Field) {
        let source = self.text.get(name.span.start..name.span.end).unwrap_or("");
        let plain = source.chars().filter(|c| !matches!(c, '"' | '\'' | '\\' | '$')).collect::<String>();
        let quoted_whole = source.len() >= 2
            && (source
                .strip_prefix('"')
                .is_some_and(|rest| rest.strip_suffix('"').is_some_and(|body| !body.contains('"')))
                || source
                    .strip_prefix('\'')
                    .is_some_and(|rest| rest.strip_suffix('\'').is_some_and(|body| !body.contains('\''))));
        let escaped_first = source.strip_prefix('\\').is_some_and(|rest| rest == program);
        let hides = source.contains(['"', '\'', '\\']) && !quoted_whole && !escaped_first;
        // The span of a name inside `sh -c '...'` is that of the whole quoted script, which is no name.
        let hides = hides && !plain.contains(char::is_whitespace);
        let names = plain == program || plain.strip_suffix(program).is_some_and(|dir| dir.ends_with('/'));
        if hides && (names || source.starts_with("$'")) {
            self.out.find(6, name.span, &format!("quotes inside a program's name hide that it is {program}"));
        }
    }

    /// BJ006: a word put together from quotes so that it is the name of a program, wherever another shell or a wrapper
    /// may take it for one.
    fn note_disguised_word(&mut self, word: &Word) {
        if let Some(name) = disguised(word).filter(|name| commands::is_known(name)) {
            self.out.find(6, word.span, &format!("quotes inside a program's name hide that it is {name}"));
        }
    }

    /// BJ006: `-del''ete`, `-\\rf`. A value may be quoted (`-g"*.py"`), the letters of a name have no reason to be.
    fn note_disguised_option(&mut self, field: &Field) {
        let source = self.text.get(field.span.start..field.span.end).unwrap_or("");
        if !source.starts_with('-') || !source.contains(['\'', '"', '\\']) {
            return;
        }
        let name = source.split('=').next().unwrap_or(source).as_bytes();
        let hides = name.windows(3).any(|three| {
            let letter = |at: usize| three.get(at).is_some_and(u8::is_ascii_alphabetic);
            match three {
                [_, b'\\', _] => letter(2) && (letter(0) || three.starts_with(b"-")),
                [b'\'', b'\'', _] | [b'"', b'"', _] => letter(2),
                _ => false,
            }
        });
        if hides {
            self.out.find_as(6, Risk::Medium, field.span, "quotes inside an option's name hide which option it is");
        }
    }

    /// A program with a row or code of its own; `None` when nobody knows it.
    fn known_program(&mut self, program: &str, args: &[Field], start: &Start) -> Option<(String, Output)> {
        if let Some(out) = self.builtin(program, args, start) {
            return Some((format!("builtin/{program}"), out));
        }
        if let Some(out) = self.interpreter(program, args, start) {
            return Some((format!("code/{program}"), out));
        }
        if let Some(out) = self.special(program, args, start) {
            return Some((format!("special/{program}"), out));
        }
        if let Some(wrapper) = wrapper::find(program) {
            let out = self.unwrap(wrapper, args, start);
            return Some((format!("wrapper/{program}"), out));
        }
        let (family, row) = commands::find(program)?;
        let out = self.apply(family, row, args, start);
        Some(out)
    }

    /// A program named by a path of its own: code of the project or of a stranger.
    fn local_program(&mut self, path: &str, name: &Field, args: &[Field], start: &Start) -> Output {
        for (resolved, _) in self.resolve(path) {
            if self.state.downloaded.contains(&resolved) {
                self.out.find(15, name.span, "runs a file that was downloaded just before");
            }
        }
        if path.starts_with("/tmp/") || path.starts_with("/var/tmp/") || path.starts_with("/dev/") {
            self.out.find(15, name.span, "runs a program from a directory anyone can write");
        }
        // `bin/rails`, `./gradlew`, `node_modules/.bin/tsc`: tools that projects bring with them.
        let tool = path.rsplit('/').next().filter(|_| !path.starts_with("./")).unwrap_or(path);
        self.verb_tells(tool, args, false, start);
        if let Some((_, row)) = commands::find(path) {
            return self.apply("local", row, args, start).1;
        }
        self.run_written(path, name.span, true);
        self.opaque_program(path, args, start)
    }

    /// Shell text that this script wrote into a file before it runs the file. It stays opaque besides: something else may
    /// have changed the file, so this can only add to what is known.
    pub(super) fn run_written(&mut self, path: &str, span: Span, fresh: bool) {
        let found = self.resolve(path).into_iter().find_map(|(path, _)| self.state.written.get(&path).cloned());
        let texts = found.as_ref().and_then(Value::choices).unwrap_or(&[]).to_vec();
        for text in texts {
            let first = text.lines().next().unwrap_or("");
            let interpreter =
                first.strip_prefix("#!").map(|rest| rest.split(['/', ' ', '\t']).any(|word| word.ends_with("sh")));
            if interpreter.unwrap_or(true) {
                self.may += 1;
                self.nested_text(&text, span, fresh);
                self.may -= 1;
            }
        }
    }

    /// A program nobody here knows.
    pub(super) fn opaque_program(&mut self, program: &str, args: &[Field], start: &Start) -> Output {
        let target = match program.contains('/') {
            true => self.program_at(program),
            false => Target::Program { name: program.to_owned() },
        };
        self.effect(Action::Execute, target, Reversibility::Harmless, start.span, program);
        self.out.unexplained(start.span);
        self.arguments_tell(program, args, start);
        if matches!(args, [only] if matches!(only.known(), Some("--version" | "--help"))) {
            self.out.find_as(
                13,
                Risk::Medium,
                start.span,
                "a program that no table knows is asked for its version or help",
            );
        }
        Output::unknown()
    }

    /// Takes a wrapper off and runs what it runs.
    fn unwrap(&mut self, wrapper: &'static wrapper::Wrapper, args: &[Field], start: &Start) -> Output {
        let name = wrapper.row.name;
        let parsed = commands::options::parse(&wrapper.row, args);
        let saved = self.state.cwd.clone();
        let outer_safe = self.safe_path;
        let noop = self.options(&wrapper.row, &parsed, start);
        self.facts(wrapper.row.does, &[], start.span, name);
        let mut inner = parsed.operands.as_slice();
        if name == "env" {
            // A lone `-` is `-i`.
            inner = match inner.split_first() {
                Some((first, rest)) if first.known() == Some("-") => rest,
                _ => inner,
            };
            if self.env_split(&parsed, inner, start) {
                self.state.cwd = saved;
                return Output::unknown();
            }
            inner = self.env_assignments(inner);
        }
        for skipped in inner.get(..wrapper.skips.min(inner.len())).unwrap_or(&[]) {
            if skipped.many {
                self.out.find(11, skipped.span, "which program runs depends on a value that is not known");
            }
        }
        if let Some(file) = inner.first().filter(|file| {
            name == "flock" && !file.known().is_some_and(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        }) {
            // It is made where it is missing.
            self.may += 1;
            self.on_path(Action::Write, file, PathScope::Exact, name);
            self.may -= 1;
        }
        inner = inner.get(wrapper.skips.min(inner.len())..).unwrap_or(&[]);
        let mut argv = inner.to_vec();
        if wrapper.appends {
            argv = self.fed(argv, &parsed, start);
        }
        let out = if noop || argv.is_empty() {
            self.bare_wrapper(name, start)
        } else {
            let past = !matches!(name, "time" | "builtin");
            let stdin = if wrapper.appends { Stdin::File(None) } else { start.stdin.clone() };
            let inner = Start { stdin, span: start.span, unwrapped: start.unwrapped + 1, past_functions: past };
            // All but these are programs: what they start is no builtin, and assigns nothing here.
            if matches!(name, "command" | "builtin" | "exec") {
                self.run(&argv, inner)
            } else {
                self.in_subshell(|eval| eval.run(&argv, inner))
            }
        };
        self.state.cwd = saved;
        self.safe_path = outer_safe;
        out
    }

    /// A wrapper without an inner command: `env` prints the environment, `sudo -i` gives a root shell.
    fn bare_wrapper(&mut self, name: &str, start: &Start) -> Output {
        if matches!(name, "sudo" | "doas" | "unshare" | "nsenter" | "chroot" | "runuser" | "setpriv" | "pkexec") {
            self.effect(
                Action::Execute,
                Target::Program { name: "a shell".into() },
                Reversibility::Harmless,
                start.span,
                name,
            );
            self.out.unexplained(start.span);
        }
        Output::unknown()
    }

    /// `env NAME=value ...`: assignments in front of the inner command.
    /// `env -S 'bash -c' TEXT`: the words of the string come first, then the operands. Whether it was that.
    fn env_split(&mut self, parsed: &commands::options::Parsed, operands: &[Field], start: &Start) -> bool {
        let split = parsed.hits.iter().rfind(|hit| hit.is("-S")).and_then(|hit| hit.value.as_ref());
        let Some(split) = split.filter(|_| !operands.is_empty()) else { return false };
        let known: Option<Vec<std::ffi::OsString>> = operands.iter().map(|field| Some(field.known()?.into())).collect();
        match (split.known(), known) {
            (Some(text), Some(words)) => {
                let words = crate::quote::quote(&words);
                let whole = format!("{text} {}", String::from_utf8_lossy(&words));
                self.shell_text(&Field::constant(&whole, split.span), start);
            }
            _ => {
                self.out.find(11, split.span, "which program runs depends on a value that is not known");
                self.out.unexplained(start.span);
            }
        }
        true
    }

    pub(super) fn env_assignments<'f>(&mut self, mut args: &'f [Field]) -> &'f [Field] {
        while let Some((first, rest)) = args.split_first() {
            let text = first.value.prefix().to_owned();
            let Some((name, value)) = text.split_once('=') else { break };
            let value = if first.known().is_some() { Value::Known(value.to_owned()) } else { Value::Unknown };
            if name.starts_with("BASH_FUNC_") {
                self.out.find(7, first.span, "a function is handed to a shell through the environment");
            }
            self.check_environment(name, &value, first.span, true);
            self.safe_path |= name == "PYTHONSAFEPATH" && value.known().is_some_and(|text| !text.is_empty());
            args = rest;
        }
        args
    }

    /// What `xargs` runs: the words it was given and words that are read.
    fn fed(&mut self, mut argv: Vec<Field>, parsed: &commands::options::Parsed, start: &Start) -> Vec<Field> {
        if argv.is_empty() {
            argv.push(Field::constant("echo", start.span));
        }
        let from_file = parsed.hits.iter().any(|hit| hit.is("-a"));
        let names = self.piped_names.take().filter(|_| !from_file && matches!(start.stdin, Stdin::Pipe(_)));
        let given = match names {
            Some(names) => Field { value: Value::any_of(names), glob: true, ..Field::constant("", start.span) },
            None => Field { value: Value::Unknown, many: true, ..Field::constant("", start.span) },
        };
        let replaces = parsed.hits.iter().find(|hit| hit.is("-I") || hit.is("-i"));
        if let Some(hit) = replaces {
            let mark = hit.value.as_ref().and_then(Field::known).unwrap_or("{}").to_owned();
            for field in &mut argv {
                match field.known() {
                    Some(text) if text == mark => *field = Field { span: field.span, many: false, ..given.clone() },
                    Some(text) if text.contains(&mark) => {
                        let head = text.split_once(&mark).map_or("", |(head, _)| head);
                        let tail = text.rsplit_once(&mark).map_or("", |(_, tail)| tail);
                        field.value = Value::shape(head, tail);
                    }
                    _ => {}
                }
            }
        } else {
            argv.push(given);
        }
        argv
    }

    /// Runs shell text that other code starts. Whoever only looks may be started from anywhere; a change that is hidden in
    /// other code is told as `check`.
    pub(super) fn runs_inside(&mut self, check: u16, text: &Field, by: &str, start: &Start) {
        let mark = self.mark();
        self.may += 1;
        // What it reads is what the other code prints.
        let inner = Start { stdin: Stdin::Pipe(Output::unknown()), ..start.clone() };
        self.shell_text(text, &inner);
        self.may -= 1;
        if !self.only_read_since(&mark) {
            self.out.find(check, text.span, &format!("{by} runs a command that does more than read"));
        }
    }

    fn mark(&self) -> Mark {
        Mark {
            effects: self.out.effects.len(),
            findings: self.out.findings.len(),
            unexplained: self.out.unexplained.len(),
        }
    }

    fn only_read_since(&self, mark: &Mark) -> bool {
        let new = self.out.effects.get(mark.effects..).unwrap_or(&[]);
        new.iter().all(|effect| effect.action == Action::Read)
            && self.out.findings.len() == mark.findings
            && self.out.unexplained.len() == mark.unexplained
    }

    /// Gives a certificate when the command added nothing but reads.
    fn certify(&mut self, row: &str, mark: &Mark, span: Span) {
        if self.only_read_since(mark) && self.out.certificates.len() < crate::limits::REPORT_MAX {
            self.out.certificates.push(Certificate { span, row: row.to_owned() });
        }
    }
}

/// Whether a program that no other table knows only tells its version.
fn tells_version(program: &str, args: &[Field]) -> bool {
    let words: Option<Vec<&str>> = args.iter().map(Field::known).collect();
    words.is_some_and(|words| commands::version::tells(program, &words))
}

/// The bare name of a program that is looked up in the system's directories; `None` for any other path.
fn system_name(called: &str) -> Option<String> {
    match called.rsplit_once('/') {
        None => Some(called.to_owned()),
        Some((dir, name)) if SYSTEM_BIN.contains(&dir) && !name.is_empty() => Some(name.to_owned()),
        Some(_) => None,
    }
}

/// The text of a constant word in whose middle something is quoted or escaped, or that is quoted as `$'...'`.
fn disguised(word: &Word) -> Option<String> {
    let mut text = String::new();
    for part in &word.parts {
        match part {
            Part::Literal(piece) | Part::Quoted(piece, _) => text.push_str(piece),
            Part::Double(inner) => match inner.as_slice() {
                [] => {}
                [Part::Quoted(piece, _)] => text.push_str(piece),
                _ => return None,
            },
            _ => return None,
        }
    }
    let hides = match word.parts.as_slice() {
        [Part::Quoted(_, style)] => *style == QuoteStyle::Ansi,
        // `\ls`: past an alias.
        [Part::Quoted(_, QuoteStyle::Backslash), Part::Literal(_)] => false,
        [] | [_] => false,
        _ => true,
    };
    hides.then_some(text)
}
