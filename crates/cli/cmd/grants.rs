//! `belljar grants`: approvals that are remembered.

use crate::args::{self, GrantsCommand, Scope};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json::asking;
use crate::ui::{self, Terminal};
use engine::{Engine, Grants, host};
use model::{Action, Door, Endpoint, FilePath, GrantScope, Granted, PathScope, Place, Protocol, Target};

/// Lists, makes or takes back.
pub(crate) fn grants(args: &args::Grants) -> Result<Exit, Failure> {
    let place = host::place(true)?;
    let known = Grants::at(place.state.as_path());
    match &args.command {
        None | Some(GrantsCommand::List) => {
            let all = known.all().map_err(engine::RunError::from)?;
            if args.json { ui::print_json(&asking::grants(&all))? } else { ui::grants(&all)? }
        }
        Some(GrantsCommand::Add { effect, changes, scope, expires, yes }) => {
            let door = if *changes { Door::Review } else { Door::Run };
            let granted = effect_of(door, effect, &place)?;
            let days = expires.as_deref().map(days).transpose()?;
            agree((door, &granted), *scope, days, *yes, args.json)?;
            let scope = match scope {
                Scope::Project => GrantScope::Project { path: place.workspace.clone() },
                Scope::Always => GrantScope::Always,
            };
            let shown = vec![format!("granted by hand: {granted}")];
            let grant = Engine::open(&place)?.grant(door, vec![granted], scope, days, shown)?;
            if args.json { ui::print_json(&asking::grants(&[grant]))? } else { ui::granted(&grant)? }
        }
        Some(GrantsCommand::Revoke { ids, all }) => {
            let found = if *all { known.all() } else { known.find(ids) }.map_err(engine::RunError::from)?;
            if !found.is_empty() {
                Engine::open(&place)?.revoke(&found)?;
            }
            if args.json { ui::print_json(&asking::revoked(&found))? } else { ui::grants_revoked(&found)? }
        }
    }
    Ok(Exit::Ok)
}

/// A person has to have seen what it is.
fn agree(
    (door, granted): (Door, &Granted),
    scope: Scope,
    days: Option<u32>,
    yes: bool,
    json: bool,
) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let place = if scope == Scope::Always { "everywhere" } else { "in this project" };
    let what = format!("{granted} {place} for {} days", days.unwrap_or(engine::grants::DAYS));
    let refused = |message: String| Failure::NeedsPerson { message, hint: "--yes agrees beforehand".into() };
    let Some(mut terminal) = Terminal::open().filter(|_| !json) else {
        return Err(refused(format!("granting needs a person: {what}")));
    };
    let question = match door {
        Door::Run => "Not ask any more before a command does this",
        Door::Review => "Not ask any more before this becomes real",
    };
    match terminal.confirm(&format!("{question}: {what}?"))? {
        true => Ok(()),
        false => Err(refused(format!("not granted: {what}"))),
    }
}

/// Where programs of the system lie: the analyser calls them by their names.
const SYSTEM_BIN: [&[u8]; 6] = [b"/bin", b"/usr/bin", b"/usr/local/bin", b"/sbin", b"/usr/sbin", b"/usr/local/sbin"];

/// The effect that a text names.
fn effect_of(door: Door, text: &str, place: &Place) -> Result<Granted, Failure> {
    let wrong = |message: String| Failure::Usage {
        message: format!("{}: {message}", model::escape::text(text)),
        hint: "for example 'connect registry.npmjs.org:443', 'write target/', 'execute make'".into(),
    };
    let (verb, rest) = text.trim().split_once(' ').ok_or_else(|| wrong("no effect".into()))?;
    let rest = rest.trim();
    let grantable = |action: &Action| !matches!(action, Action::Listen | Action::Signal | Action::Privilege);
    let action = Action::named(verb).filter(grantable).ok_or_else(|| wrong("no verb that can be granted".into()))?;
    let target = match action {
        Action::Connect => Target::Peer(peer(rest).ok_or_else(|| wrong("a peer is HOST:PORT".into()))?),
        Action::Execute if !rest.contains('/') => Target::Program { name: rest.to_owned() },
        _ if rest.is_empty() => return Err(wrong("no path".into())),
        _ => path(rest, place),
    };
    if let (Action::Execute, Target::Path { path, .. }) = (action, &target)
        && path.parent().is_some_and(|dir| SYSTEM_BIN.contains(&dir.as_bytes()))
    {
        return Err(wrong("commands are judged by the name of such a program: leave its directory out".into()));
    }
    engine::consent::grantable(door, action, target, place)
        .map_err(|why| wrong(format!("it can be approved once only: {why}")))
}

fn peer(text: &str) -> Option<Endpoint> {
    let (text, protocol) = match text.strip_suffix("/udp") {
        Some(peer) => (peer, Some(Protocol::Udp)),
        None => (text, None),
    };
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some(Endpoint { host, port: Some(port.parse().ok()?), protocol })
}

/// A path with the links on its way resolved, which is how commands are judged.
fn path(text: &str, place: &Place) -> Target {
    let below = text.strip_prefix("~/").map(|rest| place.home.join(rest));
    let whole = below.unwrap_or_else(|| place.cwd.join(text)).normalise();
    let scope = if text.ends_with('/') { PathScope::Tree } else { PathScope::Exact };
    Target::Path { path: FilePath::from(host::real(whole.as_path())), scope }
}

fn days(text: &str) -> Result<u32, Failure> {
    let (number, times) = match (text.strip_suffix('d'), text.strip_suffix('w')) {
        (Some(days), _) => (days, 1),
        (None, Some(weeks)) => (weeks, 7),
        (None, None) => (text, 1),
    };
    let days = number.parse::<u32>().ok().and_then(|number| number.checked_mul(times));
    days.filter(|days| (1..=engine::grants::DAYS_MAX).contains(days)).ok_or_else(|| Failure::Usage {
        message: format!("--expires {}: no number of days up to a year", model::escape::text(text)),
        hint: "for example --expires 7d".into(),
    })
}
