//! Floor 0, the words: plain data that every other room speaks in. No I/O, no logic beyond what keeps the data honest.
//!
//! Predicted and observed effects are the same type ([`Effect`]), so "it did something it had not announced" is one
//! set difference. Paths are lexical ([`FilePath`]); what is printed for a person goes through [`escape`].

#![forbid(unsafe_code)]

pub mod analysis;
pub mod audit;
pub mod change;
pub mod confinement;
pub mod containment;
pub mod decision;
pub mod effect;
pub mod escape;
pub mod finding;
pub mod grant;
pub mod hex;
pub mod limit;
pub mod names;
pub mod network;
pub mod path;
pub mod profile;
pub mod review;
pub mod risk;
pub mod trial;

pub use analysis::{Analysis, Certificate, Coverage, Invocation};
pub use audit::{AuditRecord, LeftOut, Stage};
pub use change::{Change, ChangeKind, ChangeSet, Differs, FileKind, Meta};
pub use confinement::{Agreed, Confinement, EnvVar, Held, Hidden, Network, RootKind, WritableRoot};
pub use containment::{Attempt, Backend, Containment, Gap, Layer, LayerState, RootBackend, Tier};
pub use decision::{Because, Decision, Place, Verdict};
pub use effect::{Action, Certainty, Effect, Endpoint, PathScope, Reversibility, Target};
pub use finding::{CheckId, Finding, Span};
pub use grant::{Door, Grant, GrantScope, Granted};
pub use hex::{hex, unhex};
pub use limit::{Limit, Limits, Usage, Used};
pub use names::{NamedSecret, SecretNames};
pub use network::{Block, Connection, NetRule, NotARule, Peers, Ports, Protocol};
pub use path::FilePath;
pub use profile::{Access, Apply, BackendWish, EnvBase, ProfileId, ProfileOrigin, ProjectPart};
pub use review::{Disposition, Flag, Found, Review};
pub use risk::{Assessment, Reason, Risk, Tiers};
pub use trial::{Exit, TrialId, TrialState};
