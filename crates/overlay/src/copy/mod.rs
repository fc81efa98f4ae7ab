//! The backend of last resort: a plain copy of the view, for a machine where nothing can be mounted.
//!
//! The command works on the copy. When it is over, what differs from the copy *as it was made* is done again on the view,
//! call by call, as the command would have done it over FUSE: so layer, checkpoints and the record of what the host had
//! are what they always are. What the host had is taken from the moment of the copy, so that a file which changed there
//! since is a conflict and never overwritten.

mod fold;
mod make;

use crate::error::OverlayError;
use crate::fs::at;
use crate::fs::{errno_of, xattr};
use crate::overlay::Overlay;
use crate::store::origin::Identity;
use crate::store::store_error;
use fold::Folding;
use make::Copying;
use model::{Attempt, FilePath};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

/// There from the moment a copy is whole until what became of it is in the layer.
const MANIFEST: &str = "copied";

/// How much is copied at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyMost {
    /// Files, directories and links.
    pub files: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

/// What was copied, and how the copy looked.
#[derive(Serialize, Deserialize)]
struct Manifest {
    to: FilePath,
    names: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    rel: FilePath,
    /// What the host has there, by its place in the lower layer.
    host: Option<(FilePath, Identity)>,
    copy: Identity,
}

impl Overlay {
    /// Copies the view to the new directory `to`: hidden paths, other roots, sockets and devices are left out.
    ///
    /// # Errors
    /// It is more than `most`, the store is in use, or something cannot be read or written; what was made of the copy
    /// stays.
    pub fn copy_to(&self, to: &Path, most: &CopyMost) -> Result<(), OverlayError> {
        self.settle()?;
        self.store.ensure()?;
        let _lock = self.store.lock()?;
        self.check_whole()?;
        let failed = |source| store_error(to, source);
        std::fs::DirBuilder::new().mode(0o700).create(to).map_err(|e| failed(errno_of(&e)))?;
        let root = at::open_root(to).map_err(failed)?;
        let names = Copying::new(self, self.layers()?, root, *most).all()?;
        let manifest = Manifest { to: FilePath::from(to), names };
        let bytes = serde_json::to_vec(&manifest).map_err(|_| failed(Errno::EIO))?;
        let (spare, path) = (self.store.path.join("copied.new"), self.store.path.join(MANIFEST));
        let written = std::fs::write(&spare, bytes).and_then(|()| std::fs::rename(&spare, &path));
        written.map_err(|e| store_error(&path, errno_of(&e)))
    }

    /// Brings what the command did to the copy into the layer, if there is a copy; nobody may write there any more. What
    /// could not be taken over, because a rule hides that path or the host would refuse it, is returned.
    ///
    /// # Errors
    /// The store is in use, or one of the two cannot be read or written; then it can be tried again.
    pub fn fold_copy(&self) -> Result<Vec<Attempt>, OverlayError> {
        let path = self.store.path.join(MANIFEST);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read.map_err(|e| store_error(&path, errno_of(&e)))?,
        };
        let damaged = |why: serde_json::Error| OverlayError::Damaged { path: path.clone(), why: why.to_string() };
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(damaged)?;
        let _lock = self.store.lock()?;
        self.store.clean_work().map_err(|e| store_error(&self.store.path, e))?;
        let root = at::open_root(manifest.to.as_path()).map_err(|e| store_error(manifest.to.as_path(), e))?;
        let refused = Folding::new(self, self.layers()?, manifest).all(&root)?;
        std::fs::remove_file(&path).map_err(|e| store_error(&path, errno_of(&e)))?;
        Ok(refused)
    }
}

fn is_plain(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"user.") && xattr::is_visible(name)
}

fn is_another_root(overlay: &Overlay, rel: &Path) -> bool {
    overlay.saved.nested.contains(&overlay.absolute(rel))
}
