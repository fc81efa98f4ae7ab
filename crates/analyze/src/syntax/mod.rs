//! Our own reading of bash text, written from the bash manual: the primary structure all effects are taken from.

pub(crate) mod ast;
mod brackets;
mod command;
mod cursor;
mod heredoc;
mod list;
mod quote;
mod word;

pub(crate) use cursor::{Base, Notes, ProblemKind};
pub(crate) use quote::{Escapes, decode_printed};

use ast::List;
use cursor::Reader;

/// Reads `text` to its end. Never fails: what could not be read is in the notes.
pub(crate) fn read(text: &str, base: Base) -> (List, Notes) {
    let mut reader = Reader::new(text, base);
    let list = reader.program();
    (list, reader.into_notes())
}
