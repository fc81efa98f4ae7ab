//! Keeping what a host file held when the layer first put a file of its own over it, so that changes the host makes
//! meanwhile can be merged.

use crate::fs::at::{self, Stat};
use crate::store::base;
use crate::store::origin::Identity;
use crate::view::copy_up::wait_for_tick;
use crate::view::layers::Layers;
use crate::view::node::Table;
use nix::errno::Errno;
use std::ffi::OsStr;
use std::path::Path;

impl Layers {
    /// Keeps the base of `rel`, whose state was recorded as `stat`. Nothing depends on it but a merge, which says when
    /// there is none: a full disk or an unreadable file must not make the write fail that leads here.
    pub(crate) fn keep_base(&self, rel: &Path, stat: &Stat) {
        let _ = self.try_keep_base(rel, stat);
    }

    /// The same for whatever regular file the host has under a name that a file is about to take.
    pub(crate) fn keep_base_under(&self, table: &Table, parent: u64, name: &OsStr) {
        let under = || -> Result<(), Errno> {
            let Some((rel, stat)) = self.below(table, parent, name)? else {
                return Ok(());
            };
            wait_for_tick(&stat)?;
            self.try_keep_base(&rel, &stat)
        };
        let _ = under();
    }

    fn try_keep_base(&self, rel: &Path, stat: &Stat) -> Result<(), Errno> {
        let recorded = self.store.recorded(rel).is_some_and(|was| was.matches(stat));
        let too_large = stat.st_size > i64::try_from(crate::TEXT_BYTES_MAX).unwrap_or(i64::MAX);
        if !recorded || too_large || at::kind_of(stat) != libc::S_IFREG {
            return Ok(());
        }
        if self.store.bases.has(&self.store.parts()?.dir, rel, &Identity::of(stat))? {
            return Ok(());
        }
        let (parent, name) = at::split(rel).ok_or(Errno::EISDIR)?;
        let dir = self.lower_dir(parent)?;
        match base::read(&dir, name, stat)? {
            Some(base) => self.store.bases.keep(&self.store.parts()?.dir, rel, base),
            None => Ok(()),
        }
    }
}
