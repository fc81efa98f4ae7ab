//! Environment variables that decide which program or which code runs (BJ012).

use crate::eval::value::Value;
use model::Risk;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Variables whose value names a program, a library or code; a `*` at the end stands for any rest.
static HIJACKS: &[(&str, &str)] = &[
    ("LD_*", "makes the loader run other code in every program"),
    ("DYLD_*", "makes the loader run other code in every program"),
    ("BASH_ENV", "names a script that every bash runs first"),
    ("ENV", "names a script that every sh runs first"),
    ("PROMPT_COMMAND", "is run before every prompt"),
    ("PS0", "is expanded, and commands in it run"),
    ("PS1", "is expanded before every prompt, and commands in it run"),
    ("PS2", "is expanded before every prompt, and commands in it run"),
    ("PS4", "is expanded, and commands in it run"),
    ("SHELLOPTS", "changes how every shell reads its text"),
    ("BASHOPTS", "changes how every shell reads its text"),
    ("POSIXLY_CORRECT", "changes how the shell reads what follows"),
    ("BASH_FUNC_*", "hands a function to every shell"),
    ("GIT_SSH", "names a program that git runs"),
    ("GIT_SSH_COMMAND", "names a program that git runs"),
    ("GIT_EXTERNAL_DIFF", "names a program that git runs"),
    ("GIT_PAGER", "names a program that git runs"),
    ("GIT_EDITOR", "names a program that git runs"),
    ("GIT_SEQUENCE_EDITOR", "names a program that git runs"),
    ("GIT_ASKPASS", "names a program that git runs"),
    ("GIT_PROXY_COMMAND", "names a program that git runs"),
    ("GIT_EXEC_PATH", "says where git finds its programs"),
    ("GIT_TEMPLATE_DIR", "says where git takes hooks from"),
    ("GIT_CONFIG*", "changes the configuration of git"),
    ("GIT_DIR", "points git at another repository"),
    ("GIT_WORK_TREE", "points git at another work tree"),
    ("SSH_ASKPASS", "names a program that is run"),
    ("SUDO_ASKPASS", "names a program that is run"),
    ("PAGER", "names a program that is run"),
    ("MANPAGER", "names a program that is run"),
    ("EDITOR", "names a program that is run"),
    ("VISUAL", "names a program that is run"),
    ("BROWSER", "names a program that is run"),
    ("LESSOPEN", "names a program that is run"),
    ("LESSCLOSE", "names a program that is run"),
    ("NODE_OPTIONS", "makes every node run other code"),
    ("NODE_PATH", "says where node finds code"),
    ("NPM_CONFIG_*", "changes the configuration of npm"),
    ("npm_config_*", "changes the configuration of npm"),
    ("PYTHONPATH", "says where python finds code"),
    ("PYTHONSTARTUP", "names a script that python runs first"),
    ("PYTHONHOME", "says where python finds code"),
    ("PYTHONINSPECT", "changes what python does"),
    ("PERL5LIB", "says where perl finds code"),
    ("PERL5OPT", "makes every perl run other code"),
    ("PERL5DB", "makes every perl run other code"),
    ("RUBYOPT", "makes every ruby run other code"),
    ("RUBYLIB", "says where ruby finds code"),
    ("RUSTC_WRAPPER", "names a program that cargo runs"),
    ("RUSTC_WORKSPACE_WRAPPER", "names a program that cargo runs"),
    ("RUSTC", "names a program that cargo runs"),
    ("CARGO_TARGET_*_RUNNER", "names a program that cargo runs"),
    ("CARGO_BUILD_RUSTC*", "names a program that cargo runs"),
    ("JAVA_TOOL_OPTIONS", "makes every java run other code"),
    ("_JAVA_OPTIONS", "makes every java run other code"),
    ("CLASSPATH", "says where java finds code"),
    ("MAKEFLAGS", "changes what make does"),
    ("PIP_INDEX_URL", "says where pip takes packages from"),
    ("PIP_EXTRA_INDEX_URL", "says where pip takes packages from"),
    ("PIP_CONFIG_FILE", "changes the configuration of pip"),
    ("HOME", "moves where programs find their settings"),
    ("XDG_CONFIG_HOME", "moves where programs find their settings"),
    ("DOCKER_HOST", "sends docker commands to another machine"),
    ("DOCKER_CONTEXT", "sends docker commands to another machine"),
    ("KUBECONFIG", "sends kubectl commands elsewhere"),
    ("HTTP_PROXY", "sends traffic through another machine"),
    ("HTTPS_PROXY", "sends traffic through another machine"),
    ("ALL_PROXY", "sends traffic through another machine"),
    ("http_proxy", "sends traffic through another machine"),
    ("https_proxy", "sends traffic through another machine"),
    ("SSL_CERT_FILE", "changes whom TLS trusts"),
    ("NODE_TLS_REJECT_UNAUTHORIZED", "switches off the check of certificates"),
    ("TAR_OPTIONS", "adds options to every tar"),
    ("GREP_OPTIONS", "adds options to every grep"),
    ("RIPGREP_CONFIG_PATH", "adds options to every rg"),
    ("HISTFILE", "decides whether what is run is remembered"),
    ("HISTSIZE", "decides whether what is run is remembered"),
    ("HISTFILESIZE", "decides whether what is run is remembered"),
    ("HISTCONTROL", "decides whether what is run is remembered"),
    ("HISTIGNORE", "decides whether what is run is remembered"),
    ("PYTHONUSERBASE", "says which code python runs"),
    ("PYTHONEXECUTABLE", "says which code python runs"),
    ("PYTHONPLATLIBDIR", "says which code python runs"),
    ("PYTHONPYCACHEPREFIX", "says which code python runs"),
    ("PYTHONCASEOK", "says which code python runs"),
    ("PYTHONBREAKPOINT", "says which code python runs"),
    ("PERLLIB", "says which code perl runs"),
    ("PERL5SHELL", "says which code perl runs"),
    ("PERL_MM_OPT", "says which code perl runs"),
    ("PERL_HASH_SEED_DEBUG", "says which code perl runs"),
    ("RUBYSHELL", "says which code ruby runs"),
    ("GEM_HOME", "says which code ruby runs"),
    ("GEM_PATH", "says which code ruby runs"),
    ("BUNDLE_GEMFILE", "says which code ruby runs"),
    ("BUNDLE_MIRROR*", "says which code ruby runs"),
    ("BUNDLE_PATH", "says which code ruby runs"),
    ("NODE_REPL_EXTERNAL_MODULE", "changes what node runs or trusts"),
    ("NODE_EXTRA_CA_CERTS", "changes what node runs or trusts"),
    ("LUA_INIT*", "says which code the interpreter runs"),
    ("LUA_PATH*", "says which code the interpreter runs"),
    ("LUA_CPATH*", "says which code the interpreter runs"),
    ("TCLLIBPATH", "says which code the interpreter runs"),
    ("GUILE_LOAD_PATH", "says which code the interpreter runs"),
    ("JULIA_LOAD_PATH", "says which code the interpreter runs"),
    ("JULIA_DEPOT_PATH", "says which code the interpreter runs"),
    ("R_PROFILE*", "says which code the interpreter runs"),
    ("R_ENVIRON*", "says which code the interpreter runs"),
    ("R_LIBS*", "says which code the interpreter runs"),
    ("PHPRC", "says which code php runs"),
    ("PHP_INI_SCAN_DIR", "says which code php runs"),
    ("GCONV_PATH", "makes programs load other code"),
    ("OPENSSL_CONF", "makes programs load other code"),
    ("OPENSSL_ENGINES", "makes programs load other code"),
    ("OPENSSL_MODULES", "makes programs load other code"),
    ("GTK_MODULES", "makes programs load other code"),
    ("GIO_EXTRA_MODULES", "makes programs load other code"),
    ("QT_PLUGIN_PATH", "makes programs load other code"),
    ("GST_PLUGIN_PATH*", "makes programs load other code"),
    ("BASH_LOADABLES_PATH", "makes programs load other code"),
    ("FZF_DEFAULT_COMMAND", "names a program that is run"),
    ("FZF_DEFAULT_OPTS*", "names a program that is run"),
    ("KUBE_EDITOR", "names a program that is run"),
    ("GH_EDITOR", "names a program that is run"),
    ("GH_PAGER", "names a program that is run"),
    ("GH_BROWSER", "names a program that is run"),
    ("SYSTEMD_PAGER", "names a program that is run"),
    ("SYSTEMD_EDITOR", "names a program that is run"),
    ("AWS_PAGER", "names a program that is run"),
    ("BAT_PAGER", "names a program that is run"),
    ("DELTA_PAGER", "names a program that is run"),
    ("PSQL_PAGER", "names a program that is run"),
    ("PSQL_EDITOR", "names a program that is run"),
    ("HGEDITOR", "names a program that is run"),
    ("SVN_EDITOR", "names a program that is run"),
    ("SVN_SSH", "names a program that is run"),
    ("CVS_RSH", "names a program that is run"),
    ("RSYNC_RSH", "names a program that is run"),
    ("SUDO_EDITOR", "names a program that is run"),
    ("FCEDIT", "names a program that is run"),
    ("KUBECTL_EXTERNAL_DIFF", "names a program that is run"),
    ("VIMINIT", "names a file that programs run or obey"),
    ("EXINIT", "names a file that programs run or obey"),
    ("MYVIMRC", "names a file that programs run or obey"),
    ("VIMRUNTIME", "names a file that programs run or obey"),
    ("EMACSLOADPATH", "names a file that programs run or obey"),
    ("SCREENRC", "names a file that programs run or obey"),
    ("ZDOTDIR", "names a file that programs run or obey"),
    ("MAKEFILES", "names a file that programs run or obey"),
    ("PSQLRC", "names a file that programs run or obey"),
    ("HGRCPATH", "names a file that programs run or obey"),
    ("WGETRC", "names a file that programs run or obey"),
    ("CURL_HOME", "names a file that programs run or obey"),
    ("ACKRC", "names a file that programs run or obey"),
    ("ANSIBLE_CONFIG", "names a file that programs run or obey"),
    ("ANSIBLE_*PLUGINS", "names a file that programs run or obey"),
    ("ANSIBLE_LIBRARY", "names a file that programs run or obey"),
    ("HELM_PLUGINS", "names a file that programs run or obey"),
    ("TF_CLI_ARGS*", "adds options to every terraform"),
    ("UV_INDEX_URL", "says where packages come from, or who vouches for them"),
    ("UV_DEFAULT_INDEX", "says where packages come from, or who vouches for them"),
    ("UV_INDEX", "says where packages come from, or who vouches for them"),
    ("UV_EXTRA_INDEX_URL", "says where packages come from, or who vouches for them"),
    ("GONOSUMDB", "says where packages come from, or who vouches for them"),
    ("GONOSUMCHECK", "says where packages come from, or who vouches for them"),
    ("GOINSECURE", "says where packages come from, or who vouches for them"),
    ("CARGO_REGISTRIES_*", "says where packages come from, or who vouches for them"),
    ("CARGO_SOURCE_*", "says where packages come from, or who vouches for them"),
    ("PIP_TRUSTED_HOST", "says where packages come from, or who vouches for them"),
    ("PIP_FIND_LINKS", "says where packages come from, or who vouches for them"),
    ("POETRY_REPOSITORIES_*", "says where packages come from, or who vouches for them"),
    ("SSL_CERT_DIR", "changes whom TLS trusts"),
    ("CURL_CA_BUNDLE", "changes whom TLS trusts"),
    ("REQUESTS_CA_BUNDLE", "changes whom TLS trusts"),
    ("GIT_SSL_*", "changes whom TLS trusts"),
    ("SSLKEYLOGFILE", "changes whom TLS trusts"),
    ("PKG_CONFIG_PATH", "says which flags builds use"),
    ("BELLJAR*", "changes how Belljar itself works"),
];

/// Programs that only show or do nothing, as values of PAGER, EDITOR and the like.
const TAME: &[&str] =
    &["", "cat", "less", "more", "less -R", "less -F", "less -FRX", "true", ":", "vim", "vi", "nano", "ed", "head"];

/// Variables that hold an ordinary path a developer sets often; a known absolute value of one is no more than MEDIUM.
const PATHS: &[&str] = &[
    "PATH",
    "PYTHONPATH",
    "NODE_PATH",
    "XDG_CONFIG_HOME",
    "HOME",
    "KUBECONFIG",
    "CLASSPATH",
    "BUNDLE_GEMFILE",
    "BUNDLE_PATH",
    "GEM_HOME",
    "GEM_PATH",
    "PYTHONUSERBASE",
    "PYTHONPYCACHEPREFIX",
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PSQLRC",
    "ANSIBLE_CONFIG",
    "LUA_PATH",
    "ZDOTDIR",
    "PKG_CONFIG_PATH",
];

/// Variables that are set often, and the parts of a value that make it run or load something else.
static PARTS: &[(&str, &[&str], &str)] = &[
    (
        "GOFLAGS",
        &["-toolexec", "-exec", "-insecure", "-overlay", "-vettool", "-modfile"],
        "makes every go run other code",
    ),
    (
        "RUSTFLAGS",
        &["linker=/", "linker=.", "linker=~", "codegen-backend", "-Zplugin"],
        "makes every rustc run other code",
    ),
    ("RUSTDOCFLAGS", &["linker=/", "--runtool"], "makes every rustdoc run other code"),
    ("CFLAGS", FLAGS, "makes the compiler run other code"),
    ("CXXFLAGS", FLAGS, "makes the compiler run other code"),
    ("CPPFLAGS", FLAGS, "makes the compiler run other code"),
    ("LDFLAGS", &["-plugin", "-fuse-ld=/", "-fuse-ld=.", "-B/", "-B."], "makes the linker run other code"),
    ("CC", TOOL, "names a program that builds run"),
    ("CXX", TOOL, "names a program that builds run"),
    ("LD", TOOL, "names a program that builds run"),
    ("AR", TOOL, "names a program that builds run"),
    ("FC", TOOL, "names a program that builds run"),
    ("MAKE", TOOL, "names a program that builds run"),
    ("SHELL", TOOL, "names the shell that programs run"),
    ("MAVEN_OPTS", JAVA, "makes every maven run other code"),
    ("MAVEN_ARGS", JAVA, "makes every maven run other code"),
    ("GRADLE_OPTS", JAVA, "makes every gradle run other code"),
    ("SBT_OPTS", JAVA, "makes every sbt run other code"),
    ("JAVA_OPTS", JAVA, "makes every java run other code"),
    ("JDK_JAVA_OPTIONS", JAVA, "makes every java run other code"),
    ("JVM_OPTS", JAVA, "makes every java run other code"),
    ("ERL_FLAGS", ERL, "makes every erl run other code"),
    ("ERL_AFLAGS", ERL, "makes every erl run other code"),
    ("ERL_ZFLAGS", ERL, "makes every erl run other code"),
    ("ELIXIR_ERL_OPTIONS", ERL, "makes every erl run other code"),
    ("GOPROXY", &["http:", "@", "file:"], "says where go takes packages from"),
    ("GOSUMDB", &["off"], "says who vouches for go's packages"),
    ("PYTHONWARNINGS", &[":"], "may name a module that python loads"),
    ("LESS", &["+!", "+|", "!"], "gives every less a command"),
];

const FLAGS: &[&str] = &["-fplugin", "-wrapper", "-specs", "-B/", "-B.", "-B~", "-load"];
const TOOL: &[&str] = &["/tmp", "./", "$(", "`", ";", "|", "&", " -c ", "~/", "curl", "rm "];
const JAVA: &[&str] = &[
    "-javaagent",
    "-agentpath",
    "-agentlib",
    "-Xbootclasspath",
    "-XX:OnError",
    "-XX:OnOutOfMemoryError",
    "-Dmaven.ext.class.path",
];
const ERL: &[&str] = &["-eval", "-s ", "-run", "-pa "];

/// How dangerous it is to set `name` to `value`, and why.
pub(crate) fn hijack(name: &str, value: &Value, for_command: bool) -> Option<(Risk, &'static str)> {
    if name == "PATH" {
        return path_hijack(value);
    }
    if let Some((_, parts, why)) = PARTS.iter().find(|(known, ..)| *known == name) {
        let text = value.known().unwrap_or_else(|| value.prefix());
        return parts.iter().any(|part| text.contains(part)).then_some((Risk::High, *why));
    }
    let why = BY_NAME.get(name).copied().or_else(|| matching(name))?;
    let prompt = matches!(name, "PS1" | "PS2");
    let tame = match value.known() {
        Some(text) if prompt => !text.contains("$(") && !text.contains('`'),
        Some(text) => TAME.contains(&text),
        None => false,
    };
    if tame {
        return None;
    }
    let ordinary = PATHS.contains(&name) && value.known().is_some_and(|text| !text.contains("/tmp"));
    let severity = if ordinary && !(for_command && name == "HOME") { Risk::Medium } else { Risk::High };
    Some((severity, why))
}

/// The rows without a star, by name: most assignments meet none of them, and that has to be quick.
static BY_NAME: LazyLock<HashMap<&'static str, &'static str>> =
    LazyLock::new(|| HIJACKS.iter().filter(|(name, _)| !name.contains('*')).copied().collect());

/// The rows with one.
static BY_PATTERN: LazyLock<Vec<(&'static str, &'static str)>> =
    LazyLock::new(|| HIJACKS.iter().filter(|(name, _)| name.contains('*')).copied().collect());

fn matching(name: &str) -> Option<&'static str> {
    let fits = |pattern: &str| {
        let (head, tail) = pattern.split_once('*').unwrap_or((pattern, ""));
        name.starts_with(head) && name.ends_with(tail) && crate::glob::overlaps(pattern, name)
    };
    BY_PATTERN.iter().find(|(pattern, _)| fits(pattern)).map(|(_, why)| *why)
}

/// PATH is often extended; a place that anyone or the project can write is a hijack.
fn path_hijack(value: &Value) -> Option<(Risk, &'static str)> {
    let head = value.prefix();
    let unsafe_part = |part: &str| {
        part.is_empty()
            || !part.starts_with('/')
            || ["/tmp", "/var/tmp", "/dev/shm"].iter().any(|dir| part.starts_with(dir))
    };
    let known = value.known().is_some();
    let mut parts: Vec<&str> = head.split(':').collect();
    if !known {
        // The last part runs into what is not known (usually the old PATH).
        parts.pop();
    }
    if parts.iter().any(|part| unsafe_part(part)) {
        Some((Risk::High, "puts a directory that others can fill before the system's programs"))
    } else {
        Some((Risk::Medium, "says where programs are found"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hijacks_and_ordinary_variables() {
        let known = |text: &str| Value::Known(text.into());
        for (name, value) in [
            ("LD_PRELOAD", "./x.so"),
            ("PATH", ".:/bin"),
            ("PAGER", "sh -c id"),
            ("GIT_CONFIG_COUNT", "1"),
            ("BASH_ENV", "e"),
            ("PS1", "$(id)"),
        ] {
            assert_eq!(hijack(name, &known(value), true).unwrap().0, Risk::High, "{name}");
        }
        for (name, value) in [
            ("LC_ALL", "C"),
            ("TZ", "UTC"),
            ("NO_COLOR", "1"),
            ("RUST_LOG", "debug"),
            ("FOO", "1"),
            ("PAGER", "cat"),
            ("GIT_PAGER", ""),
            ("PS1", "\\u@\\h $ "),
        ] {
            assert_eq!(hijack(name, &known(value), true), None, "{name}");
        }
        assert_eq!(hijack("PATH", &Value::starting("/home/u/.cargo/bin:"), true).unwrap().0, Risk::Medium);
    }
}
