use std::{fmt, str::FromStr};

use rand::Rng;

use crate::{code, error::Error, flaw::Flaw, list, math, story};

/// A domain of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Domain {
    /// Two sentences whose articles, numbers and pronouns agree.
    Story,
    /// An arithmetic word problem with its answer.
    Math,
    /// A Python function and an assertion about it that holds.
    Code,
    /// A task on a list of names, with its answer.
    List,
}

impl Domain {
    /// Every domain.
    pub const ALL: [Self; 4] = [Self::Story, Self::Math, Self::Code, Self::List];

    /// The tag at the start of a text of this domain, such as `<story>`. Tokenizers should map it to one token.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Story => "<story>",
            Self::Math => "<math>",
            Self::Code => "<code>",
            Self::List => "<list>",
        }
    }

    /// Draws one body, of any length.
    pub(crate) fn generate<R: Rng + ?Sized>(self, rng: &mut R) -> String {
        match self {
            Self::Story => story::generate(rng),
            Self::Math => math::generate(rng),
            Self::Code => code::generate(rng),
            Self::List => list::generate(rng),
        }
    }
}

impl fmt::Display for Domain {
    /// Writes the name, such as `story`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag().trim_matches(['<', '>']))
    }
}

impl FromStr for Domain {
    type Err = Error;

    /// Parses the name, such as `story`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownDomain`] if `name` is not one of the four names.
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|domain| domain.to_string() == name)
            .ok_or_else(|| Error::UnknownDomain { got: name.into() })
    }
}

/// Checks whether `body`, a text without its tag, is right in `domain`.
///
/// The whole body must have the domain's form and be right in every detail. A body passes if and only if the domain's
/// generator can write it, except that the generator's texts are short (see [`MAX_LEN`](crate::MAX_LEN)). `body` may be
/// any string.
///
/// # Errors
///
/// The first [`Flaw`] found.
pub fn check(domain: Domain, body: &str) -> Result<(), Flaw> {
    match domain {
        Domain::Story => story::check(body),
        Domain::Math => math::check(body),
        Domain::Code => code::check(body),
        Domain::List => list::check(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for domain in Domain::ALL {
            assert_eq!(domain.to_string().parse(), Ok(domain));
            assert_eq!(domain.tag(), format!("<{domain}>"));
        }
        let got = String::from("<story>");
        assert_eq!(got.parse::<Domain>(), Err(Error::UnknownDomain { got }));
    }
}
