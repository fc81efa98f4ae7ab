//! What a program sees of proofs and comparisons.

use engine::prove::{Difference, Fact, Outcome, Proof, Property, Proved, Transition, Witness};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// `belljar policy prove --json`, schema `belljar.policy-prove/1`.
pub(crate) fn proved(proved: &[Proved]) -> Value {
    let row = |proved: &Proved| {
        json!({"policy": proved.name, "holds": proved.holds(),
               "properties": proved.proofs.iter().map(proof).collect::<Vec<_>>()})
    };
    json!({"schema": "belljar.policy-prove/1", "holds": proved.iter().all(Proved::holds),
           "policies": proved.iter().map(row).collect::<Vec<_>>()})
}

/// `belljar policy prove --list --json`, schema `belljar.properties/1`.
pub(crate) fn properties(properties: &[Property]) -> Value {
    let row = |property: &Property| json!({"property": property.name, "says": property.says});
    json!({"schema": "belljar.properties/1", "properties": properties.iter().map(row).collect::<Vec<_>>()})
}

fn proof(proof: &Proof) -> Value {
    let (outcome, more) = match &proof.outcome {
        Outcome::Holds => ("holds", json!({})),
        Outcome::Refuted { witness, verdict, rules } => {
            ("refuted", json!({"request": request(witness), "decision": verdict, "rules": rules}))
        }
        Outcome::Useless { rules } => ("refuted", json!({"rules": rules})),
        Outcome::Unproved { why } => ("not-proved", json!({"why": why})),
    };
    let mut document = json!({"property": proof.property, "says": proof.says, "outcome": outcome});
    if let (Value::Object(fields), Value::Object(more)) = (&mut document, more) {
        fields.extend(more);
    }
    document
}

/// `belljar policy diff --json`, schema `belljar.policy-diff/1`.
pub(crate) fn difference(before: &str, after: &str, difference: &Difference, looser: &[String]) -> Value {
    let change = |change: &Transition| {
        json!({"before": change.before, "after": change.after, "wider": change.after < change.before,
               "actions": change.actions, "request": request(&change.witness),
               "rules_before": change.rules_before, "rules_after": change.rules_after})
    };
    json!({"schema": "belljar.policy-diff/1", "before": before, "after": after,
           "same": difference.is_none() && looser.is_empty(),
           "wider": difference.widens() || !looser.is_empty(),
           "changes": difference.changes.iter().map(change).collect::<Vec<_>>(),
           "looser_settings": looser, "not_compared": difference.open})
}

fn request(witness: &Witness) -> Value {
    json!({"action": witness.action, "resource": witness.resource, "uid": witness.uid,
           "attributes": facts(&witness.attributes), "context": facts(&witness.context)})
}

fn facts(facts: &BTreeMap<&'static str, Fact>) -> Map<String, Value> {
    let value = |fact: &Fact| match fact {
        Fact::Yes(yes) => json!(yes),
        Fact::Number(number) => json!(number),
        Fact::Text(text) | Fact::Word(text) => json!(text),
        Fact::Words(words) => json!(words),
    };
    facts.iter().map(|(name, fact)| ((*name).to_owned(), value(fact))).collect()
}
