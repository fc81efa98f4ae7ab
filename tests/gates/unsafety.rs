//! `unsafe` lives in two files.

use super::source::{Source, sources};
use super::{checkout, seeded};
use proc_macro2::{TokenStream, TokenTree};
use std::path::Path;
use syn::visit::{self, Visit};

const ALLOWED: [&str; 2] = ["crates/sandbox/src/sys.rs", "crates/overlay/src/sys.rs"];

/// Every `unsafe` and every foreign declaration outside the allowed files, as `file:line`.
fn unsafe_outside(tree: &Path, below: &str) -> Vec<String> {
    let all = sources(tree, below);
    let shipped = all.iter().filter(|source| {
        source.path.components().any(|part| part.as_os_str() == "src" || part.as_os_str() == "cli")
            && !ALLOWED.iter().any(|allowed| source.path == Path::new(allowed))
    });
    shipped.flat_map(places).collect()
}

fn places(source: &Source) -> Vec<String> {
    let mut seen = Seen::default();
    seen.visit_file(&source.file);
    seen.0.iter().map(|line| format!("{}:{line}", source.path.display())).collect()
}

#[derive(Default)]
struct Seen(Vec<usize>);

impl Seen {
    fn mark(&mut self, token: Option<&syn::Token![unsafe]>) {
        self.0.extend(token.map(|unsafe_token| unsafe_token.span.start().line));
    }

    fn tokens(&mut self, stream: TokenStream) {
        for token in stream {
            match token {
                TokenTree::Ident(word) if word == "unsafe" => self.0.push(word.span().start().line),
                TokenTree::Group(group) => self.tokens(group.stream()),
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Seen {
    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.mark(Some(&block.unsafe_token));
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let syn::Safety::Unsafe(token) = &signature.safety {
            self.mark(Some(token));
        }
        visit::visit_signature(self, signature);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.mark(item.unsafety.as_ref());
        visit::visit_item_impl(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.mark(item.unsafety.as_ref());
        visit::visit_item_trait(self, item);
    }

    fn visit_item_foreign_mod(&mut self, item: &'ast syn::ItemForeignMod) {
        self.0.push(item.abi.extern_token.span.start().line);
        visit::visit_item_foreign_mod(self, item);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(list.path.segments.iter().map(|segment| TokenTree::Ident(segment.ident.clone())).collect());
            self.tokens(list.tokens.clone());
        }
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.tokens(mac.tokens.clone());
    }
}

#[test]
fn unsafe_is_in_two_files_only() {
    assert_eq!(unsafe_outside(&checkout(), "crates"), Vec::<String>::new());
}

#[test]
fn a_seeded_unsafe_is_caught() {
    for seed in [
        "fn f() { unsafe { g() } }",
        "unsafe fn f() {}",
        "struct S; unsafe impl Send for S {}",
        "unsafe trait T {}",
        "unsafe extern \"C\" { fn getpid() -> i32; }",
        "macro_rules! m { () => { unsafe { g() } } }",
        "fn f() { vec![unsafe { g() }]; }",
        "#[unsafe(no_mangle)] pub fn f() {}",
        "#[cfg(test)] mod tests { fn f() { unsafe { g() } } }",
    ] {
        let tree = seeded("crates/engine/src/sys.rs", seed);
        assert_ne!(unsafe_outside(tree.path(), "crates"), Vec::<String>::new(), "{seed}");
        let tree = seeded("crates/overlay/src/sys.rs", seed);
        assert_eq!(unsafe_outside(tree.path(), "crates"), Vec::<String>::new(), "{seed}");
    }
    let quiet = seeded("crates/engine/src/lib.rs", "//! unsafe\n#![forbid(unsafe_code)]\nconst S: &str = \"unsafe\";");
    assert_eq!(unsafe_outside(quiet.path(), "crates"), Vec::<String>::new());
}
