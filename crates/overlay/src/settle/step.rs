//! One step of an apply: doing it, taking it back, and tidying up after it. Each is idempotent.

use crate::changes::diff::open_own;
use crate::fs::at::{self, Stat};
use crate::fs::parents::Parents;
use crate::fs::remove;
use crate::fs::xattr;
use crate::overlay::Overlay;
use crate::settle::journal::{Action, Running, Step};
use crate::store::sync_dir;
use crate::view::copy_up::{self, Content, Purpose};
use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

/// Called at every point where a crash leaves another state; tests die in it.
pub(crate) type Fault<'f> = &'f dyn Fn();

/// A name in an open directory.
pub(crate) struct Spot {
    pub(crate) dir: Arc<OwnedFd>,
    pub(crate) name: OsString,
}

impl Spot {
    fn itself(dir: OwnedFd) -> Spot {
        Spot { dir: Arc::new(dir), name: at::dot().to_owned() }
    }

    pub(crate) fn stat(&self) -> Result<Option<Stat>, Errno> {
        at::stat_opt(&self.dir, &self.name)
    }

    pub(crate) fn rename(&self, to: &Spot, flags: RenameFlags) -> Result<(), Errno> {
        let go = || at::forced(&[&self.dir], || at::rename(&self.dir, &self.name, &to.dir, &to.name, flags));
        match go() {
            Err(Errno::EACCES) => {}
            other => return other,
        }
        // A directory that changes its parent is written to, which its own mode may withhold from its owner.
        let Some(stat) = self.stat()?.filter(at::is_dir) else {
            return Err(Errno::EACCES);
        };
        let dir = at::open_dir(&self.dir, &self.name)?;
        at::chmod_open(&dir, (stat.st_mode & 0o7777) | 0o200).map_err(|_| Errno::EACCES)?;
        let renamed = go();
        at::chmod_open(&dir, stat.st_mode & 0o7777)?;
        renamed
    }
}

/// Works through the steps of one journal.
pub(crate) struct Worker<'w> {
    pub(crate) overlay: &'w Overlay,
    pub(crate) running: Running,
    pub(crate) pre: Arc<OwnedFd>,
    pub(crate) fault: Fault<'w>,
    /// Its journal was begun by this process.
    pub(crate) fresh: bool,
    host: RefCell<Parents>,
    upper: RefCell<Parents>,
}

impl<'w> Worker<'w> {
    pub(crate) fn new(overlay: &'w Overlay, running: Running, pre: OwnedFd, fault: Fault<'w>) -> Worker<'w> {
        let host = RefCell::new(Parents::new(|root, rel| at::open_beneath(root, rel)));
        let upper = RefCell::new(Parents::new(open_own));
        Worker { overlay, running, pre: Arc::new(pre), fault, fresh: false, host, upper }
    }
}

impl Worker<'_> {
    /// Does what is left of `step`.
    pub(crate) fn perform(&mut self, step: &Step) -> Result<(), Errno> {
        self.forget_moved(step);
        match step.action {
            Action::Stash | Action::Remove => self.take_away(step),
            Action::Place { stash } => self.place(step, stash),
            Action::Put => self.put(step),
            Action::Make => self.make(step),
            Action::Attributes => self.attributes(step),
        }
    }

    /// Takes back what was done of `step`.
    pub(crate) fn revert(&mut self, step: &Step) -> Result<(), Errno> {
        self.host.borrow_mut().forget();
        self.upper.borrow_mut().forget();
        match step.action {
            Action::Stash | Action::Remove => self.bring_back(step),
            Action::Place { stash } => self.unplace(step, stash),
            Action::Put => self.unput(step),
            Action::Make => self.unmake(step),
            Action::Attributes => self.restore_attributes(step),
        }
    }

    /// Only a file that takes a file's place leaves every directory where it is. What comes after a step that does not
    /// looks for its directory again.
    fn forget_moved(&self, step: &Step) {
        let directory = step.host.is_some_and(|was| was.mode & libc::S_IFMT == libc::S_IFDIR);
        if step.action != Action::Put || directory {
            self.host.borrow_mut().forget();
            self.upper.borrow_mut().forget();
        }
    }

    /// After everything was taken back: the host's object is the recorded one still, though its change time moved.
    pub(crate) fn renew_record(&self, step: &Step) -> Result<(), Errno> {
        let Some(was) = step.host else { return Ok(()) };
        match host_spot(&self.overlay.root, step.lower.as_path())?.stat()? {
            Some(stat) if is_host(step, &stat) => self.overlay.store.parts()?.origins.renew(&was, &stat),
            _ => Ok(()),
        }
    }

    /// Tidies up after `step`, when all steps are done: pre-images go to the store, marks go from the upper layer.
    pub(crate) fn settle(&mut self, step: &Step) -> Result<(), Errno> {
        self.forget_moved(step);
        match step.action {
            Action::Stash => Ok(()),
            Action::Remove => {
                if step.near {
                    self.renew_linked(step)?;
                } else {
                    self.keep_pre_image(step)?;
                }
                self.drop_whiteout(step)
            }
            Action::Put => {
                self.settle_put(step)?;
                self.keep_merged(step)
            }
            Action::Place { .. } => self.drop_mark(step, xattr::REDIRECT),
            Action::Make => self.drop_mark(step, xattr::OPAQUE),
            Action::Attributes => Ok(()),
        }
    }

    /// Where the step's object is, or will be, on the host.
    fn target(&self, step: &Step) -> Result<Spot, Errno> {
        let (parent, name) = at::split(step.path.as_path()).ok_or(Errno::EISDIR)?;
        Ok(Spot { dir: self.host.borrow_mut().dir(&self.overlay.root, parent)?, name: name.to_owned() })
    }

    /// Where the other object of the step is: what comes before it is done, what went after.
    fn shadow(&self, step: &Step) -> Result<Spot, Errno> {
        let stage = OsString::from(format!(".belljar-stage-{}-{}", self.overlay.saved.id, step.number));
        match (step.action, step.near) {
            (Action::Put, true) => self.own(step),
            (_, true) => Ok(Spot { dir: Arc::clone(&self.pre), name: pre_name(step) }),
            (Action::Stash, false) => Ok(Spot { dir: Arc::new(duplicate(&self.overlay.root)?), name: stage }),
            (_, false) => Ok(Spot { dir: self.target(step)?.dir, name: stage }),
        }
    }

    /// The step's object: in the upper layer, or composed for it.
    fn own(&self, step: &Step) -> Result<Spot, Errno> {
        match &step.part {
            Some(part) => Ok(Spot {
                dir: Arc::new(duplicate(&self.overlay.store.parts()?.work)?),
                name: OsString::from(&part.name),
            }),
            None => self.layers_own(step),
        }
    }

    /// The object in the upper layer.
    fn layers_own(&self, step: &Step) -> Result<Spot, Errno> {
        let (parent, name) = at::split(step.path.as_path()).ok_or(Errno::EISDIR)?;
        Ok(Spot {
            dir: self.upper.borrow_mut().dir(&self.overlay.store.parts()?.upper, parent)?,
            name: name.to_owned(),
        })
    }

    fn take_away(&mut self, step: &Step) -> Result<(), Errno> {
        let target = match self.target(step) {
            // The directory it was in left in a later step of an earlier run.
            Err(Errno::ENOENT) => return Ok(()),
            other => other?,
        };
        let shadow = self.shadow(step)?;
        match target.stat()? {
            Some(stat) if is_host(step, &stat) => {
                (self.fault)();
                target.rename(&shadow, RenameFlags::RENAME_NOREPLACE)
            }
            _ if shadow.stat()?.is_some() => Ok(()),
            None => Ok(()),
            Some(_) if step.action == Action::Stash => Ok(()),
            Some(_) => Err(Errno::EBUSY),
        }
    }

    fn bring_back(&mut self, step: &Step) -> Result<(), Errno> {
        let shadow = self.shadow(step)?;
        match shadow.stat()? {
            Some(stat) if is_host(step, &stat) => {
                (self.fault)();
                shadow.rename(&self.target(step)?, RenameFlags::RENAME_NOREPLACE)
            }
            _ => Ok(()),
        }
    }

    fn place(&mut self, step: &Step, stash: u32) -> Result<(), Errno> {
        let target = self.target(step)?;
        if target.stat()?.is_some_and(|stat| is_host(step, &stat)) {
            return Ok(());
        }
        let from = self.stash_of(stash)?;
        (self.fault)();
        from.rename(&target, RenameFlags::RENAME_NOREPLACE)
    }

    fn unplace(&mut self, step: &Step, stash: u32) -> Result<(), Errno> {
        let target = match self.target(step) {
            Err(Errno::ENOENT) => return Ok(()),
            other => other?,
        };
        if !target.stat()?.is_some_and(|stat| is_host(step, &stat)) {
            return Ok(());
        }
        (self.fault)();
        target.rename(&self.stash_of(stash)?, RenameFlags::RENAME_NOREPLACE)
    }

    fn stash_of(&self, number: u32) -> Result<Spot, Errno> {
        let steps = &self.running.journal.steps;
        let stash = steps.iter().find(|step| step.number == number).ok_or(Errno::EUCLEAN)?;
        self.shadow(stash)
    }

    fn put(&mut self, step: &Step) -> Result<(), Errno> {
        let target = self.target(step)?;
        let there = target.stat()?;
        if self.is_own(step, there.as_ref()) {
            return Ok(());
        }
        let shadow = self.ready(step)?;
        (self.fault)();
        match (&step.host, there) {
            (None, None) => shadow.rename(&target, RenameFlags::RENAME_NOREPLACE),
            (Some(_), Some(stat)) if is_host(step, &stat) => shadow.rename(&target, RenameFlags::RENAME_EXCHANGE),
            _ => Err(Errno::EBUSY),
        }
    }

    fn unput(&mut self, step: &Step) -> Result<(), Errno> {
        let Some(target) = absent_ok(self.target(step))? else {
            // Its directory was not made yet; or the whole root is another one, and the host's object has no way back.
            return if step.near { self.check_shadow(step, &self.shadow(step)?, false) } else { Ok(()) };
        };
        let shadow = self.shadow(step)?;
        let own_there = self.is_own(step, target.stat()?.as_ref());
        self.check_shadow(step, &shadow, own_there)?;
        if own_there {
            (self.fault)();
            let flags = match step.host {
                None => RenameFlags::RENAME_NOREPLACE,
                Some(_) => RenameFlags::RENAME_EXCHANGE,
            };
            target.rename(&shadow, flags)?;
        }
        if step.near { Ok(()) } else { remove::tree(&shadow.dir, &shadow.name) }
    }

    /// Makes the object fit for the host, and near where it is not.
    fn ready(&mut self, step: &Step) -> Result<Spot, Errno> {
        let own = self.own(step)?;
        if step.near {
            clean(&own, self.running.journal.allow_setid)?;
            return Ok(own);
        }
        let shadow = self.shadow(step)?;
        let staged = self.running.progress.staged.get(&step.number).copied();
        if staged.is_none() || shadow.stat()?.map(|stat| stat.st_ino) != staged {
            self.check_shadow(step, &shadow, false)?;
            remove::tree(&shadow.dir, &shadow.name)?;
            (self.fault)();
            let several = own.stat()?.is_some_and(|stat| stat.st_nlink > 1);
            match if several { self.put_before(step)? } else { None } {
                Some(same) => at::link(&same.dir, &same.name, &shadow.dir, &shadow.name)?,
                None => copy_tree(&own, &shadow, true)?,
            }
            clean(&shadow, self.running.journal.allow_setid)?;
            let ino = shadow.stat()?.ok_or(Errno::EIO)?.st_ino;
            (self.fault)();
            self.running.progress.staged(step.number, ino)?;
        }
        Ok(shadow)
    }

    /// Another name of the same file of the layer that was put in place already, so that both are one file there too.
    fn put_before(&self, step: &Step) -> Result<Option<Spot>, Errno> {
        let earlier = self.running.journal.steps.iter().take_while(|earlier| earlier.number < step.number);
        let same = |earlier: &&Step| earlier.action == Action::Put && earlier.own == step.own && earlier.part.is_none();
        let Some(earlier) = earlier.into_iter().find(|earlier| step.part.is_none() && !earlier.near && same(earlier))
        else {
            return Ok(None);
        };
        let spot = self.target(earlier)?;
        let there = spot.stat()?.filter(|stat| at::kind_of(stat) == libc::S_IFREG);
        Ok(self.is_own(earlier, there.as_ref()).then_some(spot))
    }

    /// What lies beside the target may be removed only while it is our copy. It is the host's object when somebody
    /// replaced the target after we did.
    fn check_shadow(&self, step: &Step, shadow: &Spot, own_there: bool) -> Result<(), Errno> {
        let holds_host = shadow.stat()?.is_some_and(|stat| is_host(step, &stat));
        if holds_host && !own_there { Err(Errno::EBUSY) } else { Ok(()) }
    }

    fn is_own(&self, step: &Step, there: Option<&Stat>) -> bool {
        let expected = if step.near { step.own } else { self.running.progress.staged.get(&step.number).copied() };
        there.is_some_and(|stat| Some(stat.st_ino) == expected)
    }

    fn settle_put(&mut self, step: &Step) -> Result<(), Errno> {
        if !step.near {
            self.keep_pre_image(step)?;
            let Some(own) = absent_ok(self.own(step))? else {
                return Ok(());
            };
            (self.fault)();
            return remove::tree(&own.dir, &own.name);
        }
        let Some(own) = absent_ok(self.own(step))? else {
            return Ok(());
        };
        match own.stat()? {
            Some(stat) if is_host(step, &stat) => {
                (self.fault)();
                own.rename(&Spot { dir: Arc::clone(&self.pre), name: pre_name(step) }, RenameFlags::empty())?;
                if stat.st_nlink < 2 { Ok(()) } else { self.renew_linked(step) }
            }
            // It left in an earlier run, which may have ended before the records followed.
            _ => self.renew_linked(step),
        }
    }

    /// After a merge the layer's own file has become part of the host's; it is kept beside the pre-image.
    fn keep_merged(&mut self, step: &Step) -> Result<(), Errno> {
        if step.part.as_ref().is_none_or(|part| part.rest_waits) {
            return Ok(());
        }
        let Some(own) = absent_ok(self.layers_own(step))? else {
            return Ok(());
        };
        (self.fault)();
        match own.rename(&Spot { dir: Arc::new(duplicate(&self.pre)?), name: merged_name(step) }, RenameFlags::empty())
        {
            Err(Errno::ENOENT) => Ok(()),
            other => other,
        }
    }

    /// The pre-image in the store may have other names on the host, among the changes that wait; leaving moved its
    /// change time.
    fn renew_linked(&self, step: &Step) -> Result<(), Errno> {
        let (Some(was), Some(stat)) = (step.host, at::stat_opt(&self.pre, &pre_name(step))?) else {
            return Ok(());
        };
        if stat.st_nlink < 2 || !is_host(step, &stat) {
            return Ok(());
        }
        self.overlay.store.parts()?.origins.renew(&was, &stat)
    }

    /// Brings the pre-image from beside its place, on another file system, into the store. Under its name there it is whole;
    /// what is beside the place may be half removed by then, and is never copied again.
    fn keep_pre_image(&mut self, step: &Step) -> Result<(), Errno> {
        let Some(shadow) = absent_ok(self.shadow(step))? else {
            return Ok(());
        };
        if shadow.stat()?.is_none() {
            return Ok(());
        }
        let kept = Spot { dir: Arc::clone(&self.pre), name: pre_name(step) };
        if kept.stat()?.is_none() {
            let spare = Spot { dir: Arc::clone(&self.pre), name: OsString::from(format!("t{}", step.number)) };
            remove::tree(&spare.dir, &spare.name)?;
            copy_tree(&shadow, &spare, false)?;
            (self.fault)();
            spare.rename(&kept, RenameFlags::RENAME_NOREPLACE)?;
        }
        (self.fault)();
        remove::tree(&shadow.dir, &shadow.name)
    }

    fn drop_whiteout(&mut self, step: &Step) -> Result<(), Errno> {
        let Some(own) = absent_ok(self.own(step))? else {
            return Ok(());
        };
        match at::forced(&[&own.dir], || own.stat())? {
            Some(stat) if at::is_whiteout(&stat) => {
                (self.fault)();
                at::forced(&[&own.dir], || at::unlink(&own.dir, &own.name))
            }
            _ => Ok(()),
        }
    }

    fn drop_mark(&mut self, step: &Step, mark: &str) -> Result<(), Errno> {
        let Some(own) = absent_ok(self.own(step))? else {
            return Ok(());
        };
        (self.fault)();
        match at::forced(&[&own.dir], || xattr::remove(&own.dir, &own.name, OsStr::new(mark))) {
            Err(Errno::ENODATA | Errno::ENOENT) => Ok(()),
            other => other,
        }
    }

    fn make(&mut self, step: &Step) -> Result<(), Errno> {
        let target = self.target(step)?;
        (self.fault)();
        match at::mkdir(&target.dir, &target.name, 0o700) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        let own = self.own(step)?;
        copy_attributes(&own, &target)
    }

    fn unmake(&mut self, step: &Step) -> Result<(), Errno> {
        let target = match self.target(step) {
            Err(Errno::ENOENT) => return Ok(()),
            other => other?,
        };
        (self.fault)();
        match at::rmdir(&target.dir, &target.name) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn attributes(&mut self, step: &Step) -> Result<(), Errno> {
        let (dir, own) = self.both_halves(step)?;
        (self.fault)();
        let (target, own) = (Spot::itself(dir), Spot::itself(own));
        for (name, _) in xattr::all_foreign(&target.dir, &target.name)? {
            if xattr::get(&own.dir, &own.name, &name)?.is_none() {
                xattr::remove(&target.dir, &target.name, &name)?;
            }
        }
        copy_attributes(&own, &target)
    }

    fn restore_attributes(&mut self, step: &Step) -> Result<(), Errno> {
        let Some(was) = step.host else { return Ok(()) };
        // A renamed directory that did not get as far as its new place has all it had.
        let Some((dir, _)) = absent_ok(self.both_halves(step))? else { return Ok(()) };
        (self.fault)();
        for (name, _) in xattr::all_foreign(&dir, at::dot())? {
            xattr::remove(&dir, at::dot(), &name)?;
        }
        for (name, value) in &step.xattrs {
            xattr::set(&dir, at::dot(), name.as_os_str(), value, 0)?;
        }
        at::chown(&dir, at::dot(), Some(was.uid), Some(was.gid))?;
        at::chmod(&dir, at::dot(), was.mode & 0o7777)
    }

    fn both_halves(&self, step: &Step) -> Result<(OwnedFd, OwnedFd), Errno> {
        let rel = step.path.as_path();
        Ok((at::open_beneath(&self.overlay.root, rel)?, open_own(&self.overlay.store.parts()?.upper, rel)?))
    }
}

/// Whether `stat` is the host object the step expects. Its change time is left out: a rename of another of its hard
/// links moves that.
fn is_host(step: &Step, stat: &Stat) -> bool {
    let Some(was) = &step.host else { return false };
    let directory = at::is_dir(stat);
    let same = was.ino == stat.st_ino && was.mode & libc::S_IFMT == at::kind_of(stat);
    same && (directory || (was.size == stat.st_size && was.mtime == (stat.st_mtime, stat.st_mtime_nsec)))
}

/// The host directory of a path, opened beneath the root without links, and the last name.
pub(crate) fn host_spot(root: &OwnedFd, rel: &Path) -> Result<Spot, Errno> {
    let (parent, name) = at::split(rel).ok_or(Errno::EISDIR)?;
    Ok(Spot { dir: Arc::new(at::open_beneath(root, parent)?), name: name.to_owned() })
}

pub(crate) fn pre_name(step: &Step) -> OsString {
    OsString::from(format!("p{}", step.number))
}

/// Where the layer's own file is kept after a merge, beside the pre-image.
pub(crate) fn merged_name(step: &Step) -> OsString {
    OsString::from(format!("m{}", step.number))
}

pub(crate) fn duplicate(dir: &OwnedFd) -> Result<OwnedFd, Errno> {
    dir.try_clone().map_err(|e| crate::fs::errno_of(&e))
}

pub(crate) fn absent_ok<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Takes the overlay's marks, and set-id bits that were not agreed to, off an object and all below it.
fn clean(spot: &Spot, allow_setid: bool) -> Result<(), Errno> {
    for_each(spot, &mut |dir, name, stat| {
        if at::is_whiteout(stat) {
            // It hid something of a host directory that is not here any more; a device must never get out.
            return at::forced(&[dir], || at::unlink(dir, name));
        }
        if matches!(at::kind_of(stat), libc::S_IFREG | libc::S_IFDIR) {
            at::forced(&[dir], || xattr::strip(dir, name))?;
        }
        let setid = stat.st_mode & 0o6000;
        if setid != 0 && at::kind_of(stat) == libc::S_IFREG && !allow_setid {
            at::chmod(dir, name, stat.st_mode & 0o1777)?;
        }
        Ok(())
    })
}

/// Calls `visit` for an object and everything below it, parents first.
pub(crate) fn for_each(
    spot: &Spot,
    visit: &mut impl FnMut(&OwnedFd, &OsStr, &Stat) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let mut waiting = vec![(std::path::PathBuf::new(), spot.name.clone())];
    while let Some((parent, name)) = waiting.pop() {
        let dir = open_own(&spot.dir, &parent)?;
        let stat = at::forced(&[&dir], || at::stat(&dir, &name))?;
        visit(&dir, &name, &stat)?;
        if at::is_dir(&stat) {
            let path = parent.join(&name);
            let inner = open_own(&spot.dir, &path)?;
            waiting.extend(at::list_own(&inner)?.into_iter().map(|entry| (path.clone(), entry.name)));
        }
    }
    Ok(())
}

/// Owner, attributes, mode and times from one object to another of its kind.
pub(crate) fn copy_attributes(from: &Spot, to: &Spot) -> Result<(), Errno> {
    let stat = at::stat(&from.dir, &from.name)?;
    let made = at::stat(&to.dir, &to.name)?;
    if (made.st_uid, made.st_gid) != (stat.st_uid, stat.st_gid) {
        at::chown(&to.dir, &to.name, Some(stat.st_uid), Some(stat.st_gid))?;
    }
    if at::kind_of(&stat) != libc::S_IFLNK {
        xattr::copy(&from.dir, &from.name, &to.dir, &to.name)?;
        at::chmod(&to.dir, &to.name, stat.st_mode & 0o7777)?;
    }
    at::copy_times(&to.dir, &to.name, &stat)
}

/// Copies an object with everything below it to another file system, synced where it will be the only copy.
pub(crate) fn copy_tree(from: &Spot, to: &Spot, sync: bool) -> Result<(), Errno> {
    let mut waiting = vec![std::path::PathBuf::new()];
    let mut directories = Vec::new();
    // Files with several names, by inode number, with the name that was copied.
    let mut copied: HashMap<u64, std::path::PathBuf> = HashMap::new();
    while let Some(rel) = waiting.pop() {
        let (source, target) = (inside(from, &rel)?, inside(to, &rel)?);
        let stat = at::forced(&[&source.dir], || at::stat(&source.dir, &source.name))?;
        if at::is_whiteout(&stat) {
            continue;
        }
        if at::is_dir(&stat) {
            at::mkdir(&target.dir, &target.name, 0o700)?;
            let dir = at::forced(&[&source.dir], || at::open_dir(&source.dir, &source.name))?;
            waiting.extend(at::list_own(&dir)?.into_iter().map(|entry| rel.join(entry.name)));
            directories.push((source, target));
        } else if let Some(same) = copied.get(&stat.st_ino) {
            let same = inside(to, same)?;
            at::link(&same.dir, &same.name, &target.dir, &target.name)?;
        } else {
            copy_leaf(&source, &target, sync)?;
            if stat.st_nlink > 1 && at::kind_of(&stat) == libc::S_IFREG {
                copied.insert(stat.st_ino, rel);
            }
        }
    }
    // Children before parents, so that a parent's times stay.
    for (source, target) in directories.iter().rev() {
        copy_attributes(source, target)?;
        if sync {
            sync_dir(&at::open_dir(&target.dir, &target.name)?)?;
        }
    }
    Ok(())
}

fn inside(spot: &Spot, rel: &Path) -> Result<Spot, Errno> {
    match at::split(rel) {
        None => Ok(Spot { dir: Arc::clone(&spot.dir), name: spot.name.clone() }),
        Some((parent, name)) => {
            let dir = open_own(&spot.dir, &Path::new(&spot.name).join(parent))?;
            Ok(Spot { dir: Arc::new(dir), name: name.to_owned() })
        }
    }
}

fn copy_leaf(from: &Spot, to: &Spot, sync: bool) -> Result<(), Errno> {
    let stat = at::stat(&from.dir, &from.name)?;
    match at::kind_of(&stat) {
        libc::S_IFREG => {
            at::forced(&[&from.dir], || {
                copy_up::copy_file(&from.dir, &from.name, &to.dir, &to.name, Content::All, Purpose::Plain).map(drop)
            })?;
            if sync {
                nix::unistd::fsync(at::open_own(&to.dir, &to.name, OFlag::O_RDONLY)?)?;
            }
            return Ok(());
        }
        libc::S_IFLNK => {
            let target = at::readlink(&from.dir, &from.name)?;
            nix::unistd::symlinkat(target.as_os_str(), &to.dir, &*to.name)?;
        }
        libc::S_IFIFO | libc::S_IFSOCK => at::mknod(&to.dir, &to.name, at::kind_of(&stat) | 0o600)?,
        _ => return Err(Errno::EPERM),
    }
    copy_attributes(from, to)
}
