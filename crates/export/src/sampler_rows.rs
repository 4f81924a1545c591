//! The sampler layer over rows: one graph a step for what all positions contribute, one a pass for the rows.

use crate::graph::{Attribute, Dim, Graph, Value};
use crate::model::{BATCH, Builder, LENGTH, TRANSPOSED, linear};
use crate::operators::{MASKED_SCORE, Operators};
use crate::proto::{ModelProto, element};
use crate::weights::{BaseWeights, SamplerWeights};

/// N: rows of a pass, over all sequences.
const ROWS: Dim = Dim::Any("rows");
/// S: the most rows of one sequence.
const SLOTS: Dim = Dim::Any("slots");
/// U: distinct tokens.
const WORDS: Dim = Dim::Any("words");

/// What the rows of a layer attend to: keys [B, kv_heads, d, ·], values [B, kv_heads, ·, d] and a bias [B, 1, 1, ·].
struct Seen {
    keys: Value,
    values: Value,
    bias: Value,
}

impl Builder<'_> {
    /// `words` i64 [U], the distinct tokens of the sequences; `input_words` i64 [B, T], which of them is where; `key_mask`
    /// bool [B, T]; `hidden` f32 [B, T, D]; `own` i64 [N] →
    ///
    /// - `values` f32 [B, L · kv_heads · T, d] and `keys` f32 [B, L · kv_heads · d, T] of the L layers, keys rotated;
    /// - `bias` f32 [B, 1, T]: 0, or far below any score for padding and for the positions of `own`, which index the
    ///   flattened B · T: passes compute those anew;
    /// - `cos` and `sin` f32 [T, d/2].
    pub(crate) fn sampler_context(
        &self,
        base: &BaseWeights,
        weights: &SamplerWeights,
    ) -> ModelProto {
        let mut graph = Graph::new("sampler-context", self.location);
        let words = graph.input("words", element::INT64, &[WORDS]);
        let which = graph.input("input_words", element::INT64, &[BATCH, LENGTH]);
        let key_mask = graph.input("key_mask", element::BOOL, &[BATCH, LENGTH]);
        let hidden = graph.input("hidden", element::FLOAT, &self.hidden());
        let own = graph.input("own", element::INT64, &[Dim::Any("own")]);

        let [cos, sin] = Operators::rope_tables(&mut graph, self.blueprint, &which);
        let places = self.operators.every_place(&mut graph, [&cos, &sin], &which);
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
            let [k, v] = self.keys_values(&mut graph, layer, &places, &normed);
            keys.push(self.by_key_head(&mut graph, &k, &[0, 2, 3, 1]));
            values.push(self.by_key_head(&mut graph, &v, &[0, 2, 1, 3]));
            if let Some(frame) = frame.as_ref().filter(|_| number < last) {
                x = self.layer(&mut graph, &scope, layer, frame, x);
            }
        }

        graph.scope("bias");
        let (seen, unseen) = (graph.float(0.0), graph.float(MASKED_SCORE));
        let bias = graph.op("Where", &[&key_mask, &seen, &unseen]);
        let flat = graph.ints(&[-1]);
        let bias = graph.op("Reshape", &[&bias, &flat]);
        let count = graph.op("Shape", &[&own]);
        let updates = graph.op("Expand", &[&unseen, &count]);
        let bias = graph.op("ScatterElements", &[&bias, &own, &updates]);
        let bias = graph.op("Reshape", &[&bias, &places.shape]);
        let axis = graph.ints(&[1]);
        let bias = graph.op("Unsqueeze", &[&bias, &axis]);

        graph.scope("final");
        let blueprint = self.blueprint;
        let flat = (weights.layers.len() * blueprint.kv_heads * blueprint.head_dim) as i64;
        let shape = graph.ints(&[0, flat, -1]);
        let keys = joined(&mut graph, keys, 1);
        let keys = graph.op("Reshape", &[&keys, &shape]);
        let values = self.flattened(&mut graph, values);
        let half = Dim::Fixed(blueprint.head_dim / 2);
        graph.output(values, "values", &self.flat("flat_length"));
        graph.output(keys, "keys", &[BATCH, Dim::Fixed(flat as usize), LENGTH]);
        graph.output(bias, "bias", &[BATCH, Dim::Fixed(1), LENGTH]);
        graph.output(cos, "cos", &[LENGTH, half]);
        graph.output(sin, "sin", &[LENGTH, half]);
        self.finish(graph, "Sampler layer: what all positions contribute to a step's passes.")
    }

    /// One pass over N rows of all sequences together, of which the attention of each has up to S:
    ///
    /// - `words` i64 [U], the distinct tokens of the rows, and `row_words` i64 [N, 1], which of them is where; `positions` i64
    ///   [N, 1]; `from` i64 \[N\]: their rows in `hidden` f32 [B, P, D], flattened to B · P,
    ///   which are the hidden states of the model, or those of the pass before as [N, 1, D];
    /// - `slots` i64 [B, S]: the rows of each sequence among the N, and any row for padding; `back` i64 \[N\]: where each row
    ///   is in the flattened B · S; `unseen` f32 [B, 1, S]: 0, or far below any score for padding;
    /// - the outputs of the context;
    /// - `settled_keys` and `settled_values` f32 [B, L · kv_heads · M, d], and `settled_bias` f32 [B, 1, M]: of rows that no
    ///   pass computes any more; `settling` i64 \[1\]: how many of the S slots, the first, are computed for the last time
    ///
    /// → `hidden_next` f32 [N, 1, D], and the settled rows with those that settle now.
    ///
    /// Only attention is padded: everything else costs N rows, however they are spread over the sequences.
    pub(crate) fn sampler_rows(&self, base: &BaseWeights, weights: &SamplerWeights) -> ModelProto {
        let mut graph = Graph::new("sampler-rows", self.location);
        let blueprint = self.blueprint;
        let flat = weights.layers.len() * blueprint.kv_heads * blueprint.head_dim;
        let (one, half) = (Dim::Fixed(1), Dim::Fixed(blueprint.head_dim / 2));
        let width = Dim::Fixed(blueprint.hidden_size);
        let words = graph.input("words", element::INT64, &[WORDS]);
        let which = graph.input("row_words", element::INT64, &[ROWS, one]);
        let positions = graph.input("positions", element::INT64, &[ROWS, one]);
        let from = graph.input("from", element::INT64, &[ROWS]);
        let slots = graph.input("slots", element::INT64, &[BATCH, SLOTS]);
        let back = graph.input("back", element::INT64, &[ROWS]);
        let unseen = graph.input("unseen", element::FLOAT, &[BATCH, one, SLOTS]);
        let prior_dims = [Dim::Any("prior_batch"), Dim::Any("prior"), width];
        let hidden = graph.input("hidden", element::FLOAT, &prior_dims);
        let values = graph.input("values", element::FLOAT, &self.flat("flat_length"));
        let keys = graph.input("keys", element::FLOAT, &[BATCH, Dim::Fixed(flat), LENGTH]);
        let bias = graph.input("bias", element::FLOAT, &[BATCH, one, LENGTH]);
        let cos = graph.input("cos", element::FLOAT, &[LENGTH, half]);
        let sin = graph.input("sin", element::FLOAT, &[LENGTH, half]);
        let settled_keys = graph.input("settled_keys", element::FLOAT, &self.flat("flat_settled"));
        let settled_values =
            graph.input("settled_values", element::FLOAT, &self.flat("flat_settled"));
        let settled_dims = [BATCH, one, Dim::Any("settled")];
        let settled_bias = graph.input("settled_bias", element::FLOAT, &settled_dims);
        let settling = graph.input("settling", element::INT64, &[one]);

        graph.scope("frame");
        let places = self.operators.places(&mut graph, [&cos, &sin], &positions);
        let prior = self.by_row(&mut graph, &hidden, blueprint.hidden_size);
        let prior = graph.op("Gather", &[&prior, &from]);
        let mut x = self.fuse_words(&mut graph, base, weights, [&words, &which], &prior);

        graph.scope("seen");
        let layers = weights.layers.len();
        let [heads, head_dim] = [layers * blueprint.kv_heads, blueprint.head_dim].map(|n| n as i64);
        let shape = graph.ints(&[0, heads, head_dim, -1]);
        let keys = graph.op("Reshape", &[&keys, &shape]);
        let keys = self.by_layer(&mut graph, &keys, layers);
        let [values, settled_keys, settled_values] =
            [&values, &settled_keys, &settled_values].map(|x| {
                let shape = graph.ints(&[0, heads, -1, head_dim]);
                let x = graph.op("Reshape", &[x, &shape]);
                self.by_layer(&mut graph, &x, layers)
            });
        let (first, last) = (graph.ints(&[0]), graph.ints(&[2]));
        let fresh_bias = graph.node("Concat", &[&settled_bias, &unseen], LAST);
        let count = graph.op("Shape", &[&settled_bias]);
        let count = graph.op("Gather", &[&count, &last]);
        let count = graph.op("Add", &[&count, &settling]);
        let settled = |graph: &mut Graph, x: &Value| graph.op("Slice", &[x, &first, &count, &last]);
        let bias_next = settled(&mut graph, &fresh_bias);
        let axis = graph.ints(&[1]);
        let bias = graph.op("Unsqueeze", &[&bias, &axis]);
        let fresh_bias = graph.op("Unsqueeze", &[&fresh_bias, &axis]);

        let (mut keys_next, mut values_next) = (Vec::new(), Vec::new());
        for (number, layer) in weights.layers.iter().enumerate() {
            let scope = format!("layers.{number}");
            graph.scope(format!("{scope}.attention"));
            let normed = self.norm(&mut graph, &x, &layer.attention_norm);
            let q = self.queries(&mut graph, layer, &places, &normed);
            let q = self.in_slots(&mut graph, &q, &slots, blueprint.heads);
            let own = self.keys_values(&mut graph, layer, &places, &normed);
            let before = [&settled_keys[number], &settled_values[number]];
            let [k, v] = [0, 1].map(|i| {
                let own = self.in_slots(&mut graph, &own[i], &slots, blueprint.kv_heads);
                let own = self.by_key_head(&mut graph, &own, &[0, 2, 1, 3]);
                graph.node("Concat", &[before[i], &own], &[("axis", Attribute::Int(2))])
            });
            keys_next.push(settled(&mut graph, &k));
            values_next.push(settled(&mut graph, &v));
            let turned = [("perm", Attribute::Ints(&[0, 1, 3, 2]))];
            let turned = graph.node("Transpose", &[&k], &turned);
            let (keys, values) = (keys[number].clone(), values[number].clone());
            let outside = Seen { keys, values, bias: bias.clone() };
            let fresh = Seen { keys: turned, values: v, bias: fresh_bias.clone() };
            let mixed = self.attend(&mut graph, &q, [&outside, &fresh]);
            let mixed = graph.op("Gather", &[&mixed, &back]);
            let mixed = linear(&mut graph, &mixed, &layer.o);
            x = graph.op("Add", &[&x, &mixed]);
            x = self.ffn(&mut graph, &scope, layer, x);
        }
        graph.scope("final");
        let x = self.norm(&mut graph, &x, &weights.norm_post);
        let next = graph.op("Add", &[&prior, &x]);
        let next = self.by_sequence(&mut graph, &places, &next, blueprint.hidden_size);
        let keys_next = self.flattened(&mut graph, keys_next);
        let values_next = self.flattened(&mut graph, values_next);
        graph.output(next, "hidden_next", &[ROWS, one, width]);
        graph.output(keys_next, "settled_keys_next", &self.flat("flat_settled_next"));
        graph.output(values_next, "settled_values_next", &self.flat("flat_settled_next"));
        graph.output(bias_next, "settled_bias_next", &[BATCH, one, Dim::Any("settled_next")]);
        self.finish(graph, "Sampler layer: one pass over rows.")
    }

    /// What a sampler's layers start from, on rows, as [`fuse`](Self::fuse) computes it: W [rms_e(embed(x)); rms_h(h)] + b. Here
    /// the half of the tokens is computed once for each distinct one, of which masks make many rows one.
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
        let (of_tokens, of_states) = (half(0), half(width));
        let tokens = self.norm(graph, &tokens, &weights.norm_embed);
        let tokens = match &weights.down_project.bias {
            Some(bias) => {
                let bias = graph.weight(bias);
                graph.node("Gemm", &[&tokens, &of_tokens, &bias], TRANSPOSED)
            }
            None => graph.node("Gemm", &[&tokens, &of_tokens], TRANSPOSED),
        };
        let flat = graph.ints(&[-1]);
        let which = graph.op("Reshape", &[which, &flat]);
        let tokens = graph.op("Gather", &[&tokens, &which]);
        let states = self.norm(graph, prior, &weights.norm_hidden);
        graph.node("Gemm", &[&states, &of_states, &tokens], TRANSPOSED)
    }

    /// Rows [N, 1, heads · d] in the slots of their sequences, [B, S, heads · d].
    fn in_slots(&self, graph: &mut Graph, x: &Value, slots: &Value, heads: usize) -> Value {
        let rows = self.by_row(graph, x, heads * self.blueprint.head_dim);
        graph.op("Gather", &[&rows, slots])
    }

    /// The attention of rows with queries `q` [B, S, heads · d] to two sets of keys: [B · S, heads · d].
    fn attend(&self, graph: &mut Graph, q: &Value, seen: [&Seen; 2]) -> Value {
        let [heads, kv_heads, head_dim] =
            [self.blueprint.heads, self.blueprint.kv_heads, self.blueprint.head_dim]
                .map(|size| size as i64);
        let by_head = graph.ints(&[0, 0, heads, head_dim]);
        let q = graph.op("Reshape", &[q, &by_head]);
        let turned = [("perm", Attribute::Ints(&[0, 2, 1, 3]))];
        let q = graph.node("Transpose", &[&q], &turned);
        // The queries of the heads that share a key head go below each other.
        let grouped = graph.ints(&[0, kv_heads, -1, head_dim]);
        let q = graph.op("Reshape", &[&q, &grouped]);
        let scale = graph.float((head_dim as f32).sqrt().recip());
        let q = graph.op("Mul", &[&q, &scale]);
        let last = graph.ints(&[3]);
        let [a, b] = seen.map(|seen| {
            let scores = graph.op("MatMul", &[&q, &seen.keys]);
            let scores = graph.op("Add", &[&scores, &seen.bias]);
            let size = graph.op("Shape", &[&scores]);
            (graph.op("Gather", &[&size, &last]), scores)
        });
        let scores = graph.node("Concat", &[&a.1, &b.1], LAST);
        let weights = graph.node("Softmax", &[&scores], LAST);
        let sizes = graph.node("Concat", &[&a.0, &b.0], &[("axis", Attribute::Int(0))]);
        let weights: [Value; 2] = graph.nodes("Split", &[&weights, &sizes], LAST);
        let [a, b] = [0, 1].map(|i| graph.op("MatMul", &[&weights[i], &seen[i].values]));
        let mixed = graph.op("Add", &[&a, &b]);
        let ungrouped = graph.ints(&[0, heads, -1, head_dim]);
        let mixed = graph.op("Reshape", &[&mixed, &ungrouped]);
        let mixed = graph.node("Transpose", &[&mixed], &turned);
        self.by_row(graph, &mixed, (heads * head_dim) as usize)
    }

    /// [B, S, kv_heads · d] as [B, S, kv_heads, d], its axes in this order.
    fn by_key_head(&self, graph: &mut Graph, x: &Value, order: &[i64]) -> Value {
        let (heads, width) = (self.blueprint.kv_heads as i64, self.blueprint.head_dim as i64);
        let shape = graph.ints(&[0, 0, heads, width]);
        let x = graph.op("Reshape", &[x, &shape]);
        graph.node("Transpose", &[&x], &[("perm", Attribute::Ints(order))])
    }

    /// The layers' shares [B, kv_heads, ·, ·] of [B, L · kv_heads, ·, ·].
    fn by_layer(&self, graph: &mut Graph, x: &Value, layers: usize) -> Vec<Value> {
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

    /// The layers' [B, kv_heads, S, d] as one [B, L · kv_heads · S, d].
    fn flattened(&self, graph: &mut Graph, layers: Vec<Value>) -> Value {
        let all = joined(graph, layers, 1);
        let shape = graph.ints(&[0, -1, self.blueprint.head_dim as i64]);
        graph.op("Reshape", &[&all, &shape])
    }

    /// [B, L · kv_heads · S, d], whose middle has this name.
    fn flat(&self, name: &'static str) -> [Dim; 3] {
        [BATCH, Dim::Any(name), Dim::Fixed(self.blueprint.head_dim)]
    }
}

/// `Concat` and the like along the last axis.
const LAST: &[(&str, Attribute)] = &[("axis", Attribute::Int(-1))];

/// Several values one after the other, or the only one as it is.
fn joined(graph: &mut Graph, values: Vec<Value>, axis: i64) -> Value {
    match &values[..] {
        [only] => only.clone(),
        several => {
            let several: Vec<&Value> = several.iter().collect();
            graph.node("Concat", &several, &[("axis", Attribute::Int(axis))])
        }
    }
}
