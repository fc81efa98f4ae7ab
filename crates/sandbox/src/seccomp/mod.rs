//! seccomp(2): which system calls the jar refuses, as a table, and the program the kernel runs for each call.

mod program;
pub(crate) mod table;

use libc::sock_filter;

/// The program for this machine's architecture. With `watch`, calls that name a network peer are reported first; with
/// `nested`, a Belljar inside can make jars.
pub(crate) fn program(watch: bool, nested: bool) -> Vec<sock_filter> {
    program::compile(&table::rules(watch, nested))
}

/// The program of a jar without namespaces, whose supervisor must answer.
pub(crate) fn guarded_program() -> Vec<sock_filter> {
    program::compile(&table::guarded_rules())
}
