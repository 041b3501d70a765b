//! Welch's t between the times of one fixed secret and of random ones (O. Reparaz, J. Balasch, I. Verbauwhede, "dude, is
//! my code constant time?", DATE 2017).

use std::time::Instant;

use crate::probes::{Probe, State};

/// Measurements, of both kinds together. Those of a class that are slower than its quantile are left out, for several
/// quantiles: what slows a machine down says nothing of secrets.
const MEASUREMENTS: usize = 20_000;
const QUANTILES: [f64; 4] = [0.2, 0.5, 0.8, 0.95];

pub(crate) fn report(probe: &Probe, state: &mut State) {
    let mut times = [Vec::new(), Vec::new()];
    let mut coin = 0x9e37_79b9_u64;
    for i in 0..MEASUREMENTS {
        coin = coin.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = (coin >> 61 & 1) as usize;
        // The fixed class is filled as well, so that both have done the same before.
        state.fill(if random == 1 { 10 + i as u64 } else { 2 });
        let start = Instant::now();
        (probe.run)(state);
        times[random].push(start.elapsed().as_nanos() as f64);
    }
    let [fixed, random] = &mut times;
    let mut pooled: Vec<f64> = fixed.iter().chain(random.iter()).copied().collect();
    pooled.sort_by(f64::total_cmp);
    let worst = QUANTILES
        .into_iter()
        .map(|quantile| {
            let limit = pooled[(quantile * (pooled.len() - 1) as f64) as usize];
            let cut = |times: &[f64]| times.iter().copied().filter(|t| *t <= limit).collect::<Vec<_>>();
            welch(&cut(fixed), &cut(random)).abs()
        })
        .fold(0.0, f64::max);
    let median = pooled[pooled.len() / 2];
    println!("{{\"probe\":\"{}\",\"t\":{worst:.2},\"median_ns\":{median:.0}}}", probe.name);
}

fn welch(a: &[f64], b: &[f64]) -> f64 {
    let moments = |x: &[f64]| {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        (mean, x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0) / n)
    };
    let ((mean_a, error_a), (mean_b, error_b)) = (moments(a), moments(b));
    (mean_a - mean_b) / (error_a + error_b).sqrt().max(f64::MIN_POSITIVE)
}
