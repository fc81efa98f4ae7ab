//! Rules that a jar holds although nobody announced anything: what a program in a real jar can open and reach, the policy
//! allows.

use crate::support::{assert_nothing_left, both};
use crate::withheld::withheld;
use model::{Action, Analysis, Certainty, Effect, FilePath, PathScope, Place, Reversibility, Target, Verdict};
use policy::{Layer, Origin, Policy};
use std::collections::BTreeSet;

use testkit::{Random, World};

const DIRECTORIES: [&str; 8] =
    ["", "data", "data/private", "data/privates", "notes/private", "project", "project/src", "project/private"];
const NAMES: [&str; 5] = ["a", "ab", "a.key", "b.key", "x y"];
/// Of the host, in every jar.
const OUTSIDE: [&str; 4] =
    ["/etc/hostname", "/etc/passwd", "/usr/share/common-licenses/GPL-2", "/usr/share/common-licenses/BSD"];

fn furnish(world: &World) -> Vec<String> {
    let home = world.home();
    let mut paths: Vec<String> = OUTSIDE.map(str::to_owned).into();
    for (directory, name) in DIRECTORIES.iter().flat_map(|directory| NAMES.map(|name| (directory, name))) {
        let path = home.join(directory).join(name);
        world.file(&path, "x");
        paths.push(path.to_str().unwrap().to_owned());
    }
    // Opens what it is told to, one way and another, and prints what it could.
    world.file(
        "probe.sh.py",
        "import os, sys\nfor path in open('paths').read().splitlines():\n    here = os.path.relpath(path)\n    try:\n        \
         os.symlink(path, 'link')\n    except OSError:\n        pass\n    for way in (path, here, 'link'):\n        try:\n            \
         open(way).close()\n            print(path)\n        except OSError:\n            pass\n    try:\n        \
         os.unlink('link')\n    except OSError:\n        pass\n",
    );
    world.file("paths", paths.join("\n"));
    paths
}

/// A condition about paths below a home.
fn condition(random: &mut Random, home: &str, depth: usize) -> String {
    if depth > 0 && random.once_in(2) {
        let [one, other] = [(); 2].map(|()| condition(random, home, depth - 1));
        return match random.below(3) {
            0 => format!("({one} || {other})"),
            1 => format!("({one} && {other})"),
            _ => format!("({one} && !({other}))"),
        };
    }
    let (directory, name) = (random.pick(&DIRECTORIES[1..]), random.pick(&NAMES));
    match random.below(9) {
        0 | 1 => format!("resource.path like \"{home}/{directory}/*\""),
        2 => format!("resource.path == \"{home}/{directory}/{name}\""),
        3 => format!("resource.path like \"{home}/{directory}*\" && resource.path like \"*key\""),
        4 => "resource.path like \"*.key\"".to_owned(),
        5 => format!("resource.name == \"{name}\""),
        6 => "resource.path like \"*/private/*\"".to_owned(),
        7 => "resource.path like \"/usr/share/common-licenses/*\"".to_owned(),
        _ => "resource.path == \"/etc/hostname\"".to_owned(),
    }
}

fn rules(random: &mut Random, home: &str) -> String {
    let rule = |at: usize, random: &mut Random| {
        // What the probe itself needs.
        let not = "!(resource.name like \"probe*\") && !(resource.name == \"paths\")";
        let until = if random.once_in(3) { " unless { context.approved }" } else { "" };
        let when = condition(random, home, 2);
        format!(
            "@id(\"r{at}\")\nforbid (principal, action == Action::\"read\", resource is Path)\nwhen {{ {not} && ({when}) }}{until};\n"
        )
    };
    (0..1 + random.below(2)).map(|at| rule(at, random)).collect()
}

fn verdict(policy: &Policy, place: &Place, path: &str) -> Verdict {
    let read = Effect {
        action: Action::Read,
        target: Target::Path { path: FilePath::from(path), scope: PathScope::Exact },
        certainty: Certainty::Must,
        reversibility: Reversibility::Harmless,
        span: None,
        by: None,
    };
    let analysis = Analysis::of("x", vec![read]);
    let assessment = policy.assess(&analysis, place);
    policy.decide(&analysis, &assessment, place).verdict
}

both! {
    fn what_can_be_opened_in_a_jar_its_policy_allows(world) {
        let paths = furnish(world);
        let home = world.home().to_str().unwrap().to_owned();
        let place = Place {
            cwd: world.workspace().into(),
            workspace: world.workspace().into(),
            home: world.home().into(),
            state: world.state().join("belljar").into(),
            uid: world.owner().0,
            contained: true,
        };
        let (mut opened, mut refused, mut none) = (0, 0, 0);
        for seed in 0..9 {
            let text = rules(&mut Random(seed), &home);
            world.file(world.home().join(".config/belljar/policies/random.cedar"), &text);
            let policy = Policy::layered(&[Layer { name: "random", origin: Origin::User, text: &text }]).unwrap();
            let profile = ["workspace", "untrusted-repo", "workspace"][usize::try_from(seed).unwrap() % 3];
            let run = ["run", "--apply", "discard", "--profile", profile, "--", "/usr/bin/python3", "probe.sh.py"];
            let run = world.belljar(run);
            let run = if seed % 3 == 2 { withheld("docker", run).run() } else { run.run() };
            if run.stderr.contains("is hidden by random") || run.stderr.contains("hides all of") {
                none += 1;
                continue;
            }
            run.success();
            let seen: BTreeSet<&str> = run.stdout.lines().collect();
            assert!(seen.len() >= 2, "{}", run.report());
            for path in &paths {
                let allowed = verdict(&policy, &place, path) == Verdict::Allow;
                if seen.contains(path.as_str()) {
                    assert!(allowed, "{path} was opened in {profile} ({seed}):\n{text}{}", run.report());
                    opened += 1;
                } else {
                    refused += 1;
                }
            }
        }
        println!("{opened} opened, {refused} refused, {none} without a jar");
        assert!(opened >= 50 && refused >= 30 && none <= 4, "{opened} {refused} {none}");
        assert_nothing_left(world);
    }

    /// What a rule asks about is shown to who announced it and was approved, and to who was named beforehand, and told to
    /// everybody else.
    fn what_is_asked_about_is_seen_by_who_announced_it(world) {
        furnish(world);
        let home = world.home().to_str().unwrap().to_owned();
        let rules = format!(
            "@id(\"keys\")\nforbid (principal, action == Action::\"read\", resource is Path)\n\
             when {{ resource.path like \"{home}/data/*.key\" }} unless {{ context.approved }};\n"
        );
        world.file(world.home().join(".config/belljar/policies/mine.cedar"), rules);
        let key = format!("{home}/data/a.key");
        world.file("opens.py", format!("print(open('{key}').read())\n"));
        let run = |args: &[&str]| world.belljar([&["run", "--apply", "never"], args].concat()).run();
        // Announced: a person is asked, and there is none.
        run(&["--", "cat", &key]).code(126);
        let opaque = run(&["--", "/usr/bin/python3", "opens.py"]);
        opaque.code(1).stderr_has("No such file").stderr_has("mine.cedar:keys");
        run(&["--read", &key, "--", "/usr/bin/python3", "opens.py"]).success().stdout_has("x");
        assert_nothing_left(world);
    }
}
