//! The layers as one view: lookup, merged listing, copy-up, whiteouts, renames. Knows nothing of FUSE.

pub(crate) mod base;
pub(crate) mod cache;
pub(crate) mod copy_up;
pub(crate) mod create;
pub(crate) mod data;
pub(crate) mod device;
pub(crate) mod foreign;
pub(crate) mod hidden;
pub(crate) mod layers;
pub(crate) mod node;
pub(crate) mod readdir;
pub(crate) mod rename;
pub(crate) mod setattr;
pub(crate) mod unlink;
pub(crate) mod watch;
