//! Lint: rules that are valid and never do anything, because of a slip that the schema does not know of.

use crate::error::PolicyError;
use crate::layer::{Layer, load, place_of, position, rule_of, schema, validate};
use crate::syntax::{equality, of_resource, text};
use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, PatternElem, Policy, PolicySet};
use cedar_policy_core::validator::{ValidationMode, ValidationWarning, Validator};

/// The first rule of a layer that cannot do what it seems to: its condition is never met, or it compares a path or a host
/// with a text that is none. Loading does not mind: such a rule is of no use, and does no harm but to whoever relies on it.
///
/// # Errors
/// As [`crate::Policy::layered`], and for what was found.
pub fn lint(layer: &Layer<'_>) -> Result<(), PolicyError> {
    let schema = schema()?;
    let policies = load(layer)?;
    validate(layer, &policies, &schema)?;
    let validator = Validator::new(schema);
    for policy in &policies {
        let found = validator.validate(&PolicySet::singleton(policy.clone()), ValidationMode::Strict);
        let never = found.validation_warnings().find(|warning| {
            matches!(warning, ValidationWarning::ImpossiblePolicy(_) | ValidationWarning::InvalidActionApplication(_))
        });
        if let Some(never) = never {
            let place = place_of(layer, never).or_else(|| place_of_rule(layer, policy));
            let why = "it never applies: no request of its action, on its type of resource, meets its condition";
            return Err(wrong(layer, policy, place, why.to_owned()));
        }
        let condition = policy.condition();
        if let Some((part, why)) = condition.subexpressions().find_map(|part| Some((part, fits_nothing(part)?))) {
            let place = part.source_loc().map(|loc| position(layer.text, loc.span.offset()));
            return Err(wrong(layer, policy, place.or_else(|| place_of_rule(layer, policy)), why));
        }
    }
    Ok(())
}

fn wrong(layer: &Layer<'_>, policy: &Policy, place: Option<(usize, usize)>, message: String) -> PolicyError {
    let (line, column) = place.unwrap_or((1, 1));
    PolicyError::Useless { layer: layer.name.to_owned(), line, column, rule: rule_of(policy), message }
}

fn place_of_rule(layer: &Layer<'_>, policy: &Policy) -> Option<(usize, usize)> {
    policy.loc().map(|loc| position(layer.text, loc.span.offset()))
}

/// Why a comparison of a path or a host is never met.
fn fits_nothing(expr: &Expr) -> Option<String> {
    let (attribute, text, is_pattern) = match expr.expr_kind() {
        ExprKind::Like { expr, pattern } => {
            let elems = pattern.get_elems().iter();
            let text: String = elems.map(|elem| if let PatternElem::Char(c) = elem { *c } else { '*' }).collect();
            (of_resource(expr)?, text, pattern.get_elems().contains(&PatternElem::Wildcard))
        }
        ExprKind::BinaryApp { op: BinaryOp::Eq, arg1, arg2 } => {
            let (attribute, value) = equality(arg1, arg2)?;
            (attribute, text(value)?.to_owned(), false)
        }
        _ => return None,
    };
    let told = model::escape::text(&text);
    match attribute {
        "path" => why_no_path(&text, is_pattern).map(|why| format!("no path is `{told}`: {why}")),
        "host" if text.chars().any(char::is_uppercase) => Some(format!("no host is `{told}`: hosts are in lower case")),
        "host" if text.contains("://") => Some(format!("no host is `{told}`: that is a URL; write the host alone")),
        _ => None,
    }
}

fn why_no_path(text: &str, is_pattern: bool) -> Option<&'static str> {
    if text.starts_with("~/") || text.contains('$') {
        return Some("the home is written out, /home/NAME/..., or left open, */...");
    }
    if !text.starts_with(['/', '*']) {
        return Some("paths begin with /, or in a pattern with *");
    }
    if text.contains("//") || text.split('/').any(|part| matches!(part, "." | "..")) {
        return Some("paths have no `.`, `..` or `//` in them");
    }
    let directory = !is_pattern && text.len() > 1 && text.ends_with('/');
    directory.then_some("paths do not end in /; what is below a directory is like `/directory/*`")
}

#[cfg(test)]
mod tests {
    use super::lint;
    use crate::layer::{DEFAULT, Layer, Origin};
    use crate::profile::{Profile, SHIPPED, Whose};

    fn found(text: &str) -> Option<String> {
        lint(&Layer { name: "p", origin: Origin::User, text }).err().map(|error| error.to_string())
    }

    #[test]
    fn what_never_does_anything_is_told_with_its_place() {
        let of_path = |when: &str| {
            format!(
                "@id(\"a\")\nforbid (principal, action == Action::\"read\", resource is Path)\nwhen {{ {when} }};\n"
            )
        };
        for (when, told) in [
            ("resource.path like \"src/*.key\"", Some("p:3:8: rule `a`: no path is `src/*.key`: paths begin with /")),
            (
                "resource.secret && resource.path like \"~/.ssh/*\"",
                Some("p:3:27: rule `a`: no path is `~/.ssh/*`: the home"),
            ),
            ("resource.path == \"/a/../b\"", Some("p:3:8: rule `a`: no path is `/a/../b`: paths have no `.`")),
            ("resource.path == \"/a/\"", Some("p:3:8: rule `a`: no path is `/a/`: paths do not end in /")),
            ("resource.path like \"/a/*\" || resource.path like \"*.key\" || resource.name == \"a\"", None),
            ("resource.secret && false", Some("p:1:1: rule `a`: it never applies")),
        ] {
            match (found(&of_path(when)), told) {
                (Some(fault), Some(told)) => assert!(fault.starts_with(told), "{fault}"),
                (fault, told) => assert_eq!((fault, told), (None, None), "{when}"),
            }
        }
        let applies = "@id(\"a\")\nforbid (principal, action == Action::\"apply\", resource is Path);\n";
        assert!(found(applies).is_some_and(|fault| fault.contains("it never applies")), "{:?}", found(applies));
        let host = "@id(\"a\")\nforbid (principal, action == Action::\"connect\", resource is Peer)\nwhen { resource.host == \"A.example\" };\n";
        assert!(found(host).is_some_and(|fault| fault.contains("hosts are in lower case")), "{:?}", found(host));
    }

    #[test]
    fn nothing_that_ships_is_of_no_use() {
        assert_eq!(found(DEFAULT), None);
        for shipped in SHIPPED {
            let profile = Profile::parse(shipped.name, shipped.text, Whose::Own).unwrap();
            assert_eq!(found(&profile.rules), None, "{}", shipped.name);
        }
    }
}
