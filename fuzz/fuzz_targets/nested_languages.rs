//! Any text as a program in another language, handed to its interpreter as one quoted word: no panic, the same answer
//! twice, spans inside the text.
#![no_main]

use analyze::{ShellContext, analyze_bytes, quote};
use libfuzzer_sys::fuzz_target;
use model::FilePath;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

const PROGRAMS: &[&[&str]] = &[
    &["awk"],
    &["sed", "-n"],
    &["jq", "."],
    &["jq"],
    &["psql", "-c"],
    &["sqlite3", "a.db"],
    &["mysql", "-e"],
    &["python3", "-c"],
    &["node", "-e"],
    &["ruby", "-e"],
    &["deno", "eval"],
    &["perl", "-ne"],
    &["bash", "-c"],
    &["find", ".", "-exec"],
    &["tar", "cf", "a.tar"],
    &["git", "-c"],
    &["env", "-S"],
];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, code)) = bytes.split_first() else { return };
    if code.contains(&0) {
        return;
    }
    let program = PROGRAMS[usize::from(*first) % PROGRAMS.len()];
    let argv: Vec<&OsStr> = program.iter().map(OsStr::new).chain([OsStr::from_bytes(code)]).collect();
    let text = quote(&argv);
    let shell =
        ShellContext { cwd: FilePath::from("/home/u/p"), home: FilePath::from("/home/u"), ..ShellContext::default() };
    let analysis = analyze_bytes(&text, &shell);
    assert_eq!(analysis, analyze_bytes(&text, &shell), "the same text, the same answer");
    let spans = analysis.findings.iter().map(|finding| finding.span);
    for span in spans.chain(analysis.effects.iter().filter_map(|effect| effect.span)) {
        assert!(span.start <= span.end && span.end <= analysis.text.len(), "{span:?}");
    }
});
