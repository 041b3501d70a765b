//! Validation against the published schemas.
//!
//! The validators of requests and registry entries are compiled from the schema files into code. Those of
//! responses, which serve tests and a server's self-check, are built from the embedded files on first use.

use crate::problem::{FieldError, Problem};

#[cfg(feature = "validate")]
pub use validate::{Response, check_infer_request, check_plain_request, check_registry_entry};

/// Most violations looked at before the list is sorted and cut.
#[cfg(feature = "validate")]
const MAX_VIOLATIONS: usize = 256;

/// A schema's refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body breaks its schema in {} places, first at {:?}", .0.len(), .0.first().map(|error| &error.pointer))]
pub struct SchemaError(pub Vec<FieldError>);

impl From<SchemaError> for Problem {
    fn from(error: SchemaError) -> Self {
        Problem::invalid_schema(error.0)
    }
}

#[cfg(feature = "validate")]
mod validate {
    use std::sync::LazyLock;

    use jsonschema::error::ValidationErrorKind;
    use jsonschema::{ValidationError, Validator};
    use serde_json::Value;

    use super::{MAX_VIOLATIONS, SchemaError};
    use crate::manifest::RegistryError;
    use crate::problem::{FieldError, MAX_FIELD_ERRORS};
    use crate::spec;

    // The generated code is the macro's; only these three names are ours.
    #[allow(missing_docs, unreachable_pub, clippy::all)]
    mod compiled {
        #[jsonschema::validator(path = "../../spec/schemas/infer.request.schema.json")]
        pub(super) struct InferRequest;

        #[jsonschema::validator(path = "../../spec/schemas/infer_plain.request.schema.json")]
        pub(super) struct PlainRequest;

        #[jsonschema::validator(path = "../../spec/schemas/model_registry_entry.schema.json")]
        pub(super) struct RegistryEntry;
    }

    /// Checks the projection of a `POST /infer` body.
    pub fn check_infer_request(projection: &Value) -> Result<(), SchemaError> {
        if compiled::InferRequest::is_valid(projection) {
            return Ok(());
        }
        Err(collect(compiled::InferRequest::iter_errors(projection)))
    }

    /// Checks the projection of a `POST /infer/plain` body.
    pub fn check_plain_request(projection: &Value) -> Result<(), SchemaError> {
        if compiled::PlainRequest::is_valid(projection) {
            return Ok(());
        }
        Err(collect(compiled::PlainRequest::iter_errors(projection)))
    }

    /// Checks a registry entry. The first violation is told in full: the file is the operator's own.
    pub fn check_registry_entry(entry: &Value) -> Result<(), RegistryError> {
        if compiled::RegistryEntry::is_valid(entry) {
            return Ok(());
        }
        let mut errors: Vec<_> = compiled::RegistryEntry::iter_errors(entry)
            .take(MAX_VIOLATIONS)
            .map(|error| (field_error(&error).pointer, error.to_string()))
            .collect();
        errors.sort();
        let (pointer, message) = errors.into_iter().next().unwrap_or_default();
        Err(RegistryError::schema(pointer, message))
    }

    fn collect<'e>(errors: impl Iterator<Item = ValidationError<'e>>) -> SchemaError {
        let mut errors: Vec<FieldError> =
            errors.take(MAX_VIOLATIONS).map(|error| field_error(&error)).collect();
        errors.sort();
        errors.dedup();
        errors.truncate(MAX_FIELD_ERRORS);
        SchemaError(errors)
    }

    /// The place and a token. An unexpected member is reported at its object: its name is the client's.
    fn field_error(error: &ValidationError<'_>) -> FieldError {
        use ValidationErrorKind as Kind;
        let mut pointer = error.instance_path().to_string();
        let reason = match error.kind() {
            Kind::Required { property } => {
                pointer.push('/');
                pointer.push_str(property.as_str().unwrap_or_default());
                "missing"
            }
            Kind::AdditionalProperties { .. } | Kind::UnevaluatedProperties { .. } | Kind::FalseSchema => {
                "unexpected_member"
            }
            Kind::Type { .. } => "type",
            Kind::Enum { .. } | Kind::Constant { .. } => "enum",
            Kind::Pattern { .. } => "pattern",
            Kind::Minimum { .. } | Kind::ExclusiveMinimum { .. } => "minimum",
            Kind::Maximum { .. } | Kind::ExclusiveMaximum { .. } => "maximum",
            Kind::MinItems { .. } => "min_items",
            Kind::MaxItems { .. } => "max_items",
            Kind::MinLength { .. } => "min_length",
            Kind::MaxLength { .. } => "max_length",
            Kind::UniqueItems => "unique_items",
            _ => "invalid",
        };
        FieldError { pointer, reason }
    }

    macro_rules! responses {
        ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
            /// The bodies a server sends.
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
            pub enum Response {
                $($(#[doc = $doc])+ $variant,)+
            }

            impl Response {
                /// Every body.
                pub const ALL: &'static [Response] = &[$(Response::$variant,)+];

                /// File name of the schema.
                pub fn file_name(self) -> &'static str {
                    match self { $(Response::$variant => concat!($name, ".schema.json"),)+ }
                }
            }

            static RESPONSES: LazyLock<Vec<Option<Validator>>> = LazyLock::new(|| {
                Response::ALL.iter().map(|response| build(response.file_name())).collect()
            });
        };
    }

    responses! {
        /// `GET /models`.
        Models = "get_models.response",
        /// `GET /models?view=all`.
        ListModels = "list_models.response",
        /// `GET /models/{model_id}/versions/{version}`.
        ModelCard = "model_card.response",
        /// `GET /service`.
        Service = "service.response",
        /// 202 of `POST /infer`.
        Accepted = "infer.accepted.response",
        /// `GET /jobs/{job_id}`, and 200 of `POST /infer`.
        Job = "job.response",
        /// The result inside a job.
        Result = "infer.response",
        /// `POST /infer/plain`.
        Plain = "infer_plain.response",
        /// `GET /keys`.
        Keys = "get_keys.response",
        /// `GET` and `PUT /keys/{key_id}`.
        Key = "key.response",
        /// `GET /health`.
        Health = "health.response",
        /// `GET /health/ready`.
        Ready = "ready.response",
        /// Every refusal.
        Problem = "problem",
    }

    impl Response {
        /// Checks the JSON projection of a body.
        pub fn check(self, projection: &Value) -> Result<(), SchemaError> {
            let index = Response::ALL.iter().position(|response| *response == self).unwrap_or_default();
            match RESPONSES.get(index) {
                Some(Some(validator)) => {
                    let mut errors = validator.iter_errors(projection).peekable();
                    if errors.peek().is_none() { Ok(()) } else { Err(collect(errors)) }
                }
                _ => Err(SchemaError(vec![FieldError { pointer: String::new(), reason: "no_schema" }])),
            }
        }
    }

    /// Schemas name each other by file name; this is the folder they are taken to lie in.
    const BASE: &str = "json-schema:///";

    fn build(file_name: &str) -> Option<Validator> {
        let schema: Value = serde_json::from_str(spec::schema(file_name)?).ok()?;
        let mut registry = jsonschema::Registry::new();
        for (_, text) in spec::SCHEMAS {
            let document: Value = serde_json::from_str(text).ok()?;
            let id = document.get("$id")?.as_str()?.to_owned();
            registry = registry.add(format!("{BASE}{id}"), document).ok()?;
        }
        let registry = registry.prepare().ok()?;
        jsonschema::options()
            .with_base_uri(format!("{BASE}{file_name}"))
            .with_registry(&registry)
            .build(&schema)
            .ok()
    }
}
