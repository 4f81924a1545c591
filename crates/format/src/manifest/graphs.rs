//! File names of an export's graphs.

use serde::{Deserialize, Serialize};

use crate::sampler_form::SamplerForm;

/// File names of the graphs, all in the manifest's own folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Graphs {
    /// `input_ids` i64 [B, T], `key_mask` bool [B, T] → `hidden` f32 [B, T, D].
    pub backbone: String,
    /// `hidden` f32 [B, T, D], `rows` i64 \[N\] → `logits` f32 [N, V].
    #[doc(alias("lm_head", "output layer"))]
    pub head: String,
    /// The top-K head, if the export has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_top: Option<HeadTop>,
    /// `input_ids` i64 [B, T], `key_mask` bool [B, T], `hidden` f32 [B, T, D] → `hidden_next` f32
    /// [B, T, D]: a sampler layer over whole sequences.
    pub sampler: Option<String>,
    /// A sampler layer over rows. An export has this one, [`sampler`](Self::sampler), or no sampler layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampler_rows: Option<SamplerRows>,
}

/// The two graphs of a sampler layer [over rows](crate::SamplerForm::Rows). The outputs of the first are inputs
/// of the second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamplerRows {
    /// Runs once per denoising step: keys and values of all positions.
    pub context: String,
    /// Runs once per pass.
    pub pass: String,
}

/// The top-K head: `hidden` f32 [B, T, D], `rows` i64 \[N\], `temperatures` f32 \[C\], `tokens` i64 \[M\],
/// `whole` i64 \[W\] → `top` f32 and `ids` i64 [N, K], `asked` f32 [N, M], `mass` and `entropy` f32 [C, N],
/// `logits` f32 [W, V].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "top-k")]
pub struct HeadTop {
    /// File name of the graph.
    pub graph: String,
    /// K, the number of most probable tokens that the graph returns for each row.
    pub k: usize,
}

impl Graphs {
    /// The graphs that every export has.
    #[doc(hidden)]
    pub fn new(backbone: &str, head: &str) -> Self {
        let (backbone, head) = (backbone.into(), head.into());
        Self { backbone, head, head_top: None, sampler: None, sampler_rows: None }
    }

    /// File names of all graphs.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let head_top = self.head_top.as_ref().map(|head| &head.graph);
        let names = [Some(&self.backbone), Some(&self.head), head_top, self.sampler.as_ref()];
        let rows = self.sampler_rows.iter().flat_map(|rows| [&rows.context, &rows.pass]);
        names.into_iter().flatten().chain(rows).map(String::as_str)
    }

    /// The form of the sampler layer, if there is one.
    pub fn sampler_form(&self) -> Option<SamplerForm> {
        let sequence = self.sampler.as_ref().map(|_| SamplerForm::Sequence);
        sequence.or(self.sampler_rows.as_ref().map(|_| SamplerForm::Rows))
    }
}
