// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Latency histograms: differences, sums and quantiles.

/// Cumulative counts by upper bound in seconds, ascending; the last bound is infinity.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Histogram(Vec<(f64, f64)>);

impl Histogram {
    /// Takes the bucket that ends at `bound`.
    pub(crate) fn add(&mut self, bound: f64, count: f64) {
        let place = self.0.partition_point(|&(other, _)| other < bound);
        self.0.insert(place, (bound, count));
    }

    /// All observations.
    pub(crate) fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |&(_, count)| count)
    }

    /// How many observations were not above `bound`.
    fn up_to(&self, bound: f64) -> f64 {
        let place = self.0.partition_point(|&(other, _)| other <= bound);
        place.checked_sub(1).and_then(|last| self.0.get(last)).map_or(0.0, |&(_, count)| count)
    }

    /// What came since `old`.
    pub(crate) fn since(&self, old: &Self) -> Self {
        Self(self.0.iter().map(|&(bound, count)| (bound, count - old.up_to(bound))).collect())
    }

    /// Both together. The bounds are the same in all histograms of one scrape.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let longer = if self.0.len() < other.0.len() { other } else { self };
        let both = |bound| self.up_to(bound) + other.up_to(bound);
        Self(longer.0.iter().map(|&(bound, _)| (bound, both(bound))).collect())
    }

    /// The time that a share of the observations did not exceed, in seconds; none if there are no
    /// observations.
    ///
    /// Within a bucket it is interpolated between the logarithms of its bounds, as the bounds are
    /// powers of two. Above the last finite bound nothing is known: the answer is that bound.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = share * self.count();
        let place = self.0.iter().position(|&(_, count)| count > 0.0 && count >= wanted)?;
        let &(upper, count) = self.0.get(place)?;
        // The first bucket begins at zero, which has no logarithm: take it to be as wide as the
        // others.
        let (lower, before) = place
            .checked_sub(1)
            .and_then(|last| self.0.get(last))
            .copied()
            .unwrap_or((upper / 2.0, 0.0));
        Some(if upper.is_finite() {
            lower * (upper / lower).powf((wanted - before) / (count - before))
        } else {
            lower
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(counts: &[(f64, f64)]) -> Histogram {
        let mut histogram = Histogram::default();
        for &(bound, count) in counts.iter().rev() {
            histogram.add(bound, count);
        }
        histogram
    }

    const INF: f64 = f64::INFINITY;

    #[test]
    fn quantiles_lie_between_the_logarithms_of_the_bounds() {
        let h = histogram(&[(1.0, 0.0), (4.0, 100.0), (16.0, 100.0), (INF, 100.0)]);
        assert_eq!(h.quantile(0.5), Some(2.0));
        assert_eq!(h.quantile(1.0), Some(4.0));
        let p99 = h.quantile(0.99).unwrap();
        assert!((p99 - 4.0_f64.powf(0.99)).abs() < 1e-9, "{p99}");
    }

    #[test]
    fn the_first_and_the_last_bucket_have_an_answer_too() {
        assert_eq!(histogram(&[(1.0, 2.0), (INF, 2.0)]).quantile(1.0), Some(1.0));
        assert_eq!(histogram(&[(1.0, 2.0), (INF, 2.0)]).quantile(0.5), Some(0.5_f64.sqrt()));
        assert_eq!(histogram(&[(1.0, 0.0), (64.0, 0.0), (INF, 3.0)]).quantile(0.5), Some(64.0));
        assert_eq!(histogram(&[(1.0, 0.0), (INF, 0.0)]).quantile(0.5), None);
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn a_difference_is_what_came_between() {
        let old = histogram(&[(1.0, 10.0), (2.0, 10.0), (INF, 10.0)]);
        let new = histogram(&[(1.0, 10.0), (2.0, 14.0), (INF, 15.0)]);
        assert_eq!(new.since(&old), histogram(&[(1.0, 0.0), (2.0, 4.0), (INF, 5.0)]));
        assert_eq!(new.since(&Histogram::default()), new);
        assert_eq!(new.and(&old), histogram(&[(1.0, 20.0), (2.0, 24.0), (INF, 25.0)]));
        assert_eq!(Histogram::default().and(&old), old);
    }
}
