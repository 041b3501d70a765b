//! Everything an operator can set, by name: read from flags, the environment and a TOML file, in that order of rank.
//!
//! [`table::SETTINGS`] is the one list of names; the reader, the effective settings that are printed, the commented file
//! of defaults and `docs/config.md` all come from it. Secrets are never values here: a setting names the file that
//! holds one.

mod kind;
mod load;
mod show;
mod table;

use std::path::PathBuf;

pub use load::{Flag, Loaded, SettingsError, Source, load};
pub use show::{documentation, effective, file_of_defaults};
pub use table::{SETTINGS, Setting};

use crate::config::ServerConfig;
use crate::store::BlobsAddress;
use crate::store::durable::DurableOptions;
use crate::store::postgres::{PostgresAddress, PostgresTuning};

/// Where jobs are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// In the data directory.
    Disk,
    /// In memory.
    Memory,
    /// In a database that several servers and workers share.
    Postgres(PostgresAddress),
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What an operator must mend.
    Error,
    /// And what went wrong.
    Warn,
    /// And starts, stops and exchanges.
    Info,
    /// And each connection.
    Debug,
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Every setting of a process.
#[derive(Clone)]
pub struct Settings {
    /// Folder of compiled models; the reference models without it.
    pub models: Option<PathBuf>,
    /// The data directory; the user's own without it.
    pub data: Option<PathBuf>,
    /// Where jobs are kept.
    pub store: StoreKind,
    /// How a data directory is used; its folder is [`Self::data`].
    pub durable: DurableOptions,
    /// Where a shared store keeps what is large.
    pub blobs: Option<BlobsAddress>,
    /// How a shared store is used.
    pub postgres: PostgresTuning,
    /// How much is logged.
    pub log: LogLevel,
    /// What a line of the log looks like.
    pub log_format: LogFormat,
    /// The server's own; its models and its store are filled in from the others.
    pub server: ServerConfig,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            models: None,
            data: None,
            store: StoreKind::Disk,
            durable: DurableOptions::new(PathBuf::new()),
            blobs: None,
            postgres: PostgresTuning::default(),
            log: LogLevel::Warn,
            log_format: LogFormat::Text,
            server: ServerConfig::new(([127, 0, 0, 1], 8000).into(), Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests;
