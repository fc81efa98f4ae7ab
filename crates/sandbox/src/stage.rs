//! The stage: a copy of Belljar, or Belljar executed again with an empty environment, single-threaded, to make the
//! namespaces. It forks the jar's pid 1 as its own sibling, writes the identity maps from outside (which root's map
//! needs), and is gone.
//!
//! What a copy has in memory is out of the jar's sight: pid 1 is not dumpable before there is anybody to look, so proc(5)
//! shows none of it to who has no capability over the user namespace in which Belljar was executed. What proc(5) shows of
//! such a process all the same, its command line, is overwritten, and with it the environment.

use crate::around;
use crate::bare::keeper;
use crate::facts::IdRange;
use crate::init;
use crate::perform::Executor;
use crate::plan::{Ground, Identity, Plan, Step};
use crate::seccomp;
use crate::sys;
use crate::wire::{Channel, Down, Fault, FaultKind, Up};
use model::{Layer, Tier};
use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::sys::stat::fstat;
use nix::unistd::{Pid, pipe2, read, write};
use serde::de::DeserializeOwned;
use std::os::fd::{OwnedFd, RawFd};

/// How the stage recognises itself.
pub(crate) const STAGE_NAME: &std::ffi::CStr = c"belljar-stage";
/// Where it finds the socket to Belljar.
pub(crate) const CONTROL_FD: RawFd = 3;
/// Where it finds the ground to make.
pub(crate) const GROUND_FD: RawFd = 4;
/// The first descriptor that nobody meant it to have.
const FIRST_STRAY: u32 = 5;
/// A plan holds the environment and the arguments, which the kernel bounds at a quarter of an 8 MiB stack by default,
/// six bytes for each at worst.
const PLAN_BYTES_MAX: usize = 64 << 20;

/// Must be the first line of `main`. Returns at once in an ordinary process and never in a stage.
pub fn stage_entry() {
    // A caller that ignores it would have the kernel reap in our place: no status of a child would come, and pid 1 of a
    // jar would never hear that its command ended.
    // It cannot fail for a signal that exists.
    let _ = sys::default_signal(libc::SIGCHLD);
    let mut arguments = std::env::args_os();
    if arguments.next().is_some_and(|name| name.as_encoded_bytes() == STAGE_NAME.to_bytes()) {
        sys::leave(run());
    }
}

/// The stage in a copy of Belljar, to which everything but `control` and the standard descriptors, as given by `streams`,
/// is foreign; the code it leaves with.
pub(crate) fn forked(ground: &Ground, control: RawFd, streams: &[(i32, RawFd)]) -> i32 {
    // The caller's signals are the caller's.
    sys::release_signal_pipe();
    let mut moved = streams.iter().copied().chain([(CONTROL_FD, control)]);
    let alone = moved.try_for_each(|(to, from)| sys::duplicate(from, to));
    let alone = alone.and_then(|()| sys::close_from(CONTROL_FD.cast_unsigned() + 1));
    let alone = alone.and_then(|()| sys::cloexec(CONTROL_FD)).and_then(|()| sys::forget_arguments());
    let channel = Channel::from_socket(sys::adopt(CONTROL_FD));
    let fault = |errno| Fault::new(FaultKind::Other, "leave what is the caller's", errno);
    told(&channel, alone.map_err(fault).and_then(|()| build(&channel, ground)))
}

fn run() -> i32 {
    if let Err(errno) = close_strays() {
        eprintln!("belljar-stage: {}: this name is for Belljar's own use", errno.desc());
        return 125;
    }
    let channel = Channel::from_socket(sys::adopt(CONTROL_FD));
    let ground = read_file::<Ground>(&sys::adopt(GROUND_FD));
    if let Ok(ground) = ground.as_ref()
        && ground.tier == Tier::T2
    {
        return keeper::run(channel, ground);
    }
    told(&channel, ground.and_then(|ground| build(&channel, &ground)))
}

fn told(channel: &Channel, built: Result<(), Fault>) -> i32 {
    match built {
        Ok(()) => 0,
        Err(fault) => {
            // If Belljar is gone, nobody wants to know.
            let _ = channel.send(&Up::Failed { fault }, None);
            125
        }
    }
}

/// Nothing but the standard descriptors, the socket and the ground is inherited, and those two go no further.
fn close_strays() -> Result<(), Errno> {
    sys::close_from(FIRST_STRAY)?;
    sys::cloexec(CONTROL_FD)?;
    sys::cloexec(GROUND_FD)
}

pub(crate) fn read_file<T: DeserializeOwned>(fd: &OwnedFd) -> Result<T, Fault> {
    let fault = |errno| Fault::new(FaultKind::Other, "read the plan", errno);
    let size = usize::try_from(fstat(fd).map_err(fault)?.st_size).unwrap_or(usize::MAX);
    if size > PLAN_BYTES_MAX {
        return Err(fault(Errno::E2BIG));
    }
    let mut bytes = vec![0u8; size];
    let length = nix::sys::uio::pread(fd, &mut bytes, 0).map_err(fault)?;
    bytes.truncate(length);
    serde_json::from_slice(&bytes).map_err(|_| fault(Errno::EPROTO))
}

/// Makes the namespaces. In the stage it returns when pid 1 is on its way; in pid 1 it does not return.
fn build(channel: &Channel, ground: &Ground) -> Result<(), Fault> {
    let plain = |errno| Fault::new(FaultKind::Other, "make a pipe", errno);
    let (mapped, map) = pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(plain)?;
    let (child, missing) = make_namespaces(ground)?;
    match child {
        Some(pid) => {
            drop(mapped);
            introduce(channel, ground, pid, &map)
        }
        None => {
            drop(map);
            sys::leave(first_process(channel, ground, &mapped, &missing))
        }
    }
}

/// A namespace that could not be made, and why.
type Missing = Vec<(Layer, Errno)>;

/// Through the door of the jar around this one, if there is one, and then all at once; if that is refused and some may be missing, without those.
fn make_namespaces(ground: &Ground) -> Result<(Option<Pid>, Missing), Fault> {
    let fault = |errno| Fault::new(FaultKind::Namespaces, "make namespaces", errno);
    let door = ground.around.as_ref().and_then(|around| around.door.as_ref());
    door.map_or(Ok(()), around::enter).map_err(fault)?;
    let flags = |layers: &mut dyn Iterator<Item = &Layer>| layers.fold(0, |flags, layer| flags | clone_flag(*layer));
    let whole = flags(&mut ground.namespaces.iter());
    // A sibling, not a child: Belljar itself waits for pid 1, and the stage can go.
    let errno = match sys::clone_process(whole | libc::CLONE_PARENT | libc::SIGCHLD) {
        Ok(child) => return Ok((child, Vec::new())),
        Err(errno) => errno,
    };
    let accepted: Vec<Layer> = ground.namespaces.iter().copied().filter(|layer| may_lack(ground, *layer)).collect();
    if accepted.is_empty() {
        return Err(refused(errno));
    }
    let rest = flags(&mut ground.namespaces.iter().filter(|layer| !accepted.contains(layer)));
    let child = sys::clone_process(rest | libc::CLONE_PARENT | libc::SIGCHLD).map_err(refused)?;
    Ok((child, accepted.into_iter().map(|layer| (layer, errno)).collect()))
}

/// Another one that is missing than those below may be given up by name.
fn refused(errno: Errno) -> Fault {
    let kind = if has_least() { FaultKind::Namespaces } else { FaultKind::Withheld };
    Fault::new(kind, "make namespaces", errno)
}

/// Whether those can be had without which nothing can be built.
fn has_least() -> bool {
    match sys::clone_process(libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::SIGCHLD) {
        Ok(None) => sys::leave(0),
        Ok(Some(child)) => {
            while sys::wait(child.as_raw(), 0) == Err(Errno::EINTR) {}
            true
        }
        Err(_) => false,
    }
}

/// Without user, mount and pid namespaces nothing of the view can be built.
fn may_lack(ground: &Ground, layer: Layer) -> bool {
    Layer::MAY_LACK.contains(&layer) && ground.accept_weak.contains(&layer)
}

fn clone_flag(layer: Layer) -> i32 {
    match layer {
        Layer::UserNamespace => libc::CLONE_NEWUSER,
        Layer::MountNamespace => libc::CLONE_NEWNS,
        Layer::PidNamespace => libc::CLONE_NEWPID,
        Layer::IpcNamespace => libc::CLONE_NEWIPC,
        Layer::UtsNamespace => libc::CLONE_NEWUTS,
        Layer::NetNamespace => libc::CLONE_NEWNET,
        Layer::CgroupNamespace => libc::CLONE_NEWCGROUP,
        _ => 0,
    }
}

/// Tells Belljar of pid 1, gives it its ids, lets it go on.
fn introduce(channel: &Channel, ground: &Ground, pid: Pid, map: &OwnedFd) -> Result<(), Fault> {
    let other = |errno| Fault::new(FaultKind::Other, "introduce pid 1", errno);
    channel.send(&Up::Born { pid: pid.as_raw() }, None).map_err(other)?;
    if ground.around.is_none() {
        write_identity(&ground.identity, &pid.to_string()).map_err(not_mapped)?;
    }
    write(map, &[1]).map_err(other).map(drop)
}

fn not_mapped(errno: Errno) -> Fault {
    Fault::new(FaultKind::IdentityMap, "map ids", errno)
}

/// `of` is a number in proc(5), or `self`.
pub(crate) fn write_identity(identity: &Identity, of: &str) -> Result<(), Errno> {
    let file = |name: &str, text: &str| {
        let written = std::fs::write(format!("/proc/{of}/{name}"), text);
        written.map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    };
    if identity.deny_setgroups {
        file("setgroups", "deny")?;
    }
    file("uid_map", &map_text(&identity.uids))?;
    file("gid_map", &map_text(&identity.gids))
}

fn map_text(ranges: &[IdRange]) -> String {
    ranges.iter().map(|range| format!("{} {} {}\n", range.first, range.first, range.count)).collect()
}

/// Pid 1 of the jar, from its first breath to its exit code.
fn first_process(channel: &Channel, ground: &Ground, mapped: &OwnedFd, missing: &Missing) -> i32 {
    let mut executor = Executor::new(channel, ground);
    let begun = take_identity(ground, mapped).and_then(|()| begin(&mut executor, ground, missing));
    let ready = begun.and_then(|()| wait_for_plan(channel)).and_then(|plan| {
        let absent = init::absent(&plan);
        let signals = furnish(&mut executor, &plan)?;
        Ok((plan, absent, signals))
    });
    match ready {
        Ok((plan, absent, (mask, sigchld))) => {
            // Nobody reads the code: after an error Belljar sees the socket close without an `Ended`.
            init::run(channel, &plan, &absent, executor, &mask, &sigchld).map_or(125, |()| 0)
        }
        Err(fault) => {
            // If Belljar is gone, nobody wants to know.
            let _ = channel.send(&Up::Failed { fault }, None);
            125
        }
    }
}

/// The namespaces stand; what is to happen in them may still be under decision. It ends when Belljar is gone or has
/// decided against it.
pub(crate) fn wait_for_plan(channel: &Channel) -> Result<Plan, Fault> {
    let fault = |errno| Fault::new(FaultKind::Other, "wait for the plan", errno);
    match channel.receive::<Down>().map_err(fault)? {
        Some((Down::Plan, Some(fd))) => read_file(&fd),
        Some(_) => Err(fault(Errno::EPROTO)),
        None => Err(fault(Errno::EPIPE)),
    }
}

/// In a jar inside a jar this process maps itself, as everybody may map the own id: from outside that is done by number,
/// and proc(5) may have other numbers there.
fn take_identity(ground: &Ground, mapped: &OwnedFd) -> Result<(), Fault> {
    wait_for_identity(mapped)?;
    match ground.around.is_some() {
        true => write_identity(&ground.identity, "self").map_err(not_mapped),
        false => Ok(()),
    }
}

/// An end without a byte means that the stage failed and has said why; Belljar has closed or will close the socket.
fn wait_for_identity(mapped: &OwnedFd) -> Result<(), Fault> {
    let fault = |errno| Fault::new(FaultKind::IdentityMap, "wait for ids", errno);
    match read(mapped, &mut [0u8; 1]) {
        Ok(1) => Ok(()),
        Ok(_) => Err(fault(Errno::EPERM)),
        Err(errno) => Err(fault(errno)),
    }
}

/// What can be done before there is a plan.
fn begin(executor: &mut Executor<'_>, ground: &Ground, missing: &Missing) -> Result<(), Fault> {
    for layer in ground.namespaces.iter().filter(|layer| **layer != Layer::MountNamespace) {
        match missing.iter().find(|(lost, _)| lost == layer) {
            Some((_, errno)) => executor.lacks(*layer, "make namespaces", *errno)?,
            None => executor.stands(*layer, detail(*layer, &ground.identity)),
        }
    }
    if ground.around.is_some() {
        executor.stands(Layer::CgroupNamespace, "that of the jar around this one");
    }
    perform(executor, &ground.steps)?;
    seccomp::prepare();
    Ok(())
}

/// Modes are meant as the steps say.
fn perform(executor: &mut Executor<'_>, steps: &[Step]) -> Result<(), Fault> {
    let umask = nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    executor.perform(steps)?;
    nix::sys::stat::umask(umask);
    Ok(())
}

/// Builds the rest of the jar around this process. Returns the signal mask the command gets and the one pid 1 listens with.
fn furnish(executor: &mut Executor<'_>, plan: &Plan) -> Result<(SigSet, SigSet), Fault> {
    describe(executor, plan);
    perform(executor, &plan.steps)?;
    init::listen().map_err(|errno| Fault::new(FaultKind::Other, "prepare pid 1", errno))
}

/// What is known before the first step.
pub(crate) fn describe(executor: &mut Executor<'_>, plan: &Plan) {
    executor.containment.missing.extend(plan.gaps.iter().cloned());
    executor.stands(Layer::CleanDescriptors, "");
}

fn detail(layer: Layer, identity: &Identity) -> &'static str {
    match layer {
        Layer::UserNamespace if identity.deny_setgroups => "own id only",
        Layer::UserNamespace => "all ids, as outside",
        Layer::NetNamespace => "loopback only",
        _ => "",
    }
}
