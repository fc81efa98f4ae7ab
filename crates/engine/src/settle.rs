//! Settling: what becomes real. The only caller of `Overlay::apply`, and always after the audit record is on the disk.

use crate::audit::{AuditLog, Durability, now_ms};
use crate::choice::{Begun, Choice, Chooser, PartBegun, Picked, split};
use crate::error::RunError;
use crate::store::TrialDir;
use crate::trial::{Frozen, Ran, Trial, discard_layers};
use model::{FilePath, Stage, TrialId, TrialState};
use overlay::{
    ApplyError, ApplyPlan, Conflict, ConflictKind, LayerState, Overlay, Pick, Returned, Selection, UndoError, UndoPlan,
};

/// What became of a trial's changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// There was nothing to decide.
    Unchanged,
    /// So many changes are real; `left` still wait in the trial.
    Applied {
        /// Made real now.
        applied: u64,
        /// Still waiting.
        left: u64,
    },
    /// They are gone.
    Discarded,
    /// So many that were real are not any more; all `left` wait again.
    Undone {
        /// Taken back now.
        undone: u64,
        /// Waiting.
        left: u64,
        /// Real still, of older applies: somebody edited what they had made before a later one went over it.
        stays: u64,
    },
    /// They wait: `belljar apply`, `belljar discard`.
    Left,
}

/// Why changes did not become real.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    /// The host changed since; nothing was applied.
    #[error("apply: the host has changed since in {} place(s), nothing was applied: {}", .0.len(), conflicts(.0))]
    Conflicts(Vec<Conflict>),
    /// Applying failed on the way.
    #[error("apply trial {id}")]
    Apply {
        /// Which.
        id: TrialId,
        /// Why.
        #[source]
        source: ApplyError,
    },
    /// What was applied is not as it was left; nothing was undone.
    #[error(
        "undo: the host has changed since in {} place(s), nothing was undone: {}{}",
        .found.len(), conflicts(.found), applied_since(.later)
    )]
    UndoConflicts {
        /// Where.
        found: Vec<Conflict>,
        /// Trials that were applied over the same places afterwards.
        later: Vec<TrialId>,
    },
    /// Undoing failed on the way.
    #[error("undo trial {id}")]
    Undo {
        /// Which.
        id: TrialId,
        /// Why.
        #[source]
        source: UndoError,
    },
    /// An undo was interrupted.
    #[error("an undo of trial {0} was interrupted")]
    Undoing(TrialId),
    /// Nothing of it is real.
    #[error("nothing of trial {0} can be undone: none of its changes was applied")]
    NotApplied(TrialId),
    /// What was chosen cannot be had; nothing was done.
    #[error(transparent)]
    Selection(ApplyError),
    /// An earlier apply with another choice was interrupted.
    #[error("an earlier apply of trial {0} was interrupted")]
    Interrupted(TrialId),
    /// A chosen path is not among the changes.
    #[error("{0} is not among the changes of this trial")]
    Unchanged(FilePath),
    /// A path outside all writable roots.
    #[error("{0} is outside the writable roots of this trial")]
    Outside(FilePath),
}

impl SettleError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            SettleError::Conflicts(conflicts) if conflicts.iter().any(|c| c.kind == ConflictKind::Changed) => Some(
                "`belljar diff` shows both sides; `--merge` merges text that both sides changed in different places; or \
                 apply other paths by name, or discard and run it again"
                    .into(),
            ),
            SettleError::Conflicts(_) => {
                Some("`belljar diff` shows both sides; apply other paths by name, or discard and run it again".into())
            }
            SettleError::Selection(source) => source.hint().map(Into::into),
            SettleError::Apply { id, source } => Some(match source.hint() {
                Some(hint) => format!("{hint}; then `belljar apply {id}` goes on where it stopped"),
                None => format!("`belljar apply {id}` goes on where it stopped"),
            }),
            SettleError::UndoConflicts { later, .. } => Some(match later.as_slice() {
                [] => "move the later changes aside, then undo again".into(),
                [.., last] => format!("`belljar undo {last}` first: what was applied last goes first"),
            }),
            SettleError::Undo { id, source } => Some(match source {
                UndoError::Applying => format!("`belljar apply {id}` finishes the apply; then `belljar undo {id}`"),
                UndoError::Step { source, .. } if full(*source) => {
                    format!("free some space; then `belljar undo {id}` goes on where it stopped")
                }
                UndoError::Step { .. } => format!("`belljar undo {id}` goes on where it stopped"),
                other => other.hint().map(Into::into).unwrap_or_else(|| format!("`belljar undo {id}` tries again")),
            }),
            SettleError::Undoing(id) => Some(format!("`belljar undo {id}` finishes it; then choose again")),
            SettleError::NotApplied(_) => Some("`belljar trials --all` lists what was applied".into()),
            SettleError::Interrupted(id) => Some(format!("`belljar apply {id}` finishes it; then choose again")),
            SettleError::Unchanged(_) | SettleError::Outside(_) => Some("`belljar show` lists the changes".into()),
        }
    }
}

fn full(errno: nix::errno::Errno) -> bool {
    matches!(errno, nix::errno::Errno::ENOSPC | nix::errno::Errno::EDQUOT)
}

fn applied_since(trials: &[TrialId]) -> String {
    match trials {
        [] => String::new(),
        some => {
            let names: Vec<&str> = some.iter().map(|id| id.0.as_str()).collect();
            format!("; applied over it since: trial {}", names.join(", trial "))
        }
    }
}

fn conflicts(conflicts: &[Conflict]) -> String {
    let line = |conflict: &Conflict| format!("{} ({})", conflict.path, conflict.kind.describe());
    let first: Vec<String> = conflicts.iter().take(5).map(line).collect();
    let more = conflicts.len().saturating_sub(first.len());
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", first.join(", "))
}

impl Trial<Frozen> {
    /// Carries out `choice`. Intent is synced to the audit log before anything becomes real, the outcome after.
    ///
    /// # Errors
    /// On a conflict nothing was changed. On any other failure the trial stays and can be applied again or discarded.
    pub(crate) fn settle(mut self, choice: &Choice, by: Chooser, audit: &AuditLog) -> Result<Settlement, RunError> {
        match choice {
            Choice::Leave => self.leave(),
            Choice::Discard => self.discard(by, audit),
            _ if self.record.state == TrialState::Undoing => Err(SettleError::Undoing(self.record.id.clone()).into()),
            _ if self.record.applying.is_some() => self.go_on(choice, audit),
            // What it keeps is what undo needs.
            Choice::ApplyAll | Choice::Pick(_) if self.record.applied > 0 && self.stage.changes.changes.is_empty() => {
                Ok(Settlement::Unchanged)
            }
            Choice::ApplyAll if self.stage.changes.changes.is_empty() => self.close(),
            Choice::ApplyAll => self.apply(&Begun::new(&[], by), audit),
            Choice::Apply(paths) if paths.is_empty() => {
                self.dir.save(&self.record)?;
                Ok(Settlement::Left)
            }
            Choice::Apply(paths) => {
                self.check_chosen(paths)?;
                self.apply(&Begun::new(paths, by), audit)
            }
            Choice::Pick(_) if self.stage.changes.changes.is_empty() => self.close(),
            Choice::Pick(picked) => {
                let begun = self.begun(picked, by);
                self.check_chosen(&begun.named())?;
                self.apply(&begun, audit)
            }
        }
    }

    fn leave(&mut self) -> Result<Settlement, RunError> {
        let unchanged = self.stage.changes.changes.is_empty() && self.record.jar.is_some();
        if unchanged && self.record.applying.is_none() {
            self.record.rest(0, TrialState::Pending);
        }
        self.dir.save(&self.record)?;
        Ok(if unchanged { Settlement::Unchanged } else { Settlement::Left })
    }

    /// A trial that changed nothing needs no decision and leaves nothing behind; a jar stays for the next command.
    fn close(mut self) -> Result<Settlement, RunError> {
        if self.record.jar.is_some() {
            return self.leave();
        }
        discard_layers(self.overlays, self.dir)?;
        Ok(Settlement::Unchanged)
    }

    fn begun(&self, picked: &Picked, by: Chooser) -> Begun {
        let (paths, parts) = split(&picked.picks);
        let part = |pick: &Pick| PartBegun {
            path: pick.path.clone(),
            hunks: pick.hunks.clone(),
            of: self.overlay_of(&pick.path).and_then(|overlay| overlay.started_from(&pick.path)),
        };
        Begun { paths, parts: parts.into_iter().map(part).collect(), merge: picked.merge, by }
    }

    fn check_chosen(&self, paths: &[FilePath]) -> Result<(), SettleError> {
        let changed = |path: &FilePath| self.stage.changes.changes.iter().any(|change| change.path.starts_with(path));
        match paths.iter().find(|path| !changed(path)) {
            None => Ok(()),
            Some(path) => Err(SettleError::Unchanged(path.clone())),
        }
    }

    fn discard(mut self, by: Chooser, audit: &AuditLog) -> Result<Settlement, RunError> {
        let nothing = self.stage.changes.changes.is_empty() && self.record.applied == 0;
        let untouched = nothing && self.record.jar.is_none();
        if !untouched {
            audit.append(Some(&self.record.id), settling("discard", &[], &by), Durability::Lazy)?;
            self.mark_unwanted()?;
        }
        let id = self.record.id.clone();
        discard_layers(self.overlays, self.dir)?;
        if untouched {
            return Ok(Settlement::Unchanged);
        }
        audit.append(Some(&id), Stage::Settled { outcome: "discarded".into(), applied: 0 }, Durability::Lazy)?;
        Ok(Settlement::Discarded)
    }

    /// From here on a crash leaves a trial that is known to be unwanted, and `trials` finishes the removal. On a full
    /// disk, where discarding is what makes room, the record goes instead of saying so.
    fn mark_unwanted(&mut self) -> Result<(), RunError> {
        self.record.state = TrialState::Discarded;
        match self.dir.save(&self.record) {
            Err(error) if error.is_full() => Ok(self.dir.forget()?),
            saved => Ok(saved?),
        }
    }

    fn apply(&mut self, begun: &Begun, audit: &AuditLog) -> Result<Settlement, RunError> {
        let plans = self.plans(begun)?;
        audit.append(Some(&self.record.id), settling("apply", &begun.named(), &begun.by), Durability::Synced)?;
        self.record.state = TrialState::Applying;
        self.record.end_checkpoints();
        self.record.applying = Some(begun.clone());
        self.dir.save_synced(&self.record)?;
        let applied = self.carry_out(plans)?;
        self.applied(applied, audit)
    }

    /// Finishes an apply that was interrupted: what was chosen then, and nothing that was not.
    fn go_on(&mut self, choice: &Choice, audit: &AuditLog) -> Result<Settlement, RunError> {
        let Some(mut begun) = self.record.applying.clone() else { return Ok(Settlement::Left) };
        if !begun.is(choice) {
            return Err(SettleError::Interrupted(self.record.id.clone()).into());
        }
        let all = begun.is_all();
        let resumed = self.resume()?;
        let left = self.take_stock()?;
        begun.paths.retain(|path| left.iter().any(|change| change.starts_with(path)));
        let started_from = |path: &FilePath| self.overlay_of(path).and_then(|overlay| overlay.started_from(path));
        begun.parts.retain(|part| left.contains(&part.path) && started_from(&part.path) == part.of);
        let plans = if all || !begun.is_all() { self.plans(&begun)? } else { Vec::new() };
        let applied = self.carry_out(plans)?;
        self.applied(resumed + applied, audit)
    }

    fn applied(&mut self, applied: u64, audit: &AuditLog) -> Result<Settlement, RunError> {
        let left = self.take_stock()?.len() as u64;
        self.record.rest(left, TrialState::Applied);
        if left == 0 {
            self.record.all_applied();
        }
        self.record.applying = None;
        self.record.applied += applied;
        self.record.applied_ms = Some(now_ms());
        self.dir.save_synced(&self.record)?;
        let settled = Stage::Settled { outcome: "applied".into(), applied };
        audit.append(Some(&self.record.id), settled, Durability::Lazy)?;
        Ok(Settlement::Applied { applied, left })
    }

    /// Takes back everything that was applied, or goes on where an undo was interrupted.
    ///
    /// # Errors
    /// On a conflict nothing was changed. On any other failure the trial stays, and undo goes on or begins again.
    pub(crate) fn undo(mut self, audit: &AuditLog) -> Result<(Settlement, Vec<Returned>), RunError> {
        if self.record.applying.is_some() {
            return Err(self.undo_failed(UndoError::Applying).into());
        }
        let (mut undone, mut returned) = (0, Vec::new());
        let result = self.undo_layers(audit, &mut undone, &mut returned);
        let begun = self.record.state == TrialState::Undoing;
        let left = if begun { self.restate()? } else { 0 };
        result?;
        let settled = Stage::Settled { outcome: "undone".into(), applied: undone };
        audit.append(Some(&self.record.id), settled, Durability::Lazy)?;
        Ok((Settlement::Undone { undone, left, stays: self.record.applied }, returned))
    }

    fn undo_layers(
        &mut self,
        audit: &AuditLog,
        undone: &mut u64,
        returned: &mut Vec<Returned>,
    ) -> Result<(), RunError> {
        let resumed = self.record.state == TrialState::Undoing;
        let done = if resumed { self.resume_undo(undone, returned)? } else { Vec::new() };
        let plans = self.undo_plans(&done)?;
        if !resumed {
            if plans.is_empty() {
                return Err(SettleError::NotApplied(self.record.id.clone()).into());
            }
            audit.append(Some(&self.record.id), settling("undo", &[], &Chooser::Person), Durability::Synced)?;
            self.record.state = TrialState::Undoing;
            self.record.end_checkpoints();
            self.dir.save_synced(&self.record)?;
        }
        for (index, plan) in plans {
            let Some(overlay) = self.overlays.get(index) else { continue };
            let layer = overlay.undo(plan).map_err(|error| self.undo_failed(error))?;
            *undone += layer.undone;
            returned.push(layer.returned);
        }
        Ok(())
    }

    /// Writes down where the trial stands after an undo, whether it succeeded or was taken back; the changes that wait.
    fn restate(&mut self) -> Result<u64, RunError> {
        let mut applied = 0;
        for overlay in &self.overlays {
            if overlay.state()? != LayerState::AtRest {
                return Ok(0);
            }
            applied += overlay.undoable()?;
        }
        let left = self.take_stock()?.len() as u64;
        self.record.rest(left, if applied > 0 { TrialState::Applied } else { TrialState::Pending });
        if applied == 0 {
            self.record.none_applied();
        }
        self.record.applied = applied;
        self.record.applied_ms = self.record.applied_ms.filter(|_| applied > 0);
        self.dir.save_synced(&self.record)?;
        Ok(left)
    }

    /// Goes on where an undo of a layer was interrupted: in which.
    fn resume_undo(&self, undone: &mut u64, returned: &mut Vec<Returned>) -> Result<Vec<usize>, RunError> {
        let mut done = Vec::new();
        for (index, overlay) in self.overlays.iter().enumerate() {
            if overlay.state()? == LayerState::Undoing {
                let layer = overlay.resume_undo().map_err(|error| self.undo_failed(error))?;
                *undone += layer.undone;
                returned.push(layer.returned);
                done.push(index);
            }
        }
        Ok(done)
    }

    /// One plan for each overlay of which something was applied, but for those that are `done`; all checked before the first
    /// is carried out.
    fn undo_plans(&self, done: &[usize]) -> Result<Vec<(usize, UndoPlan)>, RunError> {
        let mut plans = Vec::new();
        let mut found = Vec::new();
        for (index, overlay) in self.overlays.iter().enumerate().filter(|(index, _)| !done.contains(index)) {
            match overlay.plan_undo() {
                Ok(plan) => plans.push((index, plan)),
                Err(UndoError::Nothing) => {}
                Err(UndoError::Conflicts(mut more)) => found.append(&mut more),
                Err(error) => return Err(self.undo_failed(error).into()),
            }
        }
        match found.is_empty() {
            true => Ok(plans),
            false => Err(SettleError::UndoConflicts { found, later: Vec::new() }.into()),
        }
    }

    fn undo_failed(&self, source: UndoError) -> SettleError {
        SettleError::Undo { id: self.record.id.clone(), source }
    }

    /// Paths of the changes that wait now.
    fn take_stock(&self) -> Result<Vec<FilePath>, RunError> {
        let mut paths = Vec::new();
        for overlay in &self.overlays {
            paths.extend(overlay.changes()?.changes.into_iter().map(|change| change.path));
        }
        Ok(paths)
    }

    /// Finishes, layer by layer, what an interrupted apply had begun there.
    fn resume(&self) -> Result<u64, RunError> {
        let mut applied = 0;
        for overlay in &self.overlays {
            if overlay.state()? == LayerState::Applying {
                applied += overlay.resume().map_err(|error| self.failed(error))?.applied;
            }
        }
        Ok(applied)
    }

    /// One plan for each overlay, all checked for conflicts before the first is carried out.
    fn plans(&self, begun: &Begun) -> Result<Vec<(usize, ApplyPlan)>, SettleError> {
        let mut plans = Vec::new();
        let mut conflicts = Vec::new();
        for (index, overlay) in self.overlays.iter().enumerate() {
            let Some(chosen) = self.chosen_in(overlay, begun) else { continue };
            let planned = if begun.merge { overlay.plan_merge(&chosen) } else { overlay.plan_apply(&chosen) };
            match planned {
                Ok(plan) => plans.push((index, plan.allow_setid(begun.by == Chooser::Person))),
                Err(ApplyError::Conflicts(mut more)) => conflicts.append(&mut more),
                Err(error @ (ApplyError::NoHunk { .. } | ApplyError::NoHunks { .. })) => {
                    return Err(SettleError::Selection(error));
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
        if conflicts.is_empty() { Ok(plans) } else { Err(SettleError::Conflicts(conflicts)) }
    }

    /// The part of the choice that concerns `overlay`.
    fn chosen_in(&self, overlay: &Overlay, begun: &Begun) -> Option<Selection> {
        if begun.is_all() || begun.paths.iter().any(|path| overlay.root().starts_with(path)) {
            return Some(Selection::All);
        }
        let owned = |path: &FilePath| self.overlay_of(path).is_some_and(|owner| owner.root() == overlay.root());
        let whole = begun.paths.iter().map(|path| Pick { path: path.clone(), hunks: Vec::new() });
        let parts = begun.parts.iter().map(|part| Pick { path: part.path.clone(), hunks: part.hunks.clone() });
        let mine: Vec<Pick> = whole.chain(parts).filter(|pick| owned(&pick.path)).collect();
        (!mine.is_empty()).then_some(Selection::Picks(mine))
    }

    fn carry_out(&self, plans: Vec<(usize, ApplyPlan)>) -> Result<u64, SettleError> {
        let mut applied = 0;
        for (index, plan) in plans {
            let Some(overlay) = self.overlays.get(index) else { continue };
            applied += overlay.apply(plan).map_err(|error| self.failed(error))?.applied;
        }
        Ok(applied)
    }

    fn failed(&self, source: ApplyError) -> SettleError {
        SettleError::Apply { id: self.record.id.clone(), source }
    }
}

fn settling(verb: &str, paths: &[FilePath], by: &Chooser) -> Stage {
    let granted = by.uses().map(|uses| uses.paths.clone()).unwrap_or_default();
    Stage::Settling { verb: verb.into(), paths: paths.to_vec(), by: by.name(), granted }
}

impl Trial<Ran> {
    /// Removes a trial of which everything is real and nothing waits, with what undo would need; of a jar, that alone.
    /// `false` when it is not such a one after all.
    ///
    /// # Errors
    /// When a layer cannot be read or removed.
    pub(crate) fn expire(mut self, audit: &AuditLog) -> Result<bool, RunError> {
        for overlay in &self.overlays {
            if overlay.state()? != LayerState::AtRest || !overlay.changes()?.changes.is_empty() {
                return Ok(false);
            }
        }
        if !crate::expiry::is_wholly_applied(&self.record) {
            return Ok(false);
        }
        let id = self.record.id.clone();
        audit.append(Some(&id), settling("expire", &[], &Chooser::Mode), Durability::Synced)?;
        match self.record.jar {
            None => discard_layers(self.overlays, self.dir)?,
            Some(_) => {
                self.overlays.iter().try_for_each(Overlay::forget_applied)?;
                (self.record.applied, self.record.applied_ms) = (0, None);
                self.dir.save_synced(&self.record)?;
            }
        }
        audit.append(Some(&id), Stage::Settled { outcome: "expired".into(), applied: 0 }, Durability::Lazy)?;
        Ok(true)
    }

    /// Host paths that an undo of it would touch.
    pub(crate) fn undo_paths(&self) -> Result<Vec<FilePath>, RunError> {
        let mut paths = Vec::new();
        for overlay in &self.overlays {
            paths.append(&mut overlay.undo_paths()?);
        }
        Ok(paths)
    }

    /// Lets its layers know what the undo of another trial put back.
    pub(crate) fn follow(&self, returned: &[Returned]) -> Result<(), RunError> {
        for overlay in &self.overlays {
            returned.iter().try_for_each(|returned| overlay.follow(returned))?;
        }
        Ok(())
    }
}

/// Removes a trial that cannot be opened as a whole, or whose removal was cut short.
///
/// # Errors
/// When a layer cannot be removed, or keeps files of the host and cannot give them back.
pub(crate) fn finish_discard(dir: TrialDir) -> Result<(), RunError> {
    // A layer that cannot be opened any more goes with its directory, unless it keeps something of the host.
    let overlays = dir.layers()?.iter().filter_map(|layer| Overlay::open(layer).ok()).collect();
    discard_layers(overlays, dir)
}
