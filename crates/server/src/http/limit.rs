//! Stage 3 for what a tenant uses in a while: before the body is read, and told with the answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hei_protocol::{Problem, ProblemCode};
use http_body_util::BodyExt;

use super::answer::{Refused, set};
use super::{body, credentials, infer};
use crate::app::{App, whole_seconds};
use crate::id::Tenant;
use crate::quota::{Exceeded, Policy};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The policies that a request comes under; none for what is not a tenant's own.
fn policies(method: &Method, path: &str) -> &'static [Policy] {
    match (method.as_str(), path) {
        ("POST", "/infer") => &[Policy::Infer, Policy::Bytes, Policy::Cpu],
        ("POST", "/infer/plain") => &[Policy::Infer, Policy::Bytes],
        ("PUT", "/keys/{key_id}") => &[Policy::Bytes],
        ("GET" | "HEAD" | "DELETE", path) if path.starts_with("/jobs/") || path.starts_with("/keys") => {
            &[Policy::Reads]
        }
        _ => &[],
    }
}

/// Lets a request through to its handler while its tenant has something left of every policy it comes under. What is
/// wrong with the sender's credentials is the handler's to say.
pub(super) async fn limit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let policies = path.map_or(&[][..], |path| policies(request.method(), path.as_str()));
    if policies.is_empty() || !app.quotas().limits_anything() {
        return next.run(request).await;
    }
    let Some(tenant) = app.auth().known(&credentials(request.headers())) else {
        return next.run(request).await;
    };
    let mut response = match admit(&app, &tenant, policies, request.headers()).await {
        Err(exceeded) => {
            let problem = Problem::new(ProblemCode::RateLimited)
                .with_violated_policies(vec![exceeded.policy.as_str()])
                .with_retry_after(whole_seconds(exceeded.retry_after));
            Refused::from(problem).into_response()
        }
        Ok(counted) => {
            let request = if policies.contains(&Policy::Bytes) {
                let (app, tenant) = (Arc::clone(&app), tenant.clone());
                request.map(|body| metered(body, app, tenant))
            } else {
                request
            };
            let response = next.run(request).await;
            if counted && response.headers().contains_key("idempotency-replayed") {
                app.quotas().give_back(&tenant, Policy::Infer, 1);
            }
            response
        }
    };
    // What is read often is told only when it matters.
    let tells = policies != [Policy::Reads] || response.status().as_u16() == 429;
    if tells && let Some((policy, left)) = app.quotas().fields(&tenant, policies) {
        set(&mut response, RATE_LIMIT_POLICY, &policy);
        set(&mut response, RATE_LIMIT, &left);
    }
    response
}

/// Takes what is known of a request's use, and looks for the rest. Says whether it counts as a submission: one whose
/// key is recorded does not need to be.
async fn admit(
    app: &App,
    tenant: &Tenant,
    policies: &[Policy],
    headers: &HeaderMap,
) -> Result<bool, Exceeded> {
    let quotas = app.quotas();
    if policies.contains(&Policy::Cpu) {
        quotas.check_any(tenant, Policy::Cpu)?;
    }
    if policies.contains(&Policy::Bytes) {
        // Octets are counted as they arrive.
        let declared = body::declared_length(headers).unwrap_or(1);
        quotas.check(tenant, Policy::Bytes, declared)?;
    }
    let unit = if policies.contains(&Policy::Reads) { Policy::Reads } else { Policy::Infer };
    if !policies.contains(&unit) {
        return Ok(false);
    }
    match quotas.take(tenant, unit, 1) {
        Ok(()) => Ok(unit == Policy::Infer),
        Err(exceeded) => match infer::idempotency_key(headers) {
            Some(Ok(key)) if unit == Policy::Infer && app.remembers(tenant, &key).await => Ok(false),
            _ => Err(exceeded),
        },
    }
}

/// The body, its octets counted against the tenant's quota as they arrive.
fn metered(body: Body, app: Arc<App>, tenant: Tenant) -> Body {
    Body::new(body.map_frame(move |frame| {
        if let Some(data) = frame.data_ref() {
            app.quotas().charge(&tenant, Policy::Bytes, data.len() as u64);
        }
        frame
    }))
}
