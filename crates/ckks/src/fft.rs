//! Slots to polynomial coefficients and back: a complex transform of N/2 points.
//!
//! A real polynomial m of degree below N is determined by its values at the points zeta^(4j+1), zeta = exp(i pi / N), since
//! every other odd power is the conjugate of one of them. With c_k = (m_k + i m_{k+N/2}) zeta^k those values are the plain
//! Fourier transform of c over N/2 points. SEAL numbers slot i by the power 3^i mod 2N; where that is 3 mod 4 the slot is
//! the conjugate of the value at 2N - 3^i.
//!
//! One order of operations, no fused multiply-add and twiddles from a portable library: every platform computes the same
//! doubles.

use hei_ring::Wiped;
use hei_ring::automorphism::SLOT_GENERATOR;
use hei_ring::kernel::fft::Stages;
use hei_ring::kernel::slots;
use hei_ring::ntt::bit_reverse;

/// Tables for one degree. Memory: about 36 N bytes.
#[derive(Debug, Clone)]
pub(crate) struct SlotTransform {
    /// Where slot i sits in bit-reversed order.
    places: Vec<u32>,
    /// Whether it is conjugated there.
    conjugate: Vec<bool>,
    /// exp(2 pi i j / len) for j < len/2, for len = 2, 4, …, N/2, one stage after the other: stage of half-length h
    /// starts at h - 1.
    stage_re: Vec<f64>,
    stage_im: Vec<f64>,
    /// zeta^k for k < N/2.
    twist_re: Vec<f64>,
    twist_im: Vec<f64>,
}

/// cos and sin of 2 pi k / m, exact at the octants and symmetric about them.
fn unit(k: usize, m: usize) -> (f64, f64) {
    let k = k % m;
    // Reduce to [0, 1/8] of the circle, where the argument is small and both functions are accurate.
    let (eighth, rest) = (8 * k / m, 8 * k % m);
    let angle = |eighths: usize| core::f64::consts::FRAC_PI_4 * eighths as f64 / m as f64;
    let (c, s) = if eighth % 2 == 0 {
        (libm::cos(angle(rest)), libm::sin(angle(rest)))
    } else {
        (libm::sin(angle(m - rest)), libm::cos(angle(m - rest)))
    };
    match eighth / 2 {
        0 => (c, s),
        1 => (-s, c),
        2 => (-c, -s),
        _ => (s, -c),
    }
}

impl SlotTransform {
    pub(crate) fn new(degree: usize) -> Self {
        let n = degree / 2;
        let (log, two_n) = (n.trailing_zeros(), 2 * degree as u64);
        let mut power = 1u64;
        let (places, conjugate) = (0..n)
            .map(|_| {
                let conjugate = power % 4 == 3;
                let point = if conjugate { two_n - power } else { power };
                power = power * SLOT_GENERATOR % two_n;
                (bit_reverse(((point - 1) / 4) as usize, log) as u32, conjugate)
            })
            .unzip();
        let mut half = 1;
        let (mut stage_re, mut stage_im) = (Vec::with_capacity(n), Vec::with_capacity(n));
        while half < n {
            for j in 0..half {
                let (c, s) = unit(j, 2 * half);
                stage_re.push(c);
                stage_im.push(s);
            }
            half *= 2;
        }
        let (twist_re, twist_im) = (0..n).map(|k| unit(k, 2 * degree)).unzip();
        Self { places, conjugate, stage_re, stage_im, twist_re, twist_im }
    }

    /// Slots (as many as given, the rest zero) to N coefficients times `factor`, not rounded.
    pub(crate) fn to_coefficients(&self, re_slots: &[f64], im_slots: &[f64], factor: f64) -> Wiped<f64> {
        let n = self.places.len();
        let (mut re, mut im) = (self.scattered(re_slots), self.scattered(im_slots));
        for (place, _) in self.places.iter().zip(&self.conjugate).filter(|(_, conjugate)| **conjugate) {
            im[*place as usize] = -im[*place as usize];
        }
        slots::inverse(&mut re, &mut im, self.stages());
        let mut out = Wiped::any(2 * n);
        let (low, high) = out.split_at_mut(n);
        slots::untwist((&re, &im), (&self.twist_re, &self.twist_im), factor / n as f64, low, high);
        out
    }

    /// [`to_coefficients`](Self::to_coefficients) of real numbers, by a transform of half the length. Such a polynomial is its
    /// own conjugate: coefficient N - k is minus coefficient k, exactly.
    pub(crate) fn real_to_coefficients(&self, values: &[f64], factor: f64) -> Wiped<f64> {
        let n = self.places.len();
        let half = n / 2;
        // In bit-reversed order the numbers at even points come first, those at odd points second: the real and the imaginary
        // parts of a vector of half the length.
        let mut points = self.scattered(values);
        let (even, odd) = points.split_at_mut(half);
        slots::inverse(even, odd, self.stages());
        let mut out = Wiped::any(2 * n);
        let (low, high) = out.split_at_mut(n);
        let factor = factor / (2 * n) as f64;
        let stage = half - 1..n - 1;
        let roots = (&self.stage_re[stage.clone()], &self.stage_im[stage]);
        let twist = (&self.twist_re[..half], &self.twist_im[..half]);
        slots::untwist_real((even, odd), roots, twist, factor, &mut low[..half], &mut high[..half]);
        let middle = 2.0 * (even[0] - odd[0]) * self.twist_re[half] * factor;
        (low[half], high[half]) = (middle, -middle);
        slots::mirror(low, high);
        out
    }

    /// Numbers at the points of their slots.
    fn scattered(&self, values: &[f64]) -> Wiped<f64> {
        let n = self.places.len();
        let mut points = if values.len() < n { Wiped::zero(n) } else { Wiped::any(n) };
        for (value, place) in values.iter().zip(&self.places) {
            points[*place as usize] = *value;
        }
        points
    }

    /// N coefficients times `factor` to all N/2 slots: the real parts, and the imaginary parts where they are asked for.
    pub(crate) fn to_slots(
        &self,
        coefficients: &[f64],
        factor: f64,
        re_slots: &mut [f64],
        im_slots: Option<&mut [f64]>,
    ) {
        let n = self.places.len();
        let (low, high) = coefficients.split_at(n);
        let (mut re, mut im) = (Wiped::any(n), Wiped::any(n));
        slots::twist((low, high), (&self.twist_re, &self.twist_im), factor, &mut re, &mut im);
        slots::forward(&mut re, &mut im, self.stages());
        for (slot, place) in re_slots.iter_mut().zip(&self.places) {
            *slot = re[*place as usize];
        }
        if let Some(im_slots) = im_slots {
            for ((slot, place), conjugate) in im_slots.iter_mut().zip(&self.places).zip(&self.conjugate) {
                let value = im[*place as usize];
                *slot = if *conjugate { -value } else { value };
            }
        }
    }

    /// [`to_slots`](Self::to_slots) for the real parts alone, by a transform of half the length: they are the slots of the mean
    /// of the polynomial and its conjugate.
    pub(crate) fn to_real_slots(&self, coefficients: &[f64], factor: f64, re_slots: &mut [f64]) {
        let n = self.places.len();
        let half = n / 2;
        let (low, high) = coefficients.split_at(n);
        // One point more than half: the last is its own partner.
        let (mut re, mut im) = (Wiped::any(half + 1), Wiped::any(half + 1));
        let twist = (&self.twist_re[..=half], &self.twist_im[..=half]);
        slots::twist_real((low, high), twist, 0.5 * factor, &mut re, &mut im);
        let stage = half - 1..n - 1;
        let roots = (&self.stage_re[stage.clone()], &self.stage_im[stage]);
        let mut points = Wiped::any(n);
        let (even, odd) = points.split_at_mut(half);
        slots::interleave_real((&re, &im), roots, even, odd);
        slots::forward(even, odd, self.stages());
        for (slot, place) in re_slots.iter_mut().zip(&self.places) {
            *slot = points[*place as usize];
        }
    }

    fn stages(&self) -> Stages<'_> {
        Stages { re: &self.stage_re, im: &self.stage_im }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_lie_on_the_circle_and_are_exact_where_they_can_be() {
        assert_eq!(
            (unit(0, 16), unit(4, 16), unit(8, 16), unit(12, 16)),
            ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))
        );
        for k in 0..64 {
            let (c, s) = unit(k, 64);
            let angle = core::f64::consts::TAU * k as f64 / 64.0;
            assert!((c - angle.cos()).abs() < 1e-15 && (s - angle.sin()).abs() < 1e-15, "{k}");
        }
    }

    #[test]
    fn slots_are_the_values_at_the_powers_of_three() {
        let degree = 32;
        let transform = SlotTransform::new(degree);
        let m: Vec<f64> = (0..degree).map(|k| (k as f64 * 0.7).sin()).collect();
        let (mut re, mut im) = (vec![0.0; degree / 2], vec![0.0; degree / 2]);
        transform.to_slots(&m, 1.0, &mut re, Some(&mut im));
        let mut power = 1;
        for i in 0..degree / 2 {
            let (mut er, mut ei) = (0.0, 0.0);
            for (k, c) in m.iter().enumerate() {
                let angle = core::f64::consts::PI * (power * k % (2 * degree)) as f64 / degree as f64;
                er += c * angle.cos();
                ei += c * angle.sin();
            }
            assert!((re[i] - er).abs() < 1e-12 && (im[i] - ei).abs() < 1e-12, "slot {i}");
            power = power * 3 % (2 * degree);
        }
        let back = transform.to_coefficients(&re, &im, 1.0);
        assert!(back.iter().zip(&m).all(|(a, b)| (a - b).abs() < 1e-14));
    }

    #[test]
    fn real_numbers_take_half_the_work_to_the_same_coefficients() {
        for degree in [8, 16, 32, 256, 4096] {
            let transform = SlotTransform::new(degree);
            for count in [1, degree / 2 - 1, degree / 2] {
                let values: Vec<f64> = (0..count).map(|k| (k as f64 * 1.7 + 0.3).sin() * 1e6).collect();
                let full = transform.to_coefficients(&values, &vec![0.0; count], 3.5);
                let half = transform.real_to_coefficients(&values, 3.5);
                let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-8;
                assert!(full.iter().zip(half.iter()).all(close), "N={degree}, {count} numbers");
                let (mut real, mut expected) = (vec![0.0; degree / 2], vec![0.0; degree / 2]);
                let any: Vec<f64> = (0..degree).map(|k| (k as f64 * 0.9 + 2.0).cos() * 1e6).collect();
                transform.to_real_slots(&any, 0.7, &mut real);
                transform.to_slots(&any, 0.7, &mut expected, None);
                let scale = 1e6 * degree as f64;
                assert!(real.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-14 * scale), "N={degree}");
                let mirrored = (1..degree).all(|k| half[k] == -half[degree - k]);
                assert!(mirrored && half[degree / 2] == 0.0, "N={degree}");
            }
        }
    }
}
