//! Errors of this room: what is wrong with a policy or with the place a command should run in.

use model::{FilePath, NetRule};

/// A policy that cannot be used. Lines and columns count from 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A rule that a jar is to hold cannot be read.
    #[error("hold the rule {rule}: {message}")]
    Held {
        /// Its id.
        rule: String,
        /// Why not.
        message: String,
    },
    /// The text is not Cedar.
    #[error("{layer}:{line}:{column}: {message}")]
    Syntax {
        /// Name of the layer, usually its file.
        layer: String,
        /// Where.
        line: usize,
        /// Where.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// It is Cedar, but speaks of something the schema does not know, or of the wrong type.
    #[error("{layer}:{line}:{column}: rule `{rule}`: {message}")]
    Schema {
        /// Name of the layer.
        layer: String,
        /// Where.
        line: usize,
        /// Where.
        column: usize,
        /// The rule's `@id`.
        rule: String,
        /// What the validator says.
        message: String,
    },
    /// A profile, cases of one, or a property, that cannot be used.
    #[error("{layer}:{line}:{column}: {message}")]
    Profile {
        /// Its name or file.
        layer: String,
        /// Where.
        line: usize,
        /// Where.
        column: usize,
        /// What is wrong.
        message: String,
        /// What to do.
        hint: String,
    },
    /// A rule without an `@id`: nobody could be told what decided.
    #[error("{layer}:{line}: a rule without an @id")]
    Nameless {
        /// Name of the layer.
        layer: String,
        /// Where it begins.
        line: usize,
    },
    /// Two rules of one layer share an `@id`.
    #[error("{layer}: two rules are called `{rule}`")]
    Twice {
        /// Name of the layer.
        layer: String,
        /// The `@id`.
        rule: String,
    },
    /// A template (`?principal`, `?resource`).
    #[error("{layer}: rule `{rule}` is a template")]
    Template {
        /// Name of the layer.
        layer: String,
        /// The `@id`, or empty.
        rule: String,
    },
    /// A project's own policy holds a `permit`.
    #[error("{layer}: rule `{rule}` permits, and a project's own policy may only forbid")]
    ProjectPermits {
        /// Name of the layer.
        layer: String,
        /// The `@id`.
        rule: String,
    },
    /// Two layers share a name, so that their rules could not be told apart.
    #[error("two layers are called `{layer}`")]
    SameName {
        /// The name.
        layer: String,
    },
    /// More text than [`crate::LAYER_BYTES_MAX`].
    #[error("{layer}: {bytes} bytes of policy are more than {}", crate::LAYER_BYTES_MAX)]
    TooLarge {
        /// Name of the layer.
        layer: String,
        /// How large it is.
        bytes: usize,
    },
    /// A rule is valid and never does anything.
    #[error("{layer}:{line}:{column}: rule `{rule}`: {message}")]
    Useless {
        /// Name of the layer.
        layer: String,
        /// Where.
        line: usize,
        /// Where.
        column: usize,
        /// Its `@id`.
        rule: String,
        /// Why not.
        message: String,
    },
    /// The built-in policy or schema is broken; a defect of this build.
    #[error("the built-in policy is broken: {message}")]
    Builtin {
        /// What Cedar says.
        message: String,
    },
}

impl PolicyError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &str {
        match self {
            PolicyError::Profile { hint, .. } => hint,
            PolicyError::Syntax { .. } => {
                "see https://docs.cedarpolicy.com for the grammar; every rule ends in a semicolon"
            }
            PolicyError::Schema { .. } => "policies/belljar.cedarschema lists every action, attribute and value",
            PolicyError::Nameless { .. } => {
                "write @id(\"some/name\") in front of it; decisions are explained by that name"
            }
            PolicyError::Twice { .. } => "give each rule its own @id",
            PolicyError::Template { .. } => "write the value in place of ?principal or ?resource",
            PolicyError::ProjectPermits { .. } => "move the rule to your own policy, or trust the project",
            PolicyError::SameName { .. } => "rename one of the files",
            PolicyError::TooLarge { .. } => "split it, or shorten it; rules over paths take patterns with *",
            PolicyError::Held { .. } => "this is a defect of this build of Belljar; please report it with the rule",
            PolicyError::Useless { .. } => {
                "compare with what `belljar check --json` calls the effect; policies/belljar.cedarschema lists what each action is about"
            }
            PolicyError::Builtin { .. } => "this is a defect of this build of Belljar; please report it",
        }
    }
}

/// A place no jar can be made for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfineError {
    /// The workspace is `/` or a directory of the system.
    #[error("use {path} as a workspace: it belongs to the system")]
    SystemWorkspace {
        /// The workspace.
        path: FilePath,
    },
    /// A root that was declared writable is `/` or a directory of the system.
    #[error("make {path} writable: it belongs to the system")]
    SystemRoot {
        /// The root.
        path: FilePath,
    },
    /// The home is `/` or a directory of the system.
    #[error("use {path} as a home: it belongs to the system")]
    SystemHome {
        /// The home.
        path: FilePath,
    },
    /// A path that has to be absolute is not.
    #[error("use {path}: it is not absolute")]
    Relative {
        /// The path.
        path: FilePath,
    },
    /// A writable root lies in Belljar's own records.
    #[error("make {path} writable: Belljar keeps its records there")]
    InState {
        /// The root.
        path: FilePath,
    },
    /// The workspace lies in something that is hidden.
    #[error("work in {path}: it is hidden by {rule}")]
    HiddenWorkspace {
        /// The workspace.
        path: FilePath,
        /// The rule that hides it.
        rule: String,
    },
    /// The profile keeps the home from being written, and it lies in the workspace.
    #[error("work in {path}: the profile does not let the home be written, which lies there")]
    HomeInWorkspace {
        /// The workspace.
        path: FilePath,
    },
    /// A path to be shown lies in a directory that is hidden whole.
    #[error("show {path}: all of {hidden} is hidden by {rule}")]
    StillHidden {
        /// What should be shown.
        path: FilePath,
        /// The hidden path it lies in.
        hidden: FilePath,
        /// The rule that hides it.
        rule: String,
    },
    /// A rule forbids some of the peers that are allowed, and no exception can be made of it.
    #[error("reach {allowed}: the rule {rule} forbids some of it, and a jar cannot tell which")]
    Peers {
        /// The rule.
        rule: String,
        /// What is allowed.
        allowed: NetRule,
    },
    /// A rule that a jar is to hold cannot be read.
    #[error(transparent)]
    Held(#[from] PolicyError),
    /// A person was asked about a part of what a rule hides whole.
    #[error("show {path}: the rule {rule} hides all of {hidden}")]
    AskedInHidden {
        /// What should be shown.
        path: FilePath,
        /// What is hidden.
        hidden: FilePath,
        /// The rule.
        rule: String,
    },
    /// More writable roots than [`crate::ROOTS_MAX`].
    #[error("make a jar with {count} writable directories: {} is the most", crate::ROOTS_MAX)]
    TooManyRoots {
        /// How many were asked for.
        count: usize,
    },
    /// The name of an environment variable is empty or holds `=` or NUL.
    #[error("pass the variable {name}: that is no name of a variable")]
    VariableName {
        /// The name.
        name: FilePath,
    },
}

impl ConfineError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            ConfineError::SystemWorkspace { .. } => "change to a project directory first",
            ConfineError::SystemRoot { .. } => "name a directory of your own, with --write or in the profile",
            ConfineError::SystemHome { .. } => "set HOME to a directory of your own",
            ConfineError::Relative { .. } => "give the path from / on",
            ConfineError::InState { .. } => "choose another directory; `belljar trials` shows what is kept there",
            ConfineError::HiddenWorkspace { .. } => "show it with --read PATH, or work elsewhere",
            ConfineError::HomeInWorkspace { .. } => "change to a project directory first, or take another --profile",
            ConfineError::StillHidden { .. } => {
                "show the whole directory, with --read or in the profile, or copy the file to where it is needed"
            }
            ConfineError::Peers { .. } => {
                "allow hosts by name and not by a pattern, or let the rule name hosts: \"a.example\", \"*.a.example\""
            }
            ConfineError::Held(_) => "this is a defect of this build of Belljar; please report it with the rule",
            ConfineError::AskedInHidden { .. } => "show the whole directory with --read, if it may be seen",
            ConfineError::TooManyRoots { .. } => "name one directory above several of them with --write",
            ConfineError::VariableName { .. } => "write --env NAME or --env NAME=VALUE",
        }
    }
}
