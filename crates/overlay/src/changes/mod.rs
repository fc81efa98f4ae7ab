//! What the upper layer says about the host: the change set, what differs, how it looks.

pub(crate) mod compare;
pub(crate) mod diff;
mod linked;
pub(crate) mod links;
pub(crate) mod preview;
mod renamed;
pub(crate) mod text;
