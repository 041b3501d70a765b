//! Target 3: what a server accepts, it can compute on.

use hei_ckks::{Ciphertext, Encoder, Evaluator, EvaluatorError};
use hei_ring::{Ntt, Poly};
use hei_wire::{Input, Shape, decode_inputs, hei, seal};

use super::{Cursor, Outcome, Words, context, evaluation_keys, secret};

/// A container from the input, as it is or with residues made of it; if it is accepted, a small plan runs on it: nothing
/// panics, and what comes out has the shape that was planned.
pub(crate) fn conformant_then_compute(data: &[u8]) -> Outcome {
    let context = context();
    let mut input = Cursor(data);
    let mode = input.u8();
    let bytes = match mode % 2 {
        0 => input.0.to_vec(),
        _ => {
            hei::encode_ciphertext_full(&conformant(mode & 2 != 0, &mut input), context).expect("it conforms")
        }
    };
    let shape = Shape::ciphertext(context, context.max_level(), context.scale());
    let Ok((_, inputs)) = decode_inputs(vec![bytes], &shape) else { return Outcome::Refused };
    let [Input::Slots(ciphertext)] = &inputs[..] else {
        panic!("one input, of the shape that was asked for")
    };
    run(ciphertext).expect("a conformant input fits the plan");
    Outcome::Accepted
}

/// Residues of any kind: the largest, or whatever follows from the input.
fn conformant(largest: bool, input: &mut Cursor<'_>) -> Ciphertext {
    let context = context();
    let mut words = Words(input.u64());
    let parts = [(); 2].map(|()| {
        let mut poly = Poly::<Ntt>::zero(context.degree(), context.max_level() + 1);
        for (limb, modulus) in poly.iter_mut().zip(context.basis().moduli()) {
            for word in limb {
                *word = if largest { modulus.value() - 1 } else { words.next() % modulus.value() };
            }
        }
        poly
    });
    Ciphertext::new(context, parts.to_vec(), context.scale()).expect("it conforms")
}

/// Every operation once: (1.5 x + 0.25) x, relinearized and rescaled, rotated and added to itself; then decrypted and written.
fn run(x: &Ciphertext) -> Result<(), EvaluatorError> {
    let context = context();
    let (encoder, evaluator) = (Encoder::new(context), Evaluator::new(context));
    let keys = evaluation_keys(context);
    let relin = keys.relinearization.as_ref().expect("the manifest has it");
    let halves = encoder.encode(&[0.5; 100], x.level(), 8.0).expect("small numbers");

    let sum = evaluator.add(x, &evaluator.negate(x)?)?;
    assert!(sum.parts().iter().all(|part| part.data().iter().all(|word| *word == 0)), "x - x");
    let scaled = evaluator.multiply_scalar(x, 1.5, 16.0)?;
    let scaled = evaluator.add_scalar(&scaled, 0.25)?;
    let product = evaluator.multiply(&scaled, x)?;
    let product = evaluator.relinearize(&product, relin)?;
    let masked = evaluator.multiply_plain(&product, &halves)?;
    let rescaled = evaluator.rescale(&masked)?;
    assert_eq!((rescaled.level(), rescaled.parts().len()), (x.level() - 1, 2));
    let rotated = evaluator.rotate(&rescaled, 1, &keys.galois)?;
    let out = evaluator.add(&rotated, &rescaled)?;
    // A key for a lower level is no key for a higher one.
    assert!(evaluator.rotate(x, 1, &keys.galois).is_err());

    let values = encoder.decode(&secret(context).decrypt(&out).expect("of this context"));
    assert!(values.len() == context.slots() && values.iter().all(|value| value.is_finite()));
    let shape = Shape::ciphertext(context, out.level(), out.scale()).unseeded();
    let bytes = hei::encode_ciphertext(&out, context).expect("a ciphertext of this context");
    assert!(hei::decode_ciphertext(&bytes, &shape).is_ok_and(|back| back == out));
    let bytes = seal::encode_ciphertext(&out, context).expect("a ciphertext of this context");
    assert!(seal::decode_ciphertext(&bytes, &shape).is_ok_and(|back| back == out));
    Ok(())
}
