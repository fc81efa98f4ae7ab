//! The overlay as its users see it: created, served, compared, applied, discarded.

use crate::error::OverlayError;
use crate::fs::at;
use crate::fs::xattr;
use crate::serve::Served;
use crate::serve::tuning::Tuning;
use crate::store::{Saved, Spec, Store, store_error};
use crate::view::copy_up;
use crate::view::hidden::HiddenPaths;
use crate::view::layers::Layers;
use model::FilePath;
use nix::errno::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

/// A writable root and the private layer above it.
pub struct Overlay {
    pub(crate) store: Arc<Store>,
    pub(crate) saved: Saved,
    pub(crate) root: OwnedFd,
    devices: bool,
}

impl Overlay {
    /// Makes a new overlay. Nothing is mounted and nothing of the host is touched.
    ///
    /// # Errors
    /// The root cannot be entered, the store cannot be made, or its file system cannot hold the format.
    pub fn create(spec: &Spec) -> Result<Overlay, OverlayError> {
        let root = open_root(&spec.root)?;
        let (store, saved) = Store::create(spec)?;
        mirror_root(&root, &store).map_err(|e| store_error(&store.path, e))?;
        Ok(Overlay { store: Arc::new(store), saved, root, devices: false })
    }

    /// Opens the overlay in the store directory `dir`, also after its process was killed.
    ///
    /// # Errors
    /// The store is damaged or from another version, or the root is gone.
    pub fn open(dir: &Path) -> Result<Overlay, OverlayError> {
        let (store, saved) = Store::open(dir)?;
        let root = open_root(&saved.root)?;
        Ok(Overlay { store: Arc::new(store), saved, root, devices: false })
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
        let lock = self.store.lock()?;
        self.store.clean_work().map_err(|e| store_error(&self.store.path, e))?;
        Served::start(Arc::new(self.layers()?), fuse, lock, tuning)
    }

    /// Whether nothing was changed: no diff is needed.
    ///
    /// # Errors
    /// The upper layer cannot be read.
    pub fn is_untouched(&self) -> Result<bool, OverlayError> {
        let entries = at::list_own(&self.store.upper).map_err(|e| store_error(&self.store.path, e))?;
        Ok(entries.is_empty() && self.root_is_same()?)
    }

    pub(crate) fn layers(&self) -> Result<Layers, OverlayError> {
        let hidden = HiddenPaths::new(&self.saved.root, &self.saved.hidden, &self.saved.nested);
        let failed = |source| OverlayError::Root { path: self.saved.root.clone(), source };
        let root = self.root.try_clone().map_err(|e| failed(crate::store::errno_of(&e)))?;
        Layers::new(Arc::clone(&self.store), root, hidden, self.devices).map_err(failed)
    }

    fn root_is_same(&self) -> Result<bool, OverlayError> {
        let compare = || -> Result<bool, Errno> {
            let (host, own) = (at::stat(&self.root, at::dot())?, at::stat(&self.store.upper, at::dot())?);
            let known = |s: &at::Stat| (s.st_mode, s.st_uid, s.st_gid);
            let attributes = |dir: &OwnedFd| xattr::all_foreign(dir, at::dot());
            Ok(known(&host) == known(&own) && attributes(&self.root)? == attributes(&self.store.upper)?)
        };
        compare().map_err(|source| OverlayError::Read { path: self.saved.root.clone(), source })
    }
}

/// Gives the upper root the attributes of the host's, so that only a change by the child makes them differ.
fn mirror_root(root: &OwnedFd, store: &Store) -> Result<(), Errno> {
    let stat = at::stat(root, at::dot())?;
    store.origins.cover(Path::new(""), &stat)?;
    copy_up::finish_copy(root, at::dot(), &store.upper, at::dot(), &stat)
}

fn open_root(path: &FilePath) -> Result<OwnedFd, OverlayError> {
    at::open_root(path.as_path()).map_err(|source| OverlayError::Root { path: path.clone(), source })
}
