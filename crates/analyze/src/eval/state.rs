//! The shell's state as far as it is known at one point of the script.

use super::links::Links;
use super::value::Value;
use crate::limits::{CWD_PARTS_MAX, CWDS_MAX};
use crate::syntax::ast::Command;
use model::FilePath;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
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
    /// Such a `cd` started from a directory that is not known.
    pub(crate) failed_anywhere: bool,
}

impl Cwd {
    /// `cd` to `to`, which may fail.
    pub(crate) fn change(&mut self, to: Vec<FilePath>) {
        let too_deep = |place: &FilePath| place.as_bytes().iter().filter(|byte| **byte == b'/').count() > CWD_PARTS_MAX;
        let to = if to.iter().any(too_deep) { Vec::new() } else { to };
        let old = std::mem::replace(&mut self.places, to);
        self.failed_anywhere |= old.is_empty();
        self.if_failed = if self.places.is_empty() { Vec::new() } else { old };
    }

    /// The last command succeeded.
    pub(crate) fn succeeded(&mut self) {
        self.if_failed.clear();
        self.failed_anywhere = false;
    }

    /// Nobody looked whether the last command succeeded.
    pub(crate) fn unchecked(&mut self) {
        let failed = std::mem::take(&mut self.if_failed);
        if std::mem::take(&mut self.failed_anywhere) {
            self.places.clear();
        }
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

/// A value that is copied when it is changed: states are saved and joined at every branch, and rarely differ.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared<T>(Rc<T>);

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Shared<T> {
        Shared(Rc::new(value))
    }

    /// Whether both are the same value, not only equal ones.
    fn is(&self, other: &Shared<T>) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Rc::make_mut(&mut self.0)
    }
}

/// Everything a command's meaning depends on.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) cwd: Cwd,
    pub(crate) vars: Shared<BTreeMap<String, Var>>,
    pub(crate) functions: Shared<BTreeMap<String, Rc<Command>>>,
    /// Functions that have one body or another, by what ran before.
    pub(crate) either: Shared<BTreeSet<String>>,
    /// `$1 ...`; `None` when unknown.
    pub(crate) positional: Option<Vec<Value>>,
    /// Variables with the integer attribute: what is assigned to them is evaluated.
    pub(crate) integers: Shared<BTreeSet<String>>,
    /// Variables with an attribute that changes or refuses what is assigned to them: `-i`, `-l`, `-u`, `-c`, `-r`.
    pub(crate) altered: Shared<BTreeSet<String>>,
    /// Variables that once held text with a command substitution in it: where they are evaluated again, it may run. A
    /// branch may forget the value, but not this.
    pub(crate) loaded: Shared<BTreeSet<String>>,
    /// Files this script downloaded.
    pub(crate) downloaded: Shared<BTreeSet<FilePath>>,
    /// Symbolic links, by their own path.
    pub(crate) links: Shared<Links>,
    /// What this script wrote into files, where it is known.
    pub(crate) written: Shared<BTreeMap<FilePath, Value>>,
    /// `set -e`: an unchecked failure ends the script.
    pub(crate) exits_on_error: bool,
}

impl State {
    /// Takes over what a subshell that ended as `inner` did to files; its variables are gone.
    pub(crate) fn keep_files_of(&mut self, inner: State) {
        self.downloaded = inner.downloaded;
        self.links = inner.links;
        self.written = inner.written;
    }

    /// The value of a scalar variable; an array gives its first element.
    pub(crate) fn scalar(&self, name: &str) -> Option<Value> {
        match self.vars.get(name)? {
            Var::Scalar(value) => Some(value.clone()),
            Var::Array(values) => values.first().cloned(),
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: Value) {
        let runs = |text: &String| text.contains("$(") || text.contains('`');
        if value.choices().is_some_and(|all| all.iter().any(runs)) {
            self.loaded.insert(name.to_owned());
        }
        let value = if self.altered.contains(name) { Value::Unknown } else { value };
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
        if !self.vars.is(&other.vars) {
            join_vars(&mut self.vars, &other.vars);
        }
        if self.cwd.places.is_empty() || other.cwd.places.is_empty() {
            self.cwd.places.clear();
        } else {
            self.cwd.add(other.cwd.places);
        }
        self.cwd.add_failed(other.cwd.if_failed);
        self.cwd.failed_anywhere |= other.cwd.failed_anywhere;
        if !self.functions.is(&other.functions) {
            // Where it is not defined its name is a program's.
            let alone = self.functions.keys().filter(|name| !other.functions.contains_key(*name)).cloned();
            let alone: Vec<String> = alone.collect();
            self.either.extend(alone);
            for (name, theirs) in other.functions.iter() {
                match self.functions.get(name) {
                    Some(ours) if Rc::ptr_eq(ours, theirs) => {}
                    Some(_) => {
                        self.either.insert(name.clone());
                    }
                    None => {
                        self.either.insert(name.clone());
                        self.functions.insert(name.clone(), Rc::clone(theirs));
                    }
                }
            }
        }
        if !self.either.is(&other.either) {
            self.either.extend(other.either.iter().cloned());
        }
        if !self.integers.is(&other.integers) {
            self.integers.extend(other.integers.iter().cloned());
        }
        if !self.altered.is(&other.altered) {
            self.altered.extend(other.altered.iter().cloned());
        }
        if !self.loaded.is(&other.loaded) {
            self.loaded.extend(other.loaded.iter().cloned());
        }
        if !self.downloaded.is(&other.downloaded) {
            self.downloaded.extend(other.downloaded.iter().cloned());
        }
        if !self.links.is(&other.links) {
            self.links.extend(other.links.iter().map(|(link, target)| (link.clone(), target.clone())));
        }
        if !self.written.is(&other.written) {
            for (path, theirs) in other.written.iter() {
                let joined = self.written.get(path).map_or_else(|| theirs.clone(), |mine| mine.join(theirs));
                self.written.insert(path.clone(), joined);
            }
        }
        if self.positional != other.positional {
            self.positional = None;
        }
        self.exits_on_error &= other.exits_on_error;
    }
}

fn join_vars(mine: &mut BTreeMap<String, Var>, theirs: &BTreeMap<String, Var>) {
    for (name, theirs) in theirs {
        let joined = match (mine.get(name), theirs) {
            (Some(Var::Scalar(a)), Var::Scalar(b)) if a == b => continue,
            (Some(Var::Scalar(a)), Var::Scalar(b)) => Var::Scalar(a.join(b)),
            (Some(a), b) if a == b => continue,
            _ => Var::Scalar(Value::Unknown),
        };
        mine.insert(name.clone(), joined);
    }
    for (name, value) in mine.iter_mut() {
        if !theirs.contains_key(name) {
            *value = Var::Scalar(Value::Unknown);
        }
    }
}

impl Cwd {
    fn add_failed(&mut self, more: Vec<FilePath>) {
        self.if_failed.extend(more);
        self.if_failed.truncate(CWDS_MAX);
    }
}
