//! Which trial is meant: an id, a prefix of one, the name of a jar, or the last one here; and which paths of it.

use crate::failure::Failure;
use engine::{Engine, JarName, StoreError, host};
use model::{FilePath, Place, TrialId};
use std::ffi::{OsStr, OsString};

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
