//! What is asked for: the jar as a description, before any of it is enforced.

use crate::{Action, FilePath, NetRule, Protocol};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Why a root is writable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootKind {
    /// The project the command works on.
    Workspace,
    /// The user's home: caches and settings; most changes there are unexpected.
    Home,
    /// Declared with `--write`.
    Declared,
}

/// A directory whose changes go to a copy-on-write overlay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WritableRoot {
    /// Absolute, symbolic links resolved.
    pub path: FilePath,
    /// Why.
    pub kind: RootKind,
}

/// A path the jar must not show. Inside a writable root the overlay leaves it out; elsewhere the view covers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hidden {
    /// Absolute. It need not exist.
    pub path: FilePath,
    /// The rule that hides it, for example `secrets/aws`.
    pub rule: String,
}

/// A rule of the policy that the jar holds, whatever was announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Its id, with the name of its layer.
    pub rule: String,
    /// What it is about: to read, or to connect.
    pub action: Action,
    /// The rule itself, in the language of the policy.
    pub text: String,
}

/// A path that a person said may be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    /// Absolute.
    pub path: FilePath,
    /// And all below it.
    pub below: bool,
}

impl Agreed {
    /// Whether it covers this path.
    #[must_use]
    pub fn covers(&self, path: &FilePath) -> bool {
        if self.below { path.starts_with(&self.path) } else { *path == self.path }
    }
}

/// What of the network exists inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Network {
    /// Only the jar's own loopback.
    None,
    /// Besides that, these peers.
    Named {
        /// Whom; not empty.
        allow: Vec<NetRule>,
        /// Whom of these not: what rules of the policy forbid.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        refuse: Vec<NetRule>,
    },
}

impl Network {
    /// The permissions.
    #[must_use]
    pub fn rules(&self) -> &[NetRule] {
        match self {
            Network::None => &[],
            Network::Named { allow, .. } => allow,
        }
    }

    /// The exceptions from them.
    #[must_use]
    pub fn refused(&self) -> &[NetRule] {
        match self {
            Network::None => &[],
            Network::Named { refuse, .. } => refuse,
        }
    }

    /// Whether this port of this name may be reached.
    #[must_use]
    pub fn allows_name(&self, name: &str, port: u16, protocol: Protocol) -> bool {
        let among = |rules: &[NetRule]| rules.iter().any(|rule| rule.allows_name(name, port, protocol));
        among(self.rules()) && !among(self.refused())
    }

    /// Whether this port of this address may be reached, where the program names the address itself.
    #[must_use]
    pub fn allows_address(&self, address: IpAddr, port: u16, protocol: Protocol) -> bool {
        let among = |rules: &[NetRule]| rules.iter().any(|rule| rule.allows_address(address, port, protocol));
        among(self.rules()) && !among(self.refused())
    }

    /// Whether any port of this name may be reached, so that a program may find it.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        let open = |rule: &NetRule| {
            let refused = |other: &NetRule| {
                let ports = other.ports.first <= rule.ports.first && rule.ports.last <= other.ports.last;
                other.protocol == rule.protocol && ports && other.knows(name)
            };
            rule.knows(name) && !self.refused().iter().any(refused)
        };
        self.rules().iter().any(open)
    }
}

/// One variable of the environment handed to the child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    /// Raw name bytes in the path escape.
    pub name: FilePath,
    /// Raw value bytes in the path escape.
    pub value: FilePath,
}

/// The whole jar, as asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Outer roots before the roots inside them.
    pub roots: Vec<WritableRoot>,
    /// Never visible.
    pub hidden: Vec<Hidden>,
    /// Where names alone hide nothing, with all below: where the command works, and what was asked for.
    #[serde(default)]
    pub shown: Vec<FilePath>,
    /// What rules forbid to be read: names are judged by them wherever a view or a search of ours meets one, and they stand
    /// in `hidden` as far as they name paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Held>,
    /// What a person named or approved beforehand: rules that only ask do not hide it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agreed: Vec<Agreed>,
    /// Network view.
    pub network: Network,
    /// The child's whole environment.
    pub env: Vec<EnvVar>,
    /// Names of variables of the caller that were withheld; values are never recorded.
    pub env_withheld: Vec<String>,
    /// The child's working directory.
    pub cwd: FilePath,
}

impl Confinement {
    /// Nothing is written, hidden or reached, and the environment is empty.
    #[must_use]
    pub fn closed(cwd: FilePath) -> Confinement {
        Confinement {
            roots: Vec::new(),
            hidden: Vec::new(),
            shown: Vec::new(),
            held: Vec::new(),
            agreed: Vec::new(),
            network: Network::None,
            env: Vec::new(),
            env_withheld: Vec::new(),
            cwd,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_win_and_a_name_is_known_while_any_port_of_it_is_left() {
        let rules = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let network = Network::Named {
            allow: rules(&["*:1-1024", "10.0.0.0/8:22"]),
            refuse: rules(&["evil.example:80", "*.evil.example:1-1024", "10.0.0.1:22"]),
        };
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
        assert!(network.allows_name("a.example", 443, tcp) && !network.allows_name("a.example", 443, udp));
        assert!(network.allows_name("evil.example", 443, tcp) && !network.allows_name("evil.example", 80, tcp));
        assert!(!network.allows_name("x.evil.example", 443, tcp));
        assert!(network.knows("evil.example") && !network.knows("x.evil.example"));
        let address = |last: u8| IpAddr::from([10, 0, 0, last]);
        assert!(network.allows_address(address(2), 22, tcp) && !network.allows_address(address(1), 22, tcp));
        assert!(!Network::None.knows("a.example"));
    }
}
