//! Applying a row: options and operands become effects.

use super::run::Start;
use super::value::{Field, Value};
use super::{Eval, Output, Stdin};
use crate::commands::options::{Act, Hit, Parsed, parse};
use crate::commands::roles::{Fact, Operands, fact};
use crate::commands::{self, Row};
use crate::limits::VALUE_BYTES_MAX;
use model::{Action, PathScope, Reversibility, Risk, Span, Target};

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
        let parsed = parse(row, args);
        let switches = self.switches(row, &parsed, start);
        let certificate = format!("{family}/{}", row.name);
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
        self.apply_facts(&facts, &parsed.operands, start.span, row.name);
        self.note_copied(row, &parsed, start);
        (certificate, self.output(row, &parsed, start))
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
        let base = if by == "podman" {
            "docker"
        } else if by == "pip3" {
            "pip"
        } else {
            by
        };
        let found = name.as_deref().and_then(|name| commands::find(&format!("{base} {name}")));
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

    /// What a word in this role means.
    pub(super) fn role(&mut self, role: &str, field: &Field, recursive: bool, by: &str, start: &Start) {
        let tree = |recursive: bool| if recursive { PathScope::Tree } else { PathScope::Exact };
        match role {
            "data" => {}
            "read" if is_stdin(field) => {}
            "read" => self.on_path(Action::Read, field, tree(recursive), by),
            "tree" => self.on_path(Action::Read, field, PathScope::Tree, by),
            "list" => self.listed(field, by),
            "write" if is_stdin(field) => {}
            "write" => self.on_path(Action::Write, field, PathScope::Exact, by),
            "dest" => self.written_below(field, by),
            "create" | "dir" => self.on_path(Action::Create, field, PathScope::Exact, by),
            "link" => self.on_path(Action::Create, field, PathScope::Exact, by),
            "attr" => self.on_path(Action::Attributes, field, tree(recursive), by),
            "attrtree" => self.on_path(Action::Attributes, field, PathScope::Tree, by),
            "delete" => self.on_path(Action::Delete, field, tree(recursive), by),
            "deltree" => self.on_path(Action::Delete, field, PathScope::Tree, by),
            "from" => self.on_path(Action::Rename, field, PathScope::Tree, by),
            "exec" => self.script(field, by, start),
            "program" => self.named_program(field, by, start),
            "shell" => self.shell_text(&field.clone(), start),
            "code" => self.opaque_code(field.span, by, start),
            "host" => self.peer(field, by),
            "remote" => self.remote(field, by),
            "url" => self.url(field, by),
            "cwd" => self.change_directory(field),
            "pid" => self.signalled(field, by),
            "var" => self.variable_named(field),
            "package" => self.package(field, by),
            "module" => self.module(field, by),
            "assign" => self.variable_of_make(field, start),
            "binding" => self.out.find(9, field.span, "a key is bound to text that is typed or run later"),
            _ => {}
        }
    }

    /// Names and metadata: a secret's name is no secret, so no check of secrets.
    fn listed(&mut self, field: &Field, by: &str) {
        let findings = self.out.findings.len();
        self.on_path(Action::Read, field, PathScope::Exact, by);
        self.out.findings.truncate(
            findings.max(self.out.findings.iter().rposition(|finding| finding.check.0 != 17).map_or(0, |at| at + 1)),
        );
    }

    fn written_below(&mut self, field: &Field, by: &str) {
        if field.value.choices().is_none_or(|all| all.iter().any(|text| !looks_like_directory(text))) {
            self.on_path(Action::Write, field, PathScope::Exact, by);
        } else {
            self.on_path(Action::Write, field, PathScope::Tree, by);
        }
    }

    fn script(&mut self, field: &Field, by: &str, start: &Start) {
        self.on_path(Action::Read, field, PathScope::Exact, by);
        self.run_file(field, by, start);
    }

    /// Code in a file runs.
    pub(super) fn run_file(&mut self, field: &Field, by: &str, start: &Start) {
        let text = field.known().unwrap_or("").to_owned();
        let downloaded = self.resolve(&text).iter().any(|(path, _)| self.state.downloaded.contains(path));
        if field.fetched || downloaded {
            self.out.find(15, field.span, "runs what was downloaded");
        } else if text.starts_with("/dev/fd/") {
            self.out.find(13, field.span, "runs what another command prints");
        } else if field.glob || field.known().is_none() {
            self.out.find(11, field.span, "which file is run depends on what is not known");
        }
        let target = match field.known() {
            Some(text) if by != "source" || text.contains('/') => self.program_at(text),
            _ => program_target(field, &self.source(field.span)),
        };
        self.effect(Action::Execute, target, Reversibility::Harmless, start.span, by);
        self.out.unexplained(field.span);
        if by == "source" || crate::eval::code::is_shell(by) {
            self.run_written(&text, field.span, by != "source");
        }
    }

    /// The program in a file, by its whole path where that is known.
    pub(super) fn program_at(&self, path: &str) -> Target {
        match self.resolve(path).as_slice() {
            [(only, _)] => Target::Program { name: only.encode() },
            _ => Target::Program { name: path.to_owned() },
        }
    }

    /// An option names a program that is run.
    fn named_program(&mut self, field: &Field, by: &str, start: &Start) {
        self.out.find(14, field.span, &format!("an option of {by} runs a program"));
        self.effect(
            Action::Execute,
            program_target(field, &self.source(field.span)),
            Reversibility::Harmless,
            start.span,
            by,
        );
        self.out.unexplained(field.span);
    }

    /// Code in a language that is not read here.
    pub(super) fn opaque_code(&mut self, span: Span, by: &str, start: &Start) {
        self.out.find(13, span, &format!("code for {by} that is not understood runs"));
        self.effect(Action::Execute, Target::Program { name: by.to_owned() }, Reversibility::Harmless, start.span, by);
        self.out.unexplained(span);
    }

    pub(super) fn peer(&mut self, field: &Field, by: &str) {
        match field.known() {
            Some(text) if text.starts_with("unix:") || text.starts_with('/') || text.starts_with("./") => {
                self.on_path(Action::Read, field, PathScope::Tree, by);
            }
            Some(text) if by.starts_with("git ") && !text.contains(['/', ':']) => {
                self.thing(Action::Connect, "the git remote", Reversibility::Never, field.span, by);
            }
            Some(text) => {
                let host = text.rsplit('@').next().unwrap_or(text);
                let host = host.split_once("://").map_or(host, |(_, rest)| rest);
                // An IPv6 address is full of colons: `[::1]:22`, `::1`.
                let host = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                    Some((address, _)) => address.to_owned(),
                    None if host.matches(':').count() > 1 && host.parse::<core::net::Ipv6Addr>().is_ok() => {
                        host.to_owned()
                    }
                    None => host.split(['/', ':']).next().unwrap_or(host).to_owned(),
                };
                self.connect(&host, None, field.span, by);
            }
            None => {
                self.connect("", None, field.span, by);
                self.out.find(17, field.span, "data that is computed becomes part of a peer's name");
            }
        }
    }

    /// `host:path` or a local path.
    fn remote(&mut self, field: &Field, by: &str) {
        let text = field.value.prefix();
        let colon = text.find(':').filter(|at| !text.get(..*at).unwrap_or("").contains('/'));
        if colon.is_some() || text.contains("://") {
            self.peer(field, by);
            self.thing(Action::Write, "files_on_another_machine", Reversibility::Never, field.span, by);
        } else {
            self.on_path(Action::Write, field, PathScope::Tree, by);
        }
    }

    pub(super) fn url(&mut self, field: &Field, by: &str) {
        let Some(text) = field.known().map(str::to_owned) else {
            self.connect("", None, field.span, by);
            return;
        };
        if let Some(path) = text.strip_prefix("file://") {
            self.on_path(Action::Read, &Field::constant(path, field.span), PathScope::Exact, by);
            return;
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", &text));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let host_port = authority.rsplit('@').next().unwrap_or(authority);
        let (host, port) = match host_port.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port.parse().ok()),
            _ => (host_port, if scheme == "https" { Some(443) } else { Some(80) }),
        };
        if host.starts_with("169.254.") || host == "metadata.google.internal" {
            self.out.find(17, field.span, "asks the cloud's metadata address, which hands out credentials");
        }
        self.connect(host, port, field.span, by);
    }

    pub(super) fn change_directory(&mut self, field: &Field) {
        let places = match field.known() {
            Some(text) => {
                self.resolve(text).into_iter().map(|(path, _)| path).filter(model::FilePath::is_absolute).collect()
            }
            None => Vec::new(),
        };
        self.state.cwd.places = places;
        self.state.cwd.if_failed.clear();
    }

    fn signalled(&mut self, field: &Field, by: &str) {
        let one = field.known().is_some_and(|text| text.parse::<u32>().is_ok_and(|pid| pid > 1));
        let what = match field.known() {
            Some("1") => {
                self.out.find(20, field.span, "signals the first process, which keeps the system running");
                "process 1".to_owned()
            }
            Some("-1") => {
                self.out.find(20, field.span, "signals every process");
                "every process".to_owned()
            }
            Some(text) => format!("process {text}"),
            None => format!("process {}", self.source(field.span)),
        };
        let reversibility = if one { Reversibility::ByHand } else { Reversibility::Never };
        self.thing(Action::Signal, &what, reversibility, field.span, by);
    }

    /// What a package manager installs: a name in its registry, or a place that no registry vouches for.
    fn package(&mut self, field: &Field, by: &str) {
        let text = field.known().unwrap_or_else(|| field.value.prefix()).to_owned();
        let place = text.split_once(" @ ").map_or(text.as_str(), |(_, place)| place.trim());
        let forge = ["github:", "gitlab:", "bitbucket:", "gist:", "git@"].iter().any(|head| place.starts_with(head));
        // npm and its kin take `owner/repository` for a place at GitHub.
        let short = !by.contains("pip")
            && !place.starts_with(['.', '/', '~', '@'])
            && place.split_once('/').is_some_and(|(owner, rest)| !owner.is_empty() && !rest.is_empty());
        if place.contains("://") || forge || short {
            self.out.find(15, field.span, &format!("{by} takes code from a place that no registry vouches for"));
            if place.contains("://") {
                let url = place.split_once('+').filter(|(kind, _)| !kind.contains(':')).map_or(place, |(_, url)| url);
                self.url(&Field::constant(url, field.span), by);
            }
        } else if field.known().is_none() {
            self.out.find_as(15, Risk::Medium, field.span, &format!("which package {by} takes is not known"));
        } else if place.starts_with(['.', '/', '~']) {
            self.on_path(Action::Read, field, PathScope::Tree, by);
        }
    }

    /// Code or a description in the project, or from the network.
    fn module(&mut self, field: &Field, by: &str) {
        if is_stdin(field) {
            return;
        }
        let text = field.value.prefix();
        let remote = text.contains("://")
            || text.starts_with("git@")
            || text.starts_with("github.com/")
            || (by == "go run" && text.contains('@'));
        if remote {
            self.out.find(15, field.span, &format!("{by} takes what it runs from the network"));
            self.url(field, by);
        } else {
            self.on_path(Action::Read, field, PathScope::Tree, by);
        }
    }

    /// `make NAME=value`: the value stands in recipes, which a shell reads.
    fn variable_of_make(&mut self, field: &Field, start: &Start) {
        let text = field.known().unwrap_or_else(|| field.value.prefix()).to_owned();
        let Some((name, value)) = text.split_once('=') else { return };
        let name = name.trim_end_matches([':', '?', '+', '!']);
        if matches!(name, "SHELL" | "MAKEFLAGS" | ".SHELLFLAGS" | "MAKEFILES") {
            self.out.find(12, field.span, &format!("{name} decides what runs the recipes of make"));
        } else if value.contains(['`', ';', '|', '&', '\n']) || value.contains("$(") {
            self.out.find(14, field.span, "a variable of make holds a command, which recipes would run");
            let inner = value.replace("$(shell ", "$(").replace("$$", "$");
            self.may += 1;
            self.shell_text(&Field::constant(&inner, field.span), start);
            self.may -= 1;
        }
        if field.known().is_none() {
            self.out.find_as(14, Risk::Medium, field.span, "a variable of make has a value that is not known");
        }
    }

    fn variable_named(&mut self, field: &Field) {
        self.subscript_data(field);
        if let Some(name) = field.known() {
            self.state.set(name.split('[').next().unwrap_or(name), Value::Unknown);
        }
    }

    /// Applies the last column of a row.
    pub(super) fn facts(&mut self, column: &'static str, operands: &[Field], span: Span, by: &str) {
        let words: Vec<&'static str> = column.split_ascii_whitespace().collect();
        self.apply_facts(&words, operands, span, by);
    }

    fn apply_facts(&mut self, words: &[&'static str], operands: &[Field], span: Span, by: &str) {
        for text in words {
            if let Some(fact) = fact(text) {
                self.fact(fact, operands, span, by);
            }
        }
    }

    fn fact(&mut self, fact: Fact, operands: &[Field], span: Span, by: &str) {
        match fact {
            Fact::Exec => {
                let target = match by.starts_with("./") {
                    true => self.program_at(by),
                    false => Target::Program { name: by.to_owned() },
                };
                self.effect(Action::Execute, target, Reversibility::Harmless, span, by);
                self.out.unexplained(span);
            }
            Fact::Tool => {
                self.effect(Action::Execute, Target::Program { name: by.to_owned() }, Reversibility::Harmless, span, by)
            }
            Fact::Repo => self.thing(Action::Write, "the git repository", Reversibility::ByOverlay, span, by),
            Fact::Write(path) => self.at_place(Action::Write, path, span, by),
            Fact::Tree(path) => self.repository_read(path, span, by),
            Fact::Net(host) => self.registry(host, operands, span, by),
            Fact::Listen => self.thing(Action::Listen, "a network port", Reversibility::Never, span, by),
            Fact::Signal(what) => self.thing(Action::Signal, what, Reversibility::Never, span, by),
            Fact::Privilege(what) => self.thing(Action::Privilege, what, Reversibility::Never, span, by),
            Fact::Remote(what) => self.thing(Action::Write, what, Reversibility::Never, span, by),
            Fact::Changes(what) => self.thing(Action::Write, what, Reversibility::ByHand, span, by),
            Fact::Check(id) => self.out.find(id, span, &format!("{by} {}", what_check(id))),
        }
    }

    fn registry(&mut self, host: &str, operands: &[Field], span: Span, by: &str) {
        if !host.is_empty() {
            self.may += 1;
            self.connect(host, None, span, by);
            self.may -= 1;
        } else if by.starts_with("git ")
            && operands.first().is_none_or(|field| field.known().is_some_and(|text| !text.contains([':', '/'])))
        {
            self.thing(Action::Connect, "the git remote", Reversibility::Never, span, by);
        } else if !self.out.effects.iter().any(|effect| {
            effect.action == Action::Connect
                && effect.span.is_some_and(|at| at.start >= span.start && at.end <= span.end)
        }) {
            self.connect("", None, span, by);
        }
    }

    fn at_place(&mut self, action: Action, path: &'static str, span: Span, by: &str) {
        let text = match path.strip_prefix("~/") {
            Some(rest) => self.home_path().join(rest).encode(),
            None => path.to_owned(),
        };
        // What a row promises is about ordinary content; protected names inside are the review's business.
        let findings = self.out.findings.len();
        self.may += 1;
        self.on_path(action, &Field::constant(&text, span), PathScope::Tree, by);
        self.may -= 1;
        self.out.findings.truncate(findings);
    }

    /// A tool reads its project: content is not printed beyond what it tracks.
    fn repository_read(&mut self, path: &'static str, span: Span, by: &str) {
        let findings = self.out.findings.len();
        self.on_path(Action::Read, &Field::constant(path, span), PathScope::Tree, by);
        self.out.findings.truncate(findings);
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

fn is_stdin(field: &Field) -> bool {
    field.known() == Some("-")
}

fn looks_like_directory(text: &str) -> bool {
    text.ends_with('/')
        || matches!(text, "." | "..")
        || text.ends_with("/.")
        || !text.rsplit('/').next().unwrap_or("").contains('.')
}

fn program_target(field: &Field, source: &str) -> Target {
    match field.known() {
        Some(text) => Target::Program { name: text.to_owned() },
        None => Target::Unknown { text: source.to_owned() },
    }
}

/// How a check speaks about a row's fact or option.
fn what_check(id: u16) -> &'static str {
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
