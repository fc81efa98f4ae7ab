//! Compressors: they replace a file by one whose name ends otherwise.

use super::unknown;
use crate::commands::options::Parsed;
use crate::commands::{self, Row};
use crate::eval::run::Start;
use crate::eval::value::{Field, Value};
use crate::eval::{Eval, Output};
use model::{Action, PathScope};

/// What a compressor puts behind a name, and the endings it takes off with what stands there instead.
struct Endings {
    added: &'static str,
    taken: &'static [(&'static str, &'static str)],
}

const GZIP: Endings = Endings {
    added: ".gz",
    taken: &[
        (".gz", ""),
        ("-gz", ""),
        (".z", ""),
        ("-z", ""),
        ("_z", ""),
        (".Z", ""),
        (".tgz", ".tar"),
        (".taz", ".tar"),
    ],
};
const XZ: Endings = Endings { added: ".xz", taken: &[(".xz", ""), (".lzma", ""), (".txz", ".tar"), (".tlz", ".tar")] };
const BZIP2: Endings =
    Endings { added: ".bz2", taken: &[(".bz2", ""), (".bz", ""), (".tbz2", ".tar"), (".tbz", ".tar")] };
const ZSTD: Endings = Endings {
    added: ".zst",
    taken: &[(".zst", ""), (".tzst", ".tar"), (".gz", ""), (".tgz", ".tar"), (".xz", ""), (".lzma", ""), (".lz4", "")],
};

fn endings(program: &str) -> &'static Endings {
    match program {
        "xz" | "unxz" => &XZ,
        "bzip2" | "bunzip2" => &BZIP2,
        "zstd" | "unzstd" => &ZSTD,
        _ => &GZIP,
    }
}

impl Eval<'_> {
    /// Compressors replace the file unless they write to standard output or only look.
    pub(super) fn compress(&mut self, program: &str, args: &[Field], start: &Start) -> Option<Output> {
        let (_, row) = commands::find(program)?;
        let parsed = commands::options::parse(row, args);
        let has = |name: &str| parsed.hits.iter().any(|hit| hit.is(name));
        if self.options(row, &parsed, start) {
            return Some(unknown());
        }
        // An option that is not known may be the one that makes it write.
        if (has("-c") || has("-l") || has("-t")) && parsed.unknown.is_empty() {
            for file in &parsed.operands {
                self.on_path(Action::Read, file, if has("-r") { PathScope::Tree } else { PathScope::Exact }, program);
            }
            return Some(unknown());
        }
        let named = has("-o") && program == "zstd";
        for file in parsed.operands.iter().filter(|file| file.known() != Some("-")) {
            self.on_path(Action::Read, file, PathScope::Exact, program);
            if !named {
                self.replaced(file, row, &parsed, program);
            }
        }
        Some(unknown())
    }

    /// One file of a compressor.
    fn replaced(&mut self, file: &Field, row: &Row, parsed: &Parsed, program: &str) {
        let has = |name: &str| parsed.hits.iter().any(|hit| hit.is(name));
        let keeps = has("-k") || (program == "zstd" && !has("--rm"));
        if has("-r") {
            self.may += 1;
            self.on_path(Action::Write, file, PathScope::Tree, program);
            if !keeps {
                self.on_path(Action::Delete, file, PathScope::Tree, program);
            }
            self.may -= 1;
        }
        let own = endings(program);
        let suffix = parsed.hits.iter().rev().find(|hit| hit.is("-S")).map(|hit| hit.value.clone());
        let suffix = match suffix {
            Some(value) => value.and_then(|field| field.known().map(str::to_owned)),
            None => Some(own.added.to_owned()),
        };
        let unpacks =
            has("-d") || row.name.starts_with("un") || row.name.starts_with("bun") || row.name.starts_with("gun");
        let renamed = |text: &String| match &suffix {
            Some(suffix) if unpacks => taken_off(text, suffix, own),
            Some(suffix) => Some(format!("{text}{suffix}")),
            None => None,
        };
        let names: Option<Vec<String>> = file.value.choices().and_then(|all| all.iter().map(renamed).collect());
        match names {
            // `gzip -dN` takes the name that stands in the file.
            Some(names) if !(unpacks && has("-N")) => {
                let made = Field { value: Value::any_of(names), ..file.clone() };
                self.on_path(Action::Write, &made, PathScope::Exact, program);
            }
            _ => self.beside(file, program),
        }
        if unpacks {
            // `gunzip NAME` takes NAME.gz where there is no NAME.
            let longer = |text: &String| format!("{text}{}", own.added);
            let value =
                file.value.choices().map_or(Value::Unknown, |all| Value::any_of(all.iter().map(longer).collect()));
            self.may += 1;
            self.on_path(Action::Delete, &Field { value, ..file.clone() }, PathScope::Exact, program);
            self.may -= 1;
        }
        if !keeps {
            self.may += usize::from(has("-r"));
            self.on_path(Action::Delete, file, PathScope::Exact, program);
            self.may -= usize::from(has("-r"));
        }
    }

    /// Some name in the directory of `file` is written or removed.
    pub(super) fn beside(&mut self, file: &Field, program: &str) {
        let directory = |text: &String| {
            text.rsplit_once('/')
                .map_or(".", |(directory, _)| if directory.is_empty() { "/" } else { directory })
                .to_owned()
        };
        let value =
            file.value.choices().map_or(Value::Unknown, |all| Value::any_of(all.iter().map(directory).collect()));
        let place = Field { value, ..file.clone() };
        self.may += 1;
        self.on_path(Action::Write, &place, PathScope::Tree, program);
        self.may -= 1;
    }
}

/// The name of what comes out of `name`; `None` where the ending is not one that is known.
fn taken_off(name: &str, suffix: &str, own: &Endings) -> Option<String> {
    if let Some(stem) = name.strip_suffix(suffix) {
        return Some(stem.to_owned());
    }
    own.taken.iter().find_map(|(ending, instead)| Some(format!("{}{instead}", name.strip_suffix(ending)?)))
}
