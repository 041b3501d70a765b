//! The served models: loaded once from compiled model files, checked against what they say of themselves, frozen.

mod facts;

use std::sync::Arc;

use bytes::Bytes;
use hei_circuit::{ModelFile, Plan};
use hei_protocol::manifest::{Layout, Manifest};
use hei_protocol::messages::card::CardLayout;
use hei_protocol::messages::{Keys, ListModels, ModelCard, Models, models_order, to_json};
use hei_protocol::{Limits, ModelId, ModelVersion};
use hei_wire::{Format, KeyShape, Shape};
use sha2::{Digest, Sha256};

use crate::config::ModelSource;

/// Octets by which a payload may exceed the largest legal encoding before it is refused unread: a near miss is told
/// what is wrong with it.
const NEAR_MISS: u64 = 1024;

/// A model file that is refused. It stops start-up: a server serves all of its models or none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {category} error at {}: {message}", if field.is_empty() { "the top level" } else { field })]
pub struct RegistryError {
    /// The file's name.
    pub file: String,
    /// `file` (not a model file), `schema`, `semantic`, or `parameters` (the facts of its manifest are not those of
    /// its plans).
    pub category: &'static str,
    /// JSON Pointer into the manifest.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

/// One layout of one model: the plan and everything a submission is held against.
pub(crate) struct Offer {
    name: Arc<ModelName>,
    plan: Plan,
    facts: CardLayout,
    /// The evaluation keys the plan needs.
    keys: Option<Arc<KeyShape>>,
}

/// What a model is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelName {
    pub(crate) model_id: ModelId,
    pub(crate) version: ModelVersion,
}

/// What the steps of a plan take on a processor without wide registers; a faster one is charged the same, so that
/// quotas do not depend on the machine.
const NANOS_PER_BUTTERFLY: u64 = 3;
const NANOS_PER_PRODUCT: u64 = 2;
const NANOS_PER_OCTET: u64 = 2;

/// One served model.
pub(crate) struct Model {
    name: Arc<ModelName>,
    pub(crate) max_batch_size: u32,
    manifest: Manifest,
    digest: String,
    offers: Vec<Arc<Offer>>,
    card: Document,
}

/// A JSON document that never changes, with its strong entity tag.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) body: Bytes,
    pub(crate) etag: String,
}

impl Document {
    pub(crate) fn new(body: Vec<u8>) -> Self {
        let digest = hei_protocol::encoding::to_hex(&Sha256::digest(&body));
        let etag = format!("\"{}\"", digest.get(..32).unwrap_or(&digest));
        Self { body: Bytes::from(body), etag }
    }
}

/// All served models, and the documents about them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Registry(Arc<Inner>);

struct Inner {
    models: Vec<Model>,
    published: Document,
    list: Document,
    keys: Document,
    key_sets: Keys,
}

impl Registry {
    /// Loads every model file.
    ///
    /// # Errors
    /// The first refused file; nothing is served then.
    pub(crate) fn load(sources: &[ModelSource], limits: &Limits) -> Result<Self, RegistryError> {
        let mut models: Vec<Model> = Vec::with_capacity(sources.len());
        for source in sources {
            let model = Model::load(source)?;
            if let Some(twin) = models.iter().find(|other| other.name == model.name) {
                let ModelName { model_id, version } = twin.name.as_ref();
                let message = format!("{model_id} {version} is already served from another file");
                return Err(RegistryError::of(source, "semantic", "/entry/version", message));
            }
            models.push(model);
        }
        models.sort_by(|a, b| {
            models_order((&a.name.model_id, &a.name.version), (&b.name.model_id, &b.name.version))
        });
        let manifests = || models.iter().map(|model| &model.manifest);
        let listed = models.iter().map(|model| (&model.manifest, model.digest.as_str()));
        let published = Document::new(to_json(&Models::new(manifests())));
        let list = Document::new(to_json(&ListModels::new(listed)));
        let key_sets = Keys::new(manifests(), limits.clone());
        let keys = Document::new(to_json(&key_sets));
        Ok(Self(Arc::new(Inner { published, list, keys, key_sets, models })))
    }

    /// How many models are served.
    pub(crate) fn len(&self) -> usize {
        self.0.models.len()
    }

    /// Every layout of every model.
    pub(crate) fn offers(&self) -> impl Iterator<Item = &Arc<Offer>> {
        self.0.models.iter().flat_map(|model| &model.offers)
    }

    /// The model of that name and version.
    pub(crate) fn find(&self, model_id: &str, version: &str) -> Option<&Model> {
        let named = |model: &&Model| {
            model.name.model_id.as_str() == model_id && model.name.version.as_str() == version
        };
        self.0.models.iter().find(named)
    }

    /// Plain `GET /models`.
    pub(crate) fn published(&self) -> &Document {
        &self.0.published
    }

    /// `GET /models?view=all`.
    pub(crate) fn list(&self) -> &Document {
        &self.0.list
    }

    /// `GET /keys` of a caller without stored keys.
    pub(crate) fn keys(&self) -> &Document {
        &self.0.keys
    }

    /// The same, to be completed with a caller's keys.
    pub(crate) fn key_sets(&self) -> &Keys {
        &self.0.key_sets
    }

    /// Every set of evaluation keys that a served layout needs.
    pub(crate) fn key_shapes(&self) -> Vec<Arc<KeyShape>> {
        let offers = self.0.models.iter().flat_map(|model| &model.offers);
        offers.filter_map(|offer| offer.keys.clone()).collect()
    }

    /// The same models, as if one layout of each needed these keys.
    #[cfg(test)]
    pub(crate) fn needing(self, layout: Layout, needs: impl Fn(&Plan) -> hei_ckks::KeyManifest) -> Self {
        let mut inner = Arc::try_unwrap(self.0).ok().expect("a registry of one's own");
        for offer in inner.models.iter_mut().flat_map(|model| &mut model.offers) {
            let offer = Arc::get_mut(offer).expect("an offer of one's own");
            if offer.facts.layout == layout {
                let manifest = needs(&offer.plan);
                offer.keys = Some(Arc::new(KeyShape::new(offer.plan.parameters().context(), &manifest)));
            }
        }
        Self(Arc::new(inner))
    }
}

impl Model {
    fn load(source: &ModelSource) -> Result<Self, RegistryError> {
        let refuse =
            |category, field: &str, message: String| RegistryError::of(source, category, field, message);
        let file = ModelFile::decode(&source.bytes).map_err(|error| refuse("file", "", error.to_string()))?;
        let manifest = Manifest::from_json(file.manifest().as_bytes())
            .map_err(|error| refuse(error.category.as_str(), &error.pointer, error.message))?;
        let name = Arc::new(ModelName {
            model_id: manifest.entry.model_id.clone(),
            version: manifest.entry.version.clone(),
        });
        if manifest.layouts.len() != file.plans().len() {
            let message = format!(
                "describes {} layouts, the file has {} plans; compile the model again",
                manifest.layouts.len(),
                file.plans().len()
            );
            return Err(refuse("parameters", "/layouts", message));
        }
        let mut offers = Vec::with_capacity(manifest.layouts.len());
        for (index, facts) in manifest.layouts.iter().enumerate() {
            let below = |field: &str| match field.starts_with("/entry") {
                true => field.to_owned(),
                false => format!("/layouts/{index}{field}"),
            };
            let plan = circuit_layout(facts.layout).and_then(|layout| file.plan(layout));
            let plan = plan.ok_or_else(|| {
                let message = format!("the file has no plan for {}", facts.layout);
                refuse("parameters", &below("/layout"), message)
            })?;
            facts::check(&manifest.entry, facts, plan)
                .map_err(|error| refuse("parameters", &below(error.field), error.message))?;
            let (name, plan, facts) = (Arc::clone(&name), plan.clone(), facts.clone());
            // No plan of this release needs evaluation keys; the facts above said so.
            offers.push(Arc::new(Offer { name, plan, facts, keys: None }));
        }
        let digest = hei_circuit::file::digest(&source.bytes).unwrap_or_default();
        let digest = hei_protocol::encoding::to_hex(&digest);
        let card = Document::new(to_json(&ModelCard::new(&manifest, &digest)));
        let max_batch_size = manifest.entry.constraints.max_batch_size;
        Ok(Self { name, max_batch_size, manifest, digest, offers, card })
    }

    /// The model's card.
    pub(crate) fn card(&self) -> &Document {
        &self.card
    }

    /// The layout of that name.
    pub(crate) fn offer(&self, layout: &str) -> Option<Arc<Offer>> {
        self.offers.iter().find(|offer| offer.facts.layout.as_str() == layout).cloned()
    }

    /// What a request without `layout` means: `feature_columns`, else the only layout.
    pub(crate) fn default_offer(&self) -> Option<Arc<Offer>> {
        self.offer(Layout::FeatureColumns.as_str()).or_else(|| match self.offers.as_slice() {
            [only] => Some(Arc::clone(only)),
            _ => None,
        })
    }

    /// The plan of any one layout, for its cleartext twin.
    pub(crate) fn any_offer(&self) -> Option<&Arc<Offer>> {
        self.offers.first()
    }
}

impl Offer {
    pub(crate) fn name(&self) -> &ModelName {
        &self.name
    }

    pub(crate) const fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) const fn facts(&self) -> &CardLayout {
        &self.facts
    }

    /// How long an evaluation is expected to occupy one processor: the steps of the plan at the pace of a plain one,
    /// and the octets that go in and out.
    pub(crate) fn predicted_micros(&self, batch: usize) -> u64 {
        let cost = self.plan.cost(batch);
        let degree = self.plan.input().degree.max(2);
        let butterflies = degree as u64 / 2 * u64::from(degree.ilog2());
        let nanos = (cost.transforms.saturating_mul(butterflies).saturating_mul(NANOS_PER_BUTTERFLY))
            .saturating_add(cost.products.saturating_mul(NANOS_PER_PRODUCT))
            .saturating_add((cost.request_bytes + cost.reply_bytes).saturating_mul(NANOS_PER_OCTET));
        nanos.div_ceil(1000).max(1)
    }

    /// The evaluation keys the plan needs.
    pub(crate) fn keys(&self) -> Option<&KeyShape> {
        self.keys.as_deref()
    }

    /// Ciphertexts of one request.
    pub(crate) fn ciphertexts(&self) -> usize {
        self.plan.input().ciphertexts
    }

    /// Most rows of one request.
    pub(crate) const fn max_batch(&self) -> u32 {
        self.facts.max_batch_size
    }

    /// The one shape that every input of a request with this many rows must have. `None` for a batch that the layout
    /// does not take.
    pub(crate) fn input_shape(&self, batch: usize) -> Option<Shape> {
        let context = self.plan.parameters().context();
        let input = self.plan.input();
        match self.plan.layout() {
            hei_circuit::Layout::FeatureColumns => Some(Shape::ciphertext(context, input.level, input.scale)),
            hei_circuit::Layout::Coefficients => {
                let ranges =
                    hei_circuit::packing::request_ranges(input.degree, self.plan.dimension(), batch).ok()?;
                Some(Shape::coefficient_request(context, &ranges, input.scale))
            }
        }
    }

    fn output_shape(&self, batch: usize) -> Option<Shape> {
        let context = self.plan.parameters().context();
        let output = self.plan.output();
        match output.reply_modulus_bits {
            None => Some(Shape::ciphertext(context, output.level, output.scale).unseeded()),
            Some(bits) => {
                let ranges =
                    hei_circuit::packing::reply_ranges(output.degree, self.plan.dimension(), batch).ok()?;
                Some(Shape::coefficient_reply(context, &ranges, bits, output.scale))
            }
        }
    }

    /// The octets that the decoded inputs of a request with this many rows take in memory.
    pub(crate) fn input_bytes(&self, batch: usize) -> u64 {
        let input = self.plan.input();
        let words = match self.plan.layout() {
            hei_circuit::Layout::FeatureColumns => {
                [input.ciphertexts, input.parts, input.level.saturating_add(1), input.degree]
                    .into_iter()
                    .fold(1, usize::saturating_mul)
            }
            hei_circuit::Layout::Coefficients => self.plan.dimension().saturating_mul(batch),
        };
        (words as u64).saturating_mul(8)
    }

    /// The octets a payload of this shape has at most, and a little more.
    pub(crate) fn max_input_bytes(&self, shape: &Shape) -> u64 {
        self.longest(shape).saturating_add(NEAR_MISS)
    }

    /// The octets a result for this many rows has at most.
    pub(crate) fn max_result_bytes(&self, batch: usize) -> u64 {
        self.output_shape(batch).map_or(0, |shape| self.longest(&shape))
    }

    fn longest(&self, shape: &Shape) -> u64 {
        [Format::Hei, Format::Seal]
            .into_iter()
            .filter(|format| self.facts.takes(format.as_str()))
            .map(|format| shape.max_encoded_len(format))
            .max()
            .unwrap_or(0)
    }
}

impl RegistryError {
    fn of(source: &ModelSource, category: &'static str, field: &str, message: String) -> Self {
        Self { file: source.name.clone(), category, field: field.to_owned(), message }
    }
}

fn circuit_layout(layout: Layout) -> Option<hei_circuit::Layout> {
    match layout {
        Layout::FeatureColumns => Some(hei_circuit::Layout::FeatureColumns),
        Layout::Coefficients => Some(hei_circuit::Layout::Coefficients),
        Layout::Packed => None,
    }
}
