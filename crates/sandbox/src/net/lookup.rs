//! Whether a name exists outside: a program that asks for one that does not is told so at once, and not when it dials.

use crate::sys;
use std::collections::HashMap;
use std::ffi::CString;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a program waits for that; then its name has an address, and what is wrong with it comes out when it dials.
const PATIENCE: Duration = Duration::from_secs(2);
/// Names that are looked up at the same time; each may take as long as the host's resolver has patience.
const LOOKUPS_MAX: usize = 32;

/// Look-ups under way, and who waits for each: a program asks for both kinds of addresses at once.
#[derive(Clone, Default)]
pub(super) struct Lookups(Arc<Mutex<HashMap<String, Vec<Sender<bool>>>>>);

impl Lookups {
    /// Whether the host's resolver says that there is no such name. Everything else is not known.
    pub(super) fn is_absent(&self, name: &str) -> bool {
        let (tell, told) = channel();
        let mut under_way = self.under_way();
        let first = !under_way.contains_key(name);
        if first && under_way.len() >= LOOKUPS_MAX {
            return false;
        }
        under_way.entry(name.to_owned()).or_default().push(tell);
        drop(under_way);
        if first {
            self.begin(name);
        }
        told.recv_timeout(PATIENCE).unwrap_or(false)
    }

    fn begin(&self, name: &str) {
        let (own, text) = (self.clone(), name.to_owned());
        let started = thread::Builder::new().name("belljar-name".into()).spawn(move || {
            let absent = CString::new(text.as_str()).is_ok_and(|name| sys::no_such_name(&name));
            own.tell(&text, absent);
        });
        if started.is_err() {
            self.tell(name, false);
        }
    }

    fn tell(&self, name: &str, absent: bool) {
        for who in self.under_way().remove(name).unwrap_or_default() {
            // Who asked may have gone meanwhile.
            let _ = who.send(absent);
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<String, Vec<Sender<bool>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
