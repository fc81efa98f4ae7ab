//! Laws: the view behaves like a native directory; apply makes the host the view; discard changes nothing.

use crate::settle::plan::Selection;
use crate::testing::{Bench, native_tree, native_whole_tree};
use nix::errno::Errno;
use nix::fcntl::RenameFlags;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// One operation on paths of a small name space, so that they meet.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Write(String, u8),
    Mkdir(String),
    Symlink(String),
    Link(String, String),
    Unlink(String),
    Rmdir(String),
    Rename(String, String, u8),
    Chmod(String, u32),
    Truncate(String, u8),
    SetXattr(String, u8),
    SetTime(String, u8),
    Mkfifo(String),
    /// The daemon ends and another one serves the same layer.
    Reopen,
}

pub(super) fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof!["a", "b", "c"], 1..=3).prop_map(|parts| parts.join("/"))
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (path(), any::<u8>()).prop_map(|(p, n)| Op::Write(p, n)),
        3 => path().prop_map(Op::Mkdir),
        1 => path().prop_map(Op::Symlink),
        2 => (path(), path()).prop_map(|(a, b)| Op::Link(a, b)),
        2 => path().prop_map(Op::Unlink),
        2 => path().prop_map(Op::Rmdir),
        5 => (path(), path(), 0..4u8).prop_map(|(a, b, f)| Op::Rename(a, b, f)),
        1 => (path(), prop_oneof![Just(0o700), Just(0o755), Just(0o640)]).prop_map(|(p, m)| Op::Chmod(p, m)),
        1 => (path(), any::<u8>()).prop_map(|(p, n)| Op::Truncate(p, n)),
        1 => (path(), any::<u8>()).prop_map(|(p, n)| Op::SetXattr(p, n)),
        1 => (path(), any::<u8>()).prop_map(|(p, n)| Op::SetTime(p, n)),
        1 => path().prop_map(Op::Mkfifo),
        1 => Just(Op::Reopen),
    ]
}

fn flags(n: u8) -> RenameFlags {
    match n {
        0 | 1 => RenameFlags::empty(),
        2 => RenameFlags::RENAME_NOREPLACE,
        _ => RenameFlags::RENAME_EXCHANGE,
    }
}

pub(super) fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap())
}

/// The operation on a native directory.
pub(super) fn native(root: &Path, op: &Op) -> Result<(), Errno> {
    let at = |path: &str| root.join(path);
    match op {
        Op::Write(p, n) => {
            match fs::symlink_metadata(at(p)) {
                Ok(meta) if !meta.is_file() && !meta.is_dir() => return Ok(()),
                _ => {}
            }
            fs::write(at(p), [*n]).map_err(errno)
        }
        Op::Mkdir(p) => fs::create_dir(at(p)).map_err(errno),
        Op::Symlink(p) => std::os::unix::fs::symlink("to", at(p)).map_err(errno),
        Op::Link(a, b) => nix::unistd::linkat(
            nix::fcntl::AT_FDCWD,
            &at(a),
            nix::fcntl::AT_FDCWD,
            &at(b),
            nix::fcntl::AtFlags::empty(),
        ),
        Op::Unlink(p) => nix::unistd::unlink(&at(p)),
        Op::Rmdir(p) => fs::remove_dir(at(p)).map_err(errno),
        Op::Rename(a, b, f) => {
            nix::fcntl::renameat2(nix::fcntl::AT_FDCWD, &at(a), nix::fcntl::AT_FDCWD, &at(b), flags(*f))
        }
        Op::Chmod(p, m) => match fs::symlink_metadata(at(p)) {
            Ok(meta) if meta.is_symlink() => Ok(()),
            Ok(_) => fs::set_permissions(at(p), fs::Permissions::from_mode(*m)).map_err(errno),
            Err(e) => Err(errno(e)),
        },
        Op::Truncate(p, n) => match fs::symlink_metadata(at(p)) {
            Ok(meta) if meta.is_file() => nix::unistd::truncate(&at(p), (*n).into()),
            Ok(_) => Ok(()),
            Err(e) => Err(errno(e)),
        },
        Op::SetXattr(p, n) => match fs::symlink_metadata(at(p)) {
            Ok(meta) if meta.is_file() || meta.is_dir() => {
                let (dir, name) = (at(p).parent().unwrap().to_owned(), at(p).file_name().unwrap().to_owned());
                let dir = crate::fs::at::open_root(&dir)?;
                crate::fs::xattr::set(&dir, &name, std::ffi::OsStr::new("user.law"), &[*n], 0)
            }
            Ok(_) => Ok(()),
            Err(e) => Err(errno(e)),
        },
        Op::SetTime(p, n) => {
            let time = nix::sys::time::TimeSpec::new(1_000_000_000 + i64::from(*n), 7);
            let flag = nix::sys::stat::UtimensatFlags::NoFollowSymlink;
            nix::sys::stat::utimensat(nix::fcntl::AT_FDCWD, &at(p), &time, &time, flag)
        }
        Op::Mkfifo(p) => nix::sys::stat::mknod(
            &at(p),
            nix::sys::stat::SFlag::S_IFIFO,
            nix::sys::stat::Mode::from_bits_truncate(0o644),
            0,
        ),
        Op::Reopen => Ok(()),
    }
}

/// The same in the view.
pub(super) fn overlaid(view: &crate::testing::View, op: &Op) -> Result<(), Errno> {
    let kind = |p: &str| view.stat(p).map(|attr| crate::fs::at::kind_of(&attr.stat));
    match op {
        Op::Write(p, n) => match kind(p) {
            Ok(libc::S_IFLNK | libc::S_IFIFO) => Ok(()),
            _ => view.write(p, &[*n]),
        },
        Op::Mkdir(p) => view.mkdir(p),
        Op::Symlink(p) => view.symlink("to", p),
        Op::Link(a, b) => view.link(a, b),
        Op::Unlink(p) => view.unlink(p),
        Op::Rmdir(p) => view.rmdir(p),
        Op::Rename(a, b, f) => view.rename(a, b, flags(*f)),
        Op::Chmod(p, m) => match kind(p)? {
            libc::S_IFLNK => Ok(()),
            _ => view.chmod(p, *m),
        },
        Op::Truncate(p, n) => match kind(p)? {
            libc::S_IFREG => {
                let changes = crate::view::setattr::Changes { size: Some((*n).into()), ..Default::default() };
                view.layers.setattr(view.hold(p)?, changes).map(drop)
            }
            _ => Ok(()),
        },
        Op::SetXattr(p, n) => match kind(p)? {
            libc::S_IFREG | libc::S_IFDIR => {
                view.layers.set_xattr(view.hold(p)?, std::ffi::OsStr::new("user.law"), &[*n], 0)
            }
            _ => Ok(()),
        },
        Op::SetTime(p, n) => {
            let time = Some(nix::sys::time::TimeSpec::new(1_000_000_000 + i64::from(*n), 7));
            let changes = crate::view::setattr::Changes { atime: time, mtime: time, ..Default::default() };
            view.layers.setattr(view.hold(p)?, changes).map(drop)
        }
        Op::Mkfifo(p) => view.mkfifo(p),
        Op::Reopen => Ok(()),
    }
}

/// The same success or the same error. Where several errors apply the kernel's path walk picks one before a file
/// system is asked, and the bench walks in another order.
fn alike(native: Result<(), Errno>, view: Result<(), Errno>) -> bool {
    native == view
}

/// Whether it would give another name to a link or pipe of the host.
pub(super) fn parts(root: &Path, op: &Op) -> bool {
    matches!(op, Op::Link(of, _) if fs::symlink_metadata(root.join(of)).is_ok_and(|meta| !meta.is_file()))
}

/// Fills a host directory and a native twin of it with the same things, without further names of links and pipes, which
/// part from each other when one is changed.
pub(super) fn furnish(roots: &[&Path], ops: &[Op]) {
    for op in ops {
        for root in roots {
            if !parts(root, op) {
                let _ = native(root, op);
            }
        }
    }
}

/// Runs `ops` on the twin and in the view; both must agree at every step.
pub(super) fn run_both(bench: &Bench, twin: &Path, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut view = bench.view();
    for op in ops {
        if matches!(op, Op::Reopen) {
            drop(view);
            view = bench.view();
            continue;
        }
        let (expected, got) = (native(twin, op), overlaid(&view, op));
        prop_assert!(alike(expected, got), "{op:?}: native {expected:?}, view {got:?}");
    }
    Ok(())
}

/// A directory in which names came and went without a trace keeps the host's time.
fn forget_untold_times(tree: &mut std::collections::BTreeMap<String, String>, changes: &[String]) {
    // `M b c` is of `b` alone: the rest says how it differs. Renames and links have another path.
    let paths = || {
        changes.iter().flat_map(|change| {
            let another = change.starts_with(['R', 'L']).then(|| change.split(' ').nth(3)).flatten();
            change.split(' ').nth(1).into_iter().chain(another)
        })
    };
    let told =
        |dir: &str| paths().any(|path| path == dir || path.rsplit_once('/').is_some_and(|(above, _)| above == dir));
    for (path, body) in tree.iter_mut().filter(|(_, body)| body.starts_with('4')) {
        if !told(path) {
            let (start, end) = (body.find('(').unwrap(), body.find(')').unwrap());
            body.replace_range(start..=end, "-");
        }
    }
}

/// Directory trees without link counts: a fresh server does not know names it never looked up.
pub(super) fn without_counts(tree: std::collections::BTreeMap<String, String>) -> Vec<(String, String)> {
    let strip = |body: String| {
        let mut parts = body.splitn(3, ' ');
        format!("{} {}", parts.next().unwrap(), parts.nth(1).unwrap())
    };
    tree.into_iter().map(|(path, body)| (path, strip(body))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn the_view_is_like_a_native_directory(before in proptest::collection::vec(op(), 0..24), ops in proptest::collection::vec(op(), 1..24)) {
        let bench = Bench::new();
        let twin = bench.dir.join("twin");
        fs::create_dir(&twin).unwrap();
        furnish(&[&bench.host(), &twin], &before);
        let host = native_tree(&bench.host());
        run_both(&bench, &twin, &ops)?;
        prop_assert_eq!(without_counts(bench.view().tree()), without_counts(native_tree(&twin)));
        prop_assert_eq!(native_tree(&bench.host()), host, "the host is untouched");
    }

    #[test]
    fn apply_makes_the_host_the_view(before in proptest::collection::vec(op(), 0..24), ops in proptest::collection::vec(op(), 1..24)) {
        let bench = Bench::new();
        let twin = bench.dir.join("twin");
        fs::create_dir(&twin).unwrap();
        furnish(&[&bench.host(), &twin], &before);
        run_both(&bench, &twin, &ops)?;
        let mut shown = bench.view().whole_tree();
        let overlay = bench.overlay();
        let plan = match overlay.plan_apply(&Selection::All) {
            Ok(plan) => plan,
            Err(e) => return Err(TestCaseError::fail(format!("{e:?} {:?}", bench.changes()))),
        };
        let changes = bench.changes();
        let applied = overlay.apply(plan).map_err(|e| TestCaseError::fail(format!("{e:?} {changes:?}")))?;
        prop_assert_eq!(applied.left, 0);
        prop_assert_eq!(without_counts(native_tree(&bench.host())), without_counts(native_tree(&twin)));
        let mut host = native_whole_tree(&bench.host());
        forget_untold_times(&mut shown, &changes);
        forget_untold_times(&mut host, &changes);
        prop_assert_eq!(host, shown, "{:?}", changes);
        prop_assert_eq!(bench.changes(), Vec::<String>::new());
    }

    #[test]
    fn a_part_applied_leaves_the_view_as_it_is(
        before in proptest::collection::vec(op(), 0..24),
        ops in proptest::collection::vec(op(), 1..24),
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let bench = Bench::new();
        let twin = bench.dir.join("twin");
        fs::create_dir(&twin).unwrap();
        furnish(&[&bench.host(), &twin], &before);
        run_both(&bench, &twin, &ops)?;
        for pick in picks {
            let changes = bench.overlay().changes().unwrap().changes;
            if changes.is_empty() {
                break;
            }
            let path = pick.get(&changes).path.clone();
            let told = bench.changes();
            let overlay = bench.overlay();
            let fail = |e: crate::ApplyError| TestCaseError::fail(format!("{path:?} {e:?} {told:?}"));
            let mut chosen = vec![path.clone()];
            let plan = loop {
                match overlay.plan_apply(&Selection::Paths(chosen.clone())) {
                    Err(crate::ApplyError::Inseparable { other, .. }) => chosen.push(other),
                    planned => break planned.map_err(fail)?,
                }
            };
            let left = overlay.apply(plan).map_err(fail)?.left;
            prop_assert!(left < u64::try_from(changes.len()).unwrap(), "{path:?} of {told:?}");
            prop_assert_eq!(without_counts(bench.view().tree()), without_counts(native_tree(&twin)), "{:?} of {:?}", path, told);
        }
        let overlay = bench.overlay();
        let plan = overlay.plan_apply(&Selection::All).map_err(|e| TestCaseError::fail(format!("{e:?}")))?;
        overlay.apply(plan).map_err(|e| TestCaseError::fail(format!("{e:?}")))?;
        prop_assert_eq!(without_counts(native_tree(&bench.host())), without_counts(native_tree(&twin)));
    }

    #[test]
    fn discard_is_the_identity(before in proptest::collection::vec(op(), 0..16), ops in proptest::collection::vec(op(), 1..24)) {
        let bench = Bench::new();
        furnish(&[&bench.host()], &before);
        let host = native_tree(&bench.host());
        let view = bench.view();
        for op in &ops {
            let _ = overlaid(&view, op);
        }
        drop(view);
        bench.overlay().discard().unwrap();
        prop_assert_eq!(native_tree(&bench.host()), host);
        prop_assert!(!bench.store.exists());
    }
}
