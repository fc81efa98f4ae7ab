//! Rules about peers as exceptions from whom a jar may reach.

use super::condition::{Condition, Meet, is_entity, known_of_context};
use super::{Judge, body};
use crate::error::ConfineError;
use crate::facts::Network;
use crate::syntax::{equality, of_resource, plain, text};
use crate::words::Words;
use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, PatternElem, Var};
use model::{Action, Block, Held, NetRule, Peers, Place, Ports};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Some of the peers that a permission is about.
#[derive(Clone, Debug)]
struct Those {
    peers: Option<Peers>,
    ports: Option<Ports>,
}

impl Meet for Those {
    fn meet(&self, other: &Those) -> Option<Those> {
        let ports = match (self.ports, other.ports) {
            (Some(one), Some(other)) => {
                let ports = Ports { first: one.first.max(other.first), last: one.last.min(other.last) };
                (ports.first <= ports.last).then_some(Some(ports))?
            }
            (one, other) => one.or(other),
        };
        Some(Those { peers: self.peers.clone().or_else(|| other.peers.clone()), ports })
    }
}

/// What of `allow` the rules forbid, whoever agrees: who named a peer was asked by that. More may be refused than is
/// forbidden, never less.
///
/// # Errors
/// When a rule forbids some of what is allowed in a way that no jar can hold.
pub(crate) fn exceptions(place: &Place, held: &[Held], allow: &[NetRule]) -> Result<Vec<NetRule>, ConfineError> {
    let mut refuse = Vec::new();
    let broken =
        |rule: &Held, allowed: &NetRule| ConfineError::Peers { rule: rule.rule.clone(), allowed: allowed.clone() };
    for rule in held.iter().filter(|rule| rule.action == Action::Connect && !allow.is_empty()) {
        let judge = Judge::new(place, std::slice::from_ref(rule), &[]);
        for allowed in allow {
            let (Ok(judge), Some(expr)) = (&judge, condition(rule)) else { return Err(broken(rule, allowed)) };
            let condition = Condition::of(&expr, &|part| atom(part, allowed));
            let all = NetRule { peers: allowed.peers.clone(), ..allowed.clone() };
            match (condition.is(true), condition.over()) {
                (true, _) => refuse.push(all),
                (false, Some(found)) => refuse.extend(found.into_iter().filter_map(|some| meets(some, allowed))),
                // Of one name it can be asked, wherever it may answer differently.
                (false, None) => match &allowed.peers {
                    Peers::Name(name) => {
                        let edges = edges(&expr, allowed.ports);
                        if edges.iter().any(|port| judge.refuses(&rule.rule, name, *port, allowed.protocol)) {
                            refuse.push(all);
                        }
                    }
                    _ => return Err(broken(rule, allowed)),
                },
            }
        }
    }
    refuse.sort();
    refuse.dedup();
    Ok(refuse)
}

fn condition(held: &Held) -> Option<Expr> {
    body(Words::new().ok()?.kind("Peer"), &super::policy(held).ok()?)
}

fn meets(some: Those, allowed: &NetRule) -> Option<NetRule> {
    let ports = some.ports.unwrap_or(Ports::ALL);
    let (first, last) = (ports.first.max(allowed.ports.first), ports.last.min(allowed.ports.last));
    let peers = some.peers.unwrap_or_else(|| allowed.peers.clone());
    (first <= last).then_some(NetRule { peers, ports: Ports { first, last }, protocol: allowed.protocol })
}

/// Ports between two of which no comparison of the rule has another outcome.
fn edges(expr: &Expr, ports: Ports) -> Vec<u16> {
    let mut edges = vec![ports.first, ports.last];
    for part in expr.subexpressions() {
        if let ExprKind::Lit(Literal::Long(number)) = part.expr_kind() {
            let near = [number.saturating_sub(1), *number, number.saturating_add(1)];
            let near = near.into_iter().filter_map(|port| u16::try_from(port).ok());
            edges.extend(near.filter(|port| ports.contain(*port)));
        }
    }
    edges
}

/// What a comparison says of the peers of one permission, where a person agreed.
fn atom(expr: &Expr, allowed: &NetRule) -> Condition<Those> {
    if let Some(known) = known_of_context(expr, true) {
        return Condition::Known(known);
    }
    match expr.expr_kind() {
        ExprKind::HasAttr { expr, .. } if matches!(expr.expr_kind(), ExprKind::Var(Var::Resource)) => {
            // A jar knows the port and the protocol of every connection.
            Condition::Known(true)
        }
        ExprKind::Like { expr, pattern } if of_resource(expr) == Some("host") => like(pattern.get_elems(), allowed),
        ExprKind::BinaryApp { op: BinaryOp::Eq, arg1, arg2 } => {
            let Some((attribute, value)) = equality(arg1, arg2) else { return Condition::Unknown };
            match attribute {
                "host" => text(value).map_or(Condition::Unknown, |host| is_host(host, allowed)),
                "protocol" => {
                    text(value).map_or(Condition::Unknown, |name| Condition::Known(name == allowed.protocol.name()))
                }
                "network" => is_network(value, allowed),
                "port" => number(value).map_or(Condition::Unknown, |port| on_ports(port, port, allowed)),
                _ => Condition::Unknown,
            }
        }
        ExprKind::BinaryApp { op, arg1, arg2 } => {
            let is_port = |expr: &Expr| of_resource(expr) == Some("port");
            let (below, above) = (|number: i64| (i64::MIN, number), |number: i64| (number, i64::MAX));
            let range = match (op, is_port(arg1), is_port(arg2), number(arg1), number(arg2)) {
                (BinaryOp::Less, true, _, _, Some(than)) => below(than.saturating_sub(1)),
                (BinaryOp::LessEq, true, _, _, Some(than)) => below(than),
                (BinaryOp::Less, _, true, Some(than), _) => above(than.saturating_add(1)),
                (BinaryOp::LessEq, _, true, Some(than), _) => above(than),
                _ => return Condition::Unknown,
            };
            on_ports(range.0, range.1, allowed)
        }
        _ => Condition::Unknown,
    }
}

fn number(expr: &Expr) -> Option<i64> {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::Long(number)) => Some(*number),
        _ => None,
    }
}

fn on_ports(first: i64, last: i64, allowed: &NetRule) -> Condition<Those> {
    let own = allowed.ports;
    if last < i64::from(own.first) || first > i64::from(own.last) {
        return Condition::Known(false);
    }
    if first <= i64::from(own.first) && i64::from(own.last) <= last {
        return Condition::Known(true);
    }
    let within = |port: i64, otherwise: u16| u16::try_from(port).unwrap_or(otherwise);
    let ports = Ports { first: within(first.max(0), own.first), last: within(last, own.last) };
    Condition::Atom(Those { peers: None, ports: Some(ports) })
}

fn on(peers: Peers) -> Condition<Those> {
    Condition::Atom(Those { peers: Some(peers), ports: None })
}

/// Hosts of requests are in lower case, and addresses in their plain form.
fn is_host(host: &str, allowed: &NetRule) -> Condition<Those> {
    match (host.parse::<IpAddr>(), allowed.block()) {
        (Ok(address), Some(block)) if block.contains(address) => {
            let alone = match address {
                IpAddr::V4(address) => Block::v4(address, 32),
                IpAddr::V6(address) => Block::v6(address, 128),
            };
            if block == alone { Condition::Known(true) } else { on(Peers::Block(alone)) }
        }
        (Ok(_), _) | (Err(_), Some(_)) => Condition::Known(false),
        (Err(_), None) if !allowed.knows(host) => Condition::Known(false),
        (Err(_), None) if allowed.peers == Peers::Name(host.to_owned()) => Condition::Known(true),
        (Err(_), None) => on(Peers::Name(host.to_owned())),
    }
}

fn like(pattern: &[PatternElem], allowed: &NetRule) -> Condition<Those> {
    match (pattern, &allowed.peers) {
        ([PatternElem::Wildcard], _) => Condition::Known(true),
        (_, Peers::Name(name)) => {
            let pattern: cedar_policy_core::ast::Pattern = pattern.iter().copied().collect();
            Condition::Known(pattern.wildcard_match(name))
        }
        ([PatternElem::Wildcard, PatternElem::Char('.'), rest @ ..], Peers::Below(_) | Peers::AnyName) => {
            match plain(rest) {
                Some(above) => on(Peers::Below(above)),
                None => Condition::Unknown,
            }
        }
        (_, Peers::Below(_) | Peers::AnyName) => match plain(pattern) {
            Some(host) => is_host(&host, allowed),
            None => Condition::Unknown,
        },
        (_, Peers::Block(block)) => match plain(pattern) {
            Some(host) => is_host(&host, allowed),
            // No address has such letters.
            None if pattern.iter().any(|elem| is_foreign(*elem, block.is_ipv4())) => Condition::Known(false),
            None => Condition::Unknown,
        },
    }
}

/// Whether something of a pattern stands in no address, written plainly.
fn is_foreign(elem: PatternElem, is_ipv4: bool) -> bool {
    match elem {
        PatternElem::Wildcard => false,
        PatternElem::Char(c) if is_ipv4 => !(c.is_ascii_digit() || c == '.'),
        PatternElem::Char(c) => !matches!(c, '0'..='9' | 'a'..='f' | ':'),
    }
}

/// Blocks that are not public, by what a rule calls them.
const KINDS: [(Network, Block); 9] = [
    (Network::Loopback, Block::v4(Ipv4Addr::new(127, 0, 0, 0), 8)),
    (Network::Loopback, Block::v4(Ipv4Addr::UNSPECIFIED, 32)),
    (Network::Loopback, Block::v6(Ipv6Addr::UNSPECIFIED, 127)),
    (Network::LinkLocal, Block::v4(Ipv4Addr::new(169, 254, 0, 0), 16)),
    (Network::LinkLocal, Block::v6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)),
    (Network::Private, Block::v4(Ipv4Addr::new(10, 0, 0, 0), 8)),
    (Network::Private, Block::v4(Ipv4Addr::new(172, 16, 0, 0), 12)),
    (Network::Private, Block::v4(Ipv4Addr::new(192, 168, 0, 0), 16)),
    (Network::Private, Block::v4(Ipv4Addr::new(100, 64, 0, 0), 10)),
];
const PRIVATE_V6: Block = Block::v6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7);

fn kinds() -> impl Iterator<Item = (Network, Block)> {
    KINDS.into_iter().chain([(Network::Private, PRIVATE_V6)])
}

fn is_network(value: &Expr, allowed: &NetRule) -> Condition<Those> {
    let is = |network: Network| is_entity(value, network.name());
    let Some(block) = allowed.block() else { return Condition::Known(is(Network::Named)) };
    if is(Network::Named) || is(Network::UnixSocket) {
        return Condition::Known(false);
    }
    let inside = kinds().find(|(_, kind)| kind.covers(block));
    if let Some((network, _)) = inside {
        return Condition::Known(is(network));
    }
    let mut parts = kinds().filter(|(_, kind)| block.covers(*kind)).peekable();
    if parts.peek().is_none() {
        return Condition::Known(is(Network::Public));
    }
    if is(Network::Public) {
        return Condition::Unknown;
    }
    let own: Vec<_> = parts.filter(|(network, _)| is(*network)).map(|(_, kind)| on(Peers::Block(kind))).collect();
    if own.is_empty() { Condition::Known(false) } else { Condition::Any(own) }
}
