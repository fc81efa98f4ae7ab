//! The network watch: sees whom the command tries to reach, and asked for it, which files. There it only looks: the answer is
//! "go on", and what refuses is the empty network namespace and the view, so a peer or a path that changes after it was read
//! changes a record, never a right. Asked for files, it also refuses what the filter would, by the same table, to tell of it:
//! that goes by the numbers in registers, which nobody can change behind its back.

use crate::crowd::Crowd;
use crate::files::{self, Bounds};
use crate::net::{NONE, NOT_ALLOWED};
use crate::refusals::Refusals;
use crate::seccomp;
use crate::seccomp::table::{self, Rule, Verdict};
use crate::sys;
use model::{Action, Attempt, Block, Endpoint, FilePath, PathScope, Protocol, Target};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::JoinHandle;

/// `struct sockaddr_in6`, the longest address of interest.
const ADDRESS_BYTES_MAX: usize = 28;

/// The supervisor's end of the filter.
pub(crate) struct Watch {
    listener: Option<OwnedFd>,
    /// What leads to the broker, which keeps its own record.
    carried: Vec<Block>,
    seen: Refusals,
    /// Files and refused calls, where they are watched too.
    observing: Option<Observing>,
    /// Processes that begin, likewise.
    crowd: Option<Crowd>,
}

/// The file watch.
pub(crate) struct Observing {
    bounds: Bounds,
    /// The table that the filter was made from: what of it is refused is refused here.
    rules: Vec<Rule>,
    /// Apart from peers, so that neither takes the other's room.
    seen: Refusals,
}

/// The rule by which a system call is refused.
const CALLS: &str = "calls/refused";

impl Observing {
    pub(crate) fn new(bounds: Bounds, nested: bool) -> Observing {
        Observing { bounds, rules: seccomp::observing(nested), seen: Refusals::default() }
    }

    /// The errno a call is refused with, if it is. Its arguments are those the kernel took from the registers, and not what
    /// they point to, so nobody can change them behind our back.
    fn refuses(&mut self, event: &libc::seccomp_notif) -> Option<i32> {
        let call = event.data.nr.cast_unsigned();
        match table::verdict(&self.rules, call, &event.data.args) {
            Some(Verdict::Watch | Verdict::Allow) => None,
            Some(Verdict::Tell(errno) | Verdict::Fail(errno)) => {
                let what = seccomp::name(call)
                    .map_or_else(|| format!("system call {call}"), |name| format!("the system call {name}"));
                self.seen.note_as(Action::Privilege, Target::Thing { what }, CALLS);
                Some(errno)
            }
            None if Crowd::is_fork(event.data.nr) => None,
            // Nothing else that is allowed is reported.
            None => Some(libc::EPERM),
        }
    }

    fn note(&mut self, refused: Vec<(Action, FilePath, String)>) {
        for (action, path, rule) in refused {
            self.seen.note_as(action, Target::Path { path, scope: PathScope::Exact }, &rule);
        }
    }
}

impl Watch {
    pub(crate) fn new(listener: OwnedFd, carried: Vec<Block>, observing: Option<Observing>) -> Watch {
        Watch { listener: Some(listener), carried, seen: Refusals::default(), observing, crowd: None }
    }

    /// Also tells whether the limit on processes was met.
    pub(crate) fn counting(self, crowd: Option<Crowd>) -> Watch {
        Watch { crowd, ..self }
    }

    /// Whether it was, since this was last asked.
    pub(crate) fn crowded(&mut self) -> bool {
        self.crowd.as_mut().is_some_and(Crowd::take)
    }

    /// What to poll, as long as somebody can call.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(AsFd::as_fd)
    }

    /// Nobody is left to watch; what was seen stays.
    pub(crate) fn close(mut self) -> Watch {
        self.listener = None;
        self
    }

    /// Handles one call. False when the last process under the filter is gone.
    pub(crate) fn look(&mut self) -> bool {
        // To receive blocks where nobody calls; before Linux 6.11 for ever, where nobody is left.
        let events = self.events();
        if !events.contains(PollFlags::POLLIN) {
            return !events.contains(PollFlags::POLLHUP);
        }
        let Some(listener) = &self.listener else {
            return false;
        };
        let event = match sys::notification(listener.as_fd()) {
            Ok(event) => event,
            // The caller was killed between poll and here, or poll saw the end: ask poll again, which knows.
            Err(Errno::ENOENT | Errno::EINTR) => return !self.events().contains(PollFlags::POLLHUP),
            Err(_) => return false,
        };
        if let Some(errno) = self.observing.as_mut().and_then(|observing| observing.refuses(&event)) {
            // Fails when the caller was killed meanwhile, which answers it too.
            let _ = sys::answer_notification(listener.as_fd(), event.id, Err(Errno::from_raw(errno)));
            return true;
        }
        if Crowd::is_fork(event.data.nr) {
            self.crowd.iter_mut().for_each(Crowd::grows);
        }
        let network = matches!(i64::from(event.data.nr), libc::SYS_connect | libc::SYS_sendto);
        let target = if network { peer(&event, &self.carried) } else { None };
        let files = self.observing.as_ref().map(|observing| files::refused(&event, &observing.bounds));
        let stands = sys::notification_stands(listener.as_fd(), event.id);
        // Fails when the caller was killed meanwhile, which answers it too.
        let _ = sys::continue_notification(listener.as_fd(), event.id);
        if !stands {
            return true;
        }
        target.into_iter().for_each(|target| self.note(target));
        if let Some((observing, files)) = self.observing.as_mut().zip(files) {
            observing.note(files);
        }
        true
    }

    /// Looks from a thread of its own, until nobody can call any more. In a jar that allows others inside a command can
    /// have a FUSE file system, and with it memory that never comes when it is read: whoever reads it then cannot even be
    /// killed before the jar is. That must not be the thread that passes signals on and whose end ends the jar.
    pub(crate) fn apart(mut self) -> io::Result<JoinHandle<Watch>> {
        std::thread::Builder::new().name("network-watch".into()).spawn(move || {
            while let Some(fd) = self.descriptor() {
                let polled = poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::NONE);
                if polled.is_ok() && !self.look() {
                    break;
                }
            }
            self.close()
        })
    }

    /// Whether somebody calls, and whether nobody is left. What cannot be asked is over.
    fn events(&self) -> PollFlags {
        let Some(fd) = self.descriptor() else {
            return PollFlags::POLLHUP;
        };
        let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
        let polled = poll(&mut fds, PollTimeout::ZERO);
        let [fd] = fds;
        match polled {
            Ok(_) => fd.revents().unwrap_or(PollFlags::POLLHUP),
            Err(Errno::EINTR) => PollFlags::empty(),
            Err(_) => PollFlags::POLLHUP,
        }
    }

    fn note(&mut self, target: Target) {
        let rule = if self.carried.is_empty() { NONE } else { NOT_ALLOWED };
        self.seen.note(target, rule);
    }

    /// Everything seen since this was last asked, each peer and path once.
    pub(crate) fn take(&mut self) -> Vec<Attempt> {
        let mut attempts = self.seen.take();
        attempts.extend(self.observing.iter_mut().flat_map(|observing| observing.seen.take()));
        attempts
    }

    /// Everything seen, each peer and path once.
    pub(crate) fn into_attempts(self) -> Vec<Attempt> {
        let files = self.observing.map(|observing| observing.seen.attempts());
        self.seen.attempts().into_iter().chain(files.unwrap_or_default()).collect()
    }
}

fn unknown(text: &str) -> Target {
    Target::Unknown { text: text.to_owned() }
}

/// Whom a caught connect(2) or sendto(2) names; `None` for the jar itself.
fn peer(event: &libc::seccomp_notif, carried: &[Block]) -> Option<Target> {
    let [_, connect_address, connect_length, _, send_address, send_length] = event.data.args;
    // Only datagrams are sent to somebody; what a socket that connects is for is not seen.
    let (address, length, protocol) = match i64::from(event.data.nr) {
        libc::SYS_connect => (connect_address, connect_length, None),
        _ => (send_address, send_length, Some(Protocol::Udp)),
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(ADDRESS_BYTES_MAX);
    match read(event.pid, address, length) {
        Ok(bytes) => outside(&bytes, carried).map(|peer| Target::Peer(Endpoint { protocol, ..peer })),
        Err(_) => Some(unknown("a network address that could not be read")),
    }
}

fn read(pid: u32, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
    let pid = Pid::from_raw(i32::try_from(pid).map_err(|_| Errno::ESRCH)?);
    let base = usize::try_from(address).map_err(|_| Errno::EFAULT)?;
    let mut bytes = vec![0u8; length];
    let mut local = [IoSliceMut::new(&mut bytes)];
    let got = process_vm_readv(pid, &mut local, &[RemoteIoVec { base, len: length }])?;
    bytes.truncate(got);
    Ok(bytes)
}

/// A peer outside of the jar that nothing leads to, from a `struct sockaddr` of ip(7) or ipv6(7).
fn outside(address: &[u8], carried: &[Block]) -> Option<Endpoint> {
    let (family, rest) = address.split_first_chunk::<2>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let ip: IpAddr = match i32::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET => Ipv4Addr::from(*rest.first_chunk::<4>()?).into(),
        libc::AF_INET6 => Ipv6Addr::from(*rest.get(4..)?.first_chunk::<16>()?).into(),
        _ => return None,
    };
    let ip = ip.to_canonical();
    let leads = |ip| carried.iter().any(|block| block.contains(ip));
    let inside = ip.is_loopback() || ip.is_unspecified() || leads(ip);
    (!inside).then(|| Endpoint { host: ip.to_string(), port: Some(u16::from_be_bytes(*port)), protocol: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusals::PEERS_MAX;

    fn address(family: u16, port: u16, rest: &[u8]) -> Vec<u8> {
        [&family.to_ne_bytes()[..], &port.to_be_bytes(), rest].concat()
    }

    #[test]
    fn addresses_outside_are_named_and_those_inside_are_not() {
        let v4 = |ip: [u8; 4]| outside(&address(2, 443, &ip), &[]).map(|peer| (peer.host, peer.port));
        let v6 = |ip: &str| {
            let ip: Ipv6Addr = ip.parse().unwrap();
            let rest = [&[0u8; 4][..], &ip.octets()].concat();
            outside(&address(10, 53, &rest), &[]).map(|peer| peer.host)
        };
        assert_eq!(v4([192, 0, 2, 7]), Some(("192.0.2.7".into(), Some(443))));
        assert_eq!(v4([127, 1, 2, 3]), None);
        assert_eq!(v4([0, 0, 0, 0]), None);
        assert_eq!(v6("2001:db8::1").as_deref(), Some("2001:db8::1"));
        assert_eq!(v6("::ffff:192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(v6("::1"), None);
        assert_eq!(v6("::ffff:127.0.0.1"), None);
        assert_eq!(outside(&address(1, 0, b"/run/x"), &[]), None);
        let carried = [Block::v4(Ipv4Addr::new(192, 0, 2, 0), 24)];
        assert_eq!(outside(&address(2, 443, &[192, 0, 2, 7]), &carried), None);
        for length in 0..8 {
            assert_eq!(outside(&address(2, 443, &[192, 0, 2, 7])[..length], &[]), None);
        }
    }

    /// Nothing calls here, and what stands in for the listener would refuse to be received from.
    #[test]
    fn nobody_is_listened_to_where_nobody_calls() {
        let (read, write) = nix::unistd::pipe().unwrap();
        let mut watch = Watch::new(read, Vec::new(), None);
        assert!(watch.look(), "quiet");
        drop(write);
        assert!(!watch.look(), "over");
    }

    #[test]
    fn the_record_is_bounded() {
        let mut watch =
            Watch { listener: None, carried: Vec::new(), seen: Refusals::default(), observing: None, crowd: None };
        for number in 0..1000u16 {
            watch.note(Target::Peer(Endpoint { host: "192.0.2.1".into(), port: Some(number), protocol: None }));
        }
        let attempts = watch.into_attempts();
        assert_eq!(attempts.len(), PEERS_MAX + 1);
        assert_eq!(attempts.iter().map(|attempt| attempt.times).sum::<u64>(), 1000);
    }
}
