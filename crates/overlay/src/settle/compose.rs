//! Files that are composed for an apply: the host's file with some hunks of the jar's in it, or the merge of both.
//!
//! A composed file is written to the store and synced before the journal begins, and takes its place on the host in the
//! same step as any other file. So it is crash-safe and can be taken back by construction.

use crate::changes::diff::{Delta, host_object, open_upper};
use crate::changes::preview::Content;
use crate::changes::text::{self, Comparison};
use crate::error::{ApplyError, ConflictKind};
use crate::fs::at::{self, Stat};
use crate::fs::xattr;
use crate::overlay::Overlay;
use crate::settle::journal::{Part, Step};
use crate::store::base::{self, Base};
use crate::store::sync_dir;
use model::{ChangeKind, FilePath};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

/// First letter of the names of composed files in the store's `work`.
const LETTER: u8 = b'h';

/// What a file is to be, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Composed {
    bytes: Vec<u8>,
    /// Permission bits.
    mode: u32,
    uid: u32,
    gid: u32,
    xattrs: Vec<(OsString, Vec<u8>)>,
    /// The change waits still, without what is in here.
    rest_waits: bool,
}

/// What a difference of one file can be cut into: both sides and, in between, the hunks.
struct Sides {
    host: Vec<u8>,
    own: Vec<u8>,
}

impl Overlay {
    /// The host's file with the hunks `chosen` in it. Mode, owner and attributes stay the host's: they go with the whole
    /// file. `None` when that is the whole change.
    pub(crate) fn with_hunks(&self, delta: &Delta, chosen: &BTreeSet<u32>) -> Result<Option<Composed>, ApplyError> {
        let path = &delta.change.path;
        let refused = |why| ApplyError::NoHunks { path: path.clone(), why };
        let Some(host) = delta.host.as_ref().filter(|_| delta.change.kind == ChangeKind::Modified) else {
            return Err(refused("it can be applied as a whole only, being new, gone or of another kind"));
        };
        if at::kind_of(host) != libc::S_IFREG || !delta.change.differs.content {
            return Err(refused("its content is the same"));
        }
        if host.st_nlink > 1 {
            return Err(refused("the file has several names (hard links) and is applied as a whole only"));
        }
        let sides = self.sides(delta).map_err(|e| self.read_error(&delta.rel, e))?;
        let Some(Sides { host: old, own: new }) = sides else {
            return Err(refused("it is not text, or too large to be compared line by line"));
        };
        let comparison = Comparison::new(&old, &new);
        let all: BTreeSet<u32> = comparison.hunks().iter().map(|hunk| hunk.number).collect();
        if let Some(number) = chosen.difference(&all).next() {
            return Err(ApplyError::NoHunk { path: path.clone(), number: *number, hunks: all.len() });
        }
        let looks_same = !(delta.change.differs.mode || delta.change.differs.owner || delta.change.differs.xattr);
        if *chosen == all && looks_same {
            return Ok(None);
        }
        let xattrs = self.host_attributes(delta).map_err(|e| self.read_error(&delta.rel, e))?;
        Ok(Some(Composed {
            bytes: comparison.with_hunks(chosen),
            mode: host.st_mode & 0o7777,
            uid: host.st_uid,
            gid: host.st_gid,
            xattrs,
            rest_waits: true,
        }))
    }

    /// What the jar and the host each made of the file since the jar first changed it, in one.
    pub(crate) fn merged(&self, delta: &Delta) -> Result<Result<Composed, ConflictKind>, Errno> {
        let refused = |why| Ok(Err(ConflictKind::Unmergeable(why)));
        let (Some(host), Some(own)) = (&delta.host, &delta.own) else {
            return refused("only one side has it");
        };
        if delta.change.kind != ChangeKind::Modified || at::kind_of(host) != libc::S_IFREG {
            return refused("only files that both sides have are merged");
        }
        if host.st_nlink > 1 {
            return refused("the file has several names (hard links)");
        }
        let Some(base) = self.base_of(delta)? else {
            return refused("what it was before is not known: that is kept for text of up to 1 MiB");
        };
        let Some(sides) = self.sides(delta)? else {
            return refused("it is not text, or too large");
        };
        let bytes = match text::merge(&base.bytes, &sides.own, &sides.host) {
            Ok(bytes) => bytes,
            Err(clashes) => return Ok(Err(ConflictKind::Overlap(clashes))),
        };
        let own_xattrs = self.own_attributes(delta)?;
        let host_xattrs = self.host_attributes(delta)?;
        let was_xattrs: Vec<(OsString, Vec<u8>)> =
            base.xattrs.into_iter().map(|(name, value)| (OsString::from(name.as_os_str()), value)).collect();
        let mode = |stat: &Stat| stat.st_mode & 0o7777;
        let looks = (
            either(base.was.mode & 0o7777, mode(own), mode(host)),
            either(base.was.uid, own.st_uid, host.st_uid),
            either(base.was.gid, own.st_gid, host.st_gid),
            either(was_xattrs, own_xattrs, host_xattrs),
        );
        match looks {
            (Some(mode), Some(uid), Some(gid), Some(xattrs)) => {
                Ok(Ok(Composed { bytes, mode, uid, gid, xattrs, rest_waits: false }))
            }
            _ => refused("both sides changed its mode, owner or attributes, differently"),
        }
    }

    fn base_of(&self, delta: &Delta) -> Result<Option<Base>, Errno> {
        match self.store.recorded(&delta.lower) {
            Some(was) => self.store.bases.get(&self.store.parts()?.dir, &delta.lower, &was),
            None => Ok(None),
        }
    }

    fn sides(&self, delta: &Delta) -> Result<Option<Sides>, Errno> {
        match (self.host_content(&delta.lower)?, self.own_content(&delta.rel)?) {
            (Content::Text(host), Content::Text(own)) => Ok(Some(Sides { host, own })),
            _ => Ok(None),
        }
    }

    fn host_attributes(&self, delta: &Delta) -> Result<Vec<(OsString, Vec<u8>)>, Errno> {
        let (dir, _) = host_object(&self.root, &delta.lower)?.ok_or(Errno::ENOENT)?;
        xattr::all_foreign(&dir, delta.lower.file_name().ok_or(Errno::EISDIR)?)
    }

    fn own_attributes(&self, delta: &Delta) -> Result<Vec<(OsString, Vec<u8>)>, Errno> {
        let (parent, name) = at::split(&delta.rel).ok_or(Errno::EISDIR)?;
        let dir = open_upper(self, parent)?;
        at::forced(&[&dir], || xattr::all_foreign(&dir, name))
    }

    /// Writes composed files to the store, synced. What an apply that never began left there goes first; only while the
    /// store is locked and no apply is under way.
    pub(crate) fn write_composed(&self, composed: &[(u32, Composed)]) -> Result<(), Errno> {
        for name in self.store.work_names(LETTER)? {
            at::unlink_opt(&self.store.parts()?.work, &name)?;
        }
        for (step, composed) in composed {
            self.write_one(&part_name(*step), composed)?;
        }
        if composed.is_empty() { Ok(()) } else { sync_dir(&self.store.parts()?.work) }
    }

    fn write_one(&self, name: &str, composed: &Composed) -> Result<(), Errno> {
        let (work, name) = (&self.store.parts()?.work, OsStr::new(name));
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
        let mut file = File::from(at::open_file(work, name, flags, 0o600)?);
        file.write_all(&composed.bytes).map_err(|e| crate::fs::errno_of(&e))?;
        let made = at::stat(work, name)?;
        if (made.st_uid, made.st_gid) != (composed.uid, composed.gid) {
            at::chown(work, name, Some(composed.uid), Some(composed.gid))?;
        }
        for (attribute, value) in &composed.xattrs {
            xattr::set(work, name, attribute, value, 0)?;
        }
        at::chmod(work, name, composed.mode)?;
        nix::unistd::fsync(&file)
    }

    /// After some hunks became real: the host's new file is what the rest of the change starts from.
    pub(crate) fn start_anew(&self, step: &Step) -> Result<(), Errno> {
        let rel = step.path.as_path();
        if let Some((_, stat)) = host_object(&self.root, rel)? {
            self.store.parts()?.origins.cover(rel, &stat)?;
        }
        self.keep_as_base(rel)
    }

    /// What the host has at `rel` now is what a merge starts from.
    pub(crate) fn keep_as_base(&self, rel: &Path) -> Result<(), Errno> {
        let (Some((dir, stat)), Some(name)) = (host_object(&self.root, rel)?, rel.file_name()) else {
            return Ok(());
        };
        match base::read(&dir, name, &stat)? {
            Some(base) => self.store.bases.keep(&self.store.parts()?.dir, rel, base),
            None => Ok(()),
        }
    }

    /// Tells apart whether the hunks of a path became real since: then its file is another one. `None` where the layer
    /// has no record of the path.
    #[must_use]
    pub fn started_from(&self, path: &FilePath) -> Option<u64> {
        let rel = path.strip_prefix(&self.saved.root)?;
        Some(self.store.recorded(&self.lower_path(rel.as_path()).ok()?)?.ino)
    }
}

/// What the step of a composed file has to know.
pub(crate) fn part(step: u32, composed: &Composed) -> Part {
    Part { name: part_name(step), rest_waits: composed.rest_waits }
}

fn part_name(step: u32) -> String {
    format!("{}{step}", char::from(LETTER))
}

/// The value that a three-way merge comes to; `None` when both sides changed it, differently.
fn either<T: PartialEq>(was: T, jar: T, host: T) -> Option<T> {
    match (jar == was, host == was) {
        (true, _) => Some(host),
        (_, true) => Some(jar),
        _ if jar == host => Some(host),
        _ => None,
    }
}
