//! Lexical paths: absolute byte strings, never resolved here, with an escape for what is not UTF-8.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// A Unix path as the kernel sees it: any bytes but NUL. Most are absolute; [`FilePath::is_absolute`] tells.
///
/// In JSON it is a string: UTF-8 as it stands, `\` doubled, any other byte as `\xHH`, so that every path round-trips.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FilePath(OsString);

impl FilePath {
    /// Wraps the bytes as they are; nothing is resolved or checked.
    #[must_use]
    pub fn new(path: impl Into<OsString>) -> FilePath {
        FilePath(path.into())
    }

    /// The path for the standard library and system calls.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// The raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The path as an OS string.
    #[must_use]
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }

    /// Whether it starts with `/`.
    #[must_use]
    pub fn is_absolute(&self) -> bool {
        self.as_bytes().first() == Some(&b'/')
    }

    /// `self` joined with `other`; an absolute `other` replaces `self`, as with [`Path::join`].
    #[must_use]
    pub fn join(&self, other: impl AsRef<OsStr>) -> FilePath {
        FilePath(self.as_path().join(other.as_ref()).into_os_string())
    }

    /// The directory above, unless this is `/` or empty.
    #[must_use]
    pub fn parent(&self) -> Option<FilePath> {
        self.as_path().parent().map(FilePath::from)
    }

    /// The last component, unless the path ends in `..` or is `/`.
    #[must_use]
    pub fn file_name(&self) -> Option<&OsStr> {
        self.as_path().file_name()
    }

    /// Whether `self` is `base` or lies below it, by whole components.
    #[must_use]
    pub fn starts_with(&self, base: &FilePath) -> bool {
        // A start asks for thousands of pairs, and nearly all are told apart by their bytes.
        below(self.as_bytes(), base.as_bytes()).unwrap_or_else(|| self.as_path().starts_with(base.as_path()))
    }

    /// What is left of `self` below `base`, if it lies there.
    #[must_use]
    pub fn strip_prefix(&self, base: &FilePath) -> Option<FilePath> {
        self.as_path().strip_prefix(base.as_path()).ok().map(FilePath::from)
    }

    /// Lexical normal form: no `.`, no doubled `/`, and `..` taken against the component before it. Symbolic links
    /// are not looked at, so the kernel may disagree where one stands before a `..`.
    #[must_use]
    pub fn normalise(&self) -> FilePath {
        if is_normal(self.as_bytes()) {
            return self.clone();
        }
        let mut out: Vec<&[u8]> = Vec::new();
        for part in self.as_bytes().split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    let stays = !self.is_absolute() && out.last().is_none_or(|last| *last == b"..");
                    if stays {
                        out.push(part);
                    } else {
                        out.pop();
                    }
                }
                name => out.push(name),
            }
        }
        let body = out.join(&b'/');
        let text = match (self.is_absolute(), body.is_empty()) {
            (true, _) => [b"/".as_slice(), &body].concat(),
            (false, true) => b".".to_vec(),
            (false, false) => body,
        };
        FilePath(OsString::from_vec(text))
    }

    /// The reversible text form used in JSON.
    #[must_use]
    pub fn encode(&self) -> String {
        if let Some(text) = self.as_it_stands() {
            return text.to_owned();
        }
        let mut out = String::with_capacity(self.0.len());
        for chunk in self.as_bytes().utf8_chunks() {
            for c in chunk.valid().chars() {
                if c == '\\' {
                    out.push_str("\\\\");
                } else {
                    out.push(c);
                }
            }
            for byte in chunk.invalid() {
                out.push_str(&format!("\\x{byte:02x}"));
            }
        }
        out
    }

    /// The text form where it has no escape, as nearly always.
    fn as_it_stands(&self) -> Option<&str> {
        self.0.to_str().filter(|text| !text.contains('\\'))
    }

    /// Reads the form that [`FilePath::encode`] writes. `None` when an escape is malformed.
    #[must_use]
    pub fn decode(text: &str) -> Option<FilePath> {
        let mut out: Vec<u8> = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let [first, tail @ ..] = rest {
            rest = match (first, tail) {
                (b'\\', [b'\\', tail @ ..]) => {
                    out.push(b'\\');
                    tail
                }
                (b'\\', [b'x', high, low, tail @ ..]) => {
                    let high = char::from(*high).to_digit(16)?;
                    let low = char::from(*low).to_digit(16)?;
                    out.push(u8::try_from(high * 16 + low).ok()?);
                    tail
                }
                (b'\\', _) => return None,
                (byte, tail) => {
                    out.push(*byte);
                    tail
                }
            };
        }
        Some(FilePath(OsString::from_vec(out)))
    }
}

/// Whether `path` is `base` or lies below it, where that can be seen without taking either apart.
fn below(path: &[u8], base: &[u8]) -> Option<bool> {
    if path.strip_prefix(base).is_some_and(|rest| matches!(rest.first(), None | Some(b'/'))) {
        return Some(true);
    }
    let common = path.iter().zip(base).take_while(|(a, b)| a == b).count();
    let (same, _) = path.split_at_checked(common)?;
    let start = same.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    // The first components that may differ.
    let (one, other) = (component(path, start)?, component(base, start)?);
    if one == other && common == path.len() {
        // Here one component is the same, and the base has more.
        return component(base, common + 1).map(|_| false);
    }
    (one != other).then_some(false)
}

/// Absolute, and spelt in the only way.
fn is_normal(path: &[u8]) -> bool {
    let mut parts = path.split(|byte| *byte == b'/');
    parts.next() == Some(b"") && path.len() > 1 && parts.all(|part| !matches!(part, b"" | b"." | b".."))
}

/// The one that begins at `start`, unless it is empty or a dot.
fn component(path: &[u8], start: usize) -> Option<&[u8]> {
    let part = path.get(start..)?.split(|byte| *byte == b'/').next()?;
    (!matches!(part, b"" | b".")).then_some(part)
}

impl From<&Path> for FilePath {
    fn from(path: &Path) -> FilePath {
        FilePath(path.as_os_str().to_owned())
    }
}

impl From<std::path::PathBuf> for FilePath {
    fn from(path: std::path::PathBuf) -> FilePath {
        FilePath(path.into_os_string())
    }
}

impl From<&str> for FilePath {
    fn from(path: &str) -> FilePath {
        FilePath(OsString::from(path))
    }
}

impl From<Vec<u8>> for FilePath {
    fn from(path: Vec<u8>) -> FilePath {
        FilePath(OsString::from_vec(path))
    }
}

impl fmt::Debug for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// For people: control bytes, bidi and invisible characters are escaped.
impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::escape::bytes(self.as_bytes()))
    }
}

impl Serialize for FilePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_it_stands() {
            Some(text) => serializer.serialize_str(text),
            None => serializer.serialize_str(&self.encode()),
        }
    }
}

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FilePath, D::Error> {
        let text = String::deserialize(deserializer)?;
        FilePath::decode(&text).ok_or_else(|| de::Error::custom("malformed escape in a path"))
    }
}

#[cfg(test)]
mod tests {
    use super::FilePath;
    use proptest::prelude::*;

    #[test]
    fn normal_forms() {
        for (given, expected) in
            [("/a/./b//c/..", "/a/b"), ("/..", "/"), ("/../../x", "/x"), ("a/../..", ".."), ("", "."), ("./", ".")]
        {
            assert_eq!(FilePath::from(given).normalise(), FilePath::from(expected), "{given}");
        }
    }

    proptest! {
        #[test]
        fn every_path_round_trips_through_json(bytes in proptest::collection::vec(1u8.., 0..64)) {
            let path = FilePath::from(bytes);
            let json = serde_json::to_string(&path).unwrap();
            prop_assert_eq!(serde_json::from_str::<FilePath>(&json).unwrap(), path);
        }

        #[test]
        fn what_lies_below_is_what_the_standard_library_says(path in "[./ab]{0,12}", base in "[./ab]{0,8}") {
            let (path, base) = (FilePath::from(path.as_str()), FilePath::from(base.as_str()));
            prop_assert_eq!(path.starts_with(&base), path.as_path().starts_with(base.as_path()));
        }

        #[test]
        fn normalising_twice_changes_nothing(text in "[./a]{0,24}") {
            let once = FilePath::from(text.as_str()).normalise();
            prop_assert_eq!(once.normalise(), once);
        }
    }
}
