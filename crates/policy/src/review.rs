//! Review, the second door: a finished change set judged on facts, whatever the command said beforehand.

use crate::change::{self, ChangeFacts, DELETED_NAMES_MAX};
use crate::content::{Note, Notes};
use crate::decide::{level, names, rules};
use crate::derived::{self, Depth};
use crate::engine::{Answer, Asked, Engine};
use crate::facts::{Ground, Location};
use crate::pattern::{Fit, Folded};
use crate::surprise::{self, Announced, Forecast};
use crate::words::{Question, number, yes};
use model::{
    Analysis, Attempt, Change, ChangeKind, ChangeSet, Disposition, FileKind, Flag, Found, Place, Review, Risk, Verdict,
};
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

/// What a change set is judged on.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'s> {
    pub(crate) changes: &'s ChangeSet,
    pub(crate) notes: &'s Notes,
    pub(crate) analysis: &'s Analysis,
    pub(crate) place: &'s Place,
    pub(crate) attempts: &'s [Attempt],
}

/// Judges every change, and the set as the strictest of them; tells `heard` what the rules say of each.
pub(crate) fn review(engine: &Engine, seen: Seen<'_>, heard: &mut dyn FnMut(&Answer)) -> Review {
    let Seen { changes, notes, analysis, place, attempts } = seen;
    let ground = Ground::new(place);
    let forecast = Forecast::new(analysis, &place.workspace);
    let mass = deleted_names(changes, place) > DELETED_NAMES_MAX;
    let mut door = Door::new(engine, place);
    let mut out = Review {
        disposition: Disposition::Keep,
        risks: Vec::new(),
        flags: Vec::new(),
        surprises: Vec::new(),
        held: Vec::new(),
        content: Vec::new(),
    };
    for (index, change) in changes.changes.iter().enumerate() {
        let facts = ChangeFacts::new(change, &ground, forecast.of(change), forecast.opaque, mass);
        let notes = notes.get(&index).map_or(&[][..], Vec::as_slice);
        let verdict = change::judge(&facts, notes);
        let answer = door.ask(&facts, verdict.risk, notes);
        heard(&answer);
        out.held.extend(answer.held.then_some(index));
        out.disposition = out.disposition.max(disposition(answer.verdict));
        out.risks.push(verdict.risk);
        let flags = verdict.flags.into_iter();
        out.flags.extend(flags.map(|(risk, rule, message)| Flag {
            change: index,
            risk,
            rule: rule.to_owned(),
            message,
        }));
        out.flags.extend(refusal(index, change, &answer));
        out.content.extend(notes.iter().flat_map(|note| found(index, note)));
        if change::is_surprise(&facts) {
            out.surprises.push(surprise::observed(change));
        }
    }
    out.surprises.extend(unexpected(attempts, &forecast));
    out.flags.sort_by_key(|flag| (Reverse(flag.risk), flag.change));
    out
}

fn found(change: usize, note: &Note) -> impl Iterator<Item = Found> {
    note.items.iter().map(move |item| Found {
        change,
        rule: note.rule.to_owned(),
        name: item.name.clone(),
        line: item.line,
        message: item.says.clone(),
    })
}

/// What a rule can see of a change, as far as one change is told from another by it, and what the rules say of it.
pub(crate) struct Shown {
    /// In the escape of the model.
    pub(crate) path: String,
    pub(crate) location: Location,
    pub(crate) happened: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) executable: bool,
    /// The tables have something to say of its name.
    pub(crate) telling: bool,
    pub(crate) risk: Risk,
    pub(crate) answer: Answer,
}

/// Every change as the rules see it, whatever its content is.
pub(crate) fn shown(engine: &Engine, changes: &ChangeSet, analysis: &Analysis, place: &Place) -> Vec<Shown> {
    let ground = Ground::new(place);
    let forecast = Forecast::new(analysis, &place.workspace);
    let mass = deleted_names(changes, place) > DELETED_NAMES_MAX;
    let mut door = Door::new(engine, place);
    let each = |change| {
        let facts = ChangeFacts::new(change, &ground, forecast.of(change), forecast.opaque, mass);
        let risk = change::judge(&facts, &[]).risk;
        let own = &facts.path;
        Shown {
            path: change.path.encode(),
            location: own.location,
            happened: happened(change),
            kind: kind(facts.kind()),
            executable: facts.executable(),
            telling: own.secret.is_some() || own.protected.is_some() || own.state || is_protected(&facts),
            risk,
            answer: door.ask(&facts, risk, &[]),
        }
    };
    changes.changes.iter().map(each).collect()
}

fn disposition(verdict: Verdict) -> Disposition {
    match verdict {
        Verdict::Allow => Disposition::Keep,
        Verdict::Ask => Disposition::Ask,
        Verdict::Deny => Disposition::Discard,
    }
}

/// A rule that refuses a change for good is named.
fn refusal(index: usize, change: &Change, answer: &Answer) -> Option<Flag> {
    let rule = answer.rules.first().map_or("default-deny", String::as_str);
    let message = format!("{} is never applied, by rule {}", change.path, model::escape::text(rule));
    (answer.verdict == Verdict::Deny).then(|| Flag { change: index, risk: Risk::High, rule: rule.to_owned(), message })
}

/// Refused attempts that were not announced, each once.
fn unexpected<'a>(attempts: &'a [Attempt], forecast: &Forecast<'_>) -> Vec<model::Effect> {
    let open: Vec<&'a Attempt> = attempts.iter().filter(|attempt| !forecast.expects(attempt)).collect();
    let effects: BTreeSet<_> = open.into_iter().map(surprise::attempted).collect();
    effects.into_iter().collect()
}

/// How many names of the host are gone, not counting what tools make again.
fn deleted_names(changes: &ChangeSet, place: &Place) -> u64 {
    let home = Folded::new(&place.home);
    let gone = changes.changes.iter().filter(|change| change.kind == ChangeKind::Deleted);
    let own = gone.filter(|change| derived::find(&Folded::new(&change.path), &home).0 == Depth::Source);
    own.fold(0u64, |sum, change| sum.saturating_add(change.below).saturating_add(1))
}

/// Everything a rule can see of a change but its name.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    location: Location,
    happened: &'static str,
    kind: &'static str,
    executable: bool,
    rules: [Option<&'static str>; 2],
    content: Vec<&'static str>,
    state: bool,
    protected: bool,
    derived: bool,
    risk: Risk,
    announced: Announced,
}

/// The way to the engine: where no rule looks at names, changes that are alike are asked about once.
struct Door<'e> {
    engine: &'e Engine,
    place: &'e Place,
    answers: HashMap<Key, Answer>,
    by_name: bool,
}

impl<'e> Door<'e> {
    fn new(engine: &'e Engine, place: &'e Place) -> Door<'e> {
        let by_name = ["path", "name"].iter().any(|attribute| engine.looks_at(Question::Apply, attribute));
        Door { engine, place, answers: HashMap::new(), by_name }
    }

    fn ask(&mut self, facts: &ChangeFacts<'_>, risk: Risk, notes: &[Note]) -> Answer {
        if self.by_name {
            return self.engine.ask(self.question(facts, risk, notes));
        }
        let key = key(facts, risk, notes);
        if let Some(answer) = self.answers.get(&key) {
            return answer.clone();
        }
        let answer = self.engine.ask(self.question(facts, risk, notes));
        self.answers.insert(key, answer.clone());
        answer
    }

    fn question(&self, facts: &ChangeFacts<'_>, risk: Risk, notes: &[Note]) -> Asked {
        let words = self.engine.words();
        let mut attributes = names(&facts.change.path);
        attributes.extend([
            ("location", words.value("Location", facts.path.location.name())),
            ("happened", words.value("Happened", happened(facts.change))),
            ("kind", words.value("Kind", kind(facts.kind()))),
            ("executable", yes(facts.executable())),
            ("rules", rules(words, &facts.path, notes.iter().map(|note| note.rule))),
            ("protected", yes(is_protected(facts))),
            ("derived", yes(facts.is_derived())),
        ]);
        let context = vec![
            ("risk", number(level(risk))),
            ("predicted", yes(facts.announced != Announced::No)),
            ("named", yes(facts.announced == Announced::Named)),
            ("opaque", yes(facts.opaque)),
        ];
        Asked { question: Question::Apply, uid: self.place.uid, kind: "Change", attributes, context }
    }
}

fn is_protected(facts: &ChangeFacts<'_>) -> bool {
    facts.protected().is_some_and(|row| facts.tier(row) == Risk::High)
}

fn key(facts: &ChangeFacts<'_>, risk: Risk, notes: &[Note]) -> Key {
    let within = facts.path.protected.filter(|(fit, _)| *fit == Fit::Within).map(|(_, row)| row.rule);
    Key {
        location: facts.path.location,
        happened: happened(facts.change),
        kind: kind(facts.kind()),
        executable: facts.executable(),
        rules: [facts.path.secret, within],
        content: notes.iter().map(|note| note.rule).collect(),
        state: facts.path.state,
        protected: is_protected(facts),
        derived: facts.is_derived(),
        risk,
        announced: facts.announced,
    }
}

fn happened(change: &Change) -> &'static str {
    match change.kind {
        ChangeKind::Added => "added",
        ChangeKind::Modified => "modified",
        ChangeKind::Deleted => "deleted",
        ChangeKind::Renamed { .. } => "renamed",
        // Rules know five words; a name that was there now stands for another file, one that was not is new.
        ChangeKind::Linked { .. } if change.before.is_some() => "replaced",
        ChangeKind::Linked { .. } => "added",
        ChangeKind::Replaced => "replaced",
    }
}

fn kind(kind: FileKind) -> &'static str {
    match kind {
        FileKind::File => "file",
        FileKind::Directory => "directory",
        FileKind::Symlink => "symlink",
        FileKind::Fifo => "fifo",
        FileKind::Socket => "socket",
        FileKind::CharDevice => "char-device",
        FileKind::BlockDevice => "block-device",
    }
}
