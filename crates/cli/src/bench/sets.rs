//! The parameter sets that are measured.

use hei_ckks::ParametersLiteral;

/// Degree and prime sizes, and a second choice of special primes where it pays.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) name: &'static str,
    pub(crate) degree: usize,
    pub(crate) data: &'static [u32],
    pub(crate) special: &'static [u32],
    /// Special primes of the hybrid form, which SEAL does not have.
    pub(crate) hybrid: Option<&'static [u32]>,
    pub(crate) log_scale: u32,
}

const fn set(
    name: &'static str,
    degree: usize,
    data: &'static [u32],
    special: &'static [u32],
    log_scale: u32,
) -> Set {
    Set { name, degree, data, special, hybrid: None, log_scale }
}

pub(crate) const SETS: [Set; 6] = [
    set("n4096", 4096, &[36, 34], &[36], 30),
    set("n8192-60", 8192, &[60, 40, 40], &[60], 40),
    set("n8192-47", 8192, &[47, 47, 47], &[47], 40),
    set("n16384-60", 16384, &[60, 30, 30], &[60], 30),
    set("n16384-50", 16384, &[50, 30, 30], &[50], 30),
    Set {
        name: "n32768",
        degree: 32768,
        data: &[50, 47, 47, 47, 47, 47, 47, 47, 47, 47, 47, 47],
        special: &[50],
        hybrid: Some(&[50, 50, 50, 50, 50]),
        log_scale: 47,
    },
];

/// The set of a name.
pub(crate) fn parse(name: &str) -> Result<&'static Set, String> {
    let names: Vec<&str> = SETS.iter().map(|set| set.name).collect();
    SETS.iter().find(|set| set.name == name).ok_or_else(|| format!("the sets are {}", names.join(", ")))
}

/// These sets, or all.
pub(crate) fn chosen(sets: &[&'static Set]) -> Vec<&'static Set> {
    if sets.is_empty() { SETS.iter().collect() } else { sets.to_vec() }
}

impl Set {
    /// The parameters with one special prime, or with the hybrid ones.
    pub(crate) fn literal(&self, hybrid: bool) -> ParametersLiteral {
        let special = if hybrid { self.hybrid.unwrap_or(self.special) } else { self.special };
        ParametersLiteral {
            poly_modulus_degree: self.degree,
            coeff_modulus_bits: [self.data, special].concat(),
            special_count: special.len(),
            scale: f64::exp2(f64::from(self.log_scale)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hei_ckks::Parameters;

    #[test]
    fn every_set_is_within_the_security_table() {
        for set in &SETS {
            assert_eq!(parse(set.name), Ok(set));
            for hybrid in [false, true] {
                let parameters = Parameters::new(&set.literal(hybrid)).unwrap();
                let report = parameters.security();
                assert!(report.log2_qp <= f64::from(report.limit_128), "{}", set.name);
            }
        }
        assert!(parse("n1").unwrap_err().contains("n8192-60"));
    }
}
