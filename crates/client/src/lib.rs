//! The encrypted inference client.
//!
//! [`session::Session`] does the cryptography and nothing else: bytes in, bytes out, no I/O, no clock, no threads.
//! `http` (a feature) carries the bytes; `store` (feature `fs`) keeps key files.

#[cfg(feature = "http")]
pub mod http;
pub mod keyfile;
pub mod session;
#[cfg(feature = "fs")]
pub mod store;
