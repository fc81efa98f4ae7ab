//! Which backend keeps a root, what that changes for a command, and a jar inside a jar.

use crate::support::{assert_nothing_left, both, only_trial, sh};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use testkit::{Run, World, until};

/// `belljar run --backend kernel --apply never -- sh -c SCRIPT`.
fn kept<'w>(world: &'w World, script: &str) -> Run<'w> {
    world.belljar(["run", "--backend", "kernel", "--apply", "never", "--", "sh", "-c", script])
}

/// Backend and reason of the workspace's overlay in a report.
#[track_caller]
fn workspace_backend(world: &World, report: &Value) -> (String, String) {
    let workspace = world.workspace();
    let workspace = workspace.canonicalize().unwrap();
    let backends = report["containment"]["backends"].as_array().unwrap_or_else(|| panic!("{report:#}"));
    let mine = backends.iter().find(|row| row["root"].as_str().is_some_and(|root| Path::new(root) == workspace));
    let mine = mine.unwrap_or_else(|| panic!("{backends:#?}"));
    (mine["backend"].as_str().unwrap().to_owned(), mine["why"].as_str().unwrap().to_owned())
}

const EVERYDAY: &str = "set -e; echo more >> a; rm gone; mkdir -p new/deep; echo n > new/deep/f; ln -s a link
    chmod 600 kept; mv d moved; rm -r tree; mkdir tree; echo t > tree/t; ln new/deep/f hard; mkfifo pipe";

fn plant(world: &World) {
    world.file("a", "old\n").file("gone", "x").file("kept", "k").file("d/f", "f").file("tree/x", "x");
}

both! {
    fn the_kernel_is_chosen_where_the_command_is_understood(world) {
        world.file("a", "old\n");
        for (command, expected) in [
            (&["cp", "a", "b"][..], "kernel"),
            (&["rm", "a"], "kernel"),
            (&["mv", "a", "b"], "fuse"),
            (&["sh", "-c", "./unknown || cp a b"], "fuse"),
        ] {
            let run = ["run", "--json", "--apply", "never", "--"].iter().chain(command).copied();
            let report = world.belljar(run).run().success().json();
            let (backend, why) = workspace_backend(world, &report);
            assert_eq!(backend, expected, "{command:?}: {why}");
            assert!(!why.is_empty());
            let shown = world.belljar(["show"]).run();
            shown.success();
            assert!(shown.stdout.contains(&format!("is kept by {backend}: {why}")), "{}", shown.report());
            let home = &report["containment"]["backends"][0];
            assert_eq!((home["backend"].as_str(), home["why"].as_str().map(|why| why.contains("hidden"))), (Some("fuse"), Some(true)));
            world.belljar(["discard", "--yes"]).run().success();
        }
        let asked = ["run", "--json", "--backend", "fuse", "--apply", "never", "--", "cp", "a", "b"];
        let report = world.belljar(asked).run().success().json();
        assert_eq!(workspace_backend(world, &report), ("fuse".to_owned(), "asked for".to_owned()));
        world.belljar(["discard", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    fn both_backends_give_the_host_the_same(world) {
        let mut trees = Vec::new();
        for backend in ["fuse", "kernel"] {
            std::fs::remove_dir_all(world.workspace()).unwrap();
            world.dir("");
            plant(world);
            let before = world.snapshot();
            let run = ["run", "--json", "--backend", backend, "--apply", "never", "--", "sh", "-c", EVERYDAY];
            let report = world.belljar(run).run().success().json();
            assert_eq!(workspace_backend(world, &report).0, backend);
            world.assert_untouched(&before);
            world.belljar(["apply", "--yes"]).run().success();
            assert_nothing_left(world);
            let look = "find . -printf '%p %y %m %U %G %s %l\n' | grep -v ' d ' | sort
                cat a d/f moved/f new/deep/f tree/t 2>&1; stat -c %h hard";
            trees.push(world.command("sh").args(["-c", look]).run().stdout.clone());
        }
        assert_eq!(trees[0], trees[1]);
    }

    /// Under its second name a file of the host shows another inode number, which git refuses: so auto must not choose
    /// the kernel for it.
    fn a_local_clone_works_by_default(world) {
        world.file("a", "old\n").git_init();
        world.command("git").args(["gc", "-q"]).run().success();
        let run = world.belljar(["run", "--apply", "never", "--", "git", "clone", "-q", ".", "copy"]).run();
        run.success();
        world.belljar(["apply", "--yes"]).run().success();
        assert_eq!(world.read("copy/a").as_deref(), Some("old\n"));
        assert_nothing_left(world);
    }

    fn where_the_kernel_cannot_be_had_it_says_why(world) {
        world.file("a", "old\n").file("secret", "s");
        let secret = world.workspace().join("secret");
        let secret = secret.to_str().unwrap();
        let refused = world.belljar(["run", "--backend", "kernel", "--hide", secret, "--", "touch", "ran"]).run();
        refused.code(125);
        assert!(refused.stderr.contains("hidden") && refused.stderr.contains("--backend auto"), "{}", refused.report());
        assert_eq!(world.trials().len(), 0, "nothing ran");
        // Where the home itself is the workspace, no root is left that the kernel could keep.
        let home = world.belljar(["run", "--backend", "kernel", "--", "touch", "ran"]).cwd(world.home()).run();
        home.code(125);
        assert!(home.stderr.contains("hidden"), "{}", home.report());
        // auto takes fuse, which hides it and reports the attempt.
        let run = ["run", "--json", "--hide", secret, "--apply", "discard", "--", "cat", "secret"];
        let report = world.belljar(run).run();
        assert_eq!(workspace_backend(world, &report.json()).0, "fuse", "{}", report.report());
        assert!(report.json()["attempts"].to_string().contains("secret"), "{}", report.report());
        assert_nothing_left(world);
    }

    /// Files of others: copying them up fails with an odd error (EOVERFLOW), so an ordinary user's jar leaves them to
    /// fuse.
    fn foreign_owners_are_for_fuse_unless_every_id_is_known(world) {
        world.file("a", "old\n").file("theirs", "t\n").mode("theirs", 0o666);
        std::os::unix::fs::chown(world.workspace().join("theirs"), Some(54_321), Some(54_321)).unwrap();
        let run = ["run", "--json", "--apply", "never", "--", "tee", "-a", "theirs"];
        let report = world.belljar(run).stdin("more\n").run().json();
        let expected = if world.is_root() { "kernel" } else { "fuse" };
        assert_eq!(workspace_backend(world, &report).0, expected, "{report:#}");
        if !world.is_root() {
            let asked = world.belljar(["run", "--backend", "kernel", "--", "true"]).run();
            asked.code(125);
            assert!(asked.stderr.contains("owner"), "{}", asked.report());
            world.belljar(["discard", "--yes"]).run().success();
        } else {
            world.belljar(["apply", "--yes"]).run().success();
            assert_eq!(world.read("theirs").unwrap(), "t\nmore\n");
        }
        assert_nothing_left(world);
    }

    /// Where a jar is put together, and has its own `/tmp` afterwards.
    fn a_workspace_and_its_layers_may_lie_below_tmp(world) {
        let below = tempfile::tempdir_in("/tmp").unwrap();
        let (uid, gid) = world.owner();
        let [project, state] = ["project", "state"].map(|name| below.path().join(name));
        std::fs::write(below.path().join("beside"), "x").unwrap();
        for path in [below.path(), &project, &state] {
            std::fs::create_dir_all(path).unwrap();
            std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
        }
        std::fs::write(project.join("a"), "old\n").unwrap();
        std::os::unix::fs::chown(project.join("a"), Some(uid), Some(gid)).unwrap();
        for backend in ["kernel", "fuse"] {
            let script = "echo new > a && cat a && mkdir d && ls ..";
            let run = ["run", "--json", "--backend", backend, "--apply", "discard", "--", "sh", "-c", script];
            let report = world.belljar(run).cwd(&project).env("XDG_STATE_HOME", &state).run().success().json();
            let backends = report["containment"]["backends"].as_array().unwrap();
            let own = backends.iter().find(|row| row["root"].as_str().is_some_and(|root| Path::new(root) == project));
            assert_eq!(own.unwrap()["backend"].as_str(), Some(backend), "{report:#}");
            let changed = report["changes"].to_string();
            assert!(changed.contains("project/a") && changed.contains("project/d"), "{changed}");
            assert_eq!(std::fs::read_to_string(project.join("a")).unwrap(), "old\n");
        }
        assert_nothing_left(world);
    }

    fn a_home_that_is_only_shown_may_lie_below_tmp(world) {
        let home = tempfile::tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(home.path().join("note"), "shown\n").unwrap();
        std::fs::write(home.path().join(".netrc"), "secret\n").unwrap();
        world.file("shown.toml", "[files]\nhome = \"read-only\"\n");
        let script = "cat ~/note; cat ~/.netrc; touch ~/new; ls -A ~";
        let run = ["run", "--profile", "shown.toml", "--apply", "discard", "--", "sh", "-c", script];
        let output = world.belljar(run).env("HOME", home.path()).env("XDG_STATE_HOME", world.state()).run();
        assert!(output.stdout.starts_with("shown\n") && !output.stdout.contains("secret"), "{}", output.report());
        assert!(output.stderr.contains("Read-only") && !home.path().join("new").exists(), "{}", output.report());
        assert_nothing_left(world);
    }

    fn killed_while_the_kernel_keeps_the_workspace(world) {
        world.file("a", "old\n").file("d/f", "f");
        let before = world.snapshot();
        let mut run = kept(world, "echo new > a; rm -r d; echo b > b; echo ready; sleep 300").spawn();
        run.expect("ready");
        let trial = only_trial(world);
        run.kill();
        assert!(until(Duration::from_secs(2), || world.leftovers().is_empty()), "{:#?}", world.leftovers());
        world.assert_untouched(&before);
        // The host goes on meanwhile: that is a conflict, and the rest can be had.
        world.file("a", "host\n");
        let refused = world.belljar(["apply", &trial, "a", "--yes"]).run();
        refused.code(125);
        assert_eq!(world.read("a").unwrap(), "host\n");
        world.belljar(["apply", &trial, "b", "d", "--yes"]).run().success();
        assert!(world.has("b") && !world.has("d"));
        world.belljar(["discard", &trial, "--yes"]).run().success();
        assert_nothing_left(world);
    }

    fn what_the_host_changed_while_the_kernel_kept_it_is_a_conflict(world) {
        world.file("a", "old\n").file("b", "old\n").file("c", "old\n");
        let mut run = kept(world, "echo jar >> a; echo jar >> b; rm c; echo ready; read x; echo over").stdin("").spawn();
        run.expect("ready");
        world.file("a", "host\n").file("c", "host\n");
        run.expect("over");
        run.wait();
        let refused = world.belljar(["apply", "--yes"]).run();
        refused.code(125);
        assert!(refused.stderr.contains("/a ") && refused.stderr.contains("/c "), "{}", refused.report());
        assert_eq!(world.read("b").unwrap(), "old\n", "nothing was applied");
        world.belljar(["apply", "b", "--yes"]).run().success();
        assert_eq!((world.read("a").unwrap(), world.read("b").unwrap()), ("host\n".into(), "old\njar\n".into()));
        world.belljar(["discard", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    /// The upper layer is not to be reached by another way than the view.
    fn a_command_reaches_the_layer_by_its_view_only(world) {
        world.file("a", "old\n").dir("d");
        let state = world.state();
        let script = format!(
            "ls '{state}/belljar/trials' 2>&1; for f in /proc/*/fd/*; do test -d $f/upper && echo found $f; done
             setfattr -n user.overlay.redirect -v /../../etc d; setfattr -n user.overlay.opaque -v y d
             mknod w c 0 0 && echo made; mount -o remount,rw / 2>/dev/null && echo mounted
             umount . 2>/dev/null && echo unmounted; echo x > d/x; ls d",
            state = state.display()
        );
        let run = kept(world, &script).run();
        assert!(!run.stdout.contains("found") && !run.stdout.contains("made"), "{}", run.report());
        assert!(!run.stdout.contains("mounted") && run.stdout.ends_with("x\n"), "{}", run.report());
        assert!(!run.stdout.contains(&only_trial(world)), "{}", run.report());
        world.belljar(["apply", "--yes"]).run().success();
        let marks = world.command("getfattr").args(["-R", "-d", "-m", "user.(overlay|belljar)", "."]).run();
        assert_eq!((marks.stdout.as_str(), world.read("d/x").as_deref()), ("", Some("x\n")));
        assert_nothing_left(world);
    }

    fn a_jar_inside_a_jar_says_what_to_do(world) {
        world.file("a", "old\n");
        world.file("inner-belljar", std::fs::read(world.exe()).unwrap()).mode("inner-belljar", 0o755);
        let run = sh(world, "never", "./inner-belljar run -- touch inner; echo code $?; ./inner-belljar doctor").run();
        assert!(run.stdout.contains("code 125"), "{}", run.report());
        assert!(run.stderr.contains("inside another belljar"), "{}", run.report());
        assert!(run.stderr.contains("without `belljar run`"), "{}", run.report());
        assert!(run.stderr.contains("--allow-nested"), "{}", run.report());
        assert!(run.stdout.contains("this jar allows none"), "{}", run.report());
        // The inner one has written nothing, no state of its own either.
        assert_nothing_left(world);
    }
}
