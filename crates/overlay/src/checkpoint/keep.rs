//! Keeping what a change is about to overwrite. Each call stands right before the change it belongs to and costs one
//! atomic load as long as there is no checkpoint.

use crate::checkpoint::log::{Attributes, Cell, Record, WORK, Was};
use crate::fs::at::{self, Stat};
use crate::fs::xattr;
use crate::store::Store;
use crate::store::making::Parts;
use crate::view::copy_up;
use crate::view::layers::Layers;
use crate::view::node::{Node, Table};
use model::FilePath;
use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags};
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;

impl Store {
    /// Before the name `dir/name` of the upper layer gets another object, or none.
    pub(crate) fn keep_name(&self, dir: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
        if !self.undo.is_on() {
            return Ok(());
        }
        let number = at::stat(dir, at::dot())?.st_ino;
        if !self.undo.wants(&Cell::Name(number, name), &self.parts()?.origins)? {
            return Ok(());
        }
        let was = Was::of(at::forced(&[dir], || at::stat_opt(dir, name))?.as_ref());
        self.keep_attributes(dir, at::dot())?;
        self.undo.append(&Record::Name { dir: number, name: FilePath::new(name), was })
    }

    /// Before a link to a copied-up file is made in `work`.
    pub(crate) fn keep_index(&self, name: &OsStr) -> Result<(), Errno> {
        if !self.undo.is_on() || !self.undo.wants(&Cell::Name(WORK, name), &self.parts()?.origins)? {
            return Ok(());
        }
        let was = Was::of(at::stat_opt(&self.parts()?.work, name)?.as_ref());
        self.undo.append(&Record::Name { dir: WORK, name: FilePath::new(name), was })
    }

    /// Before owner, mode, times or extended attributes of the upper object `dir/name` change.
    pub(crate) fn keep_attributes(&self, dir: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
        if !self.undo.is_on() {
            return Ok(());
        }
        let stat = at::forced(&[dir], || at::stat(dir, name))?;
        if self.is_nowhere(&stat, name) || !self.undo.wants(&Cell::Attributes(stat.st_ino), &self.parts()?.origins)? {
            return Ok(());
        }
        let record = Record::Attributes(Attributes {
            ino: stat.st_ino,
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            atime: (stat.st_atime, stat.st_atime_nsec),
            mtime: (stat.st_mtime, stat.st_mtime_nsec),
            xattrs: all_xattrs(dir, name, &stat)?,
        });
        self.undo.append(&record)
    }

    /// Before the content of the upper file `dir/name` changes.
    pub(crate) fn keep_content(&self, dir: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
        if !self.undo.is_on() {
            return Ok(());
        }
        self.keep_attributes(dir, name)?;
        let stat = at::forced(&[dir], || at::stat(dir, name))?;
        if self.is_nowhere(&stat, name) || !self.undo.wants(&Cell::Content(stat.st_ino), &self.parts()?.origins)? {
            return Ok(());
        }
        let copy = format!("c{}-{}", self.undo.generation(), stat.st_ino);
        self.copy_aside(dir, name, stat.st_size, OsStr::new(&copy))?;
        self.undo.append(&Record::Content { ino: stat.st_ino, copy })
    }

    /// Copies whole or not at all. Where the file system shares blocks, copy_file_range(2) does not copy.
    fn copy_aside(&self, dir: &OwnedFd, name: &OsStr, size: i64, copy: &OsStr) -> Result<(), Errno> {
        let (spare, work) = (OsString::from(self.fresh_name()), &self.parts()?.work);
        let make = || {
            let source = File::from(at::forced(&[dir], || at::open_own(dir, name, OFlag::O_RDONLY))?);
            let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
            let target = File::from(at::open_file(work, &spare, flags, 0o600)?);
            copy_up::copy_content(&source, &target, size)?;
            at::rename(work, &spare, work, copy, RenameFlags::RENAME_NOREPLACE)
        };
        let made = make().inspect_err(|_| crate::fs::remove::leftover(work, &spare));
        // A try before this one failed at the record: nothing was changed since.
        if made == Err(Errno::EEXIST) { Ok(()) } else { made }
    }

    /// Before the name of an upper object goes: one that a checkpoint holds gets a name in `work` if it has no other.
    pub(crate) fn keep_alive(&self, dir: &OwnedFd, name: &OsStr, stat: &Stat) -> Result<(), Errno> {
        if !self.must_stay(stat) {
            return Ok(());
        }
        match at::forced(&[dir], || at::link(dir, name, &self.parts()?.work, OsStr::new(&kept_name(stat.st_ino)))) {
            Err(Errno::EEXIST) => Ok(()),
            other => other,
        }
    }

    /// The name in `work` for an object that loses its name in the view.
    pub(crate) fn grave(&self, stat: &Stat) -> OsString {
        OsString::from(if self.must_stay(stat) { kept_name(stat.st_ino) } else { self.fresh_name() })
    }

    /// Takes away the name in `work` that an open file had. It may have become the last one of an object that had others
    /// when it was made, and that a checkpoint holds: then it is one of those from now on.
    pub(crate) fn close_grave(&self, name: &OsStr) -> Result<(), Errno> {
        let work = &self.parts()?.work;
        let Some(stat) = at::stat_opt(work, name)? else { return Ok(()) };
        if !self.must_stay(&stat) {
            return at::unlink_opt(work, name);
        }
        self.keep_grave(name, stat.st_ino)
    }

    /// From now on it is one that only a checkpoint holds.
    fn keep_grave(&self, name: &OsStr, ino: u64) -> Result<(), Errno> {
        let kept = OsString::from(kept_name(ino));
        let work = &self.parts()?.work;
        at::rename(work, name, work, &kept, RenameFlags::RENAME_NOREPLACE)
    }

    /// [`Store::close_grave`] for what an earlier process had open when it ended: of that, what a checkpoint names.
    pub(crate) fn rescue_graves(&self) -> Result<(), Errno> {
        let graves = if self.undo.is_on() { self.work_names(b't')? } else { Vec::new() };
        if graves.is_empty() {
            return Ok(());
        }
        let held = |record: Record| match record {
            Record::Name { was: Was::Object(ino), .. } => Some(ino),
            _ => None,
        };
        let held: HashSet<u64> = self.undo.records(0, None)?.into_iter().filter_map(held).collect();
        // An object may lie in several graves: one is enough to keep it, if it has no other name.
        let mut lying: HashMap<u64, Vec<OsString>> = HashMap::new();
        for name in graves {
            if let Some(stat) = at::stat_opt(&self.parts()?.work, &name)?.filter(|stat| held.contains(&stat.st_ino)) {
                lying.entry(stat.st_ino).or_default().push(name);
            }
        }
        for (ino, names) in lying {
            let Some(name) = names.first() else { continue };
            let links = at::stat(&self.parts()?.work, name)?.st_nlink;
            if usize::try_from(links).is_ok_and(|links| links == names.len()) {
                self.keep_grave(name, ino)?;
            }
        }
        Ok(())
    }

    /// Whether a checkpoint holds the object and nothing else does.
    pub(crate) fn must_stay(&self, stat: &Stat) -> bool {
        let last = at::is_dir(stat) || stat.st_nlink == 1;
        self.undo.is_on() && last && !self.undo.is_born(stat.st_ino)
    }

    /// Whether an object is only open any more: no checkpoint holds it, else it would lie in another grave.
    fn is_nowhere(&self, stat: &Stat, name: &OsStr) -> bool {
        if stat.st_nlink == 0 {
            return true;
        }
        let spare = name.as_encoded_bytes().first() == Some(&b't') && stat.st_nlink == 1;
        let lies = |parts: &Parts| {
            at::stat_opt(&parts.work, name).is_ok_and(|own| own.is_some_and(|own| own.st_ino == stat.st_ino))
        };
        spare && self.made().is_some_and(lies)
    }
}

impl Layers {
    /// Takes a checkpoint of the layer as it is between two requests; its number, counted from 1.
    /// `effects` is the length of the journal of effects.
    pub(crate) fn checkpoint(&self, effects: u64) -> Result<u64, Errno> {
        let _at_rest = self.store.undo.at_rest();
        let _table = self.changing()?;
        let parts = self.store.parts()?;
        self.store.undo.checkpoint(&parts.dir, &parts.origins, effects)
    }

    /// Whether the content of `node` may be written without keeping it first.
    pub(crate) fn is_kept(&self, node: &Node) -> bool {
        node.kept == self.store.undo.generation()
    }

    /// Before the content of `number`, which is in the upper layer, changes.
    pub(crate) fn keep_content(&self, table: &mut Table, number: u64) -> Result<(), Errno> {
        if !self.store.undo.is_on() {
            return Ok(());
        }
        let (dir, name) = self.locate(table, table.get(number)?)?;
        self.store.keep_content(&dir, &name)?;
        // Only now: keeping may have begun a generation.
        table.get_mut(number)?.kept = self.store.undo.generation();
        Ok(())
    }
}

/// The name in `work` of an object that only a checkpoint holds.
pub(crate) fn kept_name(ino: u64) -> String {
    format!("k{ino}")
}

/// Whether a grave outlives those who have the object open.
pub(crate) fn is_kept_name(name: &str) -> bool {
    name.starts_with('k')
}

/// Every attribute of an upper object, whatever its mode.
fn all_xattrs(dir: &OwnedFd, name: &OsStr, stat: &Stat) -> Result<Vec<(FilePath, Vec<u8>)>, Errno> {
    if !matches!(at::kind_of(stat), libc::S_IFREG | libc::S_IFDIR) {
        return Ok(Vec::new());
    }
    with_rights(dir, name, stat, || xattr::everything(dir, name)).map(|all| {
        let named = |(name, value): (OsString, Vec<u8>)| (FilePath::new(name), value);
        all.into_iter().map(named).collect()
    })
}

/// Runs `op`; where the object's mode forbids it to us, once more with its owner's rights added.
pub(crate) fn with_rights<T>(
    dir: &OwnedFd,
    name: &OsStr,
    stat: &Stat,
    op: impl Fn() -> Result<T, Errno>,
) -> Result<T, Errno> {
    match op() {
        Err(Errno::EACCES) => {}
        other => return other,
    }
    at::chmod(dir, name, (stat.st_mode & 0o7777) | 0o700)?;
    let result = op();
    at::chmod(dir, name, stat.st_mode & 0o7777)?;
    result
}
