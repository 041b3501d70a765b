//! The messages of the protocol: schemas, problem codes, limits, strict parsing.
//!
//! This crate is the Rust twin of the specification (`spec/`), which it embeds ([`spec`]). It turns untrusted
//! bytes into typed messages in one pass: one strict parse ([`json`], [`cbor`]) gives one tree
//! ([`tree::Value`]), the validator compiled from the published schema checks that tree ([`schema`]), and a
//! typed view ([`messages`]) is read from the very same tree. It knows no ciphertexts, no HTTP stack, no
//! clock, no files and no randomness, so servers, clients and browsers share it.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod cbor;
pub mod encoding;
pub mod ids;
pub mod json;
pub mod limits;
pub mod manifest;
pub mod messages;
pub mod problem;
pub mod schema;
pub mod spec;
pub mod timestamp;
pub mod tree;
pub mod version;

pub use encoding::{Encoding, EncodingError};
pub use ids::{IdError, JobId, KeyId, ModelId, ModelVersion, RequestId};
pub use limits::{LimitName, Limits};
pub use problem::{FieldError, JobErrorCode, Problem, ProblemCode, Remedy};
pub use timestamp::Timestamp;
pub use tree::Value;
pub use version::API_VERSION;
