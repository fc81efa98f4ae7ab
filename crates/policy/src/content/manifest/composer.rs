//! `composer.json`: every script is bound to an event or to its name.

use super::npm::{object, text, texts};
use super::{Item, Named, Note, REGISTRY, changed, scripts as scripts_of, shown};
use crate::content::Judge;
use model::Risk;

pub(super) fn read(before: Option<&str>, after: &str, judge: &mut Judge<'_>) -> Result<Vec<Note>, String> {
    let after = object(after)?;
    let before = before.and_then(|text| object(text).ok()).unwrap_or_default();
    let (scripts, wishes) = (texts(&after, &["scripts"]), texts(&after, &["require", "require-dev"]));
    let scripts = Named { what: "script", before: texts(&before, &["scripts"]), after: &scripts };
    let wishes = Named { what: "dependency", before: texts(&before, &["require", "require-dev"]), after: &wishes };
    let (mut parts, mut items) = (Vec::new(), Vec::new());
    scripts.tell(&mut parts, &mut items);
    wishes.tell(&mut parts, &mut items);
    let runs =
        |name: &str| name.starts_with("pre-") || name.starts_with("post-") || name == "init" || name == "command";
    let mut notes = Vec::from(scripts_of(&scripts, runs, judge));
    let place = |of: &serde_json::Map<String, serde_json::Value>| of.get("repositories").map(text);
    if let Some(now) = place(&after).filter(|now| place(&before).as_ref() != Some(now)) {
        let item = Item::new("repositories", shown(&now));
        notes.push(Some(Note::new(Risk::High, REGISTRY, format!("packages come from {}", shown(&now)), vec![item])));
    }
    notes.push(changed(&parts, items));
    Ok(notes.into_iter().flatten().collect())
}
