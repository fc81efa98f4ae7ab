//! Proofs about rules: what a set of rules can never say, and where two sets of rules differ, over all requests at once.
//!
//! A question becomes one Cedar condition about a request; `cedar-policy-symcc` turns it into a question for a solver
//! (SMT-LIB), which answers that no request meets it, or gives one. This module is pure: whoever uses it brings the
//! solver as an [`Oracle`]. Nothing a solver says is shown before the ordinary evaluator has said the same.
//!
//! Not every request the schema allows can come about. What is known of real ones stands in [`REQUESTS`]; those facts are
//! assumed here and held against the code that builds requests by tests.

mod condition;
mod diff;
mod jar;
mod property;
mod prover;
mod rules;
mod shape;
mod wire;
mod witness;

pub use diff::{Difference, Transition};
pub use property::{PROPERTIES, Property};
pub use prover::{Outcome, Proof, Prover};
pub use rules::Rules;
pub use wire::{Oracle, Reply};
pub use witness::{Fact, Witness};

/// What is known of every request that can come about, as rules that forbid those that cannot.
pub const REQUESTS: &str = include_str!("../../../../policies/prove/requests.cedar");
