//! Jobs of an earlier life: their inputs are decoded again and they take their place in the queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hei_circuit::Inputs;
use hei_protocol::{JobErrorCode, JobId};
use hei_wire::Format;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::submit::{assemble, rows};
use super::{App, units};
use crate::clock::{elapsed, later};
use crate::registry::Offer;
use crate::store::{JobFacts, Outcome, StoreError};
use crate::worker::Task;

/// The layout of what follows.
const VERSION: u8 = 1;

/// What a later life needs to begin a job again, beside its facts: one octet string, kept with the job.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeptInput {
    pub(super) layout: String,
    pub(super) deadline_seconds: Option<u64>,
    /// The received containers.
    pub(super) payloads: Vec<Vec<u8>>,
}

impl KeptInput {
    /// Writes it down.
    pub(super) fn write(layout: &str, deadline: Option<Duration>, payloads: &[Vec<u8>]) -> Vec<u8> {
        let size: usize = payloads.iter().map(|payload| payload.len() + 8).sum();
        let mut octets = Vec::with_capacity(size + layout.len() + 32);
        octets.push(VERSION);
        put(&mut octets, layout.as_bytes());
        octets.extend(deadline.map_or(u64::MAX, |deadline| deadline.as_secs()).to_le_bytes());
        for payload in payloads {
            put(&mut octets, payload);
        }
        octets
    }

    /// Reads it.
    pub(super) fn read(mut octets: &[u8]) -> Option<Self> {
        let rest = &mut octets;
        (rest.split_off_first() == Some(&VERSION)).then_some(())?;
        let layout = std::str::from_utf8(take(rest)?).ok()?.to_owned();
        let deadline = u64::from_le_bytes(rest.split_off(..8)?.try_into().ok()?);
        let mut payloads = Vec::new();
        while !rest.is_empty() {
            payloads.push(take(rest)?.to_vec());
        }
        Some(Self { layout, deadline_seconds: (deadline != u64::MAX).then_some(deadline), payloads })
    }
}

fn put(octets: &mut Vec<u8>, part: &[u8]) {
    octets.extend((part.len() as u64).to_le_bytes());
    octets.extend_from_slice(part);
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u64::from_le_bytes(rest.split_off(..8)?.try_into().ok()?);
    rest.split_off(..usize::try_from(length).ok()?)
}

/// Why a job cannot begin again.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("its input is not there: {0}")]
    Input(#[from] StoreError),
    #[error("its input cannot be read")]
    Unreadable,
    #[error("its model, version or layout is no longer served with the same parameters")]
    Model,
    #[error("its evaluation key is no longer there")]
    Key,
    #[error("the server is stopping")]
    Stopping,
}

impl App {
    /// Begins the unfinished jobs of an earlier life again, in the order in which they were accepted.
    pub(super) async fn resume(self: Arc<Self>, unfinished: Vec<Arc<JobFacts>>) {
        tracing::info!(jobs = unfinished.len(), "resuming the jobs of an earlier life");
        for facts in unfinished {
            match self.begin_again(&facts).await {
                Ok(()) => {}
                // It stays where it is; the next life begins it again.
                Err(Lost::Stopping) => return,
                Err(lost) => {
                    tracing::error!(job = %facts.id, %lost, "a job cannot begin again");
                    self.fail(facts.id).await;
                }
            }
        }
    }

    async fn fail(&self, id: JobId) {
        let failed = self.store().finish(id, Outcome::Failed(JobErrorCode::InternalError)).await;
        if let Err(error) = failed {
            tracing::error!(job = %id, %error, "the failure could not be recorded");
        }
    }

    async fn begin_again(&self, facts: &JobFacts) -> Result<(), Lost> {
        let octets = match self.store().input(facts.id).await {
            // Deleted meanwhile.
            Err(StoreError::UnknownJob(_)) => return Ok(()),
            octets => octets?,
        };
        if facts.evaluation_key_id.is_some() {
            return Err(Lost::Key);
        }
        let model = self.registry.find(facts.model_id.as_str(), facts.version.as_str()).ok_or(Lost::Model)?;
        let kept = KeptInput::read(&octets).ok_or(Lost::Unreadable)?;
        let offer = model.offer(&kept.layout).ok_or(Lost::Model)?;
        if offer.facts().parameters.params_id != *facts.params_id {
            return Err(Lost::Model);
        }
        let batch = rows(facts.batch_size);
        let share = self.share_of_inputs(offer.input_bytes(batch)).await.ok_or(Lost::Stopping)?;
        let place = self.place_in_line().await.ok_or(Lost::Stopping)?;
        let deadline = kept.deadline_seconds.and_then(|seconds| {
            let end = later(facts.created_at, Duration::from_secs(seconds));
            Instant::now().checked_add(elapsed(self.config.clock.now(), end))
        });
        let (offer, payloads) = (offer, kept.payloads);
        let decoding = Arc::clone(&offer);
        let decoded = self.compute(move || decode(&decoding, batch, payloads)).await;
        let (format, inputs) = decoded.ok().flatten().ok_or(Lost::Unreadable)?;
        let task = Task { id: facts.id, offer, batch, inputs, format, key: None, deadline, share };
        place.send(task);
        Ok(())
    }

    /// A share of the memory for waiting inputs, however long that takes.
    async fn share_of_inputs(&self, octets: u64) -> Option<OwnedSemaphorePermit> {
        let all = units(self.config.capacity.queued_input_bytes);
        Arc::clone(&self.input_budget).acquire_many_owned(units(octets).min(all)).await.ok()
    }

    /// A place in the queue, however long that takes; none when the server stops.
    async fn place_in_line(&self) -> Option<mpsc::OwnedPermit<Task>> {
        let sender = crate::locked(&self.queue).clone()?;
        sender.reserve_owned().await.ok()
    }
}

/// What was decoded once decodes again, unless it is not what was received.
fn decode(offer: &Offer, batch: usize, payloads: Vec<Vec<u8>>) -> Option<(Format, Inputs)> {
    let shape = offer.input_shape(batch)?;
    let (format, inputs) = hei_wire::decode_inputs(payloads, &shape).ok()?;
    Some((format, assemble(inputs)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_input_reads_as_it_was_written_and_no_part_of_it_does() {
        let payloads = vec![vec![1, 2, 3], Vec::new(), vec![9; 70_000]];
        let octets = KeptInput::write("packed", Some(Duration::from_secs(7)), &payloads);
        let read = KeptInput::read(&octets).unwrap();
        assert_eq!(read, KeptInput { layout: "packed".into(), deadline_seconds: Some(7), payloads });
        for length in (0..40).chain([octets.len() - 1]) {
            let whole = KeptInput::read(&octets[..length]).is_some_and(|read| read.payloads.len() == 3);
            assert!(!whole, "{length} octets");
        }
        assert_eq!(KeptInput::read(&KeptInput::write("a", None, &[])).unwrap().deadline_seconds, None);
        assert!(KeptInput::read(&[2, 0]).is_none());
    }
}
