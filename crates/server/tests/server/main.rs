//! The server through its own door: every test talks HTTP to a real server on a port of its own.
#![allow(unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod auth;
mod catalogue;
mod ciphertexts;
mod connections;
mod deletion;
mod discovery;
mod events;
mod flow;
mod histories;
mod idempotency;
mod jobs;
mod log;
mod metrics;
mod observation;
mod python;
mod quotas;
mod refusals;
mod registry;
mod tls;
