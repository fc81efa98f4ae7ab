//! What a program sees of suggestions.

use engine::suggest::{Suggested, Suggestions};
use serde_json::{Value, json};

/// `belljar policy suggest --json`, schema `belljar.policy-suggest/1`.
pub(crate) fn suggested(suggestions: &Suggestions, inexact: u64) -> Value {
    let rule = |rule: &Suggested| {
        json!({"id": rule.id, "about": rule.about, "times": rule.times, "days": rule.days,
               "first_ms": rule.first_ms, "last_ms": rule.last_ms})
    };
    let rules: Vec<Value> = suggestions.rules.iter().map(rule).collect();
    let not: Vec<Value> =
        suggestions.not.iter().map(|(why, count)| json!({"why": why.word(), "count": count})).collect();
    json!({"schema": "belljar.policy-suggest/1", "policy": suggestions.text, "rules": rules, "not": not,
           "inexact": inexact})
}
