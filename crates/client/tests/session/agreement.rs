//! A session against the reference models: values agree, nothing but ciphertexts leaves, mistakes are named.

use crate::support::{BREAST_CANCER, LOGISTIC, Model, WRITTEN, rows};
use hei_ckks::{OsRandomness, SecretKey};
use hei_client::keyfile;
use hei_client::session::{Encoding, Format, Layout, RequestOptions, RowError, Session, SessionError, Terms};
use hei_protocol::messages::{Diagnostics, JobResult, ResultPayload};

fn hei() -> RequestOptions {
    RequestOptions::default()
}

/// Largest distance between what comes back and what the model gives in the clear.
fn error(model: &Model, session: &Session, rows: &[Vec<f64>], options: RequestOptions) -> f64 {
    let mut random = OsRandomness;
    let key = session.key(&mut random).unwrap();
    let (request, pending) = session.encrypt(key, rows, options, &mut random).unwrap();
    let reply = model.answer(&request.body, request.media);
    assert!(reply.len() as u64 <= session.reply_limit(&pending), "a transport may cut at the limit");
    let scores = session.decrypt(pending, &reply).unwrap();
    let clear = model.values(rows);
    assert_eq!(scores.len(), rows.len());
    scores.reveal().iter().zip(clear).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn every_layout_format_and_encoding_agrees_with_the_clear_model() {
    let model = Model::open(LOGISTIC);
    for (layout, format, encoding) in WRITTEN {
        let session = Session::new(&model.card_json(), layout).unwrap();
        for batch in [1, 16] {
            let worst = error(&model, &session, &rows(batch, 8), RequestOptions { format, encoding });
            let stated = session.terms().expected_error();
            assert!(worst <= stated, "{layout} {format:?} {encoding:?} batch {batch}: {worst} > {stated}");
            let promised = if layout == Layout::FeatureColumns { 5e-5 } else { 1e-3 };
            assert!(worst < promised, "{layout} batch {batch}: {worst}");
        }
    }
}

#[test]
fn a_full_batch_of_scaled_features_agrees() {
    let model = Model::open(BREAST_CANCER);
    for layout in [Layout::Coefficients, Layout::FeatureColumns] {
        let session = Session::new(&model.card_json(), layout).unwrap();
        let batch = session.terms().max_batch().min(200);
        let scaled = rows(batch, 30);
        let measured: Vec<Vec<f64>> = scaled
            .iter()
            .map(|row| {
                row.iter().zip(session.terms().features()).map(|(x, f)| x / f.factor + f.offset).collect()
            })
            .collect();
        let mut random = OsRandomness;
        let key = session.key(&mut random).unwrap();
        let (request, pending) = session.encrypt(key, &measured, hei(), &mut random).unwrap();
        let scores = session.decrypt(pending, &model.answer(&request.body, request.media)).unwrap();
        let worst =
            scores.reveal().iter().zip(model.values(&scaled)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst <= session.terms().expected_error(), "{layout}: {worst}");
    }
}

#[test]
fn requests_stay_within_their_budget() {
    let model = Model::open(LOGISTIC);
    let bytes = |layout: Layout| {
        let session = Session::new(&model.card_json(), layout).unwrap();
        let key = session.key(&mut OsRandomness).unwrap();
        let (request, pending) = session.encrypt(key, &rows(1, 8), hei(), &mut OsRandomness).unwrap();
        (request.payload_bytes, session.reply_limit(&pending))
    };
    let (up, down) = bytes(Layout::Coefficients);
    assert!(up <= 200 && down <= 9_000, "coefficients: {up} up, {down} down");
    let (up, _) = bytes(Layout::FeatureColumns);
    assert!(up <= 2_000_000, "feature_columns: {up} up");
}

#[test]
fn a_stored_key_opens_replies_and_a_public_key_only_encrypts() {
    let model = Model::open(LOGISTIC);
    let card = model.card_json();
    let terms = Terms::from_card(&card, Layout::FeatureColumns).unwrap();
    let context = terms.parameters().context();
    let key = SecretKey::generate(context, &mut OsRandomness).unwrap();
    let file = keyfile::write(&key, context, Some(b"open sesame"), &mut OsRandomness).unwrap();
    let public =
        hei_wire::hei::encode_public_key(&key.public_key(&mut OsRandomness).unwrap(), context).unwrap();

    let holder =
        Session::with_secret_key(&card, Layout::FeatureColumns, &file, Some(b"open sesame")).unwrap();
    assert!(error(&model, &holder, &rows(3, 8), hei()) <= terms.expected_error());
    let refused = Session::with_secret_key(&card, Layout::FeatureColumns, &file, Some(b"guess")).err();
    assert!(matches!(refused, Some(SessionError::Key(_))));
    // The coefficients layout has parameters of its own, so this key cannot be used there by mistake.
    let refused = Session::with_secret_key(&card, Layout::Coefficients, &file, Some(b"open sesame")).err();
    assert!(matches!(refused, Some(SessionError::Key(keyfile::KeyFileError::OtherParameters { .. }))));

    let sender = Session::with_public_key(&card, Layout::FeatureColumns, &public).unwrap();
    for format in [Format::Hei, Format::Seal] {
        let options = RequestOptions { format, encoding: Encoding::Binary };
        let key = sender.key(&mut OsRandomness).unwrap();
        let (request, pending) = sender.encrypt(key, &rows(2, 8), options, &mut OsRandomness).unwrap();
        let reply = model.answer(&request.body, request.media);
        assert!(matches!(sender.decrypt(pending, &reply), Err(SessionError::NoSecretKey)));
        let opened = holder.pending(holder.key(&mut OsRandomness).unwrap(), 2, format).unwrap();
        let scores = holder.decrypt(opened, &reply).unwrap();
        for (value, clear) in scores.reveal().iter().zip(model.values(&rows(2, 8))) {
            assert!((value - clear).abs() < 5e-5);
        }
    }
    let refused = Session::with_public_key(&card, Layout::Coefficients, &public).err();
    assert!(matches!(refused, Some(SessionError::SecretKeyNeeded(_))));
    let refused = Session::with_public_key(&card, Layout::FeatureColumns, &public[..public.len() - 1]).err();
    assert!(matches!(refused, Some(SessionError::Key(_))));
}

#[test]
fn rows_are_checked_before_anything_is_encrypted() {
    let model = Model::open(BREAST_CANCER);
    let session = Session::new(&model.card_json(), Layout::Coefficients).unwrap();
    let refuse = |rows: &[Vec<f64>]| {
        let key = session.key(&mut OsRandomness).unwrap();
        match session.encrypt(key, rows, hei(), &mut OsRandomness).err() {
            Some(SessionError::Rows(error)) => error,
            other => panic!("expected a row error, not {:?}", other.map(|e| e.to_string())),
        }
    };
    let middle: Vec<f64> = session.terms().features().iter().map(|feature| feature.offset).collect();
    let mut wild = middle.clone();
    wild[3] = 1e7;
    let message = refuse(&[middle.clone(), wild]).to_string();
    assert!(message.starts_with("row 2, feature 4 (mean_area): outside the model's range"), "{message}");
    assert!(!message.contains("10000000"), "the value itself is not repeated");
    let limit = session.terms().max_batch();
    let many = vec![middle.clone(); limit + 1];
    assert_eq!(refuse(&many), RowError::TooMany { rows: limit + 1, limit });
    assert!(matches!(refuse(&[middle[1..].to_vec()]), RowError::Length { expected: 30, actual: 29, .. }));
    assert!(matches!(refuse(&[]), RowError::Empty));
}

#[test]
fn seal_streams_are_not_offered_for_coefficients() {
    let model = Model::open(LOGISTIC);
    let session = Session::new(&model.card_json(), Layout::Coefficients).unwrap();
    let key = session.key(&mut OsRandomness).unwrap();
    let options = RequestOptions { format: Format::Seal, encoding: Encoding::Binary };
    let refused = session.encrypt(key, &rows(1, 8), options, &mut OsRandomness).err().unwrap();
    assert_eq!(refused.to_string(), "the coefficients layout is not offered in the seal format: use hei/1");
}

#[test]
fn what_a_server_says_of_a_result_must_be_about_this_request() {
    let model = Model::open(LOGISTIC);
    let session = Session::new(&model.card_json(), Layout::FeatureColumns).unwrap();
    let pending = || session.pending(session.key(&mut OsRandomness).unwrap(), 4, Format::Hei).unwrap();
    let honest = JobResult {
        model_id: model.card.model_id.clone(),
        version: model.card.version.clone(),
        params_id: model.card.layouts[0].parameters.params_id.clone(),
        evaluation_key_id: None,
        diagnostics: Diagnostics::whole(4),
        payload: ResultPayload::Inline(Vec::new()),
    };
    session.check_result(&pending(), &honest).unwrap();
    let mut truncated = Diagnostics::whole(4);
    truncated.batch_truncated = true;
    for lie in [
        JobResult { model_id: "other_v1".parse().unwrap(), ..honest.clone() },
        JobResult { version: "1.0.1".parse().unwrap(), ..honest.clone() },
        JobResult { params_id: "00".repeat(32), ..honest.clone() },
        JobResult { diagnostics: Diagnostics::whole(3), ..honest.clone() },
        JobResult { diagnostics: truncated, ..honest.clone() },
    ] {
        assert!(matches!(session.check_result(&pending(), &lie), Err(SessionError::Reply)), "{lie:?}");
    }
}

/// Every form in which a careless client could send a number.
fn patterns(value: f64) -> Vec<Vec<u8>> {
    let raw = [
        value.to_le_bytes().to_vec(),
        value.to_be_bytes().to_vec(),
        format!("{value}").into_bytes(),
        // A single has four bytes, which a megabyte of noise may well contain: only its text is looked for.
        format!("{}", value as f32).into_bytes(),
    ];
    let hex =
        raw[..2].iter().map(|bytes| hei_protocol::encoding::to_hex(bytes).into_bytes()).collect::<Vec<_>>();
    raw.into_iter().chain(hex).collect()
}

/// The needles that occur, found in one pass.
fn found<'n>(haystack: &[u8], needles: &'n [Vec<u8>]) -> Option<&'n [u8]> {
    let mut by_first: Vec<Vec<&[u8]>> = vec![Vec::new(); 256];
    needles.iter().for_each(|needle| by_first[usize::from(needle[0])].push(needle));
    (0..haystack.len()).find_map(|at| {
        let rest = &haystack[at..];
        by_first[usize::from(rest[0])].iter().find(|needle| rest.starts_with(needle)).copied()
    })
}

#[test]
fn nothing_secret_is_in_a_request() {
    let model = Model::open(LOGISTIC);
    let card = model.card_json();
    let canaries: Vec<f64> = (0..8).map(|i| 0.123_456_789_012 + f64::from(i) / 7.0).collect();
    for (layout, format, encoding) in WRITTEN {
        let terms = Terms::from_card(&card, layout).unwrap();
        let context = terms.parameters().context();
        let key = SecretKey::generate(context, &mut OsRandomness).unwrap();
        let file = keyfile::write(&key, context, None, &mut OsRandomness).unwrap();
        let session = Session::with_secret_key(&card, layout, &file, None).unwrap();
        let used = session.key(&mut OsRandomness).unwrap();
        let options = RequestOptions { format, encoding };
        let (request, _) =
            session.encrypt(used, std::slice::from_ref(&canaries), options, &mut OsRandomness).unwrap();
        // The payloads as octets too, whatever text they travel in.
        let parsed = hei_protocol::messages::InferRequest::parse(request.media, &request.body, None).unwrap();
        let mut seen = vec![request.body.clone()];
        seen.extend(parsed.inputs.iter().map(|input| input.decode().unwrap().into_owned()));

        let mut secrets: Vec<Vec<u8>> = canaries.iter().flat_map(|x| patterns(*x)).collect();
        // Sixteen octets from the middle of the key file, and of the coefficients as bytes and as words.
        let (middle, coefficients) = (file.len() / 2, &key.coefficients()[64..80]);
        secrets.push(file[middle..middle + 16].to_vec());
        secrets.push(coefficients.iter().map(|c| *c as u8).collect());
        secrets.push(coefficients.iter().flat_map(|c| i64::from(*c).to_le_bytes()).collect());
        secrets.push(key.ntt().limb(0)[64..66].iter().flat_map(|word| word.to_le_bytes()).collect());
        for bytes in &seen {
            let leak = found(bytes, &secrets);
            assert!(leak.is_none(), "{layout} {format:?} {encoding:?} carries {leak:02x?}");
        }
        // The search itself works: what is public is found.
        assert!(found(&request.body, &[b"logistic_v1".to_vec()]).is_some());
    }
}

#[test]
fn no_two_requests_share_a_mask_or_a_key() {
    let model = Model::open(LOGISTIC);
    let session = Session::new(&model.card_json(), Layout::Coefficients).unwrap();
    let make = || {
        let key = session.key(&mut OsRandomness).unwrap();
        session.encrypt(key, &rows(1, 8), hei(), &mut OsRandomness).unwrap()
    };
    let ((first, pending), (second, other)) = (make(), make());
    let octets = |body: &[u8]| {
        let request =
            hei_protocol::messages::InferRequest::parse(hei_client::session::BodyFormat::Cbor, body, None);
        request.unwrap().inputs[0].decode().unwrap().into_owned()
    };
    let (a, b) = (octets(&first.body), octets(&second.body));
    // Header and ranges are equal; the seed and the coefficients are not.
    let equal = a.iter().zip(&b).rev().take(40).filter(|(x, y)| x == y).count();
    assert!(equal < 10, "{equal} of the last 40 octets are equal");
    // A fresh key each: a reply opens with its own and with no other.
    let reply = model.answer(&first.body, first.media);
    let clear = model.values(&rows(1, 8))[0];
    let opened = session.decrypt(pending, &reply).unwrap();
    assert!((opened.reveal()[0] - clear).abs() < 1e-3);
    if let Ok(scores) = session.decrypt(other, &reply) {
        // One value can fall inside the bound by chance; it is not the value.
        assert!((scores.reveal()[0] - clear).abs() > 1e-6);
    }
}
