//! A request, said piece by piece.

use crate::error::SandboxError;
use crate::request::{KernelRoot, Request};
use crate::running::Ended;
use crate::start::{Mounted, start};
use model::{Confinement, EnvVar, FilePath, Hidden, Layer, Limits, NetRule, Network, RootKind, WritableRoot};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

/// Puts a [`Request`] together. What is not said is closed: the view is read-only but for private temporary directories, the
/// environment is empty, and of the network there is the jar's own loopback.
///
/// ```no_run
/// use belljar_sandbox::{Request, model::Exit, stage_entry};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     // Before anything else: the first process of a jar can be this program, executed again.
///     stage_entry();
///     let ended = Request::builder(["curl", "-sS", "https://example.org"])
///         .env("PATH", "/usr/bin:/bin")
///         .hide("/home/me/.ssh")
///         .allow_net("example.org:443".parse()?)
///         .run()?;
///     println!("{:?}, and was refused {:?}", ended.exit, ended.attempts);
///     assert_eq!(ended.exit, Exit::Code(0));
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RequestBuilder {
    request: Request,
}

impl Request {
    /// For a program, looked up in the jar's `PATH`, and its arguments, in the directory `/`.
    pub fn builder<W: Into<OsString>>(argv: impl IntoIterator<Item = W>) -> RequestBuilder {
        let argv = argv.into_iter().map(Into::into).collect();
        RequestBuilder { request: Request::new(Confinement::closed(FilePath::from("/")), argv) }
    }
}

impl RequestBuilder {
    /// Where it starts: absolute, symbolic links resolved, as all paths here.
    pub fn directory(mut self, path: impl AsRef<Path>) -> Self {
        self.request.confinement.cwd = FilePath::from(path.as_ref());
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let (name, value) = (FilePath::new(name.as_ref()), FilePath::new(value.as_ref()));
        self.request.confinement.env.push(EnvVar { name, value });
        self
    }

    /// These variables of the caller's, where they are set.
    pub fn env_of_caller<'n>(self, names: impl IntoIterator<Item = &'n str>) -> Self {
        names.into_iter().fold(self, |builder, name| match std::env::var_os(name) {
            Some(value) => builder.env(name, value),
            None => builder,
        })
    }

    /// A file or directory that it does not see, whether it exists or not.
    pub fn hide(mut self, path: impl AsRef<Path>) -> Self {
        let hidden = Hidden { path: FilePath::from(path.as_ref()), rule: "hidden".to_owned() };
        self.request.confinement.hidden.push(hidden);
        self
    }

    /// A directory that it may change. The changes go to `upper` by the kernel's overlayfs, in its format with `userxattr`;
    /// `work` is an empty directory on the same file system. The directory itself stays as it is. One that contains
    /// another comes first.
    pub fn write(mut self, root: impl AsRef<Path>, upper: impl AsRef<Path>, work: impl AsRef<Path>) -> Self {
        let index = self.request.confinement.roots.len();
        let path = FilePath::from(root.as_ref());
        self.request.confinement.roots.push(WritableRoot { path, kind: RootKind::Declared });
        let (upper, work) = (FilePath::from(upper.as_ref()), FilePath::from(work.as_ref()));
        self.request.kernel.push(KernelRoot { index, upper, work, or_fuse: false });
        self
    }

    /// A peer that it may reach: a name, `*.name`, an address or a block, with a port and `/udp` where that is meant.
    pub fn allow_net(mut self, rule: NetRule) -> Self {
        match &mut self.request.confinement.network {
            Network::Named { allow, .. } => allow.push(rule),
            none @ Network::None => *none = Network::Named { allow: vec![rule], refuse: Vec::new() },
        }
        self
    }

    /// What it may take.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.request.limits = limits;
        self
    }

    /// A layer that may be missing. Any other missing layer is an error.
    pub fn accept_weak(mut self, layer: Layer) -> Self {
        self.request.accept_weak.push(layer);
        self
    }

    /// The request, for [`start`](crate::start()), [`plan`](crate::plan()) or [`Standby::live`](crate::Standby::live).
    #[must_use]
    pub fn build(self) -> Request {
        self.request
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// [`SandboxError`], with what to do, where the jar cannot be as it was asked for. How the command itself ended is no
    /// error.
    pub fn run(self) -> Result<Ended, SandboxError> {
        start(&self.build(), &mut by_kernel)?.wait()
    }
}

/// For jars whose writable roots are all the kernel's.
///
/// # Errors
/// For a root that is to be served over FUSE.
pub fn by_kernel(_root: usize, mounted: Mounted<'_>) -> io::Result<()> {
    match mounted {
        Mounted::Kernel => Ok(()),
        Mounted::Fuse { .. } => Err(io::Error::other("nobody serves this root over FUSE")),
    }
}
