//! Replays in words.

use super::changes::count;
use super::style::Style;
use engine::explain::word;
use engine::replay::{Decides, Replay, Request, Sides, Table};
use model::Verdict;
use std::io::{self, Write};

const VERDICTS: [Verdict; 3] = [Verdict::Allow, Verdict::Ask, Verdict::Deny];
/// Columns a command may take.
const COMMAND_MAX: usize = 100;

/// The table, and for each transition what shows it.
pub(crate) fn replayed(table: &Table, sides: &Sides, replay: &Replay) -> io::Result<()> {
    let style = Style::stdout();
    let mut out = io::stdout().lock();
    let of = |change: fn(&Verdict, &Verdict) -> bool| -> u64 {
        table.cells().filter(|(from, to, _)| change(from, to)).map(|(.., cell)| cell.count).sum()
    };
    let (looser, stricter, same) = (of(|from, to| to < from), of(|from, to| to > from), of(|from, to| to == from));
    let (from, to) = (sides.a.name(), sides.b.name());
    writeln!(out, "{}: {same} decided as by {from}, {looser} looser by {to}, {stricter} stricter", decisions(table))?;
    let inexact: u64 = table.inexact().map(|(_, count)| count).sum();
    if inexact > 0 {
        writeln!(out, "{}", style.yellow(&format!("{inexact} cannot be replayed exactly and are not in the table:")))?;
        for (why, count) in table.inexact() {
            writeln!(out, "  {count:>12}  {}", why.words())?;
        }
    }
    writeln!(out, "  {:<8} {:>12} {:>12} {:>12}", "", "-> allow", "-> ask", "-> deny")?;
    for from in VERDICTS {
        let [allow, ask, deny] = VERDICTS.map(|to| table.count(from, to));
        writeln!(out, "  {:<8} {allow:>12} {ask:>12} {deny:>12}", word(from))?;
    }
    for (from, to, cell) in table.cells().filter(|(from, to, _)| from != to) {
        let transition = format!("{} -> {}", word(from), word(to));
        let transition = if to < from { style.red(&transition) } else { style.yellow(&transition) };
        writeln!(out, "{transition}  {}, for instance:", cell.count)?;
        for request in cell.witnesses() {
            witness(&mut out, style, request, replay)?;
        }
    }
    Ok(())
}

fn decisions(table: &Table) -> String {
    count(table.rows(), "decision")
}

fn witness(out: &mut impl Write, style: Style, request: &Request<'_>, replay: &Replay) -> io::Result<()> {
    let command = model::escape::text(request.command().unwrap_or("(a command that was not kept)"));
    let cut: String = command.chars().take(COMMAND_MAX).collect();
    let dots = if cut.len() < command.len() { " ..." } else { "" };
    writeln!(out, "  {cut}{dots}")?;
    let [a, b] = replay.explain(request);
    let side = |decides: &Decides| {
        let rules = if decides.rules.is_empty() { "no rule permits it".to_owned() } else { decides.rules.join(", ") };
        format!("{} [{}] {}", word(decides.verdict), model::escape::text(&rules), decides.about)
    };
    writeln!(out, "    {} {}", style.dim("was"), side(&a))?;
    writeln!(out, "    {} {}", style.dim("is "), side(&b))
}
