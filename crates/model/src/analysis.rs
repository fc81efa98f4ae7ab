//! What the analyser says about a command text.

use crate::{Effect, Finding, Span};
use serde::{Deserialize, Serialize};

/// Whether every byte that matters was understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "unexplained", rename_all = "lowercase")]
pub enum Coverage {
    /// Every part was explained by a table row.
    Full,
    /// These parts were not.
    Partial(Vec<Span>),
}

/// One program start in the form that will really run: unquoted argv with its redirections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// The words after expansion; a word that is not known stands as its source text in `‹›`.
    pub argv: Vec<String>,
    /// Redirections as `fd op target`, for example `1> /dev/null`.
    pub redirects: Vec<String>,
    /// Assignments in front of the command, `NAME=value`.
    pub env: Vec<String>,
    /// Where in the text.
    pub span: Span,
}

/// Why a part is read-only: the table row that says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The part.
    pub span: Span,
    /// The row, for example `files/ls`.
    pub row: String,
}

/// Everything the analyser knows about one text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Analysis {
    /// The text as it was given.
    pub text: String,
    /// In source order.
    pub effects: Vec<Effect>,
    /// In source order.
    pub findings: Vec<Finding>,
    /// What was not understood.
    pub coverage: Coverage,
    /// The canonical form: what will really run.
    pub canonical: Vec<Invocation>,
    /// For every part that is proven read-only, the row that proves it.
    pub certificates: Vec<Certificate>,
}

impl Analysis {
    /// That of a text which is wholly understood, in which no check fires, and which does just this.
    #[must_use]
    pub fn of(text: &str, effects: Vec<Effect>) -> Analysis {
        Analysis {
            text: text.to_owned(),
            effects,
            findings: Vec::new(),
            coverage: Coverage::Full,
            canonical: Vec::new(),
            certificates: Vec::new(),
        }
    }
}
