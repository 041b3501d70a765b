//! Requests, and what their answers must say.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hei_ckks::OsRandomness;
use hei_client::http::{HttpClient, Options};
use hei_client::session::{Encoding, Format, Layout, Pending, RequestOptions, Session};
use hei_protocol::messages::{BodyFormat, CBOR_MEDIA_TYPE, Job, JobState, PlainRequest, ResultPayload};
use tokio::task::JoinSet;

use super::connection::Connection;
use super::traffic::{Requests, Tally, Traffic, closed, gather};
use crate::bench::flow;
use crate::exit::{Exit, Failure};
use crate::{clear, remote};

pub(super) const MODEL: &str = "logistic_v1";
/// Distinct rows; every answer is compared with the model in the clear.
const ROWS: usize = 16;
/// Callers; one caller's share of unfinished jobs is not what is measured.
const TENANTS: usize = 64;
const OPTIONS: RequestOptions = RequestOptions { format: Format::Hei, encoding: Encoding::Binary };

pub(super) struct Work {
    session: Arc<Session>,
    rows: Arc<Vec<Vec<f64>>>,
    expected: Arc<Vec<f64>>,
    requests: Arc<Requests>,
    pending: Vec<Pending>,
}

impl Work {
    /// Encrypts so many rows, each under a key of its own, and has the server say what they are worth in the clear.
    pub(super) fn prepare(url: &str, count: usize) -> Result<Self, Failure> {
        let client = HttpClient::new(url, Options::default())?;
        let card = remote::card(&client, MODEL, None)?;
        let session = Session::new(&card, Layout::Coefficients)?;
        let terms = session.terms();
        let rows = flow::rows(terms.features(), ROWS);
        let (model_id, version) = (terms.model_id().clone(), terms.version().to_string());
        let mut expected = Vec::new();
        for inputs in clear::scaled(terms.features(), &rows) {
            let request = PlainRequest { model_id: model_id.clone(), version: version.clone(), inputs };
            expected.extend(client.infer_plain(&request)?.outputs.first().copied());
        }
        let (mut requests, mut pending) = (Vec::new(), Vec::new());
        for index in 0..count {
            let (request, reply) = encrypt(&session, &rows, index)?;
            requests.push(request);
            pending.push(reply);
        }
        Ok(Self {
            session: Arc::new(session),
            rows: Arc::new(rows),
            expected: Arc::new(expected),
            requests: Arc::new(Requests(requests)),
            pending,
        })
    }

    pub(super) fn requests(&self) -> Arc<Requests> {
        Arc::clone(&self.requests)
    }

    pub(super) fn request_bytes(&self) -> usize {
        self.requests.0.first().map_or(0, Vec::len)
    }

    /// Closed traffic; afterwards the last answer to every prepared ciphertext is decrypted and compared. Once.
    pub(super) async fn prepared(
        &mut self,
        address: SocketAddr,
        clients: usize,
        total: usize,
    ) -> Result<Traffic, Failure> {
        let count = self.requests.0.len();
        let replies = Arc::new(Mutex::new(vec![Vec::new(); count]));
        let kept = Arc::clone(&replies);
        let keep = move |index: usize, body: &[u8]| {
            let mut replies = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(reply) = replies.get_mut(index % count) {
                *reply = body.to_vec();
            }
        };
        let traffic = closed(address, self.requests(), clients, total, keep).await?;
        let replies = std::mem::take(&mut *replies.lock().unwrap_or_else(PoisonError::into_inner));
        for (index, (pending, reply)) in self.pending.drain(..).zip(replies).enumerate() {
            if !reply.is_empty() && !agrees(&self.session, &self.expected, index, pending, &reply) {
                return Err(wrong());
            }
        }
        Ok(traffic)
    }

    /// Closed traffic in which every client makes its key, encrypts, decrypts and compares, within the time of its
    /// request.
    pub(super) async fn with_cryptography(
        &self,
        address: SocketAddr,
        clients: usize,
        total: usize,
    ) -> Result<Traffic, Failure> {
        let next = Arc::new(AtomicUsize::new(0));
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            let (session, rows, expected) =
                (Arc::clone(&self.session), Arc::clone(&self.rows), Arc::clone(&self.expected));
            let next = Arc::clone(&next);
            tasks.spawn(async move {
                let mut connection = Connection::open(address).await?;
                let mut tally = Tally::default();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= total {
                        return Ok(tally);
                    }
                    let sent = Instant::now();
                    let unable = |_| std::io::Error::other("a row could not be encrypted");
                    let (request, pending) = encrypt(&session, &rows, index).map_err(unable)?;
                    let answer = connection.exchange(&request).await?;
                    let right =
                        answer.status != 200 || agrees(&session, &expected, index, pending, answer.body);
                    tally.count(answer.status, sent.elapsed());
                    if !right {
                        return Err(std::io::Error::other("a score is wrong"));
                    }
                }
            });
        }
        Ok(gather(tasks).await?.report(begun.elapsed()))
    }
}

fn wrong() -> Failure {
    Failure::new(
        Exit::Disagreement,
        "a decrypted score is not the model's, within the error that its card allows",
    )
}

fn encrypt(session: &Session, rows: &[Vec<f64>], index: usize) -> Result<(Vec<u8>, Pending), Failure> {
    let key = session.key(&mut OsRandomness)?;
    let row = &rows[index % ROWS..=index % ROWS];
    let (request, pending) = session.encrypt(key, row, OPTIONS, &mut OsRandomness)?;
    Ok((message(&request.body, index % TENANTS), pending))
}

fn message(body: &[u8], tenant: usize) -> Vec<u8> {
    let mut request = format!(
        "POST /infer HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {CBOR_MEDIA_TYPE}\r\naccept: {CBOR_MEDIA_TYPE}\r\n\
         prefer: wait=30\r\nx-tenant-id: load-{tenant}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// Whether an answer holds the score of its row.
fn agrees(session: &Session, expected: &[f64], index: usize, pending: Pending, body: &[u8]) -> bool {
    let score = || {
        let job = Job::parse(BodyFormat::Cbor, body).ok()?;
        let JobState::Completed { result, .. } = job.state else { return None };
        let ResultPayload::Inline(octets) = result.payload else { return None };
        session.decrypt(pending, &octets).ok()?.reveal().first().copied()
    };
    let expected = expected.get(index % ROWS).copied().unwrap_or(f64::NAN);
    score().is_some_and(|score| (score - expected).abs() <= session.terms().expected_error())
}
