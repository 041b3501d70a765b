//! Slots to polynomial coefficients and back: a complex transform of N/2 points.
//!
//! A real polynomial m of degree below N is determined by its values at the points zeta^(4j+1), zeta = exp(i pi / N), since
//! every other odd power is the conjugate of one of them. With c_k = (m_k + i m_{k+N/2}) zeta^k those values are the plain
//! Fourier transform of c over N/2 points. SEAL numbers slot i by the power 3^i mod 2N; where that is 3 mod 4 the slot is
//! the conjugate of the value at 2N - 3^i.
//!
//! One order of operations, no fused multiply-add and twiddles from a portable library: every platform computes the same
//! doubles.

use hei_ring::automorphism::SLOT_GENERATOR;
use hei_ring::kernel::fft::Stages;
use hei_ring::kernel::slots;
use hei_ring::ntt::bit_reverse;
use zeroize::Zeroizing;

/// Tables for one degree. Memory: about 36 N bytes.
#[derive(Debug, Clone)]
pub(crate) struct SlotTransform {
    /// Where slot i sits in bit-reversed order, and whether it is conjugated there.
    slots: Vec<(u32, bool)>,
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
        let slots = (0..n)
            .map(|_| {
                let conjugate = power % 4 == 3;
                let point = if conjugate { two_n - power } else { power };
                power = power * SLOT_GENERATOR % two_n;
                (bit_reverse(((point - 1) / 4) as usize, log) as u32, conjugate)
            })
            .collect();
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
        Self { slots, stage_re, stage_im, twist_re, twist_im }
    }

    /// Slots (as many as given, the rest zero) to N coefficients times `factor`, not rounded.
    pub(crate) fn to_coefficients(
        &self,
        re_slots: &[f64],
        im_slots: Option<&[f64]>,
        factor: f64,
    ) -> Vec<f64> {
        let n = self.slots.len();
        let (mut re, mut im) = (Zeroizing::new(vec![0.0; n]), Zeroizing::new(vec![0.0; n]));
        for (i, (value, (place, conjugate))) in re_slots.iter().zip(&self.slots).enumerate() {
            re[*place as usize] = *value;
            if let Some(im_slots) = im_slots {
                im[*place as usize] = if *conjugate { -im_slots[i] } else { im_slots[i] };
            }
        }
        slots::inverse(&mut re, &mut im, self.stages());
        let mut out = vec![0.0; 2 * n];
        let (low, high) = out.split_at_mut(n);
        slots::untwist((&re, &im), (&self.twist_re, &self.twist_im), factor / n as f64, low, high);
        out
    }

    /// N coefficients to all N/2 slots: the real parts, and the imaginary parts where they are asked for.
    pub(crate) fn to_slots(&self, coefficients: &[f64], re_slots: &mut [f64], im_slots: Option<&mut [f64]>) {
        let n = self.slots.len();
        let (low, high) = coefficients.split_at(n);
        let (mut re, mut im) = (Zeroizing::new(vec![0.0; n]), Zeroizing::new(vec![0.0; n]));
        slots::twist((low, high), (&self.twist_re, &self.twist_im), &mut re, &mut im);
        slots::forward(&mut re, &mut im, self.stages());
        for (slot, (place, _)) in re_slots.iter_mut().zip(&self.slots) {
            *slot = re[*place as usize];
        }
        if let Some(im_slots) = im_slots {
            for (slot, (place, conjugate)) in im_slots.iter_mut().zip(&self.slots) {
                let value = im[*place as usize];
                *slot = if *conjugate { -value } else { value };
            }
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
        transform.to_slots(&m, &mut re, Some(&mut im));
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
        let back = transform.to_coefficients(&re, Some(&im), 1.0);
        assert!(back.iter().zip(&m).all(|(a, b)| (a - b).abs() < 1e-14));
    }
}
