//! Patterns of commands: words from the beginning, and what may follow.

/// What a command must look like. Each word is one of some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// From the first on; none: any command.
    pub(super) words: Vec<Vec<String>>,
    pub(super) end: End,
}

/// What follows the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing.
    Here,
    /// Whatever else.
    Anything,
    /// The last word may go on too: `npm run test` is also `npm run tests`.
    MidWord,
    /// Something that no words tell: a star in the middle, an expression. The words are all that is known for certain.
    Unknown,
}

impl Pattern {
    pub(super) fn of(text: &str, end: End) -> Pattern {
        Pattern { words: text.split_whitespace().map(|word| vec![word.to_owned()]).collect(), end }
    }

    pub(super) fn any() -> Pattern {
        Pattern { words: Vec::new(), end: End::Anything }
    }

    /// Whether every command that matches `other` matches this. Where one is not known for certain, only the same one.
    pub(super) fn covers(&self, other: &Pattern) -> bool {
        if self.end == End::Unknown {
            return false;
        }
        let last = self.words.len().checked_sub(1);
        let within = self.words.iter().enumerate().all(|(at, own)| {
            let Some(others) = other.words.get(at) else { return false };
            let open = self.end == End::MidWord && Some(at) == last;
            let is = |word: &String| own.contains(word) || (open && own.iter().any(|own| word.starts_with(own)));
            // What goes on in the middle of the other's last word is not one of ours.
            let goes_on = other.end == End::MidWord && at + 1 == other.words.len();
            others.iter().all(is) && (!goes_on || open)
        });
        let ends = match (self.end, other.end) {
            (End::Here, End::Here) => self.words.len() == other.words.len(),
            (End::Here, _) => false,
            _ => true,
        };
        within && ends
    }

    /// Every way to say it in single words.
    pub(super) fn spelled(&self) -> Option<Vec<Vec<&str>>> {
        const SPELLINGS_MAX: usize = 256;
        let mut all: Vec<Vec<&str>> = vec![Vec::new()];
        for word in &self.words {
            if all.len().saturating_mul(word.len()) > SPELLINGS_MAX {
                return None;
            }
            all = all
                .iter()
                .flat_map(|so_far| word.iter().map(move |one| so_far.iter().copied().chain([one.as_str()]).collect()))
                .collect();
        }
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::{End, Pattern};

    #[test]
    fn what_covers_what() {
        let p = Pattern::of;
        for (a, b, covers) in [
            (p("npm", End::Anything), p("npm run test", End::Here), true),
            (p("npm", End::Anything), p("npmx", End::Here), false),
            (p("npm", End::MidWord), p("npmx", End::Here), true),
            (p("npm", End::Anything), p("npm", End::MidWord), false),
            (p("npm run", End::Anything), p("npm", End::Anything), false),
            (p("npm run", End::Here), p("npm run", End::Here), true),
            (p("npm run", End::Here), p("npm run", End::Anything), false),
            (p("npm", End::Anything), p("npm run", End::Unknown), true),
            (p("npm", End::Unknown), p("npm", End::Unknown), false),
            (Pattern::any(), p("x", End::Unknown), true),
        ] {
            assert_eq!(a.covers(&b), covers, "{a:?} {b:?}");
        }
    }
}
