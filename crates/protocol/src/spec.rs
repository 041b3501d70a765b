//! The published artifacts, embedded: what `GET /openapi.yaml` and `GET /schemas/{name}` serve, octet for
//! octet.

/// `spec/openapi.yaml`.
pub const OPENAPI: &str = include_str!("../../../spec/openapi.yaml");
/// `spec/problems.toml`.
pub const PROBLEMS: &str = include_str!("../../../spec/problems.toml");

macro_rules! schemas {
    ($($name:literal),+ $(,)?) => {
        /// Every schema by its file name.
        pub const SCHEMAS: &[(&str, &str)] = &[$((
            concat!($name, ".schema.json"),
            include_str!(concat!("../../../spec/schemas/", $name, ".schema.json")),
        ),)+];
    };
}

schemas!(
    "common",
    "get_keys.response",
    "get_models.response",
    "health.response",
    "infer.accepted.response",
    "infer.request",
    "infer.response",
    "infer_plain.request",
    "infer_plain.response",
    "job.response",
    "key.response",
    "list_models.response",
    "model_card.response",
    "model_registry_entry",
    "problem",
    "ready.response",
    "service.response",
);

/// The schema with this file name, such as `infer.request.schema.json`.
pub fn schema(file_name: &str) -> Option<&'static str> {
    SCHEMAS.iter().find(|(name, _)| *name == file_name).map(|(_, text)| *text)
}
