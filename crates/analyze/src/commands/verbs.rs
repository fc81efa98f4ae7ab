//! Verbs of command line tools: `TOOL [NOUN..] VERB`. What cannot be taken back is told by the verb alone, for tools
//! whose other subcommands have no rows.

use crate::index::Index;

/// Verbs of some tools and what they do.
#[derive(Debug)]
pub(crate) struct Verbs {
    /// The tools, blank-separated; empty for every tool that no row knows.
    tools: &'static str,
    /// How many operands from the left the verb may begin at: `hcloud server delete`.
    depth: usize,
    /// The verbs, blank-separated; a `*` at the end stands for any rest, `a/b` for two words in a row.
    verbs: &'static str,
    /// Facts, as in the last column of a row.
    pub(crate) does: &'static str,
}

const fn verbs(tools: &'static str, depth: usize, verbs: &'static str, does: &'static str) -> Verbs {
    Verbs { tools, depth, verbs, does }
}

const CLOUD: &str = "remote:the_cloud bj019";
const CLUSTER: &str = "remote:the_cluster bj019";
const REGISTRY: &str = "remote:what_others_use bj019";
const DATABASE: &str = "remote:a_database bj019";
const MACHINES: &str = "changes:machines bj019";
const SYSTEM: &str = "privilege:the_system bj020";

static VERBS: &[Verbs] = &[
    verbs("", 3, "publish unpublish deploy undeploy destroy delete purge wipe terminate yank erase drop", REGISTRY),
    // Tasks of a project that say by their name that they reach others.
    verbs(
        "npm pnpm yarn bun make gmake just task rake gradle ./gradlew gradlew mvn ./mvnw mvnw sbt mix invoke nx turbo lerna ant \
         bundle hatch pdm flit rye stack cabal opam dotnet dart flutter swift pod jsr deno changeset",
        2,
        "publish unpublish deploy undeploy destroy",
        REGISTRY,
    ),
    verbs("gradle ./gradlew gradlew sbt", 3, "publish* deploy* release", REGISTRY),
    verbs("mvn ./mvnw mvnw", 4, "deploy* release", REGISTRY),
    verbs("rake", 2, "release", REGISTRY),
    verbs("lerna", 1, "version release", REGISTRY),
    verbs(
        "npm",
        2,
        "owner/add owner/rm owner/remove dist-tag/add dist-tag/rm access/set access/grant access/revoke team/add team/rm team/create hook/add adduser",
        REGISTRY,
    ),
    verbs("cargo", 1, "owner yank login logout", REGISTRY),
    verbs("dotnet nuget", 2, "push delete", REGISTRY),
    verbs(
        "stack cabal luarocks anaconda snapcraft hf huggingface-cli datadog-ci",
        2,
        "upload upload-large delete",
        REGISTRY,
    ),
    verbs("pod", 2, "push", REGISTRY),
    verbs("kaggle", 2, "create version delete submit", REGISTRY),
    verbs("goreleaser jreleaser", 1, "release publish announce full-release", REGISTRY),
    verbs("eas expo fastlane", 2, "submit publish update deliver release supply pilot upload_to_* deploy", REGISTRY),
    verbs("crane oras regctl skopeo", 2, "push copy cp append delete sync tag attach", REGISTRY),
    verbs("hub glab tea", 2, "delete merge close release/create release/upload repo/create", REGISTRY),
    verbs(
        "gh",
        2,
        "edit delete disable enable archive transfer rename lock alias/set alias/import extension/install extension/upgrade config/set ssh-key/add gpg-key/add codespace/ssh",
        REGISTRY,
    ),
    verbs("gh", 2, "gist/create gist/edit repo/create", REGISTRY),
    verbs(
        "uv cargo cpan cpanm mix nix gem npm yarn pnpm mvn",
        2,
        "tool/run tool/install binstall archive.install escript.install run/github:* run/git* shell/github:* profile/install profile/add dependency:get cache/add",
        "exec bj015",
    ),
    verbs("xdg-settings xdg-mime", 1, "set default install uninstall", "changes:the_desktop bj016"),
    verbs("busctl", 1, "call set-property emit", "changes:other_programs bj020"),
    verbs("tailscale", 1, "up funnel serve set down file", "net: bj020"),
    verbs("doppler infisical chamber teller", 2, "secrets export read env show sh", "bj017"),
    verbs("bq", 1, "rm update load insert cp mk extract", CLOUD),
    verbs("yarn", 5, "npm/publish", REGISTRY),
    verbs("cargo", 2, "release workspaces/publish", REGISTRY),
    verbs("setup.py", 5, "upload register", REGISTRY),
    verbs("dotnet", 3, "database/drop", DATABASE),
    verbs("yarn pnpm bun", 1, "create", "exec bj015"),
    verbs("deno", 1, "install", "exec bj015"),
    verbs("pre-commit", 1, "install", "changes:git_hooks bj016"),
    verbs("pre-commit", 1, "autoupdate", "exec bj015"),
    verbs("conda mamba micromamba", 2, "env/remove", "bj019"),
    verbs("security", 1, "find-generic-password find-internet-password dump-keychain export", "bj017"),
    verbs("git", 2, "lfs/prune svn/dcommit p4/submit imap-send", REGISTRY),
    verbs("pip pip3 poetry pipenv", 2, "config/set config/edit", "changes:where_packages_come_from bj016"),
    verbs(
        "tmux",
        2,
        "set-option/default-command set/default-command set-option/default-shell set/default-shell set-hook bind-key bind source-file source",
        "bj009",
    ),
    verbs("svn", 1, "commit ci delete del rm import mkdir propset", REGISTRY),
    verbs("hg jj sl", 2, "push strip purge abandon", REGISTRY),
    verbs("git-lfs", 1, "push prune", REGISTRY),
    verbs("arc", 1, "land diff", REGISTRY),
    verbs("sentry-cli snyk", 2, "new finalize deploys delete upload* monitor", REGISTRY),
    verbs("stripe twilio", 2, "create update delete cancel post api:*", REGISTRY),
    // Clouds.
    verbs(
        "cdk cdktf sam serverless sls sst amplify copilot eb wrangler firebase railway supabase render cf ibmcloud oci scw exo hcloud linode-cli \
         vultr-cli upctl civo terragrunt waypoint ko skaffold garden werf nixops morph colmena",
        3,
        "deploy* destroy* remove delete* up down apply run-all publish push reset terminate restore",
        CLOUD,
    ),
    verbs("packer", 1, "build", CLOUD),
    verbs("terraform tofu", 2, "delete force-unlock taint untaint import push mv replace-provider", CLOUD),
    verbs("nomad consul etcdctl", 2, "run stop delete del put purge system drain", CLOUD),
    verbs("vault bao", 2, "write delete seal destroy rekey rotate unseal", CLOUD),
    // Clusters.
    verbs(
        "oc argocd istioctl linkerd flux kubeadm kops eksctl k3d kind minikube rke rancher velero cmctl helmfile",
        2,
        "delete* uninstall destroy apply reset drain scale patch replace sync rollback suspend exec",
        CLUSTER,
    ),
    verbs(
        "kubectl",
        1,
        "taint proxy debug attach certificate krew/install create/token create/clusterrolebinding create/rolebinding create/clusterrole config/set* config/delete* config/unset",
        CLUSTER,
    ),
    verbs(
        "docker podman",
        2,
        "stack/rm stack/deploy service/rm service/scale secret/rm config/rm node/rm node/update pod/rm pod/kill network/rm swarm/* system/reset plugin/install context/create context/update manifest/push machine/rm",
        CLUSTER,
    ),
    verbs("nerdctl crictl ctr", 3, "rm rmi rmp stopp prune kill run exec delete", MACHINES),
    verbs(
        "lxc incus machinectl virsh vagrant VBoxManage multipass qm pct limactl colima distrobox toolbox prlctl",
        2,
        "shell login delete* destroy* vol-delete pool-delete pool-destroy net-destroy net-undefine snapshot-delete undefine unregistervm purge rm reset poweroff kill terminate restore config/device config/set",
        MACHINES,
    ),
    // Databases, queues and their schemas.
    verbs(
        "prisma knex sequelize typeorm drizzle-kit flyway liquibase alembic dbmate goose migrate atlas sqlx diesel rails rake manage.py artisan console ace",
        2,
        "reset drop drop-all drop:* db:drop* db:reset db:purge db:wipe db:schema:load db:truncate* flush reset_db clean downgrade down revert undo \
         migrate:fresh migrate:reset migrate:refresh schema:drop migration:fresh migration:reset database:drop doctrine:database:drop doctrine:schema:drop",
        DATABASE,
    ),
    verbs("influx cockroach arangosh", 2, "delete drop remove restore", DATABASE),
    verbs(
        "rabbitmqctl rabbitmqadmin",
        1,
        "reset force_reset delete* purge* stop* change_password clear_* set_*",
        DATABASE,
    ),
    // Backups.
    verbs("restic borg duplicity kopia tmutil", 1, "forget prune delete compact remove-*", "changes:backups bj019"),
    // The machine itself.
    verbs("btrfs bcachefs", 2, "delete device replace set-default", "privilege:a_file_system bj019 bj020"),
    verbs("nvme", 1, "format sanitize write* delete-ns reset", "privilege:a_device bj019 bj020"),
    verbs("diskutil", 1, "erase* zero* secureErase partitionDisk reformat", "privilege:a_device bj019 bj020"),
    verbs(
        "ip",
        2,
        "link/set link/del* route/del* route/flush route/replace addr/del* addr/flush rule/* xfrm/*",
        SYSTEM,
    ),
    verbs("nmcli", 2, "off down up delete modify add disconnect connect", SYSTEM),
    verbs(
        "systemctl",
        1,
        "isolate link edit set-environment unset-environment import-environment daemon-reexec kill rescue emergency halt kexec exit suspend \
         hibernate reenable preset revert set-property set-default unmask try-restart reload-or-restart",
        SYSTEM,
    ),
    verbs("loginctl", 1, "enable-linger terminate-* kill-*", SYSTEM),
    verbs("timedatectl hostnamectl localectl", 1, "set-* hostname", SYSTEM),
    verbs(
        "pm2 supervisorctl initctl sv",
        2,
        "startup save start stop restart delete kill reload shutdown",
        "changes:services bj009",
    ),
    // Who changes the settings of an agent or an editor changes what runs next.
    verbs(
        "claude codex gemini cursor opencode goose amp",
        2,
        "config/set mcp/add mcp/remove plugin/install config/remove",
        "changes:an_agent bj016",
    ),
    verbs("mise direnv", 1, "trust allow", "changes:what_is_trusted bj016"),
    verbs("rustup", 2, "toolchain/link self/uninstall", "changes:the_toolchain bj016"),
    verbs("nix-channel flatpak", 1, "remote-add", "changes:what_is_trusted bj016"),
    verbs("composer", 1, "global", "changes:what_is_trusted bj016"),
    verbs("gcloud az", 2, "config/set", "changes:what_is_trusted bj016"),
];

/// The rows by tool; those for tools that nobody knows by the empty name.
static BY_TOOL: Index<1024> = {
    let mut index = Index::new();
    let (mut at, mut rows) = (0, VERBS);
    while let [row, behind @ ..] = rows {
        index.add_words(row.tools, at);
        (at, rows) = (at + 1, behind);
    }
    index
};

fn rows_of(tool: &str) -> impl Iterator<Item = &'static Verbs> {
    let rows = BY_TOOL.may_have(tool).filter_map(|(_, row)| VERBS.get(row));
    rows.filter(move |row| if tool.is_empty() { row.tools.is_empty() } else { row.names(tool) })
}

/// The row that speaks of `tool` called with `operands`, and the verb; `unknown` when no row of a command knows the tool.
pub(crate) fn find<'w>(tool: &str, operands: &[&'w str], unknown: bool) -> Option<(&'static Verbs, &'w str)> {
    let tool = match rows_of(tool).next() {
        Some(_) => tool,
        None if unknown => "",
        None => return None,
    };
    rows_of(tool).find_map(|row| {
        let at = (0..row.depth.min(operands.len())).find(|at| row.says(operands.get(*at..).unwrap_or(&[])))?;
        Some((row, *operands.get(at)?))
    })
}

impl Verbs {
    fn names(&self, tool: &str) -> bool {
        self.tools.split_ascii_whitespace().any(|name| name == tool)
    }

    /// Whether `words` begin with one of the verbs; a part of the last word counts, as in `apps:destroy`.
    fn says(&self, words: &[&str]) -> bool {
        self.verbs.split_ascii_whitespace().any(|verb| {
            verb.split('/').enumerate().all(|(at, part)| words.get(at).is_some_and(|word| is_verb(part, word)))
        })
    }
}

fn is_verb(verb: &str, word: &str) -> bool {
    let is = |word: &str| match verb.strip_suffix('*') {
        Some(head) => word.starts_with(head),
        None => word == verb,
    };
    // What is published on this machine alone reaches nobody; `+publish` is sbt's for every version.
    if word.ends_with("Local") {
        return false;
    }
    let word = word.trim_start_matches('+');
    is(word) || !word.contains('/') && word.split(':').any(is) || word.strip_prefix("hex.").is_some_and(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_states_facts() {
        for row in VERBS {
            for text in row.does.split_ascii_whitespace() {
                assert!(crate::commands::roles::fact(text).is_some(), "{}: {text}", row.tools);
            }
        }
    }

    #[test]
    fn verbs_by_tool() {
        for (tool, words, unknown) in [
            ("cdk", &["destroy"][..], false),
            ("hcloud", &["server", "delete", "x"], false),
            ("sometool", &["publish"], true),
            ("flowctl", &["apps:destroy"], true),
            ("./gradlew", &["publishToMavenCentral"], false),
            ("rails", &["db:drop"], false),
        ] {
            assert!(find(tool, words, unknown).is_some(), "{tool} {words:?}");
        }
        for (tool, words, unknown) in [
            ("kubectl", &["logs", "debug"][..], false),
            ("npm", &["install", "publish-please"], false),
            ("claude", &["mcp", "list"], true),
            ("sometool", &["remove", "x"], true),
            ("sometool", &["docs/x.delete/y"], true),
            ("rails", &["db:migrate"], false),
            ("ip", &["addr", "show"], false),
        ] {
            assert!(find(tool, words, unknown).is_none(), "{tool} {words:?}");
        }
    }
}
