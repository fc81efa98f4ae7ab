//! Jars read back as rules: what ships lets nothing through that its policy does not allow, and a jar that is not the one
//! its policy makes is found out.

use engine::prove::{Cvc5, Fact, Outcome, Witness};
use model::{Confinement, FilePath, Network, Verdict};
use policy::cases::place;
use policy::profile::{SHIPPED, Whose};
use policy::prove::{Property, Prover, Rules};
use policy::{ConfineRequest, Layer, Origin, Policy, Profile, confine};

/// Rules that a jar holds in every way there is: by path, by name, and by peer.
const MINE: &str = "
@id(\"no-keys\")
forbid (principal, action == Action::\"read\", resource is Path) when { resource.path like \"*.key\" };
@id(\"no-data\")
forbid (principal, action == Action::\"read\", resource is Path)
when { resource.path like \"/data/*\" } unless { context.approved };
@id(\"no-evil\")
forbid (principal, action == Action::\"connect\", resource is Peer) when { resource.host like \"*.evil.example\" };
";

/// Rules and a profile, and the jar that they make.
struct Made {
    profile: Profile,
    text: String,
    confinement: Confinement,
}

impl Made {
    fn new(profile: Profile, text: &str) -> Made {
        let text = format!("{}{text}", profile.rules);
        let policy = Policy::layered(&layers(&text)).unwrap();
        let wishes = ConfineRequest { held: policy.held(), ..profile.wishes(&place(true)) };
        Made { confinement: confine(&place(true), &wishes).unwrap(), profile, text }
    }

    fn shipped(name: &str) -> Made {
        let shipped = SHIPPED.iter().find(|shipped| shipped.name == name).unwrap();
        Made::new(Profile::parse(name, shipped.text, Whose::Own).unwrap(), "")
    }

    fn rules(&self) -> Rules {
        let rules = Rules::layered(&layers(&self.text)).unwrap();
        rules.in_this_jar(&place(true), &self.profile, &self.confinement).unwrap()
    }

    /// With something of the jar forgotten or added.
    fn but(mut self, change: impl FnOnce(&mut Confinement)) -> Made {
        change(&mut self.confinement);
        self
    }

    fn shows(self, path: &str) -> Made {
        let before = self.confinement.hidden.len();
        let made = self.but(|jar| jar.hidden.retain(|hidden| hidden.path != FilePath::from(path)));
        assert_eq!(made.confinement.hidden.len() + 1, before, "{path} was hidden");
        made
    }

    fn reaches(self, rule: &str) -> Made {
        self.but(|jar| {
            let mut allow = jar.network.rules().to_vec();
            allow.push(rule.parse().unwrap());
            jar.network = Network::Named { allow, refuse: jar.network.refused().to_vec() };
        })
    }

    fn forgets(self, rule: &str) -> Made {
        self.but(|jar| jar.held.retain(|held| !held.rule.ends_with(rule)))
    }
}

fn layers(text: &str) -> Vec<Layer<'_>> {
    if text.is_empty() { Vec::new() } else { vec![Layer { name: "p", origin: Origin::User, text }] }
}

/// What reaches every name, under rules of one's own.
fn wide() -> Made {
    Made::new(Profile { allow_net: vec!["*".parse().unwrap()], ..Profile::default() }, MINE)
}

fn text<'w>(witness: &'w Witness, name: &str) -> &'w str {
    match witness.attributes.get(name) {
        Some(Fact::Text(text)) => text,
        other => panic!("{name}: {other:?}"),
    }
}

/// What was forgotten is found, by a request of the kind that was let through, which the ordinary evaluator answers so.
#[test]
fn a_carve_out_that_was_forgotten_is_refuted() {
    let mut solver = Cvc5::new().unwrap();
    let mut prover = Prover::new(&mut solver).unwrap();
    let properties = Property::shipped().unwrap();
    let of_jars: Vec<&Property> = properties.iter().filter(|property| property.name.starts_with("jar/")).collect();
    assert!(of_jars.len() >= 4);
    let state = "/home/u/.local/state/belljar";
    for made in [Made::shipped("workspace"), Made::shipped("strict"), wide()] {
        for proof in prover.prove(&made.rules(), &of_jars) {
            assert_eq!(proof.outcome, Outcome::Holds, "{}", proof.property);
        }
    }
    let denied = Some(Verdict::Deny);
    for (made, property, named, begins, verdict) in [
        (Made::shipped("workspace").shows("/home/u/.ssh"), "jar/secrets", "path", "/home/u/.ssh", None),
        (Made::shipped("ci").shows("/home/u/.netrc"), "jar/secrets", "path", "/home/u/.netrc", None),
        (Made::shipped("strict").shows("/home/u"), "jar/secrets", "path", "/home/u/", None),
        (Made::shipped("agent").shows(state), "jar/secrets", "path", state, None),
        (Made::shipped("workspace").reaches("evil.example:443"), "jar/named", "host", "evil.example", None),
        (Made::shipped("strict").reaches("a.example"), "jar/named", "host", "a.example", Some(Verdict::Ask)),
        (Made::shipped("permissive-with-review").reaches("10.0.0.1:22"), "jar/around", "host", "10.0.0.1", None),
        (wide().forgets("no-keys"), "jar/policy", "path", "/", denied),
        (wide().forgets("no-data").shows("/data"), "jar/policy", "path", "/data/", Some(Verdict::Ask)),
        (
            wide().but(|jar| jar.network = Network::Named { allow: jar.network.rules().to_vec(), refuse: vec![] }),
            "jar/policy",
            "host",
            "",
            denied,
        ),
    ] {
        let rules = made.rules();
        let proofs = prover.prove(&rules, &of_jars);
        let proof = proofs.iter().find(|proof| proof.property == property).unwrap();
        let Outcome::Refuted { witness, verdict: said, .. } = &proof.outcome else {
            panic!("{property} of {begins}: {:?}", proof.outcome)
        };
        assert!(text(witness, named).starts_with(begins), "{property} {begins}: {witness:?}");
        verdict.into_iter().for_each(|verdict| assert_eq!(*said, verdict, "{property}: {witness:?}"));
    }
}

/// Rules that a jar cannot be made by, and blocks of addresses, are told and not taken for proved.
#[test]
fn what_cannot_be_compared_is_not_proved() {
    let mut solver = Cvc5::new().unwrap();
    let mut prover = Prover::new(&mut solver).unwrap();
    let properties = Property::shipped().unwrap();
    let policy: Vec<&Property> = properties.iter().filter(|property| property.name == "jar/policy").collect();
    let everything = "@id(\"all\") forbid (principal, action == Action::\"read\", resource is Path);";
    let none = Rules::layered(&layers(everything)).unwrap().in_jar(&Profile::default()).unwrap();
    let part = "@id(\"part\") forbid (principal, action == Action::\"connect\", resource is Peer) \
        when { resource.network == Network::\"private\" };";
    let block = Made::new(Profile { allow_net: vec!["0.0.0.0/0".parse().unwrap()], ..Profile::default() }, part);
    for (rules, why) in [
        (none, "there is no jar: "),
        (block.rules(), "the solver's example does not show it"),
        (Rules::layered(&[]).unwrap(), "nothing is said of a jar"),
    ] {
        match &prover.prove(&rules, &policy)[0].outcome {
            Outcome::Unproved { why: told } => assert!(told.starts_with(why), "{told}"),
            other => panic!("{why}: {other:?}"),
        }
    }
}
