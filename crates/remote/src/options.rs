//! The options of a remote model.

use std::time::Duration;

/// Where a model is, and how to ask for it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RemoteOptions {
    /// The address of the server, such as `http://localhost:8000`.
    pub url: String,
    /// The name of the model there.
    pub model: String,
    /// Its version; by default the server chooses.
    pub version: Option<String>,
    /// The name of the input of token ids, INT64 [B, T]. Default `input_ids`.
    pub ids: String,
    /// The name of the input of the attention mask, INT64 [B, T], all ones. By default there is none.
    pub attention_mask: Option<String>,
    /// The name of the output of logits, FP32, FP16 or BF16 [B, T, V]. Default `logits`.
    pub logits: String,
    /// Whether the logits of a position are those of the output before it, as in Dream. Default false.
    pub shift: bool,
    /// The longest sequence that the model takes, if it has a limit.
    pub max_length: Option<usize>,
    /// The most sequences of one request. Default 64.
    pub batch: usize,
    /// Whether tensors are sent as bytes (the protocol's extension for binary data) and not as JSON. By default as bytes if the
    /// server lists the extension `binary_tensor_data`, as Triton does.
    pub binary: Option<bool>,
    /// The longest time of one request. Default 60 s.
    pub timeout: Duration,
    /// How long a request is repeated while the server cannot be reached, is not ready or is overloaded. Default 2 minutes.
    pub patience: Duration,
}

impl RemoteOptions {
    /// The model of this name at this address.
    pub fn new(url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            model: model.into(),
            version: None,
            ids: "input_ids".to_owned(),
            attention_mask: None,
            logits: "logits".to_owned(),
            shift: false,
            max_length: None,
            batch: 64,
            binary: None,
            timeout: Duration::from_secs(60),
            patience: Duration::from_secs(120),
        }
    }
}
