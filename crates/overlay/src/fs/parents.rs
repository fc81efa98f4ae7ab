//! Looking at many names in order: the directory of the last one stays open.

use crate::fs::at::{self, Stat};
use nix::errno::Errno;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens a directory below a root.
pub(crate) type Opener = fn(&OwnedFd, &Path) -> Result<OwnedFd, Errno>;

/// The last directory that was opened below one root. Whoever moves directories must [`Parents::forget`].
pub(crate) struct Parents {
    opener: Opener,
    open: Option<(PathBuf, Option<Arc<OwnedFd>>)>,
}

impl Parents {
    pub(crate) fn new(opener: Opener) -> Parents {
        Parents { opener, open: None }
    }

    /// The directory `rel` below `root`, always the same root.
    pub(crate) fn dir(&mut self, root: &OwnedFd, rel: &Path) -> Result<Arc<OwnedFd>, Errno> {
        if let Some((path, Some(dir))) = &self.open
            && path == rel
        {
            return Ok(Arc::clone(dir));
        }
        let dir = Arc::new((self.opener)(root, rel)?);
        self.open = Some((rel.to_owned(), Some(Arc::clone(&dir))));
        Ok(dir)
    }

    /// What is at `rel`, with the directory it is in; `None` when nothing is, or a directory on the way is none.
    pub(crate) fn find(&mut self, root: &OwnedFd, rel: &Path) -> Result<Option<(Arc<OwnedFd>, Stat)>, Errno> {
        let (parent, name) = at::split(rel).unwrap_or((Path::new(""), at::dot()));
        if matches!(&self.open, Some((path, None)) if path == parent) {
            return Ok(None);
        }
        match self.dir(root, parent) {
            Ok(dir) => Ok(at::forced(&[&dir], || at::stat_opt(&dir, name))?.map(|stat| (dir, stat))),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {
                self.open = Some((parent.to_owned(), None));
                Ok(None)
            }
            Err(errno) => Err(errno),
        }
    }

    /// [`Parents::find`] without the directory.
    pub(crate) fn stat(&mut self, root: &OwnedFd, rel: &Path) -> Result<Option<Stat>, Errno> {
        Ok(self.find(root, rel)?.map(|(_, stat)| stat))
    }

    /// Directories were moved.
    pub(crate) fn forget(&mut self) {
        self.open = None;
    }
}
