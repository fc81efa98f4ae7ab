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
mod checkpoint;
mod copy;
mod effects;
mod error;
mod fs;
mod kernel;
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

pub use changes::preview::Preview;
pub use changes::text::{Clash, Hunk, TEXT_BYTES_MAX};
pub use copy::CopyMost;
pub use effects::journal::Op;
pub use effects::{Author, Process, Touched};
pub use error::{ApplyError, Conflict, ConflictKind, OverlayError, UndoError};
pub use kernel::{Kernel, KernelFacts};
pub use overlay::{Overlay, Serving};
pub use serve::tuning::{Mode, Tuning};
pub use serve::{FINISH_WAIT, Lost, Observed, Served};
pub use settle::apply::{Applied, LayerState};
pub use settle::plan::{ApplyPlan, Pick, Selection};
pub use settle::undo::{Returned, UndoPlan, Undone};
pub use store::Spec;
pub use store::budget::Budget;
