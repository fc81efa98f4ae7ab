//! Previews: one change as text, bounded in size and time.

use crate::changes::compare::read_full;
use crate::changes::diff::{host_object, open_upper};
use crate::error::OverlayError;
use crate::fs::at;
use crate::overlay::Overlay;
use model::{Change, ChangeKind, FileKind};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use similar::TextDiff;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Larger files are summed up, not compared line by line.
pub const PREVIEW_BYTES_MAX: u64 = 1 << 20;
/// After this the comparison gives up on being minimal.
const COMPARE_TIME: Duration = Duration::from_millis(500);
/// Lines of context around a difference.
const CONTEXT_LINES: usize = 3;
/// A NUL within so many bytes marks a file as binary, as git does it.
const BINARY_PROBE_BYTES: usize = 8_000;

/// One change, to be looked at. The text is raw: escape it before it reaches a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preview {
    /// A unified diff.
    Text {
        /// The diff, without file headers.
        diff: String,
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
        let file = |meta: &Option<model::Meta>| meta.as_ref().filter(|meta| meta.kind == FileKind::File).is_some();
        if !file(&change.before) && !file(&change.after) || matches!(change.kind, ChangeKind::Renamed { .. }) {
            return Ok(Preview::NoContent);
        }
        if change.kind == ChangeKind::Modified && !change.differs.content {
            return Ok(Preview::NoContent);
        }
        let Some(rel) = change.path.strip_prefix(&self.saved.root).map(|rel| rel.as_path().to_owned()) else {
            return Ok(Preview::NoContent);
        };
        let failed = |source| OverlayError::Read { path: change.path.clone(), source };
        let before = if file(&change.before) { self.host_content(&rel).map_err(failed)? } else { Content::Absent };
        let after = if file(&change.after) { self.own_content(&rel).map_err(failed)? } else { Content::Absent };
        Ok(compare(before, after))
    }

    fn host_content(&self, rel: &Path) -> Result<Content, Errno> {
        let lower = self.lower_path(rel)?;
        let Some((dir, _)) = host_object(&self.root, &lower)? else {
            return Ok(Content::Absent);
        };
        let name = lower.file_name().ok_or(Errno::EISDIR)?;
        read(File::from(at::open_file(&dir, name, OFlag::O_RDONLY, 0)?))
    }

    fn own_content(&self, rel: &Path) -> Result<Content, Errno> {
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

enum Content {
    Absent,
    Text(String),
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

fn read(file: File) -> Result<Content, Errno> {
    let size = u64::try_from(nix::sys::stat::fstat(&file)?.st_size).unwrap_or(0);
    if size > PREVIEW_BYTES_MAX {
        return Ok(Content::Opaque(size));
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    let n = read_full(&file, &mut bytes, 0)?;
    bytes.truncate(n);
    if bytes.iter().take(BINARY_PROBE_BYTES).any(|b| *b == 0) {
        return Ok(Content::Opaque(size));
    }
    Ok(String::from_utf8(bytes).map_or(Content::Opaque(size), Content::Text))
}

fn compare(before: Content, after: Content) -> Preview {
    let (old, new) = match (&before, &after) {
        (Content::Opaque(_), _) | (_, Content::Opaque(_)) => {
            return Preview::Binary { before: before.size(), after: after.size() };
        }
        (Content::Text(old), Content::Text(new)) => (old.as_str(), new.as_str()),
        (Content::Text(old), Content::Absent) => (old.as_str(), ""),
        (Content::Absent, Content::Text(new)) => ("", new.as_str()),
        (Content::Absent, Content::Absent) => return Preview::NoContent,
    };
    let diff = TextDiff::configure().timeout(COMPARE_TIME).diff_lines(old, new);
    Preview::Text { diff: diff.unified_diff().context_radius(CONTEXT_LINES).to_string() }
}
