//! Indented text as tools write it: the part of YAML that pnpm and yarn use, and the format of yarn 1. A line that is
//! anything else is an error: a reader that skips what it does not know can be told one thing and the tool another.

/// One line that is no comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line<'t> {
    pub(crate) number: usize,
    pub(crate) indent: usize,
    /// Empty for an entry of a list.
    pub(crate) key: &'t str,
    /// As it stands, with its quotes.
    pub(crate) value: &'t str,
}

/// How a key and its value are parted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `key: value`
    Yaml,
    /// `key value`, and `key:` where more follows.
    Yarn,
}

/// All lines of a text.
///
/// # Errors
/// The first line that is none of the few forms, with its number.
pub(crate) fn lines(text: &str, style: Style) -> Result<Vec<Line<'_>>, String> {
    let mut out = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        let body = line.trim_start_matches(' ');
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        let indent = line.len() - body.len();
        let (key, value) = split(body.trim_end_matches(' '), style).ok_or_else(|| format!("line {number}"))?;
        out.push(Line { number, indent, key, value });
    }
    Ok(out)
}

fn split(body: &str, style: Style) -> Option<(&str, &str)> {
    if body.contains(|c: char| c.is_control()) {
        return None;
    }
    if style == Style::Yaml && (body == "-" || body.starts_with("- ")) {
        return Some(("", body.get(1..)?.trim_start()));
    }
    let (key, rest) = key(body, style)?;
    let value = match style {
        Style::Yaml => rest.strip_prefix(':').filter(|rest| rest.is_empty() || rest.starts_with(' '))?.trim_start(),
        Style::Yarn => match rest {
            ":" => "",
            rest => rest.strip_prefix(' ').filter(|value| !value.is_empty())?,
        },
    };
    is_plain(value).then_some((key, value))
}

/// The key at the beginning, quoted or not, and what follows. In yarn's format it may be a list, up to the colon at the
/// end.
fn key(body: &str, style: Style) -> Option<(&str, &str)> {
    if style == Style::Yarn && body.ends_with(':') {
        return Some((body.get(..body.len() - 1)?, ":"));
    }
    let quote = body.chars().next()?;
    if matches!(quote, '"' | '\'') {
        let end = body.get(1..)?.find(quote)? + 1;
        let key = body.get(1..end)?;
        // Escapes are not needed in names.
        return (!key.contains('\\')).then_some((key, body.get(end + 1..)?));
    }
    let end = match style {
        Style::Yaml if body.ends_with(':') && !body.contains(": ") => body.len() - 1,
        Style::Yaml => body.find(": ")?,
        Style::Yarn => body.find(' ')?,
    };
    let key = body.get(..end)?;
    (is_name(key) && !key.is_empty()).then_some((key, body.get(end..)?))
}

/// Not the beginning of anything that goes on elsewhere or means something else: `?`, `&`, `*`, `!`, `<<`, `{`.
fn is_name(key: &str) -> bool {
    !key.starts_with(['?', '&', '*', '!', '<', '{', '[', '|', '>', '%', '`', ',', ']', '}', '-', '"', '\'', '='])
        && !key.contains(" #")
}

/// A value that ends in its line and is what it looks like.
fn is_plain(value: &str) -> bool {
    match value.chars().next() {
        None => true,
        Some(quote @ ('"' | '\'')) => {
            let inner = value.get(1..value.len().saturating_sub(1)).unwrap_or_default();
            value.len() >= 2 && value.ends_with(quote) && !inner.contains([quote, '\\'])
        }
        Some('{') => {
            let inner = value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            inner.is_some_and(|inner| inner.split([',', ':']).all(|part| !refers(part.trim_start())))
        }
        Some('[') => value.ends_with(']'),
        Some(first) => !matches!(first, '&' | '*' | '!' | '|' | '>' | '?' | '%' | '`' | '@') && !value.contains(" #"),
    }
}

/// Whether a part of a flow means something that stands elsewhere, or goes on.
fn refers(part: &str) -> bool {
    part.starts_with(['&', '*', '!', '|', '>', '{', '[', '<'])
}

/// A value without its quotes.
pub(crate) fn bare(value: &str) -> &str {
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    quoted('"').or_else(|| quoted('\'')).unwrap_or(value)
}

/// `{a: b, c: d}`.
pub(crate) fn pairs(value: &str) -> Option<Vec<(&str, &str)>> {
    let inner = value.strip_prefix('{')?.strip_suffix('}')?.trim();
    let pair = |part: &'_ str| -> Option<(usize, usize)> { part.find(": ").map(|at| (at, at + 2)) };
    inner
        .split(", ")
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (end, start) = pair(part)?;
            Some((bare(part.get(..end)?.trim()), bare(part.get(start..)?.trim())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Style, lines, pairs};

    #[test]
    fn a_line_is_understood_or_refused() {
        for (style, text, expected) in [
            (Style::Yaml, "a:", Some(("a", ""))),
            (Style::Yaml, "a: b", Some(("a", "b"))),
            (
                Style::Yaml,
                "'@s/a@1.0.0(b@2)': {integrity: sha512-x==}",
                Some(("@s/a@1.0.0(b@2)", "{integrity: sha512-x==}")),
            ),
            (Style::Yaml, "/a/1.0.0:", Some(("/a/1.0.0", ""))),
            (Style::Yaml, "- x64", Some(("", "x64"))),
            (Style::Yaml, "node: '>=6'", Some(("node", "'>=6'"))),
            (Style::Yaml, "engines: {node: 6.* || >= 10.*}", Some(("engines", "{node: 6.* || >= 10.*}"))),
            (Style::Yaml, "a: {b: *c}", None),
            (Style::Yaml, "a: {<<: *c}", None),
            (Style::Yaml, "a: {b: {c: d}}", None),
            (Style::Yaml, "a: {b: c", None),
            (Style::Yaml, "a: &x", None),
            (Style::Yaml, "a: *x", None),
            (Style::Yaml, "a: |", None),
            (Style::Yaml, "a: >", None),
            (Style::Yaml, "a: >-", None),
            (Style::Yaml, "a: \"b", None),
            (Style::Yaml, "a: 'b' # c'", None),
            (Style::Yaml, "a: b # c", None),
            (Style::Yaml, "? a", None),
            (Style::Yaml, "<<: b", None),
            (Style::Yaml, "{a: b}", None),
            (Style::Yaml, "\ta: b", None),
            (Style::Yaml, "\"a\\x41\": b", None),
            (Style::Yaml, "a", None),
            (Style::Yarn, "a@^1, b@2:", Some(("a@^1, b@2", ""))),
            (Style::Yarn, "version \"1.0\"", Some(("version", "\"1.0\""))),
            (Style::Yarn, "\"@s/a\" \"^1\"", Some(("@s/a", "\"^1\""))),
            (Style::Yarn, "<<<<<<< HEAD", None),
            (Style::Yarn, "version", None),
        ] {
            let read = lines(text, style);
            let found = read.as_ref().ok().and_then(|lines| lines.first()).map(|line| (line.key, line.value));
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!(
            pairs("{integrity: sha512-x, tarball: 'https://h/x'}"),
            Some(vec![("integrity", "sha512-x"), ("tarball", "https://h/x")])
        );
    }
}
