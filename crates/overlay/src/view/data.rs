//! File content: reading, writing, holes. Files are opened when they are used and a bounded number stays open.

use crate::fs::at;
use crate::view::copy_up::Content;
use crate::view::layers::{Layers, lock};
use crate::view::node::{Node, Place, Table};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag};
use nix::sys::statvfs::Statvfs;
use nix::unistd::Whence;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

impl Layers {
    /// At most `size` bytes from `offset`; fewer only at the end of the file.
    pub(crate) fn read_data(&self, number: u64, offset: u64, size: usize) -> Result<Vec<u8>, Errno> {
        let file = self.file(number, false)?;
        let mut buf = vec![0; size];
        let mut filled = 0;
        while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at_byte = offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
            match file.read_at(rest, at_byte) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(crate::store::errno_of(&e)),
            }
        }
        buf.truncate(filled);
        Ok(buf)
    }

    /// Writes all of `data` at `offset`. With `drop_privileges` set-id bits go, as write(2) does it for the child.
    pub(crate) fn write_data(&self, number: u64, offset: u64, data: &[u8], drop_privileges: bool) -> Result<(), Errno> {
        let file = self.file(number, true)?;
        file.write_all_at(data, offset).map_err(|e| crate::store::errno_of(&e))?;
        if drop_privileges { drop_setid(&file) } else { Ok(()) }
    }

    /// ftruncate(2).
    pub(crate) fn truncate(&self, table: &mut Table, number: u64, size: u64) -> Result<(), Errno> {
        let content = if size == 0 { Content::None } else { Content::All };
        self.copy_up(table, number, content)?;
        let file = self.open(table, number, true)?;
        nix::unistd::ftruncate(&*file, i64::try_from(size).map_err(|_| Errno::EFBIG)?)?;
        drop_setid(&file)
    }

    /// fallocate(2) with its mode bits.
    pub(crate) fn allocate(&self, number: u64, mode: i32, offset: u64, length: u64) -> Result<(), Errno> {
        let mode = FallocateFlags::from_bits(mode).ok_or(Errno::EOPNOTSUPP)?;
        let range = (i64::try_from(offset), i64::try_from(length));
        let (Ok(offset), Ok(length)) = range else {
            return Err(Errno::EFBIG);
        };
        let file = self.file(number, true)?;
        nix::fcntl::fallocate(&*file, mode, offset, length)?;
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
        let target = self.file(to.0, true)?;
        let source = self.file(from.0, false)?;
        let (Ok(mut read_at), Ok(mut write_at)) = (i64::try_from(from.1), i64::try_from(to.1)) else {
            return Err(Errno::EINVAL);
        };
        let length = usize::try_from(length.min(COPY_BYTES_MAX)).unwrap_or(0);
        let copied = nix::fcntl::copy_file_range(&*source, Some(&mut read_at), &*target, Some(&mut write_at), length)?;
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

    /// statvfs(3) of the file system new data goes to.
    pub(crate) fn statfs(&self) -> Result<Statvfs, Errno> {
        nix::sys::statvfs::fstatvfs(&self.store.upper)
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

    /// The child is about to change the file: its real times are the ones to show.
    pub(crate) fn thaw(&self, number: u64) -> Result<(), Errno> {
        if self.read().get(number)?.frozen_ctime.is_some() {
            self.changing()?.get_mut(number)?.frozen_ctime = None;
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
            if node.place != Place::Lower && node.frozen_ctime.is_none() && !self.is_frozen() {
                return self.open(&table, number, true);
            }
        }
        let mut table = self.changing()?;
        self.check_content(&table, number)?;
        self.copy_up(&mut table, number, Content::All)?;
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
