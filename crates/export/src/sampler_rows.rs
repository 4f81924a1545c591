//! The two graphs of a sampler layer over rows.
//!
//! The first runs once per step and computes keys and values, which form a pool. The second runs once per pass and
//! computes the candidates' rows and those of the tokens just revealed.

use conjoint_format::proto::{ModelProto, element};
use conjoint_format::weights::{BaseWeights, SamplerWeights};

use crate::builder::{Builder, linear};
use crate::graph::{Attribute, Dim, Graph};
use crate::packed::{Packed, ROWS};
use crate::product::TRANSPOSED;
use crate::value::Value;

/// U: the number of distinct tokens.
const WORDS: Dim = Dim::Any("words");
/// A: the number of requested rows.
const REQUESTED: Dim = Dim::Any("asked");

impl Builder<'_> {
    /// The rows' keys and values in the layer, before its first pass.
    ///
    /// - `words` i64 [U], the distinct tokens of the rows, and `row_words` i64 \[N\], the index in `words` of each
    ///   row's token;
    /// - `positions` i64 \[N\]; in a sampler of several layers also `slots`, `lanes` and `key_positions`, as in
    ///   [`sampler`](Self::sampler): the rows are then all rows of their sequences;
    /// - `hidden` f32 [P, D], and `from` i64 \[N\], the rows' indices in it
    ///
    /// → `keys_new.L` and `values_new.L` f32 [N, kv_heads · d] of each layer, keys rotated.
    ///
    /// In a sampler of one layer, those of a row depend on its token and hidden state only.
    pub(crate) fn sampler_context(
        &self,
        base: &BaseWeights,
        weights: &SamplerWeights,
    ) -> ModelProto {
        let mut graph = Graph::new("sampler-context", self.store);
        let words = graph.input("words", element::INT64, &[WORDS]);
        let which = graph.input("row_words", element::INT64, &[ROWS]);
        let last = weights.layers.len() - 1;
        let (rotation, packed) = match last {
            0 => {
                let positions = graph.input("positions", element::INT64, &[ROWS]);
                graph.scope("frame");
                (self.rotation(&mut graph, &positions), None)
            }
            _ => {
                let packed = Packed::rows_alone(&mut graph);
                graph.scope("frame");
                (self.rotation(&mut graph, &packed.positions), Some(packed))
            }
        };
        let prior = self.prior(&mut graph);
        let frame = packed.map(|packed| {
            graph.scope("frame");
            self.frame(&mut graph, packed, rotation.clone())
        });
        let mut x = self.fuse_words(&mut graph, base, weights, [&words, &which], &prior);
        let mut new = Vec::new();
        for (number, layer) in weights.layers.iter().enumerate() {
            let scope = format!("layers.{number}");
            if let Some(frame) = frame.as_ref().filter(|_| number < last) {
                let (next, own) = self.layer(&mut graph, &scope, layer, frame, None, x);
                x = next;
                new.push(own);
            } else {
                graph.scope(format!("{scope}.context"));
                let normed = self.norm(&mut graph, &x, &layer.attention_norm);
                new.push(self.keys_values(&mut graph, layer, &rotation, &normed));
            }
        }
        for (number, own) in new.into_iter().enumerate() {
            self.new_keys(&mut graph, number, own);
        }
        self.finish(graph, "Sampler layer: what rows contribute to a step's passes.")
    }

    /// One pass over N rows of all sequences together. The requested rows come first, among the rows and in the
    /// slots. For the others, the last layer computes only keys and values.
    ///
    /// - `words` i64 [U] and `row_words` i64 \[N\], as in the context;
    /// - `asked` i64 \[2\]: the number A of requested rows, and the most slots that they need in a lane;
    /// - `positions`, `slots`, `lanes`, `key_positions`, `cached` and `computed`, as in the backbone;
    /// - `hidden` f32 [P, D], and `from` i64 \[N\], the rows' indices in it;
    /// - `keys.L` and `values.L` f32 [M, kv_heads · d], those of the context or of earlier passes
    ///
    /// → `hidden_next` f32 [A, D], and `keys_new.L` and `values_new.L` f32 [N, kv_heads · d] of the rows.
    pub(crate) fn sampler_rows(&self, base: &BaseWeights, weights: &SamplerWeights) -> ModelProto {
        let mut graph = Graph::new("sampler-rows", self.store);
        let words = graph.input("words", element::INT64, &[WORDS]);
        let which = graph.input("row_words", element::INT64, &[ROWS]);
        let requested = graph.input("asked", element::INT64, &[Dim::Fixed(2)]);
        let packed = Packed::with_pool(&mut graph);
        let prior = self.prior(&mut graph);
        let pools: Vec<_> = (0..weights.layers.len()).map(|n| self.pool(&mut graph, n)).collect();

        graph.scope("frame");
        let halves = [("num_outputs", Attribute::Int(2))];
        let [rows, slots] = graph.nodes("Split", &[&requested], &halves);
        let rotation = self.rotation(&mut graph, &packed.positions);
        let (first, last) = weights.layers.split_at(weights.layers.len() - 1);
        let whole =
            (!first.is_empty()).then(|| self.frame(&mut graph, packed.clone(), rotation.clone()));
        let mut x = self.fuse_words(&mut graph, base, weights, [&words, &which], &prior);
        let mut new = Vec::new();
        for (number, (layer, pool)) in first.iter().zip(&pools).enumerate() {
            let Some(frame) = &whole else { continue };
            let scope = format!("layers.{number}");
            let (next, own) = self.layer(&mut graph, &scope, layer, frame, Some(pool), x);
            x = next;
            new.push(own);
        }
        for (layer, pool) in last.iter().zip(&pools[first.len()..]) {
            let scope = format!("layers.{}", first.len());
            graph.scope(format!("{scope}.attention"));
            let normed = self.norm(&mut graph, &x, &layer.attention_norm);
            let own = self.keys_values(&mut graph, layer, &rotation, &normed);
            let only = |graph: &mut Graph, x: &Value, axis: i64, count: &Value| {
                let (start, axis) = (graph.ints(&[0]), graph.ints(&[axis]));
                graph.op("Slice", &[x, &start, count, &axis])
            };
            let mut of_rows = |x: &Value| only(&mut graph, x, 0, &rows);
            let (normed, prior_of_rows) = (of_rows(&normed), of_rows(&prior));
            x = of_rows(&x);
            let lanes = of_rows(&packed.lanes);
            let rotation = rotation.map(|table| of_rows(table));
            let slots = only(&mut graph, &packed.slots, 1, &slots);
            let packed = Packed { slots, lanes, ..packed.clone() };
            let frame = self.frame(&mut graph, packed, rotation);
            let q = self.queries(&mut graph, layer, &frame.rotation, &normed);
            let mixed = self.attend(&mut graph, (&frame.packed, &frame.mask), &q, &own, Some(pool));
            let mixed = linear(&mut graph, &mixed, &layer.o);
            x = graph.op("Add", &[&x, &mixed]);
            x = self.ffn(&mut graph, &scope, layer, x);
            graph.scope("final");
            let normed = self.norm(&mut graph, &x, &weights.norm_post);
            x = graph.op("Add", &[&prior_of_rows, &normed]);
            new.push(own);
        }
        graph.output(x, "hidden_next", &[REQUESTED, self.width()]);
        for (number, own) in new.into_iter().enumerate() {
            self.new_keys(&mut graph, number, own);
        }
        self.finish(graph, "Sampler layer: one pass over rows.")
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
        let tokens = graph.op("Gather", &[&tokens, which]);
        let states = self.norm(graph, prior, &weights.norm_hidden);
        graph.node("Gemm", &[&states, &state_half, &tokens], TRANSPOSED)
    }
}
