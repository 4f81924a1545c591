//! The options of a sampler layer's training.

use std::path::PathBuf;

use conjoint_format::SamplerForm;

use super::loss::Comparison;
use crate::error::{TrainError, check};
use crate::masking::Window;
use crate::model::Precision;
use crate::run::{OptimizerOptions, RunOptions};

/// Options of a sampler layer's training by knowledge distillation.
///
/// The defaults are those of arXiv 2509.22738, with three exceptions: states of decoding instead of texts masked at random
/// ([`random_share`](Self::random_share)), averaged weights, and float32. The paper does not state its weights of the
/// depths, except that they favour small j.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplerOptions {
    /// The folder of the frozen model's checkpoint, of any architecture that `conjoint export` reads. The layer shares its
    /// embedding and head.
    pub base: PathBuf,
    /// The number of decoder layers of the sampler layer. If the weights of [`RunOptions::init`] have fewer, the further
    /// ones start as the identity.
    pub layers: usize,
    /// The initial gain of the last norm. With 0 the layer starts as the identity; 1 is the usual gain of norms. Ignored
    /// with [`RunOptions::init`], whose weights include a gain.
    pub start_gain: f64,
    /// The weight of each depth j = 1..=J in the loss. Its length is J, the number of unrolled passes. To reveal K tokens
    /// per step, J should be at least K − 1.
    pub depth_weights: Vec<f64>,
    /// Whether each step compares at all depths, rather than at one depth drawn by `depth_weights`. All depths need more
    /// forward passes of the frozen model per step.
    pub all_depths: bool,
    /// The weights of masked rows.
    pub window: Window,
    /// p: chains begin where a share uᵖ of a trajectory is revealed, with u uniform on \[0, 1). With 1 all states are
    /// equally likely; above 1 early states are more likely. Does not apply to texts masked at random.
    pub early_power: f64,
    /// The share of a batch's sequences whose tokens the layer itself draws, from x¹ on, as in decoding. The layer then
    /// learns to correct its own mistakes.
    #[doc(alias = "on-policy")]
    pub own_share: f64,
    /// The share of a batch's sequences that start from a text masked at random, as in the paper. Each token of a
    /// trajectory's text is masked with probability t, uniform on \[0, 1\], and the xʲ reveal it in the order of the frozen
    /// model's entropies. Each state costs a forward pass of the frozen model.
    pub random_share: f64,
    /// The block length of the trajectories, or `None` for one block. Passes then compute rows of the open block only, as
    /// they do in decoding, and a chain ends with its block.
    pub block_length: Option<usize>,
    /// The terms of the loss. Its temperature is ignored; see [`temperatures`](Self::temperatures).
    pub comparison: Comparison,
    /// The temperatures of the comparison. Steps take them in turn.
    pub temperatures: Vec<f64>,
    /// N, the numbers of rows that the passes compute in each sequence. Steps take them in turn. The layer is then trained
    /// for [passes over rows](crate::model::RowPasses), whose cost is proportional to N. With N rows there are at most
    /// N − 1 passes. If empty, passes compute whole sequences, the published form.
    pub candidates: Vec<usize>,
    /// Bytes of memory that cache the teacher's hidden states. A cached state costs no forward pass of the frozen model. 0
    /// disables the cache.
    pub cache_bytes: usize,
    /// The number of first trajectories that are held out for validation.
    pub held_out: usize,
    /// The number format of the saved weights.
    pub precision: Precision,
    /// Budget, folder, batch and optimizer.
    pub run: RunOptions,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        Self {
            base: PathBuf::from("base"),
            layers: 1,
            start_gain: 0.0,
            depth_weights: favour_shallow(7),
            all_depths: false,
            window: Window::default(),
            early_power: 1.0,
            own_share: 0.0,
            random_share: 0.0,
            block_length: None,
            comparison: Comparison::default(),
            temperatures: vec![1.0],
            candidates: Vec::new(),
            cache_bytes: 4 << 30,
            held_out: 64,
            precision: Precision::F32,
            run: RunOptions { optimizer: OptimizerOptions::published(), ..RunOptions::default() },
        }
    }
}

/// Returns the weights 1/j of the depths j = 1..=`depth`, which decrease with depth.
pub fn favour_shallow(depth: usize) -> Vec<f64> {
    (1..=depth).map(|j| 1.0 / j as f64).collect()
}

/// Tolerance for rounding in sums of shares.
pub(crate) const ROUNDING: f64 = 1e-9;

impl SamplerOptions {
    /// The form of the passes that the layer is trained for.
    pub fn form(&self) -> SamplerForm {
        if self.candidates.is_empty() { SamplerForm::Sequence } else { SamplerForm::Rows }
    }

    /// Checks the options.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] names the first unusable option.
    pub fn validate(&self) -> Result<(), TrainError> {
        self.run.validate()?;
        check(self.layers > 0, "layers", 0, "at least 1")?;
        let weights = &self.depth_weights;
        let usable =
            weights.iter().all(|w| *w >= 0.0 && w.is_finite()) && weights.iter().sum::<f64>() > 0.0;
        check(usable, "depth_weights", format!("{weights:?}"), "numbers of 0 or above, not all 0")?;
        self.window.validate()?;
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        check(is_share(self.own_share), "own_share", self.own_share, "from 0 to 1")?;
        let random = self.random_share;
        check(is_share(random), "random_share", random, "from 0 to 1")?;
        let expected = format!("at most 1 minus own_share = {}", self.own_share);
        check(self.own_share + random <= 1.0 + ROUNDING, "random_share", random, expected)?;
        let block = self.block_length;
        check(block.is_none_or(|block| block > 1), "block_length", block.unwrap_or(0), {
            "at least 2 positions: in a block of 1 no pass has anything to compute"
        })?;
        let Comparison { teacher, start, .. } = self.comparison;
        let is_weight = |weight: f64| weight.is_finite() && weight >= 0.0;
        check(is_weight(teacher), "lambda_teacher", teacher, "finite and 0 or above")?;
        check(is_weight(start), "lambda_start", start, "finite and 0 or above")?;
        check(is_weight(self.start_gain), "start_gain", self.start_gain, "finite and 0 or above")?;
        let is_positive = |value: f64| value.is_finite() && value > 0.0;
        let temperatures = &self.temperatures;
        let usable = !temperatures.is_empty() && temperatures.iter().all(|&t| is_positive(t));
        let got = format!("{temperatures:?}");
        check(usable, "temperatures", got, "at least one, all finite and above 0")?;
        let few = self.candidates.iter().find(|&&rows| rows < 2);
        check(few.is_none(), "candidates", few.unwrap_or(&0), {
            "at least 2 rows: the one just revealed, and one more"
        })?;
        let unweighted = |&&rows: &&usize| weights.iter().take(rows - 1).sum::<f64>() == 0.0;
        let few = self.candidates.iter().find(unweighted);
        check(few.is_none(), "candidates", few.unwrap_or(&0), {
            "more rows: N rows allow N - 1 passes, and `depth_weights` gives these no weight"
        })?;
        let whole = self.candidates.is_empty() || self.own_share == 0.0;
        check(
            whole,
            "own_share",
            self.own_share,
            "0 with candidates, because the layer draws with passes over whole sequences",
        )?;
        check(
            is_positive(self.early_power),
            "early_power",
            self.early_power,
            "finite and above 0",
        )?;
        check(self.held_out > 0, "held_out", self.held_out, "at least 1")
    }
}
