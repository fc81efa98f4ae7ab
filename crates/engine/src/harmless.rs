//! What a mode given before the run may choose: the changes up to a risk, without what hangs together with anything red.

use crate::choice::Choice;
use model::{Change, ChangeKind, Disposition, FileKind, FilePath, Review, Risk};
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::path::Path;

/// The changes a mode may apply by itself: those at or below `ceiling`, never one that the policy wants a person for
/// because it is HIGH or a rule says so. `Apply` with an empty list means there are none.
#[must_use]
pub fn up_to(ceiling: Risk, changes: &model::ChangeSet, review: &Review) -> Choice {
    up_to_with(ceiling, |_| false, changes, review)
}

/// [`up_to`], with changes above the ceiling that grants answer for. They reach no further than a mode does: neither what
/// is HIGH nor what a rule keeps.
pub(crate) fn up_to_with(
    ceiling: Risk,
    granted: impl Fn(usize) -> bool,
    changes: &model::ChangeSet,
    review: &Review,
) -> Choice {
    let kept: HashSet<usize> = review.held.iter().copied().collect();
    let harmless =
        |index: usize, risk: Risk| (risk <= ceiling || granted(index)) && risk < Risk::High && !kept.contains(&index);
    let all = review.risks.iter().enumerate().all(|(index, risk)| harmless(index, *risk));
    if review.disposition != Disposition::Discard && all {
        return Choice::ApplyAll;
    }
    let judged = changes.changes.iter().zip(&review.risks).enumerate();
    let red = judged.filter(|(index, (_, risk))| !harmless(*index, **risk));
    let red: Vec<&Path> = red.map(|(_, (change, _))| change.path.as_path()).collect();
    // A chosen directory brings all that is below it, so one with something red below is not chosen. What is needed
    // of it comes with the harmless changes inside, unless it was renamed or replaced: such a one comes whole or not.
    let Held { above, barred } = held(changes, &red);
    let waits = |change: &Change| above.contains(change.path.as_path()) || is_below(&change.path, &barred);
    let waiting = Waiting::new(changes, waits);
    let chosen = changes.changes.iter().filter(|change| !waits(change) && !waiting.may_hold(change));
    Choice::Apply(chosen.map(|change| change.path.clone()).collect())
}

/// What a red change holds back.
struct Held<'a> {
    /// Directories above something that waits, and what waits itself.
    above: HashSet<&'a Path>,
    /// Of these, and of what is below them, nothing may be chosen.
    barred: HashSet<&'a Path>,
}

/// Directories that come whole are barred when they hold something red, and as a rename cannot be had without what
/// became of both its names, so are the other ends of their renames, those of those renames in turn, and what would take
/// an old name away with all around it.
fn held<'a>(changes: &'a model::ChangeSet, red: &[&'a Path]) -> Held<'a> {
    let whole = |change: &&Change| matches!(change.kind, ChangeKind::Renamed { .. } | ChangeKind::Replaced);
    let whole: Vec<&Path> = changes.changes.iter().filter(whole).map(|change| change.path.as_path()).collect();
    let renames: Vec<[&FilePath; 2]> = changes.changes.iter().filter_map(ends).collect();
    let mut above: HashSet<&Path> = red.iter().flat_map(|path| path.ancestors()).collect();
    let mut barred: HashSet<&Path> = HashSet::new();
    loop {
        let before = barred.len();
        barred.extend(whole.iter().filter(|path| above.contains(**path)));
        let over: HashSet<&Path> = barred.iter().flat_map(|path| path.ancestors()).collect();
        for [from, to] in &renames {
            if is_below(from, &barred) || is_below(to, &barred) || over.contains(from.as_path()) {
                barred.extend([from.as_path(), to.as_path()]);
            }
        }
        if barred.len() == before {
            return Held { above, barred };
        }
        above.extend(barred.iter().flat_map(|path| path.ancestors()));
    }
}

/// New things that wait, by what tells that they were something else before. Across two roots a move is a copy and a
/// removal, and until the copy is real, the old name holds the only one: so what may have moved is not removed.
struct Waiting<'a> {
    /// Sizes of files.
    sizes: HashSet<u64>,
    /// Every component of a new name.
    names: HashSet<&'a OsStr>,
    /// How many new names are below a directory of which something waits.
    trees: HashSet<u64>,
}

impl<'a> Waiting<'a> {
    fn new(changes: &'a model::ChangeSet, waits: impl Fn(&Change) -> bool) -> Waiting<'a> {
        let waiting = || changes.changes.iter().filter(|change| waits(change) && change.after.is_some());
        let is_new = |change: &&Change| matches!(change.kind, ChangeKind::Added | ChangeKind::Replaced);
        let red_names = waiting().filter(is_new).flat_map(|change| change.path.as_path().iter());
        let mut below: HashMap<&Path, (u64, bool)> = HashMap::new();
        for change in changes.changes.iter().filter(is_new) {
            for above in change.path.as_path().ancestors().skip(1) {
                let (count, held) = below.entry(above).or_default();
                *count += 1;
                *held |= waits(change);
            }
        }
        Waiting {
            sizes: waiting().filter_map(new_size).collect(),
            names: red_names.collect(),
            trees: below.into_values().filter(|(_, held)| *held).map(|(count, _)| count).collect(),
        }
    }

    /// Whether what is gone may be among them under its new name.
    fn may_hold(&self, change: &Change) -> bool {
        let Some(gone) = change.before.as_ref().filter(|_| change.kind == ChangeKind::Deleted) else { return false };
        let named = change.path.file_name().is_some_and(|name| self.names.contains(name));
        match gone.kind {
            FileKind::File => named || self.sizes.contains(&gone.size),
            FileKind::Directory if change.below > 0 => named || self.trees.contains(&change.below),
            _ => false,
        }
    }
}

/// The old and the new name of what was moved.
fn ends(change: &Change) -> Option<[&FilePath; 2]> {
    match &change.kind {
        ChangeKind::Renamed { from } => Some([from, &change.path]),
        _ => None,
    }
}

fn is_below(path: &FilePath, directories: &HashSet<&Path>) -> bool {
    path.as_path().ancestors().any(|above| directories.contains(above))
}

/// Size of a file that came to be under this name.
fn new_size(change: &Change) -> Option<u64> {
    change.after.as_ref().filter(|meta| meta.kind == FileKind::File).map(|meta| meta.size)
}

#[cfg(test)]
mod tests {
    use super::{Choice, up_to, up_to_with};
    use model::{Change, ChangeKind, ChangeSet, Differs, Disposition, FileKind, FilePath, Meta, Review, Risk};

    fn judged(risks: &[Risk]) -> (ChangeSet, Review) {
        let change = |index: usize| Change {
            path: FilePath::from(format!("/w/{index}").as_str()),
            kind: ChangeKind::Added,
            before: None,
            after: None,
            differs: Differs::default(),
            below: 0,
        };
        let changes = ChangeSet { changes: (0..risks.len()).map(change).collect() };
        let review = Review {
            disposition: Disposition::Ask,
            risks: risks.to_vec(),
            flags: Vec::new(),
            surprises: Vec::new(),
            held: Vec::new(),
            content: Vec::new(),
        };
        (changes, review)
    }

    #[test]
    fn a_mode_never_reaches_what_is_high() {
        for ceiling in [Risk::Low, Risk::Medium, Risk::High] {
            let (changes, review) = judged(&[Risk::Low, Risk::High]);
            assert_eq!(up_to(ceiling, &changes, &review), Choice::Apply(vec![FilePath::from("/w/0")]));
        }
    }

    #[test]
    fn a_mode_never_reaches_what_a_rule_keeps_for_a_person() {
        for ceiling in [Risk::Low, Risk::Medium] {
            let (changes, mut review) = judged(&[Risk::Low, Risk::Low]);
            assert_eq!(up_to(ceiling, &changes, &review), Choice::ApplyAll);
            review.held = vec![1];
            assert_eq!(up_to(ceiling, &changes, &review), Choice::Apply(vec![FilePath::from("/w/0")]));
        }
    }

    #[test]
    fn a_grant_reaches_neither_what_is_high_nor_what_a_rule_keeps() {
        let (changes, mut review) = judged(&[Risk::Low, Risk::Medium, Risk::Medium, Risk::High, Risk::Medium]);
        review.held = vec![2];
        let with = |granted: &[usize]| up_to_with(Risk::Low, |index| granted.contains(&index), &changes, &review);
        let paths = |names: &[&str]| Choice::Apply(names.iter().map(|name| FilePath::from(*name)).collect());
        assert_eq!(with(&[]), paths(&["/w/0"]));
        assert_eq!(with(&[1, 2, 3]), paths(&["/w/0", "/w/1"]));
        assert_eq!(with(&[0, 1, 2, 3, 4]), paths(&["/w/0", "/w/1", "/w/4"]));
    }

    #[test]
    fn a_directory_is_not_chosen_for_what_is_red_below_it() {
        let (mut changes, review) = judged(&[Risk::Low, Risk::High, Risk::Low, Risk::Low]);
        for (change, path) in changes.changes.iter_mut().zip(["/w/d", "/w/d/red", "/w/d/fine", "/w/d-2"]) {
            change.path = FilePath::from(path);
        }
        let fine = |paths: &[&str]| Choice::Apply(paths.iter().map(|path| FilePath::from(*path)).collect());
        assert_eq!(up_to(Risk::Medium, &changes, &review), fine(&["/w/d/fine", "/w/d-2"]));
        changes.changes[0].kind = ChangeKind::Renamed { from: FilePath::from("/w/old") };
        assert_eq!(up_to(Risk::Medium, &changes, &review), fine(&["/w/d-2"]));
    }

    #[test]
    fn both_ends_of_a_rename_wait_together() {
        let (mut changes, review) = judged(&[Risk::Low, Risk::High, Risk::Low, Risk::Low]);
        let kinds = [Some("/w/c"), Some("/w/a"), Some("/w/b"), None];
        let paths = ["/w/a", "/w/b", "/w/c", "/w/d"];
        for ((change, path), from) in changes.changes.iter_mut().zip(paths).zip(kinds) {
            change.path = FilePath::from(path);
            change.kind = from.map_or(ChangeKind::Added, |from| ChangeKind::Renamed { from: FilePath::from(from) });
        }
        assert_eq!(up_to(Risk::Medium, &changes, &review), Choice::Apply(vec![FilePath::from("/w/d")]));
        changes.changes[0].path = FilePath::from("/w/a/new");
        changes.changes[0].kind = ChangeKind::Added;
        assert_eq!(up_to(Risk::Medium, &changes, &review), Choice::Apply(vec![FilePath::from("/w/d")]));
    }

    #[test]
    fn what_a_held_directory_was_moved_out_of_waits_with_it() {
        let (mut changes, review) = judged(&[Risk::High, Risk::Medium, Risk::Medium]);
        for (change, path) in changes.changes.iter_mut().zip(["/w/a", "/w/old", "/w/other"]) {
            change.path = FilePath::from(path);
            change.kind = ChangeKind::Deleted;
        }
        changes.changes[0].kind = ChangeKind::Renamed { from: FilePath::from("/w/old/sub") };
        assert_eq!(up_to(Risk::Medium, &changes, &review), Choice::Apply(vec![FilePath::from("/w/other")]));
    }

    #[test]
    fn a_file_that_may_have_moved_to_a_red_name_is_not_removed() {
        let (mut changes, review) = judged(&[Risk::High, Risk::Medium, Risk::Medium]);
        let file = |size| Meta { kind: FileKind::File, mode: 0o644, uid: 0, gid: 0, size, link: None };
        changes.changes[0].after = Some(file(7));
        for (change, size) in changes.changes[1..].iter_mut().zip([7, 8]) {
            change.kind = ChangeKind::Deleted;
            change.before = Some(file(size));
        }
        assert_eq!(up_to(Risk::Medium, &changes, &review), Choice::Apply(vec![FilePath::from("/w/2")]));
    }

    #[test]
    fn what_may_have_moved_to_another_root_waits_with_it() {
        let (mut changes, review) = judged(&[Risk::Low, Risk::Low, Risk::High, Risk::Low, Risk::Low, Risk::Low]);
        let paths = ["/h/new", "/h/new/a", "/h/new/red", "/w/old", "/w/red", "/w/unrelated"];
        let meta = |kind, size| Meta { kind, mode: 0o644, uid: 0, gid: 0, size, link: None };
        for (change, path) in changes.changes.iter_mut().zip(paths) {
            change.path = FilePath::from(path);
            match path.starts_with("/w") {
                true => change.kind = ChangeKind::Deleted,
                false => change.after = Some(meta(FileKind::File, 5)),
            }
        }
        changes.changes[0].after = Some(meta(FileKind::Directory, 0));
        changes.changes[3].before = Some(meta(FileKind::Directory, 0));
        changes.changes[3].below = 2;
        // Edited after the move: another size, the same name.
        changes.changes[4].before = Some(meta(FileKind::File, 6));
        changes.changes[5].before = Some(meta(FileKind::File, 7));
        let chosen = ["/h/new/a", "/w/unrelated"].map(FilePath::from).to_vec();
        assert_eq!(up_to(Risk::Medium, &changes, &review), Choice::Apply(chosen));
    }

    #[test]
    fn a_file_that_left_a_directory_for_a_red_name_keeps_the_directory() {
        let (mut changes, review) = judged(&[Risk::Low, Risk::High, Risk::Low]);
        let kinds = [ChangeKind::Deleted, ChangeKind::Renamed { from: FilePath::from("/w/d/a") }, ChangeKind::Added];
        for ((change, path), kind) in changes.changes.iter_mut().zip(["/w/d", "/w/hook", "/w/new"]).zip(kinds) {
            change.path = FilePath::from(path);
            change.kind = kind;
        }
        assert_eq!(up_to(Risk::Medium, &changes, &review), Choice::Apply(vec![FilePath::from("/w/new")]));
    }

    #[test]
    fn a_mode_applies_all_when_all_is_below_its_ceiling() {
        let (changes, review) = judged(&[Risk::Low, Risk::Medium]);
        assert_eq!(up_to(Risk::Medium, &changes, &review), Choice::ApplyAll);
        assert_eq!(up_to(Risk::Low, &changes, &review), Choice::Apply(vec![FilePath::from("/w/0")]));
    }

    #[test]
    fn a_change_set_to_be_discarded_is_never_applied_whole() {
        let (changes, mut review) = judged(&[Risk::High]);
        review.disposition = Disposition::Discard;
        assert_eq!(up_to(Risk::Medium, &changes, &review), Choice::Apply(vec![]));
    }
}
