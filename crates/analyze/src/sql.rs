//! A reader for SQL and the commands of database clients: whether a text only reads, changes, destroys, or leaves the
//! database. It knows words, not grammars: what it does not know is opaque.

/// What one text does, from the least to the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Nothing is changed.
    #[default]
    Reads,
    /// Rows or definitions are added or changed.
    Changes,
    /// Rows, tables or whole databases are removed.
    Destroys,
    /// Not understood.
    Opaque,
    /// A program, code or a file of the server is run, read or written.
    Leaves,
}

/// What a text does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) class: Class,
    /// Files of this machine that are read and written.
    pub(crate) reads: Vec<String>,
    pub(crate) writes: Vec<String>,
    /// Shell text that the client runs.
    pub(crate) shell: Vec<String>,
}

impl Facts {
    fn at_least(&mut self, class: Class) {
        self.class = self.class.max(class);
    }
}

/// Functions that compute from their arguments alone, or aggregate.
const PURE_FUNCTIONS: &[&str] = &[
    "abs",
    "array_agg",
    "avg",
    "cast",
    "ceil",
    "char_length",
    "coalesce",
    "concat",
    "count",
    "current_database",
    "current_setting",
    "current_timestamp",
    "date",
    "date_trunc",
    "datetime",
    "dense_rank",
    "extract",
    "floor",
    "group_concat",
    "greatest",
    "ifnull",
    "iif",
    "instr",
    "json_agg",
    "json_array_length",
    "json_extract",
    "julianday",
    "least",
    "left",
    "length",
    "lower",
    "ltrim",
    "max",
    "min",
    "mod",
    "now",
    "nullif",
    "octet_length",
    "pg_database_size",
    "pg_relation_size",
    "pg_size_pretty",
    "pg_table_size",
    "pg_total_relation_size",
    "printf",
    "rank",
    "regexp_replace",
    "replace",
    "right",
    "round",
    "row_number",
    "rtrim",
    "split_part",
    "sqlite_version",
    "strftime",
    "string_agg",
    "strpos",
    "substr",
    "substring",
    "sum",
    "time",
    "to_char",
    "to_date",
    "to_json",
    "total",
    "trim",
    "typeof",
    "unixepoch",
    "upper",
    "version",
    "year",
    "month",
    "day",
    "values",
    "in",
    "exists",
    "any",
    "all",
    "over",
    "using",
    "and",
    "or",
    "not",
    "on",
    "as",
    "when",
    "then",
    "else",
    "where",
    "from",
    "select",
    "join",
    "by",
    "filter",
    "array",
    "interval",
    "varchar",
    "char",
    "numeric",
    "decimal",
    "lateral",
    "union",
    "except",
    "intersect",
    "between",
    "like",
    "case",
    "distinct",
    "having",
    "limit",
    "offset",
    "is",
    "partition",
];

/// Words that take a statement out of the database wherever they stand.
const LEAVING: &[&str] = &[
    "program",
    "outfile",
    "dumpfile",
    "infile",
    "load_file",
    "readfile",
    "writefile",
    "load_extension",
    "pg_read_file",
    "pg_read_binary_file",
    "pg_ls_dir",
    "pg_stat_file",
    "lo_import",
    "lo_export",
    "dblink",
    "dblink_exec",
    "xp_cmdshell",
    "sys_exec",
    "sys_eval",
    "pg_terminate_backend",
    "pg_cancel_backend",
    "pg_reload_conf",
    "plpythonu",
    "plpython3u",
    "plperlu",
    "edit",
    "fts3_tokenizer",
    "pg_write_file",
    "utl_file",
    "openrowset",
    "sp_oacreate",
];

/// PRAGMA names of SQLite that only tell.
const PRAGMAS: &[&str] = &[
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "database_list",
    "foreign_key_list",
    "foreign_key_check",
    "integrity_check",
    "quick_check",
    "compile_options",
    "user_version",
    "page_count",
    "page_size",
    "freelist_count",
    "encoding",
    "journal_mode",
    "schema_version",
    "function_list",
];

/// Dot commands of sqlite3 and backslash commands of psql that only show or set how results look.
const SHOWING: &[&str] = &[
    ".tables",
    ".schema",
    ".headers",
    ".header",
    ".mode",
    ".databases",
    ".dump",
    ".indexes",
    ".indices",
    ".help",
    ".quit",
    ".exit",
    ".width",
    ".show",
    ".version",
    ".stats",
    ".timer",
    ".nullvalue",
    ".separator",
    ".echo",
    ".explain",
    ".fullschema",
    ".limit",
    ".dbinfo",
    ".eqp",
    ".changes",
    ".bail",
    ".print",
    "\\x",
    "\\timing",
    "\\pset",
    "\\conninfo",
    "\\q",
    "\\echo",
    "\\h",
    "\\?",
    "\\z",
    "\\sf",
    "\\sv",
    "\\a",
    "\\t",
    "\\encoding",
    "\\l",
    "\\l+",
    "\\du",
    "\\dt",
    "\\dt+",
    "\\dn",
    "\\dn+",
    "\\df",
    "\\di",
    "\\di+",
    "\\dv",
    "\\ds",
    "\\d",
    "\\d+",
    "\\dx",
    "\\dp",
    "\\dT",
    "\\db",
];

/// Reads statements and client commands.
pub(crate) fn read(text: &str) -> Facts {
    let mut facts = Facts::default();
    let mut statements = String::new();
    for line in text.split('\n') {
        let trimmed = line.trim();
        if statements.trim().is_empty() && trimmed.starts_with(['.', '\\']) {
            client_command(trimmed, &mut facts);
        } else {
            statements.push_str(line);
            statements.push('\n');
        }
    }
    match tokens(&statements) {
        Some(tokens) => tokens.split(|token| *token == Token::End).for_each(|words| statement(words, &mut facts)),
        None => facts.at_least(Class::Opaque),
    }
    facts
}

fn client_command(line: &str, facts: &mut Facts) {
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let file = || rest.trim_matches(['\'', '"']).to_owned();
    match name {
        ".shell" | ".system" | "\\!" => {
            facts.shell.push(rest.to_owned());
            facts.at_least(Class::Leaves);
        }
        _ if name.starts_with("\\!") => {
            facts.shell.push(line.trim_start_matches("\\!").to_owned());
            facts.at_least(Class::Leaves);
        }
        ".read" | ".import" | ".output" | ".once" | ".log" | ".open" | "\\o" | "\\i" if rest.starts_with('|') => {
            facts.shell.push(rest.trim_start_matches('|').to_owned());
            facts.at_least(Class::Leaves);
        }
        ".output" | ".once" | ".log" | ".save" | ".backup" | ".open" | "\\o" | "\\w" if !rest.starts_with('-') => {
            facts.writes.extend((!rest.is_empty()).then(file));
        }
        ".import" => {
            facts.reads.extend(rest.split_whitespace().find(|word| !word.starts_with('-')).map(str::to_owned));
            facts.at_least(Class::Changes);
        }
        ".restore" => {
            facts.reads.push(file());
            facts.at_least(Class::Destroys);
        }
        // A pipe or a file may stand behind any of them.
        _ if SHOWING.contains(&name) && !rest.contains(['|', '\\', '`']) => {}
        _ => facts.at_least(Class::Opaque),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// In lower case.
    Word(String),
    Text,
    Open,
    Other(char),
    End,
}

/// The tokens of SQL; `None` where it is doubtful what is text and what is not.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let tail = rest.get(c.len_utf8()..)?;
        rest = match c {
            '-' if tail.starts_with('-') => tail.split_once('\n').map_or("", |(_, rest)| rest),
            // MySQL runs what stands in `/*! ... */`.
            '/' if tail.starts_with("*!") || tail.starts_with("*+") => return None,
            '/' if tail.starts_with('*') => tail.split_once("*/")?.1,
            '\'' | '"' | '`' => {
                let (inside, rest) = tail.split_once(c)?;
                // Some take a backslash as an escape, others do not.
                if inside.contains('\\') {
                    return None;
                }
                out.push(if c == '\'' { Token::Text } else { Token::Word(inside.to_lowercase()) });
                rest
            }
            '$' => {
                let (tag, rest) = tail.split_once('$')?;
                tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then_some(())?;
                out.push(Token::Text);
                rest.split_once(&format!("${tag}$"))?.1
            }
            '\\' | '#' => return None,
            ';' => {
                out.push(Token::End);
                tail
            }
            '(' => {
                out.push(Token::Open);
                tail
            }
            c if c.is_alphanumeric() || c == '_' => {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
                out.push(Token::Word(rest.get(..end)?.to_lowercase()));
                rest.get(end..)?
            }
            c if c.is_whitespace() => tail,
            c => {
                out.push(Token::Other(c));
                tail
            }
        };
    }
    Some(out)
}

fn statement(tokens: &[Token], facts: &mut Facts) {
    let words: Vec<&str> = tokens
        .iter()
        .filter_map(|token| match token {
            Token::Word(word) => Some(word.as_str()),
            _ => None,
        })
        .collect();
    let Some((first, rest)) = words.split_first() else {
        if tokens.iter().any(|token| *token != Token::Open) {
            facts.at_least(Class::Opaque);
        }
        return;
    };
    let has = |word: &str| rest.contains(&word);
    facts.at_least(match *first {
        "select" | "values" | "table" | "with" | "explain" => query(&words),
        "show" | "describe" | "desc" | "use" | "begin" | "commit" | "rollback" | "start" | "end" | "savepoint" => {
            Class::Reads
        }
        "set" if has("global") || has("role") || has("persist") || has("password") => Class::Opaque,
        "set" | "reset" => Class::Reads,
        "pragma" => match rest.first() {
            Some(name) if PRAGMAS.contains(name) && !tokens.contains(&Token::Other('=')) => Class::Reads,
            _ => Class::Changes,
        },
        "insert" | "replace" | "merge" | "upsert" => Class::Changes,
        "update" if has("where") => Class::Changes,
        "update" | "delete" | "drop" | "truncate" => Class::Destroys,
        "alter" if has("drop") => Class::Destroys,
        "create" | "alter"
            if [
                "function",
                "procedure",
                "extension",
                "trigger",
                "user",
                "role",
                "system",
                "event",
                "server",
                "database",
            ]
            .iter()
            .take(9)
            .any(|word| has(word)) =>
        {
            Class::Opaque
        }
        "create" | "alter" | "comment" | "analyze" | "reindex" | "refresh" => Class::Changes,
        "vacuum" if !has("into") => Class::Changes,
        "copy" if has("stdout") && !has("from") => query(&words),
        _ => Class::Opaque,
    });
    if words.iter().any(|word| LEAVING.contains(word)) {
        facts.at_least(Class::Leaves);
    }
    if facts.class < Class::Opaque && calls_unknown(tokens) {
        facts.at_least(Class::Opaque);
    }
}

/// A query may change too: `WITH x AS (DELETE ...)`, `SELECT ... INTO`, `EXPLAIN ANALYZE UPDATE`.
fn query(words: &[&str]) -> Class {
    words
        .iter()
        .map(|word| match *word {
            "delete" | "drop" | "truncate" => Class::Destroys,
            "insert" | "update" | "merge" | "into" | "create" | "alter" => Class::Changes,
            _ => Class::Reads,
        })
        .max()
        .unwrap_or_default()
}

/// Whether a function is called that is not known to compute only. A word in front of a bracket may be a table as well:
/// behind INTO, TABLE and the like it is no call.
fn calls_unknown(tokens: &[Token]) -> bool {
    let named =
        ["into", "table", "exists", "on", "index", "view", "update", "from", "join", "references", "as", "with", "key"];
    tokens.windows(2).enumerate().any(|(at, pair)| match pair {
        [Token::Word(word), Token::Open] => {
            let before = at.checked_sub(1).and_then(|before| tokens.get(before));
            let is_name = matches!(before, Some(Token::Word(before)) if named.contains(&before.as_str()));
            !is_name && !PURE_FUNCTIONS.contains(&word.as_str()) && !PRAGMAS.contains(&word.as_str())
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::{Class, read};

    #[test]
    fn statements_by_what_they_do() {
        for (text, class) in [
            ("select 1", Class::Reads),
            ("SELECT count(*), max(id) FROM users WHERE name = 'drop table'; -- delete", Class::Reads),
            ("show databases; describe users", Class::Reads),
            ("explain select * from a join b using (id)", Class::Reads),
            (".tables", Class::Reads),
            ("\\dt", Class::Reads),
            ("pragma table_info(users)", Class::Reads),
            ("with x as (select 1) select * from x", Class::Reads),
            ("insert into a (b) values (1)", Class::Changes),
            ("update a set b = 1 where id = 2", Class::Changes),
            ("create table a (b int)", Class::Changes),
            ("select * into b from a", Class::Changes),
            ("update a set b = 1", Class::Destroys),
            ("delete from a where id = 1", Class::Destroys),
            ("DROP TABLE a", Class::Destroys),
            ("select 1; truncate a", Class::Destroys),
            ("with x as (delete from a returning *) select * from x", Class::Destroys),
            ("explain analyze delete from a", Class::Destroys),
            ("alter table a drop column b", Class::Destroys),
            ("select my_function(1)", Class::Opaque),
            ("select 'a\\' ; drop table b; --'", Class::Opaque),
            ("/*!50000 drop table a */", Class::Opaque),
            ("do $$ begin perform 1; end $$", Class::Opaque),
            ("nonsense", Class::Opaque),
            (".sh id", Class::Opaque),
            ("select 1 \\g |sh", Class::Opaque),
            ("copy a to program 'sh'", Class::Leaves),
            ("select load_file('/etc/passwd')", Class::Leaves),
            ("select pg_read_file('x')", Class::Leaves),
            (".shell id", Class::Leaves),
            (".output |sh", Class::Leaves),
            ("\\! id", Class::Leaves),
        ] {
            assert_eq!(read(text).class, class, "{text}");
        }
        assert_eq!(read(".shell rm -rf x").shell, ["rm -rf x"]);
        assert_eq!(read(".once out.csv\nselect 1").writes, ["out.csv"]);
    }
}
