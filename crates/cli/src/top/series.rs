//! Series as OpenMetrics writes them.

use std::collections::BTreeMap;

/// Every sample of one look.
pub(super) struct Series(Vec<Sample>);

struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Sample {
    fn is(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.name == name
            && labels.iter().all(|(key, value)| self.labels.get(*key).is_some_and(|v| v == value))
    }
}

impl Series {
    /// What cannot be read is passed over.
    pub(super) fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    /// The value of the first sample with these labels.
    pub(super) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.0.iter().find(|sample| sample.is(name, labels)).map(|sample| sample.value)
    }

    /// The sum over all samples with these labels.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.0.iter().filter(|sample| sample.is(name, labels)).map(|sample| sample.value).sum()
    }

    /// The values of one label.
    pub(super) fn labels(&self, name: &str, label: &str) -> Vec<String> {
        let mut values: Vec<String> =
            self.0.iter().filter(|s| s.name == name).filter_map(|s| s.labels.get(label).cloned()).collect();
        values.sort();
        values.dedup();
        values
    }

    /// A quantile of a histogram, over what was added since `before`; since the start where nothing was. Between the
    /// bounds of a bucket it is as if all were spread evenly.
    pub(super) fn quantile(
        &self,
        before: Option<&Self>,
        name: &str,
        labels: &[(&str, &str)],
        quantile: f64,
    ) -> Option<f64> {
        let mut buckets = self.buckets(name, labels);
        if let Some(before) = before {
            let earlier = before.buckets(name, labels);
            let added: Vec<(f64, f64)> = buckets
                .iter()
                .map(|(bound, count)| {
                    let was = earlier.iter().find(|(b, _)| b == bound).map_or(0.0, |(_, count)| *count);
                    (*bound, (count - was).max(0.0))
                })
                .collect();
            if added.last().is_some_and(|(_, count)| *count > 0.0) {
                buckets = added;
            }
        }
        let all = buckets.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
        let wanted = quantile * all;
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in buckets {
            if count >= wanted {
                let inside = count - below;
                let part = if inside > 0.0 { (wanted - below) / inside } else { 1.0 };
                return Some(if bound.is_finite() { low + (bound - low) * part } else { low });
            }
            (low, below) = (bound, count);
        }
        None
    }

    /// Upper bounds with cumulative counts, over all series with these labels, in order.
    fn buckets(&self, name: &str, labels: &[(&str, &str)]) -> Vec<(f64, f64)> {
        let name = format!("{name}_bucket");
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for sample in self.0.iter().filter(|sample| sample.is(&name, labels)) {
            let Some(bound) = sample.labels.get("le").and_then(|le| match le.as_str() {
                "+Inf" => Some(f64::INFINITY),
                le => le.parse().ok(),
            }) else {
                continue;
            };
            match buckets.iter_mut().find(|(other, _)| *other == bound) {
                Some((_, count)) => *count += sample.value,
                None => buckets.push((bound, sample.value)),
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        buckets
    }
}

/// `name{key="value",…} number`
fn sample(line: &str) -> Option<Sample> {
    let (head, value) = line.rsplit_once(' ')?;
    let (name, labels) = match head.split_once('{') {
        None => (head, ""),
        Some((name, rest)) => (name, rest.strip_suffix('}')?),
    };
    let mut read = BTreeMap::new();
    let mut rest = labels;
    while !rest.is_empty() {
        let (key, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        read.insert(key.to_owned(), value);
        rest = after.get(end + 1..)?;
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Some(Sample { name: name.to_owned(), labels: read, value: value.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP a b\na_total{x=\"1\",y=\"q\\\"}\"} 3\na_total{x=\"2\"} 4\n\
        t_bucket{le=\"1.0\",r=\"a\"} 10\nt_bucket{le=\"2.0\",r=\"a\"} 20\nt_bucket{le=\"+Inf\",r=\"a\"} 20\n\
        t_bucket{le=\"1.0\",r=\"b\"} 0\nt_bucket{le=\"2.0\",r=\"b\"} 0\nt_bucket{le=\"+Inf\",r=\"b\"} 5\nbroken{ 1\n# EOF\n";

    #[test]
    fn samples_are_read_summed_and_told_apart() {
        let series = Series::parse(TEXT);
        assert_eq!(series.sum("a_total", &[]), 7.0);
        assert_eq!(series.value("a_total", &[("x", "2")]), Some(4.0));
        assert_eq!(series.labels("a_total", "y"), ["q\"}"]);
        assert_eq!(series.value("broken", &[]), None);
    }

    #[test]
    fn quantiles_are_of_what_was_added() {
        let series = Series::parse(TEXT);
        let of =
            |before: Option<&Series>, labels: &[(&str, &str)], q| series.quantile(before, "t", labels, q);
        assert_eq!(of(None, &[("r", "a")], 0.25), Some(0.5));
        assert_eq!(of(None, &[("r", "a")], 0.75), Some(1.5));
        assert_eq!(of(None, &[("r", "b")], 0.5), Some(2.0), "beyond the last bound");
        assert_eq!(of(None, &[], 0.8), Some(2.0), "over both");
        let before = Series::parse(
            "t_bucket{le=\"1.0\",r=\"a\"} 10\nt_bucket{le=\"2.0\",r=\"a\"} 10\nt_bucket{le=\"+Inf\",r=\"a\"} 10\n",
        );
        assert_eq!(of(Some(&before), &[("r", "a")], 0.5), Some(1.5));
        assert_eq!(of(Some(&series), &[("r", "a")], 0.5), Some(1.0), "nothing was added: since the start");
        assert_eq!(of(None, &[("r", "c")], 0.5), None);
    }
}
