//! What the contents of a finished change set tell: reads, within bounds, what [`policy::content`] wants of each change.
//!
//! Both sides are data of strangers; they are read through the overlay, which follows no link, and parsed by pure code.
//! What is not read for want of room is told as such.

use crate::look;
use crate::trial::Trial;
use analyze::ShellContext;
use model::{Change, ChangeSet, FilePath, Place, Risk};
use overlay::{Conflict, Overlay};
use policy::Policy;
use policy::content::{Item, Note, Notes, Reader, Side};
use std::collections::HashMap;

/// Bytes that are read of one change set, all files and both sides together. Beyond it a file is told as not read.
const BYTES_MAX: u64 = 64 << 20;
/// Scripts that are analysed for one change set; each costs up to some milliseconds.
const SCRIPTS_MAX: usize = 64;
/// Bytes of such a script.
const SCRIPT_BYTES_MAX: usize = 64 << 10;

impl<S> Trial<S> {
    /// What the contents of `changes` tell.
    pub(crate) fn notes(&self, changes: &ChangeSet, policy: &Policy) -> Notes {
        let place = &self.record.place;
        let reader = Reader::new(place);
        let mut left = BYTES_MAX;
        let mut scripts = Scripts { policy, place, known: HashMap::new() };
        let mut notes = Notes::new();
        for (index, change) in changes.changes.iter().enumerate() {
            let Some(wanted) = reader.wants(change) else { continue };
            let overlay = self.holding(&change.path);
            let before = read(&mut left, |most| before(overlay?, change, &wanted.before, wanted.bytes.min(most)));
            let after = read(&mut left, |most| Some(overlay?.own_head(&change.path, wanted.bytes.min(most)).ok()));
            let mut judge = |text: &str| scripts.judge(text);
            let found = reader.read(change, before.side(), after.side(), &mut judge);
            if !found.is_empty() {
                notes.insert(index, found);
            }
        }
        notes
    }

    /// The overlay whose root holds `path`, the innermost where they nest.
    fn holding(&self, path: &FilePath) -> Option<&Overlay> {
        let holding = self.overlays.iter().filter(|overlay| path.starts_with(overlay.root()));
        holding.max_by_key(|overlay| overlay.root().as_bytes().len())
    }
}

/// Adds where the host has changed since, to the change at that place or above it.
pub(crate) fn note_conflicts(notes: &mut Notes, changes: &ChangeSet, conflicts: &[Conflict]) {
    for conflict in conflicts {
        let concerned =
            changes.changes.iter().enumerate().filter(|(_, change)| conflict.path.starts_with(&change.path));
        let nearest = concerned.max_by_key(|(_, change)| change.path.as_bytes().len());
        let Some((index, change)) = nearest else { continue };
        let place = if change.path == conflict.path { String::new() } else { format!("{}: ", conflict.path) };
        let why = format!("an apply would refuse it: {place}{}", conflict.kind.describe());
        let told = notes.entry(index).or_default();
        match told.iter_mut().find(|note| note.rule == policy::content::CONFLICT) {
            Some(note) => note.items.push(Item { name: conflict.path.to_string(), line: None, says: why }),
            None => told.push(Note::conflict(conflict.path.to_string(), why)),
        }
    }
}

/// Bytes of one side; `None` outside: there is none, inside: it could not be read.
struct Bytes(Option<Option<(Vec<u8>, u64)>>);

impl Bytes {
    fn side(&self) -> Side<'_> {
        match &self.0 {
            None => Side::Absent,
            Some(None) => Side::Unread,
            Some(Some((bytes, size))) => Side::Head(bytes, *size),
        }
    }
}

type Got = Option<Option<(Vec<u8>, u64)>>;

fn read(left: &mut u64, get: impl FnOnce(u64) -> Got) -> Bytes {
    if *left == 0 {
        return Bytes(Some(None));
    }
    let got = get(*left);
    if let Some(Some((bytes, _))) = &got {
        *left = left.saturating_sub(bytes.len() as u64);
    }
    Bytes(got)
}

/// The host's side. Of a name that is new there is none, whatever the host has there by now.
fn before(overlay: &Overlay, change: &Change, path: &FilePath, most: u64) -> Got {
    if change.before.is_none() && change.path == *path {
        return None;
    }
    match overlay.host_head(path, most) {
        Ok(head) => head.map(Some),
        Err(_) => Some(None),
    }
}

/// Scripts of manifests, each judged once.
struct Scripts<'s> {
    policy: &'s Policy,
    place: &'s Place,
    known: HashMap<String, (Risk, String)>,
}

impl Scripts<'_> {
    /// The tier of a script on the bare machine, where it will run next, and the finding that made it so.
    fn judge(&mut self, text: &str) -> (Risk, String) {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        if self.known.len() >= SCRIPTS_MAX || text.len() > SCRIPT_BYTES_MAX {
            return (Risk::High, "too much to be analysed".to_owned());
        }
        let place = Place { contained: false, ..self.place.clone() };
        let shell = ShellContext { cwd: place.cwd.clone(), home: place.home.clone(), ..ShellContext::default() };
        let analysis = look::analyze_here(text.as_bytes(), shell);
        let assessment = self.policy.assess(&analysis, &place);
        let worst = analysis.findings.iter().max_by_key(|finding| finding.severity);
        let why = worst.map(|finding| format!("{} {}", finding.check, finding.message)).unwrap_or_default();
        let judged = (assessment.tiers.bare, why);
        self.known.insert(text.to_owned(), judged.clone());
        judged
    }
}
