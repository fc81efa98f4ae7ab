//! File trees as values: to compare before with after, and to state a whole tree in one string.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How deep a tree may be; the trees of tests are shallow and a loop must not hang them.
const DEPTH_MAX: usize = 64;

/// One name of a tree: everything about it that a command could have changed and a test could miss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `file`, `dir`, `link`, `fifo`, `socket` or `device`.
    pub kind: &'static str,
    /// Permission bits with set-id and sticky.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Content of a file or target of a link.
    pub content: Vec<u8>,
    /// Modification time in nanoseconds; 0 for a directory, where it follows from its names.
    pub mtime_ns: i128,
}

/// Every name below a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot(pub BTreeMap<PathBuf, Entry>);

impl Snapshot {
    /// Reads the tree below `root`, leaving out the relative paths in `except` and all below them.
    #[must_use]
    pub fn take(root: &Path, except: &[&str]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        walk(root, Path::new(""), except, &mut snapshot, DEPTH_MAX);
        snapshot
    }

    /// Lines that differ, `- ` for what was and `+ ` for what is; empty when nothing does.
    #[must_use]
    pub fn difference(&self, after: &Snapshot) -> Vec<String> {
        let gone = self.0.iter().filter(|(path, entry)| after.0.get(*path) != Some(entry));
        let new = after.0.iter().filter(|(path, entry)| self.0.get(*path) != Some(entry));
        gone.map(|(path, entry)| format!("- {}", line(path, entry)))
            .chain(new.map(|(path, entry)| format!("+ {}", line(path, entry))))
            .collect()
    }

    /// The tree as text, one name a line: `a.txt = content`, `dir/`, `name -> target`.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.iter().map(|(path, entry)| short(path, entry)).collect::<Vec<_>>().join("\n")
    }
}

fn walk(root: &Path, below: &Path, except: &[&str], out: &mut Snapshot, depth: usize) {
    assert!(depth > 0, "{} is deeper than {DEPTH_MAX}", below.display());
    for item in fs::read_dir(root.join(below)).unwrap_or_else(|e| panic!("list {}: {e}", root.join(below).display())) {
        let path = below.join(item.expect("read a directory").file_name());
        if except.iter().any(|skip| path == Path::new(skip)) {
            continue;
        }
        let entry = read(&root.join(&path));
        let is_dir = entry.kind == "dir";
        out.0.insert(path.clone(), entry);
        if is_dir {
            walk(root, &path, except, out, depth - 1);
        }
    }
}

fn read(path: &Path) -> Entry {
    let meta = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("stat {}: {e}", path.display()));
    let kind = kind(&meta);
    let content = match kind {
        "file" => fs::read(path).unwrap_or_else(|e| panic!("read {}: {e}", path.display())),
        "link" => fs::read_link(path).expect("read a link").into_os_string().into_encoded_bytes(),
        _ => Vec::new(),
    };
    let mtime_ns =
        if kind == "dir" { 0 } else { i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()) };
    Entry { kind, mode: meta.permissions().mode() & 0o7777, owner: (meta.uid(), meta.gid()), content, mtime_ns }
}

fn kind(meta: &fs::Metadata) -> &'static str {
    let kind = meta.file_type();
    match () {
        () if kind.is_dir() => "dir",
        () if kind.is_symlink() => "link",
        () if kind.is_file() => "file",
        () if kind.is_fifo() => "fifo",
        () if kind.is_socket() => "socket",
        () => "device",
    }
}

fn line(path: &Path, entry: &Entry) -> String {
    let Entry { kind, mode, owner: (uid, gid), content, mtime_ns } = entry;
    let bytes = content.len();
    format!("{} ({kind} {mode:04o} {uid}:{gid} {bytes} bytes, mtime {mtime_ns})", path.display())
}

fn short(path: &Path, entry: &Entry) -> String {
    let text = String::from_utf8_lossy(&entry.content);
    match entry.kind {
        "dir" => format!("{}/", path.display()),
        "link" => format!("{} -> {text}", path.display()),
        "file" => format!("{} = {}", path.display(), text.trim_end().escape_debug()),
        other => format!("{} ({other})", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::Snapshot;
    use std::fs;

    #[test]
    fn every_respect_in_which_a_name_can_differ_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        fs::write(path.join("a"), "one").unwrap();
        fs::create_dir(path.join("d")).unwrap();
        std::os::unix::fs::symlink("a", path.join("l")).unwrap();
        let before = Snapshot::take(path, &[]);
        assert_eq!(before.render(), "a = one\nd/\nl -> a");
        assert_eq!(before.difference(&Snapshot::take(path, &[])), Vec::<String>::new());

        fs::write(path.join("d/new"), "x").unwrap();
        fs::remove_file(path.join("l")).unwrap();
        let mut mode = fs::metadata(path.join("a")).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o4755);
        fs::set_permissions(path.join("a"), mode).unwrap();
        let changed = before.difference(&Snapshot::take(path, &[]));
        assert_eq!(changed.len(), 4, "{changed:#?}");
        assert_eq!(before.difference(&Snapshot::take(path, &["d/new", "l"])).len(), 3);
    }
}
