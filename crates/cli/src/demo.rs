//! `hei demo`: the whole flow on real data, with the server in a process of its own.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use hei_client::http::{HttpClient, Options};
use hei_client::session::{RequestOptions, Session, Terms};
use serde::Serialize;

use crate::args::Demo;
use crate::child::ServerProcess;
use crate::exit::Outcome;
use crate::remote::{self, Stages};
use crate::{clear, data, infer, output, reference};

const MODEL: &str = "breast_cancer_v1";
/// Rows shown in full; all are checked.
const SHOWN: usize = 6;

#[derive(Serialize)]
struct Report {
    ok: bool,
    model: String,
    version: String,
    layout: &'static str,
    rows: usize,
    requests: usize,
    max_abs_error: f64,
    expected_error: f64,
    same_label: usize,
    accuracy_clear: f64,
    accuracy_encrypted: f64,
    request_bytes: u64,
    reply_bytes: u64,
    key_bytes: u64,
    ciphertext_bytes: u64,
    ms: Milliseconds,
}

#[derive(Serialize)]
struct Milliseconds {
    keygen: f64,
    encrypt: f64,
    submit: f64,
    evaluate: f64,
    fetch: f64,
    decrypt: f64,
    total: f64,
}

/// What went over the wire, added up.
#[derive(Default)]
struct Traffic {
    requests: usize,
    up: u64,
    down: u64,
    ciphertexts: u64,
    stages: Stages,
    /// Places in request bodies where a feature could be read.
    leaks: usize,
}

pub(crate) fn run(args: &Demo) -> Outcome {
    let begun = Instant::now();
    let server = ServerProcess::start(&[])?;
    output::progress(format_args!("server    process {} at {}", server.id(), server.url()));
    let client = HttpClient::new(server.url(), Options::default())?;
    let card = remote::card(&client, MODEL, None)?;
    let session = Session::new(&card, args.layout.layout())?;
    let terms = session.terms();
    let context = terms.parameters().context();
    output::progress(format_args!(
        "model     {} {}, {}, N={}, primes of {:?} bits, {} bits of security",
        terms.model_id(),
        terms.version(),
        terms.layout(),
        context.degree(),
        context.chain_bits(),
        terms.parameters().security().bits
    ));

    let names: Vec<String> = terms.features().iter().map(|feature| feature.name.clone()).collect();
    let rows = data::parse(reference::BREAST_CANCER, &names)?.values;
    let truth = data::column(reference::BREAST_CANCER, "label")?;
    let (decrypted, traffic) = send(&client, &session, &rows)?;
    let clear = clear::values(&reference::manifest(MODEL)?, terms, &rows)?;
    let report = compare(terms, &truth, &clear, &decrypted, &traffic);

    if args.json {
        output::json(&report)?;
    } else {
        output::answer(&table(terms, &truth, &clear, &decrypted))?;
        output::answer(&summary(&report, &traffic, terms))?;
    }
    drop(server);
    output::progress(format_args!("server    stopped; {:.1} s in all", begun.elapsed().as_secs_f64()));
    Ok(report.ok)
}

fn send(
    client: &HttpClient,
    session: &Session,
    rows: &[Vec<f64>],
) -> Result<(Vec<f64>, Traffic), crate::exit::Failure> {
    let mut decrypted = Vec::with_capacity(rows.len());
    let mut traffic = Traffic::default();
    let features = patterns(session.terms(), rows);
    for batch in rows.chunks(session.terms().max_batch()) {
        let call = remote::call(client, session, batch, RequestOptions::default())?;
        decrypted.extend_from_slice(call.scores.reveal());
        traffic.requests += 1;
        traffic.up += call.body.len() as u64;
        traffic.down += call.reply_bytes;
        traffic.ciphertexts += call.payload_bytes;
        traffic.stages += call.stages;
        traffic.leaks += call
            .body
            .windows(8)
            .filter(|window| <[u8; 8]>::try_from(*window).is_ok_and(|bytes| features.contains(&bytes)))
            .count();
    }
    Ok((decrypted, traffic))
}

/// Every feature as eight bytes a careless client would send: as measured and as scaled; as a double in either byte order,
/// as two neighboring floats, or as the beginning of its decimal text.
fn patterns(terms: &Terms, rows: &[Vec<f64>]) -> HashSet<[u8; 8]> {
    let scaled = rows.iter().map(|row| {
        row.iter().zip(terms.features()).map(|(x, feature)| (x - feature.offset) * feature.factor).collect()
    });
    let scaled: Vec<Vec<f64>> = scaled.collect();
    let mut patterns = HashSet::new();
    for row in rows.iter().chain(&scaled) {
        for pair in row.windows(2) {
            let [a, b] = [pair[0] as f32, pair[1] as f32];
            patterns.insert(bytes_of([a.to_le_bytes(), b.to_le_bytes()]));
            patterns.insert(bytes_of([a.to_be_bytes(), b.to_be_bytes()]));
        }
        for x in row {
            patterns.extend([x.to_le_bytes(), x.to_be_bytes()]);
            patterns.extend(x.to_string().as_bytes().first_chunk::<8>().copied());
        }
    }
    // Zero is all zero bytes, which appear anywhere.
    patterns.remove(&[0; 8]);
    patterns
}

fn bytes_of(pair: [[u8; 4]; 2]) -> [u8; 8] {
    let [[a, b, c, d], [e, f, g, h]] = pair;
    [a, b, c, d, e, f, g, h]
}

fn compare(terms: &Terms, truth: &[String], clear: &[f64], decrypted: &[f64], traffic: &Traffic) -> Report {
    let rows = truth.len();
    let label = |value: f64| infer::label(terms, value).unwrap_or("");
    let right = |values: &[f64]| {
        let hits = values.iter().zip(truth).filter(|(value, truth)| label(**value) == truth.as_str()).count();
        hits as f64 / rows as f64
    };
    let pairs = || clear.iter().zip(decrypted);
    let max_abs_error = pairs().map(|(c, d)| (c - d).abs()).fold(0.0, f64::max);
    let same_label = pairs().filter(|(c, d)| label(**c) == label(**d)).count();
    let complete = rows > 0 && clear.len() == rows && decrypted.len() == rows;
    let ms = |duration: Duration| output::milliseconds(duration);
    let stages = traffic.stages;
    Report {
        ok: complete && same_label == rows && max_abs_error <= terms.expected_error() && traffic.leaks == 0,
        model: terms.model_id().to_string(),
        version: terms.version().to_string(),
        layout: terms.layout().name(),
        rows,
        requests: traffic.requests,
        max_abs_error,
        expected_error: terms.expected_error(),
        same_label,
        accuracy_clear: right(clear),
        accuracy_encrypted: right(decrypted),
        request_bytes: traffic.up,
        reply_bytes: traffic.down,
        // No layout of this release needs evaluation keys, and no other key is ever sent.
        key_bytes: 0,
        ciphertext_bytes: traffic.ciphertexts,
        ms: Milliseconds {
            keygen: ms(stages.keygen),
            encrypt: ms(stages.encrypt),
            submit: ms(stages.submit),
            evaluate: ms(stages.evaluate),
            fetch: ms(stages.fetch),
            decrypt: ms(stages.decrypt),
            total: ms(stages.total()),
        },
    }
}

fn table(terms: &Terms, truth: &[String], clear: &[f64], decrypted: &[f64]) -> String {
    let row = |index: usize| {
        let (c, d) = (clear[index], decrypted[index]);
        let verdict = infer::label(terms, d).unwrap_or("").to_owned();
        vec![
            (index + 1).to_string(),
            truth[index].clone(),
            format!("{c:.6}"),
            format!("{d:.6}"),
            format!("{:.1e}", (c - d).abs()),
            verdict,
        ]
    };
    let cells: Vec<_> = (0..truth.len().min(SHOWN)).map(row).collect();
    output::table(&["row", "truth", "cleartext", "decrypted", "error", "reads as"], &cells)
}

fn summary(report: &Report, traffic: &Traffic, terms: &Terms) -> String {
    let ms = &report.ms;
    let agreement = if report.ok { "all agree" } else { "DISAGREEMENT" };
    format!(
        "… {rows} rows in all: {agreement}\n\
         labels    {same} of {rows} the same, encrypted and in the clear\n\
         error     at most {error:.1e} (the model card allows {allowed:.1e})\n\
         accuracy  {clear:.4} in the clear, {encrypted:.4} encrypted\n\
         bytes     {up} up, {down} down, {keys} of keys, in {requests} request{s}\n\
         ms        keygen {k:.2}, encrypt {e:.2}, submit {su:.2}, evaluate {ev:.2}, fetch {f:.2}, decrypt {d:.2}; total {t:.2}\n\
         saw       the server saw: {model} {version}, {layout}, batch sizes, {ciphertexts} of ciphertext\n\
         \x20         it did not see: features, values, labels, any key; {leaks} features found in the bytes sent",
        rows = report.rows,
        same = report.same_label,
        error = report.max_abs_error,
        allowed = report.expected_error,
        clear = report.accuracy_clear,
        encrypted = report.accuracy_encrypted,
        up = output::bytes(report.request_bytes),
        down = output::bytes(report.reply_bytes),
        keys = output::bytes(report.key_bytes),
        requests = report.requests,
        s = if report.requests == 1 { "" } else { "s" },
        k = ms.keygen,
        e = ms.encrypt,
        su = ms.submit,
        ev = ms.evaluate,
        f = ms.fetch,
        d = ms.decrypt,
        t = ms.total,
        model = terms.model_id(),
        version = terms.version(),
        layout = report.layout,
        ciphertexts = output::bytes(report.ciphertext_bytes),
        leaks = traffic.leaks,
    )
}
