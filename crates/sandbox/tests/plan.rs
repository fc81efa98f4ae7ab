//! Plans as a person reads them, one snapshot for each kind of place a command is run in.
#![allow(missing_docs, clippy::unwrap_used)]

use belljar_sandbox::{Around, Ground, IdRange, KernelRoot, Request, RunFacts, SandboxError, Step, ground, plan};
use model::{Confinement, EnvVar, FilePath, Hidden, Layer, Limits, Network, RootKind, WritableRoot};

fn facts(uid: u32) -> RunFacts {
    let all = if uid == 0 { vec![IdRange { first: 0, count: u32::MAX }] } else { vec![] };
    let places = ["/home", "/root", "/tmp", "/var/tmp", "/run"].map(FilePath::from).to_vec();
    RunFacts {
        uid,
        gid: uid,
        uids: all.clone(),
        gids: all,
        places,
        terminal: None,
        resolver: None,
        hostname: "box".into(),
        sockets: vec!["/srv/app.sock".into(), "/run/a.sock".into(), "/tmp/b.sock".into()],
        landlock: 7,
        group: None,
        around: None,
    }
}

fn request(roots: &[(&str, RootKind)], hidden: &[&str], home: &str, cwd: &str) -> Request {
    let roots = roots.iter().map(|(path, kind)| WritableRoot { path: FilePath::from(*path), kind: *kind });
    let hidden = hidden.iter().map(|path| Hidden { path: FilePath::from(*path), rule: "test".into() });
    let confinement = Confinement {
        roots: roots.collect(),
        hidden: hidden.collect(),
        env: vec![EnvVar { name: "HOME".into(), value: home.into() }],
        ..Confinement::closed(cwd.into())
    };
    Request::new(confinement, vec!["make".into(), "all".into()])
}

fn walk(request: &Request, facts: &RunFacts) -> Vec<Step> {
    plan(request, facts).unwrap().walk().cloned().collect()
}

fn shown(request: &Request, facts: &RunFacts) -> String {
    plan(request, facts).unwrap().to_string()
}

#[test]
fn root_without_a_writable_root() {
    insta::assert_snapshot!(shown(&request(&[], &[], "/root", "/"), &facts(0)));
}

#[test]
fn a_user_in_a_project_at_home() {
    let roots = [("/home/u", RootKind::Home), ("/home/u/project", RootKind::Workspace)];
    let hidden = ["/home/u/.ssh", "/srv/secrets"];
    insta::assert_snapshot!(shown(&request(&roots, &hidden, "/home/u", "/home/u/project"), &facts(1000)));
}

#[test]
fn a_user_whose_home_is_shown_but_not_writable() {
    let roots = [("/home/u/project", RootKind::Workspace)];
    insta::assert_snapshot!(shown(&request(&roots, &["/home/u/.ssh"], "/home/u", "/home/u/project"), &facts(1000)));
}

#[test]
fn a_project_below_tmp_on_a_terminal_with_a_local_resolver() {
    let roots = [("/tmp/a/b", RootKind::Workspace)];
    let mut facts = facts(1000);
    facts.terminal = Some("/dev/pts/3".into());
    facts.resolver = Some("/run/systemd/resolve/stub-resolv.conf".into());
    insta::assert_snapshot!(shown(&request(&roots, &[], "/home/u", "/tmp/a/b"), &facts));
}

#[test]
fn some_of_the_network_for_a_user_with_a_local_resolver() {
    let mut request = request(&[("/srv/p", RootKind::Workspace)], &[], "/home/u", "/srv/p");
    let allow = ["a.example:443", "10.0.0.0/8"].map(|rule| rule.parse().unwrap()).to_vec();
    request.confinement.network = Network::Named { allow, refuse: Vec::new() };
    let mut facts = facts(1000);
    let plain = shown(&request, &facts);
    facts.resolver = Some("/run/systemd/resolve/stub-resolv.conf".into());
    insta::assert_snapshot!(format!("{plain}\n{}", shown(&request, &facts)));
}

#[test]
fn a_writable_root_inside_a_hidden_directory() {
    let roots = [("/srv/all/mine", RootKind::Workspace)];
    insta::assert_snapshot!(shown(&request(&roots, &["/srv/all"], "/home/u", "/srv/all/mine"), &facts(1000)));
}

#[test]
fn a_jar_of_root_that_allows_others_inside() {
    let roots = [("/root", RootKind::Home), ("/root/project", RootKind::Workspace)];
    let request = Request { allow_nested: true, ..request(&roots, &["/root/.ssh"], "/root", "/root/project") };
    insta::assert_snapshot!(shown(&request, &facts(0)));
}

#[test]
fn a_jar_of_root_inside_a_jar() {
    let roots = [("/root", RootKind::Home), ("/root/project", RootKind::Workspace)];
    let mut facts = facts(0);
    facts.around = Some(Around { door: Some("/run/belljar-inside/userns".into()) });
    insta::assert_snapshot!(shown(&request(&roots, &[], "/root", "/root/project"), &facts));
}

/// What is given up is on the plan, layer by layer, and only where it was asked for or cannot be had.
#[test]
fn jars_inside_cost_what_is_told() {
    for uid in [0, 1000] {
        let plain = request(&[], &[], "/home/u", "/");
        let nested = Request { allow_nested: true, ..plain.clone() };
        let mut inside = facts(uid);
        inside.around = Some(Around { door: None });
        let lost = |request: &Request, facts: &RunFacts| -> Vec<Layer> {
            plan(request, facts).unwrap().gaps.into_iter().map(|gap| gap.layer).collect()
        };
        assert_eq!(lost(&plain, &facts(uid)), []);
        assert_eq!(lost(&nested, &facts(uid)), [Layer::Landlock, Layer::Seccomp]);
        assert_eq!(lost(&plain, &inside), [Layer::NetworkWatch]);
        assert_eq!(lost(&nested, &inside), [Layer::Landlock, Layer::Seccomp, Layer::NetworkWatch]);
        // Nothing that is open here is open where it was not asked for.
        let steps = plan(&plain, &facts(uid)).unwrap().to_string();
        for word in ["keep /dev/fuse", "belljar-inside", "open for jars inside", "door"] {
            assert!(!steps.contains(word), "{word}");
        }
        let mut homeless = facts(uid);
        homeless.places.retain(|place| place.as_bytes() != b"/run");
        assert!(matches!(plan(&nested, &homeless), Err(SandboxError::Request(_))));
    }
}

#[test]
fn a_root_that_contains_private_places_comes_before_them() {
    let request = request(&[("/var", RootKind::Declared)], &[], "/home/u", "/var");
    let steps = walk(&request, &facts(1000));
    let at = |wanted: &dyn Fn(&Step) -> bool| steps.iter().position(wanted).unwrap();
    let root = at(&|step| matches!(step, Step::Root { .. }));
    let wait = at(&|step| *step == Step::AwaitRoots);
    let cover = at(&|step| matches!(step, Step::Cover { at, .. } if *at == FilePath::from("/var/tmp")));
    assert!(root < wait && wait < cover, "{root} {wait} {cover}");
}

#[test]
fn requests_that_cannot_be_a_jar_are_refused() {
    let workspace = |path| [(path, RootKind::Workspace)];
    let nested = [("/a/b", RootKind::Workspace), ("/a", RootKind::Home)];
    let mut empty = request(&[], &[], "/home/u", "/");
    empty.argv.clear();
    let mut variable = request(&[], &[], "/home/u", "/");
    variable.confinement.env.push(EnvVar { name: "A=B".into(), value: "".into() });
    let refused = [
        request(&workspace("/"), &[], "/home/u", "/"),
        request(&workspace("/proc/self"), &[], "/home/u", "/"),
        request(&workspace("relative"), &[], "/home/u", "/"),
        request(&workspace("/a/../b"), &[], "/home/u", "/"),
        request(&nested, &[], "/home/u", "/"),
        request(&[], &["relative"], "/home/u", "/"),
        request(&[], &[], "/home/u", "relative"),
        empty,
        variable,
    ];
    for request in refused {
        let refused = plan(&request, &facts(1000));
        assert!(matches!(refused, Err(SandboxError::Request(_))), "{request:?}");
    }
}

/// A plan that leaves root's own files of the kernel open would be an escape, whatever the request.
#[test]
fn root_always_has_its_kernel_files_covered() {
    for roots in
        [&[][..], &[("/home", RootKind::Declared)], &[("/root", RootKind::Home), ("/root/x", RootKind::Workspace)]]
    {
        for around in [None, Some(Around { door: None })] {
            let mut inside = facts(0);
            inside.around = around;
            for allow_nested in [false, true] {
                let request = Request { allow_nested, ..request(roots, &[], "/root", "/root") };
                assert_kernel_files_covered(&walk(&request, &inside));
            }
        }
        let steps = walk(&request(roots, &[], "/root", "/root"), &facts(0));
        let hides_shadow = |step: &Step| matches!(step, Step::Without { at, names, .. } if at.as_bytes() == b"/etc" && names.contains(&"shadow".into()));
        assert!(steps.iter().any(hides_shadow));
    }
}

fn assert_kernel_files_covered(steps: &[Step]) {
    for path in ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"] {
        assert!(steps.contains(&Step::ReadOnly { at: path.into() }), "{path}");
    }
    assert!(steps.contains(&Step::Mask { at: "/proc/kcore".into() }));
    assert!(steps.contains(&Step::DropPrivileges));
}

/// What is begun before a command is known has to fit it: else it is begun anew, which takes longer than all the rest.
#[test]
fn usual_requests_stand_on_one_ground() {
    for uid in [0, 1000] {
        let facts = facts(uid);
        let on = |request: &Request| -> Ground { ground(request, &facts) };
        let usual = on(&Request::new(Confinement::closed("/".into()), vec![]));
        assert!(usual.steps.contains(&Step::Seal) && usual.steps.contains(&Step::Scratch));
        let roots = [("/home/u", RootKind::Home), ("/home/u/a", RootKind::Workspace), ("/srv/b", RootKind::Declared)];
        let plain = request(&roots, &["/home/u/.ssh", "/srv/c", "/srv/secrets"], "/home/u", "/home/u/a");
        let mut named = plain.clone();
        let allow = vec!["a.example:443".parse().unwrap()];
        named.confinement.network = Network::Named { allow, refuse: Vec::new() };
        let limits =
            Limits { memory: Some(1), processes: Some(2), cpu_s: Some(3), open_files: Some(4), ..Limits::default() };
        let (upper, work) = ("/home/u/.local/state/upper".into(), "/home/u/.local/state/work".into());
        let kernel = vec![KernelRoot { index: 1, upper, work, or_fuse: true }];
        let below_run = request(&[("/run/user/1000/a", RootKind::Workspace)], &[], "/home/u", "/run/user/1000/a");
        let hidden = request(&[("/srv/all/mine", RootKind::Workspace)], &["/srv/all"], "/home/u", "/srv/all/mine");
        for request in [
            Request { limits, ..plain.clone() },
            Request { kernel, watch_files: true, measure: true, untouched: true, ..plain.clone() },
            plain.clone(),
            named,
            below_run,
            hidden,
        ] {
            assert_eq!(on(&request), usual, "{request:?}");
        }
        let nested = Request { allow_nested: true, ..plain };
        assert_ne!(on(&nested), usual);
    }
}

/// A layer or a root below something that every jar covers is reached before the cover is there, as is all around it.
#[test]
fn what_lies_below_a_cover_is_reached_before_it() {
    let position = |steps: &[Step], wanted: &dyn Fn(&Step) -> bool| steps.iter().position(wanted).unwrap();
    let cover = |step: &Step| matches!(step, Step::Cover { at, .. } if at.as_bytes() == b"/dev");
    let (upper, work) = ("/dev/shm/state/upper".into(), "/dev/shm/state/work".into());
    let kernel = vec![KernelRoot { index: 0, upper, work, or_fuse: false }];
    let request = Request { kernel, ..request(&[("/srv/p", RootKind::Workspace)], &[], "/root", "/srv/p") };
    let steps = walk(&request, &facts(0));
    let made = position(&steps, &|step| matches!(step, Step::Kernel { .. }));
    assert!(made < position(&steps, &cover));
    assert_kernel_files_covered(&steps);
}
