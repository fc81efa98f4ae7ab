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
        Some("jar-attack") => attacks::main(&arguments[1..]),
        Some("jar-everyday") => everyday::main(&arguments[1..]),
        _ => suite(&arguments),
    }
}

fn suite(arguments: &[std::ffi::OsString]) {
    // The test runner's own options, as in `cargo test -- --nocapture`, mean nothing here; a word is a filter.
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    if words.contains(&"--list") {
        return;
    }
    let filter = words.iter().find(|word| !word.starts_with("--")).copied().unwrap_or("");
    world::isolate();
    let world = World::new();
    let scenes = [
        attacks::scenes(&world),
        everyday::scenes(&world),
        holding::scenes(),
        overlay::scenes(&world),
        terminal::scenes(&world),
    ];
    let scenes: Vec<Scene> = scenes.into_iter().flatten().filter(|scene| scene.name.contains(filter)).collect();
    let failed: Vec<&str> = scenes.iter().filter(|scene| !passes(scene, &world)).map(|s| s.name.as_str()).collect();
    println!("\n{} scenes, {} failed", scenes.len(), failed.len());
    for name in &failed {
        println!("  FAILED {name}");
    }
    world.clean();
    std::process::exit(i32::from(!failed.is_empty()));
}

fn passes(scene: &Scene, world: &World) -> bool {
    let world = std::panic::AssertUnwindSafe(world);
    let passed = catch_unwind(|| (scene.play)(&world)).is_ok();
    println!("{} {}", if passed { "ok    " } else { "FAILED" }, scene.name);
    passed
}
