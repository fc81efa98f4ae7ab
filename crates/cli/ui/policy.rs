//! Policies, profiles and trust in words.

use super::changes::count;
use super::style::Style;
use super::trials::when;
use engine::explain::{Explained, Part, word};
use engine::suite::Tested;
use engine::{Project, Trusted};
use model::{FilePath, ProfileId, Verdict};
use std::io::{self, Write};
use std::path::Path;

/// What `policy test` found: a line for each file, and all about what does not hold.
pub(crate) fn tested(tested: &[Tested]) -> io::Result<()> {
    let style = Style::stdout();
    let mut out = io::stdout().lock();
    for file in tested {
        let failed = file.ran.iter().filter(|ran| !ran.wrong.is_empty()).count();
        let cases = count(file.ran.len() as u64, "case");
        match (&file.fault, failed) {
            (Some(fault), _) => writeln!(out, "{}   {fault}", style.red("wrong"))?,
            (None, 0) => writeln!(out, "ok      {}: {cases}", file.name)?,
            (None, failed) => writeln!(out, "{}  {}: {failed} of {cases}", style.red("failed"), file.name)?,
        }
        for ran in file.ran.iter().filter(|ran| !ran.wrong.is_empty()) {
            writeln!(out, "  line {}: {}", ran.line, model::escape::text(&ran.says))?;
            for wrong in &ran.wrong {
                let (expected, actual) = (model::escape::text(&wrong.expected), model::escape::text(&wrong.actual));
                writeln!(out, "    {}: expected {expected}, is {}", wrong.what, style.red(&actual))?;
            }
            if !ran.decided.is_empty() {
                writeln!(out, "    {}", style.dim(&model::escape::text(&ran.decided)))?;
            }
        }
    }
    Ok(())
}

/// What decides on each part of a command.
pub(crate) fn explained(explained: &Explained, profile: &ProfileId) -> io::Result<()> {
    let style = Style::stdout();
    let mut out = io::stdout().lock();
    let judged = &explained.judged;
    let place = if judged.place.contained { "in a jar" } else { "on the bare machine" };
    let name = model::escape::text(&profile.name);
    let verdict = verdict(style, judged.decision.verdict);
    writeln!(out, "{verdict} {place}, under profile {name}: {}", model::escape::text(&judged.analysis.text))?;
    for part in &explained.parts {
        write_part(&mut out, style, part)?;
    }
    for sentence in &judged.assessment.explanation {
        writeln!(out, "  {}", style.dim(sentence))?;
    }
    Ok(())
}

fn write_part(out: &mut impl Write, style: Style, part: &Part) -> io::Result<()> {
    let because = &part.because;
    writeln!(out, "  {:<5} {}  [{}]", word(because.verdict), because.about, rules(&because.rules))?;
    // Where all say the same there is nothing to tell apart.
    if part.layers.len() > 1 {
        for said in &part.layers {
            let layer = model::escape::text(&said.layer);
            writeln!(out, "          {layer}: {} [{}]", word(said.verdict), rules(&said.rules))?;
        }
    }
    for change in &part.changes {
        writeln!(out, "        {} {}", style.dim("^"), model::escape::text(change))?;
    }
    Ok(())
}

fn rules(rules: &[String]) -> String {
    if rules.is_empty() { "no rule permits it".to_owned() } else { model::escape::text(&rules.join(", ")) }
}

fn verdict(style: Style, verdict: Verdict) -> String {
    match verdict {
        Verdict::Allow => style.green("ALLOW"),
        Verdict::Ask => style.yellow("ASK"),
        Verdict::Deny => style.red("DENY"),
    }
}

/// The files of a project's own directory.
pub(crate) fn names(project: &Project) -> String {
    let names: Vec<String> = project.names().map(|name| format!(".belljar/{}", model::escape::text(name))).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// A project is trusted.
pub(crate) fn trusted(project: &Project) -> io::Result<()> {
    let (path, names) = (&project.path, names(project));
    writeln!(io::stdout().lock(), "{} {path} as it is: {names}; any change ends it", Style::stdout().green("trusted:"))
}

/// A project is trusted no more.
pub(crate) fn revoked(path: &FilePath, was: bool) -> io::Result<()> {
    let told = if was { "is trusted no more: what it says only tightens" } else { "was not trusted" };
    writeln!(io::stdout().lock(), "{path} {told}")
}

/// All that are trusted.
pub(crate) fn trust_list(rows: &[(&Trusted, bool)]) -> io::Result<()> {
    let style = Style::stdout();
    let mut out = io::stdout().lock();
    if rows.is_empty() {
        return writeln!(out, "no project is trusted: what they say only tightens");
    }
    for (trusted, holds) in rows {
        let state = if *holds { style.green("trusted") } else { style.yellow("changed since") };
        writeln!(out, "{state} {} since {}", trusted.path, when(trusted.since_ms))?;
    }
    Ok(())
}

/// Where the profile of a run went.
pub(crate) fn learnt(path: &Path) -> io::Result<()> {
    let path = FilePath::from(path);
    let style = Style::stderr();
    let next = format!("belljar policy check {path} · belljar run --profile ./{path}");
    let next = if path.is_absolute() { next.replace("./", "") } else { next };
    writeln!(io::stderr().lock(), "{} {path}: {}", style.green("learned:"), style.dim(&next))
}
