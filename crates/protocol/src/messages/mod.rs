//! Typed views of every message.
//!
//! [`InferRequest`] and [`Job`] travel as JSON or CBOR and carry payloads, so they are read from the tree
//! itself; the others are JSON only and go through serde.

mod accepted;
pub mod card;
mod infer;
mod job;
mod keys;
mod models;
pub(crate) mod number;
mod plain;
mod result;
mod service;
mod view;

pub use accepted::InferAccepted;
pub use card::ModelCard;
pub use infer::{BodyFormat, InferRequest, Input, MAX_BATCH, MAX_DEADLINE, MAX_INPUTS, Payload};
pub use job::{Job, JobError, JobState, JobStatus};
pub use keys::{KeyAnswer, Keys, ParameterSet, ParameterSetUse, StoredKey};
pub use models::{ListModels, ListedModel, Models, PublishedModel, models_order};
pub use plain::{MAX_PLAIN_INPUTS, PlainDiagnostics, PlainRequest, PlainResponse};
pub use result::{Diagnostics, JobResult, PayloadReference, ResultPayload};
pub use service::{Extension, Health, Ready, ServerName, Service};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cbor;
use crate::encoding::EncodingError;
use crate::json::{self, SyntaxError};
use crate::tree::Value;

/// `application/json`.
pub const JSON_MEDIA_TYPE: &str = "application/json";
/// `application/cbor`.
pub const CBOR_MEDIA_TYPE: &str = "application/cbor";

/// A message that is not what it should be, as its reader finds out. Says nothing of what the message holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Not JSON or CBOR of the profile.
    #[error("not a well-formed message: {0}")]
    Syntax(#[from] SyntaxError),
    /// A member is missing or not of its type.
    #[error("the member at {pointer:?} is wrong: {reason}")]
    Member {
        /// JSON Pointer to the member.
        pointer: String,
        /// What is wrong, a token.
        reason: &'static str,
    },
    /// The members do not make the message.
    #[error("the members do not make this message")]
    Shape,
    /// A payload that is not what its encoding says.
    #[error("a payload does not decode: {0}")]
    Encoding(#[from] EncodingError),
}

/// Writes a message as JSON. Equal messages give equal octets.
pub fn to_json<T: Serialize>(message: &T) -> Vec<u8> {
    // Every message is made of maps with text keys and plain values: writing it into memory cannot fail.
    serde_json::to_vec(message).unwrap_or_default()
}

/// Reads a JSON message through the strict parser.
pub fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, MessageError> {
    let whole = json::parse(body)?.to_json().ok_or(MessageError::Shape)?;
    serde_json::from_value(whole).map_err(|_| MessageError::Shape)
}

/// Parses a body of this format into a tree.
pub fn parse(format: BodyFormat, body: &[u8]) -> Result<Value<'_>, SyntaxError> {
    match format {
        BodyFormat::Json => json::parse(body),
        BodyFormat::Cbor => cbor::parse(body),
    }
}
