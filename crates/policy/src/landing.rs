//! Grants at the second door: which changes of a finished run a grant may answer for, so that nobody is asked again.
//!
//! A grant names a place. So it answers where the place is the only reason to ask: the command had not announced the change,
//! it is in the home, or a single name is gone. It never answers for
//!
//! - what is red, whatever made it so: protected names, secrets in new lines, install scripts, set-id bits, links that
//!   leave, another checksum;
//! - what a rule of a policy keeps for a person, or refuses;
//! - anything that the content, the mode, the owner or an extended attribute has to tell, red or not: dependencies that
//!   changed, a compiled program, a file that was not read to its end, a conflict with the host;
//! - what can be run as a program, links, pipes, moved and doubled names, directories that went with all that was in them;
//! - credentials, Belljar's own records, and all of a workspace or a home at once.
//!
//! Nor does one that was made before a command ran: that it may run says nothing about what becomes of its changes.

use crate::change::ChangeFacts;
use crate::facts::Ground;
use crate::grant::{Once, covers, grant_of, grantable};
use crate::surprise::Announced;
use model::{
    Action, Certainty, Change, ChangeKind, ChangeSet, Effect, FileKind, FilePath, Granted, PathScope, Place,
    Reversibility, Review, Risk, Target, Tiers,
};
use std::collections::{BTreeMap, BTreeSet};

/// Rules of the review that speak of a change's place and of nothing else.
const OF_THE_PLACE: [&str; 2] = ["home/unexpected", "delete/name"];

/// Answers which of the changes of one review a grant could be for.
pub struct Landing<'a> {
    changes: &'a ChangeSet,
    review: &'a Review,
    place: &'a Place,
    ground: Ground<'a>,
    /// Changes that are flagged for more than their place.
    more: BTreeSet<usize>,
}

impl<'a> Landing<'a> {
    /// For a change set and what was made of it, in the same order.
    #[must_use]
    pub fn new(changes: &'a ChangeSet, review: &'a Review, place: &'a Place) -> Landing<'a> {
        let of_more = review.flags.iter().filter(|flag| !OF_THE_PLACE.contains(&flag.rule.as_str()));
        let more = of_more.map(|flag| flag.change).chain(review.content.iter().map(|found| found.change)).collect();
        Landing { changes, review, place, ground: Ground::new(place), more }
    }

    /// What a grant for this change would be for.
    ///
    /// # Errors
    /// Why a person is asked about it every time.
    pub fn grant(&self, index: usize) -> Result<Granted, Once> {
        let change = self.changes.changes.get(index).ok_or(Once::Vague)?;
        // A change without a judgement would be our own defect.
        if self.review.risks.get(index).is_none_or(|risk| *risk == Risk::High) {
            return Err(Once::Red);
        }
        if self.review.held.contains(&index) {
            return Err(Once::Held);
        }
        if self.more.contains(&index) {
            return Err(Once::More);
        }
        let facts = ChangeFacts::new(change, &self.ground, Announced::No, true, false);
        if !is_plain(change) || facts.executable() {
            return Err(Once::Shape);
        }
        if facts.protected().is_some() {
            return Err(Once::Protected);
        }
        let action = action(change).ok_or(Once::More)?;
        grantable(&effect(action, &change.path), self.place)
    }

    /// What one grant for all of these would be for, a directory at a time: no wider than their own directories, and
    /// one by one where that would be everything. Nothing is named twice.
    #[must_use]
    pub fn directories(&self, indices: &[usize]) -> Vec<Granted> {
        let mut all: BTreeMap<(Action, Target), Granted> = BTreeMap::new();
        for granted in indices.iter().filter_map(|index| self.directory(*index)) {
            let same = all.entry((granted.action, granted.target.clone())).or_insert_with(|| granted.clone());
            same.tiers = highest(same.tiers, granted.tiers);
        }
        let within_another = |one: &Granted| {
            let Target::Path { path, scope } = &one.target else { return false };
            let own = (*scope == PathScope::Exact).then(|| path.clone());
            let above = std::iter::successors(path.parent(), FilePath::parent);
            let tree = |path| all.get(&(one.action, Target::Path { path, scope: PathScope::Tree }));
            own.into_iter().chain(above).filter_map(tree).any(|tree| covers(tree, one))
        };
        all.values().filter(|one| !within_another(one)).cloned().collect()
    }

    fn directory(&self, index: usize) -> Option<Granted> {
        let own = self.grant(index).ok()?;
        let change = self.changes.changes.get(index)?;
        let path =
            if kind(change) == Some(FileKind::Directory) { change.path.clone() } else { change.path.parent()? };
        let tree = Target::Path { path, scope: PathScope::Tree };
        match grant_by_hand(own.action, tree, self.place) {
            Ok(tree) => Some(Granted { tiers: highest(tree.tiers, own.tiers), ..tree }),
            Err(_) => Some(own),
        }
    }
}

/// What may be granted by hand at this door.
///
/// # Errors
/// Why it can be approved once only.
pub fn grant_by_hand(action: Action, target: Target, place: &Place) -> Result<Granted, Once> {
    match (action, &target) {
        (Action::Write | Action::Delete, Target::Path { path, .. }) => {
            let whole = [&place.workspace, &place.home].iter().any(|all| all.starts_with(path));
            if whole { Err(Once::Everything) } else { grant_of(action, target, place) }
        }
        _ => Err(Once::Shape),
    }
}

/// New and other content are one thing here: what is to be at that name.
fn action(change: &Change) -> Option<Action> {
    let differs = change.differs;
    match change.kind {
        ChangeKind::Added => Some(Action::Write),
        ChangeKind::Modified if !(differs.mode || differs.owner || differs.xattr) => Some(Action::Write),
        ChangeKind::Deleted if change.below == 0 => Some(Action::Delete),
        _ => None,
    }
}

fn highest(one: Tiers, other: Tiers) -> Tiers {
    Tiers { contained: one.contained.max(other.contained), bare: one.bare.max(other.bare) }
}

fn kind(change: &Change) -> Option<FileKind> {
    change.after.as_ref().or(change.before.as_ref()).map(|meta| meta.kind)
}

fn is_plain(change: &Change) -> bool {
    let plain = |kind: FileKind| matches!(kind, FileKind::File | FileKind::Directory);
    let sides = || change.before.iter().chain(&change.after);
    let moved = !matches!(change.kind, ChangeKind::Added | ChangeKind::Modified | ChangeKind::Deleted);
    sides().count() > 0 && sides().all(|meta| plain(meta.kind)) && !moved && change.below == 0
}

fn effect(action: Action, path: &FilePath) -> Effect {
    let target = Target::Path { path: path.clone(), scope: PathScope::Exact };
    let (certainty, reversibility) = (Certainty::Must, Reversibility::ByOverlay);
    Effect { action, target, certainty, reversibility, span: None, by: None }
}

#[cfg(test)]
mod tests {
    use super::{Landing, grant_by_hand};
    use crate::content::{Notes, Reader, Side};
    use crate::grant::{Once, covers};
    use crate::layer::{Layer, Origin};
    use crate::policy::Policy;
    use crate::testing::{added, analysis, deleted, effect, meta, modified, place};
    use model::{
        Action, Analysis, Change, ChangeKind, ChangeSet, Differs, FileKind, FilePath, Granted, PathScope,
        Reversibility, Review, Risk, Target,
    };
    use proptest::prelude::*;

    /// Whatever programs do is announced by nobody.
    fn opaque() -> Analysis {
        let make = Target::Program { name: "make".into() };
        analysis(vec![effect(Action::Execute, make, Reversibility::Harmless)])
    }

    fn reviewed(policy: &Policy, changes: &ChangeSet, text: Option<&str>) -> Review {
        let (place, mut notes) = (place(true), Notes::new());
        let reader = Reader::new(&place);
        for (index, change) in changes.changes.iter().enumerate() {
            let side = text.map(|text| Side::Head(text.as_bytes(), text.len() as u64));
            let read = side
                .filter(|_| reader.wants(change).is_some())
                .map(|after| reader.read(change, Side::Absent, after, &mut |_| (Risk::Medium, String::new())));
            notes.extend(read.filter(|notes| !notes.is_empty()).map(|notes| (index, notes)));
        }
        policy.review_read(changes, &notes, &opaque(), &place, &[])
    }

    fn answer(change: Change, text: Option<&str>) -> Result<String, Once> {
        let changes = ChangeSet { changes: vec![change] };
        let review = reviewed(&Policy::builtin().unwrap(), &changes, text);
        Landing::new(&changes, &review, &place(true)).grant(0).map(|granted| granted.to_string())
    }

    #[test]
    fn a_grant_answers_where_the_place_is_the_only_reason() {
        for (change, expected) in [
            (added("/home/u/work/docs/a.md", 0o644), "write /home/u/work/docs/a.md"),
            (modified("/home/u/work/docs/a.md"), "write /home/u/work/docs/a.md"),
            (deleted("/home/u/work/docs/a.md", FileKind::File, 0), "delete /home/u/work/docs/a.md"),
            (added("/home/u/notes.txt", 0o644), "write /home/u/notes.txt"),
        ] {
            assert_eq!(answer(change.clone(), None), Ok(expected.to_owned()), "{change:?}");
        }
        let directory = Change { after: Some(meta(FileKind::Directory, 0o755)), ..added("/home/u/work/docs", 0) };
        assert!(answer(directory, None).is_ok());
    }

    #[test]
    fn what_is_red_or_has_more_to_tell_is_asked_about_every_time() {
        let w = |name: &str| format!("/home/u/work/{name}");
        let with = |change: Change, differs: Differs| Change { differs, ..change };
        let linked = |change: Change| Change {
            after: Some(model::Meta { link: Some("a".into()), ..meta(FileKind::Symlink, 0o777) }),
            ..change
        };
        let chmod = Differs { mode: true, ..Differs::default() };
        let key = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIJx3kQ0vT7LpW9sZ2bR5dFhGm8YcUoN4eAiK\n";
        let elf = "\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0";
        for (change, text, why) in [
            // Protected names, whatever the mode is and whatever the grant.
            (added(&w(".github/workflows/ci.yml"), 0o644), None, Once::Red),
            (added(&w("docs/.git/hooks/pre-push"), 0o755), None, Once::Red),
            (modified("/home/u/.bashrc"), None, Once::Red),
            (added(&w("docs/CLAUDE.md"), 0o644), None, Once::Red),
            (modified(&w("Makefile")), None, Once::Red),
            (deleted(&w("Makefile"), FileKind::File, 0), None, Once::More),
            (modified(&w("package.json")), Some("{\"scripts\":{\"postinstall\":\"x\"}}"), Once::Red),
            (modified(&w("package.json")), Some("{\"name\":\"x\"}"), Once::More),
            (modified(&w("Cargo.toml")), Some("[dependencies]\na = \"1\"\n"), Once::More),
            (modified(&w("yarn.lock")), Some("# yarn lockfile v1\n\na@^1:\n  version \"1.0.0\"\n"), Once::More),
            // What it holds.
            (added(&w("docs/a.md"), 0o644), Some(key), Once::Red),
            (added(&w("tests/a.md"), 0o644), Some(key), Once::More),
            (added(&w("docs/tool"), 0o644), Some(elf), Once::More),
            (added(&w("docs/a.png"), 0o644), Some(elf), Once::Red),
            (added(&w(".env"), 0o600), None, Once::More),
            // What it is.
            (added(&w("docs/run.sh"), 0o755), None, Once::More),
            (
                Change {
                    after: Some(meta(FileKind::File, 0o755)),
                    before: Some(meta(FileKind::File, 0o755)),
                    ..modified(&w("docs/run.sh"))
                },
                None,
                Once::Shape,
            ),
            (added(&w("docs/a"), 0o4644), None, Once::Red),
            (added(&w("docs/a"), 0o666), None, Once::More),
            (with(modified(&w("docs/a")), chmod), None, Once::More),
            (linked(added(&w("docs/a"), 0o644)), None, Once::Shape),
            (
                Change { kind: ChangeKind::Renamed { from: w("b").as_str().into() }, ..modified(&w("docs/a")) },
                None,
                Once::Shape,
            ),
            (
                Change { kind: ChangeKind::Linked { to: w("b").as_str().into() }, ..added(&w("docs/a"), 0o644) },
                None,
                Once::Shape,
            ),
            (deleted(&w("docs"), FileKind::Directory, 7), None, Once::Shape),
            (Change { kind: ChangeKind::Replaced, ..modified(&w("docs")) }, None, Once::Shape),
            (added("/etc/x", 0o644), None, Once::Red),
        ] {
            assert_eq!(answer(change.clone(), text), Err(why), "{change:?} {text:?}");
        }
        // A run that was understood and did something else.
        let changes = ChangeSet { changes: vec![added(&w("docs/a.md"), 0o644)] };
        let review = Policy::builtin().unwrap().review(&changes, &analysis(vec![]), &place(true), &[]);
        assert_eq!(Landing::new(&changes, &review, &place(true)).grant(0), Err(Once::Red));
        let many: Vec<Change> = (0..40).map(|n| deleted(&w(&format!("docs/{n}")), FileKind::File, 0)).collect();
        let changes = ChangeSet { changes: many };
        let review = reviewed(&Policy::builtin().unwrap(), &changes, None);
        assert_eq!(Landing::new(&changes, &review, &place(true)).grant(3), Err(Once::Red), "very many that are gone");
    }

    #[test]
    fn what_a_rule_keeps_for_a_person_is_asked_about_every_time() {
        let rules =
            "@id(\"docs\") forbid (principal, action == Action::\"apply\", resource) when { !context.approved };";
        let policy = Policy::layered(&[Layer { name: "l", origin: Origin::User, text: rules }]).unwrap();
        let changes = ChangeSet { changes: vec![modified("/home/u/work/docs/a.md")] };
        let review = reviewed(&policy, &changes, None);
        assert_eq!(Landing::new(&changes, &review, &place(true)).grant(0), Err(Once::Held));
    }

    #[test]
    fn directories_stand_for_the_files_in_them_and_never_for_everything() {
        let paths = ["a.md", "docs", "docs/a.md", "docs/deep/b.md", "src/c.rs", "src/run.sh"];
        let changes: Vec<Change> = paths.iter().map(|name| added(&format!("/home/u/work/{name}"), 0o644)).collect();
        let mut changes = ChangeSet { changes };
        changes.changes[1].after = Some(meta(FileKind::Directory, 0o755));
        changes.changes[5].after = Some(meta(FileKind::File, 0o755));
        let review = reviewed(&Policy::builtin().unwrap(), &changes, None);
        let place = place(true);
        let landing = Landing::new(&changes, &review, &place);
        let words = |all: Vec<Granted>| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let all: Vec<usize> = (0..changes.changes.len()).collect();
        assert_eq!(
            words(landing.directories(&all)),
            [
                "write /home/u/work/a.md",
                "write /home/u/work/docs and all below it",
                "write /home/u/work/src and all below it"
            ]
        );
        for index in 0..5 {
            let wanted = landing.grant(index).unwrap();
            assert!(landing.directories(&all).iter().any(|granted| covers(granted, &wanted)), "{wanted}");
        }
    }

    #[test]
    fn by_hand_it_is_for_writing_and_deleting_and_for_nothing_that_is_asked_every_time() {
        let tree = |at: &str| Target::Path { path: at.into(), scope: PathScope::Tree };
        assert!(grant_by_hand(Action::Write, tree("/home/u/work/docs"), &place(true)).is_ok());
        for (action, at, why) in [
            (Action::Write, "/home/u/work/.github/workflows", Once::Protected),
            (Action::Write, "/home/u", Once::Everything),
            (Action::Write, "/home/u/work", Once::Everything),
            (Action::Delete, "/", Once::Everything),
            (Action::Write, "/home/u/.ssh", Once::Secret),
            (Action::Read, "/home/u/work/docs", Once::Shape),
            (Action::Execute, "/home/u/work/docs", Once::Shape),
        ] {
            assert_eq!(grant_by_hand(action, tree(at), &place(true)), Err(why), "{at}");
        }
    }

    const NAMES: [&str; 12] = [
        "a",
        "b.md",
        "docs",
        "src",
        ".git",
        "hooks",
        "Makefile",
        ".env",
        "package.json",
        ".github",
        "workflows",
        "id_rsa",
    ];

    fn any_change() -> impl Strategy<Value = Change> {
        let names = proptest::collection::vec(proptest::sample::select(NAMES.as_slice()), 1..4);
        let base = proptest::sample::select(["/home/u/work/", "/home/u/", "/etc/"].as_slice());
        let path = (base, names).prop_map(|(base, names)| format!("{base}{}", names.join("/")));
        let mode = proptest::sample::select([0o644, 0o755, 0o666, 0o4755, 0o600].as_slice());
        (path, mode, 0..4).prop_map(|(path, mode, what)| match what {
            0 => modified(&path),
            1 => deleted(&path, FileKind::File, 0),
            2 => Change { after: Some(meta(FileKind::Directory, mode)), ..added(&path, mode) },
            _ => added(&path, mode),
        })
    }

    proptest! {
        /// Whatever grants there are, made from whatever was shown: what they answer for is not red, has nothing to tell
        /// but its place, and lies where the grant says.
        #[test]
        fn no_grant_silences_what_is_red(shown in any_change(), come in any_change(), wide in any::<bool>()) {
            let policy = Policy::builtin().unwrap();
            let place = place(true);
            let first = ChangeSet { changes: vec![shown.clone()] };
            let review = reviewed(&policy, &first, None);
            let landing = Landing::new(&first, &review, &place);
            let granted = if wide { landing.directories(&[0]).pop() } else { landing.grant(0).ok() };
            let next = ChangeSet { changes: vec![come.clone()] };
            let review = reviewed(&policy, &next, None);
            let (Some(granted), Ok(wanted)) = (granted, Landing::new(&next, &review, &place).grant(0)) else {
                return Ok(());
            };
            prop_assert!(review.risks[0] < Risk::High && review.held.is_empty());
            prop_assert!(review.flags.iter().all(|flag| super::OF_THE_PLACE.contains(&flag.rule.as_str())));
            if covers(&granted, &wanted) {
                let top: FilePath = if wide { shown.path.parent().unwrap() } else { shown.path.clone() };
                prop_assert!(come.path.starts_with(&top), "{granted} covers {come:?}");
            }
        }
    }
}
