//! `find` and `fd`: an expression that lists, deletes or runs.

use super::unknown;
use crate::commands;
use crate::eval::run::Start;
use crate::eval::value::{Field, Value};
use crate::eval::{Eval, Output};
use model::{Action, PathScope};

impl Eval<'_> {
    /// `find`: start points, then an expression whose actions write, delete or run.
    pub(super) fn find(&mut self, args: &[Field], start: &Start) {
        let is_option = |field: &Field| {
            field.known().is_some_and(|text| matches!(text, "-H" | "-L" | "-P" | "-O0" | "-O1" | "-O2" | "-O3"))
        };
        let is_expression =
            |field: &Field| field.value.prefix().starts_with(['-', '(', ')', '!', ',']) && !is_option(field);
        let split = args.iter().position(is_expression).unwrap_or(args.len());
        let (points, mut rest) = (args.get(..split).unwrap_or(&[]), args.get(split..).unwrap_or(&[]));
        let mut points: Vec<Field> =
            points.iter().filter(|field| !field.value.prefix().starts_with('-')).cloned().collect();
        if points.is_empty() {
            points.push(Field::constant(".", start.span));
        }
        for point in &points {
            self.list_below(point);
        }
        let mut asked = self.secrets_asked_for(rest);
        if !filters(rest) && points.iter().any(|point| self.holds_secrets(point)) {
            asked.push(".ssh/*".to_owned());
        }
        // Of data files of one kind in a project few are secrets; below a home they may be.
        if !points.iter().any(|point| self.holds_secrets(point)) {
            asked.retain(|name| !is_data(name));
        }
        let found: Vec<Field> = points.iter().flat_map(|point| named_below(point, &asked)).collect();
        points.extend(found);
        let litter = litter_taken(rest);
        let points = Points { all: points, litter };
        while let Some((first, tail)) = rest.split_first() {
            rest = self.find_primary(first, tail, &points, start);
        }
    }

    /// Whether secrets lie somewhere below a start point: a home, or all of them.
    fn holds_secrets(&self, point: &Field) -> bool {
        let below = |text: &str| {
            self.resolve(text).iter().any(|(path, _)| crate::names::secret_below(&path.encode(), &self.home).is_some())
        };
        point.value.choices().is_some_and(|all| all.iter().any(|text| below(text)))
    }

    /// Names that hold secrets and that the expression looks for.
    fn secrets_asked_for(&self, expression: &[Field]) -> Vec<String> {
        let mut names = Vec::new();
        let mut negated = false;
        let mut rest = expression.iter();
        while let Some(field) = rest.next() {
            match field.known() {
                Some("-name" | "-iname" | "-path" | "-ipath" | "-wholename") => {
                    let name = rest.next().and_then(Field::known).unwrap_or("");
                    let last = name.rsplit('/').next().unwrap_or(name);
                    if !negated && crate::names::secret(name, &self.home).is_some() && !last.is_empty() {
                        names.push(last.to_owned());
                    }
                    negated = false;
                }
                Some("!" | "-not") => negated = true,
                _ => negated = false,
            }
        }
        names
    }

    /// Names below a directory; no content is read, so no check of secrets.
    fn list_below(&mut self, point: &Field) {
        let findings = self.out.findings.clone();
        self.on_path(Action::Read, point, PathScope::Tree, "find");
        self.out.findings = findings;
    }

    fn find_primary<'f>(&mut self, first: &Field, tail: &'f [Field], points: &Points, start: &Start) -> &'f [Field] {
        const TESTS: &[&str] = &[
            "-name",
            "-iname",
            "-path",
            "-ipath",
            "-wholename",
            "-regex",
            "-iregex",
            "-type",
            "-xtype",
            "-size",
            "-mtime",
            "-mmin",
            "-atime",
            "-amin",
            "-ctime",
            "-cmin",
            "-maxdepth",
            "-mindepth",
            "-perm",
            "-user",
            "-group",
            "-uid",
            "-gid",
            "-links",
            "-inum",
            "-lname",
            "-ilname",
            "-fstype",
            "-printf",
            "-regextype",
            "-used",
            "-context",
        ];
        const FILES: &[&str] = &["-newer", "-anewer", "-cnewer", "-samefile"];
        const FLAGS: &[&str] = &[
            "-print",
            "-print0",
            "-ls",
            "-empty",
            "-prune",
            "-quit",
            "-depth",
            "-d",
            "-mount",
            "-xdev",
            "-follow",
            "-readable",
            "-writable",
            "-executable",
            "-true",
            "-false",
            "-o",
            "-or",
            "-a",
            "-and",
            "-not",
            "!",
            "(",
            ")",
            ",",
            "-daystart",
            "-noleaf",
            "-nouser",
            "-nogroup",
            "-ignore_readdir_race",
            "-help",
            "--help",
            "-version",
            "--version",
            "-warn",
            "-nowarn",
            "-E",
            "-s",
            "-x",
        ];
        match first.known() {
            Some(word) if TESTS.contains(&word) => tail.get(1..).unwrap_or(&[]),
            Some(word) if FILES.contains(&word) || word.starts_with("-newer") => tail.get(1..).unwrap_or(&[]),
            Some(word) if FLAGS.contains(&word) => tail,
            Some("-delete") => {
                for point in &points.all {
                    match &points.litter {
                        Some(name) => {
                            self.role("delete", &below(point, first, &at_any_depth(name)), false, "find", start);
                        }
                        None => self.found_deleted(point),
                    }
                }
                tail
            }
            Some("-exec" | "-execdir" | "-ok" | "-okdir") => self.find_exec(tail, points, start),
            Some("-fprint" | "-fprint0" | "-fls") => {
                if let Some(file) = tail.first() {
                    self.on_path(Action::Write, file, PathScope::Exact, "find");
                }
                tail.get(1..).unwrap_or(&[])
            }
            Some("-fprintf") => {
                if let Some(file) = tail.first() {
                    self.on_path(Action::Write, file, PathScope::Exact, "find");
                }
                tail.get(2..).unwrap_or(&[])
            }
            Some("-files0-from") => {
                if let Some(file) = tail.first() {
                    self.on_path(Action::Read, file, PathScope::Exact, "find");
                    self.out.unexplained(file.span);
                }
                tail.get(1..).unwrap_or(&[])
            }
            _ => {
                self.out.unexplained(first.span);
                tail
            }
        }
    }

    fn found_deleted(&mut self, point: &Field) {
        self.may += 1;
        self.on_path(Action::Delete, point, PathScope::Tree, "find");
        self.may -= 1;
    }

    /// `-exec CMD ... ;` or `+`: `{}` stands for names below the start points.
    fn find_exec<'f>(&mut self, tail: &'f [Field], points: &Points, start: &Start) -> &'f [Field] {
        let end = tail.iter().position(|field| matches!(field.known(), Some(";" | "+"))).unwrap_or(tail.len());
        let mut argv: Vec<Field> = Vec::new();
        for field in tail.get(..end).unwrap_or(&[]) {
            match field.known() {
                Some("{}") => argv.extend(points.all.iter().map(|point| below(point, field, &points.name()))),
                Some(text) if text.contains("{}") => {
                    let head = text.split_once("{}").map_or("", |(head, _)| head);
                    let tail = text.rsplit_once("{}").map_or("", |(_, tail)| tail);
                    argv.push(Field { value: Value::shape(head, tail), ..field.clone() });
                }
                _ => argv.push(field.clone()),
            }
        }
        self.may += 1;
        self.run(&argv, Start { unwrapped: start.unwrapped + 1, past_functions: true, ..start.clone() });
        self.may -= 1;
        tail.get(end + 1..).unwrap_or(&[])
    }

    /// `fd -x CMD` runs a command for each name.
    pub(super) fn fd(&mut self, args: &[Field], start: &Start) -> Option<Output> {
        let at =
            args.iter().position(|field| matches!(field.known(), Some("-x" | "--exec" | "-X" | "--exec-batch")))?;
        let (before, after) = (args.get(..at).unwrap_or(&[]), args.get(at + 1..).unwrap_or(&[]));
        let (family, row) = commands::find("fd")?;
        self.apply(family, row, before, start);
        let mut argv: Vec<Field> = after.iter().filter(|field| field.known() != Some(";")).cloned().collect();
        let here = Field::constant(".", start.span);
        let mut placed = false;
        for field in &mut argv {
            let Some(text) = field.known() else { continue };
            let Some((head, tail)) = super::run::around_places(text) else { continue };
            placed = true;
            *field = match (head, tail) {
                ("", "") => below(&here, field, "**"),
                (head, tail) => Field { value: Value::shape(head, tail), ..field.clone() },
            };
        }
        if !placed {
            argv.push(below(&here, &here, "**"));
        }
        self.may += 1;
        self.run(&argv, Start { unwrapped: start.unwrapped + 1, past_functions: true, ..start.clone() });
        self.may -= 1;
        Some(unknown())
    }
}

/// Whether an expression takes only names that fit a pattern.
fn filters(expression: &[Field]) -> bool {
    const BY_NAME: &[&str] =
        &["-name", "-iname", "-path", "-ipath", "-wholename", "-iwholename", "-regex", "-iregex", "-samefile", "-inum"];
    let negates = |field: &Field| matches!(field.known(), Some("!" | "-not" | "-o" | "-or" | ","));
    expression.iter().any(|field| field.known().is_some_and(|text| BY_NAME.contains(&text)))
        && !expression.iter().any(negates)
}

/// The names asked for, as found below `point`.
fn named_below(point: &Field, names: &[String]) -> Vec<Field> {
    let Some(base) = point.known() else { return Vec::new() };
    let at = |name: &String| Field {
        glob: true,
        ..Field::constant(&format!("{}/{name}", base.trim_end_matches('/')), point.span)
    };
    names.iter().map(at).collect()
}

/// Where `find` starts, and the pattern of the names it takes where those are of no worth.
struct Points {
    all: Vec<Field>,
    litter: Option<String>,
}

impl Points {
    fn name(&self) -> String {
        self.litter.as_deref().map_or("**".to_owned(), at_any_depth)
    }
}

/// `*.o` as a pattern of paths: `**` stands for anything below, as it does in names that a search found.
pub(in crate::eval) fn at_any_depth(name: &str) -> String {
    if name.starts_with('*') { format!("*{name}") } else { name.to_owned() }
}

/// The pattern of names an expression takes, if it surely takes no others and all of them are left behind by builds: a
/// plain conjunction with `-name` in front of its first action.
pub(in crate::eval) fn litter_name<'w>(words: impl Iterator<Item = Option<&'w str>>) -> Option<String> {
    const JOINS: &[&str] = &["!", "-not", "-o", "-or", ",", "(", ")"];
    const ACTIONS: &[&str] = &["-delete", "-exec", "-execdir", "-ok", "-okdir"];
    let words: Vec<&str> = words.collect::<Option<_>>()?;
    if words.iter().any(|word| JOINS.contains(word)) {
        return None;
    }
    let before = words.iter().take_while(|word| !ACTIONS.contains(word));
    let named = before.zip(words.iter().skip(1)).filter(|(test, _)| matches!(**test, "-name" | "-iname"));
    named.map(|(_, name)| *name).find(|name| crate::names::is_litter(name)).map(str::to_owned)
}

fn litter_taken(expression: &[Field]) -> Option<String> {
    litter_name(expression.iter().map(Field::known))
}

/// `*.json`: data of an ordinary kind. Kinds that only keys have are secrets by their ending.
fn is_data(name: &str) -> bool {
    const DATA: &[&str] =
        &["*.json", "*.yml", "*.yaml", "*.toml", "*.xml", "*.txt", "*.md", "*.py", "*.js", "*.ts", "*.rb", "*.go"];
    DATA.contains(&name)
}

/// A name somewhere below `point` that fits `name`, as the word `at` will hold it.
fn below(point: &Field, at: &Field, name: &str) -> Field {
    let value = match point.known() {
        // Of `.` only what is below it is meant: programs refuse the directory itself.
        Some("." | "./") => Value::Known(format!("./{name}")),
        // A start point that is a file is found itself, if its name fits.
        Some(text) if name != "**" => Value::Known(format!("{}/{name}", text.trim_end_matches('/'))),
        // A start point may be a file: then it is found itself.
        Some(text) => Value::any_of(vec![format!("{}/**", text.trim_end_matches('/')), text.to_owned()]),
        None => point.value.clone(),
    };
    Field { value, glob: true, many: false, quoted: true, fetched: false, span: at.span }
}
