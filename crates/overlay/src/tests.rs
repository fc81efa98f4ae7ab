//! Laws of the layers, the diff and apply, and a crash at every step.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod apply;
mod copy;
mod crash;
mod full;
mod full_host;
mod hostile;
mod hunks;
mod kernel;
mod kinds;
mod laws;
mod making;
mod model;
mod names;
mod rewind;
mod seams;
mod torn;
mod undo;
mod view;
mod watch;
