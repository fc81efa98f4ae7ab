//! Secrets by name, and named pipes, where no file system of ours judges each name as it is asked for: they are looked for
//! before the jar is built, in bounds, and hidden by path.
//!
//! A home that is no overlay is looked through as a whole; a directory of it that is too large to be is not shown. What
//! lies outside of it is mostly installed there and far too much, so there only the upper directories are looked into, as
//! projects and sites lie there; what is deeper stays as it is.

use model::{Confinement, FilePath, Hidden, Place, RootKind, SecretNames};
use nix::dir::{Dir, Type};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use policy::{Judge, Names, PolicyError};
use std::collections::{HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

/// The rule that hides a directory of the home which was too large to be looked through.
pub(crate) const UNSEARCHED: &str = "secrets/unsearched";
/// The rule that hides a named pipe: a read-only view of one still carries what is said through it, and what is said into
/// it where Landlock does not rule files.
const PIPE: &str = "host/pipe";
/// Names looked at in a home.
const HOME_NAMES_MAX: usize = 200_000;
/// Paths that are hidden so, at most: each is a mount, or parts a directory into what is in it.
const FOUND_MAX: usize = 512;
/// Directories that are looked into outside of the home, and how deep.
const DIRS_MAX: usize = 512;
const DEPTH_MAX: usize = 3;
/// Certificates are in files smaller than this.
const PUBLIC_BYTES_MAX: u64 = 1 << 20;
/// What in `/` is the system's, private to the jar, or a home. What is left are places like `/srv`, `/opt` and `/data`.
const SYSTEM: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/efi",
    "/etc",
    "/home",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/lost+found",
    "/nix",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/snap",
    "/sys",
    "/tmp",
    "/usr",
    "/var",
];
/// Of what is left out, what holds sites.
const SITES: &str = "/var/www";
/// The table of mounts is mostly smaller than this.
const MOUNTS_BYTES: usize = 16 << 10;
/// File systems that answer at once. Others may be gone, and whoever asks waits.
const LOCAL: &[&str] = &["bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"];

/// How roots are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Views {
    /// In their place.
    InPlace,
    /// As copies elsewhere, so that what the host has in their place can be read there.
    Elsewhere,
}

/// Adds to what is hidden.
///
/// # Errors
/// When a rule that the jar holds cannot be read.
pub(crate) fn hide_names(confinement: &mut Confinement, place: &Place, views: Views) -> Result<(), PolicyError> {
    let names = Names::of(place, confinement)?;
    let left = confinement.roots.iter().filter(|root| root.kind != RootKind::Home);
    let left = left.map(|root| root.path.clone()).chain(confinement.shown.iter().cloned()).collect();
    let mut seek = Seek::new(&names, &confinement.hidden, left);
    let served = confinement.roots.iter().any(|root| place.home.starts_with(&root.path));
    let home_is_there = !confinement.hidden.iter().any(|hidden| place.home.starts_with(&hidden.path));
    if !served && home_is_there {
        seek.through(&place.home);
    }
    seek.around(&place.home);
    confinement.hidden.append(&mut seek.found);
    if let Some(judge) = names.rules().filter(|judge| judge.needs_a_look()) {
        hide_by_rules(confinement, place, &judge, views);
    }
    Ok(())
}

/// What rules hide by a pattern is hidden too where tables of names mean nothing: in a home and in what is shown, where
/// no view of ours judges each name.
fn hide_by_rules(confinement: &mut Confinement, place: &Place, judge: &Judge, views: Views) {
    let covered = |path: &FilePath| confinement.roots.iter().any(|root| path.starts_with(&root.path));
    let served = |path: &FilePath| views == Views::InPlace && covered(path);
    // Where a rule names a directory it is looked through, wherever that is; the system as a whole is not.
    let named = judge.directories();
    let named =
        named.iter().filter(|path| path.as_path().parent().is_some() && !SYSTEM.contains(&path.to_string().as_str()));
    let tops = [&place.home].into_iter().chain(&confinement.shown).chain(named).filter(|path| !served(path));
    let tops: Vec<FilePath> = tops.cloned().collect();
    let left = confinement.roots.iter().map(|root| root.path.clone()).collect();
    let mut seek = Seek::new(judge, &confinement.hidden, left);
    for top in &tops {
        if !seek.hides(top) {
            seek.through(top);
        }
    }
    confinement.hidden.append(&mut seek.found);
}

struct Seek<'a> {
    names: &'a dyn SecretNames,
    /// Paths, to be asked for by one that is no [`FilePath`] yet: most names are looked at for nothing.
    hidden: HashSet<OsString>,
    /// Not looked into: they have views of their own, or all in them is shown.
    left: Vec<FilePath>,
    /// Where file systems are mounted that are not local.
    foreign: HashSet<PathBuf>,
    found: Vec<Hidden>,
}

impl<'a> Seek<'a> {
    fn new(names: &'a dyn SecretNames, hidden: &[Hidden], left: Vec<FilePath>) -> Seek<'a> {
        let hidden = hidden.iter().map(|hidden| hidden.path.as_os_str().to_owned()).collect();
        Seek { names, hidden, left, foreign: foreign(), found: Vec::new() }
    }

    /// Looks through all of a directory; what is too much is hidden.
    fn through(&mut self, top: &FilePath) {
        let mut most = HOME_NAMES_MAX;
        let mut waiting = vec![top.as_path().to_owned()];
        while let Some(mut dir) = waiting.pop() {
            let here = (most > 0 && self.found.len() < FOUND_MAX).then(|| listing(&dir));
            let Some(mut entries) = here.filter(|entries| entries.len() <= most || self.holds_work(&dir)) else {
                self.close(&dir, &mut waiting);
                continue;
            };
            most = most.saturating_sub(entries.len());
            // The last one is looked into first: small ones with dots before what is worked on.
            entries.sort_by(|one, other| other.name.cmp(&one.name));
            for entry in entries {
                dir.push(&entry.name);
                if self.look(&dir, entry.kind) {
                    if self.foreign.contains(&dir) { self.close(&dir, &mut waiting) } else { waiting.push(dir.clone()) }
                }
                dir.pop();
            }
        }
        self.gather(top);
    }

    /// Hides a directory that was not looked through, unless the command works in it: then what is beside the way there.
    fn close(&mut self, dir: &Path, waiting: &mut Vec<PathBuf>) {
        if !self.holds_work(dir) {
            self.found.push(Hidden { path: FilePath::from(dir), rule: UNSEARCHED.to_owned() });
            return;
        }
        for entry in listing(dir) {
            let path = dir.join(&entry.name);
            let below = self.left.iter().any(|left| path.starts_with(left.as_path()));
            match (below || self.hidden.contains(path.as_os_str()), self.holds_work(&path)) {
                (true, _) => {}
                (false, true) => waiting.push(path),
                (false, false) => {
                    self.found.push(Hidden { path: FilePath::from(path), rule: UNSEARCHED.to_owned() });
                }
            }
        }
    }

    fn holds_work(&self, dir: &Path) -> bool {
        self.left.iter().any(|left| left.as_path().starts_with(dir))
    }

    /// Where far too much was hidden piece by piece, what holds it is.
    fn gather(&mut self, top: &FilePath) {
        if self.found.len() <= 2 * FOUND_MAX {
            return;
        }
        let upper = |hidden: &Hidden| {
            let first = hidden.path.strip_prefix(top)?.as_path().iter().next().map(|name| top.join(name))?;
            (!self.holds_work(first.as_path())).then_some(first)
        };
        let mut whole: Vec<FilePath> = self.found.iter().filter_map(upper).collect();
        whole.sort();
        whole.dedup();
        self.found.retain(|hidden| !whole.iter().any(|path| hidden.path.starts_with(path)));
        self.found.extend(whole.into_iter().map(|path| Hidden { path, rule: UNSEARCHED.to_owned() }));
    }

    /// Looks into the upper directories of places that are neither the system's nor a home, nearest to `/` first.
    fn around(&mut self, home: &FilePath) {
        let usual = |path: &PathBuf| !SYSTEM.iter().any(|system| path.as_os_str() == *system);
        let top = listing(Path::new("/")).into_iter().map(|entry| (Path::new("/").join(entry.name), entry.kind));
        let top = top.filter(|(path, kind)| kind.or_else(|| kind_of(path)) == Some(Type::Directory));
        let places = top.map(|(path, _)| path).filter(usual).chain([PathBuf::from(SITES)]);
        let mut waiting: VecDeque<(PathBuf, usize)> = places.map(|path| (path, 1)).collect();
        for _ in 0..DIRS_MAX {
            let Some((mut dir, depth)) = waiting.pop_front() else { return };
            if self.foreign.contains(&dir) || home.starts_with(&FilePath::from(dir.as_path())) {
                continue;
            }
            for entry in listing(&dir) {
                dir.push(&entry.name);
                if self.look(&dir, entry.kind) && depth < DEPTH_MAX {
                    waiting.push_back((dir.clone(), depth + 1));
                }
                dir.pop();
                if self.found.len() >= FOUND_MAX {
                    return;
                }
            }
        }
    }

    /// Looks at one name; whether it is a directory to look into. What a link leads to has a name of its own.
    fn look(&mut self, path: &Path, kind: Option<Type>) -> bool {
        let Some(kind) = kind.or_else(|| kind_of(path)) else { return false };
        let is_dir = kind == Type::Directory;
        if kind == Type::Symlink || is_dir && (self.is_left(path) || self.names.is_shown(path)) {
            return false;
        }
        let named = self.names.secret(path, is_dir);
        let is_pipe = named.is_none() && kind == Type::Fifo && !self.names.is_shown(path);
        // Of most names nothing else is asked.
        if named.is_none() && !is_pipe && !is_dir || self.hidden.contains(path.as_os_str()) {
            return false;
        }
        let rule = match named {
            Some(named) if !named.unless_public || !self.is_public(path) => Some(named.rule),
            Some(_) => None,
            None => is_pipe.then_some(PIPE),
        };
        if let Some(rule) = rule {
            self.hidden.insert(path.as_os_str().to_owned());
            self.found.push(Hidden { path: FilePath::from(path), rule: rule.to_owned() });
        }
        rule.is_none() && is_dir
    }

    /// Whether a path, or what holds it, is hidden.
    fn hides(&self, path: &FilePath) -> bool {
        self.hidden.iter().any(|hidden| path.as_path().starts_with(hidden))
    }

    fn is_left(&self, path: &Path) -> bool {
        self.left.iter().any(|left| left.as_os_str() == path.as_os_str())
    }

    fn is_public(&self, path: &Path) -> bool {
        let small = path.symlink_metadata().is_ok_and(|data| data.is_file() && data.len() <= PUBLIC_BYTES_MAX);
        small && std::fs::read(path).is_ok_and(|content| self.names.is_public(&content))
    }
}

struct Entry {
    name: OsString,
    /// `None` where the file system does not tell.
    kind: Option<Type>,
}

/// What is in a directory. What we may not list the command may not either.
fn listing(dir: &Path) -> Vec<Entry> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let Ok(dir) = Dir::open(dir, flags, Mode::empty()) else { return Vec::new() };
    let mut entries = Vec::new();
    // A directory that fails would do so for ever.
    for entry in dir.into_iter().map_while(Result::ok) {
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            entries.push(Entry { name: OsStr::from_bytes(name).to_owned(), kind: entry.file_type() });
        }
    }
    entries
}

/// What a name is; one that has gone is nothing.
fn kind_of(path: &Path) -> Option<Type> {
    let kind = path.symlink_metadata().ok()?.file_type();
    let kinds = [(kind.is_dir(), Type::Directory), (kind.is_symlink(), Type::Symlink), (kind.is_fifo(), Type::Fifo)];
    Some(kinds.into_iter().find_map(|(is, kind)| is.then_some(kind)).unwrap_or(Type::File))
}

/// Where file systems of other machines and of programs are mounted, from proc_pid_mountinfo(5).
fn foreign() -> HashSet<PathBuf> {
    // Without room for it reading begins with 32 bytes at a time.
    let mut table = String::with_capacity(MOUNTS_BYTES);
    let read = std::fs::File::open("/proc/self/mountinfo").and_then(|mut file| file.read_to_string(&mut table));
    if read.is_err() {
        table.clear();
    }
    table.lines().filter_map(foreign_in).collect()
}

fn foreign_in(line: &str) -> Option<PathBuf> {
    let (front, back) = line.split_once(" - ")?;
    let (at, kind) = (front.split(' ').nth(4)?, back.split(' ').next()?);
    if LOCAL.contains(&kind) {
        return None;
    }
    if !at.contains('\\') {
        return Some(PathBuf::from(at));
    }
    let at = at.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
    Some(PathBuf::from(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A home of its own, beside which nothing is looked at: the paths that would be hidden, with their rules.
    fn hidden(home: &Path, shown: &[&str]) -> Vec<(String, String)> {
        let names = Names::new(&home.into(), &[]);
        let left = shown.iter().map(|rest| home.join(rest).into()).collect();
        let mut seek = Seek { foreign: HashSet::new(), ..Seek::new(&names, &[], left) };
        seek.through(&home.into());
        let rest = |hidden: Hidden| {
            let below = hidden.path.as_path().strip_prefix(home).unwrap();
            (below.to_str().unwrap().to_owned(), hidden.rule)
        };
        let mut all: Vec<_> = seek.found.into_iter().map(rest).collect();
        all.sort();
        all
    }

    fn write(home: &Path, rest: &str, text: &str) {
        fs::create_dir_all(home.join(rest).parent().unwrap()).unwrap();
        fs::write(home.join(rest), text).unwrap();
    }

    #[test]
    fn a_home_is_looked_through_and_what_is_installed_is_not() {
        let home = tempfile::tempdir().unwrap();
        let certificate = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n";
        for (rest, text) in [
            ("a/b/c/d/e/.env", "x"),
            ("a/server.pem", "hush"),
            ("a/ca.pem", certificate),
            (".cargo/registry/src/x/test/id_rsa", "x"),
            ("work/.env", "x"),
            ("old/.ssh/id_work", "x"),
        ] {
            write(home.path(), rest, text);
        }
        nix::unistd::mkfifo(&home.path().join("a/pipe"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        std::os::unix::fs::symlink("work/.env", home.path().join(".env")).unwrap();
        let found = hidden(home.path(), &["work"]);
        let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["a/b/c/d/e/.env", "a/pipe", "a/server.pem", "old/.ssh"]);
    }

    #[test]
    fn what_is_too_much_is_closed_but_for_the_way_to_the_work() {
        let home = tempfile::tempdir().unwrap();
        for number in 0..2 * FOUND_MAX {
            write(home.path(), &format!("many/{number}/.env"), "x");
            write(home.path(), &format!("src/{number}/.env"), "x");
        }
        write(home.path(), "src/work/.env", "x");
        write(home.path(), "small/.env", "x");
        let found = hidden(home.path(), &["src/work"]);
        let covered = |path: &str| found.iter().any(|(hidden, _)| Path::new(path).starts_with(hidden));
        assert!(covered("many/7/.env") && covered("many/1000/.env") && covered("small/.env"));
        assert!(covered("src/7/.env") && covered("src/1000/.env"));
        assert!(!covered("src/work/.env") && !covered("src"));
        assert!(found.iter().any(|(_, rule)| rule == UNSEARCHED));
    }

    #[test]
    fn a_home_that_is_served_is_not_looked_through() {
        let home = tempfile::tempdir().unwrap();
        write(home.path(), "other/.env", "x");
        let root = model::WritableRoot { path: home.path().into(), kind: RootKind::Home };
        let place = Place {
            workspace: home.path().join("work").into(),
            cwd: home.path().join("work").into(),
            home: home.path().into(),
            state: home.path().join("state").into(),
            uid: 1000,
            contained: true,
        };
        let mut confinement = Confinement { roots: vec![root], ..Confinement::closed(place.cwd.clone()) };
        hide_names(&mut confinement, &place, Views::InPlace).unwrap();
        assert!(!confinement.hidden.iter().any(|hidden| hidden.path.starts_with(&place.home)));
        confinement.roots.clear();
        hide_names(&mut confinement, &place, Views::InPlace).unwrap();
        assert!(confinement.hidden.iter().any(|hidden| hidden.path == place.home.join("other/.env")));
    }

    #[test]
    fn where_the_file_system_does_not_tell_what_a_name_is_it_is_asked() {
        let home = tempfile::tempdir().unwrap();
        write(home.path(), "a/.env", "x");
        nix::unistd::mkfifo(&home.path().join("pipe"), Mode::from_bits_truncate(0o600)).unwrap();
        std::os::unix::fs::symlink("a", home.path().join("link")).unwrap();
        let kind = |rest: &str| kind_of(&home.path().join(rest));
        assert_eq!(kind("a"), Some(Type::Directory));
        assert_eq!(kind("a/.env"), Some(Type::File));
        assert_eq!(kind("pipe"), Some(Type::Fifo));
        assert_eq!(kind("link"), Some(Type::Symlink));
        assert_eq!(kind("none"), None);
        let names = Names::new(&home.path().into(), &[]);
        let mut seek = Seek { foreign: HashSet::new(), ..Seek::new(&names, &[], Vec::new()) };
        let mut look = |rest: &str| seek.look(&home.path().join(rest), None);
        assert!(look("a") && !look("a/.env") && !look("pipe") && !look("link") && !look("none"));
        let found: Vec<&str> = seek.found.iter().map(|hidden| hidden.rule.as_str()).collect();
        assert_eq!(found, ["secrets/dotenv", PIPE]);
        assert!(listing(&home.path().join("none")).is_empty() && listing(&home.path().join("pipe")).is_empty());
    }

    #[test]
    fn mounts_of_other_machines_are_told() {
        let line = |at: &str, kind: &str| format!("36 35 98:0 / {at} rw,noatime master:1 - {kind} /dev/root rw");
        assert_eq!(foreign_in(&line("/mnt/a\\040b", "nfs4")), Some("/mnt/a b".into()));
        assert_eq!(foreign_in(&line("/mnt/a", "fuse.sshfs")), Some("/mnt/a".into()));
        assert_eq!(foreign_in(&line("/mnt/a", "ext4")), None);
    }
}
