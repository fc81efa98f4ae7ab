//! Which sets of policies were found valid before. To parse the schema and validate against it takes longer than all else
//! before a command starts, and gives the same each time.
//!
//! Only that is remembered, and not what was read: a text is parsed and held to its rights at every start, so whoever could
//! forge this file could not make a rule say anything but what its text says. The state directory is out of every jar's
//! reach.

use crate::replace::{own, replace};
use std::path::{Path, PathBuf};

const NAME: &str = "valid-policies";
/// So many are remembered, those that were found last.
const MOST: usize = 64;
/// Of them, and more than enough.
const BYTES_MAX: u64 = 64 << 10;

/// Digests of valid sets, as the audit log names them: over this version, the schema and every text.
pub(crate) struct Valid {
    path: PathBuf,
    known: Vec<String>,
}

impl Valid {
    /// What is remembered in a state directory. What cannot be trusted or read is not: then texts are validated again.
    pub(crate) fn in_state(state: &Path) -> Valid {
        let path = state.join(NAME);
        let text = own(&path, BYTES_MAX).ok().flatten().and_then(|bytes| String::from_utf8(bytes).ok());
        let known = text.unwrap_or_default().lines().map(str::to_owned).collect();
        Valid { path, known }
    }

    pub(crate) fn knows(&self, digest: &str) -> bool {
        self.known.iter().any(|known| known == digest)
    }

    /// This set was loaded: it is valid. Where there is no state yet none is begun, and where this cannot be written it is
    /// validated again.
    pub(crate) fn remember(mut self, digest: &str) {
        if self.knows(digest) || !self.path.parent().is_some_and(Path::is_dir) {
            return;
        }
        self.known.push(digest.to_owned());
        let last = self.known.len().saturating_sub(MOST);
        let text: String = self.known.iter().skip(last).map(|digest| format!("{digest}\n")).collect();
        let _ = replace(&self.path, text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers;
    use crate::profile::RulesText;
    use policy::{Layer, Origin, Policy};
    use std::os::unix::fs::PermissionsExt;

    fn digest(text: &str) -> String {
        layers::digest(&[], &[RulesText { name: "own".into(), may_permit: true, text: text.into() }])
    }

    #[test]
    fn what_was_valid_is_remembered_and_a_file_of_others_is_not_believed() {
        let state = tempfile::tempdir().unwrap();
        let text = "@id(\"a\") permit (principal, action, resource) when { context.approved };";
        assert!(!Valid::in_state(state.path()).knows(&digest(text)));
        Valid::in_state(state.path()).remember(&digest(text));
        assert!(Valid::in_state(state.path()).knows(&digest(text)));
        assert!(!Valid::in_state(state.path()).knows(&digest(&format!("{text} "))));
        for number in 0..2 * MOST {
            Valid::in_state(state.path()).remember(&digest(&number.to_string()));
        }
        let last = digest(&(2 * MOST - 1).to_string());
        assert!(!Valid::in_state(state.path()).knows(&digest(text)));
        assert!(Valid::in_state(state.path()).knows(&last));
        let file = state.path().join(NAME);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(!Valid::in_state(state.path()).knows(&last));
        Valid::in_state(&state.path().join("none")).remember(&digest(text));
        assert!(!state.path().join("none").exists());
    }

    #[test]
    fn a_text_that_passes_for_valid_is_held_to_everything_else() {
        let again = |text: &str, origin| {
            let layer = Layer { name: "own", origin, text };
            Policy::layered_again(&[layer], true).map(drop)
        };
        assert!(again("@id(\"a\") permit (principal, action, resource);", Origin::User).is_ok());
        assert!(again("@id(\"a\") permit (principal, action, resource);", Origin::Project).is_err());
        assert!(again("permit (principal, action, resource);", Origin::User).is_err());
        assert!(again("permit", Origin::User).is_err());
    }
}
