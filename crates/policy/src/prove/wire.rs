//! The wire between the compiler from Cedar, whose interface is asynchronous, and an oracle, which is not.

use cedar_policy_symcc::solver::{Decision, DecisionWithModel, Solver, SolverError};
use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// What answers questions in SMT-LIB.
pub trait Oracle {
    /// Answers one question: a script up to `(check-sat)`, without it. Every question is new, nothing is remembered.
    fn ask(&mut self, script: &str) -> Reply;
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// There is no such thing.
    Unsat,
    /// There is: the text of `(get-model)`.
    Sat(String),
    /// No answer, and why: it took too long, or the solver failed.
    Unknown(String),
}

/// Collects a script, and asks when the compiler says so.
pub(super) struct Wire<'o> {
    oracle: &'o mut dyn Oracle,
    script: Vec<u8>,
    /// How often the oracle was asked.
    pub(super) asked: u64,
    /// Why there was no answer to the last question.
    pub(super) why: Option<String>,
}

impl<'o> Wire<'o> {
    pub(super) fn new(oracle: &'o mut dyn Oracle) -> Wire<'o> {
        Wire { oracle, script: Vec::new(), asked: 0, why: None }
    }

    /// Forgets what a question that came to nothing has left.
    pub(super) fn clear(&mut self) {
        self.script.clear();
        self.why = None;
    }

    fn ask(&mut self) -> Reply {
        self.asked = self.asked.saturating_add(1);
        let script = std::mem::take(&mut self.script);
        let reply = match std::str::from_utf8(&script) {
            Ok(script) => self.oracle.ask(script),
            Err(_) => Reply::Unknown("the question is not text".to_owned()),
        };
        if let Reply::Unknown(why) = &reply {
            self.why = Some(why.clone());
        }
        reply
    }
}

impl Solver for Wire<'_> {
    fn smtlib_input(&mut self) -> &mut (dyn tokio::io::AsyncWrite + Unpin + Send) {
        &mut self.script
    }

    fn enable_models(&mut self) -> impl Future<Output = Result<(), SolverError>> + Send {
        self.script.extend_from_slice(b"(set-option :produce-models true)\n");
        ready(Ok(()))
    }

    fn check_sat(&mut self) -> impl Future<Output = Result<Decision, SolverError>> + Send {
        ready(Ok(match self.ask() {
            Reply::Unsat => Decision::Unsat,
            Reply::Sat(_) => Decision::Sat,
            Reply::Unknown(_) => Decision::Unknown,
        }))
    }

    fn check_sat_with_model(&mut self) -> impl Future<Output = Result<DecisionWithModel, SolverError>> + Send {
        let answer: Ready<Result<DecisionWithModel, SolverError>> = ready(Ok(match self.ask() {
            Reply::Unsat => DecisionWithModel::Unsat,
            Reply::Sat(model) => DecisionWithModel::Sat { model },
            Reply::Unknown(_) => DecisionWithModel::Unknown,
        }));
        answer
    }
}

/// The result of a future that never waits, as one is that only writes to memory; no runtime is needed to get it.
pub(super) fn finished<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}
