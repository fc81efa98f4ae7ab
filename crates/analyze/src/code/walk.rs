//! The walker that all grammars share: every node must be of a kind that the language lists or has a rule for.

use super::Facts;
use crate::tree::{self, CodeGrammar};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;
use tree_sitter::Node;

/// Longest program that is looked at.
pub(super) const CODE_BYTES_MAX: usize = 16 << 10;
/// Nesting of expressions and statements; bounds the recursion.
const DEPTH_MAX: usize = 100;

/// A set of names.
pub(super) type Names = LazyLock<HashSet<&'static str>>;
/// Modules or constants with the names of each that may be used; `*` stands for all that start with no underscore.
pub(super) type Modules = LazyLock<HashMap<&'static str, HashSet<&'static str>>>;

/// The blank-separated words of a list.
pub(super) fn words(list: &'static str) -> HashSet<&'static str> {
    list.split_ascii_whitespace().collect()
}

/// The lists of modules.
pub(super) fn modules(all: &[(&'static str, &'static str)]) -> HashMap<&'static str, HashSet<&'static str>> {
    all.iter().map(|(name, list)| (*name, words(list))).collect()
}

/// Whether a module's list holds `name`.
pub(super) fn listed(names: &HashSet<&'static str>, name: &str) -> bool {
    !name.starts_with('_') && (names.contains(name) || names.contains("*"))
}

/// What to make of a node. `None`: it is not known to be harmless.
pub(super) type Rule = for<'r, 'c, 't> fn(&'r mut Reader<'c>, Node<'t>, usize) -> Option<()>;

/// A language as a table.
pub(super) struct Language {
    pub(super) grammar: CodeGrammar,
    /// Nodes that are harmless when all in them is.
    pub(super) plain: &'static Names,
    /// Nodes that have a rule of their own.
    pub(super) rules: &'static [(&'static str, Rule)],
    /// Nodes that bind names, looked at before everything else.
    pub(super) binders: &'static [(&'static str, Rule)],
}

/// Walks one program.
pub(super) struct Reader<'c> {
    pub(super) code: &'c str,
    language: &'static Language,
    /// Names that stand for a module.
    pub(super) modules: BTreeMap<String, &'static str>,
    /// Names the program gives to values of its own.
    pub(super) bound: BTreeSet<String>,
    /// Names the program gives to functions of its own, and to nothing else.
    pub(super) functions: BTreeSet<String>,
    /// Names that are bound once, to this constant: a text, or a path made from one.
    pub(super) constants: BTreeMap<String, Constant>,
    pub(super) facts: Facts,
}

/// A constant a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Constant {
    Text(String),
    Path(String),
}

/// What `code` does; `None` where anything in it is not in the tables.
pub(super) fn read(language: &'static Language, code: &str) -> Option<Facts> {
    if code.len() > CODE_BYTES_MAX {
        return None;
    }
    tree::with_code(language.grammar, code, |root| {
        if root.has_error() || !is_shallow(root, 0) {
            return None;
        }
        let mut reader = Reader {
            code,
            language,
            modules: BTreeMap::new(),
            bound: BTreeSet::new(),
            functions: BTreeSet::new(),
            constants: BTreeMap::new(),
            facts: Facts::default(),
        };
        reader.bind(root, 0)?;
        reader.node(root, 0)?;
        Some(reader.facts)
    })
    .flatten()
}

impl<'c> Reader<'c> {
    /// The source of a node.
    pub(super) fn text(&self, node: Node<'_>) -> &'c str {
        self.code.get(node.byte_range()).unwrap_or("")
    }

    /// The source of a field of a node; empty where there is none.
    pub(super) fn field(&self, node: Node<'_>, field: &str) -> &'c str {
        node.child_by_field_name(field).map_or("", |child| self.text(child))
    }

    /// Gathers the names a program binds, wherever it does.
    fn bind(&mut self, node: Node<'_>, depth: usize) -> Option<()> {
        let kind = node.kind();
        if let Some((_, rule)) = self.language.binders.iter().find(|(name, _)| *name == kind) {
            rule(self, node, depth)?;
        }
        named(node).into_iter().try_for_each(|child| self.bind(child, depth + 1))
    }

    /// Judges a node by its kind.
    pub(super) fn node(&mut self, node: Node<'_>, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX || node.is_error() || node.is_missing() {
            return None;
        }
        let kind = node.kind();
        if let Some((_, rule)) = self.language.rules.iter().find(|(name, _)| *name == kind) {
            return rule(self, node, depth);
        }
        if self.language.plain.contains(kind) { self.all(node, depth) } else { None }
    }

    /// Judges what is in a node.
    pub(super) fn all(&mut self, node: Node<'_>, depth: usize) -> Option<()> {
        named(node).into_iter().try_for_each(|child| self.node(child, depth + 1))
    }

    /// Judges a field of a node; one that is not there is harmless.
    pub(super) fn in_field(&mut self, node: Node<'_>, field: &str, depth: usize) -> Option<()> {
        node.child_by_field_name(field).map_or(Some(()), |child| self.node(child, depth + 1))
    }

    /// Binds `name` to a value.
    pub(super) fn bind_name(&mut self, name: &str) {
        self.functions.remove(name);
        self.constants.remove(name);
        self.bound.insert(name.to_owned());
    }

    /// Binds `name` to a function; a second meaning makes it a value.
    pub(super) fn bind_function(&mut self, name: &str) {
        if self.bound.insert(name.to_owned()) {
            self.functions.insert(name.to_owned());
        } else {
            self.functions.remove(name);
        }
    }
}

/// Whether nothing is nested too deeply. Looked at first: every rule that descends is then bounded by it.
fn is_shallow(node: Node<'_>, depth: usize) -> bool {
    depth <= DEPTH_MAX && named(node).into_iter().all(|child| is_shallow(child, depth + 1))
}

/// A harmless node without anything in it that is looked at.
pub(super) fn harmless(_: &mut Reader<'_>, _: Node<'_>, _: usize) -> Option<()> {
    Some(())
}

pub(super) fn named<'t>(node: Node<'t>) -> Vec<Node<'t>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor).collect()
}
