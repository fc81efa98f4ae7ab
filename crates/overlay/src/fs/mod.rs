//! The file system below: every object is named by a directory descriptor and one component, links are never followed.

pub(crate) mod at;
pub(crate) mod parents;
pub(crate) mod remove;
pub(crate) mod xattr;
