//! Programs among the changed files, by what they begin with and not by their name.

use super::note::Note;
use model::{FilePath, Risk};

pub(crate) const BINARY: &str = "content/binary";
pub(crate) const DISGUISED: &str = "content/disguised";

/// Endings of files that nobody starts.
const DATA: &[&str] = &[
    "png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "bmp", "pdf", "txt", "md", "rst", "json", "yaml", "yml", "toml",
    "csv", "tsv", "xml", "html", "css", "woff", "woff2", "ttf", "otf", "mp3", "mp4", "wav", "zip", "gz", "log", "lock",
    "ini", "cfg", "conf", "map", "snap", "patch", "diff",
];

/// What kind of program this is, if it is one that is compiled.
fn compiled(head: &[u8]) -> Option<&'static str> {
    match head {
        // A part of a program that is linked later (ET_REL) is started by nobody.
        [0x7f, b'E', b'L', b'F', _, 1, _, _, ..] if head.get(16) == Some(&1) => None,
        [0x7f, b'E', b'L', b'F', ..] => Some("a compiled program or library"),
        [b'M', b'Z', ..] if is_portable(head) => Some("a program of Windows"),
        [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] => Some("a program of macOS"),
        _ => None,
    }
}

/// `MZ` alone may begin a text; a program has the place of its header at 0x3c.
fn is_portable(head: &[u8]) -> bool {
    let place = head.get(0x3c..0x40).and_then(|four| Some(u32::from_le_bytes(four.try_into().ok()?) as usize));
    place.is_some_and(|place| head.get(place..place.saturating_add(4)) == Some(b"PE\0\0"))
}

/// What a new content is worth. `executable`: it may be started as it stands.
pub(crate) fn notes(path: &FilePath, executable: bool, before: Option<&[u8]>, after: &[u8]) -> Option<Note> {
    let script = executable && after.starts_with(b"#!");
    let kind = compiled(after).or(script.then_some("a script"))?;
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let data = name.rsplit_once('.').is_some_and(|(stem, ending)| !stem.is_empty() && DATA.contains(&ending));
    let hidden = name.starts_with('.');
    if data || hidden {
        let what = if data { "its name says it is data, and it is" } else { "its name hides it, and it is" };
        return Some(Note::new(Risk::High, DISGUISED, format!("{what} {kind}"), vec![]));
    }
    let is_new = before.is_none_or(|before| compiled(before).is_none());
    let word = if is_new { "it is" } else { "it is another version of" };
    (!script).then(|| Note::new(Risk::Medium, BINARY, format!("{word} {kind}, which nobody can read"), vec![]))
}

#[cfg(test)]
mod tests {
    use super::notes;
    use model::{FilePath, Risk};

    #[test]
    fn programs_are_known_by_what_they_are() {
        let elf = |kind: u8| [&b"\x7fELF\x02\x01\x01"[..], &[0; 9], &[kind, 0]].concat();
        let mut exe = vec![0; 0x84];
        exe[..2].copy_from_slice(b"MZ");
        exe[0x3c] = 0x80;
        exe[0x80..].copy_from_slice(b"PE\0\0");
        for (name, executable, bytes, expected) in [
            ("tool", true, elf(3), Some((Risk::Medium, "content/binary"))),
            ("lib.so", false, elf(3), Some((Risk::Medium, "content/binary"))),
            ("a.o", false, elf(1), None),
            ("logo.png", false, elf(2), Some((Risk::High, "content/disguised"))),
            (".cache-helper", true, b"#!/bin/sh\n".to_vec(), Some((Risk::High, "content/disguised"))),
            ("notes.txt", true, b"#!/bin/sh\n".to_vec(), Some((Risk::High, "content/disguised"))),
            ("notes.txt", false, b"#!/bin/sh\n".to_vec(), None),
            ("run.sh", true, b"#!/bin/sh\n".to_vec(), None),
            ("setup.exe", false, exe, Some((Risk::Medium, "content/binary"))),
            ("mz.dat", false, b"MZ is how this text begins".to_vec(), None),
        ] {
            let found = notes(&FilePath::new(format!("/w/{name}")), executable, None, &bytes);
            assert_eq!(found.map(|note| (note.risk, note.rule)), expected, "{name}");
        }
    }
}
