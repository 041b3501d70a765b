//! Jobs (`job.response`).

use std::borrow::Cow;

use super::view::View;
use super::{BodyFormat, JobResult, MessageError, parse};
use crate::encoding::Encoding;
use crate::ids::{JobId, ModelId, ModelVersion};
use crate::problem::JobErrorCode;
use crate::timestamp::Timestamp;
use crate::tree::Value;
use crate::version::API_VERSION;

/// The four states. Ranks never decrease: queued, running, then completed or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobStatus {
    /// Waiting for a worker.
    Queued,
    /// Being evaluated.
    Running,
    /// Done, with a result.
    Completed,
    /// Done, without one.
    Failed,
}

impl JobStatus {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            JobStatus::Queued => "queued",
            JobStatus::Running => "running",
            JobStatus::Completed => "completed",
            JobStatus::Failed => "failed",
        }
    }

    /// The status of that name; `done` and `pending`, which older servers send, are understood.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "queued" | "pending" => Some(JobStatus::Queued),
            "running" => Some(JobStatus::Running),
            "completed" | "done" => Some(JobStatus::Completed),
            "failed" => Some(JobStatus::Failed),
            _ => None,
        }
    }

    /// 0 queued, 1 running, 2 terminal.
    pub fn rank(self) -> u8 {
        match self {
            JobStatus::Queued => 0,
            JobStatus::Running => 1,
            JobStatus::Completed | JobStatus::Failed => 2,
        }
    }

    /// Whether nothing more will happen.
    pub fn is_terminal(self) -> bool {
        self.rank() == 2
    }
}

/// Why a job failed. The code is text, for a client may meet codes newer than itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobError {
    /// The code.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// Whether the same request may succeed as a new job.
    pub retryable: bool,
}

impl JobError {
    /// The code, where it is known.
    pub fn known(&self) -> Option<JobErrorCode> {
        JobErrorCode::from_name(&self.code)
    }
}

impl From<JobErrorCode> for JobError {
    fn from(code: JobErrorCode) -> Self {
        JobError {
            code: code.as_str().to_owned(),
            message: code.message().to_owned(),
            retryable: code.retryable(),
        }
    }
}

/// What a job has by its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Waiting.
    Queued {
        /// When another look is worth it, in milliseconds from now.
        poll_after_ms: u64,
    },
    /// Being evaluated.
    Running {
        /// Since when.
        started_at: Timestamp,
        /// When another look is worth it, in milliseconds from now.
        poll_after_ms: u64,
    },
    /// Done.
    Completed {
        /// Since when it ran.
        started_at: Timestamp,
        /// Until when it ran.
        finished_at: Timestamp,
        /// The result.
        result: Box<JobResult>,
    },
    /// Failed, perhaps before it ran.
    Failed {
        /// Since when it ran, if it did.
        started_at: Option<Timestamp>,
        /// When it failed.
        finished_at: Timestamp,
        /// Why.
        error: JobError,
    },
}

/// A job as `GET /jobs/{job_id}` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The job.
    pub job_id: JobId,
    /// The model.
    pub model_id: ModelId,
    /// Its version.
    pub version: ModelVersion,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Until when it is kept at least.
    pub expires_at: Timestamp,
    /// Its state.
    pub state: JobState,
}

impl Job {
    /// The status.
    pub fn status(&self) -> JobStatus {
        match self.state {
            JobState::Queued { .. } => JobStatus::Queued,
            JobState::Running { .. } => JobStatus::Running,
            JobState::Completed { .. } => JobStatus::Completed,
            JobState::Failed { .. } => JobStatus::Failed,
        }
    }

    /// The job as JSON, an inline payload in `hex` or `base64` (`binary` is written as base64).
    pub fn to_json(&self, encoding: Encoding) -> Vec<u8> {
        let encoding = if encoding == Encoding::Binary { Encoding::Base64 } else { encoding };
        crate::json::write(&self.to_value(encoding)).unwrap_or_default()
    }

    /// The job as CBOR, an inline payload as a byte string.
    pub fn to_cbor(&self) -> Vec<u8> {
        crate::cbor::write(&self.to_value(Encoding::Binary)).unwrap_or_default()
    }

    /// The job as a tree.
    pub fn to_value(&self, encoding: Encoding) -> Value<'_> {
        let mut members: Vec<(Cow<'_, str>, Value<'_>)> = Vec::new();
        let mut add = |name: &'static str, value| members.push((Cow::Borrowed(name), value));
        let time = |timestamp: &Timestamp| Value::from(timestamp.to_string());
        add("api_version", Value::from(API_VERSION));
        add("job_id", Value::from(self.job_id.to_string()));
        add("model_id", Value::from(self.model_id.to_string()));
        add("version", Value::from(self.version.to_string()));
        add("status", Value::from(self.status().as_str()));
        add("created_at", time(&self.created_at));
        add("expires_at", time(&self.expires_at));
        match &self.state {
            JobState::Queued { poll_after_ms } => add("poll_after_ms", Value::from(*poll_after_ms)),
            JobState::Running { started_at, poll_after_ms } => {
                add("started_at", time(started_at));
                add("poll_after_ms", Value::from(*poll_after_ms));
            }
            JobState::Completed { started_at, finished_at, result } => {
                add("started_at", time(started_at));
                add("finished_at", time(finished_at));
                add("result", result.to_value(encoding));
            }
            JobState::Failed { started_at, finished_at, error } => {
                if let Some(started_at) = started_at {
                    add("started_at", time(started_at));
                }
                add("finished_at", time(finished_at));
                let value = Value::object([
                    ("code", Value::from(error.code.clone())),
                    ("message", Value::from(error.message.clone())),
                    ("retryable", Value::Bool(error.retryable)),
                ]);
                add("error", value);
                add("error_message", Value::from(error.message.clone()));
            }
        }
        Value::Object(members)
    }

    /// Reads a job; unknown members are ignored, an unknown status is an error.
    pub fn parse(format: BodyFormat, body: &[u8]) -> Result<Self, MessageError> {
        Self::from_value(&parse(format, body)?)
    }

    /// Reads a job from its tree.
    pub fn from_value(value: &Value<'_>) -> Result<Self, MessageError> {
        let view = View::new(value, "")?;
        let status =
            JobStatus::from_name(view.text("status")?).ok_or_else(|| view.wrong("status", "enum"))?;
        let poll_after_ms = view.unsigned_if_present("poll_after_ms", 0, 86_400_000)?.unwrap_or(1000);
        let state = match status {
            JobStatus::Queued => JobState::Queued { poll_after_ms },
            JobStatus::Running => JobState::Running { started_at: view.parsed("started_at")?, poll_after_ms },
            JobStatus::Completed => JobState::Completed {
                started_at: view.parsed("started_at")?,
                finished_at: view.parsed("finished_at")?,
                result: Box::new(JobResult::from_value(view.required("result")?, "/result")?),
            },
            JobStatus::Failed => {
                let error = View::new(view.required("error")?, "/error")?;
                JobState::Failed {
                    started_at: view.parsed_if_present("started_at")?,
                    finished_at: view.parsed("finished_at")?,
                    error: JobError {
                        code: error.parsed("code")?,
                        message: error.parsed("message")?,
                        retryable: error.boolean("retryable")?,
                    },
                }
            }
        };
        Ok(Job {
            job_id: view.parsed("job_id")?,
            model_id: view.parsed("model_id")?,
            version: view.parsed("version")?,
            created_at: view.parsed("created_at")?,
            expires_at: view.parsed("expires_at")?,
            state,
        })
    }
}
