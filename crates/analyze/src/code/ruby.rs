//! Ruby that only computes, prints, and uses files by constant names (BJ013): `ruby -e`, `-ne`, `-pe`.
//!
//! All of Ruby is calls by name, whoever the receiver is, so every call's name must be on a list, and a name that is
//! computed (`send`, `inject(x)`) is refused. Constants are no values; only the listed methods of listed ones are.

use super::Facts;
use super::ruby_names::{
    CONSTANTS, DIR_READS, FILE_READS, FILE_WRITES, FUNCTIONS, GLOBALS, LIBRARIES, METHODS, NUMBERS, PLAIN, VALUES,
};
use super::walk::{self, Language, Reader, harmless, named};
use crate::tree::CodeGrammar;
use tree_sitter::Node;

static RUBY: Language = Language {
    grammar: CodeGrammar::Ruby,
    plain: &PLAIN,
    rules: &[
        ("comment", harmless),
        ("identifier", identifier),
        ("global_variable", |reader, node, _| GLOBALS.contains(reader.text(node)).then_some(())),
        ("constant", |reader, node, _| VALUES.contains(reader.text(node)).then_some(())),
        ("scope_resolution", |reader, node, _| NUMBERS.contains(reader.text(node)).then_some(())),
        ("call", call),
        ("element_reference", element),
        ("assignment", assignment),
        ("operator_assignment", assignment),
        ("binary", binary),
        ("string", string),
        ("regex", regex),
        ("string_array", word_list),
        ("symbol_array", word_list),
        ("block_argument", block_argument),
        ("exceptions", exceptions),
    ],
    binders: &[
        ("assignment", bind_left),
        ("operator_assignment", bind_left),
        ("block_parameters", bind_all),
        ("lambda_parameters", bind_all),
        ("exception_variable", bind_all),
        ("for", |reader, node, _| bind_target(reader, node.child_by_field_name("pattern")?)),
    ],
};

/// What `code` does besides computing; `None` where anything in it is not in the tables.
pub(crate) fn read(code: &str) -> Option<Facts> {
    if code.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')) || doubtful(code) {
        return None;
    }
    walk::read(&RUBY, code)
}

/// Whether `ruby -rNAME` loads what comes with Ruby.
pub(crate) fn is_library(name: &str) -> bool {
    LIBRARIES.contains(name)
}

/// Forms that readers of Ruby take for different things, or that the grammar's scanner should not meet: here-documents,
/// characters such as `?"`, comments that are blocks or name a coding, the end of the program in the middle.
fn doubtful(code: &str) -> bool {
    let follows = |sign: &str, what: fn(char) -> bool| {
        code.match_indices(sign).any(|(at, _)| code.get(at + sign.len()..).is_some_and(|rest| rest.starts_with(what)))
    };
    follows("<<", |c| c.is_alphanumeric() || "_-~\"'`".contains(c) || !c.is_ascii())
        || follows("?", |c| "\"'`/%#\\".contains(c))
        || code.contains("=begin")
        || code.contains("__END__")
        || code.contains("coding")
}

fn bind_left(reader: &mut Reader<'_>, node: Node<'_>, _: usize) -> Option<()> {
    bind_target(reader, node.child_by_field_name("left")?)
}

fn bind_all(reader: &mut Reader<'_>, node: Node<'_>, _: usize) -> Option<()> {
    named(node).into_iter().try_for_each(|child| bind_target(reader, child))
}

/// Names inside a target. A name that is bound is a variable only where no arguments follow it, so a call needs its name
/// on the lists all the same.
fn bind_target(reader: &mut Reader<'_>, node: Node<'_>) -> Option<()> {
    match node.kind() {
        "identifier" => {
            let name = reader.text(node);
            // Out of its scope the name is that of a method again.
            let taken = matches!(name, "fork" | "system" | "exec" | "spawn" | "eval" | "binding" | "open" | "load");
            reader.bind_name(name);
            (!taken).then_some(())
        }
        "optional_parameter" | "keyword_parameter" | "splat_parameter" => {
            node.child_by_field_name("name").map_or(Some(()), |name| bind_target(reader, name))
        }
        "left_assignment_list" | "destructured_parameter" | "rest_assignment" | "destructured_left_assignment" => {
            bind_all(reader, node, 0)
        }
        "instance_variable" | "element_reference" => Some(()),
        // `$, = " "` changes how things are joined and printed.
        "global_variable" => matches!(reader.text(node), "$_" | "$," | "$/").then_some(()),
        _ => None,
    }
}

/// The classes of `rescue A, B => e`: anything else there is evaluated.
fn exceptions(reader: &mut Reader<'_>, node: Node<'_>, _: usize) -> Option<()> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_');
    named(node)
        .into_iter()
        .all(|class| matches!(class.kind(), "constant" | "scope_resolution") && reader.text(class).bytes().all(is_name))
        .then_some(())
}

/// A variable, or a call without receiver and arguments.
fn identifier(reader: &mut Reader<'_>, node: Node<'_>, _: usize) -> Option<()> {
    let name = reader.text(node);
    (reader.bound.contains(name) || FUNCTIONS.contains(name) || name == "binmode").then_some(())
}

fn assignment(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    let left = node.child_by_field_name("left")?;
    target(reader, left, depth)?;
    reader.in_field(node, "right", depth)
}

/// The names of a target were bound already; what stands in its subscripts is evaluated.
fn target(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    match node.kind() {
        "element_reference" => element(reader, node, depth),
        "identifier" | "instance_variable" | "global_variable" => Some(()),
        _ => named(node).into_iter().try_for_each(|child| target(reader, child, depth + 1)),
    }
}

/// `ENV['NAME']`, `ARGV[0]`, `x[y]`
fn element(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    let object = node.child_by_field_name("object")?;
    let rest: Vec<Node<'_>> = named(node).into_iter().filter(|child| *child != object).collect();
    let assigned = node.parent().is_some_and(|parent| parent.child_by_field_name("left") == Some(node));
    match (object.kind(), reader.text(object), rest.as_slice()) {
        ("constant", "ENV", [name]) if !assigned => {
            let name = constant(reader, *name)?;
            reader.facts.variables.push(name);
            return Some(());
        }
        ("constant", "ARGV", _) if !assigned => {}
        // `Hash[x]`, `Set[x]`
        ("constant", "Hash" | "Set" | "Array", _) if !assigned => {}
        ("constant", "Dir", [pattern]) if !assigned => {
            let pattern = constant(reader, *pattern)?;
            reader.facts.reads.push(below(&pattern));
            return Some(());
        }
        ("constant", ..) => return None,
        _ => reader.node(object, depth + 1)?,
    }
    rest.into_iter().try_for_each(|index| reader.node(index, depth + 1))
}

fn call(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    let method = node.child_by_field_name("method");
    // `f.(x)`
    let name = method.map_or("call", |method| reader.text(method));
    let arguments = node.child_by_field_name("arguments").map(named).unwrap_or_default();
    let block = node.child_by_field_name("block");
    match node.child_by_field_name("receiver") {
        None if name == "require" => return require(reader, &arguments),
        None if FUNCTIONS.contains(name) => {}
        None => return None,
        Some(receiver) if matches!(receiver.kind(), "constant" | "scope_resolution") => {
            if of_constant(reader, reader.text(receiver), name, &arguments, depth)? == Judged::Whole {
                return block.map_or(Some(()), |block| reader.node(block, depth + 1));
            }
        }
        Some(receiver) => {
            let stream = matches!(reader.text(receiver), "$stdin" | "$stdout" | "$stderr");
            let writes = stream && matches!(name, "puts" | "print" | "write" | "printf" | "flush" | "gets" | "sync=");
            if !writes && !METHODS.contains(name) {
                return None;
            }
            reader.node(receiver, depth + 1)?;
        }
    }
    // `inject(:instance_eval)` calls a method by name.
    if matches!(name, "inject" | "reduce")
        && block.is_none()
        && !arguments.iter().all(|argument| operates(reader, *argument))
    {
        return None;
    }
    arguments.into_iter().chain(block).try_for_each(|child| reader.node(child, depth + 1))
}

/// How much of a call a rule has judged.
#[derive(PartialEq, Eq)]
enum Judged {
    Whole,
    Name,
}

/// A method of a constant: `File.read('a')`, `JSON.parse(x)`.
fn of_constant(
    reader: &mut Reader<'_>,
    constant_name: &str,
    method: &str,
    arguments: &[Node<'_>],
    depth: usize,
) -> Option<Judged> {
    let constant_name = constant_name.trim_start_matches("::");
    let reads = match constant_name {
        "File" => FILE_READS.contains(method),
        "Dir" => DIR_READS.contains(method),
        _ => false,
    };
    let writes = constant_name == "File" && FILE_WRITES.contains(method);
    let deletes = constant_name == "File" && matches!(method, "delete" | "unlink");
    if reads || writes || deletes {
        let (first, rest) = arguments.split_first()?;
        let name = constant(reader, *first).filter(|name| !name.is_empty())?;
        let into = match (reads, writes) {
            (true, _) => &mut reader.facts.reads,
            (_, true) => &mut reader.facts.writes,
            _ => &mut reader.facts.deletes,
        };
        // Of a pattern, what stands before its first special character is listed.
        into.push(if method == "glob" { below(&name) } else { name });
        if deletes && !rest.is_empty() {
            return None;
        }
        rest.iter().try_for_each(|argument| reader.node(*argument, depth + 1))?;
        return Some(Judged::Whole);
    }
    if constant_name == "ENV" {
        let name = arguments
            .first()
            .and_then(|first| constant(reader, *first))
            .filter(|_| matches!(method, "fetch" | "key?"))?;
        reader.facts.variables.push(name);
        arguments.get(1..)?.iter().try_for_each(|argument| reader.node(*argument, depth + 1))?;
        return Some(Judged::Whole);
    }
    if !CONSTANTS.get(constant_name)?.contains(method) {
        return None;
    }
    // `create_additions: true` would make objects of any class.
    let tame = |node: &&Node<'_>| node.kind() == "pair" && reader.field(**node, "key") != "symbolize_names";
    (constant_name != "JSON" || method != "parse" || arguments.iter().find(tame).is_none()).then_some(Judged::Name)
}

/// The directory a pattern searches.
fn below(pattern: &str) -> String {
    let head = pattern.split(['*', '?', '[', '{', '\\']).next().unwrap_or("");
    match head.rsplit_once('/') {
        Some(("", _)) => "/".to_owned(),
        Some((dir, _)) => dir.to_owned(),
        None => ".".to_owned(),
    }
}

fn require(reader: &Reader<'_>, arguments: &[Node<'_>]) -> Option<()> {
    match arguments {
        [only] => constant(reader, *only).filter(|name| LIBRARIES.contains(name.as_str())).map(|_| ()),
        _ => None,
    }
}

/// An initial value that is written out, or the symbol of an operator or a listed method.
fn operates(reader: &Reader<'_>, node: Node<'_>) -> bool {
    match node.kind() {
        "integer" | "float" | "array" | "hash" | "string" => true,
        "simple_symbol" | "block_argument" => is_listed_symbol(reader.text(node)),
        _ => false,
    }
}

/// `:+`, `&:upcase`
fn is_listed_symbol(text: &str) -> bool {
    let name = text.trim_start_matches('&').trim_start_matches(':');
    METHODS.contains(name) || (!name.is_empty() && name.bytes().all(|byte| b"+-*/%|&^<>=!".contains(&byte)))
}

/// `map(&:upcase)`, `each(&f)`
fn block_argument(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    match named(node).as_slice() {
        [only] if only.kind() == "simple_symbol" => is_listed_symbol(reader.text(*only)).then_some(()),
        [only] if only.kind() == "lambda" => reader.node(*only, depth + 1),
        _ => None,
    }
}

/// A slash or percent sign with a blank before it and none behind it starts a literal for Ruby where the name before is
/// no variable: then what looks like code is text, and the other way round.
fn binary(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    if let Some(operator) = node.child_by_field_name("operator")
        && matches!(reader.text(operator), "/" | "%" | "<<" | "?" | "*" | "&" | "-")
    {
        let before = reader.code.get(..operator.start_byte())?;
        let behind = reader.code.get(operator.end_byte()..)?;
        let blank = |c: char| c.is_whitespace();
        if before.ends_with(blank) && !behind.starts_with(blank) {
            return None;
        }
    }
    reader.all(node, depth)
}

/// Strings in plain quotes. Those that start with a percent sign nest their brackets.
fn string(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    if !reader.text(node).starts_with(['"', '\'']) {
        return None;
    }
    reader.all(node, depth)
}

/// `%w[a b]` without anything special in it.
fn word_list(reader: &mut Reader<'_>, node: Node<'_>, _: usize) -> Option<()> {
    let text = reader.text(node);
    let inner = text.strip_prefix("%w").or_else(|| text.strip_prefix("%i"))?;
    let body = inner.get(1..inner.len().checked_sub(1)?)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" _-.\n".contains(&byte);
    (inner.starts_with(['[', '(', '{']) && body.bytes().all(plain)).then_some(())
}

/// A slash starts a regular expression behind a sign or one of these words; behind a name it may be a division.
fn regex(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    const WORDS: &[&str] = &["if", "unless", "while", "until", "when", "and", "or", "not"];
    let before = reader.code.get(..node.start_byte())?.trim_end();
    let word = before.rsplit(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.' || c == '?')).next().unwrap_or("");
    let fits = match before.chars().next_back() {
        None => true,
        Some(sign) => "(,=~![{;|&:".contains(sign) || WORDS.contains(&word),
    };
    if !fits || !reader.text(node).starts_with('/') {
        return None;
    }
    reader.all(node, depth)
}

/// A string literal without escapes and code in it.
fn constant(reader: &Reader<'_>, node: Node<'_>) -> Option<String> {
    let text = reader.text(node);
    let body = text.get(1..text.len().checked_sub(1)?)?;
    let plain = text.starts_with('\'') || !body.contains('#');
    (node.kind() == "string" && text.starts_with(['\'', '"']) && plain && !body.contains('\\')).then(|| body.to_owned())
}
