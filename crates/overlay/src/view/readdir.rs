//! Merged directories: the upper names, and the lower ones they do not cover.
//!
//! A directory is read in several requests and may change in between. Each name has a place of its own, a hash of
//! it, and a reader goes on behind the last place it saw: a name that stays is told exactly once, whatever comes and
//! goes around it, and nothing need be remembered for a reader who never returns.

use crate::fs::at::{self, Entry};
use crate::view::device;
use crate::view::layers::{Layers, lock};
use crate::view::node::{Node, Place, Table};
use nix::errno::Errno;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hasher as _};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// Listings kept between the requests of one reader.
pub(crate) const LISTINGS_MAX: usize = 32;
/// Places 1 and 2 are `.` and `..`.
const FIRST_PLACE: u64 = 3;

/// One name of a merged directory.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Where a reader goes on after this one.
    pub(crate) place: u64,
    pub(crate) name: OsString,
    /// `S_IFMT` bits.
    pub(crate) kind: u32,
    pub(crate) ino: u64,
}

/// A whole directory at one moment, by place.
pub(crate) type Listing = Vec<Item>;

impl Layers {
    /// The names behind `place`; 0 reads the directory anew.
    pub(crate) fn read_dir(&self, number: u64, place: u64) -> Result<Arc<Listing>, Errno> {
        if place > 0
            && let Some(listing) = lock(&self.listings).get(&number)
        {
            return Ok(listing);
        }
        let listing = {
            let table = self.read();
            let dir = table.get(number)?;
            self.watch_names(dir);
            Arc::new(self.list(&table, dir)?)
        };
        lock(&self.listings).put(number, Arc::clone(&listing));
        Ok(listing)
    }

    /// Forgets a listing that was read to its end.
    pub(crate) fn drop_listing(&self, number: u64) {
        lock(&self.listings).remove(&number);
    }

    /// The directory above `number`, for `..`.
    pub(crate) fn parent_of(&self, number: u64) -> u64 {
        let table = self.read();
        table.get(number).ok().and_then(|node| node.links.first()).map_or(number, |link| link.parent)
    }

    fn list(&self, table: &Table, dir: &Node) -> Result<Listing, Errno> {
        if !dir.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        let mut items = Vec::new();
        let mut seen = HashSet::new();
        if dir.is_upper() {
            let fd = self.upper_dir(table, dir.number)?;
            for entry in at::list_own(&fd)? {
                if !self.is_whiteout(&fd, &entry)? {
                    items.push(Item { kind: self.kind_of(&fd, &entry)?, ..item(&entry) });
                }
                seen.insert(entry.name);
            }
        }
        if dir.place != Place::Dead {
            self.lower_names(dir, &seen, |entry| {
                items.push(item(entry));
                true
            })?;
        }
        Ok(in_place(items))
    }

    /// Hands over the lower names that are not among `seen` and not hidden, for as long as `go_on` says so.
    fn lower_names(
        &self,
        dir: &Node,
        seen: &HashSet<OsString>,
        mut go_on: impl FnMut(&Entry) -> bool,
    ) -> Result<(), Errno> {
        let Some(lower) = &dir.lower else {
            return Ok(());
        };
        if dir.hidden {
            if let Some(rule) = self.hidden.directory_rule(&lower.rel) {
                self.hidden.attempt(&lower.rel, rule);
            }
            return Ok(());
        }
        let fd = self.lower_dir(&lower.rel)?;
        at::each(&fd, |entry| {
            let rel = lower.rel.join(&entry.name);
            let absent = || -> Result<bool, Errno> {
                if self.hidden.rule(&rel).is_none() && self.hidden.named(&rel, false).is_none() {
                    return Ok(false);
                }
                match at::stat_opt(&fd, &entry.name)? {
                    Some(stat) => Ok(!at::is_dir(&stat) && self.hiding(&rel, &stat)?.is_some()),
                    None => Ok(true),
                }
            };
            Ok(seen.contains(&entry.name) || absent()? || go_on(&entry))
        })
    }

    /// The kind to tell: where device nodes may be made, a regular file may stand for one.
    fn kind_of(&self, dir: &std::os::fd::OwnedFd, entry: &Entry) -> Result<u32, Errno> {
        if !self.devices || entry.kind != libc::S_IFREG {
            return Ok(entry.kind);
        }
        at::forced(&[dir], || match at::stat_opt(dir, &entry.name)? {
            Some(stat) => Ok(at::kind_of(&device::unmask(dir, &entry.name, stat)?)),
            None => Ok(entry.kind),
        })
    }

    /// Whether the view has any name in `dir`, for rmdir(2). Reads no further than the first one.
    pub(crate) fn is_empty_dir(&self, table: &Table, dir: &Node) -> Result<bool, Errno> {
        let mut seen = HashSet::new();
        if dir.is_upper() {
            let fd = self.upper_dir(table, dir.number)?;
            for entry in at::list_own(&fd)? {
                if !self.is_whiteout(&fd, &entry)? {
                    return Ok(false);
                }
                seen.insert(entry.name);
            }
        }
        let mut empty = true;
        if dir.place != Place::Dead {
            self.lower_names(dir, &seen, |_| {
                empty = false;
                false
            })?;
        }
        Ok(empty)
    }

    fn is_whiteout(&self, dir: &std::os::fd::OwnedFd, entry: &Entry) -> Result<bool, Errno> {
        match entry.kind {
            libc::S_IFCHR | 0 => Ok(at::stat_opt(dir, &entry.name)?.is_none_or(|stat| at::is_whiteout(&stat))),
            _ => Ok(false),
        }
    }
}

fn item(entry: &Entry) -> Item {
    Item { place: place_of(&entry.name), name: entry.name.clone(), kind: entry.kind, ino: entry.ino }
}

/// Sorts by place; the rare names that share one move on to the next free.
fn in_place(mut items: Listing) -> Listing {
    items.sort_by(|a, b| (a.place, &a.name).cmp(&(b.place, &b.name)));
    let mut last = 0;
    for item in &mut items {
        item.place = item.place.max(last + 1);
        last = item.place;
    }
    items
}

fn place_of(name: &OsStr) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(name.as_bytes());
    // Offsets are signed for the child (`d_off`), and some room is left for names that share a place.
    (hasher.finish() >> 2).max(FIRST_PLACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, place: u64) -> Item {
        Item { place, name: name.into(), kind: 0, ino: 1 }
    }

    #[test]
    fn places_are_unique_and_rising() {
        let listing = in_place(vec![named("c", 9), named("b", 5), named("a", 5), named("d", 6)]);
        let places: Vec<_> = listing.iter().map(|item| (item.name.to_str().unwrap(), item.place)).collect();
        assert_eq!(places, [("a", 5), ("b", 6), ("d", 7), ("c", 9)]);
    }

    #[test]
    fn a_place_depends_on_the_name_alone() {
        assert_eq!(place_of(OsStr::new("x")), place_of(OsStr::new("x")));
        assert!(place_of(OsStr::new("x")) >= FIRST_PLACE && place_of(OsStr::new("x")) < 1 << 62);
    }
}
