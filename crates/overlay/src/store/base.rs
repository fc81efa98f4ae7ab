//! Bases: what small text files of the host held when the jar first changed them, kept for a three-way merge.
//!
//! One append-only file, because a file for each would cost a create on the way of every first write. A record that
//! could not be written whole is cut off again. A base is a convenience: where none is kept a merge is refused with
//! that reason, and nothing else depends on it.

use crate::fs::at::{self, Stat};
use crate::fs::xattr;
use crate::store::origin::Identity;
use model::FilePath;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The file, in the store directory.
const NAME: &str = "bases";
/// All bases of one layer together; what comes after is not kept.
const TOTAL_BYTES_MAX: u64 = 256 << 20;

/// The first line of a record; the bytes and a newline follow.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head {
    /// Path below the root, in the lower layer.
    path: FilePath,
    was: Identity,
    xattrs: Vec<(FilePath, Vec<u8>)>,
    bytes: u64,
}

/// A file as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) was: Identity,
    pub(crate) xattrs: Vec<(FilePath, Vec<u8>)>,
    pub(crate) bytes: Vec<u8>,
}

/// The bases of one overlay.
#[derive(Default)]
pub(crate) struct Bases {
    open: Mutex<Option<Open>>,
}

struct Open {
    file: File,
    len: u64,
    known: HashMap<PathBuf, (Head, u64)>,
    /// A torn record could not be cut off: nothing is added any more.
    broken: bool,
}

impl Bases {
    /// Whether a base of `rel` as `was` is kept already.
    pub(crate) fn has(&self, store: &OwnedFd, rel: &Path, was: &Identity) -> Result<bool, Errno> {
        let mut open = self.lock();
        Ok(opened(&mut open, store)?.known.get(rel).is_some_and(|(head, _)| same(&head.was, was)))
    }

    /// Keeps `base` for `rel`; a later one of the same path stands for the earlier.
    pub(crate) fn keep(&self, store: &OwnedFd, rel: &Path, base: Base) -> Result<(), Errno> {
        let mut open = self.lock();
        let open = opened(&mut open, store)?;
        let bytes = u64::try_from(base.bytes.len()).unwrap_or(u64::MAX);
        if open.broken || open.len.saturating_add(bytes) > TOTAL_BYTES_MAX {
            return Ok(());
        }
        let head = Head { path: FilePath::from(rel), was: base.was, xattrs: base.xattrs, bytes };
        let mut record = serde_json::to_vec(&head).map_err(|_| Errno::EIO)?;
        record.push(b'\n');
        let start = open.len + u64::try_from(record.len()).unwrap_or(0);
        record.extend_from_slice(&base.bytes);
        record.push(b'\n');
        if let Err(error) = open.file.write_all(&record) {
            open.broken = open.file.set_len(open.len).is_err();
            return Err(crate::fs::errno_of(&error));
        }
        open.len += u64::try_from(record.len()).unwrap_or(0);
        open.known.insert(rel.to_owned(), (head, start));
        Ok(())
    }

    /// The base of `rel` as `was`, if it is kept.
    pub(crate) fn get(&self, store: &OwnedFd, rel: &Path, was: &Identity) -> Result<Option<Base>, Errno> {
        let mut open = self.lock();
        let open = opened(&mut open, store)?;
        let Some((head, start)) = open.known.get(rel).filter(|(head, _)| same(&head.was, was)) else {
            return Ok(None);
        };
        let mut bytes = vec![0; usize::try_from(head.bytes).map_err(|_| Errno::EFBIG)?];
        open.file.read_exact_at(&mut bytes, *start).map_err(|e| crate::fs::errno_of(&e))?;
        Ok(Some(Base { was: head.was, xattrs: head.xattrs.clone(), bytes }))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same state of the same file. Renaming a hard link of it moves its change time, though nobody changed it.
fn same(a: &Identity, b: &Identity) -> bool {
    (a.ino, a.size, a.mtime) == (b.ino, b.size, b.mtime)
}

fn opened<'o>(open: &'o mut Option<Open>, store: &OwnedFd) -> Result<&'o mut Open, Errno> {
    match open {
        Some(open) => Ok(open),
        None => Ok(open.insert(load(store)?)),
    }
}

/// Reads the heads of all records and cuts off one that is torn.
fn load(store: &OwnedFd) -> Result<Open, Errno> {
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_APPEND;
    let file = File::from(at::open_file(store, OsStr::new(NAME), flags, 0o600)?);
    let failed = |e: std::io::Error| crate::fs::errno_of(&e);
    let end = file.metadata().map_err(failed)?.len();
    let mut reader = BufReader::new(&file);
    let (mut known, mut len) = (HashMap::new(), 0);
    while let Some((head, start)) = next(&mut reader, len, end).map_err(failed)? {
        len = start + head.bytes + 1;
        known.insert(head.path.as_path().to_owned(), (head, start));
    }
    let broken = len < end && file.set_len(len).is_err();
    Ok(Open { file, len, known, broken })
}

/// The record that begins at `from`, if it is whole.
fn next(reader: &mut BufReader<&File>, from: u64, end: u64) -> std::io::Result<Option<(Head, u64)>> {
    reader.seek(SeekFrom::Start(from))?;
    let mut line = Vec::new();
    // A head is a path and attributes: bounded by what the kernel lets a file have.
    reader.take(1 << 20).read_until(b'\n', &mut line)?;
    let Ok(head) = serde_json::from_slice::<Head>(&line) else {
        return Ok(None);
    };
    let start = from + u64::try_from(line.len()).unwrap_or(0);
    let whole = start.checked_add(head.bytes).is_some_and(|last| last < end);
    Ok(whole.then_some((head, start)))
}

/// Reads a host file as a base: text of bounded size, in the state `stat` and no other. `None` when it is not that.
pub(crate) fn read(dir: &OwnedFd, name: &OsStr, stat: &Stat) -> Result<Option<Base>, Errno> {
    use crate::changes::preview::{Content, read};
    let was = Identity::of(stat);
    if at::kind_of(stat) != libc::S_IFREG {
        return Ok(None);
    }
    let file = match at::open_file(dir, name, OFlag::O_RDONLY, 0) {
        Ok(file) => File::from(file),
        // Who may not read it cannot merge it either.
        Err(Errno::EACCES | Errno::EPERM | Errno::ENOENT | Errno::ELOOP) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let state = |file: &File| nix::sys::stat::fstat(file).map(|stat| Identity::of(&stat));
    if state(&file)? != was {
        return Ok(None);
    }
    let Content::Text(bytes) = read(file.try_clone().map_err(|e| crate::fs::errno_of(&e))?)? else {
        return Ok(None);
    };
    let xattrs = xattr::all_foreign(dir, name)?;
    let xattrs = xattrs.into_iter().map(|(name, value)| (FilePath::new(name), value)).collect();
    Ok((state(&file)? == was).then_some(Base { was, xattrs, bytes }))
}

#[cfg(test)]
mod tests {
    use super::{Base, Bases, NAME};
    use crate::fs::at;
    use crate::store::origin::Identity;
    use std::path::Path;

    fn base(text: &str) -> Base {
        let was = Identity {
            dev: 1,
            ino: 2,
            mode: 0o100_644,
            uid: 0,
            gid: 0,
            size: i64::try_from(text.len()).unwrap(),
            mtime: (1, 2),
            ctime: (3, 4),
        };
        Base { was, xattrs: vec![("user.a".into(), b"\0\n".to_vec())], bytes: text.as_bytes().to_vec() }
    }

    #[test]
    fn bases_outlive_the_process_and_a_torn_one_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let store = at::open_root(dir.path()).unwrap();
        let (a, b, c) = (base("one\n"), base("two {\"path\":1}\n\n"), base("1234"));
        let bases = Bases::default();
        bases.keep(&store, Path::new("a"), a.clone()).unwrap();
        bases.keep(&store, Path::new("d/b"), b.clone()).unwrap();
        bases.keep(&store, Path::new("a"), c.clone()).unwrap();
        let file = dir.path().join(NAME);
        let whole = std::fs::read(&file).unwrap();
        for torn in [&b"{\"pa"[..], b"", &whole[..100]] {
            std::fs::write(&file, [&whole[..], torn].concat()).unwrap();
            let bases = Bases::default();
            assert_eq!(bases.get(&store, Path::new("d/b"), &b.was).unwrap(), Some(b.clone()));
            assert_eq!(bases.get(&store, Path::new("a"), &c.was).unwrap(), Some(c.clone()), "the last one stands");
            assert_eq!(bases.get(&store, Path::new("a"), &base("other text").was).unwrap(), None);
            assert!(bases.has(&store, Path::new("a"), &c.was).unwrap());
            bases.keep(&store, Path::new("e"), a.clone()).unwrap();
            assert_eq!(Bases::default().get(&store, Path::new("e"), &a.was).unwrap(), Some(a.clone()));
        }
    }
}
