//! The jar put to the test: forbidden things must fail in it (and are first seen to succeed without it), everyday
//! things must work as they do bare. One program plays all parts: the suite, a small Belljar, the attacker.
//!
//! As root the suite runs in mount, pid and ipc namespaces of its own with private copies of all it touches, and plays
//! every scene as root and as an ordinary user. As an ordinary user it plays what needs no preparation.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::exit,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod attacks;
mod everyday;
mod holding;
mod live;
mod nested;
mod overlay;
mod runner;
mod terminal;
mod world;

use std::panic::catch_unwind;
use world::World;

/// A scene: a name and what is played. It fails by panicking.
pub struct Scene {
    pub name: String,
    pub play: Box<dyn Fn(&World) + std::panic::RefUnwindSafe>,
}

pub fn scene(name: impl Into<String>, play: impl Fn(&World) + std::panic::RefUnwindSafe + 'static) -> Scene {
    Scene { name: name.into(), play: Box::new(play) }
}

fn main() {
    belljar_sandbox::stage_entry();
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    match arguments.first().and_then(|word| word.to_str()) {
        Some("jar-run") => runner::main(&arguments[1..]),
        Some("jar-live") => live::main(&arguments[1..]),
        Some("jar-attack") => attacks::main(&arguments[1..]),
        Some("jar-everyday") => everyday::main(&arguments[1..]),
        _ => suite(&arguments),
    }
}

fn suite(arguments: &[std::ffi::OsString]) {
    // Of the test runners' own options only the list means something here; a word is a filter.
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    if words.contains(&"--list") {
        return list(words.contains(&"--ignored"));
    }
    let filter = words.iter().find(|word| !word.starts_with("--") && **word != "terse").copied().unwrap_or("");
    world::isolate();
    let world = World::new();
    let scenes = [
        attacks::scenes(&world),
        everyday::scenes(&world),
        holding::scenes(),
        live::scenes(),
        nested::scenes(&world),
        overlay::scenes(&world),
        terminal::scenes(&world),
    ];
    let scenes: Vec<Scene> = scenes.into_iter().flatten().collect();
    let in_no_act = |scene: &&Scene| !ACTS.iter().any(|act| scene.name.starts_with(act));
    assert_eq!(scenes.iter().find(in_no_act).map(|scene| &scene.name), None, "a scene no runner would play");
    let scenes: Vec<Scene> = scenes.into_iter().filter(|scene| scene.name.contains(filter)).collect();
    let failed: Vec<&str> = scenes.iter().filter(|scene| !passes(scene, &world)).map(|s| s.name.as_str()).collect();
    assert!(!scenes.is_empty(), "no scene is called {filter}");
    println!("\n{} scenes, {} failed", scenes.len(), failed.len());
    for name in &failed {
        println!("  FAILED {name}");
    }
    world.clean();
    std::process::exit(i32::from(!failed.is_empty()));
}

/// The acts of the suite. A runner that starts a process for each test, as `cargo nextest` does, plays an act in each:
/// preparing the stage takes longer than most scenes.
const ACTS: &[&str] = &["attack", "everyday", "holding", "live", "nested", "overlay", "terminal"];

fn list(ignored: bool) {
    for act in ACTS.iter().filter(|_| !ignored) {
        println!("{act}: test");
    }
}

fn passes(scene: &Scene, world: &World) -> bool {
    let world = std::panic::AssertUnwindSafe(world);
    let passed = catch_unwind(|| (scene.play)(&world)).is_ok();
    println!("{} {}", if passed { "ok    " } else { "FAILED" }, scene.name);
    passed
}
