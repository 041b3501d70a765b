//! The protocol, held to its specification. One binary, for the compiled validators are slow to link.

mod answers;
mod catalogue;
mod codes;
mod common;
mod contract;
mod encodings;
mod hostile_cbor;
mod hostile_json;
mod jobs;
mod models;
mod mutations;
mod registry;
mod requests;
mod requirements;
