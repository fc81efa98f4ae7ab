//! What a jar may take: bytes and files, over all its overlays together, and never the last of the host's disk.
//!
//! Counted is what the layers hold: allocated bytes of files with their attributes (so a hole is free and a hard link
//! takes no bytes), and names of any kind but whiteouts, with what is unlinked and still open. What is taken is added as
//! it happens; what is given back is found by counting anew, and that is done when something would be refused.

use crate::fs::at;
use crate::store::Store;
use model::{Limit, Limits};
use nix::errno::Errno;
use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// The unit in which file systems give out space, nearly everywhere.
const BLOCK: u64 = 4_096;
/// Without anything having been given back, it is counted anew only after this part of the limit was taken.
const DRIFT_PART: u64 = 64;
/// What of a file system is left to its other users and to Belljar itself, whose records and applies need room: this
/// part of it, or so many bytes, or half of what is free when the jar begins, whichever is least.
const RESERVE_PART: u64 = 20;
const RESERVE_BYTES: u64 = 1 << 30;
/// How long an answer of statvfs(3) is believed, and at most for half of the room it tells of.
const ROOM_AGE: Duration = Duration::from_millis(100);

/// The account of one jar, shared by its overlays.
#[derive(Default)]
pub struct Budget {
    limits: Limits,
    /// Whether a reserve is kept.
    reserve: bool,
    account: Mutex<Account>,
}

#[derive(Default)]
struct Account {
    bytes: u64,
    /// Of these, what is set aside for writes under way.
    aside: u64,
    files: u64,
    /// Something was given back since it was counted.
    freed: bool,
    /// Bytes and files taken since.
    drift: u64,
    stores: Vec<Arc<Store>>,
    /// Files without a name that are still open.
    unnamed: Vec<Weak<OwnedFd>>,
    room: Room,
    hits: BTreeSet<Limit>,
}

/// All there is of something, and what is left of it.
pub(crate) type Part = (u64, u64);

/// What was set aside, and why it is not all that was wanted.
struct Taken {
    granted: u64,
    hit: Option<Limit>,
}

/// What the disk has left for the jar.
#[derive(Debug, Default)]
struct Room {
    reserve: Option<u64>,
    bytes: u64,
    asked: Option<Instant>,
}

impl Budget {
    /// An account under `limits`, with a reserve of the host's disk.
    #[must_use]
    pub fn new(limits: Limits) -> Budget {
        Budget { limits, reserve: true, account: Mutex::default() }
    }

    /// The limits that were met so far.
    #[must_use]
    pub fn hits(&self) -> Vec<Limit> {
        self.lock().hits.iter().copied().collect()
    }

    /// Counts what `store` holds, and from now on what it takes.
    pub(crate) fn watch(&self, store: &Arc<Store>) -> Result<(), Errno> {
        let mut account = self.lock();
        account.stores.push(Arc::clone(store));
        if self.is_counting() { account.count() } else { Ok(()) }
    }

    /// Whether there is a limit besides the reserve of the disk.
    pub(crate) fn is_counting(&self) -> bool {
        self.limits != Limits::default()
    }

    /// Something was given back, which the next count will find.
    pub(crate) fn freed(&self) {
        if self.is_counting() || self.reserve {
            let mut account = self.lock();
            account.freed = true;
            account.room.asked = None;
        }
    }

    /// A file has lost its name and stays for as long as this descriptor.
    pub(crate) fn keeps(&self, fd: &Arc<OwnedFd>) {
        if self.is_counting() {
            let mut account = self.lock();
            account.unnamed.retain(|fd| fd.strong_count() > 0);
            account.unnamed.push(Arc::downgrade(fd));
        }
    }

    /// Makes one object, if there may be one more.
    pub(crate) fn one_more<T>(&self, make: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
        {
            let mut account = self.lock();
            if self.reserve && !account.has_room(BLOCK)? {
                account.hits.insert(Limit::Reserve);
                return Err(Errno::ENOSPC);
            }
            if let Some(most) = self.limits.files {
                if account.files >= most {
                    account.count_again(most)?;
                }
                if account.files >= most {
                    account.hits.insert(Limit::Files);
                    return Err(Errno::ENOSPC);
                }
            }
            account.files += 1;
            account.drift += 1;
        }
        self.note(make()).inspect_err(|_| {
            let mut account = self.lock();
            account.files = account.files.saturating_sub(1);
        })
    }

    /// Runs `write` for the bytes of `file` from `range.0` on, `range.1` of them at most. It gets the number of bytes it
    /// may write, which is less than all where the room ends.
    pub(crate) fn grow<T>(
        &self,
        file: &File,
        range: (u64, usize),
        write: impl FnOnce(usize) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let (offset, length) = range;
        if length == 0 || (!self.is_counting() && !self.reserve) {
            return self.note(write(length));
        }
        let before = allocated(file)?;
        let want = span(offset, length);
        let mut taken = self.take(want)?;
        if taken.granted < want && is_filled(file, offset, length) {
            // What overwrites its own blocks takes nothing.
            self.settle(taken.granted, 0, 0);
            taken = Taken { granted: 0, hit: None };
        }
        if let Some(hit) = taken.hit {
            self.lock().hits.insert(hit);
            if taken.granted == 0 {
                return Err(Errno::ENOSPC);
            }
        }
        let part = within(offset, taken.granted).min(length);
        let result = write(if taken.hit.is_some() { part } else { length });
        let after = allocated(file).unwrap_or(before);
        self.settle(taken.granted, before, after);
        self.note(result)
    }

    /// Makes a copy of a file with `bytes` allocated, if there is room for all of it; `made` tells what it took.
    pub(crate) fn copy<T>(
        &self,
        bytes: u64,
        make: impl FnOnce() -> Result<T, Errno>,
        made: impl FnOnce() -> u64,
    ) -> Result<T, Errno> {
        if bytes == 0 || (!self.is_counting() && !self.reserve) {
            return self.note(make());
        }
        let taken = self.take(bytes)?;
        if let Some(hit) = taken.hit {
            self.settle(taken.granted, 0, 0);
            self.lock().hits.insert(hit);
            return Err(Errno::ENOSPC);
        }
        let result = make();
        self.settle(taken.granted, 0, if result.is_ok() { made() } else { 0 });
        self.note(result)
    }

    /// Changes something beside the content of a file that may take `bytes` more; `held` tells what the file has.
    pub(crate) fn attach<T>(
        &self,
        bytes: usize,
        held: impl Fn() -> u64,
        change: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        if !self.is_counting() && !self.reserve {
            return self.note(change());
        }
        let before = held();
        let taken = self.take(span(0, bytes))?;
        if let Some(hit) = taken.hit {
            self.settle(taken.granted, 0, 0);
            self.lock().hits.insert(hit);
            return Err(Errno::ENOSPC);
        }
        let result = change();
        self.settle(taken.granted, before, held());
        self.note(result)
    }

    /// What was set aside is replaced by what was taken.
    fn settle(&self, granted: u64, before: u64, after: u64) {
        let mut account = self.lock();
        account.aside = account.aside.saturating_sub(granted);
        account.bytes = account.bytes.saturating_add(after).saturating_sub(before.saturating_add(granted));
        account.freed |= after < before;
    }

    /// Sets `want` bytes aside, or as many whole blocks as there are.
    fn take(&self, want: u64) -> Result<Taken, Errno> {
        let mut account = self.lock();
        let mut taken = Taken { granted: want, hit: None };
        if self.reserve && !account.has_room(want)? {
            taken = Taken { granted: account.room.bytes.min(want) / BLOCK * BLOCK, hit: Some(Limit::Reserve) };
        }
        if let Some(most) = self.limits.disk {
            if account.bytes.saturating_add(taken.granted) > most {
                account.count_again(most)?;
            }
            let left = most.saturating_sub(account.bytes);
            if left < taken.granted {
                taken = Taken { granted: left / BLOCK * BLOCK, hit: Some(Limit::Disk) };
            }
        }
        account.bytes = account.bytes.saturating_add(taken.granted);
        account.aside = account.aside.saturating_add(taken.granted);
        account.drift = account.drift.saturating_add(taken.granted);
        account.room.bytes = account.room.bytes.saturating_sub(taken.granted);
        Ok(taken)
    }

    /// A disk that was full all the same is worth telling.
    fn note<T>(&self, result: Result<T, Errno>) -> Result<T, Errno> {
        result.inspect_err(|errno| {
            let mut account = self.lock();
            // A refusal of our own that comes by here is on record already.
            if matches!(errno, Errno::ENOSPC | Errno::EDQUOT) && account.hits.is_empty() {
                account.hits.insert(Limit::HostDisk);
            }
        })
    }

    /// What statvfs(3) is to say of bytes and of files, where they are limited.
    pub(crate) fn shown(&self) -> Result<(Option<Part>, Option<Part>), Errno> {
        if !self.is_counting() {
            return Ok((None, None));
        }
        let mut account = self.lock();
        if account.freed {
            account.count()?;
        }
        let bytes = self.limits.disk.map(|most| (most, most.saturating_sub(account.bytes)));
        let files = self.limits.files.map(|most| (most, most.saturating_sub(account.files)));
        Ok((bytes, files))
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budget").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Account {
    /// Counts anew if that can make a difference.
    fn count_again(&mut self, most: u64) -> Result<(), Errno> {
        if self.freed || self.drift > most / DRIFT_PART { self.count() } else { Ok(()) }
    }

    fn count(&mut self) -> Result<(), Errno> {
        // A write under way may be counted twice until the next count; never not at all.
        (self.bytes, self.files) = (self.aside, 0);
        for store in &self.stores {
            let (bytes, files) = held(store)?;
            self.bytes = self.bytes.saturating_add(bytes);
            self.files = self.files.saturating_add(files);
        }
        for fd in self.unnamed.iter().filter_map(Weak::upgrade) {
            // With a name, it has been counted by that.
            if nix::sys::stat::fstat(&*fd)?.st_nlink == 0 {
                self.bytes = self.bytes.saturating_add(allocated(&*fd)?);
                self.files = self.files.saturating_add(1);
            }
        }
        (self.freed, self.drift) = (false, 0);
        Ok(())
    }

    /// Whether so much can be taken without taking the last of the disk.
    fn has_room(&mut self, want: u64) -> Result<bool, Errno> {
        let fresh = self.room.asked.is_some_and(|asked| asked.elapsed() < ROOM_AGE);
        if !fresh || want > self.room.bytes / 2 {
            self.ask_room()?;
        }
        Ok(want <= self.room.bytes)
    }

    /// All layers of a jar lie in one state directory, so the first speaks for all.
    fn ask_room(&mut self) -> Result<(), Errno> {
        let Some(store) = self.stores.first() else { return Ok(()) };
        let disk = store.disk()?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.fragment_size());
        let free = bytes(disk.blocks_available());
        let least = || (bytes(disk.blocks()) / RESERVE_PART).min(RESERVE_BYTES).min(free / 2);
        let reserve = *self.room.reserve.get_or_insert_with(least);
        self.room.bytes = free.saturating_sub(reserve);
        self.room.asked = Some(Instant::now());
        Ok(())
    }
}

/// Bytes of the blocks that a range touches.
fn span(offset: u64, length: usize) -> u64 {
    let end = offset.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
    (end.div_ceil(BLOCK) - offset / BLOCK).saturating_mul(BLOCK)
}

/// How far one gets from `offset` with so many bytes of whole blocks.
fn within(offset: u64, bytes: u64) -> usize {
    usize::try_from(bytes.saturating_sub(offset % BLOCK)).unwrap_or(usize::MAX)
}

/// Whether there are blocks for the whole range already.
fn is_filled(file: &File, offset: u64, length: usize) -> bool {
    let end = offset.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
    let (Ok(from), Ok(end)) = (i64::try_from(offset), i64::try_from(end)) else { return false };
    let Ok(stat) = nix::sys::stat::fstat(file) else { return false };
    let size = u64::try_from(stat.st_size).unwrap_or(0).next_multiple_of(BLOCK);
    let without_holes = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512) >= size;
    if without_holes && u64::try_from(end).is_ok_and(|end| end <= size) {
        return true;
    }
    end <= stat.st_size && nix::unistd::lseek(file, from, nix::unistd::Whence::SeekHole).is_ok_and(|hole| hole >= end)
}

/// Bytes the file system has given to a file, promised ones included.
fn allocated(file: impl AsFd) -> Result<u64, Errno> {
    Ok(u64::try_from(nix::sys::stat::fstat(file)?.st_blocks).unwrap_or(0).saturating_mul(512))
}

/// Bytes and objects of one layer, with what is unlinked and still open.
fn held(store: &Store) -> Result<(u64, u64), Errno> {
    let mut count = Count::default();
    let Some(parts) = store.made() else { return Ok((0, 0)) };
    count.tree(&parts.upper)?;
    // A directory being put together or taken apart is on its way from or to the layer.
    count.directory(&parts.work, Path::new(""), &mut Vec::new(), false)?;
    Ok((count.bytes, count.files))
}

#[derive(Default)]
struct Count {
    seen: HashSet<(u64, u64)>,
    bytes: u64,
    files: u64,
}

impl Count {
    fn tree(&mut self, root: &OwnedFd) -> Result<(), Errno> {
        let mut waiting = vec![PathBuf::new()];
        while let Some(rel) = waiting.pop() {
            match crate::changes::diff::open_own(root, &rel) {
                Ok(dir) => self.directory(&dir, &rel, &mut waiting, true)?,
                // The jar goes on while it is counted.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Counts what is in `dir`; a further name of a file counts only where the jar made it.
    fn directory(&mut self, dir: &OwnedFd, rel: &Path, waiting: &mut Vec<PathBuf>, names: bool) -> Result<(), Errno> {
        for entry in at::list_own(dir)? {
            let Some(stat) = at::forced(&[dir], || at::stat_opt(dir, &entry.name))? else { continue };
            if at::is_whiteout(&stat) {
                continue;
            }
            let known = !self.seen.insert((stat.st_dev, stat.st_ino));
            self.files += u64::from(!known || names);
            if known {
                continue;
            }
            if at::is_dir(&stat) {
                waiting.push(rel.join(&entry.name));
            } else {
                self.bytes += u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
            }
        }
        Ok(())
    }
}
