//! Facts of a run, gathered for the profile that it needed.

use crate::error::RunError;
use crate::journey::{Request, confine};
use crate::trial::{Frozen, Trial};
use model::{ChangeKind, FilePath};
use overlay::Overlay;
use policy::Profile;
use policy::profile::{Learnt, Wrote};
use std::collections::BTreeSet;

/// What the command line gave besides the profile, as a profile has it.
#[derive(Clone, Debug)]
pub struct Learn {
    /// The profile with what options added, without values of variables.
    pub profile: Profile,
    /// Variables that an option gave a value.
    pub valued: Vec<String>,
}

/// The text of the profile that the run needed. Nothing of it is real yet, so the host is as it was before.
pub(crate) fn learn(frozen: &Trial<Frozen>, request: &Request, asked: &Learn) -> Result<String, RunError> {
    let record = frozen.record();
    let wrote = wrote(frozen)?;
    let mut layers = (0u64, 0u64);
    for overlay in &frozen.overlays {
        if !overlay.is_untouched()? {
            let (bytes, files) = overlay.size()?;
            layers = (layers.0.saturating_add(bytes), layers.1.saturating_add(files));
        }
    }
    let argv: Vec<_> = request.argv.clone();
    Ok(policy::profile::learn(&Learnt {
        command: &model::escape::bytes(&analyze::quote(&argv)),
        profile: &asked.profile,
        place: &record.place,
        roots: &record.roots,
        wrote: &wrote,
        // Where the journal is not whole, something was written that nobody knows of.
        hidden: &confine(request)?.hidden,
        whole: record.unattributed.is_none(),
        attempts: &record.attempts,
        connections: &record.connections,
        valued: &asked.valued,
        used: record.used.unwrap_or_default(),
        layers,
        wall_ms: record.wall_ms.unwrap_or_default(),
    }))
}

/// Each name that was written, the changes and what is gone again.
fn wrote(frozen: &Trial<Frozen>) -> Result<Vec<Wrote>, RunError> {
    let mut names: BTreeSet<(FilePath, Option<FilePath>)> = BTreeSet::new();
    for overlay in &frozen.overlays {
        names.extend(overlay.touched()?.unwrap_or_default());
    }
    for change in &frozen.changes().changes {
        let with = match &change.kind {
            ChangeKind::Renamed { from } => Some(from.clone()),
            _ => None,
        };
        names.insert((change.path.clone(), with));
    }
    let both = names.iter().flat_map(|(path, with)| {
        let back = with.as_ref().map(|with| (with.clone(), Some(path.clone())));
        [Some((path.clone(), with.clone())), back].into_iter().flatten()
    });
    Ok(both
        .map(|(path, with)| Wrote { dir: dir(frozen, &path), with: with.map(|with| dir(frozen, &with)), path })
        .collect())
}

/// The nearest directory at or above the one a name is in that the host has; never above the root.
fn dir(frozen: &Trial<Frozen>, path: &FilePath) -> FilePath {
    let root = frozen.overlay_of(path).map(Overlay::root);
    if root.is_some_and(|root| root == path) {
        return path.clone();
    }
    let is_there = |dir: &&std::path::Path| dir.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    let there = path.as_path().ancestors().skip(1).find(is_there);
    there.map_or_else(|| FilePath::from("/"), FilePath::from)
}
