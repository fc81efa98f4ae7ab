//! The file system below: every object is named by a directory descriptor and one component, links are never followed.

pub(crate) mod at;
pub(crate) mod parents;
pub(crate) mod remove;
pub(crate) mod xattr;

use nix::errno::Errno;

/// The errno inside an I/O error.
pub(crate) fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}
