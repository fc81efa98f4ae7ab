//! A jar without namespaces (tier T2), for machines where none can be had: Landlock allows by path what the confinement
//! allows, the filter refuses what namespaces would keep apart, and a supervisor outside answers what neither can judge.
//! The command works on copies of its writable roots.

pub(crate) mod guard;
pub(crate) mod keeper;
pub(crate) mod places;
pub(crate) mod tree;
pub(crate) mod wall;

use crate::error::SandboxError;
use crate::facts::RunFacts;
use crate::plan::{Ground, Identity, Plan, Step, environment};
use crate::request::Request;
use model::{FilePath, Gap, Layer, Limits, RootKind, Tier};
use places::Places;

/// Where a jar without namespaces writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copies {
    /// One for each writable root, in their order.
    pub roots: Vec<FilePath>,
    /// An empty directory of its own, which stands for the temporary directories.
    pub private: FilePath,
    /// Why there are no namespaces.
    pub why: String,
}

impl Copies {
    /// Where the command may write.
    pub(crate) fn trees(&self) -> impl Iterator<Item = &FilePath> {
        self.roots.iter().chain([&self.private])
    }

    /// Where `path` is in the copies.
    fn moved(&self, request: &Request, path: &FilePath) -> FilePath {
        let roots = request.confinement.roots.iter().map(|root| &root.path);
        let inside = roots.zip(&self.roots).filter_map(|(root, copy)| Some((copy, path.strip_prefix(root)?)));
        let inner = inside.min_by_key(|(_, rest)| rest.as_bytes().len());
        inner.map_or_else(|| path.clone(), |(copy, rest)| joined(copy, &rest))
    }
}

fn joined(copy: &FilePath, rest: &FilePath) -> FilePath {
    if rest.as_bytes().is_empty() { copy.clone() } else { copy.join(rest.as_os_str()) }
}

/// The ground: no namespace.
pub(crate) fn ground(facts: &RunFacts, accept_weak: &[Layer]) -> Ground {
    Ground {
        tier: Tier::T2,
        namespaces: Vec::new(),
        identity: Identity::own(facts.uid, facts.gid),
        accept_weak: accept_weak.to_vec(),
        around: None,
        steps: Vec::new(),
    }
}

/// Makes the plan. Pure: the same request, facts and places give the same plan.
pub(crate) fn plan(
    request: &Request,
    copies: &Copies,
    facts: &RunFacts,
    places: &Places,
) -> Result<Plan, SandboxError> {
    request.check_command()?;
    request.check_jar()?;
    check(request)?;
    let limits = &request.limits;
    let mut steps = vec![Step::Count { max: limits.processes.unwrap_or(Limits::PROCESSES) }];
    steps.push(Step::Wall { readable: places.readable.clone(), writable: copies.trees().cloned().collect() });
    steps.extend(limits.open_files.map(|max| Step::OpenFiles { max }));
    steps.push(Step::DropPrivileges);
    steps.push(Step::Enter { at: copies.moved(request, &request.confinement.cwd) });
    steps.push(Step::Guard);
    Ok(Plan {
        ground: ground(facts, &request.accept_weak),
        steps,
        gaps: gaps(request, copies),
        argv: request.argv.iter().map(FilePath::new).collect(),
        env: variables(request, copies, places),
        ahead: None,
        live: false,
        untouched: false,
    })
}

/// # Errors
/// [`SandboxError::Request`] for what cannot be had without namespaces at all.
fn check(request: &Request) -> Result<(), SandboxError> {
    let refused = [
        (
            request.watch_files || request.measure,
            "--learn and --watch need a jar with namespaces, which cannot be had here: see `belljar doctor`",
        ),
        (request.allow_nested, "--allow-nested needs user namespaces, which cannot be had here: see `belljar doctor`"),
    ];
    match refused.into_iter().find_map(|(is, why)| is.then_some(why)) {
        Some(why) => Err(SandboxError::Request(why.to_owned())),
        None => Ok(()),
    }
}

/// What namespaces hold and this does not, layer by layer; told wherever a containment is shown.
fn gaps(request: &Request, copies: &Copies) -> Vec<Gap> {
    let mut gaps = vec![Gap { layer: Layer::UserNamespace, why: copies.why.clone() }];
    let held = [
        (
            Layer::MountNamespace,
            "the command works in a copy, under another path; it lists and reads what it may, but asks for size, times, \
             attributes and links of any file whose path it knows; /tmp, /run and /dev/shm are closed",
        ),
        (
            Layer::PidNamespace,
            "numbers and owners of the host's processes are seen, nothing else of them, and none can be signalled",
        ),
        (Layer::IpcNamespace, "System V IPC and message queues are refused"),
        (Layer::UtsNamespace, "the host's name is seen"),
        (
            Layer::NetNamespace,
            "connections and datagrams to whom was named, and a loopback of the jar's own: sockets are stood for by others, \
             which have no options of the network; unix sockets inside the jar's own directories only",
        ),
        (Layer::CgroupNamespace, "the host's groups are seen"),
    ];
    gaps.extend(held.map(|(layer, why)| Gap { layer, why: why.to_owned() }));
    let home = request.confinement.env.iter().any(|var| var.name.as_bytes() == b"HOME");
    if home && !request.confinement.roots.iter().any(|root| root.kind == RootKind::Home) {
        gaps.push(Gap { layer: Layer::Overlay, why: "the home is read-only".to_owned() });
    }
    gaps
}

/// As asked for, with the temporary directory and the working directory that there are. Programs that look for themselves
/// or for others find what they may not execute, so the way there is left out.
fn variables(request: &Request, copies: &Copies, places: &Places) -> Vec<FilePath> {
    let cwd = copies.moved(request, &request.confinement.cwd);
    let own = [("PWD", &cwd), ("TMPDIR", &copies.private), ("TMP", &copies.private), ("TEMP", &copies.private)];
    let is_own = |var: &FilePath| {
        let name = var.as_bytes().split(|byte| *byte == b'=').next().unwrap_or_default();
        own.iter().any(|(known, _)| known.as_bytes() == name)
    };
    let path = |var: FilePath| match var.as_bytes().strip_prefix(b"PATH=") {
        None => var,
        Some(dirs) => {
            let open = |dir: &&[u8]| !places.lacks(&FilePath::from(dir.to_vec()).normalise());
            let dirs: Vec<&[u8]> = dirs.split(|byte| *byte == b':').filter(open).collect();
            FilePath::from([b"PATH=".as_slice(), &dirs.join(&b':')].concat())
        }
    };
    let mut all: Vec<FilePath> =
        environment(&request.confinement.env).into_iter().filter(|var| !is_own(var)).map(path).collect();
    all.extend(own.map(|(name, value)| FilePath::from([name.as_bytes(), b"=", value.as_bytes()].concat())));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Confinement, EnvVar, NetRule, Network, WritableRoot};

    fn request(network: Network) -> Request {
        let env =
            [("HOME", "/home/u"), ("PWD", "/home/u/ws/d"), ("PATH", "/root/bin:/usr/bin:/home/u/bin:/home/v/bin:x")];
        let env = env.map(|(name, value)| EnvVar { name: name.into(), value: value.into() });
        let confinement = Confinement {
            roots: vec![WritableRoot { path: "/home/u/ws".into(), kind: RootKind::Workspace }],
            network,
            env: env.into(),
            ..Confinement::closed("/home/u/ws/d".into())
        };
        let (argv, limits) = (vec!["make".into()], Limits::default());
        Request { limits, ..Request::new(confinement, argv) }
    }

    fn planned(request: &Request) -> Result<Plan, SandboxError> {
        let copies = Copies { roots: vec!["/s/copy0".into()], private: "/s/tmp".into(), why: "none".into() };
        let facts = RunFacts {
            uid: 1000,
            gid: 1000,
            uids: vec![],
            gids: vec![],
            places: vec![],
            terminal: None,
            resolver: None,
            hostname: String::new(),
            sockets: vec![],
            around: None,
            landlock: 7,
            group: None,
        };
        let places = Places { readable: vec!["/home/u/bin".into(), "/usr".into()], listed: vec![] };
        plan(request, &copies, &facts, &places)
    }

    #[test]
    fn the_command_is_in_its_copy_and_sees_no_way_to_what_it_may_not_execute() {
        let plan = planned(&request(Network::None)).unwrap();
        assert!(plan.steps.contains(&Step::Enter { at: "/s/copy0/d".into() }));
        assert_eq!(plan.steps.last(), Some(&Step::Guard), "nothing is done after the filter");
        let expected = [
            "HOME=/home/u",
            "PATH=/usr/bin:/home/u/bin:x",
            "PWD=/s/copy0/d",
            "TMPDIR=/s/tmp",
            "TMP=/s/tmp",
            "TEMP=/s/tmp",
        ];
        assert_eq!(plan.env, expected.map(FilePath::from));
        assert!(plan.gaps.iter().any(|gap| gap.layer == Layer::Overlay && gap.why.contains("home")));
    }

    #[test]
    fn what_needs_namespaces_is_refused() {
        let rule = |text: &str| text.parse::<NetRule>().unwrap();
        let named = |rule| request(Network::Named { allow: vec![rule], refuse: Vec::new() });
        let plan = planned(&named(rule("example.org:443"))).unwrap();
        assert_eq!(plan.steps.last(), Some(&Step::Guard));
        assert!(planned(&named(rule("example.org:443/udp"))).is_ok());
        let nested = Request { allow_nested: true, ..request(Network::None) };
        assert!(matches!(planned(&nested), Err(SandboxError::Request(why)) if why.contains("--allow-nested")));
    }
}
