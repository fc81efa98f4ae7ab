//! What others own, in the jar of an ordinary user.
//!
//! The namespace of such a jar maps one user and one group. The kernel refuses changes of whatever else owns, also those
//! the host would allow: a file with a group of the project, a name in one's own directory. So everything is shown as
//! the user's own there, with its real mode, and what the host would refuse is refused here: by asking the kernel as
//! the user who serves, whose rights are exactly the child's outside.

use crate::fs::at::{self, Stat};
use crate::view::layers::{Found, Layers};
use crate::view::node::{Node, Place, Table};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::unistd::AccessFlags;
use std::os::fd::AsFd;

/// The ids an ordinary user's namespace maps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnIds {
    uid: u32,
    gid: u32,
}

impl OwnIds {
    /// Those of this process; `None` for root, whose namespace maps all.
    pub(crate) fn of_process() -> Option<OwnIds> {
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        (!uid.is_root()).then(|| OwnIds { uid: uid.as_raw(), gid: gid.as_raw() })
    }

    /// Shows `stat` with ids that the namespace maps.
    pub(crate) fn dress(self, stat: &mut Stat) {
        (stat.st_uid, stat.st_gid) = (self.uid, self.gid);
    }
}

impl Layers {
    /// Whether somebody else owns it. A copy in the upper layer is the user's.
    fn is_foreign(&self, stat: &Stat) -> bool {
        self.own.is_some_and(|own| own.uid != stat.st_uid)
    }

    /// The host's attributes of a node that somebody else owns there.
    fn foreign(&self, node: &Node) -> Result<Option<Stat>, Errno> {
        let Some(lower) = node.lower.as_ref().filter(|_| self.own.is_some()) else {
            return Ok(None);
        };
        if !node.is_dir() && node.place != Place::Lower {
            return Ok(None);
        }
        Ok(self.lower_stat(&lower.rel)?.filter(|stat| self.is_foreign(stat)))
    }

    /// Refuses changes of the content, or of the names in a directory, where the host would.
    pub(crate) fn check_content(&self, table: &Table, number: u64) -> Result<(), Errno> {
        let node = table.get(number)?;
        let (Some(_), Some(lower)) = (self.foreign(node)?, &node.lower) else {
            return Ok(());
        };
        if node.is_dir() {
            return may_write(&*self.lower_dir(&lower.rel)?, at::dot());
        }
        let (parent, name) = at::split(&lower.rel).ok_or(Errno::ESTALE)?;
        may_write(&*self.lower_dir(parent)?, name)
    }

    /// Refuses what only the owner may do.
    pub(crate) fn check_owner(&self, table: &Table, number: u64) -> Result<(), Errno> {
        match self.foreign(table.get(number)?)? {
            Some(_) => Err(Errno::EPERM),
            None => Ok(()),
        }
    }

    /// Refuses to take a name away where the host would: in a directory of another user's, or with the sticky bit.
    pub(crate) fn check_removal(&self, table: &Table, parent: u64, found: &Found) -> Result<(), Errno> {
        self.check_content(table, parent)?;
        let sticky = self.foreign(table.get(parent)?)?.is_some_and(|dir| dir.st_mode & libc::S_ISVTX != 0);
        if sticky && found.shown().is_some_and(|stat| self.is_foreign(stat)) { Err(Errno::EPERM) } else { Ok(()) }
    }
}

fn may_write(dir: impl AsFd, name: &std::ffi::OsStr) -> Result<(), Errno> {
    let flags = AtFlags::AT_EACCESS | AtFlags::AT_SYMLINK_NOFOLLOW;
    nix::unistd::faccessat(dir, name, AccessFlags::W_OK, flags)
}
