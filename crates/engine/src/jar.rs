//! Jars: trials with a name, in which one command goes on where the one before it stopped, and the way back.
//!
//! Before each command every layer takes a checkpoint. The record knows each command with what it announced; what waits
//! is judged against all of them together.

use crate::audit::{AuditLog, Durability};
use crate::error::RunError;
use crate::record::{JarName, JarRun, TrialRecord};
use crate::settle::SettleError;
use crate::trial::{Frozen, Ran, Trial, merged};
use model::{Action, Analysis, Attempt, Connection, Coverage, Stage, Target, TrialId, TrialState};
use overlay::Overlay;
use std::borrow::Cow;

/// Why a jar cannot be gone on with or back in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JarError {
    /// It was made over other roots.
    #[error("the jar {0} was made with other writable roots")]
    OtherRoots(JarName),
    /// Somebody else made it meanwhile.
    #[error("the jar {0} was made by another belljar just now")]
    Taken(JarName),
    /// A trial of one command has no earlier state.
    #[error("trial {0} is no jar: there is one command in it and nothing before that")]
    NoJar(TrialId),
    /// No command of this number is in the jar.
    #[error("there is no command {number} in the jar {jar}")]
    NoRun {
        /// Which jar.
        jar: JarName,
        /// What was asked for.
        number: u64,
    },
    /// Every command was taken back.
    #[error("no command is left in the jar {0} that could be taken back")]
    Nothing(JarName),
    /// An apply came after it.
    #[error(
        "what command {number} of the jar {jar} began with cannot be had any more: changes were applied or undone since"
    )]
    Applied {
        /// Which jar.
        jar: JarName,
        /// The command.
        number: u64,
    },
}

impl JarError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            JarError::OtherRoots(_) => "give the same `--write` options from the same place, or use another jar".into(),
            JarError::Taken(_) => "run it again".into(),
            JarError::NoJar(id) => format!("`belljar discard {id}` throws its changes away"),
            JarError::NoRun { jar, .. } => format!("`belljar show {jar}` lists its commands"),
            JarError::Nothing(jar) => format!("`belljar run --jar {jar} -- CMD` goes on with it"),
            JarError::Applied { jar, .. } => {
                format!("what is real stays; `belljar show {jar}` lists what can be taken back")
            }
        }
    }
}

/// What a rewind did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewound {
    /// The jar is as it was before this command.
    pub to: u64,
    /// So many commands were taken back.
    pub taken_back: u64,
    /// Changes of earlier commands that wait still.
    pub left: u64,
}

/// What one command tried, and whom it reached.
fn seen(attempts: &[Attempt], connections: &[Connection]) -> impl Iterator<Item = Attempt> {
    let reached = |connection: &Connection| Attempt {
        action: Action::Connect,
        target: Target::Peer(connection.peer.clone()),
        rule: "network/allowed".to_owned(),
        times: connection.times,
    };
    attempts.iter().cloned().chain(connections.iter().map(reached))
}

impl TrialRecord {
    /// What was announced by the commands whose changes wait.
    #[must_use]
    pub fn announced(&self) -> Cow<'_, Analysis> {
        let mut waiting = self.waiting();
        let Some(first) = waiting.next().filter(|_| self.jar.is_some()) else {
            return Cow::Borrowed(&self.analysis);
        };
        let mut all = first.analysis.clone();
        for run in waiting {
            all.effects.extend(run.analysis.effects.iter().cloned());
            all.findings.extend(run.analysis.findings.iter().cloned());
            all.coverage = match (all.coverage, &run.analysis.coverage) {
                (Coverage::Full, other) => other.clone(),
                (own, Coverage::Full) => own,
                (Coverage::Partial(mut own), Coverage::Partial(other)) => {
                    own.extend(other.iter().cloned());
                    Coverage::Partial(own)
                }
            };
        }
        Cow::Owned(all)
    }

    /// What was tried by the commands whose changes wait, and whom they reached: everything beside their changes that can
    /// be compared with what was announced.
    #[must_use]
    pub fn observed(&self) -> Vec<Attempt> {
        match self.jar {
            None => merged(seen(&self.attempts, &self.connections).collect()),
            Some(_) => merged(self.waiting().flat_map(|run| seen(&run.attempts, &run.connections)).collect()),
        }
    }

    /// The commands that can be taken back by going back to before command `to`; by default the last one.
    ///
    /// # Errors
    /// When there is no such command, an apply came between, or one or an undo was interrupted.
    pub fn taken_back(&self, to: Option<u64>) -> Result<&[JarRun], RunError> {
        self.check_whole()?;
        Ok(self.runs_from(to)?)
    }

    /// Refuses to do anything else with what is half applied or half undone.
    ///
    /// # Errors
    /// Which of both it is.
    pub fn check_whole(&self) -> Result<(), SettleError> {
        match (&self.applying, self.state) {
            (Some(_), _) => Err(SettleError::Interrupted(self.id.clone())),
            (None, TrialState::Undoing) => Err(SettleError::Undoing(self.id.clone())),
            _ => Ok(()),
        }
    }

    fn runs_from(&self, to: Option<u64>) -> Result<&[JarRun], JarError> {
        let jar = self.jar.clone().ok_or_else(|| JarError::NoJar(self.id.clone()))?;
        let last = self.runs.last().ok_or_else(|| JarError::Nothing(jar.clone()))?;
        let number = to.unwrap_or(last.number);
        let index = self.runs.iter().position(|run| run.number == number);
        let runs = index.and_then(|index| self.runs.get(index..)).unwrap_or_default();
        match runs.first() {
            None => Err(JarError::NoRun { jar, number }),
            Some(run) if run.checkpoints.is_empty() => Err(JarError::Applied { jar, number }),
            Some(_) => Ok(runs),
        }
    }

    fn waiting(&self) -> impl Iterator<Item = &JarRun> {
        self.runs.iter().filter(|run| !run.applied)
    }

    /// The command is about to run in `overlays`, from checkpoints taken now. An open jar is told later what to run.
    pub(crate) fn begin_run(&mut self, overlays: &[Overlay]) -> Result<(), RunError> {
        if self.jar.is_none() || self.argv.is_empty() {
            return Ok(());
        }
        let checkpoints = overlays.iter().map(Overlay::checkpoint).collect::<Result<_, _>>()?;
        self.begin_run_at(checkpoints);
        Ok(())
    }

    /// The command is about to run, from these checkpoints. Its number.
    pub(crate) fn begin_run_at(&mut self, checkpoints: Vec<u64>) -> u64 {
        let number = self.runs.last().map_or(1, |run| run.number + 1);
        self.runs.push(self.as_run(number, checkpoints));
        number
    }

    /// Writes what came of the command to its line.
    pub(crate) fn end_run(&mut self) {
        let Some(last) = self.runs.pop() else { return };
        let ended = self.as_run(last.number, last.checkpoints);
        self.runs.push(ended);
    }

    fn as_run(&self, number: u64, checkpoints: Vec<u64>) -> JarRun {
        JarRun {
            number,
            argv: self.argv.clone(),
            cwd: self.place.cwd.clone(),
            created_ms: self.created_ms,
            analysis: self.analysis.clone(),
            assessment: self.assessment.clone(),
            decision: self.decision.clone(),
            exit: self.exit,
            wall_ms: self.wall_ms,
            containment: self.containment.clone(),
            attempts: self.attempts.clone(),
            allow_net: self.allow_net.clone(),
            connections: self.connections.clone(),
            env_withheld: self.env_withheld.clone(),
            profile: self.profile.clone(),
            checkpoints,
            applied: false,
        }
    }

    /// The command that was begun last could not be started.
    pub(crate) fn never_ran(&mut self) {
        self.runs.pop();
        self.tell_of_last();
    }

    /// Lets the record tell of its last command again.
    pub(crate) fn tell_of_last(&mut self) {
        let Some(run) = self.runs.last().cloned() else {
            // Nothing is left to tell of.
            self.argv = Vec::new();
            (self.exit, self.wall_ms) = (None, None);
            self.attempts = Vec::new();
            (self.allow_net, self.connections) = (Vec::new(), Vec::new());
            return;
        };
        self.argv = run.argv;
        self.place.cwd = run.cwd;
        self.created_ms = run.created_ms;
        self.analysis = run.analysis;
        self.assessment = run.assessment;
        self.decision = run.decision;
        self.exit = run.exit;
        self.wall_ms = run.wall_ms;
        self.containment = run.containment;
        self.attempts = run.attempts;
        (self.allow_net, self.connections) = (run.allow_net, run.connections);
        self.env_withheld = run.env_withheld;
        self.profile = run.profile;
    }

    /// An apply or undo begins: what the layers were before it cannot be had any more.
    pub(crate) fn end_checkpoints(&mut self) {
        self.runs.iter_mut().for_each(|run| run.checkpoints.clear());
    }

    /// The state of a trial of which `left` changes wait.
    pub(crate) fn rest(&mut self, left: u64, done: TrialState) {
        self.state = match (left, &self.jar) {
            (0, None) => done,
            (0, Some(_)) => TrialState::Empty,
            _ => TrialState::Pending,
        };
    }

    /// Nothing is real any more: what was, waits again.
    pub(crate) fn none_applied(&mut self) {
        self.runs.iter_mut().for_each(|run| run.applied = false);
    }

    /// Everything that waited is real.
    pub(crate) fn all_applied(&mut self) {
        self.runs.iter_mut().for_each(|run| run.applied = true);
    }
}

impl Trial<Ran> {
    /// Finishes a rewind that was interrupted.
    pub(crate) fn go_on_back(&mut self, audit: &AuditLog) -> Result<(), RunError> {
        match self.record.rewinding {
            Some(to) => self.go_back(to, audit).map(drop),
            None => Ok(()),
        }
    }

    /// Brings the layers back to before command `to`. Each step can be done twice.
    fn go_back(&mut self, to: u64, audit: &AuditLog) -> Result<Rewound, RunError> {
        let runs = self.record.taken_back(Some(to))?;
        let taken_back = runs.len() as u64;
        let checkpoints = runs.first().map(|run| run.checkpoints.clone()).unwrap_or_default();
        for (overlay, checkpoint) in self.overlays.iter().zip(checkpoints) {
            overlay.rewind(checkpoint)?;
        }
        self.record.runs.retain(|run| run.number < to);
        self.record.tell_of_last();
        self.record.rewinding = None;
        // Of the limits it is only known what the last command hit.
        self.record.limits_hit.clear();
        self.record.usage = None;
        let left = self.count()?;
        self.record.rest(left, TrialState::Pending);
        self.dir.save_synced(&self.record)?;
        audit.append(Some(&self.record.id), Stage::Rewound { to, left }, Durability::Lazy)?;
        Ok(Rewound { to, taken_back, left })
    }
}

impl Trial<Frozen> {
    /// Takes back the commands from `to` on, which [`TrialRecord::taken_back`] has checked: on the disk that it is
    /// meant to happen before it does.
    ///
    /// # Errors
    /// When there is no way back. After any other error the rewind is begun, and the next look at the jar finishes it.
    pub(crate) fn rewind(mut self, to: Option<u64>, audit: &AuditLog) -> Result<Rewound, RunError> {
        let runs = self.record.taken_back(to)?;
        let (first, commands) = (runs.first().map_or(0, |run| run.number), runs.len() as u64);
        audit.append(Some(&self.record.id), Stage::Rewinding { to: first, commands }, Durability::Synced)?;
        self.record.rewinding = Some(first);
        self.dir.save_synced(&self.record)?;
        self.thaw().go_back(first, audit)
    }
}
