//! The generator's words, expansions, redirections and here-documents.

use crate::generate::{Rule, Writer};
use crate::pieces;

impl Writer {
    pub(crate) fn assignment(&mut self) {
        self.feature("assignment");
        self.one_of(&["v=", "w=", "v+=", "a=", "x=", "a[1]=", "a[x]+="]);
        match self.random.below(6) {
            0 if !self.full() => {
                self.feature("array");
                self.put("(");
                self.word();
                self.one_of(&[" ", "\n", " [3]=", " # x\n"]);
                self.word();
                self.put(")");
            }
            1 => {}
            2 | 3 => self.one_of(pieces::VALUES),
            _ => self.word(),
        }
    }

    pub(crate) fn word(&mut self) {
        if self.plain() {
            return self.one_of(pieces::PLAIN);
        }
        let pieces = 1 + usize::from(self.random.once_in(3)) + usize::from(self.random.once_in(6));
        for _ in 0..pieces {
            if self.full() || self.random.once_in(3) { self.one_of(pieces::LITERALS) } else { self.rule(WORDS) }
        }
    }

    fn double_quoted(&mut self) {
        self.put("\"");
        for _ in 0..self.random.below(3) {
            if self.full() || self.random.once_in(3) {
                self.one_of(&["x", " ", "\\\"", "'", "\\\n", "\\a", "#", "\n", "$", "\\$(cz)", "!", "{a,b}", "*", "~"]);
            } else {
                self.rule(QUOTABLE);
            }
        }
        self.put("\"");
    }

    fn substitution(&mut self) {
        self.feature("substitution");
        self.one_of(&["$(", "$( ", "$(\n"]);
        self.inner();
        self.one_of(&[")", " )", "\n)"]);
    }

    fn case_in_substitution(&mut self) {
        self.feature("case in substitution");
        self.put("$(case x in ");
        self.one_of(&["x) ", "(x) ", "y|x) ", "*) "]);
        self.inner();
        self.one_of(&[" ;; esac)", ";; esac)", ";;\nesac )", "\nesac)"]);
    }

    fn backticks(&mut self) {
        self.feature("backticks");
        let start = self.out.len();
        self.inner();
        let inner = self.out.split_off(start);
        // Inside, a backtick or backslash is escaped once more.
        let escaped = inner.replace('\\', "\\\\").replace('`', "\\`");
        self.put("`");
        let text = if self.random.once_in(8) { inner } else { escaped };
        self.put(&text);
        self.put("`");
    }

    fn process(&mut self) {
        self.feature("process substitution");
        self.one_of(&["<(", ">("]);
        self.inner();
        self.put(")");
    }

    fn parameter(&mut self) {
        self.sample_of("parameter");
    }

    fn parameter_with_operator(&mut self) {
        self.sample_of("parameter operator");
        self.one_of(pieces::OPERATORS);
        self.depth += 1;
        if self.random.once_in(2) {
            self.word();
        } else {
            self.one_of(&["", "x", "1", "a/b", "P", "}", "\\}", "'}'", "\"}\""]);
        }
        self.depth -= 1;
        self.put("}");
    }

    fn arithmetic(&mut self) {
        let (open, close) = *self.random.pick(&[&("$((", "))"), &("$[", "]"), &("$(( ", " ))")]);
        self.put(open);
        self.sample_of("arithmetic");
        if self.random.once_in(3) {
            self.put("+");
            self.depth += 1;
            self.rule(&[Self::substitution, Self::backticks, Self::parameter_with_operator]);
            self.depth -= 1;
        }
        self.put(close);
    }

    fn braces(&mut self) {
        self.sample_of("brace expansion");
    }

    fn globs(&mut self) {
        self.sample_of("glob");
    }

    fn ansi(&mut self) {
        self.sample_of("$'..'");
    }

    fn locale(&mut self) {
        self.feature("$\"..\"");
        self.put("$");
        self.double_quoted();
    }

    pub(crate) fn redirect(&mut self) {
        if self.plain() {
            self.feature("redirection");
            return self.one_of(&[
                ">f",
                "> g",
                ">>h",
                "2>e",
                "2>&1",
                "&>b",
                "2>/dev/null",
                ">&2",
                "<<<x",
                "<<< $v",
                "3>n",
            ]);
        }
        if self.full() || self.random.once_in(2) {
            return self.sample_of("redirection");
        }
        self.rule(&[Self::here_document, Self::here_document, Self::here_string]);
    }

    fn here_string(&mut self) {
        self.feature("here-string");
        self.one_of(&["<<<", "<<< ", "0<<<"]);
        self.word();
    }

    fn here_document(&mut self) {
        self.feature(if self.depth > 0 { "nested here-document" } else { "here-document" });
        let operator = self.random.pick(&["<<", "<<", "<<-", "<< ", "3<<"]);
        let delimiters =
            [("E", "E"), ("'E'", "E"), ("\"E\"", "E"), ("\\E", "E"), ("E$v", "E$v"), ("E'F'", "EF"), ("$'E'", "$E")];
        let (written, real) = delimiters[self.random.below(delimiters.len())];
        self.put(operator);
        self.put(written);
        let outer = std::mem::take(&mut self.out);
        let waiting = std::mem::take(&mut self.waiting);
        self.depth += 1;
        for _ in 0..self.random.below(3) {
            self.document_line(operator.ends_with('-'));
        }
        if operator.ends_with('-') && self.random.once_in(2) {
            self.put("\t");
        }
        self.put(real);
        self.put("\n");
        self.depth -= 1;
        self.waiting = waiting;
        let body = std::mem::replace(&mut self.out, outer);
        self.waiting.push(body);
    }

    fn document_line(&mut self, tabs: bool) {
        if tabs {
            self.put("\t");
        }
        if self.random.once_in(3) {
            self.one_of(&["x", " E", "E x", "\\", "'", "\"", "\\$(cz)", "$", "\\`", "EE", "#"]);
        } else {
            self.rule(QUOTABLE);
        }
        self.put("\n");
    }
}

/// What may stand in a word outside of quotes.
const WORDS: &[Rule] = &[
    Writer::double_quoted,
    Writer::double_quoted,
    Writer::substitution,
    Writer::case_in_substitution,
    Writer::backticks,
    Writer::process,
    Writer::parameter,
    Writer::parameter,
    Writer::parameter_with_operator,
    Writer::parameter_with_operator,
    Writer::arithmetic,
    Writer::braces,
    Writer::globs,
    Writer::ansi,
    Writer::locale,
];

/// What is expanded in double quotes and here-documents.
const QUOTABLE: &[Rule] = &[
    Writer::substitution,
    Writer::case_in_substitution,
    Writer::backticks,
    Writer::parameter,
    Writer::parameter_with_operator,
    Writer::arithmetic,
];
