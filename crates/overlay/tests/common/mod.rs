//! A bench: a host directory, a store beside it, and the view mounted over the host directory in a mount namespace of
//! the calling thread, so that the machine never sees it.

use belljar_overlay::{Kernel, Mode, Observed, Overlay, Served, Spec, Tuning};
use model::{FilePath, Hidden};
use nix::mount::{MntFlags, MsFlags};
use nix::sched::CloneFlags;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub struct Bench {
    pub dir: tempfile::TempDir,
    pub hidden: Vec<Hidden>,
}

impl Bench {
    pub fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("host")).unwrap();
        Bench { dir, hidden: Vec::new() }
    }

    pub fn host(&self) -> PathBuf {
        self.dir.path().join("host")
    }

    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    pub fn overlay(&self) -> Overlay {
        if self.store().exists() {
            return Overlay::open(&self.store()).unwrap();
        }
        Overlay::create(&Spec {
            root: FilePath::from(self.host()),
            dir: self.store(),
            hidden: self.hidden.clone(),
            nested: Vec::new(),
            id: "bench".into(),
        })
        .unwrap()
    }

    /// Runs `inside` while the view covers the host directory.
    pub fn mounted<T: Send>(&self, inside: impl FnOnce(&Path) -> T + Send) -> (T, Observed) {
        std::thread::scope(|scope| scope.spawn(|| self.mounted_here(inside)).join().unwrap())
    }

    fn mounted_here<T>(&self, inside: impl FnOnce(&Path) -> T) -> (T, Observed) {
        nix::sched::unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let overlay = self.overlay();
        let served = serve_on(&overlay, &self.host());
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| inside(&self.host())));
        nix::mount::umount2(&self.host(), MntFlags::MNT_DETACH).unwrap();
        let observed = served.finish().unwrap();
        match result {
            Ok(value) => (value, observed),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Runs `inside` while the kernel's overlayfs covers the host directory.
    pub fn kept<T: Send>(&self, inside: impl FnOnce(&Path) -> T + Send) -> T {
        let keep = || {
            nix::sched::unshare(CloneFlags::CLONE_NEWNS).unwrap();
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
            let overlay = self.overlay();
            let kernel = overlay.kernel().unwrap();
            mount_kernel(&self.host(), &kernel);
            kernel.begin().unwrap();
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| inside(&self.host())));
            nix::mount::umount(&self.host()).unwrap();
            drop(kernel);
            overlay.settle().unwrap();
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        std::thread::scope(|scope| scope.spawn(keep).join().unwrap())
    }

    /// The output of a shell script that must succeed, run in the kernel's view.
    pub fn keep(&self, script: &str) -> String {
        self.kept(|root| sh(root, script))
    }

    /// The output of a shell script that must succeed, run in the view.
    pub fn run(&self, script: &str) -> String {
        self.mounted(|root| sh(root, script)).0
    }
}

pub fn mount_fuse(at: &Path) -> OwnedFd {
    let fuse: OwnedFd = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").unwrap().into();
    let options = format!(
        "fd={},rootmode=40000,user_id={},group_id={},default_permissions,allow_other",
        fuse.as_raw_fd(),
        nix::unistd::getuid(),
        nix::unistd::getgid()
    );
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    nix::mount::mount(Some("belljar"), at, Some("fuse"), flags, Some(options.as_str())).unwrap();
    fuse
}

/// As the jar mounts it.
pub fn mount_kernel(at: &Path, kernel: &Kernel) {
    let (upper, work) = (kernel.upper(), kernel.work());
    let layers = format!("lowerdir={},upperdir={upper},workdir={work}", at.display());
    let options = format!("{layers},index=off,metacopy=off,redirect_dir=nofollow,userxattr,volatile");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    nix::mount::mount(Some("belljar"), at, Some("overlay"), flags, Some(options.as_str())).unwrap();
}

/// Names the [`Mode`] everything is served in, for suites that run in each.
pub const MODE: &str = "BELLJAR_TEST_MODE";

pub fn serve_on(overlay: &Overlay, at: &Path) -> Served {
    let mode = std::env::var(MODE).map_or(Mode::default(), |name| name.parse().unwrap());
    overlay.serve_with(mount_fuse(at), Tuning::from(mode)).unwrap()
}

/// Runs a script; `no CMD` in it is a command that must fail, which `! CMD` under `sh -e` does not say.
pub fn sh_output(dir: &Path, script: &str) -> Output {
    let script = format!("no() {{ if \"$@\"; then echo \"did not fail: $*\" >&2; exit 1; fi; }}\n{script}");
    Command::new("sh").arg("-euc").arg(script).current_dir(dir).env("LC_ALL", "C").output().unwrap()
}

#[track_caller]
pub fn sh(dir: &Path, script: &str) -> String {
    let output = sh_output(dir, script);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}\n{}\nout: {out}\nerr: {err}", output.status);
    out.into_owned()
}
