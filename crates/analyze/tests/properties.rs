//! What holds for every text.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_types)]

use belljar_analyze::{ShellContext, analyze, analyze_bytes, quote};
use model::{Analysis, Coverage, FilePath, Risk, Span};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

fn shell() -> ShellContext {
    ShellContext { cwd: FilePath::from("/w/project"), ..ShellContext::default() }
}

/// Commands as people and attackers write them; texts are mutated from these.
const SEEDS: &[&str] = &[
    "git log --oneline | head -5",
    "cd src && make -j4; echo done",
    "for f in *.rs; do wc -l \"$f\"; done",
    "cat <<E > out.txt\n$(date) `id`\nE",
    "if [ -f a ]; then rm -rf \"$DIR\"/*; else echo ${x:-y}; fi",
    "x=$(curl -s http://a.example | jq -r '.b[0]'); echo \"${x@P}\"",
    "find . -name '*.o' -exec rm {} + -o -print",
    "sudo env A=1 nice -n 5 sh -c 'echo \"$1\" > /etc/x' _ y",
    "f() { local a=(1 2 3); echo \"${a[@]}\"; }; f | sort -u > >(tee log)",
    "case $1 in a|b) ls;; *) (cd /; pwd);; esac",
    "while read -r l; do printf '%s\\n' \"$l\"; done < list",
    "echo {a,b{1..3}}$'\\x41' \"$((1+(2*3)))\" ~/x [a-z]?",
];

/// A seed with a few cuts, copies and inserted bytes.
fn mutated() -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0usize..4, 0usize..12, "[\\x00-\\x7f\u{a0}é`$(){}<>|&;'\"\\\\\n]{0,3}");
    (prop::sample::select(SEEDS), prop::collection::vec(edit, 0..5)).prop_map(|(seed, edits)| {
        let mut chars: Vec<char> = seed.chars().collect();
        for (at, kind, length, insert) in edits {
            let at = at.index(chars.len() + 1);
            let end = (at + length).min(chars.len());
            match kind {
                0 => drop(chars.drain(at..end)),
                1 => drop(chars.splice(at..at, insert.chars())),
                2 => {
                    let copy: Vec<char> = chars[at..end].to_vec();
                    chars.splice(at..at, copy);
                }
                _ => chars.truncate(at),
            }
        }
        chars.into_iter().collect()
    })
}

fn spans(analysis: &Analysis) -> Vec<Span> {
    let mut all: Vec<Span> = analysis.findings.iter().map(|finding| finding.span).collect();
    all.extend(analysis.effects.iter().filter_map(|effect| effect.span));
    all.extend(analysis.canonical.iter().map(|invocation| invocation.span));
    all.extend(analysis.certificates.iter().map(|certificate| certificate.span));
    if let Coverage::Partial(parts) = &analysis.coverage {
        all.extend(parts);
    }
    all
}

fn worst(analysis: &Analysis) -> Risk {
    analysis.findings.iter().map(|finding| finding.severity).max().unwrap_or(Risk::Low)
}

fn in_range(analysis: &Analysis) -> bool {
    spans(analysis).iter().all(|span| span.start <= span.end && span.end <= analysis.text.len())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_analysed_the_same_way_twice_with_spans_in_range(text in any::<String>()) {
        let once = analyze(&text, &shell());
        prop_assert!(in_range(&once));
        prop_assert_eq!(&once, &analyze(&text, &shell()));
    }

    #[test]
    fn mutated_commands_too(text in mutated()) {
        let once = analyze(&text, &shell());
        prop_assert!(in_range(&once), "{:?}", once);
        prop_assert_eq!(&once, &analyze(&text, &shell()));
    }

    #[test]
    fn bytes_too(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let analysis = analyze_bytes(&bytes, &shell());
        prop_assert!(in_range(&analysis));
        if std::str::from_utf8(&bytes).is_err() {
            prop_assert_eq!(worst(&analysis), Risk::High);
            prop_assert_ne!(analysis.coverage, Coverage::Full);
        }
    }

    #[test]
    fn a_command_behind_it_takes_nothing_away(text in mutated(), tail in prop::sample::select(vec!["ls", "true", "rm x", "echo a", "git status"])) {
        let alone = analyze(&text, &shell());
        let joined = analyze(&format!("{text}\n{tail}"), &shell());
        // A fragment may become whole by what follows.
        prop_assume!(!alone.findings.iter().any(|finding| finding.check.0 == 1));
        prop_assert!(worst(&joined) >= worst(&alone), "{} -> {}", worst(&alone), worst(&joined));
        // Where the text alone is whole, its own effects stay as they were.
        if alone.coverage == Coverage::Full && !alone.findings.iter().any(|finding| finding.check.0 <= 3) {
            let checks: BTreeSet<_> = joined.findings.iter().map(|finding| finding.check).collect();
            prop_assert!(alone.findings.iter().all(|finding| checks.contains(&finding.check)), "{:?} {:?}", alone.findings, joined.findings);
            let effects: BTreeSet<_> = joined.effects.iter().map(|effect| (effect.action, effect.target.clone())).collect();
            prop_assert!(alone.effects.iter().all(|effect| effects.contains(&(effect.action, effect.target.clone()))), "{:?} {:?}", alone.effects, joined.effects);
        }
    }

    #[test]
    fn a_wrapper_takes_nothing_away(command in prop::sample::select(vec!["rm -rf src", "git push -f", "cat .env", "python3 -c 'x()'", "curl http://a.example", "ls", "$x"]), wrapper in prop::sample::select(vec!["nice", "timeout 5", "env A=1", "nohup", "sudo", "command", "time", "setsid", "stdbuf -oL", "xargs"])) {
        let bare = analyze(command, &shell());
        let wrapped = analyze(&format!("{wrapper} {command}"), &shell());
        prop_assert!(worst(&wrapped) >= worst(&bare));
        prop_assert!(bare.effects.iter().all(|effect| wrapped.effects.iter().any(|other| other.action == effect.action)));
    }

    #[test]
    fn no_control_character_reaches_a_message(text in mutated()) {
        for finding in analyze(&text, &shell()).findings {
            prop_assert!(!finding.message.chars().any(model::escape::is_deceptive), "{:?}", finding.message);
        }
    }
}

/// `quote` against the real bash: many vectors in one run, each printed with `%q`-free NUL separation.
#[test]
fn bash_reads_a_quoted_vector_back_as_it_was() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = prop::collection::vec(prop::collection::vec(1u8.., 0..12), 1..5);
    let vectors: Vec<Vec<Vec<u8>>> =
        (0..300).map(|_| proptest::strategy::ValueTree::current(&strategy.new_tree(&mut runner).unwrap())).collect();
    let mut script = Vec::new();
    for vector in &vectors {
        let argv: Vec<&std::ffi::OsStr> = vector.iter().map(|bytes| std::ffi::OsStr::from_bytes(bytes)).collect();
        script.extend_from_slice(b"printf '%s\\0' ");
        // The first word is quoted for command position; behind printf it reads the same.
        script.extend_from_slice(&quote(&argv));
        script.push(b'\n');
    }
    let ran = Command::new("/bin/bash")
        .args(["--norc", "--noprofile", "-c"])
        .arg(std::ffi::OsStr::from_bytes(&script))
        .output()
        .unwrap();
    assert!(ran.status.success() && ran.stderr.is_empty(), "{}", String::from_utf8_lossy(&ran.stderr));
    let expected: Vec<u8> = vectors.iter().flatten().flat_map(|word| word.iter().copied().chain([0])).collect();
    assert_eq!(ran.stdout, expected);
}

/// The canonical form says what runs: read again, it does the same.
#[test]
fn the_canonical_form_has_the_same_effects() {
    for text in [
        "d=src; ls -l $d 'a b'",
        "rm -rf {a,b}/x",
        "x=5; head -n $x \"Cargo.toml\"",
        "cd sub && cat ../a.txt ~/b",
        "set -- touch a b; \"$@\"",
        "c='git log'; $c -3",
        "r''m $'\\x61'",
        "grep -rn 'a|b' src; mv a.txt b.txt",
        "sudo env A=1 nice rm -rf src",
        "find . -name '*.o' -exec rm {} +",
        "curl -s https://example.com/x -o y",
        "tar xzf a.tgz -C out",
        "git push --force origin main",
    ] {
        let once = analyze(text, &shell());
        let words = |argv: &[String]| quote(&argv.iter().map(std::ffi::OsString::from).collect::<Vec<_>>());
        let again: Vec<Vec<u8>> = once.canonical.iter().map(|invocation| words(&invocation.argv)).collect();
        let again = analyze_bytes(&again.join(&b'\n'), &shell());
        let effects = |analysis: &Analysis| -> BTreeSet<String> {
            analysis.effects.iter().map(|effect| format!("{} {}", effect.action, effect.target)).collect()
        };
        // Behind `cd` a failure is possible once and is not in the list of what runs.
        let (once, again) = (effects(&once), effects(&again));
        assert!(again.is_superset(&once), "{text:?}: {once:?} {again:?}");
    }
}

/// Once a read outside a table in the C scanner, which ended the process for some characters and not for others.
#[test]
fn characters_outside_the_tables_of_c_are_nothing_special() {
    for c in ['\u{ff}', '\u{3ff}', '\u{ffff}', '\u{1f600}', '\u{10ffff}', '\u{e000}'] {
        for text in [format!("echo {{{c}"), format!("echo {{1..{c}}}"), format!("{{{c} ; }}"), format!("ls {c}[{c}")] {
            assert!(in_range(&analyze(&text, &shell())), "{text:?}");
        }
    }
    assert_eq!(worst(&analyze("echo 'naïve' {é,ü}.txt 😀", &shell())), Risk::Low);
}

#[test]
fn what_is_too_large_is_high_and_not_covered() {
    for text in [
        "x=aa;".to_owned() + &"x=$x$x;".repeat(100) + "$x",
        "a".repeat((1 << 18) + 1),
        "$(".repeat(5000),
        "(".repeat(5000),
        format!("echo {}", "{a,b}".repeat(40)),
        "f() { f; f; }; f".to_owned(),
        "eval ".repeat(3000),
        "sudo ".repeat(300) + "ls",
        "if ".repeat(3000),
        "`".repeat(4000),
        "\"${a:-".repeat(3000),
        "<<E ".repeat(2000),
        "rm a;".repeat(4000),
        format!("x='{}'; eval \"$x\"; eval \"$x\"", "rm a;".repeat(1000)),
        "python3 -c 'print(1)';".repeat(3000),
        "echo {1..9}{1..9}{1..9}{1..9}{1..9};".repeat(50),
    ] {
        let analysis = analyze(&text, &shell());
        assert!(worst(&analysis) >= Risk::Medium, "{:.40}", text);
        assert!(in_range(&analysis), "{:.40}", text);
    }
}

#[test]
fn a_long_script_is_followed_to_its_end() {
    let script = "for f in *.rs; do wc -l \"$f\"; done\ncd src && make -j4; echo done\ngit log --oneline | head -5\n"
        .repeat(150);
    let written = format!("cat > notes <<'E'\n{}E\n", "any text $x `a`\n".repeat(10_000));
    for text in [script, written] {
        let analysis = analyze(&text, &shell());
        assert!(!analysis.findings.iter().any(|finding| finding.check.0 == 90), "{:?}", analysis.findings.first());
    }
}
