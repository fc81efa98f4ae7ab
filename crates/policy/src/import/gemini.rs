//! Policies of the Gemini CLI: `[[rule]]` with `toolName`, `commandPrefix`, `commandRegex`, `argsPattern`, `decision` and
//! `priority`. The one with the highest priority that matches decides.

use super::command::{End, Pattern};
use super::glob::Glob;
use super::{About, Given, Read, Source, Wrong};
use model::Verdict;
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;
use toml::value::Value;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    rule: Vec<Spanned<Rule>>,
    #[serde(flatten)]
    _rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    tool_name: Option<OneOrMore>,
    command_prefix: Option<OneOrMore>,
    command_regex: Option<String>,
    args_pattern: Option<String>,
    mcp_name: Option<OneOrMore>,
    decision: Spanned<String>,
    #[serde(default)]
    priority: f64,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn all(self) -> Vec<String> {
        match self {
            OneOrMore::One(one) => vec![one],
            OneOrMore::More(all) => all,
        }
    }
}

/// What changes no decision.
const PLAIN: [&str; 4] = ["denyMessage", "allowRedirection", "description", "name"];
/// Tools that are no commands and touch no file.
const TOOLS: [&str; 16] = [
    "google_web_search",
    "save_memory",
    "write_todos",
    "ask_user",
    "activate_skill",
    "enter_plan_mode",
    "exit_plan_mode",
    "get_internal_docs",
    "delegate_to_agent",
    "codebase_investigator",
    "cli_help",
    "complete_task",
    "update_topic",
    "tracker_create_task",
    "tracker_update_task",
    "list_background_processes",
];

pub(super) fn read(given: &Given<'_>) -> Result<Read, Wrong> {
    let file: File = toml::from_str(given.text)
        .map_err(|error| Wrong::new(error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
    let mut sources = Vec::new();
    for rule in file.rule {
        let span = rule.span();
        one(span.start, rule.into_inner(), &mut sources)?;
    }
    Ok(Read { sources })
}

fn one(at: usize, rule: Rule, sources: &mut Vec<Source>) -> Result<(), Wrong> {
    let verdict = match rule.decision.get_ref().as_str() {
        "allow" => Verdict::Allow,
        "ask_user" => Verdict::Ask,
        "deny" => Verdict::Deny,
        _ => return Err(Wrong::new(rule.decision.span().start, "a decision is allow, deny or ask_user")),
    };
    if !(0.0..1000.0).contains(&rule.priority) {
        return Err(Wrong::new(at, "a priority is from 0 to 999"));
    }
    if rule.command_prefix.is_some() && rule.command_regex.is_some() {
        return Err(Wrong::new(at, "commandPrefix and commandRegex cannot be in one rule"));
    }
    let known = |name: &str| PLAIN.contains(&name);
    let conditions: Vec<String> =
        rule.rest.keys().filter(|name| !known(name)).map(|name| format!("its own {name}")).collect();
    // Thousandths are enough to tell two apart.
    let rank = format!("{:.0}", rule.priority * 1000.0).parse().unwrap_or(0);
    let shell_only = rule.command_prefix.is_some() || rule.command_regex.is_some();
    let tools = rule.tool_name.map(OneOrMore::all).unwrap_or_else(|| {
        let any = if shell_only { "run_shell_command" } else { "*" };
        vec![any.to_owned()]
    });
    let prefixes = rule.command_prefix.map(OneOrMore::all);
    let mcp: Vec<String> = rule.mcp_name.map(OneOrMore::all).unwrap_or_default();
    let priority = rule.priority;
    let mut add = |tool: &str, what: &str, about: About, never: Option<String>| {
        let what = if what.is_empty() { String::new() } else { format!(" {what:?}") };
        let (shown, tool) = (format!("{tool}{what}, priority {priority}"), tool.to_owned());
        sources.push(Source { at, shown, verdict, tool, about, conditions: conditions.clone(), never, rank });
    };
    for tool in &tools {
        if let Some(server) = mcp.first() {
            add("mcp", server, About::Tool(format!("mcp_{server}_{tool}")), None);
            continue;
        }
        if shell_only && tool != "run_shell_command" {
            add(
                tool,
                "",
                About::Other(tool.clone()),
                Some(format!("commandPrefix and commandRegex are of run_shell_command, not of {tool}")),
            );
            continue;
        }
        match (&prefixes, rule.command_regex.as_ref().or(rule.args_pattern.as_ref())) {
            (Some(prefixes), _) if prefixes.is_empty() => {
                add(tool, "", About::Other(String::new()), Some("no command begins with one of none".to_owned()));
            }
            (Some(prefixes), _) => {
                for prefix in prefixes {
                    let empty = prefix.trim().is_empty().then(|| "it is the beginning of no command".to_owned());
                    // Some versions let the last word go on; what is forbidden is forbidden either way.
                    let end = if verdict == Verdict::Allow { End::Anything } else { End::MidWord };
                    add(tool, prefix, About::Commands(Pattern::of(prefix, end)), empty);
                }
            }
            (None, Some(expression)) => {
                let expression: String = expression.chars().take(60).collect();
                let about = About::Other("rules here see effects, and no expression over arguments".to_owned());
                add(tool, &expression, about, None);
            }
            (None, None) => {
                let (about, never) = of_tool(tool);
                add(tool, "", about, never);
            }
        }
    }
    Ok(())
}

fn of_tool(tool: &str) -> (About, Option<String>) {
    let about = match tool {
        "*" => About::Everything,
        "run_shell_command" => About::Commands(Pattern::any()),
        "read_file" | "read_many_files" | "list_directory" | "glob" | "search_file_content" | "grep_search" => {
            About::Read(Glob::anything())
        }
        "write_file" | "replace" => About::Change(Glob::anything()),
        "web_fetch" => About::Fetch(None),
        tool if tool.starts_with("mcp_") || tool.contains("__") || TOOLS.contains(&tool) => {
            About::Tool(tool.to_owned())
        }
        tool => {
            return (About::Other(tool.to_owned()), Some(format!("there is no tool called {tool}")));
        }
    };
    (about, None)
}
