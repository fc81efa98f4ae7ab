//! A bench for tests of the layers without FUSE: a host directory, a store, and the view by path.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use crate::fs::at;
use crate::overlay::Overlay;
use crate::store::Spec;
use crate::view::create::Owner;
use crate::view::layers::{Attr, Layers};
use crate::view::node::ROOT;
use crate::view::rename::Spot;
use model::{Change, ChangeKind, FilePath, Hidden};
use nix::errno::Errno;
use nix::fcntl::RenameFlags;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// A host directory and a store under one temporary directory.
pub(crate) struct Bench {
    pub(crate) dir: PathBuf,
    pub(crate) hidden: Vec<Hidden>,
    pub(crate) nested: Vec<FilePath>,
    pub(crate) store: PathBuf,
    _guard: Option<tempfile::TempDir>,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let guard = tempfile::tempdir().unwrap();
        let dir = guard.path().to_owned();
        std::fs::create_dir(dir.join("host")).unwrap();
        let store = dir.join("store");
        Bench { dir, hidden: Vec::new(), nested: Vec::new(), store, _guard: Some(guard) }
    }

    /// A bench somebody else made and removes.
    pub(crate) fn at(dir: &Path, store: &Path) -> Bench {
        let (dir, store) = (dir.to_owned(), store.to_owned());
        Bench { dir, hidden: Vec::new(), nested: Vec::new(), store, _guard: None }
    }

    pub(crate) fn host(&self) -> PathBuf {
        self.dir.join("host")
    }

    pub(crate) fn overlay(&self) -> Overlay {
        if self.store.exists() {
            return Overlay::open(&self.store).unwrap();
        }
        let spec = Spec {
            root: FilePath::from(self.host()),
            dir: self.store.clone(),
            hidden: self.hidden.clone(),
            nested: self.nested.clone(),
            id: "bench".into(),
        };
        Overlay::begin(&spec).unwrap()
    }

    pub(crate) fn view(&self) -> View {
        View { layers: self.overlay().layers().unwrap() }
    }

    /// The change set as one line each: kind, path, and what differs.
    pub(crate) fn changes(&self) -> Vec<String> {
        let root = FilePath::from(self.host());
        self.overlay().changes().unwrap().changes.iter().map(|change| render(change, &root)).collect()
    }
}

fn render(change: &Change, root: &FilePath) -> String {
    let short = |path: &FilePath| path.strip_prefix(root).unwrap().to_string();
    let path = short(&change.path);
    let d = &change.differs;
    let flags: String = [(d.content, 'c'), (d.mode, 'm'), (d.owner, 'o'), (d.xattr, 'x'), (d.times, 't')]
        .iter()
        .filter(|(on, _)| *on)
        .map(|(_, flag)| *flag)
        .collect();
    match &change.kind {
        ChangeKind::Added => format!("A {path}"),
        ChangeKind::Modified => format!("M {path} {flags}"),
        ChangeKind::Deleted => format!("D {path} {}", change.below),
        ChangeKind::Renamed { from } => format!("R {path} < {} {flags}", short(from)).trim_end().to_owned(),
        ChangeKind::Linked { to } => format!("L {path} = {}", short(to)),
        ChangeKind::Replaced => format!("X {path}"),
    }
}

/// The view, by path, as the kernel would walk it.
pub(crate) struct View {
    pub(crate) layers: Layers,
}

type Done = Result<(), Errno>;

impl Layers {
    /// [`Layers::read_into`] into memory of its own.
    pub(crate) fn read_data(&self, number: u64, offset: u64, size: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; size];
        let filled = self.read_into(number, offset, &mut bytes)?;
        bytes.truncate(filled);
        Ok(bytes)
    }
}

impl View {
    /// Looks a path up; the reference is kept, as an open file would.
    pub(crate) fn hold(&self, path: &str) -> Result<u64, Errno> {
        let mut number = ROOT;
        for part in Path::new(path).components() {
            if at::kind_of(&self.layers.getattr(number)?.stat) == libc::S_IFLNK {
                // A path goes on behind a link; no link of these tests leads anywhere.
                return Err(Errno::ENOENT);
            }
            number = self.layers.lookup(number, part.as_os_str())?.number;
        }
        Ok(number)
    }

    fn spot<'p>(&self, path: &'p str) -> Result<(u64, &'p OsStr), Errno> {
        let (parent, name) = at::split(Path::new(path)).ok_or(Errno::EINVAL)?;
        let parent = self.hold(parent.to_str().unwrap())?;
        match at::kind_of(&self.layers.getattr(parent)?.stat) {
            libc::S_IFLNK => Err(Errno::ENOENT),
            libc::S_IFDIR => Ok((parent, name)),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(crate) fn stat(&self, path: &str) -> Result<Attr, Errno> {
        self.layers.getattr(self.hold(path)?)
    }

    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>, Errno> {
        self.layers.read_data(self.hold(path)?, 0, 1 << 20)
    }

    /// open(2) with `O_CREAT|O_TRUNC`, write, close.
    pub(crate) fn write(&self, path: &str, bytes: &[u8]) -> Done {
        let (parent, name) = self.spot(path)?;
        let number = match self.layers.lookup(parent, name) {
            Ok(attr) => {
                self.layers
                    .setattr(attr.number, crate::view::setattr::Changes { size: Some(0), ..Default::default() })?;
                attr.number
            }
            Err(Errno::ENOENT) => self.layers.create(parent, name, 0o644, owner())?.number,
            Err(errno) => return Err(errno),
        };
        self.layers.write_data(number, 0, bytes, false).map(drop)
    }

    /// Bytes at the start of a file that is there.
    pub(crate) fn overwrite(&self, path: &str, bytes: &[u8]) -> Done {
        self.layers.write_data(self.hold(path)?, 0, bytes, false).map(drop)
    }

    pub(crate) fn truncate(&self, path: &str, size: u64) -> Done {
        let changes = crate::view::setattr::Changes { size: Some(size), ..Default::default() };
        self.layers.setattr(self.hold(path)?, changes).map(drop)
    }

    pub(crate) fn mkdir(&self, path: &str) -> Done {
        let (parent, name) = self.spot(path)?;
        self.layers.mkdir(parent, name, 0o755, owner()).map(drop)
    }

    pub(crate) fn mksocket(&self, path: &str) -> Done {
        let (parent, name) = self.spot(path)?;
        self.layers.mknod(parent, name, libc::S_IFSOCK | 0o644, 0, owner()).map(drop)
    }

    pub(crate) fn chown(&self, path: &str, uid: u32, gid: u32) -> Done {
        let changes = crate::view::setattr::Changes { uid: Some(uid), gid: Some(gid), ..Default::default() };
        self.layers.setattr(self.hold(path)?, changes).map(drop)
    }

    pub(crate) fn set_mtime(&self, path: &str, seconds: i64) -> Done {
        let time = Some(nix::sys::time::TimeSpec::new(seconds, 0));
        let changes = crate::view::setattr::Changes { mtime: time, ..Default::default() };
        self.layers.setattr(self.hold(path)?, changes).map(drop)
    }

    pub(crate) fn mkfifo(&self, path: &str) -> Done {
        let (parent, name) = self.spot(path)?;
        self.layers.mknod(parent, name, libc::S_IFIFO | 0o644, 0, owner()).map(drop)
    }

    pub(crate) fn symlink(&self, target: &str, path: &str) -> Done {
        let (parent, name) = self.spot(path)?;
        self.layers.symlink(parent, name, OsStr::new(target), owner()).map(drop)
    }

    pub(crate) fn link(&self, from: &str, path: &str) -> Done {
        let number = self.hold(from)?;
        let (parent, name) = self.spot(path)?;
        self.layers.link(number, parent, name).map(drop)
    }

    pub(crate) fn unlink(&self, path: &str) -> Done {
        let (parent, name) = self.spot(path)?;
        self.layers.unlink(parent, name)
    }

    pub(crate) fn rmdir(&self, path: &str) -> Done {
        let (parent, name) = self.spot(path)?;
        self.layers.rmdir(parent, name)
    }

    pub(crate) fn rename(&self, from: &str, to: &str, flags: RenameFlags) -> Done {
        let (old, old_name) = self.spot(from)?;
        let (new, new_name) = self.spot(to)?;
        self.layers.rename(Spot { parent: old, name: old_name }, Spot { parent: new, name: new_name }, flags)
    }

    pub(crate) fn chmod(&self, path: &str, mode: u32) -> Done {
        let changes = crate::view::setattr::Changes { mode: Some(mode), ..Default::default() };
        self.layers.setattr(self.hold(path)?, changes).map(drop)
    }

    pub(crate) fn set_xattr(&self, path: &str, name: &str, value: &str) -> Done {
        self.layers.set_xattr(self.hold(path)?, OsStr::new(name), value.as_bytes(), 0)
    }

    pub(crate) fn names(&self, path: &str) -> Result<Vec<OsString>, Errno> {
        let listing = self.layers.read_dir(self.hold(path)?, 0)?;
        let mut names: Vec<_> = listing.iter().map(|item| item.name.clone()).collect();
        names.sort();
        Ok(names)
    }

    /// Removes a tree as `rm -rf` does.
    pub(crate) fn remove_tree(&self, path: &str) -> Done {
        if !at::is_dir(&self.stat(path)?.stat) {
            return self.unlink(path);
        }
        for name in self.names(path)? {
            self.remove_tree(&format!("{path}/{}", name.to_str().unwrap()))?;
        }
        self.rmdir(path)
    }

    /// Every object of the view with all that apply has to bring: owners, times, attributes, and which names are one file.
    pub(crate) fn whole_tree(&self) -> BTreeMap<String, String> {
        let mut objects = Vec::new();
        for path in self.tree().into_keys() {
            let attr = self.stat(&path).unwrap();
            let number = self.hold(&path).unwrap();
            let mut xattrs = Vec::new();
            if at::kind_of(&attr.stat) != libc::S_IFLNK {
                for name in self.layers.list_xattr(number).unwrap() {
                    xattrs.push((name.clone(), self.layers.get_xattr(number, &name).unwrap().unwrap()));
                }
            }
            let body = self.tree().remove(&path).unwrap();
            objects.push((path, attr.stat, xattrs, body));
        }
        describe_whole(objects)
    }

    /// Every object of the view.
    pub(crate) fn tree(&self) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        let mut waiting = vec![String::new()];
        while let Some(dir) = waiting.pop() {
            for name in self.names(&dir).unwrap() {
                let path = if dir.is_empty() {
                    name.to_str().unwrap().into()
                } else {
                    format!("{dir}/{}", name.to_str().unwrap())
                };
                let stat = self.stat(&path).unwrap().stat;
                let body = match at::kind_of(&stat) {
                    libc::S_IFREG => String::from_utf8_lossy(&self.read(&path).unwrap()).into_owned(),
                    libc::S_IFLNK => {
                        self.layers.readlink(self.hold(&path).unwrap()).unwrap().to_string_lossy().into_owned()
                    }
                    _ => String::new(),
                };
                let nlink = if at::is_dir(&stat) { 0 } else { stat.st_nlink };
                out.insert(path.clone(), describe(stat.st_mode, nlink, &body));
                if at::is_dir(&stat) {
                    waiting.push(path);
                }
            }
        }
        out
    }
}

pub(crate) fn owner() -> Owner {
    Owner { uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw() }
}

fn describe(mode: u32, nlink: u64, body: &str) -> String {
    format!("{mode:o} {nlink} {body}")
}

type Object = (String, at::Stat, Vec<(OsString, Vec<u8>)>, String);

fn describe_whole(mut objects: Vec<Object>) -> BTreeMap<String, String> {
    objects.sort_by(|a, b| a.0.cmp(&b.0));
    let mut first: std::collections::HashMap<u64, String> = std::collections::HashMap::new();
    let mut out = BTreeMap::new();
    for (path, stat, mut xattrs, body) in objects {
        xattrs.sort();
        // Fifos and links that have several names become one file each when they are copied up.
        let regular = at::kind_of(&stat) == libc::S_IFREG;
        let one = if regular { first.entry(stat.st_ino).or_insert_with(|| path.clone()).clone() } else { path.clone() };
        let body = body.splitn(3, ' ').nth(2).unwrap_or_default().to_owned();
        let times = (stat.st_mtime, stat.st_mtime_nsec);
        let told = format!("{:o} {}:{} {times:?} ={one} {xattrs:?} {body}", stat.st_mode, stat.st_uid, stat.st_gid);
        out.insert(path, told);
    }
    out
}

/// Every object of a native directory, as [`View::whole_tree`] tells it.
pub(crate) fn native_whole_tree(root: &Path) -> BTreeMap<String, String> {
    let dir = at::open_root(root).unwrap();
    let object = |(path, body): (String, String)| {
        let rel = PathBuf::from(&path);
        let (parent, name) = at::split(&rel).unwrap();
        let parent = at::open_beneath(&dir, parent).unwrap();
        let stat = at::stat(&parent, name).unwrap();
        let mut xattrs = crate::fs::xattr::all_foreign(&parent, name).unwrap();
        xattrs.retain(|(name, _)| crate::fs::xattr::is_visible(name));
        (path, stat, xattrs, body)
    };
    describe_whole(native_tree(root).into_iter().map(object).collect())
}

/// Every object of a native directory, as [`View::tree`] tells it.
pub(crate) fn native_tree(root: &Path) -> BTreeMap<String, String> {
    use std::os::unix::fs::MetadataExt as _;
    let mut out = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = std::fs::symlink_metadata(&path).unwrap();
            let body = if meta.is_file() {
                String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()
            } else if meta.is_symlink() {
                std::fs::read_link(&path).unwrap().to_str().unwrap().into()
            } else {
                String::new()
            };
            let nlink = if meta.is_dir() { 0 } else { meta.nlink() };
            let rel = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            out.insert(rel, describe(meta.mode(), nlink, &body));
            if meta.is_dir() {
                waiting.push(path);
            }
        }
    }
    out
}

/// Every object of a native directory with all that undo restores: inode, mode, owner, links, time, attributes, content.
/// The inode numbers are left out with `inodes` false, as they must be across file systems.
pub(crate) fn whole_tree(root: &Path, inodes: bool) -> BTreeMap<String, String> {
    use std::os::unix::fs::MetadataExt as _;
    let mut out = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let meta = std::fs::symlink_metadata(&path).unwrap();
        let parent = at::open_root(path.parent().unwrap()).unwrap();
        let xattrs = crate::fs::xattr::all_known(&parent, path.file_name().unwrap()).unwrap();
        let body = if meta.is_file() {
            std::fs::read(&path).unwrap()
        } else if meta.is_symlink() {
            std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else {
            Vec::new()
        };
        let nlink = if meta.is_dir() { 0 } else { meta.nlink() };
        let ino = if inodes { meta.ino() } else { 0 };
        let line = format!(
            "{ino} {:o} {}:{} {nlink} {}.{} {xattrs:?} {}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.mtime(),
            meta.mtime_nsec(),
            String::from_utf8_lossy(&body)
        );
        if meta.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        out.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), line);
    }
    out
}
