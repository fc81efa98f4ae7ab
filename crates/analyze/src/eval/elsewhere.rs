//! Commands that run on another machine or in a container: their effects are not here, but what they destroy counts.

use super::Eval;
use super::report::Report;
use super::run::Start;
use super::value::Field;
use model::{Risk, Span};

impl Eval<'_> {
    /// Looks at a command that runs `where_` (`in the container`). Its effects on files are not on this machine; what it
    /// does that is HIGH by itself is told, and nothing of it makes anything less.
    pub(super) fn elsewhere(&mut self, argv: &[Field], where_: &str, start: &Start) {
        let Some(span) = argv.first().map(|field| field.span) else { return };
        let inner = Start { unwrapped: start.unwrapped + 1, past_functions: true, ..start.clone() };
        let told = self.apart(|eval| {
            eval.run(argv, inner);
        });
        self.retell(&told, where_, span);
    }

    /// The same for shell text.
    pub(super) fn text_elsewhere(&mut self, text: &Field, where_: &str, start: &Start) {
        let told = self.apart(|eval| eval.shell_text(text, start));
        self.retell(&told, where_, text.span);
    }

    /// Runs `run` with a report of its own.
    fn apart(&mut self, run: impl FnOnce(&mut Self)) -> Report {
        let outer = std::mem::take(&mut self.out);
        self.in_subshell(run);
        std::mem::replace(&mut self.out, outer)
    }

    fn retell(&mut self, told: &Report, where_: &str, span: Span) {
        for finding in told.findings.iter().filter(|finding| finding.severity == Risk::High) {
            self.out.find_as(finding.check.0, Risk::High, span, &format!("{} ({where_})", finding.message));
        }
        self.out.overflowed |= told.overflowed;
    }
}
