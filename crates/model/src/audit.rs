//! Audit records: what was intended before an effect, what came of it after.

use crate::{
    Analysis, Assessment, Attempt, ChangeSet, Connection, Containment, Decision, Exit, FilePath, Limit, ProfileId,
    Review, TrialId,
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
        /// Who agreed: `policy`, `person`, or nobody (`None`: it did not run).
        approved_by: Option<String>,
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
        /// `policy` or `person`.
        by: String,
    },
    /// The decision was carried out.
    Settled {
        /// `applied`, `undone`, `discarded` or `expired`.
        outcome: String,
        /// How many changes became real, or with `undone` are real no more.
        applied: u64,
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
    /// Something failed; the words say what and what was left.
    Failed {
        /// Escaped.
        error: String,
    },
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
    /// What happened.
    #[serde(flatten)]
    pub stage: Stage,
}
