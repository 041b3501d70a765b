//! `hei config`, and how every verb that serves gets its settings.

use std::path::{Path, PathBuf};

use hei_server::settings::{self, Flag, Loaded, Settings, SettingsError, StoreKind};
use hei_server::store::durable::DurableOptions;
use hei_server::store::postgres::PostgresOptions;
use hei_server::{ModelSource, Server, ServerConfig, StoreChoice};
use serde_json::{Map, json};

use crate::args::{ConfigCheck, ConfigCommand, SettingsArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::{compile, output, reference, store};

/// No model file is longer.
const MAX_MODEL_FILE: u64 = 1 << 30;

pub(crate) fn run(command: &ConfigCommand) -> Outcome {
    match command {
        ConfigCommand::Check(args) => check(args),
        ConfigCommand::Defaults(_) => {
            output::answer(&settings::file_of_defaults())?;
            Ok(true)
        }
    }
}

fn check(args: &ConfigCheck) -> Outcome {
    let loaded = load(&args.settings)?;
    Server::check(&server(&loaded.settings)?)?;
    if args.json {
        let settings: Map<_, _> = settings::effective(&loaded)
            .map(|(key, value, source)| {
                // What TOML has bare or in quotes, JSON has so too.
                let value = value.map(|text| serde_json::from_str(&text).unwrap_or(json!(text)));
                (key.to_owned(), json!({ "value": value, "source": source.to_string() }))
            })
            .collect();
        output::json(&json!({ "settings": settings }))?;
    } else {
        let row = |(key, value, source): (&str, Option<String>, settings::Source)| {
            vec![key.to_owned(), value.unwrap_or_else(|| "unset".to_owned()), source.to_string()]
        };
        let rows: Vec<_> = settings::effective(&loaded).map(row).collect();
        output::answer(&output::table(&["setting", "value", "from"], &rows))?;
    }
    Ok(true)
}

/// The settings in force: flags over the environment over the file over the defaults.
pub(crate) fn load(args: &SettingsArgs) -> Result<Loaded, Failure> {
    let variable = |name: &str| std::env::var(name).ok();
    let named = variable("HEI_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
    let file = args.config.clone().or(named);
    settings::load(file.as_deref(), variable, &flags(args)?).map_err(|error| {
        let exit = match error {
            SettingsError::Unreadable { .. } => Exit::Local,
            _ => Exit::Usage,
        };
        Failure::new(exit, error)
    })
}

fn flags(args: &SettingsArgs) -> Result<Vec<Flag>, Failure> {
    let mut flags = Vec::new();
    for other in &args.others {
        let Some((key, value)) = other.split_once('=') else {
            return Err(Failure::new(
                Exit::Usage,
                "--set takes NAME=VALUE; hei config defaults lists the names",
            ));
        };
        flags.push(Flag {
            key: key.trim().to_owned(),
            value: value.trim().to_owned(),
            typed: "--set".to_owned(),
        });
    }
    let truth = |given: bool| given.then(|| "true".to_owned());
    let given = [
        ("--listen", args.listen.clone()),
        ("--models", args.models.clone()),
        ("--data", args.data.clone()),
        ("--store", args.store.clone()),
        ("--blobs", args.blobs.clone()),
        ("--workers", args.workers.clone()),
        ("--tokens", args.tokens.clone()),
        ("--behind-proxy", truth(args.behind_proxy)),
        ("--enable-plain", truth(args.enable_plain)),
        ("--tls-cert", args.tls_cert.clone()),
        ("--tls-key", args.tls_key.clone()),
        ("--admin", args.admin.clone()),
        ("--log", args.log.clone()),
        ("--log-format", args.log_format.clone()),
    ];
    for (typed, value) in given {
        let setting = settings::SETTINGS.iter().find(|setting| setting.flag == Some(typed));
        if let (Some(setting), Some(value)) = (setting, value) {
            flags.push(Flag { key: setting.key.to_owned(), value, typed: typed.to_owned() });
        }
    }
    Ok(flags)
}

/// What the server is made of: the models are read, the data directory is found.
pub(crate) fn server(settings: &Settings) -> Result<ServerConfig, Failure> {
    let mut config = settings.server.clone();
    config.models = match &settings.models {
        Some(folder) => from_folder(folder)?,
        None => built_in(),
    };
    if settings.blobs.is_some() && !matches!(settings.store, StoreKind::Postgres(_)) {
        let message = "--blobs is for --store postgres://…; the other stores keep what is large themselves";
        return Err(Failure::new(Exit::Usage, message));
    }
    config.store = match &settings.store {
        StoreKind::Memory => StoreChoice::Memory,
        StoreKind::Disk => {
            let folder = store::folder(settings.data.as_ref())?;
            StoreChoice::Durable(DurableOptions { folder, ..settings.durable.clone() })
        }
        StoreKind::Postgres(address) => {
            let missing = "--store postgres://… needs --blobs: a folder that all processes share, or s3://bucket/prefix";
            let blobs = settings.blobs.clone().ok_or_else(|| Failure::new(Exit::Usage, missing))?;
            StoreChoice::Postgres(PostgresOptions {
                address: address.clone(),
                blobs,
                tuning: settings.postgres,
            })
        }
    };
    Ok(config)
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
