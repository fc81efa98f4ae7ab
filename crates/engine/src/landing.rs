//! Grants at the second door: which changes of a finished run they answer for, and what a person may grant with an answer
//! there. What they can never answer for is [`policy::landing`]'s to say.

use crate::approve::{Lasting, Person, Wish};
use crate::audit::now_ms;
use crate::choice::{Choice, Chooser, Uses};
use crate::consent::{leads_elsewhere, scope_of};
use crate::error::{RunError, in_full};
use crate::grants::{EFFECTS_MAX, Spot, counts};
use crate::harmless::{up_to, up_to_with};
use crate::journey::{Engine, Outcome};
use crate::trial::{Frozen, Trial};
use model::{Apply, Change, Door, Grant, Granted, Risk, Stage};
use policy::grant::{Once, covers};
use policy::landing::Landing;
use std::collections::HashMap;

/// Files that can be shown one by one; of more only directories are offered.
const FILES_MAX: usize = 16;

/// What may be granted with an answer about changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LandingOffer {
    /// The names themselves; none where there are too many to be read.
    pub files: Vec<Granted>,
    /// All below their directories.
    pub directories: Vec<Granted>,
    /// Changes, by index, that are asked about every time, and why.
    pub once: Vec<(usize, Once)>,
    /// The changes wait in a jar that others may follow in.
    pub jar: bool,
}

/// What a person wants remembered of an answer about changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Where it counts.
    pub wish: Wish,
    /// All below the directories, and not the names alone.
    pub below: bool,
}

/// A person's answer about changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle {
    /// What becomes of them.
    pub choice: Choice,
    /// What of it is not to be asked again. It counts only with a choice that makes something real.
    pub keep: Option<Keep>,
}

impl From<Choice> for Settle {
    fn from(choice: Choice) -> Settle {
        Settle { choice, keep: None }
    }
}

/// What grants had to do with the end of a journey.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granting {
    /// Those that answered, and the changes they answered for.
    pub used: Uses,
    /// The one that was made with the answer.
    pub made: Option<Grant>,
    /// Why none could count.
    pub unread: Option<String>,
}

impl LandingOffer {
    /// What a grant would be for.
    #[must_use]
    pub fn effects(&self, below: bool) -> &[Granted] {
        if below { &self.directories } else { &self.files }
    }

    /// Where it may count.
    #[must_use]
    pub fn scopes(&self) -> Vec<Lasting> {
        let mut scopes = vec![Lasting::Jar, Lasting::Project, Lasting::Always];
        let nothing = self.files.is_empty() && self.directories.is_empty();
        scopes.retain(|scope| !nothing && (self.jar || *scope != Lasting::Jar));
        scopes
    }

    fn has(&self, keep: Keep) -> bool {
        !self.effects(keep.below).is_empty() && self.scopes().contains(&keep.wish.scope)
    }
}

/// The grants that answer, by the index of the change.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    by: HashMap<usize, String>,
}

impl Remembered {
    fn has(&self, index: usize) -> bool {
        self.by.contains_key(&index)
    }

    /// What `choice` takes of it, but for what needs no grant.
    fn uses(&self, frozen: &Trial<Frozen>, choice: &Choice, needless: impl Fn(usize) -> bool) -> Uses {
        let chosen = |change: &Change| match choice {
            Choice::ApplyAll => true,
            Choice::Apply(paths) => paths.iter().any(|path| change.path.starts_with(path)),
            Choice::Pick(_) | Choice::Discard | Choice::Leave => false,
        };
        let mut uses = Uses::default();
        for (index, change) in frozen.changes().changes.iter().enumerate() {
            let Some(id) = self.by.get(&index).filter(|_| !needless(index) && chosen(change)) else { continue };
            uses.paths.push(change.path.clone());
            if !uses.grants.contains(id) {
                uses.grants.push(id.clone());
            }
        }
        uses
    }
}

/// What is to become of the changes, who says so, and what of it is to be remembered.
struct Chosen {
    choice: Choice,
    by: Chooser,
    keep: Option<Keep>,
}

impl Engine {
    /// The end of a journey: what `apply` says, by grants where they answer, else by `person`, comes true.
    pub(crate) fn ended(
        &self,
        frozen: Trial<Frozen>,
        apply: Apply,
        person: Option<&mut dyn Person>,
    ) -> Result<Outcome, RunError> {
        let (remembered, unread) = match self.remembered(&frozen, apply) {
            Ok(remembered) => (remembered, None),
            // Grants that cannot be read answer for nothing; the command has run, and what it did is still to be decided on.
            Err(error) => {
                let stage = Stage::Failed { error: model::escape::text(&in_full(&error)) };
                self.audit.append(Some(frozen.id()), stage, crate::audit::Durability::Lazy)?;
                (Remembered::default(), Some(in_full(&error)))
            }
        };
        let Chosen { choice, by, keep } = choose(&frozen, apply, &remembered, person);
        let made = keep.map(|keep| self.keep(&frozen, keep)).transpose()?.flatten();
        let used = by.uses().cloned().unwrap_or_default();
        Ok(Outcome { grants: Granting { used, made, unread }, ..self.settle(frozen, &choice, by)? })
    }

    /// Which changes the grants that count here and now answer for. They are read only where an answer could matter.
    fn remembered(&self, frozen: &Trial<Frozen>, apply: Apply) -> Result<Remembered, RunError> {
        let harmless = || up_to(Risk::Low, frozen.changes(), frozen.review()) == Choice::ApplyAll;
        let matters = match apply {
            Apply::Ask => true,
            Apply::Auto => !harmless(),
            Apply::Always | Apply::Never | Apply::Discard => false,
        };
        if self.unattended || frozen.changes().changes.is_empty() || !matters {
            return Ok(Remembered::default());
        }
        let record = frozen.record();
        let spot = Spot { jar: record.jar.is_some().then_some(&record.id), place: &record.place };
        let now = now_ms();
        let mut known = self.grants().all()?;
        known.retain(|grant| grant.door == Door::Review && counts(grant, spot, now));
        let mut remembered = Remembered::default();
        if known.is_empty() {
            return Ok(remembered);
        }
        let landing = Landing::new(frozen.changes(), frozen.review(), &record.place);
        for index in 0..frozen.changes().changes.len() {
            let Ok(wanted) = landing.grant(index) else { continue };
            let answers = |grant: &&Grant| grant.effects.iter().any(|effect| covers(effect, &wanted));
            let Some(grant) = known.iter().find(answers).filter(|_| !leads_elsewhere(&wanted)) else { continue };
            remembered.by.insert(index, grant.id.clone());
        }
        Ok(remembered)
    }

    /// Makes the grant that came with an answer, on record before anything becomes real by that answer.
    fn keep(&self, frozen: &Trial<Frozen>, keep: Keep) -> Result<Option<Grant>, RunError> {
        let record = frozen.record();
        let effects = frozen.offer().effects(keep.below).to_vec();
        let jar = record.jar.is_some().then_some(&record.id);
        let Some(scope) = scope_of(keep.wish.scope, jar, &record.place) else { return Ok(None) };
        let line = |change: &Change| format!("changed: {}", change.path);
        let command: Vec<String> = record.argv.iter().map(ToString::to_string).collect();
        let asked = format!("asked about the changes of: {}", model::escape::text(&command.join(" ")));
        let shown = std::iter::once(asked).chain(frozen.changes().changes.iter().map(line)).collect();
        self.grant(Door::Review, effects, scope, keep.wish.days, shown).map(Some)
    }
}

impl Trial<Frozen> {
    /// What may be granted with an answer about its changes.
    #[must_use]
    pub fn offer(&self) -> LandingOffer {
        let place = &self.record().place;
        let landing = Landing::new(self.changes(), self.review(), place);
        let (mut files, mut indices, mut once) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..self.changes().changes.len() {
            match landing.grant(index) {
                Ok(granted) if leads_elsewhere(&granted) => once.push((index, Once::Link)),
                Ok(granted) => {
                    indices.push(index);
                    files.push(granted);
                }
                Err(why) => once.push((index, why)),
            }
        }
        let directories = landing.directories(&indices);
        let few = |all: Vec<Granted>, most: usize| if all.len() > most { Vec::new() } else { all };
        let (files, directories) = (few(files, FILES_MAX), few(directories, EFFECTS_MAX));
        LandingOffer { files, directories, once, jar: self.record().jar.is_some() }
    }
}

/// A mode given beforehand never reaches what needs a person; a grant reaches what [`policy::landing`] leaves it.
fn choose(frozen: &Trial<Frozen>, apply: Apply, remembered: &Remembered, person: Option<&mut dyn Person>) -> Chosen {
    let by_mode = |choice| Chosen { choice, by: Chooser::Mode, keep: None };
    let (changes, review) = (frozen.changes(), frozen.review());
    let unchanged = changes.changes.is_empty();
    let granted = || up_to_with(Risk::Low, |index| remembered.has(index), changes, review);
    let low = |index: usize| review.risks.get(index) == Some(&Risk::Low);
    match apply {
        _ if unchanged && frozen.record().jar.is_some() => by_mode(Choice::Leave),
        _ if unchanged => by_mode(Choice::Discard),
        Apply::Discard => by_mode(Choice::Discard),
        Apply::Auto => {
            let choice = granted();
            let uses = remembered.uses(frozen, &choice, low);
            let by = if uses.grants.is_empty() { Chooser::Mode } else { Chooser::Grants(uses) };
            Chosen { choice, by, keep: None }
        }
        Apply::Always => by_mode(up_to(Risk::Medium, changes, review)),
        Apply::Never => by_mode(Choice::Leave),
        // Nobody is asked where all that changed was granted, or is harmless beside what was.
        Apply::Ask => match (granted(), person) {
            (Choice::ApplyAll, person) if !remembered.by.is_empty() => {
                let uses = remembered.uses(frozen, &Choice::ApplyAll, |_| false);
                person.into_iter().for_each(|person| person.granted(&uses.grants));
                Chosen { choice: Choice::ApplyAll, by: Chooser::Grants(uses), keep: None }
            }
            // An answer that could not be read is no answer, and so is a yes to more than was offered: the changes wait.
            (_, Some(person)) => {
                let Settle { choice, keep } = person.settle(frozen).unwrap_or_else(|_| Choice::Leave.into());
                let too_much = keep.is_some_and(|keep| !frozen.offer().has(keep));
                let choice = if too_much { Choice::Leave } else { choice };
                let real = !matches!(choice, Choice::Discard | Choice::Leave);
                Chosen { choice, by: Chooser::Person, keep: keep.filter(|_| real) }
            }
            (_, None) => by_mode(Choice::Leave),
        },
    }
}
