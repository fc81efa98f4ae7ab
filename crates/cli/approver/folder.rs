//! The channel over files: `question-ID.json` appears in a directory, `answer-ID.json` is awaited there. Both are written
//! beside and renamed, so that nobody reads half of one.

use super::ANSWER_BYTES_MAX;
use super::place::{Held, own};
use nix::fcntl::OFlag;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Between two looks; a person takes longer.
const LOOK: Duration = Duration::from_millis(50);

/// Files that go when the question is over.
struct Gone([PathBuf; 3]);

impl Drop for Gone {
    fn drop(&mut self) {
        for path in &self.0 {
            // What is not there need not go; anything else is the other program's to clear away.
            let _ = fs::remove_file(path);
        }
    }
}

/// Writes the question and waits for the answer.
pub(super) fn ask(dir: &Held, id: &str, question: &[u8], deadline: Instant) -> io::Result<Vec<u8>> {
    let [new, asked, answered] =
        [format!(".question-{id}.new"), format!("question-{id}.json"), format!("answer-{id}.json")]
            .map(|name| dir.name(name));
    let gone = Gone([new.clone(), asked.clone(), answered.clone()]);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(question)?;
    fs::rename(&new, &asked)?;
    loop {
        match read(&answered) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            answer => {
                drop(gone);
                return answer;
            }
        }
        if Instant::now() >= deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer came in time"));
        }
        std::thread::sleep(LOOK.min(deadline.saturating_duration_since(Instant::now())));
    }
}

/// A plain file with one name, of somebody who may answer.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.nlink() != 1 {
        return Err(io::Error::other("the answer is no plain file with one name"));
    }
    own(path, &meta)?;
    let mut said = Vec::new();
    file.take(ANSWER_BYTES_MAX as u64 + 1).read_to_end(&mut said)?;
    if said.len() > ANSWER_BYTES_MAX { Err(io::Error::other("the answer is too long")) } else { Ok(said) }
}
