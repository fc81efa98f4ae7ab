//! Proofs: what ships holds, what is broken is found out, and a comparison tells what changed and nothing else.

use crate::support::{assert_nothing_left, both};
use engine::prove::{Cvc5, Outcome, Proved, Subject};
use policy::cases::{Cases, DEFAULT_CASES};
use policy::profile::{SHIPPED, Whose};
use policy::prove::{Property, Prover, Rules};
use policy::{DEFAULT, Layer, Origin, Policy, Profile};
use serde_json::{Value, json};

/// A set of rules that ships, as text with what must hold of it.
struct Shipped {
    name: &'static str,
    /// The rules of this text stand on the built-in ones.
    on_builtin: bool,
    rules: String,
    cases: &'static str,
    profile: Profile,
}

fn shipped() -> Vec<Shipped> {
    let mut all = vec![Shipped {
        name: "built-in",
        on_builtin: false,
        rules: DEFAULT.to_owned(),
        cases: DEFAULT_CASES,
        profile: Profile::default(),
    }];
    for shipped in SHIPPED {
        let profile = Profile::parse(shipped.name, shipped.text, Whose::Own).unwrap();
        let rules = profile.rules.clone();
        all.push(Shipped { name: shipped.name, on_builtin: true, rules, cases: shipped.cases, profile });
    }
    all.retain(|shipped| !shipped.rules.is_empty());
    all
}

impl Shipped {
    fn layer<'a>(&self, text: &'a str) -> [Layer<'a>; 1] {
        [Layer { name: self.name, origin: Origin::User, text }]
    }

    fn rules(&self, text: &str) -> Option<Rules> {
        if self.on_builtin { Rules::layered(&self.layer(text)) } else { Rules::alone(&self.layer(text)) }.ok()
    }

    /// The first case that goes otherwise with these rules, which replays by being one.
    fn refuted_by_a_case(&self, text: &str) -> Option<String> {
        let policy = if self.on_builtin {
            Policy::layered(&self.layer(text)).unwrap()
        } else {
            Policy::without_builtin(&self.layer(text)).unwrap()
        };
        let ran = Cases::parse(self.name, self.cases).unwrap().run(&policy, &self.profile);
        let wrong = ran.into_iter().find(|ran| ran.wrong.iter().any(|w| ["verdict", "disposition"].contains(&w.what)));
        wrong.map(|ran| ran.says)
    }
}

/// The rules of a text, each as its syntax tree.
fn trees(text: &str) -> Vec<Value> {
    let set: cedar_policy::PolicySet = text.parse().unwrap();
    let mut rules: Vec<_> = set.policies().collect();
    rules.sort_by_key(|rule| rule.id().to_string().trim_start_matches("policy").parse::<u32>().unwrap());
    rules.into_iter().map(|rule| rule.to_json().unwrap()).collect()
}

fn text(trees: &[Value]) -> String {
    let rule = |tree: &Value| cedar_policy::Policy::from_json(None, tree.clone()).unwrap().to_cedar().unwrap();
    trees.iter().map(rule).collect::<Vec<_>>().join("\n\n")
}

/// What a mutation does, and the tree it makes of one.
type Mutation = (String, Value);

/// Every mutation of one rule; `None` takes it out.
fn mutations(rule: &Value) -> Vec<(String, Option<Value>)> {
    let mut found = vec![("drop".to_owned(), None)];
    let with = |field: &str, value: Value| {
        let mut out = rule.clone();
        out[field] = value;
        out
    };
    let other = if rule["effect"] == "permit" { "forbid" } else { "permit" };
    found.push((format!("{other} it"), Some(with("effect", json!(other)))));
    for (name, action) in actions(&rule["action"]) {
        found.push((name, Some(with("action", action))));
    }
    if rule["resource"]["op"] == "is" {
        found.push(("any resource".to_owned(), Some(with("resource", json!({"op": "All"})))));
    }
    for (at, condition) in rule["conditions"].as_array().unwrap().iter().enumerate() {
        for (name, body) in of_expression(&condition["body"]) {
            let mut out = rule.clone();
            out["conditions"][at]["body"] = body;
            found.push((name, Some(out)));
        }
        let mut out = rule.clone();
        out["conditions"].as_array_mut().unwrap().remove(at);
        found.push(("no condition".to_owned(), Some(out)));
    }
    found
}

fn actions(head: &Value) -> Vec<Mutation> {
    let entity = |id: &str| json!({"type": "Action", "id": id});
    let mut found = vec![("any action".to_owned(), json!({"op": "All"}))];
    if head["entity"]["id"] == "effect" {
        found.push(("only changes".to_owned(), json!({"op": "in", "entity": entity("change")})));
    }
    if head["entity"]["id"] == "change" {
        found.push(("all effects".to_owned(), json!({"op": "in", "entity": entity("effect")})));
        found.push(("only deleting".to_owned(), json!({"op": "==", "entity": entity("delete")})));
    }
    for (at, one) in head["entities"].as_array().into_iter().flatten().enumerate() {
        let mut rest = head["entities"].as_array().unwrap().clone();
        rest.remove(at);
        found.push((format!("not {}", one["id"]), json!({"op": "in", "entities": rest})));
    }
    found
}

/// Every mutation of an expression: of itself, and of each part.
fn of_expression(tree: &Value) -> Vec<Mutation> {
    let mut found = own(tree);
    let Some((op, inner)) = tree.as_object().and_then(|tree| tree.iter().next()) else { return found };
    for part in ["left", "right", "arg"] {
        for (name, mutated) in inner.get(part).map(of_expression).unwrap_or_default() {
            let mut out = tree.clone();
            out[op][part] = mutated;
            found.push((name, out));
        }
    }
    found
}

fn own(tree: &Value) -> Vec<Mutation> {
    let Some((op, inner)) = tree.as_object().and_then(|tree| tree.iter().next()) else { return Vec::new() };
    let (left, right) = (&inner["left"], &inner["right"]);
    let pair = |op: &str| json!({op: {"left": left, "right": right}});
    let not = |tree: &Value| json!({"!": {"arg": tree}});
    let short = tree.to_string();
    let told = |what: &str, out: Value| (format!("{what}: {short}"), out);
    match op.as_str() {
        "&&" => vec![told("only left", left.clone()), told("only right", right.clone()), told("or", pair("||"))],
        "||" => vec![told("only left", left.clone()), told("only right", right.clone()), told("and", pair("&&"))],
        "!" => vec![told("without !", inner["arg"].clone())],
        "==" if left["."].is_object() && right["Value"]["__entity"].is_object() => {
            let mut found = vec![told("!=", not(tree))];
            for id in others(right) {
                let mut entity = right.clone();
                entity["Value"]["__entity"]["id"] = json!(id);
                found.push(told("another", json!({"==": {"left": left, "right": entity}})));
                let set = json!({"Set": [right, entity]});
                found.push(told("one more", json!({"contains": {"left": set, "right": left}})));
            }
            found
        }
        "==" => vec![told("!=", not(tree)), told("<=", pair("<=")), told("<", pair("<"))],
        "<=" => vec![told("not", not(tree)), told("<", pair("<")), told("==", pair("=="))],
        "contains" => {
            let exactly = json!({"==": {"left": left, "right": {"Set": [right]}}});
            let mut found = vec![told("not", not(tree)), told("exactly", exactly)];
            for id in others(right) {
                let mut entity = right.clone();
                entity["Value"]["__entity"]["id"] = json!(id);
                found.push(told("another", json!({"contains": {"left": left, "right": entity}})));
            }
            found
        }
        "." if left["Var"] == "context" && inner["attr"] == "risk" => Vec::new(),
        "." if ["location", "kind", "scope", "rules"].contains(&inner["attr"].as_str().unwrap_or_default()) => {
            Vec::new()
        }
        "." => {
            vec![told("not", not(tree)), told("always", json!({"Value": true})), told("never", json!({"Value": false}))]
        }
        "Value" if inner.is_i64() => {
            let number = inner.as_i64().unwrap();
            [number - 1, number + 1].map(|number| told("number", json!({"Value": number}))).into()
        }
        _ => Vec::new(),
    }
}

/// Other words of the same type.
fn others(entity: &Value) -> &'static [&'static str] {
    match entity["Value"]["__entity"]["type"].as_str().unwrap() {
        "Location" => &["home", "workspace"],
        "Kind" => &["file", "symlink"],
        "Scope" => &["tree", "glob"],
        "Rule" => &["protected/ci", "secrets/ssh"],
        other => panic!("{other}"),
    }
}

/// Of the mutants that a case refutes, one in so many is proved besides; with `BELLJAR_PROVE_ALL` in the environment all are.
const PROVE_EACH: usize = 16;

/// How mutants fared.
#[derive(Debug, Default)]
struct Tally {
    mutants: usize,
    not_loaded: usize,
    by_case: usize,
    /// Of how many proofs were tried.
    tried: usize,
    by_proof: usize,
    equivalent: usize,
    survived: Vec<String>,
}

/// Breaks every rule that ships in every way there is, and looks who notices: a property, with a request that the evaluator
/// answers so, or a case. What nobody notices must be no change at all, which the solver says.
#[test]
fn every_mutant_of_what_ships_is_refuted() {
    let mut solver = Cvc5::new().unwrap();
    let mut prover = Prover::new(&mut solver).unwrap();
    let properties = Property::shipped().unwrap();
    // What a rule is of use for is not what it says, and of the jar that rules make another test tells.
    let semantic = properties.iter().filter(|p| !["no-", "jar/"].iter().any(|of| p.name.starts_with(of)));
    let semantic: Vec<&Property> = semantic.collect();
    let each = if std::env::var_os("BELLJAR_PROVE_ALL").is_some() { 1 } else { PROVE_EACH };
    let mut tally = Tally::default();
    for shipped in shipped() {
        let original = shipped.rules(&shipped.rules).unwrap();
        let trees = trees(&shipped.rules);
        assert_eq!(shipped.refuted_by_a_case(&text(&trees)), None, "the trees are the text");
        for (at, rule) in trees.iter().enumerate() {
            for (name, mutated) in mutations(rule) {
                let mut mutant = trees.clone();
                match mutated {
                    Some(tree) => mutant[at] = tree,
                    None => drop(mutant.remove(at)),
                }
                let text = text(&mutant);
                tally.mutants += 1;
                let Some(rules) = shipped.rules(&text) else {
                    tally.not_loaded += 1;
                    continue;
                };
                let case = shipped.refuted_by_a_case(&text).is_some();
                tally.by_case += usize::from(case);
                // A case is quick. Proofs are tried on what no case refutes, and on some besides.
                if case && !tally.mutants.is_multiple_of(each) {
                    continue;
                }
                let proofs = prover.prove(&rules, &semantic);
                let open: Vec<_> = proofs.iter().filter(|p| matches!(p.outcome, Outcome::Unproved { .. })).collect();
                assert!(open.is_empty(), "{name}: {open:?}");
                let proof = proofs.iter().any(|proof| matches!(proof.outcome, Outcome::Refuted { .. }));
                tally.tried += 1;
                tally.by_proof += usize::from(proof);
                if !proof && !case {
                    let difference = prover.diff(&original, &rules);
                    if difference.is_none() {
                        tally.equivalent += 1;
                    } else {
                        let rule = &rule["annotations"]["id"];
                        tally.survived.push(format!(
                            "{} {rule} {name}\n    {:?}",
                            shipped.name,
                            difference.changes.first()
                        ));
                    }
                }
            }
        }
    }
    eprintln!("{tally:#?}");
    assert_eq!(tally.survived, Vec::<String>::new());
    assert!(tally.mutants - tally.not_loaded - tally.equivalent >= 50, "{tally:?}");
    assert!(tally.tried >= 20 && tally.by_proof >= 5, "{tally:?}");
}

/// Of the mutants, the ones that the issue of a proof is plain for: each is refuted by the property that speaks of it.
#[test]
fn what_a_property_forbids_is_refuted_by_it() {
    let mut solver = Cvc5::new().unwrap();
    let mut prover = Prover::new(&mut solver).unwrap();
    let properties = Property::shipped().unwrap();
    for (rule, property) in [
        (
            "permit (principal, action == Action::\"apply\", resource is Change) when { resource.executable };",
            "apply/high",
        ),
        ("permit (principal, action, resource);", "bare/high"),
        (
            "permit (principal, action == Action::\"connect\", resource is Peer) when { resource.host like \"169.*\" };",
            "bare/link-local",
        ),
        (
            "permit (principal, action == Action::\"write\", resource is Path) when { resource.path like \"*/.bashrc\" };",
            "bare/shell-start",
        ),
        ("permit (principal, action in Action::\"effect\", resource) when { context.risk >= 2 };", "monotone/risk"),
        ("forbid (principal, action, resource) when { context.approved };", "monotone/approval"),
        ("forbid (principal, action, resource) when { context.risk * 4611686018427387904 > 1 };", "never-fails"),
        ("forbid (principal, action, resource) when { context.risk == 7 };", "no-dead-rule"),
        ("permit (principal, action, resource) when { context.risk == 0 && context.approved };", "no-shadowed-rule"),
    ] {
        let text = format!("@id(\"mine\") {rule}");
        let rules = Rules::layered(&[Layer { name: "p", origin: Origin::User, text: &text }]).unwrap();
        let wanted: Vec<&Property> = properties.iter().filter(|known| known.name == property).collect();
        let proofs = prover.prove(&rules, &wanted);
        match &proofs[0].outcome {
            Outcome::Refuted { rules, .. } => assert!(!rules.is_empty(), "{rule}: {rules:?}"),
            Outcome::Useless { rules } => assert_eq!(rules, &["p:mine"], "{rule}"),
            other => panic!("{rule}: {other:?}"),
        }
    }
}

/// A solver that says what it is told to.
struct Says(policy::prove::Reply);

impl policy::prove::Oracle for Says {
    fn ask(&mut self, _: &str) -> policy::prove::Reply {
        self.0.clone()
    }
}

/// Whatever goes wrong with a solver, nothing is proved by it, and no example of its that the evaluator does not bear out
/// is shown.
#[test]
fn what_a_solver_does_not_say_is_not_proved() {
    use policy::prove::Reply;
    let properties = Property::shipped().unwrap();
    let wanted: Vec<&Property> = properties.iter().filter(|p| p.name == "bare/high").collect();
    let rules = Rules::layered(&[]).unwrap();
    for reply in [Reply::Unknown("no time".into()), Reply::Sat("(\n)\n".into()), Reply::Sat("nonsense".into())] {
        let mut solver = Says(reply.clone());
        let proofs = Prover::new(&mut solver).unwrap().prove(&rules, &wanted);
        assert!(matches!(proofs[0].outcome, Outcome::Unproved { .. }), "{reply:?}: {:?}", proofs[0]);
        let text = "@id(\"a\") forbid (principal, action == Action::\"read\", resource);";
        let other = Rules::layered(&[Layer { name: "p", origin: Origin::User, text }]).unwrap();
        let difference = Prover::new(&mut solver).unwrap().diff(&rules, &other);
        assert!(difference.changes.is_empty() && !difference.open.is_empty(), "{reply:?}: {difference:?}");
    }
}

/// All properties of all that ships, without a person who reads figures.
#[test]
fn what_ships_has_its_properties() {
    let properties = engine::prove::properties(&[], None).unwrap();
    assert!(properties.len() >= 20);
    let proved = engine::prove::prove(Subject::shipped().unwrap(), &properties).unwrap();
    assert_eq!(proved.len(), 1 + SHIPPED.len());
    let open: Vec<&Proved> = proved.iter().filter(|proved| !proved.holds()).collect();
    assert!(open.is_empty(), "{open:#?}");
}

const LAXER: &str = "@id(\"mine/deploy\")\npermit (principal, action == Action::\"execute\", resource is Program)\n\
    when { resource.name == \"deploy\" };\n";
const OWN: &str = "@id(\"own/deploy\")\n@says(\"Nothing deploys without a person.\")\n\
    forbid (principal, action == Action::\"execute\", resource is Program)\n\
    when { resource.name == \"deploy\" && !context.contained } unless { context.approved };\n";

both! {
    fn a_comparison_tells_what_changes_with_an_example(world) {
        world.file("laxer.cedar", LAXER);
        let diff = world.belljar(["policy", "diff", "built-in", "laxer.cedar"]).run();
        diff.success();
        assert!(diff.stdout.contains("ask -> allow  execute program \"deploy\""), "{}", diff.report());
        let gate = ["policy", "diff", "--fail-on-widening", "built-in", "laxer.cedar"];
        world.belljar(gate).run().code(1);
        world.belljar(["policy", "diff", "--fail-on-widening", "laxer.cedar", "built-in"]).run().success();
        let same = world.belljar(["policy", "diff", "built-in", "workspace"]).run();
        same.success();
        assert!(same.stdout.contains("answer every request alike"), "{}", same.report());

        let json = world.belljar(["policy", "diff", "--json", "built-in", "laxer.cedar"]).run().json();
        assert_eq!((&json["wider"], &json["same"]), (&json!(true), &json!(false)), "{json:#}");
        let change = &json["changes"][0];
        assert_eq!((&change["before"], &change["after"]), (&json!("ask"), &json!("allow")), "{json:#}");
        assert_eq!(change["request"]["attributes"]["name"], "deploy", "{json:#}");
        assert_eq!(change["rules_after"], json!(["laxer.cedar:mine/deploy"]), "{json:#}");
        // The example replays: it is what the program says when it is asked.
        let check = world.belljar(["policy", "explain", "--bare", "deploy"]).run();
        check.code(10);

        // Sides are what they are to a replay.
        world.dir("dir").file("dir/laxer.cedar", LAXER).dir("strict").file("strict/laxer.cedar", LAXER);
        let own = world.home().join(".config/belljar");
        world.file(own.join("policies/mine.cedar"), LAXER);
        world.file(own.join("profiles/careful.toml"), format!("rules = '''\n{LAXER}'''\n"));
        for side in ["dir", "./strict", "current", "careful"] {
            world.belljar(["policy", "diff", "--fail-on-widening", "built-in", side]).run().code(1);
        }
        world.belljar(["policy", "diff", "built-in", "strict"]).run().stdout_has("strict:executable");
        for wrong in ["absent", "absent.cedar", "none"] {
            world.dir("none").belljar(["policy", "diff", "built-in", wrong]).run().code(125).stderr_has(wrong);
        }

        let settings = world.belljar(["policy", "diff", "--fail-on-widening", "ci", "workspace"]).run();
        settings.code(1);
        assert!(settings.stdout.contains("run.unattended"), "{}", settings.report());
        assert_nothing_left(world);
    }

    fn a_property_of_your_own_is_proved_or_refuted(world) {
        world.file("laxer.cedar", LAXER).file("own.cedar", OWN);
        let ask = |policy: &str| world.belljar(["policy", "prove", "own/deploy", "--more", "own.cedar", "--policy", policy]).run();
        world.file("empty.cedar", "");
        ask("empty.cedar").success();
        let refuted = ask("laxer.cedar");
        refuted.code(125);
        assert!(refuted.stdout.contains("refuted own/deploy: Nothing deploys"), "{}", refuted.report());
        assert!(refuted.stdout.contains("execute program \"deploy\", on the bare machine"), "{}", refuted.report());
        let json = world.belljar(["policy", "prove", "--json", "bare/execute", "--policy", "laxer.cedar"]).run().json();
        assert_eq!(json["policies"][0]["properties"][0]["outcome"], "refuted", "{json:#}");
        assert_eq!(json["policies"][0]["properties"][0]["decision"], "allow", "{json:#}");

        for (text, told) in [
            ("@id(\"a\")\n@says(\"x\")\npermit (principal, action, resource);", "own.cedar:1:1: property `a` permits"),
            ("@id(\"a\")\nforbid (principal, action, resource);", "own.cedar:1:1: property `a` does not say"),
            ("@id(\"a\")\nforbid (principal, action, resource)\nwhen { context.rsk == 1 };", "own.cedar:3:"),
        ] {
            world.file("own.cedar", text);
            ask("empty.cedar").code(125).stderr_has(told);
        }
        let none = world.belljar(["policy", "prove", "nothing/like-it"]).run();
        none.code(125).stderr_has("there is no property nothing/like-it").stderr_has("bare/high");
        assert_nothing_left(world);
    }

    fn without_a_solver_it_says_how_to_get_one(world) {
        let prove = world.belljar(["policy", "prove"]).env("PATH", "/nonexistent").run();
        prove.code(125).stderr_has("cvc5").stderr_has("apt-get install cvc5");
        // What needs none works without.
        world.belljar(["policy", "prove", "--list"]).env("PATH", "/nonexistent").run().success();
        assert_nothing_left(world);
    }

    fn their_documents_fit_the_schema(world) {
        world.file("laxer.cedar", LAXER);
        let schema: Value = serde_json::from_str(include_str!("../crates/cli/schemas/policy.schema.json")).unwrap();
        for args in [
            &["policy", "diff", "--json", "built-in", "laxer.cedar"][..],
            &["policy", "diff", "--json", "ci", "strict"],
            &["policy", "diff", "--json", "built-in", "permissive-with-review"],
            &["policy", "prove", "--json", "--list"],
            &["policy", "prove", "--json", "bare/execute", "apply/high", "no-dead-rule", "--policy", "laxer.cedar"],
        ] {
            let told = world.belljar(args).run().json();
            assert_eq!(crate::check::misfit(&told, &schema, &schema, ""), None, "{args:?} {told:#}");
        }
        assert_nothing_left(world);
    }
}
