//! Open jars: the namespaces and the view of a named jar stay while one command after the other runs in it. Each command
//! goes the whole way of [`Engine::run`] up to its review; what becomes of the changes is settled when the jar is closed.

use crate::approve::{Approval, Person};
use crate::audit::now_ms;
use crate::error::RunError;
use crate::journey::{Engine, Judged, Outcome, Request, wanted};
use crate::trial::{self, Open, Ran, Trial, merged};
use model::{Apply, Attempt, ChangeSet, Connection, EnvVar, Exit, FilePath, Limit, Place, Review, TrialId, TrialState};
use overlay::Overlay;
use policy::Policy;
use sandbox::{Done, Remains, Standby, Streams};
use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::time::Instant;

/// A jar that is open. Dropping it ends what runs in it; its changes wait then.
pub struct OpenJar<'e> {
    engine: &'e Engine,
    place: Place,
    env: Vec<EnvVar>,
    trial: Trial<Open>,
}

/// One command for an open jar.
#[derive(Debug)]
pub struct Command<'a> {
    /// The program and its arguments; not empty.
    pub argv: &'a [OsString],
    /// Where; the jar's own directory otherwise.
    pub cwd: Option<&'a FilePath>,
    /// Variables that the jar does not have, or has otherwise.
    pub env: &'a [EnvVar],
    /// Its standard input.
    pub input: BorrowedFd<'a>,
    /// Where its output goes.
    pub output: Streams<'a>,
}

/// What came of one command.
#[derive(Debug)]
pub struct Told {
    /// Its number in the jar, which `rewind` takes.
    pub number: u64,
    /// What was made of it before it ran.
    pub judged: Judged,
    /// Who approved it, in the words of the audit log.
    pub approved_by: String,
    /// How it ended.
    pub exit: Exit,
    /// errno(3) when it could not be started.
    pub exec_error: Option<i32>,
    /// Wall time, milliseconds.
    pub wall_ms: u64,
    /// What it tried and was refused.
    pub attempts: Vec<Attempt>,
    /// Whom it reached.
    pub connections: Vec<Connection>,
    /// The limit that ended it, or that it met.
    pub limit: Option<Limit>,
    /// What it printed, where that was kept.
    pub kept: Option<[Vec<u8>; 2]>,
    /// All that waits in the jar now, of this command and those before it.
    pub changes: ChangeSet,
    /// How that was judged.
    pub review: Review,
}

impl Engine {
    /// Opens the jar of a request, new or as it was left, for commands that are told later; that of the request does not
    /// count.
    ///
    /// # Errors
    /// When it could not be contained as asked, or somebody else has it open.
    pub fn open_jar(&self, request: &Request, standby: Standby) -> Result<OpenJar<'_>, RunError> {
        let request = Request { argv: Vec::new(), ..request.clone() };
        let upstream = sandbox::Upstream::of(&request.env);
        let judged = self.judge(b"", &request.place);
        let confinement = self.confine(&request, &judged.analysis)?;
        let env = confinement.env.clone();
        let berth = self.berth(&request)?;
        let record = trial::record(berth.id().clone(), &judged, &request, &confinement);
        let prepared = berth.prepare(self.store(), record, confinement, &wanted(&request, &judged.analysis))?;
        Ok(OpenJar { engine: self, place: request.place, env, trial: prepared.open(standby, upstream)? })
    }
}

impl OpenJar<'_> {
    /// Its trial.
    #[must_use]
    pub fn id(&self) -> &TrialId {
        self.trial.id()
    }

    /// The jar itself, for what is not about one command.
    #[must_use]
    pub fn live(&self) -> &sandbox::Live {
        &self.trial.stage.live
    }

    /// The journey of one command. `person` is whoever can be asked, without one ask means no.
    ///
    /// # Errors
    /// When the command may not run or cannot be started where it says; [`goes_on`] tells whether the jar waits for the
    /// next.
    pub fn run(&mut self, command: &Command<'_>, person: Option<&mut dyn Person>) -> Result<Told, RunError> {
        let place = self.place_of(command);
        let judged = self.engine.judge(&analyze::quote(command.argv), &place);
        let id = self.trial.id().clone();
        let approval = self.engine.consent(&id, true, &judged, person)?;
        let approved_by = approval.by();
        let env = self.env_of(command, &place.cwd);
        let begun = self.trial.begin(command, &judged);
        let number = self.engine.noted(&id, begun)?;
        self.engine.noted(&id, self.engine.audit().synced().map_err(RunError::from))?;
        let ended = self.trial.run(approval, command, &env, &place.cwd);
        let (done, wall_ms) = self.engine.noted(&id, ended)?;
        let (changes, review) = self.trial.take_stock(&self.engine.policy)?;
        self.engine.ran_in(&self.trial.record, &changes, &review)?;
        let attempts = self.trial.record.attempts.clone();
        let Done { exit, exec_error, connections, limit, kept, .. } = done;
        Ok(Told {
            number,
            judged,
            approved_by,
            exit,
            exec_error,
            wall_ms,
            attempts,
            connections,
            limit,
            kept,
            changes,
            review,
        })
    }

    /// Ends the jar and settles what waits in it, as [`Engine::run`] does.
    ///
    /// # Errors
    /// When its layers could not be read or settled; the jar then stays as it is.
    pub fn close(self, apply: Apply, person: Option<&mut dyn Person>) -> Result<Outcome, RunError> {
        let frozen = self.trial.close()?.freeze(&self.engine.policy)?;
        frozen.dir.save(frozen.record())?;
        self.engine.ended(frozen, apply, person)
    }

    fn place_of(&self, command: &Command<'_>) -> Place {
        let cwd =
            command.cwd.map_or_else(|| self.place.cwd.clone(), |cwd| self.place.cwd.join(cwd.as_os_str()).normalise());
        Place { cwd, ..self.place.clone() }
    }

    /// The jar's environment with the command's own; `PWD` tells where the command is, if it tells anything.
    fn env_of(&self, command: &Command<'_>, cwd: &FilePath) -> Vec<EnvVar> {
        let own = |name: &FilePath| command.env.iter().any(|var| var.name == *name);
        let mut env: Vec<EnvVar> = self.env.iter().filter(|var| !own(&var.name)).cloned().collect();
        for var in env.iter_mut().filter(|var| var.name.as_bytes() == b"PWD") {
            var.value = cwd.clone();
        }
        env.extend(command.env.iter().cloned());
        env
    }
}

/// Whether an open jar waits for the next command after this.
#[must_use]
pub fn goes_on(error: &RunError) -> bool {
    match error {
        RunError::Refused(_) => true,
        RunError::Sandbox(error) => error.spares_the_jar(),
        _ => false,
    }
}

impl Trial<Open> {
    /// Remembers the command before it runs, from a checkpoint of what was before it. Its number.
    fn begin(&mut self, command: &Command<'_>, judged: &Judged) -> Result<u64, RunError> {
        let checkpoints = self.stage.views.checkpoint()?;
        let record = &mut self.record;
        record.argv = command.argv.iter().map(FilePath::new).collect();
        record.place.cwd = judged.place.cwd.clone();
        record.created_ms = now_ms();
        record.analysis = judged.analysis.clone();
        record.assessment = judged.assessment.clone();
        record.decision = judged.decision.clone();
        (record.exit, record.wall_ms) = (None, None);
        (record.attempts, record.connections) = (Vec::new(), Vec::new());
        record.limits_hit.clear();
        let number = record.begin_run_at(checkpoints);
        self.dir.note_run(record)?;
        Ok(number)
    }

    fn run(
        &mut self,
        _approval: Approval,
        command: &Command<'_>,
        env: &[EnvVar],
        cwd: &FilePath,
    ) -> Result<(Done, u64), RunError> {
        let began = Instant::now();
        let Command { argv, input, output, .. } = *command;
        let done = match self.stage.live.run(&sandbox::Command { argv, env, cwd, input, output }) {
            Err(error) if error.spares_the_jar() => {
                self.record.never_ran();
                self.record.log += 1;
                self.dir.save(&self.record)?;
                return Err(error.into());
            }
            done => done?,
        };
        let wall_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let record = &mut self.record;
        let hidden = self.stage.views.take_attempts();
        record.attempts = merged(done.attempts.iter().cloned().chain(hidden).collect());
        record.connections = done.connections.clone();
        record.limits_hit.extend(done.limit);
        (record.exit, record.wall_ms) = (Some(done.exit), Some(wall_ms));
        record.end_run();
        self.dir.note_run(record)?;
        Ok((done, wall_ms))
    }

    /// All that waits, and what the policy makes of it.
    fn take_stock(&self, policy: &Policy) -> Result<(ChangeSet, Review), RunError> {
        let (changes, record) = (self.change_set()?, &self.record);
        let notes = self.notes(&changes, policy);
        let review = policy.review_read(&changes, &notes, &record.announced(), &record.place, &record.observed());
        Ok((changes, review))
    }

    /// Ends the jar.
    fn close(self) -> Result<Trial<Ran>, RunError> {
        let Trial { mut record, dir, overlays, stage: Open { live, views } } = self;
        drop(live);
        let met = std::mem::take(&mut record.limits_hit);
        let late = views.finish(&mut record, &Remains::default())?;
        record.limits_hit.extend(met);
        record.attempts = merged(record.attempts.into_iter().chain(late).collect());
        overlays.iter().try_for_each(Overlay::settle)?;
        record.state = TrialState::Pending;
        record.log += 1;
        Ok(Trial::ran(record, dir, overlays))
    }
}
