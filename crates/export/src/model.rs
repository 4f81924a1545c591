//! Graphs of the backbone, the head and the sampler layer over whole sequences.
//!
//! Hidden states are rows [B · T, D]. Only attention uses [B, T, ·].

use conjoint_format::blueprint::Blueprint;
use conjoint_format::checkpoint::Tensor;
use conjoint_format::proto::{ModelProto, element};
use conjoint_format::weights::{
    BaseWeights, BodyWeights, DecoderLayer, Embedding, Linear, SamplerWeights,
};

use crate::graph::{Attribute, Dim, Graph};
use crate::operator_set::{AXIS_0, Frame, OperatorSet, RowPositions};
use crate::store::Store;
use crate::value::Value;

pub(crate) const BATCH: Dim = Dim::Any("batch");
pub(crate) const LENGTH: Dim = Dim::Any("length");
pub(crate) const ROWS: Dim = Dim::Any("rows");

/// Builds the graphs of one model.
pub(crate) struct Builder<'a> {
    pub(crate) blueprint: &'a Blueprint,
    pub(crate) operators: OperatorSet,
    /// The files of weights.
    pub(crate) store: &'a dyn Store,
}

impl Builder<'_> {
    /// `input_ids` i64 [B, T], `key_mask` bool [B, T] → `hidden` f32 [B, T, D], after the final
    /// norm. Row i belongs to position i.
    pub(crate) fn backbone(&self, weights: &BaseWeights) -> ModelProto {
        let mut graph = Graph::new("backbone", self.store);
        let (x, shape, range) = match &weights.body {
            BodyWeights::Decoder(layers, norm) => {
                let (ids, frame) = self.begin(&mut graph);
                let mut x = self.embed(&mut graph, &weights.embed, &ids);
                for (number, layer) in layers.iter().enumerate() {
                    x = self.layer(&mut graph, &format!("layers.{number}"), layer, &frame, x);
                }
                graph.scope("final");
                (self.norm(&mut graph, &x, norm), frame.positions.shape, frame.range)
            }
            BodyWeights::Encoder(encoder) => self.encode(&mut graph, &weights.embed, encoder),
        };
        let mut hidden = self.by_sequence(&mut graph, &shape, &x, self.blueprint.hidden_size);
        if self.blueprint.shift {
            // Row i gets the state at i − 1, and row 0 keeps its own: indices max(i − 1, 0).
            let (zero, one) = (graph.int(0), graph.int(1));
            let before = graph.op("Sub", &[&range, &one]);
            let before = graph.op("Max", &[&before, &zero]);
            hidden = graph.node("Gather", &[&hidden, &before], &[("axis", Attribute::Int(1))]);
        }
        graph.output(hidden, "hidden", &self.hidden());
        self.finish(graph, "Frozen model up to the output head.")
    }

    /// `hidden` f32 [B, T, D], `rows` i64 [N] → `logits` f32 [N, V].
    ///
    /// `rows` are indices of the flattened B · T. Only these rows are multiplied by the V × D matrix.
    pub(crate) fn head(&self, weights: &BaseWeights) -> ModelProto {
        let mut graph = Graph::new("head", self.store);
        let logits = self.logits(&mut graph, weights);
        graph.output(logits, "logits", &[ROWS, self.vocabulary()]);
        self.finish(graph, "Output head, on chosen rows of the flattened hidden states.")
    }

    /// Declares the inputs of a head, and returns its logits [N, V].
    pub(crate) fn logits(&self, graph: &mut Graph, weights: &BaseWeights) -> Value {
        let hidden = graph.input("hidden", element::FLOAT, &self.hidden());
        let rows = graph.input("rows", element::INT64, &[ROWS]);
        let x = self.by_row(graph, &hidden, self.blueprint.hidden_size);
        let mut x = graph.op("Gather", &[&x, &rows]);
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

    /// `input_ids` i64 [B, T], `key_mask` bool [B, T], `hidden` f32 [B, T, D] → `hidden_next` f32
    /// [B, T, D]:
    ///
    /// h′ = h + rms_post(layers(W [rms_e(embed(x)); rms_h(h)] + b))
    pub(crate) fn sampler(&self, base: &BaseWeights, weights: &SamplerWeights) -> ModelProto {
        let mut graph = Graph::new("sampler", self.store);
        let (ids, frame) = self.begin(&mut graph);
        let hidden = graph.input("hidden", element::FLOAT, &self.hidden());
        let prior = self.by_row(&mut graph, &hidden, self.blueprint.hidden_size);
        let mut x = self.fuse(&mut graph, base, weights, &ids, &prior);
        for (number, layer) in weights.layers.iter().enumerate() {
            x = self.layer(&mut graph, &format!("layers.{number}"), layer, &frame, x);
        }
        graph.scope("final");
        let x = self.norm(&mut graph, &x, &weights.norm_post);
        let next = graph.op("Add", &[&prior, &x]);
        let next =
            self.by_sequence(&mut graph, &frame.positions.shape, &next, self.blueprint.hidden_size);
        graph.output(next, "hidden_next", &self.hidden());
        self.finish(graph, "Sampler layer: hidden states given the tokens as they are now.")
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

    /// Declares the inputs of a graph with attention, and computes its frame.
    fn begin(&self, graph: &mut Graph) -> (Value, Frame) {
        let [ids, key_mask] = self.sequences(graph);
        let frame = self.operators.frame(graph, self.blueprint, &ids, &key_mask);
        (ids, frame)
    }

    /// Declares the inputs of a graph over whole sequences: `input_ids` and `key_mask`.
    pub(crate) fn sequences(&self, graph: &mut Graph) -> [Value; 2] {
        let ids = graph.input("input_ids", element::INT64, &[BATCH, LENGTH]);
        [ids, graph.input("key_mask", element::BOOL, &[BATCH, LENGTH])]
    }

    /// The embeddings of tokens as rows of the layers' width, without positions.
    pub(crate) fn embed(&self, graph: &mut Graph, embed: &Embedding, ids: &Value) -> Value {
        graph.scope("embed");
        let rows = graph.rows(&embed.table, ids);
        let rows = self.by_row(graph, &rows, embed.table.shape[1]);
        match &embed.mapping {
            Some(mapping) => linear(graph, &rows, mapping),
            None => rows,
        }
    }

    /// x + attention(norm(x)), then x + ffn(norm(x)), on rows [B · T, D].
    pub(crate) fn layer(
        &self,
        graph: &mut Graph,
        scope: &str,
        layer: &DecoderLayer,
        frame: &Frame,
        x: Value,
    ) -> Value {
        graph.scope(format!("{scope}.attention"));
        let normed = self.norm(graph, &x, &layer.attention_norm);
        let mixed = self.attention(graph, layer, frame, &normed);
        let x = graph.op("Add", &[&x, &mixed]);
        self.ffn(graph, scope, layer, x)
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

    fn attention(
        &self,
        graph: &mut Graph,
        layer: &DecoderLayer,
        frame: &Frame,
        x: &Value,
    ) -> Value {
        let Blueprint { heads, head_dim, .. } = *self.blueprint;
        let q = self.queries(graph, layer, &frame.positions, x);
        let [k, v] = self.keys_values(graph, layer, &frame.positions, x);
        let mixed = self.operators.attention(graph, self.blueprint, &frame.mask, [&q, &k, &v]);
        let mixed = self.by_row(graph, &mixed, heads * head_dim);
        linear(graph, &mixed, &layer.o)
    }

    /// Rotated queries [B, S, heads · d] of normed rows `x`.
    pub(crate) fn queries(
        &self,
        graph: &mut Graph,
        layer: &DecoderLayer,
        at: &RowPositions,
        x: &Value,
    ) -> Value {
        let norm = layer.qk_norm.as_ref().map(|(q, _)| q);
        let q = self.project(graph, at, x, &layer.q, self.blueprint.heads, norm);
        self.operators.rope(graph, at, &q, self.blueprint.heads)
    }

    /// Rotated keys and values, each [B, S, kv_heads · d], of normed rows `x`.
    pub(crate) fn keys_values(
        &self,
        graph: &mut Graph,
        layer: &DecoderLayer,
        at: &RowPositions,
        x: &Value,
    ) -> [Value; 2] {
        let heads = self.blueprint.kv_heads;
        let norm = layer.qk_norm.as_ref().map(|(_, k)| k);
        let k = self.project(graph, at, x, &layer.k, heads, norm);
        let v = self.project(graph, at, x, &layer.v, heads, None);
        [self.operators.rope(graph, at, &k, heads), v]
    }

    fn project(
        &self,
        graph: &mut Graph,
        at: &RowPositions,
        x: &Value,
        projection: &Linear,
        heads: usize,
        norm: Option<&Tensor>,
    ) -> Value {
        let head_dim = self.blueprint.head_dim;
        let mut x = linear(graph, x, projection);
        if let Some(norm) = norm {
            x = self.by_row(graph, &x, head_dim);
            x = self.norm(graph, &x, norm);
        }
        self.by_sequence(graph, &at.shape, &x, heads * head_dim)
    }

    pub(crate) fn norm(&self, graph: &mut Graph, x: &Value, gain: &Tensor) -> Value {
        let gain = graph.weight(gain);
        self.operators.rms_norm(graph, x, &gain, self.blueprint.norm_eps)
    }

    /// Reshapes [B, T, width], or another shape, to rows [·, width].
    pub(crate) fn by_row(&self, graph: &mut Graph, x: &Value, width: usize) -> Value {
        let shape = graph.ints(&[-1, width as i64]);
        graph.op("Reshape", &[x, &shape])
    }

    /// Reshapes rows to [B, S, width], given the `shape` [B, S].
    pub(crate) fn by_sequence(
        &self,
        graph: &mut Graph,
        shape: &Value,
        x: &Value,
        width: usize,
    ) -> Value {
        let width = graph.ints(&[width as i64]);
        let shape = graph.node("Concat", &[shape, &width], AXIS_0);
        graph.op("Reshape", &[x, &shape])
    }

    pub(crate) fn hidden(&self) -> [Dim; 3] {
        [BATCH, LENGTH, Dim::Fixed(self.blueprint.hidden_size)]
    }

    pub(crate) fn finish(&self, graph: Graph, doc: &str) -> ModelProto {
        let (ir_version, opset) = self.operators.versions();
        graph.finish(ir_version, opset, doc)
    }
}

/// x Wᵀ + b, on rows.
pub(crate) fn linear(graph: &mut Graph, x: &Value, linear: &Linear) -> Value {
    graph.product(x, &linear.weight, linear.bias.as_ref())
}
