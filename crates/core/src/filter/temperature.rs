use super::{Filter, FilterRow};
use crate::Error;
use crate::top_k_rows::{TopKRequest, TopRow, divided};

/// Divides the logits by T: p ∝ exp(logit / T).
///
/// T < 1 sharpens and T > 1 flattens the distribution; T = 1 keeps every bit of the row. For the limit T → 0,
/// draw with [`Argmax`](crate::draw::Argmax) instead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Temperature(f32);

impl Temperature {
    /// Creates the filter with temperature T.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless T is finite and above 0 in float32.
    pub fn new(temperature: f64) -> Result<Self, Error> {
        let t = temperature as f32;
        if t.is_normal() && t > 0.0 {
            Ok(Self(t))
        } else {
            let expected = "a finite number above 0 in float32 (for 0, draw with `Argmax`)";
            Err(Error::parameter("temperature", temperature, expected))
        }
    }
}

impl Filter for Temperature {
    fn apply(&self, row: &mut FilterRow<'_>) {
        if self.0 != 1.0 {
            row.logits.iter_mut().for_each(|logit| {
                let divided = divided(*logit, self.0);
                *logit = if *logit > f32::NEG_INFINITY { divided } else { *logit };
            });
        }
    }

    fn request_top_k(&self, request: &mut TopKRequest) -> bool {
        request.divide(self.0);
        true
    }

    fn apply_top(&self, row: &mut TopRow<'_>) -> bool {
        row.divide(self.0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::filtered;

    #[test]
    fn divides_and_leaves_bans() {
        let half = Temperature::new(0.5).unwrap();
        assert_eq!(filtered(&half, &[1.0, f32::NEG_INFINITY]), [2.0, f32::NEG_INFINITY]);
        let tiny = Temperature::new(1e-30).unwrap();
        assert_eq!(filtered(&tiny, &[1e30, -1e30]), [f32::MAX, f32::MIN]);
    }

    #[test]
    fn invalid_values_are_rejected() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-60] {
            let error = Temperature::new(bad).unwrap_err().to_string();
            assert!(error.contains("temperature"), "{error}");
        }
    }
}
