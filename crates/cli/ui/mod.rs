//! Words for people. What a stranger wrote (names, commands, output) is escaped; colour only where it is wanted.

mod answer;
mod approval;
mod changes;
mod check;
mod grants;
mod health;
mod import;
mod key;
mod landing;
mod policy;
#[cfg(feature = "prove")]
mod prove;
mod reached;
mod replay;
mod style;
mod suggest;
mod terminal;
mod trials;
mod who;

pub(crate) use answer::{answer, note};
pub(crate) use changes::count;
pub(crate) use check::{check, checks, explain};
pub(crate) use grants::{granted, grants, grants_revoked};
pub(crate) use health::{doctor, policies, record, verification};
pub(crate) use import::imported;
pub(crate) use policy::{explained, learnt, names, revoked, tested, trust_list, trusted};
#[cfg(feature = "prove")]
pub(crate) use prove::{difference, properties, proved};
pub(crate) use replay::replayed;
pub(crate) use suggest::suggested;
pub(crate) use terminal::Terminal;
pub(crate) use trials::{
    diff, ended, expired, not_discarded, not_given, red, rewound, settled, show, summary, swept, trials,
};
pub(crate) use who::who;

use crate::failure::Failure;
use crate::json;
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use style::Style;

/// One JSON document on standard output.
pub(crate) fn print_json(document: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{document}")
}

/// One JSON document on standard output, which need not be put together first.
pub(crate) fn print_line(document: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(document)?;
    line.push(b'\n');
    io::stdout().lock().write_all(&line)
}

/// A text that ends its own lines, on standard output.
pub(crate) fn print(text: &str) -> io::Result<()> {
    io::stdout().lock().write_all(text.as_bytes())
}

/// An OS string for a person.
pub(crate) fn os(text: &OsStr) -> String {
    model::escape::bytes(text.as_bytes())
}

/// A failure and what to do next: in words on standard error; asked for JSON, as a document on standard output.
pub(crate) fn failure(failure: &Failure, as_json: bool) {
    if failure.is_broken_pipe() {
        // Whoever read our output has had enough; that is no failure.
        return;
    }
    // Where even the failure cannot be told, the exit code still tells it.
    let _ = if as_json { print_json(&json::failure(failure)) } else { failure_in_words(failure) };
}

fn failure_in_words(failure: &Failure) -> io::Result<()> {
    let style = Style::stderr();
    let mut out = io::stderr().lock();
    writeln!(out, "{}: {}", style.red("belljar"), model::escape::text(&failure.message()))?;
    match failure.hint() {
        Some(hint) => writeln!(out, "  {} {hint}", style.dim("hint:")),
        None => Ok(()),
    }
}
