//! Code of other languages that stands in a command (BJ013): whether all of it is known to only compute, and what it does
//! to files otherwise.
//!
//! A wrong "pure" is a hole, a wrong "opaque" a question: every reader takes a program only when each part of it is on a
//! list. Python, JavaScript and Ruby are read with their grammars by one walker ([`walk`]) and a table each; awk and Perl
//! by readers of their own, because the one is small and the other cannot be told from its text without running it.

pub(crate) mod awk;
pub(crate) mod javascript;
mod javascript_names;
#[cfg(test)]
mod javascript_tests;
pub(crate) mod perl;
pub(crate) mod python;
pub(crate) mod python_names;
#[cfg(test)]
mod python_tests;
pub(crate) mod ruby;
mod ruby_names;
#[cfg(test)]
mod ruby_tests;
mod walk;

/// What a program does besides computing and using its standard streams. Names are constants of its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) reads: Vec<String>,
    pub(crate) writes: Vec<String>,
    pub(crate) deletes: Vec<String>,
    /// Removed with everything below them.
    pub(crate) trees_deleted: Vec<String>,
    /// Shell text it runs for what it does.
    pub(crate) shell: Vec<String>,
    /// Shell text it runs to print into or to read from.
    pub(crate) pipes: Vec<String>,
    /// Environment variables it looks at.
    pub(crate) variables: Vec<String>,
    /// Modules that are imported and that nobody here knows: their code runs.
    pub(crate) modules: Vec<String>,
    /// Modules of Python that a file in the working directory could stand in for.
    pub(crate) imports: Vec<String>,
}
