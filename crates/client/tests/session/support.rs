//! A server without HTTP: the reference models, evaluated on what a session writes.

use hei_circuit::{Inputs, Layout, ModelFile, Output, file};
use hei_client::session::{Encoding, Format};
use hei_protocol::manifest::Manifest;
use hei_protocol::messages::{BodyFormat, InferRequest, ModelCard, to_json};
use hei_wire::{Input, Shape, decode_inputs, hei, seal};

pub(crate) const LOGISTIC: &[u8] = include_bytes!("../../../../models/logistic_v1.hei");
pub(crate) const BREAST_CANCER: &[u8] = include_bytes!("../../../../models/breast_cancer_v1.hei");

pub(crate) struct Model {
    pub(crate) file: ModelFile,
    pub(crate) manifest: Manifest,
    pub(crate) card: ModelCard,
}

impl Model {
    pub(crate) fn open(bytes: &[u8]) -> Self {
        let file = ModelFile::decode(bytes).unwrap();
        let manifest = Manifest::from_json(file.manifest().as_bytes()).unwrap();
        let digest = hei_protocol::encoding::to_hex(&file::digest(bytes).unwrap());
        let card = ModelCard::new(&manifest, &digest);
        Self { file, manifest, card }
    }

    pub(crate) fn card_json(&self) -> Vec<u8> {
        to_json(&self.card)
    }

    /// The registry polynomial in the clear, of rows that are already scaled.
    pub(crate) fn values(&self, rows: &[Vec<f64>]) -> Vec<f64> {
        let linear = self.manifest.entry.parameters.as_ref().unwrap();
        let [c0, c1, c2] = self.manifest.entry.activation_parameters.as_ref().unwrap().coefficients;
        let value = |row: &Vec<f64>| {
            let z = row.iter().zip(&linear.weights).map(|(x, w)| x * w).sum::<f64>() + linear.bias;
            c0 + z * (c1 + z * c2)
        };
        rows.iter().map(value).collect()
    }

    /// What the server answers to a request body: decoded under every rule, evaluated, encoded in the same
    /// format.
    pub(crate) fn answer(&self, body: &[u8], media: BodyFormat) -> Vec<u8> {
        let request = InferRequest::parse(media, body, None).unwrap();
        assert_eq!(request.model_id, self.card.model_id);
        let layout: Layout = request.layout.as_deref().unwrap().parse().unwrap();
        let batch = request.batch_size as usize;
        let plan = self.file.plan(layout).unwrap();
        let context = plan.parameters().context();
        let payloads: Vec<Vec<u8>> =
            request.inputs.iter().map(|i| i.decode().unwrap().into_owned()).collect();
        let shape = match layout {
            Layout::FeatureColumns => Shape::ciphertext(context, plan.input().level, plan.input().scale),
            Layout::Coefficients => {
                let ranges =
                    hei_circuit::packing::request_ranges(context.degree(), plan.dimension(), batch).unwrap();
                Shape::coefficient_request(context, &ranges, plan.input().scale)
            }
        };
        let (format, decoded) = decode_inputs(payloads, &shape).unwrap();
        let mut slots = Vec::new();
        let mut coefficients = None;
        for input in decoded {
            match input {
                Input::Slots(ciphertext) => slots.push(ciphertext),
                Input::Coefficients(ciphertext) => coefficients = Some(ciphertext),
            }
        }
        let inputs = coefficients.map_or(Inputs::Slots(slots), Inputs::Coefficients);
        match (plan.run(inputs, batch, &|| false).unwrap(), format) {
            (Output::Slots(ciphertext), Format::Hei) => hei::encode_ciphertext(&ciphertext, context).unwrap(),
            (Output::Slots(ciphertext), Format::Seal) => {
                seal::encode_ciphertext(&ciphertext, context).unwrap()
            }
            (Output::Coefficients(reply), _) => hei::encode_reply(&reply, context).unwrap(),
            _ => unreachable!("an output this test does not know"),
        }
    }
}

/// Rows over the whole scaled range of [-1, 1], the same in every run.
pub(crate) fn rows(count: usize, dimension: usize) -> Vec<Vec<f64>> {
    let number = |row: usize, column: usize| ((row * 31 + column * 17 + 5) as f64 * 0.618_033_988_749).sin();
    (0..count).map(|row| (0..dimension).map(|column| number(row, column)).collect()).collect()
}

/// Every way a request can be written.
pub(crate) const WRITTEN: [(Layout, Format, Encoding); 7] = [
    (Layout::FeatureColumns, Format::Hei, Encoding::Binary),
    (Layout::FeatureColumns, Format::Hei, Encoding::Base64),
    (Layout::FeatureColumns, Format::Seal, Encoding::Binary),
    (Layout::FeatureColumns, Format::Seal, Encoding::Hex),
    (Layout::Coefficients, Format::Hei, Encoding::Binary),
    (Layout::Coefficients, Format::Hei, Encoding::Base64),
    (Layout::Coefficients, Format::Hei, Encoding::Hex),
];
