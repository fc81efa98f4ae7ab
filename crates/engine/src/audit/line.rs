//! One line of the log: how it is written, and what is read off it without believing it.

use super::hash::{Hash, Tree, digest};
use super::key::Key;
use model::{AuditRecord, LeftOut, Stage, TrialId, hex, unhex};
use serde::{Deserialize, Serialize};

/// A line as it is written. The seal of a checkpoint comes last, so that it can cover all before it.
#[derive(Serialize)]
pub(crate) struct Written<'a, S> {
    pub(crate) prev: String,
    pub(crate) seq: u64,
    pub(crate) time_ms: u64,
    pub(crate) uid: u32,
    pub(crate) trial: Option<&'a TrialId>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) left_out: &'a [LeftOut],
    #[serde(flatten)]
    pub(crate) stage: S,
}

/// A line as it is read.
#[derive(Deserialize)]
pub(crate) struct Line {
    #[serde(flatten)]
    pub(crate) record: AuditRecord,
}

/// What every line begins with, in every version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Hexadecimal, as it stands there.
    pub(crate) prev: [u8; 64],
    pub(crate) seq: u64,
    pub(crate) time_ms: u64,
    /// It may be a checkpoint; [`Sealed::of`] knows.
    checkpoint: bool,
}

const PREV: &[u8] = b"{\"prev\":\"";
const SEQ: &[u8] = b"\",\"seq\":";
const TIME: &[u8] = b",\"time_ms\":";
const UID: &[u8] = b",\"uid\":";
const CHECKPOINT: &[u8] = b",\"trial\":null,\"stage\":\"checkpoint\",";
const SEAL: &[u8] = b",\"seal\":\"";

impl Header {
    pub(crate) fn of(line: &[u8]) -> Option<Header> {
        let (prev, rest) = line.strip_prefix(PREV)?.split_first_chunk::<64>()?;
        let (seq, rest) = number(rest.strip_prefix(SEQ)?)?;
        let (time_ms, rest) = number(rest.strip_prefix(TIME)?)?;
        let (_, rest) = number(rest.strip_prefix(UID)?)?;
        Some(Header { prev: *prev, seq, time_ms, checkpoint: rest.starts_with(CHECKPOINT) })
    }

    pub(crate) fn is_checkpoint(&self) -> bool {
        self.checkpoint
    }

    pub(crate) fn prev(&self) -> Option<Hash> {
        unhex(std::str::from_utf8(&self.prev).ok()?)
    }
}

/// Digits at the beginning, as we write numbers.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (text, rest) = bytes.split_at_checked(digits)?;
    if text.len() > 1 && text.first() == Some(&b'0') {
        return None;
    }
    Some((std::str::from_utf8(text).ok()?.parse().ok()?, rest))
}

/// What a line is, going by its form alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A record, from its first brace to the last.
    Whole(Header),
    /// The beginning of one, cut short by a crash.
    Torn,
    /// Nothing that we write, whole or in part.
    Foreign,
}

impl Form {
    pub(crate) fn of(line: &[u8]) -> Form {
        match (extent(line), Header::of(line)) {
            (Extent::Whole, Some(header)) => Form::Whole(header),
            (Extent::Cut, _) if !line.is_empty() && is_beginning(line) => Form::Torn,
            _ => Form::Foreign,
        }
    }
}

/// Whether a line that is cut short could be the beginning of one of ours.
fn is_beginning(line: &[u8]) -> bool {
    let end = line.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let line = line.get(..end).unwrap_or_default();
    let json = serde_json::from_slice::<serde::de::IgnoredAny>(line);
    if !json.is_err_and(|error| error.is_eof()) {
        return false;
    }
    let common = line.len().min(PREV.len());
    let hash = line.get(PREV.len()..).unwrap_or_default();
    let as_begun = line.get(..common) == PREV.get(..common);
    as_begun && hash.iter().take(64).all(u8::is_ascii_hexdigit)
}

enum Extent {
    Whole,
    Cut,
    Foreign,
}

/// Whether the braces close, and only with the last byte. A machine that loses power may leave zeros instead of the end.
fn extent(line: &[u8]) -> Extent {
    let (mut depth, mut in_text, mut escaped) = (0_u32, false, false);
    for (at, byte) in line.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            0 if line.iter().skip(at).all(|byte| *byte == 0) => return Extent::Cut,
            0 => return Extent::Foreign,
            _ if in_text => {}
            b'{' => depth += 1,
            b'}' if depth == 1 && at + 1 == line.len() => return Extent::Whole,
            b'}' if depth <= 1 => return Extent::Foreign,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    Extent::Cut
}

/// A checkpoint, read back.
pub(crate) struct Sealed {
    pub(crate) segment: u64,
    pub(crate) tree: Tree,
    pub(crate) epoch: Option<u64>,
    seal: Hash,
    covers: usize,
}

impl Sealed {
    pub(crate) fn of(line: &[u8]) -> Option<Sealed> {
        // `,"seal":"` + 64 digits + `"}`
        let covers = line.len().checked_sub(SEAL.len() + 64 + 2)?;
        if !line.get(covers..)?.starts_with(SEAL) {
            return None;
        }
        let record = serde_json::from_slice::<Line>(line).ok()?.record;
        let Stage::Checkpoint { segment, lines, peaks, epoch, seal } = record.stage else { return None };
        Some(Sealed { segment, tree: Tree::of(lines, &peaks)?, epoch, seal: unhex(&seal)?, covers })
    }

    /// Whether the seal on `line` is this key's.
    pub(crate) fn is_sealed_by(&self, key: &Key, line: &[u8]) -> bool {
        line.get(..self.covers).is_some_and(|covered| key.seal(covered) == self.seal)
    }

    /// Whether the plain digest that stands where no key was set up is right.
    pub(crate) fn is_plain(&self, line: &[u8]) -> bool {
        line.get(..self.covers).is_some_and(|covered| digest(covered) == self.seal)
    }
}

/// Puts the seal into a checkpoint that was encoded with zeros in its place.
pub(crate) fn seal(line: &mut Vec<u8>, key: Option<&Key>) {
    let covers = line.len().saturating_sub(SEAL.len() + 64 + 2);
    line.truncate(covers);
    let seal = match key {
        Some(key) => key.seal(line),
        None => digest(line),
    };
    line.extend_from_slice(SEAL);
    line.extend_from_slice(hex(&seal).as_bytes());
    line.extend_from_slice(b"\"}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = concat!(
        r#"{"prev":"00000000000000000000000000000000000000000000000000000000000000ff","seq":7,"time_ms":12,"#,
        r#""uid":0,"trial":null,"stage":"failed","error":"a } \" { b"}"#
    );

    #[test]
    fn every_beginning_of_a_line_is_torn_and_the_line_itself_is_whole() {
        for end in 1..RECORD.len() {
            assert_eq!(Form::of(&RECORD.as_bytes()[..end]), Form::Torn, "{end}");
            let zeros = [&RECORD.as_bytes()[..end], &[0, 0]].concat();
            assert_eq!(Form::of(&zeros), Form::Torn, "{end} and zeros");
        }
        let Form::Whole(header) = Form::of(RECORD.as_bytes()) else { panic!("a whole line") };
        assert_eq!((header.seq, header.time_ms, header.prev().unwrap()[31]), (7, 12, 0xff));
        assert!(!header.is_checkpoint());
    }

    #[test]
    fn what_we_never_write_is_foreign() {
        let wrong =
            ["", "}", "{}", "{\"prev\":\"x", "hello", &format!("{RECORD}x"), &format!("{RECORD}{RECORD}"), "{}\0{"];
        for wrong in wrong.map(str::to_owned).into_iter().chain([RECORD.replace(":7", ":07")]) {
            assert_eq!(Form::of(wrong.as_bytes()), Form::Foreign, "{wrong}");
        }
    }
}
