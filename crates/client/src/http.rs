//! The protocol over blocking HTTP: discover, submit, wait, fetch.
//!
//! Every answer has a ceiling before it is read; redirects are not followed; a bearer token goes to the
//! origin it was given for and to no other; what a server writes is escaped before anybody sees it.

mod exchange;
mod problem;
mod retry;

use std::time::{Duration, Instant};

use hei_protocol::messages::{
    BodyFormat, InferAccepted, Job, JobResult, JobState, ListModels, ModelCard, PlainRequest, PlainResponse,
    ResultPayload, Service, from_json, parse,
};
use hei_protocol::problem::ReceivedProblem;
use hei_protocol::{JobId, ModelId, ModelVersion};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use ureq::http::{Method, StatusCode};
use zeroize::Zeroizing;

use exchange::{Call, Origin};
pub use problem::ServerText;

const JSON: &str = "application/json";
const CATALOG_LIMIT: u64 = 16 << 20;
const JSON_LIMIT: u64 = 1 << 20;

/// Why a conversation with a server ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The address is not one of a server.
    #[error(
        "not a server address: expected http://host[:port] or https://host[:port], without user or query"
    )]
    InvalidUrl,
    /// The certificates to trust are none.
    #[error("no certificate in the file of authorities: expected PEM, one or more certificates")]
    InvalidAuthority,
    /// The bearer token cannot be one.
    #[error("the bearer token is empty, too long, or has characters a token never has")]
    InvalidToken,
    /// A token would travel readable by everyone on the way.
    #[error("refusing to send a bearer token over http:// to another machine: use https://")]
    InsecureToken,
    /// No connection, after all attempts.
    #[error("cannot reach {url} ({attempts} attempts): {cause}")]
    Unreachable {
        /// The server's address.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// What the last attempt met.
        cause: ServerText,
    },
    /// Connection lost on a request that must not be repeated.
    #[error("connection lost after sending ({cause}): the outcome is unknown")]
    UnknownOutcome {
        /// What happened.
        cause: ServerText,
    },
    /// The time allowed for the call is over.
    #[error("no answer within the time allowed: raise the timeout, or try again later")]
    Deadline,
    /// The server refused, and said why.
    #[error("the server refused: {}", problem::describe(.0))]
    Problem(Box<ReceivedProblem>),
    /// The job was accepted, and failed.
    #[error("the job failed: {code}{}", if *.retryable { " (submit it again)" } else { "" })]
    JobFailed {
        /// The job's error code.
        code: ServerText,
        /// Whether a new submission may succeed.
        retryable: bool,
    },
    /// A redirect, which is never followed.
    #[error("the server redirects ({status}); redirects are not followed: give the final address")]
    Redirected {
        /// HTTP status.
        status: u16,
    },
    /// More bytes than the answer can have.
    #[error("the answer is longer than the {limit} bytes it can have: cut off")]
    TooLarge {
        /// The ceiling.
        limit: u64,
    },
    /// Not what the protocol says.
    #[error("the server's answer is not what the protocol says: {0}")]
    Unexpected(&'static str),
}

/// How to talk to a server.
#[derive(Default)]
pub struct Options {
    /// Bearer token, without the word `Bearer`.
    pub token: Option<Zeroizing<String>>,
    /// Time for one call with all its attempts; two minutes when absent.
    pub timeout: Option<Duration>,
    /// Certificates (PEM) of the authorities to trust, instead of those the world trusts.
    pub authorities: Option<Vec<u8>>,
}

/// One server.
pub struct HttpClient {
    origin: Origin,
    timeout: Duration,
}

/// The key under which a POST may be repeated without running twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// A fresh random key (a version 4 UUID).
    pub fn random() -> Result<Self, HttpError> {
        let mut b = [0u8; 16];
        getrandom::fill(&mut b).map_err(|_| HttpError::Unexpected("no system randomness"))?;
        b[6] = b[6] & 0x0f | 0x40;
        b[8] = b[8] & 0x3f | 0x80;
        let hex: String = b.iter().map(|byte| format!("{byte:02x}")).collect();
        let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
        // A structured-field string: quoted.
        Ok(Self(format!("\"{}\"", parts.join("-"))))
    }
}

/// A completed job.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The job; its payload may be a reference.
    pub job_id: JobId,
    /// What the server says of the result.
    pub result: JobResult,
    /// Milliseconds of evaluation, if the server says.
    pub evaluate_ms: Option<f64>,
}

impl HttpClient {
    /// A client of the server at `url` (`http://host[:port]`). Connects when first used.
    pub fn new(url: &str, options: Options) -> Result<Self, HttpError> {
        let timeout = options.timeout.unwrap_or(Duration::from_secs(120));
        Ok(Self { origin: Origin::new(url, options.token, options.authorities.as_deref())?, timeout })
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        self.origin.base()
    }

    /// `GET /models?view=all`: every model the server offers.
    ///
    /// # Errors
    /// [`HttpError`].
    pub fn models(&self) -> Result<ListModels, HttpError> {
        self.json("/models?view=all", CATALOG_LIMIT).and_then(|body| message(&body))
    }

    /// `GET /models/{id}/versions/{version}`: a model's card, as the JSON a
    /// [`Session`](crate::session::Session) takes. A card of another model than the one asked for is refused.
    ///
    /// # Errors
    /// [`HttpError`].
    pub fn card(&self, model_id: &ModelId, version: &ModelVersion) -> Result<Vec<u8>, HttpError> {
        let body = self.json(&format!("/models/{model_id}/versions/{version}"), CATALOG_LIMIT)?;
        let card: ModelCard = message(&body)?;
        if (&card.model_id, &card.version) != (model_id, version) {
            return Err(HttpError::Unexpected("the card is of another model"));
        }
        Ok(body)
    }

    /// `GET /service`: name, limits, extensions.
    ///
    /// # Errors
    /// [`HttpError`].
    pub fn service(&self) -> Result<Service, HttpError> {
        self.json("/service", JSON_LIMIT).and_then(|body| message(&body))
    }

    /// `GET /health/ready`.
    pub fn ready(&self) -> Result<(), HttpError> {
        self.json("/health/ready", JSON_LIMIT).map(drop)
    }

    /// `POST /infer`. The key makes it safe to repeat, so lost connections are retried.
    ///
    /// # Errors
    /// [`HttpError::Problem`] means that no job was created.
    pub fn submit(
        &self,
        body: &[u8],
        media: BodyFormat,
        key: &IdempotencyKey,
    ) -> Result<InferAccepted, HttpError> {
        let headers =
            [("content-type", media.media_type()), ("accept", JSON), ("idempotency-key", key.0.as_str())];
        let call = Call {
            method: Method::POST,
            path: "/infer",
            headers: &headers,
            body: Some(body),
            limit: JSON_LIMIT,
            repeatable: true,
        };
        let answer = self.origin.send(&call, self.deadline())?;
        if answer.status != StatusCode::ACCEPTED || !answer.is(JSON) {
            return Err(HttpError::Unexpected("POST /infer answers 202 with JSON"));
        }
        let tree = parse(BodyFormat::Json, &answer.body).map_err(|_| MALFORMED)?;
        InferAccepted::from_value(&tree).map_err(|_| MALFORMED)
    }

    /// Long-polls `GET /jobs/{id}` until the job is done. Octets are asked for by reference; a server that
    /// sends them inline may send `limit` of them.
    ///
    /// # Errors
    /// [`HttpError::JobFailed`] with the job's own code.
    pub fn wait(&self, accepted: &InferAccepted, limit: u64) -> Result<Finished, HttpError> {
        let deadline = self.deadline();
        let job_id = accepted.job_id;
        let path = format!("/jobs/{job_id}?wait=20&result=reference");
        let limit = JSON_LIMIT.saturating_add(limit.saturating_mul(2));
        let mut hint = accepted.poll_after_ms;
        let mut least = Duration::ZERO;
        let mut rank = 0;
        loop {
            let asked = Instant::now();
            let answer = self.origin.send(&get(&path, &[("accept", JSON)], limit), deadline)?;
            if !answer.is(JSON) {
                return Err(HttpError::Unexpected("a job is JSON"));
            }
            let job = Job::parse(BodyFormat::Json, &answer.body).map_err(|_| MALFORMED)?;
            if job.job_id != job_id {
                return Err(HttpError::Unexpected("the answer is about another job"));
            }
            if job.status().rank() < rank {
                return Err(HttpError::Unexpected("a job's status went backwards"));
            }
            rank = job.status().rank();
            match job.state {
                JobState::Completed { result, .. } => {
                    let evaluate_ms = answer.header("server-timing").and_then(evaluation_time);
                    return Ok(Finished { job_id, result: *result, evaluate_ms });
                }
                JobState::Failed { error, .. } => {
                    let code = ServerText::new(&error.code);
                    return Err(HttpError::JobFailed { code, retryable: error.retryable });
                }
                JobState::Queued { poll_after_ms } | JobState::Running { poll_after_ms, .. } => {
                    hint = poll_after_ms.min(hint)
                }
            }
            // A server that holds the request already paced us; one that does not is asked ever less often.
            if asked.elapsed() < Duration::from_secs(1) {
                let left = deadline.saturating_duration_since(Instant::now());
                let pause = Duration::from_millis(hint.clamp(1, 10_000)).max(least);
                std::thread::sleep(pause.min(left));
                least = pause.saturating_mul(3) / 2;
            }
        }
    }

    /// The result's octets, at most `limit` of them: those the job carried, or `GET /jobs/{id}/result`. Fetch
    /// once.
    ///
    /// # Errors
    /// [`HttpError::TooLarge`] when there are more; [`HttpError::Unexpected`] when they are not those
    /// announced.
    pub fn result(&self, finished: Finished, limit: u64) -> Result<Vec<u8>, HttpError> {
        let reference = match finished.result.payload {
            ResultPayload::Inline(octets) if octets.len() as u64 <= limit => return Ok(octets),
            ResultPayload::Inline(_) => return Err(HttpError::TooLarge { limit }),
            ResultPayload::Reference(reference) => reference,
        };
        if reference.size > limit {
            return Err(HttpError::TooLarge { limit });
        }
        // The path is the protocol's; the server's `href` is not followed, it could point anywhere.
        let path = format!("/jobs/{}/result", finished.job_id);
        let call = get(&path, &[("accept", "application/octet-stream")], limit);
        let answer = self.origin.send(&call, self.deadline())?;
        if answer.status != StatusCode::OK || !answer.is("application/octet-stream") {
            return Err(HttpError::Unexpected("a result is 200 with application/octet-stream"));
        }
        let digest = hei_protocol::encoding::to_hex(&Sha256::digest(&answer.body));
        if answer.body.len() as u64 != reference.size || digest != reference.digest {
            return Err(HttpError::Unexpected("the result's octets are not those the job announced"));
        }
        Ok(answer.body)
    }

    /// `POST /infer/plain`: features in the clear, for comparison with a server that offers it.
    ///
    /// # Errors
    /// [`HttpError::Problem`] with `NOT_IMPLEMENTED` or `NOT_FOUND` where it is not offered.
    pub fn infer_plain(&self, request: &PlainRequest) -> Result<PlainResponse, HttpError> {
        let body = request.to_json();
        let headers = [("content-type", JSON), ("accept", JSON)];
        let call = Call {
            method: Method::POST,
            path: "/infer/plain",
            headers: &headers,
            body: Some(&body),
            limit: CATALOG_LIMIT,
            // It creates no job and changes nothing.
            repeatable: true,
        };
        self.origin.send(&call, self.deadline()).and_then(|answer| message(&answer.body))
    }

    fn json(&self, path: &str, limit: u64) -> Result<Vec<u8>, HttpError> {
        let answer = self.origin.send(&get(path, &[("accept", JSON)], limit), self.deadline())?;
        if !answer.is(JSON) {
            return Err(HttpError::Unexpected("expected application/json"));
        }
        Ok(answer.body)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }
}

fn get<'a>(path: &'a str, headers: &'a [(&'static str, &'a str)], limit: u64) -> Call<'a> {
    Call { method: Method::GET, path, headers, body: None, limit, repeatable: true }
}

const MALFORMED: HttpError = HttpError::Unexpected("unreadable JSON, or members missing");

fn message<T: DeserializeOwned>(body: &[u8]) -> Result<T, HttpError> {
    from_json(body).map_err(|_| MALFORMED)
}

/// The duration of `eval` in a `Server-Timing` header.
fn evaluation_time(header: &str) -> Option<f64> {
    header.split(',').find_map(|metric| {
        let mut parts = metric.split(';').map(str::trim);
        (parts.next()? == "eval").then_some(())?;
        parts
            .find_map(|p| p.strip_prefix("dur=")?.parse().ok())
            .filter(|ms: &f64| ms.is_finite() && *ms >= 0.0)
    })
}

#[cfg(test)]
mod tests;
