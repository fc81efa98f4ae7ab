//! Quoted words are read back as exactly those words.
#![no_main]

use analyze::{ShellContext, analyze, quote};
use libfuzzer_sys::fuzz_target;

/// More words than any case needs; longer input only makes a run slow.
const WORDS_MAX: usize = 16;

fuzz_target!(|text: &str| {
    // A program that no table knows: its words are taken as they are. NUL cannot be part of an argument.
    let words = text.split('\0').take(WORDS_MAX);
    let argv: Vec<&str> = std::iter::once("belljar-fuzz-program").chain(words).collect();
    let line = String::from_utf8(quote(&argv)).expect("UTF-8 words are quoted as UTF-8");
    let analysis = analyze(&line, &ShellContext::default());
    let read: Vec<_> = analysis.canonical.iter().map(|invocation| &invocation.argv).collect();
    assert_eq!(read, [&argv], "{line}");
});
