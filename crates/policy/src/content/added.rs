//! Secrets in text that a change adds: lines that were not there before and hold what looks like a published form of a
//! token, a private key, or a password in an address. Never shown is the secret, nor what stands around it.

use super::note::{Item, Note, count, some};
use crate::shapes;
use model::{FilePath, Risk};
use std::collections::HashSet;

pub(crate) const SECRET: &str = "content/secret";

/// Secrets within secrets, as `password=token` has it.
const DEPTH_MAX: usize = 3;
/// Characters of base64 that make a key of the lines behind its first.
const KEY_CHARS_MIN: usize = 32;

/// What is added to a file. A test needs secrets that are none, so there they are pointed out and not red.
pub(crate) fn notes(path: &FilePath, before: Option<&str>, after: &str) -> Option<Note> {
    if !shapes::may_hold(after) {
        return None;
    }
    let known: HashSet<&str> = before.map(|text| text.lines().collect()).unwrap_or_default();
    let mut items = Vec::new();
    let mut lines = after.lines().enumerate().peekable();
    while let Some((at, line)) = lines.next() {
        if !shapes::may_hold(line) || known.contains(line) {
            continue;
        }
        let next = lines.peek().map_or("", |(_, next)| *next);
        let kinds = secrets(line, 0).into_iter().chain(is_private_key(line, next).then_some("pem"));
        items.extend(kinds.map(|kind| Item {
            name: kind.to_owned(),
            line: Some(at as u64 + 1),
            says: describe(kind).to_owned(),
        }));
    }
    let lines: Vec<String> =
        items.iter().map(|item| format!("{} in line {}", item.says, item.line.unwrap_or_default())).collect();
    let risk = if is_test(path) { Risk::Medium } else { Risk::High };
    let says = format!("{} in the new text: {}", count(items.len(), "secret"), some(&lines));
    (!items.is_empty()).then(|| Note::new(risk, SECRET, says, items))
}

fn describe(kind: &str) -> &'static str {
    match kind {
        "aws-key" => "an access key of AWS",
        "github" => "a token of GitHub",
        "gitlab" => "a token of GitLab",
        "slack" => "a token of Slack",
        "google" => "a key of Google",
        "npm" => "a token of npm",
        "pypi" => "a token of PyPI",
        "age" => "a key of age",
        "jwt" => "a signed token (JWT)",
        "pem" => "a private key",
        "url-password" => "a password in an address",
        _ => "a key of a service",
    }
}

/// The kinds of secrets in one line.
fn secrets(line: &str, depth: usize) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    for found in shapes::find(line, false) {
        let secret = line.get(found.start..found.end).unwrap_or_default();
        match found.kind {
            // The name says so, which in a program is said of variables; what it holds may be a token.
            "value" if depth < DEPTH_MAX => kinds.extend(secrets(secret, depth + 1)),
            "value" | "pem" => {}
            "url-password" => kinds.extend((!is_example_login(line, found.start, secret)).then_some(found.kind)),
            _ => kinds.extend(is_random(secret).then_some(found.kind)),
        }
    }
    kinds
}

/// Whether a token was drawn and not written by a person: letters and digits in one run, many different ones, nothing
/// that says it is an example.
fn is_random(token: &str) -> bool {
    let lower = token.to_ascii_lowercase();
    const EXAMPLES: &[&str] = &[
        "example",
        "xxxx",
        "your",
        "dummy",
        "fake",
        "placeholder",
        "changeme",
        "redacted",
        "00000",
        "sample",
        "-test-",
        "_test_",
    ];
    if EXAMPLES.iter().any(|word| lower.contains(word)) || has_sequence(lower.as_bytes()) {
        return false;
    }
    let runs = token.split(|c: char| !c.is_ascii_alphanumeric());
    runs.filter(|run| run.len() >= 10).any(|run| {
        let different: HashSet<u8> = run.bytes().collect();
        let digits = run.bytes().filter(u8::is_ascii_digit).count();
        different.len() >= 8 && digits >= 1 && digits < run.len()
    })
}

/// `abcdefgh`, `12345678`: eight in a row, which chance does not make.
fn has_sequence(bytes: &[u8]) -> bool {
    let mut row = 1;
    bytes.windows(2).any(|pair| {
        row = if matches!(pair, [a, b] if a.checked_add(1) == Some(*b)) { row + 1 } else { 1 };
        row >= 8
    })
}

/// `user:password@localhost`, `postgres:postgres@db`, `{user}:{password}@{host}`.
fn is_example_login(line: &str, start: usize, password: &str) -> bool {
    let lower = password.to_ascii_lowercase();
    let word = [
        "password", "passwd", "pass", "secret", "changeme", "example", "hunter2", "xxx", "test", "pwd", "admin",
        "root", "token", "user", "foo", "bar",
    ];
    let is_template = password.contains(['{', '}', '<', '>', '$', '%', '*', '[', ']']) || password.len() < 6;
    let before = line.get(..start).unwrap_or_default();
    let user = before.trim_end_matches(':').rsplit(['/', ':']).next().unwrap_or_default().to_ascii_lowercase();
    let host = line.get(start + password.len() + 1..).unwrap_or_default().to_ascii_lowercase();
    let host = host.split(|c: char| !(c.is_ascii_alphanumeric() || "-._".contains(c))).next().unwrap_or_default();
    let nowhere = ["localhost", "127.0.0.1", "0.0.0.0", "host", "db", ""].contains(&host)
        || [".example", ".test", ".invalid", ".localhost", "example.com", "example.org", "example.net"]
            .iter()
            .any(|end| host.ends_with(end));
    is_template || nowhere || word.contains(&lower.as_str()) || lower == user || lower.contains("example")
}

/// The first line of a private key with some of the key behind it, in the same line or the next.
fn is_private_key(line: &str, next: &str) -> bool {
    let Some((_, head)) = line.split_once("-----BEGIN ") else { return false };
    let Some((name, rest)) = head.split_once("-----") else { return false };
    let body = rest.trim_start_matches("\\n").trim_start_matches("\\r\\n");
    let body = if body.trim_matches(['"', '\'', ' ', '+', '\\', 'n']).is_empty() {
        next.trim_start_matches([' ', '\t', '"', '\''])
    } else {
        body
    };
    let coded = body.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
    let text: Vec<u8> = coded.collect();
    let different: HashSet<&u8> = text.iter().collect();
    // Some have lines about the key before it.
    let headed = ["Proc-Type:", "Version:", "Comment:"].iter().any(|head| body.starts_with(head));
    name.ends_with("PRIVATE KEY")
        && name.len() < 40
        && (headed || (text.len() >= KEY_CHARS_MIN && different.len() >= 8))
}

/// Whether a file is there to test or to explain.
fn is_test(path: &FilePath) -> bool {
    const DIRECTORIES: &[&str] = &[
        "test",
        "tests",
        "__tests__",
        "testdata",
        "fixtures",
        "__fixtures__",
        "spec",
        "specs",
        "examples",
        "mocks",
        "__mocks__",
    ];
    let text = path.to_string().to_ascii_lowercase();
    let (above, name) = text.rsplit_once('/').unwrap_or(("", &text));
    above.split('/').any(|part| DIRECTORIES.contains(&part))
        || ["_test.", ".test.", ".spec.", "_spec."].iter().any(|part| name.contains(part))
        || name.starts_with("test_")
}

#[cfg(test)]
mod tests {
    use super::{notes, secrets};
    use model::{FilePath, Risk};

    /// Put together here, so that no scanner of this repository takes them for real.
    fn token(parts: [&str; 2]) -> String {
        parts.concat()
    }

    #[test]
    fn tokens_are_known_and_examples_are_not() {
        let github = token(["ghp_", "R8vX2mQ7pL0sKd93TzYwB1nHcJ4uFgA65eMi"]);
        for (line, expected) in [
            (format!("x = \"{github}\""), vec!["github"]),
            (format!("token={github}"), vec!["github"]),
            (format!("\"password\": \"token={github}\""), vec!["github"]),
            (token(["aws = AKIA", "Z7QKXJ3MPL2RTV5W"]), vec!["aws-key"]),
            ("aws = AKIAIOSFODNN7EXAMPLE".to_owned(), vec![]),
            ("ghp_0123456789abcdefghij0123456789abcdef".to_owned(), vec![]),
            ("ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx".to_owned(), vec![]),
            ("class=\"sk-loading-spinner-container-large\"".to_owned(), vec![]),
            ("pypi-some-package-name-that-is-long".to_owned(), vec![]),
            ("password = get_password()".to_owned(), vec![]),
            (token(["postgres://app:", "tR9vLx2Qm@db.corp.net/x"]), vec!["url-password"]),
            ("postgres://postgres:postgres@db.corp.net/x".to_owned(), vec![]),
            ("https://user:password@corp.net/x".to_owned(), vec![]),
            ("https://u:Xy83kdlw@localhost:1/x".to_owned(), vec![]),
            ("https://{user}:{secret12}@corp.net".to_owned(), vec![]),
        ] {
            assert_eq!(secrets(&line, 0), expected, "{line}");
        }
    }

    #[test]
    fn only_what_is_new_counts_and_nothing_of_it_is_shown() {
        let (old, new) = (
            token(["npm_", "a8Kd03nTqX7vZ1mPw5sYb2RcJ9uGhE4fLoI6"]),
            token(["npm_", "Q3xW8eR1tY6uI0oP5aS2dF7gH4jK9lZcVbNm"]),
        );
        let path = FilePath::from("/w/conf");
        let before = format!("a\n{old}\n");
        assert_eq!(notes(&path, Some(&before), &format!("b\n{old}\n")), None);
        let note = notes(&path, Some(&before), &format!("b\n{old}\n{new}\n")).unwrap();
        assert_eq!((note.risk, note.items.len(), note.items[0].line), (Risk::High, 1, Some(3)));
        assert!(note.says.contains("line 3") && !format!("{note:?}").contains("Q3xW8eR1"), "{note:?}");
        let test = notes(&FilePath::from("/w/tests/conf"), None, &new).unwrap();
        assert_eq!(test.risk, Risk::Medium);
    }

    #[test]
    fn a_private_key_is_one_with_a_key_in_it() {
        let head = "-----BEGIN RSA PRIVATE KEY-----";
        let body = "MIIEpAIBAAKCAQEA7x2Vb0kQm3Zt9LrWcYp1sD8hJfNgUeXo";
        let path = FilePath::from("/w/k");
        for (text, expected) in [
            (format!("{head}\n{body}\n"), 1),
            (format!("key = \"{head}\\n{body}\\n\""), 1),
            (format!("{head}\nProc-Type: 4,ENCRYPTED\n"), 1),
            (format!("if text.starts_with(\"{head}\") {{\n    return;\n"), 0),
            (format!("{head}\n...\n"), 0),
            ("-----BEGIN CERTIFICATE-----\nMIIEpAIBAAKCAQEA7x2Vb0kQm3Zt9LrWcYp1sD8hJfNgUeXo\n".to_owned(), 0),
        ] {
            assert_eq!(notes(&path, None, &text).map_or(0, |note| note.items.len()), expected, "{text}");
        }
    }
}
