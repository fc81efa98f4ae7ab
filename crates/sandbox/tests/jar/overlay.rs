//! Writable roots: the handshake with whoever serves them, with a file system of one file that can be written.

use crate::world::{PLAIN_UID, User, World};
use crate::{Scene, scene};
use fuser::{
    BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, LockOwner, OpenFlags,
    ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, ReplyWrite, Request, Session, SessionACL, TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

const TTL: Duration = Duration::from_secs(1);
const NOTE: u64 = 2;
const INNER: u64 = 3;

/// `/note`, writable, and `/inner`, a directory to mount on.
struct Tiny {
    note: Mutex<Vec<u8>>,
}

pub fn serve(fd: OwnedFd) -> io::Result<()> {
    let tiny = Tiny { note: Mutex::new(b"from the overlay".to_vec()) };
    let session = Session::from_fd(tiny, fd, SessionACL::All, Config::default())?;
    std::mem::forget(session.spawn()?);
    Ok(())
}

impl Tiny {
    fn attr(&self, ino: u64) -> FileAttr {
        let file = ino == NOTE;
        let size = if file { self.note.lock().unwrap().len() as u64 } else { 0 };
        let t = SystemTime::UNIX_EPOCH;
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        FileAttr {
            ino: INodeNo(ino),
            size,
            blocks: 1,
            atime: t,
            mtime: t,
            ctime: t,
            crtime: t,
            kind: if file { FileType::RegularFile } else { FileType::Directory },
            perm: if file { 0o644 } else { 0o755 },
            nlink: 1,
            uid,
            gid,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for Tiny {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match (parent.0, name.to_str()) {
            (1, Some("note")) => reply.entry(&TTL, &self.attr(NOTE), Generation(0)),
            (1, Some("inner")) => reply.entry(&TTL, &self.attr(INNER), Generation(0)),
            _ => reply.error(Errno::ENOENT),
        }
    }
    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &self.attr(ino.0));
    }
    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        if let Some(size) = size {
            self.note.lock().unwrap().resize(size as usize, 0);
        }
        reply.attr(&TTL, &self.attr(ino.0));
    }
    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        _: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let note = self.note.lock().unwrap();
        reply.data(note.get(offset as usize..).unwrap_or_default());
    }
    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut note = self.note.lock().unwrap();
        let end = offset as usize + data.len();
        if note.len() < end {
            note.resize(end, 0);
        }
        note[offset as usize..end].copy_from_slice(data);
        reply.written(data.len() as u32);
    }
    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let names = [(NOTE, FileType::RegularFile, "note"), (INNER, FileType::Directory, "inner")];
        for (index, (ino, kind, name)) in names.into_iter().enumerate().skip(offset as usize) {
            if reply.add(INodeNo(ino), index as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }
}

const LOOK: &str = "cat note; echo changed > note; cat note; ls; cat /proc/self/mountinfo | grep -c ' - fuse '";

pub fn scenes(world: &World) -> Vec<Scene> {
    let mut scenes = Vec::new();
    if fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_err() {
        println!("skipped: writable roots (/dev/fuse cannot be opened)");
        return scenes;
    }
    for user in world.users() {
        scenes.push(scene(format!("overlay/{user:?}/a root shows and takes what its server says"), move |world| {
            let root = world.path("root-a");
            fs::create_dir_all(&root).unwrap();
            let told = world.jar(user).root(&root).cwd(&root).stdout(&["sh", "-c", LOOK]);
            assert_eq!(told, "from the overlaychanged\ninner\nnote\n1\n");
            assert_eq!(fs::read_dir(&root).unwrap().count(), 0, "the host's directory is untouched");
        }));
        scenes.push(scene(format!("overlay/{user:?}/a root inside a root"), move |world| {
            let root = world.path("root-b");
            fs::create_dir_all(root.join("inner")).unwrap();
            let jar = world.jar(user).root(&root).root(root.join("inner")).cwd(root.join("inner"));
            let told = jar.stdout(&["sh", "-c", "cat note; echo x > note; cat ../note; ls /proc/self/fd | wc -l"]);
            assert_eq!(told, "from the overlayfrom the overlay4\n");
        }));
        scenes.push(scene(format!("overlay/{user:?}/a root in a place the jar covers"), move |world| {
            let root = Path::new("/tmp/deep/er/root");
            fs::create_dir_all(root).unwrap();
            fs::set_permissions("/tmp/deep", fs::Permissions::from_mode(0o777)).unwrap();
            let jar = world.jar(user).root(root).cwd(root);
            assert_eq!(
                jar.stdout(&["sh", "-c", "cat note; ls /tmp /tmp/deep"]),
                "from the overlay/tmp:\ndeep\n\n/tmp/deep:\ner\n"
            );
        }));
        scenes.push(scene(format!("overlay/{user:?}/a server that refuses is a clear error"), move |world| {
            let root = world.path("root-c");
            fs::create_dir_all(&root).unwrap();
            let mut command = world.jar(user).root(&root).cwd(&root).command(&["true"]);
            let output = command.env("JAR_REFUSE_TO_SERVE", "1").output().unwrap();
            let errors = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(125), "{errors}");
            assert!(errors.contains("serve the overlay on"), "{errors}");
        }));
        scenes.push(scene(format!("overlay/{user:?}/a command that is held waits for leave"), move |world| {
            for (word, root) in [("given", Some(world.path("root-held"))), ("given", None), ("dropped", None)] {
                let jar = root.iter().fold(world.jar(user), |jar, root| {
                    fs::create_dir_all(root).unwrap();
                    jar.root(root).cwd(root)
                });
                let output = jar.command(&["sh", "-c", "echo runs >&2"]).env("JAR_LEAVE", word).output().unwrap();
                let errors = String::from_utf8(output.stderr).unwrap();
                match word {
                    "given" => assert_eq!(errors, "given\nruns\n"),
                    _ => assert!(errors.contains("wait for leave") && !errors.contains("runs"), "{errors}"),
                }
                assert_eq!(output.status.success(), word == "given", "{errors}");
            }
        }));
        scenes.push(scene(format!("overlay/{user:?}/the kernel keeps a root"), move |world| {
            let (root, store) = layered(world, &format!("kept-{user:?}"), user);
            let mut command = world.jar(user).root(&root).cwd(&root).command(&["sh", "-c", CHANGE]);
            let output = command.env("JAR_KERNEL", &store).output().unwrap();
            let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{told} {errors}");
            assert_eq!(told, "1\n", "one mount");
            assert_eq!(fs::read_to_string(root.join("d/low")).unwrap(), "low\n", "the host's file is untouched");
            assert_eq!(fs::read_to_string(store.join("upper/d/low")).unwrap(), "low\nmore\n");
            let gone = fs::symlink_metadata(store.join("upper/gone")).unwrap();
            assert!(gone.file_type().is_char_device() && gone.rdev() == 0, "a whiteout");
            assert!(!fs::exists(root.join("new")).unwrap() && fs::exists(store.join("upper/new")).unwrap());
        }));
        scenes.push(scene(format!("overlay/{user:?}/where the kernel refuses"), move |world| {
            let (root, store) = layered(world, &format!("refused-{user:?}"), user);
            // No work directory: what overlayfs refuses it refuses with ENOENT here.
            fs::remove_dir(store.join("work")).unwrap();
            let jar = world.jar(user).root(&root).cwd(&root);
            let output = jar.command(&["cat", "note"]).env("JAR_KERNEL", &store).output().unwrap();
            let errors = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(125), "{errors}");
            assert!(errors.contains("--backend fuse"), "{errors}");
            let mut command = jar.command(&["cat", "note"]);
            let output = command.env("JAR_KERNEL", &store).env("JAR_OR_FUSE", "1").output().unwrap();
            let errors = String::from_utf8(output.stderr).unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), "from the overlay", "{errors}");
            assert!(errors.contains("instead: the kernel refused its overlay"), "{errors}");
        }));
        scenes.push(scene(format!("overlay/{user:?}/a root that is a link is refused"), move |world| {
            let link = world.path(&format!("link-{user:?}"));
            std::os::unix::fs::symlink("/usr", &link).unwrap();
            let output = world.jar(user).root(&link).output(&["true"]);
            let errors = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(125), "{errors}");
            assert!(errors.contains("realpath"), "{errors}");
        }));
    }
    scenes
}

/// What a command may and may not do in a root that the kernel keeps.
const CHANGE: &str = "echo more >> d/low; rm gone; echo x > new; mknod w c 0 0 && exit 7
    mount -t tmpfs t d && exit 8; unshare -U true && exit 9; ! test -w /proc/sys/kernel/hostname || exit 10
    grep -c \" $PWD .* - overlay belljar \" /proc/self/mountinfo";

/// A host directory with something in it, and an empty layer for it.
fn layered(world: &World, name: &str, user: User) -> (PathBuf, PathBuf) {
    let (root, store) = (world.path(name), world.path(&format!("{name}-store")));
    for dir in [&root.join("d"), &store.join("upper"), &store.join("work")] {
        fs::create_dir_all(dir).unwrap();
    }
    fs::write(root.join("d/low"), "low\n").unwrap();
    fs::write(root.join("gone"), "gone\n").unwrap();
    if user == User::Plain {
        let own = format!("chown -R {PLAIN_UID}:{PLAIN_UID} '{}' '{}'", root.display(), store.display());
        assert!(std::process::Command::new("sh").args(["-c", &own]).status().unwrap().success());
    }
    (root, store)
}

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
