//! Grants on disk: `grants.json` beside the trials, which no jar sees. One file, read when a decision asks and never
//! otherwise; written beside and renamed, under a lock, so that it is old or new.

pub use crate::audit::now_ms;
use crate::replace::{own, replace};
use model::{FilePath, Grant, GrantScope, Place, TrialId};
use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Days after which a grant that is not for one jar ends, where nobody says otherwise.
pub const DAYS: u32 = 30;
/// The most days one can last.
pub const DAYS_MAX: u32 = 366;
/// The most grants there are; expired ones make room.
pub const GRANTS_MAX: usize = 1024;
/// The most effects in one.
pub const EFFECTS_MAX: usize = 64;
/// How long an expired one is still listed.
const LISTED_MS: u64 = 90 * DAY_MS;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const BYTES_MAX: u64 = 64 << 20;
/// Layout of the file.
const VERSION: u32 = 1;

/// Why grants cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// The file cannot be read or written, or is not what Belljar wrote.
    #[error("{what} the grants {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// Which.
        path: FilePath,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No grant is called so.
    #[error("there is no grant {}", model::escape::text(.0))]
    Unknown(String),
    /// Several are.
    #[error("several grants begin with {}", model::escape::text(.0))]
    Ambiguous(String),
    /// There is no room.
    #[error("there are {GRANTS_MAX} grants already")]
    Full,
}

impl GrantError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            GrantError::File { path, .. } => {
                format!(
                    "it must be a plain file of yours that nobody else may write; without {path} nothing is granted"
                )
            }
            GrantError::Unknown(_) | GrantError::Ambiguous(_) => "`belljar grants` lists them".into(),
            GrantError::Full => "`belljar grants revoke` takes some back".into(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnDisk {
    version: u32,
    grants: Vec<Grant>,
}

/// The user's grants.
#[derive(Debug)]
pub struct Grants {
    path: PathBuf,
}

/// Where a command would run, as far as grants go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot<'a> {
    /// The jar, if it has a name.
    pub(crate) jar: Option<&'a TrialId>,
    pub(crate) place: &'a Place,
}

impl Grants {
    /// Those below the state directory `state`.
    #[must_use]
    pub fn at(state: &Path) -> Grants {
        Grants { path: state.join("grants.json") }
    }

    fn failed(&self, what: &'static str) -> impl FnOnce(io::Error) -> GrantError {
        let path = FilePath::from(self.path.as_path());
        move |source| GrantError::File { what, path, source }
    }

    /// All of them, oldest first, expired ones too.
    ///
    /// # Errors
    /// When the file is there and is not a plain one of this user that only he writes, or does not read as grants: then
    /// nothing is granted.
    pub fn all(&self) -> Result<Vec<Grant>, GrantError> {
        self.read().map_err(self.failed("read"))
    }

    fn read(&self) -> io::Result<Vec<Grant>> {
        let Some(bytes) = own(&self.path, BYTES_MAX)? else { return Ok(Vec::new()) };
        let on_disk: OnDisk = serde_json::from_slice(&bytes)?;
        if on_disk.version != VERSION {
            return Err(io::Error::other("another version of Belljar wrote it"));
        }
        Ok(on_disk.grants)
    }

    /// Remembers one.
    pub(crate) fn add(&self, grant: &Grant) -> Result<(), GrantError> {
        self.change(|grants| {
            let now = now_ms();
            grants.retain(|grant| !grant.expired(now.saturating_sub(LISTED_MS)));
            if grants.len() >= GRANTS_MAX {
                grants.retain(|grant| !grant.expired(now));
            }
            if grants.len() >= GRANTS_MAX {
                return Err(GrantError::Full);
            }
            grants.push(grant.clone());
            Ok(())
        })
    }

    /// Takes these back.
    pub(crate) fn remove(&self, ids: &[String]) -> Result<(), GrantError> {
        self.change(|grants| {
            grants.retain(|grant| !ids.contains(&grant.id));
            Ok(())
        })
    }

    /// The grants that are called so, by name or an unambiguous beginning of it.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn find(&self, names: &[String]) -> Result<Vec<Grant>, GrantError> {
        let all = self.all()?;
        let one = |name: &String| {
            let exact: Vec<&Grant> = all.iter().filter(|grant| grant.id == *name).collect();
            let begins = all.iter().filter(|grant| !name.is_empty() && grant.id.starts_with(name.as_str()));
            let found = if exact.is_empty() { begins.collect() } else { exact };
            match found.as_slice() {
                [] => Err(GrantError::Unknown(name.clone())),
                [one] => Ok((*one).clone()),
                _ => Err(GrantError::Ambiguous(name.clone())),
            }
        };
        names.iter().map(one).collect()
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Grant>) -> Result<(), GrantError>) -> Result<(), GrantError> {
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        let lock = || -> io::Result<File> {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            let flags = OFlag::O_NOFOLLOW.bits();
            let path = self.path.with_extension("lock");
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(flags)
                .open(path)?;
            file.lock()?;
            Ok(file)
        };
        let held = lock().map_err(self.failed("lock"))?;
        let mut grants = self.all()?;
        change(&mut grants)?;
        self.write(grants).map_err(self.failed("write"))?;
        drop(held);
        Ok(())
    }

    fn write(&self, grants: Vec<Grant>) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(&OnDisk { version: VERSION, grants })?;
        replace(&self.path, &text)
    }
}

/// Whether a grant counts here and now.
pub(crate) fn counts(grant: &Grant, spot: Spot<'_>, now_ms: u64) -> bool {
    let here = match &grant.scope {
        GrantScope::Jar { trial } => spot.jar == Some(trial),
        GrantScope::Project { path } => *path == spot.place.workspace,
        GrantScope::Always => true,
    };
    // One from the future was made before the clock was set back; how much of its time is over nobody knows.
    here && grant.uid == spot.place.uid && !grant.expired(now_ms) && grant.made_ms <= now_ms
}

/// When a grant of so many days ends.
pub(crate) fn end(made_ms: u64, days: u32) -> u64 {
    made_ms.saturating_add(u64::from(days.clamp(1, DAYS_MAX)) * DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Action, Door, Granted, Reversibility, Risk, Target, Tiers};
    use proptest::prelude::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    pub(super) fn grant(id: &str, scope: GrantScope, made_ms: u64, expires_ms: Option<u64>) -> Grant {
        let target = Target::Program { name: "make".into() };
        let tiers = Tiers { contained: Risk::Medium, bare: Risk::Medium };
        let effect = Granted { action: Action::Execute, target, reversibility: Reversibility::Harmless, tiers };
        let uid = nix::unistd::Uid::effective().as_raw();
        Grant {
            id: id.into(),
            door: Door::Run,
            effects: vec![effect],
            scope,
            made_ms,
            expires_ms,
            uid,
            shown: Vec::new(),
        }
    }

    fn place(workspace: &str) -> Place {
        Place {
            cwd: workspace.into(),
            home: "/home/u".into(),
            workspace: workspace.into(),
            state: "/s".into(),
            uid: nix::unistd::Uid::effective().as_raw(),
            contained: true,
        }
    }

    #[test]
    fn they_are_kept_by_one_and_read_as_written() {
        let dir = tempfile::tempdir().unwrap();
        let grants = Grants::at(&dir.path().join("belljar"));
        assert_eq!(grants.all().unwrap(), []);
        let all = [grant("aaaa", GrantScope::Always, 1, Some(9)), grant("aabb", GrantScope::Always, now_ms(), None)];
        // The first expired long ago, and goes when the next is made.
        all.iter().for_each(|grant| grants.add(grant).unwrap());
        assert_eq!(grants.all().unwrap(), all[1..]);
        let mode = fs::metadata(&grants.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(grants.find(&["aa".into()]).unwrap(), all[1..]);
        assert!(matches!(grants.find(&["b".into()]), Err(GrantError::Unknown(_))));
        assert!(matches!(grants.find(&[String::new()]), Err(GrantError::Unknown(_))));
        grants.add(&grant("aacc", GrantScope::Always, now_ms(), None)).unwrap();
        assert!(matches!(grants.find(&["aa".into()]), Err(GrantError::Ambiguous(_))));
        grants.remove(&["aabb".into(), "aacc".into()]).unwrap();
        assert_eq!(grants.all().unwrap(), []);
    }

    #[test]
    fn a_file_that_others_could_have_written_grants_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let grants = Grants::at(dir.path());
        grants.add(&grant("aaaa", GrantScope::Always, now_ms(), None)).unwrap();
        let wrong = |what: &str| {
            let error = grants.all().unwrap_err();
            assert!(crate::in_full(&error).contains(what), "{error:?}");
            assert!(grants.add(&grant("bbbb", GrantScope::Always, 0, None)).is_err(), "and is not written over");
        };
        fs::set_permissions(&grants.path, fs::Permissions::from_mode(0o620)).unwrap();
        wrong("others may write it");
        fs::set_permissions(&grants.path, fs::Permissions::from_mode(0o600)).unwrap();
        let real = dir.path().join("real");
        fs::hard_link(&grants.path, &real).unwrap();
        wrong("one name");
        fs::remove_file(&grants.path).unwrap();
        symlink(&real, &grants.path).unwrap();
        wrong("symbolic links");
        fs::remove_file(&grants.path).unwrap();
        for text in ["", "{}", "{\"version\":2,\"grants\":[]}", "{\"version\":1,\"grants\":[],\"more\":1}", "[1"] {
            fs::write(&grants.path, text).unwrap();
            wrong("");
        }
    }

    #[test]
    fn each_counts_where_it_was_made_for() {
        let (trial, other) = (TrialId("jar".into()), TrialId("other".into()));
        let counts = |scope: GrantScope, jar: Option<&TrialId>, workspace: &str| {
            counts(&grant("a", scope, 5, Some(10)), Spot { jar, place: &place(workspace) }, 7)
        };
        let jar = || GrantScope::Jar { trial: trial.clone() };
        assert!(counts(jar(), Some(&trial), "/w") && !counts(jar(), Some(&other), "/w") && !counts(jar(), None, "/w"));
        let project = || GrantScope::Project { path: "/w".into() };
        assert!(counts(project(), None, "/w"));
        for elsewhere in ["/w/sub", "/", "/W", "/w2", "/x/../w"] {
            assert!(!counts(project(), Some(&trial), elsewhere), "{elsewhere}");
        }
        assert!(counts(GrantScope::Always, None, "/x"));
        let own = grant("a", GrantScope::Always, 5, Some(10));
        let here = place("/w");
        let at = |now| super::counts(&own, Spot { jar: None, place: &here }, now);
        assert_eq!([4, 5, 9, 10, 11].map(at), [false, true, true, false, false]);
        let theirs = Place { uid: here.uid + 1, ..here.clone() };
        assert!(!super::counts(&own, Spot { jar: None, place: &theirs }, 7));
    }

    proptest! {
        #[test]
        fn time_never_makes_one_count_again(made in 0_u64..50, lasts in 0_u64..50, now in 0_u64..120, later in 0_u64..120) {
            let own = grant("a", GrantScope::Always, made, Some(made + lasts));
            let here = place("/w");
            let at = |now| counts(&own, Spot { jar: None, place: &here }, now);
            prop_assert!(now < made || at(now) || !at(now + later));
            prop_assert!(end(made, 0) > made && end(u64::MAX, 9) == u64::MAX);
        }
    }
}
