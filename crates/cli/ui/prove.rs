//! Proofs and comparisons of policies in words.

use super::style::Style;
use engine::explain::word;
use engine::prove::{Difference, Fact, Outcome, Proof, Property, Proved, Transition, Witness};
use std::io::{self, Write};

/// The properties there are.
pub(crate) fn properties(properties: &[Property]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for property in properties {
        writeln!(out, "{:<24} {}", model::escape::text(&property.name), model::escape::text(&property.says))?;
    }
    Ok(())
}

/// What came of proofs: a line for each policy, and all about what does not hold.
pub(crate) fn proved(proved: &[Proved]) -> io::Result<()> {
    let style = Style::stdout();
    let mut out = io::stdout().lock();
    for proved in proved {
        let open: Vec<&Proof> = proved.proofs.iter().filter(|proof| proof.outcome != Outcome::Holds).collect();
        let all = proved.proofs.len() as u64;
        match open.len() as u64 {
            0 if all == 1 => writeln!(out, "ok      {}: 1 property holds", proved.name)?,
            0 => writeln!(out, "ok      {}: {all} properties hold", proved.name)?,
            open => writeln!(out, "{}  {}: {open} of {all} properties", style.red("failed"), proved.name)?,
        }
        for proof in open {
            write_proof(&mut out, style, proof)?;
        }
    }
    Ok(())
}

fn write_proof(out: &mut impl Write, style: Style, proof: &Proof) -> io::Result<()> {
    let (name, says) = (model::escape::text(&proof.property), model::escape::text(&proof.says));
    let state = match &proof.outcome {
        Outcome::Holds => "holds",
        Outcome::Refuted { .. } | Outcome::Useless { .. } => "refuted",
        Outcome::Unproved { .. } => "not proved",
    };
    writeln!(out, "  {} {name}: {says}", style.red(state))?;
    match &proof.outcome {
        Outcome::Holds => Ok(()),
        Outcome::Refuted { witness, verdict, rules } => {
            writeln!(out, "    {}: {} {}", request(witness.action, witness), word(*verdict), named(rules))
        }
        Outcome::Useless { rules } => writeln!(out, "    {}", named(rules)),
        Outcome::Unproved { why } => writeln!(out, "    {}", model::escape::text(why)),
    }
}

/// What two policies answer differently, what became laxer first.
pub(crate) fn difference(before: &str, after: &str, difference: &Difference, looser: &[String]) -> io::Result<()> {
    let style = Style::stdout();
    let mut out = io::stdout().lock();
    if difference.is_none() && looser.is_empty() {
        return writeln!(out, "{before} and {after} answer every request alike");
    }
    let (wider, narrower): (Vec<_>, Vec<_>) =
        difference.changes.iter().partition(|change| change.after < change.before);
    for (changes, title) in [(wider, style.red("laxer")), (narrower, style.green("stricter"))] {
        if !changes.is_empty() {
            writeln!(out, "{title} in {after} than in {before}:")?;
        }
        for change in changes {
            write_change(&mut out, style, change)?;
        }
    }
    if !looser.is_empty() {
        let looser: Vec<String> = looser.iter().map(|one| model::escape::text(one)).collect();
        writeln!(out, "{} beside its rules, {after} gives: {}", style.red("laxer"), looser.join(", "))?;
    }
    for open in &difference.open {
        writeln!(out, "{}: {}", style.red("not compared"), model::escape::text(open))?;
    }
    Ok(())
}

fn write_change(out: &mut impl Write, style: Style, change: &Transition) -> io::Result<()> {
    let (before, after) = (word(change.before), word(change.after));
    writeln!(out, "  {before} -> {after}  {}", request(&change.actions.join(", "), &change.witness))?;
    let rules = format!("{} -> {}", named(&change.rules_before), named(&change.rules_after));
    writeln!(out, "        {}", style.dim(&rules))
}

fn named(rules: &[String]) -> String {
    let rules = if rules.is_empty() { "no rule permits it".to_owned() } else { rules.join(", ") };
    format!("[{}]", model::escape::text(&rules))
}

/// A request: its target, where it would run, its risk, and whatever else is unusual about it.
fn request(actions: &str, witness: &Witness) -> String {
    let text = |name: &str| match witness.attributes.get(name) {
        Some(Fact::Text(text)) => model::escape::text(text),
        _ => String::new(),
    };
    let target = match witness.resource {
        "Path" => format!("path {:?}", text("path")),
        "Change" => format!("change of {:?}", text("path")),
        "Peer" => match witness.attributes.get("port") {
            Some(Fact::Number(port)) => format!("peer {:?}:{port}", text("host")),
            _ => format!("peer {:?}", text("host")),
        },
        "Program" => format!("program {:?}", text("name")),
        "Thing" => format!("{:?}", text("what")),
        "Command" => "the command as a whole".to_owned(),
        _ => "something unknown".to_owned(),
    };
    let place = match witness.context.get("contained") {
        Some(Fact::Yes(true)) => ", in a jar",
        Some(Fact::Yes(false)) => ", on the bare machine",
        _ => "",
    };
    let risk = match witness.context.get("risk") {
        Some(Fact::Number(0)) => ", LOW risk",
        Some(Fact::Number(1)) => ", MEDIUM risk",
        _ => ", HIGH risk",
    };
    let unusual: Vec<String> = witness.unusual().map(|(name, fact)| told(name, fact)).collect();
    let unusual = if unusual.is_empty() { String::new() } else { format!(" ({})", unusual.join(", ")) };
    format!("{actions} {target}{place}{risk}{unusual}")
}

fn told(name: &str, fact: &Fact) -> String {
    match fact {
        Fact::Yes(true) => name.to_owned(),
        Fact::Yes(false) => format!("not {name}"),
        Fact::Number(number) => format!("{name} {number}"),
        Fact::Text(text) => format!("{name} {:?}", model::escape::text(text)),
        Fact::Word(word) => format!("{name} {}", model::escape::text(word)),
        Fact::Words(words) => {
            let words: Vec<String> = words.iter().map(|word| model::escape::text(word)).collect();
            format!("{name} {}", words.join(" "))
        }
    }
}
