//! `POST /infer`: the request.

use std::borrow::Cow;

use super::view::View;
use super::{MessageError, parse};
use crate::cbor;
use crate::encoding::{self, Encoding, EncodingError};
use crate::ids::{KeyId, ModelId, ModelVersion};
use crate::json;
use crate::manifest::Layout;
use crate::problem::{FieldError, Problem, ProblemCode};
use crate::tree::Value;
use crate::version;

/// The two formats of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyFormat {
    /// `application/json`.
    Json,
    /// `application/cbor`, in the deterministic profile.
    Cbor,
}

impl BodyFormat {
    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            BodyFormat::Json => super::JSON_MEDIA_TYPE,
            BodyFormat::Cbor => super::CBOR_MEDIA_TYPE,
        }
    }
}

/// The octets of a payload, still as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Text of `hex` or `base64`.
    Text(Cow<'a, str>),
    /// A CBOR byte string.
    Octets(Cow<'a, [u8]>),
}

/// One input of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input<'a> {
    /// How the payload is written.
    pub encoding: Encoding,
    /// The payload, decoded on demand.
    pub payload: Payload<'a>,
}

impl<'a> Input<'a> {
    /// An input for a CBOR request.
    pub fn binary(octets: impl Into<Cow<'a, [u8]>>) -> Self {
        Input { encoding: Encoding::Binary, payload: Payload::Octets(octets.into()) }
    }

    /// An input for a JSON request; `binary` is written as base64, for JSON has no octets.
    pub fn text(encoding: Encoding, octets: &[u8]) -> Input<'static> {
        match encoding {
            Encoding::Hex => Input { encoding, payload: Payload::Text(Cow::Owned(encoding::to_hex(octets))) },
            Encoding::Base64 | Encoding::Binary => Input {
                encoding: Encoding::Base64,
                payload: Payload::Text(Cow::Owned(encoding::to_base64(octets))),
            },
        }
    }

    /// Length of the payload as written, in bytes.
    pub fn written_len(&self) -> u64 {
        match &self.payload {
            Payload::Text(text) => text.len() as u64,
            Payload::Octets(octets) => octets.len() as u64,
        }
    }

    /// Whether the payload is longer than `octets` octets could be in its encoding; needs no decoding.
    pub fn exceeds(&self, octets: u64) -> bool {
        self.written_len() > self.encoding.encoded_len(octets)
    }

    /// The octets. A CBOR payload is borrowed, a JSON payload decoded.
    pub fn decode(&self) -> Result<Cow<'_, [u8]>, EncodingError> {
        match (&self.payload, self.encoding) {
            (Payload::Octets(octets), Encoding::Binary) => Ok(Cow::Borrowed(octets)),
            (Payload::Text(text), Encoding::Hex | Encoding::Base64) => {
                encoding::decode(self.encoding, text).map(Cow::Owned)
            }
            _ => Err(EncodingError::NotAllowed),
        }
    }
}

/// A request for one inference, its payloads borrowed from the body it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InferRequest<'a> {
    /// The protocol version the client asks for.
    pub api_version: Option<String>,
    /// The model.
    pub model_id: ModelId,
    /// Its version, as text: a version that is no semantic version is merely unknown.
    pub version: String,
    /// Rows, 1 to 65536.
    pub batch_size: u32,
    /// The layout, as text: a layout the model does not have is refused by the model, not here.
    pub layout: Option<String>,
    /// How the result is written in JSON; the first input's encoding when absent.
    pub result_encoding: Option<Encoding>,
    /// Seconds after which the job fails rather than runs, 1 to 86400.
    pub deadline_seconds: Option<u32>,
    /// The evaluation key, for layouts that need one.
    pub evaluation_key_id: Option<KeyId>,
    /// The ciphertexts.
    pub inputs: Vec<Input<'a>>,
}

/// Most rows any request may ask for.
pub const MAX_BATCH: u64 = 65_536;
/// Longest deadline, in seconds.
pub const MAX_DEADLINE: u64 = 86_400;
/// Most inputs any request may carry.
pub const MAX_INPUTS: usize = 4096;

impl<'a> InferRequest<'a> {
    /// A request with the members that every request has.
    pub fn new(model_id: ModelId, version: &ModelVersion, batch_size: u32, inputs: Vec<Input<'a>>) -> Self {
        InferRequest {
            api_version: None,
            model_id,
            version: version.as_str().to_owned(),
            batch_size,
            layout: None,
            result_encoding: None,
            deadline_seconds: None,
            evaluation_key_id: None,
            inputs,
        }
    }

    /// The server's way in: syntax, version, schema, encodings allowed in this format, in that order.
    /// `header_version` is the `Api-Version` request header, if any. Payloads are not decoded.
    pub fn parse(format: BodyFormat, body: &'a [u8], header_version: Option<&str>) -> Result<Self, Problem> {
        let tree = parse(format, body)?;
        check_version(&tree, header_version)?;
        #[cfg(feature = "validate")]
        crate::schema::check_infer_request(&tree.project())?;
        let request = Self::from_value(tree).map_err(|error| match error {
            MessageError::Member { pointer, reason } => Problem::invalid_field(pointer, reason),
            _ => Problem::invalid_field("", "invalid"),
        })?;
        for (index, input) in request.inputs.iter().enumerate() {
            let allowed = match (format, &input.payload) {
                (BodyFormat::Json, Payload::Text(_)) => input.encoding != Encoding::Binary,
                (BodyFormat::Cbor, Payload::Octets(_)) => input.encoding == Encoding::Binary,
                _ => false,
            };
            if !allowed {
                return Err(Problem::invalid_encoding(index, EncodingError::NotAllowed));
            }
        }
        Ok(request)
    }

    /// Reads the request from its tree, checking every bound it relies on.
    pub fn from_value(tree: Value<'a>) -> Result<Self, MessageError> {
        let view = View::new(&tree, "")?;
        let result_encoding = match view.get("result_encoding") {
            None => None,
            Some(value) => match value.as_text().and_then(Encoding::from_name) {
                Some(encoding @ (Encoding::Hex | Encoding::Base64)) => Some(encoding),
                _ => return Err(view.wrong("result_encoding", "enum")),
            },
        };
        let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let mut request = InferRequest {
            api_version: view.parsed_if_present("api_version")?,
            model_id: view.parsed("model_id")?,
            version: view.text("version")?.to_owned(),
            batch_size: narrow(view.unsigned("batch_size", 1, MAX_BATCH)?),
            layout: view.parsed_if_present("layout")?,
            result_encoding,
            deadline_seconds: view.unsigned_if_present("deadline_seconds", 1, MAX_DEADLINE)?.map(narrow),
            evaluation_key_id: view.parsed_if_present("evaluation_key_id")?,
            inputs: Vec::new(),
        };
        let elements = take_member(tree, "inputs").unwrap_or(Value::Null);
        request.inputs = inputs_from_value(elements)?;
        Ok(request)
    }

    /// How the result is written in JSON: as asked, else like the inputs, else base64.
    pub fn reply_encoding(&self) -> Encoding {
        let mirrored = self.inputs.first().map_or(Encoding::Base64, |input| input.encoding);
        match self.result_encoding.unwrap_or(mirrored) {
            Encoding::Binary => Encoding::Base64,
            encoding => encoding,
        }
    }

    /// The layout the request names, if this program knows it.
    pub fn known_layout(&self) -> Option<Layout> {
        self.layout.as_deref().and_then(Layout::from_name)
    }

    /// Writes the request. JSON takes inputs made by [`Input::text`], CBOR those made by [`Input::binary`];
    /// any other pairing is [`EncodingError::NotAllowed`].
    pub fn write(&self, format: BodyFormat) -> Result<Vec<u8>, EncodingError> {
        let value = self.to_value();
        match format {
            BodyFormat::Json => json::write(&value).ok_or(EncodingError::NotAllowed),
            BodyFormat::Cbor if self.inputs.iter().all(|input| input.encoding == Encoding::Binary) => {
                cbor::write(&value).map_err(|_| EncodingError::NotAllowed)
            }
            BodyFormat::Cbor => Err(EncodingError::NotAllowed),
        }
    }

    /// The request as a tree.
    pub fn to_value(&self) -> Value<'_> {
        let mut members: Vec<(Cow<'_, str>, Value<'_>)> = Vec::new();
        let mut add = |name: &'static str, value: Value<'static>| members.push((Cow::Borrowed(name), value));
        if let Some(version) = &self.api_version {
            add("api_version", Value::from(version.clone()));
        }
        add("model_id", Value::from(self.model_id.to_string()));
        add("version", Value::from(self.version.clone()));
        add("batch_size", Value::from(u64::from(self.batch_size)));
        if let Some(layout) = &self.layout {
            add("layout", Value::from(layout.clone()));
        }
        if let Some(encoding) = self.result_encoding {
            add("result_encoding", Value::from(encoding.as_str()));
        }
        if let Some(seconds) = self.deadline_seconds {
            add("deadline_seconds", Value::from(u64::from(seconds)));
        }
        if let Some(key) = &self.evaluation_key_id {
            add("evaluation_key_id", Value::from(key.to_string()));
        }
        let inputs = self.inputs.iter().map(|input| {
            let payload = match &input.payload {
                Payload::Text(text) => Value::Text(Cow::Borrowed(text.as_ref())),
                Payload::Octets(octets) => Value::Bytes(Cow::Borrowed(octets.as_ref())),
            };
            Value::object([("encoding", Value::from(input.encoding.as_str())), ("payload", payload)])
        });
        members.push((Cow::Borrowed("inputs"), Value::Array(inputs.collect())));
        Value::Object(members)
    }
}

/// Stage 7 of the pipeline: the member `api_version`, where it is text, and the header.
pub(super) fn check_version(tree: &Value<'_>, header: Option<&str>) -> Result<(), Problem> {
    let member = tree.member("api_version").and_then(Value::as_text);
    for asked in [header, member].into_iter().flatten() {
        version::check(asked).map_err(|_| Problem::new(ProblemCode::UnsupportedApiVersion))?;
    }
    match (header, member) {
        (Some(header), Some(member)) if header != member => {
            let pointer = "/api_version".to_owned();
            Err(Problem::invalid_schema(vec![FieldError { pointer, reason: "differs_from_header" }]))
        }
        _ => Ok(()),
    }
}

fn take_member<'a>(tree: Value<'a>, name: &str) -> Option<Value<'a>> {
    match tree {
        Value::Object(members) => members.into_iter().find(|(key, _)| key == name).map(|(_, value)| value),
        _ => None,
    }
}

fn inputs_from_value(value: Value<'_>) -> Result<Vec<Input<'_>>, MessageError> {
    let wrong = |pointer: String, reason| MessageError::Member { pointer, reason };
    let Value::Array(elements) = value else {
        return Err(wrong("/inputs".to_owned(), "type"));
    };
    if elements.is_empty() {
        return Err(wrong("/inputs".to_owned(), "min_items"));
    }
    if elements.len() > MAX_INPUTS {
        return Err(wrong("/inputs".to_owned(), "max_items"));
    }
    elements
        .into_iter()
        .enumerate()
        .map(|(index, element)| {
            let encoding = element
                .member("encoding")
                .and_then(Value::as_text)
                .and_then(Encoding::from_name)
                .ok_or_else(|| wrong(format!("/inputs/{index}/encoding"), "enum"))?;
            let payload = match take_member(element, "payload") {
                Some(Value::Text(text)) => Payload::Text(text),
                Some(Value::Bytes(octets)) => Payload::Octets(octets),
                _ => return Err(wrong(format!("/inputs/{index}/payload"), "type")),
            };
            Ok(Input { encoding, payload })
        })
        .collect()
}
