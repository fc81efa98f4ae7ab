//! One key from the terminal, as the person pressed it just now.

use nix::sys::termios::{self, FlushArg, LocalFlags, SetArg, SpecialCharacterIndices, Termios};
use std::fs::File;
use std::io::{self, Read};

/// The terminal without line editing, echo and signal keys; as it was before when dropped.
struct Raw<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Raw<'a> {
    fn new(terminal: &'a File) -> io::Result<Raw<'a>> {
        let before = termios::tcgetattr(terminal)?;
        let mut raw = before.clone();
        raw.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG);
        for (special, value) in [(SpecialCharacterIndices::VMIN, 1), (SpecialCharacterIndices::VTIME, 0)] {
            raw.control_chars.get_mut(special as usize).into_iter().for_each(|slot| *slot = value);
        }
        // TCSAFLUSH drops what was typed before the question stood there: type-ahead is no answer.
        termios::tcsetattr(terminal, SetArg::TCSAFLUSH, &raw)?;
        Ok(Raw { terminal, before })
    }
}

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        // Nothing better can be done when the terminal is gone.
        let _ = termios::tcsetattr(self.terminal, SetArg::TCSANOW, &self.before);
        let _ = termios::tcflush(self.terminal, FlushArg::TCIFLUSH);
    }
}

/// Waits for one key. `None` for Ctrl-C, Ctrl-D, escape, a closed terminal.
pub(super) fn read(terminal: &File) -> io::Result<Option<char>> {
    let _raw = Raw::new(terminal)?;
    let mut byte = [0_u8; 1];
    let mut reader = terminal;
    if reader.read(&mut byte)? == 0 {
        return Ok(None);
    }
    let [byte] = byte;
    let key = char::from(byte);
    Ok((key == '\r' || key == '\n' || !key.is_control()).then_some(key))
}
