//! `belljar audit`: reads, asks, verifies and exports the log.

use crate::args::{self, AuditCommand, AuditFilter, AuditQuestion, DecisionWord, ExportFormat, RiskWord};
use crate::cmd::select;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{json, ui};
use engine::AuditLog;
use engine::audit::ocsf;
use engine::audit::query::{self, Filter, Question};
use model::{AuditRecord, FilePath, Place, Risk, Verdict};
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Does what was asked; a log that is not sound is a failure.
pub(crate) fn audit(args: &args::Audit) -> Result<Exit, Failure> {
    let (engine, place) = select::open()?;
    let audit = engine.audit();
    match &args.command {
        AuditCommand::Log { filter, json: true } => {
            each(audit, &chosen(filter, &place)?, |record| ui::print_json(&json::record(record)))
        }
        AuditCommand::Log { filter, .. } => each(audit, &chosen(filter, &place)?, ui::record),
        AuditCommand::Export { format: ExportFormat::Jsonl, filter } => {
            each(audit, &chosen(filter, &place)?, |record| ui::print_json(&json::record(record)))
        }
        AuditCommand::Export { format: ExportFormat::Ocsf, filter } => {
            each(audit, &chosen(filter, &place)?, |record| match ocsf::event(record) {
                Some(event) => ui::print_json(&event),
                None => Ok(()),
            })
        }
        AuditCommand::Export { format: ExportFormat::Requests, filter } => {
            each(audit, &chosen(filter, &place)?, |record| match engine::replay::request(record) {
                Some(request) => ui::print_line(&request),
                None => Ok(()),
            })
        }
        #[cfg(feature = "parquet")]
        AuditCommand::Export { format: ExportFormat::Parquet, filter } => columns(audit, &chosen(filter, &place)?),
        #[cfg(not(feature = "parquet"))]
        AuditCommand::Export { format: ExportFormat::Parquet, .. } => Err(Failure::WithoutParquet),
        AuditCommand::Query { question } => ask(audit, question, &place),
        AuditCommand::Key(key) => set_up_key(audit, key.json),
        AuditCommand::Receipt { trial } => {
            ui::print(&format!("{}\n", audit.receipt(trial)?.1))?;
            Ok(Exit::Ok)
        }
        AuditCommand::Verify { key, expected_head, json } => {
            verify(audit, key.as_deref(), expected_head.as_deref(), *json)
        }
    }
}

/// Prints as it reads: a log may be longer than memory.
fn each(
    log: &AuditLog,
    filter: &Filter,
    mut print: impl FnMut(&AuditRecord) -> io::Result<()>,
) -> Result<Exit, Failure> {
    let mut printed = Ok(());
    log.read(|record| {
        if printed.is_ok() && filter.takes(&record) {
            printed = print(&record);
        }
    })?;
    printed?;
    Ok(Exit::Ok)
}

/// Bytes for a file or another program, and never for a screen.
#[cfg(feature = "parquet")]
fn columns(log: &AuditLog, filter: &Filter) -> Result<Exit, Failure> {
    use std::io::{BufWriter, IsTerminal};
    if io::stdout().is_terminal() {
        return Err(Failure::Usage {
            message: "--format parquet is no text for a terminal".into(),
            hint: "belljar audit export --format parquet > audit.parquet".into(),
        });
    }
    engine::audit::columns::export(log, filter, BufWriter::new(io::stdout()))?;
    Ok(Exit::Ok)
}

fn ask(log: &AuditLog, question: &AuditQuestion, place: &Place) -> Result<Exit, Failure> {
    let asked = question.asked();
    let (name, question) = match question {
        AuditQuestion::Approvals { about, .. } => ("approvals", Question::Approvals(about.clone())),
        AuditQuestion::Surprises(_) => ("surprises", Question::Surprises),
        AuditQuestion::SecretThenConnect(_) => ("secret-then-connect", Question::SecretThenConnect),
        AuditQuestion::Denials(_) => ("denials", Question::Denials),
        AuditQuestion::Rules(_) => ("rules", Question::Rules),
        AuditQuestion::Policy { at, .. } => ("policy", Question::Policy(at.as_deref().map(time).transpose()?)),
    };
    let rows = query::ask(log, &question, &chosen(&asked.filter, place)?, &place.home)?;
    if asked.json {
        ui::print_json(&json::answer(name, &rows))?;
    } else {
        ui::answer(&rows)?;
    }
    Ok(Exit::Ok)
}

fn set_up_key(log: &AuditLog, json: bool) -> Result<Exit, Failure> {
    let key = log.set_up_key()?;
    if json {
        ui::print_json(&json::audit_key(&key))?;
    } else {
        ui::print(&format!("{key}\n"))?;
        ui::note(
            "keep this key on another machine: it is not kept here, and `belljar audit verify --key FILE` needs it",
        )?;
    }
    Ok(Exit::Ok)
}

fn verify(log: &AuditLog, key: Option<&Path>, expected_head: Option<&str>, json: bool) -> Result<Exit, Failure> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|source| Failure::Input { path: FilePath::from(path), source })
    };
    let found = log.verify(key.map(read).transpose()?.as_deref())?;
    let as_expected = expected_head.is_none_or(|head| head == found.head);
    let sound = found.is_sound() && as_expected;
    if json {
        ui::print_json(&json::verification(&found, as_expected))?;
    } else {
        ui::verification(&found, as_expected)?;
    }
    Ok(if sound { Exit::Ok } else { Exit::Failed })
}

fn chosen(filter: &AuditFilter, place: &Place) -> Result<Filter, Failure> {
    Ok(Filter {
        since_ms: filter.since.as_deref().map(time).transpose()?,
        until_ms: filter.until.as_deref().map(time).transpose()?,
        trial: filter.trial.clone(),
        decision: filter.decision.map(|word| match word {
            DecisionWord::Allow => Verdict::Allow,
            DecisionWord::Ask => Verdict::Ask,
            DecisionWord::Deny => Verdict::Deny,
        }),
        risk: filter.risk.map(|word| match word {
            RiskWord::Low => Risk::Low,
            RiskWord::Medium => Risk::Medium,
            RiskWord::High => Risk::High,
        }),
        path: filter.path.as_ref().map(|path| place.cwd.join(path.as_os_str()).normalise()),
        host: filter.host.as_ref().map(|host| host.to_lowercase()),
    })
}

/// A moment as it is typed, in milliseconds since the epoch.
pub(crate) fn time(text: &str) -> Result<u64, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    moment(text, u64::try_from(now).unwrap_or(u64::MAX)).ok_or_else(|| Failure::Usage {
        message: format!("{} is no time", model::escape::text(text)),
        hint: "2026-11-21, 2026-11-21T15:00Z, or so long ago: 30m, 2h, 3d".into(),
    })
}

/// Milliseconds since the epoch, of a time in UTC or so long before `now`.
fn moment(text: &str, now: u64) -> Option<u64> {
    let units = [("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    if let Some((count, unit)) = units.iter().find_map(|(unit, ms)| Some((text.strip_suffix(unit)?, ms))) {
        return Some(now.saturating_sub(count.parse::<u64>().ok()?.checked_mul(*unit)?));
    }
    let (date, clock) = text.split_once(['T', ' ']).unwrap_or((text, "00:00Z"));
    let numbers = |text: &str, sign: char| text.split(sign).map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>();
    let (date, clock) = (numbers(date, '-')?, numbers(clock.strip_suffix('Z').unwrap_or(clock), ':')?);
    let [year, month, day] = *date.as_slice() else { return None };
    let (hour, minute, second) = match *clock.as_slice() {
        [hour, minute] => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    let real = (1970..10_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !real || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 1970-01-01, counted in years that begin with March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn times_are_read_as_they_are_printed() {
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("1970-01-01T00:01Z", Some(60_000)),
            ("2000-02-29 12:00:01Z", Some(951_825_601_000)),
            ("2026-11-21", Some(1_795_219_200_000)),
            ("2h", Some(1_000_000_000_000 - 7_200_000)),
            ("3d", Some(1_000_000_000_000 - 259_200_000)),
            ("2026-13-01", None),
            ("2026-11-21T25:00Z", None),
            ("yesterday", None),
            ("", None),
            ("-1h", None),
        ] {
            assert_eq!(moment(text, 1_000_000_000_000), expected, "{text}");
        }
    }
}
