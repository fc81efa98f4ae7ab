//! Commands of real programs, run over a real small project: whatever they change must have been predicted, or the analysis
//! must say that it does not know; what was judged LOW must change nothing at all.
//!
//! A bounded number is tried on every run. `BELLJAR_SWEEP=10000 cargo test --test belljar predicted -- --nocapture` asks for
//! more and tells figures, `BELLJAR_SEED` asks for others, `BELLJAR_EXE` runs another build of the program. With
//! `BELLJAR_SWEEP_KEEP=FILE` what was observed is kept, and `BELLJAR_SWEEP_AGAIN=FILE` judges it again without running
//! anything, for work on the tables. Programs that are not installed are not tried.

mod generate;
mod rows;
mod shapes;
mod tree;

use crate::support::EXE;
use engine::Engine;
use generate::Generator;
use model::{
    Action, Analysis, Attempt, Certainty, Change, ChangeKind, ChangeSet, Coverage, Effect, FilePath, PathScope, Place,
    Risk, Target,
};
use policy::Policy;
use rows::{Opt, Row};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::Random;
use testkit::World;

/// Commands of an ordinary run.
const COMMANDS: u64 = 120;
/// Programs of an ordinary run: those that every Debian has, so that it tries the same everywhere.
const ESSENTIAL: &[&str] = &[
    "basename",
    "cat",
    "chmod",
    "cmp",
    "comm",
    "cp",
    "cut",
    "date",
    "df",
    "diff",
    "dirname",
    "du",
    "echo",
    "egrep",
    "env",
    "expand",
    "expr",
    "false",
    "fgrep",
    "find",
    "fmt",
    "fold",
    "grep",
    "gunzip",
    "gzip",
    "head",
    "install",
    "join",
    "ln",
    "ls",
    "md5sum",
    "mkdir",
    "mktemp",
    "mv",
    "nice",
    "nl",
    "nohup",
    "od",
    "paste",
    "printf",
    "pwd",
    "readlink",
    "realpath",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "sha256sum",
    "shred",
    "shuf",
    "sort",
    "split",
    "stat",
    "sum",
    "tac",
    "tail",
    "tar",
    "tee",
    "test",
    "timeout",
    "touch",
    "tr",
    "true",
    "truncate",
    "tsort",
    "unexpand",
    "uniq",
    "unlink",
    "wc",
    "xargs",
    "zcat",
];
/// Every command runs, whatever it is judged: the jar holds it.
const ANYTHING: &str = "@id(\"sweep/anything\")\npermit (principal, action in Action::\"effect\", resource);\n";
const BINS: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];

/// A command that ran, and what was seen of it.
struct Seen {
    text: String,
    code: Option<i64>,
    changes: ChangeSet,
    attempts: Vec<Attempt>,
}

/// What a command that ran was predicted to do.
struct Told {
    analysis: Analysis,
    tier: Risk,
    surprises: Vec<String>,
    /// Further names (hard links) of files whose change was announced by another name: the analysis reads no disk, and a
    /// file does not know its names.
    aliases: usize,
}

/// Whether `path` is another name of a file that was changed as announced.
fn is_alias(path: &FilePath, seen: &Seen, surprises: &[Effect]) -> bool {
    let inode =
        |path: &FilePath| path.as_path().symlink_metadata().ok().filter(|meta| meta.nlink() > 1).map(|meta| meta.ino());
    let surprising = |other: &FilePath| {
        surprises.iter().any(|effect| matches!(&effect.target, Target::Path { path, .. } if path == other))
    };
    let Some(own) = inode(path) else { return false };
    seen.changes.changes.iter().any(|change| inode(&change.path) == Some(own) && !surprising(&change.path))
}

/// `git status` and its kin write down anew what they learnt of the times of files, and nothing else: known, and no reason
/// to call them anything but reading.
fn only_refreshes(changes: &ChangeSet) -> bool {
    changes
        .changes
        .iter()
        .all(|change| change.kind == ChangeKind::Modified && change.path.as_path().ends_with(".git/index"))
}

fn place(world: &World) -> Place {
    Place {
        cwd: world.workspace().into(),
        home: world.home().into(),
        workspace: world.workspace().into(),
        state: world.state().into(),
        uid: world.owner().0,
        contained: true,
    }
}

/// Runs `text`; `None` when the jar could not be made or the report is not one.
fn run(world: &World, exe: &Path, text: &str) -> Option<Seen> {
    let args = ["run", "--json", "--apply", "discard", "--limit", "time=5s,mem=1G,disk=64M", "--", "bash", "-c", text];
    let output = world.command(exe).args(args).run();
    let report: Value = serde_json::from_str(&output.stdout).ok()?;
    let code = report["exit"]["value"].as_i64().filter(|_| report["exit"]["type"] == "code");
    seen(&json!({ "text": text, "code": code, "changes": report["changes"], "attempts": report["attempts"] }))
}

fn seen(report: &Value) -> Option<Seen> {
    let changes: Vec<Change> = serde_json::from_value(report["changes"].clone()).ok()?;
    Some(Seen {
        text: report["text"].as_str()?.to_owned(),
        code: report["code"].as_i64(),
        changes: ChangeSet { changes },
        attempts: serde_json::from_value(report["attempts"].clone()).ok()?,
    })
}

fn tell(engine: &Engine, policy: &Policy, place: &Place, seen: &Seen) -> Told {
    let argv = ["bash", "-c", &seen.text].map(std::ffi::OsString::from);
    let analysis = engine.judge(&analyze::quote(&argv), place).analysis;
    let tier = policy.assess(&analysis, place).tiers.bare;
    let review = policy.review(&seen.changes, &analysis, place, &seen.attempts);
    let (mut surprises, mut aliases) = (Vec::new(), 0);
    for effect in &review.surprises {
        match &effect.target {
            Target::Path { path, .. } if is_alias(path, seen, &review.surprises) => aliases += 1,
            target => surprises.push(format!("{} {target}", effect.action)),
        }
    }
    Told { analysis, tier, surprises, aliases }
}

/// Whether the analysis claims to know everything the command does.
fn claims_all(analysis: &Analysis) -> bool {
    let unknown = |effect: &Effect| {
        let open = match &effect.target {
            Target::Unknown { .. } => true,
            Target::Path { path, .. } => !path.is_absolute(),
            _ => false,
        };
        effect.action == Action::Execute || (effect.action != Action::Read && open)
    };
    analysis.coverage == Coverage::Full && !analysis.effects.iter().any(unknown)
}

/// Changes that the review calls no surprise whatever was announced (times, new directories, caches of tools), and that
/// nothing announced.
fn passed_over(told: &Told, seen: &Seen) -> Vec<String> {
    let covers = |change: &Change| {
        told.analysis.effects.iter().filter(|effect| effect.action != Action::Read).any(|effect| match &effect.target {
            Target::Path { path, scope: PathScope::Exact } => *path == change.path,
            Target::Path { path, scope: PathScope::Tree } => change.path.starts_with(path),
            Target::Path { scope: PathScope::Glob, .. } => true,
            Target::Thing { what } => what.contains("git") && change.path.to_string().contains("/.git"),
            _ => false,
        })
    };
    let open = seen.changes.changes.iter().filter(|change| !covers(change));
    open.map(|change| format!("{:?} {}", change.kind, change.path)).collect()
}

/// What had to happen in a command that succeeded, and did not.
fn missed(told: &Told, seen: &Seen) -> Vec<String> {
    if seen.code != Some(0) || !claims_all(&told.analysis) {
        return Vec::new();
    }
    let touched = |path: &FilePath| {
        seen.changes.changes.iter().any(|change| {
            let moved = matches!(&change.kind, ChangeKind::Renamed { from } if from.starts_with(path));
            change.path.starts_with(path)
                || moved
                || (change.kind == ChangeKind::Deleted && path.starts_with(&change.path))
        })
    };
    let changes = [Action::Write, Action::Create, Action::Delete, Action::Rename, Action::Attributes];
    let must = told.analysis.effects.iter().filter(|e| e.certainty == Certainty::Must && changes.contains(&e.action));
    let open = must.filter_map(|effect| match &effect.target {
        Target::Path { path, scope }
            if *scope != PathScope::Glob && !path.starts_with(&"/dev".into()) && !touched(path) =>
        {
            Some(format!("{} {path}", effect.action))
        }
        _ => None,
    });
    open.collect()
}

/// The figures of a sweep.
#[derive(Default)]
struct Figures {
    commands: usize,
    changed: usize,
    claimed: usize,
    low: usize,
    surprised: usize,
    lies: Vec<String>,
    grave: Vec<String>,
    passed_over: Vec<String>,
    missed: Vec<String>,
    must: usize,
    /// Known and let pass: see [`Told::aliases`] and [`only_refreshes`].
    aliases: usize,
    refreshed: usize,
}

impl Figures {
    fn add(&mut self, seen: &Seen, told: &Told) {
        let claims = claims_all(&told.analysis);
        self.commands += 1;
        self.changed += usize::from(!seen.changes.changes.is_empty());
        self.claimed += usize::from(claims);
        self.low += usize::from(told.tier == Risk::Low);
        self.surprised += usize::from(!told.surprises.is_empty());
        let line = |what: &[String]| format!("{:?}\n        {}", seen.text, what.join("; "));
        if claims && !told.surprises.is_empty() {
            self.lies.push(line(&told.surprises));
        }
        let all: Vec<String> =
            seen.changes.changes.iter().map(|change| format!("{:?} {}", change.kind, change.path)).collect();
        self.aliases += told.aliases;
        let refreshed = !all.is_empty() && only_refreshes(&seen.changes);
        self.refreshed += usize::from(told.tier == Risk::Low && refreshed);
        if told.tier == Risk::Low && !all.is_empty() && !refreshed {
            self.grave.push(line(&all));
        }
        let over = passed_over(told, seen);
        if claims && told.surprises.is_empty() && told.tier != Risk::Low && !over.is_empty() {
            self.passed_over.push(line(&over));
        }
        let missed = missed(told, seen);
        self.must += usize::from(seen.code == Some(0) && claims && told.tier != Risk::Low);
        if !missed.is_empty() {
            self.missed.push(line(&missed));
        }
    }

    fn tell(&self) {
        for (title, lines) in [
            ("MUST AND DID NOT", &self.missed),
            ("PASSED OVER", &self.passed_over),
            ("LIE", &self.lies),
            ("GRAVE", &self.grave),
        ] {
            lines.iter().for_each(|line| println!("{title}: {line}"));
        }
        println!(
            "{} commands executed, {} changed something, {} with surprises; {} judged LOW of which {} changed something; {} claimed to be \
             understood in full of which {} had surprises and {} unannounced changes of other kinds; of {} such that succeeded {} left \
             something undone",
            self.commands,
            self.changed,
            self.surprised,
            self.low,
            self.grave.len(),
            self.claimed,
            self.lies.len(),
            self.passed_over.len(),
            self.must,
            self.missed.len(),
        );
        println!(
            "known: {} further names of changed files, {} times the index of git refreshed",
            self.aliases, self.refreshed
        );
    }
}

/// The options that programs list themselves, by row.
fn helps(world: &World, exe: &Path, rows: &[Row]) -> HashMap<String, Vec<Opt>> {
    let mut all = HashMap::new();
    for row in rows.iter().filter(|row| !row.name.contains(' ')) {
        let args = ["run", "--apply", "discard", "--limit", "time=2s", "--", &row.name, "--help"];
        let output = world.command(exe).args(args).run();
        all.insert(row.name.clone(), rows::from_help(&output.stdout));
    }
    all
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Texts with what was seen of them: from a file, or by running them.
fn observe(world: &World, wanted: Option<u64>) -> Vec<Seen> {
    let base = world.base().display().to_string();
    if let Ok(path) = std::env::var("BELLJAR_SWEEP_AGAIN") {
        let lines = std::fs::read_to_string(path).unwrap().replace("<world>", &base);
        return lines.lines().filter_map(|line| seen(&serde_json::from_str(line).ok()?)).collect();
    }
    let exe = world.exe();
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/analyze/src/commands");
    let mut rows = rows::rows(&tables, &BINS.map(Path::new));
    rows.retain(|row| wanted.is_some() || ESSENTIAL.contains(&row.name.as_str()));
    assert!(rows.len() > 60, "{} rows of installed programs", rows.len());
    let helps = if wanted.is_some() { helps(world, exe, &rows) } else { HashMap::new() };
    let generator = Generator { random: Random(number("BELLJAR_SEED").unwrap_or(1)), rows: &rows, helps: &helps };
    let (generator, found) = (Mutex::new(generator), Mutex::new(BTreeMap::new()));
    let keep = std::env::var_os("BELLJAR_SWEEP_KEEP").map(|path| Mutex::new(std::fs::File::create(path).unwrap()));
    let next = AtomicU64::new(0);
    let worker = || loop {
        let (index, text) = {
            let mut generator = generator.lock().unwrap();
            (next.fetch_add(1, Ordering::Relaxed), generator.text())
        };
        if index >= wanted.unwrap_or(COMMANDS) {
            return;
        }
        let Some(seen) = run(world, exe, &text) else { continue };
        if let Some(file) = &keep {
            let Seen { text, code, changes, attempts } = &seen;
            let line =
                json!({ "text": text, "code": code, "changes": changes.changes, "attempts": attempts }).to_string();
            writeln!(file.lock().unwrap(), "{}", line.replace(&base, "<world>")).unwrap();
        }
        found.lock().unwrap().insert(index, seen);
    };
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(worker))));
    found.into_inner().unwrap().into_values().collect()
}

#[test]
fn nothing_happens_that_was_not_predicted() {
    let world = World::user(&std::env::var("BELLJAR_EXE").unwrap_or_else(|_| EXE.to_owned()));
    tree::plant(&world);
    world.file(world.home().join(".config/belljar/policies/sweep.cedar"), ANYTHING);
    let wanted = number("BELLJAR_SWEEP");
    let all = observe(&world, wanted);
    let (place, policy) = (place(&world), Policy::builtin().unwrap());
    let engine = Engine::open(&place).unwrap();
    let mut figures = Figures::default();
    for seen in &all {
        figures.add(seen, &tell(&engine, &policy, &place, seen));
    }
    figures.tell();
    let enough = all.iter().filter(|seen| !seen.changes.changes.is_empty()).count();
    assert!(wanted.is_some() || enough > 4, "{} commands, {enough} changed something", all.len());
    assert!(figures.lies.is_empty() && figures.grave.is_empty(), "effects that were not predicted");
}
