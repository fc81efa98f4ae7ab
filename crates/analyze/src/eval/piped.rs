//! What a command hands to the next one in a pipe: names of files.

use super::Eval;
use crate::syntax::ast::{Command, Kind, Part, Word};

impl Eval<'_> {
    /// The names a command prints, as patterns, where it lists files of the project: what `xargs` behind it is given.
    /// `before` counts the effects there were. `None` when nobody knows.
    pub(super) fn names_printed(&self, command: &Command, before: usize) -> Option<Vec<String>> {
        const LISTS: &[&str] = &["find", "fd", "fdfind", "ls", "git", "rg", "grep"];
        const FILTERS: &[&str] = &["grep", "head", "tail", "sort", "uniq", "egrep"];
        let Kind::Simple(simple) = &command.kind else { return None };
        let (name, arguments) = simple.words.split_first()?;
        let new = self.out.effects.get(before..)?;
        let plain = |word: &Word| word.parts.iter().all(|part| matches!(part, Part::Literal(_) | Part::Quoted(..)));
        if !arguments.iter().all(plain) {
            return None;
        }
        let says = |text: &str| arguments.iter().any(|word| word.plain() == Some(text));
        if FILTERS.contains(&name.plain()?) && new.is_empty() {
            return self.piped_names.clone();
        }
        let lists = match name.plain()? {
            "git" => says("ls-files") || says("--name-only"),
            "rg" => says("--files") || says("-l") || says("--files-with-matches"),
            "grep" => arguments
                .iter()
                .any(|word| word.plain().is_some_and(|text| text.starts_with('-') && text.contains('l'))),
            other => LISTS.contains(&other),
        };
        if !lists || new.is_empty() {
            return None;
        }
        // A name that is asked for may be that of a secret: then that is what is printed.
        let texts = arguments.iter().flat_map(|word| &word.parts).filter_map(|part| match part {
            Part::Literal(text) | Part::Quoted(text, _) => Some(text),
            _ => None,
        });
        let asked: Vec<String> =
            texts.filter(|text| crate::names::secret(text, &self.home).is_some()).cloned().collect();
        if !asked.is_empty() {
            return Some(asked);
        }
        let here = self.state.cwd.places.first().filter(|_| self.state.cwd.places.len() == 1)?;
        // These print whole paths, the others names in the directory that they list.
        let whole = matches!(name.plain()?, "find" | "fd" | "fdfind" | "rg" | "grep");
        let litter = (name.plain()? == "find")
            .then(|| {
                let texts: Vec<String> = arguments.iter().map(text_of).collect();
                crate::eval::special::litter_name(texts.iter().map(|text| Some(text.as_str())))
            })
            .flatten();
        let below = |effect: &model::Effect| match &effect.target {
            model::Target::Path { path, .. }
                if effect.action == model::Action::Read && (whole || path.starts_with(here)) =>
            {
                let name = litter.as_deref().map_or("**".to_owned(), crate::eval::special::at_any_depth);
                Some(format!("{}/{name}", path.encode().trim_end_matches("/*")))
            }
            _ => None,
        };
        let mut names: Vec<String> = new.iter().map(below).collect::<Option<_>>()?;
        if name.plain()? == "ls" {
            // Names without the directory they are in, as if they were here.
            names.push(format!("{}/**", here.encode().trim_end_matches('/')));
        }
        // A search of a home, or of all of them, that takes every name finds the keys too.
        let by_name =
            ["-name", "-iname", "-path", "-ipath", "-wholename", "-regex", "-iregex"].iter().any(|test| says(test));
        let every = name.plain()? == "find" && (!by_name || says("!") || says("-not") || says("-o"));
        let holds = |pattern: &&String| {
            let place = pattern.trim_end_matches("/**");
            let place = if place.is_empty() { "/" } else { place };
            crate::names::secret_below(place, &self.home).is_some()
        };
        let secrets: Vec<String> = names
            .iter()
            .filter(|_| every)
            .filter(holds)
            .map(|pattern| format!("{}/.ssh/*", pattern.trim_end_matches("/**").trim_end_matches('/')))
            .collect();
        names.extend(secrets);
        Some(names)
    }
}

/// A word of plain and quoted pieces.
fn text_of(word: &Word) -> String {
    let pieces = word.parts.iter().map(|part| match part {
        Part::Literal(text) | Part::Quoted(text, _) => text.as_str(),
        _ => "",
    });
    pieces.collect()
}
