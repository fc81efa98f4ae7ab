//! Text as lines: differences, numbered hunks, putting some hunks into a file, and three-way merges.
//!
//! Pure functions over bytes. A line ends with its newline, the last one perhaps without; a file's bytes are its lines
//! joined, so neither a missing newline at the end nor CRLF nor bytes that are not UTF-8 are ever lost.

use imara_diff::{Algorithm, Diff, InternedInput};
use model::escape;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::ops::Range;

/// Larger files are summed up, not compared line by line.
pub const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Lines of context around a difference.
const CONTEXT_LINES: usize = 3;
/// A NUL within so many bytes marks a file as binary, as git does it.
const BINARY_PROBE_BYTES: usize = 8_000;

/// Whether bytes are compared line by line.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    bytes.len() as u64 <= TEXT_BYTES_MAX && !bytes.iter().take(BINARY_PROBE_BYTES).any(|b| *b == 0)
}

/// One part of a difference, numbered as in the unified diff that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hunk {
    /// From 1, in the order of the file.
    pub number: u32,
    /// First line on the host's side, from 0, with the context.
    pub old_start: usize,
    /// Lines on the host's side.
    pub old_lines: usize,
    /// First line on the jar's side, from 0.
    pub new_start: usize,
    /// Lines on the jar's side.
    pub new_lines: usize,
}

/// Lines that stand in place of others.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edit {
    old: Range<usize>,
    new: Range<usize>,
}

/// Two texts and how they differ. Between two edits there is a common line at least.
pub(crate) struct Comparison<'t> {
    old: Vec<&'t [u8]>,
    new: Vec<&'t [u8]>,
    edits: Vec<Edit>,
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|b| *b == b'\n').collect()
}

fn joined(lines: &[&[u8]]) -> Vec<u8> {
    lines.concat()
}

/// Up to so many lines of both sides together are compared by the algorithm that finds good differences. It takes time
/// quadratic in them where few lines are distinct: 20 ms for this many.
const LINES_AT_ONCE_MAX: usize = 8_192;

/// The differences of two lists of lines, in bounded time: longer ones are cut at lines that both have once, in the same
/// order, and a stretch that is too long still is one difference.
fn edits(old: &[&[u8]], new: &[&[u8]]) -> Vec<Edit> {
    let mut out = Vec::new();
    let (mut old_from, mut new_from) = (0, 0);
    let anchors = if old.len() + new.len() > LINES_AT_ONCE_MAX { anchors(old, new) } else { Vec::new() };
    for (old_to, new_to) in anchors.into_iter().chain([(old.len(), new.len())]) {
        stretch(old, old_from..old_to, new, new_from..new_to, &mut out);
        (old_from, new_from) = (old_to + 1, new_to + 1);
    }
    out
}

/// The differences of a stretch of lines between two that both sides have.
fn stretch(old: &[&[u8]], at: Range<usize>, new: &[&[u8]], new_at: Range<usize>, out: &mut Vec<Edit>) {
    let (before, after) = (old.get(at.clone()).unwrap_or_default(), new.get(new_at.clone()).unwrap_or_default());
    let head = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let (rest, new_rest) = (before.len() - head, after.len() - head);
    let tail = before.iter().rev().zip(after.iter().rev()).take(rest.min(new_rest)).take_while(|(a, b)| a == b).count();
    if rest + new_rest - 2 * tail > LINES_AT_ONCE_MAX {
        let (old, new) = (at.start + head..at.end - tail, new_at.start + head..new_at.end - tail);
        return out.push(Edit { old, new });
    }
    let mut input = InternedInput::default();
    input.update_before(before.iter().copied());
    input.update_after(after.iter().copied());
    let mut diff = Diff::compute(Algorithm::Histogram, &input);
    diff.postprocess_lines(&input);
    let range = |range: Range<u32>, from: usize| range.start as usize + from..range.end as usize + from;
    let found = diff.hunks().map(|hunk| (range(hunk.before, at.start), range(hunk.after, new_at.start)));
    out.extend(found.map(|(old, new)| Edit { old, new }));
}

/// Lines that each side has once, as far as their order is the same: the longest increasing run of their places, as in
/// patience diff. Sorted by both places.
fn anchors(old: &[&[u8]], new: &[&[u8]]) -> Vec<(usize, usize)> {
    let once = |lines: &[&'_ [u8]]| -> HashMap<Vec<u8>, Option<usize>> {
        let mut seen = HashMap::new();
        for (place, line) in lines.iter().enumerate() {
            seen.entry(line.to_vec()).and_modify(|place| *place = None).or_insert(Some(place));
        }
        seen
    };
    let (in_old, in_new) = (once(old), once(new));
    let place = |(place, line): (usize, &&[u8])| {
        in_old.get(*line)?.as_ref()?;
        Some((place, (*in_new.get(*line)?)?))
    };
    let both: Vec<(usize, usize)> = old.iter().enumerate().filter_map(place).collect();
    // For each length of a run, the pair with the smallest place it can end with; and what comes before each pair.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(both.len());
    let new_place = |pair: usize| both.get(pair).map_or(0, |(_, place)| *place);
    for (pair, (_, place)) in both.iter().enumerate() {
        let length = ends.partition_point(|end| new_place(*end) < *place);
        before.push(length.checked_sub(1).and_then(|last| ends.get(last).copied()));
        match ends.get_mut(length) {
            Some(end) => *end = pair,
            None => ends.push(pair),
        }
    }
    let mut run: Vec<(usize, usize)> =
        std::iter::successors(ends.last().copied(), |pair| before.get(*pair).copied().flatten())
            .filter_map(|pair| both.get(pair).copied())
            .collect();
    run.reverse();
    run
}

impl<'t> Comparison<'t> {
    /// Compares two texts. The same texts always differ in the same way.
    pub(crate) fn new(old: &'t [u8], new: &'t [u8]) -> Comparison<'t> {
        let (old, new) = (lines(old), lines(new));
        let edits = edits(&old, &new);
        Comparison { old, new, edits }
    }

    /// The edits of each hunk: those whose context would meet stand together.
    fn groups(&self) -> Vec<&[Edit]> {
        self.edits.chunk_by(|a, b| b.old.start - a.old.end <= 2 * CONTEXT_LINES).collect()
    }

    /// The hunks of the unified diff.
    pub(crate) fn hunks(&self) -> Vec<Hunk> {
        self.groups().iter().zip(1..).filter_map(|(group, number)| self.hunk(group, number)).collect()
    }

    fn hunk(&self, group: &[Edit], number: u32) -> Option<Hunk> {
        let (first, last) = (group.first()?, group.last()?);
        let before = CONTEXT_LINES.min(first.old.start);
        let after = CONTEXT_LINES.min(self.old.len() - last.old.end);
        let (old_start, new_start) = (first.old.start - before, first.new.start - before);
        let (old_lines, new_lines) = (last.old.end + after - old_start, last.new.end + after - new_start);
        Some(Hunk { number, old_start, old_lines, new_start, new_lines })
    }

    /// The unified diff without file headers. What follows the second `@@` is no part of a patch: with `numbered` it
    /// is the hunk's number.
    pub(crate) fn unified(&self, numbered: bool) -> Vec<u8> {
        let mut out = Vec::new();
        for (group, hunk) in self.groups().iter().zip(self.hunks()) {
            let mut head = String::new();
            let (old, new) = (place(hunk.old_start, hunk.old_lines), place(hunk.new_start, hunk.new_lines));
            let _ = write!(head, "@@ -{old} +{new} @@");
            let _ = if numbered { writeln!(head, " hunk {}", hunk.number) } else { writeln!(head) };
            out.extend_from_slice(head.as_bytes());
            let mut from = hunk.old_start;
            for edit in *group {
                put_lines(&mut out, b' ', self.old.get(from..edit.old.start));
                put_lines(&mut out, b'-', self.old.get(edit.old.clone()));
                put_lines(&mut out, b'+', self.new.get(edit.new.clone()));
                from = edit.old.end;
            }
            put_lines(&mut out, b' ', self.old.get(from..hunk.old_start + hunk.old_lines));
        }
        out
    }

    /// The old text with the chosen hunks in it.
    pub(crate) fn with_hunks(&self, chosen: &BTreeSet<u32>) -> Vec<u8> {
        let groups = self.groups().into_iter().zip(1..).filter(|(_, number)| chosen.contains(number));
        let edits: Vec<(&Edit, &[&[u8]])> = groups
            .flat_map(|(group, _)| group)
            .map(|edit| (edit, self.new.get(edit.new.clone()).unwrap_or_default()))
            .collect();
        let mut out: Vec<&[u8]> = Vec::new();
        let mut from = 0;
        for (edit, lines) in edits {
            out.extend_from_slice(self.old.get(from..edit.old.start).unwrap_or_default());
            out.extend_from_slice(lines);
            from = edit.old.end;
        }
        out.extend_from_slice(self.old.get(from..).unwrap_or_default());
        joined(&out)
    }
}

/// Start and length as diff(1) writes them: an empty range is named by the line before it.
fn place(start: usize, lines: usize) -> String {
    match lines {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        lines => format!("{},{lines}", start + 1),
    }
}

fn put_lines(out: &mut Vec<u8>, sign: u8, lines: Option<&[&[u8]]>) {
    for line in lines.unwrap_or_default() {
        out.push(sign);
        out.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            out.extend_from_slice(b"\n\\ No newline at end of file\n");
        }
    }
}

/// A place that both sides changed, differently.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Clash {
    /// Lines of the jar's file, from 0.
    pub jar: Range<usize>,
    /// Lines of the host's file, from 0.
    pub host: Range<usize>,
}

impl Clash {
    /// Plain words, lower case, no full stop. Lines are counted from 1.
    #[must_use]
    pub fn describe(&self) -> String {
        let lines = |range: &Range<usize>| match range.len() {
            0 => format!("before line {}", range.start + 1),
            1 => format!("line {}", range.start + 1),
            _ => format!("lines {}-{}", range.start + 1, range.end),
        };
        escape::text(&format!("the jar's {} against the host's {}", lines(&self.jar), lines(&self.host)))
    }
}

/// Merges what `jar` and `host` each made of `base`. Both sides' edits are in the result, an edit both made alike once.
/// Edits that touch each other without a common line between them clash, unless both come to the same lines.
pub(crate) fn merge(base: &[u8], jar: &[u8], host: &[u8]) -> Result<Vec<u8>, Vec<Clash>> {
    let (jar, host) = (Comparison::new(base, jar), Comparison::new(base, host));
    let (mut ours, mut theirs) = (Side::new(&jar), Side::new(&host));
    let (mut out, mut clashes): (Vec<&[u8]>, Vec<Clash>) = (Vec::new(), Vec::new());
    let mut from = 0;
    while let Some(start) = ours.next_start().into_iter().chain(theirs.next_start()).min() {
        out.extend_from_slice(jar.old.get(from..start).unwrap_or_default());
        let end = meeting(&mut ours, &mut theirs, start);
        let (mine, yours) = (ours.take(start, end), theirs.take(start, end));
        match (mine.changed, yours.changed) {
            (_, false) => out.extend_from_slice(mine.lines),
            (false, true) => out.extend_from_slice(yours.lines),
            (true, true) if mine.lines == yours.lines => out.extend_from_slice(mine.lines),
            (true, true) => clashes.push(Clash { jar: mine.place, host: yours.place }),
        }
        from = end;
    }
    out.extend_from_slice(jar.old.get(from..).unwrap_or_default());
    if clashes.is_empty() { Ok(joined(&out)) } else { Err(clashes) }
}

/// Widens a place until no edit of either side reaches beyond it or touches it.
fn meeting(ours: &mut Side<'_, '_>, theirs: &mut Side<'_, '_>, start: usize) -> usize {
    let mut end = start;
    loop {
        let wider = ours.reach(end).max(theirs.reach(end));
        if wider == end && ours.is_beyond(end) && theirs.is_beyond(end) {
            return end;
        }
        end = wider;
    }
}

/// One side of a merge, read forwards.
struct Side<'c, 't> {
    comparison: &'c Comparison<'t>,
    /// The next edit that was not taken.
    next: usize,
    /// Edits before this one belong to the place being widened.
    reached: usize,
}

/// What one side makes of a place in the base.
struct Taken<'c, 't> {
    lines: &'c [&'t [u8]],
    place: Range<usize>,
    changed: bool,
}

impl<'c, 't> Side<'c, 't> {
    fn new(comparison: &'c Comparison<'t>) -> Side<'c, 't> {
        Side { comparison, next: 0, reached: 0 }
    }

    fn next_start(&self) -> Option<usize> {
        Some(self.comparison.edits.get(self.next)?.old.start)
    }

    /// Where the edits that touch `..=end` end.
    fn reach(&mut self, mut end: usize) -> usize {
        while let Some(edit) = self.comparison.edits.get(self.reached).filter(|edit| edit.old.start <= end) {
            end = end.max(edit.old.end);
            self.reached += 1;
        }
        end
    }

    fn is_beyond(&self, end: usize) -> bool {
        self.comparison.edits.get(self.reached).is_none_or(|edit| edit.old.start > end)
    }

    /// This side's lines for `start..end` of the base.
    fn take(&mut self, start: usize, end: usize) -> Taken<'c, 't> {
        // Lines that moved so far: the difference after the last edit taken.
        let before = self.next.checked_sub(1).and_then(|last| self.comparison.edits.get(last));
        let from = before.map_or(start, |edit| edit.new.end + (start - edit.old.end));
        let last = self.reached.checked_sub(1).and_then(|last| self.comparison.edits.get(last));
        let to = last.map_or(end, |edit| edit.new.end + (end - edit.old.end));
        let changed = self.reached > self.next;
        self.next = self.reached;
        Taken { lines: self.comparison.new.get(from..to).unwrap_or_default(), place: from..to, changed }
    }
}

#[cfg(test)]
mod tests {
    use super::{Clash, Comparison, is_text, merge};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn unified(old: &str, new: &str) -> String {
        String::from_utf8(Comparison::new(old.as_bytes(), new.as_bytes()).unified(true)).unwrap()
    }

    fn numbered(count: usize) -> String {
        (1..=count).map(|n| format!("{n}\n")).collect()
    }

    #[test]
    fn a_unified_diff_numbers_its_hunks() {
        let old = numbered(20);
        let new = old.replace("\n3\n", "\nthree\n").replace("\n18\n", "\n18\n18b\n");
        let expected = "@@ -1,6 +1,6 @@ hunk 1\n 1\n 2\n-3\n+three\n 4\n 5\n 6\n\
                        @@ -16,5 +16,6 @@ hunk 2\n 16\n 17\n 18\n+18b\n 19\n 20\n";
        assert_eq!(unified(&old, &new), expected);
        assert_eq!(unified("", "x"), "@@ -0,0 +1 @@ hunk 1\n+x\n\\ No newline at end of file\n");
        assert_eq!(unified("x\n", ""), "@@ -1 +0,0 @@ hunk 1\n-x\n");
        assert_eq!(unified("a\r\nb", "a\nb"), "@@ -1,2 +1,2 @@ hunk 1\n-a\r\n+a\n b\n\\ No newline at end of file\n");
        assert_eq!(unified("same\n", "same\n"), "");
    }

    #[test]
    fn edits_whose_context_meets_are_one_hunk() {
        let old = numbered(30);
        for (gap, hunks) in [(6, 1), (7, 2)] {
            let other = 10 + gap + 1;
            let new = old.replace("\n10\n", "\nten\n").replace(&format!("\n{other}\n"), "\nother\n");
            let comparison = Comparison::new(old.as_bytes(), new.as_bytes());
            assert_eq!(comparison.hunks().len(), hunks, "{gap} lines between");
        }
    }

    #[test]
    fn hunks_can_be_had_one_by_one() {
        let old = numbered(40);
        let new = format!("top\n{}", old.replace("\n20\n", "\n").replace("\n40\n", "\nforty"));
        let comparison = Comparison::new(old.as_bytes(), new.as_bytes());
        assert_eq!(comparison.hunks().len(), 3);
        let with = |chosen: &[u32]| {
            String::from_utf8(comparison.with_hunks(&chosen.iter().copied().collect::<BTreeSet<_>>())).unwrap()
        };
        assert_eq!(with(&[]), old);
        assert_eq!(with(&[1]), format!("top\n{old}"));
        assert_eq!(with(&[2]), old.replace("\n20\n", "\n"));
        assert_eq!(with(&[3]), old.replace("\n40\n", "\nforty"));
        assert_eq!(with(&[1, 2, 3]), new);
    }

    #[test]
    fn binary_is_what_git_calls_so() {
        assert!(is_text(b"") && is_text(b"\xff\xfe no utf-8\r") && is_text(&[b'x'; 9_000]));
        assert!(!is_text(b"\0") && !is_text(&vec![b'x'; (1 << 20) + 1]));
    }

    #[test]
    fn merges_and_clashes() {
        let base = "1\n2\n3\n4\n5\n";
        for (jar, host, expected) in [
            ("1\nTWO\n3\n4\n5\n", "1\n2\n3\nFOUR\n5\n", Ok("1\nTWO\n3\nFOUR\n5\n")),
            ("0\n1\n2\n3\n4\n5\n", "1\n2\n3\n4\n5\n6", Ok("0\n1\n2\n3\n4\n5\n6")),
            ("1\nTWO\n3\n4\n5\n", "1\nTWO\n3\n4\n5\n", Ok("1\nTWO\n3\n4\n5\n")),
            ("", "", Ok("")),
            ("1\nTWO\n3\n4\n5\n", "1\nzwei\n3\n4\n5\n", Err((1..2, 1..2))),
            // Neighbours without a common line between them.
            ("1\nTWO\n3\n4\n5\n", "1\n2\nTHREE\n4\n5\n", Err((1..3, 1..3))),
            // Both append.
            ("1\n2\n3\n4\n5\nj\n", "1\n2\n3\n4\n5\nh\n", Err((5..6, 5..6))),
            // The last line loses its newline on one side and gets a follower on the other.
            ("1\n2\n3\n4\n5", "1\n2\n3\n4\n5\n6\n", Err((4..5, 4..6))),
            ("", "1\n2\nTHREE\n4\n5\n", Err((0..0, 0..5))),
        ] {
            let expected =
                expected.map(|text| text.as_bytes().to_vec()).map_err(|(jar, host)| vec![Clash { jar, host }]);
            assert_eq!(merge(base.as_bytes(), jar.as_bytes(), host.as_bytes()), expected, "{jar:?} {host:?}");
        }
    }

    #[test]
    fn hard_input_is_compared_in_bounded_time() {
        let many = |line: &str, count: usize| line.repeat(count).into_bytes();
        let began = std::time::Instant::now();
        let words =
            |step: usize| (0..100_000).map(|n| format!("{}\n", n * step % 100_003)).collect::<String>().into_bytes();
        let mixed = |seed: u32| -> Vec<u8> {
            let mut state = seed;
            let mut step = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state >> 24
            };
            (0..400_000).flat_map(|_| [b'a' + u8::try_from(step() % 4).unwrap(), b'\n']).collect()
        };
        for (old, new) in [
            (many("\n", 1 << 20), many("\n", 1 << 19)),
            (many("a\nb\n", 200_000), many("b\na\n", 200_000)),
            (mixed(1), mixed(2)),
            (mixed(1).split_at(8_000).0.to_vec(), mixed(2).split_at(8_000).0.to_vec()),
            (words(1), words(7)),
            (many("x", 1 << 20), many("x", (1 << 20) - 1)),
        ] {
            let comparison = Comparison::new(&old, &new);
            let all = (1..=u32::try_from(comparison.hunks().len()).unwrap()).collect();
            assert!(comparison.with_hunks(&all) == new);
        }
        assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    }

    #[test]
    fn a_long_text_is_cut_at_lines_that_are_there_once() {
        let old: String = (0..20_000).map(|n| format!("{n}\nsame\n")).collect();
        let new = old.replace("\n500\n", "\nfive hundred\n").replace("\n19000\n", "\n").replace("\n0\n", "\nzero\n");
        let comparison = Comparison::new(old.as_bytes(), new.as_bytes());
        assert_eq!(comparison.hunks().len(), 2, "the first line has no newline before it and stays");
        assert_eq!(comparison.with_hunks(&[1, 2].into()), new.as_bytes());
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let line = prop_oneof![Just("a"), Just("b"), Just("c\r"), Just("")];
        (proptest::collection::vec(line, 0..24), any::<bool>()).prop_map(|(lines, end)| {
            let mut text = lines.join("\n").into_bytes();
            if end && !text.is_empty() {
                text.push(b'\n');
            }
            text
        })
    }

    /// A text of distinct lines with edits to some of them, far enough apart or not.
    fn edited(seed: &[u8], tag: &str) -> Vec<Vec<u8>> {
        let edit = |(n, kind): (usize, &u8)| match kind {
            0 => Vec::new(),
            1 => format!("{n} {tag}\n").into_bytes(),
            2 => format!("{n}\n{n} {tag}\n").into_bytes(),
            _ => format!("{n}\n").into_bytes(),
        };
        seed.iter().enumerate().map(edit).collect()
    }

    fn kinds() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(0..12u8, 30)
    }

    proptest! {
        #[test]
        fn all_hunks_make_the_new_text_and_none_the_old(old in text(), new in text(), pick in any::<u64>()) {
            let comparison = Comparison::new(&old, &new);
            let numbers: Vec<u32> = comparison.hunks().iter().map(|hunk| hunk.number).collect();
            prop_assert_eq!(comparison.with_hunks(&numbers.iter().copied().collect()), new.clone());
            prop_assert_eq!(comparison.with_hunks(&BTreeSet::new()), old.clone());
            // What is applied first and what waits come to the same in the end.
            let some = numbers.iter().copied().filter(|n| pick >> (n % 64) & 1 == 1).collect();
            let half = comparison.with_hunks(&some);
            let rest = Comparison::new(&half, &new);
            let rest_numbers = rest.hunks().iter().map(|hunk| hunk.number).collect();
            prop_assert_eq!(rest.with_hunks(&rest_numbers), new);
        }

        #[test]
        fn a_side_that_did_nothing_leaves_the_other(base in text(), other in text()) {
            prop_assert_eq!(merge(&base, &other, &base), Ok(other.clone()));
            prop_assert_eq!(merge(&base, &base, &other), Ok(other.clone()));
            prop_assert_eq!(merge(&base, &other, &other), Ok(other));
        }

        #[test]
        fn a_merge_is_the_same_from_both_sides(base in text(), a in text(), b in text()) {
            let turned = merge(&base, &b, &a);
            match merge(&base, &a, &b) {
                Ok(merged) => prop_assert_eq!(turned, Ok(merged)),
                Err(clashes) => {
                    let other: Vec<Clash> =
                        clashes.into_iter().map(|clash| Clash { jar: clash.host, host: clash.jar }).collect();
                    prop_assert_eq!(turned, Err(other));
                }
            }
        }

        #[test]
        fn edits_apart_are_both_there(ours in kinds(), theirs in kinds()) {
            let base: Vec<u8> = (0..30).flat_map(|n| format!("{n}\n").into_bytes()).collect();
            let touches = |kinds: &[u8], n: usize| kinds.get(n).is_some_and(|kind| *kind < 3);
            let near = |n: usize| [n.checked_sub(1), Some(n), Some(n + 1)].into_iter().flatten().any(|m| touches(&ours, m));
            let theirs: Vec<u8> = theirs.iter().enumerate().map(|(n, kind)| if near(n) { 9 } else { *kind }).collect();
            let (jar, host) = (edited(&ours, "ours"), edited(&theirs, "theirs"));
            let both: Vec<u8> = (0..30).flat_map(|n| if touches(&ours, n) { jar[n].clone() } else { host[n].clone() }).collect();
            prop_assert_eq!(merge(&base, &jar.concat(), &host.concat()), Ok(both));
        }
    }
}
