use std::sync::Arc;

use super::{Policy, Row, Selection};
use crate::{Error, Observation, Order, Schedule, StepRequest};

/// Combines an order, which ranks positions, with a schedule, which sets how many are revealed.
///
/// It ranks all candidates, so the sampler passes of a step can reveal any of them. They are ranked again
/// after each pass. A step for which the schedule plans no token skips the forward.
///
/// Exact at one token per forward if the order is.
#[derive(Clone)]
pub struct Ranked {
    order: Arc<dyn Order>,
    schedule: Arc<dyn Schedule>,
}

impl Ranked {
    /// Creates the policy from an order and a schedule.
    pub fn new(order: impl Order + 'static, schedule: impl Schedule + 'static) -> Self {
        Self { order: Arc::new(order), schedule: Arc::new(schedule) }
    }
}

impl Policy for Ranked {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        request.skip_while(|progress| self.schedule.plan(progress) == 0);
        Ok(())
    }

    fn select(
        &mut self,
        rows: &mut Observation<'_>,
        selection: &mut Selection,
    ) -> Result<(), Error> {
        self.order.rank(rows, &mut selection.ranked)?;
        let ranked = crate::schedule::Ranking::new(rows.candidates(), &selection.ranked);
        selection.count = self.schedule.quota(rows.progress(), ranked).max(1);
        Ok(())
    }

    fn rank(&mut self, rows: &mut Observation<'_>, ranked: &mut Vec<Row>) -> Result<(), Error> {
        self.order.rank(rows, ranked)
    }

    fn steps(&self) -> Option<usize> {
        self.schedule.steps()
    }
}
