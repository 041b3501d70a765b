//! Problems: every refusal is an RFC 9457 document with a stable code, fixed sentences and typed facts.
//! Nothing of a request is ever repeated in one.

mod body;
mod code;
mod reason;
mod received;

pub use body::{FieldError, MAX_FIELD_ERRORS, Problem};
pub use code::{JobErrorCode, ProblemCode, Remedy};
pub use reason::{IncompatibleReason, InvalidReason};
pub use received::ReceivedProblem;

/// The media type of a problem document, for JSON and CBOR clients alike.
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";
