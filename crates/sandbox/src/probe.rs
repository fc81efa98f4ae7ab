//! What this host can give a jar, found out by trying: for `doctor`. Starting a jar probes nothing, it finds out.

use crate::around;
use crate::cgroup;
use crate::error::{SandboxError, fuse_hint};
use crate::plan::{Ground, Identity, Plan, Step};
use crate::start::launch;
use crate::sys;
use model::{FilePath, Layer, Tier};
use nix::errno::Errno;
use nix::sys::utsname::uname;
use nix::unistd::{AccessFlags, access, getegid, geteuid};
use serde::Serialize;
use std::io::{self, Read as _};
use std::time::Duration;

/// One thing a jar needs or would use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostFact {
    /// Short, stable: `user namespaces`.
    pub name: &'static str,
    /// Whether it is there.
    pub available: bool,
    /// What is there, for example `abi 7`.
    pub detail: String,
    /// Why it is not; empty when it is.
    pub why: String,
    /// One line to copy that brings it; empty when there is nothing to do.
    pub remedy: String,
}

/// Everything `doctor` knows of the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostFacts {
    /// In the order of importance.
    pub items: Vec<HostFact>,
    /// Whether it is namespaces that cannot be had, so that a jar does without them.
    #[serde(skip)]
    lacks_namespaces: bool,
}

impl HostFacts {
    /// The fact of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&HostFact> {
        self.items.iter().find(|item| item.name == name)
    }

    /// How a jar is held here; `None` where none can be.
    #[must_use]
    pub fn tier(&self) -> Option<Tier> {
        let bare = self.get(BARE).is_some_and(|fact| fact.available);
        if self.able() { Some(Tier::T1) } else { (self.lacks_namespaces && bare).then_some(Tier::T2) }
    }

    /// Whether everything a full jar needs is there. What only makes it faster may be missing.
    #[must_use]
    pub fn able(&self) -> bool {
        self.items.iter().all(|item| item.available || OPTIONAL.contains(&item.name))
    }
}

/// What a jar does without: it only makes one faster, or comes with limits that are not built yet.
const OPTIONAL: &[&str] =
    &["fuse passthrough", KERNEL_OVERLAY, NETWORK_BY_NAME, DATAGRAMS_BY_NAME, "cgroup v2", JARS_INSIDE, BARE];
/// What a jar without namespaces needs.
const BARE: &str = "jars without namespaces (tier T2)";

/// What `--allow-net` needs.
const NETWORK_BY_NAME: &str = "network by name";
/// The same, for rules with `/udp`.
const DATAGRAMS_BY_NAME: &str = "network by name over UDP";
const JARS_INSIDE: &str = "jars inside a jar";
/// The first version of landlock(7) that holds signals and abstract sockets.
const SCOPES_SINCE: u32 = 6;

/// The kernel answers in milliseconds; one that does not has no jar to give.
const PATIENCE: Duration = Duration::from_secs(10);

const KERNEL_OVERLAY: &str = "kernel overlayfs in a user namespace";

/// Tries everything: makes and ends a few jars of a few milliseconds. The program must call
/// [`stage_entry`](crate::stage_entry) first.
#[must_use]
pub fn probe() -> HostFacts {
    HostFacts {
        items: vec![
            kernel(),
            user(),
            user_namespaces(),
            other_namespaces(),
            fresh_proc(),
            mount_setattr(),
            fuse_device(),
            fuse_in_namespace(),
            fuse_passthrough(),
            kernel_overlay(),
            landlock(),
            seccomp(),
            network_watch(),
            network_by_name(NETWORK_BY_NAME, false),
            network_by_name(DATAGRAMS_BY_NAME, true),
            cgroup(),
            jars_inside(),
            bare(),
        ],
        lacks_namespaces: namespaces().is_err(),
    }
}

fn there(name: &'static str, detail: impl Into<String>) -> HostFact {
    HostFact { name, available: true, detail: detail.into(), why: String::new(), remedy: String::new() }
}

fn missing(name: &'static str, why: impl Into<String>, remedy: impl Into<String>) -> HostFact {
    HostFact { name, available: false, detail: String::new(), why: why.into(), remedy: remedy.into() }
}

fn kernel() -> HostFact {
    const NAME: &str = "kernel";
    match uname() {
        Ok(name) => there(NAME, format!("{} {}", name.release().to_string_lossy(), name.machine().to_string_lossy())),
        Err(errno) => missing(NAME, errno.desc(), ""),
    }
}

fn user() -> HostFact {
    there("user", format!("uid {}", geteuid()))
}

/// Builds a jar of these parts alone, and lets it go.
fn attempt(name: &'static str, layers: &[Layer], steps: Vec<Step>) -> Result<HostFact, SandboxError> {
    let around = match around::place() {
        around::Place::Host => None,
        around::Place::Open(around) => Some(around),
        around::Place::Closed => return Err(SandboxError::Nested),
    };
    let identity = Identity::own(geteuid().as_raw(), getegid().as_raw());
    let mut namespaces = vec![Layer::UserNamespace, Layer::MountNamespace, Layer::PidNamespace];
    namespaces.extend(layers.iter().filter(|layer| around.is_none() || **layer != Layer::CgroupNamespace));
    let ground = Ground { tier: Tier::T1, namespaces, identity, accept_weak: vec![], around, steps: vec![] };
    let plan =
        Plan { ground, steps, gaps: vec![], argv: vec![], env: vec![], ahead: None, live: false, untouched: false };
    let roots = [FilePath::from(PROBED_ROOT)];
    launch(&plan, &roots, PATIENCE, &mut |_, _| Ok(())).map(|_| there(name, ""))
}

/// Whether a jar can have namespaces in which something may be done; why not. Ends after some seconds.
///
/// # Errors
/// Why there are none.
pub fn namespaces() -> Result<(), String> {
    let layers = [Layer::IpcNamespace, Layer::UtsNamespace, Layer::NetNamespace, Layer::CgroupNamespace];
    match attempt("", &layers, vec![Step::Loopback, Step::Seal]) {
        Ok(_) => Ok(()),
        // What else is wrong, a jar says itself.
        Err(error) => error.lacks_namespaces().map_or(Ok(()), Err),
    }
}

/// Where a root is mounted for a moment, in a namespace of the probe's own.
const PROBED_ROOT: &str = "/tmp";

fn tried(name: &'static str, layers: &[Layer], steps: Vec<Step>) -> HostFact {
    attempt(name, layers, steps).unwrap_or_else(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        missing(name, format!("cannot {error}{cause}"), error.hint().unwrap_or_default())
    })
}

fn user_namespaces() -> HostFact {
    tried("user namespaces", &[], vec![])
}

fn other_namespaces() -> HostFact {
    let layers = [Layer::IpcNamespace, Layer::UtsNamespace, Layer::NetNamespace, Layer::CgroupNamespace];
    tried("ipc, uts, network and cgroup namespaces", &layers, vec![Step::Loopback])
}

fn fresh_proc() -> HostFact {
    // A jar inside a jar may do with that of the outer one.
    let step = Step::Proc { at: FilePath::from("/proc"), or_outer: around::in_a_jar(), traceable: false };
    tried("a proc of the jar's own", &[], vec![step])
}

fn mount_setattr() -> HostFact {
    const NAME: &str = "mount_setattr";
    if sys::has_mount_setattr() {
        return there(NAME, "");
    }
    missing(NAME, "the kernel is older than 5.12", "use Linux 5.12 or newer")
}

fn fuse_device() -> HostFact {
    const NAME: &str = "/dev/fuse";
    match std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        Ok(_) => there(NAME, ""),
        Err(error) => missing(NAME, error.to_string(), fuse_hint(&error)),
    }
}

/// The jar of a probe ends by itself, and must not do so before it was answered.
fn fuse_in_namespace() -> HostFact {
    let root = Step::Root { index: 0, at: FilePath::from(PROBED_ROOT) };
    tried("fuse in a user namespace", &[], vec![Step::Connections { max: 1 }, root, Step::AwaitRoots])
}

/// The kernel says nothing of passthrough before a FUSE connection is negotiated; its configuration tells whether it
/// was built, and registering a file needs CAP_SYS_ADMIN on the host.
fn fuse_passthrough() -> HostFact {
    const NAME: &str = "fuse passthrough";
    const OPTION: &str = "CONFIG_FUSE_PASSTHROUGH=y";
    match kernel_config() {
        Err(error) => missing(NAME, format!("the kernel's configuration cannot be read: {error}"), ""),
        Ok(config) if !config.lines().any(|line| line == OPTION) => {
            missing(NAME, format!("the kernel was built without {OPTION}"), "use Linux 6.9 or newer")
        }
        Ok(_) if !geteuid().is_root() => missing(NAME, "it is for root only (CAP_SYS_ADMIN)", ""),
        Ok(_) => there(NAME, ""),
    }
}

/// An overlay of three empty directories of a tmpfs. Whether a store can hold an upper layer is another question.
fn kernel_overlay() -> HostFact {
    let path = |name: &str| FilePath::from(name);
    let directory = |name: &str| Step::Directory { at: path(name), mode: 0o755 };
    let (lower, upper, work) = (path("lower"), path("layer/upper"), path("layer/work"));
    let overlay = Step::Kernel { index: 0, lower, upper, work, or_fuse: false };
    let root = Step::Root { index: 0, at: path(PROBED_ROOT) };
    let directories =
        [Step::Scratch, directory("lower"), directory("layer"), directory("layer/upper"), directory("layer/work")];
    tried(KERNEL_OVERLAY, &[], directories.into_iter().chain([overlay, root, Step::AwaitRoots]).collect())
}

/// A configuration is some 300 KiB.
const CONFIG_BYTES_MAX: u64 = 4 << 20;

fn kernel_config() -> io::Result<String> {
    let release = uname()?.release().to_string_lossy().into_owned();
    let mut text = String::new();
    match std::fs::File::open(format!("/boot/config-{release}")) {
        Ok(file) => file.take(CONFIG_BYTES_MAX).read_to_string(&mut text).map(|_| text),
        Err(_) => unpack("/proc/config.gz"),
    }
}

/// gzip is everywhere, and `doctor` may take a millisecond.
fn unpack(path: &str) -> io::Result<String> {
    std::fs::metadata(path)?;
    let output = std::process::Command::new("gzip").arg("-dc").arg(path).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("gzip -dc {path}: {}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn landlock() -> HostFact {
    const NAME: &str = "landlock";
    match sys::landlock_abi() {
        Ok(abi) => there(NAME, format!("abi {abi}")),
        Err(Errno::EOPNOTSUPP) => {
            missing(NAME, "it is built in but switched off", "add landlock to the kernel's lsm= parameter and reboot")
        }
        Err(errno) => missing(NAME, errno.desc(), "use Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK"),
    }
}

fn seccomp_action(name: &'static str, action: u32, since: &str) -> HostFact {
    match sys::seccomp_knows(action) {
        Ok(()) => there(name, ""),
        Err(errno) => missing(name, errno.desc(), format!("use Linux {since} or newer with CONFIG_SECCOMP_FILTER")),
    }
}

fn seccomp() -> HostFact {
    seccomp_action("seccomp filters", libc::SECCOMP_RET_KILL_PROCESS, "4.14")
}

fn network_watch() -> HostFact {
    seccomp_action("seccomp user notification", libc::SECCOMP_RET_USER_NOTIF, "5.5")
}

/// Routes, rules of nf_tables and the sockets, in a network namespace of the probe's own.
fn network_by_name(name: &'static str, over_udp: bool) -> HostFact {
    let steps = vec![Step::Loopback, Step::Network { blocks: crate::net::routed(&[]), over_udp }];
    tried(name, &[Layer::NetNamespace], steps)
}

fn jars_inside() -> HostFact {
    match around::place() {
        around::Place::Open(_) => there(JARS_INSIDE, "this jar allows them"),
        around::Place::Closed => {
            missing(JARS_INSIDE, "this jar allows none", SandboxError::Nested.hint().unwrap_or_default())
        }
        around::Place::Host if sys::landlock_abi().is_ok_and(|abi| abi >= SCOPES_SINCE) => {
            there(JARS_INSIDE, "with --allow-nested")
        }
        around::Place::Host => {
            there(JARS_INSIDE, "with --allow-nested; signals and abstract sockets are then not held (Linux 6.12 does)")
        }
    }
}

fn bare() -> HostFact {
    let refused = sys::seccomp_knows(libc::SECCOMP_RET_USER_NOTIF).err();
    match (sys::landlock_abi(), refused) {
        (_, Some(errno)) => missing(BARE, errno.desc(), "use Linux 5.14 or newer with CONFIG_SECCOMP_FILTER"),
        (Ok(abi), None) if abi >= SCOPES_SINCE => there(BARE, "used where namespaces cannot be had"),
        (Ok(abi), None) => missing(
            BARE,
            format!("landlock abi {abi} does not keep signals and abstract sockets inside"),
            "use Linux 6.12 or newer; to run without that: --accept-weak landlock",
        ),
        (Err(errno), None) => {
            missing(BARE, errno.desc(), "use Linux 6.12 or newer with landlock in the lsm= parameter")
        }
    }
}

/// What keeps limits on memory and processes: the place in the unified hierarchy where a jar's group would lie, and the
/// controllers it would have there.
fn cgroup() -> HostFact {
    const NAME: &str = "cgroup v2";
    let Some((place, beside)) = cgroup::unified_place() else {
        let why = "this process has no group of the unified hierarchy with one above it";
        return missing(NAME, why, "boot with systemd.unified_cgroup_hierarchy=1; in a container nothing can be done");
    };
    let shown = place.display();
    // A process is moved by who may write to the group above both.
    let refused =
        [place.clone(), place.join("cgroup.procs")].iter().find_map(|path| access(path, AccessFlags::W_OK).err());
    if let Some(errno) = refused {
        let why = format!("{shown} is not delegated to this user: {}", errno.desc());
        return missing(NAME, why, "run below a delegated group: systemd-run --user --scope belljar ...");
    }
    let words = |file: &str| std::fs::read_to_string(place.join(file)).unwrap_or_default();
    let controllers = words("cgroup.controllers");
    let kept = ["memory", "pids"].into_iter().filter(|name| controllers.split_whitespace().any(|word| word == *name));
    let kept: Vec<&str> = kept.collect();
    let place = if beside.is_some() { "beside the own group" } else { "in the root" };
    match kept.is_empty() {
        true => there(NAME, format!("{place} {shown}, without memory and pids: cgroup v1 has them")),
        false => there(NAME, format!("{place} {shown}, with {}", kept.join(" and "))),
    }
}
