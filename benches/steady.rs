//! Work that goes on for a while, bare and in an open jar, turn about: what a jar costs once it stands.
//!
//! Prints medians and, for each kind of work, the median over rounds of jar to bare beside what is aimed at. Start-up is in
//! `startup.rs`. `BELLJAR_BENCH_ROUNDS` sets the number of rounds, `BELLJAR_BENCH_DIR` the file system.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use support::{OpenJar, command, median_ratio, ms, place, quantile, rounds};

const ROUNDS: usize = 9;
/// The first round fills caches, and asks for each name of the project once.
const WARM_UP: usize = 1;

/// Directories of the project, and files in each.
const DIRS: usize = 60;
const FILES: usize = 50;

/// Name, a command line that takes some tenths of a second, and the most it may take in a jar as a multiple of bare.
const WORK: &[(&str, &str, f64)] = &[
    ("processor", "awk 'BEGIN { for (i = 0; i < 4000000; i++) s += i * i }'", 1.01),
    ("dd bs=1", "dd if=/dev/zero of=/dev/null bs=1 count=600000 status=none", 1.05),
    ("git status", "for i in $(seq 50); do git status --porcelain; done > /dev/null", 1.10),
    ("find", "for i in 1 2 3 4 5 6 7 8 9 10; do find . -type f -newer main.c > /dev/null; done", 1.10),
    ("compile", "for i in 1 2 3; do cc -O1 -c main.c -o main.o; done", 1.10),
    ("open, project", "for i in 1 2 3 4 5; do cat d*/* > /dev/null; done", 1.10),
    ("open, system", "for i in 1 2 3 4 5; do cat /usr/include/*.h /usr/include/*/*.h > /dev/null; done", 1.10),
];

fn main() {
    sandbox::stage_entry();
    let (rounds, dir) = (rounds(ROUNDS), place());
    let project = dir.path().join("home/project");
    furnish(&project);
    let mut jar = OpenJar::new(dir.path());
    let mut times: Vec<[Vec<Duration>; 2]> = WORK.iter().map(|_| Default::default()).collect();
    for round in 0..rounds + WARM_UP {
        for ((_, line, _), [bare, jarred]) in WORK.iter().zip(&mut times) {
            let (one, other) = (once(line, dir.path()), jar.run(line));
            if round >= WARM_UP {
                bare.push(one);
                jarred.push(other);
            }
        }
    }
    jar.close();
    report(&times, rounds);
}

/// A repository of some thousand files, and something to compile.
fn furnish(project: &Path) {
    std::fs::remove_dir(project.join(".git")).expect("make a project");
    let mut functions = String::from("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n");
    for number in 0..100 {
        let body = "for (int i = 0; i < n; i++) s = s * 31 + (s >> 3) + i; return s;";
        writeln!(functions, "unsigned f{number}(unsigned s, int n) {{ {body} }}").expect("write to a string");
    }
    std::fs::write(project.join("main.c"), functions).expect("make a project");
    for dir in 0..DIRS {
        let below = project.join(format!("d{dir}"));
        std::fs::create_dir(&below).expect("make a project");
        for file in 0..FILES {
            std::fs::write(below.join(format!("f{file}")), format!("{dir} {file}\n")).expect("make a project");
        }
    }
    let git = "git init -q && git add . && git -c user.name=b -c user.email=b@example.org commit -qm project";
    once(git, project.parent().and_then(Path::parent).expect("the place around it"));
}

fn once(line: &str, dir: &Path) -> Duration {
    let mut command = command(&["bash", "-c", line].map(str::to_owned), dir);
    let start = Instant::now();
    let status = command.status().expect("start bash");
    let time = start.elapsed();
    assert!(status.success(), "{line}: {status}");
    time
}

fn report(times: &[[Vec<Duration>; 2]], rounds: usize) {
    println!("{rounds} rounds, turn about");
    println!("{:14} {:>10} {:>10} {:>7} {:>7}", "", "bare", "jar", "ratio", "at most");
    for ((name, _, most), [bare, jar]) in WORK.iter().zip(times) {
        let ratio = median_ratio(jar, bare).expect("at least one round");
        let [bare, jar] = [bare, jar].map(|times| ms(quantile(times, 50)));
        println!("{name:14} {bare:>7.1} ms {jar:>7.1} ms {ratio:>7.3} {most:>7.2}");
    }
}
