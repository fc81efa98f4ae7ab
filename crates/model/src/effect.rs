//! Effects: what a command does, or will do, to the world outside its own memory.

use crate::{FilePath, Protocol, Span};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Reads content or a listing.
    Read,
    /// Changes the content of something, creating it where it is missing.
    Write,
    /// Makes something that must not exist yet (directory, link, node).
    Create,
    /// Removes something.
    Delete,
    /// Moves something; the target is the old name, a second effect with `Create` or `Write` names the new one.
    Rename,
    /// Changes mode, owner, times or extended attributes.
    Attributes,
    /// Starts a program.
    Execute,
    /// Opens a connection or sends to an address.
    Connect,
    /// Waits for connections.
    Listen,
    /// Signals another process.
    Signal,
    /// Uses or gains privilege: another user, a capability, a mount, a namespace.
    Privilege,
}

impl Action {
    /// Every action.
    pub const ALL: [Action; 11] = [
        Action::Read,
        Action::Write,
        Action::Create,
        Action::Delete,
        Action::Rename,
        Action::Attributes,
        Action::Execute,
        Action::Connect,
        Action::Listen,
        Action::Signal,
        Action::Privilege,
    ];

    /// Its name in JSON and in cases; `Display` has it as a verb.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Action::Read => "read",
            Action::Write => "write",
            Action::Create => "create",
            Action::Delete => "delete",
            Action::Rename => "rename",
            Action::Attributes => "attributes",
            Action::Execute => "execute",
            Action::Connect => "connect",
            Action::Listen => "listen",
            Action::Signal => "signal",
            Action::Privilege => "privilege",
        }
    }

    /// The action of this name.
    #[must_use]
    pub fn named(word: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.word() == word)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Read => "read",
            Action::Write => "write",
            Action::Create => "create",
            Action::Delete => "delete",
            Action::Rename => "rename",
            Action::Attributes => "change attributes of",
            Action::Execute => "execute",
            Action::Connect => "connect to",
            Action::Listen => "listen on",
            Action::Signal => "signal",
            Action::Privilege => "gain privilege by",
        })
    }
}

/// How far a path target reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PathScope {
    /// This one name.
    Exact,
    /// This name and everything below it.
    Tree,
    /// The path holds unexpanded glob characters.
    Glob,
}

/// A network peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// Host name in lower case, or an address; `unix:/path` for a socket of the host.
    pub host: String,
    /// TCP or UDP port, where known.
    pub port: Option<u16>,
    /// Which of the two, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
}

impl fmt::Display for Endpoint {
    /// As a rule that would allow it is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = crate::escape::text(&self.host);
        match self.port {
            Some(port) if self.host.parse::<std::net::Ipv6Addr>().is_ok() => write!(f, "[{host}]:{port}")?,
            Some(port) => write!(f, "{host}:{port}")?,
            None => f.write_str(&host)?,
        }
        if self.protocol == Some(Protocol::Udp) { f.write_str("/udp") } else { Ok(()) }
    }
}

/// What it is done to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Target {
    /// A file-system path; relative only when the working directory itself is unknown.
    Path {
        /// Lexically normalised.
        path: FilePath,
        /// How far it reaches.
        scope: PathScope,
    },
    /// A network peer.
    Peer(Endpoint),
    /// A program by name or path, as the command names it.
    Program {
        /// Its name, as it would be looked up.
        name: String,
    },
    /// Something that is not a file or a peer: a process, a user, a service, a remote repository, a database.
    Thing {
        /// Plain words.
        what: String,
    },
    /// Something that depends on what could not be computed.
    Unknown {
        /// The text it came from, escaped.
        text: String,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Path { path, scope: PathScope::Tree } => write!(f, "{path} and all below it"),
            Target::Path { path, .. } => write!(f, "{path}"),
            Target::Peer(peer) => peer.fmt(f),
            Target::Program { name } => f.write_str(&crate::escape::text(name)),
            Target::Thing { what } => f.write_str(&crate::escape::text(what)),
            Target::Unknown { text } => write!(f, "something unknown ({})", crate::escape::text(text)),
        }
    }
}

/// Whether it happens on every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// On every successful run.
    Must,
    /// Possibly.
    May,
}

/// How it can be taken back when it was done on the bare machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reversibility {
    /// Nothing to take back (reads, starting a program).
    Harmless,
    /// By an overlay: any change to files. Bare, it may be lost for good.
    ByOverlay,
    /// By another command that someone has to think of: a container is started again, a branch pushed back. No overlay
    /// helps.
    ByHand,
    /// Never, overlay or not: network, processes, devices, remote state.
    Never,
}

/// One effect, predicted by the analyser or observed by the overlay and the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Effect {
    /// What is done.
    pub action: Action,
    /// To what.
    pub target: Target,
    /// Whether it must happen.
    pub certainty: Certainty,
    /// Whether it can be taken back.
    pub reversibility: Reversibility,
    /// The part of the text it was read from; `None` when observed.
    pub span: Option<Span>,
    /// The program that does it, as far as known.
    pub by: Option<String>,
}
