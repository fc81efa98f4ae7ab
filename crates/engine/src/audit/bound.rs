//! How long a record may be: lists and texts beyond a bound are left out, with their number and digest.

use super::redact::redact;
use crate::digest;
use model::{Change, ChangeSet, Found, LeftOut, Review, Stage, hex};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Entries of one list.
const LIST_MAX: usize = 256;
/// Bytes of one text.
const TEXT_MAX: usize = 16 << 10;
/// Bytes of one record. Where the bounds above do not keep to it they are halved.
const RECORD_MAX: usize = 256 << 10;

/// A stage as it is written, and what of it is not.
pub(crate) fn fit(mut stage: Stage) -> Result<(Value, Vec<LeftOut>), serde_json::Error> {
    let mut outside = Vec::new();
    if let Stage::Ran { changes, review, .. } = &mut stage {
        outside = most_telling(changes, review)?;
    }
    let mut whole = serde_json::to_value(&stage)?;
    redact(&mut whole, |value| Stage::deserialize(value).is_ok());
    let mut bounds = (LIST_MAX, TEXT_MAX);
    loop {
        let (mut value, mut left_out) = (whole.clone(), outside.clone());
        bound(&mut value, "", bounds, &mut left_out)?;
        if serde_json::to_vec(&value)?.len() <= RECORD_MAX || bounds.0 == 0 {
            return Ok((value, left_out));
        }
        bounds = (bounds.0 / 2, bounds.1 / 2);
    }
}

/// Keeps those of many changes that were flagged or are held for a person, and then the first: nobody gets a change out of the record by making
/// many harmless ones before it.
fn most_telling(changes: &mut ChangeSet, review: &mut Review) -> Result<Vec<LeftOut>, serde_json::Error> {
    if changes.changes.len() <= LIST_MAX {
        return Ok(Vec::new());
    }
    let telling = review.flags.iter().map(|flag| flag.change).chain(review.held.iter().copied());
    let flagged = telling.take(LIST_MAX / 2);
    let mut kept: BTreeSet<usize> = flagged.filter(|at| *at < changes.changes.len()).collect();
    for at in 0..changes.changes.len() {
        if kept.len() >= LIST_MAX {
            break;
        }
        kept.insert(at);
    }
    let all = std::mem::take(&mut changes.changes);
    let mut rest: Vec<Change> = Vec::new();
    for (at, change) in all.into_iter().enumerate() {
        if kept.contains(&at) { changes.changes.push(change) } else { rest.push(change) }
    }
    let place: Vec<usize> = kept.iter().copied().collect();
    review.risks = place.iter().filter_map(|at| review.risks.get(*at).copied()).collect();
    let (mut flags, mut flags_out) = (Vec::new(), Vec::new());
    for mut flag in std::mem::take(&mut review.flags) {
        match place.binary_search(&flag.change) {
            Ok(at) => {
                flag.change = at;
                flags.push(flag);
            }
            Err(_) => flags_out.push(flag),
        }
    }
    review.flags = flags;
    // Of what is left out it is told as of the other changes.
    let content = std::mem::take(&mut review.content);
    let (inside, content_out): (Vec<_>, Vec<_>) =
        content.into_iter().partition(|found| place.binary_search(&found.change).is_ok());
    let moved = |found: Found| Some(Found { change: place.binary_search(&found.change).ok()?, ..found });
    review.content = inside.into_iter().filter_map(moved).collect();
    review.held = review.held.iter().filter_map(|held| place.binary_search(held).ok()).collect();
    let mut left_out = vec![left("changes.changes", &rest)?];
    if !flags_out.is_empty() {
        left_out.push(left("review.flags", &flags_out)?);
    }
    if !content_out.is_empty() {
        left_out.push(left("review.content", &content_out)?);
    }
    Ok(left_out)
}

fn left<T: Serialize>(at: &str, entries: &[T]) -> Result<LeftOut, serde_json::Error> {
    let redacted = |entry: &T| {
        let mut value = serde_json::to_value(entry)?;
        redact(&mut value, |_| true);
        Ok(value)
    };
    left_values(at, entries.iter().map(redacted))
}

/// Of entries that were redacted.
fn left_values(
    at: &str,
    entries: impl Iterator<Item = Result<Value, serde_json::Error>>,
) -> Result<LeftOut, serde_json::Error> {
    let (mut hash, mut count) = (Sha256::new(), 0);
    for entry in entries {
        hash.update(serde_json::to_vec(&entry?)?);
        hash.update(b"\n");
        count += 1;
    }
    Ok(LeftOut { at: at.to_owned(), count, sha256: hex(&hash.finalize()) })
}

fn bound(
    value: &mut Value,
    at: &str,
    (list, text): (usize, usize),
    left_out: &mut Vec<LeftOut>,
) -> Result<(), serde_json::Error> {
    match value {
        Value::String(words) if words.len() > text => {
            let end = (0..=text).rev().find(|end| words.is_char_boundary(*end)).unwrap_or(0);
            let rest = words.split_off(end);
            let sha256 = digest::sha256(&rest);
            left_out.push(LeftOut { at: at.to_owned(), count: rest.len() as u64, sha256 });
        }
        Value::Array(items) => {
            if items.len() > list {
                let rest = items.split_off(list);
                left_out.push(left_values(at, rest.into_iter().map(Ok))?);
            }
            for (number, item) in items.iter_mut().enumerate() {
                bound(item, &format!("{at}[{number}]"), (list, text), left_out)?;
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                bound(field, &at, (list, text), left_out)?;
            }
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ChangeKind, Differs, Disposition, FilePath, Flag, Risk};

    fn change(path: String) -> Change {
        let path = FilePath::from(path.as_str());
        Change { path, kind: ChangeKind::Added, before: None, after: None, differs: Differs::default(), below: 0 }
    }

    #[test]
    fn of_many_changes_the_flagged_one_stays_and_the_rest_is_counted() {
        let mut changes = ChangeSet { changes: (0..5000).map(|n| change(format!("/w/{n:05}"))).collect() };
        changes.changes.push(change("/w/z/.bashrc".into()));
        let flag = Flag { change: 5000, risk: Risk::High, rule: "protected/shell".into(), message: "x".into() };
        let (risks, surprises) = (vec![Risk::Low; 5001], Vec::new());
        let held = vec![4999];
        let found = |change| Found {
            change,
            rule: "content/secret".into(),
            name: "pem".into(),
            line: Some(3),
            message: "a private key".into(),
        };
        let content = vec![found(4000), found(5000)];
        let mut review = Review { disposition: Disposition::Ask, risks, flags: vec![flag], surprises, held, content };
        let left_out = most_telling(&mut changes, &mut review).unwrap();
        assert_eq!((changes.changes.len(), review.risks.len()), (LIST_MAX, LIST_MAX));
        assert_eq!(changes.changes[review.flags[0].change].path, FilePath::from("/w/z/.bashrc"));
        assert_eq!((review.content.len(), review.content[0].change), (1, review.flags[0].change));
        assert_eq!((left_out[1].at.as_str(), left_out[1].count), ("review.content", 1));
        assert_eq!(changes.changes[review.held[0]].path, FilePath::from("/w/04999"));
        assert_eq!((left_out[0].at.as_str(), left_out[0].count), ("changes.changes", 5001 - LIST_MAX as u64));
    }

    #[test]
    fn every_record_keeps_to_its_bound() {
        let paths = (0..400).map(|n| FilePath::from(format!("/w/{}{n}", "long".repeat(1000)).as_str())).collect();
        for stage in [
            Stage::Settling { verb: "apply".into(), paths, by: "person".into(), granted: vec![] },
            Stage::Failed { error: "é".repeat(1 << 18) },
        ] {
            let (value, left_out) = fit(stage).unwrap();
            assert!(serde_json::to_vec(&value).unwrap().len() <= RECORD_MAX);
            assert!(!left_out.is_empty());
            serde_json::from_value::<Stage>(value).unwrap();
        }
    }

    #[test]
    fn what_stays_and_what_was_left_out_is_all_there_was() {
        let all: Vec<FilePath> = (0..300).map(|n| FilePath::from(format!("/w/{n}").as_str())).collect();
        let (value, left_out) =
            fit(Stage::Settling { verb: "x".into(), paths: all.clone(), by: "y".into(), granted: vec![] }).unwrap();
        let Ok(Stage::Settling { paths, .. }) = serde_json::from_value(value) else { panic!("as it was") };
        assert_eq!((&paths[..], left_out.len()), (&all[..LIST_MAX], 1));
        assert_eq!(left_out[0], left("paths", &all[LIST_MAX..]).unwrap());
    }
}
