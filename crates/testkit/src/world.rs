//! The world of one test: who runs, where, and the built program in it.

use crate::account::Account;
use crate::leftovers::Leftovers;
use crate::output::Output;
use crate::pty::Pty;
use crate::toolchain;
use crate::tree::Snapshot;
use crate::wait::{Child, until};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where worlds are made: a real disk, and reachable for an ordinary user, which a checkout under /root is not.
const BASE: &str = "/var/tmp";
/// How long processes and mounts of an ended command may take to go: the kernel tears a jar down asynchronously.
const SETTLE: Duration = Duration::from_secs(5);
const PATH_OF_A_USER: &str = "/usr/local/bin:/usr/bin:/bin";

/// A home, a workspace and a state directory of their own, and somebody to run the program there.
///
/// Dropping it fails the test when a process or a mount of the world is still there.
#[derive(Debug)]
pub struct World {
    base: PathBuf,
    exe: PathBuf,
    path: OsString,
    owner: (u32, u32),
    name: String,
    // After the directory is gone, the user may go.
    _account: Option<Account>,
}

impl World {
    /// A world of root. Panics when the tests do not run as root.
    #[must_use]
    pub fn root(exe: &str) -> World {
        assert!(nix::unistd::Uid::effective().is_root(), "this test needs root; tests/run.sh says what else it needs");
        World::new(exe, (0, 0), "root".to_owned(), None)
    }

    /// A world of an ordinary user: made for the occasion when the tests run as root, else whoever runs them.
    #[must_use]
    pub fn user(exe: &str) -> World {
        if nix::unistd::Uid::effective().is_root() {
            let account = Account::hold();
            return World::new(exe, (account.uid, account.gid), account.name.clone(), Some(account));
        }
        let me = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).expect("look me up").expect("I exist");
        World::new(exe, (me.uid.as_raw(), me.gid.as_raw()), me.name, None)
    }

    fn new(exe: &str, owner: (u32, u32), name: String, account: Option<Account>) -> World {
        let place = std::env::var_os("BELLJAR_TEST_DIR").unwrap_or_else(|| BASE.into());
        let made = tempfile::Builder::new().prefix("belljar-test-").tempdir_in(place).expect("make the world");
        let base = fs::canonicalize(made.keep()).expect("resolve the world");
        fs::set_permissions(&base, Permissions::from_mode(0o755)).expect("open the world");
        let exe = hand_over(Path::new(exe), &base);
        let world = World { base, exe, path: PATH_OF_A_USER.into(), owner, name, _account: account };
        for dir in [world.base.clone(), world.home(), world.workspace()] {
            world.make_dir(&dir);
        }
        world.write(&world.home().join(".gitconfig"), GIT_CONFIG);
        world
    }

    /// The directory everything of this world is in.
    #[must_use]
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The home.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.base.join("home")
    }

    /// The workspace, a directory in the home, as most people have it. Commands start here.
    #[must_use]
    pub fn workspace(&self) -> PathBuf {
        self.base.join("home/project")
    }

    /// Where the program keeps its state, in the home, as most people have it.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.base.join("home/.local/state")
    }

    /// The program as this world's user can start it.
    #[must_use]
    pub fn exe(&self) -> &Path {
        &self.exe
    }

    /// Whether commands run as root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.owner.0 == 0
    }

    /// Numeric user and group id of whoever runs the commands.
    #[must_use]
    pub fn owner(&self) -> (u32, u32) {
        self.owner
    }

    /// Writes a file of the world's user, with the directories above it. Relative paths start in the workspace.
    pub fn file(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> &World {
        let path = self.workspace().join(path);
        self.make_dir(path.parent().expect("a file has a parent"));
        self.write(&path, content.as_ref());
        self
    }

    /// Writes a file as [`World::file`] does, and makes it executable.
    pub fn script(&self, path: impl AsRef<Path>, content: &str) -> &World {
        self.file(path.as_ref(), content);
        self.mode(path, 0o755)
    }

    /// Sets permission bits. Relative paths start in the workspace.
    pub fn mode(&self, path: impl AsRef<Path>, mode: u32) -> &World {
        fs::set_permissions(self.workspace().join(path), Permissions::from_mode(mode)).expect("set permissions");
        self
    }

    /// Makes a directory of the world's user. Relative paths start in the workspace.
    pub fn dir(&self, path: impl AsRef<Path>) -> &World {
        self.make_dir(&self.workspace().join(path));
        self
    }

    /// Copies a tree of the checkout into the workspace, owned by the world's user.
    pub fn copy_in(&self, from: &Path, to: impl AsRef<Path>) -> &World {
        let to = self.workspace().join(to);
        self.make_dir(&to);
        let mut inner = from.as_os_str().to_owned();
        inner.push("/.");
        self.must(Command::new("cp").arg("-r").arg(inner).arg(&to));
        self.must(Command::new("chown").arg("-R").arg(format!("{}:{}", self.owner.0, self.owner.1)).arg(&to));
        self
    }

    /// Makes the workspace a git repository with everything in it committed.
    pub fn git_init(&self) -> &World {
        for args in [&["init", "-q"][..], &["add", "-A"], &["commit", "-q", "--allow-empty", "-m", "start"]] {
            self.command("git").args(args).run().success();
        }
        self
    }

    /// Puts a Rust toolchain into the home and on the path, as rustup does.
    pub fn with_rust(&mut self) -> &mut World {
        let bin = toolchain::install(&self.home());
        self.path = [bin.as_os_str(), OsStr::new(":"), &self.path].iter().copied().collect();
        self
    }

    /// What a file holds now; `None` when it is not there. Relative paths start in the workspace.
    #[must_use]
    pub fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let bytes = fs::read(self.workspace().join(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether a name is there, even as a dangling link. Relative paths start in the workspace.
    #[must_use]
    pub fn has(&self, path: impl AsRef<Path>) -> bool {
        self.workspace().join(path).symlink_metadata().is_ok()
    }

    /// The whole home with the workspace, but without Belljar's own state and the toolchain.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.home(), &[".local/state", ".rust"])
    }

    /// Asserts that nothing of the home or the workspace differs from `before`.
    #[track_caller]
    pub fn assert_untouched(&self, before: &Snapshot) {
        // Belljar makes the directories above its state; a `.local` of its own is no trace of the command.
        let own = |line: &String| line.starts_with("+ .local (dir");
        let changed: Vec<_> = before.difference(&self.snapshot()).into_iter().filter(|line| !own(line)).collect();
        assert!(changed.is_empty(), "the host changed:\n{}", changed.join("\n"));
    }

    /// Asserts the whole tree of the workspace, `.git` left out, in the words of [`Snapshot::render`].
    #[track_caller]
    pub fn assert_tree(&self, expected: &str) {
        let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(Snapshot::take(&self.workspace(), &[".git"]).render(), expected.join("\n"));
    }

    /// The program with `args`.
    pub fn belljar<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> Run<'_> {
        self.command(&self.exe).args(args)
    }

    /// Any program, as this world's user, with this world's environment and no other.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Run<'_> {
        let mut env: Vec<(OsString, OsString)> = vec![("PATH".into(), self.path.clone())];
        env.extend([
            ("HOME".into(), self.home().into()),
            ("USER".into(), self.name.clone().into()),
            ("LOGNAME".into(), self.name.clone().into()),
            ("SHELL".into(), "/bin/bash".into()),
            ("LANG".into(), "C.UTF-8".into()),
            ("TZ".into(), "UTC".into()),
            ("TERM".into(), "xterm".into()),
            ("XDG_STATE_HOME".into(), self.state().into()),
            ("XDG_CONFIG_HOME".into(), self.home().join(".config").into()),
        ]);
        let argv = vec![program.as_ref().to_owned()];
        Run { world: self, argv, env, cwd: self.workspace(), stdin: None, group: false, root: false }
    }

    /// The trials of this world that wait, as `belljar trials --json` lists them.
    #[track_caller]
    #[must_use]
    pub fn trials(&self) -> Vec<serde_json::Value> {
        let listed = self.belljar(["trials", "--json"]).run();
        listed.success();
        listed.json()["trials"].as_array().unwrap_or_else(|| panic!("no list{}", listed.report())).clone()
    }

    /// What hangs on this world and is still there after a moment for it to go.
    #[must_use]
    pub fn leftovers(&self) -> Leftovers {
        let mut left = Leftovers::default();
        until(SETTLE, || {
            left = Leftovers::of(&self.base);
            left.is_empty()
        });
        left
    }

    /// `text` with everything that differs from run to run replaced: the world's directory and the user's name.
    #[must_use]
    pub fn normalise(&self, text: &str) -> String {
        let text = text.replace(&self.base.display().to_string(), "<world>");
        if self.is_root() { text } else { text.replace(&self.name, "<user>") }
    }

    fn make_dir(&self, path: &Path) {
        for dir in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
            if dir.starts_with(&self.base) && !dir.is_dir() {
                fs::create_dir(dir).unwrap_or_else(|e| panic!("make {}: {e}", dir.display()));
            }
        }
        for dir in path.ancestors().take_while(|dir| dir.starts_with(&self.base)) {
            self.own(dir);
        }
    }

    fn write(&self, path: &Path, content: impl AsRef<[u8]>) {
        fs::write(path, content).unwrap_or_else(|e| panic!("write {}: {e}", path.display()));
        self.own(path);
    }

    fn own(&self, path: &Path) {
        lchown(path, Some(self.owner.0), Some(self.owner.1)).unwrap_or_else(|e| panic!("own {}: {e}", path.display()));
    }

    fn must(&self, command: &mut Command) {
        let done = command.output().expect("start a set-up command");
        assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let left = self.leftovers();
        sweep(&left);
        // Directories a test made unreadable stop only an ordinary user.
        if fs::remove_dir_all(&self.base).is_err() {
            let _ = Command::new("chmod").args(["-R", "u+rwX"]).arg(&self.base).output();
            let _ = fs::remove_dir_all(&self.base);
        }
        if !std::thread::panicking() {
            assert!(left.is_empty(), "left behind: {left:#?}");
            assert!(!self.base.exists(), "{} cannot be removed", self.base.display());
        }
    }
}

/// Ends what a failed test left: only what hangs on its world, each by its own id.
fn sweep(left: &Leftovers) {
    for (pid, _) in &left.processes {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), nix::sys::signal::Signal::SIGKILL);
    }
    for line in left.mounts.iter().rev() {
        if let Some(point) = line.split(' ').nth(4) {
            let _ = Command::new("umount").arg("-l").arg(point).output();
        }
    }
}

/// The program where an ordinary user can start it: a hard link, or a copy from another file system.
fn hand_over(exe: &Path, base: &Path) -> PathBuf {
    let bin = base.join("bin");
    fs::create_dir(&bin).expect("make the program's directory");
    let to = bin.join("belljar");
    if fs::hard_link(exe, &to).is_err() {
        fs::copy(exe, &to).unwrap_or_else(|e| panic!("copy {}: {e}", exe.display()));
    }
    to
}

const GIT_CONFIG: &str = "[user]\n\tname = Test\n\temail = test@example.com\n[init]\n\tdefaultBranch = main\n";

/// A command about to run.
#[derive(Clone, Debug)]
pub struct Run<'w> {
    world: &'w World,
    argv: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    cwd: PathBuf,
    stdin: Option<Vec<u8>>,
    group: bool,
    root: bool,
}

impl Run<'_> {
    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, args: I) -> Self {
        self.argv.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Puts another program in front, which is to end by executing the rest (`unshare -m sh -c '...; exec "$@"' sh`).
    #[must_use]
    pub fn under<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, wrapper: I) -> Self {
        self.argv.splice(0..0, wrapper.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Starts it in `dir` instead of the workspace.
    #[must_use]
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.cwd = self.cwd.join(dir);
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Takes a variable away.
    #[must_use]
    pub fn unset(mut self, name: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        self
    }

    /// Gives it `text` on standard input; without this the input is empty.
    #[must_use]
    pub fn stdin(mut self, text: impl AsRef<[u8]>) -> Self {
        self.stdin = Some(text.as_ref().to_vec());
        self
    }

    /// Starts it in a process group of its own, so that a whole pipeline can be signalled as a terminal does it.
    #[must_use]
    pub fn in_own_group(mut self) -> Self {
        self.group = true;
        self
    }

    /// Starts it as root in a user's world, for a wrapper that sets something up and then drops to the user itself.
    #[must_use]
    pub fn as_root(mut self) -> Self {
        self.root = true;
        self
    }

    /// Runs it to its end. Output goes through files, so that a left-over process that keeps it open hangs no test.
    #[track_caller]
    #[must_use]
    pub fn run(&self) -> Output {
        let (mut stdout, mut stderr) = (self.scratch(), self.scratch());
        let mut child = self.start(&stdout, &stderr);
        let status = child.wait();
        Output { command: self.line(), status, stdout: all_of(&mut stdout), stderr: all_of(&mut stderr) }
    }

    /// Starts it and returns at once; [`Child::expect`] waits for its output.
    #[track_caller]
    #[must_use]
    pub fn spawn(&self) -> Child {
        self.start(&self.scratch(), &self.scratch())
    }

    /// Starts it on a terminal of its own.
    #[track_caller]
    #[must_use]
    pub fn on_terminal(&self) -> Pty {
        let argv = [OsStr::new("setsid"), OsStr::new("--ctty")].into_iter();
        let argv: Vec<&OsStr> = argv.chain(self.argv.iter().map(OsString::as_os_str)).collect();
        Pty::start(&mut self.command(&argv), self.world.owner)
    }

    fn start(&self, stdout: &File, stderr: &File) -> Child {
        let argv: Vec<&OsStr> = self.argv.iter().map(OsString::as_os_str).collect();
        let mut command = self.command(&argv);
        if self.group {
            command.process_group(0);
        }
        command.stdin(self.input()).stdout(same(stdout)).stderr(same(stderr));
        let child = command.spawn().unwrap_or_else(|e| panic!("start {}: {e}", self.line()));
        Child::new(child, Some(same_file(stdout)))
    }

    fn command(&self, argv: &[&OsStr]) -> Command {
        let mut command = Command::new(argv[0]);
        command.args(&argv[1..]).env_clear().current_dir(&self.cwd);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if nix::unistd::Uid::effective().is_root() && !self.world.is_root() && !self.root {
            // The standard library drops the supplementary groups with these.
            command.gid(self.world.owner.1).uid(self.world.owner.0);
        }
        command
    }

    fn input(&self) -> Stdio {
        let Some(text) = &self.stdin else {
            return Stdio::null();
        };
        let mut file = self.scratch();
        file.write_all(text).and_then(|()| file.rewind()).expect("write standard input");
        Stdio::from(file)
    }

    /// A file without a name: it is gone when the last user of it is.
    fn scratch(&self) -> File {
        tempfile::tempfile_in(&self.world.base).expect("make a scratch file")
    }

    fn line(&self) -> String {
        self.argv.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}

fn same(file: &File) -> Stdio {
    Stdio::from(same_file(file))
}

fn same_file(file: &File) -> File {
    file.try_clone().expect("duplicate a scratch file")
}

fn all_of(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("read the output");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::World;
    use crate::until;
    use std::time::Duration;

    fn worlds() -> Vec<World> {
        let user = World::user("/bin/true");
        if nix::unistd::Uid::effective().is_root() { vec![World::root("/bin/true"), user] } else { vec![user] }
    }

    #[test]
    fn commands_run_as_their_user_with_nothing_of_ours() {
        for world in worlds() {
            let uid = world.owner().0.to_string();
            world.command("sh").args(["-c", "id -u; id -G | wc -w; pwd"]).run().success();
            let seen = world.command("sh").args(["-c", "id -u; id -G | wc -w; pwd"]).run().stdout;
            assert_eq!(seen, format!("{uid}\n1\n{}\n", world.workspace().display()));
            world.command("printenv").args(["CARGO_MANIFEST_DIR"]).run().code(1);
            world.command("cat").stdin("in").run().stdout_is("in");
            world.command("sh").args(["-c", "kill -9 $$"]).run().killed_by(9);
        }
    }

    #[test]
    fn a_change_of_the_host_is_noticed() {
        for world in worlds() {
            world.file("a.txt", "old");
            let before = world.snapshot();
            world.assert_untouched(&before);
            world.command("sh").args(["-c", "echo new > a.txt"]).run().success();
            assert_eq!(before.difference(&world.snapshot()).len(), 2);
            world.assert_tree("a.txt = new");
        }
    }

    #[test]
    fn a_process_left_behind_fails_the_test_and_is_ended() {
        let world = World::user("/bin/true");
        let base = world.base().to_owned();
        world.command("sh").args(["-c", "sleep 300 >/dev/null 2>&1 &"]).run().success();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(world)));
        assert!(caught.unwrap_err().downcast_ref::<String>().unwrap().contains("sleep 300"));
        assert!(until(Duration::from_secs(5), || { crate::leftovers::Leftovers::of(&base).is_empty() }));
        assert!(!base.exists());
    }
}
