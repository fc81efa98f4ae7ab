//! What must hold between a command and a larger one made of it: joining and wrapping never lower the risk, in a jar or
//! bare; a jar never raises it; spans cover what they speak of; the canonical form does the same.
//!
//! Every command of our own corpus goes through a fourth of the rows, each through another. With `BELLJAR_CORPORA=DIR` each goes
//! through all of them, and so do the commands of `public.jsonl`, `agent.jsonl` and `cve.jsonl` found there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    clippy::disallowed_types
)]

use belljar_analyze::{ShellContext, analyze, quote};
use model::{Analysis, Place, Risk};
use policy::Policy;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::sync::LazyLock;

const OWN: &str = include_str!("../../../tests/corpus/commands.jsonl");

static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy::builtin().unwrap());

fn place(contained: bool) -> Place {
    Place {
        cwd: "/w/project".into(),
        home: "/home/user".into(),
        workspace: "/w/project".into(),
        state: "/home/user/.local/state/belljar".into(),
        uid: 1000,
        contained,
    }
}

fn read(text: &str) -> Analysis {
    let place = place(false);
    analyze(text, &ShellContext { cwd: place.cwd, home: place.home, ..ShellContext::default() })
}

/// The tiers in a jar and bare.
fn tiers(text: &str) -> (Risk, Risk) {
    let tiers = POLICY.assess(&read(text), &place(true)).tiers;
    (tiers.contained, tiers.bare)
}

fn commands() -> Vec<String> {
    let mut all = OWN.to_owned();
    if let Ok(dir) = std::env::var("BELLJAR_CORPORA") {
        for name in ["public.jsonl", "agent.jsonl", "cve.jsonl"] {
            all += &std::fs::read_to_string(Path::new(&dir).join(name)).unwrap_or_default();
        }
    }
    let command = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        row["cmd"].as_str().unwrap().to_owned()
    };
    all.lines().filter(|line| !line.is_empty()).map(command).collect()
}

/// Whole in itself: a fragment may become another command by what stands around it, and two parsers may agree about it
/// there.
fn whole(text: &str) -> bool {
    !read(text).findings.iter().any(|finding| matches!(finding.check.0, 1 | 2))
}

/// Places for a whole text: `{}` is the text on lines of its own, `{q}` the text as one quoted word.
const JOINERS: &[&str] = &[
    "{}\nls",
    "ls\n{}",
    "ls; {}",
    "ls && {}",
    "ls || {}",
    "true; {}\ntrue",
    "ls | {\n{}\n}",
    "(\n{}\n)",
    "( ( {}\n) )",
    "{\n{}\n}",
    "{\n{}\n} | cat",
    "{\n{}\n} &",
    "{\n{}\n} && ls",
    "{\n{}\n} || true",
    "if ls; then\n{}\nfi",
    "if {}\nthen ls; fi",
    "if false; then ls; else\n{}\nfi",
    "while ls; do\n{}\nbreak; done",
    "until {}\ndo break; done",
    "for i in a b; do\n{}\ndone",
    "for ((i=0;i<2;i++)); do\n{}\ndone",
    "case x in x)\n{}\n;; esac",
    "select v in a; do\n{}\nbreak; done",
    "f() {\n{}\n}; f",
    "f() {\n{}\n}",
    "f() (\n{}\n); f x",
    "function f {\n{}\n}\nf | cat",
    "echo $(\n{}\n)",
    "x=$(\n{}\n)",
    "echo \"a $(\n{}\n) b\"",
    "cat <(\n{}\n)",
    "ls > >(\n{}\n)",
    "echo ${x:-$(\n{}\n)}",
    "echo $((1 + $(\n{}\n)))",
    "cat <<E\n$(\n{}\n)\nE",
    "[[ -n $(\n{}\n) ]]",
    "a=(x $(\n{}\n))",
    "true & {}",
    "! ls; {}",
    "time {}",
    "set -u\n{}",
    "trap {q} EXIT",
    "trap {q} DEBUG; ls",
    "eval {q}",
    "bash -c {q}",
    "sh -c {q} x y",
    "bash -lc {q}",
    "bash -euo pipefail -c {q}",
    "/bin/bash -c {q}",
    "dash -c {q}",
    "env bash -c {q}",
    "sudo bash -c {q}",
    "sudo -u www -- sh -c {q}",
    "su -c {q}",
    "su user -c {q}",
    "timeout 5 sh -c {q}",
    "nohup sh -c {q} &",
    "xargs sh -c {q}",
    "xargs -I{} sh -c {q}",
    "find . -exec sh -c {q} \\;",
    "find . -execdir bash -c {q} _ {} +",
    "fd x -x sh -c {q}",
    "watch {q}",
    "script -c {q} /dev/null",
    "ssh host {q}",
    "bash <<< {q}",
    "echo {q} | sh",
    "echo {q} | bash -s x",
    "printf %s {q} | sh",
    "sh <<'END_OF_IT'\n{}\nEND_OF_IT",
    "source /dev/stdin <<< {q}",
    "echo {q} > s.sh; sh s.sh",
    "echo {q} > s.sh && . ./s.sh",
    "its_text={q}; eval \"$its_text\"",
    "its_text={q}; bash -c \"$its_text\"",
    "alias ll={q}",
    "flock /tmp/l -c {q}",
    "git bisect run sh -c {q}",
    "unshare -r sh -c {q}",
    "env -S 'bash -c' {q}",
    "busybox sh -c {q}",
    "strace -f sh -c {q}",
    "coproc { {}\n}",
    "exec bash -c {q}",
    "command eval {q}",
    "builtin eval {q}",
    "tmux new-session -d {q}",
    "tmux run-shell {q}",
    "hyperfine {q}",
    "hyperfine --prepare {q} ls",
    "npx -c {q}",
    "npm exec -c {q}",
    "nix-shell --run {q}",
    "uv run sh -c {q}",
    "poetry run bash -c {q}",
    "docker compose exec web sh -c {q}",
    "pueue add {q}",
    "concurrently {q}",
    "nodemon --exec {q}",
    "cargo watch -s {q}",
    "sbatch --wrap {q}",
    "sg x -c {q}",
    "runuser x -c {q}",
    "batch <<< {q}",
    "at now <<< {q}",
];

/// Wrappers around one simple command: `{}` is its words. Those that add an argument at the end or lose the quotes are among
/// the joiners, with a shell between.
const WRAPPERS: &[&str] = &[
    "sudo {}",
    "sudo -u www {}",
    "sudo -E -- {}",
    "sudo A=1 {}",
    "doas {}",
    "pkexec {}",
    "env {}",
    "env -i {}",
    "env A=1 B=2 {}",
    "env -u A {}",
    "env - {}",
    "nice {}",
    "nice -n 5 {}",
    "nice -5 {}",
    "ionice -c 3 {}",
    "nohup {}",
    "setsid -f {}",
    "timeout 5 {}",
    "timeout -k 1 --signal=KILL 5s {}",
    "stdbuf -oL {}",
    "time -p {}",
    "command {}",
    "command -p {}",
    "exec {}",
    "exec -a x {}",
    "chrt 1 {}",
    "taskset 1 {}",
    "flock /tmp/l {}",
    "strace -f -o /dev/null {}",
    "ltrace {}",
    "caffeinate -i {}",
    "unbuffer {}",
    "rlwrap {}",
    "cpulimit -l 50 {}",
    "torsocks {}",
    "proxychains -q {}",
    "xvfb-run -a {}",
    "dbus-run-session -- {}",
    "numactl -l {}",
    "ccache {}",
    "multitime -n 2 {}",
    "setlock x {}",
    "softlimit -m 1 {}",
    "chpst -v {}",
    "eatmydata {}",
    "fakeroot {}",
    "faketime x {}",
    "grc {}",
    "logsave /dev/null {}",
    "aa-exec -p x {}",
    "start-stop-daemon --start --exec {}",
    "prlimit --cpu=1 {}",
    "choom -n 1 {}",
    "trickle -s {}",
    "gosu root {}",
    "su-exec root {}",
    "dumb-init {}",
    "tini -g {}",
    "chronic {}",
    "busybox {}",
    "unshare -r {}",
    "nsenter -t 1 -m {}",
    "chroot / {}",
    "setpriv --clear-groups {}",
    "runuser -u x {}",
    "xargs {}",
    "xargs -0 -n 1 {}",
    "ls | xargs -I% {}",
    "find . -exec {} \\;",
    "find . -ok {} \\;",
    "systemd-run {}",
    "A=1 {}",
    "! {}",
    "time {}",
    "sudo env A=1 nice -n 5 timeout 5 {}",
    "xargs sudo nohup {}",
    "screen -dm {}",
    "entr {}",
    "tmux new-session -d {}",
    "tmux new -d -s x {}",
    "tmux split-window -h {}",
    "screen -dmS x {}",
    "uv run {}",
    "uv run --with x -- {}",
    "uv tool run {}",
    "uvx {}",
    "poetry run {}",
    "pdm run {}",
    "pipenv run {}",
    "hatch run {}",
    "rye run {}",
    "pixi run {}",
    "conda run -n x {}",
    "micromamba run -n x {}",
    "npx {}",
    "bunx {}",
    "npm exec -- {}",
    "pnpm exec {}",
    "pnpm dlx {}",
    "yarn exec {}",
    "yarn dlx {}",
    "bun x {}",
    "lerna exec -- {}",
    "bundle exec {}",
    "rbenv exec {}",
    "pyenv exec {}",
    "rustup run stable {}",
    "opam exec -- {}",
    "stack exec -- {}",
    "asdf exec {}",
    "mise exec -- {}",
    "direnv exec . {}",
    "devbox run -- {}",
    "nix develop -c {}",
    "nix shell nixpkgs#x -c {}",
    "guix shell x -- {}",
    "dotenv -- {}",
    "dotenv -f .env run -- {}",
    "cross-env A=1 {}",
    "aws-vault exec x -- {}",
    "op run -- {}",
    "doppler run -- {}",
    "chamber exec x -- {}",
    "systemd-run --user --scope {}",
    "systemd-inhibit {}",
    "systemd-cat -t x {}",
    "firejail --quiet {}",
    "bwrap --bind / / -- {}",
    "proot -r / {}",
    "fakechroot {}",
    "setarch x86_64 -R {}",
    "linux64 {}",
    "cgexec -g x {}",
    "schroot -c x -- {}",
    "systemd-nspawn -D / {}",
    "machinectl shell x {}",
    "distrobox enter x -- {}",
    "toolbox run {}",
    "sshpass -p x {}",
    "ssh-agent {}",
    "dtach -n s {}",
    "xterm -e {}",
    "gnome-terminal -- {}",
    "perf stat {}",
    "perf record -g -- {}",
    "valgrind -q {}",
    "gdb -q --args {}",
    "rr record {}",
    "watchexec -e rs -- {}",
    "gtimeout 5 {}",
    "retry -t 3 -- {}",
    "ifne {}",
    "tsp {}",
    "nq {}",
    "srun -n 1 {}",
    "mpirun -n 2 {}",
];

/// Words of the shell itself, which no wrapper can start.
const OF_THE_SHELL: &[&str] = &[
    "cd",
    "pushd",
    "popd",
    "export",
    "declare",
    "local",
    "readonly",
    "typeset",
    "unset",
    "set",
    "shift",
    "read",
    "eval",
    "source",
    ".",
    "trap",
    "alias",
    "unalias",
    "hash",
    "enable",
    "exit",
    "return",
    "let",
    "exec",
    "builtin",
    "command",
    "ulimit",
    "umask",
    "wait",
    "jobs",
    "bg",
    "fg",
    "disown",
    "shopt",
    "mapfile",
    "readarray",
    "compgen",
    "complete",
    "bind",
    "history",
    "fc",
    "type",
    "times",
    "getopts",
    "printf",
    "echo",
    "test",
    "[",
    "[[",
    "time",
    "!",
    "coproc",
    "function",
    "true",
    "false",
    ":",
    "pwd",
    "kill",
    "dirs",
    "logout",
    "suspend",
    "caller",
    "help",
    "break",
    "continue",
];

/// A single simple command that a wrapper could start in its place.
fn simple(text: &str) -> bool {
    let analysis = read(text);
    let [only] = analysis.canonical.as_slice() else { return false };
    let first = text.split_ascii_whitespace().next().unwrap_or("");
    only.env.is_empty()
        && only.redirects.is_empty()
        && !text.contains(['\n', '|', ';', '&', '<', '>', '`', '(', '#', '~', '$', '*', '?', '{', '['])
        && !first.contains('=')
        && !OF_THE_SHELL.contains(&first)
}

fn in_single_quotes(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn put(template: &str, text: &str) -> String {
    template.replacen("{q}", &in_single_quotes(text), 1).replacen("{}", text, usize::from(!template.contains("{q}")))
}

/// What became less risky by being put into a larger command.
fn lowered(text: &str, templates: &[&str]) -> Vec<String> {
    let (contained, bare) = tiers(text);
    let mut lowered = Vec::new();
    for template in templates {
        let larger = put(template, text);
        let (in_jar, outside) = tiers(&larger);
        if in_jar < contained || outside < bare {
            lowered.push(format!("{contained}/{bare} -> {in_jar}/{outside}: {template:?} {text:?}"));
        }
    }
    lowered
}

fn assert_none(all: &[String]) {
    let total = all.len();
    let shown: Vec<&str> = all.iter().take(400).map(String::as_str).collect();
    assert!(all.is_empty(), "{total} in all\n{}", shown.join("\n"));
}

/// What the commands that fit lose in some row.
fn sweep(templates: &[&str], fits: fn(&str) -> bool) -> Vec<String> {
    let all = std::env::var_os("BELLJAR_CORPORA").is_some();
    let mut found = Vec::new();
    let mut compared = 0;
    for (at, text) in commands().iter().enumerate().filter(|(_, text)| fits(text)) {
        let some: Vec<&str> =
            templates.iter().enumerate().filter(|(row, _)| all || (row + at) % 4 == 0).map(|(_, row)| *row).collect();
        compared += some.len();
        found.extend(lowered(text, &some));
    }
    eprintln!("{compared} larger commands were compared with what they are made of");
    assert!(compared > 2000, "only {compared} were compared");
    found
}

#[test]
fn joining_never_lowers_the_risk() {
    assert_none(&sweep(JOINERS, whole));
}

#[test]
fn wrapping_never_lowers_the_risk() {
    assert_none(&sweep(WRAPPERS, |text| whole(text) && simple(text)));
}

#[test]
fn a_jar_never_raises_the_risk() {
    for text in commands() {
        let (contained, bare) = tiers(&text);
        assert!(contained <= bare, "{contained} in a jar, {bare} bare: {text:?}");
    }
}

/// In a text without quotes and expansions every word that would run stands, as it is, where its span says.
#[test]
fn spans_cover_the_words_that_run() {
    let mut seen = 0;
    for text in commands() {
        let analysis = read(&text);
        for finding in &analysis.findings {
            assert!(analysis.text.get(finding.span.start..finding.span.end).is_some(), "{text:?} {finding:?}");
        }
        if text.contains(['$', '`', '{', '\'', '"', '\\', '~', '=', '(']) {
            continue;
        }
        for invocation in &analysis.canonical {
            let covered = &analysis.text[invocation.span.start..invocation.span.end];
            for word in &invocation.argv {
                assert!(covered.contains(word.as_str()), "{word:?} is not in {covered:?} of {text:?}");
                seen += 1;
            }
        }
        for effect in &analysis.effects {
            let span = effect.span.unwrap();
            assert!(span.start < span.end, "{effect:?} points to nothing in {text:?}");
            let inside = |outer: model::Span| outer.start <= span.start && span.end <= outer.end;
            assert!(analysis.canonical.iter().any(|one| inside(one.span)), "{effect:?} is of no command in {text:?}");
        }
    }
    assert!(seen > 500, "only {seen} words were compared");
}

/// The canonical form of one simple command, read again, has the same effects.
#[test]
fn the_canonical_form_has_the_same_effects() {
    let mut seen = 0;
    for text in commands() {
        let once = read(&text);
        let [only] = once.canonical.as_slice() else { continue };
        let computed = only.argv.iter().any(|word| word.contains(['‹', '*', '?', '[']));
        if computed
            || text.contains(['|', ';', '&', '<', '>', '(', '`', '\n', '$'])
            || !whole(&text)
            || !only.env.is_empty()
        {
            continue;
        }
        let words: Vec<OsString> = only.argv.iter().map(OsString::from).collect();
        let again = read(std::str::from_utf8(&quote(&words)).unwrap());
        let effects = |analysis: &Analysis| -> BTreeSet<String> {
            analysis.effects.iter().map(|effect| format!("{} {}", effect.action, effect.target)).collect()
        };
        assert_eq!(effects(&once), effects(&again), "{text:?}");
        seen += 1;
    }
    assert!(seen > 100, "only {seen} commands were compared");
}
