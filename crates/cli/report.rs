//! Results of `belljar check` for other tools: SARIF 2.1.0, GitHub workflow commands, JUnit.

use crate::cmd::check::CheckedText;
use analyze::{CHECKS, Check};
use engine::Judged;
use model::{FilePath, Risk, Span, Verdict};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The rule that stands for an effect no numbered check speaks of.
const EFFECT: &str = "effect";

/// One thing to report, at its place in the text.
struct Item<'a> {
    rule: String,
    name: &'static str,
    risk: Risk,
    span: Span,
    message: &'a str,
}

/// Every reason of a verdict above LOW.
fn items(judged: &Judged) -> impl Iterator<Item = Item<'_>> {
    judged.assessment.reasons.iter().map(|reason| {
        let check = reason.check.and_then(Check::by_id);
        Item {
            rule: check.map_or_else(|| EFFECT.to_owned(), |check| check.id.to_string()),
            name: check.map_or(EFFECT, |check| check.name),
            risk: if judged.place.contained { reason.tiers.contained } else { reason.tiers.bare },
            span: reason.span.unwrap_or(Span::new(0, 0)),
            message: &reason.text,
        }
    })
}

/// Line and column of a byte offset, both from 1; columns count UTF-16 units, as SARIF does by default.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or("").encode_utf16().count() + 1;
    (before.bytes().filter(|byte| *byte == b'\n').count() + 1, column)
}

fn name_of(name: Option<&FilePath>) -> String {
    name.map_or_else(|| "command".to_owned(), ToString::to_string)
}

/// SARIF 2.1.0 (OASIS, 2020): one run, one rule per check, one result per reason.
pub(crate) fn sarif(judged: &[CheckedText]) -> Value {
    let results: Vec<Value> = judged
        .iter()
        .flat_map(|CheckedText { name, judged, .. }| {
            items(judged).map(move |item| result(name.as_ref(), judged, &item))
        })
        .collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "belljar",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules(),
            }},
            "columnKind": "utf16CodeUnits",
            "results": results,
        }],
    })
}

fn rules() -> Vec<Value> {
    let effect = json!({
        "id": EFFECT,
        "name": EFFECT,
        "shortDescription": {"text": "what the command would do is more than reading"},
        "help": {"text": "`belljar run` runs it on a copy and shows the result first"},
        "defaultConfiguration": {"level": "warning"},
    });
    let rule = |check: &Check| {
        json!({
            "id": check.id,
            "name": check.name,
            "shortDescription": {"text": check.says},
            "help": {"text": check.help},
            "defaultConfiguration": {"level": level(check.severity)},
        })
    };
    CHECKS.iter().map(rule).chain([effect]).collect()
}

fn result(name: Option<&FilePath>, judged: &Judged, item: &Item<'_>) -> Value {
    let text = &judged.analysis.text;
    let ((line, column), (end_line, end_column)) = (position(text, item.span.start), position(text, item.span.end));
    json!({
        "ruleId": item.rule,
        "level": level(item.risk),
        "message": {"text": item.message},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri(name)},
            "region": {"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column},
        }}],
    })
}

fn level(risk: Risk) -> &'static str {
    match risk {
        Risk::Low => "note",
        Risk::Medium => "warning",
        Risk::High => "error",
    }
}

/// A relative URI reference (RFC 3986): every byte that is not unreserved or a slash as `%HH`.
fn uri(name: Option<&FilePath>) -> String {
    let mut out = String::new();
    for byte in name.map_or(b"command".as_slice(), FilePath::as_bytes) {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(byte) {
            out.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Workflow commands of GitHub Actions, one a line.
pub(crate) fn github(judged: &[CheckedText]) -> String {
    let mut out = String::new();
    for CheckedText { name, judged, .. } in judged {
        for item in items(judged) {
            let word = match item.risk {
                Risk::High => "error",
                Risk::Medium => "warning",
                Risk::Low => "notice",
            };
            let text = &judged.analysis.text;
            let ((line, column), (end_line, _)) = (position(text, item.span.start), position(text, item.span.end));
            let file = name.as_ref().map_or_else(String::new, |name| format!("file={},", property(&name.to_string())));
            let title = property(&format!("{} {}", item.rule, item.name));
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "::{word} {file}line={line},endLine={end_line},col={column},title={title}::{}",
                data(item.message)
            );
        }
    }
    out
}

/// Escapes as the runner undoes them.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// A JUnit report: a test case for each text, failed where it would not simply be allowed.
pub(crate) fn junit(judged: &[CheckedText]) -> String {
    let held = |checked: &&CheckedText| checked.answer() != Verdict::Allow;
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "<testsuites>\n  <testsuite name=\"belljar check\" tests=\"{}\" failures=\"{}\" errors=\"0\">",
        judged.len(),
        judged.iter().filter(held).count()
    );
    for checked in judged {
        let CheckedText { name, judged, .. } = checked;
        let case = xml(&name_of(name.as_ref()));
        if checked.answer() == Verdict::Allow {
            let _ = writeln!(out, "    <testcase classname=\"belljar\" name=\"{case}\"/>");
            continue;
        }
        let verdict = if judged.decision.verdict == Verdict::Deny { "deny" } else { "ask" };
        let _ = writeln!(out, "    <testcase classname=\"belljar\" name=\"{case}\">");
        let _ = writeln!(out, "      <failure type=\"{verdict}\" message=\"{}\">", xml(&summary(judged)));
        for item in items(judged) {
            let (line, column) = position(&judged.analysis.text, item.span.start);
            let _ = writeln!(out, "{line}:{column} {} {} {}", item.risk, item.rule, xml(item.message));
        }
        out.push_str("      </failure>\n    </testcase>\n");
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

fn summary(judged: &Judged) -> String {
    let tiers = judged.assessment.tiers;
    format!("{} bare, {} in a jar", tiers.bare, tiers.contained)
}

/// Text for XML 1.0, in content or between double quotes; characters that XML cannot hold are spelled out.
fn xml(text: &str) -> String {
    let mut out = String::new();
    for c in model::escape::text(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{data, position, property, uri, xml};

    #[test]
    fn places_and_escapes() {
        assert_eq!(position("ls\né𝄞x", 0), (1, 1));
        assert_eq!(position("ls\né𝄞x", "ls\né𝄞".len()), (2, 4));
        assert_eq!(position("ls", 9), (1, 3));
        assert_eq!(data("a%b\nc"), "a%25b%0Ac");
        assert_eq!(property("a:b,c"), "a%3Ab%2Cc");
        assert_eq!(uri(Some(&"a b/é.sh".into())), "a%20b/%C3%A9.sh");
        assert_eq!(xml("<a href=\"x\">&\u{1}"), "&lt;a href=&quot;x&quot;&gt;&amp;\\u{1}");
    }
}
