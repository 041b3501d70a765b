//! `GET /service`, `GET /health` and `GET /health/ready`.

use serde::{Deserialize, Serialize};

use super::card::{FORMAT_HEI, FORMAT_SEAL};
use crate::limits::Limits;
use crate::version::API_VERSION;

/// Extensions a server may announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extension {
    /// `POST /infer/plain` is served.
    PlainInference,
    /// `GET /jobs/{job_id}/events` is served.
    Sse,
}

impl Extension {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Extension::PlainInference => "plain-inference",
            Extension::Sse => "sse",
        }
    }
}

/// A server's own name, if it tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerName {
    /// Name.
    pub name: String,
    /// Version of the program.
    pub version: String,
}

/// `GET /service`: what holds for all models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Version of the protocol.
    pub api_version: String,
    /// Versions a client may ask for.
    pub supported_versions: Vec<String>,
    /// Limits.
    pub limits: Limits,
    /// Extensions; names may be newer than the client.
    pub extensions: Vec<String>,
    /// Container formats.
    pub ciphertext_formats: Vec<String>,
    /// Payload encodings.
    pub encodings: Vec<String>,
    /// The server's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerName>,
}

impl Service {
    /// The announcement of a server that speaks both formats and all encodings.
    pub fn new(limits: Limits, extensions: &[Extension], server: Option<ServerName>) -> Self {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Service {
            api_version: API_VERSION.to_owned(),
            supported_versions: own(&crate::version::SUPPORTED_VERSIONS),
            limits,
            extensions: extensions.iter().map(|extension| extension.as_str().to_owned()).collect(),
            ciphertext_formats: own(&[FORMAT_HEI, FORMAT_SEAL]),
            encodings: own(&["hex", "base64", "binary"]),
            server,
        }
    }
}

/// `GET /health`: exactly `{"status":"ok"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`.
    pub status: String,
}

impl Default for Health {
    fn default() -> Self {
        Health { status: "ok".to_owned() }
    }
}

/// `GET /health/ready` with status 200; a server that is not ready answers the problem `NOT_READY`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Version of the protocol.
    pub api_version: String,
    /// `ready`.
    pub status: String,
    /// Number of served models.
    pub models: u64,
}

impl Ready {
    /// Ready, with this many models.
    pub fn new(models: u64) -> Self {
        Ready { api_version: API_VERSION.to_owned(), status: "ready".to_owned(), models }
    }
}
