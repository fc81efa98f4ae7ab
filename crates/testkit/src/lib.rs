//! A hermetic world for tests: own home, own workspace, own state, the real binary, as root or as an ordinary user.
//!
//! Knows nothing of the floors: it drives the built program from outside, as a person would. A world that cannot be
//! set up must stop its test, so this crate panics where the product would return an error.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]

mod account;
mod leftovers;
mod output;
mod pty;
mod random;
mod toolchain;
mod tree;
mod wait;
mod world;

pub use account::Account;
pub use leftovers::Leftovers;
pub use nix::sys::signal::Signal;
pub use output::Output;
pub use pty::Pty;
pub use random::Random;
pub use tree::{Entry, Snapshot};
pub use wait::{Child, until};
pub use world::{Run, World};
