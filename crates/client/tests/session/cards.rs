//! Cards from a server that lies: each is refused before a key is made.

use crate::support::{LOGISTIC, Model};
use hei_client::session::{CardError, Layout, Session, SessionError};
use serde_json::{Value, json};

fn card() -> Value {
    serde_json::from_slice(&Model::open(LOGISTIC).card_json()).unwrap()
}

/// Index of a layout in the card's list.
fn index(card: &Value, layout: Layout) -> usize {
    card["layouts"].as_array().unwrap().iter().position(|l| l["layout"] == layout.name()).unwrap()
}

fn refusal(card: &Value, layout: Layout) -> Option<CardError> {
    match Session::new(&serde_json::to_vec(card).unwrap(), layout).err()? {
        SessionError::Card(error) => Some(error),
        other => panic!("not a card error: {other}"),
    }
}

/// Changes one member of a layout's facts and returns what is said to it.
fn changed(layout: Layout, pointer: &str, value: Value) -> CardError {
    let mut card = card();
    let pointer = format!("/layouts/{}{pointer}", index(&card, layout));
    let member = card.pointer_mut(&pointer).unwrap_or_else(|| panic!("no {pointer} on the card"));
    assert_ne!(*member, value, "{pointer}: the change must be one");
    *member = value.clone();
    refusal(&card, layout).unwrap_or_else(|| panic!("{pointer} = {value} was accepted"))
}

#[test]
fn an_honest_card_is_accepted_and_unknown_members_are_ignored() {
    let mut card = card();
    card["new_in_1_7"] = json!({"anything": [1, 2]});
    card["layouts"][0]["hint"] = json!("later");
    for layout in [Layout::FeatureColumns, Layout::Coefficients] {
        assert_eq!(refusal(&card, layout), None);
    }
}

#[test]
fn weak_or_impossible_parameters_are_refused() {
    use Layout::{Coefficients, FeatureColumns};
    let parameters = |layout, member: &str, value| changed(layout, &format!("/parameters/{member}"), value);
    let primes = card()["layouts"][index(&card(), FeatureColumns)]["parameters"]["coeff_modulus"].clone();
    let text = |i: usize| primes[i].as_str().unwrap().to_owned();

    // The same primes in a smaller ring: below 128 bits.
    let weak = parameters(FeatureColumns, "poly_modulus_degree", json!(4096));
    assert!(weak.to_string().contains("fewer than 128 bits of security"), "{weak}");
    // One prime too many for the ring of the coefficients layout.
    let weak = parameters(Coefficients, "coeff_modulus", json!([text(0)]));
    assert!(weak.to_string().contains("fewer than 128 bits of security"), "{weak}");
    for degree in [json!(0), json!(1000), json!(131_072), json!(u64::MAX)] {
        parameters(FeatureColumns, "poly_modulus_degree", degree);
    }
    let one_more = (text(1).parse::<u64>().unwrap() + 2).to_string();
    for primes in [
        json!([]),
        json!([text(0), text(1), one_more]),
        json!([text(0), text(1), text(1)]),
        json!([text(1), text(0), text(2)]),
        json!([text(0), text(1)]),
        json!([text(0), text(1), "65537"]),
        json!([text(0), text(1), "0"]),
        json!([text(0), text(1), ""]),
        json!([text(0), text(1), format!("0{}", text(2))]),
        json!([text(0), text(1), format!("+{}", text(2))]),
        json!([text(0), text(1), "99999999999999999999999"]),
        json!(vec![text(0); 1000]),
    ] {
        parameters(FeatureColumns, "coeff_modulus", primes);
    }
    // The special prime among the data primes: the same set of numbers, another parameter set.
    let mut moved = card();
    let facts = &mut moved["layouts"][index(&card(), FeatureColumns)]["parameters"];
    let special = facts["special_modulus"][0].clone();
    facts["coeff_modulus"].as_array_mut().unwrap().push(special);
    facts["special_modulus"] = json!([]);
    assert!(matches!(refusal(&moved, FeatureColumns), Some(CardError::ParamsId { .. })));
}

#[test]
fn an_identity_that_is_not_that_of_the_primes_is_refused() {
    for id in [json!("00".repeat(32)), json!(""), json!("f305a848")] {
        let error = changed(Layout::FeatureColumns, "/parameters/params_id", id);
        assert!(matches!(error, CardError::ParamsId { .. }), "{error}");
    }
}

#[test]
fn evaluation_keys_that_no_layout_needs_are_not_made() {
    for (member, value) in
        [("required", json!(true)), ("relinearization", json!(true)), ("galois_elements", json!([3, 9]))]
    {
        let error = changed(Layout::FeatureColumns, &format!("/evaluation_keys/{member}"), value);
        assert_eq!(error, CardError::EvaluationKeys);
    }
}

#[test]
fn facts_that_contradict_the_layout_are_refused() {
    use Layout::{Coefficients, FeatureColumns};
    let out_of_reach = 1e300;
    for (layout, pointer, values) in [
        (FeatureColumns, "/input/ciphertexts", vec![json!(1), json!(0), json!(9)]),
        (FeatureColumns, "/input/level", vec![json!(3), json!(4_000_000_000u32)]),
        (
            FeatureColumns,
            "/input/scale",
            vec![json!(0), json!(-1), json!(1), json!(out_of_reach), json!(1e-9)],
        ),
        (FeatureColumns, "/input/form", vec![json!("coefficient")]),
        (FeatureColumns, "/input/rows_per_request", vec![json!(0)]),
        (FeatureColumns, "/max_batch_size", vec![json!(0)]),
        (FeatureColumns, "/output/parts", vec![json!(1), json!(3)]),
        (FeatureColumns, "/output/level", vec![json!(3)]),
        (FeatureColumns, "/output/scale", vec![json!(0), json!(-1)]),
        (FeatureColumns, "/output/positions/start", vec![json!(1)]),
        (FeatureColumns, "/output/positions/step", vec![json!(0), json!(2)]),
        (FeatureColumns, "/output_bound", vec![json!(0), json!(-1)]),
        (FeatureColumns, "/expected_error", vec![json!(0), json!(-1)]),
        (FeatureColumns, "/value", vec![json!("linear")]),
        (Coefficients, "/input/ciphertexts", vec![json!(8)]),
        (Coefficients, "/output/positions/start", vec![json!(0), json!(8)]),
        (Coefficients, "/output/positions/step", vec![json!(1)]),
        (Coefficients, "/output/reply_modulus_bits", vec![json!(0), json!(26), json!(63), Value::Null]),
        (
            Coefficients,
            "/post_processing",
            vec![
                json!({"kind": "none"}),
                json!({"kind": "polynomial", "coefficients": []}),
                json!({"kind": "polynomial", "coefficients": [0, 1, 0, 1]}),
            ],
        ),
    ] {
        for value in values {
            let error = changed(layout, pointer, value);
            assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn another_protocol_scheme_or_shape_is_refused() {
    let with = |pointer: &str, value: Value| {
        let mut card = card();
        *card.pointer_mut(pointer).unwrap() = value;
        refusal(&card, Layout::FeatureColumns)
    };
    assert!(matches!(with("/api_version", json!("2.0.0")), Some(CardError::Protocol { .. })));
    assert!(matches!(with("/he_scheme", json!("BFV")), Some(CardError::Protocol { .. })));
    assert!(with("/inference/input_dimension", json!(9)).is_some());
    assert!(with("/inference/output_dimension", json!(2)).is_some());
    assert!(with("/model_id", json!("../../etc")).is_some());
    let escaped = with("/api_version", json!("2.\u{1b}[2J")).unwrap().to_string();
    assert!(!escaped.contains('\u{1b}'), "{escaped:?}");

    for inputs in [
        json!({"names": ["a"]}),
        json!({"factor": [1, 1, 1, 1, 1, 1, 1, 0]}),
        json!({"minimum": [1, 1, 1, 1, 1, 1, 1, 1], "maximum": [0, 0, 0, 0, 0, 0, 0, 0]}),
        json!({"offset": [0]}),
    ] {
        let mut card = card();
        card["inputs"] = inputs.clone();
        assert!(refusal(&card, Layout::FeatureColumns).is_some(), "{inputs}");
    }

    let mut lone = card();
    let columns = index(&lone, Layout::FeatureColumns);
    lone["layouts"].as_array_mut().unwrap().remove(columns);
    let error = refusal(&lone, Layout::FeatureColumns).unwrap();
    assert_eq!(error.to_string(), "the model has no feature_columns layout; it has: coefficients");
    for nonsense in [&b""[..], b"{}", b"[]", b"null", b"{\"a\":1,\"a\":2}", b"\xff"] {
        assert!(Session::new(nonsense, Layout::FeatureColumns).is_err());
    }
}
