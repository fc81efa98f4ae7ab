//! Rust sources as syntax trees, with every path written out: `use std::{fs as f}; f::read(..)` reads `std::fs::read`.

use proc_macro2::{TokenStream, TokenTree};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};

/// A parsed file with its path relative to the tree.
pub struct Source {
    pub path: PathBuf,
    pub file: syn::File,
}

/// A full path that is used, or a method or macro that is called, with its line.
#[derive(Debug)]
pub enum Used {
    Path(String, usize),
    Method(String, usize),
    Macro(String, usize),
}

/// Every `.rs` file below `tree/below` but those that are compiled for tests only (`#[cfg(test)] mod tests;`).
pub fn sources(tree: &Path, below: &str) -> Vec<Source> {
    let mut found = Vec::new();
    walk(tree, &tree.join(below), &mut found);
    let tests: Vec<PathBuf> = found.iter().flat_map(test_modules).collect();
    found.retain(|source| {
        !tests.iter().any(|module| source.path.starts_with(module) || source.path == module.with_extension("rs"))
    });
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The paths, without `.rs`, of the modules in files of their own that `source` declares for tests only.
fn test_modules(source: &Source) -> Vec<PathBuf> {
    let own_directory = ["lib.rs", "main.rs", "mod.rs"].iter().any(|name| source.path.ends_with(name));
    let dir = if own_directory { source.path.parent().unwrap().to_owned() } else { source.path.with_extension("") };
    let modules = source.file.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if module.content.is_none() && is_test(&module.attrs) => Some(module.ident.to_string()),
        _ => None,
    });
    modules.map(|name| dir.join(name)).collect()
}

fn walk(tree: &Path, dir: &Path, found: &mut Vec<Source>) {
    for item in std::fs::read_dir(dir).unwrap_or_else(|e| panic!("list {}: {e}", dir.display())) {
        let path = item.unwrap().path();
        if path.is_dir() {
            walk(tree, &path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let file = syn::parse_file(&text).unwrap_or_else(|e| panic!("parse {}: {e}", path.display()));
            found.push(Source { path: path.strip_prefix(tree).unwrap().to_owned(), file });
        }
    }
}

/// Everything a file uses outside `#[cfg(test)]` items.
pub fn used(source: &Source) -> Vec<Used> {
    let mut names = Names::default();
    names.visit_file(&source.file);
    let mut uses = Uses { names: names.0, found: Vec::new() };
    uses.visit_file(&source.file);
    uses.found
}

/// Whether an item is compiled for tests only.
pub fn is_test(attrs: &[syn::Attribute]) -> bool {
    attrs.iter().any(|attr| {
        attr.path().is_ident("test")
            || (attr.path().is_ident("cfg") && attr.parse_args::<syn::Ident>().is_ok_and(|word| word == "test"))
    })
}

/// The attributes of an item, whatever it is.
pub fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(i) => &i.attrs,
        syn::Item::Enum(i) => &i.attrs,
        syn::Item::Fn(i) => &i.attrs,
        syn::Item::Impl(i) => &i.attrs,
        syn::Item::Macro(i) => &i.attrs,
        syn::Item::Mod(i) => &i.attrs,
        syn::Item::Static(i) => &i.attrs,
        syn::Item::Struct(i) => &i.attrs,
        syn::Item::Trait(i) => &i.attrs,
        syn::Item::Type(i) => &i.attrs,
        syn::Item::Use(i) => &i.attrs,
        _ => &[],
    }
}

/// First pass: what each imported name stands for.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        each_import(&item.tree, String::new(), &mut |full, name| {
            self.0.insert(name.to_owned(), full.to_owned());
        });
    }
}

/// Calls `seen` with the full path and the local name of everything a `use` brings in; a glob's name is `*`.
fn each_import(tree: &syn::UseTree, before: String, seen: &mut impl FnMut(&str, &str)) {
    let join = |name: &str| {
        if before.is_empty() { name.to_owned() } else { format!("{before}::{name}") }
    };
    match tree {
        syn::UseTree::Path(path) => each_import(&path.tree, join(&path.ident.to_string()), seen),
        syn::UseTree::Name(name) if name.ident == "self" => {
            let last = before.rsplit("::").next().unwrap_or_default().to_owned();
            seen(&before, &last);
        }
        syn::UseTree::Name(name) => seen(&join(&name.ident.to_string()), &name.ident.to_string()),
        syn::UseTree::Rename(rename) if rename.ident == "self" => seen(&before, &rename.rename.to_string()),
        syn::UseTree::Rename(rename) => seen(&join(&rename.ident.to_string()), &rename.rename.to_string()),
        syn::UseTree::Glob(_) => seen(&join("*"), "*"),
        syn::UseTree::Group(group) => group.items.iter().for_each(|item| each_import(item, before.clone(), seen)),
    }
}

/// Second pass: every path, method and macro, with imported names written out.
struct Uses {
    names: HashMap<String, String>,
    found: Vec<Used>,
}

impl Uses {
    fn path(&mut self, segments: &[String], line: usize) {
        let Some(first) = segments.first() else {
            return;
        };
        let head = self.names.get(first).cloned().unwrap_or_else(|| first.clone());
        let full = std::iter::once(head).chain(segments.iter().skip(1).cloned()).collect::<Vec<_>>().join("::");
        self.found.push(Used::Path(full, line));
    }

    /// The inside of a macro is tokens; the paths in it are runs of words with `::` between them.
    fn tokens(&mut self, stream: TokenStream) {
        let mut run: Vec<String> = Vec::new();
        let (mut line, mut colons) = (0, 0);
        for token in stream {
            match token {
                TokenTree::Ident(word) => {
                    if colons < 2 {
                        self.path(&std::mem::take(&mut run), line);
                        line = word.span().start().line;
                    }
                    run.push(word.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.path(&std::mem::take(&mut run), line);
                    colons = 0;
                    self.tokens(group.stream());
                }
                _ => {
                    self.path(&std::mem::take(&mut run), line);
                    colons = 0;
                }
            }
        }
        self.path(&run, line);
    }
}

impl<'ast> Visit<'ast> for Uses {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let line = item.use_token.span.start().line;
        each_import(&item.tree, String::new(), &mut |full, _| self.found.push(Used::Path(full.to_owned(), line)));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let line = path.segments.first().map_or(0, |first| first.ident.span().start().line);
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.path(&segments, line);
        visit::visit_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.found.push(Used::Method(call.method.to_string(), call.method.span().start().line));
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        if let Some(name) = mac.path.segments.last() {
            self.found.push(Used::Macro(name.ident.to_string(), name.ident.span().start().line));
        }
        self.tokens(mac.tokens.clone());
    }
}
