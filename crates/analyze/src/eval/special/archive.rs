//! Archives and compressors.

use super::unknown;
use crate::commands;
use crate::eval::run::Start;
use crate::eval::value::{Field, Value};
use crate::eval::{Eval, Output};
use model::{Action, PathScope};

impl Eval<'_> {
    /// Old-style `tar czf`, and what the verbs mean for files.
    pub(super) fn tar(&mut self, args: &[Field], start: &Start) -> Option<Output> {
        let (_, row) = commands::find("tar")?;
        let mut args = args.to_vec();
        let bundled = args
            .first()
            .and_then(Field::known)
            .filter(|text| !text.starts_with('-') && text.chars().all(char::is_alphabetic))
            .map(str::to_owned);
        if let (Some(letters), Some(first)) = (bundled, args.first_mut()) {
            first.value = Value::Known(format!("-{letters}"));
        }
        let parsed = commands::options::parse(row, &args);
        let extracts = parsed.hits.iter().any(|hit| hit.is("-x"));
        let packs = parsed.hits.iter().any(|hit| hit.is("-c") || hit.is("-r") || hit.is("-u"));
        let archive: Vec<Field> =
            parsed.hits.iter().filter(|hit| hit.is("-f")).filter_map(|hit| hit.value.clone()).collect();
        for file in &archive {
            match file.known() {
                Some("-") => {}
                Some(text) if text.contains(':') => self.peer(file, "tar"),
                _ if packs => self.on_path(Action::Write, file, PathScope::Exact, "tar"),
                _ => self.on_path(Action::Read, file, PathScope::Exact, "tar"),
            }
        }
        let saved = self.state.cwd.clone();
        for hit in parsed.hits.iter().filter(|hit| hit.is("-C")) {
            if let Some(dir) = &hit.value {
                self.change_directory(dir);
                if extracts {
                    self.on_path(
                        Action::Write,
                        &Field { value: Value::Known(".".into()), ..dir.clone() },
                        PathScope::Tree,
                        "tar",
                    );
                }
            }
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
        let lists = parsed.hits.iter().any(|hit| hit.is("-t"));
        if lists && !extracts && !packs {
            checked.retain(|field| {
                !parsed.operands.iter().any(|operand| operand.span == field.span && operand.value == field.value)
            });
        }
        self.apply("files", row, &checked, start);
        self.state.cwd = saved;
        Some(unknown())
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

    /// Compressors replace the file unless they write to standard output or only look.
    pub(super) fn compress(&mut self, program: &str, args: &[Field], start: &Start) -> Option<Output> {
        let (family, row) = commands::find(program)?;
        let parsed = commands::options::parse(row, args);
        let only_reads = parsed.hits.iter().any(|hit| hit.is("-c") || hit.is("-l") || hit.is("-t"));
        if only_reads && parsed.unknown.is_empty() {
            for file in &parsed.operands {
                self.on_path(Action::Read, file, PathScope::Exact, program);
            }
            return Some(unknown());
        }
        Some(self.apply(family, row, args, start).1)
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
