//! Interpreters: shells, and other languages with inline code, code on standard input, or a file (BJ013).

use super::run::Start;
use super::value::{Field, Value};
use super::{Eval, Output, Stdin};
use crate::commands::Row;
use crate::commands::{options, row};
use crate::pure;
use model::{Action, Reversibility, Target};

/// How an interpreter is called.
struct Interpreter {
    name: &'static str,
    /// Options whose value is code.
    code: &'static [&'static str],
    /// Options that take a value that is no code.
    takes: &'static [&'static str],
    /// Options that only print something about the interpreter.
    noop: &'static [&'static str],
    /// Options whose value is a file or module that is run first.
    loads: &'static [&'static str],
}

const SHELLS: &[&str] =
    &["bash", "sh", "dash", "zsh", "ksh", "mksh", "ash", "rbash", "fish", "csh", "tcsh", "yash", "posh", "pdksh"];

static INTERPRETERS: &[Interpreter] = &[
    Interpreter {
        name: "python",
        code: &["-c"],
        takes: &["-W", "-X"],
        noop: &["--version", "-V", "-VV", "--help", "-h"],
        loads: &[],
    },
    Interpreter {
        name: "perl",
        code: &["-e", "-E"],
        takes: &["-I"],
        noop: &["-v", "--version", "-V"],
        loads: &["-M", "-m"],
    },
    Interpreter {
        name: "ruby",
        code: &["-e"],
        takes: &["-I", "-C"],
        noop: &["-v", "--version", "--help"],
        loads: &["-r"],
    },
    Interpreter {
        name: "php",
        code: &["-r", "-B", "-R", "-E"],
        takes: &["-d", "-c", "-S"],
        noop: &["-v", "--version", "-m", "-i"],
        loads: &["-f"],
    },
    Interpreter {
        name: "node",
        code: &["-e", "-p", "--eval", "--print", "-pe"],
        takes: &[],
        noop: &["-v", "--version", "-h", "--help"],
        loads: &["-r", "--require", "--import"],
    },
    Interpreter { name: "lua", code: &["-e"], takes: &[], noop: &["-v"], loads: &["-l"] },
    Interpreter { name: "luajit", code: &["-e"], takes: &[], noop: &["-v"], loads: &["-l"] },
    Interpreter {
        name: "julia",
        code: &["-e", "-E", "--eval", "--print"],
        takes: &["-t"],
        noop: &["-v", "--version"],
        loads: &["-L", "--load"],
    },
    Interpreter { name: "R", code: &["-e"], takes: &["-f"], noop: &["--version"], loads: &[] },
    Interpreter { name: "octave", code: &["--eval"], takes: &[], noop: &["--version"], loads: &[] },
    Interpreter { name: "octave-cli", code: &["--eval"], takes: &[], noop: &["--version"], loads: &[] },
    Interpreter { name: "groovy", code: &["-e"], takes: &["-cp"], noop: &["-v", "--version"], loads: &[] },
    Interpreter { name: "elixir", code: &["-e", "--eval"], takes: &[], noop: &["-v", "--version"], loads: &["-r"] },
    Interpreter { name: "erl", code: &["-eval"], takes: &["-pa"], noop: &[], loads: &["-s"] },
    Interpreter { name: "guile", code: &["-c"], takes: &["-L"], noop: &["-v", "--version"], loads: &["-l"] },
    Interpreter { name: "raku", code: &["-e"], takes: &["-I"], noop: &["-v", "--version"], loads: &["-M"] },
    Interpreter { name: "racket", code: &["-e"], takes: &[], noop: &["-v", "--version"], loads: &["-l", "-t"] },
    Interpreter { name: "jrunscript", code: &["-e"], takes: &["-l", "-cp"], noop: &[], loads: &["-f"] },
    Interpreter { name: "slsh", code: &["-e"], takes: &[], noop: &["--version"], loads: &[] },
    Interpreter { name: "scala", code: &["-e"], takes: &["-cp"], noop: &["-version"], loads: &[] },
    Interpreter { name: "ghci", code: &["-e"], takes: &[], noop: &["--version"], loads: &[] },
    Interpreter { name: "osh", code: &["-c"], takes: &[], noop: &["--version"], loads: &[] },
    Interpreter { name: "Rscript", code: &["-e"], takes: &[], noop: &["--version"], loads: &[] },
    Interpreter { name: "tclsh", code: &[], takes: &[], noop: &[], loads: &[] },
    Interpreter { name: "osascript", code: &["-e"], takes: &["-l"], noop: &[], loads: &[] },
    Interpreter { name: "pwsh", code: &["-c", "-Command", "-EncodedCommand"], takes: &[], noop: &["-v"], loads: &[] },
];

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
        let stem = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        let found =
            INTERPRETERS.iter().find(|known| known.name == program || (known.name == stem && stem != program))?;
        Some(self.language(found, program, args, start))
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
                self.on_path(Action::Read, file, model::PathScope::Exact, program);
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

    fn language(&mut self, language: &Interpreter, program: &str, args: &[Field], start: &Start) -> Output {
        let mut rest = args.iter();
        let mut file = None;
        while let Some(field) = rest.next() {
            let Some(text) = field.known() else {
                file = Some(field);
                break;
            };
            if language.noop.contains(&text) && args.len() == 1 {
                return Output { value: Value::Unknown, fetched: false };
            }
            if program.starts_with("python") && text == "-m" {
                return self.python_module(program, rest.as_slice(), start);
            }
            if language.name == "perl" && text.starts_with('-') && !plain_perl_option(text) {
                self.out.find(14, field.span, "an option of perl can load other code");
            }
            if let Some(code) = inline(language, text, &mut rest, field) {
                if language.name == "perl" {
                    self.perl_files(args, rest.as_slice());
                }
                // Python hands the rest to the code; the others go on reading options, which may hold code too.
                let more = rest.as_slice().iter().find(|field| field.known().is_none_or(|text| text.starts_with('-')));
                if let Some(more) = more.filter(|_| language.name != "python") {
                    self.opaque_code(more.span, program, start);
                }
                return self.inline_code(language, program, &code, start);
            }
            if language.loads.contains(&text) {
                if let Some(module) = rest.next() {
                    self.out.find(14, module.span, &format!("an option of {program} runs other code first"));
                }
            } else if language.takes.contains(&text) {
                rest.next();
            } else if text == "-" || !text.starts_with('-') {
                file = (text != "-").then_some(field);
                break;
            } else if text == "-i" {
                self.out.find(13, field.span, &format!("{program} takes code from a person or a pipe"));
            }
        }
        match file {
            Some(file) => {
                self.on_path(Action::Read, file, model::PathScope::Exact, program);
                self.run_file(&file.clone(), program, start);
            }
            None => self.code_on_stdin(program, start),
        }
        Output { value: Value::Unknown, fetched: false }
    }

    /// The files behind `perl -ne CODE`: read, or with `-i` edited in place.
    fn perl_files(&mut self, args: &[Field], rest: &[Field]) {
        let in_place = args.iter().any(|field| {
            let cluster = field.value.prefix().strip_prefix('-').unwrap_or("");
            // Letters up to the code's own: `-pi`, `-i.bak`, `-pie`; not the value of `-Mlib`.
            cluster.starts_with('i')
                || (cluster.contains('i') && cluster.len() < 6 && !cluster.starts_with(['M', 'm', 'I', '-']))
        });
        let action = if in_place { Action::Write } else { Action::Read };
        for field in rest {
            if !field.value.prefix().starts_with('-') {
                self.on_path(action, field, model::PathScope::Exact, "perl");
            }
        }
    }

    fn code_on_stdin(&mut self, program: &str, start: &Start) {
        match &start.stdin {
            Stdin::Pipe(out) if out.fetched => {
                self.out.find(15, start.span, "code from the network is run");
                self.opaque_code(start.span, program, start);
            }
            Stdin::Text(Value::Known(code)) if program.starts_with("python") && pure::python(code).is_some() => {
                for file in pure::python(code).unwrap_or_default() {
                    self.on_path(Action::Read, &Field::constant(&file, start.span), model::PathScope::Exact, program);
                }
            }
            Stdin::Inherited => {
                self.opaque_program(program, &[], start);
            }
            _ => self.opaque_code(start.span, program, start),
        }
    }

    fn inline_code(&mut self, language: &Interpreter, program: &str, code: &Field, start: &Start) -> Output {
        let files = match (language.name, code.known()) {
            ("python", Some(text)) => pure::python(text),
            ("node", Some(text)) => pure::javascript(text),
            ("perl", Some(text)) if pure::perl(text) => Some(Vec::new()),
            _ => None,
        };
        for file in files.iter().flatten() {
            self.on_path(Action::Read, &Field::constant(file, code.span), model::PathScope::Exact, program);
        }
        if files.is_none() {
            if code.fetched {
                self.out.find(15, code.span, "code from the network is run");
            }
            self.opaque_code(code.span, program, start);
        }
        Output { value: Value::Unknown, fetched: false }
    }

    /// `python -m MODULE`
    fn python_module(&mut self, program: &str, args: &[Field], start: &Start) -> Output {
        let Some((module, rest)) = args.split_first() else { return Output { value: Value::Unknown, fetched: false } };
        let row = match module.known() {
            Some("pip") => crate::commands::find("pip"),
            Some("pytest") => crate::commands::find("pytest"),
            Some("black") => crate::commands::find("black"),
            Some("mypy") => crate::commands::find("mypy"),
            Some("json.tool") => {
                for file in rest.iter().filter(|field| !field.value.prefix().starts_with('-')) {
                    self.on_path(Action::Write, file, model::PathScope::Exact, program);
                }
                return Output { value: Value::Unknown, fetched: false };
            }
            Some("http.server") => {
                self.thing(Action::Listen, "a network port", Reversibility::Never, start.span, program);
                None
            }
            _ => None,
        };
        match row {
            Some((family, row)) => self.apply(family, row, rest, start).1,
            None => self.opaque_program(program, rest, start),
        }
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

    fn awk_code(&mut self, code: &Field, start: &Start) {
        if !code.known().is_some_and(pure::awk) {
            self.opaque_code(code.span, "awk", start);
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

/// Switches of perl, perhaps several in one word, that load nothing: perlrun(1).
fn plain_perl_option(text: &str) -> bool {
    let letters = text.get(1..).unwrap_or("");
    letters.starts_with('i') || letters.bytes().all(|byte| b"pnielawTWvVE0123456789".contains(&byte))
}

/// The code of `-c CODE`, `-cCODE`, `--eval=CODE` or a cluster that ends in the code option (`-ne CODE`).
fn inline(language: &Interpreter, text: &str, rest: &mut std::slice::Iter<'_, Field>, field: &Field) -> Option<Field> {
    for option in language.code {
        if text == *option {
            return rest.next().cloned();
        }
        if let Some(value) = text.strip_prefix(option) {
            if option.starts_with("--") {
                if let Some(value) = value.strip_prefix('=') {
                    return Some(Field::constant(value, field.span));
                }
            } else if !value.is_empty() {
                return Some(Field::constant(value, field.span));
            }
        }
        let letter = option.strip_prefix('-').filter(|letter| letter.len() == 1);
        let cluster =
            text.starts_with('-') && !text.starts_with("--") && letter.is_some_and(|letter| text.ends_with(letter));
        if cluster && text.len() < 6 && text.chars().skip(1).all(char::is_alphanumeric) {
            return rest.next().cloned();
        }
    }
    None
}
