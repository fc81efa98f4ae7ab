//! Import: the rules people have for coding agents, as Cedar.
//!
//! Theirs are about the text of commands, ours about effects. A permit is never wider than the rule it comes from: what
//! cannot be said exactly is left out, and asked about as before. A forbid is never narrower where it can be said at all;
//! where a part cannot, that is told. Which rules can never fire is decided on their own terms, by containment of patterns.

mod cedar;
mod claude;
mod codex;
mod command;
mod gemini;
mod glob;

pub(crate) use cedar::inner;

use crate::error::PolicyError;
use crate::layer::{Layer, Origin, position};
use crate::policy::Policy;
use model::{FilePath, Verdict};

/// Bytes of a file of rules.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// Rules of a file: they are compared with each other.
pub const RULES_MAX: usize = 4096;

/// Whose rules they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// `settings.json` of Claude Code.
    Claude,
    /// `*.rules` of Codex.
    Codex,
    /// `*.toml` of the Gemini CLI.
    Gemini,
}

impl Agent {
    /// In ids of rules, and on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Agent::Claude => "claude",
            Agent::Codex => "codex",
            Agent::Gemini => "gemini",
        }
    }

    /// By the end of a file's name.
    #[must_use]
    pub fn of(name: &str) -> Option<Agent> {
        match name.rsplit_once('.')?.1 {
            "json" => Some(Agent::Claude),
            "rules" | "codexpolicy" => Some(Agent::Codex),
            "toml" => Some(Agent::Gemini),
            _ => None,
        }
    }
}

/// A file of rules and what its paths mean.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// For errors and comments.
    pub name: &'a str,
    /// Whose.
    pub agent: Agent,
    /// What is in it.
    pub text: &'a str,
    /// The user's home.
    pub home: &'a FilePath,
    /// The project that the rules are of; `None`: they hold everywhere.
    pub project: Option<&'a FilePath>,
    /// What paths with one slash in front are relative to.
    pub base: &'a FilePath,
    /// Whether something is there.
    pub exists: &'a dyn Fn(&FilePath) -> bool,
}

impl std::fmt::Debug for Given<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Given").field("name", &self.name).field("agent", &self.agent).finish_non_exhaustive()
    }
}

/// How much of a rule is in the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// It says the same of what Belljar sees.
    Same,
    /// It is stricter here.
    Tighter,
    /// It holds less than it did: some of what it forbade or asked about is not seen here.
    Partly,
    /// Nothing of it: what it allowed is asked about as before, what it forbade is not forbidden here.
    Not,
}

impl Kept {
    /// In JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Kept::Same => "same",
            Kept::Tighter => "tighter",
            Kept::Partly => "partly",
            Kept::Not => "not",
        }
    }
}

/// What became of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The file.
    pub file: String,
    /// Where in it, from 1.
    pub line: usize,
    /// Where in it, from 1.
    pub column: usize,
    /// The rule as it stands there, cut where it is long.
    pub rule: String,
    /// What it said.
    pub verdict: Verdict,
    /// How much of it is in the result.
    pub kept: Kept,
    /// Why not all.
    pub notes: Vec<String>,
    /// Why it can never fire where it comes from, if so.
    pub never: Option<String>,
    /// The `@id` it has here; empty where nothing of it is in the result.
    pub id: String,
}

impl Imported {
    /// Whether it forbade or asked about something that it does not reach here.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        self.verdict > Verdict::Allow && self.kept >= Kept::Partly && self.never.is_none()
    }
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Import {
    /// Cedar, with the place of each rule.
    pub text: String,
    /// In the order of the files.
    pub rules: Vec<Imported>,
}

/// A rule of an agent, read.
struct Source {
    /// Where it begins in the text.
    at: usize,
    /// As it stands there.
    shown: String,
    verdict: Verdict,
    /// Which of the agent's tools; rules for different ones never meet.
    tool: String,
    about: About,
    /// Conditions that have no counterpart here: it holds only at times.
    conditions: Vec<String>,
    /// Why it can never fire, where that is known from it alone.
    never: Option<String>,
    /// Which of two that match decides: the greater.
    rank: u32,
}

/// What a rule is about.
#[derive(Clone, Debug, PartialEq)]
enum About {
    Everything,
    /// Commands whose text matches.
    Commands(command::Pattern),
    /// Reading what matches.
    Read(glob::Glob),
    /// Changing what matches.
    Change(glob::Glob),
    /// Fetching from a host, or from any.
    Fetch(Option<String>),
    /// A tool of the agent that is no command and changes nothing that Belljar sees.
    Tool(String),
    /// Something that has no counterpart; the words say what.
    Other(String),
}

impl About {
    /// Whether everything that `other` matches is matched by this too. Never yes where it is not known.
    fn covers(&self, other: &About) -> bool {
        match (self, other) {
            (About::Everything, _) => true,
            (About::Commands(a), About::Commands(b)) => a.covers(b),
            (About::Read(a), About::Read(b)) | (About::Change(a), About::Change(b)) => a.covers(b),
            (About::Fetch(None), About::Fetch(_)) => true,
            (About::Fetch(Some(a)), About::Fetch(Some(b))) => a == b,
            (About::Tool(a), About::Tool(b)) => {
                a == b
                    || a.strip_suffix('*').is_some_and(|start| b.starts_with(start))
                    || b.strip_prefix(a.as_str()).is_some_and(|rest| rest.starts_with("__"))
            }
            _ => false,
        }
    }
}

/// What a file says, and which of two rules that match decides.
struct Read {
    sources: Vec<Source>,
}

/// Why a file of rules cannot be read.
struct Wrong {
    at: usize,
    message: String,
}

impl Wrong {
    fn new(at: usize, message: impl Into<String>) -> Wrong {
        Wrong { at, message: message.into() }
    }
}

/// Imports files of rules into one policy.
///
/// # Errors
/// The first thing that is wrong, with line and column: half a policy would be worse than none.
pub fn import(files: &[Given<'_>]) -> Result<Import, PolicyError> {
    let mut out = Import { text: HEAD.to_owned(), rules: Vec::new() };
    for (number, given) in files.iter().enumerate() {
        let wrong = |at: usize, message: String| {
            let (line, column) = position(given.text, at);
            let hint = "nothing was imported; write it as its agent does".to_owned();
            PolicyError::Profile { layer: given.name.to_owned(), line, column, message, hint }
        };
        if given.text.len() > FILE_BYTES_MAX {
            return Err(PolicyError::TooLarge { layer: given.name.to_owned(), bytes: given.text.len() });
        }
        let read = match given.agent {
            Agent::Claude => claude::read(given),
            Agent::Codex => codex::read(given),
            Agent::Gemini => gemini::read(given),
        };
        let read = read.map_err(|error| wrong(error.at, model::escape::text(&error.message)))?;
        if let Some(one_more) = read.sources.get(RULES_MAX) {
            return Err(wrong(one_more.at, format!("more than {RULES_MAX} rules")));
        }
        cedar::write(given, number, &read, &mut out);
    }
    // What does not stand this would be a defect of ours, and must not be found by whoever installs it.
    Policy::layered(&[Layer { name: "import", origin: Origin::User, text: &out.text }])?;
    Ok(out)
}

const HEAD: &str = "\
// Imported by `belljar policy import`: read it before you use it. A permit here is never wider than the rule it comes from,
// and reaches nothing HIGH. Rules of agents are about the text of commands, these are about what commands do.
";

/// Why `source` can never fire: by itself, or because of another rule that always decides where it matches.
fn never(sources: &[Source], at: usize, place: impl Fn(&Source) -> String) -> Option<String> {
    let source = sources.get(at)?;
    if source.never.is_some() {
        return source.never.clone();
    }
    let covers = |(number, other): &(usize, &Source)| {
        *number != at
            && other.never.is_none()
            && other.conditions.is_empty()
            && (other.rank > source.rank || (other.rank == source.rank && *number < at))
            && (other.tool == source.tool || other.about == About::Everything)
            && other.about.covers(&source.about)
    };
    let (_, by) = sources.iter().enumerate().find(covers)?;
    let how = if by.rank > source.rank { "always decides first" } else { "comes before it and matches all it does" };
    Some(format!("{} ({}) {how}", by.shown, place(by)))
}
