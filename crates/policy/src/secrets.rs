//! Secrets: the names that hold credentials, private histories and sessions, one row each.
//!
//! Reading one is never LOW. Those in the home are left out of the jar's view, and of those that only a name tells all but
//! the project's own; the ones outside the home are judged by risk.

use crate::pattern::{Fit, Folded, Table};
use model::FilePath;
use std::sync::LazyLock;

/// One row: a name that holds a secret.
pub(crate) struct Secret {
    pub(crate) pattern: &'static str,
    /// The rule shown wherever this row decides something.
    pub(crate) rule: &'static str,
}

pub(crate) const fn row(pattern: &'static str, rule: &'static str) -> Secret {
    Secret { pattern, rule }
}

/// Left out of the jar. Every pattern begins with `~/` and is free of globs, so that it is a path once the home is known.
pub(crate) static HIDDEN: &[Secret] = &[
    row("~/.ssh/", "secrets/ssh"),
    row("~/.gnupg/", "secrets/gnupg"),
    row("~/.pki/", "secrets/pki"),
    row("~/.aws/", "secrets/aws"),
    row("~/.azure/", "secrets/azure"),
    row("~/.config/gcloud/", "secrets/gcloud"),
    row("~/.boto", "secrets/gcloud"),
    row("~/.config/doctl/", "secrets/doctl"),
    row("~/.config/hcloud/", "secrets/hcloud"),
    row("~/.config/linode-cli", "secrets/linode"),
    row("~/.oci/", "secrets/oci"),
    row("~/.fly/", "secrets/fly"),
    row("~/.wrangler/", "secrets/wrangler"),
    row("~/.config/.wrangler/", "secrets/wrangler"),
    row("~/.kube/", "secrets/kube"),
    row("~/.docker/config.json", "secrets/docker"),
    row("~/.config/containers/auth.json", "secrets/docker"),
    row("~/.netrc", "secrets/netrc"),
    row("~/_netrc", "secrets/netrc"),
    row("~/.authinfo", "secrets/netrc"),
    row("~/.authinfo.gpg", "secrets/netrc"),
    row("~/.git-credentials", "secrets/git"),
    row("~/.config/git/credentials", "secrets/git"),
    row("~/.git-credential-cache/", "secrets/git"),
    row("~/.cache/git/credential/", "secrets/git"),
    row("~/.config/gh/", "secrets/gh"),
    row("~/.config/hub", "secrets/gh"),
    row("~/.config/glab-cli/", "secrets/glab"),
    row("~/.config/tea/", "secrets/tea"),
    row("~/.npmrc", "secrets/npm"),
    row("~/.yarnrc", "secrets/npm"),
    row("~/.yarnrc.yml", "secrets/npm"),
    row("~/.config/npm/npmrc", "secrets/npm"),
    row("~/.pypirc", "secrets/pypi"),
    row("~/.config/pip/pip.conf", "secrets/pypi"),
    row("~/.pip/pip.conf", "secrets/pypi"),
    row("~/.config/pypoetry/auth.toml", "secrets/pypi"),
    row("~/.config/uv/credentials/", "secrets/pypi"),
    row("~/.local/share/uv/credentials/", "secrets/pypi"),
    row("~/.condarc", "secrets/conda"),
    row("~/.cargo/credentials", "secrets/cargo"),
    row("~/.cargo/credentials.toml", "secrets/cargo"),
    row("~/.gem/credentials", "secrets/gem"),
    row("~/.local/share/gem/credentials", "secrets/gem"),
    row("~/.bundle/config", "secrets/gem"),
    row("~/.composer/auth.json", "secrets/composer"),
    row("~/.config/composer/auth.json", "secrets/composer"),
    row("~/.m2/settings.xml", "secrets/maven"),
    row("~/.m2/settings-security.xml", "secrets/maven"),
    row("~/.gradle/gradle.properties", "secrets/gradle"),
    row("~/.sbt/.credentials", "secrets/sbt"),
    row("~/.ivy2/.credentials", "secrets/sbt"),
    row("~/.nuget/NuGet/NuGet.Config", "secrets/nuget"),
    row("~/.hex/hex.config", "secrets/hex"),
    row("~/.huggingface/token", "secrets/huggingface"),
    row("~/.cache/huggingface/token", "secrets/huggingface"),
    row("~/.cache/huggingface/stored_tokens", "secrets/huggingface"),
    row("~/.kaggle/", "secrets/kaggle"),
    row("~/.config/openai/", "secrets/ai"),
    row("~/.config/anthropic/", "secrets/ai"),
    row("~/.claude.json", "secrets/ai"),
    row("~/.claude/.credentials.json", "secrets/ai"),
    row("~/.codex/auth.json", "secrets/ai"),
    row("~/.gemini/oauth_creds.json", "secrets/ai"),
    row("~/.gemini/.env", "secrets/ai"),
    row("~/.config/github-copilot/", "secrets/ai"),
    row("~/.terraform.d/credentials.tfrc.json", "secrets/terraform"),
    row("~/.terraformrc", "secrets/terraform"),
    row("~/.pulumi/credentials.json", "secrets/pulumi"),
    row("~/.vault-token", "secrets/vault"),
    row("~/.config/op/", "secrets/passwords"),
    row("~/.op/", "secrets/passwords"),
    row("~/.1password/", "secrets/passwords"),
    row("~/.config/1Password/", "secrets/passwords"),
    row("~/.config/Bitwarden/", "secrets/passwords"),
    row("~/.config/Bitwarden CLI/", "secrets/passwords"),
    row("~/.config/keepassxc/", "secrets/passwords"),
    row("~/.password-store/", "secrets/passwords"),
    row("~/.local/share/keyrings/", "secrets/passwords"),
    row("~/.local/share/kwalletd/", "secrets/passwords"),
    row("~/.config/sops/", "secrets/sops"),
    row("~/.config/age/", "secrets/age"),
    row("~/.age/", "secrets/age"),
    row("~/.mozilla/", "secrets/browser"),
    row("~/.thunderbird/", "secrets/browser"),
    row("~/.config/google-chrome/", "secrets/browser"),
    row("~/.config/chromium/", "secrets/browser"),
    row("~/.config/BraveSoftware/", "secrets/browser"),
    row("~/.config/microsoft-edge/", "secrets/browser"),
    row("~/.config/vivaldi/", "secrets/browser"),
    row("~/.config/opera/", "secrets/browser"),
    row("~/snap/firefox/", "secrets/browser"),
    row("~/snap/chromium/", "secrets/browser"),
    row("~/.var/app/org.mozilla.firefox/", "secrets/browser"),
    row("~/.var/app/com.google.Chrome/", "secrets/browser"),
    row("~/.config/Slack/", "secrets/messenger"),
    row("~/.config/discord/", "secrets/messenger"),
    row("~/.config/Signal/", "secrets/messenger"),
    row("~/.local/share/TelegramDesktop/", "secrets/messenger"),
    row("~/.bitcoin/", "secrets/wallet"),
    row("~/.ethereum/", "secrets/wallet"),
    row("~/.electrum/", "secrets/wallet"),
    row("~/.config/solana/", "secrets/wallet"),
    row("~/.my.cnf", "secrets/database"),
    row("~/.mylogin.cnf", "secrets/database"),
    row("~/.pgpass", "secrets/database"),
    row("~/.dbeaver/", "secrets/database"),
    row("~/.config/rclone/", "secrets/rclone"),
    row("~/.s3cfg", "secrets/s3"),
    row("~/.mc/config.json", "secrets/s3"),
    row("~/.smbcredentials", "secrets/smb"),
    row("~/.config/filezilla/", "secrets/ftp"),
    row("~/.msmtprc", "secrets/mail"),
    row("~/.mbsyncrc", "secrets/mail"),
    row("~/.fetchmailrc", "secrets/mail"),
    row("~/.Xauthority", "secrets/desktop"),
    row("~/.ICEauthority", "secrets/desktop"),
    row("~/.bash_history", "secrets/history"),
    row("~/.zsh_history", "secrets/history"),
    row("~/.zhistory", "secrets/history"),
    row("~/.histfile", "secrets/history"),
    row("~/.sh_history", "secrets/history"),
    row("~/.ash_history", "secrets/history"),
    row("~/.local/share/fish/fish_history", "secrets/history"),
    row("~/.local/share/atuin/", "secrets/history"),
    row("~/.python_history", "secrets/history"),
    row("~/.node_repl_history", "secrets/history"),
    row("~/.irb_history", "secrets/history"),
    row("~/.psql_history", "secrets/history"),
    row("~/.mysql_history", "secrets/history"),
    row("~/.sqlite_history", "secrets/history"),
    row("~/.rediscli_history", "secrets/history"),
    row("~/.dbshell", "secrets/history"),
    row("~/.lesshst", "secrets/history"),
    row("~/.viminfo", "secrets/history"),
    row("~/.wget-hsts", "secrets/history"),
];

/// Not hidden, but a read of one is worth a question on the bare machine.
static ELSEWHERE: &[Secret] = &[
    row("/etc/shadow", "secrets/passwords"),
    row("/etc/shadow-", "secrets/passwords"),
    row("/etc/gshadow", "secrets/passwords"),
    row("/etc/gshadow-", "secrets/passwords"),
    row("/etc/sudoers", "secrets/system"),
    row("/etc/sudoers.d/", "secrets/system"),
    row("/etc/ssl/private/", "secrets/system"),
    row("/etc/ssh/ssh_host_*_key", "secrets/ssh"),
    row("/etc/krb5.keytab", "secrets/system"),
    row("/etc/NetworkManager/system-connections/", "secrets/system"),
    row("/etc/wireguard/", "secrets/system"),
    row("/etc/kubernetes/", "secrets/kube"),
    row("/var/run/secrets/", "secrets/kube"),
    row("/run/secrets/", "secrets/kube"),
    row("/var/lib/docker/", "secrets/docker"),
    row("/proc/*/environ", "secrets/process"),
    row("/proc/*/mem", "secrets/process"),
    row("/proc/*/maps", "secrets/process"),
    row("/proc/*/task/*/environ", "secrets/process"),
    row("/proc/kcore", "secrets/process"),
    row("/root/.ssh/", "secrets/ssh"),
    row("/home/*/.ssh/", "secrets/ssh"),
    row("/home/*/.aws/", "secrets/aws"),
    row("/home/*/.gnupg/", "secrets/gnupg"),
    row("/home/*/.netrc", "secrets/netrc"),
    row("/home/*/.kube/", "secrets/kube"),
];

/// Secrets that only a name tells, wherever they lie. In a jar those of other projects are hidden ([`crate::names`]).
pub(crate) static NAMED: &[Secret] = &[
    row(".env", "secrets/dotenv"),
    row(".env.*", "secrets/dotenv"),
    row(".envrc.private", "secrets/dotenv"),
    row(".git-credentials", "secrets/git"),
    row(".netrc", "secrets/netrc"),
    row(".pgpass", "secrets/database"),
    row(".htpasswd", "secrets/passwords"),
    row("id_rsa", "secrets/ssh"),
    row("id_dsa", "secrets/ssh"),
    row("id_ecdsa", "secrets/ssh"),
    row("id_ed25519", "secrets/ssh"),
    row("id_ecdsa_sk", "secrets/ssh"),
    row("id_ed25519_sk", "secrets/ssh"),
    row("*.kdbx", "secrets/passwords"),
    row("*.p12", "secrets/key"),
    row("*.pfx", "secrets/key"),
    row("*.jks", "secrets/key"),
    row("*.keystore", "secrets/key"),
    row("*.tfstate", "secrets/terraform"),
    row("terraform.tfvars", "secrets/terraform"),
    row("service-account*.json", "secrets/gcloud"),
    row(".vault_pass", "secrets/vault"),
];

/// Last components that look like a secret and are meant to be shared.
pub(crate) const SHARED: &[&str] =
    &["*.pub", ".env.example", ".env.sample", ".env.template", ".env.dist", ".env.defaults"];

static TABLES: LazyLock<[Table<Secret>; 3]> =
    LazyLock::new(|| [HIDDEN, ELSEWHERE, NAMED].map(|rows| Table::new(rows, |row| row.pattern)));
static NOT_SECRET: LazyLock<Table<&'static str>> = LazyLock::new(|| Table::new(SHARED, |pattern| pattern));

/// The rule of the first secret that `path` names; with `tree`, also of one that lies below it.
pub(crate) fn find(path: &Folded, home: &Folded, tree: bool) -> Option<&'static str> {
    if !path.is_glob() && NOT_SECRET.matches(path, home).iter().any(|(fit, _)| *fit == Fit::Within) {
        return None;
    }
    let mut found = TABLES.iter().flat_map(|table| table.matches(path, home));
    found.find(|(fit, row)| *fit == Fit::Within || (tree && is_placed(row))).map(|(_, row)| row.rule)
}

/// Whether the row names one place. A name that may lie at any depth says nothing about the directory above it.
fn is_placed(row: &Secret) -> bool {
    row.pattern.starts_with('/') || row.pattern.starts_with('~')
}

/// The rule by which `path` is a secret of the user whose home this is; `None`: it is none that a name tells.
#[must_use]
pub fn secret_rule(path: &FilePath, home: &FilePath) -> Option<&'static str> {
    find(&Folded::new(path), &Folded::new(home), false)
}

/// Every rule of the tables, for the schema.
pub(crate) fn rules() -> impl Iterator<Item = &'static str> {
    HIDDEN.iter().chain(ELSEWHERE).chain(NAMED).map(|row| row.rule)
}

#[cfg(test)]
mod tests {
    use super::{HIDDEN, find};
    use crate::pattern::{Folded, is_glob};
    use model::FilePath;

    fn secret(path: &str, tree: bool) -> Option<&'static str> {
        find(&Folded::new(&FilePath::from(path)), &Folded::new(&FilePath::from("/home/u")), tree)
    }

    #[test]
    fn secrets_are_known_by_name() {
        for (path, tree, expected) in [
            ("/home/u/.ssh/id_rsa", false, Some("secrets/ssh")),
            ("/home/u/.ssh/id_rsa.pub", false, None),
            ("/home/u/.ss?/id_*", false, Some("secrets/ssh")),
            ("/home/u", false, None),
            ("/home/u", true, Some("secrets/ssh")),
            ("/home/u/work", true, None),
            ("/proc/1/environ", false, Some("secrets/process")),
            ("/proc/self/environ", false, Some("secrets/process")),
            ("/w/.env", false, Some("secrets/dotenv")),
            ("/w/.env.production", false, Some("secrets/dotenv")),
            ("/w/.env.example", false, None),
            ("/w/src/environ.rs", false, None),
        ] {
            assert_eq!(secret(path, tree), expected, "{path}");
        }
    }

    #[test]
    fn hidden_rows_become_paths() {
        for row in HIDDEN {
            assert!(row.pattern.starts_with("~/") && !is_glob(row.pattern), "{}", row.pattern);
        }
    }
}
