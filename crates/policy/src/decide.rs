//! Decide: one question per effect and one for the command as a whole; the strictest answer is the decision.

use crate::engine::{Asked, Attributes, Engine};
use crate::facts::{Ground, Network, PathFacts, STATE_RULE};
use crate::pattern::Fit;
use crate::risk::{self, EffectFacts};
use crate::words::{Question, Words, number, text, yes};
use cedar_policy_core::ast::Value;
use model::{
    Analysis, Assessment, Because, Certainty, Coverage, Decision, Effect, Endpoint, FilePath, PathScope, Place,
    Reversibility, Risk, Target, Tiers, Verdict,
};
use std::collections::HashSet;

/// One part of a decision.
pub(crate) struct Part<'a> {
    /// What it is about; `None`: the command as a whole.
    pub(crate) effect: Option<&'a Effect>,
    /// What the rules say to it.
    pub(crate) because: Because,
}

/// The strictest answer over all parts, with what determined it.
pub(crate) fn decide(engine: &Engine, analysis: &Analysis, assessment: &Assessment, place: &Place) -> Decision {
    let parts = parts(engine, analysis, assessment, place).into_iter();
    let mut because: Vec<Because> = parts.map(|part| part.because).collect();
    because.sort_by_key(|because| std::cmp::Reverse(because.verdict));
    let verdict = because.first().map_or(Verdict::Deny, |first| first.verdict);
    Decision { verdict, because }
}

/// Every part, in the order of the command.
pub(crate) fn parts<'a>(
    engine: &Engine,
    analysis: &'a Analysis,
    assessment: &Assessment,
    place: &Place,
) -> Vec<Part<'a>> {
    let ground = Ground::new(place);
    let mut parts = Vec::new();
    let mut known = Tiers { contained: Risk::Low, bare: Risk::Low };
    let mut seen = HashSet::new();
    for effect in &analysis.effects {
        let facts = EffectFacts::new(effect, &ground);
        let (tiers, _) = risk::effect_tiers(&facts);
        known = risk::join(known, tiers);
        if seen.insert((effect.action, &effect.target, effect.reversibility, effect.certainty, tiers.bare)) {
            let because = decide_effect(engine, &facts, risk::tier(tiers, place), place);
            parts.push(Part { effect: Some(effect), because });
        }
    }
    parts.push(Part { effect: None, because: decide_command(engine, analysis, assessment, known, place) });
    parts
}

fn decide_effect(engine: &Engine, facts: &EffectFacts<'_>, risk: Risk, place: &Place) -> Because {
    let effect = facts.effect;
    let (kind, attributes) = resource(engine.words(), facts);
    let certain = effect.certainty == Certainty::Must;
    let reversible = effect.reversibility != Reversibility::Never;
    let context = context(place, risk, certain, reversible);
    let answer =
        engine.ask(Asked { question: Question::Effect(effect.action), uid: place.uid, kind, attributes, context });
    Because { verdict: answer.verdict, rules: answer.rules, about: format!("{} {}", effect.action, effect.target) }
}

/// The command as a whole carries what no single effect does: findings, what was not understood, and whatever else
/// raised the assessment.
fn decide_command(
    engine: &Engine,
    analysis: &Analysis,
    assessment: &Assessment,
    effects: Tiers,
    place: &Place,
) -> Because {
    let reasons = risk::text_reasons(analysis);
    let text_tiers = reasons.iter().map(|reason| reason.tiers);
    let text_tiers = text_tiers.fold(Tiers { contained: Risk::Low, bare: Risk::Low }, risk::join);
    let explained = risk::tier(risk::join(effects, text_tiers), place);
    let whole = risk::tier(assessment.tiers, place);
    let raised = if whole > explained { whole } else { Risk::Low };
    let risk = risk::tier(text_tiers, place).max(raised);
    let worst = reasons.iter().max_by_key(|reason| risk::tier(reason.tiers, place));
    let about = worst.map_or_else(|| "the command as a whole".to_owned(), |reason| reason.text.clone());
    let checks: Vec<String> = known_checks(analysis).collect();
    let attributes = vec![
        ("checks", engine.words().values("Check", checks.iter().map(String::as_str))),
        ("understood", yes(analysis.coverage == Coverage::Full)),
    ];
    let context = context(place, risk, true, true);
    let answer = engine.ask(Asked { question: Question::Run, uid: place.uid, kind: "Command", attributes, context });
    Because { verdict: answer.verdict, rules: answer.rules, about }
}

fn known_checks(analysis: &Analysis) -> impl Iterator<Item = String> {
    let checks: std::collections::BTreeSet<_> = analysis.findings.iter().map(|finding| finding.check).collect();
    checks.into_iter().map(|check| check.to_string())
}

fn context(place: &Place, risk: Risk, certain: bool, reversible: bool) -> Attributes {
    vec![
        ("contained", yes(place.contained)),
        ("risk", number(level(risk))),
        ("certain", yes(certain)),
        ("reversible", yes(reversible)),
    ]
}

/// The number a policy sees.
pub(crate) fn level(risk: Risk) -> i64 {
    match risk {
        Risk::Low => 0,
        Risk::Medium => 1,
        Risk::High => 2,
    }
}

/// The target as an entity: its type and attributes.
fn resource(words: &Words, facts: &EffectFacts<'_>) -> (&'static str, Attributes) {
    match &facts.effect.target {
        Target::Path { path, scope } => ("Path", path_attributes(words, path, *scope, facts)),
        Target::Peer(peer) => ("Peer", peer_attributes(words, peer, facts.network)),
        Target::Program { name } => ("Program", vec![("name", text(name))]),
        Target::Thing { what } => ("Thing", vec![("what", text(what))]),
        Target::Unknown { .. } => ("Unknown", Vec::new()),
    }
}

fn path_attributes(words: &Words, path: &FilePath, scope: PathScope, facts: &EffectFacts<'_>) -> Attributes {
    let scope_name = match scope {
        PathScope::Exact => "exact",
        PathScope::Tree => "tree",
        PathScope::Glob => "glob",
    };
    let mut attributes = names(path);
    attributes.push(("scope", words.value("Scope", scope_name)));
    attributes.push(("protected", yes(facts.protected().is_some())));
    if let Some(path) = &facts.path {
        attributes.push(("location", words.value("Location", path.location.name())));
        attributes.push(("rules", rules(words, path, scope == PathScope::Tree, [].into_iter())));
        attributes.push(("secret", yes(path.secret.is_some() || path.state)));
        attributes.push(("derived", yes(path.depth > crate::derived::Depth::Source)));
        attributes.push(("top", yes(path.top)));
    }
    attributes
}

/// The two forms of a path a policy sees, in the escape of the model.
pub(crate) fn names(path: &FilePath) -> Attributes {
    let name = path.file_name().map(|name| FilePath::new(name).encode());
    vec![("path", text(&path.encode())), ("name", text(&name.unwrap_or_default()))]
}

/// Every rule of the tables that the path meets, and those of its content.
pub(crate) fn rules(
    words: &Words,
    facts: &PathFacts,
    tree: bool,
    content: impl Iterator<Item = &'static str>,
) -> Value {
    let protected = facts.protected.filter(|(fit, _)| *fit == Fit::Within || tree).map(|(_, row)| row.rule);
    let all = [facts.secret, protected, facts.state.then_some(STATE_RULE)];
    words.values("Rule", all.into_iter().flatten().chain(content))
}

fn peer_attributes(words: &Words, peer: &Endpoint, network: Option<Network>) -> Attributes {
    let host = peer.host.trim_end_matches('.').to_ascii_lowercase();
    let mut attributes = vec![("network", words.value("Network", network.unwrap_or(Network::Named).name()))];
    if let Some(port) = peer.port {
        attributes.push(("port", number(port)));
    }
    if let Some(protocol) = peer.protocol {
        attributes.push(("protocol", text(protocol.name())));
    }
    attributes.push(("host", text(&host)));
    attributes
}
