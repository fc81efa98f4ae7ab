//! The second opinion: what tree-sitter-bash sees, as plain facts. No tree of bash leaves this file; that of
//! another language is handed to the reader of its code.
//!
//! tree-sitter is C and meets hostile text, so its input is bounded by the caller, its work by a progress bound, and
//! the visit of its tree by a node bound; the visit itself does not recurse.

use crate::limits::{TREE_CHUNK_BYTES, TREE_CHUNKS_EACH, TREE_CHUNKS_FREE, TREE_NODES_MAX, TREE_PROGRESS_MAX};
use model::Span;
use std::borrow::Cow;
use std::cell::RefCell;
use std::num::NonZeroU16;
use std::ops::ControlFlow;
use std::sync::LazyLock;
use tree_sitter::{Language, Node, ParseOptions, Parser, Tree};

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
    let plain = plain(text, '.');
    match parse(&mut parser, plain.as_bytes()) {
        Some(tree) => {
            let outcome = visit(tree.root_node(), text);
            *kept = Some(parser);
            outcome
        }
        // The parser is given up with what it holds.
        None => Outcome::Stopped,
    }
}

/// A grammar of code that stands in a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodeGrammar {
    Python,
    JavaScript,
    Ruby,
}

impl CodeGrammar {
    fn language(self) -> Language {
        match self {
            CodeGrammar::Python => tree_sitter_python::LANGUAGE,
            CodeGrammar::JavaScript => tree_sitter_javascript::LANGUAGE,
            CodeGrammar::Ruby => tree_sitter_ruby::LANGUAGE,
        }
        .into()
    }
}

thread_local! {
    static PARSERS: RefCell<[Option<Parser>; 3]> = const { RefCell::new([None, None, None]) };
}

/// Reads `code` and gives the tree to `judge`. `None` where reading was stopped at a bound.
pub(crate) fn with_code<T>(grammar: CodeGrammar, code: &str, judge: impl FnOnce(Node<'_>) -> T) -> Option<T> {
    PARSERS.with(|parsers| {
        let mut all = parsers.try_borrow_mut().ok()?;
        let kept = all.get_mut(grammar as usize)?;
        let mut parser = kept.take().unwrap_or_default();
        if parser.language().is_none() {
            parser.set_language(&grammar.language()).ok()?;
        }
        let tree = parse(&mut parser, plain(code, 'x').as_bytes())?;
        *kept = Some(parser);
        Some(judge(tree.root_node()))
    })
}

/// Parses within the bounds; `None` where one is hit, and the parser should not be used again.
fn parse(parser: &mut Parser, bytes: &[u8]) -> Option<Tree> {
    let mut reports = 0usize;
    let mut progress = |_: &tree_sitter::ParseState| {
        reports += 1;
        if reports > TREE_PROGRESS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let options = ParseOptions::new().progress_callback(&mut progress);
    // The scanner may look far ahead from every byte. What it is given is bounded, and the text ends for it there.
    let mut left = TREE_CHUNKS_FREE + TREE_CHUNKS_EACH * (bytes.len() / TREE_CHUNK_BYTES + 1);
    let mut chunk = |at: usize, _| {
        left = left.saturating_sub(1);
        let end = if left == 0 { at } else { bytes.len().min(at + TREE_CHUNK_BYTES) };
        bytes.get(at..end).unwrap_or(&[])
    };
    parser.parse_with_options(&mut chunk, None, Some(options)).filter(|_| left > 0)
}

/// The text with every byte that is not ASCII as `stand_in`, so that offsets stay. Bash takes all other characters as parts of
/// words; the grammar takes some as blanks, and its scanner hands them to isdigit(3), which reads outside its table for
/// them (`echo {\u{1f600}`).
fn plain(text: &str, stand_in: char) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.bytes().map(|byte| if byte.is_ascii() { char::from(byte) } else { stand_in }).collect())
}

/// The numbers of the fields that are looked at, and the kinds of node by theirs: numbers compare much quicker than names.
struct Grammar {
    kinds: Vec<Option<Kind>>,
    name: Option<NonZeroU16>,
    argument: Option<NonZeroU16>,
    destination: Option<NonZeroU16>,
}

/// The kinds of node that say something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Command,
    Declaration,
    Unset,
    Test,
    FileRedirect,
    TextRedirect,
    Substitution,
    Assignment,
    /// `for ((i = 0; ...))`: what its header assigns is arithmetic.
    ArithmeticFor,
    Descriptor,
}

const KINDS: &[(&str, Kind)] = &[
    ("command", Kind::Command),
    ("declaration_command", Kind::Declaration),
    ("unset_command", Kind::Unset),
    ("test_command", Kind::Test),
    ("file_redirect", Kind::FileRedirect),
    ("herestring_redirect", Kind::TextRedirect),
    ("heredoc_redirect", Kind::TextRedirect),
    ("command_substitution", Kind::Substitution),
    ("process_substitution", Kind::Substitution),
    ("variable_assignment", Kind::Assignment),
    ("c_style_for_statement", Kind::ArithmeticFor),
    ("file_descriptor", Kind::Descriptor),
];

static GRAMMAR: LazyLock<Grammar> = LazyLock::new(|| {
    let language: Language = tree_sitter_bash::LANGUAGE.into();
    let kind = |id: usize| {
        let name = u16::try_from(id).ok().and_then(|id| language.node_kind_for_id(id))?;
        KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    };
    Grammar {
        kinds: (0..language.node_kind_count()).map(kind).collect(),
        name: language.field_id_for_name("name"),
        argument: language.field_id_for_name("argument"),
        destination: language.field_id_for_name("destination"),
    }
});

/// A node on the way from the root to where the visit is.
struct Above {
    kind: Option<Kind>,
    start: usize,
    /// The command this is, as an index of [`Seen::commands`], once its name was met.
    command: Option<usize>,
    /// The word of this here-document or here-string was met.
    operand: bool,
}

/// One walk over the tree that never looks back or down: every node is noted from its kind, its field and what it stands in.
fn visit(root: Node<'_>, text: &str) -> Outcome {
    let grammar = &*GRAMMAR;
    let mut seen = Seen::default();
    let mut wrong: Option<Span> = None;
    let mut above: Vec<Above> = Vec::new();
    let mut cursor = root.walk();
    let mut visited = 0usize;
    loop {
        visited += 1;
        if visited > TREE_NODES_MAX {
            return Outcome::Stopped;
        }
        let node = cursor.node();
        let start = node.start_byte();
        let kind = grammar.kinds.get(usize::from(node.kind_id())).copied().flatten().filter(|_| node.is_named());
        if let Some(parent) = above.last_mut().filter(|parent| parent.kind.is_some()) {
            note_part(parent, &node, kind, cursor.field_id(), &mut seen);
        }
        if node.is_error() || node.is_missing() {
            wrong.get_or_insert(Span::new(start, node.end_byte()));
        } else if let Some(kind) = kind {
            note(kind, above.last().and_then(|parent| parent.kind), start, text, &mut seen);
        }
        if cursor.goto_first_child() {
            above.push(Above { kind, start, command: None, operand: false });
            continue;
        }
        while !cursor.goto_next_sibling() {
            if let Some(left) = above.pop()
                && left.kind == Some(Kind::TextRedirect)
                && !left.operand
            {
                seen.redirects.push(left.start);
            }
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

/// What a node is to the node it stands in.
fn note_part(parent: &mut Above, node: &Node<'_>, kind: Option<Kind>, field: Option<NonZeroU16>, seen: &mut Seen) {
    let start = node.start_byte();
    match parent.kind {
        Some(Kind::Command) if field.is_some() && field == GRAMMAR.name && parent.command.is_none() => {
            parent.command = Some(seen.commands.len());
            seen.commands.push(SeenCommand { start, words: Some(Vec::new()) });
        }
        Some(Kind::Command) if field.is_some() && field == GRAMMAR.argument => {
            let command = parent.command.and_then(|at| seen.commands.get_mut(at));
            if let Some(words) = command.and_then(|command| command.words.as_mut()) {
                words.push(start);
            }
        }
        Some(Kind::FileRedirect) if field.is_some() && field == GRAMMAR.destination => seen.redirects.push(start),
        Some(Kind::TextRedirect) if !parent.operand && node.is_named() && kind != Some(Kind::Descriptor) => {
            parent.operand = true;
            seen.redirects.push(start);
        }
        _ => {}
    }
}

fn note(kind: Kind, parent: Option<Kind>, start: usize, text: &str, seen: &mut Seen) {
    match kind {
        Kind::Declaration | Kind::Unset => seen.commands.push(SeenCommand { start, words: None }),
        Kind::Test if !text.get(start..).is_some_and(|rest| rest.starts_with("((")) => {
            seen.commands.push(SeenCommand { start, words: None });
        }
        Kind::Substitution => seen.substitutions.push(start),
        Kind::Assignment if !matches!(parent, Some(Kind::Declaration | Kind::ArithmeticFor)) => {
            seen.assigns.push(start)
        }
        _ => {}
    }
}
