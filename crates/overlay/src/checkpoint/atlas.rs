//! Where every directory of the layer is, and those files that are asked for, by inode number.

use crate::checkpoint::log::WORK;
use crate::fs::at;
use crate::store::Store;
use nix::errno::Errno;
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Directories kept open.
const OPEN_MAX: usize = 128;

/// A name in a directory of the layer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Spot {
    pub(crate) dir: u64,
    pub(crate) name: OsString,
}

/// The map, kept up to date by whoever moves things.
pub(crate) struct Atlas<'a> {
    store: &'a Store,
    root: u64,
    wanted: HashSet<u64>,
    dirs: HashMap<u64, Spot>,
    files: HashMap<u64, HashSet<Spot>>,
    open: HashMap<u64, Arc<OwnedFd>>,
}

impl<'a> Atlas<'a> {
    /// Walks the upper tree and what lies in `work`; of files it remembers those in `wanted`.
    pub(crate) fn new(store: &'a Store, wanted: HashSet<u64>) -> Result<Atlas<'a>, Errno> {
        let root = at::stat(&store.parts()?.upper, at::dot())?.st_ino;
        let (dirs, files, open) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut atlas = Atlas { store, root, wanted, dirs, files, open };
        atlas.walk(root)?;
        for entry in at::list_own(&store.parts()?.work)? {
            if matches!(entry.name.as_encoded_bytes().first(), Some(b'k' | b'l')) {
                atlas.enter(WORK, entry)?.map_or(Ok(()), |dir| atlas.walk(dir))?;
            }
        }
        Ok(atlas)
    }

    fn walk(&mut self, from: u64) -> Result<(), Errno> {
        let mut waiting = vec![from];
        while let Some(dir) = waiting.pop() {
            for entry in at::list_own(&*self.open(dir)?)? {
                waiting.extend(self.enter(dir, entry)?);
            }
        }
        Ok(())
    }

    /// Remembers one name; the number of a directory, which has names in turn.
    fn enter(&mut self, dir: u64, entry: at::Entry) -> Result<Option<u64>, Errno> {
        let (kind, ino) = match entry.kind {
            0 => {
                let fd = self.open(dir)?;
                let stat = at::forced(&[&fd], || at::stat(&*fd, &entry.name))?;
                (at::kind_of(&stat), stat.st_ino)
            }
            kind => (kind, entry.ino),
        };
        let spot = Spot { dir, name: entry.name };
        if kind == libc::S_IFDIR {
            self.dirs.insert(ino, spot);
            return Ok(Some(ino));
        }
        if self.wanted.contains(&ino) {
            self.files.entry(ino).or_default().insert(spot);
        }
        Ok(None)
    }

    /// A directory of the layer, or [`WORK`].
    pub(crate) fn open(&mut self, number: u64) -> Result<Arc<OwnedFd>, Errno> {
        let mut names = Vec::new();
        let mut at_number = number;
        let mut dir = loop {
            if let Some(dir) = self.open.get(&at_number) {
                break Arc::clone(dir);
            }
            if at_number == WORK || at_number == self.root {
                let base = if at_number == WORK { &self.store.parts()?.work } else { &self.store.parts()?.upper };
                break self.remember(at_number, base.try_clone().map_err(|e| crate::fs::errno_of(&e))?);
            }
            let spot = self.dirs.get(&at_number).ok_or(Errno::EUCLEAN)?;
            names.push((at_number, spot.name.clone()));
            at_number = spot.dir;
        };
        for (number, name) in names.into_iter().rev() {
            let opened = at::forced(&[&dir], || at::open_dir(&*dir, &name))?;
            if at::stat(&opened, at::dot())?.st_ino != number {
                return Err(Errno::EUCLEAN);
            }
            dir = self.remember(number, opened);
        }
        Ok(dir)
    }

    fn remember(&mut self, number: u64, dir: OwnedFd) -> Arc<OwnedFd> {
        if self.open.len() >= OPEN_MAX {
            self.open.clear();
        }
        let dir = Arc::new(dir);
        self.open.insert(number, Arc::clone(&dir));
        dir
    }

    /// Where a directory is; `None` for the root, and for what is none.
    pub(crate) fn dir(&self, ino: u64) -> Option<&Spot> {
        self.dirs.get(&ino)
    }

    /// Any name of a file that is asked for.
    pub(crate) fn file(&self, ino: u64) -> Option<&Spot> {
        self.files.get(&ino)?.iter().next()
    }

    /// Directory and name of an object; a directory by itself.
    pub(crate) fn place(&mut self, ino: u64) -> Result<(Arc<OwnedFd>, OsString), Errno> {
        if ino == self.root || self.dirs.contains_key(&ino) {
            return Ok((self.open(ino)?, at::dot().to_owned()));
        }
        let spot = self.file(ino).cloned().ok_or(Errno::EUCLEAN)?;
        Ok((self.open(spot.dir)?, spot.name))
    }

    /// A directory has moved.
    pub(crate) fn dir_moved(&mut self, ino: u64, to: Spot) {
        self.dirs.insert(ino, to);
    }

    /// A file has one more name.
    pub(crate) fn named(&mut self, ino: u64, spot: Spot) {
        if self.wanted.contains(&ino) {
            self.files.entry(ino).or_default().insert(spot);
        }
    }

    /// A file has one name less.
    pub(crate) fn unnamed(&mut self, ino: u64, dir: u64, name: &OsStr) {
        if let Some(spots) = self.files.get_mut(&ino) {
            spots.retain(|spot| spot.dir != dir || spot.name != name);
        }
    }
}
