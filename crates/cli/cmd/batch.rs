//! `belljar check --jsonl`: one JSON object a line in, one a line out, in order and without a gap.

use super::check::CheckedText;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use engine::{Engine, host};
use model::Place;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Longest line that is read; the rest of a longer one is passed over and the line answered with an error. Far above what
/// the analyser accepts.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// Answers are held back up to this size, and no longer than there is input at hand: a caller that waits for each
/// answer gets it at once.
const OUT_BYTES: usize = 1 << 16;

/// One line of the input. What else stands in it is the caller's business.
#[derive(Deserialize)]
struct Line {
    cmd: String,
    #[serde(default)]
    cwd: Option<PathBuf>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Whether the disk here is asked about links and modules on the command's way, as for a single command; `false` for
    /// commands that are meant for another machine.
    #[serde(default = "looks")]
    look: bool,
}

fn looks() -> bool {
    true
}

/// Judges every line of `file` (`-`: standard input). The exit tells only whether every line could be read.
pub(crate) fn run(file: &Path, engine: &Engine, place: &Place) -> Result<Exit, Failure> {
    let failed = |source| Failure::Input { path: file.into(), source };
    let input: Box<dyn Read> = match file.as_os_str().as_encoded_bytes() {
        b"-" => Box::new(io::stdin().lock()),
        _ => Box::new(File::open(file).map_err(failed)?),
    };
    let mut input = BufReader::with_capacity(OUT_BYTES, input);
    let mut batch = Batch {
        engine,
        place,
        moved: HashMap::new(),
        out: BufWriter::with_capacity(OUT_BYTES, io::stdout().lock()),
        bad: 0,
    };
    let mut line = Vec::new();
    let mut number = 0u64;
    while let Some(whole) = read_line(&mut input, &mut line).map_err(failed)? {
        number += 1;
        batch.line(number, whole.then_some(line.as_slice()))?;
        if input.buffer().is_empty() {
            batch.out.flush()?;
        }
    }
    batch.out.flush()?;
    Ok(if batch.bad == 0 { Exit::Ok } else { Exit::Usage })
}

struct Batch<'a, W: Write> {
    engine: &'a Engine,
    place: &'a Place,
    /// Places by working directory: asking the host for the enclosing repository costs more than judging.
    moved: HashMap<PathBuf, Place>,
    out: W,
    bad: u64,
}

impl<W: Write> Batch<'_, W> {
    /// Judges one line; `None` stands for one that was too long.
    fn line(&mut self, number: u64, line: Option<&[u8]>) -> Result<(), Failure> {
        let Some(bytes) = line else { return self.refuse(&Value::Null, number, "the line is too long") };
        let object = match serde_json::from_slice::<Value>(bytes) {
            Ok(value) => value,
            Err(error) => return self.refuse(&Value::Null, number, &format!("no JSON object: {error}")),
        };
        let id = object.get("id").cloned().unwrap_or(Value::Null);
        let line = match serde_json::from_value::<Line>(object) {
            Ok(line) => line,
            Err(error) => return self.refuse(&id, number, &error.to_string()),
        };
        if line.cwd.as_ref().is_some_and(|cwd| !cwd.is_absolute()) {
            return self.refuse(&id, number, "`cwd` must be an absolute path");
        }
        let place = match &line.cwd {
            Some(cwd) => {
                let base = self.place;
                self.moved.entry(cwd.clone()).or_insert_with(|| host::place_at(base, cwd))
            }
            None => self.place,
        };
        let judged = self.engine.judge_with(line.cmd.as_bytes(), place, line.env.into_iter().collect(), line.look);
        // Grants are this machine's.
        let checked = match line.look {
            true => CheckedText::new(None, judged, self.engine)?,
            false => CheckedText { name: None, judged, granted: Vec::new() },
        };
        Ok(self.write(&json::Verdict::new(&id, &checked))?)
    }

    fn refuse(&mut self, id: &Value, number: u64, message: &str) -> Result<(), Failure> {
        self.bad += 1;
        Ok(self.write(&json::bad_line(id, number, &model::escape::text(message)))?)
    }

    fn write(&mut self, document: &impl serde::Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, document)?;
        self.out.write_all(b"\n")
    }
}

/// Reads the next line into `line`, without its newline. `Some(false)` when it was too long, `None` at the end.
pub(super) fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    if input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', line)? == 0 {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_some() || (line.len() as u64) < LINE_BYTES_MAX {
        return Ok(Some(true));
    }
    input.skip_until(b'\n')?;
    Ok(Some(false))
}

#[cfg(test)]
mod tests {
    use super::read_line;

    #[test]
    fn lines_come_whole_and_the_last_needs_no_newline() {
        let mut input = b"a\n\nb".as_slice();
        let mut line = Vec::new();
        let mut seen = Vec::new();
        while let Some(whole) = read_line(&mut input, &mut line).unwrap() {
            seen.push((whole, String::from_utf8(line.clone()).unwrap()));
        }
        assert_eq!(seen, [(true, "a".into()), (true, String::new()), (true, "b".into())]);
    }
}
