use std::fmt;
use std::str::FromStr;

use crate::{Error, abbreviated};

/// A metric of the texts of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// The share of texts that pass the checks of the built-in corpus, over all and by domain. Left out for other texts.
    Right,
    /// The share of texts that parse. Left out for texts outside of the built-in corpus.
    Parses,
    /// The share of distinct texts, and the entropy of their words in nats.
    Diversity,
    /// The negative log-likelihood under the model's own one-at-a-time path, in nats per token. With
    /// [`stops`](crate::Sampling::stops) it is that of the padded text, which was not drawn in this way.
    #[doc(alias = "perplexity")]
    Nll,
    /// The negative log-likelihood under an [external](super::External) language model, in nats per token of its own.
    ExternalNll,
    /// MAUVE against one-at-a-time samples, on mean final hidden states of the frozen model.
    Mauve,
    /// MAUVE against one-at-a-time samples, on the surprise of the frozen model at each token given the others.
    MauveSurprise,
    /// The divergence of neighbouring tokens from those of one-at-a-time samples, in nats.
    Neighbours,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 8] = [
        Self::Right,
        Self::Parses,
        Self::Diversity,
        Self::Nll,
        Self::ExternalNll,
        Self::Mauve,
        Self::MauveSurprise,
        Self::Neighbours,
    ];

    /// The name that it is parsed from.
    pub fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Parses => "parses",
            Self::Diversity => "diversity",
            Self::Nll => "nll",
            Self::ExternalNll => "external-nll",
            Self::Mauve => "mauve",
            Self::MauveSurprise => "mauve-surprise",
            Self::Neighbours => "neighbours",
        }
    }

    /// Whether it is a check of the built-in corpus, which does not apply to other texts.
    pub fn checks_corpus(self) -> bool {
        matches!(self, Self::Right | Self::Parses)
    }

    /// Whether it is computed from runs of `exact`, which take the order.
    pub fn runs_exact(self) -> bool {
        matches!(self, Self::Nll | Self::Mauve | Self::MauveSurprise | Self::Neighbours)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|metric| metric.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::Name(format!("unknown metric '{}': expected one of {names}", abbreviated(text)))
        })
    }
}
