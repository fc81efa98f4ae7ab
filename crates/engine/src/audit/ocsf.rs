//! Records in the Open Cybersecurity Schema Framework (<https://schema.ocsf.io>, 1.3.0), for the tools that collect logs.

use model::{AuditRecord, Exit, Risk, Stage, Verdict};
use serde_json::{Value, json};

/// One record as an event; checkpoints are no event. What OCSF has no word for is in `unmapped`.
#[must_use]
pub fn event(record: &AuditRecord) -> Option<Value> {
    const PROCESS: (u32, u32) = (1, 1007);
    const FILES: (u32, u32) = (1, 1001);
    /// User access: privileges assigned and revoked.
    const ACCESS: (u32, u32) = (3, 3005);
    // OCSF numbers: activity of the class, severity, status (1 success, 2 failure).
    let ((category, class), activity, severity, status, more) = match &record.stage {
        Stage::Decided { analysis, assessment, decision, approved_by, .. } => {
            let severity = match assessment.tiers.contained {
                Risk::Low => 1,
                Risk::Medium => 3,
                Risk::High => 4,
            };
            let (action, disposition) = match (decision.verdict, approved_by) {
                (_, Some(_)) => (1, 1),
                (Verdict::Deny, None) => (2, 2),
                (_, None) => (2, 6),
            };
            let more =
                json!({"process": {"cmd_line": analysis.text}, "action_id": action, "disposition_id": disposition});
            (PROCESS, 1, severity, if approved_by.is_some() { 1 } else { 2 }, more)
        }
        Stage::Ran { exit, .. } => {
            let code = match exit {
                Exit::Code(code) => *code,
                Exit::Signal(signal) => 128 + signal,
            };
            (PROCESS, 2, 1, 1, json!({"exit_code": code}))
        }
        Stage::Settling { .. } | Stage::Settled { .. } | Stage::Rewinding { .. } | Stage::Rewound { .. } => {
            (FILES, 3, 1, 1, json!({}))
        }
        Stage::Granted { .. } => (ACCESS, 1, 1, 1, json!({})),
        Stage::Revoked { .. } => (ACCESS, 2, 1, 1, json!({})),
        Stage::Receipted { .. } => (FILES, 0, 1, 1, json!({})),
        Stage::Failed { error } => (PROCESS, 0, 3, 2, json!({"status_detail": error})),
        Stage::Checkpoint { .. } => return None,
    };
    let mut event = json!({
        "category_uid": category,
        "class_uid": class,
        "activity_id": activity,
        "type_uid": class * 100 + activity,
        "severity_id": severity,
        "status_id": status,
        "time": record.time_ms,
        "actor": {"user": {"uid": record.uid.to_string()}},
        "metadata": {
            "version": "1.3.0",
            "uid": record.seq.to_string(),
            "correlation_uid": record.trial,
            "profiles": ["security_control"],
            "product": {"name": "belljar", "vendor_name": "belljar", "version": env!("CARGO_PKG_VERSION")},
        },
        "unmapped": record.stage,
    });
    if let (Some(fields), Value::Object(more)) = (event.as_object_mut(), more) {
        fields.extend(more);
    }
    Some(event)
}
