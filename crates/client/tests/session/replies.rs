//! Replies from a server that lies: one error, the same for every lie.

use crate::support::{BREAST_CANCER, LOGISTIC, Model, rows};
use hei_ckks::{Ciphertext, Encoder, Evaluator, OsRandomness, SecretKey};
use hei_client::keyfile;
use hei_client::session::{Encoding, Format, Layout, Pending, RequestOptions, Session, SessionError, Terms};
use hei_wire::{Shape, hei, seal};

/// A client whose key the test knows, so that it can play the server that lies best.
struct Setting {
    model: Model,
    session: Session,
    terms: Terms,
    key: SecretKey,
    layout: Layout,
}

impl Setting {
    fn new(layout: Layout) -> Self {
        let model = Model::open(LOGISTIC);
        let card = model.card_json();
        let terms = Terms::from_card(&card, layout).unwrap();
        let context = terms.parameters().context();
        let key = SecretKey::generate(context, &mut OsRandomness).unwrap();
        let file = keyfile::write(&key, context, None, &mut OsRandomness).unwrap();
        let session = Session::with_secret_key(&card, layout, &file, None).unwrap();
        Self { model, session, terms, key, layout }
    }

    fn pending(&self, format: Format) -> Pending {
        self.session.pending(self.session.key(&mut OsRandomness).unwrap(), 2, format).unwrap()
    }

    /// The honest reply to a request of two rows.
    fn honest(&self, format: Format) -> Vec<u8> {
        let key = self.session.key(&mut OsRandomness).unwrap();
        let options = RequestOptions { format, encoding: Encoding::Binary };
        let (request, _) = self.session.encrypt(key, &rows(2, 8), options, &mut OsRandomness).unwrap();
        self.model.answer(&request.body, request.media)
    }

    fn refuses(&self, format: Format, reply: &[u8], lie: &str) {
        match self.session.decrypt(self.pending(format), reply) {
            Err(error @ SessionError::Reply) => assert_eq!(
                error.to_string(),
                "the reply is not acceptable: it is not what this model answers to this request"
            ),
            Err(other) => panic!("{lie}: another error tells the server something: {other}"),
            Ok(_) => panic!("{} {format:?}: {lie} was accepted", self.layout),
        }
    }

    fn shape(&self) -> Shape {
        let facts = self.model.card.layouts.iter().find(|l| l.layout.as_str() == self.layout.name()).unwrap();
        let context = self.terms.parameters().context();
        Shape::ciphertext(context, facts.output.level as usize, facts.output.scale)
    }
}

#[test]
fn an_honest_reply_is_accepted() {
    for (layout, format) in [
        (Layout::FeatureColumns, Format::Hei),
        (Layout::FeatureColumns, Format::Seal),
        (Layout::Coefficients, Format::Hei),
    ] {
        let setting = Setting::new(layout);
        let scores = setting.session.decrypt(setting.pending(format), &setting.honest(format)).unwrap();
        for (value, clear) in scores.reveal().iter().zip(setting.model.values(&rows(2, 8))) {
            assert!((value - clear).abs() < 1e-3);
        }
    }
}

#[test]
fn bytes_that_are_not_exactly_the_announced_container_are_refused() {
    for (layout, format) in [
        (Layout::FeatureColumns, Format::Hei),
        (Layout::FeatureColumns, Format::Seal),
        (Layout::Coefficients, Format::Hei),
    ] {
        let setting = Setting::new(layout);
        let honest = setting.honest(format);
        setting.refuses(format, &[], "nothing");
        for cut in [1, 4, 16, 71, honest.len() / 2, honest.len() - 1] {
            setting.refuses(format, &honest[..cut], "a cut reply");
        }
        let longer = [honest.as_slice(), &[0]].concat();
        setting.refuses(format, &longer, "a trailing byte");
        // Every header byte: magic, version, kind, params id, degree, limbs, parts, scale, form, lengths,
        // ranges.
        let header = if format == Format::Hei { 72 } else { 97 };
        for at in 0..header {
            let mut other = honest.clone();
            other[at] ^= 0x41;
            if let Ok(scores) = setting.session.decrypt(setting.pending(format), &other) {
                // A SEAL stream's minor version has several legal values; what it holds stays the same.
                let clear = setting.model.values(&rows(2, 8));
                let same = scores.reveal().iter().zip(clear).all(|(v, c)| (v - c).abs() < 1e-3);
                assert!(same && format == Format::Seal, "{layout} {format:?}: header byte {at} was changed");
            }
        }
        let foreign = if format == Format::Hei { Format::Seal } else { Format::Hei };
        if setting.terms.takes(foreign) {
            setting.refuses(foreign, &honest, "a reply in the other format");
        }
    }
}

#[test]
fn a_request_sent_back_another_model_or_a_key_is_refused() {
    let setting = Setting::new(Layout::FeatureColumns);
    let context = setting.terms.parameters().context();
    let encoder = Encoder::new(context);
    let plain = encoder.encode(&[0.5, 0.5], context.max_level(), context.scale()).unwrap();
    let fresh = setting.key.encrypt(&plain, &mut OsRandomness).unwrap();
    setting.refuses(Format::Hei, &hei::encode_ciphertext(&fresh, context).unwrap(), "a fresh ciphertext");
    let list = hei::encode_list(&[fresh], context).unwrap();
    setting.refuses(Format::Hei, &list, "a list");
    setting.refuses(Format::Hei, &hei::encode_secret_key(&setting.key, context).unwrap(), "a secret key");
    let public = setting.key.public_key(&mut OsRandomness).unwrap();
    setting.refuses(Format::Hei, &hei::encode_public_key(&public, context).unwrap(), "a public key");

    let other = Model::open(BREAST_CANCER);
    let session = Session::new(&other.card_json(), Layout::FeatureColumns).unwrap();
    let key = session.key(&mut OsRandomness).unwrap();
    let middle: Vec<f64> = session.terms().features().iter().map(|f| f.offset).collect();
    let (request, _) = session.encrypt(key, &[middle], RequestOptions::default(), &mut OsRandomness).unwrap();
    setting.refuses(Format::Hei, &other.answer(&request.body, request.media), "another model's reply");
}

/// An honest ciphertext's parts, with its own scale and level, ready to be tampered with.
fn opened(setting: &Setting) -> Ciphertext {
    hei::decode_ciphertext(&setting.honest(Format::Hei), &setting.shape()).unwrap()
}

#[test]
fn ciphertexts_of_the_right_shape_with_the_wrong_content_are_refused() {
    let setting = Setting::new(Layout::FeatureColumns);
    let context = setting.terms.parameters().context();
    let evaluator = Evaluator::new(context);
    let honest = opened(&setting);
    let parts = honest.parts();
    let write = |ciphertext: &Ciphertext| {
        let full = hei::encode_ciphertext_full(ciphertext, context).unwrap();
        (full, seal::encode_ciphertext(ciphertext, context).unwrap())
    };
    let zero = evaluator.sub(&honest, &honest).unwrap();
    let nothing = &zero.parts()[0];
    let polynomials = [nothing, &parts[0], &parts[1]];
    // Picks both parts from nothing (0), c_0 (1) and c_1 (2).
    let with = |c0: usize, c1: usize, scale: f64| {
        Ciphertext::new(context, vec![polynomials[c0].clone(), polynomials[c1].clone()], scale).unwrap()
    };
    let scale = honest.scale();
    let lies = [
        // (0, B): decrypts to B·s, whose slots would reveal the key if they ever went back.
        ("(0, c_1)", with(0, 2, scale)),
        ("(c_0, c_0)", with(1, 1, scale)),
        ("c_1 = 0", with(1, 0, scale)),
        ("all zero", with(0, 0, scale)),
        ("twice the scale", with(1, 2, 2.0 * scale)),
        ("a scale one unit off", with(1, 2, f64::from_bits(scale.to_bits() + 1))),
    ];
    for (lie, ciphertext) in &lies {
        let (own, seal) = write(ciphertext);
        setting.refuses(Format::Hei, &own, lie);
        setting.refuses(Format::Seal, &seal, lie);
    }

    // Encrypted under another key: noise of the modulus's size.
    let stranger = SecretKey::generate(context, &mut OsRandomness).unwrap();
    let encoder = Encoder::new(context);
    let encrypt = |values: &[f64], key: &SecretKey| {
        let plain = encoder.encode(values, honest.level(), scale).unwrap();
        write(&key.encrypt(&plain, &mut OsRandomness).unwrap()).0
    };
    let constant = vec![0.5; context.slots()];
    setting.refuses(Format::Hei, &encrypt(&constant, &stranger), "another key");
    // Under the right key (a server that can encrypt), but not what the model gives: out of bound, or where
    // nothing belongs. A value inside the bound in every slot is a lie no client can notice.
    let mut outside = constant.clone();
    outside[1] = 50.0;
    setting.refuses(Format::Hei, &encrypt(&outside, &setting.key), "a value out of bound");
    let mut marked = constant.clone();
    marked[5000] = 0.6;
    setting.refuses(Format::Hei, &encrypt(&marked, &setting.key), "a mark in an unused slot");
    let complex: Vec<(f64, f64)> = (0..context.slots()).map(|_| (0.5, 0.01)).collect();
    let plain = encoder.encode_complex(&complex, honest.level(), scale).unwrap();
    let imaginary = write(&setting.key.encrypt(&plain, &mut OsRandomness).unwrap()).0;
    setting.refuses(Format::Hei, &imaginary, "an imaginary part");
    // Seeded is for requests: a reply's mask comes in full.
    let plain = encoder.encode(&constant, honest.level(), scale).unwrap();
    let seeded = setting.key.encrypt(&plain, &mut OsRandomness).unwrap();
    setting.refuses(Format::Hei, &hei::encode_ciphertext(&seeded, context).unwrap(), "a seeded reply");
}

#[test]
fn coefficient_replies_of_the_right_shape_with_the_wrong_content_are_refused() {
    let setting = Setting::new(Layout::Coefficients);
    let context = setting.terms.parameters().context();
    let honest = setting.honest(Format::Hei);
    let bits = setting.model.card.layouts.iter().find_map(|l| l.output.reply_modulus_bits).unwrap();
    let ranges = hei_circuit::packing::reply_ranges(context.degree(), 8, 2).unwrap();
    let facts = setting.model.card.layouts.iter().find(|l| l.layout.as_str() == "coefficients").unwrap();
    let shape = Shape::coefficient_reply(context, &ranges, bits, facts.output.scale);
    let opened = hei::decode_reply(&honest, &shape).unwrap();

    let mut silent = opened.clone();
    silent.mask.fill(0);
    setting.refuses(Format::Hei, &hei::encode_reply(&silent, context).unwrap(), "a zero mask");
    // Half the modulus added to one value: as far from the truth as it gets.
    let mut far = opened.clone();
    far.values[1] ^= 1 << (bits - 1);
    setting.refuses(Format::Hei, &hei::encode_reply(&far, context).unwrap(), "a value out of bound");
    let mut louder = opened.clone();
    louder.scale *= 2.0;
    setting.refuses(Format::Hei, &hei::encode_reply(&louder, context).unwrap(), "twice the scale");
    let mut fewer = opened;
    fewer.ranges = hei_circuit::packing::reply_ranges(context.degree(), 8, 1).unwrap();
    fewer.values.truncate(1);
    setting.refuses(Format::Hei, &hei::encode_reply(&fewer, context).unwrap(), "one row of two");
}
