//! Telling the kernel what it must not believe any longer (`FUSE_NOTIFY_INVAL_ENTRY`, `FUSE_NOTIFY_INVAL_INODE`;
//! linux/fuse.h, fs/fuse/dev.c).
//!
//! The kernel takes the lock of the directory for it, and whoever holds that lock may be waiting for an answer of ours.
//! So this is a thread that holds no lock and that nobody waits for. It also has a channel of the connection and a table
//! of descriptors of its own: when this process is killed while the thread waits in the kernel, the other channels are
//! closed all the same, which ends the requests they had taken, and with them the wait.
//!
//! Names are made to expire (`FUSE_EXPIRE_ONLY`), not dropped: dropping takes a directory away under those who stand in
//! it, and mounts on it too.

use crate::sys;
use crate::view::watch::{Notice, Notices};
use nix::sched::CloneFlags;
use std::fs::File;
use std::io::{IoSlice, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

const INVAL_INODE: i32 = 2;
const INVAL_ENTRY: i32 = 3;
/// Since Linux 6.2; `FUSE_HAS_EXPIRE_ONLY` says so.
const EXPIRE_ONLY: u32 = 1;
/// Length, code and unique number (0) of a notice.
const HEADER_BYTES: usize = 16;

/// Everything is told again after this long: an answer that was on its way the first time, and from before the change,
/// has arrived by then.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// So many notices wait for that at most.
const AGAIN_MAX: usize = 65_536;

/// Starts a thread that tells what it is sent, until the sender goes away. `session` is any channel of the connection.
///
/// # Errors
/// No thread, or no channel of its own can be had.
pub(crate) fn start(session: OwnedFd) -> std::io::Result<Notices> {
    let (notices, to_tell) = sync_channel(16);
    let (say_ready, ready) = sync_channel(1);
    let session = Arc::new(session);
    let copied = Arc::clone(&session);
    std::thread::Builder::new().name("tell".into()).spawn(move || live(copied, &say_ready, &to_tell))?;
    // Until then the thread reads the descriptor.
    ready.recv().map_err(|_| std::io::Error::other("the thread that tells the kernel ended early"))??;
    Ok(notices)
}

fn live(session: Arc<OwnedFd>, ready: &SyncSender<std::io::Result<()>>, to_tell: &Receiver<Vec<Notice>>) {
    let own = own_channel(&session);
    // Closed by its other owner, in the table they share or shared.
    drop(session);
    match own {
        Ok(own) => {
            let _ = ready.send(Ok(()));
            tell_all(&own, to_tell);
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
}

/// A channel that is open in this thread only, as nothing else is.
fn own_channel(session: &OwnedFd) -> std::io::Result<File> {
    nix::sched::unshare(CloneFlags::CLONE_FILES)?;
    let own = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
    sys::clone_fuse(own.as_fd(), session.as_fd())?;
    sys::close_all_but(own.as_fd())?;
    Ok(own)
}

fn tell_all(fuse: &File, to_tell: &Receiver<Vec<Notice>>) {
    let mut again: Vec<Notice> = Vec::new();
    loop {
        let next = if again.is_empty() {
            to_tell.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            to_tell.recv_timeout(AGAIN_AFTER)
        };
        match next {
            Ok(notices) => {
                tell(fuse, &notices);
                if again.len() > AGAIN_MAX {
                    tell(fuse, &std::mem::take(&mut again));
                }
                again.extend(notices);
            }
            Err(RecvTimeoutError::Timeout) => tell(fuse, &std::mem::take(&mut again)),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn tell(fuse: &File, notices: &[Notice]) {
    for notice in notices {
        // What the kernel does not know (ENOENT) it does not believe either. Any other refusal says that the connection
        // has ended.
        let _ = match notice {
            Notice::Name { parent, name } => expire_name(fuse, *parent, name.as_bytes()),
            Notice::Attributes(number) => forget_node(fuse, *number, -1),
            Notice::Names(number) => forget_node(fuse, *number, 0),
        };
    }
}

/// `struct fuse_notify_inval_entry_out`, then the name and a zero byte.
fn expire_name(fuse: &File, parent: u64, name: &[u8]) -> std::io::Result<()> {
    let len = u32::try_from(name.len()).unwrap_or(u32::MAX);
    let mut body = Vec::with_capacity(name.len() + 17);
    body.extend_from_slice(&parent.to_ne_bytes());
    body.extend_from_slice(&len.to_ne_bytes());
    body.extend_from_slice(&EXPIRE_ONLY.to_ne_bytes());
    body.extend_from_slice(name);
    body.push(0);
    send(fuse, INVAL_ENTRY, &body)
}

/// `struct fuse_notify_inval_inode_out`: the attributes, and from `offset` on the cached pages; none if it is negative.
fn forget_node(fuse: &File, number: u64, offset: i64) -> std::io::Result<()> {
    let mut body = [0; 24];
    for (to, from) in body.chunks_exact_mut(8).zip([number.to_ne_bytes(), offset.to_ne_bytes(), [0; 8]]) {
        to.copy_from_slice(&from);
    }
    send(fuse, INVAL_INODE, &body)
}

/// `struct fuse_out_header`, in which a notice has its code where an answer has its error.
fn send(mut fuse: &File, code: i32, body: &[u8]) -> std::io::Result<()> {
    let len = u32::try_from(HEADER_BYTES + body.len()).unwrap_or(u32::MAX);
    let mut header = [0; HEADER_BYTES];
    let fields = len.to_ne_bytes().into_iter().chain(code.to_ne_bytes());
    header.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
    fuse.write_vectored(&[IoSlice::new(&header), IoSlice::new(body)]).map(drop)
}
