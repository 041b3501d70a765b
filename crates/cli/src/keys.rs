//! `hei keys`: stored secret keys.

use std::time::Duration;

use hei_ckks::{OsRandomness, SecretKey};
use hei_client::keyfile;
use hei_client::session::{SessionError, Terms};
use hei_client::store::{KeyStore, Overwrite};
use serde::Serialize;

use crate::args::{Keys, KeysCommand, KeysList, KeysNew, KeysRemove, KeysShow};
use crate::exit::{Exit, Failure, Outcome};
use crate::{output, passphrase, remote};

/// What is shown of a key: never anything secret.
#[derive(Serialize)]
struct KeyFacts {
    name: String,
    params_id: String,
    passphrase: bool,
    bytes: u64,
    path: String,
}

pub(crate) fn run(args: &Keys) -> Outcome {
    let store = KeyStore::user()?;
    match &args.command {
        KeysCommand::New(args) => new(&store, args),
        KeysCommand::List(args) => list(&store, args),
        KeysCommand::Show(args) => show(&store, args),
        KeysCommand::Remove(args) => remove(&store, args),
    }
}

fn new(store: &KeyStore, args: &KeysNew) -> Outcome {
    // Known before the network is asked, and before a passphrase is typed.
    let path = store.path(&args.name)?;
    if !args.force && path.symlink_metadata().is_ok() {
        let message =
            format!("a key named {} exists: choose another name, or --force to replace it", args.name);
        return Err(Failure::new(Exit::Local, message));
    }
    let client = remote::connect(&args.remote, Duration::from_secs(30))?;
    let card = remote::card(&client, &args.model, args.model_version.as_deref())?;
    let terms = Terms::from_card(&card, args.layout.layout()).map_err(SessionError::from)?;
    let secret = passphrase::obtain(&args.passphrase, true)?;
    let context = terms.parameters().context();
    let mut random = OsRandomness;
    let key = SecretKey::generate(context, &mut random)?;
    let file = keyfile::write(&key, context, secret.as_ref().map(|text| text.as_bytes()), &mut random)?;
    let overwrite = if args.force { Overwrite::Replace } else { Overwrite::Never };
    let path = store.save(&args.name, &file, overwrite)?;
    let protection = if secret.is_some() { "under its passphrase" } else { "without a passphrase" };
    output::progress(format_args!(
        "{} for {} {}, stored {protection}",
        args.name,
        terms.model_id(),
        terms.layout()
    ));
    output::answer(&path.display().to_string())?;
    Ok(true)
}

fn facts(store: &KeyStore, name: &str) -> Result<KeyFacts, Failure> {
    let info = keyfile::describe(&store.load(name)?)?;
    Ok(KeyFacts {
        name: name.to_owned(),
        params_id: info.params_id.to_string(),
        passphrase: info.locked,
        bytes: info.bytes,
        path: store.path(name)?.display().to_string(),
    })
}

fn list(store: &KeyStore, args: &KeysList) -> Outcome {
    let mut keys = Vec::new();
    let mut usable = true;
    for name in store.names()? {
        match facts(store, &name) {
            Ok(facts) => keys.push(facts),
            Err(failure) => {
                usable = false;
                output::progress(format_args!("hei: {name}: {failure}"));
            }
        }
    }
    if args.json {
        output::json(&keys)?;
    } else if keys.is_empty() {
        output::progress(format_args!("no keys in {}", store.directory().display()));
    } else {
        let cells = |key: &KeyFacts| {
            let protection = if key.passphrase { "passphrase" } else { "none" };
            vec![
                key.name.clone(),
                key.params_id[..16].to_owned(),
                protection.to_owned(),
                output::bytes(key.bytes),
            ]
        };
        let cells: Vec<_> = keys.iter().map(cells).collect();
        output::answer(&output::table(&["name", "params", "protection", "size"], &cells))?;
    }
    Ok(usable)
}

fn show(store: &KeyStore, args: &KeysShow) -> Outcome {
    let facts = facts(store, &args.name)?;
    if args.json {
        output::json(&facts)?;
    } else {
        output::answer(&format!(
            "name        {}\nparams id   {}\npassphrase  {}\nsize        {}\nfile        {}",
            facts.name,
            facts.params_id,
            if facts.passphrase { "yes" } else { "no" },
            output::bytes(facts.bytes),
            facts.path
        ))?;
    }
    Ok(true)
}

fn remove(store: &KeyStore, args: &KeysRemove) -> Outcome {
    if !args.yes {
        let message = format!(
            "what was encrypted under {} can never be decrypted again: say --yes to delete it",
            args.name
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    let path = store.remove(&args.name)?;
    output::answer(&format!("removed {}", path.display()))?;
    Ok(true)
}
