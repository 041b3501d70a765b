//! The protocol, held to its specification. One binary, for the compiled validators are slow to link.

mod common;
mod contract;
mod encodings;
mod hostile_cbor;
mod hostile_json;
mod messages;
mod registry;
mod requests;
