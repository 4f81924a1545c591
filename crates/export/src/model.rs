//! Graphs of the backbone, the head and the sampler layer over whole sequences.
//!
//! All values are rows [N, ·]. Only attention sorts them into lanes.

use conjoint_format::checkpoint::Tensor;
use conjoint_format::proto::{ModelProto, element};
use conjoint_format::weights::{
    BaseWeights, BodyWeights, DecoderLayer, Embedding, Linear, SamplerWeights,
};

use crate::builder::{Builder, linear};
use crate::graph::{Attribute, Dim, Graph};
use crate::operator_set::Rotation;
use crate::packed::{Frame, KeyValues, Packed, ROWS};
use crate::value::Value;

/// Hidden states that a graph reads.
const STATES: Dim = Dim::Any("states");

impl Builder<'_> {
    /// N rows of all sequences together, with the inputs of [`Packed`] and of the pool:
    ///
    /// - `input_ids` i64 \[N\], the rows' tokens;
    /// - `positions` i64 \[N\], `slots` i64 [B, S], `lanes` i64 [N, 2], `key_positions` i64 [B, K], `cached` i64
    ///   [B, K] and `computed` i64 [N, 2], which say where rows and keys belong;
    /// - `sources` i64 \[R\], the row of each hidden state that is returned;
    /// - `keys.L` and `values.L` f32 [M, kv_heads · d] of each layer, keys rotated
    ///
    /// → `hidden` f32 [R, D], after the final norm, and `keys_new.L` and `values_new.L` f32 [N, kv_heads · d].
    ///
    /// If the call computes all positions of its sequences, it is a full forward.
    pub(crate) fn backbone(&self, weights: &BaseWeights) -> ModelProto {
        let mut graph = Graph::new("backbone", self.store);
        let ids = graph.input("input_ids", element::INT64, &[ROWS]);
        let packed = Packed::with_pool(&mut graph);
        let sources = graph.input("sources", element::INT64, &[STATES]);
        let layers = match &weights.body {
            BodyWeights::Decoder(layers, _) => layers.len(),
            BodyWeights::Encoder(encoder) => encoder.layers.len(),
        };
        let pools: Vec<KeyValues> = (0..layers).map(|n| self.pool(&mut graph, n)).collect();
        let mut new = Vec::new();
        let x = match &weights.body {
            BodyWeights::Decoder(layers, norm) => {
                graph.scope("frame");
                let rotation = self.rotation(&mut graph, &packed.positions);
                let frame = self.frame(&mut graph, packed, rotation);
                let mut x = self.embed(&mut graph, &weights.embed, &ids);
                for (number, (layer, pool)) in layers.iter().zip(&pools).enumerate() {
                    let scope = format!("layers.{number}");
                    let (next, own) = self.layer(&mut graph, &scope, layer, &frame, Some(pool), x);
                    x = next;
                    new.push(own);
                }
                graph.scope("final");
                self.norm(&mut graph, &x, norm)
            }
            BodyWeights::Encoder(encoder) => {
                self.encode(&mut graph, &weights.embed, encoder, (&ids, packed), &pools, &mut new)
            }
        };
        let hidden = graph.op("Gather", &[&x, &sources]);
        graph.output(hidden, "hidden", &[STATES, self.width()]);
        for (number, own) in new.into_iter().enumerate() {
            self.new_keys(&mut graph, number, own);
        }
        self.finish(graph, "Frozen model up to the output head.")
    }

    /// `hidden` f32 [P, D], `rows` i64 [N] → `logits` f32 [N, V].
    ///
    /// Only these rows of the hidden states are multiplied by the V × D matrix.
    pub(crate) fn head(&self, weights: &BaseWeights) -> ModelProto {
        let mut graph = Graph::new("head", self.store);
        let logits = self.logits(&mut graph, weights);
        graph.output(logits, "logits", &[ROWS, self.vocabulary()]);
        self.finish(graph, "Output head, on chosen hidden states.")
    }

    /// Declares the inputs of a head, and returns its logits [N, V].
    pub(crate) fn logits(&self, graph: &mut Graph, weights: &BaseWeights) -> Value {
        let hidden = self.hidden(graph);
        let rows = graph.input("rows", element::INT64, &[ROWS]);
        let mut x = graph.op("Gather", &[&hidden, &rows]);
        if let Some(transform) = &weights.head.transform {
            x = linear(graph, &x, &transform.dense);
            x = self.operators.activation(graph, &x, transform.activation);
            x = self.operators.layer_norm(graph, &x, &transform.norm);
        }
        linear(graph, &x, &weights.head.output)
    }

    pub(crate) fn vocabulary(&self) -> Dim {
        Dim::Fixed(self.blueprint.vocab_size)
    }

    /// One pass over all N rows of the sequences that take part:
    ///
    /// - `input_ids`, `positions`, `slots` and `lanes` as in the backbone; `key_positions` i64 [B, S];
    /// - `hidden` f32 [P, D], and `from` i64 \[N\], the rows' indices in it
    ///
    /// → `hidden_next` f32 [N, D]: h′ = h + rms_post(layers(W [rms_e(embed(x)); rms_h(h)] + b))
    pub(crate) fn sampler(&self, base: &BaseWeights, weights: &SamplerWeights) -> ModelProto {
        let mut graph = Graph::new("sampler", self.store);
        let ids = graph.input("input_ids", element::INT64, &[ROWS]);
        let packed = Packed::rows_alone(&mut graph);
        let prior = self.prior(&mut graph);
        graph.scope("frame");
        let rotation = self.rotation(&mut graph, &packed.positions);
        let frame = self.frame(&mut graph, packed, rotation);
        let mut x = self.fuse(&mut graph, base, weights, &ids, &prior);
        for (number, layer) in weights.layers.iter().enumerate() {
            let scope = format!("layers.{number}");
            (x, _) = self.layer(&mut graph, &scope, layer, &frame, None, x);
        }
        graph.scope("final");
        let x = self.norm(&mut graph, &x, &weights.norm_post);
        let next = graph.op("Add", &[&prior, &x]);
        graph.output(next, "hidden_next", &[ROWS, self.width()]);
        self.finish(graph, "Sampler layer: hidden states given the tokens as they are now.")
    }

    /// Declares `hidden` and `from`, and returns the rows' hidden states [N, D].
    pub(crate) fn prior(&self, graph: &mut Graph) -> Value {
        let hidden = self.hidden(graph);
        let from = graph.input("from", element::INT64, &[ROWS]);
        graph.op("Gather", &[&hidden, &from])
    }

    /// The input of a sampler's layers, as rows: W [rms_e(embed(x)); rms_h(h)] + b.
    pub(crate) fn fuse(
        &self,
        graph: &mut Graph,
        base: &BaseWeights,
        weights: &SamplerWeights,
        ids: &Value,
        prior: &Value,
    ) -> Value {
        let tokens = self.embed(graph, &base.embed, ids);
        graph.scope("fuse");
        let tokens = self.norm(graph, &tokens, &weights.norm_embed);
        let states = self.norm(graph, prior, &weights.norm_hidden);
        let both = graph.node("Concat", &[&tokens, &states], &[("axis", Attribute::Int(1))]);
        linear(graph, &both, &weights.down_project)
    }

    /// The embeddings of tokens as rows of the layers' width, without positions.
    pub(crate) fn embed(&self, graph: &mut Graph, embed: &Embedding, ids: &Value) -> Value {
        graph.scope("embed");
        let rows = graph.rows(&embed.table, ids);
        match &embed.mapping {
            Some(mapping) => linear(graph, &rows, mapping),
            None => rows,
        }
    }

    /// x + attention(norm(x)), then x + ffn(norm(x)). Also returns the keys and values of the rows.
    pub(crate) fn layer(
        &self,
        graph: &mut Graph,
        scope: &str,
        layer: &DecoderLayer,
        frame: &Frame,
        pool: Option<&KeyValues>,
        x: Value,
    ) -> (Value, KeyValues) {
        graph.scope(format!("{scope}.attention"));
        let normed = self.norm(graph, &x, &layer.attention_norm);
        let own = self.keys_values(graph, layer, &frame.rotation, &normed);
        let q = self.queries(graph, layer, &frame.rotation, &normed);
        let mixed = self.attend(graph, (&frame.packed, &frame.mask), &q, &own, pool);
        let mixed = linear(graph, &mixed, &layer.o);
        let x = graph.op("Add", &[&x, &mixed]);
        (self.ffn(graph, scope, layer, x), own)
    }

    /// x + ffn(norm(x)), on rows.
    pub(crate) fn ffn(
        &self,
        graph: &mut Graph,
        scope: &str,
        layer: &DecoderLayer,
        x: Value,
    ) -> Value {
        graph.scope(format!("{scope}.ffn"));
        let normed = self.norm(graph, &x, &layer.ffn_norm);
        let gate = linear(graph, &normed, &layer.gate);
        let up = linear(graph, &normed, &layer.up);
        let sigmoid = graph.op("Sigmoid", &[&gate]);
        let silu = graph.op("Mul", &[&gate, &sigmoid]);
        let inner = graph.op("Mul", &[&silu, &up]);
        let outer = linear(graph, &inner, &layer.down);
        graph.op("Add", &[&x, &outer])
    }

    /// Rotated queries [N, heads · d] of normed rows `x`.
    pub(crate) fn queries(
        &self,
        graph: &mut Graph,
        layer: &DecoderLayer,
        rotation: &Rotation,
        x: &Value,
    ) -> Value {
        let (heads, norm) = (self.blueprint.heads, layer.qk_norm.as_ref().map(|(q, _)| q));
        let q = self.project(graph, x, &layer.q, heads, norm);
        self.operators.rope(graph, rotation, &q, [heads, self.blueprint.head_dim])
    }

    /// Rotated keys, and values, each [N, kv_heads · d], of normed rows `x`.
    pub(crate) fn keys_values(
        &self,
        graph: &mut Graph,
        layer: &DecoderLayer,
        rotation: &Rotation,
        x: &Value,
    ) -> KeyValues {
        let (heads, norm) = (self.blueprint.kv_heads, layer.qk_norm.as_ref().map(|(_, k)| k));
        let k = self.project(graph, x, &layer.k, heads, norm);
        let values = self.project(graph, x, &layer.v, heads, None);
        let keys = self.operators.rope(graph, rotation, &k, [heads, self.blueprint.head_dim]);
        KeyValues { keys, values }
    }

    fn project(
        &self,
        graph: &mut Graph,
        x: &Value,
        projection: &Linear,
        heads: usize,
        norm: Option<&Tensor>,
    ) -> Value {
        let head_dim = self.blueprint.head_dim;
        let x = linear(graph, x, projection);
        let Some(norm) = norm else { return x };
        let x = self.by_row(graph, &x, head_dim);
        let x = self.norm(graph, &x, norm);
        self.by_row(graph, &x, heads * head_dim)
    }

    /// Declares `hidden` f32 [P, D].
    fn hidden(&self, graph: &mut Graph) -> Value {
        graph.input("hidden", element::FLOAT, &[STATES, self.width()])
    }
}
