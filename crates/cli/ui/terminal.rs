//! The person at the terminal. Asked through `/dev/tty`, so neither the command's output nor its input can answer.

use super::{changes, check, key, style::Style, trials};
use engine::{Answer, Choice, Frozen, Person, Question, Trial};
use model::{FilePath, Risk};
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
        let these = changes::count(runs.len() as u64, "command");
        self.ask(
            &format!("{waiting} wait in all. Take back what the {these} above did?"),
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
        self.ask("Apply which?", "numbers and ranges such as 1 3-5; the rest waits; empty = back")?;
        let mut line = String::new();
        BufReader::new(&self.tty).read_line(&mut line)?;
        let all = &frozen.changes().changes;
        match numbers(&line, all.len()) {
            Ok(chosen) if chosen.is_empty() => Ok(None),
            Ok(chosen) => {
                let path = |number: usize| all.get(number.checked_sub(1)?).map(|change| change.path.clone());
                let paths: Vec<FilePath> = chosen.into_iter().filter_map(path).collect();
                // A directory brings what is below it: red there is chosen too.
                let agreed = self.confirm_red(trials::red_within(frozen, &paths))?;
                Ok(agreed.then_some(Choice::Apply(paths)))
            }
            Err(wrong) => {
                writeln!(self.tty, "{} is no number of the list", model::escape::text(&wrong))?;
                Ok(None)
            }
        }
    }

    /// All but what is red.
    fn safe(frozen: &Trial<Frozen>) -> Choice {
        engine::settle::up_to(Risk::Medium, frozen.changes(), frozen.review())
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
        writeln!(self.tty, "{}", check::question(self.style, question))?;
        self.ask("Run it under glass?", "y = yes, any other key = no")?;
        Ok(if self.key()? == Some('y') { Answer::Yes } else { Answer::No })
    }

    fn settle(&mut self, frozen: &Trial<Frozen>) -> io::Result<Choice> {
        self.summary(frozen)?;
        let red = trials::red(frozen);
        let discard = if frozen.record().jar.is_some() { "d = discard the whole jar" } else { "d = discard" };
        let apply = if red == 0 { "a = apply" } else { "a = apply all, s = apply all but HIGH" };
        let keys = format!("{apply}, {discard}, l = look, c = choose, Enter = decide later");
        loop {
            self.ask("Make it real?", &keys)?;
            match self.key()? {
                Some('a') if self.confirm_red(red)? => return Ok(Choice::ApplyAll),
                Some('s') if red > 0 => return Ok(Terminal::safe(frozen)),
                Some('d') => return Ok(Choice::Discard),
                Some('l') => self.look(frozen)?,
                Some('c') => {
                    if let Some(choice) = self.choose(frozen)? {
                        return Ok(choice);
                    }
                }
                None | Some('\r' | '\n' | 'q') => return Ok(Choice::Leave),
                Some(_) => {}
            }
        }
    }
}

/// `1 3-5,7` as numbers from 1 to `last`; the first part that is none of them as an error.
fn numbers(line: &str, last: usize) -> Result<Vec<usize>, String> {
    let mut out = Vec::new();
    for part in line.split([' ', ',', '\t', '\n', '\r']).filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<usize>().ok().filter(|number| (1..=last).contains(number));
        match (number(from), number(to)) {
            (Some(from), Some(to)) => out.extend(from..=to),
            _ => return Err(part.to_owned()),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn choices_are_numbers_and_ranges() {
        assert_eq!(numbers("1 3-5,7\n", 9), Ok(vec![1, 3, 4, 5, 7]));
        assert_eq!(numbers("\n", 9), Ok(vec![]));
        for wrong in ["0", "10", "2-10", "x", "-", "1-", "-3", "99999999999999999999"] {
            assert_eq!(numbers(wrong, 9), Err(wrong.to_owned()), "{wrong}");
        }
    }
}
