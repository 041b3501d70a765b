//! What a model card promises for one layout, once everything in it that can be checked has been.

use hei_ckks::{Parameters, ParametersError};
use hei_protocol::ids::{ModelId, ModelVersion};
use hei_protocol::manifest::{InputDescription, Layout as CardLayoutName};
use hei_protocol::messages::card::{
    CardLayout, FORMAT_HEI, FORMAT_SEAL, Form, ModelCard, OutputValue, PostProcessing,
};
use hei_protocol::messages::{MessageError, from_json};
use hei_wire::Format;

use super::{Feature, Layout, SessionError};

/// No model that this program can use has more features.
const MAX_DIMENSION: usize = 65_536;

/// Why a model card is not used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// Not a card.
    #[error("not a model card: {0}")]
    Message(#[from] MessageError),
    /// A later protocol or another scheme.
    #[error("protocol {api_version} with scheme {he_scheme}: this program speaks 1.x with CKKS")]
    Protocol {
        /// The version on the card.
        api_version: String,
        /// The scheme on the card.
        he_scheme: String,
    },
    /// The model does not have the layout.
    #[error("the model has no {layout} layout; it has: {offered}")]
    Layout {
        /// The layout that was asked for.
        layout: Layout,
        /// What the card offers.
        offered: String,
    },
    /// Weak, or no parameters at all.
    #[error("its parameters are refused: {0}")]
    Parameters(#[from] ParametersError),
    /// The announced identity is of other parameters.
    #[error("params_id on the card is not that of its primes, which is {computed}")]
    ParamsId {
        /// What the primes give.
        computed: String,
    },
    /// Evaluation keys, which this release does not make.
    #[error("the layout asks for evaluation keys, which this release does not make")]
    EvaluationKeys,
    /// A member contradicts another, or what the layout is.
    #[error("{member} is inconsistent: {expected}")]
    Inconsistent {
        /// The member.
        member: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
}

/// The checked facts of one model and layout.
#[derive(Clone, Debug)]
pub struct Terms {
    model_id: ModelId,
    version: ModelVersion,
    model_digest: String,
    layout: Layout,
    features: Vec<Feature>,
    labels: Vec<String>,
    parameters: Parameters,
    hei: bool,
    seal: bool,
    max_batch: usize,
    input_level: usize,
    input_scale: f64,
    output_level: usize,
    output_scale: f64,
    reply_modulus_bits: Option<u32>,
    output_bound: f64,
    expected_error: f64,
    post_processing: PostProcessing,
}

fn inconsistent(member: &'static str, expected: &'static str) -> CardError {
    CardError::Inconsistent { member, expected }
}

fn ensure(holds: bool, member: &'static str, expected: &'static str) -> Result<(), CardError> {
    if holds { Ok(()) } else { Err(inconsistent(member, expected)) }
}

impl Terms {
    /// Reads a card (JSON) and checks it for one layout.
    ///
    /// # Errors
    /// [`CardError`] for whatever does not hold.
    pub fn from_card(card: &[u8], layout: Layout) -> Result<Self, CardError> {
        Self::new(&from_json(card)?, layout)
    }

    /// Checks a card for one layout.
    ///
    /// # Errors
    /// As [`Terms::from_card`].
    pub fn new(card: &ModelCard, layout: Layout) -> Result<Self, CardError> {
        if card.he_scheme != "CKKS" || card.api_version.split('.').next() != Some("1") {
            let (api_version, he_scheme) = (shown(&card.api_version), shown(&card.he_scheme));
            return Err(CardError::Protocol { api_version, he_scheme });
        }
        let name = match layout {
            Layout::FeatureColumns => CardLayoutName::FeatureColumns,
            Layout::Coefficients => CardLayoutName::Coefficients,
        };
        let facts = card.layout(name).ok_or_else(|| CardError::Layout {
            layout,
            offered: card.layouts.iter().map(|l| l.layout.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        let dimension = card.inference.input_dimension as usize;
        ensure((1..=MAX_DIMENSION).contains(&dimension), "input_dimension", "1 to 65536")?;
        ensure(card.inference.output_dimension == 1, "output_dimension", "1 in this release")?;
        let keys = &facts.evaluation_keys;
        if keys.required || keys.relinearization || !keys.galois_elements.is_empty() {
            return Err(CardError::EvaluationKeys);
        }
        let parameters = parameters(facts)?;
        check_shape(facts, layout, dimension, &parameters)?;
        let capacity = layout.capacity(parameters.context().degree(), dimension);
        let max_batch = (facts.max_batch_size.min(facts.input.rows_per_request) as usize).min(capacity);
        ensure(max_batch >= 1, "max_batch_size", "at least one row")?;
        Ok(Self {
            model_id: card.model_id.clone(),
            version: card.version.clone(),
            model_digest: card.model_digest.clone(),
            layout,
            features: features(card.inputs.as_ref(), dimension)?,
            labels: card.outputs.as_ref().map_or_else(Vec::new, |outputs| outputs.labels.clone()),
            hei: facts.takes(FORMAT_HEI),
            seal: facts.takes(FORMAT_SEAL) && layout == Layout::FeatureColumns,
            max_batch,
            input_level: facts.input.level as usize,
            input_scale: facts.input.scale,
            output_level: facts.output.level as usize,
            output_scale: facts.output.scale,
            reply_modulus_bits: facts.output.reply_modulus_bits,
            output_bound: facts.output_bound,
            expected_error: facts.expected_error,
            post_processing: facts.post_processing.clone(),
            parameters,
        })
    }

    /// The model.
    pub fn model_id(&self) -> &ModelId {
        &self.model_id
    }

    /// Its version.
    pub fn version(&self) -> &ModelVersion {
        &self.version
    }

    /// SHA-256 of the served model file, as the server names it: pin it to notice a swap.
    pub fn model_digest(&self) -> &str {
        &self.model_digest
    }

    /// The layout.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The features, in order.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// How many features there are.
    pub fn dimension(&self) -> usize {
        self.features.len()
    }

    /// Names of the classes below and from 0.5, if the card gives two.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The parameters, recomputed from the announced primes.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Most rows of one request.
    pub fn max_batch(&self) -> usize {
        self.max_batch
    }

    /// Largest expected absolute error of the model's value.
    pub fn expected_error(&self) -> f64 {
        self.expected_error
    }

    /// Whether requests may be in this format.
    pub fn takes(&self, format: Format) -> bool {
        match format {
            Format::Hei => self.hei,
            Format::Seal => self.seal,
        }
    }

    pub(super) fn check_format(&self, format: Format) -> Result<(), SessionError> {
        if self.takes(format) {
            return Ok(());
        }
        let offered = match (self.hei, self.seal) {
            (true, false) => FORMAT_HEI,
            (false, true) => FORMAT_SEAL,
            _ => "none that this program writes",
        };
        Err(SessionError::Format { layout: self.layout, format, offered })
    }

    pub(super) fn input_level(&self) -> usize {
        self.input_level
    }

    pub(super) fn input_scale(&self) -> f64 {
        self.input_scale
    }

    pub(super) fn output_level(&self) -> usize {
        self.output_level
    }

    pub(super) fn output_scale(&self) -> f64 {
        self.output_scale
    }

    pub(super) fn reply_modulus_bits(&self) -> Option<u32> {
        self.reply_modulus_bits
    }

    /// Largest magnitude an honest reply decrypts to, its error included.
    pub(super) fn output_bound(&self) -> f64 {
        self.output_bound
    }

    /// The model's value from what was decrypted.
    pub(super) fn post_process(&self, value: f64) -> f64 {
        self.post_processing.apply(value)
    }
}

/// Exact parameters from the announced primes: prime, 1 modulo 2N, distinct, within the security table, and
/// of the announced identity.
fn parameters(facts: &CardLayout) -> Result<Parameters, CardError> {
    let announced = &facts.parameters;
    let degree = usize::try_from(announced.poly_modulus_degree)
        .map_err(|_| inconsistent("poly_modulus_degree", "a power of two, 1024 to 65536"))?;
    let primes = |list: &[String], member| -> Result<Vec<u64>, CardError> {
        ensure(list.len() <= 64, member, "at most 64 primes")?;
        let decimal = |text: &String| {
            let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
            text.parse::<u64>().ok().filter(|_| plain).ok_or_else(|| inconsistent(member, "decimal primes"))
        };
        list.iter().map(decimal).collect()
    };
    let data = primes(&announced.coeff_modulus, "coeff_modulus")?;
    let special = primes(&announced.special_modulus, "special_modulus")?;
    let parameters = Parameters::from_primes(degree, &data, &special, facts.input.scale)?;
    let computed = parameters.context().params_id().to_string();
    if announced.params_id != computed {
        return Err(CardError::ParamsId { computed });
    }
    Ok(parameters)
}

fn check_shape(
    facts: &CardLayout,
    layout: Layout,
    dimension: usize,
    parameters: &Parameters,
) -> Result<(), CardError> {
    let context = parameters.context();
    let (input, output) = (&facts.input, &facts.output);
    let exact = |x: f64| x.is_finite() && x > 0.0;
    ensure(
        input.ciphertexts as usize == layout.ciphertexts(dimension),
        "input.ciphertexts",
        "that of the layout",
    )?;
    ensure(input.level as usize <= context.max_level(), "input.level", "within the data primes")?;
    ensure(output.level <= input.level, "output.level", "not above the input")?;
    ensure(output.parts == 2, "output.parts", "2")?;
    ensure(exact(output.scale), "output.scale", "a positive number")?;
    ensure(exact(facts.output_bound), "output_bound", "a positive number")?;
    ensure(exact(facts.expected_error), "expected_error", "a positive number")?;
    let step = u32::try_from(dimension).unwrap_or(u32::MAX);
    let (form, place) = match layout {
        Layout::FeatureColumns => (Form::Ntt, (0, 1)),
        Layout::Coefficients => (Form::Coefficient, (step - 1, step)),
    };
    ensure(input.form == form && output.form == form, "form", "that of the layout")?;
    let positions = (output.positions.start, output.positions.step);
    ensure(positions == place, "output.positions", "where the layout puts rows")?;
    match (layout, output.reply_modulus_bits) {
        (Layout::FeatureColumns, None) => {}
        (Layout::Coefficients, Some(bits)) => {
            let lone = context.data_count() == 1 && context.special_count() == 0;
            ensure(lone, "coeff_modulus", "one prime for coefficients")?;
            let below = context.data_moduli().next().is_some_and(|q| bits < q.bits());
            ensure((1..=62).contains(&bits) && below, "reply_modulus_bits", "below the prime")?;
        }
        _ => return Err(inconsistent("reply_modulus_bits", "present for coefficients only")),
    }
    match (&facts.post_processing, facts.value) {
        (PostProcessing::None, OutputValue::Activation) => Ok(()),
        (PostProcessing::Polynomial { coefficients }, OutputValue::Linear) => ensure(
            (1..=3).contains(&coefficients.len()) && coefficients.iter().all(|c| c.is_finite()),
            "post_processing",
            "one to three numbers",
        ),
        _ => Err(inconsistent("post_processing", "a polynomial exactly for a linear value")),
    }
}

fn features(inputs: Option<&InputDescription>, dimension: usize) -> Result<Vec<Feature>, CardError> {
    let none = InputDescription::default();
    let inputs = inputs.unwrap_or(&none);
    let column = |list: &Option<Vec<f64>>, default: f64, member| -> Result<Vec<f64>, CardError> {
        let list = list.clone().unwrap_or_else(|| vec![default; dimension]);
        ensure(list.len() == dimension, member, "one number per feature")?;
        Ok(list)
    };
    let names = match &inputs.names {
        Some(names) => names.iter().map(|name| shown(name)).collect(),
        None => (1..=dimension).map(|index| format!("x{index}")).collect::<Vec<_>>(),
    };
    ensure(names.len() == dimension, "inputs.names", "one name per feature")?;
    let offset = column(&inputs.offset, 0.0, "inputs.offset")?;
    let factor = column(&inputs.factor, 1.0, "inputs.factor")?;
    let minimum = column(&inputs.minimum, f64::MIN, "inputs.minimum")?;
    let maximum = column(&inputs.maximum, f64::MAX, "inputs.maximum")?;
    ensure(offset.iter().all(|x| x.is_finite()), "inputs.offset", "finite numbers")?;
    ensure(
        factor.iter().all(|x| x.is_finite() && *x != 0.0),
        "inputs.factor",
        "finite numbers other than 0",
    )?;
    let ordered = minimum.iter().zip(&maximum).all(|(a, b)| a.is_finite() && b.is_finite() && a <= b);
    ensure(ordered, "inputs.minimum", "finite and not above inputs.maximum")?;
    let rows = names.into_iter().zip(offset).zip(factor).zip(minimum.into_iter().zip(maximum));
    Ok(rows
        .map(|(((name, offset), factor), (minimum, maximum))| Feature {
            name,
            offset,
            factor,
            minimum,
            maximum,
        })
        .collect())
}

/// Text of the card, safe to print: what is not a plain character is escaped, and it is cut.
fn shown(text: &str) -> String {
    let escape = |c: char| {
        if c.is_alphanumeric() || (c.is_ascii() && !c.is_ascii_control()) {
            c.to_string()
        } else {
            c.escape_unicode().to_string()
        }
    };
    text.chars().take(80).map(escape).collect()
}
