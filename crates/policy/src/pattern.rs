//! Path patterns of the tables: how a row such as `.git/hooks/` or `~/.aws/` meets a path.
//!
//! A pattern starting with `/` is absolute, one starting with `~/` lies in the home, any other is met at any depth.
//! Components may hold `*` and `?`; a component `**` stands for any number of components. A pattern ending in `/`
//! means the directory with all below it. Paths are folded first, because some file systems ignore case and invisible
//! characters, and git on such a system runs `.GIT/hooks` (CVE-2014-9390).

use model::FilePath;
use std::borrow::Cow;
use std::collections::HashMap;

/// A path made comparable: its components as file systems that fold case and drop characters take them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Folded {
    parts: Vec<String>,
    glob: bool,
}

impl Folded {
    pub(crate) fn new(path: &FilePath) -> Folded {
        let parts = path.as_bytes().split(|b| *b == b'/').filter(|part| !part.is_empty());
        let parts: Vec<String> = parts.flat_map(names).collect();
        let glob = parts.iter().any(|part| is_glob(part));
        Folded { parts, glob }
    }

    /// The same for a path that is one name: a star in it is a star.
    pub(crate) fn literal(path: &FilePath) -> Folded {
        let mut folded = Folded::new(path);
        if folded.glob {
            // U+FFFD stands in no pattern.
            folded.parts.iter_mut().for_each(|part| *part = part.replace(['*', '?', '[', '{'], "\u{fffd}"));
            folded.glob = false;
        }
        folded
    }

    /// Whether any component holds glob characters, so that the path stands for more than one name.
    pub(crate) fn is_glob(&self) -> bool {
        self.glob
    }

    fn parts(&self) -> &[String] {
        &self.parts
    }
}

/// The names one component stands for: NTFS takes `\` for a separator, so a file of git's with one in its name becomes a
/// directory there. In a pattern it quotes.
fn names(part: &[u8]) -> impl Iterator<Item = String> {
    let quotes = part.iter().any(|byte| b"*?[{".contains(byte));
    part.split(move |byte| *byte == b'\\' && !quotes).filter(|name| !name.is_empty()).map(|name| ntfs(fold(name)))
}

/// One component, folded: two that some file system takes for the same are equal then, but for characters that can be
/// composed in several ways.
#[must_use]
pub fn fold(part: &[u8]) -> String {
    if part.is_ascii() && !part.iter().any(u8::is_ascii_control) {
        return String::from_utf8_lossy(part).to_ascii_lowercase();
    }
    let text = String::from_utf8_lossy(part);
    let mut folded = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !is_ignored(*c)) {
        match ascii_folding(c) {
            Some(ascii) => folded.push_str(ascii),
            None => folded.extend(c.to_lowercase()),
        }
    }
    folded
}

/// Characters that HFS+ and file systems with case folding leave out of a comparison (Default_Ignorable_Code_Point).
fn is_ignored(c: char) -> bool {
    model::escape::is_deceptive(c)
        || matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{17b4}' | '\u{17b5}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}')
}

/// What is not ASCII and becomes ASCII by full case folding (CaseFolding.txt, C and F), as ext4 and APFS have it: `.ßh` is
/// `.ssh` there. What lower case alone does, as of U+212A, is not listed.
fn ascii_folding(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{17f}' => "s",
        '\u{df}' | '\u{1e9e}' => "ss",
        '\u{fb00}' => "ff",
        '\u{fb01}' => "fi",
        '\u{fb02}' => "fl",
        '\u{fb03}' => "ffi",
        '\u{fb04}' => "ffl",
        '\u{fb05}' | '\u{fb06}' => "st",
        _ => return None,
    })
}

/// Short names that NTFS gives, as git knows them (`is_ntfs_dotgit`, `is_ntfs_dot_str` in path.c).
const SHORT: &[(&str, &str, &str)] = &[
    ("git~", ".git", "1"),
    ("gitmod~", ".gitmodules", "1234"),
    ("gi7eba~", ".gitmodules", "123456789"),
    ("gitatt~", ".gitattributes", "1234"),
    ("gi7d29~", ".gitattributes", "123456789"),
];

/// A folded name as NTFS takes it: without dots and spaces at its end, without the stream that is the file itself, and the
/// long name for a short one.
fn ntfs(name: String) -> String {
    let streams = ["::$index_allocation", ":$i30:$index_allocation", "::$data"];
    let stream = streams.iter().find_map(|stream| name.strip_suffix(stream)).unwrap_or(&name);
    let plain = stream.trim_end_matches(['.', ' ']);
    let long = SHORT.iter().find_map(|(short, long, numbers)| {
        let number = plain.strip_prefix(short)?;
        (number.len() == 1 && numbers.contains(number)).then_some(*long)
    });
    match (long, plain) {
        (Some(long), _) => long.to_owned(),
        // `..`, and a name of dots and spaces alone.
        (None, "") => name,
        (None, plain) if plain.len() == name.len() => name,
        (None, plain) => plain.to_owned(),
    }
}

/// One component of a pattern, folded; nearly all are written that way already.
fn folded(part: &'static str) -> Cow<'static, str> {
    if part.bytes().any(|b| b.is_ascii_uppercase()) { Cow::Owned(fold(part.as_bytes())) } else { Cow::Borrowed(part) }
}

/// How a path stands to a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// The path is a directory above what the pattern names.
    Above,
    /// The path is what the pattern names, or lies below it.
    Within,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Anchor {
    Root,
    Home,
    Anywhere,
}

#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    anchor: Anchor,
    parts: Vec<Cow<'static, str>>,
    below: bool,
}

impl Pattern {
    pub(crate) fn new(text: &'static str) -> Pattern {
        let (anchor, rest) = match (text.strip_prefix("~/"), text.strip_prefix('/')) {
            (Some(rest), _) => (Anchor::Home, rest),
            (_, Some(rest)) => (Anchor::Root, rest),
            _ => (Anchor::Anywhere, text),
        };
        let parts = rest.split('/').filter(|part| !part.is_empty()).map(folded).collect();
        Pattern { anchor, parts, below: text.ends_with('/') }
    }

    /// The best fit of `path`, whose components may be globs themselves, to this pattern.
    pub(crate) fn fit(&self, path: &Folded, home: &Folded) -> Option<Fit> {
        match self.anchor {
            Anchor::Root => walk(&self.parts, path.parts(), self.below),
            Anchor::Home => {
                let rest = below(home, path)?;
                walk(&self.parts, rest, self.below)
            }
            Anchor::Anywhere => self.fit_anywhere(path),
        }
    }

    fn fit_anywhere(&self, path: &Folded) -> Option<Fit> {
        (0..path.parts().len()).filter_map(|start| self.fit_at(path, start)).max()
    }

    fn fit_at(&self, path: &Folded, start: usize) -> Option<Fit> {
        // `src/*` may be anything, which says nothing about a name that may lie anywhere: only its directory counts.
        let telling = match path.parts().split_last() {
            Some((last, above)) if says_nothing(last) => above,
            _ => path.parts(),
        };
        walk(&self.parts, telling.get(start..).filter(|rest| !rest.is_empty())?, self.below)
    }
}

/// What is left of `path` below `home`; the empty rest when `path` is above it.
fn below<'a>(home: &Folded, path: &'a Folded) -> Option<&'a [String]> {
    let meets = home.parts().iter().zip(path.parts()).all(|(home, part)| meets(home, part));
    if !meets {
        return None;
    }
    Some(path.parts().get(home.parts().len()..).unwrap_or_default())
}

/// Walks pattern and path in step. Recursion is over pattern components, of which the tables have at most six.
fn walk(pattern: &[Cow<'static, str>], path: &[String], below: bool) -> Option<Fit> {
    match (pattern, path) {
        ([], []) => Some(Fit::Within),
        ([], _) => below.then_some(Fit::Within),
        (_, []) => Some(Fit::Above),
        ([any, rest @ ..], _) if any == "**" => {
            (0..=path.len()).filter_map(|n| walk(rest, path.get(n..)?, below)).max()
        }
        ([first, rest @ ..], [part, tail @ ..]) => {
            if !meets(first, part) {
                return None;
            }
            walk(rest, tail, below)
        }
    }
}

/// Whether one component of a pattern and one of a path can name the same thing. Either may be a glob.
fn meets(pattern: &str, part: &str) -> bool {
    match (is_glob(pattern), is_glob(part)) {
        (false, false) => pattern == part,
        (true, false) => glob(pattern.as_bytes(), part.as_bytes()),
        _ if pattern.starts_with('.') && part.starts_with(['*', '?']) => false,
        (false, true) => part.contains('{') || glob(without_sets(part).as_bytes(), pattern.as_bytes()),
        (true, true) => both_globs(pattern, part),
    }
}

/// Two globs meet nearly always; it means something where the path's is as narrow as the pattern's, or starts like it.
fn both_globs(pattern: &str, part: &str) -> bool {
    let part = without_sets(part);
    let head = part.find(['*', '?']).unwrap_or(part.len());
    part == "*" || glob(pattern.as_bytes(), part.as_bytes()) || (head > 1 && glob(part.as_bytes(), pattern.as_bytes()))
}

/// A glob that is next to nothing but wildcards. `.*` is not: it asks for the names that are usually left out.
fn says_nothing(part: &str) -> bool {
    is_glob(part) && !part.starts_with('.') && part.chars().filter(|c| !"*?[]{}!^,".contains(*c)).count() < 2
}

/// `[...]` as `?`, so that only two kinds of wildcards are left.
fn without_sets(part: &str) -> Cow<'_, str> {
    let Some((head, rest)) = part.split_once('[') else { return Cow::Borrowed(part) };
    let mut tail = rest.chars();
    // A `]` right behind the bracket stands for itself.
    if tail.as_str().starts_with(['!', '^']) {
        tail.next();
    }
    tail.next();
    match tail.as_str().split_once(']') {
        Some((_, rest)) => Cow::Owned(format!("{head}?{}", without_sets(rest))),
        None => Cow::Borrowed(part),
    }
}

/// Whether a component holds unexpanded glob or brace characters.
pub(crate) fn is_glob(part: &str) -> bool {
    part.contains(['*', '?', '[', '{'])
}

/// `*` and `?` matching without backtracking beyond the last star: linear in practice, quadratic at worst in the length
/// of one component (255 bytes, NAME_MAX).
pub(crate) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    glob_by(pattern, text, one)
}

/// [`glob`] for the patterns of a shell, with sets: `[a-m]`, `[!a]`. Classes and equivalences fit nothing.
pub(crate) fn glob_with_sets(pattern: &[u8], text: &[u8]) -> bool {
    glob_by(pattern, text, |pattern, byte| match pattern {
        [b'[', set @ ..] => {
            let end = 1 + set.iter().skip(1).position(|byte| *byte == b']')?;
            in_set(set.get(..end)?, byte).then_some(end + 2)
        }
        _ => one(pattern, byte),
    })
}

/// How much of a pattern its first element is, where that fits `byte` and is no star.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    pattern.first().filter(|first| **first == b'?' || **first == byte).map(|_| 1)
}

fn in_set(set: &[u8], byte: u8) -> bool {
    let (negated, set) = match set.split_first() {
        Some((b'!' | b'^', rest)) => (true, rest),
        _ => (false, set),
    };
    let range = |three: &[u8]| matches!(three, [low, b'-', high] if (low..=high).contains(&&byte));
    !set.contains(&b'[') && negated != (set.contains(&byte) || set.windows(3).any(range))
}

fn glob_by(pattern: &[u8], text: &[u8], one: impl Fn(&[u8], u8) -> Option<usize>) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(t) {
        let rest = pattern.get(p..).unwrap_or(&[]);
        if rest.first() == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if let Some(length) = one(rest, *byte) {
            p += length;
            t += 1;
        } else {
            let Some((at, from)) = star else { return false };
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|c| *c == b'*'))
}

/// Rows with their patterns, indexed by the first component, so that a path meets only the rows it could match.
pub(crate) struct Table<R: 'static> {
    rows: Vec<(Pattern, &'static R)>,
    anywhere: Index,
    root: Index,
    home: Index,
    /// Rows whose first component is a glob.
    rest: Vec<usize>,
}

type Index = HashMap<Cow<'static, str>, Vec<usize>>;

impl<R> Table<R> {
    pub(crate) fn new(rows: &'static [R], pattern: fn(&R) -> &'static str) -> Table<R> {
        let rows: Vec<_> = rows.iter().map(|row| (Pattern::new(pattern(row)), row)).collect();
        let mut table =
            Table { rows, anywhere: Index::new(), root: Index::new(), home: Index::new(), rest: Vec::new() };
        for (at, (pattern, _)) in table.rows.iter().enumerate() {
            let index = match pattern.anchor {
                Anchor::Anywhere => &mut table.anywhere,
                Anchor::Root => &mut table.root,
                Anchor::Home => &mut table.home,
            };
            match pattern.parts.first() {
                Some(first) if !is_glob(first) => index.entry(first.clone()).or_default().push(at),
                _ => table.rest.push(at),
            }
        }
        table
    }

    /// Every row that `path` meets, with how.
    pub(crate) fn matches(&self, path: &Folded, home: &Folded) -> Vec<(Fit, &'static R)> {
        let below_home = below(home, path);
        if path.is_glob() || path.parts().is_empty() || below_home.is_some_and(<[String]>::is_empty) {
            return self.scan(0..self.rows.len(), path, home);
        }
        let mut met = self.scan(self.rest.iter().copied(), path, home);
        met.extend(self.scan(candidates(&self.root, path.parts().first()), path, home));
        met.extend(self.scan(candidates(&self.home, below_home.and_then(<[String]>::first)), path, home));
        for (start, part) in path.parts().iter().enumerate() {
            let rows = candidates(&self.anywhere, Some(part)).filter_map(|at| self.rows.get(at));
            met.extend(rows.filter_map(|(pattern, row)| Some((pattern.fit_at(path, start)?, *row))));
        }
        met
    }

    fn scan(&self, rows: impl Iterator<Item = usize>, path: &Folded, home: &Folded) -> Vec<(Fit, &'static R)> {
        let rows = rows.filter_map(|at| self.rows.get(at));
        rows.filter_map(|(pattern, row)| Some((pattern.fit(path, home)?, *row))).collect()
    }
}

fn candidates<'t>(index: &'t Index, first: Option<&String>) -> impl Iterator<Item = usize> + use<'t> {
    first.and_then(|first| index.get(first.as_str())).into_iter().flatten().copied()
}

#[cfg(test)]
mod tests {
    use super::{Fit, Folded, Pattern};
    use model::FilePath;

    fn fit(pattern: &'static str, path: &str) -> Option<Fit> {
        let home = Folded::new(&FilePath::from("/home/u"));
        Pattern::new(pattern).fit(&Folded::new(&FilePath::from(path)), &home)
    }

    #[test]
    fn patterns_meet_paths() {
        for (pattern, path, expected) in [
            (".git/hooks/", "/w/.git/hooks/pre-commit", Some(Fit::Within)),
            (".git/hooks/", "/w/sub/.GIT/Hooks/x/y", Some(Fit::Within)),
            (".git/hooks/", "/w/.g\u{200c}it/hooks/x", Some(Fit::Within)),
            (".git/hooks/", "/w/.git", Some(Fit::Above)),
            (".git/hooks/", "/w/.git./hooks/x", Some(Fit::Within)),
            (".git/hooks/", "/w/.git . /HOOKS/x", Some(Fit::Within)),
            (".git/hooks/", "/w/GIT~1/hooks/x", Some(Fit::Within)),
            (".git/hooks/", "/w/git~2/hooks/x", None),
            (".git/hooks/", "/w/.git::$INDEX_ALLOCATION/hooks/x", Some(Fit::Within)),
            (".git/hooks/", "/w/.git\\hooks\\x", Some(Fit::Within)),
            (".git/hooks/", "/w/.g\u{fe0f}it/hooks/x", Some(Fit::Within)),
            (".gitmodules", "/w/GITMOD~1", Some(Fit::Within)),
            (".gitmodules", "/w/gi7eba~9", Some(Fit::Within)),
            (".gitattributes", "/w/GI7D29~1", Some(Fit::Within)),
            (".gitconfig", "/w/.gitcon\u{fb01}g", Some(Fit::Within)),
            (".ssh/", "/w/.\u{df}h/x", Some(Fit::Within)),
            (".ssh/", "/w/.\u{1e9e}h/x", Some(Fit::Within)),
            (".kube/", "/w/.\u{212a}ube/x", Some(Fit::Within)),
            (".ssh/", "/w/.ssh \u{301}/x", None),
            (".git/hooks/", "/w/.git/index", None),
            (".git/config", "/w/.git/config/x", None),
            (".git/modules/**/config", "/w/.git/modules/a/b/config", Some(Fit::Within)),
            ("~/.aws/", "/home/u/.aws/credentials", Some(Fit::Within)),
            ("~/.aws/", "/home/u", Some(Fit::Above)),
            ("~/.aws/", "/home", Some(Fit::Above)),
            ("~/.aws/", "/srv/.aws/credentials", None),
            ("~/.ssh/", "/home/u/.ss?/id_*", Some(Fit::Within)),
            ("~/.ssh/", "/home/u/[.]ssh/id_rsa", Some(Fit::Within)),
            ("/etc/shadow", "/etc/shadow", Some(Fit::Within)),
            ("/etc/shadow", "/x/etc/shadow", None),
            ("*.pth", "/w/.venv/lib/x.pth", Some(Fit::Within)),
            ("*.pth", "/w/x.pths", None),
            ("*.p12", "/w/*.toml", None),
            ("*.p12", "/w/a*.p12", Some(Fit::Within)),
            ("id_rsa", "/w/*", None),
            ("id_rsa", "/w/id_*", Some(Fit::Within)),
            ("id_rsa", "/w/[a-z]d_rsa", Some(Fit::Within)),
            ("id_rsa", "/w/[a-z]*.rs", None),
            (".env", "/w/*", None),
            (".env", "/w/.*", Some(Fit::Within)),
            ("~/.config/gh/", "/home/*/.config/gh/hosts.yml", Some(Fit::Within)),
            ("/etc/shadow", "/etc/*", Some(Fit::Within)),
        ] {
            assert_eq!(fit(pattern, path), expected, "{pattern} on {path}");
        }
    }
}
