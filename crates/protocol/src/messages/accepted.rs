//! The 202 answer to `POST /infer`.

use super::MessageError;
use super::view::View;
use crate::ids::JobId;
use crate::timestamp::Timestamp;
use crate::tree::{Number, Value};
use crate::version::API_VERSION;

/// A job that was created and will run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InferAccepted {
    /// The job.
    pub job_id: JobId,
    /// When it was created.
    pub created_at: Timestamp,
    /// Until when it is kept at least.
    pub expires_at: Timestamp,
    /// When a first look is worth it, in milliseconds from now.
    pub poll_after_ms: u64,
}

impl InferAccepted {
    /// The message as a tree, for either format.
    pub fn to_value(&self) -> Value<'static> {
        Value::object([
            ("api_version", Value::from(API_VERSION)),
            ("job_id", Value::from(self.job_id.to_string())),
            ("status", Value::from("accepted")),
            ("created_at", Value::from(self.created_at.to_string())),
            ("expires_at", Value::from(self.expires_at.to_string())),
            ("poll_after_ms", Value::Number(Number::Unsigned(self.poll_after_ms))),
        ])
    }

    /// The message as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        crate::json::write(&self.to_value()).unwrap_or_default()
    }

    /// The message as CBOR.
    pub fn to_cbor(&self) -> Vec<u8> {
        crate::cbor::write(&self.to_value()).unwrap_or_default()
    }

    /// Reads the message; unknown members are ignored.
    pub fn from_value(value: &Value<'_>) -> Result<Self, MessageError> {
        let view = View::new(value, "")?;
        if view.text("status")? != "accepted" {
            return Err(view.wrong("status", "enum"));
        }
        Ok(InferAccepted {
            job_id: view.parsed("job_id")?,
            created_at: view.parsed("created_at")?,
            expires_at: view.parsed("expires_at")?,
            poll_after_ms: view.unsigned_if_present("poll_after_ms", 0, 86_400_000)?.unwrap_or(1000),
        })
    }
}
