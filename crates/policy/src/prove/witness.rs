//! Witnesses: one request, in plain values, that shows what a solver said and is as ordinary as that allows.

use super::shape::Shape;
use crate::engine::{Asked, Attributes};
use crate::words::{Question, Words, number, text, yes};
use cedar_policy_core::ast::{Expr, ExprKind, Literal, PartialValue, Value, ValueKind};
use cedar_policy_symcc::Env;
use std::collections::{BTreeMap, BTreeSet};

/// A value of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// Yes or no.
    Yes(bool),
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
    /// A word of the schema.
    Word(String),
    /// Words of the schema.
    Words(BTreeSet<String>),
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The action.
    pub action: &'static str,
    /// The type of the resource.
    pub resource: &'static str,
    /// Who asks.
    pub uid: u32,
    /// What the resource is.
    pub attributes: BTreeMap<&'static str, Fact>,
    /// What else is known; not whether a person agrees, which is what the answer is about.
    pub context: BTreeMap<&'static str, Fact>,
    question: Question,
}

/// The type of each attribute that is a word or words of the schema, and one such word that is not the ordinary one.
const WORDS: [(&str, &str, &str); 7] = [
    ("location", "Location", "home"),
    ("scope", "Scope", "tree"),
    ("rules", "Rule", "runs/makefile"),
    ("network", "Network", "public"),
    ("checks", "Check", "BJ010"),
    ("happened", "Happened", "added"),
    ("kind", "Kind", "directory"),
];

/// The type of the words of an attribute, and another one.
fn words_of(name: &str) -> (&'static str, &'static str) {
    WORDS.iter().find(|(known, ..)| *known == name).map_or(("", ""), |(_, kind, other)| (kind, other))
}

/// Every name of an attribute in the schema, and what its value is in the most ordinary request; `path`, `name`, `location`
/// and `host` have several such values, and stand below.
const NAMES: [(&str, Plain); 27] = [
    ("approved", Plain::Yes(false)),
    ("certain", Plain::Yes(true)),
    ("checks", Plain::Words),
    ("contained", Plain::Yes(true)),
    ("derived", Plain::Yes(false)),
    ("executable", Plain::Yes(false)),
    ("happened", Plain::Word("modified")),
    ("host", Plain::Text("example.org")),
    ("kind", Plain::Word("file")),
    ("location", Plain::Word("workspace")),
    ("name", Plain::Text("x")),
    ("named", Plain::Yes(false)),
    ("network", Plain::Word("named")),
    ("opaque", Plain::Yes(true)),
    ("path", Plain::Text("/home/u/work/x")),
    ("port", Plain::Number(443)),
    ("predicted", Plain::Yes(false)),
    ("protected", Plain::Yes(false)),
    ("protocol", Plain::Text("tcp")),
    ("reversible", Plain::Yes(true)),
    ("risk", Plain::Number(0)),
    ("rules", Plain::Words),
    ("scope", Plain::Word("exact")),
    ("secret", Plain::Yes(false)),
    ("top", Plain::Yes(false)),
    ("understood", Plain::Yes(true)),
    ("what", Plain::Text("x")),
];

/// The attributes each type of resource always has, and the context of each kind of question.
const KINDS: [(&str, &[&str]); 7] = [
    ("Path", &["path", "name", "location", "scope", "rules", "secret", "protected", "derived", "top"]),
    ("Peer", &["host", "network"]),
    ("Program", &["name"]),
    ("Thing", &["what"]),
    ("Unknown", &[]),
    ("Command", &["checks", "understood"]),
    ("Change", &["path", "name", "location", "happened", "kind", "executable", "rules", "protected", "derived"]),
];
const BEFORE: &[&str] = &["contained", "risk", "certain", "reversible"];
const AFTER: &[&str] = &["risk", "predicted", "named", "opaque"];

#[derive(Clone, Copy)]
enum Plain {
    Yes(bool),
    Number(i64),
    Text(&'static str),
    Word(&'static str),
    /// None of them.
    Words,
}

/// Paths for a witness where the rules do not look at them, by the place they lie in.
const EXAMPLES: [(&str, &str, &str); 8] = [
    ("workspace", "/home/u/work/x", "x"),
    ("temporary", "/tmp/x", "x"),
    ("home", "/home/u/x", "x"),
    ("stream", "/dev/null", "null"),
    ("elsewhere", "/data/x", "x"),
    ("system", "/usr/x", "x"),
    ("device", "/dev/sda", "sda"),
    ("unknown", "x", "x"),
];
const HOSTS: [(&str, &str); 6] = [
    ("named", "example.org"),
    ("public", "192.0.2.7"),
    ("private", "10.0.0.1"),
    ("link-local", "169.254.169.254"),
    ("loopback", "127.0.0.1"),
    ("unix-socket", "unix:/run/x"),
];
/// Who asks, where the rules do not say.
const UID: u32 = 1000;

impl Fact {
    fn plain(name: &str) -> Option<Fact> {
        let (_, plain) = NAMES.iter().find(|(known, _)| *known == name)?;
        Some(match *plain {
            Plain::Yes(is) => Fact::Yes(is),
            Plain::Number(is) => Fact::Number(is),
            Plain::Text(is) => Fact::Text(is.to_owned()),
            Plain::Word(is) => Fact::Word(is.to_owned()),
            Plain::Words => Fact::Words(BTreeSet::new()),
        })
    }

    /// Values besides this one that could matter to a condition: of words those that it names.
    fn others(&self, name: &str, named: &BTreeSet<(String, String)>) -> Vec<Fact> {
        let (kind, other) = words_of(name);
        let words = named.iter().filter(|(of, _)| of == kind).map(|(_, word)| word.clone());
        let words = words.chain([other.to_owned()]);
        match self {
            Fact::Yes(is) => vec![Fact::Yes(!is)],
            Fact::Number(_) => vec![Fact::Number(1), Fact::Number(2)],
            Fact::Text(_) => Vec::new(),
            Fact::Word(_) => words.map(Fact::Word).collect(),
            Fact::Words(_) => words.map(|word| Fact::Words([word].into())).collect(),
        }
    }

    /// The value, if requests of ours can have it.
    fn of(value: &Value) -> Option<Fact> {
        Some(match value.value_kind() {
            ValueKind::Lit(Literal::Bool(yes)) => Fact::Yes(*yes),
            ValueKind::Lit(Literal::Long(number)) => Fact::Number(*number),
            ValueKind::Lit(Literal::String(text)) => Fact::Text(text.to_string()),
            ValueKind::Lit(Literal::EntityUID(uid)) => Fact::Word(AsRef::<str>::as_ref(uid.eid()).to_owned()),
            ValueKind::Set(set) => {
                let words: Option<BTreeSet<String>> = set.iter().map(word).collect();
                Fact::Words(words?)
            }
            _ => return None,
        })
    }

    fn value(&self, words: &Words, name: &str) -> Value {
        let (kind, _) = words_of(name);
        match self {
            Fact::Yes(is) => yes(*is),
            Fact::Number(is) => number(*is),
            Fact::Text(is) => text(is),
            Fact::Word(id) => words.value(kind, id),
            Fact::Words(ids) => words.values(kind, ids.iter().map(String::as_str)),
        }
    }
}

fn word(value: &Value) -> Option<String> {
    match value.value_kind() {
        ValueKind::Lit(Literal::EntityUID(uid)) => Some(AsRef::<str>::as_ref(uid.eid()).to_owned()),
        _ => None,
    }
}

fn facts<'v>(values: impl Iterator<Item = (&'v str, &'v Value)>) -> Option<BTreeMap<&'static str, Fact>> {
    let fact = |(name, value): (&str, &Value)| {
        let (name, _) = NAMES.iter().find(|(known, _)| *known == name)?;
        Some((*name, Fact::of(value)?))
    };
    values.map(fact).collect()
}

impl Witness {
    /// The most ordinary request of a shape.
    pub(super) fn ordinary(shape: Shape) -> Witness {
        let of = |names: &[&'static str]| names.iter().filter_map(|name| Some((*name, Fact::plain(name)?))).collect();
        let attributes = KINDS.iter().find(|(kind, _)| *kind == shape.kind).map_or(&[][..], |(_, names)| names);
        Witness {
            action: shape.question.name(),
            resource: shape.kind,
            uid: UID,
            attributes: of(attributes),
            context: of(if shape.question == Question::Apply { AFTER } else { BEFORE }),
            question: shape.question,
        }
    }

    /// Ordinary requests of a shape, varied in what a condition looks at and in what goes with that.
    pub(super) fn around(shape: Shape, condition: &Expr) -> Vec<Witness> {
        /// More would take longer than asking a solver.
        const MANY: usize = 1024;
        let mut looked_at: BTreeSet<&str> = ["predicted", "protected", "risk", "secret"].into();
        let mut named = BTreeSet::new();
        for part in condition.subexpressions() {
            match part.expr_kind() {
                ExprKind::GetAttr { attr, .. } => drop(looked_at.insert(attr)),
                ExprKind::Lit(Literal::EntityUID(uid)) => {
                    let word: &str = uid.eid().as_ref();
                    named.insert((uid.entity_type().to_string(), word.to_owned()));
                }
                _ => {}
            }
        }
        let mut found = vec![Witness::ordinary(shape)];
        for (name, _) in NAMES.iter().filter(|(name, _)| looked_at.contains(name)) {
            let Some(plain) = Fact::plain(name) else { continue };
            for other in plain.others(name, &named) {
                let varied = found.iter().filter(|w| w.is_plain(name)).map(|w| w.changed(name, Some(other.clone())));
                let varied: Vec<Witness> = varied.take(MANY.saturating_sub(found.len())).collect();
                found.extend(varied);
            }
        }
        found
    }

    fn is_plain(&self, name: &str) -> bool {
        let there = self.attributes.get(name).or_else(|| self.context.get(name));
        there.is_some() && there == Fact::plain(name).as_ref()
    }

    /// The request a solver found; nothing where it is none of ours.
    pub(super) fn read(shape: Shape, env: &Env) -> Option<Witness> {
        let request: &cedar_policy_core::ast::Request = env.request.as_ref();
        let entities: &cedar_policy_core::entities::Entities = env.entities.as_ref();
        let entity = entities.entity(request.resource().uid()?);
        let entity = match entity {
            cedar_policy_core::entities::Dereference::Data(entity) => entity,
            _ => return None,
        };
        let attributes = entity.attrs().map(|(name, value)| match value {
            PartialValue::Value(value) => Some((name.as_str(), value)),
            PartialValue::Residual(_) => None,
        });
        let attributes: Option<Vec<(&str, &Value)>> = attributes.collect();
        let context = match request.context()? {
            cedar_policy_core::ast::Context::Value(values) => values,
            cedar_policy_core::ast::Context::RestrictedResidual(_) => return None,
        };
        let context = context.iter().filter(|(name, _)| *name != "approved");
        let uid: Option<u32> = request.principal().uid().and_then(|uid| AsRef::<str>::as_ref(uid.eid()).parse().ok());
        Some(Witness {
            action: shape.question.name(),
            resource: shape.kind,
            uid: uid.unwrap_or(UID),
            attributes: facts(attributes?.into_iter())?,
            context: facts(context.map(|(name, value)| (name.as_str(), value)))?,
            question: shape.question,
        })
    }

    /// What is not as in the most ordinary request, besides its risk and where it would run; that is what it is about.
    pub fn unusual(&self) -> impl Iterator<Item = (&'static str, &Fact)> {
        let all = self.attributes.iter().chain(&self.context).map(|(name, fact)| (*name, fact));
        let told = ["contained", "risk", "path", "name", "host", "port", "protocol", "what"];
        all.filter(move |(name, _)| !told.contains(name) && !self.is_plain(name))
    }

    /// The same of another action.
    pub(super) fn with(&self, question: Question) -> Witness {
        Witness { action: question.name(), question, ..self.clone() }
    }

    /// As the evaluator takes it.
    pub(super) fn asked(&self, words: &Words) -> Asked {
        let values = |facts: &BTreeMap<&'static str, Fact>| -> Attributes {
            facts.iter().map(|(name, fact)| (*name, fact.value(words, name))).collect()
        };
        Asked {
            question: self.question,
            uid: self.uid,
            kind: self.resource,
            attributes: values(&self.attributes),
            context: values(&self.context),
        }
    }

    /// What is asked.
    pub(super) fn question(&self) -> Question {
        self.question
    }

    /// The most ordinary request that still does `shows`; at each step one value becomes ordinary, as far as that goes.
    pub(super) fn minimised(self, shows: &mut dyn FnMut(&Witness) -> bool) -> Witness {
        let mut best = self;
        // Each pass can make room for more; three are more than any rule of ours needs.
        for _ in 0..3 {
            let before = best.clone();
            for simpler in best.simpler() {
                let tried = simpler(&best);
                if tried != best && shows(&tried) {
                    best = tried;
                }
            }
            if best == before {
                break;
            }
        }
        best
    }

    /// Steps towards the ordinary.
    fn simpler(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = vec![Box::new(|w| Witness { uid: UID, ..w.clone() })];
        // Where a path is and what it is called, where a host is and its name, go together.
        for (name, word) in [("location", "workspace"), ("network", "named")] {
            steps.push(Box::new(move |w| w.changed(name, Some(Fact::Word(word.to_owned()))).at_an_example()));
        }
        steps.push(Box::new(|w| w.changed("port", None)));
        steps.push(Box::new(|w| w.changed("protocol", None)));
        for (name, plain) in NAMES {
            match plain {
                Plain::Words => {
                    let here = self.attributes.get(name);
                    let Some(Fact::Words(words)) = here else { continue };
                    steps.push(Box::new(move |w| w.changed(name, Some(Fact::Words(BTreeSet::new())))));
                    for word in words.clone() {
                        steps.push(Box::new(move |w| w.dropped(name, &word)));
                    }
                }
                Plain::Yes(is) => steps.push(Box::new(move |w| w.changed(name, Some(Fact::Yes(is))))),
                Plain::Number(is) => steps.push(Box::new(move |w| w.changed(name, Some(Fact::Number(is))))),
                Plain::Text(is) => steps.push(Box::new(move |w| w.changed(name, Some(Fact::Text(is.to_owned()))))),
                Plain::Word(is) => steps.push(Box::new(move |w| w.changed(name, Some(Fact::Word(is.to_owned()))))),
            }
        }
        steps.push(Box::new(Witness::at_an_example));
        steps.push(Box::new(Witness::named_by_its_path));
        steps
    }

    /// With another value of an attribute that is there; `None` takes it away.
    fn changed(&self, name: &'static str, to: Option<Fact>) -> Witness {
        let mut out = self.clone();
        for facts in [&mut out.attributes, &mut out.context] {
            if facts.contains_key(name) {
                match &to {
                    Some(fact) => drop(facts.insert(name, fact.clone())),
                    None => drop(facts.remove(name)),
                }
            }
        }
        out
    }

    fn dropped(&self, name: &'static str, word: &str) -> Witness {
        let mut out = self.clone();
        if let Some(Fact::Words(words)) = out.attributes.get_mut(name) {
            words.remove(word);
        }
        out
    }

    /// With the name that its path ends in.
    fn named_by_its_path(&self) -> Witness {
        let name = match self.attributes.get("path") {
            Some(Fact::Text(path)) => path.trim_end_matches('/').rsplit('/').next().map(str::to_owned),
            _ => None,
        };
        name.map_or_else(|| self.clone(), |name| self.changed("name", Some(Fact::Text(name))))
    }

    /// With a path, a name and a host as they are where it lies.
    fn at_an_example(&self) -> Witness {
        let is = |name: &str, word: &str| self.attributes.get(name) == Some(&Fact::Word(word.to_owned()));
        let mut out = self.clone();
        if let Some((_, path, name)) = EXAMPLES.iter().find(|(location, ..)| is("location", location)) {
            out = out.changed("path", Some(Fact::Text((*path).to_owned())));
            out = out.changed("name", Some(Fact::Text((*name).to_owned())));
        }
        if let Some((_, host)) = HOSTS.iter().find(|(network, _)| is("network", network)) {
            out = out.changed("host", Some(Fact::Text((*host).to_owned())));
        }
        out
    }
}

type Step = Box<dyn Fn(&Witness) -> Witness>;

#[cfg(test)]
mod tests {
    use super::{EXAMPLES, HOSTS, NAMES, WORDS};
    use crate::SCHEMA;
    use std::collections::BTreeSet;

    /// `name: Type` of every attribute in the schema.
    fn attributes() -> BTreeSet<(String, String)> {
        let body = SCHEMA.split(['{', '}', ';', ',', '\n']).map(|part| part.split("//").next().unwrap().trim());
        let pairs = body.filter_map(|part| part.split_once(": "));
        let plain = pairs.map(|(name, kind)| (name.trim_end_matches('?').to_owned(), kind.to_owned()));
        plain.filter(|(name, _)| !["principal", "resource", "context"].contains(&name.as_str())).collect()
    }

    #[test]
    fn every_attribute_of_the_schema_can_stand_in_a_witness() {
        let known: BTreeSet<String> = NAMES.iter().map(|(name, _)| (*name).to_owned()).collect();
        let there: BTreeSet<String> = attributes().into_iter().map(|(name, _)| name).collect();
        assert_eq!(known, there);
        let basic = ["Bool", "Long", "String"];
        let words = attributes().into_iter().filter(|(_, kind)| !basic.contains(&kind.as_str()));
        let words = words.map(|(name, kind)| {
            let kind = kind.strip_prefix("Set<").and_then(|kind| kind.strip_suffix('>')).unwrap_or(&kind).to_owned();
            (name, kind)
        });
        let listed = WORDS.iter().map(|(name, kind, _)| ((*name).to_owned(), (*kind).to_owned()));
        assert_eq!(listed.collect::<BTreeSet<_>>(), words.collect::<BTreeSet<_>>());
    }

    #[test]
    fn examples_lie_where_they_say() {
        use crate::facts::{Ground, Location, Network};
        let place = crate::testing::place(true);
        let ground = Ground::new(&place);
        for (location, path, name) in EXAMPLES {
            assert_eq!(ground.path(&path.into(), model::PathScope::Exact).location.name(), location, "{path}");
            assert_eq!(path.rsplit('/').next(), Some(name));
        }
        for (network, host) in HOSTS {
            assert_eq!(Network::of(host).name(), network, "{host}");
        }
        assert_eq!((EXAMPLES.len(), HOSTS.len()), (Location::ALL.len(), Network::ALL.len()));
    }
}
