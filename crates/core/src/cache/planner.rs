use std::collections::BTreeMap;

use super::{CachePolicy, CacheView, DynCachePolicy, Recompute};
use crate::denoiser::{Changed, SequenceId, SequenceInput};

/// Plans the forwards of a session: keeps a clone of the cache policy for each sequence, and the ages of its keys
/// and values.
///
/// The session stores the keys and values themselves, by [`SequenceId`].
///
/// ```
/// use conjoint_core::Canvas;
/// use conjoint_core::cache::{Dual, Planner};
/// use conjoint_core::denoiser::{Changed, SequenceId, SequenceInput};
///
/// let mut planner = Planner::new(Dual::new());
/// let mut canvas = Canvas::new(&[7, 8], 4, 99)?.in_block(2..4)?;
/// let input = SequenceInput { id: Some(SequenceId(0)), canvas: &canvas, changed: &Changed::All };
/// let plan = planner.plan(&input, &[2, 3]);
/// assert_eq!(plan.compute, [0, 1, 2, 3, 4, 5]);
///
/// canvas.reveal(2, 5)?;
/// let changed = Changed::Positions(vec![2]);
/// let input = SequenceInput { id: Some(SequenceId(0)), canvas: &canvas, changed: &changed };
/// let plan = planner.plan(&input, &[3]);
/// assert_eq!(plan.compute, [2, 3]);
/// assert_eq!(plan.cached, [0, 1, 4, 5]);
/// # Ok::<(), conjoint_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Planner {
    policy: Box<dyn DynCachePolicy>,
    sequences: BTreeMap<SequenceId, Sequence>,
}

/// The positions that a forward of one sequence computes, and those that it reads from the cache.
///
/// All other positions have never been computed. They are invisible in this forward.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The positions to compute, ascending.
    pub compute: Vec<usize>,
    /// The other positions that have cached keys and values, ascending.
    pub cached: Vec<usize>,
}

/// The policy and the ages of one sequence.
#[derive(Clone)]
struct Sequence {
    policy: Box<dyn DynCachePolicy>,
    ages: Vec<Option<u32>>,
}

impl Planner {
    /// Creates a planner whose sequences start with clones of `policy`.
    pub fn new(policy: impl DynCachePolicy) -> Self {
        Self { policy: policy.boxed(), sequences: BTreeMap::new() }
    }

    /// Plans the next forward of a sequence: the positions that its policy selects, and the `required` ones, that
    /// is, those that the requested rows depend on. `required` is ascending.
    ///
    /// The plan counts as carried out: the next plan of the sequence may rely on it. For an input without an id,
    /// all positions are computed and nothing is kept. A sequence whose positions have all
    /// [changed](Changed::All) starts again without cached positions.
    pub fn plan(&mut self, input: &SequenceInput<'_>, required: &[usize]) -> Plan {
        let (canvas, changed) = (input.canvas, input.changed);
        let length = canvas.len();
        let Some(id) = input.id else { return Plan::of_all(length) };
        let new = || Sequence { policy: self.policy.clone(), ages: vec![None; length] };
        let sequence = self.sequences.entry(id).or_insert_with(new);
        if *changed == Changed::All || sequence.ages.len() != length {
            *sequence = new();
        }
        let view = CacheView { canvas, changed, ages: &sequence.ages, required };
        let plan = match sequence.policy.select(&view) {
            Recompute::All => Plan::of_all(length),
            Recompute::Positions(positions) => sequence.plan(&positions, required),
        };
        sequence.advance(&plan.compute);
        plan
    }

    /// Drops the state of a sequence.
    pub fn end(&mut self, sequence: SequenceId) {
        self.sequences.remove(&sequence);
    }

    /// Whether the rows always equal those of a forward without a cache.
    pub fn is_exact(&self) -> bool {
        self.policy.is_exact()
    }
}

impl Plan {
    fn of_all(length: usize) -> Self {
        Self { compute: (0..length).collect(), cached: Vec::new() }
    }
}

impl Sequence {
    /// Computes `positions` and the `required` ones. Positions that do not exist are left out.
    fn plan(&self, positions: &[usize], required: &[usize]) -> Plan {
        let mut is_computed = vec![false; self.ages.len()];
        for &position in positions.iter().chain(required) {
            if let Some(it) = is_computed.get_mut(position) {
                *it = true;
            }
        }
        let mut plan = Plan::default();
        for (position, is_computed) in is_computed.into_iter().enumerate() {
            if is_computed {
                plan.compute.push(position);
            } else if self.ages[position].is_some() {
                plan.cached.push(position);
            }
        }
        plan
    }

    fn advance(&mut self, computed: &[usize]) {
        for age in self.ages.iter_mut().flatten() {
            *age = age.saturating_add(1);
        }
        computed.iter().for_each(|&position| self.ages[position] = Some(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Canvas;

    /// Computes the first position only, and all once an age is 2. Position 9 does not exist.
    #[derive(Clone)]
    struct First;

    impl CachePolicy for First {
        fn select(&mut self, sequence: &CacheView<'_>) -> Recompute {
            let oldest = sequence.ages.iter().flatten().max();
            match oldest {
                Some(2) => Recompute::All,
                _ => Recompute::Positions(vec![0, 9]),
            }
        }
    }

    fn plan(planner: &mut Planner, id: Option<u64>, changed: Changed, required: &[usize]) -> Plan {
        let canvas = Canvas::unconditional(4, 7).unwrap();
        let input = SequenceInput { id: id.map(SequenceId), canvas: &canvas, changed: &changed };
        planner.plan(&input, required)
    }

    fn expect(plan: &Plan, compute: &[usize], cached: &[usize]) {
        assert_eq!((&plan.compute[..], &plan.cached[..]), (compute, cached));
    }

    const NONE: Changed = Changed::Positions(Vec::new());

    #[test]
    fn required_positions_are_computed_and_ages_advance() {
        let mut planner = Planner::new(First);
        assert!(!planner.is_exact());
        expect(&plan(&mut planner, Some(0), Changed::All, &[2]), &[0, 2], &[]);
        expect(&plan(&mut planner, Some(0), NONE, &[3]), &[0, 3], &[2]);
        expect(&plan(&mut planner, Some(0), NONE, &[]), &[0], &[2, 3]);
        // The age of position 2 is 2 now.
        expect(&plan(&mut planner, Some(0), NONE, &[]), &[0, 1, 2, 3], &[]);
        expect(&plan(&mut planner, Some(0), NONE, &[]), &[0], &[1, 2, 3]);
    }

    #[test]
    fn sequences_do_not_share_their_cache() {
        let mut planner = Planner::new(First);
        plan(&mut planner, Some(0), Changed::All, &[1, 2, 3]);
        expect(&plan(&mut planner, Some(1), Changed::All, &[]), &[0], &[]);
        expect(&plan(&mut planner, Some(0), NONE, &[]), &[0], &[1, 2, 3]);
    }

    #[test]
    fn nothing_is_kept_of_an_ended_or_new_sequence_and_without_an_id() {
        let mut planner = Planner::new(First);
        expect(&plan(&mut planner, None, Changed::All, &[1]), &[0, 1, 2, 3], &[]);
        assert!(planner.sequences.is_empty());
        plan(&mut planner, Some(0), Changed::All, &[1, 2]);
        expect(&plan(&mut planner, Some(0), Changed::All, &[]), &[0], &[]);
        plan(&mut planner, Some(0), NONE, &[1, 2]);
        planner.end(SequenceId(0));
        assert!(planner.sequences.is_empty());
        expect(&plan(&mut planner, Some(0), NONE, &[]), &[0], &[]);
    }
}
