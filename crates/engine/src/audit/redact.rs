//! Secrets in what is logged, by their shape: replaced by `[redacted:KIND]` before the bytes are hashed and written.
//!
//! A record holds names and facts, but a command line may carry a password and a path may be named after a token. What is
//! found in one place of a record is replaced in all of them. A secret that looks like any other word is not found.

use serde_json::Value;

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

/// Shorter values are not looked for elsewhere in the record: they would be found in words that are none.
const KNOWN_BYTES_MIN: usize = 8;

/// Replaces the secrets in all texts of `value`. What was found in one place is then replaced in all, unless `readable`
/// says no to the outcome: a secret that is a word of ours may stand in a record as such.
pub(crate) fn redact(value: &mut Value, readable: impl Fn(&Value) -> bool) {
    let mut known = Vec::new();
    walk(value, false, &mut known);
    known.retain(|secret: &String| secret.len() >= KNOWN_BYTES_MIN);
    // A longer secret may hold a shorter one.
    known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    known.dedup();
    if !known.is_empty() {
        let mut everywhere = value.clone();
        replace_known(&mut everywhere, &known);
        if everywhere != *value && readable(&everywhere) {
            *value = everywhere;
        }
    }
}

/// `words`: each text is one word of a command line.
fn walk(value: &mut Value, words: bool, known: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            if let Some(clean) = text_without(text, words, known) {
                *text = clean;
            }
        }
        Value::Array(items) => {
            let mut secret_next = false;
            for item in items {
                if let Value::String(text) = item {
                    let this = std::mem::replace(&mut secret_next, words && is_flag(text));
                    if this && !text.is_empty() && !text.starts_with(['-', '$', '[']) {
                        known.push(std::mem::replace(text, "[redacted:argument]".into()));
                        continue;
                    }
                }
                walk(item, words, known);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                walk(field, matches!(name.as_str(), "argv" | "env"), known);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn replace_known(value: &mut Value, known: &[String]) {
    match value {
        Value::String(text) => {
            for secret in known {
                if text.contains(secret) {
                    *text = text.replace(secret, "[redacted:known]");
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace_known(item, known)),
        Value::Object(fields) => fields.iter_mut().for_each(|(_, field)| replace_known(field, known)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a word is an option whose value comes next: `--password`, `-token`.
fn is_flag(word: &str) -> bool {
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

/// `text` with its secrets replaced, if it has any. What they were is added to `known`.
fn text_without(text: &str, word: bool, known: &mut Vec<String>) -> Option<String> {
    let mut found: Vec<Found> = Vec::new();
    blocks(text, &mut found);
    credentials_in_addresses(text, &mut found);
    words(text, word, &mut found);
    if found.is_empty() {
        return None;
    }
    found.sort_by_key(|found| (found.start, std::cmp::Reverse(found.end)));
    let (mut clean, mut at) = (String::new(), 0);
    for Found { start, end, kind } in found {
        if end <= at {
            continue;
        }
        let start = start.max(at);
        clean.push_str(text.get(at..start).unwrap_or_default());
        clean.push_str("[redacted:");
        clean.push_str(kind);
        clean.push(']');
        known.push(text.get(start..end).unwrap_or_default().to_owned());
        at = end;
    }
    clean.push_str(text.get(at..).unwrap_or_default());
    Some(clean)
}

struct Found {
    start: usize,
    end: usize,
    kind: &'static str,
}

/// Private keys in PEM: from the first line to the last, or to the end of the text.
fn blocks(text: &str, found: &mut Vec<Found>) {
    let mut from = 0;
    while let Some(start) = find(text, from, "-----BEGIN ") {
        let close = find(text, start, "-----END ").and_then(|end| find(text, end + 9, "-----"));
        let end = close.map_or(text.len(), |end| end + 5);
        let head = text.get(start..).unwrap_or_default();
        if head.chars().take(64).collect::<String>().contains("PRIVATE KEY") {
            found.push(Found { start, end, kind: "pem" });
        }
        from = end;
    }
}

fn find(text: &str, from: usize, what: &str) -> Option<usize> {
    Some(from + text.get(from..)?.find(what)?)
}

/// `scheme://user:password@host` (RFC 3986, section 3.2.1): the password.
fn credentials_in_addresses(text: &str, found: &mut Vec<Found>) {
    let mut from = 0;
    while let Some(at) = find(text, from, "://") {
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
        Some(quote) => (from + 1, find(text, from + 1, &quote.to_string()).unwrap_or(text.len())),
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn clean(text: &str) -> String {
        let mut value = json!(text);
        redact(&mut value, |_| true);
        value.as_str().unwrap().to_owned()
    }

    #[test]
    fn secrets_are_known_by_their_shape() {
        let jwt = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P";
        for (text, expected) in [
            ("aws --key AKIAIOSFODNN7EXAMPLE s3 ls", "aws --key [redacted:aws-key] s3 ls"),
            ("echo ghp_0123456789abcdefghij0123456789abcdef", "echo [redacted:github]"),
            ("curl https://me:hunter2@example.org/x", "curl https://me:[redacted:url-password]@example.org/x"),
            ("curl -u me:hunter2 https://x", "curl -u me:[redacted:value] https://x"),
            ("docker run -u 1000:1000 x", "docker run -u 1000:1000 x"),
            ("password=hunter2 ./x", "password=[redacted:value] ./x"),
            ("export DB_PASSWORD='two words' x", "export DB_PASSWORD='[redacted:value]' x"),
            ("mysql --password hunter2 db", "mysql --password [redacted:value] db"),
            ("mysql '--password=hunter two' db", "mysql '--password=[redacted:value]' db"),
            ("AWS_SECRET_ACCESS_KEY=abc/def+x== aws", "AWS_SECRET_ACCESS_KEY=[redacted:value] aws"),
            (r#"echo {"api_key": "abc", "n": 1}"#, r#"echo {"api_key": "[redacted:value]", "n": 1}"#),
            ("curl -H 'Authorization: Bearer abc.def'", "curl -H 'Authorization: [redacted:value]'"),
            ("curl -H \"Authorization: Basic YTpi\" x", "curl -H \"Authorization: [redacted:value]\" x"),
            (
                "echo \"-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\" x",
                "echo \"[redacted:pem]\" x",
            ),
            ("echo -----BEGIN OPENSSH PRIVATE KEY-----\nb3Blb", "echo [redacted:pem]"),
            ("TOKEN=$(cat x) y", "TOKEN=$(cat x) y"),
            ("x --token \"$T\" y", "x --token \"$T\" y"),
            ("git log -- src/token.rs", "git log -- src/token.rs"),
            ("cat /etc/passwd; ls", "cat /etc/passwd; ls"),
            ("ssh-keygen -t ed25519 -f key", "ssh-keygen -t ed25519 -f key"),
            ("make sk-toolchain", "make sk-toolchain"),
            ("git clone https://example.org/a@b", "git clone https://example.org/a@b"),
            ("ünï password: ö ünï", "ünï password: [redacted:value] ünï"),
        ] {
            assert_eq!(clean(text), expected);
        }
        assert_eq!(clean(&format!("x {jwt} y")), "x [redacted:jwt] y");
    }

    #[test]
    fn what_is_secret_in_one_place_is_so_in_all() {
        let mut value = json!({
            "text": "deploy --api-key swordfish99",
            "canonical": [{"argv": ["deploy", "--api-key", "swordfish99"], "env": ["MY_TOKEN=two words"]}],
            "effects": [{"about": "writes /w/swordfish99.txt"}],
        });
        redact(&mut value, |_| true);
        let text = value.to_string();
        assert!(!text.contains("swordfish") && !text.contains("two words"), "{text}");
        assert_eq!(value["canonical"][0]["argv"][2], "[redacted:argument]");
        assert_eq!(value["effects"][0]["about"], "writes /w/[redacted:known].txt");
    }

    #[test]
    fn any_text_is_taken() {
        for text in
            ["", "://", "://:@", "-----BEGIN ", "password=", "password='", "token:\u{202e}x", "--token ", "é=é", "-u :"]
        {
            let once = clean(text);
            assert_eq!(clean(&once), once, "{text}");
        }
    }
}
