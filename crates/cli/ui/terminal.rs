//! The person at the terminal. Asked through `/dev/tty`, so neither the command's output nor its input can answer.

use super::{approval, changes, key, landing, style::Style, trials};
use crate::cmd::select;
use engine::{Answer, Choice, Frozen, Keep, LandingOffer, Person, Picked, Question, Settle, Trial, Wish};
use model::{Change, FilePath, Risk};
use overlay::{Pick, Preview};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, IsTerminal, Write};

/// A terminal with somebody at it.
pub(crate) struct Terminal {
    tty: File,
    style: Style,
}

impl Terminal {
    /// The controlling terminal, if standard error shows what is asked.
    pub(crate) fn open() -> Option<Terminal> {
        if !io::stderr().is_terminal() {
            return None;
        }
        let tty = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
        let style = Style::of(&tty);
        Some(Terminal { tty, style })
    }

    /// Whether what is red may become real.
    pub(crate) fn agree_to_apply(&mut self, frozen: &Trial<Frozen>, red: usize) -> io::Result<bool> {
        self.summary(frozen)?;
        self.ask(&format!("{red} of these are HIGH. Apply them all the same?"), "y = yes, any other key = no")?;
        Ok(self.key()? == Some('y'))
    }

    /// Whether the commands from `to` on may be taken back.
    pub(crate) fn agree_to_rewind(&mut self, frozen: &Trial<Frozen>, to: Option<u64>) -> io::Result<bool> {
        let record = frozen.record();
        let runs = record.taken_back(to).unwrap_or_default();
        for run in runs {
            writeln!(self.tty, "{}", trials::run_line(self.style, run))?;
        }
        let waiting = changes::count(frozen.changes().changes.len() as u64, "change");
        let wait = changes::wait(frozen.changes().changes.len() as u64);
        let these = changes::count(runs.len() as u64, "command");
        self.ask(
            &format!("{waiting} {wait} in all. Take back what the {these} above did?"),
            "y = yes, any other key = no",
        )?;
        Ok(self.key()? == Some('y'))
    }

    /// Whether what was applied may be taken back.
    pub(crate) fn agree_to_undo(&mut self, frozen: &Trial<Frozen>) -> io::Result<bool> {
        write!(self.tty, "{}", trials::heading(self.style, frozen.record()))?;
        let changes = changes::count(frozen.record().applied, "change");
        self.ask(&format!("Take back {changes} of it?"), "y = yes, any other key = no")?;
        Ok(self.key()? == Some('y'))
    }

    /// A question that is answered by yes or no; everything but y is a no.
    pub(crate) fn confirm(&mut self, question: &str) -> io::Result<bool> {
        self.ask(question, "y = yes, any other key = no")?;
        Ok(self.key()? == Some('y'))
    }

    fn summary(&mut self, frozen: &Trial<Frozen>) -> io::Result<()> {
        let record = frozen.record();
        let heading = trials::heading(self.style, record);
        let summary = changes::summary(self.style, record, frozen.changes(), frozen.review(), false);
        write!(self.tty, "{heading}{summary}")
    }

    fn ask(&mut self, question: &str, keys: &str) -> io::Result<()> {
        write!(self.tty, "{} {} ", self.style.bold(question), self.style.dim(&format!("[{keys}]")))?;
        self.tty.flush()
    }

    fn key(&mut self) -> io::Result<Option<char>> {
        let key = key::read(&self.tty)?;
        let echo = key.filter(|key| !key.is_control()).map(String::from).unwrap_or_default();
        writeln!(self.tty, "{echo}")?;
        Ok(key.map(|key| key.to_ascii_lowercase()))
    }

    fn look(&mut self, frozen: &Trial<Frozen>) -> io::Result<()> {
        let place = &frozen.record().place;
        for change in &frozen.changes().changes {
            match frozen.preview(change) {
                Ok(preview) => write!(self.tty, "{}", trials::one_diff(self.style, place, change, &preview))?,
                Err(error) => writeln!(self.tty, "{}: {error}", change.path)?,
            }
        }
        Ok(())
    }

    /// Numbers of the changes to apply; an empty line takes none.
    fn choose(&mut self, frozen: &Trial<Frozen>) -> io::Result<Option<Choice>> {
        write!(self.tty, "{}", changes::numbered(self.style, frozen))?;
        let help = "numbers and ranges such as 1 3-5; 2@ picks hunks of 2; the rest waits; empty = back";
        self.ask("Apply which?", help)?;
        let line = self.line()?;
        let all = &frozen.changes().changes;
        let (into, whole): (Vec<&str>, Vec<&str>) = line
            .split([' ', ',', '\t', '\n', '\r'])
            .filter(|word| !word.is_empty())
            .partition(|word| word.ends_with('@'));
        let into = into.iter().map(|word| word.trim_end_matches('@')).collect::<Vec<_>>().join(" ");
        let (into, whole) = match (select::numbers(&into, all.len()), select::numbers(&whole.join(" "), all.len())) {
            (Ok(into), Ok(whole)) => (into, whole),
            (Err(wrong), _) | (_, Err(wrong)) => {
                writeln!(self.tty, "{} is no number of the list", model::escape::text(&wrong))?;
                return Ok(None);
            }
        };
        let change = |number: &usize| all.get(number.checked_sub(1)?);
        let mut picks: Vec<Pick> = whole
            .iter()
            .filter_map(change)
            .map(|change| Pick { path: change.path.clone(), hunks: Vec::new() })
            .collect();
        for change in into.iter().filter_map(change) {
            picks.extend(self.choose_hunks(frozen, change)?);
        }
        if picks.is_empty() {
            return Ok(None);
        }
        let paths: Vec<FilePath> = picks.iter().map(|pick| pick.path.clone()).collect();
        // A directory brings what is below it: red there is chosen too.
        let agreed = self.confirm_red(trials::red_within(frozen, &paths))?;
        let choice = match picks.iter().any(|pick| !pick.hunks.is_empty()) {
            true => Choice::Pick(Picked { picks, merge: false }),
            false => Choice::Apply(paths),
        };
        Ok(agreed.then_some(choice))
    }

    /// Hunks of one change; an empty line takes none of it.
    fn choose_hunks(&mut self, frozen: &Trial<Frozen>, change: &Change) -> io::Result<Option<Pick>> {
        let place = &frozen.record().place;
        let name = changes::short(place, &change.path);
        let preview = match frozen.preview(change) {
            Ok(preview) => preview,
            Err(error) => {
                writeln!(self.tty, "{name}: {error}")?;
                return Ok(None);
            }
        };
        let last = match &preview {
            Preview::Text { hunks, .. } if !hunks.is_empty() => u32::try_from(hunks.len()).unwrap_or(u32::MAX),
            _ => {
                writeln!(self.tty, "{name} has no hunks: it can be applied as a whole only")?;
                return Ok(None);
            }
        };
        write!(self.tty, "{}", trials::one_diff(self.style, place, change, &preview))?;
        self.ask(&format!("Apply which hunks of {name}?"), "numbers and ranges such as 1 3-5; empty = none")?;
        let line = self.line()?;
        match select::numbers(&line, last) {
            Ok(hunks) if hunks.is_empty() => Ok(None),
            Ok(hunks) => Ok(Some(Pick { path: change.path.clone(), hunks })),
            Err(wrong) => {
                writeln!(self.tty, "{} is no hunk of it", model::escape::text(&wrong))?;
                Ok(None)
            }
        }
    }

    fn line(&self) -> io::Result<String> {
        let mut line = String::new();
        BufReader::new(&self.tty).read_line(&mut line)?;
        Ok(line)
    }

    /// All but what is red.
    fn safe(frozen: &Trial<Frozen>) -> Choice {
        engine::harmless::up_to(Risk::Medium, frozen.changes(), frozen.review())
    }

    /// A key that grants counts when what exactly it would grant has been seen; any other is a no.
    fn grant(&mut self, key: char, question: &Question<'_>) -> io::Result<Answer> {
        let Some(scope) = approval::scope(key, question.offer) else { return Ok(Answer::No) };
        write!(self.tty, "{}", approval::grant(self.style, scope, question))?;
        self.ask("Grant that, and run it?", "y = yes, any other key = no")?;
        let wish = Wish { scope, days: None };
        Ok(if self.key()? == Some('y') { Answer::Grant(wish) } else { Answer::No })
    }

    /// What is not to be asked again, which counts only with an answer that makes something real. Any key that is not
    /// offered goes back without one.
    fn keep(&mut self, frozen: &Trial<Frozen>, offer: &LandingOffer) -> io::Result<Option<Keep>> {
        let mut below = offer.files.is_empty();
        loop {
            write!(self.tty, "{}", landing::shown(self.style, frozen, offer, below))?;
            self.ask("Grant that with your answer?", &landing::keys(offer, below))?;
            match self.key()? {
                Some('d') if !below && !offer.directories.is_empty() => below = true,
                Some('f') if below && !offer.files.is_empty() => below = false,
                Some(key) => {
                    let wish = approval::scope_in(key, &offer.scopes()).map(|scope| Wish { scope, days: None });
                    return Ok(wish.map(|wish| Keep { wish, below }));
                }
                None => return Ok(None),
            }
        }
    }

    fn confirm_red(&mut self, red: usize) -> io::Result<bool> {
        if red == 0 {
            return Ok(true);
        }
        self.ask(&format!("{red} of these are HIGH. Apply them too?"), "y = yes, any other key = no")?;
        Ok(self.key()? == Some('y'))
    }
}

impl Person for Terminal {
    fn approve(&mut self, question: &Question<'_>) -> io::Result<Answer> {
        write!(self.tty, "{}", approval::screen(self.style, question))?;
        let keys = approval::keys(question.offer);
        loop {
            self.ask("Run it under glass?", &keys)?;
            match self.key()? {
                Some('y') => return Ok(Answer::Yes),
                Some('d') => write!(self.tty, "{}", approval::details(self.style, question))?,
                Some(key) => return self.grant(key, question),
                None => return Ok(Answer::No),
            }
        }
    }

    fn granted(&mut self, names: &[String]) {
        let told = format!("belljar: not asked, it was granted: {}", model::escape::text(&names.join(", ")));
        // The audit log has it too.
        let _ = writeln!(self.tty, "{}", self.style.dim(&told));
    }

    fn settle(&mut self, frozen: &Trial<Frozen>) -> io::Result<Settle> {
        write!(self.tty, "{}", self.style.fresh())?;
        self.summary(frozen)?;
        let (red, offer, mut keep) = (trials::red(frozen), frozen.offer(), None);
        let discard = if frozen.record().jar.is_some() { "d = discard the whole jar" } else { "d = discard" };
        let apply = if red == 0 { "a = apply" } else { "a = apply all, s = apply all but HIGH" };
        let grant = if offer.scopes().is_empty() { "" } else { ", g = not ask again about such changes" };
        let keys = format!("{apply}, {discard}, l = look, c = choose{grant}, Enter = decide later");
        loop {
            let question = if keep.is_some() { "Make it real, and not ask again?" } else { "Make it real?" };
            self.ask(question, &keys)?;
            match self.key()? {
                Some('a') if self.confirm_red(red)? => return Ok(Settle { choice: Choice::ApplyAll, keep }),
                Some('s') if red > 0 => return Ok(Settle { choice: Terminal::safe(frozen), keep }),
                Some('d') => return Ok(Choice::Discard.into()),
                Some('l') => self.look(frozen)?,
                Some('c') => {
                    if let Some(choice) = self.choose(frozen)? {
                        return Ok(Settle { choice, keep });
                    }
                }
                Some('g') if !offer.scopes().is_empty() => keep = self.keep(frozen, &offer)?,
                None | Some('\r' | '\n' | 'q') => return Ok(Choice::Leave.into()),
                Some(_) => {}
            }
        }
    }
}
