//! What keeps jobs and keys, as the operator chose.

use std::sync::Arc;
use std::time::Duration;

use crate::cancel::Cancellations;
use crate::clock::Clock;
use crate::config::{ServerConfig, StoreChoice};
use crate::keys::KeyStore;
use crate::keys::memory::MemoryKeys;
use crate::serve::StartError;
use crate::store::Store;
use crate::store::durable::DurableStore;
use crate::store::memory::{Capacity, MemoryStore};
use crate::store::postgres::PostgresStore;

/// An opened store, with its keys and its clock.
#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Arc<dyn KeyStore>,
    /// Every time that the store keeps is one of this clock's.
    pub(crate) clock: Arc<dyn Clock>,
    /// Jobs whose evaluation is to stop: told by this process and by what the store hears of others.
    pub(crate) cancellations: Arc<Cancellations>,
    /// How many jobs are in the workers' hands at once, for so many compute threads.
    pub(crate) workers: fn(usize) -> usize,
}

/// Jobs in the workers' hands at once where each also waits for the disk.
const DURABLE_WORKERS: usize = 64;

impl Backend {
    /// Opens what the configuration names.
    pub(crate) async fn open(config: &ServerConfig) -> Result<Self, StartError> {
        let (capacity, clock) = (capacity(config), Arc::clone(&config.clock));
        let cancellations = Arc::default();
        match &config.store {
            StoreChoice::Memory => Ok(Self::in_memory(
                config,
                MemoryKeys::new(capacity.keys_per_tenant, capacity.key_ttl, clock),
            )),
            StoreChoice::Durable(options) => {
                let store = DurableStore::open(options.clone(), capacity, Arc::clone(&clock));
                let store = Arc::new(store.map_err(StartError::Store)?);
                Ok(Self {
                    store: Arc::clone(&store) as Arc<dyn Store>,
                    keys: store,
                    clock,
                    cancellations,
                    // While some wait for the disk, others compute, and their commits go together.
                    workers: |threads| threads.max(DURABLE_WORKERS),
                })
            }
            StoreChoice::Postgres(options) => {
                let stop = Arc::clone(&cancellations);
                let store = PostgresStore::open(options.clone(), capacity, stop, None).await?;
                let (clock, keys) = (store.clock(), Arc::new(store.clone()));
                Ok(Self {
                    store: Arc::new(store),
                    keys,
                    clock,
                    cancellations,
                    // While some wait for the database, others compute; more would keep them from other processes.
                    workers: |threads| 2 * threads,
                })
            }
        }
    }

    /// Everything in memory, with these keys.
    pub(crate) fn in_memory(config: &ServerConfig, keys: impl Into<Arc<MemoryKeys>>) -> Self {
        let clock = Arc::clone(&config.clock);
        let store = Arc::new(MemoryStore::new(capacity(config), Arc::clone(&clock)));
        Self { store, keys: keys.into(), clock, cancellations: Arc::default(), workers: |threads| threads }
    }
}

/// How much a store holds by this configuration, and for how long.
fn capacity(config: &ServerConfig) -> Capacity {
    let limits = &config.limits;
    let seconds = Duration::from_secs;
    Capacity {
        active_jobs_per_tenant: u32::try_from(limits.max_active_jobs_per_tenant).unwrap_or(u32::MAX),
        jobs: config.capacity.stored_jobs,
        result_bytes: config.capacity.stored_result_bytes,
        idempotency_ttl: seconds(limits.idempotency_ttl_seconds),
        tombstone_ttl: seconds(limits.job_ttl_seconds),
        keys_per_tenant: usize::try_from(limits.max_keys_per_tenant).unwrap_or(usize::MAX),
        key_ttl: seconds(limits.key_ttl_seconds),
    }
}
