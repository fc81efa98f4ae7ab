//! A project's own profile over the one that was chosen: until it is trusted, it only tightens.

use super::Profile;
use model::{Apply, Limits};
use std::collections::BTreeSet;

/// What a project asked for and was not given, in the words of its file.
pub type Refused = Vec<String>;

impl Profile {
    /// This profile with that of a project over it, and what of that was refused because it would have loosened.
    #[must_use]
    pub fn with_project(&self, project: &Profile, trusted: bool) -> (Profile, Refused) {
        if trusted { (self.extended(project), Vec::new()) } else { self.tightened(project) }
    }

    fn extended(&self, by: &Profile) -> Profile {
        Profile {
            says: self.says.clone(),
            home: by.home.or(self.home),
            workspace: by.workspace.or(self.workspace),
            write: joined(&self.write, &by.write),
            read: joined(&self.read, &by.read),
            hide: joined(&self.hide, &by.hide),
            allow_net: joined(&self.allow_net, &by.allow_net),
            env: by.env.or(self.env),
            pass: joined(&self.pass, &by.pass),
            set: self.set.clone().into_iter().chain(by.set.clone()).collect(),
            limits: by.limits.or(self.limits),
            backend: by.backend.or(self.backend),
            apply: by.apply.or(self.apply),
            // Who runs it says whether somebody can be asked.
            unattended: Some(self.unattended == Some(true) || by.unattended == Some(true)).filter(|yes| *yes),
            accept_weak: self.accept_weak.clone(),
            // A project's rules are a layer of their own.
            rules: self.rules.clone(),
            rules_after: self.rules_after,
        }
    }

    fn tightened(&self, by: &Profile) -> (Profile, Refused) {
        let mut out = self.clone();
        let mut refused = Vec::new();
        out.home = self.home.max(by.home);
        out.workspace = self.workspace.max(by.workspace);
        out.env = self.env.max(by.env);
        let looser = [
            ("files.home", by.home.is_some_and(|home| home < self.home.unwrap_or_default())),
            ("files.workspace", by.workspace.is_some_and(|access| access < self.workspace.unwrap_or_default())),
            ("environment.base", by.env.is_some_and(|env| env < self.env.unwrap_or_default())),
            ("run.backend", by.backend.is_some_and(|backend| backend != self.backend.unwrap_or_default())),
            ("run.unattended", by.unattended == Some(false) && self.unattended == Some(true)),
        ];
        refused.extend(looser.iter().filter(|(_, looser)| *looser).map(|(name, _)| (*name).to_owned()));
        let more = |name: &str, own: &[String], theirs: &[String]| -> Refused {
            let new = theirs.iter().filter(|one| !own.contains(one));
            new.map(|one| format!("{name} {}", model::escape::text(one))).collect()
        };
        refused.extend(more("files.write", &self.write, &by.write));
        refused.extend(more("files.read", &self.read, &by.read));
        refused.extend(more("environment.pass", &self.pass, &by.pass));
        let rules = |rules: &[model::NetRule]| rules.iter().map(ToString::to_string).collect::<Vec<_>>();
        refused.extend(more("network.allow", &rules(&self.allow_net), &rules(&by.allow_net)));
        let set = by.set.iter().filter(|(name, value)| self.set.get(*name) != Some(*value));
        refused.extend(set.map(|(name, _)| format!("environment.set {}", model::escape::text(name))));
        out.hide = joined(&self.hide, &by.hide);
        out.limits = self.limits.tightened(by.limits);
        refused.extend(raised(self.limits, by.limits));
        out.unattended = if by.unattended == Some(true) { by.unattended } else { self.unattended };
        match by.apply {
            // Throwing away what somebody worked for is no tightening.
            Some(apply) if apply != Apply::Discard && rank(apply) <= rank(self.apply.unwrap_or(Apply::Ask)) => {
                out.apply = Some(apply);
            }
            Some(apply) if Some(apply) != self.apply => refused.push(format!("run.apply {}", apply.word())),
            _ => {}
        }
        (out, refused)
    }
}

impl Profile {
    /// What this profile gives that `before` does not, in the words of its file; its rules are not looked at.
    #[must_use]
    pub fn looser_than(&self, before: &Profile) -> Vec<String> {
        // What is not said is as it is where nobody says anything.
        let said = Profile {
            home: Some(self.home.unwrap_or_default()),
            workspace: Some(self.workspace.unwrap_or_default()),
            env: Some(self.env.unwrap_or_default()),
            apply: self.apply.or(Some(Apply::Ask)),
            unattended: Some(self.unattended == Some(true)),
            backend: before.backend,
            ..self.clone()
        };
        let (_, mut looser) = before.tightened(&said);
        // Throwing away what somebody worked for is refused to a project, and gives a command nothing.
        looser.retain(|one| one != "run.apply discard");
        let shown = before.hide.iter().filter(|path| !self.hide.contains(path));
        looser.extend(shown.map(|path| format!("files.hide without {}", model::escape::text(path))));
        let own = self.limits.set_ones();
        let gone = before.limits.set_ones().into_iter().filter(|(name, ..)| !own.iter().any(|(own, ..)| own == name));
        looser.extend(gone.map(|(name, ..)| format!("limits.{name} none")));
        let weak = self.accept_weak.iter().filter(|layer| !before.accept_weak.contains(layer));
        looser.extend(weak.map(|layer| format!("run.accept-weak {}", layer.word())));
        looser
    }
}

/// Limits that would be higher.
fn raised(own: Limits, theirs: Limits) -> impl Iterator<Item = String> {
    let own = own.set_ones();
    let higher = move |name: &str, value: u64| own.iter().any(|(known, _, most)| *known == name && value > *most);
    let theirs = theirs.set_ones().into_iter();
    theirs.filter(move |(name, _, value)| higher(name, *value)).map(|(name, text, _)| format!("limits.{name} {text}"))
}

/// How much becomes real without a person.
fn rank(apply: Apply) -> u8 {
    match apply {
        Apply::Never | Apply::Discard => 0,
        Apply::Ask => 1,
        Apply::Auto => 2,
        Apply::Always => 3,
    }
}

/// Each once, in order.
fn joined<T: Ord + Clone>(own: &[T], more: &[T]) -> Vec<T> {
    let mut seen = BTreeSet::new();
    own.iter().chain(more).filter(|one| seen.insert((*one).clone())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Profile, Whose};

    fn profile(text: &str) -> Profile {
        Profile::parse("p", text, Whose::Project).unwrap()
    }

    const LOOSE: &str = "[files]\nhome = \"copy\"\nwrite = [\"/srv/x\"]\nread = [\"~/.ssh\"]\n[network]\nallow = [\"*\"]\n\
        [environment]\nbase = \"usual\"\npass = [\"AWS_PROFILE\"]\nset = { LD_PRELOAD = \"x\" }\n[limits]\nmem = \"8G\"\n\
        [run]\nbackend = \"kernel\"\napply = \"always\"\nunattended = false\n";
    const TIGHT: &str = "[files]\nhome = \"hidden\"\nhide = [\"private\"]\n[environment]\nbase = \"basic\"\n\
        [limits]\nmem = \"1G\"\npids = 9\n[run]\napply = \"never\"\nunattended = true\n";

    #[test]
    fn an_untrusted_project_loosens_nothing() {
        let base = profile(TIGHT);
        let (out, refused) = base.with_project(&profile(LOOSE), false);
        assert_eq!(out, base);
        let expected = [
            "files.home",
            "environment.base",
            "run.backend",
            "run.unattended",
            "files.write /srv/x",
            "files.read ~/.ssh",
            "environment.pass AWS_PROFILE",
            "network.allow *",
            "environment.set LD_PRELOAD",
            "limits.mem 8G",
            "run.apply always",
        ];
        assert_eq!(refused, expected);
        let (out, refused) = Profile::default().with_project(&profile("[run]\napply = \"discard\"\n"), false);
        assert_eq!((out, refused), (Profile::default(), vec!["run.apply discard".to_owned()]));
    }

    #[test]
    fn what_a_profile_gives_more_is_told_whichever_way_it_is_said() {
        let (loose, tight, nothing) = (profile(LOOSE), profile(TIGHT), Profile::default());
        for same in [&loose, &tight, &nothing] {
            assert_eq!(same.looser_than(same), Vec::<String>::new());
        }
        assert_eq!(tight.looser_than(&nothing), Vec::<String>::new());
        let more = ["files.home", "environment.base", "run.unattended", "run.apply ask", "files.hide without private"];
        let more: Vec<&str> = more.into_iter().chain(["limits.mem none", "limits.pids none"]).collect();
        assert_eq!(nothing.looser_than(&tight), more);
        assert_eq!(loose.looser_than(&tight).len(), 12);
        let weak = Profile { accept_weak: vec![model::Layer::Seccomp], ..Profile::default() };
        assert_eq!(weak.looser_than(&nothing), ["run.accept-weak seccomp"]);
        let discard = profile("[run]\napply = \"discard\"\n");
        assert_eq!(discard.looser_than(&nothing), Vec::<String>::new());
    }

    #[test]
    fn an_untrusted_project_tightens_everything() {
        let (out, refused) = profile(LOOSE).with_project(&profile(TIGHT), false);
        assert_eq!(refused, Vec::<String>::new());
        let tight = profile(TIGHT);
        assert_eq!((out.home, &out.hide, out.env, out.limits), (tight.home, &tight.hide, tight.env, tight.limits));
        assert_eq!((out.apply, out.unattended), (tight.apply, tight.unattended));
    }

    #[test]
    fn a_trusted_project_adds() {
        let (out, refused) = profile(TIGHT).with_project(&profile(LOOSE), true);
        assert_eq!(refused, Vec::<String>::new());
        let loose = profile(LOOSE);
        assert_eq!((out.home, &out.write, &out.allow_net), (loose.home, &loose.write, &loose.allow_net));
        assert_eq!((out.limits.memory, out.limits.processes), (Some(8 << 30), Some(9)));
        assert_eq!(out.unattended, Some(true), "whether somebody can be asked is not the project's to say");
    }
}
