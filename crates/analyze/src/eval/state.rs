//! The shell's state as far as it is known at one point of the script.

use super::value::Value;
use crate::limits::{CWD_PARTS_MAX, CWDS_MAX};
use crate::syntax::ast::Command;
use model::FilePath;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A variable.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Var {
    Scalar(Value),
    Array(Vec<Value>),
}

/// Where the shell may stand.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cwd {
    /// The possible directories, the one of the good path first; empty when unknown.
    pub(crate) places: Vec<FilePath>,
    /// The directories where a `cd` failed that nobody checked yet; `&&` drops them.
    pub(crate) if_failed: Vec<FilePath>,
}

impl Cwd {
    /// `cd` to `to`, which may fail.
    pub(crate) fn change(&mut self, to: Vec<FilePath>) {
        let too_deep = |place: &FilePath| place.as_bytes().iter().filter(|byte| **byte == b'/').count() > CWD_PARTS_MAX;
        let to = if to.iter().any(too_deep) { Vec::new() } else { to };
        let old = std::mem::replace(&mut self.places, to);
        self.if_failed = if self.places.is_empty() { Vec::new() } else { old };
    }

    /// The last command succeeded.
    pub(crate) fn succeeded(&mut self) {
        self.if_failed.clear();
    }

    /// Nobody looked whether the last command succeeded.
    pub(crate) fn unchecked(&mut self) {
        let failed = std::mem::take(&mut self.if_failed);
        if !self.places.is_empty() {
            self.add(failed);
        }
    }

    fn add(&mut self, more: Vec<FilePath>) {
        for place in more {
            if !self.places.contains(&place) {
                self.places.push(place);
            }
        }
        if self.places.len() > CWDS_MAX {
            self.places.clear();
        }
    }
}

/// Everything a command's meaning depends on.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) cwd: Cwd,
    pub(crate) vars: BTreeMap<String, Var>,
    pub(crate) functions: BTreeMap<String, Rc<Command>>,
    /// `$1 ...`; `None` when unknown.
    pub(crate) positional: Option<Vec<Value>>,
    /// Files this script downloaded.
    pub(crate) downloaded: BTreeSet<FilePath>,
    /// `set -e`: an unchecked failure ends the script.
    pub(crate) exits_on_error: bool,
}

impl State {
    /// The value of a scalar variable; an array gives its first element.
    pub(crate) fn scalar(&self, name: &str) -> Option<Value> {
        match self.vars.get(name)? {
            Var::Scalar(value) => Some(value.clone()),
            Var::Array(values) => values.first().cloned(),
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: Value) {
        self.vars.insert(name.to_owned(), Var::Scalar(value));
    }

    /// Anything may have been assigned. `IFS` and `HOME` count too.
    pub(crate) fn forget_variables(&mut self) {
        for value in self.vars.values_mut() {
            *value = Var::Scalar(Value::Unknown);
        }
    }

    /// The state when either `self` or `other` may hold.
    pub(crate) fn join(&mut self, other: State) {
        for (name, theirs) in &other.vars {
            let joined = match (self.vars.get(name), theirs) {
                (Some(Var::Scalar(a)), Var::Scalar(b)) => Var::Scalar(a.join(b)),
                (Some(a), b) if a == b => continue,
                _ => Var::Scalar(Value::Unknown),
            };
            self.vars.insert(name.clone(), joined);
        }
        for (name, mine) in &mut self.vars {
            if !other.vars.contains_key(name) {
                *mine = Var::Scalar(Value::Unknown);
            }
        }
        if self.cwd.places.is_empty() || other.cwd.places.is_empty() {
            self.cwd.places.clear();
        } else {
            self.cwd.add(other.cwd.places);
        }
        self.cwd.add_failed(other.cwd.if_failed);
        self.functions.extend(other.functions);
        self.downloaded.extend(other.downloaded);
        if self.positional != other.positional {
            self.positional = None;
        }
        self.exits_on_error &= other.exits_on_error;
    }
}

impl Cwd {
    fn add_failed(&mut self, more: Vec<FilePath>) {
        self.if_failed.extend(more);
        self.if_failed.truncate(CWDS_MAX);
    }
}
