//! Modification times of directories: each step of an apply moves that of the directory it works in, and when all are
//! done the directory has the time that the jar showed.

use crate::changes::diff::{host_object, open_own, open_upper};
use crate::fs::at;
use crate::fs::parents::Parents;
use crate::fs::xattr;
use crate::overlay::Overlay;
use crate::settle::journal::Step;
use model::FilePath;
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// A directory and the time it gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Time {
    /// Path below the root when all steps are done.
    path: FilePath,
    mtime: (i64, i64),
}

impl Time {
    /// Where the directory is when all steps are done, below the root.
    pub(crate) fn path(&self) -> &Path {
        self.path.as_path()
    }
}

impl Overlay {
    /// The directories in which the steps make and remove names. A time never goes back to before what the host has
    /// there now, which is then the host's own doing, unless the child has set it.
    pub(crate) fn times_to_arrive(&self, steps: &[Step]) -> Result<Vec<Time>, Errno> {
        let mut places: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
        for step in steps {
            let (path, lower) = (step.path.as_path(), step.lower.as_path());
            places.insert(path.to_owned(), lower.to_owned());
            if let (Some(above), Some(lower)) = (path.parent(), lower.parent()) {
                places.entry(above.to_owned()).or_insert_with(|| lower.to_owned());
            }
        }
        let mut times = Vec::new();
        let mut upper = Parents::new(open_own);
        for (rel, lower) in places {
            if !upper.stat(&self.store.parts()?.upper, &rel)?.is_some_and(|stat| at::is_dir(&stat)) {
                continue;
            }
            let dir = match open_upper(self, &rel) {
                Ok(dir) => dir,
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => continue,
                Err(errno) => return Err(errno),
            };
            let own = at::stat(&dir, at::dot())?;
            let set = at::forced(&[&dir], || xattr::get(&dir, at::dot(), OsStr::new(xattr::TIMES)))?.is_some();
            let mtime = (own.st_mtime, own.st_mtime_nsec);
            let host = host_object(&self.root, &lower)?.map(|(_, stat)| (stat.st_mtime, stat.st_mtime_nsec));
            if set || host.is_none_or(|host| host <= mtime) {
                times.push(Time { path: FilePath::from(rel), mtime });
            }
        }
        Ok(times)
    }

    /// Gives them their times. Doing it again changes nothing.
    pub(crate) fn times_arrive(&self, times: &[Time]) -> Result<(), Errno> {
        for time in times {
            let dir = match at::open_beneath(&self.root, time.path.as_path()) {
                Ok(dir) => dir,
                // Somebody has removed it since.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => continue,
                Err(errno) => return Err(errno),
            };
            let mtime = TimeSpec::new(time.mtime.0, time.mtime.1);
            match at::set_times(&dir, at::dot(), TimeSpec::UTIME_OMIT, mtime) {
                // Whoever may write to another user's directory may still not set its time.
                Ok(()) | Err(Errno::EPERM) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}
