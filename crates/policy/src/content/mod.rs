//! Content: what the bytes of a changed file tell besides its name. Pure: the bytes before and after come in, notes go out.
//!
//! [`Reader::wants`] says which bytes of a change matter and how many; whoever has the files reads so much and no more. A
//! lock file or a manifest that is not read to its end is told, and so is a text.

mod added;
mod binary;
mod indented;
mod lock;
mod manifest;
mod note;

pub use note::{Item, Note};

use crate::derived::Depth;
use crate::facts::Ground;
use model::{Change, ChangeKind, FileKind, FilePath, PathScope, Place, Risk};
use std::collections::BTreeMap;

/// Bytes of any other text that are searched.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// A NUL among so many first bytes is no text (as git has it).
const HEAD_BYTES: usize = 8000;
/// The host is not what the command saw any more.
pub const CONFLICT: &str = "host/changed";
const NOT_READ: &str = "content/not-read";
const EXECUTE: u32 = 0o111;

/// Every rule that a note may have, for rules of the policy.
pub const RULES: &[&str] = &[
    added::SECRET,
    binary::BINARY,
    binary::DISGUISED,
    CONFLICT,
    NOT_READ,
    lock::CHANGED,
    lock::INSTALL_SCRIPT,
    lock::INTEGRITY,
    lock::NOT_UNDERSTOOD,
    lock::SOURCE,
    manifest::BACKEND,
    manifest::CHANGED,
    manifest::INSTALL_SCRIPT,
    manifest::NOT_UNDERSTOOD,
    manifest::REGISTRY,
    manifest::SCRIPT,
    manifest::SOURCE,
];

/// What the contents of a change set tell, by the index of the change.
pub type Notes = BTreeMap<usize, Vec<Note>>;

/// Judges the text of a script as if somebody ran it bare: its tier, and why in a few words.
pub type Judge<'j> = dyn FnMut(&str) -> (Risk, String) + 'j;

/// Which bytes are wanted of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The path of the host to compare with.
    pub before: FilePath,
    /// So many of each side, at most.
    pub bytes: u64,
}

/// One side of a file, as far as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side<'b> {
    /// There is none.
    Absent,
    /// It is there, and was not read.
    Unread,
    /// Its first bytes, and how many there are.
    Head(&'b [u8], u64),
}

impl<'b> Side<'b> {
    fn head(self) -> Option<&'b [u8]> {
        match self {
            Side::Head(bytes, _) => Some(bytes),
            _ => None,
        }
    }

    /// All of it.
    fn whole(self) -> Option<&'b [u8]> {
        match self {
            Side::Head(bytes, size) if bytes.len() as u64 >= size => Some(bytes),
            _ => None,
        }
    }
}

/// Looks into the changes of one place.
pub struct Reader<'p> {
    ground: Ground<'p>,
}

enum Special {
    Lock(lock::Format),
    Manifest(manifest::Reader),
}

impl<'p> Reader<'p> {
    /// One for changes made here.
    #[must_use]
    pub fn new(place: &'p Place) -> Reader<'p> {
        Reader { ground: Ground::new(place) }
    }

    /// What is to be read for a change; `None`: its content says nothing that matters. What tools make and make again is
    /// not looked into.
    #[must_use]
    pub fn wants(&self, change: &Change) -> Option<Wanted> {
        change.after.as_ref().filter(|meta| meta.kind == FileKind::File)?;
        if matches!(change.kind, ChangeKind::Modified) && !change.differs.content && !change.differs.mode {
            return None;
        }
        if self.ground.path(&change.path, PathScope::Exact).depth > Depth::Source {
            return None;
        }
        let special = special(&change.path);
        let moved = match &change.kind {
            // Under a telling name it stands for what was there; else it is what it was.
            ChangeKind::Renamed { from } if special.is_none() => Some(from.clone()),
            _ => None,
        };
        let bytes = match special {
            Some(Special::Lock(_)) => lock::LOCK_BYTES_MAX,
            Some(Special::Manifest(_)) => manifest::MANIFEST_BYTES_MAX,
            None => TEXT_BYTES_MAX,
        };
        Some(Wanted { before: moved.unwrap_or_else(|| change.path.clone()), bytes })
    }

    /// What is to be said of a change without reading it: a lock file or manifest that became a link holds whatever the
    /// link leads to, now and later.
    #[must_use]
    pub fn unread(&self, change: &Change) -> Option<Note> {
        let meta = change.after.as_ref().filter(|meta| meta.kind == FileKind::Symlink)?;
        let why = format!("it is a link to {}", meta.link.as_ref().map(ToString::to_string).unwrap_or_default());
        if self.ground.path(&change.path, PathScope::Exact).depth > Depth::Source {
            return None;
        }
        match special(&change.path)? {
            Special::Lock(_) => Some(lock::not_understood(&why)),
            Special::Manifest(_) => Some(manifest::not_understood(&why)),
        }
    }

    /// What the content of a change that was wanted tells.
    #[must_use]
    pub fn read(&self, change: &Change, before: Side<'_>, after: Side<'_>, judge: &mut Judge<'_>) -> Vec<Note> {
        let mut notes = Vec::new();
        match special(&change.path) {
            Some(Special::Lock(format)) => notes.extend(self.lock(&format, before, after)),
            Some(Special::Manifest(read)) => notes.extend(manifest_notes(read, before, after, judge)),
            None => {}
        }
        let Some(bytes) = after.head() else {
            notes.extend(notes.is_empty().then(|| not_read("it cannot be read")));
            return notes;
        };
        let executable = change.after.as_ref().is_some_and(|meta| meta.mode & EXECUTE != 0);
        notes.extend(binary::notes(&change.path, executable, before.head(), bytes));
        if is_text(bytes) {
            // Where a file of credentials is told by its name, what is in it is no news.
            let credentials = self.ground.path(&change.path, PathScope::Exact).secret.is_some();
            let text = String::from_utf8_lossy(bytes);
            let was = before.head().map(String::from_utf8_lossy);
            notes.extend((!credentials).then(|| added::notes(&change.path, was.as_deref(), &text)).flatten());
            if after.whole().is_none() && notes.iter().all(|note| note.rule != lock::NOT_UNDERSTOOD) {
                notes.push(not_read(&format!("it is larger than {} MiB", (bytes.len() >> 20).max(1))));
            }
        }
        notes
    }

    fn lock(&self, format: &lock::Format, before: Side<'_>, after: Side<'_>) -> Vec<Note> {
        match (text_of(before), text_of(after)) {
            (_, Err(why)) => vec![lock::not_understood(why)],
            (_, Ok(None)) => vec![],
            (Ok(before), Ok(Some(after))) => lock::notes(format, before, after),
            (Err(why), Ok(Some(after))) => {
                let first = lock::not_understood(&format!("as it was before: {why}"));
                [first].into_iter().chain(lock::notes(format, None, after)).collect()
            }
        }
    }
}

fn manifest_notes(read: manifest::Reader, before: Side<'_>, after: Side<'_>, judge: &mut Judge<'_>) -> Vec<Note> {
    match text_of(after) {
        Err(why) => vec![manifest::not_understood(why)],
        Ok(None) => vec![],
        // All that was before counts as new where it cannot be read.
        Ok(Some(after)) => manifest::notes(read, text_of(before).ok().flatten(), after, judge),
    }
}

fn not_read(why: &str) -> Note {
    Note::new(Risk::Low, NOT_READ, format!("not all of its content was looked at: {why}"), vec![])
}

/// A side as text, if it is there.
fn text_of(side: Side<'_>) -> Result<Option<&str>, &'static str> {
    match side {
        Side::Absent => Ok(None),
        Side::Unread => Err("it cannot be read"),
        Side::Head(..) => {
            let bytes = side.whole().ok_or("it is too large")?;
            str::from_utf8(bytes).map(Some).map_err(|_| "it is not UTF-8")
        }
    }
}

fn is_text(bytes: &[u8]) -> bool {
    !bytes.iter().take(HEAD_BYTES).any(|byte| *byte == 0)
}

/// What a file is by its name, in any case.
fn special(path: &FilePath) -> Option<Special> {
    let lower =
        |path: &FilePath| path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name = lower(path);
    let directory = path.parent().map(|above| lower(&above)).unwrap_or_default();
    let lock = lock::format(&name).map(Special::Lock);
    lock.or_else(|| manifest::reader(&directory, &name).map(Special::Manifest))
}

/// Reads a text under a name as a lock file or manifest that replaces another text: for fuzzing and timing.
#[must_use]
pub fn notes_of(path: &FilePath, before: Option<&[u8]>, after: &[u8]) -> Vec<Note> {
    let side = |bytes: &'_ [u8]| -> u64 { bytes.len() as u64 };
    let before = before.map_or(Side::Absent, |bytes| Side::Head(bytes, side(bytes)));
    let place = Place {
        cwd: "/".into(),
        home: "/home".into(),
        workspace: "/".into(),
        state: "/state".into(),
        uid: 0,
        contained: true,
    };
    let meta = model::Meta { kind: FileKind::File, mode: 0o644, uid: 0, gid: 0, size: side(after), link: None };
    let change = Change {
        path: path.clone(),
        kind: ChangeKind::Added,
        before: None,
        after: Some(meta),
        differs: model::Differs::default(),
        below: 0,
    };
    Reader::new(&place).read(&change, before, Side::Head(after, side(after)), &mut |_| (Risk::Medium, String::new()))
}
