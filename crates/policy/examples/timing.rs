//! How long loading, deciding and reviewing take: `cargo run --release -p belljar-policy --example timing`.
//!
//! The first line of each pair is the first use in a fresh process, which is what a command line pays.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::indexing_slicing)]

use belljar_policy::cases::place;
use belljar_policy::{ConfineRequest, Layer, Origin, Policy, confine};
use model::{
    Action, Analysis, Certainty, Change, ChangeKind, ChangeSet, Coverage, Differs, Effect, FileKind, FilePath, Meta,
    PathScope, Reversibility, Target,
};
use std::time::{Duration, Instant};

const ROUNDS: usize = 2000;

fn main() {
    let start = Instant::now();
    let policy = Policy::builtin().unwrap();
    println!("load, first          {:?}", start.elapsed());
    let place = place(true);
    let analysis = analysis(&["a.txt", "src/b.rs", "src/c.rs"]);
    let start = Instant::now();
    let assessment = policy.assess(&analysis, &place);
    println!("assess, first        {:?}", start.elapsed());
    let start = Instant::now();
    std::hint::black_box(policy.decide(&analysis, &assessment, &place));
    println!("decide, first        {:?}", start.elapsed());
    let start = Instant::now();
    std::hint::black_box(
        confine(&place, &ConfineRequest { cwd: place.cwd.clone(), ..ConfineRequest::default() }).unwrap(),
    );
    println!("confine, first       {:?}", start.elapsed());
    let start = Instant::now();
    std::hint::black_box(policy.review(&changes(10), &analysis, &place, &[]));
    println!("review of 10, first  {:?}", start.elapsed());

    rounds("load", || drop(std::hint::black_box(Policy::builtin().unwrap())));
    rounds("assess, 4 effects", || drop(std::hint::black_box(policy.assess(&analysis, &place))));
    rounds("decide, 4 effects", || drop(std::hint::black_box(policy.decide(&analysis, &assessment, &place))));
    let mut bare = place.clone();
    bare.contained = false;
    rounds("decide bare, 4 eff.", || drop(std::hint::black_box(policy.decide(&analysis, &assessment, &bare))));

    let many = changes(100_000);
    let start = Instant::now();
    std::hint::black_box(policy.review(&many, &analysis, &place, &[]));
    println!("review of 100,000    {:?}", start.elapsed());
    let rule = "@id(\"mine/keys\") forbid (principal, action == Action::\"apply\", resource is Change) \
                when { resource.path like \"*.key\" };";
    let layer = Layer { name: "user", origin: Origin::User, text: rule };
    let start = Instant::now();
    let layered = Policy::layered(&[layer]).unwrap();
    println!("load with a layer    {:?}", start.elapsed());
    let start = Instant::now();
    std::hint::black_box(layered.review(&many, &analysis, &place, &[]));
    println!("review by name       {:?}", start.elapsed());
}

/// Median and 99th percentile.
fn rounds(what: &str, mut run: impl FnMut()) {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("{what:<20} p50 {:?} p99 {:?}", times[ROUNDS / 2], times[ROUNDS * 99 / 100]);
}

fn analysis(files: &[&str]) -> Analysis {
    let path =
        |name: &str| Target::Path { path: format!("/home/u/work/{name}").as_str().into(), scope: PathScope::Exact };
    let write = files.iter().map(|name| effect(Action::Write, path(name), Reversibility::ByOverlay));
    let run = effect(Action::Execute, Target::Program { name: "make".to_owned() }, Reversibility::Harmless);
    Analysis {
        text: "make".to_owned(),
        effects: write.chain([run]).collect(),
        findings: vec![],
        coverage: Coverage::Full,
        canonical: vec![],
        certificates: vec![],
    }
}

fn effect(action: Action, target: Target, reversibility: Reversibility) -> Effect {
    Effect { action, target, certainty: Certainty::Must, reversibility, span: None, by: None }
}

fn changes(count: usize) -> ChangeSet {
    let meta = Meta { kind: FileKind::File, mode: 0o644, uid: 1000, gid: 1000, size: 1, link: None };
    let change = |n: usize| Change {
        path: FilePath::from(format!("/home/u/work/node_modules/package-{}/lib/file-{n}.js", n % 997).as_str()),
        kind: ChangeKind::Added,
        before: None,
        after: Some(meta.clone()),
        differs: Differs::default(),
        below: 0,
    };
    ChangeSet { changes: (0..count).map(change).collect() }
}
