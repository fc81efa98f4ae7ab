//! Replay: two policies over what was decided on, from the audit log or from requests as JSON lines, on several threads;
//! or over a part of them, whose table others merge.

mod pool;
mod record;
mod side;

use crate::error::RunError;
use policy::replay::NotARequest;
pub use policy::replay::{Decides, Replay, Request, Table};
pub use pool::{Feed, LINE_MAX, replay};
pub use record::request;
use serde::{Deserialize, Serialize};
pub use side::{Side, Sides};
use std::io;

/// Why nothing came of a replay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// A line is no request: nothing of the others counts.
    #[error("{name}: line {line}: {what}")]
    Line {
        /// The input, escaped.
        name: String,
        /// Which, from 1.
        line: u64,
        /// What is wrong with it, escaped.
        what: String,
    },
    /// The input could not be read.
    #[error("read {name}")]
    Read {
        /// The input, escaped.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There was nothing in it.
    #[error("{name}: there is no request in it")]
    Empty {
        /// The input, escaped.
        name: String,
    },
    /// A table that is to be merged is of other policies.
    #[error("{name}: line {line}: it is a table of other policies, or of another version of Belljar")]
    Others {
        /// The input, escaped.
        name: String,
        /// Which, from 1.
        line: u64,
    },
    /// A thread died.
    #[error("replay: a thread ended before its work did")]
    Thread,
}

impl ReplayError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            ReplayError::Line { .. } => Some(
                "requests are what `belljar audit export --format requests` prints, a line each; no line may be wrong"
                    .into(),
            ),
            ReplayError::Read { .. } => Some("it must exist, be a file and be readable for you".into()),
            ReplayError::Empty { .. } => Some(
                "`--log` replays the audit log of this machine; `belljar audit export --format requests` prints one"
                    .into(),
            ),
            ReplayError::Others { .. } => Some("run all workers with the same program and the same policies".into()),
            ReplayError::Thread => None,
        }
    }
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("it is empty")]
    Empty,
    #[error("{}", json(.0))]
    Json(serde_json::Error),
    #[error(transparent)]
    Request(#[from] NotARequest),
}

/// Without the line that the parser counts, which is always the first.
fn json(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    format!("{} at column {}", model::escape::text(what), error.column())
}

/// The schema of a worker's answer.
const PART: &str = "belljar.replay-part/1";

/// The table of a part of the requests, as a worker sends it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    schema: String,
    a: String,
    b: String,
    table: Table,
}

impl Part {
    /// With what it is a table of.
    #[must_use]
    pub fn new(sides: &Sides, table: Table) -> Part {
        Part { schema: PART.to_owned(), a: sides.a.sha256().to_owned(), b: sides.b.sha256().to_owned(), table }
    }
}

/// Merges the tables of workers, a JSON line each.
///
/// # Errors
/// When a line is none, or of other policies than `sides`.
pub fn merge(name: &str, lines: impl io::BufRead, sides: &Sides) -> Result<Table, RunError> {
    let name = model::escape::text(name);
    let mut all: Option<Table> = None;
    for (at, text) in (1..).zip(lines.split(b'\n')) {
        let text = text.map_err(|source| ReplayError::Read { name: name.clone(), source })?;
        let wrong = |what: String| ReplayError::Line { name: name.clone(), line: at, what };
        let part: Part = serde_json::from_slice(&text).map_err(|error| wrong(json(&error)))?;
        if part.schema != PART || part.a != sides.a.sha256() || part.b != sides.b.sha256() {
            return Err(ReplayError::Others { name, line: at }.into());
        }
        all = Some(all.unwrap_or_default().merge(part.table));
    }
    all.ok_or_else(|| ReplayError::Empty { name }.into())
}
