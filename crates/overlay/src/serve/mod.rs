//! Serving a view in background threads, and ending it in bounded time.

pub(crate) mod backing;
pub(crate) mod fuse;
pub(crate) mod teller;
pub(crate) mod tuning;

use crate::effects::{Effects, Kept};
use crate::error::OverlayError;
use crate::serve::fuse::Mount;
use crate::serve::tuning::{Mode, Tuning};
use crate::store::making::Taken;
use crate::sys;
use crate::view::layers::Layers;
use fuser::{Config, Session, SessionACL};
use model::Attempt;
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Once};
use std::time::Duration;

/// How long [`Served::finish`] waits for the last mount of the view to go away.
pub const FINISH_WAIT: Duration = Duration::from_secs(5);

/// Less than the buffers for requests have, and more than almost anything else.
const BUFFER_BYTES_MIN: i32 = 8 << 20;
static MAPPED: Once = Once::new();

/// What was seen while a view was served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Reads of hidden paths, sorted, each with how often it was seen. The kernel remembers absent names for some
    /// seconds, so the count is a lower bound.
    pub attempts: Vec<Attempt>,
    /// Why some changes have no author on record.
    pub lost: Option<Lost>,
}

/// Why the journal of effects is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// It had reached its size.
    Full,
    /// It could not be written.
    Failed(Errno),
}

impl Lost {
    /// Plain words, lower case, no full stop.
    #[must_use]
    pub fn describe(self) -> String {
        match self {
            Lost::Full => "the journal of who changed what had reached its size".to_owned(),
            Lost::Failed(errno) => {
                format!("the journal of who changed what could not be written: {}", errno.desc().to_lowercase())
            }
        }
    }
}

/// A view that is being served.
pub struct Served {
    layers: Arc<Layers>,
    effects: Option<Arc<Effects>>,
    ended: Receiver<std::io::Result<()>>,
    mode: Mode,
    // Held until the upper layer can no longer change.
    _lock: Taken,
}

impl Served {
    /// Answers the kernel's greeting on `fuse`, which is mounted already, and starts the threads.
    pub(crate) fn start(
        layers: Arc<Layers>,
        fuse: OwnedFd,
        lock: Taken,
        effects: Option<Effects>,
        tuning: Tuning,
    ) -> Result<Served, OverlayError> {
        // Each thread has a buffer for the largest request, of which most requests need a page.
        MAPPED.call_once(|| sys::map_larger_than(BUFFER_BYTES_MIN));
        let effects = effects.map(Arc::new);
        let mut config = Config::default();
        config.acl = SessionACL::All;
        config.n_threads = Some(tuning.threads.max(1));
        config.clone_fd = can_clone(&fuse);
        let channel = if config.clone_fd { fuse.try_clone().ok() } else { None };
        let mount = Mount::new(Arc::clone(&layers), effects.clone(), tuning, channel);
        let session = Session::from_fd(mount, fuse, SessionACL::All, config).map_err(OverlayError::Fuse)?;
        let (tell, ended) = sync_channel(1);
        let watching = Arc::clone(&layers);
        let run = move || {
            let result = without_umask().and_then(|()| session.run());
            // Nobody may keep the connection open who does not answer.
            watching.watches.stop();
            // Nobody listens after a timeout; the threads end with the mount all the same.
            let _ = tell.send(result);
        };
        std::thread::Builder::new().name("overlay".into()).spawn(run).map_err(OverlayError::Fuse)?;
        Ok(Served { layers, effects, ended, mode: tuning.mode, _lock: lock })
    }

    /// Waits until the view is mounted nowhere any more, at most [`FINISH_WAIT`]; then the upper layer is at rest.
    ///
    /// # Errors
    /// [`OverlayError::StillMounted`] when a mount is left: every further request is refused from then on, so the
    /// upper layer is at rest all the same. [`OverlayError::Fuse`] when the connection broke.
    pub fn finish(self) -> Result<Observed, OverlayError> {
        let ended = self.ended.recv_timeout(FINISH_WAIT);
        let still = matches!(ended, Err(RecvTimeoutError::Timeout));
        let observed = self.observed(ended)?;
        if still {
            let waited_ms = u64::try_from(FINISH_WAIT.as_millis()).unwrap_or(u64::MAX);
            return Err(OverlayError::StillMounted { waited_ms });
        }
        Ok(observed)
    }

    /// [`Served::finish`] for a view in which nothing runs any more: that it is still mounted is nothing to wait for, because
    /// what a process writes has arrived when its files are closed. Where the kernel holds writes back, or makes them by
    /// itself, it is waited for all the same.
    ///
    /// # Errors
    /// As there.
    pub fn finish_unused(self) -> Result<Observed, OverlayError> {
        match self.mode {
            Mode::ZeroMessage | Mode::WriteThrough => {
                let ended = self.ended.recv_timeout(Duration::ZERO);
                self.observed(ended)
            }
            Mode::WriteBack | Mode::Passthrough => self.finish(),
        }
    }

    /// Everything that is known, with the upper layer at rest; the session may go on.
    fn observed(self, ended: Result<std::io::Result<()>, RecvTimeoutError>) -> Result<Observed, OverlayError> {
        self.layers.freeze();
        let journal = self.effects.map(|effects| effects.finish());
        match ended {
            Ok(result) => result.map_err(OverlayError::Fuse)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(OverlayError::Fuse(std::io::Error::other("the serving thread ended early")));
            }
        }
        let lost = match journal {
            None | Some(Kept::Whole) => None,
            Some(Kept::Full) => Some(Lost::Full),
            Some(Kept::Failed(errno)) => Some(Lost::Failed(errno)),
        };
        Ok(Observed { attempts: self.layers.hidden.attempts(), lost })
    }

    /// Takes a checkpoint between two requests: remembers the layer as it is now. Its number, counted from 1.
    ///
    /// # Errors
    /// The store cannot be written, or the view has ended; or the kernel holds writes back or makes them by itself
    /// ([`Mode::WriteBack`], [`Mode::Passthrough`]), so that there is no moment between two of them.
    pub fn checkpoint(&self) -> Result<u64, OverlayError> {
        let told = matches!(self.mode, Mode::ZeroMessage | Mode::WriteThrough);
        let take = || {
            let effects = self.effects.as_ref().map_or_else(|| self.layers.store.effects_bytes(), |e| Ok(e.bytes()))?;
            self.layers.checkpoint(effects)
        };
        let taken = if told { take() } else { Err(nix::errno::Errno::EOPNOTSUPP) };
        taken.map_err(|source| crate::store::store_error(&self.layers.store.path, source))
    }

    /// What was tried so far, while the view is still served.
    #[must_use]
    pub fn attempts(&self) -> Vec<Attempt> {
        self.layers.hidden.attempts()
    }

    /// What was tried since this was last asked; [`Served::finish`] tells of the rest.
    #[must_use]
    pub fn take_attempts(&self) -> Vec<Attempt> {
        self.layers.hidden.take_attempts()
    }
}

/// Whether each thread can have a channel of its own, which spares it the queue of the others. Tried out here because
/// the session would give up where it cannot: when `/dev/fuse` may not be opened, or not cloned across namespaces.
fn can_clone(fuse: &OwnedFd) -> bool {
    let fresh = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
    fresh.is_ok_and(|fresh| sys::clone_fuse(fresh.as_fd(), fuse.as_fd()).is_ok())
}

/// Gives this thread, and those it starts, a file mode mask of their own: the kernel has applied the child's already.
fn without_umask() -> std::io::Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS)?;
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    Ok(())
}
