//! File content: reading, writing, holes. Files are opened when they are used and a bounded number stays open.

use crate::fs::at;
use crate::view::copy_up::Content;
use crate::view::layers::{Layers, lock};
use crate::view::node::{Node, Place, Table};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag};
use nix::unistd::Whence;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// What statvfs(3) tells the child; blocks are of `fragment_size`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disk {
    pub(crate) blocks: u64,
    pub(crate) free: u64,
    pub(crate) available: u64,
    pub(crate) files: u64,
    pub(crate) files_free: u64,
    pub(crate) block_size: u64,
    pub(crate) fragment_size: u64,
    pub(crate) name_max: u64,
}

impl Layers {
    /// Fills `buf` from `offset`; how far, which is less than all of it only at the end of the file.
    pub(crate) fn read_into(&self, number: u64, offset: u64, buf: &mut [u8]) -> Result<usize, Errno> {
        let file = self.file(number, false)?;
        let mut filled = 0;
        while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at_byte = offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
            match file.read_at(rest, at_byte) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(crate::fs::errno_of(&e)),
            }
        }
        Ok(filled)
    }

    /// Writes `data` at `offset`, all of it unless the jar's budget ends within it; how much. With `drop_privileges`
    /// set-id bits go, as write(2) does it for the child.
    pub(crate) fn write_data(
        &self,
        number: u64,
        offset: u64,
        data: &[u8],
        drop_privileges: bool,
    ) -> Result<usize, Errno> {
        let _writing = self.store.undo.writing();
        let file = self.file(number, true)?;
        let all = |data: &[u8]| file.write_all_at(data, offset).map_err(|e| crate::fs::errno_of(&e));
        let written = self.budget.grow(&file, (offset, data.len()), |granted| {
            let part = data.get(..granted).unwrap_or(data);
            all(part).map(|()| part.len())
        })?;
        if drop_privileges {
            drop_setid(&file)?;
        }
        Ok(written)
    }

    /// ftruncate(2).
    pub(crate) fn truncate(&self, table: &mut Table, number: u64, size: u64) -> Result<(), Errno> {
        let content = if size == 0 { Content::None } else { Content::All };
        self.copy_up(table, number, content)?;
        self.keep_content(table, number)?;
        let file = self.open(table, number, true)?;
        nix::unistd::ftruncate(&*file, i64::try_from(size).map_err(|_| Errno::EFBIG)?)?;
        self.budget.freed();
        drop_setid(&file)
    }

    /// fallocate(2) with its mode bits.
    pub(crate) fn allocate(&self, number: u64, mode: i32, offset: u64, length: u64) -> Result<(), Errno> {
        let mode = FallocateFlags::from_bits(mode).ok_or(Errno::EOPNOTSUPP)?;
        let frees = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_COLLAPSE_RANGE;
        let range = (i64::try_from(offset), i64::try_from(length));
        let (Ok(offset), Ok(length)) = range else {
            return Err(Errno::EFBIG);
        };
        let _writing = self.store.undo.writing();
        let file = self.file(number, true)?;
        if mode.intersects(frees) {
            self.budget.freed();
            return nix::fcntl::fallocate(&*file, mode, offset, length).and_then(|()| drop_setid(&file));
        }
        let range = (offset.cast_unsigned(), usize::try_from(length).unwrap_or(usize::MAX));
        self.budget.grow(&file, range, |granted| match granted == range.1 {
            true => nix::fcntl::fallocate(&*file, mode, offset, length),
            false => Err(Errno::ENOSPC),
        })?;
        drop_setid(&file)
    }

    /// `SEEK_DATA` and `SEEK_HOLE` of lseek(2).
    pub(crate) fn seek(&self, number: u64, offset: i64, whence: i32) -> Result<i64, Errno> {
        let whence = match whence {
            libc::SEEK_DATA => Whence::SeekData,
            libc::SEEK_HOLE => Whence::SeekHole,
            _ => return Err(Errno::EINVAL),
        };
        nix::unistd::lseek(&*self.file(number, false)?, offset, whence)
    }

    /// copy_file_range(2) between two files of the view.
    pub(crate) fn copy_range(&self, from: (u64, u64), to: (u64, u64), length: u64) -> Result<usize, Errno> {
        let _writing = self.store.undo.writing();
        let target = self.file(to.0, true)?;
        let source = self.file(from.0, false)?;
        let (Ok(mut read_at), Ok(mut write_at)) = (i64::try_from(from.1), i64::try_from(to.1)) else {
            return Err(Errno::EINVAL);
        };
        let rest = nix::sys::stat::fstat(&*source)?.st_size.saturating_sub(read_at);
        let length = length.min(COPY_BYTES_MAX).min(u64::try_from(rest).unwrap_or(0));
        let length = usize::try_from(length).unwrap_or(0);
        let copied = self.budget.grow(&target, (to.1, length), |granted| {
            nix::fcntl::copy_file_range(&*source, Some(&mut read_at), &*target, Some(&mut write_at), granted)
        })?;
        drop_setid(&target)?;
        Ok(copied)
    }

    /// fsync(2) or fdatasync(2) of a file or directory; what lies on the host only has nothing to sync.
    pub(crate) fn sync(&self, number: u64, data_only: bool) -> Result<(), Errno> {
        let file = {
            let table = self.read();
            let node = table.get(number)?;
            match (&node.place, node.is_dir()) {
                (Place::Lower | Place::Dead, _) => return Ok(()),
                (_, true) => return crate::store::sync_dir(&*self.upper_dir(&table, number)?),
                (_, false) => self.open(&table, number, true)?,
            }
        };
        if data_only { nix::unistd::fdatasync(&*file) } else { nix::unistd::fsync(&*file) }
    }

    /// statvfs(3) of the file system new data goes to, as small as the jar's budget makes it.
    pub(crate) fn statfs(&self) -> Result<Disk, Errno> {
        let disk = self.store.disk()?;
        let unit = disk.fragment_size().max(1);
        let (bytes, files) = self.budget.shown()?;
        let (blocks, left) = bytes.map_or((u64::MAX, u64::MAX), |(most, left)| (most / unit, left / unit));
        let (files, files_left) = files.unwrap_or((u64::MAX, u64::MAX));
        Ok(Disk {
            blocks: disk.blocks().min(blocks),
            free: disk.blocks_free().min(left),
            available: disk.blocks_available().min(left),
            files: disk.files().min(files),
            files_free: disk.files_free().min(files_left),
            block_size: disk.block_size(),
            fragment_size: unit,
            name_max: disk.name_max(),
        })
    }

    /// A descriptor for the content of `number`; for writing, of its copy in the upper layer.
    pub(crate) fn file(&self, number: u64, write: bool) -> Result<Arc<File>, Errno> {
        if write {
            self.writable(number)
        } else {
            let table = self.read();
            self.open(&table, number, false)
        }
    }

    /// The file the kernel may use instead of asking us, if it has at least `least` bytes, and whether it is the jar's own
    /// copy. A host file that is to be written has none: its copy is made when it is.
    pub(crate) fn backing(&self, number: u64, write: bool, least: u64) -> Result<Option<(Arc<File>, bool)>, Errno> {
        let table = self.read();
        let node = table.get(number)?;
        let own = node.place != Place::Lower;
        if node.kind != libc::S_IFREG || (write && !own) || self.is_frozen() {
            return Ok(None);
        }
        let file = self.open(&table, number, own)?;
        let size = nix::sys::stat::fstat(&*file)?.st_size;
        Ok((u64::try_from(size).unwrap_or(0) >= least).then_some((file, own)))
    }

    /// Whether the node shows the jar's own copy.
    pub(crate) fn has_copy(&self, number: u64) -> Result<bool, Errno> {
        Ok(self.read().get(number)?.place != Place::Lower)
    }

    /// The child is about to change its own copy of the file, without asking us again: its real times are the ones to
    /// show, and what a checkpoint holds is kept.
    pub(crate) fn thaw(&self, number: u64) -> Result<(), Errno> {
        let ready = {
            let table = self.read();
            let node = table.get(number)?;
            node.frozen_ctime.is_none() && self.is_kept(node)
        };
        if !ready {
            let mut table = self.changing()?;
            self.keep_content(&mut table, number)?;
            table.get_mut(number)?.frozen_ctime = None;
        }
        Ok(())
    }

    /// Gives up the node for whoever looks its names up from now on; who has it open goes on with the host's bytes.
    pub(crate) fn outdate(&self, number: u64) -> Result<(), Errno> {
        let mut table = self.changing()?;
        let node = table.get(number)?;
        let tomb = match node.place {
            Place::Upper => {
                let (dir, name) = self.locate(&table, node)?;
                let fd = Arc::new(at::forced(&[&dir], || at::hold(&dir, &name))?);
                Some(self.tomb(fd))
            }
            _ => None,
        };
        table.drop_keys(number);
        let node = table.get_mut(number)?;
        node.links.clear();
        if let Some(tomb) = tomb {
            node.place = Place::Tomb(tomb);
        }
        Ok(())
    }

    fn writable(&self, number: u64) -> Result<Arc<File>, Errno> {
        {
            let table = self.read();
            let node = table.get(number)?;
            if node.place != Place::Lower && node.frozen_ctime.is_none() && self.is_kept(node) && !self.is_frozen() {
                return self.open(&table, number, true);
            }
        }
        let mut table = self.changing()?;
        self.check_content(&table, number)?;
        self.copy_up(&mut table, number, Content::All)?;
        self.keep_content(&mut table, number)?;
        table.get_mut(number)?.frozen_ctime = None;
        self.open(&table, number, true)
    }

    fn open(&self, table: &Table, number: u64, write: bool) -> Result<Arc<File>, Errno> {
        let node = table.get(number)?;
        if node.kind != libc::S_IFREG {
            return Err(if node.is_dir() { Errno::EISDIR } else { Errno::EINVAL });
        }
        if let Some(file) = lock(&self.files).get(&(number, write)) {
            return Ok(file);
        }
        let file = Arc::new(self.open_anew(table, node, write)?);
        lock(&self.files).put((number, write), Arc::clone(&file));
        Ok(file)
    }

    fn open_anew(&self, table: &Table, node: &Node, write: bool) -> Result<File, Errno> {
        let (dir, name) = self.locate(table, node)?;
        let flags = if write { OFlag::O_RDWR } else { OFlag::O_RDONLY };
        if node.place != Place::Lower {
            return at::forced(&[&dir], || at::open_own(&*dir, &name, flags)).map(File::from);
        }
        let file = File::from(at::open_file(&*dir, &name, flags, 0)?);
        let stat = nix::sys::stat::fstat(&file)?;
        let same = node.lower.as_ref().is_some_and(|lower| lower.key == crate::view::node::key(&stat));
        if same { Ok(file) } else { Err(Errno::ESTALE) }
    }
}

/// One request of copy_file_range(2) is answered for at most this much, so that no thread is away for long.
const COPY_BYTES_MAX: u64 = 64 << 20;

/// Takes set-id bits off as the kernel does for an unprivileged writer: group id only where it would run.
fn drop_setid(file: &File) -> Result<(), Errno> {
    let mode = nix::sys::stat::fstat(file)?.st_mode;
    let group = if mode & 0o010 != 0 { libc::S_ISGID } else { 0 };
    let drop = mode & (libc::S_ISUID | group);
    if drop == 0 {
        return Ok(());
    }
    let kept = nix::sys::stat::Mode::from_bits_truncate(mode & 0o7777 & !drop);
    nix::sys::stat::fchmod(file, kept)
}
