//! Whether a name exists outside: a program that asks for one that does not is told so at once, and not when it dials.

use crate::sys;
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// How long a program waits for that; then its name has an address, and what is wrong with it comes out when it dials.
const PATIENCE: Duration = Duration::from_secs(2);
/// Look-ups at the same time; each may last as long as the host's resolver has patience.
const LOOKUPS_MAX: usize = 32;

/// Counts look-ups under way.
#[derive(Default)]
pub(super) struct Lookups(Arc<AtomicUsize>);

impl Lookups {
    /// Whether the host's resolver says that there is no such name. Everything else is not known.
    pub(super) fn is_absent(&self, name: &str) -> bool {
        let Ok(name) = CString::new(name) else {
            return false;
        };
        let under_way = Arc::clone(&self.0);
        if under_way.fetch_add(1, Ordering::AcqRel) >= LOOKUPS_MAX {
            under_way.fetch_sub(1, Ordering::AcqRel);
            return false;
        }
        let (tell, told) = channel();
        let started = thread::Builder::new().name("belljar-name".into()).spawn(move || {
            // Who asked may have gone meanwhile.
            let _ = tell.send(sys::no_such_name(&name));
            under_way.fetch_sub(1, Ordering::AcqRel);
        });
        if started.is_err() {
            self.0.fetch_sub(1, Ordering::AcqRel);
            return false;
        }
        told.recv_timeout(PATIENCE).unwrap_or(false)
    }
}
