//! The real bash, many texts in one process: each is run by `eval` in a subshell of its own.
//!
//! A text that does not come to its end there (an error in an expansion ends a subshell, but not a bash that was given the
//! text) runs once more in a bash of its own.
//!
//! One bash in fresh user, mount, PID and network namespaces forks for every text, which costs a fraction of starting a
//! new one. PATH holds nothing, and a handler writes down what would be started. A text that does not come to its end is
//! ended together with the whole namespace, and the rest goes on in a new one.

use crate::random::Random;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Each text runs with programs that all succeed, that all fail, and of which some fail, by name, while each prints a
/// word: what a substitution gives then becomes a command or an argument.
const KINDS: usize = 3;

/// How long one text may take. The processor time of each process is bounded besides.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long one namespace may live: a text may leave something behind that forks on while later ones still get on.
const LIFETIME: Duration = Duration::from_secs(40);

/// Texts for one namespace: each has its own directories, made before.
pub(crate) const BATCH: usize = 1000;

/// What one text did over all kinds of programs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ran {
    /// Argument vectors that bash would have started.
    pub(crate) starts: Vec<Vec<String>>,
    /// Names of files it made in its working directory.
    pub(crate) files: Vec<String>,
    /// It was ended by force; what is here is what it did until then.
    pub(crate) stopped: bool,
}

/// A start is recorded at once and with the number of its case in front: a background job may write late.
const RUNNER: &str = r#"
mount -t tmpfs none "$WORK" && cd "$WORK" && mkdir $(seq 0 "$((COUNT - 1))") || exit 9
exec 8<"$OUT/texts" 9>&1
command_not_found_handle() {
  builtin printf '%s\0' ==CASE== "$belljar_case" "$#" "$@" >>"$belljar_out/starts"
  case $belljar_kind in
    1) return 1;;
    2) [[ -z $1 ]] || builtin printf 'cy\n'; case $1 in *[acegikmoqsuwy]) return 1;; esac;;
  esac
  return 0
}
export -f command_not_found_handle
readonly belljar_out=$OUT
export HOME=/home/user PATH=/nonexistent
unset WORK COUNT OUT
belljar_n=0
while IFS= read -r -d '' belljar_text; do
  for belljar_kind in 0 1 2; do
    builtin printf '%s\n' "$belljar_n" >&9
    cd "$belljar_n"
    (
      readonly belljar_case=$belljar_n belljar_kind
      unset OLDPWD; FUNCNEST=40
      exec 8<&- 9>&-
      ulimit -t 1 -f 2000
      eval "$belljar_text"
      builtin exit 77
    ) </dev/null >/dev/null 2>&1
    [[ $? == 77 ]] || (
      export belljar_case=$belljar_n belljar_kind belljar_out FUNCNEST=40
      unset OLDPWD belljar_n
      exec 8<&- 9>&-
      ulimit -t 1 -f 2000
      exec /bin/bash --norc --noprofile -c "$belljar_text"
    ) </dev/null >/dev/null 2>&1
    cd ..
    ((++belljar_n))
  done
done <&8
/bin/sleep 0.2
shopt -s nullglob dotglob
for belljar_n in */*; do builtin printf '%s\0' "$belljar_n"; done >"$belljar_out/files"
"#;

/// What bash did with each text. `None` without the right to make namespaces.
pub(crate) fn run(texts: &[String]) -> Option<Vec<Ran>> {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let out = std::env::temp_dir().join(format!("belljar-differential-{}-{run}", std::process::id()));
    std::fs::create_dir_all(out.join("work")).unwrap();
    let mut all: Vec<Ran> = Vec::new();
    let mut worked = true;
    while all.len() < texts.len() && worked {
        let batch = &texts[all.len()..texts.len().min(all.len() + BATCH)];
        let done = in_namespace(batch, &out);
        worked = !done.is_empty();
        all.extend(done);
    }
    std::fs::remove_dir_all(&out).unwrap();
    worked.then_some(all)
}

/// Runs texts up to the first that does not end. Nothing where no namespace could be made.
fn in_namespace(texts: &[String], out: &Path) -> Vec<Ran> {
    let input: Vec<u8> = texts.iter().flat_map(|text| text.bytes().chain([0])).collect();
    std::fs::write(out.join("texts"), input).unwrap();
    for name in ["starts", "files"] {
        std::fs::write(out.join(name), "").unwrap();
    }
    let mut child = start(texts.len() * KINDS, out);
    let progress = progress_of(&mut child);
    let mut begun = None;
    let born = Instant::now();
    let stopped = loop {
        if born.elapsed() > LIFETIME {
            break true;
        }
        match progress.recv_timeout(PATIENCE) {
            Ok(case) => begun = Some(case),
            Err(RecvTimeoutError::Timeout) => break true,
            Err(RecvTimeoutError::Disconnected) => break false,
        }
    };
    if stopped {
        child.kill().unwrap();
    }
    let ended = child.wait().unwrap();
    let Some(last) = begun.map(|case: usize| case / KINDS) else { return Vec::new() };
    assert!(stopped || (ended.success() && last + 1 == texts.len()), "the referee ended early: {ended}");
    let mut all = vec![Ran::default(); last + 1];
    all[last].stopped = stopped;
    note_starts(&std::fs::read(out.join("starts")).unwrap(), &mut all);
    note_files(&std::fs::read(out.join("files")).unwrap(), &mut all);
    all
}

fn start(cases: usize, out: &Path) -> Child {
    Command::new("unshare")
        .args(["--map-root-user", "-m", "-n", "-p", "-f", "--kill-child=KILL", "--mount-proc"])
        .args(["/bin/bash", "--norc", "--noprofile", "-c", RUNNER])
        .env("WORK", out.join("work"))
        .env("OUT", out)
        .env("COUNT", cases.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn progress_of(child: &mut Child) -> Receiver<usize> {
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for line in stdout.lines() {
            let Some(case) = line.ok().and_then(|line| line.parse().ok()) else { return };
            if send.send(case).is_err() {
                return;
            }
        }
    });
    receive
}

fn words(raw: &[u8]) -> Vec<String> {
    raw.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// A record that a killed process did not finish is left out.
fn note_starts(raw: &[u8], all: &mut [Ran]) {
    for record in words(raw).split(|word| word == "==CASE==").skip(1) {
        let [case, count, argv @ ..] = record else { continue };
        let (Ok(case), Ok(count)) = (case.parse::<usize>(), count.parse::<usize>()) else { continue };
        // The last record has the empty piece behind the last NUL.
        let (Some(argv), Some(ran)) = (argv.get(..count), all.get_mut(case / KINDS)) else { continue };
        if !ran.starts.iter().any(|other| other == argv) {
            ran.starts.push(argv.to_vec());
        }
    }
}

fn note_files(raw: &[u8], all: &mut [Ran]) {
    for path in words(raw) {
        let Some((case, name)) = path.split_once('/') else { continue };
        let Some(ran) = case.parse::<usize>().ok().and_then(|case| all.get_mut(case / KINDS)) else { continue };
        if !ran.files.iter().any(|other| other == name) {
            ran.files.push(name.to_owned());
        }
    }
}

/// `eval` in a subshell is bash as it is when it is given a text: the same texts, each in a bash of its own.
#[test]
fn many_texts_in_one_bash_run_as_each_in_its_own() {
    let mut random = Random(7);
    let mut texts: Vec<String> = crate::KNOWN.iter().map(|text| (*text).to_owned()).collect();
    texts.extend((0..60).map(|_| crate::generate::text(&mut random).0));
    // Which descriptor or process number comes next depends on the process.
    texts.retain(|text| !text.contains("<(") && !text.contains(">("));
    let quoted = |text: &String| format!("/bin/bash --norc --noprofile -c '{}'", text.replace('\'', "'\\''"));
    let own: Vec<String> =
        texts.iter().map(|text| format!("export belljar_out belljar_case belljar_kind\n{}", quoted(text))).collect();
    let (Some(together), Some(alone)) = (run(&texts), run(&own)) else { return };
    for ((text, a), b) in texts.iter().zip(&together).zip(&alone) {
        let sorted = |ran: &Ran| {
            let mut starts = ran.starts.clone();
            starts.sort();
            let mut files = ran.files.clone();
            files.sort();
            (starts, files)
        };
        assert_eq!(sorted(a), sorted(b), "{text:?}");
    }
}
