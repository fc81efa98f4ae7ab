//! `belljar policy replay`: what another policy would decide differently on what was recorded.

use crate::args;
use crate::cmd::audit::time;
use crate::cmd::select;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{json, ui};
use engine::audit::query::Filter;
use engine::replay::{self, Feed, Part, Side, Sides};
use engine::{AuditLog, ReplayError, RunError, host};
use model::FilePath;
use nix::sys::stat::{SFlag, fstat};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::thread::available_parallelism;

/// Replays the log, or requests; or as a worker a part of them.
pub(crate) fn replay(args: &args::Replay) -> Result<Exit, Failure> {
    let place = host::place(true)?;
    let sides = Sides { a: Side::load(&place, &args.a)?, b: Side::load(&place, &args.b)? };
    let all = available_parallelism().map_or(1, usize::from);
    let threads = args.threads.map_or(all, usize::from);
    if args.worker {
        // Somebody else decides on how many there are of it.
        let threads = args.threads.map_or(1, usize::from);
        let table = replay::replay(STDIN, &sides, threads, |feed| feed.lines(io::stdin().lock()))?;
        ui::print_line(&Part::new(&sides, table))?;
        return Ok(Exit::Ok);
    }
    let of_the_log = args.log || args.since.is_some() || args.until.is_some();
    let table = match &args.requests {
        path if args.merge => {
            let (name, input) = open(path.as_deref())?;
            replay::merge(&name, BufReader::new(input), &sides)?
        }
        None if of_the_log || !is_input() => {
            let filter = Filter {
                since_ms: args.since.as_deref().map(time).transpose()?,
                until_ms: args.until.as_deref().map(time).transpose()?,
                ..Filter::default()
            };
            let (engine, _) = select::open()?;
            replay::replay("the audit log", &sides, threads, |feed| feed_log(feed, engine.audit(), &filter))?
        }
        path => {
            let (name, input) = open(path.as_deref())?;
            let table = replay::replay(&name, &sides, threads, |feed| feed.lines(input))?;
            if table.rows() == 0 {
                // Whoever meant the log must not take this for its answer.
                return Err(RunError::from(ReplayError::Empty { name }).into());
            }
            table
        }
    };
    let explaining = sides.replay()?;
    if args.json {
        ui::print_json(&json::replayed(&table, &sides, &explaining))?;
    } else {
        ui::replayed(&table, &sides, &explaining)?;
    }
    Ok(Exit::Ok)
}

const STDIN: &str = "standard input";

/// Whether standard input is something that was meant to be read.
fn is_input() -> bool {
    let kind = fstat(io::stdin()).map(|meta| SFlag::from_bits_truncate(meta.st_mode) & SFlag::S_IFMT);
    kind.is_ok_and(|kind| kind == SFlag::S_IFREG || kind == SFlag::S_IFIFO)
}

fn open(path: Option<&Path>) -> Result<(String, Box<dyn Read>), Failure> {
    match path.filter(|path| path.as_os_str() != "-") {
        None => Ok((STDIN.to_owned(), Box::new(io::stdin().lock()))),
        Some(path) => {
            let file = File::open(path).map_err(|source| Failure::Input { path: FilePath::from(path), source })?;
            Ok((path.to_string_lossy().into_owned(), Box::new(file)))
        }
    }
}

fn feed_log(feed: &mut Feed<'_>, log: &AuditLog, filter: &Filter) -> Result<(), RunError> {
    let mut fed = Ok(());
    log.read(|record| {
        if fed.is_ok()
            && filter.takes(&record)
            && let Some(request) = replay::request(&record)
        {
            fed = feed.request(&request);
        }
    })?;
    fed
}
