//! The table: how often each verdict became which, and the smallest requests to show for it.

use super::request::{Inexact, NotARequest, Request};
use model::Verdict;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// Witnesses kept of each transition.
pub const WITNESSES: usize = 3;

/// What became of all requests so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    rows: u64,
    cells: BTreeMap<(Verdict, Verdict), Cell>,
    inexact: BTreeMap<Inexact, u64>,
}

/// One transition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// How often.
    pub count: u64,
    witnesses: BTreeSet<Witness>,
}

/// Ordered by how much a person has to read, and then by what it says: which ones are kept does not depend on what
/// came first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Witness(Request<'static>);

impl Ord for Witness {
    fn cmp(&self, other: &Witness) -> Ordering {
        self.0.size().cmp(&other.0.size()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Witness {
    fn partial_cmp(&self, other: &Witness) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Cell {
    /// The smallest requests of which it is so. None of a verdict that stays.
    pub fn witnesses(&self) -> impl Iterator<Item = &Request<'static>> {
        self.witnesses.iter().map(|witness| &witness.0)
    }

    fn keep(&mut self, witness: Witness) {
        self.witnesses.insert(witness);
        if self.witnesses.len() > WITNESSES {
            self.witnesses.pop_last();
        }
    }
}

impl Table {
    pub(crate) fn add(&mut self, from: Verdict, to: Verdict, request: Request<'_>) {
        self.rows = self.rows.saturating_add(1);
        let cell = self.cells.entry((from, to)).or_default();
        cell.count = cell.count.saturating_add(1);
        if from == to {
            return;
        }
        // Only in its canonical form, which may have fewer parts, does a request have its size.
        let request = request.canonical();
        let larger = |last: &Witness| request.size() > last.0.size();
        if cell.witnesses.len() < WITNESSES || !cell.witnesses.last().is_some_and(larger) {
            cell.keep(Witness(request.into_owned()));
        }
    }

    pub(crate) fn add_inexact(&mut self, why: Inexact) {
        self.rows = self.rows.saturating_add(1);
        let count = self.inexact.entry(why).or_default();
        *count = count.saturating_add(1);
    }

    /// With all of another table.
    #[must_use]
    pub fn merge(mut self, other: Table) -> Table {
        self.rows = self.rows.saturating_add(other.rows);
        for (at, cell) in other.cells {
            let own = self.cells.entry(at).or_default();
            own.count = own.count.saturating_add(cell.count);
            cell.witnesses.into_iter().for_each(|witness| own.keep(witness));
        }
        for (why, more) in other.inexact {
            let count = self.inexact.entry(why).or_default();
            *count = count.saturating_add(more);
        }
        self
    }

    /// Requests entered.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Every transition there was, from the first policy's verdict to the second's.
    pub fn cells(&self) -> impl Iterator<Item = (Verdict, Verdict, &Cell)> {
        self.cells.iter().map(|((from, to), cell)| (*from, *to, cell))
    }

    /// How often a verdict became another, or stayed.
    #[must_use]
    pub fn count(&self, from: Verdict, to: Verdict) -> u64 {
        self.cells.get(&(from, to)).map_or(0, |cell| cell.count)
    }

    /// Requests of which it is not known, by reason.
    pub fn inexact(&self) -> impl Iterator<Item = (Inexact, u64)> {
        self.inexact.iter().map(|(why, count)| (*why, *count))
    }
}

/// Why a table that was read is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotATable {
    /// Its counts do not add up.
    #[error("its counts do not add up to its rows")]
    Sum,
    /// A transition is named twice.
    #[error("a transition or a reason is in it twice")]
    Twice,
    /// A witness is none.
    #[error("a witness is no request: {0}")]
    Witness(NotARequest),
}

/// As it is sent.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sent<'a> {
    rows: u64,
    #[serde(borrow)]
    cells: Vec<SentCell<'a>>,
    inexact: BTreeMap<Inexact, u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SentCell<'a> {
    from: Verdict,
    to: Verdict,
    count: u64,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    witnesses: Vec<Request<'a>>,
}

impl Serialize for Table {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let cells = self.cells.iter().map(|((from, to), cell)| {
            let witnesses = cell.witnesses().cloned().collect();
            SentCell { from: *from, to: *to, count: cell.count, witnesses }
        });
        Sent { rows: self.rows, cells: cells.collect(), inexact: self.inexact.clone() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Table, D::Error> {
        Table::try_from(Sent::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl TryFrom<Sent<'_>> for Table {
    type Error = NotATable;

    fn try_from(sent: Sent<'_>) -> Result<Table, NotATable> {
        let mut table = Table { rows: sent.rows, cells: BTreeMap::new(), inexact: sent.inexact };
        let mut sum: Option<u64> = table.inexact.values().try_fold(0, |sum: u64, more| sum.checked_add(*more));
        for cell in sent.cells {
            sum = sum.and_then(|sum| sum.checked_add(cell.count));
            let mut read = Cell { count: cell.count, witnesses: BTreeSet::new() };
            for witness in cell.witnesses {
                witness.check().map_err(NotATable::Witness)?;
                read.keep(Witness(witness.canonical().into_owned()));
            }
            if table.cells.insert((cell.from, cell.to), read).is_some() {
                return Err(NotATable::Twice);
            }
        }
        if sum == Some(table.rows) { Ok(table) } else { Err(NotATable::Sum) }
    }
}
