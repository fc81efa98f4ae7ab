//! Before the journal of an apply is written: the upper layer is brought into a form in which what was chosen can leave.

use crate::changes::diff::{open_own, open_upper};
use crate::fs::at;
use crate::fs::parents::Parents;
use crate::fs::xattr;
use crate::overlay::Overlay;
use crate::settle::journal::{Action, Step};
use crate::settle::links;
use crate::settle::plan::ApplyPlan;
use crate::view::copy_up;
use model::FilePath;
use nix::errno::Errno;
use nix::fcntl::RenameFlags;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

impl Overlay {
    /// Hard links that do not survive it: when all names of a file move at once they stay one file.
    pub(super) fn links_at_stake(&self, plan: &ApplyPlan) -> Result<Vec<Vec<FilePath>>, Errno> {
        match plan.whole && plan.steps.iter().all(|step| step.near) {
            true => Ok(Vec::new()),
            false => links::groups(self),
        }
    }

    /// Those of `copies` that carry the mark.
    pub(super) fn marked(&self, copies: &[(FilePath, FilePath)]) -> Result<Vec<(FilePath, FilePath)>, Errno> {
        let mut marked = Vec::new();
        let mut upper = Parents::new(open_own);
        for copy in copies {
            let (parent, name) = at::split(copy.0.as_path()).ok_or(Errno::EISDIR)?;
            let dir = upper.dir(&self.store.parts()?.upper, parent)?;
            let mark = || xattr::get(&*dir, name, OsStr::new(xattr::ORIGIN));
            if at::forced(&[&dir], || xattr::with_right(&*dir, name, 0o400, mark))?.is_some() {
                marked.push(copy.clone());
            }
        }
        Ok(marked)
    }

    /// Brings the upper layer into a form in which parts of it can leave.
    pub(super) fn make_ready(&self, plan: &ApplyPlan) -> Result<(), Errno> {
        self.store.clean_work()?;
        for name in self.store.link_names()? {
            at::unlink(&self.store.parts()?.work, &name)?;
        }
        self.write_composed(&plan.composed)?;
        for rel in &plan.opaque {
            self.spell_out(rel)?;
        }
        if plan.whole { Ok(()) } else { self.part_links(plan) }
    }

    /// Replaces an opaque mark by a whiteout for each host name it hides, so that names can be applied one by one.
    fn spell_out(&self, rel: &Path) -> Result<(), Errno> {
        let lower = self.lower_path(rel)?;
        let host = match at::open_beneath(&self.root, &lower) {
            Ok(host) => host,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        let own = open_upper(self, rel)?;
        for entry in at::list(&host)? {
            if at::forced(&[&own], || at::stat_opt(&own, &entry.name))?.is_none() {
                self.store.whiteout(&own, &entry.name)?;
            }
        }
        match at::forced(&[&own], || xattr::remove(&own, at::dot(), OsStr::new(xattr::OPAQUE))) {
            Err(Errno::ENODATA) => Ok(()),
            other => other,
        }
    }

    /// When only some names of a file leave, they leave as a file of their own: a file that is half on the host and
    /// half in the layer would carry later writes from one to the other.
    fn part_links(&self, plan: &ApplyPlan) -> Result<(), Errno> {
        let mut leaving: HashMap<u64, Vec<PathBuf>> = HashMap::new();
        for step in plan.steps.iter().filter(|step| step.action == Action::Put && step.near && step.part.is_none()) {
            self.collect_linked(step.path.as_path(), &mut leaving)?;
        }
        for names in leaving.into_values() {
            self.part(&names)?;
        }
        Ok(())
    }

    fn collect_linked(&self, rel: &Path, leaving: &mut HashMap<u64, Vec<PathBuf>>) -> Result<(), Errno> {
        let mut waiting = vec![rel.to_owned()];
        while let Some(rel) = waiting.pop() {
            let (parent, name) = at::split(&rel).ok_or(Errno::EISDIR)?;
            let dir = open_upper(self, parent)?;
            let stat = at::forced(&[&dir], || at::stat(&dir, name))?;
            if at::is_dir(&stat) {
                let inner = open_upper(self, &rel)?;
                waiting.extend(at::list_own(&inner)?.into_iter().map(|entry| rel.join(entry.name)));
            } else if stat.st_nlink > 1 {
                leaving.entry(stat.st_ino).or_default().push(rel);
            }
        }
        Ok(())
    }

    fn part(&self, names: &[PathBuf]) -> Result<(), Errno> {
        let Some((first, others)) = names.split_first() else {
            return Ok(());
        };
        let (parent, name) = at::split(first).ok_or(Errno::EISDIR)?;
        let dir = open_upper(self, parent)?;
        let stat = at::stat(&dir, name)?;
        if u64::try_from(names.len()).unwrap_or(0) >= stat.st_nlink || at::kind_of(&stat) != libc::S_IFREG {
            return Ok(());
        }
        let spare = OsString::from(self.store.fresh_name());
        let work = &self.store.parts()?.work;
        copy_up::copy_file(&dir, name, work, &spare, copy_up::Content::All, copy_up::Purpose::Plain)?;
        for other in others {
            let (parent, name) = at::split(other).ok_or(Errno::EISDIR)?;
            let dir = open_upper(self, parent)?;
            let link = OsString::from(self.store.fresh_name());
            at::link(work, &spare, work, &link)?;
            at::forced(&[&dir], || at::rename(work, &link, &dir, name, RenameFlags::empty()))?;
        }
        at::forced(&[&dir], || at::rename(work, &spare, &dir, name, RenameFlags::empty()))
    }

    /// Parting hard links gave some objects other inode numbers, and composed files have their own.
    pub(super) fn renew_own(&self, steps: &mut [Step]) -> Result<(), Errno> {
        let mut upper = Parents::new(open_own);
        for step in steps.iter_mut().filter(|step| step.action == Action::Put) {
            let own = match &step.part {
                Some(part) => at::stat_opt(&self.store.parts()?.work, OsStr::new(&part.name))?,
                None => upper.stat(&self.store.parts()?.upper, step.path.as_path())?,
            };
            step.own = own.map(|stat| stat.st_ino);
        }
        Ok(())
    }
}
