//! Planning an apply: which changes, whether the host still is what they started from, and in which steps.

use crate::changes::diff::{Delta, host_object, open_upper};
use crate::error::{ApplyError, Conflict, ConflictKind};
use crate::fs::at;
use crate::fs::xattr;
use crate::overlay::Overlay;
use crate::settle::journal::{Action, Step};
use crate::store::origin::Identity;
use crate::store::store_error;
use model::{ChangeKind, FilePath};
use nix::errno::Errno;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Which changes to apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every change.
    All,
    /// These absolute paths with all that is below them. Directories above them that are new are made; a directory
    /// above them that was renamed or replaced comes whole.
    Paths(Vec<FilePath>),
}

/// A checked plan. Nothing was done yet.
#[derive(Clone, Debug)]
pub struct ApplyPlan {
    pub(crate) steps: Vec<Step>,
    pub(crate) changes: u64,
    pub(crate) allow_setid: bool,
    /// Every change is part of it.
    pub(crate) whole: bool,
    /// Paths of upper directories whose opaque mark must become whiteouts first.
    pub(crate) opaque: Vec<PathBuf>,
    /// Files with set-id bits, by path, with their modes.
    pub(crate) setid: Vec<(PathBuf, u32)>,
}

impl ApplyPlan {
    /// Lets set-user-id and set-group-id bits of files become real; otherwise they are taken off.
    #[must_use]
    pub fn allow_setid(mut self, allow: bool) -> ApplyPlan {
        self.allow_setid = allow;
        self
    }

    /// How many changes it makes real.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether it does nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes == 0
    }
}

impl Overlay {
    /// Plans to apply the selected changes, without touching anything.
    ///
    /// # Errors
    /// [`ApplyError::Conflicts`] when the host changed meanwhile, [`ApplyError::Unfinished`] when an earlier apply must
    /// be resumed first, [`ApplyError::NotAChange`] for a path that is none, [`ApplyError::Inseparable`] when the
    /// selection needs a change that is not part of it.
    pub fn plan_apply(&self, selection: &Selection) -> Result<ApplyPlan, ApplyError> {
        self.check_at_rest()?;
        let deltas = self.deltas()?;
        let chosen = select(&deltas, selection)?;
        refuse_devices(&deltas, &chosen)?;
        let planner = Planner::new(self, &deltas, &chosen);
        let conflicts = planner.conflicts().map_err(|(rel, e)| self.read_error(&rel, e))?;
        if !conflicts.is_empty() {
            return Err(ApplyError::Conflicts(conflicts));
        }
        let steps = planner.steps().map_err(|(rel, e)| self.read_error(&rel, e))?;
        Ok(ApplyPlan {
            steps,
            setid: planner.selected().filter_map(setid).collect(),
            changes: u64::try_from(chosen.len()).unwrap_or(u64::MAX),
            allow_setid: false,
            whole: chosen.len() == deltas.len(),
            opaque: self.opaque_over_host(&deltas).map_err(|e| store_error(&self.store.path, e))?,
        })
    }

    /// Upper directories that are opaque over a host directory, unless that one was renamed away.
    fn opaque_over_host(&self, deltas: &[Delta]) -> Result<Vec<PathBuf>, Errno> {
        let moved: HashSet<&Path> = deltas.iter().filter(|d| is_rename(d)).map(|d| d.lower.as_path()).collect();
        let mut found = Vec::new();
        let mut waiting = vec![PathBuf::new()];
        while let Some(rel) = waiting.pop() {
            let dir = open_upper(self, &rel)?;
            for entry in at::list_own(&dir)?.into_iter().filter(|entry| entry.kind == libc::S_IFDIR) {
                let child = rel.join(&entry.name);
                let mark = at::forced(&[&dir], || crate::view::layers::reach(&dir, &entry.name))?;
                let covers = !moved.contains(self.lower_path(&child)?.as_path());
                if matches!(mark, crate::view::layers::Reach::Opaque) && covers {
                    found.push(child.clone());
                }
                waiting.push(child);
            }
        }
        Ok(found)
    }
}

/// A device node reaches hardware, whatever it was made for: the layer keeps it, the host never gets it.
fn refuse_devices(deltas: &[Delta], chosen: &BTreeSet<usize>) -> Result<(), ApplyError> {
    let own_kind = |delta: &Delta| delta.own.as_ref().map(at::kind_of);
    let devices = chosen.iter().filter_map(|index| deltas.get(*index));
    match devices.into_iter().find(|delta| own_kind(delta).is_some_and(crate::view::device::is_device)) {
        Some(delta) => Err(ApplyError::Device(delta.change.path.clone())),
        None => Ok(()),
    }
}

/// The chosen changes, by index.
fn select(deltas: &[Delta], selection: &Selection) -> Result<BTreeSet<usize>, ApplyError> {
    let Selection::Paths(paths) = selection else {
        return Ok((0..deltas.len()).collect());
    };
    let mut chosen = BTreeSet::new();
    for path in paths {
        let path = path.normalise();
        let below: Vec<usize> = below(deltas, &path);
        if below.is_empty() {
            return Err(ApplyError::NotAChange(path));
        }
        chosen.extend(below);
        for above in path.as_path().ancestors().map(FilePath::from) {
            if at_path(deltas, &above).iter().any(|delta| comes_whole(&delta.change.kind)) {
                chosen.extend(self::below(deltas, &above));
            }
        }
    }
    check_places(deltas, &chosen)?;
    Ok(chosen)
}

/// Something can only be put at or below where a directory of the host was renamed away if that is chosen too, as when two
/// directories were exchanged. It is not chosen silently: it may be what the caller wants to hold back.
fn check_places(deltas: &[Delta], chosen: &BTreeSet<usize>) -> Result<(), ApplyError> {
    let placed = |delta: &&Delta| delta.change.kind != ChangeKind::Deleted;
    let chosen_deltas = || chosen.iter().filter_map(|index| deltas.get(*index));
    let places: HashSet<&FilePath> = chosen_deltas().filter(placed).map(|delta| &delta.change.path).collect();
    let held_back = deltas.iter().enumerate().filter(|(index, _)| !chosen.contains(index));
    for (_, delta) in held_back {
        if let ChangeKind::Renamed { from } = &delta.change.kind
            && let Some(path) = places.iter().find(|place| place.starts_with(from))
        {
            return Err(ApplyError::Inseparable { path: (*path).clone(), other: delta.change.path.clone() });
        }
        // What goes away takes along what was in it on the host, also what the layer shows elsewhere.
        let holds = |chosen: &&Delta| chosen.change.path != delta.change.path && leaves(chosen, delta);
        if let (ChangeKind::Renamed { .. }, Some(chosen)) = (&delta.change.kind, chosen_deltas().find(holds)) {
            return Err(ApplyError::Inseparable { path: chosen.change.path.clone(), other: delta.change.path.clone() });
        }
    }
    Ok(())
}

/// The changes of one path: one, or two where a directory was renamed over what is deleted. `deltas` is sorted.
fn at_path<'d>(deltas: &'d [Delta], path: &FilePath) -> &'d [Delta] {
    let start = deltas.partition_point(|delta| delta.change.path < *path);
    let end = deltas.partition_point(|delta| delta.change.path <= *path);
    deltas.get(start..end).unwrap_or_default()
}

/// Indices of the changes at and below `path`. Those below stand together, since all begin with `path/`.
fn below(deltas: &[Delta], path: &FilePath) -> Vec<usize> {
    let mut prefix = path.as_bytes().to_vec();
    if !prefix.ends_with(b"/") {
        prefix.push(b'/');
    }
    let own = deltas.partition_point(|delta| delta.change.path < *path);
    let start = deltas.partition_point(|delta| delta.change.path.as_bytes() < prefix.as_slice());
    let inside = deltas.iter().skip(start).take_while(|delta| delta.change.path.as_bytes().starts_with(&prefix));
    let end = start + inside.count();
    (own..own + at_path(deltas, path).len()).chain(start..end).collect()
}

/// Whether nothing stays of what the host has there.
fn takes_away(kind: &ChangeKind) -> bool {
    matches!(kind, ChangeKind::Deleted | ChangeKind::Replaced)
}

fn comes_whole(kind: &ChangeKind) -> bool {
    matches!(kind, ChangeKind::Renamed { .. } | ChangeKind::Replaced)
}

type Planned<T> = Result<T, (PathBuf, Errno)>;

struct Planner<'p> {
    overlay: &'p Overlay,
    deltas: &'p [Delta],
    chosen: &'p BTreeSet<usize>,
    /// Old places of the chosen renames.
    moved: HashSet<&'p Path>,
    /// What [`Planner::is_near`] found, by directory.
    near: RefCell<HashMap<PathBuf, bool>>,
}

impl<'p> Planner<'p> {
    fn new(overlay: &'p Overlay, deltas: &'p [Delta], chosen: &'p BTreeSet<usize>) -> Planner<'p> {
        let renamed = deltas.iter().filter(|delta| is_rename(delta));
        let moved = renamed.map(|delta| delta.lower.as_path()).collect();
        Planner { overlay, deltas, chosen, moved, near: RefCell::default() }
    }

    fn selected(&self) -> impl Iterator<Item = &'p Delta> {
        self.chosen.iter().filter_map(|index| self.deltas.get(*index))
    }

    fn conflicts(&self) -> Planned<Vec<Conflict>> {
        let mut found = Vec::new();
        for delta in self.selected() {
            if let Some(kind) = self.conflict(delta) {
                found.push(Conflict { path: delta.change.path.clone(), kind });
            } else if takes_away(&delta.change.kind) && delta.host.as_ref().is_some_and(at::is_dir) {
                self.check_tree(delta, &mut found)?;
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found.dedup();
        Ok(found)
    }

    fn conflict(&self, delta: &Delta) -> Option<ConflictKind> {
        let recorded = self.overlay.store.origins.get(&delta.lower);
        match (&delta.host, recorded) {
            (None, None) => None,
            // Its old host object was renamed away, which is a change of its own.
            (None, Some(_)) if self.moved.contains(delta.lower.as_path()) => None,
            (None, Some(_)) => Some(ConflictKind::Gone),
            (Some(_), None) => Some(ConflictKind::Appeared),
            (Some(host), Some(was)) => (!was.matches(host)).then_some(ConflictKind::Changed),
        }
    }

    /// Everything below a deleted directory must have been seen and deleted by the jar, name by name.
    fn check_tree(&self, delta: &Delta, found: &mut Vec<Conflict>) -> Planned<()> {
        let mut waiting = vec![delta.lower.clone()];
        while let Some(rel) = waiting.pop() {
            let on = |errno| (rel.clone(), errno);
            let dir = at::open_beneath(&self.overlay.root, &rel).map_err(on)?;
            for entry in at::list(&dir).map_err(on)? {
                let child = rel.join(&entry.name);
                if self.moved.contains(child.as_path()) {
                    continue;
                }
                let Some(stat) = at::stat_opt(&dir, &entry.name).map_err(on)? else {
                    continue;
                };
                let kind = match self.overlay.store.origins.get(&child) {
                    None => Some(ConflictKind::Unseen),
                    Some(was) if !was.matches(&stat) => Some(ConflictKind::Changed),
                    Some(_) => None,
                };
                if let Some(kind) = kind {
                    found.push(Conflict { path: self.overlay.absolute(&child), kind });
                } else if at::is_dir(&stat) {
                    waiting.push(child);
                }
            }
        }
        Ok(())
    }

    fn steps(&self) -> Planned<Vec<Step>> {
        let mut steps = Vec::new();
        let mut stashes: HashMap<&Path, u32> = HashMap::new();
        let mut renames: Vec<&Delta> = self.selected().filter(|delta| is_rename(delta)).collect();
        // What lies deepest leaves first, while its path is still good.
        renames.sort_by_key(|delta| std::cmp::Reverse(delta.lower.components().count()));
        for delta in renames {
            stashes.insert(&delta.lower, number(&steps));
            self.add(&mut steps, Action::Stash, &delta.lower, delta)?;
        }
        let mut whole: HashSet<&Path> = HashSet::new();
        let mut made = HashSet::new();
        for delta in self.selected() {
            if delta.rel.ancestors().any(|above| whole.contains(above)) {
                continue;
            }
            self.make_parents(&mut steps, &mut made, delta)?;
            let action = self.action(delta, &stashes);
            self.add(&mut steps, action, &delta.rel, delta)?;
            if is_rename(delta) && self.looks_differ(delta).map_err(|e| (delta.rel.clone(), e))? {
                self.add(&mut steps, Action::Attributes, &delta.rel, delta)?;
            }
            if action == Action::Put && delta.own.as_ref().is_some_and(at::is_dir) {
                whole.insert(&delta.rel);
            }
            if action == Action::Make {
                made.insert(delta.rel.as_path());
            }
        }
        Ok(steps)
    }

    fn action(&self, delta: &Delta, stashes: &HashMap<&Path, u32>) -> Action {
        let directory = delta.own.as_ref().is_some_and(at::is_dir);
        match delta.change.kind {
            ChangeKind::Deleted => Action::Remove,
            ChangeKind::Renamed { .. } => {
                Action::Place { stash: stashes.get(delta.lower.as_path()).copied().unwrap_or_default() }
            }
            ChangeKind::Modified if directory => Action::Attributes,
            ChangeKind::Added if directory && !self.moves_whole(delta) => Action::Make,
            _ => Action::Put,
        }
    }

    /// A new directory is one rename if everything in it is chosen and nothing in it stands over the host.
    fn moves_whole(&self, delta: &Delta) -> bool {
        let added = |index: usize| self.deltas.get(index).is_some_and(|d| d.change.kind == ChangeKind::Added);
        below(self.deltas, &delta.change.path).into_iter().all(|index| self.chosen.contains(&index) && added(index))
    }

    /// New directories above a chosen change that are not chosen themselves.
    fn make_parents(&self, steps: &mut Vec<Step>, made: &mut HashSet<&'p Path>, delta: &Delta) -> Planned<()> {
        let mut missing: Vec<&'p Delta> = Vec::new();
        for above in delta.rel.ancestors().skip(1) {
            match at_path(self.deltas, &self.overlay.absolute(above)).first() {
                Some(parent) if parent.change.kind == ChangeKind::Added && !made.contains(parent.rel.as_path()) => {
                    missing.push(parent);
                }
                _ => {}
            }
        }
        for parent in missing.into_iter().rev() {
            made.insert(&parent.rel);
            self.add(steps, Action::Make, &parent.rel, parent)?;
        }
        Ok(())
    }

    fn add(&self, steps: &mut Vec<Step>, action: Action, path: &Path, delta: &Delta) -> Planned<()> {
        let on = |errno| (path.to_owned(), errno);
        let xattrs = match action {
            Action::Attributes => self.host_xattrs(&delta.lower).map_err(on)?,
            _ => Vec::new(),
        };
        let (near, own) = (self.is_near(&delta.lower).map_err(on)?, delta.own.as_ref().map(|stat| stat.st_ino));
        let host = delta.host.as_ref().map(Identity::of);
        let number = number(steps);
        steps.push(Step {
            number,
            action,
            path: FilePath::from(path),
            lower: FilePath::from(delta.lower.as_path()),
            near,
            host,
            own,
            xattrs,
        });
        Ok(())
    }

    /// Whether a renamed directory has another mode, owner or attribute as well.
    fn looks_differ(&self, delta: &Delta) -> Result<bool, Errno> {
        let looks = |stat: &at::Stat| (stat.st_mode, stat.st_uid, stat.st_gid);
        let host = at::open_beneath(&self.overlay.root, &delta.lower)?;
        let own = open_upper(self.overlay, &delta.rel)?;
        let attributes = xattr::all_foreign(&host, at::dot())? == xattr::all_foreign(&own, at::dot())?;
        Ok(delta.host.as_ref().map(looks) != delta.own.as_ref().map(looks) || !attributes)
    }

    fn host_xattrs(&self, rel: &Path) -> Result<Vec<(FilePath, Vec<u8>)>, Errno> {
        let dir = at::open_beneath(&self.overlay.root, rel)?;
        let all = xattr::all_foreign(&dir, at::dot())?;
        Ok(all.into_iter().map(|(name, value)| (FilePath::new(name), value)).collect())
    }

    /// Whether store and target share a file system, judged by the nearest directory that exists.
    fn is_near(&self, lower: &Path) -> Result<bool, Errno> {
        let parent = lower.parent().unwrap_or(Path::new(""));
        if let Some(near) = self.near.borrow().get(parent) {
            return Ok(*near);
        }
        let near = self.find_near(lower)?;
        self.near.borrow_mut().insert(parent.to_owned(), near);
        Ok(near)
    }

    fn find_near(&self, lower: &Path) -> Result<bool, Errno> {
        let own = at::stat(&self.overlay.store.upper, at::dot())?.st_dev;
        for above in lower.ancestors().skip(1) {
            if let Some((_, stat)) = host_object(&self.overlay.root, above)?
                && at::is_dir(&stat)
            {
                return Ok(stat.st_dev == own);
            }
        }
        Ok(at::stat(&self.overlay.root, at::dot())?.st_dev == own)
    }
}

/// The mode of a file whose set-id bits need consent.
fn setid(delta: &Delta) -> Option<(PathBuf, u32)> {
    let stat = delta.own.as_ref().filter(|stat| at::kind_of(stat) == libc::S_IFREG && stat.st_mode & 0o6000 != 0)?;
    Some((delta.rel.clone(), stat.st_mode & 0o7777))
}

/// Whether the host directory that `moved` shows leaves its place with `delta`.
fn leaves(delta: &Delta, moved: &Delta) -> bool {
    (is_rename(delta) || takes_away(&delta.change.kind)) && moved.lower.starts_with(&delta.lower)
}

fn is_rename(delta: &Delta) -> bool {
    matches!(delta.change.kind, ChangeKind::Renamed { .. })
}

fn number(steps: &[Step]) -> u32 {
    u32::try_from(steps.len()).unwrap_or(u32::MAX)
}
