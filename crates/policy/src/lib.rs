//! Floor 1, the policy room: how dangerous a command is, whether it may run, what its jar looks like, and what to make
//! of the changes it left. Pure: no files, clock, environment or network; every fact comes in as an argument.
//!
//! The rules are Cedar ([`DEFAULT`], checked against [`SCHEMA`]); the facts they speak of come from tables in this
//! crate (secrets, protected names, derived names, risk rows).

#![forbid(unsafe_code)]

mod builtin;
pub mod cases;
mod change;
mod confine;
pub mod content;
mod decide;
mod derived;
mod engine;
mod environment;
mod error;
mod explain;
mod facts;
pub mod grant;
mod held;
pub mod import;
pub mod landing;
mod layer;
mod lint;
mod names;
mod pattern;
mod policy;
pub mod profile;
mod protected;
#[cfg(feature = "prove")]
pub mod prove;
pub mod replay;
mod review;
pub mod reword;
mod risk;
#[cfg(test)]
mod schema;
mod secrets;
pub mod shapes;
pub mod suggest;
mod surprise;
mod syntax;
mod term;
#[cfg(test)]
mod testing;
mod words;

pub use confine::{ConfineRequest, ROOTS_MAX, access, confine, would_show, would_write};
pub use derived::is_derived;
pub use error::{ConfineError, PolicyError};
pub use held::{Judge, agreed};
pub use layer::{DEFAULT, LAYER_BYTES_MAX, Layer, Origin, SCHEMA};
pub use lint::lint;
pub use names::Names;
pub use pattern::fold;
pub use policy::Policy;
pub use profile::Profile;
pub use secrets::secret_rule;
