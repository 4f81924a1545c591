use conjoint::prelude::*;

/// A policy that selects the leftmost and the rightmost candidate, in this order.
#[derive(Clone, Copy, Default)]
pub struct Outermost;

impl Policy for Outermost {
    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        let first = rows.rows().next();
        let last = rows.rows().skip(1).next_back();
        selection.all_of(first.into_iter().chain(last));
        Ok(())
    }
}
