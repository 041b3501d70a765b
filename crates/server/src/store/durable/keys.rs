//! Evaluation keys in the data directory: a sealed row each, and a file of octets.

use std::sync::Arc;

use bytes::Bytes;
use hei_protocol::{JobId, KeyId};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tokio::sync::oneshot;

use super::blobs::Kind;
use super::writer::{Command, Commands, KeyCommand, Shared, millis};
use super::{DurableStore, Pending, StoreError};
use crate::clock::later;
use crate::id::{Tenant, random_octets};
use crate::keys::{KeyRecord, KeySource, KeyStore, NewKey, NoKeyRoom, Pin, PinnedKey};
use crate::store::record::{self, KeyRow, KeyState};

/// What happens to a key.
#[derive(Clone)]
pub(super) enum KeyChange {
    /// Stored, with its octets in this file, unless the tenant has as many as this.
    Insert { record: KeyRecord, file: JobId, limit: usize },
    /// Used: its record becomes this one.
    Use { id: KeyId, now: i64, ttl: std::time::Duration },
    /// Deleted by its owner; jobs keep it.
    Remove { id: KeyId, now: i64 },
    /// Its octets are not what was written.
    Quarantine { id: KeyId },
}

/// What happened to a key.
pub(super) enum KeyDone {
    /// The key as it is stored, and whether it is new.
    Inserted(KeyRecord, bool),
    /// No room; so many are stored.
    Full(usize),
    /// The key, if it is there.
    Used(Option<(KeyRecord, JobId)>),
    /// Whether there was one.
    Removed(bool),
}

/// Makes the change; notes the files that are over with it.
pub(super) fn apply(
    transaction: &Transaction<'_>,
    tenant: &Tenant,
    change: &KeyChange,
    over: &mut Vec<(JobId, Kind)>,
) -> rusqlite::Result<KeyDone> {
    match change {
        KeyChange::Insert { record, file, limit } => {
            let now = millis(record.created_at);
            let mut stored = None;
            if let Some(row) = row(transaction, tenant, record.id)? {
                if row.state == KeyState::Kept && row.record.expires_at > record.created_at {
                    // Another upload of the same key was faster.
                    over.push((*file, Kind::Key));
                    let record = KeyRecord { created_at: row.record.created_at, ..record.clone() };
                    put(transaction, tenant, &KeyRow { record: record.clone(), ..row })?;
                    return Ok(KeyDone::Inserted(record, false));
                }
                if row.state == KeyState::Quarantined {
                    over.push((row.file, Kind::Key));
                } else {
                    // Jobs may read its file; it has the same octets.
                    over.push((*file, Kind::Key));
                    stored = Some(row.file);
                }
            }
            let kept = count(transaction, tenant, now)?;
            if kept >= *limit {
                over.push((*file, Kind::Key));
                over.retain(|(file, _)| stored != Some(*file));
                return Ok(KeyDone::Full(kept));
            }
            let file = stored.unwrap_or(*file);
            put(transaction, tenant, &KeyRow { state: KeyState::Kept, file, record: record.clone() })?;
            Ok(KeyDone::Inserted(record.clone(), true))
        }
        KeyChange::Use { id, now, ttl } => {
            let row = row(transaction, tenant, *id)?.filter(|row| row.is_good(*now));
            let Some(mut row) = row else { return Ok(KeyDone::Used(None)) };
            row.record.last_used_at = super::writer::time(*now);
            row.record.expires_at = later(row.record.last_used_at, *ttl);
            put(transaction, tenant, &row)?;
            Ok(KeyDone::Used(Some((row.record, row.file))))
        }
        KeyChange::Remove { id, now } => {
            let row = row(transaction, tenant, *id)?.filter(|row| row.is_good(*now));
            let Some(row) = row else { return Ok(KeyDone::Removed(false)) };
            put(transaction, tenant, &KeyRow { state: KeyState::Deleted, ..row })?;
            Ok(KeyDone::Removed(true))
        }
        KeyChange::Quarantine { id } => {
            let Some(row) = row(transaction, tenant, *id)? else { return Ok(KeyDone::Removed(false)) };
            put(transaction, tenant, &KeyRow { state: KeyState::Quarantined, ..row })?;
            Ok(KeyDone::Removed(true))
        }
    }
}

/// Whether a job may be accepted that is to be evaluated with this key.
pub(super) fn is_there(transaction: &Transaction<'_>, tenant: &Tenant, id: KeyId) -> rusqlite::Result<bool> {
    let sql = "select count(*) from keys where tenant = ?1 and id = ?2 and state = 0";
    let there: i64 = transaction
        .prepare_cached(sql)?
        .query_row(params![tenant.name(), id.as_bytes()], |row| row.get(0))?;
    Ok(there == 1)
}

/// Forgets keys that are deleted, quarantined or past their time, and that no job needs; their files.
pub(super) fn forget(transaction: &Transaction<'_>, now: i64) -> rusqlite::Result<Vec<JobId>> {
    let sql = "delete from keys where (state > 0 or expires_at <= ?1) and not exists
        (select 1 from jobs where jobs.tenant = keys.tenant and jobs.key = keys.id and jobs.state < 2)
        returning file";
    let mut forgotten = transaction.prepare_cached(sql)?;
    let files = forgotten.query_map([now], |row| Ok(JobId::from_bytes(row.get(0)?)))?;
    files.collect()
}

/// Whether [`forget`] has something to look at.
pub(super) const DUE: &str = "select count(*) from
    (select 1 from keys where state > 0 union all select 1 from keys where expires_at <= ?1 limit 1)";

fn count(connection: &Connection, tenant: &Tenant, now: i64) -> rusqlite::Result<usize> {
    let sql = "select count(*) from keys where tenant = ?1 and state = 0 and expires_at > ?2";
    let parameters = params![tenant.name(), now];
    let stored: i64 = connection.prepare_cached(sql)?.query_row(parameters, |row| row.get(0))?;
    Ok(usize::try_from(stored).unwrap_or(usize::MAX))
}

fn row(connection: &Connection, tenant: &Tenant, id: KeyId) -> rusqlite::Result<Option<KeyRow>> {
    let sql = "select record, seal from keys where tenant = ?1 and id = ?2";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?));
    let found = connection.prepare_cached(sql)?.query_row(params![tenant.name(), id.as_bytes()], read);
    Ok(found.optional()?.and_then(|(record, seal)| opened(tenant, id, &record, &seal)))
}

/// A row that is what was written.
fn opened(tenant: &Tenant, id: KeyId, record: &[u8], seal: &[u8]) -> Option<KeyRow> {
    let row = KeyRow::open(tenant.name(), id, record, seal);
    row.inspect_err(|_| tracing::error!(key = %id, "the record of an evaluation key is damaged")).ok()
}

fn put(connection: &Connection, tenant: &Tenant, row: &KeyRow) -> rusqlite::Result<()> {
    let (octets, seal) = row.sealed(tenant.name());
    let sql = "insert or replace into keys(tenant, id, state, expires_at, file, record, seal)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    connection.prepare_cached(sql)?.execute(params![
        tenant.name(),
        row.record.id.as_bytes(),
        row.state as u8,
        millis(row.record.expires_at),
        row.file.as_bytes(),
        octets,
        seal
    ])?;
    Ok(())
}

/// A key's file.
struct KeyFile {
    shared: Arc<Shared>,
    commands: Commands,
    tenant: Tenant,
    id: KeyId,
    file: JobId,
    size: u64,
}

impl KeySource for KeyFile {
    fn read(&self) -> Result<Bytes, String> {
        match self.shared.blobs.read(self.file, Kind::Key, self.size) {
            Ok(octets) => Ok(octets.into()),
            // A file that is gone is a damaged one.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Bytes::new()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn quarantine(&self) {
        tracing::error!(key = %self.id, "an evaluation key is damaged; nobody uses it again");
        let (reply, answer) = oneshot::channel();
        let change = KeyChange::Quarantine { id: self.id };
        let command = Command::Key(KeyCommand { tenant: self.tenant.clone(), change, reply });
        self.commands.send(command);
        drop(answer.blocking_recv());
    }
}

impl DurableStore {
    async fn change_key(&self, tenant: &Tenant, change: KeyChange) -> Result<KeyDone, StoreError> {
        self.alive()?;
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Key(KeyCommand { tenant: tenant.clone(), change, reply }));
        answer.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// Reads beside the writer.
    async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.alive()?;
        let reader = Arc::clone(&self.reader);
        let looked = tokio::task::spawn_blocking(move || work(&crate::locked(&reader)));
        match looked.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(StoreError::Disk(error.to_string())),
            Err(_) => Err(StoreError::Stopped),
        }
    }

    fn now(&self) -> i64 {
        millis(self.shared.clock.now())
    }

    fn source(&self, tenant: &Tenant, record: &KeyRecord, file: JobId) -> PinnedKey {
        let source = KeyFile {
            shared: Arc::clone(&self.shared),
            commands: self.commands.clone(),
            tenant: tenant.clone(),
            id: record.id,
            file,
            size: record.size,
        };
        PinnedKey::new(record.id, Arc::new(source))
    }
}

impl KeyStore for DurableStore {
    fn key_room<'a>(&'a self, tenant: &'a Tenant) -> Pending<'a, Result<(), NoKeyRoom>> {
        Box::pin(async move {
            if !self.has_room() {
                return Err(StoreError::DiskLow.into());
            }
            let (owner, now) = (tenant.clone(), self.now());
            let stored = self.look(move |connection| count(connection, &owner, now)).await?;
            if stored < self.keys_per_tenant { Ok(()) } else { Err(NoKeyRoom::Quota { stored }) }
        })
    }

    fn insert<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: NewKey,
    ) -> Pending<'a, Result<(KeyRecord, bool), NoKeyRoom>> {
        Box::pin(async move {
            let now = self.shared.clock.now();
            let NewKey { id, params_id, manifest, octets, share } = key;
            let record = KeyRecord {
                id,
                params_id,
                manifest,
                size: octets.len() as u64,
                created_at: now,
                last_used_at: now,
                expires_at: later(now, self.key_ttl),
            };
            // A name of its own: what an earlier upload of the same key left can be removed at any time.
            let file = random_octets().map_err(|error| StoreError::Disk(error.to_string()))?;
            let file = JobId::from_bytes(file);
            self.write_blob(file, Kind::Key, &octets).await?;
            drop((octets, share));
            let change = KeyChange::Insert { record, file, limit: self.keys_per_tenant };
            match self.change_key(tenant, change).await {
                Ok(KeyDone::Inserted(record, new)) => Ok((record, new)),
                Ok(KeyDone::Full(stored)) => Err(NoKeyRoom::Quota { stored }),
                Ok(_) => Err(StoreError::Stopped.into()),
                Err(error) => {
                    self.shared.blobs.remove(file, Kind::Key);
                    Err(error.into())
                }
            }
        })
    }

    fn find<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: KeyId,
    ) -> Pending<'a, Result<Option<KeyRecord>, StoreError>> {
        Box::pin(async move {
            let (owner, now) = (tenant.clone(), self.now());
            let found = self.look(move |connection| row(connection, &owner, id)).await?;
            Ok(found.filter(|row| row.is_good(now)).map(|row| row.record))
        })
    }

    fn pin<'a>(&'a self, tenant: &'a Tenant, id: KeyId) -> Pending<'a, Result<Option<Pin>, StoreError>> {
        Box::pin(async move {
            let change = KeyChange::Use { id, now: self.now(), ttl: self.key_ttl };
            let KeyDone::Used(Some((record, file))) = self.change_key(tenant, change).await? else {
                return Ok(None);
            };
            let pinned = self.source(tenant, &record, file);
            Ok(Some((record, pinned)))
        })
    }

    fn pinned<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: KeyId,
    ) -> Pending<'a, Result<Option<PinnedKey>, StoreError>> {
        Box::pin(async move {
            let owner = tenant.clone();
            let found = self.look(move |connection| row(connection, &owner, id)).await?;
            let found = found.filter(|row| row.state != KeyState::Quarantined);
            Ok(found.map(|row| self.source(tenant, &row.record, row.file)))
        })
    }

    fn list<'a>(&'a self, tenant: &'a Tenant) -> Pending<'a, Result<Vec<KeyRecord>, StoreError>> {
        Box::pin(async move {
            let (owner, now) = (tenant.clone(), self.now());
            self.look(move |connection| {
                let sql = "select id, record, seal from keys where tenant = ?1 and state = 0 order by id";
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query([owner.name()])?;
                let mut listed = Vec::new();
                while let Some(row) = rows.next()? {
                    let id = KeyId::from_digest(row.get(0)?);
                    let (record, seal): (Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(2)?);
                    listed.extend(opened(&owner, id, &record, &seal));
                }
                listed.retain(|row| row.is_good(now));
                Ok(listed.into_iter().map(|row| row.record).collect())
            })
            .await
        })
    }

    fn remove<'a>(&'a self, tenant: &'a Tenant, id: KeyId) -> Pending<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let change = KeyChange::Remove { id, now: self.now() };
            Ok(matches!(self.change_key(tenant, change).await?, KeyDone::Removed(true)))
        })
    }
}

/// The files of all keys, with the key whose octets they hold, for a check; a damaged row is an error line.
pub(super) fn files(connection: &Connection) -> rusqlite::Result<Vec<Result<(JobId, KeyRow), String>>> {
    let mut statement = connection.prepare("select tenant, id, record, seal from keys")?;
    let rows = statement.query_map([], |row| {
        let (tenant, id): (String, [u8; 32]) = (row.get(0)?, row.get(1)?);
        let (record, seal): (Vec<u8>, Vec<u8>) = (row.get(2)?, row.get(3)?);
        let id = KeyId::from_digest(id);
        let opened = KeyRow::open(&tenant, id, &record, &seal);
        Ok(opened
            .map(|row| (row.file, row))
            .map_err(|record::Damaged| format!("evaluation key {id}: its record is not what was written")))
    })?;
    rows.collect()
}
