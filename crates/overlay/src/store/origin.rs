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
use std::ops::Bound;
use std::os::unix::fs::FileExt as _;
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

    /// Stands for something that is known to be gone: nothing matches it, as no object has inode number 0.
    pub(crate) fn lost() -> Identity {
        let never = (0, 0);
        Identity { dev: 0, ino: 0, mode: 0, uid: 0, gid: 0, size: 0, mtime: never, ctime: never }
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
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    paths: BTreeMap<PathBuf, Identity>,
    /// How many paths of each object, by device and inode number, are recorded.
    names: HashMap<(u64, u64), u64>,
}

impl Known {
    fn insert(&mut self, path: PathBuf, was: Identity) {
        self.remove(&path);
        *self.names.entry((was.dev, was.ino)).or_default() += 1;
        self.paths.insert(path, was);
    }

    fn remove(&mut self, path: &Path) {
        let Some(was) = self.paths.remove(path) else { return };
        if let Some(count) = self.names.get_mut(&(was.dev, was.ino)) {
            *count = count.saturating_sub(1);
        }
    }
}

impl Origins {
    /// Reads what an earlier process recorded; `file` is opened for reading and appending.
    pub(crate) fn load(file: File, text: &[u8]) -> Result<Origins, String> {
        Ok(Origins { file, known: Mutex::new(read_records(text)?) })
    }

    /// Remembers what `stat` says the host has at `rel`, unless an earlier change already did.
    pub(crate) fn cover(&self, rel: &Path, stat: &Stat) -> Result<(), Errno> {
        let mut known = self.lock();
        if known.paths.contains_key(rel) {
            return Ok(());
        }
        let was = Identity::of(stat);
        self.append(&[Record { path: FilePath::from(rel), was: Some(was) }])?;
        known.insert(rel.to_owned(), was);
        Ok(())
    }

    /// [`Origins::cover`] for many names, in one write.
    pub(crate) fn cover_all(&self, seen: &[(PathBuf, Identity)]) -> Result<(), Errno> {
        let mut known = self.lock();
        let new = seen.iter().filter(|(rel, _)| !known.paths.contains_key(rel));
        let record = |(rel, was): &(PathBuf, Identity)| Record { path: FilePath::from(rel.as_path()), was: Some(*was) };
        self.append(&new.map(record).collect::<Vec<_>>())?;
        for (rel, was) in seen {
            if !known.paths.contains_key(rel) {
                known.insert(rel.clone(), *was);
            }
        }
        Ok(())
    }

    /// What the host had at `rel`.
    pub(crate) fn get(&self, rel: &Path) -> Option<Identity> {
        self.lock().paths.get(rel).copied()
    }

    /// How many names of the host object `dev`, `ino` the layer covers.
    pub(crate) fn covered(&self, dev: u64, ino: u64) -> u64 {
        self.lock().names.get(&(dev, ino)).copied().unwrap_or(0)
    }

    /// Where regular files were recorded, below the root in the lower layer, with their inode numbers. A number may stand
    /// for several: for hard links, and for a file that is gone and another one that got its number.
    pub(crate) fn files(&self) -> Vec<(u64, PathBuf)> {
        let known = self.lock();
        let files = known.paths.iter().filter(|(_, was)| was.mode & libc::S_IFMT == libc::S_IFREG);
        files.map(|(path, was)| (was.ino, path.clone())).collect()
    }

    /// Takes back the records of `rel` and, with `below`, of all under it.
    pub(crate) fn forget(&self, rel: &Path, below: bool) -> Result<(), Errno> {
        let mut known = self.lock();
        let gone: Vec<PathBuf> = at_and_below(&known.paths, rel, below).cloned().collect();
        for path in gone {
            self.append(&[Record { path: FilePath::from(path.as_path()), was: None }])?;
            known.remove(&path);
        }
        Ok(())
    }

    /// [`Origins::forget`] of many, in one write.
    pub(crate) fn forget_all(&self, places: &[(PathBuf, bool)]) -> Result<(), Errno> {
        let mut known = self.lock();
        let found = places.iter().flat_map(|(rel, below)| at_and_below(&known.paths, rel, *below));
        let gone: Vec<PathBuf> = found.cloned().collect();
        let record = |path: &PathBuf| Record { path: FilePath::from(path.as_path()), was: None };
        self.append(&gone.iter().map(record).collect::<Vec<_>>())?;
        gone.iter().for_each(|path| known.remove(path));
        Ok(())
    }

    /// The recorded paths among `places`, and below those that ask for it.
    pub(crate) fn paths_at(&self, places: &[(PathBuf, bool)]) -> Vec<FilePath> {
        let known = self.lock();
        let mut found = Vec::new();
        for (rel, below) in places {
            found.extend(at_and_below(&known.paths, rel, *below).map(|path| FilePath::from(path.as_path())));
        }
        found
    }

    /// Gives every record of the object `was` the state `now`: renaming a file, by one of its names or there and
    /// back, moves its change time although nobody changed it. Change times are therefore not held against `was`.
    pub(crate) fn renew(&self, was: &Identity, now: &Stat) -> Result<(), Errno> {
        let now = Identity::of(now);
        let mut known = self.lock();
        let state = |identity: &Identity| Identity { ctime: (0, 0), ..*identity };
        let same = |identity: &Identity| state(identity) == state(was) && *identity != now;
        for (path, identity) in known.paths.iter_mut().filter(|(_, identity)| same(identity)) {
            self.append(&[Record { path: FilePath::from(path.as_path()), was: Some(now) }])?;
            *identity = now;
        }
        Ok(())
    }

    /// Gives every record of exactly the object `was` the state `now`.
    pub(crate) fn follow(&self, was: &Identity, now: &Identity) -> Result<(), Errno> {
        let mut known = self.lock();
        let same = known.paths.iter().filter(|(_, identity)| *identity == was);
        let paths: Vec<PathBuf> = same.map(|(path, _)| path.clone()).collect();
        for path in paths {
            self.append(&[Record { path: FilePath::from(path.as_path()), was: Some(*now) }])?;
            known.insert(path, *now);
        }
        Ok(())
    }

    /// Length of the file, at which a checkpoint finds its way back.
    pub(crate) fn size(&self) -> Result<u64, Errno> {
        Ok(u64::try_from(nix::sys::stat::fstat(&self.file)?.st_size).unwrap_or(0))
    }

    /// Forgets every record behind byte `size`.
    pub(crate) fn cut(&self, size: u64) -> Result<(), Errno> {
        let mut known = self.lock();
        let failed = |e: std::io::Error| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO));
        let mut text = vec![0; usize::try_from(size.min(self.size()?)).map_err(|_| Errno::EFBIG)?];
        self.file.read_exact_at(&mut text, 0).map_err(failed)?;
        *known = read_records(&text).map_err(|_| Errno::EUCLEAN)?;
        self.file.set_len(size).map_err(failed)
    }

    /// Writes `records` with one write(2) in O_APPEND, all of them or none.
    fn append(&self, records: &[Record]) -> Result<(), Errno> {
        let mut lines = Vec::new();
        for record in records {
            serde_json::to_writer(&mut lines, record).map_err(|_| Errno::EIO)?;
            lines.push(b'\n');
        }
        let before = self.file.metadata().map_err(|e| crate::fs::errno_of(&e))?.len();
        if let Err(error) = (&self.file).write_all(&lines) {
            // A full disk: half a line would spoil the next one.
            self.file.set_len(before).map_err(|e| crate::fs::errno_of(&e))?;
            return Err(crate::fs::errno_of(&error));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the lines of the file say in the end.
fn read_records(text: &[u8]) -> Result<Known, String> {
    let mut known = Known::default();
    for line in text.split_inclusive(|b| *b == b'\n').filter(|line| line.ends_with(b"\n")) {
        let record: Record = serde_json::from_slice(line).map_err(|e| e.to_string())?;
        let path = record.path.as_path().to_owned();
        match record.was {
            Some(was) => known.insert(path, was),
            None => known.remove(&path),
        }
    }
    Ok(known)
}

/// Paths sort by component, so what lies below one stands right behind it.
fn at_and_below<'k>(
    known: &'k BTreeMap<PathBuf, Identity>,
    rel: &'k Path,
    below: bool,
) -> impl Iterator<Item = &'k PathBuf> {
    let from_here = known.range::<Path, _>((Bound::Included(rel), Bound::Unbounded)).map(|(path, _)| path);
    from_here.take_while(move |path| if below { path.starts_with(rel) } else { path.as_path() == rel })
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
