//! Word expansion: from the parts of a word to the arguments it becomes.

use super::brace;
use super::fields::Fields;
use super::state::Var;
use super::value::{Field, Value};
use super::{Eval, Output, Stdin};
use crate::limits::VALUES_MAX;
use crate::syntax::ast::{Param, Part, Word};
use model::Span;

impl Eval<'_> {
    /// The arguments a word becomes.
    pub(super) fn expand(&mut self, word: &Word) -> Vec<Field> {
        if !brace::holds(&word.parts) {
            return self.expand_parts(&word.parts, word.span, true);
        }
        if brace::uncertain(&word.parts) {
            self.out.find(2, word.span, "braces in an expansion beside a brace");
        }
        let Some(words) = brace::expand(&word.parts) else {
            self.out.find(90, word.span, "a brace expansion makes too many words");
            return vec![Field { many: true, value: Value::Unknown, ..Field::constant("", word.span) }];
        };
        words.iter().flat_map(|parts| self.expand_parts(parts, word.span, false)).collect()
    }

    /// `whole` where no brace expansion made the word: only then it may be like an assignment.
    fn expand_parts(&mut self, parts: &[Part], span: Span, whole: bool) -> Vec<Field> {
        let mut fields = Fields::new(span);
        for (at, part) in parts.iter().enumerate() {
            match part {
                Part::Literal(text) => {
                    let rest = match at {
                        0 => {
                            let text = if whole { like_assignment(text, &mut fields) } else { text };
                            self.tilde(text, parts.len() == 1, &mut fields)
                        }
                        _ => text.as_str(),
                    };
                    if !rest.is_empty() {
                        fields.append_live(rest);
                    }
                }
                Part::Quoted(text, _) => {
                    fields.append(&Value::Known(text.clone()));
                    fields.current().quoted = true;
                }
                Part::Double(inner) => self.double(inner, &mut fields),
                _ => {
                    if matches!(part, Part::Param(param) if param.name == "IFS" && !param.length) {
                        self.out.find(6, span, "IFS stands in the place of blanks");
                    }
                    self.unquoted(part, &mut fields);
                }
            }
        }
        fields.split();
        if lone_dollar(parts) {
            // Bash then does not part what the expansions gave; where exactly is not followed.
            return vec![Field { many: true, value: Value::Unknown, ..Field::constant("", span) }];
        }
        if whole && tildes_inside(parts) {
            fields.done.iter_mut().for_each(|field| field.value = Value::Unknown);
        }
        fields.done
    }

    /// Replaces a leading `~` or `~user`; gives what is left of the text. The name ends at a slash or with the word
    /// (`whole`: nothing comes behind this text), and a name that no user has stays as it is.
    fn tilde<'t>(&mut self, text: &'t str, whole: bool, fields: &mut Fields) -> &'t str {
        let Some(rest) = text.strip_prefix('~') else { return text };
        let user = rest.split('/').next().unwrap_or("");
        let named = user.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+'));
        if !named || (user.len() == rest.len() && !whole) {
            return text;
        }
        let value = match user {
            "" => self.state.scalar("HOME").unwrap_or(Value::Unknown),
            "+" => self.cwd_value(),
            "root" => Value::Known("/root".into()),
            "-" => Value::Unknown,
            name => Value::any_of(vec![format!("/home/{name}"), format!("~{name}")]),
        };
        fields.append(&value);
        rest.get(user.len()..).unwrap_or("")
    }

    pub(super) fn cwd_value(&self) -> Value {
        match self.state.cwd.places.as_slice() {
            [one] => Value::Known(one.encode()),
            _ => Value::starting("/"),
        }
    }

    fn double(&mut self, inner: &[Part], fields: &mut Fields) {
        if let [Part::Param(param)] = inner
            && param.op.is_empty()
            && !param.length
            && (param.name == "@" || is_all(param))
        {
            self.all_elements(param, fields);
            return;
        }
        let (value, fetched) = self.quoted_parts(inner);
        fields.append(&value);
        let field = fields.current();
        field.quoted = true;
        field.fetched |= fetched;
    }

    /// `"$@"` and `"${a[@]}"`: as many words as there are.
    fn all_elements(&mut self, param: &Param, fields: &mut Fields) {
        match self.elements(param) {
            Some(values) => {
                for (at, value) in values.iter().enumerate() {
                    if at > 0 {
                        fields.split();
                    }
                    fields.append(value);
                    fields.current().quoted = true;
                }
            }
            None => {
                fields.append(&Value::Unknown);
                fields.current().many = true;
            }
        }
    }

    fn elements(&self, param: &Param) -> Option<Vec<Value>> {
        if param.name == "@" || param.name == "*" {
            return self.state.positional.clone();
        }
        match self.state.vars.get(&param.name)? {
            Var::Array(values) => Some(values.clone()),
            Var::Scalar(_) => None,
        }
    }

    /// An expansion outside quotes: its value is split and its globs are live.
    fn unquoted(&mut self, part: &Part, fields: &mut Fields) {
        if let Part::Process { list, reads, span } = part {
            self.process(list, *reads, *span, fields);
            return;
        }
        if let Part::Param(param) = part
            && param.op.is_empty()
            && !param.length
            && (matches!(param.name.as_str(), "@" | "*") || is_all(param))
            && let Some(values) = self.elements(param)
        {
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    fields.split();
                }
                self.append_unquoted(value, false, fields);
            }
            return;
        }
        let (value, fetched) = self.part_value(part);
        self.append_unquoted(&value, numeric(part) || value.is_tame(), fields);
        if fetched {
            fields.current().fetched = true;
        }
    }

    fn append_unquoted(&mut self, value: &Value, numeric: bool, fields: &mut Fields) {
        let separators = match self.state.scalar("IFS") {
            Some(Value::Known(text)) => Some(text),
            _ => None,
        };
        match (value, &separators) {
            (Value::Known(text), Some(separators)) => fields.append_split(text, separators),
            (Value::OneOf(all), Some(separators))
                if !all
                    .iter()
                    .any(|text| text.is_empty() || text.contains(|c| separators.contains(c) || "*?[".contains(c))) =>
            {
                fields.append(value);
            }
            _ => {
                // A number is one word unless digits part words.
                let parts = separators.is_none_or(|all| all.contains(|c: char| c == '-' || c.is_ascii_digit()));
                fields.append(value);
                fields.current().many |= !numeric || parts;
            }
        }
    }

    /// `<(...)` is a file that holds the output; `>(...)` is one that feeds a command.
    fn process(&mut self, list: &crate::syntax::ast::List, reads: bool, span: Span, fields: &mut Fields) {
        let mark = self.embedded_mark();
        let stdin =
            if reads { Stdin::Inherited } else { Stdin::Pipe(Output { value: Value::Unknown, fetched: false }) };
        let out = self.in_subshell(|eval| eval.list_with(list, stdin));
        self.note_embedded(mark, span);
        fields.append(&Value::Known("/dev/fd/63".into()));
        let field = fields.current();
        field.quoted = true;
        field.fetched |= out.fetched && reads;
    }

    /// The value of parts that stand inside double quotes, and whether it was fetched.
    fn quoted_parts(&mut self, parts: &[Part]) -> (Value, bool) {
        let mut value = Value::Known(String::new());
        let mut fetched = false;
        for part in parts {
            let (next, net) = self.part_value(part);
            value = value.concat(&next);
            fetched |= net;
        }
        (value, fetched)
    }

    /// The value of a word without splitting, as in assignments and here-documents.
    pub(super) fn text_of(&mut self, word: &Word) -> Value {
        let value = self.text_after_tilde(word);
        // `PATH=a:~/bin`: each tilde behind a colon is expanded too. What stands in front of the first is known.
        let inside = |part: &Part| matches!(part, Part::Literal(text) if text.contains(":~"));
        if !word.parts.iter().any(inside) {
            return value;
        }
        let head = value.prefix().split(":~").next().unwrap_or("").to_owned();
        Value::starting(&head)
    }

    fn text_after_tilde(&mut self, word: &Word) -> Value {
        if let Some(Part::Literal(text)) = word.parts.first()
            && text.starts_with('~')
        {
            let mut fields = Fields::new(word.span);
            let rest = self.tilde(text, word.parts.len() == 1, &mut fields).to_owned();
            fields.append(&Value::Known(rest));
            let head = fields.open.map_or(Value::Unknown, |field| field.value);
            let tail = self.text_of_parts(word.parts.get(1..).unwrap_or(&[]));
            return head.concat(&tail);
        }
        self.text_of_parts(&word.parts)
    }

    pub(super) fn text_of_parts(&mut self, parts: &[Part]) -> Value {
        self.quoted_parts(parts).0
    }

    fn part_value(&mut self, part: &Part) -> (Value, bool) {
        match part {
            Part::Literal(text) | Part::Quoted(text, _) => (Value::Known(text.clone()), false),
            Part::Double(inner) => self.quoted_parts(inner),
            Part::Param(param) => (self.param(param), false),
            Part::Substitution { list, span } => {
                let mark = self.embedded_mark();
                let out = self.in_subshell(|eval| eval.list(list));
                self.note_embedded(mark, *span);
                (trimmed(out.value), out.fetched)
            }
            Part::Process { list, reads, span } => {
                let mut fields = Fields::new(*span);
                self.process(list, *reads, *span, &mut fields);
                (Value::Known("/dev/fd/63".into()), fields.open.is_some_and(|field| field.fetched))
            }
            Part::Arith(parts) => {
                self.arithmetic(parts);
                (Value::Unknown, false)
            }
        }
    }

    /// The value of a parameter expansion.
    fn param(&mut self, param: &Param) -> Value {
        if let Some(subscript) = &param.subscript
            && !is_all(param)
        {
            self.subscript(subscript, param.span);
        }
        let argument =
            if param.argument.is_empty() { Value::Known(String::new()) } else { self.text_of_parts(&param.argument) };
        if param.op == ":" {
            self.evaluated_number(&argument, param.span);
        }
        let only_asks = param.length || matches!(param.op, "+" | ":+");
        if !only_asks && self.shown.len() < VALUES_MAX && crate::names::is_secret_variable(&param.name) {
            self.shown.push(param.name.clone());
        }
        // Where the argument is parted is decided before its expansions and quotes go.
        let parting = match param.op {
            "/" | "//" => Some('/'),
            ":" => Some(':'),
            _ => None,
        };
        let argument =
            if parting.is_some_and(|c| parted_elsewhere(&param.argument, c)) { Value::Unknown } else { argument };
        let current = if param.indirect { Value::Unknown } else { self.variable(param) };
        self.met_loaded |= current.choices().is_none() && self.state.loaded.contains(&param.name);
        if param.op == "@" && argument.known() == Some("P") {
            self.prompt_string(&current, param.span);
        }
        if param.length {
            return Value::Unknown;
        }
        self.modified(param, current, argument)
    }

    /// `${x@P}` expands the value like a prompt: commands in it run.
    fn prompt_string(&mut self, value: &Value, span: Span) {
        self.out.find(10, span, "a value is expanded as a prompt, and commands in it run");
        if value.choices().is_none() {
            self.out.unexplained(span);
        }
    }

    fn variable(&self, param: &Param) -> Value {
        let name = param.name.as_str();
        if name == "!" {
            return Value::own_process();
        }
        if let Ok(index) = name.parse::<usize>() {
            return self
                .state
                .positional
                .as_ref()
                .and_then(|all| all.get(index.checked_sub(1)?))
                .cloned()
                .unwrap_or(Value::Unknown);
        }
        match name {
            "PWD" => self.cwd_value(),
            "SHELL" | "BASH" if self.state.scalar(name).is_none() => Value::Known("/bin/bash".into()),
            _ if param.subscript.is_some() => match (self.state.vars.get(name), param.subscript.as_deref()) {
                (Some(Var::Array(values)), Some([Part::Quoted(index, _)])) => {
                    index.parse::<usize>().ok().and_then(|index| values.get(index)).cloned().unwrap_or(Value::Unknown)
                }
                _ => Value::Unknown,
            },
            _ => self.state.scalar(name).unwrap_or(Value::Unknown),
        }
    }

    /// Applies the operator of `${name OP argument}` where that is simple; else nothing is known.
    fn modified(&mut self, param: &Param, current: Value, argument: Value) -> Value {
        let set = self.state.vars.contains_key(&param.name);
        match param.op {
            "" => current,
            ":-" | "-" if set => match current.choices() {
                Some(all) if param.op == "-" || all.iter().all(|text| !text.is_empty()) => current,
                _ => current.join(&argument),
            },
            ":=" | "=" => {
                let value = if set { current.join(&argument) } else { Value::Unknown };
                self.state.set(&param.name, value.clone());
                value
            }
            ":?" | "?" => current,
            ":" => slice(&current, &argument),
            "#" | "##" | "%" | "%%" => match (current.known(), argument.known()) {
                (Some(text), Some(pattern)) if !pattern.contains(['*', '?', '[']) => {
                    let rest =
                        if param.op.starts_with('#') { text.strip_prefix(pattern) } else { text.strip_suffix(pattern) };
                    Value::Known(rest.unwrap_or(text).to_owned())
                }
                _ => Value::Unknown,
            },
            "/" | "//" => match (current.known(), argument.known().and_then(|text| text.split_once('/'))) {
                // In what is put in, `&` is what was found.
                (Some(text), Some((from, to)))
                    if !from.is_empty()
                        && !from.contains(['*', '?', '['])
                        && !from.starts_with(['#', '%'])
                        && !to.contains(['&', '\\']) =>
                {
                    Value::Known(if param.op == "//" { text.replace(from, to) } else { text.replacen(from, to, 1) })
                }
                _ => Value::Unknown,
            },
            ",," if argument.known() == Some("") => {
                current.known().map_or(Value::Unknown, |text| Value::Known(text.to_lowercase()))
            }
            "^^" if argument.known() == Some("") => {
                current.known().map_or(Value::Unknown, |text| Value::Known(text.to_uppercase()))
            }
            _ => Value::Unknown,
        }
    }

    /// BJ008: a substitution is no fault, but it is worth knowing when something in it is.
    fn note_embedded(&mut self, mark: (usize, usize), span: Span) {
        let dangerous = |finding: &model::Finding| finding.severity == model::Risk::High && finding.check.0 != 8;
        let findings = self.out.findings.get(mark.0..).unwrap_or(&[]);
        let effects = self.out.effects.get(mark.1..).unwrap_or(&[]);
        if findings.iter().any(dangerous) {
            self.out.find(8, span, "a substitution runs something dangerous");
        } else if effects.iter().any(|effect| effect.action != model::Action::Read) {
            self.out.find_as(8, model::Risk::Medium, span, "a substitution does more than read");
        }
    }

    fn embedded_mark(&self) -> (usize, usize) {
        (self.out.findings.len(), self.out.effects.len())
    }
}

/// `name=~...` as an argument: bash expands the tilde as in an assignment. Gives the text from the tilde on.
fn like_assignment<'t>(text: &'t str, fields: &mut Fields) -> &'t str {
    let Some((name, value)) = text.split_once('=') else { return text };
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name || !value.starts_with('~') {
        return text;
    }
    fields.append(&Value::Known(format!("{name}=")));
    value
}

/// Whether bash expands a tilde in the middle of an argument: behind a colon where the argument is like an assignment,
/// behind a second `=`, and where a `=` ends the name. Which of them is not followed.
fn tildes_inside(parts: &[Part]) -> bool {
    let holds = |part: &Part| matches!(part, Part::Literal(text) if text.contains('~'));
    if !parts.iter().any(holds) {
        return false;
    }
    let text: String = parts.iter().map(|part| if let Part::Literal(text) = part { text } else { "q" }).collect();
    let Some((name, value)) = text.split_once('=') else { return false };
    let plain = name.split(['[', '+']).next().unwrap_or("");
    let is_name = plain.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && plain.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match is_name {
        true => value.contains(":~") || value.contains("=~") || (value.starts_with('~') && plain != name),
        false => name.starts_with('~') && !name.contains('/'),
    }
}

/// Whether `c` stands, or may stand, in what is quoted or expanded there.
fn parted_elsewhere(parts: &[Part], c: char) -> bool {
    parts.iter().any(|part| match part {
        Part::Literal(_) => false,
        Part::Quoted(text, _) => text.contains(c),
        Part::Double(inner) => {
            parted_elsewhere(inner, c)
                || inner.iter().any(|part| matches!(part, Part::Literal(text) if text.contains(c)))
        }
        _ => true,
    })
}

/// Whether a `$` that starts nothing stands beside an expansion, both outside of quotes.
fn lone_dollar(parts: &[Part]) -> bool {
    let plain = |part: &Part| matches!(part, Part::Literal(text) if text.contains('$'));
    let expands = |part: &Part| matches!(part, Part::Param(_) | Part::Substitution { .. } | Part::Arith(_));
    parts.iter().any(plain) && parts.iter().any(expands)
}

fn is_all(param: &Param) -> bool {
    matches!(param.subscript.as_deref(), Some([Part::Quoted(text, _)]) if text == "@" || text == "*")
}

/// Whether an expansion can only be one word of digits.
fn numeric(part: &Part) -> bool {
    match part {
        Part::Arith(_) => true,
        Part::Param(param) => param.length || matches!(param.name.as_str(), "?" | "#" | "$" | "!"),
        _ => false,
    }
}

/// Command substitution drops newlines at the end.
fn trimmed(value: Value) -> Value {
    match value {
        Value::Known(text) => Value::Known(text.trim_end_matches('\n').to_owned()),
        Value::OneOf(all) => Value::any_of(all.iter().map(|text| text.trim_end_matches('\n').to_owned()).collect()),
        Value::Shape(head, tail) if tail.is_empty() => Value::Shape(head, tail),
        Value::Shape(head, tail) => Value::shape(&head, tail.trim_end_matches('\n')),
        Value::Unknown => Value::Unknown,
    }
}

fn slice(current: &Value, argument: &Value) -> Value {
    let (Some(text), Some(argument)) = (current.known(), argument.known()) else { return Value::Unknown };
    let (offset, length) = match argument.split_once(':') {
        Some((offset, length)) => (offset, Some(length.trim())),
        None => (argument, None),
    };
    let Ok(offset) = offset.trim().parse::<usize>() else { return Value::Unknown };
    let length = match length {
        None => usize::MAX,
        // An expression of nothing is 0.
        Some("") => 0,
        Some(digits) => match digits.parse::<usize>() {
            Ok(length) => length,
            Err(_) => return Value::Unknown,
        },
    };
    Value::Known(text.chars().skip(offset).take(length).collect())
}
