//! How long it takes to prove all shipped properties of all shipped rules.
//!
//! `cargo run --release -p belljar-engine --features prove --example prove_speed`
#![allow(clippy::unwrap_used)]

use belljar_engine::prove::{Outcome, Subject, properties, prove};
use std::time::Instant;

fn main() {
    for _ in 0..3 {
        run(|_| true, "all");
        // What the comparison with the jars costs.
        run(|name| !name.starts_with("jar/"), "without those of jars");
    }
}

fn run(wanted: fn(&str) -> bool, what: &str) {
    let start = Instant::now();
    let subjects = Subject::shipped().unwrap();
    let mut properties = properties(&[], None).unwrap();
    properties.retain(|property| wanted(&property.name));
    let sets = subjects.len();
    let proved = prove(subjects, &properties).unwrap();
    let took = start.elapsed();
    let all = proved.iter().flat_map(|proved| &proved.proofs);
    let open: Vec<_> = all.clone().filter(|proof| proof.outcome != Outcome::Holds).collect();
    println!(
        "{} properties ({what}) of {} sets of rules: {} proofs in {took:?}, of which {} do not hold",
        properties.len(),
        sets,
        all.count(),
        open.len()
    );
    for proved in &proved {
        for proof in proved.proofs.iter().filter(|proof| proof.outcome != Outcome::Holds) {
            println!("  {}: {} {:?}", proved.name, proof.property, proof.outcome);
        }
    }
}
