//! `run --learn`: where the profile goes, and what the options of the run were as a profile has them.

use crate::args;
use crate::failure::Failure;
use crate::ui;
use engine::Profile;
use engine::Request;
use engine::learn::Learn;
use model::{FilePath, Limits, Place};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Where a profile goes that nobody named a file for.
const FILE: &str = "learned.toml";

/// The file for the profile: looked at before the run, so that one that cannot be written stops it.
pub(crate) fn target(args: &args::Run) -> Result<Option<PathBuf>, Failure> {
    let Some(file) = &args.learn else { return Ok(None) };
    let path = file.clone().unwrap_or_else(|| FILE.into());
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |source| Failure::Report { path: path.as_path().into(), source };
    if path.symlink_metadata().is_ok() && !args.overwrite {
        return Err(Failure::Usage {
            message: format!("--learn would overwrite {}; nothing has run", ui::os(path.as_os_str())),
            hint: "name another file, --learn=FILE, or add --overwrite".into(),
        });
    }
    if !dir.is_dir() {
        return Err(failed(io::ErrorKind::NotADirectory.into()));
    }
    nix::unistd::access(dir, nix::unistd::AccessFlags::W_OK).map_err(|errno| failed(errno.into()))?;
    Ok(Some(path))
}

/// What the run has besides its profile, in the words of one. Paths are absolute already.
pub(crate) fn asked(args: &args::Run, profile: &Profile, request: &Request, place: &Place) -> Learn {
    let mut profile = profile.clone();
    let encode = |paths: &[FilePath]| paths.iter().map(|path| short(place, path)).collect();
    profile.write = encode(&request.write);
    profile.read = encode(&request.read);
    profile.hide = encode(&request.hide);
    profile.allow_net = request.allow_net.clone();
    profile.limits = Limits { ..request.limits };
    profile.backend = args.backend.map(|_| request.backend).or(profile.backend);
    profile.apply = args.apply.map(|_| request.apply).or(profile.apply);
    profile.accept_weak.extend(args.accept_weak.iter().filter_map(|word| super::run::layer(word).ok()));
    profile.accept_weak.sort();
    profile.accept_weak.dedup();
    let mut valued = Vec::new();
    for (name, value) in &request.pass_env {
        let Some(name) = name.to_str() else { continue };
        if value.is_none() && !profile.pass.iter().any(|known| known == name) {
            profile.pass.push(name.to_owned());
        }
        if value.is_some() && !profile.set.contains_key(name) {
            valued.push(name.to_owned());
        }
    }
    profile.pass.sort();
    valued.sort();
    Learn { profile, valued }
}

/// As short as a profile has it.
fn short(place: &Place, path: &FilePath) -> String {
    match path.strip_prefix(&place.home).filter(|rest| !rest.as_bytes().is_empty()) {
        Some(rest) => format!("~/{}", rest.encode()),
        None => path.encode(),
    }
}

/// Writes the profile: a new file, or in the place of the one that was to be overwritten.
pub(crate) fn write(path: &Path, text: &str, overwrite: bool) -> Result<(), Failure> {
    let written = if overwrite { replace(path, text) } else { create(path, text) };
    written.map_err(|source| Failure::Learnt { path: path.into(), text: text.to_owned(), source })
}

fn create(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new.{}", std::process::id()));
    let new = PathBuf::from(name);
    create(&new, text).and_then(|()| fs::rename(&new, path)).inspect_err(|_| drop(fs::remove_file(&new)))
}
