//! Who changed what, in words.

use super::changes;
use super::style::Style;
use engine::TrialRecord;
use engine::who::short;
use model::{Change, FilePath};
use overlay::{Author, Process};
use std::io::{self, Write};

/// What is shown of an ancestor's words, and of those of the process itself.
const ANCESTOR_CHARS_MAX: usize = 60;
const OWN_CHARS_MAX: usize = 300;

/// Each change with the processes that made it, and for each of those the line of its ancestors up to the command.
pub(crate) fn who(record: &TrialRecord, rows: &[(&Change, &Vec<Author>)], unwatched: &[FilePath]) -> io::Result<()> {
    let style = Style::stdout();
    let mut out = io::stdout().lock();
    write!(out, "{}", super::trials::heading(style, record))?;
    for root in unwatched {
        writeln!(out, "  who changed what in {root} was not recorded: the kernel's overlayfs kept it for speed")?;
        writeln!(out, "  {}", style.dim("`belljar run --who -- CMD` records it"))?;
    }
    let recorded = |change: &Change| !unwatched.iter().any(|root| change.path.starts_with(root));
    if let Some(why) = &record.unattributed {
        writeln!(out, "  {} {}", style.yellow("INCOMPLETE"), model::escape::text(why))?;
    }
    for (change, authors) in rows {
        writeln!(out, "  {}", changes::line(&record.place, change))?;
        for author in *authors {
            writeln!(out, "      {}", one(style, author))?;
        }
        if authors.is_empty() && recorded(change) {
            writeln!(out, "      {}", style.dim("unknown process"))?;
        }
    }
    if rows.is_empty() {
        writeln!(out, "  it changed nothing")?;
    }
    Ok(())
}

/// `wrote: npm install > sh -c node-gyp > node x.js (/usr/bin/node, pid 7)`.
fn one(style: Style, author: &Author) -> String {
    let mut did: Vec<&str> = Vec::new();
    author.did.iter().map(|op| op.describe()).for_each(|word| {
        if !did.contains(&word) {
            did.push(word);
        }
    });
    format!("{}: {}", did.join(", "), line(style, author))
}

fn line(style: Style, author: &Author) -> String {
    let all: Vec<&Process> = author.ancestors.iter().chain([&author.process]).collect();
    let mut words: Vec<String> = Vec::new();
    if all.first().is_some_and(|first| first.orphan) {
        words.push("(its parent had ended)".to_owned());
    }
    let count = all.len();
    for (index, process) in all.into_iter().enumerate() {
        let word = short(process, if index + 1 == count { OWN_CHARS_MAX } else { ANCESTOR_CHARS_MAX });
        // A process that has just been forked still goes by its parent's words.
        if words.last() != Some(&word) {
            words.push(word);
        }
    }
    if author.process.pid == 0 {
        return words.join(" > ");
    }
    let program = author.process.executable.as_ref().map(|program| format!("{program}, ")).unwrap_or_default();
    format!("{} {}", words.join(" > "), style.dim(&format!("({program}pid {})", author.process.pid)))
}
