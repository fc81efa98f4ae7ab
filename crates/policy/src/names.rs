//! Secrets of other projects: names that are hidden in a jar wherever they lie, but where the command works.
//!
//! A name is little to go by, so what only looks like a secret must not be taken away: what package managers unpacked
//! came from a registry and is no secret of anybody's, and a `.pem` with nothing but certificates is public.

use crate::error::PolicyError;
use crate::held::Judge;
use crate::pattern::{fold, glob, is_glob};
use crate::secrets::{NAMED, SHARED, Secret, row};
use model::{Confinement, FilePath, NamedSecret, Place, SecretNames};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// Besides [`NAMED`]: too weak for a question each time one is read where it lies bare. A name ending in `/` is a
/// directory with all in it.
static MORE: &[Secret] = &[
    row("*.pem", "secrets/key"),
    row("*.key", "secrets/key"),
    row("*.ppk", "secrets/key"),
    row("*.p8", "secrets/key"),
    row("*.tfstate.*", "secrets/terraform"),
    row("*.kdb", "secrets/passwords"),
    row("_netrc", "secrets/netrc"),
    row(".npmrc", "secrets/npm"),
    row(".pypirc", "secrets/pypi"),
    row(".dockercfg", "secrets/docker"),
    row(".my.cnf", "secrets/database"),
    row(".mylogin.cnf", "secrets/database"),
    row(".s3cfg", "secrets/s3"),
    row(".boto", "secrets/gcloud"),
    row(".vault-token", "secrets/vault"),
    row(".bash_history", "secrets/history"),
    row(".zsh_history", "secrets/history"),
    row(".sh_history", "secrets/history"),
    row("fish_history", "secrets/history"),
    row(".python_history", "secrets/history"),
    row(".node_repl_history", "secrets/history"),
    row(".psql_history", "secrets/history"),
    row(".mysql_history", "secrets/history"),
    row(".sqlite_history", "secrets/history"),
    row(".rediscli_history", "secrets/history"),
    row("key4.db", "secrets/browser"),
    row("logins.json", "secrets/browser"),
    row("cookies.sqlite", "secrets/browser"),
    row("login data", "secrets/browser"),
    row("*.keychain-db", "secrets/passwords"),
    row(".ssh/", "secrets/ssh"),
    row(".gnupg/", "secrets/gnupg"),
    row(".aws/", "secrets/aws"),
    row(".azure/", "secrets/azure"),
    row(".kube/", "secrets/kube"),
    row(".password-store/", "secrets/passwords"),
];

/// What of these is no secret: every installation of the Android tools makes the same one, and its password is known.
const WELL_KNOWN: &[&str] = &["debug.keystore"];

/// Rows that may turn out to be public by their content.
const UNLESS_PUBLIC: &[&str] = &["*.pem", "*.key"];

/// Below the home, what installers and package managers unpack.
const PACKAGES: &[&str] = &[
    ".arduino15",
    ".asdf",
    ".bun",
    ".cabal",
    ".cache",
    ".cargo",
    ".conda",
    ".cpan",
    ".cpanm",
    ".cursor/extensions",
    ".cursor-server",
    ".deno",
    ".dotnet",
    ".espressif",
    ".fnm",
    ".gem",
    ".ghcup",
    ".gradle",
    ".ivy2",
    ".jenv",
    ".julia",
    ".juliaup",
    ".linuxbrew",
    ".local/lib",
    ".local/pipx",
    ".local/share/containers",
    ".local/share/fnm",
    ".local/share/gem",
    ".local/share/mise",
    ".local/share/nvim",
    ".local/share/pipx",
    ".local/share/pnpm",
    ".local/share/pypoetry",
    ".local/share/rtx",
    ".local/share/rustup",
    ".local/share/uv",
    ".local/share/virtualenvs",
    ".luarocks",
    ".m2/repository",
    ".mix",
    ".npm",
    ".nuget/packages",
    ".nvm",
    ".opam",
    ".platformio",
    ".pnpm-store",
    ".poetry",
    ".pub-cache",
    ".pyenv",
    ".rbenv",
    ".rustup",
    ".rvm",
    ".sbt",
    ".sdkman",
    ".stack",
    ".terraform.d/plugin-cache",
    ".volta",
    ".vscode/extensions",
    ".vscode-server",
    ".yarn",
    "Android/Sdk",
    "anaconda3",
    "go/pkg",
    "mambaforge",
    "miniconda3",
    "miniforge3",
];

/// Anywhere: what is installed for one project, and git's objects, whose names are numbers.
const PACKAGES_ANYWHERE: &[&[&str]] =
    &[&["node_modules"], &["site-packages"], &["dist-packages"], &[".git", "objects"], &[".git", "lfs"]];

/// What PEM files (RFC 7468) may hold and be public.
const PUBLIC: &[&str] = &[
    "CERTIFICATE",
    "CERTIFICATE REQUEST",
    "DH PARAMETERS",
    "EC PARAMETERS",
    "NEW CERTIFICATE REQUEST",
    "PGP PUBLIC KEY BLOCK",
    "PKCS7",
    "PUBLIC KEY",
    "RSA PUBLIC KEY",
    "TRUSTED CERTIFICATE",
    "X509 CERTIFICATE",
    "X509 CRL",
];

/// The rows, to be found by a folded name.
struct Rows {
    whole: HashMap<&'static str, NamedSecret<'static>>,
    /// `*.pem`, by what is behind the last dot: most names are looked at for nothing, and quickly.
    ends: HashMap<&'static str, NamedSecret<'static>>,
    globs: Vec<(&'static str, NamedSecret<'static>)>,
    directories: HashMap<&'static str, NamedSecret<'static>>,
}

static ROWS: LazyLock<Rows> = LazyLock::new(|| {
    let mut rows = Rows { whole: HashMap::new(), ends: HashMap::new(), globs: Vec::new(), directories: HashMap::new() };
    for Secret { pattern, rule } in NAMED.iter().chain(MORE) {
        let named = NamedSecret { rule, unless_public: UNLESS_PUBLIC.contains(pattern) };
        let end = pattern.strip_prefix("*.").filter(|end| !is_glob(end) && !end.contains('.'));
        match (pattern.strip_suffix('/'), end) {
            (Some(name), _) => drop(rows.directories.insert(name, named)),
            (None, Some(end)) => drop(rows.ends.insert(end, named)),
            (None, None) if is_glob(pattern) => rows.globs.push((pattern, named)),
            (None, None) => drop(rows.whole.insert(pattern, named)),
        }
    }
    rows
});

/// Judges the names that a jar shows.
#[derive(Clone, Debug)]
pub struct Names {
    home: FilePath,
    shown: Vec<FilePath>,
    rules: Option<Arc<Judge>>,
}

impl Names {
    /// For the user whose home this is; below each of `shown` nothing is hidden by name.
    #[must_use]
    pub fn new(home: &FilePath, shown: &[FilePath]) -> Names {
        Names { home: home.clone(), shown: shown.to_vec(), rules: None }
    }

    /// As a confinement wants them judged: by the tables, and by the rules it holds.
    ///
    /// # Errors
    /// [`PolicyError`] when one of those is none.
    pub fn of(place: &Place, confinement: &Confinement) -> Result<Names, PolicyError> {
        let judge = Judge::of(place, confinement)?;
        let rules = judge.judges_paths().then(|| Arc::new(judge));
        Ok(Names { rules, ..Names::new(&place.home, &confinement.shown) })
    }

    /// The rules of a confinement that judge paths, if there are any.
    #[must_use]
    pub fn rules(&self) -> Option<Arc<Judge>> {
        self.rules.clone()
    }

    fn is_package(&self, path: &Path) -> bool {
        let below_home = path.strip_prefix(self.home.as_path());
        let installed = below_home.is_ok_and(|rest| PACKAGES.iter().any(|place| rest.starts_with(place)));
        let parts: Vec<&OsStr> = path.iter().collect();
        let anywhere = |place: &&[&str]| parts.windows(place.len()).any(|parts| parts.iter().eq(place.iter()));
        installed || PACKAGES_ANYWHERE.iter().any(anywhere)
    }
}

impl SecretNames for Names {
    fn secret(&self, path: &Path, is_dir: bool) -> Option<NamedSecret<'_>> {
        let rules = self.rules.as_ref().and_then(|rules| rules.secret(path, is_dir));
        if rules.is_some() {
            return rules;
        }
        let named = named(path.file_name()?, is_dir)?;
        (!self.is_shown(path)).then_some(named)
    }

    fn is_shown(&self, path: &Path) -> bool {
        self.shown.iter().any(|shown| path.starts_with(shown.as_path())) || self.is_package(path)
    }

    /// What stands between the parts is not looked at: bundles of certificates name their owners there.
    fn is_public(&self, content: &[u8]) -> bool {
        const BEGIN: &[u8] = b"-----BEGIN ";
        let mut any = false;
        let mut rest = content;
        while let Some(at) = rest.windows(BEGIN.len()).position(|window| window == BEGIN) {
            rest = rest.get(at + BEGIN.len()..).unwrap_or_default();
            let end = rest.iter().position(|byte| *byte == b'-').unwrap_or(rest.len());
            let label = rest.get(..end).unwrap_or_default();
            if !PUBLIC.iter().any(|public| public.as_bytes() == label) {
                return false;
            }
            any = true;
        }
        any
    }
}

fn named(name: &OsStr, is_dir: bool) -> Option<NamedSecret<'static>> {
    let name = fold(name.as_bytes());
    if is_dir {
        return ROWS.directories.get(name.as_str()).copied();
    }
    let fits = |pattern: &str| glob(pattern.as_bytes(), name.as_bytes());
    let of_glob = || ROWS.globs.iter().find(|(pattern, _)| fits(pattern)).map(|(_, named)| *named);
    let of_end = || ROWS.ends.get(name.rsplit_once('.')?.1).copied();
    let found = ROWS.whole.get(name.as_str()).copied().or_else(of_end).or_else(of_glob)?;
    (!SHARED.iter().chain(WELL_KNOWN).any(|pattern| fits(pattern))).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(path: &str) -> Option<String> {
        let names = Names::new(&"/home/u".into(), &["/home/u/work".into()]);
        names.secret(Path::new(path), false).map(|named| named.rule.to_owned())
    }

    #[test]
    fn other_projects_have_secrets_and_the_own_one_keeps_its() {
        for (path, expected) in [
            ("/home/u/other/.env", Some("secrets/dotenv")),
            ("/home/u/other/a/b/.ENV.local", Some("secrets/dotenv")),
            ("/home/u/other/.env.example", None),
            ("/home/u/other/id_rsa", Some("secrets/ssh")),
            ("/home/u/other/ID_ED25519", Some("secrets/ssh")),
            ("/home/u/other/id_rsa.pub", None),
            ("/home/u/other/terraform.tfstate", Some("secrets/terraform")),
            ("/home/u/other/terraform.tfstate.backup", Some("secrets/terraform")),
            ("/home/u/other/.netrc", Some("secrets/netrc")),
            ("/home/u/other/server.pem", Some("secrets/key")),
            ("/home/u/other/app.jks", Some("secrets/key")),
            ("/home/u/other/service-account-7.json", Some("secrets/gcloud")),
            ("/home/u/other/profile/Login Data", Some("secrets/browser")),
            ("/home/u/.android/debug.keystore", None),
            ("/home/u/other/main.c", None),
            ("/home/u/other/environ", None),
            ("/home/u/work/.env", None),
            ("/home/u/work/deep/server.pem", None),
            ("/home/u/workshop/.env", Some("secrets/dotenv")),
            ("/srv/site/.env", Some("secrets/dotenv")),
        ] {
            assert_eq!(rule(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn what_was_installed_is_no_secret() {
        for path in [
            "/home/u/.cargo/registry/src/x-1.0/test/identity.p12",
            "/home/u/.cargo/registry/src/x-1.0/test/server.pem",
            "/home/u/.cache/pip/http/a/b.pem",
            "/home/u/.nvm/versions/node/v22.0.0/lib/node_modules/npm/.npmrc",
            "/home/u/.pyenv/versions/3.12/lib/python3.12/test/certdata/keycert.pem",
            "/home/u/go/pkg/mod/golang.org/x/crypto/ssh/testdata/id_rsa",
            "/home/u/other/node_modules/tls-test/key.pem",
            "/home/u/venvs/a/lib/python3.12/site-packages/certifi/cacert.pem",
            "/home/u/other/.git/objects/ab/cd.pem",
        ] {
            assert_eq!(rule(path), None, "{path}");
        }
    }

    #[test]
    fn directories_are_secrets_by_names_of_their_own() {
        let names = Names::new(&"/home/u".into(), &[]);
        let rule = |path: &str| names.secret(Path::new(path), true).map(|named| named.rule);
        assert_eq!(rule("/home/u/backup/.ssh"), Some("secrets/ssh"));
        // A virtual environment.
        assert_eq!(rule("/home/u/other/.env"), None);
    }

    #[test]
    fn certificates_are_public_and_keys_are_not() {
        let names = Names::new(&"/home/u".into(), &[]);
        let public = |text: &str| names.is_public(text.as_bytes());
        let part = |label: &str| format!("-----BEGIN {label}-----\nMIIB\n-----END {label}-----\n");
        assert!(public(&part("CERTIFICATE")));
        assert!(public(&format!("# Issuer: CN=A\n{}\n\nB\n=\n{}", part("CERTIFICATE"), part("PUBLIC KEY"))));
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY", "CERTIFICATE X"]
        {
            assert!(!public(&part(label)), "{label}");
            assert!(!public(&(part("CERTIFICATE") + &part(label))), "{label} behind a certificate");
        }
        assert!(!public("hush") && !public("") && !public("-----BEGIN"));
    }

    #[test]
    fn names_in_the_tables_are_folded() {
        for Secret { pattern, .. } in NAMED.iter().chain(MORE) {
            let name = pattern.trim_end_matches('/');
            assert!(!name.contains('/'), "{pattern}");
            let example = name.replace('*', "x");
            assert!(super::named(OsStr::new(&example), pattern.ends_with('/')).is_some(), "{pattern}");
        }
    }
}
