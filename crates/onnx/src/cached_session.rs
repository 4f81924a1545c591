//! A session of a model that caches keys and values.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use conjoint_core::RowId;
use conjoint_core::cache::{DynCachePolicy, Plan, Planner};
use conjoint_core::denoiser::{Answer, Request, SequenceId, SequenceInput, Session};
use ort::value::DynValue;

use crate::backbone::Backbone;
use crate::contexts::Contexts;
use crate::error::Error;
use crate::grouping::LaneSize;
use crate::hidden::{Hidden, joined};
use crate::logit_rows;
use crate::packing::{Key, Packing};
use crate::pool::Pool;
use crate::requests::{answer, check_rows};
use crate::shared::Shared;

/// Keys and values of the sequences of a run.
pub(crate) struct CachedSession {
    backbone: Arc<Backbone>,
    shared: Arc<Shared>,
    planner: Planner,
    pool: Pool,
    sequences: BTreeMap<SequenceId, Cached>,
    /// Rows of the last forward's canvases without an id.
    temporary: Vec<usize>,
    contexts: Arc<Mutex<Contexts>>,
    /// The number of forwards so far.
    forwards: u64,
}

/// What the session knows of a sequence.
#[derive(Clone)]
struct Cached {
    /// The row of each position in the pool.
    rows: Vec<usize>,
    /// Whether the hidden state of each position is in the pool.
    is_known: Vec<bool>,
}

/// The rows of one call of the backbone. A forward pass may have several.
#[derive(Default)]
struct Call {
    packing: Packing,
    /// The number of hidden states that the calls before it return.
    first: usize,
    /// The pool's row of each row.
    rows: Vec<i64>,
    /// The row of each hidden state that the call returns, and where it is kept in the pool.
    sources: Vec<i64>,
    kept: Vec<i64>,
}

/// Where a sequence's hidden states are after a forward pass, by position.
#[derive(Clone, Default)]
struct Places {
    /// The index of each hidden state among those that the calls return, one call after the other.
    returned: Vec<Option<i64>>,
    /// The pool's row of each hidden state that is known.
    states: Vec<Option<usize>>,
}

impl CachedSession {
    pub fn open(
        backbone: Arc<Backbone>,
        shared: Arc<Shared>,
        policy: Box<dyn DynCachePolicy>,
    ) -> Result<Self, Error> {
        let pool = Pool::new(&shared.opener, &shared.manifest, backbone.layers())?;
        let contexts = Arc::default();
        let (sequences, temporary) = Default::default();
        let planner = Planner::new(policy);
        Ok(Self { backbone, shared, planner, pool, sequences, temporary, contexts, forwards: 0 })
    }

    fn run(&mut self, request: &Request<'_>) -> Result<Answer, Error> {
        let canvases = request.canvases();
        check_rows(&canvases, request.rows)?;
        if canvases.is_empty() {
            return Err(Error::EmptyBatch);
        }
        self.pool.give_back(std::mem::take(&mut self.temporary));
        let mut required = vec![Vec::new(); canvases.len()];
        for row in request.rows {
            required[row.sequence].push(self.backbone.source(row.position));
        }
        let mut plans = Vec::new();
        for (input, mut required) in request.batch.iter().zip(required) {
            required.sort_unstable();
            required.dedup();
            plans.push(self.planner.plan(input, &required));
        }
        let shared = Arc::clone(&self.shared);
        let (calls, places) = self.calls(request.batch, &plans)?;
        let forward = || {
            let run = |call| self.run_call(call);
            let hidden = calls.iter().map(run).collect::<Result<Vec<_>, _>>()?;
            if hidden.is_empty() {
                return Ok(Arc::clone(&self.pool.hidden));
            }
            let named = |error| Error::graph(&shared.folder, error);
            joined(hidden, shared.manifest.hidden_size, named).map(Arc::new)
        };
        let index = |row: &RowId| places[row.sequence].returned[row.position];
        let rows: Vec<i64> = request.rows.iter().filter_map(index).collect();
        let head = |hidden: &_| logit_rows::compute(&shared, hidden, rows, request.form);
        let computed = calls.iter().map(|call| call.packing.len()).sum();
        let (_, rows) = shared.forwards.call(computed, forward, head)?;
        self.forwards += 1;
        let mut contexts = self.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        contexts.versions.resize(self.pool.rows(), 0);
        let kept = calls.iter().flat_map(|call| &call.kept);
        kept.for_each(|&row| contexts.versions[row as usize] = self.forwards);
        drop(contexts);
        let hidden = Hidden {
            value: Arc::clone(&self.pool.hidden),
            count: self.pool.rows(),
            states: places.into_iter().map(|places| places.states).collect(),
            tokens: canvases.iter().map(|canvas| canvas.tokens().to_vec()).collect(),
            passes: BTreeMap::new(),
            latest: None,
            contexts: Some(Arc::clone(&self.contexts)),
        };
        answer(&shared, rows, hidden, request)
    }

    /// The calls that carry out these plans, one for each sequence.
    fn calls(
        &mut self,
        batch: &[SequenceInput<'_>],
        plans: &[Plan],
    ) -> Result<(Vec<Call>, Vec<Places>), Error> {
        let size = |plan: &Plan| {
            let slots = plan.compute.len();
            LaneSize { slots, keys: slots + plan.cached.len() }
        };
        let lanes: Vec<LaneSize> = plans.iter().map(size).collect();
        let (mut calls, mut places) = (Vec::new(), vec![Places::default(); plans.len()]);
        let mut first = 0;
        for members in self.shared.calls(&lanes) {
            let mut call = Call { first, ..Call::default() };
            for sequence in members {
                places[sequence] = self.add(&mut call, &batch[sequence], &plans[sequence])?;
            }
            first += call.sources.len();
            calls.push(call);
        }
        // A plan may compute no row.
        calls.retain(|call| call.packing.len() > 0);
        self.shared.check_memory(calls.iter().map(|call| call.packing.size()))?;
        Ok((calls, places))
    }

    /// Runs a call, and returns its hidden states.
    fn run_call(&mut self, call: &Call) -> Result<DynValue, Error> {
        let Call { packing, rows, sources, kept, .. } = call;
        let (pools, words) = (&self.pool.keys_values, &self.shared.vocabulary);
        let (hidden, new) = self.backbone.run_cached(packing, sources.clone(), words, pools)?;
        self.pool.write_keys(rows, &new)?;
        self.pool.write_hidden(kept, &hidden)?;
        Ok(hidden)
    }

    /// Adds the rows of a sequence to the call.
    fn add(
        &mut self,
        call: &mut Call,
        input: &SequenceInput<'_>,
        plan: &Plan,
    ) -> Result<Places, Error> {
        let tokens = input.canvas.tokens();
        let mut cached = self.cached(input)?;
        let mut is_computed = vec![false; tokens.len()];
        plan.compute.iter().for_each(|&position| is_computed[position] = true);
        let mut positions: Vec<usize> = plan.compute.iter().chain(&plan.cached).copied().collect();
        positions.sort_unstable();
        let key = |&position: &usize| Key { position, row: cached.rows[position] as i64 };
        let lane = call.packing.lane(positions.iter().map(key).collect());
        let mut row_of = vec![0; tokens.len()];
        for (slot, &position) in plan.compute.iter().enumerate() {
            row_of[position] = call.packing.len() as i64;
            call.packing.row([lane, slot], position, tokens[position]);
            call.rows.push(cached.rows[position] as i64);
        }
        let mut returned = vec![None; tokens.len()];
        for (position, returned) in returned.iter_mut().enumerate() {
            let source = self.backbone.source(position);
            if is_computed[source] {
                *returned = Some((call.first + call.sources.len()) as i64);
                call.sources.push(row_of[source]);
                call.kept.push(cached.rows[position] as i64);
                cached.is_known[position] = true;
            }
        }
        let known = cached.rows.iter().zip(&cached.is_known);
        let states = known.map(|(&row, &is_known)| is_known.then_some(row)).collect();
        match input.id {
            Some(id) => drop(self.sequences.insert(id, cached)),
            None => self.temporary.extend(cached.rows),
        }
        Ok(Places { returned, states })
    }

    /// What is kept of a sequence; new rows for one that is not known.
    fn cached(&mut self, input: &SequenceInput<'_>) -> Result<Cached, Error> {
        let length = input.canvas.len();
        if length == 0 {
            return Err(Error::EmptyBatch);
        }
        if let Some(id) = input.id {
            match self.sequences.remove(&id) {
                Some(cached) if cached.rows.len() == length => return Ok(cached),
                Some(other) => self.pool.give_back(other.rows),
                None => {}
            }
        }
        let shared = Arc::clone(&self.shared);
        let rows = self.pool.take(length, |bytes| shared.check_cache(bytes))?;
        Ok(Cached { rows, is_known: vec![false; length] })
    }

    fn forget(&mut self, id: SequenceId) {
        self.planner.end(id);
        if let Some(cached) = self.sequences.remove(&id) {
            self.pool.give_back(cached.rows);
        }
    }
}

impl Session for CachedSession {
    fn forward(&mut self, request: &Request<'_>) -> Result<Answer, conjoint_core::Error> {
        let answer = self.run(request);
        if answer.is_err() {
            // The plans were not carried out.
            request.batch.iter().filter_map(|input| input.id).for_each(|id| self.forget(id));
        }
        Ok(answer?)
    }

    fn end(&mut self, sequence: SequenceId) {
        self.forget(sequence);
    }

    fn is_exact(&self) -> bool {
        self.planner.is_exact()
    }
}
