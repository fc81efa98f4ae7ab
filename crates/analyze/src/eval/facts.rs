//! The last column of a row: facts that hold for every run of a command.

use super::Eval;
use super::apply::what_check;
use super::value::Field;
use crate::commands::roles::{Fact, fact};
use model::{Action, PathScope, Reversibility, Span, Target};

impl Eval<'_> {
    /// Applies the last column of a row.
    pub(super) fn facts(&mut self, column: &'static str, operands: &[Field], span: Span, by: &str) {
        let words: Vec<&'static str> = column.split_ascii_whitespace().collect();
        self.apply_facts(&words, operands, span, by);
    }

    pub(super) fn apply_facts(&mut self, words: &[&'static str], operands: &[Field], span: Span, by: &str) {
        for text in words {
            if let Some(fact) = fact(text) {
                self.fact(fact, operands, span, by);
            }
        }
    }

    fn fact(&mut self, fact: Fact, operands: &[Field], span: Span, by: &str) {
        match fact {
            Fact::Exec => {
                let target = match by.starts_with("./") {
                    true => self.program_at(by),
                    false => Target::Program { name: by.to_owned() },
                };
                self.effect(Action::Execute, target, Reversibility::Harmless, span, by);
                self.out.unexplained(span);
            }
            Fact::Tool => {
                self.effect(Action::Execute, Target::Program { name: by.to_owned() }, Reversibility::Harmless, span, by)
            }
            Fact::Repo => self.thing(Action::Write, "the git repository", Reversibility::ByOverlay, span, by),
            Fact::Write(path) => self.at_place(Action::Write, path, span, by),
            Fact::Tree(path) => self.repository_read(path, span, by),
            Fact::Net(host) => self.registry(host, operands, span, by),
            Fact::Asks(host) => self.asks(host, span, by),
            Fact::Listen => self.thing(Action::Listen, "a network port", Reversibility::Never, span, by),
            Fact::Signal(what) => self.thing(Action::Signal, what, Reversibility::Never, span, by),
            Fact::Privilege(what) => self.thing(Action::Privilege, what, Reversibility::Never, span, by),
            Fact::Remote(what) => self.thing(Action::Write, what, Reversibility::Never, span, by),
            Fact::Changes(what) => self.thing(Action::Write, what, Reversibility::ByHand, span, by),
            Fact::Check(id) => self.out.find(id, span, &format!("{by} {}", what_check(id))),
        }
    }

    pub(super) fn asks(&mut self, host: &str, span: Span, by: &str) {
        let peer = Target::Peer(model::Endpoint { host: host.to_owned(), port: None, protocol: None });
        self.may += 1;
        self.effect(Action::Connect, peer, Reversibility::Harmless, span, by);
        self.may -= 1;
    }

    fn registry(&mut self, host: &str, operands: &[Field], span: Span, by: &str) {
        if !host.is_empty() {
            self.may += 1;
            self.connect(host, None, span, by);
            self.may -= 1;
        } else if by.starts_with("git ")
            && operands.first().is_none_or(|field| field.known().is_some_and(|text| !text.contains([':', '/'])))
        {
            self.thing(Action::Connect, "the git remote", Reversibility::Never, span, by);
        } else if !self
            .out
            .effects
            .get(self.since..)
            .unwrap_or(&[])
            .iter()
            .any(|effect| effect.action == Action::Connect)
        {
            self.connect("", None, span, by);
        }
    }

    fn at_place(&mut self, action: Action, path: &'static str, span: Span, by: &str) {
        let text = match path.strip_prefix("~/") {
            Some(rest) => self.home_path().join(rest).encode(),
            None => path.to_owned(),
        };
        // What a row promises is about ordinary content; protected names inside are the review's business.
        let findings = self.out.findings.len();
        self.may += 1;
        self.on_path(action, &Field::constant(&text, span), PathScope::Tree, by);
        self.may -= 1;
        self.out.findings.truncate(findings);
    }

    /// A tool reads its project: content is not printed beyond what it tracks.
    fn repository_read(&mut self, path: &'static str, span: Span, by: &str) {
        let findings = self.out.findings.len();
        self.on_path(Action::Read, &Field::constant(path, span), PathScope::Tree, by);
        self.out.findings.truncate(findings);
    }
}
