//! The journey where namespaces are withheld: the same command, already approved, on copies of the writable roots. What it
//! did to them becomes layers like any others.

use crate::approve::Approval;
use crate::backend::{BackendRefusal, Wanted};
use crate::error::RunError;
use crate::journey::{Engine, Judged, Request, wanted};
use crate::seek;
use crate::store::{TrialDir, io_error};
use crate::trial::{self, Berth, Prepared, Ran, Trial};
use crate::views::Views;
use model::{Attempt, Confinement, FilePath, Layer, Place, RootKind, TrialId};
use overlay::{CopyMost, Overlay};
use sandbox::{Copies, Remains, Running, Upstream};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::time::Instant;

/// Where the command works on a copy.
const NOT_WATCHED: &str = "who made the changes is not recorded: the command worked on a copy";

/// What is copied at most, of each root. A copy of that takes seconds on a disk.
const COPY_MOST: CopyMost = CopyMost { files: 200_000, bytes: 4 << 30 };

/// How an attempt to run a command ended.
pub(crate) enum Begun {
    Ran(Box<Trial<Ran>>, Remains),
    /// There are no namespaces here, for this reason. Nothing ran, and nothing is left.
    Bare(Bare),
}

/// What a jar without namespaces is begun with.
pub(crate) struct Bare {
    approval: Approval,
    /// Why there are none.
    pub(crate) why: String,
    accept_weak: Vec<Layer>,
}

impl Bare {
    pub(crate) fn new(approval: Approval, why: String, accept_weak: &[Layer]) -> Bare {
        Bare { approval, why, accept_weak: accept_weak.to_vec() }
    }
}

impl Engine {
    /// The same command, already approved, in a jar without namespaces.
    pub(crate) fn run_bare(
        &self,
        request: &Request,
        judged: &Judged,
        id: &TrialId,
        bare: Bare,
    ) -> Result<Trial<Ran>, RunError> {
        self.audit.synced()?;
        let confinement = without_home(self.confine(request, &judged.analysis)?, &request.place)?;
        let berth = match self.berth(request)? {
            Berth::New(_) => Berth::New(id.clone()),
            jar => jar,
        };
        let wanted = Wanted { copies: true, ..wanted(request, &judged.analysis) };
        let record = trial::record(id.clone(), judged, request, &confinement);
        let prepared: Trial<Prepared> = berth.prepare(&self.store, record, confinement, &wanted)?;
        prepared.execute_bare(bare, sandbox::Upstream::of(&request.env))
    }

    /// How such a jar would be built. Where the copies will be depends on the trial.
    pub(crate) fn bare_plan(&self, request: sandbox::Request, at: &Place, why: String) -> Result<String, RunError> {
        let confinement = without_home(request.confinement.clone(), at)?;
        let place = self.store.trial_path(&TrialId("TRIAL".into()));
        let roots = (0..confinement.roots.len()).map(|index| place.join(format!("copy{index}")).into());
        let copies = Copies { roots: roots.collect(), private: place.join("tmp").into(), why };
        let request = sandbox::Request { confinement, ..request };
        Ok(sandbox::bare_plan(&request, &copies)?.to_string())
    }
}

impl Trial<Prepared> {
    /// Runs the command on copies of the roots, in a jar without namespaces, and waits for it.
    ///
    /// # Errors
    /// As [`Trial::execute`].
    pub(crate) fn execute_bare(mut self, bare: Bare, upstream: Option<Upstream>) -> Result<Trial<Ran>, RunError> {
        let began = Instant::now();
        let running = match self.start_bare(bare, upstream) {
            Ok(running) => running,
            Err(error) => {
                let none = Views::new(self.record.limits);
                return Err(self.abandon(none, error));
            }
        };
        let mut ended = running.wait()?;
        ended.attempts.extend(fold_copies(&self.dir, &self.overlays)?);
        self.record.unattributed = Some(NOT_WATCHED.to_owned());
        let exec_error = ended.exec_error;
        self.note(ended, began);
        Ok(self.become_ran(exec_error))
    }

    fn start_bare(&self, bare: Bare, upstream: Option<Upstream>) -> Result<Running, RunError> {
        let private = self.dir.private();
        let made = std::fs::DirBuilder::new().mode(0o700).create(&private);
        made.map_err(io_error("make the temporary directory", &private))?;
        for (index, overlay) in self.overlays.iter().enumerate() {
            overlay.copy_to(&self.dir.copy(index), &COPY_MOST)?;
        }
        let roots = (0..self.overlays.len()).map(|index| FilePath::from(self.dir.copy(index))).collect();
        // From here on the approval is used up.
        let Bare { approval: _approval, why, accept_weak } = bare;
        let copies = Copies { roots, private: FilePath::from(private), why };
        let standby = sandbox::standby_bare(&accept_weak, self.record.limits.output)?;
        let request = sandbox::Request { copies: Some(copies), accept_weak, upstream, ..self.request() };
        Ok(standby.start(&request, &mut |_, _| Err(io::ErrorKind::InvalidInput.into()))?)
    }
}

/// The home is not copied: it stays as it is, read-only. Roots inside others would be two copies of one file.
fn without_home(mut confinement: Confinement, place: &Place) -> Result<Confinement, RunError> {
    let roots = &mut confinement.roots;
    if roots.len() > 1 {
        roots.retain(|root| root.kind != RootKind::Home);
    }
    if let Some(home) = roots.iter().find(|root| root.kind == RootKind::Home) {
        let why = "without user namespaces a home is not copied: start in a project below it".into();
        return Err(BackendRefusal { root: home.path.clone(), why }.into());
    }
    let nested =
        roots.iter().find(|root| roots.iter().any(|other| other != *root && root.path.starts_with(&other.path)));
    match nested.map(|root| root.path.clone()) {
        Some(root) => {
            let why = "without user namespaces roots are copied, and one inside another cannot be".into();
            Err(BackendRefusal { root, why }.into())
        }
        None => {
            seek::hide_names(&mut confinement, place, seek::Views::Elsewhere)?;
            Ok(confinement)
        }
    }
}

/// Brings what a command did to copies into the layers, and removes them. Also after Belljar was killed: nothing of the
/// command runs any more then.
pub(crate) fn fold_copies(dir: &TrialDir, overlays: &[Overlay]) -> Result<Vec<Attempt>, RunError> {
    let mut refused = Vec::new();
    for overlay in overlays {
        refused.append(&mut overlay.fold_copy()?);
    }
    remove_copies(dir, overlays.len())?;
    Ok(refused)
}

pub(crate) fn remove_copies(dir: &TrialDir, count: usize) -> Result<(), RunError> {
    let all = (0..count).map(|index| dir.copy(index)).chain([dir.private()]);
    for path in all.filter(|path| path.symlink_metadata().is_ok()) {
        Overlay::purge(&path)?;
    }
    Ok(())
}
