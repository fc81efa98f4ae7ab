//! The structure of a script as our reader sees it. Spans are byte ranges of the analysed text.

use model::Span;
use std::cell::OnceCell;
use std::rc::Rc;

/// Pipelines in order, each with the operator behind it.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    pub(crate) entries: Vec<Entry>,
}

/// One pipeline and what joins it to the next.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) pipeline: Pipeline,
    pub(crate) joint: Joint,
}

/// The operator after a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joint {
    /// `;`, a newline or the end.
    Next,
    /// `&&`
    And,
    /// `||`
    Or,
    /// `&`
    Background,
}

/// Commands joined by `|`, perhaps behind `!` or `time`.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    pub(crate) commands: Vec<Command>,
    /// Start of the reserved word `time`, if there is one.
    pub(crate) timed: Option<Span>,
    /// Whether `!` stands in front.
    pub(crate) negated: bool,
}

/// A command with its redirections.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) kind: Kind,
    pub(crate) redirects: Vec<Redirect>,
    pub(crate) span: Span,
}

/// The kinds of command of the bash grammar.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Simple(Simple),
    Group(List),
    Subshell(List),
    If { branches: Vec<(List, List)>, otherwise: Option<List> },
    Loop { condition: List, body: List },
    For { name: String, words: Option<Vec<Word>>, body: List },
    ForArith { header: Vec<Part>, body: List },
    Case { subject: Word, arms: Vec<Arm> },
    Function { name: Word, body: Box<Command> },
    Arith(Vec<Part>),
    Test(Vec<Word>),
    Coproc(Box<Command>),
}

/// `NAME=value ... word ...`
#[derive(Clone, Debug, Default)]
pub(crate) struct Simple {
    pub(crate) assigns: Vec<Assign>,
    pub(crate) words: Vec<Word>,
}

/// One `patterns) list ;;` of a case command.
#[derive(Clone, Debug)]
pub(crate) struct Arm {
    pub(crate) patterns: Vec<Word>,
    pub(crate) body: List,
}

/// `name[subscript]+=value`
#[derive(Clone, Debug)]
pub(crate) struct Assign {
    pub(crate) name: String,
    pub(crate) subscript: Option<Vec<Part>>,
    pub(crate) append: bool,
    pub(crate) value: AssignValue,
    pub(crate) span: Span,
}

/// What is assigned.
#[derive(Clone, Debug)]
pub(crate) enum AssignValue {
    Scalar(Word),
    Array(Vec<Word>),
}

/// The redirection operators of bash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RedirectOp {
    /// `<`
    In,
    /// `>` and `>|`
    Out,
    /// `>>`
    Append,
    /// `<>`
    InOut,
    /// `&>` and `>&word`
    Both,
    /// `&>>`
    BothAppend,
    /// `<&`
    DupIn,
    /// `>&`
    DupOut,
    /// `<<` and `<<-`
    HereDoc,
    /// `<<<`
    HereString,
}

/// `fd op target`
#[derive(Clone, Debug)]
pub(crate) struct Redirect {
    /// The number or `{name}` in front, as written.
    pub(crate) fd: Option<String>,
    pub(crate) op: RedirectOp,
    /// The file, descriptor or string; for a here-document its delimiter.
    pub(crate) target: Word,
    /// The body of a here-document; it is read after the line that announces it.
    pub(crate) body: Option<Rc<OnceCell<Word>>>,
}

/// A word: parts that are joined without a blank.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) parts: Vec<Part>,
    pub(crate) span: Span,
}

/// A piece of a word.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// Unquoted text: globs, braces and tildes in it are live.
    Literal(String),
    /// Text from quotes or a backslash: stands for itself.
    Quoted(String, QuoteStyle),
    /// The inside of double quotes.
    Double(Vec<Part>),
    /// `$name`, `${name...}`
    Param(Box<Param>),
    /// `$(...)` or backticks.
    Substitution { list: List, span: Span },
    /// `<(...)` (reads = true) or `>(...)`.
    Process { list: List, reads: bool, span: Span },
    /// `$((...))`, `$[...]`
    Arith(Vec<Part>),
}

/// How a quoted piece was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuoteStyle {
    Single,
    Ansi,
    Backslash,
    /// Plain text inside double quotes.
    Inside,
}

/// A parameter expansion.
#[derive(Clone, Debug)]
pub(crate) struct Param {
    pub(crate) name: String,
    /// Written with braces, so that nothing behind it can become part of its name.
    pub(crate) braced: bool,
    pub(crate) subscript: Option<Vec<Part>>,
    /// `${!name}`
    pub(crate) indirect: bool,
    /// `${#name}`
    pub(crate) length: bool,
    /// The operator as written (`:-`, `%%`, `@`, `:` ...), empty for none.
    pub(crate) op: &'static str,
    pub(crate) argument: Vec<Part>,
    pub(crate) span: Span,
}

impl Word {
    /// The text if the word is one unquoted literal, as reserved words must be.
    pub(crate) fn plain(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }
}
