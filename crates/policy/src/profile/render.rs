//! Profiles as text, with what a run adds in comments.

use super::Profile;
use super::learn::{Learnt, is_read, is_write, measured, others, refused, refused_peers};
use model::{Access, EnvBase};
use std::fmt::Write as _;

pub(super) fn render(profile: &Profile) -> String {
    let mut text = String::new();
    body(&mut text, profile, None);
    text
}

/// Writing to a String cannot fail.
pub(super) fn body(out: &mut String, profile: &Profile, run: Option<&Learnt<'_>>) {
    if !profile.says.is_empty() {
        let _ = writeln!(out, "says = {}", quoted(&profile.says));
    }
    if !profile.rules.is_empty() {
        let _ = writeln!(out, "rules = {}", block(&profile.rules));
    }
    let mut files = String::new();
    word(&mut files, "home", profile.home.map(Access::word));
    word(&mut files, "workspace", profile.workspace.map(Access::word));
    list(&mut files, "write", &profile.write, &run.map(|run| refused(run, is_write)).unwrap_or_default());
    list(&mut files, "read", &profile.read, &run.map(|run| refused(run, is_read)).unwrap_or_default());
    list(&mut files, "hide", &profile.hide, &[]);
    table(out, "files", &files);

    let mut network = String::new();
    let rules: Vec<String> = profile.allow_net.iter().map(ToString::to_string).collect();
    list(&mut network, "allow", &rules, &run.map(refused_peers).unwrap_or_default());
    table(out, "network", &network);

    let mut environment = String::new();
    word(&mut environment, "base", profile.env.map(EnvBase::word));
    list(&mut environment, "pass", &profile.pass, &[]);
    if let Some(run) = run.filter(|run| !run.valued.is_empty()) {
        let _ = writeln!(
            environment,
            "# Set by --env NAME=VALUE, whose values are not written down: {}",
            run.valued.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ")
        );
    }
    table(out, "environment", &environment);
    let set: Vec<String> = profile.set.iter().map(|(name, value)| format!("{name} = {}\n", quoted(value))).collect();
    table(out, "environment.set", &set.concat());

    let mut limits = String::new();
    for (name, value, _) in profile.limits.set_ones() {
        let value = if value.bytes().all(|byte| byte.is_ascii_digit()) { value } else { format!("\"{value}\"") };
        let comment = run.map(|run| measured(run, name)).unwrap_or_default();
        let _ = writeln!(limits, "{name} = {value}{comment}");
    }
    table(out, "limits", &limits);

    let mut rest = String::new();
    word(&mut rest, "backend", profile.backend.map(model::BackendWish::word));
    word(&mut rest, "apply", profile.apply.map(model::Apply::word));
    if let Some(unattended) = profile.unattended {
        let _ = writeln!(rest, "unattended = {unattended}");
    }
    let weak: Vec<String> = profile.accept_weak.iter().map(|layer| layer.word()).collect();
    list(&mut rest, "accept-weak", &weak, &[]);
    table(out, "run", &rest);
    if let Some(run) = run {
        others(out, run);
    }
}

fn table(out: &mut String, name: &str, lines: &str) {
    if !lines.is_empty() {
        let gap = if out.is_empty() || out.ends_with("\n\n") { "" } else { "\n" };
        let _ = write!(out, "{gap}[{name}]\n{lines}");
    }
}

fn word(out: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        let _ = writeln!(out, "{name} = \"{value}\"");
    }
}

/// A list, with further entries in comments: what each is and what refused it.
fn list(out: &mut String, name: &str, entries: &[String], refused: &[(String, String)]) {
    if entries.is_empty() && refused.is_empty() {
        return;
    }
    if refused.is_empty() && entries.len() == 1 {
        let _ = writeln!(out, "{name} = [{}]", entries.iter().map(|one| quoted(one)).collect::<String>());
        return;
    }
    let _ = writeln!(out, "{name} = [");
    for entry in entries {
        let _ = writeln!(out, "  {},", quoted(entry));
    }
    for (entry, why) in refused {
        let _ = writeln!(out, "  # {},  # {why}", quoted(entry));
    }
    let _ = writeln!(out, "]");
}

/// A text in one line of a comment.
pub(super) fn plain(text: &str) -> String {
    model::escape::text(text)
}

/// A basic string of TOML, in which nothing is invisible.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if model::escape::is_deceptive(c) => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A text of several lines.
fn block(text: &str) -> String {
    let readable = |c: char| c == '\n' || c == '\t' || !model::escape::is_deceptive(c);
    if text.contains("'''") || !text.chars().all(readable) { quoted(text) } else { format!("'''\n{text}'''") }
}
