//! What a word means by its role: a file that is read or written, a peer, a program, a package.

use super::Eval;
use super::run::Start;
use super::value::{Field, Value};
use model::{Action, PathScope, Reversibility, Risk, Span, Target};

impl Eval<'_> {
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
            "write" if field.value.prefix().starts_with(['|', '!']) => self.piped_into(field, by, start),
            "write" => self.on_path(Action::Write, field, PathScope::Exact, by),
            "dest" => self.written_below(Action::Write, field, by),
            "into" => self.on_path(Action::Write, field, PathScope::Tree, by),
            "create" | "dir" => self.on_path(Action::Create, field, PathScope::Exact, by),
            "link" => self.written_below(Action::Create, field, by),
            "attr" => self.on_path(Action::Attributes, field, tree(recursive), by),
            "attrtree" => self.on_path(Action::Attributes, field, PathScope::Tree, by),
            "delete" => self.on_path(Action::Delete, field, tree(recursive), by),
            "shredded" => {
                self.on_path(Action::Write, field, PathScope::Exact, by);
                self.on_path(Action::Delete, field, PathScope::Exact, by);
            }
            "deltree" => self.on_path(Action::Delete, field, PathScope::Tree, by),
            "from" => self.on_path(Action::Rename, field, PathScope::Tree, by),
            "exec" => self.script(field, by, start),
            "program" => self.named_program(field, by, start),
            "shell" => self.shell_text(&field.clone(), start),
            "code" => self.opaque_code(field.span, by, start),
            "host" => self.peer(field, by),
            "remote" => self.remote(field, by),
            "url" => self.url(field, by),
            "rerouted" => self.rerouted(field, by),
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

    /// The last operand of a copy: the new name, or a directory it goes into.
    fn written_below(&mut self, action: Action, field: &Field, by: &str) {
        let choices = field.value.choices().unwrap_or(&[]);
        let may_be_one = |text: &String| looks_like_directory(text) || self.is_directory(text);
        let below = !choices.is_empty() && choices.iter().any(may_be_one);
        self.on_path(action, field, if below { PathScope::Tree } else { PathScope::Exact }, by);
    }

    fn is_directory(&self, name: &str) -> bool {
        self.resolve(name).iter().any(|(path, _)| self.context.directories.contains(path))
    }

    /// `strace -o '|CMD'`: what is written goes to a command.
    fn piped_into(&mut self, field: &Field, by: &str, start: &Start) {
        self.on_path(Action::Write, field, PathScope::Exact, by);
        if let Some(text) = field.known().map(|text| text.trim_start_matches(['|', '!']).to_owned()) {
            self.shell_text(&Field::constant(&text, field.span), start);
        } else {
            self.out.find(14, field.span, &format!("{by} pipes into a command that is not known"));
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

    /// curl(1)'s `HOST:PORT:ADDRESS[,ADDRESS]...` and `HOST:PORT:HOST:PORT`: whom it reaches in place of whom it names.
    fn rerouted(&mut self, field: &Field, by: &str) {
        let Some(text) = field.known() else {
            return self.peer(field, by);
        };
        let mut rest = text;
        for _ in 0..2 {
            // What is before the second colon; a name may be an IPv6 address in brackets.
            let inside = rest.find(']').filter(|_| rest.starts_with('[')).unwrap_or(0);
            let colon = rest.get(inside..).and_then(|rest| rest.find(':')).map(|at| inside + at);
            rest = colon.and_then(|at| rest.get(at + 1..)).unwrap_or_default();
        }
        for peer in rest.split(',').filter(|peer| !peer.is_empty() && !peer.starts_with(':')) {
            self.peer(&Field::constant(peer, field.span), by);
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
        let job = |text: &str| text.strip_prefix('%').is_some_and(|job| !job.is_empty());
        let one = field.known().is_some_and(|text| text.parse::<u32>().is_ok_and(|pid| pid > 1) || job(text))
            || field.value.is_own_process();
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
            self.effect(Action::Execute, self.program_at(place), Reversibility::Harmless, field.span, by);
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
            || (by.starts_with("deno") && (text.starts_with("npm:") || text.starts_with("jsr:")))
            || (by == "go run" && (text.contains('@') || is_import_path(text)));
        if remote {
            self.out.find(15, field.span, &format!("{by} takes what it runs from the network"));
            self.url(field, by);
        } else {
            self.on_path(Action::Read, field, PathScope::Tree, by);
            if by == "go run" && text.contains('/') {
                self.effect(Action::Execute, self.program_at(text), Reversibility::Harmless, field.span, by);
            }
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
        if let Some(inner) = super::opaque::embedded(value) {
            self.may += 1;
            self.shell_text(&Field::constant(inner, field.span), start);
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
}

/// `example.org/cmd`: a module by the host it comes from, and no file.
fn is_import_path(text: &str) -> bool {
    text.split_once('/').is_some_and(|(host, _)| host.contains('.') && !host.starts_with('.')) && !text.ends_with(".go")
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
