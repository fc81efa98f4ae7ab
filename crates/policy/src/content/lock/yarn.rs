//! `yarn.lock`: version 1 has a format of its own, later ones are YAML.

use super::npm::{leaves, of_package};
use super::{Lock, Place, Read};
use crate::content::indented::{Line, Style, bare, lines};

pub(super) fn read(text: &str) -> Read<Lock> {
    let modern = text.lines().any(|line| line.trim_end() == "__metadata:");
    let style = if modern { Style::Yaml } else { Style::Yarn };
    let lines = lines(text, style)?;
    let mut lock = Lock::default();
    let mut open: Option<Block<'_>> = None;
    for line in &lines {
        match line.indent {
            0 if line.value.is_empty() && !line.key.is_empty() => {
                if let Some(block) = open.replace(Block { key: line.key, ..Block::default() }) {
                    block.close(&mut lock, modern)?;
                }
            }
            2 => open.as_mut().ok_or_else(|| odd(line))?.take(line)?,
            // What a package needs, and other lists of it.
            indent if indent > 2 && open.as_ref().is_some_and(|block| block.in_list) => {}
            _ => return Err(odd(line)),
        }
    }
    if let Some(block) = open {
        block.close(&mut lock, modern)?;
    }
    Ok(lock)
}

fn odd(line: &Line<'_>) -> String {
    format!("line {}", line.number)
}

/// What is kept of one package.
#[derive(Default)]
struct Block<'t> {
    key: &'t str,
    version: Option<&'t str>,
    resolved: Option<&'t str>,
    resolution: Option<&'t str>,
    sum: Option<&'t str>,
    in_list: bool,
}

impl<'t> Block<'t> {
    fn take(&mut self, line: &Line<'t>) -> Read<()> {
        self.in_list = line.value.is_empty();
        let cell = match line.key {
            "version" => &mut self.version,
            "resolved" => &mut self.resolved,
            "resolution" => &mut self.resolution,
            "integrity" | "checksum" => &mut self.sum,
            _ => return Ok(()),
        };
        // Which of two counts is up to the reader.
        match cell.replace(bare(line.value)) {
            None if !line.value.is_empty() => Ok(()),
            _ => Err(odd(line)),
        }
    }

    fn close(self, lock: &mut Lock, modern: bool) -> Read<()> {
        if self.key == "__metadata" {
            return Ok(());
        }
        let version = self.version.ok_or_else(|| format!("{} has no version", self.key))?;
        if modern { self.close_modern(lock, version) } else { self.close_old(lock, version) }
    }

    fn close_old(&self, lock: &mut Lock, version: &str) -> Read<()> {
        // `a@^1, a@^2`, each perhaps in quotes; `a@npm:b@1` is another package under this name.
        let first = bare(self.key.split(", ").next().unwrap_or_default());
        let (name, range) = first.split_at_checked(after_scope(first)).ok_or_else(|| self.key.to_owned())?;
        let alias = range.strip_prefix("@npm:").map(|alias| alias.get(..after_scope(alias)).unwrap_or(alias));
        let name = alias.unwrap_or(name);
        let entry = lock.entry(name, version);
        if let Some(resolved) = self.resolved {
            let place = of_package(resolved, name);
            if let (Place::Registry { .. }, Some((_, sum))) = (&place, resolved.split_once('#')) {
                entry.sum_of("sha1", sum);
            }
            entry.place(place);
        }
        entry.sum(self.sum.unwrap_or_default());
        Ok(())
    }

    fn close_modern(&self, lock: &mut Lock, version: &str) -> Read<()> {
        let resolution = self.resolution.ok_or_else(|| format!("{} has no resolution", self.key))?;
        let at = after_scope(resolution);
        let (name, from) = (resolution.get(..at).unwrap_or_default(), resolution.get(at + 1..).unwrap_or_default());
        let (scheme, rest) = from.split_once(':').unwrap_or(("", from));
        if matches!(scheme, "workspace") {
            return Ok(());
        }
        let entry = lock.entry(name, version);
        if let Some((number, sum)) = self.sum.and_then(|sum| sum.split_once('/')) {
            entry.sum_of(number, sum);
        } else {
            // Without the number of a cache: as old as caches without one.
            entry.sum_of("0", self.sum.unwrap_or_default());
        }
        match scheme {
            "npm" => {
                if let Some((_, address)) = rest.split_once("__archiveUrl=") {
                    entry.place(of_package(&address.replace("%3A", ":").replace("%2F", "/"), name));
                }
            }
            // A patch that lies in the project, or comes with yarn.
            "patch" => {}
            "link" | "portal" | "file" => {
                let target = rest.split(['#', ':']).next().unwrap_or_default();
                if scheme == "file" || leaves(target) {
                    entry.place(Place::File(from.to_owned()));
                }
            }
            _ => entry.place(match Place::of(from) {
                Place::Registry { address, .. } => Place::Address(address),
                place => place,
            }),
        }
        Ok(())
    }
}

/// Where the `@` behind a name stands, which may begin with one.
pub(super) fn after_scope(text: &str) -> usize {
    text.char_indices().skip(1).find(|(_, c)| *c == '@').map_or(text.len(), |(at, _)| at)
}
