//! Detection of quantised checkpoints, whose tensors are not the numbers that a graph multiplies by.

use std::path::Path;

use crate::error::FormatError;

/// Suffixes of tensor names in the formats of GPTQ, AWQ, compressed-tensors, FP8, bitsandbytes and others.
const SUFFIXES: [&str; 13] = [
    ".qweight",
    ".qzeros",
    ".g_idx",
    ".weight_packed",
    ".weight_scale",
    ".weight_scale_inv",
    ".weight_zero_point",
    ".input_scale",
    ".scales",
    ".SCB",
    ".absmax",
    ".quant_map",
    ".nested_absmax",
];

/// Files that quantisation tools write beside the weights.
const FILES: [&str; 4] =
    ["quantize_config.json", "quant_config.json", "hf_quant_config.json", "quant_strategy.json"];

/// Whether a tensor belongs to a quantised model.
pub(super) fn is_part(name: &str) -> bool {
    SUFFIXES.iter().any(|end| name.ends_with(end)) || name.contains(".quant_state.")
}

/// Rejects a folder with a file of a quantisation tool.
pub(crate) fn reject_folder(folder: &Path) -> Result<(), FormatError> {
    match FILES.into_iter().find(|name| folder.join(name).is_file()) {
        None => Ok(()),
        Some(name) => Err(FormatError::Quantised { path: folder.into(), found: name.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantised_tensors_are_recognised_by_their_suffix() {
        let layer = "model.layers.0.self_attn.q_proj";
        for end in [
            "qweight",
            "scales",
            "weight_scale_inv",
            "weight.absmax",
            "weight.quant_state.bitsandbytes__nf4",
            "SCB",
            "weight_packed",
        ] {
            assert!(is_part(&format!("{layer}.{end}")), "{end}");
        }
        for plain in ["weight", "bias", "rotary_emb.inv_freq"] {
            assert!(!is_part(&format!("{layer}.{plain}")), "{plain}");
        }
    }

    #[test]
    fn a_file_of_a_quantisation_tool_is_rejected() {
        let root = tempfile::tempdir().unwrap();
        assert!(reject_folder(root.path()).is_ok());
        std::fs::write(root.path().join("quantize_config.json"), "{}").unwrap();
        let message = reject_folder(root.path()).unwrap_err().to_string();
        assert!(
            message.contains("quantize_config.json") && message.contains("quantised"),
            "{message}"
        );
    }
}
