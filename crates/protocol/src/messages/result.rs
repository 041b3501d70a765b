//! The result of a job (`infer.response`).

use std::borrow::Cow;

use super::MessageError;
use super::view::View;
use crate::encoding::{self, Encoding, EncodingError};
use crate::ids::{KeyId, ModelId, ModelVersion};
use crate::tree::Value;

/// What became of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    /// Rows the request named.
    pub requested_batch_size: u64,
    /// Rows evaluated; always as many.
    pub processed_batch_size: u64,
    /// Always false: a batch is evaluated whole or refused.
    pub batch_truncated: bool,
}

impl Diagnostics {
    /// A batch evaluated whole.
    pub fn whole(batch_size: u64) -> Self {
        Diagnostics {
            requested_batch_size: batch_size,
            processed_batch_size: batch_size,
            batch_truncated: false,
        }
    }
}

/// Where the octets of a result are, for `?result=reference`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadReference {
    /// Path of the octets, `/jobs/{job_id}/result`.
    pub href: String,
    /// Their number.
    pub size: u64,
    /// Their SHA-256, lower-case hex.
    pub digest: String,
}

/// The octets of a result, or where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResultPayload {
    /// The octets.
    Inline(Vec<u8>),
    /// Where they are.
    Reference(PayloadReference),
}

/// The result of a completed job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobResult {
    /// The model.
    pub model_id: ModelId,
    /// Its version.
    pub version: ModelVersion,
    /// The parameters of the payload, 64 lower-case hexadecimal digits.
    pub params_id: String,
    /// The evaluation key that was used.
    pub evaluation_key_id: Option<KeyId>,
    /// What became of the batch.
    pub diagnostics: Diagnostics,
    /// One container; several ciphertexts travel in one list.
    pub payload: ResultPayload,
}

impl JobResult {
    /// The result as a tree whose inline payload is written in this encoding.
    pub fn to_value(&self, encoding: Encoding) -> Value<'_> {
        let payload = match &self.payload {
            ResultPayload::Inline(octets) => match encoding::encode(encoding, octets) {
                Some(text) => Value::Text(text),
                None => Value::Bytes(Cow::Borrowed(octets)),
            },
            ResultPayload::Reference(reference) => Value::object([
                ("href", Value::from(reference.href.clone())),
                ("size", Value::from(reference.size)),
                ("digest", Value::from(reference.digest.clone())),
            ]),
        };
        let diagnostics = Value::object([
            ("requested_batch_size", Value::from(self.diagnostics.requested_batch_size)),
            ("processed_batch_size", Value::from(self.diagnostics.processed_batch_size)),
            ("batch_truncated", Value::Bool(self.diagnostics.batch_truncated)),
        ]);
        let mut value = Value::object([
            ("model_id", Value::from(self.model_id.to_string())),
            ("version", Value::from(self.version.to_string())),
            ("encoding", Value::from(encoding.as_str())),
            ("payload", payload),
            ("params_id", Value::from(self.params_id.clone())),
            ("diagnostics", diagnostics),
        ]);
        if let (Some(key), Value::Object(members)) = (&self.evaluation_key_id, &mut value) {
            members.push((Cow::Borrowed("evaluation_key_id"), Value::from(key.to_string())));
        }
        value
    }

    /// Reads a result, decoding an inline payload; unknown members are ignored.
    pub fn from_value(value: &Value<'_>, pointer: &str) -> Result<Self, MessageError> {
        let view = View::new(value, pointer)?;
        let encoding = match view.get("encoding") {
            // Results of servers older than this protocol are hex and do not say so.
            None => Encoding::Hex,
            Some(encoding) => encoding
                .as_text()
                .and_then(Encoding::from_name)
                .ok_or_else(|| view.wrong("encoding", "enum"))?,
        };
        let payload = match view.required("payload")? {
            Value::Text(text) => ResultPayload::Inline(encoding::decode(encoding, text)?),
            Value::Bytes(octets) if encoding == Encoding::Binary => {
                ResultPayload::Inline(octets.clone().into_owned())
            }
            Value::Bytes(_) => return Err(EncodingError::NotAllowed.into()),
            reference => {
                let pointer = format!("{pointer}/payload");
                let view = View::new(reference, &pointer)?;
                ResultPayload::Reference(PayloadReference {
                    href: view.parsed("href")?,
                    size: view.unsigned("size", 0, u64::MAX)?,
                    digest: view.parsed("digest")?,
                })
            }
        };
        let pointer = format!("{pointer}/diagnostics");
        let diagnostics = View::new(view.required("diagnostics")?, &pointer)?;
        Ok(JobResult {
            model_id: view.parsed("model_id")?,
            version: view.parsed("version")?,
            params_id: view.parsed("params_id")?,
            evaluation_key_id: view.parsed_if_present("evaluation_key_id")?,
            diagnostics: Diagnostics {
                requested_batch_size: diagnostics.unsigned("requested_batch_size", 1, u64::MAX)?,
                processed_batch_size: diagnostics.unsigned("processed_batch_size", 1, u64::MAX)?,
                batch_truncated: diagnostics.boolean("batch_truncated")?,
            },
            payload,
        })
    }
}
