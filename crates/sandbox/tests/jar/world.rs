//! The world around the jars: namespaces of the suite's own, two users, things to steal, and a way to run a jar.

use model::{Confinement, EnvVar, FilePath, Hidden, RootKind, WritableRoot};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// An id nobody has.
pub const PLAIN_UID: u32 = 44_242;
/// Longest run of the whole suite, in seconds.
const SUITE_SECONDS: &str = "240";
/// What every secret contains.
pub const SECRET: &str = "belljar-test-secret";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    Root,
    Plain,
    /// Whoever runs the suite, without preparation.
    Own,
}

pub struct World {
    pub root: bool,
    /// Readable by both users.
    pub base: PathBuf,
    program: PathBuf,
}

/// As root, goes on in fresh namespaces that end with everything in them.
pub fn isolate() {
    if !nix::unistd::geteuid().is_root() || std::env::var_os("JAR_ISOLATED").is_some() {
        return;
    }
    let me = std::env::current_exe().unwrap();
    let error = Command::new("timeout")
        .args(["-s", "KILL", SUITE_SECONDS, "unshare", "-m", "-p", "-i", "-f", "--mount-proc", "--kill-child"])
        .arg("--propagation=private")
        .arg(me)
        .args(std::env::args_os().skip(1))
        .env("JAR_ISOLATED", "1")
        .exec();
    panic!("isolate the suite: {error}");
}

impl World {
    pub fn new() -> World {
        let root = nix::unistd::geteuid().is_root();
        let base = if root { prepare_as_root() } else { prepare() };
        let program = base.join("jar");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        World { root, base, program }
    }

    pub fn users(&self) -> Vec<User> {
        if self.root { vec![User::Root, User::Plain] } else { vec![User::Own] }
    }

    pub fn clean(&self) {
        if !self.root {
            fs::remove_dir_all(&self.base).unwrap();
        }
    }

    /// This program, at a path every jar can see.
    pub fn program(&self) -> &Path {
        &self.program
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// A command of that user without any jar.
    pub fn bare(&self, user: User, argv: &[&str]) -> Command {
        let (program, arguments) = argv.split_first().unwrap();
        let mut command = match user {
            User::Plain => {
                let id = PLAIN_UID.to_string();
                let mut command = Command::new("setpriv");
                command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--", program]);
                command
            }
            User::Root | User::Own => Command::new(program),
        };
        command.args(arguments).env_clear().envs(environment(user)).current_dir("/").stdin(Stdio::null());
        command
    }

    pub fn jar(&self, user: User) -> Jar<'_> {
        let env = environment(user).into_iter();
        let env = env.map(|(name, value)| EnvVar { name: name.as_str().into(), value: value.as_str().into() });
        let confinement = Confinement { env: env.collect(), ..Confinement::closed(FilePath::from("/")) };
        Jar { world: self, user, confinement, serve: None }
    }
}

/// Where a test user lives; it exists in the suite's own mount namespace only.
fn home(user: User) -> String {
    match user {
        User::Root => "/root".to_owned(),
        User::Plain => "/home/plain".to_owned(),
        User::Own => std::env::var("HOME").unwrap_or_else(|_| "/".to_owned()),
    }
}

fn environment(user: User) -> Vec<(String, String)> {
    let path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin".to_owned();
    vec![("PATH".into(), path), ("HOME".into(), home(user)), ("LANG".into(), "C".into())]
}

fn sh(script: &str) {
    let status = Command::new("sh").args(["-ec", script]).status().unwrap();
    assert!(status.success(), "{script}");
}

/// Private copies of everything a scene touches: nothing here outlives the suite's mount namespace.
fn prepare_as_root() -> PathBuf {
    sh("for d in /tmp /var/tmp /run /home /opt; do mount -t tmpfs -o mode=0755 suite $d; done
        chmod 1777 /tmp /var/tmp
        cp -a /dev/null /tmp/none; rm /tmp/none
        mknod -m 666 /opt/fuse c 10 229; mount --bind /opt/fuse /dev/fuse
        cp -a /etc/passwd /opt/passwd; echo plain:x:44242:44242::/home/plain:/bin/bash >> /opt/passwd
        mount --bind /opt/passwd /etc/passwd
        mkdir -p /home/plain /home/other /opt/t /opt/t/hidden
        chown 44242:44242 /home/plain /opt/t");
    let secrets =
        ["/home/other/key", "/home/plain/own", "/tmp/shared", "/run/secret", "/opt/t/hidden/key", "/opt/t/file"];
    for path in secrets {
        fs::write(path, SECRET).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    }
    PathBuf::from("/opt/t")
}

fn prepare() -> PathBuf {
    let base = PathBuf::from(format!("{}/belljar-test-{}", home(User::Own), std::process::id()));
    fs::create_dir_all(base.join("hidden")).unwrap();
    fs::write(base.join("hidden/key"), SECRET).unwrap();
    fs::write(base.join("file"), SECRET).unwrap();
    base
}

/// A jar about to be run.
pub struct Jar<'a> {
    world: &'a World,
    user: User,
    pub confinement: Confinement,
    serve: Option<PathBuf>,
}

impl Jar<'_> {
    pub fn hide(mut self, path: impl AsRef<Path>) -> Self {
        self.confinement.hidden.push(Hidden { path: path.as_ref().into(), rule: "test".into() });
        self
    }

    pub fn cwd(mut self, path: impl AsRef<Path>) -> Self {
        self.confinement.cwd = path.as_ref().into();
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.confinement.env.push(EnvVar { name: name.into(), value: value.into() });
        self
    }

    /// A writable root, served by a small file system of the runner's.
    pub fn root(mut self, path: impl AsRef<Path>) -> Self {
        self.confinement.roots.push(WritableRoot { path: path.as_ref().into(), kind: RootKind::Declared });
        self
    }

    /// What the runner writes at the end: a JSON of what the sandbox returned.
    pub fn report(mut self, path: impl Into<PathBuf>) -> Self {
        self.serve = Some(path.into());
        self
    }

    pub fn command(&self, argv: &[&str]) -> Command {
        let confinement = serde_json::to_string(&self.confinement).unwrap();
        let program = self.world.program.to_str().unwrap();
        let mut words = vec![program, "jar-run", &confinement, "--"];
        words.extend(argv);
        let mut command = self.world.bare(self.user, &words);
        command.envs(self.serve.iter().map(|path| ("JAR_REPORT", path)));
        // The whole suite is played under the file watch when it is called so.
        command.envs(std::env::var_os("JAR_WATCH_FILES").map(|yes| ("JAR_WATCH_FILES", yes)));
        command
    }

    pub fn output(&self, argv: &[&str]) -> Output {
        self.command(argv).output().unwrap()
    }

    #[track_caller]
    pub fn stdout(&self, argv: &[&str]) -> String {
        let output = self.output(argv);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{argv:?}: {:?} {errors}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }
}
