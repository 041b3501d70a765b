//! Everything an operator can choose, with the defaults.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hei_protocol::Limits;

use crate::auth::AuthChoice;
use crate::clock::{Clock, SystemClock};
use crate::http::BodyLimits;
use crate::quota::QuotaLimits;
use crate::store::durable::DurableOptions;
use crate::store::postgres::PostgresOptions;
use crate::tls::TlsChoice;

/// One compiled model: the octets of a `.hei` file, and what to call it when it is refused.
#[derive(Clone)]
pub struct ModelSource {
    /// The file's name, for messages.
    pub name: String,
    /// The file's octets.
    pub bytes: Cow<'static, [u8]>,
}

/// How connections are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections held at once; more wait in the backlog of the operating system.
    pub max_connections: usize,
    /// Connections held at once from one address (of IPv6, one /64); `None` for half of all, and no limit for
    /// loopback and behind a proxy.
    pub max_per_address: Option<usize>,
    /// How long a connection may take to send a header section, and how long it may idle between requests.
    pub header_timeout: Duration,
    /// Octets of a request's header section, names, values and separators.
    pub max_header_bytes: usize,
    /// Fields in a request's header section.
    pub max_header_fields: usize,
    /// How long a shutdown waits for answers and jobs under way.
    pub drain: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_per_address: None,
            header_timeout: Duration::from_secs(10),
            max_header_bytes: 16 << 10,
            max_header_fields: 64,
            drain: Duration::from_secs(20),
        }
    }
}

/// How much the server holds at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapacityLimits {
    /// Accepted jobs waiting for a worker.
    pub queued_jobs: usize,
    /// Jobs that can be read, finished ones included.
    pub stored_jobs: usize,
    /// Octets of stored results.
    pub stored_result_bytes: u64,
    /// Octets of request bodies under validation.
    pub buffered_body_bytes: u64,
    /// Octets of decoded inputs that wait for a worker.
    pub queued_input_bytes: u64,
    /// Octets of stored evaluation keys, and of those being received.
    pub stored_key_bytes: u64,
    /// How long a request waits for its share of [`Self::buffered_body_bytes`] before it is refused.
    pub admission_wait: Duration,
    /// The longest wait in line that a new submission is let in for; it is refused early where more is expected.
    pub max_queue_wait: Duration,
    /// Clients that wait for one tenant's jobs at once; more are answered without waiting.
    pub waiters_per_tenant: u32,
}

impl Default for CapacityLimits {
    fn default() -> Self {
        Self {
            queued_jobs: 1024,
            stored_jobs: 200_000,
            stored_result_bytes: 1 << 30,
            buffered_body_bytes: 512 << 20,
            queued_input_bytes: 512 << 20,
            stored_key_bytes: 4 << 30,
            admission_wait: Duration::from_secs(1),
            max_queue_wait: Duration::from_secs(30),
            waiters_per_tenant: 256,
        }
    }
}

/// Where an operator looks at the server; never where clients do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdminChoice {
    /// Where to listen for it; nowhere without.
    pub listen: Option<SocketAddr>,
    /// Whether that may be beyond loopback: whoever reaches it sees what the server does.
    pub allow_remote: bool,
}

/// Where jobs are kept.
#[derive(Clone)]
pub enum StoreChoice {
    /// In memory: gone with the process.
    Memory,
    /// In a data directory: nothing acknowledged is lost.
    Durable(DurableOptions),
    /// In a database, with an object store, that other servers and workers share.
    Postgres(PostgresOptions),
}

/// What [`crate::Server::bind`] needs.
#[derive(Clone)]
pub struct ServerConfig {
    /// Where to listen; port 0 lets the operating system choose.
    pub listen: SocketAddr,
    /// The models to serve.
    pub models: Vec<ModelSource>,
    /// The limits announced in `GET /service`, and enforced.
    pub limits: Limits,
    /// Whether `POST /infer/plain` is offered.
    pub plain_inference: bool,
    /// Threads that evaluate and validate; 0 for as many as the machine has.
    pub compute_threads: usize,
    /// Jobs evaluated at once; `None` for as many as there are compute threads. With none at all, jobs stay queued.
    pub workers: Option<usize>,
    /// How connections are held.
    pub connections: ConnectionLimits,
    /// How bodies are read; their size is limited by [`Limits::max_request_bytes`].
    pub body: BodyLimits,
    /// How much is held at once.
    pub capacity: CapacityLimits,
    /// How much one tenant may use in a while.
    pub quotas: QuotaLimits,
    /// Where jobs are kept.
    pub store: StoreChoice,
    /// How callers are told apart.
    pub auth: AuthChoice,
    /// Whether something in front of a listener that is not loopback speaks TLS and keeps everyone else out.
    pub behind_proxy: bool,
    /// How TLS is spoken, if it is.
    pub tls: TlsChoice,
    /// Where an operator looks at the server.
    pub admin: AdminChoice,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
}

impl ServerConfig {
    /// The defaults, for these models on this address.
    #[must_use]
    pub fn new(listen: SocketAddr, models: Vec<ModelSource>) -> Self {
        Self {
            listen,
            models,
            limits: Limits::default(),
            plain_inference: false,
            compute_threads: 0,
            workers: None,
            connections: ConnectionLimits::default(),
            body: BodyLimits::default(),
            capacity: CapacityLimits::default(),
            quotas: QuotaLimits::default(),
            store: StoreChoice::Memory,
            auth: AuthChoice::default(),
            behind_proxy: false,
            tls: TlsChoice::default(),
            admin: AdminChoice::default(),
            clock: Arc::new(SystemClock::start()),
        }
    }
}
