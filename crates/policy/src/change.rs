//! Changes: what one changed name is worth, judged on facts about it and not on the text that caused it.

use crate::content::Note;
use crate::derived::Depth;
use crate::facts::{Ground, Location, PathFacts, STATE_RULE};
use crate::pattern::Fit;
use crate::protected::Protected;
use crate::surprise::Announced;
use Risk::{High, Medium};
use model::{Change, ChangeKind, FileKind, FilePath, Meta, PathScope, Risk};

/// More names than this gone from the host in one run are a mass deletion: more than a person checks line by line.
pub(crate) const DELETED_NAMES_MAX: u64 = 32;

/// Set-user-id and set-group-id of inode(7).
const SET_ID: u32 = 0o6000;
const EXECUTE: u32 = 0o111;
const WRITE_OTHERS: u32 = 0o002;

/// One change with everything the rows ask about it.
pub(crate) struct ChangeFacts<'a> {
    pub(crate) change: &'a Change,
    pub(crate) path: PathFacts,
    from: Option<PathFacts>,
    link: Option<Link>,
    pub(crate) announced: Announced,
    pub(crate) opaque: bool,
    /// The whole run removed more than [`DELETED_NAMES_MAX`] names.
    mass_deletion: bool,
    uid: u32,
}

/// Where a symbolic link leads.
struct Link {
    target: FilePath,
    facts: PathFacts,
    leaves: bool,
}

/// What the rows of one change say.
pub(crate) struct Verdict {
    pub(crate) risk: Risk,
    pub(crate) flags: Vec<(Risk, &'static str, String)>,
}

impl<'a> ChangeFacts<'a> {
    pub(crate) fn new(
        change: &'a Change,
        ground: &Ground<'_>,
        announced: Announced,
        opaque: bool,
        mass_deletion: bool,
    ) -> ChangeFacts<'a> {
        let path = ground.path(&change.path, PathScope::Exact);
        let from = match &change.kind {
            ChangeKind::Renamed { from } => Some(ground.path(from, PathScope::Exact)),
            _ => None,
        };
        let link = change.after.as_ref().and_then(|meta| link(change, meta, ground));
        let uid = ground.place.uid;
        ChangeFacts { change, path, from, link, announced, opaque, mass_deletion, uid }
    }

    fn after(&self) -> Option<&Meta> {
        self.change.after.as_ref()
    }

    fn before(&self) -> Option<&Meta> {
        self.change.before.as_ref()
    }

    /// What is there now, or was there.
    pub(crate) fn kind(&self) -> FileKind {
        self.after().or(self.before()).map_or(FileKind::File, |meta| meta.kind)
    }

    fn is_file(&self) -> bool {
        self.after().is_some_and(|meta| meta.kind == FileKind::File)
    }

    pub(crate) fn executable(&self) -> bool {
        self.is_file() && self.has(EXECUTE)
    }

    fn has(&self, bits: u32) -> bool {
        self.after().is_some_and(|meta| meta.mode & bits != 0)
    }

    /// Whether these bits are there now and were not before, or the content under them changed.
    fn gains(&self, bits: u32) -> bool {
        self.after().is_some_and(|meta| meta.mode & bits & !self.before().map_or(0, |before| before.mode) != 0)
    }

    fn is_deleted(&self) -> bool {
        self.change.kind == ChangeKind::Deleted
    }

    pub(crate) fn is_derived(&self) -> bool {
        self.path.depth > Depth::Source
    }

    /// Only the modification time differs.
    fn only_times(&self) -> bool {
        let differs = self.change.differs;
        self.change.kind == ChangeKind::Modified && !(differs.content || differs.mode || differs.owner || differs.xattr)
    }

    /// A new directory: empty in itself, what is in it is judged on its own.
    fn is_new_directory(&self) -> bool {
        self.change.kind == ChangeKind::Added && self.kind() == FileKind::Directory
    }

    /// The protected row this change reaches. A directory that comes or goes whole, and a link, bring along whatever
    /// protected name lies below.
    pub(crate) fn protected(&self) -> Option<&'static Protected> {
        if self.is_new_directory() || self.only_times() {
            return None;
        }
        let whole = matches!(self.change.kind, ChangeKind::Renamed { .. } | ChangeKind::Replaced)
            || self.kind() == FileKind::Symlink
            || (self.is_deleted() && self.change.below > 0);
        let came = self.path.protected.map(|met| (&self.change.path, met));
        let went = self.origin().zip(self.from.as_ref().and_then(|from| from.protected));
        let reached = [came, went]
            .into_iter()
            .flatten()
            .filter(|(path, (fit, row))| *fit == Fit::Within || (whole && row.risk == High && names_part(path, row)));
        reached.map(|(_, (_, row))| row).max_by_key(|row| row.risk)
    }

    /// The tier of a protected row here: what a tool runs is red where new content comes to its name.
    pub(crate) fn tier(&self, row: &Protected) -> Risk {
        let same = self.is_deleted() || (self.change.kind == ChangeKind::Modified && !self.change.differs.content);
        let own = self.path.protected.is_some_and(|(fit, own)| fit == Fit::Within && own.rule == row.rule);
        if own && !same { row.content } else { row.risk }
    }

    /// The old name of what was moved.
    fn origin(&self) -> Option<&FilePath> {
        match &self.change.kind {
            ChangeKind::Renamed { from } => Some(from),
            _ => None,
        }
    }

    /// Whether git finds no history any more where it was: deleted, or moved away.
    fn loses_history(&self) -> bool {
        (self.is_deleted() && is_history(&self.change.path)) || self.origin().is_some_and(is_history)
    }
}

/// Whether the directory `path` is above the protected name by that name's own leading components, as `.git` is above
/// `.git/hooks`; the home is above everything in it and says nothing.
fn names_part(path: &FilePath, row: &Protected) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    row.pattern.to_lowercase().split('/').any(|part| part == name)
}

/// Where a new or changed link leads, if it is one.
fn link(change: &Change, meta: &Meta, ground: &Ground<'_>) -> Option<Link> {
    let target = meta.link.as_ref().filter(|_| meta.kind == FileKind::Symlink)?;
    let from = change.path.parent().unwrap_or_default();
    let target = from.join(target.as_os_str()).normalise();
    let place = ground.place;
    let root = if change.path.starts_with(&place.workspace) { &place.workspace } else { &place.home };
    let leaves = !target.starts_with(root);
    let facts = ground.path(&target, PathScope::Exact);
    Some(Link { target, facts, leaves })
}

/// One row: a fact about a change, what it is worth and what to say.
struct Row {
    rule: &'static str,
    risk: Risk,
    says: &'static str,
    applies: fn(&ChangeFacts<'_>) -> bool,
}

const fn row(rule: &'static str, risk: Risk, says: &'static str, applies: fn(&ChangeFacts<'_>) -> bool) -> Row {
    Row { rule, risk, says, applies }
}

/// Facts besides the name. Every row that applies is flagged.
#[rustfmt::skip]
static ROWS: &[Row] = &[
    row(STATE_RULE,            High,   "it belongs to Belljar's own records",                    |f| f.path.state),
    row("mode/set-id",         High,   "whoever starts it gets its owner's rights",              |f| f.is_file() && (f.gains(SET_ID) || (f.has(SET_ID) && f.change.differs.content))),
    row("protected/git-link",  High,   "it redirects git to other data",                         |f| f.is_file() && !f.only_times() && is_git_link(&f.change.path)),
    row("protected/git-repo",  High,   "git takes its directory for a repository of its own",    |f| !f.is_deleted() && !f.is_derived() && !f.only_times() && is_bare_head(&f.change.path)),
    row("node/device",         High,   "it is a device node",                                    |f| !f.is_deleted() && matches!(f.kind(), FileKind::CharDevice | FileKind::BlockDevice)),
    row("node/special",        Medium, "it is a pipe or socket",                                 |f| !f.is_deleted() && matches!(f.kind(), FileKind::Fifo | FileKind::Socket)),
    row("link/protected",      High,   "it leads to a protected or secret file",                 |f| f.link.as_ref().is_some_and(leads_to_trust)),
    row("link/leaves",         High,   "it leads out of the directory it is in",                 |f| f.link.as_ref().is_some_and(|l| l.leaves && !is_program(l))),
    row("link/program",        Medium, "it leads to a program of the system",                    |f| !f.is_derived() && f.link.as_ref().is_some_and(|l| l.leaves && is_program(l))),
    row("outside/roots",       High,   "it is not in a directory of the user's",                 |f| matches!(f.path.location, Location::System | Location::Device | Location::Unknown)),
    row("home/unexpected",     Medium, "it is in the home, outside the project",                 |f| f.path.location == Location::Home && !f.is_derived() && !f.is_new_directory() && !f.only_times()),
    row("mode/executable",     Medium, "it can be run as a program",                             |f| f.is_file() && f.gains(EXECUTE) && !f.is_derived()),
    row("mode/world-writable", Medium, "everybody may write to it",                              |f| f.kind() != FileKind::Symlink && f.gains(WRITE_OTHERS) && !f.has(0o1000)),
    row("owner/foreign",       Medium, "it belongs to another user",                             |f| f.after().is_some_and(|m| m.uid != f.uid && f.before().is_none_or(|b| b.uid != m.uid))),
    row("xattr/changed",       Medium, "its extended attributes changed",                        |f| f.change.differs.xattr),
    row("cache/code",          Medium, "later builds run it without checking it again",          |f| f.path.runs && f.is_file() && f.before().is_some() && !f.only_times()),
    row("delete/repository",   High,   "a repository's history is gone",                         |f| f.loses_history()),
    row("delete/mass",         High,   "it is one of very many that are gone",                   |f| f.is_deleted() && !f.is_derived() && f.mass_deletion),
    row("delete/name",         Medium, "it is gone",                                             |f| f.is_deleted() && !f.is_derived() && !f.mass_deletion),
    row("surprise/unannounced", High,  "the command was understood, and said nothing of it",     is_red_surprise),
];

/// A file called `.git` names the repository git uses here (gitrepository-layout(5)).
fn is_git_link(path: &FilePath) -> bool {
    path.file_name().is_some_and(|name| name.eq_ignore_ascii_case(".git"))
}

/// The file that makes its directory a bare repository, whose settings and hooks git obeys when it is entered, under any
/// name. Those inside of `.git` are git's everyday work.
fn is_bare_head(path: &FilePath) -> bool {
    let inside = |part: &std::ffi::OsStr| part.eq_ignore_ascii_case(".git");
    path.file_name().is_some_and(|name| name == "HEAD") && !path.as_path().iter().any(inside)
}

fn leads_to_trust(link: &Link) -> bool {
    let protected = link.facts.protected.is_some_and(|(fit, row)| fit == Fit::Within && row.risk == High);
    link.facts.secret.is_some() || protected || link.facts.state
}

/// Directories of programs and libraries that an ordinary user cannot write to.
fn is_program(link: &Link) -> bool {
    const PROGRAMS: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt", "/nix/store"];
    PROGRAMS.iter().any(|base| link.target.as_path().starts_with(base))
}

fn is_history(path: &FilePath) -> bool {
    [".git", ".git/objects", ".git/refs", ".hg", ".svn", ".jj"].iter().any(|end| path.as_path().ends_with(end))
}

/// Not announced by a command that announces everything it does.
fn is_red_surprise(facts: &ChangeFacts<'_>) -> bool {
    is_surprise(facts) && !facts.opaque
}

/// Not announced, and not something tools make and make again.
pub(crate) fn is_surprise(facts: &ChangeFacts<'_>) -> bool {
    let expected = facts.is_derived() || facts.is_new_directory() || facts.only_times();
    facts.announced == Announced::No && !expected
}

/// Judges one change: its flags, with those of its content, and its tier as their maximum and that of the plain fact.
pub(crate) fn judge(facts: &ChangeFacts<'_>, notes: &[Note]) -> Verdict {
    let mut said: Vec<(Risk, &'static str, &'static str)> = Vec::new();
    said.extend(facts.protected().map(|row| (facts.tier(row), row.rule, row.says)));
    said.extend(secret(facts));
    let met = ROWS.iter().filter(|row| (row.applies)(facts));
    said.extend(met.map(|row| (row.risk, row.rule, row.says)));
    let noted = notes.iter().map(|note| (note.risk, note.rule, note.says.as_str()));
    let said: Vec<(Risk, &'static str, &str)> = said.into_iter().chain(noted).collect();
    let risk = said.iter().map(|(risk, ..)| *risk).fold(plain(facts), Risk::max);
    let flag = |(risk, rule, says)| (risk, rule, format!("{}: {says}", happened(facts)));
    Verdict { risk, flags: said.into_iter().map(flag).collect() }
}

/// A file of credentials: in the project one of its own, elsewhere one that the jar did not show and that would be
/// replaced.
fn secret(facts: &ChangeFacts<'_>) -> Option<(Risk, &'static str, &'static str)> {
    let rule = facts.path.secret.filter(|_| !facts.only_times())?;
    let risk = if facts.path.location == Location::Workspace { Medium } else { High };
    Some((risk, rule, "such a file holds secrets"))
}

/// The tier where no row applies.
fn plain(facts: &ChangeFacts<'_>) -> Risk {
    if is_surprise(facts) { Medium } else { Risk::Low }
}

fn happened(facts: &ChangeFacts<'_>) -> String {
    let path = &facts.change.path;
    match &facts.change.kind {
        ChangeKind::Added => match facts.link.as_ref() {
            Some(link) => format!("new link {path} to {}", link.target),
            None => format!("new {path}"),
        },
        ChangeKind::Modified => format!("changed {path}"),
        ChangeKind::Deleted if facts.change.below > 0 => {
            format!("deleted {path} and {} names below", facts.change.below)
        }
        ChangeKind::Deleted => format!("deleted {path}"),
        ChangeKind::Renamed { from } => format!("moved {from} to {path}"),
        ChangeKind::Linked { to } => format!("new name {path} of {to}"),
        ChangeKind::Replaced => format!("replaced {path}"),
    }
}
