//! Programs that no row knows, and rows that run whatever they are told: what their arguments give away.
//!
//! What such a program does stays unexplained. But an argument that names a shell, a secret, an address or a whole
//! command says enough to warn, and a warning can only raise the verdict.

use super::run::Start;
use super::value::Field;
use super::{Eval, Stdin};
use crate::commands::{kinds, options, runners, verbs};
use crate::limits::WRAPPER_DEPTH_MAX;
use crate::names;
use model::{Action, PathScope};

/// Programs that no tool uses as the name of a subcommand of its own.
const UNMISTAKABLE: &[&str] = &[
    "rm",
    "dd",
    "shred",
    "mkfs",
    "sudo",
    "su",
    "doas",
    "chmod",
    "chown",
    "curl",
    "wget",
    "nc",
    "ncat",
    "socat",
    "eval",
    "xargs",
    "env",
    "nohup",
    "setsid",
    "timeout",
    "python",
    "python3",
    "perl",
    "ruby",
    "node",
    "php",
    "awk",
    "sed",
    "tee",
    "cat",
    "find",
    "kill",
    "pkill",
    "killall",
    "mv",
    "ln",
    "crontab",
    "systemctl",
    "insmod",
    "modprobe",
    "nsenter",
    "unshare",
    "chroot",
];

const SHELLS: &[&str] = &["sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "csh", "tcsh"];

/// Programs with which a text that is a command often begins and prose does not.
const STARTERS: &[&str] = &[
    "git",
    "docker",
    "podman",
    "kubectl",
    "helm",
    "terraform",
    "aws",
    "gcloud",
    "npm",
    "npx",
    "pip",
    "cargo",
    "ssh",
    "scp",
    "rsync",
    "cp",
    "tar",
    "sh",
    "bash",
    "truncate",
    "reboot",
    "shutdown",
    "psql",
    "gh",
    "echo",
    "printf",
    "cd",
    "export",
    "busybox",
    "ncat",
    "telnet",
    "base64",
];

/// Options whose value is shell text in nearly every program that has them.
const COMMAND_OPTIONS: &[&str] =
    &["-c", "-e", "-x", "--command", "--exec", "--execute", "--run", "--cmd", "--shell-cmd", "--eval"];

/// Options whose value is text for people.
const MESSAGES: &[&str] = &[
    "-m",
    "--message",
    "--msg",
    "--title",
    "--body",
    "-t",
    "-b",
    "--description",
    "--desc",
    "--name",
    "--note",
    "--notes",
    "--comment",
    "--summary",
    "--subject",
    "--label",
    "--text",
    "-k",
    "-g",
    "--grep",
    "-run",
    "--testNamePattern",
    "--filter",
    "--prompt",
];

impl Eval<'_> {
    /// Looks at the arguments of a program whose meaning is not known.
    pub(super) fn arguments_tell(&mut self, program: &str, args: &[Field], start: &Start) {
        self.may += 1;
        for (at, field) in args.iter().enumerate() {
            let Some(text) = field.known().map(str::to_owned) else { continue };
            let before = at.checked_sub(1).and_then(|before| args.get(before)).and_then(Field::known).unwrap_or("");
            if self.is_inner_command(&text, before) {
                let rest = args.get(at..).unwrap_or(&[]).to_vec();
                let inner = Start { unwrapped: start.unwrapped + 1, past_functions: true, ..start.clone() };
                self.in_subshell(|eval| eval.run(&rest, inner));
                break;
            }
            self.argument_tells(program, &text, before, field, start);
        }
        self.may -= 1;
    }

    /// Looks at the arguments of a tool that has a row and runs code of its own choice with them.
    pub(super) fn told(&mut self, by: &str, args: &[Field], start: &Start) {
        self.may += 1;
        for (at, field) in args.iter().enumerate() {
            let Some(text) = field.known().map(str::to_owned) else { continue };
            let before = at.checked_sub(1).and_then(|before| args.get(before)).and_then(Field::known).unwrap_or("");
            let value = before.starts_with('-') && before != "--";
            let rest = args.get(at..).unwrap_or(&[]);
            if !value && rest.len() > 1 && self.is_inner_command(&text, before) {
                let inner = Start { unwrapped: start.unwrapped + 1, past_functions: true, ..start.clone() };
                self.in_subshell(|eval| eval.run(rest, inner));
                break;
            }
            self.argument_tells(by, &text, before, field, start);
        }
        self.may -= 1;
    }

    /// The command inside the arguments of a runner, besides what the runner's own row says.
    pub(super) fn inner_tells(&mut self, program: &str, args: &[Field], start: &Start) {
        let Some((runner, rest)) = runners::find(program, args) else { return };
        if start.unwrapped > WRAPPER_DEPTH_MAX {
            return;
        }
        let parsed = options::parse(&runner.row, rest);
        self.may += 1;
        self.options(&runner.row, &parsed, start);
        let mut inner = parsed.operands.get(runner.skips.min(parsed.operands.len())..).unwrap_or(&[]);
        // Options behind a name: `setarch ARCH -R CMD`; variables: `cross-env A=1 CMD`.
        while inner.first().is_some_and(|field| field.value.prefix().starts_with('-')) && inner.len() > 1 {
            inner = inner.get(1..).unwrap_or(&[]);
        }
        while inner.len() > 1 && inner.first().is_some_and(|field| is_assignment(field.value.prefix())) {
            self.env_assignments(inner.get(..1).unwrap_or(&[]));
            inner = inner.get(1..).unwrap_or(&[]);
        }
        self.inner_words(inner, start);
        // Where the command begins behind a mark, or an option nobody knows may have taken a word of it.
        let mark = |field: &Field| matches!(field.known(), Some("--" | "-c" | "--command"));
        if (runner.skips == runners::BEHIND_MARK || !parsed.unknown.is_empty())
            && let Some(at) = rest.iter().position(mark)
        {
            self.inner_words(rest.get(at + 1..).unwrap_or(&[]), start);
        }
        self.may -= 1;
    }

    fn inner_words(&mut self, inner: &[Field], start: &Start) {
        match inner {
            [] => {}
            [text, ..] if text.known().is_none_or(is_text) => {
                let whole = super::apply::joined(inner);
                self.shell_text(&whole, start);
            }
            _ => {
                let start = Start { unwrapped: start.unwrapped + 1, past_functions: true, ..start.clone() };
                self.in_subshell(|eval| eval.run(inner, start));
            }
        }
    }

    /// A verb says by itself that something cannot be taken back, whatever else the tool does with its arguments.
    pub(super) fn verb_tells(&mut self, tool: &str, args: &[Field], unknown: bool, start: &Start) {
        let words: Vec<&str> = args.iter().filter_map(Field::known).collect();
        if words.iter().any(|word| harmless(word)) {
            return;
        }
        self.kind_tells(tool, &words, unknown, start);
        if tool == "bun" {
            self.bun_code(args, start);
        }
        if let Some(word) = words.iter().find(|word| unknown && unguarded(word)) {
            self.out.find(20, start.span, &format!("{word} tells {tool} to ask nobody and to hold nothing back"));
        }
        let operands: Vec<&str> = words.into_iter().filter(|word| !word.starts_with('-')).collect();
        if let Some((row, verb)) = verbs::find(tool, &operands, unknown) {
            self.facts(row.does, &[], start.span, &format!("{tool} {verb}"));
        }
    }

    fn kind_tells(&mut self, tool: &str, words: &[&str], unknown: bool, start: &Start) {
        if let Some(does) = kinds::kind(tool).filter(|_| unknown && words != ["--version"]) {
            self.facts(does, &[], start.span, tool);
        }
        let fed = matches!(start.stdin, Stdin::Text(_) | Stdin::Pipe(_) | Stdin::File(_));
        if kinds::takes_code(tool, words).is_some_and(|given| given || (fed && unknown)) {
            self.out.find(13, start.span, &format!("code for {tool} that is not understood runs"));
        }
        if let Some(place) = kinds::strange_place(tool, words) {
            self.out.find(15, start.span, &format!("{tool} runs code from {place}, which anyone can write"));
        }
        if let Some(word) = kinds::loads(tool, words) {
            self.out.find(14, start.span, &format!("{word} makes {tool} run or load what it is told"));
        }
    }

    /// Whether the words from here on are a command of their own.
    fn is_inner_command(&self, text: &str, before: &str) -> bool {
        let name = text.rsplit('/').next().unwrap_or(text);
        let by_path = text.starts_with('/') && text.contains("bin/") && crate::commands::is_known(name);
        before == "--" && crate::commands::is_known(name)
            || by_path
            || UNMISTAKABLE.contains(&text)
            || (SHELLS.contains(&name) && (text == name || text.starts_with('/')))
    }

    fn argument_tells(&mut self, program: &str, text: &str, before: &str, field: &Field, start: &Start) {
        let value = text.split_once('=').filter(|_| text.starts_with('-')).map_or(text, |(_, value)| value);
        let words = value.contains(char::is_whitespace);
        if words && COMMAND_OPTIONS.contains(&before) {
            if calls(value) {
                self.out.find(13, field.span, &format!("{program} is given code that is not understood"));
            } else {
                self.shell_text(&Field::constant(embedded(value).unwrap_or(value), field.span), start);
            }
        } else if calls(value) && COMMAND_OPTIONS.contains(&before) {
            self.out.find(13, field.span, &format!("{program} is given code that is not understood"));
        } else if let Some((scheme, _)) = value.split_once("://")
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+')
            && !words
        {
            self.url(&Field::constant(value, field.span), program);
        } else if !words && value.contains(['/', '.']) && self.holds_secret(value) {
            self.on_path(Action::Read, &Field::constant(value, field.span), PathScope::Exact, program);
        } else if let Some(inner) = embedded(value).filter(|_| words && !MESSAGES.contains(&option_name(text, before)))
        {
            self.shell_text(&Field::constant(inner, field.span), start);
        }
        if words && destroys_rows(value) {
            self.out.find(19, field.span, &format!("{program} is told to change a database for good"));
        }
        if names_shell(value) {
            self.out.find(14, field.span, &format!("a shell is named to {program}, which no table knows"));
        }
    }

    fn holds_secret(&self, name: &str) -> bool {
        self.resolve(name).iter().any(|(path, _)| names::secret(&path.encode(), &self.home).is_some())
    }
}

/// The option whose value a word is: in front of it, or in the same word.
fn option_name<'t>(text: &'t str, before: &'t str) -> &'t str {
    text.split_once('=').map(|(name, _)| name).filter(|name| name.starts_with('-')).unwrap_or(before)
}

/// A command inside a longer text: at its start, or behind a sign with which tools introduce one (`!rm x`, `%(rm x)`).
pub(super) fn embedded(text: &str) -> Option<&str> {
    let begins = |rest: &str, known: fn(&str) -> bool| {
        let word = rest.split(char::is_whitespace).next().unwrap_or("");
        rest.len() > word.len() && known(word.rsplit('/').next().unwrap_or(word))
    };
    let whole = text.trim_start();
    if begins(whole, |word| UNMISTAKABLE.contains(&word) || STARTERS.contains(&word)) {
        return Some(whole);
    }
    let behind = text.char_indices().filter(|(_, sign)| "!|;&%{(=`\"'".contains(*sign));
    let mut rest = behind.filter_map(|(at, sign)| text.get(at + sign.len_utf8()..)).map(str::trim_start);
    let inner = rest.find(|rest| begins(rest, |word| UNMISTAKABLE.contains(&word)))?;
    let end = inner.find(|sign: char| ")}`\"'".contains(sign)).unwrap_or(inner.len());
    inner.get(..end)
}

/// A statement of SQL, or of a language like it, that removes or rewrites what a database holds.
fn destroys_rows(text: &str) -> bool {
    let text = text.trim_start().to_ascii_lowercase();
    let begins = |statement: &str| {
        ["drop ", "truncate ", "delete from ", "alter ", "grant ", "revoke "]
            .iter()
            .any(|verb| statement.starts_with(verb))
            || statement.starts_with("update ") && statement.contains(" set ")
    };
    text.split(';').any(|statement| begins(statement.trim_start()))
}

/// `NAME=value`
fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// A word that no program is called: shell text.
fn is_text(word: &str) -> bool {
    word.contains(|sign: char| sign.is_whitespace() || "$`;|&<>()\"'".contains(sign))
}

/// Options that make a tool only say what it would do.
fn harmless(option: &str) -> bool {
    matches!(
        option,
        "--help"
            | "--dry-run"
            | "--dry-run=client"
            | "--dry-run=server"
            | "--dryrun"
            | "--list-hosts"
            | "--syntax-check"
            | "--check"
            | "--list"
    )
}

/// Options that switch off questions and guards, as tools with such guards call them.
fn unguarded(option: &str) -> bool {
    option.starts_with("--")
        && [
            "dangerous",
            "yolo",
            "full-auto",
            "yes-always",
            "skip-permissions",
            "accept-data-loss",
            "no-preserve-root",
            "trust-all",
        ]
        .iter()
        .any(|mark| option.contains(mark))
}

/// `system("...")`, `` run(`...`) ``: a call in some language.
fn calls(text: &str) -> bool {
    text.split_once('(').is_some_and(|(head, rest)| {
        head.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_') && rest.contains(')')
    })
}

/// Whether a shell stands in `text` as a word of its own: `/bin/sh -i`, `}; /bin/sh #`, `!sh`, `bash -c x`.
fn names_shell(text: &str) -> bool {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || "\"'`;&|(){}<>,=!@%".contains(c))
        .filter(|word| !word.is_empty())
        .collect();
    words.iter().enumerate().any(|(at, word)| {
        let by_path = word.rsplit_once('/').is_some_and(|(dir, name)| dir.ends_with("bin") && SHELLS.contains(&name));
        let by_name =
            SHELLS.contains(word) && words.get(at + 1).is_some_and(|next| next.starts_with("-c") || *next == "-i");
        by_path || by_name
    })
}

#[cfg(test)]
mod tests {
    use super::{calls, names_shell};

    #[test]
    fn shells_and_calls_in_arguments() {
        for text in ["/bin/sh", "exec:/usr/bin/bash -i", "}; /bin/sh #", "x 'bash -c id'", "!/bin/sh"] {
            assert!(names_shell(text), "{text}");
        }
        for text in ["bash", "src/sh", "a.sh", "/usr/share/bash", "finish -c", "sh"] {
            assert!(!names_shell(text), "{text}");
        }
        assert!(calls("system(\"id\")") && calls("print(open('x'))"));
        assert!(!calls("a (b)") && !calls("x"));
    }
}
