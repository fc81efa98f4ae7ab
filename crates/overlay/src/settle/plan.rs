//! Planning an apply: which changes, whether the host still is what they started from, and in which steps.

use crate::changes::diff::{Delta, Mate, host_object, open_upper};
use crate::error::{ApplyError, Conflict, ConflictKind, OverlayError};
use crate::fs::at;
use crate::fs::xattr;
use crate::overlay::Overlay;
use crate::settle::compose::{self, Composed};
use crate::settle::journal::{Action, Step};
use crate::settle::times::Time;
use crate::store::origin::Identity;
use crate::store::store_error;
use model::{ChangeKind, ChangeSet, FilePath};
use nix::errno::Errno;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Which changes to apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every change.
    All,
    /// These absolute paths with all that is below them. Directories above them that are new are made; a directory
    /// above them that was renamed or replaced comes whole.
    Paths(Vec<FilePath>),
    /// The same, and of text files perhaps only some hunks.
    Picks(Vec<Pick>),
}

/// A path, whole or some hunks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Absolute.
    pub path: FilePath,
    /// Numbers as [`crate::Preview`] tells them, for a text file that the host has too; none mean all of it. Mode, owner
    /// and attributes are not part of any hunk: they become real with the whole file.
    pub hunks: Vec<u32>,
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
    /// Files that the layer copied from the host: where they are, and where the host has what they were copied from.
    pub(crate) copies: Vec<(FilePath, FilePath)>,
    /// Files composed for a step, by its number.
    pub(crate) composed: Parts,
    /// Modification times of directories, for when all steps are done.
    pub(crate) times: Vec<Time>,
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
        self.plan(selection, false)
    }

    /// As [`Overlay::plan_apply`], but a text file that the host changed meanwhile becomes what both sides made of it,
    /// if they changed different places.
    ///
    /// # Errors
    /// As there; a conflict that cannot be merged says why.
    pub fn plan_merge(&self, selection: &Selection) -> Result<ApplyPlan, ApplyError> {
        self.plan(selection, true)
    }

    /// [`Overlay::changes`], and where the host is not what the jar started from any more: there an apply would refuse. Of
    /// a layer that is being applied or undone nothing of the kind can be said.
    ///
    /// # Errors
    /// A file on either side cannot be read.
    pub fn changes_and_conflicts(&self) -> Result<(ChangeSet, Vec<Conflict>), OverlayError> {
        let deltas = self.deltas()?;
        let mut conflicts = Vec::new();
        if self.check_at_rest().is_ok() {
            let all: BTreeSet<usize> = (0..deltas.len()).collect();
            let planner = Planner::new(self, &deltas, &all);
            let found = planner.conflicts().map_err(|(rel, source)| self.read_error(&rel, source))?;
            conflicts.extend(found.into_iter().map(|(_, conflict)| conflict));
        }
        Ok((ChangeSet { changes: deltas.into_iter().map(|delta| delta.change).collect() }, conflicts))
    }

    fn plan(&self, selection: &Selection, merge: bool) -> Result<ApplyPlan, ApplyError> {
        self.check_at_rest()?;
        let deltas = self.deltas()?;
        let Chosen { whole, hunks } = select(&deltas, selection)?;
        let (chosen, mut composed) = self.compose_hunks(&deltas, whole, &hunks)?;
        refuse_devices(&deltas, &chosen)?;
        let planner = Planner::new(self, &deltas, &chosen);
        let conflicts = planner.conflicts().map_err(|(rel, e)| self.read_error(&rel, e))?;
        let conflicts = self.resolve(&deltas, conflicts, merge, &mut composed)?;
        if !conflicts.is_empty() {
            return Err(ApplyError::Conflicts(conflicts));
        }
        let (steps, composed) = planner.steps(composed).map_err(|(rel, e)| self.read_error(&rel, e))?;
        let times = self.times_to_arrive(&steps).map_err(|e| store_error(&self.store.path, e))?;
        Ok(ApplyPlan {
            steps,
            setid: planner.selected().filter_map(setid).collect(),
            copies: planner.selected().filter_map(copied).collect(),
            changes: u64::try_from(chosen.len()).unwrap_or(u64::MAX),
            allow_setid: false,
            whole: chosen.len() == deltas.len(),
            opaque: self.opaque_over_host(&deltas).map_err(|e| store_error(&self.store.path, e))?,
            composed,
            times,
        })
    }

    /// The files of which only some hunks were chosen. All hunks are the whole change, unless there is more to it.
    fn compose_hunks(
        &self,
        deltas: &[Delta],
        mut chosen: BTreeSet<usize>,
        hunks: &BTreeMap<usize, BTreeSet<u32>>,
    ) -> Result<(BTreeSet<usize>, BTreeMap<usize, Composed>), ApplyError> {
        let mut composed = BTreeMap::new();
        for (index, numbers) in hunks {
            let Some(delta) = deltas.get(*index) else { continue };
            if let Some(file) = self.with_hunks(delta, numbers)? {
                composed.insert(*index, file);
            }
            chosen.insert(*index);
        }
        check_places(deltas, &chosen)?;
        Ok((chosen, composed))
    }

    /// The conflicts that remain when those that can be merged are.
    fn resolve(
        &self,
        deltas: &[Delta],
        conflicts: Vec<(Option<usize>, Conflict)>,
        merge: bool,
        composed: &mut BTreeMap<usize, Composed>,
    ) -> Result<Vec<Conflict>, ApplyError> {
        let mut left = Vec::new();
        for (index, mut conflict) in conflicts {
            let changed = index.filter(|_| merge && conflict.kind == ConflictKind::Changed);
            let Some((index, delta)) = changed.and_then(|index| Some((index, deltas.get(index)?))) else {
                left.push(conflict);
                continue;
            };
            if composed.contains_key(&index) {
                conflict.kind = ConflictKind::Unmergeable("only some hunks of it are chosen");
                left.push(conflict);
                continue;
            }
            match self.merged(delta).map_err(|e| self.read_error(&delta.rel, e))? {
                Ok(file) => drop(composed.insert(index, file)),
                Err(kind) => left.push(Conflict { kind, ..conflict }),
            }
        }
        Ok(left)
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
                let opaque = matches!(mark, crate::view::layers::Reach::Opaque);
                // What the host has there is asked for last: that costs as much as the path is deep.
                if opaque && !moved.contains(self.lower_path(&child)?.as_path()) {
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

/// What is chosen, by index of the change.
struct Chosen {
    whole: BTreeSet<usize>,
    hunks: BTreeMap<usize, BTreeSet<u32>>,
}

/// The chosen changes. A path that is chosen both whole and by hunks is chosen whole.
fn select(deltas: &[Delta], selection: &Selection) -> Result<Chosen, ApplyError> {
    let picks = match selection {
        Selection::All => return Ok(Chosen { whole: (0..deltas.len()).collect(), hunks: BTreeMap::new() }),
        Selection::Paths(paths) => {
            paths.iter().map(|path| Pick { path: path.clone(), hunks: Vec::new() }).collect::<Vec<_>>()
        }
        Selection::Picks(picks) => picks.clone(),
    };
    let (by_hunk, whole): (Vec<Pick>, Vec<Pick>) = picks.into_iter().partition(|pick| !pick.hunks.is_empty());
    let whole = select_paths(deltas, whole.iter().map(|pick| &pick.path))?;
    let mut hunks: BTreeMap<usize, BTreeSet<u32>> = BTreeMap::new();
    for pick in by_hunk {
        let path = pick.path.normalise();
        let start = deltas.partition_point(|delta| delta.change.path < path);
        match at_path(deltas, &path) {
            [] => return Err(ApplyError::NotAChange(path)),
            [_] if whole.contains(&start) => {}
            [delta] if delta.rel == delta.lower => hunks.entry(start).or_default().extend(pick.hunks),
            _ => {
                let why = "it came here with a renamed directory, which comes first";
                return Err(ApplyError::NoHunks { path, why });
            }
        }
    }
    Ok(Chosen { whole, hunks })
}

fn select_paths<'p>(
    deltas: &[Delta],
    paths: impl Iterator<Item = &'p FilePath>,
) -> Result<BTreeSet<usize>, ApplyError> {
    // By its old name a file that was renamed is chosen as well.
    let from = |(index, delta): (usize, &Delta)| match &delta.change.kind {
        ChangeKind::Renamed { from } if is_file_rename(delta) => Some((from.clone(), index)),
        _ => None,
    };
    let renamed: HashMap<FilePath, usize> = deltas.iter().enumerate().filter_map(from).collect();
    let mut chosen = BTreeSet::new();
    for path in paths {
        let path = path.normalise();
        let mut below: Vec<usize> = below(deltas, &path);
        below.extend(renamed.get(&path));
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
        if let Some(chosen) = chosen_deltas().find(|chosen| is_rename(delta) && holds(chosen)) {
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

/// For a file that was renamed this says nothing more, as nothing lies below it.
fn comes_whole(kind: &ChangeKind) -> bool {
    matches!(kind, ChangeKind::Renamed { .. } | ChangeKind::Replaced)
}

type Planned<T> = Result<T, (PathBuf, Errno)>;
/// Composed files by the number of the step that puts them in place.
type Parts = Vec<(u32, Composed)>;

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

    /// Each with the change it concerns, where it is that path itself.
    fn conflicts(&self) -> Planned<Vec<(Option<usize>, Conflict)>> {
        let mut found = Vec::new();
        for index in self.chosen.iter() {
            let Some(delta) = self.deltas.get(*index) else { continue };
            if let Some(kind) = self.conflict(delta) {
                found.push((Some(*index), Conflict { path: delta.change.path.clone(), kind }));
            } else if let Some(conflict) = self.mate_conflict(delta) {
                found.push((None, conflict));
            } else if takes_away(&delta.change.kind) && delta.host.as_ref().is_some_and(at::is_dir) {
                self.check_tree(delta, &mut found)?;
            }
        }
        found.sort_by(|(_, a), (_, b)| a.path.cmp(&b.path));
        found.dedup_by(|(_, a), (_, b)| a == b);
        Ok(found)
    }

    /// Whether another name of a linked file is not what the jar saw.
    fn mate_conflict(&self, delta: &Delta) -> Option<Conflict> {
        let changed = |mate: &&Mate| {
            let recorded = self.overlay.store.recorded(&mate.lower);
            !recorded.is_some_and(|was| was.matches(&mate.host))
        };
        let mate = delta.mates.iter().find(changed)?;
        Some(Conflict { path: self.overlay.absolute(&mate.rel), kind: ConflictKind::Changed })
    }

    fn conflict(&self, delta: &Delta) -> Option<ConflictKind> {
        let recorded = self.overlay.store.recorded(&delta.lower);
        match (&delta.host, recorded) {
            (None, None) => None,
            // Its old host object was renamed away, alone or with a directory, which is a change of its own.
            (None, Some(_)) if delta.lower.ancestors().any(|above| self.moved.contains(above)) => None,
            (None, Some(_)) => Some(ConflictKind::Gone),
            (Some(_), None) => Some(ConflictKind::Appeared),
            (Some(host), Some(was)) => (!was.matches(host)).then_some(ConflictKind::Changed),
        }
    }

    /// Everything below a deleted directory must have been seen and deleted by the jar, name by name.
    fn check_tree(&self, delta: &Delta, found: &mut Vec<(Option<usize>, Conflict)>) -> Planned<()> {
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
                let kind = match self.overlay.store.recorded(&child) {
                    None => Some(ConflictKind::Unseen),
                    Some(was) if !was.matches(&stat) => Some(ConflictKind::Changed),
                    Some(_) => None,
                };
                if let Some(kind) = kind {
                    found.push((None, Conflict { path: self.overlay.absolute(&child), kind }));
                } else if at::is_dir(&stat) {
                    waiting.push(child);
                }
            }
        }
        Ok(())
    }

    /// The steps, and what was composed by the number of the step that puts it in place.
    fn steps(&self, mut composed: BTreeMap<usize, Composed>) -> Planned<(Vec<Step>, Parts)> {
        let mut steps = Vec::new();
        let mut parts = Vec::new();
        let mut stashes: HashMap<&Path, u32> = HashMap::new();
        let mut renames: Vec<&Delta> = self.selected().filter(|delta| is_rename(delta)).collect();
        // What lies deepest leaves first, while its path is still good.
        renames.sort_by_key(|delta| std::cmp::Reverse(delta.lower.components().count()));
        for delta in renames {
            stashes.insert(&delta.lower, number(&steps));
            self.add(&mut steps, Action::Stash, &delta.lower, delta)?;
        }
        let mut whole: HashSet<&Path> = HashSet::new();
        let deleted = self.selected().filter(|delta| delta.change.kind == ChangeKind::Deleted);
        let removed: HashSet<&Path> = deleted.map(|delta| delta.lower.as_path()).collect();
        let (mut made, mut placed) = (HashSet::new(), HashSet::new());
        for index in self.chosen.iter() {
            let Some(delta) = self.deltas.get(*index) else { continue };
            if delta.rel.ancestors().any(|above| whole.contains(above)) {
                continue;
            }
            self.make_parents(&mut steps, &mut made, delta)?;
            self.put_mates(&mut steps, &mut placed, delta)?;
            if is_file_rename(delta) {
                self.move_file(&mut steps, &removed, delta)?;
                continue;
            }
            if self.makes_room(delta)? {
                self.add(&mut steps, Action::Remove, &delta.rel, &Delta { own: None, ..delta.clone() })?;
                self.add(&mut steps, Action::Make, &delta.rel, &Delta { host: None, ..delta.clone() })?;
                made.insert(delta.rel.as_path());
                continue;
            }
            let action = self.action(delta, &stashes)?;
            self.add(&mut steps, action, &delta.rel, delta)?;
            if let (Some(file), Some(step)) = (composed.remove(index), steps.last_mut()) {
                step.part = Some(compose::part(step.number, &file));
                parts.push((step.number, file));
            }
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
        Ok((steps, parts))
    }

    /// The names of a linked file that are as the host has them become the same file with the new one.
    fn put_mates(&self, steps: &mut Vec<Step>, placed: &mut HashSet<PathBuf>, delta: &Delta) -> Planned<()> {
        for mate in &delta.mates {
            let there = mate.rel == mate.lower || self.selected().any(|d| is_rename(d) && mate.rel.starts_with(&d.rel));
            if there && placed.insert(mate.rel.clone()) {
                let (rel, lower) = (mate.rel.clone(), mate.lower.clone());
                let as_delta = Delta {
                    rel,
                    lower,
                    host: Some(mate.host),
                    own: Some(mate.own),
                    mates: Vec::new(),
                    ..delta.clone()
                };
                self.add(steps, Action::Put, &mate.rel, &as_delta)?;
            }
        }
        Ok(())
    }

    fn move_file(&self, steps: &mut Vec<Step>, removed: &HashSet<&Path>, delta: &Delta) -> Planned<()> {
        let arrives = Delta { lower: delta.rel.clone(), host: None, ..delta.clone() };
        self.add(steps, Action::Put, &delta.rel, &arrives)?;
        // A directory that is removed as a whole takes along what was in it.
        if delta.lower.ancestors().any(|above| removed.contains(above)) {
            return Ok(());
        }
        let leaves = Delta { own: None, ..delta.clone() };
        self.add(steps, Action::Remove, &delta.lower, &leaves)
    }

    fn action(&self, delta: &Delta, stashes: &HashMap<&Path, u32>) -> Planned<Action> {
        let directory = delta.own.as_ref().is_some_and(at::is_dir);
        Ok(match delta.change.kind {
            ChangeKind::Deleted => Action::Remove,
            ChangeKind::Renamed { .. } => {
                Action::Place { stash: stashes.get(delta.lower.as_path()).copied().unwrap_or_default() }
            }
            ChangeKind::Modified if directory => Action::Attributes,
            ChangeKind::Added if directory && !self.moves_whole(delta)? => Action::Make,
            _ => Action::Put,
        })
    }

    /// A directory in the place of something else that cannot come whole: what was there leaves, and it is made anew.
    fn makes_room(&self, delta: &Delta) -> Planned<bool> {
        let directory = delta.own.as_ref().is_some_and(at::is_dir);
        Ok(delta.change.kind == ChangeKind::Replaced && directory && !self.moves_whole(delta)?)
    }

    /// A directory that was not there is one rename if everything in it is chosen and nothing in it stands over the host:
    /// what was renamed into it has another place to leave, and of a directory of the host the layer has only what
    /// changed.
    fn moves_whole(&self, delta: &Delta) -> Planned<bool> {
        let near = self.is_near(&delta.lower).map_err(|errno| (delta.rel.clone(), errno))?;
        // To another file system it is copied, and a file in it may have further names elsewhere.
        let alone = |delta: &Delta| near || delta.own.as_ref().is_some_and(|own| at::is_dir(own) || own.st_nlink == 1);
        let inside = |other: &Delta| std::ptr::eq(other, delta) || is_new(other);
        let fits = |index: usize| self.deltas.get(index).is_some_and(|other| inside(other) && alone(other));
        Ok(below(self.deltas, &delta.change.path).into_iter().all(|index| self.chosen.contains(&index) && fits(index)))
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
            part: None,
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
        let own = at::stat(&self.overlay.store.parts()?.upper, at::dot())?.st_dev;
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

/// Nothing of the host is touched by it.
fn is_new(delta: &Delta) -> bool {
    let link = matches!(delta.change.kind, ChangeKind::Linked { .. });
    delta.change.kind == ChangeKind::Added || (link && delta.host.is_none() && delta.mates.is_empty())
}

/// A file of the layer, and the host's that it is a copy of.
fn copied(delta: &Delta) -> Option<(FilePath, FilePath)> {
    let is_file = |stat: &at::Stat| at::kind_of(stat) == libc::S_IFREG;
    let both = delta.own.as_ref().is_some_and(is_file) && delta.host.as_ref().is_some_and(is_file);
    both.then(|| (FilePath::from(delta.rel.as_path()), FilePath::from(delta.lower.as_path())))
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

/// A directory that moves on the host too.
fn is_rename(delta: &Delta) -> bool {
    matches!(delta.change.kind, ChangeKind::Renamed { .. }) && delta.own.as_ref().is_some_and(at::is_dir)
}

/// A file that is put under its new name and removed from its old one.
fn is_file_rename(delta: &Delta) -> bool {
    matches!(delta.change.kind, ChangeKind::Renamed { .. }) && !is_rename(delta)
}

fn number(steps: &[Step]) -> u32 {
    u32::try_from(steps.len()).unwrap_or(u32::MAX)
}
