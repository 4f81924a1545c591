//! The graph of the top-K head.

use conjoint_format::proto::{ModelProto, element};
use conjoint_format::weights::BaseWeights;

use crate::builder::Builder;
use crate::graph::{Attribute, Dim, Graph};
use crate::packed::ROWS;

const TEMPERATURES: Dim = Dim::Any("temperatures");

/// A lower bound of z. It is below every z for which e^z is not 0 in float32, and finite, so 0 · z is 0 for
/// excluded tokens.
const LEAST: f32 = -200.0;

impl Builder<'_> {
    /// `hidden` f32 [B, T, D], `rows` i64 [N], `temperatures` f32 [C], `tokens` i64 [M], `whole` i64 [W] →
    ///
    /// - `top` f32 [N, K], `ids` i64 [N, K]: the K largest logits of each row, descending, and their tokens;
    /// - `asked` f32 [N, M]: the logits of `tokens`;
    /// - `mass` f32 [C, N]: Σ e^z with z = (l − max) / T, over the whole row;
    /// - `entropy` f32 [C, N]: H = ln Σ e^z − Σ z e^z / Σ e^z, in nats;
    /// - `logits` f32 [W, V]: all logits of the rows at the indices `whole` among the N rows.
    ///
    /// A row that holds NaN or +∞ has a mass of NaN.
    pub(crate) fn head_top(&self, weights: &BaseWeights, k: usize) -> ModelProto {
        let mut graph = Graph::new("head-top", self.store);
        let logits = self.logits(&mut graph, weights);
        let temperatures = graph.input("temperatures", element::FLOAT, &[TEMPERATURES]);
        let tokens = graph.input("tokens", element::INT64, &[Dim::Any("tokens")]);
        let whole = graph.input("whole", element::INT64, &[Dim::Any("whole")]);

        let size = graph.ints(&[k as i64]);
        let [top, ids] = graph.nodes("TopK", &[&logits, &size], LAST);
        let first = graph.ints(&[0]);
        let max = graph.node("Gather", &[&top, &first], COLUMNS); // [N, 1]
        let asked = graph.node("Gather", &[&logits, &tokens], COLUMNS);

        let below = graph.op("Sub", &[&logits, &max]);
        let axes = graph.ints(&[1, 2]);
        let temperatures = graph.op("Unsqueeze", &[&temperatures, &axes]);
        let z = graph.op("Div", &[&below, &temperatures]); // [C, N, V]
        let weight = graph.op("Exp", &[&z]);
        let least = graph.float(LEAST);
        let z = graph.op("Max", &[&z, &least]);
        let z = graph.op("Mul", &[&weight, &z]);
        let last = graph.ints(&[-1]);
        let mass = graph.node("ReduceSum", &[&weight, &last], DROPPED); // [C, N]
        let weighted = graph.node("ReduceSum", &[&z, &last], DROPPED);
        let mean = graph.op("Div", &[&weighted, &mass]);
        let log = graph.op("Log", &[&mass]);
        let entropy = graph.op("Sub", &[&log, &mean]);
        let whole = graph.op("Gather", &[&logits, &whole]);

        let (k, measured) = (Dim::Fixed(k), [TEMPERATURES, ROWS]);
        graph.output(top, "top", &[ROWS, k]);
        graph.output_of(element::INT64, ids, "ids", &[ROWS, k]);
        graph.output(asked, "asked", &[ROWS, Dim::Any("tokens")]);
        graph.output(mass, "mass", &measured);
        graph.output(entropy, "entropy", &measured);
        graph.output(whole, "logits", &[Dim::Any("whole"), self.vocabulary()]);
        self.finish(graph, "Condensed output head: top, mass and entropy of chosen rows.")
    }
}

const LAST: &[(&str, Attribute)] = &[("axis", Attribute::Int(-1))];
const COLUMNS: &[(&str, Attribute)] = &[("axis", Attribute::Int(1))];
const DROPPED: &[(&str, Attribute)] = &[("keepdims", Attribute::Int(0))];
