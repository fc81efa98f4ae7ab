//! The overlay as its users see it: created, served, compared, applied, discarded.

use crate::effects::{Effects, journal};
use crate::error::OverlayError;
use crate::fs::at;
use crate::fs::errno_of;
use crate::fs::xattr;
use crate::serve::Served;
use crate::serve::tuning::{Mode, Tuning};
use crate::store::budget::Budget;
use crate::store::making::{Parts, try_format};
use crate::store::{Saved, Spec, Store, store_error, with_store};
use crate::view::hidden::HiddenPaths;
use crate::view::layers::Layers;
use model::{FilePath, Hidden, SecretNames};
use nix::errno::Errno;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

/// What a view is served with.
#[derive(Debug, Default)]
pub struct Serving {
    /// The directory of a proc(5) of the process id namespace the view was mounted from. With it a journal is kept of
    /// which process made which change.
    pub processes: Option<OwnedFd>,
    /// What the jar may take, an account that its overlays share. Without one there is no limit.
    pub budget: Option<Arc<Budget>>,
    /// What trades speed. Under a limit of the budget, every write is told and refused in time.
    pub tuning: Tuning,
}

/// A writable root and the private layer above it.
pub struct Overlay {
    pub(crate) store: Arc<Store>,
    pub(crate) saved: Arc<Saved>,
    pub(crate) root: OwnedFd,
    devices: bool,
    names: Option<Arc<dyn SecretNames>>,
}

impl Overlay {
    /// Makes a new overlay. Nothing is mounted and nothing of the host is touched.
    ///
    /// # Errors
    /// The root cannot be entered, the store cannot be made, or its file system cannot hold the format.
    pub fn create(spec: &Spec) -> Result<Overlay, OverlayError> {
        if let Some(parent) = spec.dir.parent() {
            let made = std::fs::DirBuilder::new().mode(0o700).recursive(true).create(parent);
            made.map_err(|e| store_error(parent, errno_of(&e)))?;
        }
        let overlay = Overlay::begin(spec)?;
        overlay.store.ensure()?;
        Ok(overlay)
    }

    /// [`Overlay::create`], with a layer that is made by the first write into it: where there is none, nothing is left on
    /// the disk. The directory that the store will be in must be there, and [`Overlay::can_hold`] its layer.
    ///
    /// # Errors
    /// The root cannot be entered or read.
    pub fn begin(spec: &Spec) -> Result<Overlay, OverlayError> {
        let root = open_root(&spec.root)?;
        let (store, saved) = Store::begin(spec, &root)?;
        Ok(Overlay { store: Arc::new(store), saved, root, devices: false, names: None })
    }

    /// Tries out, in the directory `dir`, whether its file system can hold layers. A mark on `above`, which lies on the
    /// same one, remembers that it can.
    ///
    /// # Errors
    /// It cannot, or `dir` cannot be written.
    pub fn can_hold(dir: &Path, above: &Path) -> Result<(), OverlayError> {
        try_format(dir, above)
    }

    /// Opens the overlay in the store directory `dir`, also after its process was killed.
    ///
    /// # Errors
    /// The store is damaged or from another version, or the root is gone.
    pub fn open(dir: &Path) -> Result<Overlay, OverlayError> {
        let (store, saved) = Store::open(dir)?;
        let root = open_root(&saved.root)?;
        Ok(Overlay { store: Arc::new(store), saved: Arc::new(saved), root, devices: false, names: None })
    }

    /// The host directory it lies over.
    #[must_use]
    pub fn root(&self) -> &FilePath {
        &self.saved.root
    }

    /// The name it was given.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.saved.id
    }

    /// Lets the child make device nodes while this value serves the view; otherwise that is refused with `EPERM`. They
    /// stay in the layer: none of them can be applied.
    #[must_use]
    pub fn allow_devices(mut self) -> Overlay {
        self.devices = true;
        self
    }

    /// Serves the view over `fuse`, a `/dev/fuse` descriptor that is mounted already. Returns at once.
    ///
    /// # Errors
    /// The store is in use, or the connection cannot be set up.
    pub fn serve(&self, fuse: OwnedFd) -> Result<Served, OverlayError> {
        self.serve_with(fuse, Tuning::default())
    }

    /// [`Overlay::serve`] with settings of one's own.
    ///
    /// # Errors
    /// As [`Overlay::serve`].
    pub fn serve_with(&self, fuse: OwnedFd, tuning: Tuning) -> Result<Served, OverlayError> {
        self.serve_jar(fuse, Serving { tuning, ..Serving::default() })
    }

    /// [`Overlay::serve_with`], with what a jar needs besides.
    ///
    /// # Errors
    /// As there; or the journal of effects cannot be opened.
    pub fn serve_jar(&self, fuse: OwnedFd, serving: Serving) -> Result<Served, OverlayError> {
        self.settle()?;
        let lock = self.store.lock()?;
        self.check_whole()?;
        self.store.clean_work().map_err(|e| store_error(&self.store.path, e))?;
        let begin = |processes| {
            let failed = |errno| store_error(&self.store.path.join(journal::NAME), errno);
            if self.store.effects_bytes().map_err(failed)? == 0 {
                let store = Arc::clone(&self.store);
                return Ok(Effects::start_new(Box::new(move || store.open_effects()), processes));
            }
            let begun = self.store.open_effects().and_then(|file| Effects::start(file, processes));
            begun.map_err(|error| failed(errno_of(&error)))
        };
        let effects = serving.processes.map(begin).transpose()?;
        let mut layers = self.layers()?;
        let mut tuning = serving.tuning;
        if let Some(budget) = serving.budget {
            budget.watch(&self.store).map_err(|e| store_error(&self.store.path, e))?;
            if budget.is_counting() && matches!(tuning.mode, Mode::WriteBack | Mode::Passthrough) {
                // What passes us by, or comes after write(2) has returned, cannot be refused.
                tuning.mode = Mode::WriteThrough;
            }
            layers.budget = budget;
        }
        Served::start(Arc::new(layers), fuse, lock, effects, tuning)
    }

    /// Whether there is a layer on the disk. Where there is none nothing was changed, and there is nothing to discard.
    #[must_use]
    pub fn has_layer(&self) -> bool {
        self.store.made().is_some()
    }

    /// Whether nothing was changed: no diff is needed.
    ///
    /// # Errors
    /// The upper layer cannot be read.
    pub fn is_untouched(&self) -> Result<bool, OverlayError> {
        let Some(parts) = self.store.made() else { return Ok(true) };
        let entries = at::list_own(&parts.upper).map_err(|e| store_error(&self.store.path, e))?;
        Ok(entries.is_empty() && self.root_is_same(parts)?)
    }

    /// Hides these absolute paths from the next command it is served to, and no others. The layer on disk keeps those it
    /// was made with.
    pub fn hide(&mut self, hidden: &[Hidden]) {
        let hidden = with_store(hidden, &self.store.path, &self.saved.root);
        Arc::make_mut(&mut self.saved).hidden = hidden;
    }

    /// Hides what of the host is a secret by its name from whomever it is served to.
    pub fn hide_names(&mut self, names: Arc<dyn SecretNames>) {
        self.names = Some(names);
    }

    pub(crate) fn layers(&self) -> Result<Layers, OverlayError> {
        let hidden = HiddenPaths::new(&self.saved.root, &self.saved.hidden, &self.saved.nested, self.names.clone());
        let failed = |source| OverlayError::Root { path: self.saved.root.clone(), source };
        let root = self.root.try_clone().map_err(|e| failed(crate::fs::errno_of(&e)))?;
        Layers::new(Arc::clone(&self.store), root, hidden, self.devices).map_err(failed)
    }

    fn root_is_same(&self, parts: &Parts) -> Result<bool, OverlayError> {
        let compare = || -> Result<bool, Errno> {
            let (host, own) = (at::stat(&self.root, at::dot())?, at::stat(&parts.upper, at::dot())?);
            let known = |s: &at::Stat| (s.st_mode, s.st_uid, s.st_gid);
            let attributes = |dir: &OwnedFd| xattr::all_foreign(dir, at::dot());
            Ok(known(&host) == known(&own) && attributes(&self.root)? == attributes(&parts.upper)?)
        };
        compare().map_err(|source| OverlayError::Read { path: self.saved.root.clone(), source })
    }
}

fn open_root(path: &FilePath) -> Result<OwnedFd, OverlayError> {
    at::open_root(path.as_path()).map_err(|source| OverlayError::Root { path: path.clone(), source })
}
