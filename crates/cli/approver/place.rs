//! Where a channel may lie: on a way that only the user and root can change, and where no command of a jar writes.

use model::FilePath;
use nix::fcntl::OFlag;
use nix::unistd::Uid;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A directory that is held open: names in it are those of the directory that was looked at.
#[derive(Debug)]
pub(super) struct Held {
    dir: File,
}

impl Held {
    /// A name in it.
    pub(super) fn name(&self, name: impl AsRef<Path>) -> PathBuf {
        Path::new("/proc/self/fd").join(self.dir.as_raw_fd().to_string()).join(name)
    }
}

/// A socket in a directory that is held.
#[derive(Debug)]
pub(super) struct HeldSocket {
    dir: Held,
    name: PathBuf,
}

impl HeldSocket {
    pub(super) fn path(&self) -> PathBuf {
        self.dir.name(&self.name)
    }
}

/// Whether a user may answer.
pub(super) fn may_answer(uid: u32) -> bool {
    uid == Uid::effective().as_raw() || uid == 0
}

fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, format!("{}: {why}", FilePath::from(path)))
}

/// The socket at `path`.
pub(super) fn socket(path: &Path, reach: &[FilePath]) -> io::Result<HeldSocket> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(refused(path, "it is no path of a socket"));
    };
    let dir = held(parent, reach)?;
    let socket = HeldSocket { dir, name: name.into() };
    let meta = socket.path().symlink_metadata()?;
    if !meta.file_type().is_socket() {
        return Err(refused(path, "it is no socket"));
    }
    own(path, &meta)?;
    Ok(socket)
}

/// The directory at `path`, in which only its owner writes or reads.
pub(super) fn folder(path: &Path, reach: &[FilePath]) -> io::Result<Held> {
    if path.symlink_metadata()?.file_type().is_symlink() {
        return Err(refused(path, "it is a symbolic link"));
    }
    let dir = held(path, reach)?;
    let meta = dir.dir.metadata()?;
    own(path, &meta)?;
    if meta.mode() & 0o077 != 0 {
        return Err(refused(path, "others may look into it: make it 0700"));
    }
    Ok(dir)
}

/// Opens a directory, and makes sure that nobody else can put another one in its place.
fn held(path: &Path, reach: &[FilePath]) -> io::Result<Held> {
    let real = path.canonicalize()?;
    if let Some(root) = reach.iter().find(|root| real.starts_with(root.as_path())) {
        return Err(refused(path, &format!("commands may write below {root}")));
    }
    for above in real.ancestors() {
        let meta = fs::symlink_metadata(above)?;
        let sticky = meta.mode() & 0o1000 != 0 && above != real;
        if !may_answer(meta.uid()) || (meta.mode() & 0o022 != 0 && !sticky) {
            return Err(refused(above, "others may change what is in it"));
        }
    }
    let flags = (OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits();
    let dir = OpenOptions::new().read(true).custom_flags(flags).open(&real)?;
    let (opened, now) = (dir.metadata()?, fs::symlink_metadata(&real)?);
    if (opened.dev(), opened.ino()) != (now.dev(), now.ino()) {
        return Err(refused(path, "it was changed just now"));
    }
    Ok(Held { dir })
}

/// Whether something is the user's or root's, and nobody else may write to it.
pub(super) fn own(path: &Path, meta: &Metadata) -> io::Result<()> {
    if !may_answer(meta.uid()) {
        return Err(refused(path, "it belongs to somebody else"));
    }
    if meta.mode() & 0o022 != 0 {
        return Err(refused(path, "others may write to it"));
    }
    Ok(())
}
