//! `hei store`: what an operator does with a server's data directory.

use std::path::PathBuf;

use hei_server::store::durable::maintenance::{self, BackupError, Report};
use serde_json::json;

use crate::args::{StoreBackup, StoreCheck, StoreCommand, StoreRestore};
use crate::exit::{Exit, Failure, Outcome};
use crate::output;

pub(crate) fn run(command: &StoreCommand) -> Outcome {
    match command {
        StoreCommand::Check(args) => check(args),
        StoreCommand::Backup(args) => backup(args),
        StoreCommand::Restore(args) => restore(args),
    }
}

/// The directory that was named, or the user's own.
pub(crate) fn folder(named: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    if let Some(named) = named {
        return Ok(named.clone());
    }
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local").join("share")));
    let data = data.map(|data| data.join("hei").join("server"));
    let missing = "no data directory: name one with --data, or set XDG_DATA_HOME or HOME to an absolute path";
    data.ok_or_else(|| Failure::new(Exit::Local, missing.to_owned()))
}

fn check(args: &StoreCheck) -> Outcome {
    let data = folder(args.data.as_ref())?;
    let report = maintenance::check(&data).map_err(|error| Failure::new(Exit::Local, error.to_string()))?;
    print(&report, args.json)?;
    Ok(report.damage.is_empty())
}

fn backup(args: &StoreBackup) -> Outcome {
    let data = folder(args.data.as_ref())?;
    let report = maintenance::backup(&data, &args.to).map_err(refused)?;
    print(&report, args.json)?;
    Ok(true)
}

fn restore(args: &StoreRestore) -> Outcome {
    let data = folder(args.data.as_ref())?;
    let report = maintenance::restore(&args.from, &data).map_err(refused)?;
    print(&report, args.json)?;
    Ok(true)
}

fn refused(error: BackupError) -> Failure {
    let exit = if matches!(error, BackupError::Damaged { .. }) { Exit::Disagreement } else { Exit::Local };
    Failure::new(exit, error.to_string())
}

fn print(report: &Report, as_json: bool) -> std::io::Result<()> {
    let Report { jobs, unfinished, keys, payloads, payload_bytes, damage } = report;
    if as_json {
        return output::json(&json!({
            "jobs": jobs, "unfinished": unfinished, "keys": keys, "payloads": payloads, "payload_bytes": payload_bytes,
            "damage": damage,
        }));
    }
    let size = output::bytes(*payload_bytes);
    output::answer(&format!(
        "{jobs} jobs, {unfinished} unfinished; {keys} evaluation keys; {payloads} payloads of {size} are intact"
    ))?;
    if damage.is_empty() {
        return output::answer("no damage");
    }
    damage.iter().try_for_each(|line| output::answer(line))
}
