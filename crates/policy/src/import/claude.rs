//! `settings.json` of Claude Code: `permissions` with `allow`, `ask` and `deny`, of which deny comes first and allow last.

use super::command::{End, Pattern};
use super::glob::Glob;
use super::{About, Given, Read, Source, Wrong};
use crate::layer::offset;
use crate::replay::request::Text;
use model::{FilePath, Verdict};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Settings<'a> {
    #[serde(borrow, default)]
    permissions: Permissions<'a>,
    #[serde(flatten)]
    _rest: BTreeMap<String, IgnoredAny>,
}

#[derive(Default, Deserialize)]
struct Permissions<'a> {
    #[serde(borrow, default)]
    allow: Vec<Text<'a>>,
    #[serde(borrow, default)]
    ask: Vec<Text<'a>>,
    #[serde(borrow, default)]
    deny: Vec<Text<'a>>,
}

/// Tools that are no commands and change no file.
const TOOLS: [&str; 22] = [
    "Agent",
    "AskUserQuestion",
    "BashOutput",
    "EnterPlanMode",
    "ExitPlanMode",
    "KillBash",
    "KillShell",
    "LSP",
    "ListMcpResourcesTool",
    "Monitor",
    "ReadMcpResourceTool",
    "Skill",
    "SlashCommand",
    "Task",
    "TaskOutput",
    "TaskStop",
    "TodoRead",
    "TodoWrite",
    "ToolSearch",
    "WebSearch",
    "Cron",
    "SendMessage",
];

pub(super) fn read(given: &Given<'_>) -> Result<Read, Wrong> {
    let settings: Settings<'_> = serde_json::from_str(given.text)
        .map_err(|error| Wrong::new(offset(given.text, error.line(), error.column()), plain(&error)))?;
    let mut sources = Vec::new();
    let lists = settings.permissions;
    for (list, verdict, rank) in
        [(&lists.deny, Verdict::Deny, 2), (&lists.ask, Verdict::Ask, 1), (&lists.allow, Verdict::Allow, 0)]
    {
        for rule in list {
            let (about, never) = about(&rule.0, verdict, given);
            let (at, shown, conditions) = (place(given.text, &rule.0), rule.0.to_string(), Vec::new());
            // Names of MCP tools contain each other.
            let tool = if rule.0.starts_with("mcp__") { "mcp" } else { rule.0.split('(').next().unwrap_or_default() };
            let tool = tool.trim().to_owned();
            sources.push(Source { at, shown, verdict, tool, about, conditions, never, rank });
        }
    }
    Ok(Read { sources })
}

/// Without the place, which is told in front.
fn plain(error: &serde_json::Error) -> String {
    error.to_string().split(" at line ").next().unwrap_or_default().to_owned()
}

/// Where a text that was read stands; one with escapes in it was put together, and is looked for.
fn place(text: &str, part: &str) -> usize {
    let (from, at) = (text.as_ptr() as usize, part.as_ptr() as usize);
    let within = at.checked_sub(from).filter(|at| at + part.len() <= text.len());
    within.or_else(|| text.find(&serde_json::to_string(part).ok()?)).unwrap_or(0)
}

fn about(rule: &str, verdict: Verdict, given: &Given<'_>) -> (About, Option<String>) {
    let rule = rule.trim();
    let (tool, specifier) = match rule.split_once('(') {
        None => (rule, None),
        Some((tool, rest)) => match rest.strip_suffix(')') {
            Some(inner) => (tool.trim(), Some(inner)),
            None => return fails(rule, "its bracket does not close"),
        },
    };
    if let Some(name) = tool.strip_prefix("mcp__") {
        return mcp(rule, name, specifier, verdict);
    }
    match (tool, specifier) {
        ("Bash", None | Some("*" | ":*")) => (About::Commands(Pattern::any()), None),
        ("Bash", Some(text)) => bash(rule, text),
        ("Read", None | Some("*" | "**")) => (About::Read(Glob::anything()), None),
        ("Edit", None | Some("*" | "**")) | ("Write" | "MultiEdit" | "NotebookEdit", None) => {
            (About::Change(Glob::anything()), None)
        }
        ("Read" | "Edit", Some(pattern)) => path(tool, pattern, given),
        ("Write" | "MultiEdit" | "NotebookEdit", Some(_)) => {
            fails(rule, &format!("paths are looked up in Read(...) and Edit(...) rules only, never in {tool}(...)"))
        }
        ("Glob" | "Grep" | "LS", None) => (About::Tool(tool.to_owned()), None),
        ("Glob" | "Grep" | "LS", Some(_)) => {
            fails(rule, &format!("paths are looked up in Read(...) and Edit(...) rules only, never in {tool}(...)"))
        }
        ("WebFetch", None) => (About::Fetch(None), None),
        ("WebFetch", Some(text)) => match text.strip_prefix("domain:").map(str::trim) {
            Some("*") => (About::Fetch(None), None),
            Some(host) if is_host(host) => (About::Fetch(Some(host.to_ascii_lowercase())), None),
            Some(_) => fails(rule, "that is no name of a host: no scheme, no path, no port"),
            None => fails(rule, "WebFetch knows only `domain:HOST`"),
        },
        ("*", None) => (About::Everything, None),
        (tool, _) if TOOLS.contains(&tool) => (About::Tool(tool.to_owned()), None),
        (tool, _) => {
            let known = ["Bash", "Read", "Edit", "Write", "WebFetch"].into_iter().chain(TOOLS);
            let meant = known.into_iter().find(|known| known.eq_ignore_ascii_case(tool));
            let hint = meant.map(|meant| format!("; {meant} is one")).unwrap_or_default();
            fails(rule, &format!("there is no tool called {tool}{hint}"))
        }
    }
}

/// A rule that matches nothing.
fn fails(rule: &str, why: &str) -> (About, Option<String>) {
    (About::Other(rule.to_owned()), Some(why.to_owned()))
}

fn is_host(host: &str) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

fn mcp(rule: &str, name: &str, specifier: Option<&str>, verdict: Verdict) -> (About, Option<String>) {
    let server = name.split("__").next().unwrap_or_default();
    if specifier.is_some() {
        return fails(rule, "rules for MCP tools have no brackets");
    }
    if verdict == Verdict::Allow && server.contains('*') {
        return fails(rule, "a star in the server's name is not looked at where something is allowed");
    }
    if server.is_empty() {
        return fails(rule, "it names no server");
    }
    (About::Tool(rule.to_owned()), None)
}

fn bash(rule: &str, text: &str) -> (About, Option<String>) {
    let text = text.trim();
    if text.is_empty() {
        return fails(rule, "it matches the empty command only");
    }
    for parameter in ["command:", "description:", "timeout:"] {
        if text.starts_with(parameter) && text != "command:*" {
            return fails(
                rule,
                &format!("`{parameter}` is not looked at: what stands in the brackets is the command itself"),
            );
        }
    }
    // Quoting apart, which a pattern hardly has, a command is cut at these before rules are compared with its parts.
    if let Some(operator) = ["&&", "||", ";", "|", "\n"].into_iter().find(|operator| text.contains(operator)) {
        let operator = operator.escape_debug();
        return fails(rule, &format!("commands are cut at `{operator}` first, and each part is compared for itself"));
    }
    let (body, end) = match (text.strip_suffix(":*"), text.strip_suffix('*')) {
        (Some(prefix), _) => (prefix, End::Anything),
        (None, Some(start)) if start.ends_with(char::is_whitespace) => (start, End::Anything),
        (None, Some(start)) => (start, End::MidWord),
        (None, None) => (text, End::Here),
    };
    if body.contains(":*") {
        return fails(rule, "`:*` means something at the end only; here it is a colon and a star");
    }
    match body.split_once('*') {
        None => (About::Commands(Pattern::of(body, end)), None),
        Some((start, _)) => {
            // Only whole words before the first star are known.
            let whole = start.rfind(char::is_whitespace).and_then(|at| start.get(..at)).unwrap_or_default();
            (About::Commands(Pattern::of(whole, End::Unknown)), None)
        }
    }
}

fn path(tool: &str, pattern: &str, given: &Given<'_>) -> (About, Option<String>) {
    let as_about = |glob| if tool == "Read" { About::Read(glob) } else { About::Change(glob) };
    let root = |path: &FilePath| String::from_utf8_lossy(path.as_bytes()).into_owned();
    let pattern = pattern.trim();
    if pattern.is_empty() {
        return fails(pattern, "it names no path");
    }
    if pattern.starts_with('!') {
        return (About::Other(format!("{tool}({pattern}) takes back what other patterns match")), None);
    }
    if let Some(absolute) = pattern.strip_prefix("//") {
        return (as_about(Glob::new("", absolute, false)), None);
    }
    if let Some(below) = pattern.strip_prefix("~/") {
        return (as_about(Glob::new(&root(given.home), below, false)), None);
    }
    if let Some(below) = pattern.strip_prefix('/') {
        let glob = Glob::new(&root(given.base), below, false);
        let first = below.split('/').next().unwrap_or_default();
        let is_there = |path: String| (given.exists)(&FilePath::from(path.as_str()));
        // Somebody meant the root of the machine: it is there, and nothing of that name where the rule looks.
        let plain = !first.is_empty() && !first.contains(['*', '?', '[']);
        if plain && is_there(format!("/{first}")) && !is_there(format!("{}/{first}", root(given.base))) {
            let why = format!(
                "one slash in front means below {}, where there is no {first}; //{below} is the absolute path",
                given.base
            );
            return (as_about(glob), Some(why));
        }
        return (as_about(glob), None);
    }
    let below = pattern.strip_prefix("./").unwrap_or(pattern);
    let inner = below.trim_end_matches('/');
    // As git does: a name without a slash is looked for at any depth, others from the working directory on.
    match given.project {
        Some(project) if inner.contains('/') && pattern_is_anchored(inner) => {
            // The agent may work in a directory of it: a rule that forbids looks there too.
            (as_about(Glob::new(&root(project), below, false)), None)
        }
        Some(project) => (as_about(Glob::new(&root(project), inner.trim_start_matches("**/"), true)), None),
        None => (as_about(Glob::new("", inner.trim_start_matches("**/"), true)), None),
    }
}

fn pattern_is_anchored(pattern: &str) -> bool {
    !pattern.starts_with("**/")
}
