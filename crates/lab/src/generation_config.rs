//! The sampling settings of a checkpoint's `generation_config.json`.

use std::path::Path;

use serde::Deserialize;

use crate::Error;

/// The sampling settings that a checkpoint recommends: the arguments of Dream's `diffusion_generate`, which later models
/// have kept.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct GenerationConfig {
    /// Denoising steps.
    pub steps: Option<u32>,
    /// The last timestep ε of the linear schedule.
    pub eps: Option<f64>,
    /// The algorithm that selects positions: `origin`, `maskgit_plus`, `topk_margin` or `entropy`.
    pub alg: Option<String>,
    /// The temperature T of positions, drawn from softmax(score / T). Absent or 0 takes the best.
    pub alg_temp: Option<f64>,
    /// The temperature: divides the logits.
    pub temperature: Option<f64>,
    /// Keeps the most probable tokens that sum to more than P.
    pub top_p: Option<f64>,
    /// Keeps the N most probable tokens.
    pub top_k: Option<usize>,
    /// Tokens to generate.
    pub max_new_tokens: Option<u32>,
    /// The ids that end a sequence: one, or several. An export finds the ids by itself.
    pub eos_token_id: Option<serde_json::Value>,
}

/// A strategy by the names of the [registry](crate::registry).
#[derive(Debug, Clone, PartialEq)]
pub struct Recommended {
    /// The unmasker.
    pub unmasker: String,
    /// The schedule.
    pub schedule: String,
    /// The order, unless it is the lowest entropy.
    pub order: Option<&'static str>,
    /// The temperature of the order, if there is one.
    pub order_temperature: Option<f64>,
}

impl GenerationConfig {
    /// Reads the file from a model's folder.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `defaults` if the file is missing; [`Error::Io`], [`Error::Malformed`].
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("generation_config.json");
        if !path.is_file() {
            let reason = format!("{} is missing", path.display());
            return Err(Error::parameter("defaults", "model", reason));
        }
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        serde_json::from_str(&text)
            .map_err(|error| Error::Malformed { path, reason: error.to_string() })
    }

    /// The strategy for this number of tokens; none if the file has neither `steps` nor `alg`. The default of `steps` is one
    /// step per token.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `defaults` if `alg` is another algorithm.
    pub fn strategy(&self, tokens: u32) -> Result<Option<Recommended>, Error> {
        if self.steps.is_none() && self.alg.is_none() {
            return Ok(None);
        }
        let steps = self.steps.unwrap_or(tokens);
        let epsilon = self.eps.map_or_else(String::new, |eps| format!(":epsilon={eps}"));
        let temperature = self.alg_temp.filter(|&temperature| temperature > 0.0);
        let dream = |unmasker: String, order, order_temperature| Recommended {
            unmasker,
            schedule: format!("dream:{steps}{epsilon}"),
            order,
            order_temperature,
        };
        // The published code's own default.
        Ok(Some(match self.alg.as_deref().unwrap_or("origin") {
            "origin" => Recommended {
                unmasker: "marginal".into(),
                schedule: format!("origin:{steps}{epsilon}"),
                order: None,
                order_temperature: None,
            },
            "entropy" => dream("marginal".into(), None, temperature),
            "topk_margin" => dream("marginal".into(), Some("margin"), temperature),
            "maskgit_plus" => {
                let drawn = temperature.map_or_else(String::new, |t| format!(":temperature={t}"));
                dream(format!("confidence:score=filtered{drawn}"), None, None)
            }
            other => {
                let expected = "expected origin, maskgit_plus, topk_margin or entropy";
                let reason = format!("alg of generation_config.json is {other}: {expected}");
                return Err(Error::parameter("defaults", "model", reason));
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Registry;

    #[test]
    fn every_algorithm_has_its_strategy() {
        let registry = Registry::builtin();
        for (text, unmasker, schedule) in [
            (r#"{"alg": "origin", "steps": 8}"#, "marginal", "origin:8"),
            (r#"{"steps": 8, "eps": 0.01}"#, "marginal", "origin:8:epsilon=0.01"),
            (r#"{"alg": "entropy", "steps": 8, "alg_temp": 0.2}"#, "marginal", "dream:8"),
            (r#"{"alg": "topk_margin"}"#, "marginal", "dream:32"),
            (
                r#"{"alg": "maskgit_plus", "alg_temp": 0.1}"#,
                "confidence:score=filtered:temperature=0.1",
                "dream:32",
            ),
        ] {
            let config: GenerationConfig = serde_json::from_str(text).unwrap();
            let found = config.strategy(32).unwrap().unwrap();
            assert_eq!((found.unmasker.as_str(), found.schedule.as_str()), (unmasker, schedule));
            let schedule = registry.schedule(&found.schedule).unwrap();
            registry.unmasker(&found.unmasker).unwrap().check(&schedule).unwrap();
            if let Some(order) = found.order {
                registry.order(order).unwrap();
            }
        }
        let config = |text: &str| serde_json::from_str::<GenerationConfig>(text).unwrap();
        let none = config(r#"{"temperature": 0.2, "_from_model_config": true}"#);
        assert_eq!((none.strategy(32).unwrap(), none.temperature), (None, Some(0.2)));
        let other = config(r#"{"alg": "beam"}"#);
        assert!(other.strategy(32).unwrap_err().to_string().contains("beam"));
    }
}
