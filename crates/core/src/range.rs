//! Checks of numeric parameters, with uniform error messages.
//!
//! Every constructor of this crate validates its numbers with these functions. They return the value, so a
//! strategy of your own can check a parameter where it stores it:
//!
//! ```
//! use conjoint_core::{Error, range};
//!
//! struct Patient {
//!     threshold: f64,
//!     steps: usize,
//! }
//!
//! impl Patient {
//!     fn new(threshold: f64, steps: usize) -> Result<Self, Error> {
//!         Ok(Self {
//!             threshold: range::probability("threshold", threshold)?,
//!             steps: range::at_least("steps", steps, 1)?,
//!         })
//!     }
//! }
//!
//! let error = Patient::new(1.5, 8).err().expect("1.5 is not a probability");
//! assert_eq!(
//!     error.to_string(),
//!     "invalid value `1.5` for `threshold`: expected a number from 0 to 1"
//! );
//! ```

use std::ops::{Bound, RangeBounds, RangeInclusive};

use crate::Error;

/// Checks that `value` lies in `range`. NaN never does.
///
/// An infinite value is rejected unless it is itself an inclusive bound, as in `0.0..=f64::INFINITY`.
///
/// # Errors
/// [`Error::Parameter`] if it does not.
pub fn within(name: &'static str, value: f64, range: impl RangeBounds<f64>) -> Result<f64, Error> {
    if contains(&range, value) {
        return Ok(value);
    }
    Err(Error::parameter(name, value, expected(&range)))
}

/// Rounds `value` to float32 and checks the result as [`within`] does.
///
/// # Errors
/// [`Error::Parameter`] if the rounded value is outside of `range`.
pub fn within_f32(
    name: &'static str,
    value: f64,
    range: impl RangeBounds<f64>,
) -> Result<f32, Error> {
    let rounded = value as f32;
    if contains(&range, f64::from(rounded)) {
        return Ok(rounded);
    }
    Err(Error::parameter(name, value, format!("{} in float32", expected(&range))))
}

/// Checks that `value` is a number from 0 to 1.
///
/// # Errors
/// [`Error::Parameter`] if it is not.
pub fn probability(name: &'static str, value: f64) -> Result<f64, Error> {
    within(name, value, 0.0..=1.0)
}

/// Checks that `value` is finite and at least 0.
///
/// # Errors
/// [`Error::Parameter`] if it is not.
pub fn non_negative(name: &'static str, value: f64) -> Result<f64, Error> {
    within(name, value, 0.0..)
}

/// Checks that `value` is finite and above 0.
///
/// # Errors
/// [`Error::Parameter`] if it is not.
pub fn positive(name: &'static str, value: f64) -> Result<f64, Error> {
    within(name, value, (Bound::Excluded(0.0), Bound::Unbounded))
}

/// Checks that `value` is at least `least`.
///
/// # Errors
/// [`Error::Parameter`] if it is not.
pub fn at_least(name: &'static str, value: usize, least: usize) -> Result<usize, Error> {
    if value >= least {
        return Ok(value);
    }
    Err(Error::parameter(name, value, format!("an integer of at least {least}")))
}

/// Checks that `value` lies in `range`.
///
/// # Errors
/// [`Error::Parameter`] if it does not.
pub fn between(
    name: &'static str,
    value: usize,
    range: RangeInclusive<usize>,
) -> Result<usize, Error> {
    if range.contains(&value) {
        return Ok(value);
    }
    let expected = format!("an integer from {} to {}", range.start(), range.end());
    Err(Error::parameter(name, value, expected))
}

fn contains(range: &impl RangeBounds<f64>, value: f64) -> bool {
    let is_bound = |bound: Bound<&f64>| matches!(bound, Bound::Included(&end) if end == value);
    let is_finite =
        value.is_finite() || is_bound(range.end_bound()) || is_bound(range.start_bound());
    is_finite && range.contains(&value)
}

/// The range in words.
fn expected(range: &impl RangeBounds<f64>) -> String {
    use Bound::{Excluded, Included, Unbounded};
    match (range.start_bound(), range.end_bound()) {
        (Included(a), Included(&f64::INFINITY)) => format!("a number of at least {a}"),
        (Included(a), Included(b)) => format!("a number from {a} to {b}"),
        (Included(a), Excluded(b)) => format!("a number of at least {a} and below {b}"),
        (Included(a), Unbounded) => format!("a finite number of at least {a}"),
        (Excluded(a), Included(b)) => format!("a number above {a} and at most {b}"),
        (Excluded(a), Excluded(b)) => format!("a number above {a} and below {b}"),
        (Excluded(a), Unbounded) => format!("a finite number above {a}"),
        (Unbounded, Included(b)) => format!("a finite number of at most {b}"),
        (Unbounded, Excluded(b)) => format!("a finite number below {b}"),
        (Unbounded, Unbounded) => "a finite number".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn bounds_are_included_or_not_as_the_range_says() {
        assert_eq!(within("p", 1.0, 0.0..=1.0).unwrap(), 1.0);
        assert!(within("p", 1.0, 0.0..1.0).is_err());
        let above_0 = (Bound::Excluded(0.0), Bound::Included(1.0));
        assert!(within("p", 0.0, above_0).is_err() && within("p", 0.1, above_0).is_ok());
        assert!(positive("p", 0.0).is_err() && positive("p", 1e-300).is_ok());
        assert!(non_negative("p", 0.0).is_ok() && non_negative("p", -0.1).is_err());
    }

    #[test]
    fn nan_and_unlisted_infinities_are_rejected() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(within("x", bad, ..).is_err() && non_negative("x", bad).is_err(), "{bad}");
            assert!(within_f32("x", bad, 0.0..).is_err(), "{bad}");
        }
        assert_eq!(within("x", f64::INFINITY, 0.0..=f64::INFINITY).unwrap(), f64::INFINITY);
        assert!(within("x", f64::NAN, 0.0..=f64::INFINITY).is_err());
    }

    #[test]
    fn float32_must_hold_the_value() {
        assert_eq!(within_f32("x", 0.1, 0.0..).unwrap(), 0.1_f32);
        assert!(message(within_f32("x", 1e300, 0.0..)).contains("in float32"));
    }

    #[test]
    fn messages_name_the_value_the_parameter_and_the_range() {
        assert_eq!(
            message(probability("p", 1.5)),
            "invalid value `1.5` for `p`: expected a number from 0 to 1"
        );
        assert_eq!(
            message(at_least("k", 0, 1)),
            "invalid value `0` for `k`: expected an integer of at least 1"
        );
        assert!(message(between("k", 9, 1..=8)).ends_with("expected an integer from 1 to 8"));
        assert!(message(positive("x", -1.0)).ends_with("expected a finite number above 0"));
        assert!(message(non_negative("x", -1.0)).ends_with("a finite number of at least 0"));
    }
}
