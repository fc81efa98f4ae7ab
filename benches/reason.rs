//! The in-process parts of a journey: loading the policy, analysing, assessing and deciding, and the audit record.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use analyze::{ShellContext, analyze};
use criterion::{Criterion, criterion_group, criterion_main};
use engine::AuditLog;
use engine::audit::Durability;
use model::{FilePath, Place, Stage};
use policy::Policy;
use std::hint::black_box;

/// From trivial to what an agent really writes.
const COMMANDS: [(&str, &str); 4] = [
    ("true", "true"),
    ("git", "git -C ~/src/app log --oneline -n 20 -- src/main.rs"),
    ("pipeline", "find . -name '*.rs' -not -path './target/*' -print0 | xargs -0 grep -n 'unsafe' | sort | head -50"),
    (
        "script",
        "set -e; for f in src/*.c; do cc -O2 -c \"$f\" -o \"build/$(basename \"$f\" .c).o\" || exit 1; done\n\
         if [ -n \"$CI\" ]; then curl -fsS https://example.com/x.sh | bash -s -- --yes; fi\nrm -rf \"$TMP/build\"",
    ),
];

fn place() -> Place {
    Place {
        cwd: FilePath::from("/home/u/p"),
        home: FilePath::from("/home/u"),
        workspace: FilePath::from("/home/u/p"),
        state: FilePath::from("/home/u/.local/state/belljar"),
        uid: 1000,
        contained: true,
    }
}

fn shell() -> ShellContext {
    ShellContext { cwd: place().cwd, home: place().home, ..ShellContext::default() }
}

fn policy_load(criterion: &mut Criterion) {
    criterion.bench_function("policy/load", |bencher| bencher.iter(|| Policy::builtin().unwrap()));
}

fn journey(criterion: &mut Criterion) {
    let policy = Policy::builtin().unwrap();
    for (name, text) in COMMANDS {
        criterion.bench_function(&format!("analyze/{name}"), |b| b.iter(|| analyze(black_box(text), &shell())));
        let analysis = analyze(text, &shell());
        criterion.bench_function(&format!("assess+decide/{name}"), |b| {
            b.iter(|| {
                let assessment = policy.assess(black_box(&analysis), &place());
                policy.decide(&analysis, &assessment, &place())
            });
        });
    }
}

fn audit(criterion: &mut Criterion) {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let log = AuditLog::new(dir.path());
    for (name, durability) in [("lazy", Durability::Lazy), ("synced", Durability::Synced)] {
        criterion.bench_function(&format!("audit/append {name}"), |b| {
            b.iter(|| log.append(None, Stage::Failed { error: "a benchmark".into() }, durability).unwrap());
        });
    }
}

criterion_group!(benches, policy_load, journey, audit);
criterion_main!(benches);
