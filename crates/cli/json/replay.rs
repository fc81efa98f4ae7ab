//! What a program sees of replays.

use engine::replay::{Decides, Replay, Request, Sides, Table};
use serde_json::{Value, json};

/// `belljar policy replay --json`, schema `belljar.policy-replay/1`.
pub(crate) fn replayed(table: &Table, sides: &Sides, replay: &Replay) -> Value {
    let witness = |request: &Request<'_>| {
        let [a, b] = replay.explain(request).map(|decides| side(&decides));
        json!({"command": request.command(), "a": a, "b": b, "request": request})
    };
    let cells = table.cells().map(|(from, to, cell)| {
        let witnesses: Vec<Value> = cell.witnesses().map(witness).collect();
        json!({"from": from, "to": to, "count": cell.count, "witnesses": witnesses})
    });
    let inexact = table.inexact().map(|(why, count)| json!({"why": why, "count": count}));
    json!({"schema": "belljar.policy-replay/1",
           "a": {"name": sides.a.name(), "sha256": sides.a.sha256()},
           "b": {"name": sides.b.name(), "sha256": sides.b.sha256()},
           "requests": table.rows(),
           "transitions": cells.collect::<Vec<_>>(), "inexact": inexact.collect::<Vec<_>>()})
}

fn side(decides: &Decides) -> Value {
    json!({"decision": decides.verdict, "rules": decides.rules, "about": decides.about})
}
