//! A disk that is full at any moment: nothing of the host changes, nothing half is seen, and with room it goes on.

use crate::effects::journal;
use crate::store::budget::Budget;
use crate::testing::{Bench, View, native_tree, owner};
use model::{Limit, Limits};
use nix::errno::Errno;
use nix::fcntl::RenameFlags;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Runs `body` with a tmpfs of `pages` pages under `at` that nobody else sees.
fn on_small_disk(at: &Path, pages: u32, body: impl FnOnce() + Send) {
    let run = || {
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        resize(at, pages, MsFlags::empty());
        body();
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap();
}

fn resize(at: &Path, pages: u32, flags: MsFlags) {
    let options = format!("size={}k", pages * 4);
    mount(Some("none"), at, Some("tmpfs"), flags, Some(options.as_str())).unwrap();
}

const OLD_BYTES: usize = 40 * 4_096 + 17;

fn bench(dir: &Path) -> Bench {
    std::fs::create_dir_all(dir.join("host/d/e")).unwrap();
    std::fs::create_dir_all(dir.join("disk")).unwrap();
    std::fs::write(dir.join("host/d/e/big"), "o".repeat(OLD_BYTES)).unwrap();
    std::fs::hard_link(dir.join("host/d/e/big"), dir.join("host/d/link")).unwrap();
    std::fs::write(dir.join("host/small"), "old").unwrap();
    Bench::at(dir, &dir.join("disk/store"))
}

type Try = fn(&View) -> Result<(), Errno>;

/// Every way into the upper layer; whatever fails, the old state is what is seen.
const TRIES: [(&str, Try); 7] = [
    ("write", |view| view.layers.write_data(view.hold("d/e/big")?, 0, b"new", false).map(drop)),
    ("chmod", |view| view.chmod("d/e/big", 0o600)),
    ("rename", |view| view.rename("d/e/big", "d/moved", RenameFlags::empty())),
    ("link", |view| view.link("d/e/big", "second")),
    ("rename over", |view| view.rename("small", "d/e/big", RenameFlags::empty())),
    ("unlink", |view| view.unlink("d/e/big")),
    ("rename a directory", |view| view.rename("d", "D", RenameFlags::empty())),
];

#[test]
fn a_copy_that_does_not_fit_is_never_seen() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("needs root to make a small disk");
        return;
    }
    let refused = AtomicU32::new(0);
    for (what, attempt) in TRIES {
        for pages in (2..90).step_by(2) {
            let dir = tempfile::tempdir().unwrap();
            let bench = bench(dir.path());
            let disk = dir.path().join("disk");
            let before = native_tree(&bench.host());
            on_small_disk(&disk, pages, || {
                let view = bench.view();
                let done = attempt(&view);
                assert!(matches!(done, Ok(()) | Err(Errno::ENOSPC)), "{what} on {pages} pages: {done:?}");
                assert_eq!(native_tree(&bench.host()), before);
                if done.is_ok() {
                    return;
                }
                refused.fetch_add(1, Ordering::Relaxed);
                let old = view.read("d/e/big").unwrap();
                assert!(old == vec![b'o'; OLD_BYTES], "{what} on {pages} pages left something half");
                assert_eq!(view.stat("d/e/big").unwrap().stat.st_nlink, 2, "{what} on {pages} pages");
                assert!(!disk.join("store.belljar-new").exists(), "{what} on {pages} pages left half a layer");
                let left = bench.overlay().store.work_names(b't').unwrap();
                assert!(left.is_empty(), "{what} on {pages}: {left:?}");
                drop(view);
                // With room, the same in a new process goes through.
                resize(&disk, 400, MsFlags::MS_REMOUNT);
                let view = bench.view();
                assert_eq!(view.read("d/e/big").unwrap().len(), OLD_BYTES);
                attempt(&view).unwrap();
                drop(view);
                bench.changes();
            });
        }
    }
    assert!(refused.into_inner() > 50, "hardly anything was refused, so this proved nothing");
}

/// With a budget: refused before anything is tried, and counted to the block.
#[test]
fn a_budget_refuses_what_does_not_fit_and_knows_why() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path());
    let mut view = bench.view();
    let budget = Arc::new(Budget::new(Limits { disk: Some(100 * 4_096), files: Some(8), ..Limits::default() }));
    budget.watch(&view.layers.store).unwrap();
    view.layers.budget = Arc::clone(&budget);
    view.chmod("d/e/big", 0o600).unwrap();
    let number = view.layers.create(1, std::ffi::OsStr::new("f"), 0o644, owner()).unwrap().number;
    let data = vec![b'y'; 100 * 4_096];
    let written = view.layers.write_data(number, 0, &data, false).unwrap();
    assert!((50 * 4_096..=60 * 4_096).contains(&written), "{written}");
    assert_eq!(view.layers.write_data(number, 1 << 20, b"z", false), Err(Errno::ENOSPC));
    // Not a new block is needed for what is written over.
    assert_eq!(view.layers.write_data(number, 5, b"again", false), Ok(5));
    let big = view.hold("d/e/big").unwrap();
    assert_eq!(
        view.layers.write_data(big, u64::try_from(OLD_BYTES).unwrap(), b"more", false),
        Ok(4),
        "in the last one"
    );
    assert_eq!(budget.hits(), [Limit::Disk]);
    let (disk, files) = budget.shown().unwrap();
    assert!(disk.unwrap().1 < 4_096 * 2 && files == Some((8, 4)), "{disk:?} {files:?}");

    for name in ["1", "2", "3", "4"] {
        view.mkdir(name).unwrap();
    }
    assert_eq!(view.mkdir("5"), Err(Errno::ENOSPC));
    assert_eq!(view.chmod("small", 0o600), Err(Errno::ENOSPC), "a copy is a file more");
    assert_eq!(view.read("small").unwrap(), b"old");
    view.rmdir("1").unwrap();
    view.mkdir("5").unwrap();
    assert_eq!(budget.hits(), [Limit::Disk, Limit::Files]);

    // Another process counts the same.
    let counted = Budget::new(Limits { disk: Some(100 * 4_096), files: Some(8), ..Limits::default() });
    counted.watch(&view.layers.store).unwrap();
    assert_eq!(counted.shown().unwrap(), budget.shown().unwrap());
}

/// The journal of effects on a full disk: what does not fit is not torn, and it is told.
#[test]
fn a_journal_without_room_says_so() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("needs root to make a small disk");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path());
    let disk = dir.path().join("disk");
    on_small_disk(&disk, 12, || {
        let overlay = bench.overlay();
        let proc = std::fs::File::open("/proc").unwrap();
        let effects = crate::effects::Effects::start(overlay.store.open_effects().unwrap(), proc.into()).unwrap();
        let view = bench.view();
        let asked = crate::effects::Asked { layers: &view.layers, thread: std::process::id() };
        for n in 0..2_000 {
            effects.name(asked, crate::effects::journal::Op::Create, 1, std::ffi::OsStr::new(&format!("f{n}")));
        }
        let kept = effects.finish();
        assert_eq!(kept, crate::effects::Kept::Failed(Errno::ENOSPC));
        let text = std::fs::read(overlay.store.path.join(journal::NAME)).unwrap();
        assert!(text.is_empty() || text.ends_with(b"\n"), "torn");
    });
}
