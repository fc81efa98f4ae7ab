//! Colour, where the stream is a terminal that wants it (<https://no-color.org>).

use model::Risk;
use std::io::{self, IsTerminal};

/// How to write to one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    colour: bool,
    /// Understands control sequences, whether colour is wanted or not.
    controls: bool,
}

/// Ends what a command may have left half said or switched on, and with which it could hide or repaint our words: an
/// unfinished sequence or string (CAN, ST), a scrolling region (between saving and restoring the cursor, which it moves),
/// colours and concealment, line-drawing characters, insert mode, no wrapping, a hidden cursor, the alternate screen,
/// output held back. Where none of it is on, nothing is seen (ECMA-48; XTerm Control Sequences).
const FRESH: &str =
    concat!("\x18\x1b\\", "\x1b7\x1b[r\x1b8", "\x1b[0m\x1b(B\x0f\x1b[4l\x1b[?7h\x1b[?25h\x1b[?47l\x1b[?2026l",);

impl Style {
    pub(super) fn stderr() -> Style {
        Style::of(&io::stderr())
    }

    pub(super) fn stdout() -> Style {
        Style::of(&io::stdout())
    }

    pub(super) fn of(stream: &impl IsTerminal) -> Style {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let controls = stream.is_terminal() && !dumb;
        Style { colour: controls && !unwanted, controls }
    }

    /// What to write before our own words where a command has written before them.
    pub(super) fn fresh(self) -> &'static str {
        if self.controls { FRESH } else { "" }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(super) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(super) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// The tier in its colour, padded to the width of the longest.
    pub(super) fn risk(self, risk: Risk) -> String {
        let padded = format!("{:<6}", risk.to_string());
        match risk {
            Risk::High => self.red(&padded),
            Risk::Medium => self.yellow(&padded),
            Risk::Low => self.dim(&padded),
        }
    }
}
