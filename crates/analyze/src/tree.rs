//! The second opinion: what tree-sitter-bash sees, as plain facts. No tree-sitter type leaves this file.
//!
//! tree-sitter is C and meets hostile text, so its input is bounded by the caller, its work by a progress bound, and
//! the visit of its tree by a node bound; the visit itself does not recurse.

use crate::limits::{TREE_CHUNK_BYTES, TREE_CHUNKS_EACH, TREE_CHUNKS_FREE, TREE_NODES_MAX, TREE_PROGRESS_MAX};
use model::Span;
use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::ControlFlow;
use tree_sitter::{Node, ParseOptions, Parser};

/// A command as one reading sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SeenCommand {
    /// Offset of its first word.
    pub(crate) start: usize,
    /// Offsets of its further words; `None` where the two grammars cut words differently by design (`[`, `declare`).
    pub(crate) words: Option<Vec<usize>>,
}

/// What a reading of the text brought up, each list in source order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) commands: Vec<SeenCommand>,
    /// Offsets of redirection targets.
    pub(crate) redirects: Vec<usize>,
    /// Offsets of `$(`, backticks, `<(` and `>(`.
    pub(crate) substitutions: Vec<usize>,
    /// Offsets of assignments that stand in front of a command or alone.
    pub(crate) assigns: Vec<usize>,
}

impl Seen {
    /// Sorts every list, so that readings can be compared.
    pub(crate) fn sort(&mut self) {
        self.commands.sort();
        self.redirects.sort_unstable();
        self.substitutions.sort_unstable();
        self.assigns.sort_unstable();
    }
}

/// The outcome of the second reading.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It read the text without complaint.
    Clean(Seen),
    /// It marked a part as wrong or missing.
    Broken(Span),
    /// It was stopped at a bound or could not be set up.
    Stopped,
}

thread_local! {
    /// Setting a parser up costs as much as a short parse.
    static PARSER: RefCell<Option<Parser>> = const { RefCell::new(None) };
}

/// Reads `text` with tree-sitter-bash.
pub(crate) fn read(text: &str) -> Outcome {
    PARSER.with(|parser| match parser.try_borrow_mut() {
        Ok(mut parser) => read_with(&mut parser, text),
        Err(_) => Outcome::Stopped,
    })
}

fn read_with(kept: &mut Option<Parser>, text: &str) -> Outcome {
    let mut parser = kept.take().unwrap_or_default();
    if parser.language().is_none() && parser.set_language(&tree_sitter_bash::LANGUAGE.into()).is_err() {
        return Outcome::Stopped;
    }
    let mut reports = 0usize;
    let mut progress = |_: &tree_sitter::ParseState| {
        reports += 1;
        if reports > TREE_PROGRESS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let options = ParseOptions::new().progress_callback(&mut progress);
    let plain = plain(text);
    let bytes = plain.as_bytes();
    // The scanner may look far ahead from every byte. What it is given is bounded, and the text ends for it there.
    let mut left = TREE_CHUNKS_FREE + TREE_CHUNKS_EACH * (bytes.len() / TREE_CHUNK_BYTES + 1);
    let mut chunk = |at: usize, _| {
        left = left.saturating_sub(1);
        let end = if left == 0 { at } else { bytes.len().min(at + TREE_CHUNK_BYTES) };
        bytes.get(at..end).unwrap_or(&[])
    };
    let tree = parser.parse_with_options(&mut chunk, None, Some(options));
    match tree {
        Some(tree) if left > 0 => {
            let outcome = visit(tree.root_node(), text);
            *kept = Some(parser);
            outcome
        }
        // The parser is given up with what it holds.
        _ => Outcome::Stopped,
    }
}

/// The text with every byte that is not ASCII as a dot, so that offsets stay. Bash takes all other characters as parts of
/// words; the grammar takes some as blanks, and its scanner hands them to isdigit(3), which reads outside its table for
/// them (`echo {\u{1f600}`).
fn plain(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.bytes().map(|byte| if byte.is_ascii() { char::from(byte) } else { '.' }).collect())
}

fn visit(root: Node<'_>, text: &str) -> Outcome {
    let mut seen = Seen::default();
    let mut wrong: Option<Span> = None;
    let mut cursor = root.walk();
    let mut visited = 0usize;
    loop {
        visited += 1;
        if visited > TREE_NODES_MAX {
            return Outcome::Stopped;
        }
        let node = cursor.node();
        if node.is_error() || node.is_missing() {
            wrong.get_or_insert(Span::new(node.start_byte(), node.end_byte()));
        } else if node.is_named() {
            note(node, text, &mut seen);
        }
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                seen.sort();
                return match wrong {
                    Some(span) => Outcome::Broken(span),
                    None => Outcome::Clean(seen),
                };
            }
        }
    }
}

fn note(node: Node<'_>, text: &str, seen: &mut Seen) {
    match node.kind() {
        "command" => note_command(node, seen),
        "declaration_command" | "unset_command" => {
            seen.commands.push(SeenCommand { start: node.start_byte(), words: None });
        }
        "test_command" if !text.get(node.start_byte()..).is_some_and(|rest| rest.starts_with("((")) => {
            seen.commands.push(SeenCommand { start: node.start_byte(), words: None });
        }
        "file_redirect" => note_targets(node, seen),
        "herestring_redirect" | "heredoc_redirect" => seen.redirects.push(operand_start(node)),
        "command_substitution" | "process_substitution" => seen.substitutions.push(node.start_byte()),
        "variable_assignment" if assigns_plainly(node) => seen.assigns.push(node.start_byte()),
        _ => {}
    }
}

fn assigns_plainly(node: Node<'_>) -> bool {
    node.parent().is_none_or(|parent| !matches!(parent.kind(), "declaration_command"))
}

fn note_command(node: Node<'_>, seen: &mut Seen) {
    let Some(name) = node.child_by_field_name("name") else { return };
    let mut cursor = node.walk();
    let words = node.children_by_field_name("argument", &mut cursor).map(|word| word.start_byte()).collect();
    seen.commands.push(SeenCommand { start: name.start_byte(), words: Some(words) });
}

fn note_targets(node: Node<'_>, seen: &mut Seen) {
    let mut cursor = node.walk();
    seen.redirects.extend(node.children_by_field_name("destination", &mut cursor).map(|target| target.start_byte()));
}

/// Where the word of a here-document or here-string starts.
fn operand_start(node: Node<'_>) -> usize {
    let mut cursor = node.walk();
    node.named_children(&mut cursor)
        .find(|child| child.kind() != "file_descriptor")
        .map_or(node.start_byte(), |child| child.start_byte())
}
