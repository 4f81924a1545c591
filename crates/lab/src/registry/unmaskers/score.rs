use conjoint::prelude::*;

use crate::registry::spec::Values;

/// The score that the parameter `score` names.
pub fn score(values: &Values<'_>) -> Result<Score, conjoint::Error> {
    let choice = values.choice("score", &["raw", "filtered"])?;
    Ok(if choice == "raw" { Score::Raw } else { Score::Filtered })
}
