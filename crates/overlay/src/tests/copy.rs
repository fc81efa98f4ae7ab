//! The same laws over layers that were folded from a copy, alone and in turn with the view.

use super::laws::{Op, native, op, overlaid, without_counts};
use crate::copy::CopyMost;
use crate::error::OverlayError;
use crate::settle::plan::Selection;
use crate::testing::{Bench, native_tree};
use model::{Hidden, Target};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

const ENOUGH: CopyMost = CopyMost { files: 10_000, bytes: 1 << 30 };

type Tree = BTreeMap<String, String>;

/// Runs `work` in a copy of the view and returns what the copy shows then.
fn in_a_copy(bench: &Bench, work: impl FnOnce(&Path)) -> Tree {
    let to = bench.dir.join("copy");
    let overlay = bench.overlay();
    overlay.copy_to(&to, &ENOUGH).unwrap();
    work(&to);
    let shown = native_tree(&to);
    assert!(overlay.fold_copy().unwrap().is_empty());
    std::fs::remove_dir_all(&to).unwrap();
    shown
}

fn run(root: &Path, ops: &[Op]) {
    for op in ops {
        let _ = native(root, op);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn apply_makes_the_host_what_the_copy_was(before in proptest::collection::vec(op(), 1..24), ops in proptest::collection::vec(op(), 1..24)) {
        let bench = Bench::new();
        run(&bench.host(), &before);
        let host = native_tree(&bench.host());
        let shown = in_a_copy(&bench, |copy| run(copy, &ops));
        prop_assert_eq!(native_tree(&bench.host()), host, "the host is untouched");
        let told = bench.changes();
        let overlay = bench.overlay();
        let fail = |e: crate::ApplyError| TestCaseError::fail(format!("{e:?} {told:?}"));
        prop_assert_eq!(overlay.apply(overlay.plan_apply(&Selection::All).map_err(fail)?).map_err(fail)?.left, 0);
        prop_assert_eq!(without_counts(native_tree(&bench.host())), without_counts(shown), "{:?}", told);
    }

    #[test]
    fn view_and_copy_take_turns(before in proptest::collection::vec(op(), 1..24), turns in proptest::collection::vec(proptest::collection::vec(op(), 1..10), 2..5)) {
        let bench = Bench::new();
        run(&bench.host(), &before);
        for (index, ops) in turns.iter().enumerate() {
            if index % 2 == 0 {
                let view = bench.view();
                for op in ops.iter().filter(|op| !matches!(op, Op::Reopen)) {
                    let _ = overlaid(&view, op);
                }
                let shown = view.tree();
                drop(view);
                prop_assert_eq!(without_counts(in_a_copy(&bench, |_| ())), without_counts(shown));
            } else {
                let shown = in_a_copy(&bench, |copy| run(copy, ops));
                prop_assert_eq!(without_counts(bench.view().tree()), without_counts(shown), "{:?}", bench.changes());
            }
        }
    }
}

#[test]
fn what_is_not_touched_is_no_change() {
    let bench = Bench::new();
    let host = bench.host();
    std::fs::create_dir_all(host.join("d/e")).unwrap();
    std::fs::write(host.join("d/e/f"), "text").unwrap();
    std::os::unix::fs::symlink("d/e/f", host.join("l")).unwrap();
    in_a_copy(&bench, |copy| {
        // Touched, and as it was.
        std::fs::write(copy.join("d/new"), "").unwrap();
        std::fs::remove_file(copy.join("d/new")).unwrap();
        std::fs::read(copy.join("d/e/f")).unwrap();
    });
    assert_eq!(bench.changes(), Vec::<String>::new());
}

#[test]
fn a_file_that_the_host_changed_since_is_a_conflict_and_one_it_changed_alone_is_none() {
    let bench = Bench::new();
    let host = bench.host();
    for name in ["both", "host-only", "deleted", "moved-away"] {
        std::fs::write(host.join(name), "old").unwrap();
    }
    in_a_copy(&bench, |copy| {
        for name in ["both", "host-only", "deleted"] {
            std::fs::write(host.join(name), "the host's").unwrap();
        }
        std::fs::write(host.join("appeared"), "the host's").unwrap();
        std::fs::remove_file(host.join("moved-away")).unwrap();
        std::fs::write(copy.join("both"), "ours").unwrap();
        std::fs::remove_file(copy.join("deleted")).unwrap();
        std::fs::write(copy.join("appeared"), "ours").unwrap();
        std::fs::write(copy.join("moved-away"), "ours").unwrap();
    });
    let overlay = bench.overlay();
    let Err(crate::ApplyError::Conflicts(found)) = overlay.plan_apply(&Selection::All) else {
        panic!("no conflict: {:?}", bench.changes());
    };
    let mut names: Vec<_> = found.iter().map(|c| c.path.as_path().file_name().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["appeared", "both", "deleted", "moved-away"]);
    assert_eq!(std::fs::read_to_string(host.join("host-only")).unwrap(), "the host's");
}

#[test]
fn hidden_paths_are_not_copied_and_what_is_put_there_is_told() {
    let mut bench = Bench::new();
    std::fs::create_dir(bench.host().join("d")).unwrap();
    std::fs::write(bench.host().join("d/secret"), "s").unwrap();
    bench.hidden = vec![Hidden { path: bench.host().join("d/secret").into(), rule: "user/hide".into() }];
    let to = bench.dir.join("copy");
    let overlay = bench.overlay();
    overlay.copy_to(&to, &ENOUGH).unwrap();
    assert!(!to.join("d/secret").exists());
    std::fs::write(to.join("d/secret"), "mine").unwrap();
    let refused = overlay.fold_copy().unwrap();
    assert!(matches!(&refused[..], [one] if one.rule == "user/hide" && matches!(&one.target, Target::Path { .. })));
    assert_eq!(bench.changes(), Vec::<String>::new());
}

#[test]
fn links_of_one_file_stay_links_of_one_file() {
    let bench = Bench::new();
    let host = bench.host();
    std::fs::write(host.join("a"), "text").unwrap();
    std::fs::hard_link(host.join("a"), host.join("b")).unwrap();
    in_a_copy(&bench, |copy| {
        std::fs::write(copy.join("b"), "more text").unwrap();
        std::fs::write(copy.join("x"), "new").unwrap();
        std::fs::hard_link(copy.join("x"), copy.join("y")).unwrap();
    });
    let overlay = bench.overlay();
    overlay.apply(overlay.plan_apply(&Selection::All).unwrap()).unwrap();
    let ino = |name: &str| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(host.join(name)).unwrap());
    assert_eq!(std::fs::read_to_string(host.join("a")).unwrap(), "more text");
    assert_eq!((ino("a"), ino("x")), (ino("b"), ino("y")));
}

#[test]
fn too_much_is_refused_with_what_to_do() {
    let bench = Bench::new();
    for number in 0..20 {
        std::fs::write(bench.host().join(number.to_string()), vec![1; 10_000]).unwrap();
    }
    for most in [CopyMost { files: 10, bytes: 1 << 30 }, CopyMost { files: 1000, bytes: 100_000 }] {
        let to = bench.dir.join("copy");
        let refused = bench.overlay().copy_to(&to, &most).unwrap_err();
        assert!(matches!(refused, OverlayError::TooMuch { .. }), "{refused:?}");
        assert!(refused.hint().is_some());
        std::fs::remove_dir_all(&to).unwrap();
        // No manifest, so there is nothing to fold.
        assert!(bench.overlay().fold_copy().unwrap().is_empty());
    }
}
