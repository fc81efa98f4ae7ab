//! The store directory of one overlay: `upper`, `work`, `meta.json`, `origins` and, during an apply, its journal.

pub(crate) mod base;
pub(crate) mod budget;
pub(crate) mod making;
pub(crate) mod origin;

use crate::checkpoint::log::Undo;
use crate::error::OverlayError;
use crate::fs::remove;
use crate::fs::{at, errno_of};
use crate::store::base::Bases;
use crate::store::making::{Begun, Hold, Parts};
use crate::store::origin::Origins;
use model::{FilePath, Hidden};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// Version of everything in a store directory.
const FORMAT: u32 = 1;

/// What an overlay is made of.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The host directory that is overlaid: absolute, symbolic links resolved.
    pub root: FilePath,
    /// Where the overlay keeps its layer; created with mode 0700, must not exist or be empty. It is put together beside
    /// it, in a directory of the same name with `.belljar-new` behind it.
    pub dir: PathBuf,
    /// Absolute paths that do not exist for the child.
    pub hidden: Vec<Hidden>,
    /// Other roots mounted over directories inside this one.
    pub nested: Vec<FilePath>,
    /// Names this overlay in what it leaves on the host while it applies; letters, digits, `-` and `_`.
    pub id: String,
}

/// The part of a [`Spec`] that outlives the process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Saved {
    format: u32,
    pub(crate) id: String,
    pub(crate) root: FilePath,
    pub(crate) hidden: Vec<Hidden>,
    pub(crate) nested: Vec<FilePath>,
}

/// The store of one overlay. Nothing of it is on the disk before something is to be kept.
pub(crate) struct Store {
    pub(crate) path: PathBuf,
    made: OnceLock<Parts>,
    /// Where it is made by this process.
    pub(crate) begun: Option<Begun>,
    hold: Mutex<Hold>,
    /// What the checkpoints hold.
    pub(crate) undo: Undo,
    pub(crate) bases: Bases,
    next: AtomicU64,
}

/// The shared whiteout in `work`; every whiteout of the layer is a hard link to it.
const WHITEOUT: &str = "whiteout";

impl Store {
    /// A new store over `root`, of which nothing is on the disk yet.
    pub(crate) fn begin(spec: &Spec, root: &OwnedFd) -> Result<(Store, Arc<Saved>), OverlayError> {
        let saved = Saved {
            format: FORMAT,
            id: spec.id.clone(),
            root: spec.root.clone(),
            hidden: with_store(&spec.hidden, &spec.dir, &spec.root),
            nested: spec.nested.clone(),
        };
        let failed = |source| OverlayError::Root { path: spec.root.clone(), source };
        let saved = Arc::new(saved);
        let begun = Begun::at(root, Arc::clone(&saved)).map_err(failed)?;
        Ok((Store::over(&spec.dir, OnceLock::new(), Some(begun)), saved))
    }

    fn over(path: &Path, made: OnceLock<Parts>, begun: Option<Begun>) -> Store {
        Store {
            path: path.to_owned(),
            made,
            begun,
            hold: Mutex::default(),
            undo: Undo::default(),
            bases: Bases::default(),
            next: AtomicU64::new(1),
        }
    }

    /// Opens a store an earlier process left, however that ended.
    pub(crate) fn open(dir: &Path) -> Result<(Store, Saved), OverlayError> {
        let meta = dir.join("meta.json");
        let text = std::fs::read(&meta).map_err(|e| io_error(&meta, &e))?;
        let saved: Saved = serde_json::from_slice(&text).map_err(|e| damaged(&meta, e))?;
        if saved.format != FORMAT {
            return Err(damaged(&meta, format!("format {} instead of {FORMAT}", saved.format)));
        }
        let parts = Parts::open(dir)?;
        let undo = Undo::open(&parts.dir).map_err(|e| store_error(dir, e))?;
        let store = Store { undo, ..Store::over(dir, OnceLock::from(parts), None) };
        store.skip_used_names().map_err(|e| store_error(dir, e))?;
        Ok((store, saved))
    }

    /// Whether the file `name` is in the store directory.
    pub(crate) fn has(&self, name: &str) -> Result<bool, Errno> {
        let Some(parts) = self.made() else { return Ok(false) };
        Ok(at::stat_opt(&parts.dir, OsStr::new(name))?.is_some())
    }

    /// The journal of effects, ready to be appended to behind a whole line.
    pub(crate) fn open_effects(&self) -> std::io::Result<File> {
        use std::os::unix::fs::OpenOptionsExt as _;
        self.parts().map_err(std::io::Error::from)?;
        let path = self.path.join(crate::effects::journal::NAME);
        // By whoever notes the first effect: threads that serve have no mode mask.
        let mut file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        if file.metadata()?.len() > 0 {
            // A killed run may have left half a line; an empty one harms nobody.
            file.write_all(b"\n")?;
        }
        Ok(file)
    }

    /// Length of the journal of effects.
    pub(crate) fn effects_bytes(&self) -> Result<u64, Errno> {
        let Some(parts) = self.made() else { return Ok(0) };
        let stat = at::stat_opt(&parts.dir, OsStr::new(crate::effects::journal::NAME))?;
        Ok(stat.map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0)))
    }

    /// Forgets the effects behind the first `bytes`: what they tell of was taken back.
    pub(crate) fn cut_effects(&self, bytes: u64) -> Result<(), Errno> {
        if self.effects_bytes()? <= bytes {
            return Ok(());
        }
        let file = at::open_file(&self.parts()?.dir, OsStr::new(crate::effects::journal::NAME), OFlag::O_WRONLY, 0)?;
        File::from(file).set_len(bytes).map_err(|e| errno_of(&e))
    }

    /// A name in `work` that nobody uses.
    pub(crate) fn fresh_name(&self) -> String {
        format!("t{}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// What an earlier process left in `work` keeps its names until it is cleaned away.
    fn skip_used_names(&self) -> Result<(), Errno> {
        let names = self.work_names(b't')?;
        let number = |name: &OsString| name.to_str()?.strip_prefix('t')?.parse::<u64>().ok();
        let last = names.iter().filter_map(number).max().unwrap_or(0);
        self.next.store(last.saturating_add(1), Ordering::Relaxed);
        Ok(())
    }

    /// Removes what a killed process left half-made. Only while the store is locked.
    pub(crate) fn clean_work(&self) -> Result<(), Errno> {
        let Some(parts) = self.made() else { return Ok(()) };
        self.rescue_graves()?;
        // What was kept for checkpoints that were forgotten is of no use either.
        let useless: &[u8] = if self.undo.is_on() { b"t" } else { b"tkc" };
        for entry in at::list_own(&parts.work)? {
            if entry.name.as_encoded_bytes().first().is_some_and(|first| useless.contains(first)) {
                remove::tree(&parts.work, &entry.name)?;
            }
        }
        Ok(())
    }

    /// Names of the links to copied-up files whose lower had several names, as [`index_name`] makes them.
    ///
    /// [`index_name`]: crate::view::copy_up::index_name
    pub(crate) fn link_names(&self) -> Result<Vec<OsString>, Errno> {
        self.work_names(b'l')
    }

    pub(crate) fn work_names(&self, first: u8) -> Result<Vec<OsString>, Errno> {
        let Some(parts) = self.made() else { return Ok(Vec::new()) };
        let names = at::list_own(&parts.work)?.into_iter().map(|entry| entry.name);
        Ok(names.filter(|name| name.as_encoded_bytes().first() == Some(&first)).collect())
    }

    /// Puts a whiteout at `dir/name`, over whatever non-directory stands there.
    pub(crate) fn whiteout(&self, dir: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
        self.keep_name(dir, name)?;
        match self.link_whiteout(dir, name) {
            Err(Errno::EEXIST) => {}
            other => return other,
        }
        let (spare, work) = (self.fresh_name(), &self.parts()?.work);
        let spare = OsStr::new(&spare);
        self.link_whiteout(work, spare)?;
        let put = || at::rename(work, spare, dir, name, nix::fcntl::RenameFlags::empty());
        at::forced(&[dir], put).inspect_err(|_| remove::leftover(work, spare))?;
        // rename(2) does nothing when both names are links to one inode, which two whiteouts are.
        at::unlink_opt(work, spare)
    }

    pub(crate) fn link_whiteout(&self, dir: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
        let (shared, work) = (OsStr::new(WHITEOUT), &self.parts()?.work);
        let link = || at::forced(&[dir], || at::link(work, shared, dir, name));
        match link() {
            Err(Errno::EMLINK | Errno::ENOENT) => {
                at::unlink_opt(work, shared)?;
                at::mknod_whiteout(work, shared)?;
                link()
            }
            other => other,
        }
    }
}

/// The store may lie inside the root it serves; the child must never see it, nor how it is made.
pub(crate) fn with_store(hidden: &[Hidden], dir: &Path, root: &FilePath) -> Vec<Hidden> {
    let mut hidden = hidden.to_vec();
    let own = [FilePath::from(dir), FilePath::from(making::beside(dir))];
    let inside = own.into_iter().filter(|own| own.starts_with(root));
    hidden.extend(inside.map(|path| Hidden { path, rule: "belljar/state".into() }));
    hidden
}

fn open_origins(path: &Path) -> Result<Origins, OverlayError> {
    let mut file = std::fs::OpenOptions::new().read(true).append(true).open(path).map_err(|e| io_error(path, &e))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(|e| io_error(path, &e))?;
    let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    if whole < text.len() {
        file.set_len(u64::try_from(whole).unwrap_or(0)).map_err(|e| io_error(path, &e))?;
    }
    Origins::load(file, &text).map_err(|e| damaged(path, e))
}

/// Writes `name` in `dir` so that after a crash it is there whole or not at all.
pub(crate) fn write_durably(dir: &OwnedFd, name: &str, bytes: &[u8]) -> Result<(), Errno> {
    let spare = format!("t{name}");
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC;
    let mut file = File::from(at::open_file(dir, OsStr::new(&spare), flags, 0o600)?);
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    // On a full disk half a file takes the room that the next step needs.
    written.map_err(|e| errno_of(&e)).inspect_err(|_| remove::leftover(dir, OsStr::new(&spare)))?;
    at::rename(dir, OsStr::new(&spare), dir, OsStr::new(name), nix::fcntl::RenameFlags::empty())?;
    sync_dir(dir)
}

/// fsync(2) of a directory given by an `O_PATH` descriptor.
pub(crate) fn sync_dir(dir: &OwnedFd) -> Result<(), Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    nix::unistd::fsync(at::open_file(dir, at::dot(), flags, 0)?)
}

fn io_error(path: &Path, error: &std::io::Error) -> OverlayError {
    store_error(path, errno_of(error))
}

pub(crate) fn store_error(path: &Path, source: Errno) -> OverlayError {
    OverlayError::Store { path: path.to_owned(), source }
}

fn damaged(path: &Path, why: impl ToString) -> OverlayError {
    OverlayError::Damaged { path: path.to_owned(), why: why.to_string() }
}
