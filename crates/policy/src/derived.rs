//! Derived names: caches, build output and git's own bookkeeping, which tools write and make again.
//!
//! Their creation says nothing a person needs to look at. Only names that no source tree uses for its own files are
//! here: `target/debug/` and not `target/`, because a compiler's sources may well have a directory of that name.

use crate::pattern::{Fit, Folded, Table};
use model::FilePath;
use std::sync::LazyLock;

/// In what kind of tree a name lies, by how little somebody else's code there can do on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Depth {
    /// A person's own files.
    Source,
    /// Build output and installed dependencies inside a project.
    Build,
    /// A package manager's or tool's cache in the home.
    Cache,
}

pub(crate) struct Derived {
    pattern: &'static str,
    depth: Depth,
    /// Whether later builds run what is here without checking it again, so that a change to what was already there is
    /// worth a look.
    runs: bool,
}

const fn made(pattern: &'static str) -> Derived {
    Derived { pattern, depth: Depth::Build, runs: false }
}

const fn cache(pattern: &'static str, runs: bool) -> Derived {
    Derived { pattern, depth: Depth::Cache, runs }
}

static ROWS: &[Derived] = &[
    // git's own bookkeeping; hooks and settings are protected and win
    made(".git/index"),
    made(".git/index.lock"),
    made(".git/objects/"),
    made(".git/refs/"),
    made(".git/logs/"),
    made(".git/packed-refs"),
    made(".git/shallow"),
    made(".git/HEAD"),
    made(".git/ORIG_HEAD"),
    made(".git/FETCH_HEAD"),
    made(".git/MERGE_HEAD"),
    made(".git/CHERRY_PICK_HEAD"),
    made(".git/REVERT_HEAD"),
    made(".git/AUTO_MERGE"),
    made(".git/COMMIT_EDITMSG"),
    made(".git/MERGE_MSG"),
    made(".git/MERGE_MODE"),
    made(".git/SQUASH_MSG"),
    made(".git/TAG_EDITMSG"),
    made(".git/gc.log"),
    made(".git/gc.pid"),
    made(".git/description"),
    made(".git/branches/"),
    made(".git/info/refs"),
    made(".git/info/exclude"),
    made(".git/modules/**/index"),
    made(".git/modules/**/objects/"),
    made(".git/modules/**/refs/"),
    made(".git/modules/**/logs/"),
    made(".git/modules/**/HEAD"),
    made(".git/modules/**/ORIG_HEAD"),
    made(".git/modules/**/FETCH_HEAD"),
    made(".git/modules/**/packed-refs"),
    // Rust
    made("target/debug/"),
    made("target/release/"),
    made("target/doc/"),
    made("target/tmp/"),
    made("target/package/"),
    made("target/criterion/"),
    made("target/*/debug/"),
    made("target/*/release/"),
    made("target/.rustc_info.json"),
    made("target/CACHEDIR.TAG"),
    // JavaScript
    made("node_modules/"),
    made(".next/"),
    made(".nuxt/"),
    made(".turbo/"),
    made(".parcel-cache/"),
    made(".svelte-kit/"),
    made(".eslintcache"),
    made("*.tsbuildinfo"),
    // Python
    made("__pycache__/"),
    made("*.pyc"),
    made(".venv/"),
    made("venv/"),
    made(".tox/"),
    made(".nox/"),
    made(".pytest_cache/"),
    made(".mypy_cache/"),
    made(".ruff_cache/"),
    made(".ipynb_checkpoints/"),
    made("*.egg-info/"),
    made(".coverage"),
    // others
    made(".gradle/"),
    made("cmake-build-*/"),
    made("CMakeFiles/"),
    made(".DS_Store"),
    made("*.swp"),
    // caches in the home
    cache("~/.cache/", false),
    cache("~/.npm/", false),
    cache("~/.cargo/registry/index/", false),
    cache("~/.cargo/registry/cache/", false),
    cache("~/.cargo/registry/src/", true),
    cache("~/.cargo/registry/CACHEDIR.TAG", false),
    cache("~/.cargo/git/db/", true),
    cache("~/.cargo/git/checkouts/", true),
    cache("~/.cargo/git/CACHEDIR.TAG", false),
    cache("~/.cargo/.package-cache", false),
    cache("~/.cargo/.package-cache-mutate", false),
    cache("~/.cargo/.global-cache", false),
    cache("~/.rustup/tmp/", false),
    cache("~/.rustup/downloads/", false),
    cache("~/go/pkg/", true),
    cache("~/.m2/repository/", true),
    cache("~/.gradle/caches/", true),
    cache("~/.gradle/daemon/", false),
    cache("~/.ivy2/cache/", true),
    cache("~/.nuget/packages/", true),
    cache("~/.yarn/cache/", false),
    cache("~/.yarn/berry/cache/", false),
    cache("~/.bun/install/cache/", true),
    cache("~/.deno/", true),
    cache("~/.node-gyp/", true),
    cache("~/.local/share/pnpm/store/", true),
    cache("~/.ccache/", false),
];

static TABLE: LazyLock<Table<Derived>> = LazyLock::new(|| Table::new(ROWS, |row| row.pattern));

/// The deepest tree `path` lies in, or [`Depth::Source`], and whether what lies there is run unchecked.
pub(crate) fn find(path: &Folded, home: &Folded) -> (Depth, bool) {
    let met = TABLE.matches(path, home).into_iter().filter(|(fit, _)| *fit == Fit::Within);
    met.map(|(_, row)| (row.depth, row.runs)).max().unwrap_or((Depth::Source, false))
}

/// Whether a path is, or lies in, what tools write and make again: build output, installed dependencies, git's own
/// bookkeeping, caches in the home. By name alone: whether a file of that name is somebody's source is for the caller.
#[must_use]
pub fn is_derived(path: &FilePath, home: &FilePath) -> bool {
    find(&Folded::new(path), &Folded::new(home)).0 > Depth::Source
}

#[cfg(test)]
mod tests {
    use super::{Depth, find};
    use crate::pattern::Folded;
    use model::FilePath;

    #[test]
    fn what_tools_make_is_known() {
        let home = Folded::new(&FilePath::from("/home/u"));
        for (path, expected) in [
            ("/w/target/debug/app", Depth::Build),
            ("/w/src/target/mod.rs", Depth::Source),
            ("/w/node_modules/a/index.js", Depth::Build),
            ("/w/.git/objects/ab/cdef", Depth::Build),
            ("/w/.git/custom", Depth::Source),
            ("/home/u/.cache/x", Depth::Cache),
            ("/srv/.cache/x", Depth::Source),
            ("/home/u/.cargo/registry/src/a/b/node_modules/x", Depth::Cache),
        ] {
            assert_eq!(find(&Folded::new(&FilePath::from(path)), &home).0, expected, "{path}");
        }
    }
}
