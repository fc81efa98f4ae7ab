//! Rough times of the view against native: `cargo bench -p belljar-overlay`. Needs root. Set `TMPDIR` to a file system with a
//! journal: ext4 without one does not use fresh inodes again, so that creating after deleting is slow on either side.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code
)]

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Bench, sh};
use std::path::Path;
use std::time::{Duration, Instant};

/// Runs of each; the median counts.
const RUNS: usize = 5;

fn timed(dir: &Path, script: &str) -> Duration {
    let start = Instant::now();
    sh(dir, script);
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn repository() -> Bench {
    let bench = Bench::new();
    sh(
        &bench.host(),
        "git init -q .; git config user.email a@b; git config user.name n
         for d in $(seq 50); do mkdir -p src/$d; for f in $(seq 100); do echo $d $f > src/$d/f$f; done; done
         git add -A; git commit -qm one; tar cf ../src.tar src; sleep 1; git status --porcelain",
    );
    bench
}

fn main() {
    let first = Bench::new();
    sh(&first.host(), "touch f");
    let start = Instant::now();
    let overlay = first.overlay();
    println!("create               {:>9.2?}", start.elapsed());
    drop(overlay);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
            let private = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
            nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
            let start = Instant::now();
            let served = common::serve_on(&first.overlay(), &first.host());
            std::fs::metadata(first.host().join("f")).unwrap();
            println!("open, mount, stat    {:>9.2?}", start.elapsed());
            nix::mount::umount2(&first.host(), nix::mount::MntFlags::MNT_DETACH).unwrap();
            let start = Instant::now();
            served.finish().unwrap();
            println!("finish               {:>9.2?}", start.elapsed());
        });
    });
    let rows = [
        ("git status, warm", "git status --porcelain >/dev/null", ""),
        ("grep -r, warm", "grep -r nothing src || true", ""),
        ("tar x, 5000 files", "tar xf $TAR -C out", "rm -rf out; mkdir out"),
        ("rm -rf, 5000 new", "rm -rf out/src", ""),
        ("rm -rf, 5000 host", "rm -rf src", "git checkout -q . "),
    ];
    let bench = repository();
    let tar = bench.dir.path().join("src.tar");
    let mut native = Vec::new();
    let run = |dir: &Path, script: &str, before: &str| {
        sh(dir, before);
        timed(dir, &script.replace("$TAR", tar.to_str().unwrap()))
    };
    let twin = repository();
    for (_, script, before) in rows {
        run(&twin.host(), script, before);
        native.push(median(
            (0..RUNS)
                .map(|_| {
                    if script.starts_with("rm -rf out") {
                        run(&twin.host(), "tar xf $TAR -C out", "rm -rf out; mkdir out");
                    }
                    run(&twin.host(), script, before)
                })
                .collect(),
        ));
    }
    let (view, _) = bench.mounted(|root| {
        let cold = timed(root, "git status --porcelain >/dev/null");
        println!("git status, first    {cold:>9.2?}");
        let mut view = Vec::new();
        for (_, script, before) in rows {
            run(root, script, before);
            view.push(median(
                (0..RUNS)
                    .map(|_| {
                        if script.starts_with("rm -rf out") {
                            run(root, "tar xf $TAR -C out", "rm -rf out; mkdir out");
                        }
                        run(root, script, before)
                    })
                    .collect(),
            ));
        }
        view
    });
    for ((name, _, _), (native, view)) in rows.iter().zip(native.iter().zip(&view)) {
        println!(
            "{name:<20} {native:>9.2?} native {view:>9.2?} view  {:.1}x",
            view.as_secs_f64() / native.as_secs_f64()
        );
    }
    applying();
}

fn applying() {
    let bench = repository();
    bench.run("for f in src/*/f*; do echo changed >> $f; done; mkdir new; cp -r src new; rm -rf src/1 src/2");
    let start = Instant::now();
    let overlay = bench.overlay();
    let count = overlay.changes().unwrap().changes.len();
    println!("diff                 {:>9.2?} for {count} changes", start.elapsed());
    let start = Instant::now();
    let plan = overlay.plan_apply(&belljar_overlay::Selection::All).unwrap();
    println!("plan                 {:>9.2?}", start.elapsed());
    let start = Instant::now();
    overlay.apply(plan).unwrap();
    println!("apply                {:>9.2?}", start.elapsed());
    let start = Instant::now();
    overlay.discard().unwrap();
    println!("discard              {:>9.2?}", start.elapsed());
}
