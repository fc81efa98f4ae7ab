//! The judge of names: the rules that a jar holds, asked about one path.

use super::body;
use super::condition::{Condition, Fits, before_first_star, before_star};
use crate::decide;
use crate::engine::{Engine, Functions, Judged};
use crate::error::PolicyError;
use crate::facts::Ground;
use crate::replay::request::Part;
use crate::risk::{self, EffectFacts};
use crate::syntax::plain;
use crate::words::Words;
use model::{
    Action, Agreed, Certainty, Confinement, Effect, Endpoint, FilePath, Held, Hidden, PathScope, Place, Protocol,
    Reversibility, SecretNames, Target,
};
use std::path::Path;

/// Rules that a jar holds.
pub struct Judge {
    place: Place,
    agreed: Vec<Agreed>,
    rules: Vec<Rule>,
}

struct Rule {
    id: String,
    action: Action,
    engine: Engine,
    /// It speaks of nothing that fits none of these; `None`: it may speak of anything.
    fits: Option<Vec<Fits>>,
    /// What it surely forbids, where a person did not agree and where one did.
    surely: [Vec<Fits>; 2],
    /// Whether it forbids nothing else.
    plain: bool,
    /// Whether it is always so.
    always: bool,
}

impl Judge {
    /// The rules that a jar at `place` holds.
    ///
    /// # Errors
    /// [`PolicyError`] when one of them is none.
    pub fn new(place: &Place, held: &[Held], agreed: &[Agreed]) -> Result<Judge, PolicyError> {
        let rules = held.iter().map(Rule::new).collect::<Result<_, _>>()?;
        Ok(Judge { place: Place { contained: true, ..place.clone() }, agreed: agreed.to_vec(), rules })
    }

    /// Those of a confinement.
    ///
    /// # Errors
    /// As [`Judge::new`].
    pub fn of(place: &Place, confinement: &Confinement) -> Result<Judge, PolicyError> {
        Judge::new(place, &confinement.held, &confinement.agreed)
    }

    /// Whether any rule is about what may be read.
    #[must_use]
    pub fn judges_paths(&self) -> bool {
        self.rules.iter().any(|rule| rule.action == Action::Read)
    }

    /// Whether more is forbidden to be read than is named outright.
    #[must_use]
    pub fn needs_a_look(&self) -> bool {
        self.about(Action::Read)
            .any(|rule| !rule.plain || rule.surely.iter().flatten().any(|fits| named(fits).is_none()))
    }

    /// Directories below which rules speak of paths that they do not all name outright.
    #[must_use]
    pub fn directories(&self) -> Vec<FilePath> {
        let patterns = self
            .about(Action::Read)
            .filter(|rule| !rule.plain || rule.surely.iter().flatten().any(|fits| named(fits).is_none()));
        let mut found: Vec<FilePath> =
            patterns.flat_map(|rule| rule.fits.iter().flatten()).filter_map(directory).collect();
        found.sort();
        found.dedup();
        found
    }

    fn about(&self, action: Action) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(move |rule| rule.action == action)
    }

    /// The rule that forbids to read this path.
    #[must_use]
    pub fn hides(&self, path: &FilePath) -> Option<&str> {
        let mut asked = self.about(Action::Read).filter(|rule| rule.may_speak_of(path)).peekable();
        asked.peek()?;
        let target = Target::Path { path: path.clone(), scope: PathScope::Exact };
        let part = self.part(Action::Read, target, Reversibility::Harmless);
        let agreed = self.agreed.iter().any(|agreed| agreed.covers(path));
        asked.find(|rule| rule.forbids(&part, &self.place, agreed)).map(|rule| rule.id.as_str())
    }

    /// The rule that forbids this peer to somebody who named it beforehand.
    pub(super) fn refuses(&self, rule: &str, host: &str, port: u16, protocol: Protocol) -> bool {
        let peer = Endpoint { host: host.to_owned(), port: Some(port), protocol: Some(protocol) };
        let part = self.part(Action::Connect, Target::Peer(peer), Reversibility::Never);
        self.about(Action::Connect).any(|own| own.id == rule && own.forbids(&part, &self.place, true))
    }

    /// What is asked of the rules where somebody is about to do this.
    fn part(&self, action: Action, target: Target, reversibility: Reversibility) -> Part<'static> {
        let effect = Effect { action, target, certainty: Certainty::Must, reversibility, span: None, by: None };
        let ground = Ground::new(&self.place);
        let facts = EffectFacts::new(&effect, &ground);
        let (tiers, _) = risk::effect_tiers(&facts);
        decide::part(&facts, tiers, &self.place)
    }

    /// Paths that rules name outright, each with all below it. Not what a person was asked about, but for rules that nobody
    /// can talk out of it.
    pub(crate) fn outright(&self) -> Vec<Hidden> {
        let mut found = Vec::new();
        for rule in self.about(Action::Read) {
            let hidden = |path: FilePath| Hidden { path, rule: rule.id.clone() };
            let asked = |(path, below): &(FilePath, bool)| {
                self.agreed.iter().any(|agreed| agreed.covers(path) && (agreed.below || !below))
            };
            let [unasked, always] = &rule.surely;
            found.extend(rule.always.then(|| hidden(FilePath::from("/"))));
            found.extend(unasked.iter().filter_map(named).filter(|named| !asked(named)).map(|(path, _)| hidden(path)));
            found.extend(always.iter().filter_map(named).map(|(path, _)| hidden(path)));
            // A path that stands in a rule which says more can be asked about.
            let paths = rule.fits.iter().flatten().filter_map(named).filter(|(_, below)| !below);
            found.extend(paths.map(|(path, _)| path).filter(|path| self.hides(path).is_some()).map(hidden));
        }
        found
    }
}

impl Rule {
    fn new(held: &Held) -> Result<Rule, PolicyError> {
        let broken = |message: String| PolicyError::Held { rule: held.rule.clone(), message };
        let words = Words::new()?;
        let policy = super::policy(held)?;
        let kind = if held.action == Action::Read { "Path" } else { "Peer" };
        let Some(expr) = body(words.kind(kind), &policy) else {
            return Err(broken(format!("it is not about a {kind}")));
        };
        let [unasked, asked] = [false, true].map(|approved| Condition::of_path(&expr, approved));
        let (fits, plain, always) = (unasked.over(), unasked.is_plain(), unasked.is(true));
        let surely = [unasked.surely(), asked.surely()];
        let engine = Engine::new(words, &[policy], Functions::All);
        Ok(Rule { id: held.rule.clone(), action: held.action, engine, fits, surely, plain, always })
    }

    fn may_speak_of(&self, path: &FilePath) -> bool {
        let Some(fits) = &self.fits else { return true };
        let name = || path.file_name().map(|name| FilePath::new(name).encode()).unwrap_or_default();
        fits.iter().any(|fits| match fits {
            Fits::Path(pattern) => pattern.wildcard_match(&path.encode()),
            Fits::Name(pattern) => pattern.wildcard_match(&name()),
        })
    }

    /// Whether it forbids this to somebody who was not asked, or who agreed. A rule that fails forbids.
    fn forbids(&self, part: &Part<'_>, place: &Place, agreed: bool) -> bool {
        let once = |approved| {
            let asked = part.asked(self.engine.words(), place.uid, place.contained);
            !matches!(self.engine.once(asked, approved), Judged::Refused(rules) if rules.is_empty())
        };
        once(agreed)
    }
}

/// The path that a pattern names: `/a/b`, or what is below it, `/a/b/*`, of which the directory itself may stay.
fn named(fits: &Fits) -> Option<(FilePath, bool)> {
    let Fits::Path(pattern) = fits else { return None };
    let (text, below) = match plain(pattern.get_elems()) {
        Some(text) => (text, false),
        None => (before_star(pattern)?.strip_suffix('/')?.to_owned(), true),
    };
    let path = FilePath::decode(&text)?;
    // Paths of requests are normalised: nothing has another name.
    let whole = if path.as_bytes().is_empty() { FilePath::from("/") } else { path };
    (whole.is_absolute() && whole.normalise() == whole).then_some((whole, below))
}

/// The directory that all paths of a pattern are below.
fn directory(fits: &Fits) -> Option<FilePath> {
    let Fits::Path(pattern) = fits else { return None };
    let head = before_first_star(pattern)?;
    let path = FilePath::decode(head.rsplit_once('/')?.0)?;
    (path.is_absolute() && path.normalise() == path).then_some(path)
}

/// The rules alone, for where tables of names mean nothing.
impl SecretNames for Judge {
    fn secret(&self, path: &Path, _is_dir: bool) -> Option<model::NamedSecret<'_>> {
        let rule = self.hides(&FilePath::from(path))?;
        Some(model::NamedSecret { rule, unless_public: false })
    }

    fn is_shown(&self, _path: &Path) -> bool {
        !self.judges_paths()
    }

    fn is_public(&self, _content: &[u8]) -> bool {
        false
    }
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rules: Vec<&str> = self.rules.iter().map(|rule| rule.id.as_str()).collect();
        f.debug_struct("Judge").field("rules", &rules).finish_non_exhaustive()
    }
}
