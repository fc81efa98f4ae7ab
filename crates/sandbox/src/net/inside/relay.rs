//! Datagrams on their way: out of the jar, within it, and back.

use super::state::{Stand, State};
use super::{DATAGRAM_BYTES_MAX, Inside, answers, own_name, plain};
use crate::net::broker::is_resolver;
use crate::net::datagrams::{Back, Ends};
use crate::net::door::{Asking, Kind, spawn};
use crate::net::setup;
use model::Protocol;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use nix::unistd::read;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How soon a call to a server that has ended is given up.
const GLANCE_MS: u16 = 500;
/// Messages taken before others are looked at.
const AT_ONCE: usize = 64;

/// The way back for answers from outside.
pub(super) struct Mail(pub(super) Arc<Mutex<State>>);

impl Mail {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Back for Mail {
    fn answer(&self, ends: Ends, bytes: &[u8]) {
        let mut state = self.state();
        if let Some(number) = state.ports.get(&(Kind::Datagrams, ends.sender.port())).copied() {
            state.pass_on(number, ends.meant, bytes);
        }
    }

    fn unreachable(&self, ends: Ends) {
        let mut state = self.state();
        if let Some(number) = state.ports.get(&(Kind::Datagrams, ends.sender.port())).copied()
            && let Ok(stand) = state.stand(number)
            && stand.peer.is_none_or(|peer| peer == ends.meant)
        {
            stand.refuse();
        }
    }
}

impl Inside {
    /// sendto(2): a datagram to `to`, or to whom it is connected to.
    ///
    /// # Errors
    /// What it fails with.
    pub(crate) fn send(&self, number: u64, to: Option<SocketAddr>, bytes: &[u8]) -> Result<(), Errno> {
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return Err(Errno::EMSGSIZE);
        }
        let mut state = self.state();
        let stand = state.stand(number)?;
        if stand.was_refused() && stand.peer.is_some() {
            return Err(Errno::ECONNREFUSED);
        }
        let to = to.map(plain).or(stand.peer).ok_or(Errno::EDESTADDRREQ)?;
        let port = state.port_of(number)?;
        drop(state);
        self.carry(port, to, bytes);
        let refused = self.state().stands.get_mut(&number).is_some_and(Stand::was_refused);
        if refused { Err(Errno::ECONNREFUSED) } else { Ok(()) }
    }

    /// Brings a datagram on its way.
    fn carry(&self, port: u16, meant: SocketAddr, bytes: &[u8]) {
        let ends = Ends { sender: (setup::OWN, port).into(), meant };
        if is_resolver(meant) {
            self.ask(ends, bytes);
        } else if self.is_own(meant, Protocol::Udp) {
            let mut state = self.state();
            let there = state.ports.get(&(Kind::Datagrams, meant.port())).copied();
            let there = there.filter(|number| {
                let local = state.stands.get(number).and_then(|stand| stand.local);
                local.is_some_and(|local| answers(local, meant))
            });
            match there {
                Some(number) => state.pass_on(number, own_name(meant, port), bytes),
                None => {
                    drop(state);
                    Mail(Arc::clone(&self.state)).unreachable(ends);
                }
            }
        } else {
            self.flows.carry(ends, bytes);
        }
    }

    /// A question about a name; one that must be looked for outside is answered by a thread that may wait.
    fn ask(&self, ends: Ends, question: &[u8]) {
        let (shared, mail) = (Arc::clone(&self.door.shared), Mail(Arc::clone(&self.state)));
        let answer = move |answer: Option<Vec<u8>>, mail: &Mail| {
            if let Some(answer) = answer {
                mail.answer(ends, &answer);
            }
        };
        match shared.to_look_up(question).and_then(|_| Asking::begin(&shared)) {
            None => answer(shared.answer(question, false), &mail),
            Some(asking) => {
                let question = question.to_vec();
                // Where no thread can be had it is not answered, and asked again.
                let _ = spawn("belljar-name", move || answer(asking.0.answer_in_time(&question), &mail));
            }
        }
    }

    /// Carries what programs send without naming to whom.
    pub(super) fn relay(&self, called: &OwnedFd) {
        let mut deaf = HashSet::new();
        let mut over = false;
        while !over {
            let ends = self.listened(&deaf);
            let mut fds: Vec<PollFd<'_>> = vec![
                PollFd::new(self.door.shared.over.as_fd(), PollFlags::empty()),
                PollFd::new(called.as_fd(), PollFlags::POLLIN),
            ];
            fds.extend(ends.iter().map(|(_, end)| PollFd::new(end.as_fd(), PollFlags::POLLIN)));
            let patience = if self.give_up() { PollTimeout::from(GLANCE_MS) } else { PollTimeout::NONE };
            if poll(&mut fds, patience).is_err() {
                // EINTR, or no memory for a moment.
                thread::sleep(Duration::from_millis(u64::from(GLANCE_MS) / 10));
                continue;
            }
            let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(true));
            over = ready.next().unwrap_or(true);
            if ready.next().unwrap_or(false) {
                let mut bytes = [0; 64];
                while matches!(read(called, &mut bytes), Ok(1..)) {}
            }
            let ready: Vec<bool> = ready.collect();
            for ((number, _), _) in ends.iter().zip(ready).filter(|(_, ready)| *ready) {
                if !self.take_some(*number) {
                    deaf.insert(*number);
                }
            }
        }
        // The last words of the command.
        for (number, _) in self.listened(&deaf) {
            self.take_all(number);
        }
    }

    fn listened(&self, deaf: &HashSet<u64>) -> Vec<(u64, Arc<OwnedFd>)> {
        let state = self.state();
        let datagrams =
            state.stands.iter().filter(|(number, stand)| stand.kind == Kind::Datagrams && !deaf.contains(number));
        datagrams.filter_map(|(number, stand)| Some((*number, stand.other.clone()?))).collect()
    }

    /// Calls to servers that have ended are given up. Whether others wait.
    fn give_up(&self) -> bool {
        let mut state = self.state();
        let called = |stand: &Stand| stand.calls.as_ref().is_some_and(|calls| !calls.is_empty());
        let waiting: Vec<(u64, i32)> = state
            .stands
            .iter()
            .filter(|(_, stand)| called(stand))
            .map(|(number, stand)| (*number, stand.owner))
            .collect();
        for (number, owner) in &waiting {
            if !self.lives(*number, *owner) {
                state.remove(*number);
            }
        }
        !waiting.is_empty()
    }

    pub(super) fn take_all(&self, number: u64) {
        while self.take(number) == Some(true) {}
    }

    /// False where the jar sends no more.
    fn take_some(&self, number: u64) -> bool {
        for _ in 0..AT_ONCE {
            match self.take(number) {
                Some(true) => {}
                Some(false) => return true,
                None => return false,
            }
        }
        true
    }

    /// Takes one message, and its peer at the same moment. False when there is none, `None` when there will be none.
    fn take(&self, number: u64) -> Option<bool> {
        let mut bytes = vec![0; DATAGRAM_BYTES_MAX + 1];
        let mut state = self.state();
        let stand = state.stands.get(&number)?;
        let (other, peer) = (stand.other.clone()?, stand.peer);
        match recv(other.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
            Ok(0) if is_closed(&other) => return None,
            // No datagram is so long.
            Ok(count) if count > DATAGRAM_BYTES_MAX => return Some(true),
            Ok(count) => bytes.truncate(count),
            Err(_) => return Some(false),
        }
        let port = state.port_of(number).ok();
        drop(state);
        // What was sent to nobody is nobody's.
        if let Some((port, peer)) = port.zip(peer) {
            self.carry(port, peer, &bytes);
        }
        Some(true)
    }
}

/// Whether nothing more comes, which an empty message looks like.
fn is_closed(end: &OwnedFd) -> bool {
    let hung_up = PollFlags::from_bits_retain(libc::POLLRDHUP);
    let mut fds = [PollFd::new(end.as_fd(), hung_up)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
