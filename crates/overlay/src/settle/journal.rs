//! The journal of one apply: the whole plan, synced before the first step, and what became of it since.
//!
//! A step is recognised by the inode numbers in it, so running the plan again after a crash does what is left and
//! nothing twice. When all is done the journal is kept beside the pre-images, for undo.

use crate::fs::at;
use crate::fs::errno_of;
use crate::settle::keep::{self, Before};
use crate::settle::times::Time;
use crate::store::origin::Identity;
use crate::store::{Store, write_durably};
use model::FilePath;
use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;

/// The plan, in the store directory.
pub(super) const PLAN: &str = "journal.json";
/// What became of it, one JSON object per line.
const PROGRESS: &str = "progress";

/// One kind of change to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    /// A host directory that will be renamed leaves its old place.
    Stash,
    /// It arrives at its new one; `stash` is the step that took it away.
    Place {
        /// Number of that step.
        stash: u32,
    },
    /// An upper object takes its place on the host, whole.
    Put,
    /// A directory is made whose content follows in other steps.
    Make,
    /// A directory gets owner, mode and attributes of its upper half.
    Attributes,
    /// A host object leaves.
    Remove,
}

/// One reversible step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) number: u32,
    pub(crate) action: Action,
    /// Path below the root, of the host and of the upper layer alike; for a stash the old place.
    pub(crate) path: FilePath,
    /// Where the host object is before anything is renamed.
    pub(crate) lower: FilePath,
    /// Store and target share a file system: no copy is needed.
    pub(crate) near: bool,
    /// What the host has there now.
    pub(crate) host: Option<Identity>,
    /// Inode number of the upper object.
    pub(crate) own: Option<u64>,
    /// The host's attributes before [`Action::Attributes`].
    pub(crate) xattrs: Vec<(FilePath, Vec<u8>)>,
    /// For [`Action::Put`] of a composed file: where that is.
    #[serde(default)]
    pub(crate) part: Option<Part>,
}

/// A composed file that is put in place of the layer's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Name in the store's `work`.
    pub(crate) name: String,
    /// The layer's own file stays, since the rest of its change waits.
    pub(crate) rest_waits: bool,
}

impl Step {
    /// It made some hunks real and the rest waits.
    pub(crate) fn leaves_rest(&self) -> bool {
        self.part.as_ref().is_some_and(|part| part.rest_waits)
    }
}

/// A plan as it stands in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Journal {
    /// Directory under `pre` for the pre-images.
    pub(crate) serial: u32,
    /// How many changes it makes real.
    pub(crate) changes: u64,
    /// Set-id bits may become real.
    pub(crate) allow_setid: bool,
    pub(crate) steps: Vec<Step>,
    /// What undo needs beyond the steps.
    pub(crate) before: Before,
    /// For when all of them are done.
    #[serde(default)]
    pub(crate) times: Vec<Time>,
}

/// One line of progress.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    /// The copy for this step is whole and has this inode number.
    Staged(u32, u64),
    /// All steps are done; what follows only tidies up.
    Committed,
}

/// What became of a journal so far.
pub(crate) struct Progress {
    /// Inode numbers of the whole copies, by step.
    pub(crate) staged: HashMap<u32, u64>,
    pub(crate) committed: bool,
    file: File,
}

impl Progress {
    /// Begins an empty one.
    pub(crate) fn begin(store: &Store) -> Result<Progress, Errno> {
        at::unlink_opt(&store.parts()?.dir, OsStr::new(PROGRESS))?;
        Ok(Progress { staged: HashMap::new(), committed: false, file: open_progress(store)? })
    }

    /// Reads what an earlier process wrote; a torn last line is cut off.
    pub(crate) fn load(store: &Store) -> Result<Progress, Errno> {
        let mut progress = Progress { staged: HashMap::new(), committed: false, file: open_progress(store)? };
        let mut bytes = Vec::new();
        progress.file.read_to_end(&mut bytes).map_err(|e| errno_of(&e))?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        if whole < bytes.len() {
            progress.file.set_len(u64::try_from(whole).unwrap_or(0)).map_err(|e| errno_of(&e))?;
        }
        for line in bytes.get(..whole).unwrap_or_default().split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line).map_err(|_| Errno::EUCLEAN)? {
                Line::Staged(step, ino) => drop(progress.staged.insert(step, ino)),
                Line::Committed => progress.committed = true,
            }
        }
        Ok(progress)
    }

    /// Remembers that the copy for `step` is whole.
    pub(crate) fn staged(&mut self, step: u32, ino: u64) -> Result<(), Errno> {
        self.append(Line::Staged(step, ino))?;
        self.staged.insert(step, ino);
        Ok(())
    }

    /// From here on the work counts as done.
    pub(crate) fn commit(&mut self) -> Result<(), Errno> {
        self.append(Line::Committed)?;
        self.committed = true;
        Ok(())
    }

    /// When the last line was written, by the clock of the file system.
    pub(crate) fn written(&self) -> Result<(i64, i64), Errno> {
        let stat = nix::sys::stat::fstat(&self.file)?;
        Ok((stat.st_mtime, stat.st_mtime_nsec))
    }

    fn append(&mut self, line: Line) -> Result<(), Errno> {
        let mut bytes = serde_json::to_vec(&line).map_err(|_| Errno::EIO)?;
        bytes.push(b'\n');
        let before = self.file.metadata().map_err(|e| errno_of(&e))?.len();
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        written.map_err(|error| {
            // Half a line would swallow the next one. Where even this fails, the next reader cuts it off.
            let _ = self.file.set_len(before);
            errno_of(&error)
        })
    }

    /// Nothing is left to do.
    pub(crate) fn end(store: &Store) -> Result<(), Errno> {
        at::unlink_opt(&store.parts()?.dir, OsStr::new(PROGRESS))
    }
}

/// A journal with its progress.
pub(crate) struct Running {
    pub(crate) journal: Journal,
    pub(crate) progress: Progress,
}

impl Running {
    /// Writes the plan so that it survives a crash, before anything of the host is touched.
    pub(crate) fn begin(store: &Store, journal: Journal) -> Result<Running, Errno> {
        let bytes = serde_json::to_vec(&journal).map_err(|_| Errno::EIO)?;
        let progress = Progress::begin(store)?;
        write_durably(&store.parts()?.dir, PLAN, &bytes)?;
        Ok(Running { journal, progress })
    }

    /// The apply that was begun and not finished, if there is one.
    pub(crate) fn load(store: &Store) -> Result<Option<Running>, Errno> {
        let Some(parts) = store.made() else { return Ok(None) };
        let Some(journal) = read_json(&parts.dir, PLAN)? else {
            return Ok(None);
        };
        Ok(Some(Running { journal, progress: Progress::load(store)? }))
    }

    /// Whether one is begun; cheap.
    pub(crate) fn exists(store: &Store) -> Result<bool, Errno> {
        store.has(PLAN)
    }

    /// The apply was taken back: nothing is left of it.
    pub(crate) fn forget(store: &Store) -> Result<(), Errno> {
        at::unlink_opt(&store.parts()?.dir, OsStr::new(PLAN))?;
        Progress::end(store)
    }

    /// The apply is done; its journal goes to its pre-images, in one step.
    pub(crate) fn keep(store: &Store, pre: &OwnedFd) -> Result<(), Errno> {
        at::rename(&store.parts()?.dir, OsStr::new(PLAN), pre, OsStr::new(keep::PLAN), RenameFlags::empty())?;
        Progress::end(store)
    }
}

/// A file of ours with one JSON document; `None` when it is not there.
pub(crate) fn read_json<T: DeserializeOwned>(dir: &OwnedFd, name: &str) -> Result<Option<T>, Errno> {
    let mut bytes = Vec::new();
    match at::open_file(dir, OsStr::new(name), OFlag::O_RDONLY, 0) {
        Ok(file) => File::from(file).read_to_end(&mut bytes).map_err(|e| errno_of(&e))?,
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|_| Errno::EUCLEAN)
}

fn open_progress(store: &Store) -> Result<File, Errno> {
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_APPEND;
    at::open_file(&store.parts()?.dir, OsStr::new(PROGRESS), flags, 0o600).map(File::from)
}
