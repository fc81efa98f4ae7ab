//! Names that matter wherever they stand: secrets, protected files, directories a build can make again.

use crate::glob::overlaps;
use std::collections::HashMap;
use std::sync::LazyLock;

const WILD: [char; 3] = ['*', '?', '['];

/// How a pattern of a name table is anchored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Anchor {
    /// From the root.
    Root,
    /// Below the user's home, or any directory that looks like one.
    Home,
    /// At any depth.
    Anywhere,
}

/// A named class of paths: slash-separated components with `*` and `?`; a last `**` takes in all below.
#[derive(Debug)]
struct Name {
    rule: &'static str,
    anchor: Anchor,
    pattern: &'static str,
}

const fn root(rule: &'static str, pattern: &'static str) -> Name {
    Name { rule, anchor: Anchor::Root, pattern }
}

const fn home(rule: &'static str, pattern: &'static str) -> Name {
    Name { rule, anchor: Anchor::Home, pattern }
}

const fn any(rule: &'static str, pattern: &'static str) -> Name {
    Name { rule, anchor: Anchor::Anywhere, pattern }
}

/// Files that hold keys, tokens, passwords or private history.
static SECRETS: LazyLock<Table> = LazyLock::new(|| Table::new(SECRET_NAMES));
static SECRET_NAMES: &[Name] = &[
    any("ssh-key", ".ssh/**"),
    any("ssh-key", "id_rsa"),
    any("ssh-key", "id_dsa"),
    any("ssh-key", "id_ecdsa"),
    any("ssh-key", "id_ed25519"),
    any("private-key", "*.pem"),
    any("private-key", "*.p12"),
    any("private-key", "*.pfx"),
    any("private-key", "*.key"),
    any("keystore", "*.jks"),
    any("keystore", "*.keystore"),
    any("keystore", "*.kdbx"),
    any("aws", ".aws/**"),
    any("gnupg", ".gnupg/**"),
    any("kubernetes", ".kube/**"),
    any("docker", ".docker/config.json"),
    any("azure", ".azure/**"),
    any("netrc", ".netrc"),
    any("netrc", "_netrc"),
    any("npm", ".npmrc"),
    any("pypi", ".pypirc"),
    any("git-credentials", ".git-credentials"),
    any("git-credentials", ".config/git/credentials"),
    any("gcloud", ".config/gcloud/**"),
    any("github-cli", ".config/gh/**"),
    any("cargo", ".cargo/credentials*"),
    any("gem", ".gem/credentials"),
    any("terraform", ".terraform.d/credentials*"),
    any("terraform", "*.tfvars"),
    any("vault", ".vault-token"),
    any("postgres", ".pgpass"),
    any("mysql", ".my.cnf"),
    any("password-store", ".password-store/**"),
    any("keyring", ".local/share/keyrings/**"),
    any("browser", ".mozilla/**"),
    any("browser", ".config/google-chrome/**"),
    any("browser", ".config/chromium/**"),
    any("1password", ".config/op/**"),
    any("agent-credentials", ".claude/.credentials.json"),
    any("agent-credentials", ".codex/auth.json"),
    any("agent-credentials", ".gemini/oauth_creds.json"),
    any("shell-history", ".*_history"),
    any("env-file", ".env"),
    any("env-file", ".env.*"),
    any("env-file", ".envrc"),
    any("secrets-file", "secrets.*"),
    any("secrets-file", "secrets"),
    any("secrets-file", "credentials.json"),
    any("secrets-file", "service-account*.json"),
    any("htpasswd", ".htpasswd"),
    root("shadow", "/etc/shadow*"),
    root("shadow", "/etc/gshadow*"),
    root("sudoers", "/etc/sudoers*/**"),
    root("host-key", "/etc/ssh/ssh_host_*"),
    root("tls-key", "/etc/ssl/private/**"),
    root("process-environment", "/proc/*/environ"),
    root("process-memory", "/proc/*/mem"),
    root("process-memory", "/proc/*/maps"),
    root("process-memory", "/proc/kcore"),
    root("process-memory", "/dev/mem"),
    root("process-descriptors", "/proc/*/fd/**"),
    root("run-secrets", "/run/secrets/**"),
    root("run-secrets", "/var/run/secrets/**"),
];

/// Names inside a secret class that are public by design.
static PUBLIC: &[&str] = &[
    "*.pub",
    "known_hosts",
    "known_hosts.old",
    ".env.example",
    ".env.sample",
    ".env.template",
    ".env.dist",
    ".env.test",
    "cacert.pem",
    "ca-certificates.crt",
    "fullchain.pem",
    "cert.pem",
];

/// Files that decide what runs later, or that the system depends on.
static PROTECTED: LazyLock<Table> = LazyLock::new(|| Table::new(PROTECTED_NAMES));
static PROTECTED_NAMES: &[Name] = &[
    any("git-hooks", ".git/hooks/**"),
    any("git-config", ".git/config"),
    any("git-config", ".git/info/attributes"),
    any("git-modules", ".git/modules/**"),
    any("git-directory", ".git"),
    any("git-config", ".gitconfig"),
    any("git-config", ".config/git/**"),
    any("git-modules", ".gitmodules"),
    any("husky", ".husky/**"),
    any("shell-startup", ".bashrc"),
    any("shell-startup", ".bash_profile"),
    any("shell-startup", ".bash_login"),
    any("shell-startup", ".bash_logout"),
    any("shell-startup", ".bash_aliases"),
    any("shell-startup", ".bashrc.d/**"),
    any("shell-startup", ".profile"),
    any("shell-startup", ".zshrc"),
    any("shell-startup", ".zshenv"),
    any("shell-startup", ".zprofile"),
    any("shell-startup", ".zlogin"),
    any("shell-startup", ".inputrc"),
    any("shell-startup", ".config/fish/**"),
    any("shell-startup", ".pam_environment"),
    any("desktop-startup", ".xinitrc"),
    any("desktop-startup", ".xprofile"),
    any("desktop-startup", ".config/autostart/**"),
    any("desktop-startup", ".config/systemd/**"),
    any("direnv", ".envrc"),
    any("ssh", ".ssh/**"),
    any("editor", ".vscode/**"),
    any("editor", ".idea/**"),
    any("editor", ".vimrc"),
    any("editor", ".config/nvim/**"),
    any("editor", ".vim/**"),
    any("editor", ".emacs*/**"),
    any("devcontainer", ".devcontainer/**"),
    any("ci", ".github/workflows/**"),
    any("ci", ".gitlab-ci.yml"),
    any("ci", ".circleci/**"),
    any("agent", ".mcp.json"),
    any("agent", ".claude/**"),
    any("agent", ".claude.json"),
    any("agent", "claude.md"),
    any("agent", "agents.md"),
    any("agent", "gemini.md"),
    any("agent", ".codex/**"),
    any("agent", ".cursor/**"),
    any("agent", ".cursorrules"),
    any("agent", ".gemini/**"),
    any("agent", ".aider*"),
    any("belljar", ".belljar/**"),
    any("belljar", ".config/belljar/**"),
    any("belljar", ".local/state/belljar/**"),
    any("package-config", ".npmrc"),
    any("package-config", ".yarnrc*"),
    any("package-config", ".pnpmfile.cjs"),
    any("package-config", ".pypirc"),
    any("package-config", ".config/pip/**"),
    any("package-config", "pip.conf"),
    any("cargo-config", ".cargo/config*"),
    any("python-startup", "sitecustomize.py"),
    any("python-startup", "usercustomize.py"),
    any("crontab", "crontab"),
    home("program-path", ".local/bin/**"),
    home("program-path", "bin/**"),
    home("program-path", ".cargo/bin/**"),
    root("system", "/etc/**"),
    root("system", "/usr/**"),
    root("system", "/bin/**"),
    root("system", "/sbin/**"),
    root("system", "/lib*/**"),
    root("system", "/boot/**"),
    root("system", "/opt/**"),
    root("system", "/var/spool/**"),
    root("system", "/var/lib/**"),
    root("system", "/var/log/**"),
    root("system", "/var/run/**"),
    root("system", "/run/**"),
    root("system", "/root/**"),
    root("system", "/"),
    root("device", "/dev/**"),
    root("kernel", "/proc/**"),
    root("kernel", "/sys/**"),
];

/// Devices that take anything and keep nothing.
static SINKS: &[&str] = &[
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/stdout",
    "/dev/stderr",
    "/dev/stdin",
    "/dev/tty",
    "/dev/random",
    "/dev/urandom",
];

/// Directories that a build or an install makes again.
static REGENERABLE: &[&str] = &[
    "node_modules",
    "target",
    "build",
    "dist",
    "out",
    "coverage",
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".tox",
    ".nox",
    ".venv",
    "venv",
    ".next",
    ".nuxt",
    ".turbo",
    ".parcel-cache",
    ".cache",
    ".gradle",
    ".eggs",
    "*.egg-info",
    "cmake-build-*",
    ".nyc_output",
    "htmlcov",
    "tmp",
    "temp",
    ".terraform",
    ".angular",
    ".svelte-kit",
    "bazel-*",
    "obj",
    "*.dSYM",
    ".output",
    "_build",
    ".dart_tool",
    "logs",
];

/// Files that builds, editors and systems leave behind, and lock files, which an install makes again.
static LITTER: &[&str] = &[
    "*.o",
    "*.obj",
    "*.lo",
    "*.gcda",
    "*.gcno",
    "*.pyc",
    "*.pyo",
    "*.class",
    "*.tsbuildinfo",
    "*.bak",
    "*.orig",
    "*.rej",
    "*.swp",
    "*.swo",
    "*.tmp",
    "*.temp",
    "*.log",
    "*~",
    ".ds_store",
    "thumbs.db",
    ".coverage",
    ".eslintcache",
    "*.snap.new",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "cargo.lock",
    "poetry.lock",
    "uv.lock",
    "pipfile.lock",
    "composer.lock",
    "gemfile.lock",
];

/// Directories whose children are nobody's only copy.
static SCRATCH: &[&str] = &["/tmp", "/var/tmp", "/dev/shm"];

/// The class of secret that `path` (absolute or not, perhaps with globs) is or may match.
pub(crate) fn secret(path: &str, home_dir: &str) -> Option<&'static str> {
    let last = path.rsplit('/').next().unwrap_or(path);
    if !last.contains(['*', '?', '[']) && PUBLIC.iter().any(|public| overlaps(public, last)) {
        return None;
    }
    find(&SECRETS, path, home_dir)
}

/// The class of secret that lies somewhere below `path`: what a recursive read of it would meet.
pub(crate) fn secret_below(path: &str, home_dir: &str) -> Option<&'static str> {
    if let Some(rule) = secret(&format!("{}/x", path.trim_end_matches('/')), home_dir) {
        return Some(rule);
    }
    let others = path.strip_prefix("/home/").is_some_and(|name| !name.is_empty() && !name.contains('/'));
    let holds_homes = matches!(path, "/" | "/home" | "/root" | "/etc" | "/proc") || path == home_dir || others;
    holds_homes.then_some("all that is below")
}

/// The class of protected name that `path` is or may match. Letter case is ignored: some file systems do.
pub(crate) fn protected(path: &str, home_dir: &str) -> Option<&'static str> {
    if is_sink(path) {
        return None;
    }
    if let Some(rest) = path.strip_prefix(home_dir).filter(|rest| rest.starts_with('/')) {
        return find(&PROTECTED, &format!("/home/user{rest}"), "/home/user");
    }
    find(&PROTECTED, path, home_dir)
}

/// Ends of the names of variables that hold secrets.
static SECRET_VARIABLES: &[&str] = &[
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "API_KEY",
    "APIKEY",
    "ACCESS_KEY",
    "PRIVATE_KEY",
    "SECRET_KEY",
    "CREDENTIALS",
    "_PAT",
];

/// Whether a variable of this name holds a secret, as far as names tell.
pub(crate) fn is_secret_variable(name: &str) -> bool {
    let upper = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    upper && SECRET_VARIABLES.iter().any(|end| name.ends_with(end))
}

/// Whether writing to `path` is without effect.
pub(crate) fn is_sink(path: &str) -> bool {
    SINKS.contains(&path) || path.starts_with("/dev/fd/") || path.starts_with("/dev/pts/")
}

/// Whether all that the pattern `name` can match is left behind by a build, an editor or an install: each of its stars
/// stands for less than the row's, so the pattern itself fits the row as if it were a name.
pub(crate) fn is_litter(name: &str) -> bool {
    let plain = name.to_lowercase().replace(['*', '?', '[', ']'], "x");
    !plain.contains('/') && LITTER.iter().chain(REGENERABLE).any(|row| literal_match(row, &plain))
}

/// Whether losing the directory `path` loses nothing that cannot be made again.
pub(crate) fn is_regenerable(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let in_scratch = SCRATCH.iter().any(|scratch| path.strip_prefix(scratch).is_some_and(|rest| rest.len() > 1));
    let is_litter = parts.len() > 1 && parts.last().is_some_and(|last| is_litter(last));
    in_scratch || is_litter || parts.iter().skip(1).any(|part| REGENERABLE.iter().any(|name| literal_match(name, part)))
}

fn literal_match(pattern: &str, part: &str) -> bool {
    !part.contains(['*', '?', '[']) && overlaps(pattern, part)
}

fn find(table: &'static LazyLock<Table>, path: &str, home_dir: &str) -> Option<&'static str> {
    let lower = path.to_lowercase();
    let parts: Vec<&str> = lower.split('/').filter(|part| !part.is_empty()).collect();
    let home_lower = home_dir.to_lowercase();
    let home: Vec<&str> = home_lower.split('/').filter(|part| !part.is_empty()).collect();
    let absolute = path.starts_with('/');
    let below_home =
        parts.get(home.len()..).filter(|_| absolute && home.iter().zip(&parts).all(|(a, b)| overlaps(a, b)));
    let fits = |name: &Name, at: usize, rest: &[&str]| match name.anchor {
        Anchor::Root => absolute && at == 0 && starts(name.pattern, rest),
        Anchor::Home => below_home.is_some_and(|below| below.len() == rest.len() && starts(name.pattern, rest)),
        Anchor::Anywhere => starts(name.pattern, rest),
    };
    let first = (0..parts.len()).filter_map(|at| {
        let rest = parts.get(at..)?;
        table.candidates(rest.first()?).filter(|(_, name)| fits(name, at, rest)).map(|(row, _)| row).min()
    });
    // A row without a component is the root itself.
    let root = (parts.is_empty() && absolute).then(|| table.rows.iter().position(|name| name.pattern == "/")).flatten();
    first.min().or(root).and_then(|row| table.rows.get(row)).map(|name| name.rule)
}

/// Rows, found by their first component: most paths meet none, and that has to be quick.
struct Table {
    rows: &'static [Name],
    literal: HashMap<&'static str, Vec<usize>>,
    wild: Vec<Wild>,
}

/// A row whose first component holds wildcards: what a name without any must start and end with to fit it.
struct Wild {
    row: usize,
    head: &'static str,
    tail: &'static str,
}

impl Table {
    fn new(rows: &'static [Name]) -> Table {
        let mut table = Table { rows, literal: HashMap::new(), wild: Vec::new() };
        for (at, name) in rows.iter().enumerate() {
            match name.pattern.split('/').find(|part| !part.is_empty()) {
                Some(first) if first.contains(WILD) => table.wild.push(Wild {
                    row: at,
                    head: first.split(WILD).next().unwrap_or(""),
                    tail: first.rsplit(WILD).next().unwrap_or(""),
                }),
                Some(first) => table.literal.entry(first).or_default().push(at),
                None => {}
            }
        }
        table
    }

    /// Rows whose first component may be `part`; of a part with wildcards nothing is known beforehand.
    fn candidates<'t>(&'t self, part: &'t str) -> impl Iterator<Item = (usize, &'static Name)> + 't {
        let all = part.contains(WILD).then_some(0..self.rows.len()).into_iter().flatten();
        let fits = |wild: &&Wild| part.starts_with(wild.head) && part.ends_with(wild.tail);
        let wild = self.wild.iter().filter(move |wild| fits(wild)).map(|wild| wild.row);
        let literal = self.literal.get(part).into_iter().flatten().copied().chain(wild);
        let literal = (!part.contains(WILD)).then_some(literal).into_iter().flatten();
        all.chain(literal).filter_map(|at| Some((at, self.rows.get(at)?)))
    }
}

/// Whether `parts` is what `pattern` names: whole, or anything below where it ends in `**`.
fn starts(pattern: &str, parts: &[&str]) -> bool {
    let mut parts = parts.iter();
    for name in pattern.split('/').filter(|name| !name.is_empty()) {
        if name == "**" {
            return true;
        }
        if !parts.next().is_some_and(|part| part_matches(name, part)) {
            return false;
        }
    }
    parts.next().is_none()
}

/// A path part that is all stars matches every name, which says nothing about this one.
fn part_matches(name: &str, part: &str) -> bool {
    // Nearly all names differ in their first letter; this spares the comparison of patterns.
    let literal = |text: &str| text.bytes().next().filter(|byte| !b"*?[".contains(byte));
    if matches!((literal(name), literal(part)), (Some(a), Some(b)) if a != b) {
        return false;
    }
    // Most patterns have one star, at an end; comparing that end is all there is to do.
    if !part.contains(WILD) {
        match (name.strip_prefix('*'), name.strip_suffix('*')) {
            (Some(tail), _) if !tail.contains(WILD) && !part.ends_with(tail) => return false,
            (_, Some(head)) if !head.contains(WILD) && !part.starts_with(head) => return false,
            _ => {}
        }
    }
    overlaps(name, part) && !is_wild(part) && !hides_dot(name, part) && !only_wildly(name, part)
}

/// Two patterns that both hold wildcards overlap nearly always (`secrets.*` and `*.toml`); it says something only when
/// one starts or ends as the other does.
fn only_wildly(pattern: &str, part: &str) -> bool {
    if !pattern.contains(WILD) || !part.contains(WILD) {
        return false;
    }
    let head = |text: &str| text.split(WILD).next().unwrap_or("").to_owned();
    let tail = |text: &str| text.rsplit(WILD).next().unwrap_or("").to_owned();
    let (a, b) = (head(pattern), head(part));
    let heads = !a.is_empty() && !b.is_empty();
    let (a, b) = (tail(pattern), tail(part));
    let tails = !a.is_empty() && !b.is_empty();
    !heads && !tails
}

/// A glob at the start of a name does not match a leading dot (bash without dotglob).
fn hides_dot(pattern: &str, part: &str) -> bool {
    pattern.starts_with('.') && part.starts_with(['*', '?', '['])
}

fn is_wild(part: &str) -> bool {
    part.chars().filter(|c| !matches!(c, '*' | '?' | '[' | ']')).count() < 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_their_look_alikes() {
        let home = "/home/user";
        for path in [
            "/home/user/.ssh/id_rsa",
            "/home/user/.ss?/id_*",
            "/w/.env",
            "/proc/self/environ",
            "/etc/shadow",
            "/w/.env.production",
        ] {
            assert!(secret(path, home).is_some(), "{path}");
        }
        for path in [
            "/w/.env.example",
            "/home/user/.ssh/id_rsa.pub",
            "/w/src/main.rs",
            "/etc/passwd",
            "/w/*.toml",
            "/w/*.rs",
            "/home/user/.ssh/known_hosts",
            "/w/*",
        ] {
            assert_eq!(secret(path, home), None, "{path}");
        }
        assert!(secret_below("/home/user", home).is_some());
        assert!(secret_below("/home/user/.aws", home).is_some());
        assert_eq!(secret_below("/w/src", home), None);
    }

    #[test]
    fn variables_that_hold_secrets() {
        for name in ["API_TOKEN", "DB_PASSWORD", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN"] {
            assert!(is_secret_variable(name), "{name}");
        }
        for name in ["TOKENS", "MAX_TOKENS", "token", "HOME", "PATH", "KEY"] {
            assert!(!is_secret_variable(name), "{name}");
        }
    }

    #[test]
    fn protected_names() {
        let home = "/root";
        for path in
            ["/root/.bashrc", "/w/.git/hooks/pre-commit", "/etc/x", "/dev/sda", "/w/CLAUDE.md", "/", "/root/bin/x"]
        {
            assert!(protected(path, home).is_some(), "{path}");
        }
        for path in ["/dev/null", "/w/src/a.rs", "/root/w/a", "/w/.gitignore", "/tmp/x", "/dev/stderr", "/w/bin/x"] {
            assert_eq!(protected(path, home), None, "{path}");
        }
    }

    #[test]
    fn regenerable_directories() {
        assert!(is_regenerable("/w/node_modules"));
        assert!(is_regenerable("/tmp/x"));
        assert!(!is_regenerable("/tmp"));
        assert!(!is_regenerable("/w/src"));
        assert!(!is_regenerable("/build"));
    }
}
