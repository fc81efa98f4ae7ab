//! Secrets that only a name tells: what a view asks about the names it is about to show.

use std::path::Path;

/// A name that holds a secret wherever it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedSecret<'r> {
    /// The rule that hides it, for example `secrets/dotenv`.
    pub rule: &'r str,
    /// Whether it is none after all where it holds public parts of keys only, by [`SecretNames::is_public`].
    pub unless_public: bool,
}

/// Judges names. All paths are absolute.
pub trait SecretNames: Send + Sync {
    /// The secret that a file, or a directory with all in it, is by its name.
    fn secret(&self, path: &Path, is_dir: bool) -> Option<NamedSecret<'_>>;

    /// Whether names hide nothing at and below `path`: it is where the command works, or was asked for.
    fn is_shown(&self, path: &Path) -> bool;

    /// Whether this, the whole content of a file, is nothing but public parts of keys.
    fn is_public(&self, content: &[u8]) -> bool;
}
