//! Signs of a quantised model, whose tensors are not the numbers that a graph multiplies by.

use std::path::Path;

use crate::error::ExportError;

/// What names of tensors end with in the formats of GPTQ, AWQ, compressed-tensors, FP8, bitsandbytes and others.
const ENDS: [&str; 13] = [
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

/// Files that quantisers leave beside the weights.
const FILES: [&str; 4] =
    ["quantize_config.json", "quant_config.json", "hf_quant_config.json", "quant_strategy.json"];

/// Whether a tensor belongs to a quantised model.
pub(crate) fn is_part(name: &str) -> bool {
    ENDS.iter().any(|end| name.ends_with(end)) || name.contains(".quant_state.")
}

/// Rejects a folder with the file of a quantiser.
pub(crate) fn reject_folder(folder: &Path) -> Result<(), ExportError> {
    match FILES.into_iter().find(|name| folder.join(name).is_file()) {
        None => Ok(()),
        Some(name) => Err(ExportError::Quantised { path: folder.into(), found: name.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantised_tensors_are_told_from_others() {
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
    fn a_quantisers_file_is_enough() {
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
