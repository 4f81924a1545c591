//! The backbone of an encoder of the BERT family.

use conjoint_format::blueprint::{AttentionSpan, NormOrder, Qkv};
use conjoint_format::weights::{Embedding, EncoderLayer, EncoderWeights, Ffn};

use crate::graph::{Attribute, Graph};
use crate::model::{Builder, linear};
use crate::operator_set::{Rope, RowPositions, range};
use crate::value::Value;

/// Values that all layers with one [`AttentionSpan`] share.
struct Frame {
    span: AttentionSpan,
    /// The mask of keys, in the form that attention uses.
    mask: Value,
    positions: Option<RowPositions>,
}

/// Values that depend on the shape of the input, all in i64.
struct Positions {
    /// 0, 1, …, T − 1.
    range: Value,
    /// T.
    length: Value,
    /// [B, T].
    shape: Value,
}

const COLUMNS: (&str, Attribute) = ("axis", Attribute::Int(1));

impl Builder<'_> {
    /// Declares the inputs of a backbone. Returns its rows [B · T, D]; their shape [B, T]; and 0, 1, …, T − 1.
    pub(crate) fn encode(
        &self,
        graph: &mut Graph,
        embed: &Embedding,
        weights: &EncoderWeights,
    ) -> (Value, Value, Value) {
        let [ids, key_mask] = self.sequences(graph);
        graph.scope("frame");
        let shape = graph.op("Shape", &[&ids]);
        let (range, length) = range(graph, &shape);
        let at = Positions { range, length, shape };
        let mut x = self.embed_encoder(graph, embed, weights, &ids, &at);
        let mut frames: Vec<Frame> = Vec::new();
        for (number, layer) in weights.layers.iter().enumerate() {
            let known = frames.iter().position(|frame| frame.span == layer.span);
            let index = known.unwrap_or_else(|| {
                frames.push(self.frame(graph, layer.span, &key_mask, &at));
                frames.len() - 1
            });
            let scope = format!("layers.{number}");
            x = self.encoder_layer(graph, &scope, (weights.order, layer), (&frames[index], &at), x);
        }
        if let Some(norm) = &weights.final_norm {
            graph.scope("final");
            x = self.operators.layer_norm(graph, &x, norm);
        }
        (x, at.shape, at.range)
    }

    /// Tokens, positions and the first token type, summed and normalised, as rows of the layers' width.
    fn embed_encoder(
        &self,
        graph: &mut Graph,
        embed: &Embedding,
        weights: &EncoderWeights,
        ids: &Value,
        at: &Positions,
    ) -> Value {
        graph.scope("embed");
        let mut x = graph.rows(&embed.table, ids); // [B, T, E]
        if let Some(types) = &weights.token_types {
            let first = graph.int(0);
            let first = graph.rows(types, &first);
            x = graph.op("Add", &[&x, &first]);
        }
        if let Some(table) = &weights.positions {
            let positions = graph.rows(table, &at.range); // [T, E]
            x = graph.op("Add", &[&x, &positions]);
        }
        let x = self.by_row(graph, &x, embed.table.shape[1]);
        let x = self.operators.layer_norm(graph, &x, &weights.embed_norm);
        match &embed.mapping {
            Some(mapping) => linear(graph, &x, mapping),
            None => x,
        }
    }

    fn frame(
        &self,
        graph: &mut Graph,
        span: AttentionSpan,
        key_mask: &Value,
        at: &Positions,
    ) -> Frame {
        let (name, window, theta) = match span {
            AttentionSpan::Everything => ("global", None, None),
            AttentionSpan::Rotary(theta) => ("global", None, Some(theta)),
            AttentionSpan::Window { window, theta } => ("local", Some(window), Some(theta)),
        };
        graph.scope(format!("frame.{name}"));
        let mask = self.operators.mask(graph, key_mask, [&at.range, &at.length], window);
        let positions = theta.map(|theta| {
            let name = match window {
                None => "rope.frequencies.global",
                Some(_) => "rope.frequencies.local",
            };
            let rope = Rope { name, theta, head_dim: self.blueprint.head_dim };
            self.operators.rotary_positions(graph, &rope, [&at.range, &at.shape])
        });
        Frame { span, mask, positions }
    }

    /// Attention and feed-forward network, each with a residual connection, on rows [B · T, D].
    fn encoder_layer(
        &self,
        graph: &mut Graph,
        scope: &str,
        (order, layer): (NormOrder, &EncoderLayer),
        (frame, at): (&Frame, &Positions),
        x: Value,
    ) -> Value {
        let norms = [layer.attention_norm.as_ref(), Some(&layer.ffn_norm)];
        let [before, after] = match order {
            NormOrder::Before => [norms, [None; 2]],
            NormOrder::After => [[None; 2], norms],
        };
        let norm = |graph: &mut Graph, x: Value, norm| match norm {
            Some(norm) => self.operators.layer_norm(graph, &x, norm),
            None => x,
        };
        graph.scope(format!("{scope}.attention"));
        let input = norm(graph, x.clone(), before[0]);
        let mixed = self.encoder_attention(graph, layer, (frame, at), &input);
        let sum = graph.op("Add", &[&x, &mixed]);
        let x = norm(graph, sum, after[0]);
        graph.scope(format!("{scope}.ffn"));
        let input = norm(graph, x.clone(), before[1]);
        let outer = self.encoder_ffn(graph, &layer.ffn, &input);
        let sum = graph.op("Add", &[&x, &outer]);
        norm(graph, sum, after[1])
    }

    fn encoder_attention(
        &self,
        graph: &mut Graph,
        layer: &EncoderLayer,
        (frame, at): (&Frame, &Positions),
        x: &Value,
    ) -> Value {
        let (heads, width) = (self.blueprint.heads, self.blueprint.hidden_size);
        let parts = match &layer.qkv {
            Qkv::Each(maps) => maps.each_ref().map(|map| linear(graph, x, map)),
            Qkv::Joint(all) => {
                let all = linear(graph, x, all);
                graph.nodes("Split", &[&all], &[COLUMNS, ("num_outputs", Attribute::Int(3))])
            }
        };
        let [mut q, mut k, v] = parts.map(|part| self.by_sequence(graph, &at.shape, &part, width));
        if let Some(positions) = &frame.positions {
            [q, k] = [q, k].map(|part| self.operators.rope(graph, positions, &part, heads));
        }
        let mixed = self.operators.attention(graph, self.blueprint, &frame.mask, [&q, &k, &v]);
        let mixed = self.by_row(graph, &mixed, width);
        linear(graph, &mixed, &layer.o)
    }

    fn encoder_ffn(&self, graph: &mut Graph, ffn: &Ffn, x: &Value) -> Value {
        let inner = linear(graph, x, &ffn.inner);
        let inner = if ffn.gated {
            let halves = [COLUMNS, ("num_outputs", Attribute::Int(2))];
            let [inner, gate] = graph.nodes("Split", &[&inner], &halves);
            let inner = self.operators.activation(graph, &inner, ffn.activation);
            graph.op("Mul", &[&inner, &gate])
        } else {
            self.operators.activation(graph, &inner, ffn.activation)
        };
        linear(graph, &inner, &ffn.outer)
    }
}
