//! Paths that must not exist for the child, and what it tried on them.

use model::{Action, Attempt, FilePath, Hidden, NamedSecret, PathScope, SecretNames, Target};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Distinct attempts that are remembered; a program that scans everything must not fill our memory.
const ATTEMPTS_MAX: usize = 1_024;

/// The hidden paths of one root, by their place in the lower layer, so that a rename above them hides them still.
pub(crate) struct HiddenPaths {
    root: FilePath,
    rules: HashMap<PathBuf, String>,
    /// What is hidden by its name, wherever it lies.
    names: Option<Arc<dyn SecretNames>>,
    /// Directories other roots are mounted on, and every directory above them.
    pinned: HashSet<PathBuf>,
    attempts: Mutex<BTreeMap<(FilePath, String), u64>>,
}

impl HiddenPaths {
    /// Takes from `hidden` and `nested` what lies under `root`.
    pub(crate) fn new(
        root: &FilePath,
        hidden: &[Hidden],
        nested: &[FilePath],
        names: Option<Arc<dyn SecretNames>>,
    ) -> HiddenPaths {
        let below = |path: &FilePath| path.normalise().strip_prefix(root).map(|rel| rel.as_path().to_owned());
        let rules = hidden.iter().filter_map(|h| Some((below(&h.path)?, h.rule.clone())));
        let mut pinned = HashSet::new();
        for rel in nested.iter().filter_map(below) {
            pinned.extend(rel.ancestors().filter(|a| !a.as_os_str().is_empty()).map(Path::to_owned));
        }
        HiddenPaths { root: root.clone(), rules: rules.collect(), names, pinned, attempts: Mutex::new(BTreeMap::new()) }
    }

    /// The rule that hides the lower path `rel`, by its own name.
    pub(crate) fn rule(&self, rel: &Path) -> Option<&str> {
        self.rules.get(rel).map(String::as_str)
    }

    /// The secret that the lower path `rel` is by its name alone.
    pub(crate) fn named(&self, rel: &Path, is_dir: bool) -> Option<NamedSecret<'_>> {
        self.names.as_ref()?.secret(self.root.join(rel).as_path(), is_dir)
    }

    /// Whether anything is.
    pub(crate) fn has_names(&self) -> bool {
        self.names.is_some()
    }

    /// Whether this is all of a file that is no secret for it.
    pub(crate) fn is_public(&self, content: &[u8]) -> bool {
        self.names.as_ref().is_some_and(|names| names.is_public(content))
    }

    /// Whether what a name hides at the lower path `from` would be shown at `to`.
    pub(crate) fn would_uncover(&self, from: &Path, to: &Path) -> bool {
        let shown = |names: &Arc<dyn SecretNames>, rel: &Path| names.is_shown(self.root.join(rel).as_path());
        self.names.as_ref().is_some_and(|names| shown(names, to) && !shown(names, from))
    }

    /// The rule that hides a lower directory with all that is in it, by its own name.
    pub(crate) fn directory_rule(&self, rel: &Path) -> Option<&str> {
        self.rule(rel).or_else(|| self.named(rel, true).map(|named| named.rule))
    }

    /// Whether a mount lies on or below the lower directory `rel`, so that it must stay where it is.
    pub(crate) fn is_pinned(&self, rel: &Path) -> bool {
        self.pinned.contains(rel)
    }

    /// Hidden paths below the lower directory `rel`.
    pub(crate) fn below(&self, rel: &Path) -> impl Iterator<Item = &Path> {
        self.rules.keys().map(PathBuf::as_path).filter(move |path| *path != rel && path.starts_with(rel))
    }

    /// Remembers that the child tried to read `rel`.
    pub(crate) fn attempt(&self, rel: &Path, rule: &str) {
        let path = self.root.join(rel);
        let mut attempts = self.lock();
        let full = attempts.len() >= ATTEMPTS_MAX;
        let key = (path, rule.to_owned());
        match attempts.get_mut(&key) {
            Some(times) => *times += 1,
            None if full => {}
            None => {
                attempts.insert(key, 1);
            }
        }
    }

    /// What was tried, sorted by path.
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        told(&self.lock())
    }

    /// What was tried since this was last asked, sorted by path.
    pub(crate) fn take_attempts(&self) -> Vec<Attempt> {
        told(&std::mem::take(&mut *self.lock()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(FilePath, String), u64>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn told(attempts: &BTreeMap<(FilePath, String), u64>) -> Vec<Attempt> {
    let attempt = |((path, rule), times): (&(FilePath, String), &u64)| Attempt {
        action: Action::Read,
        target: Target::Path { path: path.clone(), scope: PathScope::Exact },
        rule: rule.clone(),
        times: *times,
    };
    attempts.iter().map(attempt).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_counted_and_bounded() {
        let hidden = [Hidden { path: "/home/u/.ssh".into(), rule: "secrets/ssh".into() }];
        let paths = HiddenPaths::new(&"/home/u".into(), &hidden, &["/home/u/src/ws".into(), "/elsewhere".into()], None);
        assert_eq!(paths.rule(Path::new(".ssh")), Some("secrets/ssh"));
        assert_eq!(paths.rule(Path::new(".ssh/id")), None);
        assert!(paths.is_pinned(Path::new("src")) && paths.is_pinned(Path::new("src/ws")));
        assert!(!paths.is_pinned(Path::new("")) && !paths.is_pinned(Path::new("src/ws/x")));
        paths.attempt(Path::new(".ssh/id"), "secrets/ssh");
        paths.attempt(Path::new(".ssh/id"), "secrets/ssh");
        for n in 0..2 * ATTEMPTS_MAX {
            paths.attempt(Path::new(&format!(".ssh/{n}")), "secrets/ssh");
        }
        let seen = paths.attempts();
        assert_eq!(seen.len(), ATTEMPTS_MAX);
        assert_eq!(seen.iter().map(|a| a.times).max(), Some(2));
    }
}
