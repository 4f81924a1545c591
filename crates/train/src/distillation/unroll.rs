//! The unrolled passes of the sampler layer, and the targets that they are compared with.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

use crate::model::{Head, RowPasses, SamplerModule, Slots};

/// The start of the passes, and the rows that they compute.
#[derive(Clone, Debug)]
pub struct Start {
    /// h⁰ [B, T, D].
    pub hidden: Tensor<3>,
    /// The rows that passes compute, and the frozen embeddings of x¹ [B, T, D]. `None` computes whole sequences.
    pub rows: Option<(Slots, Tensor<3>)>,
}

/// One pass of the sampler layer, and the target that it is compared with.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The frozen embeddings of xʲ: [B, T, D], or [B, S, D] of the [slots](Slots) from j − 1 on, which pass j computes.
    pub embedded: Tensor<3>,
    /// The target after this pass, or `None` if only later passes are compared.
    pub target: Option<Target>,
}

/// The frozen model's hidden states at some rows of a canvas.
#[derive(Clone, Debug)]
pub struct Target {
    /// The frozen model's hidden states h_base(xʲ) at the rows, [N, D].
    pub hidden: Tensor<2>,
    /// The rows, indices into the flattened B · T, `[N]`.
    pub rows: Tensor<1, Int>,
    /// The same rows as indices into the pass's output, B · T or B · S, `[N]`.
    pub computed: Tensor<1, Int>,
    /// The weight of each row, `[N]`. The loss is the weighted sum.
    pub weights: Tensor<1>,
}

/// The successive passes of the layer.
pub(crate) struct Unrolled<'a> {
    layer: &'a SamplerModule,
    /// The current hidden states of passes over whole sequences, the published form.
    hidden: Tensor<3>,
    /// The passes over rows, if that is their form.
    rows: Option<RowPasses<'a>>,
}

impl<'a> Unrolled<'a> {
    pub fn new(layer: &'a SamplerModule, start: &Start) -> Self {
        let hidden = start.hidden.clone();
        let rows = start.rows.as_ref().map(|(slots, embedded)| {
            RowPasses::new(layer, embedded.clone(), hidden.clone(), slots)
        });
        Self { layer, hidden, rows }
    }

    /// Runs the next pass on [`Pass::embedded`], and returns its hidden states [B, T, D] or [B, S, D].
    pub fn pass(&mut self, embedded: Tensor<3>) -> Tensor<3> {
        match &mut self.rows {
            Some(passes) => passes.pass(embedded),
            None => {
                self.hidden = self.layer.forward(embedded, self.hidden.clone());
                self.hidden.clone()
            }
        }
    }
}

/// Selects the rows `rows` `[N]` of the flattened `hidden` [B, T, D]: [N, D].
pub(crate) fn rows(hidden: &Tensor<3>, rows: &Tensor<1, Int>) -> Tensor<2> {
    let [batch, length, width] = hidden.dims();
    hidden.clone().reshape([batch * length, width]).select(0, rows.clone())
}

/// Hidden states [N, D] → log-probabilities [N, V].
pub(crate) fn log_probabilities(hidden: &Tensor<2>, head: &Head) -> Tensor<2> {
    tempered_log_probabilities(hidden, head, 1.0)
}

/// As [`log_probabilities`], at a temperature.
pub(crate) fn tempered_log_probabilities(
    hidden: &Tensor<2>,
    head: &Head,
    temperature: f64,
) -> Tensor<2> {
    let logits = head.logits(hidden.clone());
    log_softmax(if temperature == 1.0 { logits } else { logits.div_scalar(temperature) }, 1)
}
