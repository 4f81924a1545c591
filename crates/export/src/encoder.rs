//! The backbone of an encoder of the BERT family.

use conjoint_format::blueprint::{AttentionSpan, Blueprint, NormOrder, Qkv};
use conjoint_format::weights::{Embedding, EncoderLayer, EncoderWeights, Ffn};

use crate::builder::{Builder, linear};
use crate::graph::{Attribute, Graph};
use crate::operator_set::{OperatorSet, Reach, Rope, Rotation};
use crate::packed::{KeyValues, Packed};
use crate::value::Value;

/// Values that all layers with one [`AttentionSpan`] share.
struct SpanFrame {
    span: AttentionSpan,
    mask: Value,
    rotation: Option<Rotation>,
}

const COLUMNS: (&str, Attribute) = ("axis", Attribute::Int(1));

impl Builder<'_> {
    /// The rows of the last layer [N, D], from their tokens. Appends the keys and values of each layer to `new`.
    pub(crate) fn encode(
        &self,
        graph: &mut Graph,
        embed: &Embedding,
        weights: &EncoderWeights,
        (ids, packed): (&Value, Packed),
        pools: &[KeyValues],
        new: &mut Vec<KeyValues>,
    ) -> Value {
        let mut x = self.embed_encoder(graph, embed, weights, [ids, &packed.positions]);
        let mut frames: Vec<SpanFrame> = Vec::new();
        for (number, (layer, pool)) in weights.layers.iter().zip(pools).enumerate() {
            let known = frames.iter().position(|frame| frame.span == layer.span);
            let index = known.unwrap_or_else(|| {
                frames.push(self.span_frame(graph, layer.span, &packed));
                frames.len() - 1
            });
            let (scope, part) = (format!("layers.{number}"), (weights.order, layer));
            let (next, own) =
                self.encoder_layer(graph, &scope, part, (&packed, &frames[index], pool), x);
            x = next;
            new.push(own);
        }
        if let Some(norm) = &weights.final_norm {
            graph.scope("final");
            x = self.operators.layer_norm(graph, &x, norm);
        }
        x
    }

    /// Tokens, positions and the first token type, summed and normalised, as rows of the layers' width.
    fn embed_encoder(
        &self,
        graph: &mut Graph,
        embed: &Embedding,
        weights: &EncoderWeights,
        [ids, positions]: [&Value; 2],
    ) -> Value {
        graph.scope("embed");
        let mut x = graph.rows(&embed.table, ids); // [N, E]
        if let Some(types) = &weights.token_types {
            let first = graph.int(0);
            let first = graph.rows(types, &first);
            x = graph.op("Add", &[&x, &first]);
        }
        if let Some(table) = &weights.positions {
            let positions = graph.rows(table, positions); // [N, E]
            x = graph.op("Add", &[&x, &positions]);
        }
        let x = self.operators.layer_norm(graph, &x, &weights.embed_norm);
        match &embed.mapping {
            Some(mapping) => linear(graph, &x, mapping),
            None => x,
        }
    }

    fn span_frame(&self, graph: &mut Graph, span: AttentionSpan, packed: &Packed) -> SpanFrame {
        let (name, reach, theta) = match span {
            AttentionSpan::Everything => ("global", Reach::Everything, None),
            AttentionSpan::Rotary(theta) => ("global", Reach::Everything, Some(theta)),
            AttentionSpan::Window { window, theta } => {
                ("local", Reach::Window(window), Some(theta))
            }
        };
        graph.scope(format!("frame.{name}"));
        let mask = self.mask(graph, packed, reach);
        let rotation = theta.map(|theta| {
            let name = match reach {
                Reach::Window(_) => "rope.frequencies.local",
                _ => "rope.frequencies.global",
            };
            let rope = Rope { name, theta, head_dim: self.blueprint.head_dim };
            OperatorSet::rotation(graph, &rope, &packed.positions)
        });
        SpanFrame { span, mask, rotation }
    }

    /// Attention and feed-forward network, each with a residual connection. Also returns the rows' keys and values.
    fn encoder_layer(
        &self,
        graph: &mut Graph,
        scope: &str,
        (order, layer): (NormOrder, &EncoderLayer),
        within: (&Packed, &SpanFrame, &KeyValues),
        x: Value,
    ) -> (Value, KeyValues) {
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
        let (mixed, own) = self.encoder_attention(graph, layer, within, &input);
        let sum = graph.op("Add", &[&x, &mixed]);
        let x = norm(graph, sum, after[0]);
        graph.scope(format!("{scope}.ffn"));
        let input = norm(graph, x.clone(), before[1]);
        let outer = self.encoder_ffn(graph, &layer.ffn, &input);
        let sum = graph.op("Add", &[&x, &outer]);
        (norm(graph, sum, after[1]), own)
    }

    fn encoder_attention(
        &self,
        graph: &mut Graph,
        layer: &EncoderLayer,
        (packed, frame, pool): (&Packed, &SpanFrame, &KeyValues),
        x: &Value,
    ) -> (Value, KeyValues) {
        let Blueprint { heads, head_dim, .. } = *self.blueprint;
        let parts = match &layer.qkv {
            Qkv::Each(maps) => maps.each_ref().map(|map| linear(graph, x, map)),
            Qkv::Joint(all) => {
                let all = linear(graph, x, all);
                graph.nodes("Split", &[&all], &[COLUMNS, ("num_outputs", Attribute::Int(3))])
            }
        };
        let [mut q, mut keys, values] = parts;
        if let Some(rotation) = &frame.rotation {
            let mut rotated =
                |part: &Value| self.operators.rope(graph, rotation, part, [heads, head_dim]);
            [q, keys] = [rotated(&q), rotated(&keys)];
        }
        let own = KeyValues { keys, values };
        let mixed = self.attend(graph, (packed, &frame.mask), &q, &own, Some(pool));
        (linear(graph, &mixed, &layer.o), own)
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
