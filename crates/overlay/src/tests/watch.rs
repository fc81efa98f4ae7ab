//! Watches: who is told what, and what is done when watches fail.

use crate::testing::Bench;
use crate::view::layers::{Layers, Seen};
use crate::view::node::ROOT;
use crate::view::watch::{Belief, Notice};
use model::Hidden;
use nix::sys::inotify::{AddWatchFlags, InotifyEvent};
use std::ffi::OsStr;
use std::fs;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// A view that watches from its first request on, and what it would tell the kernel.
fn watching(bench: &Bench) -> (Arc<Layers>, Receiver<Vec<Notice>>) {
    let layers = Arc::new(bench.view().layers);
    let (notices, told) = sync_channel(1_000);
    layers.watches.arm(&layers, Box::new(move || Ok(notices)));
    layers.watches.begin_at_once();
    (layers, told)
}

fn belief(layers: &Layers, parent: u64, name: &str) -> (Belief, u64) {
    match layers.look(parent, OsStr::new(name)).unwrap() {
        Seen::There(attr) => (attr.belief, attr.number),
        Seen::Absent(belief) => (belief, 0),
    }
}

fn name(parent: u64, name: &str) -> Notice {
    Notice::Name { parent, name: name.into() }
}

/// Waits until `wanted` was told.
#[track_caller]
fn await_notice(told: &Receiver<Vec<Notice>>, wanted: &Notice) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        if told.recv_timeout(Duration::from_secs(10)).unwrap().contains(wanted) {
            return;
        }
    }
    panic!("not told: {wanted:?}");
}

#[test]
fn what_is_watched_is_believed_and_taken_back() {
    let bench = Bench::new();
    fs::create_dir_all(bench.host().join("d/e")).unwrap();
    fs::write(bench.host().join("d/f"), "x").unwrap();
    fs::write(bench.host().join("d/linked"), "x").unwrap();
    fs::hard_link(bench.host().join("d/linked"), bench.host().join("d/again")).unwrap();
    let (layers, told) = watching(&bench);
    // Nothing in it is watched yet, so its own times may change unseen.
    let (of_d, d) = belief(&layers, ROOT, "d");
    assert_eq!(of_d, Belief::Host);
    let (of_f, f) = belief(&layers, d, "f");
    assert_eq!(of_f, Belief::Watched);
    assert_eq!(belief(&layers, ROOT, "d").0, Belief::Watched);
    assert_eq!(layers.getattr(f).unwrap().belief, Belief::Watched);
    assert_eq!(belief(&layers, d, "absent").0, Belief::Watched);
    assert_eq!(belief(&layers, d, "linked").0, Belief::Host);
    fs::write(bench.host().join("d/f"), "y").unwrap();
    await_notice(&told, &Notice::Attributes(f));
    fs::write(bench.host().join("d/absent"), "y").unwrap();
    await_notice(&told, &name(d, "absent"));
    // A directory that moves away takes its watch with it.
    assert_eq!(belief(&layers, d, "e").0, Belief::Host);
    fs::rename(bench.host().join("d"), bench.host().join("D")).unwrap();
    await_notice(&told, &name(ROOT, "d"));
    fs::rename(bench.host().join("D"), bench.host().join("d")).unwrap();
    await_notice(&told, &name(ROOT, "D"));
    assert_eq!(belief(&layers, d, "f"), (Belief::Watched, f));
}

#[test]
fn what_is_the_jar_s_own_is_believed_for_ever_and_hidden_paths_never() {
    let mut bench = Bench::new();
    fs::create_dir_all(bench.host().join("secret/in")).unwrap();
    fs::write(bench.host().join("key"), "k").unwrap();
    for hidden in ["secret", "key"] {
        bench.hidden.push(Hidden { path: bench.host().join(hidden).into(), rule: "r".into() });
    }
    let view = bench.view();
    view.mkdir("own").unwrap();
    drop(view);
    let (layers, _told) = watching(&bench);
    let (of_own, own) = belief(&layers, ROOT, "own");
    assert_eq!((of_own, belief(&layers, own, "absent").0), (Belief::Own, Belief::Own));
    assert_eq!(belief(&layers, ROOT, "key").0, Belief::Host);
    let (of_secret, secret) = belief(&layers, ROOT, "secret");
    assert_eq!((of_secret, belief(&layers, secret, "in").0), (Belief::Host, Belief::Host));
    assert_eq!(layers.watches.watched(), [""]);
}

#[test]
fn lost_events_take_everything_back() {
    let bench = Bench::new();
    fs::create_dir_all(bench.host().join("d/e")).unwrap();
    fs::write(bench.host().join("d/f"), "x").unwrap();
    let (layers, _told) = watching(&bench);
    let (_, d) = belief(&layers, ROOT, "d");
    let (_, f) = belief(&layers, d, "f");
    assert_eq!(belief(&layers, d, "absent").0, Belief::Watched);
    assert_eq!(layers.watches.watched(), ["", "d"]);
    let wd = layers.watches.any().unwrap();
    let overflow = InotifyEvent { wd, mask: AddWatchFlags::IN_Q_OVERFLOW, cookie: 0, name: None };
    let told = layers.notices_of(vec![overflow]);
    for notice in [name(ROOT, "d"), name(d, "f"), name(d, "absent"), Notice::Attributes(f), Notice::Names(d)] {
        assert!(told.contains(&notice), "{notice:?} {told:?}");
    }
    assert!(layers.watches.watched().is_empty());
    assert_eq!(layers.getattr(f).unwrap().belief, Belief::Host);
    // Watched anew by who looks again.
    assert_eq!(belief(&layers, d, "f"), (Belief::Watched, f));
}

#[test]
fn without_a_watch_nothing_is_believed_for_long() {
    let bench = Bench::new();
    for dir in ["a", "b", "c"] {
        fs::create_dir(bench.host().join(dir)).unwrap();
        fs::write(bench.host().join(dir).join("f"), "x").unwrap();
    }
    let (layers, _told) = watching(&bench);
    belief(&layers, ROOT, "a");
    layers.watches.allow(2);
    let beliefs: Vec<Belief> = ["a", "b", "c"]
        .iter()
        .map(|dir| {
            let (_, number) = belief(&layers, ROOT, dir);
            belief(&layers, number, "f").0
        })
        .collect();
    assert_eq!(beliefs, [Belief::Watched, Belief::Host, Belief::Host]);
    layers.watches.stop();
    let (_, a) = belief(&layers, ROOT, "a");
    assert_eq!(belief(&layers, a, "f").0, Belief::Host);
    assert_eq!(belief(&layers, a, "absent").0, Belief::Host);
}
