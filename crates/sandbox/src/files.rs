//! The file watch: which paths the command tries to write outside of what it may, or to read where they are hidden. It
//! judges by names, as the caller gave them, before the call is made: links on the way are not followed, so it can miss an
//! attempt and cannot make one succeed. What refuses is the view.

use crate::view;
use libc::*;
use model::{Action, FilePath, Hidden};
use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use std::io::IoSliceMut;

/// `PATH_MAX`: no call takes a longer path.
const PATH_BYTES_MAX: usize = 4096;
const PAGE_BYTES: usize = 4096;

/// One path that a call names.
#[derive(Clone, Copy, Debug)]
struct Named {
    call: c_long,
    /// The argument that is the directory it starts in; `None` for the working directory.
    dir: Option<usize>,
    /// The argument that is the path.
    path: usize,
    does: Does,
}

/// What a call does to the path.
#[derive(Clone, Copy, Debug)]
enum Does {
    This(Action),
    /// What the flags in this argument say, as open(2) reads them.
    Open(usize),
}

const fn at(call: c_long, dir: usize, path: usize, action: Action) -> Named {
    Named { call, dir: Some(dir), path, does: Does::This(action) }
}

#[cfg(target_arch = "x86_64")]
const fn here(call: c_long, path: usize, action: Action) -> Named {
    Named { call, dir: None, path, does: Does::This(action) }
}

/// fchmodat2(2), which libc does not name everywhere.
const FCHMODAT2: c_long = 452;

/// Calls that name files; those with two paths stand here twice.
const NAMED: &[Named] = &[
    Named { call: SYS_openat, dir: Some(0), path: 1, does: Does::Open(2) },
    at(SYS_mkdirat, 0, 1, Action::Create),
    at(SYS_mknodat, 0, 1, Action::Create),
    at(SYS_symlinkat, 1, 2, Action::Create),
    at(SYS_linkat, 2, 3, Action::Create),
    at(SYS_unlinkat, 0, 1, Action::Delete),
    at(SYS_renameat2, 0, 1, Action::Rename),
    at(SYS_renameat2, 2, 3, Action::Create),
    at(SYS_fchmodat, 0, 1, Action::Attributes),
    at(FCHMODAT2, 0, 1, Action::Attributes),
    at(SYS_fchownat, 0, 1, Action::Attributes),
    at(SYS_utimensat, 0, 1, Action::Attributes),
    Named { call: SYS_truncate, dir: None, path: 0, does: Does::This(Action::Write) },
    #[cfg(target_arch = "x86_64")]
    Named { call: SYS_open, dir: None, path: 0, does: Does::Open(1) },
    #[cfg(target_arch = "x86_64")]
    here(SYS_creat, 0, Action::Write),
    #[cfg(target_arch = "x86_64")]
    here(SYS_mkdir, 0, Action::Create),
    #[cfg(target_arch = "x86_64")]
    here(SYS_mknod, 0, Action::Create),
    #[cfg(target_arch = "x86_64")]
    here(SYS_symlink, 1, Action::Create),
    #[cfg(target_arch = "x86_64")]
    here(SYS_link, 1, Action::Create),
    #[cfg(target_arch = "x86_64")]
    here(SYS_unlink, 0, Action::Delete),
    #[cfg(target_arch = "x86_64")]
    here(SYS_rmdir, 0, Action::Delete),
    #[cfg(target_arch = "x86_64")]
    here(SYS_rename, 0, Action::Rename),
    #[cfg(target_arch = "x86_64")]
    here(SYS_rename, 1, Action::Create),
    #[cfg(target_arch = "x86_64")]
    at(SYS_renameat, 0, 1, Action::Rename),
    #[cfg(target_arch = "x86_64")]
    at(SYS_renameat, 2, 3, Action::Create),
    #[cfg(target_arch = "x86_64")]
    here(SYS_chmod, 0, Action::Attributes),
    #[cfg(target_arch = "x86_64")]
    here(SYS_chown, 0, Action::Attributes),
    #[cfg(target_arch = "x86_64")]
    here(SYS_lchown, 0, Action::Attributes),
];

/// The numbers of all calls that are watched for their paths, each once.
pub(crate) fn calls() -> Vec<c_long> {
    let mut calls: Vec<c_long> = NAMED.iter().map(|named| named.call).collect();
    calls.sort_unstable();
    calls.dedup();
    calls
}

/// The rule that refuses writing outside of the writable roots.
pub(crate) const READ_ONLY: &str = "files/read-only";

/// What of the view is writable, and what is hidden.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounds {
    /// Writable roots.
    pub(crate) roots: Vec<FilePath>,
    /// The user's home, which is shown as it is where it lies in a private place.
    pub(crate) home: Option<FilePath>,
    /// Hidden paths.
    pub(crate) hidden: Vec<Hidden>,
}

impl Bounds {
    /// The rule that refuses an action on a path, if one does.
    fn refuses(&self, path: &FilePath, action: Action) -> Option<String> {
        if self.roots.iter().any(|root| path.starts_with(root)) {
            // What is hidden there, whoever serves the root tells.
            return None;
        }
        if let Some(hidden) = self
            .hidden
            .iter()
            .filter(|hidden| path.starts_with(&hidden.path))
            .max_by_key(|hidden| hidden.path.as_bytes().len())
        {
            return Some(hidden.rule.clone());
        }
        let private = view::PRIVATE.iter().copied().chain(["/var/run"]);
        let mut private = private.filter(|place| path.as_path().starts_with(place));
        let in_home = self.home.as_ref().is_some_and(|home| path.starts_with(home));
        (action != Action::Read && (in_home || private.next().is_none())).then(|| READ_ONLY.to_owned())
    }
}

/// What a caught call tries that will be refused: each path with the rule.
pub(crate) fn refused(event: &seccomp_notif, bounds: &Bounds) -> Vec<(Action, FilePath, String)> {
    let call = c_long::from(event.data.nr);
    let mut found = Vec::new();
    for named in NAMED.iter().filter(|named| named.call == call) {
        let Some(action) = action(named.does, &event.data.args) else { continue };
        let Some(path) = path(event, named) else { continue };
        if let Some(rule) = bounds.refuses(&path, action)
            && (rule != READ_ONLY || would_be_done(&path, action))
        {
            found.push((action, path, rule));
        }
    }
    found
}

/// Whether it would be done if it were not refused: programs try to make directories that are there, and to remove what is
/// not, and hear that, with or without a jar.
fn would_be_done(path: &FilePath, action: Action) -> bool {
    let is_there = |path: &FilePath| path.as_path().symlink_metadata().is_ok();
    let has_place = || path.parent().is_some_and(|dir| is_there(&dir));
    match action {
        Action::Create => !is_there(path) && has_place(),
        Action::Write => has_place(),
        _ => is_there(path),
    }
}

fn argument(args: &[u64; 6], index: usize) -> Option<u64> {
    args.get(index).copied()
}

/// `None` for what neither reads nor writes.
fn action(does: Does, args: &[u64; 6]) -> Option<Action> {
    match does {
        Does::This(action) => Some(action),
        Does::Open(index) => {
            // The kernel looks at the low half.
            let flags = u32::try_from(argument(args, index)? & 0xffff_ffff).ok()?.cast_signed();
            let writes = matches!(flags & O_ACCMODE, O_WRONLY | O_RDWR) || flags & O_TRUNC != 0;
            Some(if writes { Action::Write } else { Action::Read })
        }
    }
}

/// The path a call names, whole and in its plain form.
fn path(event: &seccomp_notif, named: &Named) -> Option<FilePath> {
    let given = FilePath::from(text(event.pid, argument(&event.data.args, named.path)?)?);
    if given.as_bytes().is_empty() {
        return None;
    }
    if given.is_absolute() {
        return Some(given.normalise());
    }
    let base = match named.dir {
        None => format!("/proc/{}/cwd", event.pid),
        Some(index) => {
            let fd = u32::try_from(argument(&event.data.args, index)? & 0xffff_ffff).ok()?.cast_signed();
            if fd == AT_FDCWD { format!("/proc/{}/cwd", event.pid) } else { format!("/proc/{}/fd/{fd}", event.pid) }
        }
    };
    let base = FilePath::new(nix::fcntl::readlink(base.as_str()).ok()?);
    base.is_absolute().then(|| base.join(given.as_os_str()).normalise())
}

/// A text that ends in NUL in another process's memory; read page by page, since the next one may not be there.
fn text(pid: u32, address: u64) -> Option<Vec<u8>> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?);
    let mut base = usize::try_from(address).ok()?;
    let mut out = Vec::new();
    while out.len() < PATH_BYTES_MAX {
        let length = PAGE_BYTES - base % PAGE_BYTES;
        let mut bytes = vec![0u8; length];
        let got: Result<usize, Errno> =
            process_vm_readv(pid, &mut [IoSliceMut::new(&mut bytes)], &[RemoteIoVec { base, len: length }]);
        bytes.truncate(got.ok()?);
        if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
            out.extend(bytes.iter().take(end));
            return Some(out);
        }
        base = base.checked_add(bytes.len())?;
        out.append(&mut bytes);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        let hidden = |path: &str, rule: &str| Hidden { path: path.into(), rule: rule.into() };
        Bounds {
            roots: vec!["/tmp/home/w".into()],
            home: Some("/tmp/home".into()),
            hidden: vec![hidden("/tmp/home", "profile/home"), hidden("/tmp/home/.ssh", "secrets/ssh")],
        }
    }

    #[test]
    fn what_is_refused_is_what_the_view_refuses() {
        let all = bounds();
        let shown = Bounds { hidden: vec![], ..bounds() };
        for (bounds, path, action, rule) in [
            (&all, "/tmp/home/w/x", Action::Write, None),
            (&all, "/tmp/home/.ssh/id", Action::Read, Some("secrets/ssh")),
            (&all, "/tmp/home/x", Action::Read, Some("profile/home")),
            (&all, "/etc/passwd", Action::Read, None),
            (&all, "/etc/passwd", Action::Write, Some(READ_ONLY)),
            (&all, "/tmp/x", Action::Write, None),
            (&all, "/dev/null", Action::Write, None),
            (&all, "/var/run/x", Action::Delete, None),
            (&shown, "/tmp/home/x", Action::Write, Some(READ_ONLY)),
            (&shown, "/tmp/home/x", Action::Read, None),
        ] {
            assert_eq!(bounds.refuses(&path.into(), action).as_deref(), rule, "{path} {action}");
        }
    }

    #[test]
    fn a_text_is_read_up_to_its_end_and_never_past_a_page_that_is_not_there() {
        let pid = std::process::id();
        let text = |bytes: &[u8]| super::text(pid, bytes.as_ptr() as u64);
        assert_eq!(text(b"/etc/passwd\0rest").as_deref(), Some(b"/etc/passwd".as_slice()));
        assert_eq!(text(&[b'a'; 3 * PATH_BYTES_MAX]), None);
        assert_eq!(super::text(pid, 8), None);
    }

    #[test]
    fn what_would_not_be_done_anyway_is_no_attempt() {
        let done = |path: &str, action| would_be_done(&path.into(), action);
        assert!(done("/usr/absent", Action::Create) && done("/usr/absent", Action::Write));
        assert!(done("/usr/bin", Action::Delete) && done("/usr/bin", Action::Attributes));
        assert!(
            !done("/usr", Action::Create) && !done("/absent/x", Action::Create) && !done("/absent/x", Action::Write)
        );
        assert!(!done("/usr/absent", Action::Delete) && !done("/usr/absent", Action::Rename));
    }

    #[test]
    fn flags_say_what_an_open_does() {
        let open = |flags: c_int| action(Does::Open(1), &[0, u64::from(flags.cast_unsigned()), 0, 0, 0, 0]);
        assert_eq!(open(O_RDONLY), Some(Action::Read));
        assert_eq!(open(O_RDONLY | O_CREAT), Some(Action::Read));
        for flags in [O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_WRONLY | O_CREAT] {
            assert_eq!(open(flags), Some(Action::Write));
        }
    }
}
