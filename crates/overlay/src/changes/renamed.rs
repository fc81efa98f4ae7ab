//! Files that were renamed: to the layer a new file and one that is gone.

use crate::changes::compare::{self, Side};
use crate::changes::diff::{Diff, Walked, on, open_upper};
use crate::fs::at::{self, Stat};
use crate::fs::xattr;
use crate::store::origin::Origin;
use model::{Change, ChangeKind};
use nix::errno::Errno;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Diff<'_> {
    /// A new file that was copied from one that is gone is that one under its new name: the mark of the copy tells.
    pub(super) fn find_renamed_files(&mut self) -> Walked<()> {
        let gone = self.gone_files();
        if gone.is_empty() {
            return Ok(());
        }
        let candidates: Vec<usize> = (0..self.found.len()).filter(|index| self.is_new_file(*index)).collect();
        let mut taken: HashSet<PathBuf> = HashSet::new();
        for index in candidates {
            let Some(delta) = self.found.get(index) else { continue };
            let rel = delta.rel.clone();
            let Some(origin) = on(&rel, self.origin(&rel))? else { continue };
            let Some(from) = gone.get(&origin.ino).filter(|from| !taken.contains(*from)) else { continue };
            if self.rename_file(index, from)? {
                taken.insert(from.clone());
            }
        }
        self.found.retain(|delta| delta.change.kind != ChangeKind::Deleted || !taken.contains(&delta.lower));
        Ok(())
    }

    fn is_new_file(&self, index: usize) -> bool {
        let regular = |stat: &Stat| at::kind_of(stat) == libc::S_IFREG;
        let delta = self.found.get(index).filter(|delta| delta.change.kind == ChangeKind::Added);
        delta.and_then(|delta| delta.own.as_ref()).is_some_and(regular)
    }

    /// Host paths of what is deleted, also with the directory it was in, by the inode numbers they were recorded with.
    fn gone_files(&self) -> HashMap<u64, PathBuf> {
        let deleted = self.found.iter().filter(|delta| delta.change.kind == ChangeKind::Deleted);
        let deleted: HashSet<&Path> =
            deleted.filter(|delta| delta.rel == delta.lower).map(|delta| delta.lower.as_path()).collect();
        if deleted.is_empty() {
            return HashMap::new();
        }
        // Where a directory has come instead, what it took the place of goes first, as a change of its own.
        let came = self.found.iter().filter(|delta| matches!(delta.change.kind, ChangeKind::Renamed { .. }));
        let came: HashSet<&Path> = came.map(|delta| delta.rel.as_path()).collect();
        let is_gone = |(_, path): &(u64, PathBuf)| {
            path.ancestors().any(|above| deleted.contains(above)) && !path.ancestors().any(|above| came.contains(above))
        };
        let files = self.overlay.store.made().map(|parts| parts.origins.files()).unwrap_or_default();
        files.into_iter().filter(is_gone).collect()
    }

    /// The mark of the host file that `rel` in the layer is a copy of.
    fn origin(&self, rel: &Path) -> Result<Option<Origin>, Errno> {
        let (parent, name) = at::split(rel).ok_or(Errno::EISDIR)?;
        let dir = open_upper(self.overlay, parent)?;
        let mark = at::forced(&[&dir], || xattr::get(&dir, name, OsStr::new(xattr::ORIGIN)))?;
        Ok(mark.as_deref().and_then(Origin::decode))
    }

    fn rename_file(&mut self, index: usize, from: &Path) -> Walked<bool> {
        let regular = |(_, stat): &(Arc<OwnedFd>, Stat)| at::kind_of(stat) == libc::S_IFREG;
        let Some((dir, stat)) = on(from, self.host(from))?.filter(regular) else {
            return Ok(false);
        };
        let Some(delta) = self.found.get(index) else {
            return Ok(false);
        };
        let rel = delta.rel.clone();
        let (parent, name) = on(&rel, at::split(&rel).ok_or(Errno::EISDIR))?;
        let own_dir = on(&rel, open_upper(self.overlay, parent))?;
        let own_stat = on(&rel, at::forced(&[&own_dir], || at::stat(&own_dir, name)))?;
        let own = Side { dir: &own_dir, name, stat: &own_stat };
        let host = Side { dir: &dir, name: from.file_name().unwrap_or(at::dot()), stat: &stat };
        let differs = on(&rel, at::forced(&[&own_dir], || compare::differs(host, own)))?;
        let before = on(from, compare::meta(host))?;
        let kind = ChangeKind::Renamed { from: self.overlay.absolute(from) };
        if let Some(delta) = self.found.get_mut(index) {
            delta.change = Change { kind, before: Some(before), differs, ..delta.change.clone() };
            delta.lower = from.to_owned();
            delta.host = Some(stat);
        }
        Ok(true)
    }
}
