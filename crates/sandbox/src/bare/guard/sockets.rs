//! Unix sockets by path. Landlock does not rule whom they reach (before Linux 7.1), so they are connected here, to what was
//! looked at, and bound here: the address in the caller's memory may be another one by the time the kernel reads it.

use super::caller::Caller;
use super::files::own_link;
use super::{Answer, Guard, exact, unknown};
use crate::net::{Kind, NONE};
use crate::sys;
use model::{Action, FilePath};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FcntlArg, OFlag, fcntl};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstat};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

/// `struct sockaddr_un` of unix(7), and the family at its beginning.
const ADDRESS_BYTES_MAX: u64 = 110;
const FAMILY_BYTES: usize = 2;

/// Where an address of a unix socket leads.
pub(super) enum Address {
    Path(FilePath),
    /// Without a place in the file system: the host's names.
    Abstract,
    /// Of the network.
    Network(SocketAddr),
    /// Of no family: nobody any more.
    Nobody,
    /// Of another family.
    Foreign,
}

impl Guard {
    pub(super) fn connect(&mut self, caller: Caller, socket: i32, address: u64, length: u64) -> Answer {
        let path = match read(&caller, address, length) {
            Ok((Address::Path(path), _)) => path,
            Ok((Address::Abstract, _)) => {
                return self.refuse(Action::Connect, unknown("an abstract unix socket"), NONE, Errno::ECONNREFUSED);
            }
            Ok((Address::Network(at), _)) => return self.reach_out(caller, socket, at),
            Ok((Address::Nobody, _)) => return self.part(&caller, socket),
            Ok((Address::Foreign, _)) => return Answer::Done(Err(Errno::EAFNOSUPPORT)),
            Err(errno) => return Answer::Done(Err(errno)),
        };
        let found = caller.resolve(libc::AT_FDCWD, &path, true).and_then(|fd| Ok((self.is_inside(&fd)?, fd)));
        let fd = match found {
            Err(errno) => return Answer::Done(Err(errno)),
            Ok(((false, path), _)) => return self.refuse(Action::Connect, exact(&path), "jar/socket", Errno::EACCES),
            Ok((_, fd)) => fd,
        };
        let ready = is_socket(&fd).and_then(|()| self.sockets.take(&caller, socket));
        match ready.and_then(|socket| Ok((waits(&socket)?, socket))) {
            Err(errno) => Answer::Done(Err(errno)),
            Ok((false, socket)) => self.reach_once(&caller, socket, &fd).into(),
            // It waits for room in the queue of whoever listens, and that may be somebody whose calls come here.
            Ok((true, socket)) => {
                let wait = move || caller.reply(reach(&socket, &fd));
                match std::thread::Builder::new().name("belljar-connect".into()).spawn(wait) {
                    Ok(_) => Answer::Later,
                    Err(_) => Answer::Done(Err(Errno::EAGAIN)),
                }
            }
        }
    }

    /// What stands for a socket of the network.
    pub(super) fn make_network(&self, caller: &Caller, family: i32, kind: i32, protocol: i32) -> Answer {
        const TYPE: i32 = 0xf;
        let stands_for = match (kind & TYPE, protocol) {
            (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => Kind::Stream,
            (libc::SOCK_DGRAM, 0 | libc::IPPROTO_UDP) => Kind::Datagrams,
            (libc::SOCK_STREAM | libc::SOCK_DGRAM, _) => return Answer::Done(Err(Errno::EPROTONOSUPPORT)),
            _ => return Answer::Done(Err(Errno::EPERM)),
        };
        let (six, waits) = (family == libc::AF_INET6, kind & libc::SOCK_NONBLOCK == 0);
        match self.inside.make(stands_for, six, waits, caller.process().unwrap_or(caller.thread)) {
            Ok(socket) => Answer::Opened(socket, kind & libc::SOCK_CLOEXEC != 0),
            Err(errno) => Answer::Done(Err(errno)),
        }
    }

    /// What could not be connected may be tried again.
    fn reach_once(&mut self, caller: &Caller, socket: OwnedFd, fd: &OwnedFd) -> Result<(), Errno> {
        caller.stands()?;
        let done = reach(&socket, fd);
        if done.is_err() {
            self.sockets.0.push_back(Known { number: fstat(&socket)?.st_ino, socket });
        }
        done
    }

    /// At a name in a directory that was looked at. The socket then says that it is there by a path of ours.
    pub(super) fn bind(&mut self, caller: &Caller, socket: i32, address: u64, length: u64) -> Answer {
        let path = match read(caller, address, length) {
            Ok((Address::Path(path), _)) => path,
            Ok((Address::Abstract, _)) => {
                return self.refuse(Action::Listen, unknown("an abstract unix socket"), NONE, Errno::EPERM);
            }
            Ok((Address::Network(at), _)) => return self.bind_port(caller, socket, at),
            Ok((Address::Nobody | Address::Foreign, _)) => return Answer::Done(Err(Errno::EAFNOSUPPORT)),
            Err(errno) => return Answer::Done(Err(errno)),
        };
        let found = parent_of(caller, &path).and_then(|(fd, name)| Ok((self.is_inside(&fd)?, fd, name)));
        match found {
            Err(errno) => Answer::Done(Err(errno)),
            Ok(((false, path), ..)) => self.refuse(Action::Listen, exact(&path), "jar/socket", Errno::EACCES),
            Ok((_, fd, name)) => self.bind_to(caller, socket, &fd, &name).into(),
        }
    }

    fn bind_to(&mut self, caller: &Caller, socket: i32, dir: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
        let mask = caller.status("Umask:", 8)?;
        let socket = self.sockets.take(caller, socket)?;
        let place = [own_link(dir).as_bytes(), b"/", name.as_bytes()].concat();
        sys::bind_raw(socket.as_fd(), &address_of(&place)?)?;
        let mode = Mode::from_bits_truncate(0o777 & !mask);
        fchmodat(AT_FDCWD, OsStr::from_bytes(&place), mode, FchmodatFlags::FollowSymlink)
    }
}

/// Unix sockets that the jar made and has neither connected nor bound, by inode number. They are made here, so that there
/// is a descriptor to act on without asking for one of the caller's, which a container may not do. Once a socket is of
/// use nobody but the jar may hold it: its end must be the end.
#[derive(Default)]
pub(super) struct Sockets(VecDeque<Known>);

/// One of them.
struct Known {
    number: u64,
    socket: OwnedFd,
}

/// More than this many that were never used: the oldest cannot be used any more.
const SOCKETS_MAX: usize = 256;

impl Sockets {
    pub(super) fn make(&mut self, kind: i32) -> Answer {
        let made = sys::unix_socket(kind & !(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK), kind & libc::SOCK_NONBLOCK);
        let kept = made.and_then(|socket| {
            let copy = socket.try_clone().map_err(|_| Errno::EMFILE)?;
            Ok((fstat(&socket)?.st_ino, socket, copy))
        });
        match kept {
            Err(errno) => Answer::Done(Err(errno)),
            Ok((number, socket, copy)) => {
                self.0.push_back(Known { number, socket: copy });
                if self.0.len() > SOCKETS_MAX {
                    self.0.pop_front();
                }
                Answer::Opened(socket, kind & libc::SOCK_CLOEXEC != 0)
            }
        }
    }

    /// The socket behind a descriptor of the caller's, which is then its alone.
    fn take(&mut self, caller: &Caller, descriptor: i32) -> Result<OwnedFd, Errno> {
        let number = caller.socket(descriptor)?;
        let at = self.0.iter().position(|known| known.number == number).ok_or(Errno::EISCONN)?;
        self.0.remove(at).map(|known| known.socket).ok_or(Errno::EISCONN)
    }
}

/// The directory a path ends in, and its last name.
fn parent_of(caller: &Caller, path: &FilePath) -> Result<(OwnedFd, OsString), Errno> {
    let bytes = path.as_bytes();
    let cut = bytes.iter().rposition(|byte| *byte == b'/');
    let (dir, name) = match cut {
        None => (b".".as_slice(), bytes),
        Some(0) => (b"/".as_slice(), bytes.get(1..).unwrap_or_default()),
        Some(at) => (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..).unwrap_or_default()),
    };
    if matches!(name, b"" | b"." | b"..") {
        return Err(Errno::EADDRINUSE);
    }
    let fd = caller.resolve(libc::AT_FDCWD, &FilePath::from(dir.to_vec()), true)?;
    Ok((fd, OsStr::from_bytes(name).to_owned()))
}

fn address_of(path: &[u8]) -> Result<Vec<u8>, Errno> {
    let family = u16::try_from(libc::AF_UNIX).map_err(|_| Errno::EINVAL)?.to_ne_bytes();
    Ok([&family[..], path, &[0]].concat())
}

pub(super) fn read(caller: &Caller, address: u64, length: u64) -> Result<(Address, Vec<u8>), Errno> {
    let length = usize::try_from(length.min(ADDRESS_BYTES_MAX + 1)).map_err(|_| Errno::EINVAL)?;
    if length < FAMILY_BYTES || length as u64 > ADDRESS_BYTES_MAX {
        return Err(Errno::EINVAL);
    }
    let bytes = caller.bytes(address, length)?;
    let (family, rest) = bytes.split_first_chunk::<FAMILY_BYTES>().ok_or(Errno::EINVAL)?;
    let family = i32::from(u16::from_ne_bytes(*family));
    let kind = match family {
        libc::AF_INET | libc::AF_INET6 => Address::Network(network(family, rest).ok_or(Errno::EINVAL)?),
        libc::AF_UNIX => match rest.split(|byte| *byte == 0).next() {
            Some([]) | None => Address::Abstract,
            Some(path) => Address::Path(FilePath::from(path.to_vec())),
        },
        libc::AF_UNSPEC => Address::Nobody,
        _ => Address::Foreign,
    };
    Ok((kind, bytes))
}

/// The rest of a `struct sockaddr` of ip(7) or ipv6(7).
fn network(family: i32, rest: &[u8]) -> Option<SocketAddr> {
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    if family == libc::AF_INET {
        return Some((Ipv4Addr::from(*rest.first_chunk::<4>()?), port).into());
    }
    let address = Ipv6Addr::from(*rest.get(4..)?.first_chunk::<16>()?);
    Some((address.to_canonical(), port).into())
}

/// Whether connecting a socket may wait.
fn waits(socket: &OwnedFd) -> Result<bool, Errno> {
    let flags = OFlag::from_bits_truncate(fcntl(socket, FcntlArg::F_GETFL)?);
    Ok(!flags.contains(OFlag::O_NONBLOCK))
}

fn is_socket(fd: &OwnedFd) -> Result<(), Errno> {
    let kind = SFlag::from_bits_truncate(fstat(fd)?.st_mode & SFlag::S_IFMT.bits());
    if kind == SFlag::S_IFSOCK { Ok(()) } else { Err(Errno::ECONNREFUSED) }
}

/// By the magic link of the handle, which leads to the socket that was looked at.
fn reach(socket: &OwnedFd, fd: &OwnedFd) -> Result<(), Errno> {
    sys::connect_raw(socket.as_fd(), &address_of(own_link(fd).as_bytes())?)
}
