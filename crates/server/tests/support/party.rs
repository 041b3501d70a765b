//! A party with a key: encrypts rows for a model's layout, decrypts what comes back.

use std::sync::Arc;

use hei_circuit::{Layout, ModelFile, Plan, packing};
use hei_ckks::{Ciphertext, Context, Encoder, OsRandomness, SecretKey};
use hei_protocol::manifest::{Layout as LayoutName, Manifest};
use hei_protocol::messages::card::CardLayout;
use hei_protocol::messages::{BodyFormat, InferRequest, Input};
use hei_protocol::{Encoding, ModelId, ModelVersion};
use hei_wire::{Format, Shape};

pub struct Party {
    pub model_id: ModelId,
    pub version: ModelVersion,
    pub plan: Plan,
    pub facts: CardLayout,
    pub manifest: Manifest,
    pub key: SecretKey,
}

impl Party {
    pub fn new(model_file: &[u8], layout: Layout) -> Self {
        let file = ModelFile::decode(model_file).unwrap();
        let plan = file.plan(layout).unwrap().clone();
        let key = SecretKey::generate(plan.parameters().context(), &mut OsRandomness).unwrap();
        Self::with_key(&file, layout, key)
    }

    pub fn with_key(file: &ModelFile, layout: Layout, key: SecretKey) -> Self {
        let manifest = Manifest::from_json(file.manifest().as_bytes()).unwrap();
        let name = match layout {
            Layout::FeatureColumns => LayoutName::FeatureColumns,
            Layout::Coefficients => LayoutName::Coefficients,
        };
        Self {
            model_id: manifest.entry.model_id.clone(),
            version: manifest.entry.version.clone(),
            plan: file.plan(layout).unwrap().clone(),
            facts: manifest.layout(name).unwrap().clone(),
            manifest,
            key,
        }
    }

    pub fn context(&self) -> &Arc<Context> {
        self.plan.parameters().context()
    }

    /// `count` rows of plausible features, different for every `salt`.
    pub fn rows(&self, count: usize, salt: u32) -> Vec<Vec<f64>> {
        let value = |row: usize, feature: usize| {
            ((row * 31 + feature * 7 + salt as usize * 13) % 41) as f64 / 20.0 - 1.0
        };
        (0..count)
            .map(|row| (0..self.plan.dimension()).map(|feature| value(row, feature)).collect())
            .collect()
    }

    /// One ciphertext per feature, seeded.
    pub fn columns(&self, rows: &[Vec<f64>]) -> Vec<Ciphertext> {
        let encoder = Encoder::new(self.context());
        let input = self.plan.input();
        packing::columns(rows, self.plan.dimension())
            .unwrap()
            .iter()
            .map(|column| encoder.encode(column, input.level, input.scale).unwrap())
            .map(|plaintext| self.key.encrypt(&plaintext, &mut OsRandomness).unwrap())
            .collect()
    }

    /// The payload octets of a request.
    pub fn payloads(&self, rows: &[Vec<f64>], format: Format) -> Vec<Vec<u8>> {
        let context = self.context();
        match self.plan.layout() {
            Layout::FeatureColumns => self
                .columns(rows)
                .iter()
                .map(|ciphertext| match format {
                    Format::Hei => hei_wire::hei::encode_ciphertext(ciphertext, context).unwrap(),
                    Format::Seal => hei_wire::seal::encode_ciphertext(ciphertext, context).unwrap(),
                })
                .collect(),
            Layout::Coefficients => {
                let input = self.plan.input();
                let ranges =
                    packing::request_ranges(input.degree, self.plan.dimension(), rows.len()).unwrap();
                let values = packing::coefficients(rows, self.plan.dimension()).unwrap();
                let ciphertext = hei_ckks::coefficients::encrypt(
                    &self.key,
                    &values,
                    &ranges,
                    input.scale,
                    &mut OsRandomness,
                );
                vec![hei_wire::hei::encode_request(&ciphertext.unwrap(), context).unwrap()]
            }
        }
    }

    /// A whole request body.
    pub fn body(&self, payloads: &[Vec<u8>], batch: usize, encoding: Encoding) -> Vec<u8> {
        let inputs = payloads.iter().map(|payload| match encoding {
            Encoding::Binary => Input::binary(payload.as_slice()),
            text => Input::text(text, payload),
        });
        let batch = u32::try_from(batch).unwrap();
        let mut request = InferRequest::new(self.model_id.clone(), &self.version, batch, inputs.collect());
        request.layout = Some(self.facts.layout.to_string());
        request.write(body_format(encoding)).unwrap()
    }

    /// The model's values for the rows, from a reply's octets.
    pub fn values(&self, reply: &[u8], format: Format, batch: usize) -> Vec<f64> {
        let context = self.context();
        let output = self.plan.output();
        let values = match self.plan.layout() {
            Layout::FeatureColumns => {
                let shape = Shape::ciphertext(context, output.level, output.scale).unseeded();
                let ciphertext = match format {
                    Format::Hei => hei_wire::hei::decode_ciphertext(reply, &shape),
                    Format::Seal => hei_wire::seal::decode_ciphertext(reply, &shape),
                };
                let plaintext = self.key.decrypt(&ciphertext.unwrap()).unwrap();
                Encoder::new(context).decode(&plaintext)
            }
            Layout::Coefficients => {
                let ranges = packing::reply_ranges(output.degree, self.plan.dimension(), batch).unwrap();
                let bits = output.reply_modulus_bits.unwrap();
                let shape = Shape::coefficient_reply(context, &ranges, bits, output.scale);
                let reply = hei_wire::hei::decode_reply(reply, &shape).unwrap();
                hei_ckks::coefficients::decrypt(&self.key, &reply).unwrap()
            }
        };
        values.into_iter().take(batch).map(|value| self.facts.post_processing.apply(value)).collect()
    }

    /// The model's values in the clear: the registry polynomial of w.x + b.
    pub fn expected(&self, rows: &[Vec<f64>]) -> Vec<f64> {
        let entry = &self.manifest.entry;
        let linear = entry.parameters.as_ref().unwrap();
        let [c0, c1, c2] = entry.activation_parameters.as_ref().unwrap().coefficients;
        rows.iter()
            .map(|row| row.iter().zip(&linear.weights).map(|(x, w)| x * w).sum::<f64>() + linear.bias)
            .map(|z| c0 + c1 * z + c2 * z * z)
            .collect()
    }
}

pub fn body_format(encoding: Encoding) -> BodyFormat {
    if encoding == Encoding::Binary { BodyFormat::Cbor } else { BodyFormat::Json }
}

pub fn largest_difference(left: &[f64], right: &[f64]) -> f64 {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}
