//! The one integration binary: gates over the sources, and the real program driven from outside.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::string_slice, unreachable_pub)]

mod approver;
extern crate policy as belljar_policy;

mod audit;
mod backend;
mod bad_input;
mod check;
mod containment;
mod crash;
mod escape;
mod example_project;
mod exits;
mod explanation;
mod fatigue;
mod fidelity;
mod gates;
mod grants;
mod held;
mod import;
mod jars;
mod kills;
mod labelled;
mod landing;
mod learn;
mod limits;
mod names;
mod nested;
mod network;
mod odd_places;
mod open_jars;
mod parts;
mod policy;
mod predicted;
mod profiles;
#[cfg(feature = "prove")]
mod prove;
#[cfg(feature = "prove")]
mod proved_jars;
mod real_repo;
mod replay;
mod review;
mod seams;
mod suggest;
mod support;
mod terminal;
mod trust;
mod undo;
mod watch;
mod who;
mod withheld;
