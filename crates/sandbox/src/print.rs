//! A plan as a person reads it.

use crate::around::Around;
use crate::facts::IdRange;
use crate::plan::{Plan, Step};
use model::Tier;
use std::fmt;

/// One line a step, for people; paths are escaped.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ground.tier {
            Tier::T1 => self.namespaces(f)?,
            Tier::T2 => writeln!(f, "tier T2: no namespaces")?,
        }
        for step in self.walk() {
            writeln!(f, "{step}")?;
        }
        for gap in &self.gaps {
            writeln!(f, "without {}: {}", gap.layer, gap.why)?;
        }
        let words: Vec<String> = self.argv.iter().map(ToString::to_string).collect();
        writeln!(f, "execute {}", words.join(" "))
    }
}

impl Plan {
    fn namespaces(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.ground.namespaces.iter().map(ToString::to_string).collect();
        writeln!(f, "namespaces {}", names.join(", "))?;
        let ranges = |ranges: &[IdRange]| {
            let words: Vec<String> = ranges.iter().map(|range| format!("{}+{}", range.first, range.count)).collect();
            words.join(" ")
        };
        let groups = if self.ground.identity.deny_setgroups { ", setgroups denied" } else { "" };
        let (uids, gids) = (ranges(&self.ground.identity.uids), ranges(&self.ground.identity.gids));
        writeln!(f, "identity uids {uids}, gids {gids}{groups}")?;
        if let Some(Around { door: Some(door) }) = &self.ground.around {
            writeln!(f, "through {door}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Loopback => f.write_str("bring up loopback"),
            Step::Processes { max, .. } => write!(f, "limit processes and threads to {max}"),
            Step::OpenFiles { max } => write!(f, "limit open files to {max}"),
            Step::Network { blocks, over_udp } => {
                let blocks: Vec<String> = blocks.iter().map(ToString::to_string).collect();
                let datagrams = if *over_udp { " and datagrams" } else { "" };
                write!(f, "bring connections{datagrams} to {} to the broker", blocks.join(" "))
            }
            Step::Questions => f.write_str("answer questions about names: there are none"),
            Step::Connections { max } => write!(f, "open {max} connections to /dev/fuse"),
            Step::Kernel { index, lower, upper, .. } => {
                write!(f, "make kernel overlay {index} of {upper} over {lower}")
            }
            Step::Seal => f.write_str("seal every mount: read-only, nosuid, nodev, private"),
            Step::Reopen { strict } => {
                let rule = if *strict { ", or not at all" } else { "" };
                write!(f, "open files among the standard descriptors again, read-only{rule}")
            }
            Step::Scratch => f.write_str("mount the scratch"),
            Step::ScratchSize { max } => write!(f, "limit the scratch to {max} bytes"),
            Step::Directory { at, mode } => write!(f, "make directory {at} {mode:04o}"),
            Step::File { at, mode } => write!(f, "make file {at} {mode:04o}"),
            Step::Text { at, text } => write!(f, "write {} bytes to {at}", text.len()),
            Step::Link { at, to } => write!(f, "make link {at} to {to}"),
            Step::Keep { from, at } => write!(f, "keep {from} as {at}"),
            Step::Freeze { at } => write!(f, "freeze {at}"),
            Step::Terminals { at } => write!(f, "mount devpts on {at}"),
            Step::Replace { from, at } => write!(f, "replace {at} by {from}"),
            Step::Cover { from, at } => write!(f, "cover {at} with {from}"),
            Step::Devices { at } => write!(f, "allow devices below {at}"),
            Step::Proc { at, or_outer, traceable } => {
                let traceable = if *traceable { " of traceable processes" } else { "" };
                let outer = if *or_outer { ", or keep the outer one" } else { "" };
                write!(f, "mount proc{traceable} on {at}{outer}")
            }
            Step::Door { at } => write!(f, "make a door for jars inside at {at}"),
            Step::Scopes => f.write_str("landlock: signals and abstract sockets stay inside"),
            Step::ReadOnly { at } => write!(f, "make {at} read-only"),
            Step::Mask { at } => write!(f, "mask {at}"),
            Step::Without { at, names, .. } => {
                let names: Vec<String> = names.iter().map(ToString::to_string).collect();
                write!(f, "show {at} without {}", names.join(" "))
            }
            Step::Root { index, at } => write!(f, "mount overlay {index} on {at}"),
            Step::AwaitRoots => f.write_str("wait for the overlays"),
            Step::AwaitGo => f.write_str("wait for leave to begin"),
            Step::Landlock { writable } => {
                let paths: Vec<String> = writable.iter().map(ToString::to_string).collect();
                write!(f, "landlock: write only below {}", paths.join(" "))
            }
            Step::Count { max } => write!(f, "count processes and threads at every start of one: {max}"),
            Step::Wall { readable, writable } => {
                let list =
                    |paths: &[model::FilePath]| paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
                write!(f, "landlock: write only below {}; read only below {}", list(writable), list(readable))
            }
            Step::Guard => f.write_str("install the system call filter and its supervisor, which makes connections"),
            Step::DropPrivileges => f.write_str("drop every capability, lock securebits, no new privileges"),
            Step::Enter { at } => write!(f, "enter {at}"),
            Step::Seccomp { watch, nested, files } => {
                let files = if *files { " and the file watch" } else { "" };
                let watch = if *watch { " and the network watch" } else { "" };
                let nested = if *nested { ", open for jars inside" } else { "" };
                write!(f, "install the system call filter{watch}{files}{nested}")
            }
        }
    }
}
