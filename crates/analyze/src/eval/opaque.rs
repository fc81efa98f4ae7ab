//! Programs that no row knows, and rows that run whatever they are told: what their arguments give away.
//!
//! What such a program does stays unexplained. But an argument that names a shell, a secret, an address or a whole
//! command says enough to warn, and a warning can only raise the verdict.

use super::Eval;
use super::run::Start;
use super::value::Field;
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

/// Options whose value is shell text in nearly every program that has them.
const COMMAND_OPTIONS: &[&str] =
    &["-c", "-e", "-x", "--command", "--exec", "--execute", "--run", "--cmd", "--shell-cmd", "--eval"];

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
                self.shell_text(&Field::constant(value, field.span), start);
            }
        } else if calls(value) && COMMAND_OPTIONS.contains(&before) {
            self.out.find(13, field.span, &format!("{program} is given code that is not understood"));
        } else if names_shell(value) {
            self.out.find(14, field.span, &format!("a shell is named to {program}, which no table knows"));
        } else if let Some((scheme, _)) = value.split_once("://")
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+')
            && !words
        {
            self.url(&Field::constant(value, field.span), program);
        } else if !words && value.contains(['/', '.']) && self.holds_secret(value) {
            self.on_path(Action::Read, &Field::constant(value, field.span), PathScope::Exact, program);
        }
    }

    fn holds_secret(&self, name: &str) -> bool {
        self.resolve(name).iter().any(|(path, _)| names::secret(&path.encode(), &self.home).is_some())
    }
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
