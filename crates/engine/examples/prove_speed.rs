//! How long it takes to prove all shipped properties of all shipped rules.
//!
//! `cargo run --release -p belljar-engine --features prove --example prove_speed`
#![allow(clippy::unwrap_used)]

use belljar_engine::prove::{Outcome, Subject, properties, prove};
use std::time::Instant;

fn main() {
    for _ in 0..3 {
        let start = Instant::now();
        let subjects = Subject::shipped().unwrap();
        let properties = properties(&[], None).unwrap();
        let proved = prove(&subjects, &properties).unwrap();
        let took = start.elapsed();
        let all = proved.iter().flat_map(|proved| &proved.proofs);
        let open: Vec<_> = all.clone().filter(|proof| proof.outcome != Outcome::Holds).collect();
        println!(
            "{} properties of {} sets of rules: {} proofs in {took:?}, of which {} do not hold",
            properties.len(),
            subjects.len(),
            all.count(),
            open.len()
        );
        for proved in &proved {
            for proof in proved.proofs.iter().filter(|proof| proof.outcome != Outcome::Holds) {
                println!("  {}: {} {:?}", proved.name, proof.property, proof.outcome);
            }
        }
    }
}
