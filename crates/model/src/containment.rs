//! What is really enforced, and what was tried against it.

use crate::{Action, FilePath, Target};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a jar is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Tier {
    /// By namespaces, a view of its own, Landlock and a system call filter.
    #[default]
    T1,
    /// Without namespaces, where none can be had: by Landlock and a system call filter whose supervisor answers what
    /// those cannot judge. The containment says what that does not hold.
    T2,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tier::T1 => "T1",
            Tier::T2 => "T2",
        })
    }
}

/// One layer of the jar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// user_namespaces(7).
    UserNamespace,
    /// mount_namespaces(7) with a read-only view.
    MountNamespace,
    /// pid_namespaces(7).
    PidNamespace,
    /// ipc_namespaces(7).
    IpcNamespace,
    /// uts_namespaces(7).
    UtsNamespace,
    /// network_namespaces(7).
    NetNamespace,
    /// cgroup_namespaces(7).
    CgroupNamespace,
    /// The copy-on-write overlay over every writable root.
    Overlay,
    /// landlock(7).
    Landlock,
    /// seccomp(2).
    Seccomp,
    /// An empty capability set, capabilities(7).
    NoCapabilities,
    /// PR_SET_NO_NEW_PRIVS.
    NoNewPrivs,
    /// Only descriptors 0, 1 and 2 are inherited.
    CleanDescriptors,
    /// The number of processes is limited.
    ProcessLimit,
    /// Memory is limited.
    MemoryLimit,
    /// Processor time is limited.
    CpuLimit,
    /// What the command prints is counted and limited.
    OutputLimit,
    /// Connection attempts are observed by seccomp user notification.
    NetworkWatch,
}

impl Layer {
    /// Layers without which a jar can be made at all, where their loss is accepted by name.
    pub const MAY_LACK: [Layer; 8] = [
        Layer::IpcNamespace,
        Layer::UtsNamespace,
        Layer::NetNamespace,
        Layer::CgroupNamespace,
        Layer::Landlock,
        Layer::Seccomp,
        Layer::OutputLimit,
        Layer::NetworkWatch,
    ];

    /// The word for it in options: its name with hyphens.
    #[must_use]
    pub fn word(self) -> String {
        self.to_string().replace(' ', "-")
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layer::UserNamespace => "user namespace",
            Layer::MountNamespace => "mount namespace",
            Layer::PidNamespace => "pid namespace",
            Layer::IpcNamespace => "ipc namespace",
            Layer::UtsNamespace => "uts namespace",
            Layer::NetNamespace => "network namespace",
            Layer::CgroupNamespace => "cgroup namespace",
            Layer::Overlay => "overlay",
            Layer::Landlock => "landlock",
            Layer::Seccomp => "seccomp",
            Layer::NoCapabilities => "no capabilities",
            Layer::NoNewPrivs => "no new privileges",
            Layer::CleanDescriptors => "clean descriptors",
            Layer::ProcessLimit => "process limit",
            Layer::MemoryLimit => "memory limit",
            Layer::CpuLimit => "processor limit",
            Layer::OutputLimit => "output limit",
            Layer::NetworkWatch => "network watch",
        })
    }
}

/// A layer that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerState {
    /// Which.
    pub layer: Layer,
    /// Detail worth a record, for example `abi 7`; empty where there is none.
    pub detail: String,
}

/// A layer that is not, or not as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Which.
    pub layer: Layer,
    /// Why it is missing and how to get it; or what of it.
    pub why: String,
}

/// What keeps the overlay of a writable root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Belljar's own file system over FUSE.
    Fuse,
    /// The kernel's overlayfs, mounted in the jar's user namespace.
    Kernel,
    /// A copy, compared with the root when the command has ended: where nothing can be mounted.
    Copy,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Fuse => "fuse",
            Backend::Kernel => "kernel",
            Backend::Copy => "a copy",
        })
    }
}

/// Which backend a writable root has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootBackend {
    /// The root.
    pub root: FilePath,
    /// What keeps its overlay.
    pub backend: Backend,
    /// Why this one, in a few words.
    pub why: String,
}

/// What was really enforced. Travels to the screen, the JSON and the audit record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Containment {
    /// How, on the whole.
    #[serde(default)]
    pub tier: Tier,
    /// In force.
    pub active: Vec<LayerState>,
    /// Not in force, or not as a whole: only ever what was given up by name, as by `--allow-nested`, what a jar inside a
    /// jar cannot have, or what the tier cannot hold. A layer of which something is left is in both lists.
    pub missing: Vec<Gap>,
    /// One for each writable root, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<RootBackend>,
}

/// Something the command tried that the jar refused or hid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// What it tried.
    pub action: Action,
    /// On what.
    pub target: Target,
    /// The rule that refused it, for example `secrets/aws` or `network/none`.
    pub rule: String,
    /// How often it was seen.
    pub times: u64,
}
