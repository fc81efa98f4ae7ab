//! `tar`: an archive that is made, listed or taken apart.

use super::unknown;
use crate::commands::options::Parsed;
use crate::commands::{self, Row};
use crate::eval::run::Start;
use crate::eval::value::{Field, Value};
use crate::eval::{Eval, Output};
use model::{Action, PathScope, Span};

impl Eval<'_> {
    /// Old-style `tar czf`, and what the verbs mean for files.
    pub(super) fn tar(&mut self, args: &[Field], start: &Start) -> Option<Output> {
        let (_, row) = commands::find("tar")?;
        let args = in_new_style(row, args);
        let parsed = commands::options::parse(row, &args);
        let has = |name: &str| parsed.hits.iter().any(|hit| hit.is(name));
        let (extracts, lists) = (has("-x"), has("-t"));
        let packs = ["-c", "-r", "-u", "-A", "--delete"].into_iter().any(has);
        let archive: Vec<Field> =
            parsed.hits.iter().filter(|hit| hit.is("-f")).filter_map(|hit| hit.value.clone()).collect();
        for file in &archive {
            match file.known() {
                Some("-") => {}
                Some(text) if text.contains(':') && !has("--force-local") => self.peer(file, "tar"),
                _ if packs => self.on_path(Action::Write, file, PathScope::Exact, "tar"),
                _ => self.on_path(Action::Read, file, PathScope::Exact, "tar"),
            }
        }
        let saved = self.state.cwd.clone();
        for hit in parsed.hits.iter().filter(|hit| hit.is("-C")) {
            if let Some(dir) = &hit.value {
                self.change_directory(dir);
                if extracts {
                    self.written_tree(".", dir.span);
                }
            }
        }
        if extracts && has("-P") {
            self.written_tree("/", start.span);
        }
        let mut checked = args.clone();
        if extracts {
            // Member names are no files of ours.
            checked.retain(|field| {
                field.value.prefix().starts_with('-')
                    || archive.iter().any(|file| file.value == field.value)
                    || parsed.hits.iter().any(|hit| hit.value.as_ref().is_some_and(|value| value.value == field.value))
            });
        }
        for hit in &parsed.hits {
            match &hit.value {
                Some(value) if hit.is("-I") && !compresses(value) => self.role("program", value, false, "tar", start),
                Some(value) if hit.is("--checkpoint-action") => self.checkpoint(value, start),
                _ => {}
            }
        }
        if has("--remove-files") && !extracts {
            self.packed_away(&parsed);
        }
        if lists && !extracts && !packs {
            checked.retain(|field| {
                !parsed.operands.iter().any(|operand| operand.span == field.span && operand.value == field.value)
            });
        }
        self.apply("files", row, &checked, start);
        self.state.cwd = saved;
        Some(unknown())
    }

    fn written_tree(&mut self, place: &str, span: Span) {
        self.on_path(Action::Write, &Field::constant(place, span), PathScope::Tree, "tar");
    }

    /// What is removed once it is in the archive; names that a file lists are not known.
    fn packed_away(&mut self, parsed: &Parsed) {
        self.may += 1;
        for file in &parsed.operands {
            self.on_path(Action::Delete, file, PathScope::Tree, "tar");
        }
        for list in parsed.hits.iter().filter(|hit| hit.is("-T")).filter_map(|hit| hit.value.as_ref()) {
            let names = Field { value: Value::Unknown, ..list.clone() };
            self.on_path(Action::Delete, &names, PathScope::Tree, "tar");
        }
        self.may -= 1;
    }

    /// What tar does at each checkpoint.
    fn checkpoint(&mut self, action: &Field, start: &Start) {
        let text = action.known().unwrap_or("");
        let (word, argument) = text.split_once('=').unwrap_or((text, ""));
        match word {
            "dot" | "." | "bell" | "echo" | "ttyout" | "sleep" | "totals" | "wait" => {}
            "exec" if !argument.is_empty() => {
                self.out.find(14, action.span, "tar runs a command at its checkpoints");
                self.runs_inside(14, &Field::constant(argument, action.span), "tar", start);
            }
            _ => self.role("program", action, false, "tar", start),
        }
    }
}

/// `zstd -19`, `pigz`: a compressor with options, and nothing that names a file or another program.
fn compresses(value: &Field) -> bool {
    const COMPRESSORS: &[&str] = &[
        "gzip", "pigz", "bzip2", "pbzip2", "lbzip2", "xz", "pixz", "pxz", "zstd", "zstdmt", "pzstd", "lz4", "lzip",
        "lzma", "lzop", "brotli",
    ];
    let Some(text) = value.known() else { return false };
    let mut words = text.split_ascii_whitespace();
    let tame = |word: &str| {
        word.strip_prefix('-')
            .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-=".contains(&byte)))
    };
    words.next().is_some_and(|name| COMPRESSORS.contains(&name)) && words.all(tame)
}

/// `tar cfb NAME 20` as `-c -f NAME -b 20`: letters without a dash take their values from the words behind them, in order.
fn in_new_style(row: &Row, args: &[Field]) -> Vec<Field> {
    let bundled = args
        .first()
        .and_then(|first| Some((first, first.known()?)))
        .filter(|(_, text)| !text.starts_with('-') && text.chars().all(char::is_alphabetic));
    let Some((first, letters)) = bundled else { return args.to_vec() };
    let entries = commands::options::entries(row);
    let mut rest = args.get(1..).unwrap_or(&[]).iter();
    let mut all = Vec::new();
    for letter in letters.chars() {
        let name = format!("-{letter}");
        let takes = entries.iter().any(|entry| entry.has(&name) && entry.takes_value());
        all.push(Field { value: Value::Known(name), ..first.clone() });
        if takes {
            all.extend(rest.next().cloned());
        }
    }
    all.extend(rest.cloned());
    all
}
