//! Laws of the layers, the diff and apply, and a crash at every step.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod apply;
mod crash;
mod hunks;
mod kinds;
mod laws;
mod view;
