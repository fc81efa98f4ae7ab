//! `belljar check`: what a command would do.

use super::batch;
use crate::args::{self, Format};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{json, report, ui};
use analyze::CHECKS;
use engine::{Engine, Judged, host, profile};
use model::{CheckId, FilePath, Grant, Verdict};
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Judges texts without running them; the strictest decision is the exit.
pub(crate) fn check(args: &args::Check) -> Result<Exit, Failure> {
    if args.list {
        return list(args.json);
    }
    if let Some(id) = &args.explain {
        return explain(id, args.json);
    }
    let place = host::place(args.contained || args.profile.is_some())?;
    let loaded = profile::load(&place, args.profile.as_deref())?;
    let engine = Engine::open_under(&place, &loaded)?;
    if let Some(file) = &args.jsonl {
        return batch::run(file, &engine, &place);
    }
    let mut judged = Vec::new();
    for (name, text) in texts(args)? {
        judged.push(CheckedText::new(name, engine.judge(&text, &place), &engine)?);
    }
    match args.format.unwrap_or(if args.json { Format::Json } else { Format::Text }) {
        Format::Text => ui::check(&judged)?,
        Format::Json => ui::print_json(&json::check(&judged, &loaded.id))?,
        Format::Sarif => ui::print_json(&report::sarif(&judged))?,
        Format::Github => ui::print(&report::github(&judged))?,
        Format::Junit => ui::print(&report::junit(&judged))?,
    }
    Ok(strictest(&judged).into())
}

/// A text with what was made of it.
pub(crate) struct CheckedText {
    /// The file it is from.
    pub(crate) name: Option<FilePath>,
    pub(crate) judged: Judged,
    /// The grants that answer where it runs in a jar.
    pub(crate) granted: Vec<Grant>,
}

impl CheckedText {
    pub(crate) fn new(name: Option<FilePath>, judged: Judged, engine: &Engine) -> Result<CheckedText, Failure> {
        let granted = engine.foreseen(&judged)?;
        Ok(CheckedText { name, judged, granted })
    }

    /// What `run` would do: the decision, but where grants answer what it asks. They count in a jar only.
    pub(crate) fn answer(&self) -> Verdict {
        match self.judged.decision.verdict {
            Verdict::Ask if self.judged.place.contained && !self.granted.is_empty() => Verdict::Allow,
            decision => decision,
        }
    }
}

fn strictest(judged: &[CheckedText]) -> Verdict {
    judged.iter().map(CheckedText::answer).max().unwrap_or(Verdict::Allow)
}

type Texts = Vec<(Option<FilePath>, Vec<u8>)>;

fn texts(args: &args::Check) -> Result<Texts, Failure> {
    match (args.file.as_slice(), args.stdin, args.command.as_slice()) {
        ([], true, _) => Ok(vec![(None, standard_input()?)]),
        ([], false, []) => Err(Failure::Usage {
            message: "nothing to check".into(),
            hint: "belljar check 'TEXT' · belljar check --file FILE... · belljar check --stdin".into(),
        }),
        ([], false, [text]) => Ok(vec![(None, text.as_bytes().to_vec())]),
        ([], false, argv) => Ok(vec![(None, quoted(argv))]),
        (files, _, _) => files.iter().map(file).collect(),
    }
}

fn quoted(argv: &[OsString]) -> Vec<u8> {
    analyze::quote(argv)
}

fn standard_input() -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let failed = |source| Failure::Input { path: "standard input".into(), source };
    io::stdin().lock().take(INPUT_BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}

fn file(path: &PathBuf) -> Result<(Option<FilePath>, Vec<u8>), Failure> {
    let failed = |source| Failure::Input { path: path.as_path().into(), source };
    let mut text = Vec::new();
    let opened = std::fs::File::open(path).map_err(failed)?;
    opened.take(INPUT_BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
    Ok((Some(path.as_path().into()), text))
}

/// Far above what the analyser accepts (which then says HIGH), and a bound on what an endless input can cost.
const INPUT_BYTES_MAX: u64 = 64 << 20;

fn list(json: bool) -> Result<Exit, Failure> {
    if json {
        ui::print_json(&json::checks(CHECKS))?;
    } else {
        ui::checks(CHECKS)?;
    }
    Ok(Exit::Ok)
}

fn explain(id: &str, json: bool) -> Result<Exit, Failure> {
    let unknown = |message: String| Failure::Usage { message, hint: "`belljar check --list` names them all".into() };
    let id: CheckId = id.parse().map_err(|why: &str| unknown(why.to_owned()))?;
    let check = CHECKS.iter().find(|check| check.id == id).ok_or_else(|| unknown(format!("there is no check {id}")))?;
    if json {
        ui::print_json(&json::one_check(check))?;
    } else {
        ui::explain(check)?;
    }
    Ok(Exit::Ok)
}
