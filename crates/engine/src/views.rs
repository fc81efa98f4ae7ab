//! The views of a jar while Belljar serves them.

use crate::error::RunError;
use crate::record::TrialRecord;
use model::Attempt;
use overlay::{Budget, Overlay, Served, Serving};
use sandbox::Remains;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

/// In a jar inside a jar.
const NO_NUMBERS: &str = "who made the changes is not recorded: the jar has the /proc of the jar around it, where processes have other numbers";

/// The views of a jar that Belljar serves, and what they may take together.
pub(crate) struct Views {
    /// With the index of its root.
    served: Vec<(usize, Served)>,
    budget: Arc<Budget>,
    /// Whether all changes can be ascribed to processes.
    numbered: bool,
}

impl Views {
    pub(crate) fn new(limits: model::Limits) -> Views {
        Views { served: Vec::new(), budget: Arc::new(Budget::new(limits)), numbered: true }
    }

    /// The overlay of this root has been mounted: requests are answered from now on.
    pub(crate) fn serve(
        &mut self,
        index: usize,
        overlay: &Overlay,
        fuse: OwnedFd,
        processes: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let processes = processes.map(|fd| fd.try_clone_to_owned()).transpose()?;
        self.numbered &= processes.is_some();
        let serving = Serving { processes, budget: Some(Arc::clone(&self.budget)), ..Serving::default() };
        self.served.push((index, overlay.serve_jar(fuse, serving).map_err(io::Error::other)?));
        Ok(())
    }

    /// A checkpoint of each, in the order of the roots, while nothing runs.
    pub(crate) fn checkpoint(&self) -> Result<Vec<u64>, RunError> {
        let mut served: Vec<&(usize, Served)> = self.served.iter().collect();
        served.sort_by_key(|(index, _)| *index);
        Ok(served.into_iter().map(|(_, served)| served.checkpoint()).collect::<Result<_, _>>()?)
    }

    /// What was tried since this was last asked.
    pub(crate) fn take_attempts(&self) -> Vec<Attempt> {
        self.served.iter().flat_map(|(_, served)| served.take_attempts()).collect()
    }

    /// Nothing ran in them.
    pub(crate) fn give_up(self) {
        // Why it did not is the error worth telling.
        self.served.into_iter().for_each(|(_, served)| drop(served.finish()));
    }

    /// Waits until nothing of them is mounted any more, or, where something remains of their jar, in which nothing runs, does
    /// not. What was tried; the rest of what is known goes into the record.
    pub(crate) fn finish(self, record: &mut TrialRecord, remains: &Remains) -> Result<Vec<Attempt>, RunError> {
        let end = if remains.are_gone() { Served::finish } else { Served::finish_unused };
        let mut attempts = Vec::new();
        for (_, served) in self.served {
            let observed = end(served)?;
            attempts.extend(observed.attempts);
            record.unattributed = record.unattributed.take().or(observed.lost.map(overlay::Lost::describe));
        }
        if !self.numbered {
            record.unattributed = Some(NO_NUMBERS.to_owned());
        }
        record.limits_hit = self.budget.hits();
        Ok(attempts)
    }
}
