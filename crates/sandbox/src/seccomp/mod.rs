//! seccomp(2): which system calls the jar refuses, as a table, and the program the kernel runs for each call.

/// System calls by the constants of libc, each with its name.
macro_rules! named {
    ($($(#[$when:meta])* $call:ident),* $(,)?) => { &[$($(#[$when])* (libc::$call, stringify!($call))),*] };
}

mod names;
mod program;
pub(crate) mod table;

use libc::sock_filter;
pub(crate) use names::name;
use std::borrow::Cow;
use std::sync::LazyLock;
use table::Rule;

/// The program for this machine's architecture. With `nested`, a Belljar inside can make jars.
pub(crate) fn program(nested: bool) -> Vec<sock_filter> {
    program::compile(&table::rules(false, nested))
}

/// As [`program`], with calls that name a network peer reported first; with `files`, [`observing`]; with `forks`, those that
/// start a process too.
pub(crate) fn watching(nested: bool, files: bool, forks: bool) -> Cow<'static, [sock_filter]> {
    if !nested && !files && !forks {
        return Cow::Borrowed(&USUAL);
    }
    let rules = if files { observing(nested) } else { table::rules(true, nested) };
    Cow::Owned(program::compile(&if forks { table::watching(rules, table::FORKS) } else { rules }))
}

/// What nearly every jar gets.
static USUAL: LazyLock<Vec<sock_filter>> = LazyLock::new(|| program::compile(&table::rules(true, false)));

/// Compiles that, while there is nothing better to do.
pub(crate) fn prepare() {
    LazyLock::force(&USUAL);
}

/// The table in which calls that name files are reported too, and what is refused is refused by whoever watches, who can
/// tell of it then. It refuses what the others refuse.
pub(crate) fn observing(nested: bool) -> Vec<Rule> {
    table::observing(table::rules(true, nested), &crate::files::calls())
}

/// The program of a jar without namespaces, whose supervisor must answer.
pub(crate) fn guarded_program() -> Vec<sock_filter> {
    program::compile(&table::guarded_rules())
}
