//! `git`: global options, settings, aliases, and what the rows of its subcommands cannot say.

use super::unknown;
use crate::commands;
use crate::eval::run::Start;
use crate::eval::value::{Field, Value};
use crate::eval::{Eval, Output};
use model::{Action, PathScope, Reversibility};

impl Eval<'_> {
    /// `git`: global options, then the subcommand's row.
    pub(super) fn git(&mut self, args: &[Field], start: &Start) -> Output {
        let saved = self.state.cwd.clone();
        let mut rest = args;
        let mut aliases: Vec<(String, Field)> = Vec::new();
        while let Some((first, tail)) = rest.split_first() {
            let Some(text) = first.known() else { break };
            match text {
                "--version" | "--help" | "-h" | "-v" | "--html-path" | "--man-path" | "--exec-path" => {
                    return unknown();
                }
                "-C" => {
                    if let Some(dir) = tail.first() {
                        self.change_directory(dir);
                    }
                    rest = tail.get(1..).unwrap_or(&[]);
                }
                "-c" | "--config-env" => {
                    if let Some(setting) = tail.first() {
                        match alias(setting) {
                            Some(alias) if text == "-c" => aliases.push(alias),
                            _ => self.git_setting(setting),
                        }
                    }
                    rest = tail.get(1..).unwrap_or(&[]);
                }
                "--git-dir" | "--work-tree" | "--namespace" | "--super-prefix" | "--attr-source" => {
                    rest = tail.get(1..).unwrap_or(&[])
                }
                "-p"
                | "--paginate"
                | "-P"
                | "--no-pager"
                | "--bare"
                | "--no-replace-objects"
                | "--literal-pathspecs"
                | "--glob-pathspecs"
                | "--noglob-pathspecs"
                | "--icase-pathspecs"
                | "--no-optional-locks"
                | "--no-lazy-fetch" => rest = tail,
                _ if text.starts_with("--git-dir=")
                    || text.starts_with("--work-tree=")
                    || text.starts_with("--namespace=") =>
                {
                    rest = tail
                }
                _ if text.starts_with("--exec-path=") || text.starts_with("--config-env=") => {
                    self.out.find(14, first.span, "an option of git changes what it runs");
                    rest = tail;
                }
                _ => break,
            }
        }
        let out = match self.git_alias(&aliases, rest, start) {
            Some(words) => self.git_command(&words, start),
            None => unknown(),
        };
        self.state.cwd = saved;
        out
    }

    /// The words behind `git` with an alias of this command line put in; `None` when it was shell text, which then has run.
    fn git_alias(&mut self, aliases: &[(String, Field)], args: &[Field], start: &Start) -> Option<Vec<Field>> {
        for (_, meaning) in aliases {
            self.git_alias_text(meaning, start);
        }
        let (first, rest) = args.split_first()?;
        // git's own commands cannot be aliased.
        let is_command = first.known().is_some_and(|name| commands::find(&format!("git {name}")).is_some());
        let found = aliases.iter().rev().find(|(name, _)| !is_command && first.known() == Some(name));
        let Some((_, meaning)) = found else { return Some(args.to_vec()) };
        let text = meaning.known().filter(|text| !text.starts_with('!'))?;
        let words = text.split_whitespace().map(|word| Field::constant(word, meaning.span));
        Some(words.chain(rest.iter().cloned()).collect())
    }

    /// `!CMD` as the meaning of an alias is shell text.
    pub(super) fn git_alias_text(&mut self, meaning: &Field, start: &Start) {
        match meaning.known() {
            Some(text) => {
                if let Some(shell) = text.strip_prefix('!') {
                    self.out.find_as(14, model::Risk::Medium, meaning.span, "an alias of git runs a shell command");
                    self.shell_text(&Field::constant(shell, meaning.span), start);
                }
            }
            None => self.out.find(14, meaning.span, "an alias of git that is not known"),
        }
    }

    fn git_command(&mut self, args: &[Field], start: &Start) -> Output {
        let Some((name, rest)) = args.split_first() else { return unknown() };
        let Some(text) = name.known().map(str::to_owned) else {
            self.out.find(11, name.span, "which subcommand runs depends on a value that is not known");
            return self.opaque_program("git", args, start);
        };
        self.git_extras(&text, rest, start);
        let Some((family, row)) = commands::find(&format!("git {text}")) else {
            return self.opaque_program("git", args, start);
        };
        let out = self.apply(family, row, rest, start).1;
        if prints_objects(&text, rest) { Output { value: Value::object_name(), ..out } } else { out }
    }

    /// What the options of a row cannot say: paths behind `--`, names that start with `+`, transports that run programs.
    fn git_extras(&mut self, name: &str, args: &[Field], start: &Start) {
        let dashes = args.iter().position(|field| field.known() == Some("--"));
        let has = |option: &str| args.iter().any(|field| field.known() == Some(option));
        match name {
            "checkout" => {
                let overwrites = dashes.is_some() || args.iter().any(|field| matches!(field.known(), Some("." | ":/")));
                if overwrites {
                    self.out.find(19, start.span, "overwrites changes that were not committed");
                }
            }
            "restore" if !has("--staged") && !has("-S") => {
                self.out.find(19, start.span, "overwrites changes that were not committed")
            }
            "push" => {
                for field in args
                    .iter()
                    .filter(|field| field.known().is_some_and(|text| text.starts_with('+') || text.starts_with(':')))
                {
                    self.out.find(19, field.span, "overwrites or deletes a branch of the remote repository");
                }
            }
            "read-tree" if has("--reset") || has("-u") => {
                self.out.find(19, start.span, "overwrites changes that were not committed")
            }
            "checkout-index" if has("-f") || has("--force") => {
                self.out.find(19, start.span, "overwrites changes that were not committed")
            }
            "submodule" if has("deinit") && (has("-f") || has("--force")) => {
                self.out.find(19, start.span, "deletes submodules with changes that were not committed")
            }
            "clean" if !args.iter().any(tries_only) => {
                self.out.find(19, start.span, "deletes files that git does not track")
            }
            "config" => self.git_config(args, start),
            "symbolic-ref" if args.iter().filter(|field| !field.value.prefix().starts_with('-')).count() > 1 => {
                self.thing(Action::Write, "the git repository", Reversibility::ByOverlay, start.span, "git");
            }
            "diff" | "blame" | "annotate" | "grep" | "log" | "show" if !has("--no-index") => self.git_paths(args),
            "diff" if has("--no-index") => {
                for field in args.iter().filter(|field| !field.value.prefix().starts_with('-')) {
                    self.on_path(Action::Read, field, PathScope::Tree, "git");
                }
            }
            "branch" | "tag" => {
                let lists = args.iter().all(|field| field.value.prefix().starts_with('-'))
                    || has("-l")
                    || has("--list")
                    || args.iter().any(|field| {
                        field.known().is_some_and(|text| {
                            text.starts_with("--contains")
                                || text.starts_with("--merged")
                                || text.starts_with("--no-merged")
                                || text.starts_with("--points-at")
                                || text.starts_with("--sort")
                        })
                    });
                if !lists {
                    self.thing(Action::Write, "the git repository", Reversibility::ByOverlay, start.span, "git");
                }
            }
            _ => {}
        }
        for field in args {
            if field.value.prefix().starts_with("ext::") || field.value.prefix().starts_with("-oProxyCommand") {
                self.out.find(14, field.span, "an address of git that runs a program");
                self.executes("git", start);
            }
        }
    }

    /// Operands that are files and no revisions: outside of the project, or of a name that holds secrets.
    fn git_paths(&mut self, args: &[Field]) {
        for field in args {
            let text = field.value.prefix();
            let outside = text.starts_with(['/', '~']) || text.starts_with("..");
            let file = text.rsplit(':').next().unwrap_or(text);
            if !text.starts_with('-') && (outside || crate::names::secret(file, &self.home).is_some()) {
                let file = Field { value: Value::starting(file).known_as(field), ..field.clone() };
                self.on_path(Action::Read, &file, PathScope::Tree, "git");
            }
        }
    }

    /// `git config NAME VALUE` writes; some names make git run programs later.
    fn git_config(&mut self, args: &[Field], start: &Start) {
        let words: Vec<&Field> = args.iter().filter(|field| !field.value.prefix().starts_with('-')).collect();
        let reads = args.iter().any(|field| {
            matches!(
                field.known(),
                Some("--get" | "--get-all" | "--get-regexp" | "--list" | "-l" | "--get-urlmatch" | "get" | "list")
            )
        });
        if reads || (words.len() < 2 && !args.iter().any(changes_setting)) {
            return;
        }
        self.thing(Action::Write, "the git configuration", Reversibility::ByOverlay, start.span, "git");
        for (option, file) in [("--global", ".gitconfig"), ("--system", "/etc/gitconfig")] {
            if args.iter().any(|field| field.known().is_none_or(|text| text == option)) {
                let path = self.home_path().join(file).encode();
                self.on_path(Action::Write, &Field::constant(&path, start.span), PathScope::Exact, "git config");
            }
        }
        if let Some(name) = words.first() {
            if name.known().is_some_and(|name| name.to_lowercase().starts_with("alias."))
                && let Some(meaning) = words.get(1)
            {
                let meaning = (*meaning).clone();
                self.git_alias_text(&meaning, start);
                if meaning.known().is_some_and(|text| !text.starts_with('!')) {
                    return;
                }
            }
            let value = words.get(1).map_or(Value::Unknown, |field| field.value.clone());
            self.git_setting_named(name.value.prefix(), &value, name);
        }
    }

    fn git_setting(&mut self, setting: &Field) {
        let text = setting.value.prefix().to_owned();
        let (name, value) = text.split_once('=').unwrap_or((&text, ""));
        self.git_setting_named(name, &Value::Known(value.to_owned()), setting);
    }

    pub(super) fn git_setting_named(&mut self, name: &str, value: &Value, at: &Field) {
        const HARMLESS: &[&str] = &[
            "color.",
            "user.name",
            "user.email",
            "advice.",
            "core.quotepath",
            "core.autocrlf",
            "init.defaultbranch",
            "pull.rebase",
            "push.default",
            "commit.gpgsign",
            "log.",
            "diff.renames",
            "diff.nop",
            "core.abbrev",
            "status.",
            "column.",
            "safe.directory",
            "merge.conflictstyle",
            "rebase.autosquash",
            "core.filemode",
            "core.safecrlf",
            "fetch.prune",
            "tag.gpgsign",
            "gc.auto",
        ];
        let lower = name.to_lowercase();
        let tame = value.known().is_some_and(|text| matches!(text, "cat" | "" | "true" | "false" | "less"));
        let harmless = HARMLESS.iter().any(|known| lower.starts_with(known)) || (lower == "core.pager" && tame);
        if !harmless {
            self.out.find(14, at.span, "a setting of git that can run a program or change what it trusts");
        }
    }
}

/// Whether a command prints names of objects and nothing else: `git merge-base`, and `git rev-parse` of revisions.
fn prints_objects(name: &str, args: &[Field]) -> bool {
    let plain = |text: &str| !text.starts_with('-');
    let fits = |text: &str| match name {
        "merge-base" => plain(text) || matches!(text, "-a" | "--all" | "--octopus" | "--fork-point"),
        "rev-parse" => plain(text) || matches!(text, "--verify" | "--short" | "-q" | "--quiet"),
        _ => false,
    };
    // Of what is no revision `git rev-parse` says the word itself.
    !args.is_empty() && args.iter().all(|field| field.known().is_some_and(fits))
}

/// `-n`, also among other letters of `git clean`; `-e` takes the rest of the word.
fn tries_only(field: &Field) -> bool {
    let letters = |text: &str| text.strip_prefix('-').map(|rest| rest.split('e').next().unwrap_or("").to_owned());
    field.known().is_some_and(|text| {
        text == "--dry-run" || (!text.starts_with("--") && letters(text).is_some_and(|letters| letters.contains('n')))
    })
}

/// Whether a word makes `git config` write with less than a name and a value; what is not known may be such a word.
fn changes_setting(field: &Field) -> bool {
    const WRITES: [&str; 8] = ["--unset", "--remove-s", "--rename-s", "--add", "--edit", "-e", "unset", "edit"];
    let writes =
        |text: &str| WRITES.iter().any(|start| text.starts_with(start) || (text.len() > 3 && start.starts_with(text)));
    field.known().is_none_or(writes)
}

/// `alias.NAME=MEANING`
fn alias(setting: &Field) -> Option<(String, Field)> {
    let (name, meaning) = setting.value.prefix().split_once('=')?;
    let name = name.to_lowercase().strip_prefix("alias.")?.to_owned();
    Some((name, Field { value: Value::starting(meaning).known_as(setting), ..setting.clone() }))
}
