//! Who made which change, in words for a person and as values for a program.

use crate::error::RunError;
use crate::trial::{Frozen, Trial};
use model::{Change, FilePath, Risk};
use overlay::{Author, Op, Overlay, Process};
use std::ffi::OsString;

/// Longest program text in a sentence.
const PHRASE_CHARS_MAX: usize = 72;

/// The authors of the changes of a trial.
#[derive(Clone, Debug, Default)]
pub struct Who {
    /// By index into the change set, who touched it last first; empty where nobody is on record.
    pub authors: Vec<Vec<Author>>,
    /// Roots with changes of which nobody watched who made them: the kernel's overlayfs kept them.
    pub unwatched: Vec<FilePath>,
}

impl Trial<Frozen> {
    /// Who made the changes.
    ///
    /// # Errors
    /// When the record of it cannot be read.
    pub fn who(&self) -> Result<Who, RunError> {
        let mut who = Who { authors: vec![Vec::new(); self.changes().changes.len()], unwatched: Vec::new() };
        for overlay in &self.overlays {
            let owned =
                |change: &Change| self.overlay_of(&change.path).is_some_and(|owner| std::ptr::eq(owner, overlay));
            let own = self.changes().changes.iter().enumerate().filter(|(_, change)| owned(change));
            who.add(overlay, &own.collect::<Vec<_>>())?;
        }
        Ok(who)
    }

    /// A red flag names the process whose doing it is about.
    pub(crate) fn name_authors(&mut self) {
        if !self.stage.review.flags.iter().any(|flag| flag.risk == Risk::High) {
            return;
        }
        // Without the journal the flags say what they say anyway; `show --who` tells why it cannot be read.
        let Ok(who) = self.who() else { return };
        for flag in self.stage.review.flags.iter_mut().filter(|flag| flag.risk == Risk::High) {
            if let Some(author) = who
                .authors
                .get(flag.change)
                .and_then(|authors| culprit(authors))
                .filter(|author| author.process.pid != 0)
            {
                flag.message.push_str(&format!("; by {}", phrase(&author.process)));
            }
        }
    }
}

impl Who {
    fn add(&mut self, overlay: &Overlay, changes: &[(usize, &Change)]) -> Result<(), RunError> {
        let list: Vec<&Change> = changes.iter().map(|(_, change)| *change).collect();
        let Some(found) = overlay.authors(&list)? else {
            self.unwatched.extend((!list.is_empty()).then(|| overlay.root().clone()));
            return Ok(());
        };
        for ((index, _), authors) in changes.iter().zip(found) {
            if let Some(slot) = self.authors.get_mut(*index) {
                *slot = authors;
            }
        }
        Ok(())
    }
}

/// Who gave a change what matters about it: content or name rather than times.
fn culprit(authors: &[Author]) -> Option<&Author> {
    let matters = |author: &&Author| author.did.iter().any(|op| !matches!(op, Op::Setattr | Op::Xattr | Op::Open));
    authors.iter().find(matters).or(authors.first())
}

/// A process by what it was started as, escaped; with its program's name where it goes by another.
#[must_use]
pub fn phrase(process: &Process) -> String {
    let short = short(process, PHRASE_CHARS_MAX);
    match disguise(process) {
        Some(program) => format!("`{short}` ({program})"),
        None => format!("`{short}`"),
    }
}

/// At most `chars_max` characters of [`command`].
#[must_use]
pub fn short(process: &Process, chars_max: usize) -> String {
    let text = command(process);
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// The whole line a process was started as, escaped and without its secrets.
#[must_use]
pub fn command(process: &Process) -> String {
    let cut = if process.cut { " ..." } else { "" };
    if !process.argv.is_empty() {
        let argv: Vec<OsString> = process.argv.iter().map(|word| word.as_os_str().to_owned()).collect();
        let text = model::escape::bytes(&analyze::quote(&argv));
        return format!("{}{cut}", policy::shapes::clean(&text).unwrap_or(text));
    }
    // Its arguments could not be read: what the kernel calls it.
    match (&process.executable, process.name.as_bytes()) {
        (None, []) if process.pid == 0 => "unknown process, by way of a shared mapping".to_owned(),
        (Some(program), _) => program.to_string(),
        (None, []) => format!("process {}, gone by then", process.pid),
        (None, name) => model::escape::bytes(name),
    }
}

/// The file name of the program, where a process goes by another.
fn disguise(process: &Process) -> Option<String> {
    let program = process.executable.as_ref()?.file_name()?;
    let called = process.argv.first()?.file_name()?;
    // python3 is a link to python3.11 nearly everywhere.
    let version = program.as_encoded_bytes().strip_prefix(called.as_encoded_bytes());
    let same = version.is_some_and(|rest| rest.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.'));
    (!same).then(|| model::escape::bytes(program.as_encoded_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(program: Option<&str>, argv: &[&str]) -> Process {
        Process {
            pid: 7,
            name: "short".into(),
            executable: program.map(Into::into),
            argv: argv.iter().map(|word| (*word).into()).collect(),
            cut: false,
            orphan: false,
        }
    }

    #[test]
    fn a_process_is_named_by_its_words_and_never_raw() {
        for (process, expected) in [
            (process(Some("/usr/bin/node"), &["node", "postinstall.js"]), "`node postinstall.js`"),
            (process(Some("/usr/bin/python3.11"), &["/usr/bin/python3", "x"]), "`/usr/bin/python3 x`"),
            (process(Some("/tmp/evil"), &["git", "gc"]), "`git gc` (evil)"),
            (process(Some("/tmp/git-evil"), &["git", "gc"]), "`git gc` (git-evil)"),
            (process(Some("/usr/bin/awk"), &[]), "`/usr/bin/awk`"),
            (process(None, &[]), "`short`"),
            (process(Some("/bin/a"), &["a", "\u{1b}[2J\u{202e}"]), "`a $'\\033[2J\\342\\200\\256'`"),
        ] {
            assert_eq!(phrase(&process), expected);
        }
        let long = process(Some("/bin/a"), &["a", &"x".repeat(200)]);
        assert_eq!(phrase(&long).chars().count(), PHRASE_CHARS_MAX + 5);
    }
}
