//! The layer of a store comes into being with the first request that has to write into it: most trials change nothing
//! under most of their roots, and making and removing a layer takes longer than many commands do.
//!
//! It is put together beside its place and put there by one rename(2). So a layer that is there is whole, and what a
//! process that was killed over it leaves is nothing but rubbish, which the next one to make it removes. What its root
//! is a copy of was looked at when the view began, so that nothing the host changes between that and the first write
//! passes for what the command saw.

use crate::error::OverlayError;
use crate::fs::at::{self, Stat};
use crate::fs::{errno_of, remove, xattr};
use crate::store::origin::{Identity, Origins};
use crate::store::{Saved, Store, WHITEOUT, io_error, store_error};
use crate::view::copy_up::{self, Purpose};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, RenameFlags};
use nix::sys::statvfs::Statvfs;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};

/// What it is made from, with the lock on it.
const META: &str = "meta.json";

/// A layer on the disk.
pub(crate) struct Parts {
    pub(crate) dir: OwnedFd,
    pub(crate) upper: OwnedFd,
    /// One directory for all that is no part of the layer, told apart by the first letter of its name; a directory
    /// more would cost every start. `t`: objects prepared before a rename puts them in place, and files that were
    /// unlinked while the child may still have them open. `l`: hard links to copied-up files whose lower had several
    /// names. `w`: the shared whiteout. `k` and `c`: objects and contents that only a checkpoint holds.
    pub(crate) work: OwnedFd,
    pub(crate) origins: Origins,
}

/// What a layer that is not there yet will be made from.
pub(crate) struct Begun {
    pub(crate) saved: Arc<Saved>,
    /// The root of the host as it was when the view began.
    pub(crate) root: Stat,
    /// Its attributes then.
    xattrs: Vec<(OsString, Vec<u8>)>,
}

impl Begun {
    pub(crate) fn at(root: &OwnedFd, saved: Arc<Saved>) -> Result<Begun, Errno> {
        Ok(Begun { saved, root: at::stat(root, at::dot())?, xattrs: xattr::all_foreign(root, at::dot())? })
    }
}

/// Who has the store, in this process.
#[derive(Default)]
pub(crate) enum Hold {
    #[default]
    Free,
    /// With the lock that tells others, from the moment the layer is there.
    Taken(Option<Flock<File>>),
}

/// A store that is taken for serving or applying. It is free again when this is dropped, or the process dies.
pub(crate) struct Taken(Arc<Store>);

impl Drop for Taken {
    fn drop(&mut self) {
        *self.0.hold() = Hold::Free;
    }
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Taken").field(&self.0.path).finish()
    }
}

impl Store {
    /// The layer, if there is one.
    pub(crate) fn made(&self) -> Option<&Parts> {
        self.made.get()
    }

    /// The layer, which is made now if there is none. Where that fails nothing is left, and it can be tried again.
    pub(crate) fn parts(&self) -> Result<&Parts, Errno> {
        self.ensure().map_err(|error| match error {
            OverlayError::Store { source, .. }
            | OverlayError::Attributes { source, .. }
            | OverlayError::Whiteouts { source, .. } => source,
            _ => Errno::EIO,
        })
    }

    /// What the host had at `rel`, in the lower layer, when a change covered it.
    pub(crate) fn recorded(&self, rel: &Path) -> Option<Identity> {
        self.made()?.origins.get(rel)
    }

    /// [`Store::parts`], and what was being made when that failed.
    pub(crate) fn ensure(&self) -> Result<&Parts, OverlayError> {
        if let Some(parts) = self.made.get() {
            return Ok(parts);
        }
        let mut hold = self.hold();
        // Of several that need it at once, the first has made it.
        if let Some(parts) = self.made.get() {
            return Ok(parts);
        }
        let begun = self.begun.as_ref().ok_or_else(|| store_error(&self.path, Errno::ENOENT))?;
        let (parts, lock) = make(&self.path, begun, &|| {})?;
        if let Hold::Taken(kept) = &mut *hold {
            *kept = Some(lock);
        }
        Ok(self.made.get_or_init(|| parts))
    }

    /// Takes the store.
    pub(crate) fn lock(self: &Arc<Store>) -> Result<Taken, OverlayError> {
        let mut hold = self.hold();
        if let Hold::Taken(_) = &*hold {
            return Err(OverlayError::Busy { path: self.path.clone() });
        }
        *hold = Hold::Taken(self.made().map(|_| self.lock_file()).transpose()?);
        Ok(Taken(Arc::clone(self)))
    }

    fn lock_file(&self) -> Result<Flock<File>, OverlayError> {
        let path = self.path.join(META);
        let file = File::open(&path).map_err(|e| io_error(&path, &e))?;
        flock(file).map_err(|errno| match errno {
            Errno::EWOULDBLOCK => OverlayError::Busy { path: self.path.clone() },
            other => store_error(&path, other),
        })
    }

    fn hold(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A directory of the file system that the layer is on, or will be.
    pub(crate) fn place(&self) -> Result<OwnedFd, Errno> {
        match self.made() {
            Some(parts) => parts.upper.try_clone().map_err(|e| errno_of(&e)),
            None => at::open_root(self.path.parent().ok_or(Errno::EINVAL)?),
        }
    }

    /// Room on that file system.
    pub(crate) fn disk(&self) -> Result<Statvfs, Errno> {
        nix::sys::statvfs::fstatvfs(self.place()?)
    }
}

/// Where the layer at `path` is put together. No other directory is called so: what is there is removed.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".belljar-new");
    PathBuf::from(beside)
}

/// Makes the layer at `path`, which must not be there or be empty. Nothing is synced: until something is written it
/// holds nothing worth keeping. `fault` is called between the steps.
pub(crate) fn make(path: &Path, begun: &Begun, fault: &dyn Fn()) -> Result<(Parts, Flock<File>), OverlayError> {
    let failed = |source| store_error(path, source);
    let new = beside(path);
    let (Some(parent), Some(name), Some(spare)) = (path.parent(), path.file_name(), new.file_name()) else {
        return Err(failed(Errno::EINVAL));
    };
    let parent = at::open_root(parent).map_err(failed)?;
    // Of one who was killed over it.
    remove::tree(&parent, spare).map_err(failed)?;
    let put = |made| {
        at::rename(&parent, spare, &parent, name, RenameFlags::empty()).map_err(|errno| match errno {
            // Somebody else has made it, and works with it.
            Errno::ENOTEMPTY | Errno::EEXIST => failed(Errno::EBUSY),
            other => failed(other),
        })?;
        fault();
        Ok(made)
    };
    let made = assemble(&new, begun, fault).and_then(put);
    // On a full disk half a layer takes the room that the next step needs.
    made.inspect_err(|_| remove::leftover(&parent, spare))
}

fn assemble(new: &Path, begun: &Begun, fault: &dyn Fn()) -> Result<(Parts, Flock<File>), OverlayError> {
    make_dirs(new, fault)?;
    let meta = new.join(META);
    let json = serde_json::to_vec(&*begun.saved).map_err(|e| io_error(&meta, &e.into()))?;
    let file = write_new(&meta, &json)?;
    fault();
    let lock = flock(file).map_err(|e| store_error(&meta, e))?;
    let records = new.join(ORIGINS);
    write_new(&records, b"")?;
    fault();
    let parts = Parts::open(new)?;
    parts.origins.cover(Path::new(""), &begun.root).map_err(|e| store_error(&records, e))?;
    fault();
    parts.show_format().map_err(|wrong| wrong.in_store(new))?;
    fault();
    // With the attributes of the host's root, so that only a change by the child makes them differ.
    let (upper, root, xattrs) = (&parts.upper, &begun.root, begun.xattrs.as_slice());
    copy_up::dress_copy(upper, at::dot(), root, xattrs, Purpose::CopyUp).map_err(|e| store_error(new, e))?;
    fault();
    Ok((parts, lock))
}

/// What the host had under each name that a layer covers.
const ORIGINS: &str = "origins";

impl Parts {
    pub(crate) fn open(path: &Path) -> Result<Parts, OverlayError> {
        let dir = at::open_root(path).map_err(|e| store_error(path, e))?;
        let part = |name: &str| at::open_dir(&dir, OsStr::new(name)).map_err(|e| store_error(&path.join(name), e));
        Ok(Parts {
            upper: part("upper")?,
            work: part("work")?,
            origins: super::open_origins(&path.join(ORIGINS))?,
            dir,
        })
    }

    /// Shows that the file system can hold the format, by making the parts that are needed anyway.
    fn show_format(&self) -> Result<(), Lacks> {
        xattr::set(&self.upper, at::dot(), OsStr::new(xattr::FORMAT), b"1", 0).map_err(Lacks::Attributes)?;
        at::mknod_whiteout(&self.work, OsStr::new(WHITEOUT)).map_err(Lacks::Whiteouts)
    }
}

/// What a file system does not have.
enum Lacks {
    Attributes(Errno),
    Whiteouts(Errno),
}

impl Lacks {
    fn in_store(self, path: &Path) -> OverlayError {
        let path = path.to_owned();
        match self {
            Lacks::Attributes(source) => OverlayError::Attributes { path, source },
            Lacks::Whiteouts(source) => OverlayError::Whiteouts { path, source },
        }
    }
}

/// Shows, in the directory `dir`, that its file system can hold layers: a command must not find out at its first write. A
/// mark on `above`, which lies on the same one, remembers that it was tried out. The mark tells which directory it was
/// put on, so that it means nothing on a copy elsewhere.
pub(crate) fn try_format(dir: &Path, above: &Path) -> Result<(), OverlayError> {
    let failed = |source| store_error(above, source);
    let fd = at::open_root(above).map_err(failed)?;
    let stat = at::stat(&fd, at::dot()).map_err(failed)?;
    let mark = format!("{}:{}", stat.st_dev, stat.st_ino);
    let mut buf = [0; 64];
    if xattr::get_own(&fd, at::dot(), xattr::FORMAT, &mut buf).map_err(failed)? == Some(mark.as_bytes()) {
        return Ok(());
    }
    let (within, name) = (at::open_root(dir).map_err(|e| store_error(dir, e))?, OsStr::new(WHITEOUT));
    at::mknod_whiteout(&within, name).map_err(|e| Lacks::Whiteouts(e).in_store(dir))?;
    at::unlink(&within, name).map_err(|e| store_error(dir, e))?;
    let marked = xattr::set(&fd, at::dot(), OsStr::new(xattr::FORMAT), mark.as_bytes(), 0);
    marked.map_err(|e| Lacks::Attributes(e).in_store(dir))
}

/// Directories for its owner alone, whatever the mode mask: threads that serve have none.
fn make_dirs(path: &Path, fault: &dyn Fn()) -> Result<(), OverlayError> {
    for dir in [path.to_owned(), path.join("upper"), path.join("work")] {
        DirBuilder::new().mode(0o700).create(&dir).map_err(|e| io_error(&dir, &e))?;
        fault();
    }
    Ok(())
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<File, OverlayError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = made.and_then(|mut file| file.write_all(bytes).map(|()| file));
    written.map_err(|e| store_error(path, errno_of(&e)))
}

fn flock(file: File) -> Result<Flock<File>, Errno> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)
}
