//! Which trial is meant: an id, a prefix of one, the name of a jar, or the last one here; and which paths of it.

use crate::failure::Failure;
use engine::{Engine, JarName, StoreError, host};
use model::{Change, FilePath, Place, TrialId};
use overlay::Pick;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

/// The engine at this place.
pub(crate) fn open() -> Result<(Engine, Place), Failure> {
    let place = host::place(true)?;
    Ok((Engine::open(&place)?, place))
}

/// The trial called so, or the last one here.
pub(crate) fn trial(engine: &Engine, place: &Place, query: Option<&str>) -> Result<TrialId, Failure> {
    Ok(match query {
        Some(query) => engine.store().find(query, &place.workspace)?,
        None => engine.store().latest(&place.workspace)?,
    })
}

/// At most one word, which is a trial.
pub(crate) fn only_trial(engine: &Engine, place: &Place, words: &[OsString]) -> Result<TrialId, Failure> {
    match words {
        [] => trial(engine, place, None),
        [one] => trial(engine, place, Some(&one.to_string_lossy())),
        _ => Err(Failure::Usage {
            message: "more than one trial named".into(),
            hint: "`belljar show TRIAL`; paths stand behind --who".into(),
        }),
    }
}

/// Letters of an id that name a trial where a path may stand too: fewer are all too often a file's name, and then the
/// whole trial, perhaps that of another project, would be taken for one file of the last one here.
const PREFIX_CHARS_MIN: usize = 4;

/// The jar called `word`. A file of the same name must not be taken for the whole jar.
fn jar(engine: &Engine, place: &Place, word: &OsStr) -> Result<Option<TrialId>, Failure> {
    let name: Option<JarName> = word.to_str().and_then(|word| word.parse().ok());
    let Some(name) = name else { return Ok(None) };
    match engine.store().find_jar(name.as_str(), &place.workspace)? {
        Some(_) if place.cwd.join(word).as_path().symlink_metadata().is_ok() => Err(StoreError::JarOrFile(name).into()),
        found => Ok(found),
    }
}

/// `[TRIAL] PATH...`: the first word is a trial if it is long enough and one is called so, else a path like the others.
pub(crate) fn trial_and_paths(
    engine: &Engine,
    place: &Place,
    words: &[OsString],
) -> Result<(TrialId, Vec<FilePath>), Failure> {
    let absolute = |words: &[OsString]| words.iter().map(|word| place.cwd.join(word).normalise()).collect();
    let Some((first, rest)) = words.split_first() else {
        return Ok((trial(engine, place, None)?, Vec::new()));
    };
    let looks_like_a_path = first.to_str().is_none_or(|word| word.contains(['/', '.', '~']));
    let query = first.to_str().filter(|word| !looks_like_a_path && word.len() >= PREFIX_CHARS_MIN);
    if let Some(jar) = jar(engine, place, first)? {
        return Ok((jar, absolute(rest)));
    }
    match query.map(|query| engine.store().find(query, &place.workspace)) {
        Some(Ok(id)) => Ok((id, absolute(rest))),
        Some(Err(error @ StoreError::Ambiguous(..))) => Err(error.into()),
        _ => match trial(engine, place, None) {
            // One word that is neither a trial nor, for want of one, a path of it: the word is what was wrong.
            Err(_) if !looks_like_a_path => Err(StoreError::Unknown(first.to_string_lossy().into_owned()).into()),
            latest => Ok((latest?, absolute(words))),
        },
    }
}

/// Numbers and ranges such as `1,3-5`, from 1 to `last`, each once and in order; the first part that is none of them as
/// an error.
pub(crate) fn numbers<N>(list: &str, last: N) -> Result<Vec<N>, String>
where
    N: std::str::FromStr + Ord + Copy + From<u8>,
    std::ops::RangeInclusive<N>: Iterator<Item = N>,
{
    let mut out = Vec::new();
    for part in list.split([' ', ',', '\t', '\n', '\r']).filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<N>().ok().filter(|number| (N::from(1)..=last).contains(number));
        match (number(from), number(to)) {
            (Some(from), Some(to)) if from <= to => out.extend(from..=to),
            _ => return Err(part.to_owned()),
        }
    }
    out.sort_unstable();
    out.dedup();
    Ok(out)
}

/// More hunks than a file that is compared line by line can have.
const HUNKS_MAX: u32 = 1 << 20;

/// Hunk numbers as they are typed.
pub(crate) fn hunks(list: &str) -> Result<Vec<u32>, Failure> {
    match numbers(list, HUNKS_MAX) {
        Ok(numbers) if !numbers.is_empty() => Ok(numbers),
        _ => Err(Failure::Usage {
            message: format!("{} are no hunks", model::escape::text(list)),
            hint: "numbers and ranges as `belljar diff` shows them, such as 1,3-5".into(),
        }),
    }
}

/// Paths with hunks behind an `@`. A change whose name ends that way is that change.
pub(crate) fn picks(paths: Vec<FilePath>, changes: &[Change]) -> Vec<Pick> {
    let is_change = |path: &FilePath| changes.iter().any(|change| change.path.starts_with(path));
    let pick = |path: FilePath| {
        let bytes = path.as_bytes();
        let parts = bytes.iter().rposition(|b| *b == b'@').and_then(|at| bytes.split_at_checked(at));
        let (name, list) = parts.unwrap_or((bytes, b""));
        let hunks = list.get(1..).and_then(|list| hunks(std::str::from_utf8(list).ok()?).ok());
        let name = FilePath::new(std::ffi::OsStr::from_bytes(name));
        match hunks.filter(|_| !is_change(&path) && is_change(&name)) {
            Some(hunks) => Pick { path: name, hunks },
            None => Pick { path, hunks: Vec::new() },
        }
    };
    paths.into_iter().map(pick).collect()
}

#[cfg(test)]
mod tests {
    use super::{numbers, picks};
    use model::{Change, ChangeKind, Differs, FilePath};

    #[test]
    fn choices_are_numbers_and_ranges() {
        assert_eq!(numbers("1 3-5,7\n", 9), Ok(vec![1, 3, 4, 5, 7]));
        assert_eq!(numbers("4,2-4 2", 9), Ok(vec![2, 3, 4]));
        assert_eq!(numbers("\n", 9), Ok(vec![]));
        for wrong in ["0", "10", "2-10", "x", "-", "1-", "-3", "5-3", "99999999999999999999"] {
            assert_eq!(numbers(wrong, 9), Err(wrong.to_owned()), "{wrong}");
        }
    }

    #[test]
    fn hunks_stand_behind_a_path_unless_that_is_its_name() {
        let change = |path: &str| Change {
            path: FilePath::from(path),
            kind: ChangeKind::Modified,
            before: None,
            after: None,
            differs: Differs::default(),
            below: 0,
        };
        let changes = [change("/w/a"), change("/w/b"), change("/w/b@2")];
        for (typed, path, hunks) in [
            ("/w/a@1,3-4", "/w/a", vec![1, 3, 4]),
            ("/w/a", "/w/a", vec![]),
            ("/w/b@2", "/w/b@2", vec![]),
            ("/w/b@1", "/w/b", vec![1]),
            ("/w/a@x", "/w/a@x", vec![]),
            ("/w/none@1", "/w/none@1", vec![]),
            ("/w/a@", "/w/a@", vec![]),
        ] {
            let picked = picks(vec![FilePath::from(typed)], &changes);
            assert_eq!((picked[0].path.clone(), picked[0].hunks.clone()), (FilePath::from(path), hunks), "{typed}");
        }
    }
}
