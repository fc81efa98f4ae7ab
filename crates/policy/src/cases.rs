//! Cases: what a profile or a policy must say, written beside it and run by `belljar policy test`.

use crate::confine::{ConfineRequest, access, confine};
use crate::content::{self, Notes, Side};
use crate::error::PolicyError;
use crate::layer::position;
use crate::names::Names;
use crate::policy::Policy;
use crate::profile::Profile;
use model::{
    Access, Action, Analysis, Certainty, Change, ChangeKind, ChangeSet, CheckId, Coverage, Decision, Differs,
    Disposition, Effect, Endpoint, FileKind, FilePath, Finding, Meta, PathScope, Place, Protocol, Reversibility,
    SecretNames, Span, Target, Verdict,
};
use serde::Deserialize;
use std::ffi::OsString;
use toml::Spanned;

/// The cases of the built-in rules.
pub const DEFAULT_CASES: &str = include_str!("../../../policies/default.test.toml");

/// The cases of one file.
pub struct Cases {
    file: File,
    lines: [Vec<usize>; 3],
}

/// How a case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// What the case says.
    pub says: String,
    /// Where it begins.
    pub line: usize,
    /// What is not as it must be; empty for a case that holds.
    pub wrong: Vec<Wrong>,
    /// The rules that decided, and on what.
    pub decided: String,
}

/// One thing that is not as a case says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Which.
    pub what: &'static str,
    /// As the case says.
    pub expected: String,
    /// As it is.
    pub actual: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    decide: Vec<Spanned<Decide>>,
    #[serde(default)]
    review: Vec<Spanned<Review>>,
    #[serde(default)]
    confine: Vec<Spanned<Confine>>,
}

/// A command before it runs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decide {
    says: String,
    #[serde(default = "yes")]
    contained: bool,
    #[serde(default)]
    effects: Vec<Spanned<String>>,
    #[serde(default)]
    findings: Vec<Spanned<String>>,
    #[serde(default)]
    partial: bool,
    risk: Option<Tier>,
    verdict: Verdict,
    rule: Option<String>,
}

/// A change after it ran; with `after`, by its content too.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Review {
    says: String,
    #[serde(default)]
    announced: Vec<Spanned<String>>,
    change: Spanned<String>,
    mode: Option<Spanned<String>>,
    link: Option<String>,
    kind: Option<FileKind>,
    #[serde(default)]
    below: u64,
    /// The text on the host, and in the jar.
    before: Option<String>,
    after: Option<String>,
    risk: Option<Tier>,
    disposition: Disposition,
    flag: Option<String>,
    rule: Option<String>,
}

/// The jar. One of `path`, `host`, `variable` and `limit`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Confine {
    says: String,
    path: Option<String>,
    host: Option<Spanned<String>>,
    variable: Option<String>,
    limit: Option<String>,
    is: String,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
enum Tier {
    Low,
    Medium,
    High,
}

fn yes() -> bool {
    true
}

/// A text and its name, for errors.
struct Reader<'a> {
    name: &'a str,
    text: &'a str,
}

type Read<T> = Result<T, PolicyError>;

impl Cases {
    /// Reads cases; `name` stands in the errors.
    ///
    /// # Errors
    /// The first thing that is wrong, with line and column.
    pub fn parse(name: &str, text: &str) -> Read<Cases> {
        let reader = Reader { name, text };
        let file: File = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            reader.wrong(at, model::escape::text(error.message()), "policies/default.test.toml shows what a case has")
        })?;
        let line = |at: usize| position(text, at).0;
        let lines = [
            file.decide.iter().map(|case| line(case.span().start)).collect(),
            file.review.iter().map(|case| line(case.span().start)).collect(),
            file.confine.iter().map(|case| line(case.span().start)).collect(),
        ];
        let cases = Cases { file, lines };
        cases.check(&reader)?;
        Ok(cases)
    }

    /// Every text in a case means something.
    fn check(&self, reader: &Reader<'_>) -> Read<()> {
        for case in self.file.decide.iter().map(Spanned::get_ref) {
            case.effects.iter().try_for_each(|text| reader.effect(text).map(drop))?;
            case.findings.iter().try_for_each(|text| reader.finding(text).map(drop))?;
        }
        for case in self.file.review.iter().map(Spanned::get_ref) {
            case.announced.iter().try_for_each(|text| reader.effect(text).map(drop))?;
            reader.change(case)?;
        }
        for case in &self.file.confine {
            let one = case.get_ref();
            let about = [one.path.is_some(), one.host.is_some(), one.variable.is_some(), one.limit.is_some()];
            if about.iter().filter(|is| **is).count() != 1 {
                let hint = "name one of path, host, variable and limit";
                return Err(reader.wrong(
                    case.span().start,
                    "a case about nothing, or about several things".into(),
                    hint,
                ));
            }
            if let Some(host) = &one.host {
                reader.peer(host)?;
            }
        }
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lines.iter().map(Vec::len).sum()
    }

    /// Runs all of them against a policy and a confinement: home `/home/u`, workspace `/home/u/work`, user 1000.
    #[must_use]
    pub fn run(&self, policy: &Policy, profile: &Profile) -> Vec<Ran> {
        let [decide, review, confine] = &self.lines;
        let decide = self.file.decide.iter().zip(decide).map(|(case, line)| case.get_ref().run(*line, policy, profile));
        let review = self.file.review.iter().zip(review).map(|(case, line)| case.get_ref().run(*line, policy));
        let confine =
            self.file.confine.iter().zip(confine).map(|(case, line)| case.get_ref().run(*line, policy, profile));
        decide.chain(review).chain(confine).collect()
    }
}

/// Where cases take place, and tests.
#[must_use]
pub fn place(contained: bool) -> Place {
    Place {
        cwd: "/home/u/work".into(),
        home: "/home/u".into(),
        workspace: "/home/u/work".into(),
        state: "/home/u/.local/state/belljar".into(),
        uid: 1000,
        contained,
    }
}

/// What was checked already: a text that means nothing is left out.
const CHECKED: Reader<'static> = Reader { name: "", text: "" };

impl Decide {
    fn run(&self, line: usize, policy: &Policy, profile: &Profile) -> Ran {
        let analysis = analysis(&self.effects, &self.findings, self.partial);
        let place = place(self.contained);
        let assessment = policy.assess(&analysis, &place);
        let decision = policy.decide(&analysis, &assessment, &place);
        let decision = if profile.unattended == Some(true) { denied_instead(decision) } else { decision };
        let first = decision.because.first();
        let rules = first.map(|because| because.rules.clone()).unwrap_or_default();
        let tier = if self.contained { assessment.tiers.contained } else { assessment.tiers.bare };
        let mut wrong = Vec::new();
        differ(&mut wrong, "verdict", verdict_word(self.verdict), verdict_word(decision.verdict));
        self.risk.iter().for_each(|risk| differ(&mut wrong, "risk", risk.word(), &tier.to_string()));
        self.rule.iter().for_each(|rule| decides(&mut wrong, rule, &rules));
        let about = first.map(|because| because.about.clone()).unwrap_or_default();
        Ran { says: self.says.clone(), line, wrong, decided: format!("{} decides on: {about}", named(&rules)) }
    }
}

impl Review {
    fn run(&self, line: usize, policy: &Policy) -> Ran {
        let Ok(change) = CHECKED.change(self) else {
            return Ran { says: self.says.clone(), line, wrong: Vec::new(), decided: String::new() };
        };
        let notes = self.notes(&change);
        let changes = ChangeSet { changes: vec![change] };
        let (analysis, place) = (analysis(&self.announced, &[], false), place(true));
        let review = policy.review_read(&changes, &notes, &analysis, &place, &[]);
        let mut wrong = Vec::new();
        differ(&mut wrong, "disposition", disposition_word(self.disposition), disposition_word(review.disposition));
        let risk = review.risks.first().map(ToString::to_string).unwrap_or_default();
        self.risk.iter().for_each(|tier| differ(&mut wrong, "risk", tier.word(), &risk));
        let flags: Vec<&str> = review.flags.iter().map(|flag| flag.rule.as_str()).collect();
        if let Some(flag) = self.flag.as_deref().filter(|flag| !flags.contains(flag)) {
            differ(&mut wrong, "flag", flag, &flags.join(", "));
        }
        let rulings = policy.rulings(&changes, &notes, &analysis, &place);
        let rules = rulings.into_iter().next().unwrap_or_default();
        self.rule.iter().for_each(|rule| decides(&mut wrong, rule, &rules));
        Ran { says: self.says.clone(), line, wrong, decided: format!("{} decides", named(&rules)) }
    }

    /// What the content tells, where the case has one. Scripts are MEDIUM here: nobody analyses them.
    fn notes(&self, change: &Change) -> Notes {
        let Some(after) = &self.after else { return Notes::new() };
        let place = place(true);
        fn side(text: &String) -> Side<'_> {
            Side::Head(text.as_bytes(), text.len() as u64)
        }
        let before = self.before.as_ref().map_or(Side::Absent, side);
        let mut judge = |_: &str| (model::Risk::Medium, String::new());
        Notes::from([(0, content::Reader::new(&place).read(change, before, side(after), &mut judge))])
    }
}

impl Confine {
    fn run(&self, line: usize, policy: &Policy, profile: &Profile) -> Ran {
        let (what, actual) = self.actual(policy, profile);
        let mut wrong = Vec::new();
        differ(&mut wrong, what, &self.is, &actual);
        Ran { says: self.says.clone(), line, wrong, decided: String::new() }
    }

    fn actual(&self, policy: &Policy, profile: &Profile) -> (&'static str, String) {
        let place = place(true);
        // Every name the case may ask about is in the caller's environment.
        let env: Vec<(OsString, OsString)> = self.variable.iter().map(|name| (name.into(), "value".into())).collect();
        let wishes = ConfineRequest { env: &env, held: policy.held(), ..profile.wishes(&place) };
        let made = confine(&place, &wishes).and_then(|made| Ok((Names::of(&place, &made)?, made)));
        let (names, confinement) = match made {
            Ok(made) => made,
            Err(error) => return ("jar", format!("no jar: {error}")),
        };
        if let Some(path) = &self.path {
            let path = Profile::at(&place, path).unwrap_or_default();
            let named = names.secret(path.as_path(), false).is_some();
            let access = if named { Access::Hidden } else { access(&confinement, &path) };
            return ("access", access.word().to_owned());
        }
        if let Some(host) = &self.host {
            let allowed = CHECKED.peer(host).is_ok_and(|(host, port, protocol)| match host.parse() {
                Ok(address) => confinement.network.allows_address(address, port, protocol),
                Err(_) => confinement.network.allows_name(&host, port, protocol),
            });
            return ("network", if allowed { "allowed" } else { "refused" }.to_owned());
        }
        if let Some(name) = &self.variable {
            let withheld = confinement.env_withheld.contains(name);
            return ("variable", if withheld { "withheld" } else { "passed" }.to_owned());
        }
        let name = self.limit.as_deref().unwrap_or_default();
        let set = profile.limits.set_ones().into_iter().find(|(known, ..)| *known == name);
        ("limit", set.map_or_else(|| "none".to_owned(), |(_, text, _)| text))
    }
}

/// A decision where nobody can be asked.
#[must_use]
pub fn denied_instead(mut decision: Decision) -> Decision {
    for because in decision.because.iter_mut().filter(|because| because.verdict == Verdict::Ask) {
        because.verdict = Verdict::Deny;
    }
    if decision.verdict == Verdict::Ask {
        decision.verdict = Verdict::Deny;
    }
    decision
}

fn analysis(effects: &[Spanned<String>], findings: &[Spanned<String>], partial: bool) -> Analysis {
    Analysis {
        text: "the command".to_owned(),
        effects: effects.iter().filter_map(|text| CHECKED.effect(text).ok()).collect(),
        findings: findings.iter().filter_map(|text| CHECKED.finding(text).ok()).collect(),
        coverage: if partial { Coverage::Partial(vec![Span::new(0, 3)]) } else { Coverage::Full },
        canonical: Vec::new(),
        certificates: Vec::new(),
    }
}

fn differ(wrong: &mut Vec<Wrong>, what: &'static str, expected: &str, actual: &str) {
    if expected != actual {
        wrong.push(Wrong { what, expected: expected.to_owned(), actual: actual.to_owned() });
    }
}

/// Rules of layers have the layer's name in front.
fn decides(wrong: &mut Vec<Wrong>, rule: &str, rules: &[String]) {
    let is = |known: &String| known == rule || known.strip_suffix(rule).is_some_and(|rest| rest.ends_with(':'));
    if !rules.iter().any(is) {
        differ(wrong, "rule", rule, &named(rules));
    }
}

fn named(rules: &[String]) -> String {
    if rules.is_empty() { "no rule".to_owned() } else { rules.join(", ") }
}

fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Ask => "ask",
        Verdict::Deny => "deny",
    }
}

fn disposition_word(disposition: Disposition) -> &'static str {
    match disposition {
        Disposition::Keep => "keep",
        Disposition::Ask => "ask",
        Disposition::Discard => "discard",
    }
}

impl Tier {
    fn word(self) -> &'static str {
        match self {
            Tier::Low => "LOW",
            Tier::Medium => "MEDIUM",
            Tier::High => "HIGH",
        }
    }
}

const EFFECTS: &str = "ACTION TARGET, as in \"write /home/u/work/a\", \"delete tree /x\", \"connect peer a.example:443\", \"execute program make\"";
const CHANGES: &str = "VERB PATH, as in \"added /home/u/work/a\"; verbs are added, modified, touched, replaced, deleted and renamed FROM TO";

impl Reader<'_> {
    fn wrong(&self, at: usize, message: String, hint: &str) -> PolicyError {
        let (line, column) = position(self.text, at);
        PolicyError::Profile { layer: self.name.to_owned(), line, column, message, hint: hint.to_owned() }
    }

    fn no(&self, given: &Spanned<String>, what: &str, hint: &str) -> PolicyError {
        self.wrong(given.span().start, format!("`{}` is no {what}", model::escape::text(given.get_ref())), hint)
    }

    /// `read PATH`, `delete tree PATH`, `connect peer HOST:PORT`, `execute program NAME`, `write unknown WORDS`.
    fn effect(&self, given: &Spanned<String>) -> Read<Effect> {
        let no = || self.no(given, "effect", EFFECTS);
        let (action, rest) = given.get_ref().split_once(' ').ok_or_else(no)?;
        let action = Action::named(action).ok_or_else(no)?;
        let target = target(rest);
        let reversibility = match (&target, action) {
            (_, Action::Read | Action::Execute) => Reversibility::Harmless,
            (Target::Path { .. } | Target::Unknown { .. }, _) => Reversibility::ByOverlay,
            _ => Reversibility::Never,
        };
        Ok(Effect { action, target, certainty: Certainty::Must, reversibility, span: None, by: None })
    }

    /// `BJ003 HIGH`.
    fn finding(&self, given: &Spanned<String>) -> Read<Finding> {
        let no = || self.no(given, "finding", "CHECK TIER, as in \"BJ003 HIGH\"");
        let (check, tier) = given.get_ref().split_once(' ').ok_or_else(no)?;
        let severity = match tier {
            "LOW" => model::Risk::Low,
            "MEDIUM" => model::Risk::Medium,
            "HIGH" => model::Risk::High,
            _ => return Err(no()),
        };
        let check: CheckId = check.parse().map_err(|_| no())?;
        Ok(Finding { check, severity, span: Span::new(0, 1), message: given.get_ref().clone() })
    }

    fn peer(&self, given: &Spanned<String>) -> Read<(String, u16, Protocol)> {
        let (peer, protocol) = of_protocol(given.get_ref());
        let port = |port: &str| port.parse().ok();
        let split = peer.rsplit_once(':').and_then(|(host, text)| Some((host.to_owned(), port(text)?)));
        let split = split.map(|(host, port)| (host, port, protocol.unwrap_or(Protocol::Tcp)));
        split.ok_or_else(|| self.no(given, "HOST:PORT", "as in \"registry.npmjs.org:443\", \"time.example:123/udp\""))
    }

    fn change(&self, case: &Review) -> Read<Change> {
        let no = || self.no(&case.change, "change", CHANGES);
        let (verb, mut path) = case.change.get_ref().split_once(' ').ok_or_else(no)?;
        let kind = case.kind.unwrap_or(if case.link.is_some() { FileKind::Symlink } else { FileKind::File });
        let mode = match &case.mode {
            None => 0o644,
            Some(mode) => {
                let octal = u32::from_str_radix(mode.get_ref(), 8).ok();
                octal.ok_or_else(|| self.no(mode, "mode", "octal digits in quotes, as in \"755\""))?
            }
        };
        let link = case.link.as_deref().map(FilePath::from);
        let after = Some(Meta { kind, mode, uid: 1000, gid: 1000, size: 1, link });
        let before = Some(Meta { kind, mode: 0o644, uid: 1000, gid: 1000, size: 2, link: None });
        let differs = Differs { content: verb == "modified", ..Differs::default() };
        let (kind, before, after) = match verb {
            "added" => (ChangeKind::Added, None, after),
            "modified" | "touched" => (ChangeKind::Modified, before, after),
            "replaced" => (ChangeKind::Replaced, before, after),
            "deleted" => (ChangeKind::Deleted, before, None),
            "renamed" => {
                let (from, to) = path.split_once(' ').ok_or_else(no)?;
                path = to;
                (ChangeKind::Renamed { from: from.into() }, before, after)
            }
            _ => return Err(no()),
        };
        Ok(Change { path: FilePath::from(path), kind, before, after, differs, below: case.below })
    }
}

/// A peer without the `/udp` or `/tcp` behind it.
fn of_protocol(peer: &str) -> (&str, Option<Protocol>) {
    let named = [Protocol::Tcp, Protocol::Udp].into_iter();
    let mut found = named.filter_map(|protocol| {
        let peer = peer.strip_suffix(protocol.name())?.strip_suffix('/')?;
        Some((peer, Some(protocol)))
    });
    found.next().unwrap_or((peer, None))
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
            let (rest, protocol) = of_protocol(rest);
            let (host, port) = rest.rsplit_once(':').map_or((rest, None), |(host, port)| (host, port.parse().ok()));
            Target::Peer(Endpoint { host: host.to_owned(), port, protocol })
        }
        _ => path(text, PathScope::Exact),
    }
}

#[cfg(test)]
mod tests {
    use super::{Cases, DEFAULT_CASES};
    use crate::policy::Policy;
    use crate::profile::{Profile, SHIPPED, Whose};
    use crate::{Layer, Origin};

    #[test]
    fn every_case_of_every_shipped_profile_holds() {
        for shipped in SHIPPED {
            let profile = Profile::parse(shipped.name, shipped.text, Whose::Own).unwrap();
            let rules = profile.rules_in_place();
            let layer = Layer { name: shipped.name, origin: Origin::User, text: &rules };
            let layers = if profile.rules.is_empty() { vec![] } else { vec![layer] };
            let policy = Policy::layered(&layers).unwrap_or_else(|error| panic!("{error}"));
            let cases = Cases::parse(shipped.name, shipped.cases).unwrap_or_else(|error| panic!("{error}"));
            assert!(cases.count() >= 5, "{}: {} cases", shipped.name, cases.count());
            for ran in cases.run(&policy, &profile) {
                assert_eq!(ran.wrong, [], "{}:{} {}: {}", shipped.name, ran.line, ran.says, ran.decided);
            }
        }
    }

    #[test]
    fn every_case_of_the_default_policy_holds_here_too() {
        let cases = Cases::parse("default", DEFAULT_CASES).unwrap();
        for ran in cases.run(&Policy::builtin().unwrap(), &Profile::default()) {
            assert_eq!(ran.wrong, [], "{}: {}", ran.line, ran.says);
        }
        assert!(cases.count() > 40);
    }

    #[test]
    fn a_case_that_does_not_hold_says_what_is() {
        let text = "[[decide]]\nsays = \"a\"\ncontained = false\neffects = [\"write /home/u/work/a\"]\nverdict = \"allow\"\n\
            rule = \"run/low\"\nrisk = \"LOW\"\n\n[[confine]]\nsays = \"b\"\npath = \"~/.ssh/id_rsa\"\nis = \"copy\"\n";
        let ran = Cases::parse("c", text).unwrap().run(&Policy::builtin().unwrap(), &Profile::default());
        let told: Vec<_> =
            ran.iter().flat_map(|ran| ran.wrong.iter().map(move |w| (ran.line, w.what, w.actual.as_str()))).collect();
        let expected =
            [(1, "verdict", "ask"), (1, "risk", "MEDIUM"), (1, "rule", "run/approved"), (9, "access", "hidden")];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_no_case_is_said_with_its_place() {
        for (text, told) in [
            ("[[decide]]\nsays = \"a\"\n", "c:1:1: missing field `verdict`"),
            ("[[decide]]\nsays = \"a\"\nverdict = \"no\"\n", "c:3:11: unknown variant `no`"),
            ("[[decide]]\nsays = \"a\"\nverdict = \"ask\"\neffects = [\"eat /a\"]\n", "c:4:12: `eat /a` is no effect"),
            ("[[review]]\nsays = \"a\"\ndisposition = \"ask\"\nchange = \"/a\"\n", "c:4:10: `/a` is no change"),
            ("[[confine]]\nsays = \"a\"\nis = \"copy\"\n", "c:1:1: a case about nothing"),
            ("[[confine]]\nsays = \"a\"\nhost = \"x\"\nis = \"allowed\"\n", "c:3:8: `x` is no HOST:PORT"),
        ] {
            let error = Cases::parse("c", text).map(drop).expect_err(text).to_string();
            assert!(error.starts_with(told), "{text}{error}");
        }
    }
}
