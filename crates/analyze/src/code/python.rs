//! Python code that only computes, prints, and opens files by constant names (BJ013).
//!
//! The code is read with tree-sitter-python and every node must be on a list: whatever is not is opaque. Two things keep
//! the lists short. A value can only come from literals, from functions on the lists and from input, so calling one is as
//! harmless as the functions on the lists; and a module is no value, only its listed names are.

use super::Facts;
use super::python_names::{BUILTINS, EARLY, LIBRARY, MEMBERS, MODULES, OTHER_BUILTINS, PLAIN};
use super::walk::{self, Constant, Language, Reader, harmless, listed, named};
use crate::tree::CodeGrammar;
use tree_sitter::Node;

/// Stands for every module of which nothing is known.
const STRANGER: &str = "?";

static PYTHON: Language = Language {
    grammar: CodeGrammar::Python,
    plain: &PLAIN,
    rules: &[
        ("comment", harmless),
        ("import_statement", harmless),
        ("import_from_statement", harmless),
        ("identifier", identifier),
        ("attribute", member),
        ("call", call),
        ("subscript", subscript),
        ("assignment", assignment),
        ("for_statement", each),
        ("for_in_clause", each),
        ("keyword_argument", |reader, node, depth| reader.in_field(node, "value", depth)),
        ("named_expression", |reader, node, depth| reader.in_field(node, "value", depth)),
        ("function_definition", function),
        ("parameters", defaults),
        ("lambda_parameters", defaults),
    ],
    binders: &[
        ("import_statement", import),
        ("import_from_statement", import_from),
        ("assignment", bind_left),
        ("augmented_assignment", bind_left),
        ("for_statement", bind_left),
        ("for_in_clause", bind_left),
        ("named_expression", bind_named),
        ("function_definition", bind_named),
        ("parameters", bind_target),
        ("lambda_parameters", bind_target),
        ("as_pattern_target", bind_target),
    ],
};

/// What `code` does to files; `None` where anything in it is not on the lists.
pub(crate) fn read(code: &str) -> Option<Facts> {
    // A carriage return or form feed ends a line for Python and not for every reader; a coding line in a file on standard
    // input would make it read other characters than stand here.
    let odd = |byte: u8| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\t');
    if code.bytes().any(odd) || code.lines().take(2).any(declares_coding) {
        return None;
    }
    walk::read(&PYTHON, code)
}

/// A comment in the first two lines that names a coding, PEP 263.
fn declares_coding(line: &str) -> bool {
    line.trim_start().starts_with('#') && line.contains("coding")
}

fn bind_left(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    let left = node.child_by_field_name("left")?;
    let name = reader.text(left);
    let first = left.kind() == "identifier" && !reader.bound.contains(name);
    bind_target(reader, left, depth)?;
    // Bound a second time, wherever, it is no constant any more: see `Reader::bind_name`.
    let right = node.child_by_field_name("right").filter(|_| first && node.kind() == "assignment");
    let value = right.and_then(|right| {
        constant(reader, right).map(Constant::Text).or_else(|| path(reader, right).map(Constant::Path))
    });
    if let Some(value) = value {
        reader.constants.insert(name.to_owned(), value);
    }
    Some(())
}

fn bind_named(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    bind_target(reader, node.child_by_field_name("name")?, depth)
}

/// Whether a name may mean something else in a program. A listed name that does would make the lists lie, one that only
/// some paths bind is the builtin on the others, and Python takes letters that look alike for the same (NFKC).
fn may_bind(reader: &Reader<'_>, name: &str) -> bool {
    name.is_ascii() && !name.contains("__") && !OTHER_BUILTINS.contains(name) && !reader.modules.contains_key(name)
}

/// Names inside a target. A subscript binds none, an attribute would change something that is not the program's own.
fn bind_target(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    match node.kind() {
        "identifier" => {
            let name = reader.text(node);
            if !may_bind(reader, name) {
                return None;
            }
            reader.bind_name(name);
            Some(())
        }
        "subscript" => Some(()),
        "default_parameter" => bind_named(reader, node, depth + 1),
        "pattern_list"
        | "tuple_pattern"
        | "list_pattern"
        | "list_splat_pattern"
        | "parameters"
        | "lambda_parameters"
        | "as_pattern_target"
        | "dictionary_splat_pattern" => {
            named(node).into_iter().try_for_each(|child| bind_target(reader, child, depth + 1))
        }
        _ => None,
    }
}

fn import(reader: &mut Reader<'_>, node: Node<'_>, _: usize) -> Option<()> {
    for child in named(node) {
        let (module, alias) = match child.kind() {
            "dotted_name" => (reader.text(child), None),
            "aliased_import" => (reader.field(child, "name"), Some(reader.field(child, "alias"))),
            _ => return None,
        };
        let Some((known, _)) = MODULES.get_key_value(module) else {
            stranger(reader, module, alias)?;
            continue;
        };
        // `import a.b` binds `a`; only listed names of it are reached.
        bind_module(reader, alias.unwrap_or(known), known)?;
        note_import(reader, known);
    }
    Some(())
}

/// A module that is neither Python's nor on a list: importing it runs its code, as starting any other program would. Only
/// what it says of itself may be looked at.
fn stranger(reader: &mut Reader<'_>, module: &str, alias: Option<&str>) -> Option<()> {
    let top = module.split('.').next().unwrap_or(module);
    if top.is_empty() || LIBRARY.contains(top) || !module.is_ascii() || module.contains("__") {
        return None;
    }
    bind_module(reader, alias.unwrap_or(top), STRANGER)?;
    reader.facts.modules.push(module.to_owned());
    Some(())
}

/// `from stranger import NAME`: nothing is known of the names either.
fn stranger_from(reader: &mut Reader<'_>, node: Node<'_>, module: &str) -> Option<()> {
    if reader.text(node).contains('*') {
        return None;
    }
    let mut cursor = node.walk();
    for child in node.children_by_field_name("name", &mut cursor) {
        let alias = match child.kind() {
            "dotted_name" => reader.text(child),
            "aliased_import" => reader.field(child, "alias"),
            _ => return None,
        };
        stranger(reader, module, Some(alias))?;
    }
    Some(())
}

/// What the working directory could hold in its place.
fn note_import(reader: &mut Reader<'_>, module: &str) {
    let top = module.split('.').next().unwrap_or(module);
    if !EARLY.contains(&module) && !reader.facts.imports.iter().any(|known| known == top) {
        reader.facts.imports.push(top.to_owned());
    }
}

fn bind_module(reader: &mut Reader<'_>, name: &str, module: &'static str) -> Option<()> {
    let taken = reader.bound.contains(name) || OTHER_BUILTINS.contains(name) || !name.is_ascii();
    let other = reader.modules.insert(name.to_owned(), module);
    (other.is_none_or(|other| other == module) && !taken).then_some(())
}

fn import_from(reader: &mut Reader<'_>, node: Node<'_>, _: usize) -> Option<()> {
    let module = reader.field(node, "module_name");
    let Some((known, names)) = MODULES.get_key_value(module) else { return stranger_from(reader, node, module) };
    note_import(reader, known);
    let mut cursor = node.walk();
    for child in node.children_by_field_name("name", &mut cursor) {
        let (name, alias) = match child.kind() {
            "dotted_name" => (reader.text(child), reader.text(child)),
            "aliased_import" => (reader.field(child, "name"), reader.field(child, "alias")),
            _ => return None,
        };
        let whole = format!("{module}.{name}");
        if let Some((inner, _)) = MODULES.get_key_value(whole.as_str()) {
            bind_module(reader, alias, inner)?;
        } else if listed(names, name) && !has_rule(module, name) && may_bind(reader, alias) {
            reader.bind_name(alias);
        } else {
            return None;
        }
    }
    // `import *` has no names.
    (!reader.text(node).contains('*')).then_some(())
}

/// Names of modules that are harmless only where a rule has looked at their arguments.
fn has_rule(module: &str, name: &str) -> bool {
    matches!((module, name), ("os", "environ" | "getenv" | "listdir" | "stat" | "walk" | "scandir") | ("sys", "path"))
}

fn identifier(reader: &mut Reader<'_>, node: Node<'_>, _: usize) -> Option<()> {
    let name = reader.text(node);
    (!name.contains("__") && (reader.bound.contains(name) || BUILTINS.contains(name))).then_some(())
}

fn assignment(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    if node.child_by_field_name("type").is_some() {
        return None;
    }
    target(reader, node.child_by_field_name("left")?, depth)?;
    reader.in_field(node, "right", depth)
}

fn each(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    let left = node.child_by_field_name("left")?;
    target(reader, left, depth)?;
    let rest = named(node).into_iter().filter(|child| *child != left);
    rest.into_iter().try_for_each(|child| reader.node(child, depth + 1))
}

fn function(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    if node.child_by_field_name("return_type").is_some() {
        return None;
    }
    reader.in_field(node, "parameters", depth)?;
    reader.in_field(node, "body", depth)
}

fn defaults(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    let values = named(node).into_iter().filter_map(|child| child.child_by_field_name("value"));
    values.into_iter().try_for_each(|value| reader.node(value, depth + 1))
}

/// A target was bound already; what stands in its subscripts is evaluated.
fn target(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    match node.kind() {
        "identifier" => Some(()),
        "subscript" => reader.all(node, depth),
        _ => named(node).into_iter().try_for_each(|child| target(reader, child, depth + 1)),
    }
}

/// `object.name`
fn member(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    let object = node.child_by_field_name("object")?;
    let name = reader.field(node, "attribute");
    if let Some(module) = module(reader, object) {
        if module == STRANGER {
            return matches!(name, "__version__" | "__file__" | "__path__" | "__doc__").then_some(());
        }
        // A module inside a module is no value either.
        let is_module = MODULES.contains_key(format!("{module}.{name}").as_str());
        let shown = is_shown(reader, node) && (module, name) == ("sys", "path");
        let fits = listed(MODULES.get(module)?, name) && !is_module && (!has_rule(module, name) || shown);
        return fits.then_some(());
    }
    if !MEMBERS.contains(name) {
        return None;
    }
    // A format looks attributes up by name, and they lead everywhere.
    if name == "format" && (object.kind() != "string" || reader.text(object).contains("__")) {
        return None;
    }
    reader.node(object, depth + 1)
}

/// The module an expression names: `json`, `os.path`, `urllib.parse`.
fn module(reader: &Reader<'_>, node: Node<'_>) -> Option<&'static str> {
    let text = reader.text(node);
    if let Some(module) = reader.modules.get(text) {
        return Some(module);
    }
    let (head, tail) = text.split_once('.')?;
    let whole = format!("{}.{tail}", reader.modules.get(head)?);
    MODULES.get_key_value(whole.as_str()).map(|(known, _)| *known)
}

/// Whether an expression is an argument of `print` or of a text's `join`: whoever changes where modules are found decides
/// what a later import runs.
fn is_shown(reader: &Reader<'_>, node: Node<'_>) -> bool {
    let call = node.parent().filter(|parent| parent.kind() == "argument_list").and_then(|list| list.parent());
    let Some(function) = call.and_then(|call| call.child_by_field_name("function")) else { return false };
    let joins = function.child_by_field_name("object").is_some_and(|object| object.kind() == "string")
        && reader.text(function).ends_with(".join");
    joins || (reader.text(function) == "print" && !reader.bound.contains("print"))
}

/// `os.environ['NAME']`; any other subscript is plain.
fn subscript(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    let object = node.child_by_field_name("value")?;
    if object.kind() == "attribute" && of_os(reader, object) == Some("environ") {
        let name = constant(reader, node.child_by_field_name("subscript")?)?;
        reader.facts.variables.push(name);
        return Some(());
    }
    reader.all(node, depth)
}

/// The name of the module `os` that an attribute is.
fn of_os<'c>(reader: &Reader<'c>, node: Node<'_>) -> Option<&'c str> {
    let object = node.child_by_field_name("object")?;
    (module(reader, object) == Some("os")).then(|| reader.field(node, "attribute"))
}

fn call(reader: &mut Reader<'_>, node: Node<'_>, depth: usize) -> Option<()> {
    let function = node.child_by_field_name("function")?;
    let arguments = node.child_by_field_name("arguments")?;
    if may_rename(reader, function, arguments) {
        return None;
    }
    if let Some(done) = of_path(reader, function, arguments, depth) {
        return done;
    }
    if module(reader, function) == Some("pathlib.Path") {
        return reader.node(arguments, depth + 1);
    }
    match function.kind() {
        "identifier" if reader.text(function) == "open" => return open(reader, arguments, depth),
        "attribute" if special(reader, function).is_some() => {
            let what = special(reader, function)?;
            return special_call(reader, what, arguments, depth);
        }
        "identifier" | "attribute" | "lambda" | "parenthesized_expression" => reader.node(function, depth + 1)?,
        _ => return None,
    }
    reader.node(arguments, depth + 1)
}

/// Functions of `os` whose first argument is looked at.
fn special<'c>(reader: &Reader<'c>, function: Node<'_>) -> Option<&'c str> {
    if let Some(name) = of_os(reader, function) {
        return matches!(name, "getenv" | "listdir" | "stat" | "walk" | "scandir").then_some(name);
    }
    let object = function.child_by_field_name("object")?;
    let environ = object.kind() == "attribute" && of_os(reader, object) == Some("environ");
    (environ && reader.field(function, "attribute") == "get").then_some("getenv")
}

fn special_call(reader: &mut Reader<'_>, what: &str, arguments: Node<'_>, depth: usize) -> Option<()> {
    let given = named(arguments);
    let first = given.first().map(|first| constant(reader, *first));
    match (what, first) {
        ("getenv", Some(Some(name))) => reader.facts.variables.push(name),
        ("listdir" | "scandir", None) => reader.facts.reads.push(".".to_owned()),
        ("listdir" | "stat" | "walk" | "scandir", Some(Some(name))) if !name.is_empty() => {
            reader.facts.reads.push(name)
        }
        _ => return None,
    }
    given.into_iter().skip(1).try_for_each(|argument| reader.node(argument, depth + 1))
}

/// `open('name', 'mode', ...)` with constants.
fn open(reader: &mut Reader<'_>, arguments: Node<'_>, depth: usize) -> Option<()> {
    let mut place = 0;
    let mut name = None;
    let mut mode = Some("r".to_owned());
    for argument in named(arguments) {
        let (key, value) = match argument.kind() {
            "keyword_argument" => (reader.field(argument, "name"), argument.child_by_field_name("value")?),
            "list_splat" | "dictionary_splat" => return None,
            _ => {
                place += 1;
                let key = match place {
                    1 => "file",
                    2 => "mode",
                    _ => "buffering",
                };
                (key, argument)
            }
        };
        match key {
            "file" => name = constant(reader, value).or_else(|| path(reader, value)),
            "mode" => mode = constant(reader, value),
            "encoding" | "errors" | "newline" | "buffering" => reader.node(value, depth + 1)?,
            _ => return None,
        }
    }
    let name = name.filter(|name| !name.is_empty())?;
    let mode = mode?;
    if mode.bytes().any(|byte| b"wax+".contains(&byte)) {
        reader.facts.writes.push(name);
    } else if mode.bytes().all(|byte| b"rbtU".contains(&byte)) {
        reader.facts.reads.push(name);
    } else {
        return None;
    }
    Some(())
}

/// The path that `Path('name')`, `Path('dir') / 'name'` or a name for one of them is.
fn path(reader: &Reader<'_>, node: Node<'_>) -> Option<String> {
    match node.kind() {
        "identifier" => match reader.constants.get(reader.text(node)) {
            Some(Constant::Path(path)) => Some(path.clone()),
            _ => None,
        },
        "call" => {
            let function = node.child_by_field_name("function")?;
            let given = named(node.child_by_field_name("arguments")?);
            let [only] = given.as_slice() else { return None };
            let only = *only;
            (module(reader, function) == Some("pathlib.Path")).then(|| constant(reader, only)).flatten()
        }
        "binary_operator" if reader.field(node, "operator") == "/" => {
            let base = path(reader, node.child_by_field_name("left")?)?;
            let name = constant(reader, node.child_by_field_name("right")?)?;
            Some(if name.starts_with('/') { name } else { format!("{base}/{name}") })
        }
        _ => None,
    }
}

/// A method of a path that is known, which touches the disk. `None`: it is none.
fn of_path(reader: &mut Reader<'_>, function: Node<'_>, arguments: Node<'_>, depth: usize) -> Option<Option<()>> {
    if function.kind() != "attribute" {
        return None;
    }
    let path = path(reader, function.child_by_field_name("object")?).filter(|path| !path.is_empty())?;
    match reader.field(function, "attribute") {
        "read_text" | "read_bytes" | "iterdir" | "glob" | "rglob" | "exists" | "is_file" | "is_dir" | "stat" => {
            reader.facts.reads.push(path);
        }
        "write_text" | "write_bytes" | "touch" | "mkdir" => reader.facts.writes.push(path),
        _ => return None,
    }
    Some(reader.node(arguments, depth + 1))
}

/// `path.replace(other)` renames a file; a text's takes two arguments.
fn may_rename(reader: &Reader<'_>, function: Node<'_>, arguments: Node<'_>) -> bool {
    let texts = named(arguments).into_iter().filter(|argument| argument.kind() != "keyword_argument").count();
    function.kind() == "attribute"
        && reader.field(function, "attribute") == "replace"
        && texts < 2
        && reader.modules.values().any(|module| module.starts_with("pathlib"))
}

/// A string literal without escapes and without code in it, or a name that is bound once and to such a literal.
fn constant(reader: &Reader<'_>, node: Node<'_>) -> Option<String> {
    if let ("identifier", Some(Constant::Text(text))) = (node.kind(), reader.constants.get(reader.text(node))) {
        return Some(text.clone());
    }
    if node.kind() != "string" {
        return None;
    }
    let parts = named(node);
    let plain = parts.iter().all(|part| matches!(part.kind(), "string_start" | "string_content" | "string_end"));
    let opens = parts.first().is_some_and(|part| matches!(reader.text(*part), "'" | "\"" | "r'" | "r\""));
    let body: String =
        parts.iter().filter(|part| part.kind() == "string_content").map(|part| reader.text(*part)).collect();
    (plain && opens && !body.contains('\\')).then_some(body)
}
