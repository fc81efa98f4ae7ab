//! Values the unit tests share.

pub(crate) use crate::cases::place;
use model::{
    Action, Analysis, Certainty, Change, ChangeKind, Differs, Effect, FileKind, FilePath, Meta, PathScope,
    Reversibility, Target,
};

pub(crate) fn path(action: Action, path: &str, scope: PathScope) -> Effect {
    let reversibility = if action == Action::Read { Reversibility::Harmless } else { Reversibility::ByOverlay };
    effect(action, Target::Path { path: path.into(), scope }, reversibility)
}

pub(crate) fn effect(action: Action, target: Target, reversibility: Reversibility) -> Effect {
    Effect { action, target, certainty: Certainty::Must, reversibility, span: None, by: None }
}

pub(crate) fn analysis(effects: Vec<Effect>) -> Analysis {
    Analysis::of("the command", effects)
}

pub(crate) fn meta(kind: FileKind, mode: u32) -> Meta {
    Meta { kind, mode, uid: 1000, gid: 1000, size: 1, link: None }
}

pub(crate) fn added(path: &str, mode: u32) -> Change {
    Change {
        path: FilePath::from(path),
        kind: ChangeKind::Added,
        before: None,
        after: Some(meta(FileKind::File, mode)),
        differs: Differs::default(),
        below: 0,
    }
}

pub(crate) fn modified(path: &str) -> Change {
    Change {
        path: FilePath::from(path),
        kind: ChangeKind::Modified,
        before: Some(meta(FileKind::File, 0o644)),
        after: Some(meta(FileKind::File, 0o644)),
        differs: Differs { content: true, ..Differs::default() },
        below: 0,
    }
}

pub(crate) fn deleted(path: &str, kind: FileKind, below: u64) -> Change {
    Change {
        path: FilePath::from(path),
        kind: ChangeKind::Deleted,
        before: Some(meta(kind, 0o644)),
        after: None,
        differs: Differs::default(),
        below,
    }
}
