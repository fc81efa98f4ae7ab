//! What the analysis says against what bash did.

use crate::referee::Ran;
use belljar_analyze::ShellContext;
use model::{Action, Analysis, Coverage, FilePath, Risk, Target};

/// Where the texts are said to run.
const CWD: &str = "/w/project";

pub(crate) fn shell() -> ShellContext {
    ShellContext { cwd: FilePath::from(CWD), home: FilePath::from("/home/user"), ..ShellContext::default() }
}

pub(crate) fn is_high(analysis: &Analysis) -> bool {
    analysis.findings.iter().any(|finding| finding.severity == Risk::High)
}

/// Whether the canonical form holds `argv`; a word in ‹› stands for any number of words.
fn predicted(analysis: &Analysis, argv: &[String], ran: &Ran) -> bool {
    // Bash itself takes `command` off before it looks for the program.
    let stripped = |words: &[String]| match words {
        [first, rest @ ..] if first == "command" => rest.to_vec(),
        all => all.to_vec(),
    };
    let files = Files {
        made: &ran.files,
        may_vanish: analysis.text.contains("nullglob"),
        moved: ["cd /", "cd .", "pushd"].iter().any(|piece| analysis.text.contains(piece)),
    };
    let fit = |words: &[String]| fits(words, argv, &files);
    analysis.canonical.iter().any(|invocation| fit(&invocation.argv) || fit(&stripped(&invocation.argv)))
}

/// What a pattern may become: names of files that the text made, or nothing.
struct Files<'a> {
    made: &'a [String],
    may_vanish: bool,
    /// The text may look for names in another directory, where other files are.
    moved: bool,
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
        // The descriptor of a process substitution is a file too.
        let exists = |word: &&String| files.moved || files.made.contains(word) || word.starts_with("/dev/fd/");
        let names = argv.iter().take_while(exists).count();
        (usize::from(!files.may_vanish)..=names).any(|skip| fits(rest, &argv[skip..], files))
    };
    same || (first.contains(['*', '?', '[']) && found())
}

/// The number of the descriptor behind a process substitution depends on what else is open.
pub(crate) fn without_numbers(word: &str) -> String {
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

/// Whether the analysis lists a start of one of the generator's programs that bash did not make: the safe side.
pub(crate) fn has_ghost(analysis: &Analysis, ran: &Ran) -> bool {
    let is_program = |name: &str| name.len() == 2 && name.starts_with('c');
    let programs =
        analysis.canonical.iter().filter_map(|invocation| invocation.argv.first()).filter(|name| is_program(name));
    programs.into_iter().any(|name| !ran.starts.iter().any(|argv| argv.first() == Some(name)))
}

/// What a text did that the analysis does not say; empty where it says all.
pub(crate) fn unannounced(analysis: &Analysis, ran: &Ran) -> Vec<String> {
    // An empty name starts nothing.
    let named: Vec<&Vec<String>> =
        ran.starts.iter().filter(|argv| argv.first().is_some_and(|name| !name.is_empty())).collect();
    let starts = named.iter().filter(|argv| !predicted(analysis, argv, ran)).map(|argv| format!("ran {argv:?}"));
    let files = ran.files.iter().filter(|name| !announced(analysis, name)).map(|name| format!("made {name:?}"));
    let unknown = |argv: &&Vec<String>| ["ca", "cb", "ce", "cf", "cg"].contains(&argv[0].as_str());
    let explained = named.iter().any(unknown) && analysis.coverage == Coverage::Full;
    starts.chain(files).chain(explained.then(|| "ran an unknown program, explained whole".to_owned())).collect()
}
