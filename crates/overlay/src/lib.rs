//! Copy-on-write overlay: a host directory below, a private upper layer above, served as one view over FUSE; then
//! compared, applied or discarded.
//!
//! The upper layer is a plain directory tree in the format of kernel overlayfs with `userxattr`: a whiteout is a
//! character device 0:0, an opaque directory carries `user.overlay.opaque`, a renamed one `user.overlay.redirect`
//! (<https://docs.kernel.org/filesystems/overlayfs.html>). No database has to be whole for it to be read.
//!
//! The process that serves runs outside the jar with its user's rights. It therefore names everything by a directory
//! descriptor and one component, and follows no symbolic link anywhere.

mod apply;
mod at;
mod cache;
mod compare;
mod copy_up;
mod create;
mod data;
mod diff;
mod error;
mod fuse;
mod hidden;
mod journal;
mod layers;
mod links;
mod node;
mod origin;
mod overlay;
mod plan;
mod preview;
mod readdir;
mod remove;
mod rename;
mod serve;
mod setattr;
mod step;
mod store;
mod sys;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod unlink;
mod xattr;

pub use apply::{Applied, LayerState};
pub use error::{ApplyError, Conflict, ConflictKind, OverlayError};
pub use overlay::Overlay;
pub use plan::{ApplyPlan, Selection};
pub use preview::{PREVIEW_BYTES_MAX, Preview};
pub use serve::{FINISH_WAIT, Observed, Served};
pub use store::Spec;
