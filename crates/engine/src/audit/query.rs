//! Ready-made questions to the log. Each reads it once, record by record, and keeps no more than its answer.

use super::{AuditError, AuditLog};
use model::{Action, AuditRecord, Effect, FilePath, Risk, Stage, Target, TrialId, Verdict};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Which records are looked at. With a question, all but the times choose trials: a trial counts if some record of it has
/// what is asked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// From this moment on, milliseconds since the epoch.
    pub since_ms: Option<u64>,
    /// Before this moment.
    pub until_ms: Option<u64>,
    /// Beginning of a trial's id.
    pub trial: Option<String>,
    /// What the policy said.
    pub decision: Option<Verdict>,
    /// At least this dangerous in a jar.
    pub risk: Option<Risk>,
    /// It, or what is below it, was predicted, tried, changed or chosen.
    pub path: Option<FilePath>,
    /// It was predicted, tried or reached.
    pub host: Option<String>,
}

impl Filter {
    /// Whether a record has all that is asked for.
    #[must_use]
    pub fn takes(&self, record: &AuditRecord) -> bool {
        self.is_when(record) && self.is_trial(record) && self.parts(record).iter().all(|part| *part)
    }

    fn is_when(&self, record: &AuditRecord) -> bool {
        self.since_ms.is_none_or(|since| record.time_ms >= since)
            && self.until_ms.is_none_or(|until| record.time_ms < until)
    }

    fn is_trial(&self, record: &AuditRecord) -> bool {
        let Some(wanted) = &self.trial else { return true };
        record.trial.as_ref().is_some_and(|id| id.0.starts_with(wanted))
    }

    /// What may stand in different records of one trial.
    fn parts(&self, record: &AuditRecord) -> [bool; 4] {
        let decided = match &record.stage {
            Stage::Decided { assessment, decision, .. } => Some((decision.verdict, assessment.tiers.contained)),
            _ => None,
        };
        [
            self.decision.is_none_or(|wanted| decided.is_some_and(|(verdict, _)| verdict == wanted)),
            self.risk.is_none_or(|wanted| decided.is_some_and(|(_, risk)| risk >= wanted)),
            self.path.as_ref().is_none_or(|wanted| paths(record).iter().any(|path| path.starts_with(wanted))),
            self.host.as_ref().is_none_or(|wanted| hosts(record).contains(&wanted.as_str())),
        ]
    }

    /// The trials in which everything is found; `None`: all.
    fn trials(&self, log: &AuditLog) -> Result<Option<BTreeSet<TrialId>>, AuditError> {
        if self.decision.is_none() && self.risk.is_none() && self.path.is_none() && self.host.is_none() {
            return Ok(None);
        }
        let mut found: BTreeMap<TrialId, [bool; 4]> = BTreeMap::new();
        log.read(|record| {
            let parts = self.parts(&record);
            if let Some(id) = record.trial {
                let so_far = found.entry(id).or_default();
                so_far.iter_mut().zip(parts).for_each(|(had, has)| *had |= has);
            }
        })?;
        Ok(Some(found.into_iter().filter(|(_, parts)| parts.iter().all(|part| *part)).map(|(id, _)| id).collect()))
    }
}

fn targets(record: &AuditRecord) -> Vec<&Target> {
    match &record.stage {
        Stage::Decided { analysis, .. } => analysis.effects.iter().map(|effect| &effect.target).collect(),
        Stage::Ran { attempts, .. } => attempts.iter().map(|attempt| &attempt.target).collect(),
        _ => Vec::new(),
    }
}

fn path_of(target: &Target) -> Option<&FilePath> {
    match target {
        Target::Path { path, .. } => Some(path),
        _ => None,
    }
}

fn host_of(target: &Target) -> Option<&str> {
    match target {
        Target::Peer(peer) => Some(&peer.host),
        _ => None,
    }
}

fn paths(record: &AuditRecord) -> Vec<&FilePath> {
    let mut found: Vec<&FilePath> = targets(record).into_iter().filter_map(path_of).collect();
    match &record.stage {
        Stage::Ran { changes, .. } => found.extend(changes.changes.iter().map(|change| &change.path)),
        Stage::Settling { paths, .. } => found.extend(paths),
        _ => {}
    }
    found
}

fn hosts(record: &AuditRecord) -> Vec<&str> {
    let mut found: Vec<&str> = targets(record).into_iter().filter_map(host_of).collect();
    if let Stage::Ran { connections, .. } = &record.stage {
        found.extend(connections.iter().map(|connection| connection.peer.host.as_str()));
    }
    found
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Who approved this, and what did they see? A piece of the command, or nothing for all.
    Approvals(Option<String>),
    /// What was observed and had not been predicted?
    Surprises,
    /// Where was a secret read, shown on demand, or tried, and a connection made or tried afterwards?
    SecretThenConnect,
    /// What was not run, by program?
    Denials,
    /// What did each rule decide?
    Rules,
    /// Which policy was in force, at this moment or ever?
    Policy(Option<u64>),
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "row", rename_all = "kebab-case")]
pub enum Row {
    /// Somebody agreed.
    Approval {
        /// Number of the record.
        seq: u64,
        /// When.
        time_ms: u64,
        /// To which trial.
        trial: Option<TrialId>,
        /// `policy` or `person`.
        by: String,
        /// Numeric id of the user.
        uid: u32,
        /// To what: `run`, `apply` and so on.
        verb: String,
        /// The command.
        command: String,
        /// What they were shown, or could have been.
        saw: Vec<String>,
    },
    /// It did what nobody had said it would.
    Surprise {
        /// Number of the record.
        seq: u64,
        /// When.
        time_ms: u64,
        /// Which trial.
        trial: Option<TrialId>,
        /// The command.
        command: String,
        /// What, in words.
        surprises: Vec<String>,
    },
    /// A secret, and a way out afterwards.
    SecretThenConnect {
        /// Number of the record of the connection.
        seq: u64,
        /// When.
        time_ms: u64,
        /// Which trial.
        trial: Option<TrialId>,
        /// The command that connected.
        command: String,
        /// Secrets that were predicted to be read, tried to be, or shown on demand.
        secrets: Vec<String>,
        /// Whom it reached.
        reached: Vec<String>,
        /// Whom it tried to reach and was refused.
        refused: Vec<String>,
    },
    /// A program that was not run.
    Denial {
        /// As it was called.
        program: String,
        /// Denied by a rule.
        denied: u64,
        /// A person was needed, and there was none or it said no.
        not_approved: u64,
        /// The rules.
        rules: BTreeSet<String>,
        /// When last.
        last_ms: u64,
    },
    /// A rule.
    Rule {
        /// Its name; `none` where no rule permits.
        rule: String,
        /// How often it allowed.
        allow: u64,
        /// How often it asked.
        ask: u64,
        /// How often it denied.
        deny: u64,
    },
    /// A policy.
    Policy {
        /// SHA-256, hexadecimal; `None`: the record is of a version that did not say.
        sha256: Option<String>,
        /// First decision by it.
        from_ms: u64,
        /// Last decision by it in a row.
        to_ms: u64,
        /// How many there were.
        decisions: u64,
    },
}

/// What is remembered of a trial from one record to the next.
#[derive(Default)]
struct Known {
    command: String,
    saw: Vec<String>,
    secrets: BTreeSet<String>,
}

/// The answer.
///
/// # Errors
/// When the log cannot be read.
pub fn ask(log: &AuditLog, question: &Question, filter: &Filter, home: &FilePath) -> Result<Vec<Row>, AuditError> {
    let chosen = filter.trials(log)?;
    let mut answer = Answer {
        question,
        home,
        known: BTreeMap::new(),
        denials: BTreeMap::new(),
        rules: BTreeMap::new(),
        rows: vec![],
    };
    log.read(|record| {
        let known = chosen.as_ref().is_none_or(|chosen| record.trial.as_ref().is_some_and(|id| chosen.contains(id)));
        if known && filter.is_trial(&record) && filter.until_ms.is_none_or(|until| record.time_ms < until) {
            // What was before the time asked for still tells which command it was.
            answer.take(&record, filter.is_when(&record));
        }
    })?;
    Ok(answer.rows())
}

struct Answer<'q> {
    question: &'q Question,
    home: &'q FilePath,
    known: BTreeMap<TrialId, Known>,
    denials: BTreeMap<String, Row>,
    rules: BTreeMap<String, [u64; 3]>,
    rows: Vec<Row>,
}

impl Answer<'_> {
    fn take(&mut self, record: &AuditRecord, counts: bool) {
        if let Some(id) = &record.trial {
            let home = self.home;
            self.known.entry(id.clone()).or_default().learn(record, home);
        }
        if !counts {
            return;
        }
        match self.question {
            Question::Approvals(about) => self.approval(record, about.as_deref()),
            Question::Surprises => self.surprise(record),
            Question::SecretThenConnect => self.secret_then_connect(record),
            Question::Denials => self.denial(record),
            Question::Rules => self.rules(record),
            Question::Policy(at) => self.policy(record, *at),
        }
    }

    fn of(&self, record: &AuditRecord) -> Option<&Known> {
        self.known.get(record.trial.as_ref()?)
    }

    fn command(&self, record: &AuditRecord) -> String {
        self.of(record).map(|known| known.command.clone()).unwrap_or_default()
    }

    fn approval(&mut self, record: &AuditRecord, about: Option<&str>) {
        let (by, verb) = match &record.stage {
            Stage::Decided { approved_by: Some(by), .. } => (by.clone(), "run".to_owned()),
            Stage::Settling { verb, by, .. } => (by.clone(), verb.clone()),
            _ => return,
        };
        let command = self.command(record);
        let is_trial = |about: &str| record.trial.as_ref().is_some_and(|id| id.0.starts_with(about));
        if about.is_none_or(|about| command.contains(about) || is_trial(about)) {
            let saw = self.of(record).map(|known| known.saw.clone()).unwrap_or_default();
            let (seq, time_ms, trial, uid) = (record.seq, record.time_ms, record.trial.clone(), record.uid);
            self.rows.push(Row::Approval { seq, time_ms, trial, by, uid, verb, command, saw });
        }
    }

    fn surprise(&mut self, record: &AuditRecord) {
        let Stage::Ran { review, .. } = &record.stage else { return };
        if !review.surprises.is_empty() {
            let surprises = review.surprises.iter().map(in_words).collect();
            let (seq, time_ms, trial) = (record.seq, record.time_ms, record.trial.clone());
            self.rows.push(Row::Surprise { seq, time_ms, trial, command: self.command(record), surprises });
        }
    }

    fn secret_then_connect(&mut self, record: &AuditRecord) {
        let Stage::Ran { connections, attempts, .. } = &record.stage else { return };
        let secrets: Vec<String> =
            self.of(record).map(|known| known.secrets.iter().cloned().collect()).unwrap_or_default();
        let tried = attempts.iter().filter(|attempt| attempt.action == Action::Connect);
        let refused: BTreeSet<String> = tried.map(|attempt| attempt.target.to_string()).collect();
        if secrets.is_empty() || (connections.is_empty() && refused.is_empty()) {
            return;
        }
        let reached = connections.iter().map(|one| Target::Peer(one.peer.clone()).to_string()).collect();
        let refused = refused.into_iter().collect();
        let (seq, time_ms, trial, command) = (record.seq, record.time_ms, record.trial.clone(), self.command(record));
        self.rows.push(Row::SecretThenConnect { seq, time_ms, trial, command, secrets, reached, refused });
    }

    fn denial(&mut self, record: &AuditRecord) {
        let Stage::Decided { analysis, decision, approved_by: None, .. } = &record.stage else { return };
        let word = analysis.canonical.first().and_then(|invocation| invocation.argv.first());
        let name = word.map_or("(not understood)", String::as_str);
        let empty =
            || Row::Denial { program: name.to_owned(), denied: 0, not_approved: 0, rules: BTreeSet::new(), last_ms: 0 };
        let row = self.denials.entry(name.to_owned()).or_insert_with(empty);
        if let Row::Denial { denied, not_approved, rules, last_ms, .. } = row {
            let by_rule = decision.verdict == Verdict::Deny;
            *(if by_rule { denied } else { not_approved }) += 1;
            let decisive = decision.because.iter().filter(|because| because.verdict == decision.verdict);
            rules.extend(decisive.flat_map(|because| because.rules.iter().cloned()));
            *last_ms = record.time_ms;
        }
    }

    fn rules(&mut self, record: &AuditRecord) {
        let Stage::Decided { decision, .. } = &record.stage else { return };
        for because in &decision.because {
            let none = ["none".to_owned()];
            let rules = if because.rules.is_empty() { &none[..] } else { &because.rules };
            for rule in rules {
                let [allow, ask, deny] = self.rules.entry(rule.clone()).or_default();
                *(match because.verdict {
                    Verdict::Allow => allow,
                    Verdict::Ask => ask,
                    Verdict::Deny => deny,
                }) += 1;
            }
        }
    }

    fn policy(&mut self, record: &AuditRecord, at: Option<u64>) {
        let Stage::Decided { policy, .. } = &record.stage else { return };
        if at.is_some_and(|at| record.time_ms > at) {
            return;
        }
        match self.rows.last_mut() {
            Some(Row::Policy { sha256, to_ms, decisions, .. }) if sha256 == policy => {
                *to_ms = record.time_ms;
                *decisions += 1;
            }
            _ => {
                if at.is_some() {
                    self.rows.clear();
                }
                let (from_ms, to_ms) = (record.time_ms, record.time_ms);
                self.rows.push(Row::Policy { sha256: policy.clone(), from_ms, to_ms, decisions: 1 });
            }
        }
    }

    fn rows(mut self) -> Vec<Row> {
        self.rows.extend(self.denials.into_values());
        let rules = self.rules.into_iter();
        self.rows.extend(rules.map(|(rule, [allow, ask, deny])| Row::Rule { rule, allow, ask, deny }));
        self.rows
    }
}

impl Known {
    fn learn(&mut self, record: &AuditRecord, home: &FilePath) {
        match &record.stage {
            Stage::Decided { analysis, assessment, decision, approved_by, .. } => {
                self.command.clone_from(&analysis.text);
                self.saw.clone_from(&assessment.explanation);
                self.saw.extend(decision.because.iter().map(|because| because.about.clone()));
                // A command that did not run read nothing.
                let reads =
                    analysis.effects.iter().filter(|effect| approved_by.is_some() && effect.action == Action::Read);
                let secret = |effect: &&Effect| is_secret(&effect.target, home);
                self.secrets.extend(reads.filter(secret).map(|effect| effect.target.to_string()));
            }
            Stage::Ran { changes, review, attempts, shown, .. } => {
                self.saw = vec![format!("{} changes", changes.changes.len())];
                self.saw.extend(review.flags.iter().map(|flag| flag.message.clone()));
                let secret = |rule: &str| rule.starts_with("secrets/");
                let tried = attempts.iter().filter(|attempt| attempt.action == Action::Read && secret(&attempt.rule));
                self.secrets.extend(tried.map(|attempt| attempt.target.to_string()));
                // What a program nobody knows did with it is not known.
                self.secrets.extend(shown.iter().map(ToString::to_string));
            }
            _ => {}
        }
    }
}

fn is_secret(target: &Target, home: &FilePath) -> bool {
    path_of(target).is_some_and(|path| policy::secret_rule(path, home).is_some())
}

fn in_words(effect: &Effect) -> String {
    format!("{} {}", effect.action, effect.target)
}
