//! What a program sees: one document per command, each with its `schema` and version. Fields are only ever added
//! within a version. Paths are strings in which `\` is doubled and bytes that are not UTF-8 stand as `\xHH`.

pub(crate) mod asking;

mod import;
mod replay;
mod suggest;

pub(crate) use import::imported;
pub(crate) use replay::replayed;
pub(crate) use suggest::suggested;

use crate::cmd::check::CheckedText;
use crate::failure::Failure;
use analyze::Check;
use engine::audit::query::Row;
use engine::explain::{Explained, Part, Said};
use engine::layers::Checked;
use engine::suite::Tested;
use engine::suite::{Ran, Wrong};
use engine::{
    Broken, Checkup, JarRun, Listed, Outcome, Project, Rewound, Settlement, Told, TrialRecord, Trusted, Verification,
    Weight,
};
use model::{AuditRecord, Change, ChangeSet, Decision, FilePath, ProfileId, Review, TrialId, hex};
use overlay::{Author, Preview};
use serde::Serialize;
use serde_json::{Value, json};
use std::path::Path;

/// `belljar run --json`, schema `belljar.run/1`.
pub(crate) fn outcome(outcome: &Outcome, code: u8, learnt: Option<&Path>) -> Value {
    let mut document = trial(&outcome.record, &outcome.changes, &outcome.review);
    if let Some(fields) = document.as_object_mut() {
        fields.insert("schema".into(), "belljar.run/1".into());
        fields.insert("approved_by".into(), json!(outcome.approved_by));
        fields.insert("exit_code".into(), code.into());
        fields.insert("exec_errno".into(), outcome.exec_error.into());
        fields.insert("settled".into(), settlement(&outcome.settlement));
        fields.insert("grants".into(), asking::granting(&outcome.grants));
        let learnt = learnt.zip(outcome.learnt.as_ref());
        fields.insert(
            "learnt".into(),
            json!(learnt.map(|(path, text)| json!({"file": FilePath::from(path), "profile": text}))),
        );
    }
    document
}

/// A line of `belljar run --jsonl`, schema `belljar.command/1`. What a command printed is text, or where that is not UTF-8,
/// hexadecimal.
pub(crate) fn told(id: &Value, told: &Told) -> Value {
    let mut document = json!({
        "schema": "belljar.command/1",
        "id": id,
        "number": told.number,
        "risk": told.judged.assessment.tiers,
        "decision": told.judged.decision.verdict,
        "approved_by": told.approved_by,
        "exit": told.exit,
        "exec_errno": told.exec_error,
        "wall_ms": told.wall_ms,
        "attempts": told.attempts,
        "connections": told.connections,
        "limit": told.limit,
        "changes": told.changes.changes.len(),
        "disposition": told.review.disposition,
        "flags": told.review.flags,
        "surprises": told.review.surprises,
    });
    if let Some(fields) = document.as_object_mut() {
        for (name, bytes) in ["stdout", "stderr"].into_iter().zip(told.kept.iter().flatten()) {
            match str::from_utf8(bytes) {
                Ok(text) => fields.insert(name.into(), text.into()),
                Err(_) => fields.insert(format!("{name}_hex"), hex(bytes).into()),
            };
        }
    }
    document
}

/// A command of a batch that did not run.
pub(crate) fn not_run(id: &Value, failure: &Failure) -> Value {
    json!({
        "schema": "belljar.command/1", "id": id,
        "error": {"kind": failure.kind(), "message": failure.message(), "hint": failure.hint(),
                  "exit_code": failure.exit().code()},
    })
}

/// A line that is no command, in its place among the others.
pub(crate) fn bad_command(id: &Value, line: u64, message: &str) -> Value {
    json!({"schema": "belljar.command/1", "id": id,
           "error": {"kind": "input", "line": line, "message": message}})
}

/// `belljar show --json`, schema `belljar.trial/1`.
pub(crate) fn trial(record: &TrialRecord, changes: &ChangeSet, review: &Review) -> Value {
    let mut told = told_of(&record.argv, &record.assessment.explanation, &record.decision);
    json!({
        "schema": "belljar.trial/1",
        "trial": record.id,
        "state": record.state,
        "command": part(&mut told, "argv"),
        "workspace": record.place.workspace,
        "created_ms": record.created_ms,
        "wall_ms": record.wall_ms,
        "exit": record.exit,
        "risk": record.assessment.tiers,
        "explanation": part(&mut told, "explanation"),
        "decision": part(&mut told, "decision"),
        "containment": record.containment,
        "attempts": record.attempts,
        "allow_net": record.allow_net,
        "connections": record.connections,
        "env_withheld": record.env_withheld,
        "applied": record.applied,
        "applied_ms": record.applied_ms,
        "undo_until_ms": engine::expiry::undo_until_ms(record),
        "jar": record.jar,
        "runs": runs(record),
        "unattributed": record.unattributed,
        "limits": record.limits,
        "profile": record.profile,
        "used": record.used,
        "limits_hit": record.limits_hit,
        "usage": record.usage,
        "changes": judged_changes(changes, review),
        "review": review,
    })
}

/// What is told of a command line: without its secrets, which only its owner's record keeps.
fn told_of(argv: &[FilePath], explanation: &[String], decision: &Decision) -> Value {
    let mut told = json!({"argv": argv, "explanation": explanation, "decision": decision});
    engine::audit::without_secrets(&mut told);
    told
}

fn part(of: &mut Value, field: &str) -> Value {
    of.get_mut(field).map(Value::take).unwrap_or_default()
}

/// The commands of a jar, oldest first. `checkpoint` is what `rewind --to` takes; null when an apply ended it.
fn runs(record: &TrialRecord) -> Vec<Value> {
    let row = |run: &JarRun| {
        let mut told = told_of(&run.argv, &[], &run.decision);
        json!({
            "number": run.number,
            "checkpoint": (!run.checkpoints.is_empty()).then_some(run.number),
            "command": part(&mut told, "argv"),
            "cwd": run.cwd,
            "created_ms": run.created_ms,
            "wall_ms": run.wall_ms,
            "exit": run.exit,
            "risk": run.assessment.tiers,
            "decision": part(&mut told, "decision"),
            "attempts": run.attempts,
            "allow_net": run.allow_net,
            "connections": run.connections,
            "profile": run.profile,
            "applied": run.applied,
        })
    };
    record.runs.iter().map(row).collect()
}

/// `belljar rewind --json`, schema `belljar.rewound/1`.
pub(crate) fn rewound(record: &TrialRecord, rewound: &Rewound) -> Value {
    json!({
        "schema": "belljar.rewound/1",
        "trial": record.id,
        "jar": record.jar,
        "to": rewound.to,
        "commands": rewound.taken_back,
        "left": rewound.left,
    })
}

/// `belljar policy check --json`, schema `belljar.policies/1`.
pub(crate) fn policies(checked: &[Checked]) -> Value {
    let row = |file: &Checked| json!({"path": file.path, "fault": file.fault.as_ref().map(ToString::to_string)});
    json!({"schema": "belljar.policies/1", "files": checked.iter().map(row).collect::<Vec<_>>()})
}

/// `belljar policy test --json`, schema `belljar.policy-test/1`.
pub(crate) fn tested(tested: &[Tested]) -> Value {
    let wrong = |wrong: &Wrong| json!({"what": wrong.what, "expected": wrong.expected, "actual": wrong.actual});
    let case = |ran: &Ran| {
        json!({"says": ran.says, "line": ran.line, "holds": ran.wrong.is_empty(), "decided": ran.decided,
               "wrong": ran.wrong.iter().map(wrong).collect::<Vec<_>>()})
    };
    let row = |tested: &Tested| {
        json!({"file": tested.name, "holds": tested.holds(), "fault": tested.fault.as_ref().map(ToString::to_string),
               "cases": tested.ran.iter().map(case).collect::<Vec<_>>()})
    };
    json!({"schema": "belljar.policy-test/1", "holds": tested.iter().all(Tested::holds),
           "files": tested.iter().map(row).collect::<Vec<_>>()})
}

/// `belljar policy explain --json`, schema `belljar.policy-explain/1`.
pub(crate) fn explained(explained: &Explained, profile: &ProfileId) -> Value {
    let said = |said: &Said| json!({"layer": said.layer, "decision": said.verdict, "rules": said.rules});
    let part = |part: &Part| {
        json!({"about": part.because.about, "decision": part.because.verdict, "rules": part.because.rules,
               "layers": part.layers.iter().map(said).collect::<Vec<_>>(), "would_change": part.changes})
    };
    let judged = &explained.judged;
    json!({"schema": "belljar.policy-explain/1", "profile": profile, "contained": judged.place.contained,
           "command": judged.analysis.text, "decision": judged.decision.verdict, "risk": judged.assessment.tiers,
           "explanation": judged.assessment.explanation,
           "parts": explained.parts.iter().map(part).collect::<Vec<_>>()})
}

/// `belljar trust --json`, schema `belljar.trust/1`.
pub(crate) fn trust(path: &FilePath, project: Option<&Project>, trusted: bool) -> Value {
    json!({"schema": "belljar.trust/1", "path": path, "trusted": trusted,
           "digest": project.map(|project| &project.digest),
           "files": project.map(|project| project.names().collect::<Vec<_>>())})
}

/// `belljar trust --list --json`, schema `belljar.trusted/1`.
pub(crate) fn trust_list(rows: &[(&Trusted, bool)]) -> Value {
    let row = |(trusted, holds): &(&Trusted, bool)| json!({"path": trusted.path, "digest": trusted.digest, "since_ms": trusted.since_ms, "unchanged": holds});
    list("belljar.trusted/1", "projects", rows.iter().map(row).collect())
}

fn judged_changes(changes: &ChangeSet, review: &Review) -> Vec<Value> {
    let risks = review.risks.iter().map(Some).chain(std::iter::repeat(None));
    let with_risk = |(change, risk): (&Change, Option<&model::Risk>)| {
        let mut value = json!(change);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("risk".into(), json!(risk));
        }
        value
    };
    changes.changes.iter().zip(risks).map(with_risk).collect()
}

fn settlement(settlement: &Settlement) -> Value {
    match settlement {
        Settlement::Unchanged => json!({"outcome": "unchanged", "applied": 0, "left": 0}),
        Settlement::Applied { applied, left } => json!({"outcome": "applied", "applied": applied, "left": left}),
        Settlement::Discarded => json!({"outcome": "discarded", "applied": 0, "left": 0}),
        Settlement::Undone { undone, left, stays } => {
            json!({"outcome": "undone", "undone": undone, "left": left, "stays": stays})
        }
        Settlement::Left => json!({"outcome": "left"}),
    }
}

/// `belljar apply --json` and `belljar undo --json`, schema `belljar.settled/1`.
pub(crate) fn settled(id: &TrialId, settled: &Settlement) -> Value {
    json!({"schema": "belljar.settled/1", "trial": id, "settled": settlement(settled)})
}

/// A document that holds one list.
pub(crate) fn list(schema: &str, name: &str, rows: Vec<Value>) -> Value {
    let mut document = json!({ "schema": schema });
    if let Some(fields) = document.as_object_mut() {
        fields.insert(name.into(), rows.into());
    }
    document
}

/// `belljar trials --json`, schema `belljar.trials/1`.
pub(crate) fn trials(rows: &[(&Listed, Weight)], broken: &[Broken]) -> Value {
    let row = |(listed, weight): &(&Listed, Weight)| {
        let record = &listed.record;
        json!({
            "id": record.id,
            "state": engine::state(listed),
            "command": part(&mut told_of(&record.argv, &[], &record.decision), "argv"),
            "workspace": record.place.workspace,
            "created_ms": record.created_ms,
            "exit": record.exit,
            "jar": record.jar,
            "runs": record.runs.len(),
            "changes": weight.changes,
            "bytes": weight.bytes,
            "files": weight.files,
            "applied": record.applied,
            "undo_until_ms": engine::expiry::undo_until_ms(record),
            "old": engine::expiry::is_old(listed),
        })
    };
    let damaged = |broken: &Broken| json!({"id": broken.id, "path": broken.path, "error": broken.error});
    json!({
        "schema": "belljar.trials/1",
        "trials": rows.iter().map(row).collect::<Vec<_>>(),
        "damaged": broken.iter().map(damaged).collect::<Vec<_>>(),
    })
}

/// `belljar trials --expire --json`, schema `belljar.expired/1`.
pub(crate) fn expired(days: u32, gone: &[TrialId]) -> Value {
    json!({"schema": "belljar.expired/1", "days": days, "expired": gone})
}

/// `belljar diff --json`, schema `belljar.diff/1`.
pub(crate) fn diff(id: &TrialId, previews: &[(&Change, Preview)]) -> Value {
    let row = |(change, preview): &(&Change, Preview)| {
        json!({"path": change.path, "kind": change.kind, "before": change.before, "after": change.after,
               "differs": change.differs, "preview": preview_value(preview)})
    };
    json!({"schema": "belljar.diff/1", "trial": id, "changes": previews.iter().map(row).collect::<Vec<_>>()})
}

fn preview_value(preview: &Preview) -> Value {
    match preview {
        Preview::Text { diff, hunks } => json!({
            "type": "text",
            "unified": String::from_utf8_lossy(diff),
            "hunks": hunks.iter().map(hunk).collect::<Vec<_>>(),
        }),
        Preview::Binary { before, after } => json!({"type": "binary", "bytes_before": before, "bytes_after": after}),
        _ => json!({"type": "none"}),
    }
}

/// Lines are counted from 1, as in the unified diff.
fn hunk(hunk: &overlay::Hunk) -> Value {
    json!({"number": hunk.number, "old_start": hunk.old_start + 1, "old_lines": hunk.old_lines,
           "new_start": hunk.new_start + 1, "new_lines": hunk.new_lines})
}

/// `belljar check --json`, schema `belljar.check/1`.
pub(crate) fn check(judged: &[CheckedText], profile: &ProfileId) -> Value {
    let row = |checked: &CheckedText| {
        let CheckedText { name, judged, granted } = checked;
        json!({
            "file": name,
            "risk": judged.assessment.tiers,
            "decision": judged.decision.verdict,
            "answer": checked.answer(),
            "granted": granted.iter().map(asking::foreseen).collect::<Vec<_>>(),
            "because": judged.decision.because,
            "reasons": judged.assessment.reasons,
            "explanation": judged.assessment.explanation,
            "findings": judged.analysis.findings,
            "effects": judged.analysis.effects,
            "coverage": judged.analysis.coverage,
            "canonical": judged.analysis.canonical,
            "certificates": judged.analysis.certificates,
        })
    };
    json!({"schema": "belljar.check/1", "profile": profile, "checked": judged.iter().map(row).collect::<Vec<_>>()})
}

/// One line of `belljar check --jsonl`, schema `belljar.verdict/1`. Borrowed and typed: a batch is written at full speed.
#[derive(Serialize)]
pub(crate) struct Verdict<'a> {
    schema: &'static str,
    id: &'a Value,
    risk: model::Tiers,
    decision: model::Verdict,
    answer: model::Verdict,
    granted: Vec<Value>,
    findings: &'a [model::Finding],
    effects: &'a [model::Effect],
    coverage: &'a model::Coverage,
    canonical: &'a [model::Invocation],
    certificates: &'a [model::Certificate],
}

impl<'a> Verdict<'a> {
    pub(crate) fn new(id: &'a Value, checked: &'a CheckedText) -> Verdict<'a> {
        let judged = &checked.judged;
        Verdict {
            schema: "belljar.verdict/1",
            id,
            risk: judged.assessment.tiers,
            decision: judged.decision.verdict,
            answer: checked.answer(),
            granted: checked.granted.iter().map(asking::foreseen).collect(),
            findings: &judged.analysis.findings,
            effects: &judged.analysis.effects,
            coverage: &judged.analysis.coverage,
            canonical: &judged.analysis.canonical,
            certificates: &judged.analysis.certificates,
        }
    }
}

/// A line of a batch that could not be judged, in its place among the others.
pub(crate) fn bad_line(id: &Value, line: u64, message: &str) -> Value {
    json!({"schema": "belljar.verdict/1", "id": id,
           "error": {"kind": "input", "line": line, "message": message}})
}

/// `belljar check --list --json`, schema `belljar.checks/1`.
pub(crate) fn checks(checks: &[Check]) -> Value {
    list("belljar.checks/1", "checks", checks.iter().map(one_check).collect())
}

/// `belljar check --explain ID --json`.
pub(crate) fn one_check(check: &Check) -> Value {
    json!({"id": check.id, "name": check.name, "severity": check.severity, "says": check.says,
           "caught": check.caught, "passed": check.passed, "help": check.help})
}

/// `belljar doctor --json`, schema `belljar.doctor/1`.
pub(crate) fn doctor(checkup: &Checkup, able: bool) -> Value {
    let leftover = |leftover: &engine::Leftover| {
        let mut value = json!(leftover);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("remedy".into(), leftover.remedy().into());
        }
        value
    };
    json!({
        "schema": "belljar.doctor/1",
        "able": able,
        "tier": checkup.host.tier(),
        "host": checkup.host,
        "leftovers": checkup.leftovers.iter().map(leftover).collect::<Vec<_>>(),
    })
}

/// One line of `belljar audit log --json`.
pub(crate) fn record(record: &AuditRecord) -> Value {
    json!(record)
}

/// `belljar discard --json`, schema `belljar.discard/1`; what of `--all` was in use stays.
pub(crate) fn discarded(rows: Vec<Value>, in_use: &[TrialId]) -> Value {
    json!({"schema": "belljar.discard/1", "discarded": rows, "in_use": in_use})
}

/// `belljar audit query --json`, schema `belljar.audit_answer/1`.
pub(crate) fn answer(question: &str, rows: &[Row]) -> Value {
    json!({"schema": "belljar.audit_answer/1", "question": question, "rows": rows})
}

/// `belljar audit key --json`, schema `belljar.audit_key/1`.
pub(crate) fn audit_key(key: &str) -> Value {
    json!({"schema": "belljar.audit_key/1", "key": key})
}

/// `belljar audit verify --json`, schema `belljar.verification/1`.
pub(crate) fn verification(found: &Verification, as_expected: bool) -> Value {
    json!({
        "schema": "belljar.verification/1",
        "sound": found.is_sound() && as_expected,
        "head_as_expected": as_expected,
        "found": found,
    })
}

/// `belljar show --who --json`, schema `belljar.who/1`.
pub(crate) fn who(record: &TrialRecord, rows: &[(&Change, &Vec<Author>)], unwatched: &[FilePath]) -> Value {
    let row = |(change, authors): &(&Change, &Vec<Author>)| json!({"path": change.path, "kind": change.kind, "authors": authors});
    json!({
        "schema": "belljar.who/1",
        "trial": record.id,
        "watched": unwatched.is_empty(),
        "unwatched": unwatched,
        "incomplete": record.unattributed,
        "changes": rows.iter().map(row).collect::<Vec<_>>(),
    })
}

/// A failure, schema `belljar.error/1`.
pub(crate) fn failure(failure: &Failure) -> Value {
    json!({
        "schema": "belljar.error/1",
        "error": {"kind": failure.kind(), "message": failure.message(), "hint": failure.hint(),
                  "exit_code": failure.exit().code()},
    })
}
