//! Checks which settings can be combined, and derives the roles of a sequence from them.

use std::sync::Arc;

use super::Generator;
use crate::policy::{DynPolicy, Ranked};
use crate::reviser::DynReviser;
use crate::schedule::TokensPerStep;
use crate::unmasker::{Control, DynUnmasker};
use crate::{Error, Order, Policy, Reviser, Unmasker};

/// The strategy of a sequence. Each sequence has its own copy.
#[derive(Clone)]
pub(super) struct Roles {
    pub unmasker: Box<dyn DynUnmasker>,
    /// `None` if the unmasker chooses positions itself.
    pub policy: Option<Box<dyn DynPolicy>>,
    pub reviser: Option<Box<dyn DynReviser>>,
    /// The total number of steps, if there is one.
    pub steps: Option<usize>,
}

impl Roles {
    /// The roles of a generator, if its settings can be combined: none may be ignored.
    pub fn of(generator: &Generator) -> Result<Self, Error> {
        let strategy = &generator.strategy;
        let unmasker = strategy.unmasker.clone();
        let settings = Settings::of(generator)?;
        settings.check(&*unmasker)?;
        let Settings { order, schedule, policy, reviser } = settings;
        let order = order.unwrap_or_else(|| unmasker.default_order());
        let policy = match (unmasker.control(), policy) {
            (Control::Alone | Control::Steps, _) => None,
            (Control::Order | Control::OrderAlone, _) => {
                Some(Ranked::new(order, TokensPerStep::ONE).boxed())
            }
            (_, Some(policy)) => Some(policy),
            (_, None) => {
                let schedule = schedule.clone().unwrap_or_else(|| Arc::new(TokensPerStep::ONE));
                Some(Ranked::new(order, schedule).boxed())
            }
        };
        let steps = match &policy {
            Some(policy) => policy.steps(),
            None => schedule.as_ref().and_then(|schedule| schedule.steps()),
        };
        if steps.is_none() {
            if unmasker.control() == Control::Steps {
                return Err(Error::NeedsSteps { strategy: unmasker.name() });
            }
            if let Some(reviser) = reviser.as_ref().filter(|reviser| reviser.needs_steps()) {
                return Err(Error::NeedsSteps { strategy: reviser.name() });
            }
        }
        Ok(Self { unmasker, policy, reviser, steps })
    }
}

/// The settings, from the generator or its strategy.
struct Settings {
    order: Option<Arc<dyn Order>>,
    schedule: Option<Arc<dyn crate::Schedule>>,
    policy: Option<Box<dyn DynPolicy>>,
    reviser: Option<Box<dyn DynReviser>>,
}

impl Settings {
    fn of(generator: &Generator) -> Result<Self, Error> {
        let strategy = &generator.strategy;
        let name = strategy.unmasker.name();
        let twice = |setting: &str, reason| Error::Combination {
            unmasker: name,
            setting: setting.to_owned(),
            reason,
        };
        let own_order = strategy.unmasker.order();
        if own_order.is_some() && generator.order.is_some() {
            return Err(twice("a second order", "it has an order of its own: set one of the two"));
        }
        if strategy.policy.is_some() && generator.policy.is_some() {
            let reason = "the strategy has a policy of its own: use its unmasker alone";
            return Err(twice("a second policy", reason));
        }
        if strategy.reviser.is_some() && generator.reviser.is_some() {
            let reason = "the strategy has a reviser of its own: use its unmasker alone";
            return Err(twice("a second reviser", reason));
        }
        Ok(Self {
            order: own_order.or_else(|| generator.order.clone()),
            schedule: generator.schedule.clone(),
            policy: strategy.policy.clone().or_else(|| generator.policy.clone()),
            reviser: strategy.reviser.clone().or_else(|| generator.reviser.clone()),
        })
    }

    /// Rejects settings that the unmasker or the policy would ignore.
    fn check(&self, unmasker: &dyn DynUnmasker) -> Result<(), Error> {
        let Self { order, schedule, policy, reviser } = self;
        let needs_all = reviser.as_ref().filter(|reviser| reviser.needs_whole_selection());
        if let Some(reviser) = needs_all.filter(|_| !unmasker.reveals_selection()) {
            return Err(Error::Combination {
                unmasker: unmasker.name(),
                setting: reviser.name().to_owned(),
                reason: "the reviser needs all selected positions revealed, and the unmasker may reveal \
                         fewer or others: use Marginal or LearnedJoint",
            });
        }
        let error = |setting: String, reason| {
            Err(Error::Combination { unmasker: unmasker.name(), setting, reason })
        };
        let a_policy = || policy.as_ref().map_or("a policy", |policy| policy.name()).to_owned();
        let a_reviser =
            || reviser.as_ref().map_or("a reviser", |reviser| reviser.name()).to_owned();
        let (order, schedule, reviser) = (order.is_some(), schedule.is_some(), reviser.is_some());
        match unmasker.control() {
            Control::Policy => {
                let reason = "the policy decides where and how many: leave the other setting out";
                match policy {
                    Some(policy) if order => {
                        error(format!("{} and an order", policy.name()), reason)
                    }
                    Some(policy) if schedule => {
                        error(format!("{} and a schedule", policy.name()), reason)
                    }
                    _ => Ok(()),
                }
            }
            Control::Order | Control::OrderAlone if policy.is_some() => {
                error(a_policy(), "an order sets where it reveals: use Marginal")
            }
            Control::Order | Control::OrderAlone if schedule => {
                let reason = "the unmasker sets the number of positions itself: use Marginal or LearnedJoint";
                error("a schedule".to_owned(), reason)
            }
            Control::Schedule if policy.is_some() => {
                error(a_policy(), "its order is fixed: set a schedule instead")
            }
            Control::Schedule if order => {
                error("an order".to_owned(), "its order is fixed: leave the order out")
            }
            Control::OrderAlone if reviser => {
                error(a_reviser(), "a reviser would change its law: leave the reviser out")
            }
            Control::Order | Control::OrderAlone | Control::Schedule => Ok(()),
            Control::Steps | Control::Alone if policy.is_some() => {
                error(a_policy(), "it chooses positions itself: leave the policy out")
            }
            Control::Steps | Control::Alone if order => {
                error("an order".to_owned(), "it chooses positions itself: leave the order out")
            }
            Control::Steps | Control::Alone if reviser => {
                let reason = "the unmasker revises tokens itself: leave the reviser out";
                error(a_reviser(), reason)
            }
            Control::Alone if schedule => {
                let reason =
                    "the unmasker sets the number of positions itself: leave the schedule out";
                error("a schedule".to_owned(), reason)
            }
            Control::Steps | Control::Alone => Ok(()),
        }
    }
}
