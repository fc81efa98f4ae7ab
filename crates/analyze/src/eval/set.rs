//! `set` and `shift`: options of the shell and positional parameters.

use super::Eval;
use super::value::Field;

/// What `set -k` does.
const KEYWORD: &str = "arguments with a = become environment variables of what is run";

/// What `set -o posix` and `set +B` do.
const READS_ANEW: &str = "changes how the shell reads what follows";

/// Names of options that `set -o` knows.
const SET_NAMES: &[&str] = &[
    "allexport",
    "braceexpand",
    "emacs",
    "errexit",
    "errtrace",
    "functrace",
    "hashall",
    "histexpand",
    "history",
    "ignoreeof",
    "interactive-comments",
    "keyword",
    "monitor",
    "noclobber",
    "noexec",
    "noglob",
    "nolog",
    "notify",
    "nounset",
    "onecmd",
    "physical",
    "pipefail",
    "posix",
    "privileged",
    "verbose",
    "vi",
    "xtrace",
];

const NOT_KNOWN: &str = "sets an option of the shell that is not known";

/// Those that change nothing about how the rest is read.
const PLAIN_NAMES: &[&str] =
    &["errexit", "errtrace", "functrace", "noclobber", "noglob", "nounset", "pipefail", "xtrace"];

impl Eval<'_> {
    pub(super) fn set(&mut self, args: &[Field]) {
        let mut rest = args;
        while let Some((first, tail)) = rest.split_first() {
            match first.known() {
                Some("--") => {
                    self.set_positional(tail);
                    return;
                }
                Some("-") => {
                    if !tail.is_empty() {
                        self.set_positional(tail);
                    }
                    return;
                }
                Some(text) if text.starts_with(['-', '+']) && !text.bytes().skip(1).all(is_set_letter) => {
                    // Bash refuses all of it, once it gets there; what stands before was done.
                    self.out.find(12, first.span, NOT_KNOWN);
                    self.state.positional = None;
                    return;
                }
                Some("-o" | "+o") => {
                    if tail.first().and_then(Field::known) == Some("history") {
                        self.out.find(12, first.span, "decides whether what is run is remembered");
                    }
                    if tail.first().and_then(Field::known) == Some("keyword") {
                        self.out.find(12, first.span, KEYWORD);
                    }
                    match tail.first().map(Field::known) {
                        None | Some(Some("history" | "keyword")) => {}
                        Some(Some("posix" | "braceexpand")) => self.out.find(7, first.span, READS_ANEW),
                        Some(Some(name)) if SET_NAMES.contains(&name) => {}
                        Some(name) => {
                            self.out.find(12, first.span, NOT_KNOWN);
                            // What bash does not know it refuses, with all that follows.
                            if name.is_some() {
                                self.state.positional = None;
                                return;
                            }
                        }
                    }
                    self.state.exits_on_error |=
                        first.known() == Some("-o") && tail.first().and_then(Field::known) == Some("errexit");
                    rest = tail.get(1..).unwrap_or(&[]);
                }
                Some(text) if text.starts_with('-') && text.len() > 1 => {
                    self.state.exits_on_error |= text.contains('e');
                    if text.contains('k') {
                        self.out.find(12, first.span, KEYWORD);
                    }
                    // Each o takes a word; one, at the end, is what people write.
                    let named = text.matches('o').count();
                    let plain = tail.first().and_then(Field::known).is_some_and(|name| PLAIN_NAMES.contains(&name));
                    if named > 1 || (named == 1 && !(text.ends_with('o') && plain)) {
                        self.out.find(7, first.span, READS_ANEW);
                    }
                    // `-euo pipefail`: the o takes the next word.
                    rest = if text.ends_with('o') { tail.get(1..).unwrap_or(&[]) } else { tail };
                }
                Some(text) if text.starts_with('+') && text.len() > 1 => {
                    self.state.exits_on_error &= !text.contains('e');
                    if text.contains('B') {
                        self.out.find(7, first.span, READS_ANEW);
                    }
                    rest = if text.ends_with('o') { tail.get(1..).unwrap_or(&[]) } else { tail };
                }
                known => {
                    // What is not known may be an option.
                    match known.or(Some(first.value.prefix()).filter(|prefix| !prefix.is_empty() && !first.many)) {
                        Some(text) if !text.starts_with(['-', '+']) => self.set_positional(rest),
                        _ => {
                            self.out.find(7, first.span, "options of the shell that are not known");
                            self.state.positional = None;
                        }
                    }
                    return;
                }
            }
        }
    }

    fn set_positional(&mut self, fields: &[Field]) {
        let known = !fields.iter().any(|field| field.many || field.glob);
        self.state.positional = known.then(|| fields.iter().map(|field| field.value.clone()).collect());
    }

    pub(super) fn shift(&mut self, args: &[Field]) {
        let count = match args.first() {
            None => Some(1),
            Some(field) => field.known().and_then(|text| text.parse::<usize>().ok()),
        };
        self.state.positional = match (self.state.positional.take(), count) {
            (Some(all), Some(count)) => Some(all.into_iter().skip(count).collect()),
            _ => None,
        };
    }
}

/// Letters of options that `set` knows.
fn is_set_letter(letter: u8) -> bool {
    b"abefhkmnoptuvxBCEHPT".contains(&letter)
}
