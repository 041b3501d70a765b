//! `hei compile`: a registry entry becomes a model file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use hei_compile::{CompileReport, LayoutReport};
use serde_json::json;

use crate::args::Compile;
use crate::exit::{Exit, Failure, Outcome};
use crate::output;

/// No registry entry is longer.
const MAX_ENTRY: u64 = 16 << 20;

pub(crate) fn run(args: &Compile) -> Outcome {
    let entry = read(&args.entry, MAX_ENTRY)?;
    let compiled = hei_compile::compile(&entry, &args.entry.display().to_string())?;
    write(&args.output, &compiled.bytes, args.force)?;
    let size = compiled.bytes.len() as u64;
    output::progress(format_args!("{}: {}", args.output.display(), output::bytes(size)));
    if args.json {
        output::json(&report(&compiled.report, size))?;
    } else {
        output::answer(&compiled.report.to_string())?;
    }
    Ok(true)
}

/// Reads a whole file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let local = |message: String| Failure::new(Exit::Local, format!("{}: {message}", path.display()));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| local(error.to_string()))?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| local(error.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(local(format!("longer than the {limit} bytes such a file can have")));
    }
    Ok(bytes)
}

/// Writes a file whole or not at all: under a temporary name in the same folder, then renamed.
fn write(path: &Path, bytes: &[u8], force: bool) -> Result<(), Failure> {
    let shown = path.display();
    let local = |error: std::io::Error| Failure::new(Exit::Local, format!("{shown}: {error}"));
    let Some(name) = path.file_name() else {
        return Err(Failure::new(Exit::Usage, format!("{shown}: not a file name")));
    };
    if !force && path.symlink_metadata().is_ok() {
        return Err(Failure::new(
            Exit::Local,
            format!("{shown} exists: give another name, or --force to replace it"),
        ));
    }
    let mut temporary = name.to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| {
            if force { std::fs::rename(&temporary, path) } else { std::fs::hard_link(&temporary, path) }
        });
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound && written.is_ok() => return Err(local(error)),
        _ => {}
    }
    written.map_err(local)
}

fn report(report: &CompileReport, size: u64) -> serde_json::Value {
    let layout = |layout: &LayoutReport| {
        json!({
            "layout": layout.layout.name(),
            "poly_modulus_degree": layout.degree,
            "chain": layout.chain_bits(),
            "params_id": layout.params_id.to_string(),
            "security": {
                "table": hei_ckks::security::TABLE,
                "bits": layout.security.bits,
                "log2_qp": layout.security.log2_qp,
                "limit_128": layout.security.limit_128,
                "margin_bits": layout.security.margin(),
                "quantum_128": layout.security.quantum_128(),
            },
            "scale": layout.scale,
            "weight_scale": layout.weight_scale,
            "output_scale": layout.output_scale,
            "reply_modulus_bits": layout.reply_modulus_bits,
            "max_batch": layout.max_batch,
            "request_bytes": layout.request_bytes,
            "reply_bytes": layout.reply_bytes,
            "max_request_bytes": layout.max_request_bytes,
            "max_reply_bytes": layout.max_reply_bytes,
            "expected_error": layout.expected_error,
        })
    };
    json!({
        "model_id": report.model_id,
        "version": report.version,
        "file_bytes": size,
        "input_dimension": report.input_dimension,
        "tolerance": report.tolerance,
        "layouts": report.layouts.iter().map(layout).collect::<Vec<_>>(),
    })
}
