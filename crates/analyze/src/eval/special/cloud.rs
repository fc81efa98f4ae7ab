//! Clients of clouds and databases.

use crate::eval::run::Start;
use crate::eval::value::{Field, Value};
use crate::eval::{Eval, Output};
use model::{Action, PathScope, Reversibility};

/// Verbs of `gcloud` and `az` that only look; groups of them come in front.
const CLOUD_LOOKS: &[&str] =
    &["list", "show", "describe", "version", "info", "list-locations", "get-value", "list-skus"];

/// Groups that may stand in front of such a verb: things, no verbs.
const CLOUD_GROUPS: &str = "config configurations compute instances instance-groups instance-templates projects disks \
    networks subnets firewall-rules zones regions images snapshots addresses container clusters node-pools services \
    revisions functions sql databases pubsub topics subscriptions storage buckets iam roles service-accounts logging logs \
    builds artifacts repositories app versions dns managed-zones record-sets organizations billing accounts auth \
    components account vm vmss group resource network vnet subnet nsg nic public-ip aks nodepool acr repository webapp \
    functionapp appservice plan server db monitor metrics role assignment definition ad user cosmosdb redis disk image \
    snapshot provider location deployment extension";

/// Options that decide nothing about what is done.
const CLOUD_OPTIONS: &[&str] = &[
    "--output",
    "-o",
    "--query",
    "--subscription",
    "--resource-group",
    "-g",
    "--name",
    "-n",
    "--project",
    "--format",
    "--filter",
    "--limit",
    "--sort-by",
    "--zone",
    "--region",
    "--quiet",
    "-q",
    "--page-size",
    "--uri",
    "--zones",
    "--location",
    "-l",
    "--all",
    "--only-show-errors",
    "--verbosity",
    "--regions",
    "--service",
    "--platform",
    "--cluster",
];

impl Eval<'_> {
    /// `gcloud GROUP... VERB`, `az GROUP... VERB`: constant words with one verb that looks, none that may do more, and no
    /// secret. `None` leaves it to the row.
    pub(super) fn cloud_looks(&mut self, args: &[Field]) -> Option<Output> {
        let words: Vec<&str> = args.iter().map(Field::known).collect::<Option<_>>()?;
        let group: Vec<&str> = words.iter().copied().take_while(|word| !word.starts_with('-')).collect();
        let at = group.iter().position(|word| CLOUD_LOOKS.contains(word))?;
        let before = group.get(..at)?;
        let tells = |word: &&str| {
            ["secret", "token", "key", "credential", "password", "vault"].iter().any(|told| word.contains(told))
        };
        let known =
            |word: &&str| !word.starts_with('-') || CLOUD_OPTIONS.contains(&word.split('=').next().unwrap_or(word));
        // Whatever is no group may be a verb of its own, with the rest for its arguments.
        let plain = before.iter().all(|word| CLOUD_GROUPS.split_ascii_whitespace().any(|group| group == *word))
            && (!before.is_empty() || matches!(group.first(), Some(&("version" | "info"))));
        let harmless = plain && !words.iter().any(tells) && words.iter().all(known);
        harmless.then_some(Output { value: Value::Unknown, fetched: false })
    }

    /// `gh api PATH` without a method, a field or input is a GET.
    pub(super) fn gh_asks(&mut self, args: &[Field], start: &Start) -> Option<Output> {
        let words: Vec<&str> = args.iter().map(Field::known).collect::<Option<_>>()?;
        let [verb, rest @ ..] = words.as_slice() else { return None };
        let mut rest = rest.iter();
        let mut path = None;
        while let Some(word) = rest.next() {
            match *word {
                "--jq" | "-q" | "--template" | "-t" | "--cache" => {
                    rest.next()?;
                }
                "-X" | "--method" => {
                    rest.next().filter(|method| **method == "GET")?;
                }
                "--paginate" | "--slurp" | "-i" | "--include" | "--silent" | "--verbose" => {}
                word if word.starts_with('-') || path.is_some() => return None,
                word => path = Some(word),
            }
        }
        let tells = |path: &str| ["secret", "token", "graphql", "key", "://"].iter().any(|told| path.contains(told));
        if *verb != "api" || path.is_none_or(tells) {
            return None;
        }
        self.asks("api.github.com", start.span, "gh api");
        Some(Output { value: Value::Unknown, fetched: true })
    }

    /// `aws SERVICE VERB`: verbs that only look are told apart from the rest.
    pub(super) fn aws(&mut self, args: &[Field], start: &Start) {
        let words: Vec<&str> = args.iter().filter_map(Field::known).filter(|text| !text.starts_with('-')).collect();
        let verb = words.get(1).copied().unwrap_or("");
        let looks = ["describe", "list", "get", "ls", "help", "head", "wait", "lookup", "search"]
            .iter()
            .any(|start| verb.starts_with(start))
            || matches!(words.as_slice(), ["logs", "tail" | "filter-log-events", ..]);
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
        let decrypts = args.iter().any(|field| field.known().is_some_and(|text| text.starts_with("--with-decr")));
        if secret || decrypts {
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
}
