use conjoint::prelude::*;

/// A policy of its own: selects the leftmost and the rightmost candidate, the left one first.
#[derive(Clone, Copy, Default)]
pub struct Outermost;

impl Policy for Outermost {
    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        let last = rows.candidates().len() - 1;
        selection.all_of(if last == 0 { vec![0] } else { vec![0, last] });
        Ok(())
    }
}
