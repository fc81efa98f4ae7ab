//! A real terminal: Ctrl-C, Ctrl-Z and fg, job control in an interactive shell, the foreground given back.

use crate::world::{User, World};
use crate::{Scene, scene};
use nix::pty::openpty;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub fn scenes(world: &World) -> Vec<Scene> {
    let mut scenes = Vec::new();
    for user in world.users() {
        let named = |name: &str| format!("terminal/{user:?}/{name}");
        scenes.push(scene(named("the terminal is one"), move |world| {
            let mut terminal = Terminal::open(
                world,
                user,
                &["sh", "-c", "test -t 0 && test -t 1 && tty && stty size < /dev/tty && echo done"],
            );
            terminal.expect("done");
            assert!(terminal.text().contains("/dev/console"), "{}", terminal.text());
        }));
        scenes.push(scene(named("Ctrl-C ends the command and it alone decides"), move |world| {
            let mut terminal = Terminal::shell(world, user);
            terminal.type_line("$JAR sh -c 'trap \"echo caught; exit 9\" INT; echo up; sleep 5 & wait'; echo code=$?");
            terminal.expect("up\r\n");
            terminal.press(b"\x03");
            terminal.expect("caught");
            terminal.expect("code=9");
        }));
        scenes.push(scene(named("Ctrl-Z stops the job and fg resumes it"), move |world| {
            let mut terminal = Terminal::shell(world, user);
            terminal.type_line("$JAR sh -c 'echo up; read x; echo got-$x'");
            terminal.expect("up\r\n");
            terminal.press(b"\x1a");
            terminal.expect("Stopped");
            terminal.type_line("jobs; echo here-$((40+2))");
            terminal.expect("here-42");
            terminal.type_line("fg");
            std::thread::sleep(Duration::from_millis(200));
            terminal.type_line("word");
            terminal.expect("got-word");
        }));
        scenes.push(scene(named("a command that stops itself stops the job"), move |world| {
            let mut terminal = Terminal::shell(world, user);
            terminal.type_line("$JAR sh -c 'kill -STOP $$; echo resumed-$((1+1))'");
            terminal.expect("Stopped");
            terminal.type_line("fg");
            terminal.expect("resumed-2");
        }));
        scenes.push(scene(named("job control in an interactive shell inside"), move |world| {
            let mut terminal = Terminal::shell(world, user);
            terminal.type_line("$JAR bash --norc -i");
            terminal.type_line("PS1='in''side> '; echo shell-$((6*7))");
            terminal.expect("shell-42");
            assert!(!terminal.text().contains("no job control"), "{}", terminal.text());
            terminal.type_line("sleep 100");
            std::thread::sleep(Duration::from_millis(300));
            terminal.press(b"\x1a");
            terminal.expect("Stopped");
            terminal.type_line("jobs; kill %1; wait; echo killed-$((3*5))");
            terminal.expect("killed-15");
            terminal.type_line("sleep 100");
            std::thread::sleep(Duration::from_millis(300));
            terminal.press(b"\x03");
            terminal.type_line("echo interrupted=$?");
            terminal.expect("interrupted=130");
            terminal.type_line("exit 3");
            terminal.type_line("echo outer=$?; read y; echo y=$y");
            terminal.expect("outer=3");
            terminal.type_line("back");
            terminal.expect("y=back");
        }));
    }
    scenes
}

/// The far end of a pseudo-terminal.
struct Terminal {
    child: Child,
    master: File,
    seen: Arc<Mutex<String>>,
    /// What has been matched already.
    from: usize,
}

/// Longest wait for something to appear.
const PATIENCE: Duration = Duration::from_secs(8);

impl Terminal {
    /// A command in a jar, in a session of its own with this terminal.
    fn open(world: &World, user: User, argv: &[&str]) -> Terminal {
        Terminal::start(&world.jar(user).command(argv), &[])
    }

    /// An interactive shell without a jar, in which `$JAR` runs one.
    fn shell(world: &World, user: User) -> Terminal {
        let jar = world.jar(user).env("TERM", "dumb").command(&[]);
        let quoted: Vec<String> =
            jar.get_args().map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''"))).collect();
        let line = format!("{} {}", jar.get_program().to_str().unwrap(), quoted.join(" "));
        let mut shell = Command::new("bash");
        shell.args(["--norc", "-i"]);
        let mut terminal = Terminal::start(&shell, &[("HISTFILE", "/dev/null"), ("TERM", "dumb")]);
        let (path, setup) = (
            world.path("setup.sh"),
            format!("JAR='run_jar'; run_jar() {{ {line} \"$@\"; }}\nbind 'set enable-bracketed-paste off'\n"),
        );
        std::fs::write(&path, setup).unwrap();
        terminal.type_line(&format!(". {}; echo re''ady", path.display()));
        terminal.expect("ready");
        terminal
    }

    fn start(command: &Command, env: &[(&str, &str)]) -> Terminal {
        let pair = openpty(None, None).unwrap();
        let mut child = Command::new("setsid");
        child.args(["-c", "-w"]).arg(command.get_program()).args(command.get_args());
        child.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        child.env("PATH", "/usr/local/bin:/usr/bin:/bin").envs(env.iter().copied()).current_dir("/");
        let slave = || Stdio::from(pair.slave.try_clone().unwrap());
        let child = child.stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap();
        drop(pair.slave);
        let master = File::from(pair.master);
        let seen = Arc::new(Mutex::new(String::new()));
        let (mut reader, sink) = (master.try_clone().unwrap(), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut bytes) {
                sink.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
        });
        Terminal { child, master, seen, from: 0 }
    }

    fn text(&self) -> String {
        self.seen.lock().unwrap().clone()
    }

    fn press(&mut self, bytes: &[u8]) {
        self.master.write_all(bytes).unwrap();
    }

    fn type_line(&mut self, line: &str) {
        self.press(line.as_bytes());
        self.press(b"\n");
    }

    #[track_caller]
    fn expect(&mut self, words: &str) {
        let begin = Instant::now();
        loop {
            let text = self.text();
            // Typed lines are echoed; what is waited for is written so that the echo does not contain it.
            if let Some(at) = text[self.from..].find(words) {
                self.from += at + words.len();
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "waited for {words:?}: {text:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
