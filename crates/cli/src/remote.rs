//! A server, a model on it, and one encrypted call to it.

use std::io::Read;
use std::time::{Duration, Instant};

use hei_ckks::OsRandomness;
use hei_client::http::{HttpClient, HttpError, IdempotencyKey, Options};
use hei_client::session::{RequestOptions, Scores, Session};
use hei_protocol::{ModelId, ModelVersion};
use zeroize::Zeroizing;

use crate::args::Remote;
use crate::exit::{Exit, Failure};

/// A client for the server that was named, with the token that was named.
pub(crate) fn connect(args: &Remote, timeout: Duration) -> Result<HttpClient, Failure> {
    let token = args.token_file.as_deref().map(read_token).transpose()?;
    let authorities = args.ca.as_deref().map(read_authorities).transpose()?;
    Ok(HttpClient::new(&args.url, Options { token, timeout: Some(timeout), authorities })?)
}

fn read_authorities(path: &std::path::Path) -> Result<Vec<u8>, Failure> {
    const MAX_BYTES: u64 = 4 << 20;
    let local = |error: std::io::Error| Failure::new(Exit::Local, format!("{}: {error}", path.display()));
    let mut pem = Vec::new();
    std::fs::File::open(path).map_err(local)?.take(MAX_BYTES).read_to_end(&mut pem).map_err(local)?;
    Ok(pem)
}

fn read_token(path: &std::path::Path) -> Result<Zeroizing<String>, Failure> {
    const MAX_BYTES: u64 = 4096;
    let local = |error: std::io::Error| Failure::new(Exit::Local, format!("{}: {error}", path.display()));
    let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES as usize));
    std::fs::File::open(path).map_err(local)?.take(MAX_BYTES).read_to_string(&mut text).map_err(local)?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// The card of a model: of the named version, else of the highest one served.
pub(crate) fn card(client: &HttpClient, model: &str, version: Option<&str>) -> Result<Vec<u8>, Failure> {
    let usage = |error: hei_protocol::IdError| Failure::new(Exit::Usage, error);
    let id: ModelId = model.parse().map_err(usage)?;
    let version: ModelVersion = match version {
        Some(version) => version.parse().map_err(usage)?,
        None => newest(client, &id)?,
    };
    Ok(client.card(&id, &version)?)
}

fn newest(client: &HttpClient, id: &ModelId) -> Result<ModelVersion, Failure> {
    let models = client.models()?.models;
    let mut versions: Vec<_> =
        models.iter().filter(|m| m.model_id == *id).map(|m| m.version.clone()).collect();
    versions.sort();
    versions.pop().ok_or_else(|| {
        let mut offered: Vec<String> = models.iter().map(|m| m.model_id.to_string()).collect();
        offered.dedup();
        offered.truncate(20);
        Failure::new(
            Exit::Refused,
            format!("{} serves no model {id}; it serves: {}", client.url(), offered.join(", ")),
        )
    })
}

/// How long each part of calls took, added up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stages {
    pub(crate) keygen: Duration,
    pub(crate) encrypt: Duration,
    pub(crate) submit: Duration,
    /// From the server's acceptance to its completed job, as seen from here.
    pub(crate) evaluate: Duration,
    pub(crate) fetch: Duration,
    pub(crate) decrypt: Duration,
}

impl Stages {
    pub(crate) fn total(&self) -> Duration {
        self.keygen + self.encrypt + self.submit + self.evaluate + self.fetch + self.decrypt
    }
}

impl std::ops::AddAssign for Stages {
    fn add_assign(&mut self, other: Self) {
        self.keygen += other.keygen;
        self.encrypt += other.encrypt;
        self.submit += other.submit;
        self.evaluate += other.evaluate;
        self.fetch += other.fetch;
        self.decrypt += other.decrypt;
    }
}

/// What one call gave.
pub(crate) struct Call {
    pub(crate) scores: Scores,
    /// The HTTP body that was sent.
    pub(crate) body: Vec<u8>,
    /// Octets of the ciphertexts in it.
    pub(crate) payload_bytes: u64,
    /// Octets of the result.
    pub(crate) reply_bytes: u64,
    pub(crate) stages: Stages,
}

/// Encrypts one batch, submits it, waits, fetches, decrypts. Nothing after the decryption reaches the server.
pub(crate) fn call(
    client: &HttpClient,
    session: &Session,
    rows: &[Vec<f64>],
    options: RequestOptions,
) -> Result<Call, Failure> {
    let mut stages = Stages::default();
    let mut random = OsRandomness;
    let key = timed(&mut stages.keygen, || session.key(&mut random))?;
    let (request, pending) = timed(&mut stages.encrypt, || session.encrypt(key, rows, options, &mut random))?;
    let limit = session.reply_limit(&pending);
    let mut resubmitted = false;
    let finished = loop {
        let idempotency = IdempotencyKey::random()?;
        let job = timed(&mut stages.submit, || client.submit(&request.body, request.media, &idempotency))?;
        match timed(&mut stages.evaluate, || client.wait(&job, limit)) {
            // The job was accepted and lost; a new key makes a new job, once.
            Err(HttpError::JobFailed { retryable: true, .. }) if !resubmitted => resubmitted = true,
            outcome => break outcome?,
        }
    };
    session.check_result(&pending, &finished.result)?;
    let reply = timed(&mut stages.fetch, || client.result(finished, limit))?;
    let scores = timed(&mut stages.decrypt, || session.decrypt(pending, &reply))?;
    Ok(Call {
        scores,
        body: request.body,
        payload_bytes: request.payload_bytes,
        reply_bytes: reply.len() as u64,
        stages,
    })
}

fn timed<T>(total: &mut Duration, run: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let value = run();
    *total += begun.elapsed();
    value
}
