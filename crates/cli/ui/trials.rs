//! Trials in words: the end of a run, `trials`, `show`, `diff`, and what became of them.

use super::style::Style;
use super::{changes, landing};
use engine::{
    Broken, Frozen, JarRun, Listed, Outcome, Rewound, RunError, Settlement, Trial, TrialRecord, Weight, expiry,
};
use model::{
    Change, Exit, FilePath, Layer, Limit, Limits, Place, ProfileId, ProjectPart, Risk, Tier, TrialId, TrialState,
};
use nix::sys::signal::Signal;
use overlay::Preview;
use std::io::{self, Write};

/// The end of a run, on standard error: standard output is the command's own. Nothing to tell, nothing told.
pub(crate) fn ended(outcome: &Outcome) -> io::Result<()> {
    let style = Style::stderr();
    let mut words = Vec::new();
    end(&mut words, style, outcome)?;
    if words.is_empty() {
        return Ok(());
    }
    let mut out = io::stderr().lock();
    out.write_all(style.fresh().as_bytes())?;
    out.write_all(&words)
}

fn end(out: &mut impl Write, style: Style, outcome: &Outcome) -> io::Result<()> {
    let id = &outcome.record.id;
    let reached = !(outcome.record.attempts.is_empty() && outcome.record.connections.is_empty());
    let asked = matches!(outcome.settlement, Settlement::Left | Settlement::Applied { .. });
    if let Some(errno) = outcome.exec_error {
        let why = nix::errno::Errno::from_raw(errno).desc();
        let program = outcome.record.argv.first().map(ToString::to_string).unwrap_or_default();
        writeln!(out, "{}: start {program}: {}", style.red("belljar"), why.to_lowercase())?;
    }
    if asked && !outcome.shown {
        write!(out, "{}", heading(style, &outcome.record))?;
        write!(out, "{}", changes::summary(style, &outcome.record, &outcome.changes, &outcome.review, false))?;
    } else if reached && !outcome.shown {
        write!(out, "{}", heading(style, &outcome.record))?;
        write!(
            out,
            "{}",
            changes::summary(style, &outcome.record, &model::ChangeSet::default(), &outcome.review, false)
        )?;
    }
    weaker(out, style, &outcome.record, false)?;
    limits(out, style, &outcome.record)?;
    landing::granting(out, style, &outcome.grants)?;
    match &outcome.settlement {
        Settlement::Unchanged => Ok(()),
        settlement => writeln!(out, "{}", settlement_line(style, id, settlement)),
    }?;
    match (&outcome.settlement, &outcome.record.jar) {
        (Settlement::Left, Some(jar)) => {
            writeln!(out, "{}", style.dim(&format!("belljar rewind {jar} takes this command back")))
        }
        _ => Ok(()),
    }
}

/// What a project asked for and did not get.
pub(crate) fn not_given(profile: &ProfileId) -> io::Result<()> {
    let Some(part) = profile.project.as_ref().filter(|part| !part.refused.is_empty()) else { return Ok(()) };
    let style = Style::stderr();
    writeln!(io::stderr().lock(), "{} {}", style.yellow("NOT GIVEN"), refused_words(part))
}

fn refused_words(part: &ProjectPart) -> String {
    format!(
        "the project's .belljar/ asks for {}: look at it, then `belljar trust`",
        part.refused.iter().map(|one| model::escape::text(one)).collect::<Vec<_>>().join(", ")
    )
}

/// The profile in a line, and what the project had to say.
fn profile_line(record: &TrialRecord) -> Option<String> {
    let ProfileId { name, origin, digest, project } = record.profile.as_ref()?;
    let digest = digest.get(..12).unwrap_or(digest);
    let name = model::escape::text(name);
    let project = project.as_ref().map(|part| match (part.trusted, part.refused.is_empty()) {
        (true, _) => ", with what the trusted project says".to_owned(),
        (false, true) => ", tightened by the project".to_owned(),
        (false, false) => format!("; {}", refused_words(part)),
    });
    Some(format!("under profile {name} ({origin}, {digest}){}", project.unwrap_or_default()))
}

/// Layers that were given up by name, wholly or in part, are never passed over in silence. What a tier cannot hold is one
/// line, and all of it where everything is told.
fn weaker(out: &mut impl Write, style: Style, record: &TrialRecord, all: bool) -> io::Result<()> {
    let containment = &record.containment;
    let of_tier = |gap: &&model::Gap| containment.tier == Tier::T2 && OF_TIER.contains(&gap.layer);
    if let Some(first) = containment.missing.iter().find(of_tier) {
        let network = if record.allow_net.is_empty() { "no network" } else { "no network but what was named" };
        writeln!(
            out,
            "{} tier {}, without namespaces: {}. It worked on a copy, with the home read-only and {network}, and could \
             ask for names, sizes and times of hidden files: {}",
            style.red("WEAKER"),
            containment.tier,
            first.why,
            style.dim(if all { "belljar doctor" } else { "belljar show · belljar doctor" })
        )?;
    }
    for gap in containment.missing.iter().filter(|gap| all || !of_tier(gap)) {
        writeln!(out, "{} without {}: {}", style.red("WEAKER"), gap.layer, gap.why)?;
    }
    Ok(())
}

/// What a jar without namespaces lacks by its nature; the reason for it is the first one's.
const OF_TIER: [Layer; 8] = [
    Layer::UserNamespace,
    Layer::MountNamespace,
    Layer::PidNamespace,
    Layer::IpcNamespace,
    Layer::UtsNamespace,
    Layer::NetNamespace,
    Layer::CgroupNamespace,
    Layer::Overlay,
];

/// A limit that ended the command, or kept it from starting more.
fn ended_by(limit: Limit, limits: &Limits) -> Option<String> {
    let time = |seconds: Option<u64>| format!("{} s", seconds.unwrap_or_default());
    Some(match limit {
        Limit::Memory => {
            format!("the command was ended: it took more memory than {}", as_given(limits.memory.unwrap_or_default()))
        }
        Limit::Cpu => format!("the command was ended: it used up {} of processor time", time(limits.cpu_s)),
        Limit::Wall => format!("the command was ended: it ran for {}", time(limits.wall_s)),
        Limit::Output => {
            format!("the command was ended: it printed more than {}", as_given(limits.output.unwrap_or_default()))
        }
        Limit::Processes => {
            let most = limits.processes.unwrap_or(Limits::PROCESSES);
            format!("the command hit the limit of {most} processes and threads: it could not start more")
        }
        Limit::Disk | Limit::Files | Limit::Reserve | Limit::HostDisk => return None,
    })
}

/// What was refused for want of room, which the command may have told badly or not at all; and what that cost us.
fn limits(out: &mut impl Write, style: Style, record: &TrialRecord) -> io::Result<()> {
    for limit in &record.limits_hit {
        if let Some(ended) = ended_by(*limit, &record.limits) {
            writeln!(out, "{} {ended}", style.yellow("LIMIT"))?;
            continue;
        }
        let told = match limit {
            Limit::Disk => {
                format!("the command hit the disk limit of {}", as_given(record.limits.disk.unwrap_or_default()))
            }
            Limit::Files => format!("the command hit the limit of {} files", record.limits.files.unwrap_or_default()),
            Limit::Reserve => {
                "the disk of Belljar's state is nearly full, and the command did not get the rest".to_owned()
            }
            Limit::HostDisk => "the disk of Belljar's state was full while the command ran".to_owned(),
            Limit::Memory | Limit::Processes | Limit::Cpu | Limit::Wall | Limit::Output => continue,
        };
        writeln!(
            out,
            "{} {told}: some of its writes were refused; see belljar show {}",
            style.yellow("NO ROOM"),
            record.id
        )?;
    }
    if let Some(why) = &record.unattributed {
        writeln!(out, "{} {}", style.yellow("INCOMPLETE"), model::escape::text(why))?;
    }
    Ok(())
}

/// Command, end, trial.
pub(super) fn heading(style: Style, record: &TrialRecord) -> String {
    let ended = match record.exit {
        Some(end) => format!("{} after {}", exit(end), seconds(record.wall_ms.unwrap_or_default())),
        None if record.argv.is_empty() => "no command is left".to_owned(),
        None => "was interrupted: belljar did not see its end".to_owned(),
    };
    format!("{} {} {ended}  {}\n", style.bold("belljar:"), command(&record.argv), style.dim(&trial_or_jar(record)))
}

fn trial_or_jar(record: &TrialRecord) -> String {
    match (&record.jar, record.runs.last()) {
        (None, _) => format!("trial {}", record.id),
        (Some(jar), Some(run)) => format!("command {} of jar {jar}, trial {}", run.number, record.id),
        (Some(jar), None) => format!("jar {jar}, trial {}", record.id),
    }
}

/// One command of a jar.
pub(super) fn run_line(style: Style, run: &JarRun) -> String {
    let ended = match run.exit {
        Some(end) => format!("{} after {}", exit(end), seconds(run.wall_ms.unwrap_or_default())),
        None => "was interrupted".to_owned(),
    };
    let reach = match (run.applied, run.checkpoints.is_empty()) {
        (true, _) => "applied",
        (false, true) => "no way back: something was applied since",
        (false, false) => "",
    };
    format!(
        "  {:>3}  {} {} {ended}  {}",
        run.number,
        when(run.created_ms),
        style.bold(&command(&run.argv)),
        style.dim(reach)
    )
    .trim_end()
    .to_owned()
}

/// What a rewind took back, and the way on.
pub(crate) fn rewound(record: &TrialRecord, rewound: &Rewound) -> io::Result<()> {
    let style = Style::stdout();
    let name = record.jar.as_ref().map_or(record.id.0.as_str(), |jar| jar.as_str());
    let commands = changes::count(rewound.taken_back, "command");
    let wait = match rewound.left {
        0 => "nothing waits in it".to_owned(),
        left => format!("{} {}: belljar show {name}", changes::count(left, "change"), changes::wait(left)),
    };
    writeln!(
        io::stdout().lock(),
        "{} {commands} of jar {name}; it is as it was before command {}, {wait}",
        style.green("taken back:"),
        rewound.to
    )
}

/// Longest command shown in one line.
const COMMAND_CHARS_MAX: usize = 100;

/// A command line without its secrets: a screen is seen by others, and copied.
fn command(argv: &[FilePath]) -> String {
    let mut told = serde_json::json!({"argv": argv.iter().map(ToString::to_string).collect::<Vec<_>>()});
    engine::audit::without_secrets(&mut told);
    let words = told
        .get("argv")
        .and_then(serde_json::Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(serde_json::Value::as_str);
    let text = words.collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(COMMAND_CHARS_MAX) {
        None => text,
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}

pub(super) fn exit(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exited {code}"),
        Exit::Signal(number) => match Signal::try_from(number) {
            Ok(signal) => format!("died of {}", signal.as_str()),
            Err(_) => format!("died of signal {number}"),
        },
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:02} s", ms / 1000, ms % 1000 / 10)
}

/// What became of a trial, and the way on.
pub(crate) fn settled(id: &TrialId, settlement: &Settlement) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", settlement_line(Style::stdout(), id, settlement))
}

/// Why `discard --all` left something, or had nothing to do.
pub(crate) fn not_discarded(gone: usize, in_use: &[TrialId]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for id in in_use {
        writeln!(out, "{id} is in use by another belljar and stays")?;
    }
    if gone == 0 && in_use.is_empty() { writeln!(out, "{NONE_WAITS}") } else { Ok(()) }
}

fn settlement_line(style: Style, id: &TrialId, settlement: &Settlement) -> String {
    match settlement {
        Settlement::Unchanged => format!("{id}: nothing had changed"),
        Settlement::Applied { applied, left: 0 } => {
            format!("{} {} · belljar undo {id}", style.green("applied:"), now_real(*applied, id))
        }
        Settlement::Applied { applied, left } => {
            format!(
                "{} {}, {left} {}: belljar apply {id} · belljar discard {id}",
                style.green("applied:"),
                now_real(*applied, id),
                changes::wait(*left)
            )
        }
        Settlement::Undone { undone, left, stays } => {
            let are = if *undone == 1 { "is" } else { "are" };
            let undone = changes::count(*undone, "change");
            let stays = match stays {
                0 => String::new(),
                _ => format!(
                    "\n{} of earlier applies stay real: they were edited outside before the later apply went over them",
                    changes::count(*stays, "change")
                ),
            };
            format!(
                "{} {undone} of {id} {are} real no more, {left} {}: belljar apply {id} · belljar discard {id}{stays}",
                style.green("undone:"),
                changes::wait(*left)
            )
        }
        Settlement::Discarded => format!("{} what waited in {id} is gone", style.green("discarded:")),
        Settlement::Left => format!(
            "nothing is real yet: belljar show {id} · belljar diff {id} · belljar apply {id} · belljar discard {id}"
        ),
    }
}

fn now_real(applied: u64, id: &TrialId) -> String {
    let are = if applied == 1 { "is" } else { "are" };
    format!("{} of {id} {are} real now", changes::count(applied, "change"))
}

const NONE_WAITS: &str = "no trial waits for a decision";

/// A line each.
pub(crate) fn trials(rows: &[(&Listed, Weight)], broken: &[Broken]) -> io::Result<()> {
    let style = Style::stdout();
    let mut out = io::stdout().lock();
    for (listed, weight) in rows {
        let record = &listed.record;
        let state = engine::state(listed);
        writeln!(
            out,
            "{} {:<11} {} {:>9} in {:>11}  {}  {}",
            style.bold(&record.id.0),
            state,
            when(record.created_ms),
            bytes(weight.bytes),
            changes::count(weight.files, "file"),
            listed_as(style, record),
            style.dim(&record.place.workspace.to_string()),
        )?;
        if let Some(note) = note(listed) {
            writeln!(out, "         {}", style.dim(&note))?;
        }
    }
    for broken in broken {
        let error = broken.error.as_deref().unwrap_or_default();
        writeln!(out, "{} {} {}", style.bold(&broken.id.0), style.red("damaged"), model::escape::text(error))?;
    }
    if rows.is_empty() && broken.is_empty() {
        writeln!(out, "{NONE_WAITS}")?;
    }
    Ok(())
}

fn listed_as(style: Style, record: &TrialRecord) -> String {
    match &record.jar {
        None => command(&record.argv),
        Some(jar) => {
            let commands = changes::count(record.runs.len() as u64, "command");
            format!("jar {} ({commands})", style.bold(jar.as_str()))
        }
    }
}

/// What can be undone, and what was perhaps forgotten.
fn note(listed: &Listed) -> Option<String> {
    let record = &listed.record;
    let id = &record.id;
    if let Some(until) = expiry::undo_until_ms(record) {
        return Some(format!(
            "belljar undo {id} takes {} back, until {}",
            changes::count(record.applied, "change"),
            when(until)
        ));
    }
    if expiry::is_old(listed) {
        return Some(format!("older than {} days: belljar show {id} · belljar discard {id}", expiry::OLD_DAYS));
    }
    let are = if record.applied == 1 { "is" } else { "are" };
    (record.applied > 0)
        .then(|| format!("{} of it {are} real: belljar undo {id}", changes::count(record.applied, "change")))
}

/// What expired because somebody asked.
pub(crate) fn expired(days: u32, gone: &[TrialId]) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", expired_line(days, gone))
}

/// What expired by itself, in one line on standard error.
pub(crate) fn swept(gone: &Result<Vec<TrialId>, RunError>) -> io::Result<()> {
    let mut out = io::stderr().lock();
    match gone {
        Ok(gone) if gone.is_empty() => Ok(()),
        Ok(gone) => writeln!(out, "{} {}", Style::stderr().bold("belljar:"), expired_line(expiry::UNDO_DAYS, gone)),
        Err(error) => {
            let why = model::escape::text(&error.to_string());
            writeln!(out, "{} old trials could not be looked through: {why}", Style::stderr().bold("belljar:"))
        }
    }
}

fn expired_line(days: u32, gone: &[TrialId]) -> String {
    if gone.is_empty() {
        return format!(
            "nothing expired: no trial was wholly applied more than {} ago",
            changes::count(days.into(), "day")
        );
    }
    let names: Vec<&str> = gone.iter().map(|id| id.0.as_str()).collect();
    let trials = changes::count(gone.len() as u64, "trial");
    format!(
        "expired: {trials} applied more than {} ago cannot be undone any more: {}",
        changes::count(days.into(), "day"),
        names.join(" ")
    )
}

pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", bytes / size, bytes % size * 10 / size),
        None => format!("{bytes} B"),
    }
}

/// A size as people type it: 10G, 1500M.
fn as_given(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)];
    let whole = UNITS.iter().find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
    whole.map_or_else(|| format!("{bytes} bytes"), |(unit, size)| format!("{}{unit}", bytes / size))
}

/// UTC to the minute: civil date from days since the epoch (proleptic Gregorian calendar).
pub(super) fn when(ms: u64) -> String {
    let (days, minutes) = (ms / 86_400_000, ms / 60_000 % 1440);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}Z", minutes / 60, minutes % 60)
}

/// Everything known of one trial.
pub(crate) fn show(frozen: &Trial<Frozen>) -> io::Result<()> {
    let style = Style::stdout();
    let mut out = io::stdout().lock();
    let record = frozen.record();
    write!(out, "{}", heading(style, record))?;
    writeln!(out, "  in {} at {}, {}", record.place.workspace, when(record.created_ms), state_words(record.state))?;
    writeln!(out, "  predicted {} in a jar, {} bare", record.assessment.tiers.contained, record.assessment.tiers.bare)?;
    for sentence in &record.assessment.explanation {
        writeln!(out, "    {sentence}")?;
    }
    if let Some(jar) = &record.jar {
        writeln!(out, "  jar {jar}, {}", changes::count(record.runs.len() as u64, "command"))?;
        for run in &record.runs {
            writeln!(out, "{}", run_line(style, run))?;
        }
        if let Some(last) = record.taken_back(None).ok().and_then(<[JarRun]>::first) {
            writeln!(
                out,
                "  {}",
                style.dim(&format!("belljar rewind {jar} --to {} takes the last one back", last.number))
            )?;
        }
    }
    if let Some(line) = profile_line(record) {
        writeln!(out, "  {line}")?;
    }
    let layers: Vec<String> = record.containment.active.iter().map(layer).collect();
    if !layers.is_empty() {
        writeln!(out, "  held by {}", layers.join(", "))?;
    }
    for backend in &record.containment.backends {
        let why = model::escape::text(&backend.why);
        writeln!(out, "  {} is kept by {}: {why}", backend.root, backend.backend)?;
    }
    weaker(&mut out, style, record, true)?;
    limits(&mut out, style, record)?;
    if let Some(usage) = &record.usage {
        let memory = usage.memory_peak.map(|bytes| format!("{} of memory", self::bytes(bytes)));
        let cpu = usage.cpu_us.map(|us| format!("{} of processor time", seconds(us / 1000)));
        let words: Vec<String> = memory.into_iter().chain(cpu).collect();
        writeln!(out, "  took {}", words.join(" and "))?;
    }
    if !record.env_withheld.is_empty() {
        let names: Vec<String> = record.env_withheld.iter().map(|name| model::escape::text(name)).collect();
        writeln!(out, "  withheld from its environment: {}", names.join(" "))?;
    }
    write!(out, "{}", changes::summary(style, record, frozen.changes(), frozen.review(), true))?;
    if record.applied > 0 {
        let until = expiry::undo_until_ms(record).map(|until| format!(", until {}", when(until))).unwrap_or_default();
        let real = changes::count(record.applied, "change");
        writeln!(out, "  {real} of it real by now: belljar undo {} takes them back{until}", record.id)?;
    } else if frozen.changes().changes.is_empty() {
        writeln!(out, "  it changed nothing")?;
    }
    Ok(())
}

fn layer(state: &model::LayerState) -> String {
    if state.detail.is_empty() { state.layer.to_string() } else { format!("{} ({})", state.layer, state.detail) }
}

fn state_words(state: TrialState) -> &'static str {
    match state {
        TrialState::Running => "running",
        TrialState::Pending => "waiting for a decision",
        TrialState::Applying => "half applied: apply goes on where it stopped",
        TrialState::Applied => "applied",
        TrialState::Undoing => "half undone: undo goes on where it stopped",
        TrialState::Discarded => "being discarded",
        TrialState::Empty => "nothing waits in it",
    }
}

/// A line a change, and one for each directory that tools filled.
pub(crate) fn summary(frozen: &Trial<Frozen>) -> io::Result<()> {
    write!(io::stdout().lock(), "{}", changes::folded_summary(Style::stdout(), frozen))
}

/// Unified diffs, escaped line by line.
pub(crate) fn diff(place: &Place, previews: &[(&Change, Preview)]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let style = Style::stdout();
    previews.iter().try_for_each(|(change, preview)| write!(out, "{}", one_diff(style, place, change, preview)))
}

/// A heading that says what happened to the name, and what differs inside it.
pub(super) fn one_diff(style: Style, place: &Place, change: &Change, preview: &Preview) -> String {
    let heading = style.bold(&changes::line(place, change));
    match preview {
        Preview::Text { diff, .. } => {
            let lines = diff.split_inclusive(|byte| *byte == b'\n');
            format!("{heading}\n{}", lines.map(|line| diff_line(style, line)).collect::<String>())
        }
        Preview::Binary { before, after } => {
            let size = |size: &Option<u64>| size.map_or("nothing".to_owned(), bytes);
            format!("{heading}\n{}\n", style.dim(&format!("binary: {} -> {}", size(before), size(after))))
        }
        _ => format!("{heading}\n"),
    }
}

fn diff_line(style: Style, line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    // Tabs are layout in a diff and harmless; everything else that deceives is spelled out.
    let safe = line.split(|byte| *byte == b'\t').map(model::escape::bytes).collect::<Vec<_>>().join("\t");
    let painted = match line.first() {
        Some(b'+') => style.green(&safe),
        Some(b'-') => style.red(&safe),
        Some(b'@') => style.dim(&safe),
        _ => safe,
    };
    format!("{painted}\n")
}

/// How many changes need a person.
pub(crate) fn red(frozen: &Trial<Frozen>) -> usize {
    frozen.review().risks.iter().filter(|risk| **risk == Risk::High).count()
}

/// How many of those a choice of `paths` would make real.
pub(super) fn red_within(frozen: &Trial<Frozen>, paths: &[FilePath]) -> usize {
    let judged = frozen.changes().changes.iter().zip(&frozen.review().risks);
    let chosen = |change: &Change| paths.iter().any(|path| change.path.starts_with(path));
    judged.filter(|(change, risk)| **risk == Risk::High && chosen(change)).count()
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates() {
        for (ms, expected) in [
            (0, "1970-01-01 00:00Z"),
            (951_782_400_000, "2000-02-29 00:00Z"),
            (1_735_689_599_000, "2024-12-31 23:59Z"),
            (1_795_219_200_000, "2026-11-21 00:00Z"),
        ] {
            assert_eq!(super::when(ms), expected);
        }
    }
}
