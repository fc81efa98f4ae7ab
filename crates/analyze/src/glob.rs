//! Whether two glob patterns can match the same name.

/// Longest pattern that is compared exactly; a longer one counts as overlapping everything.
const PATTERN_CHARS_MAX: usize = 256;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Char(char),
    One,
    Star,
}

/// Whether some name matches both `a` and `b` (`*`, `?`, `[...]`; a set counts as any character).
pub(crate) fn overlaps(a: &str, b: &str) -> bool {
    if a.len() > PATTERN_CHARS_MAX || b.len() > PATTERN_CHARS_MAX {
        return true;
    }
    if !a.contains(['*', '?', '[']) && !b.contains(['*', '?', '[']) {
        return a == b;
    }
    match (plain(a), plain(b)) {
        (_, true) if a.is_ascii() => return matches(a.as_bytes(), b.as_bytes()),
        (true, _) if b.is_ascii() => return matches(b.as_bytes(), a.as_bytes()),
        _ => {}
    }
    if !ends_agree(a.as_bytes(), b.as_bytes()) {
        return false;
    }
    let (a, b) = (tokens(a), tokens(b));
    // reachable[j]: the tokens of `a` so far can end where the first j tokens of `b` end.
    let mut reachable: Vec<bool> = vec![false; b.len() + 1];
    step_empty(&mut reachable, &b);
    for token in a {
        reachable = advance(token, &reachable, &b);
    }
    reachable.last().copied().unwrap_or(false)
}

/// Whether what stands before the first wildcard of each, and behind the last, does not already tell them apart: nearly all
/// pairs end here.
fn ends_agree(a: &[u8], b: &[u8]) -> bool {
    let literal = |byte: &&u8| !matches!(**byte, b'*' | b'?' | b'[' | b']');
    let head = |text: &[u8]| text.iter().take_while(literal).count();
    let tail = |text: &[u8]| text.iter().rev().take_while(literal).count();
    let heads = a.iter().zip(b).take(head(a).min(head(b))).all(|(x, y)| x == y);
    heads && a.iter().rev().zip(b.iter().rev()).take(tail(a).min(tail(b))).all(|(x, y)| x == y)
}

/// ASCII without wildcards.
fn plain(text: &str) -> bool {
    text.is_ascii() && !text.contains(['*', '?', '['])
}

/// Matches without allocating: back to the last star where a byte differs.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(b'?') => (p, t) = (p + 1, t + 1),
            Some(b'[') if set_end(pattern, p).is_some() => (p, t) = (set_end(pattern, p).unwrap_or(p + 1), t + 1),
            Some(other) if other == byte => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((behind, from)) => {
                    star = Some((behind, from + 1));
                    (p, t) = (behind, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// Where the set ends that begins at `open`; `None` where the bracket stands for itself.
fn set_end(pattern: &[u8], open: usize) -> Option<usize> {
    let from = open + 2;
    Some(from + pattern.get(from..)?.iter().position(|byte| *byte == b']')? + 1)
}

/// Row of the empty pattern: only stars of `b` match nothing.
fn step_empty(row: &mut [bool], b: &[Token]) {
    let mut open = true;
    for (at, cell) in row.iter_mut().enumerate() {
        open &= at == 0 || b.get(at - 1) == Some(&Token::Star);
        *cell = open;
    }
}

fn advance(token: Token, before: &[bool], b: &[Token]) -> Vec<bool> {
    let mut row: Vec<bool> = Vec::with_capacity(before.len());
    for at in 0..before.len() {
        let above = before.get(at).copied().unwrap_or(false);
        let (left, diagonal) = match at.checked_sub(1) {
            Some(left) => (row.get(left).copied().unwrap_or(false), before.get(left).copied().unwrap_or(false)),
            None => (false, false),
        };
        let other = at.checked_sub(1).and_then(|left| b.get(left)).copied();
        row.push(match (token, other) {
            (Token::Star, None) => above,
            (Token::Star, Some(_)) => above || left || diagonal,
            (_, None) => false,
            (_, Some(Token::Star)) => left || above || diagonal,
            (Token::One, Some(_)) | (_, Some(Token::One)) => diagonal,
            (Token::Char(x), Some(Token::Char(y))) => diagonal && x == y,
        });
    }
    row
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or("");
        out.push(match c {
            '*' => Token::Star,
            '?' => Token::One,
            '[' => match rest.get(1..).and_then(|tail| tail.find(']')) {
                Some(close) => {
                    rest = rest.get(close + 2..).unwrap_or("");
                    Token::One
                }
                None => Token::Char('['),
            },
            c => Token::Char(c),
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::overlaps;

    #[test]
    fn overlapping_patterns() {
        for (a, b) in [
            (".ssh", ".ss?"),
            ("id_rsa", "id_*"),
            ("*.pem", "a*"),
            ("a[bc]d", "acd"),
            ("*", "x"),
            ("a*c", "ab*"),
            ("*[b-d]?", "xby"),
            ("[]a]", "a"),
            ("[a", "[a"),
            ("é*", "é[x]"),
            ("a[b]*", "[a]bc"),
        ] {
            assert!(overlaps(a, b) && overlaps(b, a), "{a} {b}");
        }
        for (a, b) in [
            (".ssh", ".sh"),
            ("*.pem", "*.rs"),
            ("a?", "a"),
            ("", "a"),
            ("abc", "a*d"),
            ("é*", "è?"),
            ("[a", "a"),
            ("*[b-d]?", "b"),
        ] {
            assert!(!overlaps(a, b) && !overlaps(b, a), "{a} {b}");
        }
    }
}
