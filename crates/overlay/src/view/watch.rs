//! Watches on the directories of the host that the view looks into (inotify(7)): what is told of a watched directory may
//! be believed until somebody is told otherwise.
//!
//! A directory is watched only below watched ones, up to the root of the lower layer, so that no part of the path to it
//! changes in silence; and its watch is there before anything in it is looked at. Where there is no watch, for whatever
//! reason, what is told is believed for a short time only, as ever. Not reported by inotify(7), and therefore the reason
//! why even what is watched is not believed for ever: writes through a shared mapping, and writes through a hard link
//! that was made elsewhere later (files that have further names already are not believed for long).

use crate::fs::at;
use crate::view::layers::{Layers, lock};
use crate::view::node::{self, Node, Place, ROOT, Table};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io::{PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

/// Most watches of one view. Each pins an inode and takes about a kilobyte of the kernel's memory.
const WATCHES_MAX: usize = 8_192;
/// The part of the user's watches (`/proc/sys/fs/inotify/max_user_watches`) one view takes: editors want theirs.
const SHARE: usize = 8;
/// Nothing is watched before the view has been asked for this long, or for so many directories: closing the first watch
/// costs milliseconds at the end (the kernel waits for its readers), which a short command must not pay.
const FIRST_AFTER: Duration = Duration::from_millis(300);
const FIRST_ASKED: usize = 128;
/// Absent names that are believed for long, so that they can be taken back.
const ABSENT_MAX: usize = 32_768;
/// Directories that cannot be watched, so as not to try each time.
const REFUSED_MAX: usize = 4_096;
/// Events are gathered for this long: a file that is written in small pieces is told once.
const GATHER: Duration = Duration::from_millis(10);

/// How long something that was told stays true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Belief {
    /// Only the jar can change it.
    Own,
    /// The host can change it, and we would be told.
    Watched,
    /// The host can change it.
    Host,
    /// Nothing is known: to be asked again.
    Not,
}

/// Something the kernel must not believe any longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// What a name in the directory `parent` means, or that it is absent.
    Name { parent: u64, name: OsString },
    /// The attributes of a node; with them goes cached content, if they prove changed.
    Attributes(u64),
    /// The names in a directory, and its attributes.
    Names(u64),
}

/// Where notices go.
pub(crate) type Notices = SyncSender<Vec<Notice>>;
/// Makes somebody ready to pass notices on.
pub(crate) type Start = Box<dyn FnOnce() -> std::io::Result<Notices> + Send>;

/// The watches of one view.
#[derive(Default)]
pub(crate) struct Watches {
    /// Whether asking is worth a lock.
    useful: AtomicBool,
    /// Changes whenever a watch goes.
    epoch: AtomicU64,
    state: Mutex<State>,
    absent: Mutex<HashSet<(u64, OsString)>>,
}

#[derive(Default)]
enum State {
    /// Nothing is watched, now and later.
    #[default]
    Off,
    /// Nothing is watched yet.
    Armed(Armed),
    On(On),
}

struct Armed {
    layers: Weak<Layers>,
    start: Start,
    since: Instant,
    asked: usize,
}

struct On {
    inotify: Arc<Inotify>,
    by_rel: HashMap<PathBuf, WatchDescriptor>,
    by_watch: HashMap<WatchDescriptor, PathBuf>,
    refused: HashSet<PathBuf>,
    max: usize,
    /// The file system of the lower layer: on another one, changes may come from elsewhere.
    device: u64,
    /// Its end tells the thread that reads events to stop.
    _stop: PipeWriter,
}

impl Watches {
    /// Lets watches be made once they are worth it.
    pub(crate) fn arm(&self, layers: &Arc<Layers>, start: Start) {
        let armed = Armed { layers: Arc::downgrade(layers), start, since: Instant::now(), asked: 0 };
        *lock(&self.state) = State::Armed(armed);
        self.epoch.store(1, Ordering::Release);
        self.useful.store(true, Ordering::Release);
    }

    /// Ends watching, and with it the threads.
    pub(crate) fn stop(&self) {
        self.useful.store(false, Ordering::Release);
        self.epoch.fetch_add(1, Ordering::AcqRel);
        let state = std::mem::take(&mut *lock(&self.state));
        // Closing takes its time: nobody waits for the lock meanwhile.
        drop(state);
    }

    /// Whether the lower directory `rel` is watched.
    pub(crate) fn has(&self, rel: &Path) -> bool {
        self.useful.load(Ordering::Acquire)
            && matches!(&*lock(&self.state), State::On(on) if on.by_rel.contains_key(rel))
    }

    /// Remembers that a name is believed to be absent; `false` when that are too many.
    fn believe_absent(&self, parent: u64, name: &OsStr) -> bool {
        let mut absent = lock(&self.absent);
        let room = absent.len() < ABSENT_MAX;
        if room {
            absent.insert((parent, name.to_owned()));
        }
        room
    }
}

impl Armed {
    fn is_worth_it(&mut self) -> bool {
        self.asked += 1;
        self.asked > FIRST_ASKED || self.since.elapsed() > FIRST_AFTER
    }

    fn begin(self) -> std::io::Result<On> {
        let layers = self.layers.upgrade().ok_or(Errno::ENOTCONN)?;
        let root = nix::sys::statfs::fstatfs(&layers.lower)?;
        if !is_local(root.filesystem_type().0) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches")?;
        let max = (limit.trim().parse().unwrap_or(0) / SHARE).min(WATCHES_MAX);
        let device = at::stat(&layers.lower, at::dot())?.st_dev;
        let inotify = Arc::new(new_inotify()?);
        let (stopped, stop) = std::io::pipe()?;
        let notices = (self.start)()?;
        let events = Arc::clone(&inotify);
        let read = move || read_events(&self.layers, events, &stopped, &notices);
        std::thread::Builder::new().name("watch".into()).spawn(read)?;
        Ok(On {
            inotify,
            by_rel: HashMap::new(),
            by_watch: HashMap::new(),
            refused: HashSet::new(),
            max,
            device,
            _stop: stop,
        })
    }
}

impl On {
    /// Watches `rel`, whose parent is watched, and gives the descriptor it was opened by.
    fn add(&mut self, layers: &Layers, rel: &Path) -> Result<(), Errno> {
        if self.by_rel.len() >= self.max {
            return Err(Errno::ENOSPC);
        }
        if self.refused.contains(rel) || layers.hidden.directory_rule(rel).is_some() {
            return Err(Errno::EACCES);
        }
        let dir = match at::split(rel) {
            // Opened anew: the parent's watch tells of whatever happens to the name from now on.
            Some((parent, name)) => at::open_dir(&*layers.lower_dir(parent)?, name)?,
            None => at::open_dir(&layers.lower, at::dot())?,
        };
        let added = self.add_open(&dir, rel);
        match added {
            Ok(()) => layers.keep_lower_dir(rel, dir),
            // No watch is to be had any more: those there are stay.
            Err(Errno::ENOSPC | Errno::ENOMEM) => self.max = self.by_rel.len(),
            Err(_) if self.refused.len() < REFUSED_MAX => {
                self.refused.insert(rel.to_owned());
            }
            Err(_) => {}
        }
        added
    }

    fn add_open(&mut self, dir: &std::os::fd::OwnedFd, rel: &Path) -> Result<(), Errno> {
        let mask = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        if at::stat(dir, at::dot())?.st_dev != self.device {
            return Err(Errno::EXDEV);
        }
        let watch = self.inotify.add_watch(at::magic_link(dir).as_str(), mask)?;
        if self.by_watch.contains_key(&watch) {
            // The same directory under another name, by a bind mount: one watch tells of one name only.
            return Err(Errno::ELOOP);
        }
        self.by_watch.insert(watch, rel.to_owned());
        self.by_rel.insert(rel.to_owned(), watch);
        Ok(())
    }

    /// Takes the watches at and below `rel` away.
    fn forget_below(&mut self, rel: &Path) {
        let gone: Vec<PathBuf> = self.by_rel.keys().filter(|path| path.starts_with(rel)).cloned().collect();
        for rel in gone {
            if let Some(watch) = self.by_rel.remove(&rel) {
                self.by_watch.remove(&watch);
                // It may be gone already.
                let _ = self.inotify.rm_watch(watch);
            }
        }
        self.refused.retain(|path| !path.starts_with(rel));
    }
}

fn new_inotify() -> Result<Inotify, Errno> {
    Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
}

/// Whether all changes of such a file system come by this kernel, which then tells of them.
fn is_local(kind: libc::__fsword_t) -> bool {
    const BCACHEFS: libc::__fsword_t = 0xca45_1a4e;
    const ZFS: libc::__fsword_t = 0x2fc1_2fc1;
    matches!(
        kind,
        libc::EXT4_SUPER_MAGIC
            | libc::XFS_SUPER_MAGIC
            | libc::BTRFS_SUPER_MAGIC
            | libc::F2FS_SUPER_MAGIC
            | libc::TMPFS_MAGIC
            | libc::OVERLAYFS_SUPER_MAGIC
            | BCACHEFS
            | ZFS
    )
}

impl Layers {
    /// Tries to have the host's half of `dir` watched before names in it are looked at. Whether it is.
    pub(crate) fn watch_names(&self, dir: &Node) -> bool {
        match &dir.lower {
            Some(lower) if !dir.hidden => self.watch(&lower.rel),
            _ => false,
        }
    }

    /// [`Layers::watch_names`] for one name after another.
    pub(crate) fn watch_names_of(&self, dir: &mut Node) -> bool {
        let epoch = self.watches.epoch.load(Ordering::Acquire);
        if dir.watched != epoch || epoch == 0 {
            dir.watched = if self.watch_names(dir) { epoch } else { 0 };
        }
        dir.watched > 0
    }

    fn watch(&self, rel: &Path) -> bool {
        if !self.watches.useful.load(Ordering::Acquire) {
            return false;
        }
        let mut state = lock(&self.watches.state);
        if let State::Armed(armed) = &mut *state {
            if !armed.is_worth_it() {
                return false;
            }
            if let State::Armed(armed) = std::mem::take(&mut *state) {
                match armed.begin() {
                    Ok(on) => *state = State::On(on),
                    // No instance, no thread or no channel to be had: everything is believed for a short time, as before.
                    Err(_) => self.watches.useful.store(false, Ordering::Release),
                }
            }
        }
        let State::On(on) = &mut *state else {
            return false;
        };
        if on.by_rel.contains_key(rel) {
            return true;
        }
        let mut above: Vec<&Path> = rel.ancestors().take_while(|path| !on.by_rel.contains_key(*path)).collect();
        above.reverse();
        above.into_iter().all(|path| on.add(self, path).is_ok())
    }

    /// How long what is told of `node` may be believed, as far as its path says so; `has` tells whether the directory
    /// it lies in is watched. To be asked before its attributes are.
    pub(crate) fn belief(&self, node: &Node, has: impl Fn(&Path) -> bool) -> Belief {
        if node.place != Place::Lower && node.lower.is_none() {
            return Belief::Own;
        }
        let Some(lower) = node.lower.as_ref().filter(|_| !node.hidden) else {
            return Belief::Host;
        };
        let named = lower.rel.parent().is_none_or(has);
        // What is in a directory changes its attributes.
        let listed = || {
            let epoch = self.watches.epoch.load(Ordering::Acquire);
            let copied = !node.is_dir() || node.is_settled_dir();
            copied || (epoch > 0 && node.watched == epoch) || self.watches.has(&lower.rel)
        };
        if named && listed() { Belief::Watched } else { Belief::Host }
    }

    /// How long the absence of `name` in `dir` may be believed; `watched` is what [`Layers::watch_names`] said before
    /// it was looked for.
    pub(crate) fn belief_in_absence(&self, dir: &Node, name: &OsStr, whiteout: bool, watched: bool) -> Belief {
        let Some(lower) = &dir.lower else {
            return Belief::Own;
        };
        let rel = lower.rel.join(name);
        if dir.hidden || self.hidden.rule(&rel).is_some() || self.hidden.named(&rel, false).is_some() {
            // Each attempt is to be seen, or nearly.
            return Belief::Host;
        }
        match watched {
            _ if whiteout => Belief::Own,
            // The host has moved the directory, of which we have not been told yet.
            _ if self.lower_dir(&lower.rel).is_err() => Belief::Not,
            true if self.watches.believe_absent(dir.number, name) => Belief::Watched,
            _ => Belief::Host,
        }
    }

    /// What must not be believed any longer after `events`.
    pub(crate) fn notices_of(&self, events: Vec<InotifyEvent>) -> Vec<Notice> {
        let changes = self.sort(events);
        let mut notices = Vec::new();
        for (rel, names) in changes.by_dir {
            // A directory that went has told all its names before, and its own name is told by its parent.
            if let Ok(Some(stat)) = self.lower_stat(&rel) {
                self.notices_in(&rel, node::key(&stat), names, &mut notices);
            }
        }
        for rel in &changes.moved {
            notices.extend(self.everything_below(rel));
        }
        notices
    }

    fn notices_in(&self, rel: &Path, key: node::Key, names: HashMap<OsString, AddWatchFlags>, out: &mut Vec<Notice>) {
        let moves = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVE;
        let Ok(fd) = self.lower_dir(rel) else { return };
        let table = self.read();
        let Some(dir) = shown_as(&table, rel, key) else { return };
        if names.values().any(|mask| mask.intersects(moves)) {
            out.push(Notice::Names(dir));
        }
        for (name, mask) in names {
            if name.is_empty() {
                out.push(Notice::Attributes(dir));
                continue;
            }
            // An object that changed without its name is told by its node: others may have it open.
            if let Ok(Some(stat)) = at::stat_opt(&*fd, &name)
                && let Some(node) = table.find(node::key(&stat))
                && node.place == Place::Lower
            {
                out.push(Notice::Attributes(node.number));
            }
            if mask.intersects(moves) {
                out.push(Notice::Name { parent: dir, name });
            }
        }
    }

    /// Everything that was told of the host at and below `rel`.
    fn everything_below(&self, rel: &Path) -> Vec<Notice> {
        let mut notices: Vec<Notice> = Vec::new();
        for node in self.read().nodes() {
            if !node.lower.as_ref().is_some_and(|lower| lower.rel.starts_with(rel)) {
                continue;
            }
            let names = node.links.iter().map(|link| Notice::Name { parent: link.parent, name: link.name.clone() });
            notices.extend(names);
            notices.push(if node.is_dir() { Notice::Names(node.number) } else { Notice::Attributes(node.number) });
        }
        let absent = std::mem::take(&mut *lock(&self.watches.absent));
        notices.extend(absent.into_iter().map(|(parent, name)| Notice::Name { parent, name }));
        notices
    }

    /// Sorts events by directory, and takes the watches away that do not fit the tree any more.
    fn sort(&self, events: Vec<InotifyEvent>) -> Changes {
        let mut changes = Changes::default();
        let mut state = lock(&self.watches.state);
        let State::On(on) = &mut *state else {
            return changes;
        };
        let before = on.by_rel.len();
        for event in events {
            if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                on.forget_below(Path::new(""));
                changes.moved.insert(PathBuf::new());
                continue;
            }
            let Some(rel) = on.by_watch.get(&event.wd).cloned() else {
                continue;
            };
            if event
                .mask
                .intersects(AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_UNMOUNT)
            {
                on.forget_below(&rel);
                continue;
            }
            let name = event.name.unwrap_or_default();
            let renamed = AddWatchFlags::IN_MOVE | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE;
            if event.mask.contains(AddWatchFlags::IN_ISDIR) && event.mask.intersects(renamed) {
                let below = rel.join(&name);
                on.forget_below(&below);
                if event.mask.intersects(AddWatchFlags::IN_MOVE) {
                    changes.moved.insert(below);
                }
            }
            let names = changes.by_dir.entry(rel).or_default();
            *names.entry(name).or_insert(AddWatchFlags::empty()) |= event.mask;
        }
        if on.by_rel.len() < before {
            self.watches.epoch.fetch_add(1, Ordering::AcqRel);
        }
        drop(state);
        if !changes.moved.is_empty() {
            self.drop_lower_dirs();
        }
        changes
    }
}

/// Events of one moment.
#[derive(Default)]
struct Changes {
    by_dir: HashMap<PathBuf, HashMap<OsString, AddWatchFlags>>,
    /// Below these, all may be different.
    moved: HashSet<PathBuf>,
}

/// The node that shows the lower directory `rel`, whose key is `key`.
fn shown_as(table: &Table, rel: &Path, key: node::Key) -> Option<u64> {
    if rel.as_os_str().is_empty() {
        return Some(ROOT);
    }
    let node = table.find(key)?;
    let same = node.is_dir() && node.lower.as_ref().is_some_and(|lower| lower.rel == rel);
    same.then_some(node.number)
}

/// The life of the thread that reads events.
fn read_events(layers: &Weak<Layers>, inotify: Arc<Inotify>, stopped: &PipeReader, notices: &Notices) {
    let forever = PollTimeout::NONE;
    let gather = PollTimeout::try_from(GATHER).unwrap_or(PollTimeout::ZERO);
    loop {
        let mut ready =
            [PollFd::new(stopped.as_fd(), PollFlags::empty()), PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
        if !matches!(nix::poll::poll(&mut ready, forever), Ok(_) | Err(Errno::EINTR)) || is_over(&ready) {
            return;
        }
        let mut events = Vec::new();
        while let Ok(more) = inotify.read_events() {
            events.extend(more);
        }
        let Some(layers) = layers.upgrade() else { return };
        let told = layers.notices_of(events);
        drop(layers);
        if !told.is_empty() && notices.send(told).is_err() {
            return;
        }
        let mut ready = [PollFd::new(stopped.as_fd(), PollFlags::empty())];
        if nix::poll::poll(&mut ready, gather).is_ok() && is_over(&ready) {
            return;
        }
    }
}

fn is_over(ready: &[PollFd<'_>]) -> bool {
    ready.first().is_some_and(|stopped| stopped.any() == Some(true))
}

#[cfg(test)]
impl Watches {
    /// Has the first request watched already.
    pub(crate) fn begin_at_once(&self) {
        if let State::Armed(armed) = &mut *lock(&self.state) {
            armed.asked = FIRST_ASKED;
        }
    }

    /// The directories that are watched.
    pub(crate) fn watched(&self) -> Vec<String> {
        let State::On(on) = &*lock(&self.state) else { return Vec::new() };
        let mut paths: Vec<String> = on.by_rel.keys().map(|rel| rel.to_string_lossy().into_owned()).collect();
        paths.sort();
        paths
    }

    /// One of the watches.
    pub(crate) fn any(&self) -> Option<WatchDescriptor> {
        let State::On(on) = &*lock(&self.state) else { return None };
        on.by_watch.keys().next().copied()
    }

    /// Has no more than `max` watches from now on.
    pub(crate) fn allow(&self, max: usize) {
        if let State::On(on) = &mut *lock(&self.state) {
            on.max = max;
        }
    }
}
