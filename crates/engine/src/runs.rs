//! What an open jar's commands add to its record: a line each, and another when it has ended, so that writing a command
//! down costs the same whether it is the first or the thousandth. The record itself is written when the jar is opened and
//! when it is closed.
//!
//! A line counts for the record that it was written behind, and says which: each record that is written has a higher number
//! than all lines before it. So a record that was written whole needs no line removed.

use crate::record::{JarRun, TrialRecord};
use crate::store::{StoreError, TrialDir, io_error};
use model::Limit;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

pub(crate) const RUNS: &str = "runs.jsonl";

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    /// [`TrialRecord::log`] of its record.
    log: u64,
    run: Cow<'a, JarRun>,
    limits_hit: Cow<'a, [Limit]>,
}

impl TrialDir {
    /// Writes down what the record says of its last command. A crash leaves all of that or none.
    ///
    /// # Errors
    /// When it cannot be written; then nothing of it is.
    pub(crate) fn note_run(&self, record: &TrialRecord) -> Result<(), StoreError> {
        let Some(run) = record.runs.last() else { return Ok(()) };
        let path = self.path().join(RUNS);
        let line = Line { log: record.log, run: Cow::Borrowed(run), limits_hit: Cow::Borrowed(&record.limits_hit) };
        let mut bytes =
            serde_json::to_vec(&line).map_err(|source| StoreError::Record { id: record.id.clone(), source })?;
        bytes.push(b'\n');
        append(&path, &bytes).map_err(io_error("write the trial record", &path))
    }
}

/// On a full disk half a line would take the room that the next step needs, and spoil the line after it.
fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let before = file.metadata()?.len();
    file.write_all(bytes).inspect_err(|_| {
        // The error of the write is the one worth telling. A reader stops at half a line.
        let _ = file.set_len(before);
    })
}

/// Adds to `record`, as it was read, what the lines beside it tell. Whatever is written of it from now on is a new record.
pub(crate) fn add_to(record: &mut TrialRecord, dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(RUNS);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    let own = record.log;
    record.log += 1;
    let mut last = None;
    for line in bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        let line: Line<'_> =
            serde_json::from_slice(line).map_err(|source| StoreError::Record { id: record.id.clone(), source })?;
        if line.log != own {
            record.log = record.log.max(line.log + 1);
            continue;
        }
        let run = line.run.into_owned();
        record.runs.retain(|known| known.number != run.number);
        record.runs.push(run);
        last = Some(line.limits_hit.into_owned());
    }
    if let Some(limits_hit) = last {
        record.limits_hit = limits_hit;
        record.tell_of_last();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::RUNS;
    use crate::journey::Engine;
    use crate::record::TrialRecord;
    use crate::store::{Store, TrialDir};
    use model::{Exit, FilePath, Place, TrialId};
    use std::fs;
    use std::io::Write as _;

    fn record(id: &TrialId) -> TrialRecord {
        let at = || FilePath::from("/w");
        let place = Place { cwd: at(), home: at(), workspace: at(), state: at(), uid: 1000, contained: true };
        let judged = Engine::open(&place).unwrap().judge(b"true", &place);
        let json = serde_json::json!({
            "version": 1, "id": id, "argv": [], "created_ms": 1, "state": "pending", "roots": [], "place": place,
            "analysis": judged.analysis, "assessment": judged.assessment, "decision": judged.decision,
            "exit": null, "wall_ms": null, "containment": model::Containment::default(), "attempts": [],
            "env_withheld": [], "applying": null, "applied": 0, "jar": "jar",
        });
        serde_json::from_value(json).unwrap()
    }

    /// A command as an open jar writes it down, before it runs and when it has ended.
    fn run(dir: &TrialDir, record: &mut TrialRecord, word: &str) -> u64 {
        record.argv = vec![FilePath::from(word)];
        record.exit = None;
        let number = record.begin_run_at(vec![7]);
        dir.note_run(record).unwrap();
        record.exit = Some(Exit::Code(0));
        record.end_run();
        dir.note_run(record).unwrap();
        number
    }

    fn words(record: &TrialRecord) -> Vec<String> {
        record.runs.iter().flat_map(|run| run.argv.iter().map(ToString::to_string)).collect()
    }

    #[test]
    fn commands_are_found_behind_the_record_and_nothing_that_was_taken_back() {
        let state = tempfile::tempdir().unwrap();
        let (store, id) = (Store::new(state.path()), TrialId("abcdefgh".into()));
        let dir = store.create(&id).unwrap();
        let mut own = record(&id);
        dir.save(&own).unwrap();
        let whole = fs::read(dir.path().join("trial.json")).unwrap();
        for word in ["one", "two", "three"] {
            run(&dir, &mut own, word);
        }
        assert_eq!(fs::read(dir.path().join("trial.json")).unwrap(), whole, "the record is not written each time");

        // Killed in the middle of a line, and between the two of a command.
        let file = dir.path().join(RUNS);
        own.exit = None;
        own.argv = vec![FilePath::from("four")];
        own.begin_run_at(vec![8]);
        dir.note_run(&own).unwrap();
        fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"{\"log\":0,\"run\":{").unwrap();
        let mut read = store.load(&id).unwrap();
        assert_eq!(words(&read), ["one", "two", "three", "four"]);
        assert_eq!((read.exit, read.argv.clone()), (None, vec![FilePath::from("four")]));
        assert_eq!(read.runs.first().map(|run| run.exit), Some(Some(Exit::Code(0))));

        // Taken back, and killed before the lines are removed: they are of no account any more.
        let lines = fs::read(&file).unwrap();
        read.runs.truncate(1);
        dir.save(&read).unwrap();
        assert!(!file.exists());
        fs::write(&file, &lines).unwrap();
        let mut read = store.load(&id).unwrap();
        assert_eq!(words(&read), ["one"]);

        // And the jar goes on.
        dir.save(&read).unwrap();
        run(&dir, &mut read, "five");
        assert_eq!(words(&store.load(&id).unwrap()), ["one", "five"]);
    }
}
