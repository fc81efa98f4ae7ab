//! The lints that keep panics and unsafe code out are on in every crate, and no shipped code switches one off.

use super::source::{Source, attributes, is_test, sources};
use super::{checkout, seeded};
use std::path::Path;
use syn::visit::{self, Visit};

/// Denied in the workspace's Cargo.toml; a shipped `allow` of one of these is a hole.
const HELD: [&str; 9] = [
    "unsafe_code",
    "clippy::undocumented_unsafe_blocks",
    "clippy::unwrap_used",
    "clippy::expect_used",
    "clippy::panic",
    "clippy::unreachable",
    "clippy::indexing_slicing",
    "clippy::string_slice",
    "clippy::exit",
];
/// The kernel-facing files carry `unsafe_code`; the test world stops its test by a panic.
const EXCUSED: [(&str, &[&str]); 3] = [
    ("crates/sandbox/src/sys.rs", &["unsafe_code"]),
    ("crates/overlay/src/sys.rs", &["unsafe_code"]),
    ("crates/testkit/src/lib.rs", &HELD),
];

/// `allow` and `expect` attributes over a held lint outside tests, as `file: lint`.
fn switched_off(tree: &Path, below: &str) -> Vec<String> {
    let all = sources(tree, below);
    let shipped = all
        .iter()
        .filter(|source| source.path.components().any(|part| part.as_os_str() == "src" || part.as_os_str() == "cli"));
    shipped.flat_map(holes).collect()
}

fn holes(source: &Source) -> Vec<String> {
    let excused = EXCUSED.iter().find(|(path, _)| source.path == Path::new(path)).map_or(&[][..], |(_, lints)| lints);
    let mut allowed = Allowed::default();
    allowed.visit_file(&source.file);
    let held = allowed.0.into_iter().filter(|lint| HELD.contains(&lint.as_str()) && !excused.contains(&lint.as_str()));
    held.map(|lint| format!("{}: {lint}", source.path.display())).collect()
}

#[derive(Default)]
struct Allowed(Vec<String>);

impl<'ast> Visit<'ast> for Allowed {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if !attribute.path().is_ident("allow") && !attribute.path().is_ident("expect") {
            return;
        }
        // A lint list may end in `reason = ".."`; the paths before it are what counts.
        if let syn::Meta::List(list) = &attribute.meta {
            let text = list.tokens.to_string().replace(' ', "");
            self.0.extend(text.split(',').filter(|word| !word.contains('=')).map(str::to_owned));
        }
    }
}

#[test]
fn no_shipped_code_switches_a_lint_off() {
    assert_eq!(switched_off(&checkout(), "crates"), Vec::<String>::new());
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    for item in std::fs::read_dir(checkout().join("crates")).unwrap() {
        let manifest = item.unwrap().path().join("Cargo.toml");
        if let Ok(text) = std::fs::read_to_string(&manifest) {
            assert!(text.contains("[lints]\nworkspace = true"), "{}", manifest.display());
        }
    }
}

#[test]
fn a_seeded_allow_is_caught() {
    for (seed, expected) in [
        ("#![allow(clippy::unwrap_used)]", "clippy::unwrap_used"),
        ("#[allow(dead_code, clippy::panic, reason = \"why not\")] fn f() {}", "clippy::panic"),
        ("fn f() { #[expect(clippy::indexing_slicing)] let x = y[0]; }", "clippy::indexing_slicing"),
        ("mod m { #![allow(unsafe_code)] }", "unsafe_code"),
    ] {
        let tree = seeded("crates/engine/src/seed.rs", seed);
        assert_eq!(switched_off(tree.path(), "crates"), [format!("crates/engine/src/seed.rs: {expected}")], "{seed}");
    }
    let fine = seeded(
        "crates/engine/src/ok.rs",
        "#[allow(dead_code)] fn f() {}\n#[cfg(test)] #[allow(clippy::panic)] mod t {}",
    );
    assert_eq!(switched_off(fine.path(), "crates"), Vec::<String>::new());
}
