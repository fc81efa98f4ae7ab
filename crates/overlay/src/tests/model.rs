//! A file system in memory, small enough to be read whole, as the third opinion: random operations must give the same
//! errors, trees, link counts, open files and inode relations in it, in a native directory and in the view.

use super::laws::{Op, errno, native, op, overlaid, parts, path};
use crate::testing::{Bench, View, native_tree};
use nix::errno::Errno;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

type Id = usize;

enum Kind {
    File(Vec<u8>),
    Link(&'static str),
    Dir(BTreeMap<String, Id>),
}

struct Inode {
    kind: Kind,
    mode: u32,
    links: u32,
}

/// Inode 0 is the root. Nothing is ever taken out, so an unlinked file stays for those who hold it.
struct Model {
    inodes: Vec<Inode>,
}

/// A name in a directory that exists.
struct Spot {
    dir: Id,
    name: String,
    there: Option<Id>,
}

impl Model {
    fn new() -> Model {
        Model { inodes: vec![Inode { kind: Kind::Dir(BTreeMap::new()), mode: 0o755, links: 1 }] }
    }

    fn names(&self, dir: Id) -> Result<&BTreeMap<String, Id>, Errno> {
        match &self.inodes[dir].kind {
            Kind::Dir(names) => Ok(names),
            // No link of these tests leads anywhere.
            Kind::Link(_) => Err(Errno::ENOENT),
            Kind::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn names_mut(&mut self, dir: Id) -> &mut BTreeMap<String, Id> {
        match &mut self.inodes[dir].kind {
            Kind::Dir(names) => names,
            _ => panic!("a spot is in a directory"),
        }
    }

    fn is_dir(&self, id: Id) -> bool {
        matches!(self.inodes[id].kind, Kind::Dir(_))
    }

    fn spot(&self, path: &str) -> Result<Spot, Errno> {
        let mut parts: Vec<&str> = path.split('/').collect();
        let name = parts.pop().unwrap().to_owned();
        let mut dir = 0;
        for part in parts {
            dir = *self.names(dir)?.get(part).ok_or(Errno::ENOENT)?;
        }
        let there = self.names(dir)?.get(&name).copied();
        Ok(Spot { dir, name, there })
    }

    fn find(&self, path: &str) -> Result<Id, Errno> {
        self.spot(path)?.there.ok_or(Errno::ENOENT)
    }

    fn add(&mut self, spot: Spot, kind: Kind, mode: u32) -> Result<(), Errno> {
        if spot.there.is_some() {
            return Err(Errno::EEXIST);
        }
        self.inodes.push(Inode { kind, mode, links: 1 });
        let id = self.inodes.len() - 1;
        self.names_mut(spot.dir).insert(spot.name, id);
        Ok(())
    }

    fn drop_name(&mut self, spot: &Spot) {
        if let Some(id) = self.names_mut(spot.dir).remove(&spot.name) {
            self.inodes[id].links -= 1;
        }
    }

    fn apply(&mut self, op: &Op) -> Result<(), Errno> {
        match op {
            Op::Write(p, n) => match self.spot(p)? {
                Spot { there: Some(id), .. } => match &mut self.inodes[id].kind {
                    Kind::File(bytes) => {
                        *bytes = vec![*n];
                        Ok(())
                    }
                    Kind::Dir(_) => Err(Errno::EISDIR),
                    Kind::Link(_) => Ok(()),
                },
                spot => self.add(spot, Kind::File(vec![*n]), 0o644),
            },
            Op::Mkdir(p) => self.spot(p).and_then(|spot| self.add(spot, Kind::Dir(BTreeMap::new()), 0o755)),
            Op::Symlink(p) => self.spot(p).and_then(|spot| self.add(spot, Kind::Link("to"), 0o777)),
            Op::Link(a, b) => {
                let (id, spot) = (self.find(a)?, self.spot(b)?);
                match spot.there {
                    Some(_) => Err(Errno::EEXIST),
                    None if self.is_dir(id) => Err(Errno::EPERM),
                    None => {
                        self.inodes[id].links += 1;
                        self.names_mut(spot.dir).insert(spot.name, id);
                        Ok(())
                    }
                }
            }
            Op::Unlink(p) => match self.spot(p)? {
                Spot { there: None, .. } => Err(Errno::ENOENT),
                Spot { there: Some(id), .. } if self.is_dir(id) => Err(Errno::EISDIR),
                spot => {
                    self.drop_name(&spot);
                    Ok(())
                }
            },
            Op::Rmdir(p) => {
                let spot = self.spot(p)?;
                let names = match &self.inodes[spot.there.ok_or(Errno::ENOENT)?].kind {
                    Kind::Dir(names) => names,
                    _ => return Err(Errno::ENOTDIR),
                };
                if !names.is_empty() {
                    return Err(Errno::ENOTEMPTY);
                }
                self.drop_name(&spot);
                Ok(())
            }
            Op::Rename(a, b, flag) => self.rename(&self.spot(a)?, &self.spot(b)?, *flag),
            Op::Chmod(p, mode) => {
                let id = self.find(p)?;
                if !matches!(self.inodes[id].kind, Kind::Link(_)) {
                    self.inodes[id].mode = *mode;
                }
                Ok(())
            }
            Op::Truncate(p, n) => {
                let id = self.find(p)?;
                if let Kind::File(bytes) = &mut self.inodes[id].kind {
                    bytes.resize((*n).into(), 0);
                }
                Ok(())
            }
            // What the tree does not tell.
            Op::SetXattr(p, _) => self.find(p).map(drop),
            Op::Mkfifo(_) | Op::SetTime(..) | Op::Reopen => Ok(()),
        }
    }

    /// 2 is `RENAME_NOREPLACE`, 3 `RENAME_EXCHANGE`.
    fn rename(&mut self, from: &Spot, to: &Spot, flag: u8) -> Result<(), Errno> {
        let source = from.there.ok_or(Errno::ENOENT)?;
        match (to.there, flag) {
            (Some(_), 2) => return Err(Errno::EEXIST),
            (None, 3) => return Err(Errno::ENOENT),
            _ => {}
        }
        if self.holds(source, to.dir) {
            return Err(Errno::EINVAL);
        }
        if to.there.is_some_and(|target| self.holds(target, from.dir)) {
            return Err(if flag == 3 { Errno::EINVAL } else { Errno::ENOTEMPTY });
        }
        if to.there == Some(source) {
            return Ok(());
        }
        if let (Some(target), 0..=2) = (to.there, flag) {
            match (self.is_dir(source), &self.inodes[target].kind) {
                (true, Kind::Dir(names)) if !names.is_empty() => return Err(Errno::ENOTEMPTY),
                (true, Kind::Dir(_)) | (false, Kind::File(_) | Kind::Link(_)) => {}
                (true, _) => return Err(Errno::ENOTDIR),
                (false, _) => return Err(Errno::EISDIR),
            }
            self.drop_name(to);
        }
        self.names_mut(from.dir).remove(&from.name);
        if let (Some(target), 3) = (to.there, flag) {
            self.names_mut(from.dir).insert(from.name.clone(), target);
        }
        self.names_mut(to.dir).insert(to.name.clone(), source);
        Ok(())
    }

    /// Whether `below` is the directory `above` or somewhere in it.
    fn holds(&self, above: Id, below: Id) -> bool {
        let inner = |id: &Id| self.holds(*id, below);
        self.is_dir(above) && (above == below || self.names(above).is_ok_and(|names| names.values().any(inner)))
    }

    /// Every path, as [`native_tree`] tells it, and its inode.
    fn tree(&self) -> BTreeMap<String, (String, Id)> {
        let mut out = BTreeMap::new();
        let mut waiting = vec![(String::new(), 0)];
        while let Some((above, dir)) = waiting.pop() {
            for (name, id) in self.names(dir).unwrap() {
                let path = format!("{above}{name}");
                let inode = &self.inodes[*id];
                let (kind, links, body) = match &inode.kind {
                    Kind::File(bytes) => (libc::S_IFREG, inode.links, String::from_utf8_lossy(bytes).into_owned()),
                    Kind::Link(target) => (libc::S_IFLNK, inode.links, (*target).to_owned()),
                    Kind::Dir(_) => (libc::S_IFDIR, 0, String::new()),
                };
                if kind == libc::S_IFDIR {
                    waiting.push((format!("{path}/"), *id));
                }
                out.insert(path, (format!("{:o} {links} {body}", kind | inode.mode), *id));
            }
        }
        out
    }
}

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    Do(Op),
    /// A program opens a file, and keeps it open from then on.
    Hold(String),
    /// It writes to every file it holds.
    Poke(u8),
}

/// What copies up no symbolic link or pipe: one of several names parts from the others then, having no attributes of ours.
fn kept_op() -> impl Strategy<Value = Op> {
    op().prop_filter("parts hard links", |op| !matches!(op, Op::Mkfifo(_) | Op::SetTime(..)))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => kept_op().prop_map(Step::Do),
        1 => path().prop_map(Step::Hold),
        1 => any::<u8>().prop_map(Step::Poke),
    ]
}

/// The three, with the files that are open in each.
struct Trio {
    bench: Bench,
    twin: PathBuf,
    view: View,
    model: Model,
    open: Vec<(Id, File, u64)>,
    /// Numbers the view has told, by inode of the model.
    numbers: BTreeMap<Id, u64>,
}

impl Trio {
    fn new(before: &[Op]) -> Trio {
        let bench = Bench::new();
        let twin = bench.dir.join("twin");
        fs::create_dir(&twin).unwrap();
        let mut model = Model::new();
        for op in before {
            if parts(&twin, op) {
                continue;
            }
            for root in [bench.host(), twin.clone()] {
                let _ = native(&root, op);
            }
            let _ = model.apply(op);
        }
        let view = bench.view();
        Trio { bench, twin, view, model, open: Vec::new(), numbers: BTreeMap::new() }
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Do(Op::Reopen) => self.reopen(),
            Step::Do(op) => {
                let (model, twin, view) = (self.model.apply(op), native(&self.twin, op), overlaid(&self.view, op));
                prop_assert_eq!(model, twin, "{:?}: model and native", op);
                prop_assert_eq!(model, view, "{:?}: model and view", op);
            }
            Step::Hold(path) => self.hold(path),
            Step::Poke(n) => self.poke(*n),
        }
        self.check_open()
    }

    fn reopen(&mut self) {
        self.open.clear();
        self.view = self.bench.view();
        // A copied symbolic link cannot say what it was copied from, and a number that was made up, because the file
        // system had used one again that the kernel still knew, is not made up again.
        let keeps = |id: &Id| !matches!(self.model.inodes[*id].kind, Kind::Link(_));
        self.numbers.retain(|id, number| keeps(id) && *number < 1 << 62);
    }

    fn hold(&mut self, path: &str) {
        let Ok(id) = self.model.find(path) else { return };
        if matches!(self.model.inodes[id].kind, Kind::File(_)) {
            let file = OpenOptions::new().read(true).write(true).open(self.twin.join(path)).unwrap();
            self.open.push((id, file, self.view.hold(path).unwrap()));
        }
    }

    fn poke(&mut self, n: u8) {
        for (id, file, number) in &self.open {
            if let Kind::File(bytes) = &mut self.model.inodes[*id].kind {
                bytes.resize(bytes.len().max(usize::from(n % 8) + 1), 0);
                bytes[usize::from(n % 8)] = n;
            }
            file.write_all_at(&[n], u64::from(n % 8)).unwrap();
            self.view.layers.write_data(*number, u64::from(n % 8), &[n], false).unwrap();
        }
    }

    /// Open files have the content and the link count that they have natively, also without a name.
    fn check_open(&self) -> Result<(), TestCaseError> {
        for (id, file, number) in &self.open {
            let inode = &self.model.inodes[*id];
            let Kind::File(bytes) = &inode.kind else { continue };
            let mut read = vec![0; 512];
            let n = file.read_at(&mut read, 0).map_err(errno).unwrap();
            prop_assert_eq!(&read[..n], bytes.as_slice(), "native, open inode {}", id);
            let seen = self.view.layers.read_data(*number, 0, 512).unwrap();
            prop_assert_eq!(&seen, bytes, "view, open inode {}", id);
            let stat = self.view.layers.getattr(*number).unwrap().stat;
            prop_assert_eq!(stat.st_nlink, u64::from(inode.links), "links of open inode {}", id);
        }
        Ok(())
    }

    /// The same tree everywhere, and numbers that are equal exactly where the inode is one and never change.
    fn check_tree(&mut self, host: &BTreeMap<String, String>) -> Result<(), TestCaseError> {
        let tree = self.model.tree();
        let told: BTreeMap<String, String> =
            tree.iter().map(|(path, (body, _))| (path.clone(), body.clone())).collect();
        prop_assert_eq!(&native_tree(&self.twin), &told, "native and model");
        prop_assert_eq!(&self.view.tree(), &told, "view and model");
        prop_assert_eq!(&native_tree(&self.bench.host()), host, "the host is untouched");
        let mut seen: BTreeMap<u64, Id> = BTreeMap::new();
        for (path, (_, id)) in &tree {
            let number = self.view.stat(path).unwrap().number;
            prop_assert_eq!(*seen.entry(number).or_insert(*id), *id, "{} has another's number", path);
            prop_assert_eq!(*self.numbers.entry(*id).or_insert(number), number, "the number of {} changed", path);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn model_native_and_view_agree(
        before in proptest::collection::vec(kept_op(), 0..24),
        steps in proptest::collection::vec(step(), 1..32),
    ) {
        let mut trio = Trio::new(&before);
        let host = native_tree(&trio.bench.host());
        for step in &steps {
            trio.step(step)?;
            trio.check_tree(&host)?;
        }
    }
}
