//! What goes over the channel. Questions are schema `belljar.question/1`, answers `belljar.answer/1`.

use engine::{Choice, Keep, Lasting, Settle, Wish};
use serde::Deserialize;
use serde_json::Value;
use std::fs::File;
use std::io::{self, Read};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What only the answer to one question can say.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) id: String,
    nonce: String,
}

/// An answer to it. What is not here is none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    schema: String,
    id: String,
    nonce: String,
    answer: String,
    /// `once` where nothing is said.
    #[serde(default)]
    scope: Option<String>,
    /// For how long a grant counts.
    #[serde(default)]
    days: Option<u32>,
    /// What of the changes is granted: `files`, as where nothing is said, or `directories`.
    #[serde(default)]
    grant: Option<String>,
    /// The number of HIGH changes that the person saw.
    #[serde(default)]
    high: Option<usize>,
}

fn no_answer(why: &str) -> io::Error {
    io::Error::other(format!("what came back is no answer: {why}"))
}

fn random() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(model::hex(&bytes))
}

impl Ticket {
    pub(super) fn new() -> io::Result<Ticket> {
        Ok(Ticket { id: random()?, nonce: random()? })
    }

    /// The question as it is sent, one line.
    pub(super) fn question(&self, mut document: Value, within: Duration) -> io::Result<Vec<u8>> {
        let until = SystemTime::now() + within;
        let until = until.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let fields = document.as_object_mut().ok_or_else(|| io::Error::other("a question is a document"))?;
        fields.insert("id".into(), self.id.clone().into());
        fields.insert("nonce".into(), self.nonce.clone().into());
        fields.insert("answer_by_ms".into(), u64::try_from(until).unwrap_or(u64::MAX).into());
        let mut text = serde_json::to_vec(&document)?;
        text.push(b'\n');
        Ok(text)
    }

    /// Reads what came back: one document, for this question.
    pub(super) fn answer(&self, said: &[u8]) -> io::Result<Answer> {
        let answer: Answer = serde_json::from_slice(said).map_err(|_| no_answer("it does not read as one"))?;
        match answer.schema == "belljar.answer/1" && answer.id == self.id && answer.nonce == self.nonce {
            true => Ok(answer),
            false => Err(no_answer("it is for another question")),
        }
    }
}

impl Answer {
    /// As an answer before a command runs.
    pub(super) fn to_run(&self) -> io::Result<engine::Answer> {
        match (self.answer.as_str(), self.scope.as_deref(), self.high.is_none() && self.grant.is_none()) {
            ("no", _, _) => Ok(engine::Answer::No),
            ("yes", None | Some("once"), true) if self.days.is_none() => Ok(engine::Answer::Yes),
            ("yes", Some(scope), true) => Ok(engine::Answer::Grant(self.wish(scope)?)),
            _ => Err(no_answer("it says neither yes nor no to this")),
        }
    }

    fn wish(&self, scope: &str) -> io::Result<Wish> {
        let scope = match scope {
            "jar" => Lasting::Jar,
            "project" => Lasting::Project,
            "always" => Lasting::Always,
            _ => return Err(no_answer("nothing is granted there")),
        };
        match self.days {
            None | Some(1..=engine::grants::DAYS_MAX) => Ok(Wish { scope, days: self.days }),
            Some(_) => Err(no_answer("nothing is granted for so many days")),
        }
    }

    /// What of an answer about changes is to be remembered.
    fn keep(&self) -> io::Result<Option<Keep>> {
        let below = match self.grant.as_deref() {
            None | Some("files") => false,
            Some("directories") => true,
            Some(_) => return Err(no_answer("files or directories are granted")),
        };
        match self.scope.as_deref() {
            Some(scope) => Ok(Some(Keep { wish: self.wish(scope)?, below })),
            None if self.days.is_none() && self.grant.is_none() => Ok(None),
            None => Err(no_answer("it does not say where its grant counts")),
        }
    }

    /// As an answer when it has run; what is HIGH becomes real only for somebody who says how much of it there is.
    pub(super) fn to_settle(&self, high: usize, safe: impl FnOnce() -> Choice) -> io::Result<Settle> {
        let keep = self.keep()?;
        let choice = match (self.answer.as_str(), self.high.unwrap_or(0)) {
            ("apply", seen) if seen == high => Choice::ApplyAll,
            ("apply", _) => return Err(no_answer("it does not say how many of the changes are HIGH")),
            ("apply-safe", _) => safe(),
            ("discard", _) if keep.is_none() => Choice::Discard,
            ("leave", _) if keep.is_none() => Choice::Leave,
            _ => return Err(no_answer("it is none of those that were offered")),
        };
        Ok(Settle { choice, keep })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(ticket: &Ticket, more: &Value) -> io::Result<Answer> {
        let mut document = json!({"schema": "belljar.answer/1", "id": ticket.id, "nonce": ticket.nonce});
        for (name, value) in more.as_object().unwrap() {
            document[name] = value.clone();
        }
        ticket.answer(document.to_string().as_bytes())
    }

    #[test]
    fn only_a_right_answer_is_one() {
        let (ticket, other) = (Ticket::new().unwrap(), Ticket::new().unwrap());
        let run = |more: Value| said(&ticket, &more).and_then(|answer| answer.to_run());
        assert_eq!(run(json!({"answer": "yes"})).unwrap(), engine::Answer::Yes);
        assert_eq!(run(json!({"answer": "no"})).unwrap(), engine::Answer::No);
        let wish = Wish { scope: Lasting::Project, days: Some(7) };
        assert_eq!(run(json!({"answer": "yes", "scope": "project", "days": 7})).unwrap(), engine::Answer::Grant(wish));
        for more in [
            json!({}),
            json!({"answer": true}),
            json!({"answer": "YES"}),
            json!({"answer": "yes", "more": 1}),
            json!({"answer": "yes", "scope": "everything"}),
            json!({"answer": "yes", "days": 3}),
            json!({"answer": "yes", "scope": "always", "days": 0}),
            json!({"answer": "yes", "scope": "always", "days": 367}),
            json!({"answer": "yes", "high": 0}),
            json!({"answer": "yes", "scope": "project", "grant": "files"}),
            json!({"answer": "yes", "id": other.id}),
            json!({"answer": "yes", "nonce": other.nonce}),
            json!({"answer": "yes", "nonce": ""}),
            json!({"answer": "yes", "schema": "belljar.answer/2"}),
            json!({"answer": "apply"}),
        ] {
            assert!(run(more.clone()).is_err(), "{more}");
        }
        for text in ["", "y", "yes", "{", "[]", "null"] {
            assert!(ticket.answer(text.as_bytes()).is_err(), "{text}");
        }
        let twice = format!(
            "{0}{0}",
            json!({"schema": "belljar.answer/1", "id": ticket.id, "nonce": ticket.nonce, "answer": "yes"})
        );
        assert!(ticket.answer(twice.as_bytes()).is_err());
    }

    #[test]
    fn what_is_high_is_applied_for_who_says_how_much_it_is() {
        let ticket = Ticket::new().unwrap();
        let settle =
            |more: Value| said(&ticket, &more).and_then(|answer| answer.to_settle(2, || Choice::Apply(Vec::new())));
        assert_eq!(settle(json!({"answer": "apply", "high": 2})).unwrap(), Choice::ApplyAll.into());
        assert_eq!(settle(json!({"answer": "apply-safe"})).unwrap(), Choice::Apply(Vec::new()).into());
        assert_eq!(settle(json!({"answer": "discard"})).unwrap(), Choice::Discard.into());
        let keep = |scope, days, below| Some(Keep { wish: Wish { scope, days }, below });
        let kept =
            settle(json!({"answer": "apply-safe", "scope": "project", "grant": "directories", "days": 3})).unwrap();
        assert_eq!(kept.keep, keep(Lasting::Project, Some(3), true));
        assert_eq!(
            settle(json!({"answer": "apply-safe", "scope": "jar"})).unwrap().keep,
            keep(Lasting::Jar, None, false)
        );
        for more in [
            json!({"answer": "apply"}),
            json!({"answer": "apply", "high": 1}),
            json!({"answer": "yes"}),
            json!({"answer": "apply", "high": 2, "scope": "once"}),
            json!({"answer": "apply", "high": 2, "grant": "files"}),
            json!({"answer": "apply", "high": 2, "scope": "project", "grant": "all"}),
            json!({"answer": "apply", "high": 2, "scope": "project", "days": 400}),
            json!({"answer": "discard", "scope": "project"}),
            json!({"answer": "leave", "scope": "project"}),
        ] {
            assert!(settle(more.clone()).is_err(), "{more}");
        }
    }
}
