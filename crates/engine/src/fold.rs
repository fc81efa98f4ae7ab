//! Folding: what tools write and make again is told in one line a directory, so that a person sees the rest.
//!
//! Folding changes what is told first and nothing else. Never folded are: what is red, what is gone, what git tracks on
//! the host, what is flagged and only ignored by git, and a change that stands alone.

use crate::git::Repository;
use model::{Change, ChangeKind, ChangeSet, FileKind, FilePath, Place, Review, Risk};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Why changes are told in one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The name of the directory says that a tool makes it.
    Derived,
    /// It is a Python environment.
    Environment,
    /// The repository's ignore rules on the host name it.
    Ignored,
}

impl Why {
    /// Plain words, lower case, no full stop.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Why::Derived => "made by tools",
            Why::Environment => "a Python environment",
            Why::Ignored => "ignored by git",
        }
    }
}

/// Changes below one directory that are told in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The directory.
    pub root: FilePath,
    /// Why.
    pub why: Why,
    /// Indices into the change set, ascending.
    pub changes: Vec<usize>,
}

/// A change set with some of it folded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// Sorted by directory.
    pub groups: Vec<Group>,
    folded: HashSet<usize>,
}

impl Folded {
    /// Whether the change with this index is told with others.
    #[must_use]
    pub fn has(&self, change: usize) -> bool {
        self.folded.contains(&change)
    }
}

/// Finds what can be told in one line. Reads git's index and ignore rules on the host; what cannot be read folds nothing.
#[must_use]
pub fn fold(place: &Place, changes: &ChangeSet, review: &Review) -> Folded {
    let mut folder = Folder {
        place,
        environments: environments(changes),
        repositories: HashMap::new(),
        tops: HashMap::new(),
        derived: HashMap::new(),
    };
    let flagged: HashSet<usize> =
        review.flags.iter().filter(|flag| flag.risk > Risk::Low).map(|flag| flag.change).collect();
    let mut groups: BTreeMap<(FilePath, Why), Vec<usize>> = BTreeMap::new();
    for (index, change) in changes.changes.iter().enumerate() {
        // One without a judgement is treated as the worst.
        let calm = review.risks.get(index).is_some_and(|risk| *risk < Risk::High);
        if !calm || !comes(change) {
            continue;
        }
        // Ignore rules are the project's own word, so what the review has something to say about stays in sight.
        let kept_in_sight = |why| why == Why::Ignored && flagged.contains(&index);
        if let Some((root, why)) = folder.root_of(change).filter(|(_, why)| !kept_in_sight(*why)) {
            groups.entry((root, why)).or_default().push(index);
        }
    }
    groups.retain(|_, changes| changes.len() > 1);
    let folded = groups.values().flatten().copied().collect();
    let groups = groups.into_iter().map(|((root, why), changes)| Group { root, why, changes }).collect();
    Folded { groups, folded }
}

/// Whether nothing of the host is gone with it. A rename takes an old name away.
fn comes(change: &Change) -> bool {
    matches!(change.kind, ChangeKind::Added | ChangeKind::Modified | ChangeKind::Linked { .. })
}

/// Directories that became Python environments: `pyvenv.cfg` marks them (PEP 405).
fn environments(changes: &ChangeSet) -> HashSet<PathBuf> {
    let marks = changes.changes.iter().map(|change| change.path.as_path()).filter(|path| path.ends_with("pyvenv.cfg"));
    marks.filter_map(|path| Some(path.parent()?.to_owned())).collect()
}

struct Folder<'f> {
    place: &'f Place,
    environments: HashSet<PathBuf>,
    /// By the top of the working tree.
    repositories: HashMap<PathBuf, Option<Repository>>,
    /// The working tree a directory is in.
    tops: HashMap<PathBuf, Option<PathBuf>>,
    derived: HashMap<PathBuf, bool>,
}

impl Folder<'_> {
    fn root_of(&mut self, change: &Change) -> Option<(FilePath, Why)> {
        let is_dir = change.after.as_ref().is_some_and(|meta| meta.kind == FileKind::Directory);
        let path = &change.path;
        let top = self.top(path.as_path());
        if top.as_deref().is_some_and(|top| self.is_tracked(top, path)) {
            return None;
        }
        let named = self.named(path.as_path(), is_dir);
        let ignored = || {
            let repository = self.repositories.get_mut(top.as_ref()?)?.as_mut()?;
            Some((FilePath::from(repository.ignored_root(path, is_dir)?), Why::Ignored))
        };
        named.or_else(ignored)
    }

    /// Tracked, or perhaps tracked: where the index is not understood everything may be.
    fn is_tracked(&mut self, top: &Path, path: &FilePath) -> bool {
        let repository = self.repositories.entry(top.to_owned()).or_insert_with(|| Repository::open(top));
        repository.as_ref().is_none_or(|repository| repository.is_tracked(path))
    }

    /// The topmost directory that is derived by its name or mark.
    fn named(&mut self, path: &Path, is_dir: bool) -> Option<(FilePath, Why)> {
        let mut above: Vec<&Path> = path.ancestors().skip(usize::from(!is_dir)).collect();
        above.reverse();
        for dir in above {
            if self.environments.contains(dir) {
                return Some((FilePath::from(dir), Why::Environment));
            }
            let home = &self.place.home;
            let known = self.derived.get(dir).copied();
            let derived = known.unwrap_or_else(|| policy::is_derived(&FilePath::from(dir), home));
            self.derived.entry(dir.to_owned()).or_insert(derived);
            if derived {
                return Some((FilePath::from(git_or(dir)), Why::Derived));
            }
        }
        // git's bookkeeping is files as much as directories.
        let in_git = path.ancestors().skip(1).find(|above| above.ends_with(".git"))?;
        policy::is_derived(&FilePath::from(path), &self.place.home).then(|| (FilePath::from(in_git), Why::Derived))
    }

    /// The top of the working tree that `path` is in, on the host.
    fn top(&mut self, path: &Path) -> Option<PathBuf> {
        let dir = path.parent()?;
        if let Some(known) = self.tops.get(dir) {
            return known.clone();
        }
        let within = |above: &&Path| {
            above.starts_with(self.place.workspace.as_path()) || above.starts_with(self.place.home.as_path())
        };
        let top =
            dir.ancestors().take_while(within).find(|above| std::fs::symlink_metadata(above.join(".git")).is_ok());
        let top = top.map(Path::to_owned);
        self.tops.insert(dir.to_owned(), top.clone());
        top
    }
}

/// What is derived in git's directory is told as that.
fn git_or(dir: &Path) -> &Path {
    dir.ancestors().find(|above| above.ends_with(".git")).unwrap_or(dir)
}

#[cfg(test)]
mod tests {
    use super::{Why, fold};
    use model::{Change, ChangeKind, ChangeSet, Differs, Disposition, FileKind, FilePath, Meta, Place, Review, Risk};
    use std::path::Path;

    fn place(root: &Path) -> Place {
        let root = FilePath::from(root);
        let (home, state) = (root.join("home"), root.join("state"));
        Place { cwd: root.join("w"), home, workspace: root.join("w"), state, uid: 1000, contained: true }
    }

    fn change(path: FilePath, kind: ChangeKind) -> Change {
        let file = Meta { kind: FileKind::File, mode: 0o644, uid: 1000, gid: 1000, size: 1, link: None };
        let after = (kind != ChangeKind::Deleted).then(|| file.clone());
        Change { path, kind, before: None, after, differs: Differs::default(), below: 0 }
    }

    #[test]
    fn what_tools_make_folds_and_what_matters_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = FilePath::from(dir.path());
        std::fs::create_dir_all(dir.path().join("w/vendor")).unwrap();
        let git = |args: &[&str]| {
            let status = std::process::Command::new("git").args(args).current_dir(dir.path().join("w")).status();
            assert!(status.unwrap().success());
        };
        git(&["init", "-q"]);
        std::fs::create_dir_all(dir.path().join("w/node_modules/kept")).unwrap();
        std::fs::write(dir.path().join("w/node_modules/kept/index.js"), "").unwrap();
        git(&["add", "-f", "node_modules/kept/index.js"]);
        std::fs::write(dir.path().join("w/.gitignore"), "ignored/\n").unwrap();

        let rows = [
            ("home/.cache/a", ChangeKind::Added, Risk::Low, Some(Why::Derived)),
            ("home/.cache/b", ChangeKind::Added, Risk::Low, Some(Why::Derived)),
            ("w/.git/index", ChangeKind::Modified, Risk::Low, Some(Why::Derived)),
            ("w/.git/objects/ab/cd", ChangeKind::Added, Risk::Low, Some(Why::Derived)),
            ("w/env/bin/python", ChangeKind::Added, Risk::Medium, Some(Why::Environment)),
            ("w/env/pyvenv.cfg", ChangeKind::Added, Risk::Low, Some(Why::Environment)),
            ("w/ignored/a-flag", ChangeKind::Added, Risk::Medium, None),
            ("w/ignored/deep/x", ChangeKind::Added, Risk::Low, Some(Why::Ignored)),
            ("w/ignored/gone", ChangeKind::Deleted, Risk::Low, None),
            ("w/ignored/red", ChangeKind::Added, Risk::High, None),
            ("w/ignored/y", ChangeKind::Modified, Risk::Low, Some(Why::Ignored)),
            ("w/node_modules/a/index.js", ChangeKind::Added, Risk::Low, Some(Why::Derived)),
            ("w/node_modules/b/index.js", ChangeKind::Added, Risk::Low, Some(Why::Derived)),
            ("w/node_modules/kept/index.js", ChangeKind::Modified, Risk::Low, None),
            ("w/src/main.rs", ChangeKind::Modified, Risk::Low, None),
            ("w/target/debug/alone", ChangeKind::Added, Risk::Low, None),
        ];
        let changes = rows.iter().map(|(path, kind, ..)| change(root.join(path), kind.clone())).collect();
        let changes = ChangeSet { changes };
        let risks = rows.iter().map(|(_, _, risk, _)| *risk).collect();
        let flag =
            model::Flag { change: 6, risk: Risk::Medium, rule: "mode/executable".into(), message: String::new() };
        let review = Review {
            disposition: Disposition::Ask,
            risks,
            flags: vec![flag],
            surprises: Vec::new(),
            held: Vec::new(),
            content: Vec::new(),
        };
        let folded = fold(&place(dir.path()), &changes, &review);
        for (index, (path, _, _, expected)) in rows.iter().enumerate() {
            let group = folded.groups.iter().find(|group| group.changes.contains(&index));
            assert_eq!(group.map(|group| group.why), *expected, "{path}");
            assert_eq!(folded.has(index), expected.is_some(), "{path}");
        }
        let roots: Vec<String> =
            folded.groups.iter().map(|group| group.root.strip_prefix(&root).unwrap().to_string()).collect();
        assert_eq!(roots, ["home/.cache", "w/.git", "w/env", "w/ignored", "w/node_modules"]);

        // An index that nobody understands: anything may be tracked.
        std::fs::write(dir.path().join("w/.git/index"), "nonsense").unwrap();
        let folded = fold(&place(dir.path()), &changes, &review);
        assert_eq!(folded.groups.len(), 1, "{:?}", folded.groups);
    }
}
