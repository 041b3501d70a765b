//! The protocol over blocking HTTP: discover, submit, wait, fetch.
//!
//! Every answer has a ceiling before it is read; redirects are not followed; a bearer token goes to the origin it
//! was given for and to no other; what a server writes is escaped before anybody sees it.

mod exchange;
mod problem;
mod retry;

use std::time::{Duration, Instant};

use serde::Deserialize;
use ureq::http::{Method, StatusCode};
use zeroize::Zeroizing;

use exchange::{Answer, Call, Origin};
pub use problem::{Problem, ServerText};

const JSON: &str = "application/json";
const CATALOG_LIMIT: u64 = 16 << 20;
const JSON_LIMIT: u64 = 1 << 20;

/// Why a conversation with a server ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The address is not one of a server.
    #[error("not a server address: expected http://host[:port] or https://host[:port], without user or query")]
    InvalidUrl,
    /// The bearer token cannot be one.
    #[error("the bearer token is empty, too long, or has characters a token never has")]
    InvalidToken,
    /// A token would travel readable by everyone on the way.
    #[error("refusing to send a bearer token over http:// to another machine: use https://")]
    InsecureToken,
    /// Model ids, versions and job ids are plain words.
    #[error("not a {0} the protocol allows")]
    InvalidName(&'static str),
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
    #[error("the server refused: {0}")]
    Problem(Box<Problem>),
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
}

/// One server.
pub struct HttpClient {
    origin: Origin,
    timeout: Duration,
}

/// What a request body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// `application/json`
    Json,
    /// `application/cbor`
    Cbor,
}

impl Media {
    /// The media type's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Cbor => "application/cbor",
        }
    }
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

/// A job the server took on.
#[derive(Clone, Debug)]
pub struct Accepted {
    job_id: String,
    poll_after: Duration,
}

impl Accepted {
    /// The job's id.
    pub fn job_id(&self) -> &str {
        &self.job_id
    }
}

/// A completed job, without its result.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The model that was evaluated, as the server names it.
    pub model_id: String,
    /// Its version.
    pub version: String,
    /// Milliseconds of evaluation, if the server says.
    pub evaluate_ms: Option<f64>,
}

#[derive(Deserialize)]
struct AcceptedBody {
    job_id: String,
    status: String,
    #[serde(default)]
    poll_after_ms: Option<f64>,
}

#[derive(Deserialize)]
struct JobBody {
    job_id: String,
    status: String,
    model_id: String,
    version: String,
    #[serde(default)]
    error: Option<JobError>,
    #[serde(default)]
    poll_after_ms: Option<f64>,
}

#[derive(Deserialize)]
struct JobError {
    code: String,
    #[serde(default)]
    retryable: bool,
}

impl HttpClient {
    /// A client of the server at `url` (`http://host[:port]`). Connects when first used.
    pub fn new(url: &str, options: Options) -> Result<Self, HttpError> {
        let timeout = options.timeout.unwrap_or(Duration::from_secs(120));
        Ok(Self { origin: Origin::new(url, options.token)?, timeout })
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        self.origin.base()
    }

    /// `GET /models?view=all`: every model the server offers, as JSON.
    pub fn models(&self) -> Result<Vec<u8>, HttpError> {
        self.json("/models?view=all", CATALOG_LIMIT)
    }

    /// `GET /models/{id}/versions/{version}`: a model's card, as JSON.
    pub fn card(&self, model_id: &str, version: &str) -> Result<Vec<u8>, HttpError> {
        let path = format!("/models/{}/versions/{}", model_name(model_id)?, version_name(version)?);
        self.json(&path, CATALOG_LIMIT)
    }

    /// `GET /service`: name, limits, extensions, as JSON.
    pub fn service(&self) -> Result<Vec<u8>, HttpError> {
        self.json("/service", JSON_LIMIT)
    }

    /// `GET /health/ready`.
    pub fn ready(&self) -> Result<(), HttpError> {
        self.json("/health/ready", JSON_LIMIT).map(drop)
    }

    /// `POST /infer`. The key makes it safe to repeat, so lost connections are retried.
    pub fn submit(&self, body: &[u8], media: Media, key: &IdempotencyKey) -> Result<Accepted, HttpError> {
        let headers = [("content-type", media.name()), ("accept", JSON), ("idempotency-key", key.0.as_str())];
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
        let body: AcceptedBody = parse(&answer)?;
        if body.status != "accepted" || !is_job_id(&body.job_id) {
            return Err(HttpError::Unexpected("an accepted job has the status accepted and an id of 32 hex digits"));
        }
        Ok(Accepted { job_id: body.job_id, poll_after: poll_pause(body.poll_after_ms) })
    }

    /// Long-polls `GET /jobs/{id}` until the job is done. The result itself is left for [`Self::result`].
    pub fn wait(&self, job: &Accepted) -> Result<Finished, HttpError> {
        let deadline = self.deadline();
        let path = format!("/jobs/{}?wait=20&result=reference", job.job_id);
        let mut pause = job.poll_after;
        let mut rank = 0;
        loop {
            let asked = Instant::now();
            let call = get(&path, &[("accept", JSON)], JSON_LIMIT);
            let answer = self.origin.send(&call, deadline)?;
            if !answer.is(JSON) {
                return Err(HttpError::Unexpected("a job is JSON"));
            }
            let body: JobBody = parse(&answer)?;
            if body.job_id != job.job_id {
                return Err(HttpError::Unexpected("the answer is about another job"));
            }
            let (now, live) = match body.status.as_str() {
                "queued" | "pending" => (0, true),
                "running" => (1, true),
                "completed" | "done" => (2, false),
                "failed" => {
                    let error = body.error.ok_or(HttpError::Unexpected("a failed job has an error"))?;
                    let code = ServerText::new(&error.code);
                    return Err(HttpError::JobFailed { code, retryable: error.retryable });
                }
                _ => return Err(HttpError::Unexpected("unknown job status")),
            };
            if now < rank {
                return Err(HttpError::Unexpected("a job's status went backwards"));
            }
            rank = now;
            if !live {
                let evaluate_ms = answer.header("server-timing").and_then(evaluation_time);
                return Ok(Finished { model_id: body.model_id, version: body.version, evaluate_ms });
            }
            // A server that holds the request already paced us; one that does not says when to come back.
            if asked.elapsed() < Duration::from_secs(1) {
                let left = deadline.saturating_duration_since(Instant::now());
                std::thread::sleep(pause.min(left));
            }
            pause = poll_pause(body.poll_after_ms).max(pause.saturating_mul(3) / 2).min(Duration::from_secs(2));
        }
    }

    /// `GET /jobs/{id}/result`: the result's octets, at most `limit` of them. Fetch once.
    pub fn result(&self, job: &Accepted, limit: u64) -> Result<Vec<u8>, HttpError> {
        let path = format!("/jobs/{}/result", job.job_id);
        let call = get(&path, &[("accept", "application/octet-stream")], limit);
        let answer = self.origin.send(&call, self.deadline())?;
        if answer.status != StatusCode::OK || !answer.is("application/octet-stream") {
            return Err(HttpError::Unexpected("a result is 200 with application/octet-stream"));
        }
        Ok(answer.body)
    }

    /// `POST /infer/plain`: features in the clear, for comparison with a server that offers it.
    pub fn infer_plain(&self, body: &[u8]) -> Result<Vec<u8>, HttpError> {
        let headers = [("content-type", JSON), ("accept", JSON)];
        let call = Call {
            method: Method::POST,
            path: "/infer/plain",
            headers: &headers,
            body: Some(body),
            limit: CATALOG_LIMIT,
            // It creates no job and changes nothing.
            repeatable: true,
        };
        self.origin.send(&call, self.deadline()).map(|answer| answer.body)
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

fn parse<'a, T: Deserialize<'a>>(answer: &'a Answer) -> Result<T, HttpError> {
    serde_json::from_slice(&answer.body).map_err(|_| HttpError::Unexpected("unreadable JSON, or members missing"))
}

fn poll_pause(hint: Option<f64>) -> Duration {
    Duration::from_secs_f64(hint.unwrap_or(40.0).clamp(1.0, 10_000.0) / 1e3)
}

/// The duration of `eval` in a `Server-Timing` header.
fn evaluation_time(header: &str) -> Option<f64> {
    header.split(',').find_map(|metric| {
        let mut parts = metric.split(';').map(str::trim);
        (parts.next()? == "eval").then_some(())?;
        parts.find_map(|p| p.strip_prefix("dur=")?.parse().ok()).filter(|ms: &f64| ms.is_finite() && *ms >= 0.0)
    })
}

fn is_job_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn model_name(text: &str) -> Result<&str, HttpError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let valid = text.len() <= 64
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|b| plain(b) || b"._-".contains(&b));
    valid.then_some(text).ok_or(HttpError::InvalidName("model id"))
}

fn version_name(text: &str) -> Result<&str, HttpError> {
    let valid = (1..=64).contains(&text.len())
        && text.bytes().next().is_some_and(|b| b.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+".contains(&b));
    valid.then_some(text).ok_or(HttpError::InvalidName("model version"))
}

#[cfg(test)]
mod tests;
