//! The encrypted inference server: it takes ciphertexts, evaluates models on them, and never holds a secret.
//!
//! [`Server::bind`] loads and freezes the models and listens; [`BoundServer::run`] serves until told to stop.
//! `http` speaks the protocol, one endpoint a file; `app` does what the endpoints ask and knows no HTTP; [`store`]
//! remembers jobs; `worker` and [`compute`] evaluate them on threads of their own; `registry` holds the models.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod admin;
mod app;
pub mod auth;
mod backend;
mod cancel;
pub mod clock;
pub mod compute;
pub mod config;
mod connection;
mod fair;
mod frames;
mod http;
pub mod id;
pub mod keys;
mod line;
mod metrics;
mod quota;
mod registry;
mod sampling;
mod serve;
pub mod settings;
pub mod store;
mod timing;
mod tls;
mod trace;
mod worker;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use auth::{AuthChoice, Scope};
pub use config::{AdminChoice, CapacityLimits, ConnectionLimits, ModelSource, ServerConfig, StoreChoice};
pub use http::{BodyLimits, routes};
pub use quota::QuotaLimits;
pub use registry::RegistryError;
pub use serve::{BoundServer, Certificates, Server, StartError, Worker};
pub use tls::{TlsChoice, TlsError};

/// Locks a mutex whose data is valid after any panic: every critical section here leaves it whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
