//! kill -9 of the real `belljar apply` and `belljar undo` at random moments, and both ways on: finished, or thrown away.
//!
//! A few kills each here; a thousand by `BELLJAR_KILLS=1000 cargo nextest run -p belljar kills`.

use crate::support::both;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use testkit::{Run, World, until};

/// A small pseudo-random sequence (Steele, Lea, Flood 2014): no two kills at the same moment.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }
}

fn kills(usual: u32) -> u32 {
    std::env::var("BELLJAR_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Everything of the workspace: kind and mode, which names are one object, time and content, and which inode it is.
type Tree = BTreeMap<PathBuf, (String, u64)>;

fn tree(world: &World) -> Tree {
    let mut found = BTreeMap::new();
    let mut first: HashMap<u64, PathBuf> = HashMap::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(rel) = waiting.pop() {
        let path = world.workspace().join(&rel);
        let meta = path.symlink_metadata().unwrap();
        let (time, body) = if meta.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| rel.join(entry.unwrap().file_name())));
            (meta.mtime_nsec(), Vec::new())
        } else if meta.is_symlink() {
            (0, std::fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec())
        } else {
            (meta.mtime_nsec(), std::fs::read(&path).unwrap())
        };
        found.insert(rel, (meta.mode(), meta.ino(), time, String::from_utf8(body).unwrap()));
    }
    let mut all = Tree::new();
    for (path, (mode, ino, time, body)) in found {
        let one = first.entry(ino).or_insert_with(|| path.clone()).display();
        all.insert(path.clone(), (format!("{mode:o} ={one} {time} {body:?}"), ino));
    }
    all
}

/// Without what differs from one apply to the next: inode numbers and times.
fn plain(tree: &Tree) -> BTreeMap<PathBuf, String> {
    let without_time =
        |line: &str| line.split(' ').enumerate().filter(|(n, _)| *n != 2).map(|(_, word)| format!("{word} ")).collect();
    tree.iter().map(|(path, (line, _))| (path.clone(), without_time(line))).collect()
}

fn kind_and_body(line: &str) -> String {
    format!("{} {}", &line[..2], line.splitn(4, ' ').nth(3).unwrap())
}

/// Every name holds what it held or what it is to hold, whole. A directory that moves may be under way.
#[track_caller]
fn assert_old_or_new(now: &Tree, old: &Tree, new: &Tree, what: &str) {
    let names = now.keys().chain(old.keys()).chain(new.keys());
    for name in names.filter(|name| !name.to_string_lossy().contains(".belljar-")) {
        let moves = name.starts_with("ren") || name.starts_with("moved");
        let held = |tree: &Tree| tree.get(name).map(|(line, _)| kind_and_body(line));
        let (is, was, will) = (held(now), held(old), held(new));
        // Below a directory that moves its files are replaced after it has moved, and taken back before.
        let elsewhere = name.strip_prefix("moved").ok().map(|rest| Path::new("ren").join(rest));
        let held_there =
            |tree: &Tree| elsewhere.as_ref().and_then(|name| tree.get(name)).map(|(line, _)| kind_and_body(line));
        let early = held_there(old).or_else(|| held_there(new));
        // Between its removal and its arrival a name may be nothing, as long as that is what one of both sides says.
        assert!(
            is == was || is == will || (moves && (is.is_none() || is == early)),
            "{what}: {} is {is:?}, not {was:?} or {will:?}",
            name.display()
        );
    }
}

struct Scene<'w> {
    world: &'w World,
    /// Where belljar keeps its state, when that is on another file system.
    far: Option<PathBuf>,
    random: Random,
    trial: String,
    /// What the trial shows.
    changes: Value,
    old: Tree,
    new: Tree,
}

const SCRIPT: &str = "
    for f in d*/f*; do echo new > $f; done
    rm -r gone
    mv ren moved; echo changed > moved/sub/r2
    mv file moved-file; echo more >> moved-file
    ln l l2
    mkdir -p more/deep; for n in 1 2 3 4 5 6; do echo new > more/deep/m$n; done; ln more/deep/m1 more/m1
    sed -i 's/^5$/five/' merge
    ln -sfn elsewhere link
    chmod 700 mode
    rm d1/f1; mkdir d1/f1; echo in > d1/f1/in";

/// What became of the kills of one verb.
#[derive(Debug, Default)]
struct Count {
    /// Met it under way.
    met: u32,
    /// Came before it had begun.
    early: u32,
    /// Came after its end.
    late: u32,
    resumed: u32,
    discarded: u32,
}

impl Scene<'_> {
    fn belljar(&self, args: &[&str]) -> Run<'_> {
        let run = self.world.belljar(args);
        match &self.far {
            Some(state) => run.env("XDG_STATE_HOME", state),
            None => run,
        }
    }

    fn new(world: &World, far: Option<PathBuf>) -> Scene<'_> {
        let empty = (Tree::new(), Tree::new());
        Scene { world, far, random: Random(1), trial: String::new(), changes: Value::Null, old: empty.0, new: empty.1 }
    }

    /// A fresh workspace, and a trial of everything that can happen to a file. One of them was edited outside meanwhile.
    fn plant(&mut self) {
        let _ = std::fs::remove_dir_all(self.world.workspace());
        self.world.dir("");
        for n in 0..42 {
            self.world.file(format!("d{}/f{n}", n % 7), "old\n");
        }
        for name in ["gone/g1", "gone/deep/g2", "ren/r1", "ren/sub/r2", "file", "l", "mode/m"] {
            self.world.file(name, "old\n");
        }
        self.world.command("ln").args(["-s", "nowhere", "link"]).run().success();
        let lines: String = (1..=40).map(|n| format!("{n}\n")).collect();
        self.world.file("merge", &lines);
        self.belljar(&["run", "--apply", "never", "--", "sh", "-c", SCRIPT]).run().success();
        self.world.file("merge", lines.replace("\n30\n", "\nthirty\n"));
        self.trial = self.trials()[0]["id"].as_str().unwrap().to_owned();
        self.changes = self.shown();
        self.old = tree(self.world);
    }

    fn trials(&self) -> Vec<Value> {
        self.belljar(&["trials", "--json"]).run().json()["trials"].as_array().unwrap().clone()
    }

    fn shown(&self) -> Value {
        self.belljar(&["show", &self.trial, "--json"]).run().json()["changes"].clone()
    }

    fn state(&self) -> String {
        let text = std::fs::read_to_string(self.record()).unwrap_or_default();
        let record: Value = serde_json::from_str(&text).unwrap_or_default();
        record["state"].as_str().unwrap_or("gone").to_owned()
    }

    fn record(&self) -> PathBuf {
        let state = self.far.clone().unwrap_or_else(|| self.world.state());
        state.join("belljar/trials").join(&self.trial).join("trial.json")
    }

    fn args(&self, verb: &'static str) -> Vec<String> {
        let merge = (verb == "apply").then_some("--merge");
        [Some(verb), Some(&self.trial), Some("--yes"), merge].into_iter().flatten().map(str::to_owned).collect()
    }

    /// Starts `verb` and kills it: `after` it has begun to work, or after its start.
    fn kill(&mut self, verb: &'static str, after: Duration, from_start: bool) {
        let before = std::fs::read(self.record()).unwrap();
        let args = self.args(verb);
        let mut child = self.belljar(&args.iter().map(String::as_str).collect::<Vec<_>>()).spawn();
        let start = Instant::now();
        let record = self.record();
        while !from_start && start.elapsed() < Duration::from_secs(20) && child.is_running() {
            if std::fs::read(&record).is_ok_and(|now| now != before) {
                break;
            }
        }
        let moment = Instant::now();
        while moment.elapsed() < after {
            std::hint::spin_loop();
        }
        child.kill();
    }

    /// Nothing of ours on the host, nothing half done in the store, and a doctor who says so.
    fn assert_clean(&self, what: &str) {
        let stage = |path: &PathBuf| path.to_string_lossy().contains(".belljar-");
        assert_eq!(tree(self.world).into_keys().find(stage), None, "{what}");
        let doctor = self.belljar(&["doctor", "--json"]).run();
        assert_eq!(doctor.json()["leftovers"], json!([]), "{what}{}", doctor.report());
    }

    fn assert_is(&self, expected: &Tree, what: &str) {
        let now = plain(&tree(self.world));
        assert_eq!(now, plain(expected), "{what}");
    }

    /// As it was, with its times and, where nothing had to be copied, its inodes.
    fn assert_old(&self, what: &str) {
        let now = tree(self.world);
        let exact = |tree: &Tree| -> Vec<(PathBuf, String, u64)> {
            let ino = |ino: u64| if self.far.is_none() { ino } else { 0 };
            tree.iter().map(|(path, (line, number))| (path.clone(), line.clone(), ino(*number))).collect()
        };
        assert_eq!(exact(&now), exact(&self.old), "{what}");
        assert_eq!(self.shown(), self.changes, "{what}");
    }

    /// One kill of `verb`, and what comes after it.
    fn round(&mut self, verb: &'static str, span: &mut u64, count: &mut Count, what: &str) {
        let under_way = if verb == "apply" { "applying" } else { "undoing" };
        let at_rest = if verb == "apply" { "pending" } else { "applied" };
        // One in eight at any moment since the start; the others once it works.
        let from_start = self.random.below(8) == 0;
        let after = self.random.below(if from_start { *span * 4 } else { *span });
        self.kill(verb, Duration::from_micros(after), from_start);
        assert!(until(Duration::from_secs(5), || self.world.leftovers().is_empty()), "{what}");
        let (from, to) = if verb == "apply" { (&self.old, &self.new) } else { (&self.new, &self.old) };
        assert_old_or_new(&tree(self.world), from, to, what);
        let state = self.state();
        if state == under_way {
            count.met += 1;
        } else if state == at_rest {
            count.early += 1;
            assert_eq!(plain(&tree(self.world)), plain(from), "{what}: it had not begun");
        } else {
            count.late += 1;
        }
        if !from_start {
            *span = if state == under_way || state == at_rest { *span + *span / 50 + 1 } else { *span * 19 / 20 };
        }
        if state == under_way && self.random.below(4) == 0 {
            count.discarded += 1;
            self.belljar(&["discard", &self.trial, "--yes"]).run().success();
            let now = plain(&tree(self.world));
            assert!(now == plain(&self.old) || now == plain(&self.new), "{what}: {now:#?}");
            self.assert_clean(what);
            assert_eq!(self.trials(), Vec::<Value>::new(), "{what}");
            self.plant();
            if verb == "undo" {
                self.go("apply");
            }
        }
        if self.state() != under_way && self.state() != at_rest {
            return;
        }
        count.resumed += u32::from(self.state() == under_way);
        if self.random.below(4) == 0 {
            // A second death on the way must not matter either.
            let after = self.random.below(*span);
            self.kill(verb, Duration::from_micros(after), true);
        }
        self.go(verb);
    }

    /// Goes on, or begins, until it is done.
    fn go(&self, verb: &'static str) {
        let done = if verb == "apply" { "applied" } else { "pending" };
        if self.state() != done {
            let args = self.args(verb);
            self.belljar(&args.iter().map(String::as_str).collect::<Vec<_>>()).run().success();
        }
        assert_eq!(self.state(), done);
    }
}

fn both_ways(world: &World, far: Option<PathBuf>, rounds: u32) {
    let mut scene = Scene::new(world, far);
    scene.plant();
    scene.go("apply");
    scene.new = tree(world);
    scene.go("undo");
    scene.assert_old("undone for the first time");
    let (mut spans, mut counts) = ([10_000_u64, 10_000], [Count::default(), Count::default()]);
    for round in 0..rounds {
        let what = format!("apply, round {round}");
        scene.round("apply", &mut spans[0], &mut counts[0], &what);
        scene.assert_is(&scene.new, &what);
        scene.assert_clean(&what);
        let what = format!("undo, round {round}");
        scene.round("undo", &mut spans[1], &mut counts[1], &what);
        scene.assert_old(&what);
        scene.assert_clean(&what);
        if round % 100 == 99 {
            eprintln!("{} rounds: {counts:?}", round + 1);
        }
    }
    scene.belljar(&["discard", &scene.trial, "--yes"]).run().success();
    assert_eq!(scene.trials(), Vec::<Value>::new());
    scene.belljar(&["audit", "verify"]).run().success();
    eprintln!("{rounds} kills each: apply {:?}, undo {:?}", counts[0], counts[1]);
    assert!(counts.iter().all(|count| count.met > rounds / 4), "too few kills met the work itself: {counts:?}");
}

both! {
    fn apply_and_undo_killed_at_random(world) {
        both_ways(world, None, kills(8));
    }
}

/// The trials are on another file system than the files: everything is copied there and back.
#[test]
fn apply_and_undo_killed_at_random_across_file_systems() {
    let shm = Path::new("/dev/shm");
    let world = World::root(crate::support::EXE);
    let device = |path: &Path| path.metadata().unwrap().dev();
    if !shm.is_dir() || device(shm) == device(world.base()) {
        return;
    }
    let state = tempfile::tempdir_in(shm).unwrap();
    both_ways(&world, Some(state.path().to_owned()), kills(6));
}
