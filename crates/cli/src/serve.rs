//! `hei serve`: the server.

use std::io::Read;

use anyhow::Context;
use hei_server::settings::{LogFormat, LogLevel, StoreKind};
use hei_server::{Certificates, Server, Worker};
use serde_json::json;
use tokio::sync::oneshot;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{self, Serve};
use crate::exit::Outcome;
use crate::{config, output};

pub(crate) fn run(args: &Serve) -> Outcome {
    let loaded = config::load(&args.settings)?;
    log(loaded.settings.log, loaded.settings.log_format);
    let config = config::server(&loaded.settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that serve connections")?;
    let stdin_closes = args.until_stdin_closes;
    runtime.block_on(async {
        let server = Server::bind(config).await?;
        let certificates = server.certificates();
        let scheme = if certificates.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", server.local_addr());
        if let Some(certificates) = certificates {
            tokio::spawn(reload_on_hangup(certificates));
        }
        let admin = server.admin_addr().map(|address| format!("http://{address}"));
        let stop = told_to_stop(stdin_closes);
        if args.json {
            output::json(&match &admin {
                Some(admin) => json!({ "listening": url, "admin": admin }),
                None => json!({ "listening": url }),
            })?;
        } else {
            let admin = admin.map(|admin| format!(", admin on {admin}")).unwrap_or_default();
            output::answer(&format!("listening on {url}{admin}"))?;
        }
        server.run(stop).await;
        Ok(true)
    })
}

/// `hei worker`.
pub(crate) fn work(args: &args::Worker) -> Outcome {
    let loaded = config::load(&args.settings)?;
    log(loaded.settings.log, loaded.settings.log_format);
    let config = config::server(&loaded.settings)?;
    let place = match &loaded.settings.store {
        StoreKind::Postgres(address) => address.to_string(),
        StoreKind::Disk | StoreKind::Memory => String::new(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that talk to the store")?;
    let stdin_closes = args.until_stdin_closes;
    runtime.block_on(async {
        let worker = Worker::start(config).await?;
        let stop = told_to_stop(stdin_closes);
        let admin = worker.admin_addr().map(|address| format!("http://{address}"));
        if args.json {
            output::json(&json!({ "working": place, "admin": admin }))?;
        } else {
            output::answer(&format!("working on {place}"))?;
        }
        worker.run(stop).await;
        Ok(true)
    })
}

fn log(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    // Who was refused and what was deleted is logged at every level but none at all.
    let audit = if level == LevelFilter::OFF { level } else { level.max(LevelFilter::INFO) };
    let filter = Targets::new().with_default(level).with_target("audit", audit);
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
}

/// Ready on an interrupt, on a termination signal, and, if asked, when standard input ends.
///
/// Listens for signals from the moment it is called, not from when it is first polled: whoever reads that the server listens
/// may stop it at once.
fn told_to_stop(stdin_closes: bool) -> impl Future<Output = ()> {
    let signals = signals();
    stop(signals, stdin_closes)
}

async fn stop(signals: impl Future<Output = ()>, stdin_closes: bool) {
    let parent = async {
        if !stdin_closes {
            return std::future::pending().await;
        }
        // A thread of its own: a pending read of standard input would hold up the runtime's end.
        let (sender, gone) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            let mut stdin = std::io::stdin().lock();
            let mut buffer = [0; 256];
            while matches!(stdin.read(&mut buffer), Ok(count) if count > 0) {}
            drop(sender);
        });
        let _ = gone.await;
    };
    tokio::select! {
        () = signals => {}
        // The parent knows, and may have something to print itself.
        () = parent => return,
    }
    output::progress("stopping: no new connections, finishing accepted jobs");
}

/// Reads certificates again whenever a hangup is signalled, as supervisors do after a renewal.
#[cfg(unix)]
async fn reload_on_hangup(certificates: Certificates) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    while hangup.recv().await.is_some() {
        certificates.reload();
    }
}

#[cfg(not(unix))]
async fn reload_on_hangup(_: Certificates) {}

#[cfg(unix)]
fn signals() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
    let [interrupt, terminate] = kinds.map(|kind| signal(kind).ok());
    let told = |signal: Option<tokio::signal::unix::Signal>| async {
        match signal {
            Some(mut signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    };
    async move {
        tokio::select! {
            () = told(interrupt) => {}
            () = told(terminate) => {}
        }
    }
}

#[cfg(not(unix))]
async fn signals() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
