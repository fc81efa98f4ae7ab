//! The outer end: takes the jar's connections and questions for as long as the jar lives.

use crate::net::dns;
use crate::net::names::Names;
use crate::net::record::Record;
use crate::net::{carry, setup};
use model::{Attempt, Connection, Endpoint, NetRule};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;
use std::io;
use std::net::{SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Connections carried at the same time; more wait their turn, as at a busy server. Each takes two descriptors of the
/// 1024 that are usual, and the overlays need theirs.
const CARRIED_MAX: usize = 128;
/// What a thread that carries one needs, with its buffers on the heap.
const STACK_BYTES: usize = 256 << 10;
/// How soon a free place is noticed, or that descriptors can be had again.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long the last bytes of an ended command may take on their way out.
const DRAIN: Duration = Duration::from_secs(3);
/// How long they may take between two commands of a live jar.
const PAUSE: Duration = Duration::from_millis(100);
/// Largest question over UDP that is read; with EDNS (RFC 6891) they are no longer than this either.
const QUESTION_BYTES_MAX: usize = 4096;
/// Questions answered before connections are looked at again.
const QUESTIONS_AT_ONCE: usize = 64;

/// What nobody allowed, where something is allowed.
pub(crate) const NOT_ALLOWED: &str = "network/not-allowed";
/// What nobody allowed, where nothing is.
pub(crate) const NONE: &str = "network/none";

/// The sockets of a jar that the broker serves.
pub(crate) struct Sockets {
    /// Listens for connections, where there can be any.
    pub(crate) connections: Option<OwnedFd>,
    /// For questions about names.
    pub(crate) questions: OwnedFd,
}

/// What all threads share.
pub(super) struct Shared {
    pub(super) rules: Vec<NetRule>,
    pub(super) names: Mutex<Names>,
    pub(super) record: Record,
    /// Readable, or rather closed, once the command has ended.
    pub(super) over: OwnedFd,
    carried: AtomicUsize,
}

impl Shared {
    /// Answers a question and notes a refusal.
    pub(super) fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = dns::answer(question, &self.rules, &mut names)?;
        drop(names);
        if let Some(host) = answer.refused {
            let rule = if self.rules.is_empty() { NONE } else { NOT_ALLOWED };
            self.record.refused(Endpoint { host, port: None }, rule);
        }
        Some(answer.bytes)
    }

    /// The name an address stands for.
    pub(super) fn name(&self, address: SocketAddrV4) -> Option<String> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.name(*address.ip()).map(str::to_owned)
    }
}

/// Serves the sockets until it is finished or dropped.
pub(crate) struct Broker {
    shared: Arc<Shared>,
    /// Closing it tells every thread that the command has ended.
    going_on: Option<OwnedFd>,
}

impl Broker {
    /// Begins to serve.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(sockets: Sockets, rules: &[NetRule]) -> io::Result<Broker> {
        let (over, going_on) = pipe2(OFlag::O_CLOEXEC)?;
        let (record, names, carried) = (Record::default(), Mutex::default(), AtomicUsize::new(0));
        let shared = Arc::new(Shared { rules: rules.to_vec(), names, record, over, carried });
        let server = Server {
            connections: sockets.connections.map(TcpListener::from),
            questions: UdpSocket::from(sockets.questions),
            shared: Arc::clone(&shared),
        };
        thread::Builder::new().name("belljar-net".into()).spawn(move || server.serve())?;
        Ok(Broker { shared, going_on: Some(going_on) })
    }

    /// The command has ended: what it sent goes out, for a moment, and what became of the network is told.
    pub(crate) fn finish(mut self) -> (Vec<Connection>, Vec<Attempt>) {
        self.going_on = None;
        self.drain(DRAIN);
        self.shared.record.told()
    }

    /// A command has ended and another may come: as [`Broker::finish`]. Bytes that are later than this count for the next.
    pub(crate) fn pause(&self) -> (Vec<Connection>, Vec<Attempt>) {
        self.drain(PAUSE);
        self.shared.record.take()
    }

    fn drain(&self, at_most: Duration) {
        let end = Instant::now() + at_most;
        while self.shared.carried.load(Ordering::Acquire) > 0 && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

struct Server {
    connections: Option<TcpListener>,
    questions: UdpSocket,
    shared: Arc<Shared>,
}

impl Server {
    fn serve(self) {
        loop {
            let full = self.shared.carried.load(Ordering::Acquire) >= CARRIED_MAX;
            let Some((asked, called)) = self.wait(full) else {
                break;
            };
            if asked {
                self.answer();
            }
            if called && !full {
                self.accept();
            }
        }
        // What the command had begun before it ended is waiting here still.
        while self.shared.carried.load(Ordering::Acquire) < CARRIED_MAX && self.accept() {}
    }

    /// Until there is a question or a connection; `None` when the command has ended.
    fn wait(&self, full: bool) -> Option<(bool, bool)> {
        let called = if full { PollFlags::empty() } else { PollFlags::POLLIN };
        let mut fds = vec![
            PollFd::new(self.shared.over.as_fd(), PollFlags::empty()),
            PollFd::new(self.questions.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(self.connections.iter().map(|connections| PollFd::new(connections.as_fd(), called)));
        let patience =
            if full { PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::ZERO) } else { PollTimeout::NONE };
        if poll(&mut fds, patience).is_err() {
            // EINTR, or no memory for a moment.
            return Some((false, false));
        }
        let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(true));
        let mut next = || ready.next().unwrap_or(false);
        let (over, asked, called) = (next(), next(), next());
        (!over).then_some((asked, called))
    }

    fn answer(&self) {
        let mut question = vec![0u8; QUESTION_BYTES_MAX];
        for _ in 0..QUESTIONS_AT_ONCE {
            let Ok((length, from)) = self.questions.recv_from(&mut question) else {
                return;
            };
            if let Some(answer) = question.get(..length).and_then(|question| self.shared.answer(question)) {
                // A question whose answer does not arrive is asked again.
                let _ = self.questions.send_to(&answer, from);
            }
        }
    }

    /// Takes one connection. False when there is none.
    fn accept(&self) -> bool {
        let Some(connections) = &self.connections else {
            return false;
        };
        match connections.accept() {
            Ok((inside, _)) => self.carry(inside),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            // Too many descriptors, or the caller is gone again.
            Err(_) => thread::sleep(PATIENCE),
        }
        true
    }

    fn carry(&self, inside: TcpStream) {
        self.shared.carried.fetch_add(1, Ordering::AcqRel);
        let place = Place(Arc::clone(&self.shared));
        let thread = thread::Builder::new().name("belljar-net".into()).stack_size(STACK_BYTES);
        // Where no thread can be had, the connection is closed with the closure that was to carry it.
        let _ = thread.spawn(move || carry::carry(&place.0, inside));
    }
}

/// One of the places for connections; free again when it is dropped.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.carried.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether this is where the jar asks for names.
pub(super) fn is_resolver(address: SocketAddrV4) -> bool {
    address == SocketAddrV4::new(setup::RESOLVER, setup::RESOLVER_PORT)
}
