//! The real bash as referee: whatever it runs must stand in the canonical form, or the text must be judged HIGH.
//!
//! Bash runs each text with a PATH that holds nothing and a handler that writes down every program it would start, in a fresh
//! mount, PID and network namespace with a time limit. `BELLJAR_FUZZ=20000` asks for more texts, `BELLJAR_SEED` for
//! others. Without the right to make namespaces the test says so and proves nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::disallowed_types
)]

use belljar_analyze::{ShellContext, analyze};
use model::{Analysis, FilePath, Risk};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Texts that are tried on every run, besides the ones in the table.
const TEXTS: usize = 600;

/// Pieces that texts are put together from: the places where bash's grammar is full of corners.
const PIECES: &[&str] = &[
    "ca",
    "cb x",
    "cc -5",
    "cd1 'q r'",
    " ",
    " ",
    " ",
    "\n",
    "\n",
    ";",
    "; ",
    " && ",
    " || ",
    " | ",
    " & ",
    "|&",
    "\\\n",
    "\\",
    "'",
    "\"",
    "`",
    "`ce`",
    "$(cf)",
    "$(cf x)",
    "$((1+2))",
    "$(( $(cg) ))",
    "<<E\n",
    "<<'E'\n",
    "<<-E\n",
    "\nE\n",
    "E",
    " >f",
    " 2>f ",
    ">f x y",
    " <<<z",
    "<(ch)",
    ">(ci)",
    "${v:-`cj`}",
    "${v:-$(ck)}",
    "${v}",
    "$v",
    "v=cl ",
    "v=cm\n",
    "if ca; then ",
    "fi",
    "else ",
    "while cn; do break; done",
    "for i in a b; do ",
    "done",
    "case x in x) ",
    ";;",
    "esac",
    "{ ",
    "}",
    "(",
    ")",
    "((",
    "))",
    "[ a > b ]",
    "[[ a < b ]]",
    "! ",
    "time ",
    "#",
    " # ",
    "\"$(co)\"",
    "\"`cp`\"",
    "\"$\\\n(cq)\"",
    "'$(no)'",
    "$'a\\'b'",
    "$\"x\"",
    "\t",
    "~",
    "{a,b}",
    "fn() { cr; }\n",
    "fn",
    "eval cs",
    "eval 'ct x'",
    "coproc ",
    "function fo { cu; }\n",
    "do ",
    "then ",
    "\\ca",
    "\\ ",
    "=",
    "a=(1 $(cv) 2)\n",
    "a[0]=1 ",
    "\r",
    "\u{b}",
    "é",
    "|| true",
    "&& cw",
    "${#v}",
    "${v%x}",
    "$#",
    "$@",
    "\"$@\"",
    "let x=1",
    "declare v=cx\n",
    "$v y",
];

/// Texts that once hid something, or that CHECKS.md lists.
const KNOWN: &[&str] = &[
    "ca\n\\cb -rf d",
    "ca | cb | cc -5\ncd1 -rf d && ce",
    "ca <<E\n`cb d`\nE",
    "echo ${x:-`ca d`}",
    "echo ` ca x` `cb`",
    "ca\\\ncb x",
    "echo \"$\\\n(ca)\"",
    "ca >f x y",
    "[ x > f ]",
    "ca\rcb",
    "ca <<E\nx\n E\ncb\nE",
    "time ca; ! ! cb",
    "coproc ca x",
    "echo `echo \\`ca\\``",
    "( (ca) )",
    "{v}<<E ca\nx\nE",
    "x=~/y ca",
    "if ca; then cb; else cc; fi",
    "case a in a) ca;; b) cb;; esac",
    "f() { ca \"$@\"; }; f 1 2",
    "for c in ca cb; do $c x; done",
    "c=ca; $c; c=cb; while $c; do c=cc; break; done",
    "eval 'ca; cb'; eval \"x=cc\"; $x",
    "a=(ca -x); \"${a[@]}\" y",
    "set -- ca cb; $1; $2",
    "read x y <<< 'ca cb'; $y",
    "printf -v p ca; $p",
    "{ca,-x,y}",
    "ca{1..3}",
    "v='ca b'; $v",
    "IFS=,; v='ca,b'; $v",
    "cat <<E | true\n$(ca)\nE",
    "ca &\ncb",
    "ca |& cb",
    "true && ca || cb",
    "ca[[ a < b ]]&& cw",
    "true[ a > b ]do x",
    "declare a[ $(ca) > b ]",
    "ca | time v=cm",
    "coproc ${v:-$(ck)}a=(1 $(cv) 2)",
    "a[0]=1 time declare v=cx\n $v y",
    "va=1; v=c; ca x$v{a,b}d",
    "{ coproc time }",
    "v=cl declare v=cx\nca$v y",
    "v=cl eval v=cx\n$v y; ca",
    "ca x=~ y=~/z",
    "coproc ca x=1coproc a=(1 $(cv) 2)\n",
    "ca\n'cb'\\",
];

/// Writes argc and argv of what bash would start, each ended by NUL.
const RUNNER: &str = r#"
mount -t tmpfs none "$WORK" || exit 9
mkdir "$WORK/in"; cd "$WORK/in" || exit 9
command_not_found_handle() { printf '%s\0' "$#" "$@" >>"$LOG"; return "$CODE"; }
export -f command_not_found_handle
n=0
while IFS= read -r -d '' text; do
  for CODE in 0 1; do
    # A log of its own: a background job may write after its text is done.
    export CODE LOG="$WORK/log.$n.$CODE"
    : >"$LOG"
    HOME=/home/user PATH=/nonexistent /usr/bin/timeout -k 1 2 /bin/bash --norc --noprofile -c "$text" </dev/null >/dev/null 2>&1
    printf '%s\0%s\0' ==CASE== "$n" >&3
    while IFS= read -r -d '' word; do printf '%s\0' "$word" >&3; done <"$LOG"
  done
  rm -rf "$WORK/in"; mkdir "$WORK/in"; cd "$WORK/in"
  n=$((n+1))
done
"#;

/// A small generator, so that a seed names a text (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    fn text(&mut self) -> String {
        let count = 2 + self.below(9);
        (0..count).map(|_| PIECES[self.below(PIECES.len())]).collect()
    }
}

/// What bash started for each text: argument vectors over both exit codes. `None` without the right to make namespaces.
fn run_by_bash(texts: &[String]) -> Option<Vec<Vec<Vec<String>>>> {
    let work = std::env::temp_dir().join(format!("belljar-analyze-{}", std::process::id()));
    std::fs::create_dir(&work).unwrap();
    let out = work.with_extension("out");
    let limit = (60 + texts.len() / 20).to_string();
    let mut child = Command::new("timeout")
        .args([
            "-k",
            "5",
            &limit,
            "unshare",
            "--map-root-user",
            "-m",
            "-n",
            "-p",
            "-f",
            "--mount-proc",
            "/bin/bash",
            "--norc",
            "-c",
        ])
        .arg(format!("exec 3>{}\n{RUNNER}", out.display()))
        .env("WORK", &work)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input: Vec<u8> = texts.iter().flat_map(|text| text.bytes().chain([0])).collect();
    let fed = stdin.write_all(&input).is_ok();
    drop(stdin);
    let ended = child.wait().unwrap().success();
    let raw = std::fs::read(&out).unwrap_or_default();
    for path in [PathBuf::from(&out), work] {
        let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path));
    }
    (fed && ended).then(|| starts(&raw, texts.len()))
}

fn starts(raw: &[u8], texts: usize) -> Vec<Vec<Vec<String>>> {
    let mut all: Vec<Vec<Vec<String>>> = vec![Vec::new(); texts];
    let words: Vec<String> =
        raw.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let mut at = 0;
    let mut case = 0;
    while at + 1 < words.len() {
        if words[at] == "==CASE==" {
            case = words[at + 1].parse::<usize>().unwrap();
            at += 2;
            continue;
        }
        let count: usize = words[at].parse().unwrap();
        all[case].push(words[at + 1..=at + count].to_vec());
        at += count + 1;
    }
    all
}

fn is_high(analysis: &Analysis) -> bool {
    analysis.findings.iter().any(|finding| finding.severity == Risk::High)
}

/// Whether the canonical form holds `argv`; a word in ‹› stands for any number of words.
fn predicted(analysis: &Analysis, argv: &[String]) -> bool {
    analysis.canonical.iter().any(|invocation| fits(&invocation.argv, argv))
}

fn fits(pattern: &[String], argv: &[String]) -> bool {
    match pattern.split_first() {
        None => argv.is_empty(),
        Some((first, rest)) if first.contains('‹') => (0..=argv.len()).any(|skip| fits(rest, &argv[skip..])),
        Some((first, rest)) => argv
            .split_first()
            .is_some_and(|(word, more)| without_numbers(word) == without_numbers(first) && fits(rest, more)),
    }
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

#[test]
fn bash_runs_nothing_that_was_not_announced() {
    let count = std::env::var("BELLJAR_FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(TEXTS);
    let seed = std::env::var("BELLJAR_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut random = Random(seed);
    let mut texts: Vec<String> = KNOWN.iter().map(|text| (*text).to_owned()).collect();
    texts.extend((0..count).map(|_| random.text()));
    let Some(ran) = run_by_bash(&texts) else {
        eprintln!("no right to make namespaces here: the comparison with bash did not run");
        return;
    };
    let shell = ShellContext { cwd: FilePath::from("/w/project"), ..ShellContext::default() };
    let mut hidden = Vec::new();
    let mut unread = Vec::new();
    let (mut started, mut high) = (0usize, 0usize);
    for (text, starts) in texts.iter().zip(&ran) {
        let analysis = analyze(text, &shell);
        started += usize::from(!starts.is_empty());
        high += usize::from(!starts.is_empty() && is_high(&analysis));
        let missed: Vec<_> = starts.iter().filter(|argv| !predicted(&analysis, argv)).collect();
        let told = format!("{text:?} ran {missed:?}");
        match (missed.is_empty(), is_high(&analysis)) {
            (true, _) => {}
            (false, true) => unread.push(told),
            (false, false) => hidden.push(told),
        }
    }
    eprintln!(
        "{} texts, {started} ran something; of those {high} judged HIGH, {} not read rightly but HIGH, {} hid something",
        texts.len(),
        unread.len(),
        hidden.len()
    );
    if std::env::var_os("BELLJAR_FUZZ").is_some() {
        unread.iter().for_each(|told| eprintln!("HIGH, not read rightly: {told}"));
    }
    assert!(started * 5 > texts.len(), "the referee saw too little: {started} of {}", texts.len());
    assert!(hidden.is_empty(), "{}", hidden.join("\n"));
}
