//! Names of nodes, as the child sees them now.

use crate::view::layers::Layers;
use crate::view::node::{ROOT, Table};
use std::ffi::OsStr;
use std::path::PathBuf;

/// A path below the root, and the lower path of the same name where the directory lets the host's names through.
type Name = (PathBuf, Option<PathBuf>);

impl Layers {
    /// The path of `name` in the directory `parent`. `None` when that directory has no name any more.
    pub(crate) fn name_below(&self, parent: u64, name: &OsStr) -> Option<Name> {
        name_in(&self.read(), parent, name)
    }

    /// Every name of the node that is known.
    pub(crate) fn names_of(&self, number: u64) -> Vec<Name> {
        let table = self.read();
        if number == ROOT {
            return vec![(PathBuf::new(), Some(PathBuf::new()))];
        }
        let links = table.get(number).map(|node| node.links.as_slice()).unwrap_or_default();
        links.iter().filter_map(|link| name_in(&table, link.parent, &link.name)).collect()
    }
}

fn name_in(table: &Table, parent: u64, name: &OsStr) -> Option<Name> {
    let mut names = vec![name];
    let mut above = parent;
    while above != ROOT {
        let link = table.get(above).ok()?.links.first()?;
        names.push(&link.name);
        above = link.parent;
    }
    let lower = table.get(parent).ok()?.lower.as_ref().map(|lower| lower.rel.join(name));
    Some((names.into_iter().rev().collect(), lower))
}
