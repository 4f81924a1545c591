//! The two graphs of a sampler layer over rows.
//!
//! The first runs once per step and computes keys and values of all positions. The second runs once per pass
//! and computes the rows.

use conjoint_format::blueprint::Blueprint;
use conjoint_format::proto::{ModelProto, element};
use conjoint_format::weights::{BaseWeights, SamplerWeights};

use crate::graph::{Attribute, Dim, Graph};
use crate::model::{BATCH, Builder, LENGTH, ROWS, linear};
use crate::operator_set::{MASKED_SCORE, OperatorSet};
use crate::product::TRANSPOSED;
use crate::value::Value;

/// S: the largest number of rows of one sequence.
const SLOTS: Dim = Dim::Any("slots");
/// U: the number of distinct tokens.
const WORDS: Dim = Dim::Any("words");
const ONE: Dim = Dim::Fixed(1);
/// An index of three numbers, such as (sequence, head, position).
const INDEX: Dim = Dim::Fixed(3);

/// Indices, in i64, that move the rows' queries into attention and the results out of it.
struct Lanes {
    /// For each slot, the index of its query in the flattened N · heads: [B, heads, S].
    queries: Value,
    /// For each row and head, the index (sequence, head, slot) of its result: [N, heads, 3].
    answers: Value,
}

impl Builder<'_> {
    /// `words` i64 [U], the distinct tokens of the sequences; `input_words` i64 [B, T], the index in `words` of
    /// each token; `key_mask` bool [B, T]; `hidden` f32 [B, T, D] →
    ///
    /// - `keys` and `values` f32 [B, L · kv_heads, T, d] of the L layers, keys rotated;
    /// - `bias` f32 [B, 1, 1, T]: 0, or far below any score for padding;
    /// - `cos` and `sin` f32 [T, d/2].
    pub(crate) fn sampler_context(
        &self,
        base: &BaseWeights,
        weights: &SamplerWeights,
    ) -> ModelProto {
        let mut graph = Graph::new("sampler-context", self.store);
        let words = graph.input("words", element::INT64, &[WORDS]);
        let which = graph.input("input_words", element::INT64, &[BATCH, LENGTH]);
        let key_mask = graph.input("key_mask", element::BOOL, &[BATCH, LENGTH]);
        let hidden = graph.input("hidden", element::FLOAT, &self.hidden());

        let [cos, sin] = OperatorSet::rope_tables(&mut graph, self.blueprint, &which);
        let positions = self.operators.all_positions(&mut graph, [&cos, &sin], &which);
        let prior = self.by_row(&mut graph, &hidden, self.blueprint.hidden_size);
        let mut x = self.fuse_words(&mut graph, base, weights, [&words, &which], &prior);
        let last = weights.layers.len() - 1;
        let frame =
            (last > 0).then(|| self.operators.frame(&mut graph, self.blueprint, &which, &key_mask));
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (number, layer) in weights.layers.iter().enumerate() {
            let scope = format!("layers.{number}");
            graph.scope(format!("{scope}.context"));
            let normed = self.norm(&mut graph, &x, &layer.attention_norm);
            let [k, v] = self.keys_values(&mut graph, layer, &positions, &normed);
            keys.push(self.by_key_head(&mut graph, &k));
            values.push(self.by_key_head(&mut graph, &v));
            if let Some(frame) = frame.as_ref().filter(|_| number < last) {
                x = self.layer(&mut graph, &scope, layer, frame, x);
            }
        }

        graph.scope("final");
        let (unmasked, masked) = (graph.float(0.0), graph.float(MASKED_SCORE));
        let bias = graph.op("Where", &[&key_mask, &unmasked, &masked]);
        let axes = graph.ints(&[1, 2]);
        let bias = graph.op("Unsqueeze", &[&bias, &axes]);
        let keys = joined_layers(&mut graph, keys);
        let values = joined_layers(&mut graph, values);
        let cache = self.cache(weights.layers.len());
        graph.output(keys, "keys", &cache);
        graph.output(values, "values", &cache);
        graph.output(bias, "bias", &[BATCH, ONE, ONE, LENGTH]);
        let half = Dim::Fixed(self.blueprint.head_dim / 2);
        graph.output(cos, "cos", &[LENGTH, half]);
        graph.output(sin, "sin", &[LENGTH, half]);
        self.finish(graph, "Sampler layer: what all positions contribute to a step's passes.")
    }

    /// One pass over N rows of all sequences together. Attention has up to S slots for each sequence. The
    /// requested rows come first, among the rows and in the slots. For the others, the last layer computes only
    /// keys and values.
    ///
    /// - `words` i64 [U], the distinct tokens of the rows, and `row_words` i64 [N, 1], the index in `words` of
    ///   each row's token;
    /// - `asked` i64 \[2\]: the number A of requested rows, and the most slots that they need in a sequence;
    /// - `positions` i64 [N, 1] of the rows;
    /// - `row_keys` i64 [N, kv_heads, 3]: the index (sequence, head, position) of the keys of each row and
    ///   head;
    /// - `queries` i64 [B, heads, S]: the index, in the flattened N · heads, of the query in each slot of a
    ///   sequence; any index for padding; `answers` i64 [N, heads, 3]: the index (sequence, head, slot) of each
    ///   row and head;
    /// - `from` i64 \[N\]: the rows' indices in `hidden` f32 [B, P, D], flattened to B · P: the hidden states
    ///   of the model, or of the previous pass as [A, 1, D];
    /// - the outputs of the context; `keys` and `values` may be those of the previous pass
    ///
    /// → `hidden_next` f32 [A, 1, D], and `keys_next` and `values_next`, which are updated at the rows.
    ///
    /// The linear parts cost N rows, independent of their distribution over sequences. Attention is padded to S
    /// slots for each sequence, and the keys and values of all B sequences are copied.
    pub(crate) fn sampler_rows(&self, base: &BaseWeights, weights: &SamplerWeights) -> ModelProto {
        let mut graph = Graph::new("sampler-rows", self.store);
        let blueprint = self.blueprint;
        let layers = weights.layers.len();
        let width = Dim::Fixed(blueprint.hidden_size);
        let words = graph.input("words", element::INT64, &[WORDS]);
        let which = graph.input("row_words", element::INT64, &[ROWS, ONE]);
        let requested = graph.input("asked", element::INT64, &[Dim::Fixed(2)]);
        let mut position_ids = graph.input("positions", element::INT64, &[ROWS, ONE]);
        let [heads, kv_heads] = [blueprint.heads, blueprint.kv_heads].map(Dim::Fixed);
        let row_keys = graph.input("row_keys", element::INT64, &[ROWS, kv_heads, INDEX]);
        let queries = graph.input("queries", element::INT64, &[BATCH, heads, SLOTS]);
        let answers = graph.input("answers", element::INT64, &[ROWS, heads, INDEX]);
        let from = graph.input("from", element::INT64, &[ROWS]);
        let prior_dims = [Dim::Any("prior_batch"), Dim::Any("prior"), width];
        let hidden = graph.input("hidden", element::FLOAT, &prior_dims);
        let cache = self.cache(layers);
        let [keys, values] =
            ["keys", "values"].map(|name| graph.input(name, element::FLOAT, &cache));
        let bias = graph.input("bias", element::FLOAT, &[BATCH, ONE, ONE, LENGTH]);
        let half = Dim::Fixed(blueprint.head_dim / 2);
        let [cos, sin] =
            ["cos", "sin"].map(|name| graph.input(name, element::FLOAT, &[LENGTH, half]));

        graph.scope("frame");
        let halves = [("num_outputs", Attribute::Int(2))];
        let [rows, slots] = graph.nodes("Split", &[&requested], &halves);
        let mut lanes = Lanes { queries, answers };
        let mut positions = self.operators.row_positions(&mut graph, [&cos, &sin], &position_ids);
        let prior = self.by_row(&mut graph, &hidden, blueprint.hidden_size);
        let mut prior = graph.op("Gather", &[&prior, &from]);
        let mut x = self.fuse_words(&mut graph, base, weights, [&words, &which], &prior);
        let keys = self.split_layers(&mut graph, &keys, layers);
        let values = self.split_layers(&mut graph, &values, layers);

        let (mut keys_next, mut values_next) = (Vec::new(), Vec::new());
        for (number, layer) in weights.layers.iter().enumerate() {
            let scope = format!("layers.{number}");
            graph.scope(format!("{scope}.attention"));
            let mut normed = self.norm(&mut graph, &x, &layer.attention_norm);
            let [k, v] = self.keys_values(&mut graph, layer, &positions, &normed);
            let k = self.replaced(&mut graph, &keys[number], &row_keys, &k);
            let v = self.replaced(&mut graph, &values[number], &row_keys, &v);
            if number + 1 == layers {
                let mut keep_requested = |x: &mut Value, axis: i64, count: &Value| {
                    let (first, axis) = (graph.ints(&[0]), graph.ints(&[axis]));
                    *x = graph.op("Slice", &[&*x, &first, count, &axis]);
                };
                keep_requested(&mut lanes.queries, 2, &slots);
                for of_rows in
                    [&mut lanes.answers, &mut position_ids, &mut prior, &mut normed, &mut x]
                {
                    keep_requested(of_rows, 0, &rows);
                }
                positions = self.operators.row_positions(&mut graph, [&cos, &sin], &position_ids);
            }
            let q = self.queries(&mut graph, layer, &positions, &normed);
            let mixed = self.attend(&mut graph, &lanes, &bias, [&q, &k, &v]);
            let mixed = linear(&mut graph, &mixed, &layer.o);
            x = graph.op("Add", &[&x, &mixed]);
            x = self.ffn(&mut graph, &scope, layer, x);
            keys_next.push(k);
            values_next.push(v);
        }
        graph.scope("final");
        let x = self.norm(&mut graph, &x, &weights.norm_post);
        let next = graph.op("Add", &[&prior, &x]);
        let next = self.by_sequence(&mut graph, &positions.shape, &next, blueprint.hidden_size);
        let keys_next = joined_layers(&mut graph, keys_next);
        let values_next = joined_layers(&mut graph, values_next);
        graph.output(next, "hidden_next", &[Dim::Any("asked"), ONE, width]);
        graph.output(keys_next, "keys_next", &cache);
        graph.output(values_next, "values_next", &cache);
        self.finish(graph, "Sampler layer: one pass over rows.")
    }

    /// Keys or values [B, kv_heads, T, d] of all positions, with those of the rows [N, 1, kv_heads · d]
    /// replaced at these indices.
    fn replaced(&self, graph: &mut Graph, all: &Value, indices: &Value, rows: &Value) -> Value {
        let Blueprint { kv_heads, head_dim, .. } = *self.blueprint;
        let shape = graph.ints(&[-1, kv_heads as i64, head_dim as i64]);
        let rows = graph.op("Reshape", &[rows, &shape]);
        graph.op("ScatterND", &[all, indices, &rows])
    }

    /// The attention of the rows' queries [N, 1, heads · d] to keys and values [B, kv_heads, T, d]: [N, heads ·
    /// d].
    fn attend(
        &self,
        graph: &mut Graph,
        lanes: &Lanes,
        bias: &Value,
        [q, k, v]: [&Value; 3],
    ) -> Value {
        let Blueprint { heads, kv_heads, head_dim, .. } = *self.blueprint;
        let q = self.by_row(graph, q, head_dim);
        let q = graph.op("Gather", &[&q, &lanes.queries]); // [B, heads, S, d]
        // Stack the queries of the heads that share a key head.
        let grouped = graph.ints(&[0, kv_heads as i64, -1, head_dim as i64]);
        let q = graph.op("Reshape", &[&q, &grouped]);
        let scale = graph.float((head_dim as f32).sqrt().recip());
        let q = graph.op("Mul", &[&q, &scale]);
        let k = graph.node("Transpose", &[k], &[("perm", Attribute::Ints(&[0, 1, 3, 2]))]);
        let scores = graph.op("MatMul", &[&q, &k]);
        let scores = graph.op("Add", &[&scores, bias]);
        let weights = graph.node("Softmax", &[&scores], &[("axis", Attribute::Int(-1))]);
        let mixed = graph.op("MatMul", &[&weights, v]);
        let ungrouped = graph.ints(&[0, heads as i64, -1, head_dim as i64]);
        let mixed = graph.op("Reshape", &[&mixed, &ungrouped]);
        let mixed = graph.op("GatherND", &[&mixed, &lanes.answers]); // [N, heads, d]
        self.by_row(graph, &mixed, heads * head_dim)
    }

    /// The input of a sampler's layers, as [`fuse`](Self::fuse) computes it: W [rms_e(embed(x)); rms_h(h)] + b.
    ///
    /// The product with the tokens' half of W is computed once for each distinct token. This saves time,
    /// because many rows hold the mask.
    fn fuse_words(
        &self,
        graph: &mut Graph,
        base: &BaseWeights,
        weights: &SamplerWeights,
        [words, which]: [&Value; 2],
        prior: &Value,
    ) -> Value {
        let width = self.blueprint.hidden_size as i64;
        let tokens = self.embed(graph, &base.embed, words);
        graph.scope("fuse");
        let matrix = graph.weight(&weights.down_project.weight);
        let axis = graph.ints(&[1]);
        let mut half = |first: i64| {
            let [start, end] = [first, first + width].map(|column| graph.ints(&[column]));
            graph.op("Slice", &[&matrix, &start, &end, &axis])
        };
        let (token_half, state_half) = (half(0), half(width));
        let tokens = self.norm(graph, &tokens, &weights.norm_embed);
        let tokens = match &weights.down_project.bias {
            Some(bias) => {
                let bias = graph.weight(bias);
                graph.node("Gemm", &[&tokens, &token_half, &bias], TRANSPOSED)
            }
            None => graph.node("Gemm", &[&tokens, &token_half], TRANSPOSED),
        };
        let flat = graph.ints(&[-1]);
        let which = graph.op("Reshape", &[which, &flat]);
        let tokens = graph.op("Gather", &[&tokens, &which]);
        let states = self.norm(graph, prior, &weights.norm_hidden);
        graph.node("Gemm", &[&states, &state_half, &tokens], TRANSPOSED)
    }

    /// Reshapes [B, T, kv_heads · d] to [B, kv_heads, T, d].
    fn by_key_head(&self, graph: &mut Graph, x: &Value) -> Value {
        let (heads, width) = (self.blueprint.kv_heads as i64, self.blueprint.head_dim as i64);
        let shape = graph.ints(&[0, 0, heads, width]);
        let x = graph.op("Reshape", &[x, &shape]);
        graph.node("Transpose", &[&x], &[("perm", Attribute::Ints(&[0, 2, 1, 3]))])
    }

    /// Splits [B, L · kv_heads, T, d] into the layers' parts [B, kv_heads, T, d].
    fn split_layers(&self, graph: &mut Graph, x: &Value, layers: usize) -> Vec<Value> {
        if layers == 1 {
            return vec![x.clone()];
        }
        let heads = self.blueprint.kv_heads as i64;
        let mut share = |number: i64| {
            let [start, end] = [number * heads, (number + 1) * heads].map(|n| graph.ints(&[n]));
            let axis = graph.ints(&[1]);
            graph.op("Slice", &[x, &start, &end, &axis])
        };
        (0..layers as i64).map(&mut share).collect()
    }

    /// The shape of keys or values of L layers, [B, L · kv_heads, T, d].
    fn cache(&self, layers: usize) -> [Dim; 4] {
        let Blueprint { kv_heads, head_dim, .. } = *self.blueprint;
        [BATCH, Dim::Fixed(layers * kv_heads), LENGTH, Dim::Fixed(head_dim)]
    }
}

/// Joins the layers' [B, kv_heads, T, d] to [B, L · kv_heads, T, d].
fn joined_layers(graph: &mut Graph, layers: Vec<Value>) -> Value {
    match &layers[..] {
        [only] => only.clone(),
        several => {
            let several: Vec<&Value> = several.iter().collect();
            graph.node("Concat", &several, &[("axis", Attribute::Int(1))])
        }
    }
}
