//! The same laws over layers that the kernel's overlayfs wrote, alone and in turn with the view.

use super::laws::{Op, native, op, overlaid, without_counts};
use crate::error::OverlayError;
use crate::settle::plan::Selection;
use crate::testing::{Bench, native_tree};
use nix::mount::MsFlags;
use nix::sched::CloneFlags;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Tree = BTreeMap<String, String>;

/// Runs `ops` in the kernel's view and returns what it shows then; `None` where the layer is not for the kernel.
fn keep(bench: &Bench, ops: &[Op]) -> Option<Tree> {
    let kept = || {
        nix::sched::unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let nothing = None::<&str>;
        nix::mount::mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).unwrap();
        let overlay = bench.overlay();
        let kernel = match overlay.kernel() {
            Err(OverlayError::Renamed { .. }) => return None,
            kernel => kernel.unwrap(),
        };
        let host = bench.host();
        let layers = format!("lowerdir={},upperdir={},workdir={}", host.display(), kernel.upper(), kernel.work());
        let options = format!("{layers},index=off,metacopy=off,redirect_dir=nofollow,userxattr,volatile");
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        nix::mount::mount(Some("belljar"), &host, Some("overlay"), flags, Some(options.as_str())).unwrap();
        kernel.begin().unwrap();
        for op in ops {
            // What the kernel refuses, as renaming a directory of the host, did not happen.
            let _ = native(&host, op);
        }
        let shown = native_tree(&host);
        nix::mount::umount(&host).unwrap();
        drop(kernel);
        overlay.settle().unwrap();
        Some(shown)
    };
    std::thread::scope(|scope| scope.spawn(kept).join().unwrap())
}

fn view(bench: &Bench, ops: &[Op]) -> Tree {
    let mut view = bench.view();
    for op in ops {
        if matches!(op, Op::Reopen) {
            drop(view);
            view = bench.view();
        } else {
            let _ = overlaid(&view, op);
        }
    }
    view.tree()
}

fn furnish(bench: &Bench, ops: &[Op]) {
    for op in ops {
        let _ = native(&bench.host(), op);
    }
}

fn apply(bench: &Bench) -> Result<(), TestCaseError> {
    let overlay = bench.overlay();
    let told = bench.changes();
    let fail = |e: crate::ApplyError| TestCaseError::fail(format!("{e:?} {told:?}"));
    let plan = overlay.plan_apply(&Selection::All).map_err(fail)?;
    prop_assert_eq!(overlay.apply(plan).map_err(fail)?.left, 0);
    prop_assert_eq!(bench.changes(), Vec::<String>::new());
    Ok(())
}

fn ops(most: usize) -> impl Strategy<Value = Vec<Op>> {
    proptest::collection::vec(op(), 1..most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn apply_makes_the_host_what_the_kernel_showed(before in ops(24), ops in ops(24)) {
        let bench = Bench::new();
        furnish(&bench, &before);
        let host = native_tree(&bench.host());
        let shown = keep(&bench, &ops).unwrap();
        prop_assert_eq!(native_tree(&bench.host()), host, "the host is untouched");
        apply(&bench)?;
        prop_assert_eq!(without_counts(native_tree(&bench.host())), without_counts(shown));
    }

    #[test]
    fn both_backends_show_the_same_layer(before in ops(24), turns in proptest::collection::vec(ops(10), 2..5)) {
        let bench = Bench::new();
        furnish(&bench, &before);
        for (index, ops) in turns.iter().enumerate() {
            if index % 2 == 0 {
                let shown = view(&bench, ops);
                if let Some(kept) = keep(&bench, &[]) {
                    prop_assert_eq!(without_counts(kept), without_counts(shown));
                }
            } else if let Some(kept) = keep(&bench, ops) {
                let told = bench.changes();
                prop_assert_eq!(without_counts(view(&bench, &[])), without_counts(kept), "{:?}", told);
            }
        }
        let shown = view(&bench, &[]);
        apply(&bench)?;
        prop_assert_eq!(without_counts(native_tree(&bench.host())), without_counts(shown));
    }

    #[test]
    fn a_part_applied_and_the_rest_discarded(before in ops(24), ops in ops(24), pick in any::<prop::sample::Index>()) {
        let bench = Bench::new();
        furnish(&bench, &before);
        let shown = keep(&bench, &ops).unwrap();
        let changes = bench.overlay().changes().unwrap().changes;
        if changes.is_empty() {
            return Ok(());
        }
        let overlay = bench.overlay();
        let fail = |e: crate::ApplyError| TestCaseError::fail(format!("{e:?}"));
        let chosen = Selection::Paths(vec![pick.get(&changes).path.clone()]);
        let left = overlay.apply(overlay.plan_apply(&chosen).map_err(fail)?).map_err(fail)?.left;
        prop_assert!(left < u64::try_from(changes.len()).unwrap());
        prop_assert_eq!(without_counts(view(&bench, &[])), without_counts(shown));
        let host = without_counts(native_tree(&bench.host()));
        overlay.discard().unwrap();
        prop_assert_eq!(without_counts(native_tree(&bench.host())), host);
        prop_assert!(!bench.store.exists());
    }
}
