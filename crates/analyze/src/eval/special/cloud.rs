//! Clients of clouds and databases.

use crate::eval::Eval;
use crate::eval::run::Start;
use crate::eval::value::{Field, Value};
use model::{Action, PathScope, Reversibility};

impl Eval<'_> {
    /// `aws SERVICE VERB`: verbs that only look are told apart from the rest.
    pub(super) fn aws(&mut self, args: &[Field], start: &Start) {
        let words: Vec<&str> = args.iter().filter_map(Field::known).filter(|text| !text.starts_with('-')).collect();
        let verb = words.get(1).copied().unwrap_or("");
        let looks = ["describe", "list", "get", "ls", "help", "head", "wait", "lookup", "search"]
            .iter()
            .any(|start| verb.starts_with(start));
        let version = args.iter().any(|field| matches!(field.known(), Some("--version" | "help")));
        for field in args {
            if let Some((_, file)) =
                field.value.prefix().split_once("file://").or_else(|| field.value.prefix().split_once("fileb://"))
            {
                let file = Field { value: Value::starting(file).known_as(field), ..field.clone() };
                self.on_path(Action::Read, &file, PathScope::Exact, "aws");
            }
        }
        let secret = words.iter().any(|word| {
            word.contains("secret")
                || word.contains("password")
                || word.contains("session-token")
                || word.contains("get-login")
        });
        let decrypts = args.iter().any(|field| field.known().is_some_and(|text| text.starts_with("--with-decr")));
        if secret || decrypts {
            self.out.find(17, start.span, "asks the cloud for secrets");
        }
        if looks || version {
            return;
        }
        self.thing(Action::Write, "the cloud", Reversibility::Never, start.span, "aws");
        let destroys = ["rm", "delete", "terminate", "rb", "remove", "purge", "destroy", "deregister", "cancel"]
            .iter()
            .any(|word| verb.starts_with(word));
        if destroys || args.iter().any(|field| field.known() == Some("--delete")) {
            self.out.find(19, start.span, "destroys something in the cloud");
        }
    }
}
