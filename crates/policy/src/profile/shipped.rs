//! The profiles that are part of Belljar, as text; the default one is used as the value that its text reads as.

/// A profile of this build.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// As it is asked for.
    pub name: &'static str,
    /// What it says.
    pub text: &'static str,
    /// What must hold of it.
    pub cases: &'static str,
}

macro_rules! shipped {
    ($name:literal) => {
        Shipped {
            name: $name,
            text: include_str!(concat!("../../../../policies/", $name, ".toml")),
            cases: include_str!(concat!("../../../../policies/", $name, ".test.toml")),
        }
    };
}

/// All of them, the default one first.
pub const SHIPPED: [Shipped; 6] = [
    shipped!("workspace"),
    shipped!("untrusted-repo"),
    shipped!("agent"),
    shipped!("ci"),
    shipped!("strict"),
    shipped!("permissive-with-review"),
];

/// The one of this name.
#[must_use]
pub fn shipped(name: &str) -> Option<&'static Shipped> {
    SHIPPED.iter().find(|shipped| shipped.name == name)
}
