//! Hard links of the host: a file that was copied up under one of its names is new under all of them.
//!
//! While a view is served, a name joins the copy when it is looked up. The names nobody looked up are found here,
//! before the layer is compared with the host.

use crate::error::OverlayError;
use crate::fs::at;
use crate::fs::xattr;
use crate::overlay::Overlay;
use crate::store::store_error;
use crate::view::node::ROOT;
use nix::errno::Errno;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

impl Overlay {
    /// Lets every name of a copied-up host file join the copy. Costs nothing where no such file was changed, and one
    /// walk over the names of the root where one was. A layer that is being served is left as it is.
    pub(crate) fn complete_links(&self) -> Result<(), OverlayError> {
        let failed = |source| store_error(&self.store.path, source);
        let open = self.open_links().map_err(failed)?;
        if open.is_empty() {
            return Ok(());
        }
        let _lock = match self.store.lock() {
            Ok(lock) => lock,
            Err(OverlayError::Busy { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let inodes: HashSet<u64> = open.iter().filter_map(|name| inode_of(name)).collect();
        let layers = self.layers()?;
        for rel in self.names_of(&inodes).map_err(|(rel, source)| self.read_error(&rel, source))? {
            let mut number = ROOT;
            for part in rel.components() {
                match layers.lookup(number, part.as_os_str()) {
                    Ok(attr) => number = attr.number,
                    // The jar does not have it any more, or never saw it.
                    Err(Errno::ENOENT | Errno::ENOTDIR) => break,
                    Err(source) => return Err(self.read_error(&rel, source)),
                }
            }
        }
        let done =
            |name: &std::ffi::OsString| xattr::set(&self.store.parts()?.work, name, OsStr::new(xattr::FORMAT), b"1", 0);
        open.iter().try_for_each(done).map_err(failed)
    }

    /// Copied-up hard links whose other names were not searched for yet.
    fn open_links(&self) -> Result<Vec<std::ffi::OsString>, Errno> {
        let mut open = Vec::new();
        for name in self.store.link_names()? {
            if xattr::get(&self.store.parts()?.work, &name, OsStr::new(xattr::FORMAT))?.is_none() {
                open.push(name);
            }
        }
        Ok(open)
    }

    /// Host paths whose directory entry has one of these inode numbers.
    fn names_of(&self, inodes: &HashSet<u64>) -> Result<Vec<PathBuf>, (PathBuf, Errno)> {
        let mut found = Vec::new();
        let mut waiting = vec![PathBuf::new()];
        while let Some(rel) = waiting.pop() {
            let entries = match at::open_beneath(&self.root, &rel).and_then(at::list) {
                Ok(entries) => entries,
                // What we may not read the child could not read either.
                Err(Errno::EACCES | Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => continue,
                Err(errno) => return Err((rel, errno)),
            };
            for entry in entries {
                let child = rel.join(&entry.name);
                if entry.kind == libc::S_IFDIR && !self.is_covered(&child) {
                    waiting.push(child);
                } else if inodes.contains(&entry.ino) {
                    found.push(child);
                }
            }
        }
        Ok(found)
    }

    /// The store itself, when it lies inside the root.
    fn is_covered(&self, rel: &Path) -> bool {
        self.absolute(rel).as_path() == self.store.path
    }
}

/// The inode number in the name of an index entry, `device-inode` in hexadecimal.
fn inode_of(name: &OsStr) -> Option<u64> {
    let text = std::str::from_utf8(name.as_bytes()).ok()?;
    u64::from_str_radix(text.split_once('-')?.1, 16).ok()
}
