//! Interpreters of other languages, with inline code, code on standard input, or a file (BJ013).

use super::run::Start;
use super::value::{Field, Value};
use super::{Eval, Output, Stdin};
use crate::code::{self, Facts, python_names::LIBRARY};
use crate::limits::CODE_BYTES_A_NODE;
use model::{Action, FilePath, PathScope, Reversibility, Span, Target};

/// How an interpreter is called.
pub(super) struct Interpreter {
    name: &'static str,
    /// Options whose value is code.
    code: &'static [&'static str],
    /// Options that take a value that is no code and decides nothing about what runs.
    takes: &'static [&'static str],
    /// Options that only print something about the interpreter.
    noop: &'static [&'static str],
    /// Options whose value is a file, a module or a place from which code is taken.
    loads: &'static [&'static str],
    /// Options that decide nothing about what runs. What is on no list is not understood.
    plain: &'static [&'static str],
    /// The same as letters, which may stand in one word in front of the letter for code.
    letters: &'static str,
}

const NOTHING: Interpreter =
    Interpreter { name: "", code: &[], takes: &[], noop: &[], loads: &[], plain: &[], letters: "" };

pub(super) static INTERPRETERS: &[Interpreter] = &[
    Interpreter {
        name: "python",
        code: &["-c"],
        takes: &["-W", "-X"],
        noop: &["--version", "-V", "-VV", "--help", "-h"],
        plain: &["-Wignore", "-Xutf8", "-Xdev"],
        letters: "bBdEIOPqRsSuvx",
        ..NOTHING
    },
    Interpreter {
        name: "perl",
        code: &["-e", "-E"],
        noop: &["-v", "--version", "-V"],
        loads: &["-M", "-m", "-I", "-d", "-x", "-s", "-S"],
        letters: "pnlawWtTi0123456789",
        ..NOTHING
    },
    Interpreter {
        name: "ruby",
        code: &["-e"],
        noop: &["-v", "--version", "--help"],
        loads: &["-r", "-I", "-C", "-x", "-S", "-E"],
        plain: &["--disable-gems", "--disable=gems", "-W0", "-W1", "-W2"],
        letters: "nplawi",
        ..NOTHING
    },
    Interpreter {
        name: "node",
        code: &["-e", "-p", "--eval", "--print"],
        noop: &["-v", "--version", "-h", "--help"],
        loads: &["-r", "--require", "--import", "--loader", "--experimental-loader", "--env-file"],
        plain: &[
            "--no-warnings",
            "--input-type=module",
            "--input-type=commonjs",
            "--trace-warnings",
            "--no-deprecation",
            "--trace-uncaught",
            "--enable-source-maps",
        ],
        letters: "p",
        ..NOTHING
    },
    Interpreter {
        name: "php",
        code: &["-r", "-B", "-R", "-E"],
        takes: &["-d", "-c", "-S"],
        noop: &["-v", "--version", "-m", "-i"],
        loads: &["-f"],
        ..NOTHING
    },
    Interpreter { name: "lua", code: &["-e"], noop: &["-v"], loads: &["-l"], ..NOTHING },
    Interpreter { name: "luajit", code: &["-e"], noop: &["-v"], loads: &["-l"], ..NOTHING },
    Interpreter {
        name: "julia",
        code: &["-e", "-E", "--eval", "--print"],
        takes: &["-t"],
        noop: &["-v", "--version"],
        loads: &["-L", "--load"],
        ..NOTHING
    },
    Interpreter { name: "R", code: &["-e"], takes: &["-f"], noop: &["--version"], ..NOTHING },
    Interpreter { name: "octave", code: &["--eval"], noop: &["--version"], ..NOTHING },
    Interpreter { name: "octave-cli", code: &["--eval"], noop: &["--version"], ..NOTHING },
    Interpreter { name: "groovy", code: &["-e"], takes: &["-cp"], noop: &["-v", "--version"], ..NOTHING },
    Interpreter { name: "elixir", code: &["-e", "--eval"], noop: &["-v", "--version"], loads: &["-r"], ..NOTHING },
    Interpreter { name: "erl", code: &["-eval"], takes: &["-pa"], loads: &["-s"], ..NOTHING },
    Interpreter { name: "guile", code: &["-c"], takes: &["-L"], noop: &["-v", "--version"], loads: &["-l"], ..NOTHING },
    Interpreter { name: "raku", code: &["-e"], takes: &["-I"], noop: &["-v", "--version"], loads: &["-M"], ..NOTHING },
    Interpreter { name: "racket", code: &["-e"], noop: &["-v", "--version"], loads: &["-l", "-t"], ..NOTHING },
    Interpreter { name: "jrunscript", code: &["-e"], takes: &["-l", "-cp"], loads: &["-f"], ..NOTHING },
    Interpreter { name: "slsh", code: &["-e"], noop: &["--version"], ..NOTHING },
    Interpreter { name: "scala", code: &["-e"], takes: &["-cp"], noop: &["-version"], ..NOTHING },
    Interpreter { name: "ghci", code: &["-e"], noop: &["--version"], ..NOTHING },
    Interpreter { name: "osh", code: &["-c"], noop: &["--version"], ..NOTHING },
    Interpreter { name: "Rscript", code: &["-e"], noop: &["--version"], ..NOTHING },
    Interpreter { name: "tclsh", ..NOTHING },
    Interpreter { name: "osascript", code: &["-e"], takes: &["-l"], ..NOTHING },
    Interpreter { name: "pwsh", code: &["-c", "-Command", "-EncodedCommand"], noop: &["-v"], ..NOTHING },
];

/// Interpreters with the option that only looks at a script's syntax. Of Perl's `-c` this is not so: it runs `BEGIN`.
const CHECKS: &[(&str, &str)] = &[("node", "--check"), ("node", "-c"), ("ruby", "-c"), ("php", "-l")];

/// What one word of the options is.
enum Word {
    /// Code, attached or in the next word.
    Code(Option<String>),
    Loads {
        attached: bool,
    },
    Takes,
    Plain,
    /// Not an option.
    Operand,
    Unknown,
}

impl Interpreter {
    fn word(&self, text: &str) -> Word {
        if text == "-" || !text.starts_with('-') {
            return Word::Operand;
        }
        if self.code.contains(&text) {
            return Word::Code(None);
        }
        if self.plain.contains(&text) {
            return Word::Plain;
        }
        if self.takes.contains(&text) {
            return Word::Takes;
        }
        if self.loads.contains(&text) {
            return Word::Loads { attached: false };
        }
        let long = |option: &&str| option.starts_with("--");
        let assigned = |option: &&&str| text.strip_prefix(**option).is_some_and(|rest| rest.starts_with('='));
        if let Some(option) = self.code.iter().filter(|option| long(option)).find(assigned) {
            return Word::Code(text.get(option.len() + 1..).map(str::to_owned));
        }
        if let Some(word) = self.cluster(text) {
            return word;
        }
        if self.loads.iter().any(|option| text.starts_with(option)) {
            return Word::Loads { attached: true };
        }
        Word::Unknown
    }

    /// Letters in one word, at the end perhaps that of code: `-ne CODE`, `-neCODE`, `-Ic CODE`.
    fn cluster(&self, text: &str) -> Option<Word> {
        let letters = text.strip_prefix('-').filter(|letters| !letters.starts_with('-'))?;
        // `-i.bak`
        if self.letters.contains('i') && letters.starts_with("i.") {
            return Some(Word::Plain);
        }
        let end = letters.find(|c: char| !self.letters.contains(c)).unwrap_or(letters.len());
        let Some(rest) = letters.get(end..).filter(|rest| !rest.is_empty()) else { return Some(Word::Plain) };
        let option = format!("-{}", rest.chars().next()?);
        if !self.code.contains(&option.as_str()) {
            return None;
        }
        Some(Word::Code(rest.get(1..).filter(|code| !code.is_empty()).map(str::to_owned)))
    }

    /// Whether the next word is code, or nothing but code follows: the others go on reading options.
    fn ends_options(&self) -> bool {
        self.name == "python"
    }
}

impl Eval<'_> {
    /// Runs `program` if it is the interpreter of a language.
    pub(super) fn language(&mut self, program: &str, args: &[Field], start: &Start) -> Option<Output> {
        if program == "deno" {
            return self.deno(args, start);
        }
        let stem = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        let language = INTERPRETERS
            .iter()
            .find(|known| known.name == program || (known.name == stem && stem != program))
            .or_else(|| INTERPRETERS.iter().find(|known| known.name == "node" && program == "nodejs"))?;
        if let [option, script] = args
            && let (Some(option), Some(file)) = (option.known(), script.known())
            && CHECKS.contains(&(language.name, option))
            && !file.starts_with('-')
        {
            self.on_path(Action::Read, script, PathScope::Exact, program);
            return Some(Output { value: Value::Unknown, fetched: false });
        }
        self.interpreted(language, program, args, start);
        Some(Output::unknown())
    }

    fn interpreted(&mut self, language: &Interpreter, program: &str, args: &[Field], start: &Start) {
        let mut rest = args.iter();
        let mut file = None;
        while let Some(field) = rest.next() {
            let Some(text) = field.known() else {
                file = Some(field);
                break;
            };
            if language.noop.contains(&text) && args.len() == 1 {
                return;
            }
            if language.name == "python" && text == "-m" {
                self.python_module(program, rest.as_slice(), args, start);
                return;
            }
            if language.name == "perl" && separates(text) {
                continue;
            }
            match language.word(text) {
                // `node -p -e CODE`
                Word::Code(None) if matches!(text, "-p" | "--print") && next_is_option(&rest) => {}
                Word::Code(attached) => {
                    let code = match attached {
                        Some(code) => Some(Field::constant(&code, field.span)),
                        None => rest.next().cloned(),
                    };
                    if let Some(code) = code {
                        self.inline_code(language, program, &code, (args, rest.as_slice()), start);
                    }
                    return;
                }
                Word::Loads { attached } => {
                    let module = if attached { field } else { rest.next().unwrap_or(field) };
                    if !is_library(language, text, attached) {
                        self.out.find(14, module.span, &format!("an option of {program} runs other code first"));
                    }
                }
                Word::Takes => {
                    rest.next();
                }
                Word::Operand => {
                    file = (text != "-").then_some(field);
                    break;
                }
                Word::Unknown if text == "-i" => {
                    self.out.find(13, field.span, &format!("{program} takes code from a person or a pipe"));
                }
                Word::Unknown => self.out.unexplained(field.span),
                Word::Plain => {}
            }
        }
        match file {
            Some(file) => {
                self.on_path(Action::Read, file, PathScope::Exact, program);
                let name = file.known().map(|path| path.rsplit('/').next().unwrap_or(path)).unwrap_or("");
                self.verb_tells(name, rest.as_slice(), false, start);
                self.run_file(&file.clone(), program, start);
            }
            None => self.code_on_stdin(language, program, args, start),
        }
    }

    pub(super) fn inline_code(
        &mut self,
        language: &Interpreter,
        program: &str,
        code: &Field,
        (args, rest): (&[Field], &[Field]),
        start: &Start,
    ) {
        // Python hands the rest to the code; the others go on reading options, which may hold code too.
        let more = rest.iter().find(|field| field.known().is_none_or(|text| text.starts_with('-') && text.len() > 1));
        let more = more.filter(|_| !language.ends_options());
        if let Some(more) = more {
            self.opaque_code(more.span, program, start);
        }
        if matches!(language.name, "perl" | "ruby") {
            self.lines_of(language, args, rest, code);
        }
        match self.understood(language, program, code) {
            Some(facts) => {
                self.code_does(&facts, code.span, program, start);
                if language.name == "python" {
                    self.shadows(&facts.imports, args, code.span);
                }
            }
            None => {
                if code.fetched {
                    self.out.find(15, code.span, "code from the network is run");
                }
                self.opaque_code(code.span, program, start);
            }
        }
    }

    /// What code does, where all of it is understood.
    fn understood(&mut self, language: &Interpreter, program: &str, code: &Field) -> Option<Facts> {
        let text = code.known().filter(|text| self.may_read(text.len() / CODE_BYTES_A_NODE, code.span))?;
        match language.name {
            "python" if is_python3(program) => code::python::read(text),
            "node" => code::javascript::read(text),
            "ruby" => code::ruby::read(text),
            "perl" => code::perl::read(text),
            _ => None,
        }
    }

    /// The files behind `perl -ne CODE` and `ruby -ne CODE`: read, or with `-i` edited in place.
    fn lines_of(&mut self, language: &Interpreter, args: &[Field], rest: &[Field], code: &Field) {
        let before = args.len().saturating_sub(rest.len());
        let options = args.get(..before).unwrap_or(&[]).iter().filter(|field| field.value != code.value);
        let cluster = |field: &Field| {
            let letters = field.known().and_then(|text| text.strip_prefix('-')).unwrap_or("").to_owned();
            letters.split(['e', 'E', '.']).next().unwrap_or("").to_owned()
        };
        let clusters: Vec<String> =
            options.map(cluster).filter(|letters| !letters.starts_with(['M', 'I', 'm', 'r'])).collect();
        let in_place = clusters.iter().any(|letters| letters.contains('i'));
        let loops = clusters.iter().any(|letters| letters.contains(['n', 'p']));
        let action = if in_place { Action::Write } else { Action::Read };
        for field in rest.iter().filter(|field| !field.value.prefix().starts_with('-')) {
            self.on_path(action, field, PathScope::Exact, language.name);
            // Perl opens such names as a shell would: `id|` is a command.
            if language.name == "perl" && loops && !field.known().is_some_and(|name| is_plain_name(name) && !field.glob)
            {
                let odd = field.known().is_some_and(|name| !is_plain_name(name));
                if odd {
                    self.out.find(14, field.span, "perl takes a name with a bar or an angle for a command");
                }
                self.out.unexplained(field.span);
            }
        }
    }

    fn code_on_stdin(&mut self, language: &Interpreter, program: &str, args: &[Field], start: &Start) {
        match &start.stdin {
            Stdin::Pipe(out) if out.fetched => {
                self.out.find(15, start.span, "code from the network is run");
                self.opaque_code(start.span, program, start);
            }
            Stdin::Text(Value::Known(code)) if matches!(language.name, "python" | "node" | "ruby") => {
                let code = Field::constant(code, start.span);
                self.inline_code(language, program, &code, (args, &[]), start);
            }
            Stdin::Pipe(Output { value: Value::Known(code), .. })
                if matches!(language.name, "python" | "node" | "ruby") =>
            {
                let code = Field::constant(code, start.span);
                self.inline_code(language, program, &code, (args, &[]), start);
            }
            Stdin::Inherited => {
                self.opaque_program(program, &[], start);
            }
            _ => self.opaque_code(start.span, program, start),
        }
    }

    /// `bun -e CODE`: JavaScript, besides what the row says.
    pub(super) fn bun_code(&mut self, args: &[Field], start: &Start) {
        let Some(node) = INTERPRETERS.iter().find(|known| known.name == "node") else { return };
        let option = |field: &Field| matches!(field.known(), Some("-e" | "--eval" | "-p" | "--print"));
        if let Some(code) = args.iter().position(option).and_then(|at| args.get(at + 1)) {
            self.inline_code(node, "bun", code, (&[], &[]), start);
        }
    }

    /// `deno eval CODE`; everything else is the row's.
    fn deno(&mut self, args: &[Field], start: &Start) -> Option<Output> {
        let (first, rest) = args.split_first()?;
        if first.known() != Some("eval") {
            return None;
        }
        let node = INTERPRETERS.iter().find(|known| known.name == "node")?;
        let (code, options): (Vec<&Field>, Vec<&Field>) =
            rest.iter().partition(|field| !field.value.prefix().starts_with('-'));
        for option in options {
            if !matches!(option.known(), Some("-p" | "--print" | "-q" | "--quiet" | "--no-check" | "--ext=js")) {
                self.out.unexplained(option.span);
            }
        }
        match code.split_first() {
            Some((code, _)) => self.inline_code(node, "deno", code, (&[], &[]), start),
            None => self.opaque_code(start.span, "deno", start),
        }
        Some(Output::unknown())
    }

    /// Modules that a file in the working directory can stand in for: `python -c` searches it first. What is known of the
    /// directory decides, else it is said that it may.
    pub(super) fn shadows(&mut self, imports: &[String], args: &[Field], span: Span) {
        let isolated = args.iter().filter_map(Field::known).take_while(|text| text.starts_with('-')).any(|text| {
            !text.starts_with("--") && text.split('c').next().is_some_and(|letters| letters.contains(['I', 'P']))
        });
        if imports.is_empty() || isolated || self.safe_path() {
            return;
        }
        let places: Vec<FilePath> = match self.state.cwd.places.as_slice() {
            [] => vec![FilePath::from(".")],
            places => places.to_vec(),
        };
        for place in places {
            let known = self.context.modules.iter().find(|(directory, _)| *directory == place);
            let names: Vec<String> = match known {
                Some((_, names)) => names
                    .iter()
                    .filter(|name| imports.contains(name) || LIBRARY.contains(name.as_str()))
                    .cloned()
                    .collect(),
                None => imports.to_vec(),
            };
            self.may += 1;
            for name in names {
                let path = place.join(format!("{name}.py")).normalise();
                let target = Target::Program { name: path.encode() };
                self.effect(Action::Execute, target, Reversibility::Harmless, span, "python import");
            }
            self.may -= 1;
        }
    }

    /// Whether `PYTHONSAFEPATH` keeps the working directory out of the search.
    fn safe_path(&self) -> bool {
        let given = || self.context.vars.iter().any(|(name, value)| name == "PYTHONSAFEPATH" && !value.is_empty());
        self.safe_path
            || (given() && self.state.scalar("PYTHONSAFEPATH").is_some_and(|value| value.known() != Some("")))
    }
}

fn next_is_option(rest: &std::slice::Iter<'_, Field>) -> bool {
    rest.as_slice()
        .first()
        .and_then(Field::known)
        .is_some_and(|text| text.starts_with("-e") || text.starts_with("--eval"))
}

/// Python 2 evaluates what `input()` reads, and more.
fn is_python3(program: &str) -> bool {
    !program.starts_with("python2")
}

/// `-F,`, `-F:`: what perl splits lines at. Longer ones are put into the program as they stand.
fn separates(text: &str) -> bool {
    text.strip_prefix("-F").is_some_and(|sign| matches!(sign, "," | ":" | ";" | "\\t" | "\t" | "=" | "-" | "_"))
}

/// `-rjson`: a library that ruby comes with.
fn is_library(language: &Interpreter, text: &str, attached: bool) -> bool {
    language.name == "ruby" && attached && text.strip_prefix("-r").is_some_and(code::ruby::is_library)
}

/// A name that perl's `open` with two arguments takes for that file and nothing else.
fn is_plain_name(name: &str) -> bool {
    !name.starts_with(['>', '<', '|', '+', ' ', '&', '-'])
        && !name.ends_with(['|', ' '])
        && !name.contains(['\n', '\0'])
}
