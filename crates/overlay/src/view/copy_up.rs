//! Copy-up: bringing a host object into the upper layer, whole, before its first change.

use crate::fs::at::{self, Stat};
use crate::fs::xattr;
use crate::store::origin::Origin;
use crate::view::device;
use crate::view::layers::Layers;
use crate::view::node::{self, Place, ROOT, Table, Tomb};
use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags};
use nix::time::ClockId;
use nix::unistd::Whence;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

/// How often a copy is begun again because the host's file changed under it.
const TRIES_MAX: u32 = 16;
/// Change times move in ticks of at most 10 ms; this many waits of 2 ms see the clock pass one.
const TICK_WAITS_MAX: u32 = 10;
const TICK_WAIT: Duration = Duration::from_millis(2);
/// Bytes copied at once where the kernel cannot copy by itself.
const COPY_BYTES: usize = 1 << 18;

/// How much of a file's content is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    All,
    /// It will be truncated at once.
    None,
}

impl Layers {
    /// Makes sure that `number` is in the upper layer, with every directory above it.
    pub(crate) fn copy_up(&self, table: &mut Table, number: u64, content: Content) -> Result<(), Errno> {
        let mut waiting = vec![number];
        // Upwards to the first directory that is there already; as long as the path is deep, without recursion.
        while let Some(&next) = waiting.last() {
            let node = table.get(next)?;
            if node.place != Place::Lower {
                waiting.pop();
                break;
            }
            match table.live_link(node) {
                Some(link) => waiting.push(link.parent),
                None => break,
            }
        }
        while let Some(next) = waiting.pop() {
            self.copy_up_one(table, next, content)?;
        }
        match table.get(number)?.place {
            Place::Dead => Err(Errno::ENOENT),
            _ => Ok(()),
        }
    }

    fn copy_up_one(&self, table: &mut Table, number: u64, content: Content) -> Result<(), Errno> {
        if number == ROOT {
            return self.raise_root(table);
        }
        let node = table.get(number)?.clone();
        let lower = node.lower.as_ref().ok_or(Errno::ESTALE)?;
        let (from, name) = self.locate(table, &node)?;
        let spare = OsString::from(self.store.fresh_name());
        let work = &self.store.parts()?.work;
        let made = self.budget.one_more(|| {
            if node.is_dir() {
                self.copy_directory(&lower.rel, &spare)
            } else {
                self.copy_object(&from, &name, &spare, content)
            }
        });
        let source = made.inspect_err(|_| crate::fs::remove::leftover(work, &spare))?;
        if node::key(&source) != lower.key {
            crate::fs::remove::tree(work, &spare)?;
            return Err(Errno::ESTALE);
        }
        self.place_copy(table, number, &source, &spare)
    }

    /// The copy of the root is the layer itself. It was made as the root was when the view began, which is what was
    /// shown of it until now.
    fn raise_root(&self, table: &mut Table) -> Result<(), Errno> {
        let copy = at::stat(&self.store.parts()?.upper, at::dot())?;
        table.add_key(ROOT, node::key(&copy));
        let root = table.get_mut(ROOT)?;
        root.place = Place::Upper;
        root.frozen_ctime = self.store.begun.as_ref().map(|begun| (begun.root.st_ctime, begun.root.st_ctime_nsec));
        Ok(())
    }

    /// Puts a finished copy where the view expects it and makes the node show it.
    fn place_copy(&self, table: &mut Table, number: u64, source: &Stat, spare: &OsStr) -> Result<(), Errno> {
        let node = table.get(number)?.clone();
        let lower = node.lower.as_ref().ok_or(Errno::ESTALE)?;
        let links: Vec<_> = node.links.iter().filter(|link| table.get(link.parent).is_ok()).cloned().collect();
        if !links.is_empty() {
            self.store.parts()?.origins.cover(&lower.rel, source)?;
            self.keep_base(&lower.rel, source);
        }
        let work = &self.store.parts()?.work;
        let mut extra = 0;
        if at::kind_of(source) == libc::S_IFREG && source.st_nlink > 1 && !links.is_empty() {
            self.store.keep_index(&index_name(source))?;
            at::link(work, spare, work, &index_name(source)).or_else(exists_ok)?;
            extra += 1;
        }
        let copy = at::stat(work, spare)?;
        self.store.undo.born(copy.st_ino, &self.store.parts()?.origins)?;
        let place = match links.split_first() {
            None => {
                extra += 1;
                Place::Tomb(Tomb::Named(spare.to_string_lossy().into_owned()))
            }
            Some((first, others)) => {
                // The name it was first seen under need not be the one that is left.
                self.cover_name(table, first.parent, &first.name)?;
                let dir = self.merged_dir(table, first.parent)?;
                self.store.keep_name(&dir, &first.name)?;
                self.quietly(table, first.parent, &dir, |dir| {
                    at::rename(work, spare, dir, &first.name, RenameFlags::empty())
                })?;
                for link in others {
                    self.link_again(table, &dir, &first.name, link.parent, &link.name)?;
                    extra += 1;
                }
                Place::Upper
            }
        };
        let real = i64::try_from(source.st_nlink).unwrap_or(1).saturating_add(node.nlink_delta);
        let shown = self.dress(&node, *source).stat;
        table.add_key(number, node::key(&copy));
        let node = table.get_mut(number)?;
        node.place = place;
        if node.is_dir() {
            node.frozen_ctime = Some((shown.st_ctime, shown.st_ctime_nsec));
        } else {
            node.lower = None;
            node.nlink_delta = real - 1 - extra;
            node.frozen_ctime = Some((shown.st_ctime, shown.st_ctime_nsec));
        }
        self.close_files(number);
        self.keep_link_count(table, number)
    }

    /// Writes down how the links in the view differ from those in the store, for a server that starts anew. Only for
    /// copies of files that had several names on the host: the others do not differ.
    pub(crate) fn keep_link_count(&self, table: &Table, number: u64) -> Result<(), Errno> {
        let node = table.get(number)?;
        if node.place != Place::Upper || node.kind != libc::S_IFREG || node.nlink_delta == 0 {
            return Ok(());
        }
        let (dir, name) = self.locate(table, node)?;
        self.store.keep_attributes(&dir, &name)?;
        let value = node.nlink_delta.to_string();
        at::forced(&[&dir], || {
            xattr::with_right(&*dir, &name, 0o600, || {
                xattr::set(&*dir, &name, OsStr::new(xattr::LINKS), value.as_bytes(), 0)
            })
        })
    }

    /// Records what the host has under a name that the layer takes.
    fn cover_name(&self, table: &Table, parent: u64, name: &OsStr) -> Result<(), Errno> {
        let Some(rel) = table.get(parent)?.lower.as_ref().map(|lower| lower.rel.join(name)) else {
            return Ok(());
        };
        match self.lower_stat(&rel)? {
            Some(stat) => self.store.parts()?.origins.cover(&rel, &stat),
            None => Ok(()),
        }
    }

    /// Another name of a copied-up hard link.
    fn link_again(
        &self,
        table: &mut Table,
        from: &OwnedFd,
        name: &OsStr,
        parent: u64,
        as_name: &OsStr,
    ) -> Result<(), Errno> {
        self.cover_name(table, parent, as_name)?;
        let dir = self.merged_dir(table, parent)?;
        self.store.keep_name(&dir, as_name)?;
        self.quietly(table, parent, &dir, |dir| at::link(from, name, dir, as_name)).or_else(exists_ok)
    }

    /// A name of a host file that was copied up under another of its names joins the copy.
    pub(crate) fn adopt_link(
        &self,
        table: &mut Table,
        parent: u64,
        name: &OsStr,
        found: &crate::view::layers::Found,
    ) -> Result<Option<crate::view::layers::Attr>, Errno> {
        let Some((rel, stat)) = &found.lower else {
            return Ok(None);
        };
        let index = index_name(stat);
        let Some(parts) = self.store.made() else {
            return Ok(None);
        };
        let Some(copy) = at::stat_opt(&parts.work, &index)? else {
            return Ok(None);
        };
        let origin = xattr::get(&self.store.parts()?.work, &index, OsStr::new(xattr::ORIGIN))?;
        if origin.as_deref().and_then(Origin::decode) != Some(Origin::of(stat)) {
            return Ok(None);
        }
        self.store.parts()?.origins.cover(rel, stat)?;
        let dir = self.merged_dir(table, parent)?;
        self.store.keep_name(&dir, name)?;
        self.quietly(table, parent, &dir, |dir| at::link(&self.store.parts()?.work, &index, dir, name))
            .or_else(exists_ok)?;
        let number = match table.find(node::key(&copy)) {
            Some(node) => node.number,
            None => table.insert(stat.st_ino, at::kind_of(&copy), Place::Upper, &[node::key(&copy)]).number,
        };
        table.add_link(number, parent, name);
        let node = table.get_mut(number)?;
        node.nlink_delta -= 1;
        self.keep_link_count(table, number)?;
        let node = table.get(number)?;
        Ok(Some(self.dress(node, at::stat(&dir, name)?)))
    }

    /// The upper directory of `parent`, copied up first if need be.
    pub(crate) fn merged_dir(&self, table: &mut Table, parent: u64) -> Result<Arc<OwnedFd>, Errno> {
        self.copy_up(table, parent, Content::All)?;
        self.upper_dir(table, parent)
    }

    /// Changes an upper directory in a way the view does not show: its times stay.
    pub(crate) fn quietly(
        &self,
        table: &mut Table,
        number: u64,
        dir: &OwnedFd,
        change: impl Fn(&OwnedFd) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let before = at::stat(dir, at::dot())?;
        at::forced(&[dir], || change(dir))?;
        at::copy_times(dir, at::dot(), &before)?;
        let node = table.get_mut(number)?;
        node.frozen_ctime.get_or_insert((before.st_ctime, before.st_ctime_nsec));
        Ok(())
    }

    fn copy_directory(&self, rel: &std::path::Path, spare: &OsStr) -> Result<Stat, Errno> {
        let from = self.lower_dir(rel)?;
        let stat = at::stat(&from, at::dot())?;
        let work = &self.store.parts()?.work;
        at::mkdir(work, spare, 0o700)?;
        finish_copy(&from, at::dot(), work, spare, &stat, Purpose::CopyUp)?;
        Ok(stat)
    }

    /// Copies anything but a directory into the work directory; its attributes as they were when it was copied.
    fn copy_object(&self, from: &OwnedFd, name: &OsStr, spare: &OsStr, content: Content) -> Result<Stat, Errno> {
        let stat = at::stat(from, name)?;
        let work = &self.store.parts()?.work;
        match at::kind_of(&stat) {
            libc::S_IFREG => {
                let allocated = |stat: &Stat| u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
                let bytes = if content == Content::All { allocated(&stat) } else { 0 };
                let made = || at::stat(work, spare).map_or(bytes, |copy| allocated(&copy));
                return self.budget.copy(bytes, || copy_file(from, name, work, spare, content, Purpose::CopyUp), made);
            }
            libc::S_IFLNK => {
                let target = at::readlink(from, name)?;
                nix::unistd::symlinkat(target.as_os_str(), work, spare)?;
            }
            libc::S_IFIFO | libc::S_IFSOCK => at::mknod(work, spare, at::kind_of(&stat) | 0o600)?,
            kind if device::is_device(kind) && self.devices => device::make(work, spare, stat.st_mode, stat.st_rdev)?,
            // What must not be made here cannot be changed here.
            _ => return Err(Errno::EPERM),
        }
        finish_copy(from, name, work, spare, &stat, Purpose::CopyUp)?;
        Ok(stat)
    }
}

/// What a copy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The layer: it is marked with what it was copied from.
    CopyUp,
    /// A file like any other, perhaps where nobody may set such a mark.
    Plain,
}

/// Copies a regular file so that the copy is one state of it: when the file changed meanwhile, once more.
pub(crate) fn copy_file(
    from: &OwnedFd,
    name: &OsStr,
    to: &OwnedFd,
    spare: &OsStr,
    content: Content,
    purpose: Purpose,
) -> Result<Stat, Errno> {
    let source = File::from(at::open_file(from, name, OFlag::O_RDONLY, 0)?);
    let target = File::from(at::open_file(to, spare, OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL, 0o600)?);
    for _ in 0..TRIES_MAX {
        let before = nix::sys::stat::fstat(&source)?;
        if content == Content::All {
            wait_for_tick(&before)?;
            nix::unistd::ftruncate(&target, 0)?;
            copy_content(&source, &target, before.st_size)?;
        }
        let after = nix::sys::stat::fstat(&source)?;
        if same_state(&before, &after) {
            finish_copy(from, name, to, spare, &before, purpose)?;
            return Ok(before);
        }
    }
    // A file that never stands still has no state to copy.
    Err(Errno::EBUSY)
}

fn same_state(a: &Stat, b: &Stat) -> bool {
    let state = |s: &Stat| (s.st_size, s.st_mtime, s.st_mtime_nsec, s.st_ctime, s.st_ctime_nsec);
    state(a) == state(b)
}

/// A write in the same clock tick as `stat`'s change time would not move it; so the copy begins in a later one. (Since
/// Linux 6.13 most file systems give every change after a stat(2) a time of its own.) A write moves the change time as it
/// begins: one that began before the tick may be under way still, and is waited for where the copy asks for the first
/// data (`SEEK_DATA` takes the lock that write(2) holds on ext4, btrfs and tmpfs; on XFS every read does).
pub(crate) fn wait_for_tick(stat: &Stat) -> Result<(), Errno> {
    for _ in 0..TICK_WAITS_MAX {
        let now = nix::time::clock_gettime(ClockId::CLOCK_REALTIME_COARSE)?;
        let age = (now.tv_sec(), now.tv_nsec()).cmp(&(stat.st_ctime, stat.st_ctime_nsec));
        if age == std::cmp::Ordering::Greater {
            return Ok(());
        }
        std::thread::sleep(TICK_WAIT);
    }
    // A change time in the future (the clock was set back): nothing to compare with, the state check still holds.
    Ok(())
}

/// Copies the data of `source`, leaving holes where it has holes.
pub(crate) fn copy_content(source: &File, target: &File, size: i64) -> Result<(), Errno> {
    nix::unistd::ftruncate(target, size)?;
    let mut offset = 0;
    while offset < size {
        let data = match nix::unistd::lseek(source, offset, Whence::SeekData) {
            Ok(data) => data,
            Err(Errno::ENXIO) => return Ok(()),
            // No support for holes: everything is data.
            Err(Errno::EINVAL | Errno::EOPNOTSUPP) => offset,
            Err(errno) => return Err(errno),
        };
        let hole = nix::unistd::lseek(source, data, Whence::SeekHole).unwrap_or(size).min(size);
        copy_range(source, target, data, hole)?;
        offset = hole.max(data + 1);
    }
    Ok(())
}

fn copy_range(source: &File, target: &File, from: i64, to: i64) -> Result<(), Errno> {
    let (mut read_at, mut write_at) = (from, from);
    while read_at < to {
        let want = usize::try_from(to - read_at).unwrap_or(usize::MAX);
        match nix::fcntl::copy_file_range(source, Some(&mut read_at), target, Some(&mut write_at), want) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(Errno::EXDEV | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EPERM) => {
                return copy_by_hand(source, target, read_at, to);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn copy_by_hand(source: &File, target: &File, from: i64, to: i64) -> Result<(), Errno> {
    let mut buf = vec![0; COPY_BYTES];
    let (mut at_byte, end) = (u64::try_from(from).unwrap_or(0), u64::try_from(to).unwrap_or(0));
    while at_byte < end {
        let want = usize::try_from(end - at_byte).unwrap_or(COPY_BYTES).min(COPY_BYTES);
        let part = buf.get_mut(..want).unwrap_or_default();
        let n = source.read_at(part, at_byte).map_err(|e| crate::fs::errno_of(&e))?;
        if n == 0 {
            return Ok(());
        }
        target.write_all_at(part.get(..n).unwrap_or_default(), at_byte).map_err(|e| crate::fs::errno_of(&e))?;
        at_byte += u64::try_from(n).unwrap_or(0);
    }
    Ok(())
}

/// Owner, mode, attributes, origin mark and times of a copy, in the order in which none undoes another.
pub(crate) fn finish_copy(
    from: impl AsFd,
    name: &OsStr,
    to: &OwnedFd,
    spare: &OsStr,
    stat: &Stat,
    purpose: Purpose,
) -> Result<(), Errno> {
    let link = at::kind_of(stat) == libc::S_IFLNK;
    let xattrs = if link { Vec::new() } else { xattr::all_foreign(from, name)? };
    dress_copy(to, spare, stat, &xattrs, purpose)
}

/// [`finish_copy`], of what was read before.
pub(crate) fn dress_copy(
    to: &OwnedFd,
    spare: &OsStr,
    stat: &Stat,
    xattrs: &[(OsString, Vec<u8>)],
    purpose: Purpose,
) -> Result<(), Errno> {
    give_owner(to, spare, stat)?;
    let kind = at::kind_of(stat);
    if kind != libc::S_IFLNK {
        xattr::give(to, spare, xattrs)?;
        if purpose == Purpose::CopyUp && matches!(kind, libc::S_IFREG | libc::S_IFDIR) {
            xattr::set(to, spare, OsStr::new(xattr::ORIGIN), &Origin::of(stat).encode(), 0)?;
        }
        at::chmod(to, spare, stat.st_mode & 0o7777)?;
    }
    at::copy_times(to, spare, stat)
}

/// Gives a copy the owner that `stat` names, as far as that can be.
pub(crate) fn give_owner(dir: &OwnedFd, name: &OsStr, stat: &Stat) -> Result<(), Errno> {
    let made = at::stat(dir, name)?;
    if (made.st_uid, made.st_gid) == (stat.st_uid, stat.st_gid) {
        return Ok(());
    }
    match at::chown(dir, name, Some(stat.st_uid), Some(stat.st_gid)) {
        // An ordinary user cannot give files away: the copy is ours, which the diff shows as a change of owner.
        Ok(()) | Err(Errno::EPERM | Errno::EINVAL) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// The name of a copied-up hard link in the store: device and inode number of its lower.
pub(crate) fn index_name(stat: &Stat) -> OsString {
    OsString::from(format!("l{:x}-{:x}", stat.st_dev, stat.st_ino))
}

fn exists_ok(errno: Errno) -> Result<(), Errno> {
    if errno == Errno::EEXIST { Ok(()) } else { Err(errno) }
}
