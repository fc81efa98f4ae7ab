//! What is asked of the sandbox, and whether it can be a jar at all.

use crate::bare::Copies;
use crate::error::SandboxError;
use crate::net::Upstream;
use model::{Confinement, EnvVar, FilePath, Layer, Limits};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// One command to run in one jar.
#[derive(Clone, Debug)]
pub struct Request {
    /// The jar.
    pub confinement: Confinement,
    /// The program, looked up in the jar's `PATH`, and its arguments.
    pub argv: Vec<OsString>,
    /// Layers that may be missing. Any other missing layer is an error.
    pub accept_weak: Vec<Layer>,
    /// Roots whose overlay the kernel keeps; the others are served over FUSE.
    pub kernel: Vec<KernelRoot>,
    /// What it may take. Those on the layers are for whoever serves them.
    pub limits: Limits,
    /// Whether a Belljar inside may make jars of its own. That opens user namespaces and mounts, and Landlock does not
    /// rule the file system; the containment says so.
    pub allow_nested: bool,
    /// The proxy by which the host itself reaches the network, where it has no other way.
    pub upstream: Option<Upstream>,
    /// Whether what it takes is measured all along, which costs a little.
    pub measure: bool,
    /// Whether attempts on files and refused system calls are observed, which makes every call that names a file slow.
    pub watch_files: bool,
    /// The copies it works on, where there are no namespaces.
    pub copies: Option<Copies>,
    /// Whether its roots show what the host has, until the command changes that: a program that is not there need not be
    /// looked for through a view.
    pub untouched: bool,
}

/// A writable root over which the jar mounts overlayfs(5) by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRoot {
    /// Index into the roots of the confinement.
    pub index: usize,
    /// The upper layer: absolute, in the format of `userxattr`.
    pub upper: FilePath,
    /// An empty directory beside it, for the kernel.
    pub work: FilePath,
    /// Whether the root is served over FUSE where the kernel refuses.
    pub or_fuse: bool,
}

impl Request {
    /// For a command in a jar with every layer, no limits but the usual one on processes, and nothing given up.
    #[must_use]
    pub fn new(confinement: Confinement, argv: Vec<OsString>) -> Request {
        Request {
            confinement,
            argv,
            accept_weak: Vec::new(),
            kernel: Vec::new(),
            limits: Limits::default(),
            allow_nested: false,
            upstream: None,
            measure: false,
            watch_files: false,
            copies: None,
            untouched: false,
        }
    }

    /// # Errors
    /// [`SandboxError::Request`] with what to change.
    pub(crate) fn check_command(&self) -> Result<(), SandboxError> {
        check_argv(&self.argv)
    }

    /// Whether it can be a jar, whatever runs in it.
    ///
    /// # Errors
    /// As [`Request::check_command`].
    pub(crate) fn check_jar(&self) -> Result<(), SandboxError> {
        self.check_paths()?;
        check_environment(&self.confinement.env)
    }

    fn check_paths(&self) -> Result<(), SandboxError> {
        let confinement = &self.confinement;
        let roots: Vec<&FilePath> = confinement.roots.iter().map(|root| &root.path).collect();
        let hidden = confinement.hidden.iter().map(|hidden| &hidden.path);
        for path in roots.iter().copied().chain(hidden).chain([&confinement.cwd]) {
            if !path.is_absolute() || path.as_bytes().contains(&0) || path.normalise() != *path {
                return refuse(&format!("{path} is not an absolute path in its plain form"));
            }
        }
        for (index, root) in roots.iter().enumerate() {
            if let Some(place) = NEVER_WRITABLE.iter().find(|place| overlaps(root, &FilePath::from(**place))) {
                return refuse(&format!("{root} cannot be a writable root, because the jar has its own {place}"));
            }
            if roots.iter().skip(index + 1).any(|later| root.starts_with(later)) {
                return refuse(&format!("the writable root {root} comes before one that contains it"));
            }
        }
        Ok(())
    }
}

/// # Errors
/// [`SandboxError::Request`] when execve(2) could not take it.
pub(crate) fn check_argv(argv: &[OsString]) -> Result<(), SandboxError> {
    if argv.is_empty() {
        return refuse("the command is empty");
    }
    if argv.iter().any(|word| word.as_bytes().contains(&0)) {
        return refuse("an argument contains a NUL byte");
    }
    Ok(())
}

/// # Errors
/// [`SandboxError::Request`] when execve(2) could not take it.
pub(crate) fn check_environment(env: &[EnvVar]) -> Result<(), SandboxError> {
    for variable in env {
        let (name, value) = (variable.name.as_bytes(), variable.value.as_bytes());
        if name.is_empty() || name.contains(&b'=') || name.contains(&0) || value.contains(&0) {
            return refuse(&format!("{} cannot be the name or value of a variable", variable.name));
        }
    }
    Ok(())
}

/// Kernel file systems; an overlay over one of them, or over all of `/`, would take the jar's own away.
const NEVER_WRITABLE: &[&str] = &["/proc", "/sys", "/dev"];

fn overlaps(root: &FilePath, place: &FilePath) -> bool {
    root.starts_with(place) || place.starts_with(root)
}

fn refuse(why: &str) -> Result<(), SandboxError> {
    Err(SandboxError::Request(why.to_owned()))
}
