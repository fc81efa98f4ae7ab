//! Hard links inside a layer: an apply of a part, or one across file systems, gives each of a file's names a file of its
//! own; undo makes them one again.

use crate::changes::compare::{self, Side};
use crate::changes::diff::open_upper;
use crate::fs::at::{self, Stat};
use crate::fs::parents::Parents;
use crate::overlay::Overlay;
use crate::settle::step::absent_ok;
use model::FilePath;
use nix::errno::Errno;
use nix::fcntl::RenameFlags;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The names of each file of the layer that has several.
pub(crate) fn groups(overlay: &Overlay) -> Result<Vec<Vec<FilePath>>, Errno> {
    let mut names: BTreeMap<u64, Vec<FilePath>> = BTreeMap::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(rel) = waiting.pop() {
        let dir = open_upper(overlay, &rel)?;
        for entry in at::list_own(&dir)? {
            let child = rel.join(&entry.name);
            if entry.kind == libc::S_IFDIR {
                waiting.push(child);
                continue;
            }
            let stat = at::forced(&[&dir], || at::stat(&dir, &entry.name))?;
            if is_file(&stat) && stat.st_nlink > 1 {
                names.entry(stat.st_ino).or_default().push(FilePath::from(child));
            }
        }
    }
    Ok(names.into_values().filter(|names| names.len() > 1).collect())
}

/// Makes the names of each group one file again, as far as they are in the layer and nothing came between: a name whose
/// file was changed since stays by itself.
pub(crate) fn join(overlay: &Overlay, groups: &[Vec<FilePath>]) -> Result<(), Errno> {
    let mut parents = Parents::new(crate::changes::diff::open_own);
    for group in groups {
        let mut first: Option<&Path> = None;
        for path in group.iter().map(FilePath::as_path) {
            let there = parents.stat(&overlay.store.parts()?.upper, path)?.filter(is_file);
            match (first, there) {
                (_, None) => {}
                (None, Some(_)) => first = Some(path),
                (Some(first), Some(_)) => join_two(overlay, first, path)?,
            }
        }
    }
    Ok(())
}

fn join_two(overlay: &Overlay, first: &Path, other: &Path) -> Result<(), Errno> {
    let (Some((from, from_name)), Some((to, to_name))) = (place(overlay, first)?, place(overlay, other)?) else {
        return Ok(());
    };
    let one = at::forced(&[&from], || at::stat(&from, from_name))?;
    let two = at::forced(&[&to], || at::stat(&to, to_name))?;
    if one.st_ino == two.st_ino || !is_same(&from, from_name, &one, &to, to_name, &two)? {
        return Ok(());
    }
    let spare = overlay.store.fresh_name();
    let spare = OsStr::new(&spare);
    let work = &overlay.store.parts()?.work;
    at::forced(&[&from], || at::link(&from, from_name, work, spare))?;
    at::forced(&[&to], || at::rename(work, spare, &to, to_name, RenameFlags::empty()))
}

fn is_same(from: &OwnedFd, name: &OsStr, one: &Stat, to: &OwnedFd, other: &OsStr, two: &Stat) -> Result<bool, Errno> {
    let sides = (Side { dir: from, name, stat: one }, Side { dir: to, name: other, stat: two });
    at::forced(&[from, to], || compare::differs(sides.0, sides.1)).map(|differs| !compare::any(&differs))
}

fn place<'p>(overlay: &Overlay, rel: &'p Path) -> Result<Option<(OwnedFd, &'p OsStr)>, Errno> {
    let (parent, name) = at::split(rel).ok_or(Errno::EISDIR)?;
    Ok(absent_ok(open_upper(overlay, parent))?.map(|dir| (dir, name)))
}

fn is_file(stat: &Stat) -> bool {
    at::kind_of(stat) == libc::S_IFREG
}
