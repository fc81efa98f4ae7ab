//! The journey of a command, each room once. This file is the architecture in one screen:
//!
//! text -> analysis -> assessment -> decision -> approval -> overlay -> jail -> change set -> review
//! -> apply or discard -> audit.

use crate::approve::{Approval, Person, Question, Refusal};
use crate::audit::{AuditLog, Durability};
use crate::backend::Wanted;
use crate::bare::{Bare, Begun};
use crate::choice::{Choice, Chooser};
use crate::consent::Offer;
use crate::error::{RunError, in_full};
use crate::jar::Rewound;
use crate::landing::Granting;
use crate::layers;
use crate::learn::{self, Learn};
use crate::links;
use crate::look;
use crate::profile::{Loaded, RulesText};
use crate::receipt::Draft;
use crate::record::{JarName, TrialRecord};
use crate::seek;
use crate::settle::{SettleError, Settlement, finish_discard};
use crate::store::{Broken, Listed, Store, StoreError, fresh_id};
use crate::trial::{self, Berth, Frozen, JarBegun, Observing, Ran, Syncing, Trial};
use analyze::ShellContext;
use model::{
    Access, Agreed, Analysis, Apply, Assessment, BackendWish, ChangeSet, Confinement, Decision, EnvBase, FilePath,
    Held, Layer, Limits, NetRule, Place, ProfileId, Review, Stage, TrialId, TrialState, WritableRoot,
};
use overlay::Conflict;
use policy::{ConfineRequest, Policy};
use sandbox::Standby;
use std::ffi::OsString;
use std::thread;
use std::time::SystemTime;

/// What to run, and how its end is to be settled.
#[derive(Clone, Debug)]
pub struct Request {
    /// The program and its arguments; not empty.
    pub argv: Vec<OsString>,
    /// Where.
    pub place: Place,
    /// The caller's environment, before scrubbing.
    pub env: Vec<(OsString, OsString)>,
    /// Variables to hand on by name, or to set.
    pub pass_env: Vec<(OsString, Option<OsString>)>,
    /// Further roots whose changes go to an overlay.
    pub write: Vec<FilePath>,
    /// Paths that are hidden by default and shall not be.
    pub read: Vec<FilePath>,
    /// Further paths to hide.
    pub hide: Vec<FilePath>,
    /// Whom it may reach over the network.
    pub allow_net: Vec<NetRule>,
    /// What keeps the overlays.
    pub backend: BackendWish,
    /// What becomes of the changes.
    pub apply: Apply,
    /// The jar in which it goes on where the command before it stopped; `None` for layers of its own.
    pub jar: Option<JarName>,
    /// Every change is to name the process that made it.
    pub attribution: bool,
    /// What it may take.
    pub limits: Limits,
    /// A Belljar inside may make jars of its own.
    pub allow_nested: bool,
    /// What may be done with the home.
    pub home: Access,
    /// What may be done with the workspace.
    pub workspace: Access,
    /// Which variables pass without being named.
    pub env_base: EnvBase,
    /// The profile that all this comes from, with options.
    pub profile: ProfileId,
    /// Its rules, and the project's; the engine was opened with them.
    pub rules: Vec<RulesText>,
    /// Attempts on files and refused system calls are observed, which makes the command slow.
    pub watch_files: bool,
    /// What it needed is to be written as a profile. Needs [`Request::attribution`] and [`Request::watch_files`].
    pub learn: Option<Learn>,
}

/// A command and what was made of it before it ran.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Where it would run.
    pub place: Place,
    /// What it would do.
    pub analysis: Analysis,
    /// How risky that is.
    pub assessment: Assessment,
    /// What the policy says.
    pub decision: Decision,
}

/// How a journey ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The trial as remembered.
    pub record: TrialRecord,
    /// What it changed.
    pub changes: ChangeSet,
    /// How that was judged.
    pub review: Review,
    /// What became of it.
    pub settlement: Settlement,
    /// errno(3) when the command could not be started.
    pub exec_error: Option<i32>,
    /// Whether a person was shown the changes already.
    pub shown: bool,
    /// The profile that it needed, where that was asked for.
    pub learnt: Option<String>,
    /// Who approved the command, in the words of the audit log; `None` where none was run.
    pub approved_by: Option<String>,
    /// What grants had to do with what became of the changes.
    pub grants: Granting,
}

/// What a trial holds on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Changed names; `None` while it runs.
    pub changes: Option<u64>,
    /// Bytes of its upper layers and of what only checkpoints hold.
    pub bytes: u64,
    /// Files of its upper layers.
    pub files: u64,
}

/// Begins to make the empty namespaces of a jar, which takes about as long as judging its command does. Nothing runs in
/// them until an approval puts it there. Layers in `accept_weak` may be missing; `output_max` are the bytes the command may
/// print. A jar that allows others inside is another one from its beginning. Standard input, output and error of the command
/// are those of this moment.
///
/// # Errors
/// When no process can be started, or a standard descriptor cannot be handed to a jar.
pub fn standby(accept_weak: &[Layer], output_max: Option<u64>, allow_nested: bool) -> Result<Standby, RunError> {
    let (accept_weak, limits) = (accept_weak.to_vec(), Limits { output: output_max, ..Limits::default() });
    let unknown = sandbox::Request::new(Confinement::closed("/".into()), Vec::new());
    Ok(sandbox::standby(&sandbox::Request { accept_weak, limits, allow_nested, ..unknown })?)
}

fn shell(place: &Place, vars: Vec<(String, String)>) -> ShellContext {
    ShellContext { cwd: place.cwd.clone(), home: place.home.clone(), vars, ..ShellContext::default() }
}

/// The rooms, ready to use.
pub struct Engine {
    pub(crate) policy: Policy,
    /// Of all that decides, hexadecimal.
    policy_sha256: String,
    pub(crate) store: Store,
    pub(crate) audit: AuditLog,
    opened: SystemTime,
    place: Place,
    /// Those of profiles and projects among the policy's rules.
    rules: Vec<RulesText>,
    /// The profile, where a command is to be judged under one.
    under: Option<ProfileId>,
    /// Nobody can be asked.
    pub(crate) unattended: bool,
}

impl Engine {
    /// Loads the policy that holds at `place` and finds its store and audit log.
    ///
    /// # Errors
    /// When a policy file cannot be read or is wrong: nothing runs under half a policy.
    pub fn open(place: &Place) -> Result<Engine, RunError> {
        Engine::with(place, &[], None, false)
    }

    /// [`Engine::open`] for commands that run, or are judged, under a profile.
    ///
    /// # Errors
    /// As there.
    pub fn open_under(place: &Place, loaded: &Loaded) -> Result<Engine, RunError> {
        let unattended = loaded.profile.unattended == Some(true);
        Engine::with(place, &loaded.rules, Some(loaded.id.clone()), unattended)
    }

    fn with(
        place: &Place,
        rules: &[RulesText],
        under: Option<ProfileId>,
        unattended: bool,
    ) -> Result<Engine, RunError> {
        let state = place.state.as_path();
        let opened = SystemTime::now();
        let (store, audit) = (Store::new(state), AuditLog::new(state));
        let (policy, policy_sha256) = layers::load(place, rules)?;
        let (rules, place) = (rules.to_vec(), place.clone());
        Ok(Engine { policy, policy_sha256, store, audit, opened, place, rules, under, unattended })
    }

    /// The whole journey of a command. `standby` comes from [`standby`]; `person` is whoever can be asked, without one
    /// ask means no.
    ///
    /// # Errors
    /// When the command may not run, could not be contained as asked, or its changes could not be settled.
    pub fn run(
        &self,
        request: &Request,
        standby: Standby,
        mut person: Option<&mut dyn Person>,
    ) -> Result<Outcome, RunError> {
        let judged = self.judge(&analyze::quote(&request.argv), &request.place);
        let wished = self.wished(request, &judged.analysis)?;
        let berth = self.berth(request)?;
        let approval = self.consent(berth.id(), request.jar.is_some(), &judged, person.as_deref_mut())?;
        let (id, by) = (berth.id().clone(), approval.by());
        if berth.is_bare() {
            // It has other roots than with namespaces, and goes on as it began.
            let why = sandbox::namespaces().err().unwrap_or_else(|| "the jar was begun without them".to_owned());
            let bare = Bare::new(approval, why, standby.accepted());
            drop((berth, standby));
            let ran = self.noted(&id, self.run_bare(request, &judged, &id, bare))?;
            return self.settled(ran, request, person, by);
        }
        let begun = self.in_jar(request, &judged, wished, berth, approval, standby);
        // The kernel takes the jar apart while its changes are looked at.
        let (ran, _remains) = match self.noted(&id, begun)? {
            Begun::Ran(ran, remains) => (*ran, Some(remains)),
            Begun::Bare(bare) => (self.noted(&id, self.run_bare(request, &judged, &id, bare))?, None),
        };
        self.settled(ran, request, person, by)
    }

    /// From the approval to the end of the command. The disk takes its time over the record, until which the command waits; so
    /// everything else is done meanwhile.
    fn in_jar(
        &self,
        request: &Request,
        judged: &Judged,
        wished: Confinement,
        berth: Berth,
        approval: Approval,
        standby: Standby,
    ) -> Result<Begun, RunError> {
        thread::scope(|scope| {
            let syncing = Syncing::begin(scope, &self.audit)?;
            let confinement = with_secrets(wished, request)?;
            let wanted = Wanted { begun: Some(self.opened), ..wanted(request, &judged.analysis) };
            let record = trial::record(berth.id().clone(), judged, request, &confinement);
            let upstream = sandbox::Upstream::of(&request.env);
            // Where no layer decides how the jar is built, it is being built while they are made.
            let ahead = berth.built_ahead(&record, &confinement, &wanted);
            let ahead = ahead.map(|asked| sandbox::Request { upstream: upstream.clone(), ..asked });
            let jar = self.begin(&approval, standby, ahead.as_ref());
            let prepared = berth.prepare(&self.store, record, confinement, &wanted)?;
            prepared.execute(approval, jar, upstream, syncing)
        })
    }

    /// Nothing runs in what is being built before [`Trial::execute`] serves its roots.
    fn begin<'r>(&self, _approval: &Approval, standby: Standby, ahead: Option<&'r sandbox::Request>) -> JarBegun<'r> {
        match ahead {
            Some(request) => JarBegun::Building(standby.accepted().to_vec(), standby.build(request).map(Box::new)),
            None => JarBegun::Standby(Box::new(standby)),
        }
    }

    /// From the end of the command to that of the journey.
    fn settled(
        &self,
        ran: Trial<Ran>,
        request: &Request,
        person: Option<&mut dyn Person>,
        approved_by: String,
    ) -> Result<Outcome, RunError> {
        let frozen = self.freeze(ran)?;
        self.ran(&frozen, request.apply)?;
        // Before anything becomes real: what was there beforehand is looked up.
        let learnt = request.learn.as_ref().map(|learn| learn::learn(&frozen, request, learn)).transpose()?;
        Ok(Outcome { learnt, approved_by: Some(approved_by), ..self.ended(frozen, request.apply, person)? })
    }

    /// How the jar of a request would be built, a line for each step. Nothing is made and nothing runs.
    ///
    /// # Errors
    /// When it cannot be a jar, or the host cannot be looked at.
    pub fn plan(&self, request: &Request) -> Result<String, RunError> {
        let judged = self.judge(&analyze::quote(&request.argv), &request.place);
        let confinement = self.confine(request, &judged.analysis)?;
        let (argv, limits, allow_nested) = (request.argv.clone(), request.limits, request.allow_nested);
        let (measure, watch_files, place) = (request.learn.is_some(), request.watch_files, &request.place);
        let request =
            sandbox::Request { limits, allow_nested, measure, watch_files, ..sandbox::Request::new(confinement, argv) };
        match sandbox::namespaces() {
            Ok(()) => Ok(sandbox::plan(&request, &sandbox::RunFacts::gather()?)?.to_string()),
            Err(why) => self.bare_plan(request, place, why),
        }
    }

    /// What a command would do here, how risky that is, and what the policy says. Of the disk, a bounded number of links
    /// on the way to what it names is read.
    #[must_use]
    pub fn judge(&self, text: &[u8], place: &Place) -> Judged {
        self.judged(look::analyze_here(text, shell(place, Vec::new())), place)
    }

    /// [`Engine::judge`] for a shell in which these environment variables are known. Without `look` nothing is read: the
    /// command may be one for another machine.
    #[must_use]
    pub fn judge_with(&self, text: &[u8], place: &Place, vars: Vec<(String, String)>, look: bool) -> Judged {
        let shell = shell(place, vars);
        let analysis = if look { look::analyze_here(text, shell) } else { analyze::analyze_bytes(text, &shell) };
        self.judged(analysis, place)
    }

    pub(crate) fn judged(&self, analysis: Analysis, place: &Place) -> Judged {
        let assessment = self.policy.assess(&analysis, place);
        let decision = self.policy.decide(&analysis, &assessment, place);
        let decision = if self.unattended { policy::cases::denied_instead(decision) } else { decision };
        Judged { place: place.clone(), analysis, assessment, decision }
    }

    /// Enters the journey at freeze, for `show`, `diff`, `apply` and `discard`.
    ///
    /// # Errors
    /// When the trial is in use or damaged.
    pub fn reopen(&self, id: &TrialId) -> Result<Trial<Frozen>, RunError> {
        self.freeze(self.opened(id)?)
    }

    /// Judged by the rules that are in force, and those that a trial ran under besides.
    fn freeze(&self, ran: Trial<Ran>) -> Result<Trial<Frozen>, RunError> {
        if ran.record().rules == self.rules {
            return ran.freeze(&self.policy);
        }
        let (policy, _) = layers::load(&self.place, &ran.record().rules)?;
        ran.freeze(&policy)
    }

    /// Takes back the commands of a jar from command `to` on; by default the last one.
    ///
    /// # Errors
    /// When there is no way back: nothing was done then. Else the rewind is begun, and the next look finishes it.
    pub fn rewind(&self, frozen: Trial<Frozen>, to: Option<u64>) -> Result<Rewound, RunError> {
        let id = frozen.id().clone();
        self.noted(&id, frozen.rewind(to, &self.audit))
    }

    /// A trial on disk, with what was interrupted in it taken to its end.
    fn opened(&self, id: &TrialId) -> Result<Trial<Ran>, RunError> {
        let mut trial = Trial::reopen(&self.store, id)?;
        trial.go_on_back(&self.audit)?;
        Ok(trial)
    }

    /// Where the command will run. A jar that is there is held from now on.
    pub(crate) fn berth(&self, request: &Request) -> Result<Berth, RunError> {
        let Some(name) = &request.jar else { return Ok(Berth::New(fresh_id()?)) };
        match self.store.jar(name, &request.place.workspace)? {
            None => Ok(Berth::New(fresh_id()?)),
            Some(id) => match self.opened(&id) {
                Err(RunError::Store(StoreError::Busy(_))) => Err(StoreError::JarBusy(name.clone()).into()),
                opened => Ok(Berth::Jar(Box::new(opened?))),
            },
        }
    }

    /// The end of the journey: makes `choice` come true.
    ///
    /// # Errors
    /// When it could not be done; the trial then stays.
    pub fn settle(&self, frozen: Trial<Frozen>, choice: &Choice, by: Chooser) -> Result<Outcome, RunError> {
        let mut outcome = Outcome {
            record: frozen.record().clone(),
            changes: frozen.changes().clone(),
            review: frozen.review().clone(),
            exec_error: frozen.exec_error(),
            settlement: Settlement::Left,
            shown: by == Chooser::Person,
            learnt: None,
            approved_by: None,
            grants: Granting::default(),
        };
        let (id, draft) = (frozen.id().clone(), Draft::new(&frozen, choice, by.clone()));
        outcome.settlement = frozen.settle(choice, by, &self.audit)?;
        if let (Some(draft), Settlement::Applied { .. }) = (draft, &outcome.settlement) {
            self.receipt(&id, draft);
        }
        Ok(outcome)
    }

    /// Writes the receipt of what is real now. That it cannot be written takes nothing back: the log then says so.
    fn receipt(&self, id: &TrialId, draft: Draft) {
        let stage = match draft.finish(&self.audit, &self.policy_sha256) {
            Ok(sha256) => Stage::Receipted { sha256 },
            Err(error) => Stage::Failed { error: model::escape::text(&format!("write the receipt: {error}")) },
        };
        let _ = self.audit.append(Some(id), stage, Durability::Lazy);
    }

    /// Takes back everything that was applied of a trial; its changes wait again.
    ///
    /// # Errors
    /// On a conflict with later edits nothing was done. On any other failure the trial stays and undo goes on.
    pub fn undo(&self, frozen: Trial<Frozen>) -> Result<Settlement, RunError> {
        let record = frozen.record().clone();
        match frozen.undo(&self.audit) {
            Ok((settlement, returned)) => {
                for other in self.others(&record).unwrap_or_default() {
                    // The undo is done. A trial that is in use or cannot be written just now will see a change it need not
                    // have seen: it then says so and touches nothing.
                    let _ = Trial::reopen(&self.store, &other.id).and_then(|other| other.follow(&returned));
                }
                Ok(settlement)
            }
            Err(RunError::Settle(SettleError::UndoConflicts { found, .. })) => {
                let later = self.later(&record, &found)?;
                Err(SettleError::UndoConflicts { found, later }.into())
            }
            Err(error) => Err(error),
        }
    }

    /// Other trials over the same places.
    fn others(&self, record: &TrialRecord) -> Result<Vec<TrialRecord>, RunError> {
        let (trials, _) = self.store.list()?;
        let meets = |one: &FilePath, other: &FilePath| one.starts_with(other) || other.starts_with(one);
        let same = |other: &TrialRecord| {
            other.roots.iter().any(|root| record.roots.iter().any(|own| meets(&root.path, &own.path)))
        };
        let others = trials.into_iter().filter(|listed| !listed.in_use && listed.record.id != record.id);
        Ok(others.map(|listed| listed.record).filter(same).collect())
    }

    /// Trials that were applied over these places since, oldest first.
    fn later(&self, record: &TrialRecord, found: &[Conflict]) -> Result<Vec<TrialId>, RunError> {
        let mut later = Vec::new();
        for other in self.others(record)? {
            if other.applied == 0 || other.applied_ms < record.applied_ms {
                continue;
            }
            // One that cannot be read now is not to blame.
            let Ok(paths) = Trial::reopen(&self.store, &other.id).and_then(|other| other.undo_paths()) else {
                continue;
            };
            let meets = |path: &FilePath| {
                found.iter().any(|conflict| path.starts_with(&conflict.path) || conflict.path.starts_with(path))
            };
            if paths.iter().any(meets) {
                later.push((other.applied_ms, other.id));
            }
        }
        later.sort();
        Ok(later.into_iter().map(|(_, id)| id).collect())
    }

    /// The store of trials.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Where it was opened.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The audit log.
    #[must_use]
    pub fn audit(&self) -> &AuditLog {
        &self.audit
    }

    /// What a trial holds. A running one is not weighed: its layers are its own.
    ///
    /// # Errors
    /// When a layer cannot be read.
    pub fn weigh(&self, listed: &Listed) -> Result<Weight, RunError> {
        if listed.in_use {
            return Ok(Weight::default());
        }
        self.opened(&listed.record.id)?.weigh()
    }

    /// Throws away a trial that cannot be opened any more, by name.
    ///
    /// # Errors
    /// When it is in use, or something of it cannot be removed.
    pub fn purge(&self, id: &TrialId) -> Result<Settlement, RunError> {
        let dir = self.store.lock(id)?;
        let stage =
            Stage::Settling { verb: "discard".into(), paths: Vec::new(), by: "person".into(), granted: Vec::new() };
        self.audit.append(Some(id), stage, Durability::Lazy)?;
        finish_discard(dir)?;
        self.audit.append(Some(id), Stage::Settled { outcome: "discarded".into(), applied: 0 }, Durability::Lazy)?;
        Ok(Settlement::Discarded)
    }

    /// All trials, after removing what crashes left that nobody can want: directories in which nothing ever ran, and
    /// trials whose discarding was cut short. Damaged trials are reported, never removed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn trials(&self) -> Result<(Vec<Listed>, Vec<Broken>), RunError> {
        let (trials, mut broken) = self.store.list()?;
        let (gone, trials): (Vec<_>, Vec<_>) =
            trials.into_iter().partition(|listed| listed.record.state == TrialState::Discarded && !listed.in_use);
        for listed in gone {
            let record = listed.record;
            let Some(dir) = self.store.lock_if_there(&record.id)? else { continue };
            if let Err(error) = finish_discard(dir) {
                // One trial that cannot be removed must not hide the others.
                let error = Some(in_full(&error));
                broken.push(Broken { id: record.id, path: record.place.workspace, error });
            }
        }
        let (mut damaged, empty): (Vec<_>, Vec<_>) = broken.into_iter().partition(|broken| broken.error.is_some());
        for broken in empty {
            let Some(dir) = self.store.lock_if_there(&broken.id)? else { continue };
            if let Err(error) = finish_discard(dir) {
                damaged.push(Broken { error: Some(in_full(&error)), ..broken });
            }
        }
        Ok((trials, damaged))
    }

    /// Records the decision, and hands the approval on; nothing may run before [`AuditLog::synced`].
    pub(crate) fn decided(
        &self,
        id: &TrialId,
        judged: &Judged,
        approval: Result<Approval, Refusal>,
    ) -> Result<Approval, RunError> {
        let stage = Stage::Decided {
            analysis: Box::new(judged.analysis.clone()),
            assessment: judged.assessment.clone(),
            decision: judged.decision.clone(),
            profile: self.under.clone(),
            approved_by: approval.as_ref().ok().map(Approval::by),
            policy: Some(self.policy_sha256.clone()),
            place: Some(judged.place.clone()),
        };
        let durability = if approval.is_ok() { Durability::Awaited } else { Durability::Synced };
        self.audit.append(Some(id), stage, durability)?;
        Ok(approval?)
    }

    /// Records a failure between decision and end, so that no decided command is without an outcome.
    pub(crate) fn noted<T>(&self, id: &TrialId, result: Result<T, RunError>) -> Result<T, RunError> {
        if let Err(error) = &result {
            let stage = Stage::Failed { error: model::escape::text(&error.to_string()) };
            // The failure itself is what the caller must hear of.
            let _ = self.audit.append(Some(id), stage, Durability::Lazy);
        }
        result
    }

    /// Remembers what came of it, before anybody is asked: a kill at the question loses nothing.
    fn ran(&self, frozen: &Trial<Frozen>, apply: Apply) -> Result<(), RunError> {
        if apply != Apply::Discard {
            frozen.dir.save(frozen.record())?;
        }
        self.ran_in(frozen.record(), frozen.changes(), frozen.review())
    }

    /// Puts on record how the last command of `record` ended, if it did.
    pub(crate) fn ran_in(&self, record: &TrialRecord, changes: &ChangeSet, review: &Review) -> Result<(), RunError> {
        let Some(exit) = record.exit else { return Ok(()) };
        let stage = Stage::Ran {
            exit,
            containment: record.containment.clone(),
            attempts: record.attempts.clone(),
            connections: record.connections.clone(),
            shown: record.shown.clone(),
            changes: changes.clone(),
            review: review.clone(),
            limits_hit: record.limits_hit.clone(),
        };
        self.audit.append(Some(&record.id), stage, Durability::Lazy)?;
        Ok(())
    }
}

impl Judged {
    pub(crate) fn question<'a>(&'a self, offer: &'a Offer) -> Question<'a> {
        let Judged { analysis, assessment, decision, place } = self;
        Question { analysis, assessment, decision, place, offer }
    }
}

/// What the request and the announced effects ask of the overlays.
pub(crate) fn wanted(request: &Request, analysis: &Analysis) -> Wanted {
    let quota = request.limits.on_layers();
    let (attribution, allow_nested) = (request.attribution, request.allow_nested);
    let observing = Observing { measure: request.learn.is_some(), files: request.watch_files };
    Wanted {
        observing,
        checkpoints: request.jar.is_some(),
        quota,
        memory: request.limits.memory.is_some(),
        attribution,
        allow_nested,
        ..Wanted::of(request.backend, analysis)
    }
}

impl Engine {
    /// The jar of a request whose command announces this: with what the rules in force forbid, whatever was announced. Nothing
    /// runs before what the command says it reads was approved, where a rule wants that.
    pub(crate) fn confine(&self, request: &Request, announced: &Analysis) -> Result<Confinement, RunError> {
        with_secrets(self.wished(request, announced)?, request)
    }

    /// [`Engine::confine`] before anything was looked for.
    fn wished(&self, request: &Request, announced: &Analysis) -> Result<Confinement, RunError> {
        wish(request, self.policy.held(), policy::agreed(announced))
    }
}

/// The jar as it is asked for, without what rules forbid.
pub(crate) fn confine(request: &Request) -> Result<Confinement, RunError> {
    with_secrets(wish(request, Vec::new(), Vec::new())?, request)
}

/// What such a jar may write.
pub(crate) fn roots(request: &Request) -> Result<Vec<WritableRoot>, RunError> {
    Ok(wish(request, Vec::new(), Vec::new())?.roots)
}

fn wish(request: &Request, held: Vec<Held>, agreed: Vec<Agreed>) -> Result<Confinement, RunError> {
    let asked = ConfineRequest {
        env: &request.env,
        pass_env: request.pass_env.clone(),
        write: request.write.clone(),
        read: request.read.clone(),
        hide: request.hide.clone(),
        allow_net: request.allow_net.clone(),
        cwd: request.place.cwd.clone(),
        home: request.home,
        workspace: request.workspace,
        env_base: request.env_base,
        held,
        agreed,
    };
    Ok(policy::confine(&request.place, &asked)?)
}

/// Hides what has to be looked for, too.
fn with_secrets(mut confinement: Confinement, request: &Request) -> Result<Confinement, RunError> {
    let led_to = links::led_to(&confinement.hidden, request);
    confinement.hidden.extend(led_to);
    seek::hide_names(&mut confinement, &request.place, seek::Views::InPlace)?;
    Ok(confinement)
}
