//! Every kernel against the scalar one.

use super::*;
use crate::NttTable;
use crate::prime::chain_primes;
use proptest::prelude::*;

fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| *level <= detected())
}

fn words(seed: u64, n: usize, q: u64) -> Vec<u64> {
    let mut state = seed | 1;
    (0..n)
        .map(|i| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // The ends of the range are where bounds break.
            match (state >> 60, i % 3) {
                (0, _) => q - 1,
                (1, _) => 0,
                (2, 0) => q / 2,
                (2, _) => q / 2 + 1,
                _ => (state ^ (state >> 29)) % q,
            }
        })
        .collect()
}

#[test]
fn levels_are_named_and_ordered() {
    for level in Level::ALL {
        assert_eq!(Level::from_name(level.name()), Some(level));
    }
    assert_eq!(Level::from_name("avx9000"), None);
    assert!(Level::Scalar <= detected());
    let small = Modulus::new(chain_primes(1024, &[50]).unwrap()[0]).unwrap();
    let large = Modulus::new(chain_primes(1024, &[51]).unwrap()[0]).unwrap();
    assert_eq!([choose(Level::Ifma, &small), choose(Level::Ifma, &large)], [Level::Ifma, Level::Avx512]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_transform_equals_scalar(log in 4u32..=13, bits in 22u32..=61, seed: u64) {
        let degree = 1usize << log;
        let modulus = Modulus::new(chain_primes(degree, &[bits]).unwrap()[0]).unwrap();
        let reference = NttTable::with_level(modulus, degree, Level::Scalar).unwrap();
        let input = words(seed, degree, modulus.value());
        let (mut forward, mut inverse) = (input.clone(), input.clone());
        reference.forward(&mut forward);
        reference.inverse(&mut inverse);
        for level in levels() {
            let table = NttTable::with_level(modulus, degree, level).unwrap();
            let (mut f, mut i) = (input.clone(), input.clone());
            table.forward(&mut f);
            table.inverse(&mut i);
            prop_assert!(f == forward, "forward, {} at {} bits, N={}", level.name(), bits, degree);
            prop_assert!(i == inverse, "inverse, {} at {} bits, N={}", level.name(), bits, degree);
        }
    }

    #[test]
    fn every_loop_equals_scalar(length in 1usize..100, bits in 10u32..=61, from_bits in 10u32..=61, seed: u64) {
        let prime = |bits| Modulus::new(chain_primes(8, &[bits]).unwrap()[0]).unwrap();
        let (modulus, from) = (prime(bits), prime(from_bits).value());
        let q = modulus.value();
        let (a, b, out) = (words(seed, length, q), words(!seed, length, q), words(seed ^ 77, length, q));
        let (scalar, constant) = (modulus.shoup(b[0]), a[0]);
        let wide = words(seed, length, u64::MAX >> 3);
        let digits = words(seed, length, from);
        let signed: Vec<i64> = words(seed, length, u64::MAX).into_iter().map(|w| w as i64).collect();
        let run = |level: Level| {
            let level = choose(level, &modulus);
            let with = |f: &dyn Fn(&mut [u64])| { let mut x = out.clone(); f(&mut x); x };
            [
                with(&|x| mul_assign::at(level, x, &b, &modulus)),
                with(&|x| mul_add_assign::at(level, x, &a, &b, &modulus)),
                with(&|x| product::at(level, x, &a, &b, &modulus)),
                with(&|x| {
                    let (mut first, mut last) = (a.clone(), b.clone());
                    tensor::at(level, (&mut first, x, &mut last), (&a, &b), (&out, &a), &modulus);
                    for ((x, first), last) in x.iter_mut().zip(first).zip(last) {
                        *x ^= first.rotate_left(17) ^ last.rotate_left(31);
                    }
                }),
                with(&|x| mul_scalar_assign::at(level, x, scalar, &modulus)),
                with(&|x| mul_scalar_add_assign::at(level, x, &a, scalar, &modulus)),
                with(&|x| add_assign::at(level, x, &b, &modulus)),
                with(&|x| sub_assign::at(level, x, &b, &modulus)),
                with(&|x| add_scalar_assign::at(level, x, constant, &modulus)),
                with(&|x| reduce_shifted::at(level, x, &wide, constant, &modulus)),
                with(&|x| lift_centered::at(level, x, &digits, from, &modulus)),
                with(&|x| peel::at(level, x, &digits, from, scalar, &modulus)),
                with(&|x| sub_mul_assign::at(level, x, &b, scalar, &modulus)),
                with(&|x| reduce_signed::at(level, x, &signed, &modulus)),
            ]
        };
        let reference = run(Level::Scalar);
        for level in levels() {
            for (i, (got, expected)) in run(level).iter().zip(&reference).enumerate() {
                prop_assert!(got == expected, "loop {} of {} at {} bits", i, level.name(), bits);
            }
        }
    }
}

#[test]
fn stretches_are_written_and_handed_on_once_and_in_time() {
    for (level, log) in levels().flat_map(|level| [4, 7, 11, 12, 13, 14].map(|log| (level, log))) {
        for bits in [30, 50, 60] {
            let degree = 1usize << log;
            let modulus = Modulus::new(chain_primes(degree, &[bits]).unwrap()[0]).unwrap();
            let table = NttTable::with_level(modulus, degree, level).unwrap();
            let input = words(u64::from(bits), degree, modulus.value());
            for inverse in [false, true] {
                let mut expected = input.clone();
                if inverse {
                    table.inverse(&mut expected)
                } else {
                    table.forward(&mut expected)
                }
                // Whatever is there before must not matter, and what is handed on is final.
                let (mut limb, mut seen, mut filled) = (vec![u64::MAX; degree], vec![0; degree], 0);
                let fill = |start: usize, part: &mut [u64]| {
                    part.copy_from_slice(&input[start..start + part.len()]);
                    filled += part.len();
                };
                let done = |start: usize, part: &mut [u64]| {
                    seen[start..start + part.len()].copy_from_slice(part);
                };
                if inverse {
                    table.inverse_with(&mut limb, fill, done);
                } else {
                    table.forward_with(&mut limb, fill, done);
                }
                assert!(
                    limb == expected && seen == expected && filled == degree,
                    "{} N={degree}",
                    level.name()
                );
            }
            let mut limb = vec![1; degree];
            table.inverse_from(&mut limb, &input);
            let mut expected = input.clone();
            table.inverse(&mut expected);
            assert_eq!(limb, expected);
        }
    }
}

#[test]
fn slot_transforms_give_the_same_doubles() {
    for log in 1..=13 {
        let n = 1usize << log;
        let number = |i: usize, salt: f64| ((i as f64 + salt) * 0.618).sin() * 1e3;
        let (stage_re, stage_im): (Vec<f64>, Vec<f64>) =
            (0..n).map(|i| (number(i, 3.0) / 1e3, number(i, 4.0) / 1e3)).unzip();
        let stages = fft::Stages { re: &stage_re, im: &stage_im };
        let run = |f: &dyn Fn(&mut [f64], &mut [f64])| {
            let (mut re, mut im): (Vec<f64>, Vec<f64>) =
                (0..n).map(|i| (number(i, 1.0), number(i, 2.0))).unzip();
            f(&mut re, &mut im);
            (re, im)
        };
        assert_eq!(
            run(&|r, i| slots::forward(r, i, stages)),
            run(&|r, i| fft::forward(r, i, stages)),
            "n={n}"
        );
        assert_eq!(
            run(&|r, i| slots::inverse(r, i, stages)),
            run(&|r, i| fft::inverse(r, i, stages)),
            "n={n}"
        );
        let (x, _) = run(&|_, _| ());
        let digits = words(log, n, 1 << 50);
        let mut sums = [x.clone(), x.clone()];
        slots::add_centered(&mut sums[0], &digits, (1 << 50) + 1, 0.3);
        fft::add_centered(&mut sums[1], &digits, (1 << 50) + 1, 0.3);
        assert_eq!(sums[0], sums[1]);
        let mut rounded = [vec![0; n], vec![0; n]];
        slots::round(&mut rounded[0], &x);
        fft::round(&mut rounded[1], &x);
        assert_eq!(rounded[0], rounded[1]);
    }
}

#[test]
fn large_transforms_equal_scalar_at_the_ends_of_every_bound() {
    for (degree, sizes) in
        [(16384, vec![30, 46, 47, 48, 50, 51, 57, 58, 60]), (65536, vec![45, 46, 47, 50, 60])]
    {
        for bits in sizes {
            let modulus = Modulus::new(chain_primes(degree, &[bits]).unwrap()[0]).unwrap();
            let q = modulus.value();
            let reference = NttTable::with_level(modulus, degree, Level::Scalar).unwrap();
            for input in [vec![q - 1; degree], words(9, degree, q)] {
                let mut expected = input.clone();
                reference.forward(&mut expected);
                for level in levels() {
                    let table = NttTable::with_level(modulus, degree, level).unwrap();
                    let mut x = input.clone();
                    table.forward(&mut x);
                    assert!(x == expected, "{} at {bits} bits, N={degree}", level.name());
                    table.inverse(&mut x);
                    assert!(x == input, "{} back at {bits} bits, N={degree}", level.name());
                }
            }
        }
    }
}
