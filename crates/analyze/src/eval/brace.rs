//! Brace expansion: `{a,b}` and `{1..3}` in the unquoted text of a word.

use crate::limits::FIELDS_MAX;
use crate::syntax::ast::Part;

/// A word taken apart for brace expansion.
#[derive(Clone, Debug)]
enum Atom {
    /// A character of unquoted text.
    Live(char),
    /// Anything else; stands for itself.
    Fixed(Part),
}

/// Whether a brace that may be expanded stands in `parts`.
pub(super) fn holds(parts: &[Part]) -> bool {
    parts.iter().any(|part| matches!(part, Part::Literal(text) if text.contains('{')))
}

/// Whether an expansion beside a brace holds braces: bash counts them too, and its own ends elsewhere.
pub(super) fn uncertain(parts: &[Part]) -> bool {
    let brace = |part: &Part| matches!(part, Part::Literal(text) | Part::Quoted(text, _) if text.contains(['{', '}']));
    parts.iter().any(|part| matches!(part, Part::Param(param) if param.argument.iter().any(brace)))
}

/// The words that `parts` expand to, or `None` when there are more than [`FIELDS_MAX`].
pub(super) fn expand(parts: &[Part]) -> Option<Vec<Vec<Part>>> {
    if !holds(parts) {
        return Some(vec![parts.to_vec()]);
    }
    let atoms: Vec<Atom> = parts
        .iter()
        .flat_map(|part| match part {
            Part::Literal(text) => text.chars().map(Atom::Live).collect::<Vec<_>>(),
            other => vec![Atom::Fixed(other.clone())],
        })
        .collect();
    expand_atoms(&atoms, 0).map(|words| words.into_iter().map(join).map(with_longer_names).collect())
}

/// Braces expand before parameters: in `$v{a,b}` the parameters are `$va` and `$vb`.
fn with_longer_names(mut parts: Vec<Part>) -> Vec<Part> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for at in 1..parts.len() {
        if let Some((head, [Part::Literal(text), ..])) = parts.split_at_mut_checked(at)
            && let Some(Part::Param(param)) = head.last_mut()
            && !param.braced
            && param.name.starts_with(|c: char| is_name(c) && !c.is_ascii_digit())
        {
            let taken = text.find(|c| !is_name(c)).unwrap_or(text.len());
            param.name.push_str(text.get(..taken).unwrap_or(""));
            text.replace_range(..taken, "");
        }
    }
    parts
}

fn join(atoms: Vec<Atom>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for atom in atoms {
        match (atom, parts.last_mut()) {
            (Atom::Live(c), Some(Part::Literal(text))) => text.push(c),
            (Atom::Live(c), _) => parts.push(Part::Literal(c.into())),
            (Atom::Fixed(part), _) => parts.push(part),
        }
    }
    parts
}

/// Expands the first brace that is one; its alternatives and what follows are texts of their own, as they are for bash.
/// `None` when there are too many words.
fn expand_atoms(atoms: &[Atom], depth: usize) -> Option<Vec<Vec<Atom>>> {
    if depth >= FIELDS_MAX {
        return None;
    }
    let Some((open, close, choices)) = first_brace(atoms) else { return Some(vec![atoms.to_vec()]) };
    let head = atoms.get(..open).unwrap_or(&[]);
    let tails = expand_atoms(atoms.get(open + 2 + close..).unwrap_or(&[]), depth + 1)?;
    let mut words = Vec::new();
    for choice in &choices {
        for inner in expand_atoms(choice, depth + 1)? {
            if words.len() + tails.len() > FIELDS_MAX {
                return None;
            }
            words.extend(tails.iter().map(|tail| head.iter().chain(&inner).chain(tail).cloned().collect::<Vec<_>>()));
        }
    }
    Some(words)
}

/// Where the first brace opens, how far behind that it closes, and its alternatives.
fn first_brace(atoms: &[Atom]) -> Option<(usize, usize, Vec<Vec<Atom>>)> {
    atoms.iter().enumerate().find_map(|(open, atom)| {
        // Bash leaves `{}` at the start of a text alone, whatever comes behind it.
        let bare = open == 0 && matches!(atoms.get(1), Some(Atom::Live('}')));
        if bare || !matches!(atom, Atom::Live('{')) {
            return None;
        }
        let (close, choices) = alternatives(atoms.get(open + 1..).unwrap_or(&[]))?;
        Some((open, close, choices))
    })
}

/// The alternatives of a brace behind its `{`, with the offset of its `}`.
fn alternatives(atoms: &[Atom]) -> Option<(usize, Vec<Vec<Atom>>)> {
    let mut depth = 0usize;
    let mut dots = false;
    let mut choices: Vec<Vec<Atom>> = vec![Vec::new()];
    for (at, atom) in atoms.iter().enumerate() {
        match atom {
            // Without a comma or two dots in front of it, a closing brace is a plain one.
            Atom::Live('}') if depth == 0 && choices.len() == 1 && !dots => {}
            Atom::Live('}') if depth == 0 => {
                if choices.len() == 1 {
                    choices = range(choices.first()?)?;
                }
                return Some((at, choices));
            }
            Atom::Live(',') if depth == 0 => {
                choices.push(Vec::new());
                continue;
            }
            Atom::Live('{') => depth += 1,
            Atom::Live('}') => depth -= 1,
            Atom::Live('.') if depth == 0 => {
                let next = |away: usize| atoms.get(at + away);
                dots |= matches!(next(1), Some(Atom::Live('.'))) && !matches!(next(2), Some(Atom::Live('}')));
            }
            _ => {}
        }
        choices.last_mut()?.push(atom.clone());
    }
    None
}

/// `1..5` or `a..e`, perhaps with a step.
fn range(atoms: &[Atom]) -> Option<Vec<Vec<Atom>>> {
    let text: String = atoms
        .iter()
        .map(|atom| match atom {
            Atom::Live(c) => Some(*c),
            Atom::Fixed(_) => None,
        })
        .collect::<Option<_>>()?;
    let mut ends = text.split("..");
    let (from, to, step) = (ends.next()?, ends.next()?, ends.next());
    if ends.next().is_some() {
        return None;
    }
    let step = step.map_or(Some(1), |text| text.parse::<i64>().ok())?.unsigned_abs().max(1);
    let letters = |text: &str| text.chars().next().filter(|c| text.len() == 1 && c.is_ascii_alphabetic());
    let (low, high, letter) = match (from.parse::<i64>(), to.parse::<i64>(), letters(from), letters(to)) {
        (Ok(a), Ok(b), _, _) => (a, b, false),
        (_, _, Some(a), Some(b)) => (i64::from(u32::from(a)), i64::from(u32::from(b)), true),
        _ => return None,
    };
    let count = usize::try_from(low.abs_diff(high) / step).ok().filter(|count| *count < FIELDS_MAX)?;
    let padded = |text: &str| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        digits.len() > 1 && digits.starts_with('0')
    };
    let width = if padded(from) || padded(to) { from.len().max(to.len()) } else { 0 };
    let item = |index: usize| {
        let away = i64::try_from(index as u64 * step).unwrap_or(0);
        let value = if low <= high { low + away } else { low - away };
        let text = match u32::try_from(value).ok().and_then(char::from_u32).filter(|_| letter) {
            Some(c) => c.to_string(),
            None => format!("{value:0width$}"),
        };
        text.chars().map(Atom::Live).collect()
    };
    Some((0..=count).map(item).collect())
}

#[cfg(test)]
mod tests {
    use super::{Part, expand};

    fn words(text: &str) -> Vec<String> {
        expand(&[Part::Literal(text.into())])
            .unwrap()
            .into_iter()
            .map(|parts| match parts.as_slice() {
                [] => String::new(),
                [Part::Literal(text)] => text.clone(),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn braces_as_bash_expands_them() {
        assert_eq!(words("a{b,c}d"), ["abd", "acd"]);
        assert_eq!(words("{rm,-rf,/x}"), ["rm", "-rf", "/x"]);
        assert_eq!(words("{1..3}"), ["1", "2", "3"]);
        assert_eq!(words("{08..10}"), ["08", "09", "10"]);
        assert_eq!(words("x{a,{b,c}}"), ["xa", "xb", "xc"]);
        assert_eq!(words("{}"), ["{}"]);
        assert_eq!(words("{a}"), ["{a}"]);
        assert_eq!(words("a{,x}"), ["a", "ax"]);
        assert!(expand(&[Part::Literal("{1..600}{1..600}".into())]).is_none_or(|words| words.len() == 1));
    }
}
