//! The plan: confinement and facts in, a printable list of steps out. Pure; what the steps do is in `perform`.
//!
//! The view is built in place, in the jar's own copy of the host's mounts: one recursive call makes everything
//! read-only, then a handful of mounts replaces what must not be shown. All private places are directories of one
//! small tmpfs (the *scratch*), bound to where they belong; relative paths in a step lie in it.

use crate::ahead::Ahead;
use crate::around::Around;
use crate::draft::Draft;
use crate::error::SandboxError;
use crate::facts::{IdRange, RunFacts};
use crate::nested;
use crate::request::Request;
use model::{Block, EnvVar, FilePath, Gap, Layer, RootKind, Tier};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;

/// Who the command is inside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Ranges for `uid_map`, the same inside and outside.
    pub uids: Vec<IdRange>,
    /// Ranges for `gid_map`.
    pub gids: Vec<IdRange>,
    /// Whether setgroups(2) is denied for good, which an ordinary user's map needs.
    pub deny_setgroups: bool,
}

impl Identity {
    /// One user and one group.
    #[must_use]
    pub fn own(uid: u32, gid: u32) -> Identity {
        let own = |id: u32| vec![IdRange { first: id, count: 1 }];
        Identity { uids: own(uid), gids: own(gid), deny_setgroups: true }
    }
}

/// One step of building a jar, in the order of the plan. A relative path lies in the scratch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Brings the jar's own loopback interface up.
    Loopback,
    /// Limits how many processes and threads there are at the same time.
    Processes {
        /// How many.
        max: u64,
        /// Whether somebody asked for this number, which then is to be exact where it can be.
        asked: bool,
        /// What keeps it already.
        kept: Option<String>,
    },
    /// Limits how many files each process may have open.
    OpenFiles {
        /// How many.
        max: u64,
    },
    /// Brings connections to these addresses to one socket, which goes to Belljar with another for questions about
    /// names.
    Network {
        /// Of names, and those that were allowed as such.
        blocks: Vec<Block>,
        /// Whether datagrams must come, too; else they come where the kernel can, so that they can be told.
        over_udp: bool,
    },
    /// Makes a socket for questions about names, all of which are refused; it goes to Belljar, which tells whom the
    /// command was looking for.
    Questions,
    /// Opens connections to the FUSE device, before the jar's own `/dev` hides it. That there is none is an error for the
    /// root that needs it.
    Connections {
        /// How many.
        max: usize,
    },
    /// Makes a kernel overlay, whose upper layer alone is on a mount that is not read-only, which goes again;
    /// [`Step::Root`] puts the overlay in its place.
    Kernel {
        /// Index into the roots of the confinement.
        index: usize,
        /// The host's directory.
        lower: FilePath,
        /// The upper layer.
        upper: FilePath,
        /// For the kernel's use.
        work: FilePath,
        /// Whether FUSE takes over where the kernel refuses.
        or_fuse: bool,
    },
    /// Makes every mount read-only, nosuid, nodev and private, in one call.
    Seal,
    /// Opens standard descriptors that are files open for reading again, so that they are on the sealed view.
    Reopen {
        /// Whether one that cannot be is an error: where Landlock does not forbid to write it by another way.
        strict: bool,
    },
    /// Mounts the scratch; it becomes the working directory while the jar is built.
    Scratch,
    /// Limits what the scratch may hold.
    ScratchSize {
        /// Bytes.
        max: u64,
    },
    /// Makes a directory.
    Directory {
        /// Where.
        at: FilePath,
        /// Permission bits.
        mode: u32,
    },
    /// Makes an empty file.
    File {
        /// Where.
        at: FilePath,
        /// Permission bits.
        mode: u32,
    },
    /// Makes a file that everybody may read.
    Text {
        /// Where.
        at: FilePath,
        /// What is in it.
        text: String,
    },
    /// Makes a symbolic link.
    Link {
        /// Where.
        at: FilePath,
        /// To what.
        to: FilePath,
    },
    /// Binds a part of the view, with the mounts below it, into the scratch.
    Keep {
        /// A path of the host.
        from: FilePath,
        /// A directory or file in the scratch.
        at: FilePath,
    },
    /// Gives a directory of the scratch a mount of its own that is read-only, and so are later binds of it.
    Freeze {
        /// Which.
        at: FilePath,
    },
    /// Mounts the jar's own pseudo-terminals.
    Terminals {
        /// Where.
        at: FilePath,
    },
    /// Puts a file of the scratch in the place of another; nothing happens where that does not exist.
    Replace {
        /// In the scratch.
        from: FilePath,
        /// In the view.
        at: FilePath,
    },
    /// Puts a part of the scratch, with the mounts below it, in the place of a directory.
    Cover {
        /// In the scratch.
        from: FilePath,
        /// In the view.
        at: FilePath,
    },
    /// Lets device nodes work again below a directory, after [`Step::Seal`] took that from every mount.
    Devices {
        /// Where.
        at: FilePath,
    },
    /// Mounts a proc(5) of the jar's pid namespace.
    Proc {
        /// Where.
        at: FilePath,
        /// Whether that of the jar around this one stays where the kernel refuses, which it does where that is covered.
        or_outer: bool,
        /// Whether only processes are shown that the onlooker may trace: none of this jar's to a jar inside.
        traceable: bool,
    },
    /// Makes a part of the view read-only; nothing happens where it does not exist.
    ReadOnly {
        /// Which.
        at: FilePath,
    },
    /// Puts an empty directory or an unreadable empty file in the place of a path; nothing happens where it does not
    /// exist. A symbolic link is followed, so that its target is hidden too.
    Mask {
        /// Which.
        at: FilePath,
    },
    /// Shows a directory without these names, whether they are there now or come later. A mount on a file alone ends
    /// when the host renames another over it; a name that is whited out stays hidden.
    Without {
        /// Which directory; nothing happens where it does not exist.
        at: FilePath,
        /// Names in it.
        names: Vec<FilePath>,
        /// A directory of the scratch, for the whiteouts.
        from: FilePath,
    },
    /// Mounts the overlay of a writable root: the kernel's where one was made, else FUSE, whose connection goes to
    /// Belljar.
    Root {
        /// Index into the roots of the confinement.
        index: usize,
        /// Where.
        at: FilePath,
    },
    /// Waits until every root mounted so far answers.
    AwaitRoots,
    /// Landlock: signals and abstract sockets stay inside.
    Scopes,
    /// Makes the door for uid 0 of a jar inside.
    Door {
        /// An empty file.
        at: FilePath,
    },
    /// Landlock: writes only below these.
    Landlock {
        /// Directories of the view.
        writable: Vec<FilePath>,
    },
    /// Without a pid namespace: the supervisor counts processes and threads wherever one is to be started.
    Count {
        /// The most.
        max: u64,
    },
    /// Without a view of its own: Landlock allows reading and writing by place, and nothing else.
    Wall {
        /// May be read and executed, each with all below it.
        readable: Vec<FilePath>,
        /// May be written too.
        writable: Vec<FilePath>,
    },
    /// Installs the system call filter that reports to a supervisor, without whom nothing goes on.
    Guard,
    /// Empties every capability set, locks the securebits, forbids gaining privileges.
    DropPrivileges,
    /// Enters the working directory.
    Enter {
        /// Which.
        at: FilePath,
    },
    /// Installs the system call filter.
    Seccomp {
        /// Whether calls that name a network peer are reported.
        watch: bool,
        /// Whether what a Belljar inside needs is open.
        nested: bool,
        /// Whether calls that name files, and those that are refused, are reported too.
        files: bool,
    },
    /// Waits for leave to begin the command.
    AwaitGo,
}

/// Namespaces and what is first done in them: the same for nearly every command of a user, so it can be made before the
/// command is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ground {
    /// Whether there are namespaces at all.
    pub tier: Tier,
    /// Namespaces to make, at once.
    pub namespaces: Vec<Layer>,
    /// Who the command is inside.
    pub identity: Identity,
    /// Layers that may be missing.
    pub accept_weak: Vec<Layer>,
    /// The jar around it.
    pub around: Option<Around>,
    /// The beginning of the walk.
    pub steps: Vec<Step>,
}

/// Everything the stage needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What it stands on. Whoever is told the plan stands there.
    #[serde(skip)]
    pub ground: Ground,
    /// The walk from there on.
    pub steps: Vec<Step>,
    /// What of a layer is given up on purpose.
    pub gaps: Vec<Gap>,
    /// The command; nothing in a live jar, which is told later what to run.
    pub argv: Vec<FilePath>,
    /// Its whole environment, `NAME=value`.
    pub env: Vec<FilePath>,
    /// What is read ahead while it starts.
    pub ahead: Option<Ahead>,
    /// Whether the jar lives over many commands.
    pub live: bool,
    /// Whether its roots show what the host has, until the command changes that.
    pub untouched: bool,
}

impl Plan {
    /// The whole walk.
    pub fn walk(&self) -> impl Iterator<Item = &Step> {
        self.ground.steps.iter().chain(&self.steps)
    }

    /// Whether its command waits for leave.
    pub(crate) fn waits(&self) -> bool {
        self.steps.contains(&Step::AwaitGo)
    }

    /// Whether the kernel ends the jar with the thread of Belljar that began it.
    pub(crate) fn ends_with_its_parent(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Seccomp { nested: true, .. }))
    }
}

/// Makes the ground that the jar of a request stands on. Pure.
#[must_use]
pub fn ground(request: &Request, facts: &RunFacts) -> Ground {
    // A jar that allows others inside allows no cgroup namespaces.
    let closed = |layer: &Layer| facts.around.is_some() && *layer == Layer::CgroupNamespace;
    let namespaces = NAMESPACES.iter().copied().filter(|layer| !closed(layer)).collect();
    let (accept_weak, around) = (request.accept_weak.clone(), facts.around.clone());
    let steps = Draft::new(request, facts).first_steps();
    Ground { tier: Tier::T1, namespaces, identity: identity(facts), accept_weak, around, steps }
}

/// Makes the plan. Pure: the same request and facts give the same plan.
///
/// # Errors
/// [`SandboxError::Request`] when the request cannot be a jar.
pub fn plan(request: &Request, facts: &RunFacts) -> Result<Plan, SandboxError> {
    plan_on(ground(request, facts), request, facts)
}

/// [`plan`] with the [`ground`] that there is already.
///
/// # Errors
/// As there.
pub(crate) fn plan_on(ground: Ground, request: &Request, facts: &RunFacts) -> Result<Plan, SandboxError> {
    request.check_command()?;
    furnished(ground, request, facts, false)
}

/// [`plan_on`] for a jar that is told later what to run.
///
/// # Errors
/// As there.
pub(crate) fn live_plan_on(ground: Ground, request: &Request, facts: &RunFacts) -> Result<Plan, SandboxError> {
    furnished(ground, request, facts, true)
}

fn furnished(ground: Ground, request: &Request, facts: &RunFacts, live: bool) -> Result<Plan, SandboxError> {
    request.check_jar()?;
    if let (Some(_), Some(why)) = (&facts.around, outer_only(request)) {
        return Err(SandboxError::Request(why.to_owned()));
    }
    nested::check(request, facts)?;
    let mut steps = Draft::new(request, facts).further_steps();
    steps.extend((!live).then_some(Step::AwaitGo));
    Ok(Plan {
        ground,
        steps,
        gaps: nested::gaps(request, facts),
        argv: words(&request.argv),
        env: environment(&request.confinement.env),
        // Its thread would be one of them.
        ahead: ahead(request).filter(|_| request.limits.processes.is_none()),
        live,
        untouched: request.untouched,
    })
}

/// What a jar inside another cannot have: its processes cannot be told from the others of that by whoever would count
/// them, and of netlink the outer filter leaves only routes.
fn outer_only(request: &Request) -> Option<&'static str> {
    if request.limits.on_processes() {
        return Some("limits on memory, processes and processor time are the outer jar's: give them to that");
    }
    let named = !request.confinement.network.rules().is_empty();
    named.then_some("a jar inside another has no network: run what needs one in the outer jar, with --allow-net there")
}

/// The workspace is read ahead; a home is too large and mostly not asked for.
fn ahead(request: &Request) -> Option<Ahead> {
    // Where every look at a file is watched, it would be in the command's way.
    if request.watch_files {
        return None;
    }
    let confinement = &request.confinement;
    let root = confinement.roots.iter().find(|root| root.kind == RootKind::Workspace)?.path.clone();
    let below = confinement.hidden.iter().map(|hidden| &hidden.path).filter(|path| path.starts_with(&root));
    Some(Ahead { hidden: below.cloned().collect(), root })
}

const NAMESPACES: &[Layer] = &[
    Layer::UserNamespace,
    Layer::MountNamespace,
    Layer::PidNamespace,
    Layer::IpcNamespace,
    Layer::UtsNamespace,
    Layer::NetNamespace,
    Layer::CgroupNamespace,
];

/// An ordinary user can map only himself. Root maps every id to itself, so that owners are shown as they are; what
/// that opens in proc(5) is covered unconditionally.
fn identity(facts: &RunFacts) -> Identity {
    match (facts.uid, &facts.around) {
        (0, None) => Identity { uids: facts.uids.clone(), gids: facts.gids.clone(), deny_setgroups: false },
        // Nor can the root of a jar map more than himself.
        (uid, _) => Identity::own(uid, facts.gid),
    }
}

/// As execve(2) takes them.
pub(crate) fn words(argv: &[OsString]) -> Vec<FilePath> {
    argv.iter().map(FilePath::new).collect()
}

/// As execve(2) takes it.
pub(crate) fn environment(env: &[EnvVar]) -> Vec<FilePath> {
    env.iter().map(|var| FilePath::from([var.name.as_bytes(), b"=", var.value.as_bytes()].concat())).collect()
}
