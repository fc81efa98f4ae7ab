//! The few facts about the host that a plan depends on: cheap enough to gather at every start.

use crate::around::{self, Around};
use crate::error::SandboxError;
use model::FilePath;
use nix::fcntl::{OFlag, readlink};
use nix::sys::stat::{SFlag, fstat, lstat};
use nix::unistd::{getegid, geteuid, isatty};
use std::os::fd::BorrowedFd;

/// Places of every distribution that the jar replaces where they exist as directories of their own.
const PLACES: &[&str] = &["/home", "/root", "/tmp", "/var/tmp", "/run", "/var/run"];

/// One line of user_namespaces(7) `uid_map`: `count` ids from `first` on, the same inside and outside of the jar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct IdRange {
    /// First id.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// What a plan may know about the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFacts {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// All user ids of this namespace; only of interest to uid 0, empty otherwise.
    pub uids: Vec<IdRange>,
    /// All group ids of this namespace; only of interest to uid 0, empty otherwise.
    pub gids: Vec<IdRange>,
    /// Which of the usual places (`/home`, `/tmp` ...) are directories here.
    pub places: Vec<FilePath>,
    /// The terminal among standard input, output and error.
    pub terminal: Option<FilePath>,
    /// What `/etc/resolv.conf` is a link to, if that lies below `/run`.
    pub resolver: Option<FilePath>,
    /// The name of this machine, which is its own name in the jar too.
    pub hostname: String,
    /// Where servers of the host listen on unix sockets, and some did before.
    pub sockets: Vec<FilePath>,
    /// The version of landlock(7); 0 where there is none.
    pub landlock: u32,
    /// What keeps the number of processes already: a control group that the jar was put in.
    pub group: Option<&'static str>,
    /// The jar this process is in, if it is in one.
    pub around: Option<Around>,
}

impl RunFacts {
    /// Looks: a dozen system calls, no process.
    ///
    /// # Errors
    /// When this process is in a jar that allows none inside, a standard descriptor is a directory (its `..` would lead
    /// out of the jar), or proc(5) cannot be read.
    pub fn gather() -> Result<RunFacts, SandboxError> {
        let around = match around::place() {
            around::Place::Host => None,
            around::Place::Open(around) => Some(around),
            around::Place::Closed => return Err(SandboxError::Nested),
        };
        let uid = geteuid().as_raw();
        let ranges = |file: &str| {
            if uid == 0 { id_ranges(file) } else { Ok(Vec::new()) }
        };
        Ok(RunFacts {
            uid,
            gid: getegid().as_raw(),
            uids: ranges("/proc/self/uid_map")?,
            gids: ranges("/proc/self/gid_map")?,
            places: PLACES.iter().filter(|place| is_directory(place)).map(|place| FilePath::from(*place)).collect(),
            terminal: standard_descriptors()?,
            resolver: resolver(),
            hostname: hostname(),
            sockets: sockets(),
            group: None,
            landlock: crate::sys::landlock_abi().unwrap_or(0),
            around,
        })
    }
}

fn id_ranges(file: &str) -> Result<Vec<IdRange>, SandboxError> {
    let text = std::fs::read_to_string(file).map_err(|source| SandboxError::ProcSelf { file: file.into(), source })?;
    Ok(parse_id_map(&text))
}

/// The ids that exist in this namespace, by their numbers here: first and third column of user_namespaces(7).
fn parse_id_map(text: &str) -> Vec<IdRange> {
    let number = |word: Option<&str>| word.and_then(|word| word.parse::<u32>().ok());
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let first = number(words.next())?;
            words.next()?;
            Some(IdRange { first, count: number(words.next())? })
        })
        .collect()
}

/// Those that are there: the names of the table may be those of another mount namespace, where something else has them.
fn sockets() -> Vec<FilePath> {
    let mut paths = std::fs::read("/proc/net/unix").map(|table| parse_sockets(&table)).unwrap_or_default();
    paths.retain(|path| lstat(path.as_path()).is_ok_and(|stat| kind(stat.st_mode) == SFlag::S_IFSOCK));
    paths
}

/// The paths in the table of unix(7), each once. The path is the eighth column and may hold anything but a newline.
fn parse_sockets(table: &[u8]) -> Vec<FilePath> {
    const PATH: usize = 7;
    let path = |line: &[u8]| {
        let mut rest = line;
        for _ in 0..PATH {
            rest = rest.trim_ascii_start();
            rest = rest.get(rest.iter().position(u8::is_ascii_whitespace)?..)?;
        }
        let path = FilePath::from(rest.get(1..)?.to_vec());
        path.is_absolute().then(|| path.normalise())
    };
    let mut paths: Vec<FilePath> = table.split(|byte| *byte == b'\n').filter_map(path).collect();
    paths.sort();
    paths.dedup();
    paths
}

fn is_directory(path: &str) -> bool {
    lstat(path).is_ok_and(|stat| kind(stat.st_mode) == SFlag::S_IFDIR)
}

fn kind(mode: u32) -> SFlag {
    SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits())
}

/// The path of the terminal among descriptors 0 to 2, after checking that none of them is a directory: through
/// `/proc/self/fd/0/..` it would show the host's tree, uncovered.
fn standard_descriptors() -> Result<Option<FilePath>, SandboxError> {
    let mut terminal = None;
    for number in 0..=2 {
        let Some(fd) = standard(number) else { continue };
        let Ok(stat) = fstat(fd) else { continue };
        match kind(stat.st_mode) {
            SFlag::S_IFDIR => return Err(SandboxError::DirectoryDescriptor { number }),
            SFlag::S_IFCHR if terminal.is_none() && isatty(fd).unwrap_or(false) => {
                terminal = readlink(format!("/proc/self/fd/{number}").as_str()).ok().map(FilePath::new);
            }
            _ => {}
        }
    }
    Ok(terminal.filter(|path| path.is_absolute()))
}

/// One of the standard descriptors, borrowed for as long as the process lives: nothing here ever closes them.
pub(crate) fn standard(number: i32) -> Option<BorrowedFd<'static>> {
    let fd = crate::sys::standard_descriptor(number)?;
    nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFD).ok().map(|_| fd)
}

/// Whether a descriptor was opened for writing, as fcntl(2) F_GETFL tells.
pub(crate) fn writes(fd: BorrowedFd<'_>) -> bool {
    let flags = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFL).map(OFlag::from_bits_truncate);
    flags.is_ok_and(|flags| matches!(flags & OFlag::O_ACCMODE, OFlag::O_WRONLY | OFlag::O_RDWR))
}

/// Empty where it cannot be read: the jar's `/etc/hosts` then does not name it.
fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_ascii_lowercase();
    if model::network::is_name(&name) { name } else { String::new() }
}

fn resolver() -> Option<FilePath> {
    readlink("/etc/resolv.conf").ok()?;
    let target = std::fs::canonicalize("/etc/resolv.conf").ok().map(FilePath::from)?;
    target.starts_with(&FilePath::from("/run")).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_maps_keep_the_numbers_of_this_namespace() {
        let text = "         0       1000          1\n         1     100000      65536\n";
        let ranges = [IdRange { first: 0, count: 1 }, IdRange { first: 1, count: 65536 }];
        assert_eq!(parse_id_map(text), ranges);
    }

    #[test]
    fn sockets_are_taken_by_path_and_abstract_ones_are_not() {
        let table = b"Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 21131 /srv/app.sock
0000000000000000: 00000002 00000000 00010000 0001 01 21132 /opt/my app/a.sock
0000000000000000: 00000003 00000000 00000000 0001 03 21133 /srv/app.sock
0000000000000000: 00000002 00000000 00010000 0001 01 21134 @abstract
0000000000000000: 00000002 00000000 00010000 0001 01 21135 relative.sock
0000000000000000: 00000003 00000000 00000000 0001 03 21136
";
        assert_eq!(parse_sockets(table), [FilePath::from("/opt/my app/a.sock"), FilePath::from("/srv/app.sock")]);
    }
}
