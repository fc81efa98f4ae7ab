//! Trials on disk: `$XDG_STATE_HOME/belljar/trials/ID/` with the record, and one directory for each overlay.
//!
//! A running Belljar holds a lock on the trial's directory, so a trial that says it runs and is not locked was
//! interrupted: its upper layer is whole, and it waits for a decision like any other.

use crate::record::{ALPHABET, ID_CHARS, JarName, TrialRecord};
use crate::runs;
use model::{FilePath, TrialId, TrialState};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A system call failed.
    #[error("{what} {path}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// With what.
        path: FilePath,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A trial's record is damaged or from another version.
    #[error("read the record of trial {id}")]
    Record {
        /// Which trial.
        id: TrialId,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// No trial is called so.
    #[error("no trial is called `{}`", model::escape::text(.0))]
    Unknown(String),
    /// There is no jar to take by default.
    #[error("no jar here has a command that could be taken back")]
    NoJar,
    /// There is no trial to take by default.
    #[error("no trial waits for a decision here")]
    Nothing,
    /// There is no trial to undo by default.
    #[error("nothing that was applied here can be undone")]
    NothingApplied,
    /// Several trials begin so.
    #[error("`{}` could be any of {}", model::escape::text(.0), .1.iter().map(|id| id.0.as_str()).collect::<Vec<_>>().join(", "))]
    Ambiguous(String, Vec<TrialId>),
    /// Its removal was begun.
    #[error("trial {0} is half discarded")]
    HalfDiscarded(TrialId),
    /// It holds what was moved out of the way on the host, and cannot put it back now.
    #[error("trial {0} keeps files of the host that an interrupted apply or undo put aside, and was not removed")]
    KeepsFiles(TrialId),
    /// Another process works on this trial.
    #[error("trial {0} is in use by another belljar")]
    Busy(TrialId),
    /// A command runs in this jar.
    #[error("a command runs in the jar {0} already, and one at a time is what there is")]
    JarBusy(JarName),
    /// A word is the name of a jar and of a file.
    #[error("`{0}` is a jar and a file here")]
    JarOrFile(JarName),
}

impl StoreError {
    /// Whether the disk is full.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, StoreError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            StoreError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "free some space (`belljar trials` shows what trials hold, `belljar discard` frees it), or set XDG_STATE_HOME to another disk"
                    .into()
            }
            StoreError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "make it writable for you, or set XDG_STATE_HOME to a directory that is".into()
            }
            StoreError::Io { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                "set XDG_STATE_HOME to a directory that is writable".into()
            }
            StoreError::Io { .. } => return None,
            StoreError::Record { id, .. } => format!("`belljar discard {id}` throws it away"),
            StoreError::NothingApplied => "`belljar trials --all` lists what was applied, and where".into(),
            StoreError::Unknown(_) | StoreError::Nothing | StoreError::NoJar => "`belljar trials` lists what there is".into(),
            StoreError::Ambiguous(..) => "give more letters of it".into(),
            StoreError::HalfDiscarded(id) => format!("`belljar discard {id}` finishes it"),
            StoreError::KeepsFiles(id) => {
                format!("put the workspace back in its place; then `belljar discard {id}` puts the files back too")
            }
            StoreError::Busy(_) => "wait until it ends".into(),
            StoreError::JarBusy(_) => "wait until it ends, or use another jar".into(),
            StoreError::JarOrFile(name) => format!("say `./{name}` for the file, or the jar's id (`belljar trials`)"),
        })
    }
}

pub(crate) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = FilePath::from(path);
    move |source| StoreError::Io { what, path, source }
}

/// A trial's directory, locked for as long as this value lives.
#[derive(Debug)]
pub struct TrialDir {
    path: PathBuf,
    _lock: File,
}

impl TrialDir {
    /// Directory of the overlay of root number `index`.
    #[must_use]
    pub fn layer(&self, index: usize) -> PathBuf {
        self.path.join(format!("{LAYER}{index}"))
    }

    /// Where the copy of root number `index` is, while a command works on it.
    #[must_use]
    pub fn copy(&self, index: usize) -> PathBuf {
        self.path.join(format!("copy{index}"))
    }

    /// The temporary directory of a command that works on copies.
    #[must_use]
    pub fn private(&self) -> PathBuf {
        self.path.join("tmp")
    }

    /// The directories of the overlays that are there.
    ///
    /// # Errors
    /// When the trial directory cannot be read.
    pub(crate) fn layers(&self) -> Result<Vec<PathBuf>, StoreError> {
        let failed = || io_error("list the trial directory", &self.path);
        let mut layers = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            if entry.file_name().as_encoded_bytes().starts_with(LAYER.as_bytes()) {
                layers.push(entry.path());
            }
        }
        layers.sort();
        Ok(layers)
    }

    /// Writes the record so that a crash leaves either the old or the new one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, record: &TrialRecord) -> Result<(), StoreError> {
        let temporary = self.path.join("trial.json.new");
        let failed = || io_error("write the trial record", &temporary);
        let bytes =
            serde_json::to_vec(record).map_err(|source| StoreError::Record { id: record.id.clone(), source })?;
        // It holds the command line, which may hold secrets.
        let mine = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary);
        let written = mine.and_then(|mut file| file.write_all(&bytes));
        if let Err(error) = written {
            // On a full disk half a record takes the room that the next step needs.
            let _ = fs::remove_file(&temporary);
            return Err(failed()(error));
        }
        fs::rename(&temporary, self.path.join(RECORD)).map_err(failed())?;
        if record.log > 0 {
            // Lines that belong to no record any more take room and do no harm.
            let _ = fs::remove_file(self.path.join(runs::RUNS));
        }
        Ok(())
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of all trials.
    pub(crate) fn above(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Removes the record, which needs no room on the disk. What is left counts as a trial that never began, and the
    /// next listing removes it.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget(&self) -> Result<(), StoreError> {
        let path = self.path.join(RECORD);
        fs::remove_file(&path).map_err(io_error("remove the trial record", &path))
    }

    /// As [`TrialDir::save`], and on the disk when it returns.
    ///
    /// # Errors
    /// When it cannot be written or synced.
    pub fn save_synced(&self, record: &TrialRecord) -> Result<(), StoreError> {
        self.save(record)?;
        let path = self.path.join(RECORD);
        File::open(&path).and_then(|file| file.sync_all()).map_err(io_error("sync the trial record", &path))?;
        File::open(&self.path).and_then(|dir| dir.sync_all()).map_err(io_error("sync the trial record", &path))
    }

    /// Removes what is left of the trial, its layers being gone.
    ///
    /// # Errors
    /// When something cannot be removed, or a layer that could not be opened keeps files of the host.
    pub fn remove(self) -> Result<(), StoreError> {
        for layer in self.layers()? {
            if overlay::Overlay::is_interrupted(&layer).map_err(io_error("look at the layer", &layer))? {
                let name = self.path.file_name().unwrap_or_default();
                return Err(StoreError::KeepsFiles(TrialId(name.to_string_lossy().into_owned())));
            }
        }
        let failed = |error| io_error("remove the trial directory", &self.path)(io::Error::other(error));
        match fs::remove_dir_all(&self.path) {
            // The command chose the modes of what a damaged layer still holds.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                overlay::Overlay::purge(&self.path).map_err(failed)
            }
            removed => removed.map_err(io_error("remove the trial directory", &self.path)),
        }
    }
}

const RECORD: &str = "trial.json";
/// Of the name of a layer's directory.
const LAYER: &str = "layer-";

/// Looking at a trial (`trials`, `show`) takes milliseconds; running or applying one takes longer.
const LOCK_TRIES: u32 = 20;
/// Being cleared away between two system calls is rare; twice in a row is somebody's intention.
const CREATE_TRIES: u32 = 3;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// One line of [`Store::list`].
#[derive(Clone, Debug)]
pub struct Listed {
    /// What is remembered.
    pub record: TrialRecord,
    /// A living Belljar holds it.
    pub in_use: bool,
}

/// The state of a trial in one word. One that says it runs and is held by nobody was interrupted.
#[must_use]
pub fn state(listed: &Listed) -> &'static str {
    match (listed.record.state, listed.in_use) {
        (_, true) => "running",
        (TrialState::Running, false) => "interrupted",
        (TrialState::Pending, false) => "pending",
        (TrialState::Applying, false) => "applying",
        (TrialState::Applied, false) => "applied",
        (TrialState::Undoing, false) => "undoing",
        (TrialState::Discarded, false) => "discarded",
        (TrialState::Empty, false) => "empty",
    }
}

/// A directory of the store that is no whole trial.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Its name.
    pub id: TrialId,
    /// Where.
    pub path: FilePath,
    /// What is wrong with it; `None` when it never became a trial, so that nothing is lost with it.
    pub error: Option<String>,
}

/// All trials of one user.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// The store in the state directory `state`; nothing is touched yet.
    #[must_use]
    pub fn new(state: &Path) -> Store {
        Store { dir: state.join("trials") }
    }

    /// Where a trial is, if there is one of this name.
    pub(crate) fn trial_path(&self, id: &TrialId) -> PathBuf {
        self.dir.join(&id.0)
    }

    /// Makes the directory of a new trial and locks it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(&self, id: &TrialId) -> Result<TrialDir, StoreError> {
        for _ in 1..CREATE_TRIES {
            self.make(id)?;
            // Before it is locked it looks like a leftover, and somebody may be clearing those away just now.
            if let Some(dir) = self.lock_if_there(id)? {
                return Ok(dir);
            }
        }
        self.make(id)?;
        self.lock(id)
    }

    fn make(&self, id: &TrialId) -> Result<(), StoreError> {
        let path = self.dir.join(&id.0);
        let failed = || io_error("make the trial directory", &path);
        let private = |recursive| {
            let mut builder = DirBuilder::new();
            builder.recursive(recursive).mode(0o700);
            builder
        };
        match private(false).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                private(true).create(&self.dir).map_err(failed())?;
                private(false).create(&path).map_err(failed())
            }
            made => made.map_err(failed()),
        }
    }

    /// Locks a trial unless it is gone or in use by now.
    ///
    /// # Errors
    /// When it is there and cannot be locked for another reason.
    pub fn lock_if_there(&self, id: &TrialId) -> Result<Option<TrialDir>, StoreError> {
        match self.lock(id) {
            Ok(dir) => Ok(Some(dir)),
            Err(StoreError::Busy(_)) => Ok(None),
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Locks an existing trial, waiting a moment for somebody who only looks at it.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when another process holds it.
    pub fn lock(&self, id: &TrialId) -> Result<TrialDir, StoreError> {
        for _ in 1..LOCK_TRIES {
            match self.try_lock(id) {
                Err(StoreError::Busy(_)) => thread::sleep(LOCK_PAUSE),
                locked => return locked,
            }
        }
        self.try_lock(id)
    }

    fn try_lock(&self, id: &TrialId) -> Result<TrialDir, StoreError> {
        let path = self.dir.join(&id.0);
        let failed = || io_error("lock the trial directory", &path);
        let lock = File::open(&path).map_err(io_error("open the trial directory", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Busy(id.clone())),
            Err(TryLockError::Error(source)) => return Err(failed()(source)),
        }
        // Somebody may have removed it between opening and locking.
        let (opened, now) = (lock.metadata().map_err(failed())?, fs::metadata(&path).map_err(failed())?);
        if opened.ino() != now.ino() {
            return Err(StoreError::Busy(id.clone()));
        }
        Ok(TrialDir { path, _lock: lock })
    }

    /// Reads the record of a trial.
    ///
    /// # Errors
    /// When it is not there or damaged.
    pub fn load(&self, id: &TrialId) -> Result<TrialRecord, StoreError> {
        let path = self.dir.join(&id.0).join(RECORD);
        let bytes = fs::read(&path).map_err(io_error("read", &path))?;
        let mut record =
            serde_json::from_slice(&bytes).map_err(|source| StoreError::Record { id: id.clone(), source })?;
        runs::add_to(&mut record, &self.dir.join(&id.0))?;
        Ok(record)
    }

    /// All trials, oldest first, and the directories that are none.
    ///
    /// # Errors
    /// When the store cannot be read. A store that does not exist yet is empty.
    pub fn list(&self) -> Result<(Vec<Listed>, Vec<Broken>), StoreError> {
        let mut trials = Vec::new();
        let mut broken = Vec::new();
        for id in self.ids()? {
            let in_use = matches!(self.try_lock(&id), Err(StoreError::Busy(_)));
            match self.load(&id) {
                Ok(record) => trials.push(Listed { record, in_use }),
                Err(_) if in_use || !self.dir.join(&id.0).exists() => {}
                Err(error) => broken.push(self.broken(id, &error)),
            }
        }
        trials.sort_by(|a, b| (a.record.created_ms, &a.record.id).cmp(&(b.record.created_ms, &b.record.id)));
        Ok((trials, broken))
    }

    fn broken(&self, id: TrialId, error: &StoreError) -> Broken {
        let path = FilePath::from(self.dir.join(&id.0));
        // Without a record no command was ever started: the record is written before.
        let never_began = matches!(error, StoreError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound);
        let error = (!never_began).then(|| match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        });
        Broken { id, path, error }
    }

    fn ids(&self) -> Result<Vec<TrialId>, StoreError> {
        let failed = || io_error("list", &self.dir);
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read.map_err(failed())?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed())?.file_name();
            ids.push(TrialId(name.to_string_lossy().into_owned()));
        }
        Ok(ids)
    }

    /// Held while a jar gets its name, so that two do not get the same.
    ///
    /// # Errors
    /// When the store cannot be made or locked.
    pub(crate) fn naming(&self) -> Result<File, StoreError> {
        let failed = || io_error("lock the store", &self.dir);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(failed())?;
        let dir = File::open(&self.dir).map_err(failed())?;
        dir.lock().map_err(failed())?;
        Ok(dir)
    }

    /// The jar called so over `workspace`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn jar(&self, name: &JarName, workspace: &FilePath) -> Result<Option<TrialId>, StoreError> {
        let named = self.jars(name.as_str())?.into_iter();
        let mut here = named.filter(|record| record.place.workspace == *workspace);
        Ok(here.next().map(|record| record.id))
    }

    fn jars(&self, name: &str) -> Result<Vec<TrialRecord>, StoreError> {
        let records = self.list()?.0.into_iter().map(|listed| listed.record);
        let called = |record: &TrialRecord| record.jar.as_ref().is_some_and(|jar| jar.as_str() == name);
        Ok(records.filter(|record| called(record) && record.state != TrialState::Discarded).collect())
    }

    /// The jar called `name`: the one over `workspace`, else the only one anywhere.
    ///
    /// # Errors
    /// [`StoreError::Ambiguous`] when several elsewhere are called so.
    pub fn find_jar(&self, name: &str, workspace: &FilePath) -> Result<Option<TrialId>, StoreError> {
        let mut jars = self.jars(name)?;
        if let Some(here) = jars.iter().find(|record| record.place.workspace == *workspace) {
            return Ok(Some(here.id.clone()));
        }
        match jars.len() {
            0 | 1 => Ok(jars.pop().map(|record| record.id)),
            _ => Err(StoreError::Ambiguous(name.into(), jars.into_iter().map(|record| record.id).collect())),
        }
    }

    /// The trial called `query`: its id, the name of a jar, or a prefix of an id that fits only one.
    ///
    /// # Errors
    /// When none or several fit.
    pub fn find(&self, query: &str, workspace: &FilePath) -> Result<TrialId, StoreError> {
        let fitting: Vec<TrialId> = self.ids()?.into_iter().filter(|id| id.0.starts_with(query)).collect();
        if let Some(exact) = fitting.iter().find(|id| id.0 == query) {
            return Ok(exact.clone());
        }
        if let Some(jar) = self.find_jar(query, workspace)? {
            return Ok(jar);
        }
        match fitting.as_slice() {
            _ if query.is_empty() => Err(StoreError::Unknown(query.into())),
            [] => Err(StoreError::Unknown(query.into())),
            [only] => Ok(only.clone()),
            _ => Err(StoreError::Ambiguous(query.into(), fitting)),
        }
    }

    /// The newest trial over `workspace` that waits for a decision.
    ///
    /// # Errors
    /// [`StoreError::Nothing`] when there is none.
    pub fn latest(&self, workspace: &FilePath) -> Result<TrialId, StoreError> {
        let (trials, _) = self.list()?;
        let waiting = trials.into_iter().rev().find(|listed| {
            let done = [TrialState::Applied, TrialState::Discarded, TrialState::Empty];
            let open = !done.contains(&listed.record.state);
            open && !listed.in_use && listed.record.place.workspace == *workspace
        });
        waiting.map(|listed| listed.record.id).ok_or(StoreError::Nothing)
    }

    /// The jar over `workspace` that was used last and has a command that could be taken back.
    ///
    /// # Errors
    /// [`StoreError::NoJar`] when there is none.
    pub fn latest_jar(&self, workspace: &FilePath) -> Result<TrialId, StoreError> {
        let records = self.list()?.0.into_iter().rev().filter(|listed| !listed.in_use).map(|listed| listed.record);
        let mut here = records.filter(|record| record.place.workspace == *workspace && record.taken_back(None).is_ok());
        here.next().map(|record| record.id).ok_or(StoreError::NoJar)
    }
}

impl Store {
    /// A file beside the trials.
    pub(crate) fn sibling(&self, name: &str) -> PathBuf {
        self.dir.with_file_name(name)
    }

    /// The trial over `workspace` of which something became real last, or whose undo was interrupted.
    ///
    /// # Errors
    /// [`StoreError::NothingApplied`] when there is none.
    pub fn latest_applied(&self, workspace: &FilePath) -> Result<TrialId, StoreError> {
        let (trials, _) = self.list()?;
        let real = |listed: &Listed| listed.record.applied > 0 || listed.record.state == TrialState::Undoing;
        let here = trials.into_iter().filter(|listed| !listed.in_use && listed.record.place.workspace == *workspace);
        let last = here.filter(real).max_by_key(|listed| (listed.record.applied_ms, listed.record.created_ms));
        last.map(|listed| listed.record.id).ok_or(StoreError::NothingApplied)
    }
}

/// A fresh name: eight letters of a 32-letter alphabet.
///
/// # Errors
/// When the kernel's random source cannot be read.
pub(crate) fn fresh_id() -> Result<TrialId, StoreError> {
    let source = Path::new("/dev/urandom");
    let mut random = [0_u8; ID_CHARS];
    File::open(source).and_then(|mut file| file.read_exact(&mut random)).map_err(io_error("read", source))?;
    let letter = |byte: &u8| ALPHABET.get(usize::from(byte % 32)).copied().map(char::from);
    Ok(TrialId(random.iter().filter_map(letter).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> TrialId {
        TrialId(name.into())
    }

    #[test]
    fn a_trial_is_held_by_one_at_a_time() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::new(state.path());
        let held = store.create(&id("abcd")).unwrap();
        assert!(matches!(store.lock(&id("abcd")), Err(StoreError::Busy(_))));
        assert!(store.lock_if_there(&id("abcd")).unwrap().is_none());
        drop(held);
        store.lock(&id("abcd")).unwrap().remove().unwrap();
        assert!(store.lock_if_there(&id("abcd")).unwrap().is_none());
        assert!(store.list().unwrap().1.is_empty());
    }

    #[test]
    fn a_prefix_names_a_trial_only_if_it_fits_one() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::new(state.path());
        let here = &FilePath::from("/w");
        for name in ["abcd", "abce", "xyz", "xyzz"] {
            store.create(&id(name)).unwrap();
        }
        assert_eq!(store.find("abcd", here).unwrap(), id("abcd"));
        assert_eq!(store.find("xyz", here).unwrap(), id("xyz"), "an exact name wins over a prefix");
        assert!(matches!(store.find("abc", here), Err(StoreError::Ambiguous(_, fitting)) if fitting.len() == 2));
        assert!(matches!(store.find("q", here), Err(StoreError::Unknown(_))));
        assert!(matches!(store.find("", here), Err(StoreError::Unknown(_))));
    }

    #[test]
    fn many_makers_and_one_sweeper_do_not_harm_each_other() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::new(state.path());
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..300 {
                    for broken in store.list().unwrap().1 {
                        let there = store.lock_if_there(&broken.id).unwrap();
                        there.into_iter().for_each(|dir| drop(dir.remove()));
                    }
                }
            });
            for maker in 0..300 {
                let made = store.create(&id(&format!("m{maker}"))).unwrap();
                assert!(made.path.exists());
                made.remove().unwrap();
            }
        });
    }
}
