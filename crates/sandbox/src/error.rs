//! What can go wrong between a request and a finished jar, and what to do about it.

use crate::around::in_a_jar;
use crate::wire::{Fault, FaultKind};
use model::{FilePath, Layer};
use nix::errno::Errno;
use std::io;

/// Why there is no jar, or why it ended before the command did.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The request cannot be a jar.
    #[error("use the request: {0}")]
    Request(String),
    /// A standard descriptor is a directory.
    #[error("pass descriptor {number} into the jar: it is a directory, and its parents are the host's")]
    DirectoryDescriptor {
        /// 0, 1 or 2.
        number: i32,
    },
    /// The process cannot look at itself.
    #[error("read {file}")]
    ProcSelf {
        /// A file of proc(5).
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The stage could not be started.
    #[error("start the stage")]
    Spawn(#[source] io::Error),
    /// This process is in a jar that allows none inside. A jar inside a jar needs what the outer one closes by default:
    /// user namespaces are refused by its filter, and under Landlock nothing may be mounted.
    #[error("make a jar inside another belljar, which holds this command already")]
    Nested,
    /// The kernel refused new namespaces.
    #[error("make the jar's namespaces")]
    Namespaces(#[source] io::Error),
    /// There is no user namespace to be had, or none with rights in it: a jar does without then, if it can.
    #[error("make the jar's namespaces")]
    Withheld(#[source] io::Error),
    /// The kernel refused the jar's user and group ids.
    #[error("map the jar's user ids")]
    IdentityMap(#[source] io::Error),
    /// The kernel refused a fresh proc(5).
    #[error("mount the jar's own /proc")]
    Proc(#[source] io::Error),
    /// The FUSE device cannot be opened.
    #[error("open /dev/fuse")]
    FuseDevice(#[source] io::Error),
    /// FUSE cannot be mounted.
    #[error("{step}")]
    FuseMount {
        /// What was mounted where.
        step: String,
        /// Why not.
        source: io::Error,
    },
    /// The kernel refuses an overlay in the jar's user namespace.
    #[error("{step}")]
    KernelOverlay {
        /// What was mounted where.
        step: String,
        /// Why not.
        source: io::Error,
    },
    /// The jar's side of the network by name cannot be had.
    #[error("{step}")]
    Network {
        /// What was being made.
        step: String,
        /// Why not.
        source: io::Error,
    },
    /// A writable root is not a directory that can be reached without symbolic links.
    #[error("{step}")]
    Root {
        /// Which.
        step: String,
        /// Why not.
        source: io::Error,
    },
    /// The working directory does not exist in the jar or may not be entered.
    #[error("{step}")]
    Cwd {
        /// Which.
        step: String,
        /// Why not.
        source: io::Error,
    },
    /// The jar's connections cannot be served.
    #[error("serve the jar's network")]
    Broker(#[source] io::Error),
    /// A standard descriptor is a file that would be writable in a jar that allows others inside, where Landlock rules no
    /// files.
    #[error("{step}")]
    Standard {
        /// Which.
        step: String,
        /// Why it cannot be made read-only.
        source: io::Error,
    },
    /// Without namespaces, Landlock is all that holds files.
    #[error("hold files without namespaces: {step}")]
    Landlock {
        /// What was being done.
        step: String,
        /// Why not.
        source: io::Error,
    },
    /// A layer cannot be had and its loss was not accepted.
    #[error("put up the layer {}: {why}", layer.word())]
    Weakened {
        /// Which.
        layer: Layer,
        /// Why, with how to get it.
        why: String,
    },
    /// Another step failed.
    #[error("{step}")]
    Step {
        /// What was being done.
        step: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The overlay did not answer for a root.
    #[error("serve the overlay on {root}")]
    Serve {
        /// The root.
        root: FilePath,
        /// The overlay's error.
        source: io::Error,
    },
    /// The stage or pid 1 of the jar died without a word.
    #[error("keep the jar: its {who} was {how}")]
    Died {
        /// `stage` or `first process`.
        who: &'static str,
        /// For example `killed by signal 9`.
        how: String,
    },
    /// The kernel does not know a call that the view is built with.
    #[error("{step}")]
    TooOld {
        /// The step as a person reads it.
        step: String,
        /// Why.
        source: io::Error,
    },
    /// The socket to the stage broke.
    #[error("talk to the stage")]
    Wire(#[source] io::Error),
}

impl SandboxError {
    /// Whether a live jar waits for the next command after this: it was refused before anything ran.
    #[must_use]
    pub fn spares_the_jar(&self) -> bool {
        matches!(self, SandboxError::Request(_) | SandboxError::Cwd { .. })
    }

    /// What to do next, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            SandboxError::Request(_) => "the message names what to change",
            SandboxError::DirectoryDescriptor { .. } => "redirect from and to files, not directories",
            SandboxError::ProcSelf { .. } => "mount proc: mount -t proc proc /proc",
            SandboxError::Nested => {
                "run the command itself, without `belljar run`: its changes wait in the outer trial, and nothing is \
                 real before that is applied; or allow jars inside when the outer one is made: belljar run \
                 --allow-nested -- CMD"
            }
            SandboxError::Namespaces(source) | SandboxError::Withheld(source) => namespaces_hint(source),
            SandboxError::IdentityMap(_) => "run as an ordinary user, or as root with CAP_SETUID and CAP_SETGID",
            SandboxError::Proc(_) => {
                "a container hides parts of /proc: start it with --security-opt systempaths=unconfined"
            }
            SandboxError::FuseDevice(source) => fuse_hint(source),
            SandboxError::FuseMount { .. } => "load FUSE: sudo modprobe fuse (mounting as a user needs Linux 4.18)",
            SandboxError::KernelOverlay { .. } => "use --backend fuse (or auto); `belljar doctor` says what is missing",
            SandboxError::Network { source, .. } => network_hint(source),
            SandboxError::Root { .. } => "give the directory by its real path, without symbolic links: realpath DIR",
            SandboxError::Cwd { .. } => "make it writable in the jar with --write DIR, or start from another directory",
            SandboxError::Standard { .. } => "pass it through a pipe: cat FILE | belljar run ...",
            SandboxError::Weakened { .. } => {
                "`belljar doctor` says how to get it; to run without it: --accept-weak LAYER"
            }
            SandboxError::Step { .. } | SandboxError::Spawn(_) | SandboxError::Wire(_) => "run `belljar doctor`",
            SandboxError::Landlock { .. } => {
                "use Linux 6.12 or newer with landlock in the kernel's lsm= parameter, or allow user namespaces: see \
                 `belljar doctor`"
            }
            SandboxError::Broker(_) => "threads or descriptors ran out: see `ulimit -a`",
            SandboxError::Serve { .. } => "run `belljar doctor`; the cause is in the message",
            SandboxError::TooOld { .. } => "use Linux 5.12 or newer, for mount_setattr(2); 6.1 and newer are tested",
            SandboxError::Died { .. } => "it was killed from outside, or memory ran out: see dmesg",
        })
    }

    /// Why there are no namespaces here, or none in which anything may be done, if that is what is wrong.
    #[must_use]
    pub fn lacks_namespaces(&self) -> Option<String> {
        let refused = |source: &io::Error| {
            let known = [Errno::EPERM, Errno::EACCES, Errno::ENOSPC, Errno::EUSERS, Errno::EINVAL, Errno::ENOSYS];
            source.raw_os_error().is_some_and(|code| known.contains(&Errno::from_raw(code)))
        };
        match self {
            SandboxError::Withheld(source) | SandboxError::IdentityMap(source) if refused(source) => {
                let why = source.raw_os_error().map_or("refused", |code| Errno::from_raw(code).desc());
                Some(format!("the kernel refuses namespaces, or all rights in them: {}", why.to_lowercase()))
            }
            _ => None,
        }
    }

    pub(crate) fn from_fault(fault: Fault) -> SandboxError {
        let source = io::Error::from_raw_os_error(fault.errno);
        let step = fault.step;
        match fault.kind {
            FaultKind::Namespaces | FaultKind::Withheld if fault.errno == libc::EPERM && in_a_jar() => {
                SandboxError::Nested
            }
            FaultKind::Withheld => SandboxError::Withheld(source),
            FaultKind::Namespaces => SandboxError::Namespaces(source),
            FaultKind::IdentityMap => SandboxError::IdentityMap(source),
            FaultKind::Proc => SandboxError::Proc(source),
            FaultKind::FuseDevice => SandboxError::FuseDevice(source),
            FaultKind::FuseMount => SandboxError::FuseMount { step, source },
            FaultKind::KernelOverlay => SandboxError::KernelOverlay { step, source },
            FaultKind::Network => SandboxError::Network { step, source },
            FaultKind::Root => SandboxError::Root { step, source },
            FaultKind::Cwd => SandboxError::Cwd { step, source },
            FaultKind::Standard => SandboxError::Standard { step, source },
            FaultKind::Landlock => SandboxError::Landlock { step, source },
            FaultKind::Weak(layer) => SandboxError::Weakened { layer, why: format!("{step}: {source}") },
            FaultKind::View if fault.errno == libc::ENOSYS => SandboxError::TooOld { step, source },
            FaultKind::View if source.kind() == io::ErrorKind::PermissionDenied => SandboxError::Withheld(source),
            FaultKind::View | FaultKind::Other => SandboxError::Step { step, source },
        }
    }
}

/// Remedies for user namespaces, also shown by `doctor`.
pub(crate) fn namespaces_hint(source: &io::Error) -> &'static str {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSPC | Errno::EUSERS) => "allow more of them: sudo sysctl -w user.max_user_namespaces=10000",
        Some(Errno::EINVAL | Errno::ENOSYS) => "use a kernel with CONFIG_USER_NS and all of CONFIG_*_NS",
        _ => {
            "allow user namespaces: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu) or \
             kernel.unprivileged_userns_clone=1 (Debian); in a container: --security-opt seccomp=unconfined"
        }
    }
}

/// Remedies for the network by name.
fn network_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => {
            "the kernel's nf_tables with NAT is needed, and for rules with /udp its transparent proxy: sudo modprobe -a \
             nf_tables nft_chain_nat nft_nat nft_tproxy; and a file /etc/resolv.conf"
        }
        _ => "run without --allow-net, or see `belljar doctor`",
    }
}

/// Remedies for the FUSE device, also shown by `doctor`.
pub(crate) fn fuse_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => "load FUSE: sudo modprobe fuse; in a container: --device /dev/fuse",
        _ => "let users open it: sudo chmod 666 /dev/fuse (for good: a udev rule KERNEL==\"fuse\", MODE=\"0666\")",
    }
}
