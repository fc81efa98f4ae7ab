//! Who changed what, and what a jar may take, in every mode of serving.
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

use belljar_overlay::{Budget, Mode, Op, Overlay, Serving, Tuning};
use common::{Bench, mount_fuse, sh_output};
use model::{Limit, Limits};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use std::fs::File;
use std::sync::Arc;

/// Runs `script` in the view as a jar would serve it; its output.
fn run(bench: &Bench, overlay: &Overlay, serving: Serving, script: &str) -> String {
    let inside = || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        let served = overlay.serve_jar(mount_fuse(&bench.host()), serving).unwrap();
        let output = sh_output(&bench.host(), script);
        umount2(&bench.host(), MntFlags::MNT_DETACH).unwrap();
        assert_eq!(served.finish().unwrap().lost, None);
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    std::thread::scope(|scope| scope.spawn(inside).join().unwrap())
}

#[test]
fn in_every_mode_a_change_has_its_author() {
    for mode in Mode::ALL {
        let bench = Bench::new();
        std::fs::write(bench.host().join("old"), "old\n").unwrap();
        std::fs::write(bench.host().join("large"), vec![b'x'; 2 << 20]).unwrap();
        let overlay = bench.overlay();
        let processes = Some(File::open("/proc").unwrap().into());
        let serving = Serving { processes, tuning: Tuning::from(mode), ..Serving::default() };
        run(
            &bench,
            &overlay,
            serving,
            "head -c 3M /dev/zero > new; tee -a old < /dev/stdin <<-E\nmore\nE\ndd if=/dev/zero of=large bs=4k count=1 conv=notrunc status=none",
        );
        let changes = overlay.changes().unwrap().changes;
        let authors = overlay.authors(&changes.iter().collect::<Vec<_>>()).unwrap().unwrap();
        for (change, authors) in changes.iter().zip(&authors) {
            let name = change.path.file_name().unwrap().to_str().unwrap().to_owned();
            let words = |author: &belljar_overlay::Author| author.process.argv.first().map(ToString::to_string);
            let known: Vec<_> = authors.iter().filter_map(words).collect();
            let wanted = match name.as_str() {
                // It is the shell that makes the file of a redirection.
                "new" => "sh",
                "old" => "tee",
                "large" => "dd",
                _ => continue,
            };
            let nobody = authors.iter().any(|author| author.process.pid == 0 && author.did == [Op::Write]);
            // Where the kernel collects writes, it hands them over in nobody's name.
            let collected = mode == Mode::WriteBack && nobody;
            assert!(known.iter().any(|word| word == wanted) || collected, "{mode:?} {name}: {authors:#?}");
        }
        assert!(changes.len() >= 3, "{mode:?}: {changes:?}");
    }
}

#[test]
fn in_every_mode_a_limit_holds() {
    for mode in Mode::ALL {
        let bench = Bench::new();
        let overlay = bench.overlay();
        let budget = Arc::new(Budget::new(Limits { disk: Some(2 << 20), ..Limits::default() }));
        let serving = Serving { budget: Some(Arc::clone(&budget)), tuning: Tuning::from(mode), ..Serving::default() };
        let told = run(
            &bench,
            &overlay,
            serving,
            "head -c 3M /dev/zero > new && echo it fitted; exec 3< new; rm new; head -c 1M /dev/zero > two && echo it fitted; exec 3<&-; sleep 0.1; head -c 1M /dev/zero > three && echo fits",
        );
        assert!(told.contains("No space left on device") && !told.contains("it fitted"), "{mode:?}: {told}");
        assert!(told.contains("fits"), "{mode:?}: {told}");
        assert_eq!(budget.hits(), [Limit::Disk], "{mode:?}");
    }
}
