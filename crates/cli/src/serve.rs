//! `hei serve`: the server.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use hei_server::store::durable::DurableOptions;
use hei_server::{ModelSource, Server, ServerConfig, StoreChoice};
use serde_json::json;
use tokio::sync::oneshot;
use tracing_subscriber::filter::LevelFilter;

use crate::args::{LogArg, Serve, StoreArg};
use crate::exit::{Exit, Failure, Outcome};
use crate::{compile, output, reference, store};

/// No model file is longer.
const MAX_MODEL_FILE: u64 = 1 << 30;

pub(crate) fn run(args: &Serve) -> Outcome {
    log(args.log);
    let models = match &args.models {
        Some(folder) => from_folder(folder)?,
        None => built_in(),
    };
    let mut config = ServerConfig::new(args.listen, models);
    config.plain_inference = args.enable_plain;
    config.store = match args.store {
        StoreArg::Memory => StoreChoice::Memory,
        StoreArg::Disk => StoreChoice::Durable(DurableOptions::new(store::folder(args.data.as_ref())?)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that serve connections")?;
    let stdin_closes = args.until_stdin_closes;
    runtime.block_on(async {
        let server = Server::bind(config).await?;
        let url = format!("http://{}", server.local_addr());
        let stop = told_to_stop(stdin_closes);
        if args.json {
            output::json(&json!({ "listening": url }))?;
        } else {
            output::answer(&format!("listening on {url}"))?;
        }
        server.run(stop).await;
        Ok(true)
    })
}

fn log(level: LogArg) {
    let level = match level {
        LogArg::Off => LevelFilter::OFF,
        LogArg::Error => LevelFilter::ERROR,
        LogArg::Warn => LevelFilter::WARN,
        LogArg::Info => LevelFilter::INFO,
        LogArg::Debug => LevelFilter::DEBUG,
    };
    tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(std::io::stderr).init();
}

fn built_in() -> Vec<ModelSource> {
    let source = |model: &reference::ReferenceModel| ModelSource {
        name: model.name.to_owned(),
        bytes: model.bytes.into(),
    };
    reference::MODELS.iter().map(source).collect()
}

/// Every `.hei` file of a folder, in order of name.
fn from_folder(folder: &Path) -> Result<Vec<ModelSource>, Failure> {
    let local = |error: std::io::Error| Failure::new(Exit::Local, format!("{}: {error}", folder.display()));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(local)? {
        let path = entry.map_err(local)?.path();
        if path.extension().is_some_and(|extension| extension == "hei") {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        let message = format!("{}: no .hei files; make one with `hei compile`", folder.display());
        return Err(Failure::new(Exit::Local, message));
    }
    paths.sort();
    let source = |path: &std::path::PathBuf| {
        let bytes = compile::read(path, MAX_MODEL_FILE)?;
        Ok(ModelSource { name: path.display().to_string(), bytes: bytes.into() })
    };
    paths.iter().map(source).collect()
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
