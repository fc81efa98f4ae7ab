//! Surprises: what was observed and not announced. Predicted and observed effects are one type, so this is a difference.
//!
//! Where a prediction is not exact (a glob with brackets, say) it covers less, never more: a false surprise costs a
//! look, a missed one costs the point of looking.

use model::{
    Action, Analysis, Attempt, Certainty, Change, ChangeKind, Coverage, Effect, FileKind, FilePath, PathScope,
    Reversibility, Target,
};
use std::collections::HashMap;

/// How far a change was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Announced {
    /// Not at all.
    No,
    /// By something wider: a tree above it, a pattern.
    Covered,
    /// By exactly this name.
    Named,
}

/// The predicted effects on paths, indexed for many look-ups.
pub(crate) struct Forecast<'a> {
    by_path: HashMap<&'a FilePath, Vec<(Action, PathScope)>>,
    globs: Vec<(Action, &'a FilePath)>,
    trees: bool,
    /// The data of a git repository changes.
    repository: bool,
    effects: &'a [Effect],
    /// Whether a program runs whose effects nobody announced, or part of the text was not understood.
    pub(crate) opaque: bool,
}

impl<'a> Forecast<'a> {
    pub(crate) fn new(analysis: &'a Analysis, workspace: &'a FilePath) -> Forecast<'a> {
        let mut by_path: HashMap<&FilePath, Vec<(Action, PathScope)>> = HashMap::new();
        let mut globs = Vec::new();
        for effect in &analysis.effects {
            match &effect.target {
                Target::Path { path, scope: PathScope::Glob } => globs.push((effect.action, path)),
                Target::Path { path, scope } => {
                    by_path.entry(path).or_default().push((effect.action, *scope));
                    if is_checkout(effect, *scope) {
                        by_path.entry(path).or_default().push((Action::Delete, *scope));
                        if path.starts_with(workspace) {
                            let both = [Action::Write, Action::Delete].map(|action| (action, PathScope::Tree));
                            by_path.entry(workspace).or_default().extend(both);
                        }
                    }
                    // `rm -r *.d`: all below each name that fits.
                    if *scope == PathScope::Tree && path.as_bytes().iter().any(|byte| b"*?".contains(byte)) {
                        globs.push((effect.action, path));
                    }
                }
                _ => {}
            }
        }
        let opaque = analysis.coverage != Coverage::Full || analysis.effects.iter().any(is_opaque);
        let trees = by_path.values().flatten().any(|(_, scope)| *scope == PathScope::Tree);
        let repository = analysis.effects.iter().any(is_repository);
        Forecast { by_path, globs, trees, repository, effects: &analysis.effects, opaque }
    }

    /// How far a change was announced.
    pub(crate) fn of(&self, change: &Change) -> Announced {
        match &change.kind {
            ChangeKind::Renamed { from } => {
                let gone = self.reaches(from, &[Action::Rename, Action::Delete]);
                let came = self.reaches(&change.path, &[Action::Create, Action::Write]);
                gone.min(came)
            }
            _ if self.repository && is_git_data(&change.path) => Announced::Covered,
            _ => self.reaches(&change.path, covering(change)),
        }
    }

    fn reaches(&self, path: &FilePath, actions: &[Action]) -> Announced {
        if self.at(path).any(|(action, _)| actions.contains(action)) {
            return Announced::Named;
        }
        let mut above = std::iter::successors(path.parent(), FilePath::parent);
        let tree = |dir: FilePath| self.at(&dir).any(|(a, scope)| *scope == PathScope::Tree && actions.contains(a));
        let covered = (self.trees && above.any(tree))
            || self.globs.iter().any(|(action, pattern)| actions.contains(action) && glob_covers(pattern, path));
        if covered { Announced::Covered } else { Announced::No }
    }

    fn at(&self, path: &FilePath) -> impl Iterator<Item = &(Action, PathScope)> {
        self.by_path.get(path).into_iter().flatten()
    }

    /// Whether a refused attempt was announced.
    pub(crate) fn expects(&self, attempt: &Attempt) -> bool {
        match &attempt.target {
            Target::Path { path, .. } => self.reaches(path, &[attempt.action]) != Announced::No,
            Target::Peer(tried) => self.effects.iter().any(|effect| match &effect.target {
                Target::Peer(peer) => effect.action == attempt.action && peer.host == tried.host,
                _ => false,
            }),
            other => self.effects.iter().any(|effect| effect.action == attempt.action && effect.target == *other),
        }
    }
}

/// Whether what an effect brings about is not known from the text. A relative path is one below a directory that is not
/// known.
fn is_opaque(effect: &Effect) -> bool {
    let open = match &effect.target {
        Target::Unknown { .. } => true,
        Target::Path { path, .. } => !path.is_absolute(),
        _ => false,
    };
    effect.action == Action::Execute || (effect.action != Action::Read && open)
}

/// Whether git takes the working tree from one state to another: names come and go in all of it, wherever it stands.
fn is_checkout(effect: &Effect, scope: PathScope) -> bool {
    let git = effect.by.as_deref().is_some_and(|by| by.starts_with("git "));
    git && effect.action == Action::Write && scope == PathScope::Tree
}

fn is_repository(effect: &Effect) -> bool {
    let git = |what: &str| matches!(what, "the git repository" | "the git configuration");
    effect.action == Action::Write && matches!(&effect.target, Target::Thing { what } if git(what))
}

/// What git keeps for itself; its hooks it never writes but for a new repository.
fn is_git_data(path: &FilePath) -> bool {
    let mut parts = path.as_path().iter().skip_while(|part| *part != ".git").skip(1);
    parts.next().is_some_and(|part| part != "hooks")
}

/// Predicted actions that explain a change.
fn covering(change: &Change) -> &'static [Action] {
    let differs = change.differs;
    match change.kind {
        ChangeKind::Deleted => &[Action::Delete, Action::Rename],
        ChangeKind::Modified if !differs.content => &[Action::Write, Action::Create, Action::Attributes],
        _ => &[Action::Write, Action::Create],
    }
}

/// Whether a glob names `path` or a directory above it, by shell rules: `*` stops at `/` and at a leading dot. `**` stands
/// for anything below, as names have it that a search found.
fn glob_covers(pattern: &FilePath, path: &FilePath) -> bool {
    let deep = pattern.as_bytes().windows(2).position(|pair| pair == b"**");
    if let Some((head, tail)) =
        deep.and_then(|at| Some((pattern.as_bytes().get(..at)?, pattern.as_bytes().get(at + 2..)?)))
    {
        let rest = path.as_bytes().strip_prefix(head);
        return rest.is_some_and(|rest| rest.ends_with(tail)) && !head.iter().any(|byte| b"*?[".contains(byte));
    }
    let split = |path: &FilePath| -> Vec<Vec<u8>> {
        let parts = path.as_bytes().split(|b| *b == b'/').filter(|part| !part.is_empty());
        parts.map(<[u8]>::to_vec).collect()
    };
    let (pattern, path) = (split(pattern), split(path));
    pattern.len() <= path.len() && pattern.iter().zip(&path).all(|(pattern, part)| component(pattern, part))
}

fn component(pattern: &[u8], part: &[u8]) -> bool {
    let hidden = part.first() == Some(&b'.') && pattern.first() != Some(&b'.');
    pattern == part || (!hidden && crate::pattern::glob_with_sets(pattern, part))
}

/// The change as the effect it is.
pub(crate) fn observed(change: &Change) -> Effect {
    let kind = change.after.as_ref().or(change.before.as_ref()).map(|meta| meta.kind);
    let tree =
        matches!(change.kind, ChangeKind::Deleted | ChangeKind::Renamed { .. }) && kind == Some(FileKind::Directory);
    let (action, path) = match &change.kind {
        ChangeKind::Added if kind == Some(FileKind::File) => (Action::Write, &change.path),
        ChangeKind::Added => (Action::Create, &change.path),
        ChangeKind::Modified if !change.differs.content => (Action::Attributes, &change.path),
        ChangeKind::Linked { .. } => (Action::Create, &change.path),
        ChangeKind::Modified | ChangeKind::Replaced => (Action::Write, &change.path),
        ChangeKind::Deleted => (Action::Delete, &change.path),
        ChangeKind::Renamed { from } => (Action::Rename, from),
    };
    let scope = if tree { PathScope::Tree } else { PathScope::Exact };
    seen(action, Target::Path { path: path.clone(), scope }, Reversibility::ByOverlay)
}

/// A refused attempt as the effect it would have been.
pub(crate) fn attempted(attempt: &Attempt) -> Effect {
    let reversibility = match attempt.action {
        Action::Read | Action::Execute => Reversibility::Harmless,
        _ if matches!(attempt.target, Target::Path { .. }) => Reversibility::ByOverlay,
        _ => Reversibility::Never,
    };
    seen(attempt.action, attempt.target.clone(), reversibility)
}

fn seen(action: Action, target: Target, reversibility: Reversibility) -> Effect {
    Effect { action, target, certainty: Certainty::Must, reversibility, span: None, by: None }
}

#[cfg(test)]
mod tests {
    use super::{Announced, Forecast};
    use crate::testing::{added, analysis, deleted, modified, path};
    use model::{Action, FileKind, PathScope};

    #[test]
    fn predictions_cover_what_they_say() {
        let analysis = analysis(vec![
            path(Action::Write, "/w/a.txt", PathScope::Exact),
            path(Action::Create, "/w/out", PathScope::Tree),
            path(Action::Delete, "/w/*.o", PathScope::Glob),
            path(Action::Delete, "/w/*.d", PathScope::Tree),
            path(Action::Attributes, "/w/run.sh", PathScope::Exact),
        ]);
        let workspace = model::FilePath::from("/w");
        let forecast = Forecast::new(&analysis, &workspace);
        assert!(!forecast.opaque);
        for (change, expected) in [
            (added("/w/a.txt", 0o644), Announced::Named),
            (modified("/w/a.txt"), Announced::Named),
            (deleted("/w/a.txt", FileKind::File, 0), Announced::No),
            (added("/w/out/x/y", 0o644), Announced::Covered),
            (deleted("/w/b.o", FileKind::File, 0), Announced::Covered),
            (deleted("/w/.b.o", FileKind::File, 0), Announced::No),
            (deleted("/w/b.d", FileKind::Directory, 3), Announced::Covered),
            (deleted("/w/b.d/x", FileKind::File, 0), Announced::Covered),
            (deleted("/w/d/b.o", FileKind::File, 0), Announced::No),
            (modified("/w/run.sh"), Announced::No),
            (added("/w/b.txt", 0o644), Announced::No),
        ] {
            assert_eq!(forecast.of(&change), expected, "{change:?}");
        }
    }

    #[test]
    fn patterns_cover_what_they_say() {
        for (pattern, path, covers) in [
            ("/w/[a-m]*", "/w/lib", true),
            ("/w/[a-m]*", "/w/notes", false),
            ("/w/[!a-m]*.o", "/w/x.o", true),
            ("/w/[!a-m]*.o", "/w/b.o", false),
            ("/w/x[", "/w/x1", false),
            ("/w/[[:alpha:]]", "/w/a", false),
            ("/w/[]a]*[!b]?", "/w/]xcb", true),
            ("/w/**", "/w/a/.b/c", true),
            ("/w/**.gz", "/w/a/.b/c.gz", true),
            ("/w/**.gz", "/w/a/c", false),
            ("/w/a/**", "/w/b", false),
        ] {
            assert_eq!(super::glob_covers(&pattern.into(), &path.into()), covers, "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_with_many_stars_comes_to_an_end() {
        let pattern = format!("/w/{}b", "*[a]".repeat(50));
        let name = format!("/w/{}", "a".repeat(250));
        assert!(!super::glob_covers(&pattern.as_str().into(), &name.as_str().into()));
        assert!(super::glob_covers(&pattern.as_str().into(), &format!("{name}b").as_str().into()));
    }

    #[test]
    fn git_changes_its_own_and_the_whole_working_tree() {
        let git =
            model::Effect { by: Some("git stash push".to_owned()), ..path(Action::Write, "/w/sub", PathScope::Tree) };
        let thing = model::Target::Thing { what: "the git repository".to_owned() };
        let repository = crate::testing::effect(Action::Write, thing, model::Reversibility::ByOverlay);
        let analysis = analysis(vec![git, repository]);
        let workspace = model::FilePath::from("/w");
        let forecast = Forecast::new(&analysis, &workspace);
        for (change, expected) in [
            (deleted("/w/new.txt", FileKind::File, 0), Announced::Covered),
            (modified("/w/.git/config"), Announced::Covered),
            (added("/x/y", 0o644), Announced::No),
        ] {
            assert_eq!(forecast.of(&change), expected, "{change:?}");
        }
        let hook = added("/x/.git/hooks/pre-commit", 0o755);
        assert_eq!(forecast.of(&hook), Announced::No);
    }

    #[test]
    fn a_program_nobody_knows_makes_the_forecast_opaque() {
        let run = crate::testing::effect(
            Action::Execute,
            model::Target::Program { name: "make".to_owned() },
            model::Reversibility::Harmless,
        );
        assert!(Forecast::new(&analysis(vec![run]), &"/w".into()).opaque);
    }
}
