//! Properties: what must hold of rules, whatever the request.
//!
//! Most are written in Cedar, as a `forbid` that must change nothing: the rules already refuse all that it would. So
//! whoever can write a rule can write a property, and `unless { context.approved }` means here what it means there.

use super::jar::{ABOUT, About};
use crate::engine::{Engine, Functions};
use crate::error::PolicyError;
use crate::layer::{Layer, Origin, annotation, load_all, position, rule_of};
use crate::words::Words;
use cedar_policy_core::ast::{Effect, Policy};

/// The properties that are part of Belljar, in Cedar.
pub const PROPERTIES: &str = include_str!("../../../../policies/prove/properties.cedar");

/// What must hold of rules.
pub struct Property {
    /// As it is asked for.
    pub name: String,
    /// What it means, in a sentence.
    pub says: String,
    pub(super) what: What,
}

/// What a property is about.
pub(super) enum What {
    /// No request that this rule forbids is permitted.
    Never(Box<Never>),
    /// Who agrees never gets less.
    ApprovalAllows,
    /// More risk never gets more.
    RiskTightens,
    /// No rule fails on any request.
    NeverFails,
    /// Every rule applies to some request.
    NoDeadRule,
    /// Every rule decides some request.
    NoShadowedRule,
    /// Of the jar that is made by the rules.
    Jar(About),
}

/// A rule that must change nothing.
pub(super) struct Never {
    pub(super) policy: Policy,
    pub(super) engine: Engine,
}

impl Property {
    /// All properties that are part of Belljar.
    ///
    /// # Errors
    /// [`PolicyError`] if this build is defective.
    pub fn shipped() -> Result<Vec<Property>, PolicyError> {
        let mut properties = Property::parse("properties.cedar", PROPERTIES)?;
        let more = [
            ("monotone/approval", "What is permitted is not forbidden once a person agrees.", What::ApprovalAllows),
            ("monotone/risk", "More risk is never answered with less.", What::RiskTightens),
            ("never-fails", "No rule fails on any request: one that fails denies, and says nothing.", What::NeverFails),
            ("no-dead-rule", "Every rule applies to some request.", What::NoDeadRule),
            ("no-shadowed-rule", "Every rule makes a difference to some request.", What::NoShadowedRule),
        ];
        let more = more.into_iter().map(|(name, says, what)| Property { name: name.into(), says: says.into(), what });
        properties.extend(more);
        let jar = ABOUT.into_iter();
        properties.extend(jar.map(|(name, says, about)| Property {
            name: name.into(),
            says: says.into(),
            what: What::Jar(about),
        }));
        Ok(properties)
    }

    /// Whether it is about the jars that rules make.
    #[must_use]
    pub fn is_of_jars(&self) -> bool {
        matches!(self.what, What::Jar(_))
    }

    /// Reads properties: `forbid` rules with an `@id` and a sentence in `@says`. `name` stands in the errors.
    ///
    /// # Errors
    /// The first thing that is wrong, with line and column.
    pub fn parse(name: &str, text: &str) -> Result<Vec<Property>, PolicyError> {
        let policies = load_all(&[Layer { name, origin: Origin::User, text }])?;
        policies.into_iter().map(|policy| Property::of(name, text, policy)).collect()
    }

    fn of(layer: &str, text: &str, policy: Policy) -> Result<Property, PolicyError> {
        let (id, says) = (rule_of(&policy), annotation(&policy, "says"));
        let wrong = |message: String, hint: &str| {
            let (line, column) = policy.loc().map_or((1, 1), |loc| position(text, loc.span.offset()));
            let (layer, hint) = (layer.to_owned(), hint.to_owned());
            Err(PolicyError::Profile { layer, line, column, message, hint })
        };
        if policy.effect() == Effect::Permit {
            let hint =
                "write `forbid`: a property is a rule that must change nothing, as all it forbids is refused anyway";
            return wrong(format!("property `{id}` permits"), hint);
        }
        if says.is_empty() {
            return wrong(format!("property `{id}` does not say what it means"), "write @says(\"...\") below its @id");
        }
        let engine = Engine::new(Words::new()?, std::slice::from_ref(&policy), Functions::All);
        Ok(Property { name: id, says, what: What::Never(Box::new(Never { policy, engine })) })
    }
}

impl std::fmt::Debug for Property {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Property").field("name", &self.name).finish_non_exhaustive()
    }
}
