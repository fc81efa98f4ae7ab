//! What a program sees of imports.

use engine::import::{Import, Imported};
use serde_json::{Value, json};

/// `belljar policy import --json`, schema `belljar.policy-import/1`.
pub(crate) fn imported(import: &Import) -> Value {
    let rule = |rule: &Imported| {
        json!({"file": rule.file, "line": rule.line, "column": rule.column, "rule": rule.rule, "decision": rule.verdict,
               "kept": rule.kept.word(), "notes": rule.notes, "never": rule.never, "id": rule.id})
    };
    let rules: Vec<Value> = import.rules.iter().map(rule).collect();
    json!({"schema": "belljar.policy-import/1", "policy": import.text, "rules": rules})
}
