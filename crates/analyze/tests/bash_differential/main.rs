//! The real bash as referee: whatever it runs must stand in the canonical form and whatever it makes among the effects, or
//! the text must be judged HIGH.
//!
//! `BELLJAR_FUZZ=20000` asks for more texts, `BELLJAR_SEED` for others, `BELLJAR_SECONDS` goes on for that long and prints
//! what the generator reached. Without the right to make namespaces the test says so and proves nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::string_slice,
    clippy::disallowed_methods,
    clippy::disallowed_types
)]

mod generate;
mod known;
mod pieces;
mod random;
mod referee;
mod words;

use belljar_analyze::{ShellContext, analyze};
use generate::Features;
use known::KNOWN;
use model::{Action, Analysis, Coverage, FilePath, Risk, Target};
use random::Random;
use referee::Ran;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Texts that are tried on every run, besides the ones in the table.
const TEXTS: usize = 2000;

/// Where the texts are said to run.
const CWD: &str = "/w/project";

fn shell() -> ShellContext {
    ShellContext { cwd: FilePath::from(CWD), home: FilePath::from("/home/user"), ..ShellContext::default() }
}

fn is_high(analysis: &Analysis) -> bool {
    analysis.findings.iter().any(|finding| finding.severity == Risk::High)
}

/// Whether the canonical form holds `argv`; a word in ‹› stands for any number of words.
fn predicted(analysis: &Analysis, argv: &[String], ran: &Ran) -> bool {
    // Bash itself takes `command` off before it looks for the program.
    let stripped = |words: &[String]| match words {
        [first, rest @ ..] if first == "command" => rest.to_vec(),
        all => all.to_vec(),
    };
    let files = Files { made: &ran.files, may_vanish: analysis.text.contains("nullglob") };
    let fit = |words: &[String]| fits(words, argv, &files);
    analysis.canonical.iter().any(|invocation| fit(&invocation.argv) || fit(&stripped(&invocation.argv)))
}

/// What a pattern may become: names of files that the text made, or nothing.
struct Files<'a> {
    made: &'a [String],
    may_vanish: bool,
}

fn fits(pattern: &[String], argv: &[String], files: &Files<'_>) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return argv.is_empty() };
    if first.contains('‹') {
        return (0..=argv.len()).any(|skip| fits(rest, &argv[skip..], files));
    }
    let same = argv
        .split_first()
        .is_some_and(|(word, more)| without_numbers(word) == without_numbers(first) && fits(rest, more, files));
    let found = || {
        let names = argv.iter().take_while(|word| files.made.contains(word)).count();
        (usize::from(!files.may_vanish)..=names).any(|skip| fits(rest, &argv[skip..], files))
    };
    same || (first.contains(['*', '?', '[']) && found())
}

/// The number of the descriptor behind a process substitution depends on what else is open.
fn without_numbers(word: &str) -> String {
    let mut pieces = word.split("/dev/fd/");
    let mut out = pieces.next().unwrap_or("").to_owned();
    for piece in pieces {
        out.push_str("/dev/fd/");
        out.push_str(piece.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    out
}

/// Whether an effect covers a file of this name in the working directory.
fn announced(analysis: &Analysis, name: &str) -> bool {
    let path = FilePath::from(format!("{CWD}/{name}").as_str()).encode();
    analysis.effects.iter().any(|effect| match (&effect.action, &effect.target) {
        (Action::Read | Action::Execute | Action::Delete, _) => false,
        (_, Target::Unknown { .. }) => true,
        (_, Target::Path { path: target, .. }) => {
            let target = target.encode();
            let fixed = target.split(['*', '?', '[']).next().unwrap_or("");
            path == target || (fixed.len() < target.len() && path.starts_with(fixed)) || target == CWD
        }
        _ => false,
    })
}

/// What a text did that the analysis does not say; empty where it says all.
fn unannounced(analysis: &Analysis, ran: &Ran) -> Vec<String> {
    // An empty name starts nothing.
    let named: Vec<&Vec<String>> =
        ran.starts.iter().filter(|argv| argv.first().is_some_and(|name| !name.is_empty())).collect();
    let starts = named.iter().filter(|argv| !predicted(analysis, argv, ran)).map(|argv| format!("ran {argv:?}"));
    let files = ran.files.iter().filter(|name| !announced(analysis, name)).map(|name| format!("made {name:?}"));
    let unknown = |argv: &&Vec<String>| ["ca", "cb", "ce", "cf", "cg"].contains(&argv[0].as_str());
    let explained = named.iter().any(unknown) && analysis.coverage == Coverage::Full;
    starts.chain(files).chain(explained.then(|| "ran an unknown program, explained whole".to_owned())).collect()
}

/// What came up over many texts.
#[derive(Default)]
struct Tally {
    texts: usize,
    started: usize,
    high: usize,
    stopped: usize,
    unread: Vec<String>,
    hidden: Vec<(String, String)>,
    /// By feature: texts that ran something, and of those the ones that are not HIGH, where every word counts.
    features: BTreeMap<&'static str, (usize, usize)>,
}

impl Tally {
    fn add(&mut self, text: &str, features: &Features, ran: &Ran) {
        let analysis = analyze(text, &shell());
        let high = is_high(&analysis);
        let acted = !ran.starts.is_empty() || !ran.files.is_empty();
        self.texts += 1;
        self.started += usize::from(acted);
        self.high += usize::from(acted && high);
        self.stopped += usize::from(ran.stopped);
        for feature in features.iter().filter(|_| acted) {
            let (reached, compared) = self.features.entry(feature).or_default();
            *reached += 1;
            *compared += usize::from(!high);
        }
        let missed = unannounced(&analysis, ran);
        match (missed.is_empty(), high) {
            (true, _) => {}
            (false, true) => self.unread.push(format!("{text:?} {}", missed.join("; "))),
            (false, false) => self.hidden.push((text.to_owned(), missed.join("; "))),
        }
    }

    fn tell(&self) {
        eprintln!(
            "{} texts, {} did something; of those {} judged HIGH, {} not read rightly but HIGH, {} hid something; {} were stopped",
            self.texts,
            self.started,
            self.high,
            self.unread.len(),
            self.hidden.len(),
            self.stopped
        );
    }

    fn tell_features(&self) {
        for (feature, (reached, compared)) in &self.features {
            eprintln!("{feature:>24} {reached:>8} did something, {compared:>8} of them not HIGH");
        }
    }
}

/// The shortest text that still hides something and can be had by taking pieces out of this one.
fn minimised(text: &str) -> String {
    let mut best = text.to_owned();
    for length in [64, 16, 8, 4, 2, 1, 3, 2, 1] {
        while let Some(shorter) = shorter(&best, length) {
            best = shorter;
        }
    }
    best
}

/// All ways to take `length` characters out at once, in one run; the first that still hides something.
fn shorter(text: &str, length: usize) -> Option<String> {
    let chars: Vec<char> = text.chars().collect();
    let without = |at: usize| chars[..at].iter().chain(&chars[at + length..]).collect::<String>();
    let candidates: Vec<String> = (0..(chars.len() + 1).saturating_sub(length)).map(without).collect();
    let ran = referee::run(&candidates)?;
    let hides = |(text, ran): (&String, &Ran)| {
        let analysis = analyze(text, &shell());
        !is_high(&analysis)
            && unannounced(&analysis, ran).iter().any(|what| !what.starts_with("ran [") || what.starts_with("ran [\"c"))
    };
    candidates.iter().zip(&ran).position(hides).map(|at| candidates[at].clone())
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn bash_does_nothing_that_was_not_announced() {
    let mut tally = Tally::default();
    let known: Vec<String> = KNOWN.iter().map(|text| (*text).to_owned()).collect();
    let Some(ran) = referee::run(&known) else {
        eprintln!("no right to make namespaces here: the comparison with bash did not run");
        return;
    };
    known.iter().zip(&ran).for_each(|(text, ran)| tally.add(text, &Features::from(["known"]), ran));

    let mut random = Random(number("BELLJAR_SEED").unwrap_or(1));
    let texts = number("BELLJAR_FUZZ").map_or(TEXTS, |count| usize::try_from(count).unwrap());
    let long = number("BELLJAR_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut spent = Duration::ZERO;
    let mut told = 0;
    while tally.texts < texts + known.len() || long.is_some_and(|end| Instant::now() < end) {
        let batch: Vec<(String, Features)> = (0..referee::BATCH).map(|_| generate::text(&mut random)).collect();
        let only: Vec<String> = batch.iter().map(|(text, _)| text.clone()).collect();
        let begun = Instant::now();
        let ran = referee::run(&only).unwrap();
        spent += begun.elapsed();
        batch.iter().zip(&ran).for_each(|((text, features), ran)| tally.add(text, features, ran));
        if long.is_some() {
            for (text, missed) in &tally.hidden[told..] {
                eprintln!("HIDDEN {:?} from {text:?} {missed}", minimised(text));
            }
            told = tally.hidden.len();
            eprintln!("{:.0} texts/s", (tally.texts as f64) / spent.as_secs_f64());
            tally.tell();
        }
    }
    tally.tell();
    if number("BELLJAR_FUZZ").or(number("BELLJAR_SECONDS")).is_some() {
        tally.tell_features();
        tally.unread.iter().take(200).for_each(|told| eprintln!("HIGH, not read rightly: {told}"));
    }
    assert!(tally.started * 3 > tally.texts, "the referee saw too little: {} of {}", tally.started, tally.texts);
    let hidden: Vec<String> = tally
        .hidden
        .iter()
        .take(20)
        .map(|(text, missed)| format!("{:?} from {text:?} {missed}", minimised(text)))
        .collect();
    assert!(hidden.is_empty(), "{}", hidden.join("\n"));
}
