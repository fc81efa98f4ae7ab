//! Protected names: files that make some other program run code or trust somebody, one row each.
//!
//! A HIGH row is never applied without a person, whatever the mode and whatever was announced. A MEDIUM row is a file
//! that the project's own tools run, which is edited every day: to name it in a command is nothing to be asked about
//! beforehand, but where its content is new or another one, that is red at the review, because the next build, test or
//! install outside of a jar runs it. Of `package.json` that is told by its content, and containers are pointed out. The
//! list follows the published attacks on agents and sandboxes: git hooks and configuration, editor tasks, CI, shell
//! start-up, agent instructions.

use crate::derived::Depth;
use crate::pattern::{Fit, Folded, Table};
use model::Risk;
use std::cmp::Reverse;
use std::sync::LazyLock;

/// One row.
pub(crate) struct Protected {
    pub(crate) pattern: &'static str,
    /// The rule shown wherever this row decides something.
    pub(crate) rule: &'static str,
    pub(crate) risk: Risk,
    /// The tier at the review, where the content is new.
    pub(crate) content: Risk,
    /// How deep in trees made by tools the name still counts: a workflow file in a dependency runs nowhere.
    pub(crate) reach: Depth,
    /// What the file can do, in plain words.
    pub(crate) says: &'static str,
}

use Depth::{Build, Cache, Source};

const fn high(pattern: &'static str, rule: &'static str, reach: Depth, says: &'static str) -> Protected {
    Protected { pattern, rule, risk: Risk::High, content: Risk::High, reach, says }
}

const fn medium(pattern: &'static str, rule: &'static str, says: &'static str) -> Protected {
    Protected { pattern, rule, risk: Risk::Medium, content: Risk::Medium, reach: Source, says }
}

/// Everyday work to write, and red when it comes.
const fn runs(pattern: &'static str, rule: &'static str, says: &'static str) -> Protected {
    Protected { content: Risk::High, ..medium(pattern, rule, says) }
}

const HOOK: &str = "git runs it by itself";
const GIT_CONFIG: &str = "git settings can name programs to run";
const GIT_LINK: &str = "it redirects git to other data";
const SHELL: &str = "every new shell runs it";
const LOGIN: &str = "it is started at login or on a schedule";
const EDITOR: &str = "editors run tasks and settings from it";
const CI: &str = "CI runs it with the project's secrets";
const AGENT: &str = "coding agents obey it or run it";
const SSH: &str = "it decides who may log in and what ssh runs";
const TOOL: &str = "build tools take programs and sources from it";
const PYTHON: &str = "python runs it at start-up";
const ENTER: &str = "it runs when somebody enters the directory";
const SYSTEM: &str = "it belongs to the system";

/// The table.
pub(crate) static ROWS: &[Protected] = &[
    // git
    high(".git/hooks/", "protected/git-hook", Cache, HOOK),
    high(".git/modules/**/hooks/", "protected/git-hook", Cache, HOOK),
    high(".git/worktrees/*/hooks/", "protected/git-hook", Cache, HOOK),
    high(".githooks/", "protected/git-hook", Build, HOOK),
    high(".husky/", "protected/git-hook", Source, HOOK),
    high(".lefthook/", "protected/git-hook", Source, HOOK),
    high("lefthook.yml", "protected/git-hook", Source, HOOK),
    high(".pre-commit-config.yaml", "protected/git-hook", Source, HOOK),
    high("~/.config/git/", "protected/git-config", Cache, GIT_CONFIG),
    high(".gitconfig", "protected/git-config", Source, GIT_CONFIG),
    high(".git/config", "protected/git-config", Build, GIT_CONFIG),
    high(".git/config.worktree", "protected/git-config", Build, GIT_CONFIG),
    high(".git/worktrees/*/config.worktree", "protected/git-config", Build, GIT_CONFIG),
    high(".git/modules/**/config", "protected/git-config", Build, GIT_CONFIG),
    high(".git/info/attributes", "protected/git-config", Build, GIT_CONFIG),
    high(".gitattributes", "protected/git-attributes", Source, "it can make git run filter and diff programs"),
    high(".gitmodules", "protected/git-modules", Source, "it names repositories that git fetches and checks out"),
    high(".git/objects/info/alternates", "protected/git-link", Build, GIT_LINK),
    high(".git/commondir", "protected/git-link", Build, GIT_LINK),
    high(
        ".git/rebase-merge/git-rebase-todo",
        "protected/git-todo",
        Build,
        "its exec lines run at the next rebase step",
    ),
    // shells and sessions
    high(".bashrc", "protected/shell-start", Source, SHELL),
    high(".bash_profile", "protected/shell-start", Source, SHELL),
    high(".bash_login", "protected/shell-start", Source, SHELL),
    high(".bash_logout", "protected/shell-start", Source, SHELL),
    high(".bash_aliases", "protected/shell-start", Source, SHELL),
    high(".bashrc.d/", "protected/shell-start", Source, SHELL),
    high(".profile", "protected/shell-start", Source, SHELL),
    high(".zshrc", "protected/shell-start", Source, SHELL),
    high(".zshenv", "protected/shell-start", Source, SHELL),
    high(".zprofile", "protected/shell-start", Source, SHELL),
    high(".zlogin", "protected/shell-start", Source, SHELL),
    high(".zlogout", "protected/shell-start", Source, SHELL),
    high(".kshrc", "protected/shell-start", Source, SHELL),
    high(".cshrc", "protected/shell-start", Source, SHELL),
    high(".tcshrc", "protected/shell-start", Source, SHELL),
    high(".oh-my-zsh/", "protected/shell-start", Source, SHELL),
    high("~/.config/fish/", "protected/shell-start", Source, SHELL),
    high("~/.config/zsh/", "protected/shell-start", Source, SHELL),
    high("~/.config/nushell/", "protected/shell-start", Source, SHELL),
    high("~/.config/starship.toml", "protected/shell-start", Source, SHELL),
    high(".inputrc", "protected/shell-start", Source, "it can bind keys to commands"),
    high(".tmux.conf", "protected/shell-start", Source, "tmux runs commands from it"),
    high("~/.config/tmux/", "protected/shell-start", Source, "tmux runs commands from it"),
    high(".screenrc", "protected/shell-start", Source, "screen runs commands from it"),
    high(".xinitrc", "protected/login", Source, LOGIN),
    high(".xsession", "protected/login", Source, LOGIN),
    high(".xprofile", "protected/login", Source, LOGIN),
    high(".pam_environment", "protected/login", Source, LOGIN),
    high("~/.config/environment.d/", "protected/login", Source, LOGIN),
    high("~/.config/systemd/", "protected/login", Source, LOGIN),
    high("~/.local/share/systemd/", "protected/login", Source, LOGIN),
    high("~/.config/autostart/", "protected/login", Source, LOGIN),
    high("~/.config/autostart-scripts/", "protected/login", Source, LOGIN),
    high("~/.local/share/applications/", "protected/login", Source, "desktop entries start programs"),
    high("~/.local/share/dbus-1/", "protected/login", Source, "the session bus starts programs from it"),
    high("/etc/cron*/", "protected/login", Source, LOGIN),
    high("/var/spool/cron/", "protected/login", Source, LOGIN),
    high("~/.local/bin/", "protected/path", Source, "it is on the search path of commands"),
    high("~/bin/", "protected/path", Source, "it is on the search path of commands"),
    high("~/.cargo/bin/", "protected/path", Source, "it is on the search path of commands"),
    high("~/go/bin/", "protected/path", Source, "it is on the search path of commands"),
    high("~/.bun/bin/", "protected/path", Source, "it is on the search path of commands"),
    high("~/.deno/bin/", "protected/path", Source, "it is on the search path of commands"),
    high("/etc/ld.so.preload", "protected/preload", Source, "every program loads it"),
    high("/etc/", "protected/system", Source, SYSTEM),
    // keys and trust
    high(".ssh/", "protected/ssh", Build, SSH),
    high("authorized_keys", "protected/ssh", Build, SSH),
    high(".gnupg/", "protected/gnupg", Build, "it decides which signatures are trusted"),
    high("~/.docker/", "protected/docker", Source, "docker takes credentials helpers and plug-ins from it"),
    high("~/.kube/", "protected/kube", Source, "kubectl runs credential programs named in it"),
    high("~/.aws/", "protected/aws", Source, "it can name a program that supplies credentials"),
    // editors and directories
    high(".envrc", "protected/direnv", Build, ENTER),
    high("~/.config/direnv/", "protected/direnv", Build, ENTER),
    high(".tool-versions", "protected/tool-version", Source, "it chooses which tools run here"),
    high("mise.toml", "protected/tool-version", Source, ENTER),
    high(".mise.toml", "protected/tool-version", Source, ENTER),
    high("rust-toolchain", "protected/tool-version", Source, "it chooses which compiler runs here"),
    high("rust-toolchain.toml", "protected/tool-version", Source, "it chooses which compiler runs here"),
    high(".vscode/", "protected/editor", Source, EDITOR),
    high("*.code-workspace", "protected/editor", Source, EDITOR),
    high(".idea/", "protected/editor", Source, EDITOR),
    high(".zed/", "protected/editor", Source, EDITOR),
    high(".fleet/", "protected/editor", Source, EDITOR),
    high(".devcontainer/", "protected/editor", Source, EDITOR),
    high(".devcontainer.json", "protected/editor", Source, EDITOR),
    high(".vimrc", "protected/editor", Source, EDITOR),
    high(".exrc", "protected/editor", Source, EDITOR),
    high(".nvimrc", "protected/editor", Source, EDITOR),
    high(".nvim.lua", "protected/editor", Source, EDITOR),
    high(".emacs", "protected/editor", Source, EDITOR),
    high(".emacs.d/", "protected/editor", Source, EDITOR),
    high(".dir-locals.el", "protected/editor", Source, EDITOR),
    high("~/.vim/", "protected/editor", Source, EDITOR),
    high("~/.config/nvim/", "protected/editor", Source, EDITOR),
    high("~/.config/Code/", "protected/editor", Source, EDITOR),
    high("~/.vscode/", "protected/editor", Source, EDITOR),
    high("~/.vscode-server/", "protected/editor", Source, EDITOR),
    // CI
    high(".github/workflows/", "protected/ci", Source, CI),
    high(".github/actions/", "protected/ci", Source, CI),
    high(".gitlab-ci.yml", "protected/ci", Source, CI),
    high(".gitlab/ci/", "protected/ci", Source, CI),
    high(".circleci/", "protected/ci", Source, CI),
    high(".buildkite/", "protected/ci", Source, CI),
    high(".travis.yml", "protected/ci", Source, CI),
    high(".drone.yml", "protected/ci", Source, CI),
    high(".woodpecker.yml", "protected/ci", Source, CI),
    high(".woodpecker/", "protected/ci", Source, CI),
    high("azure-pipelines.yml", "protected/ci", Source, CI),
    high("bitbucket-pipelines.yml", "protected/ci", Source, CI),
    high("Jenkinsfile", "protected/ci", Source, CI),
    high(".forgejo/workflows/", "protected/ci", Source, CI),
    high(".gitea/workflows/", "protected/ci", Source, CI),
    // coding agents
    high("CLAUDE.md", "protected/agent", Build, AGENT),
    high("CLAUDE.local.md", "protected/agent", Build, AGENT),
    high("AGENTS.md", "protected/agent", Build, AGENT),
    high("GEMINI.md", "protected/agent", Build, AGENT),
    high(".claude/", "protected/agent", Build, AGENT),
    high(".claude.json", "protected/agent", Build, AGENT),
    high(".codex/", "protected/agent", Build, AGENT),
    high(".gemini/", "protected/agent", Build, AGENT),
    high(".cursor/", "protected/agent", Build, AGENT),
    high(".cursorrules", "protected/agent", Build, AGENT),
    high(".windsurfrules", "protected/agent", Build, AGENT),
    high(".windsurf/", "protected/agent", Build, AGENT),
    high(".clinerules", "protected/agent", Build, AGENT),
    high(".aider.conf.yml", "protected/agent", Build, AGENT),
    high(".continue/", "protected/agent", Build, AGENT),
    high(".mcp.json", "protected/agent", Build, AGENT),
    high("mcp.json", "protected/agent", Source, AGENT),
    high(".github/copilot-instructions.md", "protected/agent", Source, AGENT),
    high("opencode.json", "protected/agent", Source, AGENT),
    // Belljar itself
    high(".belljar/", "protected/belljar", Build, "it is Belljar's own policy"),
    high("~/.config/belljar/", "protected/belljar", Build, "it is Belljar's own policy"),
    // package managers and languages
    high(".cargo/config.toml", "protected/cargo", Source, TOOL),
    high(".cargo/config", "protected/cargo", Source, TOOL),
    high(".npmrc", "protected/npm", Source, TOOL),
    high(".yarnrc", "protected/npm", Source, TOOL),
    high(".yarnrc.yml", "protected/npm", Source, TOOL),
    high(".yarn/releases/", "protected/npm", Source, TOOL),
    high(".yarn/plugins/", "protected/npm", Source, TOOL),
    high(".pnpmfile.cjs", "protected/npm", Source, TOOL),
    high("bunfig.toml", "protected/npm", Source, TOOL),
    high("pip.conf", "protected/pip", Source, TOOL),
    high(".pypirc", "protected/pip", Source, TOOL),
    high(".condarc", "protected/pip", Source, TOOL),
    high("sitecustomize.py", "protected/python-start", Build, PYTHON),
    high("usercustomize.py", "protected/python-start", Build, PYTHON),
    high("*.pth", "protected/python-start", Source, PYTHON),
    high(".gemrc", "protected/gem", Source, TOOL),
    high(".bundle/config", "protected/gem", Source, TOOL),
    high(".mvn/", "protected/maven", Source, TOOL),
    high("gradle/wrapper/", "protected/gradle", Source, TOOL),
    high("~/.gradle/init.d/", "protected/gradle", Source, TOOL),
    high("~/.gradle/init.gradle", "protected/gradle", Source, TOOL),
    high("~/.m2/settings.xml", "protected/maven", Source, TOOL),
    high("~/.config/pip/", "protected/pip", Source, TOOL),
    high("~/.gdbinit", "protected/debugger", Source, "the debugger runs commands from it"),
    high(".gdbinit", "protected/debugger", Source, "the debugger runs commands from it"),
    high(".lldbinit", "protected/debugger", Source, "the debugger runs commands from it"),
    // files the project's own tools run; edited every day
    medium("package.json", "runs/package-scripts", "its scripts run on install and build"),
    runs("build.rs", "runs/build-script", "cargo runs it on every build"),
    runs("setup.py", "runs/build-script", "pip runs it on install"),
    runs("hatch_build.py", "runs/build-script", "hatchling runs it on install"),
    runs("pdm_build.py", "runs/build-script", "pdm runs it on install"),
    runs("extconf.rb", "runs/build-script", "gem runs it on install"),
    runs("conftest.py", "runs/test-setup", "pytest runs it by itself"),
    runs("noxfile.py", "runs/build-script", "nox runs it"),
    runs("binding.gyp", "runs/build-script", "npm runs a build when it is there"),
    runs("Makefile", "runs/makefile", "make runs it"),
    runs("GNUmakefile", "runs/makefile", "make runs it"),
    runs("justfile", "runs/makefile", "just runs it"),
    runs("Rakefile", "runs/makefile", "rake runs it"),
    runs("Taskfile.yml", "runs/makefile", "task runs it"),
    runs("CMakeLists.txt", "runs/makefile", "cmake runs it"),
    runs("build.gradle", "runs/makefile", "gradle runs it"),
    runs("build.gradle.kts", "runs/makefile", "gradle runs it"),
    medium("Dockerfile", "runs/container", "docker runs it"),
    medium("Containerfile", "runs/container", "podman runs it"),
    medium("docker-compose.yml", "runs/container", "docker starts services from it"),
    medium("compose.yaml", "runs/container", "docker starts services from it"),
];

/// Names among the protected that do nothing: git runs hooks only under their exact names.
const SAMPLES: &[&str] = &[".git/hooks/*.sample", ".git/modules/**/hooks/*.sample"];

static INERT: LazyLock<Table<&'static str>> = LazyLock::new(|| Table::new(SAMPLES, |pattern| pattern));
static TABLE: LazyLock<Table<Protected>> = LazyLock::new(|| Table::new(ROWS, |row| row.pattern));

/// The most dangerous row, the first of equals, that `path` meets within `depth`, with how: [`Fit::Above`] is a directory that could bring
/// the protected name with it when it is moved or replaced as a whole.
pub(crate) fn find(path: &Folded, home: &Folded, depth: Depth) -> Option<(Fit, &'static Protected)> {
    if !path.is_glob() && INERT.matches(path, home).iter().any(|(fit, _)| *fit == Fit::Within) {
        return None;
    }
    let met = TABLE.matches(path, home).into_iter().filter(|(_, row)| depth <= row.reach);
    met.min_by_key(|(fit, row)| Reverse((*fit, row.risk)))
}

/// Every rule of the table, for the schema.
pub(crate) fn rules() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.rule)
}

#[cfg(test)]
mod tests {
    use super::{ROWS, find};
    use crate::derived::Depth;
    use crate::pattern::{Fit, Folded};
    use model::FilePath;

    fn rule(path: &str, depth: Depth) -> Option<&'static str> {
        let home = Folded::new(&FilePath::from("/home/u"));
        find(&Folded::new(&FilePath::from(path)), &home, depth)
            .filter(|(fit, _)| *fit == Fit::Within)
            .map(|(_, row)| row.rule)
    }

    #[test]
    fn names_are_protected_at_any_depth_and_in_any_case() {
        for (path, expected) in [
            ("/w/.git/hooks/post-checkout", Some("protected/git-hook")),
            ("/w/deep/er/.Git/HOOKS/pre-commit", Some("protected/git-hook")),
            ("/w/.git/modules/a/b/hooks/x", Some("protected/git-hook")),
            ("/w/.git/modules/a/config", Some("protected/git-config")),
            ("/home/u/.bashrc", Some("protected/shell-start")),
            ("/w/claude.md", Some("protected/agent")),
            ("/w/.github/workflows/ci.yml", Some("protected/ci")),
            ("/w/makefile", Some("runs/makefile")),
            ("/w/src/main.rs", None),
            ("/w/.git/index", None),
        ] {
            assert_eq!(rule(path, Depth::Source), expected, "{path}");
        }
    }

    #[test]
    fn inert_names_in_dependencies_are_left_alone() {
        assert_eq!(rule("/w/node_modules/x/.github/workflows/ci.yml", Depth::Build), None);
        assert_eq!(rule("/w/node_modules/x/package.json", Depth::Build), None);
        assert_eq!(rule("/w/node_modules/x/.git/hooks/pre-commit", Depth::Build), Some("protected/git-hook"));
        assert_eq!(rule("/w/node_modules/x/CLAUDE.md", Depth::Build), Some("protected/agent"));
    }

    #[test]
    fn every_row_is_met_by_its_own_pattern() {
        for row in ROWS {
            let path = row.pattern.replace("**", "a/b").replace('*', "x").replace('~', "/home/u");
            let path = if path.starts_with('/') { path } else { format!("/w/{path}") };
            let path = if row.pattern.ends_with('/') { format!("{path}file") } else { path };
            let found = rule(&path, row.reach);
            assert!(found.is_some(), "{} does not meet {path}", row.pattern);
        }
    }
}
