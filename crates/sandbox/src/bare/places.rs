//! What a jar without namespaces may read, as a list: Landlock only ever allows, and what is allowed for a directory is
//! allowed for all below it. So a directory with something hidden in it is not allowed itself; what is in it is, name by
//! name, but for what is hidden.

use super::Copies;
use crate::error::SandboxError;
use crate::facts::RunFacts;
use crate::request::Request;
use crate::view;
use model::{FilePath, RootKind};
use std::collections::HashSet;
use std::fs::FileType;
use std::os::unix::fs::FileTypeExt as _;

/// Each is a descriptor and a rule for a moment, and a few words of the kernel's for as long as the jar is there.
const PLACES_MAX: usize = 20_000;
/// Directories of the host that a jar has others for, or none.
const CLOSED: &[&str] = &["/tmp", "/var/tmp", "/run", "/var/run", "/home", "/root", "/dev", "/proc", "/lost+found"];
/// Links of proc(5) to what belongs to the process that looks, and what shows the host's network and System V objects.
const PROC_OWN: &[&str] = &["/proc/self", "/proc/thread-self", "/proc/mounts", "/proc/net", "/proc/sysvipc"];

/// The list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    /// Files and directories that may be read and executed.
    pub(crate) readable: Vec<FilePath>,
    /// Directories whose names may be listed, and no more.
    pub(crate) listed: Vec<FilePath>,
}

impl Places {
    /// Whether `path` is in a place that is closed, and not in a part of it that is open all the same.
    pub(super) fn lacks(&self, path: &FilePath) -> bool {
        let closed = CLOSED.iter().any(|place| path.starts_with(&FilePath::from(*place)));
        closed && !self.readable.iter().any(|open| path.starts_with(open) || open.starts_with(path))
    }

    /// Looks.
    pub(crate) fn find(request: &Request, copies: &Copies, facts: &RunFacts) -> Result<Places, SandboxError> {
        let closed = closed(request, facts);
        let mut search = Search::new(closed);
        search.split(&FilePath::from("/"), true)?;
        search.processes()?;
        // The home and the roots may lie in a place that is closed.
        let closed = std::mem::take(&mut search.closed).into_iter();
        search.close(closed.filter(|path| !CLOSED.contains(&path.as_path().to_str().unwrap_or_default())));
        let home = request.confinement.env.iter().find(|var| var.name.as_bytes() == b"HOME");
        let home = home.map(|var| var.value.normalise()).filter(|home| home.as_bytes() != b"/");
        let roots = request.confinement.roots.iter().filter(|root| root.kind != RootKind::Home).map(|root| &root.path);
        let outside = |path: &&FilePath| CLOSED.iter().any(|place| path.starts_with(&FilePath::from(*place)));
        for path in home.iter().chain(roots).filter(outside) {
            if !copies.trees().any(|tree| path.starts_with(tree)) {
                search.one(path, None)?;
            }
        }
        search.places.listed.retain(|path| path.as_bytes() != b"/dev");
        search.places.readable.sort();
        search.places.readable.dedup();
        Ok(search.places)
    }
}

/// What is hidden, from whichever table.
fn closed(request: &Request, facts: &RunFacts) -> Vec<FilePath> {
    let tables: &[&[&str]] = &[CLOSED, PROC_OWN, view::PROC_MASKED, view::PROC_KEYS, view::SYS_MASKED];
    let root_only = |table: &'static [&'static str]| table.iter().filter(|_| facts.uid == 0);
    let named = tables.iter().flat_map(|table| table.iter()).chain(root_only(view::ROOT_SECRETS));
    let mut closed: Vec<FilePath> = named.map(|path| FilePath::from(*path)).collect();
    for (dir, names) in view::ROOT_SECRET_FILES.iter().filter(|_| facts.uid == 0) {
        closed.extend(names.iter().map(|name| FilePath::from(*dir).join(name)));
    }
    closed.extend(request.confinement.hidden.iter().map(|hidden| hidden.path.clone()));
    closed
}

struct Search {
    closed: HashSet<FilePath>,
    /// Every directory above one of them.
    above: HashSet<FilePath>,
    places: Places,
}

impl Search {
    fn new(closed: Vec<FilePath>) -> Search {
        let mut search = Search { closed: HashSet::new(), above: HashSet::new(), places: Places::default() };
        search.close(closed.into_iter());
        search
    }

    fn close(&mut self, closed: impl Iterator<Item = FilePath>) {
        self.closed = closed.collect();
        let above = self.closed.iter().flat_map(|path| path.as_path().ancestors().skip(1));
        self.above = above.map(FilePath::from).collect();
    }

    /// Allows `path`, or what is in it, as far as it is not closed. Links need no rule: what they lead to does.
    fn one(&mut self, path: &FilePath, kind: Option<FileType>) -> Result<(), SandboxError> {
        let kind = match kind {
            Some(kind) => kind,
            // What is gone, or cannot be looked at, cannot be read either.
            None => match std::fs::symlink_metadata(path.as_path()) {
                Ok(data) => data.file_type(),
                Err(_) => return Ok(()),
            },
        };
        if self.closed.contains(path) || kind.is_symlink() || kind.is_socket() || kind.is_fifo() {
            return Ok(());
        }
        if kind.is_dir() && self.above.contains(path) {
            return self.split(path, false);
        }
        if kind.is_dir() || kind.is_file() {
            self.places.readable.push(path.clone());
        }
        if self.places.readable.len() > PLACES_MAX {
            let why =
                format!("what may be read has more than {PLACES_MAX} parts: hide fewer paths, or nearer to the root");
            return Err(SandboxError::Request(why));
        }
        Ok(())
    }

    fn split(&mut self, dir: &FilePath, must: bool) -> Result<(), SandboxError> {
        let listing = match std::fs::read_dir(dir.as_path()) {
            Err(source) if must => return Err(SandboxError::Step { step: format!("list {dir}"), source }),
            Err(_) => return Ok(()),
            Ok(listing) => listing,
        };
        self.places.listed.push(dir.clone());
        for entry in listing.flatten() {
            self.one(&dir.join(entry.file_name()), entry.file_type().ok())?;
        }
        Ok(())
    }

    /// What of proc(5) is about no process.
    fn processes(&mut self) -> Result<(), SandboxError> {
        let dir = FilePath::from("/proc");
        self.places.listed.push(dir.clone());
        for entry in std::fs::read_dir(dir.as_path()).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let of_process = name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
            if !of_process {
                self.one(&dir.join(name), entry.file_type().ok())?;
            }
        }
        Ok(())
    }
}
