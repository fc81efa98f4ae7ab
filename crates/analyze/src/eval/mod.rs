//! Evaluation: walks the structure with the shell's state and says what each command would do.

mod apply;
mod arithmetic;
mod brace;
mod builtin;
mod code;
mod elsewhere;
mod expand;
mod facts;
mod fields;
mod interpreter;
pub(crate) mod links;
mod opaque;
mod piped;
mod printed;
mod python_module;
mod redirect;
mod report;
mod roles;
mod run;
mod scan;
mod set;
mod special;
pub(crate) mod state;
pub(crate) mod value;

use crate::context::ShellContext;
use crate::limits::{CALL_DEPTH_MAX, NESTED_TEXT_DEPTH_MAX, NODES_MAX, SOURCE_CHARS_MAX, STEPS_MAX};
use crate::syntax::ast::{Arm, Command, Entry, Joint, Kind, List, Pipeline, Word};
use crate::syntax::{self, Base};
use model::{FilePath, Span};
pub(crate) use report::Report;
use state::{Cwd, Shared, State, Var};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use value::Value;

/// Nesting of evaluated structure over all nested texts and calls; bounds the recursion.
const EVAL_DEPTH_MAX: usize = 120;

/// What a command reads on descriptor 0.
#[derive(Clone, Debug)]
pub(crate) enum Stdin {
    /// Whatever the shell has.
    Inherited,
    /// What the command before it in the pipe printed.
    Pipe(Output),
    /// A here-document or here-string.
    Text(Value),
    /// A file, where its name is known.
    File(Option<value::Field>),
}

/// What a command prints, as far as known.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) value: Value,
    /// It came over the network.
    pub(crate) fetched: bool,
}

impl Output {
    fn unknown() -> Output {
        Output { value: Value::Unknown, fetched: false }
    }

    fn nothing() -> Output {
        Output { value: Value::Known(String::new()), fetched: false }
    }
}

/// The evaluator of one text.
pub(crate) struct Eval<'a> {
    text: &'a str,
    home: String,
    context: &'a ShellContext,
    state: State,
    out: Report,
    /// Above zero where a command runs only on some paths.
    may: usize,
    depth: usize,
    nesting: usize,
    calls: usize,
    steps: usize,
    /// Nodes of the text and of the texts inside it.
    nodes: usize,
    /// A `cd` that may have failed was not checked before this command.
    unchecked_cd: bool,
    called: BTreeSet<String>,
    /// Commands that were kept for later.
    traps: Vec<(value::Field, run::Start)>,
    /// For each call that is followed, its own variables with what they were outside.
    locals: Vec<BTreeMap<String, Option<Var>>>,
    exhausted: Option<Span>,
    /// Patterns for the names that the command before this one in a pipe prints.
    piped_names: Option<Vec<String>>,
    /// What commands of a group read that was given a standard input as a whole.
    ambient: Stdin,
    /// Variables whose values stand in the words of the command that is evaluated now.
    shown: Vec<String>,
    /// Effects there were before the program that is evaluated now.
    since: usize,
    /// A variable was expanded whose value is forgotten, and once held a command substitution.
    met_loaded: bool,
    /// The command that is evaluated now has `PYTHONSAFEPATH` in its environment.
    safe_path: bool,
}

impl<'a> Eval<'a> {
    pub(crate) fn new(text: &'a str, context: &'a ShellContext) -> Eval<'a> {
        let vars: BTreeMap<String, Var> =
            context.vars.iter().map(|(name, value)| (name.clone(), Var::Scalar(Value::Known(value.clone())))).collect();
        let mut state = State {
            cwd: Cwd { places: vec![context.cwd.normalise()], if_failed: Vec::new(), failed_anywhere: false },
            vars: Shared::new(vars),
            functions: Shared::default(),
            either: Shared::default(),
            positional: None,
            integers: Shared::default(),
            altered: Shared::default(),
            loaded: Shared::default(),
            links: Shared::new(context.links.iter().map(|(link, target)| (link.normalise(), target.clone())).collect()),
            written: Shared::default(),
            downloaded: Shared::default(),
            exits_on_error: false,
        };
        let home = context.home.normalise().encode();
        state.vars.entry("HOME".into()).or_insert_with(|| Var::Scalar(Value::Known(home.clone())));
        state.set("IFS", Value::Known(" \t\n".into()));
        Eval {
            text,
            home,
            context,
            state,
            out: Report::default(),
            may: 0,
            depth: 0,
            nesting: 0,
            calls: 0,
            steps: 0,
            nodes: 0,
            unchecked_cd: false,
            called: BTreeSet::new(),
            traps: Vec::new(),
            locals: Vec::new(),
            exhausted: None,
            piped_names: None,
            ambient: Stdin::Inherited,
            shown: Vec::new(),
            since: 0,
            met_loaded: false,
            safe_path: false,
        }
    }

    /// Evaluates a whole script of so many nodes and gives what came up, and the place where a bound was hit.
    pub(crate) fn finish(mut self, list: &List, nodes: usize) -> (Report, Option<Span>) {
        self.nodes = nodes;
        self.list(list);
        self.trapped();
        self.uncalled_functions();
        (self.out, self.exhausted)
    }

    /// What was kept for later, as it runs at the end.
    fn trapped(&mut self) {
        self.may += 1;
        for (code, start) in std::mem::take(&mut self.traps) {
            self.text_here(&code, &start, false);
        }
        self.may -= 1;
    }

    /// Functions nobody called here may be called later (an export, an interactive shell): looked at as called once.
    fn uncalled_functions(&mut self) {
        let waiting: Vec<(String, Rc<Command>)> = self
            .state
            .functions
            .iter()
            .filter(|(name, _)| !self.called.contains(*name))
            .map(|(name, body)| (name.clone(), Rc::clone(body)))
            .collect();
        for (name, body) in waiting {
            self.call(&name, &body, None);
        }
    }

    /// The source text of a span, escaped; cut when it is long.
    fn source(&self, span: Span) -> String {
        let text = self.text.get(span.start..span.end).unwrap_or("");
        match text.char_indices().nth(SOURCE_CHARS_MAX) {
            Some((cut, _)) => model::escape::text(text.get(..cut).unwrap_or("")) + "…",
            None => model::escape::text(text),
        }
    }

    fn give_up(&mut self, span: Span) {
        self.exhausted.get_or_insert(span);
    }

    /// Takes `nodes` more from what the whole analysis may read; `false` once it is used up.
    fn may_read(&mut self, nodes: usize, span: Span) -> bool {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            self.give_up(span);
        }
        self.exhausted.is_none()
    }

    fn list(&mut self, list: &List) -> Output {
        let mut out = Output::nothing();
        let mut before = Joint::Next;
        let mut chain: Option<State> = None;
        let conditions = self.may;
        for entry in &list.entries {
            let joined = before == Joint::And || before == Joint::Or;
            if joined {
                // Where this does not run, a `cd` in front of it may have failed.
                chain.get_or_insert_with(|| self.state.clone());
                self.may = conditions + 1;
            }
            if before == Joint::And {
                self.state.cwd.succeeded();
            }
            let gives_up = before == Joint::Or && leaves(entry);
            if before == Joint::Or && !gives_up {
                // The `cd` in front of it may be what failed.
                self.state.cwd.unchecked();
            }
            let printed = self.entry(entry);
            let both = out.value.concat(&printed.value);
            // Behind `&&` and `||` it may not have run.
            let value = if joined && both != out.value { out.value.join(&both) } else { both };
            out = Output { value, fetched: out.fetched || printed.fetched };
            if gives_up {
                self.state.cwd.succeeded();
                chain = None;
            }
            if matches!(entry.joint, Joint::Next | Joint::Background) {
                if let Some(other) = chain.take() {
                    self.state.join(other);
                }
                self.end_of_chain();
                self.may = conditions;
            }
            before = entry.joint;
        }
        self.may = conditions;
        out
    }

    fn end_of_chain(&mut self) {
        if self.state.exits_on_error {
            self.state.cwd.succeeded();
        } else {
            self.state.cwd.unchecked();
        }
    }

    fn entry(&mut self, entry: &Entry) -> Output {
        if entry.joint == Joint::Background {
            let saved = self.state.clone();
            let out = self.pipeline(&entry.pipeline);
            self.leave(saved);
            return out;
        }
        self.pipeline(&entry.pipeline)
    }

    fn pipeline(&mut self, pipeline: &Pipeline) -> Output {
        if let [only] = pipeline.commands.as_slice() {
            return self.command(only, Stdin::Inherited);
        }
        let mut stdin = Stdin::Inherited;
        let mut out = Output::nothing();
        self.piped_names = None;
        for command in &pipeline.commands {
            let saved = self.state.clone();
            let fetched = out.fetched;
            let before = self.out.effects.len();
            out = self.command(command, stdin);
            out.fetched |= fetched;
            self.piped_names = self.names_printed(command, before);
            self.leave(saved);
            stdin = Stdin::Pipe(out.clone());
        }
        self.piped_names = None;
        out
    }

    fn command(&mut self, command: &Command, stdin: Stdin) -> Output {
        self.steps += 1;
        if self.steps > STEPS_MAX || self.depth > EVAL_DEPTH_MAX {
            self.give_up(command.span);
            return Output::unknown();
        }
        self.depth += 1;
        let stdin = if matches!(stdin, Stdin::Inherited) { self.ambient.clone() } else { stdin };
        let out = match &command.kind {
            Kind::Simple(simple) => self.simple(simple, command, stdin),
            other => {
                let (stdin, redirected) = self.redirects(&command.redirects, stdin, "");
                let outer = std::mem::replace(&mut self.ambient, shared(&stdin));
                let without = redirected.may_fail.then(|| self.state.clone());
                let out = self.compound(other, stdin);
                let out = match without {
                    Some(without) => self.perhaps_not_run(without, out),
                    None => out,
                };
                self.ambient = outer;
                self.note_written(&redirected, &out);
                out
            }
        };
        self.depth -= 1;
        out
    }

    /// The state where a redirection failed is possible too. That `cd` may fail is followed where it runs.
    fn perhaps_not_run(&mut self, without: State, out: Output) -> Output {
        let cwd = self.state.cwd.clone();
        self.state.join(without);
        self.state.cwd = cwd;
        Output { value: out.value.join(&Value::Known(String::new())), fetched: out.fetched }
    }

    fn compound(&mut self, kind: &Kind, stdin: Stdin) -> Output {
        match kind {
            Kind::Simple(_) => Output::nothing(),
            Kind::Group(list) => self.list_with(list, stdin),
            Kind::Subshell(list) => self.in_subshell(|eval| eval.list_with(list, stdin)),
            Kind::If { branches, otherwise } => self.branches(branches, otherwise.as_ref()),
            Kind::Loop { condition, body } => {
                self.forget_assigned(&[condition, body]);
                self.list(condition);
                self.perhaps(|eval| eval.list(body))
            }
            Kind::For { name, words, body } => self.for_loop(name, words.as_deref(), body),
            Kind::ForArith { header, body } => {
                self.arithmetic(header);
                self.forget_assigned(&[body]);
                self.perhaps(|eval| eval.list(body))
            }
            Kind::Case { subject, arms } => self.case(subject, arms),
            Kind::Function { name, body } => {
                self.define(name, body);
                Output::nothing()
            }
            Kind::Arith(parts) => {
                self.arithmetic(parts);
                Output::nothing()
            }
            Kind::Test(words) => {
                self.test_command(words);
                Output::nothing()
            }
            Kind::Coproc(inner) => self.in_subshell(|eval| eval.command(inner, stdin)),
        }
    }

    /// A list whose commands share `stdin`. Which of several reads what is not followed.
    fn list_with(&mut self, list: &List, stdin: Stdin) -> Output {
        let single = matches!(list.entries.as_slice(), [only] if only.pipeline.commands.len() == 1);
        let given = match stdin {
            Stdin::Inherited => return self.list(list),
            stdin if single => stdin,
            stdin => shared(&stdin),
        };
        let outer = std::mem::replace(&mut self.ambient, given);
        let out = self.list(list);
        self.ambient = outer;
        out
    }

    /// Goes back to the state outside of a subshell.
    fn leave(&mut self, outer: State) {
        let inner = std::mem::replace(&mut self.state, outer);
        self.state.keep_files_of(inner);
    }

    fn in_subshell<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> T {
        let saved = self.state.clone();
        let value = run(self);
        self.leave(saved);
        value
    }

    /// Runs what happens only on some paths; afterwards both states are possible.
    fn perhaps(&mut self, run: impl FnOnce(&mut Self) -> Output) -> Output {
        let before = self.state.clone();
        self.may += 1;
        let out = run(self);
        self.may -= 1;
        self.state.join(before);
        Output { value: Value::Unknown, fetched: out.fetched }
    }

    fn branches(&mut self, branches: &[(List, List)], otherwise: Option<&List>) -> Output {
        let mut ends: Vec<State> = Vec::new();
        let mut fetched = false;
        let conditions = self.may;
        for (condition, body) in branches {
            self.list(condition);
            self.may = conditions + 1;
            let after = self.state.clone();
            fetched |= self.list(body).fetched;
            ends.push(std::mem::replace(&mut self.state, after));
        }
        if let Some(list) = otherwise {
            fetched |= self.list(list).fetched;
        }
        self.may = conditions;
        ends.into_iter().for_each(|end| self.state.join(end));
        Output { value: Value::Unknown, fetched }
    }

    fn for_loop(&mut self, name: &str, words: Option<&[Word]>, body: &List) -> Output {
        let values: Vec<value::Field> = words.unwrap_or(&[]).iter().flat_map(|word| self.expand(word)).collect();
        self.forget_assigned(&[body]);
        let known = words.is_some() && !values.iter().any(|field| field.many);
        let choices = |field: &value::Field| {
            let all = field.value.choices()?.iter();
            Some(all.map(|text| if field.glob { Value::found_by_glob(text) } else { text.clone() }).collect())
        };
        let all: Option<Vec<String>> =
            values.iter().map(choices).collect::<Option<Vec<Vec<_>>>>().map(|sets| sets.concat());
        let value = all.filter(|_| known).map_or(Value::Unknown, Value::any_of);
        self.perhaps(|eval| {
            eval.state.set(name, value);
            eval.list(body)
        })
    }

    /// What a loop assigns is not known at its start: an earlier round may have assigned it.
    fn forget_assigned(&mut self, lists: &[&List]) {
        let mut found = scan::Assigned::default();
        lists.iter().for_each(|list| found.list(list, &self.state.functions));
        for name in found.names {
            self.state.vars.insert(name, Var::Scalar(Value::Unknown));
        }
        if found.anything {
            self.state.forget_variables();
        }
        if found.shifts || found.anything {
            self.state.positional = None;
        }
        if found.moves || found.anything {
            self.state.cwd = Cwd { places: Vec::new(), if_failed: Vec::new(), failed_anywhere: false };
        }
    }

    fn case(&mut self, subject: &Word, arms: &[Arm]) -> Output {
        self.expand(subject);
        let mut fetched = false;
        self.may += 1;
        for arm in arms {
            for pattern in &arm.patterns {
                self.expand(pattern);
            }
            // `;&` falls into the next arm, so each arm may start where any earlier one ended.
            let before = self.state.clone();
            fetched |= self.list(&arm.body).fetched;
            self.state.join(before);
        }
        self.may -= 1;
        Output { value: Value::Unknown, fetched }
    }

    fn define(&mut self, name: &Word, body: &Command) {
        let fields = self.expand(name);
        let Some(name) = fields.first().and_then(|field| field.known()).map(str::to_owned) else { return };
        if crate::commands::is_known(&name) {
            self.out.find(7, body.span, &format!("a function takes the name of {name}"));
        }
        if name == "command_not_found_handle" {
            self.out.find(7, body.span, "a function is run for every name that is no command");
        }
        if scan::calls_itself(&name, body) {
            self.out.find(7, body.span, "a function starts itself again and again");
        }
        // A new body under an old name has not been looked at yet.
        self.called.remove(&name);
        if self.state.either.contains(&name) {
            self.state.either.remove(&name);
        }
        self.state.functions.insert(name, Rc::new(body.clone()));
    }

    /// Evaluates a function's body with these arguments; `None` when they are not known.
    fn call(&mut self, name: &str, body: &Rc<Command>, arguments: Option<Vec<Value>>) -> Output {
        if self.calls >= CALL_DEPTH_MAX {
            self.out.find(90, body.span, "functions call each other too deeply to follow");
            return Output::unknown();
        }
        self.called.insert(name.to_owned());
        self.calls += 1;
        let outer = std::mem::replace(&mut self.state.positional, arguments);
        self.locals.push(BTreeMap::new());
        let out = self.command(body, Stdin::Inherited);
        for (name, before) in self.locals.pop().unwrap_or_default() {
            match before {
                Some(value) => self.state.vars.insert(name, value),
                None => self.state.vars.remove(&name),
            };
        }
        self.state.positional = outer;
        self.calls -= 1;
        out
    }

    /// Analyses shell text that stands inside this text. `fixed` is the word it came from.
    fn nested_text(&mut self, text: &str, fixed: Span, fresh: bool) -> Output {
        if self.nesting >= NESTED_TEXT_DEPTH_MAX {
            self.out.find(90, fixed, "shell text inside shell text is nested too deeply");
            return Output::unknown();
        }
        crate::text::disguises_in(text, fixed, &mut self.out);
        if self.exhausted.is_some() {
            self.out.unexplained(fixed);
            return Output::unknown();
        }
        let (list, notes) = syntax::read(text, Base::Fixed(fixed));
        // It is read once more for the comparison.
        if notes.exhausted || !self.may_read(2 * notes.nodes, fixed) {
            self.give_up(fixed);
            return Output::unknown();
        }
        for problem in &notes.problems {
            self.out.find(1, problem.span, problem.what);
            self.out.unexplained(problem.span);
        }
        if !matches!(crate::tree::read(text), crate::tree::Outcome::Clean(seen) if crate::agree::difference(&crate::syntax::read(text, Base::At(0)).0, &seen).is_none())
        {
            self.out.find(2, fixed, "two parsers read the inner shell text differently");
        }
        self.nesting += 1;
        let out = if fresh { self.in_subshell(|eval| eval.fresh_shell(&list)) } else { self.list(&list) };
        self.nesting -= 1;
        out
    }

    /// A new shell process: functions and unexported variables are gone; treating all as kept is the wider view.
    fn fresh_shell(&mut self, list: &List) -> Output {
        self.state.positional = None;
        self.list(list)
    }

    /// The path of `HOME` as the shell sees it.
    fn home_path(&self) -> FilePath {
        self.context.home.normalise()
    }
}

/// What the parts of a compound command find on its standard input: the same source, but not from its start.
fn shared(stdin: &Stdin) -> Stdin {
    match stdin {
        Stdin::Inherited => Stdin::Inherited,
        Stdin::Pipe(out) => Stdin::Pipe(Output { value: Value::Unknown, fetched: out.fetched }),
        Stdin::Text(_) => Stdin::Text(Value::Unknown),
        Stdin::File(_) => Stdin::File(None),
    }
}

/// Whether an entry ends the script or function: `|| exit`.
fn leaves(entry: &Entry) -> bool {
    let [command] = entry.pipeline.commands.as_slice() else { return false };
    match &command.kind {
        Kind::Simple(simple) => simple
            .words
            .first()
            .and_then(Word::plain)
            .is_some_and(|name| matches!(name, "exit" | "return" | "break" | "continue")),
        Kind::Group(list) => list.entries.last().is_some_and(leaves),
        _ => false,
    }
}
