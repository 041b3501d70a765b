//! Jobs that this process did not decode itself, of an earlier life or another server's: their inputs are decoded
//! again and they take their place in the queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hei_circuit::Inputs;
use hei_protocol::JobErrorCode;
use hei_wire::Format;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::submit::{assemble, rows};
use super::{App, units};
use crate::clock::{elapsed, later};
use crate::compute::{ComputeError, Lane};
use crate::fair;
use crate::registry::Offer;
use crate::store::{Outcome, StoreError, Taken};
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
    #[error("its input cannot be read")]
    Unreadable,
    #[error("its model, version or layout is not served with the same parameters here")]
    Model,
    #[error("its evaluation key is no longer there")]
    Key,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the server is stopping")]
    Stopping,
}

/// How long to wait after the store failed to give a job.
const TAKE_PAUSE: Duration = Duration::from_secs(1);
/// How long to wait when more is to be decoded than the compute pool lets wait.
const LANE_PAUSE: Duration = Duration::from_millis(20);

impl App {
    /// Takes jobs that are in nobody's hands, oldest first, as many at once as there are workers, until the server
    /// stops.
    pub(super) async fn take_jobs(self: Arc<Self>, workers: usize) {
        let slots = Arc::new(Semaphore::new(workers));
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            let stopping = self.stopping.notified();
            if self.draining.load(Ordering::Acquire) {
                return;
            }
            let taken = tokio::select! {
                taken = self.store().take() => taken,
                () = stopping => return,
            };
            match taken {
                Ok(taken) => {
                    tokio::spawn(Arc::clone(&self).begin(taken, slot));
                }
                Err(StoreError::Stopped) => return,
                Err(error) => {
                    tracing::warn!(%error, "the store gives no job; trying again");
                    tokio::time::sleep(TAKE_PAUSE).await;
                }
            }
        }
    }

    async fn begin(self: Arc<Self>, taken: Taken, slot: OwnedSemaphorePermit) {
        let lease = taken.lease;
        match self.begin_again(taken, slot).await {
            // It stays where it is; another life, or another process, begins it again.
            Ok(()) | Err(Lost::Stopping) => {}
            Err(lost) => {
                tracing::error!(job = %lease.id, %lost, "a job cannot begin again");
                let failed = self.store().finish(lease, Outcome::Failed(JobErrorCode::InternalError)).await;
                if let Err(error) = failed {
                    tracing::error!(job = %lease.id, %error, "the failure could not be recorded");
                }
            }
        }
    }

    async fn begin_again(&self, taken: Taken, slot: OwnedSemaphorePermit) -> Result<(), Lost> {
        let Taken { lease, facts, input } = taken;
        let key = match facts.evaluation_key_id {
            None => None,
            Some(id) => Some(self.keys.pinned(&facts.tenant, id).await?.ok_or(Lost::Key)?),
        };
        let model = self.registry.find(facts.model_id.as_str(), facts.version.as_str()).ok_or(Lost::Model)?;
        let kept = KeptInput::read(&input).ok_or(Lost::Unreadable)?;
        let offer = model.offer(&kept.layout).ok_or(Lost::Model)?;
        if offer.facts().parameters.params_id != *facts.params_id {
            return Err(Lost::Model);
        }
        let deadline = kept.deadline_seconds.and_then(|seconds| {
            let wait =
                elapsed(self.config.clock.now(), later(facts.created_at, Duration::from_secs(seconds)));
            // It may wait long for memory and for its place: it fails at its deadline like one that is new.
            self.workshop.fail_after(wait, lease.id);
            Instant::now().checked_add(wait)
        });
        let owner = Some(facts.tenant.clone());
        let batch = rows(facts.batch_size);
        let share = self.share_of_inputs(offer.input_bytes(batch)).await.ok_or(Lost::Stopping)?;
        let place = self.place_in_line().await.ok_or(Lost::Stopping)?;
        let (offer, payloads) = (offer, kept.payloads);
        let decoding = Arc::clone(&offer);
        let payloads = Arc::new(payloads);
        let decoded = loop {
            let (decoding, payloads) = (Arc::clone(&decoding), Arc::clone(&payloads));
            let work = move || decode(&decoding, batch, payloads.to_vec());
            match self.workshop.compute.run_for(Lane::Validate, owner.clone(), work).await {
                Err(ComputeError::LaneFull { .. }) => tokio::time::sleep(LANE_PAUSE).await,
                Err(ComputeError::ShuttingDown) => return Err(Lost::Stopping),
                Err(ComputeError::Panicked) => break None,
                Ok(decoded) => break decoded,
            }
        };
        let (format, inputs) = decoded.ok_or(Lost::Unreadable)?;
        place.send(
            facts.tenant.clone(),
            Task {
                tenant: facts.tenant.clone(),
                lease,
                offer,
                batch,
                inputs,
                format,
                key,
                deadline,
                share,
                slot: Some(slot),
                in_line: None,
                accepted: Instant::now(),
                trace: None,
            },
        );
        Ok(())
    }

    /// A share of the memory for waiting inputs, however long that takes.
    async fn share_of_inputs(&self, octets: u64) -> Option<OwnedSemaphorePermit> {
        let all = units(self.config.capacity.queued_input_bytes);
        Arc::clone(&self.input_budget).acquire_many_owned(units(octets).min(all)).await.ok()
    }

    /// A place in the queue, however long that takes; none when the server stops.
    async fn place_in_line(&self) -> Option<fair::Place<Task>> {
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
