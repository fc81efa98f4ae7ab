//! The FUSE adapter: requests in, answers out. Translation only.
//!
//! What trades speed stands in [`Tuning`]; locks are the kernel's own.

use crate::effects::journal::Op;
use crate::effects::{Asked, Effects};
use crate::serve::backing::{Backings, Way};
use crate::serve::teller;
use crate::serve::tuning::{Mode, Tuning};
use crate::view::create::Owner;
use crate::view::layers::{Attr, Layers, Seen};
use crate::view::rename::Spot;
use crate::view::setattr::Changes;
use crate::view::watch::Belief;
use fuser::{
    Errno as FuseErrno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request,
    TimeOrNow, WriteFlags,
};
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use std::cell::RefCell;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long it may believe what only the jar changes. The kernel takes it for ever.
const OWN_TTL: Duration = Duration::from_secs(1 << 30);
/// Largest write of one request.
const WRITE_BYTES_MAX: u32 = 1 << 20;
/// Requests the kernel may have under way in the background (readahead).
const BACKGROUND_MAX: u16 = 64;

/// What the connection is asked for; each is used where the kernel offers it.
const WANTED: [InitFlags; 8] = [
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_ASYNC_DIO,
    InitFlags::FUSE_CACHE_SYMLINKS,
    InitFlags::FUSE_AUTO_INVAL_DATA,
    InitFlags::FUSE_HANDLE_KILLPRIV_V2,
    InitFlags::FUSE_NO_OPENDIR_SUPPORT,
];

thread_local! {
    /// Reused, because fresh memory of the size of a large read costs more than the read.
    static READ_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One mounted view.
pub(crate) struct Mount {
    layers: Arc<Layers>,
    effects: Option<Arc<Effects>>,
    tuning: Tuning,
    /// In [`Mode::Passthrough`], where the kernel can do it.
    backings: Option<Backings>,
    /// For who tells the kernel of the host's changes.
    channel: Option<OwnedFd>,
    open_without_message: AtomicBool,
    opendir_without_message: AtomicBool,
}

impl Mount {
    pub(crate) fn new(
        layers: Arc<Layers>,
        effects: Option<Arc<Effects>>,
        tuning: Tuning,
        channel: Option<OwnedFd>,
    ) -> Mount {
        let (open_without_message, opendir_without_message) = (AtomicBool::new(false), AtomicBool::new(false));
        Mount { layers, effects, tuning, backings: None, channel, open_without_message, opendir_without_message }
    }

    /// Notes who changed a name, while whoever it was still waits for the answer.
    fn by_name(&self, req: &Request, op: Op, parent: INodeNo, name: &OsStr) {
        if let Some(effects) = &self.effects {
            effects.name(Asked { layers: &self.layers, thread: req.pid() }, op, parent.0, name);
        }
    }

    /// Notes who changed an object.
    fn by_node(&self, req: &Request, op: Op, ino: INodeNo) {
        if let Some(effects) = &self.effects {
            effects.node(Asked { layers: &self.layers, thread: req.pid() }, op, ino.0);
        }
    }

    /// Notes who moved a name.
    fn by_move(&self, req: &Request, from: Spot<'_>, to: Spot<'_>, flags: nix::fcntl::RenameFlags) {
        let exchange = flags.contains(nix::fcntl::RenameFlags::RENAME_EXCHANGE);
        let op = if exchange { Op::Exchange } else { Op::Rename };
        if let Some(effects) = &self.effects {
            effects.moved(Asked { layers: &self.layers, thread: req.pid() }, op, from, to);
        }
    }

    fn ttl(&self, belief: Belief) -> Duration {
        match belief {
            Belief::Own => OWN_TTL,
            Belief::Watched => self.tuning.watched_ttl,
            Belief::Host => self.tuning.host_ttl,
        }
    }

    /// How long the kernel may believe `attr`.
    fn ttl_of(&self, attr: &Attr) -> Duration {
        self.ttl(attr.belief)
    }

    fn answer_attr(&self, reply: ReplyAttr, result: Result<Attr, Errno>) {
        match result {
            Ok(attr) => {
                let mut shown = file_attr(&attr);
                shown.ino = INodeNo(attr.stat.st_ino);
                reply.attr(&self.ttl_of(&attr), &shown);
            }
            Err(errno) => reply.error(fuse_errno(errno)),
        }
    }

    /// Answers with a name, known or not.
    fn entry(&self, reply: ReplyEntry, result: Result<Attr, Errno>) {
        match result {
            Ok(attr) => {
                let ttl = self.ttl_of(&attr);
                reply.entry_with_ttls(&ttl, &ttl, &file_attr(&attr), Generation(0));
            }
            Err(errno) => reply.error(fuse_errno(errno)),
        }
    }
}

impl Filesystem for Mount {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let offered = config.capabilities();
        for wanted in WANTED {
            // An error only says that this kernel does not offer it.
            let _ = config.add_capabilities(wanted);
        }
        if self.tuning.mode == Mode::WriteBack {
            let _ = config.add_capabilities(InitFlags::FUSE_WRITEBACK_CACHE);
        }
        if self.tuning.mode == Mode::Passthrough
            && config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_ok()
            && config.set_max_stack_depth(1).is_ok()
        {
            self.backings = Some(Backings::default());
        }
        if !self.tuning.mode.tells_opens() {
            let _ = config.add_capabilities(InitFlags::FUSE_NO_OPEN_SUPPORT);
            *self.open_without_message.get_mut() = offered.contains(InitFlags::FUSE_NO_OPEN_SUPPORT);
        }
        let expires = offered.contains(InitFlags::FUSE_HAS_EXPIRE_ONLY);
        if let Some(fuse) = self.channel.take().filter(|_| expires && self.tuning.watched_ttl > self.tuning.host_ttl) {
            self.layers.watches.arm(&self.layers, Box::new(move || teller::start(fuse)));
        }
        *self.opendir_without_message.get_mut() = offered.contains(InitFlags::FUSE_NO_OPENDIR_SUPPORT);
        let limits = [config.set_max_write(WRITE_BYTES_MAX).is_ok(), config.set_max_background(BACKGROUND_MAX).is_ok()];
        if limits.contains(&false) { Err(Errno::EPROTO.into()) } else { Ok(()) }
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.layers.look(parent.0, name) {
            Ok(Seen::Absent(belief)) => {
                // Node 0 tells the kernel that it may remember the absence.
                let mut attr = file_attr(&Attr { stat: crate::sys::zeroed_stat(), number: 0, belief });
                attr.ino = INodeNo(0);
                reply.entry_with_ttls(&self.ttl(belief), &self.ttl(belief), &attr, Generation(0));
            }
            Ok(Seen::There(attr)) => self.entry(reply, Ok(attr)),
            Err(errno) => self.entry(reply, Err(errno)),
        }
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        // There is nobody to tell; an unlinked file that stays is removed when the store is next cleaned.
        let _ = self.layers.forget(ino.0, nlookup);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        self.answer_attr(reply, self.layers.getattr(ino.0));
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let changes = Changes { size, uid, gid, mode, atime: atime.map(time_spec), mtime: mtime.map(time_spec) };
        let op = if size.is_some() { Op::Truncate } else { Op::Setattr };
        let done = self.layers.setattr(ino.0, changes).inspect(|_| self.by_node(req, op, ino));
        self.answer_attr(reply, done);
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        match self.layers.readlink(ino.0) {
            Ok(target) => reply.data(target.as_bytes()),
            Err(errno) => reply.error(fuse_errno(errno)),
        }
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let op = if mode & libc::S_IFMT == libc::S_IFREG { Op::Create } else { Op::Mknod };
        let done = self.layers.mknod(parent.0, name, mode, rdev.into(), owner(req));
        self.entry(reply, done.inspect(|_| self.by_name(req, op, parent, name)));
    }

    fn mkdir(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, _umask: u32, reply: ReplyEntry) {
        let done = self.layers.mkdir(parent.0, name, mode, owner(req));
        self.entry(reply, done.inspect(|_| self.by_name(req, Op::Mkdir, parent, name)));
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.layers.unlink(parent.0, name);
        answer(reply, done.inspect(|()| self.by_name(req, Op::Unlink, parent, name)));
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.layers.rmdir(parent.0, name);
        answer(reply, done.inspect(|()| self.by_name(req, Op::Rmdir, parent, name)));
    }

    fn symlink(&self, req: &Request, parent: INodeNo, link_name: &OsStr, target: &Path, reply: ReplyEntry) {
        let done = self.layers.symlink(parent.0, link_name, target.as_os_str(), owner(req));
        self.entry(reply, done.inspect(|_| self.by_name(req, Op::Symlink, parent, link_name)));
    }

    fn rename(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let Some(flags) = nix::fcntl::RenameFlags::from_bits(flags.bits()) else {
            return reply.error(FuseErrno::EINVAL);
        };
        let (from, to) = (Spot { parent: parent.0, name }, Spot { parent: newparent.0, name: newname });
        let done = self.layers.rename(from, to, flags);
        answer(reply, done.inspect(|()| self.by_move(req, from, to, flags)));
    }

    fn link(&self, req: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        let done = self.layers.link(ino.0, newparent.0, newname);
        self.entry(reply, done.inspect(|_| self.by_name(req, Op::Link, newparent, newname)));
    }

    fn open(&self, req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if self.open_without_message.load(Ordering::Relaxed) {
            // The kernel opens by itself from now on, and keeps its cache.
            return reply.error(FuseErrno::ENOSYS);
        }
        let write = flags.acc_mode() != OpenAccMode::O_RDONLY;
        if write {
            self.by_node(req, Op::Open, ino);
        }
        let Some(backings) = &self.backings else {
            return reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
        };
        match backings.open(&self.layers, ino.0, write, self.tuning.passthrough_bytes, &reply) {
            Ok(Way::Messages) => reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            Ok(Way::Through(id)) => reply.opened_passthrough(FileHandle(0), FopenFlags::empty(), &id),
            Ok(Way::Again) => reply.error(FuseErrno::ESTALE),
            Err(errno) => reply.error(fuse_errno(errno)),
        }
    }

    fn release(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        if let Some(backings) = &self.backings {
            backings.release(ino.0);
        }
        reply.ok();
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        READ_BUFFER.with_borrow_mut(|buffer| {
            let size = usize::try_from(size).unwrap_or(0);
            if buffer.len() < size {
                buffer.resize(size, 0);
            }
            let part = buffer.get_mut(..size).unwrap_or_default();
            match self.layers.read_into(ino.0, offset, part) {
                Ok(filled) => reply.data(part.get(..filled).unwrap_or_default()),
                Err(errno) => reply.error(fuse_errno(errno)),
            }
        });
    }

    fn write(
        &self,
        req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let drop_privileges = write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        match self.layers.write_data(ino.0, offset, data, drop_privileges) {
            Ok(written) => {
                self.by_node(req, Op::Write, ino);
                reply.written(u32::try_from(written).unwrap_or(u32::MAX));
            }
            Err(errno) => reply.error(fuse_errno(errno)),
        }
    }

    fn flush(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _lock_owner: LockOwner, reply: ReplyEmpty) {
        // Nothing is held back here, so the kernel need not ask again.
        reply.error(FuseErrno::ENOSYS);
    }

    fn fsync(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, datasync: bool, reply: ReplyEmpty) {
        answer(reply, self.layers.sync(ino.0, datasync));
    }

    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        if self.opendir_without_message.load(Ordering::Relaxed) {
            return reply.error(FuseErrno::ENOSYS);
        }
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR);
    }

    fn readdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listing = match self.layers.read_dir(ino.0, offset) {
            Ok(listing) => listing,
            Err(errno) => return reply.error(fuse_errno(errno)),
        };
        for (place, number, name) in self.dots(ino.0).into_iter().filter(|dot| dot.0 > offset) {
            if reply.add(INodeNo(number), place, FileType::Directory, name) {
                return reply.ok();
            }
        }
        let first = listing.partition_point(|item| item.place <= offset);
        for item in listing.iter().skip(first) {
            if reply.add(INodeNo(item.ino), item.place, file_type(item.kind), &item.name) {
                return reply.ok();
            }
        }
        self.layers.drop_listing(ino.0);
        reply.ok();
    }

    fn readdirplus(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        let listing = match self.layers.read_dir(ino.0, offset) {
            Ok(listing) => listing,
            Err(errno) => return reply.error(fuse_errno(errno)),
        };
        for (place, number, name) in self.dots(ino.0).into_iter().filter(|dot| dot.0 > offset) {
            // The kernel takes no reference for these two, so a rough answer does.
            let mut attr = file_attr(&Attr { stat: crate::sys::zeroed_stat(), number, belief: Belief::Host });
            attr.kind = FileType::Directory;
            if reply.add(INodeNo(number), place, name, &Duration::ZERO, &attr, Generation(0)) {
                return reply.ok();
            }
        }
        let first = listing.partition_point(|item| item.place <= offset);
        for item in listing.iter().skip(first) {
            let attr = match self.layers.lookup(ino.0, &item.name) {
                Ok(attr) => attr,
                // It went since the directory was read.
                Err(_) => continue,
            };
            let full = reply.add(
                INodeNo(attr.number),
                item.place,
                &item.name,
                &self.ttl_of(&attr),
                &file_attr(&attr),
                Generation(0),
            );
            if full {
                // This one was not sent: its reference comes back.
                let _ = self.layers.forget(attr.number, 1);
                return reply.ok();
            }
        }
        self.layers.drop_listing(ino.0);
        reply.ok();
    }

    fn fsyncdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, datasync: bool, reply: ReplyEmpty) {
        answer(reply, self.layers.sync(ino.0, datasync));
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        match self.layers.statfs() {
            Ok(s) => {
                let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
                reply.statfs(
                    s.blocks,
                    s.free,
                    s.available,
                    s.files,
                    s.files_free,
                    small(s.block_size),
                    small(s.name_max),
                    small(s.fragment_size),
                );
            }
            Err(errno) => reply.error(fuse_errno(errno)),
        }
    }

    fn setxattr(
        &self,
        req: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let done = self.layers.set_xattr(ino.0, name, value, flags);
        answer(reply, done.inspect(|()| self.by_node(req, Op::Xattr, ino)));
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        match self.layers.get_xattr(ino.0, name) {
            Ok(Some(value)) => answer_bytes(reply, &value, size),
            Ok(None) => reply.error(FuseErrno::ENODATA),
            Err(errno) => reply.error(fuse_errno(errno)),
        }
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        match self.layers.list_xattr(ino.0) {
            Ok(names) => {
                let mut bytes = Vec::new();
                for name in names {
                    bytes.extend_from_slice(name.as_bytes());
                    bytes.push(0);
                }
                answer_bytes(reply, &bytes, size);
            }
            Err(errno) => reply.error(fuse_errno(errno)),
        }
    }

    fn removexattr(&self, req: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.layers.remove_xattr(ino.0, name);
        answer(reply, done.inspect(|()| self.by_node(req, Op::Xattr, ino)));
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let done = self.layers.create(parent.0, name, mode, owner(req));
        let attr = match done.inspect(|_| self.by_name(req, Op::Create, parent, name)) {
            Ok(attr) => attr,
            Err(errno) => return reply.error(fuse_errno(errno)),
        };
        let way = self.backings.as_ref().map(|backings| backings.open(&self.layers, attr.number, true, 0, &reply));
        let (ttl, shown, fh) = (self.ttl_of(&attr), file_attr(&attr), FileHandle(0));
        match way {
            Some(Ok(Way::Through(id))) => {
                reply.created_passthrough(&ttl, &shown, Generation(0), fh, FopenFlags::empty(), &id);
            }
            Some(Err(errno)) => reply.error(fuse_errno(errno)),
            _ => reply.created(&ttl, &shown, Generation(0), fh, FopenFlags::FOPEN_KEEP_CACHE),
        }
    }

    fn fallocate(
        &self,
        req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let done = self.layers.allocate(ino.0, mode, offset, length);
        answer(reply, done.inspect(|()| self.by_node(req, Op::Write, ino)));
    }

    fn lseek(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        if self.tuning.mode == Mode::WriteBack {
            // Data the kernel has not handed over yet would be taken for a hole: it shall take all for data.
            return reply.error(FuseErrno::ENOSYS);
        }
        match self.layers.seek(ino.0, offset, whence) {
            Ok(offset) => reply.offset(offset),
            Err(errno) => reply.error(fuse_errno(errno)),
        }
    }

    fn copy_file_range(
        &self,
        req: &Request,
        ino_in: INodeNo,
        _fh_in: FileHandle,
        offset_in: u64,
        ino_out: INodeNo,
        _fh_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: fuser::CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        match self.layers.copy_range((ino_in.0, offset_in), (ino_out.0, offset_out), len) {
            Ok(copied) => {
                self.by_node(req, Op::Write, ino_out);
                reply.written(u32::try_from(copied).unwrap_or(u32::MAX));
            }
            Err(errno) => reply.error(fuse_errno(errno)),
        }
    }
}

impl Mount {
    /// Place, number and name of `.` and `..`.
    fn dots(&self, number: u64) -> [(u64, u64, &'static str); 2] {
        [(1, number, "."), (2, self.layers.parent_of(number), "..")]
    }
}

fn answer(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(fuse_errno(errno)),
    }
}

/// The protocol of getxattr(2): size 0 asks how much there is.
fn answer_bytes(reply: ReplyXattr, bytes: &[u8], size: u32) {
    match u32::try_from(bytes.len()) {
        Ok(len) if size == 0 => reply.size(len),
        Ok(len) if len <= size => reply.data(bytes),
        _ => reply.error(FuseErrno::ERANGE),
    }
}

fn owner(req: &Request) -> Owner {
    Owner { uid: req.uid(), gid: req.gid() }
}

fn fuse_errno(errno: Errno) -> FuseErrno {
    FuseErrno::from_i32(errno as i32)
}

fn file_attr(attr: &Attr) -> FileAttr {
    let stat = &attr.stat;
    FileAttr {
        ino: INodeNo(attr.number),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
        atime: system_time(stat.st_atime, stat.st_atime_nsec),
        mtime: system_time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: system_time(stat.st_ctime, stat.st_ctime_nsec),
        crtime: UNIX_EPOCH,
        kind: file_type(stat.st_mode & libc::S_IFMT),
        perm: u16::try_from(stat.st_mode & 0o7777).unwrap_or(0),
        nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: u32::try_from(stat.st_rdev).unwrap_or(0),
        blksize: u32::try_from(stat.st_blksize).unwrap_or(4_096),
        flags: 0,
    }
}

fn file_type(kind: u32) -> FileType {
    match kind {
        libc::S_IFDIR => FileType::Directory,
        libc::S_IFLNK => FileType::Symlink,
        libc::S_IFIFO => FileType::NamedPipe,
        libc::S_IFSOCK => FileType::Socket,
        libc::S_IFCHR => FileType::CharDevice,
        libc::S_IFBLK => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

/// Seconds may be negative (before 1970); nanoseconds count forward from them all the same.
fn system_time(seconds: i64, nanoseconds: i64) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let base = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    let part = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0));
    base.and_then(|time| time.checked_add(part)).unwrap_or(UNIX_EPOCH)
}

fn time_spec(time: TimeOrNow) -> TimeSpec {
    match time {
        TimeOrNow::Now => TimeSpec::UTIME_NOW,
        TimeOrNow::SpecificTime(time) => match time.duration_since(UNIX_EPOCH) {
            Ok(after) => TimeSpec::new(i64::try_from(after.as_secs()).unwrap_or(i64::MAX), after.subsec_nanos().into()),
            Err(before) => before_epoch(before.duration()),
        },
    }
}

/// What the kernel sent of a time before 1970. `fuser` (0.18) takes the nanoseconds, which count forward, off the
/// seconds: `before` is both their numbers as they came, and not the distance from 1970.
fn before_epoch(before: Duration) -> TimeSpec {
    let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
    TimeSpec::new(-seconds, before.subsec_nanos().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_keep_their_nanoseconds() {
        for (seconds, nanoseconds) in [(0, 0), (1, 999_999_999), (-1, 1), (-5, 0), (-5, 999_999_999)] {
            // As the library makes it of the two numbers in a request.
            let whole = Duration::new(i64::unsigned_abs(seconds), nanoseconds);
            let sent = if seconds < 0 { UNIX_EPOCH - whole } else { UNIX_EPOCH + whole };
            let spec = time_spec(TimeOrNow::SpecificTime(sent));
            assert_eq!((spec.tv_sec(), spec.tv_nsec()), (seconds, i64::from(nanoseconds)));
        }
    }

    #[test]
    fn times_before_1970_are_shown_with_nanoseconds_that_count_forward() {
        assert_eq!(system_time(-1, 999_999_999), UNIX_EPOCH - Duration::from_nanos(1));
        assert_eq!(system_time(-2, 0), UNIX_EPOCH - Duration::from_secs(2));
    }
}
