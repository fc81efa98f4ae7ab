//! Answers of the audit log in words.

use super::changes::count;
use super::trials::when;
use engine::audit::query::Row;
use model::{TrialId, escape};
use std::io::{self, Write};

/// A line or more for each row.
pub(crate) fn answer(rows: &[Row]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if rows.is_empty() {
        return writeln!(out, "nothing of that kind is in the log");
    }
    for row in rows {
        for line in words(row) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

/// A word to the person beside what goes to standard output.
pub(crate) fn note(text: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "{text}")
}

fn words(row: &Row) -> Vec<String> {
    let about = |seq: &u64, time_ms: &u64, trial: &Option<TrialId>, command: &str| {
        let trial = trial.as_ref().map_or("-", |trial| trial.0.as_str());
        format!("{seq:>6} {} {trial:<8} {}", when(*time_ms), escape::text(command))
    };
    let below = |mark: &str, lines: &[String]| -> Vec<String> {
        lines.iter().map(|line| format!("         {mark}{}", escape::text(line))).collect()
    };
    match row {
        Row::Approval { seq, time_ms, trial, by, uid, verb, command, saw } => {
            let first =
                format!("{}: {verb} approved by {}, user {uid}", about(seq, time_ms, trial, command), escape::text(by));
            [vec![first], below("saw: ", saw)].concat()
        }
        Row::Surprise { seq, time_ms, trial, command, surprises } => {
            [vec![about(seq, time_ms, trial, command)], below("not predicted: ", surprises)].concat()
        }
        Row::SecretThenConnect { seq, time_ms, trial, command, secrets, reached, refused } => {
            let peers = [below("reached: ", reached), below("refused: ", refused)].concat();
            [vec![about(seq, time_ms, trial, command)], below("secret: ", secrets), peers].concat()
        }
        Row::Denial { program, denied, not_approved, rules, last_ms } => {
            let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
            vec![format!(
                "{}: {}, {} without the approval it needed, last {} [{}]",
                escape::text(program),
                count(*denied, "denial"),
                count(*not_approved, "time"),
                when(*last_ms),
                escape::text(&rules.join(" "))
            )]
        }
        Row::Rule { rule, allow, ask, deny } => {
            vec![format!("allow {allow:>6}  ask {ask:>6}  deny {deny:>6}  {}", escape::text(rule))]
        }
        Row::Policy { sha256, from_ms, to_ms, decisions } => {
            let name = sha256.as_deref().map_or("not recorded".to_owned(), escape::text);
            vec![format!("{} to {}  {:<16}  {name}", when(*from_ms), when(*to_ms), count(*decisions, "decision"))]
        }
    }
}
