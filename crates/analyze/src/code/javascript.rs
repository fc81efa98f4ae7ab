//! JavaScript that only computes, prints, and uses files by constant names (BJ013): `node -e`, `node -p`, `deno eval`.
//!
//! Every value of JavaScript leads to the constructor of functions, and so to any code. So names that lead there are
//! refused wherever a property is named; what a computed name gives is only shown, never called, kept or passed on; and
//! what is called, or handed to something that calls it, is a function of the lists or one whose text stands in the code.

use super::Facts;
use super::javascript_names::{
    CONSTANTS, CONSTRUCTORS, FS_DELETES, FS_READS, FS_WRITES, FUNCTIONS, GLOBALS, LEADS_AWAY, METHODS, MODULES,
    OBJECTS, PLAIN, VALUES,
};
use super::walk::{self, Language, Reader, harmless, named};
use crate::tree::CodeGrammar;
use tree_sitter::Node;

static JAVASCRIPT: Language = Language {
    grammar: CodeGrammar::JavaScript,
    plain: &PLAIN,
    rules: &[
        ("comment", harmless),
        ("identifier", identifier),
        ("shorthand_property_identifier", identifier),
        ("member_expression", member),
        ("subscript_expression", subscript),
        ("call_expression", call),
        ("new_expression", construct),
        ("pair", pair),
        ("regex", regex),
        ("unary_expression", |reader, node, depth| reader.in_field(node, "argument", depth)),
        ("update_expression", update),
        ("assignment_expression", assignment),
        ("augmented_assignment_expression", assignment),
        ("variable_declarator", declarator),
        ("function_declaration", function),
        ("function_expression", function),
        ("arrow_function", function),
        ("for_in_statement", for_in),
        ("catch_clause", caught),
    ],
    binders: &[
        ("variable_declarator", bind_declarator),
        ("function_declaration", bind_function),
        ("function_expression", bind_function),
        ("arrow_function", bind_parameters),
        ("for_in_statement", bind_loop),
        ("catch_clause", bind_caught),
        ("assignment_expression", rebind),
        ("augmented_assignment_expression", rebind),
    ],
};

/// What `code` does besides computing; `None` where anything in it is not in the tables.
pub(crate) fn read(code: &str) -> Option<Facts> {
    // What ends a line or is a blank for JavaScript and not for every reader, and comments of HTML.
    let odd = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t')) || (!c.is_ascii() && (c.is_whitespace() || c == '\u{feff}'))
    };
    if code.contains(odd) || code.contains("<!--") || code.contains("-->") || code.starts_with("#!") {
        return None;
    }
    walk::read(&JAVASCRIPT, code)
}

/// A plain name: no escapes, which spell other names, and nothing that looks like a letter.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'))
}

/// A property that any value may be asked for.
fn is_property(name: &str) -> bool {
    is_name(name) && !name.starts_with("__") && !LEADS_AWAY.contains(name)
}

/// Whether a name may mean something else. Where only some paths bind it, the global one is meant on the others: those of
/// the modules that just compute do no harm then.
fn may_bind(name: &str) -> bool {
    is_name(name)
        && !name.starts_with("__")
        && !GLOBALS.contains(name)
        && !matches!(name, "fs" | "module")
        && !CONSTRUCTORS.contains(name)
}

fn bind(reader: &mut Reader<'_>, name: &str) -> Option<()> {
    (may_bind(name) && !reader.modules.contains_key(name)).then(|| reader.bind_name(name))
}

/// Names inside a pattern: `a`, `{a, b: c}`, `[a, ...b]`, `a = 1`.
fn bind_pattern(reader: &mut Reader<'_>, node: Node<'_>) -> Option<()> {
    match node.kind() {
        "identifier" => bind(reader, reader.text(node)),
        "shorthand_property_identifier_pattern" => {
            let name = reader.text(node);
            if is_property(name) { bind(reader, name) } else { None }
        }
        "pair_pattern" => {
            let key = node.child_by_field_name("key")?;
            if !is_key(reader, key) {
                return None;
            }
            bind_pattern(reader, node.child_by_field_name("value")?)
        }
        "assignment_pattern" | "object_assignment_pattern" => bind_pattern(reader, node.child_by_field_name("left")?),
        "object_pattern" | "array_pattern" | "rest_pattern" | "formal_parameters" => {
            named(node).into_iter().try_for_each(|child| bind_pattern(reader, child))
        }
        _ => None,
    }
}

fn bind_declarator(reader: &mut Reader<'_>, node: Node<'_>, _: usize) -> Option<()> {
    let name = node.child_by_field_name("name")?;
    let value = node.child_by_field_name("value");
    if let Some(module) = value.and_then(|value| required(reader, value)) {
        return bind_module(reader, name, module);
    }
    let is_function = value.is_some_and(|value| matches!(value.kind(), "arrow_function" | "function_expression"));
    if is_function && name.kind() == "identifier" {
        let name = reader.text(name);
        return (may_bind(name) && !reader.modules.contains_key(name)).then(|| reader.bind_function(name));
    }
    bind_pattern(reader, name)
}

/// `const fs = require('fs')`, `const {join} = require('path')`.
fn bind_module(reader: &mut Reader<'_>, name: Node<'_>, module: &'static str) -> Option<()> {
    if name.kind() != "identifier" {
        return None;
    }
    let name = reader.text(name);
    let fits = (may_bind(name) || name == module) && !reader.bound.contains(name);
    let other = reader.modules.insert(name.to_owned(), module);
    (fits && other.is_none_or(|other| other == module)).then_some(())
}

fn bind_function(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    if let Some(name) = node.child_by_field_name("name") {
        let name = reader.text(name);
        if !may_bind(name) || reader.modules.contains_key(name) {
            return None;
        }
        reader.bind_function(name);
    }
    bind_parameters(reader, node, depth)
}

fn bind_parameters(reader: &mut Reader<'_>, node: Node<'_>, _: usize) -> Option<()> {
    let given = node.child_by_field_name("parameter").or_else(|| node.child_by_field_name("parameters"));
    bind_pattern(reader, given?)
}

fn bind_loop(reader: &mut Reader<'_>, node: Node<'_>, _: usize) -> Option<()> {
    bind_pattern(reader, node.child_by_field_name("left")?)
}

fn bind_caught(reader: &mut Reader<'_>, node: Node<'_>, _: usize) -> Option<()> {
    node.child_by_field_name("parameter").map_or(Some(()), |name| bind_pattern(reader, name))
}

/// A name that is assigned to is a value from there on.
fn rebind(reader: &mut Reader<'_>, node: Node<'_>, _: usize) -> Option<()> {
    let left = node.child_by_field_name("left")?;
    if left.kind() == "identifier" { bind(reader, reader.text(left)) } else { Some(()) }
}

fn identifier(reader: &mut Reader<'_>, node: Node<'_>, _: usize) -> Option<()> {
    let name = reader.text(node);
    (reader.bound.contains(name) || VALUES.contains(name)).then_some(())
}

/// The module that `require('fs')` or a name of one stands for. Scripts that node is given have most modules as names.
fn module(reader: &Reader<'_>, node: Node<'_>) -> Option<&'static str> {
    if node.kind() == "identifier" {
        let name = reader.text(node);
        let free = || MODULES.get_key_value(name).map(|(known, _)| *known).filter(|_| !reader.bound.contains(name));
        return reader.modules.get(name).copied().or_else(free);
    }
    required(reader, node)
}

/// The module of `require('fs')`.
fn required(reader: &Reader<'_>, node: Node<'_>) -> Option<&'static str> {
    let name = required_name(reader, node)?;
    MODULES.get_key_value(name.strip_prefix("node:").unwrap_or(&name)).map(|(known, _)| *known)
}

fn required_name(reader: &Reader<'_>, node: Node<'_>) -> Option<String> {
    if node.kind() != "call_expression" || reader.field(node, "function") != "require" {
        return None;
    }
    match named(node.child_by_field_name("arguments")?).as_slice() {
        [only] => constant(reader, *only),
        _ => None,
    }
}

/// A global object that the program has not given another meaning.
fn is_global(reader: &Reader<'_>, node: Node<'_>) -> bool {
    node.kind() == "identifier"
        && !reader.bound.contains(reader.text(node))
        && !reader.modules.contains_key(reader.text(node))
}

/// `object.name` that is read.
fn member(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    let object = node.child_by_field_name("object")?;
    let name = reader.field(node, "property");
    if node.child_by_field_name("property")?.kind() != "property_identifier" {
        return None;
    }
    if reader.text(object) == "process.env" && is_global(reader, object.child_by_field_name("object")?) {
        reader.facts.variables.push(name.to_owned());
        return is_name(name).then_some(());
    }
    let thing = if is_global(reader, object) { Some(reader.text(object)) } else { None };
    if let Some(known) = module(reader, object)
        .or_else(|| thing.and_then(|thing| CONSTANTS.get_key_value(thing).map(|(known, _)| *known)))
    {
        return CONSTANTS.get(known).is_some_and(|names| names.contains(name)).then_some(());
    }
    if !is_property(name) {
        return None;
    }
    reader.node(object, depth + 1)
}

/// `object[index]`: a constant index is a property; another one may be any, so what it gives may only be shown.
fn subscript(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    let index = node.child_by_field_name("index")?;
    let object = node.child_by_field_name("object")?;
    let fits = match index.kind() {
        "number" => true,
        "string" => constant(reader, index).is_some_and(|name| is_property_text(&name)),
        "binary_expression" if is_number(reader, index) => true,
        _ => is_shown(reader, node),
    };
    if !fits {
        return None;
    }
    reader.node(object, depth + 1)?;
    reader.node(index, depth + 1)
}

/// A property that is spelt as a text.
fn is_property_text(name: &str) -> bool {
    !name.starts_with("__") && !LEADS_AWAY.contains(name)
}

/// Whether an expression computes a number whatever its operands are.
fn is_number(reader: &Reader<'_>, node: Node<'_>) -> bool {
    matches!(reader.field(node, "operator"), "-" | "*" | "/" | "%" | "&" | "|" | "^" | "<<" | ">>" | ">>>")
}

/// Whether a value goes nowhere but into a text, a number or a decision.
fn is_shown(reader: &Reader<'_>, node: Node<'_>) -> bool {
    let Some(parent) = node.parent() else { return false };
    match parent.kind() {
        "parenthesized_expression" => is_shown(reader, parent),
        "ternary_expression" => parent.child_by_field_name("condition") == Some(node) || is_shown(reader, parent),
        "binary_expression" => {
            !matches!(reader.field(parent, "operator"), "||" | "&&" | "??") || is_shown(reader, parent)
        }
        "template_substitution" | "unary_expression" | "update_expression" => true,
        "if_statement" | "while_statement" => parent.child_by_field_name("condition") == Some(node),
        "member_expression" => parent.child_by_field_name("object") == Some(node),
        "subscript_expression" => parent.child_by_field_name("object") == Some(node),
        "augmented_assignment_expression" => !matches!(reader.field(parent, "operator"), "||=" | "&&=" | "??="),
        "for_in_statement" => parent.child_by_field_name("right") == Some(node),
        "arguments" => parent.parent().is_some_and(|call| {
            matches!(reader.field(call, "function"), "console.log" | "console.error" | "String" | "Number")
                && call.kind() == "call_expression"
        }),
        _ => false,
    }
}

fn call(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    let function = node.child_by_field_name("function")?;
    let arguments = node.child_by_field_name("arguments").filter(|list| list.kind() == "arguments")?;
    match function.kind() {
        "identifier" => {
            let name = reader.text(function);
            if name == "require" {
                return require(reader, node);
            }
            let fits =
                if reader.bound.contains(name) { reader.functions.contains(name) } else { FUNCTIONS.contains(name) };
            if !fits {
                return None;
            }
        }
        "member_expression" => return method(reader, function, arguments, depth),
        // `(() => 1)()`
        "parenthesized_expression" => {
            let inner = named(function);
            let [only] = inner.as_slice() else { return None };
            if !matches!(only.kind(), "arrow_function" | "function_expression") {
                return None;
            }
            reader.node(*only, depth + 1)?;
        }
        _ => return None,
    }
    given(reader, arguments, depth)
}

/// `require('./package.json')`: a JSON file is read. The modules of the lists are no values.
fn require(reader: &mut Reader<'_>, node: Node<'_>) -> Option<()> {
    if required(reader, node).is_some() {
        // As `const fs = require('fs')` or in front of a dot, which does not come here.
        return node.parent().filter(|parent| parent.kind() == "variable_declarator").map(|_| ());
    }
    let name = required_name(reader, node)?;
    let fits = name.ends_with(".json") && name.starts_with(['.', '/']) && !name.contains('\\');
    fits.then(|| reader.facts.reads.push(name))
}

/// `object.name(...)`
fn method(reader: &mut Reader<'_>, function: Node<'_>, arguments: Node<'_>, depth: usize) -> Option<()> {
    let object = function.child_by_field_name("object")?;
    if function.child_by_field_name("property")?.kind() != "property_identifier" {
        return None;
    }
    let name = reader.field(function, "property");
    if let Some(known) = module(reader, object) {
        if known == "fs" {
            return file(reader, name, arguments, depth);
        }
        if !MODULES.get(known)?.contains(name) {
            return None;
        }
        return given(reader, arguments, depth);
    }
    if is_global(reader, object) {
        if !OBJECTS.get(reader.text(object))?.contains(name) {
            return None;
        }
        return given(reader, arguments, depth);
    }
    let writes = matches!(reader.text(object), "process.stdout" | "process.stderr") && name == "write";
    if writes || listens(reader, object, name, depth)? {
        return given(reader, arguments, depth);
    }
    if !METHODS.contains(name) {
        return None;
    }
    reader.node(object, depth + 1)?;
    given(reader, arguments, depth)
}

/// `process.stdin.on('data', c => ...).on('end', ...)`: a chain that starts at standard input.
fn listens(reader: &mut Reader<'_>, object: Node<'_>, name: &str, depth: usize) -> Option<bool> {
    const LISTENS: &[&str] = &["on", "once", "setEncoding", "resume"];
    if !LISTENS.contains(&name) {
        return Some(false);
    }
    if reader.text(object) == "process.stdin" {
        return Some(true);
    }
    if object.kind() != "call_expression" {
        return None;
    }
    let inner = object.child_by_field_name("function").filter(|inner| inner.kind() == "member_expression")?;
    LISTENS.contains(&reader.field(inner, "property")).then_some(())?;
    reader.node(object, depth + 1)?;
    Some(true)
}

/// Arguments: functions only as their own text or by a name of the lists, because whoever is given one may call it.
fn given(reader: &mut Reader<'_>, arguments: Node<'_>, depth: usize) -> Option<()> {
    named(arguments).into_iter().try_for_each(|argument| {
        let name = reader.text(argument);
        if is_global(reader, argument) && FUNCTIONS.contains(name) {
            return Some(());
        }
        // `map(JSON.parse)`, `map(Math.abs)`
        if argument.kind() == "member_expression" {
            let object = argument.child_by_field_name("object")?;
            let property = reader.field(argument, "property");
            if is_global(reader, object)
                && OBJECTS.get(reader.text(object)).is_some_and(|names| names.contains(property))
            {
                return Some(());
            }
        }
        reader.node(argument, depth + 1)
    })
}

/// A function of `fs` with a constant name: `readFileSync('a', 'utf8')`, `readFileSync(0)` for standard input.
fn file(reader: &mut Reader<'_>, function: &str, arguments: Node<'_>, depth: usize) -> Option<()> {
    let all = named(arguments);
    let (first, rest) = all.split_first()?;
    let stdin = first.kind() == "number" && reader.text(*first) == "0";
    let name = if stdin { None } else { Some(constant(reader, *first).filter(|name| !name.is_empty())?) };
    if FS_READS.contains(function) {
        // `{flag: 'w'}` would empty it.
        let tame =
            |node: &Node<'_>| node.kind() == "string" || only_keys(reader, *node, &["encoding", "withFileTypes"]);
        if !rest.iter().all(tame) {
            return None;
        }
        reader.facts.reads.extend(name);
    } else if FS_WRITES.contains(function) {
        reader.facts.writes.push(name?);
    } else if FS_DELETES.contains(function) {
        reader.facts.deletes.push(name?);
    } else if function == "rmSync" {
        reader.facts.trees_deleted.push(name?);
    } else {
        return None;
    }
    rest.iter().try_for_each(|argument| reader.node(*argument, depth + 1))
}

/// An object with constant values under these keys alone.
fn only_keys(reader: &Reader<'_>, node: Node<'_>, keys: &[&str]) -> bool {
    node.kind() == "object"
        && named(node).into_iter().all(|pair| pair.kind() == "pair" && keys.contains(&reader.field(pair, "key")))
}

fn construct(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    let constructor = node.child_by_field_name("constructor")?;
    if !is_global(reader, constructor) || !CONSTRUCTORS.contains(reader.text(constructor)) {
        return None;
    }
    node.child_by_field_name("arguments").map_or(Some(()), |arguments| given(reader, arguments, depth))
}

fn is_key(reader: &Reader<'_>, key: Node<'_>) -> bool {
    match key.kind() {
        "property_identifier" => is_property(reader.text(key)),
        "string" => constant(reader, key).is_some_and(|name| is_property_text(&name)),
        "number" => true,
        _ => false,
    }
}

fn pair(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    if !is_key(reader, node.child_by_field_name("key")?) {
        return None;
    }
    reader.in_field(node, "value", depth)
}

/// A slash starts a regular expression where no value stands before it. Where that is not plain from the sign before, the
/// readers could differ about what is code.
fn regex(reader: &mut Reader<'_>, node: Node<'_>, _: usize) -> Option<()> {
    let before = reader.code.get(..node.start_byte())?.trim_end();
    before.chars().next_back().is_none_or(|sign| "(,=:[!&|?{;>".contains(sign)).then_some(())
}

fn update(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    changed(reader, node.child_by_field_name("argument")?, depth)
}

fn assignment(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    let left = node.child_by_field_name("left")?;
    if reader.text(left) == "process.exitCode" {
        return reader.in_field(node, "right", depth);
    }
    changed(reader, left, depth)?;
    reader.in_field(node, "right", depth)
}

/// What may be assigned to: a name of the program's own, or a property of what such a name stands for. A property of a
/// property may be that of a prototype, which all values share.
fn changed(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    match node.kind() {
        "identifier" => identifier(reader, node, depth),
        "member_expression" | "subscript_expression" => {
            let object = node.child_by_field_name("object")?;
            if object.kind() != "identifier" || reader.functions.contains(reader.text(object)) {
                return None;
            }
            identifier(reader, object, depth)?;
            match node.child_by_field_name("index") {
                Some(index) => reader.node(index, depth + 1),
                None => is_property(reader.field(node, "property")).then_some(()),
            }
        }
        _ => None,
    }
}

/// The names were bound already; patterns hold default values, which are evaluated.
fn declarator(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    defaults(reader, node.child_by_field_name("name")?, depth)?;
    reader.in_field(node, "value", depth)
}

fn defaults(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    if matches!(node.kind(), "assignment_pattern" | "object_assignment_pattern") {
        reader.in_field(node, "right", depth)?;
    }
    named(node)
        .into_iter()
        .filter(|child| child.kind().contains("pattern"))
        .try_for_each(|child| defaults(reader, child, depth + 1))
}

fn function(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    if let Some(parameters) = node.child_by_field_name("parameters") {
        defaults(reader, parameters, depth)?;
    }
    reader.in_field(node, "body", depth)
}

fn caught(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    if let Some(parameter) = node.child_by_field_name("parameter") {
        defaults(reader, parameter, depth)?;
    }
    reader.in_field(node, "body", depth)
}

fn for_in(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    defaults(reader, node.child_by_field_name("left")?, depth)?;
    reader.in_field(node, "right", depth)?;
    reader.in_field(node, "body", depth)
}

/// A string literal without escapes.
fn constant(reader: &Reader<'_>, node: Node<'_>) -> Option<String> {
    let text = reader.text(node);
    let body = text.get(1..text.len().checked_sub(1)?)?;
    (node.kind() == "string" && !body.contains(['\\', '\n'])).then(|| body.to_owned())
}
