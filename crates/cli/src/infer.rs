//! `hei infer`: rows in, values out, and only ciphertexts in between.

use std::time::Duration;

use hei_client::http::{HttpClient, HttpError};
use hei_client::keyfile;
use hei_client::session::{
    CardError, Encoding, Format, Layout, RequestOptions, Session, SessionError, Terms,
};
use hei_client::store::KeyStore;
use hei_protocol::problem::Remedy;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::args::{EncodingArg, FormatArg, Infer, LayoutArg};
use crate::exit::{Failure, Outcome};
use crate::{data, output, passphrase, remote};

/// A stored key and what opens it.
struct StoredKey {
    file: Zeroizing<Vec<u8>>,
    passphrase: Option<Zeroizing<String>>,
}

#[derive(Serialize)]
struct Answer<'a> {
    model: String,
    version: String,
    layout: &'static str,
    format: &'static str,
    rows: Vec<AnswerRow<'a>>,
    requests: u64,
    request_bytes: u64,
    reply_bytes: u64,
}

#[derive(Serialize)]
struct AnswerRow<'a> {
    row: usize,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
}

pub(crate) fn run(args: &Infer) -> Outcome {
    let client = remote::connect(&args.remote, Duration::from_secs(args.timeout))?;
    let text = data::read(&args.input)?;
    let key = match &args.key {
        Some(name) => Some(StoredKey {
            file: KeyStore::user()?.load(name)?,
            passphrase: passphrase::obtain(&args.passphrase, false)?,
        }),
        None => None,
    };
    let options = RequestOptions { format: format(args.format), encoding: encoding(args.encoding) };
    let mut session = open(&client, args, key.as_ref())?;
    let rows = parse(&text, session.terms())?;

    let mut scores: Vec<f64> = Vec::with_capacity(rows.values.len());
    let (mut requests, mut up, mut down) = (0, 0, 0);
    let mut refreshed = false;
    while scores.len() < rows.values.len() {
        let first = scores.len();
        let last = (first + session.terms().max_batch()).min(rows.values.len());
        output::progress(format_args!("rows {} to {last} of {}", first + 1, rows.values.len()));
        let called = match remote::call(&client, &session, &rows.values[first..last], options) {
            Ok(called) => called,
            // The model changed under us: read its card again, once, and only go on if it really is another
            // one.
            Err(failure) if !refreshed && asks_to_refresh(&failure) => {
                refreshed = true;
                let again = open(&client, args, key.as_ref())?;
                if again.terms().model_digest() == session.terms().model_digest() {
                    return Err(failure);
                }
                session = again;
                continue;
            }
            Err(failure) => return Err(at_line(failure, first, &rows)),
        };
        scores.extend_from_slice(called.scores.reveal());
        requests += 1;
        up += called.body.len() as u64;
        down += called.reply_bytes;
    }
    output::progress(format_args!(
        "{requests} request{}, {} up, {} down",
        if requests == 1 { "" } else { "s" },
        output::bytes(up),
        output::bytes(down)
    ));
    let terms = session.terms();
    let answers: Vec<AnswerRow<'_>> = scores
        .iter()
        .enumerate()
        .map(|(index, &value)| AnswerRow { row: index + 1, value, label: label(terms, value) })
        .collect();
    if args.json {
        output::json(&Answer {
            model: terms.model_id().to_string(),
            version: terms.version().to_string(),
            layout: terms.layout().name(),
            format: options.format.as_str(),
            rows: answers,
            requests,
            request_bytes: up,
            reply_bytes: down,
        })?;
        return Ok(true);
    }
    let cells = |answer: &AnswerRow<'_>| {
        let label = output::plain(answer.label.unwrap_or(""), 40);
        vec![answer.row.to_string(), format!("{:.6}", answer.value), label]
    };
    let cells: Vec<_> = answers.iter().map(cells).collect();
    output::answer(&output::table(&["row", "value", "label"], &cells))?;
    Ok(true)
}

/// The class a value reads as, if the card names two.
pub(crate) fn label(terms: &Terms, value: f64) -> Option<&str> {
    match terms.labels() {
        [low, high] => Some(if value >= 0.5 { high } else { low }),
        _ => None,
    }
}

fn open(client: &HttpClient, args: &Infer, key: Option<&StoredKey>) -> Result<Session, Failure> {
    let card = remote::card(client, &args.model, args.model_version.as_deref())?;
    let layout = match args.layout {
        Some(layout) => layout.layout(),
        None => choose(&card, args.format, key)?,
    };
    let session = match key {
        Some(key) => {
            let passphrase = key.passphrase.as_ref().map(|text| text.as_bytes());
            Session::with_secret_key(&card, layout, &key.file, passphrase)?
        }
        None => Session::new(&card, layout)?,
    };
    let context = session.terms().parameters().context();
    output::progress(format_args!(
        "{} {}: {layout}, N={}, {} bits of security, params {}",
        session.terms().model_id(),
        session.terms().version(),
        context.degree(),
        session.terms().parameters().security().bits,
        &context.params_id().to_string()[..16],
    ));
    Ok(session)
}

/// The layout of the key, if there is one; else the one that sends the fewest bytes in this format.
fn choose(card: &[u8], format: FormatArg, key: Option<&StoredKey>) -> Result<Layout, Failure> {
    let mut refused = None;
    for layout in [Layout::Coefficients, Layout::FeatureColumns] {
        if format == FormatArg::Seal && layout == Layout::Coefficients {
            continue;
        }
        match Terms::from_card(card, layout) {
            Ok(terms) => {
                let wanted = key.map(|key| keyfile::describe(&key.file)).transpose()?;
                if wanted.is_none_or(|key| key.params_id == terms.parameters().context().params_id()) {
                    return Ok(layout);
                }
                refused = refused.or(Some(Failure::new(
                    crate::exit::Exit::Local,
                    "the key is for other parameters than this model's: make one with `hei keys new`",
                )));
            }
            Err(CardError::Layout { .. }) => {}
            Err(error) => refused = Some(SessionError::from(error).into()),
        }
    }
    Err(refused.unwrap_or_else(|| {
        Failure::new(
            crate::exit::Exit::Unacceptable,
            "the model offers no layout that this program knows in this format",
        )
    }))
}

fn parse(text: &str, terms: &Terms) -> Result<data::Rows, Failure> {
    let names: Vec<String> = terms.features().iter().map(|feature| feature.name.clone()).collect();
    let rows = data::parse(text, &names)?;
    if !rows.unread.is_empty() {
        let unread =
            rows.unread.iter().take(5).map(|name| output::plain(name, 40)).collect::<Vec<_>>().join(", ");
        output::progress(format_args!("columns that the model does not read: {unread}"));
    }
    Ok(rows)
}

/// Rows are counted per request by the session; people count lines of their file.
fn at_line(failure: Failure, first: usize, rows: &data::Rows) -> Failure {
    match failure.cause::<SessionError>() {
        Some(SessionError::Rows(error)) => match error.row().and_then(|row| rows.lines.get(first + row)) {
            Some(line) => failure.context(format!("line {line}")),
            None => failure,
        },
        _ => failure,
    }
}

fn asks_to_refresh(failure: &Failure) -> bool {
    matches!(failure.cause::<HttpError>(), Some(HttpError::Problem(problem)) if problem.remedy == Some(Remedy::RefreshModels))
}

fn format(format: FormatArg) -> Format {
    match format {
        FormatArg::Hei => Format::Hei,
        FormatArg::Seal => Format::Seal,
    }
}

fn encoding(encoding: EncodingArg) -> Encoding {
    match encoding {
        EncodingArg::Binary => Encoding::Binary,
        EncodingArg::Base64 => Encoding::Base64,
        EncodingArg::Hex => Encoding::Hex,
    }
}

impl LayoutArg {
    pub(crate) fn layout(self) -> Layout {
        match self {
            Self::FeatureColumns => Layout::FeatureColumns,
            Self::Coefficients => Layout::Coefficients,
        }
    }
}
