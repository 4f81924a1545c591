use std::sync::Arc;

use super::{Policy, Row, Selection};
use crate::{Error, Observation, Order, Schedule, StepRequest};

/// An order that says where, and a schedule that says how many.
///
/// All candidates are ranked, so that the sampler passes of a step are open to all of them, and each is followed by a new
/// ranking. A step for which the schedule plans no token costs no forward.
///
/// Exact at one token per forward if the order is.
#[derive(Clone)]
pub struct Ranked {
    order: Arc<dyn Order>,
    schedule: Arc<dyn Schedule>,
}

impl Ranked {
    /// Reveals as many as the schedule says, in this order.
    pub fn new(order: impl Order + 'static, schedule: impl Schedule + 'static) -> Self {
        Self { order: Arc::new(order), schedule: Arc::new(schedule) }
    }
}

impl Policy for Ranked {
    fn plan(&mut self, request: &mut StepRequest<'_>) -> Result<(), Error> {
        request.skip_while(|ahead| self.schedule.plan(ahead) == 0);
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
