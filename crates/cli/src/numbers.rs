//! Parsers of numbers, with the valid range in the error.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::flag;

/// A finite number above 0.
pub fn positive(text: &str) -> Result<f64, String> {
    number(text, |value| value > 0.0, "a finite number above 0")
}

/// A finite number of 0 or above.
pub fn non_negative(text: &str) -> Result<f64, String> {
    number(text, |value| value >= 0.0, "a finite number of 0 or above")
}

/// A number from 0 to 1.
pub fn share(text: &str) -> Result<f64, String> {
    number(text, |value| (0.0..=1.0).contains(&value), "a number from 0 to 1")
}

/// A number from 0 to below 1.
pub fn below_one(text: &str) -> Result<f64, String> {
    number(text, |value| (0.0..1.0).contains(&value), "a number from 0 to below 1")
}

/// A whole number from `LOW` to `HIGH`.
pub fn count<const LOW: usize, const HIGH: usize>(text: &str) -> Result<usize, String> {
    let fitting = text.parse().ok().filter(|value| (LOW..=HIGH).contains(value));
    fitting.ok_or_else(|| format!("expected a whole number from {LOW} to {HIGH}"))
}

/// A whole number in this range, of the type of its bounds.
pub fn integer<T: FromStr + PartialOrd + Display + Clone>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let fitting = text.parse().ok().filter(|value| range.contains(value));
        let (low, high) = (range.start(), range.end());
        fitting.ok_or_else(|| format!("expected a whole number from {low} to {high}"))
    }
}

/// A number that the library accepts as the parameter of `new`.
pub fn accepted<T>(
    text: &str,
    new: impl Fn(f64) -> Result<T, conjoint::Error>,
) -> Result<f64, String> {
    let value = text.parse().map_err(|_| "expected a number")?;
    flag::value(text, new(value)).map(|_| value)
}

fn number(text: &str, fits: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    let fitting = text.parse().ok().filter(|value: &f64| value.is_finite() && fits(*value));
    fitting.ok_or_else(|| format!("expected {expected}"))
}
