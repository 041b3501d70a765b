//! Evaluation keys: validating an upload, and finding the key that a submission names.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use hei_ckks::{KeyManifest, MissingKey};
use hei_protocol::messages::{Keys, to_json};
use hei_protocol::{KeyId, LimitName, Problem, ProblemCode};
use hei_wire::{DecodeError, Format, KeyError, KeyShape};

use super::{App, BodyShare, NoShare};
use crate::id::Tenant;
use crate::keys::{KeyRecord, NewKey, NoKeyRoom, PinnedKey};
use crate::registry::Document;

/// A body that is a valid key of a served parameter set.
struct ValidKey {
    params_id: Arc<str>,
    manifest: KeyManifest,
}

impl App {
    /// What is known about a tenant's key.
    pub(crate) async fn key(&self, tenant: &Tenant, id: KeyId) -> Result<KeyRecord, Problem> {
        let found = self.keys.find(tenant, id).await;
        self.stored(found).await?.ok_or_else(|| Problem::new(ProblemCode::KeyNotFound))
    }

    /// The key, if the tenant has it already; uploading it again is a use.
    pub(crate) async fn key_again(&self, tenant: &Tenant, id: KeyId) -> Result<Option<KeyRecord>, Problem> {
        let found = self.keys.pin(tenant, id).await;
        Ok(self.stored(found).await?.map(|(record, _)| record))
    }

    /// Forgets a key. Jobs that use it keep it until they are terminal.
    pub(crate) async fn delete_key(&self, tenant: &Tenant, id: KeyId) -> Result<(), Problem> {
        let removed = self.keys.remove(tenant, id).await;
        if !self.stored(removed).await? {
            return Err(Problem::new(ProblemCode::KeyNotFound));
        }
        tracing::info!(target: "audit", key = %id, "evaluation key deleted");
        Ok(())
    }

    /// `GET /keys` for a tenant: the parameter sets, and its own keys.
    pub(crate) async fn key_list(&self, tenant: Option<&Tenant>) -> Result<Document, Problem> {
        let own = match tenant {
            Some(tenant) => {
                let listed = self.keys.list(tenant).await;
                self.stored(listed).await?
            }
            None => Vec::new(),
        };
        if own.is_empty() {
            return Ok(self.registry.keys().clone());
        }
        let keys = own.iter().map(KeyRecord::message).collect();
        Ok(Document::new(to_json(&Keys { keys, ..self.registry.key_sets().clone() })))
    }

    /// Whether the tenant may store one more key.
    pub(crate) async fn check_key_room(&self, tenant: &Tenant) -> Result<(), Problem> {
        let room = self.keys.key_room(tenant).await;
        self.key_stored(room).await
    }

    async fn key_stored<T>(&self, result: Result<T, NoKeyRoom>) -> Result<T, Problem> {
        match result {
            Ok(value) => Ok(value),
            Err(NoKeyRoom::Quota { .. }) => {
                let limit = self.config.limits.max_keys_per_tenant;
                Err(Problem::new(ProblemCode::KeyQuotaExceeded)
                    .with_limit(LimitName::MaxKeysPerTenant, limit))
            }
            Err(NoKeyRoom::Store(error)) => self.stored(Err(error)).await,
        }
    }

    /// The first step of a share of the memory for keys.
    pub(crate) async fn admit_key(
        &self,
        tenant: &Tenant,
        declared: Option<u64>,
    ) -> Result<BodyShare, Problem> {
        let budget = self.key_budget.of(tenant);
        match BodyShare::first(budget, declared, self.config.capacity.admission_wait).await {
            Ok(share) => Ok(share),
            Err(NoShare) => Err(self.queue_full().await),
        }
    }

    /// Validates a received container and stores it. Nothing is visible before it all passed. Says whether the key
    /// is new to the tenant.
    pub(crate) async fn store_key(
        &self,
        tenant: &Tenant,
        id: KeyId,
        body: BytesMut,
        digest: [u8; 32],
        share: BodyShare,
    ) -> Result<(KeyRecord, bool), Problem> {
        let registry = self.registry.clone();
        let size = body.len();
        let checked = self.compute(tenant, size, move || {
            let mut body = body;
            let shapes = registry.key_shapes();
            let checked = refuse_secret(&body).and_then(|()| {
                let is_named = KeyId::from_digest(digest) == id;
                if is_named { Ok(()) } else { Err(Problem::new(ProblemCode::KeyDigestMismatch)) }
            });
            match checked.and_then(|()| validate(&body, &shapes)) {
                Ok(valid) => Ok((valid, Bytes::from(body))),
                Err(problem) => {
                    if problem.code() == ProblemCode::SecretKeyRejected {
                        hei_wire::wipe(&mut body);
                    }
                    Err(problem)
                }
            }
        });
        let (valid, octets) = checked.await?.inspect_err(|problem| {
            tracing::info!(code = problem.code().as_str(), bytes = size, "evaluation key refused");
        })?;
        let key = NewKey {
            id,
            params_id: valid.params_id,
            manifest: valid.manifest,
            octets,
            share: Some(Box::new(share)),
        };
        let inserted = self.keys.insert(tenant, key).await;
        let (record, new) = self.key_stored(inserted).await?;
        if new {
            tracing::info!(key = %id, bytes = size, "evaluation key stored");
        }
        Ok((record, new))
    }

    /// Stage 10: the key that a submission names, held against what its layout needs.
    pub(super) async fn key_for(
        &self,
        tenant: &Tenant,
        needs: Option<&KeyShape>,
        named: Option<KeyId>,
    ) -> Result<Option<PinnedKey>, Problem> {
        let Some(id) = named else {
            return match needs {
                Some(_) => Err(Problem::new(ProblemCode::EvaluationKeyRequired)),
                None => Ok(None),
            };
        };
        let found = self.keys.pin(tenant, id).await;
        let pinned = self.stored(found).await?;
        self.metrics().key_used(pinned.is_some());
        let Some((record, pin)) = pinned else {
            return Err(Problem::new(ProblemCode::EvaluationKeyNotFound));
        };
        let Some(needs) = needs else { return Ok(None) };
        if *record.params_id != *needs.context().params_id().to_string() {
            return Err(Problem::new(ProblemCode::EvaluationKeyIncompatible).because("params"));
        }
        let has = |element| record.manifest.galois().find(|(other, _)| *other == element);
        let relinearization = needs.manifest().relinearization();
        let relinearizes = relinearization
            .is_none_or(|level| record.manifest.relinearization().is_some_and(|has| has >= level));
        let missing: Vec<u64> = needs
            .manifest()
            .galois()
            .filter(|(element, level)| has(*element).is_none_or(|(_, has)| has < *level))
            .map(|(element, _)| element.value())
            .collect();
        if missing.is_empty() && relinearizes {
            return Ok(Some(pin));
        }
        Err(incompatible(!relinearizes, missing))
    }
}

fn incompatible(relinearization: bool, galois: Vec<u64>) -> Problem {
    let reason = if relinearization { "relinearization" } else { "galois_elements" };
    Problem::new(ProblemCode::EvaluationKeyIncompatible).because(reason).with_missing_galois_elements(galois)
}

/// A secret key is refused before anything else is said about the octets.
fn refuse_secret(octets: &[u8]) -> Result<(), Problem> {
    let secret = match hei_wire::inspect(octets) {
        Ok(description) => description.is_secret(),
        Err(error) => matches!(error, DecodeError::SecretKey),
    };
    if secret { Err(Problem::new(ProblemCode::SecretKeyRejected)) } else { Ok(()) }
}

/// Holds a container against every set of keys that a served layout needs; it must be exactly one of them.
fn validate(octets: &[u8], shapes: &[Arc<KeyShape>]) -> Result<ValidKey, Problem> {
    let format = hei_wire::detect(octets).ok_or_else(|| Problem::new(ProblemCode::InvalidKey))?;
    if format == Format::Hei {
        let header =
            hei_wire::hei::KeyHeader::parse(octets).map_err(|error| refusal(KeyError::Bytes(error)).1)?;
        let served = shapes.iter().any(|shape| shape.context().params_id() == header.params_id());
        if !served {
            return Err(Problem::new(ProblemCode::EvaluationKeyIncompatible).because("params"));
        }
    }
    let mut best: Option<(u8, Problem)> = None;
    for shape in shapes {
        let decoded = match format {
            Format::Hei => hei_wire::hei::decode_evaluation_keys(octets, shape),
            Format::Seal => hei_wire::seal::decode_evaluation_keys(octets, shape),
        };
        match decoded {
            Ok(_) => {
                return Ok(ValidKey {
                    params_id: shape.context().params_id().to_string().into(),
                    manifest: shape.manifest().clone(),
                });
            }
            Err(error) => {
                let (rank, problem) = refusal(error);
                if best.as_ref().is_none_or(|(best, _)| rank > *best) {
                    best = Some((rank, problem));
                }
            }
        }
    }
    let params = || Problem::new(ProblemCode::EvaluationKeyIncompatible).because("params");
    Err(best.map_or_else(params, |(_, problem)| problem))
}

/// How a refused key is answered, and how much that says: what is wrong with the keys of one parameter set tells
/// more than that they are not of another.
fn refusal(error: KeyError) -> (u8, Problem) {
    match error {
        KeyError::Bytes(DecodeError::SecretKey) => (4, Problem::new(ProblemCode::SecretKeyRejected)),
        KeyError::Bytes(DecodeError::Incompatible(reason)) => {
            (1, Problem::new(ProblemCode::EvaluationKeyIncompatible).because(reason.as_str()))
        }
        KeyError::Bytes(error) => {
            let problem = Problem::new(ProblemCode::InvalidKey);
            (
                2,
                match error.reason() {
                    Some(reason) => problem.because(reason),
                    None => problem,
                },
            )
        }
        KeyError::Manifest { missing, surplus } => {
            if missing.is_empty() && !surplus.is_empty() {
                let problem = Problem::new(ProblemCode::EvaluationKeyIncompatible).because("surplus_keys");
                return (3, problem);
            }
            let relinearization =
                missing.iter().any(|missing| matches!(missing, MissingKey::Relinearization { .. }));
            let galois = missing.iter().filter_map(|missing| match missing {
                MissingKey::Galois { element, .. } => Some(element.value()),
                MissingKey::Relinearization { .. } => None,
            });
            (3, incompatible(relinearization, galois.collect()))
        }
    }
}
