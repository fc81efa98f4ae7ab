//! landlock(7) as the only lock on files: every right is handled, and allowed by place. Signals and abstract sockets stay
//! inside, and nobody outside is traced.

use crate::facts::{standard, writes};
use crate::ruleset::{errno, has_path};
use crate::view;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};
use model::FilePath;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::isatty;
use std::os::fd::{AsFd, OwnedFd};

/// The first version that holds signals and abstract sockets (Linux 6.12).
pub(crate) const SCOPES_SINCE: u32 = 6;

/// Restricts this process and all it starts. Returns what is in force.
pub(crate) fn restrict(readable: &[FilePath], writable: &[FilePath], version: u32) -> Result<String, Errno> {
    let abi = ABI::from(version.cast_signed());
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset = ruleset.handle_access(AccessFs::from_all(abi)).map_err(errno)?;
    let ports = AccessNet::from_all(abi);
    if !ports.is_empty() {
        ruleset = ruleset.handle_access(ports).map_err(errno)?;
    }
    let scopes = Scope::from_all(abi);
    if !scopes.is_empty() {
        ruleset = ruleset.scope(scopes).map_err(errno)?;
    }
    let mut ruleset = ruleset.create().map_err(errno)?;
    let read = AccessFs::Execute | AccessFs::ReadFile | AccessFs::ReadDir;
    for path in readable {
        // What is gone since it was listed cannot be read.
        let Ok(place) = place(path) else { continue };
        ruleset = allow(ruleset, place, read, abi)?;
    }
    let everything = writing(abi) | read;
    for path in writable {
        ruleset = allow(ruleset, place(path)?, everything, abi)?;
    }
    let device = device(abi);
    for name in view::DEVICES {
        let Ok(place) = place(&FilePath::from("/dev").join(name)) else { continue };
        ruleset = allow(ruleset, place, device, abi)?;
    }
    for number in 0..=2 {
        let Some(fd) = standard(number) else { continue };
        if has_path(fd)? {
            let rights = rights_of(fd, abi)?;
            ruleset = allow(ruleset, fd.try_clone_to_owned().map_err(|_| Errno::EMFILE)?, rights, abi)?;
        }
    }
    let status = ruleset.restrict_self().map_err(errno)?;
    match status.ruleset {
        RulesetStatus::FullyEnforced if scopes.is_empty() => Ok(format!("abi {abi}, reads and writes, without scopes")),
        RulesetStatus::FullyEnforced => Ok(format!("abi {abi}, reads and writes")),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// Everything but making devices.
fn writing(abi: ABI) -> BitFlags<AccessFs> {
    AccessFs::from_write(abi) & !(AccessFs::MakeChar | AccessFs::MakeBlock)
}

fn device(abi: ABI) -> BitFlags<AccessFs> {
    (AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev) & AccessFs::from_all(abi)
}

/// What a standard descriptor can do already can be done by opening it again; of a terminal, more.
fn rights_of(fd: impl AsFd, abi: ABI) -> Result<BitFlags<AccessFs>, Errno> {
    if isatty(fd.as_fd()).unwrap_or(false) {
        return Ok(device(abi));
    }
    let flags = OFlag::from_bits_truncate(fcntl(fd.as_fd(), FcntlArg::F_GETFL)?);
    let mut rights = BitFlags::EMPTY;
    if flags & OFlag::O_ACCMODE != OFlag::O_WRONLY {
        rights |= AccessFs::ReadFile;
    }
    if writes(fd.as_fd()) {
        rights |= (AccessFs::WriteFile | AccessFs::Truncate) & AccessFs::from_all(abi);
    }
    Ok(rights)
}

fn place(path: &FilePath) -> Result<OwnedFd, Errno> {
    open(path.as_path(), OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
}

/// A file has fewer rights than a directory, and the kernel refuses a rule with more.
fn allow(
    ruleset: RulesetCreated,
    place: OwnedFd,
    rights: BitFlags<AccessFs>,
    abi: ABI,
) -> Result<RulesetCreated, Errno> {
    let kind = SFlag::from_bits_truncate(fstat(&place)?.st_mode & SFlag::S_IFMT.bits());
    let rights = if kind == SFlag::S_IFDIR { rights } else { rights & AccessFs::from_file(abi) };
    if rights.is_empty() || kind == SFlag::S_IFLNK {
        return Ok(ruleset);
    }
    ruleset.add_rule(PathBeneath::new(place, rights)).map_err(errno)
}
