//! The outer end: takes the jar's connections, datagrams and questions for as long as the jar lives.

use crate::net::dial::NO_SUCH_NAME;
use crate::net::lookup::Lookups;
use crate::net::names::Names;
use crate::net::record::Record;
use crate::net::setup::{self, Datagrams};
use crate::net::upstream::Upstream;
use crate::net::{Door, carry, datagrams, dns};
use model::{Attempt, Connection, Endpoint, Network};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::pipe2;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Connections carried at the same time; more wait their turn, as at a busy server. Each takes two descriptors.
const CARRIED_MAX: usize = 512;
/// The same where no more descriptors can be had than the 1024 that are usual: the overlays need theirs.
const CARRIED_FEW: usize = 128;
/// Descriptors that are enough for all of it.
const DESCRIPTORS: u64 = 4096;
/// What a thread that carries one needs, with its buffers on the heap.
const STACK_BYTES: usize = 256 << 10;
/// How soon a free place is noticed, or that descriptors can be had again.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long a connection waits for its turn where it has a thread of its own.
const TURN: Duration = Duration::from_secs(60);
/// How long the last bytes of an ended command may take on their way out.
const DRAIN: Duration = Duration::from_secs(3);
/// How long they may take between two commands of a live jar.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two looks whether they are.
const GLANCE: Duration = Duration::from_micros(100);
/// Largest question over UDP that is read; with EDNS (RFC 6891) they are no longer than this either.
const QUESTION_BYTES_MAX: usize = 4096;
/// Questions that wait for a look outside, each with a thread; more are answered without.
const ASKED_MAX: usize = 64;
/// Questions answered before connections are looked at again.
const QUESTIONS_AT_ONCE: usize = 64;

/// What nobody allowed, where something is allowed.
pub(crate) const NOT_ALLOWED: &str = "network/not-allowed";
/// What nobody allowed, where nothing is.
pub(crate) const NONE: &str = "network/none";

/// The sockets of a jar that the broker serves.
pub(crate) struct Sockets {
    /// Listen for connections, where there can be any.
    pub(crate) connections: Vec<OwnedFd>,
    /// For datagrams, likewise.
    pub(crate) datagrams: Vec<Datagrams>,
    /// For questions about names.
    pub(crate) questions: OwnedFd,
}

/// What all threads share.
pub(super) struct Shared {
    pub(super) network: Network,
    /// The host's own proxy.
    pub(super) upstream: Option<Upstream>,
    /// Whether that led somewhere where nothing else did.
    pub(super) only_by_proxy: AtomicBool,
    pub(super) names: Mutex<Names>,
    lookups: Lookups,
    /// Questions whose answers wait for those.
    pub(super) asked: AtomicUsize,
    pub(super) record: Record,
    /// Readable, or rather closed, once the command has ended.
    pub(super) over: OwnedFd,
    carried: AtomicUsize,
    carried_max: usize,
    /// Threads whose work counts still when the command has ended.
    busy: AtomicUsize,
}

impl Shared {
    /// And what ends it when it is closed.
    fn new(network: &Network, upstream: Option<Upstream>, connects: bool) -> io::Result<(Arc<Shared>, OwnedFd)> {
        let (over, going_on) = pipe2(OFlag::O_CLOEXEC)?;
        let many = connects && descriptors();
        let shared = Shared {
            network: network.clone(),
            upstream,
            only_by_proxy: AtomicBool::new(false),
            names: Mutex::default(),
            lookups: Lookups::default(),
            asked: AtomicUsize::new(0),
            record: Record::default(),
            over,
            carried: AtomicUsize::new(0),
            carried_max: if many { CARRIED_MAX } else { CARRIED_FEW },
            busy: AtomicUsize::new(0),
        };
        Ok((Arc::new(shared), going_on))
    }

    /// Why what nobody allowed is refused.
    pub(super) fn refusal(&self) -> &'static str {
        if self.network.rules().is_empty() { NONE } else { NOT_ALLOWED }
    }

    /// Answers a question and notes a refusal. `absent`: there is no such name outside.
    pub(super) fn answer(&self, question: &[u8], absent: bool) -> Option<Vec<u8>> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = dns::answer(question, &self.network, &mut names, absent)?;
        drop(names);
        if let Some(host) = answer.refused {
            let rule = if absent { NO_SUCH_NAME } else { self.refusal() };
            self.record.refused(Endpoint { host, port: None, protocol: None }, rule);
        }
        Some(answer.bytes)
    }

    /// The name in a question that must be looked for outside before it has an answer. Not where a proxy may know names
    /// that the host does not.
    pub(super) fn to_look_up(&self, question: &[u8]) -> Option<String> {
        let name = dns::known(question, &self.network).filter(|_| self.upstream.is_none())?;
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        (!names.knows(&name)).then_some(name)
    }

    /// Answers a question, after a look outside where that is needed.
    pub(super) fn answer_in_time(&self, question: &[u8]) -> Option<Vec<u8>> {
        let absent = self.to_look_up(question).is_some_and(|name| self.lookups.is_absent(&name));
        self.answer(question, absent)
    }

    /// The name an address stands for.
    pub(super) fn name(&self, address: IpAddr) -> Option<String> {
        let IpAddr::V4(address) = address else { return None };
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.name(address).map(str::to_owned)
    }
}

/// As long as it is there, the end of the command waits for work, if not for ever.
pub(super) struct Busy(Arc<Shared>);

impl Busy {
    pub(super) fn new(shared: &Arc<Shared>) -> Busy {
        shared.busy.fetch_add(1, Ordering::AcqRel);
        Busy(Arc::clone(shared))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Serves the sockets until it is finished or dropped.
pub(crate) struct Broker {
    shared: Arc<Shared>,
    /// Closing it tells every thread that the command has ended.
    going_on: Option<OwnedFd>,
    /// Where there are questions only, all of them refused, no thread need wait for them.
    refuser: Option<Server>,
}

impl Broker {
    /// Begins to serve.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(sockets: Sockets, network: &Network, upstream: Option<Upstream>) -> io::Result<Broker> {
        let (shared, going_on) = Shared::new(network, upstream, !sockets.connections.is_empty())?;
        for sockets in sockets.datagrams {
            datagrams::serve(&shared, sockets)?;
        }
        let server = Server {
            connections: sockets.connections.into_iter().map(TcpListener::from).collect(),
            questions: Arc::new(UdpSocket::from(sockets.questions)),
            shared: Arc::clone(&shared),
        };
        if network.rules().is_empty() {
            return Ok(Broker { shared, going_on: Some(going_on), refuser: Some(server) });
        }
        let busy = Busy::new(&shared);
        thread::Builder::new().name("belljar-net".into()).spawn(move || {
            server.serve();
            drop(busy);
        })?;
        Ok(Broker { shared, going_on: Some(going_on), refuser: None })
    }

    /// Readable when [`Broker::answer`] has something to answer.
    pub(crate) fn questions(&self) -> Option<BorrowedFd<'_>> {
        self.refuser.as_ref().map(|server| server.questions.as_fd())
    }

    /// Refuses what was asked, without waiting.
    pub(crate) fn answer(&self) {
        self.refuser.iter().for_each(Server::answer);
    }

    /// For a jar without a network namespace, whose connections come through the [`Door`].
    ///
    /// # Errors
    /// When there are no descriptors.
    pub(crate) fn behind_door(network: &Network, upstream: Option<Upstream>) -> io::Result<(Broker, Door)> {
        let (shared, going_on) = Shared::new(network, upstream, true)?;
        let door = Door { shared: Arc::clone(&shared) };
        Ok((Broker { shared, going_on: Some(going_on), refuser: None }, door))
    }

    /// The command has ended; [`Broker::finish`] then has less to wait for.
    pub(crate) fn end(&mut self) {
        self.going_on = None;
    }

    /// The command has ended: what it sent goes out, for a moment, and what became of the network is told.
    pub(crate) fn finish(mut self) -> (Vec<Connection>, Vec<Attempt>) {
        self.end();
        drain(&self.shared.busy, DRAIN);
        self.shared.record.told()
    }

    /// A command has ended and another may come: as [`Broker::finish`]. Bytes that are later than this count for the next.
    pub(crate) fn pause(&self) -> (Vec<Connection>, Vec<Attempt>) {
        drain(&self.shared.carried, PAUSE);
        self.shared.record.take()
    }
}

/// Waits until nobody is left at work, but not for ever.
fn drain(at_work: &AtomicUsize, at_most: Duration) {
    let end = Instant::now() + at_most;
    while at_work.load(Ordering::Acquire) > 0 && Instant::now() < end {
        thread::sleep(GLANCE);
    }
}

/// Takes as many descriptors for this process as it needs, if it may. The jar's processes have what they had.
fn descriptors() -> bool {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return false;
    };
    soft >= DESCRIPTORS || setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS, hard).is_ok()
}

struct Server {
    connections: Vec<TcpListener>,
    questions: Arc<UdpSocket>,
    shared: Arc<Shared>,
}

impl Server {
    fn serve(self) {
        loop {
            let full = self.full();
            let Some((asked, called)) = self.wait(full) else {
                break;
            };
            if asked {
                self.answer();
            }
            if !full {
                for listener in self.connections.iter().zip(called).filter_map(|(own, called)| called.then_some(own)) {
                    self.accept(listener);
                }
            }
        }
        // What the command had begun before it ended is waiting here still.
        for listener in &self.connections {
            while !self.full() && self.accept(listener) {}
        }
    }

    fn full(&self) -> bool {
        self.shared.carried.load(Ordering::Acquire) >= self.shared.carried_max
    }

    /// Until there is a question or a connection; `None` when the command has ended.
    fn wait(&self, full: bool) -> Option<(bool, Vec<bool>)> {
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
            return Some((false, Vec::new()));
        }
        let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(true));
        let mut next = || ready.next().unwrap_or(false);
        let (over, asked) = (next(), next());
        (!over).then(|| (asked, ready.collect()))
    }

    fn answer(&self) {
        let mut question = vec![0u8; QUESTION_BYTES_MAX];
        for _ in 0..QUESTIONS_AT_ONCE {
            let Ok((length, from)) = self.questions.recv_from(&mut question) else {
                return;
            };
            let question = question.get(..length).unwrap_or_default();
            let room = self.shared.asked.load(Ordering::Acquire) < ASKED_MAX;
            if room && self.shared.to_look_up(question).is_some() {
                self.answer_later(question.to_vec(), from);
            } else if let Some(answer) = self.shared.answer(question, false) {
                // A question whose answer does not arrive is asked again.
                let _ = self.questions.send_to(&answer, from);
            }
        }
    }

    /// The same, from a thread that may wait.
    fn answer_later(&self, question: Vec<u8>, from: SocketAddr) {
        let (shared, questions) = (Arc::clone(&self.shared), Arc::clone(&self.questions));
        shared.asked.fetch_add(1, Ordering::AcqRel);
        let asked = Asked(shared);
        let thread = thread::Builder::new().name("belljar-name".into()).stack_size(STACK_BYTES);
        // Where no thread can be had it is not answered, and asked again.
        let _ = thread.spawn(move || {
            if let Some(answer) = asked.0.answer_in_time(&question) {
                let _ = questions.send_to(&answer, from);
            }
        });
    }

    /// Takes one connection. False when there is none.
    fn accept(&self, connections: &TcpListener) -> bool {
        match connections.accept() {
            Ok((inside, _)) => self.carry(inside),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            // Too many descriptors, or the caller is gone again.
            Err(_) => thread::sleep(PATIENCE),
        }
        true
    }

    fn carry(&self, inside: TcpStream) {
        let place = Place::new(&self.shared);
        let thread = thread::Builder::new().name("belljar-net".into()).stack_size(STACK_BYTES);
        // Where no thread can be had, the connection is closed with the closure that was to carry it.
        let _ = thread.spawn(move || carry::carry(&place.0.0, inside));
    }
}

/// One of the questions that wait; it does no more when this is dropped.
struct Asked(Arc<Shared>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.asked.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One of the places for connections; free again when it is dropped.
pub(super) struct Place(Busy);

impl Place {
    fn new(shared: &Arc<Shared>) -> Place {
        shared.carried.fetch_add(1, Ordering::AcqRel);
        Place(Busy::new(shared))
    }

    /// One that is free, or becomes so soon.
    pub(super) fn wait(shared: &Arc<Shared>) -> Option<Place> {
        let end = Instant::now() + TURN;
        loop {
            match Place::take(shared) {
                None if Instant::now() < end => thread::sleep(PATIENCE),
                place => return place,
            }
        }
    }

    /// One that is free.
    pub(super) fn take(shared: &Arc<Shared>) -> Option<Place> {
        let place = Place::new(shared);
        (shared.carried.load(Ordering::Acquire) <= shared.carried_max).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.carried.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether this is where the jar asks for names.
pub(super) fn is_resolver(address: SocketAddr) -> bool {
    address == SocketAddr::from((setup::RESOLVER, setup::RESOLVER_PORT))
}
