//! Shapes: how secrets look wherever they stand. One table for what is kept out of records and for what is found in a
//! change; pure, and never wrong in the sense of a panic: any text is taken.

/// Beginnings of tokens by their published form, each with as many characters as must follow, and the kind.
const TOKENS: &[(&str, usize, &str)] = &[
    ("AKIA", 16, "aws-key"),
    ("ASIA", 16, "aws-key"),
    ("ghp_", 20, "github"),
    ("gho_", 20, "github"),
    ("ghu_", 20, "github"),
    ("ghs_", 20, "github"),
    ("ghr_", 20, "github"),
    ("github_pat_", 20, "github"),
    ("glpat-", 16, "gitlab"),
    ("xoxb-", 16, "slack"),
    ("xoxp-", 16, "slack"),
    ("xoxa-", 16, "slack"),
    ("xoxs-", 16, "slack"),
    ("sk-", 20, "api-key"),
    ("sk_live_", 16, "api-key"),
    ("rk_live_", 16, "api-key"),
    ("AIza", 30, "google"),
    ("ya29.", 16, "google"),
    ("npm_", 30, "npm"),
    ("pypi-", 16, "pypi"),
    ("hf_", 20, "api-key"),
    ("dop_v1_", 20, "api-key"),
    ("SG.", 20, "api-key"),
    ("AGE-SECRET-KEY-", 20, "age"),
];

/// Parts of a name whose value is a secret.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "pass",
    "pwd",
    "secret",
    "secrets",
    "token",
    "apikey",
    "credential",
    "credentials",
    "authorization",
    "bearer",
];

/// Parts that make a `key` one.
const KEYS: &[&str] = &["api", "access", "private", "secret", "auth", "encryption", "signing", "account"];

/// A secret in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its first byte.
    pub start: usize,
    /// Behind its last.
    pub end: usize,
    /// What it is: `aws-key`, `pem`, `url-password`; `value` where only the name before it says so.
    pub kind: &'static str,
}

/// All secrets of a text, in order, none inside another. `word`: the text is one word of a command line.
#[must_use]
pub fn find(text: &str, word: bool) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    blocks(text, &mut found);
    credentials_in_addresses(text, &mut found);
    words(text, word, &mut found);
    found.sort_by_key(|found| (found.start, std::cmp::Reverse(found.end)));
    let mut at = 0;
    found.retain_mut(|found| {
        let keep = found.end > at;
        (found.start, at) = (found.start.max(at), at.max(found.end));
        keep
    });
    found
}

/// Whether a text may hold a secret of a published form, a private key or a password in an address; quick, and never wrong
/// in saying no.
#[must_use]
pub fn may_hold(text: &str) -> bool {
    let begins = TOKENS.iter().map(|(start, ..)| *start).chain(["eyJ", "-----BEGIN "]);
    begins.into_iter().any(|start| text.contains(start)) || (text.contains('@') && text.contains("://"))
}

/// `text` with `[redacted:KIND]` in place of what was found in it by [`find`].
#[must_use]
pub fn without(text: &str, found: &[Found]) -> String {
    let (mut clean, mut at) = (String::new(), 0);
    for Found { start, end, kind } in found {
        clean.push_str(text.get(at..*start).unwrap_or_default());
        clean.push_str("[redacted:");
        clean.push_str(kind);
        clean.push(']');
        at = *end;
    }
    clean.push_str(text.get(at..).unwrap_or_default());
    clean
}

/// `text` without its secrets, if it has any.
#[must_use]
pub fn clean(text: &str) -> Option<String> {
    let found = find(text, false);
    (!found.is_empty()).then(|| without(text, &found))
}

/// Whether a word is an option whose value comes next: `--password`, `-token`.
#[must_use]
pub fn is_flag(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|name| !word.contains('=') && names_secret(name.trim_start_matches('-')))
}

fn names_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let parts: Vec<&str> = lower.split(['_', '-', '.']).filter(|part| !part.is_empty()).collect();
    let after =
        |at: usize| at.checked_sub(1).and_then(|before| parts.get(before)).is_some_and(|part| KEYS.contains(part));
    let secret = |(at, part): (usize, &&str)| {
        NAMES.contains(part) || part.ends_with("password") || part.ends_with("apikey") || (*part == "key" && after(at))
    };
    parts.iter().enumerate().any(secret)
}

/// Private keys in PEM: from the first line to the last, or to the end of the text.
fn blocks(text: &str, found: &mut Vec<Found>) {
    let mut from = 0;
    while let Some(start) = position(text, from, "-----BEGIN ") {
        let close = position(text, start, "-----END ").and_then(|end| position(text, end + 9, "-----"));
        let end = close.map_or(text.len(), |end| end + 5);
        let head = text.get(start..).unwrap_or_default();
        if head.chars().take(64).collect::<String>().contains("PRIVATE KEY") {
            found.push(Found { start, end, kind: "pem" });
        }
        from = end;
    }
}

fn position(text: &str, from: usize, what: &str) -> Option<usize> {
    Some(from + text.get(from..)?.find(what)?)
}

/// `scheme://user:password@host` (RFC 3986, section 3.2.1): the password.
fn credentials_in_addresses(text: &str, found: &mut Vec<Found>) {
    let mut from = 0;
    while let Some(at) = position(text, from, "://") {
        let start = at + 3;
        let rest = text.get(start..).unwrap_or_default();
        let end = rest.find(|c: char| c.is_whitespace() || "/?#'\"`<>|;()".contains(c)).unwrap_or(rest.len());
        let user = rest.get(..end).and_then(|authority| authority.rsplit_once('@')).map(|(user, _)| user);
        if let Some((name, password)) = user.and_then(|user| user.split_once(':'))
            && !is_variable(password)
        {
            let start = start + name.len() + 1;
            found.push(Found { start, end: start + password.len(), kind: "url-password" });
        }
        from = start + end;
    }
}

/// Empty, a variable, or what was replaced already.
fn is_variable(value: &str) -> bool {
    value.is_empty() || value.starts_with('$') || value.starts_with('‹') || value.starts_with("[redacted:")
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// Tokens by their form, and values of names that speak of secrets.
fn words(text: &str, word: bool, found: &mut Vec<Found>) {
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let skipped = rest.find(is_name).unwrap_or(rest.len());
        let start = at + skipped;
        let rest = text.get(start..).unwrap_or_default();
        let name = rest.get(..rest.find(|c| !is_name(c)).unwrap_or(rest.len())).unwrap_or_default();
        if name.is_empty() {
            break;
        }
        at = start + name.len();
        if let Some((skip, end, kind)) = token(name) {
            found.push(Found { start: start + skip, end: start + end, kind });
        } else if let Some((from, end)) = value_of(text, start, name, word) {
            found.push(Found { start: from, end, kind: "value" });
            at = end;
        }
    }
}

/// A token in a word: where, and of which kind.
fn token(word: &str) -> Option<(usize, usize, &'static str)> {
    if word.starts_with("eyJ") && word.len() >= 30 && word.split('.').filter(|part| part.len() >= 8).count() >= 2 {
        return Some((0, word.len(), "jwt"));
    }
    // Nearly every word is shorter than any token, and this is asked for each word of each record.
    if TOKENS.iter().all(|(start, more, _)| word.len() < start.len() + more) {
        return None;
    }
    let bytes = |text: &str| text.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')).count();
    TOKENS.iter().find_map(|(start, more, kind)| {
        let at = word.find(start)?;
        let begins = word.get(..at)?.bytes().next_back().is_none_or(|before| !before.is_ascii_alphanumeric());
        let follow = bytes(word.get(at + start.len()..)?);
        (begins && follow >= *more).then_some((at, at + start.len() + follow, *kind))
    })
}

/// The value that belongs to the name at `start`, if the name speaks of a secret.
fn value_of(text: &str, start: usize, name: &str, word: bool) -> Option<(usize, usize)> {
    let bare = name.trim_start_matches('-');
    let user = matches!(name, "-u" | "--user" | "--proxy-user");
    if !names_secret(bare) && !user {
        return None;
    }
    let after = text.get(start + name.len()..)?;
    let quote_closed = after.strip_prefix(['"', '\'']).unwrap_or(after);
    let (rest, flag) = match quote_closed.trim_start_matches(' ').strip_prefix(['=', ':']) {
        Some(rest) => (rest.trim_start_matches(' '), false),
        // `--password VALUE`
        None if name.starts_with('-') && after.starts_with(' ') => (after.trim_start(), true),
        None if matches!(bare.to_ascii_lowercase().as_str(), "bearer") && after.starts_with(' ') => {
            (after.trim_start(), true)
        }
        None => return None,
    };
    let from = text.len() - rest.len();
    let opened = text.get(..start)?.chars().next_back().filter(|c| matches!(c, '"' | '\''));
    let (from, end) = match rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        Some(quote) => (from + 1, position(text, from + 1, &quote.to_string()).unwrap_or(text.len())),
        None if word && !flag => (from, text.len()),
        None => {
            let header = bare.eq_ignore_ascii_case("authorization");
            let ends = |c: char| match opened {
                Some(quote) => c == quote,
                None => c == '\n' || (!header && c.is_whitespace()) || "'\";|&)<>`,".contains(c),
            };
            (from, rest.find(ends).map_or(text.len(), |end| from + end))
        }
    };
    let value = text.get(from..end)?;
    if user {
        // `-u name:password`, and never `-u 1000:1000`.
        let (name, password) = value.split_once(':')?;
        let numbers = password.bytes().all(|byte| byte.is_ascii_digit());
        return (!numbers && !is_variable(password)).then_some((from + name.len() + 1, end));
    }
    let is_another = is_variable(value) || (flag && value.starts_with('-'));
    (!is_another).then_some((from, end))
}
