//! The one list of settings.

use super::Settings;
use super::kind::{self, Raw, Shown};

/// A setting.
pub struct Setting {
    /// Its name: section and name, as TOML has them.
    pub key: &'static str,
    /// The flag that sets it too.
    pub flag: Option<&'static str>,
    /// The variable of the environment that sets it too.
    pub variable: Option<&'static str>,
    /// What it means.
    pub help: &'static str,
    /// What its value is.
    pub expects: &'static str,
    pub(super) read: fn(&mut Settings, &Raw<'_>) -> Option<()>,
    pub(super) show: fn(&Settings) -> Shown,
}

/// A setting, out of its name, its kind and its place in [`Settings`].
macro_rules! setting {
    ($key:literal, $kind:ident, $($place:ident).+, $help:literal $(, $flag:literal, $variable:literal)?) => {
        Setting {
            key: $key,
            flag: first(&[$($flag)?]),
            variable: first(&[$($variable)?]),
            help: $help,
            expects: kind::$kind::EXPECTS,
            read: |settings, raw| {
                settings.$($place).+ = kind::$kind::read(raw)?;
                Some(())
            },
            show: |settings| kind::$kind::show(&settings.$($place).+),
        }
    };
}

const fn first(given: &[&'static str]) -> Option<&'static str> {
    match given {
        // An empty one says that there is none: a flag without a variable.
        [name, ..] if !name.is_empty() => Some(name),
        _ => None,
    }
}

/// Every setting, by section.
pub const SETTINGS: &[Setting] = &[
    setting!(
        "listen",
        address,
        server.listen,
        "Address and port; port 0 lets the system choose.",
        "--listen",
        "HEI_LISTEN"
    ),
    setting!(
        "models",
        path,
        models,
        "Folder of `.hei` files; unset: the reference models that ship in the program.",
        "--models",
        "HEI_MODELS"
    ),
    setting!("data", path, data, "Data directory; unset: `$XDG_DATA_HOME/hei/server`.", "--data", "HEI_DATA"),
    setting!(
        "store",
        store,
        store,
        "Where jobs are kept: `disk` (the data directory), `memory` (gone with the process), or a `postgres://` address that servers and workers share; its password better comes from `PGPASSWORD` or a password file.",
        "--store",
        "HEI_STORE"
    ),
    setting!(
        "blobs",
        blobs,
        blobs,
        "Where a PostgreSQL store keeps keys and payloads over 64 KiB: a folder all processes share, or `s3://bucket/prefix` (endpoint, region and credentials from `AWS_…`).",
        "--blobs",
        "HEI_BLOBS"
    ),
    setting!(
        "tokens",
        tokens,
        server.auth,
        "File of the tokens that callers need; unset: every caller is believed, on loopback only.",
        "--tokens",
        "HEI_TOKENS"
    ),
    setting!(
        "behind_proxy",
        switch,
        server.behind_proxy,
        "A proxy in front speaks TLS, and nobody else can reach the address; needed off loopback.",
        "--behind-proxy",
        ""
    ),
    setting!(
        "plain_inference",
        switch,
        server.plain_inference,
        "Also offer `POST /infer/plain`, which takes features in the clear.",
        "--enable-plain",
        ""
    ),
    setting!(
        "compute_threads",
        count,
        server.compute_threads,
        "Threads that validate and evaluate; 0: as many as the machine has processors."
    ),
    setting!(
        "workers",
        automatic,
        server.workers,
        "Jobs in the workers' hands at once; `auto`: enough to keep the compute threads busy while others wait for the store. 0: none, jobs wait for others.",
        "--workers",
        "HEI_WORKERS"
    ),
    setting!(
        "log.level",
        level,
        log,
        "What is logged on standard error: `off`, `error`, `warn`, `info` or `debug`.",
        "--log",
        "HEI_LOG"
    ),
    setting!(
        "log.format",
        format,
        log_format,
        "What a line of the log looks like: `text` or `json`.",
        "--log-format",
        "HEI_LOG_FORMAT"
    ),
    setting!(
        "tls.certificates",
        path,
        server.tls.certificates,
        "File of the certificate chain (PEM, the server's own first); unset: plain HTTP.",
        "--tls-cert",
        "HEI_TLS_CERT"
    ),
    setting!("tls.key", path, server.tls.key, "File of its private key (PEM).", "--tls-key", "HEI_TLS_KEY"),
    setting!("tls.handshake_timeout", time, server.tls.handshake_timeout, "How long a handshake may take."),
    setting!(
        "admin.listen",
        optional_address,
        server.admin.listen,
        "Address and port of `/metrics`, `/health` and `/health/ready` for the operator; unset: nowhere.",
        "--admin",
        "HEI_ADMIN"
    ),
    setting!(
        "admin.allow_remote",
        switch,
        server.admin.allow_remote,
        "Whether `admin.listen` may be beyond loopback."
    ),
    setting!("limits.max_request_bytes", octets, server.limits.max_request_bytes, "Longest request body."),
    setting!("limits.max_inputs", count, server.limits.max_inputs, "Most inputs of one request."),
    setting!(
        "limits.max_key_bytes",
        octets,
        server.limits.max_key_bytes,
        "Longest evaluation-key container."
    ),
    setting!(
        "limits.max_keys_per_tenant",
        count,
        server.limits.max_keys_per_tenant,
        "Most stored evaluation keys of one tenant."
    ),
    setting!(
        "limits.max_active_jobs_per_tenant",
        count,
        server.limits.max_active_jobs_per_tenant,
        "Most jobs of one tenant that are queued or running."
    ),
    setting!(
        "limits.max_wait_seconds",
        count,
        server.limits.max_wait_seconds,
        "Longest wait that a request may ask for, in seconds."
    ),
    setting!(
        "limits.max_run_seconds",
        count,
        server.limits.max_run_seconds,
        "Longest run of one job, in seconds."
    ),
    setting!(
        "limits.job_ttl_seconds",
        count,
        server.limits.job_ttl_seconds,
        "How long a finished job is kept at least, in seconds."
    ),
    setting!(
        "limits.idempotency_ttl_seconds",
        count,
        server.limits.idempotency_ttl_seconds,
        "How long an idempotency key is remembered at least, in seconds."
    ),
    setting!(
        "limits.key_ttl_seconds",
        count,
        server.limits.key_ttl_seconds,
        "How long an unused evaluation key is kept at least, in seconds."
    ),
    setting!(
        "connections.max_connections",
        count,
        server.connections.max_connections,
        "Connections held at once; more wait in the backlog of the operating system."
    ),
    setting!(
        "connections.max_per_address",
        automatic,
        server.connections.max_per_address,
        "Connections held at once from one address (of IPv6, one /64); `auto`: half of all, without limit on loopback and behind a proxy."
    ),
    setting!(
        "connections.header_timeout",
        time,
        server.connections.header_timeout,
        "How long a connection may take to send a header section, and may idle between requests."
    ),
    setting!(
        "connections.max_header_bytes",
        octets,
        server.connections.max_header_bytes,
        "Octets of a request's header section."
    ),
    setting!(
        "connections.max_header_fields",
        count,
        server.connections.max_header_fields,
        "Fields in a request's header section."
    ),
    setting!(
        "connections.drain",
        time,
        server.connections.drain,
        "How long a shutdown waits for answers and jobs under way."
    ),
    setting!(
        "body.min_bytes_per_window",
        octets,
        server.body.min_bytes_per_window,
        "Octets of a body that must arrive in every `body.rate_window`."
    ),
    setting!("body.rate_window", time, server.body.rate_window, "The window of the minimum rate."),
    setting!("body.deadline", time, server.body.deadline, "How long a body may take in all."),
    setting!(
        "body.key_deadline",
        time,
        server.body.key_deadline,
        "How long an evaluation key may take in all."
    ),
    setting!(
        "body.linger",
        time,
        server.body.linger,
        "How long an answered connection goes on discarding what the client still sends."
    ),
    setting!(
        "capacity.queued_jobs",
        count,
        server.capacity.queued_jobs,
        "Accepted jobs waiting for a worker."
    ),
    setting!(
        "capacity.stored_jobs",
        count,
        server.capacity.stored_jobs,
        "Jobs that can be read, finished ones included."
    ),
    setting!(
        "capacity.stored_result_bytes",
        octets,
        server.capacity.stored_result_bytes,
        "Octets of stored results."
    ),
    setting!(
        "capacity.buffered_body_bytes",
        octets,
        server.capacity.buffered_body_bytes,
        "Octets of request bodies under validation."
    ),
    setting!(
        "capacity.queued_input_bytes",
        octets,
        server.capacity.queued_input_bytes,
        "Octets of decoded inputs that wait for a worker."
    ),
    setting!(
        "capacity.stored_key_bytes",
        octets,
        server.capacity.stored_key_bytes,
        "Octets of stored evaluation keys, and of those being received."
    ),
    setting!(
        "capacity.admission_wait",
        time,
        server.capacity.admission_wait,
        "How long a request waits for its share of `capacity.buffered_body_bytes` before it is refused."
    ),
    setting!(
        "capacity.max_queue_wait",
        time,
        server.capacity.max_queue_wait,
        "Longest wait in line, as measured, for which a submission is let in; where more is expected it is refused at once."
    ),
    setting!(
        "capacity.waiters_per_tenant",
        count,
        server.capacity.waiters_per_tenant,
        "Clients that wait for one tenant's jobs at once; more are answered without waiting."
    ),
    setting!("quotas.window", time, server.quotas.window, "The window of every quota."),
    setting!(
        "quotas.requests",
        automatic,
        server.quotas.requests,
        "Submissions of one tenant in a window; `auto`: 600 with tokens, without them no limit; 0: no limit."
    ),
    setting!(
        "quotas.reads",
        automatic,
        server.quotas.reads,
        "Reads and deletions of one tenant in a window; `auto`: 6000 with tokens, without them no limit; 0: no limit."
    ),
    setting!(
        "quotas.body_bytes",
        automatic,
        server.quotas.body_bytes,
        "Octets of one tenant's bodies in a window; `auto`: 4 GiB with tokens, without them no limit; 0: no limit."
    ),
    setting!(
        "quotas.cpu_millis",
        automatic,
        server.quotas.cpu_millis,
        "Milliseconds of one tenant's computation in a window, as predicted; `auto`: 60000 with tokens, without them no limit; 0: no limit."
    ),
    setting!(
        "disk.low_water_bytes",
        octets,
        durable.low_water_bytes,
        "Octets of free disk below which no new job is taken."
    ),
    setting!(
        "disk.max_attempts",
        count,
        durable.max_attempts,
        "How often a job is begun before it is given up: it may be what ends the process."
    ),
    setting!(
        "disk.lease",
        time,
        durable.lease,
        "How long a worker may hold a job; at least the longest evaluation."
    ),
    setting!(
        "disk.recent_result_bytes",
        octets,
        durable.recent_result_bytes,
        "Octets of results kept at hand."
    ),
    setting!(
        "postgres.lease",
        time,
        postgres.lease,
        "How long a silent process keeps its jobs; then they run elsewhere."
    ),
    setting!(
        "postgres.max_attempts",
        count,
        postgres.max_attempts,
        "How often a job is begun before it is given up, failed with `WORKER_LOST`."
    ),
    setting!("postgres.connections", count, postgres.connections, "Connections of one process."),
    setting!(
        "postgres.poll",
        time,
        postgres.poll,
        "How long to wait before looking again when no notification comes."
    ),
    setting!(
        "postgres.count_age",
        time,
        postgres.count_age,
        "How old the count of stored jobs and octets may be that new jobs are held against."
    ),
];

/// The setting of this name.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// Whether settings are in a section of this name.
pub(super) fn is_section(key: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
}
