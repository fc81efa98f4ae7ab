//! landlock(7): the second lock on everything that writes. Mounts already rule reads, and Landlock rules on reads
//! would cost a third of the speed of opening files, so reads are left alone.
//!
//! What it adds to the mounts: a file reached around the view, for example by reopening `/proc/self/fd/0` for writing,
//! is not writable either; devices take no ioctl outside `/dev`; signals and abstract sockets stay inside.

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope,
};
use model::FilePath;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat};
use std::os::fd::AsFd;

/// Restricts this process and all it starts to writing below `writable` and to the standard descriptors it was given
/// for writing. Returns what is in force.
pub(crate) fn restrict(writable: &[FilePath], abi: u32) -> Result<String, Errno> {
    let abi = ABI::from(abi.cast_signed());
    let rights = AccessFs::from_write(abi);
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset = ruleset.handle_access(rights).map_err(errno)?;
    let scopes = Scope::from_all(abi);
    if !scopes.is_empty() {
        ruleset = ruleset.scope(scopes).map_err(errno)?;
    }
    let mut ruleset = ruleset.create().map_err(errno)?;
    for path in writable {
        let fd = open(path.as_path(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
        ruleset = ruleset.add_rule(PathBeneath::new(fd, rights)).map_err(errno)?;
    }
    for number in 0..=2 {
        let Some(fd) = crate::facts::standard(number).filter(|fd| crate::facts::writes(*fd)) else {
            continue;
        };
        if has_path(fd)? {
            let file = rights & AccessFs::from_file(abi);
            ruleset = ruleset.add_rule(PathBeneath::new(fd, file)).map_err(errno)?;
        }
    }
    let status = ruleset.restrict_self().map_err(errno)?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(detail(abi, rights, scopes)),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// As [`restrict`] without the file system: signals and abstract sockets stay inside, and nobody outside is traced. The
/// rules on files would forbid every mount.
pub(crate) fn restrict_scopes(abi: u32) -> Result<String, Errno> {
    let abi = ABI::from(abi.cast_signed());
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let ruleset = ruleset.scope(Scope::from_all(abi)).map_err(errno)?;
    let status = ruleset.create().map_err(errno)?.restrict_self().map_err(errno)?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(format!("abi {abi}, scopes only")),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// Whether a descriptor has a place in a file system; Landlock lets pipes and sockets be.
pub(crate) fn has_path(fd: impl AsFd) -> Result<bool, Errno> {
    let kind = SFlag::from_bits_truncate(fstat(fd)?.st_mode & SFlag::S_IFMT.bits());
    Ok(matches!(kind, SFlag::S_IFREG | SFlag::S_IFCHR | SFlag::S_IFBLK))
}

fn detail(abi: ABI, rights: BitFlags<AccessFs>, scopes: BitFlags<Scope>) -> String {
    let mut text = format!("abi {abi}");
    let mut lacks = |has: bool, what: &str| {
        if !has {
            text.push_str(", without ");
            text.push_str(what);
        }
    };
    lacks(rights.contains(AccessFs::Refer), "refer");
    lacks(rights.contains(AccessFs::Truncate), "truncate");
    lacks(rights.contains(AccessFs::IoctlDev), "ioctl on devices");
    lacks(!scopes.is_empty(), "scopes");
    text
}

/// The errno behind an error of the landlock crate, found along its chain of causes.
pub(crate) fn errno(error: impl std::error::Error) -> Errno {
    let mut cause: Option<&dyn std::error::Error> = error.source();
    while let Some(error) = cause {
        if let Some(code) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error) {
            return Errno::from_raw(code);
        }
        cause = error.source();
    }
    Errno::EINVAL
}
