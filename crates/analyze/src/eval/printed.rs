//! What `echo` and `printf` print.

use super::Output;
use super::apply::joined;
use super::value::{Field, Value};
use crate::syntax::{Escapes, decode_printed};

/// What `echo` prints.
pub(super) fn echo(args: &[Field]) -> Output {
    let letters = |text: &str| {
        text.strip_prefix('-').is_some_and(|all| !all.is_empty() && all.trim_matches(['n', 'e', 'E']).is_empty())
    };
    let flags = args.iter().take_while(|field| field.known().is_some_and(letters)).count();
    let given: String = args.iter().take(flags).filter_map(Field::known).collect();
    // The last of `-e` and `-E` counts.
    let escapes = given.rfind(['e', 'E']).is_some_and(|at| given.get(at..).is_some_and(|rest| rest.starts_with('e')));
    let newline = !given.contains('n');
    let rest = args.get(flags..).unwrap_or(&[]);
    let text = joined(rest);
    let fetched = text.fetched;
    if text.many || rest.iter().any(|field| field.glob) {
        return Output { value: Value::Unknown, fetched };
    }
    let value = match text.value {
        Value::Known(text) if escapes && text.contains('\\') => {
            decode_printed(&text, Escapes::Echo).map_or(Value::Unknown, Value::Known)
        }
        Value::OneOf(_) | Value::Shape(..) if escapes => Value::Unknown,
        other => other,
    };
    Output { value: if newline { value.concat(&Value::Known("\n".into())) } else { value }, fetched }
}

/// A number that is printed as it is written: no sign, no octal.
fn plain_number(text: &str) -> bool {
    text == "0"
        || (!text.starts_with('0')
            && text.len() < 18
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && !text.is_empty())
}

/// What `printf` prints for constant arguments and the conversions `%s`, `%b`, `%d` and `%%`; else not known.
pub(super) fn printed(args: &[Field]) -> Value {
    let known: Option<Vec<&str>> = args.iter().map(|field| field.known().filter(|_| !field.glob)).collect();
    let Some((format, rest)) = known.as_deref().and_then(|all| all.split_first()) else { return Value::Unknown };
    let Some(format) = decode_printed(format, Escapes::Format) else { return Value::Unknown };
    let mut out = String::new();
    let mut rest = rest.iter();
    loop {
        let left = rest.len();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            match (c, c == '%') {
                (_, false) => out.push(c),
                _ => match chars.next() {
                    Some('%') => out.push('%'),
                    Some('s') => out.push_str(rest.next().unwrap_or(&"")),
                    Some('d') => match rest.next() {
                        Some(number) if plain_number(number) => out.push_str(number),
                        _ => return Value::Unknown,
                    },
                    Some('b') => match decode_printed(rest.next().unwrap_or(&""), Escapes::Argument) {
                        Some(text) => out.push_str(&text),
                        None => return Value::Unknown,
                    },
                    _ => return Value::Unknown,
                },
            }
        }
        if rest.len() == 0 || rest.len() == left || out.len() > crate::limits::VALUE_BYTES_MAX {
            return if rest.len() == 0 { Value::Known(out) } else { Value::Unknown };
        }
    }
}
