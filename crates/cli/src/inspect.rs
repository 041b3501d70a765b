//! `hei inspect`: what a file is, from its header.

use hei_circuit::{ModelFile, file};
use hei_client::keyfile;
use hei_protocol::manifest::Manifest;
use hei_wire::Description;
use serde_json::{Value, json};

use crate::args::Inspect;
use crate::exit::{Exit, Failure, Outcome};
use crate::{compile, output};

/// The longest file that is read.
const MAX_BYTES: u64 = 2 << 30;

pub(crate) fn run(args: &Inspect) -> Outcome {
    let bytes = compile::read(&args.file, MAX_BYTES)?;
    let (text, facts) =
        describe(&bytes).map_err(|failure| failure.context(args.file.display().to_string()))?;
    if args.json {
        output::json(&facts)?;
    } else {
        output::answer(&text)?;
    }
    Ok(true)
}

fn describe(bytes: &[u8]) -> Result<(String, Value), Failure> {
    if bytes.starts_with(&file::MAGIC) {
        return model(bytes);
    }
    if hei_wire::detect(bytes).is_some() {
        let description = hei_wire::inspect(bytes).map_err(|error| {
            Failure::new(Exit::Local, format!("a {}, but malformed: {error}", recognized(bytes)))
        })?;
        return Ok((description.to_string(), container(&description)));
    }
    if let Ok(info) = keyfile::describe(bytes) {
        let text = format!(
            "kind         secret key under a passphrase\nparams id    {}\nsize         {}",
            info.params_id,
            output::bytes(info.bytes)
        );
        let facts = json!({
            "format": "hei key file",
            "kind": "secret-key",
            "passphrase": true,
            "params_id": info.params_id.to_string(),
            "size": info.bytes,
        });
        return Ok((text, facts));
    }
    Err(Failure::new(
        Exit::Local,
        "not recognized: neither a hei/1 container, a model file, a key file, nor a SEAL stream",
    ))
}

fn recognized(bytes: &[u8]) -> &'static str {
    match hei_wire::detect(bytes) {
        Some(hei_wire::Format::Hei) => "hei/1 container",
        _ => "SEAL stream",
    }
}

fn container(d: &Description) -> Value {
    json!({
        "format": d.format.as_str(),
        "kind": d.kind,
        "size": d.size,
        "degree": d.degree,
        "level": d.limbs.map(|limbs| limbs.saturating_sub(1)),
        "parts": d.parts,
        "items": d.items,
        "scale": d.scale,
        "form": d.form.map(|form| form.as_str()),
        "seeded": d.seeded,
        "params_id": d.params_id.map(|id| id.to_string()),
        "widths": d.widths,
        "present": d.present,
        "reply_modulus_bits": d.reply_modulus_bits,
        "primes": d.primes.iter().map(u64::to_string).collect::<Vec<_>>(),
    })
}

fn model(bytes: &[u8]) -> Result<(String, Value), Failure> {
    let model = ModelFile::decode(bytes)?;
    let manifest = Manifest::from_json(model.manifest().as_bytes())?;
    let digest = file::digest(bytes).map(|digest| hei_protocol::encoding::to_hex(&digest));
    let entry = &manifest.entry;
    let mut text = format!(
        "kind         model file\nmodel        {} {}\ndescription  {}\nfeatures     {}\ndigest       {}\nsize         {}\n",
        entry.model_id,
        entry.version,
        output::plain(&entry.description, 200),
        entry.inference.input_dimension,
        digest.as_deref().unwrap_or("none"),
        output::bytes(bytes.len() as u64),
    );
    for plan in model.plans() {
        let context = plan.parameters().context();
        text.push_str(&format!(
            "layout       {}: N={}, primes of {:?} bits, {} bits of security, at most {} rows\n             params id {}\n",
            plan.layout(),
            context.degree(),
            context.chain_bits(),
            plan.parameters().security().bits,
            plan.max_batch(),
            context.params_id(),
        ));
    }
    let facts = json!({
        "format": "hei model file",
        "kind": "model",
        "size": bytes.len(),
        "digest": digest,
        "manifest": manifest,
    });
    Ok((text, facts))
}
