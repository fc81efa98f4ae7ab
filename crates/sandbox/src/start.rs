//! Starting a jar: hands the plan to a stage and answers it until every layer stands.

use crate::bare::guard::{Guard, Rules};
use crate::bare::places::Places;
use crate::bare::{self, Copies};
use crate::cgroup::Groups;
use crate::crowd::Crowd;
use crate::draft::own_home;
use crate::error::SandboxError;
use crate::facts::RunFacts;
use crate::files::Bounds;
use crate::init::exit_of;
use crate::meter::{Meter, Processes};
use crate::net::{self, Broker, Door, Sockets};
use crate::output::Output;
use crate::plan::{Ground, Plan, ground, plan_on};
use crate::request::Request;
use crate::running::{Running, Watching};
use crate::signals::Forwarding;
use crate::stage::{self, CONTROL_FD, GROUND_FD, STAGE_NAME};
use crate::sys;
use crate::terminal::Foreground;
use crate::watch::{Observing, Watch};
use crate::wire::{Channel, Down, Up};
use model::{Containment, Exit, FilePath, Layer, Limits, Tier};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawn};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use serde::Serialize;
use std::ffi::CStr;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Descriptors of ours that are to be moved to fixed numbers must not already have one of those.
const ABOVE_FIXED: i32 = 10;

/// How the overlay of a writable root was mounted.
#[derive(Debug)]
pub enum Mounted<'a> {
    /// Over FUSE: requests on this connection must be answered.
    Fuse {
        /// A descriptor of `/dev/fuse`.
        connection: OwnedFd,
        /// The directory of the jar's proc(5) if it is mounted, in which its processes have the numbers that FUSE
        /// requests carry.
        processes: Option<BorrowedFd<'a>>,
        /// Why the kernel does not keep this root, where it was to.
        instead: Option<String>,
    },
    /// By the kernel; nothing of it is used yet.
    Kernel,
}

/// Called once for each writable root, with its index and how it was mounted.
pub type Serve<'a> = dyn FnMut(usize, Mounted<'_>) -> io::Result<()> + 'a;

/// Namespaces that stand and wait for a command. Nothing runs in them but their own first process; dropping this ends
/// it.
pub struct Standby {
    pub(crate) facts: RunFacts,
    nursery: Nursery,
    output: Option<Output>,
    accept_weak: Vec<Layer>,
}

/// Begins to make the namespaces of a jar while its command is still being decided on; returns at once. What cannot
/// be made is told by [`Standby::start`]. Of `known`, which is the request as far as it is known, the layers whose loss is
/// accepted and the limit on output hold from now on. What else it lacks of the final one costs time where that turns out to
/// need another [`Ground`].
///
/// # Errors
/// When the facts cannot be had, no process can be started, or what is printed cannot be counted.
pub fn standby(known: &Request) -> Result<Standby, SandboxError> {
    let facts = RunFacts::gather()?;
    let ground = ground(known, &facts);
    begin(facts, ground, &known.accept_weak, known.limits.output)
}

/// As [`standby`], for a jar without namespaces: a request for it names the copies it works on.
///
/// # Errors
/// As there.
pub fn standby_bare(accept_weak: &[Layer], output_max: Option<u64>) -> Result<Standby, SandboxError> {
    let facts = RunFacts::gather()?;
    let ground = bare::ground(&facts, accept_weak);
    begin(facts, ground, accept_weak, output_max)
}

fn begin(
    facts: RunFacts,
    ground: Ground,
    accept_weak: &[Layer],
    output_max: Option<u64>,
) -> Result<Standby, SandboxError> {
    let output = output_max.map(|max| Output::limited(max, accept_weak)).transpose()?;
    let nursery = Nursery::open(ground, output.as_ref())?;
    Ok(Standby { facts, nursery, output, accept_weak: accept_weak.to_vec() })
}

/// The plan of a jar without namespaces.
///
/// # Errors
/// [`SandboxError::Request`] when the request cannot be such a jar, or the host cannot be looked at.
pub fn bare_plan(request: &Request, copies: &Copies) -> Result<Plan, SandboxError> {
    let facts = RunFacts::gather()?;
    bare::plan(request, copies, &facts, &Places::find(request, copies, &facts)?)
}

/// As [`Standby::start`], with nothing made beforehand.
///
/// # Errors
/// As there.
pub fn start(request: &Request, serve: &mut Serve<'_>) -> Result<Running, SandboxError> {
    standby(request)?.start(request, serve)
}

impl Standby {
    /// The layers whose loss is accepted.
    #[must_use]
    pub fn accepted(&self) -> &[Layer] {
        &self.accept_weak
    }

    /// Builds the jar and starts the command in it. The layers whose loss is accepted are those of [`standby`]. A jar that
    /// allows others inside ends with the thread that called that.
    ///
    /// `serve` is called for outer roots before inner ones; when it returns, requests on a FUSE connection must be
    /// answered (by threads of its own). Returns when the jar is complete and the command is about to be executed or
    /// was.
    ///
    /// # Errors
    /// Any layer that cannot be had, unless its loss is accepted by name; each error says what to do.
    pub fn start(self, request: &Request, serve: &mut Serve<'_>) -> Result<Running, SandboxError> {
        self.build(request)?.start(serve)
    }

    /// The first half of [`Standby::start`]: the jar is being built, and where it has writable roots its command waits for
    /// [`Building::start`].
    ///
    /// # Errors
    /// As there.
    pub fn build(mut self, request: &Request) -> Result<Building<'_>, SandboxError> {
        let ground = self.stand_on_ground_of(request)?;
        let places = request.copies.as_ref().map(|copies| Places::find(request, copies, &self.facts)).transpose()?;
        let groups = if places.is_none() { self.groups(request, Groups::around)? } else { Groups::default() };
        raise_descriptors(request)?;
        let plan = match (&request.copies, &places) {
            (Some(copies), Some(places)) => bare::plan(request, copies, &self.facts, places)?,
            _ => plan_on(ground, request, &self.facts)?,
        };
        self.begin(plan, request, groups, places)
    }

    /// The ground there is. Few requests need another one than was made; for those it is made now.
    pub(crate) fn stand_on_ground_of(&mut self, request: &Request) -> Result<Ground, SandboxError> {
        if request.copies.is_none() {
            let wanted = Ground { accept_weak: self.accept_weak.clone(), ..ground(request, &self.facts) };
            if wanted != self.nursery.ground {
                self.nursery = Nursery::open(wanted, self.output.as_ref())?;
            }
        }
        self.output.iter_mut().for_each(Output::given);
        Ok(self.nursery.ground.clone())
    }

    /// The control groups of a jar with limits, around its first process.
    pub(crate) fn groups(
        &mut self,
        request: &Request,
        around: fn(Pid, &Limits) -> Groups,
    ) -> Result<Groups, SandboxError> {
        let grouped = request.limits.on_processes() && self.facts.around.is_none();
        let groups = if grouped { around(self.nursery.first()?, &request.limits) } else { Groups::default() };
        self.facts.group = groups.processes;
        Ok(groups)
    }

    /// The jar of `plan`, being built.
    pub(crate) fn begin(
        self,
        plan: Plan,
        request: &Request,
        groups: Groups,
        places: Option<Places>,
    ) -> Result<Building<'_>, SandboxError> {
        let foreground = Foreground::remember();
        let forwarding = Forwarding::install().map_err(|errno| SandboxError::Spawn(errno.into()))?;
        self.nursery.tell(&plan)?;
        Ok(Building { standby: self, plan, request, groups, places, foreground, forwarding, held: false })
    }
}

/// A jar that is being built. Dropping it ends it.
pub struct Building<'r> {
    standby: Standby,
    plan: Plan,
    request: &'r Request,
    groups: Groups,
    places: Option<Places>,
    foreground: Foreground,
    forwarding: Forwarding,
    /// Somebody else gives the command leave to begin.
    held: bool,
}

/// Leave for the command of a jar to begin, see [`Building::hold`]. Dropped without being given it ends the jar.
pub struct Leave {
    channel: Option<Channel>,
}

impl Leave {
    /// The command begins as soon as its jar stands.
    pub fn give(mut self) {
        // One that does not hear of it must not wait for ever.
        self.channel = self.channel.take().filter(|channel| channel.send(&Down::Go, None).is_err());
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        if let Some(channel) = &self.channel {
            // A jar that is gone tells why by itself.
            let _ = channel.no_more();
        }
    }
}

impl Building<'_> {
    /// Holds the command back until leave is given, which another thread may do while [`Building::start`] waits for the jar. The
    /// jar is built meanwhile.
    ///
    /// # Errors
    /// When there is no descriptor for it, or the jar has no command to hold.
    pub fn hold(&mut self) -> io::Result<Leave> {
        let channel = self.standby.nursery.channel().filter(|_| self.plan.waits()).ok_or(io::ErrorKind::Unsupported)?;
        let leave = Leave { channel: Some(channel.try_clone()?) };
        self.held = true;
        Ok(leave)
    }

    /// The second half of [`Standby::start`].
    ///
    /// # Errors
    /// As there.
    pub fn start(self, serve: &mut Serve<'_>) -> Result<Running, SandboxError> {
        let Building { standby, plan, request, groups, places, foreground, forwarding, held } = self;
        if plan.waits() && !held {
            standby.nursery.say(&Down::Go, None)?;
        }
        let roots: Vec<FilePath> = request.confinement.roots.iter().map(|root| root.path.clone()).collect();
        let Launched { channel, jar, mut containment, counted, processes, watch, network, reopened } =
            match standby.nursery.launch(&roots, serve) {
                Err(SandboxError::Died { .. }) if groups.out_of_memory() => {
                    return Err(SandboxError::Request("no jar fits into this limit on memory: give it more".into()));
                }
                launched => launched?,
            };
        let allowed = &request.confinement.network;
        let rules = allowed.rules();
        let upstream = request.upstream.clone();
        let mut behind = None;
        let watching = match (watch, places) {
            (None, _) => Watching::Nothing,
            (Some(listener), Some(places)) => {
                let (broker, door) = Broker::behind_door(allowed, upstream.clone()).map_err(SandboxError::Broker)?;
                behind = Some(broker);
                let rules = guard_rules(request, places, &jar, door, &standby.facts.hostname)?;
                Watching::Guard(Guard::start(listener, rules).map_err(SandboxError::Spawn)?)
            }
            (Some(listener), None) => {
                let bounds = || Observing::new(bounds(request, roots), request.allow_nested);
                let carried = if rules.is_empty() { vec![] } else { net::routed(rules) };
                let crowd = processes
                    .as_ref()
                    .zip(request.limits.processes)
                    .map(|(root, max)| Ok(Crowd::new(root.try_clone()?, max)));
                let crowd = crowd.transpose().map_err(SandboxError::Spawn)?;
                let watch = Watch::new(listener, carried, request.watch_files.then(bounds));
                Watching::Network(watch.counting(crowd))
            }
        };
        let broker = network.map(|sockets| Broker::start(sockets, allowed, upstream));
        let broker = broker.transpose().map_err(SandboxError::Broker)?.or(behind);
        let (stands, lacks) = standby.output.as_ref().map(Output::state).unwrap_or_default();
        containment.active.extend(stands);
        containment.missing.extend(lacks);
        let output = standby.output.map(Output::carry).transpose().map_err(SandboxError::Spawn)?;
        let processes = match (plan.ground.tier, processes) {
            (Tier::T2, _) => jar.below().map_err(|errno| SandboxError::Spawn(errno.into()))?,
            (Tier::T1, processes) => processes.map(Processes::Namespace),
        };
        let meter = Meter::new(request.limits, counted, processes, groups, request.measure);
        containment.active.extend(meter.states());
        let apart = request.allow_nested || request.watch_files;
        Ok(Running {
            channel,
            jar,
            containment,
            watching,
            apart,
            broker,
            output,
            meter,
            stops_along: true,
            forwarding,
            foreground,
            reopened,
        })
    }
}

/// The views of a jar keep this many files open at most, and a little is left for everything else.
const DESCRIPTORS_MIN: u64 = 1024;

/// A shell's `ulimit -Sn` is for its programs: the command has it already, and what serves its views needs more.
fn raise_descriptors(request: &Request) -> Result<(), SandboxError> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|errno| SandboxError::Spawn(errno.into()))?;
    if soft >= DESCRIPTORS_MIN || request.confinement.roots.is_empty() {
        return Ok(());
    }
    let raised = setrlimit(Resource::RLIMIT_NOFILE, hard.min(DESCRIPTORS_MIN), hard);
    if hard < DESCRIPTORS_MIN || raised.is_err() {
        let what = format!(
            "belljar needs {DESCRIPTORS_MIN} open files and may have {hard}: raise it with ulimit -Hn, or in limits.conf"
        );
        return Err(SandboxError::Request(what));
    }
    Ok(())
}

/// What the file watch judges by.
fn bounds(request: &Request, roots: Vec<FilePath>) -> Bounds {
    Bounds { roots, home: own_home(request), hidden: request.confinement.hidden.clone() }
}

fn guard_rules(
    request: &Request,
    places: Places,
    jar: &Jar,
    door: Door,
    hostname: &str,
) -> Result<Rules, SandboxError> {
    Ok(Rules {
        first: jar.first.ok_or_else(|| SandboxError::Wire(Errno::EPROTO.into()))?.as_raw(),
        trees: request.copies.iter().flat_map(Copies::trees).cloned().collect(),
        listed: places.listed,
        hidden: request.confinement.hidden.clone(),
        processes: request.limits.processes.unwrap_or(Limits::PROCESSES),
        door,
        hostname: hostname.to_owned(),
        ending: Arc::clone(&jar.ending),
    })
}

/// A jar that stands.
pub(crate) struct Launched {
    pub(crate) channel: Channel,
    pub(crate) jar: Jar,
    pub(crate) containment: Containment,
    pub(crate) watch: Option<OwnedFd>,
    pub(crate) network: Option<Sockets>,
    /// Whether somebody must count its processes, and its proc(5).
    pub(crate) counted: bool,
    pub(crate) processes: Option<OwnedFd>,
    /// Standard descriptors that are others in the jar, with what they are there.
    pub(crate) reopened: Vec<(i32, OwnedFd)>,
}

/// Starts a stage for `plan` and answers it until every layer stands, or it says nothing for so long.
pub(crate) fn launch(
    plan: &Plan,
    roots: &[FilePath],
    patience: Duration,
    serve: &mut Serve<'_>,
) -> Result<Launched, SandboxError> {
    let nursery = Nursery::open(plan.ground.clone(), None)?;
    let limited = nursery.begun.iter().try_for_each(|(channel, _)| channel.limit(patience));
    limited.map_err(|errno| SandboxError::Wire(errno.into()))?;
    nursery.tell(plan)?;
    nursery.launch(roots, serve)
}

/// A stage that has been told the ground and not yet the plan.
struct Nursery {
    ground: Ground,
    /// `None` only once the jar has been launched.
    begun: Option<(Channel, Jar)>,
}

impl Nursery {
    fn open(ground: Ground, output: Option<&Output>) -> Result<Nursery, SandboxError> {
        let (channel, theirs) = Channel::pair().map_err(|errno| SandboxError::Spawn(errno.into()))?;
        let stage = spawn(&ground, theirs, output).map_err(SandboxError::Spawn)?;
        let jar = Jar { tier: ground.tier, stage: Some(stage), init: None, first: None, ending: Arc::default() };
        Ok(Nursery { ground, begun: Some((channel, jar)) })
    }

    /// The first process of the jar, which does nothing before it has a plan.
    fn first(&mut self) -> Result<Pid, SandboxError> {
        let wire = |errno: Errno| SandboxError::Wire(errno.into());
        let (channel, jar) = self.begun.as_mut().ok_or_else(|| wire(Errno::EPROTO))?;
        match channel.receive::<Up>().map_err(wire)? {
            Some((Up::Born { pid }, _)) => Ok(*jar.init.insert(Pid::from_raw(pid))),
            Some((Up::Failed { fault }, _)) => Err(SandboxError::from_fault(fault)),
            Some(_) => Err(wire(Errno::EPROTO)),
            None => Err(jar.death()),
        }
    }

    fn channel(&self) -> Option<&Channel> {
        self.begun.as_ref().map(|(channel, _)| channel)
    }

    fn tell(&self, plan: &Plan) -> Result<(), SandboxError> {
        let file = file_of(plan).map_err(SandboxError::Spawn)?;
        self.say(&Down::Plan, Some(file.as_fd()))
    }

    fn say(&self, message: &Down, fd: Option<BorrowedFd<'_>>) -> Result<(), SandboxError> {
        let channel = self.channel().ok_or_else(|| SandboxError::Wire(Errno::EPROTO.into()))?;
        match channel.send(message, fd) {
            // The stage has failed already; it says why.
            Ok(()) | Err(Errno::EPIPE) => Ok(()),
            Err(errno) => Err(SandboxError::Wire(errno.into())),
        }
    }

    fn launch(mut self, roots: &[FilePath], serve: &mut Serve<'_>) -> Result<Launched, SandboxError> {
        let Some((channel, mut jar)) = self.begun.take() else {
            return Err(SandboxError::Wire(Errno::EPROTO.into()));
        };
        let Ready { containment, counted, processes, watch, network, reopened } =
            answer(&channel, &mut jar, roots, serve)?;
        jar.reap_stage();
        Ok(Launched { channel, jar, containment, counted, processes, watch, network, reopened })
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        let Some((channel, mut jar)) = self.begun.take() else { return };
        // Pid 1 waits for a plan, reads that none will come, and ends; until then it may still tell its number.
        if channel.no_more().is_ok() {
            while let Ok(Some((message, _))) = channel.receive::<Up>() {
                if let Up::Born { pid } = message {
                    jar.born(pid);
                }
            }
        }
    }
}

/// The processes of a jar that Belljar has to wait for. Dropping it ends them.
pub(crate) struct Jar {
    tier: Tier,
    stage: Option<Pid>,
    /// The last to go: pid 1, or the keeper of a jar without namespaces.
    init: Option<Pid>,
    /// The first process of a jar without namespaces.
    first: Option<Pid>,
    /// Set when nothing in such a jar may start a process any more.
    pub(crate) ending: Arc<AtomicBool>,
}

impl Jar {
    /// The first process of the jar is there. Without namespaces the stage stays, as its keeper.
    fn born(&mut self, pid: i32) {
        match self.tier {
            Tier::T1 => self.init = Some(Pid::from_raw(pid)),
            Tier::T2 => (self.init, self.first) = (self.stage.take(), Some(Pid::from_raw(pid))),
        }
    }

    /// Where the processes of a jar without namespaces are found.
    fn below(&self) -> Result<Option<Processes>, Errno> {
        let Some(first) = self.first else { return Ok(None) };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Some(Processes::Below(open("/proc", flags, Mode::empty())?, first.as_raw())))
    }

    fn reap_stage(&mut self) -> Option<Exit> {
        self.stage.take().and_then(reap)
    }

    /// Waits until the kernel has ended every process of the jar.
    pub(crate) fn reap_init(&mut self) -> Option<Exit> {
        self.first = None;
        self.init.take().and_then(reap)
    }

    /// Whether its first process has not been waited for.
    pub(crate) fn is_there(&self) -> bool {
        self.init.is_some()
    }

    /// Why nobody answers any more.
    pub(crate) fn death(&mut self) -> SandboxError {
        let stage = self.reap_stage().filter(|exit| *exit != Exit::Code(0));
        let (who, exit) = match stage {
            Some(exit) => ("stage", Some(exit)),
            None => ("first process", self.reap_init()),
        };
        let how = match exit {
            Some(Exit::Signal(signal)) => format!("killed by signal {signal}"),
            Some(Exit::Code(code)) => format!("ended with code {code}"),
            None => "gone".to_owned(),
        };
        SandboxError::Died { who, how }
    }

    /// Kills everything in it: the kernel does, with pid 1; without namespaces the keeper does, with the first process.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(init) = self.first.or(self.init) {
            // Fails only if it is dead already.
            let _ = sys::kill(init.as_raw(), libc::SIGKILL);
        }
    }
}

impl Drop for Jar {
    fn drop(&mut self) {
        self.end();
        self.reap_stage();
        self.reap_init();
    }
}

/// `None` when somebody else has taken the status, as with SIGCHLD ignored.
fn reap(pid: Pid) -> Option<Exit> {
    loop {
        match sys::wait(pid.as_raw(), 0) {
            Err(Errno::EINTR) => {}
            Ok(Some((_, status))) => return exit_of(status),
            _ => return None,
        }
    }
}

/// A stage that makes `ground`, at work.
fn spawn(ground: &Ground, control: OwnedFd, output: Option<&Output>) -> io::Result<Pid> {
    let control = above_fixed(&control)?;
    let streams: Vec<(i32, RawFd)> =
        output.into_iter().flat_map(Output::ends).map(|(stream, end)| (stream, end.as_raw_fd())).collect();
    // A copy of this process needs no program to be loaded and linked, which takes longer than all that a stage does. A
    // process with threads cannot be copied; and without namespaces its memory would be within the command's sight.
    match ground.tier {
        Tier::T1 if sys::is_alone() => fork(ground, &control, &streams),
        Tier::T1 | Tier::T2 => execute(ground, &control, &streams),
    }
}

fn fork(ground: &Ground, control: &OwnedFd, streams: &[(i32, RawFd)]) -> io::Result<Pid> {
    match sys::clone_process(libc::SIGCHLD)? {
        Some(stage) => Ok(stage),
        None => sys::leave(stage::forked(ground, control.as_raw_fd(), streams)),
    }
}

/// Executes this program again, with nothing in its environment and two descriptors more.
fn execute(ground: &Ground, control: &OwnedFd, streams: &[(i32, RawFd)]) -> io::Result<Pid> {
    let ground = above_fixed(&file_of(ground)?)?;
    let mut actions = PosixSpawnFileActions::init()?;
    // Before the fixed numbers are taken, which may be those of the pipes.
    for (stream, end) in streams {
        actions.add_dup2(*end, *stream)?;
    }
    actions.add_dup2(control.as_raw_fd(), CONTROL_FD)?;
    actions.add_dup2(ground.as_raw_fd(), GROUND_FD)?;
    let nothing: [&CStr; 0] = [];
    let attributes = PosixSpawnAttr::init()?;
    Ok(posix_spawn(c"/proc/self/exe", &actions, &attributes, &[STAGE_NAME], &nothing)?)
}

pub(crate) fn file_of(words: &impl Serialize) -> io::Result<OwnedFd> {
    let mut file = std::fs::File::from(memfd_create(c"belljar-plan", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(&serde_json::to_vec(words)?)?;
    Ok(file.into())
}

fn above_fixed(fd: &OwnedFd) -> io::Result<OwnedFd> {
    Ok(sys::adopt(fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(ABOVE_FIXED))?))
}

/// What is known when the jar stands.
struct Ready {
    containment: Containment,
    counted: bool,
    processes: Option<OwnedFd>,
    watch: Option<OwnedFd>,
    network: Option<Sockets>,
    reopened: Vec<(i32, OwnedFd)>,
}

fn answer(channel: &Channel, jar: &mut Jar, roots: &[FilePath], serve: &mut Serve<'_>) -> Result<Ready, SandboxError> {
    let wire = |errno: Errno| SandboxError::Wire(errno.into());
    let mut processes: Option<OwnedFd> = None;
    let (mut connections, mut datagrams, mut arrivals, mut questions) = (Vec::new(), Vec::new(), None, None);
    let mut reopened = Vec::new();
    let mut took = |index: usize, mounted: Mounted<'_>| {
        let root = roots.get(index).ok_or_else(|| wire(Errno::EPROTO))?;
        serve(index, mounted).map_err(|source| SandboxError::Serve { root: root.clone(), source })?;
        channel.send(&Down::Served, None).map_err(wire)
    };
    loop {
        let Some((message, fd)) = channel.receive::<Up>().map_err(wire)? else {
            return Err(jar.death());
        };
        match message {
            Up::Born { pid } => jar.born(pid),
            Up::Processes => processes = fd,
            Up::Reopened { number } => reopened.extend(fd.map(|fd| (number, fd))),
            Up::Root { index, instead } => {
                let connection = fd.ok_or_else(|| wire(Errno::EBADF))?;
                took(index, Mounted::Fuse { connection, processes: processes.as_ref().map(OwnedFd::as_fd), instead })?;
            }
            Up::Kernel { index } => took(index, Mounted::Kernel)?,
            Up::Connections => connections.extend(fd),
            Up::Arrivals => arrivals = fd,
            Up::Replies => {
                let pair = arrivals.take().zip(fd);
                datagrams.extend(pair.map(|(arrivals, replies)| net::Datagrams { arrivals, replies }));
            }
            Up::Questions => questions = fd,
            Up::Ready { containment, counted } => {
                let network = questions.map(|questions| Sockets { connections, datagrams, questions });
                return Ok(Ready { containment, counted, processes, watch: fd, network, reopened });
            }
            Up::Failed { fault } => return Err(SandboxError::from_fault(fault)),
            _ => return Err(wire(Errno::EPROTO)),
        }
    }
}
