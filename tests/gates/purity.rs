//! Floors 0 and 1 take values and return values: no files, environment, network, processes, clock, threads, output.

use super::source::{Source, Used, sources, used};
use super::{checkout, seeded};
use std::path::Path;

const PURE: [&str; 3] = ["crates/model/src", "crates/analyze/src", "crates/policy/src"];

const PATHS: [&str; 23] = [
    "std::fs",
    "std::env",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "std::process",
    "std::os::unix::net",
    "std::os::unix::fs",
    "std::os::unix::process",
    "std::os::linux::fs",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::thread::spawn",
    "std::thread::scope",
    "std::thread::sleep",
    "std::thread::Builder",
    "libc",
    "nix",
    "rustix",
];
/// Methods of `std::path::Path` that ask the file system, where the name leaves no doubt.
const METHODS: [&str; 5] = ["canonicalize", "read_dir", "read_link", "symlink_metadata", "try_exists"];
const MACROS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// Uses of the host below `tree/below`, as `file:line what`.
fn impure(tree: &Path, below: &str) -> Vec<String> {
    sources(tree, below).iter().flat_map(impure_uses).collect()
}

fn impure_uses(source: &Source) -> Vec<String> {
    let told = |what: &str, line: usize| format!("{}:{line} {what}", source.path.display());
    let judged = used(source).into_iter().filter_map(|item| match item {
        Used::Path(path, line) => is_impure(&path).then(|| told(&path, line)),
        Used::Method(name, line) => METHODS.contains(&name.as_str()).then(|| told(&format!(".{name}()"), line)),
        Used::Macro(name, line) => MACROS.contains(&name.as_str()).then(|| told(&format!("{name}!"), line)),
    });
    judged.collect()
}

/// Whether a path is a forbidden one, lies in it, or is a glob that would bring it in unseen.
fn is_impure(path: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    PATHS.iter().any(|banned| within(path, banned) || path.strip_suffix("::*").is_some_and(|glob| within(banned, glob)))
}

#[test]
fn pure_floors_do_no_io() {
    let found: Vec<String> = PURE.iter().flat_map(|below| impure(&checkout(), below)).collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_seeded_use_of_the_host_is_caught() {
    for (seed, expected) in [
        ("fn f() { let _ = std::fs::read(\"/etc/passwd\"); }", "std::fs::read"),
        ("use std::{collections, env as e};\nfn f() { e::var(\"HOME\"); }", "std::env"),
        ("use std::time::{self, Duration};\nfn f() { time::Instant::now(); }", "std::time::Instant::now"),
        ("use std::time::SystemTime as T;\nfn f() { let g = T::now; }", "std::time::SystemTime::now"),
        ("use std::*;", "std::*"),
        ("use std::os::unix::*;", "std::os::unix::*"),
        ("use std::net::*;", "std::net::*"),
        ("fn f() { vec![std::net::TcpStream::connect(\"a:1\")]; }", "std::net::TcpStream::connect"),
        ("fn f() { assert!({ use_it(std::process::id()) > 1 }); }", "std::process::id"),
        ("mod deep { fn f() { ::std::thread::spawn(|| ()); } }", "std::thread::spawn"),
        ("fn f(p: &std::path::Path) { p.canonicalize(); }", ".canonicalize()"),
        ("fn f() { println!(\"hello\"); }", "println!"),
        ("#[cfg(not(test))] fn f() { nix::unistd::getpid(); }", "nix::unistd::getpid"),
    ] {
        let tree = seeded("src/deep/seed.rs", seed);
        let found = impure(tree.path(), "src");
        assert!(found.iter().any(|line| line.ends_with(expected)), "{seed}: {found:?}");
        assert!(found.iter().all(|line| line.starts_with("src/deep/seed.rs:")), "{found:?}");
    }
}

#[test]
fn what_only_looks_like_the_host_passes() {
    let tree = seeded(
        "src/ok.rs",
        r#"
        //! std::fs in a comment
        use std::os::unix::ffi::OsStrExt;
        const TEXT: &str = "std::env::var";
        /* std::net */ fn f() -> std::time::Duration { std::time::Duration::ZERO }
        use std::net::IpAddr;
        mod fs { pub fn read() {} }
        fn g() { fs::read(); vec![1]; }
        #[cfg(test)]
        mod tests { #[test] fn t() { std::fs::read("x").unwrap(); println!("x"); } }
        "#,
    );
    assert_eq!(impure(tree.path(), "src"), Vec::<String>::new());
}
