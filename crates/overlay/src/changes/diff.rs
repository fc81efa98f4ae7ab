//! The diff: one walk over the upper layer, each object held against what the host has now.
//!
//! Every change is known by two paths: where it is in the view, and which host object it stands over. They differ
//! below a renamed directory only.

use crate::changes::compare::{self, Side};
use crate::changes::linked::Linked;
use crate::error::OverlayError;
use crate::fs::at::{self, Stat};
use crate::fs::parents::Parents;
use crate::overlay::Overlay;
use crate::view::device;
use crate::view::layers::{Reach, reach};
use model::{Change, ChangeKind, ChangeSet, Differs, FilePath, Meta};
use nix::errno::Errno;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One change with what apply needs beyond it.
#[derive(Clone, Debug)]
pub(crate) struct Delta {
    pub(crate) change: Change,
    /// Path in the view and in the upper layer, below the root.
    pub(crate) rel: PathBuf,
    /// Path of the host object it stands over, below the root.
    pub(crate) lower: PathBuf,
    /// What the host has there now.
    pub(crate) host: Option<Stat>,
    /// What the upper layer has there; `None` for a deletion.
    pub(crate) own: Option<Stat>,
    /// For a new hard link: the names of its file that are no change of their own. They become real with it, as they are,
    /// so that all of them are one file on the host too.
    pub(crate) mates: Vec<Mate>,
}

/// A name in the layer that is as the host has it.
#[derive(Clone, Debug)]
pub(crate) struct Mate {
    /// Path in the view, below the root.
    pub(crate) rel: PathBuf,
    /// Path on the host, another one below a renamed directory.
    pub(crate) lower: PathBuf,
    pub(crate) host: Stat,
    pub(crate) own: Stat,
}

/// Where the walk is: an upper directory and what lies under it.
struct At {
    rel: PathBuf,
    /// The host directory that shows through, or would if this one were not opaque.
    lower: Option<PathBuf>,
    opaque: bool,
}

/// The walk over one upper layer.
pub(crate) struct Diff<'o> {
    pub(super) overlay: &'o Overlay,
    /// Host directories that were renamed, with their new place: nothing is left at their old one.
    pub(super) moved: HashMap<PathBuf, PathBuf>,
    pub(super) found: Vec<Delta>,
    /// Directories of the host, of which many names are looked at in a row.
    pub(super) parents: RefCell<Parents>,
    /// By inode number in the layer.
    pub(super) linked: BTreeMap<u64, Vec<Linked>>,
}

impl Overlay {
    /// What the jar changed, against the host as it is now.
    ///
    /// # Errors
    /// A file on either side cannot be read.
    pub fn changes(&self) -> Result<ChangeSet, OverlayError> {
        Ok(ChangeSet { changes: self.deltas()?.into_iter().map(|delta| delta.change).collect() })
    }

    /// [`Overlay::changes`] with the details, sorted by path.
    pub(crate) fn deltas(&self) -> Result<Vec<Delta>, OverlayError> {
        if self.store.made().is_none() {
            return Ok(Vec::new());
        }
        self.settle()?;
        self.complete_links()?;
        let parents = RefCell::new(Parents::new(|root, rel| at::open_beneath(root, rel)));
        let mut diff =
            Diff { overlay: self, moved: HashMap::new(), found: Vec::new(), parents, linked: BTreeMap::new() };
        diff.find_moved().map_err(|(rel, source)| self.read_error(&rel, source))?;
        diff.walk().map_err(|(rel, source)| self.read_error(&rel, source))?;
        diff.found.sort_by(|a, b| a.change.path.cmp(&b.change.path));
        diff.find_links();
        diff.find_renamed_files().map_err(|(rel, source)| self.read_error(&rel, source))?;
        diff.found.sort_by(|a, b| a.change.path.cmp(&b.change.path));
        Ok(diff.found)
    }

    /// Bytes and number of files in the upper layer; a file with several names counts once.
    ///
    /// # Errors
    /// The layer cannot be read.
    pub fn size(&self) -> Result<(u64, u64), OverlayError> {
        if self.store.made().is_none() {
            return Ok((0, 0));
        }
        let mut seen = HashSet::new();
        let (mut bytes, mut files) = (0, 0);
        let mut waiting = vec![PathBuf::new()];
        let mut count = |rel: PathBuf, waiting: &mut Vec<PathBuf>| -> Result<(), Errno> {
            let dir = open_upper(self, &rel)?;
            for entry in at::list_own(&dir)? {
                let stat = at::forced(&[&dir], || at::stat(&dir, &entry.name))?;
                if at::is_dir(&stat) {
                    waiting.push(rel.join(&entry.name));
                } else if at::is_whiteout(&stat) || !seen.insert(stat.st_ino) {
                    continue;
                }
                files += 1;
                bytes += u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
            }
            Ok(())
        };
        while let Some(rel) = waiting.pop() {
            count(rel.clone(), &mut waiting).map_err(|source| self.read_error(&rel, source))?;
        }
        Ok((bytes, files))
    }

    pub(crate) fn read_error(&self, rel: &Path, source: Errno) -> OverlayError {
        OverlayError::Read { path: self.absolute(rel), source }
    }

    /// The host path of `rel`.
    pub(crate) fn absolute(&self, rel: &Path) -> FilePath {
        if rel.as_os_str().is_empty() { self.saved.root.clone() } else { self.saved.root.join(rel) }
    }
}

pub(super) type Walked<T> = Result<T, (PathBuf, Errno)>;

/// Adds the path to an error.
pub(super) fn on<T>(rel: &Path, result: Result<T, Errno>) -> Walked<T> {
    result.map_err(|errno| (rel.to_owned(), errno))
}

/// An upper directory, whatever the modes on the way say.
pub(crate) fn open_upper(overlay: &Overlay, rel: &Path) -> Result<OwnedFd, Errno> {
    open_own(&overlay.store.parts()?.upper, rel)
}

/// Opens `rel` below `root`, a tree of ours: one directory after the other where a mode is in the way.
pub(crate) fn open_own(root: &OwnedFd, rel: &Path) -> Result<OwnedFd, Errno> {
    match at::open_beneath(root, rel) {
        Err(Errno::EACCES) => {}
        other => return other,
    }
    let mut dir = at::open_dir(root, at::dot())?;
    for part in rel.components() {
        dir = at::forced(&[&dir], || at::open_dir(&dir, part.as_os_str()))?;
    }
    Ok(dir)
}

impl Diff<'_> {
    /// Finds every redirect first: a whiteout at the old place is then no deletion.
    fn find_moved(&mut self) -> Walked<()> {
        let mut waiting = vec![PathBuf::new()];
        while let Some(rel) = waiting.pop() {
            let dir = on(&rel, open_upper(self.overlay, &rel))?;
            for entry in on(&rel, at::list_own(&dir))? {
                let child = rel.join(&entry.name);
                if entry.kind != libc::S_IFDIR {
                    continue;
                }
                if let Reach::Redirect(from) = on(&child, at::forced(&[&dir], || reach(&dir, &entry.name)))?
                    && from != child
                    && on(&child, self.host(&from))?.is_some_and(|(_, stat)| at::is_dir(&stat))
                {
                    self.moved.entry(from).or_insert_with(|| child.clone());
                }
                waiting.push(child);
            }
        }
        Ok(())
    }

    fn walk(&mut self) -> Walked<()> {
        let root = PathBuf::new();
        self.compare_root()?;
        let mut waiting = vec![At { rel: root.clone(), lower: Some(root), opaque: false }];
        while let Some(at_dir) = waiting.pop() {
            self.walk_dir(&at_dir, &mut waiting)?;
        }
        Ok(())
    }

    fn compare_root(&mut self) -> Walked<()> {
        let root = Path::new("");
        let host = on(root, at::stat(&self.overlay.root, at::dot()))?;
        let upper = &on(root, self.overlay.store.parts())?.upper;
        let own = on(root, at::stat(upper, at::dot()))?;
        let host_side = Side { dir: &self.overlay.root, name: at::dot(), stat: &host };
        let own_side = Side { dir: upper, name: at::dot(), stat: &own };
        self.compare_same_kind(root, root, host_side, own_side)
    }

    fn walk_dir(&mut self, here: &At, waiting: &mut Vec<At>) -> Walked<()> {
        let dir = on(&here.rel, open_upper(self.overlay, &here.rel))?;
        let mut names = BTreeSet::new();
        for entry in on(&here.rel, at::list_own(&dir))? {
            self.compare_entry(here, &dir, &entry.name, waiting)?;
            names.insert(entry.name);
        }
        if here.opaque { self.list_covered(here, &names) } else { Ok(()) }
    }

    /// Under an opaque directory the host's other names are deletions without a whiteout each.
    fn list_covered(&mut self, here: &At, names: &BTreeSet<std::ffi::OsString>) -> Walked<()> {
        let Some(lower) = &here.lower else {
            return Ok(());
        };
        let dir = match at::open_beneath(&self.overlay.root, lower) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
            other => on(&here.rel, other)?,
        };
        for entry in on(&here.rel, at::list(&dir))? {
            if !names.contains(&entry.name) {
                self.deleted(here.rel.join(&entry.name), lower.join(&entry.name))?;
            }
        }
        Ok(())
    }

    fn compare_entry(&mut self, here: &At, dir: &OwnedFd, name: &OsStr, waiting: &mut Vec<At>) -> Walked<()> {
        let rel = here.rel.join(name);
        let lower = here.lower.as_ref().map(|lower| lower.join(name));
        let own = on(&rel, at::forced(&[dir], || device::unmask(dir, name, at::stat(dir, name)?)))?;
        if at::is_whiteout(&own) {
            return match lower {
                Some(lower) => self.deleted(rel, lower),
                None => Ok(()),
            };
        }
        if !at::is_dir(&own) {
            return self.compare_object(&rel, lower.as_deref(), Side { dir, name, stat: &own });
        }
        let side = Side { dir, name, stat: &own };
        match on(&rel, at::forced(&[dir], || reach(dir, name)))? {
            Reach::Redirect(from) if from == rel => {
                self.compare_object(&rel, Some(&from), side)?;
                waiting.push(At { rel, lower: Some(from), opaque: false });
            }
            Reach::Redirect(from) if self.moved.get(&from) == Some(&rel) => {
                // What the host has under the new name is lost, and a lost name is never left unsaid.
                if let Some(lower) = lower {
                    self.deleted(rel.clone(), lower)?;
                }
                self.renamed(&rel, &from, side)?;
                waiting.push(At { rel, lower: Some(from), opaque: false });
            }
            kind => {
                let opaque = !matches!(kind, Reach::Same);
                self.compare_object(&rel, lower.as_deref(), side)?;
                waiting.push(At { rel, lower: lower.filter(|lower| !self.is_moved(lower)), opaque });
            }
        }
        Ok(())
    }

    /// One upper object against whatever the host has in its place.
    fn compare_object(&mut self, rel: &Path, lower: Option<&Path>, own: Side<'_>) -> Walked<()> {
        let there = match lower.filter(|lower| !self.is_moved(lower)) {
            Some(lower) => on(rel, self.host(lower))?,
            None => None,
        };
        let place = lower.unwrap_or(rel);
        if own.stat.st_nlink > 1 && at::kind_of(own.stat) == libc::S_IFREG {
            let host = there.as_ref().map(|(_, stat)| *stat);
            let name = Linked { rel: rel.to_owned(), lower: place.to_owned(), host, own: *own.stat };
            self.linked.entry(own.stat.st_ino).or_default().push(name);
        }
        let Some((dir, stat)) = there else {
            return self.push(rel, place, ChangeKind::Added, None, Some(own));
        };
        let name = at::split(place).map_or(at::dot(), |(_, name)| name);
        let host = Side { dir: &dir, name, stat: &stat };
        if at::kind_of(&stat) != at::kind_of(own.stat) {
            return self.push(rel, place, ChangeKind::Replaced, Some(host), Some(own));
        }
        self.compare_same_kind(rel, place, host, own)
    }

    fn compare_same_kind(&mut self, rel: &Path, lower: &Path, host: Side<'_>, own: Side<'_>) -> Walked<()> {
        let differs = on(rel, at::forced(&[own.dir], || compare::differs(host, own)))?;
        if !compare::any(&differs) {
            return Ok(());
        }
        self.push(rel, lower, ChangeKind::Modified, Some(host), Some(own))?;
        if let Some(last) = self.found.last_mut() {
            last.change.differs = differs;
        }
        Ok(())
    }

    fn renamed(&mut self, rel: &Path, from: &Path, own: Side<'_>) -> Walked<()> {
        let Some((dir, stat)) = on(rel, self.host(from))? else {
            return Ok(());
        };
        let name = at::split(from).map_or(at::dot(), |(_, name)| name);
        let kind = ChangeKind::Renamed { from: self.overlay.absolute(from) };
        self.push(rel, from, kind, Some(Side { dir: &dir, name, stat: &stat }), Some(own))
    }

    fn deleted(&mut self, rel: PathBuf, lower: PathBuf) -> Walked<()> {
        if self.is_moved(&lower) {
            return Ok(());
        }
        let Some((dir, stat)) = on(&rel, self.host(&lower))? else {
            return Ok(());
        };
        let name = at::split(&lower).map_or(at::dot(), |(_, name)| name);
        let below = if at::is_dir(&stat) { on(&rel, self.count_below(&lower))? } else { 0 };
        self.push(&rel, &lower, ChangeKind::Deleted, Some(Side { dir: &dir, name, stat: &stat }), None)?;
        if let Some(last) = self.found.last_mut() {
            last.change.below = below;
        }
        Ok(())
    }

    fn push(
        &mut self,
        rel: &Path,
        lower: &Path,
        kind: ChangeKind,
        host: Option<Side<'_>>,
        own: Option<Side<'_>>,
    ) -> Walked<()> {
        let meta = |side: Option<Side<'_>>| -> Walked<Option<Meta>> {
            side.map(|side| on(rel, at::forced(&[side.dir], || compare::meta(side)))).transpose()
        };
        let change = Change {
            path: self.overlay.absolute(rel),
            kind,
            before: meta(host)?,
            after: meta(own)?,
            differs: Differs::default(),
            below: 0,
        };
        let (host, own) = (host.map(|side| *side.stat), own.map(|side| *side.stat));
        self.found.push(Delta { change, rel: rel.to_owned(), lower: lower.to_owned(), host, own, mates: Vec::new() });
        Ok(())
    }

    pub(super) fn is_moved(&self, lower: &Path) -> bool {
        self.moved.contains_key(lower)
    }

    /// What the host has at `rel`, with the directory it is in.
    pub(super) fn host(&self, rel: &Path) -> Result<Option<(Arc<OwnedFd>, Stat)>, Errno> {
        let (parent, name) = at::split(rel).unwrap_or((Path::new(""), at::dot()));
        match self.parents.borrow_mut().dir(&self.overlay.root, parent) {
            Ok(dir) => Ok(at::stat_opt(&dir, name)?.map(|stat| (dir, stat))),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Names below a host directory, without those of directories that were moved out of it.
    fn count_below(&self, rel: &Path) -> Result<u64, Errno> {
        let mut count = 0;
        let mut waiting = vec![rel.to_owned()];
        while let Some(rel) = waiting.pop() {
            let dir = at::open_beneath(&self.overlay.root, &rel)?;
            for entry in at::list(&dir)? {
                let child = rel.join(&entry.name);
                if self.is_moved(&child) {
                    continue;
                }
                count += 1;
                if entry.kind == libc::S_IFDIR {
                    waiting.push(child);
                }
            }
        }
        Ok(count)
    }
}

/// What lies at `rel` below `root`, with the directory it is in; `None` when nothing does, or a directory on the way
/// is none any more.
pub(crate) fn host_object(root: &OwnedFd, rel: &Path) -> Result<Option<(OwnedFd, Stat)>, Errno> {
    let (parent, name) = at::split(rel).unwrap_or((Path::new(""), at::dot()));
    match at::open_beneath(root, parent) {
        Ok(dir) => Ok(at::stat_opt(&dir, name)?.map(|stat| (dir, stat))),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
        Err(errno) => Err(errno),
    }
}
