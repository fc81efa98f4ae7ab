//! Every case beside the default policy holds, every rule is exercised by one, and the policy is what its schema says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use belljar_policy::cases::place;
use belljar_policy::content::{Notes, Reader, Side};
use belljar_policy::{DEFAULT, Layer, Origin, Policy, SCHEMA};
use cedar_policy::{PolicySet, Schema, ValidationMode, Validator};
use model::{
    Action, Analysis, Attempt, Certainty, Change, ChangeKind, ChangeSet, CheckId, Coverage, Differs, Disposition,
    Effect, Endpoint, FileKind, FilePath, Finding, Meta, PathScope, Reversibility, Review, Risk, Span, Target, Verdict,
};
use serde::Deserialize;
use std::collections::BTreeSet;

const CASES: &str = include_str!("../../../policies/default.test.toml");

#[derive(Deserialize)]
struct File {
    decide: Vec<DecideCase>,
    review: Vec<ReviewCase>,
}

#[derive(Deserialize)]
struct DecideCase {
    says: String,
    contained: bool,
    #[serde(default)]
    effects: Vec<String>,
    #[serde(default)]
    findings: Vec<String>,
    #[serde(default)]
    partial: bool,
    risk: String,
    verdict: Verdict,
    rule: String,
}

#[derive(Deserialize)]
struct ReviewCase {
    says: String,
    #[serde(default)]
    announced: Vec<String>,
    change: String,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    link: Option<String>,
    #[serde(default)]
    kind: Option<FileKind>,
    #[serde(default)]
    below: u64,
    #[serde(default)]
    before: Option<String>,
    #[serde(default)]
    after: Option<String>,
    risk: String,
    disposition: Disposition,
    #[serde(default)]
    flag: Option<String>,
    rule: String,
}

fn cases() -> File {
    toml::from_str(CASES).expect("the cases are valid TOML")
}

/// `read PATH`, `delete tree PATH`, `connect HOST:PORT`, `execute NAME`, `signal WHAT`, `write unknown TEXT`.
fn effect(text: &str) -> Effect {
    let (action, rest) = text.split_once(' ').expect("action and target");
    let action: Action =
        serde::Deserialize::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(action))
            .expect("a known action");
    let target = target(rest);
    let reversibility = match (&target, action) {
        (_, Action::Read | Action::Execute) => Reversibility::Harmless,
        (Target::Path { .. } | Target::Unknown { .. }, _) => Reversibility::ByOverlay,
        _ => Reversibility::Never,
    };
    Effect { action, target, certainty: Certainty::Must, reversibility, span: None, by: None }
}

fn target(text: &str) -> Target {
    let path = |path: &str, scope| Target::Path { path: FilePath::from(path), scope };
    match text.split_once(' ') {
        Some(("tree", rest)) => path(rest, PathScope::Tree),
        Some(("glob", rest)) => path(rest, PathScope::Glob),
        Some(("unknown", rest)) => Target::Unknown { text: rest.to_owned() },
        Some(("program", rest)) => Target::Program { name: rest.to_owned() },
        Some(("thing", rest)) => Target::Thing { what: rest.to_owned() },
        Some(("peer", rest)) => {
            let (host, port) = rest.rsplit_once(':').map_or((rest, None), |(h, p)| (h, p.parse().ok()));
            Target::Peer(Endpoint { host: host.to_owned(), port, protocol: None })
        }
        _ => path(text, PathScope::Exact),
    }
}

fn analysis(effects: &[String], findings: &[String], partial: bool) -> Analysis {
    let finding = |text: &String| {
        let (check, severity) = text.split_once(' ').expect("check and severity");
        Finding {
            check: check.parse().expect("a check"),
            severity: risk(severity),
            span: Span::new(0, 1),
            message: text.clone(),
        }
    };
    Analysis {
        text: "the command".to_owned(),
        effects: effects.iter().map(|text| effect(text)).collect(),
        findings: findings.iter().map(finding).collect(),
        coverage: if partial { Coverage::Partial(vec![Span::new(0, 3)]) } else { Coverage::Full },
        canonical: Vec::new(),
        certificates: Vec::new(),
    }
}

fn risk(text: &str) -> Risk {
    match text {
        "LOW" => Risk::Low,
        "MEDIUM" => Risk::Medium,
        "HIGH" => Risk::High,
        other => panic!("no tier: {other}"),
    }
}

fn change(case: &ReviewCase) -> Change {
    let (verb, mut path) = case.change.split_once(' ').expect("verb and path");
    let kind = case.kind.unwrap_or(if case.link.is_some() { FileKind::Symlink } else { FileKind::File });
    let mode = case.mode.as_ref().map_or(0o644, |mode| u32::from_str_radix(mode, 8).expect("octal"));
    let link = case.link.as_deref().map(FilePath::from);
    let after = Meta { kind, mode, uid: 1000, gid: 1000, size: 1, link };
    let before = Meta { kind, mode: 0o644, uid: 1000, gid: 1000, size: 2, link: None };
    let differs = Differs { content: verb == "modified", ..Differs::default() };
    let (kind, before, after) = match verb {
        "added" => (ChangeKind::Added, None, Some(after)),
        "modified" => (ChangeKind::Modified, Some(before), Some(after)),
        "replaced" => (ChangeKind::Replaced, Some(before), Some(after)),
        "deleted" => (ChangeKind::Deleted, Some(before), None),
        "touched" => (ChangeKind::Modified, Some(before), Some(after)),
        "renamed" => {
            let (from, to) = path.split_once(' ').expect("from and to");
            path = to;
            (ChangeKind::Renamed { from: from.into() }, Some(before), Some(after))
        }
        other => panic!("no such change: {other}"),
    };
    Change { path: FilePath::from(path), kind, before, after, differs, below: case.below }
}

/// The review of one case, with its content where it has one.
fn reviewed(policy: &Policy, case: &ReviewCase) -> Review {
    let (change, place) = (change(case), place(true));
    let side = |text: &Option<String>| text.clone().unwrap_or_default();
    let (before, after) = (side(&case.before), side(&case.after));
    let head = |text: &'_ str| -> u64 { text.len() as u64 };
    let mut notes = Notes::new();
    if case.after.is_some() {
        let before = match case.before {
            Some(_) => Side::Head(before.as_bytes(), head(&before)),
            None => Side::Absent,
        };
        let after = Side::Head(after.as_bytes(), head(&after));
        notes.insert(0, Reader::new(&place).read(&change, before, after, &mut |_| (Risk::Medium, String::new())));
    }
    let analysis = analysis(&case.announced, &[], false);
    policy.review_read(&ChangeSet { changes: vec![change] }, &notes, &analysis, &place, &[])
}

/// What is wrong with a decision, if anything.
fn wrong_decision(policy: &Policy, case: &DecideCase) -> Option<String> {
    let analysis = analysis(&case.effects, &case.findings, case.partial);
    let place = place(case.contained);
    let assessment = policy.assess(&analysis, &place);
    let decision = policy.decide(&analysis, &assessment, &place);
    (decision.verdict != case.verdict).then(|| format!("{}: {decision:#?}", case.says))
}

/// What is wrong with a review, if anything.
fn wrong_review(policy: &Policy, case: &ReviewCase) -> Option<String> {
    let review = reviewed(policy, case);
    (review.disposition != case.disposition).then(|| format!("{}: {review:#?}", case.says))
}

/// The default policy with one rule gone, or one word of it changed.
fn mutants() -> Vec<(String, String)> {
    const SWAPS: &[(&str, &str)] = &[
        ("context.risk == 0", "context.risk <= 1"),
        ("context.risk <= 1", "context.risk <= 2"),
        ("context.risk <= 1", "context.risk <= 0"),
        ("context.contained", "context.approved"),
        ("!context.contained", "context.contained"),
        ("when { context.approved }", "when { !context.approved }"),
        ("when { context.approved }", "when { context.approved && context.risk <= 1 }"),
        ("permit (principal, action in Action::\"effect\"", "permit (principal, action in Action::\"change\""),
        ("forbid (principal, action in Action::\"change\"", "forbid (principal, action in [Action::\"read\"]"),
        ("forbid", "permit"),
        ("Location::\"device\"", "Location::\"home\""),
        ("resource.top &&", "!resource.top &&"),
        ("!(resource.scope == Scope::\"exact\")", "resource.scope == Scope::\"tree\""),
        ("!(resource.scope == Scope::\"exact\")", "resource.scope == Scope::\"glob\""),
        ("Rule::\"belljar/state\"", "Rule::\"secrets/aws\""),
        ("context.named", "context.predicted"),
        ("Kind::\"block-device\"", "Kind::\"fifo\""),
        ("||", "&&"),
    ];
    let set: PolicySet = DEFAULT.parse().unwrap();
    let count = set.policies().count();
    let rules: Vec<String> = (0..count)
        .map(|n| set.policy(&cedar_policy::PolicyId::new(format!("policy{n}"))).unwrap().to_cedar().unwrap())
        .collect();
    let with = |at: usize, text: &str| {
        let rules = rules.iter().enumerate().map(|(n, rule)| if n == at { text } else { rule.as_str() });
        rules.collect::<Vec<_>>().join("\n")
    };
    let dropped = (0..count).map(|at| (format!("without rule {at}: {}", rules[at]), with(at, "")));
    let swapped = (0..count).flat_map(|at| {
        let rule = &rules[at];
        let met = SWAPS.iter().filter(|(from, _)| rule.contains(from));
        met.map(|(from, to)| (format!("{to} in rule {at}: {rule}"), with(at, &rule.replace(from, to))))
            .collect::<Vec<_>>()
    });
    dropped.chain(swapped).collect()
}

#[test]
fn every_mutant_of_the_policy_fails_a_case() {
    let file = cases();
    let mutants = mutants();
    assert!(mutants.len() >= 30, "{}", mutants.len());
    for (what, text) in mutants {
        let layer = Layer { name: "mutant", origin: Origin::User, text: &text };
        let policy = Policy::without_builtin(&[layer]).unwrap_or_else(|error| panic!("{what}: {error}"));
        let caught = file.decide.iter().any(|case| wrong_decision(&policy, case).is_some())
            || file.review.iter().any(|case| wrong_review(&policy, case).is_some());
        assert!(caught, "no case fails with {what}");
    }
}

#[test]
fn the_text_decides_as_the_trees_do() {
    let layer = Layer { name: "text", origin: Origin::User, text: DEFAULT };
    let policy = Policy::without_builtin(&[layer]).unwrap();
    let file = cases();
    assert_eq!(file.decide.iter().find_map(|case| wrong_decision(&policy, case)), None);
    assert_eq!(file.review.iter().find_map(|case| wrong_review(&policy, case)), None);
}

#[test]
fn every_decision_is_as_written() {
    let policy = Policy::builtin().unwrap();
    for case in cases().decide {
        let analysis = analysis(&case.effects, &case.findings, case.partial);
        let place = place(case.contained);
        let assessment = policy.assess(&analysis, &place);
        let decision = policy.decide(&analysis, &assessment, &place);
        let tier = if case.contained { assessment.tiers.contained } else { assessment.tiers.bare };
        assert_eq!(tier, risk(&case.risk), "{}: {assessment:#?}", case.says);
        assert_eq!(decision.verdict, case.verdict, "{}: {decision:#?}", case.says);
        let rules = &decision.because[0].rules;
        assert!(rules.contains(&case.rule), "{}: decided by {rules:?}", case.says);
    }
}

/// What is refused or red when it comes, at any depth and in any case of letters: files by which others run code.
#[test]
fn whatever_makes_others_run_code_is_red_when_it_comes() {
    const NAMES: &str = ".git/hooks/post-merge .git/config .git/modules/a/config .gitmodules .gitattributes .husky/pre-push \
        .pre-commit-config.yaml .envrc .tool-versions mise.toml .npmrc .yarnrc .yarnrc.yml .pnpmfile.cjs package.json \
        .cargo/config.toml build.rs rust-toolchain rust-toolchain.toml pip.conf sitecustomize.py a.pth conftest.py Makefile \
        .vscode/tasks.json .vscode/settings.json .vscode/launch.json .idea/workspace.xml .devcontainer/devcontainer.json \
        .github/workflows/ci.yml .gitlab-ci.yml CLAUDE.md AGENTS.md .claude/settings.json .codex/config.toml .cursor/mcp.json \
        .mcp.json .gemini/settings.json .bashrc .zshrc .profile .ssh/authorized_keys setup.py binding.gyp extconf.rb";
    const AT_HOME: &str = "/home/u/.config/systemd/user/x.service /home/u/.config/autostart/x.desktop /home/u/.local/bin/ls \
        /home/u/bin/ls /var/spool/cron/crontabs/u /etc/ld.so.preload";
    let policy = Policy::builtin().unwrap();
    let deep =
        NAMES.split_whitespace().flat_map(|name| [format!("work/{name}"), format!("work/a/b/{}", name.to_uppercase())]);
    let all = deep.map(|name| format!("/home/u/{name}")).chain(AT_HOME.split_whitespace().map(str::to_owned));
    for path in all {
        for happened in ["added", "modified"] {
            let text = format!(
                "says = \"\"\nannounced = [\"write {path}\"]\nchange = \"{happened} {path}\"\nafter = \"x\"\n\
                 risk = \"HIGH\"\ndisposition = \"ask\"\nrule = \"\"\n"
            );
            let case: ReviewCase = toml::from_str(&text).unwrap();
            let review = reviewed(&policy, &case);
            assert_eq!((review.risks[0], review.disposition), (Risk::High, Disposition::Ask), "{happened} {path}");
        }
    }
}

#[test]
fn every_review_is_as_written() {
    let policy = Policy::builtin().unwrap();
    for case in cases().review {
        let review = reviewed(&policy, &case);
        let context = format!("{}: {review:#?}", case.says);
        assert_eq!(review.risks, [risk(&case.risk)], "{context}");
        assert_eq!(review.disposition, case.disposition, "{context}");
        let flags: Vec<_> = review.flags.iter().map(|flag| flag.rule.as_str()).collect();
        match &case.flag {
            Some(flag) => assert!(flags.contains(&flag.as_str()), "{context}"),
            None => assert!(flags.is_empty(), "{context}"),
        }
    }
}

#[test]
fn every_rule_is_exercised_by_a_case() {
    let set: PolicySet = DEFAULT.parse().unwrap();
    let file = cases();
    let used: BTreeSet<&str> = file
        .decide
        .iter()
        .map(|case| case.rule.as_str())
        .chain(file.review.iter().map(|case| case.rule.as_str()))
        .collect();
    for policy in set.policies() {
        let id = policy.annotation("id").expect("every rule has an @id");
        assert!(used.contains(id), "no case for {id}");
    }
}

#[test]
fn every_rule_has_a_name_of_its_own_and_a_comment() {
    let set: PolicySet = DEFAULT.parse().unwrap();
    let mut seen = BTreeSet::new();
    for policy in set.policies() {
        let id = policy.annotation("id").expect("every rule has an @id").to_owned();
        assert!(DEFAULT.contains(&format!(".\n@id(\"{id}\")")), "{id} has no comment in front of it");
        assert!(seen.insert(id.clone()), "{id} twice");
    }
}

#[test]
fn the_default_policy_is_strictly_valid() {
    let (schema, warnings) = Schema::from_cedarschema_str(SCHEMA).unwrap();
    assert_eq!(warnings.map(|w| w.to_string()).collect::<Vec<_>>(), Vec::<String>::new());
    let result = Validator::new(schema).validate(&DEFAULT.parse().unwrap(), ValidationMode::Strict);
    assert!(result.validation_passed_without_warnings(), "{result}");
}

#[test]
fn attempts_that_were_not_announced_are_surprises() {
    let policy = Policy::builtin().unwrap();
    let attempt = |action: Action, target| Attempt { action, target, rule: "secrets/ssh".to_owned(), times: 2 };
    let attempts = [
        attempt(Action::Read, target("/home/u/.ssh/id_rsa")),
        attempt(Action::Connect, target("peer evil.example:443")),
        attempt(Action::Connect, target("peer registry.npmjs.org:443")),
    ];
    let announced = analysis(&["connect peer registry.npmjs.org:443".to_owned()], &[], false);
    let review = policy.review(&ChangeSet::default(), &announced, &place(true), &attempts);
    let surprises: Vec<_> = review.surprises.iter().map(|e| format!("{} {}", e.action, e.target)).collect();
    assert_eq!(surprises, ["read /home/u/.ssh/id_rsa", "connect to evil.example:443"]);
    assert_eq!(review.disposition, Disposition::Keep);
}

#[test]
fn many_small_deletions_are_a_mass_deletion() {
    let policy = Policy::builtin().unwrap();
    let gone = |n: usize, dir: &str| {
        let case = format!("deleted /home/u/work/{dir}/{n}");
        let meta = Meta { kind: FileKind::File, mode: 0o644, uid: 1000, gid: 1000, size: 2, link: None };
        let path = case.split_once(' ').unwrap().1.into();
        let kind = ChangeKind::Deleted;
        Change { path, kind, before: Some(meta), after: None, differs: Differs::default(), below: 0 }
    };
    let announced = analysis(&["delete tree /home/u/work".to_owned()], &[], false);
    for (dir, count, red) in [("src", 32, false), ("src", 33, true), ("node_modules", 1000, false)] {
        let changes = ChangeSet { changes: (0..count).map(|n| gone(n, dir)).collect() };
        let review = policy.review(&changes, &announced, &place(true), &[]);
        let mass = review.flags.iter().filter(|flag| flag.rule == "delete/mass").count();
        assert_eq!(mass, if red { count } else { 0 }, "{count} in {dir}");
    }
}

#[test]
fn flags_come_red_first() {
    let policy = Policy::builtin().unwrap();
    let changes = ["added /home/u/work/a.sh", "added /home/u/work/.git/hooks/x"].map(|change_text| {
        change(&ReviewCase {
            says: String::new(),
            announced: vec![],
            change: change_text.to_owned(),
            mode: Some("755".to_owned()),
            link: None,
            kind: None,
            below: 0,
            before: None,
            after: None,
            risk: String::new(),
            disposition: Disposition::Ask,
            flag: None,
            rule: String::new(),
        })
    });
    let announced = analysis(&["execute program make".to_owned()], &[], false);
    let review = policy.review(&ChangeSet { changes: changes.to_vec() }, &announced, &place(true), &[]);
    let order: Vec<_> = review.flags.iter().map(|flag| (flag.change, flag.risk)).collect();
    assert_eq!(order.first(), Some(&(1, Risk::High)));
    assert!(order.is_sorted_by_key(|(change, risk)| (std::cmp::Reverse(*risk), *change)), "{order:?}");
    assert_eq!(review.surprises.len(), 2);
}

#[test]
fn the_check_ids_of_the_schema_are_check_ids() {
    for number in (1..=20).chain([90]) {
        assert!(SCHEMA.contains(&format!("\"{}\"", CheckId(number))));
    }
}
