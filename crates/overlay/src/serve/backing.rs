//! Passthrough: files whose content the kernel reads and writes by itself, in the layers' own files.
//!
//! The kernel's rules: an inode has at most one backing file while it is open anywhere, every open of it meanwhile
//! names that one, and an inode that is open without one gets none (`fs/fuse/iomode.c`). So what the first open
//! decides holds until the last release.

use crate::view::layers::{Layers, lock};
use fuser::{BackingId, ReplyCreate, ReplyOpen};
use nix::errno::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What the opens of one inode share.
struct Shared {
    /// `None`: its content is served by messages.
    backing: Option<Backing>,
    opens: u64,
}

#[derive(Clone)]
struct Backing {
    id: Arc<BackingId>,
    /// Whether it is the jar's own copy, which may be written.
    own: bool,
}

/// How an open is to be answered.
pub(crate) enum Way {
    Messages,
    Through(Arc<BackingId>),
    /// The kernel must look the name up again: it gets another inode, because this one shows what the host has.
    Again,
}

/// The open inodes of one connection.
#[derive(Default)]
pub(crate) struct Backings {
    open: Mutex<HashMap<u64, Shared>>,
    refused: AtomicBool,
}

/// A reply that can register a backing file.
pub(crate) trait Registers {
    fn register(&self, file: &File) -> std::io::Result<BackingId>;
}

impl Registers for ReplyOpen {
    fn register(&self, file: &File) -> std::io::Result<BackingId> {
        self.open_backing(file.as_fd())
    }
}

impl Registers for ReplyCreate {
    fn register(&self, file: &File) -> std::io::Result<BackingId> {
        self.open_backing(file.as_fd())
    }
}

impl Backings {
    /// Decides how the node `number` is opened, and counts it. Files smaller than `least` bytes go by messages.
    pub(crate) fn open(
        &self,
        layers: &Layers,
        number: u64,
        write: bool,
        least: u64,
        reply: &impl Registers,
    ) -> Result<Way, Errno> {
        let mut open = lock(&self.open);
        let known = match open.get(&number) {
            Some(shared) => shared.backing.clone(),
            None => self.backing(layers, number, write, least, reply)?,
        };
        let way = match &known {
            None => Way::Messages,
            Some(backing) if !backing.own && (write || layers.has_copy(number)?) => {
                layers.outdate(number)?;
                return Ok(Way::Again);
            }
            Some(backing) => Way::Through(Arc::clone(&backing.id)),
        };
        if write && known.is_some() {
            layers.thaw(number)?;
        }
        open.entry(number).or_insert(Shared { backing: known, opens: 0 }).opens += 1;
        Ok(way)
    }

    /// Takes one open back.
    pub(crate) fn release(&self, number: u64) {
        let mut open = lock(&self.open);
        let Some(shared) = open.get_mut(&number) else {
            return;
        };
        shared.opens -= 1;
        if shared.opens == 0 {
            open.remove(&number);
        }
    }

    /// Registers the file behind a node nobody has open, where that is worth it and the kernel takes it.
    fn backing(
        &self,
        layers: &Layers,
        number: u64,
        write: bool,
        least: u64,
        reply: &impl Registers,
    ) -> Result<Option<Backing>, Errno> {
        if self.refused.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let Some((file, own)) = layers.backing(number, write, least)? else {
            return Ok(None);
        };
        match reply.register(&file) {
            Ok(id) => Ok(Some(Backing { id: Arc::new(id), own })),
            Err(error) => {
                // EPERM without the rights of root: nothing else will be taken either. ELOOP and EOPNOTSUPP tell of
                // this file's file system only.
                if error.kind() == std::io::ErrorKind::PermissionDenied {
                    self.refused.store(true, Ordering::Relaxed);
                }
                Ok(None)
            }
        }
    }
}
