//! Copy-on-write overlay: a host directory below, a private upper layer above, served as one view over FUSE; then
//! compared, applied or discarded.
//!
//! The upper layer is a plain directory tree in the format of kernel overlayfs with `userxattr`: a whiteout is a
//! character device 0:0, an opaque directory carries `user.overlay.opaque`, a renamed one `user.overlay.redirect`
//! (<https://docs.kernel.org/filesystems/overlayfs.html>). No database has to be whole for it to be read.
//!
//! The process that serves runs outside the jar with its user's rights. It therefore names everything by a directory
//! descriptor and one component, and follows no symbolic link anywhere.

mod changes;
mod error;
mod fs;
mod overlay;
mod serve;
mod settle;
mod store;
mod sys;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod view;

pub use changes::preview::{PREVIEW_BYTES_MAX, Preview};
pub use error::{ApplyError, Conflict, ConflictKind, OverlayError};
pub use overlay::Overlay;
pub use serve::tuning::{Mode, Tuning};
pub use serve::{FINISH_WAIT, Observed, Served};
pub use settle::apply::{Applied, LayerState};
pub use settle::plan::{ApplyPlan, Selection};
pub use store::Spec;
