//! Symbolic links: those the caller knows of and those the script makes itself.

use super::Eval;
use super::run::Start;
use super::value::Field;
use crate::commands::{self, options};
use model::FilePath;
use std::collections::{BTreeMap, VecDeque};
use std::os::unix::ffi::OsStrExt;

/// Links that are followed for one name; the kernel gives up after as many (path_resolution(7)).
const FOLLOWED_MAX: usize = 40;
/// Links of one script that are remembered.
const LINKS_MAX: usize = 1000;

/// Links by their own absolute path, with what stands in them.
pub(crate) type Links = BTreeMap<FilePath, FilePath>;

/// Where the absolute `path` leads by `links`, with `..` taken behind each link as the kernel does. `last`: the last
/// name is followed too. `None` where no link is met, or they lead in a circle.
pub(crate) fn follow(links: &Links, path: &FilePath, last: bool) -> Option<FilePath> {
    if links.is_empty() || !path.is_absolute() {
        return None;
    }
    let names = |path: &FilePath| -> Vec<Vec<u8>> {
        path.as_bytes()
            .split(|byte| *byte == b'/')
            .filter(|name| !matches!(*name, b"" | b"."))
            .map(<[u8]>::to_vec)
            .collect()
    };
    let slash = path.as_bytes().ends_with(b"/");
    let mut waiting: VecDeque<Vec<u8>> = names(path).into();
    let mut done = FilePath::from("/");
    let mut followed = 0;
    while let Some(name) = waiting.pop_front() {
        if name == b".." {
            done = done.parent().unwrap_or(done);
            continue;
        }
        let here = done.join(std::ffi::OsStr::from_bytes(&name));
        match links.get(&here).filter(|_| last || slash || !waiting.is_empty()) {
            Some(target) => {
                followed += 1;
                if followed > FOLLOWED_MAX {
                    return None;
                }
                if target.is_absolute() {
                    done = FilePath::from("/");
                }
                names(target).into_iter().rev().for_each(|name| waiting.push_front(name));
            }
            None => done = here,
        }
    }
    (followed > 0).then_some(done)
}

impl Eval<'_> {
    /// Where links lead whose own names fit a pattern.
    pub(super) fn links_met(&self, pattern: &FilePath) -> Vec<FilePath> {
        let depth = |path: &FilePath| path.as_bytes().iter().filter(|byte| **byte == b'/').count();
        let text = pattern.encode();
        let fits = |link: &&FilePath| depth(link) == depth(pattern) && crate::glob::overlaps(&text, &link.encode());
        self.state.links.keys().filter(fits).filter_map(|link| follow(&self.state.links, link, true)).collect()
    }

    /// `ln -s TARGET LINK`: what is done to LINK later is done to TARGET.
    pub(super) fn note_links(&mut self, args: &[Field], start: &Start) {
        let Some((_, row)) = commands::find("ln") else { return };
        let parsed = options::parse(row, args);
        if !parsed.hits.iter().any(|hit| hit.is("-s")) {
            return;
        }
        let into = parsed.hits.iter().find(|hit| hit.is("-t")).and_then(|hit| hit.value.clone());
        let (targets, place) = match (&into, parsed.operands.as_slice()) {
            (Some(dir), all) => (all, dir.clone()),
            (None, [only]) => (std::slice::from_ref(only), Field::constant(".", start.span)),
            (None, [targets @ .., place]) => (targets, place.clone()),
            (None, []) => return,
        };
        let Some(place) = place.known().map(str::to_owned) else { return };
        for target in targets.iter().filter_map(Field::known) {
            let name = target.trim_end_matches('/').rsplit('/').next().unwrap_or(target);
            // Where LINK is a directory already, the link is made in it.
            let at = self.resolve(&place).into_iter().flat_map(|(path, _)| [path.join(name), path]);
            for link in at.collect::<Vec<_>>() {
                if self.state.links.len() < LINKS_MAX && link.is_absolute() {
                    self.state.links.insert(link.normalise(), FilePath::from(target));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Links, follow};
    use model::FilePath;

    fn links() -> Links {
        let all = [("/w/a", "/etc"), ("/w/b", "sub/x"), ("/w/c", "a/passwd"), ("/w/o", "o"), ("/w/up", "..")];
        all.into_iter().map(|(link, target)| (FilePath::from(link), FilePath::from(target))).collect()
    }

    #[test]
    fn links_are_followed_as_the_kernel_does() {
        for (path, leads) in [
            ("/w/a/passwd", Some("/etc/passwd")),
            ("/w/b", Some("/w/sub/x")),
            ("/w/b/../y", Some("/w/sub/y")),
            ("/w/c", Some("/etc/passwd")),
            ("/w/a/../root", Some("/root")),
            ("/w/up/up/x", Some("/up/x")),
            ("/w/o", None),
            ("/w/plain", None),
            ("w/a/x", None),
        ] {
            assert_eq!(follow(&links(), &path.into(), true), leads.map(FilePath::from), "{path}");
        }
        assert_eq!(follow(&links(), &"/w/a".into(), false), None);
        assert_eq!(follow(&links(), &"/w/a/".into(), false), Some("/etc".into()));
    }
}
