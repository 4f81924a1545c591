//! Which rows a pass of a sampler layer computes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which rows of hidden states a pass of the sampler layer computes.
///
/// The tensors are the same in both forms. A layer works best in the form that it was trained in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SamplerForm {
    /// All T rows, as published (arXiv 2509.22738). A pass costs a whole layer.
    #[default]
    Sequence,
    /// S rows: the candidates of the step and the tokens just revealed. The other positions keep the keys and
    /// values of the step's first pass.
    ///
    /// The first pass gives the same rows as [`Sequence`](Self::Sequence) does. A pass costs S / T of a layer's
    /// linear parts.
    #[doc(alias("KV cache", "key-value cache"))]
    Rows,
}

impl SamplerForm {
    /// The entry of a `.safetensors` file's metadata that records the form in which a layer was trained.
    pub const KEY: &str = "conjoint.passes";

    /// Both forms.
    pub const ALL: [Self; 2] = [Self::Sequence, Self::Rows];
}

impl fmt::Display for SamplerForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sequence => "sequence",
            Self::Rows => "rows",
        })
    }
}

impl FromStr for SamplerForm {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|form| form.to_string() == name);
        found.ok_or_else(|| format!("unknown form of passes `{name}`: expected sequence or rows"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for form in SamplerForm::ALL {
            assert_eq!(form.to_string().parse(), Ok(form));
            assert_eq!(serde_json::to_value(form).unwrap(), form.to_string());
        }
        assert!("row".parse::<SamplerForm>().unwrap_err().contains("expected sequence or rows"));
    }
}
