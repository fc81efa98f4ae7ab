//! The way back: one generation after the other, newest first, each as it was when it began.
//!
//! A generation goes back in three rounds. What stands where something else stood is moved aside, flat, into `work`; so
//! no directory is in another's way. Then every name gets the object it had, found by inode number wherever that is now.
//! Last come content, attributes and times, which the moves have touched. Each round asks what is there and does what is
//! left, and the log is cut only behind a generation that is back: a rewind that was killed is finished by running it
//! again, and until it is, nothing else is done with the layer.

use crate::checkpoint::atlas::{Atlas, Spot};
use crate::checkpoint::keep::{kept_name, with_rights};
use crate::checkpoint::log::{Attributes, Entry, Record, WORK, Was};
use crate::error::OverlayError;
use crate::fs::at::{self, Stat};
use crate::fs::remove;
use crate::fs::xattr;
use crate::overlay::Overlay;
use crate::settle::apply::LayerState;
use crate::settle::step::Fault;
use crate::store::{Store, store_error, write_durably};
use crate::view::copy_up;
use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags};
use nix::sys::time::TimeSpec;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// The number of the checkpoint that is being gone back to.
const INTENT: &str = "rewind";

impl Overlay {
    /// Takes a checkpoint: remembers the layer as it is now, at the cost of a counter. Its number, counted from 1.
    ///
    /// # Errors
    /// The store is in use or full, or an apply or a rewind was interrupted.
    pub fn checkpoint(&self) -> Result<u64, OverlayError> {
        let _lock = self.store.lock()?;
        self.check_whole()?;
        let checkpoint = || {
            let parts = self.store.parts()?;
            self.store.undo.checkpoint(&parts.dir, &parts.origins, self.store.effects_bytes()?)
        };
        checkpoint().map_err(|e| self.store_failed(e))
    }

    /// The checkpoints there are, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn checkpoints(&self) -> Result<Vec<u64>, OverlayError> {
        let entries = self.store.undo.entries().map_err(|e| self.store_failed(e))?;
        Ok(entries.iter().map(|entry| entry.number).filter(|number| *number > 0).collect())
    }

    /// Brings the layer back to what it was at checkpoint `to`. Later checkpoints are gone then, `to` and earlier ones
    /// stay. Not while the view is served: files that are open would change under their readers.
    ///
    /// # Errors
    /// There is no such checkpoint, or the store is in use; nothing was done then. After any other error the rewind is
    /// begun, and running it again goes on.
    pub fn rewind(&self, to: u64) -> Result<(), OverlayError> {
        self.rewind_with(to, &|| {})
    }

    /// Whether a rewind was interrupted, and where it goes.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn rewinding(&self) -> Result<Option<u64>, OverlayError> {
        intent(&self.store).map_err(|e| self.store_failed(e))
    }

    /// Bytes on the disk that only checkpoints hold. What has a name in the layer too is counted there.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn kept_bytes(&self) -> Result<u64, OverlayError> {
        let count = || -> Result<u64, Errno> {
            let (mut blocks, work) = (0, &self.store.parts()?.work);
            for entry in at::list_own(work)? {
                let first = entry.name.as_encoded_bytes().first();
                if let Some(stat) = at::stat_opt(work, &entry.name)?.filter(|stat| stat.st_nlink == 1)
                    && matches!(first, Some(b'k' | b'c'))
                {
                    blocks += u64::try_from(stat.st_blocks).unwrap_or(0);
                }
            }
            Ok(blocks * 512)
        };
        if self.store.undo.is_on() { count().map_err(|e| self.store_failed(e)) } else { Ok(0) }
    }

    pub(crate) fn rewind_with(&self, to: u64, fault: Fault<'_>) -> Result<(), OverlayError> {
        let _lock = self.store.lock()?;
        self.check_settled()?;
        // Another process may have served the layer since this one opened it.
        self.store.undo.load(&self.store.ensure()?.dir).map_err(|e| self.store_failed(e))?;
        let begun = self.rewinding()?;
        let target = begun.map_or(to, |begun| begun.min(to));
        let entries = self.store.undo.entries().map_err(|e| self.store_failed(e))?;
        let known = |number: u64| entries.iter().position(|entry| entry.number == number && number > 0);
        let Some(keep) = known(target) else {
            return Err(OverlayError::NoCheckpoint { number: to });
        };
        let work = || {
            write_durably(&self.store.parts()?.dir, INTENT, target.to_string().as_bytes())?;
            fault();
            self.go_back(&entries, keep, fault)?;
            at::unlink_opt(&self.store.parts()?.dir, OsStr::new(INTENT))
        };
        work().map_err(|e| self.store_failed(e))?;
        // It went where it was to go first; a later checkpoint went with that.
        if target == to { Ok(()) } else { Err(OverlayError::NoCheckpoint { number: to }) }
    }

    fn go_back(&self, entries: &[Entry], keep: usize, fault: Fault<'_>) -> Result<(), Errno> {
        let store = &*self.store;
        store.clean_work()?;
        let first = entries.get(keep).ok_or(Errno::EINVAL)?;
        let wanted = store.undo.records(first.records, None)?.iter().filter_map(object_of).collect();
        let mut back = Back { store, atlas: Atlas::new(store, wanted)?, fault };
        for (index, entry) in entries.iter().enumerate().skip(keep).rev() {
            back.generation(Generation::new(store.undo.records(entry.records, None)?))?;
            fault();
            store.parts()?.origins.cut(entry.origins)?;
            store.undo.cut(entry.records, if index == keep { keep + 1 } else { index })?;
            fault();
        }
        store.cut_effects(first.effects)?;
        fault();
        sweep(store, fault)?;
        store.undo.load(&store.parts()?.dir)
    }

    /// Forgets all checkpoints with what was kept for them. Before an apply or undo: what becomes real is no part of the
    /// layer any more, and what returns was none of it at any checkpoint.
    pub(crate) fn forget_checkpoints(&self) -> Result<(), Errno> {
        if !self.store.undo.is_on() {
            return Ok(());
        }
        self.store.undo.remove(&self.store.parts()?.dir)?;
        sweep(&self.store, &|| {})
    }

    /// Refuses to go on with a layer that is half applied, half undone or half rewound.
    pub(crate) fn check_whole(&self) -> Result<(), OverlayError> {
        if self.rewinding()?.is_some() {
            return Err(OverlayError::Unfinished { what: "rewind" });
        }
        self.check_settled()
    }

    /// Refuses while an apply or an undo is half done.
    fn check_settled(&self) -> Result<(), OverlayError> {
        match self.state()? {
            LayerState::Applying => Err(OverlayError::Unfinished { what: "apply" }),
            LayerState::Undoing => Err(OverlayError::Unfinished { what: "undo" }),
            LayerState::AtRest => Ok(()),
        }
    }

    fn store_failed(&self, source: Errno) -> OverlayError {
        store_error(&self.store.path, source)
    }
}

fn intent(store: &Store) -> Result<Option<u64>, Errno> {
    let Some(parts) = store.made() else { return Ok(None) };
    let mut text = String::new();
    match at::open_file(&parts.dir, OsStr::new(INTENT), OFlag::O_RDONLY, 0) {
        Ok(file) => File::from(file).read_to_string(&mut text).map_err(|e| crate::fs::errno_of(&e))?,
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    text.parse().map(Some).map_err(|_| Errno::EUCLEAN)
}

/// The object a record is about.
fn object_of(record: &Record) -> Option<u64> {
    match record {
        Record::Name { was: Was::Object(ino), .. } | Record::Content { ino, .. } => Some(*ino),
        Record::Attributes(was) => Some(was.ino),
        Record::Name { .. } => None,
    }
}

/// Removes from `work` what no checkpoint holds any more.
fn sweep(store: &Store, fault: Fault<'_>) -> Result<(), Errno> {
    let mut held = HashSet::new();
    for record in store.undo.records(0, None)? {
        held.extend(object_of(&record).map(kept_name));
        if let Record::Content { copy, .. } = record {
            held.insert(copy);
        }
    }
    for entry in at::list_own(&store.parts()?.work)? {
        let kept = matches!(entry.name.as_encoded_bytes().first(), Some(b'k' | b'c'));
        if kept && !entry.name.to_str().is_some_and(|name| held.contains(name)) {
            fault();
            remove::tree(&store.parts()?.work, &entry.name)?;
        }
    }
    Ok(())
}

/// What the cells of one generation held when it began: of several records of a cell the first.
struct Generation {
    names: BTreeMap<(u64, OsString), Was>,
    attributes: BTreeMap<u64, Attributes>,
    contents: HashMap<u64, String>,
}

impl Generation {
    fn new(records: Vec<Record>) -> Generation {
        let mut out = Generation { names: BTreeMap::new(), attributes: BTreeMap::new(), contents: HashMap::new() };
        for record in records {
            match record {
                Record::Name { dir, name, was } => {
                    out.names.entry((dir, name.as_os_str().to_owned())).or_insert(was);
                }
                Record::Attributes(was) => drop(out.attributes.entry(was.ino).or_insert(was)),
                Record::Content { ino, copy } => drop(out.contents.entry(ino).or_insert(copy)),
            }
        }
        out
    }
}

/// A rewind under way.
struct Back<'b> {
    store: &'b Store,
    atlas: Atlas<'b>,
    fault: Fault<'b>,
}

impl Back<'_> {
    fn generation(&mut self, was: Generation) -> Result<(), Errno> {
        for ((dir, name), target) in &was.names {
            self.vacate(*dir, name, *target)?;
        }
        for ((dir, name), target) in &was.names {
            self.place(*dir, name, *target)?;
        }
        for target in was.names.values() {
            self.drop_surplus(*target)?;
        }
        for (ino, copy) in &was.contents {
            self.content(*ino, copy)?;
        }
        // The moves of other objects touch the times of directories: so these come when all is in its place.
        was.attributes.values().try_for_each(|attributes| self.attributes(attributes))
    }

    /// Moves aside what stands at a name and did not then.
    fn vacate(&mut self, dir: u64, name: &OsStr, target: Was) -> Result<(), Errno> {
        let fd = self.atlas.open(dir)?;
        let Some(stat) = at::forced(&[&fd], || at::stat_opt(&*fd, name))? else { return Ok(()) };
        if Was::of(Some(&stat)) == target {
            return Ok(());
        }
        (self.fault)();
        if at::is_whiteout(&stat) {
            return at::forced(&[&fd], || at::unlink(&*fd, name));
        }
        let aside = OsString::from(kept_name(stat.st_ino));
        if !at::is_dir(&stat) && stat.st_nlink > 1 {
            self.atlas.unnamed(stat.st_ino, dir, name);
            return at::forced(&[&fd], || at::unlink(&*fd, name));
        }
        self.rename(&fd, name, &self.store.parts()?.work, &aside)?;
        self.moved(&stat, dir, name, Spot { dir: WORK, name: aside });
        Ok(())
    }

    /// Gives a name, which is free now, what it held then.
    fn place(&mut self, dir: u64, name: &OsStr, target: Was) -> Result<(), Errno> {
        let fd = self.atlas.open(dir)?;
        if at::forced(&[&fd], || at::stat_opt(&*fd, name))?.is_some() {
            return Ok(());
        }
        let ino = match target {
            Was::Nothing => return Ok(()),
            Was::Whiteout => {
                (self.fault)();
                return self.store.link_whiteout(&fd, name);
            }
            Was::Object(ino) => ino,
        };
        (self.fault)();
        let spot = Spot { dir, name: name.to_owned() };
        if let Some(from) = self.atlas.dir(ino).cloned() {
            let from_fd = self.atlas.open(from.dir)?;
            check_is(&from_fd, &from.name, ino)?;
            self.rename(&from_fd, &from.name, &fd, name)?;
            self.atlas.dir_moved(ino, spot);
            return Ok(());
        }
        let from = self.atlas.file(ino).cloned().ok_or(Errno::EUCLEAN)?;
        let from_fd = self.atlas.open(from.dir)?;
        check_is(&from_fd, &from.name, ino)?;
        at::forced(&[&from_fd, &fd], || at::link(&*from_fd, &from.name, &*fd, name))?;
        self.atlas.named(ino, spot);
        Ok(())
    }

    /// A file that has its names back needs none in `work`.
    fn drop_surplus(&mut self, target: Was) -> Result<(), Errno> {
        let Was::Object(ino) = target else { return Ok(()) };
        let name = OsString::from(kept_name(ino));
        match at::stat_opt(&self.store.parts()?.work, &name)? {
            Some(stat) if !at::is_dir(&stat) && stat.st_nlink > 1 => {
                (self.fault)();
                self.atlas.unnamed(ino, WORK, &name);
                at::unlink(&self.store.parts()?.work, &name)
            }
            _ => Ok(()),
        }
    }

    fn content(&mut self, ino: u64, copy: &str) -> Result<(), Errno> {
        let (dir, name) = self.atlas.place(ino)?;
        check_is(&dir, &name, ino)?;
        (self.fault)();
        let target = File::from(at::forced(&[&dir], || at::open_own(&*dir, &name, OFlag::O_RDWR))?);
        let source = File::from(at::open_file(&self.store.parts()?.work, OsStr::new(copy), OFlag::O_RDONLY, 0)?);
        // Emptied first, so that holes are holes again.
        nix::unistd::ftruncate(&target, 0)?;
        (self.fault)();
        copy_up::copy_content(&source, &target, nix::sys::stat::fstat(&source)?.st_size)
    }

    fn attributes(&mut self, was: &Attributes) -> Result<(), Errno> {
        let (dir, name) = self.atlas.place(was.ino)?;
        let stat = at::forced(&[&dir], || at::stat(&dir, &name))?;
        if stat.st_ino != was.ino || stat.st_mode & libc::S_IFMT != was.mode & libc::S_IFMT {
            return Err(Errno::EUCLEAN);
        }
        (self.fault)();
        at::forced(&[&dir], || restore_attributes(&dir, &name, &stat, was))
    }

    fn rename(&self, from: &OwnedFd, name: &OsStr, to: &OwnedFd, to_name: &OsStr) -> Result<(), Errno> {
        at::forced(&[from, to], || at::rename(from, name, to, to_name, RenameFlags::RENAME_NOREPLACE))
    }

    fn moved(&mut self, stat: &Stat, dir: u64, name: &OsStr, to: Spot) {
        if at::is_dir(stat) {
            return self.atlas.dir_moved(stat.st_ino, to);
        }
        self.atlas.unnamed(stat.st_ino, dir, name);
        self.atlas.named(stat.st_ino, to);
    }
}

/// The map must be right about what is about to be moved or written.
fn check_is(dir: &Arc<OwnedFd>, name: &OsStr, ino: u64) -> Result<(), Errno> {
    let stat = at::forced(&[dir], || at::stat(&**dir, name))?;
    if stat.st_ino == ino { Ok(()) } else { Err(Errno::EUCLEAN) }
}

/// Owner first, which takes set-id bits off; times last.
fn restore_attributes(dir: &OwnedFd, name: &OsStr, now: &Stat, was: &Attributes) -> Result<(), Errno> {
    if (now.st_uid, now.st_gid) != (was.uid, was.gid) {
        at::chown(dir, name, Some(was.uid), Some(was.gid))?;
    }
    if matches!(at::kind_of(now), libc::S_IFREG | libc::S_IFDIR) {
        restore_xattrs(dir, name, now, was)?;
    }
    if at::kind_of(now) != libc::S_IFLNK {
        at::chmod(dir, name, was.mode & 0o7777)?;
    }
    let time = |(seconds, nanoseconds): (i64, i64)| TimeSpec::new(seconds, nanoseconds);
    at::set_times(dir, name, time(was.atime), time(was.mtime))
}

fn restore_xattrs(dir: &OwnedFd, name: &OsStr, now: &Stat, was: &Attributes) -> Result<(), Errno> {
    let have: BTreeMap<OsString, Vec<u8>> =
        with_rights(dir, name, now, || xattr::everything(dir, name))?.into_iter().collect();
    let then: BTreeMap<&OsStr, &Vec<u8>> = was.xattrs.iter().map(|(name, value)| (name.as_os_str(), value)).collect();
    for gone in have.keys().filter(|own| !then.contains_key(own.as_os_str())) {
        with_rights(dir, name, now, || xattr::remove(dir, name, gone))?;
    }
    for (own, value) in then {
        if have.get(own) != Some(value) {
            with_rights(dir, name, now, || xattr::set(dir.as_fd(), name, own, value, 0))?;
        }
    }
    Ok(())
}
