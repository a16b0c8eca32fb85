//! [`ExactSum`]: the sum of floats, exact and rounded once, so that their order does not count.
//!
//! Source: J. R. Shewchuk, "Adaptive Precision Floating-Point Arithmetic and Fast Robust Geometric Predicates" (1997), the
//! partial sums of which Python's `math.fsum` is made.

#![expect(clippy::float_cmp, reason = "these sums are exact")]

/// A sum of floats.
#[derive(Clone, Debug, Default)]
pub(super) struct ExactSum {
    /// Sums that do not overlap, in ascending order of magnitude; their exact sum is the sum of all finite numbers.
    partials: Vec<f64>,
    /// Numbers that are infinite, and sums beyond the range.
    positive: bool,
    negative: bool,
}

impl ExactSum {
    pub(super) fn add(&mut self, mut number: f64) {
        if number.is_infinite() {
            if number > 0.0 {
                self.positive = true;
            } else {
                self.negative = true;
            }
            return;
        }
        let mut kept = 0;
        for index in 0..self.partials.len() {
            let mut other = self.partials[index];
            if number.abs() < other.abs() {
                std::mem::swap(&mut number, &mut other);
            }
            let high = number + other;
            let low = other - (high - number);
            if low != 0.0 {
                self.partials[kept] = low;
                kept += 1;
            }
            number = high;
        }
        self.partials.truncate(kept);
        if number.is_infinite() {
            return self.add(number);
        }
        self.partials.push(number);
    }

    /// The sum; `None` where both infinities were added.
    pub(super) fn value(&self) -> Option<f64> {
        match (self.positive, self.negative) {
            (true, true) => return None,
            (true, false) => return Some(f64::INFINITY),
            (false, true) => return Some(f64::NEG_INFINITY),
            (false, false) => {}
        }
        let mut rest = self.partials.iter().rev().copied();
        let mut high = rest.next().unwrap_or(0.0);
        let mut low = 0.0;
        for other in rest.by_ref() {
            let sum = high + other;
            low = other - (sum - high);
            high = sum;
            if low != 0.0 {
                break;
            }
        }
        // Half-way cases look at the next partial, which decides the direction.
        if let Some(next) = rest.next()
            && ((low < 0.0 && next < 0.0) || (low > 0.0 && next > 0.0))
        {
            let twice = low * 2.0;
            let rounded = high + twice;
            if twice == rounded - high {
                high = rounded;
            }
        }
        // Zero has one sign here.
        Some(high + 0.0)
    }
}

#[cfg(test)]
mod tests {
    use bigdecimal::{BigDecimal, ToPrimitive};
    use proptest::prelude::*;

    use super::ExactSum;

    fn sum(numbers: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        for number in numbers {
            sum.add(*number);
        }
        sum.value().unwrap()
    }

    #[test]
    fn what_floats_lose_one_by_one_is_kept() {
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(sum(&[1e16, 1.0, 1e-16]), 10_000_000_000_000_002.0);
        assert_eq!(sum(&[]), 0.0);
    }

    proptest! {
        #[test]
        fn the_sum_is_the_exact_one_in_every_order(mut numbers in prop::collection::vec(-1e15..1e15f64, 0..40)) {
            let exact: BigDecimal = numbers.iter().map(|number| BigDecimal::try_from(*number).unwrap()).sum();
            let forwards = sum(&numbers);
            numbers.reverse();
            prop_assert_eq!(forwards, sum(&numbers));
            let text = exact.to_plain_string();
            prop_assert_eq!(forwards, text.parse::<f64>().unwrap_or_else(|_| exact.to_f64().unwrap()));
        }
    }
}
