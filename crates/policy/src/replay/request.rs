//! Requests: what a policy was asked about a command, as plain values that can be kept, sent and asked again.
//!
//! A request is canonical: it holds the facts a rule can see and, for people, the command's text, and nothing else.

use crate::decide;
use crate::engine::{Asked, Attributes};
use crate::facts::{Location, Network, STATE_RULE};
use crate::words::{Question, Words, number, text, yes};
use crate::{protected, secrets};
use model::{Action, Analysis, Assessment, CheckId, FilePath, PathScope, Place, Protocol};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::LazyLock;

/// The version of the format, which every request carries: a file of them can be cut and mixed at any line.
pub const VERSION: u32 = 1;

/// What was asked about one command; or why it is not known any more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request<'a> {
    v: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) uid: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) contained: bool,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<Part<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inexact: Option<Inexact>,
    /// For people; no rule sees it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
}

/// Why a record does not tell exactly what was asked. It is counted, and never taken for equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inexact {
    /// It was too long, and something that decides was left out of it.
    Cut,
    /// Something that decides was taken for a secret and replaced.
    Redacted,
    /// It is of a version that did not record where the command was to run.
    Place,
}

impl Inexact {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Inexact::Cut => "the record was too long and was cut",
            Inexact::Redacted => "a secret was left out of what decides",
            Inexact::Place => "an older version did not record where it was to run",
        }
    }
}

/// One question: an effect, or the command as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part<'a> {
    #[serde(rename = "do")]
    pub(crate) action: Asks,
    #[serde(borrow)]
    pub(crate) on: On<'a>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) risk: u8,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) uncertain: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) lasting: bool,
}

/// What is asked, but for changes of a finished run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Asks {
    Read,
    Write,
    Create,
    Delete,
    Rename,
    Attributes,
    Execute,
    Connect,
    Listen,
    Signal,
    Privilege,
    Run,
}

impl From<Action> for Asks {
    fn from(action: Action) -> Asks {
        match action {
            Action::Read => Asks::Read,
            Action::Write => Asks::Write,
            Action::Create => Asks::Create,
            Action::Delete => Asks::Delete,
            Action::Rename => Asks::Rename,
            Action::Attributes => Asks::Attributes,
            Action::Execute => Asks::Execute,
            Action::Connect => Asks::Connect,
            Action::Listen => Asks::Listen,
            Action::Signal => Asks::Signal,
            Action::Privilege => Asks::Privilege,
        }
    }
}

impl Asks {
    /// The action, unless it is the command as a whole.
    pub(crate) fn action(self) -> Option<Action> {
        Some(match self {
            Asks::Read => Action::Read,
            Asks::Write => Action::Write,
            Asks::Create => Action::Create,
            Asks::Delete => Action::Delete,
            Asks::Rename => Action::Rename,
            Asks::Attributes => Action::Attributes,
            Asks::Execute => Action::Execute,
            Asks::Connect => Action::Connect,
            Asks::Listen => Action::Listen,
            Asks::Signal => Action::Signal,
            Asks::Privilege => Action::Privilege,
            Asks::Run => return None,
        })
    }

    pub(crate) fn question(self) -> Question {
        self.action().map_or(Question::Run, Question::Effect)
    }
}

/// To what, with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum On<'a> {
    #[serde(borrow)]
    Path(OnPath<'a>),
    #[serde(borrow)]
    Peer(OnPeer<'a>),
    #[serde(borrow)]
    Program(Text<'a>),
    #[serde(borrow)]
    Thing(Text<'a>),
    Unknown,
    Command {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        checks: Vec<CheckId>,
        #[serde(default, skip_serializing_if = "is_default")]
        understood: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnPath<'a> {
    /// In the escape of the model.
    #[serde(borrow)]
    pub(crate) path: Text<'a>,
    pub(crate) location: Location,
    #[serde(default = "exact", skip_serializing_if = "is_exact")]
    pub(crate) scope: PathScope,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rules: Vec<Rule>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) secret: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) protected: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) derived: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) top: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OnPeer<'a> {
    #[serde(borrow)]
    pub(crate) host: Text<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<Protocol>,
    pub(crate) network: Network,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn exact() -> PathScope {
    PathScope::Exact
}

fn is_exact(scope: &PathScope) -> bool {
    *scope == PathScope::Exact
}

/// A text that stays where it was read, if it can.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl From<String> for Text<'static> {
    fn from(text: String) -> Text<'static> {
        Text(Cow::Owned(text))
    }
}

impl Text<'_> {
    fn into_owned(self) -> Text<'static> {
        Text(Cow::Owned(self.0.into_owned()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Read)
    }
}

/// A rule of the tables, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule(pub(crate) &'static str);

static RULES: LazyLock<BTreeSet<&'static str>> =
    LazyLock::new(|| secrets::rules().chain(protected::rules()).chain([STATE_RULE]).collect());

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rule, D::Error> {
        let name = Text::deserialize(deserializer)?;
        let known = RULES.get(name.0.as_ref());
        known.map(|name| Rule(name)).ok_or_else(|| de::Error::custom("no rule of the tables is called so"))
    }
}

/// Why a request is none, though its form is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotARequest {
    /// Of another version.
    #[error("it is not of version {VERSION}")]
    Version,
    /// It neither asks anything nor says why not.
    #[error("it has neither parts nor a reason for having none")]
    Empty,
    /// It does both.
    #[error("it has parts and a reason for having none")]
    Both,
    /// An effect on something that no effect is on, or the command as a whole as an effect.
    #[error("what is done and to what do not fit together")]
    Mixed,
    /// A risk that is none.
    #[error("a risk is 0, 1 or 2")]
    Risk,
    /// A path in no escape of ours.
    #[error("malformed escape in a path")]
    Path,
}

impl<'a> Request<'a> {
    /// What was asked about a command.
    #[must_use]
    pub fn of(analysis: &Analysis, assessment: &Assessment, place: &Place) -> Request<'static> {
        let parts = decide::parts(analysis, assessment, place).map(|ask| ask.part).collect();
        let text = Some(Text::from(analysis.text.clone()));
        let request = Request { v: VERSION, uid: place.uid, contained: place.contained, parts, inexact: None, text };
        request.canonical()
    }

    /// A command of which that is not known any more.
    #[must_use]
    pub fn inexact(why: Inexact) -> Request<'static> {
        Request { v: VERSION, uid: 0, contained: false, parts: Vec::new(), inexact: Some(why), text: None }
    }

    /// Why it cannot be asked again, if so.
    #[must_use]
    pub fn why_inexact(&self) -> Option<Inexact> {
        self.inexact
    }

    /// The command, for people: not escaped.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        self.text.as_ref().map(|text| text.0.as_ref())
    }

    /// Whether what was read means something; whatever does is safe to ask.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), NotARequest> {
        match (self.v == VERSION, self.parts.is_empty(), self.inexact.is_some()) {
            (false, ..) => return Err(NotARequest::Version),
            (_, true, false) => return Err(NotARequest::Empty),
            (_, false, true) => return Err(NotARequest::Both),
            _ => {}
        }
        self.parts.iter().try_for_each(Part::check)
    }

    /// Its parts in order, each once: two requests that ask the same are equal.
    #[must_use]
    pub(crate) fn canonical(mut self) -> Request<'a> {
        for part in &mut self.parts {
            match &mut part.on {
                On::Path(path) => {
                    path.rules.sort_unstable();
                    path.rules.dedup();
                }
                On::Command { checks, .. } => {
                    checks.sort_unstable();
                    checks.dedup();
                }
                _ => {}
            }
        }
        self.parts.sort_unstable();
        self.parts.dedup();
        self
    }

    pub(crate) fn into_owned(self) -> Request<'static> {
        Request {
            v: self.v,
            uid: self.uid,
            contained: self.contained,
            parts: self.parts.into_iter().map(Part::into_owned).collect(),
            inexact: self.inexact,
            text: self.text.map(Text::into_owned),
        }
    }

    /// How much a person has to read of it.
    pub(crate) fn size(&self) -> (usize, usize) {
        let parts = self.parts.iter().map(|part| part.on.text().map_or(0, |text| text.0.len()));
        (self.parts.len(), parts.sum::<usize>() + self.command().map_or(0, str::len))
    }
}

impl Part<'_> {
    fn check(&self) -> Result<(), NotARequest> {
        if (self.action == Asks::Run) != matches!(self.on, On::Command { .. }) {
            return Err(NotARequest::Mixed);
        }
        if self.risk > 2 {
            return Err(NotARequest::Risk);
        }
        match &self.on {
            On::Path(path) if path.path.0.contains('\\') && FilePath::decode(&path.path.0).is_none() => {
                Err(NotARequest::Path)
            }
            _ => Ok(()),
        }
    }

    fn into_owned(self) -> Part<'static> {
        let on = match self.on {
            On::Path(path) => On::Path(OnPath {
                path: path.path.into_owned(),
                location: path.location,
                scope: path.scope,
                rules: path.rules,
                secret: path.secret,
                protected: path.protected,
                derived: path.derived,
                top: path.top,
            }),
            On::Peer(peer) => On::Peer(OnPeer {
                host: peer.host.into_owned(),
                port: peer.port,
                protocol: peer.protocol,
                network: peer.network,
            }),
            On::Program(name) => On::Program(name.into_owned()),
            On::Thing(what) => On::Thing(what.into_owned()),
            On::Unknown => On::Unknown,
            On::Command { checks, understood } => On::Command { checks, understood },
        };
        Part { action: self.action, on, risk: self.risk, uncertain: self.uncertain, lasting: self.lasting }
    }

    /// The question as Cedar is asked it.
    pub(crate) fn asked(&self, words: &Words, uid: u32, contained: bool) -> Asked {
        let context = vec![
            ("contained", yes(contained)),
            ("risk", number(self.risk)),
            ("certain", yes(!self.uncertain)),
            ("reversible", yes(!self.lasting)),
        ];
        let (kind, attributes) = self.on.resource(words);
        Asked { question: self.action.question(), uid, kind, attributes, context }
    }

    /// What it is about, in words, escaped.
    pub(crate) fn about(&self) -> String {
        let Some(action) = self.action.action() else { return decide::WHOLE.to_owned() };
        format!("{action} {}", self.on)
    }
}

impl On<'_> {
    /// The text that tells one from another of its kind.
    pub(crate) fn text(&self) -> Option<&Text<'_>> {
        match self {
            On::Path(path) => Some(&path.path),
            On::Peer(peer) => Some(&peer.host),
            On::Program(text) | On::Thing(text) => Some(text),
            On::Unknown | On::Command { .. } => None,
        }
    }

    /// As an entity: its type and attributes.
    fn resource(&self, words: &Words) -> (&'static str, Attributes) {
        match self {
            On::Path(path) => ("Path", path.attributes(words)),
            On::Peer(peer) => ("Peer", peer.attributes(words)),
            On::Program(name) => ("Program", vec![("name", text(&name.0))]),
            On::Thing(what) => ("Thing", vec![("what", text(&what.0))]),
            On::Unknown => ("Unknown", Vec::new()),
            On::Command { checks, understood } => {
                let checks: Vec<String> = checks.iter().map(ToString::to_string).collect();
                let checks = words.values("Check", checks.iter().map(String::as_str));
                ("Command", vec![("checks", checks), ("understood", yes(*understood))])
            }
        }
    }
}

impl OnPath<'_> {
    pub(crate) fn scope_name(&self) -> &'static str {
        match self.scope {
            PathScope::Exact => "exact",
            PathScope::Tree => "tree",
            PathScope::Glob => "glob",
        }
    }

    fn attributes(&self, words: &Words) -> Attributes {
        let mut attributes = decide::names(&self.real());
        attributes.extend([
            ("scope", words.value("Scope", self.scope_name())),
            ("protected", yes(self.protected)),
            ("location", words.value("Location", self.location.name())),
            ("rules", words.values("Rule", self.rules.iter().map(|rule| rule.0))),
            ("secret", yes(self.secret)),
            ("derived", yes(self.derived)),
            ("top", yes(self.top)),
        ]);
        attributes
    }

    /// Without the escape. What is in none of ours cannot have passed [`Request::check`].
    pub(crate) fn real(&self) -> FilePath {
        FilePath::decode(&self.path.0).unwrap_or_else(|| FilePath::from(self.path.0.as_ref()))
    }

    /// The last component, in the escape of the model.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        match self.path.0.rsplit_once('/') {
            Some((_, name)) if !matches!(name, "" | "." | "..") => Cow::Borrowed(name),
            _ => {
                let name = self.real().file_name().map(|name| FilePath::new(name).encode());
                Cow::Owned(name.unwrap_or_default())
            }
        }
    }
}

impl OnPeer<'_> {
    fn attributes(&self, words: &Words) -> Attributes {
        let mut attributes = vec![("network", words.value("Network", self.network.name()))];
        attributes.extend(self.port.map(|port| ("port", number(port))));
        attributes.extend(self.protocol.map(|protocol| ("protocol", text(protocol.name()))));
        attributes.push(("host", text(&self.host.0)));
        attributes
    }
}

impl fmt::Display for On<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            On::Path(path) if path.scope == PathScope::Tree => write!(f, "{} and all below it", path.real()),
            On::Path(path) => path.real().fmt(f),
            On::Peer(peer) => {
                let endpoint = model::Endpoint {
                    host: peer.host.0.clone().into_owned(),
                    port: peer.port,
                    protocol: peer.protocol,
                };
                endpoint.fmt(f)
            }
            On::Program(text) | On::Thing(text) => f.write_str(&model::escape::text(&text.0)),
            On::Unknown => f.write_str("something unknown"),
            On::Command { .. } => f.write_str(decide::WHOLE),
        }
    }
}
