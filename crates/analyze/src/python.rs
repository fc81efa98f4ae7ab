//! Python code that only computes, prints, and opens files by constant names (BJ013).
//!
//! The code is read with tree-sitter-python and every node must be on a list: whatever is not is opaque. Two things keep
//! the lists short. A value can only come from literals, from functions on the lists and from input, so calling one is as
//! harmless as the functions on the lists; and a module is no value, only its listed names are.

use crate::tree;
use std::collections::{BTreeMap, BTreeSet};
use tree_sitter::Node;

/// Longest program that is looked at.
const CODE_BYTES_MAX: usize = 16 << 10;
/// Nesting of expressions and statements; bounds the recursion.
const DEPTH_MAX: usize = 100;

/// What a program does to files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) reads: Vec<String>,
    pub(crate) writes: Vec<String>,
}

/// Builtin functions and types that touch nothing outside of the process but its standard streams.
const BUILTINS: &[&str] = &[
    "print",
    "len",
    "sum",
    "range",
    "sorted",
    "min",
    "max",
    "abs",
    "str",
    "int",
    "float",
    "repr",
    "round",
    "list",
    "tuple",
    "set",
    "dict",
    "bool",
    "ord",
    "chr",
    "hex",
    "bin",
    "oct",
    "enumerate",
    "zip",
    "any",
    "all",
    "isinstance",
    "type",
    "reversed",
    "map",
    "filter",
    "bytes",
    "bytearray",
    "format",
    "divmod",
    "pow",
    "complex",
    "frozenset",
    "iter",
    "next",
    "slice",
    "ascii",
    "hash",
    "id",
    "callable",
    "SystemExit",
    "exit",
    "quit",
    "Exception",
    "ValueError",
    "KeyError",
    "IndexError",
    "TypeError",
    "FileNotFoundError",
    "ZeroDivisionError",
    "StopIteration",
    "KeyboardInterrupt",
    "OSError",
];

/// Names of modules; `*`: every name of the module that does not start with an underscore, for modules that import no
/// others.
const MODULES: &[(&str, &[&str])] = &[
    (
        "sys",
        &[
            "version",
            "version_info",
            "platform",
            "argv",
            "maxsize",
            "executable",
            "prefix",
            "base_prefix",
            "path",
            "stdin",
            "stdout",
            "stderr",
            "byteorder",
            "exit",
            "getsizeof",
            "getdefaultencoding",
            "implementation",
            "maxunicode",
            "float_info",
            "hexversion",
            "flags",
            "getrecursionlimit",
            "stdlib_module_names",
            "builtin_module_names",
        ],
    ),
    ("math", &["*"]),
    ("cmath", &["*"]),
    ("statistics", &["mean", "median", "mode", "stdev", "pstdev", "variance", "pvariance", "fmean", "quantiles"]),
    ("itertools", &["*"]),
    (
        "string",
        &["ascii_letters", "ascii_lowercase", "ascii_uppercase", "digits", "hexdigits", "punctuation", "printable"],
    ),
    ("json", &["load", "loads", "dumps", "dump", "JSONDecodeError"]),
    (
        "re",
        &[
            "sub",
            "subn",
            "match",
            "search",
            "findall",
            "finditer",
            "split",
            "compile",
            "fullmatch",
            "escape",
            "I",
            "M",
            "S",
            "X",
            "IGNORECASE",
            "MULTILINE",
            "DOTALL",
            "VERBOSE",
        ],
    ),
    ("os", &["getcwd", "sep", "linesep", "pathsep", "cpu_count", "name", "getpid", "path"]),
    (
        "os.path",
        &[
            "join",
            "basename",
            "dirname",
            "splitext",
            "exists",
            "isfile",
            "isdir",
            "islink",
            "abspath",
            "realpath",
            "relpath",
            "normpath",
            "getsize",
            "getmtime",
            "commonpath",
            "split",
            "sep",
        ],
    ),
    (
        "platform",
        &["platform", "system", "machine", "python_version", "release", "version", "node", "processor", "uname"],
    ),
    ("datetime", &["datetime", "date", "time", "timedelta", "timezone", "UTC"]),
    ("time", &["time", "strftime", "gmtime", "localtime", "perf_counter", "monotonic", "mktime", "ctime"]),
    ("collections", &["Counter", "defaultdict", "OrderedDict", "deque", "namedtuple"]),
    ("hashlib", &["md5", "sha1", "sha224", "sha256", "sha384", "sha512", "blake2b", "blake2s"]),
    (
        "base64",
        &[
            "b64encode",
            "b64decode",
            "b32encode",
            "b32decode",
            "b16encode",
            "b16decode",
            "urlsafe_b64encode",
            "urlsafe_b64decode",
        ],
    ),
    (
        "urllib.parse",
        &["quote", "unquote", "quote_plus", "unquote_plus", "urlparse", "urlencode", "parse_qs", "urljoin", "urlsplit"],
    ),
    ("textwrap", &["dedent", "indent", "fill", "wrap", "shorten"]),
    ("random", &["random", "randint", "choice", "shuffle", "sample", "seed", "uniform", "randrange"]),
    ("secrets", &["token_hex", "token_urlsafe", "token_bytes", "randbelow", "choice"]),
    ("uuid", &["uuid4", "uuid5", "UUID", "NAMESPACE_DNS", "NAMESPACE_URL"]),
    ("decimal", &["Decimal"]),
    ("fractions", &["Fraction"]),
    ("functools", &["reduce", "partial"]),
    ("csv", &["reader", "DictReader"]),
    ("pprint", &["pprint", "pformat"]),
    ("unicodedata", &["name", "category", "normalize", "lookup"]),
    ("calendar", &["month", "calendar", "isleap", "monthrange", "weekday", "timegm"]),
    ("locale", &["getlocale", "getpreferredencoding"]),
    ("sysconfig", &["get_path", "get_paths", "get_platform", "get_python_version", "get_config_var"]),
    ("site", &["getsitepackages", "getusersitepackages"]),
    ("ast", &["parse", "dump", "literal_eval"]),
    ("struct", &["pack", "unpack", "calcsize"]),
    ("binascii", &["hexlify", "unhexlify", "crc32"]),
    ("shlex", &["split", "quote", "join"]),
    ("difflib", &["unified_diff", "ndiff", "SequenceMatcher", "get_close_matches"]),
];

/// Methods and attributes of the values these functions give: strings, numbers, containers, matches, times, hashes, files.
const MEMBERS: &[&str] = &[
    "join",
    "split",
    "rsplit",
    "strip",
    "lstrip",
    "rstrip",
    "upper",
    "lower",
    "title",
    "capitalize",
    "swapcase",
    "casefold",
    "replace",
    "startswith",
    "endswith",
    "find",
    "rfind",
    "index",
    "rindex",
    "count",
    "format",
    "zfill",
    "center",
    "ljust",
    "rjust",
    "isdigit",
    "isalpha",
    "isalnum",
    "isspace",
    "isupper",
    "islower",
    "isnumeric",
    "isidentifier",
    "splitlines",
    "partition",
    "rpartition",
    "encode",
    "decode",
    "removeprefix",
    "removesuffix",
    "translate",
    "expandtabs",
    "hex",
    "append",
    "extend",
    "insert",
    "pop",
    "remove",
    "sort",
    "reverse",
    "clear",
    "copy",
    "keys",
    "values",
    "items",
    "get",
    "setdefault",
    "update",
    "popitem",
    "add",
    "discard",
    "union",
    "intersection",
    "difference",
    "symmetric_difference",
    "issubset",
    "issuperset",
    "most_common",
    "elements",
    "total",
    "appendleft",
    "popleft",
    "rotate",
    "read",
    "readline",
    "readlines",
    "write",
    "writelines",
    "close",
    "flush",
    "isatty",
    "seek",
    "tell",
    "group",
    "groups",
    "groupdict",
    "start",
    "end",
    "span",
    "sub",
    "match",
    "search",
    "findall",
    "finditer",
    "fullmatch",
    "pattern",
    "hexdigest",
    "digest",
    "isoformat",
    "strftime",
    "strptime",
    "timestamp",
    "now",
    "utcnow",
    "today",
    "fromtimestamp",
    "fromisoformat",
    "date",
    "time",
    "year",
    "month",
    "day",
    "hour",
    "minute",
    "second",
    "weekday",
    "isoweekday",
    "total_seconds",
    "days",
    "seconds",
    "utc",
    "real",
    "imag",
    "conjugate",
    "bit_length",
    "to_bytes",
    "from_bytes",
    "fromhex",
    "is_integer",
    "numerator",
    "denominator",
    "as_integer_ratio",
    "major",
    "minor",
    "micro",
    "releaselevel",
    "serial",
    "maxsize",
    "name",
    "cache_tag",
    "scheme",
    "netloc",
    "query",
    "fragment",
    "hostname",
    "port",
    "geturl",
    "fromkeys",
    "fieldnames",
    "line_num",
    "ratio",
    "machine",
    "system",
    "release",
    "node",
    "buffer",
    "int",
    "bytes",
    "urn",
    "quantize",
    "args",
    "lineno",
    "colno",
    "msg",
];

/// Nodes that are harmless when all in them is.
const PLAIN: &[&str] = &[
    "module",
    "expression_statement",
    "block",
    "if_statement",
    "elif_clause",
    "else_clause",
    "while_statement",
    "pass_statement",
    "break_statement",
    "continue_statement",
    "assert_statement",
    "try_statement",
    "except_clause",
    "finally_clause",
    "return_statement",
    "with_statement",
    "with_clause",
    "with_item",
    "binary_operator",
    "unary_operator",
    "boolean_operator",
    "not_operator",
    "comparison_operator",
    "conditional_expression",
    "parenthesized_expression",
    "tuple",
    "list",
    "dictionary",
    "pair",
    "set",
    "subscript",
    "slice",
    "string",
    "concatenated_string",
    "string_start",
    "string_content",
    "string_end",
    "escape_sequence",
    "escape_interpolation",
    "interpolation",
    "format_specifier",
    "format_expression",
    "type_conversion",
    "integer",
    "float",
    "true",
    "false",
    "none",
    "argument_list",
    "expression_list",
    "pattern_list",
    "tuple_pattern",
    "list_splat",
    "list_splat_pattern",
    "dictionary_splat",
    "augmented_assignment",
    "raise_statement",
    "ellipsis",
    "list_comprehension",
    "dictionary_comprehension",
    "set_comprehension",
    "generator_expression",
    "if_clause",
    "lambda",
    "yield",
    "as_pattern",
    "as_pattern_target",
];

/// What `code` does to files; `None` where anything in it is not on the lists.
pub(crate) fn read(code: &str) -> Option<Facts> {
    // A carriage return or form feed ends a line for Python and not for every reader; a coding line in a file on standard
    // input would make it read other characters than stand here.
    let odd = |byte: u8| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\t');
    if code.len() > CODE_BYTES_MAX || code.bytes().any(odd) || code.lines().take(2).any(declares_coding) {
        return None;
    }
    tree::with_python(code, |root| {
        let mut reader = Reader { code, modules: BTreeMap::new(), bound: BTreeSet::new(), facts: Facts::default() };
        reader.bind(root, 0)?;
        reader.node(root, 0)?;
        Some(reader.facts)
    })
    .flatten()
}

/// A comment in the first two lines that names a coding, PEP 263.
fn declares_coding(line: &str) -> bool {
    line.trim_start().starts_with('#') && line.contains("coding")
}

struct Reader<'c> {
    code: &'c str,
    /// Names that stand for a module.
    modules: BTreeMap<String, &'static str>,
    /// Names the program gives to values of its own.
    bound: BTreeSet<String>,
    facts: Facts,
}

impl<'c> Reader<'c> {
    fn text(&self, node: Node<'_>) -> &'c str {
        self.code.get(node.byte_range()).unwrap_or("")
    }

    /// Gathers the names a program binds, wherever it does. `None` where it is too deep or imports what is not listed.
    fn bind(&mut self, node: Node<'_>, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match node.kind() {
            "import_statement" => return self.import(node),
            "import_from_statement" => return self.import_from(node),
            "assignment" | "augmented_assignment" | "for_statement" | "for_in_clause" => {
                self.bind_target(node.child_by_field_name("left")?, depth)?;
            }
            "named_expression" | "function_definition" => self.bind_target(node.child_by_field_name("name")?, depth)?,
            "parameters" | "lambda_parameters" | "as_pattern_target" => self.bind_target(node, depth)?,
            _ => {}
        }
        named(node).into_iter().try_for_each(|child| self.bind(child, depth + 1))
    }

    /// Names inside a target. A subscript binds none, an attribute would change something that is not the program's own.
    fn bind_target(&mut self, node: Node<'_>, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match node.kind() {
            "identifier" => {
                let name = self.text(node);
                // A listed name that means something else would make the lists lie.
                if name == "open" || name.contains("__") || self.modules.contains_key(name) {
                    return None;
                }
                self.bound.insert(name.to_owned());
                Some(())
            }
            "subscript" => Some(()),
            "default_parameter" => self.bind_target(node.child_by_field_name("name")?, depth + 1),
            "pattern_list"
            | "tuple_pattern"
            | "list_pattern"
            | "list_splat_pattern"
            | "parameters"
            | "lambda_parameters"
            | "as_pattern_target"
            | "dictionary_splat_pattern" => {
                named(node).into_iter().try_for_each(|child| self.bind_target(child, depth + 1))
            }
            _ => None,
        }
    }

    fn import(&mut self, node: Node<'_>) -> Option<()> {
        for child in named(node) {
            let (module, alias) = match child.kind() {
                "dotted_name" => (self.text(child), None),
                "aliased_import" => {
                    let name = self.text(child.child_by_field_name("name")?);
                    (name, Some(self.text(child.child_by_field_name("alias")?)))
                }
                _ => return None,
            };
            let (known, _) = MODULES.iter().find(|(known, _)| *known == module)?;
            // `import a.b` binds `a`; only listed names of it are reached.
            let bound = alias.unwrap_or(known);
            self.bind_module(bound, known)?;
        }
        Some(())
    }

    fn bind_module(&mut self, name: &str, module: &'static str) -> Option<()> {
        let other = self.modules.insert(name.to_owned(), module);
        (other.is_none_or(|other| other == module) && !self.bound.contains(name) && name != "open").then_some(())
    }

    fn import_from(&mut self, node: Node<'_>) -> Option<()> {
        let module = self.text(node.child_by_field_name("module_name")?);
        let (_, names) = MODULES.iter().find(|(known, _)| *known == module)?;
        let mut cursor = node.walk();
        for child in node.children_by_field_name("name", &mut cursor) {
            let (name, alias) = match child.kind() {
                "dotted_name" => (self.text(child), self.text(child)),
                "aliased_import" => {
                    (self.text(child.child_by_field_name("name")?), self.text(child.child_by_field_name("alias")?))
                }
                _ => return None,
            };
            let whole = format!("{module}.{name}");
            if let Some((inner, _)) = MODULES.iter().find(|(known, _)| *known == whole) {
                self.bind_module(alias, inner)?;
            } else if listed(names, name) && alias != "open" && !self.modules.contains_key(alias) {
                self.bound.insert(alias.to_owned());
            } else {
                return None;
            }
        }
        // `import *` has no names.
        (!self.text(node).contains('*')).then_some(())
    }

    fn node(&mut self, node: Node<'_>, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX || node.is_error() || node.is_missing() {
            return None;
        }
        match node.kind() {
            "comment" | "import_statement" | "import_from_statement" => Some(()),
            "identifier" => self.value(self.text(node)),
            "attribute" => self.member(node, depth),
            "call" => self.call(node, depth),
            "assignment" => {
                if node.child_by_field_name("type").is_some() {
                    return None;
                }
                self.target(node.child_by_field_name("left")?, depth)?;
                self.node(node.child_by_field_name("right")?, depth + 1)
            }
            "for_statement" | "for_in_clause" => {
                self.target(node.child_by_field_name("left")?, depth)?;
                let left = node.child_by_field_name("left")?;
                let rest = named(node).into_iter().filter(|child| *child != left);
                rest.into_iter().try_for_each(|child| self.node(child, depth + 1))
            }
            "keyword_argument" => self.node(node.child_by_field_name("value")?, depth + 1),
            "named_expression" => self.node(node.child_by_field_name("value")?, depth + 1),
            "function_definition" if node.child_by_field_name("return_type").is_none() => {
                self.node(node.child_by_field_name("parameters")?, depth + 1)?;
                self.node(node.child_by_field_name("body")?, depth + 1)
            }
            "parameters" | "lambda_parameters" => {
                let defaults = named(node).into_iter().filter_map(|child| child.child_by_field_name("value"));
                defaults.into_iter().try_for_each(|value| self.node(value, depth + 1))
            }
            kind if PLAIN.contains(&kind) => self.all(node, depth),
            _ => None,
        }
    }

    fn all(&mut self, node: Node<'_>, depth: usize) -> Option<()> {
        named(node).into_iter().try_for_each(|child| self.node(child, depth + 1))
    }

    /// A target was bound already; what stands in its subscripts is evaluated.
    fn target(&mut self, node: Node<'_>, depth: usize) -> Option<()> {
        match node.kind() {
            "identifier" => Some(()),
            "subscript" => self.all(node, depth),
            _ => named(node).into_iter().try_for_each(|child| self.target(child, depth + 1)),
        }
    }

    /// A name that is used as a value.
    fn value(&self, name: &str) -> Option<()> {
        (!name.contains("__") && (self.bound.contains(name) || BUILTINS.contains(&name))).then_some(())
    }

    /// `object.name`
    fn member(&mut self, node: Node<'_>, depth: usize) -> Option<()> {
        let object = node.child_by_field_name("object")?;
        let name = self.text(node.child_by_field_name("attribute")?);
        if let Some(module) = self.module(object) {
            let (_, names) = MODULES.iter().find(|(known, _)| *known == module)?;
            let inner = format!("{module}.{name}");
            // A module inside a module is no value either.
            let is_module = MODULES.iter().any(|(known, _)| *known == inner);
            // Whoever changes where modules are found decides what a later import runs.
            let only_shown = module != "sys" || name != "path" || self.is_shown(node);
            return (listed(names, name) && !is_module && only_shown).then_some(());
        }
        if !MEMBERS.contains(&name) {
            return None;
        }
        self.node(object, depth + 1)
    }

    /// The module an expression names: `json`, `os.path`, `urllib.parse`.
    fn module(&self, node: Node<'_>) -> Option<&'static str> {
        let text = self.text(node);
        if let Some(module) = self.modules.get(text) {
            return Some(module);
        }
        let (head, tail) = text.split_once('.')?;
        let whole = format!("{}.{tail}", self.modules.get(head)?);
        MODULES.iter().find(|(known, _)| *known == whole).map(|(known, _)| *known)
    }

    /// Whether an expression is an argument of `print` or of a text's `join`.
    fn is_shown(&self, node: Node<'_>) -> bool {
        let call = node.parent().filter(|parent| parent.kind() == "argument_list").and_then(|list| list.parent());
        let Some(function) = call.and_then(|call| call.child_by_field_name("function")) else { return false };
        let joins = function.child_by_field_name("object").is_some_and(|object| object.kind() == "string")
            && self.text(function).ends_with(".join");
        joins || (self.text(function) == "print" && !self.bound.contains("print"))
    }

    fn call(&mut self, node: Node<'_>, depth: usize) -> Option<()> {
        let function = node.child_by_field_name("function")?;
        let arguments = node.child_by_field_name("arguments")?;
        match function.kind() {
            "identifier" if self.text(function) == "open" => return self.open(arguments, depth),
            "identifier" | "attribute" | "lambda" | "parenthesized_expression" => self.node(function, depth + 1)?,
            _ => return None,
        }
        self.node(arguments, depth + 1)
    }

    /// `open('name', 'mode', ...)` with constants.
    fn open(&mut self, arguments: Node<'_>, depth: usize) -> Option<()> {
        let mut place = 0;
        let mut name = None;
        let mut mode = Some("r".to_owned());
        for argument in named(arguments) {
            let (key, value) = match argument.kind() {
                "keyword_argument" => {
                    (self.text(argument.child_by_field_name("name")?), argument.child_by_field_name("value")?)
                }
                "list_splat" | "dictionary_splat" => return None,
                _ => {
                    place += 1;
                    (
                        if place == 1 {
                            "file"
                        } else if place == 2 {
                            "mode"
                        } else {
                            "buffering"
                        },
                        argument,
                    )
                }
            };
            match key {
                "file" => name = self.constant(value),
                "mode" => mode = self.constant(value),
                "encoding" | "errors" | "newline" | "buffering" => self.node(value, depth + 1)?,
                _ => return None,
            }
        }
        let name = name.filter(|name| !name.is_empty())?;
        let mode = mode?;
        if mode.bytes().any(|byte| b"wax+".contains(&byte)) {
            self.facts.writes.push(name);
        } else if mode.bytes().all(|byte| b"rbtU".contains(&byte)) {
            self.facts.reads.push(name);
        } else {
            return None;
        }
        Some(())
    }

    /// A string literal without escapes and without code in it.
    fn constant(&self, node: Node<'_>) -> Option<String> {
        if node.kind() != "string" {
            return None;
        }
        let parts = named(node);
        let plain = parts.iter().all(|part| matches!(part.kind(), "string_start" | "string_content" | "string_end"));
        let opens = parts.first().is_some_and(|part| matches!(self.text(*part), "'" | "\"" | "r'" | "r\""));
        let body: String =
            parts.iter().filter(|part| part.kind() == "string_content").map(|part| self.text(*part)).collect();
        (plain && opens && !body.contains('\\')).then_some(body)
    }
}

/// Whether a module's list holds `name`.
fn listed(names: &[&str], name: &str) -> bool {
    !name.starts_with('_') && (names.contains(&name) || names.contains(&"*"))
}

fn named<'t>(node: Node<'t>) -> Vec<Node<'t>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor).collect()
}

#[cfg(test)]
mod tests {
    use super::{Facts, read};

    fn files(reads: &[&str], writes: &[&str]) -> Option<Facts> {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Some(Facts { reads: all(reads), writes: all(writes) })
    }

    #[test]
    fn programs_that_only_compute() {
        for code in [
            "print(1)",
            "import sys; print(sys.version)",
            "import sys,json; d=json.load(sys.stdin); print(d['a'][0])",
            "import json,sys\nfor line in sys.stdin:\n    r = json.loads(line)\n    print(r.get('name'), len(r))\n",
            "print(sum(int(x) for x in '1 2 3'.split()))",
            "print(f'{1 + 1:>5} {[x for x in range(3)]!r}')",
            "import os.path; print(os.path.join('a', 'b'))",
            "import os; print(os.getcwd(), os.path.exists('x'))",
            "from collections import Counter\nprint(Counter('abca').most_common(2))",
            "import platform; print(platform.system())",
            "import re,sys\nprint(re.sub(r'a+', lambda m: m.group(0).upper(), sys.stdin.read()))",
            "def f(n, k=2):\n    return n * k\nprint(f(3))",
            "x = [1, 2]; x[0] += 3; a, *b = x; print(sorted(x, key=lambda v: -v))",
            "import datetime; print(datetime.datetime.now().isoformat())",
            "import sys; print('x', file=sys.stderr); sys.stdout.write('y')",
            "import hashlib; print(hashlib.sha256(b'x').hexdigest())",
            "try:\n    print(1)\nexcept ValueError as e:\n    print(e)\n",
            "print('é ü 日本')",
            "import sys; print(sys.path); print('\\n'.join(sys.path))",
        ] {
            assert_eq!(read(code), files(&[], &[]), "{code}");
        }
    }

    #[test]
    fn files_with_constant_names() {
        assert_eq!(read("import json; print(json.load(open('a.json'))['v'])"), files(&["a.json"], &[]));
        assert_eq!(read("with open('a', encoding='utf-8') as f:\n    print(f.read())"), files(&["a"], &[]));
        assert_eq!(read("open('out.txt', 'w').write('hi')"), files(&[], &["out.txt"]));
        assert_eq!(read("s = open('a').read(); open('a', mode='w').write(s.replace('x', 'y'))"), files(&["a"], &["a"]));
        for code in [
            "open(x)",
            "open('a' + 'b')",
            "open(f'{1}')",
            "open('\\x61')",
            "open(*['a'])",
            "open('a', opener=f)",
            "open()",
        ] {
            assert_eq!(read(code), None, "{code}");
        }
    }

    #[test]
    fn everything_else_is_opaque() {
        for code in [
            "import os; os.remove('x')",
            "import os; os.system('id')",
            "import os as json; json.system('id')",
            "import sys as json; import json; json.load",
            "exec('1')",
            "eval('1')",
            "print(__import__('os'))",
            "getattr(sys, 'x')",
            "from os import system",
            "from os import *",
            "from math import *",
            "import subprocess; subprocess.run(['id'])",
            "import sys; sys.modules['os'].system('id')",
            "import sys; sys.stdout = open('/home/u/.bashrc', 'w')",
            "import sys; sys.path.append('/tmp'); import x",
            "().__class__.__base__.__subclasses__()",
            "print.__self__.exec('1')",
            "o = open; o('x', 'w')",
            "open = print; open('x')",
            "print = open; print('x', 'w')",
            "def open(x): pass",
            "import json; json.codecs.open('x', 'w')",
            "import os; p = os.path; p.os.system('id')",
            "import os; os.path.os.system('id')",
            "class A:\n    def __del__(self): pass",
            "@exec\ndef f(): pass",
            "x: exec('1') = 2",
            "def f(x: exec('1')): pass",
            "f'{exec(1)}'",
            "print(1)\rimport os\ros.system('id')",
            "# coding: utf-7\nprint(1)",
            "#!x\n # vim: fileencoding=utf-7\nprint(1)",
            "ｅｘｅｃ('1')",
            "exec 'id'",
            "print `1`",
            "match x:\n    case exec('1'): pass",
            "del x",
            "global x",
            "import(os)",
            "print(1",
            "globals()['x']",
            "[].append.__self__",
            "import socket",
            "from . import x",
            "with open('x') as sys.stdout: pass",
            "import sys; sys.path.insert(0, '/tmp')\nimport json",
            "import sys; sys.path[0] = '/tmp'\nimport json",
            "import sys; p = sys.path; p.insert(0, '/tmp')",
            "import sys\ndef print(x): x.append('/tmp')\nprint(sys.path)",
            "import statistics; statistics.sys",
            "import string; string._re",
            "for sys.stdout in [1]: pass",
            "import urllib.parse; urllib.request.urlopen('x')",
            "[x for x.y in z]",
            "lambda: exec('1')",
            "(lambda x=exec('1'): 0)()",
        ] {
            assert_eq!(read(code), None, "{code}");
        }
        assert_eq!(read(&"(".repeat(5000)), None);
        assert_eq!(read(&format!("x = {}1{}", "(".repeat(300), ")".repeat(300))), None);
    }
}
