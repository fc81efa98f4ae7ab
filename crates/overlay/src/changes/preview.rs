//! Previews: one change as text, bounded in size and time.

use crate::changes::compare::{file_kind, read_full};
use crate::changes::diff::{host_object, open_upper};
use crate::changes::text::{Comparison, Hunk, TEXT_BYTES_MAX, is_text};
use crate::error::OverlayError;
use crate::fs::at;
use crate::overlay::Overlay;
use model::{Change, ChangeKind, FileKind, FilePath};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::fs::File;
use std::path::{Path, PathBuf};

/// One change, to be looked at. The text is raw: escape it before it reaches a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preview {
    /// A unified diff.
    Text {
        /// The diff, without file headers; bytes as they are in the files.
        diff: Vec<u8>,
        /// Its parts, where they can be applied one by one: the host has the file, and its content changed.
        hunks: Vec<Hunk>,
    },
    /// Not text, or too large: only sizes.
    Binary {
        /// Bytes on the host.
        before: Option<u64>,
        /// Bytes in the jar.
        after: Option<u64>,
    },
    /// Nothing to compare: a directory, a link, a node, or a change of attributes alone.
    NoContent,
}

impl Overlay {
    /// The content of one change.
    ///
    /// # Errors
    /// A file on either side cannot be read.
    pub fn preview(&self, change: &Change) -> Result<Preview, OverlayError> {
        let file = |meta: &Option<model::Meta>| meta.as_ref().is_some_and(|meta| meta.kind == FileKind::File);
        if (!file(&change.before) && !file(&change.after)) || matches!(change.kind, ChangeKind::Linked { .. }) {
            return Ok(Preview::NoContent);
        }
        let compared = matches!(change.kind, ChangeKind::Modified | ChangeKind::Renamed { .. });
        if compared && !change.differs.content {
            return Ok(Preview::NoContent);
        }
        let below = |path: &model::FilePath| path.strip_prefix(&self.saved.root).map(|rel| rel.as_path().to_owned());
        let Some(rel) = below(&change.path) else {
            return Ok(Preview::NoContent);
        };
        let failed = |source| OverlayError::Read { path: change.path.clone(), source };
        let lower = match &change.kind {
            ChangeKind::Renamed { from } => below(from).unwrap_or_default(),
            _ => self.lower_path(&rel).map_err(failed)?,
        };
        let before = if file(&change.before) { self.host_content(&lower).map_err(failed)? } else { Content::Absent };
        let after = if file(&change.after) { self.own_content(&rel).map_err(failed)? } else { Content::Absent };
        Ok(compare(&before, &after, change.kind == ChangeKind::Modified))
    }

    /// The first `most` bytes of the file that the host has under `path`, wherever it was moved in the view, and its size;
    /// `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn host_head(&self, path: &FilePath, most: u64) -> Result<Option<(Vec<u8>, u64)>, OverlayError> {
        let read = |rel: PathBuf| -> Result<Option<(Vec<u8>, u64)>, Errno> {
            let lower = self.lower_path(&rel)?;
            let Some((dir, stat)) = host_object(&self.root, &lower)? else { return Ok(None) };
            if file_kind(stat.st_mode & nix::libc::S_IFMT) != FileKind::File {
                return Ok(None);
            }
            let name = lower.file_name().ok_or(Errno::EISDIR)?;
            head(&File::from(at::open_file(&dir, name, OFlag::O_RDONLY, 0)?), most).map(Some)
        };
        let Some(rel) = path.strip_prefix(&self.saved.root) else { return Ok(None) };
        read(rel.as_path().to_owned()).map_err(|source| OverlayError::Read { path: path.clone(), source })
    }

    /// The first `most` bytes of the file that the upper layer has under `path`, and its size.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn own_head(&self, path: &FilePath, most: u64) -> Result<(Vec<u8>, u64), OverlayError> {
        let read = |rel: PathBuf| -> Result<(Vec<u8>, u64), Errno> {
            let (parent, name) = at::split(&rel).ok_or(Errno::EISDIR)?;
            let dir = open_upper(self, parent)?;
            head(&File::from(at::forced(&[&dir], || at::open_own(&dir, name, OFlag::O_RDONLY))?), most)
        };
        let rel = path.strip_prefix(&self.saved.root).unwrap_or_default();
        read(rel.as_path().to_owned()).map_err(|source| OverlayError::Read { path: path.clone(), source })
    }

    /// What the host has at `lower`, a path below the root.
    pub(crate) fn host_content(&self, lower: &Path) -> Result<Content, Errno> {
        let Some((dir, _)) = host_object(&self.root, lower)? else {
            return Ok(Content::Absent);
        };
        let name = lower.file_name().ok_or(Errno::EISDIR)?;
        read(File::from(at::open_file(&dir, name, OFlag::O_RDONLY, 0)?))
    }

    /// What the upper layer has at `rel`.
    pub(crate) fn own_content(&self, rel: &Path) -> Result<Content, Errno> {
        let (parent, name) = at::split(rel).ok_or(Errno::EISDIR)?;
        let dir = open_upper(self, parent)?;
        read(File::from(at::forced(&[&dir], || at::open_own(&dir, name, OFlag::O_RDONLY))?))
    }

    /// The host path under a path of the view: another one below a renamed directory.
    pub(crate) fn lower_path(&self, rel: &Path) -> Result<PathBuf, Errno> {
        let (mut above, mut lower) = (PathBuf::new(), PathBuf::new());
        for part in rel.components() {
            above.push(part);
            lower.push(part);
            let (parent, name) = at::split(&above).ok_or(Errno::EINVAL)?;
            let Some(dir) = found(open_upper(self, parent))? else {
                continue;
            };
            if at::forced(&[&dir], || at::stat_opt(&dir, name))?.as_ref().is_some_and(at::is_dir)
                && let crate::view::layers::Reach::Redirect(from) =
                    at::forced(&[&dir], || crate::view::layers::reach(&dir, name))?
            {
                lower = from;
            }
        }
        Ok(lower)
    }
}

fn found<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// A file's bytes, as far as they are compared.
pub(crate) enum Content {
    Absent,
    Text(Vec<u8>),
    /// Binary or too large; its size.
    Opaque(u64),
}

impl Content {
    fn size(&self) -> Option<u64> {
        match self {
            Content::Absent => None,
            Content::Text(text) => u64::try_from(text.len()).ok(),
            Content::Opaque(size) => Some(*size),
        }
    }
}

/// The beginning of a file, and how long it is.
fn head(file: &File, most: u64) -> Result<(Vec<u8>, u64), Errno> {
    let size = u64::try_from(nix::sys::stat::fstat(file)?.st_size).unwrap_or(0);
    let mut bytes = vec![0; usize::try_from(size.min(most)).unwrap_or(0)];
    let filled = read_full(file, &mut bytes, 0)?;
    bytes.truncate(filled);
    Ok((bytes, size))
}

/// Reads a file that is not too large and not binary.
pub(crate) fn read(file: File) -> Result<Content, Errno> {
    let size = u64::try_from(nix::sys::stat::fstat(&file)?.st_size).unwrap_or(0);
    if size > TEXT_BYTES_MAX {
        return Ok(Content::Opaque(size));
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    let n = read_full(&file, &mut bytes, 0)?;
    bytes.truncate(n);
    Ok(if is_text(&bytes) { Content::Text(bytes) } else { Content::Opaque(size) })
}

fn compare(before: &Content, after: &Content, by_hunk: bool) -> Preview {
    let (old, new) = match (before, after) {
        (Content::Opaque(_), _) | (_, Content::Opaque(_)) => {
            return Preview::Binary { before: before.size(), after: after.size() };
        }
        (Content::Text(old), Content::Text(new)) => (old.as_slice(), new.as_slice()),
        (Content::Text(old), Content::Absent) => (old.as_slice(), [].as_slice()),
        (Content::Absent, Content::Text(new)) => ([].as_slice(), new.as_slice()),
        (Content::Absent, Content::Absent) => return Preview::NoContent,
    };
    let comparison = Comparison::new(old, new);
    let hunks = if by_hunk { comparison.hunks() } else { Vec::new() };
    Preview::Text { diff: comparison.unified(by_hunk), hunks }
}
