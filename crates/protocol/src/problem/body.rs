//! The problem document that a server sends.

use serde::Serialize;
use serde::ser::SerializeMap;

use super::code::ProblemCode;
use super::reason::{IncompatibleReason, InvalidReason};
use crate::encoding::EncodingError;
use crate::ids::RequestId;
use crate::json::SyntaxError;
use crate::limits::LimitName;
use crate::version::{API_VERSION, SUPPORTED_VERSIONS};

/// Most entries of `errors[]`.
pub const MAX_FIELD_ERRORS: usize = 32;

/// One place of a body that breaks its schema.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FieldError {
    /// JSON Pointer (RFC 6901) to the place. It consists of names from the schema and array indices only.
    pub pointer: String,
    /// What is wrong there, a token such as `missing`, `type`, `maximum`, `unexpected_member`.
    pub reason: &'static str,
}

/// A refusal with its facts. All of it comes from this program, none from the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    code: ProblemCode,
    facts: Box<Facts>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Facts {
    errors: Vec<FieldError>,
    reason: Option<&'static str>,
    input_index: Option<u64>,
    limit: Option<u64>,
    limit_name: Option<LimitName>,
    counts: Option<(u64, u64)>,
    missing_galois_elements: Vec<u64>,
    violated_policies: Vec<&'static str>,
    retry_after_seconds: Option<u64>,
}

impl Problem {
    /// A problem with no facts beyond its code.
    pub fn new(code: ProblemCode) -> Self {
        Problem { code, facts: Box::default() }
    }

    /// `INVALID_SCHEMA` at these places, sorted and cut to [`MAX_FIELD_ERRORS`].
    pub fn invalid_schema(mut errors: Vec<FieldError>) -> Self {
        errors.sort();
        errors.dedup();
        errors.truncate(MAX_FIELD_ERRORS);
        let mut problem = Problem::new(ProblemCode::InvalidSchema);
        problem.facts.errors = errors;
        problem
    }

    /// `INVALID_SCHEMA` at one place.
    pub fn invalid_field(pointer: impl Into<String>, reason: &'static str) -> Self {
        Problem::invalid_schema(vec![FieldError { pointer: pointer.into(), reason }])
    }

    /// `INVALID_CIPHERTEXT` of one input.
    pub fn invalid_ciphertext(input_index: usize, reason: InvalidReason) -> Self {
        Problem::new(ProblemCode::InvalidCiphertext).at_input(input_index).because(reason.as_str())
    }

    /// `INCOMPATIBLE_CIPHERTEXT` of one input.
    pub fn incompatible_ciphertext(input_index: usize, reason: IncompatibleReason) -> Self {
        Problem::new(ProblemCode::IncompatibleCiphertext).at_input(input_index).because(reason.as_str())
    }

    /// `INVALID_ENCODING` of one input.
    pub fn invalid_encoding(input_index: usize, error: EncodingError) -> Self {
        Problem::new(ProblemCode::InvalidEncoding).at_input(input_index).because(error.reason())
    }

    /// `INPUT_COUNT_MISMATCH` with both counts.
    pub fn input_count(expected: u64, actual: u64) -> Self {
        let mut problem = Problem::new(ProblemCode::InputCountMismatch);
        problem.facts.counts = Some((expected, actual));
        problem
    }

    /// `PAYLOAD_TOO_LARGE` with the announced limit that was passed.
    pub fn too_large(name: LimitName, limit: u64) -> Self {
        Problem::new(ProblemCode::PayloadTooLarge).with_limit(name, limit)
    }

    /// `BATCH_TOO_LARGE` with the model's limit.
    pub fn batch_too_large(max_batch_size: u64) -> Self {
        let mut problem = Problem::new(ProblemCode::BatchTooLarge);
        problem.facts.limit = Some(max_batch_size);
        problem
    }

    /// States the reason, a token of this program.
    pub fn because(mut self, reason: &'static str) -> Self {
        self.facts.reason = Some(reason);
        self
    }

    /// States the input it is about.
    pub fn at_input(mut self, index: usize) -> Self {
        self.facts.input_index = Some(index as u64);
        self
    }

    /// States a limit that was passed, with the name it is announced under.
    pub fn with_limit(mut self, name: LimitName, limit: u64) -> Self {
        self.facts.limit_name = Some(name);
        self.facts.limit = Some(limit);
        self
    }

    /// States the Galois elements that the evaluation key lacks.
    pub fn with_missing_galois_elements(mut self, elements: Vec<u64>) -> Self {
        self.facts.missing_galois_elements = elements;
        self
    }

    /// States the quota policies that were passed.
    pub fn with_violated_policies(mut self, policies: Vec<&'static str>) -> Self {
        self.facts.violated_policies = policies;
        self
    }

    /// States the seconds for the `Retry-After` header.
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.facts.retry_after_seconds = Some(seconds);
        self
    }

    /// The code.
    pub fn code(&self) -> ProblemCode {
        self.code
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.code.status()
    }

    /// The places that break the schema.
    pub fn errors(&self) -> &[FieldError] {
        &self.facts.errors
    }

    /// The reason, where the code has reasons.
    pub fn reason(&self) -> Option<&'static str> {
        self.facts.reason
    }

    /// The input it is about.
    pub fn input_index(&self) -> Option<u64> {
        self.facts.input_index
    }

    /// Seconds for the `Retry-After` header; every 429, 503 and retryable 409 has some, at least 1.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        let waits = matches!(self.status(), 429 | 503) || (self.status() == 409 && self.code.retryable());
        match self.facts.retry_after_seconds {
            Some(seconds) => Some(seconds.max(1)),
            None => waits.then_some(1),
        }
    }

    /// The document, for the exchange with this id.
    pub fn to_json(&self, request_id: &RequestId) -> Vec<u8> {
        let document = Document { problem: self, request_id: request_id.to_string() };
        // A map of strings, numbers and arrays of them: writing it into memory cannot fail.
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

impl From<SyntaxError> for Problem {
    fn from(error: SyntaxError) -> Self {
        Problem::new(ProblemCode::MalformedBody).because(error.reason())
    }
}

impl From<ProblemCode> for Problem {
    fn from(code: ProblemCode) -> Self {
        Problem::new(code)
    }
}

struct Document<'p> {
    problem: &'p Problem,
    request_id: String,
}

#[derive(Serialize)]
struct ErrorMember {
    code: &'static str,
    message: &'static str,
}

impl Serialize for Document<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (facts, code) = (&self.problem.facts, self.problem.code);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", &code.type_uri())?;
        map.serialize_entry("title", code.title())?;
        map.serialize_entry("status", &code.status())?;
        map.serialize_entry("detail", code.detail())?;
        map.serialize_entry("instance", &format!("urn:uuid:{}", self.request_id))?;
        map.serialize_entry("code", code.as_str())?;
        map.serialize_entry("retryable", &code.retryable())?;
        map.serialize_entry("remedy", code.remedy().as_str())?;
        map.serialize_entry("api_version", API_VERSION)?;
        map.serialize_entry("request_id", &self.request_id)?;
        map.serialize_entry("errors", &facts.errors)?;
        if let Some(reason) = facts.reason {
            map.serialize_entry("reason", reason)?;
        }
        if let Some(index) = facts.input_index {
            map.serialize_entry("input_index", &index)?;
        }
        if let Some(limit) = facts.limit {
            map.serialize_entry("limit", &limit)?;
        }
        if let Some(name) = facts.limit_name {
            map.serialize_entry("limit_name", name.as_str())?;
        }
        if let Some((expected, actual)) = facts.counts {
            map.serialize_entry("expected", &expected)?;
            map.serialize_entry("actual", &actual)?;
        }
        if code == ProblemCode::UnsupportedApiVersion {
            map.serialize_entry("supported_versions", &SUPPORTED_VERSIONS)?;
        }
        if !facts.missing_galois_elements.is_empty() {
            map.serialize_entry("missing_galois_elements", &facts.missing_galois_elements)?;
        }
        if !facts.violated_policies.is_empty() {
            map.serialize_entry("violated_policies", &facts.violated_policies)?;
        }
        map.serialize_entry("error", &ErrorMember { code: code.as_str(), message: code.detail() })?;
        map.end()
    }
}
