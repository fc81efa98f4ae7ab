//! Names that are one file in the layer and not on the host: new hard links.

use crate::changes::compare;
use crate::changes::diff::{Delta, Diff, Mate};
use crate::fs::at::{self, Stat};
use model::{Change, ChangeKind, Differs, FilePath};
use std::path::PathBuf;

/// A name of a file in the layer that has several.
pub(super) struct Linked {
    pub(super) rel: PathBuf,
    pub(super) lower: PathBuf,
    pub(super) host: Option<Stat>,
    pub(super) own: Stat,
}

impl Diff<'_> {
    /// Names that are one file in the layer and not on the host. `found` is sorted.
    pub(super) fn find_links(&mut self) {
        let mut further = Vec::new();
        for mut names in std::mem::take(&mut self.linked).into_values() {
            names.sort_by(|a, b| a.rel.cmp(&b.rel));
            let Some(first) = names.first() else { continue };
            let on_host = |name: &Linked| name.host.map(|stat| (stat.st_dev, stat.st_ino));
            if names.len() < 2 || (first.host.is_some() && names.iter().all(|name| on_host(name) == on_host(first))) {
                continue;
            }
            self.link_all(&names, &mut further);
        }
        self.found.append(&mut further);
    }

    fn link_all(&mut self, names: &[Linked], further: &mut Vec<Delta>) {
        let place = |found: &[Delta], name: &Linked| {
            let path = self.overlay.absolute(&name.rel);
            let start = found.partition_point(|delta| delta.change.path < path);
            let here = found.iter().enumerate().skip(start).take_while(|(_, delta)| delta.change.path == path);
            here.filter(|(_, delta)| delta.own.is_some()).map(|(index, _)| index).next()
        };
        let unchanged: Vec<&Linked> = names.iter().filter(|name| place(&self.found, name).is_none()).collect();
        // The name that the others are shown as links to: one that stays as it is, else the first.
        let known = names.iter().find(|name| name.host.as_ref().is_some_and(|stat| at::kind_of(stat) == libc::S_IFREG));
        let Some(anchor) = unchanged.first().copied().or(known).or(names.first()) else { return };
        let to = self.overlay.absolute(&anchor.rel);
        let mate = |name: &&Linked| {
            Some(Mate { rel: name.rel.clone(), lower: name.lower.clone(), host: name.host?, own: name.own })
        };
        let mates: Vec<Mate> = unchanged.iter().filter_map(mate).collect();
        let anchor_ino = anchor.host.map(|stat| stat.st_ino);
        for name in names.iter().filter(|name| name.rel != anchor.rel) {
            match place(&self.found, name).and_then(|index| self.found.get_mut(index)) {
                // A name that the host links to it already, and that changed with it, is no new link.
                Some(_) if anchor_ino.is_some() && name.host.map(|stat| stat.st_ino) == anchor_ino => {}
                // What is removed with a directory is told with it.
                Some(delta) if delta.host.as_ref().is_some_and(at::is_dir) => {}
                Some(delta) => {
                    delta.change.kind = ChangeKind::Linked { to: to.clone() };
                    delta.change.differs = Differs::default();
                    delta.mates.clone_from(&mates);
                }
                None if name.host.map(|stat| stat.st_ino) != anchor_ino => {
                    further.push(self.new_link(name, &to, &mates))
                }
                None => {}
            }
        }
    }

    /// A name that the host has with the same content, as another file.
    fn new_link(&self, name: &Linked, to: &FilePath, mates: &[Mate]) -> Delta {
        let meta = |stat: &Stat| compare::file_meta(stat);
        let change = Change {
            path: self.overlay.absolute(&name.rel),
            kind: ChangeKind::Linked { to: to.clone() },
            before: name.host.as_ref().map(meta),
            after: Some(meta(&name.own)),
            differs: Differs::default(),
            below: 0,
        };
        let mates = mates.iter().filter(|mate| mate.rel != name.rel).cloned().collect();
        let (rel, lower) = (name.rel.clone(), name.lower.clone());
        Delta { change, rel, lower, host: name.host, own: Some(name.own), mates }
    }
}
