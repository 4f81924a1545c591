//! Attention over packed rows.
//!
//! A graph computes N rows of all sequences together. Attention runs in lanes: a lane is a sequence, with S slots
//! for its queries and K slots for its keys. The keys of rows that the call does not compute come from a pool,
//! which holds those of earlier calls.

use conjoint_format::proto::element;

use crate::builder::Builder;
use crate::graph::{Dim, Graph};
use crate::operator_set::{OperatorSet, Reach, Rope, Rotation, SlotPositions};
use crate::value::Value;

/// N: rows that a call computes.
pub(crate) const ROWS: Dim = Dim::Any("rows");
/// B: sequences with rows.
const LANES: Dim = Dim::Any("lanes");
/// S: most rows of one sequence.
const SLOTS: Dim = Dim::Any("slots");
/// K: most keys of one sequence.
const KEYS: Dim = Dim::Any("keys");
/// M: rows of the pool.
const POOL: Dim = Dim::Any("pool");
/// (lane, slot).
const PLACE: Dim = Dim::Fixed(2);

/// The inputs that say where the rows belong, all in i64.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    /// The rows' positions in their sequences: \[N\].
    pub(crate) positions: Value,
    /// The row in each slot for a query: [B, S]; any row for padding.
    pub(crate) slots: Value,
    /// The place (lane, slot) of each row: [N, 2].
    pub(crate) lanes: Value,
    /// The position of each key: [B, K]; −1 for padding.
    pub(crate) key_positions: Value,
    /// Where keys come from. Without it, the key slots are the slots for queries.
    pub(crate) keys: Option<KeySources>,
}

/// Where the keys in the slots come from.
#[derive(Debug, Clone)]
pub(crate) struct KeySources {
    /// The row of the pool in each slot: [B, K]; any row for padding and for the rows of the call.
    cached: Value,
    /// The key slot (lane, slot) of each row of the call: [N, 2].
    computed: Value,
}

/// Keys and values of one layer.
#[derive(Debug, Clone)]
pub(crate) struct KeyValues {
    pub(crate) keys: Value,
    pub(crate) values: Value,
}

/// Values that all layers of a graph share.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) packed: Packed,
    pub(crate) mask: Value,
    /// Of the rows' positions.
    pub(crate) rotation: Rotation,
}

impl Packed {
    /// Declares the inputs of a graph in which every key belongs to a row of the call.
    pub(crate) fn rows_alone(graph: &mut Graph) -> Self {
        let positions = graph.input("positions", element::INT64, &[ROWS]);
        Self::at(graph, positions, SLOTS)
    }

    /// Declares the inputs of a graph with a pool.
    pub(crate) fn with_pool(graph: &mut Graph) -> Self {
        let positions = graph.input("positions", element::INT64, &[ROWS]);
        let packed = Self::at(graph, positions, KEYS);
        let cached = graph.input("cached", element::INT64, &[LANES, KEYS]);
        let computed = graph.input("computed", element::INT64, &[ROWS, PLACE]);
        Self { keys: Some(KeySources { cached, computed }), ..packed }
    }

    fn at(graph: &mut Graph, positions: Value, keys: Dim) -> Self {
        Self {
            positions,
            slots: graph.input("slots", element::INT64, &[LANES, SLOTS]),
            lanes: graph.input("lanes", element::INT64, &[ROWS, PLACE]),
            key_positions: graph.input("key_positions", element::INT64, &[LANES, keys]),
            keys: None,
        }
    }
}

impl Builder<'_> {
    /// Declares the pool of a layer: `keys.N` and `values.N` f32 [M, kv_heads · d].
    pub(crate) fn pool(&self, graph: &mut Graph, layer: usize) -> KeyValues {
        let width = Dim::Fixed(self.blueprint.kv_heads * self.blueprint.head_dim);
        let mut input =
            |name: &str| graph.input(&format!("{name}.{layer}"), element::FLOAT, &[POOL, width]);
        KeyValues { keys: input("keys"), values: input("values") }
    }

    /// Declares the keys and values of a layer that the call computes as outputs: `keys_new.N` and
    /// `values_new.N` f32 [N, kv_heads · d].
    pub(crate) fn new_keys(&self, graph: &mut Graph, layer: usize, new: KeyValues) {
        let width = Dim::Fixed(self.blueprint.kv_heads * self.blueprint.head_dim);
        graph.output(new.keys, &format!("keys_new.{layer}"), &[ROWS, width]);
        graph.output(new.values, &format!("values_new.{layer}"), &[ROWS, width]);
    }

    /// The values that decoder layers share.
    pub(crate) fn frame(&self, graph: &mut Graph, packed: Packed, rotation: Rotation) -> Frame {
        let mask = self.mask(graph, &packed, Reach::of(self.blueprint));
        Frame { packed, mask, rotation }
    }

    /// The rotation of decoder layers at these positions.
    pub(crate) fn rotation(&self, graph: &mut Graph, positions: &Value) -> Rotation {
        OperatorSet::rotation(graph, &Rope::of(self.blueprint), positions)
    }

    /// The mask of keys within this reach.
    pub(crate) fn mask(&self, graph: &mut Graph, packed: &Packed, reach: Reach) -> Value {
        let Packed { positions, slots, key_positions, .. } = packed;
        let slots = SlotPositions { rows: positions, queries: slots, keys: key_positions };
        self.operators.mask(graph, self.blueprint, &slots, reach)
    }

    /// The attention of rows' queries [N, heads · d] to the keys of their lanes: [N, heads · d]. `own` are the
    /// keys and values of the rows, [N, kv_heads · d].
    pub(crate) fn attend(
        &self,
        graph: &mut Graph,
        (packed, mask): (&Packed, &Value),
        q: &Value,
        own: &KeyValues,
        pool: Option<&KeyValues>,
    ) -> Value {
        let Packed { slots, lanes, keys, .. } = packed;
        let q = graph.op("Gather", &[q, slots]); // [B, S, heads · d]
        let mut in_slots = |own: &Value, pool: Option<&Value>| match (keys, pool) {
            (Some(KeySources { cached, computed }), Some(pool)) => {
                let cached = graph.op("Gather", &[pool, cached]); // [B, K, kv_heads · d]
                graph.op("ScatterND", &[&cached, computed, own])
            }
            _ => graph.op("Gather", &[own, slots]),
        };
        let k = in_slots(&own.keys, pool.map(|pool| &pool.keys));
        let v = in_slots(&own.values, pool.map(|pool| &pool.values));
        let mixed = self.operators.attention(graph, self.blueprint, mask, [&q, &k, &v]);
        graph.op("GatherND", &[&mixed, lanes])
    }
}
