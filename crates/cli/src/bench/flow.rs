//! `hei bench flow`: the same rows in the clear and encrypted, over HTTP.

use std::time::{Duration, Instant};

use hei_client::http::{HttpClient, Options};
use hei_client::session::{
    CardError, Encoding, Feature, Format, Layout, RequestOptions, Session, SessionError,
};
use hei_protocol::messages::{PlainRequest, to_json};
use serde::Serialize;

use super::args::BenchFlow;
use super::timing::Times;
use crate::child::ServerProcess;
use crate::exit::{Exit, Failure, Outcome};
use crate::remote::{self, Stages};
use crate::{clear, output};

#[derive(Serialize)]
struct Report {
    model: String,
    version: String,
    batch: usize,
    samples: u32,
    kernel: &'static str,
    threads: usize,
    plain: Measured,
    encrypted: Vec<Encrypted>,
}

/// Times in milliseconds, and octets, of bringing one batch there and back.
#[derive(Serialize)]
struct Measured {
    /// Calls that one batch takes: `POST /infer/plain` takes one row a call, `POST /infer` the whole batch.
    calls: usize,
    p50_ms: f64,
    p95_ms: f64,
    rows_per_second: f64,
    request_bytes: u64,
    reply_bytes: u64,
}

#[derive(Serialize)]
struct Encrypted {
    layout: &'static str,
    format: &'static str,
    encoding: &'static str,
    degree: usize,
    chain: Vec<u32>,
    key_bytes: u64,
    #[serde(flatten)]
    measured: Measured,
    ciphertext_bytes: u64,
    max_abs_error: f64,
    mean_abs_error: f64,
    expected_error: f64,
    /// Medians of each part.
    ms: StageMedians,
}

#[derive(Serialize)]
struct StageMedians {
    keygen: f64,
    encrypt: f64,
    submit: f64,
    evaluate: f64,
    fetch: f64,
    decrypt: f64,
}

pub(crate) fn run(args: &BenchFlow) -> Outcome {
    let server = ServerProcess::start(&["--enable-plain"])?;
    let client = HttpClient::new(server.url(), Options::default())?;
    let card = remote::card(&client, &args.model, None)?;
    let mut sessions = Vec::new();
    for layout in [Layout::FeatureColumns, Layout::Coefficients] {
        match Session::new(&card, layout) {
            Ok(session) => sessions.push(session),
            Err(SessionError::Card(CardError::Layout { .. })) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let Some(first) = sessions.first() else {
        return Err(Failure::new(Exit::Unacceptable, "the model has no layout that this program knows"));
    };
    let terms = first.terms();
    let (model, version) = (terms.model_id().clone(), terms.version().to_string());
    let batch = sessions.iter().map(|s| s.terms().max_batch()).min().unwrap_or(1).min(args.batch as usize);
    let rows = rows(terms.features(), batch);

    output::progress(format_args!("in the clear, {} times {batch} calls of a row", args.samples));
    let requests: Vec<PlainRequest> = clear::scaled(terms.features(), &rows)
        .into_iter()
        .map(|inputs| PlainRequest { model_id: model.clone(), version: version.clone(), inputs })
        .collect();
    let (plain, values) = plain(&client, &requests, args.samples)?;
    let mut encrypted = Vec::new();
    for session in &sessions {
        output::progress(format_args!(
            "{}, {} calls of {batch} rows",
            session.terms().layout(),
            args.samples
        ));
        encrypted.push(measure(&client, session, &rows, &values, args.samples)?);
    }
    let agree = encrypted.iter().all(|e| e.max_abs_error <= e.expected_error);
    let report = Report {
        model: model.to_string(),
        version,
        batch,
        samples: args.samples,
        kernel: hei_ring::kernel::name(),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        plain,
        encrypted,
    };
    if args.json {
        output::json(&report)?;
    } else {
        output::answer(&text(&report))?;
    }
    Ok(agree)
}

/// Rows spread over each feature's range (over [-1, 1] where the card has none), the same in every run.
pub(super) fn rows(features: &[Feature], batch: usize) -> Vec<Vec<f64>> {
    let place = |row: usize, index: usize| ((row * 31 + index * 17 + 7) as f64 * 0.754_877_666).fract();
    let value = |row: usize, (index, feature): (usize, &Feature)| {
        let (low, high) = (feature.minimum.max(-1.0), feature.maximum.min(1.0));
        (low + (high - low) * place(row, index)) / feature.factor + feature.offset
    };
    (0..batch).map(|row| features.iter().enumerate().map(|f| value(row, f)).collect()).collect()
}

fn plain(
    client: &HttpClient,
    requests: &[PlainRequest],
    samples: u32,
) -> Result<(Measured, Vec<f64>), Failure> {
    let mut runs = Vec::new();
    let mut values = Vec::new();
    let (mut up, mut down) = (0, 0);
    for sample in 0..=samples {
        values.clear();
        (up, down) = (0, 0);
        let begun = Instant::now();
        for request in requests {
            let response = client.infer_plain(request)?;
            values.extend_from_slice(&response.outputs);
            up += request.to_json().len() as u64;
            down += to_json(&response).len() as u64;
        }
        // The first call opens the connection and is not counted.
        if sample > 0 {
            runs.push(begun.elapsed());
        }
    }
    Ok((measured(&Times::new(runs), requests.len(), requests.len(), up, down), values))
}

fn measure(
    client: &HttpClient,
    session: &Session,
    rows: &[Vec<f64>],
    clear: &[f64],
    samples: u32,
) -> Result<Encrypted, Failure> {
    let options = RequestOptions { format: Format::Hei, encoding: Encoding::Binary };
    let mut stages: Vec<Stages> = Vec::new();
    let mut errors = Vec::new();
    let (mut up, mut down, mut ciphertexts) = (0, 0, 0);
    for sample in 0..=samples {
        let call = remote::call(client, session, rows, options)?;
        (up, down, ciphertexts) = (call.body.len() as u64, call.reply_bytes, call.payload_bytes);
        errors.extend(call.scores.reveal().iter().zip(clear).map(|(d, c)| (d - c).abs()));
        if sample > 0 {
            stages.push(call.stages);
        }
    }
    let context = session.terms().parameters().context();
    let median = |part: fn(&Stages) -> Duration| {
        output::milliseconds(Times::new(stages.iter().map(part).collect()).quantile(0.5))
    };
    let totals = Times::new(stages.iter().map(Stages::total).collect());
    Ok(Encrypted {
        layout: session.terms().layout().name(),
        format: options.format.as_str(),
        encoding: options.encoding.as_str(),
        degree: context.degree(),
        chain: context.chain_bits(),
        key_bytes: 0,
        measured: measured(&totals, 1, rows.len(), up, down),
        ciphertext_bytes: ciphertexts,
        max_abs_error: errors.iter().copied().fold(0.0, f64::max),
        mean_abs_error: errors.iter().sum::<f64>() / errors.len().max(1) as f64,
        expected_error: session.terms().expected_error(),
        ms: StageMedians {
            keygen: median(|s| s.keygen),
            encrypt: median(|s| s.encrypt),
            submit: median(|s| s.submit),
            evaluate: median(|s| s.evaluate),
            fetch: median(|s| s.fetch),
            decrypt: median(|s| s.decrypt),
        },
    })
}

fn measured(times: &Times, calls: usize, rows: usize, request_bytes: u64, reply_bytes: u64) -> Measured {
    let p50 = times.quantile(0.5);
    Measured {
        calls,
        p50_ms: output::milliseconds(p50),
        p95_ms: output::milliseconds(times.quantile(0.95)),
        rows_per_second: (rows as f64 / p50.as_secs_f64().max(1e-9)).round(),
        request_bytes,
        reply_bytes,
    }
}

fn text(report: &Report) -> String {
    let line = |name: &str, m: &Measured, error: String| {
        vec![
            name.to_owned(),
            m.calls.to_string(),
            format!("{:.2}", m.p50_ms),
            format!("{:.2}", m.p95_ms),
            format!("{:.0}", m.rows_per_second),
            output::bytes(m.request_bytes),
            output::bytes(m.reply_bytes),
            error,
        ]
    };
    let mut rows = vec![line("in the clear", &report.plain, "0".to_owned())];
    for e in &report.encrypted {
        rows.push(line(e.layout, &e.measured, format!("{:.1e}", e.max_abs_error)));
    }
    let mut out = format!("{} {}, {} rows a batch, one client\n", report.model, report.version, report.batch);
    out.push_str(&output::table(&["", "calls", "p50 ms", "p95 ms", "rows/s", "up", "down", "error"], &rows));
    let cells = |e: &Encrypted| {
        let ms = &e.ms;
        let parts = [ms.keygen, ms.encrypt, ms.submit, ms.evaluate, ms.fetch, ms.decrypt];
        let mut row = vec![e.layout.to_owned()];
        row.extend(parts.map(|part| format!("{part:.2}")));
        row
    };
    let cells: Vec<_> = report.encrypted.iter().map(cells).collect();
    out.push_str("\nmedian ms\n");
    let header = ["", "keygen", "encrypt", "submit", "evaluate", "fetch", "decrypt"];
    out.push_str(&output::table(&header, &cells));
    out
}
