//! The other backend: overlayfs(5) keeps the view by itself, in the jar's user namespace, over the same upper layer.
//!
//! The kernel records neither what the host had when a name was covered nor who forged a mark of ours. So when the jar
//! is over, before anything else looks at the layer, it is *settled*: every mark is checked, and what the host has
//! under each covered name is recorded as it is then. Whatever of it changed at or after the moment the view appeared
//! is recorded as lost, which makes it a conflict.

use crate::changes::diff::{host_object, open_upper};
use crate::error::OverlayError;
use crate::fs::at::{self, Stat};
use crate::fs::errno_of;
use crate::fs::remove;
use crate::fs::xattr;
use crate::overlay::Overlay;
use crate::store::making::Taken;
use crate::store::origin::Identity;
use crate::store::store_error;
use crate::view::layers::{Reach, reach};
use model::FilePath;
use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The kernel's own directory in the store.
const WORK: &str = "kernel";
/// There from the moment the kernel's view appears until the layer is settled.
const MARK: &str = "unsettled";

/// A tick is at most 10 ms, and building a jar takes about as long.
const TICK_WAIT: std::time::Duration = std::time::Duration::from_micros(500);
/// Only a clock that was set back makes this many waits: then more counts as changed than was.
const TICK_WAITS_MAX: u32 = 40;

/// When the view appeared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Since {
    /// CLOCK_REALTIME in the ticks of change times: seconds and nanoseconds.
    time: (i64, i64),
    /// CLOCK_BOOTTIME at that moment, nanoseconds: a clock nobody sets.
    uptime: i64,
    /// `/proc/sys/kernel/random/boot_id`.
    boot: String,
}

/// What stands in the way of the kernel's overlayfs over one root, besides the kernel itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelFacts {
    /// The root or the store lies on a network, FUSE or stacked file system: their change times are not this kernel's,
    /// or they cannot hold an upper layer.
    pub distant: bool,
    /// Other file systems are mounted below the root; the kernel would show what they cover.
    pub mounts_below: bool,
    /// The root, or something right in it, belongs to somebody the jar has no id for: writing to it would fail.
    pub foreign_owners: bool,
    /// The layer holds renamed directories.
    pub renamed: bool,
}

/// A layer that is lent to the kernel, until this is dropped. Drop it when the jar is over and with it the mount, then
/// [`Overlay::settle`] the layer; where this process dies, it is settled by whoever looks at it next.
#[derive(Debug)]
pub struct Kernel {
    store: PathBuf,
    /// CLOCK_REALTIME when this was made or asked for: no change time from before is later.
    made: (i64, i64),
    _lock: Taken,
}

impl Overlay {
    /// Makes the layer ready for overlayfs(5) with `userxattr` and holds it until the jar is over.
    ///
    /// # Errors
    /// The store is in use or cannot be written, or the layer has what this backend cannot show: renamed directories.
    pub fn kernel(&self) -> Result<Kernel, OverlayError> {
        self.settle()?;
        self.complete_links()?;
        let lock = self.store.lock()?;
        let failed = |source| store_error(&self.store.path, source);
        self.store.clean_work().map_err(failed)?;
        if let Some(rel) = self.renamed_directory()? {
            return Err(OverlayError::Renamed { path: self.absolute(&rel) });
        }
        // The kernel hides its own marks from the command, not ours.
        for mark in xattr::list(&self.store.ensure()?.upper, at::dot()).map_err(failed)? {
            if matches!(judge(&mark), Mark::Ours) {
                xattr::drop_own(&self.store.ensure()?.upper, at::dot(), &mark).map_err(failed)?;
            }
        }
        // What an earlier mount left there, `volatile` among it, would forbid another.
        remove::tree(&self.store.ensure()?.dir, OsStr::new(WORK)).map_err(failed)?;
        at::mkdir(&self.store.ensure()?.dir, OsStr::new(WORK), 0o700).map_err(failed)?;
        Ok(Kernel { store: self.store.path.clone(), made: now().map_err(failed)?, _lock: lock })
    }

    /// Looks at the root and the layer: a listing of the root, a table of mounts, a few stat(2).
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn kernel_facts(&self) -> Result<KernelFacts, OverlayError> {
        let failed = |source| OverlayError::Root { path: self.saved.root.clone(), source };
        Ok(KernelFacts {
            distant: !is_local(&self.root).map_err(failed)?
                || !self.store.place().and_then(|dir| is_local(&dir)).map_err(failed)?,
            mounts_below: mounts_below(&self.saved.root).map_err(failed)?,
            foreign_owners: self.foreign_owners().map_err(failed)?,
            renamed: self.renamed_directory()?.is_some(),
        })
    }

    /// An ordinary user's jar knows his own ids only; root's knows all.
    fn foreign_owners(&self) -> Result<bool, Errno> {
        let own = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        if own.0 == 0 {
            return Ok(false);
        }
        let foreign = |stat: &Stat| (stat.st_uid, stat.st_gid) != own;
        if foreign(&at::stat(&self.root, at::dot())?) {
            return Ok(true);
        }
        for entry in at::list(&self.root)? {
            if at::stat_opt(&self.root, &entry.name)?.is_some_and(|stat| foreign(&stat)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Checks and completes a layer that the kernel wrote, if that is not done yet; a layer in use is left as it is.
    /// Everything that compares the layer or serves it does this first.
    ///
    /// # Errors
    /// The layer holds marks that nobody can have made, or cannot be read.
    pub fn settle(&self) -> Result<(), OverlayError> {
        if !self.is_unsettled()? {
            return Ok(());
        }
        match self.store.lock() {
            Ok(_lock) => self.settle_locked(),
            Err(OverlayError::Busy { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn is_unsettled(&self) -> Result<bool, OverlayError> {
        self.store.has(MARK).map_err(|e| store_error(&self.store.path, e))
    }

    fn settle_locked(&self) -> Result<(), OverlayError> {
        let failed = |source| store_error(&self.store.path, source);
        let since = self.read_mark()?;
        let since = since.moment().map_err(failed)?;
        let mut settling = Settling { overlay: self, since, seen: Vec::new(), rewritten: Vec::new() };
        settling.walk()?;
        self.store.ensure()?.origins.cover_all(&settling.seen).map_err(failed)?;
        for rel in &settling.rewritten {
            // Nothing depends on it but a merge, which says when there is none.
            let _ = self.keep_as_base(rel);
        }
        xattr::set(&self.store.ensure()?.upper, at::dot(), OsStr::new(xattr::FORMAT), b"1", 0).map_err(failed)?;
        remove::tree(&self.store.ensure()?.dir, OsStr::new(WORK)).map_err(failed)?;
        at::unlink_opt(&self.store.ensure()?.dir, OsStr::new(MARK)).map_err(failed)
    }

    fn read_mark(&self) -> Result<Since, OverlayError> {
        let path = self.store.path.join(MARK);
        let damaged = |why: String| OverlayError::Damaged { path: path.clone(), why };
        let text = std::fs::read(&path).map_err(|e| store_error(&path, errno_of(&e)))?;
        let since: Since = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
        if since.boot != boot_id().map_err(|e| store_error(&path, e))? {
            // The kernel was told that it need not write the layer to the disk in any order.
            return Err(damaged("the machine went down while the command ran, so files may be torn".to_owned()));
        }
        Ok(since)
    }

    /// A directory of the layer that shows another one of the host: the kernel follows no redirect here.
    fn renamed_directory(&self) -> Result<Option<PathBuf>, OverlayError> {
        if !self.has_layer() {
            return Ok(None);
        }
        let mut waiting = vec![PathBuf::new()];
        while let Some(rel) = waiting.pop() {
            let mut look = || -> Result<Option<PathBuf>, Errno> {
                let dir = open_upper(self, &rel)?;
                for entry in at::list_own(&dir)?.into_iter().filter(|entry| entry.kind == libc::S_IFDIR) {
                    let child = rel.join(&entry.name);
                    if let Reach::Redirect(_) = at::forced(&[&dir], || reach(&dir, &entry.name))? {
                        return Ok(Some(child));
                    }
                    waiting.push(child);
                }
                Ok(None)
            };
            if let Some(found) = look().map_err(|source| self.read_error(&rel, source))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// File systems of this machine that can be upper layers, by statfs(2): ext2 to ext4, xfs, btrfs, f2fs, tmpfs, bcachefs.
const LOCAL: &[i128] = &[0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010, 0x0102_1994, 0xCA45_1A4E];

fn is_local(dir: &OwnedFd) -> Result<bool, Errno> {
    let kind = nix::sys::statfs::fstatfs(dir)?.filesystem_type();
    Ok(LOCAL.contains(&i128::from(kind.0)))
}

/// Whether proc_pid_mountinfo(5) names a mount point below `root`.
fn mounts_below(root: &FilePath) -> Result<bool, Errno> {
    let table = std::fs::read("/proc/self/mountinfo").map_err(|e| errno_of(&e))?;
    let points = table.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    Ok(points.map(mount_point).any(|point| point != *root && point.starts_with(root)))
}

/// Octal escapes for blanks and backslashes, as in the table.
fn mount_point(escaped: &[u8]) -> FilePath {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    FilePath::new(OsString::from_vec(bytes))
}

impl Kernel {
    /// The directory to mount as `upperdir`.
    #[must_use]
    pub fn upper(&self) -> FilePath {
        FilePath::from(self.store.join("upper"))
    }

    /// The directory to mount as `workdir`.
    #[must_use]
    pub fn work(&self) -> FilePath {
        FilePath::from(self.store.join(WORK))
    }

    /// The command was asked for at `begun`: what the host changes from then on may count as changed while it ran. The
    /// earlier that was, the less [`Kernel::begin`] has to wait.
    #[must_use]
    pub fn asked_at(mut self, begun: SystemTime) -> Kernel {
        if let Ok(since) = begun.duration_since(SystemTime::UNIX_EPOCH) {
            let begun = (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), i64::from(since.subsec_nanos()));
            self.made = self.made.min(begun);
        }
        self
    }

    /// The view is mounted, and nothing of it was used yet.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn begin(&self) -> Result<(), OverlayError> {
        let path = self.store.join(MARK);
        let failed = |source| store_error(&path, source);
        // What the host changed before this was made must not count as changed since: change times move in ticks.
        for _ in 0..TICK_WAITS_MAX {
            if tick().map_err(failed)? > self.made {
                break;
            }
            std::thread::sleep(TICK_WAIT);
        }
        let json = serde_json::to_vec(&Since::now().map_err(failed)?).map_err(|_| failed(Errno::EIO))?;
        // Whole or not at all: half a mark would make the layer unreadable.
        let spare = self.store.join("unsettled.new");
        std::fs::write(&spare, json).map_err(|e| failed(errno_of(&e)))?;
        std::fs::rename(&spare, &path).map_err(|e| failed(errno_of(&e)))
    }
}

impl Since {
    fn now() -> Result<Since, Errno> {
        Ok(Since { time: tick()?, uptime: uptime()?, boot: boot_id()? })
    }

    /// The earliest change time the host's files can have got since, also when its clock was set back meanwhile.
    fn moment(&self) -> Result<(i64, i64), Errno> {
        const SECOND: i64 = 1_000_000_000;
        let nanoseconds = |(seconds, rest): (i64, i64)| seconds.saturating_mul(SECOND).saturating_add(rest);
        let now = now()?;
        let passed = uptime()?.saturating_sub(self.uptime);
        let begun = nanoseconds(self.time);
        let set_back = begun.saturating_add(passed).saturating_sub(nanoseconds(now));
        // Two readings of two clocks are never at the same moment; a real correction is larger.
        const NOISE: i64 = 50_000_000;
        let earliest = if set_back > NOISE { begun.saturating_sub(set_back) } else { begun };
        Ok((earliest.div_euclid(SECOND), earliest.rem_euclid(SECOND)))
    }
}

fn now() -> Result<(i64, i64), Errno> {
    let time = clock_gettime(ClockId::CLOCK_REALTIME)?;
    Ok((time.tv_sec(), time.tv_nsec()))
}

/// The earliest change time that a file changed now can get.
fn tick() -> Result<(i64, i64), Errno> {
    let time = clock_gettime(ClockId::CLOCK_REALTIME_COARSE)?;
    Ok((time.tv_sec(), time.tv_nsec()))
}

fn uptime() -> Result<i64, Errno> {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME)?;
    Ok(time.tv_sec().saturating_mul(1_000_000_000).saturating_add(time.tv_nsec()))
}

fn boot_id() -> Result<String, Errno> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(|e| errno_of(&e))
}

/// Where the walk is: an upper directory, and the host's that shows through it.
struct At {
    rel: PathBuf,
    lower: Option<PathBuf>,
    /// The host's directory has got or lost names since.
    renamed: bool,
    /// A host directory above was put in the place of another one, so nothing below is what the jar saw.
    swapped: bool,
}

/// One walk over a layer that the kernel wrote.
struct Settling<'o> {
    overlay: &'o Overlay,
    since: (i64, i64),
    seen: Vec<(PathBuf, Identity)>,
    /// Files of the host over which the layer has one, and that are as they were.
    rewritten: Vec<PathBuf>,
}

impl Settling<'_> {
    fn walk(&mut self) -> Result<(), OverlayError> {
        let overlay = self.overlay;
        let host = at::stat(&overlay.root, at::dot()).map_err(|e| overlay.read_error(Path::new(""), e))?;
        self.record(Path::new(""), &host, false);
        self.check(&overlay.store.ensure()?.upper, at::dot(), Path::new(""))?;
        let mut waiting = vec![At {
            rel: PathBuf::new(),
            lower: Some(PathBuf::new()),
            renamed: self.has_other_names(&host),
            swapped: false,
        }];
        while let Some(here) = waiting.pop() {
            let dir = open_upper(overlay, &here.rel).map_err(|e| overlay.read_error(&here.rel, e))?;
            for entry in at::list_own(&dir).map_err(|e| overlay.read_error(&here.rel, e))? {
                self.entry(&here, &dir, &entry.name, &mut waiting)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, here: &At, dir: &OwnedFd, name: &OsStr, waiting: &mut Vec<At>) -> Result<(), OverlayError> {
        let rel = here.rel.join(name);
        let on = |errno| self.overlay.read_error(&rel, errno);
        let own = at::forced(&[dir], || at::stat(dir, name)).map_err(on)?;
        let copied = match at::kind_of(&own) {
            libc::S_IFREG | libc::S_IFDIR => self.check(dir, name, &rel)?,
            _ => false,
        };
        let lower = here.lower.as_ref().map(|lower| lower.join(name));
        let host = match &lower {
            Some(lower) => host_object(&self.overlay.root, lower).map_err(on)?.map(|(_, stat)| stat),
            None => None,
        };
        let opaque = at::is_dir(&own) && self.is_opaque(dir, name, &rel)?;
        let mut swapped = here.swapped;
        match (&lower, &host) {
            (Some(lower), Some(host)) => {
                swapped |= self.was_swapped(host);
                self.record(lower, host, here.swapped);
                if [host, &own].iter().all(|stat| at::kind_of(stat) == libc::S_IFREG)
                    && self.is_same(host, here.swapped)
                {
                    self.rewritten.push(lower.clone());
                }
                if at::is_whiteout(&own) || opaque {
                    self.record_below(lower, host, swapped)?;
                }
            }
            // A copy of something the host does not have: either the command renamed the copy, or the host took the
            // original away, and then its directory tells.
            (Some(lower), None) if copied && here.renamed => self.seen.push((lower.clone(), Identity::lost())),
            _ => {}
        }
        if at::is_dir(&own) {
            let host = host.filter(|host| at::is_dir(host) && !opaque);
            let renamed = host.as_ref().is_some_and(|host| self.has_other_names(host));
            waiting.push(At { rel, lower: lower.filter(|_| host.is_some()), renamed, swapped });
        }
        Ok(())
    }

    /// Everything below a directory that the jar deleted.
    fn record_below(&mut self, lower: &Path, host: &Stat, swapped: bool) -> Result<(), OverlayError> {
        if !at::is_dir(host) {
            return Ok(());
        }
        let overlay = self.overlay;
        let mut waiting = vec![(lower.to_owned(), swapped)];
        while let Some((rel, swapped)) = waiting.pop() {
            let on = |errno| overlay.read_error(&rel, errno);
            let dir = match at::open_beneath(&overlay.root, &rel) {
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => continue,
                dir => dir.map_err(on)?,
            };
            for entry in at::list(&dir).map_err(on)? {
                let child = rel.join(&entry.name);
                let Some(stat) = at::stat_opt(&dir, &entry.name).map_err(on)? else { continue };
                self.record(&child, &stat, swapped);
                if at::is_dir(&stat) {
                    waiting.push((child, swapped || self.was_swapped(&stat)));
                }
            }
        }
        Ok(())
    }

    /// What the host has at `lower` is what it had when the view appeared, or lost.
    fn record(&mut self, lower: &Path, host: &Stat, swapped: bool) {
        let identity = if self.is_same(host, swapped) { Identity::of(host) } else { Identity::lost() };
        self.seen.push((lower.to_owned(), identity));
    }

    fn is_same(&self, host: &Stat, swapped: bool) -> bool {
        !swapped && (host.st_ctime, host.st_ctime_nsec) < self.since
    }

    /// Whether a directory of the host got its name, or other attributes, since: its own change time moved, and not
    /// because of a name in it, which would have moved its modification time too.
    fn was_swapped(&self, host: &Stat) -> bool {
        let moved = (host.st_ctime, host.st_ctime_nsec) >= self.since;
        at::is_dir(host) && moved && !self.has_other_names(host)
    }

    fn has_other_names(&self, host: &Stat) -> bool {
        (host.st_mtime, host.st_mtime_nsec) >= self.since
    }

    fn is_opaque(&self, dir: &OwnedFd, name: &OsStr, rel: &Path) -> Result<bool, OverlayError> {
        let reach = at::forced(&[dir], || reach(dir, name)).map_err(|e| self.overlay.read_error(rel, e))?;
        Ok(matches!(reach, Reach::Opaque))
    }

    /// Checks the marks on one object and takes off what only Belljar writes, because here the command could have.
    /// Whether the kernel says that it copied the object from the host.
    fn check(&self, dir: &OwnedFd, name: &OsStr, rel: &Path) -> Result<bool, OverlayError> {
        let on = |errno| self.overlay.read_error(rel, errno);
        let names = at::forced(&[dir], || xattr::list(dir, name)).map_err(on)?;
        for mark in names.iter().filter(|mark| xattr::is_reserved(mark)) {
            match judge(mark) {
                Mark::Known => {}
                Mark::Opaque if self.is_opaque(dir, name, rel)? => {}
                Mark::Ours => at::forced(&[dir], || xattr::drop_own(dir, name, mark)).map_err(on)?,
                Mark::Opaque | Mark::Unknown => return Err(self.unknown(mark, rel)),
            }
        }
        Ok(names.iter().any(|mark| mark.as_bytes() == COPIED))
    }

    fn unknown(&self, mark: &OsString, rel: &Path) -> OverlayError {
        let why = format!("an attribute {} that means nothing here", model::escape::text(&mark.to_string_lossy()));
        OverlayError::Damaged { path: self.overlay.store.path.join("upper").join(rel), why }
    }
}

/// What the kernel writes on what it copies up (Documentation/filesystems/overlayfs.rst).
const COPIED: &[u8] = b"user.overlay.origin";

enum Mark {
    /// The kernel's own, without meaning for a diff.
    Known,
    Opaque,
    /// Only Belljar writes it.
    Ours,
    Unknown,
}

/// What a reserved attribute means in a layer the kernel wrote. A name with `overlay.` twice is one that the command
/// set and the kernel escaped (Linux 6.7); the kernel shows it to nobody but another command.
fn judge(mark: &OsStr) -> Mark {
    let name = mark.as_bytes();
    if name.starts_with(b"user.belljar.") {
        return Mark::Ours;
    }
    match name.strip_prefix(b"user.overlay.") {
        Some(b"opaque") => Mark::Opaque,
        Some(b"origin" | b"impure" | b"uuid" | b"nlink" | b"protattr") => Mark::Known,
        Some(rest) if rest.starts_with(b"overlay.") => Mark::Known,
        Some(_) => Mark::Unknown,
        // trusted.overlay: nobody without rights on the host can have set it.
        None => Mark::Known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_known_or_refused() {
        for (name, expected) in [
            ("user.overlay.opaque", "opaque"),
            ("user.overlay.origin", "known"),
            ("user.overlay.overlay.opaque", "known"),
            ("user.overlay.redirect", "unknown"),
            ("user.overlay.metacopy", "unknown"),
            ("user.overlay.whiteout", "unknown"),
            ("user.belljar.origin", "ours"),
        ] {
            let judged = match judge(OsStr::new(name)) {
                Mark::Known => "known",
                Mark::Opaque => "opaque",
                Mark::Ours => "ours",
                Mark::Unknown => "unknown",
            };
            assert_eq!(judged, expected, "{name}");
        }
    }

    #[test]
    fn mount_points_are_read_as_the_table_writes_them() {
        for (text, path) in [("/a/b", "/a/b"), ("/a\\040b\\134", "/a b\\"), ("/\\04", "/\\04")] {
            assert_eq!(mount_point(text.as_bytes()).as_path(), Path::new(path));
        }
    }

    #[test]
    fn a_clock_set_back_moves_the_moment() {
        let now = Since::now().unwrap();
        assert_eq!(now.moment().unwrap(), now.time);
        let later = Since { time: (now.time.0 + 3_600, now.time.1), ..now.clone() };
        let moment = later.moment().unwrap();
        assert!(moment <= (now.time.0 + 1, 0), "an hour was taken back: {moment:?}");
    }
}
