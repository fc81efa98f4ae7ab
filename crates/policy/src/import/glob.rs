//! Patterns of paths as gitignore(5) has them, made absolute, and what Cedar can say of them: its only wildcard crosses `/`.

use super::cedar::{inner as cedar_inner, like, quoted};

/// An absolute pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    /// Directories from the root, without wildcards; each begins with `/`.
    root: String,
    /// What follows, in components.
    rest: Vec<String>,
    /// Whether `root` is all that is known of where it begins: it may lie at any depth below.
    floats: bool,
}

fn is_wild(part: &str) -> bool {
    part.contains(['*', '?', '['])
}

impl Glob {
    /// `pattern` without its anchor, below `root`. With `floats` it may match at any depth, as a name without a slash does.
    pub(super) fn new(root: &str, pattern: &str, floats: bool) -> Glob {
        let parts = pattern.split('/').filter(|part| !part.is_empty() && *part != ".");
        let mut rest: Vec<String> = parts.map(str::to_owned).collect();
        let mut root = root.trim_end_matches('/').to_owned();
        if !floats {
            let plain = rest.iter().take_while(|part| !is_wild(part)).count();
            for part in rest.drain(..plain) {
                root.push('/');
                root.push_str(&part.replace('\\', ""));
            }
        }
        Glob { root, rest, floats }
    }

    pub(super) fn anything() -> Glob {
        Glob { root: String::new(), rest: vec!["**".to_owned()], floats: false }
    }

    /// As paths are written.
    fn encoded(&self) -> String {
        model::FilePath::from(self.root.as_str()).encode()
    }

    /// Whether it is everything below a directory.
    fn is_tree(&self) -> bool {
        !self.floats && (self.rest.is_empty() || self.rest == ["**"])
    }

    pub(super) fn covers(&self, other: &Glob) -> bool {
        if self == other {
            return true;
        }
        let below = other.root.strip_prefix(&self.root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if self.is_tree() {
            // `dir/**` is not `dir` itself.
            return below && (self.rest.is_empty() || other.root != self.root || !other.rest.is_empty());
        }
        // The same pattern, but from further up: `**/.env` covers `src/**/.env`.
        let own: Vec<&String> = self.rest.iter().skip_while(|part| *part == "**").collect();
        let theirs: Vec<&String> = other.rest.iter().skip_while(|part| *part == "**").collect();
        let from_anywhere = self.floats || self.rest.first().is_some_and(|part| part == "**");
        if !from_anywhere || !below {
            return false;
        }
        if other.rest.is_empty() {
            let name = other.root.rsplit('/').next().unwrap_or_default();
            return matches!(own.as_slice(), [only] if component(only, name)) && other.root != self.root;
        }
        own == theirs && !own.is_empty()
    }

    /// A condition that holds of no path which does not match; `None`: Cedar cannot say it.
    pub(super) fn within(&self) -> Option<String> {
        if self.floats {
            return None;
        }
        let root = &self.encoded();
        let parts: Vec<&str> = self.rest.iter().map(String::as_str).collect();
        match parts.as_slice() {
            [] => {
                Some(format!("(resource.path == {} || resource.path like {})", quoted(root), like(&[root, "/"], true)))
            }
            ["**"] => Some(format!("resource.path like {}", like(&[root, "/"], true))),
            // `*` alone and `*.rs` in the last place, at any depth.
            ["**", name] => {
                let (start, end) = one_star(name)?;
                start.is_empty().then(|| format!("resource.path like {}", between(&[root, "/"], &[end])))
            }
            [name] => {
                let (start, end) = one_star(name)?;
                let all = between(&[root, "/", start], &[end]);
                let deeper = format!("{}*/*{}\"", all_but_star(&[root, "/", start]), inner(end));
                Some(format!("(resource.path like {all} && !(resource.path like {deeper}))"))
            }
            _ => None,
        }
    }

    /// Whether it is every path there is.
    pub(super) fn is_everything(&self) -> bool {
        self.root.is_empty() && self.is_tree()
    }

    /// A condition that holds of every path which matches.
    pub(super) fn around(&self) -> String {
        let root = self.encoded();
        if self.rest.is_empty() && !self.floats {
            return format!("(resource.path == {} || resource.path like {})", quoted(&root), like(&[&root, "/"], true));
        }
        let mut pattern = all_but_star(&[&root]);
        if self.floats {
            pattern.push_str("/*");
        }
        for part in &self.rest {
            if !pattern.ends_with("/*") {
                pattern.push('/');
            }
            // Every wildcard is anything.
            for text in split_wild(part) {
                match text {
                    Some(text) => pattern.push_str(&inner(&text)),
                    None if pattern.ends_with('*') && !pattern.ends_with("\\*") => {}
                    None => pattern.push('*'),
                }
            }
        }
        if pattern.ends_with("/*") {
            return format!("resource.path like {pattern}\"");
        }
        format!("(resource.path like {pattern}\" || resource.path like {pattern}/*\")")
    }

    /// A condition that holds of what is done to a whole directory that matches or in which something may, as far as
    /// the fixed part goes, and to names that the shell has yet to find beside it.
    pub(super) fn reached_from_above(&self) -> String {
        let mut above = vec!["/".to_owned()];
        let mut at = String::new();
        let root = self.encoded();
        for part in root.split('/').filter(|part| !part.is_empty()) {
            at.push('/');
            at.push_str(part);
            above.push(at.clone());
        }
        let listed: Vec<String> = above.iter().map(|path| quoted(path)).collect();
        let dir = if self.rest.is_empty() { root.rsplit_once('/').map_or("", |(dir, _)| dir) } else { root.as_str() };
        format!(
            "([{}].contains(resource.path) || (resource.scope == Scope::\"glob\" && resource.path like {}))",
            listed.join(", "),
            like(&[dir, "/"], true)
        )
    }
}

/// Parts of a component: texts, and `None` for a wildcard.
fn split_wild(part: &str) -> Vec<Option<String>> {
    let mut out = Vec::new();
    let mut text = String::new();
    let mut chars = part.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' | '?' => {
                out.extend((!text.is_empty()).then(|| Some(std::mem::take(&mut text))));
                out.push(None);
            }
            '[' => {
                out.extend((!text.is_empty()).then(|| Some(std::mem::take(&mut text))));
                out.push(None);
                // To its end; one that is not closed is anything.
                let mut first = true;
                for c in chars.by_ref() {
                    if c == ']' && !first {
                        break;
                    }
                    first = matches!((first, c), (true, '!' | '^'));
                }
            }
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    out.extend((!text.is_empty()).then_some(Some(text)));
    out
}

/// What stands before and behind the one star of a component that has no other wildcard.
fn one_star(part: &str) -> Option<(&str, &str)> {
    let (start, end) = part.split_once('*')?;
    let plain = |text: &str| !is_wild(text) && !text.contains('\\');
    (plain(start) && plain(end)).then_some((start, end))
}

/// Whether a name matches a component with at most one star.
fn component(pattern: &str, name: &str) -> bool {
    match one_star(pattern) {
        Some((start, end)) => name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end),
        None => !is_wild(pattern) && pattern == name,
    }
}

/// The beginning of a pattern, of texts that are written as paths are.
fn all_but_star(start: &[&str]) -> String {
    format!("\"{}", start.iter().map(|text| cedar_inner(text, true)).collect::<String>())
}

fn between(start: &[&str], end: &[&str]) -> String {
    format!("{}*{}\"", all_but_star(start), end.iter().map(|text| inner(text)).collect::<String>())
}

fn inner(text: &str) -> String {
    cedar_inner(&model::FilePath::from(text).encode(), true)
}
