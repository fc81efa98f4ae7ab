//! Applying a row: options and operands become effects.

use super::run::Start;
use super::value::{Field, Value};
use super::{Eval, Output, Stdin};
use crate::commands::options::{Act, Hit, Parsed, parse};
use crate::commands::roles::Operands;
use crate::commands::{self, Row};
use crate::limits::VALUE_BYTES_MAX;
use model::{Action, Reversibility, Span};

/// Subcommands of subcommands that are followed (`git remote get-url`).
const SUBCOMMAND_DEPTH_MAX: usize = 4;

/// What the options of one command change about it.
#[derive(Clone, Debug, Default)]
struct Switches {
    noop: bool,
    recursive: bool,
    first: bool,
    operands: Option<&'static str>,
    facts: Vec<&'static str>,
}

impl Hit {
    /// Whether this is an option whose name starts with `start`.
    pub(super) fn starts(&self, start: &str) -> bool {
        self.entry.starts(start)
    }

    /// Whether this is the option called `name`.
    pub(super) fn is(&self, name: &str) -> bool {
        self.entry.has(name)
    }
}

impl Eval<'_> {
    /// Applies `row` to its arguments; follows subcommands to their rows. Gives the row's name for the certificate.
    pub(super) fn apply(&mut self, family: &str, row: &'static Row, args: &[Field], start: &Start) -> (String, Output) {
        let saved = self.state.cwd.clone();
        let out = self.apply_row(family, row, args, start, 0);
        self.state.cwd = saved;
        out
    }

    fn apply_row(
        &mut self,
        family: &str,
        row: &'static Row,
        args: &[Field],
        start: &Start,
        depth: usize,
    ) -> (String, Output) {
        let certificate = format!("{family}/{}", row.name);
        if family != "local" && asks_for_help(args) {
            return (certificate, Output::unknown());
        }
        let parsed = parse(row, args);
        let switches = self.switches(row, &parsed, start);
        if switches.noop {
            return (certificate, Output::unknown());
        }
        let operands = Operands::read(row.operands);
        let subcommand = operands.head.first() == Some(&"sub") || operands.star == Some("sub");
        if subcommand {
            return self.subcommand(family, row, &operands, &parsed, start, depth);
        }
        self.operands(row, &operands, &parsed, &switches, start);
        let facts: Vec<&'static str> =
            row.does.split_ascii_whitespace().chain(switches.facts.iter().copied()).collect();
        let before = self.out.effects.len();
        self.apply_facts(&facts, &parsed.operands, start.span, row.name);
        if args.iter().any(|field| field.known().is_none() || field.many) {
            self.tells_unknown(before);
        }
        // Whoever runs code that nobody explains may run what its arguments say.
        if operands.star == Some("data") && facts.contains(&"exec") {
            self.told(row.name, args, start);
        }
        self.note_copied(row, &parsed, start);
        (certificate, self.output(row, &parsed, start))
    }

    /// What is not known beforehand may be anything, and who is asked is told it.
    fn tells_unknown(&mut self, before: usize) {
        for effect in self.out.effects.iter_mut().skip(before).filter(|effect| effect.action == Action::Connect) {
            effect.reversibility = Reversibility::Never;
        }
    }

    fn subcommand(
        &mut self,
        family: &str,
        row: &'static Row,
        operands: &Operands,
        parsed: &Parsed,
        start: &Start,
        depth: usize,
    ) -> (String, Output) {
        let (name, rest) = match parsed.operands.split_first() {
            Some((first, rest)) => (first.known().map(str::to_owned), rest),
            None => (Some(operands.default.unwrap_or("").to_owned()), [].as_slice()),
        };
        let by = row.name;
        let base = match by {
            "podman" => "docker",
            "docker-compose" => "docker compose",
            "pip3" => "pip",
            by => by,
        };
        // `NAME *` stands for all subcommands that have no row of their own.
        let found = name.as_deref().and_then(|name| commands::find(&format!("{base} {name}")));
        let others =
            || name.as_deref().filter(|name| !name.is_empty()).and_then(|_| commands::find(&format!("{base} *")));
        let found = found.or_else(others);
        match found {
            Some((family, inner)) if depth < SUBCOMMAND_DEPTH_MAX => {
                self.apply_row(family, inner, rest, start, depth + 1)
            }
            _ if name.as_deref() == Some("") => (format!("{family}/{by}"), Output::unknown()),
            _ => {
                if name.is_none() {
                    self.out.find(11, start.span, "which subcommand runs depends on a value that is not known");
                }
                (String::new(), self.opaque_program(by, parsed.operands.as_slice(), start))
            }
        }
    }

    /// Applies the options of a wrapper; whether they make it do nothing.
    pub(super) fn options(&mut self, row: &'static Row, parsed: &Parsed, start: &Start) -> bool {
        let switches = self.switches(row, parsed, start);
        let facts = switches.facts.clone();
        self.apply_facts(&facts, &[], start.span, row.name);
        switches.noop
    }

    fn switches(&mut self, row: &'static Row, parsed: &Parsed, start: &Start) -> Switches {
        let mut switches = Switches::default();
        for span in &parsed.unknown {
            self.out.unexplained(*span);
        }
        switches.noop =
            parsed.hits.iter().any(|hit| hit.entry.acts().any(|act| act == Act::Noop)) && parsed.unknown.is_empty();
        if switches.noop {
            return switches;
        }
        for hit in &parsed.hits {
            for act in hit.entry.acts() {
                self.switch(act, hit, row, start, &mut switches);
            }
        }
        switches
    }

    fn switch(&mut self, act: Act, hit: &Hit, row: &'static Row, start: &Start, switches: &mut Switches) {
        match act {
            Act::Value(role) => {
                if let Some(value) = &hit.value {
                    self.role(role, value, false, row.name, start);
                }
            }
            Act::Operands(role) => switches.operands = Some(role),
            Act::Recursive => switches.recursive = true,
            Act::Noop => {}
            Act::First => switches.first = true,
            Act::Check(id) => self.out.find(id, hit.span, &format!("an option of {} {}", row.name, what_check(id))),
            Act::Does(text) => switches.facts.push(text),
        }
    }

    fn operands(
        &mut self,
        row: &'static Row,
        operands: &Operands,
        parsed: &Parsed,
        switches: &Switches,
        start: &Start,
    ) {
        let mut roles = operands.clone();
        if switches.first && !roles.head.is_empty() {
            roles.head.remove(0);
        }
        if let Some(role) = switches.operands {
            roles = Operands { star: Some(role), ..Operands::default() };
        }
        if roles.star == Some("cmd") || (row.operands.starts_with('+') && roles.star == Some("shell")) {
            self.inner_command(roles.star == Some("shell"), parsed, start);
            return;
        }
        let count = parsed.operands.len();
        for (index, field) in parsed.operands.iter().enumerate() {
            match roles.role(index, count) {
                Some(role) => self.role(role, field, switches.recursive, row.name, start),
                None => self.out.unexplained(field.span),
            }
        }
        let fixed = roles.head.len() + roles.tail.len();
        if let (Some(role), Some(default)) = (roles.star, roles.default)
            && count <= fixed
            && reads_default(row, switches)
        {
            self.role(role, &Field::constant(default, start.span), switches.recursive, row.name, start);
        }
    }

    /// The rest of the words is a command, or shell text.
    fn inner_command(&mut self, shell: bool, parsed: &Parsed, start: &Start) {
        if parsed.operands.is_empty() {
            return;
        }
        if shell {
            let text = joined(&parsed.operands);
            self.shell_text(&text, start);
        } else {
            self.run(&parsed.operands, Start { unwrapped: start.unwrapped + 1, ..start.clone() });
        }
    }

    /// Files that `tee` fills with what is known.
    fn note_copied(&mut self, row: &'static Row, parsed: &Parsed, start: &Start) {
        if row.name == "tee" {
            let append = parsed.hits.iter().any(|hit| hit.is("-a"));
            for field in &parsed.operands {
                self.note_content(field, &given(start), append);
            }
        }
    }

    /// What the command prints, for the few where that is known.
    fn output(&self, row: &'static Row, parsed: &Parsed, start: &Start) -> Output {
        let value = match (row.name, parsed.operands.as_slice()) {
            ("cat", []) if parsed.hits.is_empty() => given(start),
            ("tee", _) => given(start),
            ("pwd", []) => self.cwd_value(),
            ("mktemp", []) => Value::Known("/tmp/tmp.XXXXXXXXXX".into()),
            ("basename", [one]) => one.known().map_or(Value::Unknown, |text| {
                Value::Known(text.trim_end_matches('/').rsplit('/').next().unwrap_or("").to_owned())
            }),
            ("which" | "type", [one]) => one.known().map_or(Value::Unknown, |text| Value::Known(text.to_owned())),
            _ => Value::Unknown,
        };
        let fetched = row.operands.contains("url") || parsed.operands.iter().any(|field| field.fetched);
        Output { value, fetched }
    }
}

/// What a command finds on its standard input.
fn given(start: &Start) -> Value {
    match &start.stdin {
        Stdin::Text(value) => value.clone(),
        Stdin::Pipe(out) => out.value.clone(),
        Stdin::Inherited | Stdin::File(_) => Value::Unknown,
    }
}

/// Words joined by blanks, as `eval`, `watch` and `ssh` join them.
pub(super) fn joined(fields: &[Field]) -> Field {
    let Some(first) = fields.first() else { return Field::constant("", Span::new(0, 0)) };
    let last = fields.last().map_or(first.span.end, |field| field.span.end);
    let known: Option<Vec<&str>> = fields.iter().map(|field| field.value.known()).collect();
    let value = match known {
        Some(words) if words.iter().map(|word| word.len() + 1).sum::<usize>() > VALUE_BYTES_MAX => Value::Unknown,
        Some(words) => Value::Known(words.join(" ")),
        None => fields
            .iter()
            .skip(1)
            .fold(first.value.clone(), |all, field| all.concat(&Value::Known(" ".into())).concat(&field.value)),
    };
    Field {
        value,
        glob: false,
        many: fields.iter().any(|field| field.many),
        quoted: true,
        fetched: fields.iter().any(|field| field.fetched),
        span: Span::new(first.span.start, last.max(first.span.start)),
    }
}

/// `grep x` reads standard input; with `-r`, and for tools that search by themselves, the default counts.
fn reads_default(row: &Row, switches: &Switches) -> bool {
    !row.operands.starts_with("data read*=")
        || switches.recursive
        || row.name == "rg"
        || !matches!(row.name, "grep" | "egrep" | "fgrep")
}

/// A program of the tables that is given nothing but `--help` or `--version` tells about itself, or complains. One that
/// prints its operands prints these.
fn asks_for_help(args: &[Field]) -> bool {
    matches!(args, [only] if matches!(only.known(), Some("--help" | "--version")))
}

/// How a check speaks about a row's fact or option.
pub(super) fn what_check(id: u16) -> &'static str {
    match id {
        9 => "arranges for something to run later",
        13 => "runs code that is not understood",
        14 => "can run a program or change what runs",
        15 => "takes code from the network and runs it",
        16 => "changes what decides about later runs",
        17 => "touches secrets",
        18 => "may reach outside the directory it is given",
        19 => "destroys or publishes what cannot be taken back",
        20 => "uses privilege or weakens containment",
        _ => "is dangerous",
    }
}
