//! Which directories get back the times they had: those that nobody touched since, also where a later apply, taken back
//! with this one, moved them or took them away.

use super::check::Check;
use crate::changes::diff::host_object;
use crate::fs::at;
use crate::settle::journal::Action;
use crate::settle::keep::{self, Kept, Moment, Moves};
use crate::settle::step::{absent_ok, pre_name};
use model::FilePath;
use nix::errno::Errno;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

impl Check<'_> {
    /// Directories that get the times back that they had, by their path when all is undone.
    pub(super) fn times(&self) -> Result<Vec<(FilePath, Moment)>, Errno> {
        let mut times: BTreeMap<FilePath, Moment> = BTreeMap::new();
        for (newer, kept) in self.kept.iter().enumerate() {
            let moves = Moves::of(&kept.journal.steps);
            let after: HashMap<&FilePath, &Moment> = kept.after.times.iter().map(|(path, time)| (path, time)).collect();
            for (path, before) in &kept.journal.before.times {
                let left_at = moves.now_at(path.as_path());
                let now = self.time_since(newer, left_at.clone())?;
                let left = after.get(path).copied();
                let untouched = left.is_none_or(|left| now == Some(*left));
                // What an older apply left is what the next one found.
                let found = left.is_some() && times.get(&FilePath::from(left_at)) == left;
                if untouched || found {
                    times.insert(path.clone(), *before);
                } else {
                    times.remove(path);
                }
            }
        }
        // Across file systems the pre-images pass through the root.
        if self.kept.iter().any(|kept| kept.journal.steps.iter().any(|step| !step.near)) {
            let now = keep::mtime(&at::stat(&self.overlay.root, at::dot())?);
            times.entry(FilePath::from("")).or_insert(now);
        }
        Ok(times.into_iter().collect())
    }

    /// The time of a directory that an apply left at `at`, wherever the `newer` ones after it brought it.
    fn time_since(&self, newer: usize, mut at: PathBuf) -> Result<Option<Moment>, Errno> {
        for kept in self.kept.get(..newer).unwrap_or_default().iter().rev() {
            let next = Moves::of(&kept.journal.steps).now_at(&at);
            if next == at
                && let Some(moment) = taken_away(kept, &at)?
            {
                return Ok(Some(moment));
            }
            at = next;
        }
        let now = host_object(&self.overlay.root, &at)?.filter(|(_, stat)| at::is_dir(stat));
        Ok(now.map(|(_, stat)| keep::mtime(&stat)))
    }
}

/// The time of a directory among what an apply took away.
fn taken_away(kept: &Kept, at: &Path) -> Result<Option<Moment>, Errno> {
    let takes = |action| matches!(action, Action::Put | Action::Remove);
    for step in kept.journal.steps.iter().filter(|step| takes(step.action) && step.host.is_some()) {
        let Ok(rest) = at.strip_prefix(step.lower.as_path()) else { continue };
        if let Some(dir) = absent_ok(at::open_beneath(&kept.dir, &Path::new(&pre_name(step)).join(rest)))? {
            return Ok(Some(keep::mtime(&at::stat(&dir, at::dot())?)));
        }
    }
    Ok(None)
}
