//! The real bash as referee: whatever it runs must stand in the canonical form and whatever it makes among the effects, or
//! the text must be judged HIGH.
//!
//! `BELLJAR_FUZZ=10000000` asks for more texts, `BELLJAR_SEED` for others, `BELLJAR_SECONDS` ends after that long,
//! `BELLJAR_WORKERS` are so many at once and `BELLJAR_OUT` is a directory for each text that hid something; a file `stop` in
//! it ends the run early. Without the right to make namespaces or a C compiler it fails.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::string_slice,
    clippy::disallowed_methods,
    clippy::disallowed_types
)]

mod compare;
mod generate;
mod known;
mod pieces;
mod referee;
mod run;
mod tally;
mod words;

use known::KNOWN;
use referee::Referee;
use run::{Plan, Worker};
use std::path::PathBuf;

/// Texts that are tried on every run, besides the ones in the table.
const TEXTS: u64 = 5000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn bash_does_nothing_that_was_not_announced() {
    let mut worker =
        Worker::new(Referee::new().expect("the right to make namespaces with unshare(1), and a C compiler"));
    KNOWN.iter().for_each(|text| worker.try_known(text));
    let plan = Plan {
        texts: number("BELLJAR_FUZZ").unwrap_or(TEXTS),
        seed: number("BELLJAR_SEED").unwrap_or(1),
        seconds: number("BELLJAR_SECONDS"),
        workers: number("BELLJAR_WORKERS").unwrap_or(2),
        out: std::env::var_os("BELLJAR_OUT").map(PathBuf::from),
    };
    let mut tally = worker.tally;
    tally.merge(plan.run());
    tally.tell();
    if number("BELLJAR_FUZZ").or(plan.seconds).is_some() {
        tally.tell_features();
    }
    assert!(tally.given * 5 > tally.texts * 2, "too few reached bash: {} of {}", tally.given, tally.texts);
    assert!(tally.acted * 2 > tally.given, "the referee saw too little: {} of {}", tally.acted, tally.given);
    assert!(tally.hidden.is_empty(), "{}", tally.hidden.join("\n"));
}
