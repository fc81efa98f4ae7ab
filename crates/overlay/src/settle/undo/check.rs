//! Whether an undo may begin: the host and the layer held against what the applies left.

use super::Checked;
use crate::changes::diff::{open_own, open_upper};
use crate::error::{Conflict, ConflictKind};
use crate::fs::at::{self, Stat};
use crate::fs::parents::Parents;
use crate::overlay::Overlay;
use crate::settle::journal::{Action, Step};
use crate::settle::keep::{self, Kept, Left, Now};
use crate::store::origin::Identity;
use crate::view::layers::{Reach, reach};
use model::FilePath;
use nix::errno::Errno;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Holds the host and the layer against what the applies left.
pub(super) struct Check<'c> {
    pub(super) overlay: &'c Overlay,
    /// Newest first.
    pub(super) kept: &'c [Kept],
    expected: BTreeMap<PathBuf, Left>,
}

impl<'c> Check<'c> {
    pub(super) fn new(overlay: &'c Overlay, kept: &'c [Kept]) -> Check<'c> {
        let mut expected: BTreeMap<PathBuf, Left> = BTreeMap::new();
        for kept in kept.iter().rev() {
            for step in kept.journal.steps.iter().filter(|step| matches!(step.action, Action::Put | Action::Remove)) {
                forget_below(&mut expected, step.path.as_path());
            }
            for left in &kept.after.left {
                let path = left.path.as_path();
                let ours = left.ours || expected.get(path).is_some_and(|known| known.ours);
                expected.insert(path.to_owned(), Left { ours, ..left.clone() });
            }
        }
        Check { overlay, kept, expected }
    }

    pub(super) fn conflicts(&self) -> Checked<Vec<Conflict>> {
        let mut found = Vec::new();
        let mut conflict = |rel: &Path, kind| found.push(Conflict { path: self.overlay.absolute(rel), kind });
        let mut parents = Parents::new(open_own);
        for (rel, left) in &self.expected {
            let now = parents.stat(&self.overlay.root, rel).map_err(|errno| (rel.clone(), errno))?;
            let kind = match (&left.is, now) {
                (Now::Nothing, None) => None,
                (Now::Nothing, Some(_)) => Some(ConflictKind::Appeared),
                (Now::This(_) | Now::Foreign, None) => Some(ConflictKind::Gone),
                (Now::Foreign, Some(_)) => Some(ConflictKind::Changed),
                (Now::This(was), Some(stat)) => (!was.matches(&stat)).then_some(ConflictKind::Changed),
            };
            match kind {
                Some(kind) => conflict(rel, kind),
                None => {
                    for name in self.unseen(rel, left, now.as_ref()).map_err(|errno| (rel.clone(), errno))? {
                        conflict(&rel.join(name), ConflictKind::Unseen);
                    }
                }
            }
        }
        for rel in self.changed_again()? {
            conflict(&rel, ConflictKind::ChangedAgain);
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found.dedup();
        Ok(found)
    }

    /// Names that somebody else put into a directory that undo would take away.
    pub(super) fn unseen(&self, rel: &Path, left: &Left, now: Option<&Stat>) -> Result<Vec<OsString>, Errno> {
        if !left.ours || !now.is_some_and(at::is_dir) {
            return Ok(Vec::new());
        }
        let known = |name: &OsStr| self.expected.get(&rel.join(name)).is_some_and(|left| left.is != Now::Nothing);
        let names = at::list_own(&open_own(&self.overlay.root, rel)?)?.into_iter().map(|entry| entry.name);
        Ok(names.filter(|name| !known(name)).collect())
    }

    /// What the jar did to the same names after an apply, so that the change cannot return to the layer by itself.
    pub(super) fn changed_again(&self) -> Checked<Vec<PathBuf>> {
        let mut found = Vec::new();
        let Some((newest, older)) = self.kept.split_first() else {
            return Ok(found);
        };
        self.changed_since(newest, &mut found)?;
        let mut later: Vec<(&Step, bool)> = with_kind(newest);
        for kept in older {
            // What the layer held then already was only applied later.
            let known = places(kept);
            let fresh: Vec<_> = later.iter().filter(|(step, _)| !known.contains(step.path.as_path())).collect();
            let entangled = |step: &&Step| fresh.iter().any(|(after, directory)| is_entangled(step, after, *directory));
            let steps = kept.journal.steps.iter().filter(|step| !fresh.is_empty() && entangled(step));
            found.extend(steps.map(|step| step.path.as_path().to_owned()));
            later.extend(with_kind(kept));
        }
        Ok(found)
    }

    /// The same for what was not applied yet. A file that was written again simply stays; it is newer.
    pub(super) fn changed_since(&self, newest: &Kept, found: &mut Vec<PathBuf>) -> Checked<()> {
        let mut parents = Parents::new(open_own);
        for (step, directory) in with_kind(newest).into_iter().filter(|(step, _)| step.action == Action::Put) {
            let rel = step.path.as_path();
            let upper = self.overlay.store.parts().map(|parts| &parts.upper);
            let there = upper.and_then(|upper| parents.stat(upper, rel)).map_err(|errno| (rel.to_owned(), errno))?;
            if there.is_some_and(|stat| directory || at::is_dir(&stat)) {
                found.push(rel.to_owned());
            }
        }
        let known = places(newest);
        let redirects = redirects(self.overlay).map_err(|errno| (PathBuf::new(), errno))?;
        for (rel, from) in redirects.into_iter().filter(|(rel, _)| !known.contains(rel.as_path())) {
            let torn = newest.journal.steps.iter().any(|step| from.starts_with(step.path.as_path()));
            if torn {
                found.push(rel);
            }
        }
        Ok(())
    }
}

/// Directories of the upper layer that show a host directory of another name, with that name.
fn redirects(overlay: &Overlay) -> Result<Vec<(PathBuf, PathBuf)>, Errno> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(rel) = waiting.pop() {
        let dir = open_upper(overlay, &rel)?;
        for entry in at::list_own(&dir)?.into_iter().filter(|entry| entry.kind == libc::S_IFDIR) {
            let child = rel.join(&entry.name);
            if let Reach::Redirect(from) = at::forced(&[&dir], || reach(&dir, &entry.name))? {
                found.push((child.clone(), from));
            }
            waiting.push(child);
        }
    }
    Ok(found)
}

/// The steps of an apply, and whether what they put or remove is a directory.
fn with_kind(kept: &Kept) -> Vec<(&Step, bool)> {
    let directory = |identity: &Identity| identity.mode & libc::S_IFMT == libc::S_IFDIR;
    let own =
        |step: &Step| matches!(kept.left(step.path.as_path()), Some(Left { is: Now::This(is), .. }) if directory(is));
    let kind = |step: &Step| step.host.as_ref().is_some_and(directory) || own(step);
    kept.journal.steps.iter().map(|step| (step, kind(step))).collect()
}

/// How many of the newest applies can be taken back together: as far as each found what the one before it had left.
pub(super) fn unbroken(kept: &[Kept]) -> usize {
    // What the next apply found, by where it found it.
    let mut found: HashMap<&Path, Option<&Identity>> = HashMap::new();
    for (index, kept) in kept.iter().enumerate() {
        if kept
            .after
            .left
            .iter()
            .any(|left| found.get(left.path.as_path()).is_some_and(|next| !was_left(kept, left, *next)))
        {
            return index;
        }
        let over = kept.journal.steps.iter().filter(|step| matches!(step.action, Action::Put | Action::Remove));
        found.extend(over.map(|step| (step.lower.as_path(), step.host.as_ref())));
    }
    kept.len()
}

/// Whether what an apply found in a place is what the one before it had left there.
fn was_left(kept: &Kept, left: &Left, found: Option<&Identity>) -> bool {
    match (&left.is, found) {
        (Now::Nothing, None) => true,
        (Now::This(was), Some(now)) if was.mode & libc::S_IFMT == libc::S_IFDIR => was.ino == now.ino,
        // Its other names may have come and gone, which moves its change time.
        (Now::This(was), Some(now)) if kept.names(was.ino) > 1 => keep::is_same(was, now),
        (Now::This(was), Some(now)) => keep::is_same(was, now) && was.ctime == now.ctime,
        (Now::Foreign, _) | (Now::Nothing, Some(_)) | (Now::This(_), None) => false,
    }
}

/// Paths of the directories and whiteouts the layer had before an apply.
fn places(kept: &Kept) -> HashSet<&Path> {
    let before = &kept.journal.before;
    before.dirs.iter().map(|dir| &dir.path).chain(&before.whiteouts).map(FilePath::as_path).collect()
}

/// Whether a later step moved or replaced what an earlier one put there, so that it cannot be taken back by itself.
fn is_entangled(earlier: &Step, later: &Step, directory: bool) -> bool {
    let old_name = matches!(earlier.action, Action::Remove | Action::Stash);
    match later.action {
        Action::Attributes => false,
        Action::Make => earlier.path == later.path && old_name,
        Action::Put | Action::Remove => directory && earlier.path.starts_with(&later.path),
        Action::Stash | Action::Place { .. } => {
            let at = |path: &FilePath| earlier.path.starts_with(path) || earlier.lower.starts_with(path);
            at(&later.lower) || earlier.path.starts_with(&later.path)
        }
    }
}

fn forget_below(expected: &mut BTreeMap<PathBuf, Left>, path: &Path) {
    let gone: Vec<PathBuf> = expected
        .range(path.to_owned()..)
        .map(|(rel, _)| rel)
        .take_while(|rel| rel.starts_with(path))
        .cloned()
        .collect();
    for rel in gone {
        expected.remove(&rel);
    }
}
