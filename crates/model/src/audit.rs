//! Audit records: what was intended before an effect, what came of it after.

use crate::{
    Analysis, Assessment, Attempt, ChangeSet, Connection, Containment, Decision, Exit, FilePath, Grant, Limit, Place,
    ProfileId, Review, TrialId,
};
use serde::{Deserialize, Serialize};

/// What a record tells of. Only names and facts; never content of files, values of variables or child output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum Stage {
    /// A command was decided on; written and synced before it may run.
    Decided {
        /// What it was predicted to do.
        analysis: Box<Analysis>,
        /// How risky.
        assessment: Assessment,
        /// What the policy said.
        decision: Decision,
        /// The profile it was to run under.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        profile: Option<ProfileId>,
        /// Who agreed: `policy`, `person` (`person at CHANNEL`), `grant` with the names of grants, or nobody (`None`: it did
        /// not run).
        approved_by: Option<String>,
        /// SHA-256 of the policy that decided, hexadecimal; records of older versions have none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        policy: Option<String>,
        /// Where it was to run: with `analysis` and `assessment` all that the policy was asked. Records of older versions
        /// have none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<Place>,
    },
    /// The command ended.
    Ran {
        /// How.
        exit: Exit,
        /// What held it.
        containment: Containment,
        /// What it tried.
        attempts: Vec<Attempt>,
        /// Whom it reached over the network.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        connections: Vec<Connection>,
        /// Secrets that it was shown because somebody asked for it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        shown: Vec<FilePath>,
        /// What it changed.
        changes: ChangeSet,
        /// How that was judged.
        review: Review,
        /// Limits it met.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        limits_hit: Vec<Limit>,
    },
    /// A decision about its changes was made; written and synced before any becomes real.
    Settling {
        /// `apply`, `undo`, `discard` or `expire`.
        verb: String,
        /// Absolute paths chosen; empty means all.
        paths: Vec<FilePath>,
        /// `policy`, `person`, or `grant` with the names of grants.
        by: String,
        /// The changes that grants answered for; the others were the policy's to take.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        granted: Vec<FilePath>,
    },
    /// The decision was carried out.
    Settled {
        /// `applied`, `undone`, `discarded` or `expired`.
        outcome: String,
        /// How many changes became real, or with `undone` are real no more.
        applied: u64,
    },
    /// A receipt was written of what became real.
    Receipted {
        /// SHA-256 of its bytes, hexadecimal.
        sha256: String,
    },
    /// Commands of a jar are to be taken back; written and synced before they are.
    Rewinding {
        /// Number of the first of them.
        to: u64,
        /// How many.
        commands: u64,
    },
    /// They were taken back.
    Rewound {
        /// The jar is as it was before this command.
        to: u64,
        /// How many changes of earlier ones wait still.
        left: u64,
    },
    /// A grant was made; written and synced before it counts.
    Granted {
        /// It.
        grant: Grant,
    },
    /// Grants do not count any more.
    Revoked {
        /// Their names.
        grants: Vec<String>,
    },
    /// Something failed; the words say what and what was left.
    Failed {
        /// Escaped.
        error: String,
    },
    /// What the log holds so far, sealed. The log writes these by itself.
    Checkpoint {
        /// In which segment it stands, counted from 0. All segments but the first begin with one.
        segment: u64,
        /// Lines before this one, in all segments.
        lines: u64,
        /// The perfect subtrees of the Merkle tree (RFC 6962) over those lines, largest first, hexadecimal.
        peaks: Vec<String>,
        /// Which key sealed it; `None`: no key was set up, and the seal is a plain digest.
        epoch: Option<u64>,
        /// HMAC-SHA-256 (or without a key SHA-256) over the bytes of its line before this field, hexadecimal.
        seal: String,
    },
}

/// Part of a record that was too long to be kept whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Where in the record, for example `changes.changes`.
    pub at: String,
    /// How many entries, or with a text how many bytes.
    pub count: u64,
    /// SHA-256 over what was left out: entries as JSON, each with a newline behind it; a text as it is. Hexadecimal.
    pub sha256: String,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// 0, 1, 2 ... without a gap.
    pub seq: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub time_ms: u64,
    /// Numeric id of the user that ran Belljar.
    pub uid: u32,
    /// The trial it is about; `check` and refused runs have none.
    pub trial: Option<TrialId>,
    /// What of it is not written here because it would be too long.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// What happened.
    #[serde(flatten)]
    pub stage: Stage,
}
