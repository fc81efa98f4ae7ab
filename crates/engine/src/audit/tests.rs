//! The log as a whole: tampering, crashes, rotation, keys, old logs.
//!
//! Small counts here; all of it by `BELLJAR_AUDIT_LINES=100000 BELLJAR_AUDIT_EDITS=10000 BELLJAR_KILLS=1000 cargo nextest
//! run -p belljar-engine audit`.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use verify::Verifier;

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// A small pseudo-random sequence (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }
}

fn failed(error: impl Into<String>) -> Stage {
    Stage::Failed { error: error.into() }
}

fn log(records: usize) -> (tempfile::TempDir, AuditLog) {
    let dir = tempfile::tempdir().unwrap();
    let log = AuditLog::new(dir.path());
    for n in 0..records {
        log.append(None, failed(format!("no. {n}")), Durability::Lazy).unwrap();
    }
    (dir, log)
}

/// Bytes that no rotation by age comes into.
fn by_size(bytes: u64) -> Rotation {
    Rotation { bytes, ..Rotation::default() }
}

#[test]
fn an_untouched_log_verifies() {
    let (dir, log) = log(20);
    drop(log);
    let found = AuditLog::new(dir.path()).verify(None).unwrap();
    assert_eq!((found.records, found.checkpoints, found.uncovered), (20, 1, 0), "{found:?}");
    assert!(found.is_sound() && found.torn.is_empty(), "{found:?}");
}

#[test]
fn who_closes_a_segment_goes_on_from_where_the_log_really_ends() {
    let (dir, log) = log(5);
    // Others append between the end of a segment and the lock of the next; then they even close that.
    for closes in [false, true] {
        let full = log.segments.open().unwrap();
        let tail = Tail::read(&log.segments, &mut full.try_clone().unwrap()).unwrap();
        let number = log.segments.number().unwrap();
        log.segments.close(&full, number).unwrap();
        let other = AuditLog::new(dir.path());
        other.append(None, failed("between"), Durability::Synced).unwrap();
        if closes {
            let next = other.segments.open().unwrap();
            other.segments.close(&next, number + 1).unwrap();
        }
        let head = other.head().unwrap();
        let (file, tail, now) = log.go_on(tail, number).unwrap();
        assert_eq!((hex(&tail.head), now), (head, number + 1 + u64::from(closes)));
        drop((file, full));
        log.append(None, failed("behind"), Durability::Synced).unwrap();
        let found = AuditLog::new(dir.path()).verify(None).unwrap();
        assert!(found.is_sound(), "{found:?}");
    }
}

#[test]
fn a_torn_line_is_kept_reported_and_chained_over() {
    let (_dir, log) = log(3);
    let active = log.segments.active();
    let whole = fs::read(&active).unwrap();
    for cut in 1..40 {
        fs::write(&active, &whole[..whole.len() - cut]).unwrap();
        log.append(None, failed("after"), Durability::Synced).unwrap();
        let found = log.verify(None).unwrap();
        assert!(found.is_sound(), "cut {cut}: {found:?}");
        assert_eq!(found.records + found.torn.len() as u64, 4, "cut {cut}");
    }
}

#[test]
fn a_long_line_is_read_back() {
    let (_dir, log) = log(1);
    for text in ["x".repeat(300_000), "y".into()] {
        log.append(None, failed(text), Durability::Lazy).unwrap();
    }
    let found = log.verify(None).unwrap();
    assert_eq!((found.records, found.is_sound()), (3, true));
    let mut left_out = Vec::new();
    log.read(|record| left_out.extend(record.left_out)).unwrap();
    assert_eq!((left_out.len(), left_out[0].count), (1, 300_000 - (16 << 10)));
}

/// Three lines as version 0.1 wrote them, one of them torn.
#[test]
fn a_log_of_an_older_version_verifies_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("audit")).unwrap();
    let path = dir.path().join("audit/log.jsonl");
    let mut head = [0; 32];
    let mut text = String::new();
    for (seq, end) in [(0, 400), (1, 90), (1, 400)] {
        let line = format!(
            "{{\"prev\":\"{}\",\"seq\":{seq},\"time_ms\":{},\"uid\":0,\"trial\":\"abcdefgh\",\"stage\":\"settled\",\
             \"outcome\":\"applied\",\"applied\":1}}",
            hex(&head),
            now_ms()
        );
        let line: String = line.chars().take(end).collect();
        head = hash::chain(&head, line.as_bytes());
        text += &format!("{line}\n");
    }
    fs::write(&path, text).unwrap();
    let log = AuditLog::new(dir.path());
    let before = log.verify(None).unwrap();
    assert_eq!((before.records, &before.torn, before.is_sound()), (2, &vec![2], true), "{before:?}");
    assert_eq!(before.head, hex(&head));
    let key = log.set_up_key().unwrap();
    log.append(None, failed("new"), Durability::Synced).unwrap();
    let after = log.verify(Some(&key)).unwrap();
    assert_eq!((after.records, after.sealed, after.is_sound()), (3, 2, true), "{after:?}");
}

#[test]
fn a_segment_is_closed_at_its_size_or_its_age_and_the_next_goes_on() {
    for rotation in [by_size(2000), Rotation { bytes: u64::MAX, age: Duration::ZERO }] {
        let dir = tempfile::tempdir().unwrap();
        let log = AuditLog::rotating(dir.path(), rotation);
        let key = log.set_up_key().unwrap();
        for n in 0..40 {
            log.append(None, failed(format!("{n}")), Durability::Lazy).unwrap();
        }
        let found = log.verify(Some(&key)).unwrap();
        assert!(found.is_sound() && found.segments > 3, "{found:?}");
        assert_eq!(found.records, 40);
        let verifier = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/audit/verify.py");
        let theirs = Command::new("python3").args(["-B", verifier]).arg(log.dir()).output().unwrap();
        assert!(theirs.status.success(), "{}", String::from_utf8_lossy(&theirs.stdout));
        let closed = log.segments.closed().unwrap();
        let (_, middle) = &closed[1];
        let kept = fs::read(middle).unwrap();
        fs::remove_file(middle).unwrap();
        let found = log.verify(None).unwrap();
        assert!(found.faults.iter().any(|fault| fault.what.contains("missing")), "{found:?}");
        fs::write(middle, kept).unwrap();
        assert!(log.verify(Some(&key)).unwrap().is_sound());
        // A crash between closing one and beginning the next, and one in its first line.
        let number = closed.len() as u64;
        fs::rename(log.segments.active(), log.segments.dir().join(format!("log.{number:06}.jsonl"))).unwrap();
        assert!(log.verify(Some(&key)).unwrap().is_sound());
        fs::write(log.segments.active(), "{\"pre").unwrap();
        log.append(None, failed("on"), Durability::Synced).unwrap();
        let found = log.verify(Some(&key)).unwrap();
        assert_eq!((found.records, found.torn.len(), found.is_sound()), (41, 1, true), "{found:?}");
    }
}

#[test]
fn the_first_key_is_gone_at_once_and_every_key_with_its_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let log = AuditLog::new(dir.path());
    let first = log.set_up_key().unwrap();
    assert!(log.set_up_key().is_err(), "one key for one log");
    let mut seen = BTreeSet::from([first.clone()]);
    for n in 0..5 {
        let present = log.key.load().unwrap().unwrap();
        assert!(seen.insert(present.text()), "the key of epoch {} was there before", present.epoch);
        log.append(None, failed(format!("{n}")), Durability::Synced).unwrap();
    }
    assert!(log.verify(Some(&first)).unwrap().is_sound());
    let other = Key::random().unwrap().text();
    assert!(!log.verify(Some(&other)).unwrap().is_sound());
    assert!(matches!(log.verify(Some("12")), Err(AuditError::NoKey)));
}

/// Somebody who has the machine, and so the present key, rewrites everything from one line on.
#[test]
fn what_was_sealed_before_the_machine_was_taken_cannot_be_rewritten() {
    let dir = tempfile::tempdir().unwrap();
    let log = AuditLog::new(dir.path());
    let first = log.set_up_key().unwrap();
    for n in 0..10 {
        log.append(None, failed(format!("no. {n}")), Durability::Synced).unwrap();
    }
    let stolen = fs::read(log.key.path()).unwrap();
    let active = log.segments.active();
    let text = fs::read_to_string(&active).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for keep in 0..lines.len() {
        // Cut, and gone on with in the stolen key's name, or with a key of one's own, or with none.
        for key in ["stolen", "own", "none"] {
            let kept: String = lines[..keep].iter().map(|line| format!("{line}\n")).collect();
            fs::write(&active, kept).unwrap();
            match key {
                "stolen" => fs::write(log.key.path(), &stolen).unwrap(),
                "own" => {
                    let epoch = lines[..keep].iter().filter(|line| line.contains("checkpoint")).count() as u64;
                    fs::remove_file(log.key.path()).unwrap();
                    log.key.create(&Key::random().unwrap().forward(epoch)).unwrap();
                }
                _ => fs::remove_file(log.key.path()).unwrap(),
            }
            let cut = log.verify(Some(&first)).unwrap();
            assert!(!cut.is_sound(), "cut at {keep} with {key}");
            log.append(None, failed("nothing happened"), Durability::Synced).unwrap();
            let forged = log.verify(Some(&first)).unwrap();
            assert!(!forged.is_sound(), "forged from {keep} with {key}");
            fs::write(log.key.path(), &stolen).unwrap();
        }
    }
    fs::write(&active, &text).unwrap();
    assert!(log.verify(Some(&first)).unwrap().is_sound());
}

#[test]
fn secrets_are_replaced_before_they_are_hashed() {
    let (_dir, log) = log(0);
    let text = "clone https://me:hunter2000@example.org failed: hunter2000 is wrong";
    log.append(None, failed(text), Durability::Lazy).unwrap();
    let bytes = fs::read_to_string(log.segments.active()).unwrap();
    assert!(bytes.contains("me:[redacted:url-password]@example.org failed: [redacted:known] is wrong"), "{bytes}");
    assert!(log.verify(None).unwrap().is_sound());
}

/// A log in memory, cut into its segments.
#[derive(Clone)]
struct Held {
    /// Number of the segment, and the line.
    lines: Vec<(u64, Rc<Vec<u8>>)>,
}

impl Held {
    fn of(log: &AuditLog) -> Held {
        let mut held = Vec::new();
        for (number, path, bytes) in log.segments.snapshot().unwrap() {
            lines(&path, bytes, |line, _| held.push((number, Rc::new(line.to_vec())))).unwrap();
        }
        Held { lines: held }
    }
}

/// A verification that has come to line `at`.
struct Resumed {
    at: usize,
    verifier: Verifier,
    segment: Option<u64>,
}

impl Resumed {
    fn line(&mut self, (segment, line): &(u64, Rc<Vec<u8>>)) {
        if self.segment != Some(*segment) {
            self.verifier.begin(*segment, Path::new("log"));
            self.segment = Some(*segment);
        }
        self.verifier.line(line);
        self.at += 1;
    }

    fn again(&self) -> Resumed {
        Resumed { at: self.at, verifier: self.verifier.clone(), segment: self.segment }
    }

    /// Goes on as far as anything is wrong, or to the end: whether something was, and the head.
    fn finish(mut self, lines: &[(u64, Rc<Vec<u8>>)], torn: usize) -> (bool, String) {
        for line in lines.iter().skip(self.at) {
            self.line(line);
            if !self.verifier.so_far().is_sound() {
                return (true, String::new());
            }
        }
        let found = self.verifier.finish();
        (found.torn.len() > torn, found.head)
    }
}

/// Changes `lines` at random behind `from`; what was done, and whether it is a mere cut of the end.
fn tamper(lines: &mut Vec<(u64, Rc<Vec<u8>>)>, random: &mut Random) -> (usize, String, bool) {
    let at = random.below(lines.len());
    let last = lines.len() - 1;
    match random.below(6) {
        0 => {
            let byte = random.below(lines[at].1.len());
            let old = lines[at].1[byte];
            let new = old ^ (1 << random.below(8)) as u8;
            Rc::make_mut(&mut lines[at].1)[byte] = new;
            // A newline makes two lines of one.
            if new == b'\n' {
                let (segment, line) = lines[at].clone();
                let (one, two) = (line[..byte].to_vec(), line[byte + 1..].to_vec());
                lines.splice(at..=at, [(segment, Rc::new(one)), (segment, Rc::new(two))]);
            }
            (at, format!("byte {byte} of line {at} is no {old:#x} any more"), false)
        }
        1 => {
            let many = 1 + random.below(3);
            lines.drain(at..(at + many).min(last + 1));
            (at, format!("{many} dropped at {at}"), at + many > last)
        }
        2 => {
            let other = if random.below(2) == 0 { (at + 1) % lines.len() } else { random.below(lines.len()) };
            let (a, b) = (at.min(other), at.max(other));
            let (first, second) = (lines[a].1.clone(), lines[b].1.clone());
            lines[a].1 = second;
            lines[b].1 = first;
            // One line swapped with itself is no tampering.
            if a == b { tamper(lines, random) } else { (a, format!("{a} and {b} swapped"), false) }
        }
        3 => {
            let to = if random.below(2) == 0 { at + 1 } else { random.below(lines.len()) };
            let mut copy = lines[at].clone();
            copy.0 = lines[to.min(last)].0;
            lines.insert(to, copy);
            (at.min(to), format!("{at} doubled at {to}"), false)
        }
        4 => {
            let byte = random.below(lines[at].1.len());
            Rc::make_mut(&mut lines[at].1).truncate(byte);
            (at, format!("line {at} ends at byte {byte}"), at == last && byte == 0)
        }
        _ => {
            lines.truncate(at.max(1));
            (at.max(1), format!("cut at line {at}"), true)
        }
    }
}

/// More of it: `BELLJAR_AUDIT_LINES=100000 BELLJAR_AUDIT_EDITS=10000 cargo nextest run --release -p belljar-engine every_edit`.
#[test]
fn every_edit_drop_swap_duplication_and_truncation_is_found() {
    let (count, edits) = (setting("BELLJAR_AUDIT_LINES", 3000) as usize, setting("BELLJAR_AUDIT_EDITS", 400));
    let dir = tempfile::tempdir().unwrap();
    let log = AuditLog::rotating(dir.path(), by_size(count as u64 * 25));
    let mut random = Random(7);
    while log.segments.closed().unwrap().len() < 4 && random.0 != 0 {
        for _ in 0..count / 40 {
            let sync = if random.below(200) == 0 { Durability::Synced } else { Durability::Lazy };
            let text = "word ".repeat(random.below(8));
            log.append(None, failed(format!("{text} of {}", random.below(count))), sync).unwrap();
        }
        // A crash now and then.
        let mut active = fs::OpenOptions::new().append(true).open(log.segments.active()).unwrap();
        let head = hex(&Tail::read(&log.segments, &mut log.segments.open().unwrap()).unwrap().head);
        write!(active, "{{\"prev\":\"{head}\",\"seq\":").unwrap();
    }
    while Held::of(&log).lines.len() < count {
        for _ in 0..count / 10 {
            log.append(None, failed(format!("more {}", random.below(count))), Durability::Lazy).unwrap();
        }
    }
    drop(log);
    let log = AuditLog::new(dir.path());
    let found = log.verify(None).unwrap();
    assert!(found.is_sound() && !found.torn.is_empty() && found.segments > 4, "{found:?}");
    let held = Held::of(&log);
    let mut marks = vec![Resumed { at: 0, verifier: Verifier::new(None), segment: None }];
    let mut walk = marks[0].again();
    for line in &held.lines {
        walk.line(line);
        if walk.at.is_multiple_of(500) {
            marks.push(walk.again());
        }
    }
    let (mut unseen, mut kinds) = (0, BTreeMap::<String, u32>::new());
    for edit in 0..edits {
        let mut lines = held.lines.clone();
        let (at, what, is_cut) = tamper(&mut lines, &mut random);
        // What stands before the edit is as it was: that part of the way is gone once for all.
        let from = marks.iter().rev().find(|mark| mark.at <= at).unwrap().again();
        let (broken, head) = from.finish(&lines, found.torn.len());
        assert!(broken || head != found.head, "edit {edit}, with the head: {what}");
        assert!(broken || is_cut, "edit {edit}, without the head: {what}");
        unseen += u32::from(!broken);
        let kind: String = what.chars().filter(|c| c.is_ascii_alphabetic() || *c == ' ').collect();
        *kinds.entry(kind).or_default() += 1;
        if edit % (edits / 8).max(50) == 0 && !broken {
            // The same from the disk, by the whole way: what costs most where there are many lines.
            let copy = tempfile::tempdir().unwrap();
            fs::create_dir(copy.path().join("audit")).unwrap();
            for number in 0..found.segments {
                let of = |line: &&(u64, Rc<Vec<u8>>)| line.0 == number;
                let bytes =
                    lines.iter().filter(of).map(|(_, line)| [line.as_slice(), b"\n"].concat()).collect::<Vec<_>>();
                let name =
                    if number + 1 == found.segments { "log.jsonl".into() } else { format!("log.{number:06}.jsonl") };
                if !bytes.is_empty() {
                    fs::write(copy.path().join("audit").join(name), bytes.concat()).unwrap();
                }
            }
            assert_eq!(AuditLog::new(copy.path()).verify(None).unwrap().head, head, "{what}");
        }
    }
    eprintln!(
        "{edits} edits of {} lines: {unseen} cuts of the end seen by the head alone; {kinds:?}",
        held.lines.len()
    );
    assert!(unseen > 0, "some cut of the end is to be seen by the head alone");
}

/// What a child of the next test does: it appends, and says so when it was told that the record is there.
#[test]
fn appender() {
    let Some(dir) = std::env::var_os("BELLJAR_TEST_APPENDER") else { return };
    let log = AuditLog::rotating(Path::new(&dir), by_size(100_000));
    for n in 0_u32.. {
        let name = format!("{}-{n}", std::process::id());
        let sync = if n.is_multiple_of(4) { Durability::Synced } else { Durability::Lazy };
        log.append(None, failed(name.clone()), sync).unwrap();
        io::stdout().write_all(format!("ack {name}\n").as_bytes()).unwrap();
    }
}

fn spawn_appender(dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "audit::tests::appender", "--nocapture"]).env("BELLJAR_TEST_APPENDER", dir);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn bytes_of(state: &Path) -> u64 {
    let segments = AuditLog::new(state).segments.snapshot().unwrap();
    segments.iter().map(|(.., bytes)| bytes).sum()
}

/// kill -9 of several that append at once: what was acknowledged is there once, and nothing looks like tampering.
#[test]
fn appenders_killed_at_random_lose_nothing_and_raise_no_alarm() {
    const AT_ONCE: usize = 3;
    let (kills, mut random) = (setting("BELLJAR_KILLS", 24) as usize, Random(3));
    let (mut done, mut torn, mut acknowledged) = (0, 0, 0);
    while done < kills {
        let dir = tempfile::tempdir().unwrap();
        let key = AuditLog::new(dir.path()).set_up_key().unwrap();
        let mut acks: Vec<String> = Vec::new();
        for _ in 0..8 {
            let before = bytes_of(dir.path());
            let mut children: Vec<Child> = (0..AT_ONCE).map(|_| spawn_appender(dir.path())).collect();
            // However slow the machine is, they have begun.
            let start = std::time::Instant::now();
            while bytes_of(dir.path()) == before && start.elapsed() < Duration::from_secs(30) {
                std::thread::sleep(Duration::from_micros(200));
            }
            std::thread::sleep(Duration::from_micros(random.below(30_000) as u64));
            for child in &mut children {
                std::thread::sleep(Duration::from_micros(random.below(2000) as u64));
                child.kill().unwrap();
            }
            for mut child in children {
                child.wait().unwrap();
                let output = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
                acks.extend(output.filter_map(|line| Some(line.split_once("ack ")?.1.to_owned())));
            }
            done += AT_ONCE;
            let found = AuditLog::new(dir.path()).verify(Some(&key)).unwrap();
            assert!(found.is_sound(), "after {done} kills: {found:?}");
            torn += found.torn.len();
        }
        let mut seen = BTreeMap::<String, u32>::new();
        let note = |record: AuditRecord| {
            if let Stage::Failed { error } = record.stage {
                *seen.entry(error).or_default() += 1;
            }
        };
        AuditLog::new(dir.path()).read(note).unwrap();
        assert!(acks.iter().all(|ack| seen.get(ack) == Some(&1)), "one was lost or doubled");
        acknowledged += acks.len();
    }
    eprintln!("{done} kills: {acknowledged} acknowledged records, all there; torn lines reported {torn} times");
    assert!(acknowledged > 0, "too few of them got to work");
}
