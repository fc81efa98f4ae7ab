//! The port for a model that rewords an explanation. It may explain and never decide: it is given the plain lines and
//! nothing else, and what it says is shown only where [`policy::reword`] finds every fact still there and none added.

use model::Assessment;
use policy::reword::{Fault, checked};
use std::io;

/// Something that can put an explanation into other words, a line for each line.
pub trait Explainer {
    /// Its name, for those who read what it said.
    fn name(&self) -> &str;

    /// Rewords `plain`. The lines of the answer belong to those of the question, in their order.
    ///
    /// # Errors
    /// When there is no answer; the plain lines then stand.
    fn reword(&mut self, plain: &[String]) -> io::Result<String>;
}

/// An explanation as it is shown.
#[derive(Debug)]
pub struct Explanation {
    /// The lines.
    pub lines: Vec<String>,
    /// Who worded them, where that is not Belljar; escaped.
    pub reworded_by: Option<String>,
    /// Why a rewording was dropped, where one was tried.
    pub dropped: Option<Dropped>,
}

/// Why the plain lines stand.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Dropped {
    /// It changed what is said.
    #[error("the rewording changes what is said: {0}")]
    Changed(Fault),
    /// There was none.
    #[error("no rewording")]
    Silent(#[source] io::Error),
}

impl Explanation {
    /// The lines with a mark behind them where they are not Belljar's own.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let mark = self.reworded_by.as_ref().map(|name| format!("(reworded by {name}; `--json` has the plain facts)"));
        self.lines.iter().cloned().chain(mark).collect()
    }
}

/// The explanation of an assessment, in other words where `explainer` finds them.
#[must_use]
pub fn explanation(assessment: &Assessment, explainer: Option<&mut dyn Explainer>) -> Explanation {
    let plain = &assessment.explanation;
    let stands = |dropped| Explanation { lines: plain.clone(), reworded_by: None, dropped };
    let Some(explainer) = explainer else { return stands(None) };
    match explainer.reword(plain).map(|said| checked(plain, &said)) {
        Ok(Ok(lines)) => Explanation { lines, reworded_by: Some(model::escape::text(explainer.name())), dropped: None },
        Ok(Err(fault)) => stands(Some(Dropped::Changed(fault))),
        Err(error) => stands(Some(Dropped::Silent(error))),
    }
}
