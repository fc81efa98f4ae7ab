//! Decide: one question per effect and one for the command as a whole; the strictest answer is the decision.

use crate::engine::{Answer, Attributes, Engine};
use crate::facts::{Ground, Location, Network, PathFacts, STATE_RULE};
use crate::pattern::Fit;
use crate::replay::request::{Asks, On, OnPath, OnPeer, Part, Rule, Text};
use crate::risk::{self, EffectFacts};
use crate::words::{Words, text};
use cedar_policy_core::ast::Value;
use model::{
    Analysis, Assessment, Because, Certainty, CheckId, Coverage, Decision, Effect, Endpoint, FilePath, PathScope,
    Place, Reversibility, Risk, Target, Tiers, Verdict,
};
use std::collections::{BTreeSet, HashSet};

/// What the rules are asked about one part of a command.
pub(crate) struct Ask<'a> {
    /// The effect it is about; `None`: the command as a whole.
    pub(crate) effect: Option<&'a Effect>,
    pub(crate) part: Part<'static>,
    /// What it is about, in words.
    pub(crate) about: String,
}

impl Ask<'_> {
    /// What the rules say.
    pub(crate) fn answer(&self, engine: &Engine, place: &Place) -> Answer {
        engine.ask(self.part.asked(engine.words(), place.uid, place.contained))
    }
}

/// The strictest answer over all parts, with what determined it.
pub(crate) fn decide(engine: &Engine, analysis: &Analysis, assessment: &Assessment, place: &Place) -> Decision {
    let answer = |ask: Ask<'_>| {
        let answer = ask.answer(engine, place);
        Because { verdict: answer.verdict, rules: answer.rules, about: ask.about }
    };
    let mut because: Vec<Because> = parts(analysis, assessment, place).map(answer).collect();
    because.sort_by_key(|because| std::cmp::Reverse(because.verdict));
    let verdict = because.first().map_or(Verdict::Deny, |first| first.verdict);
    Decision { verdict, because }
}

/// The parts of a command: its effects, each once, in their order, and the command as a whole.
pub(crate) fn parts<'a>(
    analysis: &'a Analysis,
    assessment: &Assessment,
    place: &Place,
) -> impl Iterator<Item = Ask<'a>> {
    let ground = Ground::new(place);
    let mut parts = Vec::new();
    let mut known = Tiers { contained: Risk::Low, bare: Risk::Low };
    let mut seen = HashSet::new();
    for effect in &analysis.effects {
        let facts = EffectFacts::new(effect, &ground);
        let (tiers, _) = risk::effect_tiers(&facts);
        known = risk::join(known, tiers);
        if seen.insert((effect.action, &effect.target, effect.reversibility, effect.certainty, tiers.bare)) {
            let part = part(&facts, tiers, place);
            let about = format!("{} {}", effect.action, effect.target);
            parts.push(Ask { effect: Some(effect), part, about });
        }
    }
    let (part, about) = whole(analysis, assessment, known, place);
    parts.push(Ask { effect: None, part, about });
    parts.into_iter()
}

/// The command as a whole carries what no single effect does: findings, what was not understood, and whatever else
/// raised the assessment.
fn whole(analysis: &Analysis, assessment: &Assessment, effects: Tiers, place: &Place) -> (Part<'static>, String) {
    let reasons = risk::text_reasons(analysis);
    let text_tiers = reasons.iter().map(|reason| reason.tiers);
    let text_tiers = text_tiers.fold(Tiers { contained: Risk::Low, bare: Risk::Low }, risk::join);
    let explained = risk::tier(risk::join(effects, text_tiers), place);
    let whole = risk::tier(assessment.tiers, place);
    let raised = if whole > explained { whole } else { Risk::Low };
    let risk = risk::tier(text_tiers, place).max(raised);
    let worst = reasons.iter().max_by_key(|reason| risk::tier(reason.tiers, place));
    let about = worst.map_or_else(|| WHOLE.to_owned(), |reason| reason.text.clone());
    let checks: BTreeSet<CheckId> = analysis.findings.iter().map(|finding| finding.check).collect();
    let on = On::Command { checks: checks.into_iter().collect(), understood: analysis.coverage == Coverage::Full };
    (Part { action: Asks::Run, on, risk: level(risk), uncertain: false, lasting: false }, about)
}

/// What a command is called where nothing of it stands out.
pub(crate) const WHOLE: &str = "the command as a whole";

/// The number a policy sees.
pub(crate) fn level(risk: Risk) -> u8 {
    match risk {
        Risk::Low => 0,
        Risk::Medium => 1,
        Risk::High => 2,
    }
}

/// The question about one effect, which has these tiers.
pub(crate) fn part(facts: &EffectFacts<'_>, tiers: Tiers, place: &Place) -> Part<'static> {
    Part {
        action: Asks::from(facts.effect.action),
        on: resource(facts),
        risk: level(risk::tier(tiers, place)),
        uncertain: facts.effect.certainty != Certainty::Must,
        lasting: facts.effect.reversibility == Reversibility::Never,
    }
}

/// The target with all that is known of it.
fn resource(facts: &EffectFacts<'_>) -> On<'static> {
    match &facts.effect.target {
        Target::Path { path, scope } => On::Path(path_facts(path, *scope, facts)),
        Target::Peer(peer) => On::Peer(peer_facts(peer, facts.network)),
        Target::Program { name } => On::Program(Text::from(name.clone())),
        Target::Thing { what } => On::Thing(Text::from(what.clone())),
        Target::Unknown { .. } => On::Unknown,
    }
}

fn path_facts(path: &FilePath, scope: PathScope, facts: &EffectFacts<'_>) -> OnPath<'static> {
    let known = facts.path.as_ref();
    let mut rules: Vec<Rule> =
        known.into_iter().flat_map(|known| met(known, scope == PathScope::Tree)).map(Rule).collect();
    rules.sort_unstable();
    rules.dedup();
    OnPath {
        path: Text::from(path.encode()),
        location: known.map_or(Location::Unknown, |known| known.location),
        scope,
        rules,
        secret: known.is_some_and(|known| known.secret.is_some() || known.state),
        protected: facts.protected().is_some(),
        derived: known.is_some_and(|known| known.depth > crate::derived::Depth::Source),
        top: known.is_some_and(|known| known.top),
    }
}

/// The two forms of a path a policy sees, in the escape of the model.
pub(crate) fn names(path: &FilePath) -> Attributes {
    let name = path.file_name().map(|name| FilePath::new(name).encode());
    vec![("path", text(&path.encode())), ("name", text(&name.unwrap_or_default()))]
}

/// Every rule of the tables that the path meets, and those of its content.
pub(crate) fn rules(words: &Words, facts: &PathFacts, content: impl Iterator<Item = &'static str>) -> Value {
    words.values("Rule", met(facts, false).chain(content))
}

fn met(facts: &PathFacts, tree: bool) -> impl Iterator<Item = &'static str> {
    let protected = facts.protected.filter(|(fit, _)| *fit == Fit::Within || tree).map(|(_, row)| row.rule);
    let all = [facts.secret, protected, facts.state.then_some(STATE_RULE)];
    all.into_iter().flatten()
}

fn peer_facts(peer: &Endpoint, network: Option<Network>) -> OnPeer<'static> {
    let host = peer.host.trim_end_matches('.').to_ascii_lowercase();
    let network = network.unwrap_or(Network::Named);
    OnPeer { host: Text::from(host), port: peer.port, protocol: peer.protocol, network }
}
