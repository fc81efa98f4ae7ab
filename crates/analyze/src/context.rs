//! Facts about the shell the text would run in. They come in as data; nothing is looked up.

use model::FilePath;

/// The shell as far as the caller knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellContext {
    /// Working directory, absolute.
    pub cwd: FilePath,
    /// The user's home, absolute.
    pub home: FilePath,
    /// Environment variables whose values are known; all others count as unknown.
    pub vars: Vec<(String, String)>,
    /// Symbolic links that are known: absolute path of the link, and what stands in it.
    pub links: Vec<(FilePath, FilePath)>,
    /// Directories that are known to be there, absolute: what is copied or moved to one goes into it.
    pub directories: Vec<FilePath>,
    /// Directories whose content is known, each with the names of all that Python could import from it, without endings.
    /// Of others it is not known whether they hold a module.
    pub modules: Vec<(FilePath, Vec<String>)>,
}

impl Default for ShellContext {
    /// A shell in `/` of a user whose home is `/home/user`.
    fn default() -> ShellContext {
        ShellContext {
            cwd: FilePath::from("/"),
            home: FilePath::from("/home/user"),
            vars: Vec::new(),
            links: Vec::new(),
            directories: Vec::new(),
            modules: Vec::new(),
        }
    }
}
