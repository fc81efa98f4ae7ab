//! Which backend keeps the overlay of a writable root: FUSE, which knows who did what and can do everything, or the
//! kernel's overlayfs, which is faster where many files are made. Pure: facts and wishes in, a choice with its reason out.

use crate::trial::Observing;
use model::{Action, Analysis, Backend, BackendWish, Coverage, FilePath, RootKind};
use overlay::KernelFacts;
use std::time::SystemTime;

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
    /// Memory is limited.
    pub memory: bool,
    /// Nothing can be mounted here: the command works on copies.
    pub copies: bool,
    /// Jars inside this one are allowed.
    pub allow_nested: bool,
    /// All effects of the command are known.
    pub explained: bool,
    /// One of them is a rename.
    pub renames: bool,
    /// Every program it starts does the same on both backends.
    pub tried: bool,
    /// It touches no file at all.
    pub idle: bool,
    /// When the command was asked for; `None` for just now.
    pub begun: Option<SystemTime>,
    /// What is looked at besides.
    pub observing: Observing,
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
        let tried = !analysis.canonical.is_empty() && analysis.canonical.iter().all(|start| is_alike(&start.argv));
        let idle = analysis.effects.is_empty();
        Wanted { wish, explained, renames: does(Action::Rename), tried, idle, ..Wanted::default() }
    }

    /// Whether each root is kept by FUSE, whatever the host and the layers are like.
    pub(crate) fn is_for_fuse(&self) -> bool {
        !self.copies && self.wish != BackendWish::Kernel && (self.wish == BackendWish::Fuse || !self.is_known())
    }

    /// Whether the command is known to do the same on both backends, and does anything.
    fn is_known(&self) -> bool {
        self.explained && !self.renames && self.tried && !self.idle && !self.memory
    }
}

/// Chooses for a root of this kind.
///
/// # Errors
/// Why the kernel cannot keep it, when it must.
pub fn choose_backend(kind: RootKind, facts: &RootFacts, wanted: &Wanted) -> Result<Chosen, &'static str> {
    let fuse = |why| Ok(Chosen { backend: Backend::Fuse, why, or_fuse: false });
    if wanted.copies {
        return choose_copy(wanted);
    }
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
        (BackendWish::Auto, None) if !wanted.tried => {
            fuse("not every program it starts is known to do the same on the kernel's overlayfs")
        }
        // Seen on Linux 6.12, not on 6.1 and 7.3: the kernel ends a jar that writes more than the limit through its overlayfs,
        // and waits for the disk where nobody or FUSE is in between.
        (BackendWish::Auto, None) if wanted.memory => {
            fuse("memory is limited, and some kernels count what their overlayfs has yet to write")
        }
        // Making and settling a layer for the kernel takes a millisecond more.
        (BackendWish::Auto, None) if wanted.idle => fuse("the command touches no file"),
        (BackendWish::Auto, None) => Ok(Chosen {
            backend: Backend::Kernel,
            why: "all the command does is known, and the kernel's overlayfs does it faster",
            or_fuse: true,
        }),
    }
}

/// Where nothing can be mounted. Who asks for what only a mount can do hears that it cannot be had.
fn choose_copy(wanted: &Wanted) -> Result<Chosen, &'static str> {
    let refused = [
        (wanted.wish == BackendWish::Fuse, "nothing can be mounted here without user namespaces"),
        (wanted.wish == BackendWish::Kernel, "nothing can be mounted here without user namespaces"),
        (wanted.attribution, "--who needs fuse, which cannot be mounted here without user namespaces"),
        (wanted.quota, "limits on disk and files need fuse, which cannot be mounted here without user namespaces"),
    ];
    match refused.into_iter().find_map(|(is, why)| is.then_some(why)) {
        Some(why) => Err(why),
        None => Ok(Chosen { backend: Backend::Copy, why: "nothing can be mounted here", or_fuse: false }),
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
        // An inner apply renames directories, and root of an inner namespace could give files capabilities.
        (wanted.allow_nested, "jars are allowed inside, and only fuse holds what they apply"),
        (kernel.renamed, "its layer holds a renamed directory, which only fuse shows"),
        (kernel.mounts_below, "file systems are mounted inside, which only fuse shows"),
        (kernel.distant, "it or the store is not on a local file system"),
        (kernel.foreign_owners, "something in it has an owner or group that the jar has no id for"),
    ];
    found.into_iter().find_map(|(is, why)| is.then_some(why))
}

/// Programs that neither rename directories of the host nor link its files. A file of the host that gets a second name
/// in a user namespace shows another inode number under it, because the kernel may not decode file handles there: `git
/// clone` of a local repository takes that for an attack.
const ALIKE: &[&str] = &[
    "[",
    ":",
    "awk",
    "basename",
    "bash",
    "bunzip2",
    "bzip2",
    "cat",
    "cd",
    "chmod",
    "cmp",
    "cp",
    "cut",
    "dash",
    "diff",
    "dirname",
    "du",
    "echo",
    "egrep",
    "false",
    "fgrep",
    "file",
    "find",
    "git",
    "grep",
    "gunzip",
    "gzip",
    "head",
    "ls",
    "md5sum",
    "mkdir",
    "mkfifo",
    "printf",
    "pwd",
    "readlink",
    "realpath",
    "rg",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "set",
    "sh",
    "sha1sum",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "tail",
    "tar",
    "tee",
    "test",
    "touch",
    "tr",
    "tree",
    "true",
    "truncate",
    "uniq",
    "unlink",
    "unxz",
    "unzip",
    "unzstd",
    "wc",
    "xz",
    "zcat",
    "zip",
    "zstd",
];
/// Of git those that work on the work tree and the index.
const ALIKE_GIT: &[&str] = &[
    "add",
    "blame",
    "cat-file",
    "checkout",
    "clean",
    "describe",
    "diff",
    "grep",
    "log",
    "ls-files",
    "ls-tree",
    "reset",
    "restore",
    "rev-parse",
    "rm",
    "shortlog",
    "show",
    "stash",
    "status",
    "switch",
];

fn is_alike(argv: &[String]) -> bool {
    let Some((program, words)) = argv.split_first() else { return true };
    let name = program.rsplit('/').next().unwrap_or(program);
    ALIKE.contains(&name)
        && match name {
            "git" => git_command(words).is_some_and(|command| ALIKE_GIT.contains(&command)),
            "cp" => !words.iter().any(|word| may_link(word)),
            "find" => !words.iter().any(|word| word.starts_with("-exec") || word.starts_with("-ok")),
            _ => true,
        }
}

/// `-l`, alone or among other letters, `--link` and its abbreviations, and words that are not known.
fn may_link(word: &str) -> bool {
    let letters = word.strip_prefix('-').filter(|letters| !letters.starts_with('-'));
    letters.is_some_and(|letters| letters.contains('l')) || word.starts_with("--l") || word.starts_with('‹')
}

fn git_command(words: &[String]) -> Option<&str> {
    const WITH_VALUE: &[&str] = &["-C", "-c", "--git-dir", "--work-tree", "--namespace"];
    let mut words = words.iter();
    loop {
        let word = words.next()?;
        if WITH_VALUE.contains(&word.as_str()) {
            words.next()?;
        } else if !word.starts_with('-') {
            return Some(word);
        }
    }
}

/// Whether the host and the layer need to be asked at all.
pub(crate) fn is_candidate(facts: &RootFacts, wanted: &Wanted) -> bool {
    let asked = wanted.wish == BackendWish::Kernel || wanted.is_known();
    wanted.wish != BackendWish::Fuse && asked && obstacle(facts, wanted).is_none()
}

/// The caller wants the kernel where it cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("keep the overlay of {root} as asked for: {why}")]
pub struct BackendRefusal {
    /// The root.
    pub root: FilePath,
    /// What stands in the way.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPLAINED: Wanted = Wanted {
        wish: BackendWish::Auto,
        attribution: false,
        observing: Observing { measure: false, files: false },
        checkpoints: false,
        quota: false,
        memory: false,
        copies: false,
        allow_nested: false,
        explained: true,
        renames: false,
        tried: true,
        idle: false,
        begun: None,
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
            Wanted { allow_nested: true, ..EXPLAINED },
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
    fn what_may_rename_or_does_nothing_is_for_fuse_unless_the_kernel_is_asked_for() {
        let lacking = [
            Wanted { explained: false, ..EXPLAINED },
            Wanted { renames: true, ..EXPLAINED },
            Wanted { tried: false, ..EXPLAINED },
            Wanted { idle: true, ..EXPLAINED },
            Wanted { memory: true, ..EXPLAINED },
        ];
        for wanted in lacking {
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
    fn where_nothing_can_be_mounted_only_a_copy_is_left_and_what_it_cannot_do_is_refused() {
        let copied = Wanted { copies: true, ..EXPLAINED };
        let choose = |wanted: &Wanted| choose_backend(RootKind::Workspace, &RootFacts::default(), wanted);
        assert_eq!(choose(&copied).unwrap().backend, Backend::Copy);
        assert_eq!(choose(&Wanted { checkpoints: true, ..copied }).unwrap().backend, Backend::Copy);
        for wanted in [
            Wanted { wish: BackendWish::Fuse, ..copied },
            Wanted { wish: BackendWish::Kernel, ..copied },
            Wanted { attribution: true, ..copied },
            Wanted { quota: true, ..copied },
        ] {
            assert!(choose(&wanted).is_err(), "{wanted:?}");
        }
    }

    #[test]
    fn the_analysis_tells_what_may_rename() {
        let shell = analyze::ShellContext { cwd: "/w".into(), home: "/h".into(), ..analyze::ShellContext::default() };
        let wanted = |text: &str| Wanted::of(BackendWish::Auto, &analyze::analyze_bytes(text.as_bytes(), &shell));
        for text in ["git status", "/usr/bin/git -C d stash", "tar xf a.tar", "rm -rf d", "cp -r a b", "rg x | head"] {
            assert!(wanted(text).is_known(), "{text}");
        }
        for text in ["git clone a b", "git worktree add x", "cp -al a b", "cp --link a b", "ln a b", "env A=1 cp a b"] {
            assert!(!wanted(text).is_known(), "{text}");
        }
        for text in ["make", "npm ci", "cargo build", "python3 x.py", "sh x", "./x", "find . -exec ./x {} +"] {
            assert!(!wanted(text).explained, "{text}");
        }
        for text in ["mv a b", "git mv a b"] {
            assert!(wanted(text).renames, "{text}");
        }
    }
}
