//! The rule for one thing that was approved. It names all that a rule can see of it.

use super::Approved;
use crate::import::inner;
use crate::replay::request::{On, Part};
use model::{FilePath, PathScope};

impl Approved {
    /// In words, escaped.
    pub(super) fn about(&self) -> String {
        match self {
            Approved::Effect { contained, part, .. } => {
                format!("{}, {}", part.about(), if *contained { "in a jar" } else { "on the bare machine" })
            }
            Approved::Change { path, happened, kind, .. } => {
                let path = FilePath::decode(path).unwrap_or_else(|| path.as_str().into());
                format!("apply: {kind} {path} {happened}")
            }
        }
    }

    pub(super) fn rule(&self) -> String {
        match self {
            Approved::Effect { uid, contained, part } => effect(*uid, *contained, part),
            Approved::Change { uid, path, happened, kind } => {
                let tests = [
                    format!("resource.path == {}", quoted(path)),
                    format!("resource.happened == Happened::{}", quoted(happened)),
                    format!("resource.kind == Kind::{}", quoted(kind)),
                    // Nothing that its name or its content tells.
                    "!resource.executable && !resource.protected && resource.rules.isEmpty()".to_owned(),
                    "context.risk < 2".to_owned(),
                ];
                permit(*uid, "apply", "Change", &tests)
            }
        }
    }
}

fn effect(uid: u32, contained: bool, part: &Part<'_>) -> String {
    let not = |holds: bool| if holds { "" } else { "!" };
    let mut tests = Vec::new();
    let kind = match &part.on {
        On::Path(path) => {
            // A whole directory was approved with all that is below it, but for what nobody could see then.
            let same = format!("resource.path == {}", quoted(&path.path.0));
            tests.push(match path.scope {
                PathScope::Tree => {
                    let below = inner(path.path.0.trim_end_matches('/'), true);
                    format!("({same} || resource.path like \"{below}/*\")")
                }
                _ => same,
            });
            tests.push(match path.scope {
                PathScope::Tree => "!(resource.scope == Scope::\"glob\")".to_owned(),
                _ => "resource.scope == Scope::\"exact\"".to_owned(),
            });
            tests.push("!resource.secret && !resource.protected && !resource.top".to_owned());
            tests.push(format!("resource.location == Location::{}", quoted(path.location.name())));
            "Path"
        }
        On::Peer(peer) => {
            tests.push(format!("resource.host == {}", quoted(&peer.host.0)));
            tests.push(format!("resource.network == Network::{}", quoted(peer.network.name())));
            tests.push(peer.port.map_or("!(resource has port)".to_owned(), |port| {
                format!("resource has port && resource.port == {port}")
            }));
            tests.push(peer.protocol.map_or("!(resource has protocol)".to_owned(), |protocol| {
                format!("resource has protocol && resource.protocol == {}", quoted(protocol.name()))
            }));
            "Peer"
        }
        On::Program(name) => {
            tests.push(format!("resource.name == {}", quoted(&name.0)));
            "Program"
        }
        On::Thing(what) => {
            tests.push(format!("resource.what == {}", quoted(&what.0)));
            "Thing"
        }
        // Nothing is suggested for them; a rule that holds of nothing if it were.
        On::Unknown | On::Command { .. } => {
            tests.push("false".to_owned());
            "Unknown"
        }
    };
    tests.push(format!(
        "{}context.contained && {}context.certain && {}context.reversible",
        not(contained),
        not(!part.uncertain),
        not(!part.lasting)
    ));
    tests.push(format!("context.risk <= {}", part.risk));
    let action = part.action.question().name();
    permit(uid, action, kind, &tests)
}

fn permit(uid: u32, action: &str, kind: &str, tests: &[String]) -> String {
    format!(
        "permit (principal == User::\"{uid}\", action == Action::\"{action}\", resource is {kind})\nwhen {{\n  {}\n}};",
        tests.join("\n  && ")
    )
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", inner(text, false))
}
