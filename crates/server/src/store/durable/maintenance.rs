//! What an operator does with a store beside its server: check it, and take a copy.

use std::fs::File;
use std::path::{Path, PathBuf};

use hei_protocol::JobId;
use rusqlite::Connection;

use super::blobs::{self, Kind};
use super::keys;
use super::schema::{self, DATABASE, HOLD, OpenError};
use crate::store::record::{Payload, Record};

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Jobs, finished ones included.
    pub jobs: u64,
    /// Jobs that are queued or running.
    pub unfinished: u64,
    /// Evaluation keys.
    pub keys: u64,
    /// Payloads that were read and are what their digests say.
    pub payloads: u64,
    /// Their octets.
    pub payload_bytes: u64,
    /// What is wrong, one line each; never an octet of a payload.
    pub damage: Vec<String>,
}

/// Why a copy was not made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is something already.
    #[error("{}: not empty; a copy goes to a directory of its own", .0.display())]
    Exists(PathBuf),
    /// The operating system refused.
    #[error("{}: {cause}", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        cause: std::io::Error,
    },
    /// The copy, or the backup to be restored, has damage; it was left for a look.
    #[error("{}: damaged: {first}; run `hei store check` on what was copied", .path.display())]
    Damaged {
        /// The copy.
        path: PathBuf,
        /// The first line of the report.
        first: String,
    },
}

/// Reads everything and holds it against its digests. Changes nothing; may run beside the server.
///
/// # Errors
/// [`OpenError`] when there is no store that can be read.
pub fn check(data: &Path) -> Result<Report, OpenError> {
    let _hold = hold(data)?;
    let mut connection = reader(data)?;
    inspect(&mut connection, data).map_err(|cause| OpenError::Database { path: data.join(DATABASE), cause })
}

/// Copies the store into a new directory that is itself a data directory. May run beside the server: the copy is
/// of one moment, and every job acknowledged before it is in the copy.
///
/// # Errors
/// [`BackupError`]; a copy that was begun is left where it is, and is no data directory before it is whole.
pub fn backup(data: &Path, to: &Path) -> Result<Report, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    // No payload file goes while the copy is made.
    let _hold = hold(data)?;
    copy(data, to)
}

/// Makes a data directory of a backup, in a new or empty directory. The backup is held against its digests first, the
/// copy after.
///
/// # Errors
/// [`BackupError`]; a copy that was begun is left where it is, and is no data directory before it is whole.
pub fn restore(from: &Path, data: &Path) -> Result<Report, BackupError> {
    let io = |cause| BackupError::Io { path: data.to_owned(), cause };
    if data.exists() && std::fs::read_dir(data).map_err(io)?.next().is_some() {
        return Err(BackupError::Exists(data.to_owned()));
    }
    // A backup may be on a medium that takes no lock; nobody writes to it.
    let _hold = hold(from).ok();
    let mut connection = reader(from)?;
    let report = inspect(&mut connection, from)
        .map_err(|cause| OpenError::Database { path: from.join(DATABASE), cause })?;
    drop(connection);
    if let Some(first) = report.damage.first() {
        return Err(BackupError::Damaged { path: from.to_owned(), first: first.clone() });
    }
    copy(from, data)
}

/// Copies a store whose payload files stay, and checks the copy.
fn copy(data: &Path, to: &Path) -> Result<Report, BackupError> {
    let io = |cause| BackupError::Io { path: to.to_owned(), cause };
    let connection = reader(data)?;
    schema::create_folder(to)?;
    let (part, whole) = (to.join("part.sqlite3"), to.join(DATABASE));
    let database = |cause| OpenError::Database { path: data.join(DATABASE), cause };
    connection.execute("vacuum into ?1", [part.to_string_lossy().as_ref()]).map_err(database)?;
    let (from, into) = (super::blob_folder(data), super::blob_folder(to));
    std::fs::create_dir(&into).map_err(io)?;
    let copied = Connection::open(&part).map_err(database)?;
    for (id, kind, _) in expected(&copied).map_err(database)?.files {
        let path = blobs::path(&into, id, kind);
        match std::fs::copy(blobs::path(&from, id, kind), &path) {
            Ok(_) => File::open(&path).and_then(|file| file.sync_all()).map_err(io)?,
            // Told by the check below.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
        }
    }
    drop(copied);
    let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all()).map_err(io);
    sync(&part)?;
    sync(&into)?;
    std::fs::rename(&part, &whole).map_err(io)?;
    sync(to)?;
    let report = check(to)?;
    match report.damage.first() {
        None => Ok(report),
        Some(first) => Err(BackupError::Damaged { path: to.to_owned(), first: first.clone() }),
    }
}

fn reader(data: &Path) -> Result<Connection, OpenError> {
    let path = data.join(DATABASE);
    if path.is_file() {
        return schema::open_reader(data);
    }
    let cause = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no store here");
    Err(OpenError::Io { path: data.to_owned(), cause })
}

/// Keeps the server from removing payload files.
fn hold(data: &Path) -> Result<File, OpenError> {
    let path = data.join(HOLD);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    file.and_then(|file| file.lock().map(|()| file)).map_err(|cause| OpenError::Io { path, cause })
}

#[derive(Default)]
struct Expected {
    report: Report,
    rows: Vec<(JobId, Kind, Payload)>,
    files: Vec<(JobId, Kind, Payload)>,
}

fn expected(connection: &Connection) -> rusqlite::Result<Expected> {
    let mut expected = Expected::default();
    let mut statement = connection.prepare("select id, state, record, seal from jobs")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, state): ([u8; 16], i64) = (row.get(0)?, row.get(1)?);
        let (record, seal): (Vec<u8>, Vec<u8>) = (row.get(2)?, row.get(3)?);
        let id = JobId::from_bytes(id);
        let report = &mut expected.report;
        report.jobs += 1;
        report.unfinished += u64::from(state < 2);
        let Ok(record) = Record::open(id, &record, &seal) else {
            report.damage.push(format!("job {id}: its record is not what was written"));
            continue;
        };
        for (kind, payload) in [(Kind::Input, record.input), (Kind::Result, record.result)] {
            match payload {
                Some(payload) if payload.is_blob() => expected.files.push((id, kind, payload)),
                Some(payload) => expected.rows.push((id, kind, payload)),
                None => {}
            }
        }
    }
    for row in keys::files(connection)? {
        match row {
            Ok((file, row)) => {
                expected.report.keys += 1;
                let payload = Payload::new(row.record.size, row.record.id.as_bytes());
                expected.files.push((file, Kind::Key, payload));
            }
            Err(damage) => expected.report.damage.push(damage),
        }
    }
    Ok(expected)
}

fn name(id: JobId, kind: Kind) -> String {
    match kind {
        Kind::Input => format!("the input of job {id}"),
        Kind::Result => format!("the result of job {id}"),
        Kind::Key => format!("the evaluation key in file {id}"),
    }
}

fn inspect(connection: &mut Connection, data: &Path) -> rusqlite::Result<Report> {
    // One moment, whatever the server does meanwhile.
    let snapshot = connection.transaction()?;
    let Expected { mut report, rows, files } = expected(&snapshot)?;
    let mut judge = |id: JobId, kind: Kind, payload: &Payload, octets: Option<Vec<u8>>| match octets {
        Some(octets) if payload.is(&octets) => {
            report.payloads += 1;
            report.payload_bytes += payload.size;
        }
        Some(_) => report.damage.push(format!("{}: not what was written", name(id, kind))),
        None => report.damage.push(format!("{}: missing", name(id, kind))),
    };
    for (id, kind, payload) in rows {
        judge(id, kind, &payload, super::read_row(&snapshot, id, kind).ok());
    }
    for (id, kind, payload) in files {
        let octets = std::fs::read(blobs::path(&super::blob_folder(data), id, kind)).ok();
        judge(id, kind, &payload, octets);
    }
    let mut integrity = snapshot.prepare("pragma integrity_check(20)")?;
    let lines: Vec<String> = integrity.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    report.damage.extend(lines.into_iter().filter(|line| line != "ok"));
    Ok(report)
}
