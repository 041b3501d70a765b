//! Evaluation keys: a sealed row each, and an object of octets.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use deadpool_postgres::Transaction;
use hei_protocol::{JobId, KeyId};
use tokio_postgres::Row;

use super::{PostgresStore, Shared, millis};
use crate::clock::later;
use crate::id::{Tenant, random_octets};
use crate::keys::{KeyRecord, KeySource, KeyStore, NewKey, NoKeyRoom, Pin, PinnedKey};
use crate::store::record::{KeyRow, KeyState};
use crate::store::{Pending, StoreError};

const COUNT: &str = "select count(*) from hei.keys where tenant = $1 and state = 0 and expires_at > $2";
const FIND: &str = "select id, record, seal from hei.keys where tenant = $1 and id = $2";
const LIST: &str = "select id, record, seal from hei.keys where tenant = $1 and state = 0 order by id";
const PUT: &str = "insert into hei.keys(tenant, id, state, expires_at, file, record, seal)
    values ($1, $2, $3, $4, $5, $6, $7)
    on conflict (tenant, id) do update set state = excluded.state, expires_at = excluded.expires_at,
        file = excluded.file, record = excluded.record, seal = excluded.seal";
/// One upload of a tenant's is counted at a time.
const ONE_AT_A_TIME: &str = "select pg_advisory_xact_lock(hashtextextended($1, 7))";

fn object(file: JobId) -> String {
    format!("{file}.key")
}

fn opened(tenant: &Tenant, row: &Row) -> Option<KeyRow> {
    let id = KeyId::from_digest(row.get::<_, &[u8]>(0).try_into().ok()?);
    let opened = KeyRow::open(tenant.name(), id, row.get(1), row.get(2));
    opened.inspect_err(|_| tracing::error!(key = %id, "the record of an evaluation key is damaged")).ok()
}

async fn put(transaction: &Transaction<'_>, tenant: &Tenant, row: &KeyRow) -> Result<(), StoreError> {
    let (record, seal) = row.sealed(tenant.name());
    let statement = transaction.prepare_cached(PUT).await?;
    let id = row.record.id;
    let expires = millis(row.record.expires_at);
    let state = i16::from(row.state as u8);
    let file = object(row.file);
    transaction
        .execute(
            &statement,
            &[&tenant.name(), &id.as_bytes().as_slice(), &state, &expires, &file, &record, &seal.as_slice()],
        )
        .await?;
    Ok(())
}

/// A key's object.
struct KeyObject {
    shared: Weak<Shared>,
    runtime: tokio::runtime::Handle,
    tenant: Tenant,
    id: KeyId,
    file: JobId,
    size: u64,
}

impl KeySource for KeyObject {
    fn read(&self) -> Result<Bytes, String> {
        let shared = self.shared.upgrade().ok_or("the store is closed")?;
        let read = self.runtime.block_on(shared.objects.get(&object(self.file), self.size));
        // An object that is gone is a damaged one.
        read.map(Option::unwrap_or_default).map_err(|error| error.to_string())
    }

    fn quarantine(&self) {
        tracing::error!(key = %self.id, "an evaluation key is damaged; nobody uses it again");
        let Some(shared) = self.shared.upgrade() else { return };
        let change = shared
            .change_key(&self.tenant, self.id, |row| Some(KeyRow { state: KeyState::Quarantined, ..row }));
        if let Err(error) = self.runtime.block_on(change) {
            tracing::error!(key = %self.id, %error, "the key could not be quarantined; its digest is checked at every use");
        }
    }
}

impl Shared {
    async fn find_key(&self, tenant: &Tenant, id: KeyId) -> Result<Option<KeyRow>, StoreError> {
        let row = self.query_opt(FIND, &[&tenant.name(), &id.as_bytes().as_slice()]).await?;
        Ok(row.and_then(|row| opened(tenant, &row)))
    }

    /// Changes a key's row, unless there is none or `change` wants none; the row as it is then.
    async fn change_key(
        &self,
        tenant: &Tenant,
        id: KeyId,
        change: impl FnOnce(KeyRow) -> Option<KeyRow>,
    ) -> Result<Option<KeyRow>, StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let sql = format!("{FIND} for update");
        let row = transaction.query_opt(&sql, &[&tenant.name(), &id.as_bytes().as_slice()]).await?;
        let changed = row.and_then(|row| opened(tenant, &row)).and_then(change);
        if let Some(row) = &changed {
            put(&transaction, tenant, row).await?;
        }
        transaction.commit().await?;
        Ok(changed)
    }

    /// Enters an uploaded key; says what became of it, and which object is of no use.
    async fn enter_key(
        &self,
        tenant: &Tenant,
        record: KeyRecord,
        file: JobId,
    ) -> Result<(Result<(KeyRecord, bool), NoKeyRoom>, Option<JobId>), StoreError> {
        let now = millis(record.created_at);
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        transaction.execute(ONE_AT_A_TIME, &[&tenant.name()]).await?;
        let sql = format!("{FIND} for update");
        let row = transaction.query_opt(&sql, &[&tenant.name(), &record.id.as_bytes().as_slice()]).await?;
        let mut unused = None;
        let mut stored = file;
        if let Some(row) = row.and_then(|row| opened(tenant, &row)) {
            if row.is_good(now) {
                // Another upload of the same key was faster.
                let record = KeyRecord { created_at: row.record.created_at, ..record };
                put(&transaction, tenant, &KeyRow { record: record.clone(), ..row }).await?;
                transaction.commit().await?;
                return Ok((Ok((record, false)), Some(file)));
            }
            if row.state == KeyState::Quarantined {
                unused = Some(row.file);
            } else {
                // Jobs may read its object; it has the same octets.
                unused = Some(file);
                stored = row.file;
            }
        }
        let kept: i64 = transaction.query_one(COUNT, &[&tenant.name(), &now]).await?.get(0);
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        if kept >= self.capacity.keys_per_tenant {
            return Ok((Err(NoKeyRoom::Quota { stored: kept }), Some(file)));
        }
        let row = KeyRow { state: KeyState::Kept, file: stored, record: record.clone() };
        put(&transaction, tenant, &row).await?;
        transaction.commit().await?;
        Ok((Ok((record, true)), unused))
    }
}

impl PostgresStore {
    fn source(&self, tenant: &Tenant, row: &KeyRow) -> PinnedKey {
        let source = KeyObject {
            shared: Arc::downgrade(&self.0),
            runtime: self.0.runtime.clone(),
            tenant: tenant.clone(),
            id: row.record.id,
            file: row.file,
            size: row.record.size,
        };
        PinnedKey::new(row.record.id, Arc::new(source))
    }
}

impl KeyStore for PostgresStore {
    fn key_room<'a>(&'a self, tenant: &'a Tenant) -> Pending<'a, Result<(), NoKeyRoom>> {
        Box::pin(async move {
            let now = millis(self.0.now());
            let stored = self.0.query_opt(COUNT, &[&tenant.name(), &now]).await?;
            let stored = stored.map_or(0, |row| row.get::<_, i64>(0));
            let stored = usize::try_from(stored).unwrap_or(usize::MAX);
            if stored < self.0.capacity.keys_per_tenant { Ok(()) } else { Err(NoKeyRoom::Quota { stored }) }
        })
    }

    fn insert<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: NewKey,
    ) -> Pending<'a, Result<(KeyRecord, bool), NoKeyRoom>> {
        Box::pin(async move {
            let now = self.0.now();
            let NewKey { id, params_id, manifest, octets, share } = key;
            let record = KeyRecord {
                id,
                params_id,
                manifest,
                size: octets.len() as u64,
                created_at: now,
                last_used_at: now,
                expires_at: later(now, self.0.capacity.key_ttl),
            };
            // A name of its own: what an earlier upload of the same key left can be removed at any time.
            let file = random_octets().map_err(|error| StoreError::Disk(error.to_string()))?;
            let file = JobId::from_bytes(file);
            self.0.objects.put(&object(file), octets).await?;
            drop(share);
            // Where the database does not answer, the object is an orphan at worst.
            let (entered, unused) = self.0.enter_key(tenant, record, file).await?;
            if let Some(unused) = unused {
                self.0.objects.remove(&object(unused)).await;
            }
            entered
        })
    }

    fn find<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: KeyId,
    ) -> Pending<'a, Result<Option<KeyRecord>, StoreError>> {
        Box::pin(async move {
            let now = millis(self.0.now());
            let found = self.0.find_key(tenant, id).await?;
            Ok(found.filter(|row| row.is_good(now)).map(|row| row.record))
        })
    }

    fn pin<'a>(&'a self, tenant: &'a Tenant, id: KeyId) -> Pending<'a, Result<Option<Pin>, StoreError>> {
        Box::pin(async move {
            let (now, ttl) = (self.0.now(), self.0.capacity.key_ttl);
            let used = self.0.change_key(tenant, id, |mut row| {
                row.record.last_used_at = now;
                let good = row.is_good(millis(now));
                row.record.expires_at = later(now, ttl);
                good.then_some(row)
            });
            Ok(used.await?.map(|row| (row.record.clone(), self.source(tenant, &row))))
        })
    }

    fn pinned<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: KeyId,
    ) -> Pending<'a, Result<Option<PinnedKey>, StoreError>> {
        Box::pin(async move {
            let found = self.0.find_key(tenant, id).await?;
            let found = found.filter(|row| row.state != KeyState::Quarantined);
            Ok(found.map(|row| self.source(tenant, &row)))
        })
    }

    fn list<'a>(&'a self, tenant: &'a Tenant) -> Pending<'a, Result<Vec<KeyRecord>, StoreError>> {
        Box::pin(async move {
            let now = millis(self.0.now());
            let rows = self.0.query(LIST, &[&tenant.name()]).await?;
            let rows = rows.iter().filter_map(|row| opened(tenant, row)).filter(|row| row.is_good(now));
            Ok(rows.map(|row| row.record).collect())
        })
    }

    fn remove<'a>(&'a self, tenant: &'a Tenant, id: KeyId) -> Pending<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let now = millis(self.0.now());
            let removed = self.0.change_key(tenant, id, |row| {
                row.is_good(now).then_some(KeyRow { state: KeyState::Deleted, ..row })
            });
            Ok(removed.await?.is_some())
        })
    }
}
