//! The data directory: opened by one server at a time, and only when its schema is the one this program writes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

/// The schema this program reads and writes.
pub const SCHEMA_VERSION: i64 = 2;
/// Says whose database it is: "hei1".
const APPLICATION_ID: i64 = 0x6865_6931;
/// The database's name in the data directory.
pub(super) const DATABASE: &str = "hei.sqlite3";
const LOCK: &str = "lock";
/// Locked exclusively while a backup is taken, shared while payload files are removed.
pub(super) const HOLD: &str = "hold";

/// Schema 1.
const TABLES: &str = "
create table meta(name text primary key, value text not null) without rowid;
create table jobs(
    id blob primary key, tenant text not null, state integer not null,
    attempts integer not null default 0, lease_until integer, expires_at integer not null,
    record blob not null, seal blob not null);
create index jobs_by_expiry on jobs(expires_at);
create table payloads(id blob not null, kind integer not null, octets blob not null, primary key(id, kind));
create table idempotency(
    tenant text not null, key text not null, fingerprint blob not null, job blob not null,
    ends_at integer not null, seal blob not null, primary key(tenant, key));
create index idempotency_by_end on idempotency(ends_at);
create table tombstones(id blob primary key, tenant text not null, ends_at integer not null) without rowid;
create index tombstones_by_end on tombstones(ends_at);
";

/// From schema 1, which kept no evaluation keys, to 2. Jobs of schema 1 never had a stored key.
const TO_SCHEMA_2: &str = "
alter table jobs add column key blob;
create index jobs_by_key on jobs(tenant, key) where key is not null and state < 2;
create table keys(
    tenant text not null, id blob not null, state integer not null, expires_at integer not null,
    file blob not null, record blob not null, seal blob not null, primary key(tenant, id)) without rowid;
create index keys_by_expiry on keys(expires_at);
create index keys_over on keys(state) where state > 0;
";

/// Why a store is not opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another server has it.
    #[error("{}: another server uses this data directory; stop it, or choose another with --data", .0.display())]
    InUse(PathBuf),
    /// A later program wrote it.
    #[error("{}: the store has schema {found}, this program knows up to {SCHEMA_VERSION}; use the newer program", .path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
    },
    /// An earlier program wrote it, and it is only to be read.
    #[error("{}: the store has schema {found}, this program reads {SCHEMA_VERSION}; `hei serve` brings it up to date, or use the older program", .path.display())]
    Older {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
    },
    /// A migration began and did not end.
    #[error("{}: a migration of this store was interrupted; restore a backup, or let the program that began it end it", .0.display())]
    HalfMigrated(PathBuf),
    /// It is a database, and not one of ours.
    #[error("{}: not a hei store; choose another directory with --data", .0.display())]
    Foreign(PathBuf),
    /// The operating system refused.
    #[error("{}: {cause}", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        cause: std::io::Error,
    },
    /// The database refused.
    #[error("{}: {cause}; check it with `hei store check`", .path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// What it said.
        cause: rusqlite::Error,
    },
}

/// Takes the directory for this process; the lock goes with the file.
pub(super) fn lock(data: &Path) -> Result<File, OpenError> {
    let path = data.join(LOCK);
    let io = |cause| OpenError::Io { path: path.clone(), cause };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse(data.to_owned())),
        Err(std::fs::TryLockError::Error(cause)) => Err(io(cause)),
    }
}

/// Creates the directory, readable by its owner only.
pub(super) fn create_folder(data: &Path) -> Result<(), OpenError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(data).map_err(|cause| OpenError::Io { path: data.to_owned(), cause })
}

/// Opens the database for writing; makes it when there is none.
pub(super) fn open(data: &Path) -> Result<Connection, OpenError> {
    let path = data.join(DATABASE);
    let database = |cause| OpenError::Database { path: path.clone(), cause };
    let mut connection = Connection::open(&path).map_err(database)?;
    // A refused store must stay as it is: not even its log is folded in.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(database)?;
    let (version, application, tables) = identity(&connection).map_err(database)?;
    if tables == 0 && version == 0 {
        create(&mut connection).map_err(database)?;
    } else {
        known(&connection, &path, version, application)?;
        migrate(&mut connection, version).map_err(database)?;
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(database)?;
    durable(&connection).map_err(database)?;
    Ok(connection)
}

/// Opens the database for reading, beside the server that writes it.
pub(super) fn open_reader(data: &Path) -> Result<Connection, OpenError> {
    let path = data.join(DATABASE);
    let database = |cause| OpenError::Database { path: path.clone(), cause };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).map_err(database)?;
    connection.busy_timeout(Duration::from_secs(10)).map_err(database)?;
    let (version, application, _) = identity(&connection).map_err(database)?;
    known(&connection, &path, version, application)?;
    if version < SCHEMA_VERSION {
        return Err(OpenError::Older { path, found: version });
    }
    Ok(connection)
}

fn identity(connection: &Connection) -> rusqlite::Result<(i64, i64, i64)> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    Ok((
        number("pragma user_version")?,
        number("pragma application_id")?,
        number("select count(*) from sqlite_master")?,
    ))
}

fn known(connection: &Connection, path: &Path, version: i64, application: i64) -> Result<(), OpenError> {
    if application != APPLICATION_ID {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    if version > SCHEMA_VERSION {
        return Err(OpenError::Newer { path: path.to_owned(), found: version });
    }
    let migrating = "select count(*) from meta where name = 'migrating'";
    let migrating = connection.query_row(migrating, [], |row| row.get::<_, i64>(0));
    match migrating {
        Ok(0) if version >= 1 => Ok(()),
        Ok(_) => Err(OpenError::HalfMigrated(path.to_owned())),
        Err(cause) => Err(OpenError::Database { path: path.to_owned(), cause }),
    }
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "auto_vacuum", "incremental")?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.execute_batch(TO_SCHEMA_2)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

/// Brings an older store up to date: all of it, or none.
fn migrate(connection: &mut Connection, version: i64) -> rusqlite::Result<()> {
    if version >= SCHEMA_VERSION {
        return Ok(());
    }
    // The commit is to be on the disk like every other.
    durable(connection)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(TO_SCHEMA_2)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()?;
    tracing::info!(from = version, to = SCHEMA_VERSION, "the store was brought up to date");
    Ok(())
}

/// A commit returns when it is on the disk.
fn durable(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.busy_timeout(Duration::from_secs(10))
}
