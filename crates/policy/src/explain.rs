//! Explanation: a few plain sentences for a person, made from the facts alone.
//!
//! Every HIGH reason is named; only what is harmless may be summed up as "and 3 more".

use crate::risk::{EffectFacts, effect_tiers, is_change, tier};
use model::{Action, Analysis, Place, Reason, Reversibility, Risk, Tiers};

/// How many harmless things of one kind are named before the rest is counted.
const NAMED_MAX: usize = 3;

/// The sentences, most important first.
pub(crate) fn explain(
    analysis: &Analysis,
    tiers: Tiers,
    reasons: &[Reason],
    facts: &[EffectFacts<'_>],
    place: &Place,
) -> Vec<String> {
    let mut out = vec![headline(analysis, tiers, place)];
    out.extend(highs(reasons));
    out.extend(mediums(reasons));
    out.extend(touched(facts));
    out.extend(for_good(facts));
    out.extend(hidden(facts, place));
    out.extend(safer(facts, tiers, place));
    out
}

/// Which tier and what that means here.
fn headline(analysis: &Analysis, tiers: Tiers, place: &Place) -> String {
    let here = tier(tiers, place);
    let where_ = if place.contained { "in the jar" } else { "on the bare machine" };
    let says = match here {
        Risk::Low if analysis.canonical.is_empty() && analysis.effects.is_empty() => "it runs nothing",
        Risk::Low => "every part is proven to only read, and nothing secret",
        Risk::Medium if place.contained => "what it changes is held back and can be reviewed",
        Risk::Medium => "it makes changes that can be undone, or runs code that no table explains",
        Risk::High if place.contained => "the text is not what it seems to be",
        Risk::High => "it can do harm that cannot be taken back, or it was not understood",
    };
    let other = if place.contained { ("on the bare machine", tiers.bare) } else { ("in a jar", tiers.contained) };
    if other.1 == here {
        format!("{here} {where_}: {says}.")
    } else {
        format!("{here} {where_}: {says}. It would be {} {}.", other.1, other.0)
    }
}

/// Every HIGH reason, each by name.
fn highs(reasons: &[Reason]) -> Vec<String> {
    let high = reasons.iter().filter(|reason| reason.tiers.bare == Risk::High || reason.tiers.contained == Risk::High);
    high.map(|reason| match reason.check {
        Some(check) => format!("HIGH: {} ({check}).", reason.text),
        None => format!("HIGH: {}.", reason.text),
    })
    .collect()
}

/// What raised it to MEDIUM besides effects, which [`touched`] tells.
fn mediums(reasons: &[Reason]) -> Option<String> {
    let medium = |reason: &&Reason| reason.tiers.bare == Risk::Medium && reason.tiers.contained == Risk::Medium;
    let texts: Vec<String> =
        reasons.iter().filter(medium).filter(|r| r.check.is_some()).map(|r| r.text.clone()).collect();
    (!texts.is_empty()).then(|| format!("Noted: {}.", list(&texts)))
}

/// What it changes on disk, HIGH or not.
fn touched(facts: &[EffectFacts<'_>]) -> Option<String> {
    let changes = facts.iter().filter(|f| is_change(f.effect.action) && f.path.is_some());
    let texts = distinct(changes.map(|f| format!("{} {}", f.effect.action, f.effect.target)));
    (!texts.is_empty()).then(|| format!("It would {}.", list(&texts)))
}

/// What no overlay takes back.
fn for_good(facts: &[EffectFacts<'_>]) -> Option<String> {
    let never =
        facts.iter().filter(|f| f.effect.reversibility == Reversibility::Never && effect_tiers(f).0.bare == Risk::High);
    let texts = distinct(never.map(|f| format!("{} {}", f.effect.action, f.effect.target)));
    (!texts.is_empty()).then(|| format!("Cannot be taken back once done: {}.", texts.join(", ")))
}

/// Which secrets it would find missing.
fn hidden(facts: &[EffectFacts<'_>], place: &Place) -> Option<String> {
    let reads = |f: &&EffectFacts<'_>| f.effect.action == Action::Read;
    let rules = facts.iter().filter(reads).filter_map(|f| f.path.as_ref()?.secret).map(str::to_owned);
    let rules = distinct(rules);
    let says = if place.contained { "The jar does not show credentials of the home" } else { "It asks for secrets" };
    (!rules.is_empty()).then(|| format!("{says}: {}.", rules.join(", ")))
}

/// The safer form, where there is an obvious one.
fn safer(facts: &[EffectFacts<'_>], tiers: Tiers, place: &Place) -> Option<String> {
    let held = !place.contained && tiers.contained < tiers.bare;
    let on_files = facts.iter().any(|f| is_change(f.effect.action) || f.effect.action == Action::Execute);
    (held && on_files).then(|| "Safer: `belljar run` runs it on a copy and shows the result first.".to_owned())
}

fn distinct(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for text in texts {
        if seen.insert(text.clone()) {
            out.push(text);
        }
    }
    out
}

/// The first few, and how many more.
fn list(texts: &[String]) -> String {
    let named = texts.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match texts.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use crate::risk::assess;
    use crate::testing::{analysis, effect, path, place};
    use model::{Action, Effect, Endpoint, PathScope, Reversibility, Target};

    fn told(effects: Vec<Effect>, contained: bool) -> Vec<String> {
        assess(&analysis(effects), &place(contained)).explanation
    }

    fn write(name: &str) -> Effect {
        path(Action::Write, &format!("/home/u/work/{name}"), PathScope::Exact)
    }

    #[test]
    fn the_sentences_are_these() {
        let push = effect(
            Action::Connect,
            Target::Peer(Endpoint { host: "github.com".to_owned(), port: Some(443), protocol: None }),
            Reversibility::Never,
        );
        let key = path(Action::Read, "/home/u/.ssh/id_rsa", PathScope::Exact);
        assert_eq!(told(vec![], false), ["LOW on the bare machine: it runs nothing."]);
        assert_eq!(
            told(vec![write("a"), write("b"), write("c"), write("d"), write("e")], true),
            [
                "MEDIUM in the jar: what it changes is held back and can be reviewed.",
                "It would write /home/u/work/a, write /home/u/work/b, write /home/u/work/c and 2 more.",
            ]
        );
        assert_eq!(
            told(vec![push, key], true),
            [
                "MEDIUM in the jar: what it changes is held back and can be reviewed. It would be HIGH on the bare machine.",
                "HIGH: connect to github.com:443: what is sent cannot be taken back.",
                "HIGH: read /home/u/.ssh/id_rsa: it holds secrets.",
                "Cannot be taken back once done: connect to github.com:443.",
                "The jar does not show credentials of the home: secrets/ssh.",
            ]
        );
    }

    #[test]
    fn bare_changes_have_a_safer_form() {
        let told = told(vec![path(Action::Write, "/home/u/.bashrc", PathScope::Exact)], false);
        assert_eq!(told.last().unwrap(), "Safer: `belljar run` runs it on a copy and shows the result first.");
        assert!(told.contains(&"HIGH: write /home/u/.bashrc: every new shell runs it.".to_owned()), "{told:?}");
    }

    #[test]
    fn names_cannot_play_tricks() {
        let told = told(vec![write("a\u{202e}b\u{1b}[2J\nLOW")], true).join(" ");
        assert!(told.contains("a\\u{202e}b\\u{1b}[2J\\nLOW"), "{told}");
    }
}
