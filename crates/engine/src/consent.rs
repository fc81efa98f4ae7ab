//! Consent: the way from a decision to an approval. Grants answer first where they cover every part that is asked for;
//! else a person does, and may make a grant by it.

use crate::approve::{Answer, Approval, Asking, Lasting, Person, Question, Wish, approve};
use crate::audit::{Durability, now_ms, redacted};
use crate::error::RunError;
use crate::grants::{self, DAYS, EFFECTS_MAX, GrantError, Grants, Spot, counts};
use crate::host;
use crate::journey::{Engine, Judged, Request, roots};
use crate::store::fresh_id;
use model::{Door, FilePath, Grant, GrantScope, Granted, Place, Stage, Target, TrialId, Verdict};
use policy::grant::{Asked, Once, covers};

/// What may be granted beyond this once, and why not all of it may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Every part that a person is asked about.
    pub parts: Vec<Asked>,
    /// The command runs in a jar that others may follow in.
    pub jar: bool,
}

impl Offer {
    /// What a grant would be for; nothing where a part can be approved once only.
    #[must_use]
    pub fn effects(&self) -> Vec<&Granted> {
        let all: Result<Vec<&Granted>, &Once> = self.parts.iter().map(|part| part.grant.as_ref()).collect();
        let mut effects: Vec<&Granted> = Vec::new();
        for effect in all.unwrap_or_default() {
            if !effects.contains(&effect) {
                effects.push(effect);
            }
        }
        if effects.len() > EFFECTS_MAX { Vec::new() } else { effects }
    }

    /// For how long.
    #[must_use]
    pub fn scopes(&self) -> Vec<Lasting> {
        let mut scopes = vec![Lasting::Jar, Lasting::Project, Lasting::Always];
        scopes.retain(|scope| !self.effects().is_empty() && (self.jar || *scope != Lasting::Jar));
        scopes
    }
}

impl Engine {
    /// The user's grants.
    #[must_use]
    pub fn grants(&self) -> Grants {
        Grants::at(self.place().state.as_path())
    }

    /// Permission for one command, which is recorded before it is handed out. `jar` is set where `id` is a jar's.
    pub(crate) fn consent(
        &self,
        id: &TrialId,
        jar: bool,
        judged: &Judged,
        person: Option<&mut (dyn Person + '_)>,
    ) -> Result<Approval, RunError> {
        let spot = Spot { jar: jar.then_some(id), place: &judged.place };
        let offer = self.offer(judged, jar);
        let granted = granted(&offer, spot, || self.grants().all())?;
        let question = judged.question(&offer);
        let mut asking = Asking { granted, wish: None };
        let answered = approve(&question, &mut asking, person);
        if let (Ok(_), Some(wish)) = (&answered, asking.wish) {
            self.make(&question, wish, spot)?;
        }
        self.decided(id, judged, answered)
    }

    /// What a person would be asked about, if anything.
    fn offer(&self, judged: &Judged, jar: bool) -> Offer {
        if judged.decision.verdict != Verdict::Ask {
            return Offer::default();
        }
        let mut parts = self.policy.asked(&judged.analysis, &judged.assessment, &judged.place);
        for part in &mut parts {
            if part.grant.as_ref().is_ok_and(leads_elsewhere) {
                part.grant = Err(Once::Link);
            }
        }
        Offer { parts, jar }
    }

    /// The grants in force that would answer for a command in a jar, so that nobody would be asked; none where one would be,
    /// or nothing is asked. One that is judged for the bare machine is looked at as `run` would run it.
    ///
    /// # Errors
    /// When the grants cannot be read.
    pub fn foreseen(&self, judged: &Judged) -> Result<Vec<Grant>, RunError> {
        if judged.decision.verdict != Verdict::Ask {
            return Ok(Vec::new());
        }
        let known = self.grants().all()?;
        if known.is_empty() {
            return Ok(Vec::new());
        }
        let contained = Place { contained: true, ..judged.place.clone() };
        let bare = (!judged.place.contained).then(|| self.judged(judged.analysis.clone(), &contained));
        let judged = bare.as_ref().unwrap_or(judged);
        let spot = Spot { jar: None, place: &judged.place };
        let names = granted(&self.offer(judged, false), spot, || Ok(known.clone()))?.unwrap_or_default();
        Ok(known.into_iter().filter(|grant| names.contains(&grant.id)).collect())
    }

    /// Remembers what a person granted with an answer.
    fn make(&self, question: &Question<'_>, wish: Wish, spot: Spot<'_>) -> Result<(), RunError> {
        let Some(scope) = scope_of(wish.scope, spot.jar, spot.place) else { return Ok(()) };
        let effects: Vec<Granted> = question.offer.effects().into_iter().cloned().collect();
        let text = format!("asked: {}", model::escape::text(&question.analysis.text));
        let shown = std::iter::once(text).chain(question.assessment.explanation.iter().cloned()).collect();
        self.grant(Door::Run, effects, scope, wish.days, shown).map(|_| ())
    }

    /// Makes a grant, on record before it counts. One for a jar ends with it unless `days` are given.
    ///
    /// # Errors
    /// When it cannot be recorded or kept; then there is none.
    pub fn grant(
        &self,
        door: Door,
        effects: Vec<Granted>,
        scope: GrantScope,
        days: Option<u32>,
        shown: Vec<String>,
    ) -> Result<Grant, RunError> {
        let made_ms = now_ms();
        let lasting = !matches!(scope, GrantScope::Jar { .. });
        let days = days.or(lasting.then_some(DAYS));
        let expires_ms = days.map(|days| grants::end(made_ms, days));
        let uid = self.place().uid;
        let id = fresh_id()?.0;
        let grant = Grant { id, door, effects, scope, made_ms, expires_ms, uid, shown: without_secrets(shown) };
        let trial = match &grant.scope {
            GrantScope::Jar { trial } => Some(trial),
            GrantScope::Project { .. } | GrantScope::Always => None,
        };
        self.audit.append(trial, Stage::Granted { grant: grant.clone() }, Durability::Synced)?;
        self.grants().add(&grant)?;
        Ok(grant)
    }

    /// Takes grants back. They do not count any more before that is on record: a failure in between takes too much.
    ///
    /// # Errors
    /// When the file or the log cannot be written.
    pub fn revoke(&self, grants: &[Grant]) -> Result<(), RunError> {
        let ids: Vec<String> = grants.iter().map(|grant| grant.id.clone()).collect();
        self.grants().remove(&ids)?;
        self.audit.append(None, Stage::Revoked { grants: ids }, Durability::Synced)?;
        Ok(())
    }
}

/// The names of the grants that together cover every part; `None` when a part is left, or nothing is asked. They are looked
/// up only where they could answer.
fn granted(
    offer: &Offer,
    spot: Spot<'_>,
    grants: impl FnOnce() -> Result<Vec<Grant>, GrantError>,
) -> Result<Option<Vec<String>>, RunError> {
    let wanted: Result<Vec<&Granted>, &Once> = offer.parts.iter().map(|part| part.grant.as_ref()).collect();
    let Some(wanted) = wanted.ok().filter(|wanted| !wanted.is_empty()) else { return Ok(None) };
    let (mut known, now) = (grants()?, now_ms());
    known.retain(|grant| grant.door == Door::Run && counts(grant, spot, now));
    Ok(covering(&known, &wanted))
}

/// Where a grant is to count; nowhere, where it is for a jar and there is none.
pub(crate) fn scope_of(scope: Lasting, jar: Option<&TrialId>, place: &Place) -> Option<GrantScope> {
    match (scope, jar) {
        (Lasting::Jar, Some(trial)) => Some(GrantScope::Jar { trial: trial.clone() }),
        (Lasting::Project, _) => Some(GrantScope::Project { path: place.workspace.clone() }),
        (Lasting::Always, _) => Some(GrantScope::Always),
        (Lasting::Jar, None) => None,
    }
}

/// The fewest grants, in the order they were made, that cover everything: for each part the first.
fn covering(known: &[Grant], wanted: &[&Granted]) -> Option<Vec<String>> {
    let mut used: Vec<String> = Vec::new();
    for wanted in wanted {
        let grant = known.iter().find(|grant| grant.effects.iter().any(|effect| covers(effect, wanted)))?;
        if !used.contains(&grant.id) {
            used.push(grant.id.clone());
        }
    }
    Some(used)
}

/// Whether links on the way make a path another one than it says. It is asked now, before the command runs; what a link
/// that comes later leads to is judged with the changes.
pub(crate) fn leads_elsewhere(granted: &Granted) -> bool {
    matches!(&granted.target, Target::Path { path, .. } if FilePath::from(host::real(path.as_path())) != *path)
}

/// The directories that the command of a request may write.
///
/// # Errors
/// When it cannot be a jar.
pub fn reach(request: &Request) -> Result<Vec<FilePath>, RunError> {
    Ok(roots(request)?.into_iter().map(|root| root.path).collect())
}

/// Bytes of one line that are kept.
const SHOWN_MAX: usize = 2 << 10;
/// Lines that are kept.
const LINES_MAX: usize = 64;

fn without_secrets(mut shown: Vec<String>) -> Vec<String> {
    shown.truncate(LINES_MAX);
    let mut document = serde_json::Value::from(shown.clone());
    redacted(&mut document);
    // A list of texts stays one; nothing is kept of one that did not.
    let mut lines: Vec<String> = serde_json::from_value(document).unwrap_or_default();
    for line in &mut lines {
        let end = (0..=SHOWN_MAX.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        line.truncate(end);
    }
    lines
}

/// What a grant that is made by hand would be for.
///
/// # Errors
/// Why it can be approved once only.
pub fn grantable(door: Door, action: model::Action, target: Target, place: &Place) -> Result<Granted, Once> {
    let granted = match door {
        Door::Run => policy::grant::grant_of(action, target, place)?,
        Door::Review => policy::landing::grant_by_hand(action, target, place)?,
    };
    if leads_elsewhere(&granted) { Err(Once::Link) } else { Ok(granted) }
}

impl Answer {
    /// The grant in it, if any.
    pub(crate) fn wish(self) -> Option<Wish> {
        match self {
            Answer::Grant(wish) => Some(wish),
            Answer::Yes | Answer::No => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{covering, without_secrets};
    use model::{Action, Door, Grant, GrantScope, Granted, PathScope, Reversibility, Risk, Target, Tiers};
    use policy::grant::covers;
    use proptest::prelude::*;

    fn granted(at: usize, tree: bool) -> Granted {
        const PATHS: [&str; 6] = ["/w/a", "/w/a/b", "/w/b", "/w", "/x", "/w/ab"];
        let scope = if tree { PathScope::Tree } else { PathScope::Exact };
        let target = Target::Path { path: PATHS[at % PATHS.len()].into(), scope };
        let tiers = Tiers { contained: Risk::Medium, bare: Risk::Medium };
        Granted { action: Action::Write, target, reversibility: Reversibility::ByOverlay, tiers }
    }

    fn grant(id: usize, effects: Vec<Granted>) -> Grant {
        let (scope, shown) = (GrantScope::Always, Vec::new());
        let door = Door::Run;
        Grant { id: id.to_string(), door, effects, scope, made_ms: 0, expires_ms: None, uid: 0, shown }
    }

    fn effects() -> impl Strategy<Value = Vec<Granted>> {
        proptest::collection::vec((0_usize..6, any::<bool>()).prop_map(|(at, tree)| granted(at, tree)), 0..4)
    }

    proptest! {
        /// What is approved by grants is covered part by part, and fewer grants never approve more.
        #[test]
        fn only_what_is_covered_part_by_part_is_approved(
            all in proptest::collection::vec(effects(), 0..4),
            wanted in effects(),
            kept in proptest::collection::vec(any::<bool>(), 4),
        ) {
            let all: Vec<Grant> = all.into_iter().enumerate().map(|(id, effects)| grant(id, effects)).collect();
            let wanted: Vec<&Granted> = wanted.iter().collect();
            let each = |grants: &[Grant]| {
                wanted.iter().all(|wanted| grants.iter().flat_map(|grant| &grant.effects).any(|own| covers(own, wanted)))
            };
            prop_assert_eq!(covering(&all, &wanted).is_some(), each(&all));
            let fewer: Vec<Grant> = all.iter().zip(kept).filter(|(_, keep)| *keep).map(|(grant, _)| grant.clone()).collect();
            if let Some(used) = covering(&fewer, &wanted) {
                prop_assert!(covering(&all, &wanted).is_some(), "revoking never allows more");
                let used: Vec<Grant> = fewer.into_iter().filter(|grant| used.contains(&grant.id)).collect();
                prop_assert!(each(&used), "the grants that are named are enough");
            }
        }
    }

    #[test]
    fn what_was_shown_is_kept_without_secrets() {
        let shown = vec![
            "asked: curl -H 'Authorization: Bearer ghp_0123456789abcdefghijABCDEFGHIJ012345'".to_owned(),
            "é".repeat(4000),
        ];
        let kept = without_secrets(shown);
        assert!(!kept[0].contains("ghp_0123") && kept[0].starts_with("asked: curl"), "{kept:?}");
        assert_eq!(kept[1].len(), 2048);
    }
}
