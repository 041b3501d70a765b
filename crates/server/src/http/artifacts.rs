//! `GET /openapi.yaml` and `GET /schemas/{name}`: the released artifacts, octet for octet.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use hei_protocol::{ProblemCode, spec};

use super::answer::{Refused, document};
use crate::app::App;
use crate::registry::Document;

const YAML: &str = "application/yaml";
const SCHEMA: &str = "application/schema+json";

static OPENAPI: LazyLock<Document> = LazyLock::new(|| Document::new(spec::OPENAPI.into()));
static SCHEMAS: LazyLock<HashMap<&str, Document>> = LazyLock::new(|| {
    spec::SCHEMAS.iter().map(|(name, text)| (*name, Document::new((*text).into()))).collect()
});

pub(super) async fn openapi(State(_): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Refused> {
    document(&headers, YAML, &OPENAPI)
}

pub(super) async fn schema(
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let Ok(Path(name)) = name else { return Err(ProblemCode::NotFound.into()) };
    let schema = SCHEMAS.get(name.as_str()).ok_or(ProblemCode::NotFound)?;
    document(&headers, SCHEMA, schema)
}
