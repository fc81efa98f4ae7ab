//! Imported rules against what they were: a permit is never wider, a forbid never narrower, and what can never fire is
//! told with the reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use belljar_policy::import::{Agent, Given, Import, Imported, Kept, import};
use belljar_policy::{Layer, Origin, Policy};
use model::{Action, Analysis, Certainty, Effect, FilePath, PathScope, Place, Reversibility, Target, Verdict};
use proptest::prelude::*;
use proptest::sample::select;

fn given<'a>(agent: Agent, text: &'a str, paths: &'a [FilePath; 2]) -> Given<'a> {
    let [home, project] = paths;
    let exists: &dyn Fn(&FilePath) -> bool = &|path| ["/etc", "/srv", "/work/src"].contains(&path.to_string().as_str());
    Given { name: "rules", agent, text, home, project: Some(project), base: project, exists }
}

fn imported(agent: Agent, text: &str) -> Import {
    let paths = [FilePath::from("/home/u"), FilePath::from("/work")];
    import(&[given(agent, text, &paths)]).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn claude(allow: &[&str], ask: &[&str], deny: &[&str]) -> Import {
    let text = serde_json::json!({"model": "x", "permissions": {"allow": allow, "ask": ask, "deny": deny}});
    imported(Agent::Claude, &serde_json::to_string_pretty(&text).unwrap())
}

#[track_caller]
fn rule<'i>(import: &'i Import, shown: &str) -> &'i Imported {
    import.rules.iter().find(|rule| rule.rule == shown).unwrap_or_else(|| panic!("{shown}: {:#?}", import.rules))
}

/// What the built-in rules with these say to one effect on the bare machine.
fn decides(policy: &Policy, action: Action, target: Target, certainty: Certainty) -> Verdict {
    let reversibility = if action == Action::Read { Reversibility::Harmless } else { Reversibility::ByOverlay };
    let effect = Effect { action, target, certainty, reversibility, span: None, by: None };
    let analysis = Analysis::of("", vec![effect]);
    let place = Place {
        cwd: "/work".into(),
        home: "/home/u".into(),
        workspace: "/work".into(),
        state: "/state".into(),
        uid: 1000,
        contained: false,
    };
    policy.decide(&analysis, &policy.assess(&analysis, &place), &place).verdict
}

fn policy(text: &str) -> Policy {
    Policy::layered(&[Layer { name: "import", origin: Origin::User, text }]).unwrap()
}

fn program(name: &str) -> Target {
    Target::Program { name: name.to_owned() }
}

fn path(path: &str, scope: PathScope) -> Target {
    Target::Path { path: path.into(), scope }
}

#[test]
fn commands_become_programs_and_never_more_of_them() {
    let import = claude(
        &[
            "Bash(npm run:*)",
            "Bash(make *)",
            "Bash(cargo build)",
            "Bash(gh pr view:*)",
            "Bash(./x.sh:*)",
            "Bash(go* test)",
        ],
        &["Bash(terraform:*)"],
        &["Bash(git push --force:*)", "Bash(* --rm)"],
    );
    let policy = policy(&import.text);
    let run = |name: &str| decides(&policy, Action::Execute, program(name), Certainty::Must);
    for (name, expected) in [
        ("npm run", Verdict::Allow),
        ("npm", Verdict::Ask),
        ("npm runx", Verdict::Ask),
        ("npm install", Verdict::Ask),
        ("make", Verdict::Allow),
        ("makex", Verdict::Ask),
        // Not these arguments alone, not this program alone: left out.
        ("cargo build", Verdict::Ask),
        ("gh pr", Verdict::Ask),
        ("terraform", Verdict::Ask),
        // Arguments are not seen: all that may be it is denied.
        ("git push", Verdict::Deny),
        ("git", Verdict::Deny),
        ("git commit", Verdict::Ask),
        ("/usr/local/bin/git", Verdict::Deny),
    ] {
        assert_eq!(run(name), expected, "{name}\n{}", import.text);
    }
    for (shown, kept) in [
        ("Bash(npm run:*)", Kept::Tighter),
        ("Bash(cargo build)", Kept::Not),
        ("Bash(gh pr view:*)", Kept::Not),
        ("Bash(./x.sh:*)", Kept::Not),
        ("Bash(go* test)", Kept::Not),
        ("Bash(git push --force:*)", Kept::Partly),
        ("Bash(* --rm)", Kept::Not),
    ] {
        let rule = rule(&import, shown);
        assert_eq!(rule.kept, kept, "{rule:?}");
        assert!(rule.kept == Kept::Same || !rule.notes.is_empty(), "{rule:?}");
        assert_eq!(rule.is_loss(), rule.verdict > Verdict::Allow, "{rule:?}");
        assert_eq!(rule.id.is_empty(), kept == Kept::Not);
    }
}

#[test]
fn what_can_never_fire_is_told() {
    let import = claude(
        &[
            "Bash(npm run test:*)",
            "Bash(npm run:*)",
            "Bash(rm -r:*)",
            "Read(/etc/passwd)",
            "Write(docs/**)",
            "bash(x)",
            "Bash(a && b)",
            "WebFetch(https://a.b/)",
            "Edit(src/secret/x)",
            "mcp__*__x",
            "Bash()",
            "Glob(src/**)",
            "Bash(git:* x)",
            "Read(/src/a)",
            "Bash(command:rm *)",
            "mcp__github__get",
            "Nonsense",
        ],
        &["Edit(src/secret/**)"],
        &["Bash(rm:*)", "mcp__github"],
    );
    for (shown, why) in [
        ("Bash(rm -r:*)", "Bash(rm:*) (line"),
        ("Read(/etc/passwd)", "//etc/passwd is the absolute path"),
        ("Write(docs/**)", "never in Write(...)"),
        ("bash(x)", "Bash is one"),
        ("Bash(a && b)", "cut at `&&`"),
        ("WebFetch(https://a.b/)", "domain:HOST"),
        ("Edit(src/secret/x)", "Edit(src/secret/**) (line"),
        ("mcp__*__x", "star"),
        ("Bash()", "empty"),
        ("Glob(src/**)", "never in Glob(...)"),
        ("Bash(git:* x)", "at the end only"),
        ("Bash(command:rm *)", "is not looked at"),
        ("mcp__github__get", "mcp__github (line"),
        ("Nonsense", "no tool called Nonsense"),
    ] {
        let rule = rule(&import, shown);
        assert!(rule.never.as_ref().is_some_and(|never| never.contains(why)), "{rule:?}");
        assert!(rule.id.is_empty() && import.text.contains(&format!(": {shown}\n// it can never fire")), "{shown}");
    }
    // The narrower one comes first here, so both fire; and where there is a directory of that name, one slash is meant.
    for shown in ["Bash(npm run test:*)", "Bash(npm run:*)", "Read(/src/a)", "Bash(rm:*)"] {
        assert_eq!(rule(&import, shown).never, None, "{shown}");
    }
    let line = rule(&import, "Bash(rm:*)").line;
    assert!(import.text.contains(&format!("rules:{line}:")), "{}", import.text);
}

#[test]
fn codex_and_gemini_decide_in_their_own_order() {
    let codex = imported(
        Agent::Codex,
        "# mine\nprefix_rule(pattern=['gh', 'pr', ['view', 'list']], decision='prompt',\n  match=['gh pr view 1', ['gh', 'pr', 'list']])\n\
         prefix_rule(pattern=[\"gh\", \"pr\", \"list\", \"-L\"],)\nprefix_rule(pattern=['ls'], match=['cat x'])\n\
         prefix_rule(pattern=['deploy', []])\nprefix_rule(pattern=['deploy'], decision='forbidden', justification='no')\n",
    );
    let never: Vec<bool> = codex.rules.iter().map(|rule| rule.never.is_some()).collect();
    assert_eq!(never, [false, true, true, true, false], "{:#?}", codex.rules);
    let policy_of = policy(&codex.text);
    assert_eq!(decides(&policy_of, Action::Execute, program("deploy"), Certainty::Must), Verdict::Deny);

    let gemini = imported(
        Agent::Gemini,
        "[[rule]]\ntoolName = ['write_file', 'replace']\ndecision = 'ask_user'\npriority = 10\n\
         [[rule]]\ncommandPrefix = ['npm', 'git status']\ndecision = 'allow'\npriority = 100\n\
         [[rule]]\ntoolName = 'run_shell_command'\ncommandPrefix = 'npm publish'\ndecision = 'deny'\npriority = 50\n\
         [[rule]]\ncommandRegex = 'docker (rm|kill)'\ndecision = 'deny'\npriority = 500\n\
         [[rule]]\ncommandPrefix = 'make'\ndecision = 'allow'\npriority = 1\nmodes = ['yolo']\n\
         [[rule]]\ntoolName = 'shell'\ndecision = 'deny'\n\
         [[rule]]\ntoolName = '*'\ndecision = 'ask_user'\npriority = 999\ninteractive = true\n",
    );
    let told: Vec<(bool, Kept)> = gemini.rules.iter().map(|rule| (rule.never.is_some(), rule.kept)).collect();
    let expected = [
        (false, Kept::Same),
        (false, Kept::Same),
        (false, Kept::Tighter),
        (false, Kept::Tighter),
        (true, Kept::Not),
        (false, Kept::Not),
        (false, Kept::Not),
        (true, Kept::Not),
        (false, Kept::Tighter),
    ];
    assert_eq!(told, expected, "{:#?}", gemini.rules);
    assert!(gemini.rules[5].is_loss() && !gemini.rules[6].is_loss());
}

#[test]
fn what_is_wrong_says_where() {
    let paths = [FilePath::from("/home/u"), FilePath::from("/work")];
    for (agent, text, told) in [
        (Agent::Claude, "{\"permissions\":\n {\"allow\": [1]}}", "rules:2:13: "),
        (Agent::Claude, "{\"permissions\": {\"allow\": [\"x\"", "rules:1:"),
        (Agent::Codex, "prefix_rule(\n  pattern=[\"a\"]\n  decision=\"x\")", "rules:3:3: "),
        (Agent::Codex, "prefix_rule(pattern=['a'], decision='maybe')", "rules:1:28: "),
        (Agent::Codex, "x = 1", "rules:1:3: "),
        (Agent::Codex, "prefix_rule(pattern=[[[[[[[[[[[[[['a']]]]]]]]]]]]]])", "rules:1:"),
        (Agent::Codex, "prefix_rule(pattern=['a", "does not end"),
        (Agent::Gemini, "[[rule]]\ndecision = 'perhaps'", "rules:2:12: "),
        (Agent::Gemini, "[[rule]]\npriority = 1", "rules:1:1: "),
        (Agent::Gemini, "[[rule]\n", "rules:1:"),
    ] {
        let error = import(&[given(agent, text, &paths)]).unwrap_err().to_string();
        assert!(error.contains(told), "{text}: {error}");
    }
}

/// Components of patterns and of paths.
const PARTS: [&str; 9] = ["a", "b.rs", "*", "*.rs", "**", "src", "x*y", "?", "[ab]"];
const NAMES: [&str; 8] = ["a", "b.rs", "src", "x1y", ".rs", "c", "xy", "b"];

/// gitignore(5) without its exceptions, by trying: whether a pattern matches a path or a directory above it.
fn matches(pattern: &[&str], path: &[&str]) -> bool {
    fn whole(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern.split_first(), path.split_first()) {
            (None, None) => true,
            (Some((&"**", [])), _) => !path.is_empty(),
            (Some((&"**", rest)), _) => (0..=path.len()).any(|skip| whole(rest, &path[skip..])),
            (Some((part, rest)), Some((name, below))) => {
                component(part.as_bytes(), name.as_bytes()) && whole(rest, below)
            }
            _ => false,
        }
    }
    (1..=path.len()).any(|end| whole(pattern, &path[..end]))
}

fn component(part: &[u8], name: &[u8]) -> bool {
    match (part, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|skip| component(rest, &name[skip..])),
        ([b'?', rest @ ..], [_, name @ ..]) => component(rest, name),
        ([b'[', a, b, b']', rest @ ..], [c, name @ ..]) => (a == c || b == c) && component(rest, name),
        ([p, rest @ ..], [c, name @ ..]) => p == c && component(rest, name),
        _ => false,
    }
}

proptest! {
    // Loading a policy reads the schema, which is slow here: few cases of many rules and paths.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn paths_are_never_wider_allowed_nor_narrower_forbidden(
        patterns in proptest::collection::vec(proptest::collection::vec(select(PARTS.as_slice()), 1..4), 6),
        anchors in proptest::collection::vec(select(vec!["//", "/", "./", "", "~/"]), 6),
        paths in proptest::collection::vec(proptest::collection::vec(select(NAMES.as_slice()), 1..4), 24),
    ) {
        let written: Vec<String> = patterns.iter().zip(&anchors).map(|(parts, anchor)| format!("{anchor}{}", parts.join("/"))).collect();
        let rules: Vec<String> = written.iter().map(|pattern| format!("Edit({pattern})")).collect();
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        let (allowing, denying) = (claude(&rules, &[], &[]), claude(&[], &[], &rules));
        let (allow, deny) = (policy(&allowing.text), policy(&denying.text));
        for (below, root) in paths.iter().zip(["/work", "/home/u", "/work", ""].iter().cycle()) {
            let path_text = format!("{root}/{}", below.join("/"));
            let whole: Vec<&str> = path_text.split('/').skip(1).collect();
            let original = patterns.iter().zip(&anchors).any(|(pattern, anchor)| match *anchor {
                "//" => matches(pattern, &whole),
                "~/" => whole.starts_with(&["home", "u"]) && matches(pattern, &whole[2..]),
                _ if !whole.starts_with(&["work"]) => false,
                "/" => matches(pattern, &whole[1..]),
                // One name is looked for at any depth.
                _ if pattern.len() == 1 => (1..whole.len()).any(|skip| matches(pattern, &whole[skip..])),
                _ => matches(pattern, &whole[1..]),
            });
            let write = |policy: &Policy| decides(policy, Action::Write, path(&path_text, PathScope::Exact), Certainty::Must);
            prop_assert!(original || write(&allow) != Verdict::Allow, "{path_text} is allowed\n{}", allowing.text);
            prop_assert!(!original || write(&deny) == Verdict::Deny, "{path_text} is not denied\n{}", denying.text);
        }
    }

    #[test]
    fn any_text_is_taken_or_refused(text in "[\\[\\](){}\"'=,a-z#\\\\*:/.~ \n]{0,80}") {
        let paths = [FilePath::from("/home/u"), FilePath::from("/work")];
        for agent in [Agent::Codex, Agent::Gemini, Agent::Claude] {
            let _ = import(&[given(agent, &text, &paths)]);
        }
        let rules = serde_json::json!({"permissions": {"deny": [text], "allow": [format!("Bash({text})"), format!("Edit({text})")]}});
        // Whatever a rule says, the result is a policy.
        import(&[given(Agent::Claude, &rules.to_string(), &paths)]).unwrap();
    }
}

#[test]
fn a_whole_directory_above_is_held_where_it_is_certain() {
    let import = claude(&[], &[], &["Edit(.github/**)"]);
    let policy = policy(&import.text);
    let delete = |at: &str, certainty| decides(&policy, Action::Delete, path(at, PathScope::Tree), certainty);
    assert_eq!(delete("/work", Certainty::Must), Verdict::Deny);
    assert_eq!(delete("/work/.github", Certainty::Must), Verdict::Deny);
    assert_ne!(delete("/work/target", Certainty::Must), Verdict::Deny);
    // What may change anything, as make(1), is held when it has: no such change becomes real.
    assert_ne!(delete("/work", Certainty::May), Verdict::Deny);
    assert!(import.text.contains("action == Action::\"apply\", resource is Change"), "{}", import.text);
}
