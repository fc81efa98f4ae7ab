//! Checkpoints of a view that is served, while real programs work in it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code
)]

mod common;

use belljar_overlay::Served;
use common::{Bench, sh};
use nix::mount::{MntFlags, MsFlags};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Everything in a directory, without what a rewind cannot bring back: change times.
const LIST: &str = "find . -type d -printf '%p %m %U %G %T@ %i\\n' | sort
    find . ! -type d -printf '%p %y %m %U %G %s %T@ %l %i\\n' | sort
    find . -type f | sort | xargs -r md5sum; getfattr -hRd . 2>/dev/null || true";

/// Runs `inside` in the mounted view, with its server at hand.
fn served<T: Send>(bench: &Bench, inside: impl FnOnce(&Path, &Served) -> T + Send) -> T {
    let run = || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let served = common::serve_on(&bench.overlay(), &bench.host());
        let inside = std::panic::AssertUnwindSafe(|| inside(&bench.host(), &served));
        let result = std::panic::catch_unwind(inside);
        nix::mount::umount2(&bench.host(), MntFlags::MNT_DETACH).unwrap();
        served.finish().unwrap();
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

#[test]
fn real_programs_between_checkpoints() {
    let bench = Bench::new();
    sh(
        &bench.host(),
        "git init -q .; git config user.email a@b; git config user.name n
         for d in 1 2 3; do mkdir -p src/$d; for f in 1 2 3 4 5; do echo $d$f > src/$d/$f; done; done
         git add -A; git commit -qm one; ln src/1/1 linked",
    );
    let steps = [
        "git checkout -qb topic; echo more >> src/1/1; git mv src/2 src/two; git rm -q src/3/1; git add -A; git commit -qm two",
        "tar c src | tar x --one-top-level=copy; rm -r src/3; ln copy/src/1/2 hard; chmod 600 linked; sed -i s/1/one/ src/1/3",
        "git stash -q -u; git checkout -q -; git stash pop -q || true; git gc -q",
        "rm -rf .git copy; mv src crs; truncate -s 1M linked; mkfifo crs/pipe; : > crs/1/1",
        "python3 -c \"import os; os.setxattr('linked', 'user.k', b'v'); f = open('linked', 'r+b'); f.seek(9); f.write(b'x')\"",
    ];
    let then = served(&bench, |root, served| {
        let mut then = Vec::new();
        for step in steps {
            let list = sh(root, LIST);
            then.push((served.checkpoint().unwrap(), list));
            sh(root, step);
        }
        then
    });
    for (to, list) in then.into_iter().rev() {
        bench.overlay().rewind(to).unwrap();
        let now = served(&bench, |root, _| sh(root, LIST));
        similar(&now, &list, to);
    }
    assert!(bench.overlay().changes().unwrap().changes.is_empty());
}

#[track_caller]
fn similar(now: &str, then: &str, to: u64) {
    let gone: Vec<_> = then.lines().filter(|line| !now.lines().any(|other| other == *line)).collect();
    let come: Vec<_> = now.lines().filter(|line| !then.lines().any(|other| other == *line)).collect();
    assert!(gone.is_empty() && come.is_empty(), "checkpoint {to}\ngone {gone:#?}\ncome {come:#?}");
}

/// A checkpoint is between two writes and not in the middle of one, whatever descriptors are open.
#[test]
fn writers_do_not_stop_for_a_checkpoint() {
    let bench = Bench::new();
    std::fs::write(bench.host().join("counter"), 0u64.to_le_bytes()).unwrap();
    let (begun, done, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let bounds = served(&bench, |root, served| {
        let file = std::fs::OpenOptions::new().write(true).open(root.join("counter")).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1u64.. {
                    begun.store(n, Ordering::SeqCst);
                    file.write_all_at(&n.to_le_bytes(), 0).unwrap();
                    done.store(n, Ordering::SeqCst);
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
            let mut bounds = Vec::new();
            for _ in 0..60 {
                let least = done.load(Ordering::SeqCst);
                let number = served.checkpoint().unwrap();
                bounds.push((number, least, begun.load(Ordering::SeqCst)));
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            stop.store(true, Ordering::SeqCst);
            bounds
        })
    });
    for (number, least, most) in bounds.into_iter().rev() {
        bench.overlay().rewind(number).unwrap();
        let bytes = served(&bench, |root, _| std::fs::read(root.join("counter")).unwrap());
        let held = u64::from_le_bytes(bytes.try_into().unwrap());
        assert!((least..=most).contains(&held), "checkpoint {number}: {held} is not in {least}..={most}");
    }
}

/// What the kernel writes by itself is kept when it is opened, and a checkpoint in the middle of that is refused.
#[test]
fn passed_through_content_is_kept_too() {
    let bench = Bench::new();
    let big = |byte: u8| vec![byte; 3 << 20];
    served(&bench, |root, _| std::fs::write(root.join("big"), big(b'1')).unwrap());
    let to = bench.overlay().checkpoint().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
            // Opened before the view covers what it lies over.
            let overlay = bench.overlay();
            let fuse = common::mount_fuse(&bench.host());
            let served = overlay.serve_with(fuse, belljar_overlay::Mode::Passthrough.into()).unwrap();
            let path = bench.host().join("big");
            // The first open is for reading: the second shares its backing file.
            let reader = std::fs::File::open(&path).unwrap();
            std::fs::OpenOptions::new().write(true).open(&path).unwrap().write_all_at(b"22", 2 << 20).unwrap();
            let mut seen = [0; 2];
            reader.read_exact_at(&mut seen, 2 << 20).unwrap();
            assert_eq!(&seen, b"22");
            assert!(served.checkpoint().is_err());
            drop(reader);
            nix::mount::umount2(&bench.host(), MntFlags::MNT_DETACH).unwrap();
            served.finish().unwrap();
        });
    });
    bench.overlay().rewind(to).unwrap();
    served(&bench, |root, _| assert!(std::fs::read(root.join("big")).unwrap() == big(b'1')));
}
