//! The real bash, once for many texts: a fork server waits where bash is set up and has not read its command yet.
//!
//! It lives in fresh user, mount, PID and network namespaces, on a root of its own where nothing but bash and its libraries
//! is. PATH holds nothing. What would be started is written down by a handler, or by functions of the usual names,
//! which saves a fork for each. On request a text gets a bash of its own instead, which has the handler only: that is the
//! referee proper, and whatever the fork server reports is asked of it again.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

/// The longest text.
const ROOM: usize = 60_000;

/// A namespace is left after so many texts: they may have left files outside of the working directory.
const TEXTS_MAX: usize = 20_000;

/// How a text is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    /// By a fork of a bash that waits, with one kind of programs or all.
    Forked(Option<u64>),
    /// By `bash -c` of its own.
    Own,
}

/// What one text did over all kinds of programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ran {
    /// Argument vectors that bash would have started.
    pub(crate) starts: Vec<Vec<String>>,
    /// Names of files it made in its working directory.
    pub(crate) files: Vec<String>,
    /// It was ended by force; what is here is what it did until then.
    pub(crate) stopped: bool,
}

/// Names that have functions; `cd` is a builtin. Other names are found by the handler.
fn names() -> impl Iterator<Item = String> {
    ('a'..='z').filter(|letter| *letter != 'd').map(|letter| format!("c{letter}")).chain(["cd1".to_owned()])
}

const HANDLER: &str = r#"() {
  builtin printf '%s\0' ==RAN== "$#" "$@" >>/.starts
  case $belljar_kind in
    1) return 1;;
    2) [[ -z $1 ]] || builtin printf 'cy\n'; case $1 in *[acegikmoqsuwy]) return 1;; esac;;
  esac
  return 0
}"#;

fn function(name: &str) -> String {
    let some_fail = u8::from(name.ends_with(|last| "acegikmoqsuwy".contains(last)));
    format!(
        r#"() {{
  builtin printf '%s\0' ==RAN== "$(($#+1))" {name} "$@" >>/.starts
  case $belljar_kind in 1) return 1;; 2) builtin printf 'cy\n'; return {some_fail};; esac
  return 0
}}"#
    )
}

/// Makes the root. The last argument has room for the texts.
const SETUP: &str = r#"
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t tmpfs none "$ROOT" && cd "$ROOT" && mkdir usr dev proc etc w w/project || exit 9
echo root:x:0:0:root:/root:/bin/bash >etc/passwd
for d in bin lib lib64; do
  if [[ -L /$d ]]; then command cp -P /$d .; elif [[ -d /$d ]]; then mkdir $d; mount --bind /$d $d && mount -o remount,bind,ro $d; fi
done
mount --bind /usr usr && mount -o remount,bind,ro usr && mount --rbind /proc proc || exit 9
: >dev/null
mount --bind /dev/null dev/null || exit 9
ln -s /proc/self/fd dev/fd; ln -s fd/0 dev/stdin; ln -s fd/1 dev/stdout; ln -s fd/2 dev/stderr
command cp "$LIBRARY" .fork_server.so || exit 9
for kind in 0 1 2; do echo "readonly belljar_kind=$kind; unset OLDPWD BASH_ENV LD_PRELOAD LD_BIND_NOW; : bash" >.kind$kind; done
unset LIBRARY ROOT
exec chroot . /bin/bash --norc --noprofile -c 'cd /w/project && export PATH=/nonexistent LD_BIND_NOW=1 LD_PRELOAD=/.fork_server.so \
  BASH_ENV=/.belljar && exec -a bash /bin/bash --norc --noprofile -c -- "$1"' setup "$1"
"#;

/// The library that makes bash a fork server; `None` without a C compiler.
fn library() -> Option<&'static PathBuf> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("differential-{}", std::process::id()));
        std::fs::create_dir_all(place.join("root")).ok()?;
        let (source, library) = (place.join("fork_server.c"), place.join("fork_server.so"));
        std::fs::write(&source, include_str!("fork_server.c")).ok()?;
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-w", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
        cc.status().ok()?.success().then_some(library)
    };
    LIBRARY.get_or_init(build).as_ref()
}

/// One bash in its namespaces.
struct Server {
    child: Child,
    requests: ChildStdin,
    answers: ChildStdout,
}

impl Server {
    fn start() -> Option<Server> {
        let library = library()?;
        let mut command = Command::new("unshare");
        command
            .args(["--map-root-user", "-m", "-n", "-i", "-p", "-f", "--kill-child=KILL", "--mount-proc"])
            .args(["/bin/bash", "--norc", "--noprofile", "-c", SETUP, "setup", &"x".repeat(ROOM)])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", "/home/user")
            .env("FUNCNEST", "40")
            .env("LIBRARY", library)
            .env("ROOT", library.with_file_name("root"))
            .env("BASH_FUNC_command_not_found_handle%%", HANDLER);
        for name in names() {
            command.env(format!("BASH_FUNC_{name}%%"), function(&name));
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
        let (requests, answers) = (child.stdin.take()?, child.stdout.take()?);
        let mut server = Server { child, requests, answers };
        // The first answer tells whether there is a right to all of this.
        server.ask(":", 1, Shell::Own)?;
        Some(server)
    }

    fn ask(&mut self, text: &str, kinds: u32, shell: Shell) -> Option<Ran> {
        let length = u32::try_from(text.len()).ok()?;
        let mut request = Vec::with_capacity(text.len() + 12);
        for number in [kinds, u32::from(shell == Shell::Own), length] {
            request.extend(number.to_ne_bytes());
        }
        request.extend(text.as_bytes());
        self.requests.write_all(&request).ok()?;
        let stopped = self.number()? != 0;
        let (starts, files) = (self.block()?, self.block()?);
        let mut ran = Ran { stopped, ..Ran::default() };
        note_starts(&starts, &mut ran.starts);
        for name in words(&files).into_iter().filter(|name| !name.is_empty()) {
            if !ran.files.contains(&name) {
                ran.files.push(name);
            }
        }
        Some(ran)
    }

    fn number(&mut self) -> Option<u32> {
        let mut bytes = [0; 4];
        self.answers.read_exact(&mut bytes).ok()?;
        Some(u32::from_ne_bytes(bytes))
    }

    fn block(&mut self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.number()?).ok()?];
        self.answers.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A bash that is started anew where a text ended it.
pub(crate) struct Referee {
    server: Server,
    texts: usize,
}

impl Referee {
    /// `None` without the right to make namespaces, or without a C compiler.
    pub(crate) fn new() -> Option<Referee> {
        Some(Referee { server: Server::start()?, texts: 0 })
    }

    /// What bash does with `text`.
    pub(crate) fn run(&mut self, text: &str, shell: Shell) -> Ran {
        // An argument ends at the first NUL.
        let text = text.split('\0').next().unwrap_or("");
        self.texts += 1;
        if self.texts > TEXTS_MAX {
            self.renew();
        }
        if let Some(ran) = self.server.ask(text, kinds(text, shell), shell) {
            return ran;
        }
        self.renew();
        Ran { stopped: true, ..Ran::default() }
    }

    fn renew(&mut self) {
        self.server = Server::start().unwrap();
        self.texts = 0;
    }
}

/// Which kinds of programs make a difference for a text: 0 all succeed, 1 all fail, 2 some fail, by name, and each prints
/// a word: what a substitution gives then becomes a command or an argument.
fn kinds(text: &str, shell: Shell) -> u32 {
    let has = |any: &[&str]| any.iter().any(|piece| text.contains(piece));
    let able: &[u32] = if has(&["&&", "||", "if", "while", "until", "?", "-e", "ERR", "errexit", "\\", "$'"]) {
        &[0b100, 0b001, 0b010]
    } else if has(&["(", "`", "|", "coproc", "read", "mapfile"]) {
        &[0b100, 0b001]
    } else {
        &[0b100]
    };
    match shell {
        Shell::Forked(Some(number)) => {
            let one = usize::try_from(number).ok().and_then(|number| able.get(number % able.len()));
            one.copied().unwrap_or(0b100)
        }
        _ => able.iter().sum(),
    }
}

fn words(raw: &[u8]) -> Vec<String> {
    raw.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// A record that a killed process did not finish is left out.
fn note_starts(raw: &[u8], starts: &mut Vec<Vec<String>>) {
    for record in words(raw).split(|word| word == "==RAN==").skip(1) {
        let [count, argv @ ..] = record else { continue };
        // The last record has the empty piece behind the last NUL.
        let Some(argv) = count.parse::<usize>().ok().and_then(|count| argv.get(..count)) else { continue };
        if !starts.iter().any(|other| other == argv) {
            starts.push(argv.to_vec());
        }
    }
}

/// The fork server records what a bash of its own records.
#[test]
fn many_texts_in_one_bash_run_as_each_in_its_own() {
    let mut referee = Referee::new().expect("the right to make namespaces with unshare(1), and a C compiler");
    let texts = crate::number("BELLJAR_SAME").unwrap_or(300);
    let mut random = testkit::Random(crate::number("BELLJAR_SEED").unwrap_or(7));
    // The number of the process is its own.
    let texts = (0..texts).map(|_| crate::generate::text(&mut random).0).filter(|text| !text.contains("$$"));
    let known = crate::KNOWN.iter().map(|text| (*text).to_owned());
    let mut different = String::new();
    let (mut count, mut unlike) = (0, 0);
    for text in known.chain(texts) {
        let sorted = |mut ran: Ran| {
            ran.starts.iter_mut().flatten().for_each(|word| *word = crate::compare::without_numbers(word));
            ran.starts.sort();
            ran.files.sort();
            ran
        };
        let (together, alone) =
            (sorted(referee.run(&text, Shell::Forked(None))), sorted(referee.run(&text, Shell::Own)));
        count += 1;
        if together != alone && !together.stopped && !alone.stopped {
            unlike += 1;
            writeln!(different, "{text:?}\n  {together:?}\n  {alone:?}").unwrap();
        }
    }
    eprintln!("{count} texts, {unlike} ran differently");
    assert!(different.is_empty(), "{different}");
}
