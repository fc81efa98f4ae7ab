//! What evaluation brings up: effects, findings, unexplained spans, canonical form, certificates.

use super::Eval;
use super::value::{Field, Value};
use crate::check;
use crate::limits::REPORT_MAX;
use crate::names;
use model::{
    Action, Certainty, Certificate, CheckId, Effect, Endpoint, FilePath, Finding, Invocation, PathScope, Reversibility,
    Risk, Span, Target,
};

/// How far back equal entries are looked for; the rest is made unique at the end.
const RECENT: usize = 32;

/// The results so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) effects: Vec<Effect>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) unexplained: Vec<Span>,
    pub(crate) canonical: Vec<Invocation>,
    pub(crate) certificates: Vec<Certificate>,
    /// A bound of the report was hit.
    pub(crate) overflowed: bool,
}

impl Report {
    /// Adds a finding of `check` at its usual severity.
    pub(crate) fn find(&mut self, check: u16, span: Span, message: &str) {
        let severity = check::Check::by_id(CheckId(check)).map_or(Risk::High, |check| check.severity);
        self.find_as(check, severity, span, message);
    }

    /// Adds a finding of `check` at `severity`.
    pub(crate) fn find_as(&mut self, check: u16, severity: Risk, span: Span, message: &str) {
        let finding = Finding { check: CheckId(check), severity, span, message: model::escape::text(message) };
        if self.findings.len() >= REPORT_MAX {
            self.overflowed = true;
        } else if !self.findings.iter().rev().take(RECENT).any(|old| old.span == finding.span && *old == finding) {
            self.findings.push(finding);
        }
    }

    /// Marks `span` as not understood.
    pub(crate) fn unexplained(&mut self, span: Span) {
        if self.unexplained.len() < REPORT_MAX && !self.unexplained.iter().rev().take(RECENT).any(|old| *old == span) {
            self.unexplained.push(span);
        }
    }
}

impl Eval<'_> {
    /// Adds an effect.
    pub(super) fn effect(
        &mut self,
        action: Action,
        target: Target,
        reversibility: Reversibility,
        span: Span,
        by: &str,
    ) {
        let certainty = if self.may > 0 { Certainty::May } else { Certainty::Must };
        let by = (!by.is_empty()).then(|| by.to_owned());
        let effect = Effect { action, target, certainty, reversibility, span: Some(span), by };
        if self.out.effects.len() >= REPORT_MAX {
            self.out.overflowed = true;
        } else if !self.out.effects.iter().rev().take(RECENT).any(|old| old.span == effect.span && *old == effect) {
            self.out.effects.push(effect);
        }
    }

    /// Adds an effect on something that is neither file nor peer.
    pub(super) fn thing(&mut self, action: Action, what: &str, reversibility: Reversibility, span: Span, by: &str) {
        self.effect(action, Target::Thing { what: what.replace('_', " ") }, reversibility, span, by);
    }

    /// A connection to `host` (may be empty when it is not known).
    pub(super) fn connect(&mut self, host: &str, port: Option<u16>, span: Span, by: &str) {
        let target = if host.is_empty() {
            Target::Unknown { text: format!("the peer of {by}") }
        } else {
            Target::Peer(Endpoint { host: host.to_lowercase(), port, protocol: None })
        };
        self.effect(Action::Connect, target, Reversibility::Never, span, by);
    }

    /// An effect on the path or paths a field names.
    pub(super) fn on_path(&mut self, action: Action, field: &Field, scope: PathScope, by: &str) {
        let Some(choices) = field.value.choices().map(<[String]>::to_vec).filter(|_| !field.many) else {
            self.on_unknown_path(action, field, scope, by);
            return;
        };
        let one = choices.len() == 1;
        self.may += usize::from(!one);
        for choice in &choices {
            if choice.is_empty() {
                continue;
            }
            // A quoted star is a star.
            let live = field.glob && has_glob(choice);
            let scope = if scope == PathScope::Exact && live { PathScope::Glob } else { scope };
            let itself = matches!(action, Action::Delete | Action::Rename) || by == "ln";
            for (path, sure) in self.resolve_with(choice, !itself) {
                let led = if live && !itself { self.links_met(&path) } else { Vec::new() };
                self.may += usize::from(!sure);
                self.on_resolved(action, path, (scope, live), field.span, by);
                self.may -= usize::from(!sure);
                self.may += 1;
                for target in led {
                    self.on_resolved(action, target, (PathScope::Exact, false), field.span, by);
                }
                self.may -= 1;
            }
        }
        self.may -= usize::from(!one);
    }

    /// The word as it stands in the canonical form.
    pub(super) fn shown(&self, field: &Field) -> String {
        match &field.value {
            Value::Known(text) if !field.many => text.clone(),
            _ => format!("‹{}›", self.source(field.span)),
        }
    }

    fn on_unknown_path(&mut self, action: Action, field: &Field, scope: PathScope, by: &str) {
        let text = self.source(field.span);
        let destroys = matches!(action, Action::Delete | Action::Rename);
        if destroys {
            self.out.find(18, field.span, "what is removed depends on a value that is not known");
            if scope == PathScope::Tree {
                self.out.find(19, field.span, "removes whole directories that are not known");
            }
        } else if matches!(action, Action::Write | Action::Create | Action::Attributes) {
            self.out.find(18, field.span, "what is written depends on a value that is not known");
        }
        let prefix = field.value.prefix().to_owned();
        // U+0001 stands for what is not known and meets no name of the tables.
        let shape = format!("{prefix}\u{1}\u{1}{}", field.value.suffix());
        if action == Action::Read && names::secret(&format!("{prefix}x"), &self.home).is_some() {
            self.out.find(17, field.span, "reads below a place where secrets are kept");
        } else if let Some(class) = names::secret(&shape, &self.home).filter(|_| action == Action::Read) {
            self.out.find(17, field.span, &format!("reads what may hold secrets ({class})"));
        }
        self.effect(action, Target::Unknown { text }, reversibility(action), field.span, by);
    }

    /// The absolute paths a name may mean, with whether it surely means that one.
    pub(super) fn resolve(&self, name: &str) -> Vec<(FilePath, bool)> {
        self.resolve_with(name, true)
    }

    /// [`Eval::resolve`]; whether a link that is the last name is followed too. A link may have been replaced since it
    /// was seen, so both readings count.
    fn resolve_with(&self, name: &str, last: bool) -> Vec<(FilePath, bool)> {
        let plain = self.resolve_plainly(name);
        if self.state.links.is_empty() {
            return plain;
        }
        let mut all = plain.clone();
        let bases: Vec<FilePath> = match FilePath::from(name).is_absolute() {
            true => vec![FilePath::from("/")],
            false => self.state.cwd.places.iter().chain(&self.state.cwd.if_failed).cloned().collect(),
        };
        for base in bases {
            if let Some(path) = super::links::follow(&self.state.links, &base.join(name), last)
                && !all.iter().any(|(known, _)| *known == path)
            {
                all.push((proc_self(path), true));
            }
        }
        let one = all.len() == 1;
        all.into_iter().map(|(path, sure)| (path, sure && one)).collect()
    }

    fn resolve_plainly(&self, name: &str) -> Vec<(FilePath, bool)> {
        let path = FilePath::from(name);
        if path.is_absolute() {
            return vec![(proc_self(path.normalise()), true)];
        }
        let mut places: Vec<&FilePath> = self.state.cwd.places.iter().collect();
        if !places.is_empty() {
            places.extend(self.state.cwd.if_failed.iter().filter(|_| self.unchecked_cd));
        }
        match places.as_slice() {
            [] => vec![(path.normalise(), true)],
            [one] => vec![(one.join(name).normalise(), true)],
            many => many.iter().map(|place| (place.join(name).normalise(), false)).collect(),
        }
    }

    fn on_resolved(&mut self, action: Action, path: FilePath, (scope, live): (PathScope, bool), span: Span, by: &str) {
        let text = path.encode();
        // The tables take these as patterns; U+0001 meets nothing in them.
        let text = if live { text } else { text.replace(['*', '?', '['], "\u{1}") };
        if let Some(peer) = text.strip_prefix("/dev/tcp/").or_else(|| text.strip_prefix("/dev/udp/")) {
            let (host, port) = peer.split_once('/').unwrap_or((peer, ""));
            self.connect(host, port.parse().ok(), span, by);
            self.out.find(16, span, "a redirection opens a network connection");
            return;
        }
        if action == Action::Read {
            self.check_secret(&text, scope, span);
        } else {
            if names::is_sink(&text) {
                return;
            }
            self.check_changed(action, &text, scope, span);
        }
        self.effect(action, Target::Path { path, scope }, reversibility(action), span, by);
    }

    fn check_secret(&mut self, path: &str, scope: PathScope, span: Span) {
        let hit = match scope {
            PathScope::Tree => names::secret(path, &self.home).or_else(|| names::secret_below(path, &self.home)),
            PathScope::Exact | PathScope::Glob => names::secret(path, &self.home),
        };
        if let Some(class) = hit {
            self.out.find(17, span, &format!("reads what may hold secrets ({class})"));
        }
    }

    fn check_changed(&mut self, action: Action, path: &str, scope: PathScope, span: Span) {
        if let Some(class) = names::protected(path, &self.home) {
            self.out.find(16, span, &format!("{action} a protected name ({class})"));
        }
        if names::secret(path, &self.home).is_some() && matches!(action, Action::Delete | Action::Attributes) {
            self.out.find(17, span, "changes a file that may hold secrets");
        }
        if action == Action::Delete {
            self.check_deleted(path, scope, span);
        }
        if !path.starts_with('/') {
            self.out.find(18, span, &format!("{action} a name relative to a directory that is not known"));
        }
    }

    fn check_deleted(&mut self, path: &str, scope: PathScope, span: Span) {
        let last = path.rsplit('/').next().unwrap_or("");
        if scope == PathScope::Tree && !names::is_regenerable(path) {
            self.out.find(19, span, "removes a whole directory that may hold work");
        } else if matches!(last, "*" | "**" | ".*" | "?*") && !names::is_regenerable(path) {
            self.out.find(19, span, "removes everything in a directory");
        }
        let here = self.state.cwd.places.iter().any(|place| place.as_path().starts_with(path));
        if here {
            self.out.find(18, span, "removes the working directory or one above it");
        }
    }
}

/// How a change of this kind can be taken back.
pub(super) fn reversibility(action: Action) -> Reversibility {
    match action {
        Action::Read | Action::Execute => Reversibility::Harmless,
        Action::Write | Action::Create | Action::Delete | Action::Rename | Action::Attributes => {
            Reversibility::ByOverlay
        }
        Action::Connect | Action::Listen | Action::Signal | Action::Privilege => Reversibility::Never,
    }
}

fn has_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// `/proc/self/root/x` is `/x`: the kernel follows the link, so the name must not hide the file.
fn proc_self(path: FilePath) -> FilePath {
    let text = path.encode();
    for link in ["/proc/self/root", "/proc/1/root", "/proc/thread-self/root"] {
        if let Some(rest) = text.strip_prefix(link).filter(|rest| rest.starts_with('/')) {
            return FilePath::from(rest).normalise();
        }
    }
    path
}
