//! How long whole scripts take: `cargo run --release -p belljar-analyze --example dense -- FILE...`.
//!
//! Without a file, texts of 100 kB that are dense in one kind of thing each: where one costs much more than the others,
//! something in the analyser is not linear.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

use belljar_analyze::{ShellContext, analyze};
use model::FilePath;
use std::time::{Duration, Instant};

const BYTES: usize = 100_000;
const ROUNDS: usize = 5;

/// Lines as in ordinary scripts.
const LINES: &[&str] = &[
    "git log --oneline | head -5",
    "cd src && make -j4; echo done",
    "for f in *.rs; do wc -l \"$f\"; done",
    "x=$(date +%s); echo \"$x\"",
    "find . -name '*.o' -exec rm {} + -o -print",
    "cp a.txt b/c.txt && rm -f old.txt",
    "if [ -f a ]; then cat a; else echo ${x:-y}; fi",
    "grep -rn foo src | sort | uniq -c > out.txt",
    "case $1 in a|b) ls;; *) pwd;; esac",
    "f() { local a=1; echo $a; }; f",
];

fn main() {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        dense().iter().for_each(|(name, text)| tell(name, text));
    }
    for file in &files {
        tell(file, &std::fs::read_to_string(file).unwrap());
    }
}

/// The best of a few rounds: what the analysis costs, not what else the machine does.
fn tell(name: &str, text: &str) {
    let shell = ShellContext { cwd: FilePath::from("/w/project"), ..ShellContext::default() };
    let once = || {
        let start = Instant::now();
        let analysis = std::hint::black_box(analyze(text, &shell));
        (start.elapsed(), analysis.effects.len())
    };
    let (best, effects) = (0..ROUNDS).map(|_| once()).min().unwrap_or((Duration::ZERO, 0));
    println!("{name:>24} {:>7} bytes {:>8.1} ms {effects:>6} effects", text.len(), best.as_secs_f64() * 1e3);
}

fn dense() -> Vec<(&'static str, String)> {
    let full = |piece: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        let mut count = 0;
        while text.len() < BYTES {
            text.push_str(&piece(count));
            count += 1;
        }
        text
    };
    vec![
        (
            "ordinary lines",
            full(&|at| LINES.iter().cycle().nth(at % LINES.len()).map_or(String::new(), |line| format!("{line}\n"))),
        ),
        ("commands on one line", full(&|_| "rm a;".to_owned())),
        ("assignments", full(&|_| "x=1;".to_owned())),
        ("variables", full(&|at| format!("v{at}=$(echo {at})\n"))),
        ("words", full(&|at| if at == 0 { "echo ".to_owned() } else { "a ".to_owned() })),
        ("files", full(&|at| if at == 0 { "rm ".to_owned() } else { format!("f{at} ") })),
        ("a here-document", "cat <<E\n".to_owned() + &full(&|_| "some text $x `a`\n".to_owned()) + "E\n"),
        ("a chain", full(&|at| format!("cp a{at} b{at} && ")) + "ls"),
        ("branches", full(&|_| "if a; then b; else c; fi\n".to_owned())),
        ("functions", full(&|at| format!("f{at}() {{ rm a{at}; }}\n"))),
        ("a quoted text", format!("echo '{}'", "x".repeat(BYTES))),
        ("a pipe", full(&|_| "cat a | ".to_owned()) + "wc"),
    ]
}
