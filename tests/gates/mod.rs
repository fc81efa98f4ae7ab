//! Gates: what the architecture forbids, held by tests. Each gate is a function over a tree of sources, so that a
//! seeded violation in a copy shows that it really catches one.

mod documents;
mod floors;
mod lints;
mod purity;
mod source;
mod unsafety;

use std::path::PathBuf;

/// The checkout.
pub fn checkout() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A tree with one source file in it, for seeding a violation.
fn seeded(path: &str, text: &str) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let file = tree.path().join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
    tree
}
