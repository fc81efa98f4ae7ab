//! Findings: a numbered check that fired, and where.

use crate::Risk;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// Byte range in the analysed text: `start` inclusive, `end` exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes from `start` up to `end`.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Span {
        Span { start, end }
    }
}

/// The stable number of a check, written `BJ004`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckId(pub u16);

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BJ{:03}", self.0)
    }
}

impl fmt::Debug for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for CheckId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<CheckId, &'static str> {
        text.strip_prefix("BJ")
            .filter(|digits| digits.len() == 3)
            .and_then(|digits| digits.parse().ok())
            .map(CheckId)
            .ok_or("a check is written BJ and three digits, as in BJ004")
    }
}

impl Serialize for CheckId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CheckId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CheckId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A check that fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which check.
    pub check: CheckId,
    /// The tier this finding alone justifies when the command runs bare.
    pub severity: Risk,
    /// Where in the text.
    pub span: Span,
    /// One plain sentence, lower case, no full stop; already escaped for a terminal.
    pub message: String,
}
