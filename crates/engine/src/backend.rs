//! Which backend keeps the overlay of a writable root: FUSE, which knows who did what and can do everything, or the
//! kernel's overlayfs, which is faster where many files are made. Pure: facts and wishes in, a choice with its reason out.

use model::{Action, Analysis, Backend, Coverage, FilePath, RootKind};
use overlay::KernelFacts;

/// What the caller asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendWish {
    /// The kernel where nothing is lost by it, else FUSE.
    #[default]
    Auto,
    /// FUSE for every root.
    Fuse,
    /// The kernel for every root but the home, whose secrets only FUSE hides; an error where it cannot be had.
    Kernel,
}

/// What is known of one root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RootFacts {
    /// Something in it must not be seen: a secret, or Belljar's own state.
    pub hides: bool,
    /// Another writable root lies inside.
    pub nested: bool,
    /// What the host and the layer say.
    pub kernel: KernelFacts,
}

/// What the run needs of its overlays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What the caller asks for.
    pub wish: BackendWish,
    /// Every change is to name the process that made it.
    pub attribution: bool,
    /// The trial is to have checkpoints, or goes on over several commands.
    pub checkpoints: bool,
    /// Bytes or files are limited.
    pub quota: bool,
    /// All effects of the command are known.
    pub explained: bool,
    /// One of them is a rename.
    pub renames: bool,
}

/// A choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// What keeps the overlay.
    pub backend: Backend,
    /// Why this one.
    pub why: &'static str,
    /// Whether FUSE takes over where the kernel refuses.
    pub or_fuse: bool,
}

impl Wanted {
    /// The part that the analysis of the command says.
    #[must_use]
    pub fn of(wish: BackendWish, analysis: &Analysis) -> Wanted {
        let does = |action| analysis.effects.iter().any(|effect| effect.action == action);
        // A program that is started and not looked into can do anything.
        let explained = analysis.coverage == Coverage::Full && !does(Action::Execute);
        Wanted { wish, explained, renames: does(Action::Rename), ..Wanted::default() }
    }
}

/// Chooses for a root of this kind.
///
/// # Errors
/// Why the kernel cannot keep it, when it must.
pub fn choose_backend(kind: RootKind, facts: &RootFacts, wanted: &Wanted) -> Result<Chosen, &'static str> {
    let fuse = |why| Ok(Chosen { backend: Backend::Fuse, why, or_fuse: false });
    let obstacle = obstacle(facts, wanted);
    match (wanted.wish, obstacle) {
        (BackendWish::Fuse, _) => fuse("asked for"),
        (BackendWish::Kernel, Some(why)) if kind == RootKind::Home => fuse(why),
        (BackendWish::Kernel, Some(why)) => Err(why),
        (BackendWish::Kernel, None) => Ok(Chosen { backend: Backend::Kernel, why: "asked for", or_fuse: false }),
        (BackendWish::Auto, Some(why)) => fuse(why),
        // The kernel answers EXDEV to a rename of a directory of the host. mv(1) copies then; git mv and others fail.
        (BackendWish::Auto, None) if !wanted.explained => {
            fuse("not all the command does is known, and only fuse can rename directories of the host")
        }
        (BackendWish::Auto, None) if wanted.renames => {
            fuse("the command renames, and only fuse can rename directories of the host")
        }
        (BackendWish::Auto, None) => Ok(Chosen {
            backend: Backend::Kernel,
            why: "all the command does is known, no rename among it",
            or_fuse: true,
        }),
    }
}

/// What the kernel's overlayfs would do wrong, in the order of weight.
fn obstacle(facts: &RootFacts, wanted: &Wanted) -> Option<&'static str> {
    let RootFacts { hides, nested, kernel } = *facts;
    let found = [
        (hides, "something in it is hidden, which only fuse can do"),
        (nested, "another writable root lies inside"),
        (wanted.attribution, "only fuse knows which process made a change"),
        (wanted.checkpoints, "only fuse keeps checkpoints"),
        (wanted.quota, "only fuse limits bytes and files"),
        (kernel.renamed, "its layer holds a renamed directory, which only fuse shows"),
        (kernel.mounts_below, "file systems are mounted inside, which only fuse shows"),
        (kernel.distant, "it or the store is not on a local file system"),
        (kernel.foreign_owners, "something in it has an owner or group that the jar has no id for"),
    ];
    found.into_iter().find_map(|(is, why)| is.then_some(why))
}

/// Whether the host and the layer need to be asked at all.
pub(crate) fn is_candidate(facts: &RootFacts, wanted: &Wanted) -> bool {
    let asked = wanted.wish == BackendWish::Kernel || (wanted.explained && !wanted.renames);
    wanted.wish != BackendWish::Fuse && asked && obstacle(facts, wanted).is_none()
}

/// The caller wants the kernel where it cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("keep the overlay of {root} by the kernel: {why}")]
pub struct BackendRefusal {
    /// The root.
    pub root: FilePath,
    /// What stands in the way.
    pub why: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPLAINED: Wanted = Wanted {
        wish: BackendWish::Auto,
        attribution: false,
        checkpoints: false,
        quota: false,
        explained: true,
        renames: false,
    };

    #[test]
    fn the_kernel_is_taken_where_nothing_is_lost() {
        let chosen = choose_backend(RootKind::Workspace, &RootFacts::default(), &EXPLAINED).unwrap();
        assert_eq!((chosen.backend, chosen.or_fuse), (Backend::Kernel, true));
        assert!(is_candidate(&RootFacts::default(), &EXPLAINED));
    }

    #[test]
    fn whatever_only_fuse_can_do_decides_for_it() {
        let kernel = KernelFacts::default();
        let facts = [
            RootFacts { hides: true, ..RootFacts::default() },
            RootFacts { nested: true, ..RootFacts::default() },
            RootFacts { kernel: KernelFacts { distant: true, ..kernel }, ..RootFacts::default() },
            RootFacts { kernel: KernelFacts { mounts_below: true, ..kernel }, ..RootFacts::default() },
            RootFacts { kernel: KernelFacts { foreign_owners: true, ..kernel }, ..RootFacts::default() },
            RootFacts { kernel: KernelFacts { renamed: true, ..kernel }, ..RootFacts::default() },
        ];
        let wanted = [
            Wanted { attribution: true, ..EXPLAINED },
            Wanted { checkpoints: true, ..EXPLAINED },
            Wanted { quota: true, ..EXPLAINED },
        ];
        let cases = facts.into_iter().map(|facts| (facts, EXPLAINED));
        let cases = cases.chain(wanted.into_iter().map(|wanted| (RootFacts::default(), wanted)));
        for (facts, wanted) in cases {
            let auto = choose_backend(RootKind::Workspace, &facts, &wanted).unwrap();
            assert_eq!(auto.backend, Backend::Fuse, "{facts:?} {wanted:?}");
            let asked = Wanted { wish: BackendWish::Kernel, ..wanted };
            let refused = choose_backend(RootKind::Workspace, &facts, &asked);
            assert_eq!(refused, Err(auto.why), "{facts:?} {wanted:?}");
            let home = choose_backend(RootKind::Home, &facts, &asked).unwrap();
            assert_eq!((home.backend, home.why), (Backend::Fuse, auto.why), "the home may stay with fuse, and says so");
        }
    }

    #[test]
    fn what_may_rename_is_for_fuse_unless_the_kernel_is_asked_for() {
        for wanted in [Wanted { explained: false, ..EXPLAINED }, Wanted { renames: true, ..EXPLAINED }] {
            let auto = choose_backend(RootKind::Workspace, &RootFacts::default(), &wanted).unwrap();
            assert_eq!(auto.backend, Backend::Fuse);
            assert!(!is_candidate(&RootFacts::default(), &wanted));
            let asked = Wanted { wish: BackendWish::Kernel, ..wanted };
            let chosen = choose_backend(RootKind::Workspace, &RootFacts::default(), &asked).unwrap();
            assert_eq!((chosen.backend, chosen.or_fuse), (Backend::Kernel, false));
            let asked = Wanted { wish: BackendWish::Fuse, ..EXPLAINED };
            let chosen = choose_backend(RootKind::Workspace, &RootFacts::default(), &asked).unwrap();
            assert_eq!(chosen.backend, Backend::Fuse);
        }
    }

    #[test]
    fn the_analysis_tells_what_may_rename() {
        let shell = analyze::ShellContext { cwd: "/w".into(), home: "/h".into(), vars: Vec::new() };
        let wanted = |text: &str| Wanted::of(BackendWish::Auto, &analyze::analyze_bytes(text.as_bytes(), &shell));
        for text in ["git status", "tar xf a.tar", "rm -rf d", "cp -r a b", "rg x"] {
            assert!(wanted(text).explained && !wanted(text).renames, "{text}");
        }
        for text in ["make", "npm ci", "cargo build", "python3 x.py", "sh x", "./x", "find . -exec ./x {} +"] {
            assert!(!wanted(text).explained, "{text}");
        }
        for text in ["mv a b", "git mv a b"] {
            assert!(wanted(text).renames, "{text}");
        }
    }
}
