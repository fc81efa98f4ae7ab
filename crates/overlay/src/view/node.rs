//! Nodes: the objects of the view the kernel knows, by the inode number the child sees.

use crate::fs::at::Stat;
use nix::errno::Errno;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

/// The root's node number, as FUSE fixes it.
pub(crate) const ROOT: u64 = 1;

/// Numbers we make up ourselves (when two layers use one inode number) start here; no file system counts this far.
const SYNTHETIC: u64 = 1 << 62;

/// Device and inode number of an object in one of the layers.
pub(crate) type Key = (u64, u64);

pub(crate) fn key(stat: &Stat) -> Key {
    (stat.st_dev, stat.st_ino)
}

/// Where an object's own bytes and attributes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the host, untouched.
    Lower,
    /// In the upper layer, under any of the node's links.
    Upper,
    /// Unlinked but perhaps still open.
    Tomb(Tomb),
    /// A removed directory some process still stands in.
    Dead,
}

/// How an unlinked object stays reachable.
#[derive(Clone, Debug)]
pub(crate) enum Tomb {
    /// Under this name in the store's `work`.
    Named(String),
    /// By a descriptor (`O_PATH`); it has no name any more.
    Held {
        fd: Arc<OwnedFd>,
        /// References to it tell how many descriptors there are.
        _token: Arc<()>,
    },
}

impl Tomb {
    /// The names it has although it shows none.
    pub(crate) fn links(&self) -> i64 {
        match self {
            Tomb::Named(_) => 1,
            Tomb::Held { .. } => 0,
        }
    }
}

impl PartialEq for Tomb {
    fn eq(&self, other: &Tomb) -> bool {
        match (self, other) {
            (Tomb::Named(one), Tomb::Named(two)) => one == two,
            (Tomb::Held { fd: one, .. }, Tomb::Held { fd: two, .. }) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }
}

impl Eq for Tomb {}

/// The host object a node shows or was copied from.
#[derive(Clone, Debug)]
pub(crate) struct Lower {
    /// Path below the root of the lower layer.
    pub(crate) rel: PathBuf,
    pub(crate) key: Key,
}

/// One name of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) parent: u64,
    pub(crate) name: OsString,
}

/// One object of the view.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// What the child sees as `st_ino`, except for the root.
    pub(crate) number: u64,
    /// References the kernel holds (FUSE `nlookup`).
    pub(crate) lookups: u64,
    /// `S_IFMT` bits; they never change.
    pub(crate) kind: u32,
    pub(crate) place: Place,
    /// The names known so far; a directory has one, an unlinked object none.
    pub(crate) links: Vec<Link>,
    /// For a file only while its place is `Lower`; for a directory as long as host names show through it.
    pub(crate) lower: Option<Lower>,
    /// The directory's content is hidden by the rule on this lower path.
    pub(crate) hidden: bool,
    /// Shown `st_nlink` minus the real one.
    pub(crate) nlink_delta: i64,
    /// The change time to show although copying up moved the real one.
    pub(crate) frozen_ctime: Option<(i64, i64)>,
    /// The generation in which its content may be written: what the checkpoint before it holds is kept.
    pub(crate) kept: u64,
    /// What a removed directory was like, for those who still stand in it.
    pub(crate) last: Option<Box<Stat>>,
    /// The child made it, so that it carries nothing that only the host can give.
    pub(crate) made_here: bool,
    /// The state of the watches in which its lower directory had one; 0 for none.
    pub(crate) watched: u64,
    keys: Vec<Key>,
}

impl Node {
    /// Nothing is known of it yet.
    fn fresh(number: u64, kind: u32, place: Place, keys: Vec<Key>) -> Node {
        Node {
            number,
            lookups: 0,
            kind,
            place,
            links: Vec::new(),
            lower: None,
            hidden: false,
            nlink_delta: 0,
            frozen_ctime: None,
            kept: 0,
            last: None,
            made_here: false,
            watched: 0,
            keys,
        }
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.kind == libc::S_IFDIR
    }

    /// Whether its own attributes are told whatever the host does to the directory it came from. Those of the root are the
    /// ones it had when the view began, in the layer or not.
    pub(crate) fn is_settled_dir(&self) -> bool {
        self.is_dir() && (self.number == ROOT || self.place != Place::Lower)
    }

    /// Whether the upper layer holds it.
    pub(crate) fn is_upper(&self) -> bool {
        self.place == Place::Upper
    }
}

/// All nodes the kernel holds references to.
pub(crate) struct Table {
    nodes: HashMap<u64, Node>,
    by_key: HashMap<Key, u64>,
    synthetic: u64,
}

impl Table {
    /// A table with the root only, which has an upper half where there is a layer.
    pub(crate) fn new(upper: Option<Key>, lower: Lower) -> Table {
        let mut table = Table { nodes: HashMap::new(), by_key: HashMap::new(), synthetic: SYNTHETIC };
        let keys: Vec<Key> = upper.into_iter().chain([lower.key]).collect();
        let place = if upper.is_some() { Place::Upper } else { Place::Lower };
        table.by_key.extend(keys.iter().map(|k| (*k, ROOT)));
        let fresh = Node::fresh(ROOT, libc::S_IFDIR, place, keys);
        let root = Node { lookups: 1, lower: Some(lower), ..fresh };
        table.nodes.insert(ROOT, root);
        table
    }

    pub(crate) fn get(&self, number: u64) -> Result<&Node, Errno> {
        self.nodes.get(&number).ok_or(Errno::ESTALE)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&number).ok_or(Errno::ESTALE)
    }

    /// All nodes, in no order.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// The node that shows the object `key`, if the kernel knows one.
    pub(crate) fn find(&self, key: Key) -> Option<&Node> {
        self.nodes.get(self.by_key.get(&key)?)
    }

    /// A new node that would like to be `wish`; another number where that is taken.
    pub(crate) fn insert(&mut self, wish: u64, kind: u32, place: Place, keys: &[Key]) -> &mut Node {
        let number = if wish > ROOT && wish < SYNTHETIC && !self.nodes.contains_key(&wish) {
            wish
        } else {
            self.synthetic += 1;
            self.synthetic
        };
        for key in keys {
            self.by_key.insert(*key, number);
        }
        self.nodes.entry(number).or_insert_with(|| Node::fresh(number, kind, place, keys.to_vec()))
    }

    /// Lets `number` be found by one more object, as after copying up.
    pub(crate) fn add_key(&mut self, number: u64, key: Key) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.keys.push(key);
            self.by_key.insert(key, number);
        }
    }

    /// Lets nothing find `number` any more: its object was removed, and the file system may use its inode again.
    pub(crate) fn drop_keys(&mut self, number: u64) {
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        for key in std::mem::take(&mut node.keys) {
            if self.by_key.get(&key) == Some(&number) {
                self.by_key.remove(&key);
            }
        }
    }

    pub(crate) fn add_link(&mut self, number: u64, parent: u64, name: &OsStr) {
        if let Some(node) = self.nodes.get_mut(&number) {
            let link = Link { parent, name: name.to_owned() };
            if node.is_dir() {
                node.links = vec![link];
            } else if !node.links.contains(&link) {
                node.links.push(link);
            }
        }
    }

    pub(crate) fn drop_link(&mut self, number: u64, parent: u64, name: &OsStr) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.links.retain(|link| link.parent != parent || link.name != name);
        }
    }

    /// Gives back `count` references; the node itself when that were all.
    pub(crate) fn forget(&mut self, number: u64, count: u64) -> Option<Node> {
        let node = self.nodes.get_mut(&number)?;
        node.lookups = node.lookups.saturating_sub(count);
        if node.lookups > 0 || number == ROOT {
            return None;
        }
        self.drop_keys(number);
        self.nodes.remove(&number)
    }

    /// A link of `node` whose directory the kernel still holds.
    pub(crate) fn live_link<'n>(&self, node: &'n Node) -> Option<&'n Link> {
        node.links.iter().find(|link| self.nodes.contains_key(&link.parent))
    }
}
