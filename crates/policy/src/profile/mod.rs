//! Profiles: named confinements. A small TOML file says what a jar looks like, and has rules in Cedar where it wants some.

mod file;
mod learn;
mod render;
mod shipped;
mod tighten;

pub use learn::{Learnt, Wrote, learn};
pub use shipped::{SHIPPED, Shipped, shipped};
pub use tighten::Refused;

use crate::confine::ConfineRequest;
use crate::error::PolicyError;
use model::{Access, Apply, BackendWish, EnvBase, FilePath, Layer, Limits, NetRule, Place};
use std::collections::BTreeMap;

/// Where a profile lies, which says what it may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Anybody's but a project's.
    Own,
    /// A project's: never to run with less than the whole jar.
    Project,
}

/// A named confinement. What it does not say is as in the profile `workspace`, which says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// What it is for, in a sentence.
    pub says: String,
    /// What may be done with the home.
    pub home: Option<Access>,
    /// What may be done with the workspace; never hidden.
    pub workspace: Option<Access>,
    /// Further directories of which a copy may be changed. Paths begin with `/` or `~/`, else they lie in the workspace.
    pub write: Vec<String>,
    /// Shown although hidden otherwise.
    pub read: Vec<String>,
    /// Hidden besides.
    pub hide: Vec<String>,
    /// Whom it may reach.
    pub allow_net: Vec<NetRule>,
    /// Which variables pass without being named.
    pub env: Option<EnvBase>,
    /// Variables that pass besides.
    pub pass: Vec<String>,
    /// Variables that are set.
    pub set: BTreeMap<String, String>,
    /// What it may take.
    pub limits: Limits,
    /// What keeps the overlays.
    pub backend: Option<BackendWish>,
    /// What becomes of the changes.
    pub apply: Option<Apply>,
    /// Nobody is asked: what would need a person is denied.
    pub unattended: Option<bool>,
    /// Layers that may be missing.
    pub accept_weak: Vec<Layer>,
    /// Cedar, or nothing.
    pub rules: String,
    /// Lines of the file before it.
    pub rules_after: usize,
}

impl Profile {
    /// Reads the text of a profile; `name` stands in its errors.
    ///
    /// # Errors
    /// The first thing that is wrong, with line and column.
    pub fn parse(name: &str, text: &str, whose: Whose) -> Result<Profile, PolicyError> {
        file::parse(name, text, whose)
    }

    /// The rules with as many empty lines before them as make their line numbers those of the file.
    #[must_use]
    pub fn rules_in_place(&self) -> String {
        "\n".repeat(self.rules_after) + &self.rules
    }

    /// The profile as text that reads back as it.
    #[must_use]
    pub fn render(&self) -> String {
        render::render(self)
    }

    /// A path of the profile at a place.
    ///
    /// `None` only for what [`Profile::parse`] refuses.
    #[must_use]
    pub fn at(place: &Place, path: &str) -> Option<FilePath> {
        let path = FilePath::decode(path)?;
        let below_home =
            path.as_bytes().strip_prefix(b"~/").map(|rest| place.home.join(FilePath::from(rest.to_vec()).as_os_str()));
        let whole = match path.as_bytes() {
            b"~" => place.home.clone(),
            _ => below_home.unwrap_or_else(|| place.workspace.join(path.as_os_str())),
        };
        Some(whole.normalise())
    }

    /// The wishes for a jar at `place`. Links are not resolved: [`ConfineRequest::write`] wants that done.
    #[must_use]
    pub fn wishes(&self, place: &Place) -> ConfineRequest<'static> {
        let at = |paths: &[String]| paths.iter().filter_map(|path| Profile::at(place, path)).collect();
        let passed = self.pass.iter().map(|name| (name.into(), None));
        let set = self.set.iter().map(|(name, value)| (name.into(), Some(value.into())));
        ConfineRequest {
            env: &[],
            pass_env: passed.chain(set).collect(),
            write: at(&self.write),
            read: at(&self.read),
            hide: at(&self.hide),
            allow_net: self.allow_net.clone(),
            cwd: place.cwd.clone(),
            home: self.home.unwrap_or_default(),
            workspace: self.workspace.unwrap_or_default(),
            env_base: self.env.unwrap_or_default(),
            held: Vec::new(),
            agreed: Vec::new(),
        }
    }
}
