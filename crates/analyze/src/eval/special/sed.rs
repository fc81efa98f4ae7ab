//! `sed`: options, then a script that may write, run, or edit in place.

use crate::eval::Eval;
use crate::eval::run::Start;
use crate::eval::value::{Field, Value};
use model::{Action, PathScope};

impl Eval<'_> {
    /// `sed`: options, then a script that may write (`w`), run (`e`) or edit in place.
    pub(super) fn sed(&mut self, args: &[Field], start: &Start) {
        let mut rest = args.iter();
        let mut scripts: Vec<Field> = Vec::new();
        let mut files: Vec<&Field> = Vec::new();
        let mut in_place = false;
        let mut suffix = String::new();
        while let Some(field) = rest.next() {
            match field.known() {
                Some("--version" | "--help") => return,
                Some("-e" | "--expression") => scripts.extend(rest.next().cloned()),
                Some("-f" | "--file") => {
                    if let Some(file) = rest.next() {
                        self.out.find(13, file.span, "sed runs a script from a file");
                        self.run_file(&file.clone(), "sed", start);
                        scripts.push(Field::constant("", file.span));
                    }
                }
                Some("-l" | "--line-length") => {
                    rest.next();
                }
                Some(text) if text.starts_with("--expression=") => {
                    scripts.push(Field::constant(text.get(13..).unwrap_or(""), field.span))
                }
                Some(text) if text.starts_with("--in") || text.starts_with("-i") => {
                    in_place = true;
                    let long = text.split_once('=').map_or("", |(_, suffix)| suffix);
                    text.strip_prefix("-i").unwrap_or(long).clone_into(&mut suffix);
                }
                Some(
                    "-n" | "-E" | "-r" | "-s" | "-u" | "-z" | "--quiet" | "--silent" | "--regexp-extended"
                    | "--separate" | "--unbuffered" | "--null-data" | "--debug" | "--posix" | "--sandbox"
                    | "--follow-symlinks" | "-b",
                ) => {}
                Some(text) if sed_cluster(text) => {
                    in_place |= text.contains('i');
                    if text.ends_with('e') {
                        scripts.extend(rest.next().cloned());
                    }
                }
                Some(text) if text.starts_with('-') && text.len() > 1 => self.out.unexplained(field.span),
                _ => files.push(field),
            }
        }
        if scripts.is_empty() && !files.is_empty() {
            scripts.push(files.remove(0).clone());
        }
        for script in &scripts {
            self.sed_script(script, start);
        }
        for file in files {
            if in_place {
                self.on_path(Action::Write, file, PathScope::Exact, "sed");
                if !suffix.is_empty() {
                    self.kept_as(file, &suffix);
                }
            } else {
                self.on_path(Action::Read, file, PathScope::Exact, "sed");
            }
        }
    }

    /// What a file held is kept under another name: a star in `suffix` stands for its own.
    fn kept_as(&mut self, file: &Field, suffix: &str) {
        let backup = |text: &String| {
            let (directory, name) = text.rsplit_once('/').map_or(("", text.as_str()), |(dir, name)| (dir, name));
            let kept = if suffix.contains('*') { suffix.replace('*', name) } else { format!("{name}{suffix}") };
            if directory.is_empty() || suffix.contains('/') { kept } else { format!("{directory}/{kept}") }
        };
        let value = file.value.choices().map_or(Value::Unknown, |all| Value::any_of(all.iter().map(backup).collect()));
        self.on_path(Action::Write, &Field { value, ..file.clone() }, PathScope::Exact, "sed");
    }

    fn sed_script(&mut self, script: &Field, start: &Start) {
        match script.known().map(crate::sed::read) {
            Some(Some(facts)) => {
                for file in facts.writes {
                    self.on_path(Action::Write, &Field::constant(&file, script.span), PathScope::Exact, "sed");
                }
                for file in facts.reads {
                    self.on_path(Action::Read, &Field::constant(&file, script.span), PathScope::Exact, "sed");
                }
                for command in facts.commands {
                    self.out.find(14, script.span, "the sed script runs a command");
                    self.runs_inside(14, &Field::constant(&command, script.span), "sed", start);
                }
                // Nobody edits lines that way; whatever it runs is told besides.
                if facts.executes {
                    self.out.find(14, script.span, "the sed script runs a command");
                    self.opaque_code(script.span, "sed", start);
                }
            }
            _ => self.opaque_code(script.span, "sed", start),
        }
    }
}

fn sed_cluster(text: &str) -> bool {
    text.len() > 2
        && text.starts_with('-')
        && !text.starts_with("--")
        && text.chars().skip(1).all(|c| "nErsuzie".contains(c))
}
