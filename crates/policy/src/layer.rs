//! Layers: policies that come from outside, each checked against the schema before any of it counts.

use crate::error::PolicyError;
use cedar_policy_core::ast::{Effect, Policy, PolicyID, PolicySet};
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::parser::{err::ParseErrors, parse_policyset};
use cedar_policy_core::validator::{ValidationMode, Validator, ValidatorSchema};
use std::collections::HashSet;

/// Whose policy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The user's own: may permit and forbid.
    User,
    /// The organisation's: may permit and forbid. A forbid of any layer beats every permit, so nobody loosens it.
    Organisation,
    /// The project's, not trusted: may only forbid.
    Project,
}

/// A policy on top of the built-in one.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// Shown in errors and in front of its rule ids; usually the file name.
    pub name: &'a str,
    /// Whose it is.
    pub origin: Origin,
    /// Cedar.
    pub text: &'a str,
}

/// The most text one layer may have. Cedar's parser recurses with a bound of its own; this bounds its time.
pub const LAYER_BYTES_MAX: usize = 1 << 20;

/// The schema every layer is validated against.
pub const SCHEMA: &str = include_str!("../../../policies/belljar.cedarschema");

/// The built-in policy as Cedar text, for people and for tools. It is used as the tree in `builtin.rs`.
pub const DEFAULT: &str = include_str!("../../../policies/default.cedar");

/// The schema, parsed.
pub(crate) fn schema() -> Result<ValidatorSchema, PolicyError> {
    let (schema, warnings) = ValidatorSchema::from_cedarschema_str(SCHEMA, Extensions::all_available())
        .map_err(|e| PolicyError::Builtin { message: e.to_string() })?;
    drop(warnings);
    Ok(schema)
}

/// Reads and checks all layers.
pub(crate) fn load_all(layers: &[Layer<'_>]) -> Result<Vec<Policy>, PolicyError> {
    load_again(layers, false)
}

/// [`load_all`], without validating against the schema what is `valid` already. The schema is parsed only where it is
/// needed: that costs more than everything else.
pub(crate) fn load_again(layers: &[Layer<'_>], valid: bool) -> Result<Vec<Policy>, PolicyError> {
    let schema = (!valid && !layers.is_empty()).then(schema).transpose()?;
    let (mut policies, mut names) = (Vec::new(), HashSet::new());
    for layer in layers {
        if !names.insert(layer.name) {
            return Err(PolicyError::SameName { layer: layer.name.to_owned() });
        }
        let rules = load(layer)?;
        schema.iter().try_for_each(|schema| validate(layer, &rules, schema))?;
        policies.extend(rules);
    }
    Ok(policies)
}

/// Reads one layer; the rules come back under ids that name the layer.
pub(crate) fn load(layer: &Layer<'_>) -> Result<Vec<Policy>, PolicyError> {
    let policies = parse(layer)?;
    let named = policies.iter().map(|policy| rename(layer, policy)).collect::<Result<Vec<_>, _>>()?;
    let mut seen = HashSet::new();
    if let Some(twice) = named.iter().find(|policy| !seen.insert(policy.id().clone())) {
        return Err(PolicyError::Twice { layer: layer.name.to_owned(), rule: rule_of(twice) });
    }
    if let Some(permit) = named.iter().find(|p| layer.origin == Origin::Project && p.effect() == Effect::Permit) {
        return Err(PolicyError::ProjectPermits { layer: layer.name.to_owned(), rule: rule_of(permit) });
    }
    Ok(named)
}

fn parse(layer: &Layer<'_>) -> Result<Vec<Policy>, PolicyError> {
    if layer.text.len() > LAYER_BYTES_MAX {
        return Err(PolicyError::TooLarge { layer: layer.name.to_owned(), bytes: layer.text.len() });
    }
    let set = parse_policyset(layer.text).map_err(|errors| syntax(layer, &errors))?;
    if let Some(template) = set.templates().next() {
        let id = template.annotations().find(|(key, _)| key.as_ref() == "id");
        let rule = id.map(|(_, value)| value.val.to_string()).unwrap_or_default();
        return Err(PolicyError::Template { layer: layer.name.to_owned(), rule });
    }
    Ok(set.policies().cloned().collect())
}

fn rename(layer: &Layer<'_>, policy: &Policy) -> Result<Policy, PolicyError> {
    match rule_of(policy) {
        id if !id.is_empty() => Ok(policy.new_id(PolicyID::from_string(format!("{}:{id}", layer.name)))),
        _ => Err(PolicyError::Nameless { layer: layer.name.to_owned(), line: line_of(layer, policy) }),
    }
}

/// The `@id`, or nothing.
pub(crate) fn rule_of(policy: &Policy) -> String {
    annotation(policy, "id")
}

/// What stands after `@key`, or nothing.
pub(crate) fn annotation(policy: &Policy, key: &str) -> String {
    let found = policy.annotations().find(|(name, _)| name.as_ref() == key);
    found.map(|(_, value)| value.val.to_string()).unwrap_or_default()
}

fn line_of(layer: &Layer<'_>, policy: &Policy) -> usize {
    policy.loc().map_or(1, |loc| position(layer.text, loc.span.offset()).0)
}

/// Checks each rule against the schema, strictly.
pub(crate) fn validate(layer: &Layer<'_>, policies: &[Policy], schema: &ValidatorSchema) -> Result<(), PolicyError> {
    let validator = Validator::new(schema.clone());
    for policy in policies {
        let result = validator.validate(&PolicySet::singleton(policy.clone()), ValidationMode::Strict);
        if let Some(error) = result.validation_errors().next() {
            let (line, column) = place_of(layer, error).unwrap_or((line_of(layer, policy), 1));
            let (layer, rule) = (layer.name.to_owned(), rule_of(policy));
            return Err(PolicyError::Schema { layer, line, column, rule, message: with_help(error) });
        }
    }
    Ok(())
}

pub(crate) fn place_of(layer: &Layer<'_>, error: &dyn miette::Diagnostic) -> Option<(usize, usize)> {
    let label = error.labels()?.next()?;
    Some(position(layer.text, label.offset()))
}

/// The message without a full stop or the policy id, followed by the help where there is some.
fn with_help(error: &dyn miette::Diagnostic) -> String {
    let help = error.help().map(|help| format!(" ({help})")).unwrap_or_default();
    let message = error.to_string();
    let message = message.split_once("`, ").map_or(message.as_str(), |(_, rest)| rest);
    // The rule is named already.
    let message = match message.strip_prefix("for policy `").and_then(|rest| rest.split_once("`: ")) {
        Some((_, rest)) => rest,
        None => message,
    };
    let help = match help.split_once("for policy `").and_then(|(head, rest)| Some((head, rest.split_once("`, ")?.1))) {
        Some((head, rest)) => format!("{head}{rest}"),
        None => help,
    };
    format!("{}{help}", model::escape::text(message))
}

fn syntax(layer: &Layer<'_>, errors: &ParseErrors) -> PolicyError {
    let first = errors.iter().next();
    let (line, column) = first.and_then(|error| place_of(layer, error)).unwrap_or((1, 1));
    let message = first.map_or_else(|| errors.to_string(), |error| with_help(error));
    PolicyError::Syntax { layer: layer.name.to_owned(), line, column, message }
}

/// The byte offset of a line and a column in bytes, both from 1.
pub(crate) fn offset(text: &str, line: usize, column: usize) -> usize {
    let lines = text.split_inclusive('\n').take(line.saturating_sub(1));
    let start: usize = lines.map(str::len).sum();
    let mut at = (start + column.saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Line and column of a byte offset, from 1; the column counts characters.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}
