use conjoint_core::strategy::Strategy;
use conjoint_core::{Error as CoreError, Generator, Output};

use super::Violation;
use super::probe::{Fault, Flaw, Probe, Rows};

/// The changed row.
const SEQUENCE: usize = 1;
const POSITION: usize = 3;

/// Checks that a row without a possible draw is an error that names the row.
pub(super) fn flawed_rows(
    name: &str,
    set: &dyn Fn(Generator) -> Generator,
    make: impl Fn() -> Strategy,
) -> Result<(), Violation> {
    for flaw in Flaw::ALL {
        let outcome = run_with(flaw, set, make());
        if !is_reported(flaw, &outcome) {
            let error = if flaw.is_empty() { "EmptyRow" } else { "NonFinite" };
            return Err(Violation::MissedError {
                run: format!("{name}, one row with {flaw:?}"),
                expected: format!("{error} naming sequence {SEQUENCE}, position {POSITION}"),
                got: outcome.map_or_else(|e| e.to_string(), |_| "finished outputs".into()),
            });
        }
    }
    Ok(())
}

fn run_with(
    flaw: Flaw,
    set: &dyn Fn(Generator) -> Generator,
    strategy: Strategy,
) -> Result<Vec<Output>, CoreError> {
    let probe = Probe::new(Rows::Plain)?;
    let canvases = probe.canvases()?;
    let fault = Fault { length: canvases[SEQUENCE].len(), position: POSITION, flaw };
    let generator = Generator::new(probe.with_fault(fault)).unmasker(strategy);
    // Without a ban the draw has to exclude the mask.
    let generator = if flaw == Flaw::OnlyMask { generator.ban([]) } else { generator };
    set(generator).run(canvases, &mut ())
}

fn is_reported(flaw: Flaw, outcome: &Result<Vec<Output>, CoreError>) -> bool {
    match outcome {
        // A strategy that never refines never reads the flawed rows.
        Ok(outputs) => flaw == Flaw::LayerNan && outputs[SEQUENCE].sampler_calls == 0,
        Err(CoreError::EmptyRow { sequence, position }) => {
            flaw.is_empty() && (*sequence, *position) == (SEQUENCE, POSITION)
        }
        Err(CoreError::NonFinite { sequence, position, .. }) => {
            let named = *sequence == SEQUENCE && (*position == POSITION || flaw == Flaw::LayerNan);
            named && !flaw.is_empty()
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::ProbeLayer;
    use conjoint_core::schedule::TokensPerStep;
    use conjoint_core::unmasker::{LearnedJoint, Marginal};

    #[test]
    fn only_an_error_that_names_the_row_counts() {
        let non_finite = |sequence, position| {
            Err(CoreError::NonFinite { sequence, position, token: 0, value: f32::NAN })
        };
        let empty = |sequence, position| Err(CoreError::EmptyRow { sequence, position });
        for flaw in Flaw::ALL {
            assert_eq!(is_reported(flaw, &empty(1, 3)), flaw.is_empty(), "{flaw:?}");
            assert_eq!(is_reported(flaw, &non_finite(1, 3)), !flaw.is_empty(), "{flaw:?}");
            assert_eq!(is_reported(flaw, &non_finite(1, 4)), flaw == Flaw::LayerNan, "{flaw:?}");
            for other in [empty(0, 3), empty(1, 2), non_finite(0, 3), Err(CoreError::EmptyPrompt)] {
                assert!(!is_reported(flaw, &other), "{flaw:?}");
            }
        }
    }

    #[test]
    fn a_strategy_that_refines_reads_the_flawed_rows() {
        let three = |generator: Generator| generator.schedule(TokensPerStep::new(3).unwrap());
        let refines = run_with(Flaw::LayerNan, &three, LearnedJoint::new(ProbeLayer).into());
        assert!(matches!(refines, Err(CoreError::NonFinite { sequence: SEQUENCE, .. })));
        let outputs = run_with(Flaw::LayerNan, &three, Marginal::default().into());
        assert!(is_reported(Flaw::LayerNan, &outputs));
        let mut outputs = outputs.unwrap();
        outputs[SEQUENCE].sampler_calls = 1;
        assert!(!is_reported(Flaw::LayerNan, &Ok(outputs)));
    }
}
