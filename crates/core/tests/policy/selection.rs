//! Selections that a run rejects.

use crate::common::function_model::FunctionModel;
use crate::common::together;
use conjoint_core::policy::Selection;
use conjoint_core::{Canvas, Error, Generator, Observation, Policy, Row, reviser};

/// Selects these candidates.
#[derive(Clone)]
struct Selecting(Vec<usize>);

impl Policy for Selecting {
    fn select(&mut self, _: &mut Observation<'_>, selection: &mut Selection) -> Result<(), Error> {
        selection.all_of(self.0.iter().copied().map(Row::candidate));
        Ok(())
    }
}

#[test]
fn a_wrong_selection_is_an_error_that_names_the_policy() {
    let generator = |selected: &[usize]| {
        let model = FunctionModel::new(|_: &Canvas, _| [0.0; 4]);
        Generator::new(model).unmasker(together(Selecting(selected.to_vec())))
    };
    let run = |generator: Generator| {
        generator.run(vec![Canvas::new(&[1], 3, 4).unwrap()], &mut ()).map(|_| ())
    };
    for (selected, reason) in [(vec![0, 3], "only 3 candidates"), (vec![1, 0, 1], "twice")] {
        let error = run(generator(&selected)).unwrap_err();
        let named = matches!(error, Error::BadSelection { sequence: 0, by: "Selecting", .. });
        assert!(named && error.to_string().contains(reason), "{error}");
    }
    // Nothing selected, and no total of steps.
    assert!(matches!(run(generator(&[])), Err(Error::NoProgress { sequence: 0, step: 0 })));
    // A selection is checked before a reviser changes it.
    let error = run(generator(&[0, 0, 0, 0]).reviser(reviser::Rcr::default()));
    assert!(matches!(error, Err(Error::BadSelection { .. })));
}
