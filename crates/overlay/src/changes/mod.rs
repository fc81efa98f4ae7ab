//! What the upper layer says about the host: the change set, what differs, how it looks.

pub(crate) mod compare;
pub(crate) mod diff;
pub(crate) mod links;
pub(crate) mod preview;
pub(crate) mod text;
