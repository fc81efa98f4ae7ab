//! Programs whose arguments are a small language of their own: find, sed, dd, tar, git, curl and a few more.

mod archive;
mod cloud;
mod compress;
mod database;
mod find;
pub(super) use find::{at_any_depth, litter_name};
mod git;
mod jq;
mod made;
mod network;
mod run;
mod sed;

use super::run::Start;
use super::value::{Field, Value};
use super::{Eval, Output, Stdin};
use crate::commands;
use model::{Action, PathScope, Reversibility};

pub(super) fn unknown() -> Output {
    Output { value: Value::Unknown, fetched: false }
}

impl Eval<'_> {
    /// Runs `program` if it is read here.
    pub(super) fn special(&mut self, program: &str, args: &[Field], start: &Start) -> Option<Output> {
        match program {
            "find" | "gfind" => self.find(args, start),
            "sed" | "gsed" => self.sed(args, start),
            "dd" => self.dd(args),
            "git" => return Some(self.git(args, start)),
            "zip" => return self.zip(args, start),
            "unzip" => return self.unzip(args, start),
            "mktemp" => return self.mktemp(args, start),
            "rename" | "prename" | "file-rename" => return self.rename(args, start),
            "tar" | "bsdtar" => return self.tar(args, start),
            "ping" | "ping6" | "nc" | "ncat" | "netcat" => return self.probe(program, args, start),
            "curl" | "wget" => return self.download(program, args, start),
            "gzip" | "gunzip" | "xz" | "unxz" | "bzip2" | "bunzip2" | "zstd" => {
                return self.compress(program, args, start);
            }
            "ssh" => return Some(self.ssh(args, start)),
            "fd" | "fdfind" => return self.fd(args, start),
            "parallel" => return self.parallel(args, start),
            "kubectl" if self.shows_cluster_secrets(args) => {
                self.out.find(17, start.span, "shows secrets of the cluster");
                return self.container(program, args, start);
            }
            "docker" | "podman" | "kubectl" => return self.container(program, args, start),
            "npx" | "bunx" | "uvx" | "pipx" | "npm" | "pnpm" | "yarn" | "bun" | "uv" | "poetry" | "pipenv" | "pdm"
            | "hatch" | "rye" | "mise" | "direnv" | "nix-shell" | "nix" | "conda" | "bundle" => {
                return self.runner(program, args, start);
            }
            "chmod" => return self.chmod(args, start),
            "kill" => return self.kill(args, start),
            "rsync" | "scp" => return self.copy_remote(program, args, start),
            "mount" => {
                if args.is_empty() {
                    return Some(unknown());
                }
                self.out.find(20, start.span, "mounts a file system");
                self.thing(Action::Privilege, "mount", Reversibility::Never, start.span, program);
            }
            "sysctl" => {
                if args
                    .iter()
                    .any(|field| !field.known().is_some_and(|text| text.starts_with('-') || !text.contains('=')))
                {
                    self.out.find(20, start.span, "changes a setting of the kernel");
                    self.thing(Action::Privilege, "sysctl", Reversibility::Never, start.span, program);
                }
            }
            "hostname" => {
                if args.iter().any(|field| !field.value.prefix().starts_with('-')) {
                    self.out.find(20, start.span, "changes the name of the machine");
                    self.thing(Action::Privilege, "hostname", Reversibility::Never, start.span, program);
                }
            }
            "ln" => {
                self.note_links(args, start);
                return None;
            }
            "printenv" => {
                if args.iter().any(|field| field.known().is_none_or(crate::names::is_secret_variable)) {
                    self.out.find(17, start.span, "shows a variable that may be a secret");
                }
            }
            "ps" if shows_environments(args) => {
                self.out.find(17, start.span, "shows the environments of processes, which hold tokens");
                return None;
            }
            "install" => {
                if args.windows(2).any(sets_id)
                    || args.iter().any(|field| {
                        field.known().is_some_and(|text| {
                            text.strip_prefix("--mode=").or(text.strip_prefix("-m")).is_some_and(is_set_id)
                        })
                    })
                {
                    self.out.find(20, start.span, "sets a set-id bit");
                }
                return None;
            }
            "at" | "batch" => {
                if let Stdin::Text(value) | Stdin::Pipe(Output { value, .. }) = &start.stdin {
                    let text = Field { value: value.clone(), ..Field::constant("", start.span) };
                    self.may += 1;
                    self.shell_text(&text, start);
                    self.may -= 1;
                }
                return None;
            }
            "flock" => return self.flock(args, start),
            "getent" => {
                if args.iter().any(|field| field.known().is_none_or(|text| text.contains("shadow"))) {
                    self.out.find(17, start.span, "reads the password database");
                }
            }
            "date" => return self.date(args, start),
            "less" | "more" | "zless" => return self.pager(program, args, start),
            "shopt" => {
                const READING: &[&str] =
                    &["expand_aliases", "lastpipe", "extglob", "sourcepath", "interactive_comments", "xpg_echo"];
                let of_set = |text: &str| text.starts_with('-') && text.contains('o');
                let reads = |text: &str| READING.contains(&text) || text.starts_with("compat") || of_set(text);
                if args.iter().any(|field| field.known().is_none_or(reads)) {
                    self.out.find(7, start.span, "changes how the shell reads what follows");
                }
            }
            "aws" => self.aws(args, start),
            "gcloud" | "az" => return self.cloud_looks(args),
            "gh" => return self.gh_asks(args, start),
            "redis-cli" => return self.redis(args, start),
            "psql" | "mysql" | "mariadb" => return self.sql_client(program, args, start),
            "sqlite3" => return self.sqlite(args, start),
            "jq" | "gojq" | "jaq" => return self.jq(program, args, start),
            "git-lfs" | "hub" => return None,
            _ => return None,
        }
        Some(unknown())
    }

    /// `flock FILE -c TEXT`; everything else about it is that of a wrapper.
    fn flock(&mut self, args: &[Field], start: &Start) -> Option<Output> {
        let at = args.iter().position(|field| matches!(field.known(), Some("-c" | "--command")))?;
        let before = args.get(..at).unwrap_or(&[]);
        let file = before.iter().rev().find(|field| !field.value.prefix().starts_with('-'))?;
        // Behind the file and another word, `-c` is an option of the command that word names.
        if commands::options::parse(&commands::wrapper::find("flock")?.row, before).operands.len() != 1 {
            return None;
        }
        self.on_path(Action::Write, file, PathScope::Exact, "flock");
        let text = args.get(at + 1)?.clone();
        self.shell_text(&text, start);
        Some(unknown())
    }

    fn dd(&mut self, args: &[Field]) {
        for field in args {
            let text = field.value.prefix();
            let rest = |prefix: &str| -> Option<Field> {
                let value = text.strip_prefix(prefix)?;
                let value =
                    if field.known().is_some() { Value::Known(value.to_owned()) } else { Value::starting(value) };
                Some(Field { value, ..field.clone() })
            };
            if let Some(file) = rest("if=") {
                self.on_path(Action::Read, &file, PathScope::Exact, "dd");
            } else if let Some(file) = rest("of=") {
                self.on_path(Action::Write, &file, PathScope::Exact, "dd");
                if text.starts_with("of=/dev/") {
                    self.out.find(19, field.span, "overwrites a device");
                }
            } else if !text.contains('=') && !matches!(text, "--help" | "--version") {
                self.out.unexplained(field.span);
            }
        }
    }

    /// `kubectl get secret -o yaml`, `kubectl config view --raw`.
    fn shows_cluster_secrets(&self, args: &[Field]) -> bool {
        let says = |fits: fn(&str) -> bool| args.iter().any(|field| field.known().is_some_and(fits));
        let secret = |text: &str| {
            text.split(',').any(|kind| matches!(kind.split('/').next().unwrap_or(""), "secret" | "secrets"))
        };
        let shows = |text: &str| text.starts_with("-o") || text.starts_with("--output") || text.starts_with("--templ");
        (says(|text| text == "get") && says(secret) && says(shows))
            || (says(|text| text == "view") && says(|text| text == "--raw"))
    }

    /// `date` with an operand that is no format sets the clock.
    fn date(&mut self, args: &[Field], start: &Start) -> Option<Output> {
        let (family, row) = commands::find("date")?;
        let parsed = commands::options::parse(row, args);
        if parsed.operands.iter().any(|field| !field.value.prefix().starts_with('+')) {
            self.out.find(20, start.span, "sets the clock");
        }
        Some(self.apply(family, row, args, start).1)
    }

    /// `less +CMD` runs a command of the pager, which may be `!`.
    fn pager(&mut self, program: &str, args: &[Field], start: &Start) -> Option<Output> {
        let tame = |text: &str| {
            matches!(text, "+F" | "+G")
                || text.get(1..).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
        };
        if args.iter().any(|field| field.value.prefix().starts_with('+') && !field.known().is_some_and(tame)) {
            self.out.find(14, start.span, "a command of the pager runs at its start");
        }
        let (family, row) = commands::find(program)?;
        Some(self.apply(family, row, args, start).1)
    }

    /// `kill -9 -1`: behind a signal, `-1` is every process and `-N` a group.
    fn kill(&mut self, args: &[Field], start: &Start) -> Option<Output> {
        let signalled = args.get(1..).unwrap_or(&[]).iter().any(|field| field.known() == Some("-1"));
        if signalled {
            self.out.find(20, start.span, "signals every process");
        }
        let (family, row) = commands::find("kill")?;
        Some(self.apply(family, row, args, start).1)
    }

    /// `chmod`: a mode that sets an id bit, or opens a tree to everyone.
    fn chmod(&mut self, args: &[Field], start: &Start) -> Option<Output> {
        let mode = args.iter().find_map(|field| {
            field.known().filter(|text| !text.starts_with("--") && !matches!(*text, "-R" | "-v" | "-f" | "-c"))
        });
        if let Some(mode) = mode {
            let digits = !mode.is_empty() && mode.bytes().all(|byte| byte.is_ascii_digit());
            let set_id = if digits {
                mode.len() > 3 && !mode.starts_with(['0', '1'])
            } else {
                mode.contains('s') && mode.contains(['+', '='])
            };
            let open = (digits && mode.ends_with(['2', '3', '6', '7'])) || mode.contains("o+w") || mode.contains("a+w");
            if set_id {
                self.out.find(20, start.span, "sets a set-id bit");
            } else if open {
                self.out.find(20, start.span, "lets everyone write");
            }
        }
        let minus = args.first().and_then(Field::known).is_some_and(|text| {
            text.starts_with('-') && text.len() > 1 && text.chars().skip(1).all(|c| "rwxXst".contains(c))
        });
        if minus {
            for file in args.get(1..).unwrap_or(&[]) {
                self.on_path(Action::Attributes, file, PathScope::Exact, "chmod");
            }
            return Some(unknown());
        }
        let (family, row) = commands::find("chmod")?;
        Some(self.apply(family, row, args, start).1)
    }
}

/// `ps e`, `ps auxe`: letters without a dash, with that for environments.
fn shows_environments(args: &[Field]) -> bool {
    args.iter()
        .filter_map(Field::known)
        .any(|text| !text.starts_with('-') && text.contains('e') && text.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

/// A mode with a set-id bit, in digits or letters.
fn is_set_id(mode: &str) -> bool {
    let digits = !mode.is_empty() && mode.bytes().all(|byte| byte.is_ascii_digit());
    if digits { mode.len() > 3 && !mode.starts_with(['0', '1']) } else { mode.contains("+s") || mode.contains("=s") }
}

/// `-m 4755`
fn sets_id(two: &[Field]) -> bool {
    match two {
        [option, mode] => matches!(option.known(), Some("-m" | "--mode")) && mode.known().is_some_and(is_set_id),
        _ => false,
    }
}
