//! After an apply: what the upper layer holds and says nothing any more goes.

use crate::changes::diff::{host_object, open_upper};
use crate::fs::at;
use crate::fs::xattr;
use crate::overlay::Overlay;
use crate::settle::keep;
use crate::settle::times::Time;
use crate::view::layers::{Reach, reach};
use nix::errno::Errno;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

impl Overlay {
    /// Removes from the upper layer what says nothing any more: whiteouts over nothing, and directories that are
    /// empty and like the host's.
    pub(super) fn prune(&self, arrived: &[Time]) -> Result<(), Errno> {
        let arrived: HashSet<&Path> = arrived.iter().map(Time::path).collect();
        let mut order = vec![PathBuf::new()];
        let mut next = 0;
        while let Some(rel) = order.get(next).cloned() {
            next += 1;
            let dir = open_upper(self, &rel)?;
            for entry in at::list_own(&dir)?.into_iter().filter(|entry| entry.kind == libc::S_IFDIR) {
                // A rename that waits still keeps everything below it.
                if matches!(at::forced(&[&dir], || reach(&dir, &entry.name))?, Reach::Same) {
                    order.push(rel.join(&entry.name));
                }
            }
        }
        order.iter().rev().try_for_each(|rel| self.prune_dir(rel, arrived.contains(rel.as_path())))
    }

    fn prune_dir(&self, rel: &Path, time_arrived: bool) -> Result<(), Errno> {
        let dir = open_upper(self, rel)?;
        for entry in at::list_own(&dir)? {
            let stat = at::forced(&[&dir], || at::stat(&dir, &entry.name))?;
            if at::is_whiteout(&stat) && host_object(&self.root, &rel.join(&entry.name))?.is_none() {
                at::forced(&[&dir], || at::unlink(&dir, &entry.name))?;
            }
        }
        let Some((parent, name)) = at::split(rel) else {
            return Ok(());
        };
        let Ok(host) = at::open_beneath(&self.root, rel) else {
            return Ok(());
        };
        let (theirs, ours) = (at::stat(&host, at::dot())?, at::stat(&dir, at::dot())?);
        let known = |s: &at::Stat| (s.st_mode, s.st_uid, s.st_gid);
        let set = at::forced(&[&dir], || xattr::get(&dir, at::dot(), OsStr::new(xattr::TIMES)))?.is_some();
        let like = known(&theirs) == known(&ours)
            && (!set || time_arrived || keep::mtime(&theirs) == keep::mtime(&ours))
            && xattr::all_foreign(&host, at::dot())? == xattr::all_foreign(&dir, at::dot())?;
        if !like || !at::list_own(&dir)?.is_empty() {
            return Ok(());
        }
        let above = open_upper(self, parent)?;
        at::forced(&[&above], || at::rmdir(&above, name))?;
        self.store.parts()?.origins.forget(rel, false)
    }
}
