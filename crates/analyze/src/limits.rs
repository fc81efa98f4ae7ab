//! Every bound of the analyser in one place. Exceeding one can only raise the verdict (BJ090), never skip a part.

/// Longest text that is parsed: twice the 128 KiB that Linux lets one argument of execve(2) have.
pub(crate) const TEXT_BYTES_MAX: usize = 1 << 18;
/// Nesting of compound commands, substitutions and expansions; bounds the recursion of the reader.
pub(crate) const DEPTH_MAX: usize = 48;
/// Simple commands, words and parts in one text, those of the texts inside it counted too. A hundred kilobytes that are
/// dense in commands take over a hundred milliseconds to judge; nobody reads such a text, and this keeps it below twenty.
pub(crate) const NODES_MAX: usize = 6_000;
/// Bytes of code in other languages that cost as much as one node.
pub(crate) const CODE_BYTES_A_NODE: usize = 8;
/// Shell text inside shell text (`bash -c`, `eval`): levels that are followed.
pub(crate) const NESTED_TEXT_DEPTH_MAX: usize = 8;
/// Calls of functions defined in the text that are followed.
pub(crate) const CALL_DEPTH_MAX: usize = 8;
/// Wrappers taken off one command (`sudo env nice ...`).
pub(crate) const WRAPPER_DEPTH_MAX: usize = 16;
/// Simple commands that are evaluated, counting repeated calls of functions.
pub(crate) const STEPS_MAX: usize = 2_000;
/// Values one variable or word may have before it counts as unknown.
pub(crate) const VALUES_MAX: usize = 16;
/// Words that brace expansion and splitting may make of one.
pub(crate) const FIELDS_MAX: usize = 512;
/// Bytes of one computed value (assignments can double a string with each step).
pub(crate) const VALUE_BYTES_MAX: usize = 1 << 14;
/// Working directories that are followed at once where a `cd` may have failed.
pub(crate) const CWDS_MAX: usize = 4;
/// Effects and findings that are listed.
pub(crate) const REPORT_MAX: usize = 6_000;
/// Nodes of the tree-sitter tree that are visited.
pub(crate) const TREE_NODES_MAX: usize = 2_000_000;
/// Times tree-sitter may report progress before it is stopped; it reports every hundred or so steps of its parser.
pub(crate) const TREE_PROGRESS_MAX: usize = 400_000;
/// Bytes tree-sitter is given at a time.
pub(crate) const TREE_CHUNK_BYTES: usize = 4096;
/// Times it may ask for bytes at all, and how often more for each chunk of the text: its scanner looks ahead without a
/// bound of its own, which makes some texts quadratic.
pub(crate) const TREE_CHUNKS_FREE: usize = 500;
pub(crate) const TREE_CHUNKS_EACH: usize = 40;
/// Characters of source text that are repeated in an effect or the canonical form.
pub(crate) const SOURCE_CHARS_MAX: usize = 200;
/// Components of a working directory that is followed; `cd a` again and again must not make every path longer.
pub(crate) const CWD_PARTS_MAX: usize = 64;
