//! Targets 5, 12 and 13: seeds, the encoder, and the ring against arithmetic anyone can check.

use hei_ckks::{Encoder, MaskSeed};
use hei_ring::sample::{Domain, Stream, uniform};
use hei_ring::{Basis, Coeff, Extension, GaloisElement, Modulus, Ntt, Poly, kernel};
use hei_wire::seal::SealSeed;

use super::{Cursor, Outcome, Words, context, hybrid};

/// The expansion of any seed: every word below its prime, the same in pieces as at once, each limb on its own.
pub(crate) fn seed_expand(data: &[u8]) -> Outcome {
    let mut input = Cursor(data);
    let (generator, choice) = (input.u8() % 3, input.u8());
    let context = if choice % 2 == 0 { context() } else { hybrid() };
    let (degree, basis) = (context.degree(), context.basis());
    let seed: [u8; 64] = input.array();
    if generator == 0 {
        let seed = MaskSeed(seed[..32].try_into().expect("32 octets"));
        let whole: Poly<Ntt> = seed.expand(context, basis.len());
        let fewer: Poly<Coeff> = seed.expand(context, basis.len() - 1);
        for (i, (limb, modulus)) in whole.iter().zip(basis.moduli()).enumerate() {
            assert!(limb.iter().all(|word| *word < modulus.value()));
            assert!(i + 1 == basis.len() || fewer.limb(i) == limb, "limbs and forms do not matter");
            // In pieces, at places the input names.
            let mut stream = Stream::new(&seed.0, Domain::Mask, 1, i as u32);
            let mut pieces = vec![0; degree];
            let mut rest = &mut pieces[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at_mut((1 + input.below(700)).min(rest.len()));
                uniform(&mut stream, modulus, piece);
                rest = after;
            }
            assert!(pieces == limb, "streaming is one shot");
        }
        return Outcome::Accepted;
    }
    let seed = if generator == 1 { SealSeed::Blake2xb(seed) } else { SealSeed::Shake256(seed) };
    let primes: Vec<u64> = basis.moduli().map(Modulus::value).collect();
    let count = 1 + usize::from(choice / 2) % primes.len();
    let words = seed.expand(degree, &primes[..count]);
    assert_eq!(words.len(), degree * count);
    for (limb, q) in words.chunks(degree).zip(&primes) {
        assert!(limb.iter().all(|word| word < q));
    }
    // Words are drawn for all primes before any is replaced, and at these primes one in 2^33 is replaced.
    let single = seed.expand(degree, &primes[..1]);
    let differ = single.iter().zip(&words).filter(|(a, b)| a != b).count();
    assert!(differ <= 1, "the first limb does not depend on the others");
    let mask = seed.mask(context, count).expect("a mask of this context");
    assert!(mask.data() == &words[..mask.data().len()]);
    Outcome::Accepted
}

/// Any doubles at any scale: refused, or decoded within the bound.
pub(crate) fn encode_decode(data: &[u8]) -> Outcome {
    let mut input = Cursor(data);
    let (context, exponent, choice) = (context(), input.u8() % 27, input.u8());
    let (level, scale) = (usize::from(choice) % 2, f64::exp2(f64::from(exponent)));
    let (words, _) = input.0.as_chunks::<8>();
    let values: Vec<f64> = words.iter().map(|word| f64::from_le_bytes(*word)).take(context.slots()).collect();
    let encoder = Encoder::new(context);
    let plaintext = match encoder.encode(&values, level, scale) {
        Ok(plaintext) => plaintext,
        Err(_) => {
            let largest =
                values.iter().fold(0f64, |most, v| if v.is_finite() { most.max(v.abs()) } else { f64::NAN });
            let room = context.log2_modulus(level) - 2.0 - scale.log2();
            let small = values.iter().map(|v| v.abs()).sum::<f64>() < f64::exp2(room);
            assert!(!(largest.is_finite() && small), "refused without a reason");
            return Outcome::Refused;
        }
    };
    assert!(values.iter().all(|v| v.is_finite()), "what is no number is refused");
    let decoded = encoder.decode(&plaintext);
    // N coefficients rounded by a half, and doubles of 53 bits in 2 log N + 4 sums and products.
    let norm: f64 = values.iter().map(|v| v.abs()).sum();
    let bound = context.degree() as f64 / 2.0 / scale + norm * f64::exp2(-46.0);
    for (i, decoded) in decoded.iter().enumerate() {
        let expected = values.get(i).copied().unwrap_or(0.0);
        assert!((decoded - expected).abs() <= bound, "slot {i}: {decoded} for {expected}, within {bound:e}");
    }
    Outcome::Accepted
}

/// Every ring operation of the kernel in use against 128-bit integers and schoolbook products.
pub(crate) fn ring_ops(data: &[u8]) -> Outcome {
    let mut input = Cursor(data);
    let bits = [20, 30, 40, 47, 50, 60][usize::from(input.u8()) % 6];
    let degree = 8 << (input.u8() % 8);
    let primes = hei_ring::prime::chain_primes(degree, &[bits, bits]).expect("there are such primes");
    let basis = Basis::new(degree, &primes).expect("a valid basis");
    let modulus = basis.modulus(0);
    let q = modulus.value();
    let mut words = Words(u64::from_le_bytes(Cursor(data).array()));
    let mut residue = |q: u64| match input.array() {
        // Extremes are where reductions go wrong.
        [0xff, 0xff] => q - 1,
        [0, 0] => 0,
        [first, second] => (words.next() ^ u64::from(first) << 32 ^ u64::from(second)) % q,
    };
    let mut poly = |basis: &Basis| {
        let mut poly = Poly::<Coeff>::zero(degree, basis.len());
        for (limb, modulus) in poly.iter_mut().zip(basis.moduli()) {
            limb.iter_mut().for_each(|word| *word = residue(modulus.value()));
        }
        poly
    };
    let (a, b, c) = (poly(&basis), poly(&basis), poly(&basis));
    words_against_integers(modulus, a.limb(0), b.limb(0), c.limb(0));

    // Transforms: there and back, a word of the definition, and a product.
    let (ntt_a, ntt_b) = (basis.forward(a.clone()), basis.forward(b.clone()));
    assert!(basis.inverse(ntt_a.clone()) == a);
    let log = degree.trailing_zeros();
    for i in [0, 1, degree / 2, degree - 1] {
        let exponent = 2 * hei_ring::ntt::bit_reverse(i, log) as u64 + 1;
        let point = modulus.pow(basis.table(0).root(), exponent);
        let value = a
            .limb(0)
            .iter()
            .rev()
            .fold(0u128, |sum, c| (sum * u128::from(point) + u128::from(*c)) % u128::from(q));
        assert_eq!(u128::from(ntt_a.limb(0)[i]), value, "word {i} is a value of the polynomial");
    }
    if degree <= 128 {
        let mut product = ntt_a.clone();
        basis.mul_assign(&mut product, &ntt_b);
        assert!(basis.inverse(product).limb(0) == schoolbook(a.limb(0), b.limb(0), q));
    }

    // X -> X^g as a permutation of values and as a map of coefficients.
    let element = GaloisElement::rotation(1 + (a.limb(0)[0] % 5) as i64, degree);
    let permuted = hei_ring::automorphism::permute(&ntt_a, &element.permutation(degree));
    let mut moved = vec![0; degree];
    for (i, word) in a.limb(0).iter().enumerate() {
        let to = i * element.value() as usize % (2 * degree);
        moved[to % degree] = if to < degree { *word } else { (q - word) % q };
    }
    assert!(basis.inverse(permuted).limb(0) == moved);

    extend_to_another_prime(&basis, &a);
    divide_by_the_last_prime(&basis, ntt_a, &a);
    Outcome::Accepted
}

fn words_against_integers(modulus: &Modulus, a: &[u64], b: &[u64], c: &[u64]) {
    let q = u128::from(modulus.value());
    let run = |work: &dyn Fn(&mut [u64]), expected: &dyn Fn(u128, u128, u128) -> u128, name: &str| {
        let mut out = a.to_vec();
        work(&mut out);
        for (i, word) in out.iter().enumerate() {
            let [x, y, z] = [a[i], b[i], c[i]].map(u128::from);
            assert_eq!(u128::from(*word), expected(x, y, z) % q, "{name}, word {i}");
        }
    };
    let constant = modulus.shoup(b[0]);
    let k = u128::from(b[0]);
    run(&|out| kernel::add_assign(out, b, modulus), &|x, y, _| x + y, "add");
    run(&|out| kernel::sub_assign(out, b, modulus), &|x, y, _| x + q - y, "sub");
    run(&|out| kernel::neg_assign(out, modulus), &|x, _, _| q - x, "neg");
    run(&|out| kernel::mul_assign(out, b, modulus), &|x, y, _| x * y, "mul");
    run(&|out| kernel::mul_add_assign(out, b, c, modulus), &|x, y, z| x + y * z % q, "mul_add");
    run(&|out| kernel::mul_scalar_assign(out, constant, modulus), &|x, _, _| x * k, "mul_scalar");
    run(
        &|out| kernel::mul_scalar_add_assign(out, c, constant, modulus),
        &|x, _, z| x + z * k % q,
        "mul_scalar_add",
    );
    run(&|out| kernel::add_scalar_assign(out, b[0], modulus), &|x, _, _| x + k, "add_scalar");
    let far: Vec<u64> = c.iter().map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let mut out = vec![0; a.len()];
    kernel::reduce_shifted(&mut out, &far, b[0], modulus);
    let expected = |x: &u64| (u128::from(*x) % q + q - k) % q;
    assert!(out.iter().zip(&far).all(|(word, x)| u128::from(*word) == expected(x)), "reduce_shifted");
    let signed: Vec<i64> = far.iter().map(|word| (*word as i64) >> 2).collect();
    kernel::reduce_signed(&mut out, &signed, modulus);
    let expected = |x: &i64| i128::from(*x).rem_euclid(q as i128) as u128;
    assert!(out.iter().zip(&signed).all(|(word, x)| u128::from(*word) == expected(x)), "reduce_signed");
    let constants = [modulus.shoup(a[0]), constant, modulus.shoup(c[0])];
    kernel::sums::combine(&mut out, &[a, b, c], &constants, modulus);
    for i in 0..a.len() {
        let sum: u128 = [(a, a[0]), (b, b[0]), (c, c[0])]
            .iter()
            .map(|(x, k)| u128::from(x[i]) * u128::from(*k) % q)
            .sum();
        assert_eq!(u128::from(out[i]), sum % q, "combine, word {i}");
    }
    let (mut first, mut second) = (a.to_vec(), b.to_vec());
    let terms = [(a, b, c), (b, c, a), (c, c, c)];
    kernel::sums::dot_pair((&mut first, &mut second), &terms, modulus);
    for i in 0..a.len() {
        let [x, y, z] = [a[i], b[i], c[i]].map(u128::from);
        let one = (x * y % q + y * z % q + z * z % q) % q;
        let two = (x * z % q + y * x % q + z * z % q) % q;
        assert_eq!((u128::from(first[i]), u128::from(second[i])), (one, two), "dot_pair, word {i}");
    }
}

fn schoolbook(a: &[u64], b: &[u64], q: u64) -> Vec<u64> {
    let (n, q) = (a.len(), u128::from(q));
    let mut out = vec![0u128; n];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            let term = u128::from(*x) * u128::from(*y) % q;
            let term = if i + j < n { term } else { q - term };
            out[(i + j) % n] = (out[(i + j) % n] + term) % q;
        }
    }
    out.iter().map(|word| *word as u64).collect()
}

/// Residues of centered integers modulo one prime, from those modulo another one or two.
fn extend_to_another_prime(basis: &Basis, coefficients: &Poly<Coeff>) {
    let (degree, [first, last]) = (basis.degree(), [0, 1].map(|i| *basis.modulus(i)));
    let (q0, q1) = (i128::from(first.value()), i128::from(last.value()));
    let fill = |i: usize, limb: &mut [u64]| limb.copy_from_slice(coefficients.limb(i));
    let mut out = vec![0; degree];
    let one = Extension::new(&[first], [&last]);
    one.lift(&one.prepare(degree, fill), 0, 0, &mut out);
    let center = |x: i128, q: i128| if x > q / 2 { x - q } else { x };
    for (word, x) in out.iter().zip(coefficients.limb(0)) {
        assert_eq!(i128::from(*word), center(i128::from(*x), q0).rem_euclid(q1), "from one prime");
    }
    // A third prime, smaller than both or not.
    let other = hei_ring::prime::chain_primes(degree, &[35]).expect("there are such primes")[0];
    let other = Modulus::new(other).expect("a prime");
    let two = Extension::new(&[first, last], [&other]);
    two.lift(&two.prepare(degree, fill), 0, 0, &mut out);
    let inverse = i128::from(first.inv(first.reduce(last.value())));
    let product = q0 * q1;
    for (i, word) in out.iter().enumerate() {
        let [x0, x1] = [0, 1].map(|limb| i128::from(coefficients.limb(limb)[i]));
        let x = x1 + q1 * ((x0 - x1).rem_euclid(q0) * inverse % q0);
        let nearest = center(x, product).rem_euclid(i128::from(other.value()));
        // Within 2^-29 of half the product either neighbor will do.
        if *word as i128 != nearest {
            assert!((x - product / 2).abs() <= product >> 28, "from two primes, coefficient {i}");
            let far = (center(x, product) - product * center(x, product).signum())
                .rem_euclid(i128::from(other.value()));
            assert_eq!(*word as i128, far, "from two primes, coefficient {i}");
        }
    }
}

/// round(x / q_1) of the integer that two residues stand for.
fn divide_by_the_last_prime(basis: &Basis, ntt: Poly<Ntt>, coefficients: &Poly<Coeff>) {
    let (first, last) = (basis.modulus(0), basis.modulus(1));
    let (q0, q1) = (u128::from(first.value()), u128::from(last.value()));
    let inverse = first.inv(first.reduce(last.value()));
    let divided = Basis::divide_round_last(ntt, &[basis.table(0), basis.table(1)], &[first.shoup(inverse)]);
    let divided = basis.inverse(divided);
    for i in 0..coefficients.degree() {
        let [x0, x1] = [0, 1].map(|limb| u128::from(coefficients.limb(limb)[i]));
        // x = x1 + q1 t, t = (x0 - x1) / q1 modulo q0; rounded half up.
        let t = (x0 + q0 - x1 % q0) % q0 * u128::from(inverse) % q0;
        let x = x1 + q1 * t;
        let expected = (x + q1 / 2) / q1 % q0;
        assert_eq!(u128::from(divided.limb(0)[i]), expected, "coefficient {i}");
    }
}
