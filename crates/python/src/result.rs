//! The result of a generated sequence.

use conjoint::StopText;
use conjoint::prelude::*;
use conjoint_lab::requests::{completion, finish_reason};
use conjoint_lab::{Error, Model};
use numpy::PyArray1;
use pyo3::prelude::*;

use crate::error::exception;

/// A generated sequence and its cost.
#[pyclass(name = "Result", module = "conjoint", frozen, get_all)]
pub struct GenerationResult {
    /// Index of the prompt.
    prompt: usize,
    /// Index of the sample of the prompt.
    sample: usize,
    /// The stream of the seed that it was drawn from: prompt * num_samples + sample.
    stream: u64,
    /// Given and generated tokens, int64 [T]. Positions after the end hold padding. Empty if the sequence failed.
    tokens: Py<PyArray1<i64>>,
    /// Number of given tokens before the first generated one.
    prompt_tokens: usize,
    /// One past the last token of the text: the length T, or the position after the token that ended it.
    end: usize,
    /// The whole text up to its end, as the command prints it. None without a tokenizer.
    text: Option<String>,
    /// The generated text up to its end, without the token or the text that ended it. None without a tokenizer.
    completion: Option<String>,
    /// Why it ended: "length", "eos", "stop" or "error".
    finish_reason: &'static str,
    /// Number of full forwards.
    denoiser_calls: usize,
    /// Number of passes of the sampler layer.
    sampler_calls: usize,
    /// Number of denoising steps, including those without a forward.
    steps: usize,
    /// The error of a sequence that failed, if others did not. Otherwise None.
    error: Option<String>,
}

#[pymethods]
impl GenerationResult {
    fn __repr__(&self) -> String {
        let Self { finish_reason, denoiser_calls, sampler_calls, .. } = self;
        let what = match (&self.error, &self.text) {
            (Some(error), _) => format!("error={error:?}"),
            (None, Some(text)) => format!("text={text:?}"),
            (None, None) => format!("prompt={}, sample={}", self.prompt, self.sample),
        };
        format!(
            "Result({what}, finish_reason={finish_reason:?}, denoiser_calls={denoiser_calls}, sampler_calls={sampler_calls})"
        )
    }
}

/// Which sequence of a call it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place {
    pub prompt: usize,
    pub sample: usize,
    pub stream: u64,
}

impl GenerationResult {
    /// The result of a finished sequence.
    pub fn of(
        py: Python<'_>,
        place: Place,
        model: &Model,
        stops: &[StopText],
        output: &Output,
    ) -> PyResult<Self> {
        let Place { prompt, sample, stream } = place;
        let completion = completion(output, model, stops).map_err(exception)?;
        let text = whole(model, output, completion.as_deref());
        Ok(Self {
            prompt,
            sample,
            stream,
            tokens: token_array(py, &output.tokens),
            prompt_tokens: output.generated.start,
            end: output.end,
            text: text.map_err(|error| exception(Error::Text(error)))?,
            completion,
            finish_reason: finish_reason(output.finish),
            denoiser_calls: output.denoiser_calls,
            sampler_calls: output.sampler_calls,
            steps: output.steps,
            error: None,
        })
    }

    /// The result of a sequence that failed.
    pub fn failed(py: Python<'_>, place: Place, error: &PyErr) -> Self {
        let Place { prompt, sample, stream } = place;
        Self {
            prompt,
            sample,
            stream,
            tokens: token_array(py, &[]),
            prompt_tokens: 0,
            end: 0,
            text: None,
            completion: None,
            finish_reason: "error",
            denoiser_calls: 0,
            sampler_calls: 0,
            steps: 0,
            error: Some(error.value(py).to_string()),
        }
    }
}

/// The text up to its end. A stop text does not belong to it.
fn whole(
    model: &Model,
    output: &Output,
    completion: Option<&str>,
) -> Result<Option<String>, TextError> {
    let (Some(tokenizer), Some(completion)) = (&model.tokenizer, completion) else {
        return Ok(None);
    };
    Ok(Some(match output.finish {
        FinishReason::Stop => {
            tokenizer.decode(&output.tokens[..output.generated.start])? + completion
        }
        _ => tokenizer.decode(output.text_tokens())?,
    }))
}

/// Token ids as an array of int64.
pub fn token_array(py: Python<'_>, tokens: &[TokenId]) -> Py<PyArray1<i64>> {
    let tokens = tokens.iter().map(|&token| i64::from(token)).collect();
    PyArray1::from_vec(py, tokens).unbind()
}
