//! A problem document as a client reads it: tolerant of codes and members it does not know.

use super::code::{ProblemCode, Remedy};
use crate::json;
use crate::tree::Value;

/// Longest text taken over from a problem document.
const MAX_TEXT: usize = 256;

/// What a client keeps of a refusal. Texts are bounded; control characters are dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedProblem {
    /// The HTTP status.
    pub status: u16,
    /// The code as it was written, empty when the answer was no problem document.
    pub code: String,
    /// The code, where this client knows it.
    pub known: Option<ProblemCode>,
    /// Whether the same request may succeed later. Without a document: whether the status is 429 or 503.
    pub retryable: bool,
    /// What to do about it, where this client knows the remedy.
    pub remedy: Option<Remedy>,
    /// The sentence for people.
    pub detail: String,
    /// The reason token.
    pub reason: Option<String>,
    /// The input it is about.
    pub input_index: Option<u64>,
    /// The limit that was passed.
    pub limit: Option<u64>,
    /// The request id, to tell the operator.
    pub request_id: Option<String>,
    /// Places that break the schema, as (pointer, reason).
    pub errors: Vec<(String, String)>,
}

impl ReceivedProblem {
    /// Reads the body of an answer with this status. A body that is no problem document gives a problem
    /// that knows the status only.
    pub fn from_json(status: u16, body: &[u8]) -> Self {
        let document = json::parse(body).unwrap_or(Value::Null);
        let text = |value: &Value<'_>, name: &str| value.member(name).and_then(Value::as_text).map(bounded);
        let known = text(&document, "code").and_then(|code| ProblemCode::from_name(&code));
        let retryable = match document.member("retryable") {
            Some(Value::Bool(retryable)) => *retryable,
            _ => matches!(status, 429 | 503),
        };
        let errors = document.member("errors").and_then(Value::as_array).unwrap_or_default();
        let field = |error: &Value<'_>| Some((text(error, "pointer")?, text(error, "reason")?));
        ReceivedProblem {
            status,
            code: text(&document, "code").unwrap_or_default(),
            known,
            retryable,
            remedy: text(&document, "remedy").and_then(|remedy| Remedy::from_name(&remedy)),
            detail: text(&document, "detail").unwrap_or_default(),
            reason: text(&document, "reason"),
            input_index: document.member("input_index").and_then(Value::as_u64),
            limit: document.member("limit").and_then(Value::as_u64),
            request_id: text(&document, "request_id"),
            errors: errors.iter().filter_map(field).take(super::MAX_FIELD_ERRORS).collect(),
        }
    }
}

fn bounded(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(MAX_TEXT).collect()
}
