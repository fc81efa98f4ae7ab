//! Jars, read back as rules: what one lets through is a permit and what it keeps out a forbid, so that a solver can compare
//! it with the policy that it was made by.
//!
//! The statement is: *whatever a jar lets through without a question, the policy allows*, for every request that can come
//! about. What it means depends on what is let through.
//!
//! - **Reading.** A jar shows every file of the host that it does not hide, so this is compared path by path: shown, and not
//!   allowed at once, is a hole. Nobody was asked about what a command does not announce; what a person named or approved
//!   beforehand stands in the confinement and is taken out.
//! - **Connecting.** Compared peer by peer. Who names a peer, on the command line or in a profile, was asked by that: so what
//!   the policy asks about may be let through, and what it denies may not.
//! - **Changing.** Not compared: all that is written goes to a copy, and becomes real only where rules about `apply` let it,
//!   which the properties `apply/...` are about.
//! - **Executing.** Not compared: to a kernel a program is a file that is read. A rule about programs holds where they are
//!   announced.
//! - **Signals, privileges, listening.** Not compared: nothing of the host can be met by them from inside.
//!
//! A jar speaks of paths and peers, a rule of more: of facts that the tables know about them. Of a path and its facts the
//! solver knows only what [`super::REQUESTS`] says; what is risky is no more than MEDIUM inside, as a test of the tables
//! holds. Blocks of addresses are no pattern of texts; they are taken for all addresses, and a hole that is only due to
//! that does not show when it is replayed and is told as not proved. Which names only a search finds, outside of our views, is not read back at all.

use super::rules::Rules;
use super::witness::{Fact, Witness};
use crate::confine::access;
use crate::error::PolicyError;
use crate::held::{self, Judge};
use crate::layer::{Layer, Origin, load_again};
use crate::profile::Profile;
use crate::secrets;
use cedar_policy_core::ast::Policy;
use model::{Access, Confinement, FilePath, NetRule, Peers, Place, Ports};
use std::fmt::Write as _;
use std::net::IpAddr;

/// What must hold of a jar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// It lets nothing through that its policy does not allow.
    Policy,
    /// It shows no place in which secrets are kept, nor Belljar's records.
    Secrets,
    /// It reaches nobody but whom its profile names.
    Named,
    /// It reaches no networks around the host.
    Around,
}

/// What must hold of jars: names, sentences, what.
pub(super) const ABOUT: [(&str, &str, About); 4] = [
    (
        "jar/policy",
        "What a jar shows and whom it lets be reached, its policy allows, announced or not; to name a peer answers for it. \
         (Not what is executed, which a jar cannot tell from reading, nor changes: they wait for `apply`.)",
        About::Policy,
    ),
    (
        "jar/secrets",
        "No jar shows the places of a home in which secrets are kept, but those its profile shows, nor Belljar's records.",
        About::Secrets,
    ),
    ("jar/named", "No jar reaches anybody whom its profile does not name.", About::Named),
    ("jar/around", "No jar reaches this machine, private networks or link-local addresses by number.", About::Around),
];

/// A jar, as rules and as it is.
pub(super) struct Jar {
    /// What it lets through.
    pub(super) rules: Rules,
    /// What it must not let through, by what that is about.
    never: Vec<(About, Rules)>,
    confinement: Confinement,
    judge: Judge,
}

impl Jar {
    pub(super) fn new(place: &Place, profile: &Profile, confinement: &Confinement) -> Result<Jar, PolicyError> {
        let texts = [
            ("jar", read_back(place, confinement)),
            ("secrets", secrets_of(place, profile)),
            ("named", anybody_but(&profile.allow_net)),
            ("around", AROUND.to_owned()),
        ];
        let layers = texts.each_ref().map(|(name, text)| Layer { name, origin: Origin::User, text });
        // They are of our own making, and to validate some hundred rules takes as long as to prove what is asked of them.
        let policies = load_again(&layers, true)?;
        let of = |name: &str| {
            let own = |policy: &&Policy| AsRef::<str>::as_ref(policy.id()).split(':').next() == Some(name);
            policies.iter().filter(own).cloned().collect::<Vec<Policy>>()
        };
        let never = [(About::Secrets, "secrets"), (About::Named, "named"), (About::Around, "around")];
        let never = never.into_iter().map(|(about, name)| Ok((about, Rules::of_policies(of(name))?)));
        let never = never.collect::<Result<_, PolicyError>>()?;
        let mut lets = of("jar");
        lets.extend(held::policies(&confinement.held)?);
        let rules = Rules::of_policies(lets)?;
        let judge = Judge::of(place, confinement)?;
        Ok(Jar { rules, never, confinement: confinement.clone(), judge })
    }

    /// The rules of what must not be let through.
    pub(super) fn never(&self, about: About) -> Option<&Rules> {
        self.never.iter().find(|(own, _)| *own == about).map(|(_, rules)| rules)
    }

    /// Whether the jar itself, and not only what was read back of it, lets this request through.
    pub(super) fn lets_through(&self, witness: &Witness) -> bool {
        let text = |name| match witness.attributes.get(name) {
            Some(Fact::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        if let Some(path) = text("path") {
            return FilePath::decode(path).is_some_and(|path| {
                access(&self.confinement, &path) != Access::Hidden && self.judge.hides(&path).is_none()
            });
        }
        let (Some(host), Some(Fact::Number(port))) = (text("host"), witness.attributes.get("port")) else {
            return false;
        };
        let (Ok(port), Some(protocol)) = (u16::try_from(*port), text("protocol")) else { return false };
        let protocol = [model::Protocol::Tcp, model::Protocol::Udp].into_iter().find(|known| known.name() == protocol);
        let network = &self.confinement.network;
        protocol.is_some_and(|protocol| match host.parse::<IpAddr>() {
            Ok(address) => network.allows_address(address, port, protocol),
            Err(_) => network.allows_name(host, port, protocol),
        })
    }
}

/// What is compared of reading: exact paths, as the kernel opens them.
const SHOWS: &str = "@id(\"shows\")\npermit (principal, action == Action::\"read\", resource is Path)\nwhen {\n  \
    context.contained && context.risk <= 1 && context.certain && context.reversible &&\n  \
    resource.scope == Scope::\"exact\" && resource.path like \"/*\"\n};\n";

fn read_back(place: &Place, confinement: &Confinement) -> String {
    let mut text = SHOWS.to_owned();
    let inside = |hidden: &FilePath| {
        let roots = confinement.roots.iter().map(|root| &root.path);
        roots.filter(|root| *root != hidden && root.starts_with(hidden)).cloned().collect::<Vec<_>>()
    };
    let mut hidden: Vec<FilePath> = confinement.hidden.iter().map(|hidden| hidden.path.clone()).collect();
    // What lies in something hidden, and has no root in it, is hidden with all below: it follows, and spares a solver to find
    // out how texts begin.
    let follows = |path: &FilePath| access(confinement, path) == Access::Hidden && inside(path).is_empty();
    hidden.extend(places(place).filter(follows));
    hidden.sort();
    hidden.dedup();
    for (number, path) in hidden.iter().enumerate() {
        // A root inside a hidden directory is there.
        let roots: Vec<String> = inside(path).iter().map(|root| format!(" && !{}", is_below(root))).collect();
        let when = format!("{}{}", is_below(path), roots.concat());
        forbid(&mut text, &format!("hides/{number}"), "action == Action::\"read\", resource is Path", &when);
    }
    for (number, rule) in confinement.network.rules().iter().enumerate() {
        let head = "principal, action == Action::\"connect\", resource is Peer";
        let when = format!("context.contained && context.risk <= 1 && {}", is_peer(rule, true));
        let _ = write!(text, "@id(\"reaches/{number}\")\npermit ({head})\nwhen {{ {when} }};\n");
    }
    for (number, rule) in confinement.network.refused().iter().enumerate() {
        let head = "action == Action::\"connect\", resource is Peer";
        forbid(&mut text, &format!("refuses/{number}"), head, &is_peer(rule, false));
    }
    text
}

fn forbid(text: &mut String, id: &str, head: &str, when: &str) {
    let _ = write!(text, "@id(\"{id}\")\nforbid (principal, {head})\nwhen {{ {when} }};\n");
}

/// `(resource.path == "/a" || resource.path like "/a/*")`
fn is_below(path: &FilePath) -> String {
    let path = path.encode();
    let (exact, above) = (quoted(&path, false), quoted(path.trim_end_matches('/'), true));
    format!("(resource.path == \"{exact}\" || resource.path like \"{above}/*\")")
}

/// As it stands in quotes; a star of a pattern is told from one of a name.
fn quoted(text: &str, pattern: bool) -> String {
    let escape = |c: char| match c {
        '*' if pattern => "\\*".to_owned(),
        c => c.escape_debug().to_string(),
    };
    text.chars().map(escape).collect()
}

/// The peers of a permission; no fewer (`wide`), or no more.
fn is_peer(rule: &NetRule, wide: bool) -> String {
    let named = "resource.network == Network::\"named\"";
    let host = match &rule.peers {
        Peers::Name(name) => format!("{named} && resource.host == \"{}\"", quoted(name, false)),
        Peers::Below(above) => format!("{named} && resource.host like \"*.{}\"", quoted(above, true)),
        Peers::AnyName => named.to_owned(),
        Peers::Block(block) => {
            let text = rule_host(rule);
            match block.is_one() {
                true => format!("resource.host == \"{text}\""),
                false if wide => format!("!({named}) && !(resource.network == Network::\"unix-socket\")"),
                false => "false".to_owned(),
            }
        }
    };
    let protocol = format!("resource has protocol && resource.protocol == \"{}\"", rule.protocol.name());
    let port = match rule.ports {
        Ports::ALL => "resource.port >= 1".to_owned(),
        Ports { first, last } => format!("resource.port >= {first} && resource.port <= {last}"),
    };
    format!("({host} && {protocol} && resource has port && {port})")
}

fn rule_host(rule: &NetRule) -> String {
    let host = NetRule { ports: Ports::ALL, protocol: model::Protocol::Tcp, ..rule.clone() }.to_string();
    host.trim_matches(['[', ']']).to_owned()
}

/// Places of a home in which secrets are kept.
fn places(place: &Place) -> impl Iterator<Item = FilePath> {
    let rows = secrets::HIDDEN.iter().map(|row| row.pattern.trim_start_matches("~/").trim_end_matches('/'));
    rows.map(|row| place.home.join(row))
}

/// What of a home is hidden from every jar but those whose profile shows it, and Belljar's records.
fn secrets_of(place: &Place, profile: &Profile) -> String {
    let shown = profile.wishes(place).read;
    let places = places(place).filter(|path| !shown.iter().any(|shown| path.starts_with(shown)));
    let mut text = String::new();
    let facts = "resource.secret && resource.location == Location::\"home\"";
    let head = "action == Action::\"read\", resource is Path";
    // Rules of their own: one condition of all of them would be too deep.
    for (number, path) in places.enumerate() {
        forbid(&mut text, &format!("places/{number}"), head, &format!("{facts} && {}", is_below(&path)));
    }
    let state = format!("{facts} && resource.rules.contains(Rule::\"belljar/state\") && {}", is_below(&place.state));
    forbid(&mut text, "records", head, &state);
    text
}

fn anybody_but(named: &[NetRule]) -> String {
    let mut text = String::new();
    let peers: Vec<String> = named.iter().map(|rule| is_peer(rule, true)).collect();
    let when = if peers.is_empty() { "true".to_owned() } else { format!("!({})", peers.join(" || ")) };
    forbid(&mut text, "unnamed", "action == Action::\"connect\", resource is Peer", &when);
    text
}

/// What stands for the host and what is around it.
const AROUND: &str = "@id(\"around\")\nforbid (principal, action == Action::\"connect\", resource is Peer)\nwhen {\n  \
    [Network::\"loopback\", Network::\"private\", Network::\"link-local\", Network::\"unix-socket\"]\n    \
    .contains(resource.network)\n};\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;
    use crate::confine::{ConfineRequest, confine};
    use crate::layer::load_all;
    use crate::profile::{SHIPPED, Whose};

    #[test]
    fn what_is_read_back_is_valid() {
        let place = cases::place(true);
        for shipped in SHIPPED {
            let profile = Profile::parse(shipped.name, shipped.text, Whose::Own).unwrap();
            let allow_net = ["a.example:443", "*.b.example:1-80/udp", "10.0.0.0/8:22", "1.2.3.4:53/udp"];
            let allow_net: Vec<NetRule> = allow_net.iter().map(|text| text.parse().unwrap()).collect();
            let wishes = ConfineRequest { allow_net: allow_net.clone(), ..profile.wishes(&place) };
            let confinement = confine(&place, &wishes).unwrap();
            for text in [read_back(&place, &confinement), secrets_of(&place, &profile), anybody_but(&allow_net)] {
                let layer = Layer { name: "jar", origin: Origin::User, text: &text };
                load_all(&[layer]).unwrap_or_else(|error| panic!("{}: {error}", shipped.name));
            }
        }
        load_all(&[Layer { name: "jar", origin: Origin::User, text: AROUND }]).unwrap();
    }
}
