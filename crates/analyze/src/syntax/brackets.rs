//! Finding the bracket that closes one, past quotes and escapes, as bash does for `((`, `[` and `$((`.

/// Offset in `text` of the `close` that matches an `open` just before `text`.
pub(super) fn closing(text: &str, open: u8, close: u8) -> Option<usize> {
    let mut depth = 0usize;
    let mut quote: Option<u8> = None;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        if escaped {
            escaped = false;
            continue;
        }
        match (quote, byte) {
            (Some(b'\''), b'\'') => quote = None,
            (Some(b'\''), _) => {}
            (_, b'\\') => escaped = true,
            (Some(q), b) if q == b => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"' | b'`') => quote = Some(byte),
            (None, b) if b == open => depth += 1,
            (None, b) if b == close && depth == 0 => return Some(at),
            (None, b) if b == close => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

/// Whether the parentheses pair up where only backslashes and quotes are passed over, as bash asks before it takes
/// `$((...))` for arithmetic: those in backticks and `$(case x in x) ...)` count.
pub(super) fn balanced(text: &str) -> bool {
    let mut depth = 0usize;
    let mut quote: Option<u8> = None;
    let mut escaped = false;
    for byte in text.bytes() {
        match (quote, byte) {
            _ if escaped => escaped = false,
            (Some(b'\''), b'\'') | (Some(b'"'), b'"') => quote = None,
            (Some(b'\''), _) => {}
            (_, b'\\') => escaped = true,
            (Some(_), _) => {}
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'(') => depth += 1,
            (None, b')') if depth == 0 => return false,
            (None, b')') => depth -= 1,
            (None, _) => {}
        }
    }
    depth == 0
}

#[cfg(test)]
mod tests {
    use super::{balanced, closing};

    #[test]
    fn counts_brackets_as_bash_does() {
        assert!(balanced("(1)*2 + \")\" + ')' + \\)"));
        assert!(!balanced("`case x in x) ca;; esac`"));
        assert!(!balanced("1) + (2"));
    }

    #[test]
    fn finds_the_matching_bracket() {
        assert_eq!(closing("a(b)c)d", b'(', b')'), Some(5));
        assert_eq!(closing("')' \")\" \\) )", b'(', b')'), Some(11));
        assert_eq!(closing("((", b'(', b')'), None);
    }
}
