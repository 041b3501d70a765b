//! The server through its own door: every test talks HTTP to a real server on a port of its own.

#[path = "../support/mod.rs"]
mod support;

mod flow;
