//! The model of a server as a [`Denoiser`].

use conjoint_core::denoiser::{Answer, Request, State};
use conjoint_core::{Canvas, Denoiser, DenseRows, Error, Vocabulary};
use ndarray::Array2;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::error::RemoteError;
use crate::options::RemoteOptions;
use crate::protocol::{Input, Metadata, ServerMetadata, TensorMetadata, decode, encode};

/// A model on a server of the Open Inference Protocol v2.
///
/// Sequences of equal lengths share a request, so that none is padded and each row is that of its sequence alone.
pub struct RemoteDenoiser {
    client: Client,
    options: RemoteOptions,
    vocabulary: Vocabulary,
    /// The address of its requests.
    url: String,
    /// Whether tensors are sent as bytes.
    binary: bool,
}

impl RemoteDenoiser {
    /// Waits until the server has the model, and checks its inputs and outputs.
    ///
    /// # Errors
    /// [`RemoteError::Unreachable`] if the server does not answer within the patience, [`RemoteError::Rejected`] if it has no such
    /// model, [`RemoteError::Model`] if the model has other inputs or outputs, or a vocabulary of another size.
    pub fn connect(options: RemoteOptions, vocabulary: Vocabulary) -> Result<Self, RemoteError> {
        let client = Client::new(&options);
        let server = options.url.trim_end_matches('/').to_owned();
        let version = options
            .version
            .as_ref()
            .map_or_else(String::new, |version| format!("/versions/{version}"));
        let model = format!("{server}/v2/models/{}{version}", options.model);
        client.get(&format!("{model}/ready"))?;
        let metadata: Metadata = json(&client, &model)?;
        let binary = match options.binary {
            Some(binary) => binary,
            None => json::<ServerMetadata>(&client, &format!("{server}/v2"))?.has_binary_tensors(),
        };
        let url = format!("{model}/infer");
        let made = Self { client, options, vocabulary, url, binary };
        made.check(&metadata).map_err(|reason| RemoteError::Model {
            url: server,
            model: made.options.model.clone(),
            reason,
        })?;
        Ok(made)
    }

    /// Checks the metadata of the model. Some servers have none.
    fn check(&self, metadata: &Metadata) -> Result<(), String> {
        let Self { options, vocabulary, .. } = self;
        let named = |tensors: &[TensorMetadata], name: &str, what: &str| -> Result<(), String> {
            let names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
            match names.is_empty() || names.contains(&name) {
                true => Ok(()),
                false => {
                    Err(format!("it has no {what} `{name}`: expected one of {}", names.join(", ")))
                }
            }
        };
        named(&metadata.inputs, &options.ids, "input")?;
        if let Some(mask) = &options.attention_mask {
            named(&metadata.inputs, mask, "input")?;
        }
        for input in &metadata.inputs {
            let is_given =
                input.name == options.ids || Some(&input.name) == options.attention_mask.as_ref();
            if !is_given {
                return Err(format!("it has an input `{}`, which is not given", input.name));
            }
            if input.datatype != "INT64" {
                return Err(format!(
                    "its input `{}` is of type {}: expected INT64",
                    input.name, input.datatype
                ));
            }
        }
        named(&metadata.outputs, &options.logits, "output")?;
        let output = metadata.outputs.iter().find(|output| output.name == options.logits);
        let size = output.and_then(|output| output.shape.last().copied()).filter(|&size| size >= 0);
        match size {
            Some(size) if size as usize != vocabulary.size() => Err(format!(
                "its logits have {size} columns, and the vocabulary {} ids",
                vocabulary.size()
            )),
            _ => Ok(()),
        }
    }

    /// The logits [B, T, V] of canvases of one length.
    fn infer(&self, canvases: &[&Canvas]) -> Result<Vec<f32>, RemoteError> {
        let Self { options, url, .. } = self;
        let shape = [canvases.len(), canvases[0].len()];
        let ids: Vec<i64> =
            canvases.iter().flat_map(|canvas| canvas.tokens()).map(|&id| id.into()).collect();
        let ones = vec![1; ids.len()];
        let mut inputs = vec![Input { name: &options.ids, data: &ids }];
        inputs.extend(options.attention_mask.as_ref().map(|name| Input { name, data: &ones }));
        let request = encode(&inputs, shape, &options.logits, self.binary);
        let answer = self.client.post(url, &request)?;
        let (got, values) = decode(&answer.body, answer.json, &options.logits)
            .map_err(|reason| RemoteError::Answer { url: url.clone(), reason })?;
        let expected = [shape[0], shape[1], self.vocabulary.size()];
        match got == expected {
            true => Ok(values),
            false => {
                let reason = format!("its logits have the shape {got:?}, expected {expected:?}");
                Err(RemoteError::Answer { url: url.clone(), reason })
            }
        }
    }
}

/// Gets a document.
fn json<T: DeserializeOwned>(client: &Client, url: &str) -> Result<T, RemoteError> {
    let answer = client.get(url)?;
    serde_json::from_slice(&answer.body)
        .map_err(|error| RemoteError::Answer { url: url.to_owned(), reason: error.to_string() })
}

impl Denoiser for RemoteDenoiser {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn max_length(&self) -> Option<usize> {
        self.options.max_length
    }

    /// # Errors
    /// [`Error::Model`] with a [`RemoteError`], and [`Error::NoHiddenStates`] if hidden states are requested.
    fn forward(&self, request: &Request<'_>) -> Result<Answer, Error> {
        if request.hidden {
            return Err(Error::NoHiddenStates);
        }
        let width = self.vocabulary.size();
        let mut logits = Array2::zeros((request.rows.len(), width));
        // Sequences without a row need no forward.
        let mut needed: Vec<usize> = request.rows.iter().map(|row| row.sequence).collect();
        needed.dedup();
        let length = |sequence: &usize| request.batch[*sequence].canvas.len();
        needed.sort_by_key(length);
        for group in needed.chunk_by(|a, b| length(a) == length(b)) {
            for part in group.chunks(self.options.batch.max(1)) {
                let canvases: Vec<&Canvas> =
                    part.iter().map(|&sequence| request.batch[sequence].canvas).collect();
                let values = self.infer(&canvases).map_err(Error::model)?;
                let positions = canvases[0].len();
                for (place, sequence) in part.iter().enumerate() {
                    let rows = request.rows.iter().zip(logits.rows_mut());
                    for (id, mut row) in rows.filter(|(id, _)| id.sequence == *sequence) {
                        // The first position of a shifted model has the first output, as in Dream's own code.
                        let position = if self.options.shift {
                            id.position.saturating_sub(1)
                        } else {
                            id.position
                        };
                        let start = (place * positions + position) * width;
                        row.as_slice_mut()
                            .expect("rows are contiguous")
                            .copy_from_slice(&values[start..start + width]);
                    }
                }
            }
        }
        Ok(Answer::new(DenseRows::from_logits(logits), State::new(())))
    }
}
