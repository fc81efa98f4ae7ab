//! Risk: which facts justify which tier, in the jar and on the bare machine, one row per fact.
//!
//! The risk of a command is the maximum over all rows its effects meet, its findings, and what was not understood; so
//! joining another command to it never lowers it. An effect that meets no row is HIGH: not understood is never LOW.
//!
//! In a jar writes land in an overlay and are reviewed, secrets are not in the view, there is no network and no
//! privilege; so most facts are MEDIUM there. What stays HIGH is text that deceives its reader: a person who looks at
//! it sees something other than what runs, and a review would start from a false belief.

use crate::derived::Depth;
use crate::explain;
use crate::facts::{Ground, Location, Network, PathFacts};
use crate::pattern::Fit;
use Risk::{High, Low, Medium};
use model::{
    Action, Analysis, Assessment, CheckId, Coverage, Effect, FilePath, Finding, PathScope, Place, Reason,
    Reversibility, Risk, Span, Target, Tiers, escape,
};

/// One effect with everything the rows ask about it.
pub(crate) struct EffectFacts<'a> {
    pub(crate) effect: &'a Effect,
    pub(crate) path: Option<PathFacts>,
    pub(crate) network: Option<Network>,
}

impl<'a> EffectFacts<'a> {
    pub(crate) fn new(effect: &'a Effect, ground: &Ground<'_>) -> EffectFacts<'a> {
        let (path, network) = match &effect.target {
            Target::Path { path, .. } if only_lists(effect) => (Some(listed(path, ground)), None),
            Target::Path { path, scope } => (Some(ground.path(path, *scope)), None),
            Target::Peer(peer) => (None, Some(Network::of(&peer.host))),
            Target::Program { name } if name.contains('/') => {
                (Some(ground.path(&name.as_str().into(), PathScope::Exact)), None)
            }
            Target::Program { .. } | Target::Thing { .. } | Target::Unknown { .. } => (None, None),
        };
        EffectFacts { effect, path, network }
    }

    pub(crate) fn scope(&self) -> Option<PathScope> {
        match self.effect.target {
            Target::Path { scope, .. } => Some(scope),
            _ => None,
        }
    }

    /// The protected row this effect reaches: the name itself, or for a whole tree any name below it.
    pub(crate) fn protected(&self) -> Option<&'static crate::protected::Protected> {
        let (fit, row) = self.path.as_ref()?.protected?;
        let reaches = fit == Fit::Within || self.scope() == Some(PathScope::Tree);
        (reaches && row.risk == High).then_some(row)
    }

    fn is(&self, action: Action) -> bool {
        self.effect.action == action
    }

    fn changes(&self) -> bool {
        is_change(self.effect.action)
    }

    fn at(&self, location: Location) -> bool {
        self.path.as_ref().is_some_and(|path| path.location == location)
    }

    fn on_path(&self) -> bool {
        matches!(self.effect.target, Target::Path { .. })
    }

    fn on_thing(&self) -> bool {
        matches!(self.effect.target, Target::Thing { .. } | Target::Program { .. })
    }

    fn on_peer(&self) -> bool {
        matches!(self.effect.target, Target::Peer(_))
    }

    /// The package registry of the tool that asks, or the remote a git repository already has: named by a table, not by
    /// the command. Whoever names such a host to another program gets no credit for it.
    fn is_source(&self) -> bool {
        let by = self.effect.by.as_deref().and_then(|by| by.split(' ').next());
        match (&self.effect.target, by) {
            (Target::Thing { .. }, Some("git")) => true,
            (Target::Peer(peer), Some(by)) => {
                let whole = self.effect.by.as_deref().unwrap_or("");
                SOURCES
                    .iter()
                    .any(|(tools, host)| *host == peer.host && (tools.contains(&by) || tools.contains(&whole)))
            }
            _ => false,
        }
    }

    /// A connection that stays on this machine and, as the command is known to use it, changes nothing: a ping, a GET.
    fn asks_here(&self) -> bool {
        self.is(Action::Connect)
            && self.network == Some(Network::Loopback)
            && self.effect.reversibility == Reversibility::Harmless
    }

    /// A tool that asks its own service and, as its row says, changes nothing there. All that is told stands in the command:
    /// the analyser gives such a connection as harmless only where no part of it is unknown.
    fn asks_source(&self) -> bool {
        self.is(Action::Connect)
            && self.is_source()
            && matches!(self.effect.target, Target::Peer(_))
            && self.effect.reversibility == Reversibility::Harmless
    }

    /// Files in which the kernel tells of hardware and settings; who may not know them may not read them.
    fn tells_of_the_kernel(&self) -> bool {
        let below = |path: &FilePath| ["/sys", "/proc/sys"].iter().any(|root| path.as_path().starts_with(root));
        matches!(&self.effect.target, Target::Path { path, .. } if below(path))
    }

    fn is_secret(&self) -> bool {
        self.path.as_ref().is_some_and(|path| path.secret.is_some() || path.state)
    }

    fn removes(&self) -> bool {
        matches!(self.effect.action, Action::Delete | Action::Rename)
    }
}

/// Tools, or subcommands, that ask one host of their own: package managers and where their packages come from, forges.
/// Of git only `clone` stands here, which sends nothing of the project.
static SOURCES: &[(&[&str], &str)] = &[
    (&["cargo"], "crates.io"),
    (&["npm", "npx", "pnpm", "yarn", "bun", "bunx", "corepack"], "registry.npmjs.org"),
    (&["pip", "pip3", "pipx", "uv", "uvx", "poetry", "pdm", "pipenv", "hatch"], "pypi.org"),
    (&["go"], "proxy.golang.org"),
    (&["gem", "bundle"], "rubygems.org"),
    (&["composer"], "packagist.org"),
    (&["mvn", "gradle"], "repo.maven.apache.org"),
    (&["dotnet", "nuget"], "api.nuget.org"),
    (&["apt", "apt-get"], "deb.debian.org"),
    (&["brew"], "formulae.brew.sh"),
    (&["rustup"], "static.rust-lang.org"),
    (&["nvm", "n", "fnm", "volta"], "nodejs.org"),
    (&["conda", "mamba"], "repo.anaconda.com"),
    (&["nix", "nix-env", "nix-shell"], "cache.nixos.org"),
    (&["gh"], "api.github.com"),
    (&["git clone", "gh repo clone"], "github.com"),
    (&["git clone"], "gitlab.com"),
    (&["git clone"], "bitbucket.org"),
    (&["git clone"], "codeberg.org"),
    (&["cargo audit", "cargo deny", "pre-commit"], "github.com"),
    (&["docker pull", "docker compose pull", "docker manifest inspect"], "registry-1.docker.io"),
    (&["terraform init", "terraform get"], "registry.terraform.io"),
];

/// Programs that read names and attributes, never content: a whole tree with secrets in it is no secret to them.
const LISTERS: &[&str] = &["ls", "find", "fd", "fdfind", "du", "df", "tree", "stat", "locate"];

/// The facts of a path whose name and attributes are read. The name of a secret is none; Belljar's own records are.
fn listed(path: &FilePath, ground: &Ground<'_>) -> PathFacts {
    PathFacts { secret: None, ..ground.path(path, PathScope::Exact) }
}

fn only_lists(effect: &Effect) -> bool {
    let by = effect.by.as_deref().and_then(|by| by.rsplit('/').next());
    effect.action == Action::Read && by.is_some_and(|by| LISTERS.contains(&by))
}

/// Whether an action changes its target.
pub(crate) fn is_change(action: Action) -> bool {
    matches!(action, Action::Write | Action::Create | Action::Delete | Action::Rename | Action::Attributes)
}

/// One row: a fact about an effect and the tiers it alone justifies.
struct Row {
    /// Stable name, for tests.
    #[cfg_attr(not(test), expect(dead_code))]
    id: &'static str,
    contained: Risk,
    bare: Risk,
    /// Stands after `action target: ` in a reason.
    says: &'static str,
    applies: fn(&EffectFacts<'_>) -> bool,
}

const fn row(
    id: &'static str,
    contained: Risk,
    bare: Risk,
    says: &'static str,
    applies: fn(&EffectFacts<'_>) -> bool,
) -> Row {
    Row { id, contained, bare, says, applies }
}

/// The table. Every row that applies counts; the order is only the order of reading.
#[rustfmt::skip]
static ROWS: &[Row] = &[
    //  fact                 contained bare
    row("read/plain",        Low,    Low,    "only reads",                                       |f| f.is(Action::Read) && f.on_path() && !f.at(Location::Unknown)),
    row("read/facts",        Low,    Low,    "only reads",                                       |f| f.is(Action::Read) && f.on_thing() && f.effect.reversibility == Reversibility::Harmless),
    row("read/secret",       Medium, High,   "it holds secrets",                                 |f| f.is(Action::Read) && f.is_secret()),
    row("read/device",       Medium, High,   "it is a device or the kernel's memory",            |f| f.is(Action::Read) && f.at(Location::Device) && !only_lists(f.effect) && !f.tells_of_the_kernel()),
    row("read/names",        Low,    Low,    "only reads names",                                 |f| f.is(Action::Read) && only_lists(f.effect)),
    row("read/unresolved",   Medium, Medium, "which file is not known beforehand",               |f| f.is(Action::Read) && !only_lists(f.effect) && (f.at(Location::Unknown) || matches!(f.effect.target, Target::Unknown { .. }))),
    row("read/remote",       Medium, High,   "it is on another machine or socket",               |f| f.is(Action::Read) && f.on_peer()),

    row("write/stream",      Low,    Low,    "changes no file",                                  |f| f.is(Action::Write) && f.at(Location::Stream)),
    row("change/stream",     Medium, High,   "it is a device node",                              |f| f.changes() && !f.is(Action::Write) && f.at(Location::Stream)),
    row("change/workspace",  Medium, Medium, "it is in the project",                             |f| f.changes() && f.at(Location::Workspace)),
    row("change/temporary",  Medium, Medium, "it is temporary",                                  |f| f.changes() && f.at(Location::Temporary)),
    row("change/cache",      Medium, Medium, "it is a cache in the home",                        |f| f.changes() && f.at(Location::Home) && is_cache(f)),
    row("change/home",       Medium, High,   "it is in the home, outside the project",           |f| f.changes() && f.at(Location::Home) && !is_cache(f)),
    row("change/system",     Medium, High,   "it belongs to the system",                         |f| f.changes() && f.at(Location::System)),
    row("change/elsewhere",  Medium, High,   "it is outside the writable directories",           |f| f.changes() && f.at(Location::Elsewhere)),
    row("change/device",     Medium, High,   "it is a device or a switch of the kernel",         |f| f.changes() && f.at(Location::Device)),
    row("change/unresolved", Medium, High,   "what it changes is not known beforehand",          |f| f.changes() && (f.at(Location::Unknown) || matches!(f.effect.target, Target::Unknown { .. }))),
    row("change/secret",     Medium, High,   "it holds secrets",                                 |f| f.changes() && f.is_secret()),
    row("change/protected",  Medium, High,   "other programs run it or trust it",                |f| f.changes() && f.protected().is_some()),
    row("change/kept",       Medium, Medium, "it can be undone",                                 |f| f.changes() && f.on_thing() && matches!(f.effect.reversibility, Reversibility::ByOverlay | Reversibility::ByHand)),
    row("change/remote",     Medium, High,   "it is not a file here and cannot be taken back",   |f| f.changes() && (f.on_peer() || f.on_thing() && f.effect.reversibility == Reversibility::Never)),
    row("remove/workspace",  Medium, High,   "that is the whole project",                        |f| f.removes() && f.path.as_ref().is_some_and(|p| p.whole_workspace) && f.scope() != Some(PathScope::Exact)),
    row("remove/top",        Medium, High,   "that is everything",                               |f| f.changes() && f.path.as_ref().is_some_and(|p| p.top) && f.scope() != Some(PathScope::Exact)),

    row("execute/program",   Medium, Medium, "what that program does is not known beforehand",   |f| f.is(Action::Execute)),
    row("execute/elsewhere", Medium, High,   "it is code from outside the project",              |f| f.is(Action::Execute) && f.path.as_ref().is_some_and(|path| path.location != Location::Workspace)),
    row("execute/unknown",   Medium, High,   "which program that is is not known beforehand",    |f| f.is(Action::Execute) && matches!(f.effect.target, Target::Unknown { .. })),
    row("connect/asks",      Low,    Low,    "only asks a program on this machine",              |f| f.asks_here()),
    row("connect/question",  Low,    Low,    "only asks the tool's own service",                 |f| f.asks_source()),
    row("connect/loopback",  Medium, Medium, "it stays on this machine",                         |f| f.is(Action::Connect) && f.network == Some(Network::Loopback) && !f.asks_here()),
    row("connect/source",    Medium, Medium, "it is where this tool gets its data",         |f| f.is(Action::Connect) && f.is_source() && !f.asks_source()),
    row("connect/remote",    Medium, High,   "what is sent cannot be taken back",                |f| f.is(Action::Connect) && f.network != Some(Network::Loopback) && !f.is_source()),
    row("listen/loopback",   Medium, Medium, "it can be reached from this machine only",         |f| f.is(Action::Listen) && f.network == Some(Network::Loopback)),
    row("listen/remote",     Medium, High,   "others may reach it",                              |f| f.is(Action::Listen) && f.network != Some(Network::Loopback)),
    row("signal/process",    Medium, Medium, "it can end another program",                       |f| f.is(Action::Signal)),
    row("signal/others",     Medium, High,   "it can end programs that are not named",           |f| f.is(Action::Signal) && f.effect.reversibility == Reversibility::Never),
    row("privilege/gain",    Medium, High,   "it acts with more rights than the user has",       |f| f.is(Action::Privilege)),
    // Connections and signals have rows of their own that say which of them matter.
    row("any/irreversible",  Medium, High,   "it cannot be taken back",                          |f| f.effect.reversibility == Reversibility::Never && !matches!(f.effect.action, Action::Connect | Action::Signal | Action::Listen)),
];

fn is_cache(facts: &EffectFacts<'_>) -> bool {
    facts.path.as_ref().is_some_and(|path| path.depth == Depth::Cache)
}

/// What a finding of these checks is worth inside a jar; see [`finding_tiers`].
struct FindingRow {
    checks: std::ops::RangeInclusive<u16>,
    contained: Contained,
}

enum Contained {
    /// As on the bare machine: the reader is deceived, or the text is too large to have been read at all.
    Same,
    /// At most MEDIUM: the jar holds whatever it turns out to be, and the result is reviewed.
    Held,
}

static FINDINGS: &[FindingRow] = &[
    FindingRow { checks: 1..=1, contained: Contained::Held }, // incomplete
    FindingRow { checks: 2..=6, contained: Contained::Same }, // disagreement, hidden line breaks, disguise, control characters, quoting
    FindingRow { checks: 7..=20, contained: Contained::Held }, // what would run, what it would do
    FindingRow { checks: 90..=90, contained: Contained::Same }, // a limit was hit
];

/// The tiers one finding justifies. A check without a row counts like a deception. A finding is never LOW.
fn finding_tiers(finding: &Finding) -> Tiers {
    let bare = finding.severity.max(Medium);
    let row = FINDINGS.iter().find(|row| row.checks.contains(&finding.check.0));
    match row.map(|row| &row.contained) {
        Some(Contained::Held) => Tiers { contained: bare.min(Medium), bare },
        Some(Contained::Same) | None => Tiers { contained: bare, bare },
    }
}

/// The tiers of one effect: the maximum over the rows it meets, and those of them that say the most.
pub(crate) fn effect_tiers(facts: &EffectFacts<'_>) -> (Tiers, &'static str) {
    let mut met = ROWS.iter().filter(|row| (row.applies)(facts)).peekable();
    if met.peek().is_none() {
        return (Tiers { contained: High, bare: High }, "nothing is known about this kind of effect");
    }
    let mut tiers = Tiers { contained: Low, bare: Low };
    let mut says = "only reads";
    for row in met {
        // The later row of two equal ones is the more particular.
        if row.bare >= tiers.bare && (row.bare, row.contained) != (Low, Low) {
            says = row.says;
        }
        tiers = join(tiers, Tiers { contained: row.contained, bare: row.bare });
    }
    (tiers, says)
}

/// The maximum of both sides.
pub(crate) fn join(a: Tiers, b: Tiers) -> Tiers {
    Tiers { contained: a.contained.max(b.contained), bare: a.bare.max(b.bare) }
}

/// The tier that counts where the command will run.
pub(crate) fn tier(tiers: Tiers, place: &Place) -> Risk {
    if place.contained { tiers.contained } else { tiers.bare }
}

/// The reason one effect gives.
pub(crate) fn effect_reason(facts: &EffectFacts<'_>) -> Reason {
    let (tiers, says) = effect_tiers(facts);
    let effect = facts.effect;
    // A protected name somewhere below is not why a whole tree matters.
    let named = facts.path.as_ref().and_then(|path| path.protected).is_some_and(|(fit, _)| fit == Fit::Within);
    let says = facts.protected().filter(|_| facts.changes() && named).map_or(says, |row| row.says);
    Reason { tiers, text: format!("{} {}: {says}", effect.action, effect.target), check: None, span: effect.span }
}

/// The reasons that are not about an effect: findings, parts not understood, parts not proven.
pub(crate) fn text_reasons(analysis: &Analysis) -> Vec<Reason> {
    let findings = analysis.findings.iter().map(|finding| Reason {
        tiers: finding_tiers(finding),
        text: finding.message.clone(),
        check: Some(finding.check),
        span: Some(finding.span),
    });
    findings.chain(not_understood(analysis)).chain(not_proven(analysis)).collect()
}

/// A part nobody explained is never LOW. Where it decides what runs, is removed or is written, a finding says HIGH.
const NOT_UNDERSTOOD: Tiers = Tiers { contained: Medium, bare: Medium };
const NOT_PROVEN: Tiers = Tiers { contained: Medium, bare: Medium };

fn not_understood(analysis: &Analysis) -> Vec<Reason> {
    let plain = |text: String, span| Reason { tiers: NOT_UNDERSTOOD, text, check: None, span };
    match &analysis.coverage {
        Coverage::Full => Vec::new(),
        Coverage::Partial(spans) if spans.is_empty() => {
            vec![plain("part of it was not understood".to_owned(), None)]
        }
        Coverage::Partial(spans) => spans
            .iter()
            .map(|span| plain(format!("not understood: {}", quote(&analysis.text, *span)), Some(*span)))
            .collect(),
    }
}

/// Every LOW carries its certificate: a part that no table row proves read-only, and no effect speaks of, is not LOW.
fn not_proven(analysis: &Analysis) -> Vec<Reason> {
    let spoken = |span: Span| {
        let certified = analysis.certificates.iter().map(|certificate| certificate.span);
        let effects = analysis.effects.iter().filter(|e| e.action != Action::Read).filter_map(|e| e.span);
        certified.chain(effects).any(|other| overlaps(span, other))
    };
    let open = analysis.canonical.iter().filter(|part| !spoken(part.span));
    open.map(|part| Reason {
        tiers: NOT_PROVEN,
        text: format!("not proven to be read-only: {}", escape::text(&part.argv.join(" "))),
        check: None,
        span: Some(part.span),
    })
    .collect()
}

fn overlaps(a: Span, b: Span) -> bool {
    a.start < b.end.max(b.start.saturating_add(1)) && b.start < a.end.max(a.start.saturating_add(1))
}

/// The longest piece of source text that is put into a reason, in bytes: one line on a screen.
const QUOTE_BYTES_MAX: usize = 60;

fn quote(text: &str, span: Span) -> String {
    let end = span.end.min(span.start.saturating_add(QUOTE_BYTES_MAX));
    let piece = text.as_bytes().get(span.start..end.min(text.len())).unwrap_or_default();
    let more = if end < span.end { " ..." } else { "" };
    format!("{}{more}", escape::bytes(piece))
}

/// Judges an analysis: both tiers, every reason, and an explanation.
pub(crate) fn assess(analysis: &Analysis, place: &Place) -> Assessment {
    let ground = Ground::new(place);
    let facts: Vec<_> = analysis.effects.iter().map(|effect| EffectFacts::new(effect, &ground)).collect();
    let mut reasons = text_reasons(analysis);
    reasons.extend(facts.iter().map(effect_reason));
    let tiers = reasons.iter().map(|reason| reason.tiers).fold(Tiers { contained: Low, bare: Low }, join);
    reasons.retain(|reason| reason.tiers.bare > Low || reason.tiers.contained > Low);
    reasons.sort_by_key(|reason| {
        std::cmp::Reverse((tier(reason.tiers, place), reason.tiers.bare, reason.tiers.contained))
    });
    let mut seen: std::collections::HashSet<(String, Option<CheckId>)> = std::collections::HashSet::new();
    reasons.retain(|reason| seen.insert((reason.text.clone(), reason.check)));
    let explanation = explain::explain(analysis, tiers, &reasons, &facts, place);
    Assessment { tiers, reasons, explanation }
}

#[cfg(test)]
mod tests {
    use super::{EffectFacts, ROWS, Row, assess};
    use crate::facts::Ground;
    use crate::testing::{analysis, effect, path, place};
    use Risk::{High, Low, Medium};
    use model::{Action, Certificate, CheckId, Coverage, Effect, Endpoint, Finding, Invocation, PathScope};
    use model::{Reversibility, Risk, Span, Target};

    fn peer(action: Action, host: &str) -> Effect {
        effect(
            action,
            Target::Peer(Endpoint { host: host.to_owned(), port: Some(443), protocol: None }),
            Reversibility::ByOverlay,
        )
    }

    fn asking(effect: Effect) -> Effect {
        Effect { reversibility: Reversibility::Harmless, ..effect }
    }

    fn thing(action: Action, reversibility: Reversibility) -> Effect {
        effect(action, Target::Thing { what: "something".to_owned() }, reversibility)
    }

    fn unknown(action: Action) -> Effect {
        effect(action, Target::Unknown { text: "$x".to_owned() }, Reversibility::ByOverlay)
    }

    fn by(effect: Effect, program: &str) -> Effect {
        Effect { by: Some(program.to_owned()), ..effect }
    }

    fn exact(action: Action, at: &str) -> Effect {
        path(action, at, PathScope::Exact)
    }

    /// An effect for every row, with the tiers of the whole effect: contained, bare.
    fn examples() -> Vec<(&'static str, Effect, Risk, Risk)> {
        vec![
            ("connect/question", by(asking(peer(Action::Connect, "registry.npmjs.org")), "npm view"), Low, Low),
            ("connect/source", by(peer(Action::Connect, "github.com"), "git clone"), Medium, Medium),
            ("connect/remote", by(peer(Action::Connect, "github.com"), "git push"), Medium, High),
            ("connect/remote", by(asking(peer(Action::Connect, "example.org")), "npm view"), Medium, High),
            ("read/plain", exact(Action::Read, "/etc/hostname"), Low, Low),
            ("read/facts", thing(Action::Read, Reversibility::Harmless), Low, Low),
            ("read/secret", exact(Action::Read, "/home/u/.netrc"), Medium, High),
            ("read/device", exact(Action::Read, "/dev/mem"), Medium, High),
            ("read/plain", exact(Action::Read, "/sys/class/net/eth0/mtu"), Low, Low),
            ("change/device", exact(Action::Write, "/sys/power/state"), Medium, High),
            ("read/names", by(unknown(Action::Read), "ls"), Low, Low),
            ("read/unresolved", unknown(Action::Read), Medium, Medium),
            ("read/unresolved", exact(Action::Read, "relative"), Medium, Medium),
            ("read/remote", peer(Action::Read, "example.org"), Medium, High),
            ("write/stream", exact(Action::Write, "/dev/null"), Low, Low),
            ("change/stream", exact(Action::Delete, "/dev/null"), Medium, High),
            ("change/workspace", exact(Action::Write, "/home/u/work/a"), Medium, Medium),
            ("change/temporary", exact(Action::Create, "/tmp/a"), Medium, Medium),
            ("change/cache", exact(Action::Write, "/home/u/.cache/a"), Medium, Medium),
            ("change/home", exact(Action::Write, "/home/u/a"), Medium, High),
            ("change/system", exact(Action::Write, "/usr/bin/a"), Medium, High),
            ("change/elsewhere", exact(Action::Write, "/data/a"), Medium, High),
            ("change/device", exact(Action::Write, "/dev/sda"), Medium, High),
            ("change/unresolved", unknown(Action::Delete), Medium, High),
            ("change/secret", exact(Action::Write, "/home/u/work/.env"), Medium, High),
            ("change/protected", exact(Action::Write, "/home/u/work/.git/hooks/x"), Medium, High),
            ("change/kept", thing(Action::Write, Reversibility::ByOverlay), Medium, Medium),
            ("change/kept", thing(Action::Write, Reversibility::ByHand), Medium, Medium),
            ("change/remote", thing(Action::Write, Reversibility::Never), Medium, High),
            ("remove/workspace", path(Action::Delete, "/home/u/work", PathScope::Tree), Medium, High),
            ("remove/workspace", path(Action::Delete, "/home/u/work/*", PathScope::Glob), Medium, High),
            ("remove/top", path(Action::Delete, "/", PathScope::Tree), Medium, High),
            ("execute/program", exact(Action::Execute, "/home/u/work/run.sh"), Medium, Medium),
            ("execute/elsewhere", exact(Action::Execute, "/home/u/run.sh"), Medium, High),
            ("execute/unknown", unknown(Action::Execute), Medium, High),
            ("connect/asks", asking(peer(Action::Connect, "localhost")), Low, Low),
            ("connect/loopback", peer(Action::Connect, "localhost"), Medium, Medium),
            ("connect/remote", asking(peer(Action::Connect, "example.org")), Medium, High),
            ("connect/source", by(peer(Action::Connect, "crates.io"), "cargo add"), Medium, Medium),
            ("connect/source", by(thing(Action::Connect, Reversibility::Never), "git fetch"), Medium, Medium),
            ("connect/remote", by(peer(Action::Connect, "crates.io"), "curl"), Medium, High),
            ("connect/remote", peer(Action::Connect, "example.org"), Medium, High),
            ("listen/loopback", peer(Action::Listen, "127.0.0.1"), Medium, Medium),
            ("listen/remote", peer(Action::Listen, "192.168.1.2"), Medium, High),
            ("signal/process", thing(Action::Signal, Reversibility::ByHand), Medium, Medium),
            ("signal/others", thing(Action::Signal, Reversibility::Never), Medium, High),
            ("privilege/gain", thing(Action::Privilege, Reversibility::Never), Medium, High),
            ("any/irreversible", exact(Action::Write, "/home/u/work/a"), Medium, High),
        ]
    }

    #[test]
    fn every_row_has_an_example_that_meets_it() {
        let place = place(false);
        let ground = Ground::new(&place);
        for (id, effect, contained, bare) in examples() {
            let mut effect = effect;
            if id == "any/irreversible" {
                effect.reversibility = Reversibility::Never;
            }
            let facts = EffectFacts::new(&effect, &ground);
            let met: Vec<&str> = ROWS.iter().filter(|row| (row.applies)(&facts)).map(|row| row.id).collect();
            assert!(met.contains(&id), "{effect:?} meets {met:?}");
            let tiers = assess(&analysis(vec![effect]), &place).tiers;
            assert_eq!((tiers.contained, tiers.bare), (contained, bare), "{id}: {met:?}");
        }
        for Row { id, .. } in ROWS {
            assert!(examples().iter().any(|(example, ..)| example == id), "no example for {id}");
        }
    }

    #[test]
    fn deception_stays_high_in_a_jar_and_the_rest_is_held() {
        for (check, contained) in [(1, Medium), (2, High), (4, High), (6, High), (7, Medium), (20, Medium), (90, High)]
        {
            let mut given = analysis(Vec::new());
            given.findings.push(Finding {
                check: CheckId(check),
                severity: High,
                span: Span::new(0, 1),
                message: "what it says".to_owned(),
            });
            let tiers = assess(&given, &place(true)).tiers;
            assert_eq!((tiers.contained, tiers.bare), (contained, High), "BJ{check:03}");
        }
    }

    #[test]
    fn a_check_nobody_sorted_counts_as_deception() {
        let mut given = analysis(Vec::new());
        let message = "new".to_owned();
        given.findings.push(Finding { check: CheckId(55), severity: High, span: Span::new(0, 1), message });
        assert_eq!(assess(&given, &place(true)).tiers.contained, High);
    }

    #[test]
    fn low_needs_a_certificate_for_every_part() {
        let part = |span| Invocation { argv: vec!["ls".to_owned()], redirects: vec![], env: vec![], span };
        let mut given = analysis(vec![exact(Action::Read, "/home/u/work")]);
        given.canonical = vec![part(Span::new(0, 2)), part(Span::new(4, 6))];
        given.certificates = vec![Certificate { span: Span::new(0, 2), row: "files/ls".to_owned() }];
        assert_eq!(assess(&given, &place(false)).tiers.bare, Medium);
        given.certificates.push(Certificate { span: Span::new(4, 6), row: "files/ls".to_owned() });
        assert_eq!(assess(&given, &place(false)).tiers.bare, Low);
    }

    #[test]
    fn what_was_not_understood_is_quoted_and_never_low() {
        for spans in [vec![], vec![Span::new(4, 11)], vec![Span::new(9, usize::MAX)], vec![Span::new(5, 2)]] {
            let mut given = analysis(Vec::new());
            given.coverage = Coverage::Partial(spans);
            let assessment = assess(&given, &place(true));
            assert_eq!((assessment.tiers.contained, assessment.tiers.bare), (Medium, Medium));
            assert_eq!(assessment.reasons.len(), 1);
        }
    }

    #[test]
    fn a_whole_tree_is_secret_to_those_who_read_content_only() {
        let mut search = path(Action::Read, "/home/u", PathScope::Tree);
        assert_eq!(assess(&analysis(vec![search.clone()]), &place(false)).tiers.bare, High);
        search.by = Some("/usr/bin/find".to_owned());
        assert_eq!(assess(&analysis(vec![search]), &place(false)).tiers.bare, Low);
    }
}
