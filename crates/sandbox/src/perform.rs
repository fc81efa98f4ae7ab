//! The one executor: walks a plan inside the jar's fresh namespaces, with every capability there and none outside.

use crate::bare::wall;
use crate::draft::{EMPTY_DIRECTORY, EMPTY_FILE};
use crate::nested::{OUTER_NUMBERS, OUTER_PROC};
use crate::net;
use crate::output::write_all;
use crate::plan::{Ground, Step};
use crate::wire::{Channel, Down, Fault, FaultKind, Up};
use crate::{around, reopen, ruleset, seccomp, sys};
use model::{Block, Containment, FilePath, Gap, Layer, LayerState, Tier};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknodat, stat};
use nix::sys::utsname::uname;
use nix::unistd::{chdir, fchdir, getegid, geteuid, symlinkat};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Component;

const NOTHING: Option<&str> = None;
/// Where the scratch is mounted.
const SCRATCH: &str = "/tmp";
/// What the view is where the kernel has no overlay for it.
const MASKED_VIEW: &str = "read-only view; secrets in /etc show again if the host replaces their files meanwhile";

/// State of the walk.
pub(crate) struct Executor<'a> {
    channel: &'a Channel,
    ground: &'a Ground,
    scratch: Option<OwnedFd>,
    /// The host's directory that it was mounted on.
    under_scratch: Option<OwnedFd>,
    /// Opened FUSE connections that no root has taken yet, and why there are no more.
    connections: Vec<OwnedFd>,
    no_device: Errno,
    /// Kernel overlays that are not in their place yet, or why there are none.
    kernel: Vec<(usize, Result<OwnedFd, String>)>,
    /// Roots mounted but not known to be served.
    unserved: usize,
    /// The command may begin.
    go: bool,
    served: usize,
    kept: usize,
    /// What stands so far.
    pub(crate) containment: Containment,
    /// Whether Belljar must count the jar's processes itself.
    pub(crate) counted: bool,
    /// The descriptor of the network watch.
    pub(crate) watch: Option<OwnedFd>,
    /// Whether that sees processes begin.
    watch_forks: bool,
}

impl<'a> Executor<'a> {
    pub(crate) fn new(channel: &'a Channel, ground: &'a Ground) -> Executor<'a> {
        Executor {
            channel,
            ground,
            scratch: None,
            under_scratch: None,
            connections: Vec::new(),
            no_device: Errno::ENODEV,
            kernel: Vec::new(),
            unserved: 0,
            go: false,
            served: 0,
            kept: 0,
            containment: Containment { tier: ground.tier, ..Containment::default() },
            counted: false,
            watch: None,
            watch_forks: false,
        }
    }

    /// Every step in order; the first that fails ends the jar.
    pub(crate) fn perform(&mut self, steps: &[Step]) -> Result<(), Fault> {
        steps.iter().try_for_each(|step| self.step(step))
    }

    /// Notes that a layer is in force.
    pub(crate) fn stands(&mut self, layer: Layer, detail: impl Into<String>) {
        self.containment.active.push(LayerState { layer, detail: detail.into() });
    }

    /// Notes that a layer is missing, if that was accepted by name.
    pub(crate) fn lacks(&mut self, layer: Layer, step: &str, errno: Errno) -> Result<(), Fault> {
        if !self.ground.accept_weak.contains(&layer) {
            return Err(Fault::new(FaultKind::Weak(layer), step, errno));
        }
        self.containment.missing.push(Gap { layer, why: format!("{step}: {}", errno.desc()) });
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), Fault> {
        let done = match step {
            Step::Processes { max, asked, kept } => {
                self.limit_processes(*max, *asked, kept.as_deref());
                Ok(())
            }
            Step::OpenFiles { max } => lower_limit(Resource::RLIMIT_NOFILE, *max),
            Step::Loopback => loopback(),
            Step::Network { blocks, over_udp } => self.network(blocks, *over_udp),
            Step::Questions => self.questions(),
            Step::Connections { max } => {
                self.connect(*max);
                Ok(())
            }
            Step::Kernel { index, lower, upper, work, or_fuse } => {
                let made = self.overlay(*index, lower, upper, work);
                return self.keep(*index, made, *or_fuse, || step.to_string());
            }
            Step::Seal => seal().map(|()| self.stands(Layer::MountNamespace, "read-only view")),
            Step::Reopen { strict } => return self.reopen(*strict),
            Step::Scratch => self.mount_scratch(),
            Step::ScratchSize { max } => limit_scratch(*max),
            Step::Directory { at, mode } => mkdirat(AT_FDCWD, at.as_path(), Mode::from_bits_truncate(*mode)),
            Step::File { at, mode } => create(at, *mode).map(drop),
            Step::Text { at, text } => create(at, 0o444).and_then(|file| write_all(&file, text.as_bytes())),
            Step::Link { at, to } => symlinkat(to.as_path(), AT_FDCWD, at.as_path()),
            Step::Keep { from, at } => or_absent(self.keep_part(from, at)),
            Step::Freeze { at } => bind(at, at).and_then(|()| read_only(at)),
            Step::Terminals { at } => terminals(at),
            Step::Replace { from, at } => or_absent(bind(from, at)),
            Step::Cover { from, at } => bind(from, at),
            Step::Devices { at } => allow_devices(at).and_then(|()| reopen::devices()),
            Step::Proc { at, or_outer, traceable } => self.proc(at, *or_outer, *traceable),
            Step::Door { at } => around::make_door(at),
            Step::ReadOnly { at } => or_absent(bind(at, at).and_then(|()| read_only(at))),
            Step::Mask { at } => or_out_of_reach(mask(at)),
            Step::Without { at, names, from } => or_absent(self.without(at, names, from)),
            Step::Root { index, at } => return self.root(*index, at),
            Step::AwaitRoots => self.await_roots(),
            Step::AwaitGo => self.await_go(),
            Step::Landlock { writable } => return self.landlock(writable),
            Step::DropPrivileges => self.drop_privileges(),
            Step::Enter { at } => chdir(at.as_path()),
            Step::Scopes => {
                self.tell_overlays();
                self.scopes();
                Ok(())
            }
            Step::Seccomp { watch, nested, files } => return self.seccomp(*watch, *nested, *files),
            Step::Count { max } => {
                self.stands(Layer::ProcessLimit, format!("{max}, counted whenever one starts"));
                Ok(())
            }
            Step::Wall { readable, writable } => return self.wall(readable, writable),
            Step::Guard => self.guard(),
        };
        done.map_err(|errno| Fault::new(kind_of(step), step.to_string(), errno))
    }

    /// What is opened again goes to Belljar too, which lets the caller's own descriptor follow in the end.
    fn reopen(&mut self, strict: bool) -> Result<(), Fault> {
        for number in 0..=2 {
            let fault =
                |errno| Fault::new(FaultKind::Standard, format!("open descriptor {number} again, read-only"), errno);
            match reopen::file(number, strict) {
                Ok(None) => {}
                Ok(Some(fd)) => self.channel.send(&Up::Reopened { number }, Some(fd.as_fd())).map_err(fault)?,
                Err(errno) if strict => return Err(fault(errno)),
                Err(errno) => {
                    let why = format!("{}: {}", reopen::STAYS, errno.desc());
                    self.containment.missing.push(Gap { layer: Layer::MountNamespace, why });
                }
            }
        }
        Ok(())
    }

    /// By a control group; else by RLIMIT_NPROC, which since Linux 5.14 counts those of a user namespace but never holds
    /// for root of the host; else by the highest number a process may have, which is the pid namespace's own from Linux
    /// 6.14 on; else Belljar counts from outside. A program can see RLIMIT_NPROC, so where nobody asked, numbers come
    /// first.
    fn limit_processes(&mut self, max: u64, asked: bool, kept: Option<&str>) {
        // The lowest 300 numbers are given once only.
        const RESERVED_PIDS: u64 = 301;
        if self.ground.around.is_some() {
            return self.stands(Layer::ProcessLimit, "that of the jar around this one");
        }
        if let Some(kept) = kept {
            return self.stands(Layer::ProcessLimit, format!("{max}, by {kept}"));
        }
        // An ordinary user's map needs setgroups(2) denied, and nobody else's does.
        let host_root = !self.ground.identity.deny_setgroups;
        // Pid 1 is one of them.
        let by_user = || !host_root && lower_limit(Resource::RLIMIT_NPROC, max.saturating_add(1)).is_ok();
        // An older kernel takes it from root of the host, and it is the whole machine's there.
        let own = || uname().is_ok_and(|name| numbers_are_own(&name.release().to_string_lossy()));
        let set = || std::fs::write("/proc/sys/kernel/pid_max", max.saturating_add(RESERVED_PIDS).to_string());
        let numbers = || own() && set().is_ok();
        let how = if asked && by_user() {
            // The kernel tells nobody that it refused one.
            self.watch_forks = true;
            "by RLIMIT_NPROC"
        } else if numbers() {
            "by their numbers, of which 300 are given once only"
        } else if by_user() {
            "by RLIMIT_NPROC"
        } else {
            self.counted = true;
            "counted from outside, some forty times a second"
        };
        self.stands(Layer::ProcessLimit, format!("{max}, {how}"));
    }

    /// Belljar serves the sockets from outside, where the network is.
    fn network(&mut self, blocks: &[Block], over_udp: bool) -> Result<(), Errno> {
        self.check_network()?;
        let net::Opened { connections, datagrams, questions } = net::open(blocks, over_udp)?;
        for connections in &connections {
            self.channel.send(&Up::Connections, Some(connections.as_fd()))?;
        }
        for net::Datagrams { arrivals, replies } in &datagrams {
            self.channel.send(&Up::Arrivals, Some(arrivals.as_fd()))?;
            self.channel.send(&Up::Replies, Some(replies.as_fd()))?;
        }
        self.channel.send(&Up::Questions, Some(questions.as_fd()))?;
        let own = self.containment.active.iter_mut().filter(|state| state.layer == Layer::NetNamespace);
        own.for_each(|state| state.detail = "loopback, and what is allowed by name".to_owned());
        Ok(())
    }

    /// Without a network of its own, it would be the host's that is changed.
    fn check_network(&self) -> Result<(), Errno> {
        let own = self.containment.active.iter().any(|state| state.layer == Layer::NetNamespace);
        if own { Ok(()) } else { Err(Errno::ENONET) }
    }

    /// Only for what can be told afterwards: without a network namespace, or a free port in it, names stay unknown.
    fn questions(&self) -> Result<(), Errno> {
        match self.check_network().and_then(|()| net::refuser()) {
            Ok(questions) => self.channel.send(&Up::Questions, Some(questions.as_fd())),
            Err(_) => Ok(()),
        }
    }

    /// A FUSE connection belongs to the user namespace it was opened in, so Belljar cannot hand them in.
    fn connect(&mut self, max: usize) {
        for _ in 0..max {
            match open("/dev/fuse", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()) {
                Ok(connection) => self.connections.push(connection),
                Err(errno) => {
                    self.no_device = errno;
                    break;
                }
            }
        }
    }

    /// [`kernel_overlay`] where every mount is read-only already: overlayfs takes no upper layer on such a one, and keeps a
    /// private copy of the mount it was given. So the layer gets a mount of its own in the scratch, for that long.
    fn overlay(&self, index: usize, lower: &FilePath, upper: &FilePath, work: &FilePath) -> Result<OwnedFd, Errno> {
        let layer = upper.parent().ok_or(Errno::EINVAL)?;
        let at = FilePath::from(format!("layer-{index}").as_str());
        let inside =
            |path: &FilePath| Ok::<_, Errno>(at.join(path.strip_prefix(&layer).ok_or(Errno::EINVAL)?.as_os_str()));
        let (upper, work) = (inside(upper)?, inside(work)?);
        mkdirat(AT_FDCWD, at.as_path(), Mode::S_IRWXU)?;
        bind(&by_number(&self.open_host(&layer)?), &at)?;
        let made = writable_again(&at).and_then(|()| kernel_overlay(&self.open_host(lower)?, &upper, &work));
        umount2(at.as_path(), MntFlags::MNT_DETACH)?;
        made
    }

    /// A directory of the host, which may lie where the scratch is now; a relative path lies in that.
    fn open_host(&self, path: &FilePath) -> Result<OwnedFd, Errno> {
        self.open_under_scratch(path).unwrap_or_else(|| open_plainly(AT_FDCWD, path))
    }

    /// A directory of the host that the scratch hides, if it is one.
    fn open_under_scratch(&self, path: &FilePath) -> Option<Result<OwnedFd, Errno>> {
        let (under, rest) = (self.under_scratch.as_ref()?, path.strip_prefix(&FilePath::from(SCRATCH))?);
        let rest = if rest.as_bytes().is_empty() { FilePath::from(".") } else { rest };
        Some(open_plainly(under, &rest))
    }

    fn keep_part(&self, from: &FilePath, at: &FilePath) -> Result<(), Errno> {
        match self.open_under_scratch(from) {
            Some(directory) => bind(&by_number(&directory?), at),
            None => bind(from, at),
        }
    }

    /// A tmpfs on `/tmp`, which exists everywhere; the jar's own `/tmp` covers it in the end.
    fn mount_scratch(&mut self) -> Result<(), Errno> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let place = || open(SCRATCH, flags, Mode::empty());
        self.under_scratch = Some(place()?);
        let options = Some("mode=0755");
        mount(Some("belljar"), SCRATCH, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, options)?;
        let scratch = self.scratch.insert(place()?);
        fchdir(scratch)
    }

    /// Remembers a kernel overlay until its place is there; or that FUSE takes over, and why.
    fn keep(
        &mut self,
        index: usize,
        made: Result<OwnedFd, Errno>,
        or_fuse: bool,
        step: impl Fn() -> String,
    ) -> Result<(), Fault> {
        let made = match made {
            Err(errno) if !or_fuse => return Err(Fault::new(FaultKind::KernelOverlay, step(), errno)),
            made => made.map_err(|errno| format!("the kernel refused its overlay: {}", errno.desc())),
        };
        self.kernel.push((index, made));
        Ok(())
    }

    /// Mounts the overlay of a root by descriptor, on a directory that is reached without a symbolic link.
    fn root(&mut self, index: usize, at: &FilePath) -> Result<(), Fault> {
        let fault = |kind, errno| Fault::new(kind, format!("open the writable root {at}"), errno);
        let target = open_plainly(AT_FDCWD, at).map_err(|errno| fault(FaultKind::Root, errno))?;
        let kernel = self.kernel.iter().position(|(of, _)| *of == index).map(|place| self.kernel.swap_remove(place).1);
        match kernel {
            Some(Ok(mount)) => self.put(index, at, &mount, &target),
            Some(Err(why)) => self.fuse(index, at, &target, Some(why)),
            None => self.fuse(index, at, &target, None),
        }
    }

    fn put(&mut self, index: usize, at: &FilePath, mount: &OwnedFd, target: &OwnedFd) -> Result<(), Fault> {
        let fault =
            |errno| Fault::new(FaultKind::KernelOverlay, format!("mount kernel overlay {index} on {at}"), errno);
        sys::attach_mount(mount.as_fd(), target.as_fd()).map_err(fault)?;
        let sent = self.channel.send(&Up::Kernel { index }, None);
        sent.map_err(|errno| Fault::new(FaultKind::Other, "tell of the kernel overlay", errno))?;
        self.unserved += 1;
        self.kept += 1;
        Ok(())
    }

    fn fuse(&mut self, index: usize, at: &FilePath, target: &OwnedFd, instead: Option<String>) -> Result<(), Fault> {
        let fault = |kind, errno| Fault::new(kind, format!("open the writable root {at}"), errno);
        let device = self.connections.pop().ok_or_else(|| fault(FaultKind::FuseDevice, self.no_device))?;
        let mounted = fchdir(target).and_then(|()| mount_fuse(&device)).and_then(|()| self.back_to_scratch());
        mounted.map_err(|errno| Fault::new(FaultKind::FuseMount, format!("mount overlay {index} on {at}"), errno))?;
        let sent = self.channel.send(&Up::Root { index, instead }, Some(device.as_fd()));
        sent.map_err(|errno| Fault::new(FaultKind::Other, "send the FUSE connection", errno))?;
        self.unserved += 1;
        self.served += 1;
        Ok(())
    }

    /// Without a proc(5) of its own the jar keeps that of the jar around it. None inside may trace a process outside: their
    /// user namespaces differ, and Landlock forbids it; so one of root shows the jar its own processes alone, by the
    /// numbers they have in the outer jar. It is not handed to Belljar, because FUSE names processes by others.
    fn proc(&mut self, at: &FilePath, or_outer: bool, traceable: bool) -> Result<(), Errno> {
        match proc(at, traceable) {
            Err(Errno::EPERM) if or_outer => {
                writable_again(at)?;
                if stat(at.join("1").as_path()).is_ok() {
                    self.containment.missing.push(Gap { layer: Layer::PidNamespace, why: OUTER_PROC.to_owned() });
                }
                let own = self.containment.active.iter_mut().filter(|state| state.layer == Layer::PidNamespace);
                own.for_each(|state| state.detail = OUTER_NUMBERS.to_owned());
                Ok(())
            }
            done => done.and_then(|()| self.show_processes(at)),
        }
    }

    /// Belljar gets to see the jar's processes by the numbers they have inside, which is how FUSE names them.
    fn show_processes(&self, at: &FilePath) -> Result<(), Errno> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let proc = open(at.as_path(), flags, Mode::empty())?;
        self.channel.send(&Up::Processes, Some(proc.as_fd()))
    }

    /// By a kernel overlay of whiteouts over the directory (Linux 5.11 allows that in a user namespace); where there is
    /// none, by a mask on each name, and then the containment says what that is worth.
    fn without(&mut self, at: &FilePath, names: &[FilePath], from: &FilePath) -> Result<(), Errno> {
        stat(at.as_path())?;
        mkdirat(AT_FDCWD, from.as_path(), Mode::from_bits_truncate(0o755))?;
        for name in names {
            let whiteout = from.join(name.as_os_str());
            mknodat(AT_FDCWD, whiteout.as_path(), SFlag::S_IFCHR, Mode::empty(), makedev(0, 0))?;
        }
        if hide_names(at, from).is_ok() {
            return Ok(());
        }
        let view = self.containment.active.iter_mut().filter(|state| state.layer == Layer::MountNamespace);
        view.for_each(|state| state.detail = MASKED_VIEW.to_owned());
        names.iter().try_for_each(|name| or_out_of_reach(mask(&at.join(name.as_os_str()))))
    }

    fn back_to_scratch(&self) -> Result<(), Errno> {
        self.scratch.as_ref().map_or(Ok(()), fchdir)
    }

    /// Blocks until Belljar has answered for each root. If it cannot, it closes the socket instead.
    fn await_roots(&mut self) -> Result<(), Errno> {
        while self.unserved > 0 {
            self.hear()?;
        }
        Ok(())
    }

    /// Blocks until the command may begin, likewise.
    fn await_go(&mut self) -> Result<(), Errno> {
        while !self.go {
            self.hear()?;
        }
        Ok(())
    }

    /// Leave may be given before the last root is served.
    fn hear(&mut self) -> Result<(), Errno> {
        match self.channel.receive::<Down>()? {
            Some((Down::Served, _)) => self.unserved = self.unserved.saturating_sub(1),
            Some((Down::Go, _)) => self.go = true,
            Some(_) => {}
            None => return Err(Errno::EPIPE),
        }
        Ok(())
    }

    /// The overlays stand.
    fn tell_overlays(&mut self) {
        let words = [("fuse", self.served), ("kernel", self.kept)];
        let words =
            words.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name}, {count} writable"));
        let words: Vec<String> = words.collect();
        if !words.is_empty() {
            self.stands(Layer::Overlay, words.join("; "));
        }
    }

    fn landlock(&mut self, writable: &[FilePath]) -> Result<(), Fault> {
        self.tell_overlays();
        let done = sys::landlock_abi().and_then(|abi| ruleset::restrict(writable, abi));
        match done {
            Ok(detail) => self.stands(Layer::Landlock, detail),
            Err(errno) => self.lacks(Layer::Landlock, "restrict writes with landlock", errno)?,
        }
        Ok(())
    }

    /// What is left of Landlock where its rules on files are given up; that is on record already.
    fn scopes(&mut self) {
        match sys::landlock_abi().and_then(ruleset::restrict_scopes) {
            Ok(detail) => self.stands(Layer::Landlock, detail),
            Err(errno) => {
                let why = format!("signals and abstract sockets are not held inside: {}", errno.desc());
                self.containment.missing.push(Gap { layer: Layer::Landlock, why });
            }
        }
    }

    /// The one lock on files where there is no view: nobody can do without it.
    fn wall(&mut self, readable: &[FilePath], writable: &[FilePath]) -> Result<(), Fault> {
        const STEP: &str = "restrict reads and writes with landlock";
        let needed = |errno| Fault::new(FaultKind::Landlock, STEP, errno);
        let abi = sys::landlock_abi().map_err(needed)?;
        if abi < wall::SCOPES_SINCE {
            self.lacks(Layer::Landlock, "keep signals and abstract sockets inside (Linux 6.12)", Errno::EOPNOTSUPP)?;
        }
        let detail = wall::restrict(readable, writable, abi).map_err(needed)?;
        self.stands(Layer::Landlock, detail);
        self.stands(Layer::Overlay, format!("copies, {} writable", writable.len().saturating_sub(1)));
        Ok(())
    }

    fn guard(&mut self) -> Result<(), Errno> {
        self.watch = Some(sys::install_filter_with_listener(&seccomp::guarded_program())?);
        self.stands(Layer::Seccomp, "with a supervisor");
        self.stands(Layer::NetworkWatch, "by the supervisor");
        Ok(())
    }

    fn drop_privileges(&mut self) -> Result<(), Errno> {
        prctl::set_no_new_privs()?;
        self.stands(Layer::NoNewPrivs, "");
        let emptied = sys::clear_bounding_set().and_then(|known| sys::lock_securebits().map(|()| known));
        let emptied = match emptied {
            // Who has no capability of his own needs none to lose any: without new privileges none comes back.
            Err(Errno::EPERM) if self.ground.tier == Tier::T2 => None,
            emptied => Some(emptied?),
        };
        sys::clear_capabilities()?;
        let Some(known) = emptied else {
            self.stands(Layer::NoCapabilities, "");
            return Ok(());
        };
        self.stands(Layer::NoCapabilities, format!("{known} dropped, securebits locked"));
        Ok(())
    }

    fn seccomp(&mut self, watch: bool, nested: bool, files: bool) -> Result<(), Fault> {
        const STEP: &str = "install the system call filter";
        let filter = if nested { "open for jars inside" } else { "" };
        if watch {
            match sys::install_filter_with_listener(&seccomp::watching(nested, files, self.watch_forks)) {
                Ok(listener) => {
                    self.watch = Some(listener);
                    self.stands(Layer::Seccomp, filter);
                    self.stands(Layer::NetworkWatch, "");
                    return Ok(());
                }
                Err(errno) => self.lacks(Layer::NetworkWatch, "watch network calls", errno)?,
            }
        }
        match sys::install_filter(&seccomp::program(nested)) {
            Ok(()) => self.stands(Layer::Seccomp, filter),
            Err(errno) => self.lacks(Layer::Seccomp, STEP, errno)?,
        }
        Ok(())
    }
}

/// Whether a pid namespace has a highest number of its own: from Linux 6.14 on. What cannot be read has not.
fn numbers_are_own(release: &str) -> bool {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0u32));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (6, 14)
}

fn kind_of(step: &Step) -> FaultKind {
    match step {
        Step::Network { .. } | Step::Questions => FaultKind::Network,
        Step::Loopback | Step::Seal | Step::Scratch | Step::ScratchSize { .. } => FaultKind::View,
        Step::Proc { .. } => FaultKind::Proc,
        Step::Enter { .. } => FaultKind::Cwd,
        _ => FaultKind::Other,
    }
}

fn or_absent(done: Result<(), Errno>) -> Result<(), Errno> {
    match done {
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(()),
        done => done,
    }
}

/// What this process cannot reach with every capability in the namespace, the command cannot reach without any.
fn or_out_of_reach(done: Result<(), Errno>) -> Result<(), Errno> {
    match done {
        Err(Errno::EACCES | Errno::ELOOP) => Ok(()),
        done => or_absent(done),
    }
}

/// A limit is only ever lowered; one that is lower already stays.
fn lower_limit(resource: Resource, max: u64) -> Result<(), Errno> {
    let (_, hard) = getrlimit(resource)?;
    let max = max.min(hard);
    setrlimit(resource, max, max)
}

fn loopback() -> Result<(), Errno> {
    let any = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    sys::loopback_up(any.as_fd())
}

fn seal() -> Result<(), Errno> {
    let set = sys::MOUNT_ATTR_RDONLY | sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NODEV;
    let attr = sys::MountAttr { set, propagation: MsFlags::MS_PRIVATE.bits(), ..Default::default() };
    sys::mount_setattr(c"/", attr, true)
}

/// The scratch is the working directory.
fn limit_scratch(max: u64) -> Result<(), Errno> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(NOTHING, ".", NOTHING, flags, Some(format!("size={max}").as_str()))
}

/// A directory, reached from `from` without a link.
fn open_plainly(from: impl AsFd, at: &FilePath) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    match openat2(&from, at.as_path(), how) {
        // In a jar: where its arguments lie no filter can look, so there it does not exist.
        Err(Errno::ENOSYS) => walk_to(from, at),
        opened => opened,
    }
}

/// What openat2(2) does in [`open_plainly`], a name at a time.
fn walk_to(from: impl AsFd, at: &FilePath) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut dir = openat(from, ".", flags, Mode::empty())?;
    for part in at.as_path().components() {
        match part {
            Component::CurDir => {}
            Component::RootDir => dir = open("/", flags, Mode::empty())?,
            Component::Normal(name) => dir = openat(&dir, name, flags, Mode::empty())?,
            _ => return Err(Errno::EINVAL),
        }
    }
    Ok(dir)
}

/// overlayfs of these layers, mounted nowhere yet. `userxattr`, because a user namespace may write no other attributes.
/// Nothing that this format has no mark for is switched on. `volatile`: without it the end of every jar would write the
/// whole file system of the upper layer to its disk.
fn kernel_overlay(lower: &OwnedFd, upper: &FilePath, work: &FilePath) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let own = |path: &FilePath| open(path.as_path(), flags, Mode::empty());
    let (upper, work) = (own(upper)?, own(work)?);
    let context = sys::fsopen(c"overlay")?;
    let set = |key, value: &FilePath| sys::fsconfig(context.as_fd(), key, Some(&c_string(value)?));
    let (lower, upper, work) = (by_number(lower), by_number(&upper), by_number(&work));
    set(c"source", &"belljar".into())?;
    set(c"lowerdir", &lower)?;
    set(c"upperdir", &upper)?;
    set(c"workdir", &work)?;
    set(c"index", &"off".into())?;
    set(c"metacopy", &"off".into())?;
    set(c"redirect_dir", &"nofollow".into())?;
    sys::fsconfig(context.as_fd(), c"userxattr", None)?;
    sys::fsconfig(context.as_fd(), c"volatile", None)?;
    sys::fsmount(context.as_fd(), sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NODEV)
}

/// Such a name needs no escaping, whatever the path looks like.
fn by_number(fd: &OwnedFd) -> FilePath {
    FilePath::from(format!("/proc/self/fd/{}", fd.as_raw_fd()).as_str())
}

fn create(at: &FilePath, mode: u32) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    open(at.as_path(), flags, Mode::from_bits_truncate(mode))
}

fn bind(from: &FilePath, at: &FilePath) -> Result<(), Errno> {
    mount(Some(from.as_path()), at.as_path(), NOTHING, MsFlags::MS_BIND | MsFlags::MS_REC, NOTHING)
}

fn read_only(at: &FilePath) -> Result<(), Errno> {
    let attr = sys::MountAttr { set: sys::MOUNT_ATTR_RDONLY, ..Default::default() };
    sys::mount_setattr(&c_string(at)?, attr, true)
}

/// What [`seal`] took, for this mount and none below it.
fn writable_again(at: &FilePath) -> Result<(), Errno> {
    let attr = sys::MountAttr { clear: sys::MOUNT_ATTR_RDONLY, ..Default::default() };
    sys::mount_setattr(&c_string(at)?, attr, false)
}

fn allow_devices(at: &FilePath) -> Result<(), Errno> {
    let attr = sys::MountAttr { clear: sys::MOUNT_ATTR_NODEV, ..Default::default() };
    sys::mount_setattr(&c_string(at)?, attr, true)
}

fn c_string(path: &FilePath) -> Result<CString, Errno> {
    CString::new(path.as_bytes()).map_err(|_| Errno::EINVAL)
}

fn terminals(at: &FilePath) -> Result<(), Errno> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount(Some("devpts"), at.as_path(), Some("devpts"), flags, Some("newinstance,ptmxmode=0666,mode=0620"))
}

fn proc(at: &FilePath, traceable: bool) -> Result<(), Errno> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = traceable.then_some("hidepid=ptraceable");
    mount(Some("proc"), at.as_path(), Some("proc"), flags, options)
}

fn mask(at: &FilePath) -> Result<(), Errno> {
    let kind = SFlag::from_bits_truncate(stat(at.as_path())?.st_mode & SFlag::S_IFMT.bits());
    let empty = if kind == SFlag::S_IFDIR { EMPTY_DIRECTORY } else { EMPTY_FILE };
    bind(&FilePath::from(empty), at)
}

/// overlayfs without an upper layer: read-only, the whiteouts of `from` over `at`.
fn hide_names(at: &FilePath, from: &FilePath) -> Result<(), Errno> {
    let layers = [b"lowerdir=".as_slice(), from.as_bytes(), b":", at.as_bytes()].concat();
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("belljar"), at.as_path(), Some("overlay"), flags, Some(layers.as_slice()))
}

/// Mounts FUSE on the working directory; fuse(4) with the kernel's own permission checks, seen by every user inside.
fn mount_fuse(device: &OwnedFd) -> Result<(), Errno> {
    const ROOT_MODE: SFlag = SFlag::S_IFDIR;
    let (uid, gid) = (geteuid(), getegid());
    let options = format!(
        "fd={},rootmode={:o},user_id={uid},group_id={gid},default_permissions,allow_other",
        device.as_raw_fd(),
        ROOT_MODE.bits()
    );
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("belljar"), ".", Some("fuse"), flags, Some(options.as_str()))
}

#[cfg(test)]
mod tests {
    use super::numbers_are_own;

    #[test]
    fn the_highest_number_is_set_only_where_it_is_the_namespaces_own() {
        for (release, own) in [
            ("6.18.44-fc", true),
            ("6.14.0", true),
            ("6.14-rc1", true),
            ("7.3.4+deb13-cloud-amd64", true),
            ("10.0", true),
            ("6.13.12", false),
            ("6.1.0-50-cloud-amd64", false),
            ("5.15.0-139-generic", false),
            ("6", false),
            ("", false),
        ] {
            assert_eq!(numbers_are_own(release), own, "{release}");
        }
    }
}
