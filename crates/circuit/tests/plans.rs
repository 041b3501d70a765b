//! What makes a plan, and what does not.

mod common;

use common::*;
use hei_circuit::{Layout, Plan, PlanError, Step};

#[test]
fn the_trace_follows_levels_and_scales_exactly() {
    let plan = Plan::new(logistic_columns()).unwrap();
    let states: Vec<_> = plan.trace().iter().map(|s| (s.level, s.scale)).collect();
    let (q1, two) = (plan.literal().moduli[1] as f64, |k: u32| (1u64 << k) as f64);
    assert_eq!(
        states,
        [(2, two(30)), (1, two(30)), (1, two(45) * q1), (0, two(45)), (0, two(45))],
        "input, drop, product, rescale, constant"
    );
    let plan = Plan::new(logistic_coefficients(1024, 26, 20)).unwrap();
    let q = plan.literal().moduli[0] as f64;
    assert_eq!(plan.output().scale, 5_700_000.0 / q * two(20));
    assert_eq!(plan.output().reply_modulus_bits, Some(20));
}

#[test]
fn bytes_are_those_of_the_layouts() {
    let cost = Plan::new(logistic_columns()).unwrap().cost(1);
    assert_eq!(cost.request_bytes, 8 * (16384 * 120 / 8 + 32));
    assert_eq!(cost.reply_bytes, 2 * 16384 * 60 / 8);
    assert_eq!(cost.transforms, 4, "one inverse and one forward transform a part");
    let plan = Plan::new(logistic_coefficients(1024, 26, 20)).unwrap();
    assert_eq!((plan.cost(1).request_bytes, plan.cost(1).reply_bytes), (26 + 32, 2560 + 3));
    assert_eq!((plan.cost(16).request_bytes, plan.cost(16).reply_bytes), (16 * 26 + 32, 2560 + 40));
}

#[test]
fn numbers_that_are_none_and_dimensions_that_do_not_fit_are_refused() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let refused = Plan::new(small_columns(vec![0.1, bad], 0.0));
        assert_eq!(refused.unwrap_err(), PlanError::NotFinite("a weight"));
        let refused = Plan::new(small_columns(vec![0.1], bad));
        assert_eq!(refused.unwrap_err(), PlanError::NotFinite("the constant"));
    }
    assert!(matches!(Plan::new(small_columns(vec![], 0.0)), Err(PlanError::Dimension { .. })));
    let mut literal = small_columns(vec![1.0], 0.0);
    for max_batch in [0, 2049] {
        literal.max_batch = max_batch;
        assert!(matches!(Plan::new(literal.clone()), Err(PlanError::MaxBatch { maximum: 2048, .. })));
    }
    let mut literal = logistic_coefficients(1024, 26, 20);
    literal.max_batch = 129;
    assert!(matches!(Plan::new(literal), Err(PlanError::MaxBatch { maximum: 128, .. })));
}

#[test]
fn a_model_that_answers_without_its_input_is_refused() {
    for weights in [vec![0.0, -0.0], vec![1e-12, 0.0]] {
        assert!(matches!(Plan::new(small_columns(weights, 0.5)), Err(PlanError::NoWeights { .. })));
    }
}

#[test]
fn what_leaves_the_modulus_is_refused() {
    assert!(matches!(Plan::new(small_columns(vec![1e13], 0.0)), Err(PlanError::TooLarge { .. })));
    assert!(matches!(Plan::new(small_columns(vec![1.0], 1e6)), Err(PlanError::TooLarge { .. })));
    let mut literal = logistic_coefficients(1024, 26, 20);
    literal.constant = 1e3;
    assert!(matches!(Plan::new(literal), Err(PlanError::TooLarge { .. })));
}

#[test]
fn steps_in_the_wrong_order_are_refused() {
    let base = small_columns(vec![1.0], 0.0);
    let [multiply, rescale, add] = base.steps[..] else { unreachable!() };
    let switch = Step::SwitchModulus { bits: 20 };
    let reversed = Step::MultiplyReversed { weight_scale: 2.0 };
    for steps in [
        vec![],
        vec![rescale],
        vec![multiply],
        vec![multiply, rescale],
        vec![add, multiply, rescale],
        vec![multiply, multiply, rescale, add],
        vec![multiply, rescale, add, add],
        vec![multiply, rescale, rescale, add],
        vec![multiply, rescale, add, switch],
        vec![reversed, rescale, add],
        vec![Step::DropToLevel { level: 1 }, multiply, rescale, add],
        vec![Step::DropToLevel { level: 0 }, multiply, rescale, add],
        vec![Step::MultiplyAccumulate { weight_scale: f64::NAN }, rescale, add],
        vec![Step::MultiplyAccumulate { weight_scale: 0.5 }, rescale, add],
        vec![Step::MultiplyAccumulate { weight_scale: 1e30 }, rescale, add],
    ] {
        let mut literal = base.clone();
        literal.steps = steps.clone();
        let refused = Plan::new(literal);
        assert!(matches!(refused, Err(PlanError::Step { .. } | PlanError::Incomplete(_))), "{steps:?}");
    }
    let base = logistic_coefficients(1024, 26, 20);
    let multiply = base.steps[0];
    for steps in [
        vec![multiply],
        vec![switch],
        vec![multiply, multiply, switch],
        vec![multiply, switch, switch],
        vec![multiply, Step::SwitchModulus { bits: 7 }],
        vec![multiply, Step::SwitchModulus { bits: 26 }],
        vec![multiply, Step::SwitchModulus { bits: u32::MAX }],
        vec![multiply, add, switch],
    ] {
        let mut literal = base.clone();
        literal.steps = steps.clone();
        let refused = Plan::new(literal);
        assert!(matches!(refused, Err(PlanError::Step { .. } | PlanError::Incomplete(_))), "{steps:?}");
    }
}

#[test]
fn parameters_below_the_security_floor_are_refused() {
    let mut literal = small_columns(vec![1.0], 0.0);
    let (moduli, special) = primes(4096, &[36, 34, 36], 1);
    (literal.degree, literal.max_batch, literal.moduli, literal.special_moduli) = (2048, 1, moduli, special);
    assert!(matches!(Plan::new(literal), Err(PlanError::Parameters(_))));
    let mut literal = logistic_coefficients(1024, 26, 20);
    literal.special_moduli = literal.moduli.clone();
    assert!(matches!(Plan::new(literal), Err(PlanError::Incomplete(_))));
}

#[test]
fn a_plan_prints_its_shape_and_no_weight() {
    let plan = Plan::new(small_columns(vec![0.123_456, 2.0], 0.0)).unwrap();
    assert_eq!(format!("{plan:?}"), "Plan(feature_columns, N=4096, d=2)");
    assert_eq!(plan.layout(), Layout::FeatureColumns);
}
