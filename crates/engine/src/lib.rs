//! Floor 3, the engine: the only room that joins the others. It owns the journey of a command, the one door to
//! execution ([`Approval`]), the trials on disk, and the audit log.
//!
//! Read [`journey`] first: the whole story of a command is [`Engine::run`].

#![forbid(unsafe_code)]

pub mod approve;
pub mod audit;
pub mod backend;
mod bare;
pub mod choice;
pub mod consent;
mod content;
mod digest;
pub mod doctor;
pub mod error;
pub mod expiry;
pub mod explain;
pub mod explainer;
pub mod fold;
mod git;
pub mod grants;
pub mod harmless;
pub mod host;
pub mod import;
pub mod jar;
pub mod journey;
mod landing;
pub mod layers;
pub mod learn;
mod links;
pub mod live;
mod look;
mod named;
pub mod profile;
#[cfg(feature = "prove")]
pub mod prove;
pub mod receipt;
pub mod record;
mod replace;
pub mod replay;
mod runs;
mod seek;
pub mod settle;
pub mod store;
pub mod suggest;
pub mod suite;
pub mod trial;
pub mod trust;
mod valid;
mod views;
pub mod who;

pub use approve::{Answer, Approval, Lasting, Person, Question, Refusal, Wish};
pub use audit::{AuditError, AuditLog, Verification};
pub use backend::{BackendRefusal, Chosen, RootFacts, Wanted, choose_backend};
pub use choice::{Begun, Choice, Chooser, Picked, Uses};
pub use consent::Offer;
pub use doctor::{Checkup, Leftover};
pub use error::{RunError, in_full};
pub use fold::{Folded, Group, Why, fold};
pub use grants::{GrantError, Grants};
pub use host::{HostError, place};
pub use jar::{JarError, Rewound};
pub use journey::{Engine, Judged, Outcome, Request, Weight, standby};
pub use landing::{Granting, Keep, LandingOffer, Settle};
pub use live::{Command, OpenJar, Told, goes_on};
pub use model::{Apply, BackendWish};
pub use policy::{Profile, would_show, would_write};
pub use profile::{Loaded, ProfileError, RulesText};
pub use record::{JarName, JarRun, TrialRecord};
pub use replay::ReplayError;
pub use settle::{SettleError, Settlement};
pub use store::{Broken, Listed, Store, StoreError, state};
pub use trial::{Frozen, Prepared, Ran, Trial};
pub use trust::{Project, Trust, Trusted};
pub use who::Who;
