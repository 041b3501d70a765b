//! What an operator sees from outside: one registry of series, of this server and no other.
//!
//! Labels are bounded: routes are the templates of the specification, reasons the problem codes, models those that are
//! served. No label names a tenant, a key, a job or anything else a client chose.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::compute::Lane;
use crate::registry::Offer;

/// The media type of [`Metrics::encode`].
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Float = Gauge<f64, AtomicU64>;
type Timings<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Exchange {
    method: &'static str,
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LaneName {
    lane: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Served {
    model: String,
    version: String,
    layout: &'static str,
}

impl Served {
    fn of(offer: &Offer) -> Self {
        let name = offer.name();
        Self {
            model: name.model_id.as_str().to_owned(),
            version: name.version.as_str().to_owned(),
            layout: offer.facts().layout.as_str(),
        }
    }
}

/// What is read when somebody looks, not counted as it happens.
pub(crate) struct Reading {
    pub(crate) ready: bool,
    pub(crate) queued: u64,
    pub(crate) unfinished: u64,
    pub(crate) line: (usize, Duration),
    pub(crate) workers: usize,
    pub(crate) threads: usize,
    pub(crate) busy: usize,
    pub(crate) waiting: [(Lane, usize); 2],
    /// Octets in use, and in all: request bodies, decoded inputs, evaluation keys.
    pub(crate) bodies: (u64, u64),
    pub(crate) inputs: (u64, u64),
    pub(crate) keys: (u64, u64),
}

/// Every series.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Exchange, Counter>,
    request_duration: Timings<Route>,
    request_bytes: Histogram,
    response_bytes: Histogram,
    rejects: Family<Reason, Counter>,
    validate_duration: Histogram,
    queue_wait: Histogram,
    evaluate_duration: Timings<Served>,
    encode_duration: Histogram,
    slots_used: Timings<Served>,
    levels_remaining: Family<Served, Gauge>,
    finished: Family<Outcome, Counter>,
    running: Gauge,
    jobs: Family<State, Gauge>,
    queue_depth: Gauge,
    line: Gauge,
    line_seconds: Float,
    store_duration: Timings<Operation>,
    key_hits: Counter,
    key_misses: Counter,
    key_bytes: Gauge,
    key_bytes_limit: Gauge,
    body_bytes: Gauge,
    body_bytes_limit: Gauge,
    input_bytes: Gauge,
    input_bytes_limit: Gauge,
    connections: Gauge,
    connections_limit: Gauge,
    workers: Gauge,
    threads: Gauge,
    busy: Gauge,
    waiting: Family<LaneName, Gauge>,
    ready: Gauge,
    resident: Gauge,
    started: Float,
}

/// 50 µs to 105 s, each twice the one before: the quantiles between are off by less than a factor of two.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(50e-6, 2.0, 22))
}

/// 64 octets to 1 GiB, each four times the one before.
fn sizes() -> Histogram {
    Histogram::new(exponential_buckets(64.0, 4.0, 13))
}

fn ratios() -> Histogram {
    Histogram::new([0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn count(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Metrics {
    /// All series at zero; those of the served models are there from the start.
    pub(crate) fn new<'o>(offers: impl Iterator<Item = &'o Offer>, kernel: &str, connections: usize) -> Self {
        let mut this = Self {
            registry: Registry::with_prefix("hei"),
            requests: Family::default(),
            request_duration: Family::new_with_constructor(durations),
            request_bytes: sizes(),
            response_bytes: sizes(),
            rejects: Family::default(),
            validate_duration: durations(),
            queue_wait: durations(),
            evaluate_duration: Family::new_with_constructor(durations),
            encode_duration: durations(),
            slots_used: Family::new_with_constructor(ratios),
            levels_remaining: Family::default(),
            finished: Family::default(),
            running: Gauge::default(),
            jobs: Family::default(),
            queue_depth: Gauge::default(),
            line: Gauge::default(),
            line_seconds: Float::default(),
            store_duration: Family::new_with_constructor(durations),
            key_hits: Counter::default(),
            key_misses: Counter::default(),
            key_bytes: Gauge::default(),
            key_bytes_limit: Gauge::default(),
            body_bytes: Gauge::default(),
            body_bytes_limit: Gauge::default(),
            input_bytes: Gauge::default(),
            input_bytes_limit: Gauge::default(),
            connections: Gauge::default(),
            connections_limit: Gauge::default(),
            workers: Gauge::default(),
            threads: Gauge::default(),
            busy: Gauge::default(),
            waiting: Family::default(),
            ready: Gauge::default(),
            resident: Gauge::default(),
            started: Float::default(),
        };
        this.connections_limit.set(count(connections));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        this.started.set(now.map_or(0.0, |since| since.as_secs_f64()));
        for offer in offers {
            let served = Served::of(offer);
            let level = offer.plan().output().level;
            this.levels_remaining.get_or_create(&served).set(count(level));
            drop(this.evaluate_duration.get_or_create(&served));
            drop(this.slots_used.get_or_create(&served));
        }
        for outcome in ["completed", "failed"] {
            drop(this.finished.get_or_create(&Outcome { outcome }));
        }
        this.register(kernel);
        this
    }

    fn register(&mut self, kernel: &str) {
        let r = &mut self.registry;
        let build = [("version", env!("CARGO_PKG_VERSION").to_owned()), ("kernel", kernel.to_owned())];
        r.register("build", "What is running", Info::new(build.to_vec()));
        r.register("start_time_seconds", "When the process started, as Unix time", self.started.clone());
        r.register("ready", "1 while new work is taken", self.ready.clone());
        r.register("requests", "Answered requests", self.requests.clone());
        r.register(
            "request_duration_seconds",
            "From the request's header section to the answer's",
            self.request_duration.clone(),
        );
        r.register("request_bytes", "Octets of received request bodies", self.request_bytes.clone());
        r.register("response_bytes", "Octets of answers' bodies", self.response_bytes.clone());
        r.register("rejects", "Refused requests, by problem code", self.rejects.clone());
        r.register(
            "validate_duration_seconds",
            "Parsing, decoding and checking a submission",
            self.validate_duration.clone(),
        );
        r.register("queue_depth", "Accepted jobs that no worker has taken yet", self.queue_depth.clone());
        r.register(
            "queue_wait_seconds",
            "From a job's acceptance to its evaluation",
            self.queue_wait.clone(),
        );
        r.register("line", "Submissions received and not finished", self.line.clone());
        r.register("line_seconds", "How long a new one is expected to wait", self.line_seconds.clone());
        r.register("evaluate_duration_seconds", "Evaluating a plan", self.evaluate_duration.clone());
        r.register("encode_duration_seconds", "Writing a result", self.encode_duration.clone());
        r.register(
            "slots_used_ratio",
            "Rows of a job over the most its layout takes",
            self.slots_used.clone(),
        );
        r.register(
            "levels_remaining",
            "Levels that a result of the layout has left",
            self.levels_remaining.clone(),
        );
        r.register("jobs", "Jobs that are queued or running", self.jobs.clone());
        r.register("jobs_finished", "Jobs that became terminal here", self.finished.clone());
        r.register(
            "store_duration_seconds",
            "From asking the store for a change to its commit",
            self.store_duration.clone(),
        );
        r.register("eval_key_bytes", "Octets of evaluation keys held", self.key_bytes.clone());
        r.register("eval_key_bytes_limit", "The most that may be held", self.key_bytes_limit.clone());
        r.register("key_cache_hits", "Submissions whose evaluation key was at hand", self.key_hits.clone());
        r.register("key_cache_misses", "Submissions whose evaluation key was not", self.key_misses.clone());
        r.register("body_bytes", "Octets of the memory for bodies in use", self.body_bytes.clone());
        r.register("body_bytes_limit", "All of it", self.body_bytes_limit.clone());
        r.register("input_bytes", "Octets of the memory for waiting inputs in use", self.input_bytes.clone());
        r.register("input_bytes_limit", "All of it", self.input_bytes_limit.clone());
        r.register("connections", "Open connections", self.connections.clone());
        r.register("connections_limit", "The most that are held", self.connections_limit.clone());
        r.register("workers", "Jobs that can be in the workers' hands at once", self.workers.clone());
        r.register("compute_threads", "Threads that validate and evaluate", self.threads.clone());
        r.register("compute_threads_busy", "Those at work", self.busy.clone());
        r.register("compute_waiting", "Pieces of work that wait for a thread", self.waiting.clone());
        r.register("resident_bytes", "Memory of the process, where the system says", self.resident.clone());
    }

    /// A request was answered.
    pub(crate) fn exchanged(
        &self,
        method: &'static str,
        route: &'static str,
        status: u16,
        took: Duration,
        bytes: Option<u64>,
    ) {
        self.requests.get_or_create(&Exchange { method, route, status }).inc();
        self.request_duration.get_or_create(&Route { route }).observe(took.as_secs_f64());
        if let Some(bytes) = bytes {
            self.response_bytes.observe(bytes as f64);
        }
    }

    /// A request was refused with this code.
    pub(crate) fn rejected(&self, reason: &'static str) {
        self.rejects.get_or_create(&Reason { reason }).inc();
    }

    /// A body was received.
    pub(crate) fn received(&self, bytes: usize) {
        self.request_bytes.observe(bytes as f64);
    }

    /// A submission was validated, or refused.
    pub(crate) fn validated(&self, took: Duration) {
        self.validate_duration.observe(took.as_secs_f64());
    }

    /// A job was evaluated.
    pub(crate) fn evaluated(
        &self,
        offer: &Offer,
        batch: usize,
        waited: Duration,
        took: Duration,
        encode: Duration,
    ) {
        let served = Served::of(offer);
        self.queue_wait.observe(waited.as_secs_f64());
        self.evaluate_duration.get_or_create(&served).observe(took.as_secs_f64());
        self.encode_duration.observe(encode.as_secs_f64());
        let most = f64::from(offer.max_batch().max(1));
        self.slots_used.get_or_create(&served).observe(batch as f64 / most);
    }

    /// A job is evaluated as long as the value lives.
    pub(crate) fn running(&self) -> Held {
        Held::on(&self.running)
    }

    /// A connection is open as long as the value lives.
    pub(crate) fn connected(&self) -> Held {
        Held::on(&self.connections)
    }

    /// A job became terminal.
    pub(crate) fn finished(&self, completed: bool) {
        let outcome = if completed { "completed" } else { "failed" };
        self.finished.get_or_create(&Outcome { outcome }).inc();
    }

    /// The store made a change.
    pub(crate) fn stored(&self, operation: &'static str, took: Duration) {
        self.store_duration.get_or_create(&Operation { operation }).observe(took.as_secs_f64());
    }

    /// A submission named an evaluation key, which was at hand or not.
    pub(crate) fn key_used(&self, at_hand: bool) {
        if at_hand { &self.key_hits } else { &self.key_misses }.inc();
    }

    /// The text of all series.
    pub(crate) fn encode(&self, reading: &Reading) -> String {
        let running = u64::try_from(self.running.get()).unwrap_or(0);
        let state = |state| self.jobs.get_or_create_owned(&State { state });
        state("queued").set(whole(reading.unfinished.saturating_sub(running)));
        state("running").set(whole(running));
        self.queue_depth.set(whole(reading.queued));
        self.line.set(count(reading.line.0));
        self.line_seconds.set(reading.line.1.as_secs_f64());
        self.ready.set(i64::from(reading.ready));
        self.workers.set(count(reading.workers));
        self.threads.set(count(reading.threads));
        self.busy.set(count(reading.busy));
        for (lane, waiting) in reading.waiting {
            let lane = match lane {
                Lane::Validate => "validate",
                Lane::Evaluate => "evaluate",
            };
            self.waiting.get_or_create(&LaneName { lane }).set(count(waiting));
        }
        let budgets = [
            (&self.body_bytes, &self.body_bytes_limit, reading.bodies),
            (&self.input_bytes, &self.input_bytes_limit, reading.inputs),
            (&self.key_bytes, &self.key_bytes_limit, reading.keys),
        ];
        for (used, limit, (in_use, all)) in budgets {
            used.set(whole(in_use));
            limit.set(whole(all));
        }
        self.resident.set(whole(resident_bytes().unwrap_or(0)));
        let mut out = String::new();
        if let Err(error) = text::encode(&mut out, &self.registry) {
            tracing::error!(%error, "the series could not be written");
        }
        out
    }
}

/// Counts one in a gauge as long as it lives.
pub(crate) struct Held(Gauge);

impl Held {
    fn on(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What the process holds in memory, as Linux says.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}
