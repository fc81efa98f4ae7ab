//! Clients of databases: the statements they are given are read as SQL.

use super::unknown;
use crate::commands::options::Parsed;
use crate::commands::{self, options};
use crate::eval::run::Start;
use crate::eval::value::{Field, Value};
use crate::eval::{Eval, Output, Stdin};
use crate::sql::{self, Class};
use model::{Action, PathScope, Reversibility};

/// Words of `redis-cli` that only ask.
const REDIS_READS: &[&str] = &[
    "get",
    "mget",
    "keys",
    "scan",
    "exists",
    "type",
    "ttl",
    "pttl",
    "info",
    "ping",
    "dbsize",
    "strlen",
    "hget",
    "hgetall",
    "hkeys",
    "hlen",
    "hmget",
    "lrange",
    "llen",
    "smembers",
    "scard",
    "zrange",
    "zcard",
    "zscore",
    "memory",
    "lastsave",
    "time",
    "echo",
    "randomkey",
    "sismember",
    "getrange",
    "xlen",
    "xrange",
    "slowlog",
    "latency",
    "object",
];

/// Words of `redis-cli` that destroy, or that run or change what is not data.
const REDIS_DESTROYS: &[&str] = &[
    "flushdb",
    "flushall",
    "shutdown",
    "del",
    "unlink",
    "config",
    "debug",
    "eval",
    "evalsha",
    "script",
    "module",
    "function",
    "fcall",
    "slaveof",
    "replicaof",
    "migrate",
    "restore",
    "rename",
    "save",
    "bgsave",
    "getdel",
    "cluster",
    "acl",
    "failover",
];

impl Eval<'_> {
    /// `psql`, `mysql`, `mariadb`: a server's database.
    pub(super) fn sql_client(&mut self, program: &str, args: &[Field], start: &Start) -> Option<Output> {
        let (family, row) = commands::find(program)?;
        let parsed = options::parse(row, args);
        self.apply(family, row, args, start);
        if asks_nothing(&parsed) {
            return Some(unknown());
        }
        for field in parsed.operands.iter().filter(|field| field.value.prefix().contains("://")) {
            let at = field.value.prefix().split_once("://").map_or("", |(_, rest)| rest);
            self.url(&Field { value: Value::Known(format!("tcp://{at}")), ..field.clone() }, program);
        }
        let code: Vec<Field> = values(&parsed, &["-c", "-e"]);
        let class = self.sql_texts(program, code, parsed.hits.iter().any(|hit| hit.is("-f")), start)?;
        self.on_database(class, program, start);
        Some(unknown())
    }

    /// `sqlite3 FILE [SQL]`: the database is a file here.
    pub(super) fn sqlite(&mut self, args: &[Field], start: &Start) -> Option<Output> {
        let (family, row) = commands::find("sqlite3")?;
        let parsed = options::parse(row, args);
        self.apply(family, row, args, start);
        if asks_nothing(&parsed) {
            return Some(unknown());
        }
        let (file, rest) = match parsed.operands.split_first() {
            Some((file, rest)) => (Some(file.clone()), rest.to_vec()),
            None => (None, Vec::new()),
        };
        let code = values(&parsed, &["-cmd"]).into_iter().chain(rest).collect();
        let class = self.sql_texts("sqlite3", code, parsed.hits.iter().any(|hit| hit.is("-init")), start);
        let read_only = parsed.hits.iter().any(|hit| hit.is("-readonly"));
        if let Some(file) = file.filter(|file| file.known() != Some(":memory:")) {
            let action = if class == Some(Class::Reads) || read_only { Action::Read } else { Action::Write };
            self.on_path(action, &file, PathScope::Exact, "sqlite3");
        }
        if class == Some(Class::Destroys) && !read_only {
            self.out.find(19, start.span, "destroys data of a database");
        }
        Some(unknown())
    }

    /// Reads the statements given as arguments, else those on standard input. `None` when nobody knows them.
    fn sql_texts(&mut self, program: &str, code: Vec<Field>, from_file: bool, start: &Start) -> Option<Class> {
        let code = match (&start.stdin, code.is_empty() && !from_file) {
            (_, false) => code,
            (Stdin::Text(value), true) => vec![Field { value: value.clone(), ..Field::constant("", start.span) }],
            (Stdin::Pipe(out), true) => {
                vec![Field { value: out.value.clone(), fetched: out.fetched, ..Field::constant("", start.span) }]
            }
            (Stdin::Inherited | Stdin::File(_), true) => {
                self.executes(program, start);
                return Some(Class::Changes);
            }
        };
        let classes: Vec<Class> = code.iter().map(|field| self.sql_text(program, field, start)).collect();
        classes.into_iter().max().or(Some(Class::Changes))
    }

    fn sql_text(&mut self, program: &str, field: &Field, start: &Start) -> Class {
        let Some(text) = field.known() else {
            if field.fetched {
                self.out.find(15, field.span, "statements from the network are run");
            }
            self.opaque_code(field.span, program, start);
            return Class::Opaque;
        };
        let facts = sql::read(text);
        for file in &facts.reads {
            self.on_path(Action::Read, &Field::constant(file, field.span), PathScope::Exact, program);
        }
        for file in &facts.writes {
            self.on_path(Action::Write, &Field::constant(file, field.span), PathScope::Exact, program);
        }
        for shell in &facts.shell {
            self.out.find(14, field.span, &format!("a command of {program} runs a shell"));
            self.shell_text(&Field::constant(shell, field.span), start);
        }
        match facts.class {
            Class::Leaves if facts.shell.is_empty() => {
                self.out.find(14, field.span, "a statement that reads, writes or runs something outside the database");
                self.opaque_code(field.span, program, start);
            }
            Class::Opaque => self.opaque_code(field.span, program, start),
            _ => {}
        }
        facts.class
    }

    fn on_database(&mut self, class: Class, program: &str, start: &Start) {
        if class == Class::Reads {
            self.thing(Action::Read, "a database", Reversibility::Harmless, start.span, program);
            return;
        }
        self.thing(Action::Write, "a database", Reversibility::ByHand, start.span, program);
        if class == Class::Destroys {
            self.out.find(19, start.span, "destroys data of a database");
        }
    }

    /// `redis-cli WORD ...`
    pub(super) fn redis(&mut self, args: &[Field], start: &Start) -> Option<Output> {
        let (family, row) = commands::find("redis-cli")?;
        let parsed = options::parse(row, args);
        self.apply(family, row, args, start);
        if asks_nothing(&parsed) {
            return Some(unknown());
        }
        let word = parsed.operands.first().map(|field| field.known().map(str::to_lowercase));
        match word.as_ref().map(Option::as_deref) {
            Some(Some(word)) if REDIS_READS.contains(&word) => self.on_database(Class::Reads, "redis-cli", start),
            Some(Some(word)) if !REDIS_DESTROYS.contains(&word) => self.on_database(Class::Changes, "redis-cli", start),
            Some(_) => self.on_database(Class::Destroys, "redis-cli", start),
            None => {
                self.executes("redis-cli", start);
                self.on_database(Class::Changes, "redis-cli", start);
            }
        }
        Some(unknown())
    }
}

/// `--help`, `--version`.
fn asks_nothing(parsed: &Parsed) -> bool {
    parsed.hits.iter().any(|hit| hit.entry.acts().any(|act| act == options::Act::Noop)) && parsed.unknown.is_empty()
}

fn values(parsed: &Parsed, names: &[&str]) -> Vec<Field> {
    let hits = parsed.hits.iter().filter(|hit| names.iter().any(|name| hit.is(name)));
    hits.filter_map(|hit| hit.value.clone()).collect()
}
