use conjoint_core::TokenId;
use ndarray::Array2;

use crate::Error;

/// Computes feature vectors of texts, which [`Mauve`](crate::Mauve) compares.
pub trait Featuriser {
    /// The name in reports. Figures of different featurisers cannot be compared.
    fn name(&self) -> &str;

    /// Returns features [n, d], one row per text.
    ///
    /// # Errors
    /// [`Error::Outside`] if the model behind it fails, and [`Error::Shape`].
    fn features(&self, texts: &[Vec<TokenId>]) -> Result<Array2<f32>, Error>;
}

/// A function as a [`Featuriser`].
///
/// For a model on ONNX Runtime, the default features are the frozen model's final hidden states, averaged over a text's
/// positions: `Named::new("mean hidden state", |texts| model.mean_hidden(texts))`, with `OnnxDenoiser::mean_hidden` of
/// `conjoint-onnx`.
///
/// ```
/// use conjoint_core::TokenId;
/// use conjoint_eval::{Featuriser, Named};
/// use ndarray::Array2;
/// let length = Named::new("length", |texts: &[Vec<TokenId>]| {
///     let length = |(text, _): (usize, usize)| texts[text].len() as f32;
///     Ok::<_, std::io::Error>(Array2::from_shape_fn((texts.len(), 1), length))
/// });
/// assert_eq!(length.features(&[vec![1, 2], vec![3]])?[(0, 0)], 2.0);
/// # Ok::<(), conjoint_eval::Error>(())
/// ```
pub struct Named<F> {
    name: String,
    function: F,
}

impl<F, E> Named<F>
where
    F: Fn(&[Vec<TokenId>]) -> Result<Array2<f32>, E>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Names a function from texts to features [n, d].
    pub fn new(name: impl Into<String>, function: F) -> Self {
        Self { name: name.into(), function }
    }
}

impl<F, E> Featuriser for Named<F>
where
    F: Fn(&[Vec<TokenId>]) -> Result<Array2<f32>, E>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn features(&self, texts: &[Vec<TokenId>]) -> Result<Array2<f32>, Error> {
        let outside = |source: E| Error::Outside { name: self.name.clone(), source: source.into() };
        let features = (self.function)(texts).map_err(outside)?;
        match (features.nrows(), texts.len()) {
            (got, expected) if got != expected => {
                Err(Error::Shape { what: "the number of feature rows", got, expected })
            }
            _ => Ok(features),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_hold_the_name_and_the_reason() {
        let broken = Named::new("broken", |_: &[Vec<TokenId>]| Err("out of memory"));
        let error = broken.features(&[vec![1]]).unwrap_err().to_string();
        assert_eq!(error, "broken failed: out of memory");
        let short = |_: &[Vec<TokenId>]| Ok::<_, String>(Array2::zeros((1, 2)));
        let error = Named::new("short", short).features(&[vec![1], vec![2]]).unwrap_err();
        assert!(matches!(error, Error::Shape { got: 1, expected: 2, .. }), "{error}");
    }
}
