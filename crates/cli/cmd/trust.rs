//! `belljar trust`: lets a project say more of itself.

use crate::args;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::ui::{self, Terminal};
use engine::{Project, Trust, host, profile, trust};
use model::Place;
use std::path::Path;

/// Shows, trusts, lists or revokes.
pub(crate) fn trust(args: &args::Trust) -> Result<Exit, Failure> {
    let place = place(args.path.as_deref())?;
    let mut known = Trust::load(&place.home)?;
    if args.list {
        return list(&known, args.json);
    }
    if args.revoke {
        let was = known.revoke(&place.workspace)?;
        if args.json {
            ui::print_json(&json::trust(&place.workspace, None, false))?;
        } else {
            ui::revoked(&place.workspace, was)?;
        }
        return Ok(Exit::Ok);
    }
    let project = trust::project(&place)?;
    // What would be trusted must be something that can be used.
    profile::load(&Place { cwd: place.workspace.clone(), ..place.clone() }, None)?;
    if !known.holds(&project) {
        agree(args, &project)?;
        known.add(&project)?;
    }
    if args.json {
        ui::print_json(&json::trust(&place.workspace, Some(&project), true))?;
    } else {
        ui::trusted(&project)?;
    }
    Ok(Exit::Ok)
}

/// The project that holds `path`, or the one here.
fn place(path: Option<&Path>) -> Result<Place, Failure> {
    let place = host::place(true)?;
    let Some(path) = path else { return Ok(place) };
    let failed = |source| Failure::Input { path: path.into(), source };
    let real = path.canonicalize().map_err(failed)?;
    let dir = if real.is_dir() { real.as_path() } else { real.parent().unwrap_or(&real) };
    // The project's own directory is no place of its own.
    let own = dir.ancestors().find(|dir| dir.file_name().is_some_and(|name| name == profile::PROJECT_DIR));
    Ok(host::place_at(&place, own.and_then(Path::parent).unwrap_or(dir)))
}

/// A person has to have seen what it is.
fn agree(args: &args::Trust, project: &Project) -> Result<(), Failure> {
    if args.yes {
        return Ok(());
    }
    let refused = |message: &str| Failure::NeedsPerson {
        message: format!("{message}: {} says {}", project.path, ui::names(project)),
        hint: "look at these files; `belljar trust --yes` trusts them as they are".into(),
    };
    let Some(mut terminal) = Terminal::open().filter(|_| !args.json) else {
        return Err(refused("trusting a project needs a person"));
    };
    match terminal.confirm(&format!("trust what {} says in {}?", project.path, ui::names(project)))? {
        true => Ok(()),
        false => Err(refused("not trusted")),
    }
}

fn list(known: &Trust, json: bool) -> Result<Exit, Failure> {
    // One that cannot be read any more is not what was trusted.
    let holds = |path: &model::FilePath| {
        Project::read(path.as_path()).ok().flatten().is_some_and(|project| known.holds(&project))
    };
    let rows: Vec<_> = known.all().iter().map(|trusted| (trusted, holds(&trusted.path))).collect();
    if json {
        ui::print_json(&json::trust_list(&rows))?;
    } else {
        ui::trust_list(&rows)?;
    }
    Ok(Exit::Ok)
}
