//! Answers questions for names (RFC 1035): an address that stands for the name where a rule knows it, else that there is
//! no such name. Nothing is looked up here, so a question carries nothing out.

use crate::net::names::Names;
use model::Network;
use model::network::is_name;
use simple_dns::rdata::{A, AAAA, RData};
use simple_dns::{CLASS, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Seconds an answer may be kept for. An address stands for its name as long as the jar lives.
const TTL_S: u32 = 300;

/// An answer, and the name in the question where no rule knows it.
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    pub(super) refused: Option<String>,
}

/// The name that a message asks for an address of, where a rule knows it.
pub(super) fn known(message: &[u8], network: &Network) -> Option<String> {
    let asked = Packet::parse(message).ok().filter(|packet| !packet.has_flags(PacketFlag::RESPONSE))?;
    let [question] = asked.questions.as_slice() else { return None };
    let address = asks_for(question, TYPE::A) || asks_for(question, TYPE::AAAA);
    host_name(question).filter(|name| address && !is_local(name) && network.knows(name))
}

/// Answers one message; `None` for what is no question. `absent`: what it asks for does not exist.
pub(super) fn answer(message: &[u8], network: &Network, names: &mut Names, absent: bool) -> Option<Answer> {
    let asked = Packet::parse(message).ok().filter(|packet| !packet.has_flags(PacketFlag::RESPONSE))?;
    let mut reply = Packet::new_reply(asked.id());
    reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
    if asked.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    let refused = match asked.questions.as_slice() {
        [question] => answer_one(question, &mut reply, network, names, absent),
        _ => {
            *reply.rcode_mut() = RCODE::FormatError;
            None
        }
    };
    let bytes = reply.build_bytes_vec().ok()?;
    Some(Answer { bytes, refused })
}

fn answer_one<'q>(
    question: &Question<'q>,
    reply: &mut Packet<'q>,
    network: &Network,
    names: &mut Names,
    absent: bool,
) -> Option<String> {
    reply.questions.push(question.clone());
    let name = host_name(question);
    if name.as_deref().is_some_and(is_local) {
        reply.answers.extend(loopback(question));
        return None;
    }
    let Some(known) = name.as_deref().filter(|name| !absent && network.knows(name)) else {
        *reply.rcode_mut() = RCODE::NameError;
        return name;
    };
    // Other types are not there, which is another answer than that the name is not: programs then ask for this one.
    if asks_for(question, TYPE::A) {
        match names.address(known) {
            Some(address) => reply.answers.push(record(question, RData::A(A { address: address.into() }))),
            None => *reply.rcode_mut() = RCODE::ServerFailure,
        }
    }
    None
}

/// Whether a question is about records of this type.
fn asks_for(question: &Question<'_>, kind: TYPE) -> bool {
    let internet = matches!(question.qclass, QCLASS::CLASS(CLASS::IN) | QCLASS::ANY);
    internet && (question.qtype == QTYPE::TYPE(kind) || question.qtype == QTYPE::ANY)
}

fn record<'q>(question: &Question<'q>, data: RData<'q>) -> ResourceRecord<'q> {
    ResourceRecord::new(question.qname.clone(), CLASS::IN, TTL_S, data)
}

fn is_local(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// The jar's own loopback, whatever is allowed (RFC 6761, section 6.3).
fn loopback<'q>(question: &Question<'q>) -> Vec<ResourceRecord<'q>> {
    let v4 = RData::A(A { address: Ipv4Addr::LOCALHOST.into() });
    let v6 = RData::AAAA(AAAA { address: Ipv6Addr::LOCALHOST.into() });
    let all = [(TYPE::A, v4), (TYPE::AAAA, v6)].into_iter();
    all.filter(|(kind, _)| asks_for(question, *kind)).map(|(_, data)| record(question, data)).collect()
}

/// The host name a question is about, in lower case; `None` for what is not one, and for the tree of addresses.
fn host_name(question: &Question<'_>) -> Option<String> {
    let labels: Vec<&str> = question.qname.as_bytes().map(str::from_utf8).collect::<Result<_, _>>().ok()?;
    // A dot inside of a label is none between two.
    let name = labels.join(".").to_ascii_lowercase();
    let plain = !labels.iter().any(|label| label.contains('.'));
    (plain && is_name(&name) && !name.ends_with(".arpa")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::Name;

    fn question(name: &str, kind: TYPE) -> Vec<u8> {
        let mut packet = Packet::new_query(7);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let name = Name::new(name).unwrap();
        packet.questions.push(Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
        packet.build_bytes_vec().unwrap()
    }

    fn network(allow: &[&str]) -> Network {
        Network::Named { allow: allow.iter().map(|rule| rule.parse().unwrap()).collect(), refuse: Vec::new() }
    }

    fn ask(name: &str, kind: TYPE) -> (RCODE, Vec<u32>, Option<String>) {
        let network = network(&["*.a.example:443", "b.example", "10.0.0.0/8"]);
        let answer = answer(&question(name, kind), &network, &mut Names::default(), false).unwrap();
        let packet = Packet::parse(&answer.bytes).unwrap();
        assert_eq!((packet.id(), packet.questions.len()), (7, 1));
        assert!(packet.has_flags(PacketFlag::RESPONSE | PacketFlag::RECURSION_DESIRED));
        let address = |record: &ResourceRecord<'_>| match &record.rdata {
            RData::A(a) => a.address,
            other => panic!("{other:?}"),
        };
        (packet.rcode(), packet.answers.iter().map(address).collect(), answer.refused)
    }

    #[test]
    fn a_known_name_has_an_address_and_another_is_not_there() {
        let first = u32::from(std::net::Ipv4Addr::new(198, 18, 1, 0));
        assert_eq!(ask("B.Example", TYPE::A), (RCODE::NoError, vec![first], None));
        assert_eq!(ask("x.a.example", TYPE::A), (RCODE::NoError, vec![first], None));
        assert_eq!(ask("b.example", TYPE::AAAA), (RCODE::NoError, vec![], None));
        assert_eq!(ask("b.example", TYPE::TXT), (RCODE::NoError, vec![], None));
        assert_eq!(ask("c.example", TYPE::A), (RCODE::NameError, vec![], Some("c.example".into())));
        assert_eq!(ask("localhost", TYPE::A), (RCODE::NoError, vec![0x7f00_0001], None));
        assert_eq!(ask("x.localhost", TYPE::MX), (RCODE::NoError, vec![], None));
        assert_eq!(ask("a.example", TYPE::MX), (RCODE::NameError, vec![], Some("a.example".into())));
        assert_eq!(ask("1.0.0.10.in-addr.arpa", TYPE::PTR), (RCODE::NameError, vec![], None));
    }

    #[test]
    fn what_is_no_question_gets_no_answer() {
        let network = network(&["*"]);
        let whole = question("a.example", TYPE::A);
        for length in 0..whole.len() {
            assert!(answer(&whole[..length], &network, &mut Names::default(), false).is_none(), "{length}");
        }
        let mut reply = Packet::new_reply(1);
        reply.questions.push(Question::new(
            Name::new("a.example").unwrap(),
            QTYPE::TYPE(TYPE::A),
            QCLASS::CLASS(CLASS::IN),
            false,
        ));
        assert!(answer(&reply.build_bytes_vec().unwrap(), &network, &mut Names::default(), false).is_none());
    }

    proptest::proptest! {
        #[test]
        fn no_message_brings_it_down(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600)) {
            let network = network(&["*"]);
            let _ = answer(&bytes, &network, &mut Names::default(), false);
        }

        #[test]
        fn no_change_to_a_question_brings_it_down(at in 0usize..40, to: u8, cut in 0usize..40) {
            let mut bytes = question("a.b.c.example", TYPE::A);
            let length = bytes.len();
            bytes[at % length] = to;
            bytes.truncate(length - cut % length);
            let network = network(&["*"]);
            let _ = answer(&bytes, &network, &mut Names::default(), false);
        }
    }
}
