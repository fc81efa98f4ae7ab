//! Builtins that change the shell itself or evaluate text.

use super::apply::joined;
use super::printed::{echo, printed};
use super::run::Start;
use super::state::Var;
use super::value::{Field, Value};
use super::{Eval, Output, Stdin};
use model::{Action, PathScope, Reversibility, Risk, Target};

impl Eval<'_> {
    /// Runs `program` if it is a builtin read in code.
    pub(super) fn builtin(&mut self, program: &str, args: &[Field], start: &Start) -> Option<Output> {
        match program {
            "cd" | "pushd" => self.cd(args),
            "popd" => self.state.cwd.places.clear(),
            "set" => self.set(args),
            "shift" => self.shift(args),
            "export" | "declare" | "typeset" | "local" | "readonly" => self.declare(program, args),
            "unset" => self.unset(args),
            "read" => self.read(args, &start.stdin),
            "getopts" => {
                let names = ["OPTARG", "OPTIND"].into_iter().chain(args.get(1).and_then(Field::known));
                names.for_each(|name| self.state.set(name, Value::Unknown));
                args.get(1).into_iter().for_each(|name| self.subscript_data(name));
            }
            "mapfile" | "readarray" => self.mapfile(args, start),
            "let" => args.iter().for_each(|field| self.subscript_data(field)),
            "eval" => return Some(self.eval(args, start)),
            "." | "source" => self.source_file(args, start),
            "trap" => self.trap(args, start),
            "alias" => self.alias(args, start),
            "enable" | "hash" => self.shadow(program, args, start),
            "exit" | "return" => {}
            "echo" => {
                self.printed_secrets(start);
                return Some(echo(args));
            }
            "printf" => {
                self.printed_secrets(start);
                return Some(self.printf(args));
            }
            "test" | "[" => self.test_operands(args),
            _ => return None,
        }
        Some(Output { value: Value::Unknown, fetched: false })
    }

    fn cd(&mut self, args: &[Field]) {
        let operand =
            args.iter().find(|field| !field.known().is_some_and(|text| matches!(text, "-P" | "-L" | "-e" | "--")));
        let places = match operand {
            None => self
                .state
                .scalar("HOME")
                .and_then(|home| home.known().map(str::to_owned))
                .map(|home| self.resolve(&home)),
            Some(field) => {
                field.known().filter(|text| *text != "-" && !text.starts_with('+')).map(|text| self.resolve(text))
            }
        };
        match places {
            Some(places) if !self.state.cwd.places.is_empty() || places.iter().all(|(path, _)| path.is_absolute()) => {
                self.state.cwd.change(places.into_iter().map(|(path, _)| path).collect());
            }
            _ => {
                self.state.cwd.places.clear();
                self.state.cwd.if_failed.clear();
            }
        }
    }

    fn declare(&mut self, program: &str, args: &[Field]) {
        let exports = program == "export"
            || args.iter().any(|field| field.known().is_some_and(|text| text.starts_with('-') && text.contains('x')));
        let flagged = |letters: &[char]| {
            args.iter().any(|field| field.known().is_some_and(|text| text.starts_with('-') && text.contains(letters)))
        };
        let integer = flagged(&['i']);
        let converts = integer || flagged(&['l', 'u', 'c']);
        let fixes = program == "readonly" || flagged(&['r']);
        if program == "local" && self.locals.is_empty() {
            // Bash refuses; nothing is assigned.
            return;
        }
        // An option bash does not know is refused, and nothing is assigned.
        let letters = match program {
            "export" => "fnp",
            "readonly" => "aAfp",
            _ => "aAfFgiIlnrtuxcp",
        };
        let refused = args.iter().any(|field| {
            let text = field.value.prefix();
            text != "--" && text.starts_with(['-', '+']) && !text.chars().skip(1).all(|letter| letters.contains(letter))
        });
        let here = matches!(program, "local" | "declare" | "typeset") && !flagged(&['g']);
        for field in args {
            if field.many || field.value.prefix().is_empty() {
                self.out.find(10, field.span, "a declaration whose name is not known");
                continue;
            }
            let text = field.value.prefix().to_owned();
            if text.starts_with(['-', '+']) {
                if text.contains('n') && program != "export" {
                    self.out.find(10, field.span, "a name stands for another variable, which is not followed");
                    self.state.forget_variables();
                }
                if text.contains('f') && program == "export" {
                    self.out.find(7, field.span, "a function is handed to other shells");
                }
                continue;
            }
            let (name, value) = match text.split_once('=') {
                Some((name, value)) if field.known().is_some() => {
                    (name.to_owned(), Some(Value::Known(value.to_owned())))
                }
                Some((name, value)) => (name.to_owned(), Some(Value::shape(value, field.value.suffix()))),
                None => (text.clone(), None),
            };
            self.evaluated_again(&name, field.span);
            let plain = name.trim_end_matches('+').split('[').next().unwrap_or(&name).to_owned();
            if here {
                self.keep_for_the_caller(&plain);
            }
            if converts {
                self.state.altered.insert(plain.clone());
            }
            if integer {
                self.evaluated_again(&text, field.span);
                self.state.integers.insert(name.trim_end_matches('+').to_owned());
            }
            if let Some(value) = value.as_ref().filter(|_| self.state.integers.contains(name.trim_end_matches('+'))) {
                self.evaluated_number(value, field.span);
            }
            if let Some(value) = value {
                self.check_environment(name.trim_end_matches('+'), &value, field.span, exports);
                let whole = !name.ends_with(['+', ']']) && !refused;
                self.state.set(&plain, if whole { value } else { Value::Unknown });
            } else if here && !self.locals.is_empty() {
                // A new variable without a value.
                self.state.vars.remove(&plain);
            }
            if fixes {
                self.state.altered.insert(plain);
            }
        }
    }

    /// A variable of a function: what it was outside comes back when the function ends.
    fn keep_for_the_caller(&mut self, name: &str) {
        let before = self.state.vars.get(name).cloned();
        if let Some(locals) = self.locals.last_mut() {
            locals.entry(name.to_owned()).or_insert(before);
        }
    }

    fn unset(&mut self, args: &[Field]) {
        for field in args {
            self.subscript_data(field);
            if let Some(name) = field.known() {
                if name.starts_with("HIST") {
                    self.out.find(12, field.span, &format!("{name} decides whether what is run is remembered"));
                }
                self.state.vars.insert(name.to_owned(), Var::Scalar(Value::Unknown));
                self.state.functions.remove(name);
            }
        }
    }

    /// `read`: from a here-string of a constant the values are known, else they are not.
    fn read(&mut self, args: &[Field], stdin: &Stdin) {
        let mut names: Vec<&Field> = Vec::new();
        let mut rest = args.iter();
        // With other options it reads elsewhere, or not a line; without -r backslashes go.
        let mut whole_line = true;
        let mut raw = false;
        while let Some(field) = rest.next() {
            match field.known() {
                Some(text) if text.starts_with('-') && names.is_empty() => {
                    whole_line &= text.bytes().skip(1).all(|letter| b"raeps".contains(&letter));
                    raw |= text.contains('r');
                    let takes = text.ends_with(['d', 'n', 'N', 'p', 't', 'u', 'i']);
                    let array = text.ends_with('a');
                    if takes {
                        rest.next();
                    } else if array && let Some(name) = rest.next().and_then(Field::known) {
                        self.state.set(name, Value::Unknown);
                    }
                }
                _ => names.push(field),
            }
        }
        let found = self.piped_names.as_ref().filter(|_| matches!(stdin, Stdin::Pipe(_)) && names.len() == 1);
        let found = found.map(|all| Value::any_of(all.iter().map(|name| Value::found_by_glob(name)).collect()));
        let line = match stdin {
            Stdin::Text(Value::Known(text)) => text.split('\n').next().map(str::to_owned),
            _ => None,
        };
        let line = line.filter(|line| whole_line && (raw || !line.contains('\\')));
        let separators = self.state.scalar("IFS").and_then(|value| value.known().map(str::to_owned));
        let words: Option<Vec<String>> = match (line, separators) {
            (Some(line), Some(blanks)) if blanks == " \t\n" => Some(fields_of(&line, names.len())),
            // Other characters part fields one by one, and the last name gets the rest as it is, without one at its end.
            (Some(line), Some(others))
                if !others.contains([' ', '\t', '\n']) && !line.ends_with(|c| others.contains(c)) =>
            {
                Some(line.splitn(names.len().max(1), |c| others.contains(c)).map(str::to_owned).collect())
            }
            _ => None,
        };
        for (at, field) in names.iter().enumerate() {
            self.subscript_data(field);
            let Some(name) = field.known() else {
                self.state.forget_variables();
                continue;
            };
            let value = match &words {
                Some(words) => Value::Known(words.get(at).cloned().unwrap_or_default()),
                None => found.clone().unwrap_or(Value::Unknown),
            };
            self.state.set(name.split('[').next().unwrap_or(name), value);
        }
    }

    fn mapfile(&mut self, args: &[Field], start: &Start) {
        let mut rest = args.iter();
        while let Some(field) = rest.next() {
            let attached = field.known().and_then(|text| text.strip_prefix("-C")).filter(|code| !code.is_empty());
            if let Some(code) = attached {
                self.out.find(9, field.span, "mapfile runs a command for the lines it reads");
                self.shell_text(&Field::constant(code, field.span), start);
            } else if field.known() == Some("-C")
                && let Some(code) = rest.next()
            {
                self.out.find(9, field.span, "mapfile runs a command for the lines it reads");
                self.shell_text(&code.clone(), start);
            } else if let Some(name) = field.known().filter(|name| !name.starts_with('-')) {
                self.state.set(name, Value::Unknown);
            }
        }
    }

    fn eval(&mut self, args: &[Field], start: &Start) -> Output {
        let args = args.strip_prefix_dashes();
        if args.is_empty() {
            return Output { value: Value::Unknown, fetched: false };
        }
        let text = joined(args);
        if text.value.choices().is_some() && !text.many {
            self.out.find_as(9, Risk::Medium, start.span, "text is evaluated as a command");
        }
        let outer = std::mem::replace(&mut self.ambient, super::shared(&start.stdin));
        let out = self.text_here(&text, start, false);
        self.ambient = outer;
        out
    }

    fn source_file(&mut self, args: &[Field], start: &Start) {
        let Some(file) = args.strip_prefix_dashes().first() else { return };
        let from_stdin = matches!(file.known(), Some("/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0"));
        let given = match &start.stdin {
            Stdin::Pipe(out) => Some((out.value.clone(), out.fetched)),
            Stdin::Text(text) => Some((text.clone(), false)),
            Stdin::File(_) | Stdin::Inherited => None,
        };
        if let Some((value, fetched)) = given.filter(|_| from_stdin) {
            let text = Field { value, fetched, ..Field::constant("", file.span) };
            self.text_here(&text, start, false);
            return;
        }
        self.on_path(Action::Read, file, PathScope::Exact, "source");
        // What stands in a device or in a pipe is not known.
        let device = |path: &model::FilePath| {
            let path = path.encode();
            path != "/dev/null" && (path.starts_with("/dev/") || path.starts_with("/proc/"))
        };
        let opaque = file.known().is_none_or(|name| self.resolve(name).iter().any(|(path, _)| device(path)));
        let severity =
            if file.known().is_some() && !file.fetched && !from_stdin && !opaque { Risk::Medium } else { Risk::High };
        self.out.find_as(9, severity, file.span, "a file is read as commands");
        self.run_file(&file.clone(), "source", start);
    }

    fn trap(&mut self, args: &[Field], start: &Start) {
        let args = args.strip_prefix_dashes();
        let (Some(code), true) = (args.first(), args.len() > 1) else { return };
        if matches!(code.known(), Some("-" | "")) {
            return;
        }
        self.out.find_as(9, Risk::Medium, start.span, "a command is kept for later");
        // It runs later, with what its variables hold then: where that is at the end, it is looked at there once more.
        let saved = self.state.clone();
        self.may += 1;
        self.text_here(code, start, false);
        if args.iter().skip(1).any(|field| matches!(field.known(), Some("DEBUG" | "RETURN" | "ERR"))) {
            // These run again and again between here and there.
            self.state.forget_variables();
            self.text_here(code, start, false);
        } else {
            self.traps.push((code.clone(), start.clone()));
        }
        self.may -= 1;
        self.state.join(saved);
    }

    fn alias(&mut self, args: &[Field], start: &Start) {
        for field in args {
            let text = field.value.prefix().to_owned();
            let Some((name, body)) = text.split_once('=') else { continue };
            let shadows = crate::commands::is_known(name) && !body.trim_start().starts_with(name);
            let severity = if shadows || field.known().is_none() { Risk::High } else { Risk::Medium };
            self.out.find_as(7, severity, field.span, &format!("an alias gives {name} another meaning"));
            // Where aliases are expanded the body runs; the words behind the name follow it.
            if field.known().is_some() && !body.trim().is_empty() {
                self.may += 1;
                self.text_here(&Field::constant(body, field.span), start, true);
                self.may -= 1;
            }
        }
    }

    fn shadow(&mut self, program: &str, args: &[Field], start: &Start) {
        let loads = args.iter().any(|field| matches!(field.known(), Some("-f" | "-p" | "-n")));
        if loads {
            self.out.find(7, start.span, &format!("{program} changes what a name runs"));
        }
    }

    /// `echo $API_TOKEN`: what the environment keeps secret is shown. A value the script has set itself is no secret.
    fn printed_secrets(&mut self, start: &Start) {
        let shown = std::mem::take(&mut self.shown);
        if let Some(name) = shown.into_iter().find(|name| self.state.scalar(name).is_none()) {
            self.out.find(17, start.span, &format!("shows {name}, which may be a secret"));
        }
    }

    fn printf(&mut self, args: &[Field]) -> Output {
        let mut args = args;
        let mut into = None;
        // The last of several counts, and each is looked at.
        while let Some((first, rest)) = args.split_first()
            && let Some(name) = first.value.prefix().strip_prefix("-v")
        {
            let attached = !name.is_empty() || first.known().is_none();
            let value = match first.known() {
                Some(_) => Value::Known(name.to_owned()),
                None => Value::shape(name, first.value.suffix()),
            };
            into = if attached { Some(Field { value, ..first.clone() }) } else { rest.first().cloned() };
            args = if attached { rest } else { rest.get(1..).unwrap_or(&[]) };
            into.iter().for_each(|name| self.subscript_data(name));
        }
        if args.first().is_some_and(|format| format.known().is_none()) {
            self.perhaps_subscripts(args);
        }
        let args = args.strip_prefix_dashes();
        let value = printed(args);
        if let Some(name) = into {
            match name.known() {
                Some(name) => self.state.set(name.split('[').next().unwrap_or(name), value),
                None => self.state.forget_variables(),
            }
            return Output { value: Value::Known(String::new()), fetched: false };
        }
        Output { value, fetched: args.iter().any(|field| field.fetched) }
    }

    /// Shell text that a new shell runs (`sh -c`, `watch`, `ssh`).
    pub(super) fn shell_text(&mut self, text: &Field, start: &Start) {
        self.text_here(text, start, true);
    }

    /// Shell text that runs here and now, if it is known.
    pub(super) fn text_here(&mut self, text: &Field, start: &Start, fresh: bool) -> Output {
        let choices = text.value.choices().map(<[String]>::to_vec).filter(|_| !text.many);
        let Some(choices) = choices else {
            let check = if text.fetched { 15 } else { 9 };
            let why = if text.fetched {
                "text from the network is run as a command"
            } else {
                "text that is not known is run as a command"
            };
            self.out.find(check, text.span, why);
            self.out.unexplained(text.span);
            self.effect(
                Action::Execute,
                Target::Unknown { text: self.source(text.span) },
                Reversibility::Harmless,
                start.span,
                "shell",
            );
            return Output { value: Value::Unknown, fetched: false };
        };
        let several = choices.len() > 1;
        self.may += usize::from(several);
        let mut out = Output { value: Value::Unknown, fetched: false };
        for choice in &choices {
            out = self.nested_text(choice, text.span, fresh);
        }
        self.may -= usize::from(several);
        out
    }
}

/// A line in `count` fields as `read` parts it at blanks: the last gets the rest as it is, without blanks at its ends.
fn fields_of(line: &str, count: usize) -> Vec<String> {
    let blank = [' ', '\t'];
    let mut rest = line.trim_matches(blank);
    let mut fields = Vec::new();
    while fields.len() + 1 < count && !rest.is_empty() {
        let (field, more) = rest.split_once(blank).unwrap_or((rest, ""));
        fields.push(field.to_owned());
        rest = more.trim_start_matches(blank);
    }
    fields.push(rest.to_owned());
    fields
}

/// Arguments behind a leading `--`.
trait Dashes {
    fn strip_prefix_dashes(&self) -> &[Field];
}

impl Dashes for [Field] {
    fn strip_prefix_dashes(&self) -> &[Field] {
        match self.split_first() {
            Some((first, rest)) if first.known() == Some("--") => rest,
            _ => self,
        }
    }
}
