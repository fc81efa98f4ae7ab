//! A person behind another program: an editor, an agent's front end, a phone. The question goes out as one JSON document,
//! the answer comes in as one, over a unix socket on which that program listens or as files in a directory.
//!
//! Everything but a right answer in time is a no: one that is late, malformed, for another question, twice there, or from
//! somebody else. Where the channel lies is looked at before each question: only the user (or root) may be able to answer,
//! and no jar.

mod folder;
mod place;
mod socket;
mod wire;

use crate::failure::Failure;
use crate::json::asking;
use crate::ui;
use engine::{Answer, Frozen, Person, Question, Settle, Trial};
use model::{FilePath, Risk};
use serde_json::Value;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Where a person can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Channel {
    /// `unix:PATH`.
    Socket(PathBuf),
    /// `dir:PATH`.
    Folder(PathBuf),
}

/// Somebody who is asked through another program.
#[derive(Debug)]
pub(crate) struct Approver {
    channel: Channel,
    within: Duration,
    /// What commands may write.
    reach: Vec<FilePath>,
}

impl Approver {
    /// As `--ask-at` says; `reach` are the directories that commands may write. The place is looked at once now, so that what
    /// is wrong with it is told before anything runs.
    pub(crate) fn open(at: &str, seconds: u64, reach: Vec<FilePath>) -> Result<Approver, Failure> {
        let wrong = |message: String, hint: &str| Failure::Usage { message, hint: hint.into() };
        let path = |path: &str| -> Result<PathBuf, Failure> {
            std::path::absolute(path).map_err(|error| wrong(format!("--ask-at: {error}"), "name a path"))
        };
        let channel = match at.split_once(':') {
            Some(("unix", rest)) if !rest.is_empty() => Channel::Socket(path(rest)?),
            Some(("dir", rest)) if !rest.is_empty() => Channel::Folder(path(rest)?),
            _ => {
                let message = format!("--ask-at {}: neither a socket nor a directory", model::escape::text(at));
                return Err(wrong(message, "--ask-at unix:PATH or --ask-at dir:PATH"));
            }
        };
        let approver = Approver { channel, within: Duration::from_secs(seconds), reach };
        match &approver.channel {
            Channel::Socket(path) => place::socket(path, &approver.reach).map(drop),
            Channel::Folder(path) => place::folder(path, &approver.reach).map(drop),
        }
        .map_err(|error| {
            let message = format!("--ask-at {}: {error}", model::escape::text(at));
            wrong(message, "a place of yours that nobody else and no command can write, such as $XDG_RUNTIME_DIR")
        })?;
        Ok(approver)
    }

    /// Puts a question and returns what came back, if that is an answer to it.
    fn ask(&self, document: Value) -> io::Result<wire::Answer> {
        let deadline = Instant::now() + self.within;
        let ticket = wire::Ticket::new()?;
        let text = ticket.question(document, self.within)?;
        let said = match &self.channel {
            Channel::Socket(path) => socket::ask(&place::socket(path, &self.reach)?, &text, deadline)?,
            Channel::Folder(path) => folder::ask(&place::folder(path, &self.reach)?, &ticket.id, &text, deadline)?,
        };
        ticket.answer(&said)
    }
}

/// What may be answered when a command has run.
const SETTLE: [&str; 4] = ["apply", "apply-safe", "discard", "leave"];

impl Person for Approver {
    fn approve(&mut self, question: &Question<'_>) -> io::Result<Answer> {
        self.ask(asking::question(question))?.to_run()
    }

    fn settle(&mut self, frozen: &Trial<Frozen>) -> io::Result<Settle> {
        let high = ui::red(frozen);
        let answer = self.ask(asking::settle(frozen, high, &SETTLE, &frozen.offer()))?;
        let safe = || engine::harmless::up_to(Risk::Medium, frozen.changes(), frozen.review());
        answer.to_settle(high, safe)
    }

    fn channel(&self) -> Option<String> {
        let (kind, path) = match &self.channel {
            Channel::Socket(path) => ("unix", path),
            Channel::Folder(path) => ("dir", path),
        };
        Some(format!("{kind}:{}", FilePath::from(path.as_path())))
    }
}
