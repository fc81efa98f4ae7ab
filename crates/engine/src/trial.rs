//! A trial as a value: `Trial<Prepared>` -> `Trial<Ran>` -> `Trial<Frozen>` -> [`Settlement`](crate::Settlement). Each
//! step consumes the one before, so no other order can be written: nothing runs without an [`Approval`], nothing is
//! applied that was not run, frozen and reviewed.
//!
//! What has been frozen can be looked at:
//! ```
//! fn look(trial: &belljar_engine::Trial<belljar_engine::Frozen>) -> usize { trial.changes().changes.len() }
//! ```
//! What has not run cannot:
//! ```compile_fail,E0599
//! fn look(trial: &belljar_engine::Trial<belljar_engine::Prepared>) -> usize { trial.changes().changes.len() }
//! ```
//! An approval that was granted can be asked who granted it:
//! ```
//! fn who(approval: &belljar_engine::Approval) -> String { approval.by() }
//! ```
//! Nobody else can make one:
//! ```compile_fail,E0451
//! fn forge(granted: belljar_engine::Approval) -> belljar_engine::Approval {
//!     belljar_engine::Approval { ..granted }
//! }
//! ```

use crate::approve::Approval;
use crate::audit::{AuditError, AuditLog, now_ms};
use crate::backend::{RootFacts, Wanted, choose_backend, is_candidate};
use crate::bare::{Bare, Begun, fold_copies, remove_copies};
use crate::content::note_conflicts;
use crate::error::RunError;
use crate::jar::JarError;
use crate::journey::{Request, Weight};
use crate::profile::RulesText;
use crate::record::TrialRecord;
use crate::store::{Store, StoreError, TrialDir};
use crate::views::Views;
use model::{
    Attempt, Backend, BackendWish, ChangeSet, Confinement, Containment, FilePath, Hidden, Place, Review, RootBackend,
    SecretNames, Tier, TrialId, TrialState, WritableRoot,
};
use overlay::{Conflict, Overlay};
use policy::{Names, Policy};
use sandbox::{Building, Leave, Live, Mounted, Running, SandboxError, Standby};
use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Instant;

/// One command's run in a jar, at the stage `S`.
pub struct Trial<S> {
    pub(crate) record: TrialRecord,
    pub(crate) dir: TrialDir,
    /// One for each root of the record, in its order.
    pub(crate) overlays: Vec<Overlay>,
    pub(crate) stage: S,
}

/// Its layers stand; nothing has run.
#[derive(Debug)]
pub struct Prepared {
    confinement: Confinement,
    /// Layers that are lent to the kernel.
    lent: Vec<Lent>,
    /// What was remembered of the jar before this command.
    before: Option<Box<TrialRecord>>,
    /// Whether a Belljar inside may make jars.
    allow_nested: bool,
    observing: Observing,
}

/// What is looked at besides while the command runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observing {
    /// What it takes.
    pub measure: bool,
    /// Which files it tries to reach.
    pub files: bool,
}

/// A layer that is lent to the kernel.
#[derive(Debug)]
struct Lent {
    /// Of its root.
    index: usize,
    kernel: overlay::Kernel,
    /// FUSE may take over.
    or_fuse: bool,
}

/// Where a command will run: in layers of its own, or in those of a jar that is there.
pub(crate) enum Berth {
    New(TrialId),
    Jar(Box<Trial<Ran>>),
}

impl Berth {
    /// The trial it will be.
    pub(crate) fn id(&self) -> &TrialId {
        match self {
            Berth::New(id) => id,
            Berth::Jar(trial) => trial.id(),
        }
    }

    /// Whether it is a jar whose last command ran without namespaces.
    pub(crate) fn is_bare(&self) -> bool {
        matches!(self, Berth::Jar(trial) if trial.record.containment.tier == Tier::T2)
    }

    /// What the jar can be built by before its layers are there: they have no part in that if all of them are served. Nothing
    /// runs in it before they are, which needs at least one.
    pub(crate) fn built_ahead(
        &self,
        record: &TrialRecord,
        confinement: &Confinement,
        wanted: &Wanted,
    ) -> Option<sandbox::Request> {
        let ahead = matches!(self, Berth::New(_)) && wanted.is_for_fuse() && !confinement.roots.is_empty();
        let request = || jar_request(record, confinement, wanted.allow_nested, wanted.observing, &[]);
        ahead.then(|| sandbox::Request { untouched: true, ..request() })
    }

    /// Makes ready what `record` will run in.
    pub(crate) fn prepare(
        self,
        store: &Store,
        record: TrialRecord,
        confinement: Confinement,
        wanted: &Wanted,
    ) -> Result<Trial<Prepared>, RunError> {
        match self {
            Berth::New(_) => Trial::prepare(store, record, confinement, wanted),
            Berth::Jar(trial) => trial.again(record, confinement, wanted),
        }
    }
}

/// The jar a command is to run in.
pub(crate) enum JarBegun<'r> {
    /// Its namespaces stand.
    Standby(Box<Standby>),
    /// It is being built, and the layers whose loss is accepted; or why it cannot be.
    Building(Vec<model::Layer>, Result<Box<Building<'r>>, SandboxError>),
}

/// Its jar stands and waits for commands.
pub struct Open {
    pub(crate) live: Live,
    pub(crate) views: Views,
}

/// It has run, or was interrupted; nothing writes any more.
#[derive(Debug)]
pub struct Ran {
    exec_error: Option<i32>,
}

/// Its changes are known and judged.
#[derive(Debug)]
pub struct Frozen {
    pub(crate) changes: ChangeSet,
    pub(crate) review: Review,
    exec_error: Option<i32>,
}

impl<S> Trial<S> {
    /// What is remembered of it.
    #[must_use]
    pub fn record(&self) -> &TrialRecord {
        &self.record
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &TrialId {
        &self.record.id
    }
}

impl<S> Trial<S> {
    /// All that waits, over all overlays, while nothing changes them.
    pub(crate) fn change_set(&self) -> Result<ChangeSet, RunError> {
        let mut changes = ChangeSet::default();
        for overlay in &self.overlays {
            if !overlay.is_untouched()? {
                changes.changes.append(&mut overlay.changes()?.changes);
            }
        }
        changes.changes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(changes)
    }

    /// [`Trial::change_set`], with where the host has changed since.
    fn changes_and_conflicts(&self) -> Result<(ChangeSet, Vec<Conflict>), RunError> {
        let (mut changes, mut conflicts) = (ChangeSet::default(), Vec::new());
        for overlay in &self.overlays {
            if !overlay.is_untouched()? {
                let (mut some, mut with) = overlay.changes_and_conflicts()?;
                changes.changes.append(&mut some.changes);
                conflicts.append(&mut with);
            }
        }
        changes.changes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok((changes, conflicts))
    }

    /// How many changes wait now.
    pub(crate) fn count(&self) -> Result<u64, RunError> {
        let mut sum = 0;
        for overlay in self.overlays.iter() {
            sum += overlay.changes()?.changes.len() as u64;
        }
        Ok(sum)
    }
}

impl Trial<Prepared> {
    /// Makes the trial's directory and begins one overlay for each writable root. The record is written last and before
    /// anything runs, so a directory without one never ran anything; a layer that is not there then is made whole by the
    /// first write into it.
    ///
    /// # Errors
    /// When the store or an overlay cannot be made; then nothing is left behind.
    pub(crate) fn prepare(
        store: &Store,
        mut record: TrialRecord,
        confinement: Confinement,
        wanted: &Wanted,
    ) -> Result<Self, RunError> {
        let _naming = match &record.jar {
            None => None,
            Some(name) => {
                let naming = store.naming()?;
                if store.jar(name, &record.place.workspace)?.is_some() {
                    return Err(JarError::Taken(name.clone()).into());
                }
                Some(naming)
            }
        };
        let dir = store.create(&record.id)?;
        match layers(&dir, &mut record, &confinement, wanted) {
            Ok((overlays, lent)) => {
                let (allow_nested, observing) = (wanted.allow_nested, wanted.observing);
                let stage = Prepared { confinement, lent, before: None, allow_nested, observing };
                Ok(Trial { record, dir, overlays, stage })
            }
            Err(error) => {
                // The layers hold nothing yet; the first error is the one worth telling.
                let _ = dir.remove();
                Err(error)
            }
        }
    }

    /// Runs the command under glass and waits for it.
    ///
    /// # Errors
    /// When the jar could not be built: then the trial is gone and nothing ran. When it failed later the trial stays.
    pub(crate) fn execute(
        mut self,
        approval: Approval,
        jar: JarBegun<'_>,
        upstream: Option<sandbox::Upstream>,
        syncing: Syncing<'_>,
    ) -> Result<Begun, RunError> {
        let began = Instant::now();
        let mut views = Views::new(self.record.limits);
        let request = sandbox::Request { upstream, ..self.request() };
        let (accept_weak, building) = match jar {
            JarBegun::Standby(standby) => (standby.accepted().to_vec(), (*standby).build(&request).map(Box::new)),
            JarBegun::Building(accepted, building) => (accepted, building),
        };
        let mut show = |index, mounted: Mounted<'_>| self.show(&mut views, index, mounted);
        let running = match start_when_synced(building, syncing, &mut show) {
            Err(error) => return Err(self.abandon(views, error.into())),
            Ok(Ok(running)) => running,
            Ok(Err(error)) => {
                return match error.lacks_namespaces() {
                    Some(why) => self.give_up(views).map(|()| Begun::Bare(Bare::new(approval, why, &accept_weak))),
                    None => Err(self.abandon(views, error.into())),
                };
            }
        };
        let mut ended = running.wait()?;
        let remains = std::mem::take(&mut ended.remains);
        let mut attempts = ended.attempts;
        attempts.extend(views.finish(&mut self.record, &remains)?);
        self.stage.lent.clear();
        self.overlays.iter().try_for_each(Overlay::settle)?;
        let exec_error = ended.exec_error;
        self.note(sandbox::Ended { attempts, ..ended }, began);
        Ok(Begun::Ran(Box::new(self.become_ran(exec_error)), remains))
    }

    /// What is remembered of the run.
    pub(crate) fn note(&mut self, ended: sandbox::Ended, began: Instant) {
        self.record.limits_hit.extend(ended.limit);
        self.record.usage = ended.usage;
        self.record.exit = Some(ended.exit);
        self.record.wall_ms = u64::try_from(began.elapsed().as_millis()).ok();
        let backends = std::mem::take(&mut self.record.containment.backends);
        self.record.containment = Containment { backends, ..ended.containment };
        self.record.attempts = merged(ended.attempts);
        self.record.connections = ended.connections;
        self.record.used = ended.used;
        self.record.end_run();
    }

    /// Opens the jar for commands that are told later: none runs without an approval of its own.
    ///
    /// # Errors
    /// When the jar could not be built: then nothing is left of it.
    pub(crate) fn open(
        mut self,
        standby: Standby,
        upstream: Option<sandbox::Upstream>,
    ) -> Result<Trial<Open>, RunError> {
        let mut views = Views::new(self.record.limits);
        let request = sandbox::Request { upstream, ..self.request() };
        let live = match standby.live(&request, &mut |index, mounted| self.show(&mut views, index, mounted)) {
            Ok(live) => live,
            Err(error) => return Err(self.abandon(views, error.into())),
        };
        let backends = std::mem::take(&mut self.record.containment.backends);
        self.record.containment = Containment { backends, ..live.containment().clone() };
        let Trial { record, dir, overlays, .. } = self;
        Ok(Trial { record, dir, overlays, stage: Open { live, views } })
    }

    /// A root's overlay has been mounted: it is served from now on, or the kernel's.
    fn show(&mut self, views: &mut Views, index: usize, mounted: Mounted<'_>) -> io::Result<()> {
        let lent = &mut self.stage.lent;
        match mounted {
            Mounted::Fuse { connection, processes, instead } => {
                lent.retain(|lent| lent.index != index);
                fell_back(self.record.containment.backends.get_mut(index), instead);
                let overlay = self.overlays.get(index).ok_or(io::ErrorKind::InvalidInput)?;
                views.serve(index, overlay, connection, processes)
            }
            Mounted::Kernel => {
                let lent = lent.iter().find(|lent| lent.index == index).ok_or(io::ErrorKind::InvalidInput)?;
                lent.kernel.begin().map_err(io::Error::other)
            }
        }
    }

    pub(crate) fn request(&self) -> sandbox::Request {
        let Prepared { confinement, lent, allow_nested, observing, before } = &self.stage;
        let untouched = before.is_none();
        let request = jar_request(&self.record, confinement, *allow_nested, *observing, lent);
        sandbox::Request { untouched, ..request }
    }

    /// The jar could not be built, so nothing ran: leaves nothing behind, but what was there before, and tells why.
    pub(crate) fn abandon(self, views: Views, error: RunError) -> RunError {
        // The first error is the one worth telling; what cannot be removed now, `trials` finds.
        let _ = self.give_up(views);
        error
    }

    /// Nothing ran: everything is as it was before.
    fn give_up(mut self, views: Views) -> Result<(), RunError> {
        views.give_up();
        self.stage.lent.clear();
        match self.stage.before {
            Some(before) => {
                remove_copies(&self.dir, self.overlays.len())?;
                Ok(self.dir.save(&before)?)
            }
            None => discard_layers(self.overlays, self.dir),
        }
    }

    pub(crate) fn become_ran(self, exec_error: Option<i32>) -> Trial<Ran> {
        let Trial { mut record, dir, overlays, .. } = self;
        record.state = TrialState::Pending;
        Trial { record, dir, overlays, stage: Ran { exec_error } }
    }
}

impl Trial<Ran> {
    /// One whose jar has been closed.
    pub(crate) fn ran(record: TrialRecord, dir: TrialDir, overlays: Vec<Overlay>) -> Trial<Ran> {
        Trial { record, dir, overlays, stage: Ran { exec_error: None } }
    }

    /// Enters the journey here: a trial that ran before, or whose Belljar was killed.
    ///
    /// # Errors
    /// When it is in use, damaged, or its layers cannot be read.
    pub(crate) fn reopen(store: &Store, id: &TrialId) -> Result<Self, RunError> {
        let dir = store.lock(id)?;
        let mut record = store.load(id)?;
        if record.state == TrialState::Discarded {
            return Err(StoreError::HalfDiscarded(record.id).into());
        }
        // A layer that is not there holds nothing: nothing was written into it, or it was being removed.
        let layers = (0..record.roots.len()).map(|index| dir.layer(index)).filter(|layer| layer.exists());
        let overlays = layers.map(|layer| Overlay::open(&layer)).collect::<Result<Vec<_>, _>>()?;
        let refused = fold_copies(&dir, &overlays)?;
        record.attempts = merged(record.attempts.into_iter().chain(refused).collect());
        if record.state == TrialState::Running {
            record.state = TrialState::Pending;
        }
        Ok(Trial { record, dir, overlays, stage: Ran { exec_error: None } })
    }

    /// The next command of a jar, in the layers as the one before left them.
    ///
    /// # Errors
    /// When it was made over other roots, or waits for an interrupted apply; nothing was changed then.
    pub(crate) fn again(
        self,
        record: TrialRecord,
        confinement: Confinement,
        wanted: &Wanted,
    ) -> Result<Trial<Prepared>, RunError> {
        let Trial { record: before, dir, mut overlays, .. } = self;
        before.check_whole()?;
        if before.roots != record.roots || overlays.len() != record.roots.len() {
            let name = before.jar.ok_or(JarError::NoJar(before.id))?;
            return Err(JarError::OtherRoots(name).into());
        }
        let mut record = TrialRecord {
            runs: before.runs.clone(),
            log: before.log,
            applied: before.applied,
            applied_ms: before.applied_ms,
            unattributed: before.unattributed.clone(),
            rules: joined_rules(&before.rules, &record.rules),
            ..record
        };
        let names = Arc::new(Names::of(&record.place, &confinement)?);
        for (overlay, root) in overlays.iter_mut().zip(&record.roots) {
            overlay.hide(&below(&confinement.hidden, &root.path));
            overlay.hide_names(Arc::clone(&names) as Arc<dyn SecretNames>);
        }
        let lent = keepers(&dir, &overlays, &mut record, &confinement, wanted)?;
        record.begin_run(&overlays)?;
        dir.save(&record)?;
        let (before, allow_nested, observing) = (Some(Box::new(before)), wanted.allow_nested, wanted.observing);
        Ok(Trial { record, dir, overlays, stage: Prepared { confinement, lent, before, allow_nested, observing } })
    }

    /// What its layers hold.
    ///
    /// # Errors
    /// When a layer cannot be read.
    pub(crate) fn weigh(&self) -> Result<Weight, RunError> {
        let mut weight = Weight { changes: Some(0), ..Weight::default() };
        for overlay in self.overlays.iter() {
            weight.bytes += overlay.kept_bytes()?;
            if overlay.is_untouched()? {
                continue;
            }
            let (bytes, files) = overlay.size()?;
            let changes = overlay.changes()?.changes.len() as u64;
            weight.bytes += bytes;
            weight.files += files;
            weight.changes = weight.changes.map(|sum| sum + changes);
        }
        Ok(weight)
    }

    /// Takes stock: the change set over all overlays, and what the policy makes of it.
    ///
    /// # Errors
    /// When a layer cannot be read.
    pub(crate) fn freeze(self, policy: &Policy) -> Result<Trial<Frozen>, RunError> {
        let (changes, conflicts) = self.changes_and_conflicts()?;
        let mut notes = self.notes(&changes, policy);
        note_conflicts(&mut notes, &changes, &conflicts);
        let Trial { record, dir, overlays, stage: Ran { exec_error } } = self;
        let review = policy.review_read(&changes, &notes, &record.announced(), &record.place, &record.observed());
        let mut frozen = Trial { record, dir, overlays, stage: Frozen { changes, review, exec_error } };
        frozen.name_authors();
        Ok(frozen)
    }
}

impl Trial<Frozen> {
    /// Back to where its layers may change.
    pub(crate) fn thaw(self) -> Trial<Ran> {
        let Trial { record, dir, overlays, stage: Frozen { exec_error, .. } } = self;
        Trial { record, dir, overlays, stage: Ran { exec_error } }
    }

    /// What it changed, over all roots.
    #[must_use]
    pub fn changes(&self) -> &ChangeSet {
        &self.stage.changes
    }

    /// How that was judged.
    #[must_use]
    pub fn review(&self) -> &Review {
        &self.stage.review
    }

    /// Why the command could not be started, as an errno(3) number; `None` when it was.
    #[must_use]
    pub fn exec_error(&self) -> Option<i32> {
        self.stage.exec_error
    }

    /// The difference one change makes, for a person.
    ///
    /// # Errors
    /// When a side of it cannot be read.
    pub fn preview(&self, change: &model::Change) -> Result<overlay::Preview, RunError> {
        let owner = self.overlay_of(&change.path).ok_or_else(|| crate::SettleError::Outside(change.path.clone()))?;
        Ok(owner.preview(change)?)
    }

    /// The overlay whose root holds `path`, the innermost where they nest.
    pub(crate) fn overlay_of(&self, path: &FilePath) -> Option<&Overlay> {
        let holding = self.overlays.iter().filter(|overlay| path.starts_with(overlay.root()));
        holding.max_by_key(|overlay| overlay.root().as_bytes().len())
    }
}

impl Lent {
    fn as_root(&self) -> sandbox::KernelRoot {
        let (upper, work) = (self.kernel.upper(), self.kernel.work());
        sandbox::KernelRoot { index: self.index, upper, work, or_fuse: self.or_fuse }
    }
}

fn jar_request(
    record: &TrialRecord,
    confinement: &Confinement,
    allow_nested: bool,
    observing: Observing,
    lent: &[Lent],
) -> sandbox::Request {
    let argv = record.argv.iter().map(|word| OsString::from(word.as_os_str())).collect();
    sandbox::Request {
        kernel: lent.iter().map(Lent::as_root).collect(),
        limits: record.limits,
        allow_nested,
        measure: observing.measure,
        watch_files: observing.files,
        ..sandbox::Request::new(confinement.clone(), argv)
    }
}

/// The audit log on its way to the disk. Nothing runs that has no leave from it.
pub(crate) struct Syncing<'scope> {
    leave: Sender<Leave>,
    thread: ScopedJoinHandle<'scope, Result<(), AuditError>>,
}

impl<'scope> Syncing<'scope> {
    /// The caller goes on meanwhile.
    ///
    /// # Errors
    /// When no thread can be had.
    pub(crate) fn begin<'env>(
        scope: &'scope Scope<'scope, 'env>,
        audit: &'env AuditLog,
    ) -> Result<Syncing<'scope>, RunError> {
        let (leave, waiting) = channel::<Leave>();
        let sync = move || {
            audit.synced()?;
            // Nobody waits where no jar could be begun.
            waiting.recv().into_iter().for_each(Leave::give);
            Ok(())
        };
        let thread = thread::Builder::new().name("belljar-audit".into()).spawn_scoped(scope, sync);
        Ok(Syncing { leave, thread: thread.map_err(SandboxError::Spawn)? })
    }

    /// As soon as the log is on the disk. If it never is, the jar ends.
    fn then(&self, leave: Leave) {
        drop(self.leave.send(leave));
    }

    fn done(self) -> Result<(), AuditError> {
        drop(self.leave);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// The disk is waited for while the jar is being built, and its command waits for both. The audit log's own error comes first:
/// without its record nothing goes on, in this jar or without one.
fn start_when_synced(
    building: Result<Box<Building<'_>>, SandboxError>,
    syncing: Syncing<'_>,
    serve: &mut sandbox::Serve<'_>,
) -> Result<Result<Running, SandboxError>, AuditError> {
    let running = building.and_then(|mut building| {
        syncing.then(building.hold().map_err(SandboxError::Spawn)?);
        building.start(serve)
    });
    syncing.done().map(|()| running)
}

/// The kernel was chosen and refused: the record says so.
fn fell_back(backend: Option<&mut RootBackend>, why: Option<String>) {
    if let (Some(backend), Some(why)) = (backend, why) {
        (backend.backend, backend.why) = (Backend::Fuse, why);
    }
}

fn layers(
    dir: &TrialDir,
    record: &mut TrialRecord,
    confinement: &Confinement,
    wanted: &Wanted,
) -> Result<(Vec<Overlay>, Vec<Lent>), RunError> {
    let names = Arc::new(Names::of(&record.place, confinement)?);
    Overlay::can_hold(dir.path(), dir.above())?;
    let make = |(index, root): (usize, &WritableRoot)| {
        let spec = overlay::Spec {
            root: root.path.clone(),
            dir: dir.layer(index),
            hidden: below(&confinement.hidden, &root.path),
            nested: nested(&confinement.roots, &root.path),
            id: record.id.0.clone(),
        };
        // Each command of a jar begins with a checkpoint of every layer.
        let mut overlay = if record.jar.is_some() { Overlay::create(&spec) } else { Overlay::begin(&spec) }?;
        overlay.hide_names(Arc::clone(&names) as Arc<dyn SecretNames>);
        Ok::<_, RunError>(overlay)
    };
    let overlays = confinement.roots.iter().enumerate().map(make).collect::<Result<Vec<_>, _>>()?;
    let lent = keepers(dir, &overlays, record, confinement, wanted)?;
    record.begin_run(&overlays)?;
    dir.save(record)?;
    Ok((overlays, lent))
}

/// Chooses what keeps each layer: those that go to the kernel.
fn keepers(
    dir: &TrialDir,
    overlays: &[Overlay],
    record: &mut TrialRecord,
    confinement: &Confinement,
    wanted: &Wanted,
) -> Result<Vec<Lent>, RunError> {
    let mut lent = Vec::new();
    for (index, (overlay, root)) in overlays.iter().zip(&confinement.roots).enumerate() {
        let facts = root_facts(dir, overlay, confinement, wanted)?;
        let chosen = choose_backend(root.kind, &facts, wanted)
            .map_err(|why| crate::BackendRefusal { root: root.path.clone(), why: why.into() })?;
        if chosen.backend == Backend::Kernel {
            let kernel = overlay.kernel()?;
            let kernel = wanted.begun.into_iter().fold(kernel, overlay::Kernel::asked_at);
            lent.push(Lent { index, kernel, or_fuse: chosen.or_fuse });
        }
        let backend = RootBackend { root: root.path.clone(), backend: chosen.backend, why: chosen.why.into() };
        record.containment.backends.push(backend);
    }
    demand_kernel(wanted, &record.containment.backends)?;
    Ok(lent)
}

/// Who asks for the kernel by name gets it somewhere, or hears why not.
fn demand_kernel(wanted: &Wanted, chosen: &[RootBackend]) -> Result<(), crate::BackendRefusal> {
    let kept = chosen.iter().any(|root| root.backend == Backend::Kernel);
    match chosen.last() {
        Some(RootBackend { root, why, .. }) if wanted.wish == BackendWish::Kernel && !kept => {
            Err(crate::BackendRefusal { root: root.clone(), why: why.clone() })
        }
        _ => Ok(()),
    }
}

fn root_facts(
    dir: &TrialDir,
    overlay: &Overlay,
    confinement: &Confinement,
    wanted: &Wanted,
) -> Result<RootFacts, RunError> {
    let root = overlay.root();
    let own = FilePath::from(dir.layer(0));
    // A project has its own secrets; any other place may have some of others, wherever they lie.
    let shown = confinement.shown.iter().any(|shown| root.starts_with(shown));
    let judged = !confinement.held.is_empty();
    let hides = !shown || judged || own.starts_with(root) || !below(&confinement.hidden, root).is_empty();
    let mut facts = RootFacts { hides, nested: !nested(&confinement.roots, root).is_empty(), ..RootFacts::default() };
    if is_candidate(&facts, wanted) {
        facts.kernel = overlay.kernel_facts()?;
    }
    Ok(facts)
}

fn below(hidden: &[Hidden], root: &FilePath) -> Vec<Hidden> {
    hidden.iter().filter(|hidden| hidden.path.starts_with(root)).cloned().collect()
}

fn nested(roots: &[WritableRoot], outer: &FilePath) -> Vec<FilePath> {
    let inside = roots.iter().filter(|root| root.path != *outer && root.path.starts_with(outer));
    inside.map(|root| root.path.clone()).collect()
}

/// Removes a trial with all its layers.
pub(crate) fn discard_layers(overlays: Vec<Overlay>, dir: TrialDir) -> Result<(), RunError> {
    // A disk takes its time over each, and not more over both.
    std::thread::scope(|scope| {
        let mut overlays = overlays.into_iter().filter(Overlay::has_layer);
        let own = overlays.next();
        let others: Vec<_> = overlays.map(|overlay| scope.spawn(|| overlay.discard())).collect();
        let done = own.map_or(Ok(()), Overlay::discard);
        let others =
            others.into_iter().map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        others.fold(done, Result::and)
    })?;
    Ok(dir.remove()?)
}

/// What earlier commands of a jar did was under their rules, and waits still.
fn joined_rules(before: &[RulesText], now: &[RulesText]) -> Vec<RulesText> {
    let mut rules = before.to_vec();
    let known =
        |more: &&RulesText| before.iter().any(|one| (&one.text, one.may_permit) == (&more.text, more.may_permit));
    for more in now.iter().filter(|more| !known(more)) {
        let same = rules.iter().filter(|known| known.name.starts_with(&more.name)).count();
        let name = if same == 0 { more.name.clone() } else { format!("{}#{}", more.name, same + 1) };
        rules.push(RulesText { name, ..more.clone() });
    }
    rules
}

/// The same attempt seen by several watchers is one.
pub(crate) fn merged(mut attempts: Vec<Attempt>) -> Vec<Attempt> {
    attempts.sort();
    let mut out: Vec<Attempt> = Vec::new();
    for attempt in attempts {
        match out.last_mut() {
            Some(last)
                if (&last.action, &last.target, &last.rule) == (&attempt.action, &attempt.target, &attempt.rule) =>
            {
                last.times += attempt.times;
            }
            _ => out.push(attempt),
        }
    }
    out
}

/// A record for a trial that is about to be prepared.
pub(crate) fn record(id: TrialId, judged: &crate::Judged, request: &Request, confinement: &Confinement) -> TrialRecord {
    TrialRecord {
        version: 1,
        id,
        argv: request.argv.iter().map(FilePath::new).collect(),
        place: judged.place.clone(),
        created_ms: now_ms(),
        state: TrialState::Running,
        roots: confinement.roots.clone(),
        analysis: judged.analysis.clone(),
        assessment: judged.assessment.clone(),
        decision: judged.decision.clone(),
        exit: None,
        wall_ms: None,
        containment: model::Containment::default(),
        attempts: Vec::new(),
        allow_net: confinement.network.rules().to_vec(),
        connections: Vec::new(),
        env_withheld: confinement.env_withheld.clone(),
        shown: request.read.iter().map(FilePath::normalise).filter(|path| is_secret(path, &judged.place)).collect(),
        applying: None,
        applied: 0,
        applied_ms: None,
        jar: request.jar.clone(),
        runs: Vec::new(),
        log: 0,
        rewinding: None,
        unattributed: None,
        limits: request.limits,
        limits_hit: Vec::new(),
        usage: None,
        profile: Some(request.profile.clone()),
        rules: request.rules.clone(),
        used: None,
    }
}

/// Whether a path is, or lies in, what a jar does not show of itself, or is a secret by its name.
fn is_secret(path: &FilePath, place: &Place) -> bool {
    policy::would_show(place, path).is_some() || policy::secret_rule(path, &place.home).is_some()
}
