//! The one integration binary: gates over the sources, and the real program driven from outside.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::string_slice, unreachable_pub)]

mod backend;
mod bad_input;
mod check;
mod containment;
mod crash;
mod escape;
mod example_project;
mod exits;
mod fidelity;
mod gates;
mod jars;
mod kills;
mod labelled;
mod limits;
mod nested;
mod network;
mod parts;
mod policy;
mod predicted;
mod real_repo;
mod seams;
mod support;
mod terminal;
mod undo;
mod who;
mod withheld;
