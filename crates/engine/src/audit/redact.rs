//! Secrets in what is logged, by their shape: replaced by `[redacted:KIND]` before the bytes are hashed and written.
//!
//! A record holds names and facts, but a command line may carry a password and a path may be named after a token. What is
//! found in one place of a record is replaced in all of them. A secret that looks like any other word is not found.

use policy::shapes;
use serde_json::Value;

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
                    let this = std::mem::replace(&mut secret_next, words && shapes::is_flag(text));
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

/// `text` with its secrets replaced, if it has any. What they were is added to `known`.
fn text_without(text: &str, word: bool, known: &mut Vec<String>) -> Option<String> {
    let found = shapes::find(text, word);
    known.extend(found.iter().map(|found| text.get(found.start..found.end).unwrap_or_default().to_owned()));
    (!found.is_empty()).then(|| shapes::without(text, &found))
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
