//! What a manifest says of a layout, held against the plan that is evaluated. Every number a client relies on is
//! recomputed here; a file that contradicts itself is not served.

use hei_circuit::Plan;
use hei_protocol::manifest::RegistryEntry;
use hei_protocol::messages::card::CardLayout;

/// A fact that is not true.
pub(super) struct Untrue {
    /// JSON Pointer below the layout.
    pub(super) field: &'static str,
    pub(super) message: String,
}

/// Compares every fact of the manifest with the plan.
pub(super) fn check(entry: &RegistryEntry, facts: &CardLayout, plan: &Plan) -> Result<(), Untrue> {
    let context = plan.parameters().context();
    let security = plan.parameters().security();
    let (input, output) = (plan.input(), plan.output());
    let primes = |moduli: &mut dyn Iterator<Item = u64>| moduli.map(|q| q.to_string()).collect::<Vec<_>>();
    let data = primes(&mut context.data_moduli().map(|modulus| modulus.value()));
    let special = primes(&mut context.special_moduli().map(|modulus| modulus.value()));

    let parameters = &facts.parameters;
    equal("/parameters/poly_modulus_degree", &parameters.poly_modulus_degree, &(context.degree() as u64))?;
    equal("/parameters/coeff_modulus", &parameters.coeff_modulus, &data)?;
    equal("/parameters/special_modulus", &parameters.special_modulus, &special)?;
    equal("/parameters/params_id", &parameters.params_id, &context.params_id().to_string())?;
    equal("/parameters/security_bits", &parameters.security_bits, &security.bits)?;

    equal("/input/ciphertexts", &u64::from(facts.input.ciphertexts), &(input.ciphertexts as u64))?;
    equal("/input/level", &u64::from(facts.input.level), &(input.level as u64))?;
    equal("/input/scale", &facts.input.scale.to_bits(), &input.scale.to_bits())?;
    equal("/output/parts", &u64::from(facts.output.parts), &(output.parts as u64))?;
    equal("/output/level", &u64::from(facts.output.level), &(output.level as u64))?;
    equal("/output/scale", &facts.output.scale.to_bits(), &output.scale.to_bits())?;
    equal("/output/reply_modulus_bits", &facts.output.reply_modulus_bits, &output.reply_modulus_bits)?;
    equal("/max_batch_size", &u64::from(facts.max_batch_size), &(plan.max_batch() as u64))?;
    equal("/input/rows_per_request", &facts.input.rows_per_request, &facts.max_batch_size)?;
    equal("/evaluation_keys/required", &facts.evaluation_keys.required, &false)?;
    equal("", &u64::from(entry.inference.input_dimension), &(plan.dimension() as u64))
}

fn equal<T: PartialEq + std::fmt::Debug>(field: &'static str, said: &T, is: &T) -> Result<(), Untrue> {
    if said == is {
        return Ok(());
    }
    Err(Untrue { field, message: format!("says {said:?}, the plan has {is:?}; compile the model again") })
}
