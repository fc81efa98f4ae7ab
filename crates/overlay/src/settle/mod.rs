//! From the upper layer to the host: planned, checked for conflicts, journaled, resumable.

pub(crate) mod apply;
pub(crate) mod compose;
pub(crate) mod journal;
pub(crate) mod keep;
pub(crate) mod links;
pub(crate) mod plan;
mod prune;
mod ready;
pub(crate) mod step;
pub(crate) mod times;
pub(crate) mod undo;
