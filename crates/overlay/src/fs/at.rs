//! File-system calls relative to an open directory; none of them follows a symbolic link in what it is given.

use nix::NixPath as _;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, RenameFlags, ResolveFlag};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// `struct stat` of stat(2).
pub(crate) type Stat = FileStat;

/// The directory itself, as an entry name.
pub(crate) fn dot() -> &'static OsStr {
    OsStr::new(".")
}

/// `S_IFMT` bits of `st_mode`.
pub(crate) fn kind_of(stat: &Stat) -> u32 {
    stat.st_mode & libc::S_IFMT
}

/// Whether it is a directory.
pub(crate) fn is_dir(stat: &Stat) -> bool {
    kind_of(stat) == libc::S_IFDIR
}

/// Whether it is a whiteout: a character device 0:0, as kernel overlayfs has it.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    kind_of(stat) == libc::S_IFCHR && stat.st_rdev == 0
}

/// fstatat(2) with `AT_SYMLINK_NOFOLLOW`. [`dot`] is the directory itself, here and in all that changes attributes: asked
/// for by that name, the kernel wants the right to search it, which `chmod 000` takes.
pub(crate) fn stat(dir: impl AsFd, name: &OsStr) -> Result<Stat, Errno> {
    if name == dot() {
        return nix::sys::stat::fstat(dir);
    }
    nix::sys::stat::fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

/// [`stat`], with `None` for what is not there.
pub(crate) fn stat_opt(dir: impl AsFd, name: &OsStr) -> Result<Option<Stat>, Errno> {
    match stat(dir, name) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Opens a directory as a handle for further calls (`O_PATH`).
pub(crate) fn open_dir(dir: impl AsFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    nix::fcntl::openat(dir, name, flags, Mode::empty())
}

/// Opens an absolute host path as a directory handle. Links in it are followed: it names a root the user chose.
pub(crate) fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::openat(AT_FDCWD, path, flags, Mode::empty())
}

/// A path longer than this is opened in pieces, since the kernel takes `PATH_MAX` (4096) bytes at once.
const PIECE_BYTES_MAX: usize = 3_500;

/// Opens the directory `rel` below `root` with openat2(2): beneath, no symbolic links, no magic links.
pub(crate) fn open_beneath(root: impl AsFd, rel: &Path) -> Result<OwnedFd, Errno> {
    let mut at: Option<OwnedFd> = None;
    for piece in pieces(rel) {
        let next = match &at {
            Some(dir) => open_piece(dir, &piece)?,
            None => open_piece(&root, &piece)?,
        };
        at = Some(next);
    }
    match at {
        Some(dir) => Ok(dir),
        None => open_dir(root, dot()),
    }
}

fn open_piece(dir: impl AsFd, rel: &Path) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    loop {
        match nix::fcntl::openat2(&dir, rel, how) {
            // The kernel asks for another try when a rename raced with the walk (openat2(2)).
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // In a jar: where its arguments lie no filter can look, so there it does not exist.
            Err(Errno::ENOSYS) => return walk_to(dir, rel),
            other => return other,
        }
    }
}

/// What openat2(2) does in [`open_piece`], a name at a time, and never up.
fn walk_to(dir: impl AsFd, rel: &Path) -> Result<OwnedFd, Errno> {
    let mut at: Option<OwnedFd> = None;
    for part in rel.components() {
        let Component::Normal(name) = part else { return Err(Errno::EXDEV) };
        at = Some(match &at {
            Some(dir) => open_dir(dir, name)?,
            None => open_dir(&dir, name)?,
        });
    }
    at.ok_or(Errno::ENOENT)
}

fn pieces(rel: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut piece = PathBuf::new();
    for part in rel.components() {
        if piece.as_os_str().len() + part.as_os_str().len() > PIECE_BYTES_MAX {
            out.push(std::mem::take(&mut piece));
        }
        piece.push(part);
    }
    if !piece.as_os_str().is_empty() {
        out.push(piece);
    }
    out
}

/// Opens a file for data. Never blocks on a fifo and never follows a link. [`dot`] is what `dir` itself is open on, also
/// when that is no directory.
pub(crate) fn open_file(dir: impl AsFd, name: &OsStr, flags: OFlag, mode: u32) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mode = Mode::from_bits_truncate(mode & 0o7777);
    if name == dot() {
        return nix::fcntl::openat(AT_FDCWD, magic_link(dir).as_str(), flags, mode);
    }
    nix::fcntl::openat(dir, name, flags | OFlag::O_NOFOLLOW, mode)
}

/// A handle (`O_PATH`) that keeps an object reachable when its last name goes.
pub(crate) fn hold(dir: impl AsFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    nix::fcntl::openat(dir, name, flags, Mode::empty())
}

/// Opens an upper file for data even when its mode forbids it to us: an owner may hold a descriptor that was opened
/// before, as git does with its read-only objects. The mode is put back before this returns.
pub(crate) fn open_own(dir: impl AsFd, name: &OsStr, flags: OFlag) -> Result<OwnedFd, Errno> {
    match open_file(&dir, name, flags, 0) {
        Err(Errno::EACCES) => {}
        other => return other,
    }
    let mode = stat(&dir, name)?.st_mode & 0o7777;
    chmod(&dir, name, mode | 0o600)?;
    let opened = open_file(&dir, name, flags, 0);
    chmod(&dir, name, mode)?;
    opened
}

/// Runs `op`; when the modes of the directories `dirs` forbid it to us, once more with their owner's rights added.
/// Upper directories are ours, and the child's own rights were checked by the kernel before we were asked.
pub(crate) fn forced<T>(dirs: &[&OwnedFd], op: impl Fn() -> Result<T, Errno>) -> Result<T, Errno> {
    match op() {
        Err(Errno::EACCES) => {}
        other => return other,
    }
    let mut saved = Vec::new();
    for dir in dirs {
        let mode = nix::sys::stat::fstat(dir)?.st_mode & 0o7777;
        chmod_open(dir, mode | 0o700)?;
        saved.push((dir, mode));
    }
    let result = op();
    for (dir, mode) in saved.into_iter().rev() {
        chmod_open(dir, mode)?;
    }
    result
}

/// chmod(2) of an `O_PATH` descriptor, by its magic link.
pub(crate) fn chmod_open(fd: impl AsFd, mode: u32) -> Result<(), Errno> {
    let path = magic_link(fd);
    nix::sys::stat::fchmodat(AT_FDCWD, path.as_str(), Mode::from_bits_truncate(mode), FchmodatFlags::FollowSymlink)
}

/// A path to what `fd` is open on, for calls that take no `O_PATH` descriptor.
pub(crate) fn magic_link(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// chmod(2) that refuses a symbolic link.
pub(crate) fn chmod(dir: impl AsFd, name: &OsStr, mode: u32) -> Result<(), Errno> {
    if name == dot() {
        return chmod_open(dir, mode & 0o7777);
    }
    let in_one_call = name.with_nix_path(|name| crate::sys::fchmodat2(&dir, name, mode & 0o7777))?;
    if in_one_call != Err(Errno::ENOSYS) {
        return in_one_call;
    }
    nix::sys::stat::fchmodat(dir, name, Mode::from_bits_truncate(mode & 0o7777), FchmodatFlags::NoFollowSymlink)
}

/// chown(2) of the name itself.
pub(crate) fn chown(dir: impl AsFd, name: &OsStr, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
    let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
    match name == dot() {
        true => nix::unistd::fchownat(dir, "", uid, gid, AtFlags::AT_EMPTY_PATH),
        false => nix::unistd::fchownat(dir, name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW),
    }
}

/// utimensat(2) of the name itself.
pub(crate) fn set_times(dir: impl AsFd, name: &OsStr, atime: TimeSpec, mtime: TimeSpec) -> Result<(), Errno> {
    if name == dot() {
        let path = magic_link(&dir);
        return nix::sys::stat::utimensat(AT_FDCWD, path.as_str(), &atime, &mtime, UtimensatFlags::FollowSymlink);
    }
    nix::sys::stat::utimensat(dir, name, &atime, &mtime, UtimensatFlags::NoFollowSymlink)
}

/// Gives `dir/name` the access and modification times in `stat`.
pub(crate) fn copy_times(dir: impl AsFd, name: &OsStr, stat: &Stat) -> Result<(), Errno> {
    let atime = TimeSpec::new(stat.st_atime, stat.st_atime_nsec);
    set_times(dir, name, atime, TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec))
}

/// mkdirat(2).
pub(crate) fn mkdir(dir: impl AsFd, name: &OsStr, mode: u32) -> Result<(), Errno> {
    nix::sys::stat::mkdirat(dir, name, Mode::from_bits_truncate(mode & 0o7777))
}

/// mknodat(2) of a whiteout; since Linux 5.8 that needs no privilege.
pub(crate) fn mknod_whiteout(dir: impl AsFd, name: &OsStr) -> Result<(), Errno> {
    nix::sys::stat::mknodat(dir, name, SFlag::S_IFCHR, Mode::empty(), 0)
}

/// mknodat(2) of a regular file, fifo or socket.
pub(crate) fn mknod(dir: impl AsFd, name: &OsStr, mode: u32) -> Result<(), Errno> {
    let kind = SFlag::from_bits_truncate(mode & libc::S_IFMT);
    nix::sys::stat::mknodat(dir, name, kind, Mode::from_bits_truncate(mode & 0o7777), 0)
}

/// renameat2(2).
pub(crate) fn rename(
    from: impl AsFd,
    from_name: &OsStr,
    to: impl AsFd,
    to_name: &OsStr,
    flags: RenameFlags,
) -> Result<(), Errno> {
    nix::fcntl::renameat2(from, from_name, to, to_name, flags)
}

/// linkat(2) of the name itself.
pub(crate) fn link(from: impl AsFd, from_name: &OsStr, to: impl AsFd, to_name: &OsStr) -> Result<(), Errno> {
    nix::unistd::linkat(from, from_name, to, to_name, AtFlags::empty())
}

/// unlinkat(2) of anything but a directory.
pub(crate) fn unlink(dir: impl AsFd, name: &OsStr) -> Result<(), Errno> {
    nix::unistd::unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)
}

/// [`unlink`] of what may be gone already.
pub(crate) fn unlink_opt(dir: impl AsFd, name: &OsStr) -> Result<(), Errno> {
    match unlink(dir, name) {
        Err(Errno::ENOENT) => Ok(()),
        other => other,
    }
}

/// unlinkat(2) with `AT_REMOVEDIR`.
pub(crate) fn rmdir(dir: impl AsFd, name: &OsStr) -> Result<(), Errno> {
    nix::unistd::unlinkat(dir, name, UnlinkatFlags::RemoveDir)
}

/// readlinkat(2).
pub(crate) fn readlink(dir: impl AsFd, name: &OsStr) -> Result<OsString, Errno> {
    nix::fcntl::readlinkat(dir, name)
}

/// One name in a directory.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: OsString,
    /// `S_IFMT` bits; 0 where the file system does not tell.
    pub(crate) kind: u32,
    pub(crate) ino: u64,
}

/// The names in a directory, without `.` and `..`, in the order of the file system.
pub(crate) fn list(dir: impl AsFd) -> Result<Vec<Entry>, Errno> {
    let mut found = Vec::new();
    each(dir, |entry| {
        found.push(entry);
        Ok(true)
    })?;
    Ok(found)
}

/// Hands the names of [`list`] over one by one, for as long as `go_on` says so.
pub(crate) fn each(dir: impl AsFd, mut go_on: impl FnMut(Entry) -> Result<bool, Errno>) -> Result<(), Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut stream = Dir::from_fd(nix::fcntl::openat(dir, ".", flags, Mode::empty())?)?;
    for entry in stream.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            let kind = entry.file_type().map_or(0, kind_of_type);
            if !go_on(Entry { name: OsStr::from_bytes(name).to_owned(), kind, ino: entry.ino() })? {
                break;
            }
        }
    }
    Ok(())
}

/// [`list`] of an upper directory, whatever its mode.
pub(crate) fn list_own(dir: &OwnedFd) -> Result<Vec<Entry>, Errno> {
    forced(&[dir], || list(dir))
}

fn kind_of_type(kind: nix::dir::Type) -> u32 {
    use nix::dir::Type;
    match kind {
        Type::Fifo => libc::S_IFIFO,
        Type::CharacterDevice => libc::S_IFCHR,
        Type::Directory => libc::S_IFDIR,
        Type::BlockDevice => libc::S_IFBLK,
        Type::File => libc::S_IFREG,
        Type::Symlink => libc::S_IFLNK,
        Type::Socket => libc::S_IFSOCK,
    }
}

/// Splits a relative path into the directory and the last name; `None` for the root itself.
pub(crate) fn split(rel: &Path) -> Option<(&Path, &OsStr)> {
    Some((rel.parent()?, rel.file_name()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_ends_where_openat2_does() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(base.path().join("a/b")).unwrap();
        std::fs::write(base.path().join("a/file"), "").unwrap();
        std::os::unix::fs::symlink("a", base.path().join("link")).unwrap();
        let root = open_root(base.path()).unwrap();
        for rel in ["a", "a/b", "a/b/none", "a/file", "link", "link/b", "../x", "/etc", ""] {
            let ino = |opened: Result<OwnedFd, Errno>| opened.map(|fd| nix::sys::stat::fstat(fd).unwrap().st_ino);
            let (walked, opened) = (ino(walk_to(&root, Path::new(rel))), ino(open_piece(&root, Path::new(rel))));
            assert_eq!(walked.ok(), opened.ok(), "{rel}");
        }
        // Nobody asks for a way up, and the walk knows none.
        assert_eq!(walk_to(&root, Path::new("a/../a")).err(), Some(Errno::EXDEV));
    }

    #[test]
    fn long_paths_are_cut_into_pieces_that_join_again() {
        let long: PathBuf = std::iter::repeat_n("d".repeat(200), 40).collect();
        let parts = pieces(&long);
        assert!(parts.len() > 1 && parts.iter().all(|p| p.as_os_str().len() <= PIECE_BYTES_MAX + 201));
        assert_eq!(parts.iter().collect::<PathBuf>(), long);
        assert!(pieces(Path::new("")).is_empty());
    }
}
