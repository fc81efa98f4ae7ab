//! Layers that the kernel's overlayfs wrote: settled, compared, applied, and served again.
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

use belljar_overlay::{ApplyError, Overlay, OverlayError, Selection};
use common::{Bench, mount_kernel, sh};
use model::ChangeKind;
use std::path::Path;

/// Everything a program can see of a tree but inode numbers and directory times.
fn tree(dir: &Path) -> String {
    sh(
        dir,
        "find . -mindepth 1 \\( -type d -printf '%p d %m %U %G\n' -o -printf '%p %y %m %U %G %s %T@ %l\n' \\) | sort
             find . -type f | sort | xargs -r -d '\n' sha256sum; find . \\( -type f -o -type d \\) | sort |
             xargs -r -d '\n' getfattr -h -d -m '^user\\.' 2>/dev/null | grep -v 'user.overlay.overlay' || true",
    )
}

fn kinds(overlay: &Overlay) -> Vec<String> {
    let changes = overlay.changes().unwrap().changes;
    let name = |path: &model::FilePath| path.strip_prefix(overlay.root()).unwrap().to_string();
    let word = |kind: &ChangeKind| match kind {
        ChangeKind::Added => "A".to_owned(),
        ChangeKind::Modified => "M".to_owned(),
        ChangeKind::Deleted => "D".to_owned(),
        ChangeKind::Replaced => "X".to_owned(),
        ChangeKind::Renamed { from } => format!("R {} <", name(from)),
        ChangeKind::Linked { to } => format!("L {} =", name(to)),
    };
    changes.iter().map(|change| format!("{} {}", word(&change.kind), name(&change.path))).collect()
}

fn conflicts(overlay: &Overlay) -> Vec<String> {
    match overlay.plan_apply(&Selection::All) {
        Ok(_) => Vec::new(),
        Err(ApplyError::Conflicts(found)) => {
            let name = |path: &model::FilePath| path.strip_prefix(overlay.root()).unwrap().to_string();
            found.iter().map(|conflict| format!("{} {:?}", name(&conflict.path), conflict.kind)).collect()
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn host(script: &str) -> Bench {
    let bench = Bench::new();
    sh(&bench.host(), script);
    bench
}

const TREE: &str = "mkdir -p d/e gone/deep replaced; echo old > d/f; echo two > d/e/g; ln -s f d/l; chmod 640 d/f
    echo x > gone/deep/a; echo y > gone/b; echo r > replaced/r; echo file > file; echo k > kept; mkdir empty";

const CHANGE: &str = "echo new >> d/f; chmod 600 d/e/g; rm -r gone; rm -r replaced; mkdir replaced; echo n > replaced/n
    rm file; mkdir file; echo i > file/i; mkdir -p made/deeper; echo m > made/deeper/m; ln -s nowhere made/link
    ln made/deeper/m made/hard; mv empty other; mkfifo pipe; touch -d 2001-02-03 kept; chmod 700 d; setfattr -n user.c -v v d/f";

#[test]
fn what_the_kernel_wrote_is_listed_and_applied() {
    let bench = host(TREE);
    let before = tree(&bench.host());
    let view = bench.kept(|root| {
        sh(root, CHANGE);
        tree(root)
    });
    assert_eq!(tree(&bench.host()), before, "nothing reaches the host before apply");
    let overlay = bench.overlay();
    let listed = [
        "M d",
        "M d/e/g",
        "M d/f",
        "D empty",
        "X file",
        "A file/i",
        "D gone",
        "M kept",
        "A made",
        "A made/deeper",
        "A made/deeper/m",
        "L made/deeper/m = made/hard",
        "A made/link",
        "A other",
        "A pipe",
        "A replaced/n",
        "D replaced/r",
    ];
    assert_eq!(kinds(&overlay), listed);
    let plan = overlay.plan_apply(&Selection::All).unwrap();
    assert_eq!(overlay.apply(plan).unwrap().left, 0);
    assert_eq!(tree(&bench.host()), view);
    assert_eq!(sh(&bench.host(), "stat -c %h made/hard"), "2\n");
    overlay.discard().unwrap();
    assert!(!bench.store().exists());
}

#[test]
fn each_backend_goes_on_where_the_other_stopped() {
    let bench = host(TREE);
    let fresh = host(TREE);
    let steps = [
        "echo 1 >> d/f; rm gone/b; mkdir n; echo n > n/n",
        "echo 2 >> d/f; rm -r gone; echo m > n/m; mkdir gone",
        "test -z \"$(ls gone)\"; echo 3 >> d/f; rm n/n; rmdir empty",
        "test \"$(tail -3 d/f | tr -d '\n')\" = 123; mv n o",
    ];
    bench.run(steps[0]);
    bench.keep(steps[1]);
    bench.run(steps[2]);
    bench.keep(steps[3]);
    steps.iter().for_each(|step| drop(sh(&fresh.host(), step)));
    let view = bench.kept(tree);
    assert_eq!(bench.mounted(tree).0, view, "both show the same");
    let overlay = bench.overlay();
    let plan = overlay.plan_apply(&Selection::All).unwrap();
    assert_eq!(overlay.apply(plan).unwrap().left, 0);
    assert_eq!(tree(&bench.host()), view);
    let names = "find . | sort; cat d/f";
    assert_eq!(sh(&bench.host(), names), sh(&fresh.host(), names));
}

#[test]
fn a_renamed_directory_is_for_fuse_only() {
    let bench = host(TREE);
    bench.run("mv d moved");
    let overlay = bench.overlay();
    assert!(overlay.kernel_facts().unwrap().renamed);
    let refused = overlay.kernel().err().unwrap();
    assert!(matches!(refused, OverlayError::Renamed { .. }), "{refused:?}");
    assert!(refused.hint().unwrap().contains("--backend fuse"));
    assert_eq!(kinds(&overlay), ["R d < moved"]);
}

#[test]
fn renaming_a_directory_of_the_host_says_so_and_mv_copies() {
    let bench = host(TREE);
    let told = bench.keep(
        "python3 -c 'import os,errno
try: os.rename(\"d\", \"moved\")
except OSError as e: assert e.errno == errno.EXDEV; print(\"EXDEV\")'
         mv d moved; mkdir fresh; touch fresh/x; mv fresh moved-too; cat moved/f",
    );
    assert_eq!(told, "EXDEV\nold\n");
    let overlay = bench.overlay();
    let plan = overlay.plan_apply(&Selection::All).unwrap();
    overlay.apply(plan).unwrap();
    assert_eq!(sh(&bench.host(), "test ! -e d; cat moved/f moved/e/g; ls moved-too"), "old\ntwo\nx\n");
}

#[test]
fn what_the_host_changed_meanwhile_is_a_conflict() {
    for (jar, during, expected) in [
        ("echo j >> d/f", "echo h >> d/f", vec!["d/f Changed"]),
        ("echo j >> d/f", "rm d/f", vec!["d/f Gone"]),
        ("echo j >> d/f", "echo z > d/z; mv d/z d/f", vec!["d/f Changed"]),
        ("echo j > d/t; mv d/t d/f", "echo h >> d/f", vec!["d/f Changed"]),
        ("echo j > d/new", "echo h > d/new", vec!["d/new Changed"]),
        ("mkdir d/new; echo j > d/new/x", "mkdir d/new; echo h > d/new/x", vec!["d/new/x Changed"]),
        ("rm kept", "echo h >> kept", vec!["kept Changed"]),
        ("rm -r gone", "echo h > gone/deep/h", vec!["gone/deep Changed"]),
        ("rm -r gone; mkdir gone", "echo h > gone/h", vec!["gone/h Changed"]),
        ("rm -r gone", "echo h >> gone/deep/a", vec!["gone/deep/a Changed"]),
        // A whole directory in the place of another: nothing in it has a new change time.
        (
            "echo j >> d/e/g",
            "mkdir s; cp -a d/e s/e; mv d/e s/old; mv s/e d/e; touch -d 2001-01-01 d/e/g",
            vec!["d/e/g Changed"],
        ),
        ("chmod 700 d", "chmod 711 d", vec!["d Changed"]),
        // Elsewhere in the same directory is no conflict.
        ("echo j >> d/f", "echo h > d/other; rm d/l", vec![]),
        ("rm kept", "rm kept", vec![]),
    ] {
        let bench = host(TREE);
        let (outside, inside) = std::os::unix::net::UnixStream::pair().unwrap();
        let host = bench.host();
        std::thread::scope(|scope| {
            let change = scope.spawn(move || {
                use std::io::{Read as _, Write as _};
                // This thread is in the machine's mount namespace and sees the host.
                (&outside).read_exact(&mut [0]).unwrap();
                sh(&host, during);
                (&outside).write_all(b"x").unwrap();
            });
            bench.kept(|root| {
                use std::io::{Read as _, Write as _};
                sh(root, jar);
                (&inside).write_all(b"x").unwrap();
                (&inside).read_exact(&mut [0]).unwrap();
            });
            change.join().unwrap();
        });
        assert_eq!(conflicts(&bench.overlay()), expected, "jar: {jar}; host: {during}");
    }
}

#[test]
fn a_directory_swapped_for_an_old_one_is_a_conflict() {
    let bench = host(&format!("{TREE}\nmkdir -p spare/e; echo other > spare/e/g"));
    let (outside, inside) = std::os::unix::net::UnixStream::pair().unwrap();
    let host = bench.host();
    std::thread::scope(|scope| {
        use std::io::{Read as _, Write as _};
        scope.spawn(move || {
            (&outside).read_exact(&mut [0]).unwrap();
            sh(&host, "mv d/e old; mv spare/e d/e");
            (&outside).write_all(b"x").unwrap();
        });
        bench.kept(|root| {
            sh(root, "echo j >> d/e/g");
            (&inside).write_all(b"x").unwrap();
            (&inside).read_exact(&mut [0]).unwrap();
        });
    });
    assert_eq!(conflicts(&bench.overlay()), ["d/e/g Changed"]);
}

#[test]
fn what_the_host_changes_after_the_jar_is_a_conflict() {
    let bench = host(TREE);
    bench.keep("echo j >> d/f; rm kept; rm -r gone");
    sh(&bench.host(), "echo h >> d/f; echo h >> kept; echo h > gone/late");
    assert_eq!(conflicts(&bench.overlay()), ["d/f Changed", "gone/late Unseen", "kept Changed"]);
}

#[test]
fn a_killed_jar_leaves_a_layer_that_is_settled_later() {
    let bench = host(TREE);
    let view = std::thread::scope(|scope| {
        let jar = || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
            let private = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
            nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
            let overlay = bench.overlay();
            let kernel = overlay.kernel().unwrap();
            mount_kernel(&bench.host(), &kernel);
            kernel.begin().unwrap();
            sh(&bench.host(), CHANGE);
            let busy = bench.overlay();
            assert!(matches!(busy.kernel(), Err(OverlayError::Busy { .. })), "in use");
            let view = tree(&bench.host());
            // Neither unmounted nor finished: the namespace ends with its last thread.
            drop(kernel);
            view
        };
        scope.spawn(jar).join().unwrap()
    });
    assert!(bench.store().join("unsettled").exists());
    let overlay = bench.overlay();
    let plan = overlay.plan_apply(&Selection::All).unwrap();
    assert!(!bench.store().join("unsettled").exists());
    overlay.apply(plan).unwrap();
    assert_eq!(tree(&bench.host()), view);
}

#[test]
fn a_layer_from_before_a_power_cut_is_not_trusted() {
    let bench = host(TREE);
    bench.keep("echo j >> d/f");
    let mark = r#"{"time":[1700000000,0],"uptime":1,"boot":"another"}"#;
    std::fs::write(bench.store().join("unsettled"), mark).unwrap();
    let error = bench.overlay().changes().unwrap_err();
    assert!(error.to_string().contains("went down"), "{error}");
    bench.overlay().discard().unwrap();
}

#[test]
fn marks_that_a_command_plants_mean_nothing() {
    let bench = host("mkdir -p d/e; echo low > d/e/f; echo low > g");
    let view = bench.kept(|root| {
        sh(
            root,
            "mkdir m; for t in m d g; do
               for n in user.overlay.opaque user.overlay.redirect user.overlay.metacopy user.overlay.whiteout \
                        user.belljar.origin user.belljar.format; do setfattr -n $n -v y $t || true; done; done
             setfattr -n user.belljar.origin -v 1:2:3:4 d/e/f; setfattr -x user.belljar.format . || true
             setfattr -n user.belljar.format -v evil .; setfattr -n user.overlay.opaque -v y . || true
             no mknod w c 0 0; no mknod d/w c 0 0; echo in > m/in; test \"$(cat d/e/f)\" = low",
        );
        sh(root, "find . | sort; cat d/e/f g m/in")
    });
    let overlay = bench.overlay();
    assert_eq!(kinds(&overlay), ["A m", "A m/in"], "attributes of ours are no change");
    let left = sh(&bench.store().join("upper"), "getfattr -R -d -m user.belljar . 2>&1");
    assert_eq!(left, "# file: .\nuser.belljar.format=\"1\"\n\n");
    let served = bench.mounted(|root| sh(root, "find . | sort; cat d/e/f g m/in")).0;
    assert_eq!(served, view);
    let plan = overlay.plan_apply(&Selection::All).unwrap();
    overlay.apply(plan).unwrap();
    assert_eq!(sh(&bench.host(), "find . | sort; cat d/e/f g m/in"), view);
    assert_eq!(sh(&bench.host(), "getfattr -R -d -m 'user.(belljar|overlay)' . 2>&1"), "");
}

#[test]
fn marks_that_nobody_can_have_made_are_refused() {
    for (mark, value) in [
        ("user.overlay.redirect", "/../../etc"),
        ("user.overlay.redirect", "/d"),
        ("user.overlay.metacopy", ""),
        ("user.overlay.opaque", "z"),
        ("user.overlay.whiteout", "y"),
    ] {
        let bench = host(TREE);
        bench.kept(|_| sh(&bench.host(), "mkdir planted; echo x > planted/x"));
        // As if something had reached around the view.
        std::fs::write(bench.store().join("unsettled"), now()).unwrap();
        let plant = format!("setfattr -n {mark} -v '{value}' planted");
        sh(&bench.store().join("upper"), &plant);
        let error = bench.overlay().changes().unwrap_err();
        assert!(matches!(error, OverlayError::Damaged { .. } | OverlayError::Read { .. }), "{mark}: {error:?}");
        assert!(bench.overlay().plan_apply(&Selection::All).is_err(), "{mark}");
        bench.overlay().discard().unwrap();
    }
}

/// A mark of this boot.
fn now() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    serde_json::json!({"time": [4_000_000_000_i64, 0], "uptime": 0, "boot": boot}).to_string()
}

#[test]
fn hard_links_of_the_host_part_on_the_first_write() {
    let bench = host("echo one > a; ln a b; echo two > c; ln c d");
    let told = bench.keep("echo more >> a; cat b; ln c e; stat -c %h e");
    assert_eq!(told, "one\n2\n", "as the kernel shows it");
    let overlay = bench.overlay();
    assert_eq!(kinds(&overlay), ["M a", "L c = e"]);
    let plan = overlay.plan_apply(&Selection::All).unwrap();
    overlay.apply(plan).unwrap();
    assert_eq!(sh(&bench.host(), "cat a b e"), "one\nmore\none\ntwo\n", "the host gets what the command saw");
}

#[test]
fn a_full_disk_is_an_error_inside_and_loses_nothing() {
    let bench = host(&format!("{TREE}; head -c 3000000 /dev/zero > big"));
    std::thread::scope(|scope| {
        let full = || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
            let private = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
            nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
            let small = bench.dir.path().join("small");
            std::fs::create_dir(&small).unwrap();
            let options = Some("size=2m,mode=0700");
            nix::mount::mount(Some("t"), &small, Some("tmpfs"), nix::mount::MsFlags::empty(), options).unwrap();
            let spec = belljar_overlay::Spec {
                root: model::FilePath::from(bench.host()),
                dir: small.join("store"),
                hidden: Vec::new(),
                nested: Vec::new(),
                id: "full".into(),
            };
            let overlay = Overlay::create(&spec).unwrap();
            let kernel = overlay.kernel().unwrap();
            mount_kernel(&bench.host(), &kernel);
            kernel.begin().unwrap();
            sh(
                &bench.host(),
                "no sh -c 'echo x >> big' 2>/dev/null; echo fine >> d/f; no head -c 4000000 /dev/zero > new; rm new; rm kept",
            );
            nix::mount::umount(&bench.host()).unwrap();
            drop(kernel);
            overlay.settle().unwrap();
            assert_eq!(kinds(&overlay), ["M d/f", "D kept"]);
            let plan = overlay.plan_apply(&Selection::All).unwrap();
            overlay.apply(plan).unwrap();
            assert_eq!(sh(&bench.host(), "cat d/f; test ! -e kept; stat -c %s big"), "old\nfine\n3000000\n");
        };
        scope.spawn(full).join().unwrap();
    });
}
