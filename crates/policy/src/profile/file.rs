//! Profiles as TOML: read strictly, and every fault said with line and column.

use super::{Profile, Whose};
use crate::confine::{ConfineRequest, confine};
use crate::error::PolicyError;
use crate::layer::{LAYER_BYTES_MAX, position};
use model::{Access, Apply, BackendWish, EnvBase, FilePath, Layer, Limits, NetRule, Place};
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    says: String,
    #[serde(default)]
    files: Files,
    #[serde(default)]
    network: Network,
    #[serde(default)]
    environment: Environment,
    #[serde(default)]
    limits: BTreeMap<Spanned<String>, Spanned<Amount>>,
    #[serde(default)]
    run: Run,
    rules: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Files {
    home: Option<Access>,
    workspace: Option<Spanned<Access>>,
    #[serde(default)]
    write: Vec<Spanned<String>>,
    #[serde(default)]
    read: Vec<Spanned<String>>,
    #[serde(default)]
    hide: Vec<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Network {
    #[serde(default)]
    allow: Vec<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Environment {
    base: Option<EnvBase>,
    #[serde(default)]
    pass: Vec<Spanned<String>>,
    #[serde(default)]
    set: BTreeMap<Spanned<String>, String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Run {
    backend: Option<BackendWish>,
    apply: Option<Apply>,
    unattended: Option<bool>,
    #[serde(default)]
    accept_weak: Vec<Spanned<String>>,
}

/// Said of a limit whose value is something else.
const NO_AMOUNT: &str = "a limit is a whole number or a text";

/// `512` or `"4G"`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Amount {
    Number(u64),
    Text(String),
}

/// A text and its name, for errors.
struct Reader<'a> {
    name: &'a str,
    text: &'a str,
}

pub(super) fn parse(name: &str, text: &str, whose: Whose) -> Result<Profile, PolicyError> {
    if text.len() > LAYER_BYTES_MAX {
        return Err(PolicyError::TooLarge { layer: name.to_owned(), bytes: text.len() });
    }
    let reader = Reader { name, text };
    let file: File = toml::from_str(text).map_err(|error| reader.toml(&error))?;
    if let (Whose::Project, Some(first)) = (whose, file.run.accept_weak.first()) {
        let why = "a project may not have a jar without one of its layers".to_owned();
        return Err(reader.wrong(first, why, "take it out; you can give --accept-weak yourself"));
    }
    if let Some(workspace) = file.files.workspace.as_ref().filter(|access| *access.get_ref() == Access::Hidden) {
        let why = "the workspace cannot be hidden: the command works there".to_owned();
        return Err(reader.wrong(workspace, why, "write workspace = \"copy\" or \"read-only\""));
    }
    let (rules, rules_after) = reader.rules(file.rules);
    Ok(Profile {
        rules,
        rules_after,
        says: file.says,
        home: file.files.home,
        workspace: file.files.workspace.map(Spanned::into_inner),
        write: reader.wishes(file.files.write, |path, wishes| wishes.write = vec![path])?,
        read: reader.wishes(file.files.read, |path, wishes| wishes.read = vec![path])?,
        hide: reader.paths(file.files.hide)?,
        allow_net: file.network.allow.iter().map(|rule| reader.rule(rule)).collect::<Result<_, _>>()?,
        env: file.environment.base,
        pass: reader.names(file.environment.pass)?,
        set: reader.values(file.environment.set)?,
        limits: reader.limits(&file.limits)?,
        backend: file.run.backend,
        apply: file.run.apply,
        unattended: file.run.unattended,
        accept_weak: file.run.accept_weak.iter().map(|word| reader.layer(word)).collect::<Result<_, _>>()?,
    })
}

impl Reader<'_> {
    fn wrong<T>(&self, at: &Spanned<T>, message: String, hint: impl Into<String>) -> PolicyError {
        let (line, column) = position(self.text, at.span().start);
        PolicyError::Profile { layer: self.name.to_owned(), line, column, message, hint: hint.into() }
    }

    fn toml(&self, error: &toml::de::Error) -> PolicyError {
        let (line, column) = position(self.text, error.span().map_or(0, |span| span.start));
        // Some messages have lines of their own.
        let message = error.message().lines().map(str::trim).collect::<Vec<_>>().join("; ");
        // The library's words for an `Amount` that is none are about its type.
        let message = if message.starts_with("data did not match") { NO_AMOUNT.to_owned() } else { message };
        let hint = hint(&message);
        PolicyError::Profile { layer: self.name.to_owned(), line, column, message: model::escape::text(&message), hint }
    }

    /// The rules, and how many lines stand before them: one more than before the quotes, after which a line ends.
    fn rules(&self, given: Option<Spanned<String>>) -> (String, usize) {
        let Some(given) = given else { return (String::new(), 0) };
        let start = given.span().start;
        let opening = self.text.get(start..).unwrap_or_default().trim_start_matches(['\'', '"']);
        let (line, _) = position(self.text, start);
        (given.into_inner(), line - usize::from(!opening.starts_with(['\n', '\r'])))
    }

    fn paths(&self, given: Vec<Spanned<String>>) -> Result<Vec<String>, PolicyError> {
        given.into_iter().map(|path| self.path(path)).collect()
    }

    /// Paths that no jar can have are told here, where it can be said which. Links are for later.
    fn wishes(
        &self,
        given: Vec<Spanned<String>>,
        wish: fn(FilePath, &mut ConfineRequest<'_>),
    ) -> Result<Vec<String>, PolicyError> {
        let anywhere = anywhere();
        for one in &given {
            let mut wishes = ConfineRequest { cwd: anywhere.cwd.clone(), ..ConfineRequest::default() };
            Profile::at(&anywhere, one.get_ref()).into_iter().for_each(|path| wish(path, &mut wishes));
            if let Err(error) = confine(&anywhere, &wishes) {
                let message = error.to_string().replace("/home/u/", "~/");
                return Err(self.wrong(one, message, error.hint()));
            }
        }
        self.paths(given)
    }

    fn path(&self, given: Spanned<String>) -> Result<String, PolicyError> {
        let text = given.get_ref();
        let told = model::escape::text(text);
        let fault = if text.is_empty() {
            Some(("an empty path".to_owned(), "name a file or directory: \"/srv/data\", \"~/.cache\", \"build\""))
        } else if FilePath::decode(text).is_none() {
            Some((
                format!("`{told}`: a backslash that escapes nothing"),
                "write \\\\\\\\ for a backslash in a path, in single quotes \\\\",
            ))
        } else if text.starts_with('~') && text != "~" && !text.starts_with("~/") {
            Some((format!("`{told}`: only your own home has a short form"), "write \"~/...\", or the whole path"))
        } else if text.contains(['*', '?']) {
            Some((format!("`{told}`: patterns are not taken, a path stands for all below it"), "name the directory"))
        } else if text.contains('$') {
            Some((
                format!("`{told}`: variables are not replaced"),
                "write \"~/...\" for the home; a path without / or ~/ in front lies in the workspace",
            ))
        } else {
            None
        };
        match fault {
            Some((message, hint)) => Err(self.wrong(&given, message, hint)),
            None => Ok(given.into_inner()),
        }
    }

    fn rule(&self, given: &Spanned<String>) -> Result<NetRule, PolicyError> {
        given.get_ref().parse().map_err(|why| {
            let message = format!("network.allow \"{}\": {why}", model::escape::text(given.get_ref()));
            self.wrong(
                given,
                message,
                "for example \"registry.npmjs.org:443\", \"*.example.org\", \"10.1.0.0/16:5432\"",
            )
        })
    }

    fn names(&self, given: Vec<Spanned<String>>) -> Result<Vec<String>, PolicyError> {
        given.into_iter().map(|name| self.variable(&name).map(|()| name.into_inner())).collect()
    }

    fn values(&self, given: BTreeMap<Spanned<String>, String>) -> Result<BTreeMap<String, String>, PolicyError> {
        let mut out = BTreeMap::new();
        for (name, value) in given {
            self.variable(&name)?;
            if value.contains('\0') {
                return Err(self.wrong(&name, "a value with a NUL byte".to_owned(), "no variable can have one"));
            }
            out.insert(name.into_inner(), value);
        }
        Ok(out)
    }

    fn variable(&self, name: &Spanned<String>) -> Result<(), PolicyError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.get_ref().is_empty() && name.get_ref().chars().all(plain) {
            return Ok(());
        }
        let message = format!("`{}` is no name of a variable", model::escape::text(name.get_ref()));
        Err(self.wrong(
            name,
            message,
            "write pass = [\"NAME\"] to hand it on, [environment.set] with NAME = \"VALUE\" to set it",
        ))
    }

    fn limits(&self, given: &BTreeMap<Spanned<String>, Spanned<Amount>>) -> Result<Limits, PolicyError> {
        let mut limits = Limits::default();
        for (name, amount) in given {
            let text = match amount.get_ref() {
                Amount::Number(number) => number.to_string(),
                Amount::Text(text) => text.clone(),
            };
            limits.set(name.get_ref(), &text).map_err(|why| {
                let known = Limits::NAMES.contains(&name.get_ref().as_str());
                let told = model::escape::text(name.get_ref());
                match known {
                    true => self.wrong(
                        amount,
                        format!("limits.{told} = {} {why}", model::escape::text(&text)),
                        "a text with a unit, or a number without quotes",
                    ),
                    false => {
                        self.wrong(name, format!("limits.{told} {why}"), format!("one of {}", Limits::NAMES.join(", ")))
                    }
                }
            })?;
        }
        Ok(limits)
    }

    fn layer(&self, word: &Spanned<String>) -> Result<Layer, PolicyError> {
        let known = Layer::MAY_LACK.into_iter().find(|layer| layer.word() == *word.get_ref());
        known.ok_or_else(|| {
            let message = format!("`{}` is no layer that a jar can do without", model::escape::text(word.get_ref()));
            self.wrong(word, message, format!("one of {}", Layer::MAY_LACK.map(Layer::word).join(", ")))
        })
    }
}

/// A place like everybody's.
fn anywhere() -> Place {
    let own = |path: &str| FilePath::from(path);
    let (cwd, home, state) = (own("/home/u/work"), own("/home/u"), own("/home/u/.local/state/belljar"));
    Place { workspace: cwd.clone(), cwd, home, state, uid: 1000, contained: true }
}

/// Words that stand in a table, and which.
const TABLES: [(&str, &str); 12] = [
    ("home", "files"),
    ("workspace", "files"),
    ("write", "files"),
    ("read", "files"),
    ("hide", "files"),
    ("allow", "network"),
    ("base", "environment"),
    ("pass", "environment"),
    ("set", "environment"),
    ("apply", "run"),
    ("backend", "run"),
    ("unattended", "run"),
];

/// What to do about an error of the format itself.
fn hint(message: &str) -> String {
    let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    match TABLES.iter().find(|(word, _)| Some(*word) == unknown) {
        Some((word, table)) => format!("{word} stands in [{table}], a line above it"),
        None => general_hint(message).to_owned(),
    }
}

fn general_hint(message: &str) -> &'static str {
    if message.starts_with("unknown field") {
        "tables are [files], [network], [environment], [limits] and [run]; README.md lists what stands in each"
    } else if message.starts_with("unknown variant") {
        "choose one of the words named"
    } else if message.starts_with("duplicate") {
        "say each thing once"
    } else if message.starts_with("invalid type") {
        "lists are [\"a\", \"b\"], maps { A = \"1\" }, texts have quotes, true and false have none"
    } else if message == NO_AMOUNT {
        "a number, or a text with a unit: mem = \"4G\", pids = 512, time = \"20m\""
    } else {
        "the format is TOML: name = \"value\" in lines of their own, below a [table]"
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Profile, SHIPPED, Whose};
    use crate::error::PolicyError;

    fn fault(text: &str, whose: Whose) -> String {
        let error = Profile::parse("p.toml", text, whose).expect_err(text);
        assert!(matches!(error, PolicyError::Profile { .. }), "{error:?}");
        assert!(!error.hint().is_empty(), "{error}");
        error.to_string()
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, told) in [
            ("[files]\nwirte = [\"a\"]\n", "p.toml:2:1: unknown field `wirte`, expected one of `home`"),
            ("[filse]\n", "p.toml:1:2: unknown field `filse`"),
            ("[files]\nhome = \"readonly\"\n", "p.toml:2:8: unknown variant `readonly`, expected one of `copy`"),
            ("[files]\nworkspace = \"hidden\"\n", "p.toml:2:13: the workspace cannot be hidden"),
            ("[files]\nwrite = \"a\"\n", "p.toml:2:9: invalid type: string \"a\", expected a sequence"),
            ("[files]\nhide = [\"~/a\", \"~bob/x\"]\n", "p.toml:2:16: `~bob/x`: only your own home"),
            ("[files]\nread = [\"$HOME/a\"]\n", "p.toml:2:9: `$HOME/a`: variables are not replaced"),
            ("[files]\nwrite = [\"src/*\"]\n", "p.toml:2:10: `src/*`: patterns are not taken"),
            ("[files]\nwrite = [\"\"]\n", "p.toml:2:10: an empty path"),
            ("[network]\nallow = [\"https://a.example\"]\n", "p.toml:2:10: network.allow \"https://a.example\": a URL"),
            ("[limits]\nmem = \"4 G\"\n", "p.toml:2:7: limits.mem = 4 G wants bytes"),
            ("[limits]\nmemory = \"4G\"\n", "p.toml:2:1: limits.memory names no limit"),
            ("[limits]\npids = true\n", "p.toml:2:8: a limit is a whole number or a text"),
            ("[files]\nwrite = [\"/srv/x\", \"/etc\"]\n", "p.toml:2:20: make /etc writable: it belongs to the system"),
            ("[files]\nread = [\"~/.ssh/id\"]\n", "p.toml:2:9: show ~/.ssh/id: all of ~/.ssh is hidden by secrets/ssh"),
            ("[environment]\npass = [\"A=b\"]\n", "p.toml:2:9: `A=b` is no name of a variable"),
            ("[run]\naccept-weak = [\"all\"]\n", "p.toml:2:16: `all` is no layer"),
            ("[run]\napply = \"yes\"\n", "p.toml:2:9: unknown variant `yes`"),
            ("[files\n", "p.toml:1:7: "),
            ("[run]\nunattended = true\nunattended = true\n", "p.toml:3:1: duplicate key"),
        ] {
            assert!(fault(text, Whose::Own).starts_with(told), "{text}{}", fault(text, Whose::Own));
        }
        let weak = "[run]\naccept-weak = [\"landlock\"]\n";
        assert!(Profile::parse("p.toml", weak, Whose::Own).is_ok());
        assert!(fault(weak, Whose::Project).starts_with("p.toml:2:16: a project may not"));
        assert!(!fault("[limits]\n\"\\u202e\" = 1\n", Whose::Own).contains('\u{202e}'));
    }

    #[test]
    fn a_word_outside_of_its_table_is_sent_there() {
        let error = Profile::parse("p", "home = \"copy\"\n", Whose::Own).unwrap_err();
        assert_eq!(error.hint(), "home stands in [files], a line above it");
    }

    #[test]
    fn the_default_profile_is_what_its_text_says() {
        let text = Profile::parse("workspace", SHIPPED[0].text, Whose::Own).unwrap();
        assert_eq!(Profile { says: String::new(), ..text }, Profile::default());
        assert_eq!(SHIPPED[0].name, "workspace");
    }

    #[test]
    fn what_is_rendered_reads_as_it_was() {
        for shipped in SHIPPED {
            let profile = Profile::parse(shipped.name, shipped.text, Whose::Own).unwrap();
            assert!(!profile.says.is_empty(), "{}", shipped.name);
            let again = Profile::parse("again", &profile.render(), Whose::Own).unwrap();
            assert_eq!(Profile { rules_after: 0, ..again }, Profile { rules_after: 0, ..profile });
        }
    }
}
