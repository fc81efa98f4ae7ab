//! `curl`, `wget`, `ssh`, `rsync`, `scp`: what comes in, what goes out.

use super::unknown;
use crate::commands;
use crate::commands::options::Parsed;
use crate::eval::run::Start;
use crate::eval::value::{Field, Value};
use crate::eval::{Eval, Output};
use model::{Action, PathScope, Reversibility, Target};

impl Eval<'_> {
    /// `curl` and `wget`: the row, then what is remembered: downloaded files, data that leaves.
    pub(super) fn download(&mut self, program: &str, args: &[Field], start: &Start) -> Option<Output> {
        let (family, row) = commands::find(program)?;
        let parsed = commands::options::parse(row, args);
        for hit in &parsed.hits {
            let Some(value) = &hit.value else { continue };
            let saves = hit.is("-o") || hit.is("-O") || hit.is("--output-document");
            if let Some(name) = value.known().filter(|_| saves) {
                let paths: Vec<_> = self.resolve(name).into_iter().map(|(path, _)| path).collect();
                self.state.downloaded.extend(paths);
            }
            if ["-d", "--data-binary", "--data-urlencode", "-F", "--json"].iter().any(|name| hit.is(name)) {
                self.uploaded(value, program);
            }
        }
        let named_by_url = parsed.hits.iter().any(|hit| program == "curl" && hit.is("-O")) || program == "wget";
        if named_by_url {
            for url in &parsed.operands {
                let name = url.value.prefix().rsplit('/').next().unwrap_or("").to_owned();
                let paths: Vec<_> = self.resolve(&name).into_iter().map(|(path, _)| path).collect();
                self.state.downloaded.extend(paths);
            }
        }
        let before = self.out.effects.len();
        let out = self.apply(family, row, args, start).1;
        if program == "curl" && only_gets(&parsed) {
            self.asked_here(before);
        }
        Some(Output { value: out.value, fetched: true })
    }

    /// `ping HOST`, `nc -z HOST PORT`: whether somebody answers.
    pub(super) fn probe(&mut self, program: &str, args: &[Field], start: &Start) -> Option<Output> {
        let (family, row) = commands::find(program)?;
        let parsed = commands::options::parse(row, args);
        let before = self.out.effects.len();
        let out = self.apply(family, row, args, start).1;
        let pings = program.starts_with("ping") && !parsed.hits.iter().any(|hit| hit.is("-f") || hit.is("-b"));
        let scans = parsed.hits.iter().any(|hit| hit.is("-z"))
            && parsed.hits.iter().all(|hit| ["-z", "-v", "-w", "-n", "-4", "-6", "-u"].iter().any(|name| hit.is(name)));
        if (pings || scans) && parsed.unknown.is_empty() {
            self.asked_here(before);
        }
        Some(out)
    }

    /// The connections since `before` only ask: on this machine that changes nothing. To others, what is asked is told.
    fn asked_here(&mut self, before: usize) {
        for effect in self.out.effects.get_mut(before..).unwrap_or(&mut []) {
            if let (Action::Connect, Target::Peer(peer)) = (&effect.action, &effect.target)
                && is_this_machine(&peer.host)
            {
                effect.reversibility = Reversibility::Harmless;
            }
        }
    }

    /// `-d @file` sends a file.
    fn uploaded(&mut self, value: &Field, program: &str) {
        let text = value.value.prefix().to_owned();
        let file = text.split_once('@').map(|(_, file)| file.split(';').next().unwrap_or(file).to_owned());
        if let Some(file) = file.filter(|file| !file.is_empty() && file != "-") {
            let known = value.known().is_some();
            let field =
                Field { value: if known { Value::Known(file) } else { Value::starting(&file) }, ..value.clone() };
            self.on_path(Action::Read, &field, PathScope::Exact, program);
        }
    }

    /// `ssh HOST CMD`: everything behind the host runs over there.
    pub(super) fn ssh(&mut self, args: &[Field], start: &Start) -> Output {
        let Some((family, row)) = commands::find("ssh") else { return unknown() };
        let out = self.apply(family, row, args, start).1;
        let parsed = commands::options::parse(row, args);
        for field in parsed.hits.iter().filter(|hit| hit.is("-o")).filter_map(|hit| hit.value.as_ref()) {
            let name = field.value.prefix().split(['=', ' ']).next().unwrap_or("").to_lowercase();
            if matches!(name.as_str(), "proxycommand" | "localcommand" | "knownhostscommand" | "permitlocalcommand") {
                self.executes("ssh", start);
            }
        }
        if let Some(command) = parsed.operands.get(1..).filter(|command| !command.is_empty()) {
            self.text_elsewhere(&crate::eval::apply::joined(command), "on the other machine", start);
        }
        out
    }

    /// `rsync` and `scp`: sources are read, only the last is written.
    pub(super) fn copy_remote(&mut self, program: &str, args: &[Field], start: &Start) -> Option<Output> {
        let (family, row) = commands::find(program)?;
        let parsed = commands::options::parse(row, args);
        for source in parsed.operands.iter().rev().skip(1).filter(|field| !field.value.prefix().contains(':')) {
            self.on_path(Action::Read, source, PathScope::Tree, program);
        }
        // Sources are known by their values: inside `sh -c` all words have one span.
        let mut sources = parsed.operands.iter().rev().skip(1).collect::<Vec<_>>().into_iter().rev().peekable();
        let mut kept: Vec<Field> = Vec::new();
        for field in args {
            let source = sources.next_if(|source| source.value == field.value && source.span == field.span);
            if source.is_none() || field.value.prefix().contains(':') {
                kept.push(field.clone());
            }
        }
        if parsed.hits.iter().any(|hit| hit.is("-n"))
            && parsed.operands.iter().all(|field| !field.value.prefix().contains(':'))
        {
            return Some(unknown());
        }
        self.moved_or_mirrored(&parsed, program);
        self.apply(family, row, &kept, start);
        Some(unknown())
    }

    /// What rsync removes: sources that were sent, and at the target what is not in them.
    fn moved_or_mirrored(&mut self, parsed: &Parsed, program: &str) {
        let Some((target, sources)) = parsed.operands.split_last() else { return };
        let given = |name: &str| parsed.hits.iter().any(|hit| hit.starts(name));
        let gone: Vec<Field> = match (given("--remove-source"), given("--delete")) {
            (true, true) => parsed.operands.clone(),
            (true, false) => sources.to_vec(),
            (false, true) => vec![target.clone()],
            (false, false) => return,
        };
        self.may += 1;
        for place in gone.iter().filter(|field| !field.value.prefix().contains(':')) {
            self.on_path(Action::Delete, place, PathScope::Tree, program);
        }
        self.may -= 1;
    }
}

/// Ports on which a GET does more than show a page: engines of containers, debuggers, stores of secrets.
const CONTROL_PORTS: &[&str] =
    &["2375", "2376", "2379", "4243", "8200", "8500", "9222", "9223", "9229", "10250", "10255", "6379", "11211"];

/// Options of curl that leave it a request for one page, shown on standard output or thrown away.
const GETS: &[&str] = &[
    "-s",
    "-S",
    "-f",
    "--fail-with-body",
    "-I",
    "-i",
    "-v",
    "-m",
    "--connect-timeout",
    "--retry",
    "--retry-delay",
    "--retry-all-errors",
    "--retry-connrefused",
    "-4",
    "-6",
    "-k",
    "-N",
    "-#",
    "--no-progress-meter",
    "--compressed",
    "--http1.1",
    "--http2",
    "-A",
    "-o",
    "-w",
    "-X",
    "-H",
    "-q",
];

/// Whether curl is asked for plain HTTP GETs or HEADs, by addresses that say where they lead.
fn only_gets(parsed: &Parsed) -> bool {
    let fits = |hit: &commands::options::Hit| {
        let value = hit.value.as_ref().and_then(Field::known);
        match () {
            () if hit.is("-X") => matches!(value, Some("GET" | "HEAD")),
            () if hit.is("-H") => value.is_some_and(|text| {
                let name = text.split(':').next().unwrap_or("").to_lowercase();
                matches!(
                    name.as_str(),
                    "accept" | "accept-encoding" | "accept-language" | "user-agent" | "content-type"
                )
            }),
            // `%output{FILE}` writes.
            () if hit.is("-w") => value.is_some_and(|text| !text.contains("%output") && !text.starts_with('@')),
            () => GETS.iter().any(|name| hit.is(name)),
        }
    };
    parsed.unknown.is_empty() && parsed.hits.iter().all(fits) && parsed.operands.iter().all(is_plain_page)
}

/// `http://localhost:8080/a?b=c`: no user, no pattern, none of the ports that are more than pages.
fn is_plain_page(url: &Field) -> bool {
    let Some(text) = url.known() else { return false };
    let rest = match text.split_once("://") {
        Some(("http" | "https", rest)) => rest,
        Some(_) => return false,
        None => text,
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let plain = authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte));
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
    let rest = rest.get(authority.len()..).unwrap_or("");
    plain && !CONTROL_PORTS.contains(&port) && !rest.contains(['{', '[', '\\'])
}

/// Names that mean this machine everywhere. `x.localhost` is asked of the network by some resolvers.
fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<core::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
