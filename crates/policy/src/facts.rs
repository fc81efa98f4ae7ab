//! Facts: what the tables say about a target, worked out once and used by risk, decision, review and explanation.

use crate::derived::{self, Depth};
use crate::pattern::{Fit, Folded, is_glob};
use crate::protected::{self, Protected};
use crate::secrets;
use model::{FilePath, PathScope, Place};
use serde::{Deserialize, Serialize};

/// Where a path lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Location {
    /// The project the command works on.
    Workspace,
    /// Directories for temporary files; private in a jar.
    Temporary,
    /// The user's home.
    Home,
    /// `/dev/null`, standard streams, the terminal: writing there changes no file.
    Stream,
    /// Anywhere else.
    Elsewhere,
    /// Directories that belong to the system, and `/` itself.
    System,
    /// Disks, memory, the kernel's switches.
    Device,
    /// Relative to a directory that is not known.
    Unknown,
}

impl Location {
    /// The name in the schema.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Location::Workspace => "workspace",
            Location::Temporary => "temporary",
            Location::Home => "home",
            Location::Stream => "stream",
            Location::Elsewhere => "elsewhere",
            Location::System => "system",
            Location::Device => "device",
            Location::Unknown => "unknown",
        }
    }

    #[cfg(test)]
    pub(crate) const ALL: [Location; 8] = [
        Location::Workspace,
        Location::Temporary,
        Location::Home,
        Location::Stream,
        Location::Elsewhere,
        Location::System,
        Location::Device,
        Location::Unknown,
    ];
}

/// Everything the tables know about one path.
#[derive(Clone)]
pub(crate) struct PathFacts {
    pub(crate) location: Location,
    pub(crate) secret: Option<&'static str>,
    pub(crate) protected: Option<(Fit, &'static Protected)>,
    pub(crate) depth: Depth,
    /// Derived, and run by later builds without being checked again.
    pub(crate) runs: bool,
    /// Belljar's own records, or a directory that holds them.
    pub(crate) state: bool,
    /// `/`, a system directory itself, the home, or everything in one of them.
    pub(crate) top: bool,
    /// The workspace as a whole.
    pub(crate) whole_workspace: bool,
}

/// The rule for Belljar's own records.
pub(crate) const STATE_RULE: &str = "belljar/state";

/// `Place` with its paths folded once, for many look-ups.
pub(crate) struct Ground<'a> {
    pub(crate) place: &'a Place,
    home: Folded,
}

impl<'a> Ground<'a> {
    pub(crate) fn new(place: &'a Place) -> Ground<'a> {
        Ground { place, home: Folded::new(&place.home) }
    }

    pub(crate) fn path(&self, path: &FilePath, scope: PathScope) -> PathFacts {
        let folded = if scope == PathScope::Exact { Folded::literal(path) } else { Folded::new(path) };
        let (depth, runs) = derived::find(&folded, &self.home);
        let tree = scope == PathScope::Tree;
        let whole = if scope == PathScope::Glob { everything_in(path) } else { None };
        let reached = whole.as_ref().unwrap_or(path);
        PathFacts {
            location: self.location(path),
            secret: secrets::find(&folded, &self.home, tree),
            protected: protected::find(&folded, &self.home, depth),
            depth,
            runs,
            state: path.starts_with(&self.place.state) || (tree && self.place.state.starts_with(path)),
            top: self.is_top(reached),
            whole_workspace: self.place.workspace.starts_with(reached),
        }
    }

    fn is_top(&self, path: &FilePath) -> bool {
        self.place.home.starts_with(path) || SYSTEM.iter().any(|root| path.as_bytes() == root.as_bytes())
    }

    fn location(&self, path: &FilePath) -> Location {
        if !path.is_absolute() {
            return Location::Unknown;
        }
        let within = |base: &FilePath| is_under(path, base.as_bytes());
        let under = |bases: &[&str]| bases.iter().any(|base| is_under(path, base.as_bytes()));
        if is_stream(path) {
            Location::Stream
        } else if under(TEMPORARY) && !within(&self.place.workspace) && !within(&self.place.home) {
            Location::Temporary
        } else if under(DEVICES) {
            Location::Device
        } else if within(&self.place.workspace) {
            Location::Workspace
        } else if within(&self.place.home) {
            Location::Home
        } else if under(SYSTEM) || path.as_bytes() == b"/" {
            Location::System
        } else {
            Location::Elsewhere
        }
    }
}

/// Whether a normalised path is `base` or lies below it, compared by bytes: this runs for every changed name.
fn is_under(path: &FilePath, base: &[u8]) -> bool {
    let rest = path.as_bytes().strip_prefix(base);
    rest.is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/') || base == b"/")
}

const TEMPORARY: &[&str] = &["/tmp", "/var/tmp", "/dev/shm"];
const DEVICES: &[&str] = &["/dev", "/sys", "/proc/sys", "/proc/sysrq-trigger", "/proc/kcore", "/proc/bus", "/proc/irq"];

/// Directories of the Filesystem Hierarchy Standard that belong to the system, and the kernel's own.
pub(crate) const SYSTEM: &[&str] = &[
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/proc", "/root", "/run", "/sbin",
    "/srv", "/sys", "/usr", "/var", "/home", "/nix", "/snap", "/mnt", "/media",
];

/// Whether writing to `path` reaches a stream the command already has, or nothing at all: null(4), fd(4), tty(4).
fn is_stream(path: &FilePath) -> bool {
    const NAMES: &[&str] = &[
        "/dev/null",
        "/dev/zero",
        "/dev/full",
        "/dev/random",
        "/dev/urandom",
        "/dev/stdin",
        "/dev/stdout",
        "/dev/stderr",
        "/dev/tty",
        "/dev/ptmx",
    ];
    const BELOW: &[&str] = &["/dev/fd", "/dev/pts", "/proc/self/fd"];
    NAMES.iter().any(|name| path.as_bytes() == name.as_bytes())
        || BELOW.iter().any(|base| is_under(path, base.as_bytes()))
}

/// For a glob that means everything in a directory (`/*`, `~/.*`, `./{*,.*}`): that directory.
fn everything_in(path: &FilePath) -> Option<FilePath> {
    let name = path.file_name()?.to_string_lossy();
    let all = is_glob(&name) && name.chars().all(|c| "*?.[]!^{},".contains(c));
    if all { path.parent() } else { None }
}

/// What a host name or address leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Network {
    /// This machine: 127.0.0.0/8, `::1`, `localhost` (RFC 6761).
    Loopback,
    /// RFC 1918, RFC 4193, RFC 6598.
    Private,
    /// RFC 3927 and RFC 4291; cloud metadata services live here.
    LinkLocal,
    /// Any other address.
    Public,
    /// A name: where it leads is not known before it is looked up.
    Named,
    /// A unix socket of the host.
    UnixSocket,
}

impl Network {
    /// The name in the schema.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Network::Loopback => "loopback",
            Network::Private => "private",
            Network::LinkLocal => "link-local",
            Network::Public => "public",
            Network::Named => "named",
            Network::UnixSocket => "unix-socket",
        }
    }

    #[cfg(test)]
    pub(crate) const ALL: [Network; 6] =
        [Network::Loopback, Network::Private, Network::LinkLocal, Network::Public, Network::Named, Network::UnixSocket];

    pub(crate) fn of(host: &str) -> Network {
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
        if host.starts_with("unix:") {
            return Network::UnixSocket;
        }
        if host == "localhost" || host.ends_with(".localhost") {
            return Network::Loopback;
        }
        match host.parse::<std::net::IpAddr>() {
            Ok(address) => Network::of_address(address.to_canonical()),
            Err(_) => Network::Named,
        }
    }

    fn of_address(address: std::net::IpAddr) -> Network {
        match address {
            _ if address.is_loopback() => Network::Loopback,
            std::net::IpAddr::V4(v4) if v4.is_unspecified() => Network::Loopback,
            std::net::IpAddr::V4(v4) if v4.is_link_local() => Network::LinkLocal,
            std::net::IpAddr::V4(v4) if v4.is_private() || is_shared(v4) => Network::Private,
            std::net::IpAddr::V6(v6) if v6.is_unspecified() => Network::Loopback,
            std::net::IpAddr::V6(v6) if v6.is_unicast_link_local() => Network::LinkLocal,
            std::net::IpAddr::V6(v6) if v6.is_unique_local() => Network::Private,
            _ => Network::Public,
        }
    }
}

/// Whether an address is of the shared space of RFC 6598, 100.64.0.0/10.
fn is_shared(address: std::net::Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && second & 0xc0 == 64
}

#[cfg(test)]
mod tests {
    use super::{Ground, Location, Network};
    use crate::testing::place;
    use model::{FilePath, PathScope};

    #[test]
    fn a_quoted_star_is_a_star() {
        let place = crate::testing::place(false);
        let ground = Ground::new(&place);
        let secret = |path: &str, scope| ground.path(&FilePath::from(path), scope).secret;
        for name in ["/w/id_*", "/w/.en?", "/w/.ss[h]/x"] {
            assert_eq!(secret(name, PathScope::Exact), None, "{name}");
        }
        assert!(secret("/w/id_*", PathScope::Glob).is_some() && secret("/w/id_rsa", PathScope::Exact).is_some());
        assert!(secret("/home/u/.ssh/a*b", PathScope::Exact).is_some());
    }

    #[test]
    fn paths_have_a_location() {
        let place = place(false);
        let ground = Ground::new(&place);
        for (path, expected) in [
            ("/home/u/work/src/a.rs", Location::Workspace),
            ("/home/u/x", Location::Home),
            ("/tmp/x", Location::Temporary),
            ("/dev/shm/x", Location::Temporary),
            ("/dev/null", Location::Stream),
            ("/dev/sda", Location::Device),
            ("/proc/sysrq-trigger", Location::Device),
            ("/etc/passwd", Location::System),
            ("/", Location::System),
            ("/data/x", Location::Elsewhere),
            ("x", Location::Unknown),
        ] {
            assert_eq!(ground.location(&FilePath::from(path)), expected, "{path}");
        }
    }

    #[test]
    fn tops_are_known() {
        let place = place(false);
        let ground = Ground::new(&place);
        let top = |path: &str, scope| ground.path(&FilePath::from(path), scope).top;
        assert!(top("/", PathScope::Tree) && top("/*", PathScope::Glob) && top("/home/u", PathScope::Tree));
        assert!(top("/home/u/.*", PathScope::Glob) && top("/usr", PathScope::Tree));
        assert!(!top("/home/u/*.o", PathScope::Glob) && !top("/home/u/work", PathScope::Tree));
    }

    #[test]
    fn hosts_have_a_reach() {
        for (host, expected) in [
            ("localhost", Network::Loopback),
            ("127.8.0.1", Network::Loopback),
            ("[::1]", Network::Loopback),
            ("::ffff:127.0.0.1", Network::Loopback),
            ("0.0.0.0", Network::Loopback),
            ("10.0.0.1", Network::Private),
            ("100.64.0.1", Network::Private),
            ("169.254.169.254", Network::LinkLocal),
            ("fe80::1", Network::LinkLocal),
            ("1.1.1.1", Network::Public),
            ("registry.npmjs.org", Network::Named),
            ("unix:/var/run/docker.sock", Network::UnixSocket),
        ] {
            assert_eq!(Network::of(host), expected, "{host}");
        }
    }
}
