//! Programs whose arguments are a small language of their own: find, sed, dd, tar, git, curl and a few more.

use super::run::Start;
use super::value::{Field, Value};
use super::{Eval, Output};
use crate::commands;
use model::{Action, PathScope, Reversibility, Target};

fn unknown() -> Output {
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
            "tar" | "bsdtar" => return self.tar(args, start),
            "curl" | "wget" => return self.download(program, args, start),
            "gzip" | "gunzip" | "xz" | "unxz" | "bzip2" | "bunzip2" | "zstd" => {
                return self.compress(program, args, start);
            }
            "ssh" => return Some(self.ssh(args, start)),
            "fd" | "fdfind" => return self.fd(args, start),
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
            "getent" => {
                if args.iter().any(|field| field.known().is_none_or(|text| text.contains("shadow"))) {
                    self.out.find(17, start.span, "reads the password database");
                }
            }
            "date" => return self.date(args, start),
            "less" | "more" | "zless" => return self.pager(program, args, start),
            "shopt" => {
                const READING: &[&str] =
                    &["expand_aliases", "lastpipe", "extglob", "sourcepath", "interactive_comments"];
                if args.iter().any(|field| field.known().is_none_or(|text| READING.contains(&text))) {
                    self.out.find(7, start.span, "changes how the shell reads what follows");
                }
            }
            "aws" => self.aws(args, start),
            "redis-cli" => {
                self.destructive_words(program, args, &["flushdb", "flushall", "shutdown", "del", "config"], start)
            }
            "git-lfs" | "hub" => return None,
            _ => return None,
        }
        Some(unknown())
    }

    /// `find`: start points, then an expression whose actions write, delete or run.
    fn find(&mut self, args: &[Field], start: &Start) {
        let is_expression = |field: &Field| {
            field.value.prefix().starts_with(['-', '(', ')', '!', ','])
                && !matches!(field.known(), Some("-H" | "-L" | "-P"))
        };
        let split = args.iter().position(is_expression).unwrap_or(args.len());
        let (points, mut rest) = (args.get(..split).unwrap_or(&[]), args.get(split..).unwrap_or(&[]));
        let mut points: Vec<Field> =
            points.iter().filter(|field| !field.value.prefix().starts_with('-')).cloned().collect();
        if points.is_empty() {
            points.push(Field::constant(".", start.span));
        }
        for point in &points {
            self.list_below(point);
        }
        while let Some((first, tail)) = rest.split_first() {
            rest = self.find_primary(first, tail, &points, start);
        }
    }

    /// Names below a directory; no content is read, so no check of secrets.
    fn list_below(&mut self, point: &Field) {
        let findings = self.out.findings.clone();
        self.on_path(Action::Read, point, PathScope::Tree, "find");
        self.out.findings = findings;
    }

    fn find_primary<'f>(&mut self, first: &Field, tail: &'f [Field], points: &[Field], start: &Start) -> &'f [Field] {
        const TESTS: &[&str] = &[
            "-name",
            "-iname",
            "-path",
            "-ipath",
            "-wholename",
            "-regex",
            "-iregex",
            "-type",
            "-xtype",
            "-size",
            "-mtime",
            "-mmin",
            "-atime",
            "-amin",
            "-ctime",
            "-cmin",
            "-maxdepth",
            "-mindepth",
            "-perm",
            "-user",
            "-group",
            "-uid",
            "-gid",
            "-links",
            "-inum",
            "-lname",
            "-ilname",
            "-fstype",
            "-printf",
            "-regextype",
            "-used",
            "-context",
        ];
        const FILES: &[&str] = &["-newer", "-anewer", "-cnewer", "-samefile"];
        const FLAGS: &[&str] = &[
            "-print",
            "-print0",
            "-ls",
            "-empty",
            "-prune",
            "-quit",
            "-depth",
            "-d",
            "-mount",
            "-xdev",
            "-follow",
            "-readable",
            "-writable",
            "-executable",
            "-true",
            "-false",
            "-o",
            "-or",
            "-a",
            "-and",
            "-not",
            "!",
            "(",
            ")",
            ",",
            "-daystart",
            "-noleaf",
            "-nouser",
            "-nogroup",
            "-ignore_readdir_race",
            "-help",
            "--help",
            "-version",
            "--version",
            "-warn",
            "-nowarn",
            "-E",
            "-s",
            "-x",
        ];
        match first.known() {
            Some(word) if TESTS.contains(&word) => tail.get(1..).unwrap_or(&[]),
            Some(word) if FILES.contains(&word) || word.starts_with("-newer") => tail.get(1..).unwrap_or(&[]),
            Some(word) if FLAGS.contains(&word) => tail,
            Some("-delete") => {
                for point in points {
                    self.found_deleted(point);
                }
                tail
            }
            Some("-exec" | "-execdir" | "-ok" | "-okdir") => self.find_exec(tail, points, start),
            Some("-fprint" | "-fprint0" | "-fls") => {
                if let Some(file) = tail.first() {
                    self.on_path(Action::Write, file, PathScope::Exact, "find");
                }
                tail.get(1..).unwrap_or(&[])
            }
            Some("-fprintf") => {
                if let Some(file) = tail.first() {
                    self.on_path(Action::Write, file, PathScope::Exact, "find");
                }
                tail.get(2..).unwrap_or(&[])
            }
            Some("-files0-from") => {
                if let Some(file) = tail.first() {
                    self.on_path(Action::Read, file, PathScope::Exact, "find");
                    self.out.unexplained(file.span);
                }
                tail.get(1..).unwrap_or(&[])
            }
            _ => {
                self.out.unexplained(first.span);
                tail
            }
        }
    }

    fn found_deleted(&mut self, point: &Field) {
        self.may += 1;
        self.on_path(Action::Delete, point, PathScope::Tree, "find");
        self.may -= 1;
    }

    /// `-exec CMD ... ;` or `+`: `{}` stands for names below the start points.
    fn find_exec<'f>(&mut self, tail: &'f [Field], points: &[Field], start: &Start) -> &'f [Field] {
        let end = tail.iter().position(|field| matches!(field.known(), Some(";" | "+"))).unwrap_or(tail.len());
        let mut argv: Vec<Field> = Vec::new();
        for field in tail.get(..end).unwrap_or(&[]) {
            match field.known() {
                Some("{}") => argv.extend(points.iter().map(|point| below(point, field))),
                Some(text) if text.contains("{}") => argv.push(Field { value: Value::Unknown, ..field.clone() }),
                _ => argv.push(field.clone()),
            }
        }
        self.may += 1;
        self.run(&argv, Start { unwrapped: start.unwrapped + 1, past_functions: true, ..start.clone() });
        self.may -= 1;
        tail.get(end + 1..).unwrap_or(&[])
    }

    /// `sed`: options, then a script that may write (`w`), run (`e`) or edit in place.
    fn sed(&mut self, args: &[Field], start: &Start) {
        let mut rest = args.iter();
        let mut scripts: Vec<Field> = Vec::new();
        let mut files: Vec<&Field> = Vec::new();
        let mut in_place = false;
        while let Some(field) = rest.next() {
            match field.known() {
                Some("--version" | "--help") => return,
                Some("-e" | "--expression") => scripts.extend(rest.next().cloned()),
                Some("-f" | "--file") => {
                    if let Some(file) = rest.next() {
                        self.out.find(13, file.span, "sed runs a script from a file");
                        self.run_file(&file.clone(), "sed", start);
                        scripts.push(Field::constant("", file.span));
                    }
                }
                Some("-l" | "--line-length") => {
                    rest.next();
                }
                Some(text) if text.starts_with("--expression=") => {
                    scripts.push(Field::constant(text.get(13..).unwrap_or(""), field.span))
                }
                Some(text) if text.starts_with("--in-place") || text.starts_with("-i") => in_place = true,
                Some(
                    "-n" | "-E" | "-r" | "-s" | "-u" | "-z" | "--quiet" | "--silent" | "--regexp-extended"
                    | "--separate" | "--unbuffered" | "--null-data" | "--debug" | "--posix" | "--sandbox"
                    | "--follow-symlinks" | "-b",
                ) => {}
                Some(text) if sed_cluster(text) => {
                    in_place |= text.contains('i');
                    if text.ends_with('e') {
                        scripts.extend(rest.next().cloned());
                    }
                }
                Some(text) if text.starts_with('-') && text.len() > 1 => self.out.unexplained(field.span),
                _ => files.push(field),
            }
        }
        if scripts.is_empty() && !files.is_empty() {
            scripts.push(files.remove(0).clone());
        }
        for script in &scripts {
            self.sed_script(script, start);
        }
        for file in files {
            if in_place {
                self.on_path(Action::Write, file, PathScope::Exact, "sed");
            } else {
                self.on_path(Action::Read, file, PathScope::Exact, "sed");
            }
        }
    }

    fn sed_script(&mut self, script: &Field, start: &Start) {
        match script.known().map(crate::sed::read) {
            Some(Some(facts)) => {
                for file in facts.writes {
                    self.on_path(Action::Write, &Field::constant(&file, script.span), PathScope::Exact, "sed");
                }
                for file in facts.reads {
                    self.on_path(Action::Read, &Field::constant(&file, script.span), PathScope::Exact, "sed");
                }
                if facts.executes {
                    self.out.find(14, script.span, "the sed script runs a command");
                    self.opaque_code(script.span, "sed", start);
                }
            }
            _ => self.opaque_code(script.span, "sed", start),
        }
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

    /// `git`: global options, then the subcommand's row.
    fn git(&mut self, args: &[Field], start: &Start) -> Output {
        let saved = self.state.cwd.clone();
        let mut rest = args;
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
                        self.git_setting(setting);
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
        let out = self.git_command(rest, start);
        self.state.cwd = saved;
        out
    }

    fn git_command(&mut self, args: &[Field], start: &Start) -> Output {
        let Some((name, rest)) = args.split_first() else { return unknown() };
        let Some(text) = name.known().map(str::to_owned) else {
            self.out.find(11, name.span, "which subcommand runs depends on a value that is not known");
            return self.opaque_program("git", args, start);
        };
        let Some((family, row)) = commands::find(&format!("git {text}")) else {
            return self.opaque_program("git", args, start);
        };
        self.git_extras(&text, rest, start);
        self.apply(family, row, rest, start).1
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
            "clean" if !has("-n") && !has("--dry-run") => {
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
        if reads
            || (words.len() < 2
                && !args.iter().any(|field| field.known().is_some_and(|text| text.starts_with("--unset"))))
        {
            return;
        }
        self.thing(Action::Write, "the git configuration", Reversibility::ByOverlay, start.span, "git");
        if let Some(name) = words.first() {
            let value = words.get(1).map_or(Value::Unknown, |field| field.value.clone());
            self.git_setting_named(name.value.prefix(), &value, name);
        }
    }

    fn git_setting(&mut self, setting: &Field) {
        let text = setting.value.prefix().to_owned();
        let (name, value) = text.split_once('=').unwrap_or((&text, ""));
        self.git_setting_named(name, &Value::Known(value.to_owned()), setting);
    }

    fn git_setting_named(&mut self, name: &str, value: &Value, at: &Field) {
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

    /// Old-style `tar czf`, and what the verbs mean for files.
    fn tar(&mut self, args: &[Field], start: &Start) -> Option<Output> {
        let (_, row) = commands::find("tar")?;
        let mut args = args.to_vec();
        let bundled = args
            .first()
            .and_then(Field::known)
            .filter(|text| !text.starts_with('-') && text.chars().all(char::is_alphabetic))
            .map(str::to_owned);
        if let (Some(letters), Some(first)) = (bundled, args.first_mut()) {
            first.value = Value::Known(format!("-{letters}"));
        }
        let parsed = commands::options::parse(row, &args);
        let extracts = parsed.hits.iter().any(|hit| hit.is("-x"));
        let packs = parsed.hits.iter().any(|hit| hit.is("-c") || hit.is("-r") || hit.is("-u"));
        let archive: Vec<Field> =
            parsed.hits.iter().filter(|hit| hit.is("-f")).filter_map(|hit| hit.value.clone()).collect();
        for file in &archive {
            match file.known() {
                Some("-") => {}
                Some(text) if text.contains(':') => self.peer(file, "tar"),
                _ if packs => self.on_path(Action::Write, file, PathScope::Exact, "tar"),
                _ => self.on_path(Action::Read, file, PathScope::Exact, "tar"),
            }
        }
        let saved = self.state.cwd.clone();
        for hit in parsed.hits.iter().filter(|hit| hit.is("-C")) {
            if let Some(dir) = &hit.value {
                self.change_directory(dir);
                if extracts {
                    self.on_path(
                        Action::Write,
                        &Field { value: Value::Known(".".into()), ..dir.clone() },
                        PathScope::Tree,
                        "tar",
                    );
                }
            }
        }
        let mut checked = args.clone();
        if extracts {
            // Member names are no files of ours.
            checked.retain(|field| {
                field.value.prefix().starts_with('-')
                    || archive.iter().any(|file| file.value == field.value)
                    || parsed.hits.iter().any(|hit| hit.value.as_ref().is_some_and(|value| value.value == field.value))
            });
        }
        let lists = parsed.hits.iter().any(|hit| hit.is("-t"));
        if lists && !extracts && !packs {
            checked.retain(|field| {
                !parsed.operands.iter().any(|operand| operand.span == field.span && operand.value == field.value)
            });
        }
        self.apply("files", row, &checked, start);
        self.state.cwd = saved;
        Some(unknown())
    }

    /// `curl` and `wget`: the row, then what is remembered: downloaded files, data that leaves.
    fn download(&mut self, program: &str, args: &[Field], start: &Start) -> Option<Output> {
        let (family, row) = commands::find(program)?;
        let parsed = commands::options::parse(row, args);
        for hit in &parsed.hits {
            let Some(value) = &hit.value else { continue };
            let saves = hit.is("-o") || hit.is("-O") || hit.is("--output-document");
            if let Some(name) = value.known().filter(|_| saves) {
                let paths: Vec<_> = self.resolve(name).into_iter().map(|(path, _)| path).collect();
                self.state.downloaded.extend(paths);
            }
            if ["-d", "--data-binary", "--data-urlencode", "-F", "--json"].iter().any(|name| hit.is(name)) {
                self.uploaded(value, program);
            }
        }
        let named_by_url = parsed.hits.iter().any(|hit| program == "curl" && hit.is("-O")) || program == "wget";
        if named_by_url {
            for url in &parsed.operands {
                let name = url.value.prefix().rsplit('/').next().unwrap_or("").to_owned();
                let paths: Vec<_> = self.resolve(&name).into_iter().map(|(path, _)| path).collect();
                self.state.downloaded.extend(paths);
            }
        }
        let out = self.apply(family, row, args, start).1;
        Some(Output { value: out.value, fetched: true })
    }

    /// `-d @file` sends a file.
    fn uploaded(&mut self, value: &Field, program: &str) {
        let text = value.value.prefix().to_owned();
        let file = text.split_once('@').map(|(_, file)| file.split(';').next().unwrap_or(file).to_owned());
        if let Some(file) = file.filter(|file| !file.is_empty() && file != "-") {
            let known = value.known().is_some();
            let field =
                Field { value: if known { Value::Known(file) } else { Value::starting(&file) }, ..value.clone() };
            self.on_path(Action::Read, &field, PathScope::Exact, program);
        }
    }

    /// Compressors replace the file unless they write to standard output or only look.
    fn compress(&mut self, program: &str, args: &[Field], start: &Start) -> Option<Output> {
        let (family, row) = commands::find(program)?;
        let parsed = commands::options::parse(row, args);
        let only_reads = parsed.hits.iter().any(|hit| hit.is("-c") || hit.is("-l") || hit.is("-t"));
        if only_reads && parsed.unknown.is_empty() {
            for file in &parsed.operands {
                self.on_path(Action::Read, file, PathScope::Exact, program);
            }
            return Some(unknown());
        }
        Some(self.apply(family, row, args, start).1)
    }

    /// `ssh HOST CMD`: everything behind the host runs over there.
    fn ssh(&mut self, args: &[Field], start: &Start) -> Output {
        let Some((family, row)) = commands::find("ssh") else { return unknown() };
        let out = self.apply(family, row, args, start).1;
        let parsed = commands::options::parse(row, args);
        for field in parsed.hits.iter().filter(|hit| hit.is("-o")).filter_map(|hit| hit.value.as_ref()) {
            let name = field.value.prefix().split(['=', ' ']).next().unwrap_or("").to_lowercase();
            if matches!(name.as_str(), "proxycommand" | "localcommand" | "knownhostscommand" | "permitlocalcommand") {
                self.executes("ssh", start);
            }
        }
        out
    }

    /// `fd -x CMD` runs a command for each name.
    fn fd(&mut self, args: &[Field], start: &Start) -> Option<Output> {
        let at =
            args.iter().position(|field| matches!(field.known(), Some("-x" | "--exec" | "-X" | "--exec-batch")))?;
        let (before, after) = (args.get(..at).unwrap_or(&[]), args.get(at + 1..).unwrap_or(&[]));
        let (family, row) = commands::find("fd")?;
        self.apply(family, row, before, start);
        let mut argv: Vec<Field> = after.iter().filter(|field| field.known() != Some(";")).cloned().collect();
        let here = Field::constant(".", start.span);
        let mut placed = false;
        for field in &mut argv {
            if field.known().is_some_and(|text| text.contains("{")) {
                *field = below(&here, field);
                placed = true;
            }
        }
        if !placed {
            argv.push(below(&here, &here));
        }
        self.may += 1;
        self.run(&argv, Start { unwrapped: start.unwrapped + 1, past_functions: true, ..start.clone() });
        self.may -= 1;
        Some(unknown())
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

    /// `rsync` and `scp`: sources are read, only the last is written.
    fn copy_remote(&mut self, program: &str, args: &[Field], start: &Start) -> Option<Output> {
        let (family, row) = commands::find(program)?;
        let parsed = commands::options::parse(row, args);
        for source in parsed.operands.iter().rev().skip(1).filter(|field| !field.value.prefix().contains(':')) {
            self.on_path(Action::Read, source, PathScope::Tree, program);
        }
        let sources: Vec<_> = parsed.operands.iter().rev().skip(1).map(|field| field.span).collect();
        let kept: Vec<Field> = args
            .iter()
            .filter(|field| field.value.prefix().contains(':') || !sources.contains(&field.span))
            .cloned()
            .collect();
        if parsed.hits.iter().any(|hit| hit.is("-n"))
            && parsed.operands.iter().all(|field| !field.value.prefix().contains(':'))
        {
            return Some(unknown());
        }
        self.apply(family, row, &kept, start);
        Some(unknown())
    }

    /// `aws SERVICE VERB`: verbs that only look are told apart from the rest.
    fn aws(&mut self, args: &[Field], start: &Start) {
        let words: Vec<&str> = args.iter().filter_map(Field::known).filter(|text| !text.starts_with('-')).collect();
        let verb = words.get(1).copied().unwrap_or("");
        let looks = ["describe", "list", "get", "ls", "help", "head", "wait", "lookup", "search"]
            .iter()
            .any(|start| verb.starts_with(start));
        let version = args.iter().any(|field| matches!(field.known(), Some("--version" | "help")));
        for field in args {
            if let Some((_, file)) =
                field.value.prefix().split_once("file://").or_else(|| field.value.prefix().split_once("fileb://"))
            {
                let file = Field { value: Value::starting(file).known_as(field), ..field.clone() };
                self.on_path(Action::Read, &file, PathScope::Exact, "aws");
            }
        }
        let secret = words.iter().any(|word| {
            word.contains("secret")
                || word.contains("password")
                || word.contains("session-token")
                || word.contains("get-login")
        });
        if secret {
            self.out.find(17, start.span, "asks the cloud for secrets");
        }
        if looks || version {
            return;
        }
        self.thing(Action::Write, "the cloud", Reversibility::Never, start.span, "aws");
        let destroys = ["rm", "delete", "terminate", "rb", "remove", "purge", "destroy", "deregister", "cancel"]
            .iter()
            .any(|word| verb.starts_with(word));
        if destroys || args.iter().any(|field| field.known() == Some("--delete")) {
            self.out.find(19, start.span, "destroys something in the cloud");
        }
    }

    fn destructive_words(&mut self, program: &str, args: &[Field], words: &[&str], start: &Start) {
        self.thing(Action::Write, "a database", Reversibility::Never, start.span, program);
        self.effect(
            Action::Execute,
            Target::Program { name: program.to_owned() },
            Reversibility::Harmless,
            start.span,
            program,
        );
        if args.iter().any(|field| field.known().is_none_or(|text| words.contains(&text.to_lowercase().as_str()))) {
            self.out.find(19, start.span, "destroys data of a database");
        }
    }
}

/// A name somewhere below `point`, as the word `at` will hold it.
fn below(point: &Field, at: &Field) -> Field {
    let value = match point.known() {
        // A start point may be a file: then it is found itself.
        Some(text) => Value::any_of(vec![format!("{}/*", text.trim_end_matches('/')), text.to_owned()]),
        None => point.value.clone(),
    };
    Field { value, glob: true, many: false, quoted: true, fetched: false, span: at.span }
}

fn sed_cluster(text: &str) -> bool {
    text.len() > 2
        && text.starts_with('-')
        && !text.starts_with("--")
        && text.chars().skip(1).all(|c| "nErsuzie".contains(c))
}
