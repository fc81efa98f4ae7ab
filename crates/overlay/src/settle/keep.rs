//! What is kept of an apply, beside its pre-images, so that it can be taken back: the journal of it, with what the layer
//! and the host's directories looked like before, and what it left on the host.

use crate::changes::diff::{host_object, open_own, open_upper};
use crate::fs::at::{self, Stat};
use crate::fs::parents::Parents;
use crate::fs::xattr;
use crate::overlay::Overlay;
use crate::settle::journal::{Action, Journal, Step, read_json};
use crate::settle::step::pre_name;
use crate::store::origin::Identity;
use crate::store::write_durably;
use model::FilePath;
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The journal of an apply that is done, in the directory of its pre-images.
pub(crate) const PLAN: &str = "plan.json";
/// What it left on the host, beside it.
const AFTER: &str = "after.json";

/// A moment, in seconds and nanoseconds since the epoch.
pub(crate) type Moment = (i64, i64);

/// Extended attributes by name.
pub(crate) type Attributes = Vec<(FilePath, Vec<u8>)>;

/// What an apply changes without a step that says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Before {
    /// Every directory of the upper layer, parents first.
    pub(crate) dirs: Vec<Dir>,
    /// Every whiteout.
    pub(crate) whiteouts: Vec<FilePath>,
    /// The names of each file that has several, where the apply parts them.
    #[serde(default)]
    pub(crate) links: Vec<Vec<FilePath>>,
    /// Files that lose the mark of the host's file they are a copy of, with the lower path of that.
    #[serde(default)]
    pub(crate) copies: Vec<(FilePath, FilePath)>,
    /// Files that lose their set-id bits, with the mode they had.
    pub(crate) setid: Vec<(FilePath, u32)>,
    /// Lower paths whose records are taken back when the steps are done.
    pub(crate) origins: Vec<FilePath>,
    /// Records of directories of the layer, which are taken back with those that say nothing any more.
    #[serde(default)]
    pub(crate) records: Vec<(FilePath, Identity)>,
    /// Records of files that were merged, by lower path: what the layer's own file started from, which the host's file was
    /// not even then. Renewed, they would let the next apply overwrite what the host's file has of its own.
    #[serde(default)]
    pub(crate) merged: Vec<(FilePath, Identity)>,
    /// Host directories in which names come and go, and those that are renamed, by their path before the apply, with
    /// their modification times.
    pub(crate) times: Vec<(FilePath, Moment)>,
}

/// One directory of the upper layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dir {
    pub(crate) path: FilePath,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Moment,
    /// With the overlay's own marks.
    pub(crate) xattrs: Attributes,
}

/// What an apply left on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct After {
    pub(crate) left: Vec<Left>,
    /// Inode numbers of the pre-images, by step.
    pub(crate) pre: Vec<(u32, u64)>,
    /// Modification times of the directories in [`Before::times`] that are still on the host.
    pub(crate) times: Vec<(FilePath, Moment)>,
}

/// One place of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Left {
    pub(crate) path: FilePath,
    pub(crate) is: Now,
    /// It came from the layer and goes back there, or was made for what did.
    pub(crate) ours: bool,
    /// Attributes of a directory that was made or changed.
    pub(crate) xattrs: Attributes,
}

/// What is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Now {
    This(Identity),
    Nothing,
    /// Something that somebody changed after the apply and before its end could be recorded.
    Foreign,
}

/// A finished apply that can be taken back.
pub(crate) struct Kept {
    pub(crate) dir: OwnedFd,
    pub(crate) journal: Journal,
    pub(crate) after: After,
    pre: HashMap<u32, u64>,
    own: HashMap<PathBuf, Left>,
}

impl Kept {
    /// The one whose pre-images are in `dir`; `None` for an apply that was taken back while it ran.
    pub(crate) fn load(dir: OwnedFd) -> Result<Option<Kept>, Errno> {
        let Some(journal) = read_json::<Journal>(&dir, PLAN)? else {
            return Ok(None);
        };
        let after = After::load(&dir)?.ok_or(Errno::EUCLEAN)?;
        let pre = after.pre.iter().copied().collect();
        let own = after.left.iter().map(|left| (left.path.as_path().to_owned(), left.clone())).collect();
        Ok(Some(Kept { dir, journal, after, pre, own }))
    }

    /// Inode number of the pre-image of a step.
    pub(crate) fn pre(&self, step: &Step) -> Option<u64> {
        self.pre.get(&step.number).copied()
    }

    /// What the apply left at `path`.
    pub(crate) fn left(&self, path: &Path) -> Option<&Left> {
        self.own.get(path)
    }

    /// Under how many names the apply left the object `ino`.
    pub(crate) fn names(&self, ino: u64) -> usize {
        let is = |left: &&Left| matches!(left.is, Now::This(identity) if identity.ino == ino);
        self.after.left.iter().filter(is).count()
    }

    /// Inode number of what the apply put at `path`.
    pub(crate) fn own(&self, path: &Path) -> Option<u64> {
        match self.left(path)?.is {
            Now::This(identity) => Some(identity.ino),
            Now::Nothing | Now::Foreign => None,
        }
    }

    /// What only moved is what this apply left: `pairs` of identities then and now, the change time then being 0 where
    /// any will do.
    pub(crate) fn follow(&self, pairs: &[(Identity, Identity)]) -> Result<(), Errno> {
        let now: HashMap<u64, &(Identity, Identity)> = pairs.iter().map(|pair| (pair.0.ino, pair)).collect();
        let mut after = self.after.clone();
        for left in &mut after.left {
            if let Now::This(is) = left.is
                && let Some((was, now)) = now.get(&is.ino)
                && (*was == is || (was.ctime == (0, 0) && is_same(was, &is)))
            {
                left.is = Now::This(*now);
            }
        }
        if after == self.after { Ok(()) } else { after.write(&self.dir) }
    }

    /// Writes [`After`] again: taking an undo back has moved change times, and directories were made anew.
    pub(crate) fn renew(&self, overlay: &Overlay) -> Result<(), Errno> {
        let mut after = self.after.clone();
        for left in &mut after.left {
            let Now::This(was) = left.is else { continue };
            let now = host_object(&overlay.root, left.path.as_path())?.map(|(_, stat)| Identity::of(&stat));
            let same = |now: &Identity| is_same(&was, now) || (left.ours && both_directories(&was, now));
            if let Some(now) = now.filter(same) {
                left.is = Now::This(now);
            }
        }
        after.write(&self.dir)
    }
}

/// The same object in the same state, though renaming it may have moved its change time.
pub(crate) fn is_same(was: &Identity, now: &Identity) -> bool {
    Identity { dev: 0, ctime: (0, 0), ..*was } == Identity { dev: 0, ctime: (0, 0), ..*now }
}

fn both_directories(was: &Identity, now: &Identity) -> bool {
    (was.mode & libc::S_IFMT, now.mode & libc::S_IFMT) == (libc::S_IFDIR, libc::S_IFDIR)
}

impl Before {
    /// Takes stock of what `steps` will change on the side; nothing was done yet.
    pub(crate) fn of(overlay: &Overlay, steps: &[Step], setid: &[(PathBuf, u32)]) -> Result<Before, Errno> {
        let mut before = Before { times: times_before(overlay, steps)?, ..Before::default() };
        before.setid = setid.iter().map(|(path, mode)| (FilePath::from(path.as_path()), *mode)).collect();
        before.origins = overlay.store.parts()?.origins.paths_at(&forgotten(steps));
        let merged = steps.iter().filter(|step| step.part.as_ref().is_some_and(|part| !part.rest_waits));
        let record = |step: &Step| Some((step.lower.clone(), overlay.store.recorded(step.lower.as_path())?));
        before.merged = merged.filter_map(record).collect();
        let mut order = vec![PathBuf::new()];
        let mut next = 0;
        while let Some(rel) = order.get(next).cloned() {
            next += 1;
            let dir = open_upper(overlay, &rel)?;
            before.records.extend(overlay.store.recorded(&rel).map(|was| (FilePath::from(rel.as_path()), was)));
            before.dirs.push(at::forced(&[&dir], || Dir::of(&rel, &dir))?);
            for entry in at::list_own(&dir)? {
                match entry.kind {
                    libc::S_IFDIR => order.push(rel.join(&entry.name)),
                    libc::S_IFCHR | 0 => {
                        let stat = at::forced(&[&dir], || at::stat(&dir, &entry.name))?;
                        if at::is_whiteout(&stat) {
                            before.whiteouts.push(FilePath::from(rel.join(&entry.name)));
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(before)
    }
}

impl Dir {
    fn of(rel: &Path, dir: &OwnedFd) -> Result<Dir, Errno> {
        let stat = at::stat(dir, at::dot())?;
        let xattrs = xattr::all_known(dir, at::dot())?;
        Ok(Dir {
            path: FilePath::from(rel),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: mtime(&stat),
            xattrs: xattrs.into_iter().map(|(name, value)| (FilePath::new(name), value)).collect(),
        })
    }
}

/// Paths whose records an apply takes back at its end, and whether with all below.
pub(crate) fn forgotten(steps: &[Step]) -> Vec<(PathBuf, bool)> {
    let below = |step: &Step| !matches!(step.action, Action::Make | Action::Attributes);
    steps.iter().map(|step| (step.path.as_path().to_owned(), below(step))).collect()
}

fn times_before(overlay: &Overlay, steps: &[Step]) -> Result<Vec<(FilePath, Moment)>, Errno> {
    let mut dirs: BTreeSet<PathBuf> = BTreeSet::new();
    for step in steps {
        let parent = |path: &FilePath| path.as_path().parent().map(Path::to_owned);
        dirs.extend(parent(&step.lower));
        match step.action {
            Action::Place { .. } => {
                // It gets the time that the jar gave it, too.
                dirs.insert(step.lower.as_path().to_owned());
                if let Some(parent) = parent(&step.path) {
                    dirs.insert(overlay.lower_path(&parent)?);
                }
            }
            Action::Attributes => drop(dirs.insert(step.lower.as_path().to_owned())),
            _ => {}
        }
    }
    let mut times = Vec::new();
    for rel in dirs {
        if let Some((_, stat)) = host_object(&overlay.root, &rel)?.filter(|(_, stat)| at::is_dir(stat)) {
            times.push((FilePath::from(rel), mtime(&stat)));
        }
    }
    Ok(times)
}

/// Where directories went, to find a path of before the apply in the tree after it.
pub(crate) struct Moves(BTreeMap<PathBuf, PathBuf>);

impl Moves {
    pub(crate) fn of(steps: &[Step]) -> Moves {
        let placed = steps.iter().filter(|step| matches!(step.action, Action::Place { .. }));
        Moves(placed.map(|step| (step.lower.as_path().to_owned(), step.path.as_path().to_owned())).collect())
    }

    /// Where the directory that was at `path` is now.
    pub(crate) fn now_at(&self, path: &Path) -> PathBuf {
        let moved = path.ancestors().find_map(|above| Some((above, self.0.get(above)?)));
        match moved.and_then(|(above, to)| Some((path.strip_prefix(above).ok()?, to))) {
            Some((rest, to)) if rest.as_os_str().is_empty() => to.clone(),
            Some((rest, to)) => to.join(rest),
            None => path.to_owned(),
        }
    }
}

impl After {
    /// Takes stock of what an apply left. What was changed later than `cutoff` was changed by somebody else.
    pub(crate) fn of(
        overlay: &Overlay,
        journal: &Journal,
        pre: &OwnedFd,
        cutoff: Option<Moment>,
    ) -> Result<After, Errno> {
        let mut stock = Stock { overlay, cutoff, left: BTreeMap::new(), parents: Parents::new(open_own) };
        let moves = Moves::of(&journal.steps);
        for step in &journal.steps {
            stock.take(step, &moves)?;
        }
        let mut after = After { left: stock.left.into_values().collect(), ..After::default() };
        for step in journal.steps.iter().filter(|step| matches!(step.action, Action::Put | Action::Remove)) {
            if let Some(stat) = step.host.and(at::stat_opt(pre, &pre_name(step))?) {
                after.pre.push((step.number, stat.st_ino));
            }
        }
        Ok(after)
    }

    /// What was written before a crash.
    pub(crate) fn load(pre: &OwnedFd) -> Result<Option<After>, Errno> {
        read_json(pre, AFTER)
    }

    /// Once the directories have their times: those, and the directories that stand here.
    pub(crate) fn look_again(&mut self, overlay: &Overlay, journal: &Journal) -> Result<(), Errno> {
        let mut parents = Parents::new(open_own);
        for left in &mut self.left {
            let Now::This(was) = left.is else { continue };
            if was.mode & libc::S_IFMT == libc::S_IFDIR
                && let Some(stat) = parents.stat(&overlay.root, left.path.as_path())?.filter(|stat| was.matches(stat))
            {
                left.is = Now::This(Identity::of(&stat));
            }
        }
        let moves = Moves::of(&journal.steps);
        self.times.clear();
        for (path, _) in &journal.before.times {
            let now = host_object(&overlay.root, &moves.now_at(path.as_path()))?;
            if let Some((_, stat)) = now.filter(|(_, stat)| at::is_dir(stat)) {
                self.times.push((path.clone(), mtime(&stat)));
            }
        }
        Ok(())
    }

    /// Writes it so that it survives a crash.
    pub(crate) fn write(&self, pre: &OwnedFd) -> Result<(), Errno> {
        write_durably(pre, AFTER, &serde_json::to_vec(self).map_err(|_| Errno::EIO)?)
    }
}

struct Stock<'o> {
    overlay: &'o Overlay,
    cutoff: Option<Moment>,
    left: BTreeMap<PathBuf, Left>,
    parents: Parents,
}

impl Stock<'_> {
    fn take(&mut self, step: &Step, moves: &Moves) -> Result<(), Errno> {
        let rel = step.path.as_path();
        match step.action {
            Action::Stash => {
                let (parent, name) = at::split(rel).ok_or(Errno::EISDIR)?;
                self.nothing(moves.now_at(parent).join(name));
                Ok(())
            }
            Action::Remove => {
                self.nothing(rel.to_owned());
                Ok(())
            }
            Action::Put => self.tree(rel),
            Action::Make | Action::Attributes | Action::Place { .. } => self.directory(rel, step.action),
        }
    }

    fn nothing(&mut self, path: PathBuf) {
        let left = Left { path: FilePath::from(path.as_path()), is: Now::Nothing, ours: false, xattrs: Vec::new() };
        self.left.entry(path).or_insert(left);
    }

    fn directory(&mut self, rel: &Path, action: Action) -> Result<(), Errno> {
        let Some((_, stat)) = host_object(&self.overlay.root, rel)? else {
            return Ok(());
        };
        let xattrs = match action {
            Action::Place { .. } => Vec::new(),
            _ => {
                let all = xattr::all_foreign(at::open_beneath(&self.overlay.root, rel)?, at::dot())?;
                all.into_iter().map(|(name, value)| (FilePath::new(name), value)).collect()
            }
        };
        self.add(rel.to_owned(), &stat, action == Action::Make, xattrs);
        Ok(())
    }

    /// An object with everything below it.
    fn tree(&mut self, rel: &Path) -> Result<(), Errno> {
        let Some(stat) = self.parents.stat(&self.overlay.root, rel)? else {
            self.nothing(rel.to_owned());
            return Ok(());
        };
        self.add(rel.to_owned(), &stat, true, Vec::new());
        let mut waiting = if at::is_dir(&stat) { vec![rel.to_owned()] } else { Vec::new() };
        while let Some(rel) = waiting.pop() {
            let dir = open_own(&self.overlay.root, &rel)?;
            for entry in at::list_own(&dir)? {
                let stat = at::forced(&[&dir], || at::stat(&dir, &entry.name))?;
                let child = rel.join(&entry.name);
                if at::is_dir(&stat) {
                    waiting.push(child.clone());
                }
                self.add(child, &stat, true, Vec::new());
            }
        }
        Ok(())
    }

    fn add(&mut self, rel: PathBuf, stat: &Stat, ours: bool, xattrs: Attributes) {
        let later = self.cutoff.is_some_and(|cutoff| (stat.st_ctime, stat.st_ctime_nsec) > cutoff);
        // Names may come and go in a directory of the host; in one of ours they are nobody else's yet.
        let is = if later && (ours || !at::is_dir(stat)) { Now::Foreign } else { Now::This(Identity::of(stat)) };
        let ours = ours || self.left.get(&rel).is_some_and(|known| known.ours);
        let left = Left { path: FilePath::from(rel.as_path()), is, ours, xattrs };
        self.left.insert(rel, left);
    }
}

pub(crate) fn mtime(stat: &Stat) -> Moment {
    (stat.st_mtime, stat.st_mtime_nsec)
}

/// Gives an open directory these attributes and no others.
pub(crate) fn set_attributes(dir: &OwnedFd, xattrs: &Attributes) -> Result<(), Errno> {
    for (name, _) in xattr::all_foreign(dir, at::dot())? {
        if !xattrs.iter().any(|(known, _)| known.as_os_str() == name) {
            xattr::remove(dir, at::dot(), &name)?;
        }
    }
    xattrs.iter().try_for_each(|(name, value)| set_attribute(dir, name.as_os_str(), value))
}

pub(crate) fn set_attribute(dir: &OwnedFd, name: &OsStr, value: &[u8]) -> Result<(), Errno> {
    xattr::set(dir, at::dot(), name, value, 0)
}

/// Sets the modification time and leaves the access time.
pub(crate) fn set_mtime(dir: &OwnedFd, (seconds, nanoseconds): Moment) -> Result<(), Errno> {
    let now = at::stat(dir, at::dot())?;
    // Only its owner may set it, but it need not be ours to be as it was.
    if (now.st_mtime, now.st_mtime_nsec) == (seconds, nanoseconds) {
        return Ok(());
    }
    at::set_times(dir, at::dot(), TimeSpec::UTIME_OMIT, TimeSpec::new(seconds, nanoseconds))
}
