//! Jars described from places: roots, hidden paths, environment, and the places no jar is made for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use belljar_policy::{ConfineError, ConfineRequest, ROOTS_MAX, confine};
use model::{Confinement, FilePath, Network, Place, RootKind};
use proptest::prelude::*;
use std::ffi::OsString;

fn place(home: &str, workspace: &str) -> Place {
    Place {
        cwd: workspace.into(),
        home: home.into(),
        workspace: workspace.into(),
        state: FilePath::from(home).join(".local/state/belljar"),
        uid: 1000,
        contained: true,
    }
}

fn request(workspace: &str) -> ConfineRequest<'static> {
    ConfineRequest { cwd: workspace.into(), ..ConfineRequest::default() }
}

fn roots(home: &str, workspace: &str) -> Vec<(String, RootKind)> {
    let confinement = confine(&place(home, workspace), &request(workspace)).unwrap();
    confinement.roots.iter().map(|root| (root.path.to_string(), root.kind)).collect()
}

#[test]
fn home_and_workspace_are_the_roots_outer_first() {
    let root = |path: &str, kind| (path.to_owned(), kind);
    let (home, work) = (RootKind::Home, RootKind::Workspace);
    for (at, workspace, expected) in [
        ("/home/u", "/home/u/w", vec![root("/home/u", home), root("/home/u/w", work)]),
        ("/home/u", "/home/u", vec![root("/home/u", work)]),
        ("/data/home/u", "/data", vec![root("/data", work), root("/data/home/u", home)]),
        ("/root", "/srv/app", vec![root("/root", home), root("/srv/app", work)]),
        ("/root", "/tmp/x", vec![root("/root", home), root("/tmp/x", work)]),
    ] {
        assert_eq!(roots(at, workspace), expected);
    }
}

#[test]
fn the_systems_directories_are_no_workspace() {
    for path in [
        "/",
        "/usr",
        "/usr/src/x",
        "/etc",
        "/bin",
        "/proc/self",
        "/dev",
        "/sys",
        "/boot",
        "/lib",
        "/lib64/x",
        "/sbin",
        "/var",
        "/run",
        "/opt",
        "/home",
        "/var/lib/x",
        "/usr/../etc",
    ] {
        let error = confine(&place("/home/u", path), &request(path)).expect_err(path);
        assert!(matches!(error, ConfineError::SystemWorkspace { .. }), "{path}: {error}");
        assert!(!error.hint().is_empty());
    }
    for home in ["/", "/usr", "/etc"] {
        assert!(matches!(confine(&place(home, "/w"), &request("/w")), Err(ConfineError::SystemHome { .. })), "{home}");
    }
}

#[test]
fn declared_roots_are_checked_and_not_doubled() {
    let at = place("/home/u", "/home/u/w");
    let with = |paths: &[&str]| ConfineRequest {
        write: paths.iter().map(|path| FilePath::from(*path)).collect(),
        ..request("/home/u/w")
    };
    let kinds = |c: Confinement| c.roots.iter().map(|root| root.kind).collect::<Vec<_>>();
    let data = confine(&at, &with(&["/data/x", "/home/u/w/sub", "/data/x/"])).unwrap();
    assert_eq!(kinds(data).iter().filter(|kind| **kind == RootKind::Declared).count(), 1);
    assert!(matches!(confine(&at, &with(&["/etc"])), Err(ConfineError::SystemRoot { .. })));
    assert!(matches!(confine(&at, &with(&["rel"])), Err(ConfineError::Relative { .. })));
    let state = "/home/u/.local/state/belljar/x";
    assert!(matches!(confine(&at, &with(&[state])), Err(ConfineError::InState { .. })));
    let many: Vec<String> = (0..=ROOTS_MAX).map(|n| format!("/data/{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(matches!(confine(&at, &with(&many)), Err(ConfineError::TooManyRoots { .. })));
}

#[test]
fn credentials_are_hidden_until_they_are_shown_by_name() {
    let at = place("/home/u", "/home/u/w");
    let hidden = |request: &ConfineRequest<'_>| {
        let found = confine(&at, request).unwrap().hidden;
        found.into_iter().map(|hidden| (hidden.path.to_string(), hidden.rule)).collect::<Vec<_>>()
    };
    let plain = hidden(&request("/home/u/w"));
    for (path, rule) in [
        ("/home/u/.ssh", "secrets/ssh"),
        ("/home/u/.aws", "secrets/aws"),
        ("/home/u/.docker/config.json", "secrets/docker"),
        ("/home/u/.npmrc", "secrets/npm"),
        ("/home/u/.local/state/belljar", "belljar/state"),
    ] {
        assert!(plain.contains(&(path.to_owned(), rule.to_owned())), "{path}");
    }
    let shown = hidden(&ConfineRequest { read: vec!["/home/u/.ssh".into()], ..request("/home/u/w") });
    assert_eq!(plain.len(), shown.len() + 1);
    assert!(!shown.iter().any(|(path, _)| path == "/home/u/.ssh"));
    let all = hidden(&ConfineRequest { read: vec!["/home/u".into()], ..request("/home/u/w") });
    assert_eq!(all, [("/home/u/.local/state/belljar".to_owned(), "belljar/state".to_owned())]);
    let more = hidden(&ConfineRequest { hide: vec!["/home/u/w/private".into()], ..request("/home/u/w") });
    assert!(more.contains(&("/home/u/w/private".to_owned(), "user/hide".to_owned())));
}

#[test]
fn part_of_a_hidden_directory_is_not_shown_quietly() {
    let at = place("/home/u", "/home/u/w");
    for path in ["/home/u/.ssh/config", "/home/u/.local/state/belljar", "/home/u/x/../.ssh/id_rsa"] {
        let error = confine(&at, &ConfineRequest { read: vec![path.into()], ..request("/home/u/w") }).expect_err(path);
        assert!(matches!(error, ConfineError::StillHidden { .. }), "{error}");
    }
    let inside = place("/home/u", "/home/u/.ssh");
    assert!(matches!(confine(&inside, &request("/home/u/.ssh")), Err(ConfineError::HiddenWorkspace { .. })));
}

#[test]
fn the_environment_is_scrubbed_and_the_loss_is_said_by_name() {
    let os = |text: &str| OsString::from(text);
    let env: Vec<(OsString, OsString)> =
        [("PATH", "/usr/bin"), ("AWS_SECRET_ACCESS_KEY", "s3cret"), ("FOO", "bar"), ("PWD", "/x")]
            .iter()
            .map(|(name, value)| (os(name), os(value)))
            .collect();
    let asked = ConfineRequest {
        env: &env,
        pass_env: vec![(os("FOO"), None), (os("NEW"), Some(os("1"))), (os("ABSENT"), None)],
        ..request("/home/u/w")
    };
    let confinement = confine(&place("/home/u", "/home/u/w"), &asked).unwrap();
    let vars: Vec<_> = confinement.env.iter().map(|var| format!("{}={}", var.name, var.value)).collect();
    let no_history = ["HISTFILE=", "LESSHISTFILE=-", "NODE_REPL_HISTORY="];
    let (set, vars): (Vec<_>, Vec<_>) = vars.iter().partition(|var| no_history.contains(&var.as_str()));
    assert_eq!(set, no_history);
    assert_eq!(vars, ["BELLJAR=1", "FOO=bar", "NEW=1", "PATH=/usr/bin", "PWD=/home/u/w"]);
    assert_eq!(confinement.env_withheld, ["AWS_SECRET_ACCESS_KEY"]);
    assert_eq!(confinement.network, Network::None);
    assert!(!format!("{confinement:?}").contains("s3cret"));
    let bad = ConfineRequest { pass_env: vec![(os("A=B"), None)], ..request("/home/u/w") };
    assert!(matches!(confine(&place("/home/u", "/home/u/w"), &bad), Err(ConfineError::VariableName { .. })));
}

proptest! {
    #[test]
    fn any_paths_give_an_answer_and_outer_roots_come_first(
        workspace in "(/[a-z.~*]{0,4}){0,4}",
        write in proptest::collection::vec("(/[a-z.]{0,4}){0,4}", 0..4),
    ) {
        let asked = ConfineRequest { write: write.iter().map(|p| p.as_str().into()).collect(), ..request("/home/u/w") };
        if let Ok(confinement) = confine(&place("/home/u", &workspace), &asked) {
            let roots = &confinement.roots;
            for (index, root) in roots.iter().enumerate() {
                prop_assert!(root.path.as_bytes() != b"/");
                prop_assert!(roots.iter().skip(index + 1).all(|later| !root.path.starts_with(&later.path)));
            }
        }
    }
}
