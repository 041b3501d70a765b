//! Where a passphrase comes from.

use std::io::Read;

use zeroize::Zeroizing;

use crate::args::Passphrase;
use crate::exit::{Exit, Failure};

const MAX_BYTES: u64 = 4096;

/// The passphrase that was asked for, if any; `confirm` asks twice, for a new key.
pub(crate) fn obtain(args: &Passphrase, confirm: bool) -> Result<Option<Zeroizing<String>>, Failure> {
    if args.ask_passphrase {
        let ask = |prompt: &str| rpassword::prompt_password(prompt).map(Zeroizing::new);
        let first = ask("Passphrase: ")?;
        if confirm && ask("Again: ")? != first {
            return Err(Failure::new(Exit::Local, "the two passphrases differ"));
        }
        return non_empty(first);
    }
    let Some(path) = &args.passphrase_file else { return Ok(None) };
    let shown = path.display();
    let local = |error: std::io::Error| Failure::new(Exit::Local, format!("{shown}: {error}"));
    let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES as usize));
    std::fs::File::open(path).map_err(local)?.take(MAX_BYTES).read_to_string(&mut text).map_err(local)?;
    non_empty(Zeroizing::new(text.lines().next().unwrap_or("").to_owned()))
}

fn non_empty(text: Zeroizing<String>) -> Result<Option<Zeroizing<String>>, Failure> {
    if text.is_empty() {
        return Err(Failure::new(Exit::Local, "the passphrase is empty"));
    }
    Ok(Some(text))
}
