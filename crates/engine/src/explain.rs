//! Why a command is decided on as it is: what every layer of rules says to each part of it, and what would change that.

use crate::error::RunError;
use crate::journey::{Engine, Judged};
use crate::layers;
use crate::profile::{Loaded, RulesText};
use model::{Action, Because, Decision, Place, Verdict};
use policy::{Layer, Policy};

/// A decision, taken apart.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The decision itself.
    pub judged: Judged,
    /// Strictest first.
    pub parts: Vec<Part>,
}

/// What is decided on one effect, or on the command as a whole.
#[derive(Clone, Debug)]
pub struct Part {
    /// The decision on it.
    pub because: Because,
    /// What each layer says on top of the built-in rules; these themselves first.
    pub layers: Vec<Said>,
    /// What would change it, in words.
    pub changes: Vec<String>,
}

/// What one layer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// `built-in`, or the file.
    pub layer: String,
    /// With the built-in rules and this layer alone.
    pub verdict: Verdict,
    /// The rules that decide then.
    pub rules: Vec<String>,
}

/// Explains the decision on `text` at `place` under a profile.
///
/// # Errors
/// When a policy file cannot be read or is wrong.
pub fn explain(text: &[u8], place: &Place, loaded: &Loaded) -> Result<Explained, RunError> {
    let judged = Engine::open_under(place, loaded)?.judge(text, place);
    let more: Vec<RulesText> = layers::texts(place)?.into_iter().chain(loaded.rules.iter().cloned()).collect();
    let decide = |layers: &[&RulesText]| -> Result<Decision, RunError> {
        let layers: Vec<Layer<'_>> = layers.iter().map(|rules| rules.layer()).collect();
        Ok(Policy::layered(&layers)?.decide(&judged.analysis, &judged.assessment, place))
    };
    let mut alone = vec![("built-in".to_owned(), decide(&[])?)];
    let mut without = Vec::new();
    for rules in &more {
        alone.push((rules.name.clone(), decide(&[rules])?));
        let others: Vec<&RulesText> = more.iter().filter(|other| other.name != rules.name).collect();
        without.push((rules.name.clone(), decide(&others)?));
    }
    let elsewhere = (!place.contained).then(|| {
        let place = Place { contained: true, ..place.clone() };
        Engine::open_under(&place, loaded).map(|engine| engine.judge(text, &place).decision)
    });
    let elsewhere = elsewhere.transpose()?;
    let asks = loaded.profile.unattended != Some(true);
    let parts = judged.decision.because.iter().map(|because| {
        let said = alone.iter().filter_map(|(layer, decision)| said(layer, decision, &because.about));
        let changes = changes(because, &without, elsewhere.as_ref(), asks, &loaded.id.name);
        Part { because: because.clone(), layers: said.collect(), changes }
    });
    let parts = parts.collect();
    Ok(Explained { judged, parts })
}

/// The same part of another decision: parts are told apart by what they are about.
fn part<'d>(decision: &'d Decision, about: &str) -> Option<&'d Because> {
    decision.because.iter().find(|because| because.about == about)
}

fn said(layer: &str, decision: &Decision, about: &str) -> Option<Said> {
    let because = part(decision, about)?;
    Some(Said { layer: layer.to_owned(), verdict: because.verdict, rules: because.rules.clone() })
}

fn changes(
    because: &Because,
    without: &[(String, Decision)],
    elsewhere: Option<&Decision>,
    asks: bool,
    profile: &str,
) -> Vec<String> {
    let mut changes = Vec::new();
    if because.verdict == Verdict::Allow {
        return changes;
    }
    for (layer, decision) in without {
        if let Some(other) = part(decision, &because.about).filter(|other| other.verdict < because.verdict) {
            changes.push(format!("without the rules of {layer} it would be {}", past(other.verdict)));
        }
    }
    if let Some(other) = elsewhere.and_then(|decision| part(decision, &because.about))
        && other.verdict < because.verdict
    {
        changes.push(format!("in a jar (`belljar run`) it would be {}", past(other.verdict)));
    }
    let forbidden = because.rules.iter().any(|rule| rule.starts_with("deny/") || rule.starts_with("never/"));
    match because.verdict {
        Verdict::Deny if forbidden => {
            changes.push("no rule of yours can permit it: a forbid beats every permit".into())
        }
        Verdict::Deny if !asks => {
            changes.push(format!("the profile {profile} asks nobody: under one that does, a person could agree"));
        }
        Verdict::Ask => {
            // A rule that forbids until then is not outdone by one that permits.
            let permits = because.rules.iter().any(|rule| rule == "run/approved");
            changes.push("a person could agree, on a terminal".into());
            changes.extend(permits.then(|| format!("a rule of your own could permit it: {}", permit(&because.about))));
        }
        _ => {}
    }
    changes
}

/// A rule that would permit the action of an effect. Narrowing it is the author's to do, and said.
fn permit(about: &str) -> String {
    let is_about = |action: &Action| about.strip_prefix(&action.to_string()).is_some_and(|rest| rest.starts_with(' '));
    let action = Action::ALL.into_iter().find(is_about).map_or("run", Action::word);
    format!("@id(\"mine/{action}\") permit (principal, action == Action::\"{action}\", resource) when {{ ... }};")
}

fn past(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allowed",
        Verdict::Ask => "asked about",
        Verdict::Deny => "denied",
    }
}

/// A verdict by its word in files.
#[must_use]
pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Ask => "ask",
        Verdict::Deny => "deny",
    }
}
