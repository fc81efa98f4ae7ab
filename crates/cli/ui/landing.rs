//! Grants at the review in words: what exactly would not be asked again, and what was not.

use super::approval::scope_keys;
use super::changes::{count, short};
use super::style::Style;
use engine::grants::DAYS;
use engine::{Frozen, Granting, LandingOffer, Trial};
use std::collections::BTreeSet;
use std::io::{self, Write};

/// Lines of what is asked about every time.
const ONCE_MAX: usize = 6;

/// What would be granted, all of it, and what would not.
pub(super) fn shown(style: Style, frozen: &Trial<Frozen>, offer: &LandingOffer, below: bool) -> String {
    let head = format!("Not asked again for {DAYS} days (in a jar: as long as it is there), and nothing besides it:");
    let mut out = style.bold(&head) + "\n";
    for effect in offer.effects(below) {
        out += &format!("       {effect}\n");
    }
    out +=
        &style.dim("       that is new and changed files, or files that are gone; what is harmless may come with it\n");
    let place = &frozen.record().place;
    for (index, why) in offer.once.iter().take(ONCE_MAX) {
        let name = frozen.changes().changes.get(*index).map(|change| short(place, &change.path)).unwrap_or_default();
        out += &style.dim(&format!("       asked every time: {name}: {why}\n"));
    }
    let more = offer.once.len().saturating_sub(ONCE_MAX);
    if more > 0 {
        let reasons: BTreeSet<String> = offer.once.iter().skip(ONCE_MAX).map(|(_, why)| why.to_string()).collect();
        let reasons: Vec<String> = reasons.into_iter().collect();
        out += &style.dim(&format!(
            "       asked every time: {}: {}\n",
            count(more as u64, "more change"),
            reasons.join("; ")
        ));
    }
    out
}

/// The keys that mean something there.
pub(super) fn keys(offer: &LandingOffer, below: bool) -> String {
    let other = match below {
        true if !offer.files.is_empty() => ", f = only these names",
        false if !offer.directories.is_empty() => ", d = all below their directories",
        _ => "",
    };
    format!("{}{other}, any other key = back", scope_keys(&offer.scopes()))
}

/// What grants had to do with what became of the changes.
pub(super) fn granting(out: &mut impl Write, style: Style, granting: &Granting) -> io::Result<()> {
    let Granting { used, made, unread } = granting;
    if !used.grants.is_empty() {
        let these = count(used.paths.len() as u64, "change");
        let names = model::escape::text(&used.grants.join(", "));
        writeln!(out, "{}", style.dim(&format!("{these} not asked about, granted: {names}")))?;
    }
    if let Some(grant) = made {
        let id = model::escape::text(&grant.id);
        writeln!(out, "{} {} (belljar grants revoke {id})", style.green("granted:"), super::grants::effects(grant))?;
    }
    match unread {
        Some(why) => writeln!(out, "{} {}", style.yellow("no grant counted:"), model::escape::text(why)),
        None => Ok(()),
    }
}
