//! Risk tiers and the reasons for them.

use crate::{CheckId, Span};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How much could go wrong. The order is the order of danger; the risk of a whole is the maximum of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Every part is proven read-only.
    Low,
    /// Writes stay inside the writable roots and can be undone, or an unknown program runs contained.
    Medium,
    /// Irreversible, outside, privileged, secret, remote; or not understood where it matters.
    High,
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Risk::Low => "LOW",
            Risk::Medium => "MEDIUM",
            Risk::High => "HIGH",
        })
    }
}

/// The same command's risk in the two places it can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tiers {
    /// Inside the jar: overlay, no network, no capabilities.
    pub contained: Risk,
    /// On the bare machine.
    pub bare: Risk,
}

/// One fact that raises the risk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The tiers this fact alone justifies.
    pub tiers: Tiers,
    /// Plain words, lower case, no full stop; escaped for a terminal.
    pub text: String,
    /// The check behind it, if one fired.
    pub check: Option<CheckId>,
    /// Where in the text, if it is about a part of it.
    pub span: Option<Span>,
}

/// Risk with its reasons and an explanation made from the facts alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assessment {
    /// The maximum over all reasons.
    pub tiers: Tiers,
    /// Most dangerous first.
    pub reasons: Vec<Reason>,
    /// At most a few plain sentences for a person.
    pub explanation: Vec<String>,
}
