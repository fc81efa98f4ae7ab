//! Requests out of the audit log's records. A record is bounded and its secrets are replaced: where that reached what
//! decides, it is said, and the record is not asked again as if it were whole.

use model::{Analysis, AuditRecord, Effect, FilePath, Place, Stage, Target};
use policy::replay::{Inexact, Request};

/// What was asked about the command that a record tells of; `None`: nothing was.
#[must_use]
pub fn request(record: &AuditRecord) -> Option<Request<'static>> {
    let Stage::Decided { analysis, assessment, place, .. } = &record.stage else { return None };
    let cut = record.left_out.iter().any(|left| decides(&left.at));
    Some(match place {
        _ if cut => Request::inexact(Inexact::Cut),
        _ if is_redacted(analysis, place.as_ref()) => Request::inexact(Inexact::Redacted),
        None => Request::inexact(Inexact::Place),
        Some(place) => Request::of(analysis, assessment, place),
    })
}

/// Whether what stands at this place of a record can decide. What is not known does.
fn decides(at: &str) -> bool {
    let of_entry = |list: &str, fields: &[&str]| {
        let field =
            at.strip_prefix(list).and_then(|rest| rest.strip_prefix('[')?.split_once("].").map(|(_, field)| field));
        field.is_some_and(|field| fields.iter().any(|name| within(field, name)))
    };
    let for_people = ["analysis.text", "assessment.reasons", "assessment.explanation", "decision", "profile"];
    !(for_people.iter().any(|name| within(at, name))
        || of_entry("analysis.findings", &["message"])
        || of_entry("analysis.canonical", &["argv", "redirects", "env"])
        || of_entry("analysis.certificates", &["row"]))
}

/// Whether a place is `name` or in it.
fn within(at: &str, name: &str) -> bool {
    at.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// What stands in place of a secret. Somebody may have typed it: then too it is not known what was asked.
const REDACTED: &str = "[redacted:";

fn is_redacted(analysis: &Analysis, place: Option<&Place>) -> bool {
    let paths = place.into_iter().flat_map(|place| [&place.cwd, &place.home, &place.workspace, &place.state]);
    analysis.effects.iter().any(of_effect) || paths.into_iter().any(of_path)
}

fn of_effect(effect: &Effect) -> bool {
    let target = match &effect.target {
        Target::Path { path, .. } => of_path(path),
        Target::Peer(peer) => peer.host.contains(REDACTED),
        Target::Program { name } => name.contains(REDACTED),
        Target::Thing { what } => what.contains(REDACTED),
        // No rule sees the text of what is unknown.
        Target::Unknown { .. } => false,
    };
    target || effect.by.as_ref().is_some_and(|by| by.contains(REDACTED))
}

fn of_path(path: &FilePath) -> bool {
    path.as_bytes().windows(REDACTED.len()).any(|part| part == REDACTED.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::{decides, request};
    use crate::audit::{AuditLog, Durability};
    use model::{
        Action, Analysis, AuditRecord, Certainty, Coverage, Effect, LeftOut, PathScope, Place, Reversibility, Stage,
        Target,
    };
    use policy::Policy;
    use policy::cases::place;
    use policy::replay::Inexact;

    /// What the log holds of a command that writes these files.
    fn logged(files: &[String], place: Option<Place>) -> AuditRecord {
        let effect = |name: &String| Effect {
            action: Action::Write,
            target: Target::Path { path: name.as_str().into(), scope: PathScope::Exact },
            certainty: Certainty::Must,
            reversibility: Reversibility::ByOverlay,
            span: None,
            by: None,
        };
        let analysis = Analysis {
            text: "touch --token hunter2hunter2 ...".repeat(2000),
            effects: files.iter().map(effect).collect(),
            findings: Vec::new(),
            coverage: Coverage::Full,
            canonical: Vec::new(),
            certificates: Vec::new(),
        };
        let policy = Policy::builtin().unwrap();
        let here = policy::cases::place(true);
        let assessment = policy.assess(&analysis, &here);
        let decision = policy.decide(&analysis, &assessment, &here);
        let analysis = Box::new(analysis);
        let stage =
            Stage::Decided { analysis, assessment, decision, profile: None, approved_by: None, policy: None, place };
        let dir = tempfile::tempdir().unwrap();
        let log = AuditLog::new(dir.path());
        log.append(None, stage, Durability::Lazy).unwrap();
        let mut records = Vec::new();
        log.read(|record| records.push(record)).unwrap();
        records.swap_remove(0)
    }

    #[test]
    fn what_the_log_cut_or_redacted_is_told_and_the_rest_is_whole() {
        let few = vec!["/home/u/work/a".to_owned(), "/home/u/.bashrc".to_owned()];
        let many: Vec<String> = (0..300).map(|n| format!("/home/u/work/{n}")).collect();
        let secret = vec!["/home/u/work/ghp_0123456789abcdefghij0123456789abcdef".to_owned()];
        let why = |record: &AuditRecord| request(record).unwrap().why_inexact();
        // The text was cut and had a secret; neither decides.
        let whole = logged(&few, Some(place(true)));
        assert!(!whole.left_out.is_empty());
        assert_eq!(why(&whole), None);
        assert_eq!(why(&logged(&many, Some(place(true)))), Some(Inexact::Cut));
        assert_eq!(why(&logged(&secret, Some(place(true)))), Some(Inexact::Redacted));
        assert_eq!(why(&logged(&few, None)), Some(Inexact::Place));
    }

    #[test]
    fn only_what_is_for_people_may_be_cut() {
        for at in ["analysis.text", "analysis.findings[3].message", "analysis.canonical[0].argv[7]", "decision.because"]
        {
            assert!(!decides(at), "{at}");
        }
        for at in [
            "analysis.effects",
            "analysis.effects[0].target.path",
            "analysis.findings",
            "analysis.findings[0].check",
            "analysis.textual",
            "analysis.canonical",
            "analysis.certificates",
            "assessment.tiers",
            "place.home",
            "something.new",
        ] {
            assert!(decides(at), "{at}");
        }
    }

    #[test]
    fn what_is_no_decision_is_no_request() {
        let left_out: Vec<LeftOut> = Vec::new();
        let stage = Stage::Failed { error: "x".into() };
        assert!(request(&AuditRecord { seq: 0, time_ms: 0, uid: 0, trial: None, left_out, stage }).is_none());
    }
}
