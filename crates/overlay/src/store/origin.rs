//! Pre-image identities: what the host had under a name when the jar first covered it.
//!
//! Symbolic links and whiteouts cannot carry user attributes, so the records stand in one append-only file beside the
//! tree. A record is written before the change it belongs to; a torn last line therefore belongs to a change that
//! never happened. A missing record is a conflict at apply, never a silent overwrite.

use crate::fs::at::Stat;
use model::FilePath;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Enough of stat(2) to tell whether a host file is still the same, unchanged one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: i64,
    pub(crate) mtime: (i64, i64),
    pub(crate) ctime: (i64, i64),
}

impl Identity {
    pub(crate) fn of(stat: &Stat) -> Identity {
        Identity {
            dev: stat.st_dev,
            ino: stat.st_ino,
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: stat.st_size,
            mtime: (stat.st_mtime, stat.st_mtime_nsec),
            ctime: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// Whether `stat` is the same object, unchanged. A directory changes with every name in it, so there only its own
    /// mode and owner count. Device numbers are left out: they may differ after a reboot, and inode number and
    /// change time in nanoseconds tell enough.
    pub(crate) fn matches(&self, stat: &Stat) -> bool {
        let now = Identity::of(stat);
        let same = self.ino == now.ino && self.mode == now.mode && self.uid == now.uid && self.gid == now.gid;
        let directory = self.mode & libc::S_IFMT == libc::S_IFDIR;
        same && (directory || (self.size == now.size && self.mtime == now.mtime && self.ctime == now.ctime))
    }
}

/// One line of the file.
#[derive(Serialize, Deserialize)]
struct Record {
    /// Path below the root, in the lower layer.
    path: FilePath,
    /// `None` takes the record back (the path was applied).
    was: Option<Identity>,
}

/// The records of one overlay.
pub(crate) struct Origins {
    file: File,
    known: Mutex<BTreeMap<PathBuf, Identity>>,
}

impl Origins {
    /// Reads what an earlier process recorded; `file` is opened for reading and appending.
    pub(crate) fn load(file: File, text: &[u8]) -> Result<Origins, String> {
        let mut known = BTreeMap::new();
        for line in text.split_inclusive(|b| *b == b'\n').filter(|line| line.ends_with(b"\n")) {
            let record: Record = serde_json::from_slice(line).map_err(|e| e.to_string())?;
            let path = record.path.as_path().to_owned();
            match record.was {
                Some(was) => known.insert(path, was),
                None => known.remove(&path),
            };
        }
        Ok(Origins { file, known: Mutex::new(known) })
    }

    /// Remembers what `stat` says the host has at `rel`, unless an earlier change already did.
    pub(crate) fn cover(&self, rel: &Path, stat: &Stat) -> Result<(), Errno> {
        let mut known = self.lock();
        if known.contains_key(rel) {
            return Ok(());
        }
        let was = Identity::of(stat);
        self.append(&Record { path: FilePath::from(rel), was: Some(was) })?;
        known.insert(rel.to_owned(), was);
        Ok(())
    }

    /// What the host had at `rel`.
    pub(crate) fn get(&self, rel: &Path) -> Option<Identity> {
        self.lock().get(rel).copied()
    }

    /// Where regular files were recorded, below the root in the lower layer, by inode number.
    pub(crate) fn files(&self) -> HashMap<u64, PathBuf> {
        let known = self.lock();
        let files = known.iter().filter(|(_, was)| was.mode & libc::S_IFMT == libc::S_IFREG);
        files.map(|(path, was)| (was.ino, path.clone())).collect()
    }

    /// Takes back the records of `rel` and, with `below`, of all under it.
    pub(crate) fn forget(&self, rel: &Path, below: bool) -> Result<(), Errno> {
        let mut known = self.lock();
        // Paths sort by component, so what lies below one stands right behind it.
        let from_here = known.range(rel.to_owned()..).map(|(path, _)| path);
        let gone: Vec<PathBuf> =
            from_here.take_while(|path| if below { path.starts_with(rel) } else { *path == rel }).cloned().collect();
        for path in gone {
            self.append(&Record { path: FilePath::from(path.as_path()), was: None })?;
            known.remove(&path);
        }
        Ok(())
    }

    /// Gives every record of the object `was` the state `now`: renaming a file, by one of its names or there and
    /// back, moves its change time although nobody changed it. Change times are therefore not held against `was`.
    pub(crate) fn renew(&self, was: &Identity, now: &Stat) -> Result<(), Errno> {
        let now = Identity::of(now);
        let mut known = self.lock();
        let state = |identity: &Identity| Identity { ctime: (0, 0), ..*identity };
        let same = |identity: &Identity| state(identity) == state(was) && *identity != now;
        for (path, identity) in known.iter_mut().filter(|(_, identity)| same(identity)) {
            self.append(&Record { path: FilePath::from(path.as_path()), was: Some(now) })?;
            *identity = now;
        }
        Ok(())
    }

    fn append(&self, record: &Record) -> Result<(), Errno> {
        let mut line = serde_json::to_vec(record).map_err(|_| Errno::EIO)?;
        line.push(b'\n');
        // One write(2) with O_APPEND: the line is there whole or, after a full disk, torn and without its newline.
        (&self.file).write_all(&line).map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Identity>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The value of `user.belljar.origin` on a copied-up file or directory: which lower object it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) ctime: (i64, i64),
}

impl Origin {
    pub(crate) fn of(stat: &Stat) -> Origin {
        Origin { dev: stat.st_dev, ino: stat.st_ino, ctime: (stat.st_ctime, stat.st_ctime_nsec) }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        format!("{}:{}:{}:{}", self.dev, self.ino, self.ctime.0, self.ctime.1).into_bytes()
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Origin> {
        let mut parts = std::str::from_utf8(value).ok()?.split(':');
        let origin = Origin {
            dev: parts.next()?.parse().ok()?,
            ino: parts.next()?.parse().ok()?,
            ctime: (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?),
        };
        parts.next().is_none().then_some(origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_round_trips_and_nonsense_is_refused() {
        let origin = Origin { dev: 5, ino: 77, ctime: (1_700_000_000, 123) };
        assert_eq!(Origin::decode(&origin.encode()), Some(origin));
        for bad in [b"".as_slice(), b"1:2", b"1:2:3:4:5", b"a:b:c:d", b"\xff"] {
            assert_eq!(Origin::decode(bad), None);
        }
    }
}
