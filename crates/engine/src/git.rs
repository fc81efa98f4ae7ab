//! What a git repository tells about paths, without running git: a program started in a stranger's repository obeys its
//! settings. The index is read by a parser of our own, ignore rules by a library from text read here. Files are opened as
//! regular files of bounded size only; what cannot be understood tells nothing.

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use model::FilePath;
use nix::fcntl::OFlag;
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The index of a repository with a million files is about as large as this.
const INDEX_BYTES_MAX: u64 = 128 << 20;
/// Rules are written by people.
const RULES_BYTES_MAX: u64 = 1 << 20;

/// One repository on the host.
pub(crate) struct Repository {
    root: PathBuf,
    tracked: Tracked,
    /// Rules by the directory they stand in; the empty path has those of `info/exclude` too.
    rules: HashMap<PathBuf, Vec<Gitignore>>,
    ignored: HashMap<PathBuf, bool>,
    git: PathBuf,
}

impl Repository {
    /// The repository whose working tree `dir` is the top of. `None` when it is none, or its index is not understood:
    /// then nothing is known to be untracked.
    pub(crate) fn open(dir: &Path) -> Option<Repository> {
        let git = git_dir(dir)?;
        let tracked = match read(&git.join("index"), INDEX_BYTES_MAX) {
            Read::Bytes(bytes) => tracked(&bytes, hash_bytes(&git)?)?,
            // Nothing was ever added.
            Read::Nothing => Tracked::default(),
            Read::Unreadable => return None,
        };
        Some(Repository { root: dir.to_owned(), tracked, rules: HashMap::new(), ignored: HashMap::new(), git })
    }

    /// Whether git keeps `path`, which is in this tree, or something below it.
    pub(crate) fn is_tracked(&self, path: &FilePath) -> bool {
        let Ok(rel) = path.as_path().strip_prefix(&self.root) else { return true };
        let bytes = FilePath::from(rel);
        let in_sparse = rel.ancestors().any(|above| self.tracked.trees.contains(FilePath::from(above).as_bytes()));
        in_sparse || self.tracked.files.contains(bytes.as_bytes())
    }

    /// The topmost directory above `path`, or `path` itself if it is a directory, that the rules of the host ignore.
    pub(crate) fn ignored_root(&mut self, path: &FilePath, is_dir: bool) -> Option<PathBuf> {
        let rel = path.as_path().strip_prefix(&self.root).ok()?.to_owned();
        let mut above: Vec<&Path> = rel.ancestors().skip(usize::from(!is_dir)).collect();
        // The root itself comes first and is never ignored.
        above.pop();
        let found = above.into_iter().rev().find(|dir| self.is_ignored(dir))?;
        Some(self.root.join(found))
    }

    fn is_ignored(&mut self, dir: &Path) -> bool {
        if let Some(known) = self.ignored.get(dir) {
            return *known;
        }
        // The rules nearest to it win.
        let full = self.root.join(dir);
        let mut verdict = false;
        for above in dir.ancestors().skip(1) {
            let matched = self.rules_of(above).iter().map(|rules| rules.matched(&full, true)).find(|m| !m.is_none());
            if let Some(matched) = matched {
                verdict = matched.is_ignore();
                break;
            }
        }
        self.ignored.insert(dir.to_owned(), verdict);
        verdict
    }

    fn rules_of(&mut self, dir: &Path) -> &[Gitignore] {
        let (root, git) = (&self.root, &self.git);
        self.rules.entry(dir.to_owned()).or_insert_with(|| {
            let here = root.join(dir);
            let mut all = vec![rules(&here, &here.join(".gitignore"))];
            if dir.as_os_str().is_empty() {
                all.push(rules(&here, &git.join("info/exclude")));
            }
            all.into_iter().flatten().collect()
        })
    }
}

fn rules(root: &Path, file: &Path) -> Option<Gitignore> {
    let Read::Bytes(bytes) = read(file, RULES_BYTES_MAX) else { return None };
    let mut builder = GitignoreBuilder::new(root);
    for line in String::from_utf8_lossy(&bytes).lines() {
        // A line that is no rule is none for git either.
        let _ = builder.add_line(None, line);
    }
    builder.build().ok()
}

/// The git directory of a working tree: `.git`, or where a file of that name says (gitrepository-layout(5)).
fn git_dir(dir: &Path) -> Option<PathBuf> {
    let git = dir.join(".git");
    if std::fs::symlink_metadata(&git).ok()?.is_dir() {
        return Some(git);
    }
    let Read::Bytes(bytes) = read(&git, 4096) else { return None };
    let text = String::from_utf8(bytes).ok()?;
    Some(dir.join(text.strip_prefix("gitdir:")?.trim()))
}

/// How long object names are: the settings say so where it is not SHA-1. `None` where that cannot be read.
fn hash_bytes(git: &Path) -> Option<usize> {
    let common = match read(&git.join("commondir"), 4096) {
        Read::Bytes(bytes) => git.join(String::from_utf8(bytes).ok()?.trim()),
        Read::Nothing => git.to_owned(),
        Read::Unreadable => return None,
    };
    match read(&common.join("config"), RULES_BYTES_MAX) {
        Read::Bytes(bytes) => {
            let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
            let sha256 = text.lines().any(|line| line.contains("objectformat") && line.contains("sha256"));
            Some(if sha256 { 32 } else { 20 })
        }
        Read::Nothing => Some(20),
        Read::Unreadable => None,
    }
}

enum Read {
    Bytes(Vec<u8>),
    Nothing,
    Unreadable,
}

/// Reads a regular file of at most `max` bytes; never waits for a pipe.
fn read(path: &Path, max: u64) -> Read {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Read::Nothing,
        Err(_) => return Read::Unreadable,
    };
    read_file(&file, max).map_or(Read::Unreadable, Read::Bytes)
}

fn read_file(file: &File, max: u64) -> Option<Vec<u8>> {
    let meta = file.metadata().ok().filter(|meta| meta.is_file() && meta.len() <= max)?;
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).ok()?);
    file.take(max).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The paths in an index.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tracked {
    files: HashSet<Vec<u8>>,
    /// Directories of a sparse index, which stand for all that is in them.
    trees: HashSet<Vec<u8>>,
}

/// Bytes of an entry before its object name, and of the flags behind it (gitformat-index(5)).
const STAT_BYTES: usize = 40;
/// In the flags: two more bytes of flags follow, from version 3 on.
const EXTENDED: u16 = 0x4000;

/// Reads an index of version 2, 3 or 4. `None` when it is damaged, or part of another file (`link`).
fn tracked(bytes: &[u8], hash: usize) -> Option<Tracked> {
    let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let version = number(4)?;
    if bytes.get(..4)? != b"DIRC" || !(2..=4).contains(&version) {
        return None;
    }
    let mut found = Tracked::default();
    let mut at: usize = 12;
    let mut name: Vec<u8> = Vec::new();
    for _ in 0..number(8)? {
        let start = at;
        at = at.checked_add(STAT_BYTES + hash)?;
        let flags = u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?);
        at += if version >= 3 && flags & EXTENDED != 0 { 4 } else { 2 };
        if version == 4 {
            let (strip, used) = varint(bytes.get(at..)?)?;
            name.truncate(name.len().checked_sub(strip)?);
            at += used;
        } else {
            name.clear();
        }
        let rest = bytes.get(at..)?;
        let end = rest.iter().position(|b| *b == 0)?;
        name.extend_from_slice(rest.get(..end)?);
        at += end + 1;
        if version < 4 {
            // One to eight NULs, so that the entry's length is a multiple of eight.
            at = start + (at - start).div_ceil(8) * 8;
        }
        match name.strip_suffix(b"/") {
            Some(tree) => drop(found.trees.insert(tree.to_vec())),
            None => drop(found.files.insert(name.clone())),
        }
    }
    (!has_link(bytes, at, hash)?).then_some(found)
}

/// Whether the index is only what differs from a shared one.
fn has_link(bytes: &[u8], mut at: usize, hash: usize) -> Option<bool> {
    // A checksum of all before it ends the file.
    let end = bytes.len().checked_sub(hash)?;
    while at < end {
        if bytes.get(at..at + 4)? == b"link" {
            return Some(true);
        }
        let size = u32::from_be_bytes(bytes.get(at + 4..at + 8)?.try_into().ok()?);
        at = at.checked_add(8)?.checked_add(usize::try_from(size).ok()?)?;
    }
    Some(false)
}

/// A number as in the offsets of packs: seven bits a byte, each further byte adding one. With its length.
fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value: usize = 0;
    for (index, byte) in bytes.iter().take(9).enumerate() {
        value = value.checked_mul(128)?.checked_add(usize::from(byte & 0x7f))?;
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
        value = value.checked_add(1)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Repository, tracked};
    use model::FilePath;
    use proptest::prelude::*;
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    fn git(dir: &Path, args: &[&str]) {
        let mut command = Command::new("git");
        let quiet = command.args(args).current_dir(dir).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        assert!(quiet.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&quiet.stderr));
    }

    fn repository(format: &str, index: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        git(root, &["init", "-q", &format!("--object-format={format}")]);
        git(root, &["config", "index.version", index]);
        for file in
            ["a", "deep/er/b", "target/debug/kept", "long-name-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
        {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), file).unwrap();
        }
        git(root, &["add", "-A"]);
        // An intention to add is an extended flag.
        fs::write(root.join("intended"), "").unwrap();
        git(root, &["add", "-N", "intended"]);
        dir
    }

    #[test]
    fn every_version_of_the_index_is_read() {
        for (format, index) in [("sha1", "2"), ("sha1", "3"), ("sha1", "4"), ("sha256", "4")] {
            let dir = repository(format, index);
            let read = Repository::open(dir.path()).unwrap_or_else(|| panic!("{format} {index}"));
            let root = FilePath::from(dir.path());
            for (path, expected) in [
                ("a", true),
                ("deep/er/b", true),
                ("target/debug/kept", true),
                ("intended", true),
                ("deep/er/c", false),
            ] {
                assert_eq!(read.is_tracked(&root.join(path)), expected, "{format} {index} {path}");
            }
            assert_eq!(read.tracked.files.len(), 5);
        }
    }

    #[test]
    fn an_index_that_is_split_tells_nothing() {
        let dir = repository("sha1", "2");
        git(dir.path(), &["update-index", "--split-index"]);
        assert!(Repository::open(dir.path()).is_none());
    }

    #[test]
    fn rules_ignore_directories_and_the_nearest_wins() {
        let dir = repository("sha1", "2");
        let root = dir.path();
        fs::write(root.join(".gitignore"), "build/\n/out\n*.tmp/\n# comment\n").unwrap();
        fs::write(root.join("deep/.gitignore"), "!build/\n").unwrap();
        fs::write(root.join(".git/info/exclude"), "secretly/\n").unwrap();
        let mut read = Repository::open(root).unwrap();
        let mut ignored = |path: &str| {
            let found = read.ignored_root(&FilePath::from(root).join(path), false)?;
            Some(found.strip_prefix(root).unwrap().to_str().unwrap().to_owned())
        };
        for (path, expected) in [
            ("build/x/y", Some("build")),
            ("sub/build/x", Some("sub/build")),
            ("deep/build/x", None),
            ("out/x", Some("out")),
            ("sub/out/x", None),
            ("a.tmp/b.tmp/x", Some("a.tmp")),
            ("secretly/x", Some("secretly")),
            ("src/x", None),
            ("x", None),
        ] {
            assert_eq!(ignored(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_pipe_in_place_of_a_file_is_not_waited_for() {
        let dir = repository("sha1", "2");
        nix::unistd::mkfifo(&dir.path().join(".gitignore"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut read = Repository::open(dir.path()).unwrap();
        assert_eq!(read.ignored_root(&FilePath::from(dir.path()).join("x/y"), false), None);
        fs::remove_file(dir.path().join(".git/index")).unwrap();
        nix::unistd::mkfifo(&dir.path().join(".git/index"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(Repository::open(dir.path()).is_none());
    }

    proptest! {
        #[test]
        fn nonsense_is_no_index(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), version in 0..6u32, hash in prop_oneof![Just(20), Just(32)]) {
            let _ = tracked(&bytes, hash);
            if bytes.len() > 12 {
                bytes[..4].copy_from_slice(b"DIRC");
                bytes[4..8].copy_from_slice(&version.to_be_bytes());
                bytes[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
                prop_assert_eq!(tracked(&bytes, hash), None);
                bytes[8..12].copy_from_slice(&2u32.to_be_bytes());
                let _ = tracked(&bytes, hash);
            }
        }
    }
}
