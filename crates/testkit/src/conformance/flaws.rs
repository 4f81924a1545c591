use conjoint_core::strategy::Strategy;
use conjoint_core::{Error as CoreError, Generator, Output};

use super::Violation;
use super::probe::{Fault, Flaw, Probe, Rows};

/// The row that is spoilt.
const SEQUENCE: usize = 1;
const POSITION: usize = 3;

/// A row that cannot be drawn from must be an error that names it.
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
                run: format!("{name}, a row spoilt: {flaw:?}"),
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
    // Without a ban it is for the draw to refuse the mask.
    let generator = if flaw == Flaw::OnlyMask { generator.ban([]) } else { generator };
    set(generator).run(canvases, &mut ())
}

fn is_reported(flaw: Flaw, outcome: &Result<Vec<Output>, CoreError>) -> bool {
    match outcome {
        // A strategy that never refines never meets the flaw.
        Ok(outputs) => flaw == Flaw::Refined && outputs[SEQUENCE].sampler_calls == 0,
        Err(CoreError::EmptyRow { sequence, position }) => {
            flaw.is_empty() && (*sequence, *position) == (SEQUENCE, POSITION)
        }
        Err(CoreError::NonFinite { sequence, position, .. }) => {
            let named = *sequence == SEQUENCE && (*position == POSITION || flaw == Flaw::Refined);
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
            assert_eq!(is_reported(flaw, &non_finite(1, 4)), flaw == Flaw::Refined, "{flaw:?}");
            for other in [empty(0, 3), empty(1, 2), non_finite(0, 3), Err(CoreError::EmptyPrompt)] {
                assert!(!is_reported(flaw, &other), "{flaw:?}");
            }
        }
    }

    #[test]
    fn a_strategy_that_refines_meets_the_flaw_of_its_layer() {
        let three = |generator: Generator| generator.schedule(TokensPerStep::new(3).unwrap());
        let refines = run_with(Flaw::Refined, &three, LearnedJoint::new(ProbeLayer).into());
        assert!(matches!(refines, Err(CoreError::NonFinite { sequence: SEQUENCE, .. })));
        let outputs = run_with(Flaw::Refined, &three, Marginal::default().into());
        assert!(is_reported(Flaw::Refined, &outputs));
        let mut outputs = outputs.unwrap();
        outputs[SEQUENCE].sampler_calls = 1;
        assert!(!is_reported(Flaw::Refined, &Ok(outputs)));
    }
}
