//! What handles secrets, a function each.

use std::hint::black_box;
use std::sync::Arc;

use hei_ckks::coefficients::{self, CoefficientReply, IndexRange, IndexRanges};
use hei_ckks::insecure_testing::{InsecureParameters, SeededRandomness};
use hei_ckks::{
    Ciphertext, Context, Encoder, ParametersLiteral, Plaintext, PublicKey, RandomSource, RandomnessError,
    SecretKey, StreamKey,
};
use hei_ring::kernel::{self, sums};
use hei_ring::sample::{self, Domain, Stream};
use hei_ring::{GaloisElement, Modulus, NttTable};
use zeroize::Zeroizing;

use crate::instrument::{poison, publish};

pub(crate) struct Probe {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut State),
}

macro_rules! probes {
    ($($name:ident),* $(,)?) => {
        pub(crate) const PROBES: &[Probe] = &[$(Probe { name: stringify!($name), run: $name }),*];
    };
}

probes![
    forward_transform,
    inverse_transform,
    products,
    sums_and_signs,
    reductions,
    fused_sums,
    error_sampler,
    ternary_sampler,
    secret_key_from_coefficients,
    secret_key_from_values,
    public_key,
    relinearization_key,
    rotation_key,
    encrypt,
    encrypt_for_the_key_holder,
    decrypt,
    encrypt_coefficients,
    decrypt_coefficients,
    encode,
    decode,
    planted_branch,
    planted_address,
    planted_division,
];

/// Keys for samplers, in the order they are asked for; which of them are secret is known beforehand.
struct Scripted {
    secret: &'static [bool],
    asked: u64,
    seed: u64,
    poison: bool,
}

impl RandomSource for Scripted {
    fn key(&mut self) -> Result<StreamKey, RandomnessError> {
        let secret = self.secret[self.asked as usize % self.secret.len()];
        // Seeds of masks are published: the same whatever the secret is.
        let mut state = self.asked << 32 | if secret { self.seed } else { 0 };
        let mut key = StreamKey::zero();
        key.fill_with(|| step(&mut state) as u8);
        self.asked += 1;
        if secret && self.poison {
            poison(&*key);
        }
        Ok(key)
    }
}

/// A word from a counter (S. Vigna's splitmix64).
fn step(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// Secrets, and what is public beside them.
pub(crate) struct State {
    poison: bool,
    seed: u64,
    context: Arc<Context>,
    /// One prime, for what is packed into coefficients.
    single: Arc<Context>,
    tables: Vec<NttTable>,
    limbs: Vec<Vec<u64>>,
    others: Vec<Vec<u64>>,
    small: Vec<i8>,
    signed: Vec<i64>,
    coefficients: Zeroizing<Vec<i8>>,
    numbers: Vec<f64>,
    key: SecretKey,
    single_key: SecretKey,
    public: PublicKey,
    plaintext: Plaintext,
    ciphertext: Ciphertext,
    reply: CoefficientReply,
    ranges: IndexRanges,
    sink: u64,
}

const DEGREE: usize = 1024;

/// Words that loops run over: enough for every kernel's widest step, few enough to be stepped through.
const WORDS: usize = 256;

/// Primes for every kernel, lazy and not: 60 and 50 bits, 46 and 30.
const BITS: [u32; 5] = [60, 50, 46, 30, 55];

fn context(bits: &[u32], special: usize) -> Arc<Context> {
    let literal = ParametersLiteral {
        poly_modulus_degree: DEGREE,
        coeff_modulus_bits: bits.to_vec(),
        special_count: special,
        scale: 1024.0,
    };
    Arc::clone(InsecureParameters::new(&literal).expect("parameters").context())
}

impl State {
    pub(crate) fn new(poison: bool) -> Self {
        let (context, single) = (context(&BITS, 1), context(&[50], 0));
        let mut randomness = SeededRandomness::new(1);
        let key = SecretKey::generate(&context, &mut randomness).expect("a key");
        let single_key = SecretKey::generate(&single, &mut randomness).expect("a key");
        let plaintext = Encoder::new(&context).encode(&[1.5; DEGREE / 2], 3, 1024.0).expect("fits");
        let ranges = IndexRange { start: 0, count: 32, step: 1 };
        let table = |modulus: &Modulus| NttTable::new(*modulus, WORDS).expect("1 modulo 2 DEGREE");
        let tables: Vec<NttTable> = context.basis().moduli().map(table).collect();
        Self {
            poison,
            seed: 0,
            limbs: vec![vec![0; WORDS]; tables.len()],
            others: tables.iter().map(|t| vec![t.modulus().value() / 3; WORDS]).collect(),
            small: vec![0; WORDS],
            signed: vec![0; WORDS],
            coefficients: Zeroizing::new(vec![1; DEGREE]),
            numbers: vec![0.0; DEGREE / 2],
            public: key.public_key(&mut randomness).expect("a key"),
            ciphertext: key.encrypt(&plaintext, &mut randomness).expect("fits"),
            reply: CoefficientReply {
                mask: (0..DEGREE as u64).map(|i| i * i % (1 << 25)).collect(),
                ranges: IndexRanges::new(vec![ranges], DEGREE).expect("ranges"),
                values: vec![5; 32],
                modulus_bits: 25,
                scale: 1024.0,
            },
            ranges: IndexRanges::new(vec![ranges], DEGREE).expect("ranges"),
            key,
            single_key,
            plaintext,
            tables,
            context,
            single,
            sink: 0,
        }
    }

    /// Secret number `seed`: 0 is all zero or smallest, 1 largest, the others random.
    pub(crate) fn fill(&mut self, seed: u64) {
        self.seed = seed;
        let mut state = seed << 40;
        let mut draw = |below: u64| match seed {
            0 => 0,
            1 => below - 1,
            _ => step(&mut state) % below,
        };
        for (limb, table) in self.limbs.iter_mut().zip(&self.tables) {
            limb.fill_with(|| draw(table.modulus().value()));
        }
        self.small.fill_with(|| draw(43) as i8 - 21);
        self.signed.fill_with(|| draw(1 << 40) as i64 - (1 << 39));
        self.coefficients.fill_with(|| draw(3) as i8 - 1);
        self.numbers.fill_with(|| 1.0 + draw(1 << 20) as f64 / (1 << 21) as f64);
        self.plaintext = Encoder::new(&self.context).encode(&self.numbers, 3, 1024.0).expect("fits");
        let key = |context| SecretKey::from_coefficients(context, self.coefficients.clone());
        self.key = key(&self.context).expect("ternary, not zero");
        self.single_key = key(&self.single).expect("ternary, not zero");
    }

    pub(crate) fn poison(&self) {
        self.limbs.iter().for_each(|limb| poison(limb));
        poison(&self.small);
        poison(&self.signed);
        poison(self.plaintext.poly().data());
        for key in [&self.key, &self.single_key] {
            poison(key.coefficients());
            poison(key.ntt().data());
        }
    }

    fn randomness(&self, secret: &'static [bool]) -> Scripted {
        Scripted { secret, asked: 0, seed: self.seed, poison: self.poison }
    }
}

fn forward_transform(s: &mut State) {
    for (limb, table) in s.limbs.iter_mut().zip(&s.tables) {
        table.forward(limb);
    }
}

fn inverse_transform(s: &mut State) {
    for (limb, table) in s.limbs.iter_mut().zip(&s.tables) {
        table.inverse(limb);
    }
}

fn products(s: &mut State) {
    for ((limb, other), table) in s.limbs.iter_mut().zip(&s.others).zip(&s.tables) {
        let modulus = table.modulus();
        let constant = modulus.shoup(other[0]);
        kernel::mul_assign(limb, other, modulus);
        kernel::mul_scalar_assign(limb, constant, modulus);
        let secret = limb.clone();
        kernel::mul_add_assign(limb, &secret, other, modulus);
        kernel::mul_scalar_add_assign(limb, &secret, constant, modulus);
    }
}

fn sums_and_signs(s: &mut State) {
    for ((limb, other), table) in s.limbs.iter_mut().zip(&s.others).zip(&s.tables) {
        let modulus = table.modulus();
        kernel::add_assign(limb, other, modulus);
        kernel::sub_assign(limb, other, modulus);
        kernel::add_scalar_assign(limb, other[0], modulus);
        kernel::neg_assign(limb, modulus);
    }
}

fn reductions(s: &mut State) {
    for i in 0..s.tables.len() {
        let (modulus, from) = (s.tables[i].modulus(), s.tables[(i + 1) % s.tables.len()].modulus().value());
        let out = &mut s.others[i];
        kernel::reduce_small(out, &s.small, modulus);
        kernel::reduce_signed(out, &s.signed, modulus);
        let other = &s.limbs[(i + 1) % s.tables.len()];
        kernel::reduce_shifted(out, other, 5, modulus);
        kernel::lift_centered(out, other, from, modulus);
        let mut digits = vec![0.0; WORDS];
        kernel::slots::add_centered(&mut digits, &s.limbs[i], modulus.value(), 1.0);
        black_box(digits);
        s.sink ^= black_box(modulus.centered(s.limbs[i][0]) as u64);
    }
}

fn fused_sums(s: &mut State) {
    for (limb, table) in s.limbs.iter().zip(&s.tables) {
        let modulus = table.modulus();
        let constants = [modulus.shoup(3), modulus.shoup(7)];
        let mut out = [vec![0; WORDS], vec![0; WORDS]];
        let [first, second] = &mut out;
        sums::combine(first, &[&limb[..], &limb[..]], &constants, modulus);
        sums::dot_pair((first, second), &[(&limb[..], &limb[..], &limb[..]); 3], modulus);
        black_box(out);
    }
}

fn secret_stream(s: &State, domain: Domain) -> Stream {
    Stream::new(&s.randomness(&[true]).key().expect("scripted"), domain, 0, 0)
}

fn error_sampler(s: &mut State) {
    let mut stream = secret_stream(s, Domain::Error);
    sample::error(&mut stream, &mut s.small);
}

fn ternary_sampler(s: &mut State) {
    let mut stream = secret_stream(s, Domain::Secret);
    sample::ternary(&mut stream, &mut s.small);
}

fn secret_key_from_coefficients(s: &mut State) {
    black_box(SecretKey::from_coefficients(&s.context, s.coefficients.clone()).is_ok());
}

fn secret_key_from_values(s: &mut State) {
    black_box(SecretKey::from_ntt(&s.context, s.key.ntt().clone()).is_ok());
}

fn public_key(s: &mut State) {
    black_box(s.key.public_key(&mut s.randomness(&[false, true])).expect("scripted"));
}

fn relinearization_key(s: &mut State) {
    black_box(s.key.relin_key_at(0, &mut s.randomness(&[false, true])).expect("scripted"));
}

fn rotation_key(s: &mut State) {
    let element = GaloisElement::rotation(5, DEGREE);
    black_box(s.key.galois_keys_at([(element, 0)], &mut s.randomness(&[false, true])).expect("scripted"));
}

fn encrypt(s: &mut State) {
    black_box(s.key.encrypt(&s.plaintext, &mut s.randomness(&[false, true])).expect("fits"));
}

/// The ephemeral secret is ternary, and how many bytes its sampler drops is visible: for a trace it is always the same.
fn encrypt_for_the_key_holder(s: &mut State) {
    let secret: &[bool] = if s.poison { &[true] } else { &[false, true, true] };
    black_box(s.public.encrypt(&s.plaintext, &mut s.randomness(secret)).expect("fits"));
}

fn decrypt(s: &mut State) {
    black_box(s.key.decrypt(&s.ciphertext).expect("fits"));
}

/// The numbers are public here: encoding them is floating point.
fn encrypt_coefficients(s: &mut State) {
    let mut randomness = s.randomness(&[false, true]);
    let out = coefficients::encrypt(&s.single_key, &[0.5; 32], &s.ranges, 1024.0, &mut randomness);
    black_box(out.expect("fits"));
}

fn decrypt_coefficients(s: &mut State) {
    black_box(coefficients::decrypt(&s.single_key, &s.reply).expect("fits"));
}

fn encode(s: &mut State) {
    black_box(Encoder::new(&s.context).encode(&s.numbers, 3, 1024.0).expect("fits"));
}

fn decode(s: &mut State) {
    black_box(Encoder::new(&s.context).decode(&s.plaintext));
}

/// What the checks must find: a branch on a secret.
fn planted_branch(s: &mut State) {
    for word in &s.limbs[0] {
        if black_box(*word) & 1 == 1 {
            s.sink = black_box(s.sink.wrapping_mul(3));
        }
    }
}

/// What the checks must find: an address that depends on a secret.
fn planted_address(s: &mut State) {
    for word in &s.limbs[0] {
        s.sink ^= black_box(s.others[0][(*word % WORDS as u64) as usize]);
    }
    publish(&[s.sink]);
}

/// What the checks must find: an instruction that takes longer for some secrets.
fn planted_division(s: &mut State) {
    for word in &s.limbs[0] {
        s.sink = black_box(u64::MAX) / (black_box(*word) | 1);
    }
}
