//! Replay: what another policy would decide on what was decided on, as a table of transitions with witnesses.
//!
//! Tables of any parts of the requests merge into the table of all of them, whichever way they were cut: counts are
//! added, and of the witnesses the smallest are kept.

mod lens;
pub(crate) mod request;
mod table;

use crate::policy::Policy;
use lens::Lens;
use model::Verdict;
pub use request::{Inexact, NotARequest, Request, VERSION};
use std::collections::HashMap;
pub use table::{Cell, NotATable, Table, WITNESSES};

/// Answers kept at most; some 100 bytes each.
const KNOWN_MAX: usize = 1 << 20;

/// Two policies that are asked the same. For one thread: each has its own.
#[derive(Debug)]
pub struct Replay {
    policies: [Policy; 2],
    seen: Seen,
}

/// The answers so far, by what the rules see of a question.
struct Seen {
    lens: Lens,
    known: HashMap<Vec<u8>, [Verdict; 2]>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seen").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

/// What one policy decides on a request, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decides {
    /// The strictest answer over its parts.
    pub verdict: Verdict,
    /// What the deciding part is about, in words, escaped.
    pub about: String,
    /// The rules that determined it; empty: none permits it.
    pub rules: Vec<String>,
}

impl Replay {
    /// From `a` to `b`.
    #[must_use]
    pub fn new(a: Policy, b: Policy) -> Replay {
        let lens = Lens::new([a.engine(), b.engine()]);
        Replay { policies: [a, b], seen: Seen { lens, known: HashMap::new(), key: Vec::new() } }
    }

    /// Asks both and enters the answers.
    pub fn take(&mut self, request: Request<'_>, table: &mut Table) {
        match request.why_inexact() {
            Some(why) => table.add_inexact(why),
            None => {
                let [from, to] = self.ask(&request);
                table.add(from, to, request);
            }
        }
    }

    /// The strictest answers over all parts. A request without parts is denied.
    fn ask(&mut self, request: &Request<'_>) -> [Verdict; 2] {
        let Replay { policies, seen } = self;
        let mut strictest: Option<[Verdict; 2]> = None;
        for part in &request.parts {
            seen.lens.key(part, request.uid, request.contained, &mut seen.key);
            let answers = match seen.known.get(&seen.key) {
                Some(answers) => *answers,
                None => {
                    let answers = [0, 1].map(|at: usize| {
                        let policy = policies.get(at);
                        policy.map_or(Verdict::Deny, |policy| {
                            let engine = policy.engine();
                            engine.ask(part.asked(engine.words(), request.uid, request.contained)).verdict
                        })
                    });
                    if seen.known.len() >= KNOWN_MAX {
                        seen.known.clear();
                    }
                    seen.known.insert(seen.key.clone(), answers);
                    answers
                }
            };
            let [a, b] = strictest.unwrap_or(answers);
            strictest = Some([a.max(answers[0]), b.max(answers[1])]);
        }
        strictest.unwrap_or([Verdict::Deny; 2])
    }

    /// Why both decide as they do on a witness.
    #[must_use]
    pub fn explain(&self, request: &Request<'_>) -> [Decides; 2] {
        self.policies.each_ref().map(|policy| {
            let engine = policy.engine();
            let mut strictest: Option<Decides> = None;
            for part in &request.parts {
                let answer = engine.ask(part.asked(engine.words(), request.uid, request.contained));
                if strictest.as_ref().is_none_or(|so_far| answer.verdict > so_far.verdict) {
                    strictest = Some(Decides { verdict: answer.verdict, about: part.about(), rules: answer.rules });
                }
            }
            let nothing = || Decides { verdict: Verdict::Deny, about: String::new(), rules: Vec::new() };
            strictest.unwrap_or_else(nothing)
        })
    }

    /// How many questions both were asked for the answers given so far.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.seen.known.len()
    }
}
