//! The schema lists exactly the values the tables can produce; this module is only its test.

#[cfg(test)]
mod tests {
    use crate::facts::{Location, Network, STATE_RULE};
    use crate::words::Question;
    use crate::{SCHEMA, protected, secrets};
    use std::collections::BTreeSet;

    fn values(kind: &str) -> BTreeSet<String> {
        let (_, rest) = SCHEMA.split_once(&format!("entity {kind} enum [")).expect("the type is in the schema");
        let (body, _) = rest.split_once(']').unwrap();
        body.split(',').map(|value| value.trim().trim_matches('"').to_owned()).collect()
    }

    fn set<'a>(values: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
        values.map(str::to_owned).collect()
    }

    #[test]
    fn the_schema_knows_every_value() {
        let content = crate::content::RULES.iter().copied();
        let names = secrets::rules().chain(protected::rules()).chain([STATE_RULE]);
        assert_eq!(values("Rule"), set(names.chain(content)));
        assert_eq!(values("Location"), set(Location::ALL.into_iter().map(Location::name)));
        assert_eq!(values("Network"), set(Network::ALL.into_iter().map(Network::name)));
    }

    #[test]
    fn the_schema_knows_every_action_and_its_groups() {
        let (schema, _) = cedar_policy::Schema::from_cedarschema_str(SCHEMA).unwrap();
        let entities = schema.action_entities().unwrap();
        for question in Question::ALL {
            let uid = format!("Action::\"{}\"", question.name()).parse().unwrap();
            let above: BTreeSet<String> =
                entities.ancestors(&uid).unwrap().map(|uid| uid.id().unescaped().to_owned()).collect();
            assert_eq!(above, set(question.groups().iter().copied()), "{question:?}");
        }
    }
}
