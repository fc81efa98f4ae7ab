//! How a view is furnished: the steps of a plan in their order, from what is asked for and what the host is like.

use crate::around;
use crate::facts::RunFacts;
use crate::net;
use crate::plan::Step;
use crate::request::{KernelRoot, Request};
use crate::view;
use model::{FilePath, Limits, NetRule, RootKind};

/// The first version of landlock(7) that rules truncate(2).
const TRUNCATE_SINCE: u32 = 3;

/// As many roots there are in most jars, and some more.
const USUAL_CONNECTIONS: usize = 4;

/// A directory of the host that the jar shows another one for.
struct Place {
    at: FilePath,
    from: FilePath,
    writable: bool,
}

/// A plan's steps, being put together.
pub(crate) struct Draft<'a> {
    request: &'a Request,
    facts: &'a RunFacts,
    home: Option<FilePath>,
    places: Vec<Place>,
    fixtures: Vec<(FilePath, Step)>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(request: &'a Request, facts: &'a RunFacts) -> Draft<'a> {
        let mut draft = Draft { request, facts, home: own_home(request), places: Vec::new(), fixtures: Vec::new() };
        draft.places = draft.choose_places();
        draft.fixtures = draft.choose_fixtures();
        draft
    }

    /// Those for which little of the request counts, and nothing of most: they are taken before the command is known.
    pub(crate) fn first_steps(&self) -> Vec<Step> {
        let connections = self.roots().count().max(USUAL_CONNECTIONS);
        let strict = self.request.allow_nested || self.facts.landlock < TRUNCATE_SINCE;
        let mut steps = vec![Step::Loopback, Step::Connections { max: connections }, Step::Seal];
        steps.extend([Step::Reopen { strict }, Step::Scratch]);
        steps.extend(empties());
        steps.extend(self.devices());
        if self.keeps_off_fixtures() {
            steps.extend(in_turn(self.fixtures.clone(), |_| 0).into_iter().map(|(_, step)| step));
        }
        steps
    }

    /// Those after the first ones.
    pub(crate) fn further_steps(&self) -> Vec<Step> {
        let limits = &self.request.limits;
        let (max, kept) = (limits.processes.unwrap_or(Limits::PROCESSES), self.facts.group.map(str::to_owned));
        let mut steps = vec![Step::Processes { max, asked: limits.processes.is_some(), kept }];
        steps.push(if self.named() { self.network() } else { Step::Questions });
        steps.extend(limits.memory.map(|max| Step::ScratchSize { max }));
        steps.extend(self.request.kernel.iter().filter_map(|kernel| self.kernel(kernel)));
        steps.extend(self.name_files());
        for place in &self.places {
            steps.extend(self.furnish(place));
        }
        steps.extend(self.placements());
        steps.push(Step::AwaitRoots);
        let nested = self.request.allow_nested;
        if nested && self.facts.uid == 0 {
            steps.push(Step::Door { at: FilePath::from("/run").join(around::DOOR) });
        }
        steps.push(if nested { Step::Scopes } else { Step::Landlock { writable: self.writable() } });
        steps.extend(limits.open_files.map(|max| Step::OpenFiles { max }));
        steps.push(Step::DropPrivileges);
        steps.push(Step::Enter { at: self.request.confinement.cwd.clone() });
        // A process has one watcher, and in a jar inside a jar it is the outer one's.
        let watch = self.facts.around.is_none();
        steps.push(Step::Seccomp { watch, nested, files: watch && self.request.watch_files });
        steps
    }

    fn kernel(&self, kernel: &KernelRoot) -> Option<Step> {
        let lower = self.roots().nth(kernel.index)?.clone();
        let KernelRoot { index, upper, work, or_fuse } = kernel.clone();
        Some(Step::Kernel { index, lower, upper, work, or_fuse })
    }

    fn roots(&self) -> impl Iterator<Item = &'a FilePath> {
        self.request.confinement.roots.iter().map(|root| &root.path)
    }

    /// The usual places, and hidden directories that have a writable root inside.
    fn choose_places(&self) -> Vec<Place> {
        let usual = self.facts.places.iter().filter(|at| self.home.as_ref() != Some(at));
        let hidden = self.request.confinement.hidden.iter().map(|hidden| &hidden.path);
        let hidden = hidden.filter(|at| self.roots().any(|root| root.starts_with(at) && root != *at));
        let hidden = hidden.filter(|at| !self.inside_root(at) && !self.facts.places.contains(at));
        usual.chain(hidden).map(place).collect()
    }

    fn rules(&self) -> &'a [NetRule] {
        self.request.confinement.network.rules()
    }

    fn network(&self) -> Step {
        Step::Network { blocks: net::routed(self.rules()), over_udp: net::over_udp(self.rules()) }
    }

    fn named(&self) -> bool {
        !self.rules().is_empty()
    }

    /// What the jar's programs find names with. The host's own table would give them addresses that lead nowhere here;
    /// where nothing leads anywhere, it may stay.
    fn name_files(&self) -> Vec<Step> {
        let own = Some(&self.facts.hostname).filter(|name| !name.is_empty()).map(|name| format!("127.0.1.1 {name}\n"));
        let hosts = format!("127.0.0.1 localhost\n::1 localhost\n{}", own.unwrap_or_default());
        let text = |at: &str, text: String| Step::Text { at: FilePath::from(at), text };
        vec![
            directory(NAME_FILES, 0o755),
            text(OWN_RESOLVER, format!("nameserver {}\n", if self.named() { net::RESOLVER } else { net::REFUSER })),
            text(OWN_HOSTS, hosts),
            Step::Freeze { at: FilePath::from(NAME_FILES) },
        ]
    }

    /// Where they are shown. A resolver's file below `/run` stands there already.
    fn name_covers(&self) -> Vec<(FilePath, Step)> {
        let (hosts, resolver) = (FilePath::from("/etc/hosts"), FilePath::from("/etc/resolv.conf"));
        let mut covers = Vec::new();
        if self.named() {
            covers.push((hosts.clone(), Step::Replace { from: FilePath::from(OWN_HOSTS), at: hosts }));
        }
        if self.facts.resolver.is_none() {
            covers.push((resolver.clone(), Step::Replace { from: FilePath::from(OWN_RESOLVER), at: resolver }));
        }
        covers
    }

    fn inside_root(&self, path: &FilePath) -> bool {
        self.roots().any(|root| path.starts_with(root))
    }

    /// What stands inside a replaced directory: mount points of the roots, the user's own home, the places of /run.
    fn furnish(&self, place: &Place) -> Vec<Step> {
        let mode = if place.at.as_bytes().ends_with(b"tmp") { 0o1777 } else { 0o755 };
        let mut tree = Tree::new(&place.from, mode);
        if place.at.as_bytes() == b"/run" {
            self.furnish_run(&mut tree);
        }
        let inside = |path: &FilePath| path.strip_prefix(&place.at).filter(|rest| !rest.as_bytes().is_empty());
        if let (Some(home), false) = (&self.home, self.home_is_root())
            && let Some(rest) = inside(home)
        {
            let at = tree.directories(&rest, 0o755);
            tree.steps.push(Step::Keep { from: home.clone(), at });
        }
        let kept = |root: &FilePath| self.home.as_ref().is_some_and(|home| root.starts_with(home) && root != home);
        let nested = |root: &FilePath| self.roots().any(|outer| outer != root && root.starts_with(outer));
        for rest in self.roots().filter(|root| !kept(root) && !nested(root)).filter_map(inside) {
            tree.directories(&rest, 0o755);
        }
        let mut steps = tree.steps;
        if !place.writable {
            steps.push(Step::Freeze { at: place.from.clone() });
        }
        steps
    }

    /// The directories of a login session, and the resolver's file where `/etc/resolv.conf` leads here. Only the file:
    /// beside it stands a socket of the resolver, which would carry names out of the jar.
    fn furnish_run(&self, tree: &mut Tree) {
        tree.directories(&FilePath::from("lock"), 0o1777);
        tree.directories(&FilePath::from("user"), 0o755);
        tree.directories(&FilePath::from(format!("user/{}", self.facts.uid).as_str()), 0o700);
        if self.request.allow_nested || self.facts.around.is_some() {
            tree.directories(&FilePath::from(around::READY), 0o755);
        }
        if self.request.allow_nested {
            tree.directories(&FilePath::from(around::STATE), 0o700);
            let door = Step::File { at: tree.base.join(around::DOOR), mode: 0o400 };
            tree.steps.extend((self.facts.uid == 0).then_some(door));
        }
        let resolver = self.facts.resolver.as_ref();
        if let Some(rest) = resolver.and_then(|file| file.strip_prefix(&FilePath::from("/run"))) {
            if let Some(parent) = rest.parent() {
                tree.directories(&parent, 0o755);
            }
            let at = tree.base.join(rest.as_os_str());
            tree.steps.push(Step::File { at: at.clone(), mode: 0o444 });
            tree.steps.push(Step::Keep { from: FilePath::from(OWN_RESOLVER), at });
        }
    }

    fn home_is_root(&self) -> bool {
        self.home.as_ref().is_some_and(|home| self.roots().any(|root| root == home))
    }

    fn devices(&self) -> Vec<Step> {
        let dev = FilePath::from("dev");
        let mut steps = vec![directory("dev", 0o755), directory("dev/pts", 0o755), directory("dev/shm", 0o1777)];
        let fuse = self.request.allow_nested.then_some("fuse");
        for node in view::DEVICES.iter().copied().chain(fuse) {
            steps.extend(device(&dev.join(node), FilePath::from("/dev").join(node)));
        }
        // Where isatty(3) and ttyname(3) look when the terminal is not among the jar's own, as in a console login.
        if let Some(terminal) = &self.facts.terminal {
            steps.extend(device(&dev.join("console"), terminal.clone()));
        }
        let links = view::DEVICE_LINKS.iter();
        steps.extend(links.map(|(name, to)| Step::Link { at: dev.join(name), to: FilePath::from(*to) }));
        steps.push(Step::Terminals { at: dev.join("pts") });
        steps
    }

    /// What is put in its place in every jar.
    fn choose_fixtures(&self) -> Vec<(FilePath, Step)> {
        // Root's covers stand on it, so a jar inside keeps this one.
        let (or_outer, traceable) = (self.facts.around.is_some(), self.request.allow_nested && self.facts.uid == 0);
        let proc = Step::Proc { at: FilePath::from("/proc"), or_outer, traceable };
        let mut all = vec![(FilePath::from("/proc"), proc)];
        all.push((FilePath::from("/dev"), cover("dev", "/dev")));
        all.push((FilePath::from("/dev"), Step::Devices { at: FilePath::from("/dev") }));
        let root_only: &[&[&str]] = &[view::PROC_MASKED, view::ROOT_SECRETS];
        let masks = [view::SYS_MASKED].into_iter().chain(root_only.iter().copied().filter(|_| self.facts.uid == 0));
        // A mount in a user's proc(5) would forbid a jar inside one of its own.
        let keys = (self.facts.uid == 0 || !self.request.allow_nested).then_some(view::PROC_KEYS);
        let masks = masks.chain(keys).flatten().map(|path| FilePath::from(*path));
        all.extend(masks.map(|at| (at.clone(), Step::Mask { at })));
        // A jar inside another looks at a view that lacks these names already.
        let lacks = self.facts.uid == 0 && self.facts.around.is_none();
        let names = view::ROOT_SECRET_FILES.iter().filter(|_| lacks);
        all.extend(names.map(|(at, names)| (FilePath::from(*at), without(at, names))));
        all
    }

    /// Whether no root or layer meets a fixture: neither hides the other, whichever comes first.
    fn keeps_off_fixtures(&self) -> bool {
        let layers = self.request.kernel.iter().map(|kernel| &kernel.upper);
        let meets = |path: &FilePath| self.fixtures.iter().any(|(at, _)| path.starts_with(at) || at.starts_with(path));
        !self.roots().chain(layers).any(meets)
    }

    /// All other mounts of the view, outer before inner. The scratch stays the working directory, so its own cover is
    /// harmless. Roots come first, with what they stand on, and what lies in them last: so Belljar begins to answer while
    /// everything else is put in its place.
    fn placements(&self) -> Vec<Step> {
        let mut all = if self.keeps_off_fixtures() { Vec::new() } else { self.fixtures.clone() };
        let covers = self.places.iter();
        all.extend(covers.map(|p| (p.at.clone(), Step::Cover { from: p.from.clone(), at: p.at.clone() })));
        let roots = self.roots().enumerate();
        all.extend(roots.map(|(index, at)| (at.clone(), Step::Root { index, at: at.clone() })));
        all.extend(self.masks().into_iter().map(|at| (at.clone(), Step::Mask { at })));
        if self.facts.uid == 0 {
            let paths = view::PROC_READ_ONLY.iter().map(|path| FilePath::from(*path));
            all.extend(paths.map(|at| (at.clone(), Step::ReadOnly { at })));
        }
        all.extend(self.name_covers());
        all.retain(|(at, step)| !matches!(step, Step::Mask { .. }) || !self.inside_root(at));
        await_where_needed(in_turn(all, |at| {
            let in_root = self.roots().any(|root| at.starts_with(root) && at != root);
            let early = at.as_bytes() == b"/proc" || self.roots().any(|root| root.starts_with(at));
            if in_root { 2 } else { u8::from(!early) }
        }))
    }

    fn masks(&self) -> Vec<FilePath> {
        let asked = self.request.confinement.hidden.iter().map(|hidden| hidden.path.clone());
        // The outer jar's state, inside which this jar's own may lie by the same name, is gone with the outer /run.
        let outer_state = FilePath::from("/run").join(around::STATE);
        let covered = |path: &FilePath| self.places.iter().any(|place| place.at == *path) || *path == outer_state;
        self.sockets().chain(asked.filter(|path| !covered(path))).collect()
    }

    /// Sockets of the host that the view would show: who may read a directory may connect to what is in it, wherever
    /// the network is. Those in a writable root are other files there.
    fn sockets(&self) -> impl Iterator<Item = FilePath> {
        let private = |path: &FilePath| {
            let own = view::PRIVATE.iter().any(|place| path.starts_with(&FilePath::from(*place)));
            own || self.places.iter().any(|place| path.starts_with(&place.at))
        };
        self.facts.sockets.iter().filter(move |path| !private(path)).cloned()
    }

    fn writable(&self) -> Vec<FilePath> {
        let private = view::PRIVATE.iter().map(|path| FilePath::from(*path));
        private.filter(|path| !self.places_lack(path)).chain(self.roots().cloned()).collect()
    }

    /// Whether the host has no such place, as some have no `/var/tmp`.
    fn places_lack(&self, path: &FilePath) -> bool {
        let own = path.as_bytes() == b"/dev" || path.as_bytes() == b"/proc";
        !own && !self.places.iter().any(|place| place.at == *path)
    }
}

/// The user's home: the root of that kind, else what the jar's `HOME` says. One that is hidden whole is a place like
/// others, in which nothing of it stays but the roots inside.
pub(crate) fn own_home(request: &Request) -> Option<FilePath> {
    let confinement = &request.confinement;
    let root = confinement.roots.iter().find(|root| root.kind == RootKind::Home);
    let variable = confinement.env.iter().find(|var| var.name.as_bytes() == b"HOME");
    root.map(|root| root.path.clone())
        .or_else(|| variable.map(|var| var.value.normalise()))
        .filter(|home| home.is_absolute() && home.as_bytes() != b"/")
        .filter(|home| !confinement.hidden.iter().any(|hidden| hidden.path == *home))
}

fn place(at: &FilePath) -> Place {
    let name: Vec<u8> = at.as_bytes().iter().skip(1).map(|byte| if *byte == b'/' { b'-' } else { *byte }).collect();
    let writable = view::PRIVATE.contains(&at.as_path().to_str().unwrap_or_default()) || at.as_bytes() == b"/var/run";
    Place { at: at.clone(), from: FilePath::from([b"at-".as_slice(), &name].concat()), writable }
}

/// A directory that is being furnished: knows which of its directories exist already.
struct Tree {
    base: FilePath,
    made: Vec<FilePath>,
    steps: Vec<Step>,
}

impl Tree {
    fn new(base: &FilePath, mode: u32) -> Tree {
        Tree { base: base.clone(), made: Vec::new(), steps: vec![Step::Directory { at: base.clone(), mode }] }
    }

    /// Makes what is missing of `rest`, the last directory with `mode`; returns its path in the scratch.
    fn directories(&mut self, rest: &FilePath, mode: u32) -> FilePath {
        let mut at = self.base.clone();
        let count = rest.as_path().components().count();
        for (index, part) in rest.as_path().components().enumerate() {
            at = at.join(part.as_os_str());
            if !self.made.contains(&at) {
                let mode = if index + 1 == count { mode } else { 0o755 };
                self.steps.push(Step::Directory { at: at.clone(), mode });
                self.made.push(at.clone());
            }
        }
        at
    }
}

/// Where the jar's own tables of names are made.
const NAME_FILES: &str = "names";
const OWN_RESOLVER: &str = "names/resolv.conf";
const OWN_HOSTS: &str = "names/hosts";

/// The sources of masks: an empty directory and an empty file nobody can read, on a read-only mount.
fn empties() -> Vec<Step> {
    let file = Step::File { at: FilePath::from(EMPTY_FILE), mode: 0 };
    let frozen = Step::Freeze { at: FilePath::from("none") };
    vec![directory("none", 0o755), directory(EMPTY_DIRECTORY, 0o555), file, frozen]
}

/// What a masked directory shows.
pub(crate) const EMPTY_DIRECTORY: &str = "none/directory";
/// What a masked file shows.
pub(crate) const EMPTY_FILE: &str = "none/file";

fn directory(at: &str, mode: u32) -> Step {
    Step::Directory { at: FilePath::from(at), mode }
}

fn cover(from: &str, at: &str) -> Step {
    Step::Cover { from: FilePath::from(from), at: FilePath::from(at) }
}

fn without(at: &str, names: &[&str]) -> Step {
    let from = FilePath::from(format!("without{}", at.replace('/', "-")).as_str());
    Step::Without { at: FilePath::from(at), names: names.iter().map(|name| FilePath::from(*name)).collect(), from }
}

fn device(at: &FilePath, from: FilePath) -> [Step; 2] {
    [Step::File { at: at.clone(), mode: 0o644 }, Step::Keep { from, at: at.clone() }]
}

/// By their turns, and in each outer places before inner ones.
fn in_turn(mut placements: Vec<(FilePath, Step)>, turn: impl Fn(&FilePath) -> u8) -> Vec<(FilePath, Step)> {
    placements.sort_by_cached_key(|(at, _)| (turn(at), at.as_path().components().count()));
    placements
}

/// A mount below a root looks that root up, which blocks until it is served.
fn await_where_needed(placements: Vec<(FilePath, Step)>) -> Vec<Step> {
    let mut steps = Vec::with_capacity(placements.len());
    let mut waiting: Vec<FilePath> = Vec::new();
    for (at, step) in placements {
        if waiting.iter().any(|root| at.starts_with(root)) {
            steps.push(Step::AwaitRoots);
            waiting.clear();
        }
        if matches!(step, Step::Root { .. }) {
            waiting.push(at);
        }
        steps.push(step);
    }
    steps
}
