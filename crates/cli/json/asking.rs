//! What is asked and what is granted, for programs.

use engine::grants::now_ms;
use engine::{Frozen, Granting, LandingOffer, Lasting, Question, Trial};
use model::{Grant, Granted};
use serde_json::{Value, json};

/// `belljar grants --json`, schema `belljar.grants/1`.
pub(crate) fn grants(all: &[Grant]) -> Value {
    super::list("belljar.grants/1", "grants", all.iter().map(grant).collect())
}

/// `belljar grants revoke --json`, schema `belljar.grants-revoked/1`.
pub(crate) fn revoked(all: &[Grant]) -> Value {
    super::list("belljar.grants-revoked/1", "grants", all.iter().map(grant).collect())
}

/// A grant that would answer a question, schema `belljar.check/1`.
pub(crate) fn foreseen(grant: &Grant) -> Value {
    json!({"id": grant.id, "words": words(&grant.effects), "scope": grant.scope, "expires_ms": grant.expires_ms})
}

fn grant(grant: &Grant) -> Value {
    let mut value = json!(grant);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("door".into(), json!(grant.door));
        fields.insert("expired".into(), grant.expired(now_ms()).into());
        fields.insert("words".into(), json!(words(&grant.effects)));
    }
    value
}

/// A question before a command runs, schema `belljar.question/1`. Texts are escaped: they may be shown as they are.
pub(crate) fn question(question: &Question<'_>) -> Value {
    let offer = question.offer;
    let effects = offer.effects();
    let once = offer.parts.iter().filter_map(|part| {
        let why = part.grant.as_ref().err()?;
        Some(json!({"about": part.about, "why": why.to_string()}))
    });
    let scopes: Vec<&str> =
        std::iter::once("once").chain(offer.scopes().into_iter().map(|scope| scope.word())).collect();
    json!({
        "schema": "belljar.question/1",
        "kind": "run",
        "command": model::escape::text(&question.analysis.text),
        "cwd": question.place.cwd,
        "workspace": question.place.workspace,
        "risk": question.assessment.tiers,
        "reasons": question.assessment.reasons,
        "explanation": question.assessment.explanation,
        "decision": question.decision,
        "effects": question.analysis.effects,
        "answers": ["yes", "no"],
        "scopes": scopes,
        "grant": {
            "effects": effects,
            "words": effects.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "once": once.collect::<Vec<_>>(),
        },
    })
}

/// A question about what a command changed, of the same schema.
pub(crate) fn settle(frozen: &Trial<Frozen>, high: usize, answers: &[&str], offer: &LandingOffer) -> Value {
    let mut document = super::trial(frozen.record(), frozen.changes(), frozen.review());
    if let Some(fields) = document.as_object_mut() {
        fields.insert("schema".into(), "belljar.question/1".into());
        fields.insert("kind".into(), "settle".into());
        fields.insert("high".into(), high.into());
        fields.insert("answers".into(), json!(answers));
        let scopes: Vec<&str> = offer.scopes().into_iter().map(Lasting::word).collect();
        fields.insert("scopes".into(), json!(scopes));
        let part = |effects: &[Granted]| json!({"effects": effects, "words": words(effects)});
        let all = &frozen.changes().changes;
        let once = offer
            .once
            .iter()
            .filter_map(|(index, why)| Some(json!({"about": all.get(*index)?.path, "why": why.to_string()})));
        let once: Vec<Value> = once.collect();
        let grant = json!({"files": part(&offer.files), "directories": part(&offer.directories), "once": once});
        fields.insert("grant".into(), grant);
    }
    document
}

fn words(effects: &[Granted]) -> Vec<String> {
    effects.iter().map(ToString::to_string).collect()
}

/// What grants had to do with what became of changes.
pub(crate) fn granting(granting: &Granting) -> Value {
    json!({
        "used": granting.used.grants,
        "paths": granting.used.paths,
        "made": granting.made.as_ref().map(grant),
        "unread": granting.unread,
    })
}
