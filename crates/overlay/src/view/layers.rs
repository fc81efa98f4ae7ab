//! The layers: one host directory below, one private tree above, seen as one.
//!
//! Names are looked up here and turned into nodes; what happens to them stands in the sibling modules. No FUSE type
//! is in sight: a caller holds node numbers and gives them back with [`Layers::forget`].

use crate::checkpoint::keep::is_kept_name;
use crate::fs::at::{self, Stat};
use crate::fs::xattr;
use crate::store::Store;
use crate::store::budget::Budget;
use crate::store::origin::Origin;
use crate::view::cache::Bounded;
use crate::view::device;
use crate::view::foreign::OwnIds;
use crate::view::hidden::HiddenPaths;
use crate::view::node::{self, Key, Lower, Node, Place, ROOT, Table, Tomb};
use crate::view::watch::{Belief, Watches};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

/// Directory descriptors kept open, per layer. The usual soft limit on descriptors is 1024, and a process serves two
/// views (workspace and home): all that one keeps open must stay below half of that.
const DIRS_OPEN_MAX: usize = 128;
/// Data descriptors kept open.
const FILES_OPEN_MAX: usize = 96;
/// Unlinked files kept by a descriptor; further ones keep a name in the store's `work`.
const HELD_MAX: usize = 64;
/// A host directory may be replaced under its name; after this long its descriptor is opened anew.
const LOWER_DIR_AGE: Duration = Duration::from_secs(1);
/// A bundle of certificates is smaller than this.
const PUBLIC_BYTES_MAX: i64 = 1 << 20;
/// Longest name, as everywhere on Linux.
const NAME_BYTES_MAX: usize = 255;

/// What the view has under one name.
pub(crate) struct Found {
    pub(crate) upper: Option<Stat>,
    pub(crate) lower: Option<(PathBuf, Stat)>,
    /// The upper layer says that the name is gone.
    pub(crate) whiteout: bool,
    /// It is a directory whose content a rule hides.
    pub(crate) hidden: bool,
}

impl Found {
    /// The layer that tells kind and attributes; `None` when the name does not exist.
    pub(crate) fn shown(&self) -> Option<&Stat> {
        self.upper.as_ref().or(self.lower.as_ref().map(|(_, stat)| stat))
    }
}

/// What an upper object says of where it comes from.
#[derive(Clone, Copy, Debug, Default)]
struct Past {
    /// Which lower object it was copied from.
    origin: Option<Origin>,
    /// Links in the view minus links in the store, of a file.
    nlink_delta: i64,
}

/// What a caller learns about an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attr {
    /// As the child sees it; `st_ino` is the node number.
    pub(crate) stat: Stat,
    /// The node.
    pub(crate) number: u64,
    /// How long it stays true.
    pub(crate) belief: Belief,
}

/// What was found under a name.
pub(crate) enum Seen {
    There(Attr),
    /// Nothing, and how long that stays true.
    Absent(Belief),
}

impl Attr {
    /// Takes what the path to a host object says of how long it stays true. A file with further names may be changed by
    /// one that is not watched.
    fn believe(&mut self, belief: Belief) {
        let alone = at::is_dir(&self.stat) || self.stat.st_nlink == 1;
        if self.belief == Belief::Host && belief == Belief::Watched && alone {
            self.belief = Belief::Watched;
        }
    }
}

/// One overlay, ready to be asked.
pub(crate) struct Layers {
    pub(crate) store: Arc<Store>,
    pub(crate) lower: OwnedFd,
    pub(crate) hidden: HiddenPaths,
    pub(crate) watches: Watches,
    pub(crate) budget: Arc<Budget>,
    /// Structure changes take it exclusively, everything else shared.
    table: RwLock<Table>,
    upper_dirs: Mutex<Bounded<u64, Arc<OwnedFd>>>,
    lower_dirs: Mutex<Bounded<PathBuf, Arc<OwnedFd>>>,
    pub(crate) files: Mutex<Bounded<(u64, bool), Arc<std::fs::File>>>,
    pub(crate) listings: Mutex<Bounded<u64, Arc<crate::view::readdir::Listing>>>,
    /// Where the child's namespace maps no other ids.
    pub(crate) own: Option<OwnIds>,
    /// Whether the child may make device nodes.
    pub(crate) devices: bool,
    /// The token of [`Tomb::Held`].
    held: Arc<()>,
    root_ino: u64,
    frozen: AtomicBool,
}

impl Layers {
    pub(crate) fn new(store: Arc<Store>, lower: OwnedFd, hidden: HiddenPaths, devices: bool) -> Result<Layers, Errno> {
        let below = at::stat(&lower, at::dot())?;
        let above = store.made().map(|parts| at::stat(&parts.upper, at::dot())).transpose()?;
        let root = Lower { rel: PathBuf::new(), key: node::key(&below) };
        let mut table = Table::new(above.as_ref().map(node::key), root);
        let modified = |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec);
        if above.is_some_and(|above| modified(&above) == modified(&below)) {
            table.get_mut(ROOT)?.frozen_ctime = Some((below.st_ctime, below.st_ctime_nsec));
        }
        Ok(Layers {
            table: RwLock::new(table),
            upper_dirs: Mutex::new(Bounded::new(DIRS_OPEN_MAX)),
            lower_dirs: Mutex::new(Bounded::new(DIRS_OPEN_MAX)),
            files: Mutex::new(Bounded::new(FILES_OPEN_MAX)),
            listings: Mutex::new(Bounded::new(crate::view::readdir::LISTINGS_MAX)),
            own: OwnIds::of_process(),
            devices,
            held: Arc::new(()),
            root_ino: below.st_ino,
            frozen: AtomicBool::new(false),
            watches: Watches::default(),
            budget: Arc::default(),
            store,
            lower,
            hidden,
        })
    }

    /// Refuses every further request, so that the upper layer stays as it is.
    pub(crate) fn freeze(&self) {
        let _write = self.write();
        self.frozen.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::SeqCst)
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The exclusive lock for a change, unless the layer is frozen.
    pub(crate) fn changing(&self) -> Result<RwLockWriteGuard<'_, Table>, Errno> {
        let table = self.write();
        if self.is_frozen() { Err(Errno::ENOTCONN) } else { Ok(table) }
    }

    /// Looks `name` up in `parent` and takes a reference for the caller.
    pub(crate) fn lookup(&self, parent: u64, name: &OsStr) -> Result<Attr, Errno> {
        match self.look(parent, name)? {
            Seen::There(attr) => Ok(attr),
            Seen::Absent(_) => Err(Errno::ENOENT),
        }
    }

    /// [`Layers::lookup`], which also says how long an absence stays true.
    pub(crate) fn look(&self, parent: u64, name: &OsStr) -> Result<Seen, Errno> {
        let mut table = self.changing()?;
        let table = &mut *table;
        let watched = self.watch_names_of(table.get_mut(parent)?);
        let found = self.find(table, parent, name)?;
        if found.shown().is_none() {
            return Ok(Seen::Absent(self.belief_in_absence(table.get(parent)?, name, found.whiteout, watched)));
        }
        let mut attr = self.enter(table, parent, name, &found)?;
        let node = table.get_mut(attr.number)?;
        node.lookups += 1;
        if watched && attr.belief == Belief::Host {
            // A directory of the host that the jar has moved is told where it was.
            let here = found.lower.as_ref().and_then(|(rel, _)| rel.parent());
            let named = here == table.get(parent)?.lower.as_ref().map(|lower| lower.rel.as_path());
            let belief = self.belief(table.get(attr.number)?, |_| named);
            attr.believe(belief);
        }
        Ok(Seen::There(attr))
    }

    /// Gives references back. What was unlinked and is no longer open goes with the last one.
    pub(crate) fn forget(&self, number: u64, count: u64) -> Result<(), Errno> {
        let gone = self.write().forget(number, count);
        let Some(node) = gone else { return Ok(()) };
        self.close_files(number);
        if node.is_dir() {
            lock(&self.upper_dirs).remove(&number);
            lock(&self.listings).remove(&number);
        }
        match node.place {
            Place::Tomb(tomb) => {
                self.budget.freed();
                self.close_tomb(&tomb)
            }
            _ => Ok(()),
        }
    }

    /// stat(2) of a node.
    pub(crate) fn getattr(&self, number: u64) -> Result<Attr, Errno> {
        let table = self.read();
        let node = table.get(number)?;
        let belief = self.belief(node, |parent| self.watches.has(parent));
        let mut attr = self.attr(&table, node)?;
        attr.believe(belief);
        Ok(attr)
    }

    /// The target of a symbolic link.
    pub(crate) fn readlink(&self, number: u64) -> Result<OsString, Errno> {
        let table = self.read();
        let node = table.get(number)?;
        let (dir, name) = self.locate(&table, node)?;
        at::readlink(&dir, &name)
    }

    /// What the view has as `name` in the directory `parent`.
    pub(crate) fn find(&self, table: &Table, parent: u64, name: &OsStr) -> Result<Found, Errno> {
        check_name(name)?;
        let dir = table.get(parent)?;
        if !dir.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        let mut found = Found { upper: None, lower: None, whiteout: false, hidden: false };
        if dir.place == Place::Dead {
            return Ok(found);
        }
        let fd = if dir.is_upper() { Some(self.upper_dir(table, dir.number)?) } else { None };
        if let Some(fd) = &fd {
            find_upper(fd, name, &mut found)?;
        }
        self.find_lower(dir, fd.as_deref(), name, found)
    }

    /// Adds the host's side to `found`, as far as it shows.
    fn find_lower(&self, dir: &Node, upper: Option<&OwnedFd>, name: &OsStr, mut found: Found) -> Result<Found, Errno> {
        let below = dir.lower.as_ref().map(|lower| lower.rel.join(name));
        if let (true, Some(rel), Some(lower)) = (dir.hidden, &below, &dir.lower) {
            self.note_inside(&lower.rel, rel);
        }
        let below = below.filter(|_| !dir.hidden);
        match (&found.upper, upper) {
            (Some(stat), Some(fd)) if at::is_dir(stat) => match (reach(fd, name)?, below) {
                (Reach::Redirect(rel), _) | (Reach::Same, Some(rel)) => {
                    return self.show_lower_dir(rel, found);
                }
                (Reach::Opaque, _) | (Reach::Same, None) => {}
            },
            (Some(_), _) => {}
            (None, _) if found.whiteout => {}
            (None, _) => {
                if let Some(rel) = below
                    && let Some(stat) = self.lower_stat(&rel)?
                {
                    self.show_lower(rel, stat, &mut found)?;
                }
            }
        }
        Ok(found)
    }

    fn show_lower_dir(&self, rel: PathBuf, mut found: Found) -> Result<Found, Errno> {
        if let Some(stat) = self.lower_stat(&rel)?
            && at::is_dir(&stat)
        {
            found.hidden = self.hidden.directory_rule(&rel).is_some();
            found.lower = Some((rel, stat));
        }
        Ok(found)
    }

    fn show_lower(&self, rel: PathBuf, stat: Stat, found: &mut Found) -> Result<(), Errno> {
        match self.hiding(&rel, &stat)? {
            Some(_) if at::is_dir(&stat) => found.hidden = true,
            Some(rule) => {
                self.hidden.attempt(&rel, rule);
                return Ok(());
            }
            None => {}
        }
        found.lower = Some((rel, stat));
        Ok(())
    }

    /// The rule that hides what the host has as `rel`.
    pub(crate) fn hiding(&self, rel: &Path, stat: &Stat) -> Result<Option<&str>, Errno> {
        if let Some(rule) = self.hidden.rule(rel) {
            return Ok(Some(rule));
        }
        match self.hidden.named(rel, at::is_dir(stat)) {
            Some(named) if named.unless_public && self.is_public(rel, stat)? => Ok(None),
            named => Ok(named.map(|named| named.rule)),
        }
    }

    /// Whether the file has nothing in it but public parts of keys. What cannot be told is not public.
    fn is_public(&self, rel: &Path, stat: &Stat) -> Result<bool, Errno> {
        if at::kind_of(stat) != libc::S_IFREG || !(0..=PUBLIC_BYTES_MAX).contains(&stat.st_size) {
            return Ok(false);
        }
        let Some((parent, name)) = at::split(rel) else { return Ok(false) };
        let dir = self.lower_dir(parent)?;
        let Ok(file) = at::open_file(&*dir, name, OFlag::O_RDONLY | OFlag::O_NONBLOCK, 0) else { return Ok(false) };
        let mut content = Vec::new();
        let most = PUBLIC_BYTES_MAX.cast_unsigned() + 1;
        let read = std::fs::File::from(file).take(most).read_to_end(&mut content);
        Ok(read.is_ok_and(|count| count as u64 != most) && self.hidden.is_public(&content))
    }

    fn note_inside(&self, hidden: &Path, rel: &Path) {
        let rule = hidden.ancestors().find_map(|above| self.hidden.directory_rule(above));
        self.hidden.attempt(rel, rule.unwrap_or("hidden"));
    }

    /// stat(2) in the lower layer.
    pub(crate) fn lower_stat(&self, rel: &Path) -> Result<Option<Stat>, Errno> {
        let Some((parent, name)) = at::split(rel) else {
            return at::stat(&self.lower, at::dot()).map(Some);
        };
        match self.lower_dir(parent) {
            Ok(dir) => at::stat_opt(&dir, name),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// A directory of the lower layer, opened without following links.
    pub(crate) fn lower_dir(&self, rel: &Path) -> Result<Arc<OwnedFd>, Errno> {
        if let Some(dir) = lock(&self.lower_dirs).get_young(rel, LOWER_DIR_AGE) {
            return Ok(dir);
        }
        let dir = Arc::new(at::open_beneath(&self.lower, rel)?);
        lock(&self.lower_dirs).put(rel.to_owned(), Arc::clone(&dir));
        Ok(dir)
    }

    /// Has `dir` used for the lower directory `rel`.
    pub(crate) fn keep_lower_dir(&self, rel: &Path, dir: OwnedFd) {
        lock(&self.lower_dirs).put(rel.to_owned(), Arc::new(dir));
    }

    /// Has every directory of the lower layer opened anew, because they may be others now.
    pub(crate) fn drop_lower_dirs(&self) {
        *lock(&self.lower_dirs) = Bounded::new(DIRS_OPEN_MAX);
    }

    /// The upper directory behind a node that has one. Opened from the nearest ancestor that is open already.
    pub(crate) fn upper_dir(&self, table: &Table, number: u64) -> Result<Arc<OwnedFd>, Errno> {
        let mut names: Vec<(u64, OsString)> = Vec::new();
        let mut at_number = number;
        let mut dir = loop {
            if let Some(dir) = self.cached_upper_dir(at_number) {
                break dir;
            }
            if at_number == ROOT {
                let root = self.store.parts()?.upper.try_clone().map_err(|e| crate::fs::errno_of(&e))?;
                break self.keep_upper_dir(ROOT, root);
            }
            let link = table.get(at_number)?.links.first().ok_or(Errno::ENOENT)?;
            names.push((at_number, link.name.clone()));
            at_number = link.parent;
        };
        for (number, name) in names.into_iter().rev() {
            let opened = at::forced(&[&dir], || at::open_dir(&*dir, &name))?;
            dir = self.keep_upper_dir(number, opened);
        }
        Ok(dir)
    }

    fn cached_upper_dir(&self, number: u64) -> Option<Arc<OwnedFd>> {
        lock(&self.upper_dirs).get(&number)
    }

    fn keep_upper_dir(&self, number: u64, dir: OwnedFd) -> Arc<OwnedFd> {
        let dir = Arc::new(dir);
        lock(&self.upper_dirs).put(number, Arc::clone(&dir));
        dir
    }

    /// Forgets the descriptor of a directory that was removed.
    pub(crate) fn drop_upper_dir(&self, number: u64) {
        lock(&self.upper_dirs).remove(&number);
    }

    /// Forgets the data descriptors of a node, because its bytes moved.
    pub(crate) fn close_files(&self, number: u64) {
        let mut files = lock(&self.files);
        files.remove(&(number, false));
        files.remove(&(number, true));
    }

    /// A way to reach the upper file `dir/name` when that name is gone; `None` when too many are held already.
    pub(crate) fn hold(&self, dir: &OwnedFd, name: &OsStr) -> Result<Option<Tomb>, Errno> {
        if Arc::strong_count(&self.held) > HELD_MAX {
            return Ok(None);
        }
        let fd = Arc::new(at::forced(&[dir], || at::hold(dir, name))?);
        Ok(Some(self.tomb(fd)))
    }

    pub(crate) fn tomb(&self, fd: Arc<OwnedFd>) -> Tomb {
        self.budget.keeps(&fd);
        Tomb::Held { fd, _token: Arc::clone(&self.held) }
    }

    /// Removes what only an unlinked node needed.
    pub(crate) fn close_tomb(&self, tomb: &Tomb) -> Result<(), Errno> {
        match tomb {
            // One that a checkpoint holds stays.
            Tomb::Named(name) if is_kept_name(name) => Ok(()),
            Tomb::Named(name) => self.store.close_grave(OsStr::new(name)),
            Tomb::Held { .. } => Ok(()),
        }
    }

    /// Directory and name under which the object of `node` really is.
    pub(crate) fn locate(&self, table: &Table, node: &Node) -> Result<(Arc<OwnedFd>, OsString), Errno> {
        match &node.place {
            Place::Upper if node.is_dir() => Ok((self.upper_dir(table, node.number)?, at::dot().to_owned())),
            Place::Upper => {
                let link = table.live_link(node).ok_or(Errno::ESTALE)?;
                Ok((self.upper_dir(table, link.parent)?, link.name.clone()))
            }
            Place::Tomb(Tomb::Held { fd, .. }) => Ok((Arc::clone(fd), at::dot().to_owned())),
            Place::Tomb(Tomb::Named(name)) => {
                let work = self.store.parts()?.work.try_clone().map_err(|e| crate::fs::errno_of(&e))?;
                Ok((Arc::new(work), OsString::from(name)))
            }
            Place::Lower => {
                let rel = &node.lower.as_ref().ok_or(Errno::ESTALE)?.rel;
                let Some((parent, name)) = at::split(rel) else {
                    return Ok((self.lower_dir(rel)?, at::dot().to_owned()));
                };
                Ok((self.lower_dir(parent)?, name.to_owned()))
            }
            Place::Dead => Err(Errno::ENOENT),
        }
    }

    /// What stat(2) tells the child about `node`.
    pub(crate) fn attr(&self, table: &Table, node: &Node) -> Result<Attr, Errno> {
        if node.place == Place::Dead {
            return Ok(self.dress(node, dead_directory(node)));
        }
        if let (ROOT, Place::Lower, Some(begun)) = (node.number, &node.place, &self.store.begun) {
            return Ok(self.dress(node, begun.root));
        }
        let (dir, name) = self.locate(table, node).map_err(stale)?;
        let mut stat = at::stat(&dir, &name).map_err(stale)?;
        if node.place != Place::Lower {
            stat = device::unmask(&dir, &name, stat)?;
        }
        if node.place == Place::Lower && node.lower.as_ref().is_some_and(|l| l.key != node::key(&stat)) {
            return Err(Errno::ESTALE);
        }
        Ok(self.dress(node, stat))
    }

    /// Turns the real attributes into those the child sees.
    pub(crate) fn dress(&self, node: &Node, mut stat: Stat) -> Attr {
        stat.st_ino = if node.number == ROOT { self.root_ino } else { node.number };
        if let Some(own) = self.own {
            own.dress(&mut stat);
        }
        if let Some((seconds, nanoseconds)) = node.frozen_ctime {
            (stat.st_ctime, stat.st_ctime_nsec) = (seconds, nanoseconds);
        }
        if node.hidden {
            (stat.st_mode, stat.st_nlink) = (libc::S_IFDIR | 0o700, 2);
        } else if node.is_settled_dir() && node.lower.is_some() {
            // As on kernel overlayfs: 1 says that the number of subdirectories is not known.
            stat.st_nlink = 1;
        } else if !node.is_dir() {
            let shown = i64::try_from(stat.st_nlink).unwrap_or(i64::MAX).saturating_add(node.nlink_delta);
            stat.st_nlink = u64::try_from(shown).unwrap_or(0);
        }
        let from_host = node.lower.is_some() || node.place == Place::Lower;
        let belief = if from_host { Belief::Host } else { Belief::Own };
        Attr { stat, number: node.number, belief }
    }

    /// The node for what was found, made if the kernel does not know it yet.
    pub(crate) fn enter(&self, table: &mut Table, parent: u64, name: &OsStr, found: &Found) -> Result<Attr, Errno> {
        let shown = *found.shown().ok_or(Errno::ENOENT)?;
        if found.upper.is_none()
            && shown.st_nlink > 1
            && at::kind_of(&shown) == libc::S_IFREG
            && let Some(attr) = self.adopt_link(table, parent, name, found)?
        {
            return Ok(attr);
        }
        let number = match self.known(table, &shown, found) {
            Some(number) => number,
            None => {
                let upper = found.upper.is_some();
                let past = if upper { self.past(table, parent, name, &shown)? } else { Past::default() };
                self.insert(table, &shown, found, past)
            }
        };
        self.refresh(table, number, found, &shown)?;
        table.add_link(number, parent, name);
        Ok(self.dress(table.get(number)?, shown))
    }

    /// The number of the node that already shows this object.
    fn known(&self, table: &Table, shown: &Stat, found: &Found) -> Option<u64> {
        let by_upper = found.upper.as_ref().and_then(|stat| table.find(node::key(stat)));
        let by_lower = || found.lower.as_ref().and_then(|(_, stat)| table.find(node::key(stat)));
        let node = by_upper.or_else(by_lower)?;
        let same_place = match node.place {
            Place::Lower => found.upper.is_none(),
            Place::Upper => found.upper.is_some(),
            // A hard link to it appears under another name.
            Place::Tomb(_) => found.upper.is_some(),
            Place::Dead => false,
        };
        (node.kind == at::kind_of(shown) && same_place).then_some(node.number)
    }

    /// What the upper object at this place says of where it comes from.
    fn past(&self, table: &Table, parent: u64, name: &OsStr, shown: &Stat) -> Result<Past, Errno> {
        let mut past = Past::default();
        if !matches!(at::kind_of(shown), libc::S_IFDIR | libc::S_IFREG) {
            return Ok(past);
        }
        let dir = self.upper_dir(table, parent)?;
        // Nobody may read it, its owner included? Then only its owner's rights are in the way.
        past.origin = at::forced(&[&dir], || xattr::with_right(&*dir, name, 0o400, || origin(&dir, name)))?;
        if at::kind_of(shown) == libc::S_IFREG && shown.st_nlink > 1 {
            past.nlink_delta = at::forced(&[&dir], || xattr::with_right(&*dir, name, 0o400, || links(&dir, name)))?;
        }
        Ok(past)
    }

    fn insert(&self, table: &mut Table, shown: &Stat, found: &Found, past: Past) -> u64 {
        let lower = found.lower.as_ref().map(|(_, stat)| stat);
        let wish = past.origin.map_or_else(|| lower.map_or(shown.st_ino, |stat| stat.st_ino), |origin| origin.ino);
        let place = if found.upper.is_some() { Place::Upper } else { Place::Lower };
        let keys: Vec<Key> = found.upper.iter().chain(lower).map(node::key).collect();
        let nlink_delta = match place {
            // Names of it that the layer has taken away or over are still there below.
            Place::Lower if shown.st_nlink > 1 && !at::is_dir(shown) => {
                let covered = self.store.made().map_or(0, |it| it.origins.covered(shown.st_dev, shown.st_ino));
                -i64::try_from(covered).unwrap_or(0)
            }
            _ => past.nlink_delta,
        };
        let node = table.insert(wish, at::kind_of(shown), place, &keys);
        node.nlink_delta = nlink_delta;
        node.number
    }

    /// Brings a node up to date with what the layers say now.
    fn refresh(&self, table: &mut Table, number: u64, found: &Found, shown: &Stat) -> Result<(), Errno> {
        let node = table.get_mut(number)?;
        node.hidden = found.hidden;
        if node.is_dir() || node.place == Place::Lower {
            let lower = found.lower.as_ref().map(|(rel, stat)| Lower { rel: rel.clone(), key: node::key(stat) });
            if lower.as_ref().map(|lower| &lower.rel) != node.lower.as_ref().map(|lower| &lower.rel) {
                node.watched = 0;
            }
            node.lower = lower;
        }
        if node.place == Place::Lower && shown.st_nlink == 1 {
            // The host may have renamed it: the name it was known by is then no longer its own.
            node.links.clear();
        }
        if let Place::Tomb(tomb) = &node.place {
            let tomb = tomb.clone();
            node.nlink_delta += tomb.links();
            node.place = Place::Upper;
            self.close_tomb(&tomb)?;
        }
        Ok(())
    }
}

fn find_upper(dir: &OwnedFd, name: &OsStr, found: &mut Found) -> Result<(), Errno> {
    match at::forced(&[dir], || at::stat_opt(dir, name))? {
        Some(stat) if at::is_whiteout(&stat) => found.whiteout = true,
        Some(stat) => found.upper = Some(at::forced(&[dir], || device::unmask(dir, name, stat))?),
        None => {}
    }
    Ok(())
}

fn origin(dir: &OwnedFd, name: &OsStr) -> Result<Option<Origin>, Errno> {
    let mut buf = [0; 128];
    Ok(xattr::get_own(dir, name, xattr::ORIGIN, &mut buf)?.and_then(Origin::decode))
}

fn links(dir: &OwnedFd, name: &OsStr) -> Result<i64, Errno> {
    let mut buf = [0; 32];
    let value = xattr::get_own(dir, name, xattr::LINKS, &mut buf)?;
    Ok(value.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok()).unwrap_or(0))
}

/// How far an upper directory lets the host's names through.
pub(crate) enum Reach {
    Opaque,
    /// From this lower path instead of the one of the same name.
    Redirect(PathBuf),
    Same,
}

/// Reads the marks on the upper directory `dir/name`, whatever its mode: user attributes can only be read with the right
/// to read the object itself, which an ordinary user's `chmod 000` takes from us too.
pub(crate) fn reach(dir: impl AsFd, name: &OsStr) -> Result<Reach, Errno> {
    match marks(&dir, name) {
        Err(Errno::EACCES) => {
            let own = at::open_dir(&dir, name)?;
            at::forced(&[&own], || marks(&own, at::dot()))
        }
        read => read,
    }
}

fn marks(dir: impl AsFd, name: &OsStr) -> Result<Reach, Errno> {
    let mut buf = [0; 4];
    if xattr::get_own(&dir, name, xattr::OPAQUE, &mut buf)? == Some(b"y") {
        return Ok(Reach::Opaque);
    }
    match xattr::get(&dir, name, OsStr::new(xattr::REDIRECT))? {
        Some(value) => redirect_target(&value).map(Reach::Redirect).ok_or(Errno::EIO),
        None => Ok(Reach::Same),
    }
}

/// The lower path in a redirect; `None` for one that would leave the layer.
fn redirect_target(value: &[u8]) -> Option<PathBuf> {
    let rel = value.strip_prefix(b"/")?;
    let parts_ok = rel.split(|b| *b == b'/').all(|part| !matches!(part, b"" | b"." | b".."));
    parts_ok.then(|| PathBuf::from(OsString::from_vec(rel.to_vec())))
}

/// A name the kernel may ask for: one component.
pub(crate) fn check_name(name: &OsStr) -> Result<(), Errno> {
    let bytes = name.as_bytes();
    match bytes {
        b"" | b"." | b".." => Err(Errno::EINVAL),
        _ if bytes.len() > NAME_BYTES_MAX => Err(Errno::ENAMETOOLONG),
        _ if bytes.iter().any(|b| matches!(b, b'/' | 0)) => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}

/// A mutex whose holder panicked holds plain caches: still good.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the host took away under a node must be looked up again.
fn stale(errno: Errno) -> Errno {
    if errno == Errno::ENOENT || errno == Errno::ENOTDIR { Errno::ESTALE } else { errno }
}

/// stat(2) of a removed directory some process still stands in.
fn dead_directory(node: &Node) -> Stat {
    let mut stat = node.last.as_deref().copied().unwrap_or_else(crate::sys::zeroed_stat);
    stat.st_mode = libc::S_IFDIR | (stat.st_mode & 0o7777);
    stat.st_nlink = 0;
    stat
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_inside_the_layer() {
        for (value, target) in [
            (b"/a/b".as_slice(), Some("a/b")),
            (b"a", None),
            (b"/../etc", None),
            (b"/a//b", None),
            (b"/", None),
            (b"", None),
            (b"/a/./b", None),
        ] {
            assert_eq!(redirect_target(value), target.map(PathBuf::from));
        }
    }

    #[test]
    fn names_are_single_components() {
        let long = "n".repeat(256);
        for (name, ok) in [
            ("a", true),
            ("..x", true),
            ("", false),
            (".", false),
            ("..", false),
            ("a/b", false),
            (long.as_str(), false),
        ] {
            assert_eq!(check_name(OsStr::new(name)).is_ok(), ok, "{name}");
        }
    }
}
