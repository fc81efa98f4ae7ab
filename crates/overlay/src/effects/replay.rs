//! From records to authors: names move, so what was done to a name is carried along when it is renamed.

use crate::effects::journal::{self, Effect, Line, NOBODY, Op, Seen, UNTOLD};
use crate::error::OverlayError;
use crate::fs::errno_of;
use crate::overlay::Overlay;
use crate::store::store_error;
use model::{Change, ChangeKind, FilePath};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::ErrorKind;

/// A process with the program it ran at the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Its process id inside the jar; 0 for nobody in particular: the kernel brought a shared mapping to the disk.
    pub pid: u32,
    /// Its name as the kernel has it, at most 15 bytes; empty when it had ended before it could be looked at.
    pub name: FilePath,
    /// The program.
    pub executable: Option<FilePath>,
    /// Its arguments, the first 2,048 bytes of them.
    pub argv: Vec<FilePath>,
    /// There were more.
    pub cut: bool,
    /// Whoever started it had ended before it was first seen, so its ancestors are not known.
    pub orphan: bool,
}

/// Who made a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Author {
    /// Who.
    pub process: Process,
    /// Who started it, the command first.
    pub ancestors: Vec<Process>,
    /// What it did to the name, in the order in which it first did it.
    pub did: Vec<Op>,
    /// When it first did, milliseconds since the epoch.
    pub at_ms: u64,
}

impl Overlay {
    /// The authors of each of these changes, who touched it last first; none where nobody is on record. `None` when
    /// there is no journal at all.
    ///
    /// # Errors
    /// The journal cannot be read. A record that a crash cut short is passed over.
    pub fn authors(&self, changes: &[&Change]) -> Result<Option<Vec<Vec<Author>>>, OverlayError> {
        let path = self.store.path.join(journal::NAME);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| store_error(&path, errno_of(&error)))?,
        };
        let history = History::read(&text);
        let below = |change: &&Change| change.path.strip_prefix(self.root());
        let of = |change: &&Change| below(change).map(|path| history.of(&path, &change.kind)).unwrap_or_default();
        Ok(Some(changes.iter().map(of).collect()))
    }
}

/// A name that was written, and what it was renamed to or from.
pub type Touched = (FilePath, Option<FilePath>);

impl Overlay {
    /// Every name that was written, or opened to be, with what it was renamed to or from; absolute, and also those that are
    /// gone again. `None` when there is no journal at all.
    ///
    /// # Errors
    /// The journal cannot be read. A record that a crash cut short is passed over.
    pub fn touched(&self) -> Result<Option<Vec<Touched>>, OverlayError> {
        let path = self.store.path.join(journal::NAME);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| store_error(&path, errno_of(&error)))?,
        };
        let whole = |path: &FilePath| match path.as_bytes() {
            b"" => self.root().clone(),
            _ => self.root().join(path.as_os_str()),
        };
        let lines = text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Line>(line).ok());
        let names = lines.filter_map(|line| match line {
            Line::Effect(effect) => Some((whole(&effect.path), effect.to.as_ref().map(whole))),
            _ => None,
        });
        Ok(Some(names.collect()))
    }
}

/// What one process did to one name.
#[derive(Clone, Copy)]
struct Deed {
    by: u32,
    op: Op,
    first: u64,
    last: u64,
    at_ms: u64,
}

/// A journal, read.
struct History {
    processes: HashMap<u32, Seen>,
    deeds: BTreeMap<FilePath, Vec<Deed>>,
}

impl History {
    fn read(text: &[u8]) -> History {
        let mut journal = Journal::default();
        for line in text.split(|byte| *byte == b'\n') {
            if let Ok(line) = serde_json::from_slice::<Line>(line) {
                journal.take(line);
            }
        }
        let mut history = History { processes: journal.processes, deeds: BTreeMap::new() };
        let (moves, others): (Vec<_>, Vec<_>) =
            journal.effects.into_values().partition(|(effect, _)| effect.to.is_some());
        for (effect, last) in others {
            history.put(effect.path.clone(), deed(&effect, last));
        }
        let mut moves = moves;
        moves.sort_by_key(|(_, last)| *last);
        for (effect, last) in moves {
            history.carry(&effect, last);
        }
        history
    }

    fn put(&mut self, path: FilePath, deed: Deed) {
        let deeds = self.deeds.entry(path).or_default();
        match deeds.iter_mut().find(|known| (known.by, known.op) == (deed.by, deed.op)) {
            Some(known) => {
                known.first = known.first.min(deed.first);
                known.last = known.last.max(deed.last);
            }
            None => deeds.push(deed),
        }
    }

    /// What was done below the old name was done to what now has the new one.
    fn carry(&mut self, effect: &Effect, last: u64) {
        let Some(to) = &effect.to else { return };
        let ways: &[(&FilePath, &FilePath)] = match effect.op {
            Op::Exchange => &[(&effect.path, to), (to, &effect.path)],
            _ => &[(&effect.path, to)],
        };
        let mut carried = Vec::new();
        for (from, to) in ways {
            let below = self.deeds.range((*from).clone()..).take_while(|(path, _)| {
                // Between a directory and what is in it, names that only begin like it may stand.
                path.as_bytes().starts_with(from.as_bytes())
            });
            for (path, deeds) in below {
                let Some(rest) = path.strip_prefix(from) else { continue };
                let name = if rest.as_bytes().is_empty() { (*to).clone() } else { to.join(rest.as_os_str()) };
                let moved = deeds.iter().filter(|deed| deed.first <= last && deed.op != Op::Unlink);
                carried.extend(moved.map(|deed| (name.clone(), Deed { last: deed.last.max(last), ..*deed })));
            }
        }
        for (path, deed) in carried {
            self.put(path, deed);
        }
        for path in [&effect.path, to] {
            self.put(path.clone(), deed(effect, last));
        }
    }

    /// Authors of a change, the last first.
    fn of(&self, path: &FilePath, kind: &ChangeKind) -> Vec<Author> {
        let mut deeds = self.deeds.get(path).cloned().unwrap_or_default();
        let ends = |op: Op| matches!(op, Op::Unlink | Op::Rmdir | Op::Rename | Op::Exchange);
        if matches!(kind, ChangeKind::Deleted) {
            let end = deeds.iter().filter(|deed| ends(deed.op)).map(|deed| deed.last).max().unwrap_or(0);
            deeds.retain(|deed| deed.last == end);
        } else {
            // Whoever was there before the name came to stand for something else has no part in it.
            let born = deeds.iter().filter(|deed| deed.op.gives_birth()).map(|deed| deed.last).max().unwrap_or(0);
            let own = |deed: &&Deed| deed.last >= born && !matches!(deed.op, Op::Unlink | Op::Rmdir);
            let living: Vec<Deed> = deeds.iter().filter(own).copied().collect();
            if !living.is_empty() {
                deeds = living;
            }
        }
        if deeds.is_empty() && !matches!(kind, ChangeKind::Deleted) {
            deeds = self.in_directory(path);
        }
        self.authors(deeds)
    }

    /// A directory changes when names in it do.
    fn in_directory(&self, path: &FilePath) -> Vec<Deed> {
        let below = self
            .deeds
            .range(path.clone()..)
            .take_while(|(name, _)| path.as_bytes().is_empty() || name.as_bytes().starts_with(path.as_bytes()));
        let children = below.filter(|(name, _)| name.parent().as_ref() == Some(path));
        let names = children
            .flat_map(|(_, deeds)| deeds)
            .filter(|deed| deed.op.gives_birth() || matches!(deed.op, Op::Unlink | Op::Rmdir));
        names.copied().collect()
    }

    fn authors(&self, mut deeds: Vec<Deed>) -> Vec<Author> {
        deeds.sort_by_key(|deed| deed.first);
        let mut order: Vec<((u64, u64), u32)> = Vec::new();
        for deed in &deeds {
            // What was carried along by a rename is as old as that, and its own age tells the two apart.
            let age = (deed.last, deed.first);
            match order.iter_mut().find(|(_, by)| *by == deed.by) {
                Some((last, _)) => *last = (*last).max(age),
                None => order.push((age, deed.by)),
            }
        }
        order.sort_by_key(|(last, _)| std::cmp::Reverse(*last));
        order.into_iter().filter_map(|(_, by)| self.author(by, &deeds)).collect()
    }

    fn author(&self, by: u32, deeds: &[Deed]) -> Option<Author> {
        let own: Vec<&Deed> = deeds.iter().filter(|deed| deed.by == by).collect();
        let mut did: Vec<Op> = Vec::new();
        own.iter().for_each(|deed| {
            if !did.contains(&deed.op) {
                did.push(deed.op);
            }
        });
        let at_ms = own.iter().map(|deed| deed.at_ms).min().unwrap_or(0);
        if by == NOBODY {
            return Some(Author { process: nobody(), ancestors: Vec::new(), did, at_ms });
        }
        let seen = self.processes.get(&by)?;
        Some(Author { process: process(seen), ancestors: self.ancestors(seen), did, at_ms })
    }

    fn ancestors(&self, seen: &Seen) -> Vec<Process> {
        let mut line = Vec::new();
        // The file is only evidence: numbers that lead in a circle end it.
        let mut passed = HashSet::from([seen.id]);
        let mut above = seen.parent;
        while let Some(parent) = above.and_then(|id| self.processes.get(&id)).filter(|seen| passed.insert(seen.id)) {
            line.push(process(parent));
            above = parent.parent;
        }
        line.reverse();
        line
    }
}

fn deed(effect: &Effect, last: u64) -> Deed {
    Deed { by: effect.by, op: effect.op, first: effect.seq, last, at_ms: effect.at_ms }
}

/// The kernel itself, when it brings a shared mapping to the disk.
fn nobody() -> Process {
    let (name, argv) = (FilePath::default(), Vec::new());
    Process { pid: 0, name, executable: None, argv, cut: false, orphan: false }
}

fn process(seen: &Seen) -> Process {
    Process {
        pid: seen.pid,
        name: seen.name.clone(),
        executable: seen.executable.clone(),
        argv: seen.argv.clone(),
        cut: seen.cut,
        orphan: seen.orphan,
    }
}

/// Lines so far, with the numbers of all runs made one row.
#[derive(Default)]
struct Journal {
    processes: HashMap<u32, Seen>,
    /// By number, with the number of the last time.
    effects: BTreeMap<u64, (Effect, u64)>,
    base_id: u32,
    base_seq: u64,
    top_id: u32,
    top_seq: u64,
}

impl Journal {
    fn take(&mut self, line: Line) {
        match line {
            Line::Begin { .. } => (self.base_id, self.base_seq) = (self.top_id, self.top_seq),
            Line::Process(mut seen) => {
                seen.id = self.id(seen.id);
                seen.parent = seen.parent.map(|id| self.id(id));
                self.processes.insert(seen.id, seen);
            }
            Line::Effect(mut effect) => {
                effect.seq = self.seq(effect.seq);
                effect.by = if [NOBODY, UNTOLD].contains(&effect.by) { effect.by } else { self.id(effect.by) };
                let last = effect.seq;
                self.effects.insert(last, (effect, last));
            }
            Line::Again { seq, last, .. } => {
                let (seq, last) = (self.seq(seq), self.seq(last));
                if let Some((_, known)) = self.effects.get_mut(&seq) {
                    *known = last;
                }
            }
            Line::Full => {}
        }
    }

    fn id(&mut self, id: u32) -> u32 {
        let id = self.base_id.saturating_add(id);
        self.top_id = self.top_id.max(id);
        id
    }

    fn seq(&mut self, seq: u64) -> u64 {
        let seq = self.base_seq.saturating_add(seq);
        self.top_seq = self.top_seq.max(seq);
        seq
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(id: u32, parent: Option<u32>) -> Line {
        let argv = vec![FilePath::from(format!("p{id}").as_str())];
        let (executable, name) = (None, FilePath::from("p"));
        Line::Process(Seen {
            id,
            pid: id,
            started: 1,
            name,
            executable,
            argv,
            cut: false,
            parent,
            orphan: false,
            at_ms: 0,
        })
    }

    fn done(seq: u64, by: u32, op: Op, path: &str, to: Option<&str>) -> Line {
        Line::Effect(Effect { seq, at_ms: 0, by, op, path: path.into(), to: to.map(FilePath::from), was: None })
    }

    fn history(lines: &[Line]) -> History {
        let text = lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect::<String>();
        History::read(text.as_bytes())
    }

    fn who(history: &History, path: &str, kind: &ChangeKind) -> Vec<u32> {
        history.of(&path.into(), kind).iter().map(|author| author.process.pid).collect()
    }

    #[test]
    fn authors_follow_renames() {
        let lines = [
            Line::Begin { at_ms: 0 },
            seen(1, None),
            seen(2, Some(1)),
            seen(3, Some(2)),
            done(1, 1, Op::Mkdir, "d", None),
            done(2, 2, Op::Create, "d/f", None),
            done(3, 2, Op::Create, "d-not", None),
            done(4, 3, Op::Rename, "d", Some("e")),
            done(5, 3, Op::Write, "e/f", None),
            done(6, 1, Op::Create, "d", None),
        ];
        let history = history(&lines);
        assert_eq!(who(&history, "e/f", &ChangeKind::Added), [3, 2]);
        assert_eq!(who(&history, "e", &ChangeKind::Added), [3, 1]);
        assert_eq!(who(&history, "d", &ChangeKind::Added), [1]);
        assert_eq!(who(&history, "e-not", &ChangeKind::Added), [0_u32; 0]);
        assert_eq!(who(&history, "d-not", &ChangeKind::Added), [2]);
        let author = &history.of(&"e/f".into(), &ChangeKind::Added)[0];
        assert_eq!(author.ancestors.iter().map(|process| process.pid).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_new_file_has_no_part_in_what_its_name_stood_for() {
        let lines = [
            seen(1, None),
            seen(2, None),
            done(1, 1, Op::Write, "f", None),
            done(2, 2, Op::Unlink, "f", None),
            done(3, 2, Op::Create, "f", None),
            done(4, 1, Op::Unlink, "g", None),
        ];
        let history = history(&lines);
        assert_eq!(who(&history, "f", &ChangeKind::Modified), [2]);
        assert_eq!(who(&history, "g", &ChangeKind::Deleted), [1]);
        assert_eq!(who(&history, "", &ChangeKind::Modified), [1, 2], "its names changed");
        assert_eq!(who(&history, "h", &ChangeKind::Deleted), [0_u32; 0], "unknown is unknown");
    }

    #[test]
    fn a_save_by_rename_counts_each_time() {
        let lines = [
            seen(1, None),
            seen(2, None),
            done(1, 1, Op::Create, "t", None),
            done(2, 1, Op::Rename, "t", Some("f")),
            done(3, 2, Op::Write, "f", None),
            Line::Again { seq: 1, times: 2, last: 4 },
            Line::Again { seq: 2, times: 2, last: 5 },
        ];
        assert_eq!(who(&history(&lines), "f", &ChangeKind::Modified), [1]);
    }

    #[test]
    fn runs_have_numbers_of_their_own_and_a_torn_line_is_passed_over() {
        let first = [Line::Begin { at_ms: 0 }, seen(1, None), done(1, 1, Op::Create, "a", None)];
        let second = [Line::Begin { at_ms: 0 }, seen(1, Some(1)), done(1, 1, Op::Write, "a", None)];
        let text =
            |lines: &[Line]| lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect::<String>();
        let torn = text(&first) + "{\"effect\":{\"seq\":2,\"at" + "\n" + &text(&second);
        let history = History::read(torn.as_bytes());
        let authors = history.of(&"a".into(), &ChangeKind::Added);
        assert_eq!(authors.len(), 2, "two runs, two processes");
        assert!(authors[0].ancestors.is_empty(), "numbers that lead in a circle end the line");
    }
}
