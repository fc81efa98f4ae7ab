//! How long whole scripts take: `cargo run --release -p belljar-analyze --example dense -- FILE...`.
//!
//! Without a file, texts of 100 kB that are dense in one kind of thing each, and the longest of each kind that is still
//! followed to its end (no BJ090): where one costs much more than the others, something in the analyser is not linear.
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
        for (name, make) in dense() {
            tell(name, &make(BYTES));
            tell("longest followed", &longest_followed(&make));
        }
    }
    for file in &files {
        tell(file, &std::fs::read_to_string(file).unwrap());
    }
}

/// The best of a few rounds: what the analysis costs, not what else the machine does.
fn tell(name: &str, text: &str) {
    let once = || {
        let start = Instant::now();
        let analysis = std::hint::black_box(analyze(text, &shell()));
        (start.elapsed(), analysis.effects.len())
    };
    let (best, effects) = (0..ROUNDS).map(|_| once()).min().unwrap_or((Duration::ZERO, 0));
    println!("{name:>24} {:>7} bytes {:>8.1} ms {effects:>6} effects", text.len(), best.as_secs_f64() * 1e3);
}

fn shell() -> ShellContext {
    ShellContext { cwd: FilePath::from("/w/project"), ..ShellContext::default() }
}

fn longest_followed(make: &Make) -> String {
    let followed =
        |bytes| !analyze(&make(bytes), &shell()).findings.iter().any(|finding| finding.check.to_string() == "BJ090");
    let (mut low, mut high) = (1, BYTES);
    while low + 1 < high {
        let middle = low.midpoint(high);
        if followed(middle) { low = middle } else { high = middle }
    }
    make(low)
}

/// Makes a text of about so many bytes.
type Make = Box<dyn Fn(usize) -> String>;

fn full(bytes: usize, piece: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    let mut count = 0;
    while text.len() < bytes {
        text.push_str(&piece(count));
        count += 1;
    }
    text
}

/// `head`, then `piece` again and again, then `tail`.
fn kind(head: &'static str, piece: &'static str, tail: &'static str) -> Make {
    Box::new(move |bytes| format!("{head}{}{tail}", full(bytes, |at| piece.replace('@', &at.to_string()))))
}

fn ordinary(bytes: usize) -> String {
    full(bytes, |at| LINES.get(at % LINES.len()).map_or(String::new(), |line| format!("{line}\n")))
}

fn dense() -> Vec<(&'static str, Make)> {
    vec![
        ("ordinary lines", Box::new(ordinary)),
        ("commands on one line", kind("", "rm a;", "")),
        ("assignments", kind("", "x=1;", "")),
        ("variables", kind("", "v@=$(echo @)\n", "")),
        ("words", kind("echo ", "a ", "")),
        ("files", kind("rm ", "f@ ", "")),
        ("a here-document", kind("cat <<E\n", "some text $x `a`\n", "E\n")),
        ("a quoted here-document", kind("cat > f <<'E'\n", "some text $x `a`\n", "E\n")),
        ("a chain", kind("", "cp a@ b@ && ", "ls")),
        ("branches", kind("", "if a; then b; else c; fi\n", "")),
        ("functions", kind("", "f@() { rm a@; }\n", "")),
        ("a quoted text", kind("echo '", "x", "'")),
        ("a pipe", kind("", "cat a | ", "wc")),
        ("subshells", kind("", "(cd a@; rm b)\n", "")),
        ("directories", kind("", "cd a@; rm b; cd ..\n", "")),
        ("redirections", kind("", "echo a >> f@\n", "")),
        ("arithmetic", kind("", "((x+=@)); echo $((x*2+@))\n", "")),
        ("expansions", kind("x=a; ", "echo ${x:-a} ${x#b} \"${x%%c}\"\n", "")),
        ("braces", kind("", "rm {a,b}{c,d}{e,f}@\n", "")),
        ("globs", kind("", "rm *.a@ [b-d]?\n", "")),
        ("doubled values", kind("x=aaaaaaaa;", "x=$x$x; echo $x;", "")),
        ("many values", kind("for x in a b c d e f g h i j; do ", "y=$x$x; rm \"$y$x\" $y;", "done")),
        ("calls", kind("f() { rm a; cd b; }\n", "f\n", "")),
        ("one text evaluated", kind("x='rm a; rm b; rm c; rm d; rm e; rm f; rm g; rm h'\n", "eval \"$x\"\n", "")),
        (
            "a long text evaluated",
            Box::new(|bytes| {
                let inner = full(bytes.min(30_000), |_| "rm a;".to_owned());
                format!("x='{inner}'\n{}", full(bytes.saturating_sub(inner.len()), |_| "eval \"$x\"\n".to_owned()))
            }),
        ),
        ("inner shells", kind("", "bash -c 'rm a; ls | wc'\n", "")),
        ("inner Python", kind("", "python3 -c 'print(1 + 2)'\n", "")),
        ("inner JavaScript", kind("", "node -e 'console.log(1 + 2)'\n", "")),
        ("inner awk", kind("", "awk '{print $1}' f\n", "")),
        ("find", kind("find . ", "-name a@ -o ", "-print")),
        ("SQL", kind("sqlite3 db \"", "select @ from a; ", "\"")),
        ("sed", kind("sed '", "s/a@/b/;", "' f")),
        ("jq", kind("jq '", ".a@ | ", ".b' f")),
        ("open brackets", kind("", "$(( ", "")),
        ("open quotes", kind("", "\"$(", "")),
        ("backquotes", kind("", "`echo \\`", "")),
    ]
}
