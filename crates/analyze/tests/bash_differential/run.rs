//! Many texts, by several workers with a bash each.

use crate::compare::{has_ghost, is_high, shell, unannounced};
use crate::generate::{self, Features};
use crate::referee::{Ran, Referee, Shell};
use crate::tally::{Tally, Verdict};
use belljar_analyze::analyze;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use testkit::Random;

/// Of the texts that are HIGH, which cannot fail, one in so many is run too, to see how well they are read.
const HIGH_SAMPLE: u64 = 100;

/// Texts a worker takes at once.
const PORTION: u64 = 100;

/// How often a long run says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(20);

/// How much is tried, and where the differences go.
pub(crate) struct Plan {
    pub(crate) texts: u64,
    pub(crate) seed: u64,
    pub(crate) seconds: Option<u64>,
    pub(crate) workers: u64,
    pub(crate) out: Option<PathBuf>,
}

impl Plan {
    pub(crate) fn run(&self) -> Tally {
        let next = AtomicU64::new(0);
        let all = Mutex::new(Tally::default());
        let begun = Instant::now();
        let told = Mutex::new(begun);
        if let Some(out) = &self.out {
            std::fs::create_dir_all(out).unwrap();
        }
        std::thread::scope(|scope| {
            for _ in 0..self.workers {
                scope.spawn(|| {
                    let mut worker = Worker::new(Referee::new().unwrap());
                    loop {
                        let first = next.fetch_add(PORTION, Ordering::Relaxed);
                        if first >= self.texts || self.is_over(begun) {
                            break;
                        }
                        (first..self.texts.min(first + PORTION)).for_each(|number| worker.try_number(self, number));
                        let mut all = all.lock().unwrap();
                        all.merge(std::mem::take(&mut worker.tally));
                        let mut told = told.lock().unwrap();
                        if told.elapsed() > TELL_EVERY {
                            *told = Instant::now();
                            eprint!("{:.0} texts/s; ", all.texts as f64 / begun.elapsed().as_secs_f64());
                            all.tell();
                        }
                    }
                });
            }
        });
        let all = all.into_inner().unwrap();
        eprintln!("{:.0} texts/s", all.texts as f64 / begun.elapsed().as_secs_f64());
        all
    }

    fn is_over(&self, begun: Instant) -> bool {
        self.seconds.is_some_and(|seconds| begun.elapsed().as_secs() >= seconds)
            || self.out.as_ref().is_some_and(|out| out.join("stop").exists())
    }

    /// Each text has a generator of its own, so that its number names it whoever tries it.
    fn text(&self, number: u64) -> (String, Features) {
        let mixed = Random(self.seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(number)).number();
        generate::text(&mut Random(mixed))
    }
}

/// One bash, and what it came to.
pub(crate) struct Worker {
    referee: Referee,
    pub(crate) tally: Tally,
}

impl Worker {
    pub(crate) fn new(referee: Referee) -> Worker {
        Worker { referee, tally: Tally::default() }
    }

    /// A text of the table, by a bash of its own.
    pub(crate) fn try_known(&mut self, text: &str) {
        if let Some(missed) = self.missed(text, Shell::Own) {
            self.tally.hidden.push(format!("{text:?} {missed}"));
        }
    }

    fn try_number(&mut self, plan: &Plan, number: u64) {
        let (text, features) = plan.text(number);
        let analysis = analyze(&text, &shell());
        let mut verdict = Verdict { high: is_high(&analysis), ..Verdict::default() };
        if verdict.high {
            self.tally.add_reason(&analysis);
        }
        if !verdict.high || number.is_multiple_of(HIGH_SAMPLE) {
            let ran = self.referee.run(&text, Shell::Forked(Some(number)));
            verdict.given = true;
            verdict.acted = !ran.starts.is_empty() || !ran.files.is_empty();
            verdict.stopped = ran.stopped;
            verdict.ghost = has_ghost(&analysis, &ran);
            verdict.missed = !unannounced(&analysis, &ran).is_empty();
        }
        if verdict.missed && !verdict.high {
            match self.missed(&text, Shell::Own) {
                Some(missed) => self.note(plan, number, &text, &missed),
                None => verdict.unconfirmed = true,
            }
        }
        self.tally.add(&features, &verdict);
    }

    fn note(&mut self, plan: &Plan, number: u64, text: &str, missed: &str) {
        let line = format!("{:?} from {text:?} {missed}", self.minimised(text));
        if let Some(out) = &plan.out {
            std::fs::write(out.join(format!("{}-{number}.txt", plan.seed)), format!("{line}\n")).unwrap();
        }
        eprintln!("HIDDEN {line}");
        self.tally.hidden.push(line);
    }

    /// What bash did that was not announced, in a text that is not HIGH.
    fn missed(&mut self, text: &str, how: Shell) -> Option<String> {
        let analysis = analyze(text, &shell());
        if is_high(&analysis) {
            return None;
        }
        let ran: Ran = self.referee.run(text, how);
        let missed = unannounced(&analysis, &ran);
        (!missed.is_empty()).then(|| missed.join("; "))
    }

    /// The shortest text that still hides something and can be had by taking pieces out of this one.
    fn minimised(&mut self, text: &str) -> String {
        let mut best = text.to_owned();
        for length in [64, 16, 8, 4, 2, 1, 3, 2, 1] {
            while let Some(shorter) = self.shorter(&best, length) {
                best = shorter;
            }
        }
        best
    }

    /// The first way to take `length` characters out at once that still hides something.
    fn shorter(&mut self, text: &str, length: usize) -> Option<String> {
        let chars: Vec<char> = text.chars().collect();
        let without = |at: usize| chars[..at].iter().chain(&chars[at + length..]).collect::<String>();
        let still =
            |missed: String| missed.split("; ").any(|what| !what.starts_with("ran [") || what.starts_with("ran [\"c"));
        (0..(chars.len() + 1).saturating_sub(length)).map(without).find(|candidate| {
            self.missed(candidate, Shell::Forked(None)).is_some_and(still)
                && self.missed(candidate, Shell::Own).is_some()
        })
    }
}
