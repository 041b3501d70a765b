//! The database's tables: made when there are none, used only when they are those this program knows.

use tokio_postgres::Client;

/// The schema this program reads and writes; the same in shape as the data directory's.
pub const SCHEMA_VERSION: i64 = 2;

/// One process at a time makes or migrates tables.
const LOCK: i64 = 0x6865_6931_0001;

const TABLES: &str = "
create schema if not exists hei;
create table hei.meta(name text primary key, value text not null);
create table hei.jobs(
    id bytea primary key, tenant text not null, state smallint not null, attempts integer not null default 0,
    owner bytea, lease_until bigint not null default 0, created_at bigint not null, deadline_at bigint,
    expires_at bigint not null, bytes bigint not null, key bytea, record bytea not null, seal bytea not null);
create index jobs_unfinished on hei.jobs(created_at, id) where state < 2;
create index jobs_by_tenant on hei.jobs(tenant, key) where state < 2;
create index jobs_by_deadline on hei.jobs(deadline_at) where state < 2 and deadline_at is not null;
create index jobs_of_tenant on hei.jobs(tenant);
create index jobs_by_expiry on hei.jobs(expires_at);
create table hei.payloads(
    id bytea not null references hei.jobs(id) on delete cascade, kind smallint not null, octets bytea not null,
    primary key(id, kind));
alter table hei.payloads alter column octets set storage external;
create table hei.idempotency(
    tenant text not null, key text not null, fingerprint bytea not null, owner bytea not null, job bytea,
    ends_at bigint not null, primary key(tenant, key));
create index idempotency_by_end on hei.idempotency(ends_at);
create index idempotency_claimed on hei.idempotency(owner) where job is null;
create table hei.tombstones(id bytea primary key, tenant text not null, ends_at bigint not null);
create index tombstones_by_end on hei.tombstones(ends_at);
create table hei.keys(
    tenant text not null, id bytea not null, state smallint not null, expires_at bigint not null,
    file text not null, record bytea not null, seal bytea not null, primary key(tenant, id));
create index keys_by_expiry on hei.keys(expires_at);
create index keys_over on hei.keys(state) where state > 0;
create index keys_by_file on hei.keys(file);
insert into hei.meta values ('schema', '2');
";

/// Why a database is not used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It cannot be reached, or it refused.
    #[error("{address}: {cause}")]
    Unreachable {
        /// Where, without a password.
        address: String,
        /// What it said.
        cause: String,
    },
    /// A later program wrote it.
    #[error(
        "{address}: the store has schema {found}, this program knows {SCHEMA_VERSION}; use the newer program"
    )]
    Newer {
        /// Where, without a password.
        address: String,
        /// Its schema.
        found: String,
    },
    /// A migration began and did not end.
    #[error(
        "{0}: a migration of this store was interrupted; let the program that began it end it, or restore a backup"
    )]
    HalfMigrated(String),
    /// It does not keep what it acknowledged.
    #[error("{address}: PostgreSQL runs with {setting} = off and may lose what it acknowledged; turn it on")]
    Unsafe {
        /// Where, without a password.
        address: String,
        /// The setting.
        setting: &'static str,
    },
    /// The object store cannot be used.
    #[error("{address}: {cause}")]
    Blobs {
        /// Where.
        address: String,
        /// What it said.
        cause: String,
    },
}

/// Sees that the tables are there and known.
pub(super) async fn open(client: &mut Client, address: &str) -> Result<(), DatabaseError> {
    let refused = |error: tokio_postgres::Error| DatabaseError::Unreachable {
        address: address.to_owned(),
        cause: super::told(&error),
    };
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let row = client.query_one(&format!("show {setting}"), &[]).await.map_err(refused)?;
        if row.get::<_, String>(0) == "off" {
            return Err(DatabaseError::Unsafe { address: address.to_owned(), setting });
        }
    }
    let transaction = client.transaction().await.map_err(refused)?;
    transaction.execute("select pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(refused)?;
    let row = transaction.query_one("select to_regclass('hei.meta') is null", &[]).await.map_err(refused)?;
    if row.get(0) {
        transaction.batch_execute(TABLES).await.map_err(refused)?;
        return transaction.commit().await.map_err(refused);
    }
    let rows = transaction.query("select name, value from hei.meta", &[]).await.map_err(refused)?;
    let value =
        |name: &str| rows.iter().find(|row| row.get::<_, &str>(0) == name).map(|row| row.get::<_, String>(1));
    if value("migrating").is_some() {
        return Err(DatabaseError::HalfMigrated(address.to_owned()));
    }
    match value("schema") {
        Some(found) if found == SCHEMA_VERSION.to_string() => Ok(()),
        found => Err(DatabaseError::Newer { address: address.to_owned(), found: found.unwrap_or_default() }),
    }
}
