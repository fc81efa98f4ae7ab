//! Environment: which variables of the caller a jar gets. An allow-list of names, and a second look at name and value.
//!
//! Secrets reach children through the environment more often than through files, and stay readable in
//! `/proc/PID/environ`; so what is not known to be harmless is withheld, by name, and said.

use model::EnvBase;

/// What tells a program who and where it is, and how to speak to whom.
const BASIC: &[&str] = &[
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PATH",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "TMPDIR",
    "TERM",
    "COLORTERM",
    "COLUMNS",
    "LINES",
    "LANG",
    "LANGUAGE",
    "TZ",
    "NO_COLOR",
];

/// What else passes as it stands, usually.
const USUAL: &[&str] = &[
    // who and where
    "HOSTNAME",
    "MAIL",
    "MANPATH",
    "INFOPATH",
    "MACHTYPE",
    "HOSTTYPE",
    "OSTYPE",
    // terminal and language
    "TERMINFO",
    "TERMINFO_DIRS",
    "TERM_PROGRAM",
    "TERM_PROGRAM_VERSION",
    "VTE_VERSION",
    "TZDIR",
    "FORCE_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "LS_COLORS",
    "LSCOLORS",
    "GREP_COLORS",
    "GREP_COLOR",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "MANPAGER",
    "LESS",
    "LESSCHARSET",
    "COLORFGBG",
    // how programs should behave
    "CI",
    "DEBUG",
    "VERBOSE",
    "DEBIAN_FRONTEND",
    "SOURCE_DATE_EPOCH",
    "POSIXLY_CORRECT",
    "TIME_STYLE",
    "BLOCK_SIZE",
    "QUOTING_STYLE",
    "MALLOC_ARENA_MAX",
    "OMP_NUM_THREADS",
    // directories of the user; the runtime directory holds sockets and is left out
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_DATA_DIRS",
    "XDG_CONFIG_DIRS",
    // compilers and builds
    "CC",
    "CXX",
    "CPP",
    "LD",
    "AR",
    "AS",
    "NM",
    "RANLIB",
    "STRIP",
    "OBJCOPY",
    "FC",
    "CFLAGS",
    "CXXFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "ARFLAGS",
    "LIBRARY_PATH",
    "C_INCLUDE_PATH",
    "CPLUS_INCLUDE_PATH",
    "CPATH",
    "PKG_CONFIG",
    "PKG_CONFIG_PATH",
    "PKG_CONFIG_LIBDIR",
    "ACLOCAL_PATH",
    "MAKEFLAGS",
    "MFLAGS",
    "MAKELEVEL",
    "CTEST_PARALLEL_LEVEL",
    "CMAKE_GENERATOR",
    "CMAKE_BUILD_TYPE",
    "CMAKE_PREFIX_PATH",
    "CMAKE_BUILD_PARALLEL_LEVEL",
    "NINJA_STATUS",
    "CCACHE_DIR",
    "DESTDIR",
    "PREFIX",
    "ARCH",
    "CROSS_COMPILE",
    // Rust
    "CARGO_HOME",
    "CARGO_TARGET_DIR",
    "CARGO_INCREMENTAL",
    "CARGO_TERM_COLOR",
    "CARGO_NET_OFFLINE",
    "CARGO_BUILD_JOBS",
    "CARGO_PROFILE",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "RUSTFLAGS",
    "RUSTDOCFLAGS",
    "RUST_BACKTRACE",
    "RUST_LIB_BACKTRACE",
    "RUST_LOG",
    "RUST_MIN_STACK",
    "RUST_TEST_THREADS",
    "PROPTEST_CASES",
    // Go
    "GOPATH",
    "GOROOT",
    "GOBIN",
    "GOCACHE",
    "GOMODCACHE",
    "GOFLAGS",
    "GOOS",
    "GOARCH",
    "GOARM",
    "GOAMD64",
    "CGO_ENABLED",
    "CGO_CFLAGS",
    "CGO_LDFLAGS",
    "GOTOOLCHAIN",
    "GOMAXPROCS",
    "GO111MODULE",
    "GOPROXY",
    "GOSUMDB",
    "GOPRIVATE",
    "GONOSUMDB",
    // Java
    "JAVA_HOME",
    "JDK_HOME",
    "JAVA_OPTS",
    "JAVA_TOOL_OPTIONS",
    "MAVEN_HOME",
    "M2_HOME",
    "MAVEN_OPTS",
    "GRADLE_HOME",
    "GRADLE_USER_HOME",
    "GRADLE_OPTS",
    "ANT_HOME",
    "KOTLIN_HOME",
    "SDKMAN_DIR",
    "ANDROID_HOME",
    "ANDROID_SDK_ROOT",
    "ANDROID_NDK_HOME",
    // JavaScript
    "NODE_ENV",
    "NODE_PATH",
    "NVM_DIR",
    "NVM_BIN",
    "NVM_INC",
    "FNM_DIR",
    "VOLTA_HOME",
    "PNPM_HOME",
    "BUN_INSTALL",
    "DENO_DIR",
    "COREPACK_HOME",
    // Python
    "VIRTUAL_ENV",
    "VIRTUAL_ENV_PROMPT",
    "PYENV_ROOT",
    "PYENV_VERSION",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONUNBUFFERED",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHASHSEED",
    "PYTHONIOENCODING",
    "PYTHONUTF8",
    "PYTHONWARNINGS",
    "PYTHONPYCACHEPREFIX",
    "CONDA_PREFIX",
    "CONDA_DEFAULT_ENV",
    "CONDA_EXE",
    "CONDA_SHLVL",
    "CONDA_PYTHON_EXE",
    "PIPX_HOME",
    "PIPX_BIN_DIR",
    "UV_CACHE_DIR",
    "POETRY_HOME",
    "PIP_CACHE_DIR",
    // Ruby, PHP, Perl, others
    "GEM_HOME",
    "GEM_PATH",
    "RBENV_ROOT",
    "RBENV_VERSION",
    "RUBYOPT",
    "RUBYLIB",
    "BUNDLE_PATH",
    "BUNDLE_GEMFILE",
    "RAILS_ENV",
    "RACK_ENV",
    "COMPOSER_HOME",
    "PERL5LIB",
    "PERL_LOCAL_LIB_ROOT",
    "PERL_MB_OPT",
    "PERL_MM_OPT",
    "DOTNET_ROOT",
    "DOTNET_CLI_TELEMETRY_OPTOUT",
    "DOTNET_NOLOGO",
    "MIX_ENV",
    "MIX_HOME",
    "HEX_HOME",
    "OPAMROOT",
    "OPAM_SWITCH_PREFIX",
    "GHCUP_INSTALL_BASE_PREFIX",
    "STACK_ROOT",
    "CABAL_DIR",
    "ASDF_DIR",
    "ASDF_DATA_DIR",
    "MISE_DATA_DIR",
    "HOMEBREW_PREFIX",
    "HOMEBREW_CELLAR",
    "HOMEBREW_REPOSITORY",
    "NIX_PATH",
    "NIX_PROFILES",
    "NIX_SSL_CERT_FILE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    // git's names for the author, which are in every commit anyway
    "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL",
    "GIT_AUTHOR_DATE",
    "GIT_COMMITTER_NAME",
    "GIT_COMMITTER_EMAIL",
    "GIT_COMMITTER_DATE",
    "GIT_EDITOR",
    "GIT_PAGER",
    "GIT_TERMINAL_PROMPT",
    "EMAIL",
    "DEBEMAIL",
    "DEBFULLNAME",
];

/// Beginnings of names that pass.
const PREFIXES: &[&str] = &["LC_", "LESS_TERMCAP_"];

/// Parts of a name, between underscores, that mean a secret: these are withheld even if the allow-list grows.
const SECRET_PARTS: &[&str] = &[
    "TOKEN",
    "TOKENS",
    "SECRET",
    "SECRETS",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "PASS",
    "PWD",
    "CREDENTIAL",
    "CREDENTIALS",
    "KEY",
    "KEYS",
    "APIKEY",
    "AUTH",
    "COOKIE",
    "SESSION",
    "PAT",
    "DSN",
    "SOCK",
    "CERT",
];

/// Keeps interactive programs from writing their histories. The real ones are hidden, so a new one would stand in the
/// review of every session, and applying it would replace the old.
pub(crate) const NO_HISTORY: &[(&str, &str)] = &[("HISTFILE", ""), ("LESSHISTFILE", "-"), ("NODE_REPL_HISTORY", "")];

/// Names whose parts look like a secret's and are none.
const HARMLESS: &[&str] = &["PWD", "OLDPWD", "SSL_CERT_FILE", "SSL_CERT_DIR", "NIX_SSL_CERT_FILE"];

/// Beginnings of values that are tokens by their published form.
const TOKEN_STARTS: &[&str] = &[
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xoxs-",
    "sk-",
    "sk_live_",
    "rk_live_",
    "AKIA",
    "ASIA",
    "AIza",
    "ya29.",
    "npm_",
    "pypi-",
    "hf_",
    "dop_v1_",
    "SG.",
    "eyJ",
    "-----BEGIN",
    "AGE-SECRET-KEY-",
];

/// Whether a variable of the caller may pass.
pub(crate) fn passes(base: EnvBase, name: &[u8], value: &[u8]) -> bool {
    let Ok(name) = std::str::from_utf8(name) else {
        return false;
    };
    let known = BASIC.contains(&name) || (base == EnvBase::Usual && USUAL.contains(&name));
    let listed = known || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    listed && !names_secret(name) && !holds_secret(value)
}

fn names_secret(name: &str) -> bool {
    let part = |part: &str| SECRET_PARTS.iter().any(|secret| part.eq_ignore_ascii_case(secret));
    !HARMLESS.contains(&name) && name.split('_').any(part)
}

/// Whether a value looks like a token or is an address with a password in it (RFC 3986 userinfo).
fn holds_secret(value: &[u8]) -> bool {
    let text = String::from_utf8_lossy(value);
    let token = |word: &str| TOKEN_STARTS.iter().any(|start| word.starts_with(start) && word.len() >= start.len() + 8);
    text.split(|c: char| c.is_whitespace() || ",;=\"'".contains(c)).any(|word| token(word) || has_password(word))
}

fn has_password(word: &str) -> bool {
    let Some((_, rest)) = word.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::{BASIC, USUAL, passes};
    use model::EnvBase;

    #[test]
    fn what_is_known_to_be_harmless_passes() {
        for (name, value, expected) in [
            ("PATH", "/usr/bin:/bin", true),
            ("LC_ALL", "C.UTF-8", true),
            ("PWD", "/w", true),
            ("RUST_LOG", "debug", true),
            ("AWS_SECRET_ACCESS_KEY", "x", false),
            ("AWS_PROFILE", "x", false),
            ("SSH_AUTH_SOCK", "/run/x", false),
            ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/x", false),
            ("XDG_RUNTIME_DIR", "/run/user/1000", false),
            ("GITHUB_TOKEN", "x", false),
            ("LC_TOKEN", "x", false),
            ("MY_OWN", "x", false),
            ("LD_PRELOAD", "/x.so", false),
            ("BASH_ENV", "/x", false),
            ("http_proxy", "http://proxy:3128", false),
            ("GOPROXY", "https://proxy.golang.org,direct", true),
            ("GOPROXY", "https://me:hunter2@proxy.corp/x", false),
            ("CFLAGS", "-DT=ghp_0123456789abcdef0123", false),
            ("EMAIL", "me@example.org", true),
        ] {
            assert_eq!(passes(EnvBase::Usual, name.as_bytes(), value.as_bytes()), expected, "{name}={value}");
        }
        assert!(!passes(EnvBase::Usual, b"\xff", b"x"));
    }

    #[test]
    fn the_allow_list_holds_no_name_that_its_own_second_look_refuses() {
        for name in BASIC.iter().chain(USUAL) {
            assert!(passes(EnvBase::Usual, name.as_bytes(), b"x"), "{name}");
            let basic = BASIC.contains(name);
            assert_eq!(passes(EnvBase::Basic, name.as_bytes(), b"x"), basic, "{name}");
        }
        assert!(USUAL.iter().all(|name| !BASIC.contains(name)), "a name stands in one list");
    }
}
